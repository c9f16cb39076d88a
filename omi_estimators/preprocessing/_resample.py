"""The samples of a record: those that are missing, stretches of them, and another sampling rate."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import resample_poly


def recorded_span(values: NDArray[np.floating[Any]]) -> slice:
    """Return the samples from the first to the last at which any signal has a value.

    A short record filled up with NaN ends where its last value is, and is treated as if nothing followed.

    Parameters
    ----------
    values : ndarray of shape (..., n_samples)
        Signals; NaN where missing.

    Returns
    -------
    slice
        Of the samples; all of them, if none has a value.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import recorded_span
    >>> recorded_span(np.array([[np.nan, 1.0, 2.0, np.nan]]))
    slice(1, 3, None)
    """
    if values.dtype.kind in "iu" or (np.isfinite(values[..., 0]).any() and np.isfinite(values[..., -1]).any()):
        return slice(0, values.shape[-1])
    there = np.flatnonzero(~np.isnan(values).all(axis=tuple(range(values.ndim - 1))))
    return slice(int(there[0]), int(there[-1]) + 1) if there.size else slice(0, values.shape[-1])


def fill_gaps(values: NDArray[np.floating[Any]]) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_] | None]:
    """Replace missing samples, and say where they were.

    Gaps are bridged by straight lines, open ends by the nearest value; a signal of nothing but NaN becomes zero.

    Parameters
    ----------
    values : ndarray of shape (..., n_samples)
        Signals; NaN where missing.

    Returns
    -------
    filled : ndarray of shape (..., n_samples)
        Signals without NaN; `values` itself, if none was missing.
    missing : ndarray of bool, shape (..., n_samples), or None
        Where samples were missing; None if none was.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import fill_gaps
    >>> fill_gaps(np.array([[0.0, np.nan, 2.0, np.nan]]))[0].tolist()
    [[0.0, 1.0, 2.0, 2.0]]
    """
    if np.isfinite(np.sum(values)) or not (missing := np.isnan(values)).any():
        return values, None
    filled = np.where(missing, 0, values)
    positions = np.arange(values.shape[-1])
    for index in np.ndindex(values.shape[:-1]):
        gaps = missing[index]
        if gaps.any() and not gaps.all():
            filled[index][gaps] = np.interp(positions[gaps], positions[~gaps], values[index][~gaps])
    return filled, missing


def cut_stretches(values: NDArray[np.floating[Any]], length: float) -> NDArray[np.floating[Any]]:
    """Return `values` (n_leads, n) as (n_leads, n_stretches, length), without what is left over at the end."""
    width = min(max(1, round(length)), values.shape[1])
    n_stretches = values.shape[1] // width
    return values[:, : n_stretches * width].reshape(len(values), n_stretches, width)


# A record longer than the first (s) is taken window by window, each of the second and so much more at both ends.
_LONGEST, _WINDOW, _MARGIN = 600.0, 300.0, 12.0


def cut_windows(n_samples: int, sampling_rate: float) -> list[tuple[slice, slice]]:
    """Return the windows in which a record is measured: one, but of five minutes each if it is longer than ten.

    Parameters
    ----------
    n_samples : int
        Of the record.
    sampling_rate : float
        In Hz.

    Returns
    -------
    list of (slice, slice)
        Each window with the 12 s on either side of it that filters need, where there are any, and the window itself.
        Windows follow each other, without gaps; the last one has up to ten minutes.

    Examples
    --------
    >>> from omi_estimators.preprocessing import cut_windows
    >>> cut_windows(5000, 500)
    [(slice(0, 5000, None), slice(0, 5000, None))]
    >>> [core.stop for _, core in cut_windows(100_000, 100)]
    [30000, 60000, 100000]
    """
    if n_samples <= _LONGEST * sampling_rate:
        return [(slice(0, n_samples), slice(0, n_samples))]
    width, margin = round(_WINDOW * sampling_rate), round(_MARGIN * sampling_rate)
    starts = np.arange(n_samples // width) * width
    return [
        (slice(max(0, start - margin), min(n_samples, stop + margin)), slice(start, stop))
        for start, stop in pairwise([*starts.tolist(), n_samples])
    ]


# No rate of an ECG recorder needs a larger denominator, and the filter's length grows with it.
_LARGEST_DENOMINATOR = 1000


def resample_ecg(signal: ArrayLike, sampling_rate: float, new_rate: float) -> NDArray[np.floating[Any]]:
    """Resample ECGs without shifting any wave in time.

    A polyphase filter of zero phase removes what the new rate cannot hold. Beyond its ends a signal goes on in the
    straight line between them, so that a baseline off zero does not ring there.

    Parameters
    ----------
    signal : array-like of shape (..., n_samples)
        One or more signals.
    sampling_rate, new_rate : float
        Samples per second before and after, in Hz.

    Returns
    -------
    ndarray of shape (..., ceil(n_samples * new_rate / sampling_rate))
        Resampled signals; float32 if `signal` was float32, float64 otherwise. The first sample stays where it was.
        Missing samples (NaN) are bridged by straight lines, and those nearest to them are NaN in the result.

    Raises
    ------
    ValueError
        If a rate is not positive, or `signal` has no samples.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import resample_ecg
    >>> wave = np.sin(2 * np.pi * 5 * np.arange(1000) / 1000)
    >>> resampled = resample_ecg(wave, 1000, 500)
    >>> len(resampled), bool(np.abs(resampled - wave[::2])[20:-20].max() < 0.01)
    (500, True)
    """
    values = np.asarray(signal)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(f"signal must have samples on its last axis; got shape {values.shape}.")
    for name, rate in {"sampling_rate": sampling_rate, "new_rate": new_rate}.items():
        if not 0 < rate < np.inf:
            raise ValueError(f"{name} must be a positive number of Hz; got {rate!r}.")
    ratio = Fraction(float(new_rate) / float(sampling_rate)).limit_denominator(_LARGEST_DENOMINATOR)
    if ratio <= 0:
        raise ValueError(f"new_rate={new_rate:g} Hz is too low for signals of {sampling_rate:g} Hz.")
    filled, missing = fill_gaps(values)
    if ratio == 1:
        return values.copy()
    resampled: NDArray[np.floating[Any]] = resample_poly(
        filled, ratio.numerator, ratio.denominator, axis=-1, padtype="line"
    ).astype(values.dtype, copy=False)
    if missing is not None:
        places = np.round(np.arange(resampled.shape[-1]) / float(ratio)).astype(np.intp)
        resampled[missing[..., np.minimum(places, values.shape[-1] - 1)]] = np.nan
    return resampled
