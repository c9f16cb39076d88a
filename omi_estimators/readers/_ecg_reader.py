"""Many files into one array: `load_ecgs`, with a table of what was read, and `ECGReader` for pipelines."""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from tqdm import tqdm

from omi_estimators._compat import delayed, run_parallel
from omi_estimators._documentation import DocumentedMixin
from omi_estimators._store import NewRows
from omi_estimators._text import is_silent
from omi_estimators.leads import LEADS
from omi_estimators.preprocessing import Measured, Usable, resample_ecg
from omi_estimators.readers._read import read_ecg
from omi_estimators.readers._record import MEASUREMENTS, ECGFileError, ECGRecord

if TYPE_CHECKING:
    import pandas as pd

# Above this an array goes to disk.
_MOST_BYTES = 2**32
_NAMED = 10
_SEX = {"male": 0.0, "female": 1.0}
# What is known of a file that cannot be read.
_UNREAD = ECGRecord(signal=np.empty((len(LEADS), 0)), sampling_rate=np.nan, source_format="")
# A folder for arrays that were not given a place, removed when the process ends.
_temporary: list[tempfile.TemporaryDirectory[str]] = []


class UnreadableFileWarning(UserWarning):
    """Some files could not be read as ECGs."""


def load_ecgs(
    paths: Iterable[str | os.PathLike[str]],
    sampling_rate: float = 500,
    duration: float = 10,
    *,
    read_params: dict[str, Any] | None = None,
    n_jobs: int | None = None,
    on_error: str = "warn",
    mmap_path: str | os.PathLike[str] | None = None,
    verbose: bool = False,
) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Read ECG files of any kind into one array of one rate and length.

    Each record is resampled to `sampling_rate`. Of a longer one the first `duration` seconds are kept; a shorter one is
    filled up with NaN at its end, which the package's transformers take for missing samples.

    Parameters
    ----------
    paths : iterable of path-like
        Files, as `read_ecg` takes them.
    sampling_rate : float, default=500
        Of the result, in Hz.
    duration : float, default=10
        Length of the result in seconds.
    read_params : dict, optional
        Further arguments of `read_ecg`, such as ``{"sampling_rate": 250, "unit": "uV"}`` for plain numbers.
    n_jobs : int, optional
        Processes that read, in joblib's meaning; one if None.
    on_error : {"warn", "raise", "keep"}, default="warn"
        A file that cannot be read is left out, with one warning that names such files; or ends the reading with its
        error; or is a row of NaN, so that rows stand beside `paths`, with the warning.
    mmap_path : path-like, optional
        An .npy file to be written, of which `X` is a memory map; it is there once it is whole. An array above 4 GiB is
        one anyway: without this argument in a temporary folder, which is removed when the process ends.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    X : ndarray or memmap of shape (n_records, 12, n_samples)
        Float32 millivolts, leads in the order of `LEADS`.
    table : DataFrame with n_records rows
        Row for row: `path`, `source_format`, `file_sampling_rate` (Hz) and `file_duration` (s) as in the file,
        `missing_duration` (s filled with NaN), `age` (years), `sex` (0 male, 1 female), `patient_id`,
        `recording_time`, the device's measurements (`device_heart_rate`, …), `derived_leads`, `missing_leads`,
        `limb_leads` (what is odd about them, in words), `statements` of the device or of a reader, `notes` and
        `error`, which is empty but with ``on_error="keep"``. ``table.attrs["skipped"]`` is the list of (path, reason)
        of all files that could not be read, ``table.attrs["sampling_rate"]`` the rate of `X`.

    Raises
    ------
    ECGFileError
        With ``on_error="raise"``, for the first file that cannot be read; with "warn", if none can.
    ValueError
        If `paths` is empty or one string, or another argument is out of range.

    Examples
    --------
    >>> from omi_estimators.readers import load_ecgs
    >>> X, table = load_ecgs(["a.xml", "b.hea"], sampling_rate=500, n_jobs=2)  # doctest: +SKIP
    >>> X.shape, table["age"].median()  # doctest: +SKIP
    """
    X, table = _load(paths, sampling_rate, duration, read_params, n_jobs, on_error, mmap_path, verbose)
    _warn_unreadable(table)
    return X, table


def _load(
    paths: Iterable[str | os.PathLike[str]],
    sampling_rate: float,
    duration: float,
    read_params: dict[str, Any] | None,
    n_jobs: int | None,
    on_error: str,
    mmap_path: str | os.PathLike[str] | None,
    verbose: bool,
) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Return what `load_ecgs` does, without a warning."""
    files = _check_arguments(paths, sampling_rate, duration, on_error)
    n_samples = max(1, round(duration * sampling_rate))
    rows: list[dict[str, Any]] = []
    skipped: list[tuple[str, str]] = []
    # A little more than is kept, so that the end of what is kept is not the end of what is resampled.
    params = {"duration": duration + 1.0, **(read_params or {})}
    # A process that was started before keeps the working directory of that time.
    tasks = (delayed(_read_one)(path.absolute(), sampling_rate, n_samples, params) for path in files)
    bar = {"desc": "reading", "unit": "file", "disable": is_silent(verbose)}
    outcomes = tqdm(run_parallel(tasks, n_jobs), total=len(files), **bar)
    shape = (len(files), len(LEADS), n_samples)
    with NewRows(shape, _choose_place(shape, mmap_path)) as X:
        for path, (signal, row) in zip(files, outcomes, strict=True):
            if row["error"] and on_error == "raise":
                raise ECGFileError(row["error"])
            skipped += [(str(path), row["error"])] if row["error"] else []
            if not row["error"] or on_error == "keep":
                X.array[len(rows)] = signal
                rows.append({"path": str(path), **row})
        if not rows:
            raise ECGFileError(f"None of the {len(files)} files could be read; the first: {skipped[0][1]}")
        return X.finish(len(rows)), _make_table(rows, skipped, sampling_rate)


