"""Every metric against code that others wrote, or against counting by hand."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from sklearn.metrics import confusion_matrix, f1_score
from statsmodels.stats.proportion import proportion_confint

from omi_estimators.metrics import (
    bootstrap_difference,
    bootstrap_interval,
    brier_skill_score,
    calibration_slope_intercept,
    classification_intervals,
    delong_roc_test,
    expected_calibration_error,
    net_benefit,
    roc_auc_interval,
)
from omi_estimators.metrics._proportion import proportion_interval
from omi_estimators.metrics._weighted import METRICS, make_statistic


def quiet_import(name):
    """Import a library that warns of its own accord, which is not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


@pytest.fixture
def sample():
    """Return labels, overconfident probabilities, and a second model's."""
    rng = np.random.default_rng(3)
    true = rng.normal(-1, 1.2, size=400)
    y = (rng.random(400) < expit(true)).astype(int)
    return y, expit(1.7 * true + 0.4 + rng.normal(scale=0.3, size=400)), expit(true + rng.normal(size=400))


def test_delong_against_mlstatkit(sample):
    y, first, second = sample
    oracle = quiet_import("MLstatkit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        z, p_value = oracle.Delong_test(y, first, second)[:2]
    ours = delong_roc_test(y, first, second)
    assert abs(ours.z) == pytest.approx(abs(z), rel=1e-6)
    assert ours.p_value == pytest.approx(p_value, rel=1e-6)


def test_net_benefit_against_dcurves(sample):
    import pandas as pd

    y, prob, _ = sample
    oracle = quiet_import("dcurves")
    thresholds = np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.8])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = oracle.dca(
            data=pd.DataFrame({"y": y, "model": prob}), outcome="y", modelnames=["model"], thresholds=thresholds
        )
    expected = table[table["model"] == "model"].sort_values("threshold")["net_benefit"].to_numpy()
    np.testing.assert_allclose(net_benefit(y, prob, thresholds), expected, atol=1e-12)
    everyone = table[table["model"] == "all"].sort_values("threshold")["net_benefit"].to_numpy()
    np.testing.assert_allclose(net_benefit(y, np.ones(400), thresholds), everyone, atol=1e-12)


def test_calibration_against_statsmodels(sample):
    y, prob, _ = sample
    line = calibration_slope_intercept(y, prob)
    binomial = sm.families.Binomial()
    slope = sm.GLM(y, sm.add_constant(logit(prob)), family=binomial).fit().params[1]
    intercept = sm.GLM(y, np.ones(400), family=binomial, offset=logit(prob)).fit().params[0]
    assert line.slope == pytest.approx(slope, rel=1e-7)
    assert line.intercept == pytest.approx(intercept, rel=1e-7)


def test_calibration_against_calzone(sample):
    y, prob, _ = sample
    metrics, utils = quiet_import("calzone.metrics"), quiet_import("calzone.utils")
    two_columns = np.column_stack([1 - prob, prob])
    slope = metrics.cox_regression_analysis(y, two_columns)[0]
    assert calibration_slope_intercept(y, prob).slope == pytest.approx(slope, rel=1e-4)
    observed, predicted, _, sizes = utils.reliability_diagram(y, two_columns, num_bins=10, class_to_plot=1)
    expected, _ = metrics.calculate_ece_mce(observed, predicted, sizes)
    assert expected_calibration_error(y, prob, strategy="uniform") == pytest.approx(expected, rel=1e-9)


def test_wilson_against_statsmodels():
    for hits, n in ((0, 20), (3, 20), (19, 20), (20, 20), (500, 1000)):
        ours = proportion_interval(np.arange(n) < hits)
        assert ours == pytest.approx(proportion_confint(hits, n, method="wilson"), abs=1e-12)


