"""When the beats of a record fall, and which of them are ectopic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omi_estimators.datasets._heart import Array

SINUS, ATRIAL_ECTOPIC, VENTRICULAR_ECTOPIC = 0, 1, 2
_SHARE_FIBRILLATION, _SHARE_ATRIAL, _SHARE_VENTRICULAR = 0.04, 0.05, 0.05


RHYTHMS = ("sinus", "atrial ectopics", "ventricular ectopics")


@dataclass
class Rhythm:
    """The beats of one record.

    Attributes
    ----------
    onsets : ndarray of shape (n_beats,)
        QRS onsets in seconds; the first and last may lie outside the record.
    rr : ndarray of shape (n_beats,)
        Seconds that each beat's repolarisation adapts to.
    kinds : int ndarray of shape (n_beats,)
        `SINUS`, `ATRIAL_ECTOPIC` or `VENTRICULAR_ECTOPIC`.
    fibrillation : bool
        Whether the atria fibrillate.
    breath : ndarray of shape (n_beats,)
        Where in the breath each beat falls, from -1 to 1.
    """

    onsets: Array
    rr: Array
    kinds: NDArray[np.int64]
    fibrillation: bool
    breath: Array

    @property
    def name(self) -> str:
        """What a reader would call it."""
        return "atrial fibrillation" if self.fibrillation else RHYTHMS[self.kinds.max()]


def draw_rhythm(heart_rate: float, age: float, duration: float, rng: np.random.Generator) -> Rhythm:
    """Draw the beats of a record of `duration` seconds around `heart_rate` beats/min."""
    mean_rr = 60.0 / heart_rate
    n_beats = int(np.ceil((duration + 3.0) / mean_rr * 1.5)) + 2
    fibrillation = rng.random() < _SHARE_FIBRILLATION * np.clip((age - 30.0) / 30.0, 0.0, 2.0)
    respiration = rng.uniform(0.15, 0.33)
    phase = rng.uniform(0.0, 2.0 * np.pi)
    beat_times = np.arange(n_beats) * mean_rr
    # Standard deviation of RR as in resting 10 s ECGs; breathing drives more of it in the young.
    spread = 0.028 * rng.lognormal(0.0, 0.85) * np.exp(-(age - 45.0) / 80.0)
    sinus = np.sqrt(2.0) * np.sin(2.0 * np.pi * respiration * beat_times + phase)
    drift = np.cumsum(rng.standard_normal(n_beats)) / np.sqrt(n_beats)
    rr = mean_rr + spread * (0.75 * sinus + 0.5 * (drift - drift.mean()) + 0.35 * rng.standard_normal(n_beats))
    if fibrillation:
        rr = 60.0 / (1.15 * heart_rate) * rng.lognormal(-0.02, 0.2, size=n_beats)
    rr = rr.clip(0.3, 2.5)
    kinds = _draw_kinds(n_beats, fibrillation, rng)
    rr = _shift_ectopics(rr, kinds, rng)
    onsets = np.cumsum(rr) - rng.uniform(0.6, 1.6)
    # The QT interval follows the rate of the last beats, not of one.
    adapted = 0.9 * rr.mean() + 0.1 * np.concatenate([rr[:1], rr[:-1]])
    inside = (onsets > -1.2) & (onsets < duration + 0.8)
    breath = np.sin(2.0 * np.pi * respiration * onsets + phase)
    return Rhythm(onsets[inside], adapted[inside], kinds[inside], bool(fibrillation), breath[inside])


def _draw_kinds(n_beats: int, fibrillation: bool, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw which beats are ectopic; most records have none, and no two stand side by side."""
    rates = np.zeros(n_beats)
    kind = ATRIAL_ECTOPIC
    if rng.random() < _SHARE_VENTRICULAR:
        kind, rates[:] = VENTRICULAR_ECTOPIC, rng.uniform(0.05, 0.2)
    elif not fibrillation and rng.random() < _SHARE_ATRIAL:
        rates[:] = rng.uniform(0.05, 0.2)
    ectopic = rng.random(n_beats) < rates
    ectopic[1:] &= ~ectopic[:-1]
    return np.where(ectopic, kind, SINUS)


def _shift_ectopics(rr: Array, kinds: NDArray[np.int64], rng: np.random.Generator) -> Array:
    """Return `rr` with ectopic beats early, and the pause after a ventricular one compensatory."""
    early = rng.uniform(0.6, 0.8, size=len(rr))
    shifted = np.where(kinds == SINUS, rr, rr * early)
    after = np.concatenate([[SINUS], kinds[:-1]])
    lost = np.concatenate([[0.0], (rr - shifted)[:-1]])
    return shifted + np.where(after == VENTRICULAR_ECTOPIC, lost, 0.3 * lost)
