"""The report: one page that holds its pictures, and tables beside it."""

from __future__ import annotations

import base64
import io
import platform
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import sklearn

import omi_estimators
from omi_estimators.evaluation._checklist import to_section
from omi_estimators.evaluation._tables import format_interval
from omi_estimators.preprocessing import Usable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from omi_estimators.evaluation._result import ComparisonResult

_DPI = 150
_FEW = 10

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 70rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .35rem .8rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #333; }
figure { margin: 1rem 0; overflow-x: auto; } img { max-width: 100%; height: auto; }
img.panels { min-width: 46rem; }
table.checklist :is(th, td) { text-align: left; vertical-align: top; white-space: pre-line; }
table.checklist td:nth-child(n+5) { min-width: 16rem; overflow-wrap: anywhere; }
.note { border-left: 4px solid #d55e00; padding: .3rem .9rem; background: #fdf3ec; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; background: #f5f5f5; padding: .6rem; }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p><strong>For research use only; not a medical device.</strong> {counts}</p>
{notes}
{body}
</body>
</html>
"""


# Heading, name (of the file, and of the method that plots it), and what is read out instead of the picture.
_PICTURES = (
    ("Discrimination", "roc", "ROC curves of all estimators, with areas and intervals"),
    ("Precision and recall", "precision_recall", "Precision against recall of all estimators"),
    ("Calibration", "reliability", "Observed against predicted frequency for each estimator"),
    ("Probabilities by class", "probabilities", "Histograms of probabilities by class"),
    ("Net benefit", "decision_curve", "Net benefit against threshold for all estimators"),
    ("Risk tiers", "tiers", "Share of events in each risk tier of each estimator"),
)
_PANELS = ("reliability", "probabilities", "tiers")

# How tables are read.
_ON_CALIBRATION = (
    "Slope: 1 is right, below 1 probabilities are too extreme, above 1 not extreme enough. Intercept, with the "
    "slope held at 1: 0 is right, above 0 probabilities are too low. ECE: mean distance between predicted and "
    "observed frequency over ten groups of equal size (0 is best; noise alone gives more). Brier skill: the part "
    "of the prevalence's Brier score that a model takes away (1 is perfect, 0 no better than the prevalence)."
)
_ON_DECISIONS = (
    "Records at or above the threshold of greatest F1 are called positive; the threshold of each fold was chosen "
    "on the other folds. PPV and NPV hold for the share of positives among these records. Intervals: Wilson's, at "
    "the sample size that is left where records of a patient are alike; F1: bootstrap."
)
_ON_SUBGROUPS = (
    "The same out-of-fold probabilities, by subgroup; not defined where a subgroup lacks a class. * Fewer than "
    f"{_FEW} records of a class: no interval could be trusted. Among many subgroups some differ by chance."
)

_ADDED = (
    "A patient who is drawn comes with all records in all repeats; the variance of the mean over repeats is added to "
    "the intervals of figures, decisions and subgroups, not to bands and tiers. "
)


def draw_pictures(result: ComparisonResult) -> dict[str, bytes]:
    """Return each picture of a comparison as PNG, by the name of its file."""
    names = [name for _, name, _ in _PICTURES if name != "tiers" or result.tiers is not None]
    return {name: _render(getattr(result, f"plot_{name}")()) for name in names}


def write_page(
    path: Path, result: ComparisonResult, pictures: dict[str, bytes], title: str, notes: Sequence[str], n_skipped: int
) -> Path:
    """Write the page, with everything it shows inside, and return where."""
    sections = [
        _section("Figures", _to_html(result.summary()), _explain(result)),
        _section("Calibration in numbers", _to_html(result.calibration_summary()), _ON_CALIBRATION),
    ]
    decisions = result.decision_summary()
    if decisions is not None:
        sections.append(_section("Decisions", _to_html(decisions), _ON_DECISIONS))
    for heading, name, alternative in _PICTURES:
        if name in pictures:
            encoded = base64.b64encode(pictures[name]).decode()
            # Panels side by side stay legible in a narrow window, which scrolls.
            kind = ' class="panels"' if name in _PANELS else ""
            image = f'<img{kind} src="data:image/png;base64,{encoded}" alt="{escape(alternative)}">'
            sections.append(f"<h2>{heading}</h2>\n<figure>{image}</figure>")
    if len(result.subgroups):
        sections.append(_section("Subgroups", _make_subgroup_table(result), _ON_SUBGROUPS))
    sections.append(_section("Fold by fold", _make_fold_table(result), ""))
    estimators = "\n".join(
        f"<details><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>"
        for name, text in result.estimators.items()
    )
    sections += [
        to_section(result.checklist(n_skipped=n_skipped)),
        f"<h2>How it was done</h2>\n<p>{escape(_describe_method(result))}</p>\n{estimators}",
        f"<p>Made with omi_estimators {omi_estimators.__version__}, scikit-learn {sklearn.__version__}, "
        f"Python {platform.python_version()}.</p>",
    ]
    page = _PAGE.format(
        title=escape(title),
        style=_STYLE,
        counts=escape(_count(result, n_skipped)),
        notes="\n".join(f'<p class="note">{escape(note)}</p>' for note in notes),
        body="\n".join(sections),
    )
    path.write_text(page, encoding="utf-8")
    return path


def _section(heading: str, table: str, reading: str) -> str:
    return f'<h2>{heading}</h2>\n<div class="scroll">{table}</div>\n<p>{escape(reading)}</p>'


def _to_html(table: pd.DataFrame) -> str:
    return table.rename_axis(None).to_html(border=0)


def _render(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _count(result: ComparisonResult, n_skipped: int) -> str:
    counts = result.counts
    patients = f" of {counts['n_patients']} patients" if result.groups is not None else ""
    n_records = len(result.y) // result.n_repeats
    unjudged = Usable.from_reasons(result.reasons[:n_records].tolist())
    untested = int((result.fold[:n_records] < 0).sum())
    sentences = [
        f"{counts['n_records']} records{patients}; {counts['n_events']} are {result.target_names[1]}, "
        f"{counts['n_records'] - counts['n_events']} {result.target_names[0]}.",
        f"Damaged records skipped: {n_skipped}.",
    ]
    if not unjudged.mask.all():
        sentences.append(f"Not judged, and in no figure: {(~unjudged.mask).sum()}, {unjudged}.")
    if untested:
        sentences.append(f"{untested} records were only trained on, and count in no figure.")
    return " ".join(sentences)


def _explain(result: ComparisonResult) -> str:
    return (
        "AUROC: the chance that a record of the positive class gets a higher probability than one of the negative "
        "class (0.5 is chance, 1 is perfect). AP: average precision (the share of positives, "
        f"{np.mean(result.y[result.tested]):.3f}, is chance). Brier: mean squared error of the probability (0 is "
        f"perfect, lower is better). In brackets {100 * result.confidence_level:g} % confidence intervals. A "
        f"difference to {result.reference} whose interval excludes 0 is unlikely to be chance. "
        f"{result.describe_intervals()} fit, s: mean seconds of training per fold."
    )


def _make_subgroup_table(result: ComparisonResult) -> str:
    titles = {"roc_auc": "AUROC", "brier_score": "Brier", "calibration_intercept": "intercept"}
    rows = [
        {"subgroup": f"{row['column']}: {row['level']}", "estimator": row["estimator"], "records": row["n_records"]}
        | {result.target_names[1]: row["n_events"]}
        | {title: _format_figure(row, key) for key, title in titles.items()}
        for _, row in result.subgroups.iterrows()
    ]
    return pd.DataFrame(rows).to_html(border=0, index=False)


def _format_figure(row: pd.Series, key: str) -> str:
    """Return a subgroup's figure with its interval, or without where a class is too small for one."""
    few = min(row["n_events"], row["n_records"] - row["n_events"]) < _FEW
    return f"{row[key]:.3f} *" if few and not np.isnan(row[key]) else format_interval(row, key)


def _make_fold_table(result: ComparisonResult) -> str:
    table = result.folds.pivot(index="fold", columns="estimator", values="roc_auc")[list(result.table.index)]
    n_folds = result.counts["n_folds"]
    repeats = [f"repeat {fold // n_folds + 1}, " if result.n_repeats > 1 else "" for fold in table.index]
    table.index = [f"{repeat}fold {fold % n_folds + 1}" for repeat, fold in zip(repeats, table.index, strict=True)]
    sizes = result.folds.groupby("fold")[["n_test", "n_events"]].first().to_numpy()
    table.insert(0, "records tested", sizes[:, 0])
    table.insert(1, f"of them {result.target_names[1]}", sizes[:, 1])
    table.columns = [f"AUROC {name}" if name in result.table.index else str(name) for name in table.columns]
    return table.to_html(border=0, float_format="{:.3f}".format)


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
