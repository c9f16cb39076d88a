"""The code of the documentation runs, on files as it names them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from readers.writers import (
    INDEPENDENT,
    write_cardiosoft,
    write_csv,
    write_dicom,
    write_edf,
    write_hl7,
    write_mat,
    write_mortara,
    write_muse,
    write_npy,
    write_philips,
    write_scp,
    write_wfdb,
)

import omi_estimators._validation
from omi_estimators import __version__
from omi_estimators._validation import how_to_install
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.leads import LEADS

DOCS = Path(__file__).parents[1] / "docs"
_WRITERS = {
    "record.hea": write_wfdb,
    "philips.xml": write_philips,
    "cardiosoft.xml": write_cardiosoft,
    "aecg.xml": write_hl7,
    "mortara.xml": write_mortara,
    "ecg.dcm": write_dicom,
    "ecg.edf": write_edf,
    "ecg.scp": write_scp,
    "ecg.csv": write_csv,
    "ecg.npy": write_npy,
    "ecg.mat": write_mat,
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Go to a folder that holds the files which the page on reading names."""
    monkeypatch.chdir(tmp_path)
    X = make_omi_ecgs(4, records_per_patient=1, noise=0, random_state=0).X.astype(np.float64)
    for name, write in _WRITERS.items():
        write(tmp_path / name, X[0], 500)
    eight = X[0][[LEADS.index(lead) for lead in INDEPENDENT]]
    write_muse(tmp_path / "muse.xml", eight, 500)
    write_csv(tmp_path / "eight.csv", eight, 500, leads=INDEPENDENT, header=False)
    (tmp_path / "ecgs").mkdir()
    for i, record in enumerate(X):
        write_wfdb(tmp_path / "ecgs" / f"r{i}.hea", record, 500)
    return tmp_path


def _read_code(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def test_the_code_on_reading_runs(folder):
    blocks = _read_code(DOCS / "reading.md")
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert names["X"].shape == (4, 12, 5000)  # type: ignore[attr-defined]
    assert names["table"].attrs["skipped"] == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", sorted(path.stem for path in DOCS.glob("guide/*.md") if _read_code(path)))
def test_the_code_of_the_guide_runs(page, capsys):
    names: dict[str, object] = {}
    for block in _read_code(DOCS / "guide" / f"{page}.md"):
        exec(block, names)


def test_the_guide_computes_what_it_says():
    names: dict[str, object] = {}
    for page in ("prevalence", "calibration", "beat"):
        for block in _read_code(DOCS / "guide" / f"{page}.md"):
            exec(block, names)
    assert 1 / (1 + np.exp(-names["log_odds"])) == pytest.approx(0.07)  # type: ignore[operator]
    assert names["line"].slope == pytest.approx(1 / 3, abs=0.05)  # type: ignore[attr-defined]
    assert names["beat"].shape == (12, 200)  # type: ignore[attr-defined]


def test_the_landing_page_goes_from_a_record_to_a_probability(capsys):
    (block,) = _read_code(DOCS / "index.md")
    exec(block, {})
    assert 0 <= float(capsys.readouterr().out) <= 1


def test_install_names_what_the_extras_install_as_errors_do(monkeypatch):
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    monkeypatch.setattr(
        omi_estimators._validation,
        "requires",
        lambda name: [f"{text}; extra == '{extra}'" for extra in extras for text in extras[extra]],
    )
    text = (DOCS / "install.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", text, re.MULTILINE))
    assert {*rows, "dev", "docs"} == set(extras)
    for extra, listed in rows.items():
        assert re.findall(r"`(.+?)`", listed) == re.findall(r'"([\w-]+)', how_to_install(extra)), extra
    assert f"omi_estimators-{__version__}-py3" in text
    assert f"Python {project['requires-python'].removeprefix('>=')} or newer" in text


@pytest.mark.parametrize(
    ("word", "page"),
    [
        ("install", "install"),
        ("getting started", "getting_started"),
        ("own data", "getting_started"),
        ("pretrained model", "which_model"),
        ("cite", "cite"),
        ("limits", "limits"),
    ],
)
def test_what_people_search_for_is_in_the_index(word, page):
    """Sphinx's search puts main entries of the index, those with "!", first."""
    found = {}
    for path in DOCS.glob("**/*.md"):
        for entries in re.findall(r"^```\{index\} (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            found |= dict.fromkeys(entries.removeprefix("! ").split(", "), path.stem)
    assert found[word] == page


def test_cite_says_what_citation_cff_says():
    text = (DOCS / "cite.md").read_text(encoding="utf-8")
    file = (DOCS.parent / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version = {{{__version__}}}" in text
    assert f"version: {__version__}" in file
    for number in re.findall(r"(?:arXiv:|doi: )(\S+?)\"?$", file, re.MULTILINE):
        assert number in text
