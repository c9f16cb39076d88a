"""What a comparison found."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_TITLES = {"roc_auc": "AUROC", "average_precision": "AP", "brier_score": "Brier"}
_CALIBRATION = {
    "calibration_slope": "slope",
    "calibration_intercept": "intercept",
    "expected_calibration_error": "ECE",
    "brier_skill_score": "Brier skill",
}
_DECISIONS = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV", "f1": "F1"}


@dataclass(frozen=True)
class Findings:
    """The figures of a comparison, and what they were computed from; see `ComparisonResult`."""

    table: pd.DataFrame
    folds: pd.DataFrame
    decisions: pd.DataFrame | None = field(repr=False)
    tier_tables: pd.DataFrame | None = field(repr=False)
    subgroups: pd.DataFrame = field(repr=False)
    tiers: pd.DataFrame | None = field(repr=False)
    probabilities: pd.DataFrame = field(repr=False)
    y: NDArray[np.int64] = field(repr=False)
    groups: NDArray[Any] | None = field(repr=False)
    fold: NDArray[np.int64] = field(repr=False)
    reasons: NDArray[np.object_] = field(repr=False)
    estimators: dict[str, str] = field(repr=False)
    reference: str
    target_names: tuple[str, str]
    confidence_level: float
    n_resamples: int
    n_redrawn: int

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Whether each record was tested by a fold, and could be judged by every estimator."""
        return (self.fold >= 0) & (self.reasons == "")

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of records, patients, events (records of the positive class) and folds that count."""
        patients = np.flatnonzero(self.tested) if self.groups is None else self.groups[self.tested]
        return {
            "n_records": int(self.tested.sum()),
            "n_patients": len(np.unique(patients)),
            "n_events": int(self.y[self.tested].sum()),
            "n_folds": int(self.fold.max()) + 1,
        }

    def __str__(self) -> str:
        table = self.summary()
        difference = f"AUROC minus {self.reference}"
        lines = [table.drop(columns=difference).rename_axis(None).to_string()]
        lines += [f"{difference}: {name} {text}" for name, text in table[difference].items() if name != self.reference]
        return "\n".join(lines)

    def summary(self) -> pd.DataFrame:
        """Return the table as text for people: figures with intervals, and the difference in AUROC.

        Returns
        -------
        DataFrame of str
            One row for each estimator.
        """
        level = f"[{100 * self.confidence_level:g} % CI]"
        columns = {
            f"{title} {level}": [self._format(name, metric) for name in self.table.index]
            for metric, title in _TITLES.items()
        }
        columns[f"AUROC minus {self.reference}"] = [
            "(reference)" if name == self.reference else self._format(name, "roc_auc_difference", "+")
            for name in self.table.index
        ]
        columns["fit, s"] = [f"{seconds:.1f}" for seconds in self.table["fit_time"]]
        return pd.DataFrame(columns, index=self.table.index)

    def calibration_summary(self) -> pd.DataFrame:
        """Return calibration slope and intercept, expected calibration error and Brier skill as text for people.

        Returns
        -------
        DataFrame of str
            One row for each estimator.
        """
        return _format_columns(self.table, _CALIBRATION, self.confidence_level)

    def decision_summary(self) -> pd.DataFrame | None:
        """Return sensitivity, specificity, predictive values and F1 as text for people.

        Returns
        -------
        DataFrame of str or None
            One row for each estimator; None if there is one fold only.
        """
        return None if self.decisions is None else _format_columns(self.decisions, _DECISIONS, self.confidence_level)

    def _format(self, name: Any, key: str, sign: str = "") -> str:
        return format_interval(self.table.loc[name], key, sign)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write `table` as CSV.

        Parameters
        ----------
        path : path-like
            The file; overwritten if it exists.
        """
        self.table.to_csv(path)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write everything but single records as JSON: figures, folds, numbers, how it was done.

        Parameters
        ----------
        path : path-like
            The file; overwritten if it exists.
        """
        content = {
            **self.counts,
            "target_names": list(self.target_names),
            "reference": self.reference,
            "confidence_level": self.confidence_level,
            "n_resamples": self.n_resamples,
            "n_redrawn": self.n_redrawn,
            "estimators": self.estimators,
            # By way of pandas, which writes NaN as null.
            "table": json.loads(self.table.to_json(orient="index")),
            "folds": json.loads(self.folds.to_json(orient="records")),
            "subgroups": json.loads(self.subgroups.to_json(orient="records")),
            "decisions": None if self.decisions is None else json.loads(self.decisions.to_json(orient="index")),
            "tiers": None
            if self.tier_tables is None
            else json.loads(self.tier_tables.reset_index().to_json(orient="records")),
        }
        Path(path).write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


def _format_columns(table: pd.DataFrame, titles: dict[str, str], confidence_level: float) -> pd.DataFrame:
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
