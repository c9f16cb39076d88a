"""Signals of stated names, rates and units: WFDB records (a header and files beside it), EDF and BDF."""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators._validation import naming_package
from omi_estimators.readers._fields import to_age, to_millivolts, to_sex
from omi_estimators.readers._leads import arrange_leads, common_rate, find_lead, make_record
from omi_estimators.readers._record import ECGFileError, ECGRecord, Source, naming_file

_AGE = re.compile(r"<?\bage\b>?\s*[:=]?\s*(\d+(?:\.\d+)?)", re.IGNORECASE)
_SEX = re.compile(r"<?\b(?:sex|gender)\b>?\s*[:=]?\s*(\w+)", re.IGNORECASE)
_DIAGNOSIS = re.compile(r"<?\b(?:dx|diagnos[ei]s|reason for admission)\b>?\s*[:=]?\s*(.+)", re.IGNORECASE)
_GAIN = re.compile(r"^([\d.eE+-]+)")
# After file, format, gain, resolution, zero and first value.
_CHECKSUM = re.compile(r"\S+\s+\S+\s+\S+\s+\d+\s+-?\d+\s+-?\d+\s+(-?\d+)\b")


def read_wfdb(source: Source) -> ECGRecord:
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
    if source.path.suffix == ".hea":
        record, lines = _read_record(source.path)
    else:
        # The library finds a header by its suffix only.
        with tempfile.TemporaryDirectory(prefix="omi-estimators-") as folder:
            header = Path(folder, "record.hea")
            header.write_bytes(source.data)
            for name in _check_header(header, source.path.parent)[0]:
                shutil.copy(source.path.parent / name, folder)
            record, lines = _read_record(header)
    named, rate = _calibrate(record, lines, source.unit)
    damaged = _find_damaged(record, lines)
    said = f"The checksum in the header is not that of the samples: {', '.join(damaged)}. Damaged or edited?"
    comments = "\n".join(str(comment) for comment in record.comments or ())
    age, age_notes = to_age(_first(_AGE, comments))
    known = record.base_date is not None and record.base_time is not None
    return make_record(
        named,
        rate,
        "WFDB",
        age=age,
        sex=to_sex(_first(_SEX, comments)),
        recording_time=datetime.combine(record.base_date, record.base_time) if known else None,
        statements=tuple(text.strip() for text in _DIAGNOSIS.findall(comments)),
        late_notes=((said,) if damaged else ()) + age_notes,
    )


def read_wfdb_leads(path: str | os.PathLike[str]) -> tuple[NDArray[np.float64], float]:
    """Read the leads of a WFDB record as the file has them: none is derived, and no value judged.

    For data sets of known quality, where `read_ecg` would look at each record longer than reading it takes.

    Parameters
    ----------
    path : path-like
        The record, without suffix.

    Returns
    -------
    signal : ndarray of shape (12, n_samples)
        Millivolts, leads in the order of `LEADS`; NaN for leads that the record lacks.
    sampling_rate : float
        Hz.

    Raises
    ------
    ECGFileError
        If a file is absent, cut short or damaged, or a signal is not calibrated in a unit of voltage.
    ImportError
        If `wfdb` is not installed (`pip install omi-estimators[io]`).

    Examples
    --------
    >>> from omi_estimators.readers import read_wfdb_leads
    >>> signal, sampling_rate = read_wfdb_leads("ptb-xl/records500/00000/00001_hr")  # doctest: +SKIP
    >>> signal.shape, sampling_rate  # doctest: +SKIP
    ((12, 5000), 500.0)
    """
    header = Path(f"{os.fspath(path)}.hea")
    with naming_file(header.name):
        if not header.is_file():
            raise ECGFileError(f"the header {header.name} is absent")
        named, rate = _calibrate(*_read_record(header, physical=True), None)
        return arrange_leads(named)[0], rate


def _check_header(header: Path, folder: Path) -> tuple[list[str], int, list[str]]:
    """Return a header's signal files, which must lie in `folder`, how many samples it states, and its signals' lines.

    As the library reads it, which takes as long for that as for the signals, and so does it but once.
    """
    text = header.read_text(encoding="ascii", errors="ignore")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    first = lines[0].split() if lines else [""]
    if len(lines) < 2 or "/" in first[0]:
        raise ECGFileError(
            "it is a WFDB record of several segments, or without signals; give the header of one segment"
        )
    names = list(dict.fromkeys(line.split()[0] for line in lines[1:]))
    for name in names:
        # Else a header could have any file on the disk read.
        if name != Path(name).name or name in (".", "..") or "\\" in name:
            raise ECGFileError(f"its header names a signal file outside its folder, {name[:60]!r}")
        if not (folder / name).is_file():
            raise ECGFileError(f"its signal file {name} is absent; copy it beside the header")
    stated = re.match(r"\d*", first[3] if len(first) > 3 else "")
    n_samples = int(stated[0] or 0) if stated else 0
    if n_samples * (len(lines) - 1) > 2**31:
        raise ECGFileError(f"its header says {n_samples} samples of {len(lines) - 1} signals, more than any ECG has")
    return names, n_samples, lines[1:]


