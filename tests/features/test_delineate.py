"""Fiducial points: where they were put, in order, with pacing spikes, and near to where cardiologists mark them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omi_estimators.features import delineate

TIMES = np.arange(-0.45, 0.7, 0.002)
R = 225


def _gauss(amplitude, time, width):
    return amplitude * np.exp(-(((TIMES - time) / width) ** 2))


def _beat():
    """Return two leads with P, QRS and T."""
    one = _gauss(0.15, -0.16, 0.03) + _gauss(1.2, 0, 0.015) + _gauss(-0.4, 0.03, 0.012) + _gauss(0.3, 0.3, 0.06)
    return np.stack([one, 0.7 * one])


def test_waves_end_where_their_gaussians_vanish():
    points = delineate(_beat(), 500, r_index=R, rr=0.8)
    in_ms = {name: (place - R) * 2 for name, place in points._asdict().items()}
    assert in_ms["p_peak"] == pytest.approx(-160, abs=4)
    assert -240 < in_ms["p_onset"] < -200
    assert -120 < in_ms["p_offset"] < -90
    assert -45 < in_ms["qrs_onset"] < -25
    assert 45 < in_ms["qrs_offset"] < 75
    assert in_ms["t_peak"] == pytest.approx(300, abs=4)
    assert 370 < in_ms["t_offset"] <= in_ms["t_latest"] < 440


def test_a_noisy_lead_does_not_move_the_common_onset():
    leads = np.repeat(_beat(), 6, axis=0)
    clean = delineate(leads, 500, r_index=R)
    leads[0] += np.random.default_rng(0).normal(scale=0.1, size=len(TIMES))
    noisy = delineate(leads, 500, r_index=R)
    assert noisy.qrs_onset == pytest.approx(clean.qrs_onset, abs=2)


@settings(max_examples=150, deadline=None)
@given(
    n_leads=st.integers(1, 12),
    n_samples=st.integers(1, 700),
    place=st.floats(0, 1),
    sampling_rate=st.sampled_from([100, 250, 500, 1000]),
    rr=st.floats(0.2, 3),
    seed=st.integers(0, 10_000),
    waves=st.lists(
        st.tuples(st.floats(-5, 5), st.floats(-0.4, 0.6), st.floats(0.001, 0.2)),
        max_size=6,
    ),
    noise=st.sampled_from([0.0, 0.01, 1.0]),
)
def test_points_are_in_order_whatever_the_beat(n_leads, n_samples, place, sampling_rate, rr, seed, waves, noise):
    rng = np.random.default_rng(seed)
    r_index = min(int(place * n_samples), n_samples - 1)
    times = (np.arange(n_samples) - r_index) / sampling_rate
    beat = noise * rng.normal(size=(n_leads, n_samples))
    for amplitude, centre, width in waves:
        beat += rng.normal(size=(n_leads, 1)) * amplitude * np.exp(-(((times - centre) / width) ** 2))
    points = delineate(beat, sampling_rate, r_index=r_index, rr=rr)
    found = np.array(points)[np.isfinite(points)]
    assert (np.diff(found) >= 0).all(), points
    assert ((found >= 0) & (found <= n_samples)).all()


@pytest.mark.parametrize(("beat", "r_index"), [(np.zeros(5), 0), (np.zeros((2, 5)), 5), (np.zeros((2, 5)), -1)])
def test_other_shapes_are_errors(beat, r_index):
    with pytest.raises(ValueError, match="beat must have shape"):
        delineate(beat, 500, r_index=r_index)


@pytest.mark.parametrize("factor", [2, 4, 5])
def test_points_do_not_depend_on_the_sampling_rate(factor):
    fine, coarse = _beat(), _beat()[:, ::factor]
    expected = delineate(fine, 500, r_index=R)
    found = delineate(coarse, 500 / factor, r_index=R // factor)
    in_ms = [[2 * (point - R) for point in expected], [2 * factor * (point - R // factor) for point in found]]
    np.testing.assert_allclose(in_ms[1], in_ms[0], atol=12)


def test_without_a_p_wave_there_is_none():
    points = delineate(_beat(), 500, r_index=R, p_wave=False)
    assert np.isnan(points[:3]).all()
    assert np.isfinite(points[3:]).all()


def test_qrs_begins_after_the_spike_that_was_taken_out():
    remnant = _beat() + np.array([[0.3], [0.2]]) * _gauss(1, -0.06, 0.004)
    assert delineate(remnant, 500, r_index=R).qrs_onset < R - 30
    assert delineate(remnant, 500, r_index=R, spike=R - 30).qrs_onset == R - 30 + 0.015 * 500


def test_a_pulse_is_no_p_wave():
    without = np.stack([_beat()[0] - _gauss(0.15, -0.16, 0.03)] * 3)
    assert np.isfinite(delineate(without + _gauss(0.15, -0.16, 0.03), 500, r_index=R).p_peak)
    assert np.isnan(delineate(without + _gauss(0.5, -0.2, 0.008), 500, r_index=R).p_peak)


@pytest.mark.slow
def test_points_lie_as_near_to_the_marks_of_cardiologists_as_these_to_each_other(ludb_dir):
    from benchmarks import delineation

    scores = delineation.score_ludb(str(ludb_dir), {"ours": delineation.ours})[0]["ours"]
    for name, tolerance in delineation.TOLERANCES.items():
        errors = [score.errors[name] for score in scores if name in score.errors]
        assert np.isfinite(errors).all(), name
        assert abs(np.mean(errors)) <= 4, name
        assert np.std(errors) <= tolerance, name
