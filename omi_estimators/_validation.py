"""What labels, scores, patients and seeds must be, checked in one place for all rooms."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_FEW = 10

# Short of overflow by enough for sums of sums, over epochs or resamples.
_LARGEST_SUM = 1e300


class FewEventsWarning(UserWarning):
    """A class has so few patients that no interval can be trusted."""


def check_labels(y_true: ArrayLike) -> NDArray[np.bool_]:
    """Return whether each record is positive, or say what is wrong with the labels.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: False and True, 0 and 1, or -1 and 1. Both must occur.

    Returns
    -------
    ndarray of shape (n_records,), bool
        True for the positive class.

    Raises
    ------
    ValueError
        If `y_true` is not one-dimensional, is empty, holds other values, or one class only.
    """
    labels = np.asarray(y_true)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(f"y_true must have shape (n_records,) with at least one record; got shape {labels.shape}.")
    values = list(dict.fromkeys(labels.tolist()))[:4]
    if not (set(values) <= {0, 1} or set(values) <= {-1, 1}):
        raise ValueError(
            f"y_true must hold 0 and 1 (or -1 and 1, or booleans); got {', '.join(map(repr, values))}. "
            "Name the positive class: y == positive_label."
        )
    if len(values) == 1:
        raise ValueError(f"y_true must hold both classes; all {labels.size} labels are {values[0]!r}.")
    return labels == 1


def check_scores(
    y_score: ArrayLike, n_records: int, *, probability: bool, name: str = "y_score"
) -> NDArray[np.float64]:
    """Return scores as a float64 array, or say what is wrong with them.

    Parameters
    ----------
    y_score : array-like of shape (n_records,)
        Scores; a higher one speaks for the positive class.
    n_records : int
        The number of labels.
    probability : bool
        Whether scores must lie in [0, 1].
    name : str, default="y_score"
        What to call the scores in errors.

    Returns
    -------
    ndarray of shape (n_records,)
        The scores.

    Raises
    ------
    ValueError
        If they are not finite numbers, of another number, or not probabilities where these are needed.
    """
    try:
        scores = np.asarray(y_score, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers; got {np.asarray(y_score).dtype} values.") from error
    if scores.ndim == 2 and scores.shape[1] == 2:
        raise ValueError(
            f"{name} must have shape (n_records,); got {scores.shape}. From predict_proba take the column of the "
            "positive class: [:, 1]."
        )
    if scores.ndim != 1 or len(scores) != n_records:
        raise ValueError(f"{name} must hold one score for each of the {n_records} labels; got shape {scores.shape}.")
    bad = np.flatnonzero(~np.isfinite(scores))
    if bad.size:
        raise ValueError(
            f"{name} has {bad.size} values that are NaN or infinite, the first for record {bad[0]}; "
            "leave these records out of labels, scores and groups alike."
        )
    if probability and (scores.min() < 0 or scores.max() > 1):
        raise ValueError(
            f"{name} must hold probabilities in [0, 1]; got values from {scores.min():.3g} to {scores.max():.3g}. "
            "Take predict_proba, not decision_function, or calibrate."
        )
    return scores


def check_weights(sample_weight: ArrayLike | None, n_records: int) -> NDArray[np.float64] | None:
    """Return the weight of each record as a float64 array, None for None, or say what is wrong with them.

    Parameters
    ----------
    sample_weight : array-like of shape (n_records,) or None
        Weights: finite, none below zero, not all zero.
    n_records : int
        The number of records.

    Returns
    -------
    ndarray of shape (n_records,) or None
        The weights.

    Raises
    ------
    ValueError
        If they are other than that, of another number, or add up to more than float64 can count with.
    """
    if sample_weight is None:
        return None
    try:
        weight = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"sample_weight must hold numbers; got {np.asarray(sample_weight).dtype} values.") from error
    if weight.ndim != 1 or len(weight) != n_records:
        raise ValueError(
            f"sample_weight must hold one weight for each of the {n_records} records; got shape {weight.shape}."
        )
    bad = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if bad.size:
        raise ValueError(
            f"sample_weight must hold finite numbers that are not negative; got {weight[bad[0]]} for record {bad[0]}. "
            "A weight of 0 leaves a record out."
        )
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not 0 < total <= _LARGEST_SUM:
        raise ValueError(
            f"sample_weight must add up to a positive number of at most {_LARGEST_SUM:g}, not to zero; its sum is "
            f"{total}. Only ratios of weights matter: divide them by their mean."
        )
    return weight


def check_codes(values: ArrayLike | None, n_records: int, *, name: str) -> NDArray[np.intp] | None:
    """Return group labels (patients, folds) as codes from 0, None for None, or say what is wrong with them."""
    if values is None:
        return None
    array = check_groups(values, n_records, name=name)
    return np.unique(array, return_inverse=True)[1].astype(np.intp)


def check_groups(values: ArrayLike, n_records: int, *, name: str = "groups") -> NDArray[Any]:
    """Return the patient (or fold) of each record as an array of one dimension.

    Parameters
    ----------
    values : array-like of shape (n_records,)
        Names or numbers; of NumPy, pandas or plain lists.
    n_records : int
        The number of records.
    name : str, default="groups"
        What to call them in errors.

    Returns
    -------
    ndarray of shape (n_records,)
        The same values.

    Raises
    ------
    ValueError
        If there is another number of them, or one is missing: None, NaN, NaT or pandas' NA.
    """
    array = np.asarray(values)
    what = "patient" if name == "groups" else "value"
    if array.ndim != 1 or len(array) != n_records:
        raise ValueError(f"{name} must hold one {what} for each of the {n_records} records; got shape {array.shape}.")
    # NumPy makes the text "nan" of a NaN among names.
    missing = find_missing(array if isinstance(values, np.ndarray) else np.asarray(values, dtype=object))
    if missing.size:
        raise ValueError(
            f"{name} has missing {what}s, the first for record {missing[0]}; give every record one, or leave these "
            "records out."
        )
    return array


def find_missing(values: NDArray[Any]) -> NDArray[np.intp]:
    """Return the positions of missing values in an array of any type: None, NaN, NaT or pandas' NA."""
    if values.dtype.kind in "biuSU":
        return np.empty(0, dtype=np.intp)
    if values.dtype.kind in "mM":
        return np.flatnonzero(np.isnat(values))
    # pandas' NA equals nothing and answers no question, not even whether it equals itself.
    return np.flatnonzero([value is None or (value == value) is not True for value in values.tolist()])


