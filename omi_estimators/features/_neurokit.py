"""What NeuroKit2 finds in a record: R peaks, the ends of waves, heart-rate variability, quality."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators.features._delineate import Fiducials
from omi_estimators.leads import LEADS
from omi_estimators.preprocessing import AverageBeat, NoBeatError

DELINEATORS = ("median", "dwt", "cwt", "prominence", "peak")
"""What `delineator` may be: of this package, on the median beat of all leads; the rest NeuroKit2's, on one signal."""
PEAK_DETECTORS = (
    "energy",
    "neurokit",
    "pantompkins1985",
    "nabian2018",
    "gamboa2008",
    "slopesumfunction",
    "zong2003",
    "hamilton2002",
    "christov2004",
    "engzeemod2012",
    "elgendi2010",
    "kalidas2017",
    "martinez2004",
    "rodrigues2021",
    "emrich2023",
    "manikandan2012",
    "khamis2016",
    "promac",
)
"""What `peak_detector` may be: "energy" of this package, on all leads; the rest NeuroKit2's, on one signal."""

# NeuroKit2's names of the points, and whether each lies before or after its R peak. "peak" finds no ends of QRS: its Q
# and S peaks stand for them.
_POINTS = {
    "p_onset": ("ECG_P_Onsets", -1),
    "p_peak": ("ECG_P_Peaks", -1),
    "p_offset": ("ECG_P_Offsets", -1),
    "qrs_onset": ("ECG_R_Onsets", -1),
    "qrs_offset": ("ECG_R_Offsets", 1),
    "t_peak": ("ECG_T_Peaks", 1),
    "t_offset": ("ECG_T_Offsets", 1),
}
_INSTEAD = {"ECG_R_Onsets": "ECG_Q_Peaks", "ECG_R_Offsets": "ECG_S_Peaks"}
# A point belongs to a beat within these times (s) of its R peak, before and after.
_REACH = {-1: 0.45, 1: 0.7}
# The detectors whose authors clean the signal in their own way, which NeuroKit2 knows; for others it cleans in its own.
_OWN_CLEANING = {"pantompkins1985", "gamboa2008", "hamilton2002", "elgendi2010", "engzeemod2012", "christov2004"}
_OWN_CLEANING |= {"slopesumfunction", "zong2003", "kalidas2017", "emrich2023"}
# What ends on ordinary records in NeuroKit2 and in what it calls.
_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, np.linalg.LinAlgError)


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Make an error of NeuroKit2 a reason why a record has no features; its warnings are of no use to anybody."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except _ERRORS as error:
        reason = " ".join(str(error).split())[:100]
        raise NoBeatError(f"NeuroKit2's {what} ends in {type(error).__name__}: {reason}") from error


def choose_signal(record: NDArray[np.floating[Any]], lead: str | int) -> NDArray[np.float64]:
    """Return the one signal that NeuroKit2 looks at.

    Parameters
    ----------
    record : ndarray of shape (n_leads, n_samples)
        Without NaN; NeuroKit2 cleans it itself.
    lead : str or int
        A name of `LEADS`, a position, or "pca" for the first principal component of all leads, its largest deflection
        upwards. Of a record of one lead it is that.

    Returns
    -------
    ndarray of shape (n_samples,)
        In mV.

    Raises
    ------
    NoBeatError
        If that lead is flat or missing.
    """
    if lead == "pca":
        centred = record - record.mean(axis=1, keepdims=True)
        _, axes = np.linalg.eigh(centred @ centred.T)
        signal = axes[:, -1] @ centred
        signal *= 1.0 if signal.max() >= -signal.min() else -1.0
    else:
        signal = record[0 if len(record) == 1 else LEADS.index(lead) if isinstance(lead, str) else lead]
    if not np.ptp(signal):
        raise NoBeatError(f"lead {lead}, on which NeuroKit2 was to look, is flat or missing")
    return np.asarray(signal, dtype=np.float64)


def find_peaks(signal: NDArray[np.float64], sampling_rate: float, detector: str) -> NDArray[np.intp]:
    """Return the R peaks, in samples, that one of NeuroKit2's detectors finds; NoBeatError if it fails."""
    import neurokit2

    with _naming(f"peak detector {detector!r}"):
        cleaning = detector if detector in _OWN_CLEANING else "neurokit"
        cleaned = neurokit2.ecg_clean(signal, sampling_rate=sampling_rate, method=cleaning)
        _, found = neurokit2.ecg_peaks(cleaned, sampling_rate=sampling_rate, method=detector)
        peaks = np.unique(np.asarray(found["ECG_R_Peaks"], dtype=np.float64))
        return peaks[np.isfinite(peaks)].astype(np.intp)


