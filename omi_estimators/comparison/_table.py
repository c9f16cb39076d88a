"""Figures with intervals, and differences to a reference, from out-of-fold probabilities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omi_estimators.metrics import Interval, bootstrap_intervals


def make_table(
    probabilities: pd.DataFrame,
    positive: NDArray[np.bool_],
    units: NDArray[np.intp] | None,
    folds: NDArray[np.intp],
    reference: str,
    *,
    n_resamples: int,
    confidence_level: float,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, int]:
    """Return the table of all figures, and how many resamples had to be drawn again.

    All estimators and metrics are computed on the same resamples of patients, so that differences are paired.

    Parameters
    ----------
    probabilities : DataFrame of shape (n_records, n_estimators)
        Out-of-fold probabilities of the positive class, no NaN.
    positive : ndarray of shape (n_records,), bool
        Whether each record is positive.
    units : ndarray of shape (n_records,), optional
        Patients, as codes from 0.
    folds : ndarray of shape (n_records,)
        Folds, as codes from 0.
    reference : str
        The estimator that the others are compared with.
    n_resamples, confidence_level, rng
        Of the bootstrap.

    Returns
    -------
    table : DataFrame
        One row for each estimator.
    n_redrawn : int
        Resamples that held one class only.
    """
    found = bootstrap_intervals(
        positive,
        {str(name): column.to_numpy(dtype=np.float64) for name, column in probabilities.items()},
        reference=reference,
        groups=units,
        folds=folds,
        n_resamples=n_resamples,
        confidence_level=confidence_level,
        random_state=rng,
    )
    rows = {name: make_columns(figures) for name, figures in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("estimator"), found[reference]["roc_auc"].n_redrawn


def make_columns(figures: Mapping[str, Interval]) -> dict[str, float]:
    """Return each figure and the ends of its interval, by name."""
    return {
        f"{name}{end}": value
        for name, found in figures.items()
        for end, value in (("", found.estimate), ("_low", found.low), ("_high", found.high))
    }