def warn_few(positive: NDArray[np.bool_], units: NDArray[np.intp] | None) -> None:
    """Warn if fewer than ten patients (records, where `units` is None) have one of the classes."""
    what = "records" if units is None else "patients"
    for name, mask in (("positive", positive), ("negative", ~positive)):
        count = int(mask.sum()) if units is None else len(np.unique(units[mask]))
        if count < _FEW:
            warnings.warn(
                f"Only {count} {name} {what}: intervals are unreliable below {_FEW}.",
                FewEventsWarning,
                stacklevel=3,
            )


def make_rng(random_state: Any) -> np.random.Generator:
    """Return a Generator for any of scikit-learn's or NumPy's ways to name a random state; None is fresh entropy."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31, size=4))
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "random_state must be a whole number of at least 0, a RandomState, a Generator or None; "
            f"got {random_state!r}."
        ) from error


def check_level(confidence_level: float) -> None:
    """Raise a ValueError for a confidence level that is none."""
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level must lie between 0 and 1, such as 0.95; got {confidence_level!r}.")


@contextmanager
def naming_package(package: str, extra: str, purpose: str) -> Iterator[None]:
    """Make an import inside that fails say what needs the package, and of which extra of ours it is."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package {package}, which is not installed; install it with: {how_to_install(extra)}"
        ) from error


def how_to_install(extra: str) -> str:
    """Return the command that installs what an extra of this package needs.

    It names the libraries themselves, and so works wherever this package came from: a registry, a clone or a wheel.

    Parameters
    ----------
    extra : str
        Such as "plot".

    Returns
    -------
    str
        For any shell.
    """
    try:
        known = requires("omi-estimators") or []
    except PackageNotFoundError:
        known = []
    needed = [text.partition(";")[0].strip() for text in known if re.search(rf"extra == ['\"]{extra}['\"]", text)]
    return " ".join(["pip install", *(f'"{text}"' for text in needed or [f".[{extra}]"])])


def name_classes(classes: NDArray[Any], given: Sequence[str] | None = None) -> tuple[str, str]:
    """Return names of the negative and the positive class: those given, else the classes if these are words.

    Raises a ValueError if these are not two.
    """
    own = ("negative", "positive") if classes.dtype.kind in "biuf" else classes.tolist()
    names = tuple(map(str, own if given is None else given))
    if len(names) != 2:
        raise ValueError(f"target_names must name the negative and the positive class; got {names!r}.")
    return names[0], names[1]


def count_noun(number: int, noun: str) -> str:
    """Return how many there are, such as "1 record" or "2 records"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
