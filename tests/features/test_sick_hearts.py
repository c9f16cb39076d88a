"""Fiducial points and fibrillation of simulated hearts: blocked, paced, fast, with a long PR interval, fibrillating."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from benchmarks._sick_hearts import SAMPLING_RATE, make_hearts, truth_about_r
from omi_estimators import NeuroKitFeatures
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.features._neurokit_features import delineate_average
from omi_estimators.preprocessing import average_beats, filter_ecg, remove_pacing_spikes, resample_ecg

N_HEARTS = 10


@cache
def _measured(kind):
    """Return the delineated beats of some hearts of a kind, and where the simulator put their waves."""
    beats, truths = [], []
    for signal, fiducials in make_hearts(kind, N_HEARTS, seed=7):
        cleaned, spikes = remove_pacing_spikes(signal, SAMPLING_RATE)
        filtered = filter_ecg(cleaned, SAMPLING_RATE)
        average = average_beats(filtered, SAMPLING_RATE, 0.55, 0.7)
        beats.append(delineate_average(average, SAMPLING_RATE, filtered, spikes))
        truths.append(truth_about_r(fiducials, average.peaks))
    return beats, truths


def _errors(kind, point, known):
    """Return how far a point lies from where it should be, in ms, in each heart; NaN where it was not found."""
    beats, truths = _measured(kind)
    found = [getattr(beat.points, point) - beat.points.r_peak for beat in beats]
    return 1000 / SAMPLING_RATE * (np.array(found) - [truth[known] for truth in truths])


def _share_within(errors, limit):
    return np.mean(np.abs(errors) <= limit)


def test_a_late_r_prime_belongs_to_the_qrs_complex():
    assert _share_within(_errors("RBBB", "qrs_offset", "j_point"), 30) >= 0.9
    assert _share_within(_errors("RBBB", "qrs_onset", "qrs_onset"), 15) == 1


@pytest.mark.parametrize("kind", ["LBBB", "paced"])
def test_a_wide_complex_is_measured_whole(kind):
    beats, _ = _measured(kind)
    durations = [beat.ms(beat.points.qrs_onset, beat.points.qrs_offset) for beat in beats]
    assert np.min(durations) > 120
    assert np.median(durations) < 220


def test_p_is_found_at_pr_intervals_up_to_400_ms():
    errors = _errors("long PR", "p_onset", "p_onset")
    assert _share_within(errors, 30) >= 0.9


def test_t_ends_before_the_next_wave_at_fast_rates():
    assert _share_within(_errors("fast", "t_offset", "t_offset"), 45) == 1
    for beat in _measured("fast")[0]:
        next_qrs = beat.points.qrs_onset + beat.rr * SAMPLING_RATE
        assert beat.points.t_offset <= beat.points.t_latest < next_qrs


def test_fibrillation_is_told_and_hides_p():
    beats, _ = _measured("fibrillation")
    probabilities = np.array([beat.atrial_fibrillation for beat in beats])
    assert np.mean(probabilities > 0.5) >= 0.9
    for beat, probability in zip(beats, probabilities, strict=True):
        if probability > 0.5:
            assert np.isnan(beat.points.p_onset)
    assert all(beat.atrial_fibrillation < 0.5 and np.isfinite(beat.points.p_onset) for beat in _measured("normal")[0])


@pytest.mark.parametrize(("is_tied", "found"), [(True, True), (False, False)])
def test_p_is_found_where_the_beats_have_it_and_not_where_it_is_dissociated(is_tied, found):
    times = np.arange(6000) / SAMPLING_RATE
    phases = times % 1 - 0.5, (times + 0.16 if is_tied else times * 1.31) % 1 - 0.5
    qrs, p = np.exp(-((phases[0] / 0.02) ** 2)), 0.1 * np.exp(-((phases[1] / 0.035) ** 2))
    t = 0.3 * np.exp(-(((phases[0] - 0.3) / 0.05) ** 2))
    noise = np.random.default_rng(0).normal(scale=0.01, size=(3, len(times)))
    record = np.outer([1, 0.7, -0.5], qrs + t) + np.outer([1, 1.2, 0.4], p) + noise
    beat = delineate_average(average_beats(record, SAMPLING_RATE, 0.55, 0.7), SAMPLING_RATE, record)
    assert np.isfinite(beat.points.p_peak) == found


def test_a_paced_complex_begins_after_its_spike():
    # Simulated complexes begin 5 to 20 ms after it.
    errors = _errors("paced", "qrs_onset", "qrs_onset")
    assert _share_within(errors, 12) >= 0.9


def test_flutter_is_told_by_waves_that_recur():
    sick, healthy = ([beat.atrial_fibrillation for beat in _measured(kind)[0]] for kind in ("flutter", "normal"))
    assert np.median(sick) > max(healthy)


@pytest.mark.filterwarnings("ignore:.*beats of several shapes:UserWarning")
@pytest.mark.parametrize("lead", [0, 1, 7, 10])
@pytest.mark.parametrize("rate", [100, 125, 250])
def test_qrs_duration_of_one_lead_does_not_depend_on_the_rate(lead, rate):
    X = make_omi_ecgs(n_patients=12, prevalence=0.3, random_state=5).X[:12, [lead]].astype(float)
    slow = np.stack([resample_ecg(record, 500, rate) for record in X])
    full, low = (
        NeuroKitFeatures(sampling_rate=of, include="intervals").set_output(transform="pandas").fit_transform(records)
        for of, records in ((500, X), (rate, slow))
    )
    np.testing.assert_allclose(low.qrs_duration, full.qrs_duration, atol=30)
