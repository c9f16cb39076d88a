"""Files made to run code, to write elsewhere, or to break: refused by name, with nothing run and nothing written.

The hash at a file's end is no secret, so all attacks come with the right one.
"""

from __future__ import annotations

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
import torch
from skops.io import dumps

from omi_estimators import load, save
from omi_estimators.cli import main
from omi_estimators.persistence import ModelFileError, read_card
from omi_estimators.persistence._container import CARD, MANIFEST, MODEL, pack, seal, unpack

NETWORK = "networks/0.safetensors"
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
    for name in ("net of beats", "forest", "beat", "regression"):
        save(cases[name].model, path)
        found[name] = path.read_bytes()
    return found


def _split(data: bytes) -> tuple[dict[str, str], dict[str, bytes]]:
    manifest, members = unpack(data, "good")
    return manifest["versions"], members


def _remake(data: bytes, **changed: bytes | None) -> bytes:
    """Return a model file with other members and the right hashes."""
    versions, members = _split(data)
    names = {"model": MODEL, "card": CARD, "network": NETWORK}
    members |= {names.get(name, name): content for name, content in changed.items()}
    return pack({name: content for name, content in members.items() if content is not None}, {"versions": versions})


def _read_skops(data: bytes) -> tuple[Any, dict[str, bytes]]:
    with ZipFile(io.BytesIO(_split(data)[1][MODEL])) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts.pop("schema.json"))
    # Each object written out wherever it stands, so that one mention of it can be changed alone.
    firsts = {node["__id__"]: node for node in _nodes(schema) if node["__loader__"] != "CachedNode"}
    while references := [node for node in _nodes(schema) if node["__loader__"] == "CachedNode"]:
        for node in references:
            node.update(copy.deepcopy(firsts[node["__id__"]]))
    for node in _nodes(schema):
        node["__id__"] = random.getrandbits(60)
    return schema, parts


