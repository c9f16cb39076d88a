"""The table of features: values that are known, records that are bad, the promises of a transformer."""

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

from omi_estimators.features import NeuroKitFeatures, delineate, feature_names, measure_record
from omi_estimators.features import _neurokit_features as measure_module
from omi_estimators.preprocessing import BeatShapeWarning, SamplingRateWarning, UnusableRecordWarning


@pytest.fixture
def measure(make_ecg):
    """Return a function that gives the features of one synthetic record by name."""

    def measure(record=None, sampling_rate=500, **how):
        record = make_ecg(n_records=1, sampling_rate=sampling_rate, **how)[0] if record is None else record
        return dict(zip(feature_names(len(record)), measure_record(record, sampling_rate), strict=True))

    return measure


@pytest.mark.parametrize("sampling_rate", [250, 500, 1000])
@pytest.mark.parametrize("heart_rate", [50, 75, 95])
def test_known_values_at_any_rate(measure, sampling_rate, heart_rate):
    row = measure(sampling_rate=sampling_rate, heart_rate=heart_rate)
    assert row["heart_rate"] == pytest.approx(heart_rate, rel=0.02)
    assert row["hrv_rmssd"] < 8
    assert 70 < row["qrs_duration"] < 130
    assert 100 < row["pr_interval"] < 200
    # T peaks 0.28 s after R, a little more after the onset of QRS, and ends within 0.2 s of its peak.
    assert 360 < row["qt_interval"] < 470
    assert row["qtc_bazett"] == pytest.approx(row["qt_interval"] * np.sqrt(heart_rate / 60), rel=0.02)
    assert 0.6 < row["r_amplitude_II"] < 1.3
    assert row["t_amplitude_II"] > 0.2 > -0.2 > row["t_amplitude_aVR"]
    assert row["s_amplitude_V2"] < -0.7
    assert 0 < row["qrs_axis"] < 90


def test_raised_st_is_measured_in_its_own_leads(measure, make_ecg):
    record = make_ecg(n_records=1)[0]
    plain = measure(record)
    times = np.arange(5000) / 500
    raised = record.copy()
    peaks = np.flatnonzero(record[1] > 0.9 * record[1].max())
    for peak in peaks[np.r_[True, np.diff(peaks) > 50]] / 500:
        raised[6:9] += 0.3 * np.exp(-0.5 * ((times - peak - 0.12) / 0.03) ** 2)
    row = measure(raised)
    for lead in ("V1", "V2", "V3"):
        assert 0.15 < row[f"st80_{lead}"] - plain[f"st80_{lead}"] < 0.35
    for lead in ("II", "V6"):
        assert abs(row[f"st80_{lead}"] - plain[f"st80_{lead}"]) < 0.05
    assert row["st60_max"] > plain["st60_max"]


def test_an_inverted_t_is_found_as_it_is(make_ecg):
    beat_times = np.arange(-0.45, 0.7, 0.002)
    qrs = np.exp(-((beat_times / 0.02) ** 2))
    wave = 0.3 * np.exp(-(((beat_times - 0.3) / 0.05) ** 2))
    upright, inverted = (
        delineate(np.stack([qrs + sign * wave, 0.5 * qrs + sign * wave]), 500, r_index=225) for sign in (1, -1)
    )
    assert upright.t_peak == pytest.approx(inverted.t_peak, abs=2)
    assert upright.t_offset == pytest.approx(inverted.t_offset, abs=5)


def _beat_of(*waves):
    """Return a beat of two leads, in proportion 1 to 0.5, with waves (amplitude, time, width) around R."""
    times = np.arange(-0.45, 0.7, 0.002)
    one = sum(amplitude * np.exp(-(((times - time) / width) ** 2)) for amplitude, time, width in waves)
    return np.stack([one, 0.5 * one])


def test_without_a_p_wave_there_is_no_pr_interval():
    with_p = _beat_of((0.15, -0.16, 0.03), (1, 0, 0.02), (0.3, 0.3, 0.05))
    without = _beat_of((0.01, -0.16, 0.03), (1, 0, 0.02), (0.3, 0.3, 0.05))
    assert delineate(with_p, 500, r_index=225).p_peak == pytest.approx(225 - 80, abs=2)
    assert np.isnan(delineate(without, 500, r_index=225)[:3]).all()


def test_the_next_p_wave_is_not_taken_for_t():
    # At 75/min the next P wave, here as high as T, begins half a second after R.
    beat = _beat_of((0.3, -0.16, 0.03), (1, 0, 0.02), (0.3, 0.26, 0.05), (0.3, 0.54, 0.03))
    points = delineate(beat, 500, r_index=225, rr=0.7)
    assert points.t_peak == pytest.approx(225 + 130, abs=3)
    assert points.t_offset < 225 + 200


def test_lead_order_and_scale_of_amplitudes(measure, make_ecg):
    record = make_ecg(n_records=1)[0]
    once, twice = measure(record), measure(2 * record)
    for name in ("r_amplitude_V5", "st60_V2", "t_area_III"):
        assert twice[name] == pytest.approx(2 * once[name], rel=1e-6)
    for name in ("jt_peak", "t_axis", "pca_ratio_t"):
        assert twice[name] == pytest.approx(once[name], rel=1e-6)
    # The eye, and so we, sees a larger complex begin a little earlier.
    assert 0 <= twice["qrs_duration"] - once["qrs_duration"] <= 6


