"""From a heart to a record: when its beats fall, the leads that they make, and what the electrodes add."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from omi_estimators.datasets._heart import QRS, ST_T, Array, Heart, P, pace_ventricle

SINUS, ATRIAL_ECTOPIC, VENTRICULAR_ECTOPIC = 0, 1, 2
_SHARE_FIBRILLATION, _SHARE_ATRIAL, _SHARE_VENTRICULAR = 0.04, 0.05, 0.05
RHYTHMS = ("sinus", "atrial ectopics", "ventricular ectopics")
ATRIA = ("fibrillation", "flutter")
PACING = ("atrial", "ventricular", "dual")
INTERVALS = ("heart_rate", "pr", "qrs", "qt")
FIDUCIALS = ("p_onset", "qrs_onset", "r_peak", "j_point", "t_peak", "t_offset")

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
        Whether the atria fibrillate or flutter: there is no P wave.
    breath : ndarray of shape (n_beats,)
        Where in the breath each beat falls, from -1 to 1.
    flutter : float
        Seconds that one flutter wave takes; 0 without.
    paced : bool
        Whether a pacemaker sets the rhythm.
    """

    onsets: Array
    rr: Array
    kinds: NDArray[np.int64]
    fibrillation: bool
    breath: Array
    flutter: float = 0.0
    paced: bool = False

    @property
    def name(self) -> str:
        """What a reader would call it."""
        if self.paced:
            return "paced"
        if self.flutter:
            return "atrial flutter"
        return "atrial fibrillation" if self.fibrillation else RHYTHMS[self.kinds.max()]


def draw_rhythm(
    heart_rate: float, age: float, duration: float, rng: np.random.Generator, atria: str | None = None
) -> Rhythm:
    """Draw the beats of a record of `duration` seconds around `heart_rate` beats/min, in sinus rhythm or as `atria`."""
    mean_rr = 60.0 / heart_rate
    n_beats = int(np.ceil((duration + 3.0) / mean_rr * 1.5)) + 2
    fibrillation = rng.random() < _SHARE_FIBRILLATION * np.clip((age - 30.0) / 30.0, 0.0, 2.0)
    if atria is not None:
        fibrillation = atria == "fibrillation"
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


class Truth(NamedTuple):
    """What is behind a record.

    Attributes
    ----------
    fiducials : int ndarray of shape (n_beats, 6)
        Samples at which the waves of each whole beat stand, in columns `FIDUCIALS`.
    intervals : tuple of float
        In the order of `INTERVALS`.
    rhythm : str
        Its name.
    spikes : int ndarray of shape (n_spikes,)
        Samples at which the spikes of a pacemaker begin.
    """

    fiducials: NDArray[np.int64]
    intervals: tuple[float, ...]
    rhythm: str
    spikes: NDArray[np.int64]


def record_heart(
    heart: Heart,
    ectopic: Heart,
    age: float,
    sampling_rate: float,
    n_samples: int,
    noise: float,
    rng: np.random.Generator,
    atria: str | None = None,
    pacing: str | None = None,
) -> tuple[NDArray[np.float32], Truth]:
    """Return leads I, II, V1 to V6 of one record in millivolts, (8, n_samples), and the truth behind it."""
    rhythm = draw_rhythm(heart.heart_rate, age, n_samples / sampling_rate, rng, atria)
    spikes = np.empty(0, dtype=np.int64)
    # What devices and flutter draw is drawn from a generator of their own: without them, nothing changes.
    chance = np.random.default_rng(rng.bit_generator.random_raw()) if atria == "flutter" or pacing else rng
    if atria == "flutter":
        rhythm = _flutter(rhythm, n_samples / sampling_rate, chance)
    if pacing is not None:
        rhythm = _pace(heart, rhythm, pacing, n_samples / sampling_rate, chance)
    leads = _render(heart, rhythm, ectopic, sampling_rate, n_samples, rng)
    if pacing is not None:
        spikes = _add_spikes(leads, heart, rhythm, pacing, sampling_rate, chance)
    if noise > 0:
        leads += np.float32(noise) * draw_noise(sampling_rate, n_samples, rng)
        leads = quantise(_maybe_swap_arms(leads, rng))
    fiducials = _find_fiducials(heart, rhythm, ectopic, sampling_rate, n_samples)
    return leads, Truth(fiducials, _true_intervals(heart, rhythm), rhythm.name, spikes)


