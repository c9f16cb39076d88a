"""From a heart and a rhythm to the twelve leads of a record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omi_estimators.datasets._heart import QRS, ST_T, Array, Heart, P
from omi_estimators.datasets._rhythm import ATRIAL_ECTOPIC, VENTRICULAR_ECTOPIC, Rhythm

INTERVALS = ("heart_rate", "pr", "qrs", "qt")
FIDUCIALS = ("p_onset", "qrs_onset", "r_peak", "j_point", "t_peak", "t_offset")


def beat_intervals(heart: Heart, rhythm: Rhythm, ectopic: Heart) -> tuple[Array, Array]:
    """Return the QRS duration and JT interval of each beat, in seconds, shape (n_beats,) each."""
    ventricular = rhythm.kinds == VENTRICULAR_ECTOPIC
    qrs = np.where(ventricular, ectopic.qrs, heart.qrs)
    # Fridericia's cube root: how repolarisation shortens with the cycle.
    jt = heart.jtc * np.cbrt(rhythm.rr)
    return qrs, jt


def _beat_gaussians(
    heart: Heart, rhythm: Rhythm, ectopic: Heart, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Return centres and widths (n_beats, 37) in seconds from QRS onset, and leads (n_beats, 37, 8) in mV."""
    ventricular = (rhythm.kinds == VENTRICULAR_ECTOPIC)[:, None]
    qrs, jt = (interval[:, None] for interval in beat_intervals(heart, rhythm, ectopic))
    centers = np.where(ventricular, ectopic.centers, heart.centers)
    widths = np.where(ventricular, ectopic.widths, heart.widths)
    centers[:, QRS] *= qrs
    widths[:, QRS] *= qrs
    centers[:, ST_T] = qrs + centers[:, ST_T] * jt
    widths[:, ST_T] *= jt
    centers[:, P] = centers[:, P] * heart.p - heart.pr
    widths[:, P] *= heart.p
    vectors = np.where(ventricular[..., None], ectopic.vectors, heart.vectors)
    near = np.where(ventricular[..., None], ectopic.near, heart.near)
    if rhythm.fibrillation:
        vectors[:, P], near[:, P] = 0.0, 0.0
    vectors[rhythm.kinds == ATRIAL_ECTOPIC, P] *= (0.8, -0.6, 1.2)
    # Breathing swings the heart in the chest by a few degrees and changes how much of it the leads see.
    swing = rng.normal(0.0, 0.02, size=3)
    turn = rhythm.breath[:, None] * swing + rng.normal(0.0, 0.006, size=(len(qrs), 3))
    vectors = vectors + np.cross(turn[:, None, :], vectors)
    # Activation takes a slightly other course in every beat.
    vectors[:, QRS] += np.cross(rng.normal(0.0, (0.026, 0.04, 0.02), size=(len(qrs), 1, 3)), vectors[:, QRS])
    size = 1.0 + rng.normal(0.0, 0.025) * rhythm.breath + rng.normal(0.0, 0.01, size=len(qrs))
    leads = vectors @ heart.field.T + near
    return centers, widths, leads * size[:, None, None]


