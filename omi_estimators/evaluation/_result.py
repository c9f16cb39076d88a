"""What a comparison found: its figures as tables, its pictures, and its report."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omi_estimators._text import clean_label
from omi_estimators.displays import COLOURS, DASHES
from omi_estimators.evaluation._checklist import describe_comparison
from omi_estimators.evaluation._page import Picture, Section, Verdict, new_figure
from omi_estimators.evaluation._report import Drawn, Report, title_picture
from omi_estimators.evaluation._tables import FEW, format_columns, format_interval
from omi_estimators.evaluation._verdict import find_verdict, make_threshold_table
from omi_estimators.metrics import Interval
from omi_estimators.preprocessing import Usable

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
_SETTINGS = ("target_names", "reference", "confidence_level", "n_resamples", "n_redrawn", "n_repeats", "random_state")


# Pictures with axes for each estimator: height and width of these in inches, and how many stand side by side. In the
# others estimators share the axes.
_PANELS = {"reliability": (4.4, 3.9, 3), "probabilities": (2.9, 3.9, 3), "tiers": (2.4, 5.6, 2)}
_SHARED_WIDTH = 6.4
_LETTERS_PER_INCH = 15
# More bands than these cover each other.
_MOST_BANDS = 4


@dataclass(frozen=True, kw_only=True)
class ComparisonResult(Report):
    """Figures of several estimators on the same folds, and what they were computed from.

    With ``repeats=R``, whatever holds one entry for each record holds `R`, repeat after repeat
    (``probabilities.loc[r]`` are those of repeat `r`), and folds are counted through all repeats. Figures are means
    over repeats, and ``_spread`` columns hold their standard deviations. Probabilities are not averaged: `R` models
    together are better than any of them. In pictures and tiers each record counts once in each repeat.

    Attributes
    ----------
    table : DataFrame
        One row for each estimator. For `roc_auc`, `average_precision`, `brier_score`, `brier_skill_score`,
        `calibration_slope`, `calibration_intercept` and `expected_calibration_error`: the figure, its
        `_low` and `_high` end, and `_difference` to the reference with ends (NaN in the reference's row).
        `fit_time` and `predict_time` are means over folds, in seconds.
    folds : DataFrame
        One row for each fold and estimator: `repeat` if there are several, `n_train`, `n_test`, `n_events`, figures
        and times.
    decisions : DataFrame or None
        One row for each estimator: `sensitivity`, `specificity`, `ppv`, `npv` and `f1` with ends, at the
        threshold of greatest F1 that the other folds chose. None if there is one fold only.
    tier_tables : DataFrame or None
        What each risk tier of each estimator holds, as from `omi_estimators.triage.tier_table`.
    subgroups : DataFrame
        One row for each column, level and estimator; empty if none were asked for.
    tiers : DataFrame of str or None
        Risk tier of each record by each estimator, with thresholds chosen on the other folds; "not judged" for
        records that an estimator could not judge, empty text for those that no fold tested.
    probabilities : DataFrame of shape (n_records, n_estimators)
        Out-of-fold probabilities of the positive class; NaN for records that no fold tested.
    y : ndarray of shape (n_records,)
        1 for the positive class, else 0.
    groups : ndarray of shape (n_records,) or None
        Patient of each record.
    fold : ndarray of shape (n_records,)
        The fold that tested each record; -1 for none.
    reasons : ndarray of str, shape (n_records,)
        Why a record could not be judged by every estimator (`omi_estimators.preprocessing.usable_records`), empty if it
        could. The others count in no figure.
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
    n_repeats : int
        How often the cross-validation was run.
    random_state : int or None
        The seed, if it was given as a number.
    """

    _kind: ClassVar[str] = "comparison"
    _main_table: ClassVar[str] = "table"
    _pictures: ClassVar = ("roc", "precision_recall", "reliability", "probabilities", "decision_curve", "tiers")

    table: pd.DataFrame
    folds: pd.DataFrame
    decisions: pd.DataFrame | None = field(repr=False)
    tier_tables: pd.DataFrame | None = field(repr=False)
    tiers: pd.DataFrame | None = field(repr=False)
    probabilities: pd.DataFrame = field(repr=False)
    fold: NDArray[np.int64] = field(repr=False)
    reasons: NDArray[np.object_] = field(repr=False)
    estimators: dict[str, str] = field(repr=False)
    reference: str
    n_repeats: int = 1
    random_state: int | None = None

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Whether each record was tested by a fold, and could be judged by every estimator."""
        return (self.fold >= 0) & (self.reasons == "")

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of records, patients, events (records of the positive class) and folds that count, of one repeat."""
        n_records = int(self.tested.sum()) // self.n_repeats
        return {
            "n_records": n_records,
            "n_patients": n_records if self.groups is None else len(np.unique(self.groups[self.tested])),
            "n_events": int(self.y[self.tested].sum()) // self.n_repeats,
            "n_folds": (int(self.fold.max()) + 1) // self.n_repeats,
        }

    @property
    def best(self) -> str:
        """The estimator of the highest AUROC."""
        return str(self.table["roc_auc"].idxmax())

    @cached_property
    def verdict(self) -> Verdict:
        """Which estimator ranks best, how sure that is, and what it takes to be sure, in words.

        It is "good" if the interval of the difference in AUROC to each other estimator is above 0; "bad" if the best
        is no better than chance; otherwise, and with fewer than ten patients of a class, "open".
        """
        return find_verdict(self)

    @cached_property
    def _known(self) -> dict[str, Any]:
        """What every template of words may use, by name."""
        given = len(self.y) // self.n_repeats
        unjudged = Usable.from_reasons(self.reasons[:given].tolist())
        return super()._known | {
            "given": given,
            "unjudged": unjudged,
            "n_unjudged": int((~unjudged.mask).sum()),
            "n_untested": int((self.fold[:given] < 0).sum()),
            "has_bands": self._has_bands(),
            "prevalence": f"{np.mean(self.y[self.tested]):.3f}",
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
        found = format_columns(self.table, _TITLES, self.confidence_level)
        found[f"AUROC minus {self.reference}"] = [
            "(reference)" if name == self.reference else format_interval(row, "roc_auc_difference", "+")
            for name, row in self.table.iterrows()
        ]
        found["fit, s"] = [f"{seconds:.1f}" for seconds in self.table["fit_time"]]
        return found

    def describe_intervals(self) -> str:
        """Return in words what the intervals of figures and differences hold, and what they do not.

        Returns
        -------
        str
            Whole sentences.
        """
        return self._say("intervals")

    def calibration_summary(self) -> pd.DataFrame:
        """Return calibration slope and intercept, expected calibration error and Brier skill as text for people.

        Returns
        -------
        DataFrame of str
            One row for each estimator.
        """
        return format_columns(self.table, _CALIBRATION, self.confidence_level)

    def decision_summary(self) -> pd.DataFrame | None:
        """Return sensitivity, specificity, predictive values and F1 as text for people.

        Returns
        -------
        DataFrame of str or None
            One row for each estimator; None if there is one fold only.
        """
        return None if self.decisions is None else format_columns(self.decisions, _DECISIONS, self.confidence_level)

    def threshold_summary(self) -> pd.DataFrame | None:
        """Return the thresholds of the best estimator, and what they give, as text for people.

        Returns
        -------
        DataFrame of str or None
            Columns "rule-out", "greatest F1" and "rule-in"; None if there is one fold only.
        """
        return make_threshold_table(self)

    def plot_roc(self) -> Figure:
        """Draw the ROC curves, averaged over folds; the area under each is its `roc_auc`.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """
        return self.plot("roc")

    def plot_precision_recall(self) -> Figure:
        """Draw precision against recall, averaged over folds; the area under each is its `average_precision`.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """
        return self.plot("precision_recall")

    def plot_decision_curve(self) -> Figure:
        """Draw the net benefit of treating by each estimator, against treating everybody and nobody.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """
        return self.plot("decision_curve")

    def plot_reliability(self) -> Figure:
        """Draw observed against predicted frequency, and the distribution of probabilities by class.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """
        return self.plot("reliability")

    def plot_probabilities(self) -> Figure:
        """Draw how probabilities are distributed in each class.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot; ``figure.savefig(path)`` writes it.
        """
        return self.plot("probabilities")

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
        if self.tiers is None:
            raise ValueError("Risk tiers need two folds at least: thresholds of a fold come from the others.")
        return self.plot("tiers")

    def units(self) -> NDArray[Any]:
        """Return whom each record that counts is of: its patient or, without patients, itself.

        Returns
        -------
        ndarray of shape (n_records,)
            One entry for each repeat and record that counts.
        """
        # The same record comes again in each repeat.
        own = np.tile(np.arange(len(self.y) // self.n_repeats), self.n_repeats)
        return (own if self.groups is None else self.groups)[self.tested]

    def _interval(self, metric: str, name: str) -> Interval:
        """Return a figure of an estimator, so that picture and table say the same."""
        estimate, low, high = self.table.loc[name, [metric, f"{metric}_low", f"{metric}_high"]].to_numpy(dtype=float)
        return Interval(estimate, low, high, self.confidence_level)

    def _draw(self, kind: str, caption: str) -> Figure:
        names = [str(name) for name in self.table.index]
        height, width, per_row = _PANELS.get(kind, (6.9, _SHARED_WIDTH, 1))
        n_columns = min(len(names), per_row)
        if kind in _PANELS:
            height = height * -(-len(names) // n_columns) + (1.0 if n_columns > 1 else 1.8)
        figure = new_figure(width * n_columns, height)
        shared = None if kind in _PANELS else figure.add_subplot()
        reference = "plot_reference" if kind == "decision_curve" else "plot_chance"
        for number, name in enumerate(names):
            here = self.tested
            tiers = None if self.tiers is None else self.tiers[name].to_numpy()[here]
            drawn = Drawn(self.y[here], self.probabilities[name].to_numpy()[here], tiers, self.units(), self.fold[here])
            style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)]}
            axes = shared
            if axes is None:
                axes = figure.add_subplot(-(-len(names) // n_columns), n_columns, number + 1)
            else:
                # What all estimators have in common is drawn once.
                bands = {"plot_band": self._has_bands(), reference: number == 0}
                style |= {"linestyle": DASHES[number % len(DASHES)], **bands}
            self._draw_model(kind, drawn, partial(self._interval, name=name), axes, name, **style)
            if shared is None:
                axes.set_title(clean_label(name), fontsize=10)
                if number % n_columns:
                    axes.set_ylabel("")
        # What a picture shows, and what it rests on.
        words = " ".join(f"{caption} {self._say('rests_on')}".split())
        lines = textwrap.fill(words, int(_LETTERS_PER_INCH * figure.get_figwidth()))
        figure.supxlabel(lines, fontsize=8.5, x=0.02, ha="left", color="#333333")
        return figure

    def _has_bands(self) -> bool:
        return len(self.table) <= _MOST_BANDS

    def _answer_checklist(self, n_skipped: int) -> dict[str, str]:
        return describe_comparison(self, n_skipped)

    def _list_content(self) -> dict[str, Any]:
        tables = ("table", "folds", "subgroups", "decisions")
        content = {name: getattr(self, name) for name in (*_SETTINGS, "estimators", *tables)}
        return content | {"tiers": self.tier_tables}

    def _list_tables(self) -> Iterator[tuple[str, pd.DataFrame, bool]]:
        yield "folds", self.folds, False
        if len(self.subgroups):
            yield "subgroups", self.subgroups, False

    def _list_sections(self, pictures: dict[str, Picture]) -> Iterator[Section | None]:
        yield self._make_section("figures", self.summary().rename_axis(None))
        thresholds, decisions = self.threshold_summary(), self.decision_summary()
        if thresholds is not None:
            yield self._make_section("thresholds", thresholds)
        yield self._make_section("calibration", self.calibration_summary().rename_axis(None))
        if decisions is not None:
            yield self._make_section("decisions", decisions.rename_axis(None))
        for name, picture in pictures.items():
            yield Section(title_picture(name), picture=picture)
        yield None
        if len(self.subgroups):
            yield self._make_section("subgroups", _make_subgroup_table(self))
        yield self._make_section("folds", _make_fold_table(self))

    @property
    def _models(self) -> dict[str, str]:
        return self.estimators


def _make_subgroup_table(result: ComparisonResult) -> pd.DataFrame:
    groups = result.subgroups
    # Where a class is too small for an interval, there is none.
    few = np.minimum(groups["n_events"], groups["n_records"] - groups["n_events"]) < FEW
    columns = {"estimator": groups["estimator"], "records": groups["n_records"]}
    columns[result.target_names[1]] = groups["n_events"]
    for key, title in (("roc_auc", "AUROC"), ("brier_score", "Brier"), ("calibration_intercept", "intercept")):
        shown, bare = groups.apply(format_interval, axis=1, key=key), groups[key].map("{:.3f} *".format)
        columns[title] = shown.where(~few | groups[key].isna(), bare)
    return pd.DataFrame(columns).set_axis((groups["column"] + ": " + groups["level"].astype(str)).rename("subgroup"))


def _make_fold_table(result: ComparisonResult) -> pd.DataFrame:
    table = result.folds.pivot(index="fold", columns="estimator", values="roc_auc")[list(result.table.index)]
    n_folds = result.counts["n_folds"]
    repeats = [f"repeat {fold // n_folds + 1}, " if result.n_repeats > 1 else "" for fold in table.index]
    table.index = pd.Index(
        [f"{repeat}fold {fold % n_folds + 1}" for repeat, fold in zip(repeats, table.index, strict=True)]
    )
    table.columns = [f"AUROC {name}" for name in table.columns]
    sizes = result.folds.groupby("fold")[["n_test", "n_events"]].first().to_numpy()
    table.insert(0, "records tested", sizes[:, 0])
    table.insert(1, f"of them {result.target_names[1]}", sizes[:, 1])
    return table
