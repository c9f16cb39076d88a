"""What a validation found: a verdict in words, tables, pictures, and the page."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
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
from omi_estimators.evaluation._checklist import describe_validation, make_checklist, to_section, write_checklist
from omi_estimators.evaluation._page import (
    Picture,
    Section,
    Verdict,
    new_figure,
    render,
    replacing_files,
    show_in_notebook,
    write_json,
    write_page,
    write_pictures,
)
from omi_estimators.evaluation._report import ON_CALIBRATION
from omi_estimators.evaluation._tables import FEW, format_interval
from omi_estimators.metrics import Interval, precision_recall_band, roc_band
from omi_estimators.typicality import strongest_drift

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEPT, BROKEN, NOT_TOLD = "kept", "broken", "cannot be told with so few"

# Fewer patients of a class than these leave an external validation uncertain (Collins and others 2016).
_ENOUGH = 100
# A cohort of which so large a share could not be read or judged says so first.
_MOST_LOST = 0.5
# With an AUROC that is at most this, a model is no better than chance for any use.
_NEAR_CHANCE = 0.6
_N_RESAMPLES = 500

_TITLES = {
    "roc_auc": "AUROC",
    "average_precision": "AP",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
    "observed_expected_ratio": "observed / expected events",
    "expected_calibration_error": "ECE",
    "brier_score": "Brier score",
    "brier_skill_score": "Brier skill",
}
_PICTURES = {
    "reliability": (
        "Calibration",
        "Observed against predicted frequency of {1}, smoothed (loess), with a pointwise {level} band; on the grey "
        "diagonal probabilities mean what they say. Bars: how probabilities are distributed, {1} from above, {0} from "
        "below.",
    ),
    "roc": ("Discrimination", "ROC curve for {1} against {0} with a pointwise {level} band. Thin grey line: chance."),
    "precision_recall": (
        "Precision and recall",
        "Of the records called {1}, the share that is (precision), against the share of {1} that is called so "
        "(recall), with a pointwise {level} band. Thin grey line: chance, the share of {1}.",
    ),
    "probabilities": (
        "Probabilities by class",
        "How predicted probabilities are distributed among {1} and {0}; the bars of each class sum to one.",
    ),
    "decision_curve": (
        "Net benefit",
        "Net benefit of treating records at or above a threshold: true positives, less false positives at the exchange "
        "rate that the threshold implies, per record, with a pointwise {level} band. A model is of use where its line "
        "is above treating everybody and nobody.",
    ),
    "tiers": (
        "Risk tiers",
        "Share of {1} in each risk tier, with {level} intervals (black lines) and numbers: records with {1} of all in "
        "the tier.",
    ),
}


class Promise(NamedTuple):
    """A promised share beside what was found, its one-sided bounds, and the verdict."""

    promised: float
    found: float
    low: float
    high: float
    n_patients: int
    n_records: int
    verdict: str


@dataclass(frozen=True)
class ValidationResult:
    """What a fitted model is worth on a cohort, and what was computed from what.

    Attributes
    ----------
    figures : DataFrame
        `estimate`, `low` and `high` of each metric of `omi_estimators.metrics.METRICS`.
    promises : DataFrame
        One row for each promise: what was promised, the share `found` in which each patient counts as one, its
        one-sided bounds `low` and `high`, `n_patients` and `n_records` that it is a share of, and the `verdict`:
        "kept", "broken" or "cannot be told with so few" (see `validate_model`). Empty without promises.
    tiers : DataFrame or None
        What each tier holds here, as from `omi_estimators.triage.tier_table`, with `share_at_fitting`, the share of
        records that it held out of fold. None without thresholds.
    net_benefits : DataFrame
        At each threshold `net_benefit`, `over_everybody` (less that of treating everybody) with ends, `of_everybody`.
    subgroups : DataFrame
        One row for each column and level; NaN below ten records of a class.
    not_judged : DataFrame
        For each reason, how many records could not be read or judged, how many of these are positive, and of how many
        the label is unknown.
    scenarios : DataFrame
        The figures as found, and if the model had judged these records too, all rightly or all wrongly.
    gain : DataFrame or None
        What recalibrating on so many patients of this cohort would buy on the others, as from
        `omi_estimators.evaluation.recalibration_gain`; None below 100 patients.
    cohorts : DataFrame of str
        What the model says of itself, and this cohort.
    typicality, drift : DataFrame or None
        What the `profile` says of each record, and of the cohort.
    records : DataFrame
        `label`, `probability`, `tier` and `reason` of each record.
    unread : DataFrame
        `name`, `label` and `reason` of records that could not be read.
    y : ndarray of shape (n_records,)
        1 for the positive class, else 0.
    groups : ndarray of shape (n_records,) or None
        Patient of each record.
    target_names : tuple of two str
        Names of the negative and the positive class.
    thresholds : tuple of three float or None
        Of rule-out, greatest F1 and rule-in.
    model : str
        How the model is written.
    confidence_level : float
        Of the intervals, and of each one-sided bound.
    method : {"bca", "percentile"}
        How the intervals of `figures` were found.
    n_resamples, n_redrawn : int
        Resamples of the bootstrap, and how many held one class only and were drawn again.
    """

    figures: pd.DataFrame
    promises: pd.DataFrame
    tiers: pd.DataFrame | None = field(repr=False)
    net_benefits: pd.DataFrame = field(repr=False)
    subgroups: pd.DataFrame = field(repr=False)
    not_judged: pd.DataFrame = field(repr=False)
    scenarios: pd.DataFrame = field(repr=False)
    gain: pd.DataFrame | None = field(repr=False)
    cohorts: pd.DataFrame = field(repr=False)
    typicality: pd.DataFrame | None = field(repr=False)
    drift: pd.DataFrame | None = field(repr=False)
    records: pd.DataFrame = field(repr=False)
    unread: pd.DataFrame = field(repr=False)
    y: NDArray[np.int64] = field(repr=False)
    groups: NDArray[Any] | None = field(repr=False)
    target_names: tuple[str, str]
    thresholds: tuple[float, float, float] | None
    model: str = field(repr=False)
    confidence_level: float
    method: str
    n_resamples: int
    n_redrawn: int

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Whether each record could be judged; the others count in no figure."""
        return self.records["reason"].to_numpy() == ""

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of records, patients and events that count, of patients of each class, and of records that do not."""
        units = np.arange(len(self.y)) if self.groups is None else self.groups
        units, positive = units[self.judged], self.y[self.judged] == 1
        return {
            "n_records": int(self.judged.sum()),
            "n_patients": len(np.unique(units)),
            "n_events": int(positive.sum()),
            "n_patients_with_events": len(np.unique(units[positive])),
            "n_patients_without": len(np.unique(units[~positive])),
            "n_not_judged": int((~self.judged).sum()) + len(self.unread),
        }

    @property
    def verdict(self) -> Verdict:
        """Whether the model holds here, what was found, and what to do next, in words.

        It is "good" if each promise is kept, the intervals of AUROC, intercept and slope speak for the model, and 100
        patients of each class are there; "bad" if a promise is broken, an interval of intercept or slope excludes what
        is right, treating everybody or nobody is better at a threshold of the tiers, or the AUROC is no better than
        chance; otherwise, and with fewer than ten patients of a class, "open".
        """
        return _find_verdict(self)

    def _repr_html_(self) -> str:
        return show_in_notebook(self.verdict, self.summary())

    def __str__(self) -> str:
        verdict = self.verdict
        lines = [verdict.headline, *(f"- {text}" for text in (*verdict.findings, *verdict.next_steps))]
        return "\n".join([*lines, "", self.summary().to_string(header=False)])

    def summary(self) -> pd.DataFrame:
        """Return the figures as text for people.

        Returns
        -------
        DataFrame of str
            One row for each figure.
        """
        title = f"here [{100 * self.confidence_level:g} % CI]"
        rows = {text: _format(self.interval(name)) for name, text in _TITLES.items()}
        return pd.DataFrame.from_dict(rows, orient="index", columns=[title])

    def interval(self, name: str) -> Interval:
        """Return a figure with its interval.

        Parameters
        ----------
        name : str
            One of `omi_estimators.metrics.METRICS`.

        Returns
        -------
        Interval
            As in `figures`.
        """
        return Interval(*self.figures.loc[name].to_numpy(dtype=float), self.confidence_level, self.method)

    def checklist(self) -> pd.DataFrame:
        """Return the TRIPOD+AI sheet, filled in where this validation knows the answer.

        Returns
        -------
        DataFrame
            As from `make_checklist`: `item`, `section`, `topic`, `applies`, `answer`, `question`.
        """
        return make_checklist(describe_validation(self))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write `figures` as CSV.

        Parameters
        ----------
        path : path-like
            The file; overwritten if it exists.
        """
        self.figures.to_csv(path)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write everything but single records as JSON: the verdict, figures, numbers.

        Parameters
        ----------
        path : path-like
            The file; overwritten if it exists.
        """
        names = ("figures", "promises", "tiers", "subgroups", "not_judged", "scenarios", "gain", "cohorts", "drift")
        settings = ("target_names", "thresholds", "model", "confidence_level", "method", "n_resamples", "n_redrawn")
        content = {name: getattr(self, name) for name in (*names, *settings)}
        nets = {"net_benefits": self.net_benefits.reset_index()}
        write_json(Path(path), {"verdict": self.verdict._asdict(), **self.counts, **content, **nets})

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
        if name not in _PICTURES or (name == "tiers" and self.tiers is None):
            raise ValueError(f"There is no picture {name!r}; there are {', '.join(self._pictures())}.")
        figure = new_figure(*((6.4, 3.4) if name in ("tiers", "probabilities") else (5.6, 5.6)))
        y, prob = self.y[self.judged], self.records["probability"].to_numpy()[self.judged]
        units = None if self.groups is None else self.groups[self.judged]
        ax, names = figure.add_subplot(), {"target_names": self.target_names}
        level = {"confidence_level": self.confidence_level}
        bands: dict[str, Any] = {"groups": units, "n_resamples": _N_RESAMPLES, "random_state": 0, **level}
        if name == "roc":
            RocBandDisplay(roc_band(y, prob, **bands), self.interval("roc_auc")).plot(ax)
        elif name == "precision_recall":
            curve = precision_recall_band(y, prob, **bands)
            PrecisionRecallBandDisplay(curve, self.interval("average_precision"), float(y.mean())).plot(ax)
        elif name == "reliability":
            ReliabilityDisplay.from_predictions(y, prob, ax=ax, **names, **bands)
        elif name == "decision_curve":
            DecisionCurveDisplay.from_predictions(y, prob, ax=ax, **names, **bands)
        elif name == "probabilities":
            ProbabilityDisplay.from_predictions(y, prob, ax=ax, **names)
        else:
            tiers = self.records["tier"].to_numpy()[self.judged].astype(str)
            RiskTierDisplay.from_predictions(y, tiers, groups=units, ax=ax, **names, **level)
        ax.set_title("")
        caption = _PICTURES[name][1].format(*self.target_names, level=f"{100 * self.confidence_level:g} %")
        figure.supxlabel(caption, fontsize=8.5, wrap=True)
        return figure

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        title: str = "Does the model hold here?",
        notes: Sequence[str] = (),
        sections: Sequence[Section] = (),
    ) -> Path:
        """Write one self-contained page, which begins with the verdict.

        Parameters
        ----------
        path : path-like
            The file; overwritten if it exists.
        title, notes, sections
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
        return self._write_page(Path(path), self._draw_pictures(), title, notes, sections)

    def write_report(
        self,
        folder: str | os.PathLike[str],
        *,
        title: str = "Does the model hold here?",
        notes: Sequence[str] = (),
        sections: Sequence[Section] = (),
    ) -> Path:
        """Write a folder with a page to read, pictures, and tables for machines.

        Parameters
        ----------
        folder : path-like
            Made if it does not exist; files of an earlier report are overwritten.
        title : str
            Heading of the page.
        notes : sequence of str, default=()
            Sentences about the data or the run, shown at the top.
        sections : sequence of Section, default=()
            Further sections, before the last.

        Returns
        -------
        Path
            The page, `index.html`, which holds its pictures itself. Beside it each picture as PNG, `table.csv` (the
            figures), `promises.csv`, `tiers.csv`, `subgroups.csv` and `gain.csv` if any, `records.csv` (a line for each
            record), `tripod_ai.md` and `.csv`, and `result.json`.

        Raises
        ------
        ImportError
            If matplotlib is not installed (the extra `plot`).
        """
        pictures = self._draw_pictures()
        with replacing_files(Path(folder)) as place:
            write_pictures(pictures, place)
            self.to_csv(place / "table.csv")
            for name in ("promises", "tiers", "subgroups", "gain"):
                table = getattr(self, name)
                if table is not None and len(table):
                    table.to_csv(place / f"{name}.csv", index=name in ("promises", "tiers"))
            write_checklist(self.checklist(), place)
            unread = self.unread.rename(columns={"name": "record"}).set_index("record")
            pd.concat([self.records, unread] if len(unread) else [self.records]).to_csv(place / "records.csv")
            self.to_json(place / "result.json")
            self._write_page(place / "index.html", pictures, title, notes, sections)
        return Path(folder, "index.html")

    def _pictures(self) -> list[str]:
        return [name for name in _PICTURES if name != "tiers" or self.tiers is not None]

    def _draw_pictures(self) -> dict[str, Picture]:
        return {name: render(self.plot(name)) for name in self._pictures()}

    def _write_page(
        self, path: Path, pictures: dict[str, Picture], title: str, notes: Sequence[str], further: Sequence[Section]
    ) -> Path:
        counts = self.counts
        patients = f" of {counts['n_patients']} patients" if self.groups is not None else ""
        words = (
            f"{counts['n_records']} records{patients} were judged; {counts['n_events']} are {self.target_names[1]}, "
            f"{counts['n_records'] - counts['n_events']} {self.target_names[0]}. Not read or not judged: "
            f"{counts['n_not_judged']}."
        )
        sections = [*_make_sections(self, pictures), *further, to_section(self.checklist()), _describe_method(self)]
        return write_page(path, sections, title=title, counts=words, notes=notes, verdict=self.verdict)


