"""Fusion: no patient leaks into the inner folds, log-odds are weighted, and scikit-learn's tools take it."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from omi_estimators import make_forest_pipeline, make_fusion, make_net_pipeline
from omi_estimators.fusion import FusionClassifier, log_odds


def make_parts():
    return [("line", LogisticRegression()), ("forest", RandomForestClassifier(5, random_state=0))]


# With a bootstrap of its own no forest takes a weight of two for two copies, and no fusion of it can.
SAME_WEIGHTS = [("line", LogisticRegression()), ("trees", RandomForestClassifier(5, bootstrap=False, random_state=0))]


@parametrize_with_checks([FusionClassifier(SAME_WEIGHTS), FusionClassifier(SAME_WEIGHTS[:1], cv=3)])
@pytest.mark.filterwarnings("ignore:Only . records have class")
@pytest.mark.filterwarnings("ignore:Log-odds out of fold")
# scikit-learn's check casts NaN itself.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_scikit_learn_contract(estimator, check):
    check(estimator)


class Spy(ClassifierMixin, BaseEstimator):
    """A classifier that asks for groups and remembers who it was fitted on and who it was asked about."""

    __metadata_request__fit = {"groups": True}  # noqa: RUF012
    fits: list = []  # noqa: RUF012
    asked: list = []  # noqa: RUF012

    def fit(self, X, y, groups=None):
        self.fits.append((set(X[:, 0]), groups))
        self.classes_ = np.unique(y)
        self.patients_ = set(X[:, 0])
        return self

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X):
        self.asked.append((self.patients_, set(X[:, 0])))
        prob = expit(np.asarray(X[:, 1], dtype=float))
        return np.column_stack([1 - prob, prob])


@pytest.fixture(autouse=True)
def forget():
    Spy.fits.clear()
    Spy.asked.clear()


@pytest.fixture
def data():
    """Return X (240, 3) whose first column is the patient, y, groups: three records each."""
    rng = np.random.default_rng(0)
    groups = np.arange(240) // 3
    y = (groups % 3 == 0).astype(int)
    signal = rng.normal(size=(240, 2)) + 1.5 * y[:, np.newaxis]
    return np.column_stack([groups, signal]), y, groups


def test_no_patient_is_on_both_sides_of_an_inner_fold(data):
    X, y, groups = data
    FusionClassifier([("spy", Spy()), ("other", Spy())], cv=4, random_state=0).fit(X, y, groups=groups)
    assert len(Spy.fits) == 2 * (4 + 1)
    assert len(Spy.asked) == 2 * 4
    assert all(not fitted & asked for fitted, asked in Spy.asked)
    # Patients reach the classifiers too, for their own inner splits.
    assert all(given is not None and set(given) == seen for seen, given in Spy.fits)
    assert not sklearn.get_config()["enable_metadata_routing"]


def test_a_split_that_tears_patients_apart_is_refused(data):
    X, y, groups = data
    torn = [(np.arange(1, 240), np.arange(1))]
    with pytest.raises(ValueError, match="patients in training and test"):
        FusionClassifier([("spy", Spy())], cv=torn).fit(X, y, groups=groups)
    assert not Spy.fits


def test_by_hand(data):
    X, y, groups = data
    parts = make_parts()
    fusion = FusionClassifier(parts, random_state=0).fit(X[:, 1:], y, groups=groups)
    given = [
        cross_val_predict(clone(part), X[:, 1:], y, cv=fusion.splits_, method="predict_proba")[:, 1]
        for _, part in parts
    ]
    line = LogisticRegression().fit(log_odds(np.column_stack(given)), y)
    np.testing.assert_allclose(fusion.final_estimator_[-1].coef_, line.coef_)
    fitted = [clone(part).fit(X[:, 1:], y).predict_proba(X[:, 1:])[:, 1] for _, part in parts]
    expected = line.predict_proba(log_odds(np.column_stack(fitted)))
    np.testing.assert_allclose(fusion.predict_proba(X[:, 1:]), expected)
    np.testing.assert_allclose(expit(fusion.decision_function(X[:, 1:])), expected[:, 1])
    np.testing.assert_array_equal(fusion.predict(X[:, 1:]), (expected[:, 1] > 0.5).astype(int))
    assert list(fusion.named_estimators_) == ["line", "forest"]


def test_one_classifier_is_calibrated(data):
    # Log-odds twice too large and shifted: exactly what logistic regression on them mends.
    X, y, groups = data
    true = 1.2 * X[:, 1] - 1
    rng = np.random.default_rng(0)
    y = (rng.random(240) < expit(true)).astype(int)
    extreme = np.column_stack([groups, 2 * true + 1])
    fusion = FusionClassifier([("spy", Spy())], LogisticRegression(C=np.inf), cv=3).fit(extreme, y)
    (slope,), intercept = fusion.final_estimator_[-1].coef_[0], fusion.final_estimator_[-1].intercept_[0]
    assert slope == pytest.approx(0.5, abs=0.12)
    assert intercept == pytest.approx(-0.5, abs=0.35)


def test_more_classes_and_words(data):
    X, _, groups = data
    culprit = np.array(["LAD", "LCX", "RCA"])[groups % 3]
    X = np.random.default_rng(1).normal(size=(240, 2)) + 2 * (groups % 3)[:, np.newaxis]
    fusion = FusionClassifier([*make_parts(), ("bayes", GaussianNB())], cv=3, random_state=0).fit(X, culprit)
    prob = fusion.predict_proba(X)
    assert prob.shape == (240, 3)
    np.testing.assert_allclose(prob.sum(axis=1), 1)
    assert fusion.predict(X).dtype == culprit.dtype
    assert fusion.score(X, culprit) > 0.6


def test_few_patients_of_a_class_take_fewer_folds(data):
    X, _, groups = data
    rare = (groups < 3).astype(int)
    with pytest.warns(UserWarning, match="Only 3 patients have class 1: 3 folds instead of 5"):
        fusion = FusionClassifier([("spy", Spy())]).fit(X, rare, groups=groups)
    assert len(fusion.splits_) == 3
    with pytest.raises(ValueError, match="only 1 patients have class 1"):
        FusionClassifier([("spy", Spy())]).fit(X, (groups < 1).astype(int), groups=groups)


def test_grid_search_reaches_the_parts(data):
    X, y, groups = data
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            FusionClassifier(make_parts(), cv=2, random_state=0),
            {"line__C": [0.1, 1.0], "forest": [GaussianNB()]},
            cv=StratifiedGroupKFold(2),
            scoring="roc_auc",
        ).fit(X[:, 1:], y, groups=groups)
    assert search.best_params_["line__C"] in (0.1, 1.0)
    assert search.best_score_ > 0.8


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("ensemble", [True, False])
def test_calibration_of_models_by_patient(data, method, ensemble):
    """No patient is both fitted on and calibrated with, in every form of scikit-learn's calibration."""
    X, y, groups = data
    folds = StratifiedGroupKFold(3)
    with sklearn.config_context(enable_metadata_routing=True):
        model = CalibratedClassifierCV(Spy(), method=method, cv=folds, ensemble=ensemble).fit(X, y, groups=groups)
        prefit = CalibratedClassifierCV(FrozenEstimator(Spy().fit(X[:120], y[:120])), method=method)
        prefit.fit(X[120:], y[120:])
    assert all(not fitted & asked for fitted, asked in Spy.asked)
    assert len(Spy.asked) >= 3 + 1
    for fitted in (model, prefit):
        assert fitted.predict_proba(X).shape == (240, 2)


