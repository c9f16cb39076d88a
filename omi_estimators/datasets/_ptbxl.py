"""PTB-XL: fetched from PhysioNet, read from its published folder layout, and labelled by its statements."""

from __future__ import annotations

import ast
import logging
import os
import re
import warnings
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.utils import Bunch
from tqdm import tqdm

from omi_estimators._store import NewRows
from omi_estimators._text import is_silent
from omi_estimators._validation import naming_package
from omi_estimators.leads import LEADS
from omi_estimators.readers import ECGFileError, read_wfdb_leads

if TYPE_CHECKING:
    import pandas as pd

_URL = "https://physionet.org/files/ptb-xl/1.0.3/"
_SUMS = "SHA256SUMS.txt"
_TABLES = ("ptbxl_database.csv", "scp_statements.csv", "LICENSE.txt")
_LINE = re.compile(r"^([0-9a-fA-F]{64}) [ *]?(.+)$")
_TIMEOUT = 60  # seconds
_RETRIES = 2

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
"""Diagnostic superclasses: normal, myocardial infarction, ST/T change, conduction disturbance, hypertrophy."""

TASKS = {
    "mi_vs_norm": ("normal", "MI"),
    "mi_vs_rest": ("no MI", "MI"),
    "acute_mi_vs_rest": ("no acute MI", "acute MI"),
    "superclasses": SUPERCLASSES,
}
"""The class names of each task, class 0 first; of "superclasses" the columns."""

_STADIUMS = ("infarction_stadium1", "infarction_stadium2")
# Stages of infarction as German textbooks count these: I with ST elevation, II while it falls, III scarred.
_ACUTE = {"Stadium I", "Stadium I-II"}
_KNOWN = _ACUTE | {"Stadium II", "Stadium II-III", "Stadium III"}

_FILENAME_COLUMN = {100: "filename_lr", 500: "filename_hr"}
_DURATION = 10  # seconds; every PTB-XL record has it
_OVER_89 = 90.0

_DESCR = """\
PTB-XL, a large publicly available electrocardiography data set
================================================================

10 s, 12-lead ECGs recorded between 1989 and 1996, with cardiologists' SCP-ECG statements.
Task {task!r} at {sampling_rate} Hz: {n_records} records of {n_patients} patients, {n_positive} of them MI;
{n_skipped} damaged records were skipped.

The labels are myocardial infarction (MI), mostly old or undated. They are NOT occlusion
myocardial infarction (OMI): no angiogram stands behind them.

Wagner P. et al., PTB-XL, a large publicly available electrocardiography dataset. Scientific Data
7:154 (2020), doi:10.1038/s41597-020-0495-6. Licence of the data: CC BY 4.0.
"""


