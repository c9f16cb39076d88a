"""From a model to a tree of JSON and a list of arrays, and back: each kind of value stands once, with both ways.

What JSON knows is itself: None, bool, int, text, finite float, list. Everything else is an object with one key that
names its kind, or, for what has a class, with its public name (`type`), what it is made of (`params`) and what it has
learned (`state`). Parts are numbered as they are finished, so that one that stands in two places is written once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

from omi_estimators._compat import TRAINING_ONLY, restore_derived, tree_columns, validate_parameter_constraints
from omi_estimators._text import is_plain_text
from omi_estimators.persistence import _declared
from omi_estimators.persistence._checks import MOST_WORKERS, make_tree, make_tree_predictor
from omi_estimators.persistence._container import require

# Folders of the machine at hand. joblib's holds pickles.
FOLDERS = ("memory", "checkpoint_dir")
_SPARSE = {kind.__name__: kind for kind in (sparse.csr_array, sparse.csr_matrix, sparse.csc_array, sparse.csc_matrix)}
# joblib counts from all cores down; libraries of threads end the process for less than one.
_FEWEST = {"n_jobs": -MOST_WORKERS, "n_threads": 1, "_n_threads": 1}


class Writer:
    """Turns a model into nodes; keeps its arrays, and the names of what no file can hold."""

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}
        self.left_out: set[str] = set()
        self._numbers: dict[int, int] = {}
        self._in_state = 0
        self._keys: dict[int, dict[str, Any]] = {}

    def write(self, value: Any, where: str) -> Any:
        """Return the node of a value; raise a TypeError that says where it has a type that no file holds."""
        kind = type(value)
        if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
            return value
        if kind is list:
            return [self.write(item, f"{where}[{i}]") for i, item in enumerate(value)]
        if isinstance(value, np.ndarray):
            return self._write_array(value, where)
        if _SPARSE.get(kind.__name__) is kind:
            matrix = value.tocsr()
            parts = {name: self._write_array(getattr(matrix, name), where) for name in ("data", "indices", "indptr")}
            return {"sparse": kind.__name__, "shape": list(value.shape), **parts}
        for name, (its_type, take_apart, _) in _KINDS.items():
            if kind is its_type or (its_type in (np.generic, np.dtype) and isinstance(value, its_type)):
                return {name: self.write(take_apart(value), where)}
        function = _declared.name_function(value)
        return {"function": function} if function else self._write_part(value, where)

    def _write_array(self, array: NDArray[Any], where: str) -> dict[str, Any]:
        if id(array) in self._keys:
            return self._keys[id(array)]
        node: dict[str, Any]
        if array.dtype.names:
            node = {"columns": {name: self._write_array(array[name], where) for name in array.dtype.names}}
        elif array.dtype.kind in "OU":
            items = self.write(array.ravel().tolist(), where)
            node = {"items": items, "shape": list(array.shape), "dtype": array.dtype.str}
        elif array.dtype.kind in "biuf" and array.dtype.itemsize <= 8 and type(array) is np.ndarray:
            is_fortran = array.flags.f_contiguous and not array.flags.c_contiguous
            node = {"fortran" if is_fortran else "array": str(len(self.arrays))}
            # With its shape, since a number alone becomes an array of one.
            in_file = array.T if is_fortran else array
            self.arrays[str(len(self.arrays))] = np.ascontiguousarray(in_file).reshape(in_file.shape)
        else:
            raise TypeError(f"{where} is an array that no model file holds: {type(array).__name__} of {array.dtype}")
        if array.base is None:
            self._keys[id(array)] = node
        return node

    def _write_part(self, part: Any, where: str) -> dict[str, Any]:
        if id(part) in self._numbers:
            return {"same": self._numbers[id(part)]}
        name = _declared.name_type(type(part))
        if name is None or name in _declared.REFUSED:
            what = part if hasattr(part, "__qualname__") else type(part)
            reason = f"; {_declared.REFUSED[name]}" if name else ""
            raise TypeError(f"load would not trust {what.__module__}.{what.__qualname__} ({where}){reason}")
        params, state = (tree_columns(part), {}) if name == "sklearn.tree.Tree" else self._take_apart(part)
        node = {"type": name, "params": {key: self.write(item, f"{where}.{key}") for key, item in params.items()}}
        if state:
            self._in_state += 1
            node["state"] = {key: self.write(item, f"{where}.{key}") for key, item in state.items()}
            self._in_state -= 1
        self._numbers[id(part)] = len(self._numbers)
        return node

    def _take_apart(self, part: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what an object is made of, and what it has learned."""
        kind: Any = type(part)
        params = {name: self._choose(part, name, getattr(part, name)) for name in _declared.parameter_names(kind)}
        if not isinstance(part, BaseEstimator):
            return params, {}
        without = {*vars(kind(**params)), *_declared.NOT_SAVED, *TRAINING_ONLY}
        state = {name: item for name, item in vars(part).items() if name not in without}
        if not self._in_state:
            self.left_out |= {f"{name} of {kind.__name__}" for name in _declared.NOT_SAVED if vars(part).get(name)}
        if _declared.is_network(part) and "nets_" in state:
            from omi_estimators.persistence._networks import take_apart

            state["nets_"] = take_apart(part)
        return params, state

    def _choose(self, part: Any, name: str, value: Any) -> Any:
        """Return what stands in a file for a parameter: another value where it is of this machine, or only for fits."""
        of_network = name if _declared.is_network(part) else None
        if of_network == "device" or name in FOLDERS:
            return str(value) if of_network == "device" else None
        only_fits = isinstance(value, np.random.RandomState | np.random.Generator)
        only_fits |= of_network in ("callbacks", "net_params") and value is not None
        only_fits |= of_network == "optimizer" and not isinstance(value, str)
        if not only_fits:
            return value
        # What a fit has made, another makes anew.
        if not self._in_state:
            self.left_out.add(f"{name} of {type(part).__name__}")
        return "adamw" if of_network == "optimizer" else None


