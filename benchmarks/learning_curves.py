"""Which model for how many ECGs: every model trained on more and more records and tested on the same others.

Real: PTB-XL, MI against normal, in repeated folds of patients; training records of each fold are drawn by patient.
Simulated: OMI at 7 %, a cohort for each split, tested on one fixed cohort of other patients. A smaller set is part of
the next larger one. A row for each data set, size, split and model is added to FOLDER/learning_curves.csv as it is
finished, and the same command goes on from there; then learning_curves.png and learning_curves.md are written anew.
"""

from __future__ import annotations

import warnings
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss
from sklearn.utils import Bunch

from omi_estimators.candidates import CANDIDATES, make_candidates
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs
from omi_estimators.displays import COLOURS, DASHES, finish_axes
from omi_estimators.evaluation import compare_estimators
from omi_estimators.splits import make_splits

RATE = 500
REAL, SIMULATED = "PTB-XL, MI against normal", "simulated OMI at 7 %"
WITH_A_NET = ("net", "temporal_resnet18", "resnet18", "fusion")
FIGURES = ("roc_auc", "average_precision", "brier_score", "calibration_slope", "calibration_intercept")
N_TEST_PATIENTS = 1500
RECORDS_PER_PATIENT = 1.4


class Task(NamedTuple):
    """Records, and on which of them a model is trained and tested: `size` records, in one split."""

    data: str
    ecgs: Bunch
    splits: list[tuple[np.ndarray, np.ndarray]]
    size: int
    split: int


def run(data: Namespace) -> None:
    """Fit what is missing, row by row, and write picture and table of all that is there."""
    folder = Path(data.out or "report")
    folder.mkdir(parents=True, exist_ok=True)
    rows, cache = folder / "learning_curves.csv", Path(data.cache or folder / "cache")
    known = pd.read_csv(rows) if rows.exists() else pd.DataFrame(columns=["data", "size", "split", "model", "width"])
    done = set(known[["data", "size", "split", "model", "width"]].itertuples(index=False, name=None))
    widths = {name: data.width if name in WITH_A_NET else 0 for name in data.models}

    def wanted(kind: str, size: int, split: int) -> list[str]:
        return [name for name in data.models if (kind, size, split, name, widths[name]) not in done]

    for task in make_tasks(data, wanted):
        for name in wanted(task.data, task.size, task.split):
            row = {"data": task.data, "size": task.size, "split": task.split, "model": name, "width": widths[name]}
            row |= measure(task, name, data.width, cache)
            pd.DataFrame([row]).to_csv(rows, mode="a", index=False, header=not rows.exists())
            print(f"  {task.data}, {task.size}, split {task.split}: {name} {row['roc_auc']:.3f}", flush=True)
    table = pd.read_csv(rows)
    table = table[table["width"].isin([0, data.width])]
    (folder / "learning_curves.md").write_text(write_table(table))
    draw(table, folder / "learning_curves.png")
    print(write_table(table))


def make_tasks(data: Namespace, wanted: Any) -> Iterator[Task]:
    """Yield what is to be fitted, real records first, for which `wanted` names a model."""
    if data.ptbxl is not None and data.sizes:
        ecgs = load_ptbxl(data.ptbxl, task="mi_vs_norm", sampling_rate=RATE)
        for split in range(data.splits):
            folds = make_splits(ecgs.X, ecgs.y, groups=ecgs.groups, random_state=split)
            for size in data.sizes:
                if wanted(REAL, size, split):
                    drawn = [
                        (draw_patients(train, ecgs, size, [split, fold]), test)
                        for fold, (train, test) in enumerate(folds)
                    ]
                    yield Task(REAL, ecgs, drawn, size, split)
    for split in range(data.splits):
        sizes = [size for size in data.simulated if wanted(SIMULATED, size, split)]
        if sizes:
            ecgs, train, test = simulate(max(data.simulated), split)
            for size in sizes:
                yield Task(SIMULATED, ecgs, [(draw_patients(train, ecgs, size, [split]), test)], size, split)


def simulate(size: int, split: int) -> tuple[Bunch, np.ndarray, np.ndarray]:
    """Return the cohort of a split, of at least `size` records, and the cohort that tests all of them."""
    n_patients = int(1.1 * size / RECORDS_PER_PATIENT) + 50
    ours = make_omi_ecgs(n_patients, records_per_patient=RECORDS_PER_PATIENT, random_state=1 + split)
    test = make_omi_ecgs(N_TEST_PATIENTS, records_per_patient=RECORDS_PER_PATIENT, random_state=0)
    ecgs = Bunch(
        X=np.concatenate([ours.X, test.X]),
        y=np.concatenate([ours.y, test.y]),
        groups=np.concatenate([ours.groups, ours.groups.max() + 1 + test.groups]),
    )
    return ecgs, np.arange(len(ours.y)), np.arange(len(ours.y), len(ecgs.y))


def draw_patients(train: np.ndarray, ecgs: Bunch, size: int, seed: list[int]) -> np.ndarray:
    """Return about `size` of the records, all those of some patients, with events in the same share."""
    if size >= len(train):
        return train
    patients, of_patient = np.unique(ecgs.groups[train], return_inverse=True)
    n_records = np.bincount(of_patient)
    with_event = np.bincount(of_patient, weights=ecgs.y[train]) > 0
    order = np.random.default_rng(seed).permutation(len(patients))
    chosen = []
    for kind in (with_event, ~with_event):
        ours = order[kind[order]]
        share = n_records[ours].sum() / len(train)
        chosen.append(ours[: 1 + np.searchsorted(np.cumsum(n_records[ours]), share * size)])
    return train[np.isin(of_patient, np.concatenate(chosen))]


