"""What each risk tier holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from omi_estimators.displays._base import GRID, FromEstimatorMixin, Names, count, finish, get_axes
from omi_estimators.metrics._tiers import TIERS, TierCount, count_tiers

_COLOURS = dict(zip(TIERS, ("#0072B2", "#56B4E9", "#E69F00", "#D55E00"), strict=True))


class RiskTierDisplay(FromEstimatorMixin):
    """The share of events in each risk tier with its interval, and the numbers beside it.

    Parameters
    ----------
    tiers : dict of str to TierCount
        What "rule-out", "low", "high" and "rule-in" hold.
    name : str, optional
        Of the model, for the title.
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

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators.displays import RiskTierDisplay
    >>> tiers = ["rule-out", "rule-out", "low", "rule-in"]
    >>> display = RiskTierDisplay.from_predictions([0, 0, 1, 1], tiers, ax=Figure().add_subplot())
    >>> display.tiers["rule-out"].n_records
    2
    """

    def __init__(
        self,
        tiers: dict[str, TierCount],
        *,
        name: str | None = None,
        target_names: Names = ("negative", "positive"),
        counts: str = "",
    ):
        self.tiers = tiers
        self.name = name
        self.target_names = target_names
        self.counts = counts

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        tiers: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        name: str | None = None,
        target_names: Names = ("negative", "positive"),
        confidence_level: float = 0.95,
        ax: Any = None,
    ) -> RiskTierDisplay:
        """Count and draw.

        Parameters
        ----------
        y_true : array-like of shape (n_records,)
            Labels: 0 and 1, -1 and 1, or booleans.
        tiers : array-like of shape (n_records,) of str
            As from `RiskTierClassifier.predict_tier`.
        groups : array-like of shape (n_records,), optional
            Patient of each record. Without it each record counts as a patient of its own.
        name : str, optional
            Of the model.
        target_names : tuple of two str, default=("negative", "positive")
            Names of the classes.
        confidence_level : float, default=0.95
            Level of the intervals.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.

        Returns
        -------
        RiskTierDisplay
            Drawn.
        """
        counts = count_tiers(y_true, tiers, groups, confidence_level)
        return cls(counts, name=name, target_names=target_names, counts=count(y_true, groups, target_names)).plot(ax)

    def plot(self, ax: Any = None) -> RiskTierDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.

        Returns
        -------
        RiskTierDisplay
            Itself.
        """
        self.ax_ = get_axes(ax)
        self.figure_ = self.ax_.figure
        for row, (tier, found) in enumerate(self.tiers.items()):
            self.ax_.barh(row, np.nan_to_num(found.rate), height=0.55, color=_COLOURS[tier], zorder=2)
            text = "no record"
            if found.n_records:
                self.ax_.plot([found.low, found.high], [row, row], color="#000000", linewidth=1.2, zorder=3)
                text = f"{found.n_events} of {found.n_records}: {found.rate:.1%} [{found.low:.1%}, {found.high:.1%}]"
            self.ax_.text(1.04, row, text, va="center", fontsize=8, transform=self.ax_.get_yaxis_transform())
        finish(
            self.ax_,
            self.counts if self.name is None else self.name,
            xlabel=f"Share with {self.target_names[1]}",
            xlim=(0, 1),
            yticks=range(len(self.tiers)),
            yticklabels=list(self.tiers),
            ylabel="Risk tier",
        )
        self.ax_.grid(visible=False, axis="y")
        self.ax_.grid(color=GRID, axis="x")
        return self

    @staticmethod
    def _ask(estimator: Any, X: Any) -> Any:
        """Return the tiers of the records."""
        return estimator.predict_tier(X)
