"""The beats of a record: R peaks, alignment, rejection, per-lead median, baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import find_peaks

from omi_estimators.preprocessing._filter import apply_response, check_bands
from omi_estimators.preprocessing._records import find_fault
from omi_estimators.preprocessing._resample import fill_gaps, recorded_span

_QRS_BAND = (8.0, 40.0)
# No two ventricular beats follow each other faster than this (s).
_REFRACTORY = 0.24
# A QRS complex stands out of the signal between the beats by at least this factor; noise does not.
_LEAST_CONTRAST = 3.0


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
    record = np.atleast_2d(np.asarray(record, dtype=np.float64))
    if record.ndim != 2 or record.shape[1] == 0:
        raise ValueError(
            f"record must have shape (n_leads, n_samples) or (n_samples,); got {record.shape}. "
            "Give one record at a time."
        )
    span = recorded_span(record)
    return peaks_of_energy(qrs_signal(fill_gaps(record[:, span])[0], sampling_rate), sampling_rate) + span.start


def qrs_signal(record: NDArray[np.floating[Any]], sampling_rate: float) -> NDArray[np.floating[Any]]:
    """Return the 8-40 Hz signal of a record without NaN, its noisy leads scaled down.

    Between the beats, where an ECG spends most of its time, the signal of a clean lead is small:
    the median of its absolute value measures its noise.
    """
    check_bands(sampling_rate, _QRS_BAND[0], None, None)
    band = apply_response(record, float(sampling_rate), *_QRS_BAND, ())
    noise = np.median(np.abs(band), axis=-1, keepdims=True)
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
    humps, _ = find_peaks(np.pad(envelope, 1), distance=distance)
    humps = humps - 1
    threshold = _local_threshold(envelope, humps, sampling_rate)
    humps = humps[envelope[humps] > threshold[humps]]
    if humps.size == 0 or np.median(envelope[humps]) < _LEAST_CONTRAST * np.median(envelope):
        return none
    return _sharpen(np.sqrt(power), humps, round(0.05 * sampling_rate))


def _local_threshold(
    envelope: NDArray[np.float64], humps: NDArray[np.intp], sampling_rate: float
) -> NDArray[np.float64]:
    """Return the height a hump needs: 40 % of what is usual for beats nearby, within limits.

    The largest value within 2 s is usual nearby; an artefact far above the rest of the record must not
    hide the beats around it, so it is limited to twice the median of these maxima.
    """
    nearby = maximum_filter1d(envelope, max(1, round(2 * sampling_rate)), mode="nearest")
    usual = np.median(nearby)
    return 0.4 * np.clip(nearby, 0.5 * usual, 2 * usual)


def _sharpen(rms: NDArray[np.float64], humps: NDArray[np.intp], reach: int) -> NDArray[np.intp]:
    """Move each hump to the largest value of `rms` within `reach` samples."""
    window = humps[:, np.newaxis] + np.arange(-reach, reach + 1)
    inside = np.where((window >= 0) & (window < rms.size), rms[np.clip(window, 0, rms.size - 1)], -np.inf)
    return np.unique(humps + np.argmax(inside, axis=1) - reach)


# Half the window (s) in which beats are compared, and how far they may be moved to match.
_MATCH_HALF_WIDTH = 0.1
_MAX_SHIFT = 0.05
# Beats that match the template by less than this fraction of a good match are of another kind.
_LEAST_RELATIVE_MATCH = 0.85
# Noise, aligned to its own best match, correlates about as well as this.
_LEAST_MATCH = 0.5
# Detectors put an R peak at most so far away from it (s).
_MOST_AWAY = 0.1
# A lead with more of it missing than this is treated as absent.
_MOST_MISSING = 0.5


class NoBeatError(ValueError):
    """A record holds no beat that can be trusted; the message says why."""


@dataclass(frozen=True)
class AverageBeat:
    """One heartbeat that stands for a whole record.

    Attributes
    ----------
    waveform : ndarray of shape (n_leads, n_samples)
        Per-lead median of the aligned beats, its PQ level at zero. A lead that was missing is zero.
    r_index : int
        Sample of `waveform` at which the root mean square over leads is largest in the QRS complex.
    peaks : ndarray of shape (n_peaks,)
        Sample of that same point of every beat in the record, increasing.
    used : ndarray of bool, shape (n_peaks,)
        Which beats were averaged.
    match : float
        Median correlation of the averaged beats with the template, in the QRS complex.
    """

    waveform: NDArray[np.float64]
    r_index: int
    peaks: NDArray[np.intp]
    used: NDArray[np.bool_]
    match: float


def average_beats(
    record: NDArray[np.float64],
    sampling_rate: float,
    before: float,
    after: float,
    *,
    peaks: NDArray[np.intp] | None = None,
) -> AverageBeat:
    """Return the average beat of a record, from `before` to `after` seconds around its R peak.

    Parameters
    ----------
    record : ndarray of shape (n_leads, n_samples)
        One record, filtered. Short gaps (NaN) are bridged; leads that are mostly missing come out as zero.
    sampling_rate : float
        Samples per second, in Hz.
    before, after : float
        Length of the beat before and after the R peak, in seconds.
    peaks : ndarray of shape (n_peaks,), optional
        R peaks in samples, within 100 ms, as detectors differ; by default those of `find_r_peaks`.

    Returns
    -------
    AverageBeat
        The beat and where it came from.

    Raises
    ------
    NoBeatError
        If there is no beat, or the beats are so unlike each other that they must be noise.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import average_beats
    >>> t = np.arange(5000) / 500
    >>> average = average_beats(np.exp(-(((t % 1 - 0.5) / 0.02) ** 2))[np.newaxis], 500, 0.3, 0.5)
    >>> average.waveform.shape, len(average.peaks)
    ((1, 400), 10)
    """
    span = recorded_span(record)
    filled = _without_missing_leads(record[:, span])
    fault = find_fault(filled, sampling_rate)
    if fault:
        raise NoBeatError(fault)
    band = qrs_signal(filled, sampling_rate)
    if peaks is None:
        peaks = peaks_of_energy(band, sampling_rate)
    else:
        inside = peaks[(peaks >= span.start) & (peaks < span.stop)] - span.start
        peaks = _sharpen(np.sqrt(np.mean(band**2, axis=0)), inside, round(_MOST_AWAY * sampling_rate))
    if peaks.size == 0:
        raise NoBeatError("nothing stands out as QRS complexes do")
    peaks, match = _align(band, peaks, sampling_rate)
    used = match >= _LEAST_RELATIVE_MATCH * np.quantile(match, 0.75)
    usual_match = float(np.median(match[used]))
    if usual_match < _LEAST_MATCH:
        raise NoBeatError("the supposed beats do not resemble each other")

    reach = round(_MAX_SHIFT * sampling_rate)
    n_before, n_after = round(before * sampling_rate), round(after * sampling_rate)
    used = _prefer_complete(peaks, used, n_before + reach, n_after + reach, filled.shape[1])
    beats = _cut(filled, peaks[used], n_before + reach, n_after + reach)
    waveform, kept = _median_of_clean(beats)
    used[np.flatnonzero(used)[~kept]] = False
    offset = _main_peak(waveform, n_before + reach, reach) - (n_before + reach)
    waveform = waveform[:, reach + offset : reach + offset + n_before + n_after]
    waveform = waveform - _pq_level(waveform, n_before, sampling_rate)
    return AverageBeat(waveform, n_before, peaks + offset + span.start, used, usual_match)


def _without_missing_leads(record: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a record without NaN: short gaps bridged, leads that are mostly missing zero."""
    filled, missing = fill_gaps(record)
    if missing is None:
        return record
    return np.where(missing.mean(axis=1, keepdims=True) > _MOST_MISSING, 0.0, filled)


