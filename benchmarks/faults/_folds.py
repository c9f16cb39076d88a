"""Faults on the finished folds of a comparison."""

from __future__ import annotations

import itertools
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

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
from omi_estimators._store import read_file, write_file

N_KILLS = 50
N_FOLDS = 20
SECONDS_AT_ONCE = 2.0


def make_fold(index: int) -> dict[str, np.ndarray | float]:
    """Return a result as a fold leaves it."""
    return {"prob": np.random.default_rng(index).random(200), "fit_time": float(index), "predict_time": 0.5}


def write_folds(folder: Path, n_rounds: int | None = None) -> None:
    """Save folds again and again."""
    for _ in itertools.count() if n_rounds is None else range(n_rounds):
        for index in range(N_FOLDS):
            write_file(folder / f"{index}.fold", make_fold(index), "fold", "The comparison goes on.")


def load_fold(path: Path) -> np.ndarray:
    """Return what the store has, as a flat array; the right fold if it says that it must be fitted again."""
    return flatten(read_file(path, "saved fold", "it is fitted again") or make_fold(int(path.stem)))


def judge_folds(folder: Path) -> Counter[str]:
    """Return how loading each fold ends."""
    return Counter(
        judge(lambda path=folder / f"{index}.fold": load_fold(path), flatten(make_fold(index)))
        for index in range(N_FOLDS)
    )


def flatten(fold: dict[str, np.ndarray | float]) -> np.ndarray:
    """Return all numbers of a result in one array."""
    return np.hstack(list(fold.values()))


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
    path = folder / "0.fold"
    whole, expected = path.read_bytes(), flatten(make_fold(0))
    for kind in ("flipped", "truncated", "zeroed"):
        outcomes = Counter()
        for _ in range(N_DAMAGES):
            path.write_bytes(damage(whole, kind, rng))
            outcomes[judge(lambda: load_fold(path), expected)] += 1
        show(f"a file {kind}", outcomes)
    outcomes = Counter()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1
        path.write_bytes(content)
        outcomes[judge(lambda: load_fold(path), expected)] += 1
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
            outcomes["a warning, and the comparison goes on"] = sum(
                "cannot be written" in str(w.message) for w in caught
            )
            outcomes["wrong"] = N_FOLDS - outcomes.total()
        show(f"{fault} while saving", +outcomes)
    show("the folds saved before, after that", judge_folds(folder))
