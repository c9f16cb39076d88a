"""Risk tiers from out-of-fold probabilities, and what the decisions between them are worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omi_estimators.comparison._table import make_columns
from omi_estimators.metrics import assign_tiers, classification_intervals, find_tier_thresholds
from omi_estimators.triage import tier_table

SENSITIVITY, PPV = 0.9, 0.85
FIGURES = ("sensitivity", "specificity", "ppv", "npv", "f1")


def cross_fit_tiers(
    probabilities: pd.DataFrame, positive: NDArray[np.bool_], folds: NDArray[np.intp]
) -> pd.DataFrame | None:
    """Return the risk tier of each record, by thresholds that the other folds' records chose.

    A threshold judged on the records that chose it looks better than it is.

    Parameters
    ----------
    probabilities : DataFrame of shape (n_records, n_estimators)
        Out-of-fold probabilities of the positive class.
    positive : ndarray of shape (n_records,), bool
        Whether each record is positive.
    folds : ndarray of shape (n_records,)
        Folds, as codes from 0.

    Returns
    -------
    DataFrame of str of shape (n_records, n_estimators) or None
        None if there is one fold only.
    """
    if folds.max() == 0:
        return None
    tiers = {}
    for name, column in probabilities.items():
        score = column.to_numpy(dtype=np.float64)
        tiers[name] = np.empty(len(score), dtype=object)
        for fold in range(folds.max() + 1):
            here = folds == fold
            cuts = find_tier_thresholds(positive[~here], score[~here], sensitivity=SENSITIVITY, ppv=PPV)
            tiers[name][here] = assign_tiers(score[here], *cuts)
    return pd.DataFrame(tiers, index=probabilities.index)


def make_decisions(
    tiers: pd.DataFrame,
    positive: NDArray[np.bool_],
    units: NDArray[np.intp] | None,
    *,
    n_resamples: int,
    confidence_level: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return sensitivity and its kin of calling the tiers "high" and "rule-in" positive, one row per estimator."""
    rows = {}
    for name, column in tiers.items():
        called = column.isin(["high", "rule-in"]).to_numpy(dtype=np.float64)
        found = classification_intervals(
            positive,
            called,
            0.5,
            groups=units,
            n_resamples=n_resamples,
            confidence_level=confidence_level,
            random_state=rng,
        )
        rows[name] = make_columns({figure: getattr(found, figure) for figure in FIGURES})
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("estimator")


def make_tier_tables(
    tiers: pd.DataFrame, positive: NDArray[np.bool_], units: NDArray[np.intp] | None, confidence_level: float
) -> pd.DataFrame:
    """Return what each tier of each estimator holds, indexed by estimator and tier."""
    tables = {
        str(name): tier_table(positive, column, groups=units, confidence_level=confidence_level)
        for name, column in tiers.items()
    }
    return pd.concat(tables, names=["estimator", "tier"])
