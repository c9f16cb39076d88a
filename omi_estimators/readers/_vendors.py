"""XML of three vendors: Philips SierraECG (11 s that can end in a calibration pulse), GE MUSE, and Mortara (ELI)."""

from __future__ import annotations

import re
import zlib
from datetime import datetime
from itertools import islice
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from omi_estimators._validation import naming_package
from omi_estimators.leads import LEADS
from omi_estimators.readers._fields import (
    count_in,
    decode_base64,
    decode_int16,
    find_attribute,
    find_measured,
    find_number,
    find_text,
    note_unread,
    parse_integers,
    read_sex,
    read_time,
    read_unit,
    to_age,
    to_measured,
    to_number,
    to_time,
)
from omi_estimators.readers._leads import choose_rate, common_rate, find_lead, make_record, name_numbered
from omi_estimators.readers._record import ECGFileError, ECGRecord, Source, check_size

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
_NOT_COMPRESSED = {"", "none", "uncompressed", "false", "no"}
_MOST_CHANNELS = 100
# Samples of all leads together; Python takes a second for a million.
_MOST_XLI = 5_000_000
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
        With the root, restingecgdata. `unit` serves leads without a resolution.

    Returns
    -------
    ECGRecord
        QTc is Bazett's where the file has several.

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
    notes: list[str] = []
    about = root.find("dataacquisition/signalcharacteristics")
    rates = [waveform.get("samplespersecond"), find_text(about, "samplingrate")]
    stated_rate = _choose_stated("sampling rate", list(map(to_number, rates)), notes)
    sampling_rate = choose_rate(stated_rate, source.sampling_rate, " ".join(filter(None, rates)), notes)
    stated = [to_number(waveform.get("resolution"))]
    stated += [find_number(about, tag) for tag in ("signalresolution", "resolution")]
    resolution = _choose_stated("resolution", stated, notes)
    counts, labels = _read_philips_counts(waveform, about, sampling_rate, notes)
    scale = resolution / 1000.0 if resolution else count_in(source.unit, "resolution", notes)
    moments = [_find_philips_time(root, place) for place in ("dataacquisition", "reportinfo")]
    time = read_time(moments, notes)
    age = _find_philips_age(root.find("patient/generalpatientdata/age"), time, notes)
    reports = [root.find(place) for place in _PHILIPS_PLACES]
    statements = root.findall("interpretations/interpretation/statement")
    # Each with its reason.
    words = ([find_text(each, "leftstatement"), find_text(each, "rightstatement")] for each in statements)
    return make_record(
        zip(labels, counts * scale, strict=True),
        sampling_rate,
        f"Philips SierraECG XML {find_text(root, 'documentinfo/documentversion') or ''}".strip()[:60],
        age=age,
        sex=read_sex(find_text(root, "patient/generalpatientdata/sex"), notes),
        patient_id=find_text(root, "patient/generalpatientdata/patientid"),
        recording_time=time,
        measured=(
            (name, find_measured(report, tag))
            for name, tags in _PHILIPS_TAGS.items()
            for report in reports
            for tag in tags
        ),
        statements=tuple(filter(None, (" - ".join(filter(None, pair)) for pair in words))),
        notes=notes,
    )


def _choose_stated(what: str, stated: list[float | None], notes: list[str]) -> float | None:
    """Return the first of several numbers that is above zero, with a note if a later one is another."""
    found = [number for number in stated if number is not None and number > 0]
    if len(set(found)) > 1:
        notes.append(
            f"It says several times what its {what} is: {', '.join(f'{i:g}' for i in found)}; the first counts."
        )
    return found[0] if found else None


