"""The TRIPOD+AI sheet: all items, answers with the run's own numbers, questions where a run knows nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from omi_estimators import compare_estimators
from omi_estimators.evaluation import make_checklist
from omi_estimators.evaluation._checklist import to_markdown
from omi_estimators.metrics import patients_needed

# What no program can know.
ONLY_THE_AUTHOR = {
    "2",
    "3a",
    "3b",
    "3c",
    "5a",
    "5b",
    "6a",
    "6b",
    "6c",
    "8b",
    "8c",
    "9a",
    "9b",
    "9c",
    "17",
    "19",
    "20c",
} | {*("18a", "18b", "18c", "18d", "18e", "23b", "25", "27c")}
NASTY = "a|b\nc <b> *d* `e` \\"


@pytest.fixture(scope="module")
def result():
    """Return a comparison of 120 records of 60 patients, a third of them positive, one name full of markup."""
    rng = np.random.default_rng(0)
    groups = np.arange(120) // 2
    y = (groups % 3 == 0).astype(int)
    sex = rng.choice(["female", "male"], size=60)[groups]
    X = rng.normal(size=(120, 4)) + y[:, np.newaxis] / 2
    given = {"groups": groups, "target_names": ("none", "MI"), "subgroups": {"sex": sex}, "random_state": 7}
    estimators = {"plain": LogisticRegression(), NASTY: LogisticRegression(class_weight="balanced", C=0.1)}
    return compare_estimators(estimators, X, y, **given, n_resamples=100, verbose=0)


def test_every_item_of_the_source_is_there():
    parts = {
        3: "abc",
        5: "ab",
        6: "abc",
        8: "abc",
        9: "abc",
        12: "abcdefg",
        18: "abcdef",
        20: "abc",
        23: "ab",
        27: "abc",
    }
    expected = [f"{number}{part}" for number in range(1, 28) for part in parts.get(number, [""])]
    sheet = make_checklist({})
    assert sheet["item"].tolist() == expected
    assert len(expected) == 52
    assert set(sheet["applies"]) == {"D", "E", "D;E"}
    assert sheet["item"][sheet["applies"] == "E"].tolist() == ["12f", "12g", "20c", "24"]
    assert sheet["question"].is_unique
    assert sheet["question"].str.endswith("?").all()


def test_without_facts_everything_is_a_question():
    sheet = make_checklist({})
    assert (sheet["answer"] == "").all()
    assert (sheet["question"] != "").all()
    with pytest.raises(ValueError, match=r"named by items of TRIPOD\+AI, such as '12e'; got '28', 'figures'"):
        make_checklist({"figures": "", "28": "x", "1": "y"})


def test_a_part_of_an_answer_leaves_the_question():
    sheet = make_checklist({"10": "80 patients", "12e": "AUROC", "12g": ""}).set_index("item")
    assert sheet.loc["10", "answer"] == "80 patients"
    assert sheet.loc["10", "question"]
    assert sheet.loc["12e", "question"] == ""
    assert sheet.loc["12g", "question"]


def test_answers_hold_the_numbers_of_the_run(result):
    sheet = result.checklist(n_skipped=3).set_index("item")
    assert set(sheet.index[sheet["answer"] == ""]) == ONLY_THE_AUTHOR | {"12b", "12d"}
    answer = sheet["answer"]
    area = result.table.loc["plain", "roc_auc"]
    needed = patients_needed(1 / 3, c_statistic=area, records_per_patient=2)
    expected = {
        "8a": "MI, against none",
        "10": "120 records of 60 patients, 40 records with MI. To validate a model with the AUROC of plain",
        "11": "Of 120 records given, 0 could not be judged",
        "12a": "5-fold cross-validation, folds that keep each patient on one side",
        "12c": "plain: LogisticRegression(random_state=",
        "12g": "random_state=7",
        "13": f"neither weighted nor resampled. class_weight is set in {NASTY}.",
        "14": "by sex",
        "15": "sensitivity of 0.90",
        "18f": f"pandas {pd.__version__}",
        "20a": "skipped before. Analysed: 120 records of 60 patients, 40 records with MI, 80 without",
        "20b": "sex female: ",
        "23a": f"plain: AUROC {area:.3f} [{result.table.loc['plain', 'roc_auc_low']:.3f}, ",
        "26": "nothing of other hospitals",
    }
    for item, text in expected.items():
        assert text in answer[item], item
    for name, number in needed.items():
        assert f"{name.replace('_', ' ')} {number}" in answer["10"]
    women = result.subgroups.iloc[0]
    assert f"sex female: {women['n_records']} records, {women['n_events']} with MI" in answer["20b"]
    assert f"plain, sex female: AUROC {women['roc_auc']:.3f} [" in answer["23a"]
    assert answer["23a"].count("AUROC") == 2 + 4
    n_train = result.folds["n_train"]
    assert f"trained on {n_train.min()} to {n_train.max()} records" in answer["21"]


def test_records_without_a_judgement_are_told(result):
    reasons = np.where(np.arange(120) < 2, "flat line", "").astype(object)
    answer = replace(result, reasons=reasons).checklist(n_skipped=3).set_index("item")["answer"]
    for item in ("7", "11", "20a", "27a"):
        assert "Of 120 records given, 2 could not be judged by every estimator (" in answer[item]
        assert "flat line" in answer[item]
        assert "3 damaged ones were skipped before" in answer[item]
    assert "Analysed: 118 records of 59 patients, 38 records with MI, 80 without" in answer["20a"]


def test_no_text_breaks_the_markdown(result):
    sheet = result.checklist()
    text = to_markdown(sheet)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 52
    assert all(len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 7 for row in rows)
    assert "a\\|b<br>c &lt;b&gt; \\*d\\* \\`e\\` \\\\" in text
    assert "doi:10.1136/bmj-2023-078378" in text
    assert f"Of 52 rows {(sheet['question'] == '').sum()} are answered" in text


def test_files_and_page(result, tmp_path, monkeypatch):
    monkeypatch.setattr(type(result), "_render_pictures", lambda result: {})
    page = result.write_report(tmp_path, n_skipped=3).read_text(encoding="utf-8")
    sheet = result.checklist(n_skipped=3)
    again = pd.read_csv(tmp_path / "tripod_ai.csv", dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(again, sheet.astype(str))
    assert (tmp_path / "tripod_ai.md").read_text(encoding="utf-8") == to_markdown(sheet)
    start = page.index(">TRIPOD+AI</h2>")
    section = page[start : page.index("<h2", start)]
    assert "<details><summary>The table" in section
    assert "&lt;b&gt;" in section
    assert "<b>" not in section
    assert "\\n" not in section
    assert section.count("<tr>") == 53
