"""The decision curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from omi_estimators._validation import check_labels
from omi_estimators.displays._base import GREY, FromEstimatorMixin, Names, count, finish, get_axes, plot_curve
from omi_estimators.metrics import Curve, decision_curve


class DecisionCurveDisplay(FromEstimatorMixin):
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

    def __init__(self, curve: Curve, prevalence: float, *, name: str | None = None, counts: str = ""):
        self.curve = curve
        self.prevalence = prevalence
        self.name = name
        self.counts = counts

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
    ) -> DecisionCurveDisplay:
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

    def plot(
        self, ax: Any = None, *, plot_band: bool = True, plot_reference: bool = True, **line_params: Any
    ) -> DecisionCurveDisplay:
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
        self.ax_ = get_axes(ax)
        self.figure_ = self.ax_.figure
        self.line_ = plot_curve(self.ax_, self.curve, plot_band, {"label": self.name or "model"} | line_params)
        if plot_reference:
            x = np.linspace(0, 0.99, 200)
            everybody = self.prevalence - (1 - self.prevalence) * x / (1 - x)
            self.ax_.plot(x, everybody, color=GREY, linewidth=1.0, label="treat everybody", zorder=1)
            self.ax_.axhline(0, color="#000000", linewidth=1.0, label="treat nobody", zorder=1)
        # Far below 0 lies only what nobody would do.
        finish(
            self.ax_,
            self.counts,
            xlabel="Threshold probability",
            ylabel="Net benefit (true positives per record)",
            xlim=(0, 1),
            ylim=(-0.15 * self.prevalence, 1.1 * self.prevalence),
        )
        self.ax_.legend(fontsize=8, loc="best")
        return self
