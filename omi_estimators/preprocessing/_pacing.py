"""Spikes of a pacemaker in a record."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import maximum_filter1d

from omi_estimators.preprocessing._peaks import find_r_peaks
from omi_estimators.preprocessing._resample import cut_windows, fill_gaps

# A spike stands above what lies so far (s) before it and so far after it, between which it may last for two samples at
# 250 Hz; no two are nearer to each other than the third.
_RISE, _FALL, _APART = 0.004, 0.0061, 0.01
# Its height (mV, root mean square over leads) is so many times what the leads usually move by in that time. It comes
# out of rest: it is also several times what the leads move by in as short a time in the 22 ms before it, as no peak of
# a QRS complex is, whose own upstroke goes before. Rest is never less than the noise of a good record.
_LEAST_NOISE_RATIO, _REST = 2.0, 0.022
# Least height, least rest (mV) and how many times it that is, in three leads or more and in fewer, which prove less.
_OF_SEVERAL, _OF_FEW, _SEVERAL = (0.05, 0.01, 3.0), (0.15, 0.02, 6.0), 3
# Where it is as many times the rest as this, nobody doubts it. Of others just before R (s), where a Q wave is, the same
# are higher.
_CLEAR_RATIO = 8.0
_BEFORE_R, _HIGHER, _HIGHER_RATIO = 0.06, 0.08, 4.0
# One pacemaker's spikes have one direction over the leads: their cosine is at least this, whatever its sign.
_LEAST_COSINE = 0.8
# They stand at one time before the R peak, or after each other, to within so much (s, and of the interval), most of
# them; and no further before R than that (s).
_SAME_DELAY, _SAME_INTERVAL, _MOST, _LONGEST_DELAY = 0.012, 0.03, 0.6, 0.4
_SHORTEST_INTERVAL = 0.24
# So many make a pacemaker, and for this share of the beats: clear spikes, and others; and no more for each beat.
_FEWEST, _CLEAR_SHARE, _SHARE, _MOST_A_BEAT = 3, 0.2, 0.6, 3
# Of all that looks like a spike, at least this share belongs to it; the rest is noise, of which there is too much else.
_LEAST_OF_ALL = 0.3
# A spike lasts while the leads move by more than this share of their fastest, at most so long (s) before and after its
# peak. Then what is left may sink for a while (s), as long as it is more than this share of the spike, and this (mV).
_MOVING, _LONGEST = 0.03, 0.008
_DECAY, _AFTER_POTENTIAL, _LEAST_AFTER = 0.024, 0.02, 0.02
# Some recorders draw a spike as a rectangle. It rises as a clear spike does, stays for so long (s) at its height, to
# within this share, and falls by this share of it, in the time of a spike's fall, so long after it rose at the latest.
_HOLD, _FLAT, _FALLEN, _WIDEST = 0.008, 0.25, 0.3, 0.04
LEAST_PACING_RATE = 250
"""At lower rates (Hz) a spike is as wide as an R peak."""


def remove_pacing_spikes(record: ArrayLike, sampling_rate: float) -> tuple[NDArray[np.floating[Any]], NDArray[np.intp]]:
    """Replace the spikes of a pacemaker, in atria or ventricles, by straight lines.

    To be used before any filter, which would smear a spike over the beat. A spike rises out of rest and falls again
    within some 4 ms, where the peak of a QRS complex, however steep, has an upstroke before it. A pacemaker's spikes
    are alike in their heights over the leads, and come at one time before the R peaks, or one after another in equal
    intervals. So are the rectangles, up to 40 ms wide, that some recorders draw instead. Fewer than three such peaks,
    those that less than a fifth of the beats have (of small ones and rectangles, less than 60 %), and those among much
    else of their kind are noise, and stay.

    Parameters
    ----------
    record : array-like of shape (n_leads, n_samples) or (n_samples,)
        One record as it was recorded, in millivolts. Missing samples (NaN) stay missing. One of more than ten minutes
        is searched five minutes at a time.
    sampling_rate : float
        In Hz.

    Returns
    -------
    record : ndarray of the shape of `record`
        A copy in which spikes are replaced; float32 if `record` was float32, float64 otherwise. A spike's
        after-potential goes with it, for 24 ms at most.
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
    leads = np.atleast_2d(values)
    found = [np.empty(0, dtype=np.intp)]
    if sampling_rate >= LEAST_PACING_RATE:
        for _, core in cut_windows(values.shape[-1], sampling_rate):
            found.append(_clean_window(leads[:, core], sampling_rate) + core.start)
    return values, np.concatenate(found)


