"""HL7 annotated ECG (aECG): leads as lists of numbers with origin and scale."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from omi_estimators.readers._errors import ECGFileError
from omi_estimators.readers._fields import age_at, keep_measured, parse_integers, to_age, to_date, to_sex, to_time
from omi_estimators.readers._leads import find_lead, make_signal
from omi_estimators.readers._record import ECGRecord
from omi_estimators.readers._units import to_millivolts
from omi_estimators.readers._xml import to_number

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from omi_estimators.readers._read import Source

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
_REPORTED_AGE = "21612-7"  # LOINC


def read(source: Source) -> ECGRecord:
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
    assert root is not None
    series, leads, increment = _find_rhythm(root)
    signal, derived, missing, notes = make_signal([_read_lead(*lead, source.unit) for lead in leads], 1 / increment)
    start = series.find("effectiveTime/low")
    start = root.find("effectiveTime/low") if start is None else start
    time = to_time(start.get("value")) if start is not None else None
    age, age_notes = _find_age(root, time)
    sex = next(root.iter("administrativeGenderCode"), None)
    subject = next((each for tag in ("trialSubject", "subject") for each in root.iter(tag)), None)
    identity = subject.find("id") if subject is not None else None
    return ECGRecord(
        signal=signal,
        # A period written with ten digits is not quite that of a whole rate.
        sampling_rate=round(1 / increment, 4),
        source_format="HL7 aECG XML",
        age=age,
        sex=to_sex(sex.get("code")) if sex is not None else None,
        patient_id=(identity.get("extension") or identity.get("root")) if identity is not None else None,
        recording_time=time,
        measurements=_find_measurements(root),
        statements=_find_statements(root),
        derived_leads=derived,
        missing_leads=missing,
        notes=notes + age_notes,
    )


def _find_rhythm(root: Element) -> tuple[Element, list[tuple[str, Element]], float]:
    """Return the series, the leads (name, value) and the sampling period of the longest set of a rhythm."""
    found = []
    for series in root.iter("series"):
        code = series.find("code")
        if code is not None and "BEAT" in (code.get("code") or "").upper():
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
        code, value = sequence.find("code"), sequence.find("value")
        name = (code.get("code") or "") if code is not None else ""
        if value is None:
            continue
        step = value.find("increment")
        if step is not None and name.upper().startswith("TIME"):
            increments.add(_to_seconds(step))
        elif value.find("digits") is not None:
            leads.append((name, value))
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
        code, value = observation.find("code"), observation.find("value")
        if code is not None and code.get("code") == _REPORTED_AGE and value is not None:
            return to_age(value.get("value"), value.get("unit") or "years")
    birth = next(root.iter("birthTime"), None)
    return age_at(to_date(birth.get("value")) if birth is not None else None, time)


def _annotations(root: Element) -> Iterator[tuple[str, Element, Element]]:
    """Yield code, value and element of the annotations that speak of the whole ECG rather than of one lead."""
    for annotation in root.iter("annotation"):
        code, value = annotation.find("code"), annotation.find("value")
        about = [each.get("code") or "" for each in annotation.findall("support/supportingROI/component/boundary/code")]
        if code is not None and value is not None and not any(each.startswith("MDC_ECG_LEAD") for each in about):
            yield (code.get("code") or "").upper(), value, annotation


def _find_measurements(root: Element) -> dict[str, float]:
    """Return the global measurements in beats/min, ms and degrees, the first of each."""
    measured: dict[str, float | None] = {}
    for code, value, _ in _annotations(root):
        name, number, unit = _MEASUREMENTS.get(code), to_number(value.get("value")), (value.get("unit") or "").lower()
        if name is None or number is None or name in measured:
            continue
        if unit in _SECONDS:
            number *= 1e3 * _SECONDS[unit]
        measured[name] = number
    return keep_measured(measured)


def _find_statements(root: Element) -> tuple[str, ...]:
    found = (value.text for code, value, _ in _annotations(root) if code.startswith("MDC_ECG_INTERPRETATION"))
    return tuple(text.strip() for text in found if text and text.strip())
