"""The TRIPOD+AI sheet: items answered where a run knows the answer, and questions where only the author does."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import scipy
import sklearn

import omi_estimators
from omi_estimators.evaluation._page import Section
from omi_estimators.evaluation._tables import format_interval
from omi_estimators.metrics import patients_needed
from omi_estimators.preprocessing import Usable

if TYPE_CHECKING:
    from omi_estimators.evaluation._result import ComparisonResult
    from omi_estimators.evaluation._validated import ValidationResult

SOURCE = "Collins G. S. et al., TRIPOD+AI statement, BMJ 2024;385:e078378, doi:10.1136/bmj-2023-078378"
_READING = (
    "Answers are what the run knows; questions are left to the author. Items are given here in words of our own: for a "
    f"submission take the wording of the source ({SOURCE})."
)


class Item(NamedTuple):
    """An item, or one of its parts.

    Attributes
    ----------
    number : str
        As in the source, such as "12e".
    applies : str
        "D" for development, "E" for evaluation, or "D;E".
    section, topic : str
        Where it belongs.
    question : str
        What to report, in our words.
    by_run : bool
        Whether an answer of the run is the whole answer; otherwise the question stays beside it.
    """

    number: str
    applies: str
    section: str
    topic: str
    question: str
    by_run: bool = False


# Numbers, topics and what applies where are those of the source; the words are ours.
ITEMS = tuple(
    Item(*row)
    for row in (
        ("1", "D;E", "Title", "Title", "Does the title say develop or evaluate, in whom, and for which outcome?"),
        ("2", "D;E", "Abstract", "Abstract", "Is there a structured abstract, by the sheet for abstracts?"),
        ("3a", "D;E", "Introduction", "Background", "Diagnosis or prognosis? Why this model; which models exist?"),
        ("3b", "D;E", "Introduction", "Background", "For which patients, where in care, and who is to use it?"),
        ("3c", "D;E", "Introduction", "Background", "Which inequalities in health between groups are known?"),
        ("4", "D;E", "Introduction", "Objectives", "What was to be found out: development, evaluation or both?"),
        (
            "5a",
            "D;E",
            "Methods",
            "Data",
            "Where do the data of each part come from, why these, and whom do they represent?",
        ),
        ("5b", "D;E", "Methods", "Data", "From when to when were patients included and followed?"),
        ("6a", "D;E", "Methods", "Participants", "Which kind of care, how many centres, and where?"),
        ("6b", "D;E", "Methods", "Participants", "Who was let in, and who was left out?"),
        ("6c", "D;E", "Methods", "Participants", "Which treatments did patients get, and what was done about it?"),
        ("7", "D;E", "Methods", "Data preparation", "How were data cleaned and checked, and alike in all groups?"),
        (
            "8a",
            "D;E",
            "Methods",
            "Outcome",
            "What exactly is the outcome, when and how found, why this one, alike for all?",
        ),
        ("8b", "D;E", "Methods", "Outcome", "If judged by people: who were they, and how qualified?"),
        ("8c", "D;E", "Methods", "Outcome", "Were those who judged the outcome blinded, and how?"),
        ("9a", "D", "Methods", "Predictors", "How were the first predictors chosen, before any modelling?"),
        ("9b", "D;E", "Methods", "Predictors", "What is each predictor, when and how measured, and how blinded?"),
        ("9c", "D;E", "Methods", "Predictors", "If read by people: who were they, and how qualified?"),
        ("10", "D;E", "Methods", "Sample size", "Why this many, for each part, and were they enough?"),
        ("11", "D;E", "Methods", "Missing data", "What was missing or left out, why, and what was done about it?"),
        ("12a", "D", "Methods", "Analysis", "How were the data divided between building and testing?", True),
        ("12b", "D", "Methods", "Analysis", "How were predictors transformed or scaled?"),
        ("12c", "D", "Methods", "Analysis", "Which models and why; how built, tuned and tested internally?"),
        ("12d", "D;E", "Methods", "Analysis", "How were differences between hospitals or other clusters dealt with?"),
        ("12e", "D;E", "Methods", "Analysis", "Which measures and pictures, and how were models compared?", True),
        ("12f", "E", "Methods", "Analysis", "Was the model updated after its evaluation, for whom, and how?", True),
        ("12g", "E", "Methods", "Analysis", "How were the predictions computed?", True),
        ("13", "D;E", "Methods", "Class imbalance", "What was done about rare outcomes, why, and recalibrated how?"),
        ("14", "D;E", "Methods", "Fairness", "What was done for fairness between groups, and why?"),
        (
            "15",
            "D",
            "Methods",
            "Model output",
            "What does the model give out; where do its thresholds come from?",
            True,
        ),
        ("16", "D;E", "Methods", "Training and evaluation", "How do the two differ in setting, patients and outcome?"),
        ("17", "D;E", "Methods", "Ethics", "Which committee approved it, and who consented or was exempt?"),
        ("18a", "D;E", "Open science", "Funding", "Who paid, and with what say?"),
        ("18b", "D;E", "Open science", "Conflicts of interest", "What interests do the authors have?"),
        ("18c", "D;E", "Open science", "Protocol", "Where is the protocol, or was there none?"),
        (
            "18d",
            "D;E",
            "Open science",
            "Registration",
            "Where and under which number was the study registered, if it was?",
        ),
        ("18e", "D;E", "Open science", "Data sharing", "Who can get the data, and how?"),
        ("18f", "D;E", "Open science", "Code sharing", "Where is the code of the analysis?"),
        ("19", "D;E", "Patients and public", "Involvement", "How did patients and the public take part, if at all?"),
        (
            "20a",
            "D;E",
            "Results",
            "Participants",
            "How did patients come to be analysed, step by step, with how many events?",
        ),
        ("20b", "D;E", "Results", "Participants", "What are the patients of each source like, and what do they lack?"),
        ("20c", "E", "Results", "Participants", "How do they differ from those whom the model was built on?"),
        ("21", "D;E", "Results", "Development", "How many patients and events were in each analysis?", True),
        ("22", "D", "Results", "Specification", "Where is the whole model, so that others can use it; on which terms?"),
        ("23a", "D;E", "Results", "Performance", "What are the figures, with intervals, also by group?", True),
        ("23b", "D;E", "Results", "Performance", "How do figures vary between hospitals or other clusters?"),
        ("24", "E", "Results", "Updating", "What is the updated model, and how good is it?", True),
        (
            "25",
            "D;E",
            "Discussion",
            "Interpretation",
            "What do the results mean, for fairness too, beside earlier work?",
        ),
        ("26", "D;E", "Discussion", "Limitations", "What limits the study, and what does it do to the figures?"),
        ("27a", "D", "Discussion", "Use", "What is to be done where input is poor or missing?"),
        ("27b", "D", "Discussion", "Use", "What must users do, and be able to do?"),
        ("27c", "D;E", "Discussion", "Use", "What comes next, to know where the model holds?"),
    )
)


def make_checklist(facts: Mapping[str, str]) -> pd.DataFrame:
    """Return the TRIPOD+AI sheet, filled in where facts are given and with a question everywhere else.

    The sheet [1]_ has 27 items, some in parts: 52 rows. Most answers that a program can give are a part of the whole,
    and the question stays beside them.

    Parameters
    ----------
    facts : mapping of str to str
        Answers by the number of the item, such as ``{"11": "No value was missing.", "23a": "AUROC 0.93"}``. What is
        not known is left out, or empty text.

    Returns
    -------
    DataFrame
        In the order of the sheet: `item`, `section`, `topic`, `applies` ("D" to development, "E" to evaluation, or
        "D;E"), `answer`, and `question`, which is empty where the answer is whole.

    Raises
    ------
    ValueError
        If a fact belongs to no item.

    See Also
    --------
    ComparisonResult.checklist : The sheet of a comparison.

    References
    ----------
    .. [1] Collins G. S. et al., TRIPOD+AI statement: updated guidance for reporting clinical prediction models that use
       regression or machine learning methods, BMJ 385:e078378, 2024. doi:10.1136/bmj-2023-078378

    Examples
    --------
    >>> from omi_estimators.evaluation import make_checklist
    >>> sheet = make_checklist({"12f": "The model was not updated."}).set_index("item")
    >>> len(sheet)
    52
    >>> sheet.loc["12f", "answer"], sheet.loc["12f", "question"]
    ('The model was not updated.', '')
    >>> sheet.loc["18a", "question"]
    'Who paid, and with what say?'
    """
    unknown = sorted(set(facts) - {item.number for item in ITEMS})
    if unknown:
        raise ValueError(
            f"facts must be named by items of TRIPOD+AI, such as '12e'; got {', '.join(map(repr, unknown))}."
        )
    rows = [
        {
            "item": item.number,
            "section": item.section,
            "topic": item.topic,
            "applies": item.applies,
            "answer": facts.get(item.number, ""),
            "question": "" if item.by_run and facts.get(item.number) else item.question,
        }
        for item in ITEMS
    ]
    return pd.DataFrame(rows)


def count_answers(sheet: pd.DataFrame) -> str:
    """Return in words how much of a sheet is filled in."""
    whole = int((sheet["question"] == "").sum())
    part = int(((sheet["question"] != "") & (sheet["answer"] != "")).sum())
    left = len(sheet) - whole - part
    return f"Of {len(sheet)} rows {whole} are answered, {part} in part, {left} are left to the author."


def to_markdown(sheet: pd.DataFrame) -> str:
    """Return a sheet as a table in Markdown, in which no text can break a row or become markup."""
    rows = [list(sheet.columns), ["---"] * len(sheet.columns), *sheet.to_numpy().tolist()]
    lines = ["| " + " | ".join(_escape_markdown(str(cell)) for cell in row) + " |" for row in rows]
    return "\n".join(["# TRIPOD+AI", "", count_answers(sheet), _READING, "", *lines, ""])


def _escape_markdown(text: str) -> str:
    for character in "\\`*_[]|":
        text = text.replace(character, f"\\{character}")
    return "<br>".join(escape(text, quote=False).splitlines())


def to_section(sheet: pd.DataFrame) -> Section:
    """Return a sheet as a section of a page, closed until it is opened."""
    return Section("TRIPOD+AI", [count_answers(sheet), _READING], sheet.set_index("item"), is_closed=True)


def write_checklist(sheet: pd.DataFrame, folder: Path) -> None:
    """Write a sheet as `tripod_ai.md` and `tripod_ai.csv` into a folder that exists."""
    (folder / "tripod_ai.md").write_text(to_markdown(sheet), encoding="utf-8")
    sheet.to_csv(folder / "tripod_ai.csv", index=False)


def describe_software(random_state: int | None) -> str:
    """Return versions of what computed a run, and its seed."""
    packages = (omi_estimators, sklearn, np, scipy, pd)
    versions = ", ".join(f"{package.__name__} {package.__version__}" for package in packages)
    seed = "no seed was given" if random_state is None else f"random_state={random_state}"
    return f"Computed by {versions}, Python {platform.python_version()}; {seed}."


def describe_comparison(result: ComparisonResult, n_skipped: int = 0) -> dict[str, str]:
    """Return what a comparison knows of the items, by their numbers, as `make_checklist` takes it."""
    counts, (negative, positive) = result.counts, result.target_names
    n_records, n_patients, n_events = counts["n_records"], counts["n_patients"], counts["n_events"]
    units = "records" if result.groups is None else "patients"
    given = len(result.y) // result.n_repeats
    unjudged = Usable.from_reasons(result.reasons[:given].tolist())
    n_unjudged, n_untested = int((~unjudged.mask).sum()), int((result.fold[:given] < 0).sum())
    size = f"{n_records} records" + ("" if result.groups is None else f" of {n_patients} patients")
    left_out = (
        f"Of {given} records given, {n_unjudged} could not be judged by every estimator"
        f"{f' ({unjudged})' if n_unjudged else ''} and count in no figure; {n_untested} were only trained on; "
        f"{n_skipped} damaged ones were skipped before."
    )
    times = f", {result.n_repeats} times with new folds and seeds" if result.n_repeats > 1 else ""
    folds = "folds of records" if result.groups is None else "folds that keep each patient on one side"
    names, sizes = ", ".join(result.estimators), result.folds
    facts = {
        "1": f"Compared by cross-validation: {names}; outcome: {positive}.",
        "4": "Models were developed and evaluated within one data set; nothing was validated in another.",
        "7": f"Steps inside an estimator were fitted on training folds only. {left_out}",
        "8a": f"The outcome is {positive}, against {negative}.",
        "10": f"{size}, {n_events} records with {positive}. {_describe_size(result)}".strip(),
        "11": f"{left_out} The comparison filled in no value.",
        "12a": f"{counts['n_folds']}-fold cross-validation{times}, {folds}, the same for every "
        "estimator; each record was tested by models that were not fitted on it.",
        "12c": "\n".join(f"{name}: {text}" for name, text in result.estimators.items()),
        "12e": "AUROC and average precision within folds, Brier score and skill, calibration slope, intercept and "
        "expected calibration error, sensitivity, specificity, predictive values and F1, net benefit; curves of ROC, "
        "precision and recall, reliability and decisions. Intervals and paired differences to "
        f"{result.reference}: bootstrap of {units}, {result.n_resamples} resamples, level "
        f"{result.confidence_level:.3g}. {result.describe_intervals()}",
        "12f": "No model was updated after its evaluation.",
        "12g": f"predict_proba of the model of each fold. {describe_software(result.random_state)}",
        "13": f"{n_events / n_records:.1%} of the records are {positive}; the comparison itself neither weighted nor "
        f"resampled. {_describe_balance(result)}".strip(),
        "15": _describe_output(result),
        "16": "Test folds come from the same data as training folds.",
        "18f": describe_software(result.random_state),
        "20a": f"{left_out} Analysed: {size}, {n_events} records with {positive}, {n_records - n_events} without.",
        "21": f"Each fold trained on {sizes['n_train'].min()} to {sizes['n_train'].max()} records and tested "
        f"{sizes['n_test'].min()} to {sizes['n_test'].max()}, {sizes['n_events'].min()} to {sizes['n_events'].max()} "
        f"of them with {positive}; in all {size}, {n_events} records with {positive}.",
        "22": "The parameters of every model are under 12c.",
        "23a": "\n".join([*_describe_figures(result), *_describe_subgroups(result)]),
        "24": "No model was updated.",
        "26": "Cross-validation within one data set says nothing of other hospitals.",
        "27a": left_out,
        "27b": "For research use only; not a medical device.",
    }
    if len(result.subgroups):
        columns = ", ".join(result.subgroups["column"].unique())
        levels = result.subgroups.drop_duplicates(["column", "level"])
        facts["14"] = f"Figures were found by {columns}; no model was changed for it."
        facts["20b"] = "\n".join(
            f"{row.column} {row.level}: {row.n_records} records, {row.n_events} with {positive}"
            for row in levels.itertuples()
        )
    return facts


def describe_validation(result: ValidationResult) -> dict[str, str]:
    """Return what a validation knows of the items, by their numbers, as `make_checklist` takes it."""
    counts, (negative, positive) = result.counts, result.target_names
    units = "records" if result.groups is None else "patients"
    size = f"{counts['n_records']} records" + ("" if result.groups is None else f" of {counts['n_patients']} patients")
    lost = (
        "; ".join(f"{row.n_records}: {reason}" for reason, row in result.not_judged.iterrows())
        or "every one was judged"
    )
    left_out = f"{counts['n_not_judged']} records could not be read or judged and count in no figure ({lost})."
    rest = f"{counts['n_records'] - counts['n_events']} {negative}"
    analysed = f"{left_out} Analysed: {size}, {counts['n_events']} {positive}, {rest}."
    software = describe_software(None)
    cohorts = "; ".join(f"{name}: {row.iloc[0]} then, {row.iloc[1]} here" for name, row in result.cohorts.iterrows())
    figures = [f"{name}: {text}" for name, text in result.summary().iloc[:, 0].items()]
    promises = [f"{name}: {row['verdict']}" for name, row in result.promises.iterrows()]
    facts = {
        "1": f"External validation of a fitted model; outcome: {positive}.",
        "4": "An existing model was applied to a cohort of its own; nothing was fitted.",
        "7": left_out,
        "8a": f"The outcome is {positive}, against {negative}.",
        "10": f"{size}, {counts['n_patients_with_events']} {units} with {positive}; at least 100 of each class are "
        "advised (Collins and others 2016, doi:10.1002/sim.6787).",
        "11": f"{left_out} The validation filled in no value; best and worst cases are in the report.",
        "12c": result.model,
        "12e": "AUROC, average precision, calibration slope and intercept, observed over expected events, expected "
        f"calibration error, Brier score and skill, net benefit, and the tiers. Intervals: bootstrap of {units}, "
        f"{result.n_resamples} resamples, level {result.confidence_level:.3g}.",
        "12f": "No model was updated in this validation.",
        "12g": f"predict_proba of the model as it was saved. {software}",
        "16": cohorts,
        "18f": software,
        "20a": analysed,
        "20c": cohorts,
        "21": f"{size}, {counts['n_events']} records with {positive}.",
        "23a": "\n".join([*figures, *promises]),
        "24": "No model was updated in this validation.",
        "27a": left_out,
        "27b": "For research use only; not a medical device.",
    }
    if len(result.subgroups):
        facts["14"] = f"Figures were found by {', '.join(result.subgroups['column'].unique())}."
        facts["20b"] = "\n".join(
            f"{row.column} {row.level}: {row.n_records} records, {row.n_events} with {positive}"
            for row in result.subgroups.itertuples()
        )
    return facts


def _describe_size(result: ComparisonResult) -> str:
    """Return how many patients it takes to validate a model such as the reference."""
    area, counts = float(result.table["roc_auc"][result.reference]), result.counts
    if not 0.5 < area < 1:
        return ""
    needed = patients_needed(
        counts["n_events"] / counts["n_records"],
        c_statistic=area,
        records_per_patient=counts["n_records"] / counts["n_patients"],
        confidence_level=result.confidence_level,
    )
    numbers = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in needed.items())
    return (
        f"To validate a model with the AUROC of {result.reference} with intervals 0.1 (AUROC), 0.2 (slope) and 0.2 "
        f"(observed over expected) wide takes so many patients: {numbers} (Riley et al., doi:10.1002/sim.9025)."
    )


def _describe_balance(result: ComparisonResult) -> str:
    """Return which estimators balance classes, as far as their texts tell."""
    weighted = [name for name, text in result.estimators.items() if "class_weight=" in text]
    nets = [name for name, text in result.estimators.items() if "NetClassifier" in text or "Net18Classifier" in text]
    said = f"class_weight is set in {', '.join(weighted)}." if weighted else ""
    if nets:
        said += (
            f" Networks ({', '.join(nets)}) balance classes in batches and shift log-odds back to the prevalence, "
            "unless their parameters say otherwise."
        )
    return said.strip()


def _describe_output(result: ComparisonResult) -> str:
    """Return what the models give out, and where thresholds come from."""
    if result.tiers is None:
        return "Probabilities; with one fold no thresholds were chosen."
    return (
        "Probabilities and four risk tiers. Thresholds of each fold were chosen on the other folds: rule-out at a "
        "sensitivity of 0.90, rule-in at a positive predictive value of 0.85, low and high parted at the greatest F1."
    )


def _describe_figures(result: ComparisonResult) -> list[str]:
    """Return the main figures of each estimator as text."""
    titles = {
        "roc_auc": "AUROC",
        "average_precision": "AP",
        "brier_score": "Brier",
        "calibration_slope": "slope",
        "calibration_intercept": "intercept",
    }
    tables = [(result.table, titles)]
    if result.decisions is not None:
        tables.append((result.decisions, {"sensitivity": "sensitivity", "ppv": "PPV"}))
    return [
        f"{name}: "
        + ", ".join(f"{t} {format_interval(table.loc[name], key)}" for table, some in tables for key, t in some.items())
        for name in result.table.index
    ]


def _describe_subgroups(result: ComparisonResult) -> list[str]:
    """Return the AUROC of each estimator in each subgroup as text."""
    return [
        f"{row['estimator']}, {row['column']} {row['level']}: AUROC {format_interval(row, 'roc_auc')} "
        f"({row['n_events']} of {row['n_records']} records are {result.target_names[1]})"
        for _, row in result.subgroups.iterrows()
    ]