def _regular(rr: float, duration: float, rhythm: Rhythm, rng: np.random.Generator, **changes: Any) -> Rhythm:
    """Return a rhythm of equal intervals, without ectopic beats."""
    onsets = np.arange(-rng.uniform(0.2, 1.0), duration + 0.8, rr)
    breath = np.sin(2.0 * np.pi * (0.25 * onsets + rng.random()))
    kinds = np.full(len(onsets), SINUS)
    return replace(rhythm, onsets=onsets, rr=np.full(len(onsets), rr), kinds=kinds, breath=breath, **changes)


def _flutter(rhythm: Rhythm, duration: float, rng: np.random.Generator) -> Rhythm:
    """Return atrial flutter, of which every second to fourth wave is conducted."""
    wave = 60.0 / rng.uniform(240.0, 340.0)
    return _regular(wave * rng.choice((2, 3, 4)), duration, rhythm, rng, fibrillation=True, flutter=wave)


def _pace(heart: Heart, rhythm: Rhythm, pacing: str, duration: float, rng: np.random.Generator) -> Rhythm:
    """Return the rhythm of a pacemaker; one in a ventricle changes the heart, and one there alone paces no atria."""
    if pacing != "atrial":
        pace_ventricle(heart, rng)
    heart.pr = rng.uniform(0.12, 0.2) if pacing == "dual" else heart.pr
    no_p = rhythm.fibrillation or pacing == "ventricular"
    return _regular(60.0 / rng.uniform(55.0, 90.0), duration, rhythm, rng, fibrillation=no_p, paced=True)


