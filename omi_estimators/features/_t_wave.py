"""The T wave: its size in each lead, the shape that leads share, and how far they do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from omi_estimators.features._beat import DelineatedBeat
from omi_estimators.features._waves import in_proportion
from omi_estimators.leads import INDEPENDENT_LEADS, LEADS

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
