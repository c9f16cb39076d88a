"""The ST segment, lead by lead and by territory, at fixed times after the common J point."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators.features._beat import DelineatedBeat
from omi_estimators.leads import LEADS, TERRITORIES

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
