"""Which records can be judged, and why not: one answer for every room."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from omi_estimators import ECGFilter, MedianBeat, NeuroKitFeatures
from omi_estimators.datasets import load_ptbxl
from omi_estimators.preprocessing import (
    BadLeadMasker,
    Usable,
    check_usable,
    find_fault,
    measure_steps,
    report_unusable,
    usable_records,
)

RNG = np.random.default_rng(0)
N = 5000


def _rails(half_range: float, size: float) -> np.ndarray:
    return np.clip(RNG.normal(scale=size, size=(12, N)), -half_range, half_range)


def _beats_at_rails() -> np.ndarray:
    """Return what an amplifier without electrodes may give: rail to rail, in a rhythm that a peak finder likes."""
    times = np.arange(N) / 500
    return np.where(np.sin(2 * np.pi * times) > 0.95, 16.0, -16.0) * np.ones((12, 1))


FAULTS = {
    "flat": (np.zeros((12, N)), "every lead is flat or missing"),
    "missing": (np.full((12, N), np.nan), "every lead is flat or missing"),
    "flat at an offset, some missing": (np.where(np.arange(12)[:, None] < 3, np.nan, 5.0) * np.ones((12, N)), "flat"),
    "noise at ±16 mV": (_rails(16, 16), "larger than a heart gives"),
    "noise at ±5 mV": (_rails(5, 5), "one end of the amplifier's range to the other"),
    "a rhythm at ±16 mV": (_beats_at_rails(), "range|larger"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name):
    record, words = FAULTS[name]
    X = np.stack([record, record])
    assert words.split("|")[0] in find_fault(record, 500) or words.split("|")[-1] in find_fault(record, 500)
    assert not usable_records(np.concatenate([X, RNG.normal(size=(1, 12, N))]), 500).mask.any()


@pytest.mark.parametrize("scale", [1e3, 1e-3], ids=["microvolts", "volts"])
def test_another_unit_is_a_reason_that_says_so(make_ecg, scale):
    (reason,) = usable_records(scale * make_ecg(n_records=1), 500).reasons
    assert "microvolts?" in reason if scale > 1 else "is the unit right?" in reason


def test_single_leads_do_not_condemn_a_record(make_ecg):
    X = np.repeat(make_ecg(n_records=1), 5, axis=0)
    X[1, 3:] = 0
    X[2, [0, 5, 7]] = np.nan
    X[3, 8] = _rails(16, 16)[0]
    X[4, :7] = _rails(16, 16)[:7]
    usable = usable_records(X, 500)
    assert usable.mask.tolist() == [True, True, True, True, False]
    assert usable.reasons[4].startswith("in 7 of 12 leads the voltages are larger than a heart gives")


@pytest.mark.parametrize("rate", [100, 250, 1000])
def test_a_fault_is_none_of_the_sampling_rate(make_ecg, rate):
    assert find_fault(make_ecg(n_records=1, sampling_rate=rate)[0], rate) == ""
    assert find_fault(_rails(16, 16)[:, : 10 * rate], rate)


@pytest.mark.parametrize(
    "transformer", [ECGFilter(), MedianBeat(), NeuroKitFeatures(), BadLeadMasker()], ids=lambda t: type(t).__name__
)
@pytest.mark.filterwarnings("ignore:leads of")
def test_every_transformer_says_the_same(make_ecg, transformer):
    good = make_ecg(n_records=2)
    X = np.stack([good[0], np.zeros((12, N)), _rails(16, 16), good[1]])
    values, usable = transformer.fit(X).measure(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(values, transformer.transform(X))
    assert usable.mask.tolist() == [True, False, False, True]
    assert (usable.reasons[1:3] != "").all()
    assert usable.reasons[0] == ""


def test_usable_joins():
    both = Usable.from_reasons(["", "noise", "", "flat"]) & Usable.from_reasons(["", "short", "short", ""])
    assert both.reasons.tolist() == ["", "noise", "short", "flat"]
    assert both.mask.tolist() == [True, False, False, False]
    assert str(both) == "1 (noise), 2 (short), 3 (flat)"


def test_steps_are_asked_one_after_another(make_ecg):
    X = make_ecg(n_records=3)
    X[1] = 0
    steps = [("mask", BadLeadMasker().fit(X)), ("nothing", "passthrough"), ("beat", MedianBeat().fit(X))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        beats, usable = measure_steps(steps, X)
    assert beats.shape == (3, 12, 200)
    assert usable.mask.tolist() == [True, False, True]
    strict = [("beat", MedianBeat(on_error="raise").fit(X))]
    with pytest.raises(ValueError, match="record 1 cannot be measured"):
        measure_steps(strict, X)


def test_nothing_to_learn_from_is_an_error():
    check_usable(Usable.from_reasons(["noise", ""]))
    with pytest.raises(ValueError, match=r"None of the 2 records can be judged, .* the first: noise"):
        check_usable(Usable.from_reasons(["noise", "flat"]))
    check_usable(Usable.from_reasons(["", "", *["noise"] * 17]))
    with pytest.raises(ValueError, match=r"Only 2 of the 20 records can be judged, .* the first: noise"):
        check_usable(Usable.from_reasons(["", "", *["noise"] * 18]))


def test_one_warning_names_the_first_five():
    usable = Usable.from_reasons(["flat"] * 7 + [""] * 20)
    with pytest.warns(UserWarning, match=r"7 of 27 records .* left out: 0 \(flat\), .* and 2 more\.$"):
        report_unusable(usable, on_error="warn", consequence="left out")


def test_fitted_columns_do_not_change_by_set_params(make_ecg):
    X = make_ecg(n_records=2)
    features = NeuroKitFeatures(include="rhythm").fit(X)
    names, values = features.get_feature_names_out(), features.transform(X)
    features.set_params(include="st")
    np.testing.assert_array_equal(features.get_feature_names_out(), names)
    np.testing.assert_array_equal(features.transform(X), values)
    assert list(features.fit(X).get_feature_names_out()) != list(names)


@pytest.mark.slow
def test_no_real_record_is_refused_for_its_voltages(ptbxl_dir, ludb_dir):
    import wfdb

    ptbxl = load_ptbxl(ptbxl_dir, "mi_vs_rest").X
    ludb = [
        wfdb.rdrecord(str(path.with_suffix("")), physical=False).d_signal.T / 1000
        for path in ludb_dir.glob("data/*.hea")
    ]
    assert [find_fault(record, 500) for record in [*ptbxl, *ludb]] == [""] * (len(ptbxl) + len(ludb))
