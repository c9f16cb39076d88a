"""Bad files, each in its way: a clear error or a note, never a wrong number."""

from __future__ import annotations

import base64
import io
import random
import re
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from malformed_files import check_record
from readers.writers import (
    INDEPENDENT,
    write_cardiosoft,
    write_csv,
    write_dicom,
    write_edf,
    write_hl7,
    write_mortara,
    write_muse,
    write_npy,
    write_philips,
    write_wfdb,
)

from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.leads import LEADS
from omi_estimators.readers import ECGFileError, _dicom, _xml, read_ecg
from omi_estimators.readers._fields import to_millivolts
from omi_estimators.readers._leads import find_lead

PLAIN = {"sampling_rate": 500, "unit": "mV"}


@pytest.fixture(scope="module")
def ecg() -> np.ndarray:
    """Return 2 s of an ECG of twelve leads in mV."""
    return make_omi_ecgs(1, records_per_patient=1, noise=0, duration=2, random_state=3).X[0].astype(np.float64)


@pytest.fixture
def xml(tmp_path, ecg):
    """Return a function that writes an XML file, changes its text, and reads it."""

    def change(write, old: str, new: str, encoding: str = "utf-8", **options):
        path = tmp_path / "ecg.xml"
        rows = [LEADS.index(lead) for lead in options.get("leads", LEADS)]
        write(path, ecg[rows], 500, **options)
        text = path.read_bytes().decode(encoding)
        assert old in text
        path.write_bytes(text.replace(old, new, 1).encode(encoding))
        return read_ecg(path)

    return change


MUSE = {"leads": INDEPENDENT, "encoding": "latin-1"}
LATIN = {"encoding": "latin-1"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"%PDF-1.7 ...", "PDF, a picture"),
        (b"\x89PNG\r\n\x1a\n....", "it is a picture"),
        (b"\x1f\x8b\x08....", "compressed by gzip"),
        (b"\x00" * 16 + b"SCPECG" + b"\x00" * 50, "the rhythm, is absent"),
        (b"ISHNE1.0" + b"\x00" * 500, "ISHNE Holter"),
        (b"\x89HDF\r\n\x1a\n" + b"\x00" * 50, "save it as -v7"),
        (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n", "save it as -v7"),
        (b"\x00\x01\x02\x03" * 100, "no known format"),
        (b"<html><body>Login</body></html>", "root 'html'"),
        (b"<?xml version='1.0'?><ECG></ECG>", "no CHANNEL"),
        (b"<?xml version='1.0'?><RestingECG><a></RestingECG>", "not well-formed"),
        (b"Dear colleague,\nplease find the ECG below.\n", "sampling_rate"),
    ],
)
def test_what_is_no_ecg(content, message, tmp_path):
    path = tmp_path / "ecg.dcm"
    path.write_bytes(content)
    with pytest.raises(ECGFileError, match=rf"^ecg\.dcm: .*{message}"):
        read_ecg(path)


def test_a_folder_and_nothing(tmp_path):
    with pytest.raises(ECGFileError, match="it is a folder"):
        read_ecg(tmp_path)
    with pytest.raises(ECGFileError, match="there is no such file"):
        read_ecg(tmp_path / "none.xml")


def test_an_entity_bomb_is_refused_at_once(tmp_path):
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 20))
    path = tmp_path / "bomb.xml"
    path.write_text(f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a0 "x">{entities}]><RestingECG>&a19;</RestingECG>')
    with pytest.raises(ECGFileError, match="defines XML entities"):
        read_ecg(path)


def test_no_other_file_is_read_into_xml(tmp_path):
    (tmp_path / "secret").write_text("secret")
    path = tmp_path / "ecg.xml"
    path.write_text(
        f'<!DOCTYPE r [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]><RestingECG><Waveform>&x;</Waveform></RestingECG>'
    )
    with pytest.raises(ECGFileError, match="defines XML entities"):
        read_ecg(path)


