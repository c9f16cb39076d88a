"""Which segment of which lead a classifier rests on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from omi_estimators.displays import get_axes
from omi_estimators.inspection._ablation import Ablation, ablation_importance


class AblationDisplay:
    """The mean fall of a classifier's log-odds without each segment of each lead.

    Orange spoke for the class, purple against it.

    Parameters
    ----------
    ablation : Ablation
        From `ablation_importance`.
    rows : array-like of bool or of indices, optional
        The records to average over, such as ``y == 1``; all if None.
    name : str, optional
        Of the model, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators import make_forest_pipeline
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> from omi_estimators.inspection import AblationDisplay
    >>> ecgs = make_omi_ecgs(n_patients=20, prevalence=0.4, random_state=0)
    >>> forest = make_forest_pipeline(ecgs.sampling_rate, n_estimators=20, random_state=0).fit(ecgs.X, ecgs.y)
    >>> display = AblationDisplay.from_estimator(
    ...     forest, ecgs.X[:3], sampling_rate=500, segments=["ST"], ax=Figure().add_subplot()
    ... )
    >>> display.ablation.leads[:2]
    ('I', 'II')
    """

    def __init__(self, ablation: Ablation, *, rows: ArrayLike | None = None, name: str | None = None) -> None:
        self.ablation = ablation
        self.rows = rows
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        sampling_rate: float,
        rows: ArrayLike | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> AblationDisplay:
        """Ablate and draw.

        Parameters
        ----------
        estimator : fitted classifier
            Of raw records.
        X : array-like of shape (n_records, n_leads, n_samples)
            Raw records in millivolts.
        sampling_rate : float
            In Hz.
        rows : array-like of bool or of indices, optional
            The records to average over; all if None.
        name : str, optional
            Of the model.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        **kwargs
            As in `ablation_importance`.

        Returns
        -------
        AblationDisplay
            Drawn.
        """
        found = ablation_importance(estimator, X, sampling_rate=sampling_rate, **kwargs)
        return cls(found, rows=rows, name=name).plot(ax)

    def plot(self, ax: Any = None) -> AblationDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.

        Returns
        -------
        AblationDisplay
            Itself.
        """
        change = self.ablation.mean_change(self.rows)
        self.ax_ = get_axes(ax, (1.6 + 0.8 * change.shape[1], 1.2 + 0.34 * change.shape[0]))
        self.figure_ = self.ax_.figure
        limit = max(float(np.abs(change).max()), 1e-9)
        image = self.ax_.imshow(change, cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto")
        for (row, column), value in np.ndenumerate(change):
            colour = "#ffffff" if abs(value) > 0.7 * limit else "#000000"
            self.ax_.text(column, row, f"{value:+.2f}", ha="center", va="center", fontsize=7, color=colour)
        self.ax_.set(
            xticks=range(len(self.ablation.segments)),
            xticklabels=self.ablation.segments,
            yticks=range(len(self.ablation.leads)),
            yticklabels=self.ablation.leads,
        )
        self.ax_.tick_params(length=0)
        self.ax_.spines[:].set_visible(False)
        n_records = len(self.ablation.log_odds[... if self.rows is None else np.asarray(self.rows)])
        title = f"{n_records} records" if self.name is None else f"{self.name}, {n_records} records"
        self.ax_.set_title(title, fontsize=9, color="#333333")
        self.figure_.colorbar(image, ax=self.ax_, label=f"Fall of the log-odds of class {self.ablation.target}")
        return self
