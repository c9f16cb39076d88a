"""Signal quality: every flag by construction, the measures, and the transformers."""

from __future__ import annotations

import dataclasses
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

from omi_estimators.leads import LEADS
from omi_estimators.preprocessing import (
    BadLeadMasker,
    SignalQuality,
    UnusableRecordWarning,
    filter_ecg,
    quality_features,
    quality_names,
    signal_quality,
    usable_records,
)
from omi_estimators.preprocessing._signal_quality import FLAGS


@pytest.fixture
def record(make_ecg):
    return make_ecg(n_records=1)[0]


def _flags(record, sampling_rate=500):
    """Return the names of the leads that have each flag, for flags that any lead has."""
    found = signal_quality(record, sampling_rate)
    flagged = {flag: [LEADS[lead] for lead in np.flatnonzero(getattr(found, flag))] for flag in FLAGS}
    return {flag: leads for flag, leads in flagged.items() if leads}


# --- flags


def test_a_clean_record_has_no_flag(record):
    found = signal_quality(record, 500)
    assert _flags(record) == {}
    assert found.quality > 0.8
    assert 10 <= found.n_beats <= 13
    assert found.limb_lead_reversal == "none"
    # White noise of 0.01 mV, of which nine tenths of the power lie above 25 Hz.
    np.testing.assert_allclose(found.noise_level, 0.01, rtol=0.2)
    np.testing.assert_array_less(0.5, found.consistency)


def test_a_lead_is_missing_when_most_of_it_is(record):
    record[3, :2400] = np.nan
    record[7, :2600] = np.nan
    found = signal_quality(record, 500)
    assert _flags(record) == {"missing": ["V2"]}
    np.testing.assert_allclose(found.missing_share[[3, 7]], [0.48, 0.52])
    assert np.isnan(found.noise_level).nonzero()[0].tolist() == [7]
    assert found.lead_quality[7] == 0
    assert 0 < found.lead_quality[3] < 0.6


@pytest.mark.parametrize("level", [0.0, -3.0])
def test_a_lead_is_flat_when_it_hardly_moves(record, level):
    record[8] = level + 0.002 * np.sin(np.arange(5000) / 50)
    record[2, 3000:] = 0.1
    assert _flags(record) == {"flat": ["V3"]}
    record[2, 2000:] = 0.1
    assert _flags(record)["flat"] == ["III", "V3"]


@pytest.mark.parametrize("sampling_rate", [100, 250, 500, 1000])
@pytest.mark.parametrize("side", [1, -1])
def test_a_lead_is_saturated_when_its_beats_are_cut_off(make_ecg, sampling_rate, side):
    record = make_ecg(n_records=1, sampling_rate=sampling_rate)[0]
    record[9] *= side
    record[9] = side * np.minimum(side * record[9], 0.35)
    # The step of the converter must not matter.
    record = np.round(record / 0.005) * 0.005
    assert _flags(record, sampling_rate) == {"saturated": ["V4"]}


def test_a_lead_that_rests_on_the_rail_is_saturated(record):
    record[1, 1000:1250] = 5.0
    assert _flags(record)["saturated"] == ["II"]


def test_small_waves_in_coarse_steps_are_not_saturation(record):
    beats = -np.exp(-0.5 * ((np.arange(5000) % 400 - 200) / 12) ** 2)
    record[3] = np.round((0.1 * beats + 0.02 * np.sin(np.arange(5000) * np.pi / 200)) / 0.005) * 0.005
    assert "saturated" not in _flags(record)


def test_neither_one_flat_top_nor_a_ripple_is_saturation(record):
    record[1, 1000:1200] = 5.0
    record[2, :80] = np.tile([-2.0] * 4 + [-1.9] * 4, 10)
    assert "saturated" not in _flags(record)


def test_a_noisy_lead_is_found_whatever_its_noise_is(record):
    rng = np.random.default_rng(0)
    record[6] += rng.normal(scale=0.1, size=5000)
    # Slow noise, between the beats' frequencies: nothing above 25 Hz, but no two beats are alike.
    record[10] = 0.3 * filter_ecg(rng.normal(size=5000), 500, highpass=1, lowpass=6) * 5
    assert _flags(record) == {"noise": ["V1", "V5"]}
    assert signal_quality(record, 500).noise_level[6] == pytest.approx(0.1, rel=0.2)


