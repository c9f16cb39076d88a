"""Each group of features on beats whose values are known."""

from __future__ import annotations

import numpy as np
import pytest

from omi_estimators.features._delineate import DelineatedBeat, Fiducials
from omi_estimators.features._measures import (
    measure_components,
    measure_qrs,
    measure_spectrum,
    measure_st,
    measure_t,
    name_waves,
)
from omi_estimators.features._scores import LEADS_SCORED, MOST_POINTS, measure_scores, selvester_score
from omi_estimators.features._vectors import measure_axes, measure_vectorcardiogram
from omi_estimators.leads import LEADS

RATE = 500
# P 60 to 110, QRS 150 to 200, T 300 to 400, peaking at 350.
POINTS = Fiducials(60, 85, 110, 150, 175, 200, 350, 400)


@pytest.fixture
def make_beat():
    """Return a function that makes a delineated beat of leads, all there if not said otherwise."""

    def make(leads, present=None):
        leads = np.asarray(leads, dtype=float)
        present = np.ones(len(leads), bool) if present is None else np.asarray(present)
        return DelineatedBeat(np.where(present[:, np.newaxis], leads, 0.0), present, POINTS, RATE, 1.0)

    return make


def _twelve(i, ii, v):
    """Return twelve leads from I, II and V1 to V6 that obey Einthoven and Goldberger."""
    return np.stack([i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2, *v])


def _bump(centre, width, height=1.0):
    """Return half a sine of a width in samples about a centre, in a beat of 575 samples."""
    times = np.arange(575)
    inside = np.abs(times - centre) <= width / 2
    return np.where(inside, height * np.cos(np.pi * (times - centre) / width), 0.0)


# --- waves of the QRS complex


@pytest.mark.parametrize(
    ("heights", "named"),
    [
        ((-0.2, 1.0, -0.3), {"q": -0.2, "r": 1.0, "s": -0.3}),
        ((1.0,), {"r": 1.0}),
        ((-1.0,), {"q": -1.0}),
        ((0.3, -0.5, 0.8), {"r": 0.3, "s": -0.5, "r_prime": 0.8}),
        ((0.3, -0.5, 0.8, -0.4), {"r": 0.3, "s": -0.5, "r_prime": 0.8, "s_prime": -0.4}),
        # Too low a wave is none, and does not part the two beside it.
        ((0.9, -0.01, 0.7), {"r": 0.9}),
        ((-0.02, 0.9), {"r": 0.9}),
    ],
)
def test_waves_are_named_as_cardiologists_name_them(make_beat, heights, named):
    width = 50 // len(heights)
    beat = make_beat([sum(_bump(150 + width * (k + 0.5), width, height) for k, height in enumerate(heights))])
    measured = measure_qrs(beat)
    for wave in ("q", "r", "s", "r_prime", "s_prime"):
        assert measured[f"{wave}_amplitude"][0] == pytest.approx(named.get(wave, 0.0), abs=0.02)
    assert set(name_waves(beat.leads[0, 150:201], RATE)) == set(named)


def test_duration_area_and_activation_of_one_wave(make_beat):
    # Twenty samples of half a sine: 40 ms; its area is 2 / pi of height times width.
    measured = measure_qrs(make_beat([_bump(170, 20, 1.5)]))
    assert measured["r_duration"][0] == pytest.approx(40, abs=5)
    assert measured["r_area"][0] == pytest.approx(1.5 * 40 * 2 / np.pi, rel=0.02)
    assert measured["activation_time"][0] == pytest.approx(40, abs=1)
    assert measured["q_r_ratio"][0] == 0
    assert np.isnan(measure_qrs(make_beat([_bump(170, 20, -1.5)]))["activation_time"][0])


# --- ST and T


