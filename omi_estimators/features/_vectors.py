"""What is measured on all leads together: axes, the vectorcardiogram, principal components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omi_estimators.features._delineate import Fiducials
from omi_estimators.leads import LEADS, TERRITORIES

# Kors's regression: X (left), Y (down) and Z (back) from I, II, V1 to V6.
_KORS = np.array(
    [
        [0.38, -0.07, -0.13, 0.05, -0.01, 0.14, 0.06, 0.54],
        [-0.07, 0.93, 0.06, -0.02, -0.05, 0.06, -0.17, 0.13],
        [0.11, -0.23, -0.43, -0.06, -0.14, -0.20, -0.11, 0.31],
    ]
)
_INDEPENDENT = [0, 1, *range(6, 12)]
_AVF = LEADS.index("aVF")

PCA_PARTS = ("beat", "qrs", "st", "stt", "t")
VECTOR_PARTS = ("qrs", "t")


def vector_names() -> list[str]:
    """Return the names of what `measure_vectors` measures, which needs the twelve leads."""
    names = ["qrs_axis", "t_axis", "qrs_t_angle", "qrs_t_angle_spatial"]
    for part in VECTOR_PARTS:
        names += [f"vcg_{part}_{what}" for what in ("azimuth", "elevation", "magnitude")]
    return names + [f"st_concavity_{territory}" for territory in TERRITORIES]


def measure_vectors(beat: NDArray[np.float64], points: Fiducials) -> dict[str, float]:
    """Measure axes, the vectorcardiogram and the concavity of ST by territory.

    Parameters
    ----------
    beat : ndarray of shape (12, n_samples)
        Median beat in millivolts, NaN in leads that are missing.
    points : Fiducials
        Its fiducial points.

    Returns
    -------
    dict of str to float
        Angles in degrees, magnitudes and concavities in mV; NaN where a wave or lead is missing.

    References
    ----------
    Kors J. A. et al., Reconstruction of the Frank vectorcardiogram from standard electrocardiographic
    leads, European Heart Journal 11:1083-1092, 1990, doi:10.1093/oxfordjournals.eurheartj.a059647.
    """
    measured: dict[str, float] = {}
    mean_vectors = {}
    for part, (start, stop) in _windows(points, ("qrs", "t")).items():
        mean = beat[:, start:stop].mean(axis=1) if stop > start else np.full(len(beat), np.nan)
        # The frontal plane: lead I points left, aVF down, and is longer by 2 / sqrt(3) in Goldberger's scale.
        measured[f"{part}_axis"] = float(np.degrees(np.arctan2(2 / np.sqrt(3) * mean[_AVF], mean[0])))
        vector = _KORS @ mean[_INDEPENDENT]
        mean_vectors[part] = vector
        magnitude = float(np.linalg.norm(vector))
        measured[f"vcg_{part}_azimuth"] = float(np.degrees(np.arctan2(-vector[2], vector[0])))
        measured[f"vcg_{part}_elevation"] = float(np.degrees(np.arcsin(vector[1] / magnitude))) if magnitude else np.nan
        measured[f"vcg_{part}_magnitude"] = magnitude
    between = abs(measured["qrs_axis"] - measured["t_axis"])
    measured["qrs_t_angle"] = min(between, 360 - between) if np.isfinite(between) else np.nan
    measured["qrs_t_angle_spatial"] = _angle(mean_vectors["qrs"], mean_vectors["t"])
    return measured | _measure_concavity(beat, points)


def _measure_concavity(beat: NDArray[np.float64], points: Fiducials) -> dict[str, float]:
    """Return by how much ST sags below the straight line from J to the T peak, averaged over a territory."""
    if not np.isfinite(points.t_peak):
        return {f"st_concavity_{territory}": np.nan for territory in TERRITORIES}
    j, peak = int(points.qrs_offset), int(points.t_peak)
    sag = (beat[:, j] + beat[:, peak]) / 2 - beat[:, (j + peak) // 2]
    return {
        f"st_concavity_{territory}": float(np.mean(sag[[LEADS.index(lead) for lead in leads]]))
        for territory, leads in TERRITORIES.items()
    }


def measure_components(beat: NDArray[np.float64], points: Fiducials) -> dict[str, float]:
    """Measure how far each part of a beat keeps to one direction, and its size.

    Parameters
    ----------
    beat : ndarray of shape (n_leads, n_samples)
        Median beat in millivolts, without missing leads.
    points : Fiducials
        Its fiducial points.

    Returns
    -------
    dict of str to float
        ``pca_ratio_*``: second over first eigenvalue of the leads' products, in percent;
        ``nondipolar_*``: share of the energy beyond three components, in percent, of a part with more than
        three leads; ``rms_*``: root mean square over leads and time, in mV.
    """
    measured = dict.fromkeys(component_names(), np.nan)
    windows = {"beat": (0, beat.shape[1])} | _windows(points, ("qrs", "st", "stt", "t"))
    for part, (start, stop) in windows.items():
        signal = beat[:, start:stop]
        if signal.size == 0:
            continue
        measured[f"rms_{part}"] = float(np.sqrt(np.mean(signal**2)))
        energies = np.linalg.eigvalsh(signal @ signal.T)[::-1]
        if energies[0] > 1e-12:
            if len(energies) > 1:
                measured[f"pca_ratio_{part}"] = float(100 * max(energies[1], 0) / energies[0])
            if len(energies) > 3:
                measured[f"nondipolar_{part}"] = float(100 * np.maximum(energies[3:], 0).sum() / energies.sum())
    return measured


def component_names() -> list[str]:
    """Return the names of what `measure_components` measures."""
    return [f"{what}_{part}" for what in ("pca_ratio", "nondipolar", "rms") for part in PCA_PARTS]


def _windows(points: Fiducials, parts: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Return first and last-but-one sample of parts of a beat; empty where a wave was not found."""
    j = int(points.qrs_offset)
    has_t = np.isfinite(points.t_peak) and np.isfinite(points.t_offset)
    peak, end = (int(points.t_peak), int(points.t_offset) + 1) if has_t else (j, j)
    windows = {
        "qrs": (int(points.qrs_onset), j + 1),
        "st": (j, (j + peak) // 2),
        "stt": (j, end),
        "t": ((j + peak) // 2, end),
    }
    return {part: windows[part] for part in parts}


def _angle(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the angle between two vectors in degrees, NaN if one has no length."""
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.degrees(np.arccos(np.clip(first @ second / lengths, -1, 1)))) if lengths > 0 else np.nan