@pytest.mark.parametrize(
    ("head", "body", "message"),
    [
        (
            f'<!DOCTYPE r [<!ATTLIST a b CDATA "{"x" * 100_000}">]><RestingECG>',
            "<a/>" * 100_000,
            "entities or attributes",
        ),
        ("<!DOCTYPE r [<!ATTLIST a b CDATA #IMPLIED>]><RestingECG>", "", "entities or attributes"),
        ("<RestingECG>", "<a>" * 300 + "</a>" * 300, "200 levels"),
        ("<RestingECG>", "<a/>" * 20_000, "more than 10000 elements"),
        (f'<RestingECG xmlns="{"x" * 100_000}">', "".join(f"<a{i}/>" for i in range(9_000)), "0 waveforms"),
    ],
    ids=["default attributes", "attributes", "levels", "elements", "a long namespace"],
)
def test_xml_made_to_exhaust_memory(head, body, message, tmp_path, monkeypatch):
    monkeypatch.setattr(_xml, "_MOST_ELEMENTS", 10_000)
    path = tmp_path / "bomb.xml"
    path.write_text(f"{head}{body}</RestingECG>")
    tracemalloc.start()
    try:
        with pytest.raises(ECGFileError, match=message):
            read_ecg(path)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_a_document_type_with_declarations_that_add_nothing(xml):
    old = '<!DOCTYPE RestingECG SYSTEM "restecg.dtd">'
    record = xml(write_muse, old, f"{old[:-1]} [<!ELEMENT RestingECG ANY>]>", **MUSE)
    assert record.notes == ()


@pytest.mark.parametrize(("declared", "encoding"), [("utf-8", "latin-1"), ("utf-16", "utf-8"), ("x-none", "utf-8")])
def test_xml_in_another_encoding_than_it_declares(declared, encoding, tmp_path, ecg):
    path = tmp_path / "ecg.xml"
    write_philips(path, ecg, 500)
    text = path.read_text(encoding="utf-8").replace('encoding="utf-8"', f'encoding="{declared}"')
    assert "Müller" in text
    path.write_bytes(text.encode(encoding))
    assert np.abs(read_ecg(path).signal - ecg).max() < 0.0026


def _expand(n_codes: int) -> bytes:
    """Return a chunk of LZW, 10 bits a code, that repeats one byte: ever longer strings, then the longest."""
    codes = [0, *range(256, 1022), *[1021] * (n_codes - 767)]
    bits = "".join(f"{code:010b}" for code in codes)
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))


@pytest.mark.parametrize(
    ("codes", "duration", "message"),
    [(1600, "2000", "or more samples, not 1000"), (1600, "99999999", "would take"), (900, "9" * 5000, "how long")],
)
def test_compressed_leads_of_philips_that_expand_without_end(codes, duration, message, tmp_path, ecg):
    path = tmp_path / "ecg.xml"
    write_philips(path, ecg, 500, encoding="Base64")
    chunk = _expand(codes)
    lead = len(chunk).to_bytes(4, "little") + bytes(4) + chunk
    text = re.sub(
        r"(?s)(<parsedwaveforms[^>]*>)[^<]*", rf"\g<1>{base64.b64encode(12 * lead).decode()}", path.read_text()
    )
    text = text.replace('compression="Uncompressed"', 'compression="XLI"').replace(
        'channel="2000"', f'channel="{duration}"'
    )
    path.write_text(text)
    with pytest.raises(ECGFileError, match=message):
        read_ecg(path)


