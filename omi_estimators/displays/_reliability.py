"""Predicted against observed frequency."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators._validation import check_codes, check_labels, check_scores
from omi_estimators.displays._base import GREY, FromEstimatorMixin, Names, count, finish, get_axes, plot_curve
from omi_estimators.metrics import CalibrationLine, Curve, reliability_curve
from omi_estimators.metrics._weighted import make_statistic

_HEIGHT = 0.12


class ReliabilityDisplay(FromEstimatorMixin):
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
    target_names : tuple of two str, default=("negative", "positive")
        Names of the classes.
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
    >>> from omi_estimators.displays import ReliabilityDisplay
    >>> rng = np.random.default_rng(0)
    >>> p = rng.random(200)
    >>> y = rng.random(200) < p
    >>> display = ReliabilityDisplay.from_predictions(y, p, ax=Figure().add_subplot(), target_names=("normal", "MI"))
    >>> display.ax_.get_ylabel()
    'Observed frequency of MI'
    """

    def __init__(
        self,
        curve: Curve,
        line: CalibrationLine,
        negative: NDArray[np.float64],
        positive: NDArray[np.float64],
        *,
        name: str | None = None,
        target_names: Names = ("negative", "positive"),
        counts: str = "",
    ):
        self.curve = curve
        self.line = line
        self.negative = negative
        self.positive = positive
        self.name = name
        self.target_names = target_names
        self.counts = counts

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
    ) -> ReliabilityDisplay:
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
            _find_line(positive, prob, check_codes(folds, len(positive), name="folds")),
            prob[~positive],
            prob[positive],
            name=name,
            target_names=target_names,
            counts=count(y_true, groups, target_names),
        )
        return display.plot(ax, **line_params)

    def plot(
        self, ax: Any = None, *, plot_band: bool = True, plot_histogram: bool = True, **line_params: Any
    ) -> ReliabilityDisplay:
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
        self.ax_ = get_axes(ax)
        self.figure_ = self.ax_.figure
        self.ax_.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, zorder=1)
        title = "" if self.name is None else f"{self.name}\n"
        slope = "no slope" if np.isnan(self.line.slope) else f"slope {self.line.slope:.2f}"
        label = f"{title}{slope}, intercept {self.line.intercept:+.2f}"
        marker = {"marker": "o"} if len(self.curve.x) == 1 else {}
        self.line_ = plot_curve(self.ax_, self.curve, plot_band, {"label": label} | marker | line_params)
        if plot_histogram:
            self._plot_histogram()
        finish(
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


def _find_line(
    positive: NDArray[np.bool_], prob: NDArray[np.float64], folds: NDArray[np.intp] | None
) -> CalibrationLine:
    """Return slope and intercept; an infinite slope, rather than an error, where the classes are separated."""
    once = np.ones((len(prob), 1))
    names = ("calibration_slope", "calibration_intercept")
    slope, intercept = (float(make_statistic(name, positive, prob, folds)(once)[0]) for name in names)
    return CalibrationLine(slope, intercept)
