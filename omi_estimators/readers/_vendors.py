"""XML of vendors: Philips SierraECG (11 s that can end in a calibration pulse), GE MUSE and CardioSoft, Mortara (ELI).

CardioSoft, as UK Biobank has its ECGs at rest and in exercise (fields 20205 and 6025), is read after public programs
that read those files and the names in GE's export manual.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from omi_estimators._validation import naming_package
from omi_estimators.leads import LEADS
from omi_estimators.readers._fields import choose_unit, count_in_unit_asked, to_measured, to_number, to_time
from omi_estimators.readers._leads import choose_rate, common_rate, find_lead, make_record, name_numbered
from omi_estimators.readers._record import MEASUREMENTS, ECGFileError, ECGRecord, Source, check_size
from omi_estimators.readers._xml import check_count, decode_base64, decode_int16, find_number, find_text, parse_numbers

_Named = list[tuple[str, NDArray[np.float64]]]

# Where each format says what the device measured: the elements to look below, and places there in the order of
# MEASUREMENTS, one after another where there are several.
_PHILIPS_REPORTS = (
    # First what the reader confirmed, then what the program said alone.
    *(f"interpretations/interpretation/{tag}" for tag in ("globalmeasurements", "interpretationmeasurements")),
    *(f"{tag}/globalmeasurements" for tag in ("measurements", "internalmeasurements")),
)
_PHILIPS_MEASURED = ["heartrate meanventrate", "print meanprint", "pdur", "qrsdur meanqrsdur", "qtint meanqtint"]
_PHILIPS_MEASURED += ["qtcb qtc meanqtc", "pfrontaxis", "qrsfrontaxis", "tfrontaxis"]
_GE_REPORTS = ("RestingECGMeasurements",)
_GE_MEASURED = ["VentricularRate", "PRInterval PQInterval", "PDuration", "QRSDuration", "QTInterval"]
_GE_MEASURED += ["QTCorrected QTCInterval", "PAxis", "RAxis", "TAxis"]
_MORTARA_PLACES = ("TYPICAL_CYCLE", ".", "SUBJECT")
_MORTARA_MEASURED = ["@VENT_RATE @HEART_RATE", "@PR_DURATION @PR_INTERVAL @PR_INT @PR", "@P_DURATION"]
_MORTARA_MEASURED += ["@QRS_DURATION @QRSD", "@QT @QT_INTERVAL", "@QTC @QTC_BAZETT", "@P_AXIS", "@QRS_AXIS", "@T_AXIS"]
_NOT_COMPRESSED = {"", "none", "uncompressed", "false", "no"}
_MOST_CHANNELS = 100
# Samples of all leads together; Python takes a second for a million.
_MOST_XLI = 5_000_000
_CARDIOSOFT_STATEMENTS = ("Diagnosis/DiagnosisText", "Conclusion/ConclusionText", "Statement")


def _find_measured(root: Element, reports: tuple[str, ...], names: list[str]) -> Iterator[tuple[str, float | None]]:
    """Yield name and value of what a device measured, from each of its reports."""
    for name, places in zip(MEASUREMENTS, names, strict=True):
        for report in reports:
            for place in places.split():
                yield name, to_measured(find_text(root.find(report), place))


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
    waveform = next(root.iterfind("waveforms/parsedwaveforms"), next(root.iter("parsedwaveforms"), None))
    if waveform is None:
        raise ECGFileError("it has no waveform (parsedwaveforms); export it with the waveform")
    about = root.find("dataacquisition/signalcharacteristics")
    rates = [find_text(waveform, "@samplespersecond"), find_text(about, "samplingrate")]
    stated = _choose_stated("sampling rate", [to_number(rate) for rate in rates], source.notes)
    sampling_rate = choose_rate(stated, " ".join(filter(None, rates)), source)
    resolutions = [find_number(waveform, "@resolution")]
    resolutions += [find_number(about, tag) for tag in ("signalresolution", "resolution")]
    resolution = _choose_stated("resolution", resolutions, source.notes)
    counts, labels = _read_philips_counts(waveform, about, sampling_rate, source.notes)
    scale = resolution / 1000 if resolution else count_in_unit_asked("resolution", source)
    patient = root.find("patient/generalpatientdata")
    # What the device assumes without knowing (defaultage) is no age.
    units = ("years", "months", "weeks", "days", "hours")
    ages = [(find_text(patient, f"age/{unit}"), unit) for unit in units]
    statements = root.findall("interpretations/interpretation/statement")
    return make_record(
        source,
        zip(labels, counts * scale, strict=True),
        sampling_rate,
        f"Philips SierraECG XML {find_text(root, 'documentinfo/documentversion') or ''}",
        age=next((each for each in ages if each[0]), (None, None)),
        birth=find_text(patient, "age/dateofbirth"),
        sex=find_text(patient, "sex"),
        patient_id=find_text(patient, "patientid"),
        times=[_join(root, f"{i}@date", f"{i}@time") for i in ("dataacquisition", "reportinfo")],
        measured=_find_measured(root, _PHILIPS_REPORTS, _PHILIPS_MEASURED),
        # Each with its reason.
        statements=[_join(each, "leftstatement", "rightstatement", by=" - ") for each in statements],
    )


def _join(element: Element | None, *places: str, by: str = " ") -> str:
    """Return what is said at several places, in one text."""
    return by.join(filter(None, (find_text(element, place) for place in places)))


def _choose_stated(what: str, stated: list[float | None], notes: list[str]) -> float | None:
    """Return the first of several numbers that is above zero, with a note if a later one is another."""
    found = [number for number in stated if number is not None and number > 0]
    if len(set(found)) > 1:
        said = ", ".join(f"{each:g}" for each in found)
        notes.append(f"It says several times what its {what} is: {said}; the first counts.")
    return found[0] if found else None


def _read_philips_counts(
    waveform: Element, about: Element | None, sampling_rate: float, notes: list[str]
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the stored numbers, shape (n_leads, n_samples), and the names of the leads.

    Some store more channels than they name; and who decompresses a file may leave what it said of the compression.
    """
    labels = (find_text(waveform, "@leadlabels") or "").replace(",", " ").split()
    stated, n_allocated = find_number(waveform, "@numberofleads"), find_number(about, "numberchannelsallocated")
    if stated is not None and not 1 <= stated <= _MOST_CHANNELS:
        raise ECGFileError(f"it says that it has {stated:g} leads, but names {len(labels)}")
    labels = labels[: int(stated or _MOST_CHANNELS)] or list(LEADS[: max(int(stated or n_allocated or 12), 1)])
    n_samples = (find_number(waveform, "@durationperchannel") or 0) * sampling_rate / 1000
    if not 2 <= n_samples < 1e9:
        raise ECGFileError("it does not say how long its leads are (durationperchannel)")
    n_samples = round(n_samples)
    check_size(8.0 * len(labels) * n_samples, f"its {len(labels)} leads of {n_samples} samples")
    # Numbers in text have no letters.
    has_letters = re.search("[A-Za-z/]", (waveform.text or "")[:1000])
    encoding = (find_text(waveform, "@dataencoding") or ("base64" if has_letters else "plain")).lower()
    if encoding == "plain":
        values = parse_numbers(waveform.text, "the leads")
    elif encoding == "base64":
        data = decode_base64(waveform.text, "the leads")
        said = {(find_text(waveform, f"@{name}") or "").lower() for name in ("compressmethod", "compression")}
        fits = len(data) >= 2 * len(labels) * n_samples and len(data) % (2 * n_samples) == 0
        is_unpacked = fits and (
            waveform.get("compressflag") in ("False", "false") or not _find_chunks(data, labels, n_samples)
        )
        if said - _NOT_COMPRESSED and not is_unpacked:
            if said - _NOT_COMPRESSED != {"xli"}:
                raise ECGFileError(f"its waveform is compressed by {said - _NOT_COMPRESSED}; XLI and none are read")
            return _restore_limb_leads(_decode_xli(data, labels, n_samples), labels), labels
        values = decode_int16(waveform.text, "the leads")
    else:
        raise ECGFileError(f"its waveform is encoded as {encoding[:40]!r}; Base64 and Plain are read")
    n_channels, rest = divmod(values.size, n_samples)
    # More than 16 are rather a wrong duration.
    if rest or not max(len(labels), stated or 0) <= n_channels <= max(stated or 0, n_allocated or 0, 16):
        says = f"{int(stated or len(labels))} leads x {n_samples} samples"
        raise ECGFileError(f"it has {values.size} values, not {says} as it says; it is damaged or cut")
    if n_channels > len(labels):
        notes.append(f"Left out {n_channels - len(labels)} channels that it stores after those that it names.")
    leads = values.reshape(n_channels, n_samples)[: len(labels)]
    # Leads are differences here too where III is small beside II - I.
    if {"I", "II", "III"} <= set(labels):
        first, second, third = (leads[labels.index(label)] for label in ("I", "II", "III"))
        if np.abs(third).sum() < 0.5 * np.abs(second - first - third).sum():
            leads = _restore_limb_leads(leads, labels)
    return leads, labels


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
    restored = dict(zip(labels, leads.copy(), strict=True))
    if {"I", "II"} <= set(labels):
        first, second = restored["I"], restored["II"]
        third = second - first - restored.get("III", 0.0)
        expected = {"aVR": -np.floor((first + second) / 2), "aVL": np.floor((first - third) / 2)}
        expected |= {"aVF": np.floor((second + third) / 2), "III": second - first}
        restored |= {label: expected[label] - restored[label] for label in expected if label in restored}
    return np.array([restored[label] for label in labels])


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
    if off:
        source.notes.append(f"The device found these leads off: {', '.join(off)}.")
    # A base and a power of ten.
    base, exponent = find_number(waveforms[0], "SampleBase"), find_number(waveforms[0], "SampleExponent") or 0.0
    stated = None if base is None or abs(exponent) > 9 else base * 10.0**exponent
    sampling_rate = choose_rate(stated, find_text(waveforms[0], "SampleBase") or "", source)
    for tag in ("LeadTimeOffset", "LeadOffsetFirstSample"):
        if len({find_number(lead, tag) or 0.0 for lead in leads}) > 1:
            source.notes.append(f"The leads are said to begin at different times ({tag}), which was not undone.")
    about, tests = root.find("PatientDemographics"), root.find("TestDemographics")
    moment, birth = _join(tests, "AcquisitionDate", "AcquisitionTime"), find_text(about, "DateofBirth")
    return make_record(
        source,
        [_read_muse_lead(lead, source) for lead in leads],
        sampling_rate,
        f"GE MUSE XML {find_text(root, 'MuseInfo/MuseVersion') or ''}",
        age=(find_text(about, "PatientAge"), find_text(about, "AgeUnits")),
        birth=_parse_muse_time(birth) or birth,
        sex=find_text(about, "Gender"),
        patient_id=find_text(about, "PatientID"),
        times=[_parse_muse_time(moment) or moment],
        measured=_find_measured(root, _GE_REPORTS, _GE_MEASURED),
        statements=_join_muse_statements(root),
    )


