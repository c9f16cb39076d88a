"""How often 95 % intervals hold the truth, where patients have several records.

Simulated data sets of about 350 patients with 1.4 records each on average; the records of a patient share their
label, and most of the noise of their scores. The true AUROC is known from the normal distributions that scores
come from, the true sensitivity at a fixed threshold likewise. An honest interval covers 95 %; one that takes
records for independent is too narrow.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from omi_estimators.metrics import (
    Interval,
    bootstrap_interval,
    classification_intervals,
    count_tiers,
    roc_auc_interval,
)

N_DATA_SETS = 1000
N_PATIENTS = 350
N_RESAMPLES = 1000
PREVALENCE = 0.2
EFFECT = 1.5
PATIENT_SHARE = 0.8
THRESHOLD = 0.5
SHARES = (0.5, 0.8, 0.9, 0.95)
CORRELATIONS = (0.1, 0.3, 0.5, 0.7)
FEW_PATIENTS = (15, 30, 100)
RECORDS_EACH = 10
N_SHARES = 3000


class Sample(NamedTuple):
    """One data set."""

    y: np.ndarray
    score: np.ndarray
    groups: np.ndarray


def run(data: Namespace) -> None:
    """Print the coverage of each interval."""
    area, sensitivity = float(ndtr(EFFECT / math.sqrt(2))), float(ndtr(EFFECT - THRESHOLD))
    methods: dict[str, tuple[float, Callable[[Sample, int], Interval]]] = {
        "AUROC, bootstrap of patients": (area, lambda s, seed: auroc(s, seed, s.groups)),
        "AUROC, bootstrap of patients, BCa": (area, lambda s, seed: auroc(s, seed, s.groups, "bca")),
        "AUROC, bootstrap of records": (area, lambda s, seed: auroc(s, seed, None)),
        "AUROC, DeLong, records taken for independent": (area, lambda s, seed: roc_auc_interval(s.y, s.score)),
        "sensitivity, Wilson by patient": (sensitivity, lambda s, seed: sens(s, s.groups)),
        "sensitivity, Wilson, records taken for independent": (sensitivity, lambda s, seed: sens(s, None)),
    }
    samples = [draw(np.random.default_rng(seed)) for seed in range(N_DATA_SETS)]
    n_records = np.mean([len(sample.y) / N_PATIENTS for sample in samples])
    print(f"{N_DATA_SETS} data sets of {N_PATIENTS} patients, {n_records:.2f} records each; nominal 95 %")
    for name, (truth, method) in methods.items():
        intervals = [method(sample, seed) for seed, sample in enumerate(samples)]
        covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
        width = np.mean([interval.high - interval.low for interval in intervals])
        error = math.sqrt(covered * (1 - covered) / N_DATA_SETS)
        print(f"{name:52} covers {covered:.1%} (standard error {error:.1%}), mean width {width:.3f}", flush=True)

    print_shares()


def print_shares() -> None:
    """Print the coverage of intervals of shares, for each true share over the correlations within patients."""
    print(
        f"\nshares of {N_SHARES} data sets, {RECORDS_EACH} records per patient; coverage at correlations {CORRELATIONS}"
    )
    for n_patients in FEW_PATIENTS:
        groups = np.repeat(np.arange(n_patients), RECORDS_EACH)
        for share in SHARES:
            row = []
            for correlation in CORRELATIONS:
                rng = np.random.default_rng(0)
                row.append(np.mean([holds(rng, share, correlation, groups) for _ in range(N_SHARES)]))
            outside = [covered for covered in row if abs(covered - 0.95) > 0.015]
            remark = "" if not outside else "  (below 93.5 %)" if min(outside) < 0.95 else "  (above 96.5 %)"
            text = " ".join(f"{covered:.1%}" for covered in row)
            print(f"{n_patients:4} patients, true share {share:.2f}: {text}{remark}", flush=True)


def holds(rng: np.random.Generator, share: float, correlation: float, groups: np.ndarray) -> bool:
    """Return whether the interval of a simulated tier's share of events holds the true one."""
    total = 1 / correlation - 1
    of_patient = rng.beta(share * total, (1 - share) * total, size=groups.max() + 1)
    y = rng.random(len(groups)) < of_patient[groups]
    if y.all() or not y.any():
        # Both classes must occur: a record of another patient, in another tier, has the other.
        y, groups = np.append(y, not y[0]), np.append(groups, groups.max() + 1)
    tiers = np.where(np.arange(len(y)) < RECORDS_EACH * len(of_patient), "rule-in", "low")
    found = count_tiers(y, tiers, groups)["rule-in"]
    return found.low <= share <= found.high


def draw(rng: np.random.Generator) -> Sample:
    """Return a data set with patients of several records."""
    groups = np.repeat(np.arange(N_PATIENTS), 1 + rng.poisson(0.4, size=N_PATIENTS))
    y = (rng.random(N_PATIENTS) < PREVALENCE)[groups].astype(int)
    of_patient = rng.normal(scale=math.sqrt(PATIENT_SHARE), size=N_PATIENTS)[groups]
    return Sample(y, EFFECT * y + of_patient + rng.normal(scale=math.sqrt(1 - PATIENT_SHARE), size=len(y)), groups)


def auroc(sample: Sample, seed: int, groups: np.ndarray | None, method: str = "percentile") -> Interval:
    """Return the interval of the AUROC."""
    return bootstrap_interval(
        sample.y, sample.score, "roc_auc", groups=groups, method=method, n_resamples=N_RESAMPLES, random_state=seed
    )


def sens(sample: Sample, groups: np.ndarray | None) -> Interval:
    """Return the interval of the sensitivity."""
    return classification_intervals(
        sample.y, sample.score, THRESHOLD, groups=groups, n_resamples=1, random_state=0
    ).sensitivity
