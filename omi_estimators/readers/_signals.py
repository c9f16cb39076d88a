"""Signals of stated names, rates and units: WFDB records (a header and files beside it), EDF and BDF."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators._compat import read_wfdb_samples
from omi_estimators.readers._fields import (
    choose_unit,
    decode_text,
    is_stated,
    note_unread,
    to_age,
    to_date,
    to_millivolts,
    to_number,
    to_sex,
)
from omi_estimators.readers._leads import arrange_leads, choose_rate, common_rate, find_lead, make_record, name_numbered
from omi_estimators.readers._record import ECGFileError, ECGRecord, Source, check_size, naming_file

_Named = list[tuple[str, NDArray[np.float64]]]

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
_WFDB_BYTES = {"8": 1, "16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "160": 2, "212": 1.5, "310": 4 / 3, "311": 4 / 3}
_WFDB_BYTES |= {"508": 0, "516": 0, "524": 0}
# Of a sample, where they are not 16.
_WFDB_BITS = {"80": 8, "508": 8, "310": 10, "311": 10, "212": 12, "24": 24, "524": 24, "32": 32}
_WFDB_RATE = 250.0
_FORMAT = re.compile(r"(\d{1,3})(?:x(\d{1,9}))?(?::(\d{1,12}))?(?:\+(\d{1,12}))?")
_GAIN = re.compile(r"([^(/]*)(?:\(([^)]*)\))?(?:/(.*))?")
_CLOCK = re.compile(r"(\d{1,2})[:.](\d{1,2})[:.](\d{1,2})(?:\.(\d{1,9}))?")
_INTEGER = re.compile(r"-?\d{1,12}")
# Fields of the header of EDF, and their widths in bytes.
_EDF_FIXED = {"version": 8, "patient": 80, "recording": 80, "day": 8, "clock": 8, "n_header": 8, "reserved": 44}
_EDF_FIXED |= {"n_blocks": 8, "block_duration": 8, "n_signals": 4}
_EDF_SIGNAL = {"label": 16, "transducer": 80, "unit": 8, "low": 8, "high": 8, "least": 8, "most": 8, "filter": 80}
_EDF_SIGNAL |= {"n_samples": 8, "reserved": 32}
_EDF_MOST_SIGNALS = 9999
_EDF_TEXTS = ("EDF Annotations", "BDF Annotations")


@dataclass(frozen=True, eq=False)
class _WFDBSignal:
    """The line of a signal in the header of a WFDB record, as far as it is used."""

    file: str
    format: str
    per_frame: int
    skew: int
    offset: int
    gain: str
    fields: list[str]
    """Of these are resolution, zero, first value, checksum and size of blocks, in this order."""
    name: str

    @property
    def first(self) -> int:
        """What the differences of format 8 count from."""
        return int((self.fields[2:3] or ["0"])[0]) if self.format == "8" else 0

    def calibrate(self, counts: NDArray[np.float64], asked: str | None, notes: list[str]) -> NDArray[np.float64]:
        """Return counts in millivolts."""
        found = _GAIN.fullmatch(self.gain)
        said, baseline, stated = found.groups() if found is not None else ("", None, None)
        gain = to_number(said) or 0.0
        zero = to_number(baseline if baseline is not None and gain else (self.fields[1:2] or ["0"])[0])
        if zero is None:
            raise ECGFileError(f"the zero of its signal {self.name} cannot be read, {self.gain!r}; it is damaged")
        if gain:
            return (counts - zero) / gain * choose_unit(stated, asked, self.name, notes, default="mV")
        if asked is None:
            raise ECGFileError(
                f"its signal {self.name} has no gain, so its unit is unknown; give unit= of one count if you know"
            )
        notes.append("Signals without a gain were taken for counts of the unit that was given.")
        return (counts - zero) * to_millivolts(asked)


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
    notes: list[str] = []
    named, rate, total, about = _read_record(source, notes)
    # Those of a converted record are derived again, to be what they were.
    derived = about.pop("derived")
    named = [(name, row) for name, row in named if name not in derived]
    return make_record(named, rate, "WFDB", total_duration=total, notes=notes, **about)


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
        named, rate, _, _ = _read_record(Source(header, header.read_bytes()), [])
        return arrange_leads(named, [])[0], rate


def split_wfdb_header(text: str) -> tuple[list[list[str]], list[str]]:
    """Return the words of each line of a WFDB header, and its comments."""
    lines, comments = [], []
    for line in re.split(r"[\r\n]+", text):
        words = line.split()
        if words and words[0].startswith("#"):
            comments.append(line.strip(" \t#"))
        elif words:
            lines.append(words)
    return lines, comments


def parse_wfdb_signal(words: list[str]) -> _WFDBSignal | None:
    """Return what the words of a line say of a signal, None if it is no such line."""
    found = _FORMAT.fullmatch(words[1]) if len(words) > 1 else None
    if found is None or found[1] not in _WFDB_BYTES or to_number(words[0]) is not None:
        return None
    per_frame, skew, offset = int(found[2] or 1), int(found[3] or 0), int(found[4] or 0)
    # Five numbers stand before the name; the last of them may be left out, and one may be broken.
    last = 3
    while last < min(8, len(words)) and _INTEGER.fullmatch(words[last]):
        last += 1
    name = " ".join(words[last:])
    if last < 8 < len(words) and find_lead(name) is None:
        last, name = 8, " ".join(words[8:])
    return _WFDBSignal(
        words[0].removeprefix("./"),
        found[1],
        per_frame,
        skew,
        offset,
        words[2] if last >= 3 else "",
        words[3:last],
        name,
    )


def _read_record(source: Source, notes: list[str]) -> tuple[_Named, float, float, dict[str, Any]]:
    """Return names and millivolts of the signals, their rate, the record's length in s, and what else it says."""
    lines, comments = split_wfdb_header(decode_text(source.data))
    first = lines[0] if lines else []
    if len(lines) < 2 or "/" in first[0]:
        raise ECGFileError(
            "it is a WFDB record of several segments, or without signals; give the header of one segment"
        )
    n_signals = int(first[1]) if len(first) > 1 and _INTEGER.fullmatch(first[1]) else 0
    if not 0 < n_signals < len(lines):
        raise ECGFileError(
            f"its header says {first[1:2]} signals, but has {len(lines) - 1} lines of them; it is damaged"
        )
    signals = []
    for words in lines[1 : n_signals + 1]:
        signal = parse_wfdb_signal(words)
        if signal is None or signal.per_frame < 1:
            raise ECGFileError(f"the line {' '.join(words)[:60]!r} of its header is none of a signal; it is damaged")
        signals.append(signal)
    frame_rate = _read_frame_rate(first, source.sampling_rate, notes)
    names = name_numbered([signal.name for signal in signals], notes)
    leads = [column for column, name in enumerate(names) if find_lead(name) is not None]
    rate = common_rate(frame_rate * signals[column].per_frame for column in leads)
    named = [(name, np.zeros(0)) for name in names]
    total = 0.0
    if leads:
        stated, when = _split_record_line(first[3:])
        rows, n_samples = _read_leads([signals[column] for column in leads], signals, stated, rate, source, notes)
        exact = dict(_EXACT.findall("\n".join(comments)))
        for column, row in zip(leads, rows, strict=True):
            named[column] = (names[column], _multiply(row, signals[column], exact.get(names[column])))
        total = n_samples / rate
    return named, rate, total, _read_about(when if leads else [], comments, notes)