def load_ptbxl(
    data_dir: str | os.PathLike[str],
    task: str = "mi_vs_norm",
    *,
    sampling_rate: int = 500,
    min_likelihood: float = 0.0,
    n_jobs: int | None = None,
    on_error: str = "warn",
    mmap_path: str | os.PathLike[str] | None = None,
) -> Bunch:
    """Read PTB-XL from its folder: ECGs, MI labels, patients and official folds.

    The data are described in [1]_. The positive class is myocardial infarction (MI), mostly old or undated. It is
    **not** occlusion myocardial infarction (OMI), and no figure on it speaks for OMI.

    Parameters
    ----------
    data_dir : path-like
        The unpacked PTB-XL folder, with `ptbxl_database.csv`, `scp_statements.csv` and
        `records500/` or `records100/`.
    task : {"mi_vs_norm", "mi_vs_rest", "acute_mi_vs_rest", "superclasses"}, default="mi_vs_norm"
        - `"mi_vs_norm"`: MI against entirely normal ECGs; all other records are left out.
        - `"mi_vs_rest"`: MI against every other record.
        - `"acute_mi_vs_rest"`: MI whose stage is noted as I or I-II against records without MI and MI of a later
          stage. MI without a noted stage, the most of them, is left out.
        - `"superclasses"`: NORM, MI, STTC, CD and HYP as five columns of 0 and 1; records without a diagnostic
          statement are left out.
    sampling_rate : {500, 100}, default=500
        Which of the two published versions to read, in Hz.
    min_likelihood : float, default=0
        The least likelihood, in percent, at which a diagnostic statement counts; see Notes.
    n_jobs : int, optional
        Number of threads that read records; one if None.
    on_error : {"warn", "raise"}, default="warn"
        Damaged records (absent, truncated, of another rate or length) are skipped with one warning
        that names them, or end the reading with a ValueError at once.
    mmap_path : path-like, optional
        An .npy file to be written, of which `X` is then a memory map. The whole of PTB-XL at 500 Hz takes 5.2 GB.

    Returns
    -------
    Bunch
        With the attributes

        - `X` : ndarray of shape (n_records, 12, n_samples), float32 millivolts, leads in the order
          of `LEADS`; a lead that a record lacks is NaN.
        - `y` : int ndarray of shape (n_records,), 1 for MI; of shape (n_records, 5) for "superclasses".
        - `groups` : int ndarray of shape (n_records,), the patient of each record.
        - `age` : float ndarray of shape (n_records,), years; 90 stands for "over 89", which PTB-XL
          hides as 300; NaN where missing.
        - `sex` : float ndarray of shape (n_records,), 0 male, 1 female, NaN where missing.
        - `fold` : int ndarray of shape (n_records,), the official patient-disjoint fold, 1 to 10
          (9 and 10 are meant for validation and test).
        - `record_ids` : int ndarray of shape (n_records,), `ecg_id` of the database.
        - `target_names`, `leads`, `sampling_rate`, `DESCR`.
        - `skipped` : list of (record id, reason), and their number `n_skipped`.

    Raises
    ------
    FileNotFoundError
        If the folder, one of its two tables, or the folder of records at this rate is absent.
    ValueError
        If an argument is not one of those named, a table lacks columns or has unreadable rows, the
        records are of another rate, or a class has no record.
    ImportError
        If `wfdb` is not installed (the extra `io`).

    See Also
    --------
    fetch_ptbxl : Downloads the folder.
    omi_estimators.splits.make_splits : Checks a list of (train, test), such as the official folds make, for patients.

    Notes
    -----
    A record is MI if a statement of the diagnostic superclass MI has at least `min_likelihood`. It is
    normal if `NORM` has at least `min_likelihood` and no statement of any other superclass stands
    beside it: 'normal, with right bundle branch block' is not normal here. A record with an MI
    statement is therefore never normal.

    PTB-XL writes 0 for an unknown likelihood. At the default `min_likelihood=0` such statements
    count, as they do in the published benchmarks. With a larger value they do not, and a record whose
    MI statements all fall short is uncertain: it is left out of both classes, rather than called
    free of MI. So is, for "superclasses", every record with a statement that falls short.

    References
    ----------
    .. [1] Wagner P. et al., "PTB-XL, a large publicly available electrocardiography dataset",
       Scientific Data 7:154 (2020). doi:10.1038/s41597-020-0495-6

    Examples
    --------
    >>> from omi_estimators.datasets import load_ptbxl
    >>> load_ptbxl("no/such/folder")
    Traceback (most recent call last):
    FileNotFoundError: There is no folder 'no/such/folder'; data_dir must be the unpacked PTB-XL folder.
    >>> ptbxl = load_ptbxl("path/to/ptb-xl", task="mi_vs_norm")  # doctest: +SKIP
    >>> ptbxl.X.shape, ptbxl.y.mean()  # doctest: +SKIP
    """
    _check_arguments(task, sampling_rate, min_likelihood, on_error)
    folder = Path(data_dir)
    _check_folder(folder, sampling_rate)
    table, y = _label_records(
        _read_database(folder, sampling_rate, task), _read_superclasses(folder), task, min_likelihood
    )
    _check_classes(y, task, "with these labels")
    paths = [folder / str(name) for name in table[_FILENAME_COLUMN[sampling_rate]]]
    _check_first_record(paths, sampling_rate)
    ids = table.index.to_numpy()
    with NewRows((len(paths), len(LEADS), _DURATION * sampling_rate), mmap_path) as rows:
        errors = _read_records(rows.array, paths, sampling_rate, n_jobs)
        skipped = [(int(ids[position]), str(error).rstrip(".")) for position, error in errors.items()]
        if errors:
            if on_error == "raise":
                record, reason = skipped[0]
                raise ValueError(f"Record {record} of PTB-XL is damaged: {reason}.") from next(iter(errors.values()))
            warnings.warn(_skip_message(skipped, len(ids)), UserWarning, stacklevel=2)
            kept = [position for position in range(len(ids)) if position not in errors]
            table, y = table.iloc[kept], y[kept]
            _check_classes(y, task, "after the damaged records were skipped")
            # Moved up in place: a copy could double gigabytes.
            for new, old in enumerate(kept):
                rows.array[new] = rows.array[old]
        X = rows.finish(len(y))
    groups = table["patient_id"].to_numpy().astype(np.int64)
    age = table["age"].to_numpy(dtype=np.float64, copy=True)
    age[age > 89] = _OVER_89
    return Bunch(
        X=X,
        y=y,
        groups=groups,
        age=age,
        sex=table["sex"].to_numpy(dtype=np.float64, copy=True),
        fold=table["strat_fold"].to_numpy().astype(np.int64),
        record_ids=table.index.to_numpy(),
        target_names=list(TASKS[task]),
        leads=LEADS,
        sampling_rate=sampling_rate,
        skipped=skipped,
        n_skipped=len(skipped),
        DESCR=_DESCR.format(
            task=task,
            sampling_rate=sampling_rate,
            n_records=len(y),
            n_patients=len(np.unique(groups)),
            n_positive=int((y[:, SUPERCLASSES.index("MI")] if y.ndim == 2 else y).sum()),
            n_skipped=len(skipped),
        ),
    )


