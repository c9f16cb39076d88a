"""EDF, EDF+, BDF and BDF+: a header of texts of fixed widths, then blocks of the samples of each signal."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators.readers._fields import choose_unit, note_unread, to_clock, to_date, to_number, to_sex
from omi_estimators.readers._leads import choose_rate, common_rate, find_lead, make_record, name_numbered
from omi_estimators.readers._record import ECGFileError, ECGRecord, Source, check_size

# Fields of the header, and their widths in bytes; then those of each signal.
_FILE_FIELDS = {"version": 8, "patient": 80, "recording": 80, "day": 8, "clock": 8, "n_header": 8, "reserved": 44}
_FILE_FIELDS |= {"n_blocks": 8, "block_duration": 8, "n_signals": 4}
_SIGNAL_FIELDS = {"label": 16, "transducer": 80, "unit": 8, "low": 8, "high": 8, "least": 8, "most": 8, "filter": 80}
_SIGNAL_FIELDS |= {"n_samples": 8, "reserved": 32}
_MOST_SIGNALS = 9999
_TEXTS = ("EDF Annotations", "BDF Annotations")


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
    notes = source.notes
    about, signals, width = _read_header(source)
    counts = [_to_integer(signal["n_samples"]) or 0 for signal in signals]
    if min(counts) < 0 or max(counts) < 1:
        raise ECGFileError("its header contradicts itself in the samples of a block; it is damaged")
    names = name_numbered([signal["label"] for signal in signals], notes)
    leads = [column for column, name in enumerate(names) if find_lead(name) is not None]
    if not leads:
        raise ECGFileError(f"it has none of the twelve leads; its signals are {', '.join(names)[:300]}")
    n_bytes = sum(counts) * width
    start, n_blocks = _find_blocks(about, len(signals), n_bytes, source)
    rate, per_block = _find_rate(about, [counts[column] for column in leads], source), counts[leads[0]]
    first, last = source.choose_part(n_blocks * per_block, rate)
    first_block, last_block = first // per_block, -(-last // per_block)
    check_size(float((last_block - first_block) * n_bytes), f"its {len(counts)} signals")
    with source.path.open("rb") as file:
        file.seek(start + first_block * n_bytes)
        data = np.frombuffer(file.read((last_block - first_block) * n_bytes), dtype=np.uint8)
    blocks = data.reshape(last_block - first_block, sum(counts), width)
    starts = np.cumsum([0, *counts])
    if about["reserved"].upper().startswith(("EDF+D", "BDF+D")):
        texts = [column for column, signal in enumerate(signals) if signal["label"] in _TEXTS]
        _check_continuous(about, blocks[:, starts[texts[0]] : starts[texts[0] + 1]] if texts else blocks[:, :0])
    named = {column: (name, np.zeros(0)) for column, name in enumerate(names) if name not in _TEXTS}
    for column in leads:
        row = _to_integers(blocks[:, starts[column] : starts[column + 1]])
        row = row[first - first_block * per_block : last - first_block * per_block]
        named[column] = (names[column], _scale(row, signals[column], source))
    kind, total = "BDF" if width == 3 else "EDF", n_blocks * per_block / rate
    return make_record(source, named.values(), rate, kind, total_duration=total, **_read_about(about, notes))


def _read_header(source: Source) -> tuple[dict[str, str], list[dict[str, str]], int]:
    """Return what the header says of the file and of each signal, as text, and the bytes of a sample."""
    with source.path.open("rb") as file:
        fixed = file.read(256)
        [about] = _cut_fields(fixed, _FILE_FIELDS, 1)
        n_signals = _to_integer(about["n_signals"])
        if n_signals is None or not 0 < n_signals <= _MOST_SIGNALS:
            raise ECGFileError(f"its header says {about['n_signals']!r} signals; it is damaged or no EDF file")
        content = file.read(256 * n_signals)
    if len(content) < 256 * n_signals:
        raise ECGFileError("its header is cut short; export or copy it again")
    return about, _cut_fields(content, _SIGNAL_FIELDS, n_signals), 3 if fixed[:1] == b"\xff" else 2


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


def _find_blocks(about: dict[str, str], n_signals: int, block: int, source: Source) -> tuple[int, int]:
    """Return where the first block of samples begins, and how many blocks of so many bytes there are."""
    said, n_blocks = about["n_header"], _to_integer(about["n_blocks"])
    start, size = 256 * (n_signals + 1), source.path.stat().st_size
    if _to_integer(said) != start:
        # It follows from the number of signals; if it can be read and is another, one of the two is wrong.
        if _to_integer(said) is not None and size != start + (n_blocks or 0) * block:
            raise ECGFileError(f"its header contradicts itself: {n_signals} signals and {said} bytes")
        source.notes.append(f"The length of the header cannot be right, {said!r}; that of its signals was taken.")
    there, rest = divmod(size - start, block)
    if n_blocks is None or n_blocks == -1:
        # Which a device writes at first, and replaces when the recording ends.
        source.notes.append(f"The header says {about['n_blocks']!r} blocks, and {there} were counted.")
        n_blocks = there
    if n_blocks < 1 or there < n_blocks:
        raise ECGFileError(f"its header says {n_blocks} blocks of {block} bytes, but it has {there}; it is cut")
    if there > n_blocks or rest:
        source.notes.append(f"Left out {size - start - n_blocks * block} bytes after the last block.")
    return start, n_blocks


def _find_rate(about: dict[str, str], counts: list[int], source: Source) -> float:
    """Return the rate of leads of so many samples in a block."""
    said = about["block_duration"]
    duration = to_number(said.replace(",", "."))
    if min(counts) < 1:
        raise ECGFileError("its header contradicts itself: a lead has no samples in a block; it is damaged")
    if duration is None or duration <= 0:
        common_rate(map(float, counts))
        return choose_rate(None, f"{said} s for a block", source)
    # Eight characters have no room for a third of a second.
    return common_rate(round(count / duration, 3) for count in counts)


def _check_continuous(about: dict[str, str], texts: NDArray[np.uint8]) -> None:
    """Raise an ECGFileError if blocks do not follow each other in time, by the times that stand in their texts."""
    times = [to_number(block.tobytes()[:32].partition(b"\x14")[0].decode("latin-1")) for block in texts]
    steps = np.diff(np.array(times, dtype=float)) - (to_number(about["block_duration"]) or np.nan)
    if not texts.size or not (np.abs(steps) <= 1e-3).all():
        raise ECGFileError("it is a discontinuous recording (EDF+D), in parts with gaps between; export one part")


def _to_integers(samples: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return little-endian numbers of two or three bytes, the last axis, as one row."""
    width = samples.shape[2]
    padded = np.zeros((*samples.shape[:2], 4), dtype=np.uint8)
    padded[:, :, 4 - width :] = samples
    numbers: NDArray[np.int32] = padded.reshape(-1, 4).view("<i4")[:, 0] >> (32 - 8 * width)
    return numbers


