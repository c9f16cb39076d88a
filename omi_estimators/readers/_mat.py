"""MAT files of version 5 to 7: arrays of numbers by name, the rest passed over.

Written here because SciPy's reader ends the whole process on some damaged files (`tests/fuzz.py --target "read_ecg,
MAT"` found it), which no caller can catch.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omi_estimators.readers._errors import ECGFileError

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
# Numbers of the kinds of elements that hold values.
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double, single, and integers of all widths
_COMPLEX = 0x0800
_LARGEST = 2**30


@dataclass(frozen=True)
class Element:
    """A piece of a MAT file: what kind it is, and its bytes."""

    kind: int
    data: bytes


def read_arrays(data: bytes) -> dict[str, NDArray[np.float64]]:
    """Return the arrays of real numbers in a MAT file.

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
    for element in _iterate(data, _HEADER, order):
        if element.kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(element.data, left)
            if unpacker.unconsumed_tail:
                raise ECGFileError("its variables have more than 1 GiB unpacked; no ECG has that")
            left -= len(unpacked)
            element = next(_iterate(unpacked, 0, order), Element(0, b""))
        if element.kind == _MATRIX:
            arrays.update(_read_matrix(element.data, order))
    return arrays


def _iterate(data: bytes, position: int, order: str) -> Iterator[Element]:
    """Yield the elements that follow each other from `position` on."""
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
        yield Element(kind, data[start : start + size])
        position = end


def _read_matrix(data: bytes, order: str) -> dict[str, NDArray[np.float64]]:
    """Return the array of a variable by its name; nothing for one that is not of real numbers."""
    elements = _iterate(data, 0, order)
    flags = next(elements, Element(0, b""))
    if len(flags.data) < 4:
        raise ECGFileError("a variable in it does not say its kind; the file is damaged")
    (word,) = struct.unpack_from(f"{order}I", flags.data)
    if word & 0xFF not in _NUMERIC_CLASSES or word & _COMPLEX:
        return {}
    shape_element, name, values = (next(elements, Element(0, b"")) for _ in range(3))
    shape = tuple(int(size) for size in np.frombuffer(shape_element.data, f"{order}i4"))
    if values.kind not in _TYPES or len(shape) < 2:
        raise ECGFileError("a variable in it has no values; the file is damaged")
    found = np.frombuffer(values.data, f"{order}{_TYPES[values.kind]}")
    if min(shape) < 0 or math.prod(shape) != found.size:
        raise ECGFileError(f"a variable in it has {found.size} values, but says {shape}; the file is damaged")
    return {name.data.decode("latin-1"): found.reshape(shape, order="F").astype(np.float64)}
