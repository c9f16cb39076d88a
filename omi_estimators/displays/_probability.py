"""How probabilities are distributed in each class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators._validation import check_labels, check_scores
from omi_estimators.displays._base import GREY, FromEstimatorMixin, Names, count, finish, get_axes


class ProbabilityDisplay(FromEstimatorMixin):
    """Histograms of the predicted probability in each class, each summing to one.

    Parameters
    ----------
    negative, positive : ndarray of shape (n,)
        Probabilities of the records of each class.
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
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators.displays import ProbabilityDisplay
    >>> y, p = np.arange(100) % 2, np.random.default_rng(0).random(100)
    >>> display = ProbabilityDisplay.from_predictions(y, p, ax=Figure().add_subplot())
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['negative (n = 50)', 'positive (n = 50)']
    """

    def __init__(
        self,
        negative: NDArray[np.float64],
        positive: NDArray[np.float64],
        *,
        name: str | None = None,
        target_names: Names = ("negative", "positive"),
        counts: str = "",
    ):
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
        name: str | None = None,
        target_names: Names = ("negative", "positive"),
        ax: Any = None,
        n_bins: int = 20,
    ) -> ProbabilityDisplay:
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

    def plot(self, ax: Any = None, *, n_bins: int = 20) -> ProbabilityDisplay:
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
            {"color": "#D55E00", "histtype": "step", "linewidth": 1.8},
        )
        for prob, name, style in zip((self.negative, self.positive), self.target_names, styles, strict=True):
            share = np.full(len(prob), 1 / len(prob))
            self.ax_.hist(prob, bins=bins, weights=share, label=f"{name} (n = {len(prob)})", **style)
        title = self.counts if self.name is None else self.name
        finish(
            self.ax_,
            title,
            xlabel=f"Predicted probability of {self.target_names[1]}",
            ylabel="Share of class",
            xlim=(-0.02, 1.02),
        )
        self.ax_.margins(y=0.25)
        self.ax_.legend(fontsize=8, loc="upper right")
        return self