def _read_record(header: Path, *, physical: bool = False) -> tuple[Any, list[str]]:
    """Return the record of a header, and the header's lines of its signals; if `physical`, without the counts."""
    _, n_samples, lines = _check_header(header, header.parent)
    with naming_package("wfdb", "io", "Reading WFDB records"):
        import wfdb
    record = wfdb.rdrecord(str(header)[: -len(".hea")], smooth_frames=False, physical=physical)
    if not physical:
        record.e_p_signal = record.dac(expanded=True)
    for signal, per_frame in zip(record.e_p_signal, record.samps_per_frame, strict=True):
        if n_samples and len(signal) != n_samples * per_frame:
            raise ECGFileError(
                f"its header says {n_samples * per_frame} samples, but there are {len(signal)}; it is cut short"
            )
    return record, lines


def _find_damaged(record: Any, lines: list[str]) -> list[str]:
    """Return the names of signals whose samples do not have the checksum of the header, where it has one."""
    stated = [_CHECKSUM.match(line) for line in lines]
    found = zip(record.sig_name, record.calc_checksum(expanded=True), stated, strict=True)
    return [str(name) for name, ours, theirs in found if theirs and (int(ours) - int(theirs[1])) % 65536]


def _has_gain(line: str) -> bool:
    """Return whether the line of a signal states a gain other than 0, which stands for "not calibrated"."""
    parts = line.split()
    found = _GAIN.match(parts[2]) if len(parts) > 2 else None
    return found is not None and float(found[1]) != 0


def _calibrate(record: Any, lines: list[str], unit: str | None) -> tuple[list[tuple[str, NDArray[np.float64]]], float]:
    """Return names and millivolts of the signals, and the rate of the leads among them."""
    rates, named = [], []
    for column, name in enumerate(record.sig_name):
        if find_lead(name) is None:
            named.append((name, np.zeros(0)))
            continue
        rates.append(float(record.fs) * record.samps_per_frame[column])
        values = np.asarray(record.e_p_signal[column], dtype=np.float64)
        if _has_gain(lines[column]):
            named.append((name, values * to_millivolts(record.units[column])))
        elif unit is None:
            raise ECGFileError(
                f"its signal {name} has no gain, so its unit is unknown; give unit= of one count if you know"
            )
        else:
            # What the library assumed is taken back.
            counts = values * record.adc_gain[column] + record.baseline[column] - (record.adc_zero[column] or 0)
            named.append((name, counts * to_millivolts(unit)))
    return named, common_rate(rates)


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return None if found is None else found[1]


def read_edf(source: Source) -> ECGRecord:
    """Read an EDF, EDF+, BDF or BDF+ file.

    Parameters
    ----------
    source : Source
        The file. `unit` serves signals that state none.

    Returns
    -------
    ECGRecord
        The leads among its signals, by their labels.

    Raises
    ------
    ECGFileError
        If it is cut short, discontinuous, has no lead, leads of different rates or without a unit.
    """
    with naming_package("edfio", "io", "Reading EDF files"):
        import edfio
    name = "BDF" if source.data[:1] == b"\xff" else "EDF"
    _check_edf_length(source.data, 3 if name == "BDF" else 2)
    if source.data[192:197] in (b"EDF+D", b"BDF+D"):
        raise ECGFileError("it is a discontinuous recording (EDF+D), in parts with gaps between; export one part")
    file = (edfio.read_bdf if name == "BDF" else edfio.read_edf)(io.BytesIO(source.data))
    rates, named = [], []
    for signal in file.signals:
        if find_lead(signal.label) is None:
            named.append((signal.label, np.zeros(0)))
            continue
        rates.append(float(signal.sampling_frequency))
        unit = signal.physical_dimension.strip() or source.unit
        if not unit:
            raise ECGFileError(f"its signal {signal.label} states no unit; give unit='uV' or 'mV' if you know it")
        named.append((signal.label, np.asarray(signal.data, dtype=np.float64) * to_millivolts(unit)))
    date = _attempt(lambda: file.recording.startdate) or _attempt(lambda: file.startdate)
    time = None if date is None else datetime.combine(date, file.starttime)
    age, age_notes = to_age(None, birth=_attempt(lambda: file.patient.birthdate), when=time)
    code = _attempt(lambda: file.patient.code)
    return make_record(
        named,
        common_rate(rates),
        name,
        age=age,
        sex=to_sex(_attempt(lambda: file.patient.sex)),
        patient_id=code if code not in ("", "X") else None,
        recording_time=time,
        late_notes=age_notes,
    )


def _check_edf_length(data: bytes, width: int) -> None:
    """Raise an ECGFileError if the file is not as long as its header says, before anything is made of it."""
    try:
        n_header, n_records, n_signals = int(data[184:192]), int(data[236:244]), int(data[252:256])
        duration = float(data[244:252])
        start = 256 + 216 * n_signals
        per_record = sum(int(data[start + 8 * i : start + 8 * i + 8]) for i in range(n_signals))
    except ValueError as error:
        raise ECGFileError("its header is not that of an EDF file; it is damaged or cut short") from error
    if n_header != 256 * (n_signals + 1) or per_record < 1 or not duration > 0:
        raise ECGFileError("its header contradicts itself; it is damaged")
    expected = n_header + n_records * per_record * width
    if n_records < 1 or len(data) < expected:
        raise ECGFileError(f"its header says {n_records} blocks, {expected} bytes, but it has {len(data)}; it is cut")


def _attempt(field: Callable[[], Any]) -> Any:
    """Return a field of the header, None where it is left out or anonymised, for which the library has errors."""
    from edfio import AnonymizedDateError

    try:
        return field()
    except (AnonymizedDateError, ValueError):
        return None
