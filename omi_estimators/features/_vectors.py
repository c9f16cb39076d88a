"""What needs the twelve leads together: axes in the frontal and horizontal plane, and the vectorcardiogram."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omi_estimators.features._delineate import DelineatedBeat
from omi_estimators.leads import INDEPENDENT_LEADS, LEADS

# Kors's regression: X (left), Y (down) and Z (back) from I, II, V1 to V6.
_KORS = np.array(
    [
        [0.38, -0.07, -0.13, 0.05, -0.01, 0.14, 0.06, 0.54],
        [-0.07, 0.93, 0.06, -0.02, -0.05, 0.06, -0.17, 0.13],
        [0.11, -0.23, -0.43, -0.06, -0.14, -0.20, -0.11, 0.31],
    ]
)
_I, _AVF, _V2, _V6 = (LEADS.index(lead) for lead in ("I", "aVF", "V2", "V6"))
# Goldberger's aVF is shorter than Einthoven's I by this factor.
_GOLDBERGER = 2 / np.sqrt(3)
# A vector of the QRS complex counts for the cosine R to T if it is this share of the longest.
_LARGE = 0.7
# Left, downward and forward: where T points in health (the median of normal PTB-XL records, to 5 degrees, as
# `python -m benchmarks features` prints it).
USUAL_T = (30.0, 30.0)
VECTORS = ("qrs", "qrs_initial40", "qrs_terminal40", "st60", "t", "gradient")


def measure_axes(beat: DelineatedBeat) -> dict[str, float]:
    """Measure the electrical axes of P, QRS, ST and T, and the angles between QRS and T.

    Parameters
    ----------
    beat : DelineatedBeat
        With twelve leads.

    Returns
    -------
    dict of str to float
        Degrees; NaN where a wave, or a lead that it takes, is missing. In the frontal plane, from leads I and aVF,
        0 is left and 90 down; in the horizontal plane, from V6 and V2, 0 is left and 90 forward.
    """
    measured: dict[str, float] = {}
    for wave, mean in _mean_leads(beat).items():
        frontal = _direction(_GOLDBERGER * mean[_AVF], mean[_I])
        horizontal = _direction(mean[_V2], mean[_V6])
        measured |= {f"{wave}_axis": frontal, f"{wave}_axis_horizontal": horizontal}
    measured["qrs_t_angle"] = _between(measured["qrs_axis"], measured["t_axis"])
    measured["qrs_t_angle_horizontal"] = _between(measured["qrs_axis_horizontal"], measured["t_axis_horizontal"])
    return measured


def _mean_leads(beat: DelineatedBeat) -> dict[str, NDArray[np.float64]]:
    """Return the mean over each wave in every lead, NaN in what is missing."""
    points, known = beat.points, beat.known()
    nothing = np.full(len(known), np.nan)

    def mean(start: float, stop: float) -> NDArray[np.float64]:
        if not (np.isfinite(start) and np.isfinite(stop) and int(stop) >= int(start)):
            return nothing
        return known[:, int(start) : int(stop) + 1].mean(axis=1)

    st60 = beat.after(points.qrs_offset, 60)
    t_start, t_stop = beat.parts()["t"]
    return {
        "p": mean(points.p_onset, points.p_offset),
        "qrs": mean(points.qrs_onset, points.qrs_offset),
        "st": mean(points.qrs_offset, st60) if beat.holds(st60) else nothing,
        "t": mean(t_start, t_stop - 1),
    }


def measure_vectorcardiogram(beat: DelineatedBeat) -> dict[str, float]:
    """Measure the vectorcardiogram by Kors's regression.

    Parameters
    ----------
    beat : DelineatedBeat
        With twelve leads.

    Returns
    -------
    dict of str to float
        Azimuth (0 is left, 90 forward) and elevation (90 is down) in degrees and magnitude in mV of the mean
        vectors; the ventricular gradient's magnitude is in mV·ms. NaN where a wave or lead is missing.

    References
    ----------
    Kors J. A. et al., Reconstruction of the Frank vectorcardiogram from standard electrocardiographic
    leads, European Heart Journal 11:1083-1092, 1990, doi:10.1093/oxfordjournals.eurheartj.a059647.
    Acar B. et al., Spatial, temporal and wavefront direction characteristics of 12-lead T-wave morphology, Medical
    & Biological Engineering & Computing 37:574-584, 1999, doi:10.1007/BF02513351, for the total cosine R to T.
    """
    loop = _KORS @ beat.known()[list(INDEPENDENT_LEADS)]
    points, parts = beat.points, beat.parts()
    onset, end = parts["qrs"]
    forty = round(0.04 * beat.sampling_rate)
    t_start, t_stop = parts["t"]
    st60 = round(beat.after(points.qrs_offset, 60))
    windows = {
        "qrs": (onset, end),
        "qrs_initial40": (onset, onset + forty),
        "qrs_terminal40": (max(0, end - forty), end),
        "st60": (st60 - 1, st60 + 2) if beat.holds(st60 + 1) else (0, 0),
        "t": (t_start, t_stop),
        "gradient": (onset, t_stop) if t_stop > t_start else (0, 0),
    }
    measured: dict[str, float] = {}
    means = {}
    for name, (start, stop) in windows.items():
        mean = loop[:, start:stop].mean(axis=1) if stop > start else np.full(3, np.nan)
        means[name] = mean
        magnitude = float(np.linalg.norm(mean))
        measured[f"vcg_{name}_azimuth"] = _direction(-mean[2], mean[0])
        measured[f"vcg_{name}_elevation"] = (
            float(np.degrees(np.arcsin(np.clip(mean[1] / magnitude, -1, 1)))) if magnitude else np.nan
        )
        length = beat.ms(start, stop) if name == "gradient" else 1.0
        measured[f"vcg_{name}_magnitude"] = magnitude * length
    measured["qrs_t_angle_spatial"] = angle_between(means["qrs"], means["t"])
    measured["t_axis_deviation"] = angle_between(means["t"], _unit_vector(*USUAL_T))
    return measured | _compare_loops(loop[:, onset:end], loop[:, t_start:t_stop])


def _compare_loops(qrs: NDArray[np.float64], t: NDArray[np.float64]) -> dict[str, float]:
    """Return what QRS and T loop have to do with each other, and how flat and round each is."""
    measured: dict[str, float] = {}
    for name, loop in (("qrs", qrs), ("t", t)):
        if loop.shape[1] > 2 and np.isfinite(loop).all():
            energies = np.linalg.eigvalsh(loop @ loop.T)[::-1]
            if energies[1] > 1e-12:
                measured[f"vcg_{name}_planarity"] = float(1 - max(energies[2], 0.0) / energies[1])
                measured[f"vcg_{name}_roundness"] = float(np.sqrt(energies[1] / energies[0]))
    if not (qrs.size and t.size):
        return measured
    lengths = np.linalg.norm(qrs, axis=0)
    t_peak = t[:, np.argmax(np.linalg.norm(t, axis=0))]
    length = float(np.linalg.norm(t_peak))
    if np.isfinite(lengths).all() and lengths.max() > 0 and length > 0:
        large = lengths >= _LARGE * lengths.max()
        measured["tcrt"] = float(np.mean(t_peak @ qrs[:, large] / (length * lengths[large])))
        measured["qrs_t_angle_peak"] = angle_between(qrs[:, np.argmax(lengths)], t_peak)
    return measured


def angle_between(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the angle between two vectors in degrees, NaN if one has no length.

    Parameters
    ----------
    first, second : ndarray of shape (n,)
        The vectors.

    Returns
    -------
    float
        From 0 to 180.
    """
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.degrees(np.arccos(np.clip(first @ second / lengths, -1, 1)))) if lengths > 0 else np.nan


def _unit_vector(azimuth: float, elevation: float) -> NDArray[np.float64]:
    """Return X, Y, Z (left, down, back) of length one from azimuth and elevation in degrees."""
    forward, down = np.radians([azimuth, elevation])
    return np.array([np.cos(down) * np.cos(forward), np.sin(down), -np.cos(down) * np.sin(forward)])


def _direction(y: float, x: float) -> float:
    """Return the direction of a vector in the plane in degrees, NaN if it has no length."""
    return float(np.degrees(np.arctan2(y, x))) if x or y else np.nan


def _between(first: float, second: float) -> float:
    """Return the angle from 0 to 180 between two directions in the plane."""
    difference = abs(first - second)
    return min(difference, 360 - difference) if np.isfinite(difference) else np.nan
