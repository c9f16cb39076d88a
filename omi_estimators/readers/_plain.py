"""Plain numbers in NPY, NPZ, MAT and CSV files, which say neither rate nor unit."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators.leads import LEADS
from omi_estimators.readers._fields import choose_unit, decode_text, is_voltage
from omi_estimators.readers._leads import check_rate, find_lead, make_record, name_numbered
from omi_estimators.readers._record import DAMAGE, MOST_BYTES, ECGFileError, ECGRecord, Source, check_size

# How the array of an ECG is called where there are several, the PhysioNet challenges' name first.
_USUAL_NAMES = ("val", "signal", "ecg", "data", "x")
_TIME = re.compile(
    r"(t|time|times|timestamp|elapsed time|zeit|temps|tiempo)\b.{0,60}|(t|time)[ _(\[].{0,60}", re.IGNORECASE
)
_COUNTER = re.compile(r"(|#|n|nr|no|samples?|index|idx|unnamed.{0,60}|sample[ _]?(number|index|nr|no))", re.IGNORECASE)
# A unit behind the name of a column, in brackets or not.
_UNIT = re.compile(r"(.{1,60}?)\s{0,4}[\[(]\s{0,4}([^\[\]()]{1,16}?)\s{0,4}[\])]")
_GLUED_UNIT = re.compile(r"(.{1,60}?)[ _/,]{1,4}([mun\xb5\u03bc]V)", re.IGNORECASE)
# Lines that are no rows: empty ones, comments, and what tells Excel the separator.
_COMMENT = re.compile(r"\s*(?:#|$|sep=.?$)", re.IGNORECASE)
_CELLS = re.compile(r"[;,|\t]")
# What Excel writes into a cell without a value, in English and German.
_NO_VALUE = re.compile(r"#(?:N/A|NV|NUM!|ZAHL!|DIV/0!|VALUE!|WERT!|REF!|BEZUG!|NAME\?|NULL!)")
_QUOTED = " \t\"'"
_MOST_NAMES = 1000
_MOST_COLUMNS = 100_000
_LONGEST_NUMBER = 400
_SAMPLE_LINES, _SAMPLE_TIMES = 40, 10_000
_MOST_TABLE_BYTES = MOST_BYTES // 8
# NumPy reads no longer header of an array, and ZIP no longer list of members, without being asked.
_NPY_HEADER = 16_384
_MOST_MEMBERS = 1000
_NPZ_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Along each axis, of arrays that are no ECG: rates, ages, labels.
_MOST_SMALL = 9
_MAT_HEADER, _MAT_HEAD = 128, 4096
_MOST_AXES = 32
_MATRIX, _COMPRESSED = 14, 15
_STRUCTURE, _MOST_LEVELS = 2, 3
# Numbers of the kinds of elements of a MAT file that hold values.
_MAT_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double, single, and integers of all widths
_COMPLEX = 0x0800
_NO_ELEMENT = (0, memoryview(b""))
# Name, unit as the file has it, and values; no values where it is none of the twelve leads.
_Column = tuple[str, str | None, NDArray[Any]]
_Elements = Iterator[tuple[int, memoryview]]


def read_plain(source: Source, name: str) -> ECGRecord:
    """Read an array of leads, with rate and unit from the caller.

    Parameters
    ----------
    source : Source
        The file; `sampling_rate` is needed, `unit` too but for tables whose columns state theirs; `leads` may be.
    name : {"npy", "npz", "mat", "csv"}
        Its format; of MAT files versions 4 to 7.

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
    what = f"it is a file of plain numbers ({name.upper()}), which says neither rate nor unit"
    unsaid = ECGFileError(f"{what}; give sampling_rate= in Hz and unit='mV' or 'uV'")
    if source.sampling_rate is None or (source.unit is None and name != "csv"):
        raise unsaid
    rate = float(source.sampling_rate)
    if name == "csv":
        columns = _read_csv(source, rate)
    elif name == "npy":
        columns = _orient(_read_npy(io.BytesIO(source.data)), source.leads)
    else:
        columns = _orient((_read_npz if name == "npz" else _read_mat)(source.data), source.leads)
    names = name_numbered([column[0] for column in columns], source.notes)
    check_rate(rate)
    n_samples = max(len(values) for _, _, values in columns)
    first, last = source.choose_part(n_samples, rate)
    named = []
    for lead, (_, stated, values) in zip(names, columns, strict=True):
        row = np.zeros(0)
        if find_lead(lead) is not None:
            if stated is None and source.unit is None:
                raise unsaid
            with np.errstate(over="ignore"):
                row = values[first:last].astype(np.float64) * choose_unit(stated, lead, source)
        named.append((lead, row))
    return make_record(source, named, rate, name.upper(), total_duration=n_samples / rate)


