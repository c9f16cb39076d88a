"""From one record to its row of features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators.features._beat import DelineatedBeat
from omi_estimators.features._catalogue import catalogue, feature_names
from omi_estimators.features._components import measure_components
from omi_estimators.features._delineate import delineate
from omi_estimators.features._intervals import measure_intervals
from omi_estimators.features._pacing import can_tell_spikes, remove_pacing_spike
from omi_estimators.features._rhythm import measure_rhythm, measure_variability
from omi_estimators.features._scores import measure_scores
from omi_estimators.features._spectrum import measure_spectrum
from omi_estimators.features._st import measure_st
from omi_estimators.features._t_wave import measure_t
from omi_estimators.features._vectors import measure_axes, measure_vectorcardiogram
from omi_estimators.features._waves import measure_p, measure_qrs
from omi_estimators.preprocessing import (
    LEAST_QUALITY_RATE,
    AverageBeat,
    NoBeatError,
    average_beats,
    fill_gaps,
    filter_ecg,
    find_fault,
    quality_features,
    rate_evidence,
    recorded_span,
    signal_quality,
)

# The beat reaches from before the P wave to after the T wave (s).
_BEFORE, _AFTER = 0.45, 0.7


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
    return _measure_beats(*_find_beats(record, sampling_rate), sampling_rate)


def _find_beats(
    record: ArrayLike, sampling_rate: float
) -> tuple[NDArray[np.float64], NDArray[np.floating[Any]], AverageBeat]:
    """Return a record where it was recorded, raw and filtered, and its average beat, or raise a NoBeatError."""
    raw = np.atleast_2d(np.asarray(record, dtype=np.float64))
    raw = raw[:, recorded_span(raw)]
    fault = find_fault(raw, sampling_rate)
    if fault:
        raise NoBeatError(fault)
    filtered = filter_ecg(raw, sampling_rate)
    return raw, filtered, average_beats(filtered, sampling_rate, _BEFORE, _AFTER)


def _measure_beats(
    raw: NDArray[np.float64], filtered: NDArray[np.floating[Any]], average: AverageBeat, sampling_rate: float
) -> NDArray[np.float64]:
    """Return the row of features of a record whose beats have been found."""
    beat = delineate_average(average, sampling_rate)
    filled = fill_gaps(filtered)[0]
    measured: dict[str, Any] = measure_rhythm(average, sampling_rate)
    spike_end = remove_pacing_spike(average.waveform[beat.present], sampling_rate, average.r_index)[1]
    measured["paced"] = float(spike_end > 0) if can_tell_spikes(sampling_rate) else np.nan
    measured |= measure_variability(filled, average, beat)
    measured |= measure_intervals(beat) | measure_p(beat) | measure_qrs(beat) | measure_st(beat)
    measured |= measure_t(beat, measured["qrs_amplitude"])
    measured |= measure_components(beat)
    measured |= measure_spectrum(filled, sampling_rate)
    if beat.is_standard:
        measured |= measure_axes(beat) | measure_vectorcardiogram(beat) | measure_scores(measured, beat)
    return _to_row(measured | _measure_quality(raw, sampling_rate), beat.present)


def _measure_quality(raw: NDArray[np.float64], sampling_rate: float) -> dict[str, Any]:
    """Return the signal quality of a raw record; nothing where the sampling rate is too low to tell noise."""
    if sampling_rate <= LEAST_QUALITY_RATE:
        return {}
    quality = signal_quality(raw, sampling_rate)
    return {name: value for name, value in quality_features(quality).items() if not name.startswith("noise_level")} | {
        "noise_level": quality.noise_level
    }


def delineate_average(average: AverageBeat, sampling_rate: float) -> DelineatedBeat:
    """Return the average beat of a record with its fiducial points, found in the leads that are there.

    Parameters
    ----------
    average : AverageBeat
        From 0.45 s before to 0.7 s after R.
    sampling_rate : float
        In Hz.

    Returns
    -------
    DelineatedBeat
        What all measurements are made on.
    """
    rr = np.diff(average.peaks) / sampling_rate
    # A short RR bounds the search for P and T safely; an early beat must not.
    typical_rr = float(np.quantile(rr, 0.2)) if rr.size else 0.8
    present = np.ptp(average.waveform, axis=1) > 0
    points = delineate(average.waveform[present], sampling_rate, r_index=average.r_index, rr=typical_rr)
    usual_rr = float(np.median(rr)) if rr.size else np.nan
    return DelineatedBeat(average.waveform, present, points, sampling_rate, usual_rr)


def _to_row(measured: Mapping[str, Any], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return measurements as one row in the order of the catalogue, NaN for what there is not."""
    n_leads = len(present)
    columns = []
    for measure in catalogue(n_leads):
        value = measured.get(measure.name, np.nan)
        columns.append(np.where(present, value, np.nan) if measure.scope == "lead" else [value])
    row = np.concatenate(columns).astype(np.float64)
    row[~np.isfinite(row)] = np.nan
    return row


def measure_or_reason(
    record: NDArray[np.float64], *, sampling_rate: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Return features, evidence of the rate, and why there are no features, if so. At module level, to be cached."""
    try:
        raw, filtered, average = _find_beats(record, sampling_rate)
    except NoBeatError as error:
        nothing = np.full(len(feature_names(len(record))), np.nan)
        return nothing, rate_evidence(record, sampling_rate), str(error)
    row = _measure_beats(raw, filtered, average, sampling_rate)
    return row, rate_evidence(filtered, sampling_rate, average), ""
