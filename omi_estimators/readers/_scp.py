"""SCP-ECG (EN 1064, ISO 11073-91064, ANSI/AAMI EC71): a binary file of numbered sections.

Written from the structure of the standard as public sources tell it: the tutorials of the OpenECG project, and what
published programs state of tables and fields. Where they leave open how samples that were thinned out between the QRS
complexes are restored, `_restore` says what is done here.
"""

from __future__ import annotations

import binascii
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators.leads import LEADS
from omi_estimators.readers._fields import count_in_unit_asked, read_aside
from omi_estimators.readers._leads import choose_rate, find_lead, make_record
from omi_estimators.readers._record import ECGFileError, ECGRecord, Source, check_size

_Sections = dict[int, bytes | None]
# A Huffman table: how many bits follow each prefix, and a value (True) or the number of a table to go on with.
_Table = dict[str, tuple[int, int, bool]]

_NAMES = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 65: "-aVR", 9: "V7", 66: "V8", 67: "V9"}
_NAMES |= {i + 2: f"V{i}" for i in range(1, 7)} | {i + 8: f"V{i}R" for i in range(2, 8)} | {16: "X", 17: "Y", 18: "Z"}
_HEADER = 16
_DEFAULT_TABLE = 19999
# Devices have one table of 19 codes; each code is tried for each sample.
_MOST_TABLES, _MOST_CODES = 8, 256
# Samples that the zeros at the end of a stream may look like.
_PADDING = 16
# Of a lead, what its stream may lack at its end: some devices round the length that they state.
_MOST_LACKING = 0.02
# From here on a measurement stands for "not there", "not found" or "not computed".
_NOT_MEASURED = 19999
_AGE_UNITS = {1: "years", 2: "months", 3: "weeks", 4: "days", 5: "hours"}
# Tags of the patient section that have one length; some devices write another there.
_TAG_LENGTHS = {4: 3, 5: 4, 6: 3, 7: 3, 8: 1, 9: 1, 11: 2, 12: 2, 24: 1, 25: 4, 26: 3, 27: 2, 28: 2, 29: 1, 33: 2}
_ENCODINGS = {0x03: "iso8859-2", 0x0B: "iso8859-4", 0x13: "iso8859-5", 0x1B: "iso8859-6", 0x23: "iso8859-7"}
_ENCODINGS |= {0x2B: "iso8859-8", 0x33: "iso8859-11", 0x3B: "iso8859-15", 0x07: "utf-16-le", 0x0F: "shift_jis"}
_ENCODINGS |= {0x17: "euc_jp", 0x1F: "euc_jp", 0x27: "gb2312", 0x2F: "euc_kr", 0x37: "utf-8"}


def is_scp(head: bytes) -> bool:
    """Return whether a file of these first bytes is SCP-ECG: by its letters, which old ones lack, or its pointers."""
    if head[16:22] == b"SCPECG":
        return True
    if len(head) < 32:
        return False
    number, length = struct.unpack_from("<HI", head, 8)
    return number == 0 and length >= _HEADER + 10 and struct.unpack_from("<HII", head, 22) == (0, length, 7)


def read_scp(source: Source) -> ECGRecord:
    """Read an SCP-ECG file.

    Parameters
    ----------
    source : Source
        The file. `unit` serves a file that does not say what one count is.

    Returns
    -------
    ECGRecord
        The rhythm. Leads of different times stand at their times, NaN elsewhere. Statements are those in full text,
        or else the codes.

    Raises
    ------
    ECGFileError
        If a section that the signal needs is absent or cut, if it has no rhythm but a reference beat alone, or if
        a lead cannot be decompressed to the number of samples that is stated.
    """
    notes = source.notes
    sections = _split_sections(source.data, notes)
    named, rate = _read_signal(sections, source)
    about, device = read_aside("patient data", lambda: _read_patient(sections, notes), notes) or ({}, b"")
    version = device[14] if len(device) > 14 else 0
    encoding = _find_encoding(device)
    kind = version or source.data[15]
    return make_record(
        source,
        named,
        rate,
        f"SCP-ECG {kind / 10:.1f}" if 10 <= kind < 100 else "SCP-ECG",
        measured=read_aside("measurements", lambda: _read_measurements(sections, version), notes) or (),
        statements=read_aside("statements", lambda: _read_statements(sections, encoding), notes) or (),
        **about,
    )


