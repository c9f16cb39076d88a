"""Both pipelines under scikit-learn's own tools."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    cross_val_predict,
    cross_validate,
)

from omi_estimators import ECGSmartNetClassifier, make_forest_pipeline, make_fusion, make_net_pipeline
from omi_estimators.classifiers import _training
from omi_estimators.classifiers._data import split_patients
from omi_estimators.features import GROUPS

# Some of these tests fit without patients, and the warning has its own test.
pytestmark = pytest.mark.filterwarnings("ignore:early_stopping=True without groups")

TINY = {
    "width": 4,
    "n_members": 1,
    "blocks": (1, 1),
    "early_stopping": True,
    "max_epochs": 2,
    "lr": 1e-2,
    "n_threads": 1,
    "random_state": 0,
}


@pytest.fixture
def ecgs(make_ecg):
    """Return X, y, groups: 24 three-second records of 16 patients, ST raised in V2 and V3 for class 1."""
    X = make_ecg(n_records=24, duration=4, heart_rate=80)
    y = np.arange(24) % 2
    X[y == 1, 7:9] *= 1.5
    return X, y, np.arange(24) // 2 * 2 // 3


@pytest.fixture(params=["net", "random_forest", "extra_trees"])
def pipeline(request, tmp_path):
    if request.param == "net":
        return make_net_pipeline(500, memory=str(tmp_path), **TINY)
    return make_forest_pipeline(500, trees=request.param, memory=str(tmp_path), n_estimators=10, random_state=0)


@pytest.fixture
def fit_params(pipeline, ecgs):
    return {"net__groups": ecgs[2]} if "net" in pipeline.named_steps else {}


def test_steps_are_the_documented_ones():
    assert list(make_net_pipeline(500).named_steps) == ["filter", "beat", "scale", "net"]
    assert list(make_forest_pipeline(500).named_steps) == ["features", "forest"]
    assert make_net_pipeline(sampling_rate=250)["beat"].sampling_rate == 250


def test_trees_are_those_asked_for_with_the_same_defaults():
    forest, trees = make_forest_pipeline(500), make_forest_pipeline(500, trees="extra_trees", n_estimators=20)
    assert (type(forest["forest"]), type(trees["forest"])) == (RandomForestClassifier, ExtraTreesClassifier)
    assert (trees["forest"].n_estimators, trees["forest"].min_samples_leaf) == (20, 2)
    assert trees["features"].include == forest["features"].include
    fusion = make_fusion(500, forest_params={"trees": "extra_trees"}, random_state=0)
    assert isinstance(fusion.get_params()["forest__forest"], ExtraTreesClassifier)
    with pytest.raises(ValueError, match="trees must be 'random_forest' or 'extra_trees'; got 'oak'"):
        make_forest_pipeline(500, trees="oak")


@pytest.mark.parametrize("make", [make_net_pipeline, make_forest_pipeline, make_fusion])
def test_the_sampling_rate_has_no_default(make):
    assert inspect.signature(make).parameters["sampling_rate"].default is inspect.Parameter.empty
    # Calls from before go on for a while, and are told each time.
    with pytest.warns(FutureWarning, match="needs the sampling_rate of the data.* 500 Hz is taken"):
        make()


def test_fit_and_predict(pipeline, ecgs, fit_params):
    X, y, _ = ecgs
    probabilities = pipeline.fit(X, y, **fit_params).predict_proba(X)
    assert probabilities.shape == (24, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert "Pipeline" in pipeline._repr_html_()


def test_a_single_record_says_how_to_give_it(pipeline, ecgs):
    X, y, _ = ecgs
    pipeline.fit(X, y)
    with pytest.raises(ValueError, match=r"shape \(12, 2000\), .* a single record as X\[np.newaxis\]"):
        pipeline.predict_proba(X[0])
    assert pipeline.predict_proba(X[:1]).shape == (1, 2)


def test_clone_and_pickle(pipeline, ecgs):
    X, y, _ = ecgs
    fitted = pipeline.fit(X, y)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict_proba(X), fitted.predict_proba(X))
    again = clone(fitted).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_grid_search(pipeline, ecgs, fit_params):
    X, y, groups = ecgs
    grid = {"net__width": [2, 4]} if "net" in pipeline.named_steps else {"forest__max_features": ["sqrt", "log2"]}
    search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=StratifiedGroupKFold(2), error_score="raise")
    search.fit(X, y, groups=groups, **fit_params)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.predict(X).shape == (24,)


def test_cross_validate_with_groups(pipeline, ecgs, fit_params):
    X, y, groups = ecgs
    scores = cross_validate(
        pipeline,
        X,
        y,
        groups=groups,
        params=fit_params,
        cv=StratifiedGroupKFold(2),
        scoring="roc_auc",
        error_score="raise",
    )
    assert np.isfinite(scores["test_score"]).all()


def test_groups_flow_by_metadata_routing(pipeline, ecgs):
    X, y, groups = ecgs
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_validate(
            pipeline, X, y, params={"groups": groups}, cv=StratifiedGroupKFold(2), error_score="raise"
        )
        assert len(scores["test_score"]) == 2
        if "net" in pipeline.named_steps:
            # Proof that they arrive: with one patient only, the inner split has nothing to put aside.
            with pytest.raises(ValueError, match="two patients"):
                pipeline.fit(X, y, groups=np.zeros(24))


@pytest.mark.parametrize("routing", [True, False])
def test_nested_cross_validation_keeps_patients_together_on_every_level(ecgs, tmp_path, monkeypatch, routing):
    (X, y, _), groups = ecgs, np.arange(24) // 2
    inner_splits = []

    def watch(y_inner, groups_inner, *args):
        train, valid = split_patients(y_inner, groups_inner, *args)
        inner_splits.append((set(groups_inner[train].tolist()), set(groups_inner[valid].tolist()), len(y_inner)))
        return train, valid

    monkeypatch.setattr(_training, "split_patients", watch)
    fits, fit = [], ECGSmartNetClassifier.fit

    def fit_watched(self, X, y, *, sample_weight=None, groups=None):
        fits.append(set(groups.tolist()))
        return fit(self, X, y, sample_weight=sample_weight, groups=groups)

    monkeypatch.setattr(ECGSmartNetClassifier, "fit", fit_watched)
    with sklearn.config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            make_net_pipeline(500, memory=str(tmp_path), **TINY),
            {"net__width": [2, 4]},
            cv=StratifiedGroupKFold(2),
            error_score="raise",
        )
        scores = cross_validate(
            search,
            X,
            y,
            groups=None if routing else groups,
            params={"groups": groups} if routing else {"groups": groups, "net__groups": groups},
            cv=StratifiedGroupKFold(2),
            return_indices=True,
            error_score="raise",
        )
    folds = list(zip(scores["indices"]["train"], scores["indices"]["test"], strict=True))
    assert all(not set(groups[train]) & set(groups[test]) for train, test in folds)
    # Two candidates on two inner folds and the refit, in each outer fold; the first two share no patient.
    assert len(fits) == len(inner_splits) == 10
    for start, (train, _) in zip((0, 5), folds, strict=True):
        first, second, *_, refit = fits[start : start + 5]
        assert refit == set(groups[train])
        assert not first & second
    assert all(not train & valid and len(train | valid) < n_records for train, valid, n_records in inner_splits)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_calibration(pipeline, ecgs, method):
    X, y, groups = ecgs
    with sklearn.config_context(enable_metadata_routing=True):
        calibrated = CalibratedClassifierCV(pipeline, method=method, cv=StratifiedGroupKFold(2))
        probabilities = calibrated.fit(X, y, groups=groups).predict_proba(X)
    assert probabilities.shape == (24, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_calibration_of_a_fitted_pipeline(pipeline, ecgs):
    X, y, _ = ecgs
    calibrated = CalibratedClassifierCV(FrozenEstimator(pipeline.fit(X, y)), method="sigmoid").fit(X, y)
    assert calibrated.predict_proba(X).shape == (24, 2)


def test_n_jobs_changes_nothing(pipeline, ecgs, fit_params):
    X, y, groups = ecgs
    one, two = (
        cross_val_predict(
            pipeline,
            X,
            y,
            groups=groups,
            params=fit_params,
            cv=StratifiedGroupKFold(2),
            method="predict_proba",
            n_jobs=n_jobs,
        )
        for n_jobs in (1, 2)
    )
    np.testing.assert_allclose(one, two, atol=1e-6, rtol=0)


def test_set_output_reaches_the_whole_pipeline(pipeline, ecgs):
    X, y, _ = ecgs
    assert pipeline.set_output(transform="pandas").fit(X, y).predict_proba(X).shape == (24, 2)


def test_the_forest_does_not_judge_by_how_well_a_record_was_taken():
    include = make_forest_pipeline(500)[0].include
    assert set(GROUPS) - set(include) == {"quality"}


def test_nothing_is_a_value_error(ecgs):
    X, y, _ = ecgs
    forest = make_forest_pipeline(500, n_estimators=2, random_state=0).fit(X, y)
    for method in (forest.predict, forest.predict_proba, forest.judge):
        with pytest.raises(ValueError, match=r"X must hold records, .* got NoneType"):
            method(None)
