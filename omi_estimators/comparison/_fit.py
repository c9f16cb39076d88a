"""The loop over folds and estimators: out-of-fold probabilities, figures of each fold, times."""

from __future__ import annotations

import os
import sys
import zlib
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from tqdm import tqdm

from omi_estimators._compat import safe_indexing
from omi_estimators._store import make_key, read_file, write_file
from omi_estimators._validation import check_scores
from omi_estimators.preprocessing import Usable
from omi_estimators.splits import Splits, fit_and_judge, route_fit

_SEEDS = 2**31
_NOT_KEPT = "leave cache_dir out"
_BAR = "{desc} {bar:16} {n_fmt}/{total_fmt} [{elapsed}<{remaining}]{postfix}"


def check_estimators(estimators: Any) -> None:
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


def cross_fit(
    estimators: Mapping[str, Any],
    X: Any,
    labels: NDArray,
    positive_label: Any,
    patients: NDArray | None,
    splits: Splits,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    verbose: int,
) -> tuple[NDArray[np.float64], Usable, list[dict[str, Any]]]:
    """Fit every estimator on every fold, but for folds that were finished before and are kept in `cache_dir`.

    Returns
    -------
    probabilities : ndarray of shape (n_records, n_estimators)
        Out-of-fold probabilities of the positive class; NaN for records that no fold tests.
    usable : Usable
        The records that every estimator could judge.
    rows : list of dict
        One for each fold and estimator: sizes, figures, and times in seconds.
    """
    probabilities = np.full((len(labels), len(estimators)), np.nan)
    reasons = np.full(len(labels), "", dtype=object)
    rows: list[dict[str, Any]] = []
    n_fits = len(splits) * len(estimators)
    keys: dict[str, str] = {}
    if cache_dir is not None:
        Path(cache_dir).mkdir(parents=True, exist_ok=True)
        data = X, labels, positive_label, patients, sklearn.get_config()["transform_output"]
        shared = make_key(*data, name="X", otherwise=_NOT_KEPT)
        # Before anything is fitted, as not every estimator has a key.
        for name, estimator in estimators.items():
            keys[name] = make_key(shared, estimator, name=f"Estimator {name!r}", otherwise=_NOT_KEPT)
    with tqdm(total=n_fits, disable=not verbose, file=sys.stderr, bar_format=_BAR, dynamic_ncols=True) as bar:
        for fold, (train, test) in enumerate(splits):
            records = _Fold(X, train, test)
            groups = None if patients is None else patients[train]
            for column, (name, estimator) in enumerate(estimators.items()):
                bar.set_description(f"fold {fold + 1} of {len(splits)}: {name}")
                path = None if cache_dir is None else Path(cache_dir, f"{make_key(keys[name], train, test)}.fold")
                kept = None if path is None else read_file(path, "saved fold", "it is fitted again")
                result = None if kept is None else FoldResult(**kept)
                if result is None:
                    try:
                        result = _fit_predict(estimator, records, labels[train], groups, positive_label)
                    except Exception as error:
                        error.add_note(f"compare_estimators: {name!r} failed in fold {fold + 1} of {len(splits)}.")
                        raise
                    if path is not None:
                        write_file(path, result._asdict(), "fold", "The same call would fit this fold again.")
                probabilities[test, column] = result.prob
                usable = Usable.from_reasons(result.reasons)
                reasons[test] = (Usable.from_reasons(reasons[test].tolist()) & usable).reasons
                sizes = {"n_train": len(train), "n_test": len(test)}
                figures = _measure((labels[test] == positive_label)[usable.mask], result.prob[usable.mask])
                times = {"fit_time": result.fit_time, "predict_time": result.predict_time}
                rows.append({"fold": fold, "estimator": name, **sizes, **figures, **times})
                bar.set_postfix_str(_running(rows))
                bar.update()
    return probabilities, Usable.from_reasons(reasons.tolist()), rows


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
    # Some classifiers' probabilities exceed 1 in the last digit.
    prob = prob[:, column[0]].astype(np.float64)
    prob = np.where(np.abs(prob - 0.5) < 0.5 + 1e-6, np.clip(prob, 0, 1), prob)
    check_scores(prob[usable.mask], int(usable.mask.sum()), probability=True, name="predict_proba")
    return FoldResult(prob, usable.reasons.tolist(), found.fit_time, found.predict_time)


def _measure(positive: NDArray, prob: NDArray) -> dict[str, float]:
    figures = {"roc_auc": roc_auc_score, "average_precision": average_precision_score, "brier_score": brier_score_loss}
    both = 0 < positive.sum() < len(positive)
    found = {name: float(figure(positive, prob)) if both else np.nan for name, figure in figures.items()}
    return {"n_events": int(positive.sum()), **found}


def _running(rows: list[dict[str, Any]]) -> str:
    """Return the mean AUROC of each estimator over the folds so far, for the terminal."""
    means: dict[str, list[float]] = {}
    for row in rows:
        means.setdefault(row["estimator"], []).append(row["roc_auc"])
    return "AUROC " + ", ".join(f"{name} {np.nanmean(values):.3f}" for name, values in means.items())
