"""Hypothesis strategies: records as hospitals, and not only they, may send them."""

from __future__ import annotations

import os

import numpy as np
from hypothesis import strategies as st

# `make fuzz` tries that many times as many inputs.
EFFORT = int(os.environ.get("OMI_ESTIMATORS_EFFORT", "1"))
RATES = (100, 250, 257, 500, 1000)
_LEADS = (12, 12, 12, 12, 1, 2, 3, 8, 15)


def _ecg(rng: np.random.Generator, n_leads: int, times: np.ndarray, heart_rate: float) -> np.ndarray:
    """Return leads with beats: P, QRS and T of random height, some of them upside down."""
    record = 0.01 * rng.normal(size=(n_leads, len(times)))
    waves = ((-0.16, 0.022, 0.1), (-0.02, 0.008, -0.1), (0.0, 0.011, 1.0), (0.028, 0.01, -0.4), (0.28, 0.045, 0.3))
    heights = rng.normal(1, 1, size=(n_leads, len(waves)))
    for beat in np.arange(rng.uniform(0, 1), times[-1] + 1, 60 / heart_rate) * (1 + rng.normal(0, 0.01)):
        for (centre, width, height), of_leads in zip(waves, heights.T, strict=True):
            shape = np.exp(-0.5 * ((times - beat - centre) / width) ** 2)
            record += height * of_leads[:, np.newaxis] * shape
    return record


_KINDS = {
    "ecg": lambda rng, n, times: _ecg(rng, n, times, rng.uniform(30, 220)),
    "noise": lambda rng, n, times: rng.normal(size=(n, len(times))),
    "flat": lambda rng, n, times: np.zeros((n, len(times))),
    "fibrillation": lambda rng, n, times: np.sin(2 * np.pi * 5 * times + 3 * np.sin(np.pi * times)) * np.ones((n, 1)),
    "sawtooth": lambda rng, n, times: (times % 0.2) * np.ones((n, 1)),
    "walk": lambda rng, n, times: np.cumsum(rng.normal(size=(n, len(times))), axis=1),
}


def _saturate(record, leads, part, size, rng):
    record[leads] = np.clip(record[leads], -0.3 * size, 0.3 * size)


def _set(value):
    def fault(record, leads, part, size, rng):
        record[leads, part] = value

    return fault


def _add_spike(record, leads, part, size, rng):
    record[leads, part.start % record.shape[1]] += 50 * size


def _scale(factor):
    def fault(record, leads, part, size, rng):
        record[leads] *= factor

    return fault


def _add_drift(record, leads, part, size, rng):
    record[leads] += np.linspace(0, 100 * size, record.shape[1])


def _make_noisy(record, leads, part, size, rng):
    record[leads, part] += size * rng.normal(size=record[leads, part].shape)


def _swap(record, leads, part, size, rng):
    record[:] = rng.permutation(record)


FAULTS = {
    "missing": _set(np.nan),
    "flat": _set(0.0),
    "held": _set(1.7),
    "huge": _scale(1e6),
    "tiny": _scale(1e-9),
    "microvolts": _scale(1e3),
    "saturated": _saturate,
    "spike": _add_spike,
    "drift": _add_drift,
    "noisy": _make_noisy,
    "swapped": _swap,
    "upside down": _scale(-1.0),
}


@st.composite
def malformed_records(draw, max_seconds: float = 12.0, n_records: int = 1):
    """Draw `X` of shape (n_records, n_leads, n_samples), in mV as is pretended, and its sampling rate."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sampling_rate = draw(st.sampled_from(RATES))
    n_leads = draw(st.sampled_from(_LEADS))
    # Mostly whole records, now and then some samples only.
    seconds = draw(st.one_of(st.floats(1, max_seconds), st.floats(0.001, 1)))
    times = np.arange(max(1, round(seconds * sampling_rate))) / sampling_rate
    X = np.empty((n_records, n_leads, len(times)))
    for record in X:
        record[:] = _KINDS[draw(st.sampled_from(("ecg", "ecg", "ecg", *_KINDS)))](rng, n_leads, times)
        for name in draw(st.lists(st.sampled_from(sorted(FAULTS)), max_size=4)):
            leads = rng.random(n_leads) < draw(st.sampled_from((0.1, 0.5, 1.0)))
            start = int(rng.integers(len(times)))
            part = slice(start, start + int(rng.integers(1, len(times) + 1)))
            FAULTS[name](record, leads, part, float(rng.uniform(0.1, 3)), rng)
    dtype = draw(st.sampled_from((np.float64, np.float64, np.float32, np.int16)))
    if dtype is np.int16:
        X = np.nan_to_num(np.clip(X * 1000, -32768, 32767))
    return X.astype(dtype), sampling_rate
