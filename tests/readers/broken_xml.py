"""Broken fields of XML and DICOM, as `test_broken_fields.py` tries them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from readers.broken import Broken
from readers.writers import (
    ABOUT,
    INDEPENDENT,
    write_cardiosoft,
    write_dicom,
    write_hl7,
    write_mortara,
    write_muse,
    write_philips,
)

from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.leads import LEADS

_RATE = 500
Check = Callable[[Any], None]
Edit = Callable[[Any], Any]


@dataclass(frozen=True)
class Format:
    """A format whose files are text: where each field stands, as a pattern whose first group is what comes before."""

    name: str
    write: Callable[..., float]
    places: dict[str, str]
    # What else says the age.
    births: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    encoding: str = "utf-8"
    names: tuple[str, ...] = LEADS


PHILIPS = Format(
    "Philips SierraECG XML",
    write_philips,
    {
        "recording time": r'( date=")[^"]*" time="[^"]*',
        "age": "(<years>)[^<]*",
        "sex": "(<sex>)[^<]*",
        "patient id": "(<patientid>)[^<]*",
        "PR": '(<print editedflag="False">)[^<]*',
        "QRS": '(<qrsdur editedflag="False">)[^<]*',
        "rate": '(<samplingrate>|samplespersecond=")[^<"]*',
        "unit": '(<resolution>|[^.] resolution=")[^<"]*(?=" signaloffset|<)',
        "lead name": '(leadlabels=")I(?= )',
    },
    options={"birth": False},
)
MUSE = Format(
    "GE MUSE XML",
    write_muse,
    {
        "recording time": "(<AcquisitionDate>)[^<]*",
        "age": "(<PatientAge>)[^<]*",
        "sex": "(<Gender>)[^<]*",
        "patient id": "(<PatientID>)[^<]*",
        "PR": "(<PRInterval>)[^<]*",
        "QRS": "(<QRSDuration>)[^<]*",
        "rate": "(<SampleBase>)[^<]*",
        "unit": "(<LeadAmplitudeUnits>)[^<]*",
        "lead name": "(<LeadID>)I(?=<)",
        "checksum": "(<LeadDataCRC32>)[^<]*",
    },
    births=("(<DateofBirth>)[^<]*",),
    encoding="latin-1",
    names=INDEPENDENT,
)
CARDIOSOFT = Format(
    "GE CardioSoft XML",
    write_cardiosoft,
    {
        "recording time": "(?s)(<ObservationDateTime>.*?<Month>)[^<]*",
        "age": '(<Age units="Years">)[^<]*',
        "sex": "(<Gender>)[^<]*",
        "patient id": "(<PID>)[^<]*",
        "PR": '(<PQInterval units="ms">)[^<]*',
        "QRS": '(<QRSDuration units="ms">)[^<]*',
        "rate": '(<SampleRate units="Hz">)[^<]*',
        "unit": '(<Resolution units=")[^"]*',
        "lead name": '(<WaveformData lead=")I(?=")',
    },
    options={"birth": False},
    encoding="latin-1",
)
HL7 = Format(
    "HL7 aECG XML",
    write_hl7,
    {
        "recording time": '(<low value=")[^"]*',
        "age": '(?s)(21612-7.*?<value [^>]*value=")[^"]*',
        "sex": '(<administrativeGenderCode code=")[^"]*',
        "patient id": '(extension=")PAT-0042',
        "PR": '(?s)(MDC_ECG_TIME_PD_PR".*?<value [^>]*value=")[^"]*',
        "QRS": '(?s)(MDC_ECG_TIME_PD_QRS".*?<value [^>]*value=")[^"]*',
        "rate": '(<increment value=")[^"]*',
        "unit": '(<(?:scale|origin) [^>]*unit=")[^"]*',
        "lead name": '(MDC_ECG_LEAD_)I(?=")',
    },
    options={"birth": False},
)
MORTARA = Format(
    "Mortara XML",
    write_mortara,
    {
        "recording time": '(ACQUISITION_TIME(?:_XML)?=")[^"]*',
        "age": '( AGE=")[^"]*',
        "sex": '(GENDER=")[^"]*',
        "patient id": '(<SUBJECT [^>]*ID=")[^"]*',
        "PR": '(PR_DURATION=")[^"]*',
        "QRS": '(QRS_DURATION=")[^"]*',
        "rate": '(SAMPLE_FREQ=")[^"]*',
        "unit": '(UNITS_PER_MV=")[^"]*',
        "lead name": '(NAME=")I(?=")',
    },
    options={"birth": False},
)
TEXTS = (PHILIPS, MUSE, CARDIOSOFT, HL7, MORTARA)
DICOM = "DICOM waveform"


@cache
def ecg() -> np.ndarray:
    """Return 4 s of an ECG of twelve leads in mV."""
    return make_omi_ecgs(1, records_per_patient=1, duration=4, sampling_rate=_RATE, random_state=3).X[0].astype(float)


def same(record: Any, leads: tuple[str, ...] = LEADS, step: float = 0.0051) -> None:
    """Check the samples of leads."""
    rows = [LEADS.index(lead) for lead in leads]
    assert np.abs(record.signal[rows] - ecg()[rows, : record.signal.shape[1]]).max() <= step
    assert record.sampling_rate == _RATE


def fails(name: str, note: str = "") -> Check:
    """Return a check that a field is None, with a note if it was not just empty."""

    def check(record: Any) -> None:
        same(record)
        assert getattr(record, name) is None
        found = [each for each in record.notes if note and re.search(note, each)]
        assert len(found) == bool(note), record.notes

    return check


def lacks(*names: str, note: str = "") -> Check:
    """Return a check that measurements are missing, and only those, with a note."""

    def check(record: Any) -> None:
        same(record)
        assert not record.measurements.keys() & set(names)
        assert {"heart_rate", "p_axis", "t_axis"} <= record.measurements.keys()
        assert not note or any(re.search(note, each) for each in record.notes), record.notes

    return check


def reads(note: str = "", **expected: Any) -> Check:
    """Return a check that all is read, with a note."""

    def check(record: Any) -> None:
        same(record)
        assert {name: getattr(record, name) for name in expected} == expected
        assert any(re.search(note, each) for each in record.notes) if note else record.notes == (), record.notes

    return check


def loses_lead(record: Any) -> None:
    """Check that lead I is derived or missing, which a note tells."""
    same(record, tuple(lead for lead in LEADS if lead not in record.missing_leads))
    assert "I" in (*record.derived_leads, *record.missing_leads)
    assert any("none of the twelve leads: " in each for each in record.notes)


def edited(kind: Format, *edits: tuple[str, str], **options: Any) -> Callable[[Path], Path]:
    """Return what writes a file, and puts a text in each place of a pattern."""

    def write(folder: Path) -> Path:
        path = folder / "ecg.xml"
        kind.write(path, ecg()[[LEADS.index(i) for i in kind.names]], _RATE, leads=kind.names, **kind.options | options)
        text = path.read_bytes().decode(kind.encoding)
        for pattern, new in edits:
            text, n_found = re.subn(pattern, lambda found, new=new: found[1] + new, text)
            assert n_found, pattern
        path.write_bytes(text.encode(kind.encoding))
        return path

    return write


def rows_of_text(kind: Format) -> Iterator[Broken]:
    """Yield the rows of what is alike in all formats of text."""
    nothing, noted = "None", "None, with a note"

    def row(what: str, how: str, new: str, outcome: str, check: Check | str) -> Broken:
        edits = [(kind.places[what], new), *((birth, "") for birth in kind.births if what == "age")]
        return about(kind, what, how, outcome, check, *edits)

    impossible = "13" if kind is CARDIOSOFT else "2024-13-45"
    for how, new in (("a word", "soon"), ("impossible", impossible), ("another style", "15.3.24")):
        yield row("recording time", how, new, noted, fails("recording_time", "The recording time cannot be read"))
    yield row("age", "empty", "", nothing, fails("age"))
    yield row("age", "a word", "old", noted, fails("age", "The age cannot be read: 'old'"))
    yield row("age", "impossible", "400", noted, fails("age", "Left out an age of 400 years"))
    yield row("sex", "empty", "", nothing, fails("sex"))
    yield row("sex", "a word", "cat", noted, fails("sex", "The sex cannot be read: 'cat'"))
    yield row("patient id", "empty", "", nothing, fails("patient_id"))
    yield row("PR", "'Indeterminate'", "Indeterminate", "missing", lacks("pr"))
    yield row("PR", "negative", "-20", "missing, with a note", lacks("pr", note="the device measured as pr, -20"))
    wrong = ("qrs", "qt", "qtc")
    yield row("QRS", "longer than QT", "500", "QRS, QT, QTc missing, with a note", lacks(*wrong, note="qrs is 500 ms"))
    if kind is not MUSE:
        yield row("PR", "shorter than P", "99", "P missing, with a note", lacks("p_duration", note="pr, of which"))
    yield row("rate", "empty", "", "error", "(?i)sampl")
    yield row("rate", "a word", "fast", "error", "give sampling_rate=")
    given = "cannot be read, .*; 500 Hz was given"
    yield about(
        kind, "rate", "a word, sampling_rate=500", "the caller's, with a note", reads(given),
        (kind.places["rate"], "fast"), sampling_rate=500,
    )  # fmt: skip
    yield row("patient id", "a placeholder", "Anonymous", nothing, fails("patient_id"))
    if kind in (CARDIOSOFT, MORTARA):
        edits = [(kind.places["lead name"].replace("I(?", f"{lead}(?"), str(i)) for i, lead in enumerate(LEADS, 1)]
        outcome = "twelve leads in their usual order, with a note"
        yield about(kind, "lead name", "1 to 12", outcome, reads("usual order"), *edits)
    yield row("unit", "empty", "", "error", "give unit=")
    yield row("unit", "a word", "bananas", "error", "give unit=")
    yield row("lead name", "of no lead", "Resp", "no such lead, with a note", loses_lead)


def about(
    kind: Format, what: str, how: str, outcome: str, check: Check | str, *edits: tuple[str, str], **more: Any
) -> Broken:
    """Return a row of one format; `more` are options of its writer, `unit` and `sampling_rate` for the reader."""
    reading = {name: more.pop(name) for name in ("unit", "sampling_rate") if name in more}
    return Broken(kind.name, what, how, outcome, edited(kind, *edits, **more), check, reading)


def changed(edit: Edit, **options: Any) -> Callable[[Path], Path]:
    """Return what writes a DICOM file, and changes its data set."""

    def write(folder: Path) -> Path:
        path = folder / "ecg.dcm"
        write_dicom(path, options.pop("signal", ecg()), _RATE, **options)
        settings = pydicom.config.settings
        before = settings.reading_validation_mode, settings.writing_validation_mode
        settings.reading_validation_mode = settings.writing_validation_mode = pydicom.config.IGNORE
        try:
            dataset = pydicom.dcmread(path)
            edit(dataset)
            dataset.save_as(path)
        finally:
            settings.reading_validation_mode, settings.writing_validation_mode = before
        return path

    return write


def putting(keyword: str, value: str, *others: str) -> Callable[[Path], Path]:
    """Return what writes a DICOM file with an element of another value, and without others."""

    def edit(dataset: Any) -> None:
        setattr(dataset, keyword, value)
        for other in others:
            setattr(dataset, other, "")

    return changed(edit)


def in_channels(keyword: str, value: Any) -> Callable[[Path], Path]:
    """Return what writes a DICOM file with another value of each channel of the rhythm; of the unit for "unit"."""

    def edit(dataset: Any) -> None:
        for channel in dataset.WaveformSequence[0].ChannelDefinitionSequence:
            if keyword == "unit":
                unit = channel.ChannelSensitivityUnitsSequence[0]
                unit.CodeValue = unit.CodeMeaning = value
            else:
                setattr(channel, keyword, value)

    return changed(edit)


def in_group(keyword: str, value: Any) -> Callable[[Path], Path]:
    """Return what writes a DICOM file with another value of the rhythm's group; bytes are written as they are."""
    return changed(lambda dataset: put(dataset.WaveformSequence[0], keyword, value))


