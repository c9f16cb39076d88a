"""`omi-estimators predict` beside `predict_proba` of the same records as an array: what files, quality and lines cost.

Both run in turn in one process on one thread, in seconds of the processor; what is quoted is the ratio of medians.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks._figures import Figure, make_figure
from omi_estimators import load, load_ecgs, make_forest_pipeline, save
from omi_estimators.cli import main
from omi_estimators.datasets import make_omi_ecgs

N_RECORDS = 64
REPEATS = 5
_PLAIN = {"sampling_rate": 500, "unit": "mV"}


def run(data: Namespace) -> list[Figure]:
    """Print and return times per record and ratios."""
    ecgs = make_omi_ecgs(n_patients=N_RECORDS, records_per_patient=1, prevalence=0.4, random_state=0)
    forest = make_forest_pipeline(500, n_estimators=100, random_state=0).fit(ecgs.X, ecgs.y)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "forest.omi")
        save(forest, place)
        files = [Path(folder, f"{i}.npy") for i in range(len(ecgs.X))]
        for path, record in zip(files, ecgs.X, strict=True):
            np.save(path, record)
        X, _ = load_ecgs(files, 500, read_params=_PLAIN)
        sides: dict[str, Callable[[], object]] = {
            "predict_proba of an array": lambda: forest.predict_proba(X),
            "loading the model": lambda: load(place),
            "omi-estimators predict": lambda: _predict(place, files),
        }
        times = {name: [] for name in sides}
        for repeat in range(REPEATS + 1):
            for name, side in sides.items():
                start = time.process_time()
                side()
                # The first time is that of imports.
                times[name] += [time.process_time() - start] if repeat else []
    figures = [make_figure(name, "ms a record", 1e3 * np.array(found) / len(X)) for name, found in times.items()]
    array, loading, command = (np.median(found) for found in times.values())
    figures.append(make_figure("command over array", "times", [command / array]))
    figures.append(make_figure("command without loading over array", "times", [(command - loading) / array]))
    return figures


def _predict(model: Path, files: list[Path]) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = main(["predict", str(model), *map(str, files), "--file-rate", "500", "--unit", "mV", "--jobs", "1"])
    assert status == 0
