"""Which faults and drifts a profile of the training records finds, and how often it is alarmed by nothing.

Profiles are fitted on half of the patients and judge the other half, untouched and spoilt, in ten splits.
 Spoilt records are rounded to microvolts, as recorders do, so that nothing but the fault gives them away. The
measures were chosen with PTB-XL's records in view; those of LUDB and of the simulator took no part in that.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks.quality import read_ludb
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs
from omi_estimators.leads import LIMB_LEADS, LIMB_WEIGHTS
from omi_estimators.preprocessing import Measured, Usable, filter_ecg, resample_ecg
from omi_estimators.typicality import ECGProfile

RATE = 500
N_SPLITS = 10
HUM = 0.1  # mV, amplitude
OLDER = 15  # years


def run(data: Namespace) -> None:
    """Print what is found on PTB-XL and LUDB, as far as their folders are given, and on simulated records."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        if data.ptbxl is not None:
            ptbxl = load_ptbxl(data.ptbxl, task="mi_vs_rest", sampling_rate=RATE)
            table = pd.read_csv(Path(data.ptbxl, "ptbxl_database.csv"), index_col=0)
            ptbxl.device = table.loc[ptbxl.record_ids, "device"].str.strip().to_numpy(dtype=object)
            judge_source("PTB-XL", ptbxl, folder)
            if data.ludb is not None:
                show_other_hospital(ptbxl, read_ludb(Path(data.ludb, "data"))[0], folder)
        else:
            print("for real records give the folder of PTB-XL with --ptbxl DIR, and of LUDB with --ludb DIR")
        ecgs = make_omi_ecgs(n_patients=250, random_state=0)
        ecgs.device = None
        judge_source("simulated", ecgs, folder)


def exchange(one: int, other: int) -> Callable[..., np.ndarray]:
    """Return what exchanges two leads of a record."""

    def spoil(record: np.ndarray, _: Any) -> np.ndarray:
        order = np.arange(12)
        order[[one, other]] = other, one
        return record[order]

    return spoil


