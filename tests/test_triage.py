"""Risk tiers: thresholds by brute force, out of fold, with their uncertainty."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn
from scipy.special import logit, ndtr
from scipy.stats import binom, binomtest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from omi_estimators import RiskTierClassifier
from omi_estimators.metrics import (
    FewEventsWarning,
    assign_tiers,
    bootstrap_interval,
    threshold_at_ppv,
    threshold_at_sensitivity,
    tier_thresholds,
)
from omi_estimators.persistence import load, save
from omi_estimators.preprocessing import Judgement, UnusableRecordWarning, Usable
from omi_estimators.triage import tier_table

TIERS = ["rule-out", "low", "high", "rule-in"]


def expect_to_fail(estimator):
    """Weights that differ make no promise."""
    checks = [f"check_sample_weight_{what}" for what in ("equivalence_on_dense_data", "equivalence_on_sparse_data")]
    checks.append("check_sample_weights_not_overwritten")
    return {} if estimator.guarantee is None else dict.fromkeys(checks, "refuses weights that differ")


@parametrize_with_checks(
    [
        RiskTierClassifier(LogisticRegression(), n_resamples=10),
        # The checks have few records, so that little can be promised.
        RiskTierClassifier(LogisticRegression(), sensitivity=0.5, ppv=0.5, guarantee=0.5, n_resamples=10),
    ],
    expected_failed_checks=expect_to_fail,
)
@pytest.mark.filterwarnings("ignore:Only . records have class")
@pytest.mark.filterwarnings("ignore:No threshold")
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


def test_a_constant_model_ranks_nobody():
    """Prevalences of the folds' training records differ, and would rank the records the wrong way round."""
    y = (np.arange(203) % 7 == 0).astype(int)
    groups = np.arange(203) // 2
    model = RiskTierClassifier(DummyClassifier(), random_state=0, n_resamples=50, on_unreachable="warn")
    with pytest.warns(UserWarning, match="No threshold reaches"):
        model.fit(np.zeros((203, 1)), y, groups=groups)
    assert roc_auc_score(y, model.out_of_fold_) == 0.5
    np.testing.assert_allclose(model.out_of_fold_, y.mean())
    within = bootstrap_interval(y, model.out_of_fold_, "roc_auc", groups=groups, folds=model.fold_, random_state=0)
    assert within.estimate == 0.5


def test_folds_of_equal_prevalence_move_nothing_and_frozen_classifiers_neither(data):
    X, y, _ = data
    X, y = np.concatenate([X[y == 0][:200], X[y == 1][:60]]), np.repeat([0, 1], [200, 60])
    splits = [(np.flatnonzero(np.arange(260) % 5 != fold), np.arange(fold, 260, 5)) for fold in range(5)]
    model = RiskTierClassifier(LogisticRegression(), cv=splits, ppv=0.8, random_state=0, n_resamples=10).fit(X, y)
    expected = cross_val_predict(LogisticRegression(), X, y, cv=splits, method="predict_proba")[:, 1]
    np.testing.assert_array_equal(model.out_of_fold_, expected)
    fitted = LogisticRegression().fit(X, y)
    side = np.where(y == 1, np.arange(260) % 4 == 0, np.arange(260) % 2 == 0)
    uneven = [(np.flatnonzero(~side), np.flatnonzero(side)), (np.flatnonzero(side), np.flatnonzero(~side))]
    frozen = RiskTierClassifier(FrozenEstimator(fitted), cv=uneven, ppv=0.8, random_state=0, n_resamples=10).fit(X, y)
    np.testing.assert_array_equal(frozen.out_of_fold_, fitted.predict_proba(X)[:, 1])