def test_st_at_known_times(make_beat):
    times = np.arange(575)
    ramp = np.where(times >= 200, 0.1 + 0.001 * (times - 200), 0.0)
    measured = measure_st(make_beat([ramp, -ramp]))
    np.testing.assert_allclose(measured["j_amplitude"], [0.1, -0.1], atol=0.05)
    np.testing.assert_allclose(measured["st60"], [0.13, -0.13], atol=1e-9)
    np.testing.assert_allclose(measured["st80"], [0.14, -0.14], atol=1e-9)
    assert measured["st60_max"] == -measured["st60_min"] == pytest.approx(0.13)
    assert measured["st60_abs_sum"] == pytest.approx(0.26)
    assert "st_elevated_leads" not in measured


def test_territories_and_counts(make_beat):
    raised = np.where(np.arange(575) >= 190, 0.2, 0.0)
    leads = np.zeros((12, 575))
    leads[[1, 2, 5]] = raised
    leads[0] = -raised
    measured = measure_st(make_beat(leads))
    assert measured["st60_inferior"] == pytest.approx(0.2)
    assert measured["st60_lateral"] == pytest.approx(-0.05)
    assert (measured["st_elevated_leads"], measured["st_depressed_leads"]) == (3, 1)
    present = np.arange(12) != 2
    measured = measure_st(make_beat(leads, present))
    assert np.isnan(measured["st60_inferior"])
    assert np.isnan(measured["st_elevated_leads"])
    assert measured["st60_lateral"] == pytest.approx(-0.05)


def test_concave_and_convex_st_have_opposite_signs(make_beat):
    times = np.arange(575)
    share = np.clip((times - 200) / 150, 0, 1)
    concave, convex = np.tile(share**2, (12, 1)), np.tile(np.sqrt(share), (12, 1))
    assert measure_st(make_beat(concave))["st_concavity_anterior"] > 0.2
    assert measure_st(make_beat(convex))["st_concavity_anterior"] < -0.2


def test_t_size_with_its_sign_and_symmetry(make_beat):
    upright, inverted = _bump(350, 100, 0.4), _bump(350, 100, -0.4)
    measured = measure_t(make_beat([upright, inverted]), np.array([1.0, 0.0]))
    np.testing.assert_allclose(measured["t_amplitude"], [0.4, -0.4], atol=0.01)
    np.testing.assert_allclose(measured["t_area"], [0.4 * 200 * 2 / np.pi, -0.4 * 200 * 2 / np.pi], rtol=0.05)
    assert measured["t_qrs_ratio"][0] == pytest.approx(0.4, abs=0.01)
    # Nothing can be put in proportion to a QRS complex that is not there.
    assert np.isnan(measured["t_qrs_ratio"][1])
    assert measured["t_asymmetry"] == pytest.approx(1, abs=0.1)
    assert measured["t_half_width"] == pytest.approx(200 * 2 / 3, abs=10)
    slow = _bump(350, 100, 0.4)
    slow[250:350] = 0.4 * np.sin(np.pi / 2 * np.linspace(0, 1, 100)) ** 2
    assert measure_t(make_beat([slow, slow]), np.ones(2))["t_asymmetry"] > 1.3


def test_dispersion_is_nought_where_leads_agree_and_large_where_not(make_beat):
    early, late = _bump(330, 80, 0.4), _bump(370, 60, 0.4)
    agreeing = np.stack([early * factor for factor in np.linspace(0.5, 1.5, 12)])
    mixed = np.stack([early if lead % 2 else late for lead in range(12)])
    assert measure_t(make_beat(agreeing), np.ones(12))["t_dispersion"] == pytest.approx(0, abs=1e-3)
    assert measure_t(make_beat(mixed), np.ones(12))["t_dispersion"] > 20


# --- vectors, components, spectrum


@pytest.mark.parametrize("angle", [-60, 0, 30, 90, 150])
def test_the_frontal_axis_is_the_angle_put_in(make_beat, angle):
    wave = _bump(175, 50)
    i = np.cos(np.radians(angle)) * wave
    ii = np.cos(np.radians(angle - 60)) * wave
    measured = measure_axes(make_beat(_twelve(i, ii, np.ones((6, 1)) * wave)))
    assert measured["qrs_axis"] == pytest.approx(angle, abs=0.1)
    # V2 as high as V6: half-way between left and forward.
    assert measured["qrs_axis_horizontal"] == pytest.approx(45)
    assert np.isnan(measured["t_axis"])


