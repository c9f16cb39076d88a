"""What a classifier of any kind loses when a segment of a lead says nothing, and a picture of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from omi_estimators._text import is_silent
from omi_estimators._validation import count_noun
from omi_estimators.displays import get_axes
from omi_estimators.inspection._beats import SEGMENTS, Waves, find_waves
from omi_estimators.inspection._paper import name_leads
from omi_estimators.inspection._saliency import find_target
from omi_estimators.leads import check_ecg
from omi_estimators.preprocessing import NoBeatError, Usable, report_unusable

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
    column = find_target(estimator.classes_, target)
    waves, usable = _find_all(X, sampling_rate)
    others = (
        None if background is None else check_ecg(background, n_leads=len(names), allow_nan=True, name="background")
    )
    typical = _typical_course(waves if others is None else _find_all(others, sampling_rate)[0])
    report_unusable(usable, on_error="warn", consequence="NaN, having no beat to ablate")
    log_odds = _log_odds(estimator, X, column)
    unchanged = np.where(usable.mask, log_odds, np.nan)
    ablated = np.tile(unchanged[:, np.newaxis, np.newaxis], (1, len(groups), len(segments)))
    rounds = list(itertools.product(range(len(groups)), range(len(segments))))
    for g, s in tqdm(rounds, desc="Segments of leads", disable=is_silent(verbose)):
        positions, segment = [names.index(lead) for lead in list(groups.values())[g]], segments[s]
        found = {row: wave for row, wave in enumerate(waves) if wave is not None and segment in wave.segments()}
        rows = list(found)
        if rows and segment in typical:
            changed = X[rows]
            for record, wave in zip(changed, found.values(), strict=True):
                _replace(record, wave, segment, positions, typical[segment], sampling_rate)
            ablated[rows, g, s] = _log_odds(estimator, changed, column)
    return Ablation(log_odds, ablated, tuple(groups), tuple(segments), estimator.classes_[column])


class AblationDisplay:
    """The mean fall of a classifier's log-odds without each segment of each lead.

    Orange spoke for the class, purple against it.

    Parameters
    ----------
    ablation : Ablation
        From `ablation_importance`.
    rows : array-like of bool or of indices, optional
        The records to average over, such as ``y == 1``; all if None.
    name : str, optional
        Of the model, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators import make_forest_pipeline
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> from omi_estimators.inspection import AblationDisplay
    >>> ecgs = make_omi_ecgs(n_patients=20, prevalence=0.4, random_state=0)
    >>> forest = make_forest_pipeline(ecgs.sampling_rate, n_estimators=20, random_state=0).fit(ecgs.X, ecgs.y)
    >>> display = AblationDisplay.from_estimator(
    ...     forest, ecgs.X[:3], sampling_rate=500, segments=["ST"], ax=Figure().add_subplot()
    ... )
    >>> display.ablation.leads[:2]
    ('I', 'II')
    """

    def __init__(self, ablation: Ablation, *, rows: ArrayLike | None = None, name: str | None = None) -> None:
        self.ablation = ablation
        self.rows = rows
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        sampling_rate: float,
        rows: ArrayLike | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Ablate and draw.

        Parameters
        ----------
        estimator : fitted classifier
            Of raw records.
        X : array-like of shape (n_records, n_leads, n_samples)
            Raw records in millivolts.
        sampling_rate : float
            In Hz.
        rows : array-like of bool or of indices, optional
            The records to average over; all if None.
        name : str, optional
            Of the model.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        **kwargs
            As in `ablation_importance`.

        Returns
        -------
        AblationDisplay
            Drawn.
        """
        found = ablation_importance(estimator, X, sampling_rate=sampling_rate, **kwargs)
        return cls(found, rows=rows, name=name).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.

        Returns
        -------
        AblationDisplay
            Itself.
        """
        change = self.ablation.mean_change(self.rows)
        self.ax_ = get_axes(ax, (1.6 + 0.8 * change.shape[1], 1.2 + 0.34 * change.shape[0]))
        self.figure_ = self.ax_.figure
        limit = max(float(np.abs(change).max()), 1e-9)
        image = self.ax_.imshow(change, cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto")
        for (row, column), value in np.ndenumerate(change):
            colour = "#ffffff" if abs(value) > 0.7 * limit else "#000000"
            self.ax_.text(column, row, f"{value:+z.2f}", ha="center", va="center", fontsize=7, color=colour)
        self.ax_.set(
            xticks=range(len(self.ablation.segments)),
            xticklabels=self.ablation.segments,
            yticks=range(len(self.ablation.leads)),
            yticklabels=self.ablation.leads,
        )
        self.ax_.tick_params(length=0)
        self.ax_.spines[:].set_visible(False)
        n_records = len(self.ablation.log_odds[... if self.rows is None else np.asarray(self.rows)])
        records = count_noun(n_records, "record")
        title = records if self.name is None else f"{self.name}, {records}"
        self.ax_.set_title(title, fontsize=9, color="#333333")
        self.figure_.colorbar(image, ax=self.ax_, label=f"Fall of the log-odds of class {self.ablation.target}")
        return self


def _check_names(names: Sequence[str], groups: Mapping[str, Sequence[str]], segments: Sequence[str]) -> None:
    """Raise a ValueError for leads or segments that are not there."""
    unknown = sorted({lead for leads in groups.values() for lead in leads} - set(names))
    if unknown or not groups:
        raise ValueError(f"lead_groups names {unknown}, but the records have the leads {list(names)}.")
    unknown = sorted(set(segments) - set(SEGMENTS))
    if unknown or not len(segments):
        raise ValueError(f"segments must be some of {', '.join(SEGMENTS)}; got {list(segments)}.")


def _find_all(X: NDArray[Any], sampling_rate: float) -> tuple[list[Waves | None], Usable]:
    """Return the waves of each record, None where there is no beat, and which have one, with the reasons."""
    waves: list[Waves | None] = []
    reasons = [""] * len(X)
    for row, record in enumerate(X):
        try:
            waves.append(find_waves(record, sampling_rate))
        except NoBeatError as error:
            waves.append(None)
            reasons[row] = str(error)
    return waves, Usable.from_reasons(reasons)


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
