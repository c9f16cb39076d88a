"""The house: imports run downwards only, and importing the package costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
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
        "comparison",
        "datasets",
        "features",
        "leads",
        "metrics",
        "persistence",
        "pipelines",
        "preprocessing",
        "readers",
        "splits",
        "triage",
    },
    "candidates": {"classifiers", "fusion", "pipelines", "preprocessing"},
    "comparison": {"_files", "displays", "leads", "metrics", "splits", "triage"},
    "persistence": {"_files", "classifiers", "leads", "preprocessing"},
    "pipelines": {"_documentation", "classifiers", "features", "fusion", "preprocessing"},
    "fusion": {"_documentation", "preprocessing", "splits"},
    "triage": {"_documentation", "metrics", "preprocessing", "splits"},
    "splits": {"preprocessing"},
    "displays": {"metrics"},
    "inspection": {"displays", "features", "leads", "preprocessing"},
    "classifiers": {"_documentation", "_files", "networks", "leads"},
    "features": {"_documentation", "preprocessing", "leads"},
    "preprocessing": {"_documentation", "leads"},
    "datasets": {"leads"},
    "readers": {"_documentation", "leads", "preprocessing"},
    "networks": set(),
    "metrics": set(),
    "leads": set(),
    "_documentation": set(),
    "_files": set(),
    "_validation": set(),
}


def _room(module: str) -> str | None:
    """Return the room of a module named like omi_estimators.room.file, None if it is not ours."""
    parts = module.split(".")
    return (parts[1] if len(parts) > 1 else "__init__") if parts[0] == "omi_estimators" else None


def _imported_modules(path: Path) -> set[str]:
    """Return the modules that a file imports, at its top or inside functions."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module}
            if node.module == "omi_estimators":
                modules |= {f"omi_estimators.{alias.name}" for alias in node.names}
    return modules


def _files():
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards_only(path):
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    everywhere = {None, "__init__", "_validation", room}
    imported = {_room(module) for module in _imported_modules(path)} - everywhere
    assert imported <= ALLOWED[room]


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_small(path):
    assert len(path.read_text().splitlines()) <= 400


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
