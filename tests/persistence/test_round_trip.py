"""What is saved comes back: the same probabilities, bit for bit, here and in another process."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
import warnings
from importlib import metadata

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import sklearn
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback

import omi_estimators
from omi_estimators import ECGSmartNetClassifier, LeadScaler, NeuroKitFeatures, load, make_fusion, save
from omi_estimators.persistence import ModelVersionWarning, _save, iterate_parts, load_profile, read_card
from omi_estimators.persistence._container import ARRAYS, CARD, MODEL, pack, read_bytes, unpack
from omi_estimators.persistence._declared import find_type, name_type
from omi_estimators.preprocessing import RecordTransformer
from omi_estimators.typicality import ECGProfile, FewRecordsWarning

# Twelve records may have a lead that is masked, or a beat that is not found.
pytestmark = pytest.mark.filterwarnings("ignore::omi_estimators.preprocessing.UnusableRecordWarning")


class Own(BaseEstimator):
    """Of somebody else."""


# Loads each model of a folder, and leaves what it answers.
_ELSEWHERE = """
import sys, warnings
from pathlib import Path
import numpy as np
from omi_estimators.persistence import load
for number in range(int(sys.argv[2])):
    folder = Path(sys.argv[1]) / str(number)
    X = np.load(folder / "X.npy")
    model = load(folder / "model.omi")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = model.predict_proba(X) if hasattr(model, "predict_proba") else model.transform(X)
    np.save(folder / "answer.npy", answer)
