"""Which kinds of features a classifier rests on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from omi_estimators.displays import COLOURS, GRID, finish_axes, get_axes
from omi_estimators.inspection._feature_importance import FeatureImportance, feature_importance


class FeatureImportanceDisplay:
    """What the score loses when the records exchange a kind of measurement: mean, and each permutation as a dot.

    Parameters
    ----------
    importance : FeatureImportance
        From `feature_importance`.
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
    >>> from omi_estimators.inspection import FeatureImportanceDisplay
    >>> ecgs = make_omi_ecgs(n_patients=20, prevalence=0.4, random_state=0)
    >>> forest = make_forest_pipeline(ecgs.sampling_rate, n_estimators=20, random_state=0).fit(ecgs.X, ecgs.y)
    >>> ax = Figure().add_subplot()
    >>> display = FeatureImportanceDisplay.from_estimator(forest, ecgs.X, ecgs.y, n_repeats=2, random_state=0, ax=ax)
    >>> len(display.ax_.get_yticks())
    11
    """

    def __init__(self, importance: FeatureImportance, *, name: str | None = None) -> None:
        self.importance = importance
        self.name = name

    @classmethod
    def from_estimator(
        cls, pipeline: Any, X: ArrayLike, y: ArrayLike, *, name: str | None = None, ax: Any = None, **kwargs: Any
    ) -> FeatureImportanceDisplay:
        """Permute and draw.

        Parameters
        ----------
        pipeline : fitted Pipeline
            From records to features to a classifier.
        X : array-like of shape (n_records, n_leads, n_samples)
            Raw records in millivolts, not those it was fitted on.
        y : array-like of shape (n_records,)
            Labels.
        name : str, optional
            Of the model.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        **kwargs
            As in `feature_importance`.

        Returns
        -------
        FeatureImportanceDisplay
            Drawn.
        """
        return cls(feature_importance(pipeline, X, y, **kwargs), name=name).plot(ax)

    def plot(self, ax: Any = None) -> FeatureImportanceDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.

        Returns
        -------
        FeatureImportanceDisplay
            Itself.
        """
        self.ax_ = get_axes(ax)
        self.figure_ = self.ax_.figure
        found = self.importance
        order = np.argsort(found.drops.mean(axis=1), kind="stable")
        for row, kind in enumerate(order):
            self.ax_.barh(row, found.drops[kind].mean(), height=0.6, color=COLOURS[0], alpha=0.5, zorder=2)
            n_repeats = found.drops.shape[1]
            self.ax_.plot(found.drops[kind], np.full(n_repeats, row), ".", color=COLOURS[0], markersize=4, zorder=3)
        self.ax_.axvline(0, color="#000000", linewidth=0.8)
        score = f"score {found.score:.3f}"
        finish_axes(
            self.ax_,
            score if self.name is None else f"{self.name}: {score}",
            xlabel="Fall of the score when permuted",
            yticks=range(len(order)),
            yticklabels=[f"{found.names[kind]} ({found.sizes[kind]})" for kind in order],
        )
        self.ax_.grid(visible=False, axis="y")
        self.ax_.grid(color=GRID, axis="x")
        return self
