"""Field by field, broken in every way that was met: what the signal needs is an error, the rest None with a note."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

import numpy as np
import pytest
from readers.broken import Broken
from readers.writers import write_wfdb

from omi_estimators import read_ecg
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.readers import ECGFileError, UnreadableFileWarning, load_ecgs

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
    assert found[2:] == table(), "PYTHONPATH=.:tests python tests/readers/test_broken_fields.py writes them"


def test_a_thousand_files_of_which_every_tenth_is_broken(tmp_path: Path) -> None:
    """None costs another anything, and each is read, or named with its reason."""
    good = tmp_path / "good.hea"
    data = make_omi_ecgs(1, records_per_patient=1, duration=2, sampling_rate=250, random_state=0)
    write_wfdb(good, data.X[0].astype(float), 250)
    rows = [row for row in ROWS if not row.reading]
    rows = (rows * 100)[:100]
    paths: list[Path] = []
    for number, row in enumerate(rows):
        folder = tmp_path / str(number)
        folder.mkdir()
        paths += [row.write(folder), *[good] * 9]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreadableFileWarning)
        X, table = load_ecgs(paths, 250, duration=2, on_error="keep")
    assert 5 < len(table.attrs["skipped"]) < 60
    first = X[1]
    assert len(X) == len(table) == 1000
    for number, error in enumerate(table["error"]):
        if number % 10:
            assert error == ""
            assert np.array_equal(X[number], first)
        elif error:
            assert error.startswith(paths[number].name)
            assert np.isnan(X[number]).all()
        else:
            assert np.isfinite(X[number]).any()


if __name__ == "__main__":
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(START)
    head, after = "".join(rest.splitlines(keepends=True)[:2]), rest.partition(END)[2]
    DOCUMENT.write_text(
        f"{before}{START}{head}" + "".join(f"{line}\n" for line in table()) + f"{END}{after}", encoding="utf-8"
    )
