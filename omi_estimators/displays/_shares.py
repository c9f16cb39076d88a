"""How records are distributed: probabilities by class, events by risk tier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators._text import clean_label
from omi_estimators._validation import check_labels, check_scores
from omi_estimators.displays.style import COLOURS, GREY, GRID, Names, NamesDisplay, count, finish_axes, get_axes
from omi_estimators.metrics import NOT_JUDGED, TIERS, TierCount, count_tiers

_OF_TIERS = dict(zip((*TIERS, NOT_JUDGED), (COLOURS[0], COLOURS[5], COLOURS[4], COLOURS[1], GREY), strict=True))


@dataclass(eq=False, repr=False)
class ProbabilityDisplay(NamesDisplay):
    """Histograms of the predicted probability in each class, each summing to one.

    Parameters
    ----------
    negative, positive : ndarray of shape (n,)
        Probabilities of the records of each class.
    name : str, optional
        Of the model, for the title.
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

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators.displays import ProbabilityDisplay
    >>> y, p = np.arange(100) % 2, np.random.default_rng(0).random(100)
    >>> display = ProbabilityDisplay.from_predictions(y, p, ax=Figure().add_subplot())
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['negative (n = 50)', 'positive (n = 50)']
    """

    negative: NDArray[np.float64]
    positive: NDArray[np.float64]

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_prob: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        name: str | None = None,
        target_names: Names = ("negative", "positive"),
        ax: Any = None,
        n_bins: int = 20,
    ) -> Self:
        """Sort the probabilities by class, and draw.

        Parameters
        ----------
        y_true : array-like of shape (n_records,)
            Labels: 0 and 1, -1 and 1, or booleans.
        y_prob : array-like of shape (n_records,)
            Probabilities of the positive class.
        groups : array-like of shape (n_records,), optional
            Patient of each record, for the count.
        name : str, optional
            Of the model.
        target_names : tuple of two str, default=("negative", "positive")
            Names of the classes.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        n_bins : int, default=20
            Bins of equal width.

        Returns
        -------
        ProbabilityDisplay
            Drawn.
        """
        positive = check_labels(y_true)
        prob = check_scores(y_prob, len(positive), probability=True, name="y_prob")
        counts = count(y_true, groups, target_names)
        display = cls(prob[~positive], prob[positive], name=name, target_names=target_names, counts=counts)
        return display.plot(ax, n_bins=n_bins)

    def plot(self, ax: Any = None, *, n_bins: int = 20) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        n_bins : int, default=20
            Bins of equal width.

        Returns
        -------
        ProbabilityDisplay
            Itself.
        """
        self.ax_ = get_axes(ax)
        self.figure_ = self.ax_.figure
        bins = np.linspace(0, 1, n_bins + 1).tolist()
        styles: tuple[dict[str, Any], dict[str, Any]] = (
            {"color": GREY, "alpha": 0.45, "histtype": "stepfilled"},
            {"color": COLOURS[1], "histtype": "step", "linewidth": 1.8},
        )
        for prob, name, style in zip((self.negative, self.positive), self.target_names, styles, strict=True):
            share = np.full(len(prob), 1 / len(prob))
            self.ax_.hist(prob, bins=bins, weights=share, label=f"{clean_label(name)} (n = {len(prob)})", **style)
        title = self.counts if self.name is None else self.name
        finish_axes(
            self.ax_,
            title,
            xlabel=f"Predicted probability of {self.target_names[1]}",
            ylabel="Share of class",
            xlim=(-0.02, 1.02),
        )
        self.ax_.margins(y=0.25)
        self.ax_.legend(fontsize=8, loc="upper right")
        return self


@dataclass(eq=False, repr=False)
class RiskTierDisplay(NamesDisplay):
    """The share of events in each risk tier with its interval, and the numbers beside it.

    Parameters
    ----------
    tiers : dict of str to TierCount
        What "rule-out", "low", "high" and "rule-in" hold, and "not judged" if there are such records.
    name : str, optional
        Of the model, for the title.
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

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators.displays import RiskTierDisplay
    >>> tiers = ["rule-out", "rule-out", "low", "rule-in"]
    >>> display = RiskTierDisplay.from_predictions([0, 0, 1, 1], tiers, ax=Figure().add_subplot())
    >>> display.tiers["rule-out"].n_records
    2
    """

    tiers: dict[str, TierCount]

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
    ) -> Self:
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

    def plot(self, ax: Any = None) -> Self:
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
            self.ax_.barh(row, np.nan_to_num(found.rate), height=0.55, color=_OF_TIERS[tier], zorder=2)
            text = "no record"
            if found.n_records:
                self.ax_.plot([found.low, found.high], [row, row], color="#000000", linewidth=1.2, zorder=3)
                text = f"{found.n_events} of {found.n_records}: {found.rate:.1%} [{found.low:.1%}, {found.high:.1%}]"
            self.ax_.text(1.04, row, text, va="center", fontsize=8, transform=self.ax_.get_yaxis_transform())
        finish_axes(
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
