"""Whether the atria fibrillate or flutter: from RR intervals, the average beat, and what single beats have of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import detrend

from omi_estimators.features._delineate import Fiducials
from omi_estimators.preprocessing import AverageBeat

# Fibrillation and flutter waves follow each other within these times (s), flutter waves from the second on: 215 to 430,
# and to 350 a minute.
_SHORTEST, _SHORTEST_FLUTTER, _LONGEST = 0.14, 0.17, 0.28
# They are looked at between these smoothings (SD of a Gaussian, s), about as often as this (Hz).
_SMOOTH, _BASELINE, _RATE = 0.012, 0.09, 125
# What must stay out, so that nothing of the QRS complex is taken for them (s before its onset, after its offset); and
# how long before the P wave (s) the average beat is laid to the next R rather than to the last.
_MARGINS, _BEFORE_P = (0.01, 0.02), 0.03
# Below this irregularity (part of RR) flutter waves stand still against R: RR is a multiple of theirs, to so much (s).
_REGULAR, _MULTIPLES, _SAME_WAVE = 0.03, range(2, 8), 0.006
# Added to irregularity before its logarithm is taken; more consistent than so (logarithm) is not more of a P wave, and
# more recurrent than so is not more of fibrillation.
_LEAST_IRREGULARITY, _MOST_CONSISTENT, _MOST_RECURRENT = 0.01, 6.0, 0.5
# Fewer RR intervals do not show whether they are irregular, nor beats whether they have a P wave.
_FEWEST_INTERVALS, _FEWEST_BEATS = 3, 3
LEAST_CONSISTENCY = 1.5
"""Below this `p_consistency` a P wave of the average beat is what chance left of waves that are not tied to R."""
# Intercept and weights of irregularity, consistency of P and recurrence in the record, for fibrillation; intercept and
# weight of the recurrence in the average beat, for flutter.
FIBRILLATION, FLUTTER = (3.53, 1.93, -0.93, 13.03), (-4.06, 7.59)


def atrial_evidence(
    record: NDArray[np.float64], leads: NDArray[np.float64], points: Fiducials, average: AverageBeat, rate: float
) -> NDArray[np.float64]:
    """Return what speaks for fibrillation and flutter: irregular RR intervals, no P wave in the beats, recurring waves.

    Parameters
    ----------
    record : ndarray of shape (n_leads, n_samples)
        Filtered, in millivolts, without NaN.
    leads : ndarray of shape (n_leads, n_samples)
        Average beat of these leads. P waves stay in it, fibrillation waves average out.
    points : Fiducials
        Of that beat.
    average : AverageBeat
        Its R peaks, and which beats were averaged. Intervals to others, early ones above all, are left out if enough
        are left.
    rate : float
        Sampling rate in Hz.

    Returns
    -------
    ndarray of shape (4,)
        Logarithm of the median change from one RR interval to the next, as a part of the median interval;
        `p_consistency`, 0 to 6; largest correlation of what is left of the record between QRS complexes, without the
        average beat, with itself 0.14 to 0.28 s later, 0 to 0.5; and that of the average beat between QRS complexes
        0.17 to 0.28 s later. NaN where there are fewer than three intervals; the second where too few beats show P.
    """
    rr = np.diff(average.peaks) / rate
    if len(rr) < _FEWEST_INTERVALS or not len(leads):
        return np.full(4, np.nan)
    used, usual_rr, changes = average.used, float(np.median(rr)), np.abs(np.diff(rr))
    own = used[:-2] & used[1:-1] & used[2:]
    irregularity = float(np.median(changes[own] if own.sum() >= _FEWEST_INTERVALS else changes)) / usual_rr
    has_p = np.isfinite(points.p_peak)
    consistency = p_consistency(record, leads, points, average, rate) if has_p else 0.0
    return np.array(
        [
            np.log(irregularity + _LEAST_IRREGULARITY),
            np.clip(consistency, 0.0, _MOST_CONSISTENT),
            min(_recurrence_in_record(record, leads, points, average, rate), _MOST_RECURRENT),
            _recurrence_in_beat(leads, points, rate, usual_rr, irregularity < _REGULAR),
        ]
    )


def fibrillation_probability(evidence: NDArray[np.float64]) -> float:
    """Return the probability of atrial fibrillation or flutter.

    Two logistic functions, one for each, whose coefficients ``python -m benchmarks fibrillation`` fits to the
    diagnoses of PTB-XL records and to simulated hearts; either is enough.

    Parameters
    ----------
    evidence : ndarray of shape (4,)
        As `atrial_evidence` returns it.

    Returns
    -------
    float
        From 0 to 1; NaN if the evidence is.
    """
    fibrillation = FIBRILLATION[0] + np.dot(FIBRILLATION[1:], evidence[:3])
    flutter = FLUTTER[0] + FLUTTER[1] * evidence[3]
    # The probability of neither is the product of both complements.
    return float(1 - 1 / ((1 + np.exp(fibrillation)) * (1 + np.exp(flutter))))


def p_consistency(
    record: NDArray[np.float64], leads: NDArray[np.float64], points: Fiducials, average: AverageBeat, rate: float
) -> float:
    """Return whether the beats have the P wave of their average: the logarithm of an F ratio.

    The variance of the mean of the beats, along the direction that the average P has over the leads, is held against
    that which waves not tied to R would leave of it: the variance between beats, divided by their number.

    Parameters
    ----------
    record, leads, points, average, rate
        As for `atrial_evidence`.

    Returns
    -------
    float
        About 0 where the waves are not tied to R; NaN without a P wave, or with fewer than three whole beats.
    """
    if not np.isfinite(points.p_peak):
        return np.nan
    onset, peak, offset = (int(point) for point in points[:3])
    places = average.peaks[average.used, np.newaxis] - average.r_index + np.arange(onset, offset + 1)
    places = places[(places[:, 0] >= 0) & (places[:, -1] < record.shape[1])]
    if len(places) < _FEWEST_BEATS:
        return np.nan
    direction = leads[:, peak] - (leads[:, onset] + leads[:, offset]) / 2
    beats = np.einsum("l,lbt->bt", direction, record[:, places])
    beats = detrend(gaussian_filter1d(beats, _SMOOTH * rate, axis=1), axis=1)
    mean = beats.mean(axis=0)
    by_chance = np.sum((beats - mean) ** 2) / (len(beats) * (len(beats) - 1))
    return float(np.log(max(mean @ mean, 1e-12) / max(by_chance, 1e-12)))


def _recurrence_in_record(
    record: NDArray[np.float64], leads: NDArray[np.float64], points: Fiducials, average: AverageBeat, rate: float
) -> float:
    """Return the recurrence between the QRS complexes of a record of what is not tied to R."""
    step = max(1, round(rate / _RATE))
    times = np.arange(0, record.shape[1], step)
    peaks, used = average.peaks, average.used
    following = np.searchsorted(peaks, times, side="right").clip(1, len(peaks) - 1)
    since_last, till_next = (times - peaks[following + side] + average.r_index for side in (-1, 0))
    before, after = (margin * rate for margin in _MARGINS)
    between = (since_last > points.qrs_offset + after) & (till_next < points.qrs_onset - before)
    between &= used[following - 1] & used[following]
    is_p = till_next >= np.fmin(points.p_onset, points.qrs_onset) - _BEFORE_P * rate
    usual = leads[:, np.where(is_p, till_next, since_last).clip(0, leads.shape[1] - 1)]
    lags = range(round(_SHORTEST * rate / step), round(_LONGEST * rate / step) + 1)
    return _recurrence(record[:, times] - usual, between, rate / step, lags)


def _recurrence_in_beat(
    leads: NDArray[np.float64], points: Fiducials, rate: float, rr: float, is_regular: bool
) -> float:
    """Return the recurrence between the QRS complexes of the average beat of waves that stand still against R."""
    step = max(1, round(rate / _RATE))
    times = np.arange(0, min(leads.shape[1], round(points.r_peak + rr * rate)), step)
    before, after = (margin * rate for margin in _MARGINS)
    # Those of the beats before and after lie in the average beat as well.
    phase = (times - points.qrs_onset + before) % (rr * rate)
    between = phase > points.qrs_offset - points.qrs_onset + before + after
    lags = np.arange(round(_SHORTEST_FLUTTER * rate / step), round(_LONGEST * rate / step) + 1)
    if is_regular:
        away = np.abs(lags * step / rate - rr / np.array(_MULTIPLES)[:, np.newaxis]).min(axis=0)
        lags = lags[away <= max(_SAME_WAVE, step / rate)]
    return _recurrence(leads[:, times], between, rate / step, lags)


def _recurrence(
    signal: NDArray[np.float64], between: NDArray[np.bool_], rate: float, lags: range | NDArray[np.int_]
) -> float:
    """Return the largest correlation of a signal, where it lies between QRS complexes, with itself; at least 0."""
    places = np.flatnonzero(between)
    if len(places) < 2:
        return 0.0
    bridged = np.stack([np.interp(np.arange(len(between)), places, lead) for lead in signal[:, places]])
    waves = gaussian_filter1d(bridged, _SMOOTH * rate, axis=1) - gaussian_filter1d(bridged, _BASELINE * rate, axis=1)
    waves *= between
    power, best = np.einsum("lt,lt->t", waves, waves), 0.0
    for lag in lags:
        energy = (power[:-lag] @ between[lag:]) * (power[lag:] @ between[:-lag]) if lag < len(between) else 0.0
        if energy > 0:
            best = max(best, float(np.vdot(waves[:, :-lag], waves[:, lag:]) / np.sqrt(energy)))
    return best
