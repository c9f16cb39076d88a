"""Curves with bands: ROC, precision and recall, reliability; net benefit, at thresholds and as a curve."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from omi_estimators._validation import check_level, make_rng
from omi_estimators.metrics._bootstrap import Checked, Resampler, check_records
from omi_estimators.metrics._results import Floats, Statistic
from omi_estimators.metrics._weighted import Ranked, make_net_benefit

_N_GRID = 201


@dataclass(frozen=True)
class Curve:
    """A curve and its pointwise confidence band.

    Attributes
    ----------
    x, y : ndarray of shape (n_points,)
        The curve.
    low, high : ndarray of shape (n_points,)
        The band at each `x`, by bootstrap of patients.
    confidence_level : float
        Level of the band, at each point by itself.
    n_resamples : int
        Bootstrap resamples behind the band.
    """

    x: Floats
    y: Floats
    low: Floats
    high: Floats
    confidence_level: float = 0.95
    n_resamples: int = 0


def roc_band(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    n_resamples: int = 500,
    confidence_level: float = 0.95,
    random_state: Any = None,
) -> Curve:
    """Return the ROC curve with its band, of sensitivities at equal specificity.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_score : array-like of shape (n_records,)
        Scores; a higher one speaks for the positive class.
    groups : array-like of shape (n_records,), optional
        Patient of each record. Without it each record counts as a patient of its own.
    folds : array-like of shape (n_records,), optional
        In cross-validation, the fold of each record. Sensitivities of the folds at equal specificity are then
        averaged, each fold weighing by its pairs of a positive and a negative, so that the area under the
        curve is the AUROC of `bootstrap_interval` with the same folds.
    n_resamples : int, default=500
        Resamples of the bootstrap by patient.
    confidence_level : float, default=0.95
        Level of the band, which is that of the resampled curves at equal specificity [1]_.
    random_state : int, RandomState, Generator or None, default=None
        Where chance comes from.

    Returns
    -------
    Curve
        `x` is 1 - specificity, and repeats where the curve rises; `y` is the sensitivity.

    Raises
    ------
    ValueError
        If labels, scores, groups or folds do not fit together, or one class is missing.

    References
    ----------
    .. [1] Fawcett T., An introduction to ROC analysis, Pattern Recognition Letters 27:861-874, 2006.
       doi:10.1016/j.patrec.2005.10.010

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.metrics import roc_band
    >>> y = np.arange(200) % 2
    >>> curve = roc_band(y, y + np.random.default_rng(0).normal(size=200), random_state=0)
    >>> round(float(np.trapezoid(curve.y, curve.x)), 3)
    0.804
    """
    checked = positive, score, _, models = check_records(y_true, y_score, groups, folds)
    ranked = Ranked(positive, score, models)
    points = np.linspace(0, 1, _N_GRID)

    def sensitivities(weights: Floats) -> Floats:
        values, pairs = np.zeros((2, len(points), weights.shape[1]))
        for hits, false_alarms in ranked.count_folds(weights):
            n_pairs = hits[-1] * false_alarms[-1]
            for column in np.flatnonzero(n_pairs):
                false_rate, true_rate = (count[:, column] / count[-1, column] for count in (false_alarms, hits))
                values[:, column] += n_pairs[column] * np.interp(points, false_rate, true_rate)
            pairs += n_pairs
        return values / pairs

    low, high = _find_band(sensitivities, checked, n_resamples, confidence_level, random_state)
    once = [(hits[:, 0], others[:, 0]) for hits, others in ranked.count_folds(np.ones((len(score), 1)))]
    once = [(hits, others) for hits, others in once if hits[-1] * others[-1]]
    grid = np.unique(np.concatenate([others / others[-1] for _, others in once]))
    steps = [_find_limits(others / others[-1], hits / hits[-1], grid) for hits, others in once]
    x = np.repeat(grid, 2)
    y = np.average(steps, axis=0, weights=[hits[-1] * others[-1] for hits, others in once]).T.ravel()
    return Curve(x, y, np.interp(x, points, low), np.interp(x, points, high), confidence_level, n_resamples)


def _find_limits(false_rate: Floats, true_rate: Floats, grid: Floats) -> Floats:
    """Return the lower and upper end of a curve at each point of `grid`, shape (2, n_points)."""
    first = np.searchsorted(false_rate, grid, side="left")
    last = np.searchsorted(false_rate, grid, side="right") - 1
    between = np.interp(grid, false_rate, true_rate)
    is_vertex = false_rate[first] == grid
    return np.stack([np.where(is_vertex, true_rate[first], between), np.where(is_vertex, true_rate[last], between)])


def precision_recall_band(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    n_resamples: int = 500,
    confidence_level: float = 0.95,
    random_state: Any = None,
) -> Curve:
    """Return precision against recall, as steps, with its band.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_score : array-like of shape (n_records,)
        Scores; a higher one speaks for the positive class.
    groups : array-like of shape (n_records,), optional
        Patient of each record. Without it each record counts as a patient of its own.
    folds : array-like of shape (n_records,), optional
        In cross-validation, the fold of each record. Precisions of the folds at equal recall are then
        averaged, each fold weighing by its positives, so that the area under the steps is the average
        precision of `bootstrap_interval` with the same folds.
    n_resamples, confidence_level, random_state
        As in `roc_band`.

    Returns
    -------
    Curve
        `x` is the recall, and repeats at each step; `y` the precision, which no straight line joins [1]_.

    Raises
    ------
    ValueError
        If labels, scores, groups or folds do not fit together, or one class is missing.

    References
    ----------
    .. [1] Boyd K., Eng K. H., Page C. D., Area under the precision-recall curve: point estimates and confidence
       intervals, ECML PKDD 2013, LNCS 8190:451-466. doi:10.1007/978-3-642-40994-3_29

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.metrics import precision_recall_band
    >>> y = np.arange(200) % 2
    >>> curve = precision_recall_band(y, y + np.random.default_rng(0).normal(size=200), random_state=0)
    >>> round(float(np.trapezoid(curve.y, curve.x)), 3)
    0.814
    """
    checked = positive, score, _, models = check_records(y_true, y_score, groups, folds)
    ranked = Ranked(positive, score, models)
    n_events = np.bincount(np.zeros(len(score), dtype=np.intp) if models is None else models, weights=positive)
    ends = np.unique(np.concatenate([np.arange(1, n + 1) / n for n in n_events if n]))
    # Half a step back from each end, where no rounding can reach the next one.
    middles = ends - np.diff(ends, prepend=0) / 2

    points = np.linspace(0, 1, _N_GRID)[1:] - 0.5 / (_N_GRID - 1)

    def precisions(weights: Floats, recalls: Floats = points) -> Floats:
        values, events = np.zeros((2, len(recalls), weights.shape[1]))
        for hits, false_alarms in ranked.count_folds(weights):
            for column in np.flatnonzero(hits[-1]):
                found, passed = hits[1:, column], false_alarms[1:, column]
                first = np.searchsorted(found / found[-1], recalls)
                values[:, column] += found[-1] * found[first] / (found[first] + passed[first])
            events += hits[-1]
        return values / events

    y = precisions(np.ones((len(score), 1)), middles)[:, 0]
    x = np.repeat(np.r_[0.0, ends], 2)[1:-1]
    low, high = _find_band(precisions, checked, n_resamples, confidence_level, random_state)
    low, high = np.interp(x, points, low), np.interp(x, points, high)
    return Curve(x, np.repeat(y, 2), low, high, confidence_level, n_resamples)


def reliability_curve(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    span: float = 0.75,
    n_points: int = 100,
    n_resamples: int = 500,
    confidence_level: float = 0.95,
    random_state: Any = None,
) -> Curve:
    """Return the observed frequency as a smooth function of the predicted probability, with its band.

    Local linear regression (loess) of the outcome on the probability [1]_. At each point the nearest share `span`
    of records counts, by tricube weights; no bins have to be chosen.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_prob : array-like of shape (n_records,)
        Probabilities of the positive class.
    groups : array-like of shape (n_records,), optional
        Patient of each record. Without it each record counts as a patient of its own.
    span : float, default=0.75
        Share of records that count at each point, above 0 and at most 1; more is smoother.
    n_points : int, default=100
        Points between the least and the greatest probability.
    n_resamples, confidence_level, random_state
        As in `roc_band`.

    Returns
    -------
    Curve
        `x` is the probability, `y` the frequency, within [0, 1]. One point if all probabilities are equal.

    Raises
    ------
    ValueError
        If labels, probabilities and groups do not fit together, one class is missing, or an argument is out of
        range.

    References
    ----------
    .. [1] Austin P. C., Steyerberg E. W., Graphical assessment of internal and external calibration of logistic
       regression models by using loess smoothers, Statistics in Medicine 33:517-535, 2014. doi:10.1002/sim.5941

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.metrics import reliability_curve
    >>> rng = np.random.default_rng(0)
    >>> p = rng.random(500)
    >>> curve = reliability_curve(rng.random(500) < p, p, random_state=0)
    >>> bool(np.abs(curve.y - curve.x).max() < 0.1)
    True
    """
    checked = positive, prob, *_ = check_records(y_true, y_prob, groups, None, True, "y_prob")
    if not 0 < span <= 1:
        raise ValueError(f"span must be a share above 0 and at most 1; got {span!r}.")
    if n_points < 2:
        raise ValueError(f"n_points must be at least 2; got {n_points!r}.")
    points = np.unique(np.linspace(prob.min(), prob.max(), n_points))
    away = prob - points[:, np.newaxis]
    n_near = max(2, int(span * len(prob) + 1e-10))
    reach = np.partition(np.abs(away), n_near - 1, axis=1)[:, n_near - 1 : n_near]
    near = np.clip(1 - (np.abs(away) / np.maximum(reach, 1e-12)) ** 3, 0, None) ** 3
    # Where all of the nearest are equally far, tricube weights vanish; they count alike.
    near = np.where(near.any(axis=1, keepdims=True), near, np.abs(away) <= reach)
    moments = np.stack([near, near * away, near * away**2])
    hits = positive.astype(np.float64)[:, np.newaxis]

    def fit(weights: Floats) -> Floats:
        s0, s1, s2 = moments @ weights
        t0, t1 = moments[:2] @ (weights * hits)
        determinant = s0 * s2 - s1**2
        flat = np.divide(t0, s0, out=np.full_like(t0, np.nan), where=s0 > 0)
        # Where the records near a point have one probability only, no line fits, but their mean does.
        line = np.divide(s2 * t0 - s1 * t1, determinant, out=flat, where=determinant > 1e-9 * s0 * s2)
        return np.clip(line, 0, 1)

    low, high = _find_band(fit, checked, n_resamples, confidence_level, random_state)
    return Curve(points, fit(np.ones((len(prob), 1)))[:, 0], low, high, confidence_level, n_resamples)


def net_benefit(y_true: ArrayLike, y_prob: ArrayLike, thresholds: ArrayLike) -> Floats:
    r"""Return the net benefit of treating every record at or above a threshold.

    .. math:: \frac{TP}{n} - \frac{FP}{n} \frac{t}{1 - t}

    At threshold :math:`t` one true positive is worth :math:`(1 - t) / t` false ones [1]_. Treating nobody
    has net benefit 0; treating all is a model that gives everyone probability 1.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_prob : array-like of shape (n_records,)
        Probabilities of the positive class.
    thresholds : array-like of shape (n_thresholds,)
        Probabilities at which to treat, from 0 to below 1.

    Returns
    -------
    ndarray of shape (n_thresholds,)
        Net benefit, in true positives per record.

    Raises
    ------
    ValueError
        If labels and probabilities do not fit together, or a threshold is not in [0, 1).

    References
    ----------
    .. [1] Vickers A. J., Elkin E. B., Decision curve analysis, Medical Decision Making 26:565-574, 2006.
       doi:10.1177/0272989X06295361

    Examples
    --------
    >>> from omi_estimators.metrics import net_benefit
    >>> net_benefit([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], [0.2, 0.5]).tolist()
    [0.4375, 0.0]
    """
    positive, prob, *_ = check_records(y_true, y_prob, probability=True, name="y_prob")
    cuts = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    _check_thresholds(cuts, thresholds)
    return make_net_benefit(positive, prob, cuts)(np.ones((len(prob), 1)))[:, 0]


def _check_thresholds(cuts: Floats, given: Any) -> None:
    """Raise a ValueError for thresholds that are no probabilities at which one can treat."""
    if cuts.ndim != 1 or not ((cuts >= 0) & (cuts < 1)).all():
        raise ValueError(f"thresholds must be probabilities from 0 to below 1; got {given!r}.")


def decision_curve(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    thresholds: ArrayLike | None = None,
    against: str = "nobody",
    groups: ArrayLike | None = None,
    n_resamples: int = 500,
    confidence_level: float = 0.95,
    random_state: Any = None,
) -> Curve:
    """Return the net benefit at each threshold, with its band.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_prob : array-like of shape (n_records,)
        Probabilities of the positive class.
    thresholds : array-like of shape (n_thresholds,), optional
        Probabilities at which to treat; 0.01, 0.02, ... 0.99 if None.
    against : {"nobody", "everybody"}, default="nobody"
        What the benefit is taken against: treating nobody, which has none, or treating everybody, whose benefit is
        subtracted resample by resample.
    groups : array-like of shape (n_records,), optional
        Patient of each record. Without it each record counts as a patient of its own.
    n_resamples, confidence_level, random_state
        As in `roc_band`.

    Returns
    -------
    Curve
        `x` is the threshold, `y` the net benefit in true positives per record.

    Raises
    ------
    ValueError
        If labels, probabilities and groups do not fit together, one class is missing, a threshold is not in [0, 1),
        or `against` is neither of the two.

    See Also
    --------
    net_benefit : The curve alone, and what it means.

    References
    ----------
    Vickers A. J., Elkin E. B., Decision curve analysis, Medical Decision Making 26:565-574, 2006.
    doi:10.1177/0272989X06295361

    Examples
    --------
    >>> from omi_estimators.metrics import decision_curve
    >>> curve = decision_curve([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], thresholds=[0.2, 0.5], random_state=0)
    >>> curve.y.tolist()
    [0.4375, 0.0]
    """
    checked = positive, prob, *_ = check_records(y_true, y_prob, groups, None, True, "y_prob")
    cuts = np.arange(1, 100) / 100 if thresholds is None else np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    _check_thresholds(cuts, thresholds)
    if against not in ("nobody", "everybody"):
        raise ValueError(f"against must be 'nobody' or 'everybody'; got {against!r}.")
    of_model = make_net_benefit(positive, prob, cuts)
    of_all = make_net_benefit(positive, np.ones(len(prob)), cuts)

    def benefit(weights: Floats) -> Floats:
        return of_model(weights) - of_all(weights) if against == "everybody" else of_model(weights)

    low, high = _find_band(benefit, checked, n_resamples, confidence_level, random_state)
    return Curve(cuts, benefit(np.ones((len(prob), 1)))[:, 0], low, high, confidence_level, n_resamples)


def _find_band(
    curve: Statistic, checked: Checked, n_resamples: int, confidence_level: float, random_state: Any
) -> Floats:
    """Return the ends of the pointwise band of a curve of weights, shape (2, n_points)."""
    check_level(confidence_level)
    positive, _, units, models = checked
    draws = Resampler(positive, units, models).draw(n_resamples, make_rng(random_state))
    values = np.concatenate([curve(weights) for weights in draws], axis=1)
    with warnings.catch_warnings():
        # A point that no resample reaches has no band.
        warnings.filterwarnings("ignore", message="All-NaN slice")
        ends: Floats = np.nanquantile(values, [(1 - confidence_level) / 2, (1 + confidence_level) / 2], axis=1)
    return ends