def _split_sections(data: bytes, notes: list[str]) -> _Sections:
    """Return the sections without their headers; None for one that is cut or not where it should be."""
    if len(data) < 6 + _HEADER + 10:
        raise ECGFileError(f"it has {len(data)} bytes, too few for the pointers of SCP-ECG; it is cut short")
    total, length = struct.unpack_from("<I4xI", data, 2)
    table = data[6 + _HEADER : 6 + length]
    damaged = [] if _is_intact(data[: total if total > 6 else None]) or total > len(data) else ["the whole file"]
    sections: _Sections = {}
    for number, size, index in struct.iter_unpack("<HII", table[: len(table) // 10 * 10]):
        if number == 0 or size <= _HEADER or index == 0 or sections.get(number) is not None:
            continue
        section = data[index - 1 : index - 1 + size]
        found = struct.unpack_from("<HI", section, 2) if len(section) == size else (None, None)
        is_there = found[0] == number or found[1] == size
        sections[number] = section[_HEADER:] if is_there else None
        damaged += [f"section {number}"] if is_there and not _is_intact(section) else []
    if total > len(data):
        notes.append(f"The file says that it has {total} bytes, but it has {len(data)}; it is cut.")
    if damaged:
        notes.append(f"The checksum is not that of the bytes: {', '.join(damaged)}. Damaged or edited?")
    return sections


def _is_intact(part: bytes) -> bool:
    """Return whether the checksum in the first two bytes is that of the rest, or was left out."""
    stated, found = struct.unpack_from("<H", part)[0], binascii.crc_hqx(part[2:], 0xFFFF)
    return stated in (0, 0xFFFF, found, (found & 0xFF) << 8 | found >> 8)


def _get_section(sections: _Sections, number: int, what: str) -> bytes:
    """Return a section that the signal needs."""
    section = sections.get(number)
    if section is None:
        is_what = "is cut or not where the file says" if number in sections else "is absent"
        raise ECGFileError(f"its section {number}, {what}, {is_what}")
    return section


@dataclass(frozen=True)
class _Lead:
    """A lead: its name, and its first and last sample, which the standard counts from 1."""

    name: str
    first: int
    last: int

    @property
    def n_samples(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class _Block:
    """Compressed leads: what the sections of the rhythm and of the reference beat share.

    `step` is nV for a count, `interval` µs between samples, `order` that of the differences, `streams` the bytes of
    each lead.
    """

    step: float
    interval: int
    order: int
    is_bimodal: bool
    streams: list[bytes]


@dataclass(frozen=True)
class _Beats:
    """The QRS complexes. Samples are counted from 1.

    `duration` is that of the reference beat in ms, `fiducial` its fiducial point. `subtracted` has first sample,
    fiducial point and last sample of each stretch of the rhythm from which it was subtracted, `protected` first and
    last of each where no sample was left out.
    """

    duration: int = 0
    fiducial: int = 0
    subtracted: tuple[tuple[int, int, int], ...] = ()
    protected: tuple[tuple[int, int], ...] = ()


def _read_signal(sections: _Sections, source: Source) -> tuple[list[tuple[str, NDArray[np.float64]]], float]:
    """Return names and millivolts of the leads, and their sampling rate."""
    if 6 not in sections and 5 in sections:
        raise ECGFileError("it has reference beats, section 5, but no rhythm, section 6; export the whole recording")
    notes = source.notes
    tables = _read_tables(_get_section(sections, 2, "the Huffman tables")) if 2 in sections else []
    section = _get_section(sections, 6, "the rhythm")
    is_subtracted, leads = _read_leads(_get_section(sections, 3, "the leads"), section, notes)
    rhythm = _read_block(section, len(leads), "the rhythm")
    step = rhythm.step or 1e6 * count_in_unit_asked("size of one count (0 nV)", source)
    if is_subtracted and not {4, 5} & set(sections):
        notes.append("The file says that reference beats were subtracted, but has none; its leads are taken as whole.")
        is_subtracted = False
    # The reference beat has all samples, and says their distance; of the rhythm some may have been left out.
    interval = int.from_bytes((sections.get(5) or b"")[2:4], "little")
    factor = max(1, round(rhythm.interval / interval)) if interval else 1
    is_thinned = factor > 1 and (is_subtracted or rhythm.is_bimodal)
    beats, reference = _Beats(), None
    if is_subtracted or is_thinned:
        beats = _read_beats(_get_section(sections, 4, "where the QRS complexes are"))
    if is_subtracted and beats.duration and beats.subtracted:
        reference = _read_block(_get_section(sections, 5, "the reference beat"), len(leads), "the reference beat")
        if not interval or abs(rhythm.interval / interval - factor) > 0.02 * factor:
            raise ECGFileError(f"its reference beat and rhythm have samples each {interval} and {rhythm.interval} us")
    chosen = [row for row, lead in enumerate(leads) if find_lead(lead.name) and rhythm.streams[row]]
    if len(chosen) > len(LEADS):
        raise ECGFileError(f"it has more than {len(LEADS)} of the standard leads; it is unclear which are meant")
    signals = []
    for row in chosen:
        lead = leads[row]
        check_size(8.0 * len(LEADS) * lead.n_samples, f"its {len(LEADS)} leads of {lead.n_samples} samples")
        most = round((1 + _MOST_LACKING) * lead.n_samples) + _PADDING
        counts = _decode(rhythm, row, most, tables)
        if counts.size == most:
            notes.append(f"Lead {lead.name} has more samples than the {lead.n_samples} that it says; these are read.")
        if factor > 1 and not is_thinned and counts.size < (1 - _MOST_LACKING) * lead.n_samples:
            # Samples are numbered as if there were as many as of the reference beat.
            lead = _Lead(lead.name, (lead.first - 1) // factor + 1, lead.last // factor)
        signals.append((lead, counts if is_thinned else _fit(counts, lead.n_samples, lead.name)))
    if is_thinned:
        notes.append(f"Between QRS complexes one sample was stored for each {factor}; the others were interpolated.")
        signals = _restore(signals, beats.protected, factor)
    for row, (lead, counts) in zip(chosen, signals, strict=True):
        counts *= step
        if reference is not None:
            beat = _decode(reference, row, beats.duration * 1000 // interval, tables) * reference.step
            _add_beats(counts, beat, lead.first, beats)
    rate = _to_rate(interval if is_thinned else rhythm.interval, source)
    return _align(leads, signals, notes), rate


def _read_tables(section: bytes) -> list[_Table]:
    """Return the Huffman tables; none, if one table of one code stands for leads that are not compressed."""
    count, at = struct.unpack_from("<H", section)[0], 2
    if count == _DEFAULT_TABLE:
        return [_DEFAULT]
    if count > _MOST_TABLES:
        raise ECGFileError(f"it names {count} Huffman tables; at most {_MOST_TABLES} are read")
    tables = []
    for _ in range(count):
        n_codes = int.from_bytes(section[at : at + 2], "little")
        codes = section[at + 2 : at + 2 + 9 * n_codes]
        if n_codes > _MOST_CODES:
            raise ECGFileError(f"it names a Huffman table of {n_codes} codes; at most {_MOST_CODES} are read")
        if not codes or len(codes) < 9 * n_codes:
            raise ECGFileError(f"its section 2 names {count} Huffman tables, but is cut")
        tables.append(list(struct.iter_unpack("<BBBhI", codes)))
        at += 2 + len(codes)
    if not tables or (len(tables) == 1 and len(tables[0]) == 1):
        return []
    return [_make_table(rows, len(tables)) for rows in tables]


def _make_table(rows: list[tuple[int, int, int, int, int]], n_tables: int = 1) -> _Table:
    """Return a table from rows: bits of prefix and code, whether it is a value, the value, the prefix from its end."""
    table = {}
    for prefix, length, is_value, value, code in sorted(rows):
        if not 1 <= prefix <= length <= 32:
            raise ECGFileError(f"its Huffman table has a code of {length} bits, of which {prefix} are the prefix")
        if not is_value and not 1 <= value <= n_tables:
            raise ECGFileError(f"its Huffman table switches to table {value} of {n_tables}")
        table[f"{code % 2**prefix:0{prefix}b}"[::-1]] = (length - prefix, value, bool(is_value))
    return table


def _make_default_rows() -> list[tuple[int, int, int, int, int]]:
    """Return the table of the standard: as many ones as the number has units, a zero, the sign; from 9 on originals."""
    rows = [(1, 1, 1, 0, 0), (10, 18, 1, 0, 2**9 - 1), (10, 26, 1, 0, 2**10 - 1)]
    for size in range(1, 9):
        code = 2**size - 1
        rows += [(size + 2, size + 2, 1, size, code), (size + 2, size + 2, 1, -size, code + 2 ** (size + 1))]
    return rows


_DEFAULT = _make_table(_make_default_rows())


def _decode_huffman(data: bytes, most: int, tables: list[_Table]) -> NDArray[np.int64]:
    """Return at most so many numbers of a stream, each lead of which begins with the first table."""
    bits = f"{int.from_bytes(data):0{8 * len(data)}b}"
    patterns = [re.compile("|".join(table)) for table in tables]
    found: list[int] = []
    number = at = 0
    while len(found) < most and at < len(bits):
        prefix = patterns[number].match(bits, at)
        if prefix is None:
            if at + max(map(len, tables[number])) <= len(bits):
                raise ECGFileError("its leads are damaged: bits that are no code of the Huffman table")
            break
        n_more, value, is_value = tables[number][prefix[0]]
        at = prefix.end() + n_more
        if at > len(bits):
            break
        if not is_value:
            number = value - 1
        elif n_more:
            # The bits after the prefix, with a sign, count from the value of the code.
            found.append(value + int(bits[at - n_more : at], 2) - (int(bits[at - n_more]) << n_more))
        else:
            found.append(value)
    return np.array(found, dtype=np.int64)


def _read_leads(section: bytes, rhythm: bytes, notes: list[str]) -> tuple[bool, list[_Lead]]:
    """Return whether reference beats were subtracted, and the leads."""
    stated, flags = section[0], section[1]
    rows = list(struct.iter_unpack("<IIB", section[2 : 2 + (len(section) - 2) // 9 * 9]))
    left = {n: len(rhythm) - 6 - 2 * n - sum(_sizes(rhythm, n)) for n in (stated, len(rows))}
    if not 0 < stated <= len(rows) or left[stated] < 0:
        raise ECGFileError(f"it says that it has {stated} leads, but names {len(rows)}, or their samples are cut")
    # Some devices state fewer leads than they have; then their streams fill the section.
    n_leads = len(rows) if left[len(rows)] in (0, 1) and left[stated] > 1 else stated
    leads = [_Lead(_NAMES.get(code, f"lead code {code}"), first, last) for first, last, code in rows]
    if n_leads != stated:
        notes.append(f"The file says that it has {stated} leads, but has {n_leads}.")
    leads = leads[:n_leads]
    for lead in leads:
        if lead.n_samples < 1:
            raise ECGFileError(f"its lead {lead.name} is said to go from sample {lead.first} to {lead.last}")
    return bool(flags & 1), leads


def _sizes(section: bytes, n_leads: int) -> tuple[int, ...]:
    """Return the numbers of bytes of so many leads' streams."""
    return struct.unpack_from(f"<{n_leads}H", section + bytes(2 * n_leads), 6)


def _read_block(section: bytes, n_leads: int, what: str) -> _Block:
    """Return the compressed leads of section 5 or 6."""
    step, interval, order, flag = struct.unpack_from("<HHBB", section)
    if order > 2:
        raise ECGFileError(f"{what} is stored as differences of order {order}; 0, 1 and 2 are read")
    at, streams = 6 + 2 * n_leads, []
    for size in _sizes(section, n_leads):
        streams.append(section[at : at + size])
        at += size
    if at > len(section):
        raise ECGFileError(f"{what} is cut: the samples of its {n_leads} leads go beyond their section")
    return _Block(float(step), interval, order, bool(flag), streams)


def _read_beats(section: bytes) -> _Beats:
    """Return where the QRS complexes are."""
    duration, fiducial, n_beats = struct.unpack_from("<HHH", section)
    end = 6 + 14 * n_beats
    rows = list(struct.iter_unpack("<HIII", section[6:end])) if len(section) >= end else []
    if len(rows) < n_beats:
        raise ECGFileError(f"its section 4 names {n_beats} QRS complexes, but is cut")
    # Only the commonest type of beat, 0, has a reference. Old versions protect what they subtract from.
    protected = [(first, last) for _, first, _, last in rows]
    if len(section) >= end + 8 * n_beats:
        protected = list(struct.iter_unpack("<II", section[end : end + 8 * n_beats]))
    return _Beats(
        duration,
        fiducial,
        tuple((first, peak, last) for kind, first, peak, last in rows if kind == 0),
        tuple(sorted((first, last) for first, last in protected if 0 < first <= last)),
    )


def _decode(block: _Block, row: int, most: int, tables: list[_Table]) -> NDArray[np.float64]:
    """Return at most so many counts of a lead."""
    data = block.streams[row]
    if tables:
        values = _decode_huffman(data, most, tables)
    else:
        values = np.frombuffer(data, dtype="<i2", count=min(most, len(data) // 2)).astype(np.int64)
    if block.order == 1:
        values = np.cumsum(values)
    elif block.order == 2 and values.size > 2:
        slopes = np.cumsum(np.concatenate([[values[1] - values[0]], values[2:]]))
        values = np.cumsum(np.concatenate([values[:1], slopes]))
    # Samples have 16 bits, and sums of differences go round as they do.
    return values.astype(np.int16).astype(np.float64)


def _fit(counts: NDArray[np.float64], n_samples: int, name: str) -> NDArray[np.float64]:
    """Return so many samples, NaN for a few that a stream lacks at its end; an ECGFileError if it lacks or has more."""
    if counts.size < (1 - _MOST_LACKING) * n_samples:
        says = f"{counts.size} samples, not {n_samples} as it says"
        raise ECGFileError(f"its lead {name} has {says}; it is cut or damaged")
    return np.concatenate([counts[:n_samples], np.full(max(0, n_samples - counts.size), np.nan)])


def _restore(
    stored: list[tuple[_Lead, NDArray[np.float64]]], protected: tuple[tuple[int, int], ...], factor: int
) -> list[tuple[_Lead, NDArray[np.float64]]]:
    """Return all samples of leads of which, outside of protected stretches, one stands for each `factor` of them.

    It is put in their middle, where programs put it too, and joined to the next by a straight line, rounded to whole
    counts; the filter that some programs apply afterwards is not. What remains of a stretch that is no multiple of
    `factor` was stored sample for sample or as one: the first is taken, if there are as many samples in each lead.
    """
    parts = [_split_at_beats(lead, protected) for lead, _ in stored]
    for is_singly in (True, False):
        # Of each stretch how many samples it has, how many of these stand for several, and how many for themselves.
        plans = [[(n, *_count_stored(n, is_whole, factor, is_singly)) for n, is_whole in each] for each in parts]
        sizes = [sum(blocks + rest for _, blocks, rest in plan) for plan in plans]
        if all(counts.size >= size for size, (_, counts) in zip(sizes, stored, strict=True)):
            break
    restored = []
    for plan, size, (lead, counts) in zip(plans, sizes, stored, strict=True):
        if counts.size > (1 + _MOST_LACKING) * size + _PADDING:
            raise ECGFileError(f"its lead {lead.name} has more samples than the {size} that its protected zones leave")
        counts = _fit(counts, size, lead.name)
        values, at = [], 0
        for n, blocks, rest in plan:
            if blocks:
                middles = factor // 2 + factor * np.arange(blocks)
                values.append(np.rint(np.interp(np.arange(n - rest), middles, counts[at : at + blocks])))
            values.append(counts[at + blocks : at + blocks + rest])
            at += blocks + rest
        restored.append((lead, np.concatenate(values)))
    return restored


def _count_stored(n: int, is_whole: bool, factor: int, is_singly: bool) -> tuple[int, int]:
    """Return how many samples stand for `factor` each, of a stretch of `n`, and how many after them for themselves."""
    return (0, n) if is_whole else divmod(n, factor) if is_singly else (-(-n // factor), 0)


def _split_at_beats(lead: _Lead, protected: tuple[tuple[int, int], ...]) -> list[tuple[int, bool]]:
    """Return the stretches of a lead: their numbers of samples, and whether they are protected."""
    parts = []
    at = lead.first
    for first, last in protected:
        first, last = max(first, at), min(last, lead.last)
        if first <= last:
            parts += [(first - at, False), (last - first + 1, True)]
            at = last + 1
    return [*parts, (lead.last + 1 - at, False)]


def _add_beats(values: NDArray[np.float64], beat: NDArray[np.float64], start: int, beats: _Beats) -> None:
    """Add the reference beat, in the unit of `values`, where it was subtracted from a lead that begins at `start`."""
    for first, peak, last in beats.subtracted:
        # The sample of the lead at which the reference beat would begin.
        shift = peak - (beats.fiducial - 1) - start
        low, high = max(first - start, shift, 0), min(last - start + 1, shift + beat.size, values.size)
        if low < high:
            values[low:high] += beat[low - shift : high - shift]


def _align(
    leads: list[_Lead], signals: list[tuple[_Lead, NDArray[np.float64]]], notes: list[str]
) -> list[tuple[str, NDArray[np.float64]]]:
    """Return names and millivolts, each lead at its time; names alone of those that are none of the twelve."""
    named = [(lead.name, np.zeros(0)) for lead in leads if find_lead(lead.name) is None]
    if not signals:
        return named
    start, end = min(lead.first for lead, _ in signals), max(lead.last for lead, _ in signals)
    check_size(8.0 * len(LEADS) * (end + 1 - start), f"its {len(LEADS)} leads of {end + 1 - start} samples")
    if any((lead.first, lead.last) != (start, end) for lead, _ in signals):
        notes.append("Not all leads were recorded at the same time; they are NaN where they were not.")
    lacking = [lead.name for lead, values in signals if np.isnan(values[-1])]
    if lacking:
        notes.append(f"The last samples are lacking in the file, and NaN: {', '.join(lacking)}.")
    for lead, values in signals:
        whole = np.full(end + 1 - start, np.nan)
        whole[lead.first - start : lead.last + 1 - start] = values / 1e6
        named.append((lead.name, whole))
    return named


def _to_rate(interval: int, source: Source) -> float:
    """Return Hz from whole microseconds between samples, in whole Hz where these give that interval."""
    whole = round(1e6 / interval) if interval else 0
    rate = float(whole) if not whole or int(1e6 / whole) == interval else 1e6 / interval
    return choose_rate(rate, f"{interval} us between samples", source)


def _read_patient(sections: _Sections, notes: list[str]) -> tuple[dict[str, Any], bytes]:
    """Return what is known of patient and recording, as `make_record` takes it, and the tag of the device."""
    if 1 not in sections:
        return {}, b""
    section = _get_section(sections, 1, "the patient data")
    tags, is_whole = _split_tags(section, {})
    if not is_whole:
        others, is_whole = _split_tags(section, _TAG_LENGTHS)
        tags = others if is_whole else tags
        notes += [] if is_whole else ["The patient data are cut; what stands before is read."]

    def unpack(what: str, number: int, form: str, make: Callable[..., Any] = lambda *fields: fields) -> Any:
        value = tags.get(number, b"")
        # Zeros are a date that was left out, but a time of day.
        is_said = value and (any(value) or make is time)
        return read_aside(what, lambda: make(*struct.unpack_from(form, value)) if is_said else None, notes)

    device = tags.get(14, b"")
    age, unit = unpack("age", 4, "<HB") or (None, 0)
    sex = tags.get(8, b"\0")[0]
    day, clock = unpack("recording date", 25, "<HBB", date), unpack("recording time", 26, "<BBB", time)
    about = {
        "age": (age, _AGE_UNITS.get(unit, "unknown")),
        "birth": unpack("birth date", 5, "<HBB", date),
        "sex": {0: None, 1: "male", 2: "female", 9: None}.get(sex, f"code {sex}"),
        "patient_id": _to_text(tags.get(2, b""), _find_encoding(device)),
        "times": [datetime.combine(day, clock) if day and clock else None],
    }
    return about, device


def _find_encoding(device: bytes) -> str:
    """Return in which encoding texts are, by the tag of the device."""
    return _ENCODINGS.get(device[16], "utf-8") if len(device) > 16 and device[16] & 1 else "utf-8"


def _split_tags(section: bytes, lengths: dict[int, int]) -> tuple[dict[int, bytes], bool]:
    """Return the first value of each tag, and whether they end as they should; `lengths` instead of those stated."""
    tags: dict[int, bytes] = {}
    at = 0
    while at + 3 <= len(section) and section[at] != 255:
        tag, length = struct.unpack_from("<BH", section, at)
        length = lengths.get(tag, length)
        if at + 3 + length > len(section):
            return tags, False
        if length:
            tags.setdefault(tag, section[at + 3 : at + 3 + length])
        at += 3 + length
    return tags, True


def _to_text(value: bytes, encoding: str) -> str:
    """Return a text up to its first zero; Latin-1 is what devices write whatever they say."""
    try:
        text = value[: len(value) // 2 * 2 if encoding.startswith("utf-16") else None].decode(encoding)
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return " ".join(text.partition("\0")[0].split())


def _read_measurements(sections: _Sections, version: int) -> list[tuple[str, float | None]]:
    """Return what the device measured: on the reference beat, and over all beats."""
    if 7 not in sections:
        return []
    section = _get_section(sections, 7, "the measurements")
    n_beats, n_spikes = section[:2]
    # Version 1.1 has a byte more here, and none before 1.3 what stands after the spikes.
    at = 3 if version == 11 else 2
    interval = struct.unpack_from("<H", section, at)[0]
    at += 4
    found: dict[str, float | None] = {}
    if n_beats and len(section) >= at + 16:
        *times, p_axis, qrs_axis, t_axis = struct.unpack_from("<5H3h", section, at)
        p_on, p_off, qrs_on, qrs_off, t_off = (value if value < _NOT_MEASURED else np.nan for value in times)
        found = {"pr": qrs_on - p_on, "p_duration": p_off - p_on, "qrs": qrs_off - qrs_on, "qt": t_off - qrs_on}
        found |= {"p_axis": p_axis, "qrs_axis": qrs_axis, "t_axis": t_axis}
        if p_off > qrs_on:
            del found["p_duration"]
    at += 16 * n_beats + 10 * n_spikes
    if (version == 0 or version >= 13) and len(section) >= at + 2:
        at += 2 + struct.unpack_from("<H", section, at)[0]
        if len(section) >= at + 6:
            found["heart_rate"], _, found["qtc"] = struct.unpack_from("<HHH", section, at)
    if not found.get("heart_rate"):
        found["heart_rate"] = round(60_000 / interval) if 0 < interval < _NOT_MEASURED else None
    return list(found.items())


def _read_statements(sections: _Sections, encoding: str) -> list[str]:
    """Return the statements in full text, of section 8, or if there are none the codes of section 11."""
    for number, n_skipped in ((8, 0), (11, 1)):
        section = _get_section(sections, number, "the statements") if number in sections else bytes(9)
        texts, at = [], 9
        for _ in range(section[8]):
            length = struct.unpack_from("<xH", section, at)[0]
            value = section[at + 3 + n_skipped : at + 3 + length].rstrip(b"\0")
            texts += [_to_text(part, encoding) for part in (value.split(b"\0") if n_skipped else [value])]
            at += 3 + length
        if any(texts):
            return texts
    return []
