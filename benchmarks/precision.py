"""What bfloat16 and 8-bit integers do to a network's AUROC and speed, out of fold, on real or simulated ECGs.

One network is fitted per patient fold, in float32; its out-of-fold probabilities are computed in each precision that
the processor has arithmetic for. The interval is of the paired difference, by bootstrap of patients.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks._figures import Figure, make_figure
from omi_estimators import ECGFilter, ECGSmartNetClassifier, MedianBeat
from omi_estimators.classifiers._machine import has_bfloat16
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs
from omi_estimators.metrics import Interval, bootstrap_difference, bootstrap_interval
from omi_estimators.persistence import export_onnx
from omi_estimators.preprocessing import LeadScaler

N_FOLDS, REPEATS = 3, 5


def run(data: Namespace) -> list[Figure]:
    """Print and return AUROCs, differences and times."""
    if data.ptbxl is None:
        ecgs = make_omi_ecgs(n_patients=300, prevalence=0.3, random_state=0)
    else:
        ecgs = load_ptbxl(data.ptbxl, task="mi_vs_norm", sampling_rate=500)
    beats = LeadScaler().fit_transform(MedianBeat().fit_transform(ECGFilter().fit_transform(ecgs.X))).astype(np.float32)
    fold = np.zeros(len(ecgs.y), dtype=int)
    scores: dict[str, np.ndarray] = {}
    times: dict[str, list[float]] = {}
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0).split(beats, ecgs.y, ecgs.groups)
    for number, (train, test) in enumerate(folds):
        fold[test] = number
        network = ECGSmartNetClassifier(n_members=1, mixed_precision=False, random_state=0).fit(
            beats[train], ecgs.y[train]
        )
        for name, predict in make_sides(network, beats[train]).items():
            scores.setdefault(name, np.zeros(len(ecgs.y)))[test] = predict(beats[test])
            for _ in range(REPEATS):
                start = time.perf_counter()
                predict(beats[test])
                times.setdefault(name, []).append((time.perf_counter() - start) / len(test))
    figures = [make_figure(f"{name}: time", "ms a record", 1e3 * np.array(seconds)) for name, seconds in times.items()]
    patients = {"groups": ecgs.groups, "folds": fold, "random_state": 0}
    exact = scores.pop("float32")
    figures.append(show("float32: AUROC", bootstrap_interval(ecgs.y, exact, "roc_auc", **patients)))
    for name, score in scores.items():
        change = bootstrap_difference(ecgs.y, score, exact, "roc_auc", **patients)
        figures.append(show(f"{name}: change of AUROC", change))
        figures.append(make_figure(f"{name}: change of a probability", "", np.abs(score - exact)))
    return figures


def show(name: str, found: Interval) -> Figure:
    """Return a figure of an interval, and print it."""
    figure = Figure(name, "", found.estimate, found.low, found.high)
    print(f"  {figure}", flush=True)
    return figure


def make_sides(network: ECGSmartNetClassifier, beats: np.ndarray) -> dict:
    """Return how each precision predicts the second class; `beats` decide the ranges of integers."""
    sessions = {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        for name, int8_beats in (("ONNX Runtime, float32", None), ("ONNX Runtime, int8", beats)):
            path = Path(folder, "model.onnx")
            export_onnx(network, path, int8_beats=int8_beats)
            sessions[name] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def in_bfloat16(X: np.ndarray) -> np.ndarray:
        network.mixed_precision = True
        try:
            return network.predict_proba(X)[:, 1]
        finally:
            network.mixed_precision = False

    return {
        "float32": lambda X: network.predict_proba(X)[:, 1],
        **({"bfloat16": in_bfloat16} if has_bfloat16() else {}),
        **{
            name: lambda X, session=session: session.run(None, {"beat": X})[0][:, 1]
            for name, session in sessions.items()
        },
    }
