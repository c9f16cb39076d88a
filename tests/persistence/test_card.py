"""The card in a model file: what it says, that it is true, and how it is read."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from omi_estimators import ECGSmartNetClassifier, LeadScaler, load, save
from omi_estimators.cli import main
from omi_estimators.metrics import Interval
from omi_estimators.persistence import ModelFileError, find_known_patients, read_card
from omi_estimators.persistence._container import CARD, pack, read_bytes, sha256, unpack

# Of Mitchell et al., table 1.
HEADINGS = [
    *("Model Details", "Intended Use", "Factors", "Metrics", "Evaluation Data", "Training Data"),
    *("Quantitative Analyses", "Ethical Considerations", "Caveats and Recommendations"),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.omi"


@pytest.fixture
def write(cases, path):
    """Return a function that saves a model by name and returns its card."""

    def write(name, **keywords):
        save(cases[name].model, path, **keywords)
        return read_card(path)

    return write


def test_headings_are_those_of_the_field(write):
    card = write("fusion")
    assert [line[3:] for line in card.splitlines() if line.startswith("## ")] == HEADINGS
    assert "FOR RESEARCH USE ONLY" in card
    assert "Not a medical device" in card


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("net of beats", ["Records: 24", "Patients: 12", "Classes: 0, 1", "Prevalence: 0: 0.5, 1: 0.5"]),
        ("words", ["Records: 24", "Patients: not recorded", "Classes: OMI, normal", "OMI: 0.5, normal: 0.5"]),
        ("three classes", ["Records: 24", "Classes: 0, 1, 2", "0: 0.3333, 1: 0.3333, 2: 0.3333"]),
        ("partly fitted", ["Records: 48", "Patients: not recorded"]),
        ("vote", ["Records: 24", "Prevalence: OMI: 0.5, normal: 0.5"]),
        ("tiers", ["Records: 24", "Patients: 12", "Prevalence: 0: 0.5, 1: 0.5"]),
        ("fusion", ["Records: 14", "Patients: ", "sampling rate", "made of FusionClassifier, ECGPipeline"]),
        ("forest", ["Records: 14", "Patients: not recorded", "Prevalence: not recorded", "Classes: 0, 1"]),
        ("one per fold", ["Records: not recorded", "Classes: 0, 1"]),
        ("net", ["Records: 14", "12 leads and 1200 samples", "Sampling rate: 200 Hz"]),
        ("scaler", ["Records: not recorded", "Classes: not recorded", "by='record'"]),
    ],
)
def test_training_data_are_what_fit_kept(write, name, lines):
    card = write(name)
    for line in lines:
        assert line in card


def test_patients_of_a_fusion_are_counted(cases, write):
    assert f"- Patients: {cases['fusion'].model.n_patients_}\n" in write("fusion")


def test_training_data_can_be_given(write):
    card = write("forest", y=[0] * 10 + [1] * 4, groups=np.arange(14) // 2)
    for line in ("- Records: 14\n", "- Patients: 7\n", "0: 0.7143, 1: 0.2857"):
        assert line in card


@pytest.mark.parametrize(
    ("keywords", "match"),
    [
        ({"y": [0, 1], "groups": [1]}, r"got shapes \(2,\) and \(1,\)"),
        ({"groups": ["a", None, "b"]}, "groups has missing patients, the first for record 1"),
        (
            {"groups": pd.array(["a", "b", pd.NA], dtype="string")},
            "groups has missing patients, the first for record 2",
        ),
        ({"y": []}, "one value for each"),
        ({"y": [[0, 1]]}, "one value for each"),
        ({"y": [0, 2]}, r"y has classes \[2\]"),
        ({"notes": "\x1b[2J"}, "control characters"),
        ({"metrics": {"AUROC": "\x07"}}, "control characters"),
        ({"notes": "x" * 2**20}, "more than"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(write, path, keywords, match):
    with pytest.raises(ValueError, match=match):
        write("forest", **keywords)
    assert not path.exists()


def test_metrics_are_shown_with_their_data(write):
    figures = {"AUROC": Interval(0.953, 0.921, 0.978), "Brier score": 0.06, "seen by": "nobody"}
    card = write("net", metrics=figures, evaluated_on="PTB-XL, fold 10: 2,158 records", notes="Gehört zu Studie 7.")
    for line in (
        "## Metrics\n\nAUROC, Brier score, seen by",
        "- AUROC: 0.953 [0.921, 0.978]\n- Brier score: 0.06\n- seen by: nobody",
        "## Evaluation Data\n\nPTB-XL, fold 10: 2,158 records",
        "Gehört zu Studie 7.",
    ):
        assert line in card
    assert "## Metrics\n\nNot recorded." in write("net")


def test_hashes_are_those_of_the_weights(write, path):
    card = write("vote")
    members = unpack(read_bytes(path), "model")[1]
    assert len(members) == 3
    for name, content in members.items():
        assert (f"- {name}: {sha256(content)}\n" in card) == (name != CARD)


def test_versions_are_named(write):
    card = write("net")
    for package in ("python", "omi_estimators", "numpy", "scikit-learn", "torch", "skorch"):
        assert f"{package} " in card
    assert "torch" not in write("forest")


def test_no_path_of_this_machine_is_in_the_file(cases, write, path, tmp_path):
    write("fusion")
    cache = cases["fusion"].model.estimators_[0]["beat"].memory
    assert cache
    assert cache.encode() not in path.read_bytes()


def test_counts_follow_each_fit():
    X, y = np.random.default_rng(0).normal(size=(12, 2, 30)), np.arange(12) % 2
    net = ECGSmartNetClassifier(width=2, n_members=1, blocks=(1,), max_epochs=1, n_threads=1).fit(
        X, y, groups=np.arange(12) // 3
    )
    assert (net.n_records_, net.n_patients_) == (12, 4)
    net.fit(X[:10], y[:10])
    assert (net.n_records_, net.n_patients_) == (10, None)
    net.partial_fit(X, y, groups=y)
    assert (net.n_records_, net.n_patients_) == (22, None)


def test_the_command_prints_the_card(write, path, capsys):
    card = write("words", notes="Łódź")
    assert main(["card", str(path)]) == 0
    assert capsys.readouterr().out == card


def test_the_command_needs_no_heavy_library_nor_utf_8(cases, path):
    save(cases["words"].model, path, notes="Łódź")
    code = """
