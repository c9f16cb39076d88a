"""What a comparison found."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLES = {"roc_auc": "AUROC", "average_precision": "AP", "brier_score": "Brier"}
_CALIBRATION = {
    "calibration_slope": "slope",
    "calibration_intercept": "intercept",
    "expected_calibration_error": "ECE",
    "brier_skill_score": "Brier skill",
}
_DECISIONS = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV", "f1": "F1"}


@dataclass(frozen=True)
class ComparisonResult:
    """Figures of several estimators on the same folds, and what they were computed from.

    Attributes
    ----------
    table : DataFrame
        One row for each estimator. For `roc_auc`, `average_precision`, `brier_score`, `brier_skill_score`,
        `calibration_slope`, `calibration_intercept` and `expected_calibration_error`: the figure, its
        `_low` and `_high` end, and `_difference` to the reference with ends (NaN in the reference's row).
        `fit_time` and `predict_time` are means over folds, in seconds.
    folds : DataFrame
        One row for each fold and estimator: `n_train`, `n_test`, `n_events`, figures and times.
    decisions : DataFrame or None
        One row for each estimator: `sensitivity`, `specificity`, `ppv`, `npv` and `f1` with ends, at the
        threshold of greatest F1 that the other folds chose. None if there is one fold only.
    tier_tables : DataFrame or None
        What each risk tier of each estimator holds, as from `omi_estimators.triage.tier_table`.
    subgroups : DataFrame
        One row for each column, level and estimator; empty if none were asked for.
    tiers : DataFrame of str or None
        Risk tier of each record by each estimator, with thresholds chosen on the other folds; empty text for
        records that no fold tested.
    probabilities : DataFrame of shape (n_records, n_estimators)
        Out-of-fold probabilities of the positive class; NaN for records that no fold tested.
    y : ndarray of shape (n_records,)
        1 for the positive class, else 0.
    groups : ndarray of shape (n_records,) or None
        Patient of each record.
    fold : ndarray of shape (n_records,)
        The fold that tested each record; -1 for none.
    estimators : dict of str to str
        How each estimator is written.
    reference : str
        The estimator that the others are compared with.
    target_names : tuple of two str
        Names of the negative and the positive class.
    confidence_level : float
        Level of the intervals.
    n_resamples, n_redrawn : int
        Resamples of the bootstrap, and how many held one class only and were drawn again.
    """

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
    estimators: dict[str, str] = field(repr=False)
    reference: str
    target_names: tuple[str, str]
    confidence_level: float
    n_resamples: int
    n_redrawn: int

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Whether each record was tested by a fold."""
        return self.fold >= 0

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

    def plot_roc(self) -> Figure:
        """Draw the ROC curves, averaged over folds; the area under each is its `roc_auc`.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """
        from omi_estimators.comparison._displays import draw_roc

        return draw_roc(self)

    def plot_precision_recall(self) -> Figure:
        """Draw precision against recall, averaged over folds; the area under each is its `average_precision`.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """
        from omi_estimators.comparison._displays import draw_precision_recall

        return draw_precision_recall(self)

    def plot_reliability(self) -> Figure:
        """Draw observed against predicted frequency, and the distribution of probabilities by class.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """
        from omi_estimators.comparison._displays import draw_reliability

        return draw_reliability(self)

    def plot_decision_curve(self) -> Figure:
        """Draw the net benefit of treating by each estimator, against treating everybody and nobody.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """
        from omi_estimators.comparison._displays import draw_decision_curve

        return draw_decision_curve(self)

    def plot_probabilities(self) -> Figure:
        """Draw how probabilities are distributed in each class.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """
        from omi_estimators.comparison._displays import draw_probabilities

        return draw_probabilities(self)

    def plot_tiers(self) -> Figure:
        """Draw the share of events in each risk tier.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.

        Raises
        ------
        ValueError
            If there is one fold only, so that no other could choose thresholds.
        """
        from omi_estimators.comparison._displays import draw_tiers

        return draw_tiers(self)

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        title: str = "Comparison of ECG classifiers",
        notes: Sequence[str] = (),
        n_skipped: int = 0,
    ) -> Path:
        """Write one self-contained page: tables, pictures with captions, and how it was done.

        Parameters
        ----------
        path : path-like
            The file; overwritten if it exists.
        title, notes, n_skipped
            As in `write_report`.

        Returns
        -------
        Path
            The page.

        Raises
        ------
        ImportError
            If matplotlib is not installed (`pip install omi-estimators[plot]`).
        """
        from omi_estimators.comparison._report import draw_pictures, make_page

        page = Path(path)
        page.write_text(make_page(self, draw_pictures(self), title, notes, n_skipped), encoding="utf-8")
        return page

    def write_report(
        self,
        folder: str | os.PathLike[str],
        *,
        title: str = "Comparison of ECG classifiers",
        notes: Sequence[str] = (),
        n_skipped: int = 0,
    ) -> Path:
        """Write a folder with a page to read, pictures, and tables for machines.

        Parameters
        ----------
        folder : path-like
            Made if it does not exist; files of an earlier report are overwritten.
        title : str, default="Comparison of ECG classifiers"
            Heading of the page.
        notes : sequence of str, default=()
            Sentences about the data or the run, shown at the top.
        n_skipped : int, default=0
            Damaged records that were left out, for the count of records.

        Returns
        -------
        Path
            The page, `index.html`, which holds its pictures itself. Beside it each picture as PNG,
            `table.csv`, `folds.csv`, `subgroups.csv` if any, and `result.json`.

        Raises
        ------
        ImportError
            If matplotlib is not installed (`pip install omi-estimators[plot]`).
        """
        from omi_estimators.comparison._report import write_report

        return write_report(self, Path(folder), title=title, notes=notes, n_skipped=n_skipped)


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
