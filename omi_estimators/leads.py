"""The twelve leads: their order, their territories, their algebra, and the check every ECG passes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["INDEPENDENT_LEADS", "LEADS", "LIMB_LEADS", "TERRITORIES", "check_ecg", "derive_limb_leads"]

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""Names of the twelve leads, in the order every 12-lead array of this package has."""

LIMB_LEADS = LEADS[:6]
"""I, II, III, aVR, aVL and aVF: any two of them fix the other four."""

INDEPENDENT_LEADS = (0, 1, 6, 7, 8, 9, 10, 11)
"""Positions in `LEADS` of I, II and V1 to V6, from which the other four follow."""

TERRITORIES = {
    "inferior": ("II", "III", "aVF"),
    "lateral": ("I", "aVL", "V5", "V6"),
    "septal": ("V1", "V2"),
    "anterior": ("V3", "V4"),
}
"""Contiguous lead groups by the wall of the left ventricle they face."""

LIMB_WEIGHTS = np.array([(1.0, 0.0), (0.0, 1.0), (-1.0, 1.0), (-0.5, -0.5), (1.0, -0.5), (-0.5, 1.0)])
"""Each limb lead as (a, b) with lead = a * I + b * II: Einthoven (III) and Goldberger (aVR, aVL, aVF)."""

LARGEST_VALUE = 1e30
"""The largest value in a record. Filters sum such values, and energies square them, without reaching infinity."""


def check_ecg(
    X: ArrayLike,
    *,
    n_leads: int | None = None,
    min_samples: int = 1,
    allow_nan: bool = False,
    name: str = "X",
) -> NDArray[np.floating[Any]]:
    """Return `X` as a float array of ECG records, or say what is wrong with it.

    Parameters
    ----------
    X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
        ECGs in millivolts. Two dimensions mean one lead.
    n_leads : int, optional
        The number of leads that `X` must have; any number if None.
    min_samples : int, default=1
        The least number of samples a record must have.
    allow_nan : bool, default=False
        Whether NaN (a missing lead or sample) is let through. Infinite values never are, and
        neither is an `X` of nothing but NaN.
    name : str, default="X"
        What to call the array in errors.

    Returns
    -------
    ndarray of shape (n_records, n_leads, n_samples)
        Of float32 if `X` was float32, float64 otherwise. Not copied where it was right already.

    Raises
    ------
    ValueError
        If `X` is not numeric, has another number of dimensions, is empty, has other than `n_leads`
        leads, fewer than `min_samples` samples, or values that are not finite or beyond 1e30.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators import check_ecg
    >>> check_ecg(np.zeros((5, 12, 5000))).shape
    (5, 12, 5000)
    >>> check_ecg([[0.0, 0.1, 0.0]]).shape
    (1, 1, 3)
    """
    array = np.asarray(convert_records(X, name))
    if array.dtype.kind not in "fiub":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name} must hold numbers (millivolts); got dtype {array.dtype}. "
                "Convert it with X.astype(float), and give every record the same shape."
            ) from error
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if array.ndim == 2:
        array = array[:, np.newaxis, :]
    if array.ndim != 3:
        raise ValueError(
            f"{name} must have shape (n_records, n_leads, n_samples), or (n_records, n_samples) for "
            f"one lead; got {np.shape(X)}. A single record needs X[np.newaxis]."
        )
    if 0 in array.shape:
        raise ValueError(f"{name} is empty: its shape is {array.shape}; give at least one record, lead and sample.")
    if n_leads is not None and array.shape[1] != n_leads:
        swapped = " The axes look swapped: try X.transpose(0, 2, 1)." if array.shape[2] == n_leads else ""
        raise ValueError(f"{name} has {array.shape[1]} leads per record, but {n_leads} are expected.{swapped}")
    if array.shape[2] < min_samples:
        raise ValueError(
            f"{name} has {array.shape[2]} samples per lead, but at least {min_samples} are needed; "
            "is the time axis the last one?"
        )
    _check_finite(array, allow_nan, name)
    return array


def convert_records(X: Any, name: str = "X") -> Any:
    """Return `X` with tensors of torch as arrays; say what to give in place of records that `read_ecg` returns.

    Parameters
    ----------
    X : object
        What was given as records; anything else is returned as it is.
    name : str, default="X"
        What to call it in errors.

    Returns
    -------
    object
        The same, or arrays of the same numbers.

    Raises
    ------
    ValueError
        If it is an `ECGRecord`, or a list of such, whose rates and lengths an array has no place for.
    """
    if hasattr(X, "detach"):
        return X.detach().cpu().numpy()
    first = X[0] if isinstance(X, list | tuple) and X else X
    if hasattr(first, "detach"):
        return [convert_records(record, name) for record in X]
    if hasattr(first, "signal") and hasattr(first, "sampling_rate"):
        give = "record.signal[np.newaxis]" if first is X else "np.stack([record.signal for record in records])"
        raise ValueError(
            f"{name} must be an array of shape (n_records, n_leads, n_samples); got {type(first).__name__}"
            f"{'' if first is X else 's in a list'}. Give {give}, of the length and the sampling rate that the "
            f"estimator is for (here {first.sampling_rate:g} Hz), or let load_ecgs(paths, sampling_rate) make it."
        )
    return X


