"""Coefficients of the probability of atrial fibrillation and flutter, from PTB-XL's diagnoses and simulated hearts.

Records with AFIB or AFLT among their statements are ill, those with a pacemaker's rhythm (PACE) are left out. The ill
count eightfold: few records of PTB-XL have either, and a probability above one half hides the P wave. Simulated hearts
of all kinds but the paced are added. Printed are the coefficients for `omi_estimators.features._atrial`, what they
reach on PTB-XL, cross-fitted by patient, on other simulated hearts, and on LUDB, which they are not fitted to; but the
weights were chosen in view of LUDB's figures too.
"""

from __future__ import annotations

import ast
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import wfdb
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks._ludb import SAMPLING_RATE, find_records, read_classes, read_signal
from benchmarks._sick_hearts import KINDS, make_hearts
from omi_estimators.features._atrial import atrial_evidence
from omi_estimators.features._delineate import delineate
from omi_estimators.preprocessing import NoBeatError, average_beats, filter_ecg, remove_pacing_spikes

WEIGHT_OF_ILL = 8.0
# Of the sum of squared weights, in units of one standard deviation of the evidence.
PENALTY = 1.0
# Where the search begins: intercept and weights of fibrillation, intercept and weight of flutter; which are weights.
START = np.array([-4.0, 1.0, -1.0, 1.0, -4.0, 1.0])
WEIGHTS = [1, 2, 3, 5]
N_HEARTS = 60


def run(data: Namespace) -> None:
    """Print coefficients and what they reach."""
    if data.ptbxl is None or data.ludb is None:
        print("PTB-XL and LUDB are needed: give their folders with --ptbxl DIR --ludb DIR")
        return
    evidence, ill, patients = read_ptbxl(Path(data.ptbxl))
    simulated, sick, _ = simulate(seed=1000)

    def fit_with_simulated(chosen: np.ndarray | slice) -> np.ndarray:
        weight = np.append(np.where(ill[chosen], WEIGHT_OF_ILL, 1.0), np.ones(len(sick)))
        return fit(np.vstack([evidence[chosen], simulated]), np.append(ill[chosen], sick), weight)

    coefficients = fit_with_simulated(slice(None))
    print(
        f"{len(ill)} records of PTB-XL, {ill.sum()} with fibrillation or flutter; {len(sick)} simulated, {sick.sum()}"
    )
    print(f"coefficients: {coefficients.round(2).tolist()}")
    out_of_fold = np.empty(len(ill))
    for train, test in StratifiedGroupKFold(10, shuffle=True, random_state=0).split(evidence, ill, patients):
        out_of_fold[test] = probability(fit_with_simulated(train), evidence[test])
    describe("PTB-XL, cross-fitted", ill, out_of_fold)
    others, sick, kinds = simulate(seed=2000)
    found = probability(coefficients, others)
    describe("other simulated hearts", sick, found)
    print("  " + ", ".join(f"{kind} {(found[kinds == kind] > 0.5).sum()}" for kind in KINDS) + f" of {N_HEARTS} each")
    stems = find_records(data.ludb)
    of_ludb = np.array([measure(read_signal(stem)) for stem in stems])
    sick = np.array([bool({"fibrillation", "flutter"} & read_classes(stem)) for stem in stems])
    describe("LUDB, not fitted to", sick, probability(coefficients, of_ludb))


def simulate(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return evidence, which hearts are ill, and the kind of each; without paced ones."""
    rows = []
    for number, kind in enumerate(KINDS):
        for signal, _ in make_hearts(kind, N_HEARTS, seed + number) if kind != "paced" else ():
            evidence = measure(signal)
            if np.isfinite(evidence).all():
                rows.append((evidence, kind in ("fibrillation", "flutter"), kind))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def read_ptbxl(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return evidence, which records are ill, and the patient of each; without paced records and those of no use."""
    table = pd.read_csv(folder / "ptbxl_database.csv")
    rows = []
    for record in table.itertuples():
        codes = ast.literal_eval(record.scp_codes)
        if "PACE" in codes:
            continue
        try:
            evidence = measure(wfdb.rdrecord(str(folder / record.filename_hr)).p_signal.T)
        except NoBeatError:
            continue
        if np.isfinite(evidence).all():
            rows.append((evidence, bool({"AFIB", "AFLT"} & set(codes)), record.patient_id))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def measure(signal: np.ndarray) -> np.ndarray:
    """Return the evidence of a record."""
    clean = filter_ecg(remove_pacing_spikes(signal, SAMPLING_RATE)[0], SAMPLING_RATE)
    average = average_beats(clean, SAMPLING_RATE, 0.55, 0.7)
    rr = np.diff(average.peaks) / SAMPLING_RATE
    present = np.ptp(average.waveform, axis=1) > 0
    leads = average.waveform[present]
    points = delineate(leads, SAMPLING_RATE, r_index=average.r_index, rr=float(np.quantile(rr, 0.2)))
    return atrial_evidence(clean[present], leads, points, average, SAMPLING_RATE)


def fit(evidence: np.ndarray, ill: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the coefficients of largest penalised likelihood."""
    centre, scale = evidence.mean(axis=0), evidence.std(axis=0)
    standard = (evidence - centre) / scale

    def loss(coefficients: np.ndarray) -> float:
        right = np.where(ill, chance := probability(coefficients, standard), 1 - chance)
        return -np.sum(weight * np.log(np.maximum(right, 1e-9))) + PENALTY * np.sum(coefficients[WEIGHTS] ** 2)

    found = minimize(loss, START, method="L-BFGS-B").x
    found[WEIGHTS] /= scale
    found[0] -= found[1:4] @ centre[:3]
    found[4] -= found[5] * centre[3]
    return found


def probability(coefficients: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """Return the probability of fibrillation or flutter, as the package computes it."""
    fibrillation = coefficients[0] + evidence[:, :3] @ coefficients[1:4]
    flutter = coefficients[4] + coefficients[5] * evidence[:, 3]
    return 1 - 1 / ((1 + np.exp(fibrillation)) * (1 + np.exp(flutter)))


def describe(name: str, ill: np.ndarray, found: np.ndarray) -> None:
    """Print AUROC, sensitivity and false alarms."""
    above = found > 0.5
    print(
        f"{name}: AUROC {roc_auc_score(ill, found):.3f}, {above[ill].sum()} of {ill.sum()} found, "
        f"{above[~ill].sum()} of {(~ill).sum()} false"
    )
