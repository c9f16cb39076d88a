"""The samples of a record: those that are missing, and stretches of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def recorded_span(values: NDArray[np.floating[Any]]) -> slice:
    """Return the samples from the first to the last at which any signal of `values` (..., n_samples) has a value.

    A short record filled up with NaN ends where its last value is, and is treated as if nothing followed. All samples,
    if none has a value.
    """
    if np.isfinite(values[..., 0]).any() and np.isfinite(values[..., -1]).any():
        return slice(0, values.shape[-1])
    there = np.flatnonzero(~np.isnan(values).all(axis=tuple(range(values.ndim - 1))))
    return slice(int(there[0]), int(there[-1]) + 1) if there.size else slice(0, values.shape[-1])


def fill_gaps(values: NDArray[np.floating[Any]]) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_] | None]:
    """Return `values` with NaN replaced, and where it was.

    Gaps are bridged by straight lines, open ends by the nearest value; a signal of nothing but NaN
    becomes zero. Without any NaN, `values` itself and None are returned.
    """
    if np.isfinite(np.sum(values)) or not (missing := np.isnan(values)).any():
        return values, None
    filled = np.where(missing, 0, values)
    positions = np.arange(values.shape[-1])
    for index in np.ndindex(values.shape[:-1]):
        gaps = missing[index]
        if gaps.any() and not gaps.all():
            filled[index][gaps] = np.interp(positions[gaps], positions[~gaps], values[index][~gaps])
    return filled, missing


def cut_stretches(values: NDArray[np.floating[Any]], length: float) -> NDArray[np.floating[Any]]:
    """Return `values` (n_leads, n) as (n_leads, n_stretches, length), without what is left over at the end."""
    width = min(max(1, round(length)), values.shape[1])
    n_stretches = values.shape[1] // width
    return values[:, : n_stretches * width].reshape(len(values), n_stretches, width)
