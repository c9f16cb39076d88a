"""Faults on the file of a saved model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

from benchmarks.faults._tools import (
    CLOCKS,
    N_DAMAGES,
    damage,
    full_disk,
    judge,
    kill_after,
    read_only,
    set_clock,
    show,
)
from omi_estimators import ECGSmartNetClassifier, LeadScaler, load, save

N_KILLS = 50
N_PLACES = 4000


def make_models() -> dict[str, tuple[Any, np.ndarray]]:
    """Return fitted models, and records for each."""
    rng = np.random.default_rng(0)
    beats, y = rng.normal(size=(20, 3, 40)), np.arange(20) % 2
    net = ECGSmartNetClassifier(width=2, n_members=1, blocks=(1,), max_epochs=1, n_threads=1, random_state=0)
    forest = RandomForestClassifier(n_estimators=3, random_state=0)
    return {
        "network": (make_pipeline(LeadScaler(), net).fit(beats, y), beats),
        "forest": (forest.fit(beats[:, 0], y), beats[:, 0]),
    }


def save_for_ever(model: Any, path: Path) -> None:
    """Save a model over itself, again and again."""
    while True:
        save(model, path)


def report_models(folder: Path, rng: np.random.Generator) -> None:
    """Try every fault on a file of each model."""
    for name, (model, X) in make_models().items():
        print(f"  the file of a {name}")
        path, expected = folder / f"{name}.omi", model.predict_proba(X)
        save(model, path)
        whole = path.read_bytes()

        def loaded(path: Path = path, X: np.ndarray = X) -> np.ndarray:
            return load(path).predict_proba(X)

        for kind in ("flipped", "truncated", "zeroed"):
            outcomes: Counter[str] = Counter()
            for _ in range(N_DAMAGES):
                path.write_bytes(damage(whole, kind, rng))
                outcomes[judge(loaded, expected)] += 1
            show(kind, outcomes)
        outcomes = Counter()
        for place in range(0, len(whole), max(1, len(whole) // N_PLACES)):
            content = bytearray(whole)
            content[place] ^= 1
            path.write_bytes(content)
            outcomes[judge(loaded, expected)] += 1
        show("a byte flipped all along the file", outcomes)
        path.write_bytes(whole)
        for clock, seconds in CLOCKS.items():
            set_clock(folder, seconds)
            show(f"changed {clock}", Counter([judge(loaded, expected)]))
        for fault, context in (("full disk", full_disk()), ("a read-only folder", read_only(folder))):
            with context:
                outcome = judge(lambda model=model, path=path: save(model, path), None)
            show(f"{fault} while saving", Counter([outcome]))
            show("the file saved before, after that", Counter([judge(loaded, expected)]))
        outcomes = Counter()
        for _ in range(N_KILLS):
            kill_after(rng.uniform(0.05, 1.0), save_for_ever, model, path)
            outcomes[judge(loaded, expected)] += 1
        show("killed while saving", outcomes)
        left = [file for file in folder.iterdir() if file.suffix == ".part"]
        print(f"  of these kills, {len(left)} left an unfinished file beside it")
        for file in left:
            file.unlink()
