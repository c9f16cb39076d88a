"""The command line: one command to a report, and one line for bad input."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.utils import Bunch

import omi_estimators.cli
import omi_estimators.datasets
import omi_estimators.evaluation
from omi_estimators.candidates import installed_candidates
from omi_estimators.cli import main


@pytest.fixture
def ptbxl(make_ecg, monkeypatch):
    """Put 24 small records in the place of PTB-XL, one damaged one left out; return what the reader was asked for."""
    asked = {}

    def load(data_dir, task="mi_vs_norm", **keywords):
        asked.update({"data_dir": data_dir, "task": task} | keywords)
        X = make_ecg(n_records=24, duration=4).astype(np.float32)
        X[3] = 0
        return Bunch(
            X=X,
            y=np.arange(24) // 2 % 2,
            groups=np.arange(24) // 2,
            target_names=["normal", "MI"],
            age=np.arange(24) * 3.0,
            sex=np.r_[np.nan, np.arange(23) % 2],
            skipped=[(17, "truncated")],
        )

    monkeypatch.setattr(omi_estimators.datasets, "load_ptbxl", load)
    return asked


@pytest.fixture(autouse=True)
def without_looking(monkeypatch, request):
    """Leave out what takes longest, and what tests of own files look at."""
    if "slow" not in request.keywords:
        monkeypatch.setattr(omi_estimators.evaluation, "inspect_comparison", lambda *args, **keywords: [])


# Twelve patients are few, and that is said.
few = pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning")


@few
def test_compare_from_ptbxl_to_report(ptbxl, tmp_path, capsys):
    arguments = "--folds 2 --epochs 1 --width 2 --members 1 --jobs 1 --task mi_vs_rest".split()
    arguments += ["--estimators", "net,regression,prior"]
    out = tmp_path / "report"
    assert main(["compare", "--ptbxl", "somewhere", "--out", str(out), *arguments]) == 0
    assert ptbxl["task"] == "mi_vs_rest"
    assert ptbxl["sampling_rate"] == 500
    printed = capsys.readouterr()
    for name in ("net", "regression", "prior"):
        assert any(line.startswith(name) for line in printed.out.splitlines())
    assert "AUROC minus net: regression" in printed.out
    assert "slope [95 % CI]" in printed.out
    assert str(out / "index.html") in printed.out
    assert "24 records of 12 patients, 12 with MI" in printed.err
    assert "measuring beats of 24 records" in printed.err
    assert "1 of 24 records cannot be judged, and count in no figure: " in printed.err
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "Not judged, and in no figure: 1, " in page
    assert "not occlusion MI" in page
    for level in ("sex: female", "sex: male", "sex: missing", "age: 0 to 18"):
        assert level in page
    assert "Damaged records skipped: 1." in page
    assert "SIMULATED" not in page
    content = json.loads((out / "result.json").read_text())
    assert list(content["table"]) == ["net", "regression", "prior"]
    assert "max_epochs=1" in content["estimators"]["net"]


@few
def test_compare_on_simulated_ecgs_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = "--n-patients 24 --folds 2 --jobs 1 --sampling-rate 200 --estimators regression,prior".split()
    arguments += ["--repeats", "2"]
    assert main(["compare", *arguments]) == 0
    printed = capsys.readouterr()
    assert "SIMULATED" in printed.err
    assert "2 folds by patient, 2 times." in printed.err
    assert "AUROC [95 % CI] ± SD" in printed.out
    page = (tmp_path / "omi-report" / "index.html").read_text(encoding="utf-8")
    assert "SIMULATED" in page
    assert "OMI against" in page
    first = (tmp_path / "omi-report" / "result.json").read_text()
    main(["compare", *arguments])
    second = (tmp_path / "omi-report" / "result.json").read_text()
    first, second = (json.loads(text)["table"]["regression"] for text in (first, second))
    assert first["roc_auc"] == second["roc_auc"]
    assert first["brier_score_low"] == second["brier_score_low"]


@few
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Log-odds out of fold do not rise with the class")
def test_all_estimators_calibrated_and_from_a_cache(ptbxl, tmp_path, capsys):
    arguments = (
        "--ptbxl somewhere --folds 2 --epochs 1 --width 2 --members 1 --jobs 1 --estimators all --calibrate".split()
    )
    folders = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "report")]
    assert main(["compare", *arguments, *folders]) == 0
    table = json.loads((tmp_path / "report" / "result.json").read_text())["table"]
    assert list(table) == [
        *installed_candidates(),
        *("net, calibrated", "temporal_resnet18, calibrated", "resnet18, calibrated", "forest, calibrated"),
        "extra_trees, calibrated",
    ]
    kept = sorted((tmp_path / "cache" / "folds").iterdir())
    assert len(kept) == 2 * len(table)
    times = [path.stat().st_mtime_ns for path in kept]
    assert main(["compare", *arguments, *folders]) == 0
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "cache" / "folds").iterdir())] == times
    assert json.loads((tmp_path / "report" / "result.json").read_text())["table"] == table
    capsys.readouterr()


def test_a_narrow_net_is_no_secret():
    from omi_estimators.cli import _make_parser
    from omi_estimators.cli._compare import _simulate

    for arguments, expected in (([], True), (["--width", "64"], False), (["--estimators", "forest"], False)):
        args = _make_parser().parse_args(["compare", "--n-patients", "2", *arguments])
        assert any("narrower" in note for note in _simulate(args)[1]) is expected


def test_a_single_net_is_no_secret():
    from omi_estimators.cli import _make_parser
    from omi_estimators.cli._compare import _simulate

    for arguments, expected in (([], True), (["--members", "3"], False), (["--estimators", "forest"], False)):
        args = _make_parser().parse_args(["compare", "--n-patients", "2", *arguments])
        assert any("trained once" in note for note in _simulate(args)[1]) is expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ptbxl", "no/such/folder"], "no folder 'no/such/folder'"),
        (["--ptbxl", "."], "has no ptbxl_database.csv"),
        (["--ptbxl", ".", "--sampling-rate", "250"], "published at 100 and 500 Hz"),
        (["--ptbxl", ".", "--n-patients", "9"], "--n-patients is for simulated"),
        (["--task", "mi_vs_norm"], "give --ptbxl DIR too"),
        (["--n-patients", "3"], "5 folds need 5 patients"),
        (["--n-patients", "12", "--folds", "9"], "must hold every class"),
        (["--n-patients", "12", "--folds", "1"], "at least 2 folds"),
        (["--sampling-rate", "20"], "sampling_rate"),
        (["--jobs", "0"], "--jobs"),
        (["--seed", "-1"], "--seed"),
        (["--out", "taken/report"], "is not a writable folder"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file, not a folder")
    assert main(["compare", *arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("omi-estimators: error: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not (tmp_path / "omi-report").exists()


def test_a_report_that_cannot_be_written_is_said_before_the_work(ptbxl, monkeypatch, capsys, tmp_path):
    def refuse(*args, **keywords):
        raise OSError("the disk is full")

    monkeypatch.setattr(omi_estimators.cli._compare.Path, "mkdir", refuse)
    assert main(["compare", "--ptbxl", "somewhere", "--folds", "2", "--out", str(tmp_path / "report")]) == 2
    printed = capsys.readouterr().err
    assert "the disk is full" in printed
    assert "measuring" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--estimators", "net,oracle"], "unknown estimator 'oracle'"),
        (["--folds", "many"], "whole number"),
        (["--task", "stroke"], "invalid choice"),
    ],
)
def test_bad_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["compare", *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_one_class_only(ptbxl, monkeypatch, capsys, tmp_path):
    load = omi_estimators.datasets.load_ptbxl

    def load_one_class(*args, **keywords):
        data = load(*args, **keywords)
        data.y[:] = 0
        return data

    monkeypatch.setattr(omi_estimators.datasets, "load_ptbxl", load_one_class)
    assert main(["compare", "--ptbxl", "somewhere", "--out", str(tmp_path)]) == 2
    assert "two classes; got 1" in capsys.readouterr().err


def test_without_matplotlib(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["compare"]) == 2
    assert 'install it with: pip install "matplotlib' in capsys.readouterr().err


def test_interrupted(ptbxl, monkeypatch, capsys, tmp_path):
    def interrupt(*args, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(omi_estimators.datasets, "load_ptbxl", interrupt)
    assert main(["compare", "--ptbxl", "somewhere", "--out", str(tmp_path)]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_module_runs_and_import_is_light():
    help_text = subprocess.run(
        [sys.executable, "-m", "omi_estimators", "compare", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "--ptbxl" in help_text
    heavy = "{'torch', 'sklearn', 'neurokit2', 'pandas', 'matplotlib', 'numpy'}"
    code = f"import sys, omi_estimators.cli; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_all_four_on_real_ecgs(ptbxl_dir, tmp_path):
    arguments = [
        "--ptbxl",
        str(ptbxl_dir),
        "--epochs",
        "2",
        "--width",
        "4",
        "--members",
        "1",
        "--folds",
        "2",
        "--out",
        str(tmp_path),
    ]
    assert main(["compare", *arguments]) == 0
    table = json.loads((tmp_path / "result.json").read_text())["table"]
    assert list(table) == ["net", "forest", "regression", "prior"]
    assert table["regression"]["roc_auc"] > 0.7
