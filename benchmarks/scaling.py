"""How time grows from 100 to 10,000 records, and what ten million would cost.

Processor time of one process is quoted, not time on the wall: the system may interrupt it. Records are
simulated ones over and over, in a memory map.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks._figures import Figure, make_figure
from omi_estimators import ECGFilter, ECGSmartNetClassifier, MedianBeat, NeuroKitFeatures
from omi_estimators.datasets import make_omi_ecgs

# The network predicts in batches of 32, of which the last is filled up.
SIZES = (128, 1_024, 10_240)
# The small ones several times, for a chance delay is a larger part of these; the median counts.
REPEATS = (3, 1, 1)
BLOCK = 100
N_PLANNED = 10_000_000
N_SAMPLES = 5_000


def run(data: Namespace) -> list[Figure]:
    """Print and return the exponents, and the cost of ten million records."""
    figures, core_hours = [], {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        X = write_records(Path(folder, "X.npy"))
        beats = write_beats(Path(folder, "beats.npy"), X[:200])
        network = ECGSmartNetClassifier(max_epochs=1, n_threads=2, random_state=0).fit(beats[:64], np.arange(64) % 2)
        sides: dict[str, tuple[Callable[[np.ndarray], object], np.ndarray]] = {
            "record to beat": (find_beats, X),
            "record to all features": (lambda part: NeuroKitFeatures().fit_transform(part), X),
            "beat to probability": (network.predict_proba, beats),
        }
        for name, (function, records) in sides.items():
            seconds = time_sizes(function, records)
            each = [1e3 * taken / size for size, taken in zip(SIZES, seconds, strict=True)]
            figures += [make_figure(f"{name}: {n} records", "ms each", [ms]) for n, ms in zip(SIZES, each, strict=True)]
            exponent = np.polyfit(np.log(SIZES), np.log(seconds), 1)[0]
            figures.append(make_figure(f"{name}: exponent", "", [exponent], "0.95 to 1.05"))
            core_hours[name] = seconds[-1] / SIZES[-1] * N_PLANNED / 3600
    figures += [make_figure(f"10 million: {name}", "core-hours", [hours]) for name, hours in core_hours.items()]
    n_features = len(NeuroKitFeatures().fit(X[:2]).get_feature_names_out())
    return figures + measure_disk(beats[0].nbytes, 4 * n_features)


def write_records(path: Path) -> np.ndarray:
    """Return as many records as the largest size, the same 200 over and over, as a memory map."""
    source = make_omi_ecgs(n_patients=200, records_per_patient=1, random_state=0).X
    records = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(SIZES[-1], 12, N_SAMPLES))
    for start in range(0, len(records), len(source)):
        part = records[start : start + len(source)]
        part[:] = source[: len(part)]
    records.flush()
    return np.load(path, mmap_mode="r")


def write_beats(path: Path, X: np.ndarray) -> np.ndarray:
    """Return the beats of some records, over and over, as a memory map."""
    source = MedianBeat().fit_transform(ECGFilter().fit_transform(X)).astype(np.float32)
    np.save(path, np.resize(source, (SIZES[-1], *source.shape[1:])))
    return np.load(path, mmap_mode="r")


def find_beats(X: np.ndarray) -> list[np.ndarray]:
    """Return the beats of records, filtered a block at a time: a filtered record is as large as a record."""
    blocks = (ECGFilter().fit_transform(X[start : start + BLOCK]) for start in range(0, len(X), BLOCK))
    return [MedianBeat().fit_transform(block) for block in blocks]


def time_sizes(function: Callable[[np.ndarray], object], records: np.ndarray) -> list[float]:
    """Return the processor time in seconds that a function takes for so many records, the median of repetitions."""
    function(records[:2])
    medians = []
    for size, repeats in zip(SIZES, REPEATS, strict=True):
        seconds = []
        for _ in range(repeats):
            start = time.process_time()
            function(records[:size])
            seconds.append(time.process_time() - start)
        medians.append(float(np.median(seconds)))
    return medians


def measure_disk(beat: int, features: int) -> list[Figure]:
    """Return what ten million records take on disk, uncompressed; a beat and its features take so many bytes."""
    bytes_each = {
        "records, 500 Hz, 16 bits": 12 * N_SAMPLES * 2,
        "records, 500 Hz, float32": 12 * N_SAMPLES * 4,
        "beats, float32": beat,
        "features, float32": features,
    }
    return [
        make_figure(f"10 million: {name}, on disk", "TB", [N_PLANNED * each / 1e12])
        for name, each in bytes_each.items()
    ]
