"""Filter, median beat and scaling: what they keep, what they remove, what they do with bad records."""

from __future__ import annotations

import pickle
import warnings

import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from omi_estimators.features import measure_record
from omi_estimators.leads import LEADS
from omi_estimators.preprocessing import (
    ECGFilter,
    LeadScaler,
    MedianBeat,
    NoBeatError,
    UnusableRecordWarning,
    filter_ecg,
    find_r_peaks,
    median_beat,
    scale_leads,
    signal_quality,
)

TRANSFORMERS = [ECGFilter(), MedianBeat(), LeadScaler()]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda transformer: type(transformer).__name__)
def test_scikit_learns_checks(transformer):
    results = check_estimator(transformer, on_skip=None, on_fail=None)
    assert [result for result in results if result["status"] == "failed"] == []


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda transformer: type(transformer).__name__)
def test_promises_of_a_transformer_on_three_dimensions(transformer, make_ecg):
    X = make_ecg()
    before = X.copy()
    fitted = clone(transformer).fit(X)
    changed = fitted.transform(X)
    np.testing.assert_array_equal(X, before)
    assert changed.shape[:2] == X.shape[:2]
    assert fitted.transform(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(X), changed)
    np.testing.assert_array_equal(fitted.set_output(transform="pandas").transform(X), changed)
    np.testing.assert_allclose(
        fitted.transform(X[:, 1:2].repeat(12, axis=1))[:, 0], clone(transformer).fit_transform(X[:, 1])
    )
    with pytest.raises(ValueError, match="11 leads"):
        fitted.transform(X[:, :11])
    with pytest.raises(ValueError, match="4999 samples"):
        fitted.transform(X[..., 1:])
    with pytest.raises(ValueError, match="infinite"):
        fitted.transform(np.where(np.arange(5000) == 7, np.inf, X))
    with pytest.raises(ValueError, match="nothing but NaN"):
        fitted.transform(np.full_like(X, np.nan))


# --- filter


def _tone(frequency, sampling_rate=500, duration=10):
    return np.sin(2 * np.pi * frequency * np.arange(duration * sampling_rate) / sampling_rate)


@pytest.mark.parametrize(
    ("frequency", "gain"), [(0.05, 0), (0.5, 0.5), (5, 1), (20, 1), (50, 0), (60, 0), (100, 0.5), (200, 0)]
)
def test_gain_by_frequency_without_a_shift_in_time(frequency, gain):
    tone = _tone(frequency, duration=40)
    filtered = filter_ecg(tone, 500)[5000:-5000]
    kept = tone[5000:-5000] @ filtered / (tone[5000:-5000] @ tone[5000:-5000])
    assert kept == pytest.approx(gain, abs=0.08)
    if gain == 1:
        np.testing.assert_allclose(filtered, tone[5000:-5000], atol=0.05)


def test_frequencies_beyond_nyquist_are_left_out():
    tone = _tone(5, sampling_rate=100)
    np.testing.assert_allclose(filter_ecg(tone, 100)[200:-200], tone[200:-200], atol=0.05)


def test_missing_samples_stay_missing_and_disturb_nobody(make_ecg):
    X = make_ecg(n_records=1)
    clean = filter_ecg(X, 500)
    X[0, 3] = np.nan
    X[0, 5, 100:103] = np.nan
    filtered = filter_ecg(X, 500)
    assert np.isnan(filtered[0, 3]).all()
    assert np.flatnonzero(np.isnan(filtered[0, 5])).tolist() == [100, 101, 102]
    others = [lead for lead in range(12) if lead not in (3, 5)]
    np.testing.assert_array_equal(filtered[0, others], clean[0, others])


@pytest.mark.parametrize(
    "bad", [{"highpass": -1}, {"highpass": 50, "lowpass": 40}, {"lowpass": 0}, {"sampling_rate": 0}], ids=str
)
def test_impossible_bands_are_errors(make_ecg, bad):
    with pytest.raises(ValueError, match=r"highpass|lowpass|sampling_rate"):
        ECGFilter(**bad).fit(make_ecg(n_records=1))


