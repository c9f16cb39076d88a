"""How many patients a study takes, beside figures that others have published."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom, norm

from omi_estimators.metrics import (
    bootstrap_interval,
    calibration_slope_intercept,
    patients_needed,
    tier_thresholds,
)

WIDTH = 2 * 1.959964
"""Width of a 95 % interval, in standard errors; the published figures are for standard errors."""


def normal(mean, deviation, n=100_000):
    return mean + deviation * ndtri((np.arange(n) + 0.5) / n)


@pytest.mark.parametrize(
    ("arguments", "published"),
    [
        # Tests of the Python package pmsampsize, whose first author is one of Riley's.
        (
            {"prevalence": 0.174, "n_parameters": 24, "r_squared": 0.288},
            {"shrinkage": 623, "optimism": 662, "overall_risk": 221},
        ),
        # Results that studies wrote into the code of Riley 2021 that they used. It rounds to the nearest, where we
        # round up, and draws log-odds by chance, with a standard error of about 2 patients.
        ({"prevalence": 0.45, "c_statistic": 0.72, "c_width": WIDTH * 0.0255}, {"c_statistic": 400}),
        ({"prevalence": 0.10, "c_statistic": 0.53, "c_width": WIDTH * 0.03}, {"c_statistic": 1025}),
        ({"prevalence": 0.45, "c_statistic": 0.72, "ratio_width": WIDTH * 0.051}, {"observed_over_expected": 470}),
        ({"prevalence": 0.10, "c_statistic": 0.53, "ratio_width": WIDTH * 0.102}, {"observed_over_expected": 865}),
        (
            {"prevalence": 0.43, "log_odds": normal(-0.339, 1.128), "slope_width": WIDTH * 0.072},
            {"calibration_slope": 1187},
        ),
        (
            {"prevalence": 0.52, "log_odds": normal(0.067, 1.495), "slope_width": WIDTH * 0.072},
            {"calibration_slope": 923},
        ),
        ({"prevalence": 0.5, "log_odds": normal(0.02, 0.9), "slope_width": WIDTH * 0.072}, {"calibration_slope": 1518}),
    ],
)
def test_published_figures(arguments, published):
    found = patients_needed(**arguments)
    for name, number in published.items():
        exact = "n_parameters" in arguments
        assert found[name] == number if exact else abs(found[name] - number) <= 2, name


def test_margins_of_shares_are_those_of_the_normal_interval():
    found = patients_needed(0.2, sensitivity=0.9, ppv=0.85, ruled_in=0.1, margin=0.04)
    assert found["sensitivity"] == math.ceil(1.959964**2 * 0.09 / 0.04**2 / 0.2)
    assert found["ppv"] == math.ceil(1.959964**2 * 0.85 * 0.15 / 0.04**2 / 0.1)


def test_the_least_number_is_where_a_promise_begins():
    found = patients_needed(0.5, sensitivity=0.8, guarantee=0.9)["sensitivity_promised"]
    # Half of them have events.
    n_events = found // 2
    assert 0.8**n_events <= 0.1 < 0.8 ** (n_events - 1)
    y, score = np.repeat([0, 1], n_events), np.arange(2.0 * n_events)
    keywords = {"sensitivity": 0.8, "ppv": 0.8, "guarantee": 0.9, "n_resamples": 1, "random_state": 0}
    assert tier_thresholds(y, score, **keywords).rule_out.estimate == n_events
    with pytest.raises(ValueError, match=f"at least {n_events}, .* there are {n_events - 1}"):
        tier_thresholds(y[:-1], score[:-1], **keywords)


def test_a_promise_within_a_margin_costs_no_more():
    found = patients_needed(0.25, sensitivity=0.9, guarantee=0.9, margin=0.05)["sensitivity_promised_within_margin"]
    n_events = found // 4
    # So many may be missed of them that the binomial of a sensitivity of 0.9 is below 0.1; of ten fewer too few.
    assert binom.cdf(math.floor(0.05 * n_events), n_events, 0.1) <= 0.1
    assert (
        binom.cdf(math.floor(0.05 * (n_events - 10)), n_events - 10, 0.1)
        <= 0.1
        < binom.cdf(math.ceil(0.05 * (n_events - 10)), n_events - 10, 0.1)
    )


def test_intervals_of_simulated_studies_are_as_wide_as_planned():
    """The AUROC and the slope of right log-odds spread over studies of that size as the plan says."""
    planned = patients_needed(0.3, c_statistic=0.8, c_width=0.1, slope_width=0.4)
    variance = 2 * norm.ppf(0.8) ** 2
    rng = np.random.default_rng(0)

    def draw(n):
        y = (rng.random(n) < 0.3).astype(int)
        log_odds = math.log(0.3 / 0.7) - variance / 2 + variance * y + math.sqrt(variance) * rng.normal(size=n)
        return y, 1 / (1 + np.exp(-log_odds))

    slopes = [calibration_slope_intercept(*draw(planned["calibration_slope"])).slope for _ in range(400)]
    assert np.std(slopes) * WIDTH == pytest.approx(0.4, rel=0.15)
    areas = [
        bootstrap_interval(*draw(planned["c_statistic"]), "roc_auc", n_resamples=1, random_state=0).estimate
        for _ in range(400)
    ]
    assert np.std(areas) * WIDTH == pytest.approx(0.1, rel=0.15)


def test_several_records_of_a_patient_say_less_than_as_many_patients():
    one = patients_needed(0.1, sensitivity=0.9, guarantee=0.9)
    alike = patients_needed(0.1, sensitivity=0.9, guarantee=0.9, records_per_patient=2, correlation=1)
    apart = patients_needed(0.1, sensitivity=0.9, guarantee=0.9, records_per_patient=2, correlation=0)
    assert alike == one
    assert apart["sensitivity"] == math.ceil(one["sensitivity"] / 2)
    assert apart["sensitivity_promised"] == one["sensitivity_promised"]


def test_r_squared_is_fifteen_percent_of_the_greatest_by_default():
    greatest = 1 - (0.1**0.1 * 0.9**0.9) ** 2
    assert patients_needed(0.1, n_parameters=20) == patients_needed(0.1, n_parameters=20, r_squared=0.15 * greatest)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Nothing is asked"),
        ({"guarantee": 0.9}, "guarantee needs what is to be promised"),
        ({"sensitivity": 0.9, "guarantee": 1}, "guarantee must be a probability"),
        ({"sensitivity": 1}, "sensitivity must be above 0 and below 1; got 1"),
        ({"sensitivity": 0.9, "prevalence": 0}, "prevalence must be above 0 and below 1; got 0"),
        ({"sensitivity": 0.9, "prevalence": 7}, "prevalence must be above 0 and below 1; got 7"),
        ({"sensitivity": 0.9, "margin": 0}, "margin must be above 0"),
        ({"ppv": 0.9}, "ppv needs ruled_in"),
        ({"ppv": 0.9, "ruled_in": 2}, "ruled_in must be a share"),
        ({"c_statistic": 0.5}, "c_statistic must be above 0.5 and below 1; got 0.5"),
        ({"c_statistic": 0.8, "slope_width": -1}, "slope_width must be above 0"),
        ({"log_odds": [0.1, float("nan")]}, "log_odds must hold finite numbers"),
        ({"log_odds": [0.1, 0.1]}, "log_odds must hold finite numbers that differ"),
        ({"n_parameters": 0}, "n_parameters must be at least 1"),
        ({"n_parameters": 9, "r_squared": 0.6}, r"r_squared.* below 0.478"),
        ({"n_parameters": 9, "shrinkage": 1}, "shrinkage must be above 0"),
        ({"sensitivity": 0.9, "records_per_patient": 0.5}, "records_per_patient must be at least 1"),
        ({"sensitivity": 0.9, "correlation": 2}, "correlation from 0 to 1"),
        ({"sensitivity": 0.9, "confidence_level": 95}, "confidence_level"),
    ],
)
def test_bad_input_is_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        patients_needed(**({"prevalence": 0.1} | arguments))
