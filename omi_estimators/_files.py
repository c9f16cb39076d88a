"""Files written so that there is never half of one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write a file beside its place, make sure that the disk has it, and rename it.

    Parameters
    ----------
    path : Path
        Where to. Until it is renamed, what is written lies beside it under ``.<stem>.*.part``.
    content : bytes
        The content.

    Raises
    ------
    OSError
        If the folder cannot be written to, or the disk is full. What was at `path` is then still there.
    """
    # Not by tempfile, whose files only their owner may read.
    beside = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.part")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Have the new name of a file reach the disk; only where a folder can be opened, so not on Windows."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
