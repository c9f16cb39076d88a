"""One field of a good file, broken: what comes out, as a list that `test_broken_fields.py` tries.

A file `broken_*.py` for each family of formats has a list `ROWS` of these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Broken:
    """A row of the table.

    Attributes
    ----------
    format, what, how : str
        The format as in the first table of `docs/reading.md`, the field, and how it is broken.
    outcome : str
        What comes out, in the words of the document.
    write : callable
        Gets a folder, writes the file, and returns the path to read.
    check : callable or str
        Gets the record and asserts that it is right; a text is a pattern that the message of the error matches.
    reading : dict
        Further arguments of `read_ecg`.
    """

    format: str
    what: str
    how: str
    outcome: str
    write: Callable[[Path], Path]
    check: Callable[[Any], None] | str
    reading: dict[str, Any] = field(default_factory=dict)
