"""WFDB records: a header, and files of samples beside it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators._compat import read_wfdb_samples
from omi_estimators.readers._fields import choose_unit, decode_text, to_clock, to_date, to_millivolts, to_number
from omi_estimators.readers._leads import arrange_leads, choose_rate, common_rate, find_lead, make_record, name_numbered
from omi_estimators.readers._record import ECGFileError, ECGRecord, Source, check_size, naming_file

_AGE = re.compile(
    r"\bage\b>?\s{0,8}[:=]?\s{0,8}(\d{1,6}(?:\.\d{1,20})?)(?!\d|\.\d|[ \t]?-[ \t]?\d)"
    r"(?:([ymwdh])\b|[ \t]{0,4}(month|mth|mo|week|wk|day|hour|hr))?",
    re.IGNORECASE,
)
_SAID_AGE = re.compile(r"\bage\b>?[ \t]{0,8}[:=][ \t]{0,8}(\S{1,40})", re.IGNORECASE)
_SEX = re.compile(r"\b(?:sex|gender)\b>?\s{0,8}[:=]?\s{0,8}(\w{1,40})", re.IGNORECASE)
_DIAGNOSIS = re.compile(
    r"\b(?:dx|diagnos[ei]s|reason for admission)\b>?\s{0,8}[:=]?\s{0,8}([^\n]{1,10000})", re.IGNORECASE
)
# What `ECGRecord.to_wfdb` writes.
_DERIVED = re.compile(r"^Derived leads: ([^\n]{1,100})$", re.MULTILINE)
_EXACT = re.compile(r"^Exact count of (\S{1,10}): ([\d.e-]{1,30})$", re.MULTILINE)
_ZONE = re.compile(r"^Time zone: ([+-]\d{4})$", re.MULTILINE)
# Bytes of a sample in each format of signals; in the last three, which are FLAC, it depends on the signal.
_BYTES = {"8": 1, "16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "160": 2, "212": 1.5, "310": 4 / 3, "311": 4 / 3}
_BYTES |= {"508": 0, "516": 0, "524": 0}
# Of a sample, where they are not 16.
_BITS = {"80": 8, "508": 8, "310": 10, "311": 10, "212": 12, "24": 24, "524": 24, "32": 32}
_DEFAULT_RATE = 250.0
_FORMAT = re.compile(r"(\d{1,3})(?:x(\d{1,9}))?(?::(\d{1,12}))?(?:\+(\d{1,12}))?")
_GAIN = re.compile(r"([^(/]*)(?:\(([^)]*)\))?(?:/(.*))?")
_INTEGER = re.compile(r"-?\d{1,12}")


@dataclass(frozen=True, eq=False)
class _Signal:
    """The line of a signal in the header of a record, as far as it is used."""

    file: str
    format: str
    per_frame: int
    skew: int
    offset: int
    gain: str
    fields: list[str]
    """Resolution, zero, first value, checksum and perhaps size of blocks."""
    name: str

    def calibrate(self, counts: NDArray[np.float64], source: Source) -> NDArray[np.float64]:
        """Return counts in millivolts."""
        found = _GAIN.fullmatch(self.gain)
        said, baseline, stated = found.groups() if found is not None else ("", None, None)
        gain = to_number(said) or 0.0
        zero = to_number(baseline if baseline is not None and gain else self.fields[1])
        if zero is None:
            raise ECGFileError(f"the zero of its signal {self.name} cannot be read, {self.gain!r}; it is damaged")
        if gain:
            return (counts - zero) / gain * choose_unit(stated, self.name, source, default="mV")
        if source.unit is None:
            unknown = "has no gain, so its unit is unknown; give unit= of one count if you know it"
            raise ECGFileError(f"its signal {self.name} {unknown}")
        source.notes.append("Signals without a gain were taken for counts of the unit that was given.")
        return (counts - zero) * to_millivolts(source.unit)


def read_wfdb(source: Source) -> ECGRecord:
    """Read a WFDB record, of a long one no more than is asked for.

    Parameters
    ----------
    source : Source
        Its header. With `unit`, the counts of signals without a gain are taken in that unit.

    Returns
    -------
    ECGRecord
        Age, sex and diagnoses from the header's comments, as PhysioNet writes them.

    Raises
    ------
    ECGFileError
        If a signal file is absent, shorter than the header says, or outside the record's folder, if a signal is not
        calibrated, or the leads have different rates.
    """
    named, rate, total, about = _read_record(source)
    # Those of a converted record are derived again, to be what they were.
    derived = about.pop("derived")
    named = {name: row for name, row in named.items() if name not in derived}
    return make_record(source, named.items(), rate, "WFDB", total_duration=total, **about)


def read_wfdb_leads(path: str | os.PathLike[str]) -> tuple[NDArray[np.float64], float]:
    """Read the leads of a WFDB record as the file has them: none is derived, and no value judged.

    For data sets of known quality, where `read_ecg` would look at each record longer than reading it takes.

    Parameters
    ----------
    path : path-like
        The record, without suffix.

    Returns
    -------
    signal : ndarray of shape (12, n_samples)
        Millivolts, leads in the order of `LEADS`; NaN for leads that the record lacks.
    sampling_rate : float
        Hz.

    Raises
    ------
    ECGFileError
        If a file is absent, cut short or damaged, or a signal is not calibrated in a unit of voltage.
    ImportError
        If `wfdb` is not installed (the extra `io`).

    Examples
    --------
    >>> from omi_estimators.readers import read_wfdb_leads
    >>> signal, sampling_rate = read_wfdb_leads("ptb-xl/records500/00000/00001_hr")  # doctest: +SKIP
    >>> signal.shape, sampling_rate  # doctest: +SKIP
    ((12, 5000), 500.0)
    """
    header = Path(f"{os.fspath(path)}.hea")
    with naming_file(header.name):
        if not header.is_file():
            raise ECGFileError(f"the header {header.name} is absent")
        named, rate, *_ = _read_record(Source(header, header.read_bytes()))
        return arrange_leads(named.items(), [])[0], rate


def split_wfdb_header(text: str) -> tuple[list[list[str]], list[str]]:
    """Return the words of each line of a WFDB header, and its comments."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    comments = [line.strip(" \t#") for line in lines if line.startswith("#")]
    return [line.split() for line in lines if not line.startswith("#")], comments


