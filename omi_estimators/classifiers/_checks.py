"""What fit and predict hold their input against, before any long work starts."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, validate_data

from omi_estimators._compat import check_sample_weight
from omi_estimators.classifiers._records import Records, merge_records
from omi_estimators.leads import check_records_axis


def check_signals(estimator: Any, X: ArrayLike, *, reset: bool, **kwargs: Any) -> Any:
    """Validate records, and labels if there are any; give 2-D records their lead axis.

    Parameters
    ----------
    estimator : NetClassifier
        Gets `n_leads_in_` and `n_samples_in_` if `reset`, else is asked for them.
    X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
        Records.
    reset : bool
        Whether this is a first fit.
    **kwargs
        For scikit-learn's `validate_data`, such as `y`.

    Returns
    -------
    ndarray of shape (n_records, n_leads, n_samples), or a tuple of it and the labels
        The records in float32.

    Raises
    ------
    ValueError
        For another number of dimensions, leads or samples, values that are not finite, or text.
    """
    if not reset and estimator.n_leads_in_ > 1:
        check_records_axis(np.shape(X), estimator.n_leads_in_, estimator.n_samples_in_, type(estimator).__name__)
    # What is too large for float32 becomes infinite here, and so may the sum in which validate_data looks for that;
    # it says what is wrong, and NumPy need not warn of it too.
    with np.errstate(over="ignore", invalid="ignore"):
        checked = validate_data(estimator, X, dtype=np.float32, order="C", allow_nd=True, reset=reset, **kwargs)
    signals, *labels = checked if isinstance(checked, tuple) else (checked,)
    if signals.ndim > 3:
        raise ValueError(
            f"X must have shape (n_records, n_leads, n_samples) or (n_records, n_samples); got {signals.shape}."
        )
    if signals.ndim == 2:
        signals = signals[:, np.newaxis, :]
    if reset:
        estimator.n_leads_in_, estimator.n_samples_in_ = signals.shape[1:]
    elif signals.shape[1:] != (estimator.n_leads_in_, estimator.n_samples_in_):
        raise ValueError(
            f"X has {signals.shape[1]} leads of {signals.shape[2]} samples, but {type(estimator).__name__} was fitted "
            f"on {estimator.n_leads_in_} leads of {estimator.n_samples_in_} samples."
        )
    return (signals, *labels) if labels else signals


def check_records(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    groups: ArrayLike | None,
    *,
    reset: bool,
    classes: ArrayLike | None = None,
) -> Records:
    """Validate what `fit` was given, learn the classes if `reset`, and merge equal records.

    The classes are those of `y`, unless `classes` names them.

    Raises
    ------
    ValueError
        For malformed input, fewer than two classes, classes that the first fit did not have, or no
        signal at all.
    """
    signals, labels = check_signals(estimator, X, y=y, reset=reset, ensure_min_samples=2)
    check_classification_targets(labels)
    _check_not_blank(signals)
    weight = check_sample_weight(sample_weight, signals, dtype=np.float64, ensure_non_negative=True)
    if groups is not None and np.ndim(groups) != 1:
        raise ValueError(f"groups must hold one patient per record; got {groups!r:.100}.")
    check_consistent_length(signals, groups)
    patients = np.zeros(len(labels)) if groups is None else np.asarray(groups)
    rows = np.flatnonzero(weight)
    labels, weight, patients = labels[rows], weight[rows], patients[rows]
    if reset:
        estimator.classes_ = np.unique(labels if classes is None else classes)
    _check_classes(estimator, labels)
    patient_codes = np.unique(patients, return_inverse=True)[1]
    codes = np.searchsorted(estimator.classes_, labels)
    records = merge_records(Records(signals, rows, codes, weight, patient_codes))
    if groups is None:
        # Without patients each record stands for one; given after merging, so that copies stay together.
        records = records._replace(groups=np.arange(len(records.y)))
    return records


def _check_classes(estimator: Any, labels: NDArray[Any]) -> None:
    """Raise a ValueError for a single class, or one that is new to a fitted network."""
    classes = estimator.classes_
    if len(classes) < 2:
        raise ValueError(
            f"{type(estimator).__name__} needs records of at least two classes (with a sample_weight above 0); "
            f"got one class, {classes.tolist()!r}."
        )
    unknown = np.setdiff1d(labels, classes)
    if unknown.size:
        raise ValueError(
            f"y has classes {unknown.tolist()!r}, but the network was first fitted on {classes.tolist()!r}."
        )


def _check_not_blank(signals: NDArray[np.float32]) -> None:
    """Raise a ValueError if all records are zero, warn if some are."""
    blank = np.flatnonzero(~signals.any(axis=(1, 2)))
    if len(blank) == len(signals):
        raise ValueError("Every record of X is zero throughout: there is no signal to learn from.")
    if len(blank):
        warnings.warn(
            f"{len(blank)} of {len(signals)} records are zero throughout and carry no signal "
            f"(first: record {blank[0]}).",
            UserWarning,
            stacklevel=5,
        )


def check_logits(estimator: Any, logits: NDArray[np.float64]) -> None:
    """Raise a ValueError that names the records whose logits are not finite."""
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if bad.size:
        raise ValueError(
            f"{type(estimator).__name__} has no finite output for {bad.size} of {len(logits)} records (first: record "
            f"{bad[0]}): their values are too large. Scale the records as those of fit, with LeadScaler for instance."
        )


def find_device(device: str | torch.device) -> torch.device:
    """Return the device that is meant; "auto" is a CUDA GPU if there is one, else the CPU.

    Raises
    ------
    ValueError
        If the device is unknown or not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0]}); try device='auto' or 'cpu'."
        ) from error
    return found
