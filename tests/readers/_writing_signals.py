"""EDF, WFDB and plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import wfdb
from edfio import Bdf, BdfSignal, Edf, EdfAnnotation, EdfSignal, Patient, Recording
from numpy.typing import ArrayLike, NDArray
from readers._writing import ABOUT, PER_MILLIVOLT, About, check_leads, to_counts
from scipy.io import savemat

from omi_estimators.leads import LEADS


def write_edf(
    path: Path,
    signal: NDArray[np.floating],
    sampling_rate: float,
    *,
    leads: Sequence[str] = LEADS,
    about: About = ABOUT,
    unit: str = "uV",
    label: str = "ECG {}",
    physical: tuple[float, float] = (-8192, 8191.75),
    digital: tuple[int, int] = (-32768, 32767),
    plus: bool = False,
    bits: int = 16,
) -> float:
    """Write an EDF or BDF file, and return its quantisation step in mV.

    Parameters
    ----------
    path, signal, sampling_rate, leads, about
        As for all writers.
    unit : {"uV", "mV"}
        Of `physical`.
    label : str
        Of a signal, `{}` being its lead.
    physical, digital : tuple of two numbers
        The ranges that stand for each other.
    plus : bool
        Whether it is EDF+, with annotations, and with a breathing signal of 25 Hz between the leads.
    bits : {16, 24}
        Of a sample: EDF has 16, BDF 24.
    """
    check_leads(signal, leads)
    (low, high), (least, most) = physical, digital
    step = (high - low) / (most - least)
    counts = to_counts(signal, step / PER_MILLIVOLT[unit], least - low / step)
    if counts.min() < least or counts.max() > most:
        raise ValueError("the signal leaves the physical range")
    make_signal, make_file = (EdfSignal, Edf) if bits == 16 else (BdfSignal, Bdf)
    signals = [
        make_signal.from_digital(
            row.astype(np.int16 if bits == 16 else np.int32),
            sampling_rate,
            label=label.format(lead),
            transducer_type="AgAgCl electrode",
            physical_dimension=unit,
            physical_range=physical,
            digital_range=digital,
            prefiltering="HP:0.05Hz LP:150Hz",
        )
        for lead, row in zip(leads, counts, strict=True)
    ]
    annotations = []
    if plus:
        seconds = round(signal.shape[1] / sampling_rate)
        breathing = np.sin(np.arange(25 * seconds) / 25)
        signals.insert(
            2, make_signal(breathing, 25, label="Resp chest", physical_dimension="%", physical_range=(-2, 2))
        )
        annotations = [EdfAnnotation(1.5, None, "Chest pain"), EdfAnnotation(3, 2, "Movement")]
    file = make_file(
        signals,
        patient=Patient(
            code=about.patient_id,
            sex={"male": "M", "female": "F"}[about.sex],
            birthdate=about.birth_date,
            name="Muller",
        ),
        recording=Recording(startdate=about.recording_time.date(), equipment_code="ECG1"),
        starttime=about.recording_time.time(),
        annotations=annotations,
    )
    file.write(path)
    if not plus:
        # The library marks every file as EDF+ or BDF+; plain ones have this instead.
        data, mark = path.read_bytes(), b"" if bits == 16 else b"24BIT"
        path.write_bytes(data[:192] + mark.ljust(44) + data[236:])
    return abs(step) / PER_MILLIVOLT[unit]


def write_wfdb(
    path: Path,
    signal: NDArray[np.floating],
    sampling_rate: float,
    *,
    leads: Sequence[str] = LEADS,
    about: About = ABOUT,
    unit: str = "mV",
    storage: str = "16",
    gain: ArrayLike = 1000,
    baseline: ArrayLike = 0,
    file_per_lead: bool = False,
) -> float:
    """Write a WFDB record, and return its (largest) quantisation step in mV.

    Parameters
    ----------
    path : Path
        The header; the signal files lie beside it.
    signal, sampling_rate, leads, about
        As for all writers; NaN is written as the value that stands for no sample.
    unit : {"mV", "uV"}
        The gain is in counts for one of these.
    storage : {"16", "212", "24", "mat"}
        The format of the signals; "mat" is format 16 in a MATLAB file of version 4, after 24 bytes.
    gain, baseline : float, or one for each lead
        A value is `(count - baseline) / gain`, in `unit`.
    file_per_lead : bool
        Whether each lead has its own file.
    """
    check_leads(signal, leads)
    gain = np.broadcast_to(gain, len(leads)).astype(float)
    baseline = np.broadcast_to(baseline, len(leads)).astype(int)
    step = 1 / (gain * PER_MILLIVOLT[unit])
    bits = {"212": 12, "24": 24}.get(storage, 16)
    # The lowest number of a format stands for no sample.
    counts = to_counts(signal, step, baseline, -(2 ** (bits - 1)))
    names = [f"{path.stem}_{lead}.dat" if file_per_lead else f"{path.stem}.dat" for lead in leads]
    if storage == "mat":
        names = [f"{path.stem}.mat"] * len(leads)
        savemat(path.with_suffix(".mat"), {"val": counts.astype(np.int16)}, format="4")
    record = wfdb.Record(
        record_name=path.stem,
        n_sig=len(leads),
        fs=sampling_rate,
        sig_len=counts.shape[1],
        base_time=about.recording_time.time(),
        base_date=about.recording_time.date(),
        file_name=names,
        fmt=["16" if storage == "mat" else storage] * len(leads),
        byte_offset=[24 if storage == "mat" else None] * len(leads),
        adc_gain=gain.tolist(),
        baseline=baseline.tolist(),
        units=[unit] * len(leads),
        adc_res=[bits] * len(leads),
        adc_zero=[0] * len(leads),
        init_value=counts[:, 0].tolist(),
        block_size=[0] * len(leads),
        sig_name=list(leads),
        comments=[f"Age: {about.age}", f"Sex: {about.sex.capitalize()}", "Dx: 426783006"],
        d_signal=counts.T.copy(),
    )
    record.checksum = record.calc_checksum()
    record.wrheader(write_dir=str(path.parent))
    if storage != "mat":
        record.wr_dats(expanded=False, write_dir=str(path.parent))
    return float(step.max())


def write_csv(
    path: Path,
    signal: NDArray[np.floating],
    sampling_rate: float,
    *,
    leads: Sequence[str] = LEADS,
    about: About = ABOUT,
    unit: str = "mV",
    separator: str = ",",
    decimal: str = ".",
    header: bool = True,
    time: bool = False,
) -> float:
    """Write a text table of one column for each lead, and return its quantisation step in mV.

    Parameters
    ----------
    path, signal, sampling_rate, leads, about
        As for all writers; a table says nothing `about` the patient, and NaN is an empty cell.
    unit : {"mV", "uV"}
        Of the values: millivolts with four decimals, or whole microvolts.
    separator, decimal : str
        Between columns, and in numbers.
    header : bool
        Whether the first line has the leads.
    time : bool
        Whether the first column is the time in seconds.
    """
    check_leads(signal, leads)
    places = 4 if unit == "mV" else 0
    columns = [
        ["" if np.isnan(value) else f"{value:.{places}f}" for value in row] for row in signal * PER_MILLIVOLT[unit]
    ]
    names = list(leads)
    if time:
        columns.insert(0, [f"{i / sampling_rate:.4f}" for i in range(signal.shape[1])])
        names.insert(0, "time")
    rows = [names] if header else []
    lines = [separator.join(value.replace(".", decimal) for value in row) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([*(separator.join(row) for row in rows), *lines, ""]), encoding="utf-8")
    return 10.0**-places / PER_MILLIVOLT[unit]


def write_mat(
    path: Path,
    signal: NDArray[np.floating],
    sampling_rate: float,
    *,
    leads: Sequence[str] = LEADS,
    about: About = ABOUT,
    unit: str = "uV",
    version: str = "5",
) -> float:
    """Write a MATLAB file of version 4 or 5, whole numbers `val`, one count for `unit`, and return the step in mV."""
    check_leads(signal, leads)
    savemat(path, {"val": to_counts(signal, 1 / PER_MILLIVOLT[unit]).astype(np.int16)}, format=version)
    return 1 / PER_MILLIVOLT[unit]


def write_npy(
    path: Path,
    signal: NDArray[np.floating],
    sampling_rate: float,
    *,
    leads: Sequence[str] = LEADS,
    about: About = ABOUT,
    unit: str = "mV",
    dtype: str = "float32",
    transpose: bool = False,
) -> float:
    """Write a NumPy array, leads in rows or columns, and return the step in mV that its rounding is below."""
    check_leads(signal, leads)
    values = (signal.T if transpose else signal) * PER_MILLIVOLT[unit]
    with path.open("wb") as file:
        np.save(file, (np.rint(values) if np.dtype(dtype).kind == "i" else values).astype(dtype))
    return 1 / PER_MILLIVOLT[unit] if np.dtype(dtype).kind == "i" else 1e-5
