"""Folds that keep patients together, checked before anything is fitted, and what is predicted out of them."""

from __future__ import annotations

import operator
import time
import warnings
from collections.abc import Mapping
from functools import reduce
from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import numpy as np
import sklearn
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv
from sklearn.utils import Tags, get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, column_or_1d, has_fit_parameter
from tqdm import tqdm

from omi_estimators._compat import delayed, num_samples, run_parallel, safe_indexing
from omi_estimators._documentation import DocumentedMixin
from omi_estimators._text import is_silent
from omi_estimators._validation import check_groups, check_weights, find_missing, make_rng
from omi_estimators.leads import convert_records
from omi_estimators.preprocessing import Judgement, Usable, judge, report_unusable

__all__ = ["OutOfFold", "make_splits", "predict_out_of_fold"]

Splits = list[tuple[NDArray[np.intp], NDArray[np.intp]]]
_SEEDS = 2**31
_FIT = MethodMapping().add(caller="fit", callee="fit")


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


class OutOfFold(NamedTuple):
    """What classifiers say of records that they were not fitted on.

    Attributes
    ----------
    prob : ndarray of shape (n_records, n_classes)
        Probabilities, columns in sorted order of the classes; NaN for a record that no fold tests.
    usable : Usable
        Which of them mean something, and why the others do not.
    fold : ndarray of int, shape (n_records,)
        Number of the fold that tests each record, from 0; -1 where none does.
    """

    prob: NDArray[np.float64]
    usable: Usable
    fold: NDArray[np.intp]


class FoldFit(NamedTuple):
    """What a classifier fitted on one side of a fold says of the other side, and how long it took.

    Attributes
    ----------
    judgement : Judgement
        Probabilities of the test records, and which of them could be judged.
    classes : ndarray of shape (n_classes,)
        The class of each column.
    fit_time, predict_time : float
        Seconds.
    """

    judgement: Judgement
    classes: NDArray[Any]
    fit_time: float
    predict_time: float


def predict_out_of_fold(
    estimator: Any,
    X: Any,
    y: NDArray,
    groups: NDArray | None,
    splits: Splits,
    *,
    sample_weight: NDArray | None = None,
    n_jobs: int | None = None,
) -> OutOfFold:
    """Return probabilities for records that the clone of the estimator that gives them has not seen.

    Parameters
    ----------
    estimator : estimator
        A classifier with `predict_proba`. Patients go to its `fit` if it asks for them by metadata routing.
    X : array-like of shape (n_records, ...)
        Records.
    y : ndarray of shape (n_records,)
        Labels, which every clone gets as they are.
    groups : ndarray of shape (n_records,), optional
        Patients.
    splits : list of (train, test)
        Folds that test a record at most once.
    sample_weight : ndarray of shape (n_records,), optional
        Weights. With metadata routing enabled, requests decide who gets them; without, everything in the estimator
        that takes them.
    n_jobs : int, optional
        Folds fitted at the same time.

    Returns
    -------
    OutOfFold
        Probabilities, which of them mean something, and the fold of each record.

    Raises
    ------
    ValueError
        If a clone does not answer for the classes of `y`; the message names the fold.

    Warns
    -----
    UserWarning
        If weights are given, routing is off, and nothing in the estimator takes weights.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from omi_estimators.splits import make_splits, predict_out_of_fold
    >>> X, y, groups = np.zeros((8, 1)), np.tile([0, 1], 4), np.arange(8) // 2
    >>> splits = make_splits(X, y, groups=groups, cv=2, random_state=0)
    >>> found = predict_out_of_fold(DummyClassifier(), X, y, groups, splits)
    >>> found.prob.shape, np.bincount(found.fold).tolist()
    ((8, 2), [4, 4])
    """
    return cross_fit(*route_fit(estimator, groups, sample_weight), X, y, splits, n_jobs=n_jobs)


