"""omi-estimators fit and predict: from files to a model, and back to files."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from omi_estimators import load
from omi_estimators.cli import main
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.persistence import load_profile

# Few patients are few, and that is said.
pytestmark = pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning")

_PLAIN = ["--file-rate", "250", "--unit", "mV"]
_QUICK = ["--sampling-rate", "250", "--folds", "2", "--jobs", "1", *_PLAIN]


@pytest.fixture(scope="module")
def ecgs():
    return make_omi_ecgs(n_patients=16, records_per_patient=1.5, prevalence=0.4, sampling_rate=250, random_state=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, ecgs) -> Path:
    """Return a folder of .npy files and the table of their labels."""
    folder = tmp_path_factory.mktemp("data")
    for i, record in enumerate(ecgs.X):
        np.save(folder / f"{i}.npy", record)
    write_labels(folder / "labels.csv", ecgs)
    return folder


def write_labels(path: Path, ecgs, header=("file", "label", "patient"), edit=None) -> Path:
    known = enumerate(zip(ecgs.y, ecgs.groups, strict=True))
    rows = [[f"{i}.npy", int(label), f"p{patient}"] for i, (label, patient) in known]
    rows = edit(rows) if edit else rows
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory) -> Path:
    """Return the file of a forest that the command has fitted."""
    out = tmp_path_factory.mktemp("model") / "forest.omi"
    arguments = ["fit", "--data", str(folder), "--labels", str(folder / "labels.csv"), "--out", str(out)]
    assert main([*arguments, "--model", "forest", *_QUICK]) == 0
    return out


def test_fit_saves_a_model_with_tiers_and_a_card(model, ecgs, capsys):
    capsys.readouterr()
    fitted = load(model)
    assert fitted.n_records_ == len(ecgs.y)
    assert fitted.n_patients_ == len(set(ecgs.groups))
    assert main(["card", str(model)]) == 0
    card = capsys.readouterr().out
    assert "AUROC" in card
    assert "out of 2 folds by patient" in card


def test_predict_prints_a_line_for_each_file(model, folder, ecgs, tmp_path, capsys):
    files = [str(folder / f"{i}.npy") for i in range(len(ecgs.y))]
    table = tmp_path / "out.csv"
    assert main(["predict", str(model), *files, "--csv", str(table), *_PLAIN]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == files
    rows = list(csv.DictReader(table.read_text().splitlines()))
    expected = load(model).predict_proba(ecgs.X)[:, 1]
    assert np.allclose([float(row["probability"]) for row in rows], expected, atol=5.1e-5)
    assert [row["tier"] for row in rows] == load(model).predict_tier(ecgs.X).tolist()
    assert all(row["error"] == "" for row in rows)
    profile = load_profile(model)
    assert profile.n_patients_ == len(set(ecgs.groups))
    assert [row["typicality"] for row in rows] == [f"{value:.3f}" for value in profile.typicality(ecgs.X)]


def test_records_unlike_those_in_training_are_told_of(model, ecgs, tmp_path, capsys):
    for i, record in enumerate(ecgs.X[:12]):
        np.save(tmp_path / f"{i}.npy", 5 * record)
    assert main(["predict", str(model), str(tmp_path), "--csv", str(tmp_path / "out.csv"), *_PLAIN]) == 0
    told = capsys.readouterr()
    assert "as a batch these 12 records differ from the training records: amplitude of" in told.err
    for i, record in enumerate(ecgs.X[:2]):
        np.save(tmp_path / f"{i}.npy", record[[11, *range(1, 11), 6]])
    assert main(["predict", str(model), str(tmp_path / "0.npy"), *_PLAIN]) == 0
    assert "unlike the training records: " in capsys.readouterr().out


def test_limb_leads_that_are_not_what_they_are_called_are_a_warning(model, ecgs, tmp_path, capsys):
    turned = ecgs.X[0] * np.where(np.arange(12) == 3, -1, 1)[:, np.newaxis]
    np.save(tmp_path / "turned.npy", turned)
    assert main(["predict", str(model), str(tmp_path / "turned.npy"), *_PLAIN]) == 0
    assert "aVR is inverted" in capsys.readouterr().out


def test_bad_files_are_lines_with_reasons(model, folder, tmp_path, capsys):
    (tmp_path / "empty.xml").touch()
    np.save(tmp_path / "flat.npy", np.zeros((12, 2500)))
    noisy = np.load(folder / "0.npy")
    noisy[8] = np.nan
    np.save(tmp_path / "lead_missing.npy", noisy)
    given = [tmp_path / "empty.xml", folder / "0.npy", tmp_path / "flat.npy", tmp_path / "lead_missing.npy"]
    assert main(["predict", str(model), *map(str, given), *_PLAIN]) == 1
    printed = capsys.readouterr()
    empty, good, flat, missing = printed.out.splitlines()
    assert "not judged: empty.xml: it is empty" in empty
    assert float(good.split()[3]) == pytest.approx(
        load(model).predict_proba(np.load(given[1])[np.newaxis])[0, 1], abs=1e-4
    )
    assert "not judged: every lead is flat or missing" in flat
    assert "missing: V3" in missing
    assert "2 of 4 files have no probability." in printed.err


def test_a_folder_means_its_files(model, folder, tmp_path, capsys):
    for name in ("b.npy", "a.npy"):
        (tmp_path / name).write_bytes((folder / "0.npy").read_bytes())
    (tmp_path / ".hidden").write_text("no")
    assert main(["predict", str(model), str(tmp_path), *_PLAIN]) == 0
    assert [Path(line.split()[0]).name for line in capsys.readouterr().out.splitlines()] == ["a.npy", "b.npy"]


def test_all_files_bad(model, tmp_path, capsys):
    assert main(["predict", str(model), str(tmp_path / "no.xml"), str(tmp_path / "none.xml")]) == 1
    assert capsys.readouterr().out.count("there is no such file") == 2


def test_without_patients_each_file_counts_as_one(folder, ecgs, tmp_path, capsys):
    labels = write_labels(tmp_path / "l.csv", ecgs, ("file", "label"), lambda rows: [row[:2] for row in rows])
    arguments = ["fit", "--data", str(folder), "--labels", str(labels), "--out", str(tmp_path / "m"), *_QUICK]
    assert main(arguments) == 0
    assert "each file counts as a patient of its own" in capsys.readouterr().err


def test_net_and_calibration(folder, ecgs, tmp_path, capsys):
    arguments = ["fit", "--data", str(folder), "--labels", str(folder / "labels.csv"), *_QUICK]
    net = ["--model", "net", "--epochs", "1", "--width", "2", "--members", "1", "--out", str(tmp_path / "net")]
    assert main([*arguments, *net]) == 0
    assert main([*arguments, "--calibrate", "--out", str(tmp_path / "forest")]) == 0
    capsys.readouterr()
    for name in ("net", "forest"):
        assert main(["predict", str(tmp_path / name), str(folder / "0.npy"), *_PLAIN]) == 0
        line = capsys.readouterr().out.split()
        assert line[1:3] == ["P(positive)", "="]
        assert 0 < float(line[3]) < 1


@pytest.mark.parametrize(
    ("header", "edit", "message"),
    [
        (("x", "label", "patient"), None, "columns x, label, patient, but not file"),
        (("file", "x", "patient"), None, "but not label"),
        (None, lambda rows: [], "has no rows"),
        (None, lambda rows: [[*rows[0][:2], ""], *rows[1:]], "empty patient in row 2"),
        (None, lambda rows: [*rows[:3], [rows[3][0], "2", "p"], *rows[4:]], "label '2' in row 5"),
        (None, lambda rows: [*rows, rows[0]], "names '0.npy' twice"),
        (None, lambda rows: [[file, 1, patient] for file, _, patient in rows], "no record with label 0"),
        (None, lambda rows: [[f"x{file}", *rest] for file, *rest in rows], "None of the"),
    ],
)
def test_bad_tables_are_one_line(header, edit, message, folder, ecgs, tmp_path, capsys):
    labels = write_labels(tmp_path / "l.csv", ecgs, header or ("file", "label", "patient"), edit)
    arguments = ["fit", "--data", str(folder), "--labels", str(labels), "--out", str(tmp_path / "m"), *_QUICK]
    assert main(arguments) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("omi-estimators: error: ")
    assert message in last
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "--data", "none", "--labels", "l.csv", "--out", "m"], "no folder 'none'"),
        (["fit", "--data", ".", "--labels", "l.csv", "--out", "m"], "l.csv"),
        (["fit", "--data", ".", "--labels", "l.csv", "--out", "."], "is a folder"),
        (["fit", "--data", ".", "--labels", "l.csv", "--out", "m", "--jobs", "0"], "--jobs"),
        (["fit", "--data", ".", "--labels", "l.csv", "--out", "m", "--model", "fusion", "--calibrate"], "--calibrate"),
        (["predict", "none.omi", "x.xml"], "none.omi"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert message in printed


def test_a_file_that_is_no_model(tmp_path, folder, capsys):
    from omi_estimators import LeadScaler, save

    save(LeadScaler(), tmp_path / "scaler")
    assert main(["predict", str(tmp_path / "scaler"), str(folder / "0.npy")]) == 2
    assert "not a fitted classifier of two classes" in capsys.readouterr().err


def test_help_of_predict_is_light():
    code = """
import sys
from omi_estimators.cli import main
try:
    main(["predict", "--help"])
except SystemExit:
    print([name for name in ("numpy", "torch", "pandas", "sklearn") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_example_model_says_each_time_what_it_is_not(tmp_path, make_ecg, capsys):
    np.save(tmp_path / "ecg.npy", make_ecg(n_records=1)[0])
    arguments = ["predict", "example:mi-forest", str(tmp_path / "ecg.npy"), "--file-rate", "500", "--unit", "mV"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "P(MI) = " in printed.out
    assert "It is not OMI, and not for patients." in printed.err
    assert main(["card", "example:mi-forest"]) == 0
    assert "not occlusion MI (OMI)" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["predict", "example:none", "ecg.npy"])
    assert "There is no example model 'none'; there is mi-forest." in capsys.readouterr().err
