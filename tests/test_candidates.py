"""The estimators of the command line, by name."""

from __future__ import annotations

import pytest
from sklearn.base import clone

from omi_estimators.candidates import CANDIDATES, make_candidates
from omi_estimators.classifiers import ECGSmartNetClassifier, ResNet18Classifier, TemporalResNet18Classifier


def test_each_name_is_its_model():
    found = make_candidates(CANDIDATES, 500, net_params={"width": 4, "max_epochs": 2}, n_jobs=1)
    assert list(found) == list(CANDIDATES)
    for name, kind in (
        ("net", ECGSmartNetClassifier),
        ("temporal_resnet18", TemporalResNet18Classifier),
        ("resnet18", ResNet18Classifier),
    ):
        assert type(found[name]["net"]) is kind
        assert (found[name]["net"].width, found[name]["net"].max_epochs) == (4, 2)
    assert found["fusion"].get_params()["net__net__width"] == 4
    for estimator in found.values():
        clone(estimator)


def test_order_is_fixed_and_calibrated_forms_come_last():
    found = make_candidates(["prior", "forest", "fusion"], 500, calibrated=True)
    assert list(found) == ["forest", "fusion", "prior", "forest, calibrated"]


def test_an_unknown_name_is_told():
    with pytest.raises(ValueError, match="Unknown estimator 'tree'; take any of net,"):
        make_candidates(["tree"], 500)
