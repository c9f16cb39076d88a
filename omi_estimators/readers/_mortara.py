"""Mortara (ELI) XML: a channel of 16-bit numbers in base64 for each lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from omi_estimators.readers._errors import ECGFileError
from omi_estimators.readers._fields import age_at, decode_int16, keep_measured, to_age, to_date, to_sex, to_time
from omi_estimators.readers._leads import make_signal
from omi_estimators.readers._record import ECGRecord
from omi_estimators.readers._xml import to_number

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from omi_estimators.readers._read import Source

# Names of attributes, on whichever element they stand.
_MEASUREMENTS = {
    "heart_rate": ("VENT_RATE", "HEART_RATE"),
    "pr": ("PR_DURATION", "PR_INTERVAL", "PR_INT", "PR"),
    "p_duration": ("P_DURATION",),
    "qrs": ("QRS_DURATION", "QRSD"),
    "qt": ("QT", "QT_INTERVAL"),
    "qtc": ("QTC", "QTC_BAZETT"),
    "p_axis": ("P_AXIS",),
    "qrs_axis": ("QRS_AXIS",),
    "t_axis": ("T_AXIS",),
}


def read(source: Source) -> ECGRecord:
    """Read a Mortara XML file.

    Parameters
    ----------
    source : Source
        With the root, ECG.

    Returns
    -------
    ECGRecord
        The channels, not the typical cycle.

    Raises
    ------
    ECGFileError
        If there is no channel, one is of an unknown kind or not as long as it says, or rates differ.
    """
    root = source.root
    assert root is not None
    channels = root.findall("CHANNEL")
    if not channels:
        raise ECGFileError("it is XML with the root 'ECG', but has no CHANNEL as files of Mortara have")
    rates = {to_number(channel.get("SAMPLE_FREQ")) for channel in channels}
    sampling_rate = rates.pop()
    if rates or not sampling_rate:
        raise ECGFileError("its channels do not all say the same SAMPLE_FREQ; one rate is expected")
    signal, derived, missing, notes = make_signal([_read_channel(channel) for channel in channels], sampling_rate)
    subject = root.find("SUBJECT")
    time = to_time(root.get("ACQUISITION_TIME_XML")) or to_time(root.get("ACQUISITION_TIME"))
    places = [place for place in (root.find("TYPICAL_CYCLE"), root, subject) if place is not None]
    age, age_notes = to_age(_attribute(places, "AGE"), _attribute(places, "AGE_UNITS") or "years")
    if age is None:
        age, more = age_at(to_date(_attribute(places, "DOB_XML") or _attribute(places, "DOB")), time)
        age_notes += more
    return ECGRecord(
        signal=signal,
        sampling_rate=float(sampling_rate),
        source_format="Mortara XML",
        age=age,
        sex=to_sex(_attribute(places, "GENDER") or _attribute(places, "SEX")),
        patient_id=(subject.get("ID") or None) if subject is not None else None,
        recording_time=time,
        measurements=keep_measured(
            {
                name: next((value for tag in tags if (value := to_number(_attribute(places, tag))) is not None), None)
                for name, tags in _MEASUREMENTS.items()
            }
        ),
        statements=tuple(text for each in root.iter("STATEMENT") if (text := (each.get("TEXT") or "").strip())),
        derived_leads=derived,
        missing_leads=missing,
        notes=notes + age_notes,
    )


def _attribute(places: list[Element], name: str) -> str | None:
    """Return the first attribute of this name that is not empty."""
    return next((value for place in places if (value := place.get(name))), None)


def _read_channel(channel: Element) -> tuple[str, NDArray[np.float64]]:
    """Return the name and the millivolts of one channel."""
    name = channel.get("NAME") or "a channel without a name"
    kinds = {"ENCODING": "BASE64", "FORMAT": "SIGNED", "BITS": "16"}
    for attribute, expected in kinds.items():
        found = channel.get(attribute, expected).upper()
        if found != expected:
            raise ECGFileError(f"{name} has {attribute} {found!r}; {expected} is read")
    units = to_number(channel.get("UNITS_PER_MV"))
    if not units or units < 0:
        raise ECGFileError(f"{name} does not say how many units are 1 mV (UNITS_PER_MV)")
    values = decode_int16(channel.get("DATA") or channel.text, name)
    stated = to_number(channel.get("DURATION"))
    if stated is not None and stated != values.size:
        raise ECGFileError(f"{name} has {values.size} samples, but says {stated:g}; the file is damaged or cut")
    return name, values / units
