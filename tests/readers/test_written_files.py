"""Files written by other hands than the readers, after the descriptions of their formats, read as written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import edfio
import numpy as np
import pydicom
import pytest
import wfdb
from readers.writers import (
    ABOUT,
    INDEPENDENT,
    write_cardiosoft,
    write_csv,
    write_dicom,
    write_edf,
    write_hl7,
    write_mat,
    write_mortara,
    write_muse,
    write_npy,
    write_philips,
    write_scp,
    write_wfdb,
)

from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.leads import LEADS, LIMB_LEADS, derive_limb_leads
from omi_estimators.readers import ECGFileError, ECGRecord, read_ecg

CHART = frozenset({"age", "sex", "patient_id", "recording_time"})
ALL = CHART | {"measurements", "statements"}
SHORT = ("V6", "V5", "V4", "V2", "V1", "II", "I")
ONE_LIMB_LEAD = ("II", "V1", "V2", "V3", "V4", "V5", "V6")


@dataclass(frozen=True)
class Case:
    """One way to write a file, and what it says."""

    write: Callable[..., float]
    suffix: str
    knows: frozenset[str]
    options: dict[str, Any] = field(default_factory=dict)
    leads: Sequence[str] = LEADS
    sampling_rate: float = 500
    reading: dict[str, Any] = field(default_factory=dict)
    unstated: frozenset[str] = frozenset()


def _case(write: Callable[..., float], suffix: str, knows: frozenset[str]) -> Callable[..., Case]:
    def make(leads: Sequence[str] = LEADS, rate: float = 500, reading: Any = None, **options: Any) -> Case:
        # MUSE gives onset and offset of the P wave, not its duration.
        unstated = frozenset({"p_duration"}) if write is write_muse else frozenset()
        return Case(write, suffix, knows, options, leads, rate, reading or {}, unstated)

    return make


hl7, philips = _case(write_hl7, ".xml", ALL), _case(write_philips, ".xml", ALL)
muse, mortara = _case(write_muse, ".xml", ALL), _case(write_mortara, ".xml", ALL)
cardiosoft = _case(write_cardiosoft, ".xml", ALL)
dicom, edf = _case(write_dicom, ".dcm", ALL), _case(write_edf, ".edf", CHART)
scp = _case(write_scp, ".scp", ALL)
wfdb_record = _case(write_wfdb, ".hea", frozenset({"age", "sex", "recording_time"}))
csv, mat, npy = (
    _case(write, suffix, frozenset())
    for write, suffix in ((write_csv, ".csv"), (write_mat, ".mat"), (write_npy, ".npy"))
)
MV, UV = {"sampling_rate": 500, "unit": "mV"}, {"sampling_rate": 500, "unit": "uV"}

CASES = {
    "hl7": hl7(),
    "hl7 relative time": hl7(time="relative", rate=1000),
    "hl7 mV": hl7(unit="mV", scale=0.005),
    "hl7 nV": hl7(unit="nV", scale=1220, rate=250),
    "hl7 origin": hl7(origin=-1234.5, scale=4.88),
    "hl7 integers": hl7(values="SLIST_INT", scale=2, origin=100, reading={"unit": "uV"}),
    "hl7 prefix": hl7(prefix="hl7"),
    "hl7 eight leads": hl7(leads=INDEPENDENT),
    "hl7 measured on beat": hl7(measured_on="derived series"),
    "hl7 one lead's QT first": hl7(one_lead_first=True),
    "hl7 reported age": hl7(birth=False),
    "mortara": mortara(),
    "mortara 1000 Hz": mortara(units_per_mv=200, rate=1000, birth=False),
    "mortara eight leads": mortara(leads=INDEPENDENT),
    "philips plain": philips(),
    "philips base64": philips(encoding="Base64"),
    "philips utf-16": philips(encoding="Base64", text_encoding="utf-16", birth=False),
    "philips resolution": philips(resolution=2.5),
    "muse": muse(leads=INDEPENDENT),
    "muse no median": muse(leads=INDEPENDENT, median=False, rate=250),
    "muse twelve leads": muse(units_per_bit=2.5),
    "cardiosoft": cardiosoft(),
    "cardiosoft age": cardiosoft(birth=False, resolution=2.5, rate=1000),
    "cardiosoft strips": cardiosoft(layout="strips"),
    "cardiosoft seconds": cardiosoft(layout="seconds"),
    "cardiosoft samples": cardiosoft(layout="samples", rate=100),
    "cardiosoft exercise": cardiosoft(layout="seconds", leads=("I", "II", "III")),
    "dicom": dicom(),
    "dicom mdc": dicom(coding="MDC", rate=1000),
    "dicom implicit": dicom(implicit=True),
    "dicom median first": dicom(median_first=True),
    "dicom mV": dicom(unit="mV", sensitivity=0.00488, baseline=0.3),
    "dicom unequal": dicom(sensitivity=np.linspace(1, 4, 12), correction=1.02, baseline=np.linspace(-300, 500, 12)),
    "dicom eight leads": dicom(leads=INDEPENDENT, coding="MDC"),
    "edf": edf(),
    "edf+": edf(plus=True),
    "edf mV": edf(unit="mV", physical=(-5, 11.383), digital=(-2048, 32767), label="{}"),
    "edf inverted range": edf(physical=(8191.75, -8192)),
    "edf eight leads": edf(leads=INDEPENDENT, plus=True),
    "edf one limb lead": edf(leads=ONE_LIMB_LEAD),
    "bdf": edf(bits=24, physical=(-262144, 262143), digital=(-8388608, 8388607)),
    "bdf+": edf(bits=24, physical=(-262144, 262143), digital=(-8388608, 8388607), plus=True),
    "scp": scp(),
    "scp reference beat": scp(subtract=True, step=4880, reference_step=1220, rate=1000),
    "scp own tables": scp(huffman="own", order=1, leads=INDEPENDENT),
    "scp not compressed": scp(huffman="none", order=0, step=1000, letters=False),
    "wfdb 16": wfdb_record(),
    "wfdb 212": wfdb_record(storage="212", gain=200, baseline=512),
    "wfdb 24": wfdb_record(storage="24", gain=24_000, baseline=-70_000),
    "wfdb mat": wfdb_record(storage="mat"),
    "wfdb uV": wfdb_record(unit="uV", gain=0.205),
    "wfdb unequal": wfdb_record(gain=np.linspace(200, 1000, 12), baseline=np.arange(12) * 70 - 300),
    "wfdb file per lead": wfdb_record(file_per_lead=True, rate=1000),
    "wfdb short": wfdb_record(leads=SHORT),
    "csv": csv(reading=MV),
    "csv semicolons": csv(separator=";", decimal=",", reading=MV),
    "csv tabs": csv(separator="\t", unit="uV", reading=UV),
    "csv time": csv(time=True, reading=MV),
    "csv no header": csv(header=False, leads=SHORT, reading=MV | {"leads": SHORT}),
    "csv short": csv(leads=SHORT, reading=MV),
    "mat": mat(reading=UV),
    "mat 4": mat(reading=UV, version="4"),
    "mat short": mat(leads=SHORT, reading=UV | {"leads": SHORT}),
    "npy": npy(reading=MV),
    "npy integers": npy(dtype="int16", unit="uV", reading=UV),
    "npy columns": npy(transpose=True, dtype="float64", reading=MV),
}


@cache
def simulate(sampling_rate: float = 500, duration: float = 10) -> np.ndarray:
    """Return one ECG without noise, in mV, float64."""
    data = make_omi_ecgs(
        n_patients=1, records_per_patient=1, noise=0, duration=duration, sampling_rate=sampling_rate, random_state=3
    )
    return data.X[0].astype(np.float64)


def write(case: Case, folder: Path) -> tuple[Path, float]:
    """Write the file of a case; return its path and its quantisation step in mV."""
    path = folder / f"ecg{case.suffix}"
    rows = [LEADS.index(lead) for lead in case.leads]
    step = case.write(path, simulate(case.sampling_rate)[rows], case.sampling_rate, leads=case.leads, **case.options)
    return path, step


def check_signal(record: ECGRecord, case: Case, step: float, truth: np.ndarray) -> None:
    """Check the values, and which leads were there."""
    n_limb_leads = sum(lead in LIMB_LEADS for lead in case.leads)
    absent = [lead for lead in LEADS if lead not in case.leads]
    derived = tuple(lead for lead in absent if lead in LIMB_LEADS and n_limb_leads >= 2)
    assert record.derived_leads == derived
    assert record.missing_leads == tuple(lead for lead in absent if lead not in derived)
    assert record.signal.shape == truth.shape
    assert record.signal.dtype == np.float64
    for lead, read, true in zip(LEADS, record.signal, truth, strict=True):
        if lead in record.missing_leads:
            assert np.isnan(read).all()
        else:
            # A lead that follows from two others has at most the sum of their errors.
            most = step if lead in derived else step / 2
            assert np.abs(read - true).max() <= most + 1e-6, lead
    if n_limb_leads >= 2:
        limb = np.full((1, *truth.shape), np.nan)
        limb[0, [0, 1]] = record.signal[:2]
        assert np.abs(derive_limb_leads(limb)[0, :6] - record.signal[:6]).max() < 0.010


def check_chart(record: ECGRecord, case: Case) -> None:
    """Check who was recorded and when; what a file does not say must not be made up."""
    assert record.source_format
    assert record.sex == (ABOUT.sex if "sex" in case.knows else None)
    assert record.recording_time == (ABOUT.recording_time if "recording_time" in case.knows else None)
    if "patient_id" in case.knows:
        assert record.patient_id == ABOUT.patient_id
    if "age" in case.knows:
        # Years at the last birthday, or with a fraction.
        assert record.age is not None
        assert ABOUT.age <= record.age < ABOUT.age + 1
    else:
        assert record.age is None
    if "measurements" in case.knows:
        assert record.measurements.keys() >= ABOUT.measurements.keys() - case.unstated
        assert record.measurements == {name: ABOUT.measurements[name] for name in record.measurements}
    else:
        assert record.measurements == {}
    if "statements" in case.knows:
        assert all(any(text in said for said in record.statements) for text in ABOUT.statements)
        assert not any("Not this one" in said for said in record.statements)


@pytest.mark.parametrize("name", CASES)
def test_what_was_written_is_read(name, tmp_path):
    case = CASES[name]
    path, step = write(case, tmp_path)
    record = read_ecg(path, **case.reading)
    assert record.sampling_rate == pytest.approx(case.sampling_rate)
    check_signal(record, case, step, simulate(case.sampling_rate))
    check_chart(record, case)


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_suffix_makes_no_difference(name, tmp_path):
    case = CASES[name]
    path, _ = write(case, tmp_path)
    renamed = shutil.copy(path, path.with_name(f"renamed{'.dcm' if case.suffix == '.xml' else '.xml'}"))
    expected, record = (read_ecg(each, **case.reading) for each in (path, renamed))
    np.testing.assert_array_equal(record.signal, expected.signal)
    for each in fields(ECGRecord):
        if each.name not in ("signal", "notes"):
            assert getattr(record, each.name) == getattr(expected, each.name), each.name


@pytest.mark.parametrize("encoding", ["Plain", "Base64"])
def test_the_calibration_pulse_of_philips_is_no_beat(encoding, tmp_path):
    signal = simulate(500, 11)
    step = write_philips(tmp_path / "ecg.xml", signal, 500, encoding=encoding, calibration=True)
    record = read_ecg(tmp_path / "ecg.xml")
    # The pulse takes the last 0.4 s; devices mean the first 10 s to be read.
    assert 5000 <= record.signal.shape[1] <= 5300
    check_signal(record, CASES["philips plain"], step, signal[:, : record.signal.shape[1]])


def test_integers_of_hl7_need_a_unit(tmp_path):
    path, _ = write(CASES["hl7 integers"], tmp_path)
    with pytest.raises(ECGFileError, match="unit"):
        read_ecg(path)


@pytest.mark.parametrize("name", ["csv", "mat", "npy"])
@pytest.mark.parametrize("missing", ["sampling_rate", "unit"])
def test_plain_numbers_need_rate_and_unit(name, missing, tmp_path):
    path, _ = write(CASES[name], tmp_path)
    with pytest.raises(ECGFileError, match=missing):
        read_ecg(path, **{key: value for key, value in MV.items() if key != missing})


@pytest.mark.parametrize("name", ["wfdb 16", "wfdb 212", "wfdb mat"])
def test_a_wfdb_record_is_found_by_each_of_its_names(name, tmp_path):
    path, _ = write(CASES[name], tmp_path)
    expected = read_ecg(path).signal
    for other in (path.with_suffix(".mat" if name == "wfdb mat" else ".dat"), path.with_suffix("")):
        np.testing.assert_array_equal(read_ecg(other).signal, expected)


@pytest.mark.parametrize(
    "name",
    ["dicom", "dicom unequal", "wfdb 16", "wfdb 212", "wfdb 24", "wfdb mat", "csv", "csv semicolons", "npy"],
)
def test_gaps_are_nan(name, tmp_path):
    case = CASES[name]
    signal = simulate().copy()
    signal[[0, 7], 1200:1300] = np.nan
    path = tmp_path / f"ecg{case.suffix}"
    step = case.write(path, signal, case.sampling_rate, **case.options)
    record = read_ecg(path, **case.reading)
    np.testing.assert_array_equal(np.isnan(record.signal), np.isnan(signal))
    assert np.nanmax(np.abs(record.signal - signal)) <= step / 2 + 1e-6
    assert record.derived_leads == record.missing_leads == ()


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].write in (write_dicom, write_edf, write_wfdb)])
def test_the_libraries_of_the_formats_read_what_was_written(name, tmp_path):
    case = CASES[name]
    path, step = write(case, tmp_path)
    if case.write is write_dicom:
        dataset = pydicom.dcmread(path)
        group = 1 if case.options.get("median_first") else 0
        unit = case.options.get("unit", "uV")
        values = dataset.waveform_array(group).T
    elif case.write is write_edf:
        unit = case.options.get("unit", "uV")
        read = edfio.read_edf if case.options.get("bits", 16) == 16 else edfio.read_bdf
        values = np.array([each.data for each in read(path).signals if "Resp" not in each.label])
    else:
        record = wfdb.rdrecord(str(path.with_suffix("")))
        unit, values = record.units[0], record.p_signal.T
    truth = simulate(case.sampling_rate)[[LEADS.index(lead) for lead in case.leads]]
    assert np.abs(values * {"mV": 1, "uV": 1e-3}[unit] - truth).max() <= step / 2 + 1e-6
