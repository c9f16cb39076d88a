"""Intervals of shares hold their level where records of a patient are alike, with few patients too."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from omi_estimators.metrics._proportion import proportion_interval


def draw(rng, share, alike, n_patients, n_records):
    """Return successes and patients, whose own shares follow a beta distribution."""
    total = (1 - alike) / alike
    of_patients = rng.beta(share * total, (1 - share) * total, size=n_patients)
    units = np.repeat(np.arange(n_patients), n_records)
    return rng.random(len(units)) < of_patients[units], units


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("alike", [0.1, 0.5])
def test_coverage_of_fifteen_patients_with_ten_records_each(share, alike):
    rng = np.random.default_rng(0)
    held = []
    for _ in range(1000):
        low, high = proportion_interval(*draw(rng, share, alike, 15, 10))
        held.append(low <= share <= high)
    # 95 % or, near 0 and 1, more, which is on the safe side; two standard errors of the simulation are 1.4 %.
    assert 0.935 <= np.mean(held) <= (0.985 if share < 0.9 else 0.995)


def test_degrees_of_freedom_are_patients_with_the_rarer_outcome():
    rng = np.random.default_rng(1)
    hits, units = draw(rng, 0.5, 0.2, 20, 10)
    share, n_patients = hits.mean(), 20
    totals = np.bincount(units, weights=hits - share)
    size = share * (1 - share) * 200**2 / ((totals**2).sum() * 20 / 19)
    quantiles = student.ppf(0.975, [19, 1e9])
    size *= (quantiles[1] / quantiles[0]) ** 2
    z = quantiles[1]
    centre = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    assert min((np.bincount(units, weights=hits) > 0).sum(), (np.bincount(units, weights=~hits) > 0).sum()) >= 19
    low, high = proportion_interval(hits, units)
    assert n_patients < size < 200
    assert (low + high) / 2 == pytest.approx(centre, abs=1e-6)
    # The same number of patients, but only three of them ever fail: less is known of how failures cluster.
    few = np.ones(200, dtype=bool)
    few[[0, 1, 2, 30, 31, 32, 60, 61, 62]] = False
    many = np.ones(200, dtype=bool)
    many[np.r_[0:90:10]] = False
    wide, narrow = (np.diff(proportion_interval(outcome, units))[0] for outcome in (few, many))
    assert wide > 1.5 * narrow


def test_one_record_per_patient_is_wilsons_interval():
    hits = np.arange(50) < 41
    assert proportion_interval(hits, np.arange(50)) == pytest.approx(proportion_interval(hits), abs=1e-12)


def test_patients_that_all_agree_count_once_each():
    hits = np.arange(12) < 11
    by_patient = proportion_interval(np.repeat(hits, 10), np.repeat(np.arange(12), 10))
    assert by_patient == pytest.approx(proportion_interval(hits), abs=1e-12)
    # Nobody fails: certainty is that of the patients, and less where one patient has most of the records.
    all_right = proportion_interval(np.ones(120, dtype=bool), np.repeat(np.arange(12), 10))
    assert all_right == pytest.approx(proportion_interval(np.ones(12, dtype=bool)), abs=1e-12)
    uneven = proportion_interval(np.ones(120, dtype=bool), np.repeat(np.arange(12), [109, *[1] * 11]))
    assert uneven[0] < 0.3 < all_right[0]
    alone = proportion_interval(np.arange(10) < 8, np.zeros(10, dtype=int))
    assert alone == pytest.approx((0.18, 1.0), abs=0.05)
