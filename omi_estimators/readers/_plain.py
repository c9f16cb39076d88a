"""Plain numbers in NPY, NPZ, MAT and CSV files, which say neither rate nor unit."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators.leads import LEADS
from omi_estimators.readers._csv import parse_csv
from omi_estimators.readers._detect import detect_binary_format
from omi_estimators.readers._errors import ECGFileError
from omi_estimators.readers._leads import find_lead, make_signal
from omi_estimators.readers._mat import read_arrays
from omi_estimators.readers._record import ECGRecord
from omi_estimators.readers._units import to_millivolts

if TYPE_CHECKING:
    from omi_estimators.readers._read import Source

_LARGEST = 2**30
# How the array of an ECG is called where there are several, the PhysioNet challenges' name first.
_USUAL_NAMES = ("val", "signal", "ecg", "data", "x")


def read(source: Source) -> ECGRecord:
    """Read an array of leads, with rate and unit from the caller.

    Parameters
    ----------
    source : Source
        An NPY, NPZ, MAT (up to version 7) or CSV file; `sampling_rate` and `unit` are needed, `leads` may be.

    Returns
    -------
    ECGRecord
        With the signal alone.

    Raises
    ------
    ECGFileError
        If rate or unit is missing, the file holds no array of two dimensions, or it is unclear which axis is the
        leads'.
    """
    name = detect_binary_format(source.data[:4096]) or "csv"
    if source.sampling_rate is None or source.unit is None:
        raise ECGFileError(
            f"it is a file of plain numbers ({name.upper()}), which says neither rate nor unit; give sampling_rate= in "
            "Hz and unit='mV' or 'uV'"
        )
    scale = to_millivolts(source.unit)
    names: Sequence[str] | None = source.leads
    notes: tuple[str, ...] = ()
    if name == "csv":
        table = parse_csv(source.data, source.sampling_rate)
        values, notes = table.values, table.notes
        names = names if names is not None else table.names
    else:
        values = {"npy": _read_npy, "npz": _read_npz, "mat": _read_mat}[name](source.data)
    rows, names = _orient(_as_two_dimensional(values), names)
    with np.errstate(over="ignore"):
        named = zip(names, rows.astype(np.float64) * scale, strict=True)
    signal, derived, missing, left_out = make_signal(named, source.sampling_rate)
    return ECGRecord(
        signal=signal,
        sampling_rate=float(source.sampling_rate),
        source_format=name.upper(),
        derived_leads=derived,
        missing_leads=missing,
        notes=notes + left_out,
    )


def _read_npy(data: bytes) -> NDArray[Any]:
    """Return the array of an .npy file, which must be as long as its header says."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ECGFileError(f"it is an .npy file of version {version}, which holds no plain numbers")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = header(stream)
    except (SyntaxError, tokenize.TokenError) as error:  # NumPy reads it as Python's literals
        raise ECGFileError(f"its header is not that of an .npy file ({error}); it is damaged") from error
    if dtype.hasobject or dtype.kind not in "iuf":
        raise ECGFileError(f"it holds values of type {dtype}, not numbers")
    needed = math.prod(shape) * dtype.itemsize
    if needed > len(data) - stream.tell():
        raise ECGFileError(
            f"its header says {needed} bytes of values, but {len(data) - stream.tell()} follow; it is cut"
        )
    stream.seek(0)
    array: NDArray[Any] = np.load(stream, allow_pickle=False)
    return array


def _read_npz(data: bytes) -> NDArray[Any]:
    """Return the array of an .npz file that is the ECG."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename[:-4]: info for info in archive.infolist() if info.filename.endswith(".npy")}
        if not members:
            raise ECGFileError("it is a zip archive without arrays; unpack it, and give an ECG in it")
        info = members[_choose(list(members))]
        if info.file_size > _LARGEST:
            raise ECGFileError(f"its array has {info.file_size / 2**30:.1f} GiB unpacked; no ECG has 1 GiB")
        with archive.open(info) as member:
            # One byte more than it says: the size in the archive's list is only a claim.
            unpacked = member.read(info.file_size + 1)
    return _read_npy(unpacked)


def _read_mat(data: bytes) -> NDArray[Any]:
    """Return the array of a MAT file that is the ECG."""
    arrays = {name: array for name, array in read_arrays(data).items() if array.ndim <= 3 and max(array.shape) > 9}
    if not arrays:
        raise ECGFileError("it is a MAT file without an array of numbers of two dimensions")
    return arrays[_choose(list(arrays))]


def _choose(names: Sequence[str]) -> str:
    """Return the one name, or the one that an ECG usually has."""
    if len(names) == 1:
        return names[0]
    for usual in _USUAL_NAMES:
        found = [name for name in names if name.lower() == usual]
        if len(found) == 1:
            return found[0]
    raise ECGFileError(f"it holds several arrays ({', '.join(names[:10])}); save the ECG alone, or call it signal")


def _as_two_dimensional(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array of one record, which may come as the first of one."""
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values[0] if values.shape[0] == 1 else values[:, :, 0]
    if values.ndim == 3:
        raise ECGFileError(
            f"it holds an array of shape {values.shape}, {values.shape[0]} records; save one in each file"
        )
    if values.ndim != 2 or 0 in values.shape:
        raise ECGFileError(f"it holds an array of shape {values.shape}; an ECG has (n_leads, n_samples)")
    return values


def _orient(values: NDArray[Any], names: Sequence[str] | None) -> tuple[NDArray[Any], Sequence[str]]:
    """Return the array with leads as rows, and their names."""
    n_leads = len(LEADS) if names is None else len(names)
    fits = [axis for axis in (0, 1) if values.shape[axis] == n_leads]
    if len(fits) == 2:
        raise ECGFileError(f"it holds an array of shape {values.shape}; which axis is the leads' cannot be told")
    if not fits:
        what = "the twelve leads in their usual order" if names is None else f"the {n_leads} leads {', '.join(names)}"
        raise ECGFileError(
            f"it holds an array of shape {values.shape}, and neither axis is {what}; give leads= with a name for each"
        )
    wrong = [str(name) for name in names or () if find_lead(name) is None]
    if names is not None and len(wrong) == len(names):
        raise ECGFileError(f"none of its columns is one of the twelve leads: {', '.join(wrong[:15])}; give leads=")
    return (values if fits == [0] else values.T), (names if names is not None else LEADS)
