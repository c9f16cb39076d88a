"""Curves with bands: ROC, precision and recall, reliability, net benefit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators._text import clean_label
from omi_estimators._validation import check_labels, check_scores
from omi_estimators.displays.style import GREY, Display, Names, NamesDisplay, count, finish_axes, plot_curve
from omi_estimators.metrics import (
    CalibrationLine,
    Curve,
    Interval,
    bootstrap_interval,
    calibration_slope_intercept,
    decision_curve,
    precision_recall_band,
    reliability_curve,
    roc_band,
)

_HEIGHT = 0.12


class _AreaDisplay(Display):
    """A curve of the unit square, and the figure that is the area under it, of scores that rank records."""

    _title: ClassVar[str]
    _place: ClassVar[Any]
    _labels: ClassVar[dict[str, Any]]
    _compute: ClassVar[Callable[..., tuple[Any, ...]]]
    _area: Interval
    # The heights of what chance reaches, at both ends.
    _chance: tuple[float, float]

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        folds: ArrayLike | None = None,
        name: str | None = None,
        target_names: Names = ("negative", "positive"),
        n_resamples: int = 500,
        confidence_level: float = 0.95,
        random_state: Any = 0,
        ax: Any = None,
        **line_params: Any,
    ) -> Self:
        """Compute and draw.

        Parameters
        ----------
        y_true, y_score, groups, folds
            As in `omi_estimators.metrics.roc_band` and `omi_estimators.metrics.precision_recall_band`.
        name : str, optional
            Of the model.
        target_names : tuple of two str, default=("negative", "positive")
            Names of the classes.
        n_resamples, confidence_level, random_state
            As in `omi_estimators.metrics.roc_band`.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        **line_params
            For matplotlib's `plot`.

        Returns
        -------
        display
            Drawn.
        """
        given: dict[str, Any] = {
            "groups": groups,
            "folds": folds,
            "n_resamples": n_resamples,
            "confidence_level": confidence_level,
            "random_state": random_state,
        }
        make: Any = cls
        display: Self = make(
            *cls._compute(y_true, y_score, given), name=name, counts=count(y_true, groups, target_names)
        )
        return display.plot(ax, **line_params)

    def plot(self, ax: Any = None, *, plot_band: bool = True, plot_chance: bool = True, **line_params: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        plot_band : bool, default=True
            Whether to draw the band.
        plot_chance : bool, default=True
            Whether to draw what chance reaches.
        **line_params
            For matplotlib's `plot`.

        Returns
        -------
        display
            Itself.
        """
        label = f"{self._title if self.name is None else clean_label(self.name)}: {self._area}"
        plot_curve(self, ax, plot_band, {"label": label} | line_params)
        if plot_chance:
            self.ax_.plot([0, 1], self._chance, color=GREY, linewidth=0.8, zorder=1)
        limits = {"xlim": (-0.01, 1.01), "ylim": (-0.01, 1.01), "aspect": "equal"}
        finish_axes(self.ax_, self.counts, **limits, **self._labels)
        title = f"{self._title} [{100 * self._area.confidence_level:g} % CI]"
        self.ax_.legend(loc=self._place, fontsize=8, title=title, title_fontsize=8)
        return self


@dataclass(eq=False, repr=False)
class RocBandDisplay(_AreaDisplay):
    """ROC curve with a band by bootstrap of patients, and its area with interval.

    Parameters
    ----------
    curve : Curve
        1 - specificity and sensitivity.
    roc_auc : Interval
        The area.
    name : str, optional
        Of the model, for the legend.
    counts : str, default=""
        What the picture rests on, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.
    line_ : matplotlib Line2D
        The curve.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators.displays import RocBandDisplay
    >>> y = np.arange(100) % 2
    >>> score = y + np.random.default_rng(0).normal(size=100)
    >>> display = RocBandDisplay.from_predictions(y, score, ax=Figure().add_subplot())
    >>> display.ax_.get_ylabel()
    'Sensitivity'
    """

    curve: Curve
    roc_auc: Interval

    _title, _labels = "AUROC", {"xlabel": "1 - specificity", "ylabel": "Sensitivity"}
    # Below the diagonal there is room: no curve worth drawing runs there.
    _place = "lower right"

    def __post_init__(self) -> None:
        self._area, self._chance = self.roc_auc, (0, 1)

    @staticmethod
    def _compute(y_true: ArrayLike, y_score: ArrayLike, given: dict[str, Any]) -> tuple[Curve, Interval]:
        return roc_band(y_true, y_score, **given), bootstrap_interval(y_true, y_score, "roc_auc", **given)


