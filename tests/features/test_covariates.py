"""Age and sex beside the features: by name, by metadata routing, never invented."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from omi_estimators.features import NeuroKitFeatures


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_columns_follow_the_features_as_they_came(make_ecg):
    X = make_ecg(n_records=3)
    known = np.array([[60, 1], [np.nan, 0], [45, np.nan]])
    features = NeuroKitFeatures(include="rhythm").set_output(transform="pandas")
    table = features.fit_transform(X, covariates=known)
    assert table.columns[-2:].tolist() == ["age", "sex"]
    np.testing.assert_array_equal(table[["age", "sex"]], known)
    assert features.covariate_names_ == ("age", "sex")
    assert NeuroKitFeatures().fit(X).covariate_names_ == ()


def test_named_columns_are_found_by_name(make_ecg):
    X = make_ecg(n_records=2)
    known = pd.DataFrame({"sex": [0, 1], "troponin": [12.0, np.nan]})
    features = NeuroKitFeatures(include="rhythm").fit(X, covariates=known)
    np.testing.assert_array_equal(features.transform(X, covariates=known[["troponin", "sex"]])[:, -2:], known)


def test_what_is_not_known_at_prediction_is_nan_and_said(make_ecg):
    X = make_ecg(n_records=2)
    features = NeuroKitFeatures(include="rhythm").fit(X, covariates=[[60, 1], [50, 0]])
    with pytest.warns(UserWarning, match=r"covariates \(age, sex\) were given to fit, but not now"):
        assert np.isnan(features.transform(X)[:, -2:]).all()


@pytest.mark.parametrize(
    ("covariates", "message"),
    [
        ([[60, 1]], "1 rows, but X has 2 records"),
        ([60, 50], r"must have shape \(n_records, 2\)"),
        ([["60", "male"], ["50", "female"]], "must be numbers"),
        ([[60, np.inf], [50, 0]], "infinite values in row 0"),
    ],
)
def test_bad_covariates_are_errors(make_ecg, covariates, message):
    with pytest.raises(ValueError, match=message):
        NeuroKitFeatures().fit(make_ecg(n_records=2), covariates=covariates)


def test_columns_that_do_not_match_fit_are_errors(make_ecg):
    X = make_ecg(n_records=2)
    known = pd.DataFrame({"age": [60, 50], "sex": [1, 0]})
    with pytest.raises(ValueError, match="'sex' was fitted too"):
        NeuroKitFeatures().fit(X, covariates=known).transform(X, covariates=known[["age"]])
    with pytest.raises(ValueError, match="were not given to fit"):
        NeuroKitFeatures().fit(X).transform(X, covariates=known)


@pytest.mark.usefixtures("routing")
def test_they_flow_through_cross_validation_by_themselves(make_ecg):
    X, y = make_ecg(n_records=12), np.tile([0, 1], 6)
    # Only age tells the classes apart, and parts them wholly.
    known = pd.DataFrame({"age": np.where(y == 1, 80.0, 40.0), "sex": 0.0})
    tree = DecisionTreeClassifier(min_impurity_decrease=0.4)
    pipeline = make_pipeline(NeuroKitFeatures(include="scores"), tree)
    result = cross_validate(pipeline, X, y, cv=3, params={"covariates": known}, return_estimator=True)
    assert result["test_score"].tolist() == [1, 1, 1]
    assert result["estimator"][0][0].covariate_names_ == ("age", "sex")
