"""Whether records that cannot have the sampling rate that was given are noticed, and all others left alone."""

import warnings

import numpy as np
import pytest

from omi_estimators import MedianBeat, NeuroKitFeatures
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs
from omi_estimators.preprocessing import (
    ECGFilter,
    NoBeatError,
    SamplingRateWarning,
    average_beats,
    filter_ecg,
    likely_sampling_rate,
    rate_evidence,
    resample_ecg,
)
from omi_estimators.readers import load_ecgs

# RR, QRS (root mean square) and T of a usual heart, in seconds.
USUAL = np.array([0.88, 0.0124, 0.27])


def measure(X, sampling_rate):
    """Return what records tell of their rate, filtered as the pipelines do."""
    evidence = []
    for record in X:
        filtered = filter_ecg(np.asarray(record, dtype=np.float64), sampling_rate)
        try:
            average = average_beats(filtered, sampling_rate, 0.3, 0.5)
        except NoBeatError:
            average = None
        evidence.append(rate_evidence(filtered, sampling_rate, average))
    return np.array(evidence)


def draw_hearts(n_patients, seed=0):
    """Return evidence of patients: RR varies most, T follows it, QRS varies by itself."""
    rng = np.random.default_rng(seed)
    rr, t_time, qrs = rng.normal(scale=(0.2, 0.08, 0.15), size=(n_patients, 3)).T
    return USUAL * np.exp(np.column_stack([rr, qrs, 0.45 * rr + t_time]))


