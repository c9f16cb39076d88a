"""Scaling of beats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators._compat import StrOptions
from omi_estimators.preprocessing._records import WaveformTransformer, as_3d, float_type

_AXES: dict[str, tuple[int, ...]] = {"lead": (-1,), "record": (-2, -1)}


def scale_leads(beats: ArrayLike, *, by: str = "lead") -> NDArray[np.floating[Any]]:
    """Divide waveforms by their largest absolute value.

    Parameters
    ----------
    beats : array-like of shape (..., n_leads, n_samples)
        Waveforms, in any unit.
    by : {"lead", "record"}, default="lead"
        Whether each lead is divided by its own largest absolute value, or all leads of a record by the
        record's.

    Returns
    -------
    ndarray of shape (..., n_leads, n_samples)
        Waveforms between -1 and 1. What is zero throughout stays zero; NaN stays NaN.

    Raises
    ------
    ValueError
        If `by` is something else, or `beats` has fewer than two dimensions.

    Examples
    --------
    >>> from omi_estimators.preprocessing import scale_leads
    >>> scale_leads([[0.0, -2.0, 1.0], [0.0, 0.0, 0.0]]).tolist()
    [[0.0, -1.0, 0.5], [0.0, 0.0, 0.0]]
    """
    if by not in _AXES:
        raise ValueError(f"by must be 'lead' or 'record'; got {by!r}.")
    beats = np.asarray(beats)
    if beats.dtype not in (np.float32, np.float64):
        beats = beats.astype(np.float64)
    if beats.ndim < 2:
        raise ValueError(f"beats must have shape (..., n_leads, n_samples); got {beats.shape}.")
    # fmax passes over NaN, so one missing sample does not take the whole lead with it.
    largest = np.fmax.reduce(np.abs(beats), axis=_AXES[by], keepdims=True, initial=0.0)
    return beats / np.where(largest > 0, largest, 1).astype(beats.dtype)


class LeadScaler(WaveformTransformer):
    """Divide each lead of each record by its own largest absolute value.

    This is the scaling that ECG-SMART-NET was published with [1]_. It hides how leads compare in
    amplitude; ``by="record"`` keeps that.

    Parameters
    ----------
    by : {"lead", "record"} or None, default="lead"
        What is scaled to a largest absolute value of one: each lead alone, or each record as a whole.
        None passes the waveforms through, which is handy in a grid search.

    Attributes
    ----------
    n_features_in_ : int
        Number of leads (of samples, for two-dimensional `X`) seen in ``fit``.
    n_samples_in_ : int
        Number of samples of a record seen in ``fit``.

    See Also
    --------
    scale_leads : The same as a function.

    Notes
    -----
    Nothing is learned from other records: a record is scaled the same wherever it comes. An all-zero
    lead stays zero.

    References
    ----------
    .. [1] N. T. Riek et al., "ECG-SMART-NET: A Deep Learning Architecture for Precise ECG Diagnosis of
       Occlusion Myocardial Infarction", arXiv:2405.09567 (2025).

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import LeadScaler
    >>> beats = np.array([[[0.0, 0.5, 0.0], [0.0, -2.0, 1.0]]])
    >>> LeadScaler().fit_transform(beats).tolist()
    [[[0.0, 1.0, 0.0], [0.0, -1.0, 0.5]]]
    >>> LeadScaler(by="record").fit_transform(beats).tolist()
    [[[0.0, 0.25, 0.0], [0.0, -1.0, 0.5]]]
    """

    _parameter_constraints: dict[str, list[Any]] = {"by": [StrOptions({"lead", "record"}), None]}  # noqa: RUF012

    def __init__(self, *, by: str | None = "lead"):
        self.by = by

    def transform(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Scale the waveforms.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Waveforms, usually median beats.

        Returns
        -------
        ndarray of the shape of `X`
            Scaled waveforms; a new array.
        """
        X = self._validate(X)
        scaled = X.astype(float_type(X))
        if self.by is not None:
            # Record by record, so that memory beyond input and output does not grow with their number.
            for record in as_3d(scaled):
                record[...] = scale_leads(record[np.newaxis], by=self.by)[0]
        return scaled
