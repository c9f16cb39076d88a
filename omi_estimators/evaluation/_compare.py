"""One call from estimators and records to a comparison: the loop over folds and estimators."""

from __future__ import annotations

import os
import re
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sklearn
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from tqdm import tqdm

from omi_estimators._compat import safe_indexing
from omi_estimators._store import make_key, read_file, write_file
from omi_estimators._text import is_silent
from omi_estimators._validation import check_level, make_rng, name_classes
from omi_estimators.evaluation._result import ComparisonResult
from omi_estimators.evaluation._tables import (
    Tested,
    check_probabilities,
    check_subgroups,
    make_decisions,
    make_subgroups,
    make_table,
)
from omi_estimators.metrics import NOT_JUDGED
from omi_estimators.preprocessing import Usable
from omi_estimators.splits import Splits, check_records, fit_and_judge, make_splits, route_fit

_SEEDS = 2**31
_NOT_KEPT = "leave cache_dir out"
_BAR = "{desc} {bar:16} {n_fmt}/{total_fmt} [{elapsed}<{remaining}]{postfix}"


def compare_estimators(
    estimators: Mapping[str, Any],
    X: Any,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    cv: Any = 5,
    repeats: int = 1,
    reference: str | None = None,
    pos_label: Any = None,
    target_names: Sequence[str] | None = None,
    n_resamples: int = 2000,
    confidence_level: float = 0.95,
    random_state: Any = None,
    subgroups: Any = None,
    cache_dir: str | os.PathLike[str] | None = None,
    verbose: int = 1,
) -> ComparisonResult:
    """Compare classifiers by cross-validation that never splits a patient.

    Every estimator sees the same folds. From the out-of-fold probabilities come AUROC, average precision
    (AP), Brier score, calibration, each with its interval and its difference to a reference, by one bootstrap of
    patients; and risk tiers, with thresholds that other folds chose.

    Probabilities of different folds come from different models, whose scales may differ. AUROC therefore
    counts pairs of records within folds, and AP is the mean over positives of the precision within folds;
    pooling would mix models [1]_, and score a constant prediction below 0.5.

    Parameters
    ----------
    estimators : dict of str to estimator
        Classifiers with `predict_proba`; they are cloned, never changed.
    X : array-like of shape (n_records, ...)
        Whatever the estimators take, such as ECGs (n_records, 12, n_samples) in millivolts. It may be a
        memory map: a copy is made of the records of one fold at a time.
    y : array-like of shape (n_records,)
        Two classes.
    groups : array-like of shape (n_records,), optional
        Patient of each record. It goes to `fit` of every estimator that asks for it by scikit-learn's
        metadata routing. Without it each record counts as a patient of its own.
    cv : int, splitter or iterable of (train, test), default=5
        A number means so many shuffled, stratified folds, by patient if `groups` are given. Records that
        no fold tests count in no figure.
    repeats : int, default=1
        How often the cross-validation is run, each time with new folds and new seeds. The first is the one that would
        have been run alone. With more than one, figures are means over repeats, ``_spread`` columns hold their standard
        deviations, and intervals hold the chance of folds and seeds beside that of patients. They are somewhat too
        narrow for what models fitted on other patients would reach (`docs/guide/luck.md`). Needs a number for `cv`.
    reference : str, optional
        The estimator that the others are compared with; the first if None.
    pos_label : object, optional
        The positive class, which AP and the Brier score are about; the second in sorted order if None, with
        a warning where the classes are words.
    target_names : sequence of two str, optional
        Names of the negative and the positive class, for pictures and report; by default the labels if they are words.
    n_resamples : int, default=2000
        Resamples of the bootstrap.
    confidence_level : float, default=0.95
        Level of the intervals.
    random_state : int, RandomState, Generator or None, default=None
        Seed of folds, bootstrap, and of each `random_state` of the estimators that is None, anew in each repeat.
        With None nothing is seeded.
    subgroups : dict or DataFrame of columns, optional
        What to split the records by for a table of their own, such as ``{"sex": sex, "age": age}``; one value
        for each record, numbers of many values in four bands of equal size. Nothing is trained by subgroup.
    cache_dir : path-like, optional
        A folder in which each estimator's finished folds are kept: the same call after an interruption goes on
        where it stopped. It holds probabilities, no records. Folds are found again for equal data (and files behind
        paths), parameters and `random_state`, which must be given, for the same versions, and for the same code of
        each class and function inside, your own too.
    verbose : int, default=1
        Whether to show progress on stderr.

    Returns
    -------
    ComparisonResult
        With `table`, `decisions`, `subgroups`, `folds`, `probabilities`, pictures, `to_html`, `write_report`.

    Raises
    ------
    ValueError, TypeError
        Before anything is fitted: if estimators have no `predict_proba`, `X`, `y` and `groups` do not fit
        together, `y` has not two classes, a class has fewer patients than folds, or a fold has a patient
        on both sides.
    Exception
        Whatever an estimator raises, with a note that names the estimator and the fold. As with
        ``error_score="raise"`` in scikit-learn, a comparison with holes is no comparison.

    Warns
    -----
    FewEventsWarning
        If fewer than ten patients have one of the classes.
    UserWarning
        If the classes are words and only their order says which is the positive one.

    See Also
    --------
    omi_estimators.splits.make_splits : The folds alone.
    omi_estimators.metrics.bootstrap_difference : The same interval for two sets of scores.

    References
    ----------
    .. [1] Forman G., Scholz M., Apples-to-apples in cross-validation studies, ACM SIGKDD Explorations
       12:49-57, 2010. doi:10.1145/1882471.1882479

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.linear_model import LogisticRegression
    >>> from omi_estimators import compare_estimators
    >>> rng = np.random.default_rng(0)
    >>> patients = np.arange(100) // 2
    >>> y = patients % 2
    >>> X = rng.normal(size=(100, 3)) + y[:, np.newaxis]
    >>> result = compare_estimators(
    ...     {"regression": LogisticRegression(), "prior": DummyClassifier()},
    ...     X, y, groups=patients, random_state=0, verbose=0,
    ... )
    >>> result.table["roc_auc"].round(2).to_dict()
    {'regression': 0.84, 'prior': 0.5}
    """
    _check_estimators(estimators)
    reference = next(iter(estimators)) if reference is None else reference
    labels, classes, patients = check_records(X, y, groups)
    if len(classes) != 2:
        found = ", ".join(repr(label) for label in classes.tolist()[:5])
        raise ValueError(f"y must hold two classes; got {len(classes)} ({found}).")
    classes = _order_classes(classes, pos_label)
    names = name_classes(classes, target_names)
    _check_arguments(estimators, reference, n_resamples, confidence_level, repeats, cv)
    if cache_dir is not None and random_state is None:
        raise ValueError("cache_dir needs a random_state: without one no fold can be found again.")
    columns_by_name = check_subgroups(subgroups, len(labels))
    rng = make_rng(random_state)
    runs = []
    for source in [rng, *(rng.spawn(repeats - 1) if repeats > 1 else ())]:
        splits = make_splits(X, labels, groups=patients, cv=cv, random_state=source)
        root = None if random_state is None else int(source.integers(2**31))
        runs.append(({name: seed_estimator(estimator, root) for name, estimator in estimators.items()}, splits))

    columns, usable, fold, rows = _cross_fit(
        runs, X, labels, classes[1], patients, cache_dir=cache_dir, verbose=verbose
    )

    probabilities = pd.DataFrame(columns, columns=list(estimators))
    if repeats > 1:
        numbers = [range(repeats), range(len(labels))]
        probabilities.index = pd.MultiIndex.from_product(numbers, names=["repeat", "record"])
    folds = pd.DataFrame(rows)
    judged = (fold[: len(labels)] >= 0) & usable.mask
    if len(np.unique(labels[judged])) < 2:
        raise ValueError(
            "The records that every estimator could judge are of one class only, so there is nothing to compare; the "
            f"others: {usable}."
        )
    tested = np.tile(judged, repeats)
    positive = np.tile(labels == classes[1], repeats)
    units = None if patients is None else np.tile(patients, repeats)
    seen = Tested.of_records(probabilities, positive, units, fold, tested, repeats)
    bootstrap = {"n_resamples": n_resamples, "confidence_level": confidence_level, "random_state": rng}
    table, n_redrawn = make_table(seen, reference, **bootstrap)
    by_subgroup = make_subgroups({name: values[judged] for name, values in columns_by_name.items()}, seen, **bootstrap)
    tiers, decisions, tier_tables = make_decisions(seen, **bootstrap) or (None, None, None)
    if tiers is not None:
        tiers = tiers.reindex(probabilities.index).fillna("")
        tiers[np.tile(~usable.mask, repeats)] = NOT_JUDGED
    times = folds.groupby("estimator")[["fit_time", "predict_time"]].mean()
    return ComparisonResult(
        table=table.join(times),
        folds=folds,
        decisions=decisions,
        tier_tables=tier_tables,
        subgroups=by_subgroup,
        tiers=tiers,
        probabilities=probabilities,
        y=positive.astype(np.int64),
        groups=units,
        fold=fold,
        reasons=np.tile(usable.reasons, repeats),
        estimators={name: _describe_estimator(estimator) for name, estimator in runs[0][0].items()},
        reference=reference,
        target_names=names,
        confidence_level=confidence_level,
        n_resamples=n_resamples,
        n_redrawn=n_redrawn,
        n_repeats=repeats,
        random_state=int(random_state) if isinstance(random_state, Integral) else None,
    )


