"""What measurements are made on: a record's average beat and its fiducial points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omi_estimators.features._delineate import Fiducials
from omi_estimators.leads import LEADS


@dataclass(frozen=True)
class DelineatedBeat:
    """The average beat of a record with its fiducial points.

    Attributes
    ----------
    leads : ndarray of shape (n_leads, n_samples)
        In millivolts, PQ level at zero; a missing or flat lead is zero throughout.
    present : ndarray of bool, shape (n_leads,)
        Which leads are neither missing nor flat.
    points : Fiducials
        Common to all leads, in samples.
    sampling_rate : float
        In Hz.
    rr : float
        Median RR interval in seconds; NaN for a single beat.
    """

    leads: NDArray[np.float64]
    present: NDArray[np.bool_]
    points: Fiducials
    sampling_rate: float
    rr: float

    @property
    def is_standard(self) -> bool:
        """Whether the leads are the twelve of `LEADS`."""
        return len(self.leads) == len(LEADS)

    @property
    def has_t(self) -> bool:
        """Whether peak and end of the T wave were found."""
        return bool(np.isfinite(self.points.t_peak) and np.isfinite(self.points.t_offset))

    def known(self) -> NDArray[np.float64]:
        """Return the leads with NaN where one is missing, for what needs several of them."""
        return np.where(self.present[:, np.newaxis], self.leads, np.nan)

    def ms(self, start: float, stop: float) -> float:
        """Return the time between two samples in ms."""
        return (stop - start) * 1000 / self.sampling_rate

    def after(self, point: float, ms: float) -> float:
        """Return the sample (a fraction) that lies `ms` after a point."""
        return point + ms * self.sampling_rate / 1000

    def holds(self, time: float) -> bool:
        """Return whether the beat reaches as far as `time`, a sample."""
        return 0 <= time < self.leads.shape[1]

    def at(self, time: float, half_width: float) -> NDArray[np.float64]:
        """Return each lead's mean over the samples within `half_width` ms of `time`, a sample."""
        reach = round(half_width * self.sampling_rate / 1000)
        centre = min(max(round(time), 0), self.leads.shape[1] - 1)
        return self.leads[:, max(0, centre - reach) : centre + reach + 1].mean(axis=1)

    def area(self, start: float, stop: float) -> NDArray[np.float64]:
        """Return each lead's signed area from one sample to another, in mV·ms."""
        return self.leads[:, max(0, int(start)) : int(stop) + 1].sum(axis=1) * 1000 / self.sampling_rate

    def parts(self) -> dict[str, tuple[int, int]]:
        """Return first and last-but-one sample of the parts of the beat; empty where a wave was not found.

        ``t`` begins half-way from the J point to the T peak, where ``st`` ends; ``j`` is 20 ms on either side of J.
        """
        n_samples = self.leads.shape[1]
        onset, j = int(self.points.qrs_onset), int(self.points.qrs_offset)
        near = round(0.02 * self.sampling_rate)
        peak, end = (int(self.points.t_peak), int(self.points.t_offset) + 1) if self.has_t else (j, j)
        middle = (j + peak) // 2
        return {
            "beat": (0, n_samples),
            "qrs": (onset, j + 1),
            "j": (max(0, j - near), min(n_samples, j + near + 1)),
            "st": (j, middle),
            "stt": (j, end),
            "t": (middle, end),
        }