def test_a_missing_lead_is_nan_in_its_own_features_only(measure, make_ecg):
    for value in (np.nan, 0.0):
        record = make_ecg(n_records=1)[0]
        record[7] = value
        row = measure(record)
        assert np.isnan(row["r_amplitude_V2"])
        assert np.isnan(row["vcg_qrs_magnitude"])
        assert np.isfinite(row["r_amplitude_V3"])
        assert np.isfinite(row["qrs_duration"])


def _bad_records(good):
    rng = np.random.default_rng(0)
    times = np.arange(good.shape[1]) / 500
    vf = np.sin(2 * np.pi * 5 * times + 3 * np.sin(2 * np.pi * 0.5 * times)) * np.ones((12, 1))
    return {
        "flat": np.zeros_like(good),
        "all leads missing": np.full_like(good, np.nan),
        "noise": rng.normal(size=good.shape),
        "fibrillation": vf,
    }


@pytest.mark.parametrize("kind", ["flat", "all leads missing", "noise", "fibrillation"])
def test_a_record_without_beats_never_costs_the_batch(make_ecg, kind):
    X = make_ecg(n_records=3)
    X[1] = _bad_records(X[0])[kind]
    with pytest.warns(UnusableRecordWarning, match=r"1 of 3 records cannot be measured .*: 1 \("):
        features = NeuroKitFeatures().fit_transform(X)
    assert np.isnan(features[1]).all()
    np.testing.assert_array_equal(features[[0, 2]], NeuroKitFeatures().fit_transform(X[[0, 2]]))
    with pytest.raises(ValueError, match="record 1 cannot be measured"):
        NeuroKitFeatures(on_error="raise").fit_transform(X)


@pytest.mark.parametrize("spoil", ["one NaN", "spike", "saturated", "one second", "one beat", "twenty seconds"])
def test_spoilt_records_are_measured_or_reported(make_ecg, spoil):
    X = make_ecg(n_records=1, duration={"one second": 1, "one beat": 0.7, "twenty seconds": 20}.get(spoil, 10))
    if spoil == "one NaN":
        X[0, 4, 1000] = np.nan
    elif spoil == "spike":
        X[0, 3, 1234] = 50
    elif spoil == "saturated":
        X = np.clip(X, -0.5, 0.5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        features = NeuroKitFeatures().fit_transform(X)
    assert all(issubclass(warning.category, (UnusableRecordWarning, BeatShapeWarning)) for warning in caught)
    assert not np.isinf(features).any()
    if spoil in ("one NaN", "spike", "saturated", "twenty seconds"):
        assert np.isfinite(features).mean() > 0.9


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
def test_malformed_records_give_no_other_error_and_nothing_infinite(record, sampling_rate):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            features = NeuroKitFeatures(sampling_rate=sampling_rate).fit_transform(record)
        except ValueError:
            return
    assert not np.isinf(features).any()


def test_microvolts_and_a_wrong_sampling_rate_are_pointed_out(make_ecg):
    X = make_ecg(n_records=3)
    with pytest.warns(UnusableRecordWarning, match="microvolts"):
        NeuroKitFeatures().fit_transform(X * 1000)
    with (
        pytest.warns(UnusableRecordWarning, match="check sampling_rate"),
        pytest.warns(SamplingRateWarning, match="rather than 100"),
    ):
        NeuroKitFeatures(sampling_rate=100).fit_transform(X)


@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks():
    failed = [
        check
        for check in check_estimator(NeuroKitFeatures(), on_skip=None, on_fail=None)
        if check["status"] == "failed"
    ]
    assert failed == []


def test_pandas_output_clone_and_pickle(make_ecg):
    X = make_ecg()
    features = NeuroKitFeatures().set_output(transform="pandas").fit(X)
    table = features.transform(X)
    assert table.columns.tolist() == feature_names() == features.get_feature_names_out().tolist()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(features)).transform(X), table)
    np.testing.assert_array_equal(clone(features).fit_transform(X), table)


def test_two_dimensions_mean_one_lead(make_ecg):
    X = make_ecg(n_leads=2)[:, 1]
    np.testing.assert_array_equal(
        NeuroKitFeatures().fit_transform(X), NeuroKitFeatures().fit_transform(X[:, np.newaxis])
    )


def test_other_leads_or_samples_are_errors(make_ecg):
    X = make_ecg()
    features = NeuroKitFeatures().fit(X)
    with pytest.raises(ValueError, match="11 leads"):
        features.transform(X[:, :11])
    with pytest.raises(ValueError, match="4999 samples"):
        features.transform(X[..., 1:])


def test_swapped_axes_are_an_error(make_ecg):
    with pytest.raises(ValueError, match=r"5000 leads of 12 samples; the axes look swapped"):
        NeuroKitFeatures().fit(make_ecg().transpose(0, 2, 1))


def test_n_jobs_and_cache_change_nothing_and_measure_once(make_ecg, tmp_path, monkeypatch):
    X = make_ecg()
    plain = NeuroKitFeatures().fit_transform(X)
    np.testing.assert_array_equal(NeuroKitFeatures(n_jobs=2).fit_transform(X), plain)
    cached = NeuroKitFeatures(memory=joblib.Memory(tmp_path, verbose=0))
    np.testing.assert_array_equal(cached.fit_transform(X), plain)

    def fail(*args):
        raise AssertionError("a record was measured twice")

    monkeypatch.setattr(measure_module, "_measure_window", fail)
    np.testing.assert_array_equal(cached.fit_transform(X[::-1]), plain[::-1])
    with pytest.raises(AssertionError):
        cached.set_params(sampling_rate=250).fit_transform(X)
