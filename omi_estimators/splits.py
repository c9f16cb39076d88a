"""Folds that keep patients together, checked before anything is fitted, and what is predicted out of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import sklearn
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv, cross_val_predict
from sklearn.utils.metadata_routing import get_routing_for_object

from omi_estimators._compat import num_samples
from omi_estimators._validation import check_groups, find_missing, make_rng

__all__ = ["OfficialFolds", "make_splits", "predict_out_of_fold"]

Splits = list[tuple[NDArray[np.intp], NDArray[np.intp]]]
_SEEDS = 2**31


def make_splits(
    X: Any,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    cv: Any = 5,
    random_state: Any = None,
    on_few: str = "raise",
) -> Splits:
    """Return train and test indices of cross-validation, with every patient on one side only.

    These are the folds of `compare_estimators` with the same arguments.

    Parameters
    ----------
    X : array-like of shape (n_records, ...)
        Records; only their number matters, unless `cv` looks at them.
    y : array-like of shape (n_records,)
        Two classes or more.
    groups : array-like of shape (n_records,), optional
        Patient of each record. Without it each record counts as a patient of its own.
    cv : int, splitter or iterable of (train, test), default=5
        A number means so many shuffled, stratified folds, by patient if `groups` are given.
    random_state : int, RandomState, Generator or None, default=None
        Where the shuffling comes from; nothing, if `cv` is not a number.
    on_few : {"raise", "warn"}, default="raise"
        What to do where a class has fewer patients than `cv` folds: an error, or as many folds as it has
        patients, with a warning.

    Returns
    -------
    list of (train, test)
        Integer indices of each fold.

    Raises
    ------
    ValueError
        If `X`, `y` and `groups` do not fit together, `y` has one class only, there are fewer patients (or
        patients of a class) than folds, or a fold has a patient on both sides, lacks a class, or tests a
        record that another fold tests too.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.splits import make_splits
    >>> y, patients = np.tile([0, 1], 20), np.arange(40) // 2
    >>> splits = make_splits(np.zeros((40, 12, 100)), y, groups=patients, random_state=0)
    >>> len(splits), len(splits[0][1])
    (5, 8)
    """
    labels, classes, patients = check_records(X, y, groups)
    seed = int(make_rng(random_state).integers(_SEEDS))
    if isinstance(cv, Integral) and not isinstance(cv, bool):
        n_folds = _choose_n_folds(labels, classes, patients, int(cv), on_few)
        fold_maker = StratifiedKFold if patients is None else StratifiedGroupKFold
        cv = fold_maker(n_splits=n_folds, shuffle=True, random_state=seed)
    splitter = check_cv(cv, labels, classifier=True)
    with warnings.catch_warnings():
        # Splitters that know no groups warn; what they do to patients is checked below.
        warnings.filterwarnings("ignore", message="The groups parameter is ignored")
        splits = [(np.asarray(train), np.asarray(test)) for train, test in splitter.split(X, labels, patients)]
    _check_splits(splits, labels, classes, patients)
    return splits


class OfficialFolds:
    """The folds that a data set was published with, as a splitter of scikit-learn's kind.

    Parameters
    ----------
    fold : array-like of shape (n_records,)
        The published fold of each record, such as `load_ptbxl(...).fold`.
    test : sequence of int, optional
        Folds to test on, once and together; the rest are for training. None tests each fold in turn.
    leave_out : sequence of int, default=()
        Folds that are on neither side, such as one that is kept for choosing thresholds.

    Examples
    --------
    PTB-XL is meant to be trained on folds 1 to 8, with 9 for validation and 10 for the test:

    >>> import numpy as np
    >>> from omi_estimators.splits import OfficialFolds
    >>> fold = np.arange(20) % 10 + 1
    >>> [(train, test)] = OfficialFolds(fold, test=[10], leave_out=[9]).split(np.zeros(20))
    >>> len(train), fold[test].tolist()
    (16, [10, 10])
    >>> OfficialFolds(fold).get_n_splits()
    10
    """

    def __init__(self, fold: ArrayLike, *, test: Any = None, leave_out: Any = ()):
        self.fold = fold
        self.test = test
        self.leave_out = leave_out

    def split(self, X: Any, y: Any = None, groups: ArrayLike | None = None) -> Iterator[tuple[NDArray, NDArray]]:
        """Yield indices of training and test records.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            Records; only their number matters.
        y : ignored
            For scikit-learn's sake.
        groups : array-like of shape (n_records,), optional
            Patient of each record, to be checked.

        Yields
        ------
        train, test : ndarray of int
            Positions of records.

        Raises
        ------
        ValueError
            If there are more or fewer records than folds, a fold of `test` or `leave_out` has no record, a patient
            is missing, or one is on both sides.
        """
        fold = np.asarray(self.fold)
        if fold.ndim != 1 or len(fold) != num_samples(X):
            raise ValueError(
                f"fold has shape {fold.shape}, but there are {num_samples(X)} records; give the fold of each record."
            )
        patients = None if groups is None else check_groups(groups, len(fold))
        out = np.isin(fold, list(self.leave_out))
        for number, tested in enumerate(self._find_tested()):
            in_test = np.isin(fold, tested)
            train, test = np.flatnonzero(~in_test & ~out), np.flatnonzero(in_test)
            if not train.size:
                raise ValueError("every fold is tested or left out, and none is there for training.")
            if patients is not None:
                _check_patients(number, patients[train], patients[test])
            yield train, test

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return how often `split` splits.

        Parameters
        ----------
        X, y, groups : ignored
            For scikit-learn's sake.

        Returns
        -------
        int
            1 with `test`, else the number of folds.
        """
        return len(self._find_tested())

    def _find_tested(self) -> list[list[Any]]:
        """Return the folds that each split tests."""
        there = np.unique(np.asarray(self.fold)).tolist()
        left_out = list(self.leave_out)
        tested = [[fold] for fold in there if fold not in left_out] if self.test is None else [list(self.test)]
        for fold in [*left_out, *(fold for each in tested for fold in each)]:
            if fold not in there:
                raise ValueError(f"fold {fold!r} has no record; there are {', '.join(map(str, there))}.")
        both = [fold for each in tested for fold in each if fold in left_out]
        if both:
            raise ValueError(f"fold {both[0]!r} is both tested and left out.")
        return tested