def test_moved_by_bayes_rule():
    """Trained on another prevalence, a right model is right again after it."""
    rng = np.random.default_rng(0)
    y = np.r_[rng.random(4000) < 0.5, rng.random(4000) < 0.1].astype(int)
    X = rng.normal(size=(8000, 1)) + 1.5 * y[:, np.newaxis]
    halves = [(np.arange(4000), np.arange(4000, 8000)), (np.arange(4000, 8000), np.arange(4000))]
    found = RiskTierClassifier(LogisticRegression(), cv=halves, n_resamples=1, random_state=0).fit(X, y).out_of_fold_
    final = LogisticRegression().fit(X, y).predict_proba(X)[:, 1]
    assert np.abs(logit(found) - logit(final)).max() < 0.5
    plain = cross_val_predict(LogisticRegression(), X, y, cv=halves, method="predict_proba")[:, 1]
    assert np.abs(logit(plain) - logit(final)).max() > 0.9


def test_weights_are_copies_and_none_is_absence(data):
    X, y, _ = data
    weight = np.random.default_rng(0).integers(0, 3, size=300)
    side, copies = np.arange(300) % 3, np.repeat(np.arange(300), weight)
    given = {"ppv": 0.8, "n_resamples": 10, "random_state": 0}
    weighted = RiskTierClassifier(LogisticRegression(tol=1e-10), cv=PredefinedSplit(side), **given)
    weighted.fit(X, y, sample_weight=weight)
    repeated = RiskTierClassifier(LogisticRegression(tol=1e-10), cv=PredefinedSplit(side[copies]), **given)
    repeated.fit(X[copies], y[copies])
    np.testing.assert_allclose(weighted.class_prior_, repeated.class_prior_)
    np.testing.assert_allclose(weighted.out_of_fold_[copies], repeated.out_of_fold_, rtol=1e-6)
    for name in ("rule_out", "max_f1", "rule_in"):
        values = [getattr(model.thresholds_, name).estimate for model in (weighted, repeated)]
        assert values[0] == pytest.approx(values[1], rel=1e-6)
    assert (weighted.predict_tier(X) == repeated.predict_tier(X)).all()
    plain = RiskTierClassifier(LogisticRegression(), cv=PredefinedSplit(side), **given).fit(X, y)
    assert plain.thresholds_.max_f1.estimate != weighted.thresholds_.max_f1.estimate


def test_weights_by_routing(data):
    X, y, groups = data
    weight = np.random.default_rng(0).uniform(size=300)
    given = {"ppv": 0.8, "n_resamples": 10, "random_state": 0}
    plain = RiskTierClassifier(LogisticRegression(), **given).fit(X, y, sample_weight=weight, groups=groups)
    with sklearn.config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            RiskTierClassifier(LogisticRegression(), **given).fit(X, y, sample_weight=weight, groups=groups)
        asking = LogisticRegression().set_fit_request(sample_weight=True)
        model = RiskTierClassifier(asking, **given).set_fit_request(sample_weight=True)
        routed = make_pipeline(model).fit(X, y, sample_weight=weight, groups=groups)
    np.testing.assert_array_equal(routed.predict_proba(X), plain.predict_proba(X))
    np.testing.assert_array_equal(routed[-1].out_of_fold_, plain.out_of_fold_)


class Picky(LogisticRegression):
    """Cannot judge what begins with a number above 50, and says that it surely is positive."""

    def fit(self, X, y):
        kept = X[:, 0] <= 50
        return super().fit(X[kept], y[kept])

    def judge(self, X):
        bad = X[:, 0] > 50
        usable = Usable.from_reasons(np.where(bad, "too large", "").tolist())
        return Judgement(np.where(bad[:, np.newaxis], np.nan, self.predict_proba(X)), usable)


