"""What the annotations of a DICOM ECG say: measurements, by code or by name, and statements."""

from __future__ import annotations

import re
from typing import Any

from omi_estimators.readers._fields import keep_measured
from omi_estimators.readers._xml import to_number

# Codes of SCPECG and of MDC (TID 3713, CIDs 3227 and 3229).
_CODES = {
    "heart_rate": ("5.10.2.5-1", "2:16016"),
    "pr": ("5.13.5-7", "2:15872"),
    "p_duration": ("5.13.5-5", "2:16184", "2:15880"),
    "qrs": ("5.13.5-9", "2:16156"),
    "qt": ("5.13.5-11", "2:16160"),
    "qtc": ("5.10.2.5-5", "2:15876", "2:15877"),
    "p_axis": ("5.10.3-11", "2:16128"),
    "qrs_axis": ("5.10.3-13", "2:16132"),
    "t_axis": ("5.10.3-15", "2:16136"),
}
_BY_CODE = {code: name for name, codes in _CODES.items() for code in codes}
_BY_MEANING = {
    "heart_rate": r"^(ventricular|heart)( heart)? rate\b",
    "pr": r"^pr (interval|duration)",
    "p_duration": r"^p[- ]?(wave )?duration",
    "qrs": r"^qrs (interval|duration)",
    "qt": r"^qt (interval|duration)",
    "qtc": r"^qtc\b",
    "p_axis": r"^p (frontal )?axis",
    "qrs_axis": r"^(qrs|r) (frontal )?axis",
    "t_axis": r"^t (frontal )?axis",
}
_MILLISECONDS = {"ms": 1.0, "s": 1000.0}


def find_measurements(dataset: Any) -> dict[str, float]:
    """Return the measurements of a data set in beats/min, ms and degrees, the first of each."""
    measured: dict[str, float | None] = {}
    for annotation in dataset.get("WaveformAnnotationSequence") or ():
        codes = list(annotation.get("ConceptNameCodeSequence") or ())
        number = _first_number(annotation.get("NumericValue"))
        name = _find_name(codes[0]) if codes else None
        if name is None or number is None or name in measured:
            continue
        units = list(annotation.get("MeasurementUnitsCodeSequence") or ())
        unit = str(units[0].get("CodeValue", "")) if units else ""
        measured[name] = number * _MILLISECONDS.get(unit, 1.0)
    return keep_measured(measured)


def find_statements(dataset: Any) -> tuple[str, ...]:
    """Return the statements of a data set."""
    texts = (annotation.get("UnformattedTextValue") for annotation in dataset.get("WaveformAnnotationSequence") or ())
    return tuple(text for each in texts if each and (text := str(each).strip()))


def _first_number(value: Any) -> float | None:
    """Return a number, the first where there are several."""
    try:
        return to_number(str(value[0] if isinstance(value, list | tuple) or hasattr(value, "append") else value))
    except IndexError:
        return None


def _find_name(code: Any) -> str | None:
    """Return which measurement a code stands for."""
    value = str(code.get("CodeValue", "")).strip()
    if value in _BY_CODE:
        return _BY_CODE[value]
    meaning = " ".join(str(code.get("CodeMeaning", "")).lower().split())
    return next((name for name, pattern in _BY_MEANING.items() if re.match(pattern, meaning)), None)