def _deflate(path: Path, more: bytes = b"") -> None:
    """Deflate the data set of a DICOM file, and put bytes behind it."""
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    data = path.read_bytes()
    at = 144 + int.from_bytes(data[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(zlib.decompress(data[at:], -15)) + b"".join(packer.compress(more) for _ in range(3))
    path.write_bytes(data[:at] + body + packer.flush())


def test_deflated_dicom(tmp_path, ecg, monkeypatch):
    monkeypatch.setattr(_dicom, "_MOST_INFLATED", 2**20)
    path = tmp_path / "ecg.dcm"
    write_dicom(path, ecg, 500)
    expected = read_ecg(path)
    _deflate(path)
    record = read_ecg(path)
    np.testing.assert_array_equal(record.signal, expected.signal)
    assert (record.age, record.measurements) == (expected.age, expected.measurements)
    _deflate(path, bytes(2**20))
    with pytest.raises(ECGFileError, match="inflated it would take more than 1 MiB"):
        read_ecg(path)


def test_dicom_of_countless_items(tmp_path, ecg):
    path = tmp_path / "ecg.dcm"
    write_dicom(path, ecg, 500)
    items = b"\x09\x54\x10\x10SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" * 200_000
    path.write_bytes(path.read_bytes() + items)
    with pytest.raises(ECGFileError, match="items in its sequences"):
        read_ecg(path)


def test_a_median_beat_of_cardiosoft_is_not_read_as_the_rhythm(tmp_path, ecg):
    write_cardiosoft(tmp_path / "a.xml", ecg, 500, layout="none")
    with pytest.raises(ECGFileError, match="only the median beat"):
        read_ecg(tmp_path / "a.xml")


@pytest.mark.parametrize(
    ("write", "old", "new", "options", "message"),
    [
        (write_philips, 'dataencoding="Plain"', 'dataencoding="Hex"', {}, "encoded as 'hex'"),
        (
            write_philips,
            'durationperchannel="2000"',
            'durationperchannel="9000"',
            {},
            "not 12 leads x 4500",
        ),
        (write_philips, 'resolution="5"', 'resolution="5000"', {}, "the unit or the gain"),
        (write_philips, 'numberofleads="12"', 'numberofleads="400"', {}, "names 12"),
        (
            write_muse,
            "<LeadAmplitudeUnits>MICROVOLTS",
            "<LeadAmplitudeUnits>BANANAS",
            MUSE | {"median": False},
            "'BANANAS'",
        ),
        (write_muse, "<WaveformType>Rhythm", "<WaveformType>Average", MUSE, "0 waveforms of the rhythm"),
        (write_muse, "<WaveformType>Median", "<WaveformType>Rhythm", MUSE, "2 waveforms of the rhythm"),
        (write_muse, "<SampleBase>500", "<SampleBase>5", MUSE | {"median": False}, "sampling rate is 5 Hz"),
        (write_muse, "<LeadSampleCountTotal>1000", "<LeadSampleCountTotal>5000", MUSE | {"median": False}, "damaged"),
        (write_muse, "<LeadID>II<", "<LeadID>I<", MUSE | {"median": False}, "lead I twice"),
        (write_hl7, 'unit="uV"', 'unit="mm"', {}, "'mm'"),
        (write_hl7, 'increment value="0.002"', 'increment value="-1"', {}, "sampling rate cannot be read, '-1 s'"),
        (write_cardiosoft, "<ChannelSampleCountTotal>1000", "<ChannelSampleCountTotal>999", LATIN, "says 999"),
        (write_cardiosoft, "<LeadOrder>I,", "<LeadOrder>", LATIN | {"layout": "seconds"}, "names 11 leads"),
        (write_mortara, 'SAMPLE_FREQ="500"', 'SAMPLE_FREQ="250"', {}, "different sampling rates"),
        (write_mortara, 'DURATION="1000"', 'DURATION="9999"', {}, "says 9999"),
        (write_mortara, 'ENCODING="BASE64" DATA', 'ENCODING="HEX" DATA', {}, "ENCODING 'HEX'"),
    ],
)
def test_xml_that_contradicts_itself(write, old, new, options, message, xml):
    with pytest.raises(ECGFileError, match=message):
        xml(write, old, new, **options)


def test_a_changed_sample_of_muse_is_noted(tmp_path, ecg):
    path = tmp_path / "ecg.xml"
    write_muse(path, ecg[[LEADS.index(lead) for lead in INDEPENDENT]], 500, median=False)
    content = path.read_bytes()
    at = content.index(b"<WaveFormData>") + 200
    path.write_bytes(content[:at] + (b"A" if content[at : at + 1] != b"A" else b"B") + content[at + 1 :])
    assert "checksum of I is not that of its samples" in read_ecg(path).notes[0]


def test_a_changed_sample_of_wfdb_is_noted(tmp_path, ecg):
    path = tmp_path / "ecg.hea"
    write_wfdb(path, ecg, 500)
    assert read_ecg(path).notes == ()
    data = bytearray(path.with_suffix(".dat").read_bytes())
    data[240] ^= 1
    path.with_suffix(".dat").write_bytes(data)
    assert "checksum in the header is not that of the samples: I." in read_ecg(path).notes[0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1000.0(0)/mV", "0(0)/mV", "has no gain"),
        ("1000.0(0)/mV", "1000.0(0)/mmHg", "'mmHg'"),
        ("ecg.dat", "../secret.dat", "outside its folder|invalid syntax"),
        ("ecg.dat", "other.dat", "other.dat is absent"),
        ("ecg 12 500 1000", "ecg 12 500 4000", "it is cut short"),
        ("ecg 12 500 1000", "ecg 12 5 1000", "sampling rate is 5 Hz"),
    ],
)
def test_wfdb_headers(old, new, message, tmp_path, ecg):
    path = tmp_path / "ecg.hea"
    write_wfdb(path, ecg, 500)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ECGFileError, match=message):
        read_ecg(path)


