"""GE MUSE XML: eight leads as 16-bit numbers in base64, from which the rest follow."""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from omi_estimators.readers._errors import ECGFileError
from omi_estimators.readers._fields import decode_base64, keep_measured, to_age, to_sex
from omi_estimators.readers._leads import make_signal
from omi_estimators.readers._record import ECGRecord
from omi_estimators.readers._units import to_millivolts
from omi_estimators.readers._xml import find_number, find_text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from omi_estimators.readers._read import Source

_MEASUREMENTS = {
    "heart_rate": "VentricularRate",
    "pr": "PRInterval",
    "qrs": "QRSDuration",
    "qt": "QTInterval",
    "qtc": "QTCorrected",
    "p_axis": "PAxis",
    "qrs_axis": "RAxis",
    "t_axis": "TAxis",
}


def read(source: Source) -> ECGRecord:
    """Read a GE MUSE XML file.

    Parameters
    ----------
    source : Source
        With the root, a RestingECG.

    Returns
    -------
    ECGRecord
        The rhythm, with the measurements of 12SL.

    Raises
    ------
    ECGFileError
        If there is no rhythm waveform, several, or a lead whose samples do not agree with what is said of them.
    """
    root = source.root
    assert root is not None
    waveforms = [each for each in root.iter("Waveform") if (find_text(each, "WaveformType") or "").lower() == "rhythm"]
    if len(waveforms) != 1:
        raise ECGFileError(f"it has {len(waveforms)} waveforms of the rhythm; one is expected")
    sampling_rate = _find_rate(waveforms[0])
    leads = waveforms[0].findall("LeadData")
    signal, derived, missing, notes = make_signal([_read_lead(lead) for lead in leads], sampling_rate)
    off = [find_text(lead, "LeadID") or "?" for lead in leads if (find_text(lead, "LeadOff") or "").upper() == "TRUE"]
    if off:
        notes += (f"The device found these leads off: {', '.join(off)}.",)
    age, age_notes = to_age(
        find_text(root, "PatientDemographics/PatientAge"), find_text(root, "PatientDemographics/AgeUnits") or "years"
    )
    version = find_text(root, "MuseInfo/MuseVersion")
    measured = root.find("RestingECGMeasurements")
    return ECGRecord(
        signal=signal,
        sampling_rate=sampling_rate,
        source_format=f"GE MUSE XML {version or ''}".strip(),
        age=age,
        sex=to_sex(find_text(root, "PatientDemographics/Gender")),
        patient_id=find_text(root, "PatientDemographics/PatientID"),
        recording_time=_find_time(root),
        measurements=keep_measured({name: find_number(measured, tag) for name, tag in _MEASUREMENTS.items()}),
        statements=_join_statements(root.find("Diagnosis")),
        derived_leads=derived,
        missing_leads=missing,
        notes=notes + age_notes,
    )


def _find_rate(waveform: Element) -> float:
    """Return the sampling rate in Hz: a base and a power of ten."""
    base, exponent = find_number(waveform, "SampleBase"), find_number(waveform, "SampleExponent") or 0.0
    if base is None or abs(exponent) > 9:
        raise ECGFileError("it does not say its sampling rate (SampleBase, SampleExponent)")
    return float(base * 10.0**exponent)


def _read_lead(lead: Element) -> tuple[str, NDArray[np.float64]]:
    """Return the name and the millivolts of one lead."""
    name = find_text(lead, "LeadID") or "a lead without a name"
    if find_number(lead, "LeadSampleSize") not in (None, 2.0):
        raise ECGFileError(f"{name} has samples of {find_text(lead, 'LeadSampleSize')} bytes; 2 are expected")
    data = decode_base64(find_text(lead, "WaveFormData"), name)
    for tag, found in (("LeadByteCountTotal", len(data)), ("LeadSampleCountTotal", len(data) / 2)):
        stated = find_number(lead, tag)
        if stated is not None and stated != found:
            raise ECGFileError(f"{name} has {found:g} for {tag}, but the file says {stated:g}; it is damaged")
    checksum = find_text(lead, "LeadDataCRC32")
    if checksum is not None and checksum.isdecimal() and int(checksum) != zlib.crc32(data):
        raise ECGFileError(f"the checksum of {name} is not that of its samples; the file is damaged or was edited")
    resolution = find_number(lead, "LeadAmplitudeUnitsPerBit")
    if not resolution or resolution < 0:
        raise ECGFileError(f"{name} does not say what one bit is (LeadAmplitudeUnitsPerBit)")
    scale = resolution * to_millivolts(find_text(lead, "LeadAmplitudeUnits"))
    return name, np.frombuffer(data, dtype="<i2") * scale


def _find_time(root: Element) -> datetime | None:
    """Return the time of the recording; the date is month first."""
    day = find_text(root, "TestDemographics/AcquisitionDate")
    time = find_text(root, "TestDemographics/AcquisitionTime")
    try:
        return datetime.strptime(f"{day} {time}", "%m-%d-%Y %H:%M:%S")
    except ValueError:
        return None


def _join_statements(diagnosis: Element | None) -> tuple[str, ...]:
    """Return the statements, each of which may go over several elements up to one that ends the line."""
    lines, words = [], []
    for statement in diagnosis.findall("DiagnosisStatement") if diagnosis is not None else ():
        words.append(find_text(statement, "StmtText") or "")
        if any((flag.text or "").strip().upper() == "ENDSLINE" for flag in statement.findall("StmtFlag")):
            lines.append(" ".join(filter(None, words)))
            words = []
    lines.append(" ".join(filter(None, words)))
    return tuple(filter(None, lines))
