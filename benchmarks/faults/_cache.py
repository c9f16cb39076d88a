"""Faults on the cache of beats and features, and on joblib's processes."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from joblib.memory import _FUNCTION_HASHES

from benchmarks.faults._tools import (
    CLOCKS,
    FORK,
    N_DAMAGES,
    damage,
    full_disk,
    judge,
    kill_after,
    read_only,
    set_clock,
    show,
)
from omi_estimators import MedianBeat, NeuroKitFeatures
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.preprocessing import median_beat

N_KILLS = 15
N_KILLS_OF_WORKERS = 6


def measure(name: str, X: np.ndarray, memory: Any, n_jobs: int | None = None) -> np.ndarray:
    """Return beats or features, flat."""
    transformer = {"beats": MedianBeat, "features": NeuroKitFeatures}[name](memory=memory, n_jobs=n_jobs)
    return transformer.fit(X).transform(X).ravel()


def measure_by_joblib(X: np.ndarray, folder: Path) -> np.ndarray:
    """Return beats, flat, from joblib's cache as it is."""
    cached = joblib.Memory(folder, verbose=0).cache(median_beat)
    return np.concatenate([cached(record, 500).ravel() for record in X])


def report_cache(folder: Path, rng: np.random.Generator) -> None:
    """Try every fault on the cache; damage joblib's own too, to see what the digest is for."""
    X = make_omi_ecgs(n_patients=12, random_state=0).X[:12].astype(np.float64)
    numbers = itertools.count()

    def new() -> Path:
        return folder / str(next(numbers))

    print("  beats in joblib's cache, as it is")
    files = ("output.pkl", "metadata.json", "func_code.py")
    report_damages(new(), lambda place: measure_by_joblib(X[:1], place), rng, files)
    for name in ("beats", "features"):
        print(f"  {name} in the cache")
        start = time.perf_counter()
        expected = measure(name, X, None)
        seconds = time.perf_counter() - start
        outcomes: Counter[str] = Counter()
        for _ in range(N_KILLS):
            memory = new()
            kill_after(rng.uniform(0, 1.2 * seconds), measure, name, X, memory)
            outcomes[judge(functools.partial(measure, name, X, memory), expected)] += 1
        show("killed while measuring", outcomes)
        outcomes = Counter()
        for _ in range(N_KILLS):
            memory = new()
            other = FORK.Process(target=measure, args=(name, X, memory))
            other.start()
            outcomes[judge(functools.partial(measure, name, X, memory), expected)] += 1
            other.join()
        show("two processes on one new folder", outcomes)
        report_damages(new(), lambda place, name=name: measure(name, X[:1], place), rng)
        outcomes, memory = Counter(), new()
        measure(name, X, memory)
        for when in CLOCKS.values():
            set_clock(memory, when)
            outcomes[judge(functools.partial(measure, name, X, memory), expected)] += 1
        show(f"changed {' and '.join(CLOCKS)}", outcomes)
        with full_disk():
            outcome = judge(functools.partial(measure, name, X, new()), expected)
        show("full disk", Counter([outcome]))
        with read_only(folder):
            outcome = judge(functools.partial(measure, name, X, new()), expected)
        show("a folder that cannot be made", Counter([outcome]))
        memory = new()
        measure(name, X[:6], memory)
        (of_function,) = {path.parent for path in memory.rglob("*.kept")}
        with read_only(of_function):
            outcome = judge(functools.partial(measure, name, X, memory), expected)
        show("a folder that becomes read-only", Counter([outcome]))


def report_damages(
    folder: Path, work: Callable[[Path], np.ndarray], rng: np.random.Generator, files: tuple[str, ...] = ("*.kept",)
) -> None:
    """Damage each file of the cache of one record, and measure again."""
    expected = work(folder)
    for file in files:
        outcomes: Counter[str] = Counter()
        for index in range(N_DAMAGES):
            # joblib looks at func_code.py once in each process; this makes it a new one.
            _FUNCTION_HASHES.clear()
            work(folder)
            (path,) = folder.rglob(file)
            whole = path.read_bytes()
            path.write_bytes(damage(whole, ("flipped", "truncated", "zeroed")[index % 3], rng))
            _FUNCTION_HASHES.clear()
            outcomes[judge(lambda: work(folder), expected)] += 1
            if path.exists():
                path.write_bytes(whole)
        show(f"{file} flipped, truncated, zeroed", outcomes)


def report_workers(folder: Path, rng: np.random.Generator) -> None:
    """Kill a worker of joblib while it measures; then measure again in the same process."""
    print("  workers of joblib")
    X = make_omi_ecgs(n_patients=200, random_state=0).X[:200].astype(np.float64)
    expected = measure("beats", X, None)
    first, then = Counter[str](), Counter[str]()
    for index in range(N_KILLS_OF_WORKERS):
        measure("beats", X[:4], None, n_jobs=2)  # starts them
        again = functools.partial(measure, "beats", X, folder / str(index), n_jobs=2)
        killer = threading.Timer(rng.uniform(0.05, 0.5), kill_one_worker)
        killer.start()
        first[judge(again, expected)] += 1
        killer.join()
        then[judge(again, expected)] += 1
    show("one killed while measuring", first)
    show("the same call after that", then)


def kill_one_worker() -> None:
    """End a worker process of joblib by SIGKILL."""
    workers = [child for child in multiprocessing.active_children() if "Loky" in type(child).__name__]
    if workers and workers[0].pid is not None:
        os.kill(workers[0].pid, 9)
