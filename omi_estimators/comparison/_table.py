"""Figures with intervals, and differences to a reference, from out-of-fold probabilities."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omi_estimators._validation import warn_few
from omi_estimators.metrics._bootstrap import Resampler, find_interval
from omi_estimators.metrics._weighted import METRICS, make_statistic


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
    warn_few(positive, units)
    scores = {str(name): column.to_numpy(dtype=np.float64) for name, column in probabilities.items()}
    keys = [(name, metric) for name in scores for metric in METRICS]
    statistics = [make_statistic(metric, positive, scores[name], folds) for name, metric in keys]
    resampler = Resampler(positive, units, folds)
    estimates = dict(zip(keys, resampler.estimate(statistics), strict=True))
    values, n_redrawn = resampler.bootstrap(statistics, n_resamples, rng)
    resamples = dict(zip(keys, values.T, strict=True))
    rows: dict[str, dict[str, float]] = {name: {} for name in scores}
    for name, metric in keys:
        estimate, drawn = float(estimates[name, metric]), resamples[name, metric]
        rows[name] |= _columns(metric, estimate, find_interval(drawn, estimate, confidence_level))
        if name != reference:
            difference = estimate - float(estimates[reference, metric])
            # Two infinite slopes have no difference.
            with np.errstate(invalid="ignore"):
                apart = drawn - resamples[reference, metric]
            ends = find_interval(apart, difference, confidence_level)
            rows[name] |= _columns(f"{metric}_difference", difference, ends)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("estimator"), n_redrawn


def _columns(key: str, estimate: float, ends: tuple[float, float]) -> dict[str, float]:
    return {key: estimate, f"{key}_low": ends[0], f"{key}_high": ends[1]}
