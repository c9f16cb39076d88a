"""Thresholds for a sensitivity, for a predictive value, and between risk tiers; and what the tiers hold."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtrik, betainc

from omi_estimators._text import make_html_table
from omi_estimators._validation import check_level, check_scores, check_weights, make_rng, warn_few
from omi_estimators.metrics._bootstrap import Resampler, check_records
from omi_estimators.metrics._proportion import find_share
from omi_estimators.metrics._results import Floats, Interval
from omi_estimators.metrics._weighted import Codes, Mask, Ranked

TIERS = ("rule-out", "low", "high", "rule-in")
"""The risk tiers, lowest risk first."""

NOT_JUDGED = "not judged"
"""What a record that cannot be judged has in place of a risk tier."""

# Thresholds for a promised PPV are tested downwards, from where a quarter as many patients are ruled in as have
# events, at steps of two in a hundred patients. A later start gives up models that can rule in only a few.
_FIRST_SHARE, _STEP = 0.25, 1.02

# Sums of shares of a patient's records are whole numbers up to this.
_ROUNDING = 1e-9


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
    guarantee : float or None
        The probability, over cohorts to choose thresholds on, with which `rule_out` keeps the sensitivity for all
        patients, and that with which `rule_in` keeps the PPV. None if they keep them on the given records only.
    """

    rule_out: Interval
    max_f1: Interval
    rule_in: Interval
    rule_in_unreached: float = 0.0
    guarantee: float | None = None

    def _repr_html_(self) -> str:
        cuts = {"rule-out below": self.rule_out, "high from": self.max_f1, "rule-in from": self.rule_in}
        rows = [(name, f"{cut.estimate:.3f}", f"{cut.low:.3f} to {cut.high:.3f}") for name, cut in cuts.items()]
        if self.guarantee is not None:
            rows.append(("each promise is kept with probability", f"{self.guarantee:g}", ""))
        return make_html_table(rows, ("", "probability", f"{self.rule_out.confidence_level:.0%} interval"))

    def __str__(self) -> str:
        promise = "" if self.guarantee is None else f"; each promise is kept with probability {self.guarantee:g}"
        return f"rule-out {self.rule_out}, max-F1 {self.max_f1}, rule-in {self.rule_in}{promise}"


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
    found = int(_find_last(_find_rule_in(hits, called, ppv))[0])
    if found < 0:
        _complain(ppv, float((hits / called).max()), "raise")
    return float(ranked.cuts[found])


