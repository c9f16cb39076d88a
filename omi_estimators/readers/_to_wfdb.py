"""A record as a WFDB record: counts as the source had them, and what is known beside the signal as comments."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from omi_estimators._validation import naming_package
from omi_estimators.leads import LEADS

if TYPE_CHECKING:
    from omi_estimators.readers._record import ECGRecord

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_UNITS = {"mV": 1.0, "uV": 1e-3}
# The lowest number of a format stands for no sample.
_FORMATS = {"16": 2**15 - 1, "32": 2**31 - 1}
# Of a count, by which values may miss whole counts: the rounding of floating-point numbers, and no more.
_MOST_OFF = 1e-6


@dataclass(frozen=True)
class _Stored:
    """A lead as it is stored: a value is `counts / gain` in `unit`, or `counts * step` to the last digit.

    `step` is None where the division gives the last digit, or nothing does.
    """

    counts: NDArray[np.float64]
    gain: float
    unit: str
    step: float | None = None

    @property
    def millivolts(self) -> NDArray[np.float64]:
        values = self.counts / self.gain if self.step is None else self.counts * self.step
        return values * _UNITS[self.unit]


def write_wfdb(record: ECGRecord, path: str | os.PathLike[str], *, include_patient_id: bool, overwrite: bool) -> Path:
    """Write the files of `ECGRecord.to_wfdb`, which see."""
    with naming_package("wfdb", "io", "Writing WFDB records"):
        import wfdb
    path = Path(path)
    name = path.name.removesuffix(".hea")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"A WFDB record is named by letters, digits, underscores and hyphens alone; got {path.name!r}, such as "
            f"{re.sub('[^A-Za-z0-9_-]+', '_', path.stem) or 'record'!r} would be right."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent.as_posix()!r} for the record {name}; make it first.")
    files = [path.with_name(f"{name}{suffix}") for suffix in (".dat", ".hea")]
    there = [file.name for file in files if file.exists()]
    if there and not overwrite:
        raise FileExistsError(f"{' and '.join(there)} would be overwritten; choose another name, or overwrite=True.")
    if np.isinf(record.signal).any() or np.isnan(record.signal).all():
        raise ValueError("The record has infinite values, or none at all, which WFDB cannot store.")
    leads = {
        lead: _store(row) for lead, row in zip(LEADS, record.signal, strict=True) if lead not in record.missing_leads
    }
    largest = max(float(np.nanmax(np.abs(stored.counts))) for stored in leads.values())
    form = "16" if largest <= _FORMATS["16"] else "32"
    counts = [np.where(np.isnan(lead.counts), -_FORMATS[form] - 1, lead.counts) for lead in leads.values()]
    time = record.recording_time
    with tempfile.TemporaryDirectory(prefix=".omi-estimators-", dir=path.parent) as folder:
        wfdb.wrsamp(
            name,
            fs=record.sampling_rate,
            units=[lead.unit for lead in leads.values()],
            sig_name=list(leads),
            d_signal=np.array(counts, dtype=np.int64).T,
            fmt=[form] * len(leads),
            adc_gain=[lead.gain for lead in leads.values()],
            baseline=[0] * len(leads),
            comments=_comment(record, leads, include_patient_id),
            base_time=time.time() if time else None,
            base_date=time.date() if time else None,
            write_dir=folder,
        )
        for file in files:
            os.replace(Path(folder, file.name), file)
    return files[-1]


def _store(row: NDArray[np.float64]) -> _Stored:
    """Return a lead on the grid that its values are on, else on one of 32 bits that is finer than they are."""
    values = np.unique(np.abs(row[np.isfinite(row)]))
    step = _find_step(values)
    if step is None:
        gain = 10.0 ** np.floor(np.log10(_FORMATS["32"] / values[-1]))
        return _Stored(np.rint(row * gain), float(gain), "mV")
    counts = np.rint(row / step)
    stored = []
    for unit, factor in _UNITS.items():
        near = Fraction(step / factor).limit_denominator(10**6)
        nice = near if abs(near / Fraction(step / factor) - 1) < 1e-14 else Fraction(step / factor)
        gain = float(1 / nice)
        stored += [_Stored(counts, each, unit) for each in _surround(gain)]
        # A multiple of the counts by a whole number is divided without an error of its own.
        stored.append(_Stored(counts * float(nice.numerator), float(nice.denominator), unit))
        stored += [_Stored(counts, gain, unit, exact) for exact in _surround(float(nice))]
    fits = [each for each in stored if np.nanmax(np.abs(each.counts)) <= _FORMATS["32"]]
    # Of those that give the last digit one of 16 bits, if there is one, the first.
    exact = [each for each in fits if np.array_equal(each.millivolts, row, equal_nan=True)]
    return min(exact or fits[:1], key=lambda each: bool(np.nanmax(np.abs(each.counts)) > _FORMATS["16"]))


def _surround(number: float) -> list[float]:
    """Return a number, and the four nearest to it that a computer has."""
    numbers = [number]
    for side in (0.0, np.inf):
        numbers.append(float(np.nextafter(number, side)))
        numbers.append(float(np.nextafter(numbers[-1], side)))
    return numbers


def _find_step(values: NDArray[np.float64]) -> float | None:
    """Return the greatest number of which all values, which are sorted and not negative, are whole multiples.

    As Euclid found it: what is left of each divided by the smallest difference is smaller than that, until nothing
    is left; None if it gets too small for 32 bits.
    """
    largest = float(values[-1])
    if largest == 0:
        return 1.0
    differences = np.diff(np.concatenate([[0.0], values]))
    step = float(differences[differences > _MOST_OFF * largest / _FORMATS["16"]].min())
    while step * _FORMATS["32"] > largest:
        # From the largest value it is known best.
        step = largest / round(largest / step)
        left = np.abs(values / step - np.rint(values / step)).max()
        if left < _MOST_OFF:
            return step
        step *= float(left)
    return None


def _comment(record: ECGRecord, leads: dict[str, _Stored], include_patient_id: bool) -> list[str]:
    """Return the comments: first those that `read_wfdb` understands."""
    comments = []
    if record.age is not None:
        comments.append(f"Age: {np.format_float_positional(record.age, trim='-')}")
    if record.sex is not None:
        comments.append(f"Sex: {record.sex.capitalize()}")
    comments += [f"Dx: {text}" for text in record.statements]
    if record.recording_time is not None and record.recording_time.tzinfo is not None:
        comments.append(f"Time zone: {record.recording_time:%z}")
    if record.derived_leads:
        comments.append(f"Derived leads: {' '.join(record.derived_leads)}")
    exact = [(lead, stored.step) for lead, stored in leads.items() if stored.step is not None]
    comments += [f"Exact count of {lead}: {step!r}" for lead, step in exact]
    if include_patient_id and record.patient_id is not None:
        comments.append(f"Patient id: {record.patient_id}")
    comments.append(f"Source: {record.source_format}")
    comments += [f"Measured {name}: {value:g}" for name, value in record.measurements.items()]
    comments += [f"Note: {note}" for note in record.notes]
    errors = [
        np.nanmax(np.abs(stored.millivolts - record.signal[LEADS.index(lead)]))
        for lead, stored in leads.items()
        if lead not in record.derived_leads
    ]
    if max(errors, default=0.0) > 0:
        comments.append(f"Largest error of rounding: {max(errors):.2g} mV")
    return [" ".join(comment.split()) for comment in comments]
