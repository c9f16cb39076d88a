"""Pacing spikes: found and taken out whatever paces, told from steep R waves and noise, before anything is measured."""

from __future__ import annotations

import numpy as np
import pytest

from omi_estimators import ECGFilter, MedianBeat, NeuroKitFeatures, make_net_pipeline
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.preprocessing import filter_ecg, find_r_peaks, remove_pacing_spikes

# Heights of a spike relative to its largest: limb leads by Einthoven and Goldberger, and some chest leads against them.
WEIGHTS = np.array([0.6, 1.0, 0.4, -0.8, 0.1, 0.7, -0.5, -0.9, -0.3, 0.2, 0.5, 0.6])
SHAPES = {"one sample": (1.0,), "two": (1.0, 1.0), "three": (0.3, 1.0, 0.3)}


def _add_spikes(record, sampling_rate, height, shape=(1.0,), delays=(0.07,)):
    paced, places = record.copy(), []
    for delay, weights in zip(delays, (WEIGHTS[: len(record)], WEIGHTS[::-1][: len(record)]), strict=False):
        for peak in find_r_peaks(record, sampling_rate):
            start = peak - round(delay * sampling_rate)
            if start > 0:
                paced[:, start : start + len(shape)] += height * np.outer(weights, shape)
                places.append(start)
    return paced, places


@pytest.mark.parametrize("sampling_rate", [250, 500, 1000])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("height", [0.3, -1.0, 10.0])
@pytest.mark.parametrize("delays", [(0.07,), (0.2,), (0.06, 0.2)], ids=["ventricular", "atrial", "both"])
def test_spikes_of_any_kind_are_taken_out(make_ecg, sampling_rate, shape, height, delays):
    record = make_ecg(n_records=1, sampling_rate=sampling_rate)[0]
    paced, places = _add_spikes(record, sampling_rate, height, SHAPES[shape], delays)
    cleaned, spikes = remove_pacing_spikes(paced, sampling_rate)
    assert all(np.abs(spikes - place).min() <= 2 for place in places)
    assert np.abs(cleaned - record).max() < 0.1


@pytest.mark.parametrize("sampling_rate", [250, 500, 1000])
@pytest.mark.parametrize("width", [0.016, 0.024, 0.032])
def test_a_spike_that_the_recorder_drew_as_a_rectangle_is_taken_out(make_ecg, sampling_rate, width):
    record = make_ecg(n_records=1, sampling_rate=sampling_rate)[0]
    paced, places = _add_spikes(record, sampling_rate, 0.7, (1.0,) * round(width * sampling_rate), (0.09,))
    cleaned, spikes = remove_pacing_spikes(paced, sampling_rate)
    assert all(np.abs(spikes - place).min() <= 2 for place in places)
    assert np.abs(cleaned - record).max() < 0.1


def test_a_spike_goes_with_its_after_potential(make_ecg):
    record = make_ecg(n_records=1)[0]
    paced, _ = _add_spikes(record, 500, 5.0, (1.0, *(-0.05 * np.exp(-np.arange(30) / 4))))
    assert np.abs(remove_pacing_spikes(paced, 500)[0] - record).max() < 0.1 < np.abs(paced - record).max()


@pytest.mark.parametrize("sampling_rate", [250, 500, 1000])
def test_steep_r_waves_noise_and_steps_are_no_spikes(make_ecg, sampling_rate):
    rng = np.random.default_rng(0)
    record = make_ecg(n_records=1, sampling_rate=sampling_rate, heart_rate=120)[0]
    times = np.arange(record.shape[1]) / sampling_rate
    steep = record + np.outer(WEIGHTS, 3 * np.exp(-((((times * 2) % 1 - 0.5) / 2 / 0.008) ** 2)))
    step = record + 5 * (times > 4) - 5 * (times > 7)
    hum = record + 0.2 * np.sin(2 * np.pi * 50 * times)
    for other in (3 * record, steep, step, hum, record + rng.normal(scale=0.15, size=record.shape)):
        assert remove_pacing_spikes(other, sampling_rate)[1].size == 0


@pytest.mark.parametrize("height", [0.3, 1.0, 10.0])
def test_features_of_a_paced_record_are_those_without_spikes(make_ecg, height):
    record = make_ecg(n_records=1)[0]
    X = np.stack([record, _add_spikes(record, 500, height)[0]])
    features = NeuroKitFeatures().set_output(transform="pandas").fit_transform(X)
    assert features["paced"].tolist() == [0, 1]
    for name in ("qrs_duration", "r_amplitude_V5", "sokolow_lyon", "pr_interval"):
        assert features[name][1] == pytest.approx(features[name][0], rel=0.1, abs=0.05)


def test_below_250_hz_pacing_is_not_known(make_ecg):
    X = make_ecg(n_records=1, sampling_rate=200)
    assert np.isnan(NeuroKitFeatures(sampling_rate=200).set_output(transform="pandas").fit_transform(X)["paced"][0])


def test_pipelines_and_beats_of_filtered_records_measure_no_spike(make_ecg):
    record = make_ecg(n_records=1)[0]
    X = np.stack([record, _add_spikes(record, 500, 10.0)[0]])
    assert make_net_pipeline(500).named_steps["filter"].pacing == "remove"
    clean, paced = MedianBeat().fit_transform(ECGFilter().fit_transform(X))
    assert np.abs(paced - clean).max() < 0.1
    clean, paced = MedianBeat().fit_transform(np.stack([filter_ecg(of_one, 500) for of_one in X]))
    assert np.abs(paced - clean).max() < 0.5 < np.abs(filter_ecg(X[1], 500) - filter_ecg(X[0], 500)).max()


@pytest.mark.parametrize("pacing", ["atrial", "ventricular", "dual"])
def test_simulated_pacemakers_are_found(pacing):
    ecgs = make_omi_ecgs(15, pacing=pacing, random_state=0)
    found = [remove_pacing_spikes(record, 500)[1] for record in ecgs.X]
    pairs = zip(found, ecgs.spikes, strict=True)
    hits = [len(of_one) and np.abs(of_one - spike).min() <= 3 for of_one, true in pairs for spike in true]
    assert np.mean(hits) > 0.9
