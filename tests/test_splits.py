"""Out-of-fold predictions: labels, weights and patients as given, folds kept, and which records could be judged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from omi_estimators import RiskTierClassifier
from omi_estimators.fusion import FusionClassifier
from omi_estimators.preprocessing import Judgement, Usable
from omi_estimators.splits import fit_and_judge, make_splits, predict_out_of_fold


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    groups = np.arange(120) // 2
    y = (groups % 3 == 0).astype(int)
    return rng.normal(size=(120, 2)) + y[:, np.newaxis], y, groups


class Taker(ClassifierMixin, BaseEstimator):
    """Remembers what its fits were given, and cannot judge records below -1."""

    __metadata_request__fit = {"groups": True}  # noqa: RUF012
    seen: list = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None, groups=None):
        self.seen.append((X, y, sample_weight, groups))
        # Of any order, as long as columns follow.
        self.classes_ = np.unique(y)[::-1]
        return self

    def predict_proba(self, X):
        return np.column_stack([X[:, 0], 1 - X[:, 0]])

    def judge(self, X):
        bad = np.where(X[:, 0] < -1, "below", "")
        return Judgement(self.predict_proba(X), Usable.from_reasons(bad.tolist()))


@pytest.fixture(autouse=True)
def forget():
    Taker.seen.clear()


def test_as_by_scikit_learn(data):
    X, y, groups = data
    splits = make_splits(X, y, groups=groups, random_state=0)
    expected = cross_val_predict(LogisticRegression(), X, y, cv=splits, method="predict_proba")
    for n_jobs in (None, 2):
        found = predict_out_of_fold(LogisticRegression(), X, y, groups, splits, n_jobs=n_jobs)
        np.testing.assert_array_equal(found.prob, expected)
        assert found.usable.mask.all()
        for number, (_, test) in enumerate(splits):
            assert (found.fold[test] == number).all()


def test_workers_have_the_callers_settings(data):
    X, y, groups = data
    splits = make_splits(X, y, groups=groups, cv=2, random_state=0)
    frame = pd.DataFrame(X, columns=["a", "b"])
    with sklearn.config_context(transform_output="pandas"):
        model = make_pipeline(StandardScaler(), ByName())
        found = predict_out_of_fold(model, frame, y, groups, splits, n_jobs=2)
    assert found.prob.shape == (120, 2)


class ByName(LogisticRegression):
    """Takes tables only."""

    def fit(self, X, y):
        return super().fit(X[["a", "b"]], y)


def test_patients_and_weights_of_each_fold(data):
    X, y, groups = data
    weight = np.arange(1.0, 121)
    splits = make_splits(X, y, groups=groups, cv=3, random_state=0)
    words = np.array(["no", "omi"])[y]
    found = predict_out_of_fold(Taker(), X, words, groups, splits, sample_weight=weight)
    for (train, _), (X_seen, y_seen, weight_seen, groups_seen) in zip(splits, Taker.seen, strict=True):
        np.testing.assert_array_equal(X_seen, X[train])
        assert y_seen.tolist() == words[train].tolist()
        np.testing.assert_array_equal(weight_seen, weight[train])
        np.testing.assert_array_equal(groups_seen, groups[train])
    # Columns in sorted order of the classes, whatever that of the classifier.
    np.testing.assert_array_equal(found.prob[:, 1], X[:, 0])
    np.testing.assert_array_equal(found.usable.mask, X[:, 0] >= -1)
    assert set(found.usable.reasons[~found.usable.mask]) == {"below"}


def test_with_routing_requests_decide_about_weights(data):
    X, y, groups = data
    weight, splits = np.ones(120), make_splits(X, y, cv=2, random_state=0)
    with sklearn.config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            predict_out_of_fold(Taker(), X, y, groups, splits, sample_weight=weight)
        for wanted in (False, True):
            Taker.seen.clear()
            asking = Taker().set_fit_request(sample_weight=wanted)
            predict_out_of_fold(asking, X, y, groups, splits, sample_weight=weight)
            assert all((seen[2] is not None) == wanted for seen in Taker.seen)


def test_without_routing_everything_that_takes_weights_gets_them(data):
    X, y, _ = data
    splits = make_splits(X, y, cv=3, random_state=0)
    weight = np.random.default_rng(1).integers(1, 4, size=120)
    copies = np.repeat(np.arange(120), weight)
    position = np.cumsum(weight)
    both = [
        tuple(np.concatenate([np.arange(position[i] - weight[i], position[i]) for i in side]) for side in split)
        for split in splits
    ]
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10))
    for estimator in (model, CalibratedClassifierCV(model, cv=[(np.arange(30), np.arange(30, 50))])):
        found = predict_out_of_fold(estimator, X, y, None, splits, sample_weight=weight.astype(float))
        if estimator is model:
            repeated = predict_out_of_fold(estimator, X[copies], y[copies], None, both)
            np.testing.assert_allclose(found.prob[copies], repeated.prob, rtol=1e-6)
    assert not hasattr(model[-1], "_metadata_request")
    with pytest.warns(UserWarning, match="KNeighborsClassifier takes no sample_weight"):
        predict_out_of_fold(KNeighborsClassifier(), X, y, None, splits, sample_weight=weight.astype(float))


def test_a_frozen_classifier_stays_as_it_is(data):
    X, y, _ = data
    fitted = LogisticRegression().fit(X, y)
    splits = make_splits(X, y, cv=2, random_state=0)
    with pytest.warns(UserWarning, match="takes no sample_weight"):
        found = predict_out_of_fold(FrozenEstimator(fitted), X, y, None, splits, sample_weight=np.ones(120))
    np.testing.assert_array_equal(found.prob, fitted.predict_proba(X))
    assert not hasattr(fitted, "_metadata_request")


class Forgets(LogisticRegression):
    """Leaves out a class wherever the first record of a fit is the second of all."""

    def fit(self, X, y):
        kept = y != y.max() if X[0, 0] == 1 else np.ones(len(y), dtype=bool)
        return super().fit(X[kept], y[kept])


def test_a_clone_that_lacks_a_class_names_its_fold():
    y = np.arange(30) % 3
    X = np.arange(30.0)[:, np.newaxis]
    splits = [(np.arange(15, 30), np.arange(1, 15)), (np.arange(1, 15), np.arange(15, 30))]
    with pytest.raises(ValueError, match=r"In fold 2 of 2 Forgets answers for the classes \[0, 1\], but y holds"):
        predict_out_of_fold(Forgets(), X, y, None, splits)


@pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning")
def test_records_that_no_fold_tests_are_not_judged(data):
    X, y, groups = data
    split = np.flatnonzero((groups % 10 >= 4) & (groups % 10 < 9)), np.flatnonzero(groups % 10 < 4)
    found = predict_out_of_fold(LogisticRegression(), X, y, groups, [split])
    tested = groups % 10 < 4
    np.testing.assert_array_equal(found.usable.mask, tested)
    np.testing.assert_array_equal(np.isnan(found.prob[:, 0]), ~tested)
    np.testing.assert_array_equal(found.fold, np.where(tested, 0, -1))
    with pytest.warns(UserWarning, match="left out of the choice of thresholds: .*no fold tests it"):
        model = RiskTierClassifier(LogisticRegression(), cv=[split], n_resamples=10).fit(X, y, groups=groups)
    np.testing.assert_array_equal(model.usable_, tested)


def test_one_fold_alone(data):
    X, y, _ = data
    found = fit_and_judge(LogisticRegression(), X[:80], y[:80], X[80:], {})
    np.testing.assert_array_equal(found.judgement.prob, LogisticRegression().fit(X[:80], y[:80]).predict_proba(X[80:]))
    assert found.classes.tolist() == [0, 1]
    assert found.fit_time > 0
    assert found.predict_time > 0


@pytest.mark.parametrize(("labels", "weight"), [((0, 1), 1), ((1, 2), 1), ((-1, 1), 1), (("no", "omi"), "omi")])
def test_class_weights_by_label(labels, weight):
    rng = np.random.default_rng(0)
    positive = (rng.random(400) < 0.2).astype(int)
    X, y = rng.normal(size=(400, 2)) + 1.2 * positive[:, np.newaxis], np.array(labels)[positive]
    model = RiskTierClassifier(LogisticRegression(class_weight={weight: 20}), random_state=0, n_resamples=50).fit(X, y)
    final = model.estimator_.predict_proba(X)[:, 1]
    assert model.out_of_fold_.mean() == pytest.approx(final.mean(), abs=0.01)
    FusionClassifier([("line", LogisticRegression(class_weight={weight: 20}))], random_state=0).fit(X, y)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_missing_patients(missing):
    groups = np.array(["a", "b", missing, "c"], dtype=object)
    with pytest.raises(ValueError, match="groups has missing patients, the first for record 2"):
        make_splits(np.zeros(4), [0, 1, 0, 1], groups=groups, cv=2)


@pytest.mark.parametrize(
    "weight", [np.full(120, -1.0), np.full(120, np.nan), np.full(120, 1e307), np.zeros(120), [1.0]]
)
@pytest.mark.parametrize("make", [RiskTierClassifier, lambda line: FusionClassifier([("line", line)])])
def test_weights_that_are_none(data, weight, make):
    X, y, _ = data
    with pytest.raises(ValueError, match="sample_weight"):
        make(LogisticRegression()).fit(X, y, sample_weight=weight)
