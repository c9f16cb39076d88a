"""Whether ECGs are of the kind that a profile was made of."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import estimator_checks_generator

from omi_estimators.datasets import load_ptbxl, make_omi_ecgs
from omi_estimators.leads import LIMB_WEIGHTS
from omi_estimators.preprocessing import Measured, UnusableRecordWarning, Usable, filter_ecg, resample_ecg
from omi_estimators.typicality import ECGProfile, FewRecordsWarning

RATE = 250


def _device(n_records: int) -> list[str]:
    return ["A" if number % 3 else "B" for number in range(n_records)]


@pytest.fixture(scope="module")
def ecgs():
    return make_omi_ecgs(n_patients=110, records_per_patient=1.2, sampling_rate=RATE, noise=0.5, random_state=0)


@pytest.fixture(scope="module")
def profile(ecgs):
    others = {"age": ecgs.age, "sex": ecgs.sex, "device": _device(len(ecgs.X))}
    return ECGProfile(RATE).fit(ecgs.X, groups=ecgs.groups, **others)


@pytest.fixture(scope="module")
def new():
    """Return records of other patients, clean enough to be typical."""
    return make_omi_ecgs(n_patients=60, records_per_patient=1, sampling_rate=RATE, noise=0.5, random_state=1)


def _invert_v2(X):
    spoilt = X.copy()
    spoilt[:, 7] *= -1
    return spoilt


def _exchange(one, other):
    def spoil(X):
        order = np.arange(12)
        order[[one, other]] = other, one
        return X[:, order]

    return spoil


def _exchange_arms(X):
    i, ii = -X[:, 0], X[:, 2]
    return np.concatenate([np.stack([i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2], axis=1), X[:, 6:]], axis=1)


def _twice_the_rate(X):
    fast = resample_ecg(X, RATE, RATE / 2)
    return np.pad(fast, ((0, 0), (0, 0), (0, X.shape[2] - fast.shape[2])), constant_values=np.nan)


def _hum(X):
    added = 0.1 * np.sin(2 * np.pi * (50 * np.arange(X.shape[2]) / RATE + np.arange(12)[:, np.newaxis] / 12))
    added[:6] = LIMB_WEIGHTS @ added[:2]
    return X + added


FAULTS = {
    "microvolts": (lambda X: 1000 * X, "microvolts read as millivolts"),
    "volts": (lambda X: X / 1000, "another unit read as millivolts"),
    "arms": (_exchange_arms, "RA and LA exchanged"),
    "V1 and V6": (_exchange(6, 11), "V1 and V6 exchanged"),
    "V3 and V5": (_exchange(8, 10), "V3 and V5 exchanged"),
    "V2": (_invert_v2, "V2 inverted"),
    "I alone": (_exchange(0, 1), "Einthoven"),
    "hum": (_hum, "hum at 50 Hz"),
    "low-pass": (lambda X: filter_ecg(X, RATE, highpass=None, lowpass=20, notch=None), "little above"),
    "rate": (_twice_the_rate, "Hz rather than 250"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_named(profile, new, fault):
    spoil, words = FAULTS[fault]
    X = new.X[:12]
    described = profile.describe(spoil(X))
    assert np.mean(described["typicality"] < profile.describe(X)["typicality"]) >= 0.75
    assert np.mean(~described["typical"]) >= 0.75
    assert described["reasons"].str.contains(words).mean() >= 0.5


def test_alarms_are_as_rare_as_promised_for_measures_of_one_kind(ecgs, profile, new):
    """Over halves of the same records P(typicality < p) is at most p, but for chance."""
    X, groups = np.concatenate([ecgs.X, new.X]), np.concatenate([ecgs.groups, 1000 + new.groups])
    measured = profile.measure(X)
    shares = []
    for seed in range(5):
        chosen = np.isin(groups, np.random.default_rng(seed).permutation(np.unique(groups))[:110])
        fitted = clone(profile)
        fitted.measure = lambda _, rows=chosen: _part(measured, rows)  # what is measured is the same each time
        fitted.fit(X[chosen], groups=groups[chosen])
        shares.append([np.mean(fitted.typicality(_part(measured, ~chosen)) < level) for level in (0.05, 0.2)])
    found = np.mean(shares, axis=0)
    # Some 60 new records against 130 in each, of 190 in all: three standard errors, as if halves were the same ones.
    assert found[0] <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 190)
    assert 0.2 - 3 * np.sqrt(0.2 * 0.8 / 190) <= found[1] <= 0.2 + 3 * np.sqrt(0.2 * 0.8 / 190)


def _part(measured: Measured, rows) -> Measured:
    return Measured(measured.values[rows], Usable(measured.usable.mask[rows], measured.usable.reasons[rows]))


def test_typicality_is_a_rank_among_the_training_records(profile, ecgs, new):
    typicality = profile.typicality(new.X)
    steps = typicality * (profile.n_records_ + 1)
    np.testing.assert_allclose(steps, np.round(steps))
    assert typicality.min() > 0
    assert typicality.max() <= 1
    assert profile.typicality(1000 * new.X[:1]) == 1 / (profile.n_records_ + 1)
    described = profile.describe(new.X)
    np.testing.assert_array_equal(described["typicality"], typicality)
    assert (described["typical"] == (typicality >= 0.05)).all()
    assert (described["reasons"] == "").eq(described["typical"]).all()


def test_what_cannot_be_judged_costs_only_itself(profile, new):
    X = np.concatenate([new.X[:2], 0 * new.X[:1], np.full_like(new.X[:1], np.nan)])
    described = profile.describe(X)
    assert described["typicality"].isna().tolist() == [False, False, True, True]
    assert described["reasons"][2] == "not judged: every lead is flat or missing"
    np.testing.assert_array_equal(described["typicality"][:2], profile.typicality(new.X[:2]))
    drift = profile.find_drift(0 * new.X[:3])
    assert drift["p_value"].isna().all()
    assert not drift["drifted"].any()


def test_a_missing_lead_is_atypical_and_not_an_error(profile, new):
    X = new.X[:3].copy()
    X[:, 8] = np.nan
    described = profile.describe(X)
    assert not described["typical"].any()
    assert described["reasons"].str.contains("missing").all()


def test_no_drift_where_there_is_none(profile, new):
    drift = profile.find_drift(new.X, groups=new.groups, age=new.age, sex=new.sex, device=_device(60))
    assert not drift["drifted"].any()
    assert set(drift.index) >= {"amplitude_V2", "rr", "hum_50Hz", "typicality", "age", "sex", "device"}


def test_drift_is_named(profile, new):
    measured = profile.measure(_hum(1.6 * new.X))
    drift = profile.find_drift(measured, age=new.age + 20, device=["C"] * 60)
    assert drift.loc[["amplitude_V2", "hum_50Hz", "typicality", "age", "device"], "drifted"].all()
    assert "1.6 times the usual" in drift.loc["amplitude_V2", "meaning"]
    assert drift.loc["age", "meaning"].startswith("patients older")
    assert drift.loc["device", "meaning"] == "device C: 100% of patients, 0% at training"
    assert drift.loc[~drift["drifted"], "meaning"].eq("").all()


def test_a_patient_weighs_one_however_many_records(profile, new):
    measured = profile.measure(new.X[:30])
    many = np.concatenate([np.arange(30), np.zeros(300, dtype=int)])
    once = profile.find_drift(measured, age=new.age[:30])
    again = profile.find_drift(_part(measured, many), groups=many, age=new.age[many])
    np.testing.assert_allclose(again["p_value"], once["p_value"], atol=1e-9)


def test_unknown_ages_and_devices_are_left_out(profile, new):
    age, device = new.age.copy(), _device(60)
    age[::2], device[0] = np.nan, None
    drift = profile.find_drift(new.X, age=age, device=device)
    assert np.isfinite(drift.loc[["age", "device"], "p_value"].astype(float)).all()
    assert "sex" not in drift.index
    assert profile.find_drift(new.X, age=[None] * 60).loc["age", "p_value"] != 0


def test_constant_measures_and_other_leads(new):
    """Where all records are alike in something, others are not by however little; any number of leads will do."""
    with pytest.warns(FewRecordsWarning, match="60 patients"):
        profile = ECGProfile(RATE).fit(new.X[:, [1, 7]])
    assert profile.quantiles_["missing_share"].max() == 0
    X = new.X[:10, [1, 7]].copy()
    assert np.isfinite(profile.typicality(X)).all()
    assert profile.describe(-X)["reasons"].str.contains("negative|inverted").any()
    X[:, :, -500:-1] = np.nan
    assert profile.describe(X)["reasons"].str.contains("more samples are missing").all()


def test_bad_input_is_told(profile, ecgs, new):
    X = new.X[:6]
    with pytest.raises(NotFittedError):
        ECGProfile(RATE).typicality(X)
    with pytest.raises(ValueError, match="3 leads per record, but ECGProfile was fitted on 12"):
        profile.typicality(X[:, :3])
    with pytest.raises(ValueError, match="1000 samples per record, but ECGProfile was fitted on 2500"):
        profile.find_drift(X[:, :, :1000])
    with pytest.raises(ValueError, match="0 sample"):
        profile.describe(X[:0])
    with pytest.raises(ValueError, match="at least 5 patients; got 2"):
        ECGProfile(RATE).fit(X, groups=[1, 1, 1, 2, 2, 2])
    with pytest.raises(ValueError, match="None of the 6 records can be judged"):
        ECGProfile(RATE).fit(0 * X)
    with pytest.raises(ValueError, match="numbers of years"):
        profile.find_drift(X, age=["old"] * 6)
    with pytest.raises(ValueError, match="at least 0"):
        profile.find_drift(X, age=[-1.0] * 6)
    with pytest.raises(ValueError, match="one value for each of the 6 records"):
        profile.find_drift(X, sex=[0, 1])
    with pytest.raises(ValueError, match="one patient for each"):
        profile.find_drift(X, groups=[1, 2])
    with pytest.raises(ValueError, match="'sampling_rate' parameter"):
        ECGProfile(40).fit(X)


def test_records_that_cannot_be_judged_are_left_out_of_the_profile(new):
    X = np.concatenate([new.X[:20], 0 * new.X[:2]])
    with pytest.warns(UnusableRecordWarning, match="2 of 22"), pytest.warns(FewRecordsWarning):
        profile = ECGProfile(RATE).fit(X, age=np.r_[new.age[:20], 500, 500])
    assert profile.n_records_ == profile.n_patients_ == 20
    assert profile.quantiles_["age"].max() < 120


def test_no_record_is_kept(profile, ecgs):
    """What is kept is a hundredth of the records, and no row of it is a record's measures."""
    arrays = [*profile.model_.values(), profile.tails_, profile.scores_, *profile.quantiles_.values()]
    rows = profile.transform(ecgs.X[:5])
    for array in arrays:
        for row in rows:
            assert array.shape[-1] != row.size or not np.isclose(array, row).all(axis=-1).any()
    assert (np.diff(profile.scores_) >= 0).all()
    assert all((np.diff(values) >= 0).all() for values in profile.quantiles_.values())


