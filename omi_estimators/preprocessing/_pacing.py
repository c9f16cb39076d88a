"""Spikes of a pacemaker in a record."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import median_filter
from scipy.signal import find_peaks

from omi_estimators.preprocessing._average import find_r_peaks
from omi_estimators.preprocessing._resample import fill_gaps

# A spike rises above what lies this far (s) on either side of it; what is replaced is as wide.
_HALF_WIDTH = 0.004
# The least height of a spike (mV, root mean square over leads), and how many times it is that of the sharpest
# peaks of the heart's own QRS complexes.
_LEAST_HEIGHT, _LEAST_RATIO = 0.12, 2.0
# A pacemaker at work paces this share of the beats, and as many as these; more spikes for each beat are noise.
_LEAST_SHARE, _FEWEST, _MOST = 0.3, 4, 3
# The QRS complex, from before to after its R peak (s). A ventricular spike comes before it.
_QRS = (0.03, 0.07)
# At lower rates (Hz) a spike is as wide as an R peak.
_LEAST_RATE = 250


def remove_pacing_spikes(record: ArrayLike, sampling_rate: float) -> tuple[NDArray[np.floating[Any]], NDArray[np.intp]]:
    """Replace the spikes of a pacemaker by straight lines.

    To be used before any filter, which would smear a spike over the beat. A spike is a peak that rises in
    several leads together within 4 ms and falls as fast, and is twice as high, so measured, as the R peaks are.
    Peaks like that at fewer than four places, before fewer than 30 % of the beats, or more than three for each beat,
    are noise, and stay.

    Parameters
    ----------
    record : array-like of shape (n_leads, n_samples) or (n_samples,)
        One record as it was recorded, in millivolts. Missing samples (NaN) stay missing.
    sampling_rate : float
        In Hz.

    Returns
    -------
    record : ndarray of the shape of `record`
        A copy in which spikes are replaced; float32 if `record` was float32, float64 otherwise.
    spikes : ndarray of shape (n_spikes,)
        Their samples, increasing. Always empty below 250 Hz, where a spike cannot be told from an R peak.

    Raises
    ------
    ValueError
        If `record` has more than two dimensions or no samples.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import remove_pacing_spikes
    >>> t = np.arange(5000) / 500
    >>> record = np.exp(-(((t % 1 - 0.5) / 0.04) ** 2))
    >>> paced = record.copy()
    >>> paced[205::500] += 2
    >>> cleaned, spikes = remove_pacing_spikes(paced, 500)
    >>> spikes[:3].tolist(), bool(np.abs(cleaned - record).max() < 0.01)
    ([205, 705, 1205], True)
    """
    values = np.asarray(record)
    values = values.astype(np.result_type(values.dtype, np.float32))
    if values.ndim not in (1, 2) or 0 in values.shape:
        raise ValueError(f"record must have shape (n_leads, n_samples) or (n_samples,); got {values.shape}.")
    reach = max(1, round(_HALF_WIDTH * sampling_rate))
    none = np.empty(0, dtype=np.intp)
    if sampling_rate < _LEAST_RATE or values.shape[-1] <= 2 * reach:
        return values, none
    leads = np.atleast_2d(fill_gaps(values)[0]).astype(np.float64)
    height = _sharpness(leads, reach)
    # A running median knows no spikes, the largest of which would otherwise be taken for R peaks.
    peaks = find_r_peaks(median_filter(leads, size=(1, 2 * reach + 1)), sampling_rate)
    spikes = find_peaks(height, height=_threshold(height, peaks, sampling_rate), distance=reach)[0]
    if not max(_FEWEST, _LEAST_SHARE * len(peaks)) <= len(spikes) <= _MOST * len(peaks):
        return values, none
    for spike in spikes:
        start, stop = max(0, spike - reach), min(values.shape[-1] - 1, spike + reach)
        line = np.linspace(values[..., start], values[..., stop], stop - start + 1, axis=-1)
        inside = values[..., start : stop + 1]
        inside[...] = np.where(np.isnan(inside), np.nan, line)
    return values, spikes


def _sharpness(leads: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return how high each sample stands above, or below, both of those `reach` away: root mean square over leads."""
    centre = leads[:, reach:-reach]
    left, right = centre - leads[:, : -2 * reach], centre - leads[:, 2 * reach :]
    height = np.where(left * right > 0, np.minimum(np.abs(left), np.abs(right)), 0.0)
    return np.pad(np.sqrt(np.mean(height**2, axis=0)), reach)


def _threshold(height: NDArray[np.float64], peaks: NDArray[np.intp], sampling_rate: float) -> float:
    """Return the height of a spike, which is well above that of the record's own R peaks."""
    before, after = (round(seconds * sampling_rate) for seconds in _QRS)
    own = [height[max(0, peak - before) : peak + after].max() for peak in peaks]
    return max(_LEAST_HEIGHT, _LEAST_RATIO * float(np.median(own)) if own else 0.0)
