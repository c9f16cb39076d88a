"""From a folder of files and a table of labels to a verdict, a model and its card, by the command line alone."""

from __future__ import annotations

import csv
import errno
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import omi_estimators.cli._compare
import omi_estimators.evaluation
import omi_estimators.preprocessing
import omi_estimators.readers
from omi_estimators.cli import main
from omi_estimators.datasets import make_omi_ecgs

# Few patients are few, and that is said.
pytestmark = [
    pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning"),
    pytest.mark.filterwarnings("ignore:No threshold reaches"),
]

_PLAIN = ["--file-rate", "250", "--unit", "mV", "--sampling-rate", "250", "--jobs", "1"]


def write_files(folder: Path, **simulated) -> list[str]:
    """Write simulated ECGs as .npy files with their table, one that cannot be read among them; return the options."""
    ecgs = make_omi_ecgs(sampling_rate=250, random_state=0, **simulated)
    (folder / "ecgs").mkdir()
    rows = []
    for i, (record, label, patient) in enumerate(zip(ecgs.X, ecgs.y, ecgs.groups, strict=True)):
        np.save(folder / "ecgs" / f"{i}.npy", record)
        rows.append([f"{i}.npy", int(label), f"p{patient}", 40 + i % 40])
    (folder / "ecgs" / "broken.npy").write_text("no array")
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label", "patient", "age"], ["broken.npy", 1, "p0", 50], *rows])
    return ["--data", "ecgs", "--labels", "labels.csv", *_PLAIN]


@pytest.fixture
def options(tmp_path, monkeypatch) -> list[str]:
    """Return the options that name a few files, in a working directory of their own."""
    monkeypatch.chdir(tmp_path)
    return write_files(tmp_path, n_patients=16, records_per_patient=1.5, prevalence=0.4)


def read_page(path: str = "omi-report/index.html") -> str:
    """Return the page without its pictures, having looked for what no page should show."""
    text = re.sub(r"data:image/png;base64,[^\"]*", "", Path(path).read_text(encoding="utf-8"))
    for unwanted in (" at 0x", "/tmp", r"-0\.000", r"\b1 records", r"\b1 patients", "memory="):
        assert not re.search(unwanted, text), unwanted
    return text


def follow_advice(printed: str) -> str:
    """Run the command that a comparison ends with; return the name of the file that it wrote."""
    [advice] = [line for line in printed.splitlines() if line.startswith("Next: omi-estimators ")]
    words = shlex.split(advice.removeprefix("Next: omi-estimators "))
    assert main([*words, "--jobs", "1"]) == 0
    return words[words.index("--out") + 1]


def list_measured(cache: str = "omi-report-cache") -> set[str]:
    """Return the files of measured beats and features; those of a model's profile only `fit` needs."""
    kept = Path(cache, "records").rglob("*.kept")
    return {path.name for path in kept if path.parent.name != "_measure"}


