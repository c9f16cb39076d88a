"""`read_ecg`: any file of an ECG to one kind of record."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from omi_estimators.readers._detect import (
    detect_binary_format,
    detect_xml_format,
    find_wfdb_header,
    is_text,
    is_wfdb_header,
)
from omi_estimators.readers._errors import ECGFileError, naming_file
from omi_estimators.readers._record import ECGRecord

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

FORMATS = {
    "philips": "Philips SierraECG XML",
    "muse": "GE MUSE XML",
    "hl7": "HL7 aECG XML",
    "mortara": "Mortara XML",
    "wfdb": "WFDB",
    "dicom": "DICOM waveform",
    "edf": "EDF",
    "csv": "CSV",
    "npy": "NPY",
    "npz": "NPZ",
    "mat": "MAT",
}
"""Formats that are read, by the name that they have here."""

# Those that say nothing of rate and unit.
_PLAIN = ("csv", "npy", "npz", "mat")
_LARGEST = 2**30


@dataclass(frozen=True)
class Source:
    """What a reader of one format is given.

    Attributes
    ----------
    path : Path
        The file; of a WFDB record its header.
    data : bytes
        The whole file.
    root : Element or None
        Of an XML file, tags without namespaces.
    sampling_rate, unit, leads : float, str and sequence of str, or None
        What the caller says; only formats that do not say it themselves may use it.
    """

    path: Path
    data: bytes
    root: Element | None = None
    sampling_rate: float | None = None
    unit: str | None = None
    leads: Sequence[str] | None = None


def read_ecg(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> ECGRecord:
    """Read one ECG from a file of any known format.

    The format is found by content, not by suffix: WFDB, Philips SierraECG XML, GE MUSE XML, HL7 aECG XML, Mortara XML,
    DICOM waveform, EDF and BDF, and plain numbers in CSV, NPY, NPZ or MAT files. Limb leads that a file lacks are
    derived from two others where it has two.

    Parameters
    ----------
    path : path-like
        The file. For WFDB the header, the signal file, or the record's name without suffix.
    sampling_rate : float, optional
        Hz. Needed for plain numbers, which do not say it. For other formats it is compared with what the file says.
    unit : {"mV", "uV", "V", "nV"}, optional
        Of the values. Needed for plain numbers, and for files of other formats that leave it open.
    leads : sequence of str, optional
        The lead of each row or column of plain numbers; by default the names in the file.

    Returns
    -------
    ECGRecord
        The signal in mV of shape (12, n_samples), leads in the order of `LEADS`, and what the file says beside it.

    Raises
    ------
    ECGFileError
        A ValueError: if there is no such file, it is of no known format, cut short, damaged or contradictory, if it
        lacks what is needed and was not given, or if its values cannot be millivolts of a heart.
    ImportError
        If the library for its format is not installed (`pip install omi-estimators[io]`).

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
    with naming_file(path.name):
        return _read(path, sampling_rate, unit, leads)


def _read(path: Path, sampling_rate: float | None, unit: str | None, leads: Sequence[str] | None) -> ECGRecord:
    """Return the record at `path`; an error does not name the file yet."""
    name, source = _open(path)
    if name not in _PLAIN and leads is not None:
        raise ECGFileError(f"it names its leads itself, being {FORMATS[name]}; leave out leads=")
    module = importlib.import_module(f"omi_estimators.readers._{'plain' if name in _PLAIN else name}")
    with warnings.catch_warnings():
        # What libraries warn of here is either an error below, or no matter.
        warnings.simplefilter("ignore")
        record: ECGRecord = module.read(replace(source, sampling_rate=sampling_rate, unit=unit, leads=leads))
    if sampling_rate is not None and abs(record.sampling_rate - sampling_rate) > 1e-3 * sampling_rate:
        raise ECGFileError(
            f"it says that its sampling rate is {record.sampling_rate:g} Hz, but sampling_rate={sampling_rate:g} was "
            "given; leave that out"
        )
    return record


def _open(path: Path) -> tuple[str, Source]:
    """Return the format of the file at `path`, and its content."""
    if not path.is_file():
        header = find_wfdb_header(path)
        if header is None:
            what = "it is a folder; give a file" if path.is_dir() else "there is no such file. Check the path"
            raise ECGFileError(what if path.is_dir() else f"{what} {path.as_posix()!r}")
        path = header
    size = path.stat().st_size
    if size == 0:
        raise ECGFileError("it is empty; export or copy it again")
    if size > _LARGEST:
        raise ECGFileError(f"it has {size / 2**30:.1f} GiB; an ECG of minutes has far less than 1 GiB")
    data = path.read_bytes()
    source = Source(path, data)
    name = detect_binary_format(data[:4096])
    if name == "xml":
        from omi_estimators.readers._xml import parse_xml

        root = parse_xml(data)
        return detect_xml_format(root.tag), replace(source, root=root)
    if name is not None:
        return name, source
    if is_wfdb_header(data[:65_536]):
        return "wfdb", source
    header = find_wfdb_header(path)
    if header is not None and path.suffix != ".csv":
        return "wfdb", Source(header, header.read_bytes())
    if is_text(data[:4096]):
        return "csv", source
    raise ECGFileError(f"it is of no known format; read are {', '.join(FORMATS.values())}")
