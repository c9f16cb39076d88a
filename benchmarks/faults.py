"""Kills, damaged files and full disks: what comes of each, against the same work undisturbed.

"right" is the undisturbed result, "wrong" any other that came without a word. An error is named. Linux only.
"""

from __future__ import annotations

import functools
import itertools
import logging
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from joblib.memory import _FUNCTION_HASHES
from skorch.callbacks import Callback

from omi_estimators import ECGSmartNetClassifier, MedianBeat, NeuroKitFeatures
from omi_estimators.comparison._store import FoldResult, FoldStore
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.preprocessing._cache import CheckedMemory

N_KILLS = 10
N_KILLS_OF_STORE = 50
N_KILLS_OF_CACHE = 15
N_KILLS_OF_WORKERS = 6
N_DAMAGES = 90
N_FOLDS = 20
SECONDS_AT_ONCE = 2.0
# Smaller than any file that is written here.
FULL_DISK_BYTES = 300
# Children have all modules loaded, so that a kill meets work and not imports.
FORK = multiprocessing.get_context("fork")


def run(data: Namespace) -> None:
    """Print what each fault came to."""
    logging.disable(logging.CRITICAL)  # joblib logs each entry that it cannot read, with a traceback
    rng = np.random.default_rng(0)
    for report in (report_fit, report_store, report_cache, report_workers):
        with tempfile.TemporaryDirectory() as folder:
            report(Path(folder), rng)
    logging.disable(logging.NOTSET)


def judge(work: Callable[[], Any], expected: Any) -> str:
    """Return in words how work ended."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = work()
        except Exception as error:  # the kind of error is what is measured
            return type(error).__name__
    # What the records themselves are warned about comes without faults too.
    caught = [item for item in caught if "damaged" in str(item.message) or "cache to disk" in str(item.message)]
    right = np.array_equal(result, expected, equal_nan=True)
    return ("right" if right else "wrong") + (", with a warning" if caught else "")


def show(fault: str, outcomes: Counter[str]) -> None:
    """Print a fault, how often it was injected, and its outcomes."""
    print(f"  {fault:50} {outcomes.total():4}: {', '.join(f'{n} {name}' for name, n in sorted(outcomes.items()))}")


def damage(content: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """Return a file's content with one bit flipped, cut off, or 64 bytes zero, at a random place."""
    place = int(rng.integers(len(content)))
    if kind == "truncated":
        return content[:place]
    spoilt = bytearray(content)
    if kind == "flipped":
        spoilt[place] ^= 1 << int(rng.integers(8))
    else:
        spoilt[place : place + 64] = bytes(len(spoilt[place : place + 64]))
    return bytes(spoilt)


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow beyond a few bytes; writing on is an OSError, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_DISK_BYTES, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def kill_after(seconds: float, target: Callable[..., None], *args: Any) -> None:
    """Start a process and end it by SIGKILL."""
    process = FORK.Process(target=target, args=args)
    process.start()
    time.sleep(seconds)
    process.kill()
    process.join()


# The fit of a network -------------------------------------------------------------------------------------------------


class Announce(Callback):
    """Prints how many epochs are done when training begins."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Print and flush: the parent process waits for it."""
        print(len(net.history), flush=True)


