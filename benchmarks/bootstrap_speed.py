"""2,000 bootstrap resamples of 20,000 records, against a loop that calls scikit-learn for each resample."""

from __future__ import annotations

import time
from argparse import Namespace

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from benchmarks._figures import Figure, make_figure
from omi_estimators.metrics import bootstrap_interval

N_RECORDS = 20_000
N_RESAMPLES = 2_000
N_LOOPED = 20
REPEATS = 3
LOOPED = {"roc_auc": roc_auc_score, "average_precision": average_precision_score, "brier_score": brier_score_loss}
ALONE = ("calibration_slope", "calibration_intercept", "expected_calibration_error")


def run(data: Namespace) -> list[Figure]:
    """Print and return seconds, and how many times as long the loop would take."""
    figures = []
    rng = np.random.default_rng(0)
    groups = rng.integers(14_000, size=N_RECORDS)
    y = (rng.random(14_000) < 0.07)[groups].astype(int)
    prob = 1 / (1 + np.exp(-(rng.normal(-2.6, 1.0, size=N_RECORDS) + 1.5 * y)))
    # Outside the time taken: the loop is not to look slow for how it finds its patients.
    records_of = [np.flatnonzero(groups == patient) for patient in np.unique(groups)]
    for metric in (*LOOPED, *ALONE):
        ours, loop = [], []
        for _ in range(REPEATS):
            start = time.perf_counter()
            bootstrap_interval(y, prob, metric, groups=groups, n_resamples=N_RESAMPLES, random_state=0)
            ours.append(time.perf_counter() - start)
            if metric in LOOPED:
                start = time.perf_counter()
                resample(LOOPED[metric], y, prob, records_of, rng)
                loop.append((time.perf_counter() - start) * N_RESAMPLES / N_LOOPED)
        figures.append(make_figure(f"bootstrap of {metric}", "s", ours))
        if loop:
            figures.append(
                make_figure(f"bootstrap of {metric}: against the loop", "times", np.divide(loop, ours), ">= 30")
            )
    return figures


def resample(metric, y: np.ndarray, prob: np.ndarray, records_of: list[np.ndarray], rng: np.random.Generator) -> None:
    """Bootstrap by patient as a script does, for a few resamples."""
    for _ in range(N_LOOPED):
        drawn = rng.integers(len(records_of), size=len(records_of))
        index = np.concatenate([records_of[patient] for patient in drawn])
        metric(y[index], prob[index])