class Reader:
    """Turns nodes into a model; raises a ModelFileError, or an error of whatever is malformed."""

    def __init__(self, arrays: dict[str, NDArray[Any]], trusted: frozenset[str]) -> None:
        self.used: set[str] = set()
        self._arrays = arrays
        self._trusted = trusted
        self._parts: list[Any] = []

    def read(self, node: Any) -> Any:
        """Return the value that a node stands for."""
        if isinstance(node, list):
            return [self.read(item) for item in node]
        if isinstance(node, str):
            require(is_plain_text(node), f"it holds a text with control characters: {node!r}")
        elif isinstance(node, int | float):
            most = 2**63 if isinstance(node, int) else math.inf
            require(abs(node) < most, f"it holds a number of another kind than save writes: {node}")
        if not isinstance(node, dict):
            return node
        if "type" in node:
            return self._read_part(**node)
        (kind, content), *pairs = node.items()
        more = dict(pairs)
        if kind == "items":
            return _make_items(self.read(content), **more)
        if kind == "sparse":
            parts = tuple(self.read(more[name]) for name in ("data", "indices", "indptr"))
            found = sparse.csr_matrix(parts, tuple(more["shape"]))
            # Compiled code follows these numbers.
            found.check_format(full_check=True)
            return _SPARSE[content](found)
        require(not more, f"it holds a kind of value that save does not write: {kind!r} with more")
        if kind in ("array", "fortran"):
            self.used.add(content)
            return self._arrays[content].T if kind == "fortran" else self._arrays[content]
        if kind == "columns":
            return {name: self.read(column) for name, column in content.items()}
        if kind == "same":
            is_known = type(content) is int and 0 <= content < len(self._parts)
            require(is_known, f"it mentions an object that it does not hold: {content!r}")
            return self._parts[content]
        if kind == "function":
            return _declared.find_function(content)
        require(kind in _KINDS, f"it holds a kind of value that save does not write: {kind!r}")
        return _KINDS[kind][2](self.read(content))

    def _read_part(self, type: Any, params: dict[str, Any], state: dict[str, Any] | None = None) -> Any:
        kind = _declared.find_type(type)
        what = f"it holds {type}, whose numbers compiled code follows wherever they lead; if you know who made the file"
        is_checked = type not in _declared.UNCHECKED or type in self._trusted
        require(is_checked, f"{what}, load it with trusted=[{type!r}]")
        made_of, learned = ({name: self.read(item) for name, item in each.items()} for each in (params, state or {}))
        made: Any = {"sklearn.tree.Tree": make_tree, "sklearn.ensemble.TreePredictor": make_tree_predictor}.get(type)
        self._parts.append(made(kind, **made_of) if made else _build(kind, made_of, learned))
        return self._parts[-1]


