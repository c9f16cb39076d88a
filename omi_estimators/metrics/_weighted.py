"""Metrics by name, and AUROC and AP, under many vectors of record weights at once.

A bootstrap resample is a vector of whole weights. Scores are sorted once; each resample then costs one
cumulative sum. Ties are exact: a tied pair counts one half for AUROC, and tied records enter AP together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from omi_estimators.metrics._results import Floats, Statistic
from omi_estimators.metrics._weighted_calibration import (
    make_brier_skill,
    make_calibration_error,
    make_calibration_intercept,
    make_calibration_slope,
)

Metric = str | Callable[[Any, Any], float]

# Passing scikit-learn's own function is the same wish as its name, so it gets the fast way too.
_NAMES: dict[Callable[..., float], str] = {
    roc_auc_score: "roc_auc",
    average_precision_score: "average_precision",
    brier_score_loss: "brier_score",
}


# They rank records, for which any score will do; all others are about probabilities.
_RANKING = ("roc_auc", "average_precision")
METRICS = (
    *_RANKING,
    "brier_score",
    "brier_skill_score",
    "calibration_slope",
    "calibration_intercept",
    "expected_calibration_error",
)


def needs_probability(metric: Metric) -> bool:
    """Return whether a metric is defined on probabilities only."""
    name = _NAMES.get(metric) if callable(metric) else metric
    return name in METRICS and name not in _RANKING


def make_statistic(
    metric: Metric, positive: NDArray[np.bool_], score: Floats, folds: NDArray[np.intp] | None
) -> Statistic:
    """Return the function from weights to values of a metric on fixed labels and scores.

    Parameters
    ----------
    metric : str or callable
        One of `METRICS`. A callable takes ``(y_true, y_score)`` and returns a float.
    positive : ndarray of shape (n_records,), bool
        Whether each record is positive.
    score : ndarray of shape (n_records,)
        Scores.
    folds : ndarray of shape (n_records,), optional
        Codes of the models that gave the scores; records are ranked within folds only.

    Returns
    -------
    callable
        From weights of shape (n_records, n_resamples) to values of shape (n_resamples,).

    Raises
    ------
    ValueError
        If the metric is unknown, or `folds` are given for a callable that knows nothing of them.
    """
    name = _NAMES.get(metric, metric) if callable(metric) else metric
    if callable(name):
        if folds is not None:
            raise ValueError(f"folds need a metric by name: {', '.join(METRICS)}.")
        return _make_plain(name, positive, score)
    if name not in METRICS:
        raise ValueError(f"Unknown metric {name!r}; take {', '.join(METRICS)}, or a function of (y_true, y_score).")
    codes = np.zeros(len(score), dtype=np.intp) if folds is None else folds
    makers: dict[str, Callable[[], Statistic]] = {
        "roc_auc": lambda: _make_roc_auc(positive, score, codes),
        "average_precision": lambda: _make_average_precision(positive, score, codes),
        "brier_score": lambda: _make_brier(positive, score),
        "brier_skill_score": lambda: make_brier_skill(positive, score),
        "calibration_slope": lambda: make_calibration_slope(positive, score, codes),
        "calibration_intercept": lambda: make_calibration_intercept(positive, score),
        "expected_calibration_error": lambda: make_calibration_error(positive, score),
    }
    return makers[name]()


def _make_plain(metric: Callable[[Any, Any], float], positive: NDArray[np.bool_], score: Floats) -> Statistic:
    y_true = positive.astype(np.int64)
    records = np.arange(len(score))

    def evaluate(weights: Floats) -> Floats:
        chosen = (np.repeat(records, column) for column in weights.T.astype(np.intp))
        values = np.array([metric(y_true[index], score[index]) for index in chosen], dtype=np.float64)
        n_bad = int((~np.isfinite(values)).sum())
        if n_bad:
            raise ValueError(
                f"The metric is NaN or infinite {n_bad} of {values.size} times; "
                "it must be defined whenever both classes are present."
            )
        return values

    return evaluate


def _make_brier(positive: NDArray[np.bool_], score: Floats) -> Statistic:
    squares = (score - positive) ** 2
    return lambda weights: squares @ weights / weights.sum(axis=0)


class _Ranks:
    """Where given records stand among the records of one class, sorted by fold and score.

    With `cumulate(weights)` as C, the weight of the class in the record's fold that scores below it is
    ``C[below] - C[start]``, at or below it ``C[upto] - C[start]``, in the whole fold ``C[end] - C[start]``.
    """

    def __init__(self, among: NDArray[np.bool_], of: NDArray[np.intp], score: Floats, folds: NDArray[np.intp]):
        members = np.flatnonzero(among)
        self.order = members[np.lexsort((score[members], folds[members]))]
        edges = np.searchsorted(folds[self.order], np.arange(folds.max() + 2))
        self.start, self.end = edges[folds[of]], edges[folds[of] + 1]
        self.below, self.upto = np.empty_like(self.start), np.empty_like(self.start)
        for fold in np.unique(folds[of]):
            here = folds[of] == fold
            ranked = score[self.order[edges[fold] : edges[fold + 1]]]
            self.below[here] = edges[fold] + np.searchsorted(ranked, score[of[here]], side="left")
            self.upto[here] = edges[fold] + np.searchsorted(ranked, score[of[here]], side="right")

    def cumulate(self, weights: Floats) -> Floats:
        """Return cumulative weights of shape (n_members + 1, n_resamples)."""
        sums = np.zeros((len(self.order) + 1, weights.shape[1]))
        np.cumsum(weights[self.order], axis=0, out=sums[1:])
        return sums


def _make_roc_auc(positive: NDArray[np.bool_], score: Floats, folds: NDArray[np.intp]) -> Statistic:
    """Return the share of pairs, a positive and a negative of the same fold, that are ranked rightly."""
    events = np.flatnonzero(positive)
    ranks = _Ranks(~positive, events, score, folds)

    def evaluate(weights: Floats) -> Floats:
        sums, event_weights = ranks.cumulate(weights), weights[events]
        start = sums[ranks.start]
        beaten = (sums[ranks.below] + sums[ranks.upto]) / 2 - start
        pairs = np.einsum("ij,ij->j", event_weights, sums[ranks.end] - start)
        return np.einsum("ij,ij->j", event_weights, beaten) / pairs

    return evaluate


def _make_average_precision(positive: NDArray[np.bool_], score: Floats, folds: NDArray[np.intp]) -> Statistic:
    """Return the mean, over positives, of the precision within its fold at the score of each."""
    events = np.flatnonzero(positive)
    among_events = _Ranks(positive, events, score, folds)
    among_others = _Ranks(~positive, events, score, folds)

    def evaluate(weights: Floats) -> Floats:
        event_weights = weights[events]
        hits = _at_or_above(among_events, weights)
        # A positive of weight 0 may have nothing at or above it; its precision counts nothing.
        precision = hits / np.maximum(hits + _at_or_above(among_others, weights), 1e-300)
        return np.einsum("ij,ij->j", event_weights, precision) / event_weights.sum(axis=0)

    return evaluate


def _at_or_above(ranks: _Ranks, weights: Floats) -> Floats:
    sums = ranks.cumulate(weights)
    return sums[ranks.end] - sums[ranks.below]