def test_a_burst_of_noise_is_seen(record):
    record[6, 2000:2800] += np.random.default_rng(0).normal(scale=0.15, size=800)
    assert _flags(record) == {"noise": ["V1"]}


def test_drift_and_steps_are_wander(record):
    times = np.arange(5000) / 500
    record[4] += 0.8 * np.sin(2 * np.pi * 0.2 * times)
    record[9, 2500:] += 1.5
    found = signal_quality(record, 500)
    assert _flags(record) == {"wander": ["aVL", "V4"]}
    np.testing.assert_allclose(found.wander_level[[4, 9]], [1.5, 1.5], atol=0.15)


# --- dose and response


@pytest.mark.parametrize("ratio", [0, 0.5, 2])
def test_consistency_is_the_share_of_the_beat_in_the_variance(make_ecg, ratio):
    record = make_ecg(n_records=1, duration=20.0, heart_rate=100)[0]
    # The window of 0.35 RR before to 0.5 s after holds four fifths of a beat of 0.6 s; all of a beat is near enough.
    noise = filter_ecg(np.random.default_rng(0).normal(size=10000), 500, highpass=5, lowpass=40)
    record[6] = np.sqrt(ratio) * record[6] + noise * record[6].std() / noise.std()
    assert signal_quality(record, 500).consistency[6] == pytest.approx(ratio / (ratio + 1), abs=0.08)


def test_two_beats_that_share_nothing_are_not_consistent(make_ecg):
    shares = []
    for seed in range(20):
        record = make_ecg(n_records=1, duration=2.2, heart_rate=60, seed=seed)[0]
        record[6] = filter_ecg(np.random.default_rng(seed).normal(size=1100), 500, highpass=5, lowpass=40)
        found = signal_quality(record, 500)
        if found.n_beats == 2:
            shares.append(found.consistency[6])
    assert len(shares) >= 5
    assert np.mean(shares) < 0.12


def test_neighbouring_beats_of_a_fast_irregular_rhythm_are_no_noise():
    rng = np.random.default_rng(0)
    times = np.arange(5000) / 500
    beats = np.cumsum(rng.uniform(0.32, 0.46, size=30))
    record = np.exp(-0.5 * ((times - beats[:, np.newaxis]) / 0.02) ** 2).sum(axis=0)
    assert signal_quality(record, 500).consistency[0] > 0.95


def test_quality_of_a_lead_falls_by_the_share_that_is_missing(record):
    clean = signal_quality(record, 500).lead_quality[1]
    record[1, ::4] = np.nan
    assert signal_quality(record, 500).lead_quality[1] == pytest.approx(0.75 * clean, rel=0.05)


@pytest.mark.parametrize("kind", ["white noise", "mains", "drift"])
def test_quality_falls_as_noise_grows(record, kind):
    times = np.arange(5000) / 500
    noise = {
        "white noise": np.random.default_rng(0).normal(size=record.shape),
        "mains": np.sin(2 * np.pi * 50 * times),
        "drift": 10 * np.sin(2 * np.pi * 0.15 * times),
    }[kind]
    qualities = [signal_quality(record + dose * noise, 500).quality for dose in (0, 0.02, 0.05, 0.1, 0.2, 0.5)]
    assert (np.diff(qualities) < 0).all()
    assert qualities[0] > 0.8
    assert qualities[-1] < 0.1


def test_quality_falls_by_each_lost_lead(record):
    qualities = []
    for lead in range(4):
        qualities.append(signal_quality(record, 500).quality)
        record[lead] = 0
    np.testing.assert_allclose(np.diff(qualities), -1 / 12, atol=0.02)