def _write_skops(schema: Any, arrays: dict[str, bytes], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", **options) as archive:
        for name, content in arrays.items():
            archive.writestr(name, content)
        archive.writestr("schema.json", schema if isinstance(schema, bytes | str) else json.dumps(schema))
    return buffer.getvalue()


def _change(data: bytes, change: Callable[[Any, dict[str, bytes]], Any]) -> bytes:
    """Return a model file whose skops part went through a function."""
    schema, arrays = _read_skops(data)
    change(schema, arrays)
    return _remake(data, model=_write_skops(schema, arrays))


def _nodes(schema: Any) -> list[dict[str, Any]]:
    """Return all nodes of a schema, parents first."""
    found, stack = [], [schema]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            found += [value] if "__loader__" in value else []
            stack += value.values()
        elif isinstance(value, list):
            stack += value
    return found


def _attribute(schema: Any, kind: str, name: str, value: Any) -> None:
    """Set an attribute of an object to a node, or to a number or word."""
    node = value if isinstance(value, dict) else _json(value)
    attributes = next(found for found in _nodes(schema) if found["__class__"] == kind)["content"]
    if name not in attributes["content"]:
        attributes["key_types"]["content"].append(_node("str", "builtins", "TypeNode"))
    attributes["content"][name] = node


def _node(name: str, module: str, loader: str, **content: Any) -> dict[str, Any]:
    return {"__class__": name, "__module__": module, "__loader__": loader, "__id__": random.getrandbits(60), **content}


def _json(value: Any) -> dict[str, Any]:
    return _node("str", "builtins", "JsonNode", content=json.dumps(value), is_json=True)


def _tuple(*values: Any) -> dict[str, Any]:
    return _node("tuple", "builtins", "TupleNode", content=[_json(value) for value in values])


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


@pytest.mark.parametrize("member", ["model", "network", "card"])
def test_a_pickle_in_the_place_of_a_member_is_refused(place, files, member):
    _refuse(_remake(files["net of beats"], **{member: pickle.dumps(Pickled())}), "cannot be loaded|UTF-8|card")


def test_a_pickle_in_the_place_of_an_array_is_refused(place, files):
    objects = io.BytesIO()
    np.save(objects, np.array([Pickled()], dtype=object), allow_pickle=True)
    for content in (pickle.dumps(Pickled()), objects.getvalue()):

        def change(schema, arrays, content=content):
            arrays |= dict.fromkeys(arrays, content)

        _refuse(_change(files["regression"], change), "is no array|holds objects")


# Types.

_CANARY_CALL = {"func": _node("sing", "omi_canary", "FunctionNode"), "args": _tuple(1), "kwds": _tuple()}
FOREIGN = {
    "a function of the system": _node("system", "os", "FunctionNode"),
    "a function of the system by its other name": _node("system", "posix", "FunctionNode"),
    "a function that imports": _node("sing", "omi_canary", "FunctionNode"),
    "a type that imports": _node("sing", "omi_canary", "TypeNode"),
    "eval": _node("eval", "builtins", "TypeNode"),
    "an object": _node("sing", "omi_canary", "ObjectNode", content=None),
    "a constructor": _node("sing", "omi_canary", "ConstructorFromReduceNode", content=_tuple("x")),
    "a list of another type": _node("sing", "omi_canary", "ListNode", content=[]),
    "a tuple of another type": _node("sing", "omi_canary", "TupleNode", content=[]),
    "an array of another type": _node("sing", "omi_canary", "NdArrayNode", type="numpy", file="0.npy"),
    "a partial": _node("partial", "functools", "PartialNode", content=_CANARY_CALL | {"namespace": _json(None)}),
    "a method": _node("str", "builtins", "MethodNode", content={"func": "format", "obj": _json("{}")}),
    "an operator": _node("methodcaller", "operator", "OperatorFuncNode", attrs=_tuple("system")),
    "a loss": _node("sing", "omi_canary", "LossNode", __reduce__={"args": _tuple()}, content=_tuple()),
    "bytes": _node("bytes", "builtins", "BytesNode", file="schema.json"),
    "a set": _node("set", "builtins", "SetNode", content=[]),
    "a slice": _node("slice", "builtins", "SliceNode", content={"start": 0, "stop": 1, "step": 1}),
    "a generator": _node("Generator", "numpy.random", "RandomGeneratorNode", content={}),
    "an estimator that skops trusts": _node("SVC", "sklearn.svm._classes", "ObjectNode", content=None),
    "a function that skops trusts": _node("log", "numpy", "FunctionNode"),
    "a trusted name as another kind": _node("ECGFilter", "omi_estimators.preprocessing._ecg_filter", "TypeNode"),
    "a word of another type": _node("sing", "omi_canary", "JsonNode", content="1", is_json=True),
    "another kind of node": _node("str", "builtins", "NoSuchNode"),
    "a name with control characters": _node("\x1b[2Jx", "omi_canary", "ObjectNode", content=None),
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("where", ["attribute", "model", "key", "array item"])
def test_a_foreign_type_is_refused_by_name(place, files, what, where):
    node = FOREIGN[what]

    def change(schema, arrays):
        if where == "attribute":
            _attribute(schema, "MedianBeat", "sampling_rate", node)
        elif where == "model":
            schema.update(node)
        elif where == "key":
            schema["content"]["key_types"]["content"][0] = node
        else:
            items = {"type": "json", "content": [node], "shape": _tuple(1)}
            _attribute(schema, "MedianBeat", "sampling_rate", _node("ndarray", "numpy", "NdArrayNode", **items))

    name = node["__class__"].replace("\x1b[", r"\\x1b\[")
    _refuse(_change(files["beat"], change), f"types that load does not trust: .*{name}")


def test_a_skops_file_of_another_estimator_is_refused_by_name(place, files):
    from sklearn.neighbors import KNeighborsClassifier

    _refuse(_remake(files["beat"], model=dumps(KNeighborsClassifier())), r"neighbors\._classification\.KNeighbors")


@pytest.mark.parametrize("protocol", [0, 1, 3, -1, True, "2", None, 2.5])
def test_other_protocols_of_skops_are_refused(place, files, protocol):
    _refuse(_change(files["beat"], lambda schema, arrays: schema.update(protocol=protocol)), "protocol is")


def test_what_is_no_estimator_is_refused(place, files):
    for thing in (3, "model", [1, 2], {"a": 1}):
        _refuse(_remake(files["beat"], model=dumps(thing)), "holds no estimator")


def test_references_that_lead_nowhere_or_to_themselves_are_refused(place, files):
    def nowhere(schema, arrays):
        _attribute(schema, "MedianBeat", "n_jobs", _node("", "", "CachedNode"))

    def itself(schema, arrays):
        _attribute(schema, "MedianBeat", "n_jobs", _node("", "", "CachedNode") | {"__id__": schema["__id__"]})

    def twice(schema, arrays):
        _attribute(schema, "MedianBeat", "n_jobs", _json(1) | {"__id__": schema["__id__"]})

    for change, match in ((nowhere, "does not hold"), (itself, "Recursion"), (twice, "one id")):
        _refuse(_change(files["beat"], change), match)


def test_a_cache_full_of_pickles_is_not_opened(place, files):
    def change(schema, arrays):
        _attribute(schema, "MedianBeat", "memory", "cache")

    _refuse(_change(files["beat"], change), "names a folder, memory='cache'")


def test_a_cache_hidden_in_an_array_is_found(place, files):
    def change(schema, arrays):
        _attribute(schema, "MedianBeat", "memory", "cache")
        inner = {key: schema.pop(key) for key in list(schema) if key not in ("protocol", "_skops_version")}
        outer = _node("ndarray", "numpy", "NdArrayNode", type="json", content=[inner], shape=_tuple(1))
        keys = _node("list", "builtins", "ListNode", content=[_node("str", "builtins", "TypeNode")])
        content = _node("dict", "builtins", "DictNode", key_types=keys, content={"hidden": outer})
        schema.update(
            _node("LeadScaler", "omi_estimators.preprocessing._scale", "ObjectNode", content=content), protocol=2
        )

    _refuse(_change(files["beat"], change), "names a folder")


def test_an_attribute_cannot_take_the_place_of_a_method(place, files):
    function = _node("log_odds", "omi_estimators.fusion", "FunctionNode")

    def change(schema, arrays):
        _attribute(schema, "MedianBeat", "transform", function)

    _refuse(_change(files["beat"], change), "in the place of its method transform")


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
    _refuse(_remake(files["net of beats"], network=WRONG_WEIGHTS[what]), "ECGSmartNetClassifier cannot be rebuilt")


def test_weights_of_another_shape_or_type_are_refused(place, files):
    from safetensors.torch import load as read
    from safetensors.torch import save as write

    weights = read(_split(files["net of beats"])[1][NETWORK])
    name = next(name for name, tensor in weights.items() if tensor.ndim > 1)
    for tensor in (weights[name].double(), weights[name][..., :0], weights[name].unsqueeze(0)):
        _refuse(_remake(files["net of beats"], network=write(weights | {name: tensor.contiguous()})), "not those of")
    del weights[name]
    _refuse(_remake(files["net of beats"], network=write(weights)), "not those of")


def test_weights_that_are_missing_or_left_over_are_refused(place, files):
    _refuse(_remake(files["net of beats"], network=None), "ask for")
    more = {"networks/1.safetensors": _split(files["net of beats"])[1][NETWORK]}
    _refuse(_remake(files["net of beats"], **more), "ask for")
    _refuse(_remake(files["beat"], **more), "ask for")


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
        ("net_", {"weights": "../../canary", "history": []}),
        ("net_", {"weights": [], "history": []}),
        ("net_", {"weights": NETWORK, "history": [{"epoch": {}}]}),
        ("net_", {"weights": NETWORK, "history": 5}),
    ],
)
def test_networks_that_contradict_their_weights_are_refused(place, files, attribute, value):
    def change(schema, arrays):
        _attribute(schema, "ECGSmartNetClassifier", attribute, value)

    _refuse(_change(files["net of beats"], change), "cannot be loaded")


