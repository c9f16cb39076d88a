"""The beats of a record: R peaks, alignment, rejection, per-lead median, baseline."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators.preprocessing._pacing import remove_pacing_spikes
from omi_estimators.preprocessing._peaks import peaks_of_energy, qrs_signal, sharpen_peaks, sorted_median
from omi_estimators.preprocessing._records import find_fault
from omi_estimators.preprocessing._resample import cut_windows, fill_gaps, recorded_span

# Half the window (s) in which beats are compared, and how far they may be moved to match.
_MATCH_HALF_WIDTH = 0.1
_MAX_SHIFT = 0.05
# Beats that match the template by less than this fraction of a good match are of another kind.
_LEAST_RELATIVE_MATCH = 0.85
# As many beats that are like each other but not like the others are a second shape. It is the heart's own if so large a
# share of all beats has it, its QRS complexes are narrower and later after the beat before, by the product of both
# ratios, it is clearly unlike the more frequent one, by their match, and not so small that it must be a P wave.
_LEAST_BEATS, _LEAST_SHARE, _LEAST_RATIO, _UNLIKE, _LEAST_SIZE = 2, 0.3, 1.25, 0.75, 0.15
# A beat is as wide as the time in which so much of its energy in the 8-40 Hz band lies, within that distance (s); it is
# narrow beside others if it has less than this part of their width.
_ENERGY, _WIDTH_REACH, _NARROW = 0.9, 0.15, 0.75
# A beat is in a lead if it has this part of the energy that the others have there.
_FAIR = 0.1
# A beat is early if it follows the one before in less than this part of the usual time, where most intervals are usual:
# this share of them lies as near. In bigeminy, instead, most intervals are in turn shorter and longer than the next.
_EARLY, _NEAR, _MOST_USUAL, _MOST_ALTERNATE = 0.8, 0.1, 0.5, 0.8
# A beat of a shape that fewer of the beats have is told of.
_DOMINANT = 0.6
# Noise, aligned to its own best match, correlates about as well as this.
_LEAST_MATCH = 0.5
# Detectors put an R peak at most so far away from it (s).
_MOST_AWAY = 0.1
# A lead with more of it missing than this is treated as absent.
_MOST_MISSING = 0.5


class BeatShapeWarning(UserWarning):
    """A record's average beat stands for some of its beats only: bigeminy, or mostly ectopic ones."""


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
    n_shapes : int
        How many shapes of QRS complexes at least two beats have; in a long record, the most of any five minutes.
    note : str
        What must be known of the beats that were not averaged: that they are many, or that they, not the averaged ones,
        may be the heart's own. Empty if nothing must.
    """

    waveform: NDArray[np.float64]
    r_index: int
    peaks: NDArray[np.intp]
    used: NDArray[np.bool_]
    match: float
    n_shapes: int = 1
    note: str = ""


def average_beats(
    record: NDArray[np.floating[Any]],
    sampling_rate: float,
    before: float,
    after: float,
    *,
    peaks: NDArray[np.intp] | None = None,
) -> AverageBeat:
    """Return the average beat of a record, from `before` to `after` seconds around its R peak.

    What is left of pacing spikes is taken out first (`remove_pacing_spikes`). Of the shapes that QRS complexes have the
    most frequent one is averaged, but the heart's own rather than that of ectopic beats: narrower, and later after the
    beat before. Early beats of that shape are left out too.

    Parameters
    ----------
    record : ndarray of shape (n_leads, n_samples)
        One record, filtered. Short gaps (NaN) are bridged; leads that are mostly missing come out as zero. Of more than
        ten minutes, each five have an average of their own, and the result is the average of these.
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
    windows = cut_windows(span.stop - span.start, sampling_rate)
    averages, reason = [], ""
    for _, core in windows:
        start = span.start + core.start
        window = np.asarray(record[:, start : span.start + core.stop], dtype=np.float64)
        try:
            averages.append(_average_window(window, start, sampling_rate, before, after, peaks))
        except NoBeatError as error:
            reason = reason or str(error)
    if not averages:
        raise NoBeatError(reason)
    return averages[0] if len(windows) == 1 else _average_averages(averages, sampling_rate)


def _average_averages(averages: Sequence[AverageBeat], sampling_rate: float) -> AverageBeat:
    """Return the average beat of a long record from those of its parts."""
    waveforms = np.stack([average.waveform for average in averages])
    r_index, reach = averages[0].r_index, round(_MATCH_HALF_WIDTH * sampling_rate)
    qrs = waveforms[:, :, max(0, r_index - reach) : r_index + reach]
    template = _most_typical(qrs)
    norms = np.linalg.norm(qrs, axis=(1, 2)) * np.linalg.norm(template)
    match = np.einsum("blt,lt->b", qrs, template) / np.where(norms > 0, norms, 1)
    alike = match >= _LEAST_RELATIVE_MATCH * np.quantile(match, 0.75)
    used = [average.used & is_alike for average, is_alike in zip(averages, alike, strict=True)]
    beats = np.concatenate(used)
    notes = sum(bool(average.note) for average in averages)
    return AverageBeat(
        sorted_median(waveforms[alike], axis=0),
        r_index,
        np.concatenate([average.peaks for average in averages]),
        beats,
        float(np.median([average.match for average in averages])),
        max(average.n_shapes for average in averages) + int(not alike.all()),
        f"{notes} of {len(averages)} windows have beats of several shapes" if 2 * notes > len(averages) else "",
    )