@dataclass(eq=False, repr=False)
class PrecisionRecallBandDisplay(_AreaDisplay):
    """Precision against recall with a band by bootstrap of patients, and the average precision with interval.

    Parameters
    ----------
    curve : Curve
        Recall and precision.
    average_precision : Interval
        Over all positives.
    prevalence : float
        Share of positives.
    name : str, optional
        Of the model, for the legend.
    counts : str, default=""
        What the picture rests on, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.
    line_ : matplotlib Line2D
        The curve.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators.displays import PrecisionRecallBandDisplay
    >>> y = np.arange(100) % 2
    >>> score = y + np.random.default_rng(0).normal(size=100)
    >>> display = PrecisionRecallBandDisplay.from_predictions(y, score, ax=Figure().add_subplot())
    >>> display.ax_.get_ylabel()
    'Precision (positive predictive value)'
    """

    curve: Curve
    average_precision: Interval
    prevalence: float

    _title, _labels = "AP", {"xlabel": "Recall (sensitivity)", "ylabel": "Precision (positive predictive value)"}
    # Where events are rare, the curve runs along the foot; where the model is good, along the head.
    _place = "best"

    def __post_init__(self) -> None:
        self._area, self._chance = self.average_precision, (self.prevalence, self.prevalence)

    @staticmethod
    def _compute(y_true: ArrayLike, y_score: ArrayLike, given: dict[str, Any]) -> tuple[Curve, Interval, float]:
        area = bootstrap_interval(y_true, y_score, "average_precision", **given)
        return precision_recall_band(y_true, y_score, **given), area, float(check_labels(y_true).mean())


