"""Long recordings are read in part, and files that would take all memory not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from readers._writing_zeros import pack_zeros, write_zeros_mat, write_zeros_npz
from readers.writers import write_edf, write_npy, write_wfdb

from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.leads import LEADS
from omi_estimators.readers import ECGFileError, read_ecg

# Of address space, which the interpreter and its libraries take a good part of.
MOST_BYTES = 3 * 2**30


@pytest.fixture(scope="module")
def ecg() -> np.ndarray:
    """Return 4 s of an ECG of twelve leads in mV."""
    return make_omi_ecgs(1, records_per_patient=1, noise=0, duration=4, random_state=3).X[0].astype(np.float64)


def _write_packed(path: Path, signal: np.ndarray, sampling_rate: float, *, storage: str) -> float:
    """Write a WFDB record in a format that the library reads and does not write, and return its step in mV."""
    counts = np.round(signal * 20).astype(np.int64)
    first, row = counts[:, 0], counts.T.ravel()
    if storage == "8":
        data = np.diff(counts, axis=1, prepend=counts[:, :1]).T.astype("i1").tobytes()
    elif storage == "61":
        data = row.astype(">i2").tobytes()
    else:
        a, b, c = (row.reshape(-1, 3) & 0x3FF).T
        if storage == "310":
            words = [
                (a & 0x7F) << 1 | (a >> 7) << 8 | (c & 0x1F) << 11,
                (b & 0x7F) << 1 | (b >> 7) << 8 | (c >> 5) << 11,
            ]
        else:
            packed = a | b << 10 | c << 20
            words = [packed & 0xFFFF, packed >> 16]
        data = np.stack(words, axis=1).astype("<u2").tobytes()
    path.with_suffix(".dat").write_bytes(data)
    lines = [f"a.dat {storage} 20/mV 10 0 {value} 0 0 {lead}" for value, lead in zip(first, LEADS, strict=True)]
    sums = counts.sum(axis=1) % 65536
    lines = [line.replace(" 0 0 ", f" {total} 0 ") for line, total in zip(lines, sums, strict=True)]
    path.write_text("\n".join([f"a 12 {sampling_rate} {counts.shape[1]}", *lines, ""]))
    return 1 / 20


WRITERS: dict[str, tuple[Callable[..., float], str, dict]] = {
    "WFDB 16": (write_wfdb, "a.hea", {}),
    "WFDB 212": (write_wfdb, "a.hea", {"storage": "212", "gain": 200}),
    "WFDB 24": (write_wfdb, "a.hea", {"storage": "24"}),
    "WFDB 80": (write_wfdb, "a.hea", {"storage": "80", "gain": 40}),
    **{f"WFDB {kind}": (partial(_write_packed, storage=kind), "a.hea", {}) for kind in ("8", "61", "310", "311")},
    "WFDB 516": (write_wfdb, "a.hea", {"storage": "516", "file_per_lead": True}),
    "EDF": (write_edf, "a.edf", {}),
    "BDF+": (
        write_edf,
        "a.edf",
        {"plus": True, "bits": 24, "physical": (-8192, 8192), "digital": (-(2**23), 2**23 - 1)},
    ),
    "NPY": (write_npy, "a.npy", {}),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(("start", "duration"), [(0, 1), (1.234, 1.5), (2.002, None), (3.1, 100)])
def test_a_part_is_the_part_of_the_whole(name, start, duration, tmp_path, ecg):
    write, file, options = WRITERS[name]
    step = write(tmp_path / file, ecg, 500, **options)
    reading = {"sampling_rate": 500, "unit": "mV"} if name == "NPY" else {}
    whole, part = (
        read_ecg(tmp_path / file, **reading, **wanted) for wanted in ({}, {"start": start, "duration": duration})
    )
    first = round(start * 500)
    last = None if duration is None else first + round(duration * 500)
    np.testing.assert_array_equal(part.signal, whole.signal[:, first:last])
    assert np.abs(whole.signal - ecg).max() <= step / 2 + 1e-6
    assert part.total_duration == whole.total_duration == 4
    assert part.notes == whole.notes == () or name == "BDF+"


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_begins_after_the_end(name, tmp_path, ecg):
    write, file, options = WRITERS[name]
    write(tmp_path / file, ecg, 500, **options)
    reading = {"sampling_rate": 500, "unit": "mV"} if name == "NPY" else {}
    with pytest.raises(ECGFileError, match="it has 4 s, so nothing from 4 s on"):
        read_ecg(tmp_path / file, start=4, **reading)


def test_skewed_signals(tmp_path, ecg):
    counts = np.round(ecg * 1000).astype(int)
    skews = [0, 3, 10, *[0] * 9]
    # A skewed lead is stored so many samples later.
    stored = np.array([np.roll(row, skew) for row, skew in zip(counts, skews, strict=True)])
    (tmp_path / "a.dat").write_bytes(stored.T.astype("<i2").tobytes())
    lines = [
        f"a.dat 16:{skew} 1000/mV 16 0 {row[0]} {row.sum() % 65536} 0 {lead}"
        for lead, skew, row in zip(LEADS, skews, stored, strict=True)
    ]
    (tmp_path / "a.hea").write_text("\n".join([f"a 12 500 {counts.shape[1]}", *lines, ""]))
    record = read_ecg(tmp_path / "a.hea")
    assert record.notes == ()
    for row, true, skew in zip(record.signal, counts / 1000, skews, strict=True):
        n = len(row) - skew
        np.testing.assert_allclose(row[:n], true[:n], atol=1e-12)
        assert np.isnan(row[n:]).all()
    part = read_ecg(tmp_path / "a.hea", start=1, duration=1)
    np.testing.assert_array_equal(part.signal, record.signal[:, 500:1000])


def test_leads_of_several_samples_a_frame(tmp_path, ecg):
    counts = np.round(ecg * 1000).astype("<i2")
    breathing = np.arange(counts.shape[1] // 4, dtype="<i2")
    frames = np.concatenate(
        [counts.reshape(12, -1, 4).transpose(1, 0, 2).reshape(len(breathing), -1), breathing[:, None]], 1
    )
    (tmp_path / "a.dat").write_bytes(frames.tobytes())
    lines = [*(f"a.dat 16x4 1000/mV 16 0 0 0 0 {lead}" for lead in LEADS), "a.dat 16 1/l 16 0 0 0 0 Resp"]
    (tmp_path / "a.hea").write_text("\n".join([f"a 13 125 {len(breathing)}", *lines, ""]))
    record = read_ecg(tmp_path / "a.hea", start=0.506, duration=1)
    assert record.sampling_rate == 500
    np.testing.assert_allclose(record.signal, counts[:, 253:753] / 1000, atol=1e-12)


@pytest.mark.parametrize("byte", [b"<", b"\x02\x00\x00\x00UL", b"PK\x03\x04", b"0       ", b"%PDF"])
def test_a_signal_file_may_begin_with_any_bytes(byte, tmp_path, ecg):
    write_wfdb(tmp_path / "a.hea", ecg, 500)
    data = (tmp_path / "a.dat").read_bytes()
    (tmp_path / "a.dat").write_bytes(byte + data[len(byte) :])
    assert read_ecg(tmp_path / "a.dat", start=1).source_format == "WFDB"


def _write_header(text: str, size: int = 10_000) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(text)
        path.with_suffix(".dat").write_bytes(bytes(size))

    return write


def _write_edf_claim(path: Path) -> None:
    write_edf(path, np.zeros((12, 1000)), 500)
    data = bytearray(path.read_bytes())
    data[236:244], data[256 + 12 * 216 : 256 + 12 * 224] = b"99999999", b"99999999" * 12
    path.write_bytes(data)


BOMBS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "NPZ of bytes": ("a.npz", lambda path: write_zeros_npz(path, "<u1", (12, 2**24), 12 * 2**24)),
    "NPZ of long doubles": ("a.npz", lambda path: write_zeros_npz(path, "<f16", (12, 2**27), 2**20)),
    "MAT": ("a.mat", lambda path: write_zeros_mat(path, pack_zeros("val", (12, 2**24), 12 * 2**24))),
    "MAT of many variables": (
        "a.mat",
        lambda path: write_zeros_mat(path, *(pack_zeros(f"v{i}", (12, 2**22), 12 * 2**22) for i in range(3))),
    ),
    "WFDB, samples": ("a.hea", _write_header("a 1 500 99999999999\na.dat 16 200/mV 16 0 0 0 0 I\n")),
    "WFDB, signals": ("a.hea", _write_header("a 999999999 500 10\na.dat 16 200/mV 16 0 0 0 0 I\n")),
    "WFDB, samples per frame": ("a.hea", _write_header("a 1 500\na.dat 16x999999999 200/mV 16 0 0 0 0 I\n")),
    "WFDB, skew": ("a.hea", _write_header("a 1 500 5000\na.dat 16:1000000000 200/mV 16 0 0 0 0 I\n")),
    "WFDB, FLAC": ("a.hea", _write_header("a 1 500 999999999\na.dat 516x99 200/mV 16 0 0 0 0 I\n")),
    "EDF": ("a.edf", _write_edf_claim),
    "NPY, header": ("a.npy", lambda path: path.write_bytes(b"\x93NUMPY\2\0\xff\xff\xff\xff" + b"(" * 2**24)),
    "NPY, shape": (
        "a.npy",
        lambda path: path.write_bytes(
            b"\x93NUMPY\1\0\x80\0" + b"{'descr':'<f8','fortran_order':False,'shape':(12,10**9,)}".ljust(127) + b"\n"
        ),
    ),
    "CSV, a cell": ("a.csv", lambda path: path.write_text("I,II\n" + "1" * 2**24 + ",2\n" + "3,4\n" * 600)),
    "CSV, columns": ("a.csv", lambda path: path.write_text(("1," * 2**22 + "1\n") * 3)),
    "CSV, rows": ("a.csv", lambda path: path.write_text("1\n" * 2**24)),
    "CSV, a name": ("a.csv", lambda path: path.write_text("_" * 2**20 + ",x\n" + "1,2\n" * 600)),
    "CSV, all": ("a.csv", lambda path: path.write_bytes(b"1\n" * 2**27)),
    "CSV, gaps": ("a.csv", lambda path: path.write_text("time" + " " * 2**20 + ",x\n" + "1,2\n" * 600)),
}
_READ = """
import resource, sys
import pandas, wfdb
from omi_estimators.readers import ECGFileError, read_ecg
resource.setrlimit(resource.RLIMIT_AS, ({most}, {most}))
try:
    print(read_ecg(sys.argv[1], sampling_rate=500, unit="mV"))
