"""The pages of ``omi-estimators predict --report`` and ``view``: one for each ECG, and an index of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass
class PageMaker:
    """What makes the page of an ECG, and that of several, for a folder of pages and for the viewer alike.

    Parameters
    ----------
    model : estimator or None
        The fitted classifier; without one, pages hold the ECG and its measurements.
    target : object
        Its positive class.
    sampling_rate : float
        Of the records, in Hz.
    positive : str
        What the positive class is called.
    model_name : str
        What the model is called.
    notes : sequence of str
        What must be known of it.
    """

    model: Any
    target: Any
    sampling_rate: float
    positive: str
    model_name: str
    notes: Sequence[str]

    def look(self, X: Any, lines: Sequence[dict[str, Any]]) -> list[Any]:
        """Return what the model looks at in each record: what was said of it without waves of groups of leads.

        None of a record that was not judged.
        """
        judged = [i for i, line in enumerate(lines) if self.model is not None and not line["error"]]
        looks: list[Any] = [None] * len(lines)
        if not judged:
            return looks
        with warnings.catch_warnings():
            # What is odd about a record is in its line.
            warnings.simplefilter("ignore", UserWarning)
            found = ablation_importance(
                self.model,
                X[judged],
                sampling_rate=self.sampling_rate,
                background=self._background,
                lead_groups=TERRITORIES,
                target=self.target,
            )
        for row, i in enumerate(judged):
            looks[i] = type(found)(
                found.log_odds[[row]], found.ablated[[row]], found.leads, found.segments, self.positive
            )
        return looks

    def compose(self, record: Any, line: dict[str, Any], look: Any) -> dict[str, Any]:
        """Return what `render_page` makes the page of an ECG from: its record (mV), its line, what was looked at."""
        shown = {key: clean_text(value) for key, value in line.items()}
        sections = [Section("ECG", picture=self._draw(ECGDisplay, record, (11, 8)))]
        if look is not None:
            sections.append(self._show_look(look))
        sections.append(self._show_measurements(record, shown))
        if self.model is not None:
            sections.append(Section("How typical it is", [_tell_typicality(shown)]))
        said = [shown[name] for name in ("warnings", "notes") if shown[name]]
        sections.append(Section("The recording", [f"Quality of the signal, from 0 to 1: {shown['quality']}.", *said]))
        return {
            "sections": sections,
            "title": ": ".join(filter(None, [Path(shown["file"]).name, self.model_name])),
            "counts": shown["file"],
            "notes": self.notes,
            "verdict": self._judge(shown) if self.model is not None or shown["error"] else None,
        }

    def compose_index(
        self, labels: Sequence[str], lines: Sequence[dict[str, Any]], links: dict[str, str]
    ) -> dict[str, Any]:
        """Return what `render_page` makes the page of all ECGs from, the highest probabilities first.

        `links` says where their pages are, by their labels.
        """
        probability = f"P({self.positive})"
        rows = []
        for line in lines:
            shown = {key: clean_text(value) for key, value in line.items()}
            row = {probability: shown["probability"]} | {
                name: shown[name] for name in ("tier", "quality", "typicality")
            }
            rows.append(row | {"to know": shown["error"] or shown["warnings"]})
        table = pd.DataFrame(rows, index=pd.Index(labels, name="ECG"))
        table = table.sort_values(probability, ascending=False, kind="stable").loc[:, lambda found: (found != "").any()]
        n_judged, ecgs = sum(not line["error"] for line in lines), count_noun(len(lines), "ECG")
        return {
            "sections": [Section("ECGs", table=table, links=links)],
            "title": f"{self.model_name} on {ecgs}" if self.model_name else ecgs,
            "counts": f"{n_judged} of {ecgs} could be {'read' if self.model is None else 'judged'}.",
            "notes": self.notes,
        }

    @cached_property
    def _background(self) -> Any:
        """Simulated ECGs without OMI, whose waves are typical: the same for every record, whatever lies beside it."""
        from omi_estimators.datasets import make_omi_ecgs

        data = make_omi_ecgs(2 * _N_BACKGROUND, prevalence=0.5, sampling_rate=self.sampling_rate, random_state=0)
        return data.X[data.y == 0][:_N_BACKGROUND]

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
            picture = self._draw(FiducialDisplay, record, (11, 8))
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


class Pages:
    """The pages of a run, written chunk by chunk as its ECGs are judged.

    Parameters
    ----------
    folder : Path
        Where to; made if it is absent.
    files : sequence of Path
        All ECGs of the run, by which pages are named.
    maker : PageMaker
        What makes them.
    """

    def __init__(self, folder: Path, files: Sequence[Path], maker: PageMaker):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.maker = maker
        self._prefix = _find_common_folder(files)
        self._names = iter(name_uniquely(files, taken=["index"]))
        self._labels: list[str] = []
        self._lines: list[dict[str, Any]] = []
        self._links: dict[str, str] = {}

    def write(self, X: Any, lines: Sequence[dict[str, Any]]) -> None:
        """Write the pages of some ECGs: those of the run in order, each with its record (mV) and its line."""
        for record, line, look in zip(X, lines, self.maker.look(X, lines), strict=True):
            name, label = next(self._names), clean_text(line["file"].removeprefix(self._prefix))
            if np.isfinite(record).any():
                write_page(self.folder / f"{name}.html", **self.maker.compose(record, line, look))
                self._links[label] = f"{name}.html"
            self._labels.append(label)
        self._lines += lines

    def write_index(self) -> Path:
        """Write the page that leads to all others, and return where it is."""
        page = self.maker.compose_index(self._labels, self._lines, self._links)
        return write_page(self.folder / "index.html", **page)


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
