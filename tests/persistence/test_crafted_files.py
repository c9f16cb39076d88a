"""Files made to run code, to write elsewhere, or to break: refused by name, with nothing run and nothing written.

The hash at a file's end is no secret, so all attacks come with the right one.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import pickle
import random
import struct
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import joblib
import numpy as np
import pytest
import safetensors.numpy
import torch
from malformed_models import load_and_use
from sklearn.cluster import KMeans
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import estimator_html_repr

from omi_estimators import load, save
from omi_estimators.cli import main
from omi_estimators.persistence import ModelFileError, read_card
from omi_estimators.persistence._container import ARRAYS, CARD, MANIFEST, MODEL, pack, seal, unpack

TESTS = int(os.environ.get("OMI_ESTIMATORS_EFFORT", "1"))

# Says that it was imported, or called.
CANARY = "import os, pathlib\npathlib.Path(os.environ['OMI_CANARY']).write_text('it sang')\ndef sing(*args): pass\n"


class Pickled:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, (f"echo it sang > {os.environ['OMI_CANARY']}",)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return an inner folder to work in, a canary module importable, and hold everything around it to be unchanged."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "omi_canary.py").write_text(CANARY)
    monkeypatch.syspath_prepend(str(modules))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    canary = tmp_path / "canary"
    monkeypatch.setenv("OMI_CANARY", str(canary))
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    yield inner
    assert "omi_canary" not in sys.modules
    assert not canary.exists()
    expected = {modules, modules / "omi_canary.py", inner.parent, inner, inner / "model.omi"}
    assert set(tmp_path.rglob("*")) <= expected


def _try(data: bytes) -> Any:
    """Load bytes as a model file."""
    Path("model.omi").write_bytes(data)
    return load("model.omi")


def _refuse(data: bytes, match: str) -> None:
    with pytest.raises(ModelFileError, match=match) as caught:
        _try(data)
    assert "model.omi" in str(caught.value)


@pytest.fixture(scope="module")
def files(cases, tmp_path_factory) -> dict[str, bytes]:
    """Return good model files."""
    path = tmp_path_factory.mktemp("good") / "model.omi"
    found = {}
    X, y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
    kinds = {
        "boosting": GradientBoostingClassifier(n_estimators=2, random_state=0),
        "bins": HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=2, categorical_features=[3]),
        "isolation": IsolationForest(n_estimators=3, max_features=2, random_state=0),
        "trees": ExtraTreesClassifier(3, max_depth=3, random_state=0),
        "means": KMeans(3, n_init=1, random_state=0),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
        "machine": SVC(),
    }
    X[:, 3] = y
    models = {name: cases[name].model for name in ("net of beats", "forest", "beat", "regression", "tiers")}
    for name, model in (models | {name: kind.fit(X, y) for name, kind in kinds.items()}).items():
        save(model, path)
        found[name] = path.read_bytes()
    return found


def _split(data: bytes) -> tuple[dict[str, str], dict[str, bytes]]:
    manifest, members = unpack(data, "good")
    return manifest["versions"], members


def _remake(data: bytes, **changed: bytes | None) -> bytes:
    """Return a model file with other members and the right hashes."""
    versions, members = _split(data)
    names = {"model": MODEL, "card": CARD, "arrays": ARRAYS}
    members |= {names.get(name, name): content for name, content in changed.items()}
    return pack({name: content for name, content in members.items() if content is not None}, {"versions": versions})


def _change(data: bytes, change: Callable[[Any, dict[str, np.ndarray]], Any]) -> bytes:
    """Return a model file whose tree and arrays went through a function, which may return another tree."""
    members = _split(data)[1]
    tree, arrays = json.loads(members[MODEL]), safetensors.numpy.load(members[ARRAYS])
    changed = change(tree, arrays)
    tree = tree if changed is None else changed
    arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    return _remake(data, model=json.dumps(tree).encode(), arrays=safetensors.numpy.save(arrays))


def _find(tree: Any, kind: str) -> dict[str, Any]:
    """Return the first part of a type, by the last word of its name."""
    stack = [tree]
    while stack:
        found = stack.pop(0)
        if isinstance(found, dict):
            if str(found.get("type", "")).rpartition(".")[2] == kind:
                return found
            stack += found.values()
        elif isinstance(found, list):
            stack += found
    raise LookupError(kind)


def _attribute(tree: Any, kind: str, name: str, value: Any) -> None:
    """Set a parameter or an attribute of a part."""
    part = _find(tree, kind)
    part["params" if name in part["params"] else "state"][name] = value


def _with(data: bytes, kind: str, **attributes: Any) -> bytes:
    """Return a model file with other parameters or attributes of a part."""

    def change(tree, arrays):
        for name, value in attributes.items():
            _attribute(tree, kind, name, value)

    return _change(data, change)


def _zip(members: dict[str, bytes], **options: Any) -> bytes:
    """Return a sealed zip of any members."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(ZipInfo(name), content, options.get("compression"))
        archive.comment = bytes(71)
    return seal(buffer.getvalue()[:-71])


