"""Calibration, thresholds and net benefit, against brute force and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from omi_estimators.metrics import (
    calibration_slope_intercept,
    expected_calibration_error,
    net_benefit,
    threshold_at_ppv,
    threshold_at_sensitivity,
)

scored_records = st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=2, max_size=30).filter(
    lambda rows: len({y for y, _ in rows}) == 2
)


@pytest.fixture
def calibrated():
    """Return y, and the very probabilities it was drawn with."""
    rng = np.random.default_rng(0)
    prob = expit(rng.normal(-1, 1.5, size=20_000))
    return (rng.random(20_000) < prob).astype(int), prob


def test_slope_is_that_of_logistic_regression(calibrated):
    y, prob = calibrated
    distorted = expit(2 * logit(prob) + 0.5)
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit(distorted)[:, np.newaxis], y)
    line = calibration_slope_intercept(y, distorted)
    assert line.slope == pytest.approx(fit.coef_[0, 0], rel=1e-4)
    shifted = expit(logit(distorted) + line.intercept)
    assert shifted.mean() == pytest.approx(y.mean(), abs=1e-9)


def test_true_probabilities_are_calibrated(calibrated):
    line = calibration_slope_intercept(*calibrated)
    assert (line.slope, line.intercept) == pytest.approx((1, 0), abs=0.06)
    assert expected_calibration_error(*calibrated) < 0.015
    too_extreme = expit(2 * logit(calibrated[1]))
    assert calibration_slope_intercept(calibrated[0], too_extreme).slope == pytest.approx(0.5, abs=0.03)
    assert expected_calibration_error(calibrated[0], too_extreme) > 0.05


def test_probabilities_of_zero_and_one():
    line = calibration_slope_intercept([0, 1, 0, 1, 1, 0], [0.0, 1.0, 1.0, 0.5, 0.7, 0.2])
    assert np.isfinite([line.slope, line.intercept]).all()


def test_calibration_where_there_is_no_slope():
    constant = calibration_slope_intercept([0, 0, 0, 1], [0.5] * 4)
    assert np.isnan(constant.slope)
    assert constant.intercept == pytest.approx(logit(0.25))
    separated = calibration_slope_intercept([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4])
    assert separated.slope == np.inf
    assert expit(logit([0.1, 0.2, 0.3, 0.4]) + separated.intercept).sum() == pytest.approx(2)
    with pytest.raises(ValueError, match="clip"):
        calibration_slope_intercept([0, 1], [0.1, 0.4], clip=0)


def test_expected_calibration_error_by_hand():
    y, prob = [0, 1, 0, 1], [0.05, 0.15, 0.55, 0.95]
    uniform = (0.05 + 0.85 + 0.55 + 0.05) / 4
    assert expected_calibration_error(y, prob, strategy="uniform") == pytest.approx(uniform)
    assert expected_calibration_error(y, prob, n_bins=2) == pytest.approx((abs(0.2 - 1) + abs(1.5 - 1)) / 4)
    assert expected_calibration_error(y, prob, n_bins=1) == pytest.approx(abs(1.7 - 2) / 4)
    assert expected_calibration_error([0, 0, 0, 1], [0.25] * 4) == pytest.approx(0)
    assert expected_calibration_error([0] * 60 + [1] * 41, [0.0] * 60 + [1.0] * 41) == 0
    for bad in ({"n_bins": 0}, {"strategy": "kmeans"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            expected_calibration_error(y, prob, **bad)


@given(scored_records)
def test_net_benefit_by_counting(rows):
    y, prob = np.array([y for y, _ in rows]), np.array([score / 10 for _, score in rows])
    thresholds = np.arange(10) / 10
    expected = [(y & (prob >= t)).mean() - (~y & (prob >= t)).mean() * t / (1 - t) for t in thresholds]
    np.testing.assert_allclose(net_benefit(y, prob, thresholds), expected, atol=1e-12)


def test_net_benefit_bounds():
    y = [0, 0, 1, 1]
    np.testing.assert_allclose(net_benefit(y, y, [0.0, 0.3, 0.9]), 0.5)
    assert net_benefit(y, [0.5] * 4, 0.2).shape == (1,)
    for thresholds in ([0.5, 1.0], [-0.1], [np.nan], [[0.1]]):
        with pytest.raises(ValueError, match="below 1"):
            net_benefit(y, [0.5] * 4, thresholds)


@given(scored_records, st.sampled_from([0.07, 0.3, 0.5, 0.9, 1.0]))
def test_threshold_at_sensitivity_by_brute_force(rows, wanted):
    y, score = np.array([y for y, _ in rows]), np.array([score for _, score in rows])
    good = [t for t in np.unique(score) if (score[y] >= t).mean() >= wanted]
    assert threshold_at_sensitivity(y, score, wanted) == max(good)


@given(scored_records, st.sampled_from([0.2, 0.5, 0.85, 1.0]))
def test_threshold_at_ppv_by_brute_force(rows, wanted):
    y, score = np.array([y for y, _ in rows]), np.array([score for _, score in rows])
    good = [t for t in np.unique(score) if y[score >= t].mean() >= wanted]
    if good:
        assert threshold_at_ppv(y, score, wanted) == min(good)
    else:
        with pytest.raises(ValueError, match="No threshold reaches"):
            threshold_at_ppv(y, score, wanted)


def test_sensitivity_is_met_exactly_where_it_can_be():
    y = np.ones(101, dtype=int)
    y[0] = 0
    # 7 of 100 positives are a sensitivity of 0.07, although 0.07 * 100 exceeds 7 in floating point.
    assert threshold_at_sensitivity(y, np.arange(101.0), 0.07) == 94


@pytest.mark.parametrize("choose", [threshold_at_ppv, threshold_at_sensitivity])
@pytest.mark.parametrize("share", [0, 1.1, 90])
def test_bad_share(choose, share):
    with pytest.raises(ValueError, match="share above 0"):
        choose([0, 1], [0.1, 0.2], share)
