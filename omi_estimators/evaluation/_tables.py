"""Tables from out-of-fold probabilities: figures with intervals, the same for subgroups, risk tiers and decisions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from omi_estimators._validation import check_scores
from omi_estimators.metrics import (
    FewEventsWarning,
    Interval,
    assign_tiers,
    bootstrap_intervals,
    classification_intervals,
    find_tier_thresholds,
)
from omi_estimators.preprocessing import Usable
from omi_estimators.triage import tier_table

SUBGROUP_METRICS = ("roc_auc", "average_precision", "brier_score", "calibration_intercept")
_UNKNOWN = {f"{metric}{end}": float("nan") for metric in SUBGROUP_METRICS for end in ("", "_low", "_high")}
_MOST_LEVELS = 6
_N_BANDS = 4
FEW = 10
"""Below so many records of a class a subgroup's interval cannot be trusted."""
SENSITIVITY, PPV = 0.9, 0.85
_UNBOUNDED = ("calibration_slope", "calibration_intercept", "brier_skill_score")
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
        Folds, as codes from 0, counted through all repeats.
    n_repeats : int
        How often the cross-validation was run: the same records come so many times, repeat after repeat.
    """

    probabilities: pd.DataFrame
    positive: NDArray[np.bool_]
    units: NDArray[np.intp] | None
    folds: NDArray[np.intp]
    n_repeats: int = 1

    @classmethod
    def of_records(
        cls,
        probabilities: pd.DataFrame,
        positive: NDArray[np.bool_],
        groups: NDArray[Any] | None,
        fold: NDArray[np.int64],
        tested: NDArray[np.bool_],
        n_repeats: int,
    ) -> Tested:
        """Return those that were `tested` of all records, one entry for each repeat and record."""
        units = None if groups is None else np.unique(groups[tested], return_inverse=True)[1]
        if groups is None and n_repeats > 1:
            # The same record comes again in each repeat.
            units = np.tile(np.arange(tested.sum() // n_repeats), n_repeats)
        codes = np.unique(fold[tested], return_inverse=True)[1]
        return cls(probabilities[tested].astype(np.float64), positive[tested], units, codes, n_repeats)

    def repeats(self, here: NDArray[np.bool_] | None = None) -> NDArray[np.intp]:
        """Return the rows of each repeat, shape (n_repeats, n_records), or of those records that are `here`."""
        rows = np.arange(len(self.positive)).reshape(self.n_repeats, -1)
        return rows if here is None else rows[:, here]

    def can_rank(self, here: NDArray[np.bool_]) -> bool:
        """Return whether some records hold both classes within a fold, in each repeat."""
        return all(
            any(
                np.ptp(self.positive[rows][self.folds[rows] == fold].astype(int))
                for fold in np.unique(self.folds[rows])
            )
            for rows in self.repeats(here)
        )

    def intervals(self, here: NDArray[np.bool_] | None = None, **settings: Any) -> dict[str, dict[str, Interval]]:
        """Return the figures of each estimator on some records; `settings` are those of `bootstrap_intervals`.

        With repeats a patient who is drawn comes with all records in all of them; figures are means over repeats, and
        the chance of folds and seeds is added (`add_spread`).
        """

        def find(rows: NDArray[np.intp], **settings: Any) -> dict[str, dict[str, Interval]]:
            return bootstrap_intervals(
                self.positive[rows],
                {str(name): column.to_numpy()[rows] for name, column in self.probabilities.items()},
                groups=None if self.units is None else self.units[rows],
                folds=self.folds[rows],
                **settings,
            )

        found = find(self.repeats(here).ravel(), **settings)
        if self.n_repeats == 1:
            return found
        settings |= {"n_resamples": 1, "random_state": 0, "on_few": "ignore"}
        each = [find(rows, **settings) for rows in self.repeats(here)]
        return {
            name: {
                metric: add_spread(interval, [one[name][metric].estimate for one in each], metric)
                for metric, interval in figures.items()
            }
            for name, figures in found.items()
        }


def add_spread(interval: Interval, values: Sequence[float], metric: str) -> Interval:
    """Return the mean over repeats with an interval that holds the chance of patients, folds and seeds.

    The mean over `R` repeats whose figures have the standard deviation `s` is unsure by `s / sqrt(R)`. Its normal
    interval and the one of patients are combined as Zou and Donner combine asymmetric ones: the distances from the
    figure to the ends are added in squares (doi:10.1002/sim.3095).

    Parameters
    ----------
    interval : Interval
        Of the figure of all repeats together, by patients; its distances to the ends count.
    values : sequence of float
        The figure of each repeat.
    metric : str
        Its name, which tells whether it lies between 0 and 1.

    Returns
    -------
    Interval
        With `spread`, the standard deviation over repeats; NaN, and the rest as given, if a figure is not finite.
    """
    if not np.isfinite(values).all():
        return replace(interval, spread=float("nan"))
    estimate, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    of_chance = float(ndtri((1 + interval.confidence_level) / 2)) * spread / np.sqrt(len(values))
    low = estimate - float(np.hypot(interval.estimate - interval.low, of_chance))
    high = estimate + float(np.hypot(interval.high - interval.estimate, of_chance))
    if metric not in _UNBOUNDED and not metric.endswith("_difference"):
        low, high = max(low, 0.0), min(high, 1.0)
    return replace(interval, estimate=estimate, low=low, high=high, spread=spread)


def check_probabilities(prob: NDArray[Any], usable: Usable) -> NDArray[np.float64]:
    """Return a classifier's probabilities, or raise a ValueError if those of usable records are none."""
    # Those of some classifiers exceed 1 in the last digit.
    found = prob.astype(np.float64)
    found = np.where(np.abs(found - 0.5) < 0.5 + 1e-6, np.clip(found, 0, 1), found)
    if usable.mask.any():
        check_scores(found[usable.mask], int(usable.mask.sum()), probability=True, name="predict_proba")
    return found


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
    rows = {name: make_columns(found) for name, found in figures.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("estimator")


def make_interval_table(figures: Mapping[str, Interval], name: str) -> pd.DataFrame:
    """Return a table with a row for each figure: `estimate`, `low` and `high`."""
    rows = {key: (found.estimate, found.low, found.high) for key, found in figures.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "low", "high"]).rename_axis(name)


