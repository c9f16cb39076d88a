"""Pictures of a comparison, from the package's displays. Without pyplot, so that nobody's figures are touched."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from omi_estimators.comparison._result import Findings
from omi_estimators.displays import (
    COLOURS,
    DASHES,
    DecisionCurveDisplay,
    PrecisionRecallBandDisplay,
    ProbabilityDisplay,
    ReliabilityDisplay,
    RiskTierDisplay,
    RocBandDisplay,
)
from omi_estimators.metrics import Interval, decision_curve, precision_recall_band, roc_band

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_N_RESAMPLES = 500
_PANELS_PER_ROW = 3
_PANEL_WIDTH = 3.9
_LETTERS_PER_INCH = 15
# More bands than these cover each other.
_MOST_BANDS = 4


def _new_figure(width: float, height: float) -> Figure:
    """Return an empty figure with a canvas of its own, or say how to get matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Pictures need matplotlib; install it with: pip install omi-estimators[plot]") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


class Pictures(Findings):
    """Pictures of the figures of a comparison; see `ComparisonResult`."""

    def plot_roc(self) -> Figure:
        """Draw the ROC curves, averaged over folds; the area under each is its `roc_auc`.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """

        def make(name: str) -> RocBandDisplay:
            curve = roc_band(*_predictions(self, name), **_bands(self), folds=self.fold[self.tested])
            return RocBandDisplay(curve, _interval(self, name, "roc_auc"), name=name)

        caption = (
            f"ROC curves for {self.target_names[1]} against {self.target_names[0]}, averaged over folds. "
            f"{_describe_bands(self)} Thin grey line: chance. {describe(self)}"
        )
        return _draw_together(self, make, "plot_chance", caption)

    def plot_precision_recall(self) -> Figure:
        """Draw precision against recall, averaged over folds; the area under each is its `average_precision`.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """
        prevalence = float(self.y[self.tested].mean())

        def make(name: str) -> PrecisionRecallBandDisplay:
            curve = precision_recall_band(*_predictions(self, name), **_bands(self), folds=self.fold[self.tested])
            return PrecisionRecallBandDisplay(curve, _interval(self, name, "average_precision"), prevalence, name=name)

        caption = (
            f"Of the records called {self.target_names[1]}, the share that is (precision), against the share of "
            f"{self.target_names[1]} that is called so (recall), averaged over folds. {_describe_bands(self)} "
            f"Thin grey line: chance, the share of {self.target_names[1]}. {describe(self)}"
        )
        return _draw_together(self, make, "plot_chance", caption)

    def plot_decision_curve(self) -> Figure:
        """Draw the net benefit of treating by each estimator, against treating everybody and nobody.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """
        prevalence = float(self.y[self.tested].mean())

        def make(name: str) -> DecisionCurveDisplay:
            return DecisionCurveDisplay(
                decision_curve(*_predictions(self, name), **_bands(self)), prevalence, name=name
            )

        caption = (
            "Net benefit of treating records at or above a threshold: true positives, less false positives at the "
            "exchange rate that the threshold implies, per record. Higher is better; a model is of use where its line "
            f"is above treating everybody and nobody. {_describe_bands(self)} {describe(self)}"
        )
        return _draw_together(self, make, "plot_reference", caption)

    def plot_reliability(self) -> Figure:
        """Draw observed against predicted frequency, and the distribution of probabilities by class.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """

        def draw(name: str, number: int, axes: Any) -> None:
            y, prob = _predictions(self, name)
            given = {"target_names": self.target_names, "color": COLOURS[number % len(COLOURS)], "ax": axes}
            ReliabilityDisplay.from_predictions(y, prob, folds=self.fold[self.tested], **given, **_bands(self))

        caption = (
            f"Observed against predicted frequency of {self.target_names[1]}, smoothed (loess), with pointwise "
            f"{_level(self)} bands; on the grey diagonal probabilities mean what they say. Bars: how probabilities are "
            f"distributed, {self.target_names[1]} from above, {self.target_names[0]} from below. {describe(self)}"
        )
        return _draw_panels(self, draw, 4.4, caption)

    def plot_probabilities(self) -> Figure:
        """Draw how probabilities are distributed in each class.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """

        def draw(name: str, number: int, axes: Any) -> None:
            y, prob = _predictions(self, name)
            ProbabilityDisplay.from_predictions(y, prob, target_names=self.target_names, ax=axes)

        caption = (
            f"How predicted probabilities are distributed among {self.target_names[1]} and {self.target_names[0]}; "
            f"the bars of each class sum to one. {describe(self)}"
        )
        return _draw_panels(self, draw, 2.9, caption)

    def plot_tiers(self) -> Figure:
        """Draw the share of events in each risk tier.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.

        Raises
        ------
        ValueError
            If there is one fold only, so that no other could choose thresholds.
        """
        tiers = self.tiers
        if tiers is None:
            raise ValueError("Risk tiers need two folds at least: thresholds of a fold come from the others.")
        groups = None if self.groups is None else self.groups[self.tested]

        def draw(name: str, number: int, axes: Any) -> None:
            RiskTierDisplay.from_predictions(
                self.y[self.tested],
                tiers[name].to_numpy()[self.tested].astype(str),
                groups=groups,
                target_names=self.target_names,
                confidence_level=self.confidence_level,
                ax=axes,
            )

        caption = (
            f"Share of {self.target_names[1]} in each risk tier, with {_level(self)} intervals (black lines) and "
            f"numbers: records with {self.target_names[1]} of all in the tier. Thresholds of each fold were chosen on "
            "the other folds: rule-out at a sensitivity of 0.90, rule-in at a positive predictive value of 0.85, low "
            f"and high parted at the greatest F1. {describe(self)}"
        )
        return _draw_panels(self, draw, 2.4, caption, width=5.6, per_row=2)


