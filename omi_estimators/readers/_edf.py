"""EDF and BDF: signals in physical units, annotations and other channels left out."""

from __future__ import annotations

import io
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from omi_estimators.readers._errors import ECGFileError
from omi_estimators.readers._fields import age_at, to_sex
from omi_estimators.readers._leads import find_lead, make_signal
from omi_estimators.readers._record import ECGRecord
from omi_estimators.readers._units import to_millivolts

if TYPE_CHECKING:
    from omi_estimators.readers._read import Source


def read(source: Source) -> ECGRecord:
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
    try:
        import edfio
    except ImportError as error:
        raise ImportError(
            "Reading EDF files needs the package edfio, which is not installed; "
            "install it with: pip install omi-estimators[io]"
        ) from error
    name = "BDF" if source.data[:1] == b"\xff" else "EDF"
    _check_length(source.data, 3 if name == "BDF" else 2)
    if source.data[192:197] in (b"EDF+D", b"BDF+D"):
        raise ECGFileError("it is a discontinuous recording (EDF+D), in parts with gaps between; export one part")
    file = (edfio.read_bdf if name == "BDF" else edfio.read_edf)(io.BytesIO(source.data))
    named, rates = [], set()
    for signal in file.signals:
        if find_lead(signal.label) is None:
            named.append((signal.label, np.zeros(0)))
            continue
        rates.add(float(signal.sampling_frequency))
        unit = signal.physical_dimension.strip() or source.unit
        if not unit:
            raise ECGFileError(f"its signal {signal.label} states no unit; give unit='uV' or 'mV' if you know it")
        named.append((signal.label, np.asarray(signal.data, dtype=np.float64) * to_millivolts(unit)))
    if len(rates) > 1:
        raise ECGFileError(f"its leads have different sampling rates ({', '.join(f'{rate:g}' for rate in rates)} Hz)")
    rate = rates.pop() if rates else 0.0
    signals, derived, missing, notes = make_signal(named, rate or 500.0)
    time = _find_time(file)
    age, age_notes = age_at(_attempt(lambda: file.patient.birthdate), time)
    code = _attempt(lambda: file.patient.code)
    return ECGRecord(
        signal=signals,
        sampling_rate=rate,
        source_format=name,
        age=age,
        sex=to_sex(_attempt(lambda: file.patient.sex)),
        patient_id=code if code not in ("", "X") else None,
        recording_time=time,
        derived_leads=derived,
        missing_leads=missing,
        notes=notes + age_notes,
    )


def _check_length(data: bytes, width: int) -> None:
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


def _find_time(file: Any) -> datetime | None:
    """Return when the recording began; dates that are anonymised are None."""
    date, time = _attempt(lambda: file.recording.startdate) or _attempt(lambda: file.startdate), file.starttime
    return None if date is None else datetime.combine(date, time)


def _attempt(field: Any) -> Any:
    """Return a field of the header, None where it is left out or anonymised, for which the library has errors."""
    from edfio import AnonymizedDateError

    try:
        return field()
    except (AnonymizedDateError, ValueError):
        return None
