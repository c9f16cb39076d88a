"""Random forest or extremely randomised trees on the same features: which of them should be the default.

On PTB-XL, MI against normal, with ten repeats of five folds; on simulated OMI at 7 % in several cohorts, five folds
each. AUROC and AP count within folds, log loss and calibration slope pool them; intervals of differences are over
patients and, on PTB-XL, over splits and seeds too (`compare_estimators(repeats=)`).
"""

from __future__ import annotations

import tempfile
import warnings
from argparse import Namespace
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss
from sklearn.utils import Bunch

from omi_estimators.candidates import make_candidates
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs
from omi_estimators.evaluation import ComparisonResult, compare_estimators
from omi_estimators.evaluation._tables import add_spread
from omi_estimators.metrics import Interval, bootstrap_difference, bootstrap_intervals

N_REPEATS = 10
N_COHORTS = 5
N_PATIENTS = 400
FOREST, TREES = "forest", "extra_trees"
METRICS = {"roc_auc": "AUROC", "average_precision": "AP", "calibration_slope": "calibration slope"}


def run(data: Namespace) -> None:
    """Print figures of both and their differences, on simulated ECGs and, if `data.ptbxl` names them, on real ones."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cache = str(data.cache or folder)
        if data.ptbxl is not None:
            compare_real(load_ptbxl(data.ptbxl, task="mi_vs_norm", sampling_rate=500), cache)
        compare_simulated(cache)


def compare(ecgs: Bunch, cache: str, **given: int) -> ComparisonResult:
    """Return the comparison of both on one cohort."""
    models = make_candidates((FOREST, TREES), ecgs.sampling_rate, memory=cache, n_jobs=1)
    return compare_estimators(models, ecgs.X, ecgs.y, groups=ecgs.groups, reference=FOREST, verbose=0, **given)


def compare_real(ecgs: Bunch, cache: str) -> None:
    """Print what there is to say of PTB-XL."""
    result = compare(ecgs, cache, repeats=N_REPEATS, random_state=0)
    scores = [result.probabilities[name].to_numpy().reshape(N_REPEATS, -1) for name in (FOREST, TREES)]
    y, groups = result.y.reshape(N_REPEATS, -1), result.groups.reshape(N_REPEATS, -1)
    print(f"PTB-XL, MI against normal: {len(ecgs.y)} records, {ecgs.y.sum()} events, {N_REPEATS} times 5 folds")
    for metric, title in METRICS.items():
        figures = [f"{name} {show(result.table.loc[name], metric)}" for name in (FOREST, TREES)]
        print(f"  {title}: {', '.join(figures)}; difference {show(result.table.loc[TREES], f'{metric}_difference')}")
    losses = [[log_loss(*pair) for pair in zip(y, each, strict=True)] for each in scores]
    apart = lose_apart(y.ravel(), scores[1].ravel(), scores[0].ravel(), groups.ravel())
    apart = add_spread(apart, np.subtract(losses[1], losses[0]).tolist(), "log_loss_difference")
    print(f"  log loss: {FOREST} {np.mean(losses[0]):.3f}, {TREES} {np.mean(losses[1]):.3f}; difference {apart}")
    folds = result.folds.pivot_table(index="repeat", columns="estimator", values="roc_auc")
    print(f"  AUROC higher in {int((folds[TREES] > folds[FOREST]).sum())} of {N_REPEATS} repeats", flush=True)


def show(row: pd.Series, name: str) -> str:
    """Return a figure of a comparison's table with its interval."""
    return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"


def lose_apart(y: np.ndarray, a: np.ndarray, b: np.ndarray, groups: np.ndarray) -> Interval:
    """Return the difference of log losses, with its interval over patients."""
    # A mean over records: quicker for thousands of resamples than scikit-learn's function.
    both = np.clip([a, b], 1e-15, 1 - 1e-15)
    loss = -np.where(y == 1, np.log(both), np.log1p(-both))
    return bootstrap_difference(y, loss[0], loss[1], lambda _, values: values.mean(), groups=groups, random_state=0)


def compare_simulated(cache: str) -> None:
    """Print what there is to say of all simulated cohorts together."""
    results, numbers = [], []
    for seed in range(N_COHORTS):
        ecgs = make_omi_ecgs(N_PATIENTS, random_state=seed)
        # Intervals are of all cohorts together.
        results.append(compare(ecgs, cache, random_state=seed, n_resamples=1))
        numbers.append((len(ecgs.y), int(ecgs.y.sum())))
        table = results[-1].table
        shown = ", ".join(f"{name} {table.loc[name, 'roc_auc']:.3f}" for name in (FOREST, TREES))
        print(f"  cohort {seed}: {numbers[-1][0]} records, {numbers[-1][1]} events, AUROC {shown}", flush=True)
    y = np.concatenate([result.y for result in results])
    scores = {name: np.concatenate([result.probabilities[name] for result in results]) for name in (FOREST, TREES)}
    groups, folds = number_apart([result.groups for result in results]), number_apart([r.fold for r in results])
    judged = ~np.isnan(scores[FOREST])
    known = {"groups": groups[judged], "folds": folds[judged], "random_state": 0}
    y, scores = y[judged], {name: values[judged] for name, values in scores.items()}
    found = bootstrap_intervals(y, scores, list(METRICS), reference=FOREST, **known)
    print(f"simulated OMI: {N_COHORTS} cohorts, {len(y)} records, {y.sum()} events, 5 folds each")
    for metric, title in METRICS.items():
        figures = ", ".join(f"{name} {found[name][metric]}" for name in (FOREST, TREES))
        print(f"  {title}: {figures}; difference {found[TREES][f'{metric}_difference']}")
    losses = {name: log_loss(y, values) for name, values in scores.items()}
    apart = lose_apart(y, scores[TREES], scores[FOREST], groups[judged])
    print(f"  log loss: {FOREST} {losses[FOREST]:.4f}, {TREES} {losses[TREES]:.4f}; difference {apart}", flush=True)


def number_apart(codes: Sequence[np.ndarray]) -> np.ndarray:
    """Return codes of several cohorts, none of which two share."""
    pairs = np.concatenate([np.stack([np.full(len(each), number), each], axis=1) for number, each in enumerate(codes)])
    return np.unique(pairs, axis=0, return_inverse=True)[1]