def put(dataset: Any, keyword: str, value: Any) -> None:
    """Put a value into a data set; bytes go in as a decimal string that may be none."""
    if isinstance(value, bytes):
        tag = pydicom.tag.Tag(keyword)
        value = value.ljust(len(value) + len(value) % 2)
        dataset[tag] = pydicom.dataelem.RawDataElement(tag, "DS", len(value), value, 0, False, True)
    else:
        setattr(dataset, keyword, value)


def measuring(value: bytes, meaning: str) -> Callable[[Path], Path]:
    """Return what writes a DICOM file with another value of a measurement."""

    def edit(dataset: Any) -> None:
        for annotation in dataset.WaveformAnnotationSequence:
            if any(code.CodeMeaning == meaning for code in annotation.get("ConceptNameCodeSequence") or ()):
                put(annotation, "NumericValue", value)

    return changed(edit)


def rows_of_dicom() -> Iterator[Broken]:
    """Yield the rows of DICOM."""
    nothing, noted = "None", "None, with a note"
    times = ("ContentDate", "ContentTime", "StudyDate", "StudyTime")
    for how, new in (("a word", "soon"), ("impossible", "20241345"), ("another style", "15.3.24")):
        check = fails("recording_time", "The recording time cannot be read")
        yield Broken(DICOM, "recording time", how, noted, putting("AcquisitionDateTime", new, *times), check)
    good = reads(recording_time=ABOUT.recording_time)
    yield Broken(
        DICOM, "recording time", "a word, another good", "the other", putting("AcquisitionDateTime", "soon"), good
    )
    for what, name, keyword in (("age", "age", "PatientAge"), ("sex", "sex", "PatientSex")):
        birth = "PatientBirthDate"
        yield Broken(DICOM, what, "empty", nothing, putting(keyword, "", birth), fails(name))
        check = fails(name, f"The {what} cannot be read: 'what'")
        yield Broken(DICOM, what, "a word", noted, putting(keyword, "what", birth), check)
    impossible = fails("age", "Left out an age of 400 years")
    yield Broken(DICOM, "age", "impossible", noted, putting("PatientAge", "400Y", "PatientBirthDate"), impossible)
    yield Broken(DICOM, "age", "empty, good birth", "by the birth", putting("PatientAge", ""), by_birth())
    yield Broken(DICOM, "patient id", "empty", nothing, putting("PatientID", ""), fails("patient_id"))
    missing = "missing, with a note"
    yield Broken(DICOM, "PR", "empty", "missing", measuring(b"", "PR Interval"), lacks("pr"))
    yield Broken(DICOM, "PR", "a word", "missing", measuring(b"none", "PR Interval"), lacks("pr"))
    yield Broken(DICOM, "PR", "negative", missing, measuring(b"-20", "PR Interval"), lacks("pr", note="-20"))
    yield Broken(
        DICOM, "PR", "shorter than P", missing, measuring(b"99", "PR Interval"), lacks("p_duration", note="99")
    )
    wrong = ("qrs", "qt", "qtc")
    yield Broken(DICOM, "QRS", "longer than QT", missing, measuring(b"500", "QRS Duration"), lacks(*wrong, note="500"))
    yield Broken(DICOM, "rate", "empty", "error", in_group("SamplingFrequency", None), "(?i)sampl")
    given = reads("sampling rate cannot be read, ''; 500 Hz")
    no_rate = in_group("SamplingFrequency", None)
    yield Broken(
        DICOM, "rate", "empty, sampling_rate=500", "the caller's, with a note", no_rate, given, {"sampling_rate": 500}
    )
    yield Broken(DICOM, "patient id", "a placeholder", nothing, putting("PatientID", "ANONYMOUS"), fails("patient_id"))
    for what, keyword in (
        ("sensitivity", "ChannelSensitivity"),
        ("factor of the sensitivity", "ChannelSensitivityCorrectionFactor"),
    ):
        yield Broken(DICOM, what, "0", "error", in_channels(keyword, "0"), "sensitivity of")
    yield Broken(
        DICOM, "skew", "of 2 samples", "read, with a note", in_channels("ChannelSampleSkew", "2"), reads("2 sam")
    )
    padding = changed(lambda dataset: dataset.WaveformSequence[0].add_new("WaveformPaddingValue", "US", 40000))
    yield Broken(DICOM, "padding", "of other kind than the samples", "read", padding, reads())
    yield Broken(
        DICOM,
        "start of a group",
        "a word",
        "read, with a note",
        in_group("MultiplexGroupTimeOffset", b"late"),
        reads("time of a group"),
    )
    empty = in_channels("unit", "")
    yield Broken(DICOM, "unit", "empty", "error", empty, "give unit=")
    yield Broken(
        DICOM,
        "unit",
        "empty, unit= given",
        "read, with a note",
        empty,
        reads("cannot be read; (counts of )?uV"),
        {"unit": "uV"},
    )
    yield Broken(
        DICOM, "unit", "another than unit=", "error", in_channels("unit", "uV"), "leave that out", {"unit": "mV"}
    )


