"""Recalibration: known shifts are mended, order and tiers stay, few events are refused, and the history is told."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import chi2
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from omi_estimators import RiskTierClassifier, load, recalibrate, save
from omi_estimators.evaluation import RecalibratedClassifier, recalibration_gain
from omi_estimators.fusion import FusionClassifier
from omi_estimators.metrics import calibration_slope_intercept, tier_thresholds
from omi_estimators.persistence import read_card
from omi_estimators.preprocessing import Judgement, UnusableRecordWarning, Usable

PREVALENCE = 0.25


class SaysLogOdds(ClassifierMixin, BaseEstimator):
    """Answers with its only feature as log-odds; infinite where it is missing, and then not judged."""

    def __init__(self, classes=(0, 1), unknown=PREVALENCE):
        self.classes = classes
        self.unknown = unknown

    def fit(self, X, y=None):
        self.classes_ = np.array(self.classes)
        return self

    def predict_proba(self, X):
        return self.judge(X).prob

    def judge(self, X):
        z = np.asarray(X)[:, 0]
        usable = Usable.from_reasons(np.where(np.isnan(z), "noise", "").tolist())
        p = np.where(usable.mask, expit(z), self.unknown)
        return Judgement(np.stack([np.where(usable.mask, expit(-z), 1 - p), p], axis=1), usable)


def draw(seed, n_patients=1000, prevalence=PREVALENCE, intercept=0.0, slope=1.0, more=0.4):
    """Return log-odds that a model says, labels and patients, such that intercept and slope mend the log-odds.

    Those that are right are normal in each class, with a variance as large as their distance; four fifths of it belong
    to the patient.
    """
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_patients), 1 + rng.poisson(more, n_patients))
    y = (rng.random(n_patients) < prevalence)[groups].astype(int)
    noise = np.sqrt(0.8) * rng.normal(size=n_patients)[groups] + np.sqrt(0.2) * rng.normal(size=len(groups))
    right = logit(prevalence) + np.where(y, 2, -2) + 2 * noise
    return (right[:, np.newaxis] - intercept) / slope, y, groups


@pytest.fixture(scope="module")
def model():
    return SaysLogOdds().fit(None)


@pytest.fixture(scope="module")
def tiers():
    X, y, groups = draw(100)
    return RiskTierClassifier(SaysLogOdds(), guarantee=0.9, n_resamples=20, random_state=0).fit(X, y, groups=groups)


@parametrize_with_checks(
    [
        RecalibratedClassifier(LogisticRegression(), method=method, min_events=1)
        # The others refuse labels by chance, that no model ranks: many of the checks have such.
        for method in ("intercept",)
    ]
)
@pytest.mark.filterwarnings("ignore:Only . records have class")
# scikit-learn's check casts NaN itself.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("method", "intercept", "slope"), [("intercept", -1.1, 1.0), ("slope", 0.7, 0.5), ("isotonic", -0.5, 0.5)]
)
def test_a_known_shift_is_mended(model, method, intercept, slope):
    shift = {"intercept": intercept, "slope": slope}
    recalibrated = recalibrate(model, *draw(0, 3000, **shift), method=method)
    X, y, _ = draw(1, 20_000, **shift)
    line = calibration_slope_intercept(y, recalibrated.predict_proba(X)[:, 1])
    assert line.slope == pytest.approx(1, abs=0.06)
    assert line.intercept == pytest.approx(0, abs=0.08)


@pytest.mark.parametrize(
    ("intercept", "slope", "chosen"), [(0, 1, "none"), (-1.0, 1, "intercept"), (0.0, 0.5, "slope"), (1, 0.5, "slope")]
)
def test_closed_testing_finds_what_was_changed(model, intercept, slope, chosen):
    X, y, groups = draw(3, 1000, intercept=intercept, slope=slope)
    recalibrated = recalibrate(model, X, y, groups)
    assert recalibrated.method_ == chosen
    says = {"none": "nothing is changed", "intercept": "the intercept is moved", "slope": "slope are moved"}[chosen]
    assert recalibrated.history_[0]["reason"].endswith(says)


def test_no_change_is_the_same_bit_for_bit(model):
    X, y, groups = draw(3)
    recalibrated = recalibrate(model, X, y, groups)
    assert recalibrated.method_ == "none"
    np.testing.assert_array_equal(recalibrated.predict_proba(X), model.predict_proba(X))


def test_the_map_is_logistic_regression_and_the_tests_are_likelihood_ratios(model):
    X, y, _ = draw(4, 400, intercept=0.3, slope=0.8, more=0)
    z = X[:, 0]

    def lose(line):
        return (np.logaddexp(0, line[0] + line[1] * z) - y * (line[0] + line[1] * z)).sum()

    both = minimize(lose, [0, 1], tol=1e-10)
    one = minimize(lambda shift: lose([shift[0], 1]), [0], tol=1e-10)
    recalibrated = recalibrate(model, X, y, method="slope")
    assert [recalibrated.knots_[1, 0], recalibrated.slope_] == pytest.approx(both.x, abs=1e-4)
    # Patients with one record each vary as much as independent records, but for chance.
    told = recalibrated.history_[0]
    assert np.log(told["p_change"]) == pytest.approx(np.log(chi2.sf(2 * (lose([0, 1]) - both.fun), 2)), rel=0.2)
    assert np.log(told["p_slope"]) == pytest.approx(np.log(chi2.sf(2 * (one.fun - both.fun), 1)), rel=0.2)
    shift = recalibrate(model, X, y, method="intercept").knots_[1, 0]
    assert shift == pytest.approx(one.x[0], abs=1e-4)
    assert told["intercept"] == pytest.approx(shift, abs=1e-6)


def test_records_of_a_patient_make_errors_larger_and_evidence_smaller(model):
    X, y, groups = draw(5, 200, intercept=0.4, more=4)
    alike, alone = (recalibrate(model, X, y, given).history_[0] for given in (groups, None))
    assert alike["slope"] == alone["slope"]
    for name in ("slope_error", "intercept_error"):
        assert alike[name] > 1.5 * alone[name]
    assert alike["p_change"] > alone["p_change"]
    # Copies tell nothing.
    copies = (np.repeat(values, 3, axis=0) for values in draw(6, 300, more=0))
    once = recalibrate(model, *draw(6, 300, more=0)).history_[0]
    thrice = recalibrate(model, *copies).history_[0]
    for name in ("slope_error", "intercept_error", "p_change", "p_slope"):
        assert thrice[name] == pytest.approx(once[name], rel=1e-6)


def test_no_change_is_changed_in_one_of_twenty_cohorts(model):
    changed = [recalibrate(model, *draw(seed, 200, more=2)).method_ != "none" for seed in range(60)]
    # 3 are expected, and without patients 20; 9 or more have a probability of 0.003.
    assert 1 <= sum(changed) <= 8


@pytest.mark.parametrize("method", ["intercept", "slope", "isotonic"])
def test_the_order_never_changes(model, method):
    X, y, groups = draw(7, 1500, slope=0.6, intercept=1)
    recalibrated = recalibrate(model, X, y, groups, method=method)
    # Beyond all records too.
    grid = np.linspace(-25, 25, 2001)[:, np.newaxis]
    prob = recalibrated.predict_proba(grid)
    log_odds = np.log(prob[:, 1]) - np.log(prob[:, 0])
    assert (np.diff(log_odds) > 0).all()
    np.testing.assert_allclose(prob.sum(axis=1), 1, rtol=1e-14)


def test_a_forest_that_says_0_and_1_keeps_its_ties_and_its_order():
    X, y, groups = draw(8, 600)
    forest = RandomForestClassifier(20, random_state=0).fit(X, y)
    X, y, groups = draw(9, 600, prevalence=0.5)
    before = forest.predict_proba(X)[:, 1]
    assert {0, 1} <= set(before)
    after = recalibrate(forest, X, y, groups, method="slope").predict_proba(X)[:, 1]
    assert np.isfinite(after).all()
    levels = np.unique(np.stack([before, after]), axis=1)
    assert (np.diff(levels[1]) > 0).all()
    assert levels.shape[1] == len(np.unique(before))


@pytest.mark.parametrize(("method", "least"), [("intercept", 10), ("auto", 10), ("slope", 20), ("isotonic", 200)])
def test_too_few_are_refused_with_how_many_it_takes(model, method, least):
    X, y, groups = draw(10, 4000, more=1)
    events = np.unique(groups[y == 1])
    for enough in (True, False):
        kept = np.isin(groups, np.r_[events[: least - (not enough)], np.unique(groups[y == 0])[:1000]])
        if enough:
            recalibrate(model, X[kept], y[kept], groups[kept], method=method)
        else:
            # Patients count, and not their records, of which there are more.
            assert y[kept].sum() >= least
            message = rf"takes at least {least} with events and {least} without; there are {least - 1} and 1000"
            with pytest.raises(ValueError, match=message):
                recalibrate(model, X[kept], y[kept], groups[kept], method=method)
    # The same for patients without events, and with another least number.
    kept = np.isin(groups, np.r_[events, np.unique(groups[y == 0])[: least - 1]])
    with pytest.raises(ValueError, match=f"and {least - 1}. It takes about"):
        recalibrate(model, X[kept], y[kept], groups[kept], method=method)
    assert recalibrate(model, X[kept], y[kept], groups[kept], method=method, min_events=1).method_


def test_with_few_events_only_the_intercept_is_tried_and_the_history_says_so(model):
    X, y, groups = draw(11, 150, prevalence=0.1, intercept=2, slope=0.5)
    recalibrated = recalibrate(model, X, y, groups)
    assert 10 <= recalibrated.history_[0]["n_events"] < 20
    assert recalibrated.method_ == "intercept"
    assert "the slope was not tried" in recalibrated.history_[0]["reason"]
    assert recalibrated.history_[0]["p_slope"] is None


def test_separated_classes_have_an_intercept_and_no_slope(model):
    y = np.arange(100) % 2
    X = np.where(y, 1.0, -3.0)[:, np.newaxis] + np.linspace(0, 0.5, 100)[:, np.newaxis]
    with pytest.raises(ValueError, match="separate the classes here"):
        recalibrate(model, X, y, method="slope")
    recalibrated = recalibrate(model, X, y)
    assert recalibrated.method_ == "intercept"
    assert "there is none to fit" in recalibrated.history_[0]["reason"]
    assert recalibrated.predict_proba(X)[:, 1].mean() == pytest.approx(0.5, abs=1e-6)
    assert np.isfinite(recalibrate(model, X, y, method="isotonic", min_events=20).predict_proba(X)).all()


@pytest.mark.parametrize("method", ["auto", "slope", "isotonic"])
def test_a_model_that_ranks_the_wrong_way_round_is_an_error(model, method):
    X, y, groups = draw(12, 2000)
    with pytest.raises(ValueError, match="do not rise with the class here"):
        recalibrate(model, -X, y, groups, method=method)


def test_a_constant_model_takes_the_prevalence():
    X, y, groups = draw(13, 300, prevalence=0.6)
    dummy = DummyClassifier(strategy="prior").fit(X, np.arange(len(y)) % 10 == 0)
    recalibrated = recalibrate(dummy, X, y == 1, groups)
    assert recalibrated.predict_proba(X)[:, 1] == pytest.approx(y.mean())


@pytest.mark.parametrize("labels", [("no", "yes"), (False, True), (-1, 1)])
def test_classes_of_any_name(labels):
    X, y, groups = draw(14, intercept=1)
    names = np.array(labels)[y]
    found = recalibrate(SaysLogOdds(labels).fit(None), X, names, groups)
    assert found.classes_.tolist() == list(labels)
    assert set(found.predict(X)) == set(labels)
    plain = recalibrate(SaysLogOdds().fit(None), X, y, groups)
    np.testing.assert_array_equal(found.predict_proba(X), plain.predict_proba(X))


def test_what_does_not_fit_is_told(model):
    X, y, groups = draw(15, 200)
    with pytest.raises(ValueError, match=r"y holds the classes \['a', 'b'\], the model knows \[0, 1\]"):
        recalibrate(model, X, np.array(["a", "b"])[y], groups)
    with pytest.raises(ValueError, match="two classes"):
        recalibrate(model, X, np.zeros(len(X)), groups)
    with pytest.raises(ValueError, match="Only binary classification"):
        recalibrate(model, X, np.arange(len(X)) % 3, groups)
    with pytest.raises(ValueError, match="groups must hold one patient"):
        recalibrate(model, X, y, groups[1:])
    with pytest.raises(NotFittedError):
        recalibrate(LogisticRegression(), X, y, groups)
    with pytest.raises(ValueError, match="'method' parameter"):
        recalibrate(model, X, y, groups, method="platt")


@pytest.mark.parametrize("unknown", [PREVALENCE, np.nan])
def test_records_that_cannot_be_judged_teach_nothing_and_get_the_prevalence_here(unknown):
    model = SaysLogOdds(unknown=unknown).fit(None)
    X, y, groups = draw(16, prevalence=0.5, intercept=1)
    there = np.arange(len(y)) % 7 == 0
    spoilt = np.where(there[:, np.newaxis], np.nan, X)
    with pytest.warns(UnusableRecordWarning, match="left out of the recalibration"):
        recalibrated = recalibrate(model, spoilt, y, groups)
    alone = recalibrate(model, X[~there], y[~there], groups[~there])
    np.testing.assert_array_equal(recalibrated.knots_, alone.knots_)
    assert recalibrated.history_[0]["n_unusable"] == there.sum()
    with pytest.warns(UnusableRecordWarning):
        prob = recalibrated.predict_proba(spoilt)
    np.testing.assert_array_equal(prob[~there], alone.predict_proba(X[~there]))
    expected = np.full(2, np.nan) if np.isnan(unknown) else [1 - y.mean(), y.mean()]
    np.testing.assert_allclose(prob[there], np.tile(expected, (there.sum(), 1)))


def test_history_grows_and_survives_copies_and_files(tmp_path):
    X, y, groups = draw(17, 500)
    model = FusionClassifier([("line", LogisticRegression())], random_state=0).fit(X, y, groups=groups)
    first = recalibrate(model, *draw(18, 800, intercept=1), date=datetime.date(2026, 3, 1))
    again = recalibrate(first, *draw(19, 900, intercept=1, slope=0.5), date="2027-03-01")
    assert len(first.history_) == 1
    assert [entry["date"] for entry in again.history_] == ["2026-03-01", "2027-03-01"]
    assert again.history_[0] == first.history_[0]
    # The second is about what the first made of the model.
    X_there, y_there, _ = draw(19, 900, intercept=1, slope=0.5)
    line = calibration_slope_intercept(y_there, first.predict_proba(X_there)[:, 1])
    assert [again.history_[1][name] for name in ("slope", "intercept")] == [line.slope, line.intercept]
    assert recalibrate(again, X, y, groups).history_[:2] == again.history_
    save(again, tmp_path / "model.omi")
    loaded = load(tmp_path / "model.omi")
    np.testing.assert_array_equal(loaded.predict_proba(X), again.predict_proba(X))
    assert loaded.history_ == again.history_
    card = read_card(tmp_path / "model.omi")
    assert f"Records: {len(X)}" in card
    assert "Patients: 500" in card
    told = card.split("Recalibrated since then")[1]
    assert told.index("- 2026-03-01") < told.index("- 2027-03-01")
    assert f"{len(draw(19, 900)[0])} records of 900 patients" in card
    # Fitted again, it has the same frozen model and a new update.
    refitted = clone(again).set_params(date="2028-01-01").fit(*draw(20, 900, intercept=1)[:2])
    assert [entry["date"] for entry in refitted.history_] == ["2026-03-01", "2028-01-01"]


def test_today_is_the_date_unless_another_is_given(model):
    day = datetime.datetime.now(datetime.UTC).date()
    found = recalibrate(model, *draw(3)).history_[0]["date"]
    assert found in {day.isoformat(), (day + datetime.timedelta(days=1)).isoformat()}


@pytest.mark.parametrize("method", ["auto", "isotonic"])
def test_tiers_are_chosen_anew_with_the_same_promises(tiers, method, tmp_path):
    X, y, groups = draw(21, 1500, intercept=1, slope=0.5)
    recalibrated = recalibrate(tiers, X, y, groups, method=method, random_state=0)
    keywords = {"groups": groups, "guarantee": 0.9, "n_resamples": 20, "random_state": 0}
    # The map rises, so that these are the tiers that thresholds on the frozen model's answers make.
    found = tier_thresholds(y, expit(X[:, 0]), **keywords)
    ends = [found.rule_out.estimate, found.max_f1.estimate, found.rule_in.estimate]
    expected = np.array(["rule-out", "low", "high", "rule-in"])[np.searchsorted(ends, expit(X[:, 0]), side="right")]
    assert recalibrated.predict_tier(X).tolist() == expected.tolist()
    assert (recalibrated.predict_tier(X) != tiers.predict_tier(X)).mean() > 0.1
    assert recalibrated.thresholds_.guarantee == 0.9
    assert recalibrated.tiers_ is tiers
    again = recalibrate(recalibrated, X, y, groups, random_state=0)
    assert again.method_ == "none"
    assert again.predict_tier(X).tolist() == expected.tolist()


def test_tiers_can_be_moved_and_too_few_for_their_promise_are_told(tiers):
    X, y, groups = draw(22, 60, prevalence=0.25, intercept=2)
    assert 10 <= len(np.unique(groups[y == 1])) < 22
    with pytest.raises(ValueError, match=r"takes at least 22, .* Or leave every record in its tier: tiers='move'"):
        recalibrate(tiers, X, y, groups)
    moved = recalibrate(tiers, X, y, groups, tiers="move")
    assert moved.method_ == "intercept"
    X = draw(23)[0]
    assert moved.predict_tier(X).tolist() == tiers.predict_tier(X).tolist()
    for name in ("rule_out", "max_f1", "rule_in"):
        old, new = (logit(getattr(found.thresholds_, name).estimate) for found in (tiers, moved))
        assert new - old == pytest.approx(moved.knots_[1, 0])
    # At a threshold and within a digit of it too.
    cuts = np.array([getattr(tiers.thresholds_, name).estimate for name in ("rule_out", "max_f1", "rule_in")])
    X = np.concatenate([logit(cuts), np.nextafter(logit(cuts), 9)])[:, np.newaxis]
    assert moved.predict_tier(X).tolist() == tiers.predict_tier(X).tolist()
    # Nobody is ruled in where nobody was.
    X, y, _ = draw(24, 300)
    with pytest.warns(UserWarning, match="nobody is ruled in"):
        strict = RiskTierClassifier(SaysLogOdds(), ppv=1.0, n_resamples=5).fit(np.r_[X, [[20]]], np.r_[y, 0])
    assert np.isinf(strict.thresholds_.rule_in.estimate)
    assert np.isinf(recalibrate(strict, *draw(22, 300), tiers="move").thresholds_.rule_in.estimate)


def test_the_positive_class_of_tiers_may_be_the_first(tiers):
    X, y, groups = draw(25, 1500, intercept=1)
    keywords = {"guarantee": 0.9, "n_resamples": 5, "random_state": 0}
    X_fit, y_fit, groups_fit = draw(100)
    turned = RiskTierClassifier(SaysLogOdds(), pos_label=0, **keywords).fit(-X_fit, 1 - y_fit, groups=groups_fit)
    for given in ("choose", "move"):
        one = recalibrate(turned, -X, 1 - y, groups, tiers=given, random_state=0)
        other = recalibrate(tiers, X, y, groups, tiers=given, random_state=0)
        assert one.predict_tier(-X).tolist() == other.predict_tier(X).tolist()
        assert (one.pos_label_, other.pos_label_) == (0, 1)
        assert one.thresholds_.rule_in.estimate == pytest.approx(other.thresholds_.rule_in.estimate)


def test_predict_by_tier_is_kept():
    X, y, groups = draw(26)
    tiers = RiskTierClassifier(SaysLogOdds(), predict_by="tier", n_resamples=5, random_state=0).fit(X, y, groups=groups)
    recalibrated = recalibrate(tiers, *draw(27, intercept=-1), random_state=0)
    called = np.isin(recalibrated.predict_tier(X), ["high", "rule-in"])
    np.testing.assert_array_equal(recalibrated.predict(X) == 1, called)
    assert (recalibrated.predict(X) != recalibrated.predict_proba(X).argmax(axis=1)).any()


def test_a_saved_model_with_tiers_is_the_same_bit_for_bit(tmp_path):
    X, y, groups = draw(28)
    tiers = RiskTierClassifier(LogisticRegression(), n_resamples=5, random_state=0).fit(X, y, groups=groups)
    recalibrated = recalibrate(tiers, *draw(29, intercept=1), method="isotonic", random_state=0)
    save(recalibrated, tmp_path / "model.omi")
    loaded = load(tmp_path / "model.omi")
    np.testing.assert_array_equal(loaded.predict_proba(X), recalibrated.predict_proba(X))
    assert loaded.predict_tier(X).tolist() == recalibrated.predict_tier(X).tolist()
    assert loaded.thresholds_ == recalibrated.thresholds_
    assert not hasattr(recalibrate(LogisticRegression().fit(X, y), X, y, groups), "predict_tier")


def test_a_separated_history_survives_its_file(tmp_path):
    y = np.arange(100) % 2
    X = np.where(y, 1.0, -1.0)[:, np.newaxis]
    recalibrated = recalibrate(LogisticRegression().fit(X, y), X, y)
    assert recalibrated.history_[0]["slope"] == np.inf
    save(recalibrated, tmp_path / "model.omi")
    assert load(tmp_path / "model.omi").history_ == recalibrated.history_


def test_a_calibrated_model_of_scikit_learn_is_taken():
    X, y, _ = draw(30)
    calibrated = CalibratedClassifierCV(LogisticRegression(), cv=3).fit(X, y)
    assert recalibrate(calibrated, *draw(31, intercept=1)).method_ == "intercept"


def test_an_estimator_that_is_not_frozen_learns_out_of_fold():
    X, y, groups = draw(32, 400)
    noise = np.random.default_rng(0).normal(size=(len(y), 40))
    forest = RandomForestClassifier(50, random_state=0)
    fitted = RecalibratedClassifier(forest, method="slope", random_state=0).fit(np.hstack([X, noise]), y, groups=groups)
    # Learned from what trees say of their own training records, it would lie far below 1.
    assert fitted.slope_ > 0.8
    assert fitted.estimator_.n_features_in_ == fitted.n_features_in_ == 41
    assert not hasattr(forest, "classes_")


def test_the_model_given_is_left_as_it_was(model):
    before = dict(vars(model))
    recalibrate(model, *draw(0, intercept=1))
    assert vars(model) == before
    frozen = FrozenEstimator(model)
    assert clone(RecalibratedClassifier(frozen)).estimator is frozen


def test_gain_is_measured_on_others_and_grows(model):
    X, y, groups = draw(33, 900, intercept=1, slope=0.5)
    table = recalibration_gain(model, X, y, groups, methods=["intercept", "slope"], n_repeats=15, random_state=0)
    assert table["n_patients"].tolist() == [0, 50, 50, 100, 100, 200, 200, 400, 400]
    line = calibration_slope_intercept(y, expit(X[:, 0]))
    assert table.loc[0, ["slope", "intercept"]].tolist() == pytest.approx([line.slope, line.intercept])
    slopes = table[table["method"] == "slope"].set_index("n_patients")
    assert slopes.loc[50, "refused"] > 0.8
    assert slopes.loc[50, "gain"] == 0
    assert slopes.loc[400, "refused"] == 0
    assert slopes.loc[400, "gain"] > slopes.loc[50, "gain"]
    assert abs(slopes.loc[400, "slope"] - 1) < abs(line.slope - 1) / 2
    assert (table["gain_25"] <= table["gain"]).all()
    with pytest.raises(ValueError, match="A quarter of the 900 patients"):
        recalibration_gain(model, X, y, groups, n_patients=[700])
    with pytest.raises(ValueError, match="methods must be among auto"):
        recalibration_gain(model, X, y, groups, methods=["platt"])
    with pytest.raises(ValueError, match="the model knows"):
        recalibration_gain(model, X, np.array(["a", "b"])[y], groups)
