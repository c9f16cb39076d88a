"""The ONNX file of a classifier of features answers as it does, at thresholds and for missing values too."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

import omi_estimators
from omi_estimators import NeuroKitFeatures, RiskTierClassifier, make_net_pipeline, recalibrate
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.fusion import FusionClassifier
from omi_estimators.persistence import export_onnx

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

N_FEATURES = 4
TINY = {"width": 4, "blocks": (1, 1), "n_members": 1, "max_epochs": 1, "n_threads": 1, "random_state": 0}


def make_forest(**params):
    return RandomForestClassifier(8, min_samples_leaf=2, random_state=0, **params)


def make_table(n_records, missing, seed):
    """Return features of two digits, so that many lie where trees split, and labels of three classes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_records, N_FEATURES)).round(1).astype(np.float32)
    y = np.array(["RCA", "LAD", "none"])[(X[:, 0] + rng.normal(size=n_records) > 0).astype(int) + (X[:, 1] > 0)]
    if missing:
        X[rng.random(X.shape) < 0.2] = np.nan
    return X, y


def answer(path, **given):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["probability"], given)[0]


def split_thresholds(model):
    """Return thresholds by feature of trees, forests and boosting by scikit-learn's trees."""
    trees = [each.tree_ for each in np.ravel(getattr(model, "estimators_", [model]))]
    feature, threshold = (np.concatenate([getattr(tree, name) for tree in trees]) for name in ("feature", "threshold"))
    return {j: threshold[(feature == j) & np.isfinite(threshold)] for j in range(N_FEATURES)}


def place_at_thresholds(model, X, rng):
    """Return records at the float32 nearest a threshold, or one above or below it, in half of the values."""
    X = X.copy()
    for j, found in split_thresholds(model).items():
        if found.size:
            near = rng.choice(found, len(X)).astype(np.float32)
            toward = rng.choice(np.array([-np.inf, np.inf], np.float32), len(X))
            near = np.where(rng.random(len(X)) < 0.5, near, np.nextafter(near, toward))
            X[:, j] = np.where(rng.random(len(X)) < 0.5, near, X[:, j])
    return X


