"""What files say in one form: units, patient, time and measurements, numbers as text, and XML without its dangers."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from omi_estimators._validation import naming_package
from omi_estimators.readers._record import DAMAGE, ECGFileError

# Both signs that look like a Greek mu; what their bytes in UTF-8, the code page 437 and ISO 8859-7 are in Latin-1;
# the names of HL7 and DICOM.
_MICROVOLTS = {f"{sign}v" for sign in ("u", "\xb5", "\u03bc", "\xe2\xb5", "\xee\xbc", "\xe6", "\xec", "micro")}
_MICROVOLTS |= {"microvolt", "microvolts", "uvolt", "uvolts"}
_MILLIVOLTS = {"v": 1e3, "volt": 1e3, "volts": 1e3, "mv": 1.0, "millivolt": 1.0, "millivolts": 1.0, "mvolt": 1.0}
_MILLIVOLTS |= dict.fromkeys(_MICROVOLTS, 1e-3) | dict.fromkeys(("nv", "nanovolt", "nanovolts"), 1e-6)
_MOST_YEARS = 120.0
_YEARS = {"": 1.0, "y": 1.0, "yr": 1.0, "year": 1.0, "a": 1.0, "m": 1 / 12, "mo": 1 / 12, "month": 1 / 12}
_YEARS |= {"w": 7 / 365.25, "wk": 7 / 365.25, "week": 7 / 365.25, "d": 1 / 365.25, "day": 1 / 365.25}
_YEARS |= {"h": 1 / 8766, "hr": 1 / 8766, "hour": 1 / 8766}
_SEXES = {"m": "male", "male": "male", "man": "male", "f": "female", "female": "female", "w": "female"}
_SEXES |= {"woman": "female"}
# YYYYMMDDHHMMSS with fraction and zone, with or without separators, as HL7, DICOM and ISO 8601 have it.
_STAMP = re.compile(
    r"^(\d{4})-?(\d\d)-?(\d\d)(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(Z|[+-]\d\d:?\d\d)?$"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE = re.compile(r"^(\d{1,4})[-/. :](\d{1,2}|[A-Za-z]{3})[-/. :](\d{1,4})$")
# What is written for a name or a number that nobody wanted to write.
_NOTHING = {
    "anonym",
    "anonymised",
    "anonymized",
    "anonymous",
    "n/a",
    "na",
    "nan",
    "nil",
    "no name",
    "none",
    "not available",
}
_NOTHING |= {"not known", "null", "undefined", "unknown", "unnamed", "unspecified"}
# Beyond these a device's number means that it could not measure.
_RANGES = {"heart_rate": (1, 500), "p_axis": (-360, 360), "qrs_axis": (-360, 360), "t_axis": (-360, 360)}
_INTERVAL = (1, 3000)


def read_aside(what: str, read: Callable[[], Any], notes: list[str]) -> Any:
    """Return a field that the signal does not need, or None and a note if it cannot be read.

    Parameters
    ----------
    what : str
        The field, such as "recording time".
    read : callable
        Returns its value, or None where the file leaves it out.
    notes : list of str
        Gets one more if it is broken.

    Returns
    -------
    object
        The value, or None.
    """
    try:
        return read()
    except DAMAGE as error:
        notes.append(f"The {what} cannot be read ({' '.join(str(error).split())[:80] or type(error).__name__}).")
        return None


def note_unread(what: str, text: object, value: object, notes: list[str]) -> None:
    """Note a field that is there, `text`, and of which nothing could be made, so that `value` is None."""
    said = " ".join(str(text).split()) if text is not None else ""
    if said and value is None:
        notes.append(f"The {what} cannot be read: {said[:40]!r}.")


def to_millivolts(unit: object) -> float:
    """Return the factor from `unit` to millivolts.

    Parameters
    ----------
    unit : str
        Such as "mV", "uV", "MICROVOLTS".

    Returns
    -------
    float
        What a value is multiplied by.

    Raises
    ------
    ECGFileError
        If it is no unit of voltage that is known.
    """
    try:
        return _MILLIVOLTS[str(unit).strip().lower()]
    except KeyError:
        raise ECGFileError(f"its values are in {str(unit)[:40]!r}, not in one of V, mV, uV, nV") from None


def choose_unit(
    stated: str | None, asked: str | None, name: str, notes: dict[str, None], default: str | None = None
) -> float:
    """Return the factor to millivolts of a signal, by its file or else by the caller.

    Parameters
    ----------
    stated : str or None
        What the file says.
    asked : str or None
        What the caller says, which must not contradict it, and counts where the file's cannot be read.
    name : str
        The signal.
    notes : dict
        Gets a key if the file's cannot be read.
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
    said = " ".join((stated or "").split())
    try:
        factor = to_millivolts(said or (default if asked is None else asked))
    except ECGFileError:
        if asked is None:
            what = f"is in {said[:40]!r}, no unit of voltage that is known" if said else "states no unit"
            raise ECGFileError(f"its signal {name} {what}; give unit='uV' or 'mV' if you know it") from None
        notes[f"The unit {said[:20]!r} cannot be read; {asked} was given."] = None
        return to_millivolts(asked)
    if asked is not None and abs(to_millivolts(asked) / factor - 1) > 1e-9:
        raise ECGFileError(f"its signal {name} is in {said}, but unit={asked!r} was given; leave that out")
    return factor