def _format(interval: Interval) -> str:
    """Return an estimate and its interval as text."""
    return "not defined" if np.isnan(interval.estimate) else str(interval)


def _find_verdict(result: ValidationResult) -> Verdict:
    """Return the verdict by the rules that `ValidationResult.verdict` states."""
    counts, target, n_lost = result.counts, result.target_names[1], result.counts["n_not_judged"]
    n_all = counts["n_records"] + n_lost
    smallest = min(counts["n_patients_with_events"], counts["n_patients_without"])
    units = "patients" if result.groups is not None else "records"
    sizes = counts["n_patients_with_events"], counts["n_patients_without"]
    size = f"{sizes[0]} {units} ({target}) and {sizes[1]} ({result.target_names[0]})"
    collect = f"Collect more patients: {size} are few, and at least {_ENOUGH} of each are advised."
    lost = f"{n_lost} of {n_all} records could not be read or judged"
    steps = [f"Find out why {lost}."] if n_lost / n_all >= 0.05 else []
    first = (
        f"Only {counts['n_records']} of {n_all} records could be read and judged, and all figures are of these alone. "
    )
    first = first if n_lost / n_all >= _MOST_LOST else ""
    if smallest < FEW:
        headline = f"{first}It cannot be told whether the model holds here: there are only {size}."
        return Verdict("open", headline, _describe_promises(result), [*steps, collect])

    auroc, slope = result.interval("roc_auc"), result.interval("calibration_slope")
    intercept = result.interval("calibration_intercept")
    by_chance = auroc.low <= 0.5
    shifted = not intercept.low <= 0 <= intercept.high
    tilted = slope.low > 1 or slope.high < 1
    worse = _find_worse(result)
    verdicts = result.promises["verdict"].tolist()
    findings = [_describe_ranking(result, by_chance), *_describe_calibration(result, shifted, tilted)]
    findings += [*_describe_promises(result), *worse, *_describe_kind(result)]
    if by_chance and auroc.high <= _NEAR_CHANCE:
        why = f"it tells {target} from {result.target_names[0]} no better than chance"
        steps.append("Check labels, units and leads; if they are right, another model is needed.")
        return Verdict("bad", f"{first}Do not use the model here: {why}.", findings, steps)
    if shifted or tilted:
        what = "intercept and slope" if tilted else "the intercept"
        steps.append(f"Recalibrate ({what}) on patients of this hospital, with new thresholds; validate on others.")
    elif BROKEN in verdicts or worse:
        steps.append("Choose thresholds anew on patients of this hospital, and validate them on others.")
    if smallest < _ENOUGH:
        steps.append(collect)
    elif NOT_TOLD in verdicts:
        steps.append("Collect more patients for the promises that cannot be told.")
    if shifted or tilted or worse or BROKEN in verdicts:
        return Verdict("bad", f"{first}The model does not hold here as it is.", findings, steps)
    if first or by_chance or smallest < _ENOUGH or NOT_TOLD in verdicts:
        headline = f"{first}Nothing here speaks against the model, but there is too little to say that it holds."
        return Verdict("open", headline, findings, steps)
    kept = ", and its promises are kept" if verdicts else ""
    steps.append("Go on to a silent prospective study here, and watch for drift.")
    return Verdict(
        "good", f"The model holds here: it ranks, its probabilities mean what they say{kept}.", findings, steps
    )


