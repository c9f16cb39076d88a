"""Records: which can be judged and why not, asked by every room; and what all transformers of records share."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple, Self

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted, validate_data
from tqdm import tqdm

from omi_estimators._compat import HasMethods, Interval, StrOptions, delayed, num_samples, run_parallel
from omi_estimators._documentation import DocumentedMixin
from omi_estimators._store import CheckedMemory
from omi_estimators._text import is_silent
from omi_estimators.leads import check_ecg, check_records_axis, convert_records
from omi_estimators.preprocessing._resample import cut_stretches, fill_gaps, recorded_span

# A lead that moves by less than this (mV, peak to peak) in most stretches of 2 s shows no heart: a fifth of a small
# square of paper.
_FLAT, _STRETCH = 0.02, 2.0
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
        If a step has ``on_error="raise"`` and cannot use a record, or `X` has no length.

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
    X = convert_records(X)
    try:
        usable = Usable.from_reasons([""] * num_samples(X))
    except TypeError as error:
        raise ValueError(f"X must hold records, shape (n_records, ...); got {type(X).__name__}.") from error
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


# Of records to learn from; where fewer can be judged, something is wrong with all of them.
_LEAST_USABLE = 0.1


def check_usable(usable: Usable) -> None:
    """Raise a ValueError if none, or fewer than a tenth, of the records that are to be learned from can be judged.

    Parameters
    ----------
    usable : Usable
        Which records can be judged.

    Raises
    ------
    ValueError
        If there are so few: then rate, unit or file are not what they were taken for.

    Examples
    --------
    >>> from omi_estimators.preprocessing import Usable, check_usable
    >>> check_usable(Usable.from_reasons(["", "noise"]))
    """
    n_usable = int(usable.mask.sum())
    if n_usable <= _LEAST_USABLE * len(usable.mask):
        raise ValueError(
            f"{f'Only {n_usable}' if n_usable else 'None'} of the {len(usable.mask)} records can be judged, so there "
            f"is nothing to learn from; the first: {usable.reasons[~usable.mask][0]}. Check sampling_rate, unit "
            "(millivolts), and how the records were read."
        )


# Records sent to a process at once. Blocks above a megabyte reach it through shared memory, and those of a memory map
# as a reference, at a fraction of the cost of single records through a pipe.
_BLOCK = 32
# Schedulers of clusters want tasks below 10 MB.
_BLOCK_BYTES = 8_000_000
# Values of a record that are not copied to become float64.
_LARGEST_COPY = 4_000_000
# Bytes that a process keeps for the arrays of its next record, see `_keep_memory`.
_KEPT = 1 << 22


def validate_ecg(estimator: BaseEstimator, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
    """Validate `X` for `estimator` and return it as it came, two- or three-dimensional, as numbers.

    A large `X` may be a memory map: nothing here makes a copy of float32, float64 or integers.

    With ``reset=True`` (in ``fit``) the number of leads and samples is remembered in
    ``n_features_in_`` and ``n_samples_in_``; with ``reset=False`` a fitted estimator requires the same.
    """
    X = convert_records(X)
    if not hasattr(X, "shape"):
        X = np.asarray(X)
    if not reset:
        _check_same_shape(estimator, np.shape(X))
    _check_axes(np.shape(X))
    # Integers, of which stored ECGs are made, become floats record by record later: all at once they would need
    # four times their memory.
    dtype = None if getattr(X, "dtype", np.dtype(object)).kind in "iu" else [np.float64, np.float32]
    # check_ecg looks for infinite values, and names the records that hold them.
    records: NDArray[Any] = validate_data(
        estimator, X, reset=reset, allow_nd=True, dtype=dtype, ensure_all_finite=False
    )
    check_ecg(records[:1] if records.dtype.kind in "iu" else records, allow_nan=True)
    if reset:
        estimator.n_samples_in_ = records.shape[-1]
    return records


def _check_same_shape(estimator: BaseEstimator, shape: tuple[int, ...]) -> None:
    """Raise a ValueError if records of `shape` are not like the 3-D ones that `estimator` was fitted on."""
    n_leads, n_samples = getattr(estimator, "n_features_in_", None), getattr(estimator, "n_samples_in_", None)
    if n_leads is None or n_samples is None:
        return
    name = type(estimator).__name__
    # Fitted on two dimensions, both are the same number, and scikit-learn finds the wrong width.
    if n_leads != n_samples:
        check_records_axis(shape, n_leads, n_samples, name)
    if len(shape) != 3:
        return
    if shape[1] != n_leads:
        raise ValueError(
            f"X has {shape[1]} leads per record, but {name} was fitted on {n_leads}; "
            "give the same leads in the same order, or fit again."
        )
    if shape[2] != n_samples:
        raise ValueError(
            f"X has {shape[2]} samples per record, but {name} was fitted on {n_samples}; "
            "crop or pad the records to the same length, or fit again."
        )


def _check_axes(shape: tuple[int, ...]) -> None:
    """Raise a ValueError if records look transposed: hundreds of leads, and no more samples than there are leads."""
    if len(shape) == 3 and shape[1] >= 100 and shape[2] <= 16:
        raise ValueError(
            f"X has shape {shape}, which is {shape[1]} leads of {shape[2]} samples; the axes look swapped. "
            "Give X.transpose(0, 2, 1)."
        )


def float_type(X: NDArray[Any]) -> np.dtype[Any]:
    """Return the float type of what is made of `X`: its own, and float32 for short integers, which it holds exactly."""
    return np.result_type(X.dtype, np.float32)


def as_3d(X: NDArray[Any]) -> NDArray[Any]:
    """Return a view of `X` with a lead axis: two-dimensional `X` holds one lead."""
    return X[:, np.newaxis, :] if X.ndim == 2 else X


def map_records(
    function: Callable[..., Any],
    X: NDArray[Any],
    *,
    n_jobs: int | None = None,
    memory: str | os.PathLike[str] | joblib.Memory | None = None,
    progress: str = "",
    **params: Any,
) -> Iterator[Any]:
    """Yield ``function(record, **params)`` for every record of `X`, in order.

    The cache is keyed by one record's values and `params`, so a record met again in another fold, or in
    another batch, is not computed again; see `CheckedMemory` for what a changed package or a damaged file does.
    With a name in `progress` a bar of this name counts the records.
    """
    if memory is not None:
        function = CheckedMemory(memory).cache(function)
    records = as_3d(X)
    most = min(_BLOCK, _BLOCK_BYTES // (records.itemsize * records[0].size))
    size = max(1, min(most, len(records) // (4 * joblib.effective_n_jobs(n_jobs))))
    blocks = (records[start : start + size] for start in range(0, len(records), size))
    # An array that is an argument itself is left by Dask's backend on one worker, which may die before the task that
    # wants it; inside a tuple it belongs to the task and can be sent again.
    tasks = (delayed(_map_block)(function, (block,), params) for block in blocks)
    with tqdm(total=len(records), desc=progress, unit="record", disable=is_silent(progress)) as bar:
        for results in run_parallel(tasks, n_jobs):
            yield from results
            bar.update(len(results))


def _map_block(function: Callable[..., Any], blocks: tuple[NDArray[Any]], params: dict[str, Any]) -> list[Any]:
    """Return what a function gives for each record of a block: contiguous, and equal bytes for the cache.

    A long record stays of the type it has; functions take it window by window.
    """
    _keep_memory()
    return [
        function(np.ascontiguousarray(record, dtype=None if record.size > _LARGEST_COPY else np.float64), **params)
        for block in blocks
        for record in block
    ]


def _keep_memory() -> None:
    """Make the C library keep freed memory for the next record instead of giving it back to the system.

    glibc keeps whatever is smaller than the largest block it has seen freed. Fetching pages anew for the temporaries of
    each record takes a tenth of the time, and more where several processes do it side by side.
    """
    np.empty(_KEPT, dtype=np.uint8)


class RecordTransformer(DocumentedMixin, TransformerMixin, BaseEstimator):
    """Base of the transformers of records: validation, the loop over records, and tags.

    One that tells usable records from others has a method ``measure(X)``, which returns what ``transform`` does and
    which rows of it mean something; pipelines of this package call it in place of ``transform``.

    Examples
    --------
    >>> from omi_estimators import MedianBeat
    >>> from omi_estimators.preprocessing import RecordTransformer
    >>> issubclass(MedianBeat, RecordTransformer)
    True
    """

    # Of parameters that several have; each has some of them.
    # Fitted, and saved with a model.
    _fitted_private = ("_n_leads",)
    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": [Integral, None],
        "memory": [str, os.PathLike, HasMethods(["cache"]), None],
        "on_error": [StrOptions({"warn", "raise"})],
        "verbose": ["verbose"],
    }

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Check the parameters and `X`; nothing is learned but the shape of a record.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            ECGs in millivolts; two dimensions mean one lead.
        y : object, optional
            Ignored.

        Returns
        -------
        object
            The transformer itself.
        """
        self._validate_params()
        self._check_params()
        self._n_leads = as_3d(validate_ecg(self, X, reset=True)).shape[1]
        return self

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether ``fit`` has seen the shape of a record."""
        return hasattr(self, "_n_leads")

    def _check_params(self) -> None:
        """Raise a ValueError for parameters that are right one by one but not together."""

    def _validate(self, X: ArrayLike) -> NDArray[Any]:
        """Return the validated input of ``transform``, which works on an estimator that is not fitted too."""
        check_is_fitted(self)
        self._validate_params()
        return validate_ecg(self, X, reset=False)

    def _map(self, function: Callable[..., Any], X: NDArray[Any], **params: Any) -> Iterator[Any]:
        """Yield what a function gives for each record, with the parameters that transformers have for that."""
        return map_records(
            function,
            X,
            n_jobs=getattr(self, "n_jobs", None),
            memory=getattr(self, "memory", None),
            progress=type(self).__name__ if getattr(self, "verbose", 0) else "",
            sampling_rate=float(self.sampling_rate),
            **params,
        )

    def __sklearn_tags__(self) -> Any:
        """Return the tags of a transformer of two- or three-dimensional arrays with NaN."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


class WaveformTransformer(RecordTransformer):
    """Base of the transformers that give waveforms: arrays in and arrays out, nothing learned."""

    def set_output(self, *, transform: str | None = None) -> Self:
        """Accept, and ignore, an output container: waveforms are arrays, whatever tables a pipeline makes.

        Parameters
        ----------
        transform : str, optional
            Ignored.

        Returns
        -------
        self : object
            The transformer itself.
        """
        return self

    def __sklearn_tags__(self) -> Any:
        """Return the tags of a transformer that needs no fit and keeps the type of floats."""
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
