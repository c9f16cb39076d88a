"""Patients, in whatever type they come: a missing one is the same error everywhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from omi_estimators import RiskTierClassifier, compare_estimators, save
from omi_estimators.fusion import FusionClassifier
from omi_estimators.metrics import bootstrap_interval, classification_intervals, roc_auc_interval
from omi_estimators.splits import make_splits
from omi_estimators.triage import tier_table

N = 40
X, Y = np.zeros((N, 2)), np.tile([0, 1], N // 2)
SCORES = np.linspace(0.1, 0.9, N)
NAMES = [f"p{number}" for number in range(N - 1)]

MISSING = {
    "list with None": [None, *NAMES],
    "list with NaN": [np.nan, *NAMES],
    "objects": np.array([None, *NAMES], dtype=object),
    "floats": np.array([np.nan, *range(N - 1)]),
    "dates": np.array(["NaT", *np.arange("2020-01-01", "2020-02-09", dtype="datetime64[D]")], dtype="datetime64[ns]"),
    "pandas string": pd.array([pd.NA, *NAMES], dtype="string"),
    "pandas Int64": pd.Series([pd.NA, *range(N - 1)], dtype="Int64"),
    "pandas category": pd.Series([None, *NAMES], dtype="category"),
    "pandas dates": pd.Series([pd.NaT, *pd.date_range("2020-01-01", periods=N - 1)]),
    "pandas objects": pd.Series([np.nan, *NAMES], dtype=object),
}
WHOLE = {
    "list": ["nan", *NAMES],
    "NumPy text": np.array(["nan", *NAMES]),
    "pandas string": pd.array(["p", *NAMES], dtype="string"),
    "pandas Int64": pd.Series(range(N), dtype="Int64"),
    "pandas category": pd.Series(["p", *NAMES], dtype="category"),
    "pandas dates": pd.Series(pd.date_range("2020-01-01", periods=N)),
}
FOLDS = [(np.flatnonzero(np.arange(N) // 10 != k), np.flatnonzero(np.arange(N) // 10 == k)) for k in range(4)]
CALLS = {
    "make_splits": lambda groups, path: make_splits(X, Y, groups=groups),
    "make_splits by folds": lambda groups, path: make_splits(X, Y, groups=groups, cv=FOLDS),
    "roc_auc_interval": lambda groups, path: roc_auc_interval(Y, SCORES, groups=groups),
    "bootstrap_interval": lambda groups, path: bootstrap_interval(Y, SCORES, "brier_score", groups=groups),
    "classification_intervals": lambda groups, path: classification_intervals(Y, SCORES, 0.5, groups=groups),
    "tier_table": lambda groups, path: tier_table(Y, np.full(N, "low"), groups=groups),
    "compare_estimators": lambda groups, path: compare_estimators(
        {"dummy": DummyClassifier()}, X, Y, groups=groups, cv=2, n_resamples=20, verbose=0
    ),
    "RiskTierClassifier": lambda groups, path: RiskTierClassifier(DummyClassifier()).fit(X, Y, groups=groups),
    "FusionClassifier": lambda groups, path: FusionClassifier([("dummy", DummyClassifier())]).fit(X, Y, groups=groups),
    "save": lambda groups, path: save(DummyClassifier().fit(X, Y), path / "a.omi", y=Y, groups=groups),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("groups", MISSING.values(), ids=MISSING)
def test_a_missing_patient_is_the_same_error_everywhere(call, groups, tmp_path):
    with pytest.raises(ValueError, match="missing patients, the first for record 0"):
        call(groups, tmp_path)


@pytest.mark.parametrize("name", ["make_splits", "make_splits by folds", "roc_auc_interval", "save"])
@pytest.mark.parametrize("groups", WHOLE.values(), ids=WHOLE)
def test_patients_of_any_type_are_taken(name, groups, tmp_path):
    CALLS[name](groups, tmp_path)
