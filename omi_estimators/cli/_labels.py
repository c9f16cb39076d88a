"""The table of labels that ``omi-estimators fit`` reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("file", "label", "patient")


def read_labels(path: Path, folder: Path) -> pd.DataFrame:
    """Read a table of labels.

    Parameters
    ----------
    path : Path
        A CSV file with the columns `file`, `label` (0 or 1) and perhaps `patient`.
    folder : Path
        What `file` is relative to.

    Returns
    -------
    DataFrame
        `file`, `label` as int, `patient` as str if it is there, and `path`.

    Raises
    ------
    OSError
        If the table or the folder is absent.
    ValueError
        If a column is missing, a cell empty, a label another than 0 and 1, a file named twice, or a class absent.
    """
    import pandas as pd

    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder.as_posix()!r}; --data must be that of the ECG files.")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path.name} cannot be read as a CSV table: {error}") from error
    table.columns = [str(column).strip().lower() for column in table.columns]
    missing = [column for column in _COLUMNS[:2] if column not in table]
    if missing:
        raise ValueError(
            f"{path.name} has the columns {', '.join(table.columns)}, but not {' and '.join(missing)}; it must have "
            "file, label (0 or 1) and should have patient."
        )
    table = table[[column for column in _COLUMNS if column in table]].apply(lambda cells: cells.str.strip())
    _check_cells(table, path.name)
    labels = table["label"].astype(float).astype(int)
    for label in (0, 1):
        if not (labels == label).any():
            raise ValueError(f"{path.name} has no record with label {label}; both classes are needed.")
    return table.assign(label=labels, path=[str(folder / name) for name in table["file"]])


def _check_cells(table: pd.DataFrame, name: str) -> None:
    """Raise a ValueError that names the first row with a bad cell; rows count from 2, as editors show them."""
    if table.empty:
        raise ValueError(f"{name} has no rows.")
    for column in table:
        empty = (table[column] == "").to_numpy()
        if empty.any():
            raise ValueError(f"{name} has an empty {column} in row {int(empty.argmax()) + 2}.")
    bad = ~table["label"].isin(["0", "1", "0.0", "1.0"]).to_numpy()
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"{name} has label {table['label'].iloc[row]!r} in row {row + 2}; a label is 0 or 1.")
    twice = table["file"].duplicated().to_numpy()
    if twice.any():
        raise ValueError(f"{name} names {table['file'].iloc[int(twice.argmax())]!r} twice; give each file one row.")
