"""Faults on the finished folds of a comparison."""

from __future__ import annotations

import itertools
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from omi_estimators.comparison._store import FoldResult, FoldStore

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

N_KILLS = 50
N_FOLDS = 20
SECONDS_AT_ONCE = 2.0


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


def report_folds(folder: Path, rng: np.random.Generator) -> None:
    """Try every fault on the folder of a comparison."""
    print("  folds of a comparison (after each fault all of them are loaded)")
    outcomes: Counter[str] = Counter()
    for _ in range(N_KILLS):
        kill_after(rng.uniform(0, 0.1), write_folds, folder)
        outcomes += judge_folds(folder)
    show(f"killed while saving ({N_KILLS} kills)", outcomes)
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
    expected = np.append(*_parts(make_fold(0)))
    outcomes = Counter()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1
        path.write_bytes(content)
        outcomes[judge(lambda: load_fold(FoldStore(folder), path), expected)] += 1
    show("each byte of a file flipped in turn", outcomes)
    path.write_bytes(whole)
    for clock, seconds in CLOCKS.items():
        set_clock(folder, seconds)
        show(f"changed {clock}", judge_folds(folder))
    for fault, context in (("full disk", full_disk()), ("a read-only folder", read_only(folder))):
        outcomes = Counter()
        with context, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            write_folds(folder, 1)
            outcomes["a warning, and the comparison goes on"] = sum("cannot be saved" in str(w.message) for w in caught)
            outcomes["wrong"] = N_FOLDS - outcomes.total()
        show(f"{fault} while saving", +outcomes)
    show("the folds saved before, after that", judge_folds(folder))