def _read_muse_lead(lead: Element, source: Source) -> tuple[str, NDArray[np.float64]]:
    """Return the name and the millivolts of one lead."""
    name = find_text(lead, "LeadID") or "a lead without a name"
    if find_number(lead, "LeadSampleSize") not in (None, 2.0):
        raise ECGFileError(f"{name} has samples of {find_text(lead, 'LeadSampleSize')} bytes; 2 are expected")
    counts = decode_int16(find_text(lead, "WaveFormData"), name)
    n_bytes = find_number(lead, "LeadByteCountTotal")
    for stated in (find_number(lead, "LeadSampleCountTotal"), n_bytes and n_bytes / 2):
        check_count(name, counts, stated)
    checksum = find_text(lead, "LeadDataCRC32")
    if checksum is not None and checksum.lstrip("0") != str(zlib.crc32(counts.astype("<i2").tobytes())):
        source.notes.append(f"The checksum of {name} is not that of its samples: {checksum[:20]!r}. Damaged or edited?")
    resolution = find_number(lead, "LeadAmplitudeUnitsPerBit")
    if not resolution or resolution < 0:
        return name, counts * count_in_unit_asked("size of one bit (LeadAmplitudeUnitsPerBit)", source)
    unit = find_text(lead, "LeadAmplitudeUnits") or "none"
    return name, counts * (resolution * choose_unit(unit, name, source))