def test_records_that_cannot_be_judged_get_no_tier_and_have_no_say(data):
    X, y, groups = data
    mixed, bad = X.copy(), np.arange(0, 300, 10)
    mixed[bad, 0] = 99
    good = np.setdiff1d(np.arange(300), bad)
    given = {"ppv": 0.8, "n_resamples": 20, "random_state": 0}
    folds = np.arange(300) // 2 % 3
    with pytest.warns(UnusableRecordWarning, match="30 of 300 records .* left out of the choice of thresholds"):
        model = RiskTierClassifier(Picky(), cv=PredefinedSplit(folds), **given).fit(mixed, y, groups=groups)
    clean = RiskTierClassifier(Picky(), cv=PredefinedSplit(folds[good]), **given)
    clean.fit(X[good], y[good], groups=groups[good])
    np.testing.assert_allclose(model.out_of_fold_[good], clean.out_of_fold_)
    assert str(model.thresholds_) == str(clean.thresholds_)
    np.testing.assert_array_equal(np.flatnonzero(~model.usable_), bad)
    np.testing.assert_array_equal(model.fold_, folds)
    for predict_by in ("probability", "tier"):
        model.set_params(predict_by=predict_by)
        with pytest.warns(UnusableRecordWarning, match="given the most frequent class"):
            assert (model.predict(mixed)[bad] == 0).all()
    with pytest.warns(UnusableRecordWarning, match="given no tier"):
        tiers = model.predict_tier(mixed)
    assert (tiers[bad] == "not judged").all()
    np.testing.assert_array_equal(tiers[good], clean.predict_tier(X[good]))
    with pytest.warns(UnusableRecordWarning):
        assert np.isnan(model.predict_proba(mixed)[bad]).all()
    assert not model.judge(mixed).usable.mask[bad].any()


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


def draw_cohort(rng, n_patients=350, effect=2.5):
    """Return labels, scores and patients of 1.4 records each, alike to 80 % of the variance of their scores."""
    groups = np.repeat(np.arange(n_patients), 1 + rng.poisson(0.4, size=n_patients))
    y = (rng.random(n_patients) < 0.2)[groups].astype(int)
    shared = np.sqrt(0.8) * rng.normal(size=n_patients)[groups]
    return y, effect * y + shared + np.sqrt(0.2) * rng.normal(size=len(y)), groups


def break_promises(guarantee, n_cohorts=300):
    """Return in how many cohorts the true sensitivity of rule-out, and the true PPV of rule-in, fall short."""
    broken = np.zeros(2, dtype=int)
    rng = np.random.default_rng(0)
    for _ in range(n_cohorts):
        y, score, groups = draw_cohort(rng)
        found = tier_thresholds(y, score, guarantee=guarantee, groups=groups, n_resamples=1, random_state=0)
        rule_in = found.rule_in.estimate
        hits, false_alarms = 0.2 * ndtr(2.5 - rule_in), 0.8 * ndtr(-rule_in)
        broken += ndtr(2.5 - found.rule_out.estimate) < 0.9, hits < 0.85 * (hits + false_alarms)
    return broken


@pytest.mark.filterwarnings("ignore:No threshold")
@pytest.mark.parametrize("guarantee", [0.8, 0.9])
def test_promises_are_kept_with_the_stated_probability(guarantee):
    # So many would break with a probability of one in a thousand if each broke with 1 - guarantee.
    assert (break_promises(guarantee) <= binom.ppf(0.999, 300, 1 - guarantee)).all()


def test_without_a_guarantee_every_second_promise_is_broken():
    assert (break_promises(None) > 120).all()


def test_a_plateau_just_below_the_promised_ppv_is_seldom_ruled_in():
    """Many thresholds that fail by little would each have their chance to pass, were they not tested in sequence."""
    rng = np.random.default_rng(0)
    n_ruled_in = 0
    for _ in range(200):
        score = rng.random(350)
        y = (score > 0.8) & (rng.random(350) < 0.845)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = tier_thresholds(y, score, guarantee=0.9, n_resamples=1, random_state=0)
        n_ruled_in += np.isfinite(found.rule_in.estimate)
    assert n_ruled_in <= binom.ppf(0.999, 200, 0.1)


def test_a_promise_for_one_record_each_is_that_of_clopper_and_pearson():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [300, 65])
    score = rng.normal(size=365) + 3 * y
    cut = tier_thresholds(y, score, guarantee=0.9, n_resamples=1, random_state=0).rule_out.estimate
    # The lower end of the one-sided interval at this cut is above 0.9, and at the next positive's score no more.
    n_found = [(score[y == 1] >= value).sum() for value in (cut, np.sort(score[(y == 1) & (score > cut)])[0])]
    ends = [binomtest(n, 65, alternative="greater").proportion_ci(0.9, "exact").low for n in n_found]
    assert ends[0] >= 0.9 > ends[1]


