"""Where to cut, and what a decision is worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators._validation import check_labels, check_scores
from omi_estimators.metrics._results import Floats


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
    positive = check_labels(y_true)
    prob = check_scores(y_prob, len(positive), probability=True, name="y_prob")
    cuts = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    if cuts.ndim != 1 or not ((cuts >= 0) & (cuts < 1)).all():
        raise ValueError(f"thresholds must be probabilities from 0 to below 1; got {thresholds!r}.")
    true_positives = _count_at_or_above(prob[positive], cuts)
    false_positives = _count_at_or_above(prob[~positive], cuts)
    benefit: Floats = (true_positives - false_positives * cuts / (1 - cuts)) / len(prob)
    return benefit


def threshold_at_sensitivity(y_true: ArrayLike, y_score: ArrayLike, sensitivity: float = 0.9) -> float:
    """Return the highest threshold that keeps a sensitivity: below it, rule out.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_score : array-like of shape (n_records,)
        Scores; records at or above the threshold are called positive.
    sensitivity : float, default=0.9
        The least share of positives to be called positive, above 0 and at most 1.

    Returns
    -------
    float
        The score of one of the positives. Choose it on other records than those it is judged on.

    Raises
    ------
    ValueError
        If labels and scores do not fit together, or `sensitivity` is out of its range.

    Examples
    --------
    >>> from omi_estimators.metrics import threshold_at_sensitivity
    >>> threshold_at_sensitivity([0, 0, 1, 1, 1], [0.1, 0.5, 0.4, 0.7, 0.9], sensitivity=0.6)
    0.7
    """
    positive = check_labels(y_true)
    score = check_scores(y_score, len(positive), probability=False)
    check_share("sensitivity", sensitivity)
    falling = np.sort(score[positive])[::-1]
    # Divided, not multiplied: 7 / 100 >= 0.07 holds in floating point, where 0.07 * 100 exceeds 7.
    enough = np.arange(1, len(falling) + 1) / len(falling) >= sensitivity
    return float(falling[np.argmax(enough)])


def threshold_at_ppv(y_true: ArrayLike, y_score: ArrayLike, ppv: float = 0.85) -> float:
    """Return the lowest threshold that reaches a positive predictive value: from it on, rule in.

    Predictive values hold for the prevalence of the records given.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_score : array-like of shape (n_records,)
        Scores; records at or above the threshold are called positive.
    ppv : float, default=0.85
        The least share of true positives among those called positive, above 0 and at most 1.

    Returns
    -------
    float
        One of the scores. Choose it on other records than those it is judged on.

    Raises
    ------
    ValueError
        If labels and scores do not fit together, `ppv` is out of its range, or no threshold reaches it.

    Examples
    --------
    >>> from omi_estimators.metrics import threshold_at_ppv
    >>> threshold_at_ppv([0, 0, 1, 1, 1], [0.1, 0.5, 0.4, 0.7, 0.9], ppv=0.75)
    0.4
    """
    positive = check_labels(y_true)
    score = check_scores(y_score, len(positive), probability=False)
    check_share("ppv", ppv)
    candidates = np.unique(score)
    hits = _count_at_or_above(score[positive], candidates)
    values = hits / (hits + _count_at_or_above(score[~positive], candidates))
    if values.max() < ppv:
        raise ValueError(
            f"No threshold reaches a positive predictive value of {ppv:g}; the best is {values.max():.3g}. "
            "Ask for less, or give more records."
        )
    return float(candidates[np.argmax(values >= ppv)])


def _count_at_or_above(scores: Floats, cuts: Floats) -> NDArray[np.intp]:
    return len(scores) - np.searchsorted(np.sort(scores), cuts, side="left")


def check_share(name: str, value: float) -> None:
    """Raise a ValueError for a share that is not above 0 and at most 1."""
    if not 0 < value <= 1:
        raise ValueError(f"{name} must be a share above 0 and at most 1; got {value!r}.")
