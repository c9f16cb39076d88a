"""What is measured of one beat or record, by group: rhythm, intervals, waves, ST, T, components, spectrum."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter1d

from omi_estimators.features._delineate import DelineatedBeat
from omi_estimators.leads import INDEPENDENT_LEADS, LEADS, TERRITORIES
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


def measure_intervals(beat: DelineatedBeat) -> dict[str, float]:
    """Return the intervals in ms, QTc by Bazett's and by Fridericia's formula, and the part that Tp-Te has of QT.

    Parameters
    ----------
    beat : DelineatedBeat
        What to measure.

    Returns
    -------
    dict of str to float
        NaN where a point was not found.
    """
    points = beat.points
    # A global QT ends where T has ended in every lead; that is what machines measure.
    qt = beat.ms(points.qrs_onset, points.t_latest)
    qrs = beat.ms(points.qrs_onset, points.qrs_offset)
    tpeak_tend = beat.ms(points.t_peak, points.t_offset)
    return {
        "p_duration": beat.ms(points.p_onset, points.p_offset),
        "pr_interval": beat.ms(points.p_onset, points.qrs_onset),
        "pr_segment": beat.ms(points.p_offset, points.qrs_onset),
        "qrs_duration": qrs,
        "qt_interval": qt,
        "qtc_bazett": qt / np.sqrt(beat.rr),
        "qtc_fridericia": qt / np.cbrt(beat.rr),
        "jt_interval": qt - qrs,
        "jtc_bazett": (qt - qrs) / np.sqrt(beat.rr),
        "jt_peak": beat.ms(points.qrs_offset, points.t_peak),
        "tpeak_tend": tpeak_tend,
        "tpeak_tend_qt_ratio": tpeak_tend / qt if qt else np.nan,
    }


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


# From here on (mV) guidelines call ST at the J point elevated, and depressed.
_ELEVATED, _DEPRESSED = 0.1, -0.05


def measure_st(beat: DelineatedBeat) -> dict[str, Any]:
    """Measure the ST segment.

    Parameters
    ----------
    beat : DelineatedBeat
        What to measure.

    Returns
    -------
    dict of str to ndarray of shape (n_leads,) or float
        Signed amplitudes in mV, slopes in mV/s, areas in mV·ms; empty where the beat ends before J + 80 ms. What
        speaks of several leads is left out with fewer than twelve, and NaN where one of them is missing.
    """
    j_point = beat.points.qrs_offset
    at_80_ms = beat.after(j_point, 80)
    if not beat.holds(at_80_ms):
        return {}
    j, st60, st80 = beat.at(j_point, 4), beat.at(beat.after(j_point, 60), 4), beat.at(at_80_ms, 4)
    measured: dict[str, Any] = {
        "j_amplitude": j,
        "st60": st60,
        "st80": st80,
        "st_amplitude": np.median(beat.leads[:, int(j_point) : int(at_80_ms) + 1], axis=1),
        "st_slope": (st80 - j) / 0.08,
    }
    if beat.has_t:
        measured["st_area"] = beat.area(j_point, beat.points.t_peak)
    present = beat.present
    measured["st60_max"], measured["st60_min"] = st60[present].max(), st60[present].min()
    measured["st60_abs_sum"] = np.abs(st60[present]).sum()
    if beat.is_standard:
        measured |= _measure_territories(beat, st60)
        known = np.where(present, j, np.nan)
        measured["st_elevated_leads"] = _count(known >= _ELEVATED, known)
        measured["st_depressed_leads"] = _count(known <= _DEPRESSED, known)
    return measured


def _measure_territories(beat: DelineatedBeat, st60: NDArray[np.float64]) -> dict[str, float]:
    """Return mean ST60 and mean concavity of each territory: how far ST sags below the line from J to the T peak."""
    st60 = np.where(beat.present, st60, np.nan)
    sag = np.full(len(LEADS), np.nan)
    if beat.has_t:
        j, peak = int(beat.points.qrs_offset), int(beat.points.t_peak)
        leads = beat.known()
        sag = (leads[:, j] + leads[:, peak]) / 2 - leads[:, (j + peak) // 2]
    measured = {}
    for territory, leads_of in TERRITORIES.items():
        members = [LEADS.index(lead) for lead in leads_of]
        measured[f"st60_{territory}"] = float(st60[members].mean())
        measured[f"st_concavity_{territory}"] = float(sag[members].mean())
    return measured


def _count(found: NDArray[np.bool_], values: NDArray[np.float64]) -> float:
    """Return how many leads were found, NaN if one is not known."""
    return float(found.sum()) if np.isfinite(values).all() else np.nan


# SD (s) of the Gaussian that smooths T before its curvature is looked at.
_SMOOTHING = 0.012
# Curvature below this share of its largest is noise about a straight line.
_LEAST_CURVATURE = 0.1


def measure_t(beat: DelineatedBeat, qrs_amplitude: NDArray[np.float64]) -> dict[str, Any]:
    """Measure the T wave.

    Parameters
    ----------
    beat : DelineatedBeat
        What to measure.
    qrs_amplitude : ndarray of shape (n_leads,)
        Peak to peak, in mV.

    Returns
    -------
    dict of str to ndarray of shape (n_leads,) or float
        As the catalogue says; empty where no T wave was found.

    References
    ----------
    Acar B. et al., Spatial, temporal and wavefront direction characteristics of 12-lead T-wave morphology, Medical
    & Biological Engineering & Computing 37:574-584, 1999, doi:10.1007/BF02513351, for the dispersion.
    """
    if not beat.has_t:
        return {}
    start, stop = beat.parts()["t"]
    leads = beat.leads[:, start:stop]
    peak = min(max(int(beat.points.t_peak) - start, 0), stop - start - 1)
    amplitude, area = beat.at(beat.points.t_peak, 8), beat.area(start, stop - 1)
    measured = {
        "t_amplitude": amplitude,
        "t_maximum": leads.max(axis=1),
        "t_minimum": leads.min(axis=1),
        "t_area": area,
        "t_qrs_ratio": in_proportion(amplitude, qrs_amplitude),
        "t_area_qrs_ratio": in_proportion(area, qrs_amplitude),
    }
    return (
        measured
        | _measure_shape(leads[beat.present], peak, beat.sampling_rate)
        | _measure_dispersion(beat, leads, peak)
    )


def _measure_shape(leads: NDArray[np.float64], peak: int, sampling_rate: float) -> dict[str, float]:
    """Measure the T wave along the direction that the leads have at its peak."""
    direction = leads[:, peak]
    height = float(np.linalg.norm(direction))
    if leads.shape[1] < 5 or height < 1e-3:
        return {}
    wave = gaussian_filter1d(direction @ leads / height, _SMOOTHING * sampling_rate)
    slope = np.gradient(wave) * sampling_rate
    rise, fall = slope[: peak + 1].max(), -slope[peak:].min()
    return {
        "t_asymmetry": float(fall / rise) if rise > 0 else np.nan,
        "t_inflections": _count_inflections(leads, sampling_rate),
        "t_half_width": float(np.count_nonzero(wave > wave.max() / 2) * 1000 / sampling_rate),
        "t_rms_amplitude": height / np.sqrt(len(leads)),
    }


def _count_inflections(leads: NDArray[np.float64], sampling_rate: float) -> float:
    """Return in how many points the T wave changes its curvature, in the mean over leads."""
    smooth = gaussian_filter1d(leads, _SMOOTHING * sampling_rate, axis=1)
    curvature = np.gradient(np.gradient(smooth, axis=1), axis=1)
    large = np.abs(curvature) > _LEAST_CURVATURE * np.abs(curvature).max(axis=1, keepdims=True)
    counts = [
        np.count_nonzero(np.diff(np.sign(lead[is_large]))) for lead, is_large in zip(curvature, large, strict=True)
    ]
    return float(np.mean(counts))


def _measure_dispersion(beat: DelineatedBeat, leads: NDArray[np.float64], peak: int) -> dict[str, float]:
    """Return the mean angle between leads in the plane in which the T wave mostly lies: whole, before, after its peak.

    Leads that see the same T wave from where they are point the same way; V1 looks the other way in health, and is
    left out as in the first description.
    """
    rows = beat.present.copy()
    if beat.is_standard:
        rows &= np.isin(np.arange(len(rows)), INDEPENDENT_LEADS)
        rows[LEADS.index("V1")] = False
    windows = {"": leads, "_before_peak": leads[:, : peak + 1], "_after_peak": leads[:, peak:]}
    return {f"t_dispersion{name}": _mean_angle(window[rows]) for name, window in windows.items()}


def _mean_angle(leads: NDArray[np.float64]) -> float:
    """Return the mean angle, in degrees, between leads as they lie in the plane of their two largest components."""
    if len(leads) < 3 or leads.shape[1] < 2:
        return np.nan
    energies, axes = np.linalg.eigh(leads @ leads.T)
    places = axes[:, -2:] * np.sqrt(np.maximum(energies[-2:], 0))
    lengths = np.linalg.norm(places, axis=1, keepdims=True)
    if not (lengths > 1e-9).all():
        return np.nan
    cosines = np.clip((places / lengths) @ (places / lengths).T, -1, 1)
    return float(np.degrees(np.arccos(cosines))[np.triu_indices(len(leads), 1)].mean())


RATIO_PARTS = ("beat", "qrs", "st", "stt", "t")
DIPOLE_PARTS = ("beat", "qrs", "j", "st", "stt", "t")


def measure_components(beat: DelineatedBeat) -> dict[str, float]:
    """Measure principal components and the root mean square over leads.

    Parameters
    ----------
    beat : DelineatedBeat
        Of which the leads that are present are used.

    Returns
    -------
    dict of str to float
        ``pca_ratio_*``: second over first eigenvalue of the leads' products, in percent; ``nondipolar_*`` and
        ``nondipolar_energy_*``: what lies beyond three components, which a single dipole would not give, in percent
        of the energy and as root mean square in mV, for more than three leads; ``rms_*``: root mean square over
        leads and time, in mV; ``rms_minimum`` and ``rms_variance`` (mV²): of the root mean square over leads in
        the course of the beat.
    """
    leads = beat.leads[beat.present]
    over_leads = np.sqrt(np.mean(leads[:, slice(*beat.parts()["beat"])] ** 2, axis=0))
    measured = {"rms_minimum": float(over_leads.min()), "rms_variance": float(over_leads.var())}
    for part, (start, stop) in beat.parts().items():
        signal = leads[:, start:stop]
        if signal.size == 0:
            continue
        measured[f"rms_{part}"] = float(np.sqrt(np.mean(signal**2)))
        energies = np.maximum(np.linalg.eigvalsh(signal @ signal.T)[::-1], 0)
        if energies[0] <= 1e-12:
            continue
        if len(energies) > 1:
            measured[f"pca_ratio_{part}"] = float(100 * energies[1] / energies[0])
        if len(energies) > 3:
            beyond = float(energies[3:].sum())
            measured[f"nondipolar_{part}"] = 100 * beyond / float(energies.sum())
            measured[f"nondipolar_energy_{part}"] = float(np.sqrt(beyond / signal.size))
    return measured


BANDS = {"low": (0.5, 10.0), "middle": (10.0, 50.0), "high": (50.0, 100.0)}
_SHORTEST = 2.0


def measure_spectrum(record: NDArray[np.floating[Any]], sampling_rate: float) -> dict[str, NDArray[np.float64]]:
    """Return the share of each lead's power in three bands, in percent of that from 0.5 to 100 Hz.

    Parameters
    ----------
    record : ndarray of shape (n_leads, n_samples)
        Filtered, in millivolts, without NaN.
    sampling_rate : float
        In Hz.

    Returns
    -------
    dict of str to ndarray of shape (n_leads,)
        Bands of 0.5 to 10, 10 to 50 and 50 to 100 Hz. Empty for records shorter than two seconds; the upper
        bands are left out, and out of the sum, where the sampling rate does not reach them.
    """
    n_samples = record.shape[1]
    if n_samples < _SHORTEST * sampling_rate:
        return {}
    length = fft.next_fast_len(n_samples, real=True)
    power = np.abs(fft.rfft(record, length, axis=1)) ** 2
    frequencies = np.arange(power.shape[1]) * (sampling_rate / length)
    sums = {
        name: power[:, (frequencies >= low) & (frequencies < high)].sum(axis=1)
        for name, (low, high) in BANDS.items()
        if high <= sampling_rate / 2
    }
    if not sums:
        return {}
    total = np.sum(list(sums.values()), axis=0)
    return {
        f"power_{name}": np.divide(100 * power, total, out=np.full(len(total), np.nan), where=total > 0)
        for name, power in sums.items()
    }
