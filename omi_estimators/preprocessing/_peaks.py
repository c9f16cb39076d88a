"""The R peaks of a record."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import find_peaks

from omi_estimators.preprocessing._filter import apply_response, check_bands
from omi_estimators.preprocessing._resample import cut_windows, fill_gaps, recorded_span

_QRS_BAND = (8.0, 40.0)
# No two ventricular beats follow each other faster than this (s).
_REFRACTORY = 0.24
# A QRS complex stands out of the signal between the beats by at least this factor; noise does not.
_LEAST_CONTRAST = 3.0
# A hump of energy so many times as high as is usual may be an artefact; of one that is usual up to this share, hardly.
_TOO_HIGH, _AS_USUAL = 1.4, 0.25


def find_r_peaks(record: ArrayLike, sampling_rate: float) -> NDArray[np.intp]:
    """Find the R peaks of a record.

    The root mean square over leads of the 8-40 Hz signal is large in the QRS complexes of every lead, and
    nowhere else. Noisy leads count for less in it. Its peaks above a threshold that follows the size of
    the neighbouring peaks are taken, no two of them closer than 240 ms.

    Parameters
    ----------
    record : array-like of shape (n_leads, n_samples) or (n_samples,)
        One record, in any unit. Missing samples (NaN) are bridged.
    sampling_rate : float
        Samples per second, in Hz.

    Returns
    -------
    ndarray of shape (n_peaks,)
        Samples of the R peaks, increasing. Empty where nothing stands out as QRS complexes do: in flat
        leads, noise, ventricular fibrillation, or less than about half a second of signal.

    Raises
    ------
    ValueError
        If `record` has more than two dimensions, or `sampling_rate` is not above 16 Hz.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import find_r_peaks
    >>> t = np.arange(5000) / 500
    >>> record = np.exp(-(((t % 1 - 0.5) / 0.02) ** 2))  # one "QRS complex" a second
    >>> find_r_peaks(record, 500)[:3].tolist()
    [250, 750, 1250]
    """
    leads = np.atleast_2d(np.asarray(record))
    if leads.ndim != 2 or leads.shape[1] == 0:
        raise ValueError(
            f"record must have shape (n_leads, n_samples) or (n_samples,); got {leads.shape}. "
            "Give one record at a time."
        )
    leads = leads[:, (span := recorded_span(leads))]
    found = []
    for wide, core in cut_windows(leads.shape[1], sampling_rate):
        window = np.asarray(leads[:, wide], dtype=np.float64)
        peaks = wide.start + peaks_of_energy(qrs_signal(fill_gaps(window)[0], sampling_rate), sampling_rate)
        found.append(peaks[(peaks >= core.start) & (peaks < core.stop)])
    return np.concatenate(found) + span.start


def sorted_median(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return what `numpy.median` does of values without NaN, several times as fast: sorting beats partitioning here."""
    ordered = np.moveaxis(np.sort(values, axis=axis), axis, 0)
    median: NDArray[np.float64] = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return median


def qrs_signal(record: NDArray[np.floating[Any]], sampling_rate: float) -> NDArray[np.floating[Any]]:
    """Return the 8-40 Hz signal of a record without NaN, its noisy leads scaled down.

    Between the beats, where an ECG spends most of its time, the signal of a clean lead is small:
    the median of its absolute value measures its noise.
    """
    check_bands(sampling_rate, _QRS_BAND[0], None, None)
    band = apply_response(record, float(sampling_rate), *_QRS_BAND, ())
    # The signal ends near 40 Hz, so that 100 samples a second tell its size.
    noise = sorted_median(np.abs(band[..., :: max(1, int(sampling_rate // 100))]), axis=-1)[..., np.newaxis]
    present = noise > 0
    usual = np.median(noise[present]) if present.any() else 1.0
    return band * (2 * usual / (usual + np.maximum(noise, usual)))


def peaks_of_energy(band: NDArray[np.floating[Any]], sampling_rate: float) -> NDArray[np.intp]:
    """Return the R peaks in the 8-40 Hz signal (n_leads, n_samples) of a record."""
    n_samples = band.shape[1]
    none = np.empty(0, dtype=np.intp)
    power = np.mean(band**2, axis=0)
    # 60 ms joins the deflections of one QRS complex into one hump.
    envelope = np.sqrt(np.maximum(uniform_filter1d(power, max(1, round(0.06 * sampling_rate)), mode="constant"), 0))
    distance = max(1, round(_REFRACTORY * sampling_rate))
    if n_samples < 2 * distance or not envelope.any():
        return none
    every = find_peaks(np.pad(envelope, 1))[0] - 1
    humps = find_peaks(np.pad(envelope, 1), distance=distance)[0] - 1
    threshold = _local_threshold(envelope, sampling_rate)
    humps = humps[envelope[humps] > threshold[humps]]
    humps = _prefer_usual(envelope, humps, every, distance)
    if humps.size == 0 or np.median(envelope[humps]) < _LEAST_CONTRAST * np.median(envelope):
        return none
    return sharpen_peaks(np.sqrt(power), humps, round(0.05 * sampling_rate))


def _prefer_usual(
    envelope: NDArray[np.float64], humps: NDArray[np.intp], every: NDArray[np.intp], distance: int
) -> NDArray[np.intp]:
    """Return `humps`, each far above the usual height replaced by one of the usual height nearby, if there is any.

    It would be a jump of the baseline soon before or after a QRS complex, which it hides.
    """
    usual = np.median(envelope[humps]) if len(humps) else 0.0
    chosen = humps.copy()
    for place in np.flatnonzero(envelope[humps] > _TOO_HIGH * usual):
        others = np.delete(chosen, place)
        near = every[(np.abs(every - humps[place]) < distance) & (np.abs(envelope[every] / usual - 1) < _AS_USUAL)]
        near = near[[bool(np.all(np.abs(others - other) >= distance)) for other in near]]
        if near.size:
            chosen[place] = near[np.argmin(np.abs(envelope[near] - usual))]
    return np.sort(chosen)


def _local_threshold(envelope: NDArray[np.float64], sampling_rate: float) -> NDArray[np.float64]:
    """Return the height a hump needs: 40 % of what is usual for beats nearby, within limits.

    The largest value within 2 s is usual nearby; an artefact far above the rest of the record must not
    hide the beats around it, so it is limited to twice the median of these maxima.
    """
    nearby = maximum_filter1d(envelope, max(1, round(2 * sampling_rate)), mode="nearest")
    usual = np.median(nearby)
    return 0.4 * np.clip(nearby, 0.5 * usual, 2 * usual)


def sharpen_peaks(rms: NDArray[np.float64], humps: NDArray[np.intp], reach: int) -> NDArray[np.intp]:
    """Move each hump to the largest value of `rms` within `reach` samples."""
    window = humps[:, np.newaxis] + np.arange(-reach, reach + 1)
    inside = np.where((window >= 0) & (window < rms.size), rms[np.clip(window, 0, rms.size - 1)], -np.inf)
    return np.unique(humps + np.argmax(inside, axis=1) - reach)
