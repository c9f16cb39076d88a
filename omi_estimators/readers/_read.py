"""`read_ecg`: any file of an ECG to one kind of record; `find_ecg_files`: which files are ECGs of their own."""

from __future__ import annotations

import os
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omi_estimators.readers._dicom import read_dicom
from omi_estimators.readers._edf import read_edf
from omi_estimators.readers._fields import decode_text
from omi_estimators.readers._hl7 import read_hl7
from omi_estimators.readers._plain import is_mat_4, read_plain
from omi_estimators.readers._record import MOST_BYTES, ECGFileError, ECGRecord, Source, naming_file
from omi_estimators.readers._scp import is_scp, read_scp
from omi_estimators.readers._vendors import read_cardiosoft, read_mortara, read_muse, read_philips
from omi_estimators.readers._wfdb import parse_wfdb_signal, read_wfdb, split_wfdb_header
from omi_estimators.readers._xml import parse_xml

FORMATS = {"philips": "Philips SierraECG XML", "muse": "GE MUSE XML", "cardiosoft": "GE CardioSoft XML"}
FORMATS |= {"hl7": "HL7 aECG XML", "mortara": "Mortara XML", "wfdb": "WFDB", "dicom": "DICOM waveform", "edf": "EDF"}
FORMATS |= {"scp": "SCP-ECG", "csv": "CSV", "npy": "NPY", "npz": "NPZ", "mat": "MAT"}
"""Formats that are read, by the name that they have here."""

_READERS: dict[str, Callable[[Source], ECGRecord]] = {"wfdb": read_wfdb, "dicom": read_dicom, "edf": read_edf}
_READERS |= {"philips": read_philips, "muse": read_muse, "cardiosoft": read_cardiosoft, "hl7": read_hl7}
_READERS |= {"mortara": read_mortara, "scp": read_scp}
_HEAD = 65_536

# What a format begins with, or has at a place of its own.
_MAGIC = [(0, b"\x93NUMPY", "npy"), (0, b"PK\x03\x04", "npz"), (0, b"MATLAB 5.0", "mat"), (124, b"\0\x01IM", "mat")]
_MAGIC += [(124, b"\x01\0MI", "mat"), (128, b"DICM", "dicom"), (0, b"0       ", "edf"), (0, b"\xffBIOSEMI", "edf")]
# What is recognised and not read, with what to do about it.
_PICTURE, _HDF5 = (
    "it is a picture; export the waveform instead",
    "it is an HDF5 file, as MATLAB's -v7.3; save it as -v7",
)
_REFUSED = {
    b"%PDF": "it is a PDF, a picture of an ECG; export the waveform instead",
    b"\x89PNG": _PICTURE,
    b"\xff\xd8\xff": _PICTURE,
    b"\x1f\x8b": "it is compressed by gzip; unpack it first",
    b"7z\xbc\xaf": "it is a 7z archive; unpack it first",
    b"ISHNE1.0": "it is an ISHNE Holter recording, which is not read here; convert it to WFDB or EDF",
    b"MATLAB 7.3": _HDF5,
    b"\x89HDF\r\n\x1a\n": _HDF5,
}
_XML_ROOTS = {"restingecgdata": "philips", "RestingECG": "muse", "CardiologyXML": "cardiosoft", "AnnotatedECG": "hl7"}
_XML_ROOTS |= {"ECG": "mortara"}
# Such a root in the first bytes, whatever its namespace; in UTF-16 too, once its zeros are out.
_ROOT_TAG = re.compile(rf"<(?:[\w.-]+:)?(?:{'|'.join(_XML_ROOTS)})[\s>]")
# What lies in folders of ECGs beside them.
_NO_ECGS = {"dicomdir", "records", "annotators", "license", "license.txt", "readme", "readme.md", "readme.txt"}
_NO_ECGS |= {"sha256sums.txt", "md5sums.txt", "thumbs.db", "desktop.ini"}


