"""The one error that bad files raise."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager


class ECGFileError(ValueError):
    """A file that cannot be read as a 12-lead ECG; the message names it, says why, and how to mend it.

    Examples
    --------
    >>> from omi_estimators.readers import ECGFileError, read_ecg
    >>> try:
    ...     read_ecg("there/is/no/such.xml")
    ... except ECGFileError as error:
    ...     print(error)
    such.xml: there is no such file. Check the path 'there/is/no/such.xml'.
    """


# What libraries raise on files cut short or scrambled. MemoryError is left out on purpose: running out of memory is no
# fault of the file.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@contextmanager
def naming_file(name: str) -> Iterator[None]:
    """Make whatever goes wrong with a file an ECGFileError that names it."""
    try:
        yield
    except ECGFileError as error:
        text = " ".join(str(error).split())
        raise ECGFileError(f"{name}: {text if text.endswith(('.', '!', '?')) else f'{text}.'}") from error
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200]
        raise ECGFileError(f"{name}: it is damaged, reading it ends in {type(error).__name__}: {reason}.") from error
