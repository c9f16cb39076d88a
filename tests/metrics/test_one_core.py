"""Each figure is computed in one place: what is said of the data is what the bootstrap says of weights of one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from omi_estimators.metrics import (
    bootstrap_difference,
    bootstrap_interval,
    bootstrap_intervals,
    brier_skill_score,
    calibration_slope_intercept,
    decision_curve,
    delong_roc_test,
    expected_calibration_error,
    net_benefit,
    roc_auc_interval,
)
from omi_estimators.metrics._weighted import make_statistic

PLAIN = {
    "roc_auc": lambda y, p: roc_auc_interval(y, p).estimate,
    "brier_skill_score": brier_skill_score,
    "calibration_slope": lambda y, p: calibration_slope_intercept(y, p).slope,
    "calibration_intercept": lambda y, p: calibration_slope_intercept(y, p).intercept,
    "expected_calibration_error": expected_calibration_error,
}

Y = np.arange(40) % 2
EDGES = {
    "separated": 0.2 + 0.6 * Y,
    "separated but for a tie": np.where(np.arange(40) < 2, 0.5, 0.2 + 0.6 * Y),
    "separated the wrong way round": 0.8 - 0.6 * Y,
    "certain": Y.astype(float),
    "certain and wrong": 1.0 - Y,
    "constant": np.full(40, 0.3),
    "all zero": np.zeros(40),
    "all one": np.ones(40),
    "two values": np.where(np.arange(40) < 20, 0.1, 0.7),
    "one differs": np.where(np.arange(40) == 3, 0.9, 0.3),
}


@pytest.mark.parametrize("metric", PLAIN)
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.filterwarnings("ignore:The classes are perfectly separated")
def test_plain_and_weighted_figures_are_the_same_at_the_edges(metric, edge):
    prob = EDGES[edge]
    weighted = make_statistic(metric, Y == 1, prob, None)
    (once,), (twice,) = (weighted(np.full((40, 1), weight)) for weight in (1.0, 2.0))
    plain, resampled = PLAIN[metric](Y, prob), bootstrap_interval(Y, prob, metric, n_resamples=1).estimate
    np.testing.assert_array_equal([once, resampled], [plain, plain])
    assert twice == pytest.approx(plain, rel=1e-9, abs=1e-9, nan_ok=True)


def test_the_slope_of_separated_classes():
    assert calibration_slope_intercept(Y, EDGES["separated"]).slope == np.inf
    assert calibration_slope_intercept(Y, EDGES["separated but for a tie"]).slope == np.inf
    assert calibration_slope_intercept(Y, EDGES["separated the wrong way round"]).slope == -np.inf
    assert np.isnan(calibration_slope_intercept(Y, EDGES["constant"]).slope)
    wrong = bootstrap_interval(Y, EDGES["separated the wrong way round"], "calibration_slope", n_resamples=20)
    assert wrong.estimate == wrong.low == wrong.high == -np.inf


def test_a_resample_of_one_probability_has_no_slope_either():
    slope = make_statistic("calibration_slope", Y == 1, EDGES["two values"], None)
    drawn = np.stack([np.ones(40), np.arange(40) < 20], axis=1).astype(float)
    assert np.isnan(slope(drawn)).tolist() == [False, True]


def test_a_prediction_constant_in_each_fold_has_no_slope():
    folds = np.arange(40) // 20
    line = calibration_slope_intercept(Y, 0.3 + 0.2 * folds, folds=folds)
    assert np.isnan(line.slope)
    assert line.intercept == calibration_slope_intercept(Y, 0.3 + 0.2 * folds).intercept
    assert np.isfinite(calibration_slope_intercept(Y, 0.3 + 0.2 * folds).slope)
    with pytest.raises(ValueError, match="folds must hold one value for each of the 40"):
        calibration_slope_intercept(Y, EDGES["two values"], folds=[0, 1])


@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-6])
def test_the_slope_of_nearly_separated_classes_is_the_best(gap):
    """One far record sets the scale, and two that overlap by a hair set a slope thousands of times as steep."""
    log_odds = np.r_[-12.0, np.linspace(-0.02, -0.01, 30), gap, 0.0, np.linspace(0.01, 0.02, 30)]
    y = np.r_[np.zeros(32), np.ones(31)].astype(int)
    y[31], y[32] = 0, 1
    slope = calibration_slope_intercept(y, expit(log_odds)).slope
    assert np.isfinite(slope)
    assert slope > 50

    def lose(b):
        from scipy.optimize import minimize_scalar

        linear = b * logit(expit(log_odds))
        lost = minimize_scalar(lambda a: (np.logaddexp(0, a + linear) - y * (a + linear)).sum(), bracket=(-1, 1))
        return lost.fun

    assert lose(slope) <= min(lose(0.99 * slope), lose(1.01 * slope)) + 1e-9


@pytest.mark.parametrize("clip", [1e-12, 1e-100, 1e-300])
def test_the_intercept_of_certain_probabilities_sums_to_the_events(clip):
    y = np.r_[np.zeros(97), np.ones(3)].astype(int)
    for prob in (np.ones(100), np.zeros(100), np.arange(100) % 2.0):
        line = calibration_slope_intercept(y, prob, clip=clip)
        fitted = expit(np.where(prob == 1, -logit(clip), logit(clip)) + line.intercept)
        assert fitted.sum() == pytest.approx(3, rel=1e-6)


def test_areas_by_ranks_and_by_resamples_are_equal_to_the_bit():
    rng = np.random.default_rng(0)
    y = (rng.random(300) < 0.3).astype(int)
    a, b = np.round(y + rng.normal(size=300), 1), np.round(rng.normal(size=300), 1)
    test = delong_roc_test(y, a, b)
    assert test.auc_a == bootstrap_interval(y, a, "roc_auc", n_resamples=1).estimate
    assert test.auc_b == bootstrap_interval(y, b, "roc_auc", n_resamples=1).estimate
    assert test.auc_a == pytest.approx(roc_auc_score(y, a), abs=1e-12)


def test_net_benefit_is_that_of_its_curve_to_the_bit():
    rng = np.random.default_rng(0)
    prob = np.round(rng.random(200), 1)
    y = rng.random(200) < prob
    thresholds = np.arange(10) / 10
    curve = decision_curve(y, prob, thresholds=thresholds, n_resamples=2)
    np.testing.assert_array_equal(curve.y, net_benefit(y, prob, thresholds))


def test_a_model_constant_in_each_fold_has_half_the_area():
    """Out of fold a constant model states each training part's prevalence; pooled, that ranks worse than chance."""
    y = (np.arange(203) % 7 == 0).astype(int)
    groups = np.arange(203) // 2
    folds = groups % 5
    prevalence = np.array([y[folds != fold].mean() for fold in range(5)])[folds]
    assert roc_auc_interval(y, prevalence, groups=groups, n_resamples=50, random_state=0).estimate < 0.5
    for given in ({"groups": groups}, {}):
        found = roc_auc_interval(y, prevalence, folds=folds, **given, n_resamples=50, random_state=0)
        assert (found.estimate, found.low, found.high) == (0.5, 0.5, 0.5)
        assert found.method == "percentile"
    named = np.array(["a", "b", "c", "d", "e"])[folds]
    assert roc_auc_interval(y, prevalence, folds=named, n_resamples=50, random_state=0).estimate == 0.5


