"""Plain numbers in NPY, NPZ, MAT and CSV files, which say neither rate nor unit."""

from __future__ import annotations

import io
import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators.leads import LEADS
from omi_estimators.readers._fields import to_millivolts
from omi_estimators.readers._leads import find_lead, make_record
from omi_estimators.readers._record import ECGFileError, ECGRecord, Source

_LARGEST = 2**30  # bytes, unpacked
# How the array of an ECG is called where there are several, the PhysioNet challenges' name first.
_USUAL_NAMES = ("val", "signal", "ecg", "data", "x")
_TIME = re.compile(r"^(t|time|times|timestamp|zeit|temps|tiempo)\b.*|^(t|time)[ _(\[].*", re.IGNORECASE)
_COUNTER = re.compile(r"^(|#|n|nr|no|samples?|index|idx|unnamed.*|sample[ _]*(number|index|nr|no))$", re.IGNORECASE)
_MOST_COLUMNS = 1000
_MAT_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
# Numbers of the kinds of elements of a MAT file that hold values.
_MAT_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double, single, and integers of all widths
_COMPLEX = 0x0800
_NO_ELEMENT = (0, b"")


def read_plain(source: Source, name: str) -> ECGRecord:
    """Read an array of leads, with rate and unit from the caller.

    Parameters
    ----------
    source : Source
        The file; `sampling_rate` and `unit` are needed, `leads` may be.
    name : {"npy", "npz", "mat", "csv"}
        Its format; of MAT files up to version 7.

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
    if source.sampling_rate is None or source.unit is None:
        raise ECGFileError(
            f"it is a file of plain numbers ({name.upper()}), which says neither rate nor unit; give sampling_rate= in "
            "Hz and unit='mV' or 'uV'"
        )
    scale = to_millivolts(source.unit)
    names: Sequence[str] | None = source.leads
    notes: tuple[str, ...] = ()
    if name == "csv":
        values, header, notes = _read_csv(source.data, source.sampling_rate)
        names = names if names is not None else header
    else:
        values = {"npy": _read_npy, "npz": _read_npz, "mat": _read_mat}[name](source.data)
    rows, names = _orient(_as_two_dimensional(values), names)
    with np.errstate(over="ignore"):
        named = zip(names, rows.astype(np.float64) * scale, strict=True)
    return make_record(named, float(source.sampling_rate), name.upper(), notes=notes)


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
    arrays = {name: array for name, array in read_mat_arrays(data).items() if array.ndim <= 3 and max(array.shape) > 9}
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


def _read_csv(data: bytes, sampling_rate: float) -> tuple[NDArray[np.float64], list[str] | None, tuple[str, ...]]:
    """Return the numbers of a table as they stand, but for columns of times and counters; its header; notes.

    Parameters
    ----------
    data : bytes
        Text in UTF-8 or Latin-1; lines that begin with # are comments.
    sampling_rate : float
        Hz, against which a column of times is checked.

    Returns
    -------
    values : ndarray of shape (n_rows, n_columns)
        Numbers, NaN for empty cells.
    names : list of str or None
        The names of the columns; None without a header.
    notes : tuple of str
        What was left out.

    Raises
    ------
    ECGFileError
        If it is no table of numbers, its rows differ in length, or its times are those of another rate.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Every sequence of bytes is Latin-1, and numbers are the same in both.
        text = data.decode("latin-1")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) < 2:
        raise ECGFileError("it is a text without rows of numbers")
    separator, comma = _find_separator(lines)
    names = None
    first = _split(lines[0], separator)
    if not _are_numbers(first, comma):
        names, lines = [cell.strip().strip("\"'") for cell in first], lines[1:]
    if len(first) > _MOST_COLUMNS and names is not None:
        raise ECGFileError(f"it has {len(first)} columns; an ECG has one for each lead")
    values = _parse_numbers(lines, separator, comma)
    if names is None:
        return values, None, ()
    if len(names) != values.shape[1]:
        raise ECGFileError(f"its first row has {len(names)} names, but there are {values.shape[1]} columns")
    return _drop_times(values, names, sampling_rate)


def _find_separator(lines: list[str]) -> tuple[str | None, bool]:
    """Return what parts the cells (None: blanks), and whether the decimal sign is a comma."""
    sample = lines[1 : min(len(lines), 6)]
    for separator in (";", "\t"):
        if all(separator in line for line in sample):
            return separator, any("," in line for line in sample)
    if all("," in line for line in sample):
        # "0,1 0,2" is two numbers with decimal commas; "0.1, 0.2" is two with points.
        blanks = all(re.search(r"\d,\d+\s+-?\d+,\d", line) for line in sample)
        return (None, True) if blanks else (",", False)
    return None, False


def _split(line: str, separator: str | None) -> list[str]:
    cells = line.split(separator)
    # A separator at the end of each line makes an empty last cell.
    return cells[:-1] if separator and len(cells) > 1 and not cells[-1].strip() else cells


def _are_numbers(cells: list[str], comma: bool) -> bool:
    """Return whether the cells of a row are numbers, as in a table without header."""
    text = [(cell.replace(",", ".") if comma else cell).strip() for cell in cells]
    try:
        return len([float(cell) for cell in text if cell]) > 0
    except ValueError:
        return False