def predict_out_of_fold(
    estimator: Any, X: Any, y: NDArray, groups: NDArray | None, splits: Splits, *, n_jobs: int | None = None
) -> NDArray[np.float64]:
    """Return probabilities for records that the clone of the estimator that gives them has not seen.

    Parameters
    ----------
    estimator : estimator
        A classifier with `predict_proba`. Patients go to its `fit` if it asks for them by metadata routing.
    X : array-like of shape (n_records, ...)
        Records.
    y : ndarray of shape (n_records,)
        Labels.
    groups : ndarray of shape (n_records,), optional
        Patients.
    splits : list of (train, test)
        Folds that test every record once.
    n_jobs : int, optional
        Folds fitted at the same time.

    Returns
    -------
    ndarray of shape (n_records, n_classes)
        Probabilities, columns in sorted order of the classes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from omi_estimators.splits import make_splits, predict_out_of_fold
    >>> X, y, groups = np.zeros((8, 1)), np.tile([0, 1], 4), np.arange(8) // 2
    >>> splits = make_splits(X, y, groups=groups, cv=2, random_state=0)
    >>> predict_out_of_fold(DummyClassifier(), X, y, groups, splits).shape
    (8, 2)
    """
    with sklearn.config_context(enable_metadata_routing=True):
        params = route_groups(estimator, groups)
        return cross_val_predict(estimator, X, y, cv=splits, n_jobs=n_jobs, method="predict_proba", params=params)


def route_groups(estimator: Any, groups: NDArray | None) -> dict[str, NDArray]:
    """Return what to pass to `fit` of an estimator with metadata routing on: the patients, if it asks for them."""
    asks = groups is not None and get_routing_for_object(estimator).consumes("fit", ["groups"])
    return {"groups": groups} if asks and groups is not None else {}


