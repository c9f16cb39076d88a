"""How near to honest raw probabilities are, with the prior correction and without.

A network trained on balanced batches is judged out of fold, by the calibration intercept: the log-odds
that have to be added to its probabilities so that they sum to the number of events. Zero is honest.
"""

from __future__ import annotations

from argparse import Namespace

import numpy as np
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import StratifiedGroupKFold

from omi_estimators import ECGFilter, ECGSmartNetClassifier, LeadScaler, MedianBeat
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs
from omi_estimators.metrics import calibration_slope_intercept


def run(data: Namespace) -> None:
    """Print the intercepts on simulated ECGs and, if `data.ptbxl` names them, on real ones."""
    measure("simulated OMI, 7.2 %", make_omi_ecgs(n_patients=800, prevalence=0.072, random_state=0))
    if data.ptbxl is not None:
        measure("PTB-XL, MI against normal", load_ptbxl(data.ptbxl, task="mi_vs_norm"))


def measure(title: str, data) -> None:
    """Print both intercepts of one data set."""
    beats = LeadScaler().fit_transform(MedianBeat().fit_transform(ECGFilter().fit_transform(data.X)))
    classifier = ECGSmartNetClassifier(width=16, random_state=0)
    probabilities = {True: np.empty(len(data.y)), False: np.empty(len(data.y))}
    for train, test in StratifiedGroupKFold(3, shuffle=True, random_state=0).split(beats, data.y, data.groups):
        classifier.fit(beats[train], data.y[train], groups=data.groups[train])
        for corrects, of_fold in probabilities.items():
            of_fold[test] = classifier.set_params(correct_prior=corrects).predict_proba(beats[test])[:, 1]
    for corrects, name in ((True, "with"), (False, "without")):
        p = probabilities[corrects]
        line = calibration_slope_intercept(data.y, p)
        print(
            f"{title}, {len(data.y)} records, {data.y.mean():.1%} events, {name} the correction: mean probability "
            f"{p.mean():.3f}, intercept {line.intercept:+.2f}, slope {line.slope:.2f}, "
            f"Brier {brier_score_loss(data.y, p):.4f}",
            flush=True,
        )
