"""Whether probabilities mean what they say."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from omi_estimators._validation import check_labels, check_scores
from omi_estimators.metrics._results import CalibrationLine, Floats

_MOST_STEPS = 100


def calibration_slope_intercept(y_true: ArrayLike, y_prob: ArrayLike, *, clip: float = 1e-6) -> CalibrationLine:
    r"""Return slope and intercept of logistic calibration.

    The slope is :math:`b` of the logistic regression :math:`\operatorname{logit} P(y=1) = a + b
    \operatorname{logit} p`; the intercept is calibration in the large: :math:`a` where :math:`b` is held at 1 [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_prob : array-like of shape (n_records,)
        Probabilities of the positive class.
    clip : float, default=1e-6
        Probabilities nearer to 0 or 1 than this are moved to it: 0 and 1 themselves have no log-odds.

    Returns
    -------
    CalibrationLine
        With `slope` (1 is right; below 1 means too extreme; NaN if all probabilities are equal) and
        `intercept` (0 is right; above 0 means too low).

    Raises
    ------
    ValueError
        If labels and probabilities do not fit together, `clip` is not between 0 and 1/2, or the
        probabilities separate the classes perfectly, so that no finite slope fits.

    References
    ----------
    .. [1] Van Calster B. et al., Calibration: the Achilles heel of predictive analytics, BMC Medicine
       17:230, 2019. doi:10.1186/s12916-019-1466-7

    Examples
    --------
    >>> from omi_estimators.metrics import calibration_slope_intercept
    >>> line = calibration_slope_intercept([0, 1, 0, 0, 1, 1], [0.2, 0.3, 0.4, 0.6, 0.7, 0.8])
    >>> round(line.slope, 2), round(line.intercept, 2)
    (1.14, 0.0)
    """
    positive, prob = _check(y_true, y_prob)
    if not 0 < clip < 0.5:
        raise ValueError(f"clip must lie between 0 and 0.5; got {clip!r}.")
    log_odds = logit(np.clip(prob, clip, 1 - clip))
    n_events = positive.sum()
    # Far enough out, the expected number of events leaves any observed one behind, so a root lies between.
    reach = float(np.abs(log_odds).max()) + np.log(len(positive)) + 1
    intercept = brentq(lambda shift: expit(log_odds + shift).sum() - n_events, -reach, reach)
    return CalibrationLine(_fit_slope(log_odds, positive.astype(np.float64)), float(intercept))


def _fit_slope(x: Floats, y: Floats) -> float:
    """Return the slope of the logistic regression of `y` on `x`, by Newton's method with step halving."""
    if np.ptp(x) == 0:
        return float("nan")
    if x[y == 1].min() >= x[y == 0].max() or x[y == 1].max() <= x[y == 0].min():
        raise ValueError(
            "The probabilities separate the classes perfectly: the calibration slope is infinite. It needs more data."
        )
    # Standardised, so that Newton's steps are well scaled whatever the spread of log-odds.
    centre, scale = x.mean(), x.std()
    design = np.column_stack([np.ones_like(x), (x - centre) / scale])
    weights = np.zeros(2)
    for _ in range(_MOST_STEPS):
        prob = expit(design @ weights)
        hessian = (design * (prob * (1 - prob))[:, np.newaxis]).T @ design
        step = np.linalg.solve(hessian, design.T @ (y - prob))
        while _loss(design, y, weights + step) > _loss(design, y, weights) + 1e-12:
            step /= 2
        weights = weights + step
        if np.abs(step).max() < 1e-10:
            break
    return float(weights[1] / scale)


def _loss(design: Floats, y: Floats, weights: Floats) -> float:
    linear = design @ weights
    return float((np.logaddexp(0, linear) - y * linear).sum())


def brier_skill_score(y_true: ArrayLike, y_prob: ArrayLike, *, prevalence: float | None = None) -> float:
    r"""Return how much better the Brier score is than that of the prevalence alone.

    :math:`1 - BS / BS_0` [1]_: 1 is perfect, 0 no better than giving everyone the prevalence, below 0 worse.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_prob : array-like of shape (n_records,)
        Probabilities of the positive class.
    prevalence : float, optional
        What the reference gives everyone; the share of positives in `y_true` if None.

    Returns
    -------
    float
        At most 1.

    Raises
    ------
    ValueError
        If labels and probabilities do not fit together, or `prevalence` is not between 0 and 1.

    References
    ----------
    .. [1] Murphy A. H., Hedging and skill scores for probability forecasts, Journal of Applied Meteorology
       12:215-223, 1973. doi:10.1175/1520-0450(1973)012<0215:HASSFP>2.0.CO;2

    Examples
    --------
    >>> from omi_estimators.metrics import brier_skill_score
    >>> round(brier_skill_score([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.8]), 2)
    0.7
    """
    positive, prob = _check(y_true, y_prob)
    share = float(positive.mean()) if prevalence is None else prevalence
    if not 0 < share < 1:
        raise ValueError(f"prevalence must be a share above 0 and below 1; got {prevalence!r}.")
    return float(1 - np.mean((prob - positive) ** 2) / np.mean((share - positive) ** 2))


def expected_calibration_error(
    y_true: ArrayLike, y_prob: ArrayLike, *, n_bins: int = 10, strategy: str = "quantile"
) -> float:
    """Return the mean distance between predicted and observed frequency over bins of probability.

    Each bin counts by its share of records [1]_. Fewer bins hide miscalibration, more bins add noise; a
    perfect model does not reach 0 on finite data.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_prob : array-like of shape (n_records,)
        Probabilities of the positive class.
    n_bins : int, default=10
        Number of bins.
    strategy : {"quantile", "uniform"}, default="quantile"
        Bins with the same number of records (fewer bins if probabilities repeat), or of the same width.

    Returns
    -------
    float
        Between 0 and 1; 0 is best.

    Raises
    ------
    ValueError
        If labels and probabilities do not fit together, or an argument is none of those named.

    References
    ----------
    .. [1] Naeini M. P., Cooper G. F., Hauskrecht M., Obtaining well calibrated probabilities using Bayesian
       binning, AAAI 2015. doi:10.1609/aaai.v29i1.9602

    Examples
    --------
    >>> from omi_estimators.metrics import expected_calibration_error
    >>> round(expected_calibration_error([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.8], n_bins=2), 3)
    0.25
    """
    positive, prob = _check(y_true, y_prob)
    bins = bin_probabilities(prob, n_bins, strategy)
    gaps = np.bincount(bins, weights=prob - positive)
    return float(np.abs(gaps).sum() / len(prob))


def bin_probabilities(prob: Floats, n_bins: int, strategy: str) -> NDArray[np.intp]:
    """Return the bin of each probability, as a code from 0; no bin is empty."""
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1; got {n_bins!r}.")
    if strategy not in ("quantile", "uniform"):
        raise ValueError(f"strategy must be 'quantile' or 'uniform'; got {strategy!r}.")
    inner = np.linspace(0, 1, n_bins + 1)[1:-1]
    edges = np.unique(np.quantile(prob, inner)) if strategy == "quantile" else inner
    bins = np.searchsorted(edges, prob, side="right")
    return np.unique(bins, return_inverse=True)[1].astype(np.intp)


def _check(y_true: ArrayLike, y_prob: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    positive = check_labels(y_true)
    return positive, check_scores(y_prob, len(positive), probability=True, name="y_prob")