def _check_arguments(
    estimators: Mapping[str, Any], reference: str, n_resamples: int, confidence_level: float, repeats: Any, cv: Any
) -> None:
    """Raise a ValueError for what would fail after hours of fitting, or for folds that cannot be drawn anew."""
    if reference not in estimators:
        raise ValueError(f"reference must be one of the estimators, {', '.join(estimators)}; got {reference!r}.")
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1; got {n_resamples!r}.")
    check_level(confidence_level)
    if isinstance(repeats, bool) or not isinstance(repeats, Integral) or int(repeats) < 1:
        raise ValueError(f"repeats must be a whole number of at least 1; got {repeats!r}.")
    if repeats != 1 and (isinstance(cv, bool) or not isinstance(cv, Integral)):
        raise ValueError(
            f"repeats={repeats} draws new folds each time, so cv must be a number of folds, such as 5; got "
            f"{type(cv).__name__}. With folds of your own, leave repeats out."
        )


def _order_classes(classes: NDArray, pos_label: Any) -> NDArray:
    """Return the negative and the positive class, in this order."""
    first, second = classes.tolist()
    if pos_label is not None and pos_label not in (first, second):
        raise ValueError(f"pos_label must be one of the classes, {first!r} or {second!r}; got {pos_label!r}.")
    if pos_label is None and classes.dtype.kind not in "biuf":
        warnings.warn(
            f"{second!r} counts as the positive class, because it sorts after {first!r}; "
            "name the positive class with pos_label.",
            UserWarning,
            stacklevel=3,
        )
    return classes[::-1] if pos_label == first else classes


