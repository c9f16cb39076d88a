"""From one record to its row of features."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators.features._delineate import Fiducials, delineate
from omi_estimators.features._leads import LEAD_MEASURES, measure_leads
from omi_estimators.features._vectors import component_names, measure_components, measure_vectors, vector_names
from omi_estimators.leads import LEADS
from omi_estimators.preprocessing import NoBeatError, filter_ecg
from omi_estimators.preprocessing._average import AverageBeat, average_beats

# The beat reaches from before the P wave to after the T wave (s).
_BEFORE, _AFTER = 0.45, 0.7

_RHYTHM = ("heart_rate", "hrv_sdnn", "hrv_rmssd", "hrv_pnn50")
_INTERVALS = (
    "p_duration",
    "pr_interval",
    "qrs_duration",
    "qt_interval",
    "qtc_bazett",
    "qtc_fridericia",
    "jt_interval",
    "jtc_bazett",
    "tpeak_tend",
    "tpeak_tend_qt_ratio",
)
_ST_SUMMARY = ("st60_max", "st60_min", "st60_abs_sum")


def feature_names(n_leads: int = 12) -> list[str]:
    """Return the names of the features of `measure_record`, in order.

    Parameters
    ----------
    n_leads : int, default=12
        With twelve leads, names end in the names of `LEADS`; with another number, in lead0, lead1, …, and
        axes, vectorcardiogram and territories are left out.

    Returns
    -------
    list of str
        Names such as "qrs_duration" and "st80_V2".
    """
    is_standard = n_leads == len(LEADS)
    leads = LEADS if is_standard else [f"lead{number}" for number in range(n_leads)]
    per_lead = [f"{measure}_{lead}" for measure in LEAD_MEASURES for lead in leads]
    vectors = vector_names() if is_standard else []
    return [*_RHYTHM, *_INTERVALS, *_ST_SUMMARY, *vectors, *component_names(), *per_lead]


def measure_record(record: ArrayLike, sampling_rate: float) -> NDArray[np.float64]:
    """Measure one record.

    The record is filtered (`filter_ecg`), its beats are found and averaged (`median_beat`), the average is
    delineated once for all leads (`delineate`), and every lead is measured from the common J point.
    Heart-rate variability is NeuroKit2's.

    Parameters
    ----------
    record : array-like of shape (n_leads, n_samples) or (n_samples,)
        One raw record in millivolts.
    sampling_rate : float
        In Hz.

    Returns
    -------
    ndarray of shape (n_features,)
        In the order of `feature_names`; NaN where something cannot be measured, never infinite. Flat or
        missing leads are NaN in their own features and left out of the common ones.

    Raises
    ------
    NoBeatError
        If no beat can be found; it is a ValueError.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.features import feature_names, measure_record
    >>> t = np.arange(5000) / 500
    >>> beat = np.exp(-(((t % 1 - 0.5) / 0.02) ** 2)) - 0.2 * np.exp(-(((t % 1 - 0.8) / 0.05) ** 2))
    >>> row = dict(zip(feature_names(1), measure_record(beat, 500)))
    >>> round(row["heart_rate"]), round(float(row["t_amplitude_lead0"]), 1)
    (60, -0.2)
    """
    raw = np.atleast_2d(np.asarray(record, dtype=np.float64))
    average = average_beats(filter_ecg(raw, sampling_rate), sampling_rate, _BEFORE, _AFTER)
    rr = np.diff(average.peaks) / sampling_rate
    # A short RR bounds the search for P and T safely; an early beat must not.
    typical_rr = float(np.quantile(rr, 0.2)) if rr.size else 0.8
    present = np.ptp(average.waveform, axis=1) > 0
    beat = average.waveform[present]
    points = delineate(beat, sampling_rate, r_index=average.r_index, rr=typical_rr)
    measured = _measure_rhythm(average, sampling_rate)
    measured |= _measure_intervals(points, sampling_rate, float(np.median(rr)) if rr.size else np.nan)
    leads = measure_leads(beat, points, sampling_rate)
    measured |= _summarise_st(leads["st60"])
    measured |= measure_components(beat, points)
    names = LEADS if len(raw) == len(LEADS) else [f"lead{number}" for number in range(len(raw))]
    for measure, values in leads.items():
        spread = np.full(len(raw), np.nan)
        spread[present] = values
        measured |= {f"{measure}_{lead}": value for lead, value in zip(names, spread, strict=True)}
    if len(raw) == len(LEADS):
        whole = np.where(present[:, np.newaxis], average.waveform, np.nan)
        measured |= measure_vectors(whole, points)
    row = np.array([measured[name] for name in feature_names(len(raw))], dtype=np.float64)
    row[~np.isfinite(row)] = np.nan
    return row


def _measure_rhythm(average: AverageBeat, sampling_rate: float) -> dict[str, float]:
    """Return heart rate (1/min) and NeuroKit2's heart-rate variability (ms, percent)."""
    measured = dict.fromkeys(_RHYTHM, np.nan)
    if len(average.peaks) > 1:
        measured["heart_rate"] = 60 * sampling_rate / float(np.mean(np.diff(average.peaks)))
    if len(average.peaks) > 3:
        import neurokit2

        with warnings.catch_warnings():
            # NeuroKit2 divides by the zero variability of a paced or simulated rhythm.
            warnings.simplefilter("ignore")
            variability = neurokit2.hrv_time(average.peaks, sampling_rate=sampling_rate)
        for name, column in (("hrv_sdnn", "HRV_SDNN"), ("hrv_rmssd", "HRV_RMSSD"), ("hrv_pnn50", "HRV_pNN50")):
            measured[name] = float(variability[column].iloc[0])
    return measured


def _measure_intervals(points: Fiducials, sampling_rate: float, rr: float) -> dict[str, float]:
    """Return the intervals in ms; the QTc by Bazett's and by Fridericia's formula."""

    def interval(start: float, end: float) -> float:
        return (end - start) * 1000 / sampling_rate

    qt = interval(points.qrs_onset, points.t_offset)
    qrs = interval(points.qrs_onset, points.qrs_offset)
    tpeak_tend = interval(points.t_peak, points.t_offset)
    return {
        "p_duration": interval(points.p_onset, points.p_offset),
        "pr_interval": interval(points.p_onset, points.qrs_onset),
        "qrs_duration": qrs,
        "qt_interval": qt,
        "qtc_bazett": qt / np.sqrt(rr),
        "qtc_fridericia": qt / np.cbrt(rr),
        "jt_interval": qt - qrs,
        "jtc_bazett": qt / np.sqrt(rr) - qrs,
        "tpeak_tend": tpeak_tend,
        "tpeak_tend_qt_ratio": tpeak_tend / qt if qt else np.nan,
    }


def _summarise_st(st60: NDArray[np.float64]) -> dict[str, float]:
    """Return largest, smallest and summed absolute ST60 over the leads, in mV."""
    if not np.isfinite(st60).all() or not st60.size:
        return dict.fromkeys(_ST_SUMMARY, np.nan)
    return {"st60_max": st60.max(), "st60_min": st60.min(), "st60_abs_sum": np.abs(st60).sum()}


def measure_or_reason(record: NDArray[np.float64], *, sampling_rate: float) -> tuple[NDArray[np.float64], str]:
    """Return the features of a record and why there are none, if so. At module level, to be cached."""
    try:
        return measure_record(record, sampling_rate), ""
    except NoBeatError as error:
        return np.full(len(feature_names(len(record))), np.nan), str(error)
