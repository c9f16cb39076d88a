"""Whether a record can be judged, and why not: what every room asks, and nobody reads from zeros, NaN or warnings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from omi_estimators._compat import num_samples
from omi_estimators.preprocessing._gaps import cut_stretches, fill_gaps, recorded_span

# A lead that moves by less than this (mV, peak to peak) in most stretches of 2 s shows no heart: one count of 5 µV.
_FLAT, _STRETCH = 0.005, 2.0
# No heart moves a lead that much (mV, standard deviation) in most half seconds: of 600 real records the worst lead
# has 1.9.
_LARGEST_SPREAD, _HALF_SECOND = 4.0, 0.5
# Amplifiers without electrodes rest on both ends of their range for this share of the time each; hearts never do.
_AT_RAIL = 0.05
# Where more than this share of the leads that were recorded is faulty, electrodes are off, and the rest is not judged.
_MOST_FAULTY = 0.5


class UnusableRecordWarning(UserWarning):
    """Some records cannot be judged, or the whole batch looks wrong (unit)."""


class Usable(NamedTuple):
    """Which records can be judged, and why the others cannot.

    Attributes
    ----------
    mask : ndarray of bool, shape (n_records,)
        True for a record that can be judged.
    reasons : ndarray of str, shape (n_records,)
        Why not, in words; empty for a record that can be judged.
    """

    mask: NDArray[np.bool_]
    reasons: NDArray[np.object_]

    @classmethod
    def from_reasons(cls, reasons: Sequence[str]) -> Usable:
        """Return what `reasons` say.

        Parameters
        ----------
        reasons : sequence of str, shape (n_records,)
            Why each record cannot be judged; empty for one that can.

        Returns
        -------
        Usable
            The same with its mask.
        """
        texts = np.array(reasons, dtype=object)
        return cls(texts == "", texts)

    def __and__(self, other: Usable) -> Usable:
        """Return what is usable in both, with the first of two reasons."""
        return Usable.from_reasons(np.where(self.mask, other.reasons, self.reasons).tolist())

    def __str__(self) -> str:
        """Return the records that cannot be judged, in words."""
        bad = np.flatnonzero(~self.mask)
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        return ", ".join(f"{record} ({self.reasons[record]})" for record in bad[:5]) + more


class Measured(NamedTuple):
    """What a transformer makes of records, and which of them it could use.

    Attributes
    ----------
    values : ndarray of shape (n_records, ...)
        One row for each record; of an unusable one zeros or NaN.
    usable : Usable
        Which rows mean something.
    """

    values: NDArray[Any]
    usable: Usable


class Judgement(NamedTuple):
    """What a fitted classifier says of records, and which of them it could judge.

    Attributes
    ----------
    prob : ndarray of shape (n_records, n_classes)
        Probabilities; of a record that cannot be judged the class shares of the training data, or NaN.
    usable : Usable
        Which records could be judged, and why the others could not.
    """

    prob: NDArray[np.float64]
    usable: Usable


def find_fault(record: NDArray[np.floating[Any]], sampling_rate: float) -> str:
    """Return why a record cannot be judged though it may seem to have beats; empty if nothing is wrong.

    Parameters
    ----------
    record : ndarray of shape (n_leads, n_samples)
        One record in millivolts, best as it was recorded; NaN where missing.
    sampling_rate : float
        Samples per second, in Hz.

    Returns
    -------
    str
        Leads off (all flat or missing), an amplifier at the ends of its range, or voltages that no heart gives, in more
        than half of the leads that were recorded.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import find_fault
    >>> find_fault(np.random.default_rng(0).normal(scale=9, size=(12, 5000)).clip(-16, 16), 500)
    'in 12 of 12 leads the voltages are larger than a heart gives (8.4 mV from the mean; microvolts?)'
    """
    filled = fill_gaps(record[:, recorded_span(record)])[0]
    moves = np.median(np.ptp(cut_stretches(filled, _STRETCH * sampling_rate), axis=2), axis=1)
    there = moves > _FLAT
    if not there.any():
        doubt = f" (they move by {1000 * moves.max():.2g} µV; is the unit right?)" if moves.any() else ""
        return f"every lead is flat or missing{doubt}"
    spread = np.median(cut_stretches(filled, _HALF_SECOND * sampling_rate).std(axis=2), axis=1)
    top, bottom = (np.mean(filled == extreme(filled, axis=1, keepdims=True), axis=1) for extreme in (np.max, np.min))
    too_large = there & (spread > _LARGEST_SPREAD)
    at_rails = there & ~too_large & (top > _AT_RAIL) & (bottom > _AT_RAIL)
    if (too_large | at_rails).sum() <= _MOST_FAULTY * there.sum():
        return ""
    if too_large.sum() >= at_rails.sum():
        size = f"{np.median(spread[too_large]):.2g} mV from the mean; microvolts?"
        return f"in {too_large.sum()} of {there.sum()} leads the voltages are larger than a heart gives ({size})"
    return f"{at_rails.sum()} of {there.sum()} leads go from one end of the amplifier's range to the other"


def report_unusable(usable: Usable, *, on_error: str, consequence: str) -> None:
    """Warn once about all records that cannot be judged, or raise about the first one.

    Parameters
    ----------
    usable : Usable
        Which records can be judged.
    on_error : {"warn", "raise"}
        What to do.
    consequence : str
        What the others get, as the end of a sentence.

    Raises
    ------
    ValueError
        With ``on_error="raise"``, if a record cannot be judged.

    Examples
    --------
    >>> from omi_estimators.preprocessing import Usable, report_unusable
    >>> report_unusable(Usable.from_reasons(["", ""]), on_error="raise", consequence="left out")
    """
    if usable.mask.all():
        return
    if on_error == "raise":
        record = int(np.argmin(usable.mask))
        raise ValueError(
            f"record {record} cannot be measured: {usable.reasons[record]}. Remove it, or set on_error='warn' to have "
            f"it {consequence}."
        )
    n_bad, n_records = int((~usable.mask).sum()), len(usable.mask)
    doubt = " With so many, check sampling_rate, unit, and how the records were read." if 2 * n_bad > n_records else ""
    warnings.warn(
        f"{n_bad} of {n_records} records cannot be measured and are {consequence}: {usable}.{doubt}",
        UnusableRecordWarning,
        stacklevel=3,
    )


def measure_steps(
    steps: Sequence[tuple[str, Any]], X: Any, params: Mapping[str, Mapping[str, Any]] | None = None
) -> Measured:
    """Transform records by fitted steps of a pipeline, asking each which records it can use.

    Parameters
    ----------
    steps : sequence of (str, transformer)
        Those of this package are asked; of the others every row counts.
    X : array-like of shape (n_records, ...)
        What the first step takes.
    params : dict of str to dict, optional
        Further arguments of steps, by their names.

    Returns
    -------
    Measured
        What the last step makes of all records, and which of them every step could use.

    Raises
    ------
    ValueError
        If a step has ``on_error="raise"`` and cannot use a record.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators import make_net_pipeline
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> from omi_estimators.preprocessing import measure_steps
    >>> ecgs = make_omi_ecgs(n_patients=2, random_state=0)
    >>> front = make_net_pipeline(500)[:-1].fit(ecgs.X)
    >>> beats, usable = measure_steps(front.steps, ecgs.X)
    >>> beats.shape[1:], bool(usable.mask.all())
    ((12, 200), True)
    """
    usable = Usable.from_reasons([""] * num_samples(X))
    for name, step in steps:
        given = (params or {}).get(name, {})
        if hasattr(step, "measure"):
            X, found = step.measure(X, **given)
            if getattr(step, "on_error", "warn") == "raise":
                report_unusable(found, on_error="raise", consequence="not judged")
            usable &= found
        elif step not in (None, "passthrough"):
            X = step.transform(X, **given)
    return Measured(X, usable)


def judge(estimator: Any, X: Any) -> Judgement:
    """Ask a fitted classifier for probabilities, and for which records they mean something.

    Parameters
    ----------
    estimator : estimator
        A fitted classifier with `predict_proba`. The pipelines, the fusion and the risk tiers of this package answer
        by a method `judge`; a plain `sklearn.pipeline.Pipeline` is asked step by step; what scikit-learn wraps around
        them (calibration, votes, searches) by the estimators inside. Of any other every record counts as judged.
    X : array-like of shape (n_records, ...)
        What the classifier takes.

    Returns
    -------
    Judgement
        Probabilities, and which records could be judged. Of the others a pipeline and what is around it says what it
        says; only `usable` tells.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators import make_forest_pipeline
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> from omi_estimators.preprocessing import judge
    >>> ecgs = make_omi_ecgs(n_patients=20, prevalence=0.5, random_state=0)
    >>> forest = make_forest_pipeline(ecgs.sampling_rate, n_estimators=10, random_state=0).fit(ecgs.X, ecgs.y)
    >>> judgement = judge(forest, np.stack([ecgs.X[0], 0 * ecgs.X[0]]))
    >>> judgement.usable.mask.tolist(), judgement.usable.reasons.tolist()
    ([True, False], ['', 'every lead is flat or missing'])
    """
    if hasattr(estimator, "judge"):
        return estimator.judge(X)
    if isinstance(estimator, Pipeline):
        values, usable = measure_steps(estimator.steps[:-1], X)
        prob = np.full((len(usable.mask), len(estimator.classes_)), np.nan)
        if usable.mask.any():
            prob[usable.mask], found = judge(estimator.steps[-1][1], values[usable.mask])
            reasons = usable.reasons.copy()
            reasons[usable.mask] = found.reasons
            usable = Usable.from_reasons(reasons.tolist())
        return Judgement(prob, usable)
    prob = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    usable = Usable.from_reasons([""] * len(prob))
    for part in _find_inner(estimator):
        usable &= judge(part, X).usable
    return Judgement(prob, usable)


def _find_inner(estimator: Any) -> list[Any]:
    """Return the fitted classifiers inside what scikit-learn wraps around classifiers of the same records."""
    for name in ("best_estimator_", "estimator_", "estimators_", "calibrated_classifiers_"):
        found = getattr(estimator, name, None)
        if found is not None:
            parts = list(found) if isinstance(found, Sequence) else [found]
            # Of several fitted alike on parts of the records, one answers for all.
            parts = [parts[0].estimator] if name == "calibrated_classifiers_" else parts
            return [part for part in parts if _knows_records(part)]
    frozen = getattr(estimator, "estimator", None)
    return [frozen] if frozen is not None and _knows_records(frozen) else []


def _knows_records(estimator: Any) -> bool:
    """Return whether a classifier, or one inside it, can tell which records it can judge."""
    return (
        hasattr(estimator, "judge")
        or (isinstance(estimator, Pipeline) and any(hasattr(step, "measure") for _, step in estimator.steps))
        or bool(hasattr(estimator, "predict_proba") and _find_inner(estimator))
    )


def check_usable(usable: Usable) -> None:
    """Raise a ValueError if no record of a batch that is to be learned from can be judged.

    Parameters
    ----------
    usable : Usable
        Which records can be judged.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> from omi_estimators.preprocessing import Usable, check_usable
    >>> check_usable(Usable.from_reasons(["", "noise"]))
    """
    if not usable.mask.any():
        raise ValueError(
            f"None of the {len(usable.mask)} records can be judged, so there is nothing to learn from; the first: "
            f"{usable.reasons[0]}. Check sampling_rate, unit (millivolts), and how the records were read."
        )
