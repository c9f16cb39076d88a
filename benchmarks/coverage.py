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

from omi_estimators.metrics import Interval, bootstrap_interval, classification_intervals, roc_auc_interval

N_DATA_SETS = 1000
N_PATIENTS = 350
N_RESAMPLES = 1000
PREVALENCE = 0.2
EFFECT = 1.5
PATIENT_SHARE = 0.8
THRESHOLD = 0.5


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
