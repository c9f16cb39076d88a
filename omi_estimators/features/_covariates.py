"""What is known of a patient beside the ECG, age and sex above all, as columns beside the features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The columns of an array without names.
AGE_AND_SEX = ("age", "sex")


def read_covariates(covariates: ArrayLike | Any, n_records: int) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return names and values of covariates.

    Parameters
    ----------
    covariates : DataFrame or array-like of shape (n_records, n_covariates)
        A table with named columns, or an array of two columns: age in years and sex as a number. NaN where
        missing.
    n_records : int
        How many rows it must have.

    Returns
    -------
    names : tuple of str
        Of the columns.
    values : ndarray of shape (n_records, n_covariates)
        As they came; nothing is filled in.

    Raises
    ------
    ValueError
        If there is another number of rows, a column that is not numeric or holds infinite values, or an array
        without names that has not two columns.
    """
    columns = getattr(covariates, "columns", None)
    try:
        values = np.asarray(covariates, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"covariates must be numbers, NaN where missing: {error}. Give a category such as sex as 0 and 1."
        ) from error
    if columns is None and (values.ndim != 2 or values.shape[1] != len(AGE_AND_SEX)):
        raise ValueError(
            f"covariates without column names must have shape (n_records, 2), age and sex; got {values.shape}. "
            "Give a DataFrame to name others."
        )
    names = AGE_AND_SEX if columns is None else tuple(str(column) for column in columns)
    if len(values) != n_records:
        raise ValueError(f"covariates has {len(values)} rows, but X has {n_records} records; give one row for each.")
    if np.isinf(values).any():
        raise ValueError(f"covariates has infinite values in row {int(np.argwhere(np.isinf(values))[0, 0])}.")
    return names, values


def match_covariates(covariates: ArrayLike | Any, names: tuple[str, ...], n_records: int) -> NDArray[np.float64]:
    """Return the covariates that were fitted, in their order.

    Parameters
    ----------
    covariates : DataFrame or array-like
        As `read_covariates` takes it.
    names : tuple of str
        Of the columns in ``fit``.
    n_records : int
        How many rows it must have.

    Returns
    -------
    ndarray of shape (n_records, n_names)
        Values, NaN where missing.

    Raises
    ------
    ValueError
        If one of them is not there, or as `read_covariates`.
    """
    found, values = read_covariates(covariates, n_records)
    absent = [name for name in names if name not in found]
    if absent:
        raise ValueError(
            f"covariates has {', '.join(found)}, but {absent[0]!r} was fitted too; give the same columns, NaN where "
            "one is not known."
        )
    return values[:, [found.index(name) for name in names]]
