"""How near to honest the networks' probabilities are as they come: one network, and the default's several members.

Networks are trained on balanced batches, and judged out of fold by the calibration intercept, the log-odds that have to
be added to their probabilities so that they sum to the number of events (0 is honest), and by the slope (below 1 is
overconfident). The correction mends what balancing did to the prevalence; only members that have not seen a record can
tell how sure they may be of it. Nothing but the number of members, a width of 16 and the seed is set.
"""

from __future__ import annotations

from argparse import Namespace

import numpy as np
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from omi_estimators import (
    ECGFilter,
    ECGSmartNetClassifier,
    LeadScaler,
    MedianBeat,
    ResNet18Classifier,
    TemporalResNet18Classifier,
)
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs
from omi_estimators.metrics import calibration_slope_intercept

NETWORKS = (ECGSmartNetClassifier, TemporalResNet18Classifier, ResNet18Classifier)
# With the few some forty events to learn from, with the many four times as many.
N_PATIENTS = (400, 1600)
N_FOLDS = 5
N_MEMBERS = (1, 5)


def run(data: Namespace) -> None:
    """Print the figures on simulated ECGs and, if `data.ptbxl` names them, on real ones."""
    if data.ptbxl is not None:
        measure("PTB-XL, MI against normal", load_ptbxl(data.ptbxl, task="mi_vs_norm"))
    for n_patients in N_PATIENTS:
        measure("simulated OMI, 7.2 %", make_omi_ecgs(n_patients=n_patients, random_state=0))


def measure(title: str, data) -> None:
    """Print the figures of every network and number of members on one data set."""
    rate = data.sampling_rate
    beats = MedianBeat(sampling_rate=rate).fit_transform(ECGFilter(sampling_rate=rate).fit_transform(data.X))
    beats = LeadScaler().fit_transform(beats)
    print(f"{title}: {len(data.y)} records, {data.y.sum()} events", flush=True)
    folds = np.empty(len(data.y), dtype=int)
    splits = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0).split(beats, data.y, data.groups)
    for fold, (_, test) in enumerate(splits):
        folds[test] = fold
    for network in NETWORKS:
        for n_members in N_MEMBERS:
            probabilities = np.empty(len(data.y))
            for fold in range(N_FOLDS):
                train, test = folds != fold, folds == fold
                classifier = network(width=16, n_members=n_members, device="cpu", random_state=0)
                classifier.fit(beats[train], data.y[train], groups=data.groups[train])
                probabilities[test] = classifier.predict_proba(beats[test])[:, 1]
            line = calibration_slope_intercept(data.y, probabilities)
            ranks = np.mean([roc_auc_score(data.y[folds == i], probabilities[folds == i]) for i in range(N_FOLDS)])
            brier = brier_score_loss(data.y, probabilities)
            print(
                f"  {network.__name__:26} {n_members} members: intercept {line.intercept:+.2f}, "
                f"slope {line.slope:.2f}, Brier {brier:.4f}, AUROC within folds {ranks:.3f}",
                flush=True,
            )