# --- beats


@pytest.mark.parametrize("sampling_rate", [100, 250, 500, 1000])
@pytest.mark.parametrize("heart_rate", [40, 70, 140])
def test_r_peaks_are_all_found(make_ecg, sampling_rate, heart_rate):
    record = make_ecg(n_records=1, sampling_rate=sampling_rate, heart_rate=heart_rate)[0]
    peaks = find_r_peaks(record, sampling_rate) / sampling_rate
    np.testing.assert_allclose(np.diff(peaks), 60 / heart_rate, atol=0.02)
    assert len(peaks) >= 10 * heart_rate / 60 - 1


@pytest.mark.parametrize("delay", [-0.2, 0.15, 0.2])
def test_a_jump_of_the_baseline_does_not_hide_the_beat_beside_it(make_ecg, delay):
    record = make_ecg(n_records=1)[0]
    peaks = find_r_peaks(record, 500)
    jumped = record.copy()
    jumped[:, peaks[4] + round(delay * 500) :] += 3
    found = find_r_peaks(jumped, 500)
    assert len(found) == len(peaks)
    assert np.abs(found - peaks).max() <= 5


def test_beat_is_the_template_behind_the_record(make_ecg):
    X = make_ecg(n_records=2)
    beats = MedianBeat().fit_transform(ECGFilter().fit_transform(X))
    assert beats.shape == (2, 12, 200)
    rms = np.sqrt(np.mean(beats**2, axis=1))
    assert (np.abs(rms.argmax(axis=1) - 75) <= 2).all()
    # Einthoven's law survives filter, median and baseline, since all are the same for each lead.
    np.testing.assert_allclose(beats[:, 2], beats[:, 1] - beats[:, 0], atol=0.03)


def test_ectopic_and_noisy_beats_are_dropped(make_ecg):
    record = make_ecg(n_records=1)[0]
    clean = median_beat(record, 500)
    spoilt = record.copy()
    peaks = find_r_peaks(record, 500)
    spoilt[:, peaks[3] - 60 : peaks[3] + 60] = -1.5 * np.sin(np.linspace(0, np.pi, 120))
    spoilt[:, peaks[6] - 100 : peaks[6] + 100] += np.random.default_rng(0).normal(size=(12, 200))
    np.testing.assert_allclose(median_beat(spoilt, 500), clean, atol=0.03)


@pytest.mark.parametrize(("before", "after"), [(0, 1000), (700, 0), (300, 400)])
def test_a_short_record_filled_up_with_nan_is_a_short_record(make_ecg, before, after):
    record = make_ecg(n_records=1)[0]
    padded = np.pad(record, ((0, 0), (before, after)), constant_values=np.nan)
    inside = slice(before, padded.shape[1] - after)
    filtered = filter_ecg(padded, 500)
    assert np.array_equal(filtered[:, inside], filter_ecg(record, 500))
    assert np.isnan(np.delete(filtered, np.arange(before, inside.stop), axis=1)).all()
    assert np.array_equal(find_r_peaks(padded, 500), find_r_peaks(record, 500) + before)
    assert np.array_equal(measure_record(padded, 500), measure_record(record, 500), equal_nan=True)
    assert np.array_equal(*(MedianBeat().fit_transform(part[np.newaxis]) for part in (padded, record)))
    assert signal_quality(padded, 500).quality == signal_quality(record, 500).quality


def test_missing_and_flat_leads_are_zero_leads(make_ecg):
    X = make_ecg(n_records=1)
    X[0, 2], X[0, 8] = np.nan, 0.3
    beat = MedianBeat().fit_transform(X)[0]
    assert np.flatnonzero(~beat.any(axis=1)).tolist() == [2, 8]


