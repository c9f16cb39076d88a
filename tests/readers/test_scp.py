"""SCP-ECG in every encoding, and what must come of files that are broken where the signal needs them."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from readers._writing_scp import make_beats
from readers.writers import INDEPENDENT, write_scp

from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.leads import LEADS
from omi_estimators.readers import ECGFileError, read_ecg

RATE = 250
ODD = ("V6", "aVF", "I", "-aVR", "V4R", "V1", "III", "V7")


@pytest.fixture(scope="module")
def ecg() -> np.ndarray:
    """Return 3 s of an ECG of twelve leads in mV."""
    return make_omi_ecgs(1, records_per_patient=1, duration=3, sampling_rate=RATE, random_state=3).X[0].astype(float)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "ecg.scp"


def to_whole(signal: np.ndarray, step: int) -> np.ndarray:
    """Return millivolts of whole counts of `step` nV."""
    return np.rint(signal / (step / 1e6)) * step / 1e6


def choose(signal: np.ndarray, leads: tuple[str, ...]) -> np.ndarray:
    """Return rows of the twelve leads; some of those outside of them, of which the reader leaves out all but -aVR."""
    return np.array(
        [-signal[3] if lead == "-aVR" else signal[LEADS.index(lead) if lead in LEADS else 7] for lead in leads]
    )


@pytest.mark.parametrize("huffman", ["default", "own", "none", "dummy"])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_every_encoding_is_read_to_the_last_count(huffman, order, ecg, path):
    for subtract, leads, (step, reference_step) in itertools.product(
        [False, True], [LEADS, INDEPENDENT, ODD], [(2500, 2500), (1000, 5000), (4880, 9760)]
    ):
        options = {"subtract": subtract, "step": step, "reference_step": reference_step}
        write_scp(path, choose(ecg, leads), RATE, leads=leads, huffman=huffman, order=order, **options)
        record = read_ecg(path)
        whole = to_whole(ecg, step)
        for lead, row in zip(LEADS, record.signal, strict=True):
            if lead in leads or (lead == "aVR" and "-aVR" in leads):
                np.testing.assert_array_equal(row, whole[LEADS.index(lead)], lead)
        assert record.sampling_rate == RATE
        assert not any("checksum" in note for note in record.notes)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("singly", [True, False])
@pytest.mark.parametrize("subtract", [True, False])
def test_samples_left_out_between_the_beats(factor, singly, subtract, path):
    times = np.arange(5 * RATE) / RATE
    slow = np.array([np.sin(2 * np.pi * times * 1.1 + i) for i in range(12)])
    write_scp(path, slow, RATE, decimate=factor, singly=singly, subtract=False)
    record = read_ecg(path)
    whole = to_whole(slow, 2500)
    protected = np.zeros(times.size, dtype=bool)
    for *_, (first, last) in make_beats(times.size, RATE):
        protected[first - 1 : last] = True
    np.testing.assert_array_equal(record.signal[:, protected], whole[:, protected])
    # One stands half a sample off the middle of those that it is the mean of, and none before the first is known.
    assert np.abs(record.signal - whole).max() < factor * 2 * np.pi * 1.1 / RATE
    assert np.abs(record.signal - whole)[:, 10:-10].mean() < 0.6 * 2 * np.pi * 1.1 / RATE
    assert record.sampling_rate == RATE
    assert any(f"for each {factor}" in note for note in record.notes)
    if subtract:
        write_scp(path, slow, RATE, decimate=factor, singly=singly, subtract=True)
        np.testing.assert_array_equal(read_ecg(path).signal[:, protected], whole[:, protected])


def test_leads_stand_at_their_times(ecg, path):
    signal = ecg.copy()
    for group in range(4):
        signal[3 * group : 3 * group + 3, : 150 * group] = np.nan
        signal[3 * group : 3 * group + 3, 150 * (group + 1) :] = np.nan
    for subtract in (False, True):
        write_scp(path, signal[:, :600], RATE, subtract=subtract)
        record = read_ecg(path)
        np.testing.assert_array_equal(record.signal, to_whole(signal[:, :600], 2500))
        assert any("not all leads" in note.lower() for note in record.notes)


@pytest.mark.parametrize("order", [1, 2])
def test_differences_go_round_as_numbers_of_16_bits_do(order, ecg, path):
    signal = ecg.copy()
    signal[0, [50, 52]], signal[0, [51, 53]] = 32.7, -32.7
    write_scp(path, signal, RATE, step=1000, order=order)
    np.testing.assert_array_equal(read_ecg(path).signal, to_whole(signal, 1000))


@pytest.mark.parametrize(("interval", "rate"), [(2000, 500), (3333, 300), (6666, 150), (1953, 512), (3900, 1e6 / 3900)])
def test_rates_in_whole_microseconds(interval, rate, ecg, path):
    write_scp(path, ecg, RATE, edit=change(6, 2, struct.pack("<H", interval)))
    assert read_ecg(path).sampling_rate == rate


def test_a_rhythm_of_a_lower_rate_than_the_beat_that_is_not_subtracted(ecg, path):
    def edit(sections):
        sections[5] = struct.pack("<HHBB", 2500, 2000, 0, 0) + bytes(24)
        sections[3] = sections[3][:2] + b"".join(
            struct.pack("<II", 1, 1500) + sections[3][i + 8 : i + 9] for i in range(2, 110, 9)
        )

    write_scp(path, ecg, RATE, edit=edit)
    record = read_ecg(path)
    np.testing.assert_array_equal(record.signal, to_whole(ecg, 2500))
    assert record.sampling_rate == RATE


def test_files_without_letters_and_checksums(ecg, path):
    write_scp(path, ecg, RATE, letters=False, checksums=False)
    record = read_ecg(path)
    assert record.notes == ()
    assert record.source_format == "SCP-ECG 2.0"


def change(number: int, at: int, new: bytes) -> Callable[[dict[int, bytes]], None]:
    """Return what puts bytes in the place of others of a section; beyond its end where `at` is -1."""

    def edit(sections: dict[int, bytes]) -> None:
        section = sections[number]
        sections[number] = section + new if at < 0 else section[:at] + new + section[at + len(new) :]

    return edit


def lack(*numbers: int) -> Callable[[dict[int, bytes]], None]:
    return lambda sections: [sections.pop(number) for number in numbers]


def shorten(share: float) -> Callable[[dict[int, bytes]], None]:
    """Return what takes bytes from the end of the last lead of 12."""

    def edit(sections):
        size = struct.unpack_from("<H", sections[6], 28)[0]
        left = 2 * round(size * (1 - share) / 2)
        sections[6] = sections[6][:28] + struct.pack("<H", left) + sections[6][30 : len(sections[6]) - size + left]

    return edit


@pytest.mark.parametrize(
    ("edit", "options", "message"),
    [
        (lack(6), {}, "section 6, the rhythm, is absent"),
        (lack(3), {}, "section 3, the leads, is absent"),
        (lack(6), {"subtract": True}, "no rhythm"),
        (lack(5), {"subtract": True}, "section 5, the reference beat, is absent"),
        (lack(4), {"subtract": True}, "section 4, where the QRS complexes are, is absent"),
        (lack(4), {"decimate": 4}, "section 4, where"),
        (lack(5), {"decimate": 4}, "samples, not 750"),
        (change(4, 4, b"\xff\xff"), {"subtract": True}, "65535 QRS complexes, but is cut"),
        (change(5, 2, struct.pack("<H", 3000)), {"subtract": True}, "samples each 3000 and 4000"),
        (change(6, 0, b"\0\0"), {}, "0 nV.*unit="),
        (change(6, 2, b"\0\0"), {}, r"0 us between samples"),
        (change(6, 4, b"\7"), {}, "differences of order 7"),
        (lambda sections: sections.update({3: sections[3][:50]}), {}, "12 leads, but names 5"),
        (change(3, 0, b"\x40"), {}, "64 leads, but names 12"),
        (change(3, 6, struct.pack("<I", 2**32 - 1)), {}, "GiB"),
        (change(3, 6, struct.pack("<I", 0)), {}, "from sample 1 to 0"),
        (change(3, 6, struct.pack("<I", 900)), {}, "lead I has 7.. samples, not 900"),
        (change(2, 0, b"\x11\0"), {"huffman": "own"}, "17 Huffman tables; at most 8"),
        (change(2, 0, b"\x09\0"), {"huffman": "own"}, "Huffman tables"),
        (change(2, 2, b"\xff\xff"), {"huffman": "own"}, "table of 65535 codes; at most 256"),
        (change(2, 4, b"\x28"), {"huffman": "own"}, "40 are the prefix"),
        (change(2, 4 + 4 * 9 + 3, b"\x07"), {"huffman": "own"}, "switches to table 7 of 2"),
        (change(2, 4 + 2 * 9, b"\x20"), {"huffman": "own"}, "bits that are no code|code of"),
        (shorten(0.1), {"huffman": "none"}, "lead V6 has 675 samples, not 750"),
        (lambda sections: sections.update({6: sections[6][:-40]}), {}, "their samples are cut"),
    ],
)
def test_what_the_signal_needs_is_an_error(edit, options, message, ecg, path):
    write_scp(path, ecg, RATE, edit=edit, **options)
    with pytest.raises(ECGFileError, match=message):
        read_ecg(path)


def test_a_few_samples_that_are_lacking_are_nan(ecg, path):
    write_scp(path, ecg, RATE, huffman="none", edit=shorten(0.01))
    record = read_ecg(path)
    assert np.isnan(record.signal[11, -7:]).all()
    np.testing.assert_array_equal(record.signal[11, :-8], to_whole(ecg, 2500)[11, :-8])
    assert any("lacking" in note and "V6" in note for note in record.notes)


def test_samples_beyond_those_stated_are_noted(ecg, path):
    write_scp(path, ecg, RATE, edit=change(3, 6, struct.pack("<I", 500)))
    assert any("Lead I has more samples than the 500" in note for note in read_ecg(path).notes)


def test_more_leads_than_stated_and_a_beat_that_nobody_subtracted(ecg, path):
    def edit(sections):
        sections[3] = b"\x08\x65" + sections[3][2:]

    write_scp(path, ecg, RATE, edit=edit)
    record = read_ecg(path)
    np.testing.assert_array_equal(record.signal, to_whole(ecg, 2500))
    assert any("has none" in note for note in record.notes)
    assert any("8 leads, but has 12" in note for note in record.notes)


def test_the_unit_of_the_caller_serves_where_the_file_has_none(ecg, path):
    write_scp(path, ecg, RATE, edit=change(6, 0, b"\0\0"), step=1000)
    np.testing.assert_array_equal(read_ecg(path, unit="uV").signal, to_whole(ecg, 1000))


def test_a_cut_file(ecg, path):
    write_scp(path, ecg, RATE)
    whole = path.read_bytes()
    path.write_bytes(whole[:-60])
    record = read_ecg(path)
    np.testing.assert_array_equal(record.signal, to_whole(ecg, 2500))
    assert record.statements == ()
    assert any("it is cut" in note for note in record.notes)
    for length in (5, 20, 200, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(ECGFileError, match=r"cut|no known format|sampling_rate"):
            read_ecg(path)