assert "cache" not in {path.name for path in Path.cwd().iterdir()}
"""


@pytest.fixture
def net(cases):
    return cases["net of beats"].model


PATIENTS = np.arange(24) // 2


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.omi"


def _packages():
    return [module.name for module in pkgutil.iter_modules(omi_estimators.__path__) if module.name != "__main__"]


def _public_estimators():
    for name in _packages():
        package = importlib.import_module(f"omi_estimators.{name}")
        for public in getattr(package, "__all__", None) or [name for name in vars(package) if name[0] != "_"]:
            found = getattr(package, public)
            ours = inspect.isclass(found) and issubclass(found, BaseEstimator) and found.__module__.startswith("omi_")
            # A base, of which nothing is made.
            if ours and found is not RecordTransformer:
                yield found


def test_every_public_estimator_is_declared_by_the_name_that_people_import():
    found = {kind: name_type(kind) for kind in _public_estimators()}
    assert len(found) >= 11
    for kind, name in found.items():
        assert name is not None, f"{kind.__name__} is not declared in persistence._declared"
        assert "._" not in name
        assert find_type(name) is kind


def test_a_class_whose_module_moves_is_found_in_old_files(path, monkeypatch):
    save(LeadScaler(by="record"), path)
    moved = type("LeadScaler", (LeadScaler,), {"__module__": "omi_estimators.preprocessing._elsewhere"})
    monkeypatch.setattr(omi_estimators.preprocessing, "LeadScaler", moved)
    monkeypatch.setattr(omi_estimators, "LeadScaler", moved)
    monkeypatch.delitem(sys.modules, LeadScaler.__module__)
    assert type(load(path)) is moved
    save(moved(), path)
    assert type(load(path)) is moved


def test_every_trusted_estimator_of_ours_is_tried(cases):
    tried = {type(part).__name__ for case in cases.values() for part in iterate_parts(case.model)}
    # A profile is saved beside a model, and has tests of its own.
    assert {kind.__name__ for kind in _public_estimators()} <= tried | {"ECGProfile"}


def test_all_models_answer_alike_in_a_fresh_process(cases, tmp_path):
    for number, case in enumerate(cases.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        save(case.model, folder / "model.omi")
        np.save(folder / "X.npy", case.X)
    arguments = [sys.executable, "-W", "error::UserWarning", "-c", _ELSEWHERE, str(tmp_path), str(len(cases))]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    different = []
    for number, (name, case) in enumerate(cases.items()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = case.ask(case.model)
        found = np.load(tmp_path / str(number) / "answer.npy")
        if (found.shape, found.dtype, found.tobytes()) != (expected.shape, expected.dtype, expected.tobytes()):
            different.append(name)
    assert different == []


def test_what_comes_back_is_the_model(cases, path):
    for name in ("tiers by words", "words", "three classes", "objects"):
        model, X = cases[name].model, cases[name].X
        save(model, path)
        loaded = load(path)
        assert type(loaded) is type(model)
        assert loaded.predict(X).tolist() == model.predict(X).tolist()
        assert repr(loaded) == repr(model)
        assert loaded.classes_.dtype == model.classes_.dtype
    save(cases["tiers by words"].model, path)
    assert load(path).thresholds_ == cases["tiers by words"].model.thresholds_
    assert (load(path).predict_tier(X) == cases["tiers by words"].model.predict_tier(X)).all()


def test_saving_leaves_the_model_as_it_is(cases, path):
    for name in ("fusion", "tiers", "vote of net and forest"):
        case = cases[name]
        before = repr(case.model), [part.memory for part in iterate_parts(case.model) if hasattr(part, "memory")]
        save(case.model, path)
        after = repr(case.model), [part.memory for part in iterate_parts(case.model) if hasattr(part, "memory")]
        assert before == after
        save(load(path), path)
        assert load(path).predict_proba(case.X).tobytes() == case.ask(case.model).tobytes()


def test_shared_parts_stay_shared_and_are_written_once(cases, path):
    fusion = cases["fusion of one"].model
    save(fusion, path)
    loaded = load(path)
    assert loaded.named_estimators_.net is loaded.estimators_[0]
    arrays = safetensors.numpy.load(unpack(read_bytes(path), "model")[1][ARRAYS])
    shapes = [array.shape for array in arrays.values()]
    assert shapes.count(fusion.estimators_[0].net_.module_.head.weight.shape) == 1


def test_what_is_not_fitted_is_saved_too(path):
    save(make_fusion(500, net_params={"width": 4, "n_members": 1}), path)
    assert repr(load(path)) == repr(make_fusion(500, net_params={"width": 4, "n_members": 1}))


def test_names_of_covariates_come_back(cases, path):
    ages = np.arange(2 * len(cases["features"].X)).reshape(-1, 2)
    features = NeuroKitFeatures(sampling_rate=200, include="scores").fit(cases["features"].X, covariates=ages)
    save(features.set_output(transform="pandas"), path)
    loaded = load(path)
    assert loaded.get_feature_names_out().tolist() == features.get_feature_names_out().tolist()
    one = loaded.transform(cases["features"].X[:1], covariates=ages[:1])
    assert list(one.columns) == features.get_feature_names_out().tolist()


def test_a_loaded_network_can_be_trained_on(cases, path):
    net, X = cases["net of beats"].model, cases["net of beats"].X
    save(net, path)
    loaded = load(path)
    assert [epoch["train_loss"] for epoch in loaded.net_.history] == [epoch["train_loss"] for epoch in net.net_.history]
    before = loaded.predict_proba(X)
    y = np.arange(len(X)) % 2
    loaded.set_params(lr=0.01).partial_fit(X, y)
    assert not np.array_equal(loaded.predict_proba(X), before)
    assert (
        clone(loaded).fit(X, y, groups=PATIENTS).predict_proba(X).tobytes()
        == clone(net).set_params(lr=0.01).fit(X, y, groups=PATIENTS).predict_proba(X).tobytes()
    )


def test_weights_are_on_the_cpu_and_a_missing_gpu_is_said(net, path, monkeypatch, cases):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    there = clone(net).set_params(device="cpu").fit(cases["net of beats"].X, np.arange(24) % 2, groups=PATIENTS)
    there.device = torch.device("cuda", 0)
    save(there, path)
    with pytest.warns(UserWarning, match=r"device='cuda:0', which is not here; it predicts on the CPU"):
        loaded = load(path)
    there.device = "cpu"
    assert loaded.predict_proba(cases["net of beats"].X).tobytes() == cases["net of beats"].ask(there).tobytes()


def test_what_only_training_needs_is_left_out_and_said(cases, path):
    X, y = cases["net of beats"].X, np.arange(24) % 2

    class Watch(Callback):
        pass

    params = cases["net of beats"].model.get_params() | {
        "callbacks": [Watch()],
        "net_params": {"optimizer__betas": (0.8, 0.9)},
        "optimizer": torch.optim.RAdam,
        "random_state": np.random.RandomState(0),
        "early_stopping": False,
    }
    net = ECGSmartNetClassifier(**params).fit(X, y)
    with pytest.warns(UserWarning, match=r"Saved without callbacks of .*net_params .*optimizer .*random_state"):
        save(net, path)
    loaded = load(path)
    assert loaded.predict_proba(X).tobytes() == net.predict_proba(X).tobytes()
    assert (loaded.callbacks, loaded.net_params, loaded.optimizer, loaded.random_state) == (None, None, "adamw", None)
    assert "callbacks of ECGSmartNetClassifier" in read_card(path)


def test_metadata_requests_are_left_out_and_said(cases, path):
    with sklearn.config_context(enable_metadata_routing=True):
        forest = RandomForestClassifier(2).set_fit_request(sample_weight=True)
        forest.fit([[0.0], [1.0]], [0, 1])
        with pytest.warns(UserWarning, match="_metadata_request of RandomForestClassifier"):
            save(forest, path)
    assert load(path).n_features_in_ == 1


def test_another_network_than_the_parameters_say_is_refused(cases, path):
    net = clone(cases["net of beats"].model).fit(cases["net of beats"].X, np.arange(24) % 2, groups=PATIENTS)
    net.width = 4
    with pytest.raises(TypeError, match="its network is not the one that its parameters describe"):
        save(net, path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (KernelDensity(), r"sklearn\.neighbors\._kde\.KernelDensity \(model\); its records"),
        (make_pipeline(LeadScaler(), Own()), r"Own \(model\.steps\[1\]\[1\]\)"),
        (FunctionTransformer(np.load), r"numpy.*load \(model\.func\)"),
        (FunctionTransformer(lambda X: X), r"lambda> \(model\.func\)"),
        (GridSearchCV(DummyClassifier(), {}), r"GridSearchCV.*best_estimator_"),
    ],
)
def test_a_type_that_load_would_not_trust_is_named_before_anything_is_written(model, names, path):
    with pytest.raises(TypeError, match=names):
        save(model, path)
    assert not path.exists()


@pytest.mark.parametrize("thing", [3, "model", ECGSmartNetClassifier, {"net": LeadScaler()}, np.zeros(3)])
def test_only_estimators_are_saved(thing, path):
    with pytest.raises(TypeError, match="save needs an estimator"):
        save(thing, path)


def test_each_other_version_is_named(net, path, monkeypatch):
    save(net, path)
    version = metadata.version

    def other(name):
        if name == "skorch":
            raise metadata.PackageNotFoundError(name)
        return {"numpy": "9.9.9"}.get(name) or version(name)

    monkeypatch.setattr(_save.metadata, "version", other)
    monkeypatch.setattr(omi_estimators, "__version__", "9.0")
    with pytest.warns(ModelVersionWarning) as caught:
        loaded = load(path)
    said = str(caught.pop(ModelVersionWarning).message)
    assert not caught.list
    for words in (str(path), "(here 9.9.9)", "omi_estimators 0.1.0 (here 9.0)", f"{version('skorch')} (here none)"):
        assert words in said
    assert "scipy" not in said
    assert type(loaded) is ECGSmartNetClassifier


def test_versions_are_those_of_what_the_model_needs(cases, path):
    for name, needed in (("forest", "neurokit2"), ("net of beats", "torch"), ("scaler", "scipy")):
        save(cases[name].model, path)
        found = unpack(read_bytes(path), "model")[0]["versions"]
        assert needed in found
        assert ("torch" in found) == (name == "net of beats")


def test_the_old_file_survives_a_crash(net, path, monkeypatch):
    save(LeadScaler(), path)
    before = path.read_bytes()
    for where, crash in (("fsync", OSError(28, "No space left on device")), ("replace", KeyboardInterrupt())):

        def fail(*args, crash=crash):
            raise crash

        with monkeypatch.context() as patch:
            patch.setattr(os, where, fail)
            with pytest.raises(type(crash)):
                save(net, path)
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]
    save(net, path)
    assert type(load(path)) is ECGSmartNetClassifier


def test_a_process_that_is_killed_while_writing_leaves_the_old_file(path):
    save(LeadScaler(), path)
    code = """
