"""The pages of ``omi-estimators predict --report``: one for each ECG, and an index of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from omi_estimators._text import clean_text
from omi_estimators._validation import count_noun
from omi_estimators.cli._tools import name_uniquely
from omi_estimators.evaluation import Picture, Section, Verdict, new_figure, render, write_page
from omi_estimators.features import feature_names, measure_record
from omi_estimators.inspection import AblationDisplay, ECGDisplay, FiducialDisplay, ablation_importance
from omi_estimators.leads import TERRITORIES
from omi_estimators.preprocessing import NoBeatError

# What devices measure: their name for it, ours, and what it is in words.
_MEASUREMENTS = (
    ("heart_rate", "heart_rate", "heart rate (1/min)"),
    ("p_duration", "p_duration", "P (ms)"),
    ("pr", "pr_interval", "PR (ms)"),
    ("qrs", "qrs_duration", "QRS (ms)"),
    ("qt", "qt_interval", "QT (ms)"),
    ("qtc", "qtc_bazett", "QTc (ms)"),
    ("p_axis", "p_axis", "P axis (degrees)"),
    ("qrs_axis", "qrs_axis", "QRS axis (degrees)"),
    ("t_axis", "t_axis", "T axis (degrees)"),
)
_GROUPS = ("rhythm", "intervals", "axes")
# A change of the log-odds that is not worth a word.
_LEAST_CHANGE = 0.1
_N_BACKGROUND = 12


class Pages:
    """The pages of a run, written chunk by chunk as its ECGs are judged.

    Parameters
    ----------
    folder : Path
        Where to; made if it is absent.
    files : sequence of Path
        All ECGs of the run, by which pages are named.
    model : estimator
        The fitted classifier.
    target : object
        Its positive class.
    sampling_rate : float
        Of the records, in Hz.
    positive : str
        What the positive class is called.
    model_name : str
        What the model is called.
    """

    def __init__(
        self,
        folder: Path,
        files: Sequence[Path],
        model: Any,
        target: Any,
        sampling_rate: float,
        positive: str,
        model_name: str,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.model = model
        self.target = target
        self.sampling_rate = sampling_rate
        self.positive = positive
        self.model_name = clean_text(model_name)
        self._prefix = _find_common_folder(files)
        self._names = iter(name_uniquely(files, taken=["index"]))
        self._rows: list[dict[str, str]] = []
        self._links: dict[str, str] = {}

    def write(self, X: Any, lines: Sequence[dict[str, Any]]) -> None:
        """Write the pages of some ECGs: those of the run in order, each with its record (mV) and its line."""
        judged = [i for i, line in enumerate(lines) if not line["error"]]
        looks = dict(zip(judged, self._look(X[judged]), strict=True)) if judged else {}
        for i, line in enumerate(lines):
            name, shown = next(self._names), {key: clean_text(value) for key, value in line.items()}
            label = clean_text(line["file"].removeprefix(self._prefix))
            if np.isfinite(X[i]).any():
                self._write_page(self.folder / f"{name}.html", X[i], shown, looks.get(i))
                self._links[label] = f"{name}.html"
            self._rows.append(
                {
                    "ECG": label,
                    f"P({self.positive})": shown["probability"],
                    "tier": shown["tier"],
                    "quality": shown["quality"],
                    "typicality": shown["typicality"],
                    "to know": shown["error"] or shown["warnings"],
                }
            )

    def write_index(self) -> Path:
        """Write the page that leads to all others, the highest probabilities first, and return where it is."""
        table = pd.DataFrame(self._rows).set_index("ECG")
        table = table.sort_values(f"P({self.positive})", ascending=False, kind="stable")
        table = table.loc[:, (table != "").any()]
        n_judged = sum(row[f"P({self.positive})"] != "" for row in self._rows)
        return write_page(
            self.folder / "index.html",
            [Section("ECGs", table=table, links=self._links)],
            title=f"{self.model_name} on {count_noun(len(self._rows), 'ECG')}",
            counts=f"{n_judged} of {count_noun(len(self._rows), 'ECG')} could be judged.",
        )

    def _look(self, X: Any) -> list[Any]:
        """Return what the model looks at in each record: what was said of it without waves of groups of leads."""
        with warnings.catch_warnings():
            # What is odd about a record is in its line.
            warnings.simplefilter("ignore", UserWarning)
            found = ablation_importance(
                self.model,
                X,
                sampling_rate=self.sampling_rate,
                background=self._background,
                lead_groups=TERRITORIES,
                target=self.target,
            )
        return [
            type(found)(found.log_odds[[i]], found.ablated[[i]], found.leads, found.segments, self.positive)
            for i in range(len(X))
        ]

    @cached_property
    def _background(self) -> Any:
        """Simulated ECGs without OMI, whose waves are typical: the same for every record, whatever lies beside it."""
        from omi_estimators.datasets import make_omi_ecgs

        data = make_omi_ecgs(2 * _N_BACKGROUND, prevalence=0.5, sampling_rate=self.sampling_rate, random_state=0)
        return data.X[data.y == 0][:_N_BACKGROUND]

    def _write_page(self, path: Path, record: Any, line: dict[str, str], look: Any) -> None:
        sections = [Section("ECG", picture=self._draw(ECGDisplay, record, (11, 8)))]
        if look is not None:
            sections.append(self._show_look(look))
        sections.append(self._show_measurements(record, line))
        sections.append(Section("How typical it is", [_tell_typicality(line)]))
        said = [line[name] for name in ("warnings", "notes") if line[name]]
        sections.append(Section("The recording", [f"Quality of the signal, from 0 to 1: {line['quality']}.", *said]))
        write_page(
            path,
            sections,
            title=f"{Path(line['file']).name}: {self.model_name}",
            counts=line["file"],
            verdict=self._judge(line),
        )

    def _judge(self, line: dict[str, str]) -> Verdict:
        """Return what is said of the ECG in a minute."""
        if line["error"]:
            return Verdict("bad", f"Not judged: {line['error']}")
        prob = float(line["probability"])
        tier = f", tier {line['tier']}" if line["tier"] else ""
        findings = ["The model gives no interval for the probability of a single ECG."]
        thresholds = getattr(self.model, "thresholds_", None)
        if thresholds is None:
            findings.append("The model has no risk tiers.")
        else:
            findings.append(
                f"Tiers, with intervals of their thresholds: rule-out below {thresholds.rule_out}, high from "
                f"{thresholds.max_f1}, rule-in from {thresholds.rule_in}."
            )
            cuts = {"rule-out": thresholds.rule_out, "high": thresholds.max_f1, "rule-in": thresholds.rule_in}
            near = [name for name, cut in cuts.items() if cut.low <= prob <= cut.high]
            if near:
                findings.append(
                    f"The tier is not sure: the probability lies within the interval of the threshold of "
                    f"{' and that of '.join(near)}, so that other training records could have put it into another tier."
                )
        findings += [line["warnings"]] if line["warnings"] else []
        return Verdict("open", f"P({self.positive}) = {prob:.2f}{tier}", findings)

    def _draw(self, display: Any, record: Any, size: tuple[float, float]) -> Picture:
        figure = new_figure(*size)
        display.from_record(record, self.sampling_rate, ax=figure.add_subplot())
        return render(figure)

    def _show_look(self, look: Any) -> Section:
        figure = new_figure(5, 3)
        display = AblationDisplay(look).plot(figure.add_subplot())
        display.ax_.set_title("")
        figure.axes[-1].set_ylabel(f"fall of the log-odds of {self.positive}".replace("$", r"\$"), fontsize=8)
        changes = look.changes[0]
        spoke = [f"Without a wave of a group of leads the log-odds of {self.positive} fall (positive) or rise by this."]
        for best, word in ((np.argmax(changes), "for"), (np.argmin(changes), "against")):
            row, column = np.unravel_index(int(best), changes.shape)
            if changes[row, column] * (1 if word == "for" else -1) > _LEAST_CHANGE:
                spoke.append(
                    f"Most {word} {self.positive} spoke {look.segments[column]} of the {look.leads[row]} leads "
                    f"({', '.join(TERRITORIES[look.leads[row]])}): {changes[row, column]:+.2f}."
                )
        if len(spoke) == 1:
            spoke.append("No single wave of a group of leads changed what the model says by much.")
        spoke.append("The wave was replaced by its mean course in simulated ECGs without occlusion.")
        return Section("What the model looked at", spoke, picture=render(figure))

    def _show_measurements(self, record: Any, line: dict[str, str]) -> Section:
        """Return what we measure beside what the device says, and the beat that we measure on."""
        try:
            row = measure_record(record, self.sampling_rate, include=_GROUPS)
            picture = self._draw(FiducialDisplay, record, (8, 8))
        except NoBeatError:
            row, picture = np.full(len(feature_names(include=_GROUPS)), np.nan), None
        ours = dict(zip(feature_names(include=_GROUPS), row, strict=True))
        table = pd.DataFrame(
            {
                "measured here": [_round(ours[name]) for _, name, _ in _MEASUREMENTS],
                "device": [_round(float(line[f"device_{name}"] or "nan")) for name, _, _ in _MEASUREMENTS],
            },
            index=[words for _, _, words in _MEASUREMENTS],
        )
        said = line["device_statements"]
        return Section(
            "Measurements",
            [f"The device, or a reader, says: {said}" if said else "The file holds no statement of a device."],
            table,
            picture,
        )


def _find_common_folder(files: Sequence[Path]) -> str:
    """Return what the names of all files begin with, a folder; empty where they have none in common."""
    try:
        folder = os.path.commonpath([file.parent for file in files])
    except ValueError:
        # Of absolute and relative ones.
        return ""
    return os.path.join(folder, "") if folder else ""


def _tell_typicality(line: dict[str, str]) -> str:
    if not line["typicality"]:
        return "It cannot be told: the model's file has no profile of the records that it was fitted on, or no beat."
    return (
        f"{float(line['typicality']):.1%} of the records that the model was fitted on are at most as typical as this "
        "one. Where few are, the probability rests on no experience."
    )


def _round(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.0f}"