def to_age(
    value: object, unit: object = "years", *, birth: object = None, when: datetime | None = None
) -> tuple[float | None, tuple[str, ...]]:
    """Return an age in years, and a note for each that no patient has.

    Parameters
    ----------
    value : str, float or None
        The number.
    unit : str
        Years, months, weeks, days or hours, in full or by their first letters.
    birth : str, date or None
        The day of birth, which counts where there is no age that a patient has.
    when : datetime or None
        The time of the recording.

    Returns
    -------
    (float or None, tuple of str)
        The age; the notes.
    """
    notes: tuple[str, ...] = ()
    born = to_time(birth)
    by_birth = (when.date() - born.date()).days / 365.25 if born is not None and when is not None else None
    for number, of in ((value, unit), (by_birth, "years")):
        try:
            years = float(str(number).strip().rstrip("+")) * _YEARS[str(of).strip().lower().removesuffix("s")]
        except (KeyError, ValueError):
            continue
        if 0 <= years <= _MOST_YEARS:
            return years, notes
        notes += (f"Left out an age of {years:g} years.",)
    return None, notes


def to_sex(text: object) -> str | None:
    """Return "male" or "female", None for any other word."""
    return _SEXES.get(str(text).strip().lower())


def to_time(text: object) -> datetime | None:
    """Return a time stamp such as 20240315092653.000, 2024-03-15T09:26:53 or 2024-03-15; None for any other text."""
    found = _STAMP.match(str(text).strip())
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(found[i] or 0) for i in range(1, 7))
    try:
        time = datetime(year, month, day, hour, minute, min(second, 59))
        time += timedelta(microseconds=int((found[7] or "0").ljust(6, "0")[:6]))
        zone = found[8]
        return time if zone is None else datetime.strptime(f"{time:%Y%m%d%H%M%S.%f}{zone}", "%Y%m%d%H%M%S.%f%z")
    except (OverflowError, ValueError):
        return None


def to_date(text: object) -> date | None:
    """Return a day such as 31/12/2023, 31.12.2023, 31-Dec-2023 or 2023-12-31; None for any other text."""
    found = _DATE.match(str(text).strip())
    if found is None:
        return None
    first, middle, last = found.groups()
    year, day = (first, last) if len(first) == 4 else (last, first)
    month = middle.lower()
    try:
        return date(
            int(year) if len(year) == 4 else 0, int(month) if month.isdecimal() else _MONTHS.index(month) + 1, int(day)
        )
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


def keep_measured(found: Iterable[tuple[str | None, float | None]]) -> dict[str, float]:
    """Return the first value of each measurement that is there, if a heart can have it."""
    first: dict[str, float] = {}
    for name, value in found:
        if name is not None and value is not None:
            first.setdefault(name, value)
    kept = {}
    for name, value in first.items():
        low, high = _RANGES.get(name, _INTERVAL)
        if low <= value <= high:
            kept[name] = float(value)
    return kept


def decode_base64(text: str | None, what: str) -> bytes:
    """Return the bytes of a text in base64, or raise an ECGFileError that says what they should have been."""
    try:
        return base64.b64decode("".join((text or "").split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ECGFileError(f"the samples of {what} are no base64 ({error}); the file is damaged") from error


def decode_int16(text: str | None, what: str) -> NDArray[np.float64]:
    """Return little-endian 16-bit numbers that are written in base64."""
    data = decode_base64(text, what)
    if len(data) % 2:
        raise ECGFileError(f"the samples of {what} have {len(data)} bytes, which are no 16-bit values")
    return np.frombuffer(data, dtype="<i2").astype(np.float64)


def parse_integers(text: str | None, what: str) -> NDArray[np.float64]:
    """Return numbers that are written as text, parted by blanks or commas."""
    try:
        values = np.array((text or "").replace(",", " ").split(), dtype=np.float64)
    except ValueError as error:
        raise ECGFileError(f"the samples of {what} are not all numbers ({error}); the file is damaged") from error
    if not np.isfinite(values).all():
        raise ECGFileError(f"the samples of {what} are not all finite; the file is damaged")
    return values


def parse_xml(data: bytes) -> Element:
    """Return the root of an XML document, tags and attributes without their namespaces.

    Parameters
    ----------
    data : bytes
        The whole file, in any encoding that it declares.

    Returns
    -------
    Element
        Of `xml.etree.ElementTree`.

    Raises
    ------
    ECGFileError
        If it is not well-formed, in an encoding that is not its own, or defines entities, which can be made to
        grow without limit or to read other files. A document type alone is let through: GE MUSE writes one.
    """
    with naming_package("defusedxml", "io", "Reading XML files"):
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import ParseError, fromstring
    try:
        root: Element = fromstring(data, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    except DefusedXmlException as error:
        raise ECGFileError(f"it defines XML entities, which no ECG needs and which can do harm ({error})") from error
    except (ParseError, ValueError, LookupError) as error:
        raise ECGFileError(
            f"it is not well-formed XML ({error}); it may be cut short or in another encoding"
        ) from error
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = _local(element.tag)
        if any("}" in name for name in element.attrib):
            renamed = {_local(name): value for name, value in element.attrib.items()}
            element.attrib.clear()
            element.attrib.update(renamed)
    return root


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def find_text(element: Element | None, path: str) -> str | None:
    """Return the text at `path` below `element`, stripped; None where there is none."""
    if element is None:
        return None
    text = element.findtext(path)
    return None if text is None or not text.strip() else text.strip()


def find_number(element: Element | None, path: str) -> float | None:
    """Return the number at `path` below `element`; None where there is none, or a word such as "Indeterminate"."""
    return to_number(find_text(element, path))


def find_attribute(element: Element, path: str, name: str) -> str | None:
    """Return an attribute of the first element at `path` below `element`; None where there is none."""
    found = element.find(path)
    return None if found is None else found.get(name)


def to_number(text: str | None) -> float | None:
    """Return `text` as a finite number, or None."""
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < float("inf") else None
