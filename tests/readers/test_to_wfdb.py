"""Records of any format written as WFDB records: what is read back is what was there, to the last digit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import wfdb
from readers.test_written_files import CASES, write

from omi_estimators.cli import main
from omi_estimators.readers import ECGRecord, read_ecg

# Of these, values are counts times a resolution plus something that is no multiple of it, or float32.
OFF_GRID = {"hl7 origin", "hl7 integers", "dicom mV", "dicom unequal", "edf mV", "bdf", "bdf+", "npy", "npy columns"}
KEPT = ("sampling_rate", "age", "sex", "recording_time", "statements", "derived_leads", "missing_leads")


def make_record(step: float = 0.005, **about) -> ECGRecord:
    """Return 2 s of random walks in counts of `step` mV."""
    counts = np.rint(np.random.default_rng(0).normal(scale=20, size=(12, 1000)).cumsum(axis=1))
    counts[2] = counts[1] - counts[0]
    return ECGRecord(signal=counts * step, sampling_rate=500, source_format="here", **about)


@pytest.mark.parametrize("name", CASES)
def test_a_converted_record_reads_back_equal(name, tmp_path):
    path, _ = write(CASES[name], tmp_path)
    record = read_ecg(path, **CASES[name].reading)
    header = record.to_wfdb(tmp_path / "converted")
    assert header == tmp_path / "converted.hea"
    back = read_ecg(header)
    assert {field: getattr(back, field) for field in KEPT} == {field: getattr(record, field) for field in KEPT}
    if name in OFF_GRID:
        np.testing.assert_allclose(back.signal, record.signal, rtol=0, atol=1e-8)
        assert "Largest error of rounding: " in header.read_text()
    else:
        np.testing.assert_array_equal(back.signal, record.signal)
        assert "rounding" not in header.read_text()
    # Other programs read the same, and all leads that are not missing, by their names.
    theirs = wfdb.rdrecord(str(header.with_suffix("")))
    assert theirs.sig_name == [
        lead
        for lead, row in zip(
            ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"), record.signal, strict=True
        )
        if not np.isnan(row).all()
    ]
    scale = {"mV": 1, "uV": 1e-3}[theirs.units[0]]
    expected = record.signal[~np.isnan(record.signal).all(axis=1)]
    np.testing.assert_allclose(theirs.p_signal.T * scale, expected, rtol=0, atol=1e-8)
    assert theirs.fmt[0] == "16" or name in OFF_GRID | {"scp reference beat"}


@pytest.mark.parametrize("step", [0.005, 0.00488, 1 / 333.3, 0.0031415926535, 1e-4])
@pytest.mark.parametrize("form", ["product", "quotient", "microvolts"])
def test_any_resolution_is_found(step, form, tmp_path):
    counts = make_record(1.0).signal
    signal = {"product": counts * step, "quotient": counts / (1 / step), "microvolts": counts * (step * 1e3) * 1e-3}[
        form
    ]
    signal[4, 100:200] = np.nan
    signal[7] = 0
    signal[8] = np.nan
    record = ECGRecord(signal, 500, "here", missing_leads=("V3",))
    back = read_ecg(record.to_wfdb(tmp_path / "a"))
    np.testing.assert_array_equal(back.signal, record.signal)
    assert back.missing_leads == ("V3",)


def test_what_is_known_beside_the_signal(tmp_path):
    record = make_record(
        age=66.53798767967146,
        sex="female",
        patient_id="PAT-7",
        recording_time=datetime(2024, 3, 15, 9, 26, 53, 250000, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
        statements=("Sinus rhythm,  größer", "Age undetermined infarct"),
        measurements={"qt": 396.0},
        notes=("Left out.",),
    )
    header = record.to_wfdb(tmp_path / "a.hea")
    text = header.read_text(encoding="utf-8")
    for line in ("# Measured qt: 396", "# Note: Left out.", "# Source: here"):
        assert line in text.splitlines()
    assert "PAT-7" not in text
    back = read_ecg(header)
    assert (back.age, back.sex, back.recording_time) == (record.age, record.sex, record.recording_time)
    assert back.statements == ("Sinus rhythm, größer", "Age undetermined infarct")
    assert "PAT-7" in record.to_wfdb(tmp_path / "b", include_patient_id=True).read_text(encoding="utf-8")


def test_nothing_is_overwritten_unasked(tmp_path):
    record = make_record()
    record.to_wfdb(tmp_path / "a")
    before = (tmp_path / "a.dat").read_bytes()
    other = replace(record, signal=-record.signal)
    with pytest.raises(FileExistsError, match=r"a\.dat and a\.hea would be overwritten"):
        other.to_wfdb(tmp_path / "a")
    assert (tmp_path / "a.dat").read_bytes() == before
    other.to_wfdb(tmp_path / "a", overwrite=True)
    np.testing.assert_array_equal(read_ecg(tmp_path / "a.hea").signal, -record.signal)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.dat", "a.hea"]


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("a b.1", ValueError, "'a_b' would be right"),
        ("no/such/a", FileNotFoundError, "no folder"),
        ("é", ValueError, "'_'"),
    ],
)
def test_bad_names_are_clear_errors(name, kind, message, tmp_path):
    with pytest.raises(kind, match=message):
        make_record().to_wfdb(tmp_path / name)


def test_values_that_cannot_be_stored(tmp_path):
    record = make_record()
    for value in (np.inf, np.nan):
        with pytest.raises(ValueError, match="infinite values, or none"):
            replace(record, signal=np.full((12, 500), value)).to_wfdb(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Return files of four formats, two of one stem, and one that is none."""
    folder = tmp_path / "ecgs"
    made = []
    for name, place in (("scp", "a/x 1"), ("muse", "b/x 1"), ("philips plain", "b/X_1"), ("dicom", "b/y")):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        path, _ = write(CASES[name], (folder / place).parent)
        made.append(path.rename(folder / f"{place}{path.suffix}"))
    bad = folder / "bad.xml"
    bad.write_text("<html/>")
    return [*made[:2], bad, *made[2:]]