def test_fusion_inside_calibration_and_pipeline(data):
    X, y, groups = data
    with sklearn.config_context(enable_metadata_routing=True):
        model = CalibratedClassifierCV(
            make_pipeline("passthrough", FusionClassifier([("spy", Spy())], cv=2)), cv=StratifiedGroupKFold(2)
        ).fit(X, y, groups=groups)
    assert all(not fitted & asked for fitted, asked in Spy.asked)
    assert len(Spy.fits) == 2 * 3
    assert model.score(X, y) > 0.7


@pytest.mark.parametrize(
    ("estimators", "error", "message"),
    [
        ([], ValueError, "list of"),
        ({"line": LogisticRegression()}, ValueError, "list of"),
        ([LogisticRegression()], ValueError, "list of"),
        ([("a", LogisticRegression()), ("a", GaussianNB())], ValueError, "must differ"),
        ([("svm", LinearSVC())], TypeError, "'svm' has no predict_proba"),
    ],
)
def test_bad_estimators_are_told(data, estimators, error, message):
    X, y, _ = data
    with pytest.raises(error, match=message):
        FusionClassifier(estimators).fit(X, y)


def test_bad_records_are_told(data):
    X, y, groups = data
    for y_bad, groups_bad, message in (
        (y[1:], None, "one label for each of the 240 records"),
        (np.zeros(240), None, "at least two classes; got 1 class"),
        (y, groups[1:], "one patient for each of the 240 records"),
        (y, np.where(groups, groups, np.nan), "missing patients"),
    ):
        with pytest.raises(ValueError, match=message):
            FusionClassifier([("spy", Spy())]).fit(X, y_bad, groups=groups_bad)


