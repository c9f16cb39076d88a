"""Files of real devices and databases, where they are at hand."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from omi_estimators import read_ecg
from omi_estimators.features import feature_names, measure_record
from omi_estimators.leads import LEADS
from omi_estimators.readers import load_ecgs

# What the devices measured: heart rate, PR, QRS, QT, QTc, QRS axis.
_MEASURED = {
    "muse/muse_1.xml": (48, 138, 96, 452, 403, 20),
    "muse/muse_2.xml": (65, 184, 100, 420, 437, -2),
    "philips/sierra_1_03.xml": (41, 151, 135, 476, 393, -21),
    "philips/sierra_1_04.xml": (84, 144, 84, 352, 417, 78),
}


def _limb_misses(signal: np.ndarray) -> np.ndarray:
    """Return by how many mV each limb lead misses what follows from I and II."""
    first, second = signal[:2]
    follow = [second - first, -(first + second) / 2, first - second / 2, second - first / 2]
    return np.abs(signal[2:6] - follow).max(axis=1)


@pytest.mark.parametrize("name", _MEASURED)
def test_vendor_files(name, vendor_dir):
    record = read_ecg(vendor_dir / name)
    names = ("heart_rate", "pr", "qrs", "qt", "qtc", "qrs_axis")
    assert [record.measurements[each] for each in names] == list(_MEASURED[name])
    assert record.signal.shape == (12, 5000)
    assert record.sampling_rate == 500
    assert not record.missing_leads
    # Two steps of 5 uV: the device rounds the limb leads that it stores.
    assert _limb_misses(record.signal).max() < 0.0101
    found = dict(zip(feature_names(), measure_record(record.signal, 500), strict=True))
    assert found["heart_rate"] == pytest.approx(record.measurements["heart_rate"], rel=0.05)
    assert found["qt_interval"] == pytest.approx(record.measurements["qt"], abs=20)
    assert found["qrs_axis"] == pytest.approx(record.measurements["qrs_axis"], abs=10)


def test_philips_beside_its_library(vendor_dir):
    sierraecg = pytest.importorskip("sierraecg")
    for version in ("03", "04"):
        path = vendor_dir / "philips" / f"sierra_1_{version}.xml"
        record = read_ecg(path)
        theirs = np.array([lead.samples for lead in sierraecg.read_file(str(path)).leads]) * 0.005
        assert np.abs(record.signal - theirs[:, :5000]).max() < 1e-9
        assert "calibration pulse" in record.notes[0]
        # The pulse is in all of them what no heart is: the same in every lead.
        assert np.ptp(theirs[:, 5300:], axis=0).max() < 1e-9
        assert np.ptp(record.signal[:, -200:], axis=0).max() > 0.1


def test_what_philips_says_of_the_patient(vendor_dir):
    record = read_ecg(vendor_dir / "philips" / "sierra_1_03.xml")
    assert record.age == 50
    assert record.sex == "male"
    assert record.recording_time == datetime(2011, 12, 1, 7, 27, 34)
    assert record.statements[2] == "Inferior infarct, acute (LCx) - ST>0.10mV, II III aVF, STd V1-V3"
    assert record.source_format == "Philips SierraECG XML 1.03"


def test_ptbxl_is_what_wfdb_reads(ptbxl_dir):
    wfdb = pytest.importorskip("wfdb")
    headers = sorted(Path(ptbxl_dir).glob("records500/*/*.hea"))[::50]
    X, table = load_ecgs(headers)
    for path, row in zip(headers, X, strict=True):
        theirs = wfdb.rdrecord(str(path.with_suffix("")))
        assert [name.upper() for name in theirs.sig_name] == [lead.upper() for lead in LEADS]
        assert np.abs(row - theirs.p_signal.T).max() < 1e-6
        assert _limb_misses(row).max() < 0.010
    assert set(table["source_format"]) == {"WFDB"}
    assert (table["notes"] == "").all()
    assert (table["limb_leads"] == "").all()


def test_ludb_breaks_einthoven_and_that_is_said(ludb_dir):
    record = read_ecg(Path(ludb_dir) / "data" / "1")
    assert record.sex == "female"
    assert record.age == 51
    assert "limb leads contradict each other" in record.notes[0]
