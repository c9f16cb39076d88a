"""The ONNX file answers as the model does, for any number of records."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

import omi_estimators
from omi_estimators import (
    ECGSmartNetClassifier,
    LeadScaler,
    ResNet18Classifier,
    TemporalResNet18Classifier,
    make_net_pipeline,
)
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.persistence import _onnx, export_onnx

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

TINY = {"width": 4, "blocks": (1, 1), "n_members": 1, "max_epochs": 1, "n_threads": 1, "random_state": 0}


@pytest.fixture(scope="module")
def beats():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(24, 12, 60)).cumsum(axis=2).astype(np.float32)
    X[3, 2] = 0
    return X


def answer(path, X):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["probability"], {"beat": X})[0]


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(LeadScaler(), ECGSmartNetClassifier(**TINY)),
        make_pipeline(LeadScaler(by="record"), TemporalResNet18Classifier(**TINY)),
        make_pipeline("passthrough", LeadScaler(), ResNet18Classifier(**TINY, correct_prior=False)),
        ECGSmartNetClassifier(**TINY),
    ],
    ids=["lead", "record", "raw prior", "net alone"],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_are_those_of_the_model(model, n_classes, beats, tmp_path):
    y = np.array(["LAD", "none", "RCA"])[np.arange(len(beats)) ** 2 % 5 % n_classes]
    model.fit(beats, y)
    export_onnx(model, tmp_path / "net.onnx")
    for X in (beats[:1], beats[:5], beats):
        np.testing.assert_allclose(answer(tmp_path / "net.onnx", X), model.predict_proba(X), atol=1e-5)
    # A record without a signal gets the prevalence, and those around it what they had.
    blank = np.insert(beats, [0, 7], 0, axis=0)
    found, classifier = answer(tmp_path / "net.onnx", blank), model[-1] if hasattr(model, "steps") else model
    prior = classifier.class_prior_ if classifier.correct_prior else classifier.training_prior_
    np.testing.assert_allclose(found[[0, 8]], [prior, prior], rtol=1e-6)
    np.testing.assert_allclose(found, model.predict_proba(blank), atol=1e-5)


@pytest.fixture(scope="module")
def pipeline():
    ecgs = make_omi_ecgs(n_patients=20, prevalence=0.4, random_state=0)
    return make_net_pipeline(500, **TINY).fit(ecgs.X, ecgs.y), ecgs.X


def test_a_pipeline_is_exported_from_its_beats_on(pipeline, tmp_path):
    model, X = pipeline
    export_onnx(model, str(tmp_path / "net.onnx"))
    beats = model[:2].transform(X).astype(np.float32)
    np.testing.assert_allclose(answer(tmp_path / "net.onnx", beats), model.predict_proba(X), atol=1e-5)


def test_the_file_says_what_it_is_and_not_where_it_was_made(pipeline, tmp_path):
    export_onnx(pipeline[0], tmp_path / "net.onnx")
    file = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(file, full_check=True)
    facts = {fact.key: fact.value for fact in file.metadata_props}
    assert json.loads(facts["classes"]) == [0, 1]
    assert "research use" in facts["use"]
    filter_, beat = json.loads(facts["steps_before"])
    assert filter_["ECGFilter"]["sampling_rate"] == 500
    assert beat["MedianBeat"]["n_samples"] == 200
    content = (tmp_path / "net.onnx").read_bytes()
    for path in (Path(omi_estimators.__file__).parent, Path(sys.prefix), Path.home(), tmp_path):
        assert str(path).encode() not in content


@pytest.mark.parametrize("model", [LeadScaler(), make_pipeline(LeadScaler()), make_pipeline("passthrough")])
def test_other_models_are_refused(model, tmp_path):
    with pytest.raises(TypeError, match=r"cannot write.*writes the networks"):
        export_onnx(model, tmp_path / "net.onnx")


def test_an_unfitted_network_is_refused(tmp_path):
    with pytest.raises(NotFittedError):
        export_onnx(make_net_pipeline(500), tmp_path / "net.onnx")


def test_a_file_that_answers_otherwise_is_not_written(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(_onnx, "_TOLERANCE", 0.01)
    monkeypatch.setattr(type(pipeline[0][-1]), "predict_proba", lambda self, X: np.tile([1.0, 0.0], (len(X), 1)))
    with pytest.raises(RuntimeError, match="differ from the model's"):
        export_onnx(pipeline[0], tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_what_to_install_is_said(pipeline, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install .onnx>="):
        export_onnx(pipeline[0], tmp_path / "net.onnx")


def test_eight_bits_answer_nearly_as_the_model_does(pipeline, tmp_path):
    model, X = pipeline
    beats = model[:2].transform(X).astype(np.float32)
    export_onnx(model, tmp_path / "net.onnx", int8_beats=beats)
    found = answer(tmp_path / "net.onnx", beats)
    expected = model.predict_proba(X)
    assert 0 < np.abs(found - expected).max() < 0.1
    assert np.abs(found - expected).mean() < 0.05
    file = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(file, full_check=True)
    assert sum(node.op_type == "QuantizeLinear" for node in file.graph.node) > 5
    assert {fact.key: fact.value for fact in file.metadata_props}["precision"] == "int8"
    content = (tmp_path / "net.onnx").read_bytes()
    for path in (Path(omi_estimators.__file__).parent, Path(sys.prefix), Path.home(), tmp_path):
        assert str(path).encode() not in content


@pytest.mark.parametrize(
    ("wrong", "message"), [(np.full((3, 12, 200), np.nan), "NaN"), (np.ones((3, 12, 100)), "12 leads of 100 samples")]
)
def test_wrong_beats_for_eight_bits(pipeline, tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        export_onnx(pipeline[0], tmp_path / "net.onnx", int8_beats=wrong)
    assert not list(tmp_path.iterdir())


def test_eight_bits_that_lose_too_much_are_not_written(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(_onnx, "_INT8_TOLERANCE", 0)
    with pytest.raises(RuntimeError, match="In 8 bits"):
        export_onnx(pipeline[0], tmp_path / "net.onnx", int8_beats=pipeline[0][:2].transform(pipeline[1]))
    assert not list(tmp_path.iterdir())
