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
import sklearn

import omi_estimators

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from omi_estimators.comparison._result import ComparisonResult

_DPI = 150

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .35rem .8rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #333; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
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
<h2>Figures</h2>
<div class="scroll">{table}</div>
<p>{reading}</p>
<h2>Discrimination</h2>
<figure><img src="data:image/png;base64,{roc}" alt="ROC curves of all estimators, with areas and intervals"></figure>
<h2>Calibration</h2>
<figure><img src="data:image/png;base64,{reliability}"
 alt="Predicted against observed frequency, and histograms of probabilities by class, for each estimator"></figure>
<h2>Fold by fold</h2>
<div class="scroll">{folds}</div>
<h2>How it was done</h2>
<p>{method}</p>
{estimators}
<p>Beside this page: <code>table.csv</code>, <code>folds.csv</code>, <code>result.json</code>, <code>roc.png</code>,
<code>reliability.png</code>. {versions}</p>
</body>
</html>
"""


def write_report(result: ComparisonResult, folder: Path, *, title: str, notes: Sequence[str], n_skipped: int) -> Path:
    """Write the report; see `ComparisonResult.write_report`."""
    pictures = {"roc": _render(result.plot_roc()), "reliability": _render(result.plot_reliability())}
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        (folder / f"{name}.png").write_bytes(picture)
    result.to_csv(folder / "table.csv")
    result.folds.to_csv(folder / "folds.csv", index=False)
    result.to_json(folder / "result.json")
    page = _PAGE.format(
        title=escape(title),
        style=_STYLE,
        counts=escape(_count(result, n_skipped)),
        notes="\n".join(f'<p class="note">{escape(note)}</p>' for note in notes),
        table=result.summary().rename_axis(None).to_html(border=0),
        reading=escape(_explain(result)),
        folds=_make_fold_table(result),
        method=escape(_describe_method(result)),
        estimators="\n".join(
            f"<details><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>"
            for name, text in result.estimators.items()
        ),
        versions=escape(_list_versions()),
        **{name: base64.b64encode(picture).decode() for name, picture in pictures.items()},
    )
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def _render(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _count(result: ComparisonResult, n_skipped: int) -> str:
    counts = result.counts
    patients = f" of {counts['n_patients']} patients" if result.groups is not None else ""
    untested = len(result.y) - counts["n_records"]
    sentences = [
        f"{counts['n_records']} records{patients}; {counts['n_events']} are {result.target_names[1]}, "
        f"{counts['n_records'] - counts['n_events']} {result.target_names[0]}.",
        f"Damaged records skipped: {n_skipped}.",
    ]
    if untested:
        sentences.append(f"{untested} records were only trained on, and count in no figure.")
    return " ".join(sentences)


def _explain(result: ComparisonResult) -> str:
    return (
        "AUROC: the chance that a record of the positive class gets a higher probability than one of the negative "
        "class (0.5 is chance, 1 is perfect). AP: average precision (the share of positives, "
        f"{np.mean(result.y[result.tested]):.3f}, is chance). Brier: mean squared error of the probability (0 is "
        f"perfect, lower is better). In brackets {100 * result.confidence_level:g} % confidence intervals. A "
        f"difference to {result.reference} whose interval excludes 0 is unlikely to be chance; the intervals tell "
        "how the figures move with other patients, not with another training of the same estimator. fit, s: mean "
        "seconds of training per fold."
    )


def _make_fold_table(result: ComparisonResult) -> str:
    table = result.folds.pivot(index="fold", columns="estimator", values="roc_auc")[list(result.table.index)]
    table.index = [f"fold {fold + 1}" for fold in table.index]
    sizes = result.folds.groupby("fold")[["n_test", "n_events"]].first().to_numpy()
    table.insert(0, "records tested", sizes[:, 0])
    table.insert(1, f"of them {result.target_names[1]}", sizes[:, 1])
    table.columns = [f"AUROC {name}" if name in result.table.index else str(name) for name in table.columns]
    return table.to_html(border=0, float_format="{:.3f}".format)


def _describe_method(result: ComparisonResult) -> str:
    by_patient = "patients" if result.groups is not None else "records"
    return (
        f"Cross-validation with {result.counts['n_folds']} folds, the same for every estimator. "
        + ("No patient is in training and test of the same fold. " if result.groups is not None else "")
        + "AUROC compares records within folds only, and AP is the mean over positives of the precision within their "
        "folds, since different folds have different models (Forman and Scholz 2010, doi:10.1145/1882471.1882479). "
        f"Intervals: percentile bootstrap of {by_patient}, {result.n_resamples} resamples, the same for all "
        f"estimators; {result.n_redrawn} resamples held one class only and were drawn again."
    )


def _list_versions() -> str:
    return (
        f"Made with omi_estimators {omi_estimators.__version__}, scikit-learn {sklearn.__version__}, "
        f"Python {platform.python_version()}."
    )
