"""Small files that would be large once they are unpacked."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np


def write_zeros_npz(path: Path, dtype: str, shape: tuple[int, ...], n_bytes: int) -> None:
    """Write an archive of zeros, which packs them a thousandfold."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w", force_zip64=True) as file,
    ):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
        file.write(header.getvalue())
        for _ in range(n_bytes >> 20):
            file.write(bytes(2**20))


def pack_zeros(name: str, shape: tuple[int, int], n_bytes: int) -> bytes:
    """Return a packed variable of zeros of one byte each."""
    head = struct.pack("<IIII", 6, 8, 9, 0) + struct.pack("<IIii", 5, 8, *shape)
    head += struct.pack("<II", 1, 8) + name.encode().ljust(8, b"\0") + struct.pack("<II", 2, n_bytes)
    packer = zlib.compressobj(9)
    packed = [packer.compress(struct.pack("<II", 14, len(head) + n_bytes) + head)]
    packed += [packer.compress(bytes(2**20)) for _ in range(n_bytes >> 20)]
    content = b"".join([*packed, packer.flush()])
    return struct.pack("<II", 15, len(content)) + content


def write_zeros_mat(path: Path, *variables: bytes) -> None:
    """Write a MAT file of what `pack_zeros` returns."""
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<HH", 0x100, 0x4D49) + b"".join(variables))
