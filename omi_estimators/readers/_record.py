"""One ECG as a file gave it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from omi_estimators.leads import LEADS

MEASUREMENTS = ("heart_rate", "pr", "p_duration", "qrs", "qt", "qtc", "p_axis", "qrs_axis", "t_axis")
"""Names of device measurements: beats/min, then ms, then degrees in the frontal plane."""


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
    notes : tuple of str
        What reading changed or found odd.
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
    notes: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return float(self.signal.shape[1] / self.sampling_rate)

    def __repr__(self) -> str:
        leads = f"{len(LEADS) - len(self.missing_leads)} leads"
        derived = f" ({', '.join(self.derived_leads)} derived)" if self.derived_leads else ""
        return f"<ECGRecord: {self.source_format}, {leads}{derived}, {self.duration:g} s at {self.sampling_rate:g} Hz>"
