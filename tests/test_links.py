"""Links between pages lead to something, at the place they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    if not {"_build", "api", "gallery"} & set(path.relative_to(ROOT).parts)
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
# Made by the build of the documentation, which warns of links that lead nowhere.
_BUILT = ("gallery/", "api/", "../gallery/", "../api/")


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def _included(page: Path) -> Path:
    """Return the page that a page consists of, where it only includes another."""
    found = re.fullmatch(r"```\{include\} (\S+)\n```\s*", page.read_text(encoding="utf-8"))
    return (page.parent / found[1]).resolve() if found else page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    lost = []
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link) or link.startswith(_BUILT):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in _anchors(_included(target))):
            lost.append(link)
    assert lost == []


def test_there_are_pages_and_links():
    assert len(PAGES) > 15
    assert sum(len(_LINK.findall(page.read_text(encoding="utf-8"))) for page in PAGES) > 50