def test_uncalibrated_wfdb_with_a_unit_from_the_caller(tmp_path, ecg):
    path = tmp_path / "ecg.hea"
    write_wfdb(path, ecg, 500)
    path.write_text(path.read_text().replace("1000.0(0)/mV", "0"))
    assert np.abs(read_ecg(path, unit="uV").signal - ecg).max() < 0.0006


def test_nine_leads_and_an_odd_name(tmp_path, ecg):
    names = ["Lead I", "DII", "V1", "V2", "V3", "V4", "V5", "V6", "-aVR", "Resp"]
    rows = [*(ecg[LEADS.index(lead)] for lead in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")), -ecg[3], ecg[0]]
    write_csv(tmp_path / "a.csv", np.array(rows), 500, leads=names)
    record = read_ecg(tmp_path / "a.csv", **PLAIN)
    assert record.derived_leads == ("III", "aVL", "aVF")
    assert record.missing_leads == ()
    assert np.abs(record.signal - ecg).max() < 0.0011
    assert record.notes == ("Left out, being none of the twelve leads: Resp.",)


def test_microvolts_taken_for_millivolts(tmp_path, ecg):
    write_npy(tmp_path / "a.npy", ecg, 500, unit="uV")
    with pytest.raises(ECGFileError, match="the unit or the gain that it states is wrong"):
        read_ecg(tmp_path / "a.npy", **PLAIN)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_a_rate_or_unit_that_contradicts_the_file(factor, tmp_path, ecg):
    write_dicom(tmp_path / "a.dcm", ecg, 500)
    with pytest.raises(ECGFileError, match=r"its sampling rate is 500 Hz, but sampling_rate=250 was given"):
        read_ecg(tmp_path / "a.dcm", sampling_rate=250)
    write_npy(tmp_path / "b.npy", ecg * factor, 500)
    with pytest.raises(ECGFileError, match="the unit or the gain"):
        read_ecg(tmp_path / "b.npy", **PLAIN)


@pytest.mark.parametrize("duration", [b"0", b"-1", b"nan"])
def test_an_edf_of_blocks_without_duration(tmp_path, ecg, duration):
    write_edf(tmp_path / "a.edf", ecg, 500)
    data = bytearray((tmp_path / "a.edf").read_bytes())
    data[244:252] = duration.ljust(8)
    (tmp_path / "a.edf").write_bytes(data)
    with pytest.raises(ECGFileError, match="sampling rate cannot be read"):
        read_ecg(tmp_path / "a.edf")


def test_leads_given_where_the_file_names_them(tmp_path, ecg):
    write_edf(tmp_path / "a.edf", ecg, 500)
    with pytest.raises(ECGFileError, match="leave out leads="):
        read_ecg(tmp_path / "a.edf", leads=LEADS)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((12, 12)), "which axis is the leads'"),
        (np.zeros((7, 5000)), "neither axis is"),
        (np.zeros((3, 12, 5000)), "3 records"),
        (np.zeros(5000), "an ECG has"),
        (np.zeros((12, 100)), "less than 0.5 s"),
        (np.full((12, 5000), np.nan), "no valid sample"),
        (np.full((12, 5000), np.inf), "infinite"),
        (np.array([["a"] * 12] * 20), "not numbers"),
        (np.array([{"pickled": 1}] * 12, dtype=object), "not numbers"),
    ],
)
def test_arrays_that_are_no_ecg(array, message, tmp_path):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ECGFileError, match=message):
        read_ecg(tmp_path / "a.npy", **PLAIN)


