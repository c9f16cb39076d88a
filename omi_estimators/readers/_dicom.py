"""DICOM waveforms: multiplex groups of channels with a sensitivity each, and what annotations of the ECG say."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators._validation import naming_package
from omi_estimators.readers._fields import to_age, to_millivolts, to_number, to_sex, to_time
from omi_estimators.readers._leads import find_lead, make_record
from omi_estimators.readers._record import ECGFileError, ECGRecord, Source

# Numbers of the leads in SCP-ECG, which the codes of SCPECG (5.6.3-9-1) and of MDC (2:1) share.
_NUMBERS = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF"} | {i + 2: f"V{i}" for i in range(1, 7)}
_LEAD_CODE = re.compile(r"^(?:5\.6\.3-9-|2:)(\d{1,3})$")
_TYPES = {"SB": "i1", "UB": "u1", "SS": "i2", "US": "u2", "SL": "i4", "UL": "u4"}
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


def read_dicom(source: Source) -> ECGRecord:
    """Read a DICOM ECG waveform.

    Parameters
    ----------
    source : Source
        The file. `unit` serves channels without a sensitivity.

    Returns
    -------
    ECGRecord
        The longest group of original samples, with what annotations of the whole ECG say.

    Raises
    ------
    ECGFileError
        If it holds no waveform, samples of a kind that is no ECG's, fewer than it says, or channels without unit.
    """
    with naming_package("pydicom", "io", "Reading DICOM files"):
        import pydicom
    try:
        return _read(pydicom.dcmread(io.BytesIO(source.data), force=source.data[128:132] != b"DICM"), source.unit)
    except (pydicom.errors.BytesLengthException, pydicom.errors.InvalidDicomError) as error:
        raise ECGFileError(f"it is damaged ({' '.join(str(error).split())[:150]})") from error


def _read(dataset: Any, unit: str | None) -> ECGRecord:
    """Return the record of a data set, whose elements are decoded as they are looked at."""
    group = _choose_group(dataset)
    rate = float(group.SamplingFrequency)
    counts = _read_counts(group, _is_little_endian(dataset))
    named = [
        (_name(channel), _calibrate(channel, row, unit))
        for channel, row in zip(group.ChannelDefinitionSequence, counts, strict=True)
    ]
    time = _find_time(dataset)
    text = str(dataset.get("PatientAge") or "").strip()
    number, of = (text[:-1], text[-1]) if text[-1:].isalpha() else (text, "years")
    age, age_notes = to_age(number, of, birth=dataset.get("PatientBirthDate"), when=time)
    annotations = list(dataset.get("WaveformAnnotationSequence") or ())
    texts = (str(annotation.get("UnformattedTextValue") or "").strip() for annotation in annotations)
    return make_record(
        named,
        rate,
        "DICOM waveform",
        age=age,
        sex=to_sex(dataset.get("PatientSex")),
        patient_id=str(dataset.get("PatientID") or "").strip() or None,
        recording_time=time,
        measured=_find_measured(annotations),
        statements=tuple(filter(None, texts)),
        late_notes=age_notes,
    )


def _choose_group(dataset: Any) -> Any:
    """Return the multiplex group of the rhythm: the longest of those that are not derived."""
    groups = list(dataset.get("WaveformSequence") or ())
    if not groups:
        kind = dataset.get("Modality") or dataset.get("SOPClassUID") or "unknown"
        raise ECGFileError(f"it is a DICOM file without a waveform (modality {kind}); export the ECG as a waveform")
    original = [group for group in groups if str(group.get("WaveformOriginality", "")).upper() != "DERIVED"]
    leads = [group for group in original or groups if any(map(_is_lead, group.get("ChannelDefinitionSequence") or ()))]
    if not leads:
        raise ECGFileError("none of its waveforms has a channel that is one of the twelve leads")
    return max(leads, key=lambda group: int(group.NumberOfWaveformSamples) / float(group.SamplingFrequency))


def _is_lead(channel: Any) -> bool:
    return find_lead(_name(channel)) is not None


def _name(channel: Any) -> str:
    """Return the lead of a channel by its code, else by its meaning or label."""
    sources = list(channel.get("ChannelSourceSequence") or ())
    for code in sources:
        found = _LEAD_CODE.match(str(code.get("CodeValue", "")).strip())
        if found is not None and int(found[1]) in _NUMBERS:
            return _NUMBERS[int(found[1])]
    words = [str(code.get("CodeMeaning", "")) for code in sources] + [str(channel.get("ChannelLabel") or "")]
    for text in words:
        # Such as "Lead I (Einthoven)" and "aVR, augmented voltage, right".
        short = re.split(r"[,(]", text)[0].strip()
        if find_lead(short) is not None:
            return short
    return next(filter(None, words), "a channel without a name")


def _is_little_endian(dataset: Any) -> bool:
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    return True if syntax is None else bool(syntax.is_little_endian)


def _read_counts(group: Any, little_endian: bool) -> NDArray[np.float64]:
    """Return the stored numbers, shape (n_channels, n_samples), NaN for padding."""
    kind = str(group.WaveformSampleInterpretation).upper()
    if kind not in _TYPES:
        raise ECGFileError(f"its samples are of the kind {kind!r}; read are {', '.join(_TYPES)}")
    dtype = np.dtype(f"{'<' if little_endian else '>'}{_TYPES[kind]}")
    n_channels, n_samples = int(group.NumberOfWaveformChannels), int(group.NumberOfWaveformSamples)
    data = bytes(group.WaveformData)
    needed = n_channels * n_samples * dtype.itemsize
    if int(group.WaveformBitsAllocated) != 8 * dtype.itemsize:
        raise ECGFileError(f"its samples are {kind} of {group.WaveformBitsAllocated} bits, which contradict each other")
    if n_channels < 1 or n_samples < 1 or len(data) < needed:
        raise ECGFileError(
            f"it says {n_channels} channels of {n_samples} samples, {needed} bytes, but has {len(data)}; it is cut"
        )
    if len(group.ChannelDefinitionSequence) != n_channels:
        raise ECGFileError(f"it has {n_channels} channels, but describes {len(group.ChannelDefinitionSequence)}")
    stored = np.frombuffer(data[:needed], dtype=dtype).reshape(n_samples, n_channels).T
    counts = stored.astype(np.float64)
    padding = group.get("WaveformPaddingValue")
    if padding is not None:
        value = np.frombuffer(padding, dtype)[0] if isinstance(padding, bytes) else dtype.type(padding)
        counts[stored == value] = np.nan
    return counts


def _calibrate(channel: Any, counts: NDArray[np.float64], unit: str | None) -> NDArray[np.float64]:
    """Return the millivolts of a channel; nothing for one that is no lead."""
    if not _is_lead(channel):
        return np.zeros(0)
    sensitivity = channel.get("ChannelSensitivity")
    if sensitivity is None:
        if unit is None:
            raise ECGFileError(f"its channel {_name(channel)} has no sensitivity; give unit= of one count if known")
        return counts * to_millivolts(unit)
    units = list(channel.get("ChannelSensitivityUnitsSequence") or ())
    stated = str(units[0].get("CodeValue", "")) if units else unit
    if stated is None:
        raise ECGFileError(f"its channel {_name(channel)} has a sensitivity without a unit; give unit= if you know it")
    scale = float(sensitivity) * float(_or(channel.get("ChannelSensitivityCorrectionFactor"), 1.0))
    return (counts * scale + float(_or(channel.get("ChannelBaseline"), 0.0))) * to_millivolts(stated)


def _or(value: Any, default: float) -> Any:
    """Return a value, and what stands for one that is empty."""
    return default if value is None or value == "" else value


def _find_time(dataset: Any) -> datetime | None:
    """Return when the waveform was recorded."""
    time = to_time(dataset.get("AcquisitionDateTime") or "")
    for kind in ("Acquisition", "Content", "Study"):
        if time is None:
            time = to_time(f"{dataset.get(f'{kind}Date') or ''}{dataset.get(f'{kind}Time') or ''}")
    return time


def _find_measured(annotations: list[Any]) -> Iterator[tuple[str | None, float | None]]:
    """Yield name and value of what annotations measure, in beats/min, ms and degrees."""
    for annotation in annotations:
        codes = list(annotation.get("ConceptNameCodeSequence") or ())
        number = _first_number(annotation.get("NumericValue"))
        if codes and number is not None:
            units = list(annotation.get("MeasurementUnitsCodeSequence") or ())
            unit = str(units[0].get("CodeValue", "")) if units else ""
            yield _find_name(codes[0]), number * _MILLISECONDS.get(unit, 1.0)


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
