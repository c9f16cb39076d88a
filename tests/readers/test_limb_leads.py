"""Limb leads that are not what they are called: noted in the record, in the table, and by predict."""

from __future__ import annotations

import numpy as np
import pytest
from readers.writers import write_wfdb

from omi_estimators import read_ecg
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.leads import LEADS
from omi_estimators.readers import load_ecgs

RATE = 250
CABRERA = ["aVL", "I", "-aVR", "II", "aVF", "III"]


@pytest.fixture(scope="module", params=range(3))
def signal(request):
    return make_omi_ecgs(1, records_per_patient=1, sampling_rate=RATE, random_state=request.param).X[0].astype(float)


def _read(folder, signal, names=LEADS):
    return read_ecg(_write(folder / "a.hea", signal, names))


def _write(path, signal, names=LEADS):
    write_wfdb(path, signal, RATE, leads=names)
    return path


def _arrange(signal, order):
    """Return the record with its limb leads in another order, still called by the usual names."""
    limb = [signal[LEADS.index(name.removeprefix("-"))] * (-1 if name[0] == "-" else 1) for name in order]
    return np.concatenate([limb, signal[6:]])


def test_right_leads_are_silent(signal, tmp_path):
    record = _read(tmp_path, signal)
    assert record.limb_leads == ""
    assert record.notes == ()


@pytest.mark.parametrize("lead", LEADS[:6])
def test_an_inverted_lead(signal, lead, tmp_path):
    signal = signal.copy()
    signal[LEADS.index(lead)] *= -1
    record = _read(tmp_path, signal)
    assert f"{lead} is inverted" in record.limb_leads
    assert record.limb_leads in record.notes
    assert np.abs(record.signal - signal).max() < 0.01, "nothing is changed"


@pytest.mark.parametrize(
    ("first", "second"), [("I", "II"), ("II", "III"), ("aVR", "aVL"), ("aVL", "aVF"), ("I", "aVF")]
)
def test_exchanged_leads(signal, first, second, tmp_path):
    order = list(LEADS[:6])
    one, other = order.index(first), order.index(second)
    order[one], order[other] = second, first
    assert f"{first} and {second} are exchanged" in _read(tmp_path, _arrange(signal, order)).limb_leads


@pytest.mark.parametrize("order", [CABRERA, [*LEADS[3:6], *LEADS[:3]]], ids=["Cabrera", "augmented first"])
def test_another_order(signal, order, tmp_path):
    assert f"in the order {', '.join(order)}" in _read(tmp_path, _arrange(signal, order)).limb_leads


@pytest.mark.parametrize("lead", LEADS[:6])
def test_a_lead_that_is_something_else(signal, lead, tmp_path):
    signal = signal.copy()
    signal[LEADS.index(lead)] = np.cumsum(np.random.default_rng(0).normal(0, 0.1, signal.shape[1])) * 0.3
    assert f"Lead {lead} does not follow" in _read(tmp_path, signal).limb_leads


def test_three_leads_say_what_they_can(signal, tmp_path):
    names = ["I", "II", "III"]
    record = _read(tmp_path, np.stack([signal[0], signal[1], -signal[2]]), names)
    assert "III is inverted or I and II are exchanged" in record.limb_leads
    assert _read(tmp_path, np.stack([signal[0], -signal[1]]), names[:2]).limb_leads == "", "two leads obey any law"


def test_swapped_electrodes(signal, tmp_path):
    swapped = np.concatenate([[-signal[0], signal[2], signal[1], signal[4], signal[3], signal[5]], signal[6:]])
    assert _read(tmp_path, swapped).limb_leads == "The electrodes LA/RA look swapped."


def test_gaps_and_mains_contradict_nothing(signal, tmp_path):
    signal = signal.copy()
    time = np.arange(signal.shape[1]) / RATE
    signal += 0.2 * np.sin(2 * np.pi * 50 * time) * np.linspace(0.2, 1, 12)[:, np.newaxis]
    signal[2, 300:700] = np.nan
    assert _read(tmp_path, signal).limb_leads == ""


def test_the_table_has_it(signal, tmp_path):
    turned = signal.copy()
    turned[3] *= -1
    paths = [_write(tmp_path / f"{name}.hea", x) for name, x in (("a", signal), ("b", turned))]
    _, table = load_ecgs(paths, RATE)
    assert table["limb_leads"].iloc[0] == ""
    assert "aVR is inverted" in table["limb_leads"].iloc[1]
