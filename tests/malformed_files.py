"""Spoilt files of every format: what independent writers wrote, with bytes and words changed, cut or doubled."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from readers._writing_zeros import pack_zeros, write_zeros_mat, write_zeros_npz
from readers.writers import (
    INDEPENDENT,
    write_cardiosoft,
    write_csv,
    write_dicom,
    write_edf,
    write_hl7,
    write_mat,
    write_mortara,
    write_muse,
    write_npy,
    write_philips,
    write_scp,
    write_wfdb,
)

from omi_estimators import read_ecg
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.leads import LEADS

_RATE = 250
_PLAIN = {"sampling_rate": _RATE, "unit": "mV"}
# A value to put in the place of another: what a header may claim, and what no header may.
_WORDS = [
    b"0",
    b"-1",
    b"1e308",
    b"nan",
    b"99999999999",
    b"3.5",
    b"",
    b"uV",
    b"../../x",
    b"\xff\xfe",
    b"I",
    b"<!ENTITY a 'b'>",
    # Claims of more than there is, and of more than there can be.
    b"16x999999999:1000000000+999999999",
    b"508x99",
    b"999999999/9(9)",
    b"31-Feb-2024",
    b"X X X X",
    b"_" * 20_000,
    b" " * 20_000,
    b"\xb5V",
    b"[?]",
]
_WORD = re.compile(rb"[A-Za-z0-9_.+-]+")


@dataclass(frozen=True)
class Kind:
    """A format to spoil: how to write a good file, and what `read_ecg` is told of it."""

    write: Callable[..., float]
    name: str
    options: dict[str, Any]
    reading: dict[str, Any]


def _write_npz(path: Path, signal: np.ndarray, sampling_rate: float, *, leads: Any = LEADS) -> float:
    """Write a packed archive of one array in mV."""
    np.savez_compressed(path, signal=signal.astype("float32"))
    return 1e-5


KINDS = {
    "Philips": Kind(write_philips, "a.xml", {}, {}),
    "Philips, base64": Kind(write_philips, "a.xml", {"encoding": "Base64"}, {}),
    "MUSE": Kind(write_muse, "a.xml", {"leads": INDEPENDENT}, {}),
    "CardioSoft": Kind(write_cardiosoft, "a.xml", {}, {}),
    "CardioSoft, full disclosure": Kind(write_cardiosoft, "a.xml", {"layout": "seconds"}, {}),
    "HL7": Kind(write_hl7, "a.xml", {}, {}),
    "Mortara": Kind(write_mortara, "a.xml", {}, {}),
    "DICOM": Kind(write_dicom, "a.dcm", {}, {}),
    "EDF": Kind(write_edf, "a.edf", {"plus": True}, {}),
    "EDF, with a unit": Kind(write_edf, "a.edf", {}, {"unit": "uV", "start": 0.5, "duration": 1}),
    "SCP": Kind(write_scp, "a.scp", {}, {}),
    "SCP, reference beat": Kind(write_scp, "a.scp", {"huffman": "own", "subtract": True, "decimate": 4}, {}),
    "WFDB": Kind(write_wfdb, "a.hea", {}, {}),
    "WFDB, 212": Kind(write_wfdb, "a.hea", {"storage": "212", "gain": 200}, {}),
    "WFDB, FLAC": Kind(write_wfdb, "a.hea", {"storage": "516", "file_per_lead": True}, {"start": 0.5, "duration": 1}),
    "CSV": Kind(write_csv, "a.csv", {"time": True}, _PLAIN),
    "MAT": Kind(write_mat, "a.mat", {}, _PLAIN | {"unit": "uV"}),
    "MAT, 4": Kind(write_mat, "a.mat", {"version": "4"}, _PLAIN | {"unit": "uV"}),
    "NPY": Kind(write_npy, "a.npy", {}, _PLAIN),
    "NPZ": Kind(_write_npz, "a.npz", {}, _PLAIN),
}


@cache
def good_files(kind: str) -> dict[str, bytes]:
    """Return the files of a good record of one format, by name, the one to read first."""
    chosen = KINDS[kind]
    ecg = make_omi_ecgs(1, records_per_patient=1, sampling_rate=_RATE, duration=2, noise=0, random_state=0).X[0]
    leads = chosen.options.get("leads", LEADS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, chosen.name)
        chosen.write(path, ecg[[LEADS.index(lead) for lead in leads]].astype(float), _RATE, **chosen.options)
        names = [chosen.name, *(file.name for file in Path(folder).iterdir() if file.name != chosen.name)]
        return {name: Path(folder, name).read_bytes() for name in names}


@cache
def _words(kind: str, name: str) -> list[tuple[int, int]]:
    """Return where words and numbers of a file stand, without the thousands that are samples."""
    content = good_files(kind)[name]
    found = [(word.start(), word.end()) for word in _WORD.finditer(content) if word.end() - word.start() < 40]
    step = max(1, len(found) // 600)
    return found[:400] + found[400::step]


@cache
def _zeros() -> list[bytes]:
    """Return files of 200 kB that would be 200 MB once they are unpacked, and 1.6 GB as numbers."""
    n = 2**24
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        write_zeros_npz(path, "<u1", (12, n), 12 * n)
        files = [path.read_bytes()]
        write_zeros_mat(path, pack_zeros("val", (12, n), 12 * n))
        return [*files, path.read_bytes()]


@st.composite
def spoilt_files(draw: Any, kind: str) -> dict[str, bytes]:
    """Draw the files of a record of which one is spoilt."""
    files = dict(good_files(kind))
    name = draw(st.sampled_from(sorted(files)))
    content = files[name]
    place = st.integers(0, max(0, len(content) - 1))
    for _ in range(draw(st.integers(1, 3))):
        how = draw(st.sampled_from(["bytes", "a word", "a word", "cut", "doubled", "lost", "other"]))
        if how == "bytes":
            at, new = draw(place), draw(st.binary(min_size=1, max_size=4))
            content = content[:at] + new + content[at + len(new) :]
        elif how == "a word" and _words(kind, name):
            start, end = draw(st.sampled_from(_words(kind, name)))
            content = content[:start] + draw(st.sampled_from(_WORDS)) + content[end:]
        elif how == "cut":
            content = content[: draw(place)]
        elif how == "doubled":
            first, last = sorted((draw(place), draw(place)))
            content = content[:last] + content[first : first + 5000] + content[last:]
        elif how == "lost":
            first, last = sorted((draw(place), draw(place)))
            content = content[:first] + content[min(last, first + 5000) :]
        else:
            utf_16 = content.decode("latin-1").encode("utf-16")
            content = draw(st.sampled_from([b"", b"\0" * 300, content[::-1], utf_16, *_zeros()]))
    files[name] = content
    return files


def read_spoilt(kind: str) -> Callable[[dict[str, bytes]], None]:
    """Return what reads the files and checks what comes of it."""

    def read(files: dict[str, bytes]) -> None:
        folder = tempfile.mkdtemp()
        try:
            for name, content in files.items():
                Path(folder, name).write_bytes(content)
            check_record(read_ecg(Path(folder, KINDS[kind].name), **KINDS[kind].reading))
            assert sorted(file.name for file in Path(folder).iterdir()) == sorted(files), "something was written"
        finally:
            shutil.rmtree(folder)

    return read


def check_record(record: Any) -> None:
    """Check that a record can be one of a heart."""
    assert record.signal.shape[0] == 12
    assert record.signal.dtype == np.float64
    assert not np.isinf(record.signal).any(), "something infinite"
    assert not np.isnan(record.signal).all(), "nothing but NaN"
    assert 50 <= record.sampling_rate <= 50_000
    assert record.age is None or 0 <= record.age <= 120
    assert record.sex in (None, "male", "female")
    assert all(np.isfinite(value) for value in record.measurements.values())
    missing = [lead for lead, row in zip(LEADS, record.signal, strict=True) if np.isnan(row).all()]
    assert list(record.missing_leads) == missing