def find_points(signal: NDArray[np.float64], average: AverageBeat, sampling_rate: float, delineator: str) -> Fiducials:
    """Return where, around R, one of NeuroKit2's delineators finds the points of most of the beats.

    Parameters
    ----------
    signal : ndarray of shape (n_samples,)
        Of the record.
    average : AverageBeat
        Of the record: its R peaks, and which of them were averaged.
    sampling_rate : float
        In Hz.
    delineator : {"dwt", "cwt", "prominence", "peak"}
        NeuroKit2's method.

    Returns
    -------
    Fiducials
        In samples of the average beat: the median over the averaged beats, NaN where fewer than half have the point.

    Raises
    ------
    NoBeatError
        If NeuroKit2 fails on this record.
    """
    import neurokit2

    with _naming(f"delineator {delineator!r}"):
        cleaned = neurokit2.ecg_clean(signal, sampling_rate=sampling_rate)
        _, found = neurokit2.ecg_delineate(cleaned, average.peaks, sampling_rate=sampling_rate, method=delineator)
    peaks = average.peaks[average.used]
    points = {}
    for point, (name, side) in _POINTS.items():
        places = np.asarray(found.get(name, found.get(_INSTEAD.get(name, ""), [])), dtype=np.float64)
        distance = side * (places[np.isfinite(places)] - peaks[:, np.newaxis]) / sampling_rate
        distance[(distance < 0) | (distance > _REACH[side])] = np.inf
        nearest = distance.min(axis=1, initial=np.inf)
        nearest = nearest[np.isfinite(nearest)]
        if nearest.size and 2 * nearest.size >= peaks.size:
            points[point] = average.r_index + side * float(np.median(nearest)) * sampling_rate
    if not points.get("qrs_onset", np.inf) < average.r_index < points.get("qrs_offset", -np.inf):
        points |= {"qrs_onset": np.nan, "qrs_offset": np.nan}
    latest = points.get("t_offset", np.nan)
    return Fiducials(r_peak=float(average.r_index), t_latest=latest, **points)


def measure_hrv(peaks: NDArray[np.intp], sampling_rate: float, wanted: Collection[str]) -> dict[str, float]:
    """Return NeuroKit2's indices of heart-rate variability, of which ten seconds allow those in the time domain.

    Parameters
    ----------
    peaks : ndarray of shape (n_peaks,)
        R peaks in samples.
    sampling_rate : float
        In Hz.
    wanted : collection of str
        Names of columns, such as "HRV_SDNN".

    Returns
    -------
    dict of str to float
        Those that it gives; nothing with fewer than four peaks, or where it fails.
    """
    import neurokit2

    indices: dict[str, float] = {}
    domains = {"time": neurokit2.hrv_time, "frequency": neurokit2.hrv_frequency, "nonlinear": neurokit2.hrv_nonlinear}
    for measure in domains.values() if len(peaks) > 3 else ():
        if set(wanted) <= set(indices):
            break
        try:
            with _naming("heart-rate variability"):
                table = measure(peaks, sampling_rate=sampling_rate)
        except NoBeatError:  # too few beats for this domain
            continue
        indices |= {str(name): float(values.iloc[0]) for name, values in table.items() if name in wanted}
    return indices


def measure_rate_and_quality(
    signal: NDArray[np.float64], peaks: NDArray[np.intp], sampling_rate: float
) -> dict[str, float]:
    """Return the mean and the SD of NeuroKit2's heart rate (1/min), and its mean quality (0 to 1) by average beats."""
    import neurokit2

    if len(peaks) < 4:
        return {}
    with _naming("rate and quality"):
        rate = np.asarray(neurokit2.ecg_rate(peaks, sampling_rate=sampling_rate, desired_length=len(signal)))
        cleaned = neurokit2.ecg_clean(signal, sampling_rate=sampling_rate)
        quality = neurokit2.ecg_quality(cleaned, rpeaks=peaks, sampling_rate=sampling_rate)
    return {"ecg_rate": float(rate.mean()), "ecg_rate_sd": float(rate.std()), "ecg_quality": float(np.mean(quality))}
