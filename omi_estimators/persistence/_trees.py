"""Decision trees from a file: scikit-learn follows their indices without asking whether they lead anywhere.

A crafted tree would read memory that is not its own. Its numbers are therefore checked before it is made.
"""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators.persistence._container import ModelFileError
from omi_estimators.persistence._trusted import REFERENCE, Node

_LEAF = -1


def check_tree(node: Node, nodes: dict[int, Node], arrays: dict[str, bytes]) -> None:
    """Check the numbers of a tree.

    Parameters
    ----------
    node : dict
        Of skops's kind TreeNode.
    nodes : dict of int to dict
        All nodes by id.
    arrays : dict of str to bytes
        All arrays of the file, their sizes checked.

    Raises
    ------
    ModelFileError
        If following the tree would lead out of it, or out of a record.
    """

    def number(found: Node) -> int:
        value = json.loads(_resolve(found, nodes, "JsonNode")["content"])
        if type(value) is not int:
            raise ModelFileError(f"a number of a decision tree is {value!r}")
        return value

    def array(found: Node) -> NDArray[Any]:
        file = io.BytesIO(arrays[_resolve(found, nodes, "NdArrayNode")["file"]])
        return np.load(file, allow_pickle=False)

    made_of = [_resolve(part, nodes) for part in _resolve(node["__reduce__"]["args"], nodes, "TupleNode")["content"]]
    n_features, n_classes, n_outputs = number(made_of[0]), array(made_of[1]), number(made_of[2])
    state = _resolve(node["content"], nodes, "DictNode")["content"]
    if n_outputs != 1 or n_classes.shape != (1,) or n_classes.dtype != np.intp or n_classes[0] < 1:
        raise ModelFileError("a decision tree has other than one output")
    parts, values = array(state["nodes"]), array(state["values"])
    if parts.ndim != 1 or not len(parts) or number(state["node_count"]) != len(parts):
        raise ModelFileError("a decision tree has another number of nodes than it claims")
    if values.shape != (len(parts), 1, n_classes[0]) or values.dtype != np.float64:
        raise ModelFileError("a decision tree's values do not fit its nodes")
    _check_ways(parts, n_features)
    # scikit-learn makes room for paths of this length, and does not look whether they are longer.
    if number(state["max_depth"]) < _depth(parts):
        raise ModelFileError("a decision tree is deeper than it claims")


def _check_ways(parts: NDArray[Any], n_features: int) -> None:
    """Raise a ModelFileError if a way through a tree does not end in a leaf, or asks for a feature that is none."""
    place = np.arange(len(parts))
    inner = parts["left_child"] != _LEAF
    children = np.stack([parts["left_child"][inner], parts["right_child"][inner]])
    # Children come after their parent, so that no way is a circle.
    if (children <= place[inner]).any() or (children >= len(parts)).any():
        raise ModelFileError("a decision tree leads to a node that it does not have")
    if np.bincount(children.ravel()).max(initial=0) > 1:
        raise ModelFileError("a decision tree leads to a node twice")
    feature = parts["feature"][inner]
    if (feature < 0).any() or (feature >= n_features).any():
        raise ModelFileError(f"a decision tree asks for a feature that is none of its {n_features}")


def _depth(parts: NDArray[Any]) -> int:
    """Return the number of steps from the root of a checked tree to its furthest leaf."""
    level, depth = np.zeros(1, dtype=np.intp), -1
    while len(level):
        inner = parts[level[parts["left_child"][level] != _LEAF]]
        level, depth = np.concatenate([inner["left_child"], inner["right_child"]]), depth + 1
    return depth


def _resolve(node: Node, nodes: dict[int, Node], loader: str | None = None) -> Node:
    """Return the node that a reference stands for; raise a ModelFileError if it is of another kind than expected."""
    found = nodes[node["__id__"]] if node["__loader__"] == REFERENCE else node
    if loader is not None and found["__loader__"] != loader:
        raise ModelFileError(f"a decision tree holds a {found['__loader__']} where a {loader} was expected")
    return found


def check_forests(parts: list[Any]) -> None:
    """Check that each tree asks for the features of the records that it will be given.

    Parameters
    ----------
    parts : list of objects
        Everything in a loaded model.

    Raises
    ------
    ModelFileError
        If an estimator with trees has another number of features than they.
    """
    for part in parts:
        found = vars(part)
        trees = [found["tree_"]] if "tree_" in found else []
        if type(part).__name__ == "RandomForestClassifier" and "estimators_" in found:
            trees = [vars(member)["tree_"] for member in found["estimators_"]]
        if any(tree.n_features != found.get("n_features_in_") for tree in trees):
            raise ModelFileError("a decision tree is for another number of features than its estimator")