# --- bad records


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("flat", 0, 0),
        ("missing", 0, 0),
        ("one NaN", 0.8, 1),
        ("spike", 0.7, 1),
        ("white noise", 0, 0),
        ("fibrillation", 0, 0),
        ("microvolts", 0, 0.01),
        ("volts", 0, 0),
        ("huge", 0, 0.01),
        ("offset", 0.8, 1),
    ],
)
def test_quality_of_a_bad_record(record, kind, low, high):
    times = np.arange(5000) / 500
    one_nan, spike = record.copy(), record.copy()
    one_nan[2, 100] = np.nan
    spike[:, 1234] = 20.0
    bad = {
        "flat": np.zeros_like(record),
        "missing": np.full_like(record, np.nan),
        "one NaN": one_nan,
        "spike": spike,
        "white noise": np.random.default_rng(0).normal(size=record.shape),
        "fibrillation": np.tile(np.sin(2 * np.pi * 5 * times + 3 * np.sin(np.pi * times)), (12, 1)),
        "microvolts": record * 1000,
        "volts": record / 1000,
        "huge": record * 1e300,
        "offset": record + 300,
    }[kind]
    found = signal_quality(bad, 500)
    assert low <= found.quality <= high
    expected = {
        "flat": {"flat"},
        "missing": {"missing"},
        "white noise": {"noise"},
        "microvolts": {"noise", "wander"},
        "volts": {"flat"},
        "huge": {"saturated", "noise"},
    }
    assert {flag for flag in FLAGS if getattr(found, flag).all()} == expected.get(kind, set())


@pytest.mark.parametrize("sampling_rate", [100, 250, 360, 500, 1000])
@pytest.mark.parametrize("duration", [2.0, 10.0, 20.0])
def test_rate_and_length_hardly_matter(make_ecg, sampling_rate, duration):
    record = make_ecg(n_records=1, sampling_rate=sampling_rate, duration=duration)[0]
    found = signal_quality(record, sampling_rate)
    assert _flags(record, sampling_rate) == {}
    assert found.quality > 0.75


def test_one_beat_is_judged_by_noise_and_wander(make_ecg):
    record = make_ecg(n_records=1, duration=1.0, heart_rate=60, seed=3)[0]
    found = signal_quality(record, 500)
    assert found.n_beats == 1
    assert np.isnan(found.consistency).all()
    assert 0.5 < found.quality <= 1


@pytest.mark.parametrize(
    ("record", "sampling_rate", "message"),
    [
        (np.zeros((2, 3, 4)), 500, "one record at a time"),
        (np.zeros((12, 0)), 500, "one record at a time"),
        (np.full(100, np.inf), 500, "infinite"),
        (np.zeros(100), 50, "above 50"),
        (np.zeros(100), np.nan, "above 50"),
        (np.zeros(100), np.inf, "above 50"),
    ],
    ids=str,
)
def test_wrong_input_is_an_error(record, sampling_rate, message):
    with pytest.raises(ValueError, match=message):
        signal_quality(record, sampling_rate)


