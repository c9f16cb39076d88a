"""DeLong's variance of AUROC, and his test for two models on the same records."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtr, ndtri
from scipy.stats import rankdata

from omi_estimators._validation import check_codes, check_labels, check_level, check_scores, warn_few
from omi_estimators.metrics._results import Floats, RocTest


def delong_roc_test(
    y_true: ArrayLike,
    y_score_a: ArrayLike,
    y_score_b: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> RocTest:
    """Test whether two models have the same area under the ROC curve on the same records.

    DeLong's nonparametric test [1]_, by ranks [2]_. It takes records for independent: one per patient.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_score_a, y_score_b : array-like of shape (n_records,)
        Scores of the two models; a higher one speaks for the positive class.
    groups : array-like of shape (n_records,), optional
        Patient of each record, to make sure that none has two.
    confidence_level : float, default=0.95
        Level of the interval of the difference.

    Returns
    -------
    RocTest
        With both areas, their `difference`, its interval, `z` and the two-sided `p_value`.

    Raises
    ------
    ValueError
        If labels and scores do not fit together, a class has fewer than two records, or a patient has
        several (use `bootstrap_difference`).

    Warns
    -----
    FewEventsWarning
        If fewer than ten records are of one class.

    See Also
    --------
    bootstrap_difference : The same question for records that are not independent, and for other metrics.

    References
    ----------
    .. [1] DeLong E. R., DeLong D. M., Clarke-Pearson D. L., Comparing the areas under two or more
       correlated receiver operating characteristic curves, Biometrics 44:837-845, 1988. doi:10.2307/2531595
    .. [2] Sun X., Xu W., Fast implementation of DeLong's algorithm, IEEE Signal Processing Letters
       21:1389-1393, 2014. doi:10.1109/LSP.2014.2337313

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.metrics import delong_roc_test
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> test = delong_roc_test(y, y + rng.normal(size=200), y + 3 * rng.normal(size=200))
    >>> round(test.difference, 3), test.p_value < 0.001
    (0.195, True)
    """
    check_level(confidence_level)
    positive = check_labels(y_true)
    scores = [
        check_scores(score, len(positive), probability=False, name=name)
        for score, name in ((y_score_a, "y_score_a"), (y_score_b, "y_score_b"))
    ]
    units = check_codes(groups, len(positive), name="groups")
    if has_repeats(units):
        raise ValueError(
            "DeLong's test takes records for independent, but some patients have several; use bootstrap_difference."
        )
    warn_few(positive, None)
    (auc_a, auc_b), covariance = delong_covariance(positive, np.stack(scores))
    difference = float(auc_a - auc_b)
    error = math.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0))
    # Without spread, equal areas are equal for sure, and different ones surely differ.
    z = difference / error if error > 0 else (math.copysign(math.inf, difference) if difference else 0.0)
    half = float(ndtri((1 + confidence_level) / 2)) * error
    p_value = float(2 * ndtr(-abs(z)))
    return RocTest(
        float(auc_a), float(auc_b), difference, difference - half, difference + half, z, p_value, confidence_level
    )


def has_repeats(units: NDArray[np.intp] | None) -> bool:
    """Return whether a patient has more than one record."""
    return units is not None and len(np.unique(units)) < len(units)


def delong_covariance(positive: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Return areas under the ROC curve and DeLong's covariance of them.

    Parameters
    ----------
    positive : ndarray of shape (n_records,), bool
        Whether each record is positive.
    scores : ndarray of shape (n_models, n_records)
        Scores.

    Returns
    -------
    areas : ndarray of shape (n_models,)
        Areas under the ROC curve.
    covariance : ndarray of shape (n_models, n_models)
        Their covariance.

    Raises
    ------
    ValueError
        If a class has fewer than two records.
    """
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if min(n_positive, n_negative) < 2:
        raise ValueError(
            f"DeLong's variance needs two records of each class; got {n_positive} positive and {n_negative} negative."
        )
    ranks = rankdata(scores, axis=1)
    # For each positive the share of negatives below it, for each negative the share of positives above it.
    of_positives = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / n_negative
    of_negatives = 1 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / n_positive
    covariance = np.atleast_2d(np.cov(of_positives)) / n_positive + np.atleast_2d(np.cov(of_negatives)) / n_negative
    return of_positives.mean(axis=1), covariance


def delong_interval(positive: NDArray[np.bool_], score: Floats, confidence_level: float) -> tuple[float, float, float]:
    """Return AUROC and the ends of its interval, symmetric in the log-odds of the area."""
    (area,), ((variance,),) = delong_covariance(positive, score[np.newaxis])
    if not 0 < area < 1:
        return float(area), float(area), float(area)
    # On the log-odds scale no end leaves [0, 1], and coverage is better for areas near 1.
    half = ndtri((1 + confidence_level) / 2) * math.sqrt(variance) / (area * (1 - area))
    centre = math.log(area / (1 - area))
    return float(area), float(expit(centre - half)), float(expit(centre + half))