def _read_npy_header(head: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and type of the values of an .npy file, by its first bytes."""
    version = np.lib.format.read_magic(head)
    if version not in ((1, 0), (2, 0)):
        raise ECGFileError(f"it is an .npy file of version {version}, which holds no plain numbers")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read_header(head)
    except (SyntaxError, RecursionError, tokenize.TokenError) as error:  # NumPy reads it as Python's literals
        raise ECGFileError(f"its header is not that of an .npy file ({error}); it is damaged") from error
    if dtype.hasobject or dtype.kind not in "iuf":
        raise ECGFileError(f"it holds values of type {dtype}, not numbers")
    if min(shape, default=0) < 0:
        raise ECGFileError(f"its header says a shape of {shape}; it is damaged")
    return shape, fortran, dtype


def _read_npy(file: IO[bytes]) -> NDArray[Any]:
    """Return the array of an .npy file, which must be as long as its header says; no more is unpacked."""
    head = io.BytesIO(file.read(_NPY_HEADER))
    shape, fortran, dtype = _read_npy_header(head)
    n_bytes = math.prod(shape) * dtype.itemsize
    check_size(max(n_bytes, 8 * math.prod(shape)), "its array")
    values = head.read(n_bytes)
    values += file.read(n_bytes - len(values))
    if len(values) < n_bytes:
        raise ECGFileError(f"its header says {n_bytes} bytes of values, but {len(values)} follow; it is cut")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if fortran else "C")


def _read_npz(data: bytes) -> NDArray[Any]:
    """Return the array of an .npz file that is the ECG."""
    if data.count(b"PK\x01\x02") > _MOST_MEMBERS:
        raise ECGFileError(f"it is a zip archive of more than {_MOST_MEMBERS} files; save the ECG alone")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            packed = [info for info in archive.infolist() if info.compress_type in _NPZ_PACKED]
            members = {info.filename[:-4]: info for info in packed if info.filename.endswith(".npy")}
            if not members:
                raise ECGFileError("it is a zip archive without arrays of NumPy; unpack it, and give an ECG in it")
            tables = [name for name, info in members.items() if _is_table(archive, info)]
            with archive.open(members[_choose_name(tables or list(members))]) as file:
                return _read_npy(file)
    except zipfile.BadZipFile as error:
        raise ECGFileError(f"it is damaged ({error}); copy or save it again") from error


def _is_table(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Return whether a member of an archive is an array of numbers of two or three dimensions, by its header."""
    with suppress(*DAMAGE, zipfile.BadZipFile), archive.open(info) as member:
        shape, *_ = _read_npy_header(io.BytesIO(member.read(_NPY_HEADER)))
        return len(shape) in (2, 3) and max(shape) > _MOST_SMALL
    return False


def _choose_name(names: Sequence[str]) -> str:
    """Return the one name, or the one that an ECG usually has."""
    usual = [[name for name in names if name.rpartition(".")[2].lower() == each] for each in _USUAL_NAMES]
    for found in (names, *usual):
        if len(found) == 1:
            return found[0]
    raise ECGFileError(f"it holds several arrays ({', '.join(names[:10])}); save the ECG alone, or call it signal")


def _orient(values: NDArray[Any], leads: Sequence[str] | None) -> list[_Column]:
    """Return the leads of an array, which are its rows or its columns; it may come as the first of one."""
    shape = values.shape
    if values.ndim == 3 and 1 in (shape[0], shape[2]):
        values = values[0] if shape[0] == 1 else values[:, :, 0]
    if values.ndim == 3:
        raise ECGFileError(f"it holds an array of shape {shape}, {shape[0]} records; save one in each file")
    if values.ndim != 2 or 0 in shape:
        raise ECGFileError(f"it holds an array of shape {shape}; an ECG has (n_leads, n_samples)")
    names = LEADS if leads is None else leads
    fits = [axis for axis in (0, 1) if values.shape[axis] == len(names)]
    if len(fits) == 2:
        raise ECGFileError(f"it holds an array of shape {shape}; which axis is the leads' cannot be told")
    if not fits:
        what = f"the {len(names)} leads {', '.join(names)}"
        raise ECGFileError(f"it holds an array of shape {shape}, and neither axis is {what}; give leads= for each")
    return [(name, None, row) for name, row in zip(names, values if fits == [0] else values.T, strict=True)]


def _read_csv(source: Source, sampling_rate: float) -> list[_Column]:
    """Return the columns of a table, but for those of times and counters.

    Parameters
    ----------
    source : Source
        Text in UTF-8, UTF-16 or Latin-1; lines that begin with # are comments. Its `leads` count for a table with
        names as well.
    sampling_rate : float
        Hz, against which a column of times is checked.

    Returns
    -------
    list of (str, str or None, ndarray of shape (n_samples,))
        Name, unit as the header has it, and values, NaN for empty cells; none of columns that are no lead.

    Raises
    ------
    ECGFileError
        If it is no table of numbers, its rows differ in length, or its times are those of another rate.
    """
    if len(source.data) > _MOST_TABLE_BYTES:
        most = f"{len(source.data) >> 20} MiB, and at most {_MOST_TABLE_BYTES >> 20} are read"
        raise ECGFileError(f"it is a table of {most}; save a part of it, or save it as .npy")
    text = _NO_VALUE.sub("nan", decode_text(source.data).replace("\N{MINUS SIGN}", "-"))
    found = (line for line in re.finditer(r"[^\r\n]+", text) if not _COMMENT.match(line[0]))
    lines = list(itertools.islice(found, _SAMPLE_LINES))
    # The names of the leads stand in the first line that has two of them.
    n_before = next((number for number, line in enumerate(lines) if _names_leads(line[0])), 0)
    source.notes.extend([f"Left out {n_before} lines before the names of the leads."] if n_before else [])
    lines = lines[n_before:]
    separator, comma = _find_separator([line[0] for line in lines[1:6]])
    if max((line[0].count(separator or " ") for line in lines), default=0) >= _MOST_COLUMNS:
        raise ECGFileError("it has rows of more cells than any ECG; it is no table of one")
    rows = [_split(line[0], separator) for line in lines]
    names, units, n_header = _read_header(rows, comma) if len(rows) > 1 else (None, [], 0)
    if len(rows) < max(2, n_header + 1):
        raise ECGFileError("it is a text without rows of numbers")
    n_columns = len(rows[n_header])
    if len(names or ()) > _MOST_NAMES:
        raise ECGFileError(f"it has {n_columns} columns; an ECG has one for each lead")
    expected = len(names if names is not None else LEADS if source.leads is None else source.leads)
    # A separator at the end of each line makes an empty last cell.
    n_cells = n_columns - (n_columns == expected + 1 and not any(row[-1].strip() for row in rows[n_header:]))
    table = _Table(text[lines[n_header].start() :], separator, comma, n_columns)
    if names is None:
        return _orient(table.parse(list(range(n_cells))), source.leads)
    if len(names) == n_cells - 1 and _counts_rows(rows[n_header:]):
        # As R writes a table: the names of the rows have none.
        names, units = ["", *names], [None, *units]
    if len(names) != n_cells:
        raise ECGFileError(f"its first row has {len(names)} names, but there are {n_columns} columns")
    kept = _drop_times(table, names, sampling_rate, source.notes)
    stated = [names[position] for position in kept]
    leads = stated if source.leads is None else list(source.leads)
    if len(leads) != len(kept):
        raise ECGFileError(f"it has {len(kept)} columns of signals, but leads= has {len(leads)} names")
    wrong = [pair for pair in zip(stated, leads, strict=True) if find_lead(pair[0]) != find_lead(pair[1])]
    if wrong and all(find_lead(name) and not name.isdecimal() for name in stated):
        raise ECGFileError(f"it has a column {wrong[0][0]}, but leads= says {wrong[0][1]}; leave leads= out")
    renamed = name_numbered(leads, [])
    wanted = [position for position, name in zip(kept, renamed, strict=True) if find_lead(name) is not None]
    if not wanted:
        said = ", ".join(name[:40] for name in leads[:15])
        raise ECGFileError(f"none of its columns is one of the twelve leads: {said}; give leads=")
    values = dict(zip(wanted, table.parse(wanted).T, strict=True))
    return [(name, units[at], values.get(at, np.zeros(0))) for name, at in zip(leads, kept, strict=True)]


def _read_header(rows: list[list[str]], comma: bool) -> tuple[list[str] | None, list[str | None], int]:
    """Return names and units in the first row, None where it has numbers of samples, and how many rows they take."""
    first, second = (_to_numbers(row, comma) for row in rows[:2])
    cells = [cell.strip(_QUOTED) for cell in rows[0]]
    if first is not None:
        # Names that are but numbers: 0 to 11, or 1 to 12, perhaps behind an empty one above a column of counters.
        counted = first[1:] if np.isnan(first[0]) else first
        n = len(counted)
        is_whole = second is not None and all(value == round(value) for value in second if np.isfinite(value))
        if counted not in ([*range(n)], [*range(1, n + 1)]) or (n < 4 and is_whole):
            return None, [], 0
        cells = [f"{number:g}".replace("nan", "") for number in first]
    if len(cells) > 1 and not cells[-1]:
        del cells[-1]
    names, units = map(list, zip(*map(_split_unit, cells), strict=True))
    # Some tables have the units in a row of their own, in brackets or not.
    below = [cell.strip(f"{_QUOTED}[]()") or None for cell in rows[1][: len(cells)]]
    are_words = not any(_to_numbers([cell], comma) for cell in rows[1])
    if len(rows) > 2 and any(below) and are_words and _to_numbers(rows[2], comma) is not None:
        return names, [*below, *[None] * (len(cells) - len(below))], 2
    return names, units, 1


def _names_leads(line: str) -> bool:
    """Return whether two cells of a line, or more, are names of leads."""
    cells = [cell.strip(_QUOTED) for cell in _CELLS.split(line[:10_000])]
    return sum(_to_numbers([cell], True) is None and bool(find_lead(_split_unit(cell)[0])) for cell in cells) > 1


def _counts_rows(rows: list[list[str]]) -> bool:
    """Return whether the first cells of rows are 0, 1, 2 and so on, or 1, 2, 3."""
    numbers = [row[0].strip(_QUOTED) for row in rows]
    return any(numbers == [str(first + number) for number in range(len(rows))] for first in (0, 1))


def _split_unit(name: str) -> tuple[str, str | None]:
    """Return the name of a column without its unit, as in "I [mV]", "aVR (uV)" and "V1_uV", and the unit."""
    found = _UNIT.fullmatch(name) or _GLUED_UNIT.fullmatch(name)
    return (found[1], found[2]) if found is not None and ("[" in name or is_voltage(found[2])) else (name, None)


def _find_separator(lines: list[str]) -> tuple[str | None, bool]:
    """Return what parts the cells (None: blanks), and whether the decimal sign is a comma."""
    for separator in (";", "\t", "|"):
        if all(separator in line for line in lines):
            return separator, any("," in line for line in lines)
    if not all("," in line for line in lines):
        return None, False
    # "0,1 0,2" is two numbers with decimal commas; in quotes there may be commas within numbers.
    if all(re.search(r"\d,\d{1,20}\s{1,20}-?\d{1,20},\d", line) for line in lines):
        return None, True
    return ",", any("," in cell for line in lines for cell in _split(line, ","))


def _split(line: str, separator: str | None) -> list[str]:
    if separator is not None and '"' in line and len(line) < _MOST_NAMES * 100:
        with suppress(csv.Error, StopIteration):
            return next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    return line.split(separator)


def _to_numbers(cells: list[str], comma: bool) -> list[float] | None:
    """Return the cells of a row as numbers, NaN for empty ones; None if one is another text, or all are empty."""
    text = [(cell.replace(",", ".") if comma else cell).strip()[:_LONGEST_NUMBER] for cell in cells]
    try:
        numbers = [float(cell or "nan") for cell in text]
    except ValueError:
        return None
    return numbers if any(text) else None


@dataclass(frozen=True)
class _Table:
    """Rows of cells as text."""

    text: str
    separator: str | None
    comma: bool
    n_columns: int

    def parse(self, positions: list[int], n_rows: int | None = None) -> NDArray[np.float64]:
        """Return columns as numbers, of shape (n_rows, len(positions)); an ECGFileError says which row is none."""
        import pandas as pd

        try:
            table = pd.read_csv(
                io.BytesIO(self.text.encode()),
                header=None,
                usecols=positions,
                nrows=n_rows,
                sep=self.separator or r"\s+",
                decimal="," if self.comma else ".",
                comment="#",
                skipinitialspace=True,
                na_values=["-", "--", "NaN", "nan", "null", "None"],
                dtype=np.float64,
                engine="c",
            )
        except ValueError as error:  # pandas' ParserError is one
            raise ECGFileError(f"it is no table of numbers ({' '.join(str(error).split())[:120]})") from error
        expected = len(table) * (self.n_columns - 1)
        is_plain = n_rows is None and self.separator is not None and '"' not in self.text and "#" not in self.text
        if is_plain and self.text.count(self.separator or "") != expected:
            raise ECGFileError(f"some of its rows have not {self.n_columns} cells; it is cut or damaged")
        return table[positions].to_numpy()


def _drop_times(table: _Table, names: list[str], sampling_rate: float, notes: list[str]) -> list[int]:
    """Return which columns are no times and no counters, and note the others; times must be those of the rate."""
    kept = []
    for position, name in enumerate(names):
        if find_lead(name) is None and _TIME.fullmatch(name):
            try:
                times = table.parse([position], _SAMPLE_TIMES)[:, 0]
            except ECGFileError:
                # Such as 10:00:00.002, of which nothing is needed.
                notes.append(f"Left out a column of times that are no numbers, {name[:40]}.")
            else:
                notes.append(f"Left out a column of times, {name[:40]}.")
                _check_times(times, name, sampling_rate)
        elif find_lead(name) is None and _COUNTER.fullmatch(name):
            notes.append(f"Left out a column of numbers of samples, {name[:40] or 'without a name'}.")
        else:
            kept.append(position)
    return kept


def _check_times(times: NDArray[np.float64], name: str, sampling_rate: float) -> None:
    """Raise an ECGFileError if times, in s, ms, us or ns, step as at another rate, in whichever of these units."""
    steps = np.diff(times[np.isfinite(times)])
    step = float(np.median(steps)) if steps.size else 0.0
    # A column that counts samples is called time as well.
    if step > 0 and step != 1 and all(abs(unit / step / sampling_rate - 1) >= 0.02 for unit in (1, 1e3, 1e6, 1e9)):
        what = f"steps by {step:g}, which in no unit of time is sampling_rate={sampling_rate:g}"
        raise ECGFileError(f"its column {name[:40]} {what}; check that")


def _read_mat(data: bytes) -> NDArray[Any]:
    """Return the array of a MAT file that is the ECG."""
    found = _read_mat_4(data) if is_mat_4(data[:_MAT_HEADER]) else _read_mat_5(data)
    arrays = {name: array for name, array in found.items() if array.ndim <= 3 and max(array.shape) > _MOST_SMALL}
    # What is in structures counts where there is nothing beside them.
    arrays = {name: array for name, array in arrays.items() if "." not in name} or arrays
    if not arrays:
        raise ECGFileError("it is a MAT file without an array of numbers of two dimensions")
    return arrays[_choose_name(list(arrays))]


def is_mat_4(head: bytes) -> bool:
    """Return whether a file begins as a MAT file of version 4 does: with kind, sizes and name of a variable."""
    if len(head) < 21:
        return False
    kind, n_rows, n_columns, imaginary, length = struct.unpack_from("<5i", head)
    is_known = kind in range(0, 60, 10) and imaginary == 0 and n_rows > 0 and n_columns > 0 and 1 < length <= 64
    return is_known and head[20 : 19 + length].isascii() and head[20:21].isalpha()


def _read_mat_4(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the matrices of a MAT file of version 4, which SciPy reads in Python."""
    from scipy.io import loadmat

    found = loadmat(io.BytesIO(data)).items()
    return {name: array for name, array in found if isinstance(array, np.ndarray) and array.dtype.kind in "iuf"}


def _read_mat_5(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of real numbers in a MAT file of versions 5 to 7, as they are stored.

    Written here because SciPy's reader ends the whole process on some damaged files (`tests/fuzz.py --target "read_ecg,
    MAT"` found it), which no caller can catch.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    dict of str to ndarray
        By the names of the variables, those in structures by `name.field`; texts, cells, arrays of structures,
        sparse and complex arrays are left out.

    Raises
    ------
    ECGFileError
        If a variable is cut short, contradicts itself, or all have more than 1 GiB unpacked.

    References
    ----------
    MathWorks, "MAT-File Format", R2023a: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
    """
    order = ">" if data[126:128] == b"MI" else "<"
    arrays: dict[str, NDArray[Any]] = {}
    n_bytes = 0
    for kind, content in _iterate_elements(memoryview(data), _MAT_HEADER, order):
        if kind == _COMPRESSED:
            # What it will be is known by its first bytes, and no more is unpacked.
            head = memoryview(zlib.decompressobj().decompress(content, _MAT_HEAD))
            what, shape = _read_matrix_head(_iterate_elements(head, 8, order), order)
            if what is None:
                continue
            kind, size = struct.unpack_from(f"{order}II", head)
            n_bytes += max(size, 8 * math.prod(shape))
            check_size(n_bytes, "its variables")
            content = memoryview(zlib.decompressobj().decompress(content, size + 8))[8:]
        if kind == _MATRIX:
            arrays |= _read_matrix(content, order)
    return arrays


def _iterate_elements(data: memoryview, position: int, order: str) -> _Elements:
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


def _read_matrix_head(elements: _Elements, order: str) -> tuple[str | None, tuple[int, ...]]:
    """Return whether a variable has "numbers", which are real, or is a "structure" (else None), and its shape."""
    _, flags = next(elements, _NO_ELEMENT)
    if len(flags) < 4:
        raise ECGFileError("a variable in it does not say its kind; the file is damaged")
    (word,) = struct.unpack_from(f"{order}I", flags)
    is_numbers = word & 0xFF in _NUMERIC_CLASSES and not word & _COMPLEX
    if not is_numbers and word & 0xFF != _STRUCTURE:
        return None, ()
    _, sizes = next(elements, _NO_ELEMENT)
    shape = tuple(np.frombuffer(sizes[: 4 * _MOST_AXES], f"{order}i4").tolist())
    if len(shape) < 2 or min(shape) < 0 or len(sizes) > 4 * _MOST_AXES:
        raise ECGFileError(f"a variable in it has the shape {shape}; the file is damaged")
    return "numbers" if is_numbers else "structure", shape


def _read_matrix(data: memoryview, order: str, level: int = 0) -> dict[str, NDArray[Any]]:
    """Return the array of a variable by its name, those of a structure; nothing for one that is not of real numbers."""
    elements = _iterate_elements(data, 0, order)
    what, shape = _read_matrix_head(elements, order)
    if what is None:
        return {}
    (_, label), (kind, values) = (next(elements, _NO_ELEMENT) for _ in range(2))
    name = bytes(label[:64]).decode("latin-1")
    if what == "structure":
        # The width of the names of its fields, these, and the fields.
        width = int.from_bytes(values[:4], "little" if order == "<" else "big")
        _, fields = next(elements, _NO_ELEMENT)
        if math.prod(shape) != 1 or not 0 < width <= 64 or level == _MOST_LEVELS:
            return {}
        arrays: dict[str, NDArray[Any]] = {}
        for start, (_, content) in zip(range(0, len(fields), width), elements, strict=False):
            field = bytes(fields[start : start + width]).partition(b"\0")[0].decode("latin-1")
            inner = _read_matrix(content, order, level + 1)
            arrays |= {f"{name}.{field}{key}": array for key, array in inner.items()}
        return arrays
    if kind not in _MAT_TYPES:
        raise ECGFileError("a variable in it has no values; the file is damaged")
    found = np.frombuffer(values, f"{order}{_MAT_TYPES[kind]}")
    if math.prod(shape) != found.size:
        raise ECGFileError(f"a variable in it has {found.size} values, but says {shape}; the file is damaged")
    return {name: found.reshape(shape, order="F")}
