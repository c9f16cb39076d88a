"""What a threshold makes of the records: sensitivity and its kin, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators.metrics._bootstrap import Resampler
from omi_estimators.metrics._checks import check_codes, check_labels, check_level, check_scores, make_rng, warn_few
from omi_estimators.metrics._proportion import proportion_interval
from omi_estimators.metrics._results import ClassificationIntervals, Floats, Interval

Counts = tuple[Floats, Floats, Floats, Floats]
"""True positives, false positives, true negatives, false negatives."""


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
    there [1]_, such as :math:`PPV = \frac{se\,\pi}{se\,\pi + (1 - sp)(1 - \pi)}`.

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
        the NPV if none is called negative; resamples of which that is true count in no interval.

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
    0.164 [0.127, 0.221]
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

    figures: dict[str, Callable[[Counts], Floats]] = {"f1": lambda counts: _f1(counts, prevalence)}
    if prevalence is not None:
        figures["ppv"] = lambda counts: _predictive_value(counts[0], counts[3], counts[1], counts[2], prevalence)
        figures["npv"] = lambda counts: _predictive_value(counts[2], counts[1], counts[3], counts[0], 1 - prevalence)
    drawn = _bootstrap(figures, positive, called, units, n_resamples, confidence_level, make_rng(random_state))
    return ClassificationIntervals(
        sensitivity=share(positive, called),
        specificity=share(~positive, ~called),
        ppv=drawn.get("ppv") or share(called, positive),
        npv=drawn.get("npv") or share(~called, ~positive),
        f1=drawn["f1"],
        threshold=float(threshold),
        prevalence=float(positive.mean()) if prevalence is None else prevalence,
    )


def _bootstrap(
    figures: dict[str, Callable[[Counts], Floats]],
    positive: NDArray[np.bool_],
    called: NDArray[np.bool_],
    units: NDArray[np.intp] | None,
    n_resamples: int,
    confidence_level: float,
    rng: np.random.Generator,
) -> dict[str, Interval]:
    """Return figures of the four counts, each with its interval by resampling patients."""
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, and 1000 or more for an interval; got {n_resamples}.")
    cells = np.stack([called & positive, called & ~positive, ~called & ~positive, ~called & positive]).astype(float)
    weights = Resampler(positive, units, None).draw(n_resamples, rng)
    counts = np.concatenate([cells @ drawn for drawn in weights], axis=1)
    tails = [(1 - confidence_level) / 2, (1 + confidence_level) / 2]
    intervals = {}
    with np.errstate(invalid="ignore"):
        for name, figure in figures.items():
            estimate = float(figure(tuple(cells.sum(axis=1, keepdims=True)))[0])
            values = figure(tuple(counts))
            values = values[~np.isnan(values)]
            low, high = (math.nan, math.nan) if math.isnan(estimate) else np.quantile(values, tails)
            intervals[name] = Interval(estimate, float(low), float(high), confidence_level, "percentile", n_resamples)
    return intervals


def _predictive_value(right: Floats, missed: Floats, wrong: Floats, spared: Floats, prevalence: float) -> Floats:
    """Return the share of a verdict that is right, where its class has another prevalence."""
    among_class = right / (right + missed) * prevalence
    among_other = wrong / (wrong + spared) * (1 - prevalence)
    value: Floats = among_class / (among_class + among_other)
    return value


def _f1(counts: Counts, prevalence: float | None) -> Floats:
    hits, false_alarms, spared, missed = counts
    if prevalence is not None:
        events, others = hits + missed, false_alarms + spared
        hits, missed = hits / events * prevalence, missed / events * prevalence
        false_alarms = false_alarms / others * (1 - prevalence)
    value: Floats = 2 * hits / (2 * hits + false_alarms + missed)
    return value