def _check_estimators(estimators: Any) -> None:
    """Raise an error if `estimators` is not a dictionary of unfitted classifiers with probabilities."""
    if not isinstance(estimators, Mapping) or not estimators:
        raise ValueError(f"estimators must be a dictionary from name to estimator; got {estimators!r}.")
    for name, estimator in estimators.items():
        if not isinstance(name, str):
            raise ValueError(f"Names of estimators must be text; got {name!r}.")
        if isinstance(estimator, type) or not hasattr(estimator, "fit"):
            raise TypeError(f"Estimator {name!r} must be an instance with a fit method; got {estimator!r}.")
        if not hasattr(estimator, "predict_proba"):
            raise TypeError(
                f"Estimator {name!r} has no predict_proba, which every figure needs; wrap it in CalibratedClassifierCV."
            )


class FoldResult(NamedTuple):
    """Of a fold's test records the probability of the positive class and why it means nothing, if so; and seconds."""

    prob: NDArray[np.float64]
    reasons: list[str]
    fit_time: float
    predict_time: float


def seed_estimator(estimator: Any, root: int | None) -> Any:
    """Return a clone in which every `random_state` that is None, at any depth, has a seed.

    Seeds come from `root`, the class that is seeded, and how many of this class came before it. So an estimator is the
    same whatever it is compared with, and also inside another one: raw and calibrated differ by calibration alone.
    """
    copy = clone(estimator)
    params = copy.get_params(deep=True)
    seeds: dict[str, int] = {}
    n_seen: Counter[str] = Counter()
    for key, value in params.items():
        owner, _, name = key.rpartition("__")
        if root is not None and name == "random_state" and value is None:
            seeded = type(params[owner] if owner else copy)
            kind = f"{seeded.__module__}.{seeded.__qualname__}"
            rng = np.random.default_rng([root, zlib.crc32(kind.encode()), n_seen[kind]])
            seeds[key] = int(rng.integers(_SEEDS))
            n_seen[kind] += 1
    return copy.set_params(**seeds)