def _check_arguments(task: str, sampling_rate: int, min_likelihood: float, on_error: str) -> None:
    """Raise a ValueError for an argument that is not one of those documented."""
    if task not in TASKS:
        raise ValueError(f"Unknown task {task!r}; the tasks are {', '.join(map(repr, TASKS))}.")
    _check_rate(sampling_rate)
    if not 0 <= min_likelihood <= 100:
        raise ValueError(f"min_likelihood is a percentage from 0 to 100; got {min_likelihood!r}.")
    if on_error not in ("warn", "raise"):
        raise ValueError(f"on_error must be 'warn' or 'raise'; got {on_error!r}.")


def _check_rate(sampling_rate: int) -> None:
    """Raise a ValueError for a rate at which PTB-XL is not published."""
    if sampling_rate not in _FILENAME_COLUMN:
        raise ValueError(
            f"PTB-XL is published at 100 and 500 Hz; got sampling_rate={sampling_rate!r}. "
            "Read one of these and resample it."
        )


def _check_folder(folder: Path, sampling_rate: int) -> None:
    """Raise a FileNotFoundError if `folder` is no PTB-XL folder with records at `sampling_rate`."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no folder {folder.as_posix()!r}; data_dir must be the unpacked PTB-XL folder."
        )
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{str(folder)!r} has no {name}, so it is not a PTB-XL folder; "
                "give the folder that holds ptbxl_database.csv."
            )
    records = folder / f"records{sampling_rate}"
    if not records.is_dir():
        other = 600 - sampling_rate
        hint = f"try sampling_rate={other}" if (folder / f"records{other}").is_dir() else "unpack the records as well"
        raise FileNotFoundError(
            f"{str(folder)!r} has no folder {records.name} with the {sampling_rate} Hz ECGs; {hint}."
        )


def _read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    """Return `columns` of the table at `path`, indexed by its first column, or name what is missing."""
    import pandas as pd

    try:
        table = pd.read_csv(path, index_col=0)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' ParserError and EmptyDataError are ValueErrors
        raise ValueError(f"{path.name} cannot be read as a CSV table ({error}); fetch it again.") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(
            f"{path.name} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            "it is not the table that PTB-XL publishes. Fetch it again."
        )
    return table[columns]


def _read_database(folder: Path, sampling_rate: int, task: str) -> pd.DataFrame:
    """Return the table of records, with `scp_codes` parsed into dictionaries."""
    import pandas as pd

    columns = ["patient_id", "age", "sex", "scp_codes", "strat_fold", _FILENAME_COLUMN[sampling_rate]]
    if task == "acute_mi_vs_rest":
        columns += _STADIUMS
    table = _read_csv(folder / "ptbxl_database.csv", columns)
    if table.empty:
        raise ValueError("ptbxl_database.csv names no record; fetch it again.")
    for column in ("patient_id", "age", "sex", "strat_fold"):
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise ValueError(f"ptbxl_database.csv has a {column} that is not a number; fetch the table again.")
    for column in ("patient_id", "strat_fold"):
        if table[column].isna().any():
            record = table.index[table[column].isna()][0]
            raise ValueError(f"ptbxl_database.csv has no {column} for record {record}; fetch the table again.")
    codes = [_parse_codes(record, text) for record, text in table["scp_codes"].items()]
    return table.assign(scp_codes=pd.Series(codes, index=table.index, dtype=object))


def _read_superclasses(folder: Path) -> dict[str, str]:
    """Return the diagnostic superclass of every diagnostic SCP statement."""
    table = _read_csv(folder / "scp_statements.csv", ["diagnostic_class"])
    return {str(code): str(name) for code, name in table["diagnostic_class"].dropna().items()}


def _check_first_record(paths: list[Path], sampling_rate: int) -> None:
    """Raise a ValueError if the first readable record has another rate than the one asked for."""
    for path in paths:
        try:
            _, rate = read_wfdb_leads(path)
        except ECGFileError:
            continue  # _read_records names this record and its reason
        if rate != sampling_rate:
            raise ValueError(
                f"The header of {path.name} says {rate:g} Hz, but sampling_rate={sampling_rate} was asked for; "
                f"records{sampling_rate} does not hold what its name says. Unpack PTB-XL again."
            )
        return


def _read_records(
    X: NDArray[np.float32], paths: list[Path], sampling_rate: int, n_jobs: int | None
) -> dict[int, ECGFileError]:
    """Fill `X` with all records, and return what was wrong with damaged ones, whose rows hold no meaning.

    Reading waits on the disk, and threads fill the one array in place, so nothing is copied between processes.
    """
    outcomes = Parallel(n_jobs=n_jobs, require="sharedmem")(
        delayed(_fill)(X[position], path, sampling_rate) for position, path in enumerate(paths)
    )
    return {position: error for position, error in enumerate(outcomes) if error is not None}


def _fill(row: NDArray[np.float32], path: Path, sampling_rate: int) -> ECGFileError | None:
    """Fill `row` from the record at `path`; return what was wrong with the record, if anything."""
    try:
        signal, rate = read_wfdb_leads(path)
    except ECGFileError as error:
        return error
    if rate != sampling_rate:
        return ECGFileError(f"its header says {rate:g} Hz, not {sampling_rate} Hz")
    if signal.shape[1] != row.shape[1]:
        return ECGFileError(f"it has {signal.shape[1]} samples, not {row.shape[1]}")
    if np.isnan(signal).all():
        return ECGFileError("it has no valid sample of any of the 12 leads")
    row[:] = signal
    return None


def _skip_message(skipped: list[tuple[int, str]], n_records: int, most: int = 10) -> str:
    """Return the warning that names the damaged records, at most `most` of them."""
    shown = "; ".join(f"{record} ({reason})" for record, reason in skipped[:most])
    more = f"; and {len(skipped) - most} more, see `skipped`" if len(skipped) > most else ""
    return f"Skipped {len(skipped)} of {n_records} PTB-XL records that could not be read: {shown}{more}."


def _parse_codes(record: Any, text: Any) -> dict[str, float]:
    """Return the SCP statements of one record as a dictionary from statement to likelihood."""
    try:
        return {str(code): float(likelihood) for code, likelihood in ast.literal_eval(text).items()}
    except (ValueError, SyntaxError, AttributeError, TypeError) as error:
        raise ValueError(
            f"ptbxl_database.csv has scp_codes {text!r} for record {record}; expected a dictionary such as "
            "{'NORM': 100.0}. Fetch the table again."
        ) from error


def _label_records(
    table: pd.DataFrame, superclass: dict[str, str], task: str, min_likelihood: float
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Return the rows of `table` that belong to a task, and their labels.

    Parameters
    ----------
    table : DataFrame
        The database, `scp_codes` as dictionaries.
    superclass : dict of str to str
        The superclass of each diagnostic statement.
    task : str
        Of `TASKS`.
    min_likelihood : float
        In percent.

    Returns
    -------
    table : DataFrame
        The rows that belong to the task.
    y : int ndarray of shape (n_rows,), or (n_rows, 5) for "superclasses"
        1 for the positive class.
    """
    found = [_superclass_likelihood(codes, superclass) for codes in table["scp_codes"]]
    if task == "superclasses":
        likelihood = np.array([[row.get(name, -1.0) for name in SUPERCLASSES] for row in found]).reshape(-1, 5)
        stated, counts = likelihood >= 0, likelihood >= min_likelihood
        # A statement that falls short is neither there nor absent.
        kept = stated.any(axis=1) & (counts | ~stated).all(axis=1)
        return table.iloc[np.flatnonzero(kept)], counts[kept].astype(np.int64)
    is_mi = np.array([row.get("MI", -1.0) >= min_likelihood for row in found], dtype=bool)
    no_mi = np.array(["MI" not in row for row in found], dtype=bool)
    if task == "mi_vs_norm":
        normal = [set(row) == {"NORM"} and row["NORM"] >= min_likelihood for row in found]
        positive, negative = is_mi, np.array(normal, dtype=bool)
    elif task == "mi_vs_rest":
        positive, negative = is_mi, no_mi
    else:
        stages = [set(map(str, row)) for row in table[list(_STADIUMS)].itertuples(index=False)]
        acute = np.array([bool(stage & _ACUTE) for stage in stages], dtype=bool)
        later = np.array([bool(stage & _KNOWN) and not stage & _ACUTE for stage in stages], dtype=bool)
        positive, negative = is_mi & acute, no_mi | (is_mi & later)
    kept = positive | negative
    return table.iloc[np.flatnonzero(kept)], positive[kept].astype(np.int64)


