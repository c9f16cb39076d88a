"""Curves with bands: areas are the metrics, smooths are loess, bands are by patient."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import precision_recall_curve, roc_curve
from statsmodels.nonparametric.smoothers_lowess import lowess

from omi_estimators.metrics import (
    bootstrap_interval,
    decision_curve,
    net_benefit,
    precision_recall_band,
    reliability_curve,
    roc_band,
)

SCORES = {roc_band: "y_score", precision_recall_band: "y_score"}
CURVES = [roc_band, precision_recall_band, reliability_curve, decision_curve]


@pytest.fixture
def sample():
    """Return labels, probabilities with ties, patients and folds of 300 records."""
    rng = np.random.default_rng(0)
    groups = np.arange(300) // 2
    true = np.repeat(rng.normal(-1, 1.5, size=150), 2)
    y = (rng.random(300) < expit(true)).astype(int)
    return y, np.round(expit(true + rng.normal(scale=0.5, size=300)), 2), groups, groups % 5


@pytest.mark.parametrize("folded", [False, True])
def test_areas_are_the_metrics(sample, folded):
    y, prob, groups, folds = sample
    given = {"groups": groups, "folds": folds if folded else None, "n_resamples": 20, "random_state": 0}
    for curve, metric in ((roc_band, "roc_auc"), (precision_recall_band, "average_precision")):
        found = curve(y, prob, **given)
        expected = bootstrap_interval(y, prob, metric, **given).estimate
        assert np.trapezoid(found.y, found.x) == pytest.approx(expected, abs=1e-12)
        assert found.x[0] == 0
        assert found.x[-1] == 1


def test_one_fold_is_scikit_learns_curve(sample):
    y, prob, _, _ = sample
    found = roc_band(y, prob, n_resamples=5, random_state=0)
    false_rate, true_rate, _ = roc_curve(y, prob, drop_intermediate=False)
    for x, sensitivity in zip(false_rate, true_rate, strict=True):
        # A rise has both its ends.
        low, high = found.y[found.x == x]
        assert low - 1e-12 <= sensitivity <= high + 1e-12
    precision, recall, _ = precision_recall_curve(y, prob)
    steps = precision_recall_band(y, prob, n_resamples=5, random_state=0)
    here = 0 < recall
    at = np.searchsorted(steps.x, recall[here] - 1e-9)
    np.testing.assert_allclose(steps.y[at], [max(precision[recall == r]) for r in recall[here]])


def test_reliability_is_loess(sample):
    y, _, _, _ = sample
    prob = np.random.default_rng(1).random(300)
    for span in (0.5, 0.75):
        found = reliability_curve(y, prob, span=span, n_resamples=5, random_state=0)
        expected = lowess(y.astype(float), prob, frac=span, it=0, xvals=found.x, delta=0)
        np.testing.assert_allclose(found.y, np.clip(expected, 0, 1), atol=1e-9)


def test_net_benefit_of_the_curve(sample):
    y, prob, groups, _ = sample
    found = decision_curve(y, prob, groups=groups, n_resamples=300, random_state=0)
    np.testing.assert_allclose(found.y, net_benefit(y, prob, found.x))
    with pytest.raises(ValueError, match="thresholds must be probabilities"):
        decision_curve(y, prob, thresholds=[0.5, 1.0])


@pytest.mark.parametrize("curve", CURVES)
def test_bands(sample, curve):
    y, prob, groups, _ = sample
    given = {"n_resamples": 200, "random_state": 0}
    found = curve(y, prob, groups=groups, **given)
    inside = (found.low <= found.y + 0.02) & (found.y <= found.high + 0.02)
    assert inside.mean() > 0.95
    copies = [np.tile(values, 8) for values in (y, prob, groups)]
    by_patient = curve(copies[0], copies[1], groups=copies[2], **given)
    by_record = curve(copies[0], copies[1], **given)

    def width(c):
        return np.nanmean(c.high - c.low)

    assert width(by_patient) == pytest.approx(width(found), rel=0.25)
    assert width(by_record) < 0.6 * width(by_patient)
    again = curve(y, prob, groups=groups, **given)
    np.testing.assert_array_equal(again.low, found.low)


def test_constant_probabilities():
    y = np.arange(40) % 4 == 0
    found = reliability_curve(y, np.full(40, 0.3), n_resamples=50, random_state=0)
    assert found.x.tolist() == [0.3]
    assert found.y == pytest.approx([0.25])
    two = reliability_curve(y, np.where(np.arange(40) < 20, 0.1, 0.4), n_resamples=50, random_state=0)
    assert np.isfinite(two.y).all()


def test_reliability_bridges_the_gap_between_tied_probabilities():
    prob = np.repeat([0.02, 0.98], [90, 10])
    found = reliability_curve(np.arange(100) % 30 == 0, prob, n_resamples=50, random_state=0)
    assert np.isfinite(found.y).all()
    assert found.y[found.x < 0.5] == pytest.approx(3 / 90)
    assert found.y[found.x > 0.5] == pytest.approx(1 / 10)


@pytest.mark.parametrize("curve", CURVES)
def test_more_patients_narrow_the_band(sample, curve):
    y, prob, groups, _ = sample
    given = {"n_resamples": 200, "random_state": 0}
    few = curve(y, prob, groups=groups, **given)
    copies = np.concatenate([groups + 150 * copy for copy in range(4)])
    many = curve(np.tile(y, 4), np.tile(prob, 4), groups=copies, **given)
    # Four times the patients halve it.
    assert np.nanmean(many.high - many.low) == pytest.approx(np.nanmean(few.high - few.low) / 2, rel=0.25)
    assert many.n_resamples == 200


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_true": [0, 1]}, "for each of the 2 labels"),
        ({"y_true": np.ones(300)}, "both classes"),
        ({"groups": [1, 2]}, "groups must hold"),
        ({"n_resamples": 0}, "n_resamples"),
        ({"confidence_level": 95}, "confidence_level"),
    ],
)
def test_bad_input_is_told(sample, curve, changes, message):
    y, prob, _, _ = sample
    with pytest.raises(ValueError, match=message):
        curve(**({"y_true": y, SCORES.get(curve, "y_prob"): prob} | changes))


def test_bad_arguments_of_the_smooth(sample):
    y, prob, _, _ = sample
    with pytest.raises(ValueError, match="span"):
        reliability_curve(y, prob, span=0)
    with pytest.raises(ValueError, match="n_points"):
        reliability_curve(y, prob, n_points=1)
    with pytest.raises(ValueError, match="must hold probabilities"):
        reliability_curve(y, 2 * prob)
