"""What the filter does on request: find the mains, take out pacing spikes, resample."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

from omi_estimators import ECGFilter, MedianBeat
from omi_estimators.preprocessing import filter_ecg, find_mains, remove_pacing_spikes, resample_ecg


def _hum(frequency, n_samples, sampling_rate, height=0.05):
    return height * np.sin(2 * np.pi * frequency * np.arange(n_samples) / sampling_rate)


# --- mains


@pytest.mark.parametrize("sampling_rate", [250, 500, 1000])
@pytest.mark.parametrize("mains", [(), (50.0,), (60.0,), (50.0, 60.0)])
def test_the_hum_that_is_there_is_found(make_ecg, sampling_rate, mains):
    record = make_ecg(n_records=1, sampling_rate=sampling_rate)[0]
    for frequency in mains:
        record += _hum(frequency, record.shape[1], sampling_rate)
    assert find_mains(record, sampling_rate) == mains


def test_mains_beyond_reach_are_not_found(make_ecg):
    assert find_mains(make_ecg(n_records=1, sampling_rate=100)[0], 100) == ()
    assert find_mains(_hum(50, 700, 500), 500) == ()
    assert find_mains(np.zeros((12, 5000)), 500) == ()


def test_auto_removes_what_it_finds_and_spares_the_rest(make_ecg):
    X = make_ecg(n_records=2)
    X[1] += _hum(60, 5000, 500)
    filtered = ECGFilter(notch="auto").fit_transform(X)
    np.testing.assert_array_equal(filtered[0], filter_ecg(X[0], 500, notch=None))
    np.testing.assert_array_equal(filtered[1], filter_ecg(X[1], 500, notch=(60.0,)))


# --- pacing


@pytest.mark.parametrize(("sampling_rate", "width"), [(500, 1), (1000, 2)])
@pytest.mark.parametrize("height", [0.6, 3.0, -2.0])
def test_spikes_before_the_beats_are_taken_out(make_ecg, sampling_rate, width, height):
    record = make_ecg(n_records=1, sampling_rate=sampling_rate)[0]
    rhythm = np.flatnonzero(np.diff(np.sign(record[1] - 0.5 * record[1].max())) > 0)
    places = rhythm[rhythm > 0.1 * sampling_rate] - round(0.08 * sampling_rate)
    paced = record.copy()
    for offset in range(width):
        paced[:, places + offset] += height * np.linspace(0.4, 1.2, 12)[:, np.newaxis]
    before = paced.copy()
    cleaned, spikes = remove_pacing_spikes(paced, sampling_rate)
    np.testing.assert_array_equal(paced, before)
    assert all(np.abs(spikes - place).min() <= 2 for place in places)
    assert np.sqrt(np.mean((cleaned - record) ** 2)) < 0.01
    assert np.abs(cleaned - record).max() < 0.1
    filtered = ECGFilter(sampling_rate=sampling_rate, pacing="remove").fit_transform(paced[np.newaxis])[0]
    assert np.abs(filtered - filter_ecg(record, sampling_rate)).max() < 0.1


@pytest.mark.parametrize("sampling_rate", [100, 250, 500, 1000])
@pytest.mark.parametrize("heart_rate", [50, 90, 150])
def test_a_heart_without_pacemaker_is_left_alone(make_ecg, sampling_rate, heart_rate):
    record = 2 * make_ecg(n_records=1, sampling_rate=sampling_rate, heart_rate=heart_rate)[0]
    same, spikes = remove_pacing_spikes(record, sampling_rate)
    assert spikes.size == 0
    np.testing.assert_array_equal(same, record)


def test_missing_samples_stay_missing_beside_spikes(make_ecg):
    record = make_ecg(n_records=1)[0]
    record[:, 100::400] += 3
    record[4] = np.nan
    record[5, 99:102] = np.nan
    cleaned, spikes = remove_pacing_spikes(record, 500)
    assert spikes.size
    np.testing.assert_array_equal(np.isnan(cleaned), np.isnan(record))


# --- resampling


@pytest.mark.parametrize("rates", [(1000, 500), (500, 250), (250, 500), (257, 500), (500, 360), (100, 500)], ids=str)
def test_a_tone_keeps_its_place_and_height(rates):
    old, new = rates
    times, wanted = np.arange(10 * old) / old, np.arange(10 * new) / new
    resampled = resample_ecg(np.sin(2 * np.pi * 7 * times), old, new)
    assert resampled.shape == wanted.shape
    np.testing.assert_allclose(resampled[new:-new], np.sin(2 * np.pi * 7 * wanted)[new:-new], atol=0.01)


def test_what_the_new_rate_cannot_hold_is_removed_not_folded():
    tone = np.sin(2 * np.pi * 200 * np.arange(5000) / 1000)
    assert np.abs(resample_ecg(tone, 1000, 250)[100:-100]).max() < 0.01


def test_an_offset_does_not_ring_at_the_ends():
    np.testing.assert_allclose(resample_ecg(np.full(1000, 5.0), 1000, 500), 5.0, atol=1e-9)


def test_missing_samples_stay_missing_where_they_were(make_ecg):
    X = make_ecg(n_records=1)
    X[0, 2], X[0, 3, 1000:1100] = np.nan, np.nan
    resampled = resample_ecg(X, 500, 250)
    assert np.isnan(resampled[0, 2]).all()
    assert np.flatnonzero(np.isnan(resampled[0, 3])).tolist() == list(range(500, 550))
    assert np.isfinite(resampled[0, [0, 1, 4, 11]]).all()
    assert resample_ecg(X.astype(np.float32), 500, 250).dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(10), 0, 500), "sampling_rate must be a positive"),
        ((np.zeros(10), 500, -1), "new_rate must be a positive"),
        ((np.zeros((2, 0)), 500, 250), "must have samples"),
        ((np.zeros(10), 1e6, 0.1), "too low"),
    ],
)
def test_impossible_rates_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        resample_ecg(*arguments)


def test_a_filter_that_resamples_feeds_beats_of_that_rate(make_ecg):
    X = make_ecg(sampling_rate=1000)
    at_500 = ECGFilter(sampling_rate=1000, output_rate=500).fit_transform(X)
    assert at_500.shape == (3, 12, 5000)
    beats = MedianBeat(sampling_rate=500).fit_transform(at_500)
    expected = MedianBeat(sampling_rate=1000).fit_transform(ECGFilter(sampling_rate=1000).fit_transform(X))
    np.testing.assert_allclose(beats, expected, atol=0.05)
    one_lead = ECGFilter(sampling_rate=1000, output_rate=500).fit_transform(X[:, 1])
    np.testing.assert_allclose(one_lead, at_500[:, 1])


# --- as a transformer

OPTIONS = {"notch": "auto", "pacing": "remove", "output_rate": 250.0}


@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks_with_all_options():
    results = check_estimator(ECGFilter(**OPTIONS), on_skip=None, on_fail=None)
    assert [result for result in results if result["status"] == "failed"] == []


@pytest.mark.parametrize("bad", [{"notch": "found"}, {"pacing": "yes"}, {"output_rate": 0}], ids=str)
def test_unknown_options_are_errors(make_ecg, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        ECGFilter(**bad).fit(make_ecg(n_records=1))