@dataclass(eq=False, repr=False)
class ReliabilityDisplay(NamesDisplay):
    """Smooth reliability curve with a band by bootstrap of patients, and the probabilities of each class.

    Parameters
    ----------
    curve : Curve
        Predicted probability and observed frequency.
    line : CalibrationLine
        Slope and intercept of calibration.
    negative, positive : ndarray of shape (n,)
        Probabilities of the records of each class, drawn as histograms at the foot and the head.
    name : str, optional
        Of the model, for the legend.
    counts : str, default=""
        What the picture rests on, for the title.
    target_names : tuple of two str, default=("negative", "positive")
        Names of the classes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.
    line_ : matplotlib Line2D
        The curve.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators.displays import ReliabilityDisplay
    >>> rng = np.random.default_rng(0)
    >>> p = rng.random(200)
    >>> y = rng.random(200) < p
    >>> display = ReliabilityDisplay.from_predictions(y, p, ax=Figure().add_subplot(), target_names=("normal", "MI"))
    >>> display.ax_.get_ylabel()
    'Observed frequency of MI'
    """

    curve: Curve
    line: CalibrationLine
    negative: NDArray[np.float64]
    positive: NDArray[np.float64]

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_prob: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        folds: ArrayLike | None = None,
        span: float = 0.75,
        name: str | None = None,
        target_names: Names = ("negative", "positive"),
        n_resamples: int = 500,
        confidence_level: float = 0.95,
        random_state: Any = 0,
        ax: Any = None,
        **line_params: Any,
    ) -> Self:
        """Compute and draw.

        Parameters
        ----------
        y_true, y_prob, groups
            As in `omi_estimators.metrics.reliability_curve`.
        folds : array-like of shape (n_records,), optional
            In cross-validation, the fold of each record: a prediction constant in every fold has no slope.
        span : float, default=0.75
            As in `omi_estimators.metrics.reliability_curve`.
        name : str, optional
            Of the model.
        target_names : tuple of two str, default=("negative", "positive")
            Names of the classes.
        n_resamples, confidence_level, random_state
            As in `omi_estimators.metrics.reliability_curve`.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        **line_params
            For matplotlib's `plot`.

        Returns
        -------
        ReliabilityDisplay
            Drawn.
        """
        positive = check_labels(y_true)
        prob = check_scores(y_prob, len(positive), probability=True, name="y_prob")
        curve = reliability_curve(
            y_true,
            prob,
            groups=groups,
            span=span,
            n_resamples=n_resamples,
            confidence_level=confidence_level,
            random_state=random_state,
        )
        display = cls(
            curve,
            calibration_slope_intercept(y_true, prob, folds=folds),
            prob[~positive],
            prob[positive],
            name=name,
            target_names=target_names,
            counts=count(y_true, groups, target_names),
        )
        return display.plot(ax, **line_params)

    def plot(self, ax: Any = None, *, plot_band: bool = True, plot_histogram: bool = True, **line_params: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        plot_band : bool, default=True
            Whether to draw the band.
        plot_histogram : bool, default=True
            Whether to draw how probabilities are distributed, positives from the head down and negatives from
            the foot up.
        **line_params
            For matplotlib's `plot`.

        Returns
        -------
        ReliabilityDisplay
            Itself.
        """
        title = "" if self.name is None else f"{clean_label(self.name)}\n"
        slope = "no slope" if np.isnan(self.line.slope) else f"slope {self.line.slope:.2f}"
        label = f"{title}{slope}, intercept {self.line.intercept:+.2f}"
        marker = {"marker": "o"} if len(self.curve.x) == 1 else {}
        plot_curve(self, ax, plot_band, {"label": label} | marker | line_params)
        self.ax_.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, zorder=1)
        if plot_histogram:
            self._plot_histogram()
        finish_axes(
            self.ax_,
            self.counts,
            xlabel=f"Predicted probability of {self.target_names[1]}",
            ylabel=f"Observed frequency of {self.target_names[1]}",
            xlim=(-0.01, 1.01),
            ylim=(-_HEIGHT, 1 + _HEIGHT),
            aspect="equal",
        )
        self.ax_.set_yticks(np.linspace(0, 1, 6))
        self.ax_.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0.0, 1 - _HEIGHT))
        return self

    def _plot_histogram(self) -> None:
        """Draw a histogram of each class outside the range of frequencies, where it hides nothing."""
        bins = np.linspace(0, 1, 41)
        places = ((self.negative, -_HEIGHT, 1, "#aaaaaa"), (self.positive, 1 + _HEIGHT, -1, GREY))
        for (prob, start, direction, colour), name in zip(places, self.target_names, strict=True):
            label = f"{name} (n = {len(prob)})"
            shares = np.histogram(prob, bins)[0]
            height = direction * 0.9 * _HEIGHT * shares / shares.max()
            self.ax_.bar(bins[:-1], height, bins[1], start, align="edge", color=colour, linewidth=0, label=label)


@dataclass(eq=False, repr=False)
class DecisionCurveDisplay(Display):
    """Net benefit of treating by a model, against treating everybody and nobody.

    Parameters
    ----------
    curve : Curve
        Threshold and net benefit.
    prevalence : float
        Share of positives, for the line of treating everybody.
    name : str, optional
        Of the model, for the legend.
    counts : str, default=""
        What the picture rests on, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.
    line_ : matplotlib Line2D
        The curve.

    References
    ----------
    Vickers A. J., Elkin E. B., Decision curve analysis, Medical Decision Making 26:565-574, 2006.
    doi:10.1177/0272989X06295361

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators.displays import DecisionCurveDisplay
    >>> y, p = np.arange(100) % 2, np.random.default_rng(0).random(100)
    >>> display = DecisionCurveDisplay.from_predictions(y, p, ax=Figure().add_subplot())
    >>> len(display.ax_.lines)
    3
    """

    curve: Curve
    prevalence: float

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_prob: ArrayLike,
        *,
        thresholds: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        name: str | None = None,
        target_names: Names = ("negative", "positive"),
        n_resamples: int = 500,
        confidence_level: float = 0.95,
        random_state: Any = 0,
        ax: Any = None,
        **line_params: Any,
    ) -> Self:
        """Compute and draw.

        Parameters
        ----------
        y_true, y_prob, thresholds, groups
            As in `omi_estimators.metrics.decision_curve`.
        name : str, optional
            Of the model.
        target_names : tuple of two str, default=("negative", "positive")
            Names of the classes.
        n_resamples, confidence_level, random_state
            As in `omi_estimators.metrics.decision_curve`.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        **line_params
            For matplotlib's `plot`.

        Returns
        -------
        DecisionCurveDisplay
            Drawn.
        """
        curve = decision_curve(
            y_true,
            y_prob,
            thresholds=thresholds,
            groups=groups,
            n_resamples=n_resamples,
            confidence_level=confidence_level,
            random_state=random_state,
        )
        prevalence = float(check_labels(y_true).mean())
        return cls(curve, prevalence, name=name, counts=count(y_true, groups, target_names)).plot(ax, **line_params)

    def plot(self, ax: Any = None, *, plot_band: bool = True, plot_reference: bool = True, **line_params: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        plot_band : bool, default=True
            Whether to draw the band.
        plot_reference : bool, default=True
            Whether to draw what treating everybody, and nobody, gains.
        **line_params
            For matplotlib's `plot`.

        Returns
        -------
        DecisionCurveDisplay
            Itself.
        """
        plot_curve(self, ax, plot_band, {"label": clean_label(self.name or "model")} | line_params)
        if plot_reference:
            x = np.linspace(0, 0.99, 200)
            everybody = self.prevalence - (1 - self.prevalence) * x / (1 - x)
            self.ax_.plot(x, everybody, color=GREY, linewidth=1.0, label="treat everybody", zorder=1)
            self.ax_.axhline(0, color="#000000", linewidth=1.0, label="treat nobody", zorder=1)
        # Far below 0 lies only what nobody would do.
        finish_axes(
            self.ax_,
            self.counts,
            xlabel="Threshold probability",
            ylabel="Net benefit (true positives per record)",
            xlim=(0, 1),
            ylim=(-0.15 * self.prevalence, 1.1 * self.prevalence),
        )
        self.ax_.legend(fontsize=8, loc="best")
        return self