def test_convert_writes_each_file_and_names_the_bad(files, tmp_path, capsys):
    out = tmp_path / "new" / "records"
    assert main(["convert", *map(str, files), "--to", "wfdb", "--out", str(out)]) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == len(files)
    assert "not converted: bad.xml: it is XML with the root 'html'" in lines[2]
    assert "1 of 5 files were not converted." in printed.err
    names = ["x_1", "x_1_2", "X_1_3", "y"]
    assert sorted(file.name for file in out.iterdir()) == sorted(f"{n}.{end}" for n in names for end in ("dat", "hea"))
    for path, name in zip([path for path in files if path.stem != "bad"], names, strict=True):
        np.testing.assert_array_equal(read_ecg(out / f"{name}.hea").signal, read_ecg(path).signal)


def test_convert_overwrites_if_asked(files, tmp_path, capsys):
    arguments = ["convert", str(files[0]), "--to", "wfdb", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert main(arguments) == 1
    assert "would be overwritten" in capsys.readouterr().out
    assert main([*arguments, "--overwrite", "--include-patient-id"]) == 0
    assert "PAT-0042" in (tmp_path / "x_1.hea").read_text()


def test_convert_of_plain_numbers_and_into_a_file(tmp_path, capsys):
    np.save(tmp_path / "a.npy", make_record().signal)
    arguments = ["convert", str(tmp_path), "--to", "wfdb", "--file-rate", "500", "--unit", "mV"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert read_ecg(tmp_path / "out" / "a.hea").sampling_rate == 500
    assert main([*arguments, "--out", str(tmp_path / "a.npy")]) == 2
    assert "choose --out" in capsys.readouterr().err
