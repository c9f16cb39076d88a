"""One ECG for each record: what belongs to another file is none of its own."""

from __future__ import annotations

import numpy as np
import pytest

from omi_estimators.readers import ECGRecord, find_ecg_files, read_ecg

# Words of MIT annotations: a beat after 100 samples, and the end.
_ANNOTATIONS = b"\x64\x04\x00\x00"


@pytest.fixture
def record(tmp_path, make_ecg):
    """Return a WFDB record with annotations of several names, in a folder of its own."""
    pytest.importorskip("wfdb")
    (tmp_path / "ecgs").mkdir()
    header = ECGRecord(make_ecg()[0], 500, "made").to_wfdb(tmp_path / "ecgs" / "1")
    for suffix in ("atr", "i", "ii", "avf", "v6", "qrs"):
        (header.parent / f"1.{suffix}").write_bytes(_ANNOTATIONS)
    return header


def test_a_wfdb_record_is_its_header(record):
    assert find_ecg_files([record.parent]) == [record]
    assert find_ecg_files(sorted(record.parent.iterdir())) == [record]
    assert find_ecg_files([record.parent, record, record.with_suffix("")]) == [record]


def test_without_its_header_in_the_list_a_record_is_still_one(record):
    [found] = find_ecg_files([path for path in sorted(record.parent.iterdir()) if path.suffix != ".hea"])
    assert (read_ecg(found).signal == read_ecg(record).signal).all()
    assert find_ecg_files([record.with_suffix(".dat")]) == [record.with_suffix(".dat")]


def test_signals_of_another_name_belong_to_the_header_that_names_them(record):
    signals = record.with_suffix(".dat").rename(record.parent / "other.bin")
    record.write_text(record.read_text().replace("1.dat", "other.bin"))
    assert signals not in find_ecg_files([record.parent])


def test_segments_belong_to_the_record_of_several(record):
    long = record.parent / "long.hea"
    long.write_text("long/1 12 500 5000\n1 5000\n")
    assert find_ecg_files([record.parent]) == [long]


def test_what_lies_beside_an_ecg_is_none(tmp_path):
    (tmp_path / "a.xml").write_text("<?xml version='1.0'?><RestingECG></RestingECG>")
    np.save(tmp_path / "b.npy", np.zeros((12, 5000)))
    for name in ("a.pdf", "a.json", "a.csv", "a.xml.md5", "b.txt", "DICOMDIR", "RECORDS", "LICENSE.txt", ".hidden"):
        (tmp_path / name).write_bytes(b"%PDF" if name == "a.pdf" else b"text")
    assert [path.name for path in find_ecg_files([tmp_path])] == ["a.xml", "b.npy"]


def test_what_stands_alone_or_is_an_ecg_itself_stays(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((12, 5000)))
    (tmp_path / "a.edf").write_bytes(b"0       ")
    for name in ("b.csv", "b.txt", "unknown.bin"):
        (tmp_path / name).write_text("1,2")
    names = ["a.edf", "a.npy", "b.csv", "b.txt", "unknown.bin"]
    assert [path.name for path in find_ecg_files([tmp_path])] == names
    assert find_ecg_files([tmp_path / "no.xml"]) == [tmp_path / "no.xml"]