def measure(task: Task, name: str, width: int, cache: Path) -> dict[str, float]:
    """Return what a model is worth that was trained on these records."""
    estimators = make_candidates(
        [name], RATE, memory=str(cache / "records"), n_jobs=1, net_params={"width": width, "n_threads": 1}
    )
    X, y, groups = task.ecgs.X, task.ecgs.y, task.ecgs.groups
    # One fold is a row, so that there is nothing else to keep.
    kept = cache / "folds" if len(task.splits) > 1 else None
    given = {"groups": groups, "cv": task.splits, "random_state": task.split, "n_resamples": 1, "verbose": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = compare_estimators(estimators, X, y, cache_dir=kept, **given)
    told = result.probabilities[name].dropna()
    trained = [len(train) for train, _ in task.splits], [y[train].sum() for train, _ in task.splits]
    figures = {figure: float(result.table.loc[name, figure]) for figure in FIGURES}
    return {
        **dict(zip(("n_train", "n_train_events"), np.mean(trained, axis=1).round().astype(int).tolist(), strict=True)),
        "n_test": len(told),
        "n_test_events": int(y[told.index].sum()),
        **figures,
        "log_loss": float(log_loss(y[told.index], told)),
        "fit_time": float(result.table.loc[name, "fit_time"]),
    }


def sort_models(table: pd.DataFrame) -> list[str]:
    """Return the models of a table in the order of the candidates."""
    return [name for name in CANDIDATES if name in set(table["model"])]


def write_table(table: pd.DataFrame) -> str:
    """Return, for each data set, which model for how many ECGs, as Markdown."""
    texts = []
    for kind in [kind for kind in (REAL, SIMULATED) if kind in set(table["data"])]:
        here = table[table["data"] == kind]
        sizes = here.groupby("size")[["n_train", "n_train_events", "n_test_events"]].mean().round().astype(int)
        means = here.pivot_table(index="size", columns="model", values="roc_auc")
        lines = [
            "| trained on " + "".join(f"| {n.n_train} ECGs, {n.n_train_events} events " for n in sizes.itertuples())
        ]
        lines = [f"{lines[0]}|", "|---" * (1 + len(sizes)) + "|"]
        for name in sort_models(here):
            cells = []
            for size in sizes.index:
                of_cell = here[(here["size"] == size) & (here["model"] == name)]
                cell = show_cell(of_cell)
                cells.append(f"**{cell}**" if len(of_cell) and means.loc[size].idxmax() == name else cell)
            lines.append(f"| `{name}` | {' | '.join(cells)} |")
        n_events = int(sizes["n_test_events"].iloc[0])
        texts.append(
            f"{kind[0].upper()}{kind[1:]}, tested on {n_events} events: AUROC ± standard deviation over "
            f"{here['split'].nunique()} splits (calibration slope).\n\n" + "\n".join(lines) + "\n"
        )
    return "\n".join(texts)


def show_cell(rows: pd.DataFrame) -> str:
    """Return the figures of a model at one size, over splits."""
    if not len(rows):
        return ""
    slope = rows["calibration_slope"].mean()
    spread = f" ± {rows['roc_auc'].std():.3f}" if len(rows) > 1 else ""
    return f"{rows['roc_auc'].mean():.3f}{spread}" + (f" ({slope:.2f})" if np.isfinite(slope) else "")


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw AUROC and calibration slope against the number of records, a line for each model, a band for its spread."""
    from matplotlib.figure import Figure

    kinds = [kind for kind in (REAL, SIMULATED) if kind in set(table["data"])]
    figure = Figure(figsize=(5.2 * len(kinds), 7.6), layout="constrained")
    axes = figure.subplots(2, len(kinds), squeeze=False, sharex="col")
    # The share of events has an AUROC of 0.5 and no slope, whatever it is trained on.
    models = [name for name in sort_models(table) if name != "prior"]
    for column, kind in enumerate(kinds):
        here = table[table["data"] == kind]
        for (ax, figure_name), title in zip(
            ((axes[0, column], "roc_auc"), (axes[1, column], "calibration_slope")),
            ("AUROC", "calibration slope"),
            strict=True,
        ):
            for name in models:
                at = here[here["model"] == name].groupby("size")
                n, means, spread = at["n_train"].mean(), at[figure_name].mean(), at[figure_name].std().fillna(0)
                number = CANDIDATES.index(name)
                style = {"color": COLOURS[number % 7], "linestyle": DASHES[(number + number // 7) % 7]}
                ax.plot(n, means, marker="o", markersize=3, linewidth=1.8, label=name, **style)
                ax.fill_between(n, means - spread, means + spread, color=style["color"], alpha=0.15, linewidth=0)
            ax.set_xscale("log")
            finish_axes(ax, kind if figure_name == "roc_auc" else "", ylabel=title)
        axes[1, column].axhline(1, color="#666666", linewidth=1, zorder=0)
        axes[1, column].set(xlabel="ECGs to train on", yscale="log")
        sizes = here.groupby("size")["n_train"].mean().round().astype(int).tolist()
        for ax in axes[:, column]:
            ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
            ax.minorticks_off()
    axes[0, 0].legend(fontsize=8)
    figure.savefig(path, dpi=130)
