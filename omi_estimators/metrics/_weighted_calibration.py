"""How honest probabilities are, under many vectors of record weights at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from omi_estimators.metrics._calibration import bin_probabilities
from omi_estimators.metrics._results import Floats, Statistic

_CLIP = 1e-6
_N_BINS = 10
_MOST_STEPS = 200
_LONGEST_STEP = 2.0
_PRECISION = 1e-10


def make_brier_skill(positive: NDArray[np.bool_], prob: Floats) -> Statistic:
    """Return the Brier score as a share of what the prevalence alone leaves, taken from 1."""
    squares = (prob - positive) ** 2
    hits = positive.astype(np.float64)

    def evaluate(weights: Floats) -> Floats:
        total = weights.sum(axis=0)
        prevalence = hits @ weights / total
        skill: Floats = 1 - squares @ weights / total / (prevalence * (1 - prevalence))
        return skill

    return evaluate


def make_calibration_error(positive: NDArray[np.bool_], prob: Floats) -> Statistic:
    """Return the expected calibration error over ten bins of equal size on the data as they are."""
    bins = bin_probabilities(prob, _N_BINS, "quantile")
    gaps = (bins == np.arange(bins.max() + 1)[:, np.newaxis]) * (prob - positive)
    return lambda weights: np.abs(gaps @ weights).sum(axis=0) / weights.sum(axis=0)


def make_calibration_intercept(positive: NDArray[np.bool_], prob: Floats) -> Statistic:
    """Return the log-odds to add to all probabilities so that they sum to the number of events."""
    log_odds = logit(np.clip(prob, _CLIP, 1 - _CLIP))[:, np.newaxis]
    hits = positive.astype(np.float64)

    def evaluate(weights: Floats) -> Floats:
        shift = np.zeros(weights.shape[1])
        for _ in range(_MOST_STEPS):
            fitted = expit(log_odds + shift)
            excess = (fitted * weights).sum(axis=0) - hits @ weights
            step = excess / np.maximum((fitted * (1 - fitted) * weights).sum(axis=0), 1e-300)
            shift -= np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
            if np.abs(step).max() < _PRECISION:
                break
        return shift

    return evaluate


def make_calibration_slope(positive: NDArray[np.bool_], prob: Floats, folds: NDArray[np.intp]) -> Statistic:
    """Return the slope of logistic regression on log-odds.

    NaN where every fold predicts a constant, which has no slope; infinite where the classes are separated.
    """
    log_odds = logit(np.clip(prob, _CLIP, 1 - _CLIP))
    if all(np.ptp(log_odds[folds == fold]) == 0 for fold in np.unique(folds)):
        return lambda weights: np.full(weights.shape[1], np.nan)
    # Standardised, so that Newton's steps are well scaled whatever the spread of log-odds.
    scale = log_odds.std()
    x = (log_odds - log_odds.mean()) / scale

    def evaluate(weights: Floats) -> Floats:
        slopes = _fit_slopes(x, positive.astype(np.float64), weights)
        return np.where(_are_separated(x, positive, weights), np.inf, slopes / scale)

    return evaluate


def _are_separated(x: Floats, positive: NDArray[np.bool_], weights: Floats) -> NDArray[np.bool_]:
    """Return whether no positive of a resample lies below a negative, or none above."""
    lows, highs = [], []
    for mask in (positive, ~positive):
        drawn, values = weights[mask] > 0, x[mask, np.newaxis]
        lows.append(np.where(drawn, values, np.inf).min(axis=0))
        highs.append(np.where(drawn, values, -np.inf).max(axis=0))
    separated: NDArray[np.bool_] = (lows[0] >= highs[1]) | (highs[0] <= lows[1])
    return separated


def _fit_slopes(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Return slopes of weighted logistic regressions by Newton's method with bounded steps."""
    column = x[:, np.newaxis]
    intercept, slope = np.zeros((2, weights.shape[1]))
    for _ in range(_MOST_STEPS):
        fitted = expit(intercept + column * slope)
        residual, information = weights * (y[:, np.newaxis] - fitted), weights * fitted * (1 - fitted)
        first, second = residual.sum(axis=0), x @ residual
        h00, h01, h11 = information.sum(axis=0), x @ information, x**2 @ information
        determinant = np.maximum(h00 * h11 - h01**2, 1e-300)
        steps = np.stack([(h11 * first - h01 * second) / determinant, (h00 * second - h01 * first) / determinant])
        # A bounded step cannot overshoot to where the likelihood is flat.
        steps = np.clip(steps, -_LONGEST_STEP, _LONGEST_STEP)
        intercept, slope = intercept + steps[0], slope + steps[1]
        if np.abs(steps).max() < _PRECISION:
            break
    return slope
