"""What a comparison found: its figures as tables, its pictures, and its report."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omi_estimators._text import clean_label
from omi_estimators._validation import count_noun
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
from omi_estimators.evaluation._checklist import describe_comparison, make_checklist, write_checklist
from omi_estimators.evaluation._page import (
    Section,
    Verdict,
    new_figure,
    replacing_files,
    show_in_notebook,
    write_json,
    write_pictures,
)
from omi_estimators.evaluation._report import draw_pictures, write_comparison
from omi_estimators.evaluation._tables import format_columns, format_interval
from omi_estimators.evaluation._verdict import find_verdict, make_threshold_table
from omi_estimators.metrics import Interval, decision_curve, precision_recall_band, roc_band

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLES = {"roc_auc": "AUROC", "average_precision": "AP", "brier_score": "Brier"}
_CALIBRATION = {
    "calibration_slope": "slope",
    "calibration_intercept": "intercept",
    "expected_calibration_error": "ECE",
    "brier_skill_score": "Brier skill",
}
_DECISIONS = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV", "f1": "F1"}
_SETTINGS = ("target_names", "reference", "confidence_level", "n_resamples", "n_redrawn", "n_repeats", "random_state")

_N_RESAMPLES = 500
_PANELS_PER_ROW = 3
_PANEL_WIDTH = 3.9
_LETTERS_PER_INCH = 15
# More bands than these cover each other.
_MOST_BANDS = 4


@dataclass(frozen=True)
class ComparisonResult:
    """Figures of several estimators on the same folds, and what they were computed from.

    With ``repeats=R``, whatever holds one entry for each record holds `R`, repeat after repeat
    (``probabilities.loc[r]`` are those of repeat `r`), and folds are counted through all repeats. Figures are means
    over repeats, and ``_spread`` columns hold their standard deviations. Probabilities are not averaged: `R` models
    together are better than any of them. In pictures and tiers each record counts once in each repeat.

    Attributes
    ----------
    table : DataFrame
        One row for each estimator. For `roc_auc`, `average_precision`, `brier_score`, `brier_skill_score`,
        `calibration_slope`, `calibration_intercept` and `expected_calibration_error`: the figure, its
        `_low` and `_high` end, and `_difference` to the reference with ends (NaN in the reference's row).
        `fit_time` and `predict_time` are means over folds, in seconds.
    folds : DataFrame
        One row for each fold and estimator: `repeat` if there are several, `n_train`, `n_test`, `n_events`, figures
        and times.
    decisions : DataFrame or None
        One row for each estimator: `sensitivity`, `specificity`, `ppv`, `npv` and `f1` with ends, at the
        threshold of greatest F1 that the other folds chose. None if there is one fold only.
    tier_tables : DataFrame or None
        What each risk tier of each estimator holds, as from `omi_estimators.triage.tier_table`.
    subgroups : DataFrame
        One row for each column, level and estimator; empty if none were asked for.
    tiers : DataFrame of str or None
        Risk tier of each record by each estimator, with thresholds chosen on the other folds; "not judged" for
        records that an estimator could not judge, empty text for those that no fold tested.
    probabilities : DataFrame of shape (n_records, n_estimators)
        Out-of-fold probabilities of the positive class; NaN for records that no fold tested.
    y : ndarray of shape (n_records,)
        1 for the positive class, else 0.
    groups : ndarray of shape (n_records,) or None
        Patient of each record.
    fold : ndarray of shape (n_records,)
        The fold that tested each record; -1 for none.
    reasons : ndarray of str, shape (n_records,)
        Why a record could not be judged by every estimator (`omi_estimators.preprocessing.usable_records`), empty if it
        could. The others count in no figure.
    estimators : dict of str to str
        How each estimator is written.
    reference : str
        The estimator that the others are compared with.
    target_names : tuple of two str
        Names of the negative and the positive class.
    confidence_level : float
        Level of the intervals.
    n_resamples, n_redrawn : int
        Resamples of the bootstrap, and how many held one class only and were drawn again.
    n_repeats : int
        How often the cross-validation was run.
    random_state : int or None
        The seed, if it was given as a number.
    """

    table: pd.DataFrame
    folds: pd.DataFrame
    decisions: pd.DataFrame | None = field(repr=False)
    tier_tables: pd.DataFrame | None = field(repr=False)
    subgroups: pd.DataFrame = field(repr=False)
    tiers: pd.DataFrame | None = field(repr=False)
    probabilities: pd.DataFrame = field(repr=False)
    y: NDArray[np.int64] = field(repr=False)
    groups: NDArray[Any] | None = field(repr=False)
    fold: NDArray[np.int64] = field(repr=False)
    reasons: NDArray[np.object_] = field(repr=False)
    estimators: dict[str, str] = field(repr=False)
    reference: str
    target_names: tuple[str, str]
    confidence_level: float
    n_resamples: int
    n_redrawn: int
    n_repeats: int = 1
    random_state: int | None = None

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Whether each record was tested by a fold, and could be judged by every estimator."""
        return (self.fold >= 0) & (self.reasons == "")

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of records, patients, events (records of the positive class) and folds that count, of one repeat."""
        n_records = int(self.tested.sum()) // self.n_repeats
        return {
            "n_records": n_records,
            "n_patients": n_records if self.groups is None else len(np.unique(self.groups[self.tested])),
            "n_events": int(self.y[self.tested].sum()) // self.n_repeats,
            "n_folds": (int(self.fold.max()) + 1) // self.n_repeats,
        }

    @property
    def best(self) -> str:
        """The estimator of the highest AUROC."""
        return str(self.table["roc_auc"].idxmax())

    @cached_property
    def verdict(self) -> Verdict:
        """Which estimator ranks best, how sure that is, and what it takes to be sure, in words.

        It is "good" if the interval of the difference in AUROC to each other estimator is above 0; "bad" if the best
        is no better than chance; otherwise, and with fewer than ten patients of a class, "open".
        """
        return find_verdict(self)

    def _repr_html_(self) -> str:
        return show_in_notebook(self.verdict, self.summary())

    def __str__(self) -> str:
        table = self.summary()
        difference = f"AUROC minus {self.reference}"
        lines = [table.drop(columns=difference).rename_axis(None).to_string()]
        lines += [f"{difference}: {name} {text}" for name, text in table[difference].items() if name != self.reference]
        return "\n".join(lines)

    def summary(self) -> pd.DataFrame:
        """Return the table as text for people: figures with intervals, and the difference in AUROC.

        Returns
        -------
        DataFrame of str
            One row for each estimator.
        """
        found = format_columns(self.table, _TITLES, self.confidence_level)
        found[f"AUROC minus {self.reference}"] = [
            "(reference)" if name == self.reference else format_interval(row, "roc_auc_difference", "+")
            for name, row in self.table.iterrows()
        ]
        found["fit, s"] = [f"{seconds:.1f}" for seconds in self.table["fit_time"]]
        return found

    def describe_intervals(self) -> str:
        """Return in words what the intervals of figures and differences hold, and what they do not.

        Returns
        -------
        str
            Whole sentences.
        """
        units = "records" if self.groups is None else "patients"
        if self.n_repeats == 1:
            return (
                f"The intervals tell how the figures move with other {units}, not with another split into folds or "
                "another training of the same estimator (repeats=5 tells that too)."
            )
        return (
            f"Figures are means over {self.n_repeats} repeats of the cross-validation, each with new folds and new "
            "seeds; ± is their standard deviation over repeats, the luck of a single one. The intervals tell how "
            f"the figures move with other {units}, and with other folds and seeds; other "
            "patients to learn from would move them a little more."
        )

    def calibration_summary(self) -> pd.DataFrame:
        """Return calibration slope and intercept, expected calibration error and Brier skill as text for people.

        Returns
        -------
        DataFrame of str
            One row for each estimator.
        """
        return format_columns(self.table, _CALIBRATION, self.confidence_level)

    def decision_summary(self) -> pd.DataFrame | None:
        """Return sensitivity, specificity, predictive values and F1 as text for people.

        Returns
        -------
        DataFrame of str or None
            One row for each estimator; None if there is one fold only.
        """
        return None if self.decisions is None else format_columns(self.decisions, _DECISIONS, self.confidence_level)

    def threshold_summary(self) -> pd.DataFrame | None:
        """Return the thresholds of the best estimator, and what they give, as text for people.

        Returns
        -------
        DataFrame of str or None
            Columns "rule-out", "greatest F1" and "rule-in"; None if there is one fold only.
        """
        return make_threshold_table(self)

    def checklist(self, *, n_skipped: int = 0) -> pd.DataFrame:
        """Return the TRIPOD+AI sheet, filled in where this comparison knows the answer.

        Parameters
        ----------
        n_skipped : int, default=0
            Damaged records that were left out before.

        Returns
        -------
        DataFrame
            As from `make_checklist`: `item`, `section`, `topic`, `applies`, `answer`, `question`.
        """
        return make_checklist(describe_comparison(self, n_skipped))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write `table` as CSV.

        Parameters
        ----------
        path : path-like
            The file; overwritten if it exists.
        """
        self.table.to_csv(path)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write everything but single records as JSON: figures, folds, numbers, how it was done.

        Parameters
        ----------
        path : path-like
            The file; overwritten if it exists.
        """
        tables = ("table", "folds", "subgroups", "decisions")
        content = {name: getattr(self, name) for name in (*_SETTINGS, "estimators", *tables)}
        write_json(Path(path), {"verdict": self.verdict._asdict(), **self.counts, **content, "tiers": self.tier_tables})

    def plot_roc(self) -> Figure:
        """Draw the ROC curves, averaged over folds; the area under each is its `roc_auc`.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """

        def make(name: str) -> RocBandDisplay:
            curve = roc_band(*self._predictions(name), **self._bands(), folds=self.fold[self.tested])
            return RocBandDisplay(curve, self._interval(name, "roc_auc"), name=name)

        caption = (
            f"ROC curves for {self.target_names[1]} against {self.target_names[0]}, averaged over folds. "
            f"{self._describe_bands()} Thin grey line: chance."
        )
        return self._draw_together(make, "plot_chance", caption)

    def plot_precision_recall(self) -> Figure:
        """Draw precision against recall, averaged over folds; the area under each is its `average_precision`.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """
        prevalence = float(self.y[self.tested].mean())

        def make(name: str) -> PrecisionRecallBandDisplay:
            curve = precision_recall_band(*self._predictions(name), **self._bands(), folds=self.fold[self.tested])
            return PrecisionRecallBandDisplay(curve, self._interval(name, "average_precision"), prevalence, name=name)

        caption = (
            f"Of the records called {self.target_names[1]}, the share that is (precision), against the share of "
            f"{self.target_names[1]} that is called so (recall), averaged over folds. {self._describe_bands()} "
            f"Thin grey line: chance, the share of {self.target_names[1]}."
        )
        return self._draw_together(make, "plot_chance", caption)

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
                decision_curve(*self._predictions(name), **self._bands()), prevalence, name=name
            )

        caption = (
            "Net benefit of treating records at or above a threshold: true positives, less false positives at the "
            "exchange rate that the threshold implies, per record. Higher is better; a model is of use where its line "
            f"is above treating everybody and nobody. {self._describe_bands()}"
        )
        return self._draw_together(make, "plot_reference", caption)

    def plot_reliability(self) -> Figure:
        """Draw observed against predicted frequency, and the distribution of probabilities by class.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """

        def draw(name: str, number: int, axes: Any) -> None:
            y, prob = self._predictions(name)
            given = {"target_names": self.target_names, "color": COLOURS[number % len(COLOURS)], "ax": axes}
            ReliabilityDisplay.from_predictions(y, prob, folds=self.fold[self.tested], **given, **self._bands())

        caption = (
            f"Observed against predicted frequency of {self.target_names[1]}, smoothed (loess), with pointwise "
            f"{self._level()} bands; on the grey diagonal probabilities mean what they say. Bars: how probabilities "
            f"are distributed, {self.target_names[1]} from above, {self.target_names[0]} from below."
        )
        return self._draw_panels(draw, 4.4, caption)

    def plot_probabilities(self) -> Figure:
        """Draw how probabilities are distributed in each class.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """

        def draw(name: str, number: int, axes: Any) -> None:
            y, prob = self._predictions(name)
            ProbabilityDisplay.from_predictions(y, prob, target_names=self.target_names, ax=axes)

        caption = (
            f"How predicted probabilities are distributed among {self.target_names[1]} and {self.target_names[0]}; "
            f"the bars of each class sum to one."
        )
        return self._draw_panels(draw, 2.9, caption)

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

        def draw(name: str, number: int, axes: Any) -> None:
            RiskTierDisplay.from_predictions(
                self.y[self.tested],
                tiers[name].to_numpy()[self.tested].astype(str),
                groups=self.units(),
                target_names=self.target_names,
                confidence_level=self.confidence_level,
                ax=axes,
            )

        caption = (
            f"Share of {self.target_names[1]} in each risk tier, with {self._level()} intervals (black lines) and "
            f"numbers: records with {self.target_names[1]} of all in the tier. Thresholds of each fold were chosen on "
            "the other folds: rule-out at a sensitivity of 0.90, rule-in at a positive predictive value of 0.85, low "
            f"and high parted at the greatest F1."
        )
        return self._draw_panels(draw, 2.4, caption, width=5.6, per_row=2)

    def _draw_together(self, make: Callable[[str], Any], reference: str, caption: str) -> Figure:
        """Return a figure in which all estimators share the axes; what they have in common is drawn once."""
        figure = new_figure(6.4, 6.9)
        axes = figure.add_subplot()
        bands = len(self.table) <= _MOST_BANDS
        for number, name in enumerate(self.table.index):
            style = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
            make(str(name)).plot(axes, plot_band=bands, **{reference: number == 0}, **style)
        self._add_caption(figure, caption, 6.4)
        return figure

    def _draw_panels(
        self,
        draw: Callable[[str, int, Any], Any],
        height: float,
        caption: str,
        width: float = _PANEL_WIDTH,
        per_row: int = _PANELS_PER_ROW,
    ) -> Figure:
        """Return a figure with axes for each estimator."""
        names = [str(name) for name in self.table.index]
        n_columns = min(len(names), per_row)
        n_rows = -(-len(names) // n_columns)
        figure = new_figure(width * n_columns, height * n_rows + (1.0 if n_columns > 1 else 1.8))
        for number, name in enumerate(names):
            axes = figure.add_subplot(n_rows, n_columns, number + 1)
            draw(name, number, axes)
            axes.set_title(clean_label(name), fontsize=10)
            if number % n_columns:
                axes.set_ylabel("")
        self._add_caption(figure, caption, width * n_columns)
        return figure

    def _add_caption(self, figure: Figure, text: str, width: float) -> None:
        """Write what a picture shows, and what it rests on, below it."""
        n_patients = f" of {count_noun(self.counts['n_patients'], 'patient')}" if self.groups is not None else ""
        words = (
            f"{text} {count_noun(self.counts['n_records'], 'record')}{n_patients}, {self.counts['n_events']} with "
            f"{self.target_names[1]}; out-of-fold probabilities of {self.counts['n_folds']}-fold cross-validation"
            f"{' by patient' if self.groups is not None else ''}"
            f"{f', each record once in each of {self.n_repeats} repeats' if self.n_repeats > 1 else ''}."
        )
        lines = textwrap.fill(" ".join(words.split()), int(_LETTERS_PER_INCH * width))
        figure.supxlabel(lines, fontsize=8.5, x=0.02, ha="left", color="#333333")

    def _predictions(self, name: str) -> tuple[Any, Any]:
        """Return labels and probabilities of the records that count."""
        return self.y[self.tested], self.probabilities[name].to_numpy()[self.tested]

    def units(self) -> NDArray[Any]:
        """Return whom each record that counts is of: its patient or, without patients, itself.

        Returns
        -------
        ndarray of shape (n_records,)
            One entry for each repeat and record that counts.
        """
        # The same record comes again in each repeat.
        own = np.tile(np.arange(len(self.y) // self.n_repeats), self.n_repeats)
        return (own if self.groups is None else self.groups)[self.tested]

    def _bands(self) -> dict[str, Any]:
        """Return how the bands of curves are computed."""
        given = {"groups": self.units(), "confidence_level": self.confidence_level}
        return {**given, "n_resamples": _N_RESAMPLES, "random_state": 0}

    def _interval(self, name: str, metric: str) -> Interval:
        """Return a figure of the table, so that picture and table say the same."""
        estimate, low, high = self.table.loc[name, [metric, f"{metric}_low", f"{metric}_high"]].to_numpy(dtype=float)
        return Interval(estimate, low, high, self.confidence_level)

    def _level(self) -> str:
        """Return the confidence level in words."""
        return f"{100 * self.confidence_level:g} %"

    def _describe_bands(self) -> str:
        """Return what bands show, if there are any."""
        units = "records" if self.groups is None else "patients"
        return f"Bands: {self._level()}, pointwise, by bootstrap of {units}." if len(self.table) <= _MOST_BANDS else ""

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        title: str = "Comparison of ECG classifiers",
        notes: Sequence[str] = (),
        n_skipped: int = 0,
        sections: Sequence[Section] = (),
        commands: Sequence[str] = (),
    ) -> Path:
        """Write one self-contained page: the verdict, tables, pictures with captions, and how it was done.

        Parameters
        ----------
        path : path-like
            The file; overwritten if it exists.
        title, notes, n_skipped, sections, commands
            As in `write_report`.

        Returns
        -------
        Path
            The page.

        Raises
        ------
        ImportError
            If matplotlib is not installed (the extra `plot`).
        """
        return write_comparison(Path(path), self, draw_pictures(self), title, notes, n_skipped, sections, commands)

    def write_report(
        self,
        folder: str | os.PathLike[str],
        *,
        title: str = "Comparison of ECG classifiers",
        notes: Sequence[str] = (),
        n_skipped: int = 0,
        sections: Sequence[Section] = (),
        commands: Sequence[str] = (),
    ) -> Path:
        """Write a folder with a page to read, pictures, and tables for machines.

        Parameters
        ----------
        folder : path-like
            Made if it does not exist; files of an earlier report are overwritten.
        title : str, default="Comparison of ECG classifiers"
            Heading of the page.
        notes : sequence of str, default=()
            Sentences about the data or the run, shown at the top.
        n_skipped : int, default=0
            Damaged records that were left out, for the count of records.
        sections : sequence of Section, default=()
            Further sections, such as those of `inspect_comparison`, after the pictures.
        commands : sequence of str, default=()
            Sentences with commands, such as the one that made the report, near its end.

        Returns
        -------
        Path
            The page, `index.html`, which holds its pictures itself. Beside it each picture as PNG,
            `table.csv`, `folds.csv`, `subgroups.csv` if any, `result.json`, and the TRIPOD+AI sheet as `tripod_ai.md`
            and `tripod_ai.csv`.

        Raises
        ------
        ImportError
            If matplotlib is not installed (the extra `plot`).
        """
        pictures = draw_pictures(self)
        with replacing_files(Path(folder)) as place:
            write_pictures(pictures, place)
            self.to_csv(place / "table.csv")
            self.folds.to_csv(place / "folds.csv", index=False)
            if len(self.subgroups):
                self.subgroups.to_csv(place / "subgroups.csv", index=False)
            self.to_json(place / "result.json")
            write_checklist(self.checklist(n_skipped=n_skipped), place)
            write_comparison(place / "index.html", self, pictures, title, notes, n_skipped, sections, commands)
        return Path(folder, "index.html")
