"""The ROC curve with its band."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from omi_estimators.displays._base import GREY, FromEstimatorMixin, Names, count, finish, get_axes, plot_curve
from omi_estimators.metrics import Curve, Interval, bootstrap_interval, roc_band


class RocBandDisplay(FromEstimatorMixin):
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

    def __init__(self, curve: Curve, roc_auc: Interval, *, name: str | None = None, counts: str = ""):
        self.curve = curve
        self.roc_auc = roc_auc
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
    ) -> RocBandDisplay:
        """Compute and draw.

        Parameters
        ----------
        y_true, y_score, groups, folds
            As in `omi_estimators.metrics.roc_band`.
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
        RocBandDisplay
            Drawn.
        """
        given: dict[str, Any] = {
            "groups": groups,
            "folds": folds,
            "n_resamples": n_resamples,
            "confidence_level": confidence_level,
            "random_state": random_state,
        }
        curve = roc_band(y_true, y_score, **given)
        area = bootstrap_interval(y_true, y_score, "roc_auc", **given)
        display = cls(curve, area, name=name, counts=count(y_true, groups, target_names))
        return display.plot(ax, **line_params)

    def plot(
        self, ax: Any = None, *, plot_band: bool = True, plot_chance: bool = True, **line_params: Any
    ) -> RocBandDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        plot_band : bool, default=True
            Whether to draw the band.
        plot_chance : bool, default=True
            Whether to draw the diagonal.
        **line_params
            For matplotlib's `plot`.

        Returns
        -------
        RocBandDisplay
            Itself.
        """
        self.ax_ = get_axes(ax)
        self.figure_ = self.ax_.figure
        title = "AUROC" if self.name is None else self.name
        style = {"label": f"{title}: {self.roc_auc}"} | line_params
        self.line_ = plot_curve(self.ax_, self.curve, plot_band, style)
        if plot_chance:
            self.ax_.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, zorder=1)
        finish(
            self.ax_,
            self.counts,
            xlabel="1 - specificity",
            ylabel="Sensitivity",
            xlim=(-0.01, 1.01),
            ylim=(-0.01, 1.01),
            aspect="equal",
        )
        # Below the diagonal there is room: no curve worth drawing runs there.
        title = f"AUROC [{100 * self.roc_auc.confidence_level:g} % CI]"
        self.ax_.legend(loc="lower right", fontsize=8, title=title, title_fontsize=8)
        return self
