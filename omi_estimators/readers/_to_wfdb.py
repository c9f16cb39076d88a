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

# What is written: units, and formats with their greatest number; the lowest stands for no sample.
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_UNITS = {"mV": 1.0, "uV": 1e-3}
_WRITTEN = {"16": 2**15 - 1, "32": 2**31 - 1}
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
    def largest(self) -> float:
        return float(np.nanmax(np.abs(self.counts)))

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
        right = re.sub("[^A-Za-z0-9_-]+", "_", path.stem) or "record"
        allowed = "letters, digits, underscores and hyphens alone"
        raise ValueError(f"A WFDB record is named by {allowed}; got {path.name!r}, such as {right!r} would be right.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent.as_posix()!r} for the record {name}; make it first.")
    files = [path.with_name(f"{name}{suffix}") for suffix in (".dat", ".hea")]
    there = [file.name for file in files if file.exists()]
    if there and not overwrite:
        raise FileExistsError(f"{' and '.join(there)} would be overwritten; choose another name, or overwrite=True.")
    if np.isinf(record.signal).any() or np.isnan(record.signal).all():
        raise ValueError("The record has infinite values, or none at all, which WFDB cannot store.")
    rows = zip(LEADS, record.signal, strict=True)
    leads = {lead: _choose_counts(row) for lead, row in rows if lead not in record.missing_leads}
    form = "16" if max(stored.largest for stored in leads.values()) <= _WRITTEN["16"] else "32"
    counts = [np.where(np.isnan(lead.counts), -_WRITTEN[form] - 1, lead.counts) for lead in leads.values()]
    moment = record.recording_time
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
            comments=_write_comments(record, leads, include_patient_id),
            base_time=moment.time() if moment else None,
            base_date=moment.date() if moment else None,
            write_dir=folder,
        )
        for file in files:
            os.replace(Path(folder, file.name), file)
    return files[-1]


def _choose_counts(row: NDArray[np.float64]) -> _Stored:
    """Return a lead on the grid that its values are on, else on one of 32 bits that is finer than they are."""
    values = np.unique(np.abs(row[np.isfinite(row)]))
    step = _find_step(values)
    if step is None:
        gain = 10.0 ** np.floor(np.log10(_WRITTEN["32"] / values[-1]))
        return _Stored(np.rint(row * gain), float(gain), "mV")
    counts = np.rint(row / step)
    stored = []
    for unit, factor in _UNITS.items():
        near = Fraction(step / factor).limit_denominator(10**6)
        nice = near if abs(near / Fraction(step / factor) - 1) < 1e-14 else Fraction(step / factor)
        gain = float(1 / nice)
        stored += [_Stored(counts, each, unit) for each in _list_neighbours(gain)]
        # A multiple of the counts by a whole number is divided without an error of its own.
        stored.append(_Stored(counts * float(nice.numerator), float(nice.denominator), unit))
        stored += [_Stored(counts, gain, unit, exact) for exact in _list_neighbours(float(nice))]
    fits = [each for each in stored if each.largest <= _WRITTEN["32"]]
    # Of those that give the last digit one of 16 bits, if there is one, the first.
    exact = [each for each in fits if np.array_equal(each.millivolts, row, equal_nan=True)]
    return min(exact or fits[:1], key=lambda each: each.largest > _WRITTEN["16"])


def _list_neighbours(number: float) -> list[float]:
    """Return a number, and the four nearest to it that a computer has."""
    below, above = np.nextafter(number, 0.0), np.nextafter(number, np.inf)
    return [number, *map(float, (below, np.nextafter(below, 0.0), above, np.nextafter(above, np.inf)))]


def _find_step(values: NDArray[np.float64]) -> float | None:
    """Return the greatest number of which all values, which are sorted and not negative, are whole multiples.

    As Euclid found it: what is left of each divided by the smallest difference is smaller than that, until nothing
    is left; None if it gets too small for 32 bits.
    """
    largest = float(values[-1])
    if largest == 0:
        return 1.0
    differences = np.diff(values, prepend=0.0)
    step = float(differences[differences > _MOST_OFF * largest / _WRITTEN["16"]].min())
    while step * _WRITTEN["32"] > largest:
        # From the largest value it is known best.
        step = largest / round(largest / step)
        left = np.abs(values / step - np.rint(values / step)).max()
        if left < _MOST_OFF:
            return step
        step *= float(left)
    return None


def _write_comments(record: ECGRecord, leads: dict[str, _Stored], include_patient_id: bool) -> list[str]:
    """Return the comments: first those that `read_wfdb` understands."""
    moment = record.recording_time
    age = "" if record.age is None else np.format_float_positional(record.age, trim="-")
    said = [("Age", age), ("Sex", (record.sex or "").capitalize()), *(("Dx", text) for text in record.statements)]
    said += [("Time zone", f"{moment:%z}" if moment else ""), ("Derived leads", " ".join(record.derived_leads))]
    said += [(f"Exact count of {lead}", repr(each.step)) for lead, each in leads.items() if each.step is not None]
    said += [("Patient id", (include_patient_id and record.patient_id) or ""), ("Source", record.source_format)]
    said += [(f"Measured {name}", f"{value:g}") for name, value in record.measurements.items()]
    said += [("Note", note) for note in record.notes]
    rows = dict(zip(LEADS, record.signal, strict=True))
    stated = leads.keys() - set(record.derived_leads)
    error = max((float(np.nanmax(np.abs(leads[lead].millivolts - rows[lead]))) for lead in stated), default=0.0)
    said += [("Largest error of rounding", f"{error:.2g} mV" if error > 0 else "")]
    return [" ".join(f"{name}: {text}".split()) for name, text in said if text]
