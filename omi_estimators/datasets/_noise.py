"""What the electrodes add: baseline wander, muscle, mains, bad contacts, swapped cables."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from omi_estimators.datasets._heart import Array

# Electrodes RA, LA, LL, V1..V6 to leads I, II, V1..V6: noise that enters at an electrode reaches every
# lead the way voltage does, so Einthoven's law and Wilson's terminal hold for the noise as well.
ELECTRODES_TO_LEADS = np.zeros((8, 9))
ELECTRODES_TO_LEADS[0, :2] = -1.0, 1.0
ELECTRODES_TO_LEADS[1, [0, 2]] = -1.0, 1.0
ELECTRODES_TO_LEADS[2:, :3] = -1.0 / 3.0
ELECTRODES_TO_LEADS[2:, 3:] = np.eye(6)

# How large each noise is at the electrodes RA, LA, LL, V1..V6: arms work, and breath moves the trunk. Sizes and
# spectra are by hand, after what the median beat leaves of normal records of PTB-XL: noise of leads I and II above
# 25 Hz comes from the arms, and that of V1 to V6 is a ninth of it, which is what Wilson's terminal passes on.
_WANDER = np.array((0.4, 0.6, 1.1, *np.ones(6)))
_MOVEMENT = np.array((0.45, 0.45, 0.6, 0.85, 1.05, 0.95, 0.9, 0.8, 0.75))
_MUSCLE = np.array((1.0, 1.17, 0.1, 0.1, 0.35, 0.3, 0.2, 0.1, 0.1))
_MOVEMENT_AT_20_HZ = 0.00026  # mV per square root of Hz
_MUSCLE_AT_60_HZ = 0.00022
_RECORDER_LOWPASS = 150.0  # Hz
_STEP = 0.005  # mV, the least difference that the recorder stores
_SMOOTHING = 0.25  # the part of it that goes to each neighbour

_SHARE_BAD_CONTACT, _SHARE_SWAPPED, _SHARE_BURST = 0.03, 0.005, 0.1


def draw_noise(sampling_rate: float, n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the noise of one record in leads I, II, V1 to V6, as (8, n_samples) float32 millivolts."""
    electrodes = _wander_and_muscle(sampling_rate, n_samples, rng)
    times = np.arange(n_samples, dtype=np.float32) / np.float32(sampling_rate)
    mains = 2.0 * np.pi * rng.choice((50.0, 60.0)) * times + rng.uniform(0.0, 2.0 * np.pi)
    hum = rng.lognormal(np.log(0.0006), 1.0) * rng.uniform(0.3, 1.7, size=9)
    electrodes += np.outer(hum, np.sin(mains)).astype(np.float32)
    if rng.random() < _SHARE_BAD_CONTACT:
        _spoil_contact(electrodes, sampling_rate, rng)
    return ELECTRODES_TO_LEADS.astype(np.float32) @ electrodes


def _wander_and_muscle(sampling_rate: float, n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return baseline wander, movement and muscle noise at the nine electrodes, (9, n_samples)."""
    frequency = fft.rfftfreq(n_samples, 1.0 / sampling_rate)
    wander = rng.lognormal(np.log(0.028), 0.5) * rng.lognormal(0.0, 0.5, size=9) * _WANDER
    movement = rng.lognormal(np.log(_MOVEMENT_AT_20_HZ), 0.4) * rng.lognormal(0.0, 0.45, size=9) * _MOVEMENT
    muscle = rng.lognormal(np.log(_MUSCLE_AT_60_HZ), 0.4) * rng.lognormal(0.0, 0.4, size=9) * _MUSCLE
    slow = _unit_power(np.where(frequency > 0, 1.0 / (1.0 + (frequency / 0.3) ** 3), 0.0))
    density = sampling_rate / n_samples
    moved = density * np.maximum(frequency / 20.0, 0.05) ** -2.5 / (1.0 + (frequency / 35.0) ** 4)
    worked = density * np.maximum(frequency / 60.0, 0.15) ** -rng.normal(1.65, 0.15)
    worked /= 1.0 + (frequency / _RECORDER_LOWPASS) ** 4
    noise = _shape_noise(np.outer(muscle**2, worked), n_samples, rng)
    noise *= _draw_envelopes(n_samples / sampling_rate, n_samples, rng)
    noise += _shape_noise(np.outer(wander**2, slow) + np.outer(movement**2, moved), n_samples, rng)
    if rng.random() < _SHARE_BURST:
        electrode = rng.integers(9)
        start = rng.integers(n_samples)
        burst = rng.normal(0.0, rng.uniform(0.01, 0.05), size=n_samples)[start : start + n_samples // 4]
        noise[electrode, start : start + len(burst)] += burst * np.hanning(len(burst))
    return noise


def _shape_noise(power: Array, n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return noise (n_electrodes, n_samples) with the `power` (n_electrodes, n_frequencies) of each frequency."""
    parts = rng.standard_normal((2, *power.shape), dtype=np.float32)
    spectrum = np.sqrt(power).astype(np.float32) * (parts[0] + 1j * parts[1]) * np.float32(n_samples / 2.0)
    return fft.irfft(spectrum, n=n_samples, axis=1)


def _draw_envelopes(duration: float, n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return how muscles tighten and slacken, (9, n_samples) factors that change within seconds."""
    n_knots = max(2, round(1.5 * duration))
    tension = rng.lognormal(0.0, 0.75, size=(9, n_knots))
    at = np.linspace(0.0, n_knots - 1.0, n_samples)
    return np.stack([np.interp(at, np.arange(n_knots), knots) for knots in tension]).astype(np.float32)


def _unit_power(amplitude: Array) -> Array:
    """Return the power of each frequency, scaled so that the sum makes a variance of 1."""
    power = amplitude**2
    return power / power.sum()


def _spoil_contact(electrodes: NDArray[np.float32], sampling_rate: float, rng: np.random.Generator) -> None:
    """Give one electrode a bad contact: sudden steps that decay as the amplifier recovers."""
    n_samples = electrodes.shape[1]
    decay = np.exp(-np.arange(n_samples) / (rng.uniform(0.3, 1.5) * sampling_rate))
    electrode = rng.integers(9)
    for _ in range(rng.integers(1, 4)):
        start = rng.integers(n_samples)
        electrodes[electrode, start:] += rng.normal(0.0, 0.4) * decay[: n_samples - start]


def maybe_swap_arms(leads: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return `leads` (8, n_samples), in few records with the cables of the arms swapped.

    Swapped arms turn lead I over and exchange leads II and III; the precordial leads stay.
    """
    if rng.random() >= _SHARE_SWAPPED:
        return leads
    swapped = leads.copy()
    swapped[0], swapped[1] = -leads[0], leads[1] - leads[0]
    return swapped


def quantise(leads: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `leads` (8, n_samples) as stored in steps of 5 microvolts.

    In PTB-XL half of the values stand between two steps: what was rounded has been smoothed a little
    afterwards. Only the rounding is smoothed here, for waves and noise are as they were after it.
    """
    rounding = np.rint(leads / np.float32(_STEP)) * np.float32(_STEP) - leads
    smooth = np.float32(1.0 - 2.0 * _SMOOTHING) * rounding
    smooth[:, 1:] += np.float32(_SMOOTHING) * rounding[:, :-1]
    smooth[:, :-1] += np.float32(_SMOOTHING) * rounding[:, 1:]
    return leads + smooth
