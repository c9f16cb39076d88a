"""Leads kept in several groups, and calibration pulses, in whatever format they come."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from readers.writers import write_csv, write_dicom, write_edf, write_hl7, write_mortara, write_philips, write_wfdb

from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.leads import LEADS
from omi_estimators.readers import ECGFileError, ECGRecord, read_ecg

RATE = 500


@pytest.fixture(scope="module")
def ecg() -> np.ndarray:
    """Return 10 s of an ECG of twelve leads in mV."""
    return make_omi_ecgs(1, records_per_patient=1, random_state=3).X[0].astype(np.float64)


class Dicom:
    """Writes DICOM files of several multiplex groups."""

    def __init__(self, folder: Path, signal: np.ndarray) -> None:
        self.path = folder / "ecg.dcm"
        self.signal = signal
        write_dicom(self.path, signal, RATE, sensitivity=1)
        self.dataset = pydicom.dcmread(self.path)
        self.whole, self.median = self.dataset.WaveformSequence

    def group(self, leads: tuple[str, ...], first: float, last: float, offset: float | None, rate: float = RATE) -> Any:
        """Return a group of leads between two seconds, which says when it begins in ms."""
        group = copy.deepcopy(self.whole)
        rows = [LEADS.index(lead) for lead in leads]
        part = self.signal[rows, round(first * RATE) : round(last * RATE)]
        group.ChannelDefinitionSequence = [group.ChannelDefinitionSequence[row] for row in rows]
        group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = part.shape
        group.SamplingFrequency = rate
        group.WaveformData = np.rint(1000 * part).T.astype("<i2").tobytes()
        if offset is None:
            del group.MultiplexGroupTimeOffset
        else:
            group.MultiplexGroupTimeOffset = offset
        return group

    def read(self, *groups: Any) -> ECGRecord:
        """Return the record of a file of these groups."""
        self.dataset.WaveformSequence = list(groups)
        self.dataset.save_as(self.path)
        return read_ecg(self.path)


@pytest.fixture
def dicom(tmp_path, ecg):
    """Return what writes DICOM files of several groups."""
    return Dicom(tmp_path, ecg)


COLUMNS = (LEADS[:3], LEADS[3:6], LEADS[6:9], LEADS[9:])


@pytest.mark.parametrize("offset", [None, 0, 40.0])
def test_groups_sampled_together_are_joined(dicom, ecg, offset):
    record = dicom.read(*(dicom.group(leads, 0, 10, offset) for leads in COLUMNS), dicom.median)
    assert np.abs(record.signal - ecg).max() < 0.0006
    assert (record.missing_leads, record.derived_leads) == ((), ())
    assert record.notes == ("Joined 4 groups of leads.",)


def paper(dicom: Dicom) -> list[Any]:
    """Return the four columns of a printed ECG, each of 2.5 s after that before."""
    return [dicom.group(leads, 2.5 * i, 2.5 * i + 2.5, 2500 * i + 100) for i, leads in enumerate(COLUMNS)]


def test_the_columns_of_paper_stand_at_their_own_times(dicom, ecg):
    record = dicom.read(*paper(dicom))
    assert record.signal.shape == (12, 5000)
    for row, lead in enumerate(LEADS):
        there = slice(1250 * (row // 3), 1250 * (row // 3) + 1250)
        assert np.abs(record.signal[row, there] - ecg[row, there]).max() < 0.0006, lead
        assert np.isnan(record.signal[row]).sum() == 3750, lead
    assert record.notes == ("Joined 4 groups of leads, each at its own time.",)


def test_a_rhythm_strip_counts_before_its_column(dicom, ecg):
    record = dicom.read(*paper(dicom), dicom.group(("II",), 0, 10, 100))
    assert np.abs(record.signal[1] - ecg[1]).max() < 0.0006
    assert np.isnan(record.signal[0, 1250:]).all()
    assert record.missing_leads == ()
    assert record.notes[1] == "Left out what is there twice: II (2.5 s at 500 Hz)."


@pytest.mark.parametrize(
    ("last", "offset", "rate", "words"),
    [(10, 0, 1000, r"V4, V5, V6 \(5 s at 1000 Hz\)"), (5, None, RATE, r"V4, V5, V6 \(5 s at 500 Hz\)")],
)
def test_leads_that_cannot_be_joined_are_named(dicom, ecg, last, offset, rate, words):
    record = dicom.read(dicom.group(LEADS[:9], 0, 10, None), dicom.group(LEADS[9:], 0, last, offset, rate))
    assert record.missing_leads == LEADS[9:]
    assert np.abs(record.signal[:9] - ecg[:9]).max() < 0.0006
    (note,) = record.notes
    assert re.search(words, note)


def test_groups_hours_apart_are_refused(dicom):
    with pytest.raises(ECGFileError, match=r"far apart: from 0 s on I, II, III \(10 s.*from 7200 s on V4"):
        dicom.read(dicom.group(LEADS[:3], 0, 10, 0), dicom.group(LEADS[9:], 0, 10, 7.2e6))


def test_twelve_leads_count_before_a_longer_strip(dicom, ecg):
    strip = dicom.group(("II",), 0, 10, None, 250)
    record = dicom.read(strip, dicom.group(LEADS, 0, 10, None), dicom.median)
    assert np.abs(record.signal - ecg).max() < 0.0006
    assert record.notes == ("Left out what is there twice: II (20 s at 250 Hz).",)


def test_leads_of_hl7_in_several_sets(tmp_path, ecg):
    texts = []
    for leads in COLUMNS:
        write_hl7(tmp_path / "a.xml", ecg[[LEADS.index(lead) for lead in leads]], RATE, leads=leads)
        texts.append((tmp_path / "a.xml").read_text())
    sets = [text[text.index("<sequenceSet>") : text.index("</sequenceSet>") + len("</sequenceSet>")] for text in texts]
    whole = "</component><component>".join(sets)
    (tmp_path / "a.xml").write_text(texts[0].replace(sets[0], whole, 1))
    record = read_ecg(tmp_path / "a.xml")
    assert np.abs(record.signal - ecg).max() < 0.0026
    assert record.missing_leads == ()


def with_pulse(ecg: np.ndarray) -> np.ndarray:
    """Return 11 s of which the last half second is a pulse of 1 mV from zero, in all recorded leads."""
    pulse = np.zeros((12, 250))
    pulse[:, 50:150] = 1
    return np.concatenate([ecg, ecg[:, :250], pulse], axis=1)


@pytest.mark.parametrize("write", [write_dicom, write_hl7, write_mortara, write_philips, write_edf, write_wfdb])
@pytest.mark.parametrize("height", [1, -1, 0.5])
def test_the_pulse_is_cut_off_in_every_format(write, height, tmp_path, ecg):
    signal = with_pulse(ecg)
    signal[:, -250:] *= height
    path = tmp_path / "ecg.hea"
    write(path, signal, RATE)
    record = read_ecg(path)
    assert record.signal.shape == (12, 5000)
    assert "calibration pulse" in record.notes[0]


def test_the_pulse_where_limb_leads_were_derived_again(tmp_path, ecg):
    signal = with_pulse(ecg)
    signal[2], signal[3] = signal[1] - signal[0], -(signal[0] + signal[1]) / 2
    write_csv(tmp_path / "a.csv", signal, RATE)
    assert read_ecg(tmp_path / "a.csv", sampling_rate=RATE, unit="mV").signal.shape == (12, 5000)


def _beats_of_pulses(ecg: np.ndarray) -> np.ndarray:
    """Return leads that are one pulse a second and nothing else, alike but for noise between."""
    signal = 0.2 * ecg
    for second in range(10):
        signal[:, second * RATE + 200 : second * RATE + 500] = 0
        signal[:, second * RATE + 300 : second * RATE + 400] = 1
    return signal


@pytest.mark.parametrize(
    "make",
    [
        lambda ecg: ecg,
        lambda ecg: np.tile(ecg[1], (12, 1)),
        _beats_of_pulses,
        lambda ecg: np.concatenate([ecg, np.zeros((12, 500))], axis=1),
        lambda ecg: np.concatenate([ecg, np.zeros((12, 250)), np.ones((12, 250))], axis=1),
    ],
    ids=["an ECG", "one lead twelve times", "pulses throughout", "nothing at the end", "a step"],
)
def test_what_is_no_pulse_is_not_cut(make, tmp_path, ecg):
    signal = make(ecg)
    write_csv(tmp_path / "a.csv", signal, RATE)
    assert read_ecg(tmp_path / "a.csv", sampling_rate=RATE, unit="mV").signal.shape == signal.shape
