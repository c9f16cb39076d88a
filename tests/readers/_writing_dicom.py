"""DICOM 12-lead ECG waveforms (PS3.3 A.34.3, C.10.9 and C.10.10), measurements after PS3.16 TID 3713."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, TwelveLeadECGWaveformStorage, generate_uid
from readers._writing import ABOUT, PER_MILLIVOLT, About, check_leads, make_decoy, to_counts

from omi_estimators.leads import LEADS

# Numbers of leads in SCP-ECG, which the codes of SCPECG and of MDC share.
_NUMBERS = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64} | {f"V{i}": i + 2 for i in range(1, 7)}
_MEANINGS = {
    "I": "Lead I (Einthoven)",
    "II": "Lead II",
    "III": "Lead III",
    "aVR": "aVR, augmented voltage, right",
    "aVL": "aVL, augmented voltage, left",
    "aVF": "aVF, augmented voltage, foot",
} | {f"V{i}": f"Lead V{i}" for i in range(1, 7)}
_UNITS = {"V": "volt", "mV": "millivolt", "uV": "microvolt"}
# Stands for no sample.
_PADDING = -32768
# By coding scheme; P duration is global, so that its MDC code is that of CID 3689.
_MEASUREMENTS = {
    "heart_rate": ("5.10.2.5-1", "2:16016", "Ventricular Heart Rate", "{H.B.}/min"),
    "pr": ("5.13.5-7", "2:15872", "PR Interval", "ms"),
    "p_duration": ("5.13.5-5", "2:16184", "P Duration", "ms"),
    "qrs": ("5.13.5-9", "2:16156", "QRS Duration", "ms"),
    "qt": ("5.13.5-11", "2:16160", "QT Interval", "ms"),
    "qtc": ("5.10.2.5-5", "2:15876", "QTc Interval", "ms"),
    "p_axis": ("5.10.3-11", "2:16128", "P Axis", "deg"),
    "qrs_axis": ("5.10.3-13", "2:16132", "QRS Axis", "deg"),
    "t_axis": ("5.10.3-15", "2:16136", "T Axis", "deg"),
}


def write_dicom(
    path: Path,
    signal: NDArray[np.floating],
    sampling_rate: float,
    *,
    leads: Sequence[str] = LEADS,
    about: About = ABOUT,
    unit: str = "uV",
    sensitivity: ArrayLike = 2.5,
    correction: float = 1,
    baseline: ArrayLike = 0,
    coding: str = "SCPECG",
    implicit: bool = False,
    median_first: bool = False,
) -> float:
    """Write a DICOM 12-lead ECG of two multiplex groups, and return its (largest) quantisation step in mV.

    Parameters
    ----------
    path, signal, sampling_rate, leads, about
        As for all writers; NaN is written as padding.
    unit : {"uV", "mV", "V"}
        Of sensitivity and baseline.
    sensitivity, correction, baseline : float, or one for each lead
        A value is `count * sensitivity * correction + baseline`, in `unit`.
    coding : {"SCPECG", "MDC"}
        Of channel sources and measurements.
    implicit : bool
        Whether the transfer syntax leaves out the value representations.
    median_first : bool
        Whether the group of the median beat stands before that of the rhythm.
    """
    check_leads(signal, leads)
    sensitivity, baseline = (np.broadcast_to(value, len(leads)).astype(float) for value in (sensitivity, baseline))
    step = sensitivity * correction / PER_MILLIVOLT[unit]
    zero = -baseline / (sensitivity * correction)
    beat = make_decoy(len(leads), sampling_rate)
    groups = []
    for data, originality, label in ((signal, "ORIGINAL", "RHYTHM"), (beat, "DERIVED", "MEDIAN BEAT")):
        group = Dataset()
        group.MultiplexGroupTimeOffset = "0"
        group.WaveformOriginality = originality
        group.NumberOfWaveformChannels = len(leads)
        group.NumberOfWaveformSamples = data.shape[1]
        group.SamplingFrequency = f"{sampling_rate:g}"
        group.MultiplexGroupLabel = label
        group.ChannelDefinitionSequence = [
            _define_channel(i, lead, coding, unit, sensitivity[i], correction, baseline[i])
            for i, lead in enumerate(leads)
        ]
        group.WaveformBitsAllocated = 16
        group.WaveformSampleInterpretation = "SS"
        # All channels of one sample, then of the next.
        group.WaveformData = to_counts(data, step, zero, _PADDING).T.astype("<i2").tobytes()
        group["WaveformData"].VR = "OW"
        if np.isnan(data).any():
            group.WaveformPaddingValue = np.array(_PADDING, dtype="<i2").tobytes()
            group["WaveformPaddingValue"].VR = "OW"
        groups.append(group)
    dataset = _describe(path, about, implicit)
    dataset.WaveformSequence = groups[::-1] if median_first else groups
    dataset.WaveformAnnotationSequence = _annotate(about, coding)
    dataset.save_as(path, enforce_file_format=True)
    return float(step.max())


def _code(value: str, scheme: str, meaning: str, version: str | None = None) -> Dataset:
    code = Dataset()
    code.CodeValue = value
    code.CodingSchemeDesignator = scheme
    if version is not None:
        code.CodingSchemeVersion = version
    code.CodeMeaning = meaning
    return code


def _scheme_code(coding: str, scp: str, mdc: str, meaning: str) -> Dataset:
    return _code(scp, "SCPECG", meaning, "1.3") if coding == "SCPECG" else _code(mdc, "MDC", meaning)


def _define_channel(
    number: int, lead: str, coding: str, unit: str, sensitivity: float, correction: float, baseline: float
) -> Dataset:
    channel = Dataset()
    channel.WaveformChannelNumber = number + 1
    source = _NUMBERS[lead]
    channel.ChannelSourceSequence = [_scheme_code(coding, f"5.6.3-9-{source}", f"2:{source}", _MEANINGS[lead])]
    channel.ChannelSensitivity = f"{sensitivity:.8g}"
    channel.ChannelSensitivityUnitsSequence = [_code(unit, "UCUM", _UNITS[unit], "1.4")]
    channel.ChannelSensitivityCorrectionFactor = f"{correction:.8g}"
    channel.ChannelBaseline = f"{baseline:.8g}"
    channel.ChannelTimeSkew = "0"
    channel.WaveformBitsStored = 16
    channel.FilterLowFrequency = "0.05"
    channel.FilterHighFrequency = "150"
    return channel


def _describe(path: Path, about: About, implicit: bool) -> FileDataset:
    """Return a data set with all that is not waveform."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = TwelveLeadECGWaveformStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[about.patient_id, "instance"])
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    time = about.recording_time
    values: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyDate": f"{time:%Y%m%d}",
        "StudyTime": f"{time:%H%M%S}",
        "ContentDate": f"{time:%Y%m%d}",
        "ContentTime": f"{time:%H%M%S}",
        "AcquisitionDateTime": f"{time:%Y%m%d%H%M%S}",
        "AccessionNumber": "",
        "Modality": "ECG",
        "Manufacturer": "Some Maker",
        "ReferringPhysicianName": "",
        "PatientName": f"{about.last_name}^",
        "PatientID": about.patient_id,
        "PatientBirthDate": f"{about.birth_date:%Y%m%d}",
        "PatientSex": {"male": "M", "female": "F"}[about.sex],
        "PatientAge": f"{about.age:03d}Y",
        "StudyInstanceUID": generate_uid(entropy_srcs=[about.patient_id, "study"]),
        "SeriesInstanceUID": generate_uid(entropy_srcs=[about.patient_id, "series"]),
        "StudyID": "1",
        "SeriesNumber": "1",
        "InstanceNumber": "1",
        "AcquisitionContextSequence": [],
    }
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def _annotate(about: About, coding: str) -> list[Dataset]:
    """Return the statements as text, and the measurements as numbers."""
    made = []
    for text in about.statements:
        annotation = Dataset()
        annotation.ReferencedWaveformChannels = [1, 0]
        annotation.AnnotationGroupNumber = 0
        annotation.UnformattedTextValue = text
        made.append(annotation)
    for name, (scp, mdc, meaning, unit) in _MEASUREMENTS.items():
        annotation = Dataset()
        annotation.ReferencedWaveformChannels = [1, 0]
        annotation.AnnotationGroupNumber = 1
        annotation.ConceptNameCodeSequence = [_scheme_code(coding, scp, mdc, meaning)]
        annotation.MeasurementUnitsCodeSequence = [_code(unit, "UCUM", unit, "1.4")]
        annotation.NumericValue = str(about.measurements[name])
        made.append(annotation)
    return made
