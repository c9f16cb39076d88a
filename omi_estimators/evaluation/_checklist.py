"""The TRIPOD+AI sheet: items answered where a run knows the answer, and questions where only the author does.

`tripod_ai.toml` holds the items, with the answers of a comparison and of a validation as templates.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy
import sklearn

import omi_estimators
from omi_estimators.evaluation._page import Section, fill_in, read_words
from omi_estimators.metrics import patients_needed

if TYPE_CHECKING:
    from omi_estimators.evaluation._result import ComparisonResult
    from omi_estimators.evaluation._validated import ValidationResult

_READING = (
    "Answers are what the run knows; questions are left to the author. Items are given here in words of our own: for a "
    "submission take the wording of the source (Collins G. S. et al., TRIPOD+AI statement, BMJ 2024;385:e078378, "
    "doi:10.1136/bmj-2023-078378)."
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
    items = read_words("tripod_ai.toml")["items"]
    unknown = sorted(set(facts) - set(items))
    if unknown:
        raise ValueError(
            f"facts must be named by items of TRIPOD+AI, such as '12e'; got {', '.join(map(repr, unknown))}."
        )
    rows = [
        {"item": number, **{name: item[name] for name in ("section", "topic", "applies")}}
        | {"answer": facts.get(number, "")}
        | {"question": "" if item.get("by_run") and facts.get(number) else item["question"]}
        for number, item in items.items()
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


def answer_items(result: ComparisonResult | ValidationResult, **known: Any) -> dict[str, str]:
    """Return what a result knows of the items, by their numbers, as `make_checklist` takes it."""
    words, groups, kind = read_words("tripod_ai.toml"), result.subgroups, result._kind
    levels = list(groups.drop_duplicates(["column", "level"]).itertuples()) if len(groups) else []
    known |= result._known | {
        "n_records": result.counts["n_records"],
        "n_events": result.counts["n_events"],
        "software": _describe_software(getattr(result, "random_state", None)),
        "columns": ", ".join(groups["column"].unique()) if len(groups) else "",
        "levels": levels,
    }
    known |= {name: fill_in(words["phrases"][key], **known) for name, key in (("size", "size"), ("left_out", kind))}
    return {number: fill_in(item[kind], **known).strip() for number, item in words["items"].items() if kind in item}


def _describe_software(random_state: int | None) -> str:
    """Return versions of what computed a run, and its seed."""
    packages = (omi_estimators, sklearn, np, scipy, pd)
    versions = ", ".join(f"{package.__name__} {package.__version__}" for package in packages)
    seed = "no seed was given" if random_state is None else f"random_state={random_state}"
    return f"Computed by {versions}, Python {platform.python_version()}; {seed}."


def describe_comparison(result: ComparisonResult, n_skipped: int = 0) -> dict[str, str]:
    """Return what a comparison knows of the items."""
    texts = result.estimators
    return answer_items(
        result,
        n_skipped=n_skipped,
        names=", ".join(texts),
        folds=result.folds,
        needed=_count_needed(result),
        # As far as the texts of estimators tell.
        weighted=[name for name, text in texts.items() if "class_weight=" in text],
        networks=[name for name, text in texts.items() if "NetClassifier" in text or "Net18Classifier" in text],
    )


def _count_needed(result: ComparisonResult) -> dict[str, int]:
    """Return how many patients it takes to validate a model such as the reference."""
    area, counts = float(result.table["roc_auc"][result.reference]), result.counts
    if not 0.5 < area < 1:
        return {}
    return patients_needed(
        counts["n_events"] / counts["n_records"],
        c_statistic=area,
        records_per_patient=counts["n_records"] / counts["n_patients"],
        confidence_level=result.confidence_level,
    )
