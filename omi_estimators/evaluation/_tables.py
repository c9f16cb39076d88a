"""Tables from out-of-fold probabilities: figures with intervals, the same for subgroups, risk tiers and decisions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omi_estimators.metrics import (
    FewEventsWarning,
    Interval,
    assign_tiers,
    bootstrap_intervals,
    classification_intervals,
    find_tier_thresholds,
)
from omi_estimators.triage import tier_table

SUBGROUP_METRICS = ("roc_auc", "average_precision", "brier_score", "calibration_intercept")
_UNKNOWN = {f"{metric}{end}": float("nan") for metric in SUBGROUP_METRICS for end in ("", "_low", "_high")}
_MOST_LEVELS = 6
_N_BANDS = 4
FEW = 10
"""Below so many records of a class a subgroup's interval cannot be trusted."""
_SENSITIVITY, _PPV = 0.9, 0.85
_DECISIONS = ("sensitivity", "specificity", "ppv", "npv", "f1")


class Tested(NamedTuple):
    """The records that count: those that a fold tested and that every estimator could judge.

    Attributes
    ----------
    probabilities : DataFrame of shape (n_records, n_estimators)
        Out-of-fold probabilities of the positive class, no NaN.
    positive : ndarray of shape (n_records,), bool
        Whether each record is positive.
    units : ndarray of shape (n_records,), optional
        Patients, as codes from 0.
    folds : ndarray of shape (n_records,)
        Folds, as codes from 0.
    """

    probabilities: pd.DataFrame
    positive: NDArray[np.bool_]
    units: NDArray[np.intp] | None
    folds: NDArray[np.intp]

    def intervals(self, here: NDArray[np.bool_] | slice = slice(None), **settings: Any) -> dict[str, Any]:
        """Return the figures of each estimator on some records; `settings` are those of `bootstrap_intervals`."""
        return bootstrap_intervals(
            self.positive[here],
            {str(name): column.to_numpy()[here] for name, column in self.probabilities.items()},
            groups=None if self.units is None else self.units[here],
            folds=self.folds[here],
            **settings,
        )


def make_table(tested: Tested, reference: str, **bootstrap: Any) -> tuple[pd.DataFrame, int]:
    """Return the table of all figures, and how many resamples had to be drawn again.

    All estimators and metrics are computed on the same resamples of patients, so that differences are paired.

    Parameters
    ----------
    tested : Tested
        The records that count.
    reference : str
        The estimator that the others are compared with.
    **bootstrap
        `n_resamples`, `confidence_level`, `random_state`.

    Returns
    -------
    table : DataFrame
        One row for each estimator.
    n_redrawn : int
        Resamples that held one class only.
    """
    found = tested.intervals(reference=reference, **bootstrap)
    return _make_rows(found), found[reference]["roc_auc"].n_redrawn


def _make_rows(figures: Mapping[str, Mapping[str, Interval]]) -> pd.DataFrame:
    """Return a table with a row for each estimator."""
    rows = {name: _make_columns(found) for name, found in figures.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("estimator")


def make_interval_table(figures: Mapping[str, Interval], name: str) -> pd.DataFrame:
    """Return a table with a row for each figure: `estimate`, `low` and `high`."""
    rows = {key: (found.estimate, found.low, found.high) for key, found in figures.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "low", "high"]).rename_axis(name)


def _make_columns(figures: Mapping[str, Interval]) -> dict[str, float]:
    """Return each figure and the ends of its interval, by name."""
    return {
        f"{name}{end}": value
        for name, found in figures.items()
        for end, value in (("", found.estimate), ("_low", found.low), ("_high", found.high))
    }


def format_columns(table: pd.DataFrame, titles: Mapping[str, str], confidence_level: float) -> pd.DataFrame:
    """Return figures of a table, by their titles, with their intervals as text."""
    level = f"[{100 * confidence_level:g} % CI]"
    columns = {
        f"{title} {level}": [format_interval(table.loc[name], key) for name in table.index]
        for key, title in titles.items()
    }
    return pd.DataFrame(columns, index=table.index)


def format_interval(row: pd.Series, key: str, sign: str = "") -> str:
    """Return a figure of a row and its interval as text."""
    estimate, low, high = (float(row[f"{key}{end}"]) for end in ("", "_low", "_high"))
    return "not defined" if np.isnan(estimate) else f"{estimate:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


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


def make_subgroups(columns: Mapping[str, NDArray[Any]], tested: Tested, **bootstrap: Any) -> pd.DataFrame:
    """Return a table with one row for each column, level and estimator; NaN where a level lacks a class.

    Parameters
    ----------
    columns : dict of str to ndarray of shape (n_records,)
        What to split by. Numbers of many values are cut into four bands of equal size.
    tested, **bootstrap
        As in `make_table`.

    Returns
    -------
    DataFrame
        `column`, `level`, `estimator`, `n_records`, `n_events`, and the figures with their ends.
    """
    rows = []
    for column, values in columns.items():
        for level, here in _find_levels(values):
            positive, folds = tested.positive[here], tested.folds[here]
            sizes = {"n_records": int(here.sum()), "n_events": int(positive.sum())}
            figures = dict.fromkeys(tested.probabilities.columns, _UNKNOWN)
            if any(np.ptp(positive[folds == fold].astype(int)) for fold in np.unique(folds)):
                # The table says how many events there are.
                found = tested.intervals(here, metrics=SUBGROUP_METRICS, on_few="ignore", **bootstrap)
                figures = {name: _make_columns(intervals) for name, intervals in found.items()}
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


def make_decisions(tested: Tested, **bootstrap: Any) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame] | None:
    """Return risk tiers, by thresholds that other folds chose, and what they and the decisions between them are worth.

    A threshold judged on the records that chose it looks better than it is.

    Parameters
    ----------
    tested, **bootstrap
        As in `make_table`.

    Returns
    -------
    tiers : DataFrame of str of shape (n_records, n_estimators)
        The tier of each record.
    decisions : DataFrame
        Sensitivity and its kin of calling the tiers "high" and "rule-in" positive, one row for each estimator.
    tables : DataFrame
        What each tier holds, indexed by estimator and tier.

    If there is one fold only, it is None instead: no other chose thresholds.
    """
    probabilities, positive, units, folds = tested
    if folds.max() == 0:
        return None
    tiers, decisions, tables = {}, {}, {}
    for name, column in probabilities.items():
        score = column.to_numpy()
        found = np.empty(len(score), dtype=object)
        for fold in range(folds.max() + 1):
            here = folds == fold
            cuts = find_tier_thresholds(positive[~here], score[~here], sensitivity=_SENSITIVITY, ppv=_PPV)
            found[here] = assign_tiers(score[here], *cuts)
        called = np.isin(found, ["high", "rule-in"]).astype(np.float64)
        with warnings.catch_warnings():
            # Said once, by the table.
            warnings.simplefilter("ignore", FewEventsWarning)
            worth = classification_intervals(positive, called, 0.5, groups=units, **bootstrap)
        tiers[name], decisions[str(name)] = found, {figure: getattr(worth, figure) for figure in _DECISIONS}
        tables[str(name)] = tier_table(positive, found, groups=units, confidence_level=bootstrap["confidence_level"])
    return (
        pd.DataFrame(tiers, index=probabilities.index),
        _make_rows(decisions),
        pd.concat(tables, names=["estimator", "tier"]),
    )
