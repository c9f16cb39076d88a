"""Fusion: no patient leaks into the inner folds, log-odds are weighted, and scikit-learn's tools take it."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit, StratifiedGroupKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from omi_estimators import make_forest_pipeline, make_fusion, make_net_pipeline
from omi_estimators.fusion import FusionClassifier, log_odds
from omi_estimators.metrics import calibration_slope_intercept
from omi_estimators.preprocessing import Judgement, UnusableRecordWarning, Usable


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
    # A forest's 0 has a logarithm one below that of its least probability.
    least = given[1][given[1] > 0].min()

    def by_hand(prob):
        sides = [np.where(side == 0, least / np.e, side) for side in (prob, 1 - prob)]
        return np.log(sides[0]) - np.log(sides[1])

    line = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(by_hand(np.column_stack(given)), y)
    np.testing.assert_allclose(fusion.final_estimator_[-1].coef_, line.coef_, rtol=1e-5)
    fitted = [clone(part).fit(X[:, 1:], y).predict_proba(X[:, 1:])[:, 1] for _, part in parts]
    expected = line.predict_proba(by_hand(np.column_stack(fitted)))
    np.testing.assert_allclose(fusion.predict_proba(X[:, 1:]), expected, rtol=1e-5)
    np.testing.assert_allclose(expit(fusion.decision_function(X[:, 1:])), expected[:, 1], rtol=1e-5)
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


@pytest.mark.filterwarnings("ignore:Log-odds out of fold separate")
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


@pytest.mark.filterwarnings("ignore:Log-odds out of fold do not rise")
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


class Given(ClassifierMixin, BaseEstimator):
    """Says the number that it is given, and cannot judge what is negative."""

    def __init__(self, column=0):
        self.column = column

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.column_stack([1 - X[:, self.column], X[:, self.column]])

    def judge(self, X):
        bad = np.where(X[:, self.column] < 0, f"column {self.column}", "")
        return Judgement(np.clip(self.predict_proba(X), 0, 1), Usable.from_reasons(bad.tolist()))


class LogOdds(Given):
    """Says log-odds that it is given, with every digit on both sides."""

    def predict_proba(self, X):
        return expit(np.column_stack([-X[:, 0], X[:, 0]]))

    def judge(self, X):
        return Judgement(self.predict_proba(X), Usable.from_reasons([""] * len(X)))


@pytest.mark.parametrize(("n_records", "slope"), [(200, 3.0), (2000, 3.0), (20000, 0.3), (2000, 0.02)])
def test_calibration_is_exact(n_records, slope):
    """The slope is 1 and the intercept 0 on what it was learned from, and nothing changes its place."""
    rng = np.random.default_rng(0)
    z = rng.normal(-2.5, 0.9, size=n_records)
    y = (rng.random(n_records) < expit(z)).astype(int)
    fusion = FusionClassifier([("net", LogOdds())], random_state=0).fit(z[:, np.newaxis] / slope, y)
    out = fusion.predict_proba(z[:, np.newaxis] / slope)[:, 1]
    line = calibration_slope_intercept(y, out)
    assert line.slope == pytest.approx(1, abs=1e-6)
    assert line.intercept == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(rankdata(out), rankdata(z))


def test_the_ranking_of_one_model_never_changes():
    rng = np.random.default_rng(0)
    z = np.sort(rng.uniform(-700, 700, size=500))
    y = (rng.random(500) < expit(z / 100)).astype(int)
    fusion = FusionClassifier([("net", LogOdds())], random_state=0).fit(z[:, np.newaxis], y)
    assert (np.diff(fusion.decision_function(z[:, np.newaxis])) > 0).all()
    # Whatever is beyond what was seen, 0 and 1 among it.
    wider = np.array([-1e4, -708, -705, -1, 0, 1, 705, 708, 1e4])[:, np.newaxis]
    assert (np.diff(fusion.decision_function(wider)) > 0).all()


def test_zeros_of_a_forest_are_finite_and_below_all_others():
    rng = np.random.default_rng(0)
    p = rng.integers(0, 21, size=400) / 20
    y = (rng.random(400) < 0.1 + 0.8 * p).astype(int)
    fusion = FusionClassifier([("forest", Given())], random_state=0).fit(p[:, np.newaxis], y)
    values = np.r_[0, 1e-300, 1e-30, 0.001, 0.02, np.arange(1, 20) / 20, 0.98, 0.999, 1]
    scores = fusion.decision_function(values[:, np.newaxis])
    assert (np.diff(scores) > 0).all()
    # The zero is not so far off that the others would no longer matter: what it says is about what happened.
    assert expit(scores[0]) == pytest.approx(y[p == 0].mean(), abs=0.1)


def test_separated_classes_are_told():
    z = np.r_[np.linspace(-3, -1, 60), np.linspace(1, 3, 40)]
    y = (z > 0).astype(int)
    with pytest.warns(UserWarning, match="separate the classes: no slope is steep enough"):
        fusion = FusionClassifier([("net", LogOdds())], random_state=0).fit(z[:, np.newaxis], y)
    assert (np.diff(fusion.decision_function(z[:, np.newaxis])) > 0).all()
    # One record beyond the border, and there is a steepest slope.
    y[59], y[60] = 1, 0
    fusion.fit(z[:, np.newaxis], y)
    line = calibration_slope_intercept(y, fusion.predict_proba(z[:, np.newaxis])[:, 1])
    assert line.slope == pytest.approx(1, abs=1e-4)


def test_a_model_that_tells_nothing_keeps_its_order():
    rng = np.random.default_rng(0)
    z = np.sort(rng.normal(size=300))
    y = (rng.random(300) < expit(-2 * z - 1)).astype(int)
    with pytest.warns(UserWarning, match="do not rise with the class"):
        fusion = FusionClassifier([("net", LogOdds())], random_state=0).fit(z[:, np.newaxis], y)
    prob = fusion.predict_proba(z[:, np.newaxis])[:, 1]
    assert (np.diff(prob) > 0).all()
    np.testing.assert_allclose(prob, y.mean(), atol=1e-5)
    with pytest.warns(UserWarning, match="do not rise with the class"):
        constant = FusionClassifier([("prior", DummyClassifier())], random_state=0).fit(z[:, np.newaxis], y)
    np.testing.assert_allclose(constant.predict_proba(z[:3, np.newaxis])[:, 1], y.mean(), atol=1e-5)


@pytest.mark.parametrize("n_parts", [1, 2])
def test_weights_are_copies_and_none_is_absence(data, n_parts):
    X, y, _ = data
    weight = np.random.default_rng(0).integers(0, 4, size=240)
    sides = np.arange(240) % 4
    copies = np.repeat(np.arange(240), weight)
    parts = [("line", LogisticRegression(tol=1e-10)), ("bayes", GaussianNB())][:n_parts]

    def fold(side):
        return [(np.flatnonzero(side != number), np.flatnonzero(side == number)) for number in range(4)]

    weighted = FusionClassifier(parts, cv=fold(sides)).fit(X[:, 1:], y, sample_weight=weight)
    repeated = FusionClassifier(parts, cv=fold(sides[copies])).fit(X[copies, 1:], y[copies])
    np.testing.assert_allclose(weighted.predict_proba(X[:, 1:]), repeated.predict_proba(X[:, 1:]), rtol=1e-5)
    np.testing.assert_allclose(weighted.class_prior_, repeated.class_prior_)


def test_weights_by_routing(data):
    X, y, groups = data
    weight = np.random.default_rng(0).uniform(size=240)
    plain = FusionClassifier(make_parts()[:1], cv=3, random_state=0).fit(
        X[:, 1:], y, sample_weight=weight, groups=groups
    )
    with sklearn.config_context(enable_metadata_routing=True):
        asking = [("line", LogisticRegression().set_fit_request(sample_weight=True))]
        fusion = FusionClassifier(asking, cv=3, random_state=0)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            make_pipeline(fusion).fit(X[:, 1:], y, sample_weight=weight, groups=groups)
        fusion.set_fit_request(sample_weight=True)
        routed = make_pipeline(fusion).fit(X[:, 1:], y, sample_weight=weight, groups=groups)
    np.testing.assert_array_equal(routed.predict_proba(X[:, 1:]), plain.predict_proba(X[:, 1:]))
    without = FusionClassifier(make_parts()[:1], cv=3, random_state=0).fit(X[:, 1:], y, groups=groups)
    assert (routed.predict_proba(X[:, 1:]) != without.predict_proba(X[:, 1:])).all()


@pytest.mark.filterwarnings("ignore:LogOdds takes no sample_weight")
def test_a_final_estimator_of_the_callers_gets_weights_too(data):
    X, y, _ = data
    weight = np.where(y == 1, 5.0, 1.0)
    parts, final = [("net", LogOdds())], LogisticRegression(C=0.5)
    given = FusionClassifier(parts, final, random_state=0).fit(X[:, 1:], y, sample_weight=weight)
    line = LogisticRegression(C=0.5).fit(X[:, 1:2], y, sample_weight=weight)
    np.testing.assert_allclose(given.predict_proba(X[:, 1:]), line.predict_proba(X[:, 1:2]), rtol=1e-6)
    bayes = FusionClassifier(parts, GaussianNB(), random_state=0).fit(X[:, 1:], y, sample_weight=weight)
    assert bayes.predict_proba(X[:, 1:]).shape == (240, 2)


def test_records_that_one_part_cannot_judge():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.95, size=(300, 2))
    y = (rng.random(300) < p.mean(axis=1)).astype(int)
    fold = np.arange(300) % 3
    parts = [("a", Given()), ("b", Given(1))]
    bad = np.arange(0, 60)
    mixed = p.copy()
    mixed[bad[:30], 0], mixed[bad[30:], 1] = -1, -1
    kept = np.arange(60, 300)
    with pytest.warns(
        UnusableRecordWarning, match="60 of 300 records .* left out of the final regression: 0 .column 0"
    ):
        fusion = FusionClassifier(parts, cv=PredefinedSplit(fold)).fit(mixed, y)
    clean = FusionClassifier(parts, cv=PredefinedSplit(fold[kept])).fit(p[kept], y[kept])
    prob, usable = fusion.judge(mixed)
    np.testing.assert_array_equal(usable.mask, np.arange(300) >= 60)
    assert usable.reasons[[0, 30, 60]].tolist() == ["column 0", "column 1", ""]
    np.testing.assert_allclose(prob[kept], clean.predict_proba(p[kept]))
    np.testing.assert_array_equal(prob[bad], np.tile(fusion.class_prior_, (60, 1)))
    with pytest.warns(UnusableRecordWarning):
        assert (fusion.predict(mixed[bad]) == fusion.classes_[fusion.class_prior_.argmax()]).all()
    np.testing.assert_allclose(fusion.decision_function(mixed[bad]), logit(y.mean()))
    fusion.set_params(unusable="nan")
    with pytest.warns(UnusableRecordWarning):
        assert np.isnan(fusion.predict_proba(mixed[bad])).all()
    assert np.isnan(fusion.decision_function(mixed[bad])).all()
    with pytest.raises(ValueError, match="unusable must be 'prior' or 'nan'; got 'zero'"):
        fusion.set_params(unusable="zero").fit(p, y)
    mixed[y == 1] = -1
    with (
        pytest.warns(UnusableRecordWarning),
        pytest.raises(ValueError, match="No record of class 1 can be judged"),
    ):
        FusionClassifier(parts, cv=3, random_state=0).fit(mixed, y)


@pytest.mark.filterwarnings("ignore:Log-odds out of fold separate")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_no_bit_depends_on_the_company(n_classes):
    rng = np.random.default_rng(0)
    y = np.arange(120) % n_classes
    X = rng.normal(size=(120, 3)) + 0.5 * y[:, np.newaxis]
    parts = [(f"bayes{width}", GaussianNB(var_smoothing=10.0**-width)) for width in (0, 1, 9)]
    fusion = FusionClassifier(parts, random_state=0).fit(X, y)
    told = np.tile(np.hstack([part.predict_proba(X) for part in fusion.estimators_]), (9, 1))
    whole = fusion._fuse(told, "predict_proba")
    for n_records in (1, 2, 3, 7, 33, 500, 999):
        np.testing.assert_array_equal(fusion._fuse(told[:n_records], "predict_proba"), whole[:n_records])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_fusions_of_the_version_before_still_answer(n_classes):
    """They know probabilities of the second of two classes, cut at 1/1000, and no parameter `unusable`."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % n_classes
    X = rng.normal(size=(90, 2)) + y[:, np.newaxis]
    fusion = FusionClassifier(make_parts(), random_state=0).fit(X, y)
    told = [part.predict_proba(X) for part in fusion.estimators_]
    told = np.hstack([prob[:, 1:] if n_classes == 2 else prob for prob in told])
    old = make_pipeline(FunctionTransformer(log_odds), LogisticRegression(max_iter=1000)).fit(told, y)
    state = fusion.__getstate__() | {"final_estimator_": old}
    del state["unusable"]
    loaded = FusionClassifier([])
    loaded.__setstate__(state)
    np.testing.assert_allclose(loaded.predict_proba(X), old.predict_proba(told))
    np.testing.assert_allclose(loaded.decision_function(X), old.decision_function(told))
    assert "unusable" not in repr(loaded)
    assert np.isfinite(log_odds([0.0, 1.0])).all()
    assert log_odds(0.25) == pytest.approx(logit(0.25))


NET = {"width": 2, "n_members": 1, "blocks": (1,), "max_epochs": 1, "n_threads": 1}


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
# So few noisy beats teach nothing.
@pytest.mark.filterwarnings("ignore:Log-odds out of fold")
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
