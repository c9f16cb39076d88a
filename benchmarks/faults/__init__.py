"""Kills, damaged files, full disks and odd clocks: what comes of each, against the same work undisturbed.

"right" is the undisturbed result, "wrong" any other that came without a word. An error is named. Linux only.
"""

from __future__ import annotations

import logging
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import numpy as np

from benchmarks.faults._cache import report_cache, report_workers
from benchmarks.faults._fit import report_checkpoint, report_fit
from benchmarks.faults._folds import report_folds
from benchmarks.faults._models import report_models

# Each is given an empty folder and a generator, and prints what came of its faults.
REPORTS = (report_fit, report_checkpoint, report_folds, report_cache, report_workers, report_models)


def run(data: Namespace) -> None:
    """Print what each fault came to."""
    logging.disable(logging.CRITICAL)  # joblib logs each entry that it cannot read, with a traceback
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for report in REPORTS:
        with tempfile.TemporaryDirectory() as folder:
            report(Path(folder), rng)
    logging.disable(logging.NOTSET)
    print(f"  all faults: {(time.perf_counter() - start) / 60:.0f} min")