def _check_finite(array: NDArray[np.floating[Any]], allow_nan: bool, name: str) -> None:
    """Raise a ValueError if `array` has values that a record may not have."""
    # Enough to clear an ordinary array: the extremes are NaN if any value is.
    if -LARGEST_VALUE <= array.min() and array.max() <= LARGEST_VALUE:
        return
    # Record by record, as X may be a memory map larger than memory.
    records = np.flatnonzero([np.isinf(record).any() for record in array])
    if records.size:
        raise ValueError(f"{name} has infinite values in {_name_records(records)}; remove or repair these records.")
    records = np.flatnonzero([(np.abs(record) > LARGEST_VALUE).any() for record in array])
    if records.size:
        raise ValueError(
            f"{name} has values beyond {LARGEST_VALUE:g}, which no unit makes of an ECG, in {_name_records(records)}; "
            "remove or repair these records."
        )
    n_missing = np.array([np.count_nonzero(np.isnan(record)) for record in array])
    if (n_missing == array[0].size).all():
        raise ValueError(f"{name} holds nothing but NaN; check how the records were read.")
    if not allow_nan and n_missing.any():
        records = np.flatnonzero(n_missing)
        raise ValueError(
            f"{name} has NaN in {_name_records(records)}; fill or drop these records "
            "(derive_limb_leads fills limb leads that follow from two others)."
        )


def _name_records(records: NDArray[np.intp], most: int = 5) -> str:
    """Return a phrase such as 'records 3, 8' that names at most `most` of `records`."""
    shown = ", ".join(str(record) for record in records[:most])
    more = f" and {len(records) - most} more" if len(records) > most else ""
    return f"record{'s' if len(records) > 1 else ''} {shown}{more}"


def derive_limb_leads(X: ArrayLike) -> NDArray[np.floating[Any]]:
    """Fill missing limb leads from those that are there.

    Any two limb leads fix the other four, by Einthoven's law (III = II - I) and Goldberger's
    augmented leads (aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2).

    Parameters
    ----------
    X : array-like of shape (n_records, 12, n_samples)
        ECGs in millivolts, leads in the order of `LEADS`. A lead that is NaN throughout is missing.

    Returns
    -------
    ndarray of shape (n_records, 12, n_samples)
        A copy in which every missing limb lead of a record with at least two limb leads is filled.
        Precordial leads, and records with fewer than two limb leads, stay as they were.

    Raises
    ------
    ValueError
        If `X` is not a 12-lead ECG array.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.leads import derive_limb_leads
    >>> X = np.full((1, 12, 1), np.nan)
    >>> X[0, 0], X[0, 1] = 0.4, 1.0
    >>> derive_limb_leads(X)[0, :6, 0].round(2).tolist()
    [0.4, 1.0, 0.6, -0.7, -0.1, 0.8]
    """
    filled = check_ecg(X, n_leads=len(LEADS), allow_nan=True).copy()
    missing = np.isnan(filled[:, : len(LIMB_LEADS)]).all(axis=2)
    for record in np.flatnonzero(missing.any(axis=1)):
        present = np.flatnonzero(~missing[record])
        if present.size < 2:
            continue
        # Least squares uses every lead there is; with exactly two it is their exact solution.
        i_and_ii = np.linalg.lstsq(LIMB_WEIGHTS[present], filled[record, present], rcond=None)[0]
        absent = np.flatnonzero(missing[record])
        filled[record, absent] = LIMB_WEIGHTS[absent] @ i_and_ii
    return filled


def check_records_axis(shape: tuple[int, ...], n_leads: int, n_samples: int, name: str) -> None:
    """Raise a ValueError if X has two dimensions, but records of several leads were fitted.

    Parameters
    ----------
    shape : tuple of int
        Of `X`.
    n_leads, n_samples : int
        Of the records that were fitted.
    name : str
        The estimator.

    Raises
    ------
    ValueError
        As said; most often `X` is a single record.
    """
    if len(shape) == 2:
        raise ValueError(
            f"X has shape {shape}, but {name} was fitted on records of {n_leads} leads and {n_samples} samples; give X "
            f"of shape (n_records, {n_leads}, {n_samples}), and a single record as X[np.newaxis]."
        )