def test_archives(tmp_path, ecg):
    np.savez(tmp_path / "a.npz", signal=ecg, other=np.zeros(3))
    assert np.array_equal(read_ecg(tmp_path / "a.npz", **PLAIN).signal, ecg)
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data.replace(ecg[0].tobytes(), ecg[1].tobytes()))
    with pytest.raises(ECGFileError, match="it is damaged"):
        read_ecg(tmp_path / "a.npz", **PLAIN)
    np.savez(tmp_path / "b.npz", one=ecg, two=ecg)
    with pytest.raises(ECGFileError, match="several arrays"):
        read_ecg(tmp_path / "b.npz", **PLAIN)
    with zipfile.ZipFile(tmp_path / "c.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as file:
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (12, 10**9)})
        file.write(buffer.getvalue() + bytes(10**6))
    with pytest.raises(ECGFileError, match=r"would take 89\.4 GiB"):
        read_ecg(tmp_path / "c.npz", **PLAIN)


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        ("AVR", ("aVR", 1.0)),
        ("Lead II", ("II", 1.0)),
        ("MDC_ECG_LEAD_V1", ("V1", 1.0)),
        ("ECG I", ("I", 1.0)),
        ("-aVR", ("aVR", -1.0)),
        ("v3 (mV)", ("V3", 1.0)),
        ("C4", ("V4", 1.0)),
        ("DIII", ("III", 1.0)),
        (" V 5", None),
        ("V3R", None),
        ("V7", None),
        ("Resp", None),
        ("", None),
        ("IV", None),
        ("Lead-II", ("II", 1.0)),
        ("Lead_II", ("II", 1.0)),
        ("Lead -aVR", ("aVR", -1.0)),
        ("\N{ROMAN NUMERAL TWO}", ("II", 1.0)),
        ("aVR [\N{MICRO SIGN}V]", ("aVR", 1.0)),
        ("MLII", None),
        ("_" * 20_000, None),
    ],
)
def test_names_of_leads(name, lead):
    assert find_lead(name) == lead


def test_units():
    factors = {
        "mV": 1,
        "uV": 1e-3,
        "\N{MICRO SIGN}V": 1e-3,
        "\N{GREEK SMALL LETTER MU}V": 1e-3,
        "V": 1e3,
        "MICROVOLTS": 1e-3,
    }
    assert {unit: to_millivolts(unit) for unit in factors} == factors
    for wrong in ("", "mm", None, "mmHg"):
        with pytest.raises(ECGFileError, match="not in one of"):
            to_millivolts(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["muse/muse_1.xml", "philips/sierra_1_03.xml", "philips/sierra_1_04.xml"])
def test_flipped_bytes_in_real_files(name, vendor_dir, tmp_path):
    content = (vendor_dir / name).read_bytes()
    rng = random.Random(0)
    path = tmp_path / Path(name).name
    outcomes = set()
    for _ in range(300):
        spoilt = bytearray(content)
        for _ in range(rng.choice([1, 1, 3, 30])):
            spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
        path.write_bytes(spoilt if rng.random() < 0.8 else spoilt[: rng.randrange(len(spoilt))])
        try:
            check_record(read_ecg(path))
            outcomes.add("record")
        except ECGFileError:
            outcomes.add("error")
    assert outcomes == {"record", "error"}