def _scale(row: NDArray[np.int32], signal: dict[str, str], source: Source) -> NDArray[np.float64]:
    """Return counts of a signal in millivolts."""
    said = [signal[name] for name in ("low", "high", "least", "most")]
    low, high, least, most = (to_number(text.replace(",", ".")) for text in said)
    if low is None or high is None or least is None or most is None or low == high or least == most:
        says = f"goes from {said[2]} to {said[3]} for {said[0]} to {said[1]}"
        raise ECGFileError(f"its header says that {signal['label']} {says}; it is damaged")
    gain = (high - low) / (most - least)
    factor = choose_unit(signal["unit"], signal["label"], source)
    return (row.astype(np.float64) * gain + (low - least * gain)) * factor


def _read_about(about: dict[str, str], notes: list[str]) -> dict[str, Any]:
    """Return patient and time of a recording, as `make_record` takes them."""
    day, clock = _find_day(about, notes), to_clock(about["clock"])
    note_unread("time of day", about["clock"], clock, notes)
    words = about["patient"].split()
    code, sex, said_birth = (words + ["X"] * 3)[:3]
    birth = to_date(said_birth)
    is_dated = said_birth.upper() == "X" or any(map(str.isdigit, said_birth))
    if len(words) >= 3 and sex.upper() in ("F", "M", "X") and is_dated:
        note_unread("day of birth", said_birth, birth, notes)
    else:
        # What plain EDF has here is free text, of which only a number alone can be told from a name.
        is_code = len(words) == 1 and any(map(str.isdigit, code))
        note_unread("patient field", "" if is_code else about["patient"], None, notes)
        code, sex, birth = (code if is_code else ""), "", None
    times = [datetime.combine(day, clock) if day is not None and clock is not None else None]
    return {"birth": birth, "sex": to_sex(sex), "patient_id": code, "times": times}


def _find_day(about: dict[str, str], notes: list[str]) -> date | None:
    """Return the day of a recording, by the field of EDF+ or else that of EDF; None if it was removed."""
    words = [*about["recording"].split(), "", ""]
    full = to_date(words[1]) if words[0].lower() == "startdate" else None
    short, year = about["day"], about["day"][-2:]
    # The format has two digits of a year, from 1985 on.
    century = "19" if year >= "85" else "20"
    day = full or (to_date(f"{short[:-2]}{century}{year}") if year.isdecimal() else None)
    note_unread("day of the recording", short, day, notes)
    # This is what EDF+ wants in the place of a day that was removed.
    return None if day == date(1985, 1, 1) and not full else day
