"""What files say in one form: units, patient, time and measurements, numbers as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from typing import Any

import numpy as np

from omi_estimators.readers._record import DAMAGE, ECGFileError, Source

# Both signs that look like a Greek mu; what their bytes in UTF-8, the code page 437 and ISO 8859-7 are in Latin-1;
# the names of HL7 and DICOM.
_MICROVOLTS = {f"{sign}v" for sign in ("u", "\xb5", "\u03bc", "\xe2\xb5", "\xee\xbc", "\xe6", "\xec", "micro")}
_MICROVOLTS |= {"microvolt", "microvolts", "uvolt", "uvolts"}
_MILLIVOLTS = {"v": 1e3, "volt": 1e3, "volts": 1e3, "mv": 1.0, "millivolt": 1.0, "millivolts": 1.0, "mvolt": 1.0}
_MILLIVOLTS |= dict.fromkeys(_MICROVOLTS, 1e-3) | dict.fromkeys(("nv", "nanovolt", "nanovolts"), 1e-6)
_MOST_YEARS = 120.0
_YEARS = {"": 1.0} | dict.fromkeys(("y", "yr", "year", "a"), 1.0) | dict.fromkeys(("m", "mo", "mth", "month"), 1 / 12)
_YEARS |= dict.fromkeys(("w", "wk", "week"), 7 / 365.25) | dict.fromkeys(("d", "day"), 1 / 365.25)
_YEARS |= dict.fromkeys(("h", "hr", "hour"), 1 / 8766)
_SEXES = dict.fromkeys(("m", "male", "man", "m\xe4nnlich"), "male")
_SEXES |= dict.fromkeys(("f", "female", "w", "woman", "weiblich"), "female")
# A number, and the unit that some write behind it.
_AGE = re.compile(r"^\+?(\d{1,9}(?:\.\d{0,20})?)\+?\s*([a-z]*)$")
# What stands for "not known", which is no mistake of a file.
_UNKNOWN = {"u", "un", "unk", "undetermined", "not specified", "indeterminate", "other", "o", "n"}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE = re.compile(r"^(\d{1,4})[-/. :](\d{1,2}|[A-Za-z]{3})[-/. :](\d{1,4})$")
_CLOCK = re.compile(r"(\d{1,2})[:.](\d{1,2})[:.](\d{1,2})(?:\.(\d{1,9}))?")
# What is written for a name or a number that nobody wanted to write.
_NOTHING = {"anonym", "anonymised", "anonymized", "anonymous", "n/a", "na", "nan", "nil", "no name", "none", "null"}
_NOTHING |= {"not available", "not known", "undefined", "unknown", "unnamed", "unspecified"}
# Beyond these a device's number means that it could not measure.
_RANGES = {"heart_rate": (1, 500), "p_axis": (-360, 360), "qrs_axis": (-360, 360), "t_axis": (-360, 360)}
_INTERVAL = (1, 3000)


def read_aside(what: str, read: Callable[[], Any], notes: list[str]) -> Any:
    """Return a field that the signal does not need, or None and a note if it cannot be read."""
    try:
        return read()
    except DAMAGE as error:
        notes.append(f"The {what} cannot be read ({' '.join(str(error).split())[:80] or type(error).__name__}).")
        return None


def note_unread(what: str, text: object, value: object, notes: list[str]) -> None:
    """Note a field that is there, `text`, and of which nothing could be made, so that `value` is None."""
    said = " ".join(str(text)[:200].split()) if text is not None else ""
    if value is None and is_stated(said) and said.lower() not in _UNKNOWN:
        notes.append(f"The {what} cannot be read: {said[:40]!r}.")


def to_millivolts(unit: object) -> float:
    """Return the factor from `unit`, such as "mV", "uV" or "MICROVOLTS", to millivolts, or raise an ECGFileError."""
    try:
        return _MILLIVOLTS[str(unit).strip().lower()]
    except KeyError:
        raise ECGFileError(f"its values are in {str(unit)[:40]!r}, not in one of V, mV, uV, nV") from None


def is_voltage(unit: str) -> bool:
    """Return whether a text is a unit of voltage that is known."""
    return unit.strip().lower() in _MILLIVOLTS


def choose_unit(stated: str | None, name: str, source: Source, default: str | None = None) -> float:
    """Return the factor to millivolts of a signal, by its file or else by the caller.

    Parameters
    ----------
    stated : str or None
        What the file says.
    name : str
        The signal.
    source : Source
        Its `unit` must not contradict the file's, and counts, with a note, where that cannot be read.
    default : str or None
        What the format means by none.

    Returns
    -------
    float
        What a value is multiplied by.

    Raises
    ------
    ECGFileError
        If there is neither, or the one contradicts the other.
    """
    said, asked = " ".join((stated or "").split()), source.unit
    try:
        factor = to_millivolts(said or (default if asked is None else asked))
    except ECGFileError:
        if asked is None:
            what = f"is in {said[:40]!r}, no unit of voltage that is known" if said else "states no unit"
            raise ECGFileError(f"its signal {name} {what}; give unit='uV' or 'mV' if you know it") from None
        source.notes.append(f"The unit {said[:20]!r} cannot be read; {asked} was given.")
        return to_millivolts(asked)
    if asked is not None and abs(to_millivolts(asked) / factor - 1) > 1e-9:
        raise ECGFileError(f"its signal {name} is in {said}, but unit={asked!r} was given; leave that out")
    return factor


def count_in_unit_asked(what: str, source: Source) -> float:
    """Return the millivolts of one count by the caller's unit, where the file does not say them; `what` is absent."""
    if source.unit is None:
        raise ECGFileError(f"it does not say the {what}; give unit= of one count if you know it")
    source.notes.append(f"The {what} cannot be read; counts of {source.unit} were given.")
    return to_millivolts(source.unit)


