"""omi-estimators predict: what a line, a table and a page of an ECG hold, and what never reaches them."""

from __future__ import annotations

import csv
import os
import re
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import omi_estimators
import omi_estimators.features._neurokit_features as measuring
from omi_estimators import RiskTierClassifier, load, load_ecgs, make_forest_pipeline, persistence, preprocessing, save
from omi_estimators.cli import _make_parser, _tools, main
from omi_estimators.cli._predict import _COLUMNS, _DEVICE
from omi_estimators.cli._tools import check_jobs_and_seed, load_model, measure_records, name_flags
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.preprocessing import Measured, Usable

pytestmark = pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning")

_PLAIN = ["--file-rate", "250", "--unit", "mV", "--jobs", "1"]
_ESCAPE = "\x1b"


@pytest.fixture(scope="module")
def ecgs():
    return make_omi_ecgs(n_patients=16, prevalence=0.5, sampling_rate=250, random_state=0)


@pytest.fixture(scope="module")
def model(ecgs, tmp_path_factory) -> Path:
    """Return the file of a small forest with risk tiers, whose classes have names."""
    forest = make_forest_pipeline(250, n_estimators=20, random_state=0)
    out = tmp_path_factory.mktemp("model") / "forest.omi"
    save(
        RiskTierClassifier(forest, cv=2, pos_label="OMI", random_state=0).fit(ecgs.X, np.where(ecgs.y, "OMI", "none")),
        out,
    )
    return out


@pytest.fixture
def folder(ecgs, tmp_path) -> Path:
    folder = tmp_path / "ecgs"
    folder.mkdir()
    for i in range(3):
        np.save(folder / f"{i}.npy", ecgs.X[i])
    return folder


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_columns_are_those_of_the_documentation(model, folder, tmp_path):
    table = tmp_path / "out.csv"
    assert main(["predict", str(model), str(folder), "--csv", str(table), *_PLAIN]) == 0
    assert list(read_table(table)[0]) == list(_COLUMNS)
    page = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(_COLUMNS)
    _, read = load_ecgs([folder / "0.npy"], 250, read_params={"sampling_rate": 250, "unit": "mV"})
    assert [name for name in read if name.startswith("device_")] == [f"device_{name}" for name in _DEVICE]


def test_the_positive_class_has_a_name(model, folder, ecgs, tmp_path, capsys):
    assert main(["predict", str(model), str(folder / "0.npy"), *_PLAIN]) == 0
    expected = load(model).predict_proba(ecgs.X[:1])[0, 0]
    assert f"P(OMI) = {expected:.4f}" in capsys.readouterr().out
    table = tmp_path / "out.csv"
    given = ["--positive", "STEMI", "--csv", str(table)]
    assert main(["predict", str(model), str(folder / "0.npy"), *given, *_PLAIN]) == 0
    assert "P(STEMI) = " in capsys.readouterr().out
    assert read_table(table)[0]["positive_class"] == "STEMI"


