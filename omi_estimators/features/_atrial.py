"""Whether the atria fibrillate or flutter, from the RR intervals and the average beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from omi_estimators.features._delineate import Fiducials

# Flutter waves follow each other within these times (s): 215 to 350 a minute.
_FLUTTER = (0.17, 0.28)
# They are looked at between these smoothings (SD of a Gaussian, s), about as often as this (Hz).
_SMOOTH, _BASELINE, _RATE = 0.01, 0.09, 125
# What must stay out, so that nothing of the QRS complex is taken for them (s before its onset, after its offset).
_MARGINS = (0.01, 0.02)
# Added to irregularity (parts of RR) and height of P (mV) before their logarithms are taken.
_LEAST_IRREGULARITY, _LEAST_HEIGHT = 0.01, 0.01
# Fewer RR intervals do not show whether they are irregular.
_FEWEST_INTERVALS = 3
# Intercept and weights of the logarithms of irregularity and height of P, for fibrillation; intercept and weight of
# the periodicity, for flutter.
FIBRILLATION, FLUTTER = (-2.84, 2.02, -1.97), (-3.89, 6.51)


def atrial_evidence(
    leads: NDArray[np.float64],
    points: Fiducials,
    sampling_rate: float,
    peaks: NDArray[np.intp],
    used: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return what speaks for fibrillation and flutter: irregular RR intervals, a low P wave, waves that recur.

    Parameters
    ----------
    leads : ndarray of shape (n_leads, n_samples)
        Average beat in millivolts. P waves stay in it, fibrillation waves average out.
    points : Fiducials
        Of that beat.
    sampling_rate : float
        In Hz.
    peaks : ndarray of shape (n_beats,)
        Samples of the R peaks in the record.
    used : ndarray of bool, shape (n_beats,)
        Which beats were averaged. Intervals to others, early ones above all, are left out if enough are left.

    Returns
    -------
    ndarray of shape (3,)
        Logarithm of the median change from one RR interval to the next, as a part of the median interval; logarithm
        of the height of P in mV, root mean square over leads; largest correlation of what lies between QRS complexes
        with itself 0.17 to 0.28 s later, at least 0. NaN where there are fewer than three intervals.
    """
    rr = np.diff(peaks) / sampling_rate
    if len(rr) < _FEWEST_INTERVALS or not len(leads):
        return np.full(3, np.nan)
    usual_rr, changes = float(np.median(rr)), np.abs(np.diff(rr))
    own = used[:-2] & used[1:-1] & used[2:]
    irregularity = float(np.median(changes[own] if own.sum() >= _FEWEST_INTERVALS else changes)) / usual_rr
    height = 0.0
    if np.isfinite(points.p_peak):
        onset, peak, offset = (int(point) for point in points[:3])
        height = float(np.sqrt(np.mean((leads[:, peak] - (leads[:, onset] + leads[:, offset]) / 2) ** 2)))
    return np.array(
        [
            np.log(irregularity + _LEAST_IRREGULARITY),
            np.log(height + _LEAST_HEIGHT),
            _periodicity(leads, points, sampling_rate, usual_rr),
        ]
    )


def fibrillation_probability(evidence: NDArray[np.float64]) -> float:
    """Return the probability of atrial fibrillation or flutter.

    Two logistic functions, one for each, whose coefficients ``python -m benchmarks fibrillation`` fits to the
    diagnoses of PTB-XL records; either is enough.

    Parameters
    ----------
    evidence : ndarray of shape (3,)
        As `atrial_evidence` returns it.

    Returns
    -------
    float
        From 0 to 1; NaN if the evidence is.
    """
    fibrillation = FIBRILLATION[0] + np.dot(FIBRILLATION[1:], evidence[:2])
    flutter = FLUTTER[0] + FLUTTER[1] * evidence[2]
    # The probability of neither is the product of both complements.
    return float(1 - 1 / ((1 + np.exp(fibrillation)) * (1 + np.exp(flutter))))


def _periodicity(leads: NDArray[np.float64], points: Fiducials, sampling_rate: float, rr: float) -> float:
    """Return the largest correlation of the beat without QRS complexes with itself one flutter wave later."""
    step = max(1, round(sampling_rate / _RATE))
    rate = sampling_rate / step
    end = min(leads.shape[1], round(points.r_peak + rr * sampling_rate))
    times = np.arange(0, end, step)
    before, after = (margin * sampling_rate for margin in _MARGINS)
    # Those of the beats before and after lie in the average beat as well.
    phase = (times - points.qrs_onset + before) % (rr * sampling_rate)
    between = phase > points.qrs_offset - points.qrs_onset + before + after
    places = np.flatnonzero(between)
    if len(places) < 2:
        return 0.0
    bridged = np.stack([np.interp(np.arange(len(times)), places, lead) for lead in leads[:, times[places]]])
    waves = gaussian_filter1d(bridged, _SMOOTH * rate, axis=1) - gaussian_filter1d(bridged, _BASELINE * rate, axis=1)
    waves *= between
    power, best = np.einsum("lt,lt->t", waves, waves), 0.0
    for lag in range(round(_FLUTTER[0] * rate), min(round(_FLUTTER[1] * rate), len(times) - 1) + 1):
        energy = (power[:-lag] @ between[lag:]) * (power[lag:] @ between[:-lag])
        if energy > 0:
            best = max(best, float(np.vdot(waves[:, :-lag], waves[:, lag:]) / np.sqrt(energy)))
    return best