def _align(
    band: NDArray[np.floating[Any]], peaks: NDArray[np.intp], sampling_rate: float
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Move `peaks` so that the QRS complexes of the largest family of beats coincide.

    Returns
    -------
    peaks : ndarray of shape (n_peaks,)
        Moved peaks.
    match : ndarray of shape (n_peaks,)
        Correlation of each beat with the template, over all leads together.
    """
    half, reach = round(_MATCH_HALF_WIDTH * sampling_rate), round(_MAX_SHIFT * sampling_rate)
    beats = _cut(np.pad(band, ((0, 0), (half + reach, half + reach))), peaks + half + reach, half + reach, half + reach)
    template = _most_typical(beats[:, :, reach : reach + 2 * half])
    # The signal ends near 40 Hz, so every few milliseconds of it tell all; shifts stay at full resolution.
    step = max(1, int(sampling_rate // 200))
    shifted = np.lib.stride_tricks.sliding_window_view(beats, 2 * half, axis=2)[..., ::step]
    # Window energies by cumulative sums, one per beat and shift.
    energy = np.cumsum(np.pad(np.einsum("blt,blt->bt", beats, beats), ((0, 0), (1, 0))), axis=1)
    norms = np.sqrt(np.maximum(energy[:, 2 * half :] - energy[:, : -2 * half], 0) / step)
    rows = np.arange(len(peaks))
    for _ in range(2):
        products = np.einsum("blst,lt->bs", shifted, template[:, ::step])
        length = np.linalg.norm(template[:, ::step])
        match = np.divide(products, norms * length, out=np.zeros_like(products), where=norms * length > 0)
        best = np.argmax(match, axis=1)
        alike = match[rows, best] >= _LEAST_RELATIVE_MATCH * np.quantile(match[rows, best], 0.75)
        moved = _windows(beats, best, 2 * half)
        template = np.median(moved[alike], axis=0)
    return peaks + best - reach, np.minimum(match[rows, best], 1.0)


def _most_typical(beats: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the beat that correlates best with the others."""
    flat = beats.reshape(len(beats), -1)
    norms = np.linalg.norm(flat, axis=1)
    flat = flat / np.where(norms > 0, norms, 1)[:, np.newaxis]
    return beats[np.argmax(np.sum(np.maximum(flat @ flat.T, 0) ** 2, axis=1))]


def _windows(beats: NDArray[np.float64], starts: NDArray[np.intp], width: int) -> NDArray[np.float64]:
    """Return ``beats[i, :, starts[i] : starts[i] + width]`` for every beat."""
    return np.take_along_axis(beats, starts[:, np.newaxis, np.newaxis] + np.arange(width), axis=2)


def _prefer_complete(
    peaks: NDArray[np.intp], used: NDArray[np.bool_], n_before: int, n_after: int, n_samples: int
) -> NDArray[np.bool_]:
    """Return `used` without beats that reach beyond the record, unless fewer than three would be left."""
    complete = used & (peaks >= n_before) & (peaks + n_after <= n_samples)
    return complete if complete.sum() >= min(3, int(used.sum())) else used.copy()


def _cut(record: NDArray[np.float64], peaks: NDArray[np.intp], n_before: int, n_after: int) -> NDArray[np.float64]:
    """Return the beats (n_beats, n_leads, n_before + n_after), the record's end values repeated beyond it."""
    samples = np.clip(peaks[:, np.newaxis] + np.arange(-n_before, n_after), 0, record.shape[1] - 1)
    return record[:, samples].transpose(1, 0, 2)


def _median_of_clean(beats: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the median of the beats without the noisy ones, and which were kept (at least half)."""
    beats = beats - np.median(beats, axis=2, keepdims=True)
    median = np.median(beats, axis=0)
    if len(beats) < 4:
        return median, np.ones(len(beats), dtype=bool)
    residual = np.sqrt(np.mean((beats - median) ** 2, axis=(1, 2)))
    kept = residual <= 2 * np.median(residual)
    return (median if kept.all() else np.median(beats[kept], axis=0)), kept


def _main_peak(waveform: NDArray[np.float64], centre: int, reach: int) -> int:
    """Return the sample near `centre` where the root mean square over leads is largest."""
    near = waveform[:, centre - reach : centre + reach + 1]
    return centre - reach + int(np.argmax(np.einsum("lt,lt->t", near, near)))


def _pq_level(waveform: NDArray[np.float64], r_index: int, sampling_rate: float) -> NDArray[np.float64]:
    """Return the level of each lead (n_leads, 1) just before the QRS complex.

    Going back from the R peak, the complex begins where the leads, taken together, have stopped moving:
    where their speed stays under 6 % of its largest value for 16 ms. Those 16 ms are the PQ segment.
    """
    width = max(1, round(0.016 * sampling_rate))
    first = max(0, r_index - round(0.16 * sampling_rate))
    near = waveform[:, first : r_index + 1]
    if near.shape[1] <= width + 1:
        return np.median(waveform, axis=1, keepdims=True)
    speed = np.linalg.norm(np.diff(near, axis=1), axis=0)
    slowest = np.convolve(speed, np.ones(width) / width, mode="valid")
    quiet = np.flatnonzero(slowest < 0.06 * speed.max())
    start = int(quiet[-1]) if quiet.size else int(np.argmin(slowest))
    return np.mean(near[:, start : start + width], axis=1, keepdims=True)