def parse_wfdb_signal(words: list[str]) -> _Signal | None:
    """Return what the words of a line say of a signal, None if it is no such line."""
    found = _FORMAT.fullmatch(words[1]) if len(words) > 1 else None
    if found is None or found[1] not in _BYTES or to_number(words[0]) is not None:
        return None
    # Five numbers stand before the name; the last of them may be left out, and one may be broken.
    last = 3
    while last < min(8, len(words)) and _INTEGER.fullmatch(words[last]):
        last += 1
    if len(words) > 8 and find_lead(" ".join(words[last:])) is None:
        last = 8
    fields = words[3:last] + ["0", "0", "0", ""][last - 3 :]
    per_frame, skew, offset = int(found[2] or 1), int(found[3] or 0), int(found[4] or 0)
    name, gain = " ".join(words[last:]), "".join(words[2:3])
    return _Signal(words[0].removeprefix("./"), found[1], per_frame, skew, offset, gain, fields, name)


def _read_record(source: Source) -> tuple[dict[str, NDArray[np.float64]], float, float, dict[str, Any]]:
    """Return millivolts by the names of the signals, their rate, the record's length in s, and what else it says."""
    notes = source.notes
    lines, comments = split_wfdb_header(decode_text(source.data))
    if len(lines) < 2 or "/" in lines[0][0]:
        raise ECGFileError("it is a WFDB record of several segments, or without signals; give the header of a segment")
    n_signals, said_rate, *words = [*lines[0][1:], "", ""][: max(2, len(lines[0]) - 1)]
    n_lines = len(lines) - 1
    if not _INTEGER.fullmatch(n_signals) or not 0 < int(n_signals) <= n_lines:
        raise ECGFileError(f"its header says {n_signals!r} signals, but has {n_lines} lines of them; it is damaged")
    signals = []
    for line in lines[1 : int(n_signals) + 1]:
        signal = parse_wfdb_signal(line)
        if signal is None or signal.per_frame < 1:
            raise ECGFileError(f"the line {' '.join(line)[:60]!r} of its header is none of a signal; it is damaged")
        signals.append(signal)
    # Of the frames in a second, each of which may have several samples of a lead, only the first number counts here.
    frames = _DEFAULT_RATE if not said_rate else to_number(said_rate.partition("/")[0].partition("(")[0])
    if not said_rate:
        notes.append(f"The header states no sampling rate, which in WFDB means {_DEFAULT_RATE:g} Hz.")
    if frames is None or frames <= 0:
        frames = choose_rate(None, said_rate, source)
    names = name_numbered([signal.name for signal in signals], notes)
    leads = {name: signal for name, signal in zip(names, signals, strict=True) if find_lead(name) is not None}
    if len(leads) < sum(find_lead(name) is not None for name in names):
        raise ECGFileError("it has a lead twice; it is unclear which one is meant")
    if not leads:
        raise ECGFileError(f"it has none of the twelve leads; its signals are {', '.join(names)[:300]}")
    rate = common_rate(frames * signal.per_frame for signal in leads.values())
    is_moment = bool(words) and (to_clock(words[0]) is not None or to_date(words[0]) is not None)
    stated = "" if is_moment else "".join(words[:1])
    rows, n_samples = _read_leads(list(leads.values()), signals, stated, rate, source)
    exact = dict(_EXACT.findall("\n".join(comments)))
    named = dict.fromkeys(names, np.zeros(0))
    for (name, signal), row in zip(leads.items(), rows, strict=True):
        named[name] = _undo_rounding(row, signal, exact.get(name))
    return named, rate, n_samples / rate, _read_about(words if is_moment else words[1:], comments)


