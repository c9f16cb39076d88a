"""The bootstrap by patient, against scikit-learn on resamples written out record by record."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from omi_estimators.metrics import (
    FewEventsWarning,
    bootstrap_difference,
    bootstrap_interval,
    expected_calibration_error,
    roc_auc_interval,
)
from omi_estimators.metrics._bootstrap import Resampler, find_interval
from omi_estimators.metrics._weighted import make_statistic

SKLEARN = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
    "brier_score": brier_score_loss,
}


@pytest.fixture
def scored():
    """Return y, probabilities with many ties, patients: 120 records of about 50 patients."""
    rng = np.random.default_rng(0)
    y = (rng.random(120) < 0.4).astype(int)
    prob = np.clip(np.round(0.5 + 0.2 * (y - 0.5) + 0.2 * rng.normal(size=120), 1), 0, 1)
    return y, prob, rng.integers(50, size=120)


@pytest.mark.parametrize("metric", SKLEARN)
def test_estimate_is_scikit_learns(scored, metric):
    y, prob, groups = scored
    interval = bootstrap_interval(y, prob, metric, groups=groups, n_resamples=50, random_state=0)
    assert interval.estimate == pytest.approx(SKLEARN[metric](y, prob), abs=1e-12)
    assert interval.low <= interval.estimate <= interval.high


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=25).filter(
        lambda rows: {0, 1} <= {int(y) for y, _, weight in rows if weight}
    )
)
def test_weights_are_copies_and_ties_are_exact(rows):
    y, score, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    copies = np.repeat(np.arange(len(y)), weight.astype(int))
    for name, metric in SKLEARN.items():
        value = make_statistic(name, y == 1, score / 4, None)(weight[:, np.newaxis])[0]
        assert value == pytest.approx(metric(y[copies], score[copies] / 4), abs=1e-12)


@pytest.mark.parametrize("metric", SKLEARN)
def test_a_function_gives_what_its_name_gives(scored, metric):
    y, prob, groups = scored
    keywords = {"groups": groups, "n_resamples": 40, "random_state": 1}
    plain = bootstrap_interval(y, prob, lambda y, s: SKLEARN[metric](y, s), **keywords)
    named = bootstrap_interval(y, prob, metric, **keywords)
    known = bootstrap_interval(y, prob, SKLEARN[metric], **keywords)
    assert known == named
    assert (plain.low, plain.high) == pytest.approx((named.low, named.high), abs=1e-12)


def test_folds_compare_within_a_fold_only(scored):
    y, prob, _ = scored
    folds = np.arange(120) % 3
    shifted = np.clip(prob / 4 + 0.3 * (folds == 1), 0, 1)  # one model of the three is offset
    pairs = auc = precision = 0.0
    for fold in range(3):
        here = folds == fold
        n_pairs = y[here].sum() * (1 - y[here]).sum()
        auc += n_pairs * roc_auc_score(y[here], shifted[here])
        pairs += n_pairs
        precision += y[here].sum() * average_precision_score(y[here], shifted[here])
    keywords = {"folds": folds, "n_resamples": 10, "random_state": 0}
    assert bootstrap_interval(y, shifted, "roc_auc", **keywords).estimate == pytest.approx(auc / pairs)
    assert bootstrap_interval(y, shifted, "average_precision", **keywords).estimate == pytest.approx(
        precision / y.sum()
    )
    constant_per_fold = 0.2 + 0.1 * folds
    assert bootstrap_interval(y, constant_per_fold, "roc_auc", **keywords).estimate == 0.5
    with pytest.raises(ValueError, match="metric by name"):
        bootstrap_interval(y, shifted, lambda y, s: 0.0, **keywords)


def test_patients_are_drawn_whole():
    groups = np.repeat(np.arange(6), 3)
    resampler = Resampler(np.arange(18) % 2 == 1, groups, None)
    (weights,) = resampler.draw(200, np.random.default_rng(0))
    assert weights.shape == (18, 200)
    np.testing.assert_array_equal(weights[::3], weights[1::3])
    np.testing.assert_array_equal(weights[::3].sum(axis=0), 6)


def test_copies_of_records_do_not_narrow_the_interval(scored):
    y, prob, _ = scored
    once = bootstrap_interval(y, prob, "roc_auc", random_state=0)
    copies = np.repeat(np.arange(120), 5)
    keywords = {"random_state": 0}
    by_patient = bootstrap_interval(y[copies], prob[copies], "roc_auc", groups=copies, **keywords)
    by_record = bootstrap_interval(y[copies], prob[copies], "roc_auc", **keywords)
    assert (by_patient.low, by_patient.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert by_record.high - by_record.low < 0.6 * (once.high - once.low)


def test_resamples_of_one_class_are_drawn_again():
    y = np.zeros(40, dtype=int)
    y[0] = 1
    with pytest.warns(FewEventsWarning, match="Only 1 positive records"):
        interval = bootstrap_interval(y, np.linspace(0.9, 0.1, 40), "roc_auc", n_resamples=400, random_state=0)
    # Without the one positive there is nothing to rank: that happens with probability (39 / 40) ** 40 = 0.36.
    assert 150 < interval.n_redrawn < 320


def test_the_warning_counts_patients():
    y = np.repeat([0, 1], 30)
    with pytest.warns(FewEventsWarning, match="Only 3 positive patients"):
        bootstrap_interval(
            y, np.linspace(0, 1, 60), "roc_auc", groups=np.r_[:30, np.arange(30) // 10 + 30], n_resamples=5
        )


def test_same_random_state_same_interval(scored):
    y, prob, groups = scored
    first, second = (
        bootstrap_interval(y, prob, "average_precision", groups=groups, n_resamples=99, random_state=np_state)
        for np_state in (np.random.RandomState(3), np.random.RandomState(3))
    )
    assert first == second
    assert first != bootstrap_interval(y, prob, "average_precision", groups=groups, n_resamples=99, random_state=4)


def test_global_random_state_is_left_alone(scored):
    y, prob, groups = scored
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    bootstrap_interval(y, prob, "roc_auc", groups=groups, n_resamples=5, random_state=None)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_bca_is_scipys():
    from scipy.stats import bootstrap

    values = np.random.default_rng(0).lognormal(size=40)
    result = bootstrap((values,), np.mean, method="BCa", n_resamples=3000, rng=np.random.default_rng(1))
    left_out = (values.sum() - values) / (len(values) - 1)
    interval = find_interval(result.bootstrap_distribution, values.mean(), 0.95, left_out)
    assert interval == pytest.approx(tuple(result.confidence_interval), rel=1e-6)


def test_bca_by_patient(scored):
    y, prob, groups = scored
    percentile, bca = (
        bootstrap_interval(y, prob, "roc_auc", groups=groups, method=method, random_state=0)
        for method in ("percentile", "bca")
    )
    assert bca.method == "bca"
    assert bca.estimate == percentile.estimate
    assert (bca.low, bca.high) != (percentile.low, percentile.high)
    assert (bca.low, bca.high) == pytest.approx((percentile.low, percentile.high), abs=0.03)
    # A perfect score leaves nothing to correct, and no division by zero.
    perfect = bootstrap_interval(y, y, "roc_auc", groups=groups, method="bca", random_state=0)
    assert (perfect.low, perfect.high) == (1, 1)


@pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning")
def test_bca_needs_two_patients_of_each_class():
    with pytest.raises(ValueError, match="use method='percentile'"):
        bootstrap_interval([0, 0, 1], [0.1, 0.2, 0.3], "roc_auc", method="bca", n_resamples=20)


def test_difference_pairs_the_resamples(scored):
    y, prob, groups = scored
    keywords = {"groups": groups, "random_state": 0}
    same = bootstrap_difference(y, prob, prob, "roc_auc", **keywords)
    assert (same.estimate, same.low, same.high) == (0, 0, 0)
    better = np.clip(prob + 0.1 * (2 * y - 1), 0, 1)
    gain = bootstrap_difference(y, better, prob, "roc_auc", **keywords)
    alone = [bootstrap_interval(y, score, "roc_auc", **keywords) for score in (better, prob)]
    assert gain.estimate == pytest.approx(alone[0].estimate - alone[1].estimate)
    assert 0 < gain.low
    # What both share cancels: the paired interval is narrower than that of unpaired figures.
    assert gain.high - gain.low < np.hypot(*(one.high - one.low for one in alone))
    with pytest.raises(ValueError, match="y_score_b must hold one score"):
        bootstrap_difference(y, prob, prob[:-1], "roc_auc")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_true": [0, 1, 2, 1]}, "must hold 0 and 1"),
        ({"y_true": ["no", "yes", "no", "yes"]}, "y == positive_label"),
        ({"y_true": [0, np.nan, 1, 1]}, "must hold 0 and 1"),
        ({"y_true": [1, 1, 1, 1]}, "both classes"),
        ({"y_true": []}, "at least one record"),
        ({"y_score": [0.1, 0.2, 0.3]}, "one score for each of the 4 labels"),
        ({"y_score": [0.1, np.nan, 0.2, 0.3]}, "NaN or infinite, the first for record 1"),
        ({"y_score": [0.1, 1.2, 0.2, 0.3]}, "probabilities in"),
        ({"y_score": np.full((4, 2), 0.5)}, r"\[:, 1\]"),
        ({"y_score": ["a", "b", "c", "d"]}, "must hold numbers"),
        ({"groups": [1, 1, 2]}, "groups must hold one patient for each of the 4"),
        ({"groups": [1.0, 1.0, 2.0, np.nan]}, "groups has missing patients"),
        ({"folds": [0]}, "folds must hold"),
        ({"metric": "accuracy"}, "Unknown metric 'accuracy'"),
        ({"metric": lambda y, s: np.nan}, "NaN or infinite"),
        ({"method": "basic"}, "method must be"),
        ({"n_resamples": 0}, "n_resamples must be at least 1"),
        ({"confidence_level": 95}, "such as 0.95"),
    ],
)
@pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning")
def test_bad_input(changes, message):
    arguments = {"y_true": [0, 1, 0, 1], "y_score": [0.1, 0.4, 0.2, 0.3], "metric": "brier_score", "n_resamples": 10}
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(**(arguments | changes))


def test_roc_auc_interval_picks_its_method(scored):
    y, prob, groups = scored
    assert roc_auc_interval(y, prob).method == "delong"
    assert roc_auc_interval(y, prob, groups=np.arange(120)).method == "delong"
    by_patient = roc_auc_interval(y, prob, groups=groups, random_state=0)
    assert by_patient == bootstrap_interval(y, prob, "roc_auc", groups=groups, random_state=0)
    assert roc_auc_interval(y, prob, method="bootstrap", n_resamples=7, random_state=0).n_resamples == 7
    with pytest.raises(ValueError, match="use 'auto'"):
        roc_auc_interval(y, prob, groups=groups, method="delong")
    with pytest.raises(ValueError, match="method must be"):
        roc_auc_interval(y, prob, method="hanley")


@pytest.mark.parametrize("method", ["delong", "bootstrap"])
def test_perfect_separation_is_no_certainty(method):
    y = np.repeat([0, 1], 10)
    with pytest.warns(UserWarning, match="no certainty"):
        interval = roc_auc_interval(y, y, method=method, n_resamples=20)
    assert (interval.low, interval.high) == (1, 1)


def test_prints_as_in_a_paper(scored):
    y, prob, _ = scored
    interval = roc_auc_interval(y, prob)
    assert str(interval) == f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def test_the_interval_of_the_calibration_error_holds_its_estimate_and_the_mean_error_of_such_samples():
    rng = np.random.default_rng(0)

    def draw():
        log_odds = rng.normal(-1, 1.2, size=300)
        prob = 1 / (1 + np.exp(-log_odds))
        return (rng.random(300) < prob).astype(int), prob

    mean_error = np.mean([expected_calibration_error(*draw()) for _ in range(300)])
    found = [
        bootstrap_interval(*draw(), "expected_calibration_error", n_resamples=200, random_state=0) for _ in range(60)
    ]
    assert all(0 <= one.low <= one.estimate <= one.high for one in found)
    # Of resamples as they are, some 0.77 do.
    assert np.mean([one.low <= mean_error <= one.high for one in found]) > 0.9
