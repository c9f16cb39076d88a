"""How often a wrong sampling rate is noticed, and a right one doubted, on real records.

Real records (500 Hz) are resampled to 250 and 100 Hz, given as they are (false alarms) and as if they had another rate.
The medians and limits of `likely_sampling_rate` were chosen on these records, and the simulator's: the shares are those
of the records it was made on, and only new ones would be a clean test.
"""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path

import numpy as np

from benchmarks._ludb import find_records, read_signal
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs
from omi_estimators.preprocessing import (
    NoBeatError,
    average_beats,
    filter_ecg,
    likely_sampling_rate,
    rate_evidence,
    resample_ecg,
)
from omi_estimators.readers import load_ecgs

RATES = (500, 250, 100)
FACTORS = (1.25, 1.28, 1.4, 1.5, 2, 2.5, 4, 5)
SIZES = (1, 2, 5, 10, 25, 50)
N_BATCHES = 1000
# Records that are given at wrong rates; more take minutes.
N_WRONG = 100


def run(data: Namespace) -> None:
    """Print false alarms, detections and named rates for each set of records that is given."""
    sets = {"simulator": make_omi_ecgs(n_patients=100, random_state=0).X}
    if data.ptbxl is not None:
        sets["PTB-XL"] = load_ptbxl(data.ptbxl, task="mi_vs_rest").X
    if data.ludb is not None:
        sets["LUDB"] = np.stack([read_signal(stem) for stem in find_records(data.ludb)])
    if data.vendor is not None:
        files = sorted(Path(data.vendor).rglob("*.xml"))
        sets["vendor"] = load_ecgs(files, sampling_rate=RATES[0])[0]
    rng = np.random.default_rng(0)
    for name, X in sets.items():
        for rate in RATES:
            records = [resample_ecg(record, RATES[0], rate) for record in X]
            right = measure(records, rate)
            found = [share_of_alarms(right, rate, size, rng) for size in SIZES if size <= len(X)]
            shown = ", ".join(f"{size}: {share:.2%}" for size, share in zip(SIZES, found, strict=False))
            whole = likely_sampling_rate(right, rate)
            print(
                f"{name} at {rate} Hz: false alarms in batches of {shown}; in all {len(X)} records: {whole}", flush=True
            )
            if len(X) < SIZES[-1]:
                continue
            for factor in [1 / factor for factor in FACTORS[::-1]] + list(FACTORS):
                given = rate * factor
                wrong = measure(records[:N_WRONG], given)
                found = [share_of_alarms(wrong, given, size, rng, rate) for size in SIZES]
                shown = ", ".join(f"{size}: {share:.1%}" for size, share in zip(SIZES, found, strict=True))
                print(
                    f"  given as {given:6.1f} Hz ({factor:4.2f}): noticed, and its side, in batches of {shown}", end=""
                )
                print(f"; named {likely_sampling_rate(wrong, given)}", flush=True)
    show_cost(sets["simulator"][:50])


def measure(records: list[np.ndarray], sampling_rate: float) -> np.ndarray:
    """Return what each record tells of its rate, as `MedianBeat` sees it behind `ECGFilter`."""
    evidence = []
    for record in records:
        filtered = filter_ecg(np.asarray(record, dtype=np.float64), sampling_rate)
        try:
            average = average_beats(filtered, sampling_rate, 0.3, 0.5)
        except NoBeatError:
            average = None
        evidence.append(rate_evidence(filtered, sampling_rate, average))
    return np.array(evidence)


def share_of_alarms(
    evidence: np.ndarray, given: float, size: int, rng: np.random.Generator, true: float | None = None
) -> float:
    """Return the share of random batches with an alarm; with a true rate, of those that name one on its side."""
    batches = np.arange(len(evidence))[:, np.newaxis]
    if size > 1:
        batches = np.array([rng.choice(len(evidence), size, replace=False) for _ in range(N_BATCHES)])
    named = [likely_sampling_rate(evidence[batch], given) for batch in batches]
    return float(np.mean([rate is not None and (true is None or (rate > given) == (true > given)) for rate in named]))


def show_cost(X: np.ndarray) -> None:
    """Print the time that the evidence of a record takes."""
    filtered = [filter_ecg(record.astype(np.float64), RATES[0]) for record in X]
    averages = [average_beats(record, RATES[0], 0.3, 0.5) for record in filtered]
    start = time.perf_counter()
    for record, average in zip(filtered, averages, strict=True):
        rate_evidence(record, RATES[0], average)
    print(f"evidence: {1000 * (time.perf_counter() - start) / len(X):.2f} ms a record of 12 x 5000")