def test_without_a_decision_function_there_is_none():
    assert hasattr(FusionClassifier(make_parts()), "decision_function")
    assert not hasattr(FusionClassifier(make_parts(), GaussianNB()), "decision_function")
    assert np.isfinite(log_odds([0.0, 1.0])).all()
    assert log_odds(0.25) == pytest.approx(logit(0.25))


NET = {"width": 2, "blocks": (1,), "max_epochs": 1, "n_threads": 1}


@pytest.mark.parametrize("voting", [False, True])
def test_make_fusion_from_raw_ecgs(make_ecg, voting):
    X = make_ecg(n_records=16, duration=4).astype(np.float32)
    y, groups = np.arange(16) // 2 % 2, np.arange(16) // 2
    fusion = make_fusion(
        500, voting=voting, cv=2, net_params=NET, forest_params={"n_estimators": 3, "n_jobs": 1}, random_state=0
    )
    assert isinstance(fusion, VotingClassifier if voting else FusionClassifier)
    assert fusion.get_params()["net__net__width"] == 2
    assert fusion.get_params()["forest__forest__n_estimators"] == 3
    if voting:
        with sklearn.config_context(enable_metadata_routing=True):
            fusion.fit(X, y, groups=groups)
    else:
        fusion.fit(X, y, groups=groups)
        again = clone(fusion).fit(X, y, groups=groups)
        np.testing.assert_allclose(again.predict_proba(X), fusion.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(fusion.predict_proba(X).sum(axis=1), 1)


@pytest.mark.filterwarnings("ignore:Only . patients have class")
@pytest.mark.parametrize("model", ["net", "forest", "fusion"])
@pytest.mark.parametrize("ensemble", [True, False])
def test_all_three_models_are_calibrated_by_patient(make_ecg, model, ensemble):
    X = make_ecg(n_records=24, duration=4).astype(np.float32)
    y, groups = np.arange(24) // 2 % 2, np.arange(24) // 2
    makers = {
        "net": lambda: make_net_pipeline(500, **NET),
        "forest": lambda: make_forest_pipeline(500, n_estimators=3),
        "fusion": lambda: make_fusion(500, cv=2, net_params=NET, forest_params={"n_estimators": 3}),
    }
    with sklearn.config_context(enable_metadata_routing=True):
        if model == "forest" and not ensemble:
            # scikit-learn hands groups to the folds only by way of an estimator that asks for them.
            calibrated = FusionClassifier([(model, makers[model]())], cv=2).fit(X, y, groups=groups)
        else:
            calibrated = CalibratedClassifierCV(makers[model](), cv=StratifiedGroupKFold(2), ensemble=ensemble)
            calibrated.fit(X, y, groups=groups)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)