def _parse_numbers(lines: list[str], separator: str | None, comma: bool) -> NDArray[np.float64]:
    """Return rows of numbers, or raise an ECGFileError that names the first row that is none."""
    import pandas as pd

    text = "\n".join(line.rstrip().removesuffix(separator or "\n") for line in lines)
    try:
        table = pd.read_csv(
            io.StringIO(text),
            header=None,
            sep=separator or r"\s+",
            decimal="," if comma else ".",
            skipinitialspace=True,
            na_values=["-", "--", "NaN", "nan", "null", "None"],
            dtype=np.float64,
            engine="c",
        )
    except ValueError as error:  # pandas' ParserError is one
        raise ECGFileError(f"it is no table of numbers ({' '.join(str(error).split())[:120]})") from error
    return table.to_numpy()


def _drop_times(
    values: NDArray[np.float64], names: list[str], sampling_rate: float
) -> tuple[NDArray[np.float64], list[str], tuple[str, ...]]:
    """Return a table without columns of times and counters, and what was left out; times must be those of the rate."""
    kept, notes = [], []
    for position, name in enumerate(names):
        is_lead = find_lead(name) is not None
        if not is_lead and _TIME.match(name):
            _check_times(values[:, position], name, sampling_rate)
            notes.append(f"Left out a column of times, {name[:40]}.")
        elif not is_lead and _COUNTER.match(name):
            notes.append(f"Left out a column of numbers of samples, {name[:40] or 'without a name'}.")
        else:
            kept.append(position)
    return values[:, kept], [names[position] for position in kept], tuple(notes)


def _check_times(times: NDArray[np.float64], name: str, sampling_rate: float) -> None:
    """Raise an ECGFileError if times, in s, ms or us, step as at another rate, in whichever of these units."""
    steps = np.diff(times[np.isfinite(times)])
    if not steps.size or (step := float(np.median(steps))) <= 0:
        return
    rates = [1 / step, 1e3 / step, 1e6 / step, 1e9 / step]
    # A column that counts samples is called time as well.
    if step != 1 and not any(abs(rate / sampling_rate - 1) < 0.02 for rate in rates):
        raise ECGFileError(
            f"its column {name[:40]} steps by {step:g}, which in no unit of time is "
            f"sampling_rate={sampling_rate:g}; check that"
        )


def read_mat_arrays(data: bytes) -> dict[str, NDArray[np.float64]]:
    """Return the arrays of real numbers in a MAT file.

    Written here because SciPy's reader ends the whole process on some damaged files (`tests/fuzz.py --target "read_ecg,
    MAT"` found it), which no caller can catch.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    dict of str to ndarray
        By the names of the variables; texts, cells, structures, sparse and complex arrays are left out.

    Raises
    ------
    ECGFileError
        If a variable is cut short, contradicts itself, or has more than 1 GiB unpacked.

    References
    ----------
    MathWorks, "MAT-File Format", R2023a: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
    """
    order = ">" if data[126:128] == b"MI" else "<"
    arrays: dict[str, NDArray[np.float64]] = {}
    left = _LARGEST
    for kind, content in _iterate_mat(data, _MAT_HEADER, order):
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(content, left)
            if unpacker.unconsumed_tail:
                raise ECGFileError("its variables have more than 1 GiB unpacked; no ECG has that")
            left -= len(unpacked)
            kind, content = next(_iterate_mat(unpacked, 0, order), _NO_ELEMENT)
        if kind == _MATRIX:
            arrays.update(_read_mat_matrix(content, order))
    return arrays


def _iterate_mat(data: bytes, position: int, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield kind and bytes of the elements that follow each other from `position` on."""
    while position + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, position)
        if kind >> 16:
            # A small element: its size stands with its kind, its data in the next four bytes.
            kind, size, start, end = kind & 0xFFFF, kind >> 16, position + 4, position + 8
        else:
            start = position + 8
            end = start + size if kind == _COMPRESSED else start + -(-size // 8) * 8
        if start + size > min(end, len(data)):
            raise ECGFileError("a variable in it is cut short; the file is damaged")
        yield kind, data[start : start + size]
        position = end


def _read_mat_matrix(data: bytes, order: str) -> dict[str, NDArray[np.float64]]:
    """Return the array of a variable by its name; nothing for one that is not of real numbers."""
    elements = _iterate_mat(data, 0, order)
    _, flags = next(elements, _NO_ELEMENT)
    if len(flags) < 4:
        raise ECGFileError("a variable in it does not say its kind; the file is damaged")
    (word,) = struct.unpack_from(f"{order}I", flags)
    if word & 0xFF not in _NUMERIC_CLASSES or word & _COMPLEX:
        return {}
    (_, sizes), (_, name), (kind, values) = (next(elements, _NO_ELEMENT) for _ in range(3))
    shape = tuple(int(size) for size in np.frombuffer(sizes, f"{order}i4"))
    if kind not in _MAT_TYPES or len(shape) < 2:
        raise ECGFileError("a variable in it has no values; the file is damaged")
    found = np.frombuffer(values, f"{order}{_MAT_TYPES[kind]}")
    if min(shape) < 0 or math.prod(shape) != found.size:
        raise ECGFileError(f"a variable in it has {found.size} values, but says {shape}; the file is damaged")
    return {name.decode("latin-1"): found.reshape(shape, order="F").astype(np.float64)}