def cross_fit(
    estimator: Any,
    params: dict[str, NDArray],
    X: Any,
    y: NDArray,
    splits: Splits,
    *,
    n_jobs: int | None,
    verbose: int = 0,
) -> OutOfFold:
    """Return what `predict_out_of_fold` does, for an estimator and metadata from `route_fit`, perhaps with a bar."""
    [records] = indexable(X)

    def prepare(train: NDArray[np.intp], test: NDArray[np.intp]) -> Any:
        given = {name: values[train] for name, values in params.items()}
        X_train, X_test = safe_indexing(records, train), safe_indexing(records, test)
        return delayed(fit_and_judge)(estimator, X_train, y[train], X_test, given)

    classes = np.unique(y)
    prob, fold = np.full((len(y), len(classes)), np.nan), np.full(len(y), -1)
    reasons = np.full(len(y), "no fold tests it", dtype=object)
    fits = run_parallel((prepare(*split) for split in splits), n_jobs)
    # Where stderr is no terminal, there is no bar.
    done = tqdm(zip(splits, fits, strict=True), "folds", total=len(splits), disable=is_silent(verbose))
    for number, ((_, test), fit) in enumerate(done):
        if set(fit.classes.tolist()) != set(classes.tolist()):
            raise ValueError(
                f"In fold {number + 1} of {len(splits)} {type(estimator).__name__} answers for the classes "
                f"{fit.classes.tolist()}, but y holds {classes.tolist()}; ask for fewer folds, or give more records."
            )
        prob[test] = order_columns(fit.judgement.prob, fit.classes, classes)
        fold[test], reasons[test] = number, fit.judgement.usable.reasons
    return OutOfFold(prob, Usable.from_reasons(reasons.tolist()), fold)


def fit_and_judge(
    estimator: Any, X_train: Any, y_train: NDArray, X_test: Any, params: Mapping[str, NDArray]
) -> FoldFit:
    """Fit a clone on one side of a fold, with metadata from `route_fit`, and ask it about the other side."""
    start = time.perf_counter()
    fitted = fit_routed(estimator, X_train, y_train, params)
    middle = time.perf_counter()
    judgement = judge(fitted, X_test)
    return FoldFit(judgement, np.asarray(fitted.classes_), middle - start, time.perf_counter() - middle)


def fit_routed(estimator: Any, X: Any, y: NDArray, params: Mapping[str, NDArray]) -> Any:
    """Return a clone fitted with metadata from `route_fit`, which reach every part that asks for them."""
    with sklearn.config_context(enable_metadata_routing=True):
        return clone(estimator).fit(X, y, **params)


def order_columns(prob: NDArray, found: NDArray, wanted: NDArray) -> NDArray[np.float64]:
    """Return probabilities with their columns, of the classes `found`, in the order of `wanted`."""
    return prob[:, [found.tolist().index(label) for label in wanted.tolist()]]


def route_fit(
    estimator: Any, groups: NDArray | None = None, sample_weight: NDArray | None = None
) -> tuple[Any, dict[str, NDArray]]:
    """Return a clone of an estimator, and which of patients and weights to pass to its `fit` with routing on.

    Whether an estimator gets weights is decided as in scikit-learn's own: by requests if the caller has routing
    enabled (one that takes weights and has not said is an error); else all in it that takes weights asks for them.
    """
    estimator, by_request = clone(estimator), sklearn.get_config()["enable_metadata_routing"]
    with sklearn.config_context(enable_metadata_routing=True):
        if sample_weight is not None and not by_request:
            _ask_for_weights(estimator)
        router = MetadataRouter(owner="cross-fitting").add(estimator=estimator, method_mapping=_FIT)
        params = {} if groups is None or not router.consumes("fit", ["groups"]) else {"groups": groups}
        if sample_weight is not None:
            params |= router.route_params(caller="fit", params={"sample_weight": sample_weight})["estimator"]["fit"]
    if sample_weight is not None and not by_request and "sample_weight" not in params:
        warnings.warn(f"{type(estimator).__name__} takes no sample_weight, and is fitted without it.", stacklevel=4)
    return estimator, params


def _ask_for_weights(estimator: Any) -> None:
    """Make everything in a clone that takes weights in `fit` ask for them, but for what is fitted already."""
    parts = [estimator, *estimator.get_params().values()]
    frozen = [part.estimator for part in parts if isinstance(part, FrozenEstimator)]
    for part in parts:
        takes = hasattr(part, "set_fit_request") and has_fit_parameter(part, "sample_weight")
        if takes and not any(part is fitted for fitted in frozen):
            part.set_fit_request(sample_weight=True)


