"""WFDB records: a header as text, signals beside it."""

from __future__ import annotations

import re
import shutil
import tempfile
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators.readers._errors import ECGFileError
from omi_estimators.readers._fields import to_age, to_sex
from omi_estimators.readers._leads import find_lead, make_signal
from omi_estimators.readers._record import ECGRecord
from omi_estimators.readers._units import to_millivolts

if TYPE_CHECKING:
    from omi_estimators.readers._read import Source

_AGE = re.compile(r"<?\bage\b>?\s*[:=]?\s*(\d+(?:\.\d+)?)", re.IGNORECASE)
_SEX = re.compile(r"<?\b(?:sex|gender)\b>?\s*[:=]?\s*(\w+)", re.IGNORECASE)
_DIAGNOSIS = re.compile(r"<?\b(?:dx|diagnos[ei]s|reason for admission)\b>?\s*[:=]?\s*(.+)", re.IGNORECASE)
_GAIN = re.compile(r"^([\d.eE+-]+)")


def read(source: Source) -> ECGRecord:
    """Read a WFDB record.

    Parameters
    ----------
    source : Source
        Its header. With `unit`, the counts of signals without a gain are taken in that unit.

    Returns
    -------
    ECGRecord
        Age, sex and diagnoses from the header's comments, as PhysioNet writes them.

    Raises
    ------
    ECGFileError
        If a signal file is absent, shorter than the header says, or outside the record's folder, if a signal is not
        calibrated, or the leads have different rates.
    """
    wfdb = _import_wfdb()
    if source.path.suffix == ".hea":
        record, calibrated, damaged = _read_record(wfdb, source.path)
    else:
        # The library finds a header by its suffix only.
        with tempfile.TemporaryDirectory(prefix="omi-estimators-") as folder:
            header = Path(folder, "record.hea")
            header.write_bytes(source.data)
            for name in set(_read_header(wfdb, header, source.path.parent).file_name):
                shutil.copy(source.path.parent / name, folder)
            record, calibrated, damaged = _read_record(wfdb, header)
    named, rate = _calibrate(record, calibrated, source.unit)
    signal, derived, missing, notes = make_signal(named, rate)
    if damaged:
        notes += (f"The checksum in the header is not that of the samples: {', '.join(damaged)}. Damaged or edited?",)
    comments = "\n".join(str(comment) for comment in record.comments or ())
    age, age_notes = to_age(_first(_AGE, comments))
    return ECGRecord(
        signal=signal,
        sampling_rate=rate,
        source_format="WFDB",
        age=age,
        sex=to_sex(_first(_SEX, comments)),
        recording_time=_find_time(record),
        statements=tuple(text.strip() for text in _DIAGNOSIS.findall(comments)),
        derived_leads=derived,
        missing_leads=missing,
        notes=notes + age_notes,
    )


def _import_wfdb() -> ModuleType:
    try:
        import wfdb
    except ImportError as error:
        raise ImportError(
            "Reading WFDB records needs the package wfdb, which is not installed; "
            "install it with: pip install omi-estimators[io]"
        ) from error
    module: ModuleType = wfdb
    return module


def _read_header(wfdb: ModuleType, header: Path, folder: Path) -> Any:
    """Return what a header says of a record, whose signal files must lie in `folder`."""
    found = wfdb.rdheader(str(header)[: -len(".hea")])
    names = getattr(found, "file_name", None)
    if not names or getattr(found, "seg_name", None):
        raise ECGFileError(
            "it is a WFDB record of several segments, or without signals; give the header of one segment"
        )
    for name in dict.fromkeys(names):
        # Else a header could have any file on the disk read.
        if name != Path(name).name or name in (".", "..") or "\\" in name:
            raise ECGFileError(f"its header names a signal file outside its folder, {name[:60]!r}")
        if not (folder / name).is_file():
            raise ECGFileError(f"its signal file {name} is absent; copy it beside the header")
    return found


def _read_record(wfdb: ModuleType, header: Path) -> tuple[Any, list[bool], list[str]]:
    """Return the record of a header, which signals have a gain, and the names of those that are damaged."""
    stated = _read_header(wfdb, header, header.parent)
    if stated.sig_len and stated.sig_len * stated.n_sig > 2**31:
        raise ECGFileError(f"its header says {stated.sig_len} samples of {stated.n_sig} signals, more than any ECG has")
    record = wfdb.rdrecord(str(header)[: -len(".hea")], smooth_frames=False, physical=False)
    damaged = _find_damaged(record, stated.checksum)
    record.e_p_signal = record.dac(expanded=True)
    expected = stated.sig_len
    for signal, per_frame in zip(record.e_p_signal, record.samps_per_frame, strict=True):
        if expected and len(signal) != expected * per_frame:
            raise ECGFileError(
                f"its header says {expected * per_frame} samples, but there are {len(signal)}; it is cut short"
            )
    lines = [line for line in header.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    lines = [line for line in lines if not line.lstrip().startswith("#")][1 : 1 + record.n_sig]
    return record, [_has_gain(line) for line in lines], damaged


def _find_damaged(record: Any, checksums: list[int | None] | None) -> list[str]:
    """Return the names of signals whose samples do not have the checksum of the header, where it has one."""
    if not checksums:
        return []
    found = zip(record.sig_name, record.calc_checksum(expanded=True), checksums, strict=True)
    return [str(name) for name, ours, theirs in found if theirs is not None and (int(ours) - int(theirs)) % 65536]


def _has_gain(line: str) -> bool:
    """Return whether the line of a signal states a gain other than 0, which stands for "not calibrated"."""
    parts = line.split()
    found = _GAIN.match(parts[2]) if len(parts) > 2 else None
    return found is not None and float(found[1]) != 0


def _calibrate(
    record: Any, calibrated: list[bool], unit: str | None
) -> tuple[list[tuple[str, NDArray[np.float64]]], float]:
    """Return names and millivolts of the signals, and the rate of the leads among them."""
    rates = set()
    named = []
    for column, name in enumerate(record.sig_name):
        if find_lead(name) is None:
            named.append((name, np.zeros(0)))
            continue
        rates.add(float(record.fs) * record.samps_per_frame[column])
        values = np.asarray(record.e_p_signal[column], dtype=np.float64)
        if calibrated[column]:
            named.append((name, values * to_millivolts(record.units[column])))
        elif unit is None:
            raise ECGFileError(
                f"its signal {name} has no gain, so its unit is unknown; give unit= of one count if you know"
            )
        else:
            # What the library assumed is taken back.
            counts = values * record.adc_gain[column] + record.baseline[column] - (record.adc_zero[column] or 0)
            named.append((name, counts * to_millivolts(unit)))
    if len(rates) > 1:
        raise ECGFileError(f"its leads have different sampling rates ({', '.join(f'{rate:g}' for rate in rates)} Hz)")
    return named, rates.pop() if rates else float(record.fs)


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return None if found is None else found[1]


def _find_time(record: Any) -> datetime | None:
    """Return date and time of the recording, if the header has both."""
    if record.base_date is None or record.base_time is None:
        return None
    return datetime.combine(record.base_date, record.base_time)
