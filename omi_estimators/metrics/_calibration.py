"""Whether probabilities mean what they say."""

from __future__ import annotations

from numpy.typing import ArrayLike

from omi_estimators._validation import check_codes, check_labels, check_scores
from omi_estimators.metrics._results import CalibrationLine, Floats
from omi_estimators.metrics._weighted import (
    CLIP,
    Mask,
    evaluate_once,
    make_brier_skill,
    make_calibration_error,
    make_calibration_intercept,
    make_calibration_slope,
)


def calibration_slope_intercept(
    y_true: ArrayLike, y_prob: ArrayLike, *, folds: ArrayLike | None = None, clip: float = CLIP
) -> CalibrationLine:
    r"""Return slope and intercept of logistic calibration.

    The slope is :math:`b` of the logistic regression :math:`\operatorname{logit} P(y=1) = a + b
    \operatorname{logit} p`; the intercept is calibration in the large: :math:`a` where :math:`b` is held at 1 [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_prob : array-like of shape (n_records,)
        Probabilities of the positive class.
    folds : array-like of shape (n_records,), optional
        In cross-validation, the fold of each record. Both figures pool the folds, but a prediction that is constant
        in every fold has no slope, although the constants differ.
    clip : float, default=1e-6
        Probabilities nearer to 0 or 1 than this are moved to it: 0 and 1 themselves have no log-odds.

    Returns
    -------
    CalibrationLine
        With `slope` (1 is right; below 1 means too extreme) and `intercept` (0 is right; above 0 means too low). The
        slope is NaN if all probabilities are equal. If the probabilities separate the classes, so that no finite
        slope is steep enough, it is infinite, and minus infinity if they separate them the wrong way round. A tie
        between the highest negative and the lowest positive separates them too.

    Raises
    ------
    ValueError
        If labels and probabilities do not fit together, or `clip` is not between 0 and 1/2.

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
    slope = make_calibration_slope(positive, prob, check_codes(folds, len(prob), name="folds"), clip)
    intercept = make_calibration_intercept(positive, prob, clip)
    return CalibrationLine(evaluate_once(slope, len(prob)), evaluate_once(intercept, len(prob)))


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
    if prevalence is not None and not 0 < prevalence < 1:
        raise ValueError(f"prevalence must be a share above 0 and below 1; got {prevalence!r}.")
    return evaluate_once(make_brier_skill(positive, prob, prevalence), len(prob))


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
    return evaluate_once(make_calibration_error(positive, prob, n_bins, strategy), len(prob))


def _check(y_true: ArrayLike, y_prob: ArrayLike) -> tuple[Mask, Floats]:
    positive = check_labels(y_true)
    return positive, check_scores(y_prob, len(positive), probability=True, name="y_prob")
