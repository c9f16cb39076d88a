"""DICOM waveforms: multiplex groups of channels with a sensitivity each, and what annotations of the ECG say."""

from __future__ import annotations

import io
import re
import zlib
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators._validation import naming_package
from omi_estimators.readers._fields import (
    choose_unit,
    count_in_unit_asked,
    is_voltage,
    note_unread,
    read_aside,
    to_measured,
    to_number,
)
from omi_estimators.readers._leads import (
    Group,
    choose_rate,
    find_lead,
    join_groups,
    make_record,
    name_numbered,
    sort_leads,
)
from omi_estimators.readers._record import DAMAGE, MEASUREMENTS, MOST_BYTES, ECGFileError, ECGRecord, Source, check_size

# Numbers of the leads in SCP-ECG, which the codes of SCPECG (5.6.3-9-1) and of MDC (2:1) share.
_NUMBERS = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF"} | {i + 2: f"V{i}" for i in range(1, 7)}
_LEAD_CODE = re.compile(r"^(?:5\.6\.3-9-|2:)(\d{1,3})$")
_TYPES = {"SB": "i1", "UB": "u1", "SS": "i2", "US": "u2", "SL": "i4", "UL": "u4"}
# Codes of SCPECG and of MDC (TID 3713, CIDs 3227 and 3229), and words that their meanings begin with, in the order of
# MEASUREMENTS.
_CODES = ["5.10.2.5-1 2:16016", "5.13.5-7 2:15872", "5.13.5-5 2:16184 2:15880", "5.13.5-9 2:16156", "5.13.5-11 2:16160"]
_CODES += ["5.10.2.5-5 2:15876 2:15877", "5.10.3-11 2:16128", "5.10.3-13 2:16132", "5.10.3-15 2:16136"]
_WORDS = [r"(ventricular|heart)( heart)? rate\b", "pr (interval|duration)", "p[- ]?(wave )?duration"]
_WORDS += ["qrs (interval|duration)", "qt (interval|duration)", r"qtc\b"]
_WORDS += ["p (frontal )?axis", "(qrs|r) (frontal )?axis", "t (frontal )?axis"]
_MILLISECONDS = {"ms": 1.0, "s": 1000.0}
# What is looked at; all else is passed over as the file is read.
_WANTED = ["AcquisitionDate", "AcquisitionDateTime", "AcquisitionTime", "ContentDate", "ContentTime", "Modality"]
_WANTED += ["PatientAge", "PatientBirthDate", "PatientID", "PatientSex", "SOPClassUID", "StudyDate", "StudyTime"]
_WANTED += ["WaveformAnnotationSequence", "WaveformSequence"]
_DEFLATED = b"1.2.840.10008.1.2.1.99"
# Of 16 bits, as most devices store them; as float64 they are four times as many.
_MOST_INFLATED = MOST_BYTES // 4
# An ECG with an annotation of every beat of an hour has fewer.
_MOST_READS, _MOST_ITEMS = 1_000_000, 100_000
_LEAST_PADDING = 0.05  # s


