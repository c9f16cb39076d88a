"""The same figures for parts of the patients, such as women, or a band of age."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omi_estimators.comparison._table import make_columns
from omi_estimators.metrics import bootstrap_intervals

METRICS = ("roc_auc", "average_precision", "brier_score", "calibration_intercept")
_UNKNOWN = {f"{metric}{end}": float("nan") for metric in METRICS for end in ("", "_low", "_high")}
_MOST_LEVELS = 6
_N_BANDS = 4


def check_subgroups(subgroups: Any, n_records: int) -> dict[str, NDArray[Any]]:
    """Return columns by name, or raise a ValueError for what does not fit the records."""
    if subgroups is None:
        return {}
    if not isinstance(subgroups, (Mapping, pd.DataFrame)):
        raise ValueError(f"subgroups must be a dictionary or DataFrame of columns; got {type(subgroups).__name__}.")
    columns = {str(name): np.asarray(values) for name, values in subgroups.items()}
    for name, values in columns.items():
        if values.shape != (n_records,):
            raise ValueError(
                f"Subgroup {name!r} must hold one value for each of the {n_records} records; got shape {values.shape}."
            )
    return columns


def make_subgroups(
    columns: Mapping[str, NDArray[Any]],
    probabilities: pd.DataFrame,
    positive: NDArray[np.bool_],
    units: NDArray[np.intp] | None,
    folds: NDArray[np.intp],
    *,
    n_resamples: int,
    confidence_level: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return a table with one row for each column, level and estimator; NaN where a level lacks a class.

    Parameters
    ----------
    columns : dict of str to ndarray of shape (n_records,)
        What to split by. Numbers of many values are cut into four bands of equal size.
    probabilities, positive, units, folds, n_resamples, confidence_level, rng
        As in `make_table`.

    Returns
    -------
    DataFrame
        `column`, `level`, `estimator`, `n_records`, `n_events`, and the figures with their ends.
    """
    rows = []
    for column, values in columns.items():
        for level, here in _find_levels(values):
            sizes = {"n_records": int(here.sum()), "n_events": int(positive[here].sum())}
            figures = dict.fromkeys(probabilities.columns, _UNKNOWN)
            if any(np.ptp(positive[here & (folds == fold)].astype(int)) for fold in np.unique(folds[here])):
                found = bootstrap_intervals(
                    positive[here],
                    {name: probabilities[name].to_numpy(dtype=np.float64)[here] for name in probabilities.columns},
                    METRICS,
                    groups=None if units is None else units[here],
                    folds=folds[here],
                    n_resamples=n_resamples,
                    confidence_level=confidence_level,
                    # The table says how many events there are.
                    on_few="ignore",
                    random_state=rng,
                )
                figures = {name: make_columns(intervals) for name, intervals in found.items()}
            rows += [
                {"column": column, "level": level, "estimator": name, **sizes, **figures[name]} for name in figures
            ]
    return pd.DataFrame(rows)


def _find_levels(values: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield the name and the records of each level, records without a value last."""
    missing = pd.isna(values)
    known = values[~missing]
    is_number = values.dtype.kind in "iuf"
    if is_number and len(np.unique(known)) > _MOST_LEVELS:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, _N_BANDS + 1)[1:-1]))
        bands = np.searchsorted(edges, values, side="left")
        for band in range(len(edges) + 1):
            here = (bands == band) & ~missing
            if here.any():
                yield f"{values[here].min():g} to {values[here].max():g}", here
    else:
        for level in np.unique(known.astype(str) if values.dtype == object else known).tolist():
            yield f"{level:g}" if is_number else str(level), (values.astype(str) == str(level)) & ~missing
    if missing.any():
        yield "missing", missing