def _parse_muse_time(text: str | None) -> datetime | None:
    """Return a time whose date is month first, as MUSE writes it, or in a style that cannot be mistaken."""
    for day in ("%m-%d-%Y", "%m/%d/%Y", "%Y-%m-%d", "%d-%b-%Y"):
        for clock in (" %H:%M:%S", " %H:%M", ""):
            try:
                return datetime.strptime(text or "", f"{day}{clock}")
            except ValueError:
                continue
    return None


def _join_muse_statements(root: Element) -> list[str]:
    """Return the statements, each of which may go over several elements up to one that ends the line."""
    lines = [""]
    for statement in root.findall("Diagnosis/DiagnosisStatement"):
        lines[-1] = f"{lines[-1]} {find_text(statement, 'StmtText') or ''}".strip()
        if any((flag.text or "").strip().upper() == "ENDSLINE" for flag in statement.findall("StmtFlag")):
            lines.append("")
    return lines


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
    names = name_numbered([channel.get("NAME") or "a channel without a name" for channel in channels], source.notes)
    leads = [channel for channel, name in zip(channels, names, strict=True) if find_lead(name)]
    rates = {channel.get("SAMPLE_FREQ") or "" for channel in leads or channels}
    sampling_rate = choose_rate(common_rate(to_number(rate) or 0.0 for rate in rates), " ".join(rates), source)

    def said(*attributes: str) -> str | None:
        return find_text(root, *(f"{place}@{name}" for name in attributes for place in _MORTARA_PLACES))

    births = [said("DOB_XML"), said("DOB")]
    return make_record(
        source,
        [
            (name, _read_mortara_channel(channel, name, source) if channel in leads else np.zeros(0))
            for channel, name in zip(channels, names, strict=True)
        ],
        sampling_rate,
        "Mortara XML",
        age=(said("AGE"), said("AGE_UNITS")),
        birth=next(filter(to_time, births), births[0] or births[1]),
        sex=said("GENDER", "SEX"),
        patient_id=find_text(root, "SUBJECT@ID"),
        times=[root.get("ACQUISITION_TIME_XML"), root.get("ACQUISITION_TIME")],
        measured=_find_measured(root, _MORTARA_PLACES, _MORTARA_MEASURED),
        statements=[find_text(each, "@TEXT") or "" for each in root.iter("STATEMENT")],
    )


