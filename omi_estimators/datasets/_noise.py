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

_SHARE_BAD_CONTACT, _SHARE_SWAPPED, _SHARE_BURST = 0.05, 0.005, 0.1


def draw_noise(sampling_rate: float, n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the noise of one record in leads I, II, V1 to V6, as (8, n_samples) float32 millivolts."""
    electrodes = _wander_and_muscle(sampling_rate, n_samples, rng)
    times = np.arange(n_samples, dtype=np.float32) / np.float32(sampling_rate)
    mains = 2.0 * np.pi * rng.choice((50.0, 60.0)) * times + rng.uniform(0.0, 2.0 * np.pi)
    hum = rng.lognormal(np.log(0.001), 1.0) * rng.uniform(0.3, 1.7, size=9)
    electrodes += np.outer(hum, np.sin(mains)).astype(np.float32)
    if rng.random() < _SHARE_BAD_CONTACT:
        _spoil_contact(electrodes, sampling_rate, rng)
    return ELECTRODES_TO_LEADS.astype(np.float32) @ electrodes


def _wander_and_muscle(sampling_rate: float, n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return baseline wander and muscle noise at the nine electrodes, (9, n_samples)."""
    frequency = fft.rfftfreq(n_samples, 1.0 / sampling_rate)
    wander = rng.lognormal(np.log(0.028), 0.75) * rng.lognormal(0.0, 0.25, size=9)
    muscle = rng.lognormal(np.log(0.0040), 0.42) * rng.lognormal(0.0, 0.3, size=9)
    slow = _unit_power(np.where(frequency > 0, 1.0 / (1.0 + (frequency / 0.3) ** 3), 0.0))
    # Muscle: rising to 30 Hz, falling where the recorder's low-pass begins.
    rise = frequency / np.hypot(frequency, 20.0)
    fast = _unit_power(rise / (1.0 + (frequency / 120.0) ** 4))
    amplitude = np.sqrt(np.outer(wander**2, slow) + np.outer(muscle**2, fast)).astype(np.float32)
    phases = rng.standard_normal((2, 9, len(frequency)), dtype=np.float32)
    spectrum = amplitude * (phases[0] + 1j * phases[1]) * np.float32(n_samples / 2.0)
    noise = fft.irfft(spectrum, n=n_samples, axis=1)
    if rng.random() < _SHARE_BURST:
        electrode = rng.integers(9)
        start = rng.integers(n_samples)
        burst = rng.normal(0.0, rng.uniform(0.01, 0.05), size=n_samples)[start : start + n_samples // 4]
        noise[electrode, start : start + len(burst)] += burst * np.hanning(len(burst))
    return noise


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