def _draw_together(result: Findings, make: Callable[[str], Any], reference: str, caption: str) -> Figure:
    """Return a figure in which all estimators share the axes; what they have in common is drawn once."""
    figure = _new_figure(6.4, 6.9)
    axes = figure.add_subplot()
    bands = len(result.table) <= _MOST_BANDS
    for number, name in enumerate(result.table.index):
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
        make(str(name)).plot(axes, plot_band=bands, **{reference: number == 0}, **style)
    _add_caption(figure, caption, 6.4)
    return figure


def _draw_panels(
    result: Findings,
    draw: Callable[[str, int, Any], None],
    height: float,
    caption: str,
    width: float = _PANEL_WIDTH,
    per_row: int = _PANELS_PER_ROW,
) -> Figure:
    """Return a figure with axes for each estimator."""
    names = [str(name) for name in result.table.index]
    n_columns = min(len(names), per_row)
    n_rows = -(-len(names) // n_columns)
    figure = _new_figure(width * n_columns, height * n_rows + (1.0 if n_columns > 1 else 1.8))
    for number, name in enumerate(names):
        axes = figure.add_subplot(n_rows, n_columns, number + 1)
        draw(name, number, axes)
        axes.set_title(name, fontsize=10)
        if number % n_columns:
            axes.set_ylabel("")
    _add_caption(figure, caption, width * n_columns)
    return figure


def _predictions(result: Findings, name: str) -> tuple[Any, Any]:
    return result.y[result.tested], result.probabilities[name].to_numpy()[result.tested]


def _bands(result: Findings) -> dict[str, Any]:
    return {
        "groups": None if result.groups is None else result.groups[result.tested],
        "n_resamples": _N_RESAMPLES,
        "confidence_level": result.confidence_level,
        "random_state": 0,
    }


def _interval(result: Findings, name: str, metric: str) -> Interval:
    """Return a figure of the table, so that picture and table say the same."""
    estimate, low, high = result.table.loc[name, [metric, f"{metric}_low", f"{metric}_high"]].to_numpy(dtype=float)
    return Interval(estimate, low, high, result.confidence_level)


def _level(result: Findings) -> str:
    return f"{100 * result.confidence_level:g} %"


def _describe_bands(result: Findings) -> str:
    if len(result.table) > _MOST_BANDS:
        return ""
    units = "records" if result.groups is None else "patients"
    return f"Bands: {_level(result)}, pointwise, by bootstrap of {units}."


def describe(result: Findings) -> str:
    """Return the sentence that says what a picture rests on."""
    counts = result.counts
    patients = f" of {counts['n_patients']} patients" if result.groups is not None else ""
    return (
        f"{counts['n_records']} records{patients}, {counts['n_events']} with {result.target_names[1]}; "
        f"out-of-fold probabilities of {counts['n_folds']}-fold cross-validation"
        f"{' by patient' if result.groups is not None else ''}."
    )


def _add_caption(figure: Figure, text: str, width: float) -> None:
    text = " ".join(text.split())
    figure.supxlabel(
        textwrap.fill(text, int(_LETTERS_PER_INCH * width)), fontsize=8.5, x=0.02, ha="left", color="#333333"
    )
