"""The report of a comparison: what its page tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from omi_estimators._validation import count_noun
from omi_estimators.evaluation._checklist import to_section
from omi_estimators.evaluation._page import Picture, Section, render, write_page
from omi_estimators.evaluation._tables import FEW, format_interval
from omi_estimators.evaluation._verdict import ON_THRESHOLDS, ON_VERDICT
from omi_estimators.preprocessing import Usable

if TYPE_CHECKING:
    from omi_estimators.evaluation._result import ComparisonResult

# By the name of the file, and of the method that plots it.
_PICTURES = {
    "roc": "Discrimination",
    "precision_recall": "Precision and recall",
    "reliability": "Calibration",
    "probabilities": "Probabilities by class",
    "decision_curve": "Net benefit",
    "tiers": "Risk tiers",
}

# How tables are read.
ON_CALIBRATION = (
    "Slope: 1 is right, below 1 probabilities are too extreme, above 1 not extreme enough. Intercept, with the "
    "slope held at 1: 0 is right, above 0 probabilities are too low. ECE: mean distance between predicted and "
    "observed frequency over ten groups of equal size (0 is best; chance alone gives more, and what resampling adds is "
    "taken from its interval). Brier skill: the part "
    "of the prevalence's Brier score that a model takes away (1 is perfect, 0 no better than the prevalence)."
)
_ON_DECISIONS = (
    "Records at or above the threshold of greatest F1 are called positive; the threshold of each fold was chosen "
    "on the other folds. PPV and NPV hold for the share of positives among these records. Intervals: Wilson's, at "
    "the sample size that is left where records of a patient are alike; F1: bootstrap."
)
_ON_SUBGROUPS = (
    "The same out-of-fold probabilities, by subgroup; not defined where a subgroup lacks a class. * Fewer than "
    f"{FEW} records of a class: no interval could be trusted. Among many subgroups some differ by chance."
)

_ADDED = (
    "A patient who is drawn comes with all records in all repeats; the variance of the mean over repeats is added to "
    "the intervals of figures, decisions and subgroups, not to bands and tiers. "
)


def draw_pictures(result: ComparisonResult) -> dict[str, Picture]:
    """Return each picture of a comparison by the name of its file."""
    names = [name for name in _PICTURES if name != "tiers" or result.tiers is not None]
    return {name: render(getattr(result, f"plot_{name}")()) for name in names}


def write_comparison(
    path: Path,
    result: ComparisonResult,
    pictures: dict[str, Picture],
    title: str,
    notes: Sequence[str],
    n_skipped: int,
    further: Sequence[Section] = (),
    commands: Sequence[str] = (),
) -> Path:
    """Write the page of a comparison, with `further` sections after its pictures, and return where."""
    sections = [
        Section("Figures", _explain(result), result.summary().rename_axis(None)),
        *_make_threshold_section(result),
        Section("Calibration in numbers", [ON_CALIBRATION], result.calibration_summary().rename_axis(None)),
    ]
    decisions = result.decision_summary()
    if decisions is not None:
        sections.append(Section("Decisions", [_ON_DECISIONS], decisions.rename_axis(None)))
    sections += [Section(_PICTURES[name], picture=picture) for name, picture in pictures.items()]
    sections += further
    if len(result.subgroups):
        sections.append(Section("Subgroups", [_ON_SUBGROUPS], _make_subgroup_table(result)))
    sections += [
        Section("Fold by fold", table=_make_fold_table(result)),
        to_section(result.checklist(n_skipped=n_skipped)),
        *([Section("The commands", commands)] if commands else []),
        Section("How it was done", [ON_VERDICT, _describe_method(result)], details=result.estimators),
    ]
    return write_page(
        path, sections, title=title, counts=_count(result, n_skipped), notes=notes, verdict=result.verdict
    )


def _make_threshold_section(result: ComparisonResult) -> list[Section]:
    table = result.threshold_summary()
    return [] if table is None else [Section(f"Where to cut: the thresholds of {result.best}", [ON_THRESHOLDS], table)]


def _count(result: ComparisonResult, n_skipped: int) -> str:
    counts = result.counts
    patients = f" of {count_noun(counts['n_patients'], 'patient')}" if result.groups is not None else ""
    n_records = len(result.y) // result.n_repeats
    unjudged = Usable.from_reasons(result.reasons[:n_records].tolist())
    untested = int((result.fold[:n_records] < 0).sum())
    sentences = [
        f"{count_noun(counts['n_records'], 'record')}{patients}; {counts['n_events']} are {result.target_names[1]}, "
        f"{counts['n_records'] - counts['n_events']} {result.target_names[0]}.",
        f"Damaged records skipped: {n_skipped}.",
    ]
    if not unjudged.mask.all():
        sentences.append(f"Not judged, and in no figure: {(~unjudged.mask).sum()}, {unjudged}.")
    if untested:
        sentences.append(f"Only trained on, and in no figure: {untested}.")
    return " ".join(sentences)


def _explain(result: ComparisonResult) -> list[str]:
    return [
        "AUROC: the chance that a record of the positive class gets a higher probability than one of the negative "
        "class (0.5 is chance, 1 is perfect). AP: average precision (the share of positives, "
        f"{np.mean(result.y[result.tested]):.3f}, is chance). Brier: mean squared error of the probability (0 is "
        f"perfect, lower is better). In brackets {100 * result.confidence_level:g} % confidence intervals. A "
        f"difference to {result.reference} whose interval excludes 0 is unlikely to be chance. "
        f"{result.describe_intervals()} fit, s: mean seconds of training per fold."
    ]


def _make_subgroup_table(result: ComparisonResult) -> pd.DataFrame:
    titles = {"roc_auc": "AUROC", "brier_score": "Brier", "calibration_intercept": "intercept"}
    rows = [
        {"subgroup": f"{row['column']}: {row['level']}", "estimator": row["estimator"], "records": row["n_records"]}
        | {result.target_names[1]: row["n_events"]}
        | {title: _format_figure(row, key) for key, title in titles.items()}
        for _, row in result.subgroups.iterrows()
    ]
    return pd.DataFrame(rows).set_index("subgroup")


def _format_figure(row: pd.Series, key: str) -> str:
    """Return a subgroup's figure with its interval, or without where a class is too small for one."""
    few = min(row["n_events"], row["n_records"] - row["n_events"]) < FEW
    return f"{row[key]:.3f} *" if few and not np.isnan(row[key]) else format_interval(row, key)


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


def _describe_method(result: ComparisonResult) -> str:
    by_patient = "patients" if result.groups is not None else "records"
    return (
        f"Cross-validation with {result.counts['n_folds']} folds, the same for every estimator"
        + (f", {result.n_repeats} times with new folds and seeds. " if result.n_repeats > 1 else ". ")
        + ("No patient is in training and test of the same fold. " if result.groups is not None else "")
        + "AUROC compares records within folds only, and AP is the mean over positives of the precision within their "
        "folds, since different folds have different models (Forman and Scholz 2010, doi:10.1145/1882471.1882479). "
        f"Intervals: percentile bootstrap of {by_patient}, {result.n_resamples} resamples, the same for all "
        f"estimators; {result.n_redrawn} resamples held one class only and were drawn again. "
        + (_ADDED if result.n_repeats > 1 else "")
        + "Calibration, Brier score and decisions are about single probabilities and pool the folds. "
        "The page follows TRIPOD+AI (BMJ 2024;385:e078378) in what it states of participants, outcome, sample size, "
        "performance with intervals and software."
    )