def _average_window(
    record: NDArray[np.float64],
    start: int,
    sampling_rate: float,
    before: float,
    after: float,
    given: NDArray[np.intp] | None,
) -> AverageBeat:
    """Return the average beat of a record, or of a part of it that begins at `start`; of given R peaks, if any are."""
    filled = _without_missing_leads(record)
    fault = find_fault(filled, sampling_rate)
    if fault:
        raise NoBeatError(fault)
    filled = np.asarray(remove_pacing_spikes(filled, sampling_rate)[0], dtype=np.float64)
    band = np.asarray(qrs_signal(filled, sampling_rate), dtype=np.float64)
    if given is None:
        found = peaks_of_energy(band, sampling_rate)
    else:
        inside = given[(given >= start) & (given < start + filled.shape[1])] - start
        found = sharpen_peaks(np.sqrt(np.mean(band**2, axis=0)), inside, round(_MOST_AWAY * sampling_rate))
    if found.size == 0:
        raise NoBeatError("nothing stands out as QRS complexes do")
    peaks, match, used, n_shapes, note = _choose_shape(band, found, sampling_rate)
    usual_match = float(np.median(match[used]))
    if usual_match < _LEAST_MATCH:
        raise NoBeatError("the supposed beats do not resemble each other")
    on_time = used & ~_find_early(peaks)
    used = on_time if on_time.sum() >= min(3, int(used.sum())) else used

    reach = round(_MAX_SHIFT * sampling_rate)
    n_before, n_after = round(before * sampling_rate), round(after * sampling_rate)
    used = _prefer_complete(peaks, used, n_before + reach, n_after + reach, filled.shape[1])
    beats = _cut(filled, peaks[used], n_before + reach, n_after + reach)
    waveform, kept = _median_of_clean(beats)
    used[np.flatnonzero(used)[~kept]] = False
    offset = _main_peak(waveform, n_before + reach, reach) - (n_before + reach)
    waveform = waveform[:, reach + offset : reach + offset + n_before + n_after]
    waveform = waveform - _pq_level(waveform, n_before, sampling_rate)
    return AverageBeat(waveform, n_before, peaks + offset + start, used, usual_match, n_shapes, note)


def _choose_shape(
    band: NDArray[np.float64], found: NDArray[np.intp], sampling_rate: float
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.bool_], int, str]:
    """Return the beats aligned to the heart's own shape, their match, which have it, how many shapes, and a note."""
    peaks, match = _align(band, found, sampling_rate)
    used = frequent = _are_alike(match)
    if used.all():
        return peaks, match, used, 1, ""
    width = _usual_width(band, peaks[frequent], sampling_rate)
    reach = round(_WIDTH_REACH * sampling_rate)
    others = peaks[~frequent & (peaks >= reach) & (peaks < band.shape[1] - reach)]
    n_narrow = sum(
        _usual_width(band, other[np.newaxis], sampling_rate) < _NARROW * width
        and _is_in_most_leads(band, other, peaks[frequent], reach)
        for other in others
    )
    follows = np.append(np.median(np.diff(peaks)) if len(peaks) > 1 else 1.0, np.diff(peaks))
    shapes = _find_shapes(band, found, np.flatnonzero(~frequent), sampling_rate)
    for shape in shapes:
        later = float(np.median(follows[shape]) / np.median(follows[frequent]))
        narrower = width / max(_usual_width(band, peaks[shape], sampling_rate), 1.0)
        size = _usual_size(band, peaks[shape]) / _usual_size(band, peaks[frequent])
        is_other = len(shape) >= _LEAST_SHARE * len(found) and np.median(match[shape]) < _UNLIKE and size > _LEAST_SIZE
        if is_other and later * narrower > _LEAST_RATIO:
            members = np.isin(np.arange(len(found)), shape)
            peaks, match = _align(band, found, sampling_rate, members)
            used, n_narrow = _are_alike(match, members), 0
            break
    note = f"{used.sum()} of {len(found)} beats have the shape that was measured"
    if n_narrow:
        note += f", {n_narrow} narrower"
    return peaks, match, used, 1 + len(shapes), note if n_narrow or used.sum() < _DOMINANT * len(found) else ""


def _are_alike(match: NDArray[np.float64], members: NDArray[np.bool_] | slice = slice(None)) -> NDArray[np.bool_]:
    """Return which beats match the template hardly less well than most of `members` do."""
    return match >= _LEAST_RELATIVE_MATCH * np.quantile(match[members], 0.75)


def _find_shapes(
    band: NDArray[np.float64], found: NDArray[np.intp], others: NDArray[np.intp], sampling_rate: float
) -> list[NDArray[np.intp]]:
    """Return the groups of beats, among `others`, that have one shape, the most frequent first."""
    shapes = []
    while len(others) >= _LEAST_BEATS:
        match = _align(band, found[others], sampling_rate)[1]
        alike = _are_alike(match) & (match >= _LEAST_RELATIVE_MATCH)
        if alike.sum() < _LEAST_BEATS:
            break
        shapes.append(others[alike])
        others = others[~alike]
    return shapes


