"""The code of the documentation runs, on files as it names them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from readers.writers import (
    INDEPENDENT,
    write_csv,
    write_dicom,
    write_edf,
    write_hl7,
    write_mat,
    write_mortara,
    write_muse,
    write_npy,
    write_philips,
    write_wfdb,
)

from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.leads import LEADS

DOCS = Path(__file__).parents[1] / "docs"
_WRITERS = {
    "record.hea": write_wfdb,
    "philips.xml": write_philips,
    "aecg.xml": write_hl7,
    "mortara.xml": write_mortara,
    "ecg.dcm": write_dicom,
    "ecg.edf": write_edf,
    "ecg.csv": write_csv,
    "ecg.npy": write_npy,
    "ecg.mat": write_mat,
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Go to a folder that holds the files which the page on reading names."""
    monkeypatch.chdir(tmp_path)
    X = make_omi_ecgs(4, records_per_patient=1, noise=0, random_state=0).X.astype(np.float64)
    for name, write in _WRITERS.items():
        write(tmp_path / name, X[0], 500)
    eight = X[0][[LEADS.index(lead) for lead in INDEPENDENT]]
    write_muse(tmp_path / "muse.xml", eight, 500)
    write_csv(tmp_path / "eight.csv", eight, 500, leads=INDEPENDENT, header=False)
    (tmp_path / "ecgs").mkdir()
    for i, record in enumerate(X):
        write_wfdb(tmp_path / "ecgs" / f"r{i}.hea", record, 500)
    return tmp_path


def test_the_code_on_reading_runs(folder):
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "reading.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert names["X"].shape == (4, 12, 5000)  # type: ignore[attr-defined]
    assert names["table"].attrs["skipped"] == []  # type: ignore[attr-defined]
