"""Every figure under many vectors of record weights at once: the one place where each is computed.

A bootstrap resample is a vector of whole weights, and the data as they are a vector of ones. Scores are sorted once;
each resample then costs one cumulative sum. Ties are exact: a tied pair counts one half for AUROC, and tied records
enter average precision together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from omi_estimators.metrics._results import Floats, Statistic

Metric = str | Callable[[Any, Any], float]
Mask = NDArray[np.bool_]
Codes = NDArray[np.intp]

# Passing scikit-learn's own function is the same wish as its name, so it gets the fast way too.
_NAMES: dict[Callable[..., float], str] = {
    roc_auc_score: "roc_auc",
    average_precision_score: "average_precision",
    brier_score_loss: "brier_score",
}


METRICS = (
    "roc_auc",
    "average_precision",
    "brier_score",
    "brier_skill_score",
    "calibration_slope",
    "calibration_intercept",
    "observed_expected_ratio",
    "expected_calibration_error",
)
"""Metrics that have a name; the first two rank records by any score, the others are about probabilities."""

_RANKING = METRICS[:2]

# Probabilities nearer to 0 or 1 are moved to it: 0 and 1 themselves have no log-odds.
CLIP = 1e-6
_MOST_STEPS = 200
_PRECISION = 1e-10


def needs_probability(metric: Metric) -> bool:
    """Return whether a metric is defined on probabilities only."""
    name = _NAMES.get(metric) if callable(metric) else metric
    return name in METRICS and name not in _RANKING


def make_statistic(metric: Metric, positive: Mask, score: Floats, folds: Codes | None) -> Statistic:
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
    makers: dict[str, Callable[[], Statistic]] = {
        "roc_auc": lambda: Ranked(positive, score, folds).roc_auc,
        "average_precision": lambda: Ranked(positive, score, folds).average_precision,
        "brier_score": lambda: _make_brier(positive, score),
        "brier_skill_score": lambda: make_brier_skill(positive, score),
        "calibration_slope": lambda: make_calibration_slope(positive, score, folds),
        "calibration_intercept": lambda: make_calibration_intercept(positive, score),
        "observed_expected_ratio": lambda: _make_observed_expected(positive, score),
        "expected_calibration_error": lambda: make_calibration_error(positive, score),
    }
    return makers[name]()


def evaluate_once(statistic: Statistic, n_records: int) -> float:
    """Return a figure of the data as they are: every record has weight 1."""
    return float(statistic(np.ones((n_records, 1)))[0])


def _make_plain(metric: Callable[[Any, Any], float], positive: Mask, score: Floats) -> Statistic:
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


class Ranked:
    """Records sorted once by fold and falling score, and counted under many vectors of weights.

    A cut is a distinct score of a fold: the records at or above it are called positive. Counts run over all folds, in
    rows of which the first lies before all records; what is counted within a fold starts from the row before it.

    Parameters
    ----------
    positive : ndarray of shape (n_records,), bool
        Whether each record is positive.
    score : ndarray of shape (n_records,)
        Scores.
    folds : ndarray of shape (n_records,), optional
        Folds as codes from 0; all records are one fold if None.
    """

    def __init__(self, positive: Mask, score: Floats, folds: Codes | None = None):
        codes = np.zeros(len(score), dtype=np.intp) if folds is None else folds
        order = np.lexsort((-score, codes))
        hits, falling, codes = positive[order], score[order], codes[order]
        # Tied scores of a fold are called positive together, so only the last of them can be cut at.
        last = np.flatnonzero(np.r_[(np.diff(falling) != 0) | (np.diff(codes) != 0), True])
        self.cuts = falling[last]
        self._edges = np.r_[0, np.flatnonzero(np.diff(codes[last])) + 1, len(last)]
        self._members = order[hits], order[~hits]
        # How many positives, and negatives, lie before each row.
        self._rows = [np.r_[0, np.cumsum(mask)[last]] for mask in (hits, ~hits)]
        # Only cuts that positives lie at matter to AUROC and average precision.
        self._gains = np.flatnonzero(np.diff(self._rows[0])) + 1
        fold = np.searchsorted(self._edges, self._gains) - 1
        self._start, self._end = self._edges[fold], self._edges[fold + 1]

    def _cumulate(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return cumulative weights of the positives, and of the negatives, each after a row of zeros."""
        sums = [np.zeros((len(members) + 1, weights.shape[1])) for members in self._members]
        for members, out in zip(self._members, sums, strict=True):
            np.cumsum(weights[members], axis=0, out=out[1:])
        return sums[0], sums[1]

    def count(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return the weight of positives, and of negatives, up to each cut, shape (n_cuts + 1, n_resamples)."""
        hits, others = self._cumulate(weights)
        return hits[self._rows[0]], others[self._rows[1]]

    def count_folds(self, weights: Floats) -> Iterator[tuple[Floats, Floats]]:
        """Yield the same counts for each fold by itself, from its own first row of zeros on."""
        hits, others = self.count(weights)
        for start, end in pairwise(self._edges):
            yield hits[start : end + 1] - hits[start], others[start : end + 1] - others[start]

    def roc_auc(self, weights: Floats) -> Floats:
        """Return the share of pairs, a positive and a negative of the same fold, that are ranked rightly."""
        hits, others = self._cumulate(weights)
        in_folds = [
            np.diff(sums[rows[self._edges]], axis=0) for sums, rows in zip((hits, others), self._rows, strict=True)
        ]
        gained = np.diff(hits[np.r_[0, self._rows[0][self._gains]]], axis=0)
        rows = self._rows[1]
        beaten = others[rows[self._end]] - (others[rows[self._gains]] + others[rows[self._gains - 1]]) / 2
        return np.einsum("ij,ij->j", gained, beaten) / np.einsum("ij,ij->j", *in_folds)

    def average_precision(self, weights: Floats) -> Floats:
        """Return the mean, over positives, of the precision within its fold at the score of each."""
        hits, others = self._cumulate(weights)
        found, passed = (
            sums[rows[self._gains]] - sums[rows[self._start]]
            for sums, rows in zip((hits, others), self._rows, strict=True)
        )
        gained = np.diff(hits[np.r_[0, self._rows[0][self._gains]]], axis=0)
        # A positive of weight 0 may have nothing at or above it; its precision counts nothing.
        return np.einsum("ij,ij->j", gained, found / np.maximum(found + passed, 1e-300)) / hits[-1]


def make_net_benefit(positive: Mask, prob: Floats, thresholds: Floats) -> Statistic:
    """Return the net benefit at each threshold, as a function of weights to shape (n_thresholds, n_resamples)."""
    ranked = Ranked(positive, prob)
    reached = np.searchsorted(-ranked.cuts, -thresholds, side="right")
    price = (thresholds / (1 - thresholds))[:, np.newaxis]

    def evaluate(weights: Floats) -> Floats:
        hits, false_alarms = ranked.count(weights)
        benefit: Floats = (hits[reached] - false_alarms[reached] * price) / weights.sum(axis=0)
        return benefit

    return evaluate


def _make_brier(positive: Mask, prob: Floats) -> Statistic:
    squares = (prob - positive) ** 2
    return lambda weights: squares @ weights / weights.sum(axis=0)


def make_brier_skill(positive: Mask, prob: Floats, prevalence: float | None = None) -> Statistic:
    """Return the Brier score as a share of that of the prevalence given, or found, taken from 1."""
    brier, hits = _make_brier(positive, prob), positive.astype(np.float64)

    def evaluate(weights: Floats) -> Floats:
        found = hits @ weights / weights.sum(axis=0)
        given = found if prevalence is None else prevalence
        skill: Floats = 1 - brier(weights) / (found * (1 - given) ** 2 + (1 - found) * given**2)
        return skill

    return evaluate


def _make_observed_expected(positive: Mask, prob: Floats) -> Statistic:
    """Return the number of events over the number that the probabilities add up to; infinite if these are all zero."""
    hits = positive.astype(np.float64)

    def evaluate(weights: Floats) -> Floats:
        expected = prob @ weights
        return np.divide(hits @ weights, expected, out=np.full(len(expected), np.inf), where=expected > 0)

    return evaluate


def make_calibration_error(positive: Mask, prob: Floats, n_bins: int = 10, strategy: str = "quantile") -> Statistic:
    """Return the expected calibration error; bins are those of the data as they are, whatever the weights."""
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1; got {n_bins!r}.")
    if strategy not in ("quantile", "uniform"):
        raise ValueError(f"strategy must be 'quantile' or 'uniform'; got {strategy!r}.")
    inner = np.linspace(0, 1, n_bins + 1)[1:-1]
    edges = np.unique(np.quantile(prob, inner)) if strategy == "quantile" else inner
    bins = np.searchsorted(edges, prob, side="right")
    gaps = csc_array((prob - positive, bins, np.arange(len(prob) + 1)), shape=(len(edges) + 1, len(prob)))
    return lambda weights: np.abs(gaps @ weights).sum(axis=0) / weights.sum(axis=0)


def _find_log_odds(prob: Floats, clip: float) -> Floats:
    """Return log-odds no further out than those of `clip`; clipped themselves, since 1 less very little is 1."""
    log_odds: Floats = np.clip(logit(prob), logit(clip), -logit(clip))
    return log_odds


def make_calibration_intercept(positive: Mask, prob: Floats, clip: float = CLIP) -> Statistic:
    """Return the log-odds to add to all probabilities so that they sum to the number of events."""
    log_odds = _find_log_odds(prob, clip)[:, np.newaxis]
    hits = positive.astype(np.float64)

    def evaluate(weights: Floats) -> Floats:
        total, events = weights.sum(axis=0), hits @ weights
        # Further out, the expected number of events leaves any observed one behind, so the root lies between.
        high = np.abs(log_odds).max() + np.log(total / np.minimum(events, total - events)) + 1
        low, shift = -high, np.zeros(len(total))
        for _ in range(_MOST_STEPS):
            fitted = expit(log_odds + shift)
            excess = (fitted * weights).sum(axis=0) - events
            low, high = np.where(excess <= 0, shift, low), np.where(excess >= 0, shift, high)
            proposed = shift - excess / np.maximum((fitted * (1 - fitted) * weights).sum(axis=0), 1e-300)
            # Newton's step where it stays between what is known; halving where probabilities are too flat for it.
            last, shift = shift, np.where((low < proposed) & (proposed < high), proposed, (low + high) / 2)
            if np.abs(shift - last).max() < _PRECISION:
                break
        return shift

    return evaluate


def make_calibration_slope(positive: Mask, prob: Floats, folds: Codes | None = None, clip: float = CLIP) -> Statistic:
    """Return the slope of logistic regression of the label on log-odds.

    Where all log-odds are equal, or every fold predicts a constant, there is none: NaN. Where no positive lies below a
    negative, no finite slope is steep enough: infinity; minus infinity where none lies above.
    """
    log_odds = _find_log_odds(prob, clip)
    codes = np.zeros(len(prob), dtype=np.intp) if folds is None else folds
    if all(np.ptp(log_odds[codes == fold]) == 0 for fold in np.unique(codes)):
        return lambda weights: np.full(weights.shape[1], np.nan)
    # Standardised, so that Newton's steps are well scaled whatever the spread of log-odds.
    scale = log_odds.std()
    x, y = (log_odds - log_odds.mean()) / scale, positive.astype(np.float64)
    # The fit of the data as they are, where it exists, lies near those of resamples.
    start = np.zeros(2)

    def evaluate(weights: Floats) -> Floats:
        lows, highs = zip(*(_find_range(x[mask], weights[mask]) for mask in (positive, ~positive)), strict=True)
        rises, falls = lows[0] >= highs[1], highs[0] <= lows[1]
        slopes = np.where(rises, np.where(falls, np.nan, np.inf), -np.inf)
        regular = ~(rises | falls)
        if regular.any():
            slopes[regular] = _fit_lines(x, y, weights[:, regular], start)[1] / scale
        return slopes

    once = np.ones((len(prob), 1))
    if np.isfinite(evaluate(once)[0]):
        start[:] = _fit_lines(x, y, once, start)[:, 0]
    return evaluate


def _find_range(x: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the least and the greatest value among the records that each resample holds."""
    drawn, values = weights > 0, x[:, np.newaxis]
    return np.where(drawn, values, np.inf).min(axis=0), np.where(drawn, values, -np.inf).max(axis=0)


def _fit_lines(x: Floats, y: Floats, weights: Floats, start: Floats) -> Floats:
    """Return intercepts and slopes of weighted logistic regressions by Newton's method with step halving."""
    column, labels = x[:, np.newaxis], y[:, np.newaxis]
    lines = np.repeat(start[:, np.newaxis], weights.shape[1], axis=1)
    linear = lines[0] + column * lines[1]
    for _ in range(_MOST_STEPS):
        fitted = expit(linear)
        residual, information = weights * (labels - fitted), weights * fitted * (1 - fitted)
        first, second = residual.sum(axis=0), x @ residual
        h00, h01, h11 = information.sum(axis=0), x @ information, x**2 @ information
        determinant = np.maximum(h00 * h11 - h01**2, 1e-300)
        steps = np.stack([h11 * first - h01 * second, h00 * second - h01 * first]) / determinant
        # A step that moves no log-odds by more than 1.75 cannot overshoot: there (exp(r) - r - 1) / r**2 is below 1. A
        # longer one is halved until the likelihood rises.
        far = np.flatnonzero(np.abs(steps[0]) + np.abs(x).max() * np.abs(steps[1]) > 1.75)
        before = _lose(linear[:, far], labels, weights[:, far])
        while far.size:
            after = _lose(linear[:, far] + steps[0, far] + column * steps[1, far], labels, weights[:, far])
            worse = ~(after <= before * (1 + 1e-12))
            far, before = far[worse], before[worse]
            steps[:, far] /= 2
        lines += steps
        linear = lines[0] + column * lines[1]
        if np.abs(steps).max() < _PRECISION:
            break
    return lines


def _lose(linear: Floats, labels: Floats, weights: Floats) -> Floats:
    """Return the negative log-likelihood of each resample."""
    loss: Floats = (weights * (np.logaddexp(0, linear) - labels * linear)).sum(axis=0)
    return loss