def test_share_of_patients_with_equal_records_is_that_of_patients():
    """Copies of a record add nothing: the interval is nearly that of one record per patient."""
    hits = np.arange(60) < 45
    once = proportion_interval(hits)
    copied = proportion_interval(np.repeat(hits, 4), np.repeat(np.arange(60), 4))
    # The variance over patients is that of a sample, with one degree of freedom less.
    assert copied == pytest.approx(once, abs=3e-3)
    independent = proportion_interval(np.repeat(hits, 4))
    assert independent[1] - independent[0] < 0.6 * (once[1] - once[0])
    assert all(np.isnan(proportion_interval(np.zeros(0, dtype=bool))))
    alone = proportion_interval(np.ones(4, dtype=bool), np.zeros(4, dtype=int))
    assert alone == pytest.approx(proportion_confint(1, 1, method="wilson"))


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_classification_against_scikit_learn(sample, threshold):
    y, prob, _ = sample
    found = classification_intervals(y, prob, threshold, n_resamples=200, random_state=0)
    called = prob >= threshold
    (tn, fp), (fn, tp) = confusion_matrix(y, called)
    for name, hits, n in (
        ("sensitivity", tp, tp + fn),
        ("specificity", tn, tn + fp),
        ("ppv", tp, tp + fp),
        ("npv", tn, tn + fn),
    ):
        interval = getattr(found, name)
        assert interval.estimate == pytest.approx(hits / n)
        assert (interval.low, interval.high) == pytest.approx(proportion_confint(hits, n, method="wilson"))
    assert found.f1.estimate == pytest.approx(f1_score(y, called))
    assert found.f1.low < found.f1.estimate < found.f1.high
    by_metric = bootstrap_interval(y, prob, lambda t, s: f1_score(t, s >= threshold), n_resamples=2000, random_state=1)
    many = classification_intervals(y, prob, threshold, random_state=2)
    assert (many.f1.low, many.f1.high) == pytest.approx((by_metric.low, by_metric.high), abs=0.015)


def test_predictive_values_at_another_prevalence(sample):
    y, prob, _ = sample
    here = classification_intervals(y, prob, 0.4, random_state=0)
    same = classification_intervals(y, prob, 0.4, prevalence=float(y.mean()), random_state=0)
    for name in ("ppv", "npv", "f1"):
        assert getattr(same, name).estimate == pytest.approx(getattr(here, name).estimate)
    # By counting: 7 % of positives among a population made of weighted records.
    rare = classification_intervals(y, prob, 0.4, prevalence=0.07, random_state=0)
    weight = np.where(y == 1, 0.07 / y.mean(), 0.93 / (1 - y.mean()))
    called = prob >= 0.4
    assert rare.ppv.estimate == pytest.approx(weight[called & (y == 1)].sum() / weight[called].sum())
    assert rare.npv.estimate == pytest.approx(weight[~called & (y == 0)].sum() / weight[~called].sum())
    assert rare.f1.estimate == pytest.approx(f1_score(y, called, sample_weight=weight))
    assert rare.sensitivity == here.sensitivity
    assert rare.ppv.low < rare.ppv.estimate < rare.ppv.high < here.ppv.estimate
    assert rare.prevalence == 0.07
    assert "prevalence 7.0%" in str(rare)
    # By simulation of both shares.
    rng = np.random.default_rng(0)
    (tn, fp), (fn, tp) = confusion_matrix(y, called)
    se, sp = rng.beta(tp + 0.5, fn + 0.5, size=20000), rng.beta(tn + 0.5, fp + 0.5, size=20000)
    simulated = np.quantile(se * 0.07 / (se * 0.07 + (1 - sp) * 0.93), [0.025, 0.975])
    assert (rare.ppv.low, rare.ppv.high) == pytest.approx(simulated, abs=0.015)


def test_no_false_positive_is_not_certainty():
    y = np.repeat([0, 1], [30, 20])
    score = np.r_[np.zeros(30), np.ones(12), np.zeros(8)]
    found = classification_intervals(y, score, 0.5, prevalence=0.07, n_resamples=50, random_state=0)
    assert found.ppv.estimate == found.ppv.high == 1
    # As many as 11 % of negatives may be called positive, and then the PPV is below a third.
    assert 0.2 < found.ppv.low < 0.4


def test_a_threshold_that_calls_nobody(sample):
    y, prob, _ = sample
    found = classification_intervals(y, prob, 1.5, n_resamples=50, random_state=0)
    assert np.isnan([found.ppv.estimate, found.ppv.low, found.ppv.high]).all()
    assert found.sensitivity.estimate == 0
    assert found.sensitivity.high > 0
    rare = classification_intervals(y, prob, 1.5, prevalence=0.1, n_resamples=50, random_state=0)
    assert np.isnan(rare.ppv.estimate)
    assert rare.npv.estimate == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": np.nan}, "threshold must be a number"),
        ({"threshold": "half"}, "threshold must be a number"),
        ({"prevalence": 0}, "prevalence must be a share"),
        ({"prevalence": 7}, "prevalence must be a share"),
        ({"y_score": [0.2]}, "one score for each"),
        ({"y_true": np.ones(400)}, "both classes"),
        ({"groups": [1]}, "groups must hold"),
        ({"n_resamples": 0}, "n_resamples"),
        ({"confidence_level": 1.0}, "confidence_level"),
    ],
)
def test_bad_input_is_told(sample, changes, message):
    y, prob, _ = sample
    arguments = {"y_true": y, "y_score": prob, "threshold": 0.5} | changes
    with pytest.raises(ValueError, match=message):
        classification_intervals(**arguments)


