"""HL7 annotated ECG (aECG): leads as lists of numbers with origin and scale."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from omi_estimators.readers._fields import choose_unit, count_in_unit_asked, to_measured, to_number, to_time
from omi_estimators.readers._leads import Group, choose_rate, join_groups, make_record, sort_leads
from omi_estimators.readers._record import MEASUREMENTS, ECGFileError, ECGRecord, Source
from omi_estimators.readers._xml import find_number, find_text, parse_numbers

_SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "usec": 1e-6}
# In the order of MEASUREMENTS; what follows MDC_ECG_.
_MEASURED = ["HEART_RATE", "TIME_PD_PR", "TIME_PD_P", "TIME_PD_QRS", "TIME_PD_QT", "TIME_PD_QTC"]
_MEASURED += ["ANGLE_P_FRONT", "ANGLE_QRS_FRONT", "ANGLE_T_FRONT"]
_MEASURED_AS = {f"MDC_ECG_{code}": name for name, code in zip(MEASUREMENTS, _MEASURED, strict=True)}
_MEASURED_AS |= {"MDC_ECG_TIME_PD_QTCB": "qtc"}
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
    groups, others = [], dict[str, None]()
    sets = _find_rhythm(source)
    for _, start, named, rate in sets:
        reading = partial(_read_lead, named, source)
        read, rest = sort_leads([name for name, _ in named], reading, source.notes)
        others |= dict.fromkeys(rest)
        groups += [Group(rate, start, read)] if read else []
    if not groups:
        raise ECGFileError(f"it has none of the twelve leads; its signals are {', '.join(others) or 'none'}"[:300])
    leads, sampling_rate = join_groups(groups, source.notes)
    moments = [find_text(sets[0][0], f"{place}@value") for place in (_START, "effectiveTime/center")]
    reported = next((each for each in root.iter("relatedObservation") if _code(each) == _REPORTED_AGE), None)
    subject = next((each for tag in ("trialSubject", "subject") for each in root.iter(tag)), None)
    identity = None if subject is None else subject.find("id")
    texts = (value.text or "" for code, value in _find_annotations(root) if code.startswith("MDC_ECG_INTERPRETATION"))
    return make_record(
        source,
        [*leads.items(), *((name, np.zeros(0)) for name in others)],
        sampling_rate,
        "HL7 aECG XML",
        age=(find_text(reported, "value@value"), find_text(reported, "value@unit")),
        birth=find_text(root, ".//birthTime@value", ".//birthTime"),
        sex=find_text(root, ".//administrativeGenderCode@code"),
        # Alone the root is a unique name; with an extension it is that of who gave it, the same for all.
        patient_id=None if identity is None else identity.get("extension", identity.get("root")),
        times=[*moments, find_text(root, f"{_START}@value")],
        measured=_find_measured(root),
        statements=[text.strip() for text in texts],
    )


def _find_rhythm(source: Source) -> list[tuple[Element, float | None, list[tuple[str, Element]], float]]:
    """Return series, start in seconds, leads (name, value) and rate of each set of a rhythm, the fullest first."""
    found = []
    wrong = ECGFileError("it has no rhythm with leads and a sampling period")
    for series in source.root.iter("series"):
        for each in [] if "BEAT" in _code(series) else series.findall("component/sequenceSet"):
            leads, times = _sort_sequences(each)
            try:
                if leads and times:
                    found.append((series, _find_start(series, times[0]), leads, _find_rate(times, source)))
            except ECGFileError as error:
                wrong = error
    if not found:
        raise wrong
    return sorted(found, key=lambda each: -len(each[2]))


def _sort_sequences(sequences: Element) -> tuple[list[tuple[str, Element]], list[Element]]:
    """Return the leads of a set by name, and the values that state its sampling period."""
    leads, times = [], []
    for sequence in sequences.findall("component/sequence"):
        value = sequence.find("value")
        if value is not None and value.find("increment") is not None and _code(sequence).startswith("TIME"):
            times.append(value)
        elif value is not None and value.find("digits") is not None:
            leads.append((find_text(sequence, "code@code") or "", value))
    return leads, times


def _find_rate(times: list[Element], source: Source) -> float:
    """Return the sampling rate of a set, by its sampling period."""
    steps = {(find_text(each, "increment@value") or "", find_text(each, "increment@unit") or "") for each in times}
    if len(steps) > 1:
        raise ECGFileError("it gives a set of leads two sampling periods")
    [(value, unit)] = steps
    period = (to_number(value) or 0.0) * _SECONDS.get(unit.lower(), 0.0)
    # A period written with ten digits is not quite that of a whole rate.
    return choose_rate(round(1 / period, 4) if period > 0 else None, f"{value} {unit}", source)


def _find_start(series: Element, time: Element) -> float | None:
    """Return when a set begins, in seconds from any moment: its time stamp, or its seconds from that of the series."""
    unit = (find_text(time, "head@unit") or "").lower()
    after = (find_number(time, "head@value") or 0.0) * _SECONDS.get(unit, 0.0)
    stamp = None if unit in _SECONDS else to_time(find_text(time, "head@value"))
    begin = stamp or to_time(find_text(series, f"{_START}@value"))
    return None if begin is None else (begin.replace(tzinfo=None) - datetime(1900, 1, 1)).total_seconds() + after


def _read_lead(named: list[tuple[str, Element]], source: Source, place: int) -> NDArray[np.float64]:
    """Return the millivolts of the lead at a place."""
    name, value = named[place]
    counts = parse_numbers(value.findtext("digits"), name)
    scale, unit = find_number(value, "scale@value"), find_text(value, "scale@unit") or "none"
    factor = scale * choose_unit(unit, name, source) if scale else count_in_unit_asked("scale", source)
    origin, unit = find_text(value, "origin@value") or "0", find_text(value, "origin@unit") or ""
    if to_number(origin) is None:
        raise ECGFileError(f"{name} has an origin that is no number, {origin[:40]!r}; the file is damaged")
    if not float(origin) and not unit:
        return counts * factor
    return counts * factor + float(origin) * choose_unit(unit or "none", name, source)


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
            yield _MEASURED_AS.get(code), number * (1e3 * _SECONDS[unit] if unit in _SECONDS else 1.0)


def _code(element: Element) -> str:
    """Return the code of an element in capitals; empty where it has none."""
    return (find_text(element, "code@code") or "").upper()
