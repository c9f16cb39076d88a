"""Faults while a network is fitted."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from skorch.callbacks import Callback

from benchmarks.faults._tools import CLOCKS, N_DAMAGES, damage, full_disk, judge, read_only, set_clock, show
from omi_estimators import ECGSmartNetClassifier

N_KILLS = 10
N_REGIONS = 64
TINY = {"width": 2, "n_members": 1, "blocks": (1, 1), "max_epochs": 4, "n_threads": 1, "random_state": 0}


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
        n_members=1,
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


class PowerCut(Callback):
    """Ends training in the third epoch, as a lost process would; what is on disk stays."""

    # Of the class, as what a callback itself holds makes another fit of it.
    comes = False

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Raise once two epochs are done."""
        if self.comes and len(net.history) == 3:
            type(self).comes = False
            raise RuntimeError("the power went")


def fit_tiny(checkpoint_dir: Path | None) -> np.ndarray:
    """Return the probabilities of a quick fit."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = rng.normal(size=(40, 3, 40)) + 0.5 * y[:, np.newaxis, np.newaxis]
    classifier = ECGSmartNetClassifier(**TINY, callbacks=[PowerCut()], checkpoint_dir=checkpoint_dir)
    return classifier.fit(X, y).predict_proba(X)


def report_checkpoint(folder: Path, rng: np.random.Generator) -> None:
    """Damage the checkpoint of a fit that was cut, and fit again; fill the disk, and protect the folder."""
    print("  the checkpoint of a fit")
    expected = fit_tiny(None)
    PowerCut.comes = True
    with suppress(RuntimeError):
        fit_tiny(folder)
    (path,) = folder.iterdir()
    whole = path.read_bytes()

    def fit_again(content: bytes = whole, seconds: float | None = None) -> np.ndarray:
        path.write_bytes(content)
        if seconds is not None:
            set_clock(folder, seconds)
        return fit_tiny(folder)

    bounds = np.linspace(0, len(whole), N_REGIONS + 1).astype(int)
    outcomes: Counter[str] = Counter()
    for first, last in itertools.pairwise(bounds):
        content = bytearray(whole)
        content[int(rng.integers(first, last))] ^= 1 << int(rng.integers(8))
        outcomes[judge(lambda content=bytes(content): fit_again(content), expected)] += 1
    show(f"a bit flipped in each of {N_REGIONS} parts of the file", outcomes)
    for kind in ("truncated", "zeroed"):
        outcomes = Counter()
        for _ in range(N_DAMAGES):
            content = damage(whole, kind, rng)
            # Zeros over zeros are no damage.
            if content != whole:
                outcomes[judge(lambda content=content: fit_again(content), expected)] += 1
        show(f"the file {kind}", outcomes)
    outcomes = Counter(
        judge(lambda seconds=seconds: fit_again(seconds=seconds), expected) for seconds in CLOCKS.values()
    )
    show(f"changed {' and '.join(CLOCKS)}", outcomes)
    for fault, context in (("full disk", full_disk()), ("a read-only folder", read_only(folder))):
        with context:
            outcome = judge(lambda: fit_tiny(folder), expected)
        show(fault, Counter([outcome]))
