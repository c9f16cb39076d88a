"""How near to honest raw probabilities are, with the prior correction and without.

A network trained on balanced batches is judged out of fold, by the calibration intercept: the log-odds
that have to be added to its probabilities so that they sum to the number of events. Zero is honest. The
correction mends what balancing did to the prevalence, not what a network does that knows its few training
records by heart; so it is shown for training that stops before that, by early stopping, and for the default.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np
import torch
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import StratifiedGroupKFold

from omi_estimators import ECGFilter, ECGSmartNetClassifier, LeadScaler, MedianBeat
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs
from omi_estimators.metrics import calibration_slope_intercept

SEEDS = (0, 1, 2)
# With the few some forty events to learn from, with the many four times as many.
N_PATIENTS = (400, 1600)
N_FOLDS = 5
RECIPES: dict[str, dict[str, Any]] = {"early stopping": {"early_stopping": True}, "default": {}}


def run(data: Namespace) -> None:
    """Print the intercepts on simulated ECGs and, if `data.ptbxl` names them, on real ones."""
    torch.set_num_threads(1)
    for n_patients in N_PATIENTS:
        measure("simulated OMI, 7.2 %", make_omi_ecgs(n_patients=n_patients, random_state=0))
    if data.ptbxl is not None:
        measure("PTB-XL, MI against normal", load_ptbxl(data.ptbxl, task="mi_vs_norm"))


def measure(title: str, data) -> None:
    """Print both intercepts of every recipe and seed on one data set."""
    beats = LeadScaler().fit_transform(MedianBeat().fit_transform(ECGFilter().fit_transform(data.X)))
    print(f"{title}: {len(data.y)} records, {data.y.mean():.1%} events, width 16", flush=True)
    for name, recipe in RECIPES.items():
        for seed in SEEDS:
            with_it, without_it = (describe(data.y, p) for p in predict_out_of_fold(beats, data, recipe, seed))
            print(f"  {name:14} seed {seed}: corrected {with_it}; uncorrected {without_it}", flush=True)


def predict_out_of_fold(beats: np.ndarray, data, recipe: dict[str, Any], seed: int) -> np.ndarray:
    """Return out-of-fold probabilities with the correction and without, shape (2, n_records)."""
    probabilities = np.empty((2, len(data.y)))
    for train, test in StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0).split(beats, data.y, data.groups):
        classifier = ECGSmartNetClassifier(width=16, n_threads=1, device="cpu", random_state=seed, **recipe)
        classifier.fit(beats[train], data.y[train], groups=data.groups[train])
        for row, corrects in enumerate((True, False)):
            classifier.set_params(correct_prior=corrects)
            probabilities[row, test] = classifier.predict_proba(beats[test])[:, 1]
    return probabilities


def describe(y: np.ndarray, p: np.ndarray) -> str:
    """Return intercept, slope and Brier score as text."""
    line = calibration_slope_intercept(y, p)
    return f"intercept {line.intercept:+.2f}, slope {line.slope:.2f}, Brier {brier_score_loss(y, p):.4f}"