# Trees.


def _change_trees(data: bytes, change: Callable[[np.ndarray], None]) -> bytes:
    """Return a model file whose trees went through a function."""

    def change_all(schema, arrays):
        for name, content in arrays.items():
            array = np.load(io.BytesIO(content))
            if array.dtype.names:
                change(array)
                buffer = io.BytesIO()
                np.save(buffer, array)
                arrays[name] = buffer.getvalue()

    return _change(data, change_all)


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("left_child", 10**9, "does not have"),
        ("right_child", 10**9, "does not have"),
        ("left_child", -7, "does not have"),
        ("right_child", -1, "does not have"),
        ("left_child", 0, "does not have"),
        ("right_child", 1, "twice"),
        ("feature", 10**6, "none of its"),
        ("feature", -2, "none of its"),
    ],
)
def test_trees_that_lead_out_of_their_memory_are_refused(place, files, column, value, match):
    def change(nodes):
        nodes[column][0] = value

    _refuse(_change_trees(files["forest"], change), match)


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("node_count", 10**9, "another number of nodes"),
        ("node_count", "many", "number of a decision tree"),
        ("max_depth", 0, "deeper than it claims"),
    ],
)
def test_trees_that_are_larger_than_they_claim_are_refused(place, files, key, value, match):
    def change(schema, arrays):
        tree = next(node for node in _nodes(schema) if node["__loader__"] == "TreeNode")
        tree["content"]["content"][key] = _json(value)

    _refuse(_change(files["forest"], change), match)


