"""What a person meets in the first hour: links, bars, short words for large things."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import omi_estimators
from omi_estimators import (
    ECGFilter,
    ECGSmartNetClassifier,
    MedianBeat,
    NeuroKitFeatures,
    RiskTierClassifier,
    _documentation,
    make_forest_pipeline,
    make_fusion,
    make_net_pipeline,
)
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.metrics import roc_auc_interval
from omi_estimators.preprocessing import BadLeadMasker, SignalQuality
from omi_estimators.readers import ECGReader
from omi_estimators.splits import make_splits

ESTIMATORS = [
    ECGFilter(),
    MedianBeat(),
    NeuroKitFeatures(),
    BadLeadMasker(),
    SignalQuality(),
    ECGReader(),
    ECGSmartNetClassifier(),
    RiskTierClassifier(ECGSmartNetClassifier()),
    make_fusion(500),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_diagrams_link_to_the_reference(estimator, monkeypatch):
    # No site is published: no link, rather than one that leads nowhere.
    assert estimator._get_doc_link() == ""
    assert 'href=""' not in estimator._repr_html_()
    monkeypatch.setattr(_documentation, "documentation_url", lambda: "https://docs.invalid")
    path = _documentation.public_path(type(estimator))
    assert estimator._get_doc_link() == f"https://docs.invalid/api/generated/{path}.html"
    room, _, name = path.removeprefix("omi_estimators").lstrip(".").rpartition(".")
    owner = getattr(omi_estimators, room) if room else omi_estimators
    assert getattr(owner, name) is type(estimator)
    assert "https://docs.invalid" in estimator._repr_html_()


@pytest.mark.parametrize("transformer", [MedianBeat(), NeuroKitFeatures(), SignalQuality(), BadLeadMasker()])
def test_a_bar_counts_the_records_and_changes_nothing(transformer, make_ecg, notebook, tmp_path):
    X = make_ecg(5)
    quiet = transformer.set_params(memory=tmp_path, verbose=0).fit_transform(X)
    assert notebook.readouterr().err == ""
    loud = transformer.set_params(verbose=1).fit_transform(X)
    told = notebook.readouterr().err
    assert type(transformer).__name__ in told
    assert "5/5" in told
    np.testing.assert_array_equal(quiet, loud)


def test_a_log_gets_no_bar(make_ecg, capsys):
    MedianBeat(verbose=1).fit_transform(make_ecg(2))
    assert capsys.readouterr().err == ""


_NOTEBOOK = """
import importlib, pkgutil, sys, types

# What tqdm and this package know a notebook by, here one without ipywidgets.
shell = types.SimpleNamespace(config={"IPKernelApp": {}})
ipython = types.ModuleType("IPython")
ipython.get_ipython, ipython.version_info = lambda: shell, (9, 0, 0)
sys.modules |= {"IPython": ipython, "ipykernel": types.ModuleType("ipykernel"), "ipywidgets": None}

import omi_estimators
from omi_estimators import ECGSmartNetClassifier
from omi_estimators.datasets import make_omi_ecgs

for found in pkgutil.walk_packages(omi_estimators.__path__, "omi_estimators."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
data = make_omi_ecgs(8, sampling_rate=100, random_state=0)
ECGSmartNetClassifier(width=4, n_members=1, max_epochs=2, verbose=1, random_state=0).fit(data.X, data.y)
"""


def test_a_notebook_without_widgets_gets_bars_and_no_warning():
    done = subprocess.run([sys.executable, "-W", "error", "-c", _NOTEBOOK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ECGSmartNetClassifier: 100%" in done.stderr
    assert "2/2" in done.stderr


def test_a_bar_is_no_other_key_of_the_cache(make_ecg, tmp_path):
    X = make_ecg(3)
    MedianBeat(memory=tmp_path).fit_transform(X)
    n_kept = sum(path.is_file() for path in tmp_path.rglob("*.kept"))
    MedianBeat(memory=tmp_path, verbose=1).fit_transform(X)
    assert n_kept == sum(path.is_file() for path in tmp_path.rglob("*.kept")) > 0


def test_estimators_are_written_with_what_was_changed():
    assert repr(MedianBeat(before=0.2)) == "MedianBeat(before=0.2)"
    assert len(repr(make_net_pipeline(500, width=8))) < 400
    assert "n_estimators=500" in repr(make_forest_pipeline(500))


def test_the_package_is_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "omi_estimators", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("compare", "fit", "predict", "card"):
        assert command in done.stdout


@pytest.mark.parametrize("wrong", [-1, "seed", 1.5])
def test_what_is_no_random_state_is_the_same_error_everywhere(wrong):
    y, scores = np.arange(40) % 2, np.linspace(0, 1, 40)
    for call in (
        lambda: make_omi_ecgs(n_patients=1, random_state=wrong),
        lambda: make_splits(np.zeros((40, 1)), y, random_state=wrong),
        lambda: roc_auc_interval(y, scores, method="bootstrap", random_state=wrong),
    ):
        with pytest.raises(ValueError, match="random_state must be a whole number of at least 0"):
            call()
