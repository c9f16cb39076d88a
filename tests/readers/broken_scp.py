"""Broken fields of SCP-ECG."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from readers._writing_scp import NOT_COMPUTED, tag
from readers.broken import Broken
from readers.writers import ABOUT, write_scp

from omi_estimators.datasets import make_omi_ecgs

_ECG = make_omi_ecgs(1, records_per_patient=1, noise=0, duration=2, random_state=3).X[0].astype(float)
Edit = Callable[[dict[int, bytes]], None]


def _writing(edit: Edit | None = None, change: Callable[[bytes], bytes] = bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "ecg.scp"
        write_scp(path, _ECG, 500, edit=edit)
        path.write_bytes(change(path.read_bytes()))
        return path

    return write


def _tag(number: int, value: bytes) -> Edit:
    """Return what puts a field of section 1 first, where it counts."""
    return lambda sections: sections.update({1: tag(number, value) + sections[1]})


def _expect(note: str = "", **fields: Any) -> Callable[[Any], None]:
    def check(record: Any) -> None:
        for name, value in fields.items():
            found = getattr(record, name)
            assert found == value, (name, found)
        assert record.missing_leads == ()
        assert (note == "" and record.notes == ()) or (note and any(note in each for each in record.notes)), (
            record.notes
        )

    return check


def _lacks(*names: str, note: str = "") -> Callable[[Any], None]:
    measurements = {name: value for name, value in ABOUT.measurements.items() if name not in names}
    return _expect(note, measurements=measurements)


def _measure(at: int, value: int) -> Edit:
    return lambda sections: sections.update({7: sections[7][:at] + struct.pack("<H", value) + sections[7][at + 2 :]})


def _row(what: str, how: str, outcome: str, edit: Edit, check: Callable[[Any], None]) -> Broken:
    return Broken("SCP-ECG", what, how, outcome, _writing(edit), check)


ROWS = [
    _row(
        "age",
        "of an unknown unit",
        "age by the birth date, with a note",
        _tag(4, b"\x42\0\x07"),
        _expect("The age cannot", age=24302 / 365.25),
    ),
    _row(
        "age",
        "of 300 years",
        "age by the birth date, with a note",
        _tag(4, b"\x2c\1\1"),
        _expect("300 years", age=24302 / 365.25),
    ),
    _row(
        "age",
        "of one byte",
        "age by the birth date, with a note",
        _tag(4, b"\x42"),
        _expect("The age cannot", age=24302 / 365.25),
    ),
    _row("sex", "code 7", "None, with a note", _tag(8, b"\7"), _expect("The sex cannot be read", sex=None)),
    _row(
        "birth date",
        "of a 13th month",
        "None, with a note",
        _tag(5, b"\xe8\7\x0d\x01"),
        _expect("The birth date", age=66),
    ),
    _row(
        "recording date",
        "of 45 March",
        "None, with a note",
        _tag(25, b"\xe8\7\3\x2d"),
        _expect("The recording date", recording_time=None),
    ),
    _row(
        "recording time",
        "at 25 h",
        "None, with a note",
        _tag(26, b"\x19\0\0"),
        _expect("The recording time", recording_time=None),
    ),
    _row("patient id", "UNKNOWN", "None", _tag(2, b"UNKNOWN\0"), _expect(patient_id=None)),
    _row(
        "patient id",
        "in Latin-1 that is not announced",
        "read",
        _tag(2, "Zoë".encode("latin-1")),
        _expect(patient_id="Zoë"),
    ),
    _row(
        "patient data",
        "cut",
        "what stands before, with a note",
        lambda s: s.update({1: tag(2, b"A") + b"\x0e\xff\xff"}),
        _expect("patient data are cut", patient_id="A", age=None),
    ),
    _row(
        "patient data",
        "a field of a wrong length",
        "read",
        lambda s: s.update({1: b"\x08\xff\xff\1" + tag(2, b"A")}),
        _expect(patient_id="A", sex="male"),
    ),
    _row("patient data", "absent", "None", lambda s: s.pop(1), _expect(patient_id=None, sex=None, recording_time=None)),
    _row("measurements", "absent", "none", lambda s: s.pop(7), _expect(measurements={})),
    _row(
        "measurements",
        "cut",
        "none, with a note",
        lambda s: s.update({7: b"\1"}),
        _expect("The measurements", measurements={}),
    ),
    _row("measurements", "not computed (29999)", "left out", _measure(6, NOT_COMPUTED), _lacks("pr", "p_duration")),
    _row("measurements", "P longer than PR", "left out", _measure(8, 390), _lacks("p_duration")),
    _row(
        "statements",
        "cut",
        "none, with a note",
        lambda s: s.update({8: s[8][:20]}),
        _expect("The statements", statements=()),
    ),
    Broken(
        "SCP-ECG",
        "checksum",
        "of other bytes",
        "read, with a note",
        _writing(change=lambda data: b"\1\2" + data[2:]),
        _expect("The checksum is not that of the bytes: the whole file."),
    ),
]
