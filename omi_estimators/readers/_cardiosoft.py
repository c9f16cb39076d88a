"""GE CardioSoft XML (root CardiologyXML), as UK Biobank has its ECGs at rest and in exercise.

After public programs that read the files of UK Biobank (fields 20205 and 6025) and the names in GE's export manual.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from omi_estimators.readers._fields import (
    count_in,
    find_measured,
    find_number,
    find_text,
    parse_integers,
    read_sex,
    read_time,
    read_unit,
    to_age,
)
from omi_estimators.readers._leads import choose_rate, make_record
from omi_estimators.readers._record import ECGFileError, ECGRecord, Source

_TAGS = {
    "heart_rate": "VentricularRate",
    "pr": "PQInterval",
    "p_duration": "PDuration",
    "qrs": "QRSDuration",
    "qt": "QTInterval",
    "qtc": "QTCInterval",
    "p_axis": "PAxis",
    "qrs_axis": "RAxis",
    "t_axis": "TAxis",
}
_STATEMENTS = ("Diagnosis/DiagnosisText", "Conclusion/ConclusionText", "Statement")
_HERTZ = ("", "hz")


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
    notes: list[str] = []
    strips = [each for each in root.iter("StripData") if each.find("WaveformData") is not None]
    disclosure = next(root.iter("FullDisclosure"), None)
    if strips:
        named, rate = _read_strip(strips[0], strips[0], source, notes)
    elif disclosure is not None and find_text(disclosure, "FullDisclosureData"):
        named, rate = _read_disclosure(disclosure, source, notes)
    else:
        strips = [each for each in root.iter("Strip") if each.find("WaveformData") is not None]
        if not strips:
            median = next(root.iter("MedianSamples"), next(root.iter("MedianData"), None))
            raise ECGFileError(
                "it has no rhythm (StripData, FullDisclosure)"
                + (", only the median beat, which is made of many" if median is not None else "")
                + "; export it with the ECG strips"
            )
        about = root.find("StripData")
        named, rate = _read_strip(strips[0], strips[0] if about is None else about, source, notes)
        if len(strips) > 1:
            notes.append(f"It has {len(strips)} strips; the first was read.")
    person = next(root.iter("PatientInfo"), None)
    when = next(root.iter("ObservationDateTime"), None)
    time = read_time([_join_time(when)], notes)
    age = person.find("Age") if person is not None else None
    of = (age.get("units") or "years") if age is not None else "years"
    birth = _join_time(person.find("BirthDateTime")) if person is not None else None
    years = to_age(find_text(person, "Age"), of, birth=birth, when=time, notes=notes)
    measured = root.find("RestingECGMeasurements")
    found = [each.text or "" for path in _STATEMENTS for each in root.findall(f"Interpretation/{path}")]
    return make_record(
        named,
        rate,
        f"GE CardioSoft XML {find_text(next(root.iter('DeviceInfo'), None), 'SoftwareVer') or ''}".strip()[:60],
        age=years,
        sex=read_sex(find_text(person, "Gender"), notes),
        patient_id=find_text(person, "PID"),
        recording_time=time,
        measured=((name, find_measured(measured, tag)) for name, tag in _TAGS.items()),
        # Others are lines of dashes.
        statements=tuple(text.strip() for text in found if any(sign.isalpha() for sign in text)),
        notes=notes,
    )


def _read_strip(
    strip: Element, about: Element, source: Source, notes: list[str]
) -> tuple[list[tuple[str, NDArray[np.float64]]], float]:
    """Return the leads (name, millivolts) of a strip, and the rate; `about` says what the strip does not."""
    rate, factor = _find_rate(strip, about, source, notes), _find_factor(strip, about, source.unit, notes)
    stated = find_number(strip, "ChannelSampleCountTotal")
    named = []
    for lead in strip.findall("WaveformData"):
        name = (lead.get("lead") or "").strip() or "a lead without a name"
        values = _parse(lead.text, name)
        if stated is not None and stated != values.size:
            raise ECGFileError(f"{name} has {values.size} samples, but the file says {stated:g}; it is damaged or cut")
        named.append((name, values * factor))
    n_leads = find_number(strip, "NumberOfLeads")
    if n_leads is not None and n_leads != len(named):
        notes.append(f"It says that it has {n_leads:g} leads, and has {len(named)}.")
    return named, rate


def _read_disclosure(
    disclosure: Element, source: Source, notes: list[str]
) -> tuple[list[tuple[str, NDArray[np.float64]]], float]:
    """Return the leads of the full disclosure, and its rate.

    Files have a second of one lead, then that of the next; the manual a sample of each lead in turn. As neighbours in
    time are alike, the order in which the values jump less is the right one.
    """
    rate = _find_rate(disclosure, disclosure, source, notes)
    factor = _find_factor(disclosure, disclosure, source.unit, notes)
    names = [name.strip() for name in (find_text(disclosure, "LeadOrder") or "").split(",") if name.strip()]
    stated = find_number(disclosure, "NumberOfChannels")
    if not names or (stated is not None and stated != len(names)):
        raise ECGFileError(f"its full disclosure names {len(names)} leads (LeadOrder), and says {stated} channels")
    text = " ".join(each.text or "" for each in disclosure.findall("FullDisclosureData"))
    values = _parse(text, "the full disclosure") * factor
    second, n_leads = round(rate), len(names)
    n_seconds = values.size // (second * n_leads)
    blocks = values[: n_seconds * second * n_leads].reshape(n_seconds, n_leads, second)
    in_turn = values[: values.size // n_leads * n_leads].reshape(-1, n_leads).T
    jumps = [float(np.abs(np.diff(each, axis=-1)).sum()) for each in (blocks, in_turn[:, : n_seconds * second])]
    if n_seconds and jumps[0] <= jumps[1]:
        leads, rest = blocks.swapaxes(0, 1).reshape(n_leads, -1), values.size - blocks.size
    else:
        leads, rest = in_turn, values.size - in_turn.size
    if rest:
        notes.append(f"Left out the last {rest} values of the full disclosure, which are no whole second of all leads.")
    return list(zip(names, leads, strict=True)), rate


def _parse(text: str | None, what: str) -> NDArray[np.float64]:
    """Return numbers with commas between them; one that is missing would shift those after it."""
    squeezed = (text or "").translate(dict.fromkeys(map(ord, " \t\r\n"))).strip(",")
    if ",," in squeezed:
        raise ECGFileError(f"a sample of {what} is missing, at two commas in a row; the file is damaged")
    return parse_integers(text, what)


def _find_rate(block: Element, about: Element, source: Source, notes: list[str]) -> float:
    """Return the sampling rate in Hz."""
    for each in (block, about):
        rate, element = find_number(each, "SampleRate"), each.find("SampleRate")
        if rate is not None and element is not None:
            if (element.get("units") or "").strip().lower() not in _HERTZ:
                raise ECGFileError(f"its sampling rate is in {element.get('units')!r}; Hz are expected")
            return choose_rate(rate, source.sampling_rate, f"{rate:g}", notes)
    return choose_rate(None, source.sampling_rate, find_text(block, "SampleRate") or "", notes)


def _find_factor(block: Element, about: Element, unit: str | None, notes: list[str]) -> float:
    """Return the millivolts of one count."""
    for each in (block, about):
        resolution, element = find_number(each, "Resolution"), each.find("Resolution")
        if resolution is not None and element is not None and resolution > 0:
            stated = (element.get("units") or "").strip().lower().partition("per")[0]
            return resolution * read_unit(stated, unit, "strip", notes)
    return count_in(unit, "resolution (Resolution)", notes)


def _join_time(element: Element | None) -> str | None:
    """Return a date, with the time where there is one, that the file gives in parts; None where there is none."""
    parts = [find_text(element, tag) for tag in ("Year", "Month", "Day", "Hour", "Minute", "Second")]
    if not any(parts):
        return None
    day, clock = [
        "-".join((part or "").zfill(2) for part in parts[:3]),
        ":".join((i or "00").zfill(2) for i in parts[3:]),
    ]
    return f"{day} {clock}" if any(parts[3:]) else day
