"""The one error that bad files raise."""

from __future__ import annotations

import struct
import zlib


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
