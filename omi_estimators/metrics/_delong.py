"""AUROC with its interval, by the method that the data allow; DeLong's test for two models on the same records."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, ndtr, ndtri

from omi_estimators._validation import check_level, warn_few
from omi_estimators.metrics._bootstrap import check_records, run_bootstrap
from omi_estimators.metrics._results import Floats, Interval, RocTest
from omi_estimators.metrics._weighted import Codes, Mask, Ranked


def roc_auc_interval(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    method: str = "auto",
    n_resamples: int = 2000,
    confidence_level: float = 0.95,
    random_state: Any = None,
) -> Interval:
    """Return the area under the ROC curve with its confidence interval.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_score : array-like of shape (n_records,)
        Scores; a higher one speaks for the positive class.
    groups : array-like of shape (n_records,), optional
        Patient of each record. Without it records are taken for independent.
    folds : array-like of shape (n_records,), optional
        In cross-validation, the fold of each record. Scores of different models are then not compared: the area
        counts pairs, a positive and a negative, within folds. A model that gives every record of a fold the same
        score has exactly 0.5, however its scores differ between folds.
    method : {"auto", "delong", "bootstrap"}, default="auto"
        "delong" is DeLong's variance [1]_, on the log-odds scale of the area, for independent records and one
        model; "bootstrap" the percentile bootstrap by patient. "auto" takes the bootstrap if a patient has several
        records, or there are several folds.
    n_resamples : int, default=2000
        Resamples of the bootstrap.
    confidence_level : float, default=0.95
        Level of the interval.
    random_state : int, RandomState, Generator or None, default=None
        Where the bootstrap's chance comes from.

    Returns
    -------
    Interval
        With `estimate`, `low`, `high`; its `method` says what was done.

    Raises
    ------
    ValueError
        If labels, scores, groups and folds do not fit together, a class is missing, or DeLong's method is asked
        for patients with several records, or for several folds.

    Warns
    -----
    FewEventsWarning
        If fewer than ten patients have one of the classes.
    UserWarning
        If the classes are perfectly separated: then the interval has no width, which is not certainty.

    See Also
    --------
    bootstrap_interval : Other metrics, and BCa.

    References
    ----------
    .. [1] DeLong E. R., DeLong D. M., Clarke-Pearson D. L., Comparing the areas under two or more
       correlated receiver operating characteristic curves, Biometrics 44:837-845, 1988. doi:10.2307/2531595

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.metrics import roc_auc_interval
    >>> y = np.arange(200) % 2
    >>> score = y + np.random.default_rng(0).normal(size=200)
    >>> print(roc_auc_interval(y, score))
    0.804 [0.737, 0.857]
    """
    if method not in ("auto", "delong", "bootstrap"):
        raise ValueError(f"method must be 'auto', 'delong' or 'bootstrap'; got {method!r}.")
    check_level(confidence_level)
    positive, score, units, models = check_records(y_true, y_score, groups, folds)
    repeats, several = has_repeats(units), models is not None and models.max() > 0
    if method == "delong" and (repeats or several):
        what = "records for independent, but some patients have several" if repeats else "scores for one model's"
        raise ValueError(f"DeLong's method takes {what}; use 'auto'.")
    if method == "bootstrap" or repeats or several:
        given = groups, folds, n_resamples, confidence_level, "percentile", random_state
        interval = run_bootstrap(positive, {"y_score": score}, ["roc_auc"], None, *given)["y_score", "roc_auc"]
    else:
        warn_few(positive, None)
        interval = Interval(*delong_interval(positive, score, confidence_level), confidence_level, "delong")
    if interval.estimate in (0.0, 1.0):
        warnings.warn(
            f"The classes are perfectly separated (AUROC {interval.estimate:g}): the interval has no width, "
            "but that is no certainty. Collect more records.",
            UserWarning,
            stacklevel=2,
        )
    return interval


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
    positive, first, units, _ = check_records(y_true, y_score_a, groups, name="y_score_a")
    scores = np.stack([first, check_records(y_true, y_score_b, name="y_score_b")[1]])
    if has_repeats(units):
        raise ValueError(
            "DeLong's test takes records for independent, but some patients have several; use bootstrap_difference."
        )
    warn_few(positive, None)
    (auc_a, auc_b), covariance = delong_covariance(positive, scores)
    difference = float(auc_a - auc_b)
    error = math.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0))
    # Without spread, equal areas are equal for sure, and different ones surely differ.
    z = difference / error if error > 0 else (math.copysign(math.inf, difference) if difference else 0.0)
    half = float(ndtri((1 + confidence_level) / 2)) * error
    p_value = float(2 * ndtr(-abs(z)))
    return RocTest(
        float(auc_a), float(auc_b), difference, difference - half, difference + half, z, p_value, confidence_level
    )


def has_repeats(units: Codes | None) -> bool:
    """Return whether a patient has more than one record."""
    return units is not None and len(np.unique(units)) < len(units)


def delong_covariance(positive: Mask, scores: Floats) -> tuple[Floats, Floats]:
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
    # For each positive the negatives below it, for each negative the positives above it; ties count half.
    beaten, beating = (np.stack(sides) for sides in zip(*(_place(positive, score) for score in scores), strict=True))
    of_positives, of_negatives = beaten / n_negative, beating / n_positive
    covariance = np.atleast_2d(np.cov(of_positives)) / n_positive + np.atleast_2d(np.cov(of_negatives)) / n_negative
    areas: Floats = beaten.sum(axis=1) / (n_positive * n_negative)
    return areas, covariance


def _place(positive: Mask, score: Floats) -> tuple[Floats, Floats]:
    """Return how many negatives each positive beats, and how many positives beat each negative."""
    ranked = Ranked(positive, score)
    hits, others = (count[:, 0] for count in ranked.count(np.ones((len(score), 1))))
    cut = np.searchsorted(-ranked.cuts, -score)
    beaten, beating = others[-1] - (others[cut] + others[cut + 1]) / 2, (hits[cut] + hits[cut + 1]) / 2
    return beaten[positive], beating[~positive]


def delong_interval(positive: Mask, score: Floats, confidence_level: float) -> tuple[float, float, float]:
    """Return AUROC and the ends of its interval, symmetric in the log-odds of the area."""
    (area,), ((variance,),) = delong_covariance(positive, score[np.newaxis])
    if not 0 < area < 1:
        return float(area), float(area), float(area)
    # On the log-odds scale no end leaves [0, 1], and coverage is better for areas near 1.
    half = ndtri((1 + confidence_level) / 2) * math.sqrt(variance) / (area * (1 - area))
    centre = math.log(area / (1 - area))
    return float(area), float(expit(centre - half)), float(expit(centre + half))
