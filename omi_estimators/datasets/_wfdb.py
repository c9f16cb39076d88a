"""WFDB records into one preallocated array of 12-lead ECGs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from omi_estimators.leads import LEADS

_LEAD_POSITION = {lead.upper(): position for position, lead in enumerate(LEADS)}
_MILLIVOLTS = {"mv": 1.0, "uv": 1e-3, "v": 1e3}

# What wfdb raises on a header or signal file that is absent, cut short or scrambled. MemoryError is left
# out on purpose: running out of memory is no fault of the record.
DAMAGED_RECORD_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
)


def import_wfdb() -> ModuleType:
    """Return the `wfdb` package, or say how to install it."""
    try:
        import wfdb
    except ImportError as error:
        raise ImportError(
            "Reading WFDB records needs the package wfdb, which is not installed; "
            "install it with: pip install omi-estimators[io]"
        ) from error
    return wfdb


def read_header_rate(path: Path) -> float:
    """Return the sampling rate in Hz that the header of the record at `path` (no suffix) states."""
    return float(import_wfdb().rdheader(str(path)).fs)


def read_records(
    paths: Sequence[Path],
    *,
    sampling_rate: int,
    n_samples: int,
    n_jobs: int | None,
    mmap_path: str | os.PathLike[str] | None = None,
) -> tuple[NDArray[np.float32], dict[int, Exception]]:
    """Read WFDB records of one rate and length into one array.

    Parameters
    ----------
    paths : sequence of Path of length n_records
        The records, without suffix.
    sampling_rate : int
        The rate in Hz that every record must have.
    n_samples : int
        The number of samples that every record must have.
    n_jobs : int or None
        Number of threads, in joblib's meaning. Reading waits on the disk, and threads fill the one
        array in place, so nothing is copied between processes.
    mmap_path : path-like, optional
        An .npy file to be written, which the array then is a memory map of.

    Returns
    -------
    X : ndarray of shape (n_records, 12, n_samples)
        Float32 millivolts, leads in the order of `LEADS`, NaN for leads that a record lacks.
        Rows of damaged records hold no meaning.
    errors : dict of int to Exception
        Position of each damaged record, and what was wrong with it.
    """
    # Imported once here: threads that import the same package at once can meet it half-made.
    import_wfdb()
    shape = (len(paths), len(LEADS), n_samples)
    X: NDArray[np.float32]
    if mmap_path is None:
        X = np.empty(shape, dtype=np.float32)
    else:
        X = np.lib.format.open_memmap(mmap_path, mode="w+", dtype=np.float32, shape=shape)
    outcomes = Parallel(n_jobs=n_jobs, require="sharedmem")(
        delayed(_try_fill)(X[position], path, sampling_rate) for position, path in enumerate(paths)
    )
    return X, {position: error for position, error in enumerate(outcomes) if error is not None}


def _try_fill(row: NDArray[np.float32], path: Path, sampling_rate: int) -> Exception | None:
    """Fill `row` from the record at `path`; return what was wrong with the record, if anything."""
    try:
        _fill(row, path, sampling_rate)
    except DAMAGED_RECORD_ERRORS as error:
        return error
    return None


def _fill(row: NDArray[np.float32], path: Path, sampling_rate: int) -> None:
    """Read the record at `path` into `row` (12, n_samples), or raise one of `DAMAGED_RECORD_ERRORS`."""
    for suffix in (".hea", ".dat"):
        if not path.with_name(path.name + suffix).is_file():
            raise FileNotFoundError(f"{path.name}{suffix} is absent")
    record = import_wfdb().rdrecord(str(path))
    if record.fs != sampling_rate:
        raise ValueError(f"its header says {record.fs:g} Hz, not {sampling_rate} Hz")
    signal = record.p_signal
    if signal is None or signal.shape[0] != row.shape[1]:
        length = 0 if signal is None else signal.shape[0]
        raise ValueError(f"it has {length} samples, not {row.shape[1]}")
    row.fill(np.nan)
    for column, (name, unit) in enumerate(zip(record.sig_name, record.units, strict=True)):
        position = _LEAD_POSITION.get(name.strip().upper())
        if position is not None:
            row[position] = signal[:, column] * _to_millivolts(unit)
    if np.isnan(row).all():
        raise ValueError(f"it has no valid sample of any of the 12 leads; its signals are {record.sig_name}")


def _to_millivolts(unit: Any) -> float:
    """Return the factor from `unit` to millivolts."""
    try:
        return _MILLIVOLTS[str(unit).strip().lower()]
    except KeyError:
        raise ValueError(f"its signals are in {unit!r}, not in one of mV, uV, V") from None