def read_ecg(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
    start: float = 0.0,
    duration: float | None = None,
) -> ECGRecord:
    """Read one ECG from a file of any known format.

    The format is found by content, not by suffix: WFDB, Philips SierraECG XML, GE MUSE XML, GE CardioSoft XML, HL7 aECG
    XML, Mortara XML, DICOM waveform, EDF and BDF, SCP-ECG, and plain numbers in CSV, NPY, NPZ or MAT files. Limb leads
    that a file lacks are derived from two others where it has two.

    Parameters
    ----------
    path : path-like
        The file. For WFDB the header, the signal file, or the record's name without suffix.
    sampling_rate : float, optional
        Hz. Needed for plain numbers, which do not say it. For other formats it is compared with what the file says, and
        counts where that cannot be read.
    unit : {"mV", "uV", "V", "nV"}, optional
        Of the values. Needed for plain numbers whose columns state none, and for files of other formats that leave it
        open or have one that cannot be read; one that contradicts the file is an error.
    leads : sequence of str, optional
        The lead of each row or column of plain numbers; by default the names in the file.
    start : float, default=0
        Seconds to leave out at the beginning.
    duration : float, optional
        Seconds to read, by default all; of a Holter recording in WFDB or EDF no more than that is read.

    Returns
    -------
    ECGRecord
        The signal in mV of shape (12, n_samples), leads in the order of `LEADS`, and what the file says beside it.

    Raises
    ------
    ECGFileError
        A ValueError: if there is no such file, it is of no known format, cut short, damaged or contradictory, if it
        lacks what is needed and was not given, if its values cannot be millivolts of a heart, or if what is asked
        for would take more than 1 GiB of memory.
    ValueError
        If `start` or `duration` is not a number of seconds.
    ImportError
        If the library for its format is not installed (the extra `io`).

    Examples
    --------
    >>> import numpy as np, pathlib, tempfile
    >>> from omi_estimators import read_ecg
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "ecg.npy")
    ...     np.save(path, make_omi_ecgs(n_patients=1, random_state=0).X[0])
    ...     read_ecg(path, sampling_rate=500, unit="mV")
    <ECGRecord: NPY, 12 leads, 10 s at 500 Hz>
    """
    path = Path(path)
    if not 0 <= start < float("inf") or not (duration is None or 0 < duration < float("inf")):
        raise ValueError(f"start and duration must be seconds, from 0 on and above 0; got {start!r} and {duration!r}.")
    asked = {"sampling_rate": sampling_rate, "unit": unit, "leads": leads, "start": start, "duration": duration}
    with naming_file(path.name):
        return _read(path, asked)


def _read(path: Path, asked: dict[str, Any]) -> ECGRecord:
    """Return the record at `path`; an error does not name the file yet."""
    name, source = _open(path, asked)
    rate = source.sampling_rate
    if name in _READERS and source.leads is not None:
        raise ECGFileError(f"it names its leads itself, being {FORMATS[name]}; leave out leads=")
    with warnings.catch_warnings():
        # What libraries warn of here is either an error below, or no matter.
        warnings.simplefilter("ignore")
        record = _READERS[name](source) if name in _READERS else read_plain(source, name)
    if rate is not None and abs(record.sampling_rate - rate) > 1e-3 * rate:
        says = f"it says that its sampling rate is {record.sampling_rate:g} Hz"
        raise ECGFileError(f"{says}, but sampling_rate={rate:g} was given; leave that out")
    if record.total_duration is None:
        first, last = source.choose_part(record.signal.shape[1], record.sampling_rate)
        record = replace(record, total_duration=record.duration, signal=record.signal[:, first:last])
    return record


def _open(path: Path, asked: dict[str, Any]) -> tuple[str, Source]:
    """Return the format of the file at `path`, and its content."""
    beside = _find_wfdb_header(path)
    if not path.is_file():
        if beside is None and path.is_dir():
            raise ECGFileError("it is a folder; give a file")
        if beside is None:
            raise ECGFileError(f"there is no such file. Check the path {path.as_posix()!r}")
        path, beside = beside, None
    if path.stat().st_size == 0:
        raise ECGFileError("it is empty; export or copy it again")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    # A signal file may begin with any bytes, also with those of another format.
    is_signal = beside is not None and path in _find_files_in_header(beside)
    name = "wfdb" if is_signal else _detect_binary_format(head)
    if name is None and (path.suffix.lower() == ".hea" or _is_wfdb_header(head)):
        name, beside = "wfdb", None
    elif name is None and beside is not None and path.suffix != ".csv":
        name = "wfdb"
    elif name is None:
        if any(ord(sign) < 32 and sign not in "\t\r\n\f" for sign in decode_text(head)):
            raise ECGFileError(f"it is of no known format; read are {', '.join(FORMATS.values())}")
        name = "csv"
    if name == "wfdb" and beside is not None:
        path = beside
    # EDF may be longer than memory.
    source = Source(path, b"" if name == "edf" else _read_whole(path), **asked)
    if name == "xml":
        source = replace(source, root=parse_xml(source.data))
        if source.root.tag not in _XML_ROOTS:
            known = "Philips SierraECG, GE MUSE, GE CardioSoft, HL7 aECG, Mortara"
            raise ECGFileError(
                f"it is XML with the root {source.root.tag[:40]!r}, which none has that is read ({known})"
            )
        name = _XML_ROOTS[source.root.tag]
    return name, source


