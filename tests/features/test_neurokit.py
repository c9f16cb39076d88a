"""NeuroKit2's delineators, peak detectors and indices: one table whoever finds the waves."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from omi_estimators import NeuroKitFeatures
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.features import (
    DELINEATORS,
    GROUPS,
    NEUROKIT_GROUPS,
    PEAK_DETECTORS,
    feature_names,
    measure_record,
)
from omi_estimators.preprocessing import UnusableRecordWarning, filter_ecg, find_r_peaks, judge

neurokit2 = pytest.importorskip("neurokit2")
RATE = 250


@pytest.fixture(scope="module")
def ecgs():
    return make_omi_ecgs(6, records_per_patient=1, sampling_rate=RATE, prevalence=0.5, random_state=0)


def _measure(record, **how):
    return dict(zip(feature_names(include=how.get("include")), measure_record(record, RATE, **how), strict=True))


@pytest.mark.parametrize("delineator", DELINEATORS)
def test_one_table_whoever_delineates(ecgs, delineator):
    features = NeuroKitFeatures(sampling_rate=RATE, delineator=delineator).fit(ecgs.X)
    assert list(features.get_feature_names_out()) == feature_names()
    table = features.transform(ecgs.X)
    assert not np.isinf(table).any()
    assert np.isfinite(table[:, feature_names().index("heart_rate")]).all()


def test_a_delineator_is_neurokits(ecgs):
    """QRS and QT are those that the library's own points have, median over the beats."""
    record = ecgs.X[0].astype(float)
    row = _measure(record, delineator="prominence", lead="V2")
    lead = neurokit2.ecg_clean(record[7], sampling_rate=RATE)
    peaks = find_r_peaks(filter_ecg(record, RATE), RATE)
    _, points = neurokit2.ecg_delineate(lead, peaks, sampling_rate=RATE, method="prominence")
    onset, end, t_end = (np.asarray(points[f"ECG_{name}"], float) for name in ("R_Onsets", "R_Offsets", "T_Offsets"))
    assert row["qrs_duration"] == pytest.approx(np.nanmedian(end - onset) * 1000 / RATE, abs=9)
    assert row["qt_interval"] == pytest.approx(np.nanmedian(t_end - onset) * 1000 / RATE, abs=13)


def test_who_finds_what_makes_a_difference(ecgs):
    rows = {name: _measure(ecgs.X[1], delineator=name)["qrs_duration"] for name in ("median", "dwt", "prominence")}
    assert len(set(rows.values())) == 3
    assert _measure(ecgs.X[1], delineator="dwt")["r_amplitude_V5"] > 0


@pytest.mark.parametrize("detector", ["neurokit", "pantompkins1985", "elgendi2010"])
def test_peaks_by_neurokit(ecgs, detector):
    assert detector in PEAK_DETECTORS
    for record in ecgs.X[:3]:
        ours, theirs = _measure(record), _measure(record, peak_detector=detector)
        assert theirs["heart_rate"] == pytest.approx(ours["heart_rate"], rel=0.15)
        assert theirs["qrs_duration"] == pytest.approx(ours["qrs_duration"], abs=12)


def test_groups_of_neurokit_are_measured_where_they_are_asked_for(ecgs):
    assert not any(name.startswith("HRV_") for name in feature_names())
    row = _measure(ecgs.X[0], include=("rhythm", *NEUROKIT_GROUPS))
    assert row["HRV_SDNN"] == row["hrv_sdnn"]
    assert row["HRV_MeanNN"] == pytest.approx(60_000 / row["heart_rate"], rel=1e-6)
    assert np.isfinite(row["HRV_SD1"])
    assert row["ecg_rate"] == pytest.approx(row["heart_rate"], rel=0.05)
    assert 0 <= row["ecg_quality"] <= 1
    whole = NeuroKitFeatures(sampling_rate=RATE, include=(*GROUPS, *NEUROKIT_GROUPS)).fit_transform(ecgs.X)
    np.testing.assert_array_equal(
        whole[:, : len(feature_names())], NeuroKitFeatures(sampling_rate=RATE).fit_transform(ecgs.X)
    )


def test_a_record_on_which_neurokit_fails_costs_no_other(ecgs, monkeypatch):
    X = ecgs.X.copy()
    X[2, 1] = 0
    features = NeuroKitFeatures(sampling_rate=RATE, delineator="prominence").fit(X)
    with pytest.warns(UnusableRecordWarning, match="2 .*lead II, on which NeuroKit2 was to look, is flat"):
        table = features.transform(X)
    assert np.isnan(table[2]).all()
    good = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(table[good], features.transform(X[good]))

    def fail(*_, **__):
        raise IndexError("index 7 is out of bounds")

    monkeypatch.setattr(neurokit2, "ecg_delineate", fail)
    reasons = features.measure(X[:1]).usable.reasons
    assert reasons[0] == "NeuroKit2's delineator 'prominence' ends in IndexError: index 7 is out of bounds"


def test_a_lead_that_is_not_there(ecgs):
    with pytest.raises(ValueError, match="lead='II' is none of the 3 leads of X; give a position"):
        NeuroKitFeatures(sampling_rate=RATE, delineator="dwt").fit(ecgs.X[:, :3])
    NeuroKitFeatures(sampling_rate=RATE, delineator="prominence", lead=2).fit_transform(ecgs.X[:, :3])
    NeuroKitFeatures(sampling_rate=RATE, delineator="prominence", lead="pca").fit_transform(ecgs.X[:, :3])
    NeuroKitFeatures(sampling_rate=RATE, delineator="prominence").fit_transform(ecgs.X[:, 1])
    with pytest.raises(ValueError, match="lead=12 is none of the 12 leads"):
        NeuroKitFeatures(sampling_rate=RATE, delineator="dwt", lead=12).fit(ecgs.X)
    NeuroKitFeatures(sampling_rate=RATE, lead=12).fit(ecgs.X)
    with pytest.raises(ValueError, match="delineator"):
        NeuroKitFeatures(sampling_rate=RATE, delineator="wavelet").fit(ecgs.X)


def test_grid_search_over_delineators(ecgs, tmp_path):
    X, y = np.concatenate([ecgs.X, ecgs.X[::-1]]), np.r_[ecgs.y, ecgs.y[::-1]]
    forest = make_pipeline(
        NeuroKitFeatures(sampling_rate=RATE, memory=tmp_path), RandomForestClassifier(5, random_state=0)
    )
    search = GridSearchCV(forest, {"neurokitfeatures__delineator": ["median", "prominence"]}, cv=2).fit(X, y)
    assert len(search.cv_results_["mean_test_score"]) == 2
    assert judge(search.best_estimator_, X).usable.mask.all()
