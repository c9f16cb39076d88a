"""Field by field, broken in every way that was met: what the signal needs is an error, the rest None with a note."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from readers.broken import Broken

from omi_estimators import read_ecg
from omi_estimators.readers import ECGFileError

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "reading.md"
START, END = "<!-- broken fields -->\n", "<!-- end -->"
ROWS: list[Broken] = [
    row for path in sorted(HERE.glob("broken_*.py")) for row in importlib.import_module(f"readers.{path.stem}").ROWS
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.format}: {row.what}, {row.how}")
def test_a_broken_field(row: Broken, tmp_path: Path) -> None:
    path = row.write(tmp_path)
    if isinstance(row.check, str):
        with pytest.raises(ECGFileError, match=row.check):
            read_ecg(path, **row.reading)
    else:
        row.check(read_ecg(path, **row.reading))


def table() -> list[str]:
    """Return the rows as `docs/reading.md` has them."""
    return [f"| {row.format} | {row.what} | {row.how} | {row.outcome} |" for row in ROWS]


def test_the_document_has_each_row() -> None:
    found = DOCUMENT.read_text(encoding="utf-8").partition(START)[2].partition(END)[0].splitlines()
    assert found[2:] == table(), "PYTHONPATH=tests python tests/readers/test_broken_fields.py writes them"


if __name__ == "__main__":
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(START)
    head, after = "".join(rest.splitlines(keepends=True)[:2]), rest.partition(END)[2]
    DOCUMENT.write_text(
        f"{before}{START}{head}" + "".join(f"{line}\n" for line in table()) + f"{END}{after}", encoding="utf-8"
    )
