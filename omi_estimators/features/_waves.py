"""P wave and QRS complex, lead by lead, between fiducial points that are common to all leads."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from omi_estimators.features._beat import DelineatedBeat

# A deflection of the QRS complex is a wave if it is this high (mV), has this share of the height of the whole, so that
# the ringing of a filter before a tall R is none, and lasts this long (ms).
_LEAST_HEIGHT, _LEAST_SHARE, _LEAST_DURATION = 0.03, 0.015, 6.0
# Against a smaller QRS complex (mV) no other wave is put in proportion.
_LEAST_QRS = 0.05
# In the order in which they follow each other, the first of them being upwards in r.
_WAVES = ("q", "r", "s", "r_prime", "s_prime")


def measure_p(beat: DelineatedBeat) -> dict[str, NDArray[np.float64]]:
    """Return the signed amplitude (mV) and area (mV·ms) of the P wave in each lead; empty where there is none.

    Parameters
    ----------
    beat : DelineatedBeat
        What to measure.

    Returns
    -------
    dict of str to ndarray of shape (n_leads,)
        As said.
    """
    points = beat.points
    if not np.isfinite(points.p_peak):
        return {}
    return {"p_amplitude": beat.at(points.p_peak, 6), "p_area": beat.area(points.p_onset, points.p_offset)}


def measure_qrs(beat: DelineatedBeat) -> dict[str, NDArray[np.float64]]:
    """Measure the waves of the QRS complex in each lead.

    A wave is a deflection to one side of the PQ level of at least 0.03 mV, 1.5 % of the complex, and 6 ms. The first
    upward one is R, a downward one before it Q, the next ones S, R' and S'. A complex without an upward wave is a QS
    wave, and counts as Q.

    Parameters
    ----------
    beat : DelineatedBeat
        What to measure.

    Returns
    -------
    dict of str to ndarray of shape (n_leads,)
        Signed amplitudes in mV, durations in ms, signed areas in mV·ms; zero for a wave that is not there. The
        activation time, from the onset to the peak of the last upward wave, is NaN without one.
    """
    start, stop = beat.parts()["qrs"]
    qrs = beat.leads[:, start:stop]
    per_ms = beat.sampling_rate / 1000
    heights, durations, areas = (np.zeros((len(_WAVES), len(qrs))) for _ in range(3))
    activation = np.full(len(qrs), np.nan)
    for lead, signal in enumerate(qrs):
        for wave, (first, last) in name_waves(signal, beat.sampling_rate).items():
            piece = signal[first:last]
            peak = int(np.argmax(np.abs(piece)))
            row = _WAVES.index(wave)
            heights[row, lead] = piece[peak]
            durations[row, lead] = (last - first) / per_ms
            areas[row, lead] = piece.sum() / per_ms
            if piece[peak] > 0:
                activation[lead] = (first + peak) / per_ms
    measured = {f"{wave}_amplitude": height for wave, height in zip(_WAVES, heights, strict=True)}
    for row, wave in enumerate(_WAVES[:3]):
        measured |= {f"{wave}_duration": durations[row], f"{wave}_area": areas[row]}
    q, r = -measured["q_amplitude"], measured["r_amplitude"]
    size = np.ptp(qrs, axis=1)
    return measured | {
        "activation_time": activation,
        "qrs_amplitude": size,
        "qrs_area": qrs.sum(axis=1) / per_ms,
        "q_r_ratio": np.divide(q, q + r, out=np.full(len(qrs), np.nan), where=q + r > 0),
        "r_qrs_ratio": in_proportion(r, size),
    }


def in_proportion(values: NDArray[np.float64], qrs_amplitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values over the size of the QRS complex, NaN in leads that have hardly any."""
    return np.divide(values, qrs_amplitude, out=np.full(len(values), np.nan), where=qrs_amplitude > _LEAST_QRS)


def name_waves(signal: NDArray[np.float64], sampling_rate: float) -> dict[str, tuple[int, int]]:
    """Return first and last-but-one sample of each wave of the QRS complex of one lead.

    Parameters
    ----------
    signal : ndarray of shape (n_samples,)
        The QRS complex in millivolts, PQ level at zero.
    sampling_rate : float
        In Hz.

    Returns
    -------
    dict of str to (int, int)
        By the names "q", "r", "s", "r_prime", "s_prime".
    """
    least = _LEAST_DURATION * sampling_rate / 1000
    lowest = max(_LEAST_HEIGHT, _LEAST_SHARE * np.ptp(signal))
    edges = [0, *(np.flatnonzero(np.diff(signal > 0)) + 1).tolist(), len(signal)]
    waves: list[tuple[int, int]] = []
    for first, last in pairwise(edges):
        if last - first < least or np.abs(signal[first:last]).max() < lowest:
            continue
        # What lies between two waves of one direction was too small to part them.
        if waves and (signal[waves[-1][0]] > 0) == (signal[first] > 0):
            waves[-1] = (waves[-1][0], last)
        else:
            waves.append((first, last))
    if not waves:
        return {}
    from_r = signal[waves[0][0]] > 0
    return dict(zip(_WAVES[1:] if from_r else _WAVES, waves, strict=False))
