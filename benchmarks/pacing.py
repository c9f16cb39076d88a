"""Pacing spikes: found where a pacemaker is known to be, where spikes were added, and where there should be none."""

from __future__ import annotations

import ast
import csv
from argparse import Namespace
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import wfdb
from scipy.stats import binomtest

from benchmarks._ludb import read_signal
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.leads import derive_limb_leads
from omi_estimators.preprocessing import find_r_peaks, remove_pacing_spikes, resample_ecg

SAMPLING_RATE = 500
RATES = (250, 500, 1000)
# In mV, of the highest lead as recorded; and in samples, as a recorder's filter spreads a pulse of 0.5 to 2 ms.
HEIGHTS = (0.3, 1.0, 3.0, 10.0)
SHAPES = {"one sample": (1.0,), "two": (1.0, 1.0), "spread over three": (0.3, 1.0, 0.3)}
# Before the R peak, in s.
PLACES = {"ventricular": (0.07,), "atrial": (0.2,), "both": (0.06, 0.2)}
N_WITH_ADDED, N_SIMULATED = 100, 200
# The least share of records with spikes in which they are found, and the most of others; 95 % intervals.
WANTED, CONFIDENCE = ">= 95 %, of others <= 0.5 %", 0.95


def run(data: Namespace) -> None:
    """Print how often spikes are found in each data set that there is."""
    print(f"Records in which spikes are found (wanted: {WANTED}), with {100 * CONFIDENCE:.0f} % intervals")
    sources = {"PTB-XL": (data.ptbxl, read_ptbxl), "LUDB": (data.ludb, read_ludb)}
    for title, (folder, read) in sources.items():
        if folder is None:
            print(f"{title} is not there")
            continue
        records = list(read(folder))
        found = {True: [], False: []}
        for record, is_paced in records:
            found[is_paced].append(len(remove_pacing_spikes(record, SAMPLING_RATE)[1]) > 0)
        print(f"{title}: pacemaker known {describe(found[True])}, others {describe(found[False])}")
        plain = [record for record, is_paced in records if not is_paced]
        report_added(plain[:: max(1, len(plain) // N_WITH_ADDED)])
    report_simulated()


def describe(found: list[bool]) -> str:
    """Return a share with its interval."""
    interval = binomtest(sum(found), len(found)).proportion_ci(CONFIDENCE, method="wilson")
    share = np.mean(found)
    return f"{sum(found)} of {len(found)}: {100 * share:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def report_added(records: list[np.ndarray]) -> None:
    """Print in how many records added spikes are found, by rate, height, width and place, and false alarms by rate."""
    rng = np.random.default_rng(0)
    for rate in RATES:
        resampled = [resample_ecg(record, SAMPLING_RATE, rate) for record in records]
        alarms = [len(remove_pacing_spikes(2.5 * record, rate)[1]) > 0 for record in resampled]
        print(f"  {rate} Hz: without spikes, made 2.5 times as high {describe(alarms)}")
        beats = [find_r_peaks(record, rate) for record in resampled]
        for height in HEIGHTS:
            for (name, shape), (chamber, delays) in product(SHAPES.items(), PLACES.items()):
                found, left = [], []
                for record, peaks in zip(resampled, beats, strict=True):
                    paced = add_spikes(record, peaks, delays, height * np.array(shape), rate, rng)
                    cleaned, spikes = remove_pacing_spikes(paced, rate)
                    found.append(len(spikes) > 0)
                    left.append(
                        1000 * np.abs(np.median(np.abs(cleaned - record)[:, spikes])) if len(spikes) else np.nan
                    )
                print(
                    f"    {height:g} mV, {name}, {chamber}: {describe(found)}, {np.nanmedian(left):.0f} µV left of them"
                )


def add_spikes(
    record: np.ndarray,
    peaks: np.ndarray,
    delays: tuple[float, ...],
    shape: np.ndarray,
    rate: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return a record with spikes before its R peaks, of a height in each lead that is drawn once for each chamber."""
    paced = record.copy()
    for delay in delays:
        weights = derive_weights(rng)
        starts = peaks - np.round((delay + rng.normal(0.0, 0.002, len(peaks))) * rate).astype(int)
        for start in starts[(starts > 0) & (starts + len(shape) <= record.shape[1])]:
            paced[:, start : start + len(shape)] += np.outer(weights, shape)
    return paced


def derive_weights(rng: np.random.Generator) -> np.ndarray:
    """Return heights in the twelve leads, the largest of them 1, that obey Einthoven's and Goldberger's laws."""
    leads = np.full((1, 12, 1), np.nan)
    leads[0, [0, 1, *range(6, 12)], 0] = rng.standard_normal(8)
    weights = derive_limb_leads(leads)[0, :, 0]
    return weights / np.abs(weights).max()


def report_simulated() -> None:
    """Print in how many simulated records spikes are found."""
    for rate, pacing in product(RATES, (None, *PLACES)):
        chamber = "dual" if pacing == "both" else pacing
        ecgs = make_omi_ecgs(N_SIMULATED, records_per_patient=1, sampling_rate=rate, pacing=chamber, random_state=0)
        found = [len(remove_pacing_spikes(record, rate)[1]) > 0 for record in ecgs.X]
        print(f"simulated, {rate} Hz, {pacing or 'no'} pacing: {describe(found)}")


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