def test_skill_is_what_the_brier_score_leaves_of_the_prevalence(sample):
    y, prob, _ = sample
    share = y.mean()
    assert brier_skill_score(y, prob) == pytest.approx(1 - np.mean((y - prob) ** 2) / (share * (1 - share)))
    assert brier_skill_score(y, np.full(400, share)) == pytest.approx(0)
    assert brier_skill_score(y, y.astype(float)) == 1
    assert brier_skill_score(y, np.full(400, 0.1), prevalence=0.1) == pytest.approx(0)
    with pytest.raises(ValueError, match="prevalence"):
        brier_skill_score(y, prob, prevalence=1.0)


PLAIN = {
    "brier_skill_score": brier_skill_score,
    "calibration_slope": lambda y, p: calibration_slope_intercept(y, p).slope,
    "calibration_intercept": lambda y, p: calibration_slope_intercept(y, p).intercept,
}


@pytest.mark.parametrize("metric", sorted(PLAIN))
def test_weighted_metrics_are_the_plain_ones_on_copies(sample, metric):
    y, prob, _ = sample
    weights = np.random.default_rng(0).integers(4, size=(400, 12)).astype(float)
    values = make_statistic(metric, y == 1, prob, None)(weights)
    for value, weight in zip(values, weights.T, strict=True):
        chosen = np.repeat(np.arange(400), weight.astype(int))
        assert value == pytest.approx(PLAIN[metric](y[chosen], prob[chosen]), rel=1e-7, abs=1e-9)
    assert bootstrap_interval(y, prob, metric, n_resamples=20, random_state=0).estimate == pytest.approx(
        PLAIN[metric](y, prob), rel=1e-8
    )


def test_weighted_calibration_error_keeps_its_bins(sample):
    y, prob, _ = sample
    found = bootstrap_interval(y, prob, "expected_calibration_error", n_resamples=200, random_state=0)
    assert found.estimate == pytest.approx(expected_calibration_error(y, prob), rel=1e-10)
    twice = make_statistic("expected_calibration_error", y == 1, prob, None)(np.full((400, 1), 2.0))
    assert twice[0] == pytest.approx(found.estimate)


def test_extreme_probabilities_have_a_slope_too():
    rng = np.random.default_rng(0)
    true = rng.normal(scale=2, size=300)
    y = (rng.random(300) < expit(true)).astype(int)
    for factor in (0.01, 30.0):
        prob = np.clip(expit(factor * true), 1e-6, 1 - 1e-6)
        found = bootstrap_interval(y, prob, "calibration_slope", n_resamples=20, random_state=0)
        assert found.estimate == pytest.approx(calibration_slope_intercept(y, prob).slope, rel=1e-6)


def test_a_constant_has_no_slope_and_a_perfect_model_an_infinite_one(sample):
    y, _, _ = sample
    constant = bootstrap_interval(y, np.full(400, 0.3), "calibration_slope", n_resamples=20, random_state=0)
    assert np.isnan([constant.estimate, constant.low, constant.high]).all()
    # Constant in every fold, with folds' own prevalences: no slope either.
    folds = np.arange(400) % 2
    by_fold = bootstrap_interval(y, 0.3 + 0.01 * folds, "calibration_slope", folds=folds, n_resamples=20)
    assert np.isnan(by_fold.estimate)
    perfect = bootstrap_interval(y, 0.1 + 0.8 * y, "calibration_slope", n_resamples=20, random_state=0)
    assert perfect.estimate == perfect.low == perfect.high == np.inf
    difference = bootstrap_difference(y, 0.1 + 0.8 * y, 0.2 + 0.6 * y, "calibration_slope", n_resamples=20)
    assert np.isnan(difference.estimate)


@pytest.mark.parametrize("metric", METRICS[2:])
def test_metrics_of_probabilities_refuse_other_scores(sample, metric):
    y, prob, _ = sample
    with pytest.raises(ValueError, match="must hold probabilities"):
        bootstrap_interval(y, 2 * prob, metric)


def test_areas_agree_with_each_other(sample):
    y, prob, _ = sample
    assert roc_auc_interval(y, prob).estimate == pytest.approx(bootstrap_interval(y, prob, "roc_auc").estimate)
