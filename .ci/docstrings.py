"""Check the docstring of every public name: complete, in order, with shapes, errors and an example."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
import _reference

# An extended summary, an example of every method, and other names to see, where they help; not everywhere.
NOT_HELD = {"ES01", "EX01", "SA01"}
# Names without an example: errors and warnings; what needs the network; what is only ever returned or found by others.
NO_EXAMPLE = {"fetch_ptbxl", "BasicBlock"}


def find_items() -> Iterator[tuple[str, Any, bool]]:
    """Return path, object, and whether it is a name of its own, for every public class, function and method."""
    for room in _reference.find_rooms():
        for name in _reference.find_names(room):
            item = getattr(importlib.import_module(f"omi_estimators.{room}"), name.name)
            if not (inspect.isclass(item) or inspect.isfunction(item)):
                continue
            yield name.path, item, True
            for key, member in vars(item).items() if inspect.isclass(item) else ():
                function = getattr(member, "__func__", getattr(member, "fget", member))
                if not key.startswith("_") and inspect.isfunction(function) and function.__module__ == item.__module__:
                    yield f"{name.path}.{key}", function, False


def is_record(item: Any) -> bool:
    """Return whether it is a bundle of fields, documented as attributes; one with parameters is a class as others."""
    has_fields = dataclasses.is_dataclass(item) or hasattr(item, "_fields")
    return has_fields and not NumpyDocString(inspect.getdoc(item) or "")["Parameters"]


def check(path: str, item: Any, own: bool) -> Iterator[str]:
    """Return what the docstring of a name lacks."""
    text = inspect.getdoc(item) or ""
    joined = {name for line in re.findall(r"^(\w+(?:, \*{0,2}\w+)+)", text, re.MULTILINE) for name in line.split(", ")}
    for code, message in validate(path)["errors"]:
        names = set(re.findall(r'Parameter "([*\w]+)" has no type', message))
        if code in NOT_HELD or (code == "PR01" and is_record(item)) or (names and names <= joined):
            continue
        yield f"{code} {message}"
    parsed = NumpyDocString(text)
    for section in ("Parameters", "Returns", "Attributes"):
        for name, kind, _ in parsed[section]:
            if re.search(r"array-like|ndarray", kind) and not re.search(r"shape|of bool or of indices", kind):
                yield f"{section}: {name or kind} has no shape"
    if is_record(item) and own:
        fields = getattr(item, "_fields", None) or [field.name for field in dataclasses.fields(item)]
        written = {name.strip() for names, _, _ in parsed["Attributes"] for name in names.split(",")}
        yield from (f"field {name} is not described" for name in fields if name not in written)
    if inspect.isfunction(item) and not parsed["Raises"] and raises(item):
        yield "raises errors, but has no Raises section"
    wants_example = own and not (inspect.isclass(item) and (issubclass(item, Exception) or is_record(item)))
    if wants_example and item.__name__ not in NO_EXAMPLE and not parsed["Examples"]:
        yield "has no example"


def raises(function: Any) -> bool:
    """Return whether the body of a function raises an error itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree))


def main() -> None:
    """Print what is missing; exit with 1 if anything is."""
    n_names, faults = 0, []
    for path, item, own in find_items():
        n_names += 1
        faults += [f"{path}: {fault}" for fault in check(path, item, own)]
    print("\n".join(sorted(set(faults))) or f"{n_names} docstrings are complete")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