def _read_mortara_channel(channel: Element, name: str, source: Source) -> NDArray[np.float64]:
    """Return the millivolts of one channel."""
    for attribute, expected in {"ENCODING": "BASE64", "FORMAT": "SIGNED", "BITS": "16"}.items():
        found = (channel.get(attribute) or expected).upper()
        if found != expected:
            raise ECGFileError(f"{name} has {attribute} {found!r}; {expected} is read")
    units = to_number(channel.get("UNITS_PER_MV"))
    if not units or units < 0:
        units = 1 / count_in_unit_asked("number of units in 1 mV (UNITS_PER_MV)", source)
    values = decode_int16(channel.get("DATA") or channel.text, name)
    check_count(name, values, to_number(channel.get("DURATION")))
    return values / units


def read_cardiosoft(source: Source) -> ECGRecord:
    """Read a GE CardioSoft (CASE) XML file.

    Parameters
    ----------
    source : Source
        With the root, CardiologyXML. `unit` serves a resolution whose unit cannot be read.

    Returns
    -------
    ECGRecord
        The strip of all leads; of a file without one, as of exercise, the full disclosure, or else its first strip.
        Never the median beat.

    Raises
    ------
    ECGFileError
        If there is no rhythm, or it does not say rate and resolution, or is not as long as it says.
    """
    root = source.root
    whole, parts = ([each for each in root.iter(tag) if each.find("WaveformData") is not None] for tag in _STRIPS)
    disclosure = next(root.iter("FullDisclosure"), None)
    if not whole and disclosure is not None and find_text(disclosure, "FullDisclosureData"):
        named, rate = _read_disclosure(disclosure, source)
    elif whole or parts:
        strip = (whole or parts)[0]
        about = root.find("StripData")
        named, rate = _read_strip(strip, [strip] if whole or about is None else [strip, about], source)
        if not whole and len(parts) > 1:
            source.notes.append(f"It has {len(parts)} strips; the first was read.")
    else:
        is_median = any(next(root.iter(tag), None) is not None for tag in ("MedianSamples", "MedianData"))
        only = ", only the median beat, which is made of many" if is_median else ""
        raise ECGFileError(f"it has no rhythm (StripData, FullDisclosure){only}; export it with the ECG strips")
    person = next(root.iter("PatientInfo"), None)
    statements = [each.text or "" for path in _CARDIOSOFT_STATEMENTS for each in root.findall(f"Interpretation/{path}")]
    return make_record(
        source,
        named,
        rate,
        f"GE CardioSoft XML {find_text(root, './/DeviceInfo/SoftwareVer') or ''}",
        age=(find_text(person, "Age"), find_text(person, "Age@units")),
        birth=_join_date(None if person is None else person.find("BirthDateTime")),
        sex=find_text(person, "Gender"),
        patient_id=find_text(person, "PID"),
        times=[_join_date(next(root.iter("ObservationDateTime"), None))],
        measured=_find_measured(root, _GE_REPORTS, _GE_MEASURED),
        # Others are lines of dashes.
        statements=[text.strip() for text in statements if any(sign.isalpha() for sign in text)],
    )


