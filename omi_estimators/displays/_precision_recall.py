"""Precision against recall with its band."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from omi_estimators._validation import check_labels
from omi_estimators.displays._base import GREY, FromEstimatorMixin, Names, count, finish, get_axes, plot_curve
from omi_estimators.metrics import Curve, Interval, bootstrap_interval, precision_recall_band


class PrecisionRecallBandDisplay(FromEstimatorMixin):
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

    def __init__(
        self, curve: Curve, average_precision: Interval, prevalence: float, *, name: str | None = None, counts: str = ""
    ):
        self.curve = curve
        self.average_precision = average_precision
        self.prevalence = prevalence
        self.name = name
        self.counts = counts

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
    ) -> PrecisionRecallBandDisplay:
        """Compute and draw.

        Parameters
        ----------
        y_true, y_score, groups, folds
            As in `omi_estimators.metrics.precision_recall_band`.
        name : str, optional
            Of the model.
        target_names : tuple of two str, default=("negative", "positive")
            Names of the classes.
        n_resamples, confidence_level, random_state
            As in `omi_estimators.metrics.precision_recall_band`.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        **line_params
            For matplotlib's `plot`.

        Returns
        -------
        PrecisionRecallBandDisplay
            Drawn.
        """
        given: dict[str, Any] = {
            "groups": groups,
            "folds": folds,
            "n_resamples": n_resamples,
            "confidence_level": confidence_level,
            "random_state": random_state,
        }
        curve = precision_recall_band(y_true, y_score, **given)
        figure = bootstrap_interval(y_true, y_score, "average_precision", **given)
        prevalence = float(check_labels(y_true).mean())
        display = cls(curve, figure, prevalence, name=name, counts=count(y_true, groups, target_names))
        return display.plot(ax, **line_params)

    def plot(
        self, ax: Any = None, *, plot_band: bool = True, plot_chance: bool = True, **line_params: Any
    ) -> PrecisionRecallBandDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        plot_band : bool, default=True
            Whether to draw the band.
        plot_chance : bool, default=True
            Whether to draw the prevalence, which is what chance reaches.
        **line_params
            For matplotlib's `plot`.

        Returns
        -------
        PrecisionRecallBandDisplay
            Itself.
        """
        self.ax_ = get_axes(ax)
        self.figure_ = self.ax_.figure
        title = "AP" if self.name is None else self.name
        self.line_ = plot_curve(
            self.ax_, self.curve, plot_band, {"label": f"{title}: {self.average_precision}"} | line_params
        )
        if plot_chance:
            self.ax_.axhline(self.prevalence, color=GREY, linewidth=0.8, zorder=1)
        finish(
            self.ax_,
            self.counts,
            xlabel="Recall (sensitivity)",
            ylabel="Precision (positive predictive value)",
            xlim=(-0.01, 1.01),
            ylim=(-0.01, 1.01),
            aspect="equal",
        )
        title = f"AP [{100 * self.average_precision.confidence_level:g} % CI]"
        # Where events are rare, the curve runs along the foot; where the model is good, along the head.
        self.ax_.legend(loc="best", fontsize=8, title=title, title_fontsize=8)
        return self