def test_loops_in_one_line_have_cosine_one_and_opposite_ones_minus_one(make_beat):
    deviations = []
    direction = np.array([0.6, 0.9, -0.4, 0.2, 0.7, 1.0, 0.9, 0.7])
    for sign, cosine, angle in ((1, 1, 0), (-1, -1, 180)):
        wave = _bump(175, 50) + sign * _bump(350, 100, 0.3)
        i, ii, *v = direction[:, np.newaxis] * wave
        measured = measure_vectorcardiogram(make_beat(_twelve(i, ii, v)))
        assert measured["tcrt"] == pytest.approx(cosine)
        assert measured["qrs_t_angle_spatial"] == pytest.approx(angle, abs=1e-4)
        assert measured["qrs_t_angle_peak"] == pytest.approx(angle, abs=1e-4)
        # All points in a line: no width, so no plane.
        assert "vcg_qrs_planarity" not in measured
        deviations.append(measured["t_axis_deviation"])
    assert deviations[0] < 45
    assert sum(deviations) == pytest.approx(180)
    present = np.arange(12) != 7
    assert np.isnan(measure_vectorcardiogram(make_beat(_twelve(i, ii, v), present))["vcg_qrs_magnitude"])


def test_components_of_one_and_of_two_directions(make_beat):
    one = np.outer(np.linspace(1, 2, 12), _bump(175, 50))
    two = one + np.outer(np.tile([1, -1], 6), _bump(350, 100, 0.5))
    assert measure_components(make_beat(one))["pca_ratio_beat"] == pytest.approx(0, abs=1e-9)
    measured = measure_components(make_beat(two))
    assert measured["pca_ratio_beat"] > 1
    assert measured["nondipolar_beat"] == pytest.approx(0, abs=1e-9)
    noise = np.random.default_rng(0).normal(scale=0.01, size=two.shape)
    noisy = measure_components(make_beat(two + noise))
    # Nine of twelve directions hold nothing but noise.
    assert noisy["nondipolar_energy_beat"] == pytest.approx(0.01 * np.sqrt(9 / 12), rel=0.05)


@pytest.mark.parametrize(("frequency", "band"), [(5, "low"), (20, "middle"), (70, "high")])
def test_power_lies_in_the_band_of_the_tone(frequency, band):
    tone = np.sin(2 * np.pi * frequency * np.arange(5000) / 500)[np.newaxis]
    assert measure_spectrum(tone, 500)[f"power_{band}"][0] == pytest.approx(100, abs=1)
    assert "power_high" not in measure_spectrum(tone[:, :1000], 100)
    assert measure_spectrum(tone[:, :500], 500) == {}


# --- scores


def _normal_waves():
    """Return waves of a healthy heart by the measures that the Selvester score takes."""
    waves = {name: np.zeros(12) for name in ("q_amplitude", "q_duration")}
    waves["r_amplitude"] = np.array([0.8, 1.0, 0.4, 0.1, 0.4, 0.7, 0.2, 0.6, 1.0, 1.5, 1.4, 1.1])
    waves["s_amplitude"] = -np.array([0.1, 0.1, 0.1, 0.8, 0.1, 0.1, 0.9, 1.2, 0.8, 0.5, 0.2, 0.1])
    waves["r_duration"] = np.full(12, 38.0)
    return waves


