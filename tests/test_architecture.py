"""The house: imports run downwards, in no circle, into no other room's private module; importing costs nothing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import omi_estimators

PACKAGE = Path(omi_estimators.__file__).parent

# What each room may import of ours; the rooms below it, never beside or above.
ALLOWED = {
    "__init__": set(),
    "__main__": {"cli"},
    "cli": {
        "candidates",
        "evaluation",
        "datasets",
        "features",
        "inspection",
        "leads",
        "metrics",
        "persistence",
        "pipelines",
        "preprocessing",
        "readers",
        "splits",
        "triage",
        "typicality",
    },
    "candidates": {"classifiers", "features", "fusion", "pipelines", "preprocessing"},
    "evaluation": {
        "displays",
        "features",
        "fusion",
        "inspection",
        "leads",
        "metrics",
        "preprocessing",
        "splits",
        "triage",
        "typicality",
    },
    "persistence": {"classifiers", "datasets", "leads", "preprocessing", "typicality"},
    "pipelines": {"_documentation", "classifiers", "features", "fusion", "leads", "preprocessing"},
    "fusion": {"preprocessing", "splits"},
    "triage": {"metrics", "preprocessing", "splits"},
    "typicality": {"leads", "preprocessing"},
    "splits": {"_documentation", "leads", "preprocessing"},
    "displays": {"metrics"},
    "inspection": {"classifiers", "displays", "features", "leads", "preprocessing"},
    "classifiers": {"_documentation", "networks", "leads"},
    "features": {"_documentation", "preprocessing", "leads"},
    "preprocessing": {"_documentation", "leads"},
    "datasets": {"leads", "readers"},
    "readers": {"_documentation", "leads", "preprocessing"},
    "networks": set(),
    "metrics": set(),
    "leads": set(),
    "_compat": set(),
    "_documentation": set(),
    "_paper": {"leads"},
    "_store": set(),
    "_text": set(),
    "_validation": set(),
}
# Everybody may import these.
SHARED = {"__init__", "_compat", "_paper", "_store", "_text", "_validation"}
# Libraries whose private names only `_compat` may import, and operators of torch that have no public name.
WATCHED = {"joblib", "skorch", "sklearn", "torch", "wfdb"}
UNSURE = {"joblib.func_inspect", "sklearn.callback"}
WITHOUT_PUBLIC_NAME = {"classifiers/_prediction.py": {"torch"}}


def _files():
    return sorted(PACKAGE.rglob("*.py"))


def _name(path: Path) -> str:
    """Return the name of a module, such as omi_estimators.readers._read."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {path: ast.parse(path.read_text()) for path in _files()}
MODULES = {_name(path) for path in TREES}


def _lazy_names(tree: ast.Module) -> dict[str, str]:
    """Return the module in which a room keeps each of its public names, as its __init__ says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "submod_attrs":
            return {name: module for module, names in ast.literal_eval(node.value).items() for name in names}
    return {}


PUBLIC = {_name(path): _lazy_names(tree) for path, tree in TREES.items() if path.name == "__init__.py"}


def _imports(path: Path):
    """Yield each name that a file imports, at its top or inside functions, as module and name ("" for none).

    Imports for type checkers alone are no imports.
    """
    pending = [TREES[path]]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: write the module's whole name"
            yield from ((node.module, alias.name) for alias in node.names)
        pending.extend(ast.iter_child_nodes(node))


def _defining_module(module: str, name: str) -> str:
    """Return the module of ours that an import reaches, through the room that shows a name."""
    if f"{module}.{name}" in MODULES:
        return f"{module}.{name}"
    inner = PUBLIC.get(module, {}).get(name)
    return module if inner is None else _defining_module(f"{module}.{inner}", name)


def _imported_modules(path: Path) -> set[str]:
    """Return the modules of ours that a file imports."""
    ours = ((module, name) for module, name in _imports(path) if module.split(".")[0] == "omi_estimators")
    return {_defining_module(*item) for item in ours}


def _room(module: str) -> str:
    """Return the room of a module of ours."""
    return [*module.split("."), "__init__"][1]


def _own_room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards_only(path):
    room = _own_room(path)
    assert {_room(module) for module in _imported_modules(path)} - SHARED - {room} <= ALLOWED[room]


def test_nobody_imports_a_private_module_of_another_room():
    found = set()
    for path in TREES:
        for module, name in _imports(path):
            whole = f"{module}.{name}" if f"{module}.{name}" in MODULES else module
            parts = whole.split(".")[1:]
            if whole in MODULES and len(parts) > 1 and parts[0] != _own_room(path) and parts[1].startswith("_"):
                found.add(f"{path.relative_to(PACKAGE).as_posix()}, {'.'.join(parts)}")
    assert not found


def test_nobody_names_a_private_module_of_another_room_in_a_string():
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for room in re.findall(r"^omi_estimators\.(\w+)\._\w", node.value):
                    assert room == _own_room(path), f"{path}, line {node.lineno}"


def test_no_circle():
    graph = {_name(path): _imported_modules(path) - {_name(path), "omi_estimators"} for path in TREES}
    for path, tree in TREES.items():
        # What a room shows is no import of its __init__ by those inside; the command line's own one imports them.
        if path.name == "__init__.py" and _lazy_names(tree):
            graph[_name(path)] = set()
    for edges in (graph, ALLOWED):
        # Raises a CycleError that names one.
        TopologicalSorter(edges).prepare()


def _is_private(dotted: str) -> bool:
    return any(part.startswith("_") and not part.endswith("__") for part in dotted.split("."))


def test_private_names_of_libraries_are_imported_in_one_file():
    for path, tree in TREES.items():
        if path.name == "_compat.py":
            continue
        where = path.relative_to(PACKAGE).as_posix()
        imported = [(module, name) for module, name in _imports(path) if module.split(".")[0] in WATCHED]
        for module, name in imported:
            assert not _is_private(f"{module}.{name}"), f"{where} imports {module}.{name}; import it in _compat"
            assert module not in UNSURE, f"{where} imports {module}; import it in _compat"
        libraries = {module.split(".")[0] for module, _ in imported}
        allowed = WITHOUT_PUBLIC_NAME.get(where, set())
        for node in ast.walk(tree):
            dotted = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if re.fullmatch(r"[\w.]+", dotted) and dotted.split(".")[0] in libraries - allowed:
                assert not _is_private(dotted), f"{where}, line {node.lineno}: {dotted} is private"


def test_processes_are_asked_for_in_one_place():
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Parallel":
                threads = any(keyword.arg == "require" for keyword in node.keywords)
                assert threads or path.name == "_compat.py", f"{path}, line {node.lineno}: use run_parallel"


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_loads_nothing_heavy():
    heavy = "{'torch', 'skorch', 'sklearn', 'neurokit2', 'pandas', 'matplotlib', 'wfdb', 'scipy', 'numpy'}"
    loaded = _run(f"import sys, omi_estimators; print(sorted({heavy} & set(sys.modules)))")
    assert loaded.strip() == "[]"


def test_the_net_never_pays_for_neurokit2_nor_the_features_for_torch():
    assert _run("import sys; from omi_estimators import ECGSmartNetClassifier; print('neurokit2' in sys.modules)") == (
        "False\n"
    )
    assert _run("import sys; from omi_estimators import NeuroKitFeatures; print('torch' in sys.modules)") == "False\n"


@pytest.mark.parametrize("name", omi_estimators.__all__)
def test_every_public_name_loads_and_is_documented(name):
    assert getattr(omi_estimators, name).__doc__
