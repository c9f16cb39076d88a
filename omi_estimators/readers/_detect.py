"""What kind of file it is, by its content: hospitals rename files, and a suffix proves nothing."""

from __future__ import annotations

import re
from pathlib import Path

from omi_estimators.readers._errors import ECGFileError

_HEAD = 4096

# What is recognised and not read, with what to do about it.
_REFUSED = {
    b"%PDF": "it is a PDF, a picture of an ECG; export the waveform instead",
    b"\x89PNG": "it is a picture; export the waveform instead",
    b"\xff\xd8\xff": "it is a picture; export the waveform instead",
    b"\x1f\x8b": "it is compressed by gzip; unpack it first",
    b"7z\xbc\xaf": "it is a 7z archive; unpack it first",
    b"ISHNE1.0": "it is an ISHNE Holter recording, which is not read here; convert it to WFDB or EDF",
    b"\x89HDF\r\n\x1a\n": "it is an HDF5 file, as MATLAB's -v7.3; save it as -v7, or as an .npy file",
}
_XML_ROOTS = {
    "restingecgdata": "philips",
    "RestingECG": "muse",
    "AnnotatedECG": "hl7",
    "ECG": "mortara",
}
_HEADER_FIRST = re.compile(r"^(\S+?)(/\d+)?[ \t]+(\d+)([ \t]+[\d.eE+/()-]+){0,4}([ \t]+\S+){0,2}[ \t]*$")
_HEADER_SIGNAL = re.compile(r"^\S+[ \t]+\d+(x\d+)?(:\d+)?(\+\d+)?([ \t].*)?$")


def detect_binary_format(head: bytes) -> str | None:
    """Return the format of a file that says in its first bytes what it is, None for text and the rest.

    Parameters
    ----------
    head : bytes
        The first 4096 bytes, or all of a shorter file.

    Returns
    -------
    str or None
        "npy", "npz", "mat", "dicom", "edf", "xml", or None.

    Raises
    ------
    ECGFileError
        If it is of a kind that is known and not read here.
    """
    for magic, reason in _REFUSED.items():
        if head.startswith(magic):
            raise ECGFileError(reason)
    if head[16:22] == b"SCPECG":
        raise ECGFileError(
            "it is an SCP-ECG file, which no maintained Python library reads; export it as DICOM, HL7 aECG or XML"
        )
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PK\x03\x04"):
        return "npz"
    if head.startswith(b"MATLAB 5.0"):
        return "mat"
    if head[128:132] == b"DICM" or _is_dicom_without_preamble(head):
        return "dicom"
    if head.startswith((b"0       ", b"\xffBIOSEMI")):
        return "edf"
    return "xml" if is_xml(head) else None


def _is_dicom_without_preamble(head: bytes) -> bool:
    """Return whether the file begins with a DICOM element of group 2 or 8 and a known representation."""
    return head[:2] in (b"\x02\x00", b"\x08\x00") and head[4:6] in (b"UL", b"UI", b"CS", b"DA", b"LO", b"SH", b"TM")


def is_xml(head: bytes) -> bool:
    """Return whether the first sign of a text in any encoding is that of a tag."""
    return head.replace(b"\0", b"").lstrip(b"\xff\xfe\xef\xbb\xbf \t\r\n").startswith(b"<")


def detect_xml_format(root_tag: str) -> str:
    """Return the format of an XML file by its root, without namespace; ECGFileError if it is none that is read."""
    try:
        return _XML_ROOTS[root_tag]
    except KeyError:
        raise ECGFileError(
            f"it is XML with the root {root_tag[:40]!r}; read are {', '.join(map(repr, _XML_ROOTS))} "
            "(Philips SierraECG, GE MUSE, HL7 aECG, Mortara)"
        ) from None


def is_wfdb_header(head: bytes) -> bool:
    """Return whether a text is the header of a WFDB record: a record line, then a line for each signal."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        return False
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    first = _HEADER_FIRST.match(lines[0]) if lines else None
    if first is None or (first[1].replace(".", "").isdecimal() and not re.fullmatch(r"\d+", first[1])):
        return False
    signals = lines[1 : 1 + min(int(first[3][:4]), len(lines) - 1)]
    return bool(signals) and all(_HEADER_SIGNAL.match(line) for line in signals)


def find_wfdb_header(path: Path) -> Path | None:
    """Return the header that lies beside `path`, a signal file or a record's name without suffix, None if none."""
    for candidate in (path.with_name(path.name + ".hea"), path.with_suffix(".hea")):
        if path.name and candidate != path and candidate.is_file():
            return candidate
    return None


def is_text(head: bytes) -> bool:
    """Return whether these are the bytes of a text."""
    return b"\0" not in head and sum(byte < 32 and byte not in b"\t\r\n\f" for byte in head) == 0