def test_selvester_of_a_healthy_heart_is_zero_and_of_infarcts_as_counted_by_hand():
    waves = _normal_waves()
    assert MOST_POINTS == 31
    assert selvester_score(waves) == 0
    # Q of 45 ms in aVF: 2 points; R no higher than Q there: 2 more; Q of 45 ms in II: 2.
    inferior = _normal_waves()
    for lead in ("II", "aVF"):
        inferior["q_amplitude"][LEADS.index(lead)], inferior["q_duration"][LEADS.index(lead)] = -0.7, 45
    assert selvester_score(inferior) == 6
    # QS in V1 to V3: any Q gives one point each in V1, V2 and V3.
    anterior = _normal_waves()
    for lead in ("V1", "V2", "V3"):
        index = LEADS.index(lead)
        anterior["r_amplitude"][index] = anterior["s_amplitude"][index] = anterior["r_duration"][index] = 0
        anterior["q_amplitude"][index], anterior["q_duration"][index] = -1.0, 60
    assert selvester_score(anterior) == 3
    assert set(LEADS) - set(LEADS_SCORED) == {"III", "aVR"}


def _measured(**changes):
    """Return measures of a healthy heart from which scores follow, some of them changed in one lead."""
    measured = _normal_waves() | {
        "qrs_duration": 90.0,
        "qtc_bazett": 410.0,
        "j_amplitude": np.zeros(12),
        "st60": np.zeros(12),
        "qrs_amplitude": np.ones(12),
        "r_qrs_ratio": np.full(12, 0.5),
        "activation_time": np.full(12, 40.0),
        "r_prime_amplitude": np.zeros(12),
        "s_duration": np.full(12, 20.0),
    }
    for name, value in changes.items():
        if not isinstance(value, dict):
            measured[name] = value
            continue
        for lead, of_lead in value.items():
            measured[name][LEADS.index(lead)] = of_lead
    return measured


def test_st_scores_by_hand(make_beat):
    beat = make_beat(np.ones((12, 575)))
    quiet = measure_scores(_measured(), beat)
    assert quiet["stemi_criteria"] == quiet["aldrich_anterior"] == quiet["aldrich_inferior"] == 0
    assert quiet["sokolow_lyon"] == pytest.approx(0.9 + 1.4)
    assert quiet["cornell_voltage"] == pytest.approx(0.4 + 0.8)
    # 0.052 * 410 - 0.151 * 10 - 0.268 * 15 + 1.062 * 0
    assert quiet["four_variable"] == pytest.approx(0.052 * 410 - 0.151 * 10 - 0.268 * 15)
    inferior = measure_scores(_measured(j_amplitude={"II": 0.15, "III": 0.25, "aVF": 0.2}), beat)
    assert inferior["stemi_criteria"] == 1
    assert inferior["aldrich_inferior"] == pytest.approx(3 * (0.6 * 6 + 2))
    assert inferior["aldrich_anterior"] == pytest.approx(3 * (1.5 * 3 - 0.4))
    # 0.15 mV is not enough in V2 and V3, nor is one lead alone.
    assert measure_scores(_measured(j_amplitude={"V2": 0.15, "V3": 0.15}), beat)["stemi_criteria"] == 0
    assert measure_scores(_measured(j_amplitude={"V5": 0.3}), beat)["stemi_criteria"] == 0
    assert measure_scores(_measured(j_amplitude={"V3": 0.4}), beat)["st_s_ratio"] == pytest.approx(0.4 / 0.8)


def test_bundle_branch_blocks(make_beat):
    beat = make_beat(np.ones((12, 575)))
    left = {"qrs_duration": 150.0, "activation_time": {"V6": 80.0}, "r_qrs_ratio": {"V1": 0.05}}
    right = {"qrs_duration": 140.0, "r_prime_amplitude": {"V1": 0.9}, "s_duration": {"I": 60.0}}
    for changes, flags in (({}, (0, 0)), (left, (1, 0)), (right, (0, 1)), (left | {"qrs_duration": 110.0}, (0, 0))):
        scores = measure_scores(_measured(**changes), beat)
        assert (scores["lbbb"], scores["rbbb"]) == flags


def test_no_score_without_all_leads(make_beat):
    assert measure_scores(_measured(), make_beat(np.ones((12, 575)), np.arange(12) != 4)) == {}
