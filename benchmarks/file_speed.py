"""Files read per second: `read_ecg` of each format, and `load_ecgs` by one process and two.

WFDB records are those of PTB-XL, beside `wfdb.rdrecord`; XML files those of vendors, beside their bare parsing.
"""

from __future__ import annotations

import itertools
import time
import warnings
from argparse import Namespace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import sierraecg
import wfdb

from benchmarks._figures import Figure, make_figure
from omi_estimators import read_ecg
from omi_estimators.readers import load_ecgs

N_FILES = 60
N_LOADED = 200
REPEATS = 5


def run(data: Namespace) -> list[Figure]:
    """Print and return milliseconds per file and ratios."""
    figures: list[Figure] = []
    if data.ptbxl is not None:
        headers = sorted(Path(data.ptbxl).glob("records500/*/*.hea"))
        figures += compare("WFDB", headers[:N_FILES], lambda path: wfdb.rdrecord(str(path.with_suffix(""))))
        figures += measure_loading(headers[:N_LOADED])
    if data.vendor is not None:
        # MUSE files have no library; beside them stands the mere parsing of their XML.
        for name, bare in (("philips", lambda path: sierraecg.read_file(str(path))), ("muse", ElementTree.parse)):
            files = sorted(Path(data.vendor, name).glob("*.xml"))
            many = list(itertools.islice(itertools.cycle(files), 10))
            figures += compare(f"{name} XML", many, bare)
    if not figures:
        print("  needs --ptbxl or --vendor")
    return figures


def compare(name: str, files: list[Path], bare) -> list[Figure]:
    """Return the time per file of `read_ecg`, and how it stands to the bare library."""
    sides = {"ours": read_ecg, "bare": bare}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for repeat in range(REPEATS + 1):
        for side, read in sides.items():
            start = time.perf_counter()
            for path in files:
                read(path)
            if repeat:
                seconds[side].append((time.perf_counter() - start) / len(files))
    return [
        make_figure(f"{name}: read_ecg", "ms a file", 1e3 * np.array(seconds["ours"])),
        make_figure(f"{name}: read_ecg, beside the bare library", "times as long", np.divide(*seconds.values())),
    ]


def measure_loading(files: list[Path]) -> list[Figure]:
    """Return the time per file of `load_ecgs` by one process, and how much faster two are."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for repeat in range(REPEATS + 1):
            for n_jobs, taken in seconds.items():
                start = time.perf_counter()
                load_ecgs(files, n_jobs=n_jobs)
                if repeat:
                    taken.append((time.perf_counter() - start) / len(files))
    return [
        make_figure("load_ecgs, WFDB, one process", "ms a file", 1e3 * np.array(seconds[1])),
        make_figure("load_ecgs: processes, two against one", "times", np.divide(seconds[1], seconds[2])),
    ]