def exchange_chest(record: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a record with two chest leads exchanged."""
    one, other = rng.choice(np.arange(6, 12), 2, replace=False)
    return exchange(int(one), int(other))(record, rng)


def invert(leads: range) -> Callable[..., np.ndarray]:
    """Return what inverts one of some leads."""

    def spoil(record: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        inverted = record.copy()
        inverted[rng.choice(leads)] *= -1
        return inverted

    return spoil


def exchange_arms(record: np.ndarray, _: Any) -> np.ndarray:
    """Return a record with the electrodes of the arms exchanged."""
    exchanged = record.copy()
    exchanged[:6] = LIMB_WEIGHTS @ np.stack([-record[0], record[2]])
    return exchanged


def misread(true_rate: float) -> Callable[..., np.ndarray]:
    """Return what reads records of ten seconds at another rate as if they had 500 Hz."""

    def spoil(record: np.ndarray, _: Any) -> np.ndarray:
        n_samples = record.shape[1]
        there = resample_ecg(record, RATE, true_rate)[:, :n_samples]
        return np.pad(there, ((0, 0), (0, n_samples - there.shape[1])), constant_values=np.nan)

    return spoil


def hum(line: float) -> Callable[..., np.ndarray]:
    """Return what adds hum to all leads, as electrodes do: Einthoven's law holds for it."""

    def spoil(record: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        times = np.arange(record.shape[1]) / RATE
        added = HUM * np.sin(2 * np.pi * (line * times + rng.random((len(record), 1))))
        added[: len(LIMB_LEADS)] = LIMB_WEIGHTS @ added[:2]
        return record + added

    return spoil


FAULTS: dict[str, Callable[..., np.ndarray]] = {
    "microvolts as millivolts": lambda record, _: 1000 * record,
    "volts as millivolts": lambda record, _: record / 1000,
    "250 Hz read as 500": misread(250),
    "360 Hz read as 500": misread(360),
    "1000 Hz read as 500": misread(1000),
    "RA and LA exchanged": exchange_arms,
    "V1 and V2 exchanged": exchange(6, 7),
    "V1 and V3 exchanged": exchange(6, 8),
    "V1 and V6 exchanged": exchange(6, 11),
    "V2 and V3 exchanged": exchange(7, 8),
    "V3 and V4 exchanged": exchange(8, 9),
    "V4 and V5 exchanged": exchange(9, 10),
    "V5 and V6 exchanged": exchange(10, 11),
    "any two of V1 to V6 exchanged": exchange_chest,
    "a limb lead inverted": invert(range(6)),
    "a chest lead inverted": invert(range(6, 12)),
    "50 Hz hum of 0.1 mV": hum(50),
    "60 Hz hum of 0.1 mV": hum(60),
    "40 Hz low-pass": lambda record, _: filter_ecg(record, RATE, highpass=None, lowpass=40, notch=None),
    "100 Hz source": lambda record, _: resample_ecg(resample_ecg(record, RATE, 100), 100, RATE)[:, : record.shape[1]],
}


def spoil_all(X: np.ndarray, fault: Callable[..., np.ndarray]) -> np.ndarray:
    """Return records with a fault, rounded to microvolts (of what was millivolts)."""
    rng = np.random.default_rng(0)
    spoilt = np.stack([fault(record.astype(np.float64), rng) for record in X])
    return spoilt if fault is FAULTS["volts as millivolts"] else np.round(1000 * spoilt) / 1000


def judge_source(name: str, ecgs: Any, folder: str) -> None:
    """Print what is found on one source of records."""
    # As spoilt records are rounded, the untouched ones are.
    X, groups = np.round(1000 * np.asarray(ecgs.X, dtype=np.float64)) / 1000, ecgs.groups
    of_half = [halves(groups, seed) for seed in range(N_SPLITS)]
    sample = ECGProfile(RATE, memory=folder)
    start = time.perf_counter()
    untouched = sample.fit(X, groups=groups).measure(X)
    sample.memory = None  # nothing spoilt is measured twice
    print(f"\n{name}: {len(X)} records, {len(np.unique(groups))} patients, {N_SPLITS} random halves", flush=True)
    print(f"{1000 * (time.perf_counter() - start) / len(X):.1f} ms a record for measuring and fitting, one process")
    profiles = [
        ECGProfile(RATE, memory=folder).fit(X[train], groups=groups[train], **metadata(ecgs, train))
        for train, _ in of_half
    ]
    before = [profile.typicality(part(untouched, test)) for profile, (_, test) in zip(profiles, of_half, strict=True)]
    alarms = np.array([np.mean(values < 0.05) for values in before])
    print(
        f"untouched records flagged: {show(alarms, '.1%')}; not judged: {np.isnan(np.concatenate(before)).mean():.2%}"
    )
    print(f"{'fault':31} {'AUROC, mean [range]':26} {'flagged':8} not judged")
    for fault, spoil in FAULTS.items():
        show_fault(fault, sample.measure(spoil_all(X, spoil)), profiles, of_half, before)
    if name == "PTB-XL":
        show_slow(X, groups, of_half[:5], folder)
    show_batches(ecgs, untouched, profiles, of_half)


def halves(groups: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the records of a random half of the patients, and those of the others."""
    patients = np.random.default_rng(seed).permutation(np.unique(groups))
    chosen = np.isin(groups, patients[: len(patients) // 2])
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def metadata(ecgs: Any, rows: np.ndarray) -> dict[str, Any]:
    """Return age, sex and device of records, as far as known."""
    known = {"age": ecgs.age, "sex": ecgs.sex, "device": ecgs.device}
    return {name: np.asarray(values)[rows] for name, values in known.items() if values is not None}


def part(measured: Measured, rows: np.ndarray) -> Measured:
    """Return some of the records that were measured."""
    return Measured(measured.values[rows], Usable(measured.usable.mask[rows], measured.usable.reasons[rows]))


def show(values: np.ndarray, form: str) -> str:
    """Return the mean and the range of figures."""
    return f"{np.mean(values):{form}} [{np.min(values):{form}}, {np.max(values):{form}}]"


def show_fault(fault: str, measured: Measured, profiles: list, of_half: list, before: list) -> None:
    """Print how well records with a fault are told from untouched ones."""
    aurocs, flagged, unjudged = [], [], []
    for profile, (_, test), untouched in zip(profiles, of_half, before, strict=True):
        found = profile.typicality(part(measured, test))
        unjudged.append(np.isnan(found).mean())
        found, usual = found[np.isfinite(found)], untouched[np.isfinite(untouched)]
        labels = np.repeat([0, 1], [len(usual), len(found)])
        aurocs.append(roc_auc_score(labels, -np.concatenate([usual, found])))
        flagged.append(np.mean(found < 0.05))
    print(f"{fault:31} {show(np.array(aurocs), '.3f'):26} {np.mean(flagged):<8.1%} {np.mean(unjudged):.1%}", flush=True)


def show_slow(X: np.ndarray, groups: np.ndarray, of_half: list, folder: str) -> None:
    """Print whether 500 Hz read as 250 is found by profiles of 250 Hz."""
    slow = resample_ecg(X, RATE, 250)
    fast = X[:, :, : slow.shape[2]]
    profiles, before = [], []
    for train, test in of_half:
        profiles.append(ECGProfile(250, memory=folder).fit(slow[train], groups=groups[train]))
        before.append(profiles[-1].typicality(slow[test]))
    show_fault("500 Hz read as 250", profiles[0].measure(fast), profiles, of_half, before)


def show_batches(ecgs: Any, untouched: Measured, profiles: list, of_half: list) -> None:
    """Print how often drift is found in batches of the other patients."""
    some = {"untouched": [], f"ages of {OLDER} years more": [], "patients above the median age": []}
    some |= {"AT-6 alone, device unsaid": []} if ecgs.device is not None else {}
    named: dict[str, list] = {name: [] for name in some}
    for profile, (_, test) in zip(profiles, of_half, strict=True):
        ages = ecgs.age[test]
        batches = {name: SimpleNamespace(rows=test, given=metadata(ecgs, test)) for name in list(some)[:2]}
        batches[f"ages of {OLDER} years more"].given["age"] = ages + OLDER
        older = test[ages > np.nanmedian(ages)]
        batches["patients above the median age"] = SimpleNamespace(rows=older, given=metadata(ecgs, older))
        if ecgs.device is not None:
            others = test[np.array([str(device).startswith("AT-6") for device in ecgs.device[test]])]
            batches["AT-6 alone, device unsaid"] = SimpleNamespace(rows=others, given={})
        for name, batch in batches.items():
            table = profile.find_drift(part(untouched, batch.rows), groups=ecgs.groups[batch.rows], **batch.given)
            some[name].append(table["drifted"].any())
            named[name] += table.index[table["drifted"]].tolist()
    print(f"{'batch':31} {'drift found':12} what")
    for name, found in some.items():
        counts = pd.Series(named[name], dtype=object).value_counts()
        what = ", ".join(f"{feature} {count / len(found):.0%}" for feature, count in counts.head(6).items())
        print(f"{name:31} {np.mean(found):<12.0%} {what}", flush=True)


def show_other_hospital(ptbxl: Any, X: np.ndarray, folder: str) -> None:
    """Print what profiles of PTB-XL say of LUDB."""
    profile = ECGProfile(RATE, memory=folder).fit(np.asarray(ptbxl.X), groups=ptbxl.groups)
    measured = profile.measure(X)
    described = profile.describe(measured)
    drift = profile.find_drift(measured)
    print(
        f"\nLUDB by a profile of PTB-XL: {1 - described['typical'].mean():.0%} of {len(X)} records atypical; drifted:"
    )
    print(drift[drift["drifted"]].sort_values("statistic", ascending=False)["meaning"].head(8).to_string())