def to_age(value: object, unit: object, birth: object, when: datetime | None, notes: list[str]) -> float | None:
    """Return an age in years, None if there is none that a patient has.

    Parameters
    ----------
    value : str, float or None
        The number, which may have a unit of its own behind it ("066Y").
    unit : str or None
        Years, months, weeks, days or hours, in full or by their first letters; years if None.
    birth : str, date or None
        The day of birth, which counts where there is no age that a patient has.
    when : datetime or None
        The time of the recording.
    notes : list of str
        Gets one for each age that no patient has or that cannot be read.

    Returns
    -------
    float or None
        The age.
    """
    found = _AGE.match("" if value is None else str(value)[:200].strip().lower())
    of = (found[2] or str(unit or "").strip().lower()).removesuffix("s") if found else ""
    stated = float(found[1]) * _YEARS[of] if found and of in _YEARS else None
    note_unread("age", value, stated, notes)
    born = to_time(birth)
    by_birth = (when.date() - born.date()).days / 365.25 if born is not None and when is not None else None
    for years in (stated, by_birth):
        if years is not None and 0 <= years <= _MOST_YEARS:
            return years
        notes += [] if years is None else [f"Left out an age of {years:g} years."]
    note_unread("date of birth", birth, born, notes)
    return None


def to_sex(text: object) -> str | None:
    """Return "male" or "female", None for any other word."""
    return _SEXES.get(str(text).strip().lower())


def to_time(text: object) -> datetime | None:
    """Return a time stamp such as 20240315092653.000, 2024-03-15T09:26:53 or 2024-03-15; None for any other text."""
    # As ISO 8601 has them: HL7 and DICOM leave out the T, and some put a blank before the zone.
    said = re.sub(r"^(\d{8})(?=\d)", r"\1T", str(text).strip())
    try:
        return datetime.fromisoformat(re.sub(r"\s+(?=[+-]\d\d:?\d\d$)", "", said))
    except ValueError:
        return None


def to_date(text: object) -> date | None:
    """Return a day such as 31/12/2023, 31.12.2023, 31-Dec-2023 or 2023-12-31; None for any other text."""
    found = _DATE.match(str(text).strip())
    if found is None:
        return None
    first, middle, last = found.groups()
    year, day = (first, last) if len(first) == 4 else (last, first)
    try:
        month = int(middle) if middle.isdecimal() else _MONTHS.index(middle.lower()) + 1
        return date(int(year) if len(year) == 4 else 0, month, int(day))
    except ValueError:
        return None


def to_clock(text: str) -> time | None:
    """Return a time of day such as 14:50:55.25 or 14.50.55, None for any other text."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    try:
        return time(int(found[1]), int(found[2]), int(found[3]), int((found[4] or "0").ljust(6, "0")[:6]))
    except ValueError:
        return None


def is_stated(text: object) -> bool:
    """Return whether a text says something, and is no placeholder such as "X", "0", "---" or "anonymous"."""
    said = " ".join(str(text if text is not None else "").split()).lower().strip("<>()[]")
    return bool(said.strip("0x-?._*# ")) and said not in _NOTHING


def decode_text(data: bytes) -> str:
    """Return a text in UTF-8 or UTF-16, else in Latin-1, of which every sequence of bytes is some."""
    head = data[:1000]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in head:
        # Every other byte of a Western text in UTF-16 is 0.
        encoding = "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
    else:
        encoding = "utf-8-sig"
    try:
        # A cut may leave half a character at the end.
        return data[: len(data) // 2 * 2].decode(encoding) if "16" in encoding else data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("latin-1")


def keep_measured(found: Iterable[tuple[str | None, float | None]], notes: list[str]) -> dict[str, float]:
    """Return the first value of each measurement that is there, if a heart can have it; else it is noted.

    A value that is NaN is one that the device calls indeterminate: later ones of its name do not count. A P wave that
    is longer than PR is left out; of QRS and QT one must be wrong where QRS is longer, and no one knows which.
    """
    first: dict[str, float] = {}
    for name, value in found:
        if name is not None and value is not None:
            first.setdefault(name, float(value))
    kept = {}
    for name, value in first.items():
        low, high = _RANGES.get(name, _INTERVAL)
        if low <= value <= high:
            kept[name] = value
        elif value and not np.isnan(value):
            notes.append(f"Left out what the device measured as {name}, {value:g}: no heart has that.")
    for part, whole, wrong in (("p_duration", "pr", ("p_duration",)), ("qrs", "qt", ("qrs", "qt", "qtc"))):
        if part in kept and whole in kept and kept[part] > kept[whole]:
            notes.append(
                f"Left out of what the device measured: {', '.join(name for name in wrong if name in kept)}. It says "
                f"that {part} is {kept[part]:g} ms and {whole}, of which that is a part, {kept[whole]:g} ms."
            )
            kept = {name: value for name, value in kept.items() if name not in wrong}
    return kept


def to_measured(text: str | None) -> float | None:
    """Return `text` as a number, NaN if it is a word such as "Indeterminate" instead, None if there is none."""
    number = to_number(text)
    return float("nan") if number is None and text is not None and text.strip() else number


def to_number(text: str | None) -> float | None:
    """Return `text` as a finite number, or None."""
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < float("inf") else None