_STRIPS = ("StripData", "Strip")


def _read_strip(strip: Element, about: list[Element], source: Source) -> tuple[_Named, float]:
    """Return the leads (name, millivolts) of a strip, and the rate, which the first of `about` that has it says."""
    rate, factor = _find_rate(about, source), _find_factor(about, source)
    named = []
    for lead in strip.findall("WaveformData"):
        name = find_text(lead, "@lead") or "a lead without a name"
        values = _parse_with_commas(lead.text, name)
        check_count(name, values, find_number(strip, "ChannelSampleCountTotal"))
        named.append((name, values * factor))
    n_leads = find_number(strip, "NumberOfLeads")
    if n_leads is not None and n_leads != len(named):
        source.notes.append(f"It says that it has {n_leads:g} leads, and has {len(named)}.")
    return named, rate


def _read_disclosure(disclosure: Element, source: Source) -> tuple[_Named, float]:
    """Return the leads of the full disclosure, and its rate.

    Files have a second of one lead, then that of the next; the manual a sample of each lead in turn. As neighbours in
    time are alike, the order in which the values jump less is the right one.
    """
    rate, factor = _find_rate([disclosure], source), _find_factor([disclosure], source)
    names = [name.strip() for name in (find_text(disclosure, "LeadOrder") or "").split(",") if name.strip()]
    stated = find_number(disclosure, "NumberOfChannels")
    if not names or (stated is not None and stated != len(names)):
        raise ECGFileError(f"its full disclosure names {len(names)} leads (LeadOrder), and says {stated} channels")
    text = " ".join(each.text or "" for each in disclosure.findall("FullDisclosureData"))
    values = _parse_with_commas(text, "the full disclosure") * factor
    second, n_leads = round(rate), len(names)
    n_seconds = values.size // (second * n_leads)
    blocks = values[: n_seconds * second * n_leads].reshape(n_seconds, n_leads, second)
    in_turn = values[: values.size // n_leads * n_leads].reshape(-1, n_leads).T
    jumps = [float(np.abs(np.diff(each, axis=-1)).sum()) for each in (blocks, in_turn[:, : n_seconds * second])]
    leads = blocks.swapaxes(0, 1).reshape(n_leads, -1) if n_seconds and jumps[0] <= jumps[1] else in_turn
    if leads.size < values.size:
        what = f"the last {values.size - leads.size} values of the full disclosure"
        source.notes.append(f"Left out {what}, which are no whole second of all leads.")
    return list(zip(names, leads, strict=True)), rate


def _parse_with_commas(text: str | None, what: str) -> NDArray[np.float64]:
    """Return numbers with commas between them; one that is missing would shift those after it."""
    if re.search(r",\s*,", (text or "").strip(" \t\r\n,")):
        raise ECGFileError(f"a sample of {what} is missing, at two commas in a row; the file is damaged")
    return parse_numbers(text, what)


def _find_rate(about: list[Element], source: Source) -> float:
    """Return the sampling rate in Hz, which the first of several elements that has one says."""
    for each in about:
        rate, unit = find_number(each, "SampleRate"), find_text(each, "SampleRate@units")
        if rate is not None and (unit or "Hz").lower() != "hz":
            raise ECGFileError(f"its sampling rate is in {unit!r}; Hz are expected")
        if rate is not None:
            return choose_rate(rate, f"{rate:g}", source)
    return choose_rate(None, find_text(about[0], "SampleRate") or "", source)


def _find_factor(about: list[Element], source: Source) -> float:
    """Return the millivolts of one count, which the first of several elements that has a resolution says."""
    for each in about:
        resolution = find_number(each, "Resolution")
        if resolution is not None and resolution > 0:
            stated = (find_text(each, "Resolution@units") or "").lower().partition("per")[0]
            return resolution * choose_unit(stated or "none", "strip", source)
    return count_in_unit_asked("resolution (Resolution)", source)


def _join_date(element: Element | None) -> str:
    """Return a date and time that the file gives in parts; nothing where there is none."""
    parts = [find_text(element, tag) or "" for tag in ("Year", "Month", "Day", "Hour", "Minute", "Second")]
    day, clock = "-".join(part.zfill(2) for part in parts[:3]), ":".join(part.zfill(2) for part in parts[3:])
    return f"{day} {clock}" if any(parts) else ""
