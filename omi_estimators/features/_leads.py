"""What is measured in each lead of a beat, from fiducial points that are common to all leads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omi_estimators.features._delineate import Fiducials

LEAD_MEASURES = (
    "p_amplitude",
    "q_amplitude",
    "r_amplitude",
    "s_amplitude",
    "qrs_amplitude",
    "qrs_area",
    "q_duration",
    "j_amplitude",
    "st60",
    "st80",
    "st_amplitude",
    "st_slope",
    "t_amplitude",
    "t_area",
    "t_qrs_ratio",
)


def measure_leads(beat: NDArray[np.float64], points: Fiducials, sampling_rate: float) -> dict[str, NDArray[np.float64]]:
    """Return each measure of `LEAD_MEASURES` as an array of shape (n_leads,).

    Parameters
    ----------
    beat : ndarray of shape (n_leads, n_samples)
        Median beat in millivolts, PQ level at zero.
    points : Fiducials
        Its fiducial points.
    sampling_rate : float
        In Hz.

    Returns
    -------
    dict of str to ndarray
        Amplitudes are signed and in mV, areas in mV·ms, durations in ms, slopes in mV/s; NaN where the wave
        they belong to was not found.
    """
    measures = dict.fromkeys(LEAD_MEASURES, np.full(len(beat), np.nan))
    if np.isfinite(points.p_peak):
        measures["p_amplitude"] = _mean_around(beat, points.p_peak, round(0.006 * sampling_rate))
    qrs = beat[:, int(points.qrs_onset) : int(points.qrs_offset) + 1]
    measures |= _measure_qrs(qrs, sampling_rate)
    measures |= _measure_st(beat, points.qrs_offset, sampling_rate)
    if np.isfinite(points.t_peak):
        measures |= _measure_t(beat, points, sampling_rate)
        size = measures["qrs_amplitude"]
        measures["t_qrs_ratio"] = np.divide(
            measures["t_amplitude"], size, out=np.full(len(beat), np.nan), where=size > 0.05
        )
    return measures


def _measure_qrs(qrs: NDArray[np.float64], sampling_rate: float) -> dict[str, NDArray[np.float64]]:
    """Measure the QRS complex: R is its highest point; Q and S the lowest before and after it, if below zero."""
    n_leads, n_samples = qrs.shape
    leads, times = np.arange(n_leads), np.arange(n_samples)
    top = np.argmax(qrs, axis=1)
    r = np.maximum(qrs[leads, top], 0)
    # Without a positive deflection the complex is a QS wave, and all of it counts as Q.
    top = np.where(r > 0.02, top, n_samples)[:, np.newaxis]
    before, after = times < top, times > top
    q = np.min(np.where(before, qrs, 0), axis=1)
    s = np.min(np.where(after, qrs, 0), axis=1)
    # The Q wave lasts from onset until the lead crosses zero upwards for good, before the R peak.
    below = (before & (qrs < -0.02)).sum(axis=1)
    return {
        "q_amplitude": q,
        "r_amplitude": r,
        "s_amplitude": s,
        "qrs_amplitude": np.ptp(qrs, axis=1),
        "qrs_area": qrs.sum(axis=1) * 1000 / sampling_rate,
        "q_duration": below * 1000 / sampling_rate,
    }


def _measure_st(beat: NDArray[np.float64], j_point: float, sampling_rate: float) -> dict[str, NDArray[np.float64]]:
    """Measure the ST segment at fixed times after the common J point."""
    j60, j80 = (j_point + seconds * sampling_rate for seconds in (0.06, 0.08))
    if j80 >= beat.shape[1]:
        return {}
    j, at_60, at_80 = (_mean_around(beat, time, round(0.004 * sampling_rate)) for time in (j_point, j60, j80))
    return {
        "j_amplitude": j,
        "st60": at_60,
        "st80": at_80,
        "st_amplitude": np.median(beat[:, int(j_point) : int(j80) + 1], axis=1),
        "st_slope": (at_80 - j) / 0.08,
    }


def _measure_t(beat: NDArray[np.float64], points: Fiducials, sampling_rate: float) -> dict[str, NDArray[np.float64]]:
    """Measure the T wave: its signed height at the common peak, and the area up to its end."""
    end = points.t_offset if np.isfinite(points.t_offset) else points.t_peak
    # From where ST turns into T, taken as half-way from the J point to the peak.
    start = int((points.qrs_offset + points.t_peak) / 2)
    return {
        "t_amplitude": _mean_around(beat, points.t_peak, round(0.008 * sampling_rate)),
        "t_area": beat[:, start : int(end) + 1].sum(axis=1) * 1000 / sampling_rate,
    }


def _mean_around(beat: NDArray[np.float64], time: float, reach: int) -> NDArray[np.float64]:
    """Return each lead's mean over the samples within `reach` of a time."""
    centre = min(max(round(time), 0), beat.shape[1] - 1)
    return beat[:, max(0, centre - reach) : centre + reach + 1].mean(axis=1)
