"""How time grows from 100 to 10,000 records, and what ten million would cost.

Each side runs in a process of its own on one thread, two of them side by side. Processor time is quoted, not time on
the wall: the system may interrupt them. Records are simulated ones over and over, in a memory map.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import warnings
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        write_records(Path(folder, "X.npy"))
        measured = dict(zip(SIDES, pool.map(lambda name: measure(name, folder), SIDES), strict=True))
    for name, seconds in measured.items():
        each = [1e3 * taken / size for size, taken in zip(SIZES, seconds, strict=True)]
        figures += [make_figure(f"{name}: {n} records", "ms each", [ms]) for n, ms in zip(SIZES, each, strict=True)]
        exponent = np.polyfit(np.log(SIZES), np.log(seconds), 1)[0]
        figures.append(make_figure(f"{name}: exponent", "", [exponent], "0.95 to 1.05"))
        core_hours[name] = seconds[-1] / SIZES[-1] * N_PLANNED / 3600
    figures += [make_figure(f"10 million: {name}", "core-hours", [hours]) for name, hours in core_hours.items()]
    return figures + measure_disk()


def write_records(path: Path) -> None:
    """Write as many records as the largest size, the same 200 over and over."""
    source = make_omi_ecgs(n_patients=200, records_per_patient=1, random_state=0).X
    records = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(SIZES[-1], 12, N_SAMPLES))
    for start in range(0, len(records), len(source)):
        part = records[start : start + len(source)]
        part[:] = source[: len(part)]
    records.flush()


def measure(name: str, folder: str) -> list[float]:
    """Return the seconds that one side takes for each size, in a new process."""
    command = [sys.executable, "-m", "benchmarks.scaling", name, folder]
    found: list[float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def measure_here(name: str, folder: str) -> None:
    """Print the seconds that one side takes for each size."""
    X = np.load(Path(folder, "X.npy"), mmap_mode="r")
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        function, records = SIDES[name](X)
        function(records[:2])
        medians = []
        for size, repeats in zip(SIZES, REPEATS, strict=True):
            seconds = []
            for _ in range(repeats):
                start = time.process_time()
                function(records[:size])
                seconds.append(time.process_time() - start)
            medians.append(float(np.median(seconds)))
    print(json.dumps(medians))


Side = tuple[Callable[[np.ndarray], object], np.ndarray]


def features(X: np.ndarray) -> Side:
    """Return what measures features, and its records."""
    return lambda part: NeuroKitFeatures().fit_transform(part), X


def beats(X: np.ndarray) -> Side:
    """Return what finds beats, and its records; filtered in blocks, as what is filtered is as large as a record."""

    def find(part: np.ndarray) -> list[np.ndarray]:
        blocks = (ECGFilter().fit_transform(part[start : start + BLOCK]) for start in range(0, len(part), BLOCK))
        return [MedianBeat().fit_transform(block) for block in blocks]

    return find, X


def probabilities(X: np.ndarray) -> Side:
    """Return what predicts, and its beats."""
    few = MedianBeat().fit_transform(ECGFilter().fit_transform(X[:200])).astype(np.float32)
    network = ECGSmartNetClassifier(n_members=1, max_epochs=1, n_threads=1, random_state=0).fit(
        few[:64], np.arange(64) % 2
    )
    return network.predict_proba, np.resize(few, (SIZES[-1], *few.shape[1:]))


# The longest first.
SIDES = {"record to all features": features, "record to beat": beats, "beat to probability": probabilities}


def measure_disk() -> list[Figure]:
    """Return what ten million records take on disk, uncompressed."""
    few = make_omi_ecgs(n_patients=2, records_per_patient=1, random_state=0).X
    bytes_each = {
        "records, 500 Hz, 16 bits": 12 * N_SAMPLES * 2,
        "records, 500 Hz, float32": 12 * N_SAMPLES * 4,
        "beats, float32": 4 * MedianBeat().fit_transform(few)[0].size,
        "features, float32": 4 * NeuroKitFeatures().fit_transform(few).shape[1],
    }
    return [
        make_figure(f"10 million: {name}, on disk", "TB", [N_PLANNED * each / 1e12])
        for name, each in bytes_each.items()
    ]


if __name__ == "__main__":
    measure_here(sys.argv[1], sys.argv[2])