def by_birth(note: str = "") -> Check:
    """Return a check that the age is that by the day of birth."""

    def check(record: Any) -> None:
        reads(note)(record)
        assert ABOUT.age <= record.age < ABOUT.age + 1

    return check


def with_zeros(record: Any) -> None:
    """Check that zeros within a recording stay, and those at its end are missing."""
    assert np.isnan(record.signal[:, -200:]).all()
    assert not np.isnan(record.signal[:, :-200]).any()
    assert (record.signal[:, 700:900] == 0).all()


def padded_with_zeros() -> Callable[[Path], Path]:
    """Return what writes a DICOM file with zeros as padding at the end, and true ones in the middle."""
    signal = ecg().copy()
    signal[:, 700:900] = signal[:, -200:] = 0

    def edit(dataset: Any) -> None:
        dataset.WaveformSequence[0].WaveformPaddingValue = b"\0\0"
        dataset.WaveformSequence[0]["WaveformPaddingValue"].VR = "OW"

    return changed(edit, signal=signal)


def sixteen(folder: Path) -> Path:
    """Write a Philips file of 16 channels of which 12 are named."""
    path = folder / "ecg.xml"
    write_philips(path, np.vstack([ecg(), ecg()[:4]]), _RATE, leads=(*LEADS, "V7", "V8", "V9", "V3R"), birth=False)
    text = re.sub(r'leadlabels="[^"]*"|numberofleads="\d+"', "", path.read_text())
    path.write_text(re.sub("(?<=<numberchannelsallocated>)16", "12", text))
    return path