def _read_philips_counts(
    waveform: Element, about: Element | None, sampling_rate: float, notes: list[str]
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the stored numbers, shape (n_leads, n_samples), and the names of the leads.

    Some store more channels than they name; and who decompresses a file may leave what it said of the compression.
    """
    named = (waveform.get("leadlabels") or "").replace(",", " ").split()
    n_stored, n_allocated = to_number(waveform.get("numberofleads")), find_number(about, "numberchannelsallocated")
    if n_stored is not None and not 1 <= n_stored <= _MOST_CHANNELS:
        raise ECGFileError(f"it says that it has {n_stored:g} leads, but names {len(named)}")
    n_named = int(min(n_stored or n_allocated or len(LEADS), _MOST_CHANNELS))
    labels = named[: int(n_stored or _MOST_CHANNELS)] or list(LEADS[: max(n_named, 1)])
    duration = to_number(waveform.get("durationperchannel"))
    if duration is None or not 2 <= duration * sampling_rate / 1000 < 1e9:
        raise ECGFileError("it does not say how long its leads are (durationperchannel)")
    n_samples = round(duration * sampling_rate / 1000)
    check_size(8.0 * len(labels) * n_samples, f"its {len(labels)} leads of {duration / 1000:g} s")
    text = waveform.text
    encoding = (waveform.get("dataencoding") or "").strip().lower()
    if not encoding:
        # Numbers in text have no letters.
        encoding = "base64" if re.search("[A-Za-z/]", (text or "")[:1000]) else "plain"
    if encoding not in ("base64", "plain"):
        raise ECGFileError(f"its waveform is encoded as {encoding[:40]!r}; Base64 and Plain are read")
    said = {(waveform.get(name) or "").strip().lower() for name in ("compressmethod", "compression")} - _NOT_COMPRESSED
    if encoding == "plain":
        values = parse_integers(text, "the leads")
    else:
        data = decode_base64(text, "the leads")
        fits = len(data) >= 2 * len(labels) * n_samples and len(data) % (2 * n_samples) == 0
        flag = (waveform.get("compressflag") or "").strip().lower()
        if said and not (fits and (flag == "false" or _find_chunks(data, labels, n_samples) is None)):
            if said != {"xli"}:
                raise ECGFileError(f"its waveform is compressed by {min(said)!r}; XLI and none are read")
            leads = _decode_xli(data, labels, n_samples)
            return _restore_limb_leads(leads, labels), labels
        values = decode_int16(text, "the leads")
    n_channels, rest = divmod(values.size, n_samples)
    # More than 16 are rather a wrong duration.
    if rest or not max(len(labels), n_stored or 0) <= n_channels <= max(n_stored or 0, n_allocated or 0, 16):
        raise ECGFileError(
            f"it has {values.size} values, not {int(n_stored or len(labels))} leads x {n_samples} samples as it says; "
            "it is damaged or cut"
        )
    if n_channels > len(labels):
        notes.append(f"Left out {n_channels - len(labels)} channels that it stores after those that it names.")
    leads = values.reshape(n_channels, n_samples)[: len(labels)]
    return _restore_if_differences(leads, labels), labels


def _find_chunks(data: bytes, labels: list[str], n_samples: int) -> list[tuple[int, bytes]] | None:
    """Return first value and compressed bytes of each lead, after a size and 2 unknown bytes; None if sizes are wrong.

    Some have more leads after those that are named.
    """
    chunks, position = [], 0
    for _ in labels:
        size = int.from_bytes(data[position : position + 4], "little", signed=True)
        first = int.from_bytes(data[position + 6 : position + 8], "little", signed=True)
        position += 8
        if not 0 < size <= min(len(data) - position, 4 * n_samples + 1024):
            return None
        chunks.append((first, data[position : position + size]))
        position += size
    return chunks


def _decode_xli(data: bytes, labels: list[str], n_samples: int) -> NDArray[np.float64]:
    """Return the decompressed leads: what the library would do, but for no more bytes than a lead has."""
    with naming_package("sierraecg", "io", "Reading compressed Philips files"):
        from sierraecg.lzw import LzwDecoder
        from sierraecg.xli import xli_decode_deltas
    if len(labels) * n_samples > _MOST_XLI:
        raise ECGFileError(f"it says {n_samples} samples of each lead, compressed; at most {_MOST_XLI} in all are read")
    chunks = _find_chunks(data, labels, n_samples)
    if chunks is None:
        raise ECGFileError("its compressed leads do not have the sizes that it says; the file is damaged")
    leads = np.empty((len(labels), n_samples))
    # Some leads are longer than what they are said to be; a small chunk can unpack to a huge one.
    most = 4 * n_samples + 4096
    for row, (first, chunk) in enumerate(chunks):
        unpacked = list(islice(iter(LzwDecoder(chunk, bits=10).read, -1), most + 1))
        if not 2 * n_samples - 1 <= len(unpacked) <= most:
            found = f"{len(unpacked) // 2}{' or more' if len(unpacked) > most else ''}"
            raise ECGFileError(f"its lead {labels[row]} has {found} samples, not {n_samples} as it says; it is damaged")
        leads[row] = xli_decode_deltas(unpacked + [0] * (len(unpacked) % 2), first)[:n_samples]
    return leads


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


def _find_philips_time(root: Element, place: str) -> str:
    """Return the time that an element states."""
    return " ".join(filter(None, (find_attribute(root, place, name) for name in ("date", "time"))))


def _find_philips_age(age: Element | None, time: datetime | None, notes: list[str]) -> float | None:
    """Return the age in years; what the device assumes without knowing (defaultage) is not one."""
    units = ("years", "months", "weeks", "days", "hours")
    unit = next((each for each in units if find_text(age, each) is not None), "years")
    return to_age(find_text(age, unit), unit, birth=find_text(age, "dateofbirth"), when=time, notes=notes)


def read_muse(source: Source) -> ECGRecord:
    """Read a GE MUSE XML file.

    Parameters
    ----------
    source : Source
        With the root, a RestingECG. `unit` serves leads without one.

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
    leads = waveforms[0].findall("LeadData")
    off = [find_text(lead, "LeadID") or "?" for lead in leads if (find_text(lead, "LeadOff") or "").upper() == "TRUE"]
    notes = [f"The device found these leads off: {', '.join(off)}."] if off else []
    sampling_rate = _find_muse_rate(waveforms[0], source.sampling_rate, notes)
    for tag in ("LeadTimeOffset", "LeadOffsetFirstSample"):
        if len({find_number(lead, tag) or 0.0 for lead in leads}) > 1:
            notes.append(f"The leads are said to begin at different times ({tag}), which was not undone.")
    about, tests = root.find("PatientDemographics"), root.find("TestDemographics")
    day, time_of_day = find_text(tests, "AcquisitionDate"), find_text(tests, "AcquisitionTime")
    recorded = _to_muse_time(day, time_of_day or "00:00:00")
    note_unread("recording time", day and f"{day} {time_of_day or ''}", recorded, notes)
    birth = find_text(about, "DateofBirth")
    age = to_age(
        find_text(about, "PatientAge"),
        find_text(about, "AgeUnits") or "years",
        birth=birth and (_to_muse_time(birth, "00:00:00") or birth),
        when=_to_muse_time(day, "00:00:00"),
        notes=notes,
    )
    measured = root.find("RestingECGMeasurements")
    return make_record(
        [_read_muse_lead(lead, source.unit, notes) for lead in leads],
        sampling_rate,
        f"GE MUSE XML {find_text(root, 'MuseInfo/MuseVersion') or ''}".strip()[:60],
        age=age,
        sex=read_sex(find_text(about, "Gender"), notes),
        patient_id=find_text(about, "PatientID"),
        recording_time=recorded,
        measured=((name, find_measured(measured, tag)) for name, tag in _MUSE_TAGS.items()),
        statements=_join_muse_statements(root.find("Diagnosis")),
        notes=notes,
    )


def _find_muse_rate(waveform: Element, asked: float | None, notes: list[str]) -> float:
    """Return the sampling rate in Hz: a base and a power of ten."""
    base, exponent = find_number(waveform, "SampleBase"), find_number(waveform, "SampleExponent") or 0.0
    stated = None if base is None or abs(exponent) > 9 else base * 10.0**exponent
    return choose_rate(stated, asked, find_text(waveform, "SampleBase") or "", notes)


def _read_muse_lead(lead: Element, unit: str | None, notes: list[str]) -> tuple[str, NDArray[np.float64]]:
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
    if checksum is not None and checksum.lstrip("0") != str(zlib.crc32(data)):
        notes.append(f"The checksum of {name} is not that of its samples: {checksum[:20]!r}. Damaged or edited?")
    counts = np.frombuffer(data, dtype="<i2").astype(np.float64)
    resolution = find_number(lead, "LeadAmplitudeUnitsPerBit")
    if not resolution or resolution < 0:
        return name, counts * count_in(unit, "size of one bit (LeadAmplitudeUnitsPerBit)", notes)
    return name, counts * (resolution * read_unit(find_text(lead, "LeadAmplitudeUnits"), unit, name, notes))


def _to_muse_time(day: str | None, time: str) -> datetime | None:
    """Return a time whose date is month first, as MUSE writes it, or in a style that cannot be mistaken."""
    for style in ("%m-%d-%Y", "%m/%d/%Y", "%Y-%m-%d", "%d-%b-%Y"):
        for clock in ("%H:%M:%S", "%H:%M"):
            try:
                return datetime.strptime(f"{day} {time}", f"{style} {clock}")
            except ValueError:
                continue
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
        With the root, ECG. `unit` serves channels that do not say how many units are 1 mV.

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
    names = name_numbered([channel.get("NAME") or "a channel without a name" for channel in channels], [])
    named = [channel for channel, name in zip(channels, names, strict=True) if find_lead(name)]
    notes: list[str] = []
    rates = {channel.get("SAMPLE_FREQ") or "" for channel in named or channels}
    stated_rate = common_rate(to_number(rate) or 0.0 for rate in rates)
    sampling_rate = choose_rate(stated_rate, source.sampling_rate, " ".join(rates), notes)
    subject = root.find("SUBJECT")
    places = [place for place in (root.find("TYPICAL_CYCLE"), root, subject) if place is not None]
    time = read_time([root.get("ACQUISITION_TIME_XML"), root.get("ACQUISITION_TIME")], notes)
    births = [_attribute(places, "DOB_XML"), _attribute(places, "DOB")]
    birth = next((each for each in births if to_time(each)), births[0] or births[1])
    age = to_age(
        _attribute(places, "AGE"), _attribute(places, "AGE_UNITS") or "years", birth=birth, when=time, notes=notes
    )
    texts = ((each.get("TEXT") or "").strip() for each in root.iter("STATEMENT"))
    return make_record(
        [
            (channel.get("NAME"), _read_mortara_channel(channel, name, source.unit, notes))
            for channel, name in zip(channels, names, strict=True)
        ],
        sampling_rate,
        "Mortara XML",
        age=age,
        sex=read_sex(_attribute(places, "GENDER") or _attribute(places, "SEX"), notes),
        patient_id=(subject.get("ID") or "").strip() or None if subject is not None else None,
        recording_time=time,
        measured=(
            (name, to_measured(_attribute(places, each)))
            for name, written in _MORTARA_NAMES.items()
            for each in written
        ),
        statements=tuple(filter(None, texts)),
        notes=notes,
    )


def _attribute(places: list[Element], name: str) -> str | None:
    """Return the first attribute of this name that is not empty."""
    return next((value for place in places if (value := place.get(name))), None)


def _read_mortara_channel(channel: Element, name: str, unit: str | None, notes: list[str]) -> NDArray[np.float64]:
    """Return the millivolts of one channel; none for one that is no lead."""
    if find_lead(name) is None:
        return np.zeros(0)
    kinds = {"ENCODING": "BASE64", "FORMAT": "SIGNED", "BITS": "16"}
    for attribute, expected in kinds.items():
        found = (channel.get(attribute) or expected).upper()
        if found != expected:
            raise ECGFileError(f"{name} has {attribute} {found!r}; {expected} is read")
    units = to_number(channel.get("UNITS_PER_MV"))
    if not units or units < 0:
        units = 1 / count_in(unit, "number of units in 1 mV (UNITS_PER_MV)", notes)
    values = decode_int16(channel.get("DATA") or channel.text, name)
    stated = to_number(channel.get("DURATION"))
    if stated is not None and stated != values.size:
        raise ECGFileError(f"{name} has {values.size} samples, but says {stated:g}; the file is damaged or cut")
    return values / units
