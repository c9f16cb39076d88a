"""What all transformers of ECGs share: validation, and the loop over records."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, Self

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from tqdm import tqdm

from omi_estimators._compat import delayed, run_parallel
from omi_estimators._documentation import DocumentedMixin
from omi_estimators._store import CheckedMemory
from omi_estimators.leads import check_ecg, check_records_axis

# Records sent to a process at once. Blocks above a megabyte reach it through shared memory, and those of a memory map
# as a reference, at a fraction of the cost of single records through a pipe.
_BLOCK = 32
# Schedulers of clusters want tasks below 10 MB.
_BLOCK_BYTES = 8_000_000
# Bytes that a process keeps for the arrays of its next record, see `_keep_memory`.
_KEPT = 1 << 22


def validate_ecg(estimator: BaseEstimator, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
    """Validate `X` for `estimator` and return it as it came, two- or three-dimensional, as numbers.

    A large `X` may be a memory map: nothing here makes a copy of float32, float64 or integers.

    With ``reset=True`` (in ``fit``) the number of leads and samples is remembered in
    ``n_features_in_`` and ``n_samples_in_``; with ``reset=False`` a fitted estimator requires the same.
    """
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
    with tqdm(total=len(records), desc=progress, unit="record", disable=not progress) as bar:
        for results in run_parallel(tasks, n_jobs):
            yield from results
            bar.update(len(results))


def _map_block(function: Callable[..., Any], blocks: tuple[NDArray[Any]], params: dict[str, Any]) -> list[Any]:
    """Return what a function gives for each record of a block: contiguous, and equal bytes for the cache."""
    _keep_memory()
    return [function(np.array(record, dtype=np.float64), **params) for block in blocks for record in block]


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
        self : object
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
