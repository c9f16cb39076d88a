"""What files say of patient, time and measurements, in one form."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from omi_estimators.readers._errors import ECGFileError

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
# Beyond these a device's number means that it could not measure.
_RANGES = {"heart_rate": (1, 500), "p_axis": (-360, 360), "qrs_axis": (-360, 360), "t_axis": (-360, 360)}
_INTERVAL = (1, 3000)


def to_age(value: object, unit: object = "years") -> tuple[float | None, tuple[str, ...]]:
    """Return an age in years, and a note if it is none that a patient has.

    Parameters
    ----------
    value : str, float or None
        The number.
    unit : str
        Years, months, weeks, days or hours, in full or by their first letters.

    Returns
    -------
    (float or None, tuple of str)
        The age; the note.
    """
    try:
        number = float(str(value).strip().rstrip("+"))
        years = number * _YEARS[str(unit).strip().lower().removesuffix("s") if unit is not None else ""]
    except (KeyError, ValueError):
        return None, ()
    if not 0 <= years <= _MOST_YEARS:
        return None, (f"Left out an age of {years:g} years.",)
    return years, ()


def age_at(birth: date | None, when: datetime | None) -> tuple[float | None, tuple[str, ...]]:
    """Return the age in years at the time of the recording, if both are known."""
    if birth is None or when is None:
        return None, ()
    return to_age((when.date() - birth).days / 365.25)


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
    """Return the day of a time stamp, None for any other text."""
    time = to_time(text)
    return None if time is None else time.date()


def keep_measured(measured: Mapping[str, float | None]) -> dict[str, float]:
    """Return the measurements that are there and that a heart can have."""
    kept = {}
    for name, value in measured.items():
        low, high = _RANGES.get(name, _INTERVAL)
        if value is not None and low <= value <= high:
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
