"""Tables of numbers as text: separators, decimal commas, names of leads, a column of times."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omi_estimators.readers._errors import ECGFileError
from omi_estimators.readers._leads import find_lead

_TIME = re.compile(r"^(t|time|times|timestamp|zeit|temps|tiempo)\b.*|^(t|time)[ _(\[].*", re.IGNORECASE)
_COUNTER = re.compile(r"^(|#|n|nr|no|samples?|index|idx|unnamed.*|sample[ _]*(number|index|nr|no))$", re.IGNORECASE)
_MOST_COLUMNS = 1000


@dataclass(frozen=True)
class Table:
    """What a table holds.

    Attributes
    ----------
    values : ndarray of shape (n_rows, n_columns)
        Numbers, NaN for empty cells, without a column of times.
    names : list of str or None
        The names of the columns; None without a header.
    notes : tuple of str
        What was left out.
    """

    values: NDArray[np.float64]
    names: list[str] | None
    notes: tuple[str, ...]


def parse_csv(data: bytes, sampling_rate: float) -> Table:
    """Return the numbers of a table.

    Parameters
    ----------
    data : bytes
        Text in UTF-8 or Latin-1; lines that begin with # are comments.
    sampling_rate : float
        Hz, against which a column of times is checked.

    Returns
    -------
    Table
        Columns as they stand, but for times and counters.

    Raises
    ------
    ECGFileError
        If it is no table of numbers, its rows differ in length, or its times are those of another rate.
    """
    text = _decode(data)
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
        return Table(values, None, ())
    if len(names) != values.shape[1]:
        raise ECGFileError(f"its first row has {len(names)} names, but there are {values.shape[1]} columns")
    return _drop_times(values, names, sampling_rate)


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Every sequence of bytes is Latin-1, and numbers are the same in both.
        return data.decode("latin-1")


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
    return all(not cell or _is_number(cell) for cell in text) and any(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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


def _drop_times(values: NDArray[np.float64], names: list[str], sampling_rate: float) -> Table:
    """Return the table without columns of times and counters; times must be those of the rate."""
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
    return Table(values[:, kept], [names[position] for position in kept], tuple(notes))


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
