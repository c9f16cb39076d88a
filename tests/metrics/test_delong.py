"""DeLong's test against his definition, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from omi_estimators.metrics import delong_roc_test, roc_auc_interval


@pytest.fixture
def scored():
    """Return y and two sets of scores with ties."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3 == 0
    return y, np.round(y + rng.normal(size=90), 1), np.round(0.5 * y + rng.normal(size=90), 1)


def _covariance(y, scores):
    """Return DeLong's covariance from the matrix of all pairs."""
    pairs = [(s[y][:, np.newaxis] > s[~y]) + 0.5 * (s[y][:, np.newaxis] == s[~y]) for s in map(np.asarray, scores)]
    of_positives = np.cov([pair.mean(axis=1) for pair in pairs])
    of_negatives = np.cov([pair.mean(axis=0) for pair in pairs])
    return of_positives / y.sum() + of_negatives / (~y).sum()


def test_against_all_pairs(scored):
    y, a, b = scored
    covariance = _covariance(y, [a, b])
    test = delong_roc_test(y, a, b, confidence_level=0.9)
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert (test.auc_a, test.auc_b) == pytest.approx((roc_auc_score(y, a), roc_auc_score(y, b)))
    assert test.difference == pytest.approx(test.auc_a - test.auc_b)
    assert test.z == pytest.approx(test.difference / error)
    assert test.p_value == pytest.approx(2 * norm.sf(abs(test.z)))
    assert (test.low, test.high) == pytest.approx(norm.interval(0.9, test.difference, error))


def test_interval_is_symmetric_in_log_odds(scored):
    y, a, _ = scored
    area, variance = roc_auc_score(y, a), _covariance(y, [a, a])[0, 0]
    interval = roc_auc_interval(y, a)
    logit = [np.log(p / (1 - p)) for p in (interval.low, area, interval.high)]
    half = 1.959964 * np.sqrt(variance) / (area * (1 - area))
    np.testing.assert_allclose(np.diff(logit), half, rtol=1e-6)


def test_equal_scores_do_not_differ(scored):
    y, a, _ = scored
    test = delong_roc_test(y, a, 2 * a)
    assert (test.difference, test.z, test.p_value) == (0, 0, 1)


def test_swapping_models_swaps_the_sign(scored):
    y, a, b = scored
    there, back = delong_roc_test(y, a, b), delong_roc_test(y, b, a)
    assert there.difference == -back.difference
    assert there.p_value == back.p_value


def test_certain_difference():
    y = np.repeat([0, 1], 10)
    assert delong_roc_test(y, y, -y).p_value == 0


def test_bad_input(scored):
    y, a, b = scored
    with pytest.raises(ValueError, match="use bootstrap_difference"):
        delong_roc_test(y, a, b, groups=np.arange(90) // 2)
    with (
        pytest.raises(ValueError, match="two records of each class; got 1 positive and 3 negative"),
        pytest.warns(UserWarning, match="Only"),
    ):
        delong_roc_test([0, 0, 0, 1], [1, 2, 3, 4], [1, 2, 3, 4])
    with pytest.raises(ValueError, match="y_score_b"):
        delong_roc_test(y, a, b[1:])


def test_it_holds_its_level():
    """Two models that are equally good: p below 0.05 in about 5 % of data sets."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 4 == 0
    shared = y + rng.normal(size=(400, 200))
    p_values = [delong_roc_test(y, s + rng.normal(size=200), s + rng.normal(size=200)).p_value for s in shared]
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.09