@pytest.mark.parametrize(("share", "guarantee"), [(0.9, 0.9), (0.85, 0.9), (0.95, 0.8), (0.9, 0.95), (0.9, 0.5)])
def test_shares_of_records_break_no_more_promises_than_ones_and_zeros(share, guarantee):
    """Patients who miss all of nothing, or each the same share of their records: how often too few are missed."""
    from omi_estimators.metrics._tiers import allowed_misses, least_patients

    n_patients = np.arange(least_patients("sensitivity", share, guarantee), 151)
    allowed = allowed_misses(n_patients, share, guarantee)
    for missed in np.r_[np.linspace(1 - share, 1, 60)[1:], 1 / np.arange(1, 1 / (1 - share) - 0.5)]:
        n_allowed = np.floor(allowed / missed + 1e-9)
        assert (binom.cdf(n_allowed, n_patients, (1 - share) / missed) <= 1 - guarantee + 1e-9).all(), missed


def test_promises_count_patients_and_not_records():
    y, score, groups = draw_cohort(np.random.default_rng(4), effect=3)
    keywords = {"guarantee": 0.9, "n_resamples": 1, "random_state": 0}
    found = tier_thresholds(y, score, groups=groups, **keywords)
    copies = [np.tile(values, 3) for values in (y, score, groups)]
    same = tier_thresholds(copies[0], copies[1], groups=copies[2], **keywords)
    more = tier_thresholds(copies[0], copies[1], **keywords)
    for name in ("rule_out", "rule_in"):
        assert getattr(same, name).estimate == getattr(found, name).estimate
    # Copies that pass for patients promise more than can be kept.
    assert more.rule_out.estimate > found.rule_out.estimate
    assert more.rule_in.estimate < found.rule_in.estimate


def test_one_patient_of_many_records_moves_no_promise_by_more_than_one():
    y, score, groups = draw_cohort(np.random.default_rng(2), effect=3)
    many = np.full(500, score[y == 1].min() - 1)
    keywords = {"guarantee": 0.9, "n_resamples": 1, "random_state": 0}
    with_many, with_one = (
        tier_thresholds(np.r_[y, np.ones(n)], np.r_[score, many[:n]], groups=np.r_[groups, np.full(n, 999)], **keywords)
        for n in (500, 1)
    )
    assert with_many.rule_out.estimate == with_one.rule_out.estimate


def test_the_fitted_object_tells_its_promise(data):
    X, y, groups = data
    model = RiskTierClassifier(LogisticRegression(), ppv=0.7, guarantee=0.8, n_resamples=20, random_state=0)
    model.fit(X, y, groups=groups)
    assert model.thresholds_.guarantee == 0.8
    assert "each promise is kept with probability 0.8" in str(model.thresholds_)
    plain = clone(model).set_params(guarantee=None).fit(X, y, groups=groups)
    assert plain.thresholds_.guarantee is None
    assert "promise" not in str(plain.thresholds_)
    assert model.thresholds_.rule_out.estimate < plain.thresholds_.rule_out.estimate
    assert model.thresholds_.rule_in.estimate > plain.thresholds_.rule_in.estimate


def test_a_model_of_before_there_were_promises_still_answers(data, tmp_path):
    X, y, groups = data
    model = RiskTierClassifier(LogisticRegression(), n_resamples=5, random_state=0).fit(X, y, groups=groups)
    del vars(model)["guarantee"], vars(model.thresholds_)["guarantee"]
    save(model, tmp_path / "old.omi")
    loaded = load(tmp_path / "old.omi")
    assert loaded.predict_tier(X).tolist() == model.predict_tier(X).tolist()
    assert loaded.get_params()["guarantee"] is None
    assert loaded.thresholds_.guarantee is None
    assert "rule-out" in str(loaded.thresholds_)


