"""The reference of the documentation: every public name is on a page."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import omi_estimators
from omi_estimators import _documentation

ROOT = Path(__file__).parents[1]


def _load_reference():
    spec = importlib.util.spec_from_file_location("_reference", ROOT / "docs" / "_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _load_reference()
# Found without asking the script: what lies in the package's folder.
ROOMS = sorted(
    path.stem
    for path in Path(omi_estimators.__path__[0]).iterdir()
    if not path.name.startswith(("_", ".")) and (path.suffix == ".py" or (path / "__init__.py").exists())
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, str]:
    """Return the pages of the reference by name."""
    folder = tmp_path_factory.mktemp("api")
    reference.write_reference(folder)
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()}


def _listed(page: str) -> set[str]:
    """Return the names that a page lists in a table or describes itself."""
    return set(re.findall(r"^   ~(?:[\w.]*\.)?(\w+)$", page, re.MULTILINE)) | set(
        re.findall(r"^\.\. py:data:: (?:[\w.]*\.)?(\w+)$", page, re.MULTILINE)
    )


@pytest.mark.parametrize("room", sorted(set(ROOMS) - reference.NOT_ROOMS))
def test_every_public_name_of_a_room_is_on_its_page(pages, room):
    module = importlib.import_module(f"omi_estimators.{room}")
    public = getattr(module, "__all__", None) or [name for name in _defined(module) if not name.startswith("_")]
    assert set(public) <= _listed(pages[room])
    assert f"   {room} <{room}>\n" in pages["index"]


def _defined(module) -> list[str]:
    return [name for name, item in vars(module).items() if getattr(item, "__module__", None) == module.__name__]


def test_every_name_of_the_package_itself_is_on_a_page(pages):
    listed = set().union(*(_listed(page) for page in pages.values()))
    assert set(omi_estimators.__all__) <= listed | set(pages)


@pytest.mark.parametrize("room", sorted(set(ROOMS) - reference.NOT_ROOMS))
def test_constants_say_what_they_are(room):
    silent = [
        name.name
        for name in reference.find_names(room)
        if name.kind == "constant" and not reference._find_constant_doc(name)
    ]
    assert silent == []


def test_every_command_has_its_help(pages):
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"literalinclude\} api/help/([\w-]+)\.txt", page))
    written = {name for name, text in pages.items() if text.startswith("usage: omi-estimators")}
    assert shown == written
    assert {"omi-estimators", "compare", "fit", "predict", "card"} <= shown


def _find_estimators() -> dict[str, type]:
    found = [name for room in set(ROOMS) - reference.NOT_ROOMS for name in reference.find_names(room)]
    items = {each.path: getattr(importlib.import_module(f"omi_estimators.{each.room}"), each.name) for each in found}
    return {path: item for path, item in items.items() if isinstance(item, type) and issubclass(item, BaseEstimator)}


@pytest.fixture
def site(tmp_path, monkeypatch) -> str:
    """Install a package that says where its documentation is."""
    folder = tmp_path / "omi_estimators-9.dist-info"
    folder.mkdir()
    facts = "Metadata-Version: 2.4\nName: omi-estimators\nVersion: 9\n"
    (folder / "METADATA").write_text(f"{facts}Project-URL: Documentation, https://docs.invalid/latest/\n")
    monkeypatch.syspath_prepend(tmp_path)
    _documentation.documentation_url.cache_clear()
    yield "https://docs.invalid/latest"
    _documentation.documentation_url.cache_clear()


def test_every_public_estimator_links_to_its_page(pages, site):
    estimators = _find_estimators()
    assert len(estimators) > 12
    for path, item in estimators.items():
        # Links need no parameters.
        assert item.__new__(item)._get_doc_link() == f"{site}/api/generated/{path}.html"
        # The page of its room makes that of the estimator, as `currentmodule` and the list say.
        listed = f"\n   ~{path.removeprefix('omi_estimators.')}\n"
        assert any(".. currentmodule:: omi_estimators\n" in page and listed in page for page in pages.values())