def _describe_ranking(result: ValidationResult, by_chance: bool) -> str:
    auroc = f"AUROC {_format(result.interval('roc_auc'))}"
    ranking = f"ranks {result.target_names[1]} above {result.target_names[0]}"
    return f"Whether it {ranking} cannot be told from chance: {auroc}." if by_chance else f"It {ranking}: {auroc}."


def _describe_calibration(result: ValidationResult, shifted: bool, tilted: bool) -> Iterator[str]:
    """Yield whether probabilities add up, and whether they are too extreme."""
    ratio, slope = (result.interval(name) for name in ("observed_expected_ratio", "calibration_slope"))
    n_events = result.counts["n_events"]
    expected = result.records["probability"].sum()
    words = f"{n_events} events came where they add up to {expected:.1f} (observed / expected {_format(ratio)})"
    if not shifted:
        yield f"Probabilities add up to as many events as came, within chance: {words}."
    else:
        yield f"Probabilities are too {'low' if ratio.estimate > 1 else 'high'}: {words}."
    if tilted:
        how = "extreme: low ones are too low, and high ones too high" if slope.estimate < 1 else "cautious"
        yield f"Probabilities are too {how} (slope {_format(slope)})."


def _describe_promises(result: ValidationResult) -> list[str]:
    """Return a sentence for each promise."""
    unit = "patients" if result.groups is not None else "records"
    sentences = []
    for name, row in result.promises.iterrows():
        what = f"{str(name)[0].upper()}{str(name)[1:]}: {row['promised']:.2f} was promised"
        bounds = f"at least {row['low']:.3f}, at most {row['high']:.3f}"
        found = f"{row['found']:.3f} found in {row['n_patients']} {unit}, {bounds}"
        found = found if row["n_patients"] else f"there are no {unit} to tell it by"
        sentences.append(f"{what}, {found}: {row['verdict']}.")
    return sentences


