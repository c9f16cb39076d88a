"""What becomes of broken fields in WFDB, EDF and BDF, and of tables and arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from readers.broken import Broken
from readers.writers import ABOUT, write_csv, write_edf, write_mat, write_npy, write_wfdb
from scipy.io import savemat

from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.leads import LEADS

RATE = 500
PLAIN = {"sampling_rate": RATE, "unit": "mV"}
CHART = ("age", "sex", "patient_id", "recording_time")


@cache
def _ecg() -> np.ndarray:
    data = make_omi_ecgs(1, records_per_patient=1, noise=0, duration=2, sampling_rate=RATE, random_state=3)
    return data.X[0].astype(np.float64)


def keeps(*lost: str, note: str = "", missing: Sequence[str] = (), has: Sequence[str] = ()) -> Callable[[Any], None]:
    """Return a check that the signal is whole, and all of the chart but what is lost, of which a note speaks.

    Of a format that has no such field, `has` names those that it has.
    """

    def check(record: Any) -> None:
        there = [lead not in missing for lead in LEADS]
        assert record.missing_leads == tuple(missing)
        assert np.abs(record.signal[there] - _ecg()[there]).max() < 0.002
        for name in has:
            value = getattr(record, name)
            if name in lost:
                assert value is None, name
            elif name == "age":
                assert ABOUT.age <= value < ABOUT.age + 1
            else:
                assert value == getattr(ABOUT, name), name
        # BDF+ and EDF+ are written with breathing.
        said = " ".join(text for text in record.notes if "Resp chest" not in text)
        assert re.search(note, said), said
        assert bool(said) == bool(note), said

    return check


def _wfdb(what: str, how: str, outcome: str, old: str, new: str, check: Any, **reading: Any) -> Broken:
    """Return a row of WFDB, of which a pattern in the header is replaced, in Latin-1."""

    def write(folder: Path) -> Path:
        path = folder / "ecg.hea"
        write_wfdb(path, _ecg(), RATE)
        text, n = re.subn(old, new, path.read_text(encoding="ascii"), flags=re.MULTILINE)
        assert n
        path.write_bytes(text.encode("utf-16" if how == "in UTF-16" else "latin-1"))
        return path

    return Broken("WFDB", what, how, outcome, write, check, reading)


def _wfdb_keeps(*lost: str, note: str = "") -> Callable[[Any], None]:
    return keeps(*lost, note=note, has=("age", "sex", "recording_time"))


FIELDS = {"patient": (8, 80), "recording": (88, 80), "day": (168, 8), "clock": (176, 8), "n_header": (184, 8)}
FIELDS |= {"reserved": (192, 44), "n_blocks": (236, 8), "block_duration": (244, 8)}
# Of each signal; what stands before, and the width, in bytes.
OF_SIGNALS = {"label": (0, 16), "transducer": (16, 80), "unit": (96, 8), "low": (104, 8), "filter": (136, 80)}
KINDS = {"EDF": (16, False), "EDF+": (16, True), "BDF": (24, False), "BDF+": (24, True)}


def _edf(
    kind: str, what: str, how: str, outcome: str, field: str, new: bytes, check: Any, also: Any = None, **reading: Any
) -> Broken:
    """Return a row of EDF or its kin, of which a field of the file or of each signal is replaced."""
    bits, plus = KINDS[kind]

    def write(folder: Path) -> Path:
        path = folder / "ecg.edf"
        ranges = {} if bits == 16 else {"physical": (-262144, 262143), "digital": (-8388608, 8388607)}
        write_edf(path, _ecg(), RATE, bits=bits, plus=plus, **ranges)
        data = bytearray(path.read_bytes())
        n_signals = int(data[252:256])
        if field in FIELDS:
            start, width = FIELDS[field]
            places = [start]
        else:
            start, width = OF_SIGNALS[field]
            places = [256 + start * n_signals + width * i for i in range(n_signals)]
        for place in places:
            data[place : place + width] = new.ljust(width)[:width]
        path.write_bytes(also(bytes(data)) if also is not None else data)
        return path

    return Broken(kind, what, how, outcome, write, check, reading)


def _write_sleep(folder: Path) -> Path:
    """Write leads I and II beside an electroencephalogram."""
    path = folder / "ecg.edf"
    write_edf(path, _ecg()[:5], RATE, leads=("ECG I", "ECG II", "C3", "C4", "O2"), label="{}")
    return path


def _edf_keeps(*lost: str, note: str = "") -> Callable[[Any], None]:
    return keeps(*lost, note=note, has=CHART)


def _table(
    what: str, how: str, outcome: str, change: Callable[[str], str | bytes], check: Any, **reading: Any
) -> Broken:
    """Return a row of CSV, of which the text is changed."""

    def write(folder: Path) -> Path:
        path = folder / "ecg.csv"
        write_csv(path, _ecg(), RATE)
        changed = change(path.read_text(encoding="utf-8"))
        path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())
        return path

    return Broken("CSV", what, how, outcome, write, check, PLAIN | reading)


def _header(names: Sequence[object], separator: str = ",") -> Callable[[str], str]:
    """Return what puts other names into the first line of a table."""
    return lambda text: f"{separator.join(map(str, names))}\n{text.partition(chr(10))[2]}"


def _columns(change: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    """Return what changes the cells of each line of a table."""
    return lambda text: "".join(f"{','.join(change(line.split(',')))}\n" for line in text.splitlines())


def _ends_in_gap(record: Any) -> None:
    """Check that the samples are there, and one of no value after them."""
    assert np.isnan(record.signal[:, -1]).all()
    assert np.abs(record.signal[:, :-1] - _ecg()).max() < 0.002


def _array(
    format: str, what: str, how: str, outcome: str, write: Callable[[Path], None], check: Any, **reading: Any
) -> Broken:
    def save(folder: Path) -> Path:
        path = folder / f"ecg.{format.lower()}"
        write(path)
        return path

    return Broken(format, what, how, outcome, save, check, PLAIN | reading)


def _write_npz(path: Path) -> None:
    """Write an archive whose second member is damaged."""
    np.savez(path, signal=_ecg(), other=np.arange(1000.0))
    data = path.read_bytes()
    path.write_bytes(data.replace(np.arange(1000.0).tobytes(), bytes(8000)))


def _write_mat(path: Path) -> None:
    """Write a file that does not say at its beginning what it is."""
    write_mat(path, _ecg(), RATE)
    path.write_bytes(b"\xff" * 100 + path.read_bytes()[100:])


NUMBERED = "twelve leads in their usual order, with a note"
NO_V = ("V1", "V2", "V3", "V4", "V5", "V6")
MOMENT = r"09:26:53 15/03/2024"
AS_WRITTEN = "as it was meant"
NOTED = "None, with a note"

WFDB_ROWS = [
    _wfdb("date", "31-Feb-2024", NOTED, MOMENT, "09:26:53 31-Feb-2024", _wfdb_keeps("recording_time", note="time")),
    _wfdb("date", "in another style, before the time", AS_WRITTEN, MOMENT, "15-Mar-2024 09:26:53", _wfdb_keeps()),
    _wfdb("time", "25:61:00", NOTED, MOMENT, "25:61:00 15/03/2024", _wfdb_keeps("recording_time", note="25:61")),
    _wfdb("time", "absent", "midnight", MOMENT, "2024/03/15", keeps(has=("age", "sex"))),
    _wfdb("counter", "500/x(?)", "not read", r"^ecg 12 500 ", "ecg 12 500/x(?) ", _wfdb_keeps()),
    _wfdb("name of the record", "with a suffix", "not read", "^ecg 12", "ecg.mat 12", _wfdb_keeps()),
    _wfdb("number of samples", "no number", "counted, with a note", " 1000 09", " 1k 09", _wfdb_keeps(note="'1k'")),
    _wfdb("resolution, first value", "no numbers", "not read", "/mV 16 0 -?[0-9]+", "/mV ? 0 ?", _wfdb_keeps()),
    _wfdb("checksum", "no number", "not compared", r" -?\d+ 0 (\S+)$", r" ? 0 \1", _wfdb_keeps()),
    _wfdb("size of blocks", "no number", "not read", r" 0 (\S+)$", r" ? \1", _wfdb_keeps()),
    _wfdb("comments", "in Latin-1", "read", "^# ?Dx", "# S\xfcd\n#Dx", _wfdb_keeps()),
    _wfdb("all of the header", "in UTF-16", "read", "^# ?Dx", "# S\xfcd\n#Dx", _wfdb_keeps()),
    _wfdb("age", "no number", NOTED, r"Age: \d+", "Age: old", _wfdb_keeps("age", note="age .*'old'")),
    _wfdb("age", "-1 or NaN", NOTED, r"Age: \d+", "Age: -1", _wfdb_keeps("age", note="age .*'-1'")),
    _wfdb("age", "792mo", AS_WRITTEN, r"Age: \d+", "Age: 792mo", _wfdb_keeps()),
    _wfdb("age", "60-70", NOTED, r"Age: \d+", "Age: 60-70", _wfdb_keeps("age", note="age .*'60-70'")),
    _wfdb("sex", "another word", NOTED, r"Sex: \w+", "Sex: 7", _wfdb_keeps("sex", note="sex .*'7'")),
    _wfdb("unit", "µV in Latin-1", "read", r"1000.0\(0\)/mV", "1.0(0)/\xb5V", _wfdb_keeps()),
    _wfdb("unit", "no voltage", "error", "/mV", "/mmHg", "unit='uV' or 'mV'"),
    _wfdb("unit", "??, unit='mV'", "the caller's, with a note", "/mV", "/??", _wfdb_keeps(note="mV was"), unit="mV"),
    _wfdb("unit", "another than unit='uV'", "error", "/mV", "/mV", "is in mV, but unit='uV'", unit="uV"),
    _wfdb("gain", "0 or no number", "error", r"1000.0\(0\)/mV", "x(0)/mV", "has no gain"),
    _wfdb("baseline", "no number", "error", r"\(0\)", "(x)", "zero of its signal I"),
    _wfdb("sampling rate", "no number", "error", "^ecg 12 500", "ecg 12 x", "give sampling_rate="),
    _wfdb(
        "sampling rate", "no number, sampling_rate=500", "the caller's, with a note", "^ecg 12 500", "ecg 12 x",
        _wfdb_keeps(note="500 Hz was given"), sampling_rate=500,
    ),
    _wfdb("number of signals", "more than lines", "error", "^ecg 12", "ecg 13", "13.* signals"),
    _wfdb("format", "unknown", "error", "dat 16 ", "dat 17 ", "none of a signal"),
    _wfdb("skew", "longer than the record", "error", "dat 16 ", "dat 16:1000000000 ", "skewed by 1000000000"),
    _wfdb("samples per frame", "more than there are", "error", "dat 16 ", "dat 16x999999 ", "cut short"),
    _wfdb("lines of signals", "one too many", "not read", "^# ?Age", "ecg.dat 16\n# Age", _wfdb_keeps()),
]  # fmt: skip

EDF_ROWS = [
    *(
        row
        for kind in KINDS
        for row in (
            _edf(kind, "patient", "placeholders", "None", "patient", b"anonymous X X X",
                 _edf_keeps("patient_id", "age", "sex")),
            _edf(kind, "patient", "free text", NOTED, "patient", b"M\xfcller, Eva",
                 _edf_keeps("patient_id", "age", "sex", note="patient field")),
            _edf(kind, "time of day", "no time", NOTED, "clock", b"9 o'clock",
                 _edf_keeps("recording_time", "age", note="time of day")),
            _edf(kind, "unit", "µV in Latin-1", "read", "unit", b"\xb5V", _edf_keeps()),
            _edf(kind, "number of blocks", "-1, as while it records", "counted, with a note", "n_blocks", b"-1",
                 _edf_keeps(note="counted")),
            _edf(kind, "end", "cut in a block", "error", "transducer", b"", "it is cut", lambda data: data[:-1]),
        )
    ),
    _edf("EDF", "patient", "an id alone", "the id", "patient", b"PAT-0042", _edf_keeps("age", "sex")),
    _edf("EDF+", "day of birth", "31-FEB-1957", NOTED, "patient", b"PAT-0042 F 31-FEB-1957 X",
         _edf_keeps("age", note="day of birth")),
    _edf("EDF+", "day", "broken in one of its fields", "from the other", "recording", b"Startdate soon X X X",
         _edf_keeps()),
    _edf("EDF", "day", "broken in both of its fields", NOTED, "recording", b"",
         _edf_keeps("recording_time", "age", note="day of the recording .*'99.99.99'"),
         lambda data: data[:168] + b"99.99.99" + data[176:]),
    _edf("EDF", "transducer", "any bytes", "not read", "transducer", b"\xff\xfe\0" * 26, _edf_keeps()),
    _edf("EDF", "filter", "any bytes", "not read", "filter", b"\xff\xfe\0" * 26, _edf_keeps()),
    _edf("EDF", "reserved field", "any bytes", "not read", "reserved", b"\xff\0" * 22, _edf_keeps()),
    _edf("EDF", "length of the header", "no number", "that of its signals, with a note", "n_header", b"x",
         _edf_keeps(note="length of the header")),
    _edf("EDF", "duration of a block", "no number", "error", "block_duration", b"x", "give sampling_rate="),
    _edf("EDF", "duration of a block", "no number, sampling_rate=500", "the caller's, with a note", "block_duration",
         b"x", _edf_keeps(note="500 Hz was given"), sampling_rate=500),
    Broken("EDF", "label", "C3 and C4 of the head, beside I and II", "left out, with a note", _write_sleep,
           keeps(note="C3 .EEG., C4 .EEG., O2$|C3 .EEG., C4 .EEG., O2.", missing=NO_V)),
    _edf("EDF", "unit", "µV in UTF-8", "read", "unit", b"\xc2\xb5V", _edf_keeps()),
    _edf("EDF", "unit", "µV in code page 437", "read", "unit", b"\xe6V", _edf_keeps()),
    _edf("EDF", "unit", "μV in ISO 8859-7", "read", "unit", b"\xecV", _edf_keeps()),
    _edf("EDF", "unit", ".V", "error", "unit", b".V", "is in '.V'.* give unit="),
    _edf("EDF", "unit", ".V, unit='uV'", "the caller's, with a note", "unit", b".V",
         _edf_keeps(note="'.V'"), unit="uV"),
    _edf("EDF", "unit", "none, unit='uV'", "the caller's", "unit", b"", _edf_keeps(), unit="uV"),
    _edf("EDF", "unit", "another than unit='mV'", "error", "unit", b"uV", "is in uV, but unit='mV'", unit="mV"),
    _edf("EDF", "range", "no number", "error", "low", b"x", "for x to"),
    _edf("EDF", "end", "further bytes", "left out, with a note", "transducer", b"", _edf_keeps(note="7 bytes after"),
         lambda data: data + b"1234567"),
]  # fmt: skip

CSV_ROWS = [
    _table("names", "0 to 11", NUMBERED, _header(range(12)), keeps(note="usual order")),
    _table("names", "lead 1 to lead 12", NUMBERED, _header([f"lead {i}" for i in range(1, 13)]), keeps(note="usual")),
    _table("names", "V1 to V12, as R makes them", NUMBERED, _header([f"V{i}" for i in range(1, 13)]),
           keeps(note="usual order")),
    _table("names", "ch1 to ch11, and one more", "error", _header([*(f"L{i}" for i in range(1, 12)), "x"]),
           "are not twelve"),
    _table("names", "Lead-I, Lead_II", "read", _header(["Lead-I", "Lead_II", *LEADS[2:]]), keeps()),
    _table("unit in the names", "of each column", "read", _columns(
        lambda cells: [f"{cells[0]} [\xb5V]" if cells[0] == "I" else str(1000 * float(cells[0])),
                       *(f"{cell} [mV]" if cell in LEADS else cell for cell in cells[1:])]), keeps(), unit=None),
    _table("unit in the names", "another than unit='uV'", "error", _header([f"{lead} [mV]" for lead in LEADS]),
           "is in mV, but unit='uV'", unit="uV"),
    _table("unit in the names", "no voltage", "the caller's, with a note", _header([f"{lead} [?]" for lead in LEADS]),
           keeps(note="mV was given")),
    _table("unit in a row", "[mV]", "read",
           lambda text: text.replace("\n", f"\n{','.join(['[mV]'] * 12)}\n", 1), keeps(), unit=None),
    _table("unit in a row", "no voltage", "the caller's, with a note",
           lambda text: text.replace("\n", f"\n{','.join(['adc'] * 12)}\n", 1), keeps(note="'adc'")),
    _table("names", "another than of leads=", "error", str, "a column I, but leads= says V6", leads=LEADS[::-1]),
    _table("names of rows", "without a name, as R writes them", "left out, with a note", lambda text: "\n".join(
        [line if i == 0 else f'"{i}",{line}' for i, line in enumerate(text.splitlines())]), keeps(note="numbers of")),
    _table("lines before the names", "of other things", "left out, with a note",
           lambda text: f"Name,Somebody\nRate,500\n{text}", keeps(note="2 lines before")),
    _table("lines before the names", "sep=, as Excel wants it", "not read", lambda text: f"sep=,\n{text}", keeps()),
    _table("decimal sign", "a comma, in quotes", "read", _columns(
        lambda cells: [f'"{cell.replace(".", ",")}"' for cell in cells]), keeps()),
    _table("columns", "empty", "missing leads", _columns(
        lambda cells: cells[:6] + (cells[6:] if cells[0] == "I" else [""] * 6)), keeps(missing=NO_V)),
    _table("columns", "of another kind", "left out, with a note", _columns(
        lambda cells: [*cells, "beat" if cells[0] == "I" else "N"]), keeps(note="none of the twelve leads: beat")),
    _table("column of times", "of the clock", "left out, with a note", _columns(
        lambda cells: ["time" if cells[0] == "I" else "10:00:00.002", *cells]), keeps(note="no numbers, time")),
    _table("encoding", "UTF-16 with tabs, as Excel has it", "read",
           lambda text: text.replace(",", "\t").encode("utf-16"), keeps()),
    _table("encoding", "Latin-1", "read", lambda text: f"# S\xfcd\n{text}".encode("latin-1"), keeps()),
    _table("cells", "a text", "error", lambda text: text.replace("0.1", "high", 1), "no table of numbers"),
    _table("cells", "#N/A, as Excel writes it", "NaN", lambda text: f"{text}{','.join(['#N/A'] * 12)}\n",
           _ends_in_gap),
    _table("rows", "of fewer cells", "error", lambda text: text.rstrip().rpartition(",")[0], "have not 12 cells"),
]  # fmt: skip

ARRAY_ROWS = [
    _array("NPZ", "other arrays", "damaged", "not read", _write_npz, keeps()),
    _array("NPZ", "name of the array", "unusual, among single numbers", "read",
           lambda path: np.savez(path, mine=_ecg(), rate=500, leads=np.array(LEADS)), keeps()),
    _array("NPY", "header", "more values than follow", "error",
           lambda path: (write_npy(path, _ecg(), RATE), path.write_bytes(path.read_bytes()[:-1]))[0], "it is cut"),
    _array("MAT", "text at the beginning", "any bytes", "not read", _write_mat, keeps(), unit="uV"),
    _array("MAT", "array", "in a structure", "read",
           lambda path: savemat(path, {"ECG": {"sex": "Male", "age": 50.0, "data": _ecg()}}, do_compression=True),
           keeps()),
]  # fmt: skip

ROWS: list[Broken] = [*WFDB_ROWS, *EDF_ROWS, *CSV_ROWS, *ARRAY_ROWS]
