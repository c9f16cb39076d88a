"""What a comparison and a validation share: how they put words to what they found, draw it, and write it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pandas as pd
from numpy.typing import NDArray

from omi_estimators.displays import (
    DecisionCurveDisplay,
    PrecisionRecallBandDisplay,
    ProbabilityDisplay,
    ReliabilityDisplay,
    RiskTierDisplay,
    RocBandDisplay,
)
from omi_estimators.evaluation import _checklist
from omi_estimators.evaluation._page import (
    Picture,
    Section,
    Verdict,
    fill_in,
    read_words,
    render,
    replacing_files,
    show_in_notebook,
    write_json,
    write_page,
)
from omi_estimators.evaluation._tables import FEW
from omi_estimators.metrics import decision_curve, precision_recall_band, roc_band

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENOUGH = 100
"""Fewer patients of a class than these leave an external validation uncertain (Collins and others 2016)."""
NEAR_CHANCE = 0.6
"""With an AUROC that is surely at most this, a model is no better than chance for any use."""
_N_RESAMPLES = 500


class Drawn(NamedTuple):
    """What the pictures of one model are drawn from: the records that count."""

    positive: NDArray[Any]
    prob: NDArray[Any]
    tiers: NDArray[Any] | None
    groups: NDArray[Any] | None
    folds: NDArray[Any] | None


@dataclass(frozen=True, kw_only=True)
class Report(ABC):
    """What was found of one or several models, with the methods that comparison and validation share."""

    _kind: ClassVar[str]
    """The part of the files of words that is about it."""
    _main_table: ClassVar[str]
    """The attribute that `to_csv` writes."""
    _pictures: ClassVar[tuple[str, ...]]
    """Names of the pictures, as they stand on the page; risk tiers may be missing."""

    subgroups: pd.DataFrame = field(repr=False)
    y: NDArray[Any] = field(repr=False)
    groups: NDArray[Any] | None = field(repr=False)
    target_names: tuple[str, str]
    confidence_level: float
    n_resamples: int
    n_redrawn: int

    @property
    @abstractmethod
    def verdict(self) -> Verdict:
        """What a reader should know in a minute."""

    @property
    @abstractmethod
    def counts(self) -> dict[str, int]:
        """Numbers of records, patients and events."""

    @abstractmethod
    def summary(self) -> pd.DataFrame:
        """Return the figures as text for people."""

    @abstractmethod
    def _draw(self, kind: str, caption: str) -> Figure:
        """Return a picture."""

    @abstractmethod
    def _answer_checklist(self, n_skipped: int) -> dict[str, str]:
        """Return what is known of the items of TRIPOD+AI."""

    @abstractmethod
    def _list_sections(self, pictures: dict[str, Picture]) -> Iterator[Section | None]:
        """Yield the sections of the page, what decides first; None is where further ones go."""

    @property
    @abstractmethod
    def _models(self) -> dict[str, str]:
        """How each model is written."""

    @abstractmethod
    def _list_content(self) -> dict[str, Any]:
        """Return what the file for machines holds beside verdict and counts."""

    @abstractmethod
    def _list_tables(self) -> Iterator[tuple[str, pd.DataFrame, bool]]:
        """Yield further tables by the names of their files, and whether these hold the index."""

    def _repr_html_(self) -> str:
        return show_in_notebook(self.verdict, self.summary())

    @cached_property
    def _known(self) -> dict[str, Any]:
        """What every template of words may use, by name."""
        by_patient = self.groups is not None
        return {
            "result": self,
            "counts": self.counts,
            "negative": self.target_names[0],
            "positive": self.target_names[1],
            "by_patient": by_patient,
            "unit": "patient" if by_patient else "record",
            "units": "patients" if by_patient else "records",
            "level": f"{100 * self.confidence_level:g} %",
            "few": FEW,
            "enough": ENOUGH,
            **read_words("words.toml")["shared"],
        }

    def _say(self, key: str, **more: Any) -> str:
        """Return words of this kind of report, such as "verdict.alone", filled in."""
        words: Any = read_words("words.toml")[self._kind]
        for part in key.split("."):
            words = words[part]
        return fill_in(words, **self._known | more)

    def _make_section(
        self, key: str, table: pd.DataFrame | None = None, picture: Picture | None = None, before: Sequence[str] = ()
    ) -> Section:
        """Return a section of the page by its title and what is said of it, if anything is, after other paragraphs."""
        words = read_words("words.toml")[self._kind]["sections"][key]
        own = fill_in(words["text"], **self._known).split("\n\n") if "text" in words else []
        return Section(fill_in(words["title"], **self._known), [*before, *own], table, picture)

    def _list_pictures(self) -> list[str]:
        """Return the names of the pictures that there are."""
        return [name for name in self._pictures if name != "tiers" or getattr(self, "tiers", None) is not None]

    def plot(self, name: str) -> Figure:
        """Draw a picture.

        Parameters
        ----------
        name : {"reliability", "roc", "precision_recall", "probabilities", "decision_curve", "tiers"}
            Which one.

        Returns
        -------
        matplotlib.figure.Figure
            Independent of pyplot, with its caption below; ``figure.savefig(path)`` writes it.

        Raises
        ------
        ValueError
            If there is no such picture, or there are no tiers.
        ImportError
            If matplotlib is not installed (the extra `plot`).
        """
        if name not in self._list_pictures():
            raise ValueError(f"There is no picture {name!r}; there are {', '.join(self._list_pictures())}.")
        return self._draw(name, fill_in(read_words("words.toml")["pictures"][name][self._kind], **self._known))

    def _draw_model(
        self, kind: str, drawn: Drawn, interval: Any, ax: Any, name: str | None = None, **style: Any
    ) -> None:
        """Draw a model into axes; `interval` gives a figure of it, and `name` stands where it is one of several."""
        positive, prob, tiers, groups, folds = drawn
        prevalence, names = float(positive.mean()), {"target_names": self.target_names, "ax": ax}
        level = {"confidence_level": self.confidence_level}
        bands: dict[str, Any] = {"groups": groups, "n_resamples": _N_RESAMPLES, "random_state": 0, **level}
        if kind == "roc":
            curve, area = roc_band(positive, prob, folds=folds, **bands), interval("roc_auc")
            RocBandDisplay(curve, area, name=name).plot(ax, **style)
        elif kind == "precision_recall":
            curve, area = precision_recall_band(positive, prob, folds=folds, **bands), interval("average_precision")
            PrecisionRecallBandDisplay(curve, area, prevalence, name=name).plot(ax, **style)
        elif kind == "decision_curve" and name is not None:
            DecisionCurveDisplay(decision_curve(positive, prob, **bands), prevalence, name=name).plot(ax, **style)
        elif kind == "decision_curve":
            DecisionCurveDisplay.from_predictions(positive, prob, **names, **bands)
        elif kind == "reliability":
            ReliabilityDisplay.from_predictions(positive, prob, folds=folds, **names, **bands, **style)
        elif kind == "probabilities":
            ProbabilityDisplay.from_predictions(positive, prob, **names)
        elif tiers is not None:
            RiskTierDisplay.from_predictions(positive, tiers.astype(str), groups=groups, **names, **level)

    def checklist(self, *, n_skipped: int = 0) -> pd.DataFrame:
        """Return the TRIPOD+AI sheet, filled in where this result knows the answer.

        Parameters
        ----------
        n_skipped : int, default=0
            Damaged records that were left out before a comparison.

        Returns
        -------
        DataFrame
            As from `make_checklist`: `item`, `section`, `topic`, `applies`, `answer`, `question`.
        """
        return _checklist.make_checklist(self._answer_checklist(n_skipped))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write `table`, or of a validation `figures`, as CSV.

        Parameters
        ----------
        path : path-like
            The file; overwritten if it exists.
        """
        getattr(self, self._main_table).to_csv(path)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write everything but single records as JSON: the verdict, figures, numbers, how it was done.

        Parameters
        ----------
        path : path-like
            The file; overwritten if it exists.
        """
        write_json(Path(path), {"verdict": self.verdict._asdict(), **self.counts, **self._list_content()})

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        title: str | None = None,
        notes: Sequence[str] = (),
        n_skipped: int = 0,
        sections: Sequence[Section] = (),
        commands: Sequence[str] = (),
    ) -> Path:
        """Write one self-contained page: the verdict, tables, pictures with captions, and how it was done.

        Parameters
        ----------
        path : path-like
            The file; overwritten if it exists.
        title, notes, n_skipped, sections, commands
            As in `write_report`.

        Returns
        -------
        Path
            The page.

        Raises
        ------
        ImportError
            If matplotlib is not installed (the extra `plot`).
        """
        return self._write_page(Path(path), self._render_pictures(), title, notes, n_skipped, sections, commands)

    def write_report(
        self,
        folder: str | os.PathLike[str],
        *,
        title: str | None = None,
        notes: Sequence[str] = (),
        n_skipped: int = 0,
        sections: Sequence[Section] = (),
        commands: Sequence[str] = (),
    ) -> Path:
        """Write a folder with a page to read, pictures, and tables for machines.

        Parameters
        ----------
        folder : path-like
            Made if it does not exist; files of an earlier report are overwritten.
        title : str, optional
            Heading of the page; "Comparison of ECG classifiers" or "Does the model hold here?" if None.
        notes : sequence of str, default=()
            Sentences about the data or the run, shown at the top.
        n_skipped : int, default=0
            Damaged records that were left out before a comparison, for its count of records.
        sections : sequence of Section, default=()
            Further sections, such as those of `inspect_comparison`.
        commands : sequence of str, default=()
            Sentences with commands, such as the one that made the report, near its end.

        Returns
        -------
        Path
            The page, `index.html`, which holds its pictures itself. Beside it each picture as PNG, `result.json`, the
            TRIPOD+AI sheet as `tripod_ai.md` and `tripod_ai.csv`, and tables: `table.csv` (the figures) and, if any,
            `subgroups.csv`; of a comparison `folds.csv`; of a validation `records.csv` (a line for each record) and,
            if any, `promises.csv`, `tiers.csv` and `gain.csv`.

        Raises
        ------
        ImportError
            If matplotlib is not installed (the extra `plot`).
        """
        pictures = self._render_pictures()
        with replacing_files(Path(folder)) as place:
            for name, picture in pictures.items():
                (place / f"{name}.png").write_bytes(picture.png)
            self.to_csv(place / "table.csv")
            for name, table, has_index in self._list_tables():
                table.to_csv(place / f"{name}.csv", index=has_index)
            self.to_json(place / "result.json")
            _checklist.write_checklist(self.checklist(n_skipped=n_skipped), place)
            self._write_page(place / "index.html", pictures, title, notes, n_skipped, sections, commands)
        return Path(folder, "index.html")

    def _render_pictures(self) -> dict[str, Picture]:
        """Return each picture by the name of its file."""
        return {name: render(self.plot(name)) for name in self._list_pictures()}

    def _write_page(
        self,
        path: Path,
        pictures: dict[str, Picture],
        title: str | None,
        notes: Sequence[str],
        n_skipped: int,
        further: Sequence[Section],
        commands: Sequence[str],
    ) -> Path:
        sections: list[Section] = []
        for section in self._list_sections(pictures):
            sections += further if section is None else [section]
        sections.append(_checklist.to_section(self.checklist(n_skipped=n_skipped)))
        sections += [Section("The commands", commands)] if commands else []
        heading, counts = self._say("title") if title is None else title, self._say("counts", n_skipped=n_skipped)
        sections.append(replace(self._make_section("method"), details=self._models))
        return write_page(path, sections, title=heading, counts=counts, notes=notes, verdict=self.verdict)


def title_picture(name: str) -> str:
    """Return what a picture shows in a word or two."""
    return str(read_words("words.toml")["pictures"][name]["title"])