def _read_whole(path: Path) -> bytes:
    """Return the content of a file, if it is not too long for one that is read as a whole."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ECGFileError(f"it has {size / 2**30:.1f} GiB; an ECG of minutes has far less than 1 GiB")
    return path.read_bytes()


def _detect_binary_format(head: bytes) -> str | None:
    """Return the format of a file that says in its first bytes what it is, None for text and the rest.

    Parameters
    ----------
    head : bytes
        The first bytes, or all of a shorter file.

    Returns
    -------
    str or None
        "scp", "npy", "npz", "mat", "dicom", "edf", "xml", or None.

    Raises
    ------
    ECGFileError
        If it is of a kind that is known and not read here.
    """
    for magic, reason in _REFUSED.items():
        if head.startswith(magic):
            raise ECGFileError(reason)
    if is_scp(head):
        return "scp"
    for start, magic, name in _MAGIC:
        if head[start : start + len(magic)] == magic:
            return name
    if is_mat_4(head):
        return "mat"
    if _is_dicom_without_preamble(head):
        return "dicom"
    # The first sign of a text in any encoding.
    is_xml = head.replace(b"\0", b"").lstrip(b"\xff\xfe\xef\xbb\xbf \t\r\n").startswith(b"<")
    return "xml" if is_xml else None


def _is_dicom_without_preamble(head: bytes) -> bool:
    """Return whether the file begins with a DICOM element of group 2 or 8 and a known representation."""
    return head[:2] in (b"\x02\x00", b"\x08\x00") and head[4:6] in (b"UL", b"UI", b"CS", b"DA", b"LO", b"SH", b"TM")


def _is_wfdb_header(head: bytes) -> bool:
    """Return whether a text is the header of a WFDB record: a record line, then a line for each signal."""
    lines, _ = split_wfdb_header(decode_text(head))
    if len(lines) < 2 or len(lines[0]) < 2 or not lines[0][1].isdecimal():
        return False
    if "/" in lines[0][0]:
        return True
    # The last line may be cut by the end of the head.
    signals = lines[1 : 1 + min(int(lines[0][1][:4]), max(len(lines) - 2, 1))]
    return bool(signals) and all(parse_wfdb_signal(words) is not None for words in signals)


def _find_wfdb_header(path: Path) -> Path | None:
    """Return the header that lies beside `path`, a signal file or a record's name without suffix, None if none."""
    for candidate in (path.with_name(path.name + ".hea"), path.with_suffix(".hea")):
        if path.name and candidate != path and candidate.is_file():
            return candidate
    return None


def find_ecg_files(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    r"""Return the files that are ECGs of their own: one for each record, however many files it has.

    A WFDB record is its header: signals, annotations of any name, and segments that the header of a longer record names
    belong to it. So does, in every format, a file beside an ECG that has the same name up to the suffix and is
    itself not surely an ECG: a picture, a text, a table. What is of no known format and stands alone stays, and so
    do two ECGs of one name.

    Parameters
    ----------
    paths : iterable of path-like
        Files, and folders to look through; in folders neither hidden files nor readmes, licences and indices count.

    Returns
    -------
    list of Path
        In the order given, those of a folder in the order of their names, each once.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from omi_estimators.readers import find_ecg_files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "1.hea").write_text("1 1 500 5000\n1.dat 16 1000 16 0 0 0 0 II\n")
    ...     for name in ("1.dat", "1.atr", "README"):
    ...         pathlib.Path(folder, name).touch()
    ...     [path.name for path in find_ecg_files([folder])]
    ['1.hea']
    """
    files: dict[Path, None] = {}
    for path in map(Path, paths):
        files |= dict.fromkeys(_look_through(path) if path.is_dir() else [path])
    beside = _find_files_of_others(files)
    return [path for path in files if path not in beside]


def _look_through(folder: Path) -> list[Path]:
    inside = (file for file in folder.rglob("*") if file.name[0] != "." and file.name.lower() not in _NO_ECGS)
    return sorted(file for file in inside if file.is_file())


def _find_files_of_others(files: Iterable[Path]) -> set[Path]:
    """Return those files that belong to the record of another one."""
    found: set[Path] = set()
    by_stem: defaultdict[tuple[Path, str], list[Path]] = defaultdict(list)
    names = set(files)
    for file in files:
        # Of 1.xml.md5 too, and of a record's name without suffix.
        whole = file.with_suffix("") in names
        by_stem[file.parent, Path(file.stem).stem if whole else file.stem].append(file)
        if file.suffix == ".hea" and file.is_file():
            found |= _find_files_in_header(file) & names
    for group in by_stem.values():
        if len(group) < 2:
            continue
        sure = {file for file in group if _is_surely_ecg(file)}
        # Of signals and annotations whose header was not given, the first stands for the record.
        rest = [] if sure else group[:1] if _find_wfdb_header(group[0]) else group
        found |= set(group) - sure - set(rest)
    return found


def _find_files_in_header(header: Path) -> set[Path]:
    """Return the files that a WFDB header names: of signals, or the headers of segments."""
    with header.open("rb") as file:
        lines, _ = split_wfdb_header(decode_text(file.read(_HEAD)))
    suffix = ".hea" if lines and "/" in lines[0][0] else ""
    return {header.parent / f"{words[0]}{suffix}" for words in lines[1:]} - {header}


def _is_surely_ecg(path: Path) -> bool:
    """Return whether a file says that it is of a format that is read; texts of numbers say nothing."""
    if path.suffix == ".hea" or not path.is_file():
        return path.suffix == ".hea"
    with path.open("rb") as file:
        head = file.read(_HEAD)
    try:
        name = _detect_binary_format(head)
    except ECGFileError:
        return False
    return name is not None if name != "xml" else bool(_ROOT_TAG.search(decode_text(head.replace(b"\0", b""))))
