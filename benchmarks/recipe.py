"""Training recipes of ECG-SMART-NET: same folds, three seeds, paired differences from the published one.

All seeds of a recipe are compared at once: AUROC and average precision count pairs of records within one
fold of one seed, and a resampled patient brings its records of every seed, so the interval is that of the
mean over seeds. The networks are narrow (16 channels, not 64), and recipes that draw larger epochs have fewer of
them, so that it ends within an hour on two cores.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold
from skorch.callbacks import Callback
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks._seeds import number_models
from omi_estimators import ECGFilter, ECGSmartNetClassifier, LeadScaler, MedianBeat
from omi_estimators.classifiers import PAPER_RECIPE
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs
from omi_estimators.metrics import bootstrap_difference, bootstrap_interval

SEEDS = (0, 1, 2)
N_FOLDS = 5
WIDTH = 16
METRICS = {"roc_auc": "AUROC", "average_precision": "AP"}
NO_AUGMENTATION = {"time_shift": 0.0, "amplitude_scale": 0.0, "baseline_wander": 0.0, "lead_dropout": 0.0}
CANDIDATES: dict[str, dict[str, Any]] = {
    "paper": PAPER_RECIPE,
    "one default network": {},
    "five members": {"n_members": 5},
    "without augmentation": NO_AUGMENTATION,
    "with early stopping": {"early_stopping": True},
    "with averaged weights": {"averages_weights": True},
    "without balancing": {"balance": None, "max_epochs": 15},
    "with oversampling": {"balance": "oversample", "max_epochs": 15},
}


class AverageWeights(Callback):
    """Exchange the weights at the end of training for their moving average."""

    def on_train_begin(self, net, **kwargs) -> None:
        """Begin the average."""
        self.average_ = AveragedModel(net.module_, multi_avg_fn=get_ema_multi_avg_fn(0.98), use_buffers=True)

    def on_batch_end(self, net, training: bool = False, **kwargs) -> None:
        """Add the weights after a step."""
        if training:
            self.average_.update_parameters(net.module_)

    def on_train_end(self, net, **kwargs) -> None:
        """Take the average over."""
        net.module_.load_state_dict(self.average_.module.state_dict())


def run(data: Namespace) -> None:
    """Print every recipe's figures and its paired differences from the published one."""
    torch.set_num_threads(1)
    compare("simulated OMI, 7.2 %", make_omi_ecgs(n_patients=400, random_state=0))
    if data.ptbxl is not None:
        compare("PTB-XL, MI against normal", load_ptbxl(data.ptbxl, task="mi_vs_norm"))


def compare(title: str, ecgs) -> None:
    """Train every recipe on one data set, and print."""
    beats = LeadScaler().fit_transform(MedianBeat().fit_transform(ECGFilter().fit_transform(ecgs.X)))
    print(f"{title}: {len(ecgs.y)} records, {ecgs.y.sum()} events, width {WIDTH}", flush=True)
    splits = list(StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0).split(beats, ecgs.y, ecgs.groups))
    models = np.concatenate([number_models(splits, len(ecgs.y), seed) for seed in SEEDS])
    y, groups = np.tile(ecgs.y, len(SEEDS)), np.tile(ecgs.groups, len(SEEDS))
    scores: dict[str, np.ndarray] = {}
    for name, recipe in CANDIDATES.items():
        scores[name] = np.concatenate([predict_out_of_fold(recipe, seed, beats, ecgs, splits) for seed in SEEDS])
        figures, differences = [], []
        for metric, short in METRICS.items():
            given = {"groups": groups, "folds": models, "random_state": 0}
            figures.append(f"{short} {bootstrap_interval(y, scores[name], metric, **given)}")
            if name != "paper":
                difference = bootstrap_difference(y, scores[name], scores["paper"], metric, **given)
                differences.append(f"{difference.estimate:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]")
        shown = f"  minus paper: {', '.join(differences)}" if differences else ""
        print(f"  {name:22} {', '.join(figures)}{shown}", flush=True)
    mean = np.tile(scores["one default network"].reshape(len(SEEDS), -1).mean(axis=0), len(SEEDS))
    for metric, short in METRICS.items():
        difference = bootstrap_difference(y, mean, scores["one default network"], metric, groups=groups, folds=models)
        print(f"  mean of {len(SEEDS)} seeds of the default, minus one: {short} {difference}", flush=True)


def predict_out_of_fold(recipe: dict[str, Any], seed: int, beats: np.ndarray, ecgs, splits) -> np.ndarray:
    """Return the out-of-fold probabilities of one recipe and seed."""
    params = {"width": WIDTH, "n_members": 1, "n_threads": 1, "device": "cpu"} | recipe
    if params.pop("averages_weights", False):
        params["callbacks"] = [AverageWeights()]
    probabilities = np.empty(len(ecgs.y))
    for train, test in splits:
        classifier = ECGSmartNetClassifier(random_state=seed, **params)
        classifier.fit(beats[train], ecgs.y[train], groups=ecgs.groups[train])
        probabilities[test] = classifier.predict_proba(beats[test])[:, 1]
    return probabilities