class _Elements(io.BytesIO):
    """The bytes of a data set, of which no more elements are read than an ECG can have."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.n_reads = 0
        n_items = data.count(b"\xfe\xff\x00\xe0") + data.count(b"\xff\xfe\xe0\x00")
        if n_items > _MOST_ITEMS:
            raise ECGFileError(f"it has {n_items} items in its sequences; an ECG has far fewer than {_MOST_ITEMS}")

    def read(self, size: int | None = -1, /) -> bytes:
        self.n_reads += 1
        if self.n_reads > _MOST_READS:
            raise ECGFileError(f"it has more than {_MOST_READS // 2} elements; an ECG has far fewer")
        return super().read(size)


def read_dicom(source: Source) -> ECGRecord:
    """Read a DICOM ECG waveform.

    Parameters
    ----------
    source : Source
        The file. `unit` serves channels without a sensitivity, or whose unit cannot be read.

    Returns
    -------
    ECGRecord
        The groups of original samples, joined where they are sampled alike, each at its own time; with what
        annotations of the whole ECG say.

    Raises
    ------
    ECGFileError
        If it holds no waveform, samples of a kind that is no ECG's, fewer than it says, or channels without unit.
    """
    with naming_package("pydicom", "io", "Reading DICOM files"):
        import pydicom
    data = source.data
    try:
        dataset = _read_deflated(data)
        if dataset is None:
            dataset = pydicom.dcmread(_Elements(data), force=data[128:132] != b"DICM", specific_tags=_WANTED)
        return _read_dataset(dataset, source)
    except (pydicom.errors.BytesLengthException, pydicom.errors.InvalidDicomError) as error:
        raise ECGFileError(f"it is damaged ({' '.join(str(error).split())[:150]})") from error


def _read_deflated(data: bytes) -> Any | None:
    """Return the data set of a file in which it is deflated, None if it is not; the library inflates without limit."""
    from pydicom.filereader import read_dataset
    from pydicom.tag import Tag

    at = 132 if data[128:132] == b"DICM" else 0
    if _DEFLATED not in data[at : at + 4096]:
        return None
    file = _Elements(data)
    file.seek(at)
    meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    if meta.get("TransferSyntaxUID") != _DEFLATED.decode():
        return None
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(data[file.tell() :], _MOST_INFLATED)
    if inflater.unconsumed_tail:
        raise ECGFileError(f"inflated it would take more than {_MOST_INFLATED / 2**20:.0f} MiB, more than any ECG has")
    return read_dataset(_Elements(inflated), False, True, specific_tags=[Tag(name) for name in _WANTED])


def _read_dataset(dataset: Any, source: Source) -> ECGRecord:
    """Return the record of a data set, whose elements are decoded as they are looked at."""
    notes = source.notes
    groups = [_read_group(group, _is_little_endian(dataset), source) for group in _choose_groups(dataset)]
    others = dict.fromkeys(name for _, names in groups for name in names)
    leads, rate = join_groups([group for group, _ in groups], notes)

    def field(what: str, name: str) -> str:
        return read_aside(what, lambda: str(dataset.get(name) or "").strip(), notes) or ""

    times = [field("recording time", "AcquisitionDateTime")]
    for kind in ("Acquisition", "Content", "Study"):
        day, clock = (field("recording time", f"{kind}{part}") for part in ("Date", "Time"))
        times += [f"{day}{clock}"] if day else []
    annotations = read_aside("annotations", lambda: list(dataset.get("WaveformAnnotationSequence") or ()), notes) or []
    said = [read_aside("annotation", partial(_read_annotation, each), notes) for each in annotations]
    return make_record(
        source,
        [*leads.items(), *((name, np.zeros(0)) for name in others)],
        rate,
        "DICOM waveform",
        age=(field("age", "PatientAge"), None),
        birth=field("date of birth", "PatientBirthDate"),
        sex=field("sex", "PatientSex"),
        patient_id=field("patient id", "PatientID"),
        times=times,
        measured=(measured for _, *measured in filter(None, said)),
        statements=[text for text, *_ in filter(None, said)],
    )


def _choose_groups(dataset: Any) -> list[Any]:
    """Return the multiplex groups of the rhythm: those with leads that are not derived."""
    groups = list(dataset.get("WaveformSequence") or ())
    if not groups:
        kind = dataset.get("Modality") or dataset.get("SOPClassUID") or "unknown"
        raise ECGFileError(f"it is a DICOM file without a waveform (modality {kind}); export the ECG as a waveform")
    original = [group for group in groups if str(group.get("WaveformOriginality", "")).upper() != "DERIVED"]
    leads = [group for group in original or groups if _has_lead(group)]
    if not leads:
        raise ECGFileError("none of its waveforms has a channel that is one of the twelve leads")
    return leads


def _read_group(group: Any, little_endian: bool, source: Source) -> tuple[Group, list[str]]:
    """Return the leads of a multiplex group, and the names of its channels that are none."""
    notes = source.notes
    said = read_aside("sampling rate", lambda: str(_or(group.get("SamplingFrequency"), "")), notes) or ""
    rate = choose_rate(to_number(said), said, source)
    counts = _read_counts(group, little_endian)
    padding = read_aside("padding value", lambda: _find_padding(group, counts.dtype), notes)
    channels = list(group.ChannelDefinitionSequence)

    def read(place: int) -> NDArray[np.float64]:
        channel = channels[place]
        skew = read_aside("skew", lambda: _find_skew(channel, rate), notes) or 0.0
        if abs(skew) >= 1:
            notes.append(f"{_name(channel)} is said to be skewed by {skew:g} samples, which was not undone.")
        return _calibrate(channel, _mask_padding(counts[place], padding, rate), source)

    leads, others = sort_leads(list(map(_name, channels)), read, notes)
    offset = read_aside("time of a group", lambda: group.get("MultiplexGroupTimeOffset"), notes)
    start = to_number(str(offset))
    note_unread("time of a group", offset, start, notes)
    return Group(rate, None if start is None else start / 1000.0, leads), others


def _has_lead(group: Any) -> bool:
    names = [_name(channel) for channel in group.get("ChannelDefinitionSequence") or ()]
    return any(map(find_lead, name_numbered(names, [])))


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


def _read_counts(group: Any, little_endian: bool) -> NDArray[np.integer]:
    """Return the stored numbers, shape (n_channels, n_samples)."""
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
        says = f"{n_channels} channels of {n_samples} samples, {needed} bytes"
        raise ECGFileError(f"it says {says}, but has {len(data)}; it is cut")
    if len(group.ChannelDefinitionSequence) != n_channels:
        raise ECGFileError(f"it has {n_channels} channels, but describes {len(group.ChannelDefinitionSequence)}")
    check_size(8.0 * n_channels * n_samples, f"its {n_channels} channels of {n_samples} samples")
    stored: NDArray[np.integer] = np.frombuffer(data, dtype, n_channels * n_samples).reshape(n_samples, n_channels).T
    return stored


def _find_padding(group: Any, dtype: np.dtype[Any]) -> np.integer | None:
    """Return the value that stands for no sample, of the kind of the samples, with a sign or without."""
    padding = group.get("WaveformPaddingValue")
    if padding is None or padding == b"":
        return None
    if isinstance(padding, bytes):
        found: NDArray[np.integer] = np.frombuffer(padding.ljust(dtype.itemsize, b"\0"), dtype, 1)
    else:
        found = np.atleast_1d(padding).astype(np.int64).astype(dtype)
    return found[0]


def _find_skew(channel: Any, rate: float) -> float:
    """Return by how many samples a channel is said to begin later than its group."""
    seconds, samples = (_or(channel.get(f"Channel{kind}Skew"), 0.0) for kind in ("Time", "Sample"))
    return float(samples) or float(seconds) * rate


def _mask_padding(stored: NDArray[np.integer], value: np.integer | None, rate: float) -> NDArray[np.float64]:
    """Return the counts of a channel, NaN for what is padding.

    A value that the channel could have had (0, say) is padding at its ends alone, and over some time; one beyond all
    others is a gap wherever it stands.
    """
    counts = stored.astype(np.float64)
    if value is None:
        return counts
    equal = stored == value
    rest = np.flatnonzero(~equal)
    if rest.size and stored[rest].min() < value < stored[rest].max():
        least = _LEAST_PADDING * rate
        first = rest[0] if rest[0] >= least else 0
        last = rest[-1] + 1 if stored.size - rest[-1] - 1 >= least else stored.size
        equal = (np.arange(stored.size) < first) | (np.arange(stored.size) >= last)
    counts[equal] = np.nan
    return counts


def _calibrate(channel: Any, counts: NDArray[np.float64], source: Source) -> NDArray[np.float64]:
    """Return the millivolts of a channel."""
    sensitivity = read_aside("sensitivity", lambda: to_number(str(channel.get("ChannelSensitivity"))), source.notes)
    if not sensitivity:
        return counts * count_in_unit_asked("sensitivity of its channels (ChannelSensitivity)", source)
    units = list(channel.get("ChannelSensitivityUnitsSequence") or ())
    said = [str(each.get(name, "")) for each in units[:1] for name in ("CodeValue", "CodeMeaning")]
    factor = choose_unit(next(filter(is_voltage, said), (said or [""])[0]) or "none", _name(channel), source)
    scale = sensitivity * float(_or(channel.get("ChannelSensitivityCorrectionFactor"), 1.0))
    if not scale:
        raise ECGFileError(f"the sensitivity of {_name(channel)} is corrected by a factor of 0; it is damaged")
    return (counts * scale + float(_or(channel.get("ChannelBaseline"), 0.0))) * factor


def _or(value: Any, default: Any) -> Any:
    """Return a value, and what stands for one that is empty."""
    return default if value is None or value == "" else value


def _read_annotation(annotation: Any) -> tuple[str, str | None, float | None]:
    """Return the text of an annotation, and name and value of what it measures, in beats/min, ms and degrees."""
    text = str(annotation.get("UnformattedTextValue") or "").strip()
    codes = list(annotation.get("ConceptNameCodeSequence") or ())
    name = _find_name(codes[0]) if codes else None
    if name is None:
        return text, None, None
    try:
        value = annotation.get("NumericValue")
    except DAMAGE:
        return text, name, float("nan")
    # The first where there are several.
    number = to_measured(str(next(iter(value), "") if hasattr(value, "append") else "" if value is None else value))
    units = list(annotation.get("MeasurementUnitsCodeSequence") or ())
    unit = str(units[0].get("CodeValue", "")) if units else ""
    return text, name, None if number is None else number * _MILLISECONDS.get(unit, 1.0)


def _find_name(code: Any) -> str | None:
    """Return which measurement a code stands for."""
    value, meaning = str(code.get("CodeValue", "")).strip(), " ".join(str(code.get("CodeMeaning", "")).lower().split())
    by_code = (name for name, codes in zip(MEASUREMENTS, _CODES, strict=True) if value in codes.split())
    by_meaning = (name for name, words in zip(MEASUREMENTS, _WORDS, strict=True) if re.match(words, meaning))
    return next(by_code, next(by_meaning, None))