def test_trees_for_more_features_than_their_forest_are_refused(place, files):
    def change(schema, arrays):
        _attribute(schema, "RandomForestClassifier", "n_features_in_", 2)

    _refuse(_change(files["forest"], change), "another number of features")


# Zips.


@pytest.mark.parametrize(
    "name",
    ["../canary", "../../canary", "/canary", "..\\canary", "networks/../../canary", "C:canary", "networks/", "x"],
)
def test_names_that_lead_elsewhere_are_refused(place, files, name):
    versions, members = _split(files["net of beats"])
    _refuse(pack(members | {name: b"x"}, {"versions": versions}), "a member that no model file has")

    def change(schema, arrays):
        arrays[name] = next(iter(arrays.values()))

    _refuse(_change(files["regression"], change), "has a member that none has")


def test_an_array_is_read_from_the_file_only(place, files):
    for name in ("../../modules/omi_canary.py", "/etc/passwd", "schema.json", "999.npy"):

        def change(schema, arrays, name=name):
            node = _node("ndarray", "numpy", "NdArrayNode", type="numpy", file=name)
            _attribute(schema, "PCA", "mean_", node)

        _refuse(_change(files["regression"], change), "cannot be loaded")


def test_a_zip_bomb_is_refused_without_being_unpacked(place, files):
    bomb = bytes(2**24)
    _, members = _split(files["net of beats"])
    for name in (MODEL, NETWORK, CARD, MANIFEST):
        _refuse(_zip(members | {MANIFEST: b"{}", name: bomb}, compression=ZIP_DEFLATED), "compressed or encrypted")
    schema, arrays = _read_skops(files["regression"])
    inner = _write_skops(schema, dict.fromkeys(arrays, bomb), compression=ZIP_DEFLATED)
    assert len(inner) < 2**20
    _refuse(_remake(files["regression"], model=inner), "compressed member")


def test_members_over_each_other_are_refused(place, files):
    """One long member, listed many times, is a bomb without compression."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for name in (CARD, MODEL, MANIFEST, NETWORK):
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


def test_an_array_larger_than_it_is_is_refused(place, files):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }"
    for shape in ("10**12", "1000000000000", "-1", "__import__('os').system('echo > canary')"):
        text = (header % shape).encode()
        content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(8)

        def change(schema, arrays, content=content):
            arrays |= dict.fromkeys(arrays, content)

        _refuse(_change(files["regression"], change), "cannot be loaded")


@pytest.mark.parametrize("schema", [b"", b"[]", b"{}", b"{" * 200_000, b"[" * 200_000, b'{"protocol": 2}', b"\xff\xfe"])
def test_a_schema_that_is_none_is_refused(place, files, schema):
    _refuse(_remake(files["beat"], model=_write_skops(schema, {})), "cannot be loaded")


# Manifest and card.


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"format": "another"}, "does not say format"),
        ({"format_version": 2}, r"format version 2.*reads version 1; install"),
        ({"format_version": None}, "format version None"),
        ({"versions": None}, "names no versions"),
        ({"versions": {"numpy": 3}}, "names no versions"),
        ({"versions": {"numpy": "1\x1b[2J"}}, "names no versions"),
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


@pytest.mark.parametrize("name", ["net of beats", "forest", "regression", "beat"])
def test_any_exchanged_node_gives_a_model_or_a_clear_error(place, files, name):
    rng = random.Random(1)
    values = [None, True, -1, 10**30, "x", "", [], {}, {"a": []}, 1.5, "../canary", "omi_canary", "sing"]
    for _ in range(12 * TESTS):

        def change(schema, arrays):
            nodes = _nodes(schema)
            node = rng.choice(nodes)
            key = rng.choice(list(node))
            node[key] = rng.choice(nodes).get(key) if rng.random() < 0.3 else rng.choice(values)

        _load_or_refuse(_change_or_skip(files[name], change))


def _change_or_skip(data: bytes, change: Callable[[Any, dict[str, bytes]], Any]) -> bytes:
    try:
        return _change(data, change)
    except ValueError:  # a node inside itself, which JSON cannot say
        return data


def _load_or_refuse(data: bytes) -> None:
    refused = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _try(data)
        except ModelFileError as error:
            refused = str(error)
    assert refused is None or (refused.startswith("model.omi") and refused.isprintable())