import os, sys
from omi_estimators import LeadScaler, save
os.replace = lambda *args: os._exit(9)
save(LeadScaler(by=None), sys.argv[1])
"""
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 9
    assert load(path).by == "lead"


@pytest.mark.skipif(os.name != "posix", reason="permissions and links are those of POSIX")
def test_the_file_is_readable_like_any_other_and_a_link_is_followed(path, tmp_path):
    save(LeadScaler(), path)
    (tmp_path / "other").write_text("")
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    link = tmp_path / "link.omi"
    link.symlink_to(path)
    save(LeadScaler(by=None), link)
    assert link.is_symlink()
    assert load(path).by is None


def test_where_nothing_can_be_written_is_said(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        save(LeadScaler(), tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        save(LeadScaler(), tmp_path / "no" / "model.omi")


def test_the_same_members_make_the_same_file(net, path):
    save(net, path)
    members = unpack(read_bytes(path), "model")[1]
    assert members.keys() == {CARD, MODEL, ARRAYS}
    assert pack(members, {"versions": {}}) == pack(members, {"versions": {}})


def test_folders_of_this_machine_stay_here(tmp_path, path):
    X = np.random.default_rng(0).normal(size=(8, 12, 60))
    net = ECGSmartNetClassifier(
        width=2, n_members=1, blocks=(1,), max_epochs=1, random_state=0, checkpoint_dir=tmp_path / "kept"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(net.fit(X, np.arange(8) % 2), path)
    assert load(path).checkpoint_dir is None
    assert net.checkpoint_dir == tmp_path / "kept"
    assert str(tmp_path).encode() not in path.read_bytes()


def test_a_profile_is_kept_beside_the_model(make_ecg, tmp_path):
    X = make_ecg(n_records=12, duration=4)
    with pytest.warns(FewRecordsWarning):
        profile = ECGProfile(500, memory=tmp_path / "cache").fit(X, age=np.arange(12.0), device=["A", "B"] * 6)
    path = tmp_path / "model.omi"
    save(LeadScaler(by="record"), path, profile=profile)
    assert isinstance(load(path), LeadScaler)
    found = load_profile(path)
    assert found.memory is None
    np.testing.assert_array_equal(found.typicality(X), profile.typicality(X))
    pd.testing.assert_frame_equal(found.find_drift(X, device=["C"] * 12), profile.find_drift(X, device=["C"] * 12))
    save(LeadScaler(by="record"), path)
    assert load_profile(path) is None


def test_what_is_no_profile_is_refused(make_ecg, tmp_path):
    path = tmp_path / "model.omi"
    with pytest.raises(TypeError, match="ECGProfile was expected; got a LeadScaler"):
        save(LeadScaler(), path, profile=LeadScaler())
    with pytest.warns(FewRecordsWarning):
        profile = ECGProfile(500).fit(make_ecg(n_records=6, duration=4))
    profile.tails_ = profile.tails_[:3]
    with pytest.raises(ValueError, match="do not fit each other"):
        save(LeadScaler(), path, profile=profile)
    assert not path.exists()
