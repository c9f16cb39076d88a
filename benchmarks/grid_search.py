"""A grid search of the forest over 20 candidates and 5 folds, with our cache by record and without.

The search with the cache runs whole. Without it every candidate measures all records again in every fold, for minutes:
a few candidates are run in turn with it, and their time is scaled to all.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from argparse import Namespace

import numpy as np
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.utils import Bunch

from benchmarks._figures import Figure, make_figure
from omi_estimators import make_forest_pipeline
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs

N_RECORDS = 150
N_FOLDS = 5
N_SAMPLED = 1
REPEATS = 3
GRID = {
    "forest__max_features": ["sqrt", "log2"],
    "forest__min_samples_leaf": [1, 2, 4, 8, 16],
    "forest__criterion": ["gini", "entropy"],
}


def run(data: Namespace) -> list[Figure]:
    """Print and return the ratio."""
    if data.ptbxl is None:
        ecgs = make_omi_ecgs(n_patients=N_RECORDS, prevalence=0.3, random_state=0)
    else:
        ecgs = load_ptbxl(data.ptbxl)
    # Every class is there: the records are drawn evenly from all.
    chosen = np.linspace(0, len(ecgs.y) - 1, N_RECORDS).round().astype(int)
    n_candidates = int(np.prod([len(values) for values in GRID.values()]))
    cached, uncached = [], []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            cached.append(search(ecgs, chosen, GRID, memory=folder))
        few = {name: values[:1] for name, values in GRID.items()}
        uncached.append(search(ecgs, chosen, few, memory=None) * n_candidates / N_SAMPLED)
    print(f"{n_candidates} candidates, {N_FOLDS} folds, {N_RECORDS} records; without cache from {N_SAMPLED} candidate")
    return [
        make_figure("grid search with the cache", "s", cached),
        make_figure("grid search without", "s", uncached),
        make_figure("grid search, cache against none", "times", np.divide(uncached, cached), ">= 10"),
    ]


def search(ecgs: Bunch, chosen: np.ndarray, grid: dict, *, memory: str | None) -> float:
    """Return the seconds of a grid search, without the last fit on all records."""
    pipeline = make_forest_pipeline(ecgs.sampling_rate, memory=memory, n_estimators=100, random_state=0)
    found = GridSearchCV(pipeline, grid, cv=StratifiedGroupKFold(N_FOLDS), scoring="roc_auc", refit=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        found.fit(ecgs.X[chosen], ecgs.y[chosen], groups=ecgs.groups[chosen])
        return time.perf_counter() - start