def _read_leads(
    leads: list[_Signal], signals: list[_Signal], stated: str, rate: float, source: Source
) -> tuple[list[NDArray[np.float64]], int]:
    """Return the part of the leads that is wanted, in mV, and how many samples there are of each."""
    folder, per_frame = source.path.parent, leads[0].per_frame
    files = {lead.file: [signal for signal in signals if signal.file == lead.file] for lead in leads}
    n_frames = _count_frames(files, folder, stated, source.notes)
    first, last = source.choose_part(n_frames * per_frame, rate)
    skew = max(lead.skew for lead in leads)
    if skew >= n_frames:
        raise ECGFileError(f"a lead in it is skewed by {skew} of {n_frames} samples; its header is damaged")
    # Format 8 has differences, which must be added up from the first one on.
    start = 0 if any(lead.format == "8" for lead in leads) else first // per_frame
    end = min(-(-last // per_frame) + skew, n_frames)
    of_files = [signal for chosen in files.values() for signal in chosen]
    check_size(8.0 * sum(signal.per_frame for signal in of_files) * (end - start), f"its {len(of_files)} signals")
    # The library reads the samples alone; it would stumble over much that headers have.
    read = read_wfdb_samples(
        folder,
        [(i.file, i.format, i.offset, i.per_frame, int(i.fields[2]) if i.format == "8" else 0) for i in of_files],
        [of_files.index(lead) for lead in leads],
        n_frames,
        start,
        end,
    )
    rows, damaged = [], []
    for lead, stored in zip(leads, read, strict=True):
        if len(stored) != (end - start) * per_frame:
            raise ECGFileError(f"its signal file {lead.file} is cut short")
        checksum = to_number(lead.fields[3])
        if (start, end) == (0, n_frames) and checksum is not None:
            damaged += [lead.name] if (int(stored.sum(dtype=np.int64)) - int(checksum)) % 65536 else []
        counts = np.full(last - first, np.nan)
        part = stored[first + (lead.skew - start) * per_frame :][: last - first]
        counts[: len(part)] = part
        # The lowest number that the format has stands for no sample.
        if lead.format != "8":
            counts[counts == -(1 << (_BITS.get(lead.format, 16) - 1))] = np.nan
        rows.append(lead.calibrate(counts, source))
    if damaged:
        what = f"The checksum in the header is not that of the samples: {', '.join(damaged)}"
        source.notes.append(f"{what}. Damaged or edited?")
    return rows, n_frames * per_frame


def _count_frames(files: dict[str, list[_Signal]], folder: Path, stated: str, notes: list[str]) -> int:
    """Return how many frames of samples there are; an ECGFileError if a file is absent or shorter than is stated."""
    n_stated = int(stated) if stated.isdecimal() and len(stated) < 13 else 0
    there = []
    for name, signals in files.items():
        # Else a header could have any file on the disk read.
        if name != Path(name).name or name in (".", "..") or "\\" in name:
            raise ECGFileError(f"its header names a signal file outside its folder, {name[:60]!r}")
        if not (folder / name).is_file():
            raise ECGFileError(f"its signal file {name} is absent; copy it beside the header")
        if len({(signal.format, signal.offset) for signal in signals}) > 1:
            raise ECGFileError(f"its signals in {name} have several formats, of which a file has one; it is damaged")
        width = _BYTES[signals[0].format] * sum(signal.per_frame for signal in signals)
        if width:
            there.append(int(((folder / name).stat().st_size - signals[0].offset) / width + 1e-6))
    n_there = min(there, default=n_stated)
    if n_there < max(n_stated, 1):
        raise ECGFileError(f"its header says {stated!r} samples, but there are {max(n_there, 0)}; it is cut short")
    if not n_stated and stated not in ("", "0"):
        notes.append(f"The number of samples cannot be read, {stated[:20]!r}; they were counted.")
    # An odd sample may have been filled up to whole bytes.
    if n_there > n_stated + 1 and n_stated:
        notes.append(f"Its files have {n_there} samples, its header says {n_stated}; no more were read.")
    return n_stated or n_there


def _undo_rounding(row: NDArray[np.float64], signal: _Signal, step: str | None) -> NDArray[np.float64]:
    """Return a lead as it was before `ECGRecord.to_wfdb`: counts times what it wrote, which rounds unlike the gain."""
    gain, _, unit = signal.gain.partition("(0)/")
    if step is None or abs(float(step) * (to_number(gain) or 0.0) - 1) > 1e-9:
        return row
    factor = to_millivolts(unit)
    return np.rint(row / factor * float(gain)) * float(step) * factor


def _read_about(words: list[str], comments: list[str]) -> dict[str, Any]:
    """Return what the header's first line says of the time, and its comments of the patient, and derived leads."""
    days = [day for day in map(to_date, words) if day is not None]
    clocks = [clock for clock in map(to_clock, words) if clock is not None]
    text = "\n".join(comments)
    moment = None
    if days and (clocks or len(words) == 1):
        moment = datetime.combine(days[0], clocks[0] if clocks else time())
        if zone := _find(_ZONE, text):
            moment = moment.replace(tzinfo=datetime.strptime(zone, "%z").tzinfo)
    unread = " ".join(words) if len(days) + len(clocks) < len(words) else None
    age = _AGE.search(text)
    return {
        "age": (_find(_SAID_AGE, text), None) if age is None else (age[1], age[2] or age[3]),
        "sex": _find(_SEX, text),
        "times": [moment or unread],
        "statements": [said.strip() for said in _DIAGNOSIS.findall(text)],
        "derived": (_find(_DERIVED, text) or "").split(),
    }


def _find(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return None if found is None else found[1]
