"""The table of features: complete, documented, and what comes out in its order."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import pytest

from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.features import GROUPS, NeuroKitFeatures, catalogue, feature_names
from omi_estimators.features import _neurokit_features as measure_module
from omi_estimators.leads import LEADS

TABLE = Path(__file__).parents[2] / "docs" / "features.md"


def test_names_are_unique_and_tell_the_lead():
    names = feature_names()
    assert len(names) == len(set(names))
    assert {f"st80_{lead}" for lead in LEADS} <= set(names)
    assert "qrs_axis" not in feature_names(3)
    assert "t_amplitude_lead2" in feature_names(3)


def test_the_documented_table_is_what_comes_out(make_ecg):
    rows = [line.strip().strip("|").split(" | ") for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    documented = [tuple(cell.strip() for cell in row) for row in rows]
    expected = [
        (f"`{measure.name}{'_LEAD' if measure.scope == 'lead' else ''}`", measure.group, measure.unit, measure.meaning)
        for measure in catalogue()
    ]
    assert documented == expected
    names = []
    for name, *_ in documented:
        names += [name.strip("`").replace("LEAD", lead) for lead in LEADS] if "_LEAD" in name else [name.strip("`")]
    assert NeuroKitFeatures().fit(make_ecg()).get_feature_names_out().tolist() == names


def test_everything_is_measured_on_clean_records_of_different_hearts():
    ecgs = make_omi_ecgs(n_patients=40, random_state=0)
    table = NeuroKitFeatures().set_output(transform="pandas").fit_transform(ecgs.X)
    assert (table.notna().mean() > 0.5).all(), table.columns[table.notna().mean() <= 0.5]
    # A column that never changes measures nothing, but for signs of disease that few hearts have, and of mishaps.
    seldom = ("paced", "lbbb", "rbbb", "s_prime", "r_prime", "n_bad_leads", "missing_share", "reversed_limb_leads")
    constant = table.columns[table.nunique() < 2]
    assert all(name.startswith(seldom) for name in constant), constant


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_can_be_had_by_itself(make_ecg, group):
    X = make_ecg(n_records=1)
    whole = NeuroKitFeatures().set_output(transform="pandas").fit_transform(X)
    for include in (group, [group]):
        part = NeuroKitFeatures(include=include).set_output(transform="pandas").fit_transform(X)
        assert part.columns.tolist() == feature_names(include=(group,))
        np.testing.assert_array_equal(part, whole[part.columns])


def test_groups_are_disjoint_and_complete():
    assert [name for group in GROUPS for name in feature_names(include=(group,))] == feature_names()


def test_an_unknown_group_is_an_error(make_ecg):
    with pytest.raises(ValueError, match=r"no group of features 'wavelets'; take any of rhythm"):
        NeuroKitFeatures(include=["st", "wavelets"]).fit(make_ecg())


def test_other_groups_measure_no_record_again(make_ecg, tmp_path, monkeypatch):
    X = make_ecg()
    NeuroKitFeatures(include="st", memory=joblib.Memory(tmp_path, verbose=0)).fit_transform(X)

    def fail(*args):
        raise AssertionError("a record was measured twice")

    monkeypatch.setattr(measure_module, "_measure_window", fail)
    NeuroKitFeatures(include="pca", memory=joblib.Memory(tmp_path, verbose=0)).fit_transform(X)