def test_what_files_say_is_beside_what_is_found(model, ecgs, tmp_path, capsys):
    pytest.importorskip("wfdb")
    record = omi_estimators.readers.ECGRecord(ecgs.X[0].astype(float), 250, "made", statements=("Sinus rhythm", "=1+1"))
    record.to_wfdb(tmp_path / "1")
    for suffix in ("atr", "i", "v6"):
        (tmp_path / f"1.{suffix}").write_bytes(b"\x64\x04\x00\x00")
    table = tmp_path / "out.csv"
    assert main(["predict", str(model), *map(str, tmp_path.glob("1.*")), "--csv", str(table), "--jobs", "1"]) == 0
    [row] = read_table(table)
    assert row["file"].endswith("1.hea")
    assert row["device_statements"] == "Sinus rhythm; =1+1"
    assert 0 < float(row["quality"]) <= 1
    printed = capsys.readouterr()
    assert "device: Sinus rhythm" in printed.out
    assert "4 of the files given belong to the record of another one" in printed.err


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_names_are_cleaned(model, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    names = [
        "a\nx.npy  P(OMI) = 0.0001  rule-out",
        f"b{_ESCAPE}[2J.npy",
        "=cmd.npy",
        "@c.npy",
        os.fsdecode(b"d\xff.npy"),
    ]
    for name in names:
        os.link("0.npy", name)
    os.link("0.npy", "-e.npy")
    given = [*names, "./-e.npy", "missing\x1b[31m\n.npy"]
    assert main(["predict", str(model), *given, "--csv", "out.csv", "--report", "pages", *_PLAIN]) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == len(given)
    content = (folder / "out.csv").read_bytes().decode() + (folder / "pages" / "index.html").read_text()
    assert _ESCAPE not in printed.out + printed.err + content
    rows = read_table(folder / "out.csv")
    assert [row["file"] for row in rows[2:4]] == ["'=cmd.npy", "'@c.npy"]
    assert rows[4]["file"] == r"d\udcff.npy"
    assert not any("\n" in cell or cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


def test_a_table_is_replaced_when_the_new_one_is_whole(model, folder, tmp_path, monkeypatch, capsys):
    table = tmp_path / "out.csv"
    table.write_text("the last good one")

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(preprocessing, "judge", interrupt)
    assert main(["predict", str(model), str(folder), "--csv", str(table), *_PLAIN]) == 130
    assert table.read_text() == "the last good one"
    assert list(tmp_path.glob(".*.part")) == []
    for bad in (model, folder / "0.npy", folder):
        assert main(["predict", str(model), str(folder), "--csv", str(bad), *_PLAIN]) == 2
        assert "--csv " in capsys.readouterr().err


def test_each_record_is_measured_once(model, folder, monkeypatch):
    loaded, calls = load_model(model), []
    monkeypatch.setattr(_tools, "load_model", lambda path: loaded)
    for module, name in (
        (measuring, "_measure_window"),
        (preprocessing, "signal_quality"),
        (measuring, "signal_quality"),
    ):
        real = getattr(module, name)
        spy = lambda *args, name=name, real=real, **params: (calls.append(name), real(*args, **params))[1]  # noqa: E731
        monkeypatch.setattr(module, name, spy)
    assert main(["predict", str(model), str(folder), *_PLAIN]) == 0
    assert sorted(calls) == ["_measure_window"] * 3 + ["signal_quality"] * 3


def test_pages(model, folder, ecgs, tmp_path, capsys):
    np.save(folder / "flat.npy", np.zeros((12, 2500)))
    (folder / "index.xml").write_text("<other/>")
    pages = tmp_path / "pages"
    assert main(["predict", str(model), str(folder), "--report", str(pages), *_PLAIN]) == 1
    assert f"Report: {pages / 'index.html'}" in capsys.readouterr().err
    index = (pages / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'href="([^#"]+)"', index)
    assert sorted(links) == ["0.html", "1.html", "2.html", "flat.html"]
    assert "its root" in index or "XML with the root" in index
    assert "3 of 5 ECGs could be judged" in index
    page = (pages / "0.html").read_text(encoding="utf-8")
    prob = load(model).predict_proba(ecgs.X[:1])[0, 0]
    for text in (
        f"P(OMI) = {prob:.2f}",
        "no interval",
        "What the model looked at",
        "heart rate (1/min)",
        "has no profile",
    ):
        assert text in page
    assert page.count("<img") == 3
    assert "Not judged: every lead is flat" in (pages / "flat.html").read_text(encoding="utf-8")


class _Profile:
    """A profile by which nothing is typical."""

    false_alarm_rate = 0.05

    def measure(self, X):
        return Measured(np.zeros((len(X), 1)), Usable.from_reasons([""] * len(X)))

    def describe(self, measured):
        rows = [(0.012, False, "QRS of V1 wide")] * len(measured.values)
        return pd.DataFrame(rows, columns=["typicality", "typical", "reasons"])

    def find_drift(self, measured, *, groups, age, sex):
        found = {"statistic": [0.9], "p_value": [0.01], "drifted": [True], "meaning": ["QRS wider"]}
        return pd.DataFrame(found, index=["qrs_duration"])


def test_how_typical_a_record_is(model, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(persistence, "load_profile", lambda path: _Profile(), raising=False)
    given = ["--csv", str(tmp_path / "out.csv"), "--report", str(tmp_path / "pages")]
    assert main(["predict", str(model), str(folder / "0.npy"), *given, *_PLAIN]) == 0
    printed = capsys.readouterr()
    assert "unlike the training records: QRS of V1 wide" in printed.out
    assert "differ from the training records: QRS wider" in printed.err
    assert read_table(tmp_path / "out.csv")[0]["typicality"] == "0.012"
    assert "1.2%" in (tmp_path / "pages" / "0.html").read_text(encoding="utf-8")


def test_flags_are_called_as_on_the_command_line(model, folder, capsys):
    assert main(["predict", str(model), str(folder / "0.npy"), "--jobs", "1"]) == 1
    printed = capsys.readouterr().out
    assert "give --file-rate in Hz and --unit 'mV'" in printed
    assert "sampling_rate" not in printed
    assert name_flags("but sampling_rate=250 was given; give unit=") == "but --file-rate 250 was given; give --unit"


def test_missing_files_and_bars(model, folder, capsys):
    assert main(["predict", "no.omi", str(folder)]) == 2
    assert capsys.readouterr().err == "omi-estimators: error: no.omi: there is no such file\n"
    assert main(["predict", str(model), str(folder), *_PLAIN]) == 0
    assert capsys.readouterr().err == ""


def test_version_and_one_default_of_jobs(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"omi-estimators {omi_estimators.__version__}\n"
    [commands] = [action.choices for action in _make_parser()._actions if isinstance(action.choices, dict)]
    defaults = {name: command.get_default("jobs") for name, command in commands.items()}
    assert {name: jobs for name, jobs in defaults.items() if jobs is not None} == dict.fromkeys(
        ("compare", "fit", "predict", "validate"), -1
    )
    check_jobs_and_seed(Namespace(jobs=-1))


def test_bad_arguments_reach_no_terminal_raw(capsys):
    for given in (["card", "a", f"{_ESCAPE}[2J"], ["predict", "a", "b", "--positive", f"{_ESCAPE}[2J"]):
        with pytest.raises(SystemExit):
            main(given)
        assert _ESCAPE not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", " ", "a\nb", 41 * "a"])
def test_a_name_of_the_positive_class_is_one(name, capsys):
    with pytest.raises(SystemExit):
        main(["predict", "a", "b", "--positive", name])
    assert "must be a name of 1 to 40 letters" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::omi_estimators.preprocessing.UnusableRecordWarning")
def test_almost_nothing_measured_is_an_error(ecgs, tmp_path):
    X = np.zeros((20, 12, 1000), dtype=np.float32)
    X[:1] = ecgs.X[:1, :, :1000]
    with pytest.raises(ValueError, match=r"Only 1 of the 20 records can be judged.*flat"):
        measure_records(X, ["forest"], 250, n_jobs=1, cache=tmp_path)
    with pytest.raises(ValueError, match="Only 1 of the 20 records"):
        make_forest_pipeline(250, n_estimators=2).fit(X, np.arange(20) % 2)