import sys
from omi_estimators.cli import main
status = main(["card", sys.argv[1]])
heavy = {"torch", "sklearn", "skops", "safetensors", "numpy"} & set(sys.modules)
sys.exit(f"loaded {heavy}" if heavy else status)
"""
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert b"# ECGSmartNetClassifier" in done.stdout


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_the_command_says_in_one_line_what_is_no_model(path, content, capsys):
    if content is not None:
        path.write_bytes(content)
    assert main(["card", str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("omi-estimators: error: ")
    assert printed.err.count("\n") == 1
    assert str(path) in printed.err


def test_a_card_says_what_the_model_is_after_loading_and_saving_again(write, path, cases):
    first = write("tiers")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(load(path), path)
    second = read_card(path)
    for heading in ("## Training Data", "## Factors"):
        assert first.split(heading)[1].split("##")[0] == second.split(heading)[1].split("##")[0]


def test_a_transformer_has_a_card_too(path):
    save(LeadScaler(), path)
    assert "LeadScaler()" in read_card(path)


def test_patients_are_remembered_on_request_only_and_by_no_name(tmp_path):
    path = tmp_path / "model.omi"
    save(LeadScaler(), path, groups=["anna", "bea", "bea"])
    assert find_known_patients(path, ["anna"]) is None
    save(LeadScaler(), path, groups=["anna", "bea", 7], remember_patients=True)
    assert find_known_patients(path, ["carl", "bea", "bea", "7"]) == ["bea", "7"]
    assert b"anna" not in path.read_bytes()
    first = path.read_bytes()
    save(LeadScaler(), path, groups=["anna", "bea", 7], remember_patients=True)
    assert path.read_bytes() != first
    with pytest.raises(ValueError, match="remember_patients needs groups"):
        save(LeadScaler(), path, remember_patients=True)


@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b'{"salt": 3, "hashes": []}', b'{"salt": "x", "hashes": [[]]}', b"{"]
)
def test_patients_that_cannot_be_read_are_an_error(tmp_path, content):
    path = tmp_path / "model.omi"
    save(LeadScaler(), path, groups=["anna"], remember_patients=True)
    manifest, members = unpack(read_bytes(path), "model")
    path.write_bytes(pack(members | {"patients.json": content}, {"versions": manifest["versions"]}))
    with pytest.raises(ModelFileError, match="patients in"):
        find_known_patients(path, ["anna"])