def _with_manifest(data: bytes, **changed: Any) -> bytes:
    with ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[MANIFEST] = json.dumps(json.loads(members[MANIFEST]) | changed).encode()
    return _zip(members)


# Pickles.


@pytest.mark.parametrize("protocol", range(6))
def test_a_renamed_pickle_is_refused(place, protocol):
    _refuse(pickle.dumps(Pickled(), protocol=protocol), "pickle" if protocol > 1 else "no model file")
    _refuse(seal(pickle.dumps(Pickled(), protocol=protocol)), "no model file")


@pytest.mark.parametrize("compress", [0, "zlib", "gzip", "bz2", "xz"])
def test_a_renamed_joblib_file_is_refused(place, compress):
    joblib.dump(Pickled(), "model.omi", compress=compress)
    with pytest.raises(ModelFileError, match="no model file"):
        load("model.omi")


def test_a_renamed_checkpoint_of_torch_is_refused(place):
    torch.save(Pickled(), "model.omi")
    _refuse(Path("model.omi").read_bytes(), "no model file")
    _refuse(seal(Path("model.omi").read_bytes()), "no model file|damaged|a member that no model file has")


@pytest.mark.parametrize("member", ["model", "arrays", "card"])
def test_a_pickle_in_the_place_of_a_member_is_refused(place, files, member):
    _refuse(_remake(files["net of beats"], **{member: pickle.dumps(Pickled())}), "cannot be loaded|UTF-8|card")


# Types.

