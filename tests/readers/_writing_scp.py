"""SCP-ECG (EN 1064, ISO 11073-91064): sections of a binary file, compressed in every way that the standard has."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from readers._writing import ABOUT, About, check_leads, make_decoy, to_counts

from omi_estimators.leads import LEADS

_CODES = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64} | {f"V{i}": i + 2 for i in range(1, 7)}
_CODES |= {"-aVR": 65, "V7": 9, "V4R": 12}
NOT_COMPUTED = 29999
# Rows of two tables: the prefix as it is sent, bits after it, what it stands for, and the table that it switches to.
_OWN_TABLES = [
    [("0", 0, 0, 0), ("10", 6, 0, 0), ("1100", 16, 0, 0), ("1101", 6, 40, 0), ("111", 0, 0, 2)],
    [("01", 4, -3, 0), ("1", 17, 0, 0), ("000", 0, 0, 1), ("001", 0, 7, 0)],
]


def write_scp(
    path: Path,
    signal: NDArray[np.floating],
    sampling_rate: float,
    *,
    leads: Sequence[str] = LEADS,
    about: About = ABOUT,
    step: int = 2500,
    huffman: str = "default",
    order: int = 2,
    subtract: bool = False,
    reference_step: int | None = None,
    decimate: int = 1,
    singly: bool = True,
    version: int = 20,
    letters: bool = True,
    edit: Callable[[dict[int, bytes]], None] | None = None,
    checksums: bool = True,
) -> float:
    """Write an SCP-ECG file, and return its quantisation step in mV.

    Parameters
    ----------
    path, signal, sampling_rate, leads, about
        As for all writers; a lead that is NaN at its begin or end was recorded between alone.
    step, reference_step : int
        nV that a count of the rhythm, and of the reference beat, stands for.
    huffman : {"default", "own", "none", "dummy"}
        Tables: those of the standard, two with switches between them, none at all, or one of a single code, which
        some devices mean to be none.
    order : {0, 1, 2}
        Of the differences that are stored.
    subtract : bool
        Whether a reference beat is subtracted.
    decimate : int
        Between QRS complexes one sample is stored for each so many.
    singly : bool
        Whether samples that are left over there are stored one by one, or as one.
    version : int
        Of the protocol, times ten.
    letters : bool
        Whether the pointers have the letters that say what the file is.
    edit : callable
        Gets the sections by number, without headers, to change them.
    checksums : bool
        Whether they are computed, or left out as 0xFFFF.
    """
    check_leads(signal, leads)
    reference_step = reference_step or step
    n_samples = signal.shape[1]
    there = ~np.isnan(signal)
    bounds = [(int(row.argmax()) + 1, n_samples - int(row[::-1].argmax())) for row in there]
    beats = make_beats(n_samples, sampling_rate)
    duration = 600
    reference = to_counts(make_decoy(len(leads), sampling_rate, duration / 1000), reference_step / 1e6)
    reference = reference[:, : int(duration * sampling_rate / 1000)] * np.arange(1, len(leads) + 1)[:, np.newaxis] // 4
    fiducial = reference.shape[1] // 2
    added = add_beats(reference * reference_step / 1e6, beats, fiducial, n_samples) if subtract else 0
    counts = to_counts(signal - added, step / 1e6)
    streams, references = [], []
    for row, beat, (first, last) in zip(counts, reference, bounds, strict=True):
        stored = row[first - 1 : last]
        if decimate > 1:
            stored = leave_out(stored, first, [zone for *_, zone in beats], decimate, singly)
        streams.append(encode(stored, order, huffman))
        references.append(encode(beat, order, huffman))
    interval = round(1e6 / sampling_rate)
    sections = {
        1: _patient(about, version),
        3: struct.pack("<BB", len(leads), int(subtract) | 4 | min(len(leads), 31) << 3)
        + b"".join(struct.pack("<IIB", *bound, _CODES[lead]) for bound, lead in zip(bounds, leads, strict=True)),
        6: _block(step, interval * decimate, order, int(decimate > 1), streams),
        7: _measurements(about),
        8: _statements(about),
    }
    if huffman != "none":
        sections[2] = _tables(huffman)
    if subtract or decimate > 1:
        sections[4] = struct.pack("<HHH", duration, fiducial, len(beats)) + b"".join(
            [struct.pack("<HIII", kind, first, peak, last) for kind, (first, peak, last), _ in beats]
            + [struct.pack("<II", *zone) for *_, zone in beats]
        )
        sections[5] = _block(reference_step, interval, order, 0, references)
    if edit is not None:
        edit(sections)
    path.write_bytes(_pack(sections, version, letters, checksums))
    return step / 1e6


Beat = tuple[int, tuple[int, int, int], tuple[int, int]]


def make_beats(n_samples: int, sampling_rate: float) -> list[Beat]:
    """Return beats each 0.7 s: type, stretch of subtraction with its fiducial point, and protected zone, from 1."""
    peaks = np.arange(0.4, n_samples / sampling_rate - 0.3, 0.7) * sampling_rate
    before, after = int(0.15 * sampling_rate), int(0.25 * sampling_rate)
    return [
        (int(i == 1), (int(p) - before, int(p), min(int(p) + after, n_samples)), (int(p) - 21, int(p) + 18 + i % 3))
        for i, p in enumerate(peaks)
    ]


def add_beats(reference: NDArray[np.float64], beats: list[Beat], fiducial: int, n_samples: int) -> NDArray[np.float64]:
    """Return leads of nothing but the reference beat, where there is a beat of type 0."""
    leads = np.zeros((len(reference), n_samples))
    for kind, (first, peak, last), _ in beats:
        for sample in range(first, last + 1) if kind == 0 else ():
            place = sample - peak + fiducial
            if 1 <= place <= reference.shape[1]:
                leads[:, sample - 1] += reference[:, place - 1]
    return leads


def leave_out(
    row: NDArray[np.int64], start: int, zones: list[tuple[int, int]], factor: int, singly: bool
) -> NDArray[np.int64]:
    """Return a lead, of which each `factor` samples outside of the zones are their mean."""
    kept: list[int] = []
    waiting: list[int] = []

    def flush() -> None:
        kept.extend(waiting if singly or not waiting else [round(float(np.mean(waiting)))])
        waiting.clear()

    for sample, value in enumerate(row.tolist(), start):
        if any(first <= sample <= last for first, last in zones):
            flush()
            kept.append(value)
            continue
        waiting.append(value)
        if len(waiting) == factor:
            kept.append(round(float(np.mean(waiting))))
            waiting.clear()
    flush()
    return np.array(kept)


def encode(row: NDArray[np.int64], order: int, huffman: str) -> bytes:
    """Return the stream of one lead."""
    numbers = np.array(row, dtype=np.int64)
    if order == 1:
        numbers[1:] = np.diff(row)
    elif order == 2 and len(row) > 2:
        numbers[2:] = np.diff(row, 2)
    # Of 16 bits, so that a difference may go round.
    numbers = (numbers + 32768) % 65536 - 32768
    if huffman in ("none", "dummy"):
        return numbers.astype("<i2").tobytes()
    bits = "".join(_default_code(n) for n in numbers.tolist()) if huffman == "default" else _own_codes(numbers)
    bits += "0" * (-len(bits) % 16)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def _default_code(number: int) -> str:
    if abs(number) <= 8:
        return "1" * abs(number) + "0" + ("" if number == 0 else "0" if number > 0 else "1")
    if -128 <= number < 128:
        return "1" * 9 + "0" + f"{number % 256:08b}"
    return "1" * 10 + f"{number % 65536:016b}"


def _own_codes(numbers: NDArray[np.int64]) -> str:
    """Return the codes by the two tables, of which the other is taken after each 37 numbers."""
    bits, table = [], 0
    for i, number in enumerate(numbers.tolist()):
        if i % 37 == 36:
            bits.append(next(prefix for prefix, _, _, switch in _OWN_TABLES[table] if switch))
            table = 1 - table
        for prefix, n_more, value, switch in _OWN_TABLES[table]:
            low, high = (-(2 ** (n_more - 1)), 2 ** (n_more - 1)) if n_more else (0, 1)
            if not switch and low <= number - value < high:
                bits.append(prefix + (f"{(number - value) % 2**n_more:0{n_more}b}" if n_more else ""))
                break
    return "".join(bits)


def _tables(huffman: str) -> bytes:
    if huffman == "default":
        return struct.pack("<H", 19999)
    if huffman == "dummy":
        return struct.pack("<HHBBBhI", 1, 1, 0, 16, 1, 0, 0)
    packed = struct.pack("<H", len(_OWN_TABLES))
    for table in _OWN_TABLES:
        packed += struct.pack("<H", len(table))
        for prefix, n_more, value, switch in table:
            # The prefix is a number whose lowest bit is sent first.
            code = sum(2**i for i, bit in enumerate(prefix) if bit == "1")
            packed += struct.pack("<BBBhI", len(prefix), len(prefix) + n_more, int(not switch), switch or value, code)
    return packed


def _block(step: int, interval: int, order: int, flag: int, streams: list[bytes]) -> bytes:
    sizes = struct.pack(f"<{len(streams)}H", *map(len, streams))
    return struct.pack("<HHBB", step, interval, order, flag) + sizes + b"".join(streams)


def tag(number: int, value: bytes) -> bytes:
    """Return a field of section 1."""
    return struct.pack("<BH", number, len(value)) + value


def _patient(about: About, version: int) -> bytes:
    when, born = about.recording_time, about.birth_date
    device = struct.pack("<HHHBB6sBBBBB16x", 1, 2, 3, 0, 255, b"Cart1\0", version, 0xA0, 1, 0xD0, 1)
    return b"".join(
        [
            tag(0, about.last_name.encode("latin-1") + b"\0"),
            tag(1, b"\0"),
            tag(2, about.patient_id.encode() + b"\0"),
            tag(4, struct.pack("<HB", about.age, 1)),
            tag(5, struct.pack("<HBB", born.year, born.month, born.day)),
            tag(8, bytes([{"male": 1, "female": 2}[about.sex]])),
            tag(14, device + b"1.0\0SN-1\0OS\0SCP\0Some Maker\0"),
            tag(25, struct.pack("<HBB", when.year, when.month, when.day)),
            tag(26, struct.pack("<BBB", when.hour, when.minute, when.second)),
            tag(27, struct.pack("<H", 5)),
            tag(255, b""),
        ]
    )


def _measurements(about: About) -> bytes:
    """Return section 7: two blocks, of which the second is of another beat, and one spike of a pacemaker."""
    said = about.measurements
    onset, qrs = 40, 40 + said["pr"]
    ends = (onset, onset + said["p_duration"], qrs, qrs + said["qrs"], qrs + said["qt"])
    packed = struct.pack("<BBHH", 2, 1, 833, NOT_COMPUTED)
    packed += struct.pack("<5H3h", *ends, said["p_axis"], said["qrs_axis"], said["t_axis"])
    packed += struct.pack("<5H3h", *[NOT_COMPUTED] * 5, 999, 999, 999)
    packed += struct.pack("<Hh", 1200, -3000) + struct.pack("<BBHH", 1, 0, 2, 400)
    packed += struct.pack("<H3B", 3, 0, 1, 0)
    return packed + struct.pack("<HHHBH", said["heart_rate"], NOT_COMPUTED, said["qtc"], 1, 0)


def _statements(about: About) -> bytes:
    when = about.recording_time
    packed = struct.pack("<BHBBBBBB", 0, when.year, when.month, when.day, when.hour, when.minute, when.second, 2)
    for number, text in enumerate(about.statements, 1):
        packed += struct.pack("<BH", number, len(text) + 1) + text.encode() + b"\0"
    return packed


def checksum(data: bytes) -> int:
    """Return the CRC of CCITT: polynomial 0x1021, from 0xFFFF on."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc


def _pack(sections: dict[int, bytes], version: int, letters: bool, checksums: bool) -> bytes:
    def sign(part: bytes) -> bytes:
        return struct.pack("<H", checksum(part) if checksums else 0xFFFF) + part

    def finish(number: int, body: bytes) -> bytes:
        body += bytes(len(body) % 2)
        reserved = b"SCPECG" if letters and number == 0 else bytes(6)
        return sign(struct.pack("<HIBB6s", number, 16 + len(body), version, version, reserved) + body)

    numbers = range(max(12, *(number + 1 for number in sections)))
    made = {number: finish(number, body) for number, body in sections.items()}
    size = 16 + 10 * len(numbers)
    pointers, index = struct.pack("<HII", 0, size, 7), 7 + size
    for number in numbers[1:]:
        length = len(made.get(number, b""))
        pointers += struct.pack("<HII", number, length, index if length else 0)
        index += length
    whole = finish(0, pointers) + b"".join(made[number] for number in sorted(made))
    return sign(struct.pack("<I", 6 + len(whole)) + whole)
