"""How much memory records in a memory map take on their way to beats and features.

Each measurement runs in a process of its own, which watches its anonymous memory: what it allocates, without the
pages of the map, which the system takes back as it needs. Linux only.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import warnings
from argparse import Namespace
from pathlib import Path

import numpy as np

from benchmarks._figures import Figure, make_figure
from omi_estimators.datasets import make_omi_ecgs

N_RECORDS = 10_000
# A feature takes its time, and a row is small: two sizes show what each further record costs.
FEWER = (1_000, 3_000)
KINDS = ("float32", "int16", "missing leads")
MIB = 2**20


def run(data: Namespace) -> list[Figure]:
    """Print and return the most that each transformer allocates."""
    figures: list[Figure] = []
    if not Path("/proc/self/status").exists():
        print("memory is watched through /proc, which this system does not have")
        return figures
    source = make_omi_ecgs(n_patients=50, random_state=0).X.astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            path = Path(folder, f"{kind}.npy")
            write_records(path, source, kind)
            size = path.stat().st_size / MIB
            print(f"{N_RECORDS} records of {kind}, {size:.0f} MiB on disk: the most allocated, in MiB")
            for name in ("MedianBeat", "ECGFilter"):
                figures.append(make_figure(f"{name}, {kind}", "MiB", [measure(path, name, N_RECORDS)]))
            few, more = (measure(path, "NeuroKitFeatures", n_records) for n_records in FEWER)
            growth = (more - few) / (FEWER[1] - FEWER[0])
            figures.append(make_figure(f"NeuroKitFeatures, {kind}, {FEWER[1]} records", "MiB", [more]))
            figures.append(make_figure(f"NeuroKitFeatures, {kind}, each further record", "KiB", [1024 * growth]))
            path.unlink()
    return figures


def write_records(path: Path, source: np.ndarray, kind: str) -> None:
    """Write many records, which are the few of `source` over and over."""
    dtype = np.int16 if kind == "int16" else np.float32
    records = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(N_RECORDS, *source.shape[1:]))
    for index in range(N_RECORDS):
        record = source[index % len(source)]
        records[index] = np.round(record * 1000) if kind == "int16" else record
        if kind == "missing leads":
            records[index, index % 12] = np.nan
    records.flush()


def measure(path: Path, name: str, n_records: int) -> float:
    """Return how much more than at its start a new process has allocated at most, in MiB."""
    command = [sys.executable, "-m", "benchmarks.memory", str(path), name, str(n_records)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def watch(path: str, name: str, n_records: int) -> None:
    """Transform, and print the growth of this process's anonymous memory."""
    import omi_estimators

    warnings.simplefilter("ignore")
    X = np.load(path, mmap_mode="r")[:n_records]
    transformer = getattr(omi_estimators, name)()
    # Libraries load with the first record, and are not what grows.
    transformer.fit_transform(X[:2])
    with Watch() as watched:
        transformer.fit_transform(X)
    print(watched.growth)


class Watch:
    """Looks at this process's anonymous memory until it is left; `growth` is then the most above the start, in MiB."""

    def __enter__(self) -> Watch:
        self._start = self._peak = read_allocated()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        return self

    def _poll(self) -> None:
        while not self._done.wait(0.01):
            self._peak = max(self._peak, read_allocated())

    def __exit__(self, *args: object) -> None:
        self._done.set()
        self._thread.join()
        self.growth = (self._peak - self._start) / 1024


def read_allocated() -> int:
    """Return the anonymous memory of this process in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1])


if __name__ == "__main__":
    watch(sys.argv[1], sys.argv[2], int(sys.argv[3]))
