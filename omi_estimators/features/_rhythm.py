"""Heart rate, its variability, and how much beats of a record differ from each other."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators.features._beat import DelineatedBeat
from omi_estimators.preprocessing import AverageBeat

_HRV = {"hrv_sdnn": "HRV_SDNN", "hrv_rmssd": "HRV_RMSSD", "hrv_pnn50": "HRV_pNN50"}


def measure_rhythm(average: AverageBeat, sampling_rate: float) -> dict[str, Any]:
    """Return heart rate (1/min), NeuroKit2's heart-rate variability (ms, percent) and the share of odd beats.

    Parameters
    ----------
    average : AverageBeat
        With the R peaks of the record.
    sampling_rate : float
        In Hz.

    Returns
    -------
    dict of str to float
        NaN where there are too few beats.
    """
    measured: dict[str, Any] = {}
    if len(average.peaks) > 1:
        rr = np.diff(average.peaks) / sampling_rate
        measured["heart_rate"] = 60 / float(np.mean(rr))
        measured["rr_range_ratio"] = float(np.ptp(rr) / np.mean(rr))
    if len(average.peaks) > 3:
        import neurokit2

        with warnings.catch_warnings():
            # NeuroKit2 divides by the zero variability of a paced or simulated rhythm.
            warnings.simplefilter("ignore")
            variability = neurokit2.hrv_time(average.peaks, sampling_rate=sampling_rate)
        for name, column in _HRV.items():
            measured[name] = float(variability[column].iloc[0])
    return measured


def measure_variability(
    record: NDArray[np.floating[Any]], average: AverageBeat, beat: DelineatedBeat
) -> dict[str, NDArray[np.float64]]:
    """Return the standard deviation over beats, root mean square over parts of the beat, in each lead.

    Parameters
    ----------
    record : ndarray of shape (n_leads, n_samples)
        Filtered, in millivolts, without NaN.
    average : AverageBeat
        Of that record; only the beats that it averaged are compared.
    beat : DelineatedBeat
        The same, delineated.

    Returns
    -------
    dict of str to ndarray of shape (n_leads,)
        In mV; empty with fewer than three beats.
    """
    peaks = average.peaks[average.used]
    parts = beat.parts()
    first, last = parts["qrs"][0], max(parts["qrs"][1], parts["stt"][1])
    window = np.arange(first, last) - average.r_index
    peaks = peaks[(peaks + window[0] >= 0) & (peaks + window[-1] < record.shape[1])]
    if len(peaks) < 3:
        return {}
    beats = record[:, peaks[:, np.newaxis] + window]
    # Each beat around its own mean, so that respiration and baseline wander are not counted.
    variance = np.var(beats - beats.mean(axis=2, keepdims=True), axis=1, ddof=1)
    measured = {"beat_sd": np.sqrt(variance.mean(axis=1))}
    for name, part in (("qrs_sd", "qrs"), ("stt_sd", "stt")):
        start, stop = (sample - first for sample in parts[part])
        if stop > start:
            measured[name] = np.sqrt(variance[:, start:stop].mean(axis=1))
    return measured
