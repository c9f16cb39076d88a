"""Thresholds between risk tiers, and how sure they are."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators._validation import (
    check_codes,
    check_labels,
    check_level,
    check_scores,
    check_weights,
    make_rng,
    warn_few,
)
from omi_estimators.metrics._bootstrap import Resampler
from omi_estimators.metrics._decision import check_share
from omi_estimators.metrics._proportion import proportion_interval
from omi_estimators.metrics._results import Floats, Interval

TIERS = ("rule-out", "low", "high", "rule-in")


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
    """What one tier holds: records, events, and the share of events with its interval (NaN if empty)."""

    n_records: int
    n_events: int
    rate: float
    low: float
    high: float


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
    positive = check_labels(y_true)
    score = check_scores(y_score, len(positive), probability=False)
    units = check_codes(groups, len(positive), name="groups")
    given = check_weights(sample_weight, len(positive))
    weights = np.ones(len(score)) if given is None else given
    kept = weights > 0
    weights, positive, score = weights[kept, np.newaxis], positive[kept], score[kept]
    units = None if units is None else np.unique(units[kept], return_inverse=True)[1]
    warn_few(positive, units)
    search = TierSearch(positive, score, sensitivity, ppv)
    estimate = search.find(weights)[:, 0]
    if np.isinf(estimate[2]):
        _complain(
            f"No threshold reaches a positive predictive value of {ppv:g}", search.best_ppv(weights), on_unreachable
        )
    resampler = Resampler(positive, units, None)
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1; got {n_resamples!r}.")
    drawn = np.concatenate(
        [search.find(w * weights) for w in resampler.draw(n_resamples, make_rng(random_state))], axis=1
    )
    tails = [(1 - confidence_level) / 2, (1 + confidence_level) / 2]
    # Values as they are: nothing lies between a threshold and infinity.
    low, high = np.quantile(drawn, tails, axis=1, method="inverted_cdf")
    rule_out, max_f1, rule_in = (
        Interval(float(value), float(a), float(b), confidence_level, "percentile", n_resamples)
        for value, a, b in zip(estimate, low, high, strict=True)
    )
    return TierThresholds(rule_out, max_f1, rule_in, float(np.isinf(drawn[2]).mean()))


def assign_tiers(y_score: ArrayLike, rule_out: float, max_f1: float, rule_in: float) -> NDArray[np.str_]:
    """Return the risk tier of each score.

    Parameters
    ----------
    y_score : array-like of shape (n_records,)
        Scores.
    rule_out, max_f1, rule_in : float
        Thresholds in rising order, as from `tier_thresholds`.

    Returns
    -------
    ndarray of shape (n_records,) of str
        "rule-out", "low", "high" or "rule-in".

    Raises
    ------
    ValueError
        If the thresholds fall, or a score is not a finite number.

    Examples
    --------
    >>> from omi_estimators.metrics import assign_tiers
    >>> assign_tiers([0.1, 0.2, 0.5, 0.9], 0.2, 0.4, 0.9).tolist()
    ['rule-out', 'low', 'high', 'rule-in']
    """
    if not rule_out <= max_f1 <= rule_in:
        raise ValueError(
            f"Thresholds must rise: rule_out <= max_f1 <= rule_in; got {rule_out:g}, {max_f1:g}, {rule_in:g}."
        )
    score = check_scores(y_score, np.size(y_score), probability=False)
    return np.array(TIERS)[np.searchsorted([rule_out, max_f1, rule_in], score, side="right")]


def count_tiers(
    y_true: ArrayLike, tiers: ArrayLike, groups: ArrayLike | None, confidence_level: float
) -> dict[str, TierCount]:
    """Return what each tier holds, lowest risk first; raise a ValueError for tiers that are none."""
    positive = check_labels(y_true)
    names = np.asarray(tiers)
    if names.shape != positive.shape:
        raise ValueError(f"tiers must hold one for each of the {len(positive)} labels; got shape {names.shape}.")
    unknown = sorted(set(names.tolist()) - set(TIERS))
    if unknown:
        raise ValueError(f"tiers must be among {', '.join(TIERS)}; got {unknown[0]!r}.")
    units = check_codes(groups, len(positive), name="groups")
    counts = {}
    for tier in TIERS:
        here = names == tier
        ends = proportion_interval(positive[here], None if units is None else units[here], confidence_level)
        rate = float(positive[here].mean()) if here.any() else float("nan")
        counts[tier] = TierCount(int(here.sum()), int(positive[here].sum()), rate, *ends)
    return counts


def _complain(what: str, best: float, on_unreachable: str) -> None:
    """Raise or warn that nobody can be ruled in."""
    if on_unreachable == "raise":
        raise ValueError(f"{what}; the best is {best:.3g}. Ask for less, or give more records.")
    warnings.warn(f"{what} (the best is {best:.3g}): nobody is ruled in.", UserWarning, stacklevel=3)


class TierSearch:
    """The three thresholds for many vectors of record weights at once, over scores that are sorted once."""

    def __init__(self, positive: NDArray[np.bool_], score: Floats, sensitivity: float, ppv: float):
        falling = np.argsort(-score, kind="stable")
        self._order = falling
        self._positive = positive[falling].astype(np.float64)[:, np.newaxis]
        # Tied scores are called positive together, so only the last of them can be cut at.
        self._last = np.flatnonzero(np.r_[np.diff(score[falling]) != 0, True])
        self._cuts = score[falling][self._last]
        self._sensitivity, self._ppv = sensitivity, ppv

    def _count(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return true positives and all called positive at each cut, shape (n_cuts, n_resamples)."""
        ranked = weights[self._order]
        return (
            np.cumsum(ranked * self._positive, axis=0)[self._last],
            np.cumsum(ranked, axis=0)[self._last],
        )

    def best_ppv(self, weights: Floats) -> float:
        """Return the greatest PPV that any cut reaches on the data as they are."""
        hits, called = self._count(weights)
        return float((hits / called).max())

    def find(self, weights: Floats) -> Floats:
        """Return rule-out, max-F1 and rule-in thresholds, shape (3, n_resamples)."""
        hits, called = self._count(weights)
        index = np.arange(len(self._cuts))[:, np.newaxis]
        # A score that a resample lacks is no cut of it.
        is_cut = np.diff(called, axis=0, prepend=0) > 0
        rule_out = np.argmax(hits / hits[-1] >= self._sensitivity, axis=0)
        # Divided, not multiplied, as in `threshold_at_ppv`: rounding must not decide.
        reaches = is_cut & (hits / np.where(called > 0, called, 1) >= self._ppv)
        rule_in = np.where(reaches.any(axis=0), len(index) - 1 - np.argmax(reaches[::-1], axis=0), -1)
        crossed = rule_in > rule_out
        between = np.where(
            crossed, (index >= rule_out) & (index <= rule_in) & reaches, (index >= rule_in) & (index <= rule_out)
        )
        f1 = np.where(between & is_cut, 2 * hits / (called + hits[-1]), -1.0)
        max_f1 = np.argmax(f1, axis=0)
        rule_out = np.where(crossed, max_f1, rule_out)
        rule_in = np.where(crossed, max_f1, rule_in)
        return np.stack([self._cuts[rule_out], self._cuts[max_f1], np.where(rule_in < 0, np.inf, self._cuts[rule_in])])