def check_records(X: Any, y: ArrayLike, groups: ArrayLike | None) -> tuple[NDArray, NDArray, NDArray | None]:
    """Return labels, their classes, and patients, as arrays; raise a ValueError if they do not fit together."""
    try:
        n_records = num_samples(X)
    except TypeError as error:
        raise ValueError(f"X must be an array of records; got {type(X).__name__}.") from error
    labels = np.asarray(y)
    if labels.ndim != 1 or len(labels) != n_records:
        raise ValueError(f"y must hold one label for each of the {n_records} records in X; got shape {labels.shape}.")
    if find_missing(labels).size:
        raise ValueError("y has missing labels; leave these records out of X, y and groups alike.")
    classes = np.unique(labels)
    if len(classes) < 2:
        found = "".join(f", {label!r}" for label in classes.tolist())
        raise ValueError(f"y must hold at least two classes; got {len(classes)} class{found}.")
    if groups is None:
        return labels, classes, None
    return labels, classes, check_groups(groups, n_records)


def describe_records(labels: NDArray, patients: NDArray | None) -> tuple[int, int | None, NDArray[np.float64]]:
    """Return the number of checked records, that of patients if they are known, and the share of each class."""
    n_patients = None if patients is None else len(np.unique(patients))
    return len(labels), n_patients, np.unique(labels, return_counts=True)[1] / len(labels)


def _choose_n_folds(labels: NDArray, classes: NDArray, patients: NDArray | None, n_folds: int, on_few: str) -> int:
    """Return the number of folds that patients, and those of each class, can fill; raise if it is too small."""
    if n_folds < 2:
        raise ValueError(f"Cross-validation needs at least 2 folds; got {n_folds}.")
    what = "records" if patients is None else "patients"
    units = np.arange(len(labels)) if patients is None else patients
    n_units = len(np.unique(units))
    n_by_class = [len(np.unique(units[labels == label])) for label in classes]
    fewest = min(n_by_class)
    if on_few == "warn" and 2 <= fewest < n_folds:
        warnings.warn(
            f"Only {fewest} {what} have class {classes.tolist()[int(np.argmin(n_by_class))]!r}: {fewest} folds "
            f"instead of {n_folds}.",
            UserWarning,
            stacklevel=4,
        )
        return fewest
    if n_units < n_folds:
        raise ValueError(
            f"{n_folds} folds need {n_folds} {what} at least; got {n_units}. Ask for fewer folds, or give more {what}."
        )
    for label, n_units in zip(classes.tolist(), n_by_class, strict=True):
        if n_units < n_folds:
            raise ValueError(
                f"Each of the {n_folds} folds must hold every class, but only {n_units} {what} have class {label!r}. "
                f"Ask for at most {n_units} folds, or give more {what} of this class."
            )
    return n_folds


def _check_splits(splits: Splits, labels: NDArray, classes: NDArray, patients: NDArray | None) -> None:
    """Raise a ValueError if a fold leaks, lacks a class, or tests what another fold tests."""
    if not splits:
        raise ValueError("cv gives no fold; give at least one pair of train and test indices.")
    times_tested = np.zeros(len(labels), dtype=int)
    for number, (train, test) in enumerate(splits, start=1):
        shared = np.intersect1d(train, test)
        if shared.size:
            raise ValueError(f"Fold {number} has {shared.size} records in training and test, the first {shared[0]}.")
        if patients is not None:
            _check_patients(number, patients[train], patients[test])
        for side, index in (("training", train), ("test", test)):
            missing = np.setdiff1d(classes, labels[index])
            if missing.size:
                raise ValueError(
                    f"Fold {number} has no record of class {missing.tolist()[0]!r} in {side}; every fold must hold "
                    "every class. Ask for fewer folds, or stratify them."
                )
        times_tested[test] += 1
    if times_tested.max() > 1:
        raise ValueError(
            f"Record {int(times_tested.argmax())} is tested in {times_tested.max()} folds; each record may be tested "
            "once, so repeated or shuffled splits need one comparison each."
        )


def _check_patients(number: int, train: NDArray, test: NDArray) -> None:
    leaked = np.intersect1d(train, test)
    if leaked.size:
        raise ValueError(
            f"Fold {number} has {leaked.size} patients in training and test, the first {leaked.tolist()[0]!r}; no "
            "patient may be on both sides. Give cv as a number, or a splitter by group such as StratifiedGroupKFold."
        )