def _describe_estimator(estimator: Any) -> str:
    """Return how an estimator is written, without what is of this run only: folders of caches, places in memory."""
    caches = [key for key in estimator.get_params() if key.rpartition("__")[2] == "memory"]
    return re.sub(r" at 0x[0-9a-fA-F]+", "", str(clone(estimator).set_params(**dict.fromkeys(caches))))


# What one repeat fits: seeded estimators by name, and folds.
_Run = tuple[dict[str, Any], Splits]


def _cross_fit(
    runs: Sequence[_Run],
    X: Any,
    labels: NDArray,
    positive_label: Any,
    patients: NDArray | None,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    verbose: int,
) -> tuple[NDArray[np.float64], Usable, NDArray[np.int64], list[dict[str, Any]]]:
    """Fit every estimator on every fold of every repeat, but for finished folds that are kept in `cache_dir`.

    Returns
    -------
    probabilities : ndarray of shape (n_repeats * n_records, n_estimators)
        Out-of-fold probabilities of the positive class, repeat after repeat; NaN for records that no fold tests.
    usable : Usable
        The records that every estimator could judge in every repeat.
    fold : ndarray of shape (n_repeats * n_records,)
        The fold that tests each record, counted through all repeats; -1 for none.
    rows : list of dict
        One for each fold and estimator: sizes, figures, and times in seconds.
    """
    n_records, names = len(labels), list(runs[0][0])
    probabilities = np.full((len(runs), n_records, len(names)), np.nan)
    folds = np.full((len(runs), n_records), -1)
    reasons = np.full(n_records, "", dtype=object)
    rows: list[dict[str, Any]] = []
    keys: dict[tuple[int, str], str] = {}
    if cache_dir is not None:
        Path(cache_dir).mkdir(parents=True, exist_ok=True)
        data = X, labels, positive_label, patients, sklearn.get_config()["transform_output"]
        shared = make_key(*data, name="X", otherwise=_NOT_KEPT)
        # Before anything is fitted, as not every estimator has a key.
        for repeat, (estimators, _) in enumerate(runs):
            for name, estimator in estimators.items():
                keys[repeat, name] = make_key(shared, estimator, name=f"Estimator {name!r}", otherwise=_NOT_KEPT)
    todo = [(repeat, fold) for repeat, (_, splits) in enumerate(runs) for fold in range(len(splits))]
    n_fits = len(todo) * len(names)
    with tqdm(total=n_fits, disable=is_silent(verbose), file=sys.stderr, bar_format=_BAR, dynamic_ncols=True) as bar:
        for number, (repeat, fold) in enumerate(todo):
            estimators, splits = runs[repeat]
            train, test = splits[fold]
            where = f"fold {fold + 1} of {len(splits)}"
            where += f" in repeat {repeat + 1} of {len(runs)}" if len(runs) > 1 else ""
            records = _Fold(X, train, test)
            groups = None if patients is None else patients[train]
            folds[repeat, test] = number
            for column, (name, estimator) in enumerate(estimators.items()):
                bar.set_description(f"{where}: {name}")
                path = None
                if cache_dir is not None:
                    path = Path(cache_dir, f"{make_key(keys[repeat, name], train, test)}.fold")
                kept = None if path is None else read_file(path, "saved fold", "it is fitted again")
                result = None if kept is None else FoldResult(**kept)
                if result is None:
                    try:
                        result = _fit_predict(estimator, records, labels[train], groups, positive_label)
                    except Exception as error:
                        error.add_note(f"compare_estimators: {name!r} failed in {where}.")
                        raise
                    if path is not None:
                        write_file(path, result._asdict(), "fold", "The same call would fit this fold again.")
                probabilities[repeat, test, column] = result.prob
                usable = Usable.from_reasons(result.reasons)
                reasons[test] = (Usable.from_reasons(reasons[test].tolist()) & usable).reasons
                place = {"fold": number, "repeat": repeat} if len(runs) > 1 else {"fold": number}
                sizes = {"n_train": len(train), "n_test": len(test)}
                figures = _measure((labels[test] == positive_label)[usable.mask], result.prob[usable.mask])
                times = {"fit_time": result.fit_time, "predict_time": result.predict_time}
                rows.append({**place, "estimator": name, **sizes, **figures, **times})
                bar.set_postfix_str(_running(rows))
                bar.update()
    return probabilities.reshape(-1, len(names)), Usable.from_reasons(reasons.tolist()), folds.ravel(), rows


