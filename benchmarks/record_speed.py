"""From a record to its beat and to its features, against a loop of NeuroKit2 over the leads.

All sides run in turn in one process on one thread; what is quoted is the ratio of medians per record. Parallel
work is timed on warm processes, which a long job has.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import neurokit2
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks._figures import Figure, make_figure
from omi_estimators import ECGFilter, MedianBeat, NeuroKitFeatures
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs
from omi_estimators.features import delineate, measure_record
from omi_estimators.preprocessing import average_beats, filter_ecg, median_beat

SAMPLING_RATE = 500
N_RECORDS = 60
# One takes a second or more.
N_NAIVE = 3
N_PARALLEL = 200
REPEATS = 5


def run(data: Namespace) -> list[Figure]:
    """Print and return times per record and ratios."""
    ecgs = make_omi_ecgs(n_patients=N_PARALLEL, random_state=0) if data.ptbxl is None else load_ptbxl(data.ptbxl)
    X = ecgs.X[:N_PARALLEL]
    print(f"{'simulated ECGs' if data.ptbxl is None else 'PTB-XL'}, 12 leads, 10 s, {SAMPLING_RATE} Hz, one thread")
    with threadpool_limits(1):
        times = time_records(X[:N_RECORDS])
        naive = time_each(run_naively, X[:N_NAIVE])
    figures = [make_figure(f"{name}", "ms a record", 1e3 * np.array(seconds)) for name, seconds in times.items()]
    figures.append(make_figure("12 x ecg_process", "ms a record", 1e3 * np.array(naive)))
    for name, wanted in (("record to beat", ">= 100"), ("record to all features", ">= 40")):
        faster = statistics.median(naive) / np.array(times[name])
        figures.append(make_figure(f"{name}: against 12 x ecg_process", "times", faster, wanted))
    return figures + measure_bandwidth(times, X) + measure_parallel(X)


def measure_bandwidth(times: dict[str, list[float]], X: np.ndarray) -> list[Figure]:
    """Return how fast memory is copied here, and what share of that the filter reaches: once through, once out."""
    source = np.ones(2**25)
    copy = np.empty_like(source)
    seconds = time_each(lambda _: np.copyto(copy, source), range(REPEATS + 1))[1:]
    speed = 2 * source.nbytes / 1e9 / np.array(seconds)
    moved = 2 * 8 * X[0].size / 1e9
    share = 100 * moved / np.array(times["record to filtered"]) / np.median(speed)
    return [
        make_figure("copying memory, one thread", "GB/s", speed),
        make_figure("record to filtered: share of that", "%", share),
    ]


def time_records(X: np.ndarray) -> dict[str, list[float]]:
    """Return the median time of each way from a record to something, in seconds, for each repetition."""
    filtered = [filter_ecg(record, SAMPLING_RATE) for record in X]
    averages = [average_beats(record, SAMPLING_RATE, 0.45, 0.7) for record in filtered]

    def to_beat(record: np.ndarray) -> None:
        median_beat(filter_ecg(record, SAMPLING_RATE), SAMPLING_RATE)

    sides: dict[str, tuple[Callable, list]] = {
        "record to filtered": (lambda record: filter_ecg(record, SAMPLING_RATE), list(X)),
        "filtered to beat": (lambda record: median_beat(record, SAMPLING_RATE), filtered),
        "record to beat": (to_beat, list(X)),
        "beat to fiducials": (
            lambda average: delineate(average.waveform, SAMPLING_RATE, r_index=average.r_index),
            averages,
        ),
        "record to all features": (lambda record: measure_record(record, SAMPLING_RATE), list(X)),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(REPEATS):
        for name, (function, items) in sides.items():
            times[name].append(statistics.median(time_each(function, items)))
    return times


def run_naively(record: np.ndarray) -> None:
    """Process each lead by itself, as a script would."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for lead in record:
            try:
                neurokit2.ecg_process(lead, sampling_rate=SAMPLING_RATE)
            except (ValueError, IndexError, TypeError, ZeroDivisionError):
                # What NeuroKit2 raises where a lead is beyond it; the time was spent all the same.
                continue


def time_each(function: Callable, items) -> list[float]:
    """Return the seconds that a function takes for each item; the first one, which loads libraries, untimed."""
    function(items[0])
    seconds = []
    for item in items:
        start = time.perf_counter()
        function(item)
        seconds.append(time.perf_counter() - start)
    return seconds


def measure_parallel(X: np.ndarray) -> list[Figure]:
    """Return how much faster two processes are than one, with records in memory and in a memory map."""
    figures = []
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        for name, transformer, signals in (
            ("beats", MedianBeat(), ECGFilter(sampling_rate=SAMPLING_RATE).fit_transform(X)),
            ("features", NeuroKitFeatures(), X),
        ):
            path = Path(folder, f"{name}.npy")
            np.save(path, signals)
            sides = {
                "one": (1, signals),
                "two": (2, signals),
                "two, memory map": (2, np.load(path, mmap_mode="r")),
            }
            seconds: dict[str, list[float]] = {side: [] for side in sides}
            for repeat in range(REPEATS + 1):
                for side, (n_jobs, of_side) in sides.items():
                    start = time.perf_counter()
                    transformer.set_params(n_jobs=n_jobs).fit_transform(of_side)
                    # The first time processes start and load libraries.
                    if repeat:
                        seconds[side].append(time.perf_counter() - start)
            # Each against the run beside it: a shared machine drifts.
            for side in ("two", "two, memory map"):
                faster = np.divide(seconds["one"], seconds[side])
                figures.append(make_figure(f"{name}: processes, {side} against one", "times", faster))
    return figures