def _describe_kind(result: ValidationResult) -> list[str]:
    """Return how many records are unlike those in training, and what differs between the cohorts."""
    if result.drift is None or result.typicality is None:
        return []
    known = result.typicality["typicality"].notna()
    n_odd, n_known = int((~result.typicality["typical"][known].astype(bool)).sum()), int(known.sum())
    meanings = strongest_drift(result.drift)
    more = f", and {len(meanings) - 3} more differences" if len(meanings) > 3 else ""
    cohorts = f"the cohorts differ: {'; '.join(meanings[:3])}{more}" if meanings else "the cohorts do not differ surely"
    return [f"{n_odd} of {n_known} records are unlike those that the model was trained on; {cohorts}."]


def _find_worse(result: ValidationResult) -> list[str]:
    """Return a sentence for each threshold at which treating everybody or nobody is surely better."""
    return [
        f"At the threshold {threshold:.3g} treating {who} would be better than going by the model."
        for threshold, row in result.net_benefits.iterrows()
        for who, key in (("nobody", "net_benefit"), ("everybody", "over_everybody"))
        if row[f"{key}_high"] < 0
    ]


def _make_sections(result: ValidationResult, pictures: dict[str, Picture]) -> list[Section]:
    """Return the sections of the page, what decides first."""
    level = f"{100 * result.confidence_level:g} %"
    sections = []
    if len(result.promises):
        sections.append(Section("Promises", [_ON_PROMISES.format(level=level)], _make_promise_table(result)))
    if result.tiers is not None:
        sections.append(Section("Risk tiers", [_ON_TIERS], _make_tier_table(result), pictures["tiers"]))
    sections.append(Section("Figures", [_ON_FIGURES, ON_CALIBRATION], result.summary()))
    sections += [Section(_PICTURES[name][0], picture=pictures[name]) for name in pictures if name not in _WITH_TABLE]
    nets = Section("Net benefit", [_ON_NET_BENEFIT], _make_benefit_table(result), pictures["decision_curve"])
    sections.append(nets)
    if len(result.subgroups):
        sections.append(Section("Subgroups", [_ON_SUBGROUPS], _make_subgroup_table(result)))
    if result.gain is not None:
        sections.append(Section("What recalibration here would buy", [_ON_GAIN], _make_gain_table(result.gain)))
    if len(result.not_judged):
        table = result.not_judged.rename(columns=_OF_NOT_JUDGED).rename_axis(None)
        sections.append(Section("Records that could not be read or judged", table=table))
        scenarios = result.scenarios.rename(index=_TITLES).rename_axis(None)
        sections.append(Section("If they had been judged", [_ON_SCENARIOS], scenarios))
    if result.drift is not None:
        drifted = result.drift[result.drift["drifted"]].sort_values("p_value")
        table = drifted[["meaning", "training", "here", "p_value"]].rename(columns={"p_value": "p, adjusted"})
        sections.append(Section("Is this the model's kind of ECG?", [*_describe_kind(result), _ON_KIND], table))
    return [*sections, Section("The model and this cohort", table=result.cohorts)]


