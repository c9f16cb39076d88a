"""What a reader of a format is given, the record that it makes, and the one error that bad files raise."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from omi_estimators._paper import draw_svg
from omi_estimators._text import make_html_table
from omi_estimators.leads import LEADS

MEASUREMENTS = ("heart_rate", "pr", "p_duration", "qrs", "qt", "qtc", "p_axis", "qrs_axis", "t_axis")
"""Names of device measurements: beats/min, then ms, then degrees in the frontal plane."""

_NO_XML = Element("none")


class ECGFileError(ValueError):
    """A file that cannot be read as a 12-lead ECG; the message names it, says why, and how to mend it.

    Examples
    --------
    >>> from omi_estimators.readers import ECGFileError, read_ecg
    >>> try:
    ...     read_ecg("there/is/no/such.xml")
    ... except ECGFileError as error:
    ...     print(error)
    such.xml: there is no such file. Check the path 'there/is/no/such.xml'.
    """


MOST_BYTES = 2**30
"""What a file may hold once it is unpacked, in bytes of samples as they are stored or as float64, whichever is more."""

# What libraries raise on files cut short or scrambled.
DAMAGE: tuple[type[Exception], ...] = (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError)
DAMAGE += (RuntimeError, TypeError, ValueError, struct.error, zlib.error)


@contextmanager
def naming_file(name: str) -> Iterator[None]:
    """Make whatever goes wrong with a file an ECGFileError that names it."""
    try:
        yield
    except ECGFileError as error:
        text = " ".join(str(error).split())
        raise ECGFileError(f"{name}: {text if text.endswith(('.', '!', '?')) else f'{text}.'}") from error
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200]
        raise ECGFileError(f"{name}: it is damaged, reading it ends in {type(error).__name__}: {reason}.") from error
    except MemoryError as error:
        raise ECGFileError(f"{name}: reading it takes more memory than there is; give duration= in seconds.") from error


def check_size(n_bytes: float, what: str) -> None:
    """Raise an ECGFileError before `what`, such as "its array", is made of so many bytes."""
    if not n_bytes <= MOST_BYTES:
        raise ECGFileError(
            f"{what} would take {n_bytes / 2**30:.3g} GiB; at most {MOST_BYTES / 2**30:g} GiB are read at once. "
            "If it is a long recording, give duration= (and start=) in seconds"
        )


@dataclass(frozen=True)
class Source:
    """What a reader of one format is given.

    Attributes
    ----------
    path : Path
        The file; of a WFDB record its header.
    data : bytes
        The whole file; nothing of an EDF file, which may be longer than memory.
    root : Element
        Of an XML file, tags without namespaces.
    sampling_rate, unit, leads : float, str and sequence of str, or None
        What the caller says; only formats that do not say it themselves may use it.
    start, duration : float, float or None
        The part that is wanted, in seconds. Formats of long recordings read that alone, by `choose_part`; of the
        others the whole is read, and cut afterwards.
    notes : list of str
        Gets what reading assumed, left out or found odd.
    """

    path: Path
    data: bytes
    root: Element = _NO_XML
    sampling_rate: float | None = None
    unit: str | None = None
    leads: Sequence[str] | None = None
    start: float = 0.0
    duration: float | None = None
    notes: list[str] = field(default_factory=list)

    def choose_part(self, n_samples: int, sampling_rate: float) -> tuple[int, int]:
        """Return the first sample that is wanted of `n_samples`, and the one after the last.

        Raises an ECGFileError if there is none, or more than is read at once.
        """
        first = round(min(self.start * sampling_rate, n_samples))
        if not first < n_samples:
            raise ECGFileError(f"it has {n_samples / sampling_rate:g} s, so nothing from {self.start:g} s on")
        last = n_samples if self.duration is None else first + round(min(self.duration * sampling_rate, n_samples))
        last = min(max(last, first + 1), n_samples)
        check_size(8.0 * len(LEADS) * (last - first), f"its {len(LEADS)} leads of {n_samples} samples")
        return first, last


@dataclass(frozen=True, eq=False, repr=False)
class ECGRecord:
    """One ECG recording, in millivolts, leads in the order of `LEADS`.

    Attributes
    ----------
    signal : ndarray of shape (12, n_samples)
        Float64 millivolts; a lead that the file lacks, and that does not follow from others, is NaN.
    sampling_rate : float
        Hz.
    source_format : str
        What kind of file it came from, with the version where there is one.
    age : float or None
        Years.
    sex : {"male", "female"} or None
        As the file says.
    patient_id : str or None
        As the file says; for grouping, not for display.
    recording_time : datetime or None
        When it was recorded, in the time of the device.
    measurements : dict of str to float
        What the device measured: `heart_rate` (beats/min), `pr`, `p_duration`, `qrs`, `qt`, `qtc` (ms), `p_axis`,
        `qrs_axis`, `t_axis` (degrees); only those that the file has.
    statements : tuple of str
        What the device or a reader said of the ECG, in their words.
    derived_leads : tuple of str
        Limb leads that the file lacks and that follow from two others (Einthoven, Goldberger).
    missing_leads : tuple of str
        Leads that are NaN in `signal`.
    limb_leads : str
        What is odd about the limb leads, in words, also in `notes`: they contradict each other (which one is inverted,
        which are exchanged or in another order), or their electrodes look swapped. Empty where nothing is.
    notes : tuple of str
        What reading changed or found odd.
    total_duration : float or None
        Length of the whole recording in seconds, of which `signal` may be a part.
    """

    signal: NDArray[np.float64]
    sampling_rate: float
    source_format: str
    age: float | None = None
    sex: str | None = None
    patient_id: str | None = None
    recording_time: datetime | None = None
    measurements: dict[str, float] = field(default_factory=dict)
    statements: tuple[str, ...] = ()
    derived_leads: tuple[str, ...] = ()
    missing_leads: tuple[str, ...] = ()
    limb_leads: str = ""
    notes: tuple[str, ...] = ()
    total_duration: float | None = None

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return float(self.signal.shape[1] / self.sampling_rate)

    def to_wfdb(
        self, path: str | os.PathLike[str], *, include_patient_id: bool = False, overwrite: bool = False
    ) -> Path:
        """Write the record in the format of PhysioNet, a header and a file of samples.

        Where a lead is whole counts of one resolution, as in files of devices, its counts are written, and `read_ecg`
        reads back the same millivolts to the last digit. Other values are rounded to a 32-bit grid, finer than 1e-8
        of their range, and a comment says the largest error. NaN is the value that stands for no sample; missing
        leads are left out, derived ones are written and named in a comment, by which they are derived again. Age,
        sex, statements and time are written as `read_ecg` reads them back; source, measurements and notes are
        comments that it does not read.

        Parameters
        ----------
        path : path-like
            The record, without suffix; its name of letters, digits, underscores and hyphens.
        include_patient_id : bool, default=False
            Whether to write the patient's identifier into a comment.
        overwrite : bool, default=False
            Whether files that are there may be replaced.

        Returns
        -------
        Path
            The header.

        Raises
        ------
        FileExistsError
            If a file is there already.
        FileNotFoundError
            If the folder is absent.
        ValueError
            If the name is none that WFDB allows.
        ImportError
            If `wfdb` is not installed (the extra `io`).

        Examples
        --------
        >>> from omi_estimators import read_ecg
        >>> read_ecg("muse.xml").to_wfdb("converted/patient_1")  # doctest: +SKIP
        """
        from omi_estimators.readers._to_wfdb import write_wfdb

        return write_wfdb(self, path, include_patient_id=include_patient_id, overwrite=overwrite)

    def _repr_html_(self) -> str:
        """Return the record on paper, and what the file says of it, for notebooks; not whose it is."""
        facts: dict[str, object] = {
            "format": self.source_format,
            "recorded": f"{self.duration:g} s at {self.sampling_rate:g} Hz",
            "time": self.recording_time,
            "age": None if self.age is None else f"{self.age:g}",
            "sex": self.sex,
            "derived leads": ", ".join(self.derived_leads),
            "missing leads": ", ".join(self.missing_leads),
            "the device measured": ", ".join(f"{name} {value:g}" for name, value in self.measurements.items()),
            "the device, or a reader, says": "; ".join(self.statements),
            "notes": " ".join(self.notes),
        }
        table = make_html_table((name, text) for name, text in facts.items() if text not in (None, ""))
        return f"<div>{draw_svg(self.signal, self.sampling_rate) if self.signal.size else ''}{table}</div>"

    def __repr__(self) -> str:
        leads = f"{len(LEADS) - len(self.missing_leads)} leads"
        derived = f" ({', '.join(self.derived_leads)} derived)" if self.derived_leads else ""
        return f"<ECGRecord: {self.source_format}, {leads}{derived}, {self.duration:g} s at {self.sampling_rate:g} Hz>"
