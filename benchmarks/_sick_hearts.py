"""Simulated hearts with one disease each, and where their waves are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from omi_estimators.datasets._heart import CONDITIONS, INDEPENDENT_LEADS, draw_hearts, ventricular_beat
from omi_estimators.datasets._recording import FIDUCIALS, record_heart
from omi_estimators.leads import LEADS, derive_limb_leads

SAMPLING_RATE, N_SAMPLES = 500, 5000
KINDS = ("normal", "RBBB", "LBBB", "paced", "fast", "long PR", "fibrillation", "flutter")
# Heart rates of the fast ones (1/min), and PR intervals of the long ones (s).
FAST, LONG_PR = (110, 160), (0.26, 0.4)
# The age (years) at which hardly any of the simulator's hearts fibrillates of itself.
_YOUNG = 20.0


def make_hearts(kind: str, n_hearts: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield twelve leads in millivolts, and where each beat's waves are (`FIDUCIALS`), in samples, -1 for none."""
    rng = np.random.default_rng(seed)
    ages, male = rng.normal(60, 15, n_hearts).clip(20, 90), rng.random(n_hearts) < 0.5
    rows = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]
    for heart in draw_hearts(ages, male, rng):
        if kind in CONDITIONS:
            CONDITIONS[kind](heart, rng)
        if kind == "fast":
            heart.heart_rate, heart.pr = rng.uniform(*FAST), min(heart.pr, 0.16)
        if kind == "long PR":
            heart.heart_rate, heart.pr = rng.uniform(50, 80), rng.uniform(*LONG_PR)
        atria = kind if kind in ("fibrillation", "flutter") else None
        pacing = "ventricular" if kind == "paced" else None
        ectopic = ventricular_beat(heart, rng)
        leads, truth = record_heart(heart, ectopic, _YOUNG, SAMPLING_RATE, N_SAMPLES, 1.0, rng, atria, pacing)
        record = np.full((1, len(LEADS), N_SAMPLES), np.nan, dtype=np.float32)
        record[0, rows] = leads
        yield derive_limb_leads(record)[0], truth.fiducials


def truth_about_r(fiducials: np.ndarray, peaks: np.ndarray) -> dict[str, float]:
    """Return where the waves of the usual beat are, in samples after the R peaks that were found; NaN for none."""
    nearest = np.abs(peaks - fiducials[:, FIDUCIALS.index("r_peak"), np.newaxis]).argmin(axis=1)
    after_r = np.where(fiducials < 0, np.nan, fiducials - peaks[nearest, np.newaxis])
    known = np.isfinite(after_r).sum(axis=0) > len(after_r) / 2
    return {
        name: float(np.nanmedian(after_r[:, column])) if known[column] else np.nan
        for column, name in enumerate(FIDUCIALS)
    }