def _clean_window(record: NDArray[np.floating[Any]], sampling_rate: float) -> NDArray[np.intp]:
    """Take the spikes out of `record` (n_leads, n_samples), in place, and return where they were."""
    reach = round(_FALL * sampling_rate)
    none = np.empty(0, dtype=np.intp)
    if record.shape[1] <= 4 * reach:
        return none
    leads = np.asarray(fill_gaps(record)[0], dtype=np.float64)
    rises = _measure_rises(leads, sampling_rate)
    places, heights, ratios = _find_sharp(leads, rises, sampling_rate)
    if len(places) < _FEWEST:
        return _clean_rectangles(record, leads, rises, sampling_rate)
    cleaned = leads.copy()
    _draw_lines(cleaned, places, reach + 1, reach + 1)
    peaks = find_r_peaks(cleaned, sampling_rate)
    sizes = np.sqrt(np.mean(heights**2, axis=0))
    spikes = []
    left = ratios >= _CLEAR_RATIO
    for group in _group_alike(heights):
        if len(group) >= _LEAST_OF_ALL * len(places) and _is_pacing(
            places[group], sizes[group], ratios[group], peaks, sampling_rate
        ):
            spikes.append(group)
            left[group] = False
    # Recorders that mark spikes themselves give each another height. Beside others, clear ones need no more evidence.
    clear = np.flatnonzero(left)
    if len(clear) and (spikes or _is_pacing(places[clear], sizes[clear], ratios[clear], peaks, sampling_rate)):
        spikes.append(clear)
    for group in spikes:
        _draw_lines(record, places[group], *_find_extent(leads, places[group], heights[:, group], sampling_rate))
    return np.sort(places[np.concatenate(spikes)]) if spikes else _clean_rectangles(record, leads, rises, sampling_rate)


def _clean_rectangles(
    record: NDArray[np.floating[Any]], leads: NDArray[np.float64], rises: _Rises, sampling_rate: float
) -> NDArray[np.intp]:
    """Take spikes that were drawn as rectangles out of `record`, in place, and return where they rise."""
    reach, fallen, hold, widest = (round(seconds * sampling_rate) for seconds in (_RISE, _FALL, _HOLD, _WIDEST))
    steps, speed, before = rises
    none = np.empty(0, dtype=np.intp)
    starts = np.flatnonzero(speed[:-widest] >= _CLEAR_RATIO * before[:-widest])
    places = starts + reach
    heights = steps[:, starts]
    top = leads[:, places + np.arange(hold + 1)[:, np.newaxis]] - leads[:, np.newaxis, places]
    sizes = np.sqrt(np.mean(heights**2, axis=0))
    flat = np.sqrt(np.mean(top**2, axis=0)).max(axis=0) <= _FLAT * sizes
    kept = _largest_of_neighbours(places, np.where(flat, sizes, 0.0), _APART * sampling_rate)
    # The fall of a wide one looks like the rise of another.
    kept = kept[np.diff(places[kept], prepend=-np.inf) > widest]
    if len(kept) < _FEWEST:
        return none
    ratios = sizes[kept] / before[starts[kept]]
    heights, sizes = heights[:, kept], sizes[kept]
    places = _move_to_rise(leads, places[kept], heights, reach)
    peaks = find_r_peaks(leads, sampling_rate)
    groups = _group_alike(heights)
    alike = groups[0] if groups else np.empty(0, dtype=np.intp)
    if len(alike) >= _SHARE * len(peaks) and _is_pacing(
        places[alike], sizes[alike], ratios[alike], peaks, sampling_rate
    ):
        window = np.minimum(places[alike] + np.arange(widest + 1)[:, np.newaxis], leads.shape[1] - 1)
        lengths = np.linalg.norm(heights[:, alike], axis=0)
        course = np.median(np.einsum("ln,ltn->tn", heights[:, alike] / lengths, leads[:, window]), axis=1)
        falls = np.flatnonzero(course[:-fallen] - course[fallen:] >= _FALLEN * np.median(lengths))
        if falls.size:
            end = int(falls[0]) + fallen
            end += int(np.argmax(course[end : end + fallen] - course[end + 1 : end + fallen + 1] <= 0))
            _draw_lines(record, places[alike], 1, end)
            return places[alike]
    return none


