"""HL7 annotated ECG (aECG): leads as lists of numbers with origin and scale."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from omi_estimators.readers._fields import (
    find_attribute,
    parse_integers,
    to_age,
    to_millivolts,
    to_number,
    to_sex,
    to_time,
)
from omi_estimators.readers._leads import find_lead, make_record
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
        With the root, AnnotatedECG. `unit` serves leads that are integers without one (SLIST_INT).

    Returns
    -------
    ECGRecord
        The rhythm, not the representative beat.

    Raises
    ------
    ECGFileError
        If there is no rhythm series, or it does not say rate, origin or scale.
    """
    root = source.root
    series, leads, increment = _find_rhythm(root)
    time = to_time(find_attribute(root if series.find(_START) is None else series, _START, "value"))
    age, age_notes = _find_age(root, time)
    subject = next((each for tag in ("trialSubject", "subject") for each in root.iter(tag)), None)
    identity = subject.find("id") if subject is not None else None
    texts = (value.text for code, value in _find_annotations(root) if code.startswith("MDC_ECG_INTERPRETATION"))
    return make_record(
        [_read_lead(*lead, source.unit) for lead in leads],
        # A period written with ten digits is not quite that of a whole rate.
        round(1 / increment, 4),
        "HL7 aECG XML",
        age=age,
        sex=to_sex(find_attribute(root, ".//administrativeGenderCode", "code")),
        patient_id=(identity.get("extension") or identity.get("root")) if identity is not None else None,
        recording_time=time,
        measured=_find_measured(root),
        statements=tuple(text.strip() for text in texts if text and text.strip()),
        late_notes=age_notes,
    )


def _find_rhythm(root: Element) -> tuple[Element, list[tuple[str, Element]], float]:
    """Return the series, the leads (name, value) and the sampling period of the longest set of a rhythm."""
    found = []
    for series in root.iter("series"):
        if "BEAT" in _code(series):
            continue
        for each in series.findall("component/sequenceSet"):
            leads, increment = _sort_sequences(each)
            if leads and increment is not None:
                found.append((len(leads), series, leads, increment))
    if not found:
        raise ECGFileError("it has no rhythm with leads and a sampling period")
    _, series, leads, increment = max(found, key=lambda each: each[0])
    return series, leads, increment


def _sort_sequences(sequences: Element) -> tuple[list[tuple[str, Element]], float | None]:
    """Return the leads of a set, and its sampling period in seconds."""
    leads, increments = [], set()
    for sequence in sequences.findall("component/sequence"):
        value = sequence.find("value")
        if value is None:
            continue
        step = value.find("increment")
        if step is not None and _code(sequence).startswith("TIME"):
            increments.add(_to_seconds(step))
        elif value.find("digits") is not None:
            leads.append((find_attribute(sequence, "code", "code") or "", value))
    if len(increments) > 1:
        raise ECGFileError("it gives a set of leads two sampling periods")
    return leads, increments.pop() if increments else None


def _to_seconds(step: Element) -> float:
    """Return a sampling period in seconds."""
    value, unit = to_number(step.get("value")), (step.get("unit") or "").strip().lower()
    if value is None or value <= 0 or unit not in _SECONDS:
        raise ECGFileError(f"its sampling period is {step.get('value')!r}, unit {unit!r}; s, ms or us are expected")
    return float(value * _SECONDS[unit])


def _read_lead(name: str, value: Element, unit: str | None) -> tuple[str, NDArray[np.float64]]:
    """Return the name and the millivolts of one lead."""
    if find_lead(name) is None:
        return name, np.zeros(0)
    counts = parse_integers(value.findtext("digits"), name)
    return name, counts * _find_scale(value, "scale", name, unit) + _find_scale(value, "origin", name, unit)


def _find_scale(value: Element, tag: str, name: str, unit: str | None) -> float:
    """Return a scale or an origin in mV."""
    element = value.find(tag)
    number = to_number(element.get("value")) if element is not None else None
    if element is None or number is None:
        if tag == "origin" and element is None:
            return 0.0
        raise ECGFileError(f"{name} does not say its {tag}")
    stated = element.get("unit") or unit
    if stated is None:
        raise ECGFileError(f"{name} does not say the unit of its {tag}; give unit='uV' or 'mV' if you know it")
    return float(number * to_millivolts(stated))


def _find_age(root: Element, time: datetime | None) -> tuple[float | None, tuple[str, ...]]:
    """Return the age that was reported, else that by the time of birth."""
    for observation in root.iter("relatedObservation"):
        value = observation.find("value")
        if _code(observation) == _REPORTED_AGE and value is not None:
            return to_age(value.get("value"), value.get("unit") or "years")
    return to_age(None, birth=find_attribute(root, ".//birthTime", "value"), when=time)


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
        number, unit = to_number(value.get("value")), (value.get("unit") or "").lower()
        if number is not None:
            yield _MEASUREMENTS.get(code), number * (1e3 * _SECONDS[unit] if unit in _SECONDS else 1.0)


def _code(element: Element) -> str:
    """Return the code of an element in capitals; empty where it has none."""
    return (find_attribute(element, "code", "code") or "").upper()