class CrossFit(NamedTuple):
    """What there is to learn from after cross-fitting: of the records, of the folds, and of each classifier."""

    labels: NDArray[Any]
    patients: NDArray[Any] | None
    weights: NDArray[np.float64] | None
    kept: NDArray[np.bool_]
    splits: Splits
    params: list[dict[str, NDArray]]
    found: list[OutOfFold]
    fitted: list[Any]


class CrossFittedClassifier(DocumentedMixin, ClassifierMixin):
    """Base of classifiers that learn from what others, their parts, say out of fold.

    A subclass has `cv` and `n_jobs`, perhaps `verbose`, names its parts by `_name_parts`, and answers by `judge`.
    """

    # Patients reach the folds by themselves wherever metadata routing is on.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True}

    # What models of files have that were saved before a subclass had this parameter.
    verbose: int = 0

    def _name_parts(self) -> dict[str, Any]:
        raise NotImplementedError

    def _check_classes(self, labels: NDArray, patients: NDArray | None) -> None:
        """Raise a ValueError for classes, or patients of these, that the subclass does not take."""

    def _make_splits(self, X: Any, labels: NDArray, patients: NDArray | None, rng: Any) -> Splits:
        return make_splits(X, labels, groups=patients, cv=self.cv, random_state=rng, on_few="warn")

    def _cross_fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None, groups: ArrayLike | None, rng: Any, lost: str
    ) -> CrossFit:
        """Fit every part in the folds and on all records; warn of records that cannot be judged and are `lost`."""
        check_classification_targets(y)
        assert_all_finite(y, input_name="y")
        labels, self.classes_, patients = check_records(X, column_or_1d(y, warn=True), groups)
        weights = check_weights(sample_weight, len(labels))
        self._check_classes(labels, patients)
        splits = self._make_splits(X, labels, patients, rng)
        routed = [route_fit(part, patients, weights) for part in self._name_parts().values()]
        found = [cross_fit(*each, X, labels, splits, n_jobs=self.n_jobs, verbose=self.verbose) for each in routed]
        usable = reduce(operator.and_, (each.usable for each in found))
        report_unusable(usable, on_error="warn", consequence=lost)
        kept = usable.mask if weights is None else usable.mask & (weights > 0)
        missing = np.setdiff1d(labels, labels[kept])
        if missing.size:
            raise ValueError(f"No record of class {missing.tolist()[0]!r} can be judged and has a weight above zero.")
        fitted = [fit_routed(part, X, labels, params) for part, params in routed]
        self.n_records_, self.n_patients_ = len(labels), None if patients is None else len(np.unique(patients))
        mass = np.bincount(np.searchsorted(self.classes_, labels), weights=weights)
        self.class_prior_ = mass / mass.sum()
        return CrossFit(labels, patients, weights, kept, splits, [params for _, params in routed], found, fitted)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_records, n_classes)
            Probabilities; rows sum to 1. Of a record that cannot be judged the class shares of the training data, or
            NaN where the classifier, or one inside it, is asked for that, with a warning.
        """
        prob, usable = self.judge(X)
        report_unusable(usable, on_error="warn", consequence="given the class shares of the training data, or NaN")
        return prob

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each record.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_records,)
            The most probable class, or what the classifier's documentation says; of a record that cannot be judged the
            most frequent class of the training data, with a warning.
        """
        prob, usable = self.judge(X)
        report_unusable(usable, on_error="warn", consequence="given the most frequent class")
        return self.classes_[np.where(usable.mask, self._choose(prob), self.class_prior_.argmax())]

    def _choose(self, prob: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the column of the class to answer for each record."""
        return prob.argmax(axis=1)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = [get_tags(part).input_tags for part in self._name_parts().values()]
        for name in ("sparse", "allow_nan", "three_d_array"):
            setattr(tags.input_tags, name, all(getattr(part, name) for part in inner))
        return tags

    def get_metadata_routing(self) -> MetadataRouter:
        """Return how metadata go on to the parts.

        Returns
        -------
        MetadataRouter
            scikit-learn's description of it.
        """
        return MetadataRouter(owner=self).add_self_request(self).add(**self._name_parts(), method_mapping=_FIT)


def check_records(X: Any, y: ArrayLike, groups: ArrayLike | None) -> tuple[NDArray, NDArray, NDArray | None]:
    """Return labels, their classes, and patients, as arrays; raise a ValueError if they do not fit together."""
    try:
        n_records = num_samples(convert_records(X))
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
            stacklevel=6,
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
