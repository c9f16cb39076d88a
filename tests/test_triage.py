"""Risk tiers: thresholds by brute force, out of fold, with their uncertainty."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from omi_estimators import RiskTierClassifier
from omi_estimators.metrics import (
    FewEventsWarning,
    assign_tiers,
    threshold_at_ppv,
    threshold_at_sensitivity,
    tier_thresholds,
)
from omi_estimators.triage import tier_table

TIERS = ["rule-out", "low", "high", "rule-in"]


@parametrize_with_checks([RiskTierClassifier(LogisticRegression(), n_resamples=10)])
@pytest.mark.filterwarnings("ignore:Only . records have class")
@pytest.mark.filterwarnings("ignore:No threshold reaches")
@pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning")
# scikit-learn's check casts NaN itself.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture
def scores():
    """Return labels, scores with ties, and patients with several records."""
    rng = np.random.default_rng(0)
    groups = rng.integers(150, size=250)
    y = (rng.random(150) < 0.3)[groups].astype(int)
    return y, np.round(rng.normal(size=250) + 1.5 * y, 1), groups


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    groups = np.arange(300) // 2
    y = (groups % 4 == 0).astype(int)
    return rng.normal(size=(300, 2)) + 1.3 * y[:, np.newaxis], y, groups


def f1(y, positive):
    return 2 * (y * positive).sum() / (y.sum() + positive.sum())


@pytest.mark.parametrize(("sensitivity", "ppv"), [(0.9, 0.85), (1.0, 0.7), (0.75, 0.9), (0.5, 0.5)])
def test_thresholds_by_brute_force(scores, sensitivity, ppv):
    y, score, groups = scores
    found = tier_thresholds(y, score, sensitivity=sensitivity, ppv=ppv, groups=groups, random_state=0)
    cuts = np.unique(score)
    highest = max(cut for cut in cuts if y[score >= cut].sum() / y.sum() >= sensitivity)
    reaching = [cut for cut in cuts if y[score >= cut].mean() >= ppv]
    if min(reaching) >= highest:
        assert found.rule_out.estimate == highest == threshold_at_sensitivity(y, score, sensitivity)
        assert found.rule_in.estimate == min(reaching) == threshold_at_ppv(y, score, ppv)
        between = [cut for cut in cuts if highest <= cut <= min(reaching)]
    else:
        # One threshold keeps both promises.
        assert found.rule_out.estimate == found.max_f1.estimate == found.rule_in.estimate
        between = [cut for cut in reaching if cut <= highest]
    assert f1(y, score >= found.max_f1.estimate) == max(f1(y, score >= cut) for cut in between)
    assert found.max_f1.estimate in between


def test_a_model_so_good_that_thresholds_cross_keeps_both_promises():
    y = np.repeat([0, 1], [80, 20])
    score = np.r_[np.linspace(0, 0.5, 80), np.linspace(0.48, 1, 20)]
    found = tier_thresholds(y, score, random_state=0)
    cut = found.rule_in.estimate
    assert found.rule_out.estimate == found.max_f1.estimate == cut
    assert y[score >= cut].mean() >= 0.85
    assert (score[y == 1] >= cut).mean() >= 0.9
    assert set(assign_tiers(score, cut, cut, cut)) == {"rule-out", "rule-in"}


def test_thresholds_of_resamples_are_those_of_repeated_records(scores):
    """The bootstrap weighs records; weights of whole numbers are the same as copies."""
    from omi_estimators.metrics._tiers import TierSearch

    y, score, _ = scores
    weights = np.random.default_rng(2).integers(3, size=(len(y), 20)).astype(float)
    found = TierSearch(y == 1, score, 0.9, 0.8).find(weights)
    for column, weight in zip(found.T, weights.T, strict=True):
        chosen = np.repeat(np.arange(len(y)), weight.astype(int))
        alone = tier_thresholds(y[chosen], score[chosen], ppv=0.8, n_resamples=1, random_state=0)
        expected = [alone.rule_out.estimate, alone.max_f1.estimate, alone.rule_in.estimate]
        np.testing.assert_array_equal(column, expected)


def test_uncertainty_is_by_patient_and_shrinks(scores):
    y, score, groups = scores
    once = tier_thresholds(y, score, groups=groups, random_state=0)
    assert once.rule_out.low <= once.rule_out.estimate <= once.rule_out.high
    assert once.rule_out.n_resamples == 1000
    copies = [np.tile(values, 9) for values in (y, score, groups)]
    same = tier_thresholds(copies[0], copies[1], groups=copies[2], random_state=0)
    more = tier_thresholds(copies[0], copies[1], groups=np.arange(9 * len(y)), random_state=0)
    width = once.rule_out.high - once.rule_out.low
    assert same.rule_out.high - same.rule_out.low > 0.6 * width
    assert more.rule_out.high - more.rule_out.low < 0.6 * width


def test_a_ppv_out_of_reach():
    y, score = np.tile([0, 1, 0], 40), np.tile([1.0, 0.9, 0.0], 40)
    with pytest.warns(UserWarning, match=r"No threshold reaches .* 0.85 \(the best is 0.5\): nobody is ruled in"):
        found = tier_thresholds(y, score, random_state=0)
    assert found.rule_in.estimate == np.inf
    assert found.rule_in_unreached > 0.9
    assert "rule-in" not in assign_tiers(score, found.rule_out.estimate, found.max_f1.estimate, np.inf)
    with pytest.raises(ValueError, match=r"the best is 0.5. Ask for less"):
        tier_thresholds(y, score, on_unreachable="raise")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_score": [0.1, 0.2]}, "one score for each of the 250"),
        ({"y_score": np.r_[np.nan, np.ones(249)]}, "NaN or infinite"),
        ({"y_true": np.zeros(250)}, "both classes"),
        ({"groups": [1, 2]}, "groups must hold one patient"),
        ({"sensitivity": 0}, "sensitivity must be a share"),
        ({"ppv": 1.2}, "ppv must be a share"),
        ({"on_unreachable": "ignore"}, "on_unreachable"),
        ({"n_resamples": 0}, "n_resamples"),
        ({"confidence_level": 95}, "confidence_level"),
    ],
)
def test_bad_input_is_told(scores, changes, message):
    y, score, groups = scores
    arguments = {"y_true": y, "y_score": score, "groups": groups} | changes
    with pytest.raises(ValueError, match=message):
        tier_thresholds(**arguments)


def test_few_events_are_said():
    y = np.arange(40) < 5
    with pytest.warns(FewEventsWarning, match="Only 5 positive"):
        tier_thresholds(y, 1.0 * y, n_resamples=10, random_state=0)


def test_thresholds_must_rise():
    with pytest.raises(ValueError, match="must rise"):
        assign_tiers([0.5], 0.4, 0.3, 0.9)


def test_classifier_chooses_out_of_fold(data):
    X, y, groups = data
    model = RiskTierClassifier(LogisticRegression(), ppv=0.8, random_state=0).fit(X, y, groups=groups)
    found = tier_thresholds(y, model.out_of_fold_, ppv=0.8, groups=groups, random_state=1)
    assert model.thresholds_.rule_out.estimate == found.rule_out.estimate
    assert model.thresholds_.max_f1.estimate == found.max_f1.estimate
    inside = LogisticRegression().fit(X, y).predict_proba(X)
    np.testing.assert_allclose(model.predict_proba(X), inside)
    assert not np.allclose(model.out_of_fold_, inside[:, 1])
    tiers = model.predict_tier(X)
    np.testing.assert_array_equal(model.predict(X), inside.argmax(axis=1))
    by_tier = model.set_params(predict_by="tier").predict(X)
    np.testing.assert_array_equal(by_tier == 1, np.isin(tiers, ["high", "rule-in"]))
    assert (by_tier != inside.argmax(axis=1)).any()
    order = np.array([TIERS.index(tier) for tier in tiers])[np.argsort(inside[:, 1])]
    assert (np.diff(order) >= 0).all()


def test_the_positive_class_can_be_named(data):
    X, y, groups = data
    words = np.where(y == 1, "OMI", "other")  # "OMI" sorts first
    given = {"predict_by": "tier", "random_state": 0}
    model = RiskTierClassifier(LogisticRegression(), pos_label="OMI", **given).fit(X, words, groups=groups)
    plain = RiskTierClassifier(LogisticRegression(), **given).fit(X, y, groups=groups)
    np.testing.assert_array_equal(model.predict_tier(X), plain.predict_tier(X))
    np.testing.assert_array_equal(model.predict(X) == "OMI", plain.predict(X) == 1)
    with pytest.raises(ValueError, match="pos_label must be one of"):
        RiskTierClassifier(LogisticRegression(), pos_label="MI").fit(X, words)


class Spy(ClassifierMixin, BaseEstimator):
    """Asks for groups, and remembers whom it saw."""

    __metadata_request__fit = {"groups": True}  # noqa: RUF012
    asked: list = []  # noqa: RUF012

    def fit(self, X, y, groups=None):
        assert groups is not None
        self.patients_ = set(groups)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X):
        self.asked.append((self.patients_, set(X[:, 0].astype(int))))
        prob = 1 / (1 + np.exp(-X[:, 1]))
        return np.column_stack([1 - prob, prob])


def test_no_patient_leaks_into_the_thresholds(data):
    X, y, groups = data
    X = np.column_stack([groups, X])
    Spy.asked.clear()
    RiskTierClassifier(Spy(), random_state=0, n_resamples=10).fit(X, y, groups=groups)
    assert len(Spy.asked) == 5
    assert all(not fitted & asked for fitted, asked in Spy.asked)
    # And by routing, on every level of a nested search.
    Spy.asked.clear()
    with sklearn.config_context(enable_metadata_routing=True):
        GridSearchCV(
            RiskTierClassifier(Spy(), random_state=0, n_resamples=10),
            {"sensitivity": [0.8, 0.9]},
            cv=StratifiedGroupKFold(2),
            scoring="f1",
        ).fit(X, y, groups=groups)
    assert len(Spy.asked) == 2 * 2 * (5 + 1) + 5
    assert all(not fitted & asked for fitted, asked in Spy.asked)


def test_more_than_two_classes_are_refused(data):
    X, _, groups = data
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        RiskTierClassifier(LogisticRegression()).fit(X, groups % 3)


def test_table_of_tiers():
    tiers = np.repeat(TIERS, [50, 30, 0, 20])
    y = np.r_[np.zeros(50), np.arange(30) < 6, np.arange(20) < 17]
    table = tier_table(y, tiers)
    assert table.index.tolist() == TIERS
    assert table["n_records"].tolist() == [50, 30, 0, 20]
    assert table["n_events"].tolist() == [0, 6, 0, 17]
    assert table.loc["rule-in", "event_rate"] == pytest.approx(0.85)
    assert table.loc["rule-in", "share_of_events"] == pytest.approx(17 / 23)
    assert table["share_of_records"].sum() == pytest.approx(1)
    # No event among 50 is not certainty: the interval says up to 7 %.
    assert table.loc["rule-out", "event_rate_high"] == pytest.approx(0.071, abs=1e-3)
    assert np.isnan(table.loc["high", ["event_rate", "event_rate_low"]].to_numpy(dtype=float)).all()
    wider = tier_table(y, tiers, groups=np.arange(100) // 5)
    assert wider.loc["rule-out", "event_rate_high"] > table.loc["rule-out", "event_rate_high"]
    with pytest.raises(ValueError, match="got 'maybe'"):
        tier_table([0, 1], ["low", "maybe"])
    with pytest.raises(ValueError, match="one for each of the 2 labels"):
        tier_table([0, 1], ["low"])