def rate_warnings(transformer, X):
    """Return the words about the rate that a transformer says of records."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        transformer.fit_transform(X)
    return [str(item.message) for item in caught if item.category is SamplingRateWarning]


@pytest.mark.parametrize(
    ("transformer", "rate"),
    [
        *((MedianBeat(), rate) for rate in (250, 360, 400, 1000)),
        (NeuroKitFeatures(), 400),
        *(pytest.param(NeuroKitFeatures(), rate, marks=pytest.mark.slow) for rate in (250, 360, 1000)),
    ],
)
def test_another_rate_than_the_datas_is_named(transformer, rate):
    X = make_omi_ecgs(n_patients=25, random_state=0, sampling_rate=rate).X
    (said,) = rate_warnings(transformer, X)
    assert f"sampled at about {rate} Hz rather than 500" in said
    assert f"sampling_rate={rate}" in said
    assert rate_warnings(transformer.__class__(sampling_rate=rate), X) == []


@pytest.mark.parametrize("given", [100, 125, 250, 400, 625, 1000, 2500])
def test_factors_up_to_five_both_ways(given):
    X = make_omi_ecgs(n_patients=40, random_state=1).X
    likely = likely_sampling_rate(measure(X, given), given)
    assert likely == pytest.approx(500, rel=0.25)
    assert (likely > given) == (given < 500)


@pytest.mark.parametrize("rate", [100, 250, 500, 1000])
@pytest.mark.parametrize("arguments", [{}, {"prevalence": 0.9}, {"noise": 3.0}, {"duration": 5}])
def test_the_right_rate_is_not_doubted(rate, arguments):
    X = make_omi_ecgs(n_patients=15, random_state=2, sampling_rate=rate, **arguments).X
    evidence = measure(X, rate)
    assert np.isfinite(evidence).all(axis=1).mean() > 0.7
    for size in (1, 5, len(X)):
        for start in range(0, len(X), size):
            assert likely_sampling_rate(evidence[start : start + size], rate) is None


@pytest.mark.parametrize("factor", [0.4, 0.5, 0.8, 1.25, 2, 2.5])
def test_evidence_does_not_assume_the_rate_that_is_in_question(factor):
    X = make_omi_ecgs(n_patients=10, random_state=3, noise=0.5).X
    shift = np.log(measure(X, 500 * factor) / measure(X, 500))
    # QRS is touched by the filter's low-pass, which lies elsewhere.
    np.testing.assert_allclose(np.nanmedian(shift, axis=0), -np.log(factor), atol=0.17)
    np.testing.assert_allclose(np.nanmedian(shift, axis=0)[[0, 2]], -np.log(factor), atol=0.02)


def test_one_record_says_so_where_it_can():
    assert likely_sampling_rate(USUAL / 2.5, 500) == 200
    assert likely_sampling_rate(USUAL * 2.5, 400) == 1000
    assert likely_sampling_rate(USUAL * 1.25, 400) is None
    # Complete heart block at 31 beats/min, with long QT and a wide escape rhythm: record 477 of PTB-XL.
    assert likely_sampling_rate(USUAL * np.exp([0.78, 0.74, 0.6]), 500) is None


def test_records_of_one_patient_tell_no_more_than_one_of_them():
    hearts = draw_hearts(30)
    assert likely_sampling_rate(1.4 * hearts, 360) == 500
    assert likely_sampling_rate(np.tile(1.4 * USUAL, (30, 1)), 360) is None


@pytest.mark.parametrize(
    "sick",
    [
        pytest.param((0, 0.8, 0), id="bundle branch block"),
        pytest.param((-0.4, 0.1, -0.2), id="tachycardia"),
        pytest.param((-0.7, 0, -0.3), id="flutter"),
        pytest.param((0.35, 0, 0.14), id="bradycardia"),
        pytest.param((0, 0, 0.2), id="long QT"),
    ],
)
def test_a_batch_of_one_disease_is_no_wrong_rate(sick):
    assert likely_sampling_rate(draw_hearts(60) * np.exp(sick), 500) is None


def test_what_is_unknown_says_nothing():
    nothing = np.full((3, 3), np.nan)
    assert likely_sampling_rate(nothing, 500) is None
    wrong = draw_hearts(25) / 2
    assert likely_sampling_rate(np.vstack([nothing, wrong]), 500) == 250
    # No recorder has this rate, so it is said as it is estimated.
    assert likely_sampling_rate(10 * draw_hearts(25), 500) == pytest.approx(5000, rel=0.15)


@pytest.mark.parametrize("kind", ["flat", "white noise", "fibrillation", "pulses without T", "all missing"])
def test_records_without_a_heart_say_nothing(kind):
    times = np.arange(5000) / 500
    rng = np.random.default_rng(0)
    pulse = np.exp(-(((times % 1 - 0.5) / 0.02) ** 2))
    record = {
        "flat": np.zeros((12, 5000)),
        "white noise": rng.normal(size=(12, 5000)),
        "fibrillation": np.outer(np.ones(12), np.sin(2 * np.pi * 5 * times + 3 * np.sin(np.pi * times))),
        "pulses without T": np.outer(np.ones(12), pulse) + rng.normal(scale=0.01, size=(12, 5000)),
        "all missing": np.full((12, 5000), np.nan),
    }[kind]
    assert likely_sampling_rate(measure([record] * 25, 500), 500) is None


def test_missing_leads_and_ends_change_little():
    X = make_omi_ecgs(n_patients=5, random_state=4).X.astype(np.float64)
    spoilt = X.copy()
    spoilt[:, 7] = np.nan
    spoilt[:, :, :600] = np.nan
    shift = np.log(measure(spoilt, 500) / measure(X, 500))
    # With less to see, a T wave may no longer stand out enough to say anything; what is said stays.
    assert np.isfinite(shift).mean() > 0.8
    assert np.nanmax(np.abs(shift)) < 0.15


def test_what_the_cache_holds_warns_too(tmp_path):
    X = make_omi_ecgs(n_patients=25, random_state=0, sampling_rate=250, duration=5).X
    first = rate_warnings(MedianBeat(memory=tmp_path), X)
    assert rate_warnings(MedianBeat(memory=tmp_path), X) == first
    assert len(first) == 1


@pytest.mark.slow
@pytest.mark.parametrize("rate", [500, 250, 100])
def test_real_records_are_not_doubted_and_wrong_rates_are_noticed(rate, ptbxl_dir, ludb_dir):
    from benchmarks._ludb import find_records, read_signal

    files = sorted((ptbxl_dir.parent / "vendor").rglob("*.xml"))
    sets = {
        "PTB-XL": load_ptbxl(ptbxl_dir, task="mi_vs_rest").X,
        "LUDB": np.stack([read_signal(stem) for stem in find_records(str(ludb_dir))]),
        "vendor": load_ecgs(files)[0],
    }
    rng = np.random.default_rng(0)
    for X in sets.values():
        records = [resample_ecg(record, 500, rate) for record in X]
        evidence = measure(records, rate)
        for size in {1, min(25, len(X)), min(50, len(X)), len(X)}:
            batches = [rng.permutation(len(X))[:size] for _ in range(200)] if size > 1 else np.arange(len(X))
            assert [likely_sampling_rate(evidence[batch], rate) for batch in batches] == [None] * len(batches)
        if len(X) < 25:
            continue
        for given in (rate / 1.25, rate * 1.25, rate / 2, rate * 2, rate * 5):
            batches = [rng.permutation(100)[:50] for _ in range(50)]
            wrong = measure(records[:100], given)
            named = [likely_sampling_rate(wrong[batch], given) for batch in batches]
            assert all(likely is not None and (likely > given) == (rate > given) for likely in named)
            assert np.median(named) == pytest.approx(rate, rel=0.25)


@pytest.mark.slow
def test_real_records_do_not_make_the_transformers_warn(ptbxl_dir):
    X = load_ptbxl(ptbxl_dir, task="mi_vs_norm").X[:100]
    assert rate_warnings(NeuroKitFeatures(), X) == []
    filtered = ECGFilter().fit_transform(X)
    assert rate_warnings(MedianBeat(), filtered) == []
    assert len(rate_warnings(MedianBeat(sampling_rate=250), filtered)) == 1