def test_delong_is_about_one_model():
    prob = EDGES["two values"]
    assert roc_auc_interval(Y, prob, folds=np.zeros(40)) == roc_auc_interval(Y, prob)
    with pytest.raises(ValueError, match="DeLong's method takes scores for one model's; use 'auto'"):
        roc_auc_interval(Y, prob, folds=np.arange(40) // 20, method="delong")


def test_folds_of_one_class_each_are_an_error_and_no_endless_draw():
    with pytest.raises(ValueError, match="No fold holds both classes"):
        bootstrap_interval(Y, EDGES["two values"], "roc_auc", folds=Y, n_resamples=5)


@pytest.fixture
def models():
    rng = np.random.default_rng(0)
    groups = rng.integers(60, size=150)
    y = (rng.random(60) < 0.4)[groups].astype(int)
    scores = {name: expit(c * (y - 0.5) + rng.normal(size=150)) for name, c in (("net", 2.0), ("forest", 1.0))}
    return y, scores, {"groups": groups, "folds": groups % 3, "n_resamples": 60}


def test_all_intervals_at_once_are_those_one_by_one(models):
    y, scores, given = models
    found = bootstrap_intervals(y, scores, reference="forest", random_state=0, **given)
    assert list(found) == ["net", "forest"]
    for metric in ("roc_auc", "average_precision", "calibration_slope", "brier_skill_score"):
        for name, score in scores.items():
            assert found[name][metric] == bootstrap_interval(y, score, metric, random_state=0, **given)
        apart = bootstrap_difference(y, scores["net"], scores["forest"], metric, random_state=0, **given)
        assert found["net"][f"{metric}_difference"] == apart
    assert not any("difference" in name for name in found["forest"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": "fusion"}, "reference must be one of net, forest; got 'fusion'"),
        ({"on_few": "raise"}, "on_few must be 'warn' or 'ignore'"),
        ({"metrics": ["accuracy"]}, "Unknown metric 'accuracy'"),
    ],
)
def test_bad_input_is_told(models, changes, message):
    y, scores, given = models
    with pytest.raises(ValueError, match=message):
        bootstrap_intervals(y, scores, **(given | changes))


def test_few_events_can_be_left_unsaid(models):
    scores = models[1]
    few = np.arange(150) < 3
    found = bootstrap_intervals(few, scores, ["roc_auc"], on_few="ignore", n_resamples=5, random_state=0)
    assert set(found) == {"net", "forest"}
    with pytest.warns(UserWarning, match="Only 3 positive records"):
        bootstrap_intervals(few, scores, ["roc_auc"], n_resamples=5, random_state=0)