def _superclass_likelihood(codes: dict[str, float], superclass: dict[str, str]) -> dict[str, float]:
    """Return the largest likelihood of each diagnostic superclass among the statements `codes`."""
    found: dict[str, float] = {}
    for code, likelihood in codes.items():
        if code in superclass:
            found[superclass[code]] = max(likelihood, found.get(superclass[code], 0.0))
    return found


def _check_classes(y: NDArray[np.int64], task: str, when: str) -> None:
    """Raise a ValueError if a class of `task` has no record."""
    if y.ndim == 2:
        if not len(y):
            raise ValueError(f"Task {task!r}: {when} no record has a diagnostic statement. Lower min_likelihood.")
        return
    for label, name in enumerate(TASKS[task]):
        if not (y == label).any():
            raise ValueError(
                f"Task {task!r} needs records of both classes, but {when} none of the {len(y)} left is {name!r}. "
                "Lower min_likelihood, choose another task, or give more of PTB-XL."
            )


def fetch_ptbxl(
    data_home: str | os.PathLike[str] | None = None,
    *,
    sampling_rate: int = 500,
    n_jobs: int = 8,
    base_url: str = _URL,
    verbose: bool = True,
) -> Path:
    """Download PTB-XL 1.0.3 from PhysioNet; calls the network.

    The data are described in [1]_. Each file is checked by the SHA-256 that PhysioNet publishes beside it. What is
    there and right is not fetched again, so that an interrupted call goes on where it was. The records at 500 Hz take
    2.6 GB, those at 100 Hz 0.5.

    Parameters
    ----------
    data_home : path-like, optional
        Folder for the data; by default ``omi_estimators_data/ptb-xl-1.0.3`` in the home directory.
    sampling_rate : {500, 100}, default=500
        Which of the two published versions of the records.
    n_jobs : int, default=8
        Files fetched at the same time, by threads.
    base_url : str, optional
        Where the files are, ending in a slash; for a mirror.
    verbose : bool, default=True
        Whether to show a progress bar.

    Returns
    -------
    Path
        The folder, for `load_ptbxl`.

    Raises
    ------
    OSError
        If a file cannot be fetched or written; what is there stays there, and the same call goes on.
    ValueError
        If a file does not have its SHA-256, the list of sums is none, or `sampling_rate` is another.
    ImportError
        If `pooch` is not installed (the extra `io`).

    Notes
    -----
    The list of sums itself is trusted as it comes over HTTPS. Licence of the data: CC BY 4.0.

    References
    ----------
    .. [1] Wagner P. et al., "PTB-XL, a large publicly available electrocardiography dataset",
       Scientific Data 7:154 (2020). doi:10.1038/s41597-020-0495-6

    Examples
    --------
    >>> from omi_estimators.datasets import fetch_ptbxl, load_ptbxl
    >>> ptbxl = load_ptbxl(fetch_ptbxl(sampling_rate=100), sampling_rate=100)  # doctest: +SKIP
    """
    _check_rate(sampling_rate)
    with naming_package("pooch", "io", "Fetching data"):
        import pooch
    # It says of each of 40,000 files that it is fetched.
    pooch.get_logger().setLevel(logging.WARNING)
    folder = Path.home() / "omi_estimators_data" / "ptb-xl-1.0.3" if data_home is None else Path(data_home)
    base_url = base_url if base_url.endswith("/") else f"{base_url}/"
    folder.mkdir(parents=True, exist_ok=True)
    sums = _fetch_sums(pooch, base_url, folder)
    wanted = [name for name in sums if name in _TABLES or name.startswith(f"records{sampling_rate}/")]
    missing = [name for name in _TABLES[:2] if name not in wanted]
    if missing:
        raise ValueError(f"{base_url}{_SUMS} does not list {missing[0]}, so it is not that of PTB-XL; check base_url.")
    registry = {name: f"sha256:{sums[name]}" for name in wanted}
    store = pooch.create(path=folder, base_url=base_url, registry=registry, retry_if_failed=_RETRIES)
    downloader = pooch.HTTPDownloader(timeout=_TIMEOUT)
    # Made here, since two threads of pooch that make the same folder at once end in an error.
    for inner in {(folder / name).parent for name in wanted}:
        inner.mkdir(parents=True, exist_ok=True)
    tasks = (delayed(_fetch)(store, name, downloader) for name in wanted)
    fetched = Parallel(n_jobs=n_jobs, require="sharedmem", return_as="generator_unordered")(tasks)
    bar = {"desc": "PTB-XL", "unit": "file", "disable": is_silent(verbose)}
    for _ in tqdm(fetched, total=len(wanted), **bar):
        pass
    return folder


