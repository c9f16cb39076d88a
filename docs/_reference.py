"""The reference, written from what the rooms of the package declare, so that no public name can be forgotten.

`write_reference` makes `docs/api/`: a page for each room, and the help of each command. Sphinx's autosummary then makes
a page for each class and function that the pages of rooms list.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import os
import pkgutil
import pprint
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import omi_estimators

PACKAGE = "omi_estimators"
# The command has a page of its own, and its candidates are its options.
NOT_ROOMS = {"__main__", "candidates", "cli"}


class Name(NamedTuple):
    """A public name: where it is imported from, by the shortest way, and what it is."""

    room: str
    name: str
    path: str
    kind: str


def find_rooms() -> list[str]:
    """Return the rooms of the package: its public modules and folders."""
    found = pkgutil.iter_modules(omi_estimators.__path__)
    return sorted(item.name for item in found if not item.name.startswith("_") and item.name not in NOT_ROOMS)


def find_names(room: str) -> list[Name]:
    """Return the public names of a room: those that it declares or, where it declares none, those that it defines."""
    module = importlib.import_module(f"{PACKAGE}.{room}")
    declared = getattr(module, "__all__", None)
    names = [name for name in vars(module) if _is_own(module, name)] if declared is None else declared
    top = set(omi_estimators.__all__)
    found = []
    for name in sorted(names, key=str.lower):
        item = getattr(module, name)
        same = name in top and getattr(omi_estimators, name) is item
        path = f"{PACKAGE}.{name}" if same else f"{PACKAGE}.{room}.{name}"
        found.append(Name(room, name, path, _kind(item)))
    return found


def _is_own(module: Any, name: str) -> bool:
    if name.startswith("_"):
        return False
    item = getattr(module, name)
    if inspect.isclass(item) or inspect.isfunction(item):
        return item.__module__ == module.__name__
    return name.isupper()


def _kind(item: Any) -> str:
    if inspect.isclass(item):
        if issubclass(item, Exception):
            return "error"
        return "class"
    return "function" if callable(item) else "constant"


def find_aliases() -> dict[str, str]:
    """Return, for each way to write a public name, its one path in the reference."""
    aliases = {f"{PACKAGE}.{room}": f"{PACKAGE}.{room}" for room in find_rooms()}
    for room in find_rooms():
        for found in find_names(room):
            written = {found.name, f"{room}.{found.name}", f"{PACKAGE}.{room}.{found.name}", f"{PACKAGE}.{found.name}"}
            if found.kind != "constant":
                item = getattr(importlib.import_module(f"{PACKAGE}.{room}"), found.name)
                written.add(f"{item.__module__}.{item.__qualname__}")
            aliases |= dict.fromkeys(written, found.path)
    return aliases


def write_reference(folder: Path) -> None:
    """Write the pages of all rooms, the page that lists them, and the help of all commands."""
    rooms = find_rooms()
    pages = {f"{room}.rst": _room_page(room) for room in rooms}
    pages["index.rst"] = _index_page(rooms)
    pages |= {f"help/{name}.txt": text for name, text in _read_help().items()}
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # What is unchanged is left alone, so that Sphinx need not read it again.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    # Pages of names that are gone would be pages that no list leads to.
    paths = {name.path for room in rooms for name in find_names(room)}
    for page in (folder / "generated").glob("*.rst"):
        if page.stem not in paths:
            page.unlink()


_INDEX = """\
API reference
=============

Every public name of every room of the package. The names that most people need are importable from
``omi_estimators`` itself:

.. autosummary::
   :nosignatures:

{top}

The rooms:

.. list-table::
   :widths: 25 75

{rooms}

.. toctree::
   :hidden:

{pages}

Pages of classes list the methods that this package writes. Those that scikit-learn's base classes add
(``get_params``, ``set_params``, ``fit_transform``, ``score``, ``set_output``, metadata requests) do here what they do
there.
"""


_TABLE = """\
.. autosummary::
   :toctree: generated
   :nosignatures:

"""


def _index_page(rooms: list[str]) -> str:
    everything = [found for room in rooms for found in find_names(room)]
    top = sorted(
        {found.path for found in everything if found.path.count(".") == 1 and found.kind != "constant"}, key=str.lower
    )
    return _INDEX.format(
        top=_indent(f"~{path}" for path in top),
        rooms=_indent(f"* - :doc:`{room} <{room}>`\n     - {_summary(room)}" for room in rooms),
        pages=_indent(f"{room} <{room}>" for room in rooms),
    )


def _summary(room: str) -> str:
    return str(importlib.import_module(f"{PACKAGE}.{room}").__doc__).partition("\n")[0]


def _room_page(room: str) -> str:
    title = f"{PACKAGE}.{room}"
    parts = [title, "=" * len(title), "", f".. automodule:: {title}", "   :no-members:", ""]
    # What follows is named from the package on, not from the room.
    parts += [f".. currentmodule:: {PACKAGE}", ""]
    names = find_names(room)
    headings = {"class": "Classes", "function": "Functions", "error": "Errors and warnings"}
    for kind, heading in headings.items():
        paths = ["~" + found.path.removeprefix(f"{PACKAGE}.") for found in names if found.kind == kind]
        if paths:
            parts += [heading, "-" * len(heading), "", _TABLE + _indent(paths), ""]
    constants = [found for found in names if found.kind == "constant"]
    if constants:
        parts += ["Constants", "---------", ""]
    for found in constants:
        parts += [_constant(found), ""]
    return "\n".join(parts)


def _constant(found: Name) -> str:
    """Return the entry of a constant: autodoc does not see what is written below one that is imported lazily."""
    value = getattr(importlib.import_module(f"{PACKAGE}.{found.room}"), found.name)
    text = pprint.pformat(value, width=100, sort_dicts=False)
    path = found.path.removeprefix(f"{PACKAGE}.")
    doc = _indent(_find_constant_doc(found).splitlines())
    return f".. py:data:: {path}\n\n{doc}\n\n   .. code-block:: python\n\n{_indent(text.splitlines(), 6)}"


def _find_constant_doc(found: Name) -> str:
    """Return the string below the assignment of a constant."""
    place = Path(omi_estimators.__path__[0], found.room)
    for path in sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for statement, following in pairwise(body):
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            named = any(isinstance(target, ast.Name) and target.id == found.name for target in targets)
            if named and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                return inspect.cleandoc(str(following.value.value))
    return ""


def _indent(lines: Any, by: int = 3) -> str:
    return "\n".join(" " * by + line if line else "" for line in lines)


def _read_help() -> dict[str, str]:
    """Return what each command prints for ``--help``."""
    from omi_estimators.cli import _make_parser

    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        parser = _make_parser()
        commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        texts = {name: command.format_help() for name, command in commands.choices.items()}
        return {"omi-estimators": parser.format_help()} | texts
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
