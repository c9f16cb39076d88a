"""What a recording is put together from: leads kept in several groups, and the pulse that a device adds at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from omi_estimators.leads import LEADS
from omi_estimators.readers._record import ECGFileError, check_size

# The rows that are recorded rather than derived: in those the pulse is the same.
_RECORDED = [LEADS.index(lead) for lead in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")]
# Millivolts: how far leads may differ that are the same (counts of two gains), and how high a pulse is at least.
_SAME, _LEAST_PULSE = 0.03, 0.5
_LEAST_TAIL, _LEAST_TOP = 0.25, 0.08
_MOST_GROUPS = 100


@dataclass(frozen=True)
class Group:
    """Leads that were sampled together.

    Attributes
    ----------
    rate : float
        Hz.
    start : float or None
        Seconds at which they begin, from whatever moment the file counts; None if it does not say.
    leads : dict of str to ndarray of shape (n_samples,)
        Millivolts by the names of `LEADS`; all of one length.
    """

    rate: float
    start: float | None
    leads: dict[str, NDArray[np.float64]] = field(repr=False)

    @property
    def n_samples(self) -> int:
        """Number of samples of each lead."""
        return max((len(values) for values in self.leads.values()), default=0)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.rate

    def suits(self, other: Group) -> bool:
        """Return whether it is known when one of two groups of one rate begins, seen from the other."""
        if self.rate != other.rate:
            return False
        if self.start is not None and other.start is not None:
            return True
        return self.n_samples == other.n_samples and (self.start or 0.0) == (other.start or 0.0)

    def describe(self, names: Sequence[str]) -> str:
        """Return leads of this group in words."""
        return f"{', '.join(names)} ({self.duration:g} s at {self.rate:g} Hz)"


def join_groups(groups: Sequence[Group], notes: list[str]) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Return the leads of all groups that can be put on one time axis, and their rate.

    Groups of the same rate are joined, at the times that they have; where a lead has none it is NaN. If not all fit
    together, those that have the most leads between them, then the longest, are kept.

    Parameters
    ----------
    groups : sequence of Group
        In the order of the file.
    notes : list of str
        Gets what was joined, and which leads were left out: those of groups that cannot be joined, and the shorter
        one of a lead that is in two.

    Returns
    -------
    leads : dict of str to ndarray of shape (n_samples,)
        Millivolts.
    rate : float
        Hz.
    """
    if len(groups) > _MOST_GROUPS:
        raise ECGFileError(f"it keeps its leads in {len(groups)} groups; an ECG has at most {_MOST_GROUPS}")

    def fitting(base: Group) -> list[Group]:
        return [base, *(each for each in groups if each is not base and each.suits(base))]

    def value(base: Group) -> tuple[int, float]:
        return len({lead for each in fitting(base) for lead in each.leads}), base.duration

    base = max(groups, key=value)
    # Among those that are joined the longest has its leads first.
    chosen = sorted(fitting(base), key=lambda each: -each.n_samples)
    taken: dict[str, Group] = {}
    for each in chosen:
        for lead in each.leads:
            taken.setdefault(lead, each)
    used = [each for each in chosen if any(group is each for group in taken.values())]
    first = min(each.start or 0.0 for each in used)
    starts = {id(each): round(((each.start or 0.0) - first) * base.rate) for each in used}
    length = max(starts[id(each)] + each.n_samples for each in used)
    if length > 2 * sum(each.n_samples for each in used):
        raise ECGFileError(
            "its leads are recorded at times far apart: "
            + "; ".join(f"from {each.start or 0.0:g} s on {each.describe(list(each.leads))}" for each in used)
        )
    check_size(8.0 * len(LEADS) * length, f"its leads of {length / base.rate:g} s")
    joined = {}
    for lead, each in taken.items():
        joined[lead] = np.full(length, np.nan)
        joined[lead][starts[id(each)] : starts[id(each)] + each.n_samples] = each.leads[lead]
    if len(used) > 1:
        when = ", each at its own time" if len(set(starts.values())) > 1 else ""
        notes.append(f"Joined {len(used)} groups of leads{when}.")
    for each in groups:
        unused = [lead for lead in each.leads if taken.get(lead) is not each]
        absent = [lead for lead in unused if lead not in taken]
        if absent:
            notes.append(
                f"Left out, as nothing says when it was recorded beside the others, or at another rate: "
                f"{each.describe(absent)}."
            )
        if len(unused) > len(absent):
            notes.append(f"Left out what is there twice: {each.describe([i for i in unused if i not in absent])}.")
    return joined, base.rate


def cut_calibration(signal: NDArray[np.float64], sampling_rate: float) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return a recording without its last second, if that ends in a calibration pulse, and a note of it.

    Devices of Philips add the second, which whoever converts their files carries on. A pulse is rectangular, at least
    0.5 mV high, begins and ends at one level, is the same in all leads that are recorded rather than derived, and there
    is nothing like it before.

    Parameters
    ----------
    signal : ndarray of shape (12, n_samples)
        Millivolts.
    sampling_rate : float
        Hz.

    Returns
    -------
    signal : ndarray of shape (12, n_samples)
        As given, or a second shorter.
    notes : tuple of str
        One, or none.
    """
    second = round(sampling_rate)
    leads = signal[_RECORDED]
    leads = leads[~np.isnan(leads).any(axis=1)]
    if len(leads) < 3 or leads.shape[1] < 2 * second:
        return signal, ()
    # Whoever converts may shift each lead.
    last = leads[:, -second:] - leads[:, -1:]
    differs = np.flatnonzero(np.ptp(last, axis=0) > _SAME)
    tail = last[:, int(differs[-1]) + 1 if differs.size else 0 :].mean(axis=0)
    height = tail[np.argmax(np.abs(tail))] if tail.size else 0.0
    if tail.size < _LEAST_TAIL * sampling_rate or abs(height) < _LEAST_PULSE:
        return signal, ()
    top, bottom = np.abs(tail - height) < 0.15 * abs(height), np.abs(tail) < 0.15 * abs(height)
    plateau = np.flatnonzero(top)
    whole = top[plateau[0] : plateau[-1] + 1].all() and bottom[0] and bottom[-1]
    if not whole or plateau.size < _LEAST_TOP * sampling_rate or (top | bottom).mean() < 0.9:
        return signal, ()
    before = leads[:, :-second] - np.median(leads[:, :-second], axis=1, keepdims=True)
    alike = (np.ptp(before, axis=0) <= _SAME) & (np.abs(before.mean(axis=0)) >= 0.5 * abs(height))
    if alike.any():
        return signal, ()
    return signal[:, :-second], ("Cut off the last second, which ends in the calibration pulse.",)