@pytest.mark.parametrize("two", [True, False], ids=["two classes", "three"])
@pytest.mark.parametrize(
    ("model", "missing"),
    [
        (DecisionTreeClassifier(random_state=0), True),
        (ExtraTreeClassifier(random_state=0), True),
        (make_forest(), True),
        (make_forest(class_weight="balanced"), False),
        (ExtraTreesClassifier(8, random_state=0), True),
        (GradientBoostingClassifier(n_estimators=5), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_trees_decide_alike_at_every_threshold(model, missing, two, tmp_path):
    X, y = make_table(300, missing, 0)
    y = y == "none" if two else y
    model.fit(X, y)
    export_onnx(model, tmp_path / "model.onnx")
    Z = place_at_thresholds(model, make_table(600, missing, 1)[0], np.random.default_rng(2))
    found = answer(tmp_path / "model.onnx", features=Z)
    np.testing.assert_allclose(found, model.predict_proba(Z), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(answer(tmp_path / "model.onnx", features=Z[5:6]), found[5:6])


@pytest.mark.parametrize("missing", [True, False])
def test_missing_values_go_where_they_went(missing, tmp_path):
    # Of a forest that saw none, missing values go to the larger child.
    X, y = make_table(300, missing, 0)
    model = make_forest().fit(X, y)
    export_onnx(model, tmp_path / "model.onnx")
    Z = make_table(300, True, 1)[0]
    Z[0] = np.nan
    np.testing.assert_allclose(answer(tmp_path / "model.onnx", features=Z), model.predict_proba(Z), rtol=0, atol=1e-12)


def test_trees_that_know_fewer_classes_or_decide_nothing(tmp_path):
    X, y = make_table(60, False, 0)
    y[:] = np.where(X[:, 0] > 0, "none", "LAD")
    y[7] = "RCA"
    model = make_forest().fit(X, y)
    only = [tree for tree in model.estimators_ if tree.tree_.value[0, 0, list(model.classes_).index("RCA")] == 0]
    assert only, "some bootstrap sample lacks the single record"
    export_onnx(model, tmp_path / "model.onnx")
    np.testing.assert_allclose(answer(tmp_path / "model.onnx", features=X), model.predict_proba(X), rtol=0, atol=1e-12)
    stumps = make_forest(max_depth=1, min_impurity_decrease=0.2).fit(X, X[:, 0] > 0)
    assert {tree.tree_.node_count for tree in stumps.estimators_} == {1, 3}
    export_onnx(stumps, tmp_path / "model.onnx")
    np.testing.assert_allclose(answer(tmp_path / "model.onnx", features=X), stumps.predict_proba(X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("two", [True, False], ids=["two classes", "three"])
@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize(
    "inner", [make_forest(), HistGradientBoostingClassifier(max_iter=5), LogisticRegression()], ids=["p", "z", "line"]
)
def test_calibration(inner, method, ensemble, two, tmp_path):
    missing = not isinstance(inner, LogisticRegression)
    X, y = make_table(300, missing, 0)
    model = CalibratedClassifierCV(inner, method=method, ensemble=ensemble, cv=3)
    # In float64, since scikit-learn's logistic regression that learned from float32 rounds to it.
    model.fit(X.astype(np.float64), y == "none" if two else y)
    export_onnx(model, tmp_path / "model.onnx")
    Z = make_table(300, missing, 1)[0]
    Z[0] = 1000
    np.testing.assert_allclose(answer(tmp_path / "model.onnx", features=Z), model.predict_proba(Z), rtol=0, atol=1e-9)


def test_calibration_of_parts_that_lack_a_class(tmp_path):
    X, y = make_table(120, False, 0)
    order = np.argsort(y == "none", kind="stable")
    X, y, n_last = X[order], y[order], np.sum(y == "none")
    first, last = np.arange(120 - n_last), np.arange(120 - n_last, 120)
    # The first fold learns without "none"; nobody says so.
    folds = [(first[::2], np.r_[first[1::2], last]), (np.r_[first[1::2], last], first[::2])]
    model = CalibratedClassifierCV(make_forest(), method="isotonic", cv=folds)
    model.fit(X, y)
    assert [len(each.estimator.classes_) for each in model.calibrated_classifiers_] == [2, 3]
    export_onnx(model, tmp_path / "model.onnx")
    np.testing.assert_allclose(answer(tmp_path / "model.onnx", features=X), model.predict_proba(X), rtol=0, atol=1e-12)


def test_fusion_tiers_and_recalibration(tmp_path):
    X, y = make_table(500, True, 0)
    parts = [("forest", make_forest()), ("boosted", CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=3)))]
    Z = make_table(300, True, 1)[0]
    three = FusionClassifier(parts, random_state=0).fit(X, y)
    export_onnx(three, tmp_path / "model.onnx")
    np.testing.assert_allclose(answer(tmp_path / "model.onnx", features=Z), three.predict_proba(Z), rtol=0, atol=1e-9)
    around = CalibratedClassifierCV(FrozenEstimator(three), method="isotonic").fit(X, y)
    export_onnx(around, tmp_path / "model.onnx")
    np.testing.assert_allclose(answer(tmp_path / "model.onnx", features=Z), around.predict_proba(Z), rtol=0, atol=1e-9)
    fusion = FusionClassifier(parts, random_state=0)
    tiers = RiskTierClassifier(fusion, sensitivity=0.8, ppv=0.7, n_resamples=20, random_state=0, pos_label="LAD")
    tiers.fit(X, np.where(y == "none", y, "LAD"))
    export_onnx(tiers, tmp_path / "model.onnx")
    np.testing.assert_allclose(answer(tmp_path / "model.onnx", features=Z), tiers.predict_proba(Z), rtol=0, atol=1e-9)
    facts = {fact.key: json.loads(fact.value) for fact in onnx.load(tmp_path / "model.onnx").metadata_props[3:]}
    assert facts["classes"] == ["LAD", "none"]
    assert facts["positive_class"] == "LAD"
    assert facts["thresholds"]["rule_in"] == tiers.thresholds_.rule_in.estimate
    there = np.random.default_rng(3).random(len(X)) < 0.2 + 0.5 * (y == "none")
    for method in ("intercept", "slope", "isotonic"):
        moved = recalibrate(fusion.fit(X, y == "none"), X, there, method=method, min_events=20, random_state=0)
        assert moved.method_ == method
        export_onnx(moved, tmp_path / "model.onnx")
        found = answer(tmp_path / "model.onnx", features=Z)
        np.testing.assert_allclose(found, moved.predict_proba(Z), rtol=0, atol=1e-9)
        assert np.abs(found - fusion.predict_proba(Z)).max() > 0.01


def test_a_pipeline_is_exported_from_its_features_on(tmp_path):
    X, y = make_table(200, True, 0)
    table = pd.DataFrame(X, columns=list("abcd"))
    model = make_pipeline(SimpleImputer(), "passthrough", LogisticRegression()).fit(table, y)
    export_onnx(model, tmp_path / "model.onnx")
    file = onnx.load(tmp_path / "model.onnx")
    facts = {fact.key: fact.value for fact in file.metadata_props}
    assert json.loads(facts["features"]) == list("abcd")
    assert list(json.loads(facts["steps_before"])["features"][0]) == ["SimpleImputer"]
    assert "research use" in facts["use"]
    filled = model[:1].transform(table).astype(np.float32)
    np.testing.assert_allclose(
        answer(tmp_path / "model.onnx", features=filled), model.predict_proba(table), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("model", "wrong"), [(LogisticRegression(), np.nan), (make_forest(), np.inf), (make_forest(), -np.inf)]
)
def test_what_scikit_learn_refuses_is_not_answered(model, wrong, tmp_path):
    X, y = make_table(100, False, 0)
    export_onnx(model.fit(X, y), tmp_path / "model.onnx")
    X[3, 2] = wrong
    found = answer(tmp_path / "model.onnx", features=X)
    assert np.isnan(found[3]).all()
    assert np.isfinite(np.delete(found, 3, axis=0)).all()


def test_net_and_forest_fused_have_two_inputs(tmp_path):
    pytest.importorskip("onnxscript")
    ecgs = make_omi_ecgs(n_patients=10, prevalence=0.5, random_state=0)
    features = NeuroKitFeatures(sampling_rate=500, include=("intervals",), memory=str(tmp_path / "memory"))
    net, forest = make_net_pipeline(500, **TINY), make_pipeline(features, make_forest())
    # Each fold of the calibration has features of its own, all alike.
    parts = [("net", net), ("forest", CalibratedClassifierCV(forest, cv=2))]
    model = FusionClassifier(parts, cv=2, random_state=0).fit(ecgs.X, ecgs.y)
    export_onnx(model, tmp_path / "model.onnx")
    table = features.fit(ecgs.X).transform(ecgs.X)
    given = {"beat": model.estimators_[0][:2].transform(ecgs.X), "features": np.asarray(table)}
    found = answer(tmp_path / "model.onnx", **{name: X.astype(np.float32) for name, X in given.items()})
    np.testing.assert_allclose(found, model.predict_proba(ecgs.X), rtol=0, atol=1e-5)
    facts = {fact.key: fact.value for fact in onnx.load(tmp_path / "model.onnx").metadata_props}
    before = json.loads(facts["steps_before"])
    assert [next(iter(step)) for step in before["beat"]] == ["ECGFilter", "MedianBeat"]
    assert before["features"][0]["NeuroKitFeatures"]["include"] == ["intervals"]
    assert json.loads(facts["features"]) == features.get_feature_names_out().tolist()
    # A network has a decision function, which scikit-learn calibrates, and the file only its probabilities.
    calibrated = CalibratedClassifierCV(FrozenEstimator(model.estimators_[0])).fit(ecgs.X, ecgs.y)
    with pytest.raises(TypeError, match="cannot write ECGSmartNetClassifier inside CalibratedClassifierCV"):
        export_onnx(calibrated, tmp_path / "other.onnx")
    content = (tmp_path / "model.onnx").read_bytes()
    for path in (Path(omi_estimators.__file__).parent, Path(sys.prefix), Path.home(), tmp_path):
        assert str(path).encode() not in content


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LinearDiscriminantAnalysis(), "cannot write LinearDiscriminantAnalysis.*writes the networks.*RandomForest"),
        (CalibratedClassifierCV(LinearDiscriminantAnalysis()), "cannot write LinearDiscriminantAnalysis"),
        (CalibratedClassifierCV(LogisticRegression(), method="temperature"), "method='temperature'"),
        (GradientBoostingClassifier(init=make_forest(), n_estimators=2), "init of its own"),
        (HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]), "categorical features"),
        (
            FusionClassifier([("a", make_forest())], DecisionTreeClassifier(), random_state=0),
            "TreeClassifier as",
        ),
        (CalibratedClassifierCV(make_pipeline(StandardScaler(), make_forest())), "read different features"),
    ],
)
def test_what_cannot_be_exported_is_named(model, message, tmp_path):
    X, y = make_table(100, False, 0)
    X[:, 0] = np.abs(X[:, 0].round())
    model.fit(X, y == "none")
    with pytest.raises(TypeError, match=message):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_several_outputs_and_unfitted_models_are_refused(tmp_path):
    X, y = make_table(60, False, 0)
    with pytest.raises(TypeError, match="of 2 outputs"):
        export_onnx(make_forest().fit(X, np.column_stack([y, y])), tmp_path / "model.onnx")
    for model in (make_forest(), CalibratedClassifierCV(make_forest()), make_pipeline(StandardScaler(), make_forest())):
        with pytest.raises(NotFittedError):
            export_onnx(model, tmp_path / "model.onnx")
    with pytest.raises(TypeError, match="int8_beats are for a network alone; got RandomForestClassifier"):
        export_onnx(make_forest().fit(X, y), tmp_path / "model.onnx", int8_beats=np.ones((3, 12, 60)))


def test_a_file_that_answers_otherwise_is_not_written(tmp_path, monkeypatch):
    X, y = make_table(60, False, 0)
    model = make_forest().fit(X, y)
    monkeypatch.setattr(type(model), "predict_proba", lambda self, X: np.tile([1.0, 0.0, 0.0], (len(X), 1)))
    with pytest.raises(RuntimeError, match="differ from the model's"):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