def _usual_width(band: NDArray[np.float64], peaks: NDArray[np.intp], sampling_rate: float) -> float:
    """Return in how many samples most of the energy of a QRS complex lies, in the median of beats."""
    reach = round(_WIDTH_REACH * sampling_rate)
    beats = _cut(band, peaks, reach, reach)
    energy = np.cumsum(np.einsum("blt,blt->bt", beats, beats), axis=1)
    energy /= np.maximum(energy[:, -1:], 1e-30)
    inside = (energy > (1 - _ENERGY) / 2) & (energy < (1 + _ENERGY) / 2)
    return float(np.median(inside.sum(axis=1)))


def _is_in_most_leads(band: NDArray[np.float64], peak: np.intp, usual: NDArray[np.intp], reach: int) -> bool:
    """Return whether what is at `peak` has a fair part of the usual energy in most leads, as an artefact has not."""
    energy = np.sum(_cut(band, np.append(usual, peak), reach, reach) ** 2, axis=2)
    expected = np.median(energy[:-1], axis=0)
    present = expected > 0
    return bool(np.mean(energy[-1, present] > _FAIR * expected[present]) > 0.5)


def _usual_size(band: NDArray[np.float64], peaks: NDArray[np.intp]) -> float:
    """Return the root mean square over leads at the peaks, in the median of beats."""
    return float(np.median(np.linalg.norm(band[:, peaks], axis=0)))


def _find_early(peaks: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which beats come early, in a rhythm that is otherwise regular or in which every second one does."""
    early = np.zeros(len(peaks), dtype=bool)
    intervals = np.diff(peaks)
    if len(intervals) < 4:
        return early
    usual = np.median(intervals)
    ratios = intervals[:-1] / intervals[1:]
    turns = np.where(ratios < _EARLY, 1, np.where(ratios > 1 / _EARLY, -1, 0))
    if np.mean(np.abs(intervals - usual) <= _NEAR * usual) >= _MOST_USUAL:
        early[1:] = intervals < _EARLY * usual
    elif np.mean(turns[:-1] * turns[1:] < 0) >= _MOST_ALTERNATE:
        early[1:-1] = turns > 0
    return early


def _without_missing_leads(record: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a record without NaN: short gaps bridged, leads that are mostly missing zero."""
    filled, missing = fill_gaps(record)
    if missing is None:
        return record
    return np.where(missing.mean(axis=1, keepdims=True) > _MOST_MISSING, 0.0, filled)


def _align(
    band: NDArray[np.float64],
    peaks: NDArray[np.intp],
    sampling_rate: float,
    members: NDArray[np.bool_] | slice = slice(None),
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Move `peaks` so that the QRS complexes of the largest family of beats, or among `members`, coincide.

    Returns
    -------
    peaks : ndarray of shape (n_peaks,)
        Moved peaks.
    match : ndarray of shape (n_peaks,)
        Correlation of each beat with the template, over all leads together.
    """
    half, reach = round(_MATCH_HALF_WIDTH * sampling_rate), round(_MAX_SHIFT * sampling_rate)
    beats = _cut(np.pad(band, ((0, 0), (half + reach, half + reach))), peaks + half + reach, half + reach, half + reach)
    template = _most_typical(beats[members, :, reach : reach + 2 * half])
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
        alike = _are_alike(match[rows, best], members)
        moved = _windows(beats, best, 2 * half)
        template = sorted_median(moved[alike], axis=0)
    # Of a beat at an edge of the record the best place can lie outside.
    return np.clip(peaks + best - reach, 0, band.shape[1] - 1), np.minimum(match[rows, best], 1.0)


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
    beats = beats - sorted_median(beats, axis=2)[..., np.newaxis]
    median = sorted_median(beats, axis=0)
    if len(beats) < 4:
        return median, np.ones(len(beats), dtype=bool)
    residual = np.sqrt(np.mean((beats - median) ** 2, axis=(1, 2)))
    kept = residual <= 2 * np.median(residual)
    return (median if kept.all() else sorted_median(beats[kept], axis=0)), kept


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


def warn_of_shapes(notes: Sequence[str]) -> None:
    """Warn once about all records whose average beat stands for some of their beats only.

    Parameters
    ----------
    notes : sequence of str, shape (n_records,)
        Of `AverageBeat`; empty for a record of which nothing need be said.

    Examples
    --------
    >>> from omi_estimators.preprocessing import warn_of_shapes
    >>> warn_of_shapes(["", ""])
    """
    told = [f"{record} ({note})" for record, note in enumerate(notes) if note]
    if told:
        more = f" and {len(told) - 5} more" if len(told) > 5 else ""
        warnings.warn(
            f"{len(told)} of {len(notes)} records have beats of several shapes, of which one was measured: "
            f"{', '.join(told[:5])}{more}. Look at what they show before using their measurements.",
            BeatShapeWarning,
            stacklevel=3,
        )