class _Fold:
    """The records of a fold, copied when first asked for: one copy serves all estimators."""

    def __init__(self, X: Any, train: NDArray[np.intp], test: NDArray[np.intp]):
        self._X, self._train, self._test = X, train, test

    @cached_property
    def train(self) -> Any:
        """Records to fit on."""
        return safe_indexing(self._X, self._train)

    @cached_property
    def test(self) -> Any:
        """Records to predict."""
        return safe_indexing(self._X, self._test)


def _fit_predict(
    estimator: Any, records: _Fold, y_train: NDArray, groups: NDArray | None, positive_label: Any
) -> FoldResult:
    """Return what an estimator that is fitted on one side of a fold says of the other."""
    estimator, params = route_fit(estimator, groups)
    found = fit_and_judge(estimator, records.train, y_train, records.test, params)
    prob, usable = found.judgement
    column = np.flatnonzero(found.classes == positive_label)
    if prob.ndim != 2 or len(column) != 1:
        raise ValueError(
            f"predict_proba must give one column for each of two classes; got shape {prob.shape} for classes "
            f"{found.classes}."
        )
    prob = check_probabilities(prob[:, column[0]], usable)
    return FoldResult(prob, usable.reasons.tolist(), found.fit_time, found.predict_time)


def _measure(positive: NDArray, prob: NDArray) -> dict[str, float]:
    figures = {"roc_auc": roc_auc_score, "average_precision": average_precision_score, "brier_score": brier_score_loss}
    both = 0 < positive.sum() < len(positive)
    found = {name: float(figure(positive, prob)) if both else np.nan for name, figure in figures.items()}
    return {"n_events": int(positive.sum()), **found}


def _running(rows: list[dict[str, Any]]) -> str:
    """Return the mean AUROC of each estimator over the folds so far, for the terminal."""
    means = pd.DataFrame(rows).groupby("estimator", sort=False)["roc_auc"].mean()
    return "AUROC " + ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
