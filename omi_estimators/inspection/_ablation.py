"""What a classifier of any kind loses when a segment of a lead says nothing."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from omi_estimators.inspection._paper import name_leads
from omi_estimators.inspection._waves import SEGMENTS, Waves, find_waves
from omi_estimators.leads import check_ecg
from omi_estimators.preprocessing import NoBeatError, UnusableRecordWarning

Array = NDArray[np.float64]

# Probabilities of forests reach 0 and 1; beyond these odds they are not told apart.
_CLIP = 1e-3
# Samples of a segment's typical course, and the time (s) in which a record gives way to it at both ends.
_N_TYPICAL, _FADE = 100, 0.008


@dataclass(frozen=True, eq=False)
class Ablation:
    """What a classifier said of records, and of the same records without one segment of one lead.

    Attributes
    ----------
    log_odds : ndarray of shape (n_records,)
        Of the class, of the whole record, no further from 0 than those of 0.001 and 0.999.
    ablated : ndarray of shape (n_records, n_lead_groups, n_segments)
        The same without a segment of a lead; NaN for records without a beat.
    leads : tuple of str
        Names of the leads or groups of leads.
    segments : tuple of str
        Names of the segments.
    target : class label
        The class.
    """

    log_odds: Array
    ablated: Array
    leads: tuple[str, ...]
    segments: tuple[str, ...]
    target: Any

    @property
    def changes(self) -> Array:
        """Fall of the log-odds, of shape (n_records, n_lead_groups, n_segments): positive spoke for the class."""
        return self.log_odds[:, np.newaxis, np.newaxis] - self.ablated

    def mean_change(self, rows: ArrayLike | None = None) -> Array:
        """Return the mean fall of the log-odds.

        Parameters
        ----------
        rows : array-like of shape (n_records,) of bool, or of indices, optional
            The records to average over; all if None.

        Returns
        -------
        ndarray of shape (n_lead_groups, n_segments)
            Positive where the segment spoke for the class, on average over the records that have a beat.
        """
        chosen = self.changes if rows is None else self.changes[np.asarray(rows)]
        return np.nanmean(chosen, axis=0)

    def score_drop(self, y: ArrayLike, metric: Callable[..., float] = roc_auc_score) -> Array:
        """Return how much worse the records are told apart.

        Parameters
        ----------
        y : array-like of shape (n_records,)
            Labels.
        metric : callable, default=sklearn.metrics.roc_auc_score
            ``metric(is_target, log_odds)``, larger is better.

        Returns
        -------
        ndarray of shape (n_lead_groups, n_segments)
            Score of the whole records minus score without the segment.
        """
        positive = np.asarray(y) == self.target
        whole = metric(positive, self.log_odds)
        kept = np.where(np.isfinite(self.ablated), self.ablated, self.log_odds[:, np.newaxis, np.newaxis])
        drops = [whole - metric(positive, column) for column in kept.reshape(len(kept), -1).T]
        return np.reshape(drops, kept.shape[1:])

    def __repr__(self) -> str:
        return f"<Ablation: {len(self.log_odds)} records, {len(self.leads)} leads x {', '.join(self.segments)}>"


def ablation_importance(
    estimator: Any,
    X: ArrayLike,
    *,
    sampling_rate: float,
    background: ArrayLike | None = None,
    lead_groups: Mapping[str, Sequence[str]] | None = None,
    segments: Sequence[str] = SEGMENTS,
    target: Any = None,
    verbose: int = 0,
) -> Ablation:
    """Replace each segment of each lead by its typical course, and see what a classifier then says.

    Nothing is asked of the classifier but `predict_proba` of raw records, so that a network and a forest are seen on
    the same axes. In every beat of a record, the difference between the typical course of the segment and that of the
    record's own average beat is added, faded in and out over 8 ms; rhythm, noise and all else stay. The typical
    course is the mean over the background's records, brought to the same length.

    Parameters
    ----------
    estimator : fitted classifier
        Of raw records, such as `make_net_pipeline`, `make_forest_pipeline` or `make_fusion` return.
    X : array-like of shape (n_records, n_leads, n_samples)
        Raw records in millivolts.
    sampling_rate : float
        In Hz.
    background : array-like of shape (n_background_records, n_leads, n_samples), optional
        Records whose segments are typical, such as those without OMI; `X` if None.
    lead_groups : mapping of str to sequence of str, optional
        Leads that are replaced together, such as `TERRITORIES`; each lead alone if None. Leads of a 12-lead ECG follow
        in part from each other, so that what one lead loses may still be seen in another.
    segments : sequence of {"P", "QRS", "ST", "T"}, default=("P", "QRS", "ST", "T")
        ST is J to half-way to the T peak, and T goes on from there.
    target : class label, optional
        The class asked for; the second of two, and needed for more.
    verbose : int, default=0
        1 shows a progress bar: each segment of each lead takes a prediction of all records.

    Returns
    -------
    Ablation
        What was said of every record. A segment that a record lacks (P in fibrillation) changes nothing; a record
        without a beat is NaN, with one warning that names these records.

    Raises
    ------
    ValueError
        If a name or the shape of a record is not one, or no record of the background has a beat.

    See Also
    --------
    saliency : Finer in time, of networks only.
    feature_importance : Of the features of a forest.

    Examples
    --------
    >>> from omi_estimators import make_forest_pipeline
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> from omi_estimators.inspection import ablation_importance
    >>> from omi_estimators.leads import TERRITORIES
    >>> ecgs = make_omi_ecgs(n_patients=20, prevalence=0.4, random_state=0)
    >>> forest = make_forest_pipeline(ecgs.sampling_rate, n_estimators=20, random_state=0).fit(ecgs.X, ecgs.y)
    >>> ablation_importance(forest, ecgs.X[:3], sampling_rate=500, lead_groups=TERRITORIES, segments=["ST"])
    <Ablation: 3 records, 4 leads x ST>
    """
    X = check_ecg(X, allow_nan=True)
    names = name_leads(X[0], None)
    groups = {lead: (lead,) for lead in names} if lead_groups is None else dict(lead_groups)
    _check_names(names, groups, segments)
    column = _column(estimator, target)
    waves, reasons = _find_all(X, sampling_rate)
    others = (
        None if background is None else check_ecg(background, n_leads=len(names), allow_nan=True, name="background")
    )
    typical = _typical_course(waves if others is None else _find_all(others, sampling_rate)[0])
    if reasons:
        named = "; ".join(f"record {i}: {reason}" for i, reason in list(reasons.items())[:5])
        warnings.warn(
            f"{len(reasons)} of {len(X)} records have no beat to ablate and are NaN ({named}).",
            UnusableRecordWarning,
            stacklevel=2,
        )
    log_odds = _log_odds(estimator, X, column)
    has_beat = np.array([wave is not None for wave in waves])
    unchanged = np.where(has_beat, log_odds, np.nan)
    ablated = np.tile(unchanged[:, np.newaxis, np.newaxis], (1, len(groups), len(segments)))
    rounds = list(itertools.product(range(len(groups)), range(len(segments))))
    for g, s in tqdm(rounds, desc="Segments of leads", disable=not verbose):
        positions, segment = [names.index(lead) for lead in list(groups.values())[g]], segments[s]
        found = {row: wave for row, wave in enumerate(waves) if wave is not None and segment in wave.segments()}
        rows = list(found)
        if rows and segment in typical:
            changed = X[rows]
            for record, wave in zip(changed, found.values(), strict=True):
                _replace(record, wave, segment, positions, typical[segment], sampling_rate)
            ablated[rows, g, s] = _log_odds(estimator, changed, column)
    return Ablation(log_odds, ablated, tuple(groups), tuple(segments), estimator.classes_[column])


def _check_names(names: Sequence[str], groups: Mapping[str, Sequence[str]], segments: Sequence[str]) -> None:
    """Raise a ValueError for leads or segments that are not there."""
    unknown = sorted({lead for leads in groups.values() for lead in leads} - set(names))
    if unknown or not groups:
        raise ValueError(f"lead_groups names {unknown}, but the records have the leads {list(names)}.")
    unknown = sorted(set(segments) - set(SEGMENTS))
    if unknown or not len(segments):
        raise ValueError(f"segments must be some of {', '.join(SEGMENTS)}; got {list(segments)}.")


def _column(estimator: Any, target: Any) -> int:
    """Return the position of the class asked for."""
    classes = np.asarray(estimator.classes_)
    if target is None and len(classes) == 2:
        return 1
    found = np.flatnonzero(classes == target)
    if not found.size:
        raise ValueError(f"target must be one of the classes {classes.tolist()}; got {target!r}.")
    return int(found[0])


def _find_all(X: NDArray[Any], sampling_rate: float) -> tuple[list[Waves | None], dict[int, str]]:
    """Return the waves of each record, None where there is no beat, and the reasons."""
    waves: list[Waves | None] = []
    reasons = {}
    for row, record in enumerate(X):
        try:
            waves.append(find_waves(record, sampling_rate))
        except NoBeatError as error:
            waves.append(None)
            reasons[row] = str(error)
    return waves, reasons


def _resample(course: Array, n_samples: int) -> Array:
    """Return a course (n_leads, n) at another number of samples, by straight lines."""
    places = np.linspace(0, course.shape[1] - 1, n_samples)
    return np.stack([np.interp(places, np.arange(course.shape[1]), lead) for lead in course])


def _typical_course(waves: Sequence[Waves | None]) -> dict[str, Array]:
    """Return the mean course of each segment over records, shape (n_leads, _N_TYPICAL)."""
    if all(wave is None for wave in waves):
        raise ValueError("No record of the background has a beat, so that nothing is typical; give other records.")
    courses: dict[str, list[Array]] = {segment: [] for segment in SEGMENTS}
    for wave in (wave for wave in waves if wave is not None):
        for segment, (begin, end) in wave.segments().items():
            courses[segment].append(_resample(wave.beat.waveform[:, begin:end], _N_TYPICAL))
    return {segment: np.mean(found, axis=0) for segment, found in courses.items() if found}


def _replace(
    record: NDArray[Any], waves: Waves, segment: str, leads: list[int], typical: Array, sampling_rate: float
) -> None:
    """Give `record`, in place, the typical course of a segment in some leads of every beat that was averaged."""
    begin, end = waves.segments()[segment]
    own = waves.beat.waveform[leads, begin:end]
    steps = np.arange(end - begin)
    fade = np.clip((np.minimum(steps, steps[::-1]) + 1) / max(1.0, _FADE * sampling_rate), 0, 1)
    difference = (_resample(typical[leads], end - begin) - own) * fade
    for peak in waves.beat.peaks[waves.beat.used]:
        first = peak - waves.beat.r_index + begin
        inside = slice(max(0, -first), max(0, min(end - begin, record.shape[1] - first)))
        if inside.start < inside.stop:
            record[leads, first + inside.start : first + inside.stop] += difference[:, inside]


def _log_odds(estimator: Any, X: NDArray[Any], column: int) -> Array:
    """Return the log-odds of the class."""
    probabilities = np.asarray(estimator.predict_proba(X), dtype=np.float64)[:, column]
    return logit(np.clip(probabilities, _CLIP, 1 - _CLIP))