def sixteen_named(folder: Path) -> Path:
    """Write a Philips file of 16 named channels."""
    path = folder / "ecg.xml"
    write_philips(path, np.vstack([ecg(), ecg()[:4]]), _RATE, leads=(*LEADS, "V7", "V8", "V9", "V3R"), birth=False)
    return path


_NOTED = "the first, with a note"
_LEFT_OVER = "(<parsedwaveforms )", 'compressflag="True" compressmethod="XLI" '
_EMPTY_AGE = '<relatedObservation><code code="21612-7"/><value value=""/></relatedObservation>'
ROWS: list[Broken] = [
    *(row for kind in TEXTS for row in rows_of_text(kind)),
    about(PHILIPS, "age", "empty, good birth", "by the birth", by_birth(), ("(<age[^>]*>)", "<years/>"), birth=True),
    about(
        MUSE, "age", "a word, good birth", "by the birth, with a note", by_birth("'old'"), (MUSE.places["age"], "old")
    ),
    about(
        CARDIOSOFT, "age", "empty, good birth", "by the birth", by_birth(), ("(<PatientInfo>)", "<Age/>"), birth=True
    ),
    about(HL7, "age", "empty, good birth", "by the birth", by_birth(), ("(<componentOf>)", _EMPTY_AGE), birth=True),
    about(MORTARA, "age", "empty, good birth", "by the birth", by_birth(), (MORTARA.places["age"], ""), birth=True),
    about(PHILIPS, "resolution", "said twice, differently", _NOTED, reads("several times"), ("(<resolution>)5", "4")),
    about(PHILIPS, "version", "empty", "read", reads(), ("(<documentversion>)[^<]*", "")),
    about(PHILIPS, "compression", "left over, plain", "read", reads(), _LEFT_OVER),
    about(PHILIPS, "compression", "left over, base64", "read", reads(), _LEFT_OVER, encoding="Base64"),
    about(PHILIPS, "encoding", "empty", "read", reads(), ('(dataencoding=")Plain', "")),
    Broken(
        PHILIPS.name, "channels", "16, of which 12 are named", "12, with a note", sixteen, reads("Left out 4 channels")
    ),
    Broken(PHILIPS.name, "channels", "16, all named", "12, with a note", sixteen_named, reads("V7, V8, V9, V3R")),
    about(MUSE, "checksum", "a word", "read, with a note", reads("checksum of I"), (MUSE.places["checksum"], "x")),
    about(
        MUSE,
        "checksum",
        "of other samples",
        "read, with a note",
        reads("checksum of V6"),
        (MUSE.places["checksum"], "1"),
    ),
    about(
        MUSE,
        "start of a lead",
        "another than of the rest",
        "read, with a note",
        reads("LeadTimeOffset"),
        (r"(?s)(<LeadTimeOffset>)\d+(?=(?:(?!<LeadTimeOffset>).)*<LeadID>V1<)", "4"),
    ),
    about(PHILIPS, "lead names", "with commas", "read", reads(), ('(leadlabels=")[^"]*', ",".join(LEADS))),
    about(HL7, "scale", "0", "error", "does not say the scale", ('(<scale value=")[^"]*', "0")),
    about(MUSE, "checksum", "empty", "read", reads(), (MUSE.places["checksum"], "")),
    about(CARDIOSOFT, "number of leads", "another", "read, with a note", reads("says"), ("(<NumberOfLeads>)12", "15")),
    about(
        CARDIOSOFT, "samples", "one missing", "error", "two commas in a row", ("(?s)(<WaveformData.*?,).*?(?=,)", "")
    ),
    *(
        about(
            kind,
            "unit",
            "unreadable, unit= given",
            "read, with a note",
            reads("cannot be read; (counts of )?uV"),
            edit,
            unit="uV",
            **more,
        )
        for kind, edit, more in (
            (PHILIPS, (PHILIPS.places["unit"], "x"), {"resolution": 1}),
            (MUSE, (MUSE.places["unit"], "x"), {}),
            (CARDIOSOFT, (CARDIOSOFT.places["unit"], "x"), {}),
            (HL7, (HL7.places["unit"], "x"), {}),
            (MORTARA, (MORTARA.places["unit"], "x"), {"units_per_mv": 1000}),
        )
    ),
    *(
        about(kind, "unit", "another than unit=", "error", "leave that out", unit="mV")
        for kind in (MUSE, CARDIOSOFT, HL7)
    ),
    *rows_of_dicom(),
    Broken(DICOM, "padding", "0, which is a value too", "NaN at an end alone", padded_with_zeros(), with_zeros),
]
