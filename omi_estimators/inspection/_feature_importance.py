"""What a forest, or any classifier of features, loses when a kind of measurement says nothing, and a picture of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state
from tqdm import tqdm

from omi_estimators._text import is_silent
from omi_estimators.displays import COLOURS, GRID, finish_axes, get_axes
from omi_estimators.features import catalogue
from omi_estimators.leads import LEADS

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FeatureImportance:
    """How much worse a classifier does when the records exchange a kind of measurement.

    Attributes
    ----------
    names : tuple of str
        Kinds of measurement.
    sizes : tuple of int
        Features of each kind.
    drops : ndarray of shape (n_kinds, n_repeats)
        Score of the records as they are minus score after the exchange.
    score : float
        Of the records as they are.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    drops: Array
    score: float

    def __repr__(self) -> str:
        means = self.drops.mean(axis=1)
        first = ", ".join(f"{self.names[i]} {means[i]:+.3f}" for i in np.argsort(-means)[:3])
        return f"<FeatureImportance: {len(self.names)} kinds, score {self.score:.3f}, most: {first}>"


def feature_importance(
    pipeline: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    by: str | Mapping[str, Sequence[str]] = "group",
    scoring: Any = "roc_auc",
    n_repeats: int = 10,
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 0,
) -> FeatureImportance:
    """Permute kinds of features among records, each kind as a whole, and see what the score loses.

    Features of one kind are so alike (ST at J, 60 and 80 ms after it, in neighbouring leads) that permuting one at a
    time finds none important. Give records which the pipeline was not fitted on: on others importance is what it has
    learned by heart.

    Parameters
    ----------
    pipeline : fitted Pipeline
        From records to features to a classifier, such as `make_forest_pipeline` returns; or what is built around one
        such pipeline (risk tiers, calibration, recalibration, a search), as ``omi-estimators fit`` saves it. Then the
        score is that of the pipeline inside.
    X : array-like of shape (n_records, n_leads, n_samples)
        Raw records in millivolts.
    y : array-like of shape (n_records,)
        Labels.
    by : {"group", "lead"} or mapping of str to sequence of str, default="group"
        Kinds: the groups of `features.GROUPS`, the leads (features of no lead are one more kind), or names of features
        by kind.
    scoring : str or callable, default="roc_auc"
        As in scikit-learn.
    n_repeats : int, default=10
        Permutations of each kind.
    random_state : int, RandomState or None, default=None
        Seed of the permutations.
    verbose : int, default=0
        1 shows a progress bar over the kinds.

    Returns
    -------
    FeatureImportance
        In the order of the kinds.

    Raises
    ------
    TypeError
        If `pipeline` is not a pipeline whose features have names.
    ValueError
        If a kind has no feature.

    References
    ----------
    Breiman L., Random Forests, Machine Learning 45:5-32, 2001, doi:10.1023/A:1010933404324.

    Examples
    --------
    >>> from omi_estimators import make_forest_pipeline
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> from omi_estimators.inspection import feature_importance
    >>> ecgs = make_omi_ecgs(n_patients=20, prevalence=0.4, random_state=0)
    >>> forest = make_forest_pipeline(ecgs.sampling_rate, n_estimators=20, random_state=0).fit(ecgs.X, ecgs.y)
    >>> feature_importance(forest, ecgs.X, ecgs.y, n_repeats=2, random_state=0).drops.shape
    (11, 2)
    """
    pipeline = _unwrap(pipeline)
    table = np.asarray(pipeline[:-1].transform(X), dtype=np.float64)
    names = [str(name) for name in pipeline[:-1].get_feature_names_out()]
    kinds = _kinds(names, by)
    classifier = pipeline[-1]
    scorer = check_scoring(classifier, scoring)
    score = float(scorer(classifier, table, y))
    rng = check_random_state(random_state)
    drops = np.empty((len(kinds), n_repeats))
    for k, columns in enumerate(tqdm(kinds.values(), desc="Kinds of features", disable=is_silent(verbose))):
        for repeat in range(n_repeats):
            changed = table.copy()
            changed[:, columns] = table[rng.permutation(len(table))][:, columns]
            drops[k, repeat] = score - scorer(classifier, changed, y)
    return FeatureImportance(tuple(kinds), tuple(len(columns) for columns in kinds.values()), drops, score)


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
    ) -> Self:
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

    def plot(self, ax: Any = None) -> Self:
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


def _unwrap(model: Any) -> Any:
    """Return the fitted pipeline of features and a classifier that a model is, or is built around.

    Of a model of several pipelines, such as a fusion, none answers for the whole.
    """
    pipeline = model
    while not hasattr(pipeline, "steps"):
        inner = [getattr(pipeline, name, None) for name in ("best_estimator_", "estimator_", "estimators_")]
        parts = next((part for part in inner if part is not None), None)
        parts = list(parts) if isinstance(parts, list | tuple) else [parts]
        if len(parts) != 1 or parts[0] is None:
            break
        pipeline = parts[0]
    if not hasattr(pipeline, "steps") or len(pipeline.steps) < 2:
        raise TypeError(
            "feature_importance needs a Pipeline of features and a classifier, or what is built around one; got "
            f"{type(model).__name__}. ablation_importance takes any classifier of records."
        )
    return pipeline


def _kinds(names: Sequence[str], by: str | Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """Return the columns of each kind that has any."""
    if isinstance(by, Mapping):
        absent = sorted({name for kind in by.values() for name in kind} - set(names))
        if absent or not by or not all(len(kind) for kind in by.values()):
            raise ValueError(f"Every kind needs features of this pipeline; these are not: {absent[:5]}.")
        return {str(kind): [names.index(name) for name in members] for kind, members in by.items()}
    if by not in ("group", "lead"):
        raise ValueError(f'by must be "group", "lead", or names of features by kind; got {by!r}.')
    groups = {measure.name: measure.group for measure in catalogue()}
    kinds: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        stem, _, suffix = name.rpartition("_")
        lead = suffix if suffix in LEADS and stem in groups else None
        kind = (lead or "no lead") if by == "lead" else groups.get(stem if lead else name, "other")
        kinds.setdefault(kind, []).append(column)
    return kinds
