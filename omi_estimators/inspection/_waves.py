"""The waves of a record: its average beat, and where P, QRS, ST and T lie in it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from omi_estimators.features import Fiducials, delineate
from omi_estimators.preprocessing import AverageBeat, average_beats, filter_ecg

Array = NDArray[np.float64]

SEGMENTS = ("P", "QRS", "ST", "T")
"""The segments of a beat. ST, which has no end of its own, runs from J half-way to the T peak; T goes on from there."""

# The beat reaches from before the P wave to after the T wave (s).
BEFORE, AFTER = 0.45, 0.7


class Waves(NamedTuple):
    """A record's average beat and its fiducial points.

    Attributes
    ----------
    filtered : ndarray of shape (n_leads, n_samples)
        The record, filtered, in mV.
    beat : AverageBeat
        Its average beat, and where the beats lie in the record.
    points : Fiducials
        Of the average beat, in its samples.
    """

    filtered: Array
    beat: AverageBeat
    points: Fiducials

    def segments(self) -> dict[str, tuple[int, int]]:
        """Return first sample and end of each segment of the beat; those that were not found are left out."""
        points, last = self.points, self.beat.waveform.shape[1]
        st_end = (points.qrs_offset + points.t_peak) / 2
        ends = {
            "P": (points.p_onset, points.p_offset),
            "QRS": (points.qrs_onset, points.qrs_offset),
            "ST": (points.qrs_offset, st_end),
            "T": (st_end, points.t_offset),
        }
        found = {name: (round(a), round(b)) for name, (a, b) in ends.items() if np.isfinite(a) and np.isfinite(b)}
        return {name: (max(0, a), min(last, b)) for name, (a, b) in found.items() if min(last, b) - max(0, a) > 1}


def find_waves(record: Any, sampling_rate: float) -> Waves:
    """Return the waves of one raw record.

    Raises
    ------
    NoBeatError
        If no beat can be found.
    """
    filtered = filter_ecg(np.asarray(record, dtype=np.float64), sampling_rate)
    beat = average_beats(filtered, sampling_rate, BEFORE, AFTER)
    intervals = np.diff(beat.peaks)
    rr = float(np.median(intervals)) / sampling_rate if intervals.size else 0.8
    return Waves(filtered, beat, delineate(beat.waveform, sampling_rate, r_index=beat.r_index, rr=rr))