# Pictures that stand below a table.
_WITH_TABLE = ("tiers", "decision_curve")
_OF_NOT_JUDGED = {"n_records": "records", "n_positive": "of them positive", "n_unknown": "label unknown"}
_ON_PROMISES = (
    "Each patient counts as one. Kept: the share is at least what was promised, with {level} confidence (the lower "
    "bound of Clopper and Pearson is). Broken: it is less, with the same confidence (the upper bound is). Otherwise, "
    "and below ten patients, it cannot be told with so few. Sensitivity of rule-out: the share of positives that are "
    "not ruled out. PPV of rule-in: the share of positives among those ruled in."
)
_ON_TIERS = "Shares at fitting are those of records out of fold. Event rates are by record, with Wilson's intervals."
_ON_FIGURES = (
    "AUROC: the chance that a record of the positive class gets a higher probability than one of the negative class "
    "(0.5 is chance, 1 is perfect). AP: average precision; the share of positives is chance. Brier score: mean squared "
    "error of the probability (0 is perfect). Observed / expected: events over the sum of probabilities (1 is right, "
    "below 1 probabilities are too high)."
)
_ON_NET_BENEFIT = (
    "True positives per record, less false positives at the exchange rate that the threshold implies. Treating nobody "
    "has 0. An interval above 0 in both columns speaks for the model at this threshold."
)
_ON_SUBGROUPS = (
    f"Fewer than {FEW} records of a class give no figure. Among many subgroups some differ by chance; one that differs "
    "says where to look, not why."
)
_ON_KIND = (
    "In the table: what differs between the patients of this cohort and those that the model was trained on. What is "
    "the same is left out. A difference says where to look, not that the model is wrong."
)
_ON_GAIN = (
    "Recalibrated on so many patients of this cohort drawn by chance, measured on its others, again and again: medians "
    "with quartiles. Changed: how often closed testing found something to change; below ten patients with events "
    "nothing is."
)
_ON_SCENARIOS = (
    "Best and worst case: the figures had the model judged these records too, all of them as rightly as can be "
    "(probabilities of 1 and 0) or all wrongly; where labels are unknown, once with all of these positive and once "
    "with all negative."
)