def test_from_files_to_a_verdict_to_a_model(options, capsys):
    arguments = [
        "compare",
        *options,
        "--estimators",
        "regression",
        "--folds",
        "2",
        "--subgroup",
        "age",
        "--positive",
        "STEMI",
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "It cannot be told how good regression is: there are only " in printed.out
    page = read_page()
    for part in (
        "Damaged records skipped: 1.",
        "What regression looks at",
        "Surest mistakes",
        "Where to cut: the thresholds of regression",
        "age: 40 to ",
        "of labels.csv, P(STEMI) = ",
        "STEMI against no STEMI on ecgs",
        f"Made by: {shlex.join(['omi-estimators', *arguments])}",
        "To fit regression on all records",
    ):
        assert part in page
    beats = list_measured()
    assert beats
    model = follow_advice(printed.out)
    assert list_measured() == beats
    capsys.readouterr()
    assert main(["card", model]) == 0
    card = capsys.readouterr().out
    for part in ("AUROC: 0.", "average precision: ", "Brier score: ", "calibration slope: ", "rule-out: below "):
        assert f"- {part}" in card
    assert "Prevalence: 0: 0.6" in card
    assert main(["predict", model, "ecgs/0.npy", *_PLAIN[:4]]) == 0
    assert "P(STEMI) = " in capsys.readouterr().out


def test_the_same_command_fits_nothing_again(options, monkeypatch, capsys):
    arguments = ["compare", *options, "--estimators", "prior", "--folds", "2"]
    assert main(arguments) == 0
    times = {path: path.stat().st_mtime_ns for path in Path("omi-report-cache/folds").iterdir()}
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in Path("omi-report-cache/folds").iterdir()} == times
    assert "Next:" not in capsys.readouterr().out  # the prevalence is no model to fit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "ecgs"], "--data and --labels belong together"),
        (["--labels", "labels.csv"], "--data and --labels belong together"),
        (["--data", "ecgs", "--labels", "labels.csv", "--ptbxl", "."], "leave out --ptbxl and --n-patients"),
        (["--subgroup", "age"], "--subgroup, --positive, --file-rate and --unit are for files of your own"),
        (["--data", "nowhere", "--labels", "labels.csv"], "no folder 'nowhere'"),
        (["--data", "empty", "--labels", "labels.csv"], "None of the"),
        (["--data", "other", "--labels", "labels.csv"], "None of the"),
        (["--data", "ecgs", "--labels", "one_class.csv", *_PLAIN], "of one class only"),
        (["--data", "ecgs", "--labels", "labels.csv", *_PLAIN, "--subgroup", "ward"], "has no column 'ward'"),
        (["--data", "ecgs", "--labels", "labels.csv", *_PLAIN, "--cache", "labels.csv/c"], "choose --cache"),
    ],
)
def test_bad_input_ends_in_one_line(arguments, message, options, capsys):
    for name in ("empty", "other"):
        Path(name).mkdir()
    Path("other/notes.txt").write_text("no ECG")
    # The only file of one of the classes cannot be read.
    lines = Path("labels.csv").read_text().splitlines()
    Path("one_class.csv").write_text("\n".join([*lines[:2], *(row for row in lines[2:] if ",0,p" in row)]))
    assert main(["compare", *arguments]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("omi-estimators: error: ")
    assert message in last
    assert not Path("omi-report").exists()


def _stop(error):
    def stop(*args, **keywords):
        raise error

    return stop


_STAGES = {
    "reading": (omi_estimators.readers, "load_ecgs"),
    "measuring": (omi_estimators.preprocessing, "measure_steps"),
    "folds": (omi_estimators.evaluation, "compare_estimators"),
    "looking": (omi_estimators.evaluation, "inspect_comparison"),
    "writing": (omi_estimators.evaluation.ComparisonResult, "to_json"),
}


@pytest.mark.parametrize("stage", _STAGES)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_what_stops_a_comparison_loses_nothing(stage, error, options, monkeypatch, capsys):
    Path("omi-report").mkdir()
    Path("omi-report/index.html").write_text("an earlier report")
    estimators = "regression" if stage == "measuring" else "prior"
    monkeypatch.setattr(*_STAGES[stage], _stop(error))
    code = main(["compare", *options, "--estimators", estimators, "--folds", "2"])
    last = capsys.readouterr().err.splitlines()[-1]
    if isinstance(error, KeyboardInterrupt):
        assert code == 130
        assert "interrupted; no report was written" in last
        assert ("the same command goes on from there" in last) is (stage != "reading")
    else:
        assert code == 2
        assert "No space left on device; make room there" in last
    assert [path.name for path in Path("omi-report").iterdir()] == ["index.html"]
    assert Path("omi-report/index.html").read_text() == "an earlier report"


@pytest.mark.parametrize("stage", ["reading", "measuring", "fitting", "saving"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_what_stops_a_fit_leaves_the_last_model(stage, error, options, monkeypatch, capsys):
    import omi_estimators.persistence
    import omi_estimators.triage

    stages = _STAGES | {
        "fitting": (omi_estimators.triage.RiskTierClassifier, "fit"),
        "saving": (omi_estimators.persistence, "save"),
    }
    Path("model.omi").write_text("an earlier model")
    monkeypatch.setattr(*stages[stage], _stop(error))
    fit = ["fit", *options, "--model", "regression", "--folds", "2", "--cache", "kept", "--out", "model.omi"]
    assert main(fit) == (130 if isinstance(error, KeyboardInterrupt) else 2)
    assert "Traceback" not in capsys.readouterr().err
    assert Path("model.omi").read_text() == "an earlier model"


@pytest.mark.slow
def test_getting_started_runs_as_written(tmp_path, monkeypatch, capsys):
    """150 files to a verdict, a model, its card and its pages by four commands, and the same by Python."""
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "docs" / "getting_started.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    commands, printed, measured = [], [], []
    for kind, block in re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if kind == "python":
            exec(block, names)
        elif not kind:
            [command] = block.splitlines()
            assert main(shlex.split(command)[1:]) == 0
            commands.append(command)
            printed.append(capsys.readouterr().out)
            measured.append(list_measured("report-cache"))
    assert round(len(names["ecgs"].y), -1) == 150  # type: ignore[attr-defined]
    page = read_page("report/index.html")
    for part in (
        "ranks best",  # which model, and how sure
        "Its AUROC is surely higher than that of",
        "average precision",  # how good
        "rule-out",  # where to cut
        "What forest looks at",
        "Most spoke for OMI: ST of ",
        "Kinds of measurement that forest needs",
        "missed: row",
    ):
        assert part.lower() in page.lower(), part
    compared, fitted, card, predicted = printed
    assert f"Next: {commands[1]}\n" in compared
    assert measured[0] == measured[1]
    assert "Model: forest.omi" in fitted
    assert "- Positive class: OMI" in card
    assert predicted.count("P(OMI) = ") == 2
    assert len(list(Path("pages").glob("*.html"))) == 3
    assert len(Path("predictions.csv").read_text().splitlines()) == 3