def make_columns(figures: Mapping[str, Interval]) -> dict[str, float]:
    """Return each figure, the ends of its interval and, if there are repeats, its spread, by name."""
    ends = {"": "estimate", "_low": "low", "_high": "high", "_spread": "spread"}
    return {
        f"{name}{end}": getattr(found, attribute)
        for name, found in figures.items()
        for end, attribute in ends.items()
        if getattr(found, attribute) is not None
    }


def format_columns(table: pd.DataFrame, titles: Mapping[str, str], confidence_level: float) -> pd.DataFrame:
    """Return figures of a table, by their titles, with their intervals and their spread over repeats as text."""
    level = f"[{100 * confidence_level:g} % CI]"
    if any(f"{key}_spread" in table for key in titles):
        level += " ± SD"
    columns = {
        f"{title} {level}": [format_interval(table.loc[name], key) for name in table.index]
        for key, title in titles.items()
    }
    return pd.DataFrame(columns, index=table.index)


def format_interval(row: pd.Series, key: str, sign: str = "") -> str:
    """Return a figure of a row, its interval and, if there is one, its spread over repeats as text."""
    estimate, low, high = (float(row[f"{key}{end}"]) for end in ("", "_low", "_high"))
    if np.isnan(estimate):
        return "not defined"
    spread = f" ± {row[f'{key}_spread']:.3f}" if f"{key}_spread" in row else ""
    return f"{estimate:{sign}z.3f} [{low:{sign}z.3f}, {high:{sign}z.3f}]{spread}"


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
    positive = tested.positive[tested.repeats()[0]]
    for column, values in columns.items():
        for level, here in _find_levels(values):
            sizes = {"n_records": int(here.sum()), "n_events": int(positive[here].sum())}
            figures = dict.fromkeys(tested.probabilities.columns, _UNKNOWN)
            if tested.can_rank(here):
                # The table says how many events there are.
                found = tested.intervals(here, metrics=SUBGROUP_METRICS, on_few="ignore", **bootstrap)
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
    probabilities, positive, units, folds, _ = tested
    if folds.max() == 0:
        return None
    tiers, decisions, tables = {}, {}, {}
    for name, column in probabilities.items():
        score = column.to_numpy()
        found = np.empty(len(score), dtype=object)
        for rows in tested.repeats():
            for fold in np.unique(folds[rows]):
                here, others = rows[folds[rows] == fold], rows[folds[rows] != fold]
                cuts = find_tier_thresholds(positive[others], score[others], sensitivity=SENSITIVITY, ppv=PPV)
                found[here] = assign_tiers(score[here], *cuts)
        called = np.isin(found, ["high", "rule-in"]).astype(np.float64)
        tiers[name], decisions[str(name)] = found, classify(tested, called, **bootstrap)
        tables[str(name)] = tier_table(positive, found, groups=units, confidence_level=bootstrap["confidence_level"])
    return (
        pd.DataFrame(tiers, index=probabilities.index),
        _make_rows(decisions),
        pd.concat(tables, names=["estimator", "tier"]),
    )


def classify(tested: Tested, called: NDArray[np.float64], **bootstrap: Any) -> dict[str, Interval]:
    """Return sensitivity and its kin of calling records positive."""

    def find(rows: NDArray[np.intp], **settings: Any) -> dict[str, Interval]:
        groups = None if tested.units is None else tested.units[rows]
        worth = classification_intervals(tested.positive[rows], called[rows], 0.5, groups=groups, **settings)
        return {figure: getattr(worth, figure) for figure in _DECISIONS}

    with warnings.catch_warnings():
        # Said once, by the table.
        warnings.simplefilter("ignore", FewEventsWarning)
        found = find(tested.repeats().ravel(), **bootstrap)
        if tested.n_repeats == 1:
            return found
        each = [find(rows, **bootstrap | {"n_resamples": 1, "random_state": 0}) for rows in tested.repeats()]
    return {name: add_spread(interval, [one[name].estimate for one in each], name) for name, interval in found.items()}