def _read_frame_rate(first: list[str], asked: float | None, notes: list[str]) -> float:
    """Return the frames in a second by the first line of a header, of which only the first number counts here."""
    if len(first) < 3:
        notes.append(f"The header states no sampling rate, which in WFDB means {_WFDB_RATE:g} Hz.")
        return _WFDB_RATE
    rate = to_number(first[2].partition("/")[0].partition("(")[0])
    if rate is None or rate <= 0:
        return choose_rate(None, asked, first[2], notes)
    # Each frame may have several samples of a lead.
    return rate


def _split_record_line(words: list[str]) -> tuple[str, list[str]]:
    """Return the number of samples that a header states, "" where it does not, and the words of day and time."""
    is_moment = bool(words) and (_CLOCK.fullmatch(words[0]) is not None or to_date(words[0]) is not None)
    return ("", words) if is_moment or not words else (words[0], words[1:])


def _read_leads(
    leads: list[_WFDBSignal],
    signals: list[_WFDBSignal],
    stated: str,
    rate: float,
    source: Source,
    notes: list[str],
) -> tuple[list[NDArray[np.float64]], int]:
    """Return the part of the leads that is wanted, in mV, and how many samples there are of each."""
    files = {lead.file: [signal for signal in signals if signal.file == lead.file] for lead in leads}
    n_frames = _count_frames(files, source.path.parent, stated, notes)
    per_frame = leads[0].per_frame
    first, last = source.choose_part(n_frames * per_frame, rate)
    skew = max(lead.skew for lead in leads)
    if skew >= n_frames:
        raise ECGFileError(f"a lead in it is skewed by {skew} of {n_frames} samples; its header is damaged")
    # Format 8 has differences, which must be added up from the first one on.
    start = 0 if any(lead.format == "8" for lead in leads) else first // per_frame
    end = min(-(-last // per_frame) + skew, n_frames)
    of_files = [signal for chosen in files.values() for signal in chosen]
    check_size(8.0 * sum(signal.per_frame for signal in of_files) * (end - start), f"its {len(of_files)} signals")
    counts, checksums = _read_counts(leads, of_files, source.path.parent, n_frames, start, end)
    if (start, end) == (0, n_frames):
        stated_sums = [to_number((lead.fields[3:4] or [""])[0]) for lead in leads]
        sums = zip(leads, checksums, stated_sums, strict=True)
        damaged = [lead.name for lead, ours, theirs in sums if theirs is not None and (ours - int(theirs)) % 65536]
        if damaged:
            said = f"The checksum in the header is not that of the samples: {', '.join(damaged)}. Damaged or edited?"
            notes.append(said)
    rows = []
    for lead, row in zip(leads, counts, strict=True):
        begin = first - start * per_frame + lead.skew * per_frame
        part = row[begin : begin + last - first]
        part = np.concatenate([part, np.full(last - first - len(part), np.nan)]) if lead.skew else part
        rows.append(lead.calibrate(part, source.unit, notes))
    return rows, n_frames * per_frame


def _count_frames(files: dict[str, list[_WFDBSignal]], folder: Path, stated: str, notes: list[str]) -> int:
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
        width = _WFDB_BYTES[signals[0].format] * sum(signal.per_frame for signal in signals)
        if width:
            there.append(int(((folder / name).stat().st_size - signals[0].offset) / width + 1e-6))
    if not n_stated:
        if not there or min(there) < 1:
            raise ECGFileError("its header does not say how many samples there are, and nor do its files")
        if stated not in ("", "0"):
            notes.append(f"The number of samples cannot be read, {stated[:20]!r}; they were counted.")
        return min(there)
    if there and min(there) < n_stated:
        raise ECGFileError(f"its header says {n_stated} samples, but there are {max(min(there), 0)}; it is cut short")
    # An odd sample may have been filled up to whole bytes.
    if there and min(there) > n_stated + 1:
        notes.append(f"Its files have {min(there)} samples, its header says {n_stated}; no more were read.")
    return n_stated


def _read_counts(
    leads: list[_WFDBSignal], signals: list[_WFDBSignal], folder: Path, n_frames: int, start: int, end: int
) -> tuple[list[NDArray[np.float64]], list[int]]:
    """Return counts of leads as they are stored, NaN for no sample, from one frame to another, and their checksums.

    The library reads the samples alone; it would stumble over much that headers have.
    """
    read = read_wfdb_samples(
        folder,
        [(signal.file, signal.format, signal.offset, signal.per_frame, signal.first) for signal in signals],
        [signals.index(lead) for lead in leads],
        n_frames,
        start,
        end,
    )
    counts, checksums = [], []
    for lead, row in zip(leads, read, strict=True):
        if len(row) != (end - start) * lead.per_frame:
            raise ECGFileError(f"its signal file {lead.file} is cut short")
        checksums.append(int(row.sum(dtype=np.int64)) % 65536)
        values = row.astype(np.float64)
        # The lowest number that the format has stands for no sample.
        if lead.format != "8":
            values[row == -(1 << (_WFDB_BITS.get(lead.format, 16) - 1))] = np.nan
        counts.append(values)
    return counts, checksums


def _multiply(row: NDArray[np.float64], signal: _WFDBSignal, step: str | None) -> NDArray[np.float64]:
    """Return a lead as it was before `ECGRecord.to_wfdb`: counts times what it wrote, which rounds unlike the gain."""
    gain, _, unit = signal.gain.partition("(0)/")
    if step is None or abs(float(step) * (to_number(gain) or 0.0) - 1) > 1e-9:
        return row
    factor = to_millivolts(unit)
    return np.rint(row / factor * float(gain)) * float(step) * factor


def _read_about(words: list[str], comments: list[str], notes: list[str]) -> dict[str, Any]:
    """Return age, sex, time of the recording and statements, from the header's first line and its comments."""
    days = [day for day in map(to_date, words) if day is not None]
    clocks = [clock for clock in map(_to_clock, words) if clock is not None]
    text = "\n".join(comments)
    zone = _first(_ZONE, text)
    moment = (
        datetime.combine(days[0], clocks[0] if clocks else time()) if days and (clocks or len(words) == 1) else None
    )
    if moment is not None and zone is not None:
        moment = moment.replace(tzinfo=datetime.strptime(zone, "%z").tzinfo)
    if len(days) + len(clocks) < len(words):
        note_unread("recording time", " ".join(words), moment, notes)
    found = _AGE.search(text)
    age = to_age(found[1], found[2] or found[3] or "years", notes=notes) if found is not None else None
    said_age, said_sex = _first(_SAID_AGE, text), _first(_SEX, text)
    sex = to_sex(said_sex)
    if found is None and is_stated(said_age):
        note_unread("age", said_age, None, notes)
    if is_stated(said_sex):
        note_unread("sex", said_sex, sex, notes)
    statements = tuple(said.strip() for said in _DIAGNOSIS.findall(text))
    derived = (_first(_DERIVED, text) or "").split()
    return {"age": age, "sex": sex, "recording_time": moment, "statements": statements, "derived": derived}


def _to_clock(text: str) -> time | None:
    """Return a time of day such as 14:50:55.25 or 14.50.55, None for any other text."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    hour, minute, second = (int(found[i] or 0) for i in (1, 2, 3))
    with suppress(ValueError):
        return time(hour, minute, second, int((found[4] or "0").ljust(6, "0")[:6]))
    return None


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return None if found is None else found[1]


@dataclass(frozen=True)
class _EDFHeader:
    """What the header of an EDF file says, as text: fields of the file, and of each signal."""

    about: dict[str, str]
    signals: list[dict[str, str]]
    width: int
    """Bytes of a sample: EDF has 2, BDF 3."""

    @classmethod
    def read(cls, path: Path) -> _EDFHeader:
        """Return the header of a file; an ECGFileError if it is cut."""
        with path.open("rb") as file:
            fixed = file.read(256)
            about = _cut_fields(fixed, _EDF_FIXED, 1)[0]
            # Of old files some have no blank left in this field of four.
            n_signals = _to_integer(about["n_signals"])
            if n_signals is None or not 0 < n_signals <= _EDF_MOST_SIGNALS:
                raise ECGFileError(f"its header says {about['n_signals']!r} signals; it is damaged or no EDF file")
            content = file.read(256 * n_signals)
        if len(content) < 256 * n_signals:
            raise ECGFileError("its header is cut short; export or copy it again")
        return cls(about, _cut_fields(content, _EDF_SIGNAL, n_signals), 3 if fixed[:1] == b"\xff" else 2)


def _cut_fields(data: bytes, widths: dict[str, int], n: int) -> list[dict[str, str]]:
    """Return texts of fixed widths, of which all `n` of the first stand before all of the second."""
    rows: list[dict[str, str]] = [{} for _ in range(n)]
    position = 0
    for name, width in widths.items():
        for row in rows:
            # Not decode_text: a unit is a sign or two in a code page of which nothing else tells.
            row[name] = data[position : position + width].decode("latin-1").strip("\0 \t\r\n")
            position += width
    return rows


def _to_integer(text: str) -> int | None:
    """Return a whole number, also if it is written 500.0, else None."""
    number = to_number(text)
    return int(number) if number is not None and number == int(number) else None


def read_edf(source: Source) -> ECGRecord:
    """Read an EDF, EDF+, BDF or BDF+ file, of a long one no more than is asked for.

    Parameters
    ----------
    source : Source
        The file. `unit` serves signals that state none that can be read.

    Returns
    -------
    ECGRecord
        The leads among its signals, by their labels.

    Raises
    ------
    ECGFileError
        If it is cut short, discontinuous, has no lead, leads of different rates or without a unit.

    References
    ----------
    B. Kemp and J. Olivan, "European data format 'plus' (EDF+)", Clin. Neurophysiol. 114:1755-1761, 2003, and
    https://www.edfplus.info/specs/edf.html
    """
    notes: list[str] = []
    header = _EDFHeader.read(source.path)
    names = name_numbered([signal["label"] for signal in header.signals], notes)
    counts = [_to_integer(signal["n_samples"]) or 0 for signal in header.signals]
    if min(counts) < 0 or max(counts) < 1:
        raise ECGFileError("its header contradicts itself in the samples of a block; it is damaged")
    start, n_blocks = _find_blocks(header, sum(counts), source.path.stat().st_size, notes)
    leads = [column for column, name in enumerate(names) if find_lead(name) is not None]
    named = {column: (name, np.zeros(0)) for column, name in enumerate(names) if name not in _EDF_TEXTS}
    rate = total = 0.0
    if leads:
        rate = _read_edf_rate(header, [counts[column] for column in leads], source.sampling_rate, notes)
        per_block = counts[leads[0]]
        first, last = source.choose_part(n_blocks * per_block, rate)
        total = n_blocks * per_block / rate
        first_block, last_block = first // per_block, -(-last // per_block)
        n_bytes = sum(counts) * header.width
        check_size(float((last_block - first_block) * n_bytes), f"its {len(counts)} signals")
        with source.path.open("rb") as file:
            file.seek(start + first_block * n_bytes)
            data = np.frombuffer(file.read((last_block - first_block) * n_bytes), dtype=np.uint8)
        blocks = data.reshape(last_block - first_block, sum(counts), header.width)
        if _is_discontinuous(header, counts, blocks):
            raise ECGFileError("it is a discontinuous recording (EDF+D), in parts with gaps between; export one part")
        for column in leads:
            begin = sum(counts[:column])
            row = _to_integers(blocks[:, begin : begin + per_block])
            row = row[first - first_block * per_block : last - first_block * per_block]
            named[column] = (names[column], _scale_edf(row, header.signals[column], source.unit, notes))
    about = _read_edf_about(header.about, notes)
    kind = "BDF" if header.width == 3 else "EDF"
    return make_record(named.values(), rate, kind, total_duration=total, notes=notes, **about)


def _find_blocks(header: _EDFHeader, per_block: int, size: int, notes: list[str]) -> tuple[int, int]:
    """Return where the first block of samples begins, and how many blocks there are."""
    said = header.about["n_header"]
    start, block = 256 * (len(header.signals) + 1), per_block * header.width
    n_blocks = _to_integer(header.about["n_blocks"])
    if _to_integer(said) != start:
        # It follows from the number of signals; if it can be read and is another, one of the two is wrong.
        if _to_integer(said) is not None and size != start + (n_blocks or 0) * block:
            raise ECGFileError(f"its header contradicts itself: {len(header.signals)} signals and {said} bytes")
        notes.append(f"The length of the header cannot be right, {said!r}; that of its signals was taken.")
    there, rest = divmod(size - start, block)
    if n_blocks is None or n_blocks == -1:
        # Which a device writes at first, and replaces when the recording ends.
        notes.append(f"The header says {header.about['n_blocks']!r} blocks, and {there} were counted.")
        n_blocks = there
    if n_blocks < 1 or there < n_blocks:
        raise ECGFileError(f"its header says {n_blocks} blocks of {block} bytes, but it has {there}; it is cut")
    if there > n_blocks or rest:
        notes.append(f"Left out {size - start - n_blocks * block} bytes after the last block.")
    return start, n_blocks


def _read_edf_rate(header: _EDFHeader, counts: list[int], asked: float | None, notes: list[str]) -> float:
    """Return the rate of leads of so many samples in a block."""
    said = header.about["block_duration"]
    duration = to_number(said.replace(",", "."))
    if min(counts) < 1:
        raise ECGFileError("its header contradicts itself: a lead has no samples in a block; it is damaged")
    if duration is None or duration <= 0:
        return choose_rate(None, asked if len(set(counts)) == 1 else None, f"{said} s for a block", notes)
    # Eight characters have no room for a third of a second.
    return common_rate(round(count / duration, 3) for count in counts)


def _is_discontinuous(header: _EDFHeader, counts: list[int], blocks: NDArray[np.uint8]) -> bool:
    """Return whether the blocks do not follow each other in time, by the times that stand in them."""
    if not header.about["reserved"].upper().startswith(("EDF+D", "BDF+D")):
        return False
    labels = [signal["label"] for signal in header.signals]
    column = next((i for i, label in enumerate(labels) if label in _EDF_TEXTS), None)
    duration = to_number(header.about["block_duration"])
    if column is None or duration is None:
        return True
    begin = sum(counts[:column])
    texts = [block.tobytes()[:32] for block in blocks[:, begin : begin + counts[column]]]
    times = [to_number(text.partition(b"\x14")[0].decode("latin-1")) for text in texts]
    if None in times:
        return True
    return bool(np.abs(np.diff(np.array(times, dtype=float)) - duration).max(initial=0) > 1e-3)


def _to_integers(samples: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return little-endian numbers of two or three bytes, the last axis, as one row."""
    width = samples.shape[2]
    padded = np.zeros((*samples.shape[:2], 4), dtype=np.uint8)
    padded[:, :, 4 - width :] = samples
    numbers: NDArray[np.int32] = padded.reshape(-1, 4).view("<i4")[:, 0] >> (32 - 8 * width)
    return numbers


def _scale_edf(
    row: NDArray[np.int32], signal: dict[str, str], asked: str | None, notes: list[str]
) -> NDArray[np.float64]:
    """Return counts of a signal in millivolts."""
    said = [signal[name] for name in ("low", "high", "least", "most")]
    low, high, least, most = (to_number(text.replace(",", ".")) for text in said)
    if low is None or high is None or least is None or most is None or low == high or least == most:
        raise ECGFileError(
            f"its header says that {signal['label']} goes from {said[2]} to {said[3]} for {said[0]} to {said[1]}; "
            "it is damaged"
        )
    gain = (high - low) / (most - least)
    factor = choose_unit(signal["unit"], asked, signal["label"], notes)
    return (row.astype(np.float64) * gain + (low - least * gain)) * factor


def _read_edf_about(about: dict[str, str], notes: list[str]) -> dict[str, Any]:
    """Return patient and time of a recording; what cannot be read is None, with a note."""
    day = _read_edf_day(about, notes)
    clock = _to_clock(about["clock"])
    note_unread("time of day", about["clock"], clock, notes)
    when = datetime.combine(day, clock) if day is not None and clock is not None else None
    words = about["patient"].split()
    code, said_sex, said_birth = (words + ["X"] * 3)[:3]
    birth, sex = to_date(said_birth), to_sex(said_sex)
    is_dated = said_birth.upper() == "X" or any(map(str.isdigit, said_birth))
    if len(words) >= 3 and said_sex.upper() in ("F", "M", "X") and is_dated:
        note_unread("day of birth", said_birth if is_stated(said_birth) else "", birth, notes)
    else:
        # What plain EDF has here is free text, of which only a number alone can be told from a name.
        is_code = len(words) == 1 and any(map(str.isdigit, code))
        unread = about["patient"] if is_stated(about["patient"]) and not is_code else ""
        note_unread("patient field", unread, None, notes)
        code, sex, birth = (code if is_code else ""), None, None
    age = to_age(None, birth=birth, when=when, notes=notes)
    return {"age": age, "sex": sex, "patient_id": code if is_stated(code) else None, "recording_time": when}


def _read_edf_day(about: dict[str, str], notes: list[str]) -> date | None:
    """Return the day of a recording, by the field of EDF+ or else that of EDF; None if it was removed."""
    words = [*about["recording"].split(), "", ""]
    full = to_date(words[1]) if words[0].lower() == "startdate" else None
    if full is not None:
        return full
    short = about["day"]
    year = short[-2:]
    # The format has two digits of a year, from 1985 on.
    day = to_date(f"{short[:-2]}{'19' if year >= '85' else '20'}{year}") if year.isdecimal() else None
    note_unread("day of the recording", short if is_stated(short) else "", day, notes)
    # This is what EDF+ wants in the place of a day that was removed.
    return None if day == date(1985, 1, 1) else day
