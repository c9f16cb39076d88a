"""Thresholds for a sensitivity, for a predictive value, and between risk tiers; and what the tiers hold."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators._validation import check_level, check_scores, check_weights, make_rng, warn_few
from omi_estimators.metrics._bootstrap import Resampler, check_records
from omi_estimators.metrics._proportion import find_share
from omi_estimators.metrics._results import Floats, Interval
from omi_estimators.metrics._weighted import Mask, Ranked

TIERS = ("rule-out", "low", "high", "rule-in")
"""The risk tiers, lowest risk first."""

NOT_JUDGED = "not judged"
"""What a record that cannot be judged has in place of a risk tier."""


@dataclass(frozen=True)
class TierThresholds:
    """Three thresholds that make four risk tiers; a record at a threshold belongs to the tier above it.

    Attributes
    ----------
    rule_out : Interval
        Below it: "rule-out". The highest threshold that keeps the sensitivity.
    max_f1 : Interval
        Below it: "low"; from it on "high". The threshold of greatest F1 between the other two.
    rule_in : Interval
        From it on: "rule-in". The lowest threshold that reaches the PPV; infinite if none does.
    rule_in_unreached : float
        Share of resamples in which no threshold reached the PPV; their `rule_in` is infinite.
    """

    rule_out: Interval
    max_f1: Interval
    rule_in: Interval
    rule_in_unreached: float = 0.0

    def __str__(self) -> str:
        return f"rule-out {self.rule_out}, max-F1 {self.max_f1}, rule-in {self.rule_in}"


@dataclass(frozen=True)
class TierCount:
    """What one tier holds.

    Attributes
    ----------
    n_records : int
        Records in the tier.
    n_events : int
        Positives among them.
    rate : float
        The share of positives; NaN if the tier is empty.
    low, high : float
        Ends of its confidence interval.
    """

    n_records: int
    n_events: int
    rate: float
    low: float
    high: float


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
    check_share("sensitivity", sensitivity)
    positive, score, *_ = check_records(y_true, y_score)
    ranked = Ranked(positive, score)
    hits, _ = _count(ranked, np.ones((len(score), 1)))
    return float(ranked.cuts[_find_rule_out(hits, sensitivity)[0]])


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
    check_share("ppv", ppv)
    positive, score, *_ = check_records(y_true, y_score)
    ranked = Ranked(positive, score)
    hits, called = _count(ranked, np.ones((len(score), 1)))
    found = int(_find_rule_in(hits, called, ppv)[1][0])
    if found < 0:
        _complain(ppv, float((hits / called).max()), "raise")
    return float(ranked.cuts[found])


def tier_thresholds(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    sensitivity: float = 0.9,
    ppv: float = 0.85,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    on_unreachable: str = "warn",
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    random_state: Any = None,
) -> TierThresholds:
    """Return the thresholds that rule out, that rule in, and of greatest F1 between them.

    The rule-out threshold is the highest at which records at or above it hold the share `sensitivity` of
    positives; the rule-in threshold the lowest at which they are positive to the share `ppv` [1]_. A model may
    be so good that the rule-in threshold is the lower of the two. Nobody is then left between, and all three
    become the one threshold, of those between them that reach `ppv`, of greatest F1; it keeps both promises.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_score : array-like of shape (n_records,)
        Scores; best out of fold, and never those of records that are judged later.
    sensitivity : float, default=0.9
        The least share of positives not ruled out, above 0 and at most 1.
    ppv : float, default=0.85
        The least share of positives among those ruled in, above 0 and at most 1. It holds for the
        prevalence of the records given.
    sample_weight : array-like of shape (n_records,), optional
        Weight of each record in both shares and in F1; a weight of 0 is as good as absence.
    groups : array-like of shape (n_records,), optional
        Patient of each record, for the intervals. Without it each record counts as a patient of its own.
    on_unreachable : {"warn", "raise"}, default="warn"
        Where no threshold reaches `ppv`: a warning and an infinite rule-in threshold, so that nobody is
        ruled in, or an error.
    n_resamples : int, default=1000
        Resamples of the bootstrap by patient.
    confidence_level : float, default=0.95
        Level of the intervals.
    random_state : int, RandomState, Generator or None, default=None
        Where chance comes from.

    Returns
    -------
    TierThresholds
        Three thresholds, each with the percentile interval of what other patients would have given.

    Raises
    ------
    ValueError
        If labels, scores, weights and groups do not fit together, an argument is out of its range, or `ppv` is not
        reached with ``on_unreachable="raise"``.

    Warns
    -----
    FewEventsWarning
        If fewer than ten patients have one of the classes.
    UserWarning
        If no threshold reaches `ppv`.

    References
    ----------
    .. [1] Al-Zaiti S. S. et al., Machine learning for ECG diagnosis and risk stratification of occlusion
       myocardial infarction, Nature Medicine 29:1804-1813, 2023. doi:10.1038/s41591-023-02396-3

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.metrics import tier_thresholds
    >>> y = np.repeat([0, 1], [20, 12])
    >>> score = np.r_[np.linspace(0, 0.6, 20), np.linspace(0.3, 0.9, 12)]
    >>> found = tier_thresholds(y, score, ppv=0.9, random_state=0)
    >>> [round(t.estimate, 2) for t in (found.rule_out, found.max_f1, found.rule_in)]
    [0.35, 0.35, 0.63]
    """
    check_level(confidence_level)
    check_share("sensitivity", sensitivity)
    check_share("ppv", ppv)
    if on_unreachable not in ("warn", "raise"):
        raise ValueError(f"on_unreachable must be 'warn' or 'raise'; got {on_unreachable!r}.")
    positive, score, units, _ = check_records(y_true, y_score, groups)
    given = check_weights(sample_weight, len(positive))
    weights = np.ones(len(score)) if given is None else given
    kept = weights > 0
    weights, positive, score = weights[kept, np.newaxis], positive[kept], score[kept]
    units = None if units is None else np.unique(units[kept], return_inverse=True)[1]
    search = TierSearch(positive, score, sensitivity, ppv)
    estimate = search.find(weights)[:, 0]
    if np.isinf(estimate[2]):
        _complain(ppv, search.best_ppv(weights), on_unreachable)
    warn_few(positive, units)
    draws = Resampler(positive, units, None).draw(n_resamples, make_rng(random_state))
    drawn = np.concatenate([search.find(counts * weights) for counts in draws], axis=1)
    tails = [(1 - confidence_level) / 2, (1 + confidence_level) / 2]
    # Values as they are: nothing lies between a threshold and infinity.
    low, high = np.quantile(drawn, tails, axis=1, method="inverted_cdf")
    rule_out, max_f1, rule_in = (
        Interval(float(value), float(a), float(b), confidence_level, "percentile", n_resamples)
        for value, a, b in zip(estimate, low, high, strict=True)
    )
    return TierThresholds(rule_out, max_f1, rule_in, float(np.isinf(drawn[2]).mean()))


def find_tier_thresholds(
    y_true: ArrayLike, y_score: ArrayLike, *, sensitivity: float = 0.9, ppv: float = 0.85
) -> tuple[float, float, float]:
    """Return the thresholds of `tier_thresholds` alone: no intervals, and no warning where `ppv` is not reached.

    Parameters
    ----------
    y_true, y_score, sensitivity, ppv
        As in `tier_thresholds`.

    Returns
    -------
    tuple of three float
        Rule-out, max-F1 and rule-in threshold, in rising order; the last is infinite if none reaches the PPV.

    Raises
    ------
    ValueError
        If labels and scores do not fit together, or a share is out of its range.

    Examples
    --------
    >>> from omi_estimators.metrics import find_tier_thresholds
    >>> find_tier_thresholds([0, 0, 1, 1, 1], [0.1, 0.5, 0.4, 0.7, 0.9], ppv=0.9)
    (0.4, 0.4, 0.7)
    """
    check_share("sensitivity", sensitivity)
    check_share("ppv", ppv)
    positive, score, *_ = check_records(y_true, y_score)
    found = TierSearch(positive, score, sensitivity, ppv).find(np.ones((len(score), 1)))[:, 0]
    return float(found[0]), float(found[1]), float(found[2])


def assign_tiers(
    y_score: ArrayLike, rule_out: float, max_f1: float, rule_in: float, *, usable: ArrayLike | None = None
) -> NDArray[np.str_]:
    """Return the risk tier of each score.

    Parameters
    ----------
    y_score : array-like of shape (n_records,)
        Scores.
    rule_out, max_f1, rule_in : float
        Thresholds in rising order, as from `tier_thresholds`.
    usable : array-like of bool, shape (n_records,), optional
        Which records can be judged; all if None. Scores of the others may be anything, also NaN.

    Returns
    -------
    ndarray of shape (n_records,) of str
        "rule-out", "low", "high" or "rule-in"; "not judged" for records that cannot be judged.

    Raises
    ------
    ValueError
        If the thresholds fall, a score of a record that can be judged is not a finite number, or `usable` is no mask
        of the records.

    Examples
    --------
    >>> from omi_estimators.metrics import assign_tiers
    >>> assign_tiers([0.1, 0.2, 0.5, 0.9], 0.2, 0.4, 0.9).tolist()
    ['rule-out', 'low', 'high', 'rule-in']
    >>> assign_tiers([0.1, float("nan")], 0.2, 0.4, 0.9, usable=[True, False]).tolist()
    ['rule-out', 'not judged']
    """
    if not rule_out <= max_f1 <= rule_in:
        raise ValueError(
            f"Thresholds must rise: rule_out <= max_f1 <= rule_in; got {rule_out:g}, {max_f1:g}, {rule_in:g}."
        )
    n_records = np.size(y_score)
    judged = np.ones(n_records, dtype=bool) if usable is None else np.asarray(usable)
    if judged.dtype != bool or judged.shape != (n_records,):
        raise ValueError(
            f"usable must be a mask of the {n_records} scores, True for a record that can be judged; "
            f"got {judged.dtype} of shape {judged.shape}."
        )
    score = check_scores(y_score if judged.all() else np.where(judged, y_score, 0.0), n_records, probability=False)
    tiers = np.array(TIERS)[np.searchsorted([rule_out, max_f1, rule_in], score, side="right")]
    return np.where(judged, tiers, NOT_JUDGED)


def count_tiers(
    y_true: ArrayLike, tiers: ArrayLike, groups: ArrayLike | None = None, confidence_level: float = 0.95
) -> dict[str, TierCount]:
    """Return what each risk tier holds.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    tiers : array-like of shape (n_records,) of str
        As from `assign_tiers`.
    groups : array-like of shape (n_records,), optional
        Patient of each record. Without it each record counts as a patient of its own.
    confidence_level : float, default=0.95
        Level of the intervals, Wilson's, widened where records of a patient are alike.

    Returns
    -------
    dict of str to TierCount
        What each tier holds, lowest risk first. If there are any, records that were not judged come last, and count
        in no tier.

    Raises
    ------
    ValueError
        If labels, tiers and groups do not fit together, or a tier is none.

    See Also
    --------
    omi_estimators.triage.tier_table : The same as a table.

    Examples
    --------
    >>> from omi_estimators.metrics import count_tiers
    >>> counts = count_tiers([0, 0, 1, 1], ["rule-out", "low", "rule-in", "not judged"])
    >>> {tier: found.n_events for tier, found in counts.items()}
    {'rule-out': 0, 'low': 0, 'high': 0, 'rule-in': 1, 'not judged': 1}
    """
    names = np.asarray(tiers)
    positive, _, units, _ = check_records(y_true, np.zeros(np.shape(y_true)), groups)
    if names.shape != positive.shape:
        raise ValueError(f"tiers must hold one for each of the {len(positive)} labels; got shape {names.shape}.")
    unknown = sorted(set(names.tolist()) - {*TIERS, NOT_JUDGED})
    if unknown:
        raise ValueError(f"tiers must be among {', '.join((*TIERS, NOT_JUDGED))}; got {unknown[0]!r}.")
    counts = {}
    for tier in (*TIERS, NOT_JUDGED) if NOT_JUDGED in names else TIERS:
        here = names == tier
        found = find_share(here, positive, units, confidence_level)
        counts[tier] = TierCount(int(here.sum()), int(positive[here].sum()), found.estimate, found.low, found.high)
    return counts


def check_share(name: str, value: float) -> None:
    """Raise a ValueError for a share that is not above 0 and at most 1."""
    if not 0 < value <= 1:
        raise ValueError(f"{name} must be a share above 0 and at most 1; got {value!r}.")


def _complain(ppv: float, best: float, on_unreachable: str) -> None:
    """Raise or warn that nobody can be ruled in."""
    what = f"No threshold reaches a positive predictive value of {ppv:g}"
    if on_unreachable == "raise":
        raise ValueError(f"{what}; the best is {best:.3g}. Ask for less, or give more records.")
    warnings.warn(f"{what} (the best is {best:.3g}): nobody is ruled in.", UserWarning, stacklevel=3)


def _count(ranked: Ranked, weights: Floats) -> tuple[Floats, Floats]:
    """Return true positives and all called positive at each cut, shape (n_cuts, n_resamples)."""
    hits, others = ranked.count(weights)
    return hits[1:], hits[1:] + others[1:]


def _find_rule_out(hits: Floats, sensitivity: float) -> NDArray[np.intp]:
    """Return the first cut that keeps the sensitivity."""
    # Divided, not multiplied: 7 / 100 >= 0.07 holds in floating point, where 0.07 * 100 exceeds 7.
    return np.argmax(hits / hits[-1] >= sensitivity, axis=0)


def _find_rule_in(hits: Floats, called: Floats, ppv: float) -> tuple[Mask, NDArray[np.intp]]:
    """Return which cuts reach the PPV, and the last of them; -1 if there is none."""
    # A score that a resample lacks is no cut of it.
    reaches = (np.diff(called, axis=0, prepend=0) > 0) & (hits / np.where(called > 0, called, 1) >= ppv)
    return reaches, np.where(reaches.any(axis=0), len(hits) - 1 - np.argmax(reaches[::-1], axis=0), -1)


class TierSearch:
    """The three thresholds for many vectors of record weights at once, over scores that are sorted once."""

    def __init__(self, positive: Mask, score: Floats, sensitivity: float, ppv: float):
        self._ranked = Ranked(positive, score)
        self._sensitivity, self._ppv = sensitivity, ppv

    def best_ppv(self, weights: Floats) -> float:
        """Return the greatest PPV that any cut reaches on the data as they are."""
        hits, called = _count(self._ranked, weights)
        return float((hits / called).max())

    def find(self, weights: Floats) -> Floats:
        """Return rule-out, max-F1 and rule-in thresholds, shape (3, n_resamples)."""
        hits, called = _count(self._ranked, weights)
        cuts, index = self._ranked.cuts, np.arange(len(hits))[:, np.newaxis]
        rule_out = _find_rule_out(hits, self._sensitivity)
        reaches, rule_in = _find_rule_in(hits, called, self._ppv)
        crossed = rule_in > rule_out
        between = np.where(
            crossed, (index >= rule_out) & (index <= rule_in) & reaches, (index >= rule_in) & (index <= rule_out)
        )
        # A score that a resample lacks is no cut of it.
        is_cut = np.diff(called, axis=0, prepend=0) > 0
        max_f1 = np.argmax(np.where(between & is_cut, 2 * hits / (called + hits[-1]), -1.0), axis=0)
        rule_out, rule_in = np.where(crossed, max_f1, rule_out), np.where(crossed, max_f1, rule_in)
        return np.stack([cuts[rule_out], cuts[max_f1], np.where(rule_in < 0, np.inf, cuts[rule_in])])