def _fetch_sums(pooch: Any, base_url: str, folder: Path) -> dict[str, str]:
    """Return the published SHA-256 of each file by its name, of which none may lead out of the folder."""
    path = folder / _SUMS
    try:
        pooch.HTTPDownloader(timeout=_TIMEOUT)(f"{base_url}{_SUMS}", str(path), None)
    except OSError as error:
        raise OSError(
            f"{base_url}{_SUMS} cannot be fetched: {_shorten(error)}. Check the network and base_url."
        ) from error
    sums = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        found = _LINE.match(line.strip())
        if found is None:
            continue
        name = found[2].removeprefix("./")
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
            raise ValueError(f"{base_url}{_SUMS} names a file outside its folder, {name!r}; nothing was fetched.")
        sums[name] = found[1].lower()
    if not sums:
        raise ValueError(f"{base_url}{_SUMS} holds no SHA-256 sums; check base_url.")
    return sums


def _fetch(store: Any, name: str, downloader: Any) -> None:
    """Fetch one file if it is absent or damaged; say which, if it cannot be."""
    try:
        store.fetch(name, downloader=downloader)
    except ValueError as error:
        raise ValueError(
            f"{name} from {store.base_url} does not have the SHA-256 {store.registry[name].partition(':')[2]} that is "
            "published for it, and was not kept. Call again; if it stays so, the server or the way to it is at fault."
        ) from error
    except OSError as error:
        raise OSError(
            f"{name} cannot be fetched from {store.base_url} to {store.path}: {_shorten(error)}. Call again to go on."
        ) from error


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
