"""XML of three vendors: Philips SierraECG (11 s that can end in a calibration pulse), GE MUSE, and Mortara (ELI)."""

from __future__ import annotations

import zlib
from datetime import datetime
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from omi_estimators._validation import naming_package
from omi_estimators.leads import LEADS
from omi_estimators.readers._fields import (
    decode_base64,
    decode_int16,
    find_attribute,
    find_number,
    find_text,
    parse_integers,
    to_age,
    to_millivolts,
    to_number,
    to_sex,
    to_time,
)
from omi_estimators.readers._leads import check_rate, make_record
from omi_estimators.readers._record import ECGFileError, ECGRecord, Source

# Tags of the reported values, first those that the reader confirmed, then those of the program alone.
_PHILIPS_TAGS = {
    "heart_rate": ("heartrate", "meanventrate"),
    "pr": ("print", "meanprint"),
    "p_duration": ("pdur",),
    "qrs": ("qrsdur", "meanqrsdur"),
    "qt": ("qtint", "meanqtint"),
    "qtc": ("qtcb", "qtc", "meanqtc"),
    "p_axis": ("pfrontaxis",),
    "qrs_axis": ("qrsfrontaxis",),
    "t_axis": ("tfrontaxis",),
}
_PHILIPS_PLACES = (
    "interpretations/interpretation/globalmeasurements",
    "interpretations/interpretation/interpretationmeasurements",
    "measurements/globalmeasurements",
    "internalmeasurements/globalmeasurements",
)
_LEAST_PULSE = 0.5  # mV
_MUSE_TAGS = {
    "heart_rate": "VentricularRate",
    "pr": "PRInterval",
    "qrs": "QRSDuration",
    "qt": "QTInterval",
    "qtc": "QTCorrected",
    "p_axis": "PAxis",
    "qrs_axis": "RAxis",
    "t_axis": "TAxis",
}
# Names of attributes, on whichever element they stand.
_MORTARA_NAMES = {
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


def read_philips(source: Source) -> ECGRecord:
    """Read a Philips SierraECG XML file, versions 1.03, 1.04, 1.04.01 and 1.04.02.

    Parameters
    ----------
    source : Source
        With the root, restingecgdata.

    Returns
    -------
    ECGRecord
        Without the calibration pulse, if there is one. QTc is Bazett's where the file has several.

    Raises
    ------
    ECGFileError
        If the waveform is missing, of an unknown encoding, or not as long as the file says.
    """
    root = source.root
    waveform = root.find("waveforms/parsedwaveforms")
    if waveform is None:
        waveform = next(root.iter("parsedwaveforms"), None)
    if waveform is None:
        raise ECGFileError("it has no waveform (parsedwaveforms); export it with the waveform")
    about = root.find("dataacquisition/signalcharacteristics")
    sampling_rate = to_number(waveform.get("samplespersecond")) or find_number(about, "samplingrate")
    resolution = to_number(waveform.get("resolution"))
    for tag in ("signalresolution", "resolution"):
        resolution = resolution or find_number(about, tag)
    if not sampling_rate or not resolution or resolution < 0:
        raise ECGFileError("it does not say its sampling rate and resolution")
    check_rate(sampling_rate)
    counts, labels = _read_philips_counts(waveform, about, sampling_rate)
    cut, notes = _cut_calibration(counts * (resolution / 1000.0), sampling_rate)
    time = _find_philips_time(root, "dataacquisition") or _find_philips_time(root, "reportinfo")
    age, age_notes = _find_philips_age(root.find("patient/generalpatientdata/age"), time)
    reports = [root.find(place) for place in _PHILIPS_PLACES]
    statements = root.findall("interpretations/interpretation/statement")
    # Each with its reason.
    words = ([find_text(each, "leftstatement"), find_text(each, "rightstatement")] for each in statements)
    return make_record(
        zip(labels, cut, strict=True),
        sampling_rate,
        f"Philips SierraECG XML {find_text(root, 'documentinfo/documentversion') or ''}".strip(),
        notes=notes,
        age=age,
        sex=to_sex(find_text(root, "patient/generalpatientdata/sex")),
        patient_id=find_text(root, "patient/generalpatientdata/patientid"),
        recording_time=time,
        measured=(
            (name, find_number(report, tag))
            for name, tags in _PHILIPS_TAGS.items()
            for report in reports
            for tag in tags
        ),
        statements=tuple(filter(None, (" - ".join(filter(None, pair)) for pair in words))),
        late_notes=age_notes,
    )


def _read_philips_counts(
    waveform: Element, about: Element | None, sampling_rate: float
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the stored numbers, shape (n_leads, n_samples), and the names of the leads."""
    labels = (waveform.get("leadlabels") or "").split()
    stated = to_number(waveform.get("numberofleads")) or find_number(about, "numberchannelsallocated") or len(LEADS)
    n_leads = int(stated) if 1 <= stated <= 100 else 0
    labels = labels or list(LEADS[:n_leads])
    if not n_leads or len(labels) < n_leads:
        raise ECGFileError(f"it says that it has {stated:g} leads, but names {len(labels)}")
    labels = labels[:n_leads]
    duration = to_number(waveform.get("durationperchannel"))
    if duration is None or not 0 < duration < 1e8:
        raise ECGFileError("it does not say how long its leads are (durationperchannel)")
    n_samples = int(duration * sampling_rate / 1000)
    encoding = (waveform.get("dataencoding") or "").lower()
    compression = (waveform.get("compressmethod") or waveform.get("compression") or "uncompressed").lower()
    text = waveform.text
    if encoding == "base64" and compression == "xli":
        leads = _decode_xli(decode_base64(text, "the leads"), labels, n_samples)
        return _restore_limb_leads(leads, labels), labels
    if compression not in ("uncompressed", "none", ""):
        raise ECGFileError(f"its waveform is compressed by {compression!r}; XLI and none are read")
    if encoding not in ("base64", "plain"):
        raise ECGFileError(f"its waveform is encoded as {encoding!r}; Base64 and Plain are read")
    values = parse_integers(text, "the leads") if encoding == "plain" else decode_int16(text, "the leads")
    if values.size != n_leads * n_samples:
        raise ECGFileError(
            f"it has {values.size} values, not {n_leads} leads x {n_samples} samples as it says; it is damaged or cut"
        )
    return _restore_if_differences(values.reshape(n_leads, n_samples), labels), labels


def _decode_xli(data: bytes, labels: list[str], n_samples: int) -> NDArray[np.float64]:
    """Return the decompressed leads: chunks of a size, 2 unknown bytes, a first value, and the compressed rest."""
    with naming_package("sierraecg", "io", "Reading compressed Philips files"):
        from sierraecg.xli import xli_decode
    # The library trusts the sizes: a negative one would never end, and a small chunk can unpack to a huge one.
    position = 0
    for label in labels:
        size = int.from_bytes(data[position : position + 4], "little", signed=True)
        if not 0 < size <= min(len(data) - position - 8, 4 * n_samples + 1024):
            raise ECGFileError(f"its compressed lead {label} does not have the size that it says; the file is damaged")
        position += 8 + size
    # Version 1.03 has more leads after those that are named.
    leads = xli_decode(data[:position], labels)
    if any(len(lead) < n_samples for lead in leads):
        raise ECGFileError(f"its leads have {min(map(len, leads))} samples, not {n_samples} as it says; it is damaged")
    return np.array([lead[:n_samples] for lead in leads], dtype=np.float64)


def _restore_limb_leads(leads: NDArray[np.float64], labels: list[str]) -> NDArray[np.float64]:
    """Return leads with III and the augmented ones restored, which are stored as what Einthoven's law misses."""
    where = {label: row for row, label in enumerate(labels)}
    if "I" not in where or "II" not in where:
        return leads
    restored = leads.copy()
    first, second = leads[where["I"]], leads[where["II"]]
    third = second - first
    if "III" in where:
        third = restored[where["III"]] = third - leads[where["III"]]
    sums = {"aVR": -np.floor((first + second) / 2), "aVL": np.floor((first - third) / 2)}
    sums["aVF"] = np.floor((second + third) / 2)
    for label, expected in sums.items():
        if label in where:
            restored[where[label]] = expected - leads[where[label]]
    return restored


def _restore_if_differences(leads: NDArray[np.float64], labels: list[str]) -> NDArray[np.float64]:
    """Return uncompressed leads restored if III is stored as a difference: where it is small beside II - I."""
    if not {"I", "II", "III"} <= set(labels):
        return leads
    first, second, third = (leads[labels.index(label)] for label in ("I", "II", "III"))
    misses = np.abs(second - first - third).sum()
    return _restore_limb_leads(leads, labels) if np.abs(third).sum() < 0.5 * misses else leads


def _cut_calibration(leads: NDArray[np.float64], sampling_rate: float) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return leads in mV without their last second, if that ends in a pulse, the same in all leads, from zero."""
    second = round(sampling_rate)
    if len(leads) < 3 or leads.shape[1] < 2 * second:
        return leads, ()
    last = leads[:, -second:]
    differs = np.flatnonzero(np.ptp(last, axis=0) > 0.011)
    same = last[:, int(differs[-1]) + 1 if differs.size else 0 :]
    # A pulse, rather than leads that all fell off: it rises and falls again.
    if same.shape[1] < 0.1 * sampling_rate or np.ptp(same) < _LEAST_PULSE or abs(same[0, -1] - same[0].min()) > 0.1:
        return leads, ()
    return leads[:, :-second], ("Cut off the last second, which ends in the calibration pulse.",)


def _find_philips_time(root: Element, place: str) -> datetime | None:
    """Return the time that an element states."""
    return to_time(f"{find_attribute(root, place, 'date')} {find_attribute(root, place, 'time')}")


def _find_philips_age(age: Element | None, time: datetime | None) -> tuple[float | None, tuple[str, ...]]:
    """Return the age in years; what the device assumes without knowing (defaultage) is not one."""
    if age is None:
        return None, ()
    for tag in ("years", "months", "weeks", "days", "hours"):
        text = find_text(age, tag)
        if text is not None:
            return to_age(text, tag)
    return to_age(None, birth=find_text(age, "dateofbirth"), when=time)


def read_muse(source: Source) -> ECGRecord:
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
    waveforms = [each for each in root.iter("Waveform") if (find_text(each, "WaveformType") or "").lower() == "rhythm"]
    if len(waveforms) != 1:
        raise ECGFileError(f"it has {len(waveforms)} waveforms of the rhythm; one is expected")
    sampling_rate = _find_muse_rate(waveforms[0])
    leads = waveforms[0].findall("LeadData")
    off = [find_text(lead, "LeadID") or "?" for lead in leads if (find_text(lead, "LeadOff") or "").upper() == "TRUE"]
    off_note = (f"The device found these leads off: {', '.join(off)}.",) if off else ()
    about, tests = root.find("PatientDemographics"), root.find("TestDemographics")
    age, age_notes = to_age(find_text(about, "PatientAge"), find_text(about, "AgeUnits") or "years")
    measured = root.find("RestingECGMeasurements")
    return make_record(
        [_read_muse_lead(lead) for lead in leads],
        sampling_rate,
        f"GE MUSE XML {find_text(root, 'MuseInfo/MuseVersion') or ''}".strip(),
        age=age,
        sex=to_sex(find_text(about, "Gender")),
        patient_id=find_text(about, "PatientID"),
        recording_time=_to_muse_time(find_text(tests, "AcquisitionDate"), find_text(tests, "AcquisitionTime")),
        measured=((name, find_number(measured, tag)) for name, tag in _MUSE_TAGS.items()),
        statements=_join_muse_statements(root.find("Diagnosis")),
        late_notes=off_note + age_notes,
    )


def _find_muse_rate(waveform: Element) -> float:
    """Return the sampling rate in Hz: a base and a power of ten."""
    base, exponent = find_number(waveform, "SampleBase"), find_number(waveform, "SampleExponent") or 0.0
    if base is None or abs(exponent) > 9:
        raise ECGFileError("it does not say its sampling rate (SampleBase, SampleExponent)")
    return float(base * 10.0**exponent)


def _read_muse_lead(lead: Element) -> tuple[str, NDArray[np.float64]]:
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


def _to_muse_time(day: str | None, time: str | None) -> datetime | None:
    """Return a time whose date is month first."""
    try:
        return datetime.strptime(f"{day} {time}", "%m-%d-%Y %H:%M:%S")
    except ValueError:
        return None


def _join_muse_statements(diagnosis: Element | None) -> tuple[str, ...]:
    """Return the statements, each of which may go over several elements up to one that ends the line."""
    lines, words = [], []
    for statement in diagnosis.findall("DiagnosisStatement") if diagnosis is not None else ():
        words.append(find_text(statement, "StmtText") or "")
        if any((flag.text or "").strip().upper() == "ENDSLINE" for flag in statement.findall("StmtFlag")):
            lines.append(" ".join(filter(None, words)))
            words = []
    lines.append(" ".join(filter(None, words)))
    return tuple(filter(None, lines))


def read_mortara(source: Source) -> ECGRecord:
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
    channels = root.findall("CHANNEL")
    if not channels:
        raise ECGFileError("it is XML with the root 'ECG', but has no CHANNEL as files of Mortara have")
    rates = {to_number(channel.get("SAMPLE_FREQ")) for channel in channels}
    sampling_rate = rates.pop()
    if rates or not sampling_rate:
        raise ECGFileError("its channels do not all say the same SAMPLE_FREQ; one rate is expected")
    subject = root.find("SUBJECT")
    places = [place for place in (root.find("TYPICAL_CYCLE"), root, subject) if place is not None]
    time = to_time(root.get("ACQUISITION_TIME_XML")) or to_time(root.get("ACQUISITION_TIME"))
    birth = _attribute(places, "DOB_XML") or _attribute(places, "DOB")
    age, age_notes = to_age(
        _attribute(places, "AGE"), _attribute(places, "AGE_UNITS") or "years", birth=birth, when=time
    )
    texts = ((each.get("TEXT") or "").strip() for each in root.iter("STATEMENT"))
    return make_record(
        [_read_mortara_channel(channel) for channel in channels],
        sampling_rate,
        "Mortara XML",
        age=age,
        sex=to_sex(_attribute(places, "GENDER") or _attribute(places, "SEX")),
        patient_id=(subject.get("ID") or None) if subject is not None else None,
        recording_time=time,
        measured=(
            (name, to_number(_attribute(places, each))) for name, written in _MORTARA_NAMES.items() for each in written
        ),
        statements=tuple(filter(None, texts)),
        late_notes=age_notes,
    )


def _attribute(places: list[Element], name: str) -> str | None:
    """Return the first attribute of this name that is not empty."""
    return next((value for place in places if (value := place.get(name))), None)


def _read_mortara_channel(channel: Element) -> tuple[str, NDArray[np.float64]]:
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
