"""From a model to a tree of JSON and a list of arrays, and back: each kind of value stands once on each side.

What JSON knows is itself: None, bool, int, text, finite float, list. Everything else is an object with one key that
names its kind, or, for what has a class, with its public name (`type`), what it is made of (`params`) and what it has
learned (`state`). Parts are numbered as they are finished, so that one that stands in two places is written once.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

from omi_estimators._compat import TRAINING_ONLY, restore_derived, tree_columns, validate_parameter_constraints
from omi_estimators._text import is_plain_text
from omi_estimators.persistence._container import ModelFileError
from omi_estimators.persistence._declared import (
    NOT_SAVED,
    REFUSED,
    UNCHECKED,
    find_function,
    find_type,
    is_fitted_attribute,
    is_network,
    name_function,
    name_type,
    parameter_names,
)
from omi_estimators.persistence._followed import MOST_WORKERS, make_tree, make_tree_predictor

# Folders of the machine at hand. joblib's holds pickles.
FOLDERS = ("memory", "checkpoint_dir")
_SPARSE = {
    f"{form}_{kind}": getattr(sparse, f"{form}_{kind}") for form in ("csr", "csc") for kind in ("matrix", "array")
}
_NUMBERS = "biuf"
_OUTPUTS = ("default", "pandas", "polars")


class Writer:
    """Turns a model into nodes; keeps its arrays, and the names of what no file can hold."""

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}
        self.left_out: set[str] = set()
        self._numbers: dict[int, int] = {}
        self._in_state = 0
        self._keys: dict[int, dict[str, Any]] = {}

    def write(self, value: Any, where: str) -> Any:
        """Return the node of a value; raise a TypeError that says where there is one that no file may hold."""
        kind = type(value)
        if value is None or kind in (bool, int):
            return value
        if kind is str:
            if not is_plain_text(value):
                raise TypeError(f"{where} has control characters, which no model file holds: {value!r:.60}")
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if kind is list:
            return [self.write(item, f"{where}[{i}]") for i, item in enumerate(value)]
        if kind is tuple:
            return {"tuple": self.write(list(value), where)}
        if kind is set:
            return {"set": self.write(sorted(value), where)}
        if kind is slice:
            return {"slice": self.write([value.start, value.stop, value.step], where)}
        if kind in (dict, Bunch):
            pairs = [[self.write(key, where), self.write(item, f"{where}[{key!r}]")] for key, item in value.items()]
            return {"bunch" if kind is Bunch else "dict": pairs}
        if isinstance(value, np.ndarray):
            return self._write_array(value, where)
        if isinstance(value, np.generic):
            return {"scalar": self._write_array(np.asarray(value), where)}
        if kind.__name__ in _SPARSE and isinstance(value, _SPARSE[kind.__name__]):
            return self._write_sparse(value, where)
        if isinstance(value, np.dtype):
            return {"dtype": value.str}
        function = name_function(value)
        return {"function": function} if function else self._write_part(value, where)

    def _write_array(self, array: NDArray[Any], where: str) -> dict[str, Any]:
        if id(array) in self._keys:
            return self._keys[id(array)]
        if array.dtype.names:
            node: dict[str, Any] = {
                "columns": {name: self._write_array(array[name], where) for name in array.dtype.names}
            }
        elif array.dtype.kind in "OU":
            node = {"items": self.write(array.ravel().tolist(), where), "shape": list(array.shape)}
            node |= {"dtype": array.dtype.str}
        elif array.dtype.kind in _NUMBERS and array.dtype.itemsize <= 8 and type(array) is np.ndarray:
            key, fortran = str(len(self.arrays)), array.flags.f_contiguous and not array.flags.c_contiguous
            node = {"fortran" if fortran else "array": key}
            self.arrays[key] = np.ascontiguousarray(array.T if fortran else array).reshape(
                array.shape[:: -1 if fortran else 1]
            )
        else:
            raise TypeError(f"{where} is an array that no model file holds: {type(array).__name__} of {array.dtype}")
        if array.base is None:
            self._keys[id(array)] = node
        return node

    def _write_sparse(self, value: Any, where: str) -> dict[str, Any]:
        matrix = value.tocsr()
        parts = {name: self._write_array(getattr(matrix, name), where) for name in ("data", "indices", "indptr")}
        return {"sparse": type(value).__name__, "shape": list(value.shape), **parts}

    def _write_part(self, part: Any, where: str) -> dict[str, Any]:
        if id(part) in self._numbers:
            return {"same": self._numbers[id(part)]}
        kind = type(part)
        name = name_type(kind)
        if name is None or name in REFUSED:
            what = part if hasattr(part, "__qualname__") else kind
            home = f"{what.__module__}.{what.__qualname__}"
            reason = f"; {REFUSED[name]}" if name else ""
            raise TypeError(f"load would not trust {home} ({where}){reason}")
        if name == "sklearn.tree.Tree":
            params, state = tree_columns(part), dict[str, Any]()
        else:
            params, state = self._take_apart(part)
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
        params = {name: self._choose(part, name, getattr(part, name)) for name in parameter_names(kind)}
        if not isinstance(part, BaseEstimator):
            return params, {}
        if not self._in_state:
            self.left_out |= {f"{name} of {kind.__name__}" for name in NOT_SAVED if vars(part).get(name)}
        fresh = vars(kind(**params))
        state = {name: item for name, item in vars(part).items() if name not in {*fresh, *NOT_SAVED, *TRAINING_ONLY}}
        for name in state:
            if name != "_sklearn_output_config" and not is_fitted_attribute(kind, name):
                raise TypeError(f"{kind.__name__} has an attribute that load does not know: {name}")
        if is_network(part) and "nets_" in state:
            from omi_estimators.persistence._networks import take_apart

            state["nets_"] = take_apart(part)
        return params, state

    def _choose(self, part: Any, name: str, value: Any) -> Any:
        """Return what stands in a file for a parameter: another value where it is of this machine, or only for fits."""
        if name in FOLDERS:
            return None
        new = value
        if isinstance(value, np.random.RandomState | np.random.Generator):
            new = None
        elif is_network(part):
            if name == "device":
                return str(value)
            if name in ("callbacks", "net_params"):
                new = None
            elif name == "optimizer" and not isinstance(value, str):
                new = "adamw"
        # What a fit has made, another makes anew.
        if new is not value and not self._in_state:
            self.left_out.add(f"{name} of {type(part).__name__}")
        return new


class Reader:
    """Turns nodes into a model; raises a ModelFileError, or an error of whatever is malformed."""

    def __init__(self, arrays: dict[str, NDArray[Any]], trusted: frozenset[str]) -> None:
        self.used: set[str] = set()
        self._arrays = arrays
        self._trusted = trusted
        self._parts: list[Any] = []

    def read(self, node: Any) -> Any:
        """Return the value that a node stands for."""
        if node is None or isinstance(node, bool | int | float):
            if (isinstance(node, float) and not math.isfinite(node)) or (isinstance(node, int) and abs(node) >= 2**63):
                raise ModelFileError(f"it holds a number of another kind than save writes: {node}")
            return node
        if isinstance(node, str):
            if not is_plain_text(node):
                raise ModelFileError(f"it holds a text with control characters: {node!r}")
            return node
        if isinstance(node, list):
            return [self.read(item) for item in node]
        if "type" in node:
            return self._read_part(**node)
        (kind, content), *more = node.items()
        more = dict(more)
        if kind in ("array", "fortran"):
            self.used.add(content)
            return self._arrays[content].T if kind == "fortran" else self._arrays[content]
        if kind == "items":
            return _make_items(self.read(content), **more)
        if kind == "sparse":
            return self._read_sparse(_SPARSE[content], **more)
        if more or kind not in _KINDS:
            raise ModelFileError(f"it holds a kind of value that save does not write: {kind!r}")
        return _KINDS[kind](self, content)

    def _read_sparse(self, kind: Any, shape: Any, **parts: Any) -> Any:
        found = sparse.csr_matrix(tuple(self.read(parts[key]) for key in ("data", "indices", "indptr")), tuple(shape))
        # Compiled code follows these numbers.
        found.check_format(full_check=True)
        return kind(found)

    def _read_part(self, type: Any, params: dict[str, Any], state: dict[str, Any] | None = None) -> Any:
        kind = find_type(type)
        if type in UNCHECKED and type not in self._trusted:
            raise ModelFileError(
                f"it holds {type}, whose numbers compiled code follows wherever they lead; if you know who made the "
                f"file, load it with trusted=[{type!r}]"
            )
        made_of = {name: self.read(item) for name, item in params.items()}
        if type == "sklearn.tree.Tree":
            part = make_tree(kind, **made_of)
        elif type == "sklearn.ensemble.TreePredictor":
            part = make_tree_predictor(kind, **made_of)
        else:
            part = self._build(kind, made_of, {name: self.read(item) for name, item in (state or {}).items()})
        self._parts.append(part)
        return part

    def _build(self, kind: Any, params: dict[str, Any], state: dict[str, Any]) -> Any:
        """Return an object of checked parameters, with a checked state."""
        if set(params) != set(parameter_names(kind)):
            raise ModelFileError(f"its {kind.__name__} has other parameters than that class: {sorted(params)}")
        for name, value in {**params, **state}.items():
            if name in FOLDERS and value is not None:
                raise ModelFileError(f"its {kind.__name__} names a folder, {name}={value!r}")
            # joblib counts from all cores down; libraries of threads end the process for less than one.
            fewest = {"n_jobs": -MOST_WORKERS, "n_threads": 1, "_n_threads": 1}.get(name)
            if fewest is not None and value is not None and not fewest <= value <= MOST_WORKERS:
                raise ModelFileError(f"its {kind.__name__} asks for {name}={value}; {MOST_WORKERS} is the most")
        validate_parameter_constraints(getattr(kind, "_parameter_constraints", {}), params, kind.__name__)
        part = kind(**params)
        if not isinstance(part, BaseEstimator):
            return part
        # "net_" in files from before there were several members.
        networks = state.pop("nets_", state.pop("net_", None)) if is_network(part) else None
        hidden = [name for name in state if name in vars(part) or not is_fitted_attribute(kind, name)]
        if hidden not in ([], ["_sklearn_output_config"]):
            raise ModelFileError(f"its {kind.__name__} has an attribute that is none of its fitted ones: {hidden[0]!r}")
        if hidden and state[hidden[0]] not in [{"transform": output} for output in _OUTPUTS]:
            raise ModelFileError(f"its {kind.__name__} has an output that is none: {state[hidden[0]]!r}")
        vars(part).update(state)
        if is_network(part) and (state or networks):
            from omi_estimators.persistence._networks import restore

            restore(part, networks)
        restore_derived(part)
        return part

    def same(self, number: Any) -> Any:
        """Return a part that was read before."""
        if type(number) is not int or not 0 <= number < len(self._parts):
            raise ModelFileError(f"it mentions an object that it does not hold: {number!r}")
        return self._parts[number]


def _make_items(items: list[Any], shape: list[int], dtype: str) -> NDArray[Any]:
    """Return an array of text or of objects."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    if dtype != "|O":
        if dtype[1:2] != "U" or not all(type(item) is str for item in items):
            raise ModelFileError(f"it holds an array of {dtype!r}, which is none of text")
        array = array.astype(f"U{max([int(dtype[2:]) if len(items) < 2 else 1, *map(len, items)])}")
    return array.reshape(shape)


def _make_dtype(text: Any) -> np.dtype[Any]:
    """Return a type of numbers, text or objects."""
    if not re.fullmatch(r"[<|](?:[biuf][1248]|U[0-9]{1,6}|O)", text):
        raise ModelFileError(f"it holds {text!r} as a type of numbers")
    return np.dtype(text)


def _read_pairs(reader: Reader, pairs: Any) -> list[tuple[Any, Any]]:
    return [(reader.read(key), reader.read(item)) for key, item in pairs]


_KINDS = {
    "bunch": lambda reader, content: Bunch(**dict(_read_pairs(reader, content))),
    "columns": lambda reader, content: {name: reader.read(column) for name, column in content.items()},
    "dict": lambda reader, content: dict(_read_pairs(reader, content)),
    "dtype": lambda reader, content: _make_dtype(content),
    "float": lambda reader, content: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[content],
    "function": lambda reader, content: find_function(content),
    "same": lambda reader, content: reader.same(content),
    "scalar": lambda reader, content: reader.read(content)[()],
    "set": lambda reader, content: set(reader.read(content)),
    "slice": lambda reader, content: slice(*reader.read(content)),
    "tuple": lambda reader, content: tuple(reader.read(content)),
}