def _add_spikes(
    leads: NDArray[np.float32],
    heart: Heart,
    rhythm: Rhythm,
    pacing: str,
    sampling_rate: float,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Add spikes of 0.5 to 2 ms to `leads`, 0.3 to 10 mV high in the highest, and return where they begin."""
    delays = {"atrial": heart.pr, "ventricular": 0.0}
    found = []
    for chamber in delays if pacing == "dual" else [pacing]:
        direction = heart.field @ rng.standard_normal(3)
        direction *= np.exp(rng.uniform(np.log(0.3), np.log(10.0))) / np.abs(direction).max()
        width, latency = rng.uniform(0.0005, 0.002), rng.uniform(0.005, 0.02)
        starts = (rhythm.onsets - delays[chamber] - latency) * sampling_rate
        for start in starts[(starts >= 1) & (starts < leads.shape[1] - 1)]:
            times = np.arange(np.floor(start) - 1, min(leads.shape[1], start + 0.03 * sampling_rate))
            # The recorder's filter spreads a pulse over its neighbours; its height is that in the record.
            pulse = np.clip(1.0 + width * sampling_rate / 2 - np.abs(times - start), 0.0, 1.0)
            after = np.where(times > start + 1, np.exp((start - times) / (0.008 * sampling_rate)), 0.0)
            places = times.astype(np.int64)
            leads[:, places] += np.outer(direction, pulse / pulse.max() - 0.03 * after).astype(np.float32)
            found.append(places[np.argmax(pulse)])
    return np.sort(np.array(found, dtype=np.int64))


def _beat_intervals(heart: Heart, rhythm: Rhythm, ectopic: Heart) -> tuple[Array, Array]:
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
    qrs, jt = (interval[:, None] for interval in _beat_intervals(heart, rhythm, ectopic))
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


def _render(
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
    if rhythm.flutter:
        signal += _flutter_waves(heart, rhythm.flutter, sampling_rate, n_samples)
    elif rhythm.fibrillation:
        signal += _fibrillation(heart, sampling_rate, n_samples, rng)
    return signal


def _flutter_waves(heart: Heart, wave: float, sampling_rate: float, n_samples: int) -> NDArray[np.float32]:
    """Return the saw teeth of typical flutter, down in II, III and aVF and up in V1, as (8, n_samples) millivolts."""
    phase = 2.0 * np.pi * np.arange(n_samples) / (sampling_rate * wave)
    tooth = sum(np.sin(k * phase) / k for k in (1, 2, 3))
    return np.outer(heart.field @ (0.01, -0.1, -0.08), tooth).astype(np.float32)


def _fibrillation(heart: Heart, sampling_rate: float, n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the f waves of atrial fibrillation, largest in V1, as (8, n_samples) millivolts."""
    times = np.arange(n_samples) / sampling_rate
    dipole = np.zeros((3, n_samples))
    for _ in range(3):
        wobble = 0.8 * np.sin(2.0 * np.pi * rng.uniform(0.1, 0.6) * times + rng.uniform(0.0, 2.0 * np.pi))
        wave = np.sin(2.0 * np.pi * rng.uniform(4.5, 8.0) * times + 2.0 * wobble + rng.uniform(0.0, 2.0 * np.pi))
        dipole += rng.uniform(0.01, 0.035) * np.outer(rng.normal((0.2, 0.5, -1.0), 0.3), wave)
    return (heart.field @ dipole).astype(np.float32)


def _find_fiducials(
    heart: Heart, rhythm: Rhythm, ectopic: Heart, sampling_rate: float, n_samples: int
) -> NDArray[np.int64]:
    """Return where the waves of each beat stand, as samples, shape (n_beats, 6).

    Columns are `FIDUCIALS`; -1 stands for a wave that is not there. Beats that do not lie wholly
    within the record, from QRS onset to T offset, are left out.
    """
    qrs, jt = _beat_intervals(heart, rhythm, ectopic)
    ventricular = rhythm.kinds == VENTRICULAR_ECTOPIC
    r_peak = np.where(ventricular, _strongest(ectopic, QRS) * qrs, _strongest(heart, QRS) * qrs)
    t_peak = np.where(ventricular, _strongest(ectopic, ST_T) * jt, _strongest(heart, ST_T) * jt)
    p_onset = np.full(len(qrs), -heart.pr)
    offsets = np.stack([p_onset, np.zeros(len(qrs)), r_peak, qrs, qrs + t_peak, qrs + jt], axis=1)
    samples = np.rint((rhythm.onsets[:, None] + offsets) * sampling_rate).astype(np.int64)
    samples[ventricular | rhythm.fibrillation, 0] = -1
    samples[samples[:, 0] < 0, 0] = -1
    return samples[(samples[:, 1] >= 0) & (samples[:, -1] < n_samples)]


def _true_intervals(heart: Heart, rhythm: Rhythm) -> tuple[float, float, float, float]:
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
    # The power of each frequency, so that the sum makes a variance of 1.
    slow = np.where(frequency > 0, 1.0 / (1.0 + (frequency / 0.3) ** 3), 0.0) ** 2
    slow /= slow.sum()
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


def _spoil_contact(electrodes: NDArray[np.float32], sampling_rate: float, rng: np.random.Generator) -> None:
    """Give one electrode a bad contact: sudden steps that decay as the amplifier recovers."""
    n_samples = electrodes.shape[1]
    decay = np.exp(-np.arange(n_samples) / (rng.uniform(0.3, 1.5) * sampling_rate))
    electrode = rng.integers(9)
    for _ in range(rng.integers(1, 4)):
        start = rng.integers(n_samples)
        electrodes[electrode, start:] += rng.normal(0.0, 0.4) * decay[: n_samples - start]


def _maybe_swap_arms(leads: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
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
