"""The estimators of the command line, by name."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.metrics import roc_auc_score

from omi_estimators import candidates
from omi_estimators.candidates import CANDIDATES, installed_candidates, make_candidates
from omi_estimators.classifiers import ECGSmartNetClassifier, ResNet18Classifier, TemporalResNet18Classifier
from omi_estimators.cli._compare import _names
from omi_estimators.datasets import make_omi_ecgs


def test_each_name_is_its_model():
    names = installed_candidates()
    found = make_candidates(names, 500, net_params={"width": 4, "n_members": 1, "max_epochs": 2}, n_jobs=1)
    assert list(found) == list(names)
    for name, kind in (
        ("net", ECGSmartNetClassifier),
        ("temporal_resnet18", TemporalResNet18Classifier),
        ("resnet18", ResNet18Classifier),
    ):
        assert type(found[name]["net"]) is kind
        assert (found[name]["net"].width, found[name]["net"].max_epochs) == (4, 2)
    assert type(found["forest"]["forest"]) is RandomForestClassifier
    assert type(found["extra_trees"]["forest"]) is ExtraTreesClassifier
    assert found["fusion"].get_params()["net__net__width"] == 4
    for estimator in found.values():
        clone(estimator)


def test_order_is_fixed_and_calibrated_forms_come_last():
    found = make_candidates(["prior", "extra_trees", "forest", "fusion"], 500, calibrated=True)
    assert list(found) == [
        *("forest", "extra_trees", "fusion", "prior"),
        *("forest, calibrated", "extra_trees, calibrated"),
    ]


def test_minirocket_on_ecgs_gives_calibrated_probabilities():
    pytest.importorskip("sktime_cython", reason="needs the extra rocket")
    ecgs = make_omi_ecgs(60, prevalence=0.5, duration=4, severity=3, random_state=0)
    model = make_candidates(["minirocket"], ecgs.sampling_rate)["minirocket"]
    model.set_params(ridge__rocket__n_features=336, ridge__rocket__random_state=0, random_state=0)
    train = ecgs.groups < 45
    model.fit(ecgs.X[train], ecgs.y[train], groups=ecgs.groups[train])
    prob = model.predict_proba(ecgs.X[~train])
    np.testing.assert_allclose(prob.sum(axis=1), 1)
    assert roc_auc_score(ecgs.y[~train], prob[:, 1]) > 0.8
    # Every fold is of other patients.
    assert all(not set(ecgs.groups[train][a]) & set(ecgs.groups[train][b]) for a, b in model.splits_)


def test_minirocket_without_its_libraries_names_the_extra(monkeypatch):
    monkeypatch.setattr(candidates, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"minirocket needs sktime and sktime-cython; install them with: pip install"):
        make_candidates(["minirocket"], 500)
    assert set(_names("all")) == set(CANDIDATES) - {"minirocket"}


def test_an_unknown_name_is_told():
    with pytest.raises(ValueError, match="Unknown estimator 'tree'; take any of net,"):
        make_candidates(["tree"], 500)
