"""What a threshold makes of the records: sensitivity and its kin, with intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators._validation import check_codes, check_labels, check_level, check_scores, make_rng, warn_few
from omi_estimators.metrics._bootstrap import Resampler
from omi_estimators.metrics._proportion import proportion_interval
from omi_estimators.metrics._results import ClassificationIntervals, Floats, Interval


def classification_intervals(
    y_true: ArrayLike,
    y_score: ArrayLike,
    threshold: float,
    *,
    groups: ArrayLike | None = None,
    prevalence: float | None = None,
    n_resamples: int = 2000,
    confidence_level: float = 0.95,
    random_state: Any = None,
) -> ClassificationIntervals:
    r"""Return sensitivity, specificity, predictive values and F1 at a threshold, with intervals.

    Shares of records get Wilson's interval, at the sample size that is left where records of a patient are
    alike; F1, which is no share of records, the bootstrap by patient. Predictive values hold for the prevalence of
    the records given. With `prevalence` :math:`\pi` they are those that the same sensitivity and specificity give
    there [1]_, such as :math:`PPV = \frac{se\,\pi}{se\,\pi + (1 - sp)(1 - \pi)}`, and their intervals combine
    those of both [2]_, so that no false positive among few negatives is not taken for certainty.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_score : array-like of shape (n_records,)
        Scores; records at or above the threshold are called positive.
    threshold : float
        Where to cut. Choose it on other records than these.
    groups : array-like of shape (n_records,), optional
        Patient of each record. Without it each record counts as a patient of its own.
    prevalence : float, optional
        Another share of positives, above 0 and below 1, for PPV, NPV and F1.
    n_resamples : int, default=2000
        Resamples of the bootstrap.
    confidence_level : float, default=0.95
        Level of the intervals.
    random_state : int, RandomState, Generator or None, default=None
        Where chance comes from.

    Returns
    -------
    ClassificationIntervals
        With `sensitivity`, `specificity`, `ppv`, `npv` and `f1`. The PPV is NaN if no record is called positive,
        the NPV if none is called negative.

    Raises
    ------
    ValueError
        If labels, scores and groups do not fit together, one class is missing, or an argument is out of range.

    Warns
    -----
    FewEventsWarning
        If fewer than ten patients have one of the classes.

    References
    ----------
    .. [1] Altman D. G., Bland J. M., Statistics notes: Diagnostic tests 2: predictive values, BMJ 309:102,
       1994. doi:10.1136/bmj.309.6947.102
    .. [2] Donner A., Zou G. Y., Closed-form confidence intervals for functions of the normal mean and standard
       deviation, Statistical Methods in Medical Research 21:347-359, 2012. doi:10.1177/0962280210383082

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.metrics import classification_intervals
    >>> y = np.arange(200) % 2
    >>> score = y + np.random.default_rng(0).normal(size=200)
    >>> found = classification_intervals(y, score, 0.5, random_state=0)
    >>> print(found.sensitivity, found.ppv)
    0.730 [0.636, 0.807] 0.723 [0.629, 0.801]
    >>> print(classification_intervals(y, score, 0.5, prevalence=0.07, random_state=0).ppv)
    0.164 [0.124, 0.217]
    """
    check_level(confidence_level)
    positive = check_labels(y_true)
    score = check_scores(y_score, len(positive), probability=False)
    if not isinstance(threshold, (int, float, np.number)) or math.isnan(threshold):
        raise ValueError(f"threshold must be a number; got {threshold!r}.")
    if prevalence is not None and not 0 < prevalence < 1:
        raise ValueError(f"prevalence must be a share above 0 and below 1; got {prevalence!r}.")
    units = check_codes(groups, len(positive), name="groups")
    warn_few(positive, units)
    called = score >= threshold

    def share(of: NDArray[np.bool_], successes: NDArray[np.bool_]) -> Interval:
        ends = proportion_interval(successes[of], None if units is None else units[of], confidence_level)
        return Interval(float(successes[of].mean()) if of.any() else math.nan, *ends, confidence_level, "wilson")

    sensitivity, specificity = share(positive, called), share(~positive, ~called)
    if prevalence is None:
        ppv, npv = share(called, positive), share(~called, ~positive)
    else:
        ppv = _predictive_value(sensitivity, specificity, prevalence)
        npv = _predictive_value(specificity, sensitivity, 1 - prevalence)
    return ClassificationIntervals(
        sensitivity=sensitivity,
        specificity=specificity,
        ppv=ppv,
        npv=npv,
        f1=_bootstrap_f1(positive, called, units, prevalence, n_resamples, confidence_level, make_rng(random_state)),
        threshold=float(threshold),
        prevalence=float(positive.mean()) if prevalence is None else prevalence,
    )


def _predictive_value(right: Interval, spared: Interval, prevalence: float) -> Interval:
    """Return the share of a verdict that is right, where its class has another prevalence.

    The odds are those of the prevalence times the ratio of `right` to 1 - `spared`, whose interval comes from the
    distances of both intervals' ends to their estimates.
    """
    a, a_low, a_high = right.estimate, right.low, right.high
    b, b_low, b_high = 1 - spared.estimate, 1 - spared.high, 1 - spared.low
    if a == b == 0:
        return Interval(math.nan, math.nan, math.nan, right.confidence_level, "wilson")
    low_root = math.sqrt(max(0.0, (a * b) ** 2 - a_low * (2 * a - a_low) * b_high * (2 * b - b_high)))
    low = a_low * (2 * a - a_low) / (a * b + low_root)
    high_root = math.sqrt(max(0.0, (a * b) ** 2 - a_high * (2 * a - a_high) * b_low * (2 * b - b_low)))
    high = (a * b + high_root) / (b_low * (2 * b - b_low)) if b_low > 0 else math.inf
    odds = prevalence / (1 - prevalence)
    ratios = (a / b if b > 0 else math.inf, low, high)
    estimate, low, high = (1.0 if math.isinf(ratio) else odds * ratio / (1 + odds * ratio) for ratio in ratios)
    return Interval(estimate, low, high, right.confidence_level, "wilson")


def _bootstrap_f1(
    positive: NDArray[np.bool_],
    called: NDArray[np.bool_],
    units: NDArray[np.intp] | None,
    prevalence: float | None,
    n_resamples: int,
    confidence_level: float,
    rng: np.random.Generator,
) -> Interval:
    """Return F1 with its interval by resampling patients."""
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, and 1000 or more for an interval; got {n_resamples}.")
    cells = np.stack([called & positive, called & ~positive, ~called & ~positive, ~called & positive]).astype(float)
    counts = [cells @ weights for weights in Resampler(positive, units, None).draw(n_resamples, rng)]
    estimate = float(_f1(cells.sum(axis=1, keepdims=True), prevalence)[0])
    tails = [(1 - confidence_level) / 2, (1 + confidence_level) / 2]
    low, high = np.quantile(_f1(np.concatenate(counts, axis=1), prevalence), tails)
    return Interval(estimate, float(low), float(high), confidence_level, "percentile", n_resamples)


def _f1(counts: Floats, prevalence: float | None) -> Floats:
    """Return F1 from true and false positives, true and false negatives."""
    hits, false_alarms, spared, missed = counts
    if prevalence is not None:
        events, others = hits + missed, false_alarms + spared
        hits, missed = hits / events * prevalence, missed / events * prevalence
        false_alarms = false_alarms / others * (1 - prevalence)
    value: Floats = 2 * hits / (2 * hits + false_alarms + missed)
    return value