def fit_and_save(folder: Path, checkpoint_dir: Path | None) -> None:
    """Fit a network with all that has a state: dropout, augmentation, schedule, early stopping."""
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3 // 2
    X = rng.normal(size=(300, 12, 200)) + 0.1 * y[:, np.newaxis, np.newaxis]
    classifier = ECGSmartNetClassifier(
        width=8,
        dropout=0.2,
        max_epochs=60,
        early_stopping=True,
        n_iter_no_change=60,
        n_threads=1,
        random_state=0,
        callbacks=[Announce()],
        checkpoint_dir=checkpoint_dir,
    )
    classifier.fit(X, y, groups=np.arange(300) // 2)
    np.save(folder / "prob.npy", classifier.predict_proba(X))


def report_fit(folder: Path, rng: np.random.Generator) -> None:
    """Kill a fit at random moments until it has been killed ten times, then let it end."""
    checkpoints = folder / "checkpoints"

    def start(*args: str, out: Path = folder) -> tuple[subprocess.Popen[str], int]:
        command = [sys.executable, "-m", "benchmarks.faults", str(out), *args]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    process, _ = start()
    began = time.perf_counter()
    process.wait()
    seconds = time.perf_counter() - began
    expected = np.load(folder / "prob.npy")
    (folder / "prob.npy").unlink()
    resumed = []
    while True:
        process, done = start(str(checkpoints))
        resumed.append(done)
        if len(resumed) <= N_KILLS:
            time.sleep(rng.uniform(0, 1.5 * seconds / N_KILLS))
            process.kill()
        if process.wait() == 0:
            break
    difference = np.abs(np.load(folder / "prob.npy") - expected).max()
    print(f"  a fit of {seconds:.0f} s killed {len(resumed) - 1} times; it went on after epoch {resumed[1:]} of 60")
    print(f"  largest difference of predict_proba to the undisturbed fit: {difference:.3g}")
    outs = [folder / "first", folder / "second"]
    for out in outs:
        out.mkdir()
    for process, _ in [start(str(checkpoints), out=out) for out in outs]:
        process.wait()
    differences = [np.abs(np.load(out / "prob.npy") - expected).max() for out in outs]
    print(
        f"  two processes with the same fit and folder at once: differences {differences[0]:.3g}, {differences[1]:.3g}"
    )
    print(f"  files left: {sorted(path.suffix for path in checkpoints.iterdir())}")


# The finished folds of a comparison -----------------------------------------------------------------------------------


def make_fold(index: int) -> FoldResult:
    """Return a result as a fold leaves it."""
    return FoldResult(np.random.default_rng(index).random(200), float(index), 0.5)


def write_folds(folder: Path, n_rounds: int | None = None) -> None:
    """Save folds again and again."""
    store = FoldStore(folder)
    for _ in itertools.count() if n_rounds is None else range(n_rounds):
        for index in range(N_FOLDS):
            store.save(folder / f"{index}.npz", make_fold(index))


def load_fold(store: FoldStore, path: Path) -> np.ndarray:
    """Return what the store has, as a flat array; the right fold if it says that it must be fitted again."""
    found = store.load(path, 200) or make_fold(int(path.stem))
    return np.append(found.prob, found[1:])


def judge_folds(folder: Path) -> Counter[str]:
    """Return how loading each fold ends."""
    store = FoldStore(folder)
    return Counter(
        judge(lambda path=folder / f"{index}.npz": load_fold(store, path), np.append(*_parts(make_fold(index))))
        for index in range(N_FOLDS)
    )


def _parts(result: FoldResult) -> tuple[np.ndarray, tuple[float, float]]:
    return result.prob, result[1:]


def report_store(folder: Path, rng: np.random.Generator) -> None:
    """Try every fault on the folder of a comparison."""
    print("  folds of a comparison (after each fault all of them are loaded)")
    outcomes: Counter[str] = Counter()
    for _ in range(N_KILLS_OF_STORE):
        kill_after(rng.uniform(0, 0.1), write_folds, folder)
        outcomes += judge_folds(folder)
    show(f"killed while saving ({N_KILLS_OF_STORE} kills)", outcomes)
    writers = [FORK.Process(target=write_folds, args=(folder,)) for _ in range(2)]
    for writer in writers:
        writer.start()
    outcomes, until = Counter(), time.perf_counter() + SECONDS_AT_ONCE
    while time.perf_counter() < until:
        outcomes += judge_folds(folder)
    for writer in writers:
        writer.kill()
        writer.join()
    show("two processes saving, one loading", outcomes)
    write_folds(folder, 1)
    path = folder / "0.npz"
    whole = path.read_bytes()
    for kind in ("flipped", "truncated", "zeroed"):
        outcomes = Counter()
        for _ in range(N_DAMAGES):
            path.write_bytes(damage(whole, kind, rng))
            expected = np.append(*_parts(make_fold(0)))
            outcomes[judge(lambda: load_fold(FoldStore(folder), path), expected)] += 1
        show(f"a file {kind}", outcomes)
    path.write_bytes(whole)
    outcomes = Counter()
    with full_disk(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write_folds(folder, 1)
        outcomes["a warning, and the comparison goes on"] = sum("cannot be saved" in str(w.message) for w in caught)
        outcomes["wrong"] = N_FOLDS - outcomes.total()
    show("full disk while saving", +outcomes)


# The cache of beats and features --------------------------------------------------------------------------------------


def measure(name: str, X: np.ndarray, memory: Any, n_jobs: int | None = None) -> np.ndarray:
    """Return beats or features, flat."""
    transformer = {"beats": MedianBeat, "features": NeuroKitFeatures}[name](memory=memory, n_jobs=n_jobs)
    return transformer.fit(X).transform(X).ravel()


def report_cache(folder: Path, rng: np.random.Generator) -> None:
    """Try every fault on the cache, joblib's as it is and with a digest beside each result."""
    X = make_omi_ecgs(n_patients=12, random_state=0).X[:12].astype(np.float64)
    memories: dict[str, Callable[[Path], Any]] = {"joblib's cache": str, "CheckedMemory": CheckedMemory}
    numbers = itertools.count()
    for (kind_of_cache, make), name in itertools.product(memories.items(), ("beats", "features")):
        print(f"  {name} in {kind_of_cache}")
        start = time.perf_counter()
        expected = measure(name, X, None)
        seconds = time.perf_counter() - start
        outcomes: Counter[str] = Counter()
        for _ in range(N_KILLS_OF_CACHE):
            memory = make(folder / str(next(numbers)))
            kill_after(rng.uniform(0, 1.2 * seconds), measure, name, X, memory)
            outcomes[judge(functools.partial(measure, name, X, memory), expected)] += 1
        show("killed while measuring", outcomes)
        outcomes = Counter()
        for _ in range(N_KILLS_OF_CACHE):
            memory = make(folder / str(next(numbers)))
            other = FORK.Process(target=measure, args=(name, X, memory))
            other.start()
            outcomes[judge(functools.partial(measure, name, X, memory), expected)] += 1
            other.join()
        show("two processes on one new folder", outcomes)
        report_damages(folder / str(next(numbers)), make, name, X[:1], rng)
        with full_disk():
            outcome = judge(functools.partial(measure, name, X, make(folder / str(next(numbers)))), expected)
        show("full disk", Counter([outcome]))


def report_damages(
    folder: Path, make: Callable[[Path], Any], name: str, X: np.ndarray, rng: np.random.Generator
) -> None:
    """Damage each file of the cache of one record, and measure again."""
    expected = measure(name, X, make(folder))
    for file in ("output.pkl", "metadata.json", "func_code.py"):
        outcomes: Counter[str] = Counter()
        for index in range(N_DAMAGES):
            # joblib looks at func_code.py once in each process; this makes it a new one.
            _FUNCTION_HASHES.clear()
            measure(name, X, make(folder))
            (path,) = folder.rglob(file)
            whole = path.read_bytes()
            path.write_bytes(damage(whole, ("flipped", "truncated", "zeroed")[index % 3], rng))
            _FUNCTION_HASHES.clear()
            outcomes[judge(lambda: measure(name, X, make(folder)), expected)] += 1
            if path.exists():
                path.write_bytes(whole)
        show(f"{file} flipped, truncated, zeroed", outcomes)


def report_workers(folder: Path, rng: np.random.Generator) -> None:
    """Kill a worker of joblib while it measures; then measure again in the same process."""
    print("  workers of joblib")
    X = make_omi_ecgs(n_patients=200, random_state=0).X[:200].astype(np.float64)
    expected = measure("beats", X, None)
    first, then = Counter[str](), Counter[str]()
    for _ in range(N_KILLS_OF_WORKERS):
        measure("beats", X[:4], None, n_jobs=2)  # starts them
        killer = threading.Timer(rng.uniform(0.05, 0.8), kill_one_worker)
        killer.start()
        first[judge(lambda: measure("beats", X, CheckedMemory(folder), n_jobs=2), expected)] += 1
        killer.join()
        then[judge(lambda: measure("beats", X, CheckedMemory(folder), n_jobs=2), expected)] += 1
    show("one killed while measuring", first)
    show("the same call after that", then)


def kill_one_worker() -> None:
    """End a worker process of joblib by SIGKILL."""
    workers = [child for child in multiprocessing.active_children() if "Loky" in type(child).__name__]
    if workers and workers[0].pid is not None:
        os.kill(workers[0].pid, 9)


if __name__ == "__main__":
    fit_and_save(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