def test_invert_avr_is_explicit(make_ecg):
    X = make_ecg(n_records=1)
    plain, inverted = (MedianBeat(invert_avr=invert).fit_transform(X) for invert in (False, True))
    avr = LEADS.index("aVR")
    np.testing.assert_array_equal(inverted[:, avr], -plain[:, avr])
    np.testing.assert_array_equal(np.delete(inverted, avr, axis=1), np.delete(plain, avr, axis=1))
    with pytest.raises(ValueError, match="12 leads"):
        MedianBeat(invert_avr=True).fit_transform(X[:, :3])


@pytest.mark.parametrize("kind", ["flat", "noise", "missing", "fibrillation"])
def test_a_record_without_beats_gets_zeros_and_one_warning(make_ecg, kind):
    X = make_ecg(n_records=4)
    times = np.arange(5000) / 500
    X[2] = {
        "flat": 0.0,
        "noise": np.random.default_rng(0).normal(size=(12, 5000)),
        "missing": np.nan,
        "fibrillation": np.sin(2 * np.pi * 5 * times + 3 * np.sin(np.pi * times)),
    }[kind]
    with pytest.warns(UnusableRecordWarning, match=r"1 of 4 records cannot be measured .*: 2 \(") as caught:
        beats = MedianBeat().fit_transform(X)
    assert len(caught) == 1
    assert not beats[2].any()
    assert beats[[0, 1, 3]].any(axis=(1, 2)).all()
    with pytest.raises(ValueError, match="record 2 cannot be measured"):
        MedianBeat(on_error="raise").fit_transform(X)
    with pytest.raises(NoBeatError):
        median_beat(X[2], 500)


def test_n_jobs_and_cache_change_nothing(make_ecg, tmp_path):
    X = make_ecg()
    plain = MedianBeat().fit_transform(X)
    np.testing.assert_array_equal(MedianBeat(n_jobs=2).fit_transform(X), plain)
    for memory in (tmp_path / "path", str(tmp_path / "text"), joblib.Memory(tmp_path / "memory", verbose=0)):
        cached = MedianBeat(memory=memory)
        np.testing.assert_array_equal(cached.fit_transform(X), plain)
        np.testing.assert_array_equal(cached.fit_transform(X[::-1]), plain[::-1])


def test_microvolts_are_pointed_out(make_ecg):
    with pytest.warns(UnusableRecordWarning, match="microvolts"):
        MedianBeat().fit_transform(make_ecg() * 1000)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    record=arrays(
        np.float64,
        st.tuples(st.just(1), st.integers(1, 13), st.integers(1, 1500)),
        elements=st.one_of(st.floats(-1e3, 1e3), st.just(np.nan), st.just(0.0)),
        fill=st.sampled_from([0.0, 0.1]),
    ),
    sampling_rate=st.sampled_from([100, 250, 500, 1000]),
)
def test_malformed_records_give_finite_beats_or_a_value_error(record, sampling_rate):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            filtered = ECGFilter(sampling_rate=sampling_rate).fit_transform(record)
            beats = MedianBeat(sampling_rate=sampling_rate).fit_transform(filtered)
        except ValueError:
            return
    assert np.isfinite(beats).all()


# --- scaling


def test_each_lead_is_divided_by_its_own_largest_value(make_ecg):
    beats = make_ecg(n_records=2)
    scaled = LeadScaler().fit_transform(beats)
    np.testing.assert_allclose(np.abs(scaled).max(axis=2), 1)
    np.testing.assert_allclose(scaled * np.abs(beats).max(axis=2, keepdims=True), beats)


def test_a_zero_lead_stays_zero(make_ecg):
    beats = make_ecg(n_records=1)
    beats[0, 4] = 0
    assert not scale_leads(beats)[0, 4].any()
    assert np.isfinite(scale_leads(beats)).all()


def test_scaling_by_record_keeps_the_leads_in_proportion(make_ecg):
    beats = make_ecg(n_records=2)
    scaled = LeadScaler(by="record").fit_transform(beats)
    np.testing.assert_allclose(np.abs(scaled).max(axis=(1, 2)), 1)
    np.testing.assert_allclose(scaled[:, 0] / scaled[:, 1], beats[:, 0] / beats[:, 1])
