"""What the best model of a comparison looks at, and its surest mistakes on paper: sections of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from omi_estimators._compat import safe_indexing
from omi_estimators.evaluation._compare import seed_estimator
from omi_estimators.evaluation._page import Picture, Section, new_figure, render
from omi_estimators.splits import fit_routed, route_fit

if TYPE_CHECKING:
    from omi_estimators.evaluation._result import ComparisonResult

# Negatives whose segments are typical, and permutations of each kind of features.
_N_BACKGROUND, _N_PERMUTATIONS = 30, 3


def inspect_comparison(
    result: ComparisonResult,
    estimators: Mapping[str, Any],
    X: Any,
    *,
    sampling_rate: float,
    record_names: Sequence[str] | None = None,
    n_records: int = 5,
    n_mistakes: int = 3,
    verbose: int = 1,
) -> list[Section]:
    """Return what the best estimator of a comparison looks at, and its surest mistakes, as sections of a report.

    The estimator is fitted once more on the training records of the first fold, and looked into on records that this
    fold tests: ablation by lead and wave over records of the positive class and, for a forest on features,
    importance of their kinds. Mistakes are those of the comparison, out of fold, farthest on the wrong side.

    Parameters
    ----------
    result : ComparisonResult
        From `compare_estimators` on these records.
    estimators : mapping of str to estimator
        The same that were compared, from raw ECGs to probabilities.
    X : array of shape (n_records, 12, n_samples)
        The records that were compared, in millivolts.
    sampling_rate : float
        In Hz.
    record_names : sequence of str of length n_records, optional
        What the page calls a record; "record 0" and so on if None. Names of files may name patients.
    n_records : int, default=5
        The most positive records to ablate: each takes a prediction for each of four waves in twelve leads.
    n_mistakes : int, default=3
        The most records of each class to show.
    verbose : int, default=1
        1 shows a bar, where stderr is a terminal.

    Returns
    -------
    list of Section
        For ``result.write_report(folder, sections=...)``.

    Raises
    ------
    ValueError
        If there are not as many records as were compared, or none that the first fold tests has a beat.
    ImportError
        If matplotlib is not installed (the extra `plot`).

    See Also
    --------
    omi_estimators.inspection.ablation_importance : The ablation alone.
    omi_estimators.inspection.feature_importance : The importance alone.

    Examples
    --------
    >>> import warnings
    >>> from omi_estimators import compare_estimators, make_forest_pipeline
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> from omi_estimators.evaluation import inspect_comparison
    >>> ecgs = make_omi_ecgs(n_patients=20, prevalence=0.4, random_state=0)
    >>> models = {"forest": make_forest_pipeline(ecgs.sampling_rate, n_estimators=10)}
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # few patients
    ...     result = compare_estimators(models, ecgs.X, ecgs.y, groups=ecgs.groups, cv=2, random_state=0, verbose=0)
    >>> sections = inspect_comparison(result, models, ecgs.X, sampling_rate=500, n_records=1, verbose=0)
    >>> [section.title for section in sections]
    ['What forest looks at', 'Kinds of measurement that forest needs', 'Surest mistakes']
    """
    n_all = len(result.y) // result.n_repeats
    if len(X) != n_all:
        raise ValueError(f"X must hold the {n_all} records that were compared; got {len(X)}.")
    names = [f"record {row}" for row in range(n_all)] if record_names is None else list(record_names)
    mistakes = _show_mistakes(result, X, sampling_rate, names, n_mistakes)
    y, tested = result.y[:n_all], result.tested[:n_all] & (result.fold[:n_all] == 0)
    groups = None if result.groups is None else result.groups[:n_all]
    train = result.fold[:n_all] != 0
    if groups is not None:
        train &= ~np.isin(groups, groups[result.fold[:n_all] == 0])
    estimator, params = route_fit(
        seed_estimator(estimators[result.best], result.random_state or 0), None if groups is None else groups[train]
    )
    fitted = fit_routed(estimator, safe_indexing(X, np.flatnonzero(train)), y[train], params)
    positive, negative = np.flatnonzero(tested & (y == 1)), np.flatnonzero(tested & (y == 0))
    looks = _show_ablation(result, fitted, X, positive[:n_records], negative[:_N_BACKGROUND], sampling_rate, verbose)
    kinds = _show_kinds(result, fitted, safe_indexing(X, np.flatnonzero(tested)), y[tested])
    return [looks, *kinds, mistakes]


def _show_ablation(
    result: ComparisonResult,
    fitted: Any,
    X: Any,
    rows: NDArray[np.intp],
    background: NDArray[np.intp],
    sampling_rate: float,
    verbose: int,
) -> Section:
    from omi_estimators.inspection import AblationDisplay, ablation_importance

    found = ablation_importance(
        fitted,
        safe_indexing(X, rows),
        sampling_rate=sampling_rate,
        background=safe_indexing(X, background),
        target=1,
        verbose=verbose,
    )
    change, target = found.mean_change(), result.target_names[1]
    figure = new_figure(5.2, 5.6)
    AblationDisplay(found).plot(figure.add_subplot())
    figure.axes[0].set_title("")
    figure.axes[1].set_ylabel(f"Fall of the log-odds of {target}")
    figure.supxlabel(result._say("inspection.ablation", n_records=len(rows)))
    places = [divmod(int(place), change.shape[1]) for place in np.argsort(-change, axis=None)[:3]]
    most = [(f"{found.segments[s]} of {found.leads[g]}", change[g, s]) for g, s in places if change[g, s] > 0]
    said = ", ".join(f"{what} ({value:+z.2f})" for what, value in most)
    text = result._say("inspection.most", said=said)
    return Section(result._say("inspection.looks"), [text], picture=render(figure))


def _show_kinds(result: ComparisonResult, fitted: Any, X: Any, y: NDArray[np.int64]) -> list[Section]:
    """Return the importance of kinds of features, if the model is one of features."""
    from omi_estimators.features import NeuroKitFeatures
    from omi_estimators.inspection import FeatureImportanceDisplay

    if not (isinstance(fitted, Pipeline) and isinstance(fitted[0], NeuroKitFeatures)):
        return []
    figure = new_figure(6.4, 4.2)
    FeatureImportanceDisplay.from_estimator(
        fitted, X, y, n_repeats=_N_PERMUTATIONS, random_state=0, ax=figure.add_subplot()
    )
    figure.axes[0].set_xlabel("Fall of the AUROC")
    figure.axes[0].set_title("")
    figure.supxlabel(result._say("inspection.kinds", n_records=len(y)))
    return [Section(result._say("inspection.needs"), picture=render(figure))]


def _show_mistakes(
    result: ComparisonResult, X: Any, sampling_rate: float, names: Sequence[str], n_mistakes: int
) -> Section:
    """Return the records that the best model was surest and wrong about, in the first repeat, on paper."""
    n_all = len(names)
    y, tested, target = result.y[:n_all], result.tested[:n_all], result.target_names[1]
    prob = result.probabilities[result.best].to_numpy()[:n_all]
    called = prob >= 0.5
    if result.tiers is not None:
        called = result.tiers[result.best].isin(["high", "rule-in"]).to_numpy()[:n_all]
    pictures, counts = [], []
    for label, kind in ((1, "missed"), (0, "false alarm")):
        wrong = np.flatnonzero(tested & (y == label) & (called != label))
        counts.append(len(wrong))
        for row in wrong[np.argsort(prob[wrong] * (1 if label else -1), kind="stable")][:n_mistakes]:
            pictures.append(_draw_record(X[row], sampling_rate, f"{kind}: {names[row]}, P({target}) = {prob[row]:.2f}"))
    n_positive = int(y[tested].sum())
    known = {"n_wrong": counts, "n_positive": n_positive, "n_negative": int(tested.sum()) - n_positive}
    return Section(
        "Surest mistakes", [result._say("inspection.mistakes", most=n_mistakes, **known)], more_pictures=pictures
    )


def _draw_record(record: Any, sampling_rate: float, said: str) -> Picture:
    from omi_estimators.inspection import ECGDisplay

    figure = new_figure(10.4, 5.6)
    display = ECGDisplay.from_record(record, sampling_rate, ax=figure.add_subplot())
    width, height = display.ax_.get_xlim()[1], display.ax_.get_ylim()[1]
    figure.set_size_inches(10.4, 10.4 * height / width + 0.1)
    figure.supxlabel(said[0].upper() + said[1:])
    return render(figure)