class _Rises(NamedTuple):
    """What the leads move by in the time of a spike's rise, at its start, in mV."""

    steps: NDArray[np.float64]
    """Of shape (n_leads, n)."""
    speed: NDArray[np.float64]
    """Root mean square over leads."""
    before: NDArray[np.float64]
    """The most in the rest before."""


def _measure_rises(leads: NDArray[np.float64], sampling_rate: float) -> _Rises:
    """Return how fast a record moves, and how fast at most before."""
    reach, rest = round(_RISE * sampling_rate), round(_REST * sampling_rate)
    least_rest = (_OF_SEVERAL if len(leads) >= _SEVERAL else _OF_FEW)[1]
    steps = leads[:, reach:] - leads[:, :-reach]
    speed = np.sqrt(np.einsum("lt,lt->t", steps, steps) / len(leads))
    # The steps that end before that of a peak begins.
    fastest = maximum_filter1d(speed, rest, origin=(rest - 1) // 2, mode="nearest")
    return _Rises(steps, speed, np.maximum(np.pad(fastest, (reach + 1, 0), mode="edge")[: len(speed)], least_rest))


def _find_sharp(
    leads: NDArray[np.float64], rises: _Rises, sampling_rate: float
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Return where sharp peaks come out of rest, their height in each lead (n_leads, n), and as a multiple of the rest.

    The height of a peak in a lead is that above the higher one of the samples on either side of it, negative for a
    peak below both of them; 0 for what is no peak in that lead.
    """
    reach, fallen = round(_RISE * sampling_rate), round(_FALL * sampling_rate)
    least_height, _, least_ratio = _OF_SEVERAL if len(leads) >= _SEVERAL else _OF_FEW
    steps, speed, before = rises
    least = max(least_height, _LEAST_NOISE_RATIO * float(np.median(speed[::3])))
    starts = np.flatnonzero(speed[:-fallen] >= np.maximum(least, least_ratio * before[:-fallen]))
    places = starts + reach
    rise, fall = steps[:, starts], leads[:, places] - leads[:, places + fallen]
    heights = np.where(rise * fall > 0, np.where(np.abs(rise) < np.abs(fall), rise, fall), 0.0)
    sizes = np.sqrt(np.mean(heights**2, axis=0))
    ratios = sizes / before[starts]
    sharp = _largest_of_neighbours(
        places, np.where((sizes >= least) & (ratios >= least_ratio), sizes, 0.0), _APART * sampling_rate
    )
    places, heights = places[sharp], heights[:, sharp]
    return _move_to_rise(leads, places, heights, reach), heights, ratios[sharp]


def _move_to_rise(
    leads: NDArray[np.float64], places: NDArray[np.intp], heights: NDArray[np.float64], reach: int
) -> NDArray[np.intp]:
    """Return where the leads rise most: of samples that are as high, noise made one the peak."""
    near = places + np.arange(-reach, 2)[:, np.newaxis]
    rises = np.einsum("ln,ltn->tn", heights, leads[:, near] - leads[:, near - 1])
    moved: NDArray[np.intp] = places + np.argmax(rises, axis=0) - reach
    return moved


def _largest_of_neighbours(places: NDArray[np.intp], sizes: NDArray[np.float64], apart: float) -> NDArray[np.intp]:
    """Return which of `places` are the largest of those that follow each other within `apart`, sizes of 0 left out."""
    kept = np.flatnonzero(sizes)
    groups = np.split(kept, np.flatnonzero(np.diff(places[kept]) >= apart) + 1) if len(kept) else []
    return np.array([group[np.argmax(sizes[group])] for group in groups], dtype=np.intp)


def _group_alike(heights: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Return groups of the columns of `heights` that have one direction, the largest first, of at least three."""
    directions = heights / np.linalg.norm(heights, axis=0)
    left = np.arange(heights.shape[1])
    groups = []
    while len(left) >= _FEWEST:
        alike = np.abs(directions[:, left].T @ directions[:, left]) >= _LEAST_COSINE
        members = alike[np.argmax(alike.sum(axis=1))]
        if members.sum() < _FEWEST:
            break
        groups.append(left[members])
        left = left[~members]
    return groups


def _is_pacing(
    places: NDArray[np.intp],
    sizes: NDArray[np.float64],
    ratios: NDArray[np.float64],
    peaks: NDArray[np.intp],
    sampling_rate: float,
) -> bool:
    """Return whether sharp peaks come as a pacemaker's spikes do: before the R peaks, or in equal intervals."""
    is_clear = bool(np.median(ratios) >= _CLEAR_RATIO)
    least_share = _CLEAR_SHARE if is_clear else _SHARE
    if len(places) < _FEWEST or not least_share * len(peaks) <= len(places) <= _MOST_A_BEAT * max(len(peaks), _FEWEST):
        return False
    delays = np.append(peaks, np.iinfo(np.intp).max // 2)[np.searchsorted(peaks, places)] - places
    # Before the atria and before the ventricles.
    first = _find_mode(delays, _SAME_DELAY * sampling_rate)
    second = _find_mode(delays[~first], _SAME_DELAY * sampling_rate)
    delay = float(np.median(delays[first])) / sampling_rate
    if not is_clear and delay <= _BEFORE_R and not (np.median(sizes) >= _HIGHER and np.median(ratios) >= _HIGHER_RATIO):
        return False
    n_before_beats = first.sum() + (second.sum() if second.sum() >= _FEWEST else 0)
    if delay <= _LONGEST_DELAY and n_before_beats >= max(_FEWEST, _MOST * len(places)):
        return True
    intervals = np.diff(places)
    usual = np.median(intervals)
    regular = np.abs(intervals - usual) <= _SAME_INTERVAL * usual
    return bool(usual >= _SHORTEST_INTERVAL * sampling_rate and regular.sum() >= max(_FEWEST, _MOST * len(intervals)))


def _find_mode(values: NDArray[np.intp], tolerance: float) -> NDArray[np.bool_]:
    """Return which of `values` lie within `tolerance` of the place that has most of them around it."""
    ordered = np.sort(values)
    counts = np.searchsorted(ordered, ordered + 2 * tolerance, side="right") - np.arange(len(ordered))
    lowest = ordered[np.argmax(counts)] if len(ordered) else 0
    return (values >= lowest) & (values <= lowest + 2 * tolerance)


def _find_extent(
    leads: NDArray[np.float64], places: NDArray[np.intp], heights: NDArray[np.float64], sampling_rate: float
) -> tuple[int, int]:
    """Return how many samples before and after its peak the median of spikes that are alike lasts."""
    before, after, decay = (round(seconds * sampling_rate) for seconds in (_LONGEST, _LONGEST, _DECAY))
    window = places + np.arange(-before - 1, decay + 2)[:, np.newaxis]
    cut = leads[:, np.clip(window, 0, leads.shape[1] - 1)]
    direction = heights / np.linalg.norm(heights, axis=0)
    course = np.median(np.einsum("ln,ltn->tn", direction, cut - cut[:, :1]), axis=1)
    peak = before + 1
    moves = np.abs(np.diff(course))
    slow = moves <= _MOVING * moves.max()
    resting = np.flatnonzero(slow[: peak - 1])
    start = before if not resting.size else peak - 1 - int(resting[-1])
    resting = np.flatnonzero(slow[peak + 1 : peak + after])
    stop = after if not resting.size else 1 + int(resting[0])
    left = np.abs(course)
    least = max(_AFTER_POTENTIAL * left[peak], _LEAST_AFTER)
    while stop < decay and left[peak + stop] > least and left[peak + stop + 1] < left[peak + stop]:
        stop += 1
    return max(1, start), max(1, stop)


def _draw_lines(record: NDArray[np.floating[Any]], places: NDArray[np.intp], before: int, after: int) -> None:
    """Replace what lies between `before` and `after` samples around each place by straight lines, but for NaN."""
    for place in places:
        start, stop = max(0, place - before), min(record.shape[1] - 1, place + after)
        line = np.linspace(record[:, start], record[:, stop], stop - start + 1, axis=-1)
        inside = record[:, start : stop + 1]
        inside[...] = np.where(np.isnan(inside), np.nan, line)