def _make_promise_table(result: ValidationResult) -> pd.DataFrame:
    unit = "patients" if result.groups is not None else "records"
    rows = {
        name: {
            "verdict": row["verdict"],
            "promised": f"{row['promised']:.2f}",
            "found": f"{row['found']:.3f}" if row["n_patients"] else "nobody",
            "at least": f"{row['low']:.3f}",
            "at most": f"{row['high']:.3f}",
            unit: row["n_patients"],
        }
        for name, row in result.promises.iterrows()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _make_tier_table(result: ValidationResult) -> pd.DataFrame:
    assert result.tiers is not None
    rows = {}
    for tier, row in result.tiers.iterrows():
        then = row["share_at_fitting"]
        rows[tier] = {
            "share at fitting": "not known" if np.isnan(then) else f"{then:.1%}",
            "share here": f"{row['share_of_records']:.1%}",
            "records": int(row["n_records"]),
            f"of them {result.target_names[1]}": int(row["n_events"]),
            "event rate": format_interval(row, "event_rate"),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _make_benefit_table(result: ValidationResult) -> pd.DataFrame:
    rows = {
        f"threshold {threshold:.3g}": {
            "model (less treating nobody)": format_interval(row, "net_benefit"),
            "treating everybody": f"{row['of_everybody']:.3f}",
            "model less treating everybody": format_interval(row, "over_everybody", "+"),
        }
        for threshold, row in result.net_benefits.iterrows()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _make_gain_table(gain: pd.DataFrame) -> pd.DataFrame:
    rows = {}
    for _, row in gain.iterrows():
        n = int(row["n_patients"])
        rows[f"{n} patients" if n else "as it is, on all"] = {
            "of them with events": f"{row['n_events']:.0f}" if n else "",
            "changed": f"{row['changed']:.0%}" if n else "",
            **{
                name.replace("_", " "): f"{row[name]:.{digits}f} [{row[f'{name}_25']:.{digits}f}, "
                f"{row[f'{name}_75']:.{digits}f}]"
                if n
                else f"{row[name]:.{digits}f}"
                for name, digits in (("log_loss", 4), ("slope", 2), ("intercept", 2))
            },
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _make_subgroup_table(result: ValidationResult) -> pd.DataFrame:
    titles = {"roc_auc": "AUROC", "calibration_intercept": "intercept", "brier_score": "Brier score"}
    rows = {}
    for _, row in result.subgroups.iterrows():
        few = min(row["n_events"], row["n_records"] - row["n_events"]) < FEW
        rows[f"{row['column']}: {row['level']}"] = {
            "records": row["n_records"],
            f"of them {result.target_names[1]}": row["n_events"],
            **{title: "too few" if few else format_interval(row, key) for key, title in titles.items()},
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _describe_method(result: ValidationResult) -> Section:
    units = "patients" if result.groups is not None else "records, each taken for a patient of its own"
    how = "BCa (for subgroups and net benefit percentile)" if result.method == "bca" else "percentile"
    text = (
        f"The model was applied as it is; nothing was fitted. Intervals: {how} bootstrap of {units}, "
        f"{result.n_resamples} resamples; {result.n_redrawn} held one class only and were drawn again. The model is "
        "said to hold if each promise is kept, the intervals of AUROC, intercept and slope speak for it, and there are "
        f"{_ENOUGH} {units.split(',')[0]} of each class (Collins and others 2016, doi:10.1002/sim.6787)."
    )
    return Section("How it was done", [text], details={"The model": result.model})