def tier_thresholds(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    sensitivity: float = 0.9,
    ppv: float = 0.85,
    guarantee: float | None = None,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    on_unreachable: str = "warn",
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    random_state: Any = None,
) -> TierThresholds:
    r"""Return the thresholds that rule out, that rule in, and of greatest F1 between them.

    The rule-out threshold is the highest at which records at or above it hold the share `sensitivity` of
    positives; the rule-in threshold the lowest at which they are positive to the share `ppv` [1]_. A model may
    be so good that the rule-in threshold is the lower of the two. Nobody is then left between, and all three
    become the one threshold, of those between them that reach `ppv`, of greatest F1; it keeps both promises.

    Thresholds that keep a share on some patients fall short of it for all patients about every second time. With
    `guarantee` :math:`g` each of the two shares holds for all patients, those to come among them, in at least the
    share :math:`g` of cohorts that thresholds may be chosen on; both hold together in at least :math:`2g - 1`. What
    is promised is what one record of each patient shows, chosen by chance: the sensitivity for patients with events,
    of whom one positive record is taken, and the PPV among those of whom the record taken is ruled in. Every patient
    counts as one, however many records there are of him. Patients must come independently from those to come, and
    scores from one model that was not fitted on them.

    A threshold is tested by the binomial of Clopper and Pearson [2]_, with shares of the records of a patient in place
    of ones and zeros: exact for one record per patient or records that agree, and cautious between. Sensitivity falls
    as thresholds rise, so that the highest that passes is kept [3]_. The PPV need not rise, so that thresholds are
    tested in a fixed sequence, from where a quarter as many patients are ruled in as have events down to the first
    that fails [4]_.

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
    guarantee : float, optional
        The probability with which each promise is to be kept for all patients, from 0.5 to below 1. If None, promises
        are kept on the records given.
    sample_weight : array-like of shape (n_records,), optional
        Weight of each record in both shares and in F1; a weight of 0 is as good as absence. With `guarantee` all
        others must be equal.
    groups : array-like of shape (n_records,), optional
        Patient of each record, for the intervals and for `guarantee`. Without it each record counts as a patient of
        its own.
    on_unreachable : {"warn", "raise"}, default="warn"
        Where no threshold reaches `ppv`, or none can be promised to: a warning and an infinite rule-in threshold, so
        that nobody is ruled in, or an error.
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
        reached with ``on_unreachable="raise"``. With `guarantee`: if weights differ, or too few patients have events
        to promise anything; the message says how many it takes.

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
    .. [2] Clopper C. J., Pearson E. S., The use of confidence or fiducial limits illustrated in the case of the
       binomial, Biometrika 26:404-413, 1934. doi:10.1093/biomet/26.4.404
    .. [3] Bates S. et al., Distribution-free, risk-controlling prediction sets, Journal of the ACM 68:43, 2021.
       doi:10.1145/3478535
    .. [4] Angelopoulos A. N., Bates S., Candès E. J., Jordan M. I., Lei L., Learn then test: calibrating predictive
       algorithms to achieve risk control, Annals of Applied Statistics 19:1641-1662, 2025. doi:10.1214/24-AOAS1998

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.metrics import tier_thresholds
    >>> y = np.repeat([0, 1], [20, 12])
    >>> score = np.r_[np.linspace(0, 0.6, 20), np.linspace(0.3, 0.9, 12)]
    >>> found = tier_thresholds(y, score, ppv=0.9, random_state=0)
    >>> [round(t.estimate, 2) for t in (found.rule_out, found.max_f1, found.rule_in)]
    [0.35, 0.35, 0.63]

    With more patients, and a promise for those to come:

    >>> y = np.repeat([0, 1], [400, 100])
    >>> score = np.r_[np.linspace(0, 0.6, 400), np.linspace(0.3, 0.9, 100)]
    >>> found = tier_thresholds(y, score, guarantee=0.9, random_state=0)
    >>> [round(t.estimate, 2) for t in (found.rule_out, found.max_f1, found.rule_in)]
    [0.33, 0.6, 0.6]
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
    if guarantee is not None:
        _check_promise(positive, units, weights, sensitivity, ppv, guarantee)
        # Whatever the weight that all have, each patient is one.
        weights = np.ones_like(weights)
    search = TierSearch(positive, score, sensitivity, ppv, guarantee, units)
    estimate = search.find(weights)[:, 0]
    if np.isinf(estimate[2]):
        _complain(ppv, search.best_ppv(weights), on_unreachable, guarantee)
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
    return TierThresholds(rule_out, max_f1, rule_in, float(np.isinf(drawn[2]).mean()), guarantee)


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


def check_guarantee(guarantee: float) -> None:
    """Raise a ValueError for a probability that no promise can be kept with, or that makes none."""
    if not 0.5 <= guarantee < 1:
        raise ValueError(
            f"guarantee must be a probability from 0.5 to below 1, such as 0.9; got {guarantee!r}. "
            "No cohort makes a promise certain, and one that is broken more often than kept is none."
        )


def least_patients(name: str, share: float, guarantee: float) -> int:
    """Return how many patients, all of them right, it takes to promise a share with a probability."""
    check_share(name, share)
    check_guarantee(guarantee)
    if share == 1:
        raise ValueError(f"No cohort can promise a {name} of 1: ask for less, such as 0.95, or for no guarantee.")
    # Rounded, since 0.5 to the first power is 1 - 0.5, and takes one patient and not two.
    return math.ceil(round(math.log(1 - guarantee) / math.log(share), 9))


def allowed_misses(n_patients: Floats | np.float64, share: float, guarantee: float) -> Floats:
    """Return how many of so many patients may be missed at most where a share is to be promised.

    With the true share a little below, as few are missed with a probability of at most 1 - `guarantee`.
    """
    return np.asarray(bdtrik(1 - guarantee, n_patients, 1 - share))


def _check_promise(
    positive: Mask, units: Codes | None, weights: Floats, sensitivity: float, ppv: float, guarantee: float
) -> None:
    """Raise a ValueError where nothing can be promised from these patients."""
    if np.ptp(weights) > 0:
        raise ValueError(
            f"guarantee={guarantee:g} counts patients, and cannot be given with weights that differ (from "
            f"{weights.min():g} to {weights.max():g}): leave out sample_weight, or guarantee."
        )
    needed = {
        name: least_patients(name, share, guarantee) for name, share in (("sensitivity", sensitivity), ("ppv", ppv))
    }
    n_events = int(positive.sum()) if units is None else len(np.unique(units[positive]))
    if n_events < max(needed.values()):
        raise ValueError(
            f"Too few patients have events to promise anything with probability {guarantee:g}: a sensitivity of "
            f"{sensitivity:g} takes at least {needed['sensitivity']}, a PPV of {ppv:g} at least {needed['ppv']}; there "
            f"are {n_events}. Give more patients, or ask for less."
        )


def _complain(ppv: float, best: float, on_unreachable: str, guarantee: float | None = None) -> None:
    """Raise or warn that nobody can be ruled in."""
    reaches = "reaches" if guarantee is None else f"can be promised, with probability {guarantee:g}, to reach"
    what = f"No threshold {reaches} a positive predictive value of {ppv:g}"
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


def _find_rule_in(hits: Floats, called: Floats, ppv: float) -> Mask:
    """Return which cuts reach the PPV."""
    # A score that a resample lacks is no cut of it.
    return (np.diff(called, axis=0, prepend=0) > 0) & (hits / np.where(called > 0, called, 1) >= ppv)


def _find_last(reaches: Mask) -> NDArray[np.intp]:
    """Return the last cut of each column that reaches what is asked; -1 if there is none."""
    return np.where(reaches.any(axis=0), len(reaches) - 1 - np.argmax(reaches[::-1], axis=0), -1)


def _test_in_sequence(hits: Floats, called: Floats, ppv: float, guarantee: float) -> NDArray[np.intp]:
    """Return the cuts that the PPV can be promised for, tested from few patients called to many until one fails."""
    start = max(least_patients("ppv", ppv, guarantee), _FIRST_SHARE * hits[-1])
    steps = start * _STEP ** np.arange(math.log(max(called[-1] / start, 1)) / math.log(_STEP) + 1)
    rows = np.unique(np.searchsorted(called, steps - _ROUNDING))
    rows = rows[rows < len(called)]
    # The probability of as many hits if the PPV were just short: the upper tail of the binomial.
    tail = betainc(np.maximum(hits[rows], _ROUNDING), called[rows] - hits[rows] + 1, ppv)
    return rows[np.logical_and.accumulate(tail <= 1 - guarantee)]


class TierSearch:
    """The three thresholds for many vectors of record weights at once, over scores that are sorted once."""

    def __init__(
        self,
        positive: Mask,
        score: Floats,
        sensitivity: float,
        ppv: float,
        guarantee: float | None = None,
        units: Codes | None = None,
    ):
        self._ranked = Ranked(positive, score)
        self._sensitivity, self._ppv, self._guarantee = sensitivity, ppv, guarantee
        codes = np.arange(len(positive)) if units is None else units
        # The chance of a record to be the one that is taken of its patient, or of his positive ones.
        self._chance = 1 / np.bincount(codes)[codes, np.newaxis]
        self._chance_of_positive = 1 / np.maximum(np.bincount(codes, positive), 1)[codes, np.newaxis]

    def best_ppv(self, weights: Floats) -> float:
        """Return the greatest PPV that any cut reaches on the data as they are."""
        hits, called = _count(self._ranked, weights)
        return float((hits / called).max())

    def find(self, weights: Floats) -> Floats:
        """Return rule-out, max-F1 and rule-in thresholds, shape (3, n_resamples)."""
        hits, called = _count(self._ranked, weights)
        cuts, index = self._ranked.cuts, np.arange(len(hits))[:, np.newaxis]
        if self._guarantee is None:
            rule_out = _find_rule_out(hits, self._sensitivity)
            reaches = _find_rule_in(hits, called, self._ppv)
        else:
            rule_out, reaches = self._find_promised(weights, self._guarantee)
        rule_in = _find_last(reaches)
        crossed = rule_in > rule_out
        between = np.where(
            crossed, (index >= rule_out) & (index <= rule_in) & reaches, (index >= rule_in) & (index <= rule_out)
        )
        # A score that a resample lacks is no cut of it.
        is_cut = np.diff(called, axis=0, prepend=0) > 0
        max_f1 = np.argmax(np.where(between & is_cut, 2 * hits / (called + hits[-1]), -1.0), axis=0)
        rule_out, rule_in = np.where(crossed, max_f1, rule_out), np.where(crossed, max_f1, rule_in)
        return np.stack([cuts[rule_out], cuts[max_f1], np.where(rule_in < 0, np.inf, cuts[rule_in])])

    def _find_promised(self, weights: Floats, guarantee: float) -> tuple[NDArray[np.intp], Mask]:
        """Return the first cut that the sensitivity can be promised for, and those that the PPV can."""
        hits, _ = _count(self._ranked, weights * self._chance_of_positive)
        allowed = allowed_misses(hits[-1], self._sensitivity, guarantee)
        rule_out = np.argmax(hits[-1] - hits <= allowed + _ROUNDING, axis=0)
        hits, called = _count(self._ranked, weights * self._chance)
        reaches = np.zeros(hits.shape, dtype=bool)
        for column in range(hits.shape[1]):
            reaches[_test_in_sequence(hits[:, column], called[:, column], self._ppv, guarantee), column] = True
        return rule_out, reaches