def test_a_promise_survives_its_file(data, tmp_path):
    X, y, groups = data
    model = RiskTierClassifier(LogisticRegression(), ppv=0.7, guarantee=0.8, n_resamples=5, random_state=0)
    save(model.fit(X, y, groups=groups), tmp_path / "model.omi")
    loaded = load(tmp_path / "model.omi")
    assert loaded.thresholds_ == model.thresholds_
    assert loaded.guarantee == loaded.thresholds_.guarantee == 0.8


@pytest.mark.parametrize("guarantee", [0, 1, 0.3, -0.1, 1.5, 90, float("nan")])
def test_what_is_no_guarantee_is_told(scores, guarantee):
    y, score, groups = scores
    with pytest.raises(ValueError, match=r"guarantee must be a probability from 0.5 to below 1, such as 0.9; got"):
        tier_thresholds(y, score, guarantee=guarantee, groups=groups)
    with pytest.raises(ValueError, match=r"'guarantee' parameter of RiskTierClassifier"):
        RiskTierClassifier(LogisticRegression(), guarantee=guarantee).fit(score[:, np.newaxis], y, groups=groups)


@pytest.mark.parametrize("share", ["sensitivity", "ppv"])
def test_certainty_cannot_be_promised(scores, share):
    y, score, groups = scores
    with pytest.raises(ValueError, match=f"No cohort can promise a {share} of 1"):
        tier_thresholds(y, score, guarantee=0.9, groups=groups, **{share: 1})


def test_too_few_patients_are_told_how_many_it_takes():
    rng = np.random.default_rng(0)
    y, score = np.repeat([0, 1], [200, 42]), np.r_[rng.normal(size=200), 3 + rng.normal(size=42)]
    # Two records of each patient: 42 positive records are 21 patients with events, and 0.9 ** 21 exceeds 0.1.
    groups = np.arange(242) // 2
    message = r"a sensitivity of 0.9 takes at least 22, a PPV of 0.85 at least 15; there are 21\. Give more patients"
    with pytest.raises(ValueError, match=message):
        tier_thresholds(y, score, guarantee=0.9, groups=groups)
    with pytest.raises(ValueError, match=message):
        RiskTierClassifier(LogisticRegression(), guarantee=0.9).fit(score[:, np.newaxis], y, groups=groups)
    # Each record is a patient of its own without groups, and 22 are enough.
    assert tier_thresholds(y[:222], score[:222], guarantee=0.9, n_resamples=1).rule_out.estimate == score[200:222].min()


def test_weights_that_differ_make_no_promise():
    y, score, groups = draw_cohort(np.random.default_rng(3), effect=3)
    keywords = {"groups": groups, "guarantee": 0.9, "n_resamples": 1, "random_state": 0}
    weights = np.where(y == 1, 2.0, 1.0)
    with pytest.raises(ValueError, match=r"cannot be given with weights that differ \(from 1 to 2\): leave out"):
        tier_thresholds(y, score, sample_weight=weights, **keywords)
    equal = tier_thresholds(y, score, sample_weight=np.full(len(y), 2.0), **keywords)
    assert equal == tier_thresholds(y, score, **keywords)
    # A weight of zero is as good as absence.
    absent = tier_thresholds(
        np.r_[y, 1],
        np.r_[score, -9],
        sample_weight=np.r_[np.ones(len(y)), 0],
        **(keywords | {"groups": np.r_[groups, 999]}),
    )
    assert absent.rule_out == equal.rule_out


def test_a_ppv_that_cannot_be_promised():
    y, score = np.tile([0, 1, 0], 40), np.tile([1.0, 0.9, 0.0], 40)
    message = r"No threshold can be promised, with probability 0.9, to reach a positive predictive value of 0.85"
    with pytest.warns(UserWarning, match=message):
        found = tier_thresholds(y, score, guarantee=0.9, n_resamples=5, random_state=0)
    assert found.rule_in.estimate == np.inf
    with pytest.raises(ValueError, match=message):
        tier_thresholds(y, score, guarantee=0.9, on_unreachable="raise")