def _build(kind: Any, params: dict[str, Any], state: dict[str, Any]) -> Any:
    """Return an object of checked parameters, with a checked state."""
    its = f"its {kind.__name__}"
    if "net_" in state:
        # From before networks had members.
        params = {"n_members": 1} | params
        state["nets_"] = state.pop("net_")
    is_whole = set(params) == set(_declared.parameter_names(kind))
    require(is_whole, f"{its} has other parameters than that class: {sorted(params)}")
    found = {**params, **state}
    for name in FOLDERS:
        require(found.get(name) is None, f"{its} names a folder, {name}={found.get(name)!r}")
    for name, fewest in _FEWEST.items():
        count = found.get(name)
        is_possible = count is None or fewest <= count <= MOST_WORKERS
        require(is_possible, f"{its} asks for {name}={count!r}; {MOST_WORKERS} is the most")
    validate_parameter_constraints(getattr(kind, "_parameter_constraints", {}), params, kind.__name__)
    part = kind(**params)
    if not isinstance(part, BaseEstimator):
        return part
    output, known = state.get("_sklearn_output_config", {"transform": "default"}), ("default", "pandas", "polars")
    require(output in [{"transform": name} for name in known], f"{its} has an output that is none: {output!r}")
    for name in state.keys() - {"_sklearn_output_config"}:
        is_own = name not in vars(part) and _declared.is_fitted_attribute(kind, name)
        require(is_own, f"{its} has an attribute that is none of its fitted ones: {name!r}")
    networks = state.pop("nets_", None) if _declared.is_network(part) else None
    vars(part).update(state)
    if _declared.is_network(part) and (state or networks):
        from omi_estimators.persistence._networks import restore

        restore(part, networks)
    restore_derived(part)
    return part


def _make_items(items: list[Any], shape: list[int], dtype: str) -> NDArray[Any]:
    """Return an array of text or of objects."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    if dtype != "|O":
        are_text = dtype[1:2] == "U" and all(type(item) is str for item in items)
        require(are_text, f"it holds an array of {dtype!r}, which is none of text")
        array = array.astype(f"U{max([int(dtype[2:]) if len(items) < 2 else 1, *map(len, items)])}")
    return array.reshape(shape)


def _make_dtype(text: Any) -> np.dtype[Any]:
    """Return a type of numbers, text or objects."""
    is_known = re.fullmatch(r"[<|](?:[biuf][1248]|U[0-9]{1,6}|O)", text)
    require(is_known, f"it holds {text!r} as a type of numbers")
    return np.dtype(text)


def _to_pairs(found: dict[Any, Any]) -> list[list[Any]]:
    return [[key, item] for key, item in found.items()]


# Kinds of values that are written as other values: their type, what they are taken apart to, and the way back.
_KINDS: dict[str, tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "bunch": (Bunch, _to_pairs, lambda pairs: Bunch(**dict(pairs))),
    "dict": (dict, _to_pairs, dict),
    "dtype": (np.dtype, lambda dtype: dtype.str, _make_dtype),
    "float": (float, repr, {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}.__getitem__),
    "scalar": (np.generic, np.asarray, lambda array: array[()]),
    "set": (set, sorted, set),
    "slice": (slice, lambda found: [found.start, found.stop, found.step], lambda ends: slice(*ends)),
    "tuple": (tuple, list, tuple),
}
