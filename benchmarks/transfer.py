"""A network that has seen simulated ECGs only, tried on PTB-XL: MI against normal.

It learns to tell occlusions from everything else, old infarctions among it, and is then asked for infarctions that are
mostly old: a hard question on purpose. The network is narrow (16 channels, not 64), to end within minutes on one core.
"""

from __future__ import annotations

from argparse import Namespace

import numpy as np

from omi_estimators import make_net_pipeline
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs
from omi_estimators.metrics import bootstrap_interval

N_PATIENTS = 1500
PREVALENCE = 0.3
WIDTH = 16
METRICS = {"roc_auc": "AUROC", "average_precision": "AP"}


def run(data: Namespace) -> None:
    """Train on simulated ECGs, print the figures on simulated ones of other patients and on PTB-XL."""
    if data.ptbxl is None:
        print("PTB-XL is needed: give its folder with --ptbxl DIR")
        return
    training = make_omi_ecgs(N_PATIENTS, prevalence=PREVALENCE, random_state=0)
    print(f"trained on {len(training.y)} simulated records, {training.y.sum()} with OMI, width {WIDTH}", flush=True)
    pipeline = make_net_pipeline(training.sampling_rate, width=WIDTH, n_members=1, n_threads=1, random_state=0)
    pipeline.fit(training.X, training.y, net__groups=training.groups)
    del training
    simulated = make_omi_ecgs(300, prevalence=PREVALENCE, random_state=1)
    real = load_ptbxl(data.ptbxl, task="mi_vs_norm", sampling_rate=500)
    old_mi = np.char.find(simulated.condition, "old MI") >= 0
    show("simulated OMI, other patients", pipeline, simulated.X, simulated.y, simulated.groups)
    told = pipeline.predict_proba(simulated.X[simulated.y == 0])[:, 1]
    print(f"  mean probability without OMI: old MI {told[old_mi[simulated.y == 0]].mean():.2f}, all {told.mean():.2f}")
    show("PTB-XL, MI against normal", pipeline, real.X, real.y, real.groups)


def show(title: str, pipeline, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
    """Print the figures of a fitted pipeline with their intervals by patient."""
    probabilities = pipeline.predict_proba(X)[:, 1]
    shown = (
        f"{short} {bootstrap_interval(y, probabilities, metric, groups=groups, random_state=0)}"
        for metric, short in METRICS.items()
    )
    print(f"{title}: {len(y)} records, {y.sum()} events: {', '.join(shown)}", flush=True)
