"""Pacing spikes: found where a pacemaker is known to be, where spikes were added, and where there should be none."""

from __future__ import annotations

import ast
import csv
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import wfdb

from benchmarks._ludb import read_signal
from omi_estimators.preprocessing import find_r_peaks, remove_pacing_spikes

SAMPLING_RATE = 500
# In mV, of one sample, 80 ms before each R peak; the leads differ as those of the record's own QRS complexes do not.
HEIGHTS = (0.3, 0.5, 1.0, 3.0)
N_WITH_ADDED = 100


def run(data: Namespace) -> None:
    """Print rates on each data set that there is."""
    sources = {"PTB-XL": (data.ptbxl, read_ptbxl), "LUDB": (data.ludb, read_ludb)}
    for title, (folder, read) in sources.items():
        if folder is None:
            print(f"{title} is not there")
            continue
        found = {True: [0, 0], False: [0, 0]}
        plain = []
        for record, is_paced in read(folder):
            found[is_paced][0] += len(remove_pacing_spikes(record, SAMPLING_RATE)[1]) > 0
            found[is_paced][1] += 1
            if not is_paced and len(plain) < N_WITH_ADDED:
                plain.append(record)
        (hits, paced), (alarms, others) = found[True], found[False]
        print(f"{title}: spikes in {hits} of {paced} records of patients with a pacemaker, {alarms} of {others} others")
        for height in HEIGHTS:
            report_added(plain, height)


def report_added(records: list[np.ndarray], height: float) -> None:
    """Print how many added spikes are found, and what is left of them."""
    rng = np.random.default_rng(0)
    hits = total = 0
    left = []
    for record in records:
        peaks = find_r_peaks(record, SAMPLING_RATE)
        places = peaks[peaks > 60] - 40
        paced = record.copy()
        paced[:, places] += height * rng.uniform(0.3, 1.5, size=(len(record), 1)) * rng.choice([-1, 1])
        cleaned, spikes = remove_pacing_spikes(paced, SAMPLING_RATE)
        hits += sum(np.abs(spikes - place).min(initial=SAMPLING_RATE) <= 2 for place in places)
        total += len(places)
        left.append(np.sqrt(np.mean((cleaned - record)[:, places] ** 2)))
    print(
        f"  spikes of {height:g} mV added to {len(records)} records: {hits / total:.1%} of {total} found; "
        f"{1000 * np.median(left):.0f} µV of them left"
    )


def read_ptbxl(folder: str) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield records in millivolts and whether they are annotated as paced."""
    table = pd.read_csv(Path(folder, "ptbxl_database.csv"))
    for path, codes in zip(table.filename_hr, table.scp_codes, strict=True):
        yield wfdb.rdrecord(str(Path(folder, path))).p_signal.T, "PACE" in ast.literal_eval(codes)


def read_ludb(folder: str) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield records in millivolts and whether the patient has a pacemaker."""
    with Path(folder, "ludb.csv").open(newline="") as file:
        rows = [{key: value.strip() for key, value in row.items() if key} for row in csv.DictReader(file)]
    for row in rows:
        stem = Path(folder, "data", row["ID"])
        if stem.with_suffix(".hea").exists():
            yield read_signal(str(stem)), "pacemaker" in row.get("Cardiac pacing", "").lower()