def test_measures_have_names(profile, new):
    table = profile.set_output(transform="pandas").transform(new.X[:2])
    profile.set_output(transform="default")
    assert table.shape[1] == len(profile.get_feature_names_out()) == len(set(table.columns))
    assert (10 ** table["amplitude_V2"]).between(0.1, 5).all()
    np.testing.assert_allclose(60 / np.exp(table["rr"]), new.intervals["heart_rate"][:2], rtol=0.15)


def test_it_is_an_estimator():
    profile = ECGProfile(500, false_alarm_rate=0.01)
    assert clone(profile).get_params() == profile.get_params()
    # All others fit on noise, of which nothing can be learned.
    names = ("cloneable", "repr", "tags", "constructible", "mixin_order", "get_params", "set_params", "set_in_init")
    ran = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for estimator, check in estimator_checks_generator(profile, legacy=True):
            if any(name in check.func.__name__ for name in names):
                check(estimator)
                ran += 1
    assert ran >= 8


@pytest.mark.slow
def test_real_records_of_other_patients_are_typical(ptbxl_dir):
    ptbxl = load_ptbxl(ptbxl_dir, task="mi_vs_rest")
    train = ptbxl.groups % 2 == 0
    profile = ECGProfile(500).fit(ptbxl.X[train], groups=ptbxl.groups[train])
    test = ptbxl.X[~train]
    assert np.mean(profile.typicality(test) < 0.05) < 0.11
    assert np.mean(profile.typicality(_exchange(6, 11)(test)) < 0.05) > 0.9
