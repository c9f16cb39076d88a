"""What a validation found: a verdict in words, tables, pictures, and the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omi_estimators.evaluation._checklist import answer_items
from omi_estimators.evaluation._page import Picture, Section, Verdict, new_figure
from omi_estimators.evaluation._report import ENOUGH, NEAR_CHANCE, Drawn, Report, title_picture
from omi_estimators.evaluation._tables import FEW, format_interval
from omi_estimators.metrics import Interval
from omi_estimators.typicality import strongest_drift

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEPT, BROKEN, NOT_TOLD = "kept", "broken", "cannot be told with so few"

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
# Pictures that stand beside a table.
_WITH_TABLE = ("tiers", "decision_curve")
_OF_NOT_JUDGED = {"n_records": "records", "n_positive": "of them positive", "n_unknown": "label unknown"}


@dataclass(frozen=True, kw_only=True)
class ValidationResult(Report):
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

    _kind: ClassVar[str] = "validation"
    _main_table: ClassVar[str] = "figures"
    _pictures: ClassVar = ("reliability", "roc", "precision_recall", "probabilities", "decision_curve", "tiers")

    figures: pd.DataFrame
    promises: pd.DataFrame
    tiers: pd.DataFrame | None = field(repr=False)
    net_benefits: pd.DataFrame = field(repr=False)
    not_judged: pd.DataFrame = field(repr=False)
    scenarios: pd.DataFrame = field(repr=False)
    gain: pd.DataFrame | None = field(repr=False)
    cohorts: pd.DataFrame = field(repr=False)
    typicality: pd.DataFrame | None = field(repr=False)
    drift: pd.DataFrame | None = field(repr=False)
    records: pd.DataFrame = field(repr=False)
    unread: pd.DataFrame = field(repr=False)
    thresholds: tuple[float, float, float] | None
    model: str = field(repr=False)
    method: str

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

    def _draw(self, kind: str, caption: str) -> Figure:
        figure = new_figure(*((6.4, 3.4) if kind in ("tiers", "probabilities") else (5.6, 5.6)))
        here, ax = self.judged, figure.add_subplot()
        groups = None if self.groups is None else self.groups[here]
        prob, tiers = (self.records[name].to_numpy()[here] for name in ("probability", "tier"))
        self._draw_model(kind, Drawn(self.y[here], prob, tiers, groups, None), self.interval, ax)
        ax.set_title("")
        figure.supxlabel(caption, fontsize=8.5, wrap=True)
        return figure

    def _answer_checklist(self, n_skipped: int) -> dict[str, str]:
        return answer_items(self)

    def _list_content(self) -> dict[str, Any]:
        names = ("figures", "promises", "tiers", "subgroups", "not_judged", "scenarios", "gain", "cohorts", "drift")
        settings = ("target_names", "thresholds", "model", "confidence_level", "method", "n_resamples", "n_redrawn")
        content = {name: getattr(self, name) for name in (*names, *settings)}
        return content | {"net_benefits": self.net_benefits.reset_index()}

    def _list_tables(self) -> Iterator[tuple[str, pd.DataFrame, bool]]:
        for name in ("promises", "tiers", "subgroups", "gain"):
            table = getattr(self, name)
            if table is not None and len(table):
                yield name, table, name in ("promises", "tiers")
        unread = self.unread.rename(columns={"name": "record"}).set_index("record")
        yield "records", pd.concat([self.records, unread]) if len(unread) else self.records, True

    def _list_sections(self, pictures: dict[str, Picture]) -> Iterator[Section | None]:
        if len(self.promises):
            yield self._make_section("promises", _make_promise_table(self))
        if self.tiers is not None:
            yield self._make_section("tiers", _make_tier_table(self.tiers, self.target_names[1]), pictures["tiers"])
        yield self._make_section("figures", self.summary())
        for name, picture in pictures.items():
            if name not in _WITH_TABLE:
                yield Section(title_picture(name), picture=picture)
        yield self._make_section("net_benefit", _make_benefit_table(self.net_benefits), pictures["decision_curve"])
        if len(self.subgroups):
            yield self._make_section("subgroups", _make_subgroup_table(self.subgroups, self.target_names[1]))
        if self.gain is not None:
            yield self._make_section("gain", _make_gain_table(self.gain))
        if len(self.not_judged):
            yield self._make_section("not_judged", self.not_judged.rename(columns=_OF_NOT_JUDGED).rename_axis(None))
            yield self._make_section("scenarios", self.scenarios.rename(index=_TITLES).rename_axis(None))
        if self.drift is not None:
            drifted = self.drift[self.drift["drifted"]].sort_values("p_value")
            table = drifted[["meaning", "training", "here", "p_value"]].rename(columns={"p_value": "p, adjusted"})
            yield self._make_section("drift", table, before=_describe_kind(self))
        yield self._make_section("cohorts", self.cohorts)
        yield None

    @property
    def _models(self) -> dict[str, str]:
        return {"The model": self.model}


def _format(interval: Interval) -> str:
    """Return an estimate and its interval as text."""
    return "not defined" if np.isnan(interval.estimate) else str(interval)


def _find_verdict(result: ValidationResult) -> Verdict:
    """Return the verdict by the rules that `ValidationResult.verdict` states."""
    counts, n_lost = result.counts, result.counts["n_not_judged"]
    n_all, verdicts = counts["n_records"] + n_lost, result.promises["verdict"].tolist()
    sizes = counts["n_patients_with_events"], counts["n_patients_without"]
    auroc, slope = result.interval("roc_auc"), result.interval("calibration_slope")
    intercept = result.interval("calibration_intercept")
    by_chance = auroc.low <= 0.5
    tilted = slope.low > 1 or slope.high < 1
    shifted = not intercept.low <= 0 <= intercept.high
    known: dict[str, Any] = {"n_lost": n_lost, "n_all": n_all, "promised": bool(verdicts), "auroc": _format(auroc)}
    known |= {"by_chance": by_chance, "tilted": tilted, "shifted": shifted, "slope": slope, "sizes": sizes}

    def say(key: str, **more: Any) -> str:
        return result._say(f"verdict.{key}", **known, **more)

    first = say("most_lost")
    steps = [say("find_out")] if n_lost / n_all >= 0.05 else []
    promises = [say("promise", name=name, row=row) for name, row in result.promises.iterrows()]
    if min(sizes) < FEW:
        return Verdict("open", first + say("too_few"), promises, [*steps, say("collect")])
    ratio, expected = result.interval("observed_expected_ratio"), result.records["probability"].sum()
    worse = [
        say("worse", threshold=f"{threshold:.3g}", who=who)
        for threshold, row in result.net_benefits.iterrows()
        for who, key in (("nobody", "net_benefit"), ("everybody", "over_everybody"))
        if row[f"{key}_high"] < 0
    ]
    findings = [say("ranking"), say("sums", ratio=ratio, expected=f"{expected:.1f}")]
    findings += [*([say("slope")] if tilted else []), *promises, *worse, *_describe_kind(result)]
    if by_chance and auroc.high <= NEAR_CHANCE:
        return Verdict("bad", first + say("chance"), findings, [*steps, say("check_labels")])
    if shifted or tilted:
        steps.append(say("recalibrate"))
    elif BROKEN in verdicts or worse:
        steps.append(say("choose_anew"))
    if min(sizes) < ENOUGH:
        steps.append(say("collect"))
    elif NOT_TOLD in verdicts:
        steps.append(say("collect_for_promises"))
    if shifted or tilted or worse or BROKEN in verdicts:
        return Verdict("bad", first + say("bad"), findings, steps)
    if first or by_chance or min(sizes) < ENOUGH or NOT_TOLD in verdicts:
        return Verdict("open", first + say("open"), findings, steps)
    return Verdict("good", say("good"), findings, [*steps, say("go_on")])


def _describe_kind(result: ValidationResult) -> list[str]:
    """Return how many records are unlike those in training, and what differs between the cohorts."""
    if result.drift is None or result.typicality is None:
        return []
    known = result.typicality["typicality"].notna()
    n_odd, n_known = int((~result.typicality["typical"][known].astype(bool)).sum()), int(known.sum())
    return [result._say("verdict.kind", n_odd=n_odd, n_known=n_known, meanings=strongest_drift(result.drift))]


def _make_promise_table(result: ValidationResult) -> pd.DataFrame:
    found, n_patients = result.promises, result.promises["n_patients"]
    columns = {
        "verdict": found["verdict"],
        "promised": found["promised"].map("{:.2f}".format),
        "found": found["found"].map("{:.3f}".format).where(n_patients > 0, "nobody"),
        "at least": found["low"].map("{:.3f}".format),
        "at most": found["high"].map("{:.3f}".format),
        result._known["units"]: n_patients,
    }
    return pd.DataFrame(columns).rename_axis(None)


def _make_tier_table(tiers: pd.DataFrame, target: str) -> pd.DataFrame:
    then = tiers["share_at_fitting"]
    columns = {
        "share at fitting": then.map("{:.1%}".format).where(then.notna(), "not known"),
        "share here": tiers["share_of_records"].map("{:.1%}".format),
        "records": tiers["n_records"],
        f"of them {target}": tiers["n_events"],
        "event rate": tiers.apply(format_interval, axis=1, key="event_rate"),
    }
    return pd.DataFrame(columns).rename_axis(None)


def _make_benefit_table(nets: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "model (less treating nobody)": nets.apply(format_interval, axis=1, key="net_benefit"),
        "treating everybody": nets["of_everybody"].map("{:.3f}".format),
        "model less treating everybody": nets.apply(format_interval, axis=1, key="over_everybody", sign="+"),
    }
    return pd.DataFrame(columns).rename("threshold {:.3g}".format).rename_axis(None)


def _make_gain_table(gain: pd.DataFrame) -> pd.DataFrame:
    drawn = gain["n_patients"] > 0
    columns = {
        "of them with events": gain["n_events"].map("{:.0f}".format).where(drawn, ""),
        "changed": gain["changed"].map("{:.0%}".format).where(drawn, ""),
    }
    for name, digits in (("log_loss", 4), ("slope", 2), ("intercept", 2)):
        middle, low, high = (gain[f"{name}{end}"].map(f"{{:.{digits}f}}".format) for end in ("", "_25", "_75"))
        columns[name.replace("_", " ")] = (middle + " [" + low + ", " + high + "]").where(drawn, middle)
    names = gain["n_patients"].map("{:.0f} patients".format).where(drawn, "as it is, on all")
    return pd.DataFrame(columns).set_axis(names.rename(None))


def _make_subgroup_table(groups: pd.DataFrame, target: str) -> pd.DataFrame:
    few = np.minimum(groups["n_events"], groups["n_records"] - groups["n_events"]) < FEW
    columns = {"records": groups["n_records"], f"of them {target}": groups["n_events"]}
    for key, title in (("roc_auc", "AUROC"), ("calibration_intercept", "intercept"), ("brier_score", "Brier score")):
        columns[title] = groups.apply(format_interval, axis=1, key=key).where(~few, "too few")
    return pd.DataFrame(columns).set_axis(groups["column"] + ": " + groups["level"].astype(str))