_RECORDS = arrays(
    np.float64,
    st.tuples(st.integers(1, 13), st.integers(1, 1500)),
    elements=st.one_of(st.floats(-1e3, 1e3), st.just(np.nan), st.just(0.0), st.sampled_from([1e300, -1e300, 1e-300])),
    fill=st.sampled_from([0.0, 0.1, np.nan]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(record=_RECORDS, sampling_rate=st.sampled_from([51.3, 100, 250, 500, 1000, 1e6]))
def test_no_record_breaks_it(record, sampling_rate):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = signal_quality(record, sampling_rate)
    assert 0 <= found.quality <= 1
    assert ((found.lead_quality >= 0) & (found.lead_quality <= 1)).all()
    for value in dataclasses.astuple(found):
        assert isinstance(value, str) or not np.isinf(value).any()
    assert list(quality_features(found)) == quality_names(len(record))


# --- transformers


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("transformer", [SignalQuality(), BadLeadMasker()], ids=lambda t: type(t).__name__)
def test_scikit_learns_checks(transformer):
    results = check_estimator(transformer, on_skip=None, on_fail=None)
    assert [result for result in results if result["status"] == "failed"] == []


def test_table_holds_what_the_function_finds(make_ecg):
    X = make_ecg()
    X[1, 7] = 0
    X[2, 3] = np.nan
    before = X.copy()
    table = SignalQuality().set_output(transform="pandas").fit_transform(X)
    np.testing.assert_array_equal(X, before)
    found = [signal_quality(record, 500) for record in X]
    np.testing.assert_array_equal(table["quality"], [record.quality for record in found])
    np.testing.assert_array_equal(table["noise_level_V5"], [record.noise_level[10] for record in found])
    assert table["flat_V2"].tolist() == [0, 1, 0]
    assert table["missing_aVR"].tolist() == [0, 0, 1]
    assert table["reversed_limb_leads"].tolist() == [0, 0, 0]
    assert table.isna().sum().sum() == 2


def test_other_leads_have_numbers_and_no_electrodes(make_ecg):
    X = make_ecg(n_leads=3)
    fitted = SignalQuality().fit(X)
    names = fitted.get_feature_names_out().tolist()
    assert "saturated_lead2" in names
    assert "reversed_limb_leads" not in names
    assert fitted.transform(X).shape == (3, len(names))
    single = SignalQuality().fit_transform(X[:, 0])
    np.testing.assert_array_equal(single, SignalQuality().fit_transform(X[:, :1]))
    assert quality_names(3)[-1] == "noise_level_lead2"


def test_masker_makes_bad_leads_missing_and_leaves_the_rest(make_ecg):
    X = make_ecg()
    X[1, 2] = 0
    X[2] = np.random.default_rng(0).normal(size=(12, 5000))
    X[0, 5] += 2 * np.arange(5000) / 5000
    with pytest.warns(UnusableRecordWarning, match=r"2 of 3 records .*: 1 \(III\), 2 \(every lead\)") as caught:
        masked = BadLeadMasker().fit_transform(X)
    assert len(caught) == 1
    assert np.isnan(masked).all(axis=2).sum(axis=1).tolist() == [0, 1, 12]
    kept = ~np.isnan(masked)
    np.testing.assert_array_equal(masked[kept], X[kept])
    with pytest.warns(UnusableRecordWarning, match=r"1 of 3 records are wander .*: 0 \(aVF\)"):
        masked = BadLeadMasker(flags=["wander"]).fit_transform(X.astype(np.float32))
    assert masked.dtype == np.float32
    assert np.isnan(masked).all(axis=2).nonzero()[1].tolist() == [5]
    with pytest.raises(ValueError, match="'noisy'"):
        BadLeadMasker(flags=("noisy",)).fit(X)


def test_masker_says_nothing_about_good_records(make_ecg):
    X = make_ecg()
    np.testing.assert_array_equal(BadLeadMasker().fit_transform(X), X)
    np.testing.assert_array_equal(BadLeadMasker().set_output(transform="pandas").fit_transform(X[:, 0]), X[:, 0])


@pytest.mark.parametrize("transformer", [SignalQuality(), BadLeadMasker()], ids=lambda t: type(t).__name__)
def test_n_jobs_cache_and_pickle_change_nothing(make_ecg, tmp_path, transformer):
    X = make_ecg()
    plain = transformer.fit_transform(X)
    parallel = clone(transformer).set_params(n_jobs=2).fit(X)
    np.testing.assert_array_equal(parallel.transform(X), plain)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(parallel)).transform(X), plain)
    for memory in (tmp_path / "path", joblib.Memory(tmp_path / "memory", verbose=0)):
        cached = clone(transformer).set_params(memory=memory)
        np.testing.assert_array_equal(cached.fit_transform(X), plain)
        np.testing.assert_array_equal(cached.fit_transform(X[::-1]), plain[::-1])


def test_usable_records(make_ecg):
    X = make_ecg()
    X[1] = 0
    usable = usable_records(X, 500)
    assert usable.mask.tolist() == [True, False, True]
    assert usable.reasons.tolist() == ["", "every lead is flat or missing", ""]
    assert usable_records(X[:, 0], 500, n_jobs=2).mask.tolist() == [True, False, True]
    picky = usable_records(X + np.random.default_rng(0).normal(scale=0.05, size=X.shape), 500, least_quality=0.9)
    assert picky.reasons[0].startswith("its quality is 0.")
    with pytest.raises(ValueError, match="least_quality"):
        usable_records(X, 500, least_quality=50)