except ECGFileError as error:
    print("refused:", error)
"""


def _read_in_little_memory(path: Path, most: int = MOST_BYTES) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _READ.format(most=most), str(path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_would_take_all_memory_is_refused(name, tmp_path):
    file, write = BOMBS[name]
    write(tmp_path / file)
    said = _read_in_little_memory(tmp_path / file)
    assert said.startswith("refused:")
    assert "more memory than there is" not in said


@pytest.mark.parametrize("kind", ["WFDB", "EDF"])
def test_a_day_is_longer_than_what_is_read_at_once(kind, tmp_path, ecg):
    n = 24 * 3600 * 500
    if kind == "WFDB":
        path = tmp_path / "a.hea"
        lines = [f"a.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in LEADS]
        path.write_text("\n".join([f"a 12 500 {n}", *lines, ""]))
        data, start = tmp_path / "a.dat", 0
        blocks = np.round(ecg.T * 1000).astype("<i2").tobytes()
    else:
        path = data = tmp_path / "a.edf"
        write_edf(path, ecg, 500, physical=(-32768, 32767))
        content = bytearray(path.read_bytes())
        start = 256 * (int(content[252:256]) + 1)
        blocks = bytes(content[start:])
        content[236:244] = b"86400   "
        assert content[244:252] == b"1       "
        path.write_bytes(content[:start])
    size = start + len(blocks) // 4 * 24 * 3600
    with data.open("ab") as file:
        # Nothing is stored of what is not written.
        file.truncate(size)
    with data.open("r+b") as file:
        file.seek(size - len(blocks))
        file.write(blocks)
    record = read_ecg(path, start=24 * 3600 - 4, duration=10)
    assert record.total_duration == 24 * 3600
    assert np.abs(record.signal - ecg).max() < 0.0011
    with pytest.raises(ECGFileError, match=r"would take 3\.86 GiB.*give duration="):
        read_ecg(path)
