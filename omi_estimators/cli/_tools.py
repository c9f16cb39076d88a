"""What the commands share: how they speak and refuse, tables of labels, and the first measuring of all records."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omi_estimators._text import clean_text

if TYPE_CHECKING:
    import pandas as pd

    from omi_estimators.preprocessing import Usable

BAD_INPUT = 2
INTERRUPTED = 130
# Parts of a WFDB record beside its header.
_BESIDE_HEADERS = {".dat", ".atr", ".xws"}


def say(text: str) -> None:
    """Print to stderr: what is not the result."""
    print("\n".join(clean_text(line, 10_000) for line in text.split("\n")), file=sys.stderr)


def refuse(error: Exception) -> int:
    """Say in one line why input is bad; return the exit status."""
    say(f"omi-estimators: error: {' '.join(str(error).split())}")
    return BAD_INPUT


def positive(text: str) -> int:
    """Return an argument as a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1; got {text!r}")
    return int(text)


def check_jobs_and_seed(args: argparse.Namespace) -> None:
    """Raise a ValueError for a number of processes or a seed that is none."""
    if args.jobs == 0:
        raise ValueError("--jobs must be a number of processes, or -1 for all cores; got 0.")
    if getattr(args, "seed", 0) < 0:
        raise ValueError(f"--seed must be at least 0; got {args.seed}.")


def check_writable(path: Path, what: str, option: str) -> None:
    """Raise an OSError if `path` cannot be made: the nearest folder that is there is none, or not to be written to."""
    folder = path.absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(f"The {what} cannot be written to {path}: {folder} is not a writable folder; choose {option}.")


def expand_files(given: Sequence[Path]) -> list[Path]:
    """Return the files, those of folders in order; of a WFDB record the header alone."""
    files: list[Path] = []
    for path in given:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        files += [f for f in inside if f.suffix not in _BESIDE_HEADERS or not f.with_suffix(".hea").is_file()]
    if not files:
        raise ValueError(f"There are no files in {', '.join(map(str, given))}.")
    return files


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


_CHUNK = 32  # records between two steps of the progress bar


def measure_records(X: Any, estimators: Collection[str], sampling_rate: float, *, n_jobs: int, cache: Path) -> Usable:
    """Fill the cache of beats and features, showing progress.

    Done once and in parallel, so that the folds' times are those of learning.

    Parameters
    ----------
    X : array of shape (n_records, 12, n_samples)
        ECGs in millivolts.
    estimators : collection of str
        Of `CANDIDATES`; they decide what is measured.
    sampling_rate : float
        Hz.
    n_jobs : int
        Processes.
    cache : Path
        Where to keep it.

    Returns
    -------
    Usable
        Which records have beats and features, and why the others have none.
    """
    from tqdm import tqdm

    from omi_estimators.pipelines import make_forest_pipeline, make_net_pipeline
    from omi_estimators.preprocessing import Usable, measure_steps

    # The steps that work on one record at a time; the regression's beats are those of the net.
    wanted = set(estimators)
    steps = {}
    if wanted & {"forest", "fusion"}:
        steps["features"] = make_forest_pipeline(sampling_rate, memory=str(cache), n_jobs=n_jobs)[:1]
    if wanted - {"forest", "prior"}:
        steps["beats"] = make_net_pipeline(sampling_rate, memory=str(cache), n_jobs=n_jobs)[:2]
    usable = Usable.from_reasons([""] * len(X))
    for what, measure in steps.items():
        fitted = measure.fit(X[:1]).steps
        reasons: list[str] = []
        with tqdm(total=len(X), desc=f"measuring {what}", unit="record", file=sys.stderr) as bar:
            for start in range(0, len(X), _CHUNK):
                found = measure_steps(fitted, X[start : start + _CHUNK]).usable
                reasons += found.reasons.tolist()
                bar.update(len(found.reasons))
        usable &= Usable.from_reasons(reasons)
    return usable
