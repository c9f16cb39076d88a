"""The published training procedure against the defaults: same folds, three seeds, paired differences.

Each recipe trains ECG-SMART-NET on the same patient-grouped folds. The difference of AUROC and of average
precision is taken on probabilities averaged over folds, seed by seed, and its 95 % interval by a bootstrap
of patients over the mean difference of all seeds. Narrow networks (OMI_BENCH_WIDTH, default 16) keep it
within half an hour on two cores; set it to 64 for the published width.
"""

from __future__ import annotations

import os

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from omi_estimators import ECGFilter, ECGSmartNetClassifier, LeadScaler, MedianBeat
from omi_estimators.classifiers import PAPER_RECIPE
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs

WIDTH = int(os.environ.get("OMI_BENCH_WIDTH", "16"))
SEEDS = (0, 1, 2)
N_FOLDS = 5
N_RESAMPLES = 1000
RECIPES = {
    "paper": PAPER_RECIPE,
    "default": {},
    "default, batches of 128": {"batch_size": 128},
    "default, oversampling": {"balance": "oversample"},
    "default, early stopping": {"early_stopping": True},
}
METRICS = {"AUROC": roc_auc_score, "AP": average_precision_score}


def run(ptbxl: str | None = None) -> None:
    """Print both recipes' scores and the paired differences."""
    if ptbxl is not None:
        compare("PTB-XL, MI against normal", load_ptbxl(ptbxl, task="mi_vs_norm"))
    compare("simulated OMI, 7.2 %", make_omi_ecgs(n_patients=800, random_state=0))


def compare(title: str, data) -> None:
    """Train every recipe on one data set, and print."""
    beats = LeadScaler().fit_transform(MedianBeat().fit_transform(ECGFilter().fit_transform(data.X)))
    print(f"{title}: {len(data.y)} records, {data.y.sum()} events, width {WIDTH}", flush=True)
    scores = {}
    for name, recipe in RECIPES.items():
        scores[name] = np.array([predict_out_of_fold(recipe, seed, beats, data) for seed in SEEDS])
        shown = "; ".join(
            f"{metric} " + ", ".join(f"{function(data.y, p):.3f}" for p in scores[name])
            for metric, function in METRICS.items()
        )
        print(f"  {name:26} {shown}", flush=True)
    for name in list(RECIPES)[1:]:
        for metric, function in METRICS.items():
            mean, low, high = paired_difference(function, scores[name], scores["paper"], data)
            print(f"  {name} - paper: {metric} {mean:+.3f} [{low:+.3f}, {high:+.3f}]", flush=True)


def predict_out_of_fold(recipe: dict, seed: int, beats: np.ndarray, data) -> np.ndarray:
    """Return the out-of-fold probabilities of one recipe and seed; the folds are the same for all."""
    probabilities = np.empty(len(data.y))
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(beats, data.y, data.groups):
        classifier = ECGSmartNetClassifier(width=WIDTH, random_state=seed, **recipe)
        classifier.fit(beats[train], data.y[train], groups=data.groups[train])
        probabilities[test] = classifier.predict_proba(beats[test])[:, 1]
    return probabilities


def paired_difference(metric, scores: np.ndarray, reference: np.ndarray, data) -> tuple[float, float, float]:
    """Return the mean difference over seeds and its 95 % interval over resampled patients."""

    def difference(index: np.ndarray) -> float:
        y = data.y[index]
        return np.mean([metric(y, a[index]) - metric(y, b[index]) for a, b in zip(scores, reference, strict=True)])

    rng = np.random.default_rng(0)
    patients, members = np.unique(data.groups, return_inverse=True)
    records_of = [np.flatnonzero(members == patient) for patient in range(len(patients))]
    resampled = []
    while len(resampled) < N_RESAMPLES:
        drawn = np.concatenate([records_of[patient] for patient in rng.integers(0, len(patients), len(patients))])
        if len(np.unique(data.y[drawn])) == 2:
            resampled.append(difference(drawn))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return difference(np.arange(len(data.y))), low, high
