"""HL7 annotated ECG (aECG): leads as lists of numbers with origin and scale."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from omi_estimators.readers._fields import (
    count_in,
    find_attribute,
    parse_integers,
    read_sex,
    read_time,
    read_unit,
    to_age,
    to_measured,
    to_number,
    to_time,
)
from omi_estimators.readers._leads import choose_rate, make_record, sort_leads
from omi_estimators.readers._pieces import Group, join_groups
from omi_estimators.readers._record import ECGFileError, ECGRecord, Source

_SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "usec": 1e-6}
_MEASUREMENTS = {
    "MDC_ECG_HEART_RATE": "heart_rate",
    "MDC_ECG_TIME_PD_P": "p_duration",
    "MDC_ECG_TIME_PD_PR": "pr",
    "MDC_ECG_TIME_PD_QRS": "qrs",
    "MDC_ECG_TIME_PD_QT": "qt",
    "MDC_ECG_TIME_PD_QTC": "qtc",
    "MDC_ECG_TIME_PD_QTCB": "qtc",
    "MDC_ECG_ANGLE_P_FRONT": "p_axis",
    "MDC_ECG_ANGLE_QRS_FRONT": "qrs_axis",
    "MDC_ECG_ANGLE_T_FRONT": "t_axis",
}
_START = "effectiveTime/low"
_REPORTED_AGE = "21612-7"  # LOINC


def read_hl7(source: Source) -> ECGRecord:
    """Read an HL7 aECG file.

    Parameters
    ----------
    source : Source
        With the root, AnnotatedECG. `unit` serves leads that are integers without one (SLIST_INT), or whose unit
        cannot be read.

    Returns
    -------
    ECGRecord
        The rhythm, not the representative beat; leads of several series or sets are joined where they are sampled
        alike, each at its own time.

    Raises
    ------
    ECGFileError
        If there is no rhythm series, or it does not say rate, origin or scale.
    """
    root = source.root
    notes: list[str] = []
    sets = _find_rhythm(root, source.sampling_rate, notes)
    groups, others = [], dict[str, None]()
    for _, start, named, rate in sets:
        reading = partial(_read_lead, named, source.unit, notes)
        read, rest = sort_leads([name for name, _ in named], reading, notes)
        others |= dict.fromkeys(rest)
        groups += [Group(rate, start, read)] if read else []
    if not groups:
        raise ECGFileError(f"it has none of the twelve leads; its signals are {', '.join(others) or 'none'}"[:300])
    leads, sampling_rate = join_groups(groups, notes)
    moments = [find_attribute(sets[0][0], _START, "value"), find_attribute(sets[0][0], "effectiveTime/center", "value")]
    time = read_time([*moments, find_attribute(root, _START, "value")], notes)
    age = _find_age(root, time, notes)
    subject = next((each for tag in ("trialSubject", "subject") for each in root.iter(tag)), None)
    identity = subject.find("id") if subject is not None else None
    texts = (value.text for code, value in _find_annotations(root) if code.startswith("MDC_ECG_INTERPRETATION"))
    return make_record(
        [*leads.items(), *((name, np.zeros(0)) for name in others)],
        sampling_rate,
        "HL7 aECG XML",
        age=age,
        sex=read_sex(find_attribute(root, ".//administrativeGenderCode", "code"), notes),
        # Alone the root is a unique name; with an extension it is that of who gave it, the same for all.
        patient_id=identity.get("extension", identity.get("root")) or None if identity is not None else None,
        recording_time=time,
        measured=_find_measured(root),
        statements=tuple(text.strip() for text in texts if text and text.strip()),
        notes=notes,
    )


def _find_rhythm(
    root: Element, asked: float | None, notes: list[str]
) -> list[tuple[Element, float | None, list[tuple[str, Element]], float]]:
    """Return series, start in seconds, leads (name, value) and rate of each set of a rhythm, the fullest first."""
    found = []
    wrong: list[ECGFileError] = []
    for series in root.iter("series"):
        if "BEAT" in _code(series):
            continue
        for each in series.findall("component/sequenceSet"):
            leads, time = _sort_sequences(each)
            if leads and time is not None:
                try:
                    step = _find_step(time)
                    period = _to_seconds(step)
                    # A period written with ten digits is not quite that of a whole rate.
                    stated = period and round(1 / period, 4)
                    said = f"{step.get('value', '')} {step.get('unit', '')}"
                    rate = choose_rate(stated, asked, said, notes)
                except ECGFileError as error:
                    wrong.append(error)
                else:
                    found.append((series, _find_start(series, time), leads, rate))
    if not found:
        raise wrong[0] if wrong else ECGFileError("it has no rhythm with leads and a sampling period")
    return sorted(found, key=lambda each: -len(each[2]))


def _find_start(series: Element, time: Element) -> float | None:
    """Return when a set begins, in seconds from any moment: its time stamp, or its seconds from that of the series."""
    head = time.find("head")
    said = head.get("value") if head is not None else None
    after = 0.0
    if head is not None and (head.get("unit") or "").strip().lower() in _SECONDS:
        after, said = (to_number(said) or 0.0) * _SECONDS[(head.get("unit") or "").strip().lower()], None
    begin = to_time(said) or to_time(find_attribute(series, _START, "value"))
    return None if begin is None else (begin.replace(tzinfo=None) - datetime(1900, 1, 1)).total_seconds() + after


def _sort_sequences(sequences: Element) -> tuple[list[tuple[str, Element]], Element | None]:
    """Return the leads of a set, and the value that states its sampling period."""
    leads, times = [], []
    for sequence in sequences.findall("component/sequence"):
        value = sequence.find("value")
        if value is None:
            continue
        if value.find("increment") is not None and _code(sequence).startswith("TIME"):
            times.append(value)
        elif value.find("digits") is not None:
            leads.append((find_attribute(sequence, "code", "code") or "", value))
    if leads and len({tuple(sorted(_find_step(each).items())) for each in times}) > 1:
        raise ECGFileError("it gives a set of leads two sampling periods")
    return leads, times[0] if times else None


def _find_step(value: Element) -> Element:
    """Return the element of a sampling period."""
    found = value.find("increment")
    return Element("increment") if found is None else found


def _to_seconds(step: Element) -> float | None:
    """Return a sampling period in seconds, None for none that can be read."""
    value, unit = to_number(step.get("value")), (step.get("unit") or "").strip().lower()
    return None if value is None or value <= 0 or unit not in _SECONDS else value * _SECONDS[unit]


def _read_lead(named: list[tuple[str, Element]], unit: str | None, notes: list[str], place: int) -> NDArray[np.float64]:
    """Return the millivolts of the lead at a place."""
    name, value = named[place]
    counts = parse_integers(value.findtext("digits"), name)
    scale, origin = (_find_scale(value, tag, name, unit, notes) for tag in ("scale", "origin"))
    return counts * scale + origin


def _find_scale(value: Element, tag: str, name: str, unit: str | None, notes: list[str]) -> float:
    """Return a scale or an origin in mV."""
    element = value.find(tag)
    number = to_number(element.get("value")) if element is not None else None
    if tag == "origin" and (element is None or (number == 0 and not element.get("unit"))):
        return 0.0
    if tag == "scale" and not number:
        return count_in(unit, "scale", notes)
    if element is None or number is None:
        raise ECGFileError(f"{name} has an origin that is no number; the file is damaged")
    return number * read_unit(element.get("unit"), unit, name, notes)


def _find_age(root: Element, time: datetime | None, notes: list[str]) -> float | None:
    """Return the age that was reported, else that by the time of birth."""
    found = (each.find("value") for each in root.iter("relatedObservation") if _code(each) == _REPORTED_AGE)
    value = next((each for each in found if each is not None), Element("value"))
    birth = next(root.iter("birthTime"), Element("birthTime"))
    born = birth.get("value") or birth.text
    return to_age(value.get("value"), value.get("unit") or "years", birth=born, when=time, notes=notes)


def _find_annotations(root: Element) -> Iterator[tuple[str, Element]]:
    """Yield code and value of the annotations that speak of the whole ECG rather than of one lead."""
    for annotation in root.iter("annotation"):
        value = annotation.find("value")
        about = (each.get("code") or "" for each in annotation.findall("support/supportingROI/component/boundary/code"))
        if value is not None and not any(each.startswith("MDC_ECG_LEAD") for each in about):
            yield _code(annotation), value


def _find_measured(root: Element) -> Iterator[tuple[str | None, float | None]]:
    """Yield name and value of the global measurements in beats/min, ms and degrees."""
    for code, value in _find_annotations(root):
        number, unit = to_measured(value.get("value")), (value.get("unit") or "").lower()
        if number is not None:
            yield _MEASUREMENTS.get(code), number * (1e3 * _SECONDS[unit] if unit in _SECONDS else 1.0)


def _code(element: Element) -> str:
    """Return the code of an element in capitals; empty where it has none."""
    return (find_attribute(element, "code", "code") or "").upper()