def _check_arguments(
    paths: Iterable[str | os.PathLike[str]], sampling_rate: float, duration: float, on_error: str
) -> list[Path]:
    """Return the files, or raise a ValueError that names the argument."""
    if isinstance(paths, str | os.PathLike):
        raise ValueError(f"paths must be a sequence of files; got the one {str(paths)!r}. Give [path].")
    files = [Path(path) for path in paths]
    if not files:
        raise ValueError("paths is empty; give at least one file.")
    if not 50 <= sampling_rate <= 50_000:
        raise ValueError(f"sampling_rate must be a number of Hz from 50 to 50000; got {sampling_rate!r}.")
    if not 0.5 <= duration <= 86_400:
        raise ValueError(f"duration must be a number of seconds from 0.5 to 86400; got {duration!r}.")
    if on_error not in ("warn", "raise", "keep"):
        raise ValueError(f"on_error must be 'warn', 'raise' or 'keep'; got {on_error!r}.")
    return files


def _read_one(
    path: Path, sampling_rate: float, n_samples: int, params: dict[str, Any]
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Return the signal (12, n_samples) at `sampling_rate`, NaN after the record's end, and the row of one file."""
    fitted = np.full((len(LEADS), n_samples), np.nan, dtype=np.float32)
    try:
        record = read_ecg(path, **params)
    except ECGFileError as error:
        return fitted, {**_describe_record(_UNREAD, np.nan), "error": str(error)}
    signal = record.signal
    if record.sampling_rate != sampling_rate:
        signal = resample_ecg(signal, record.sampling_rate, sampling_rate)
    kept = min(n_samples, signal.shape[1])
    fitted[:, :kept] = signal[:, :kept]
    missing = n_samples / sampling_rate - record.duration
    return fitted, _describe_record(record, missing if missing > 1 / sampling_rate else 0.0)


def _describe_record(record: ECGRecord, missing_duration: float) -> dict[str, Any]:
    """Return the row of a record, which lacks so many seconds."""
    return {
        "source_format": record.source_format,
        "file_sampling_rate": record.sampling_rate,
        "file_duration": record.total_duration or record.duration,
        "missing_duration": missing_duration,
        "age": record.age,
        "sex": _SEX.get(record.sex or ""),
        "patient_id": record.patient_id,
        "recording_time": record.recording_time,
        **{f"device_{name}": record.measurements.get(name) for name in MEASUREMENTS},
        "derived_leads": ", ".join(record.derived_leads),
        "missing_leads": ", ".join(record.missing_leads),
        "limb_leads": record.limb_leads,
        "statements": "; ".join(record.statements),
        "notes": " ".join(record.notes),
        "error": "",
    }


def _make_table(rows: list[dict[str, Any]], skipped: list[tuple[str, str]], sampling_rate: float) -> pd.DataFrame:
    """Return the table of what was read."""
    import pandas as pd

    numbers = ["file_sampling_rate", "file_duration", "missing_duration", "age", "sex"]
    numbers += [f"device_{name}" for name in MEASUREMENTS]
    table = pd.DataFrame(rows).astype(dict.fromkeys(numbers, np.float64))
    # The devices' clocks may bear different time zones, or none.
    table["recording_time"] = table["recording_time"].astype(object).where(table["recording_time"].notna(), None)
    table.attrs |= {"skipped": skipped, "sampling_rate": sampling_rate}
    return table


def _choose_place(shape: tuple[int, ...], mmap_path: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """Return where an array of `shape` goes: where it was asked for, in memory (None), or in a temporary folder."""
    if mmap_path is not None or 4 * math.prod(shape) <= _MOST_BYTES:
        return mmap_path
    if not _temporary:
        _temporary.append(tempfile.TemporaryDirectory(prefix="omi-estimators-"))
    return Path(_temporary[0].name, f"{len(os.listdir(_temporary[0].name))}.npy")


def _warn_unreadable(table: pd.DataFrame) -> None:
    """Warn once of the files that could not be read, naming some of them."""
    skipped = table.attrs["skipped"]
    if skipped:
        n_files = int((table["error"] == "").sum()) + len(skipped)
        shown = " | ".join(reason for _, reason in skipped[:_NAMED])
        more = f" | and {len(skipped) - _NAMED} more, see table.attrs['skipped']" if len(skipped) > _NAMED else ""
        warnings.warn(
            f"{len(skipped)} of {n_files} files could not be read: {shown}{more}", UnreadableFileWarning, stacklevel=3
        )


class ECGReader(DocumentedMixin, TransformerMixin, BaseEstimator):
    """Read ECG files into an array, so that a pipeline can start from paths.

    Parameters
    ----------
    sampling_rate : float, default=500
        Of the result, in Hz; what follows in the pipeline is to be told the same.
    duration : float, default=10
        Length of the result in seconds. Longer records are cut, shorter ones end in NaN.
    read_params : dict, optional
        Further arguments of `read_ecg`.
    on_error : {"warn", "raise"}, default="warn"
        A file that cannot be read is a row of NaN and part of one warning, or ends the reading with its error.
    n_jobs : int, optional
        Processes that read, in joblib's meaning.
    verbose : int, default=0
        1 shows a progress bar over the files.

    Attributes
    ----------
    n_features_in_ : int
        1: the path.

    See Also
    --------
    load_ecgs : The same as a function, with a table of what the files say of patient and device.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from omi_estimators import make_forest_pipeline
    >>> from omi_estimators.readers import ECGReader
    >>> reader = ECGReader(sampling_rate=500)
    >>> model = make_pipeline(reader, make_forest_pipeline(reader.sampling_rate))
    >>> model.fit(["a.xml", "b.xml"], [0, 1])  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        sampling_rate: float = 500,
        duration: float = 10,
        read_params: dict[str, Any] | None = None,
        on_error: str = "warn",
        n_jobs: int | None = None,
        verbose: int = 0,
    ):
        self.sampling_rate = sampling_rate
        self.duration = duration
        self.read_params = read_params
        self.on_error = on_error
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Check that `X` holds paths; nothing is read or learned.

        Parameters
        ----------
        X : array-like of shape (n_records,) or (n_records, 1)
            Paths.
        y : ignored
            For scikit-learn's sake.

        Returns
        -------
        ECGReader
            Itself.

        Raises
        ------
        ValueError
            If `X` is of another shape or does not hold paths.
        """
        _check_paths(X)
        if self.on_error not in ("warn", "raise"):
            raise ValueError(f"on_error must be 'warn' or 'raise'; got {self.on_error!r}.")
        self.n_features_in_ = 1
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Read the files.

        Parameters
        ----------
        X : array-like of shape (n_records,) or (n_records, 1)
            Paths.

        Returns
        -------
        ndarray of shape (n_records, 12, n_samples)
            Float32 millivolts, NaN for a file that cannot be read.

        Raises
        ------
        ValueError
            If `X` is of another shape or does not hold paths; as ECGFileError, with ``on_error="raise"``, if a file
            cannot be read.
        """
        signals, table = self._load(X)
        _warn_unreadable(table)
        return signals

    def measure(self, X: ArrayLike) -> Measured:
        """Read the files, and return which of them could be read; the pipelines of this package ask so.

        Parameters
        ----------
        X : array-like of shape (n_records,) or (n_records, 1)
            Paths.

        Returns
        -------
        Measured
            Records as ``transform`` returns them; a file that could not be read is unusable, for the reason that its
            error gives.

        Raises
        ------
        ValueError
            As ``transform``.
        """
        signals, table = self._load(X)
        return Measured(signals, Usable.from_reasons(table["error"].tolist()))

    def _load(self, X: ArrayLike) -> tuple[NDArray[np.float32], pd.DataFrame]:
        """Return the records of files, in their order, and the table of what was read."""
        on_error = "raise" if self.on_error == "raise" else "keep"
        options = (self.read_params, self.n_jobs, on_error, None, bool(self.verbose))
        return _load(_check_paths(X), self.sampling_rate, self.duration, *options)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Accept, and ignore, an output container: waveforms are arrays, whatever tables a pipeline makes.

        Parameters
        ----------
        transform : str, optional
            Ignored.

        Returns
        -------
        ECGReader
            Itself.
        """
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags


def _check_paths(X: ArrayLike) -> list[str]:
    """Return `X` as a list of paths, or raise a ValueError."""
    paths = np.asarray(X, dtype=object)
    if paths.ndim == 2 and paths.shape[1] == 1:
        paths = paths[:, 0]
    if paths.ndim != 1:
        raise ValueError(f"X must hold one path per record, shape (n_records,); got shape {paths.shape}.")
    wrong = [path for path in paths if not isinstance(path, str) and not hasattr(path, "__fspath__")]
    if wrong:
        raise ValueError(f"X must hold paths; got {wrong[0]!r}. Records that are read already need no ECGReader.")
    return [str(path) for path in paths]