def render(
    heart: Heart, rhythm: Rhythm, ectopic: Heart, sampling_rate: float, n_samples: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return leads I, II, V1 to V6 of a record without noise.

    Parameters
    ----------
    heart, ectopic : Heart
        The picture of conducted beats, and of ventricular ectopic ones.
    rhythm : Rhythm
        When the beats fall.
    sampling_rate : float
        Hz.
    n_samples : int
        Length of the record.
    rng : Generator
        Where chance comes from.

    Returns
    -------
    ndarray of shape (8, n_samples)
        Millivolts, float32.
    """
    centers, widths, leads = _beat_gaussians(heart, rhythm, ectopic, rng)
    before = int(np.ceil(-(centers - 4.0 * widths).min() * sampling_rate))
    after = int(np.ceil((centers + 4.0 * widths).max() * sampling_rate))
    starts = np.floor(rhythm.onsets * sampling_rate).astype(np.int64) - before
    times = (np.arange(before + after, dtype=np.float32) + starts[:, None]) / np.float32(sampling_rate)
    times -= rhythm.onsets[:, None].astype(np.float32)
    # float32 halves the time of the exponentials, and its error is far below a microvolt.
    bells = (times[:, None, :] - centers[..., None].astype(np.float32)) / widths[..., None].astype(np.float32)
    np.square(bells, out=bells)
    bells *= np.float32(-0.5)
    np.exp(bells, out=bells)
    beats = leads.astype(np.float32).transpose(0, 2, 1) @ bells
    signal = np.zeros((leads.shape[2], n_samples), dtype=np.float32)
    for start, beat in zip(starts, beats, strict=True):
        first, last = max(start, 0), min(start + beat.shape[1], n_samples)
        if first < last:
            signal[:, first:last] += beat[:, first - start : last - start]
    if rhythm.fibrillation:
        signal += _fibrillation(heart, sampling_rate, n_samples, rng)
    return signal


def _fibrillation(heart: Heart, sampling_rate: float, n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the f waves of atrial fibrillation, largest in V1, as (8, n_samples) millivolts."""
    times = np.arange(n_samples) / sampling_rate
    dipole = np.zeros((3, n_samples))
    for _ in range(3):
        wobble = 0.8 * np.sin(2.0 * np.pi * rng.uniform(0.1, 0.6) * times + rng.uniform(0.0, 2.0 * np.pi))
        wave = np.sin(2.0 * np.pi * rng.uniform(4.5, 8.0) * times + 2.0 * wobble + rng.uniform(0.0, 2.0 * np.pi))
        dipole += rng.uniform(0.01, 0.035) * np.outer(rng.normal((0.2, 0.5, -1.0), 0.3), wave)
    return (heart.field @ dipole).astype(np.float32)


def find_fiducials(
    heart: Heart, rhythm: Rhythm, ectopic: Heart, sampling_rate: float, n_samples: int
) -> NDArray[np.int64]:
    """Return where the waves of each beat stand, as samples, shape (n_beats, 6).

    Columns are `FIDUCIALS`; -1 stands for a wave that is not there. Beats that do not lie wholly
    within the record, from QRS onset to T offset, are left out.
    """
    qrs, jt = beat_intervals(heart, rhythm, ectopic)
    ventricular = rhythm.kinds == VENTRICULAR_ECTOPIC
    r_peak = np.where(ventricular, _strongest(ectopic, QRS) * qrs, _strongest(heart, QRS) * qrs)
    t_peak = np.where(ventricular, _strongest(ectopic, ST_T) * jt, _strongest(heart, ST_T) * jt)
    p_onset = np.full(len(qrs), -heart.pr)
    offsets = np.stack([p_onset, np.zeros(len(qrs)), r_peak, qrs, qrs + t_peak, qrs + jt], axis=1)
    samples = np.rint((rhythm.onsets[:, None] + offsets) * sampling_rate).astype(np.int64)
    samples[ventricular | rhythm.fibrillation, 0] = -1
    samples[samples[:, 0] < 0, 0] = -1
    return samples[(samples[:, 1] >= 0) & (samples[:, -1] < n_samples)]


def true_intervals(heart: Heart, rhythm: Rhythm) -> tuple[float, float, float, float]:
    """Return heart rate (beats/min), PR, QRS and QT (ms) of the conducted beats of a record."""
    # A second of a slow heart may hold one beat.
    mean_rr = float(np.median(np.diff(rhythm.onsets)) if len(rhythm.onsets) > 1 else rhythm.rr[0])
    jt = heart.jtc * float(np.cbrt(np.median(rhythm.rr)))
    pr = np.nan if rhythm.fibrillation else 1000.0 * heart.pr
    return 60.0 / mean_rr, pr, 1000.0 * heart.qrs, 1000.0 * (heart.qrs + jt)


def _strongest(heart: Heart, wave: slice) -> float:
    """Return when the dipole of `wave` is largest, as a fraction of the wave's interval."""
    grid = np.linspace(0.0, 1.0, 101)
    bells = np.exp(-0.5 * ((grid - heart.centers[wave, None]) / heart.widths[wave, None]) ** 2)
    return float(grid[np.linalg.norm(heart.vectors[wave].T @ bells, axis=0).argmax()])
