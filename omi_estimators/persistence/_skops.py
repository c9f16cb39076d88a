"""From a plain copy of a model to a skops file and back, with every check that comes before skops."""

from __future__ import annotations

import io
import json
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np

from omi_estimators.persistence._container import ModelFileError
from omi_estimators.persistence._trees import check_tree
from omi_estimators.persistence._trusted import (
    REFERENCE,
    TRUSTED_NAMES,
    Node,
    children,
    is_trusted,
    type_name,
)

_SCHEMA = "schema.json"
_ARRAY = re.compile(r"[0-9]+\.npy")
_NPY = b"\x93NUMPY"

# That of skops 0.13 and later. Nodes of older protocols check less, and no file of ours has them.
_PROTOCOL = 2


def dump_plain(model: Any) -> bytes:
    """Return a skops file of a model of numbers, strings, and trusted types.

    Each object is written once, and mentioned wherever else it stands: half the size, and nothing to contradict.

    Parameters
    ----------
    model : object
        What `plain_copy` returned.

    Returns
    -------
    bytes
        What `load_plain` and, with the same types trusted, `skops.io.loads` read.

    Raises
    ------
    TypeError
        If it holds a type that is not trusted; the message names it, and where it is.
    """
    import skops.io

    with ZipFile(io.BytesIO(skops.io.dumps(model))) as source:
        schema = json.loads(source.read(_SCHEMA))
        unknown = [f"{type_name(node)} ({path})" for path, node in _walk(schema) if not is_trusted(node)]
        if unknown:
            raise TypeError(
                f"{type(model).__name__} cannot be saved, because load would not trust what is in it: "
                f"{', '.join(unknown[:5])}. Models are saved that are made of the estimators of omi_estimators, and of "
                "the parts of scikit-learn that its pipelines, fusion and calibration use. Of a search, save its "
                "best_estimator_."
            )
        _refer(schema)
        buffer = io.BytesIO()
        with ZipFile(buffer, "w", ZIP_STORED) as archive:
            for name in source.namelist():
                if name != _SCHEMA:
                    archive.writestr(ZipInfo(name), source.read(name))
            archive.writestr(ZipInfo(_SCHEMA), json.dumps(schema, separators=(",", ":")))
    return buffer.getvalue()


def load_plain(data: bytes, name: str) -> Any:
    """Return the model in a skops file, with networks still as plain dictionaries.

    Parameters
    ----------
    data : bytes
        What `dump_plain` returned.
    name : str
        What to call the file in errors.

    Returns
    -------
    object
        The model.

    Raises
    ------
    ModelFileError
        If the file holds a type that is not trusted, or is not what `dump_plain` writes. Nothing has been
        imported or constructed by then.
    """
    import skops.io

    try:
        _check(data)
        strange = sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED_NAMES))
        if strange:
            raise ModelFileError(f"it holds types that load does not trust: {', '.join(strange[:5])}")
        with warnings.catch_warnings():
            # scikit-learn's warning about its version, once for every part; load warns once for all versions.
            warnings.simplefilter("ignore")
            return skops.io.loads(data, trusted=TRUSTED_NAMES)
    # A crafted file may contradict itself anywhere inside zipfile, json, numpy, skops and scikit-learn, in as many
    # kinds of errors; each means that the file is no model.
    except Exception as error:
        reason = str(error) if isinstance(error, ModelFileError) else f"{type(error).__name__}: {error}"
        raise ModelFileError(f"{name} cannot be loaded: {reason.rstrip('.')}.") from error


def _walk(schema: Node) -> Iterator[tuple[str, Node]]:
    """Yield each node with the path of names that leads to it; nothing under one that is not trusted."""
    stack = [("model", schema)]
    while stack:
        path, node = stack.pop()
        yield path, node
        if is_trusted(node):
            stack += [(f"{path}.{label}" if label else path, child) for label, child in reversed(children(node))]


def _refer(schema: Node) -> None:
    """Replace, in place, each node of an object that stands further up by a reference to it."""
    seen = set()
    for _, node in _walk(schema):
        key = node["__id__"]
        if key in seen:
            node.clear()
            node.update({"__class__": "", "__module__": "", "__loader__": REFERENCE, "__id__": key})
        seen.add(key)


def _check(data: bytes) -> None:
    """Raise a ModelFileError, or an error of whatever is malformed, unless all is as `dump_plain` writes it."""
    try:
        archive = ZipFile(io.BytesIO(data))
    except BadZipFile as error:
        raise ModelFileError("its model.skops is no zip") from error
    with archive:
        infos = archive.infolist()
        for info in infos:
            if info.compress_type != ZIP_STORED or info.compress_size != info.file_size:
                raise ModelFileError(f"its model.skops has a compressed member, {info.filename!r}")
            if info.filename != _SCHEMA and not _ARRAY.fullmatch(info.filename):
                raise ModelFileError(f"its model.skops has a member that none has, {info.filename!r}")
        repeated = [member for member, count in Counter(archive.namelist()).items() if count > 1]
        if repeated or sum(info.file_size for info in infos) > len(data):
            raise ModelFileError(f"its model.skops has two members in one place, or of one name: {repeated[:3]}")
        schema = json.loads(archive.read(_SCHEMA))
        if schema.get("protocol") != _PROTOCOL:
            raise ModelFileError(f"its skops protocol is {schema.get('protocol')!r}; {_PROTOCOL} was expected")
        arrays = {info.filename: archive.read(info) for info in infos if info.filename != _SCHEMA}
    for member, content in arrays.items():
        _check_array(member, content)
    nodes = _collect(schema)
    for node in nodes.values():
        if node["__loader__"] == "TreeNode":
            check_tree(node, nodes, arrays)


def _collect(schema: Node) -> dict[int, Node]:
    """Return the nodes of trusted types by their id; raise a ModelFileError for any other.

    Each id stands for one node: of two, skops would take the first for both, and a check of the second be for nothing.
    """
    nodes: dict[int, Node] = {}
    unknown, contradictions = [], []
    for path, node in _walk(schema):
        key = node["__id__"]
        if not is_trusted(node):
            unknown.append(f"{type_name(node)} as {node['__loader__']} ({path})")
        elif not isinstance(key, int):
            contradictions.append(f"an object's id is {key!r} ({path})")
        elif node["__loader__"] == REFERENCE:
            if key not in nodes:
                contradictions.append(f"it mentions an object that it does not hold ({path})")
        elif key in nodes:
            contradictions.append(f"two objects have one id ({path})")
        else:
            nodes[key] = node
    if unknown:
        raise ModelFileError(f"it holds types that load does not trust: {', '.join(unknown[:5])}")
    if contradictions:
        raise ModelFileError(contradictions[0])
    return nodes


def _check_array(member: str, content: bytes) -> None:
    """Raise a ModelFileError for an array that holds objects, or claims another size than it has."""
    stream = io.BytesIO(content)
    if not content.startswith(_NPY):
        raise ModelFileError(f"{member} in it is no array")
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise ModelFileError(f"{member} in it claims another size than it has, or holds objects")