FOREIGN = {
    "a function of the system": {"function": "os.system"},
    "a function of the system by its other name": {"function": "posix.system"},
    "a function that imports": {"function": "omi_canary.sing"},
    "a type that imports": {"type": "omi_canary.sing", "params": {}},
    "eval": {"function": "builtins.eval"},
    "an object": {"type": "omi_canary.sing", "params": {}, "state": {"x_": 1}},
    "an object of a library": {"type": "subprocess.Popen", "params": {"args": "ls"}},
    "a function of a library": {"function": "numpy.load"},
    "a method": {"function": "builtins.str.format"},
    "a base": {"type": "sklearn.base.BaseEstimator", "params": {}},
    "a private name of ours": {"type": "omi_estimators.preprocessing._beat.MedianBeat", "params": {}},
    "a private name of scikit-learn": {"type": "sklearn.linear_model._logistic.LogisticRegression", "params": {}},
    "a module": {"type": "sklearn.pipeline.np", "params": {}},
    "a function of scikit-learn as a type": {"type": "sklearn.datasets.load_files", "params": {}},
    "a search": {"type": "sklearn.model_selection.GridSearchCV", "params": {}},
    "a name that is none": {"type": 3, "params": {}},
    "a name with control characters": {"type": "\x1b[2Jx", "params": {}},
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("where", ["attribute", "parameter", "model", "key", "array item"])
def test_a_foreign_type_is_refused_by_name(place, files, what, where):
    node = FOREIGN[what]

    def change(tree, arrays):
        items = {"items": [node], "shape": [1], "dtype": "|O"}
        value = {"key": {"dict": [[node, 1]]}, "array item": items}.get(where, node)
        if where == "model":
            return value
        _attribute(tree, "MedianBeat", "n_samples_in_" if where == "attribute" else "sampling_rate", value)

    name = str(node.get("type", node.get("function"))).replace("\x1b[", r"\\x1b\[")
    _refuse(_change(files["beat"], change), f"types that load does not trust: .*{name}")


@pytest.mark.parametrize("kind", ["unknown", "__class__", "object", "array2", "\x1b[2J"])
def test_other_kinds_of_values_are_refused(place, files, kind):
    _refuse(_with(files["beat"], "MedianBeat", sampling_rate={kind: 1}), "kind of value")


@pytest.mark.parametrize(
    "value", [{"array": "99"}, {"array": "../canary"}, {"array": ["0"]}, {}, {"float": "x"}, 2**70]
)
def test_values_that_are_none_are_refused(place, files, value):
    _refuse(_with(files["beat"], "MedianBeat", n_samples_in_=value), "cannot be loaded")


@pytest.mark.parametrize("dtype", ["O8", "V8", "<M8", "f8,f8", "(2**40,)f8", "U99999999", "c16", 3, None])
def test_other_types_of_numbers_are_refused(place, files, dtype):
    for value in ({"dtype": dtype}, {"items": ["a"], "shape": [1], "dtype": dtype}):
        _refuse(_with(files["logistic"], "LogisticRegression", coef_=value), "cannot be loaded")


def test_what_compiled_code_follows_unchecked_opens_only_by_name(place, files):
    _refuse(files["machine"], r"holds sklearn\.svm\.SVC, .*load it with trusted=\['sklearn\.svm\.SVC'\]")
    assert type(load("model.omi", trusted=["sklearn.svm.SVC"])) is SVC
    with pytest.raises(ModelFileError, match=r"sklearn\.svm\.SVC"):
        load("model.omi", trusted=["sklearn.svm.SVR"])
    for wrong in (["os.system"], "sklearn.svm.SVC", ["sklearn.svm.SVC", "sklearn.tree.Tree"]):
        with pytest.raises(ValueError, match="trusted may name"):
            load("model.omi", trusted=wrong)


def test_what_is_no_estimator_is_refused(place, files):
    for thing in (3, "model", [1, 2], {"dict": [["a", 1]]}, {"float": "nan"}):
        _refuse(_change(files["beat"], lambda tree, arrays, thing=thing: thing), "holds no estimator|asks for")


@pytest.mark.parametrize("number", [0, 5, -1, "0", None, True])
def test_references_that_lead_nowhere_are_refused(place, files, number):
    _refuse(_with(files["beat"], "MedianBeat", n_samples_in_={"same": number}), "does not hold")


def test_an_array_that_nothing_asks_for_is_refused(place, files):
    def change(tree, arrays):
        arrays["more"] = np.zeros(3)

    _refuse(_change(files["beat"], change), "arrays that nothing in it asks for")


# Attributes.


def test_a_cache_full_of_pickles_is_not_opened(place, files):
    _refuse(_with(files["beat"], "MedianBeat", memory="cache"), "names a folder, memory='cache'")


def test_a_cache_hidden_in_an_array_is_found(place, files):
    def change(tree, arrays):
        tree["params"]["memory"] = "cache"
        items = {"items": [tree], "shape": [1], "dtype": "|O"}
        return {"type": "omi_estimators.LeadScaler", "params": {"by": "lead"}, "state": {"hidden_": items}}

    _refuse(_change(files["beat"], change), "names a folder")


HIDING = [
    *(
        "__doc_link_template",
        "_doc_link_template",
        "_doc_link_module",
        "_parameter_constraints",
        "__class__",
        "__dict__",
    ),
    *("transform", "fit", "predict_proba", "get_params", "_repr_html_", "_validate_params", "__sklearn_tags__"),
    *(
        "_estimator_type",
        "_metadata_request",
        "_skl_callbacks",
        "_in_fit",
        "_html_repr",
        "feature_importances_",
        "x",
        "x-_",
    ),
]


@pytest.mark.parametrize("name", HIDING)
@pytest.mark.parametrize(
    ("file", "kind"),
    [
        *(("beat", "MedianBeat"), ("net of beats", "ECGSmartNetClassifier"), ("trees", "ExtraTreesClassifier")),
        *(
            ("trees", "ExtraTreeClassifier"),
            ("logistic", "Pipeline"),
            ("logistic", "StandardScaler"),
            ("bins", "BinMapper"),
        ),
        *(("bins", "HistGradientBoostingClassifier"), ("tiers", "RiskTierClassifier"), ("boosting", "DummyClassifier")),
    ],
)
def test_attributes_that_no_fit_leaves_are_refused(place, files, file, kind, name):
    def change(tree, arrays):
        _find(tree, kind).setdefault("state", {})[name] = "<script>alert(1)</script>"

    if name == "feature_importances_" and "Tree" not in kind:
        # Not of such a class, so that it hides nothing.
        _try(_change(files[file], change))
    else:
        _refuse(_change(files[file], change), "none of its fitted ones")


@pytest.mark.parametrize("attribute", ["C", "fit_intercept", "solver", "n_jobs", "max_iter"])
@pytest.mark.parametrize("value", ["x", {"function": "numpy.log"}, [], {"dict": []}, -3])
def test_parameters_are_checked_by_the_constraints_of_their_class(place, files, attribute, value):
    if (attribute, value) == ("n_jobs", -3):
        return
    _refuse(_with(files["logistic"], "LogisticRegression", **{attribute: value}), "cannot be loaded")


def test_parameters_that_are_missing_or_none_are_refused(place, files):
    def drop(tree, arrays):
        del _find(tree, "LogisticRegression")["params"]["C"]

    _refuse(_change(files["logistic"], drop), "other parameters")

    def add(tree, arrays):
        _find(tree, "LogisticRegression")["params"]["more"] = 1

    _refuse(_change(files["logistic"], add), "other parameters")


@pytest.mark.parametrize(
    ("file", "kind", "attribute"),
    [
        *(("logistic", "LogisticRegression", name) for name in ("coef_", "intercept_", "classes_", "n_features_in_")),
        *(("logistic", "StandardScaler", name) for name in ("mean_", "scale_")),
        *(
            ("net of beats", "ECGSmartNetClassifier", name)
            for name in ("class_prior_", "classes_", "_mass", "n_leads_in_")
        ),
        *(
            ("trees", "ExtraTreesClassifier", name)
            for name in ("estimators_", "classes_", "n_classes_", "n_features_in_")
        ),
        *(
            ("boosting", "GradientBoostingClassifier", name)
            for name in ("estimators_", "init_", "n_trees_per_iteration_")
        ),
        *(
            ("bins", "HistGradientBoostingClassifier", name)
            for name in ("_predictors", "_bin_mapper", "_baseline_prediction")
        ),
        *(("means", "KMeans", name) for name in ("cluster_centers_", "_n_threads", "n_features_in_")),
        *(("tiers", "RiskTierClassifier", name) for name in ("thresholds_", "estimator_", "classes_")),
    ],
)
@pytest.mark.parametrize("value", [None, "many", [], 2**62, {"float": "nan"}, {"dict": []}])
def test_values_of_the_wrong_kind_are_refused(place, files, file, kind, attribute, value):
    _refuse(_with(files[file], kind, **{attribute: value}), "cannot be loaded")


def test_text_of_a_file_is_no_script_in_a_notebook_and_steers_no_terminal(place, files):
    script = "<script>alert(1)</script>"

    def change(tree, arrays):
        tree["params"]["steps"][0]["tuple"][0] = script
        _attribute(tree, "LogisticRegression", "n_jobs", None)

    model = _try(_change(files["logistic"], change))
    assert script in repr(model)
    assert script not in estimator_html_repr(model)
    for letter in ("\x1b", "\x07", "\u202e", "\x9b", "\r"):
        _refuse(_with(files["logistic"], "LogisticRegression", solver=letter), "control characters")
        _refuse(_with(files["tiers"], "RiskTierClassifier", classes_=letter), "control characters")


# Networks.


def _safetensors(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


WRONG_WEIGHTS = {
    "empty": b"",
    "short": b"\x01\x00",
    "a header longer than the file": struct.pack("<Q", 2**62) + b"{}",
    "a header that is no JSON": _safetensors(b"{{{{"),
    "a header that is no object": _safetensors([1]),
    "a pickle as header": _safetensors(pickle.dumps(3)),
    "a tensor beyond the file": _safetensors({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}),
    "a tensor of another size": _safetensors({"x": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}, bytes(4)),
    "a huge tensor": _safetensors({"x": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, bytes(4)),
    "negative offsets": _safetensors({"x": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, bytes(4)),
    "an unknown dtype": _safetensors({"x": {"dtype": "object", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    "other tensors": _safetensors({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    "no tensor": _safetensors({}),
}


@pytest.mark.parametrize("what", WRONG_WEIGHTS)
def test_weights_with_a_wrong_header_are_refused(place, files, what):
    _refuse(_remake(files["net of beats"], arrays=WRONG_WEIGHTS[what]), "cannot be loaded")


def test_weights_of_another_shape_or_type_are_refused(place, files):
    def weights(tree):
        return dict(_find(tree, "ECGSmartNetClassifier")["state"]["nets_"][0]["dict"])["weights"]["dict"]

    for new in (
        lambda a: a.astype("f8"),
        lambda a: a[..., :0],
        lambda a: a[np.newaxis],
        lambda a: a.T,
        lambda a: a * np.nan,
    ):

        def change(tree, arrays, new=new):
            key = next(node["array"] for _, node in weights(tree) if arrays[node["array"]].ndim > 1)
            arrays[key] = new(arrays[key])

        _refuse(_change(files["net of beats"], change), "not those of|not finite")

    def swap(tree, arrays):
        pairs = weights(tree)
        pairs[0][1], pairs[-1][1] = pairs[-1][1], pairs[0][1]

    def drop(tree, arrays):
        del arrays[weights(tree).pop()[1]["array"]]

    for change in (swap, drop):
        _refuse(_change(files["net of beats"], change), "not those of")


def test_a_network_without_its_weights_is_refused(place, files):
    def change(tree, arrays):
        del _find(tree, "ECGSmartNetClassifier")["state"]["nets_"]
        arrays_used = {"classes_", "class_prior_"}
        assert arrays_used <= set(_find(tree, "ECGSmartNetClassifier")["state"])

    _refuse(_change(files["net of beats"], change), "cannot be rebuilt")


@pytest.mark.parametrize("device", ["meta", "hpu", "xla", "cuda:x", "\x00", 3, "disk"])
def test_devices_that_are_none_are_refused(place, files, device):
    _refuse(_with(files["net of beats"], "ECGSmartNetClassifier", device=device), "cannot be loaded")


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("width", 10**12),
        ("width", -1),
        ("width", "8"),
        ("blocks", [10**9]),
        ("blocks", [1.5, 1]),
        ("blocks", 3),
        ("n_leads_in_", "many"),
        ("kernel_size", 10**9),
        ("callbacks", [1]),
        ("net_params", {"module": "os.system"}),
        ("optimizer", "os.system"),
        ("device", 3),
        ("classes_", 3),
        ("net_", 3),
        ("net_", None),
        ("net_", {"dict": [["weights", "../../canary"], ["history", []]]}),
        ("net_", {"dict": [["weights", {"dict": []}], ["history", []]]}),
        ("nets_", 3),
        ("nets_", []),
        ("nets_", [3] * 2),
        ("n_members", 0),
        ("n_members", "many"),
        ("calibration_slope_", -1.0),
        ("calibration_slope_", "steep"),
        ("calibration_intercept_", [0.0, 0.0]),
        ("n_threads", 2**31),
        ("n_threads", "many"),
        ("optimizer", {"function": "numpy.log"}),
        ("class_prior_", None),
        ("training_prior_", [0.5, 0.5]),
        ("n_samples_in_", 10**12),
    ],
)
def test_networks_that_contradict_their_weights_are_refused(place, files, attribute, value):
    _refuse(_with(files["net of beats"], "ECGSmartNetClassifier", **{attribute: value}), "cannot be loaded")


@pytest.mark.parametrize("history", [5, [{"dict": [["epoch", {"dict": []}]]}], [[]]])
def test_a_history_that_is_none_is_refused(place, files, history):
    def change(tree, arrays):
        pairs = _find(tree, "ECGSmartNetClassifier")["state"]["nets_"][0]["dict"]
        pairs[:] = [[key, history if key == "history" else value] for key, value in pairs]

    _refuse(_change(files["net of beats"], change), "cannot be rebuilt")


# Trees, and other numbers that compiled code follows.


def _change_column(data: bytes, kind: str, column: str, change: Callable[[np.ndarray], Any]) -> bytes:
    """Return a model file in which a column of the first tree went through a function."""

    def change_it(tree, arrays):
        key = _find(tree, kind)["params"]["nodes"]["columns"][column]["array"]
        # Columns of equal content are one array for nobody.
        new = change(arrays[key])
        arrays[key] = arrays[key] if new is None else new

    return _change(data, change_it)


def _set(place: int, value: Any) -> Callable[[np.ndarray], None]:
    def change(column):
        column[place] = value

    return change


@pytest.mark.parametrize("file", ["forest", "trees", "boosting", "isolation"])
@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("left_child", 10**9, "does not have"),
        ("right_child", 10**9, "does not have"),
        ("left_child", -7, "does not have"),
        ("right_child", -1, "does not have"),
        ("left_child", 0, "does not have"),
        ("right_child", 1, "twice"),
        ("left_child", -1, "leaf with a child"),
        ("feature", 10**6, "none of its"),
        ("feature", -2, "none of its"),
        ("threshold", np.nan, "no number"),
    ],
)
def test_trees_that_lead_out_of_their_memory_are_refused(place, files, file, column, value, match):
    _refuse(_change_column(files[file], "Tree", column, _set(0, value)), f"{match}|twice")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("left", 10**6), ("right", 10**6), ("left", 0), ("right", 1), ("feature_idx", 4), ("feature_idx", -1)),
        *(("feature_idx", 2**40), ("is_leaf", 1)),
    ],
)
def test_boosted_trees_that_lead_out_of_their_memory_are_refused(place, files, column, value):
    _refuse(_change_column(files["bins"], "TreePredictor", column, _set(0, value)), "boosting|tree")


def test_categories_that_lead_out_of_their_memory_are_refused(place, files):
    def node(tree, arrays):
        columns = _find(tree, "TreePredictor")["params"]["nodes"]["columns"]
        arrays[columns["is_categorical"]["array"]][:] = 1
        arrays[columns["bitset_idx"]["array"]][:] = 10**6

    _refuse(_change(files["bins"], node), "set of categories that it does not have|number for a category")
    for value in (256.0, -1.0, 0.5, np.nan, 1e300):

        def category(tree, arrays, value=value):
            bins = _find(tree, "BinMapper")["state"]
            by_set = int(np.flatnonzero(arrays[bins["is_categorical_"]["array"]])[0])
            arrays[bins["bin_thresholds_"][by_set]["array"]][0] = value

        _refuse(_change(files["bins"], category), "category that no set holds")


@pytest.mark.parametrize("kind", [("forest", "Tree"), ("bins", "TreePredictor")])
def test_columns_in_another_order_are_the_same_tree(place, files, kind):
    file, part = kind

    def shuffle(tree, arrays):
        nodes = _find(tree, part)["params"]["nodes"]
        nodes["columns"] = dict(reversed(nodes["columns"].items()))

    before, after = _try(files[file]), _try(_change(files[file], shuffle))
    last = [model[-1] if hasattr(model, "steps") else model for model in (before, after)]
    X = np.random.default_rng(0).uniform(size=(5, last[0].n_features_in_))
    X[:, -1] = 1
    assert last[0].predict_proba(X).tobytes() == last[1].predict_proba(X).tobytes()


@pytest.mark.parametrize("change", ["drop", "add", "exchange", "short", "two axes", "text", "float"])
def test_columns_that_are_none_are_refused(place, files, change):
    def spoil(tree, arrays):
        columns = _find(tree, "Tree")["params"]["nodes"]["columns"]
        key = columns["feature"]["array"]
        if change == "drop":
            del columns["feature"], arrays[key]
        elif change == "add":
            columns["more"] = columns["feature"]
        elif change == "exchange":
            columns["feature"], columns["threshold"] = columns["threshold"], columns["feature"]
        elif change == "text":
            columns["feature"] = "0"
            del arrays[key]
        else:
            new = {"short": lambda a: a[1:], "two axes": lambda a: a[np.newaxis], "float": lambda a: a.astype("f8")}
            arrays[key] = new[change](arrays[key])

    _refuse(_change(files["forest"], spoil), "cannot be loaded")


def test_what_is_counted_of_a_tree_is_counted_anew(place, files):
    assert "max_depth" not in _find(json.loads(_split(files["trees"])[1][MODEL]), "Tree")["params"]

    def add(tree, arrays):
        _find(tree, "Tree")["params"]["max_depth"] = 2**62

    _refuse(_change(files["trees"], add), "cannot be loaded")
    tree = _try(files["trees"]).estimators_[0].tree_
    path, _ = tree.decision_path(np.zeros((1, 4), np.float32)), tree.max_depth
    assert path.sum() <= tree.max_depth + 1


@pytest.mark.parametrize("n_classes", [[3, 3], [2], [0], [-1], [10**9]])
def test_trees_of_other_classes_are_refused(place, files, n_classes):
    def change(tree, arrays):
        key = _find(tree, "Tree")["params"]["n_classes"]["array"]
        arrays[key] = np.array(n_classes, dtype=np.int64)

    _refuse(_change(files["trees"], change), "outputs|do not fit its nodes")


@pytest.mark.parametrize("file", ["forest", "trees", "boosting", "isolation"])
def test_trees_for_more_features_than_their_forest_are_refused(place, files, file):
    kinds = {"forest": "RandomForestClassifier", "trees": "ExtraTreesClassifier"}
    kinds |= {"boosting": "GradientBoostingClassifier", "isolation": "IsolationForest"}
    for n_features in (1, 10**9, 0, -1, "4", True):
        _refuse(_with(files[file], kinds[file], n_features_in_=n_features), "cannot be loaded")
    _refuse(_with(files[file], "Tree", n_features=10**6), "another number of features|other features")


def test_a_tree_beside_those_of_an_ensemble_keeps_none_from_being_checked(place, files):
    def change(tree, arrays):
        good, first = copy.deepcopy(_find(tree, "Tree")), _find(tree, "Tree")["params"]
        arrays["n_classes"], n_nodes = np.array([3]), len(arrays[first["values"]["array"]])
        arrays["values"] = np.zeros((n_nodes, 1, 3))
        good["params"] |= {name: {"array": name} for name in ("n_classes", "values")}
        _find(tree, "GradientBoostingClassifier")["state"]["tree_"] = good
        first["n_features"] = _find(tree, "DecisionTreeRegressor")["state"]["n_features_in_"] = 10**6

    _refuse(_change(files["boosting"], change), "another number of features")


def test_boosting_that_begins_with_other_classes_is_refused(place, files):
    def change(tree, arrays):
        init = _find(tree, "DummyClassifier")["state"]
        arrays[init["class_prior_"]["array"]] = np.array([0.5, 0.5])
        arrays[init["classes_"]["array"]] = np.array([0, 1])
        init["n_classes_"] = 2

    _refuse(_change(files["boosting"], change), "begins with another number|cannot be loaded")


@pytest.mark.parametrize("n_threads", [0, -5, 257, 2**31, 2**62])
def test_more_threads_than_there_are_anywhere_are_refused(place, files, n_threads):
    _refuse(_with(files["means"], "KMeans", _n_threads=n_threads), "_n_threads")


def test_centres_of_other_lengths_than_records_are_refused(place, files):
    def change(tree, arrays):
        key = _find(tree, "KMeans")["state"]["cluster_centers_"]["array"]
        arrays[key] = arrays[key][:, :1]

    _refuse(_change(files["means"], change), "does not fit 4 features")


# Zips.


@pytest.mark.parametrize(
    "name",
    ["../canary", "../../canary", "/canary", "..\\canary", "networks/../../canary", "C:canary", "networks/", "x"],
)
def test_names_that_lead_elsewhere_are_refused(place, files, name):
    versions, members = _split(files["net of beats"])
    _refuse(pack(members | {name: b"x"}, {"versions": versions}), "a member that no model file has")


def test_a_zip_bomb_is_refused_without_being_unpacked(place, files):
    bomb = bytes(2**24)
    _, members = _split(files["net of beats"])
    for name in (MODEL, ARRAYS, CARD, MANIFEST):
        _refuse(_zip(members | {MANIFEST: b"{}", name: bomb}, compression=ZIP_DEFLATED), "compressed or encrypted")


def test_members_over_each_other_are_refused(place, files):
    """One long member, listed many times, is a bomb without compression."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for name in (CARD, MODEL, MANIFEST, ARRAYS):
            archive.writestr(ZipInfo(name), bytes(1000))
        for info in archive.infolist():
            info.header_offset = 0
        archive.comment = bytes(71)
    _refuse(seal(buffer.getvalue()[:-71]), "damaged or no model file")


def test_members_larger_than_the_file_are_refused(place, files):
    _, members = _split(files["beat"])
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for name, content in (members | {MANIFEST: b"{}"}).items():
            archive.writestr(ZipInfo(name), content)
        archive.getinfo(MODEL).file_size = archive.getinfo(MODEL).compress_size = 2**31
        archive.comment = bytes(71)
    _refuse(seal(buffer.getvalue()[:-71]), "claim more bytes")


def test_a_member_twice_is_refused(place, files):
    _, members = _split(files["beat"])
    buffer = io.BytesIO()
    with warnings.catch_warnings(), ZipFile(buffer, "w", ZIP_STORED) as archive:
        warnings.simplefilter("ignore")
        for name, content in [*members.items(), (MODEL, b""), (MANIFEST, b"{}")]:
            archive.writestr(ZipInfo(name), content)
        archive.comment = bytes(71)
    _refuse(seal(buffer.getvalue()[:-71]), "two members of one name")


@pytest.mark.parametrize(
    "tree", [b"", b"[]", b"{}", b"{" * 200_000, b"[" * 200_000, b'{"type": 2}', b"\xff\xfe", b"NaN"]
)
def test_a_tree_that_is_none_is_refused(place, files, tree):
    _refuse(_remake(files["beat"], model=tree), "cannot be loaded")


def test_a_file_of_the_first_format_says_what_to_do(place, files):
    _, members = _split(files["beat"])
    old = {CARD: members[CARD], "model.skops": b"", MANIFEST: b"{}"}
    _refuse(_zip(old), "format version 1.*Load it with the omi_estimators that wrote it.*save it again")


# Manifest and card.


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"format": "another"}, "does not say format"),
        ({"format_version": 3}, r"format version 3.*reads version 2; install"),
        ({"format_version": None}, "format version None"),
        ({"versions": None}, "names no versions"),
        ({"versions": {"numpy": 3}}, "names no versions"),
        ({"versions": {"numpy": "1\x1b[2J"}}, "names no versions"),
        ({"versions": {"\x1b[2J": "1"}}, "names no versions"),
        ({"versions": {"x" * 5_000_000: "1"}}, "names no versions"),
        ({"versions": {str(number): "1" for number in range(1000)}}, "names no versions"),
        ({"members": None}, "lists no members"),
        ({"members": {}}, "not those that its manifest lists"),
    ],
)
def test_a_manifest_that_is_none_is_refused(place, files, changed, match):
    _refuse(_with_manifest(files["beat"], **changed), match)


def test_a_member_that_the_manifest_does_not_know_is_refused(place, files):
    with ZipFile(io.BytesIO(files["beat"])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    _refuse(_zip(members | {CARD: b"Validated for the clinic."}), "not those that its manifest lists")
    _refuse(_zip({name: content for name, content in members.items() if name != MANIFEST}), "has no manifest.json")


@pytest.mark.parametrize("card", [b"\xff\xfe", b"\x1b[2Jcleared", "\u202ebackwards".encode(), b"x" * 2**20 + b"xx"])
def test_a_card_that_steers_the_terminal_is_refused(place, files, card, capsys):
    data = _remake(files["beat"], card=card)
    _refuse(data, "has a card")
    with pytest.raises(ModelFileError, match="has a card"):
        read_card("model.omi")
    assert main(["card", "model.omi"]) == 2
    assert capsys.readouterr().out == ""


# Damage.


def test_what_is_no_file_is_refused(place):
    with pytest.raises(FileNotFoundError, match="no such model file"):
        load("model.omi")
    with pytest.raises(ModelFileError, match="is no file"):
        load(".")
    if os.name == "posix":
        with pytest.raises(ModelFileError, match="is no file"):
            load("/dev/zero")


def test_an_empty_file_is_refused(place):
    _refuse(b"", "is empty")


def test_a_truncated_file_is_refused(place, files):
    data = files["net of beats"]
    for length in (1, 4, 70, 71, 72, len(data) // 3, len(data) // 2, *range(len(data) - 95, len(data))):
        _refuse(data[:length], "no model file|damaged")
        if length != len(data) - 71:  # which is the whole file without its hash
            _refuse(seal(data[:length]), "no model file|damaged")


def test_a_flipped_byte_anywhere_is_refused(place, files):
    data = files["net of beats"]
    for position in [*range(0, len(data), len(data) // 100), *range(len(data) - 72, len(data))]:
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        _refuse(bytes(flipped), "no model file|damaged")


@pytest.mark.parametrize("name", ["net of beats", "forest", "regression"])
def test_any_flipped_byte_under_the_right_hashes_gives_a_model_or_a_clear_error(place, files, name):
    rng = random.Random(0)
    members = _split(files[name])[1]
    for _ in range(12 * TESTS):
        member = rng.choice([member for member in members if member != CARD])
        content = bytearray(members[member])
        for _ in range(rng.choice([1, 1, 3])):
            content[rng.randrange(len(content))] = rng.randrange(256)
        _load_or_refuse(_remake(files[name], **{member: bytes(content)}))


@pytest.mark.parametrize("number", range(150 * TESTS))
def test_any_changed_attribute_gives_a_model_that_answers_or_a_clear_error(place, number):
    with contextlib.suppress(ModelFileError):
        load_and_use(number)


def _load_or_refuse(data: bytes) -> None:
    refused = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _try(data)
        except ModelFileError as error:
            refused = str(error)
    assert refused is None or (refused.startswith("model.omi") and refused.isprintable())


def test_classes_and_categories_that_do_not_fit_are_refused(tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import OrdinalEncoder, TargetEncoder

    rng = np.random.default_rng(0)
    X, y = rng.integers(5, size=(40, 2)).astype(float), np.arange(40) % 2
    line, short, turned = LogisticRegression().fit(X, y), TargetEncoder().fit(X, y), OrdinalEncoder().fit(X)
    for good in (line, short, turned, OrdinalEncoder().fit([["b"], ["a"], [np.nan], [None]])):
        save(good, tmp_path / "model.omi")
    line.classes_ = line.classes_[:1]
    short.encodings_ = [each[:-1] for each in short.encodings_]
    turned.categories_ = [each[::-1] for each in turned.categories_]
    for broken, message in ((line, "classes"), (short, "encodings"), (turned, "categories .* do not rise")):
        with pytest.raises(TypeError, match=message):
            save(broken, tmp_path / "model.omi")
