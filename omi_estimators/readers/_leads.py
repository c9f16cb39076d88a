"""From named signals to a record of twelve leads: what leads are called, groups of them, and what an ECG can be."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from omi_estimators.leads import LEADS, LIMB_LEADS, derive_limb_leads
from omi_estimators.readers._fields import is_stated, keep_measured, note_unread, to_age, to_sex, to_time
from omi_estimators.readers._limb_leads import find_limb_lead_fault
from omi_estimators.readers._record import ECGFileError, ECGRecord, Source, check_size

_NAMES = {lead.upper(): lead for lead in LEADS}
# Arabic numbers and the D of Romance languages for limb leads, C for chest leads.
_NAMES |= {name: lead for number, lead in zip("123", LEADS, strict=False) for name in (f"L{number}", f"D{number}")}
_NAMES |= {f"D{lead}": lead for lead in ("I", "II", "III")} | {f"C{number}": f"V{number}" for number in range(1, 7)}
_NAMES |= {"1": "I", "2": "II", "3": "III", "VR": "aVR", "VL": "aVL", "VF": "aVF"}
# What stands before or after the name of a lead, and says nothing.
_PREFIXES = ("MDC", "ECG", "EKG", "LEAD", "ABL", "ABLEITUNG", "DERIVATION", "DERIVACION")
_SUFFIXES = ("LEAD", "REF", "MV", "UV", "\u03bcV".upper(), "MICROV", "MICROVOLTS", "MILLIVOLTS")
# A dash between words parts them; at the beginning of one it inverts the lead.
_MINUS = re.compile(r"(?:^|[\s_.:])-(?=\w)")
_BETWEEN = re.compile(r"[\s_.:,/()\[\]-]+")
_NUMBERED = re.compile(r"(.{0,32}?)0{0,2}([0-9]{1,2})")
# How far the leads go that are numbered after such a letter; after any other prefix it is to III.
_MOST_NUMBERED = {"V": 6, "C": 6}
_LONGEST_NAME = 64
# Where one of these is recorded, C1 to C6 are electrodes on the head.
_OF_SLEEP = {"CZ", "FZ", "PZ", "F3", "F4", "O1", "O2", "FP1", "FP2", "A1", "A2", "M1", "M2", "EEG", "EOG", "EMG"}
_CHEST_OR_HEAD = {f"C{number}" for number in range(1, 7)}

# Values are trusted to be millivolts between these, looking at the range that 99 % of samples of a lead keep to.
_SMALLEST_RANGE, _LARGEST_RANGE = 0.01, 30.0
_LEAST_RATE, _MOST_RATE = 50.0, 50_000.0
_LEAST_SECONDS = 0.5
_MOST_GROUPS = 100
# The rows that are recorded rather than derived: in those a calibration pulse is the same.
_RECORDED = [LEADS.index(lead) for lead in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")]
# Millivolts: how far leads may differ that are the same (counts of two gains), and how high a pulse is at least.
_SAME, _LEAST_PULSE = 0.03, 0.5
_LEAST_TAIL, _LEAST_TOP = 0.25, 0.08  # s


def find_lead(name: object) -> tuple[str, float] | None:
    """Return which lead a signal is, and its sign, or None if it is none of the twelve.

    Parameters
    ----------
    name : str
        As a file has it: "AVR", "Lead II", "Lead-II", "MDC_ECG_LEAD_V1", "ECG I", "V1 (uV)", "-aVR".

    Returns
    -------
    (str, float) or None
        The name in `LEADS`, and -1 for an inverted lead such as "-aVR", else 1. MLII, whose electrodes lie on the
        chest, is none of them.
    """
    text = str(name).strip()
    return _find_lead(text) if len(text) <= _LONGEST_NAME else None


@lru_cache(maxsize=1024)
def _find_lead(text: str) -> tuple[str, float] | None:
    # Of one sign that looks like another this makes the same: a Roman number in one sign, both signs for micro.
    text = unicodedata.normalize("NFKC", text).replace("\N{MINUS SIGN}", "-").strip(" \"'").upper()
    sign = -1.0 if _MINUS.search(text) else 1.0
    words = [word for word in _BETWEEN.split(text) if word]
    while len(words) > 1 and words[0] in _PREFIXES:
        del words[0]
    while len(words) > 1 and words[-1] in _SUFFIXES:
        del words[-1]
    if len(words) != 1:
        return None
    glued = next((word for word in ("LEAD", "ECG", "EKG") if words[0].startswith(word)), "")
    lead = _NAMES.get(words[0].removeprefix(glued))
    return None if lead is None else (lead, sign)


def name_numbered(names: Sequence[str], notes: list[str]) -> list[str]:
    """Return the names of signals, those of the leads where they are but numbered, with a note that says so.

    Parameters
    ----------
    names : sequence of str
        Of a file's signals, such as "lead 1" to "lead 12", "ch0" to "ch11", or "0" to "11"; C1 to C6 are none beside an
        electroencephalogram.
    notes : list of str
        Gets what was assumed.

    Returns
    -------
    list of str
        The same, or `LEADS` in their usual order.

    Raises
    ------
    ECGFileError
        If more than the three limb leads are numbered, and they are not twelve, or not counted on from 0 or 1.
    """
    families: dict[str, dict[int, int]] = {}
    for position, name in enumerate(names):
        found = _NUMBERED.fullmatch(str(name).strip())
        if found is not None:
            families.setdefault(found[1].strip().upper(), {})[position] = int(found[2])
    words = [set(_BETWEEN.split(str(name)[:_LONGEST_NAME].upper())) for name in names]
    if _OF_SLEEP & set().union(*words):
        on_head = [bool(each & _CHEST_OR_HEAD) and "EEG" not in each for each in words]
        names = [f"{name} (EEG)" if each else name for name, each in zip(names, on_head, strict=True)]
    renamed = list(names)
    for prefix, numbers in families.items():
        if any(find_lead(name) for position, name in enumerate(names) if position not in numbers):
            continue
        family = [str(names[position])[:20] for position in numbers]
        if list(numbers.values()) in (list(range(len(LEADS))), list(range(1, len(LEADS) + 1))):
            for position, lead in zip(numbers, LEADS, strict=True):
                renamed[position] = lead
            notes.append(f"Taken for the twelve leads in their usual order, being numbered: {', '.join(family)}.")
        elif any(map(find_lead, family)) and not {*numbers.values()} <= {
            *range(1, _MOST_NUMBERED.get(prefix[-1:], 3) + 1)
        }:
            raise ECGFileError(
                f"its signals are numbered, {', '.join(family[:15])}, and are not twelve counted on; say which leads "
                "they are, by leads= of plain numbers"
            )
    return renamed


def make_record(
    source: Source,
    named: Iterable[tuple[object, NDArray[np.floating]]],
    sampling_rate: float,
    source_format: str,
    *,
    age: tuple[object, str | None] = (None, None),
    birth: object = None,
    sex: object = None,
    patient_id: str | None = None,
    times: Iterable[object] = (),
    measured: Iterable[tuple[str | None, float | None]] = (),
    statements: Iterable[str] = (),
    total_duration: float | None = None,
) -> ECGRecord:
    """Return a record of what a file says, and check that an ECG can be of this kind.

    Parameters
    ----------
    source : Source
        Its notes are those of the record, each once.
    named : iterable of (str, ndarray of shape (n_samples,))
        Each signal's name in the file, and its values in mV, NaN where the file has a gap.
    sampling_rate : float
        Hz.
    source_format : str
        What kind of file it is.
    age, birth : (object, str or None), object
        Age with its unit, and day of birth, as `to_age` takes them.
    sex, patient_id : str or None
        As the file has them; a placeholder is none.
    times : iterable of (str, datetime or None)
        Of the recording, of which the first that is a time counts.
    measured : iterable of (str or None, float or None)
        Names of `MEASUREMENTS` and values, of which the first of each name that is there counts.
    statements : iterable of str
        Those of device or reader.
    total_duration : float or None
        Seconds of the whole recording, of which the signal may be a part.

    Returns
    -------
    ECGRecord
        Limb leads that the file lacks are derived from two others where it has two; what is missing still is NaN.

    Raises
    ------
    ECGFileError
        If there is no lead, a lead twice, leads of different lengths, no sample, less than half a second, an
        infinite value, an impossible rate, or a range of values that no heart gives in millivolts.
    """
    signal, others = arrange_leads(named, source.notes)
    check_rate(sampling_rate)
    seconds = signal.shape[1] / sampling_rate
    if seconds < _LEAST_SECONDS:
        raise ECGFileError(f"it has {seconds:g} s, which is less than {_LEAST_SECONDS:g} s; it looks cut short")
    if np.isinf(signal).any():
        raise ECGFileError("it has infinite values")
    signal, pulse = cut_calibration(signal, sampling_rate)
    empty = np.array([np.isnan(lead).all() for lead in signal])
    if empty.all():
        raise ECGFileError("it has no valid sample in any of the twelve leads")
    check_range(signal)
    limb_leads = find_limb_lead_fault(signal, sampling_rate)
    if empty[: len(LIMB_LEADS)].any():
        signal = derive_limb_leads(signal[np.newaxis])[0]
    missing = np.isnan(signal).all(axis=1)
    notes = source.notes
    if others:
        notes.append(f"Left out, being none of the twelve leads: {', '.join(others)}.")
    said = [each for each in times if str(each or "").strip()]
    time = next(filter(None, map(to_time, said)), None)
    note_unread("recording time", next(iter(said), None), time, notes)
    known_sex = to_sex(sex)
    note_unread("sex", sex, known_sex, notes)
    return ECGRecord(
        signal=signal,
        sampling_rate=sampling_rate,
        source_format=source_format.strip()[:60],
        age=to_age(*age, birth, time, notes),
        sex=known_sex,
        patient_id=patient_id.strip() if patient_id and is_stated(patient_id) else None,
        recording_time=time,
        measurements=keep_measured(measured, notes),
        statements=tuple(filter(None, statements)),
        derived_leads=tuple(LEADS[i] for i in np.flatnonzero(empty & ~missing)),
        missing_leads=tuple(LEADS[i] for i in np.flatnonzero(missing)),
        limb_leads=limb_leads,
        notes=tuple(dict.fromkeys(filter(None, [pulse, limb_leads, *notes]))),
        total_duration=total_duration,
    )


def arrange_leads(
    named: Iterable[tuple[object, NDArray[np.floating]]], notes: list[str]
) -> tuple[NDArray[np.float64], list[str]]:
    """Return twelve leads (12, n_samples), NaN for those that are missing, and the names of signals that are none."""
    pairs = list(named)
    leads, others = sort_leads([str(name) for name, _ in pairs], lambda place: pairs[place][1], notes)
    if not leads:
        raise ECGFileError(f"it has none of the twelve leads; its signals are {', '.join(others) or 'none'}")
    missing = np.full(len(next(iter(leads.values()))), np.nan)
    return np.array([leads.get(lead, missing) for lead in LEADS]), others


def sort_leads(
    names: Sequence[str], read: Callable[[int], NDArray[np.floating]], notes: list[str]
) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """Return the leads among signals that were sampled together, and the names of the others, which are not read.

    Parameters
    ----------
    names : sequence of str
        As the file has them.
    read : callable
        Gets the place of a name, and returns the values of the signal.
    notes : list of str
        Gets what was assumed of numbers as names.

    Returns
    -------
    leads : dict of str to ndarray of shape (n_samples,)
        By the names of `LEADS`; inverted ones such as "-aVR" turned back.
    others : list of str
        Names of signals that are no lead.
    """
    leads: dict[str, NDArray[np.float64]] = {}
    others = []
    for place, name in enumerate(name_numbered(names, notes)):
        found = find_lead(name)
        if found is None:
            others.append(name[:40])
        elif found[0] in leads:
            raise ECGFileError(f"it has lead {found[0]} twice; it is unclear which one is meant")
        else:
            leads[found[0]] = found[1] * np.asarray(read(place), dtype=np.float64)
    if len({len(values) for values in leads.values()}) > 1:
        counts = ", ".join(f"{lead} {len(values)}" for lead, values in leads.items())
        raise ECGFileError(f"its leads have different numbers of samples ({counts})")
    return leads, others


def common_rate(rates: Iterable[float]) -> float:
    """Return the one rate that the leads have, 0 where there is no lead; an ECGFileError if they have several."""
    different = set(rates)
    if len(different) > 1:
        said = ", ".join(f"{rate:g}" for rate in different)
        raise ECGFileError(f"its leads have different sampling rates ({said} Hz)")
    return different.pop() if different else 0.0


def choose_rate(stated: float | None, said: object, source: Source) -> float:
    """Return the sampling rate that a file states, or if it cannot be read that of the caller, with a note.

    Parameters
    ----------
    stated : float or None
        Hz by the file; none or no number above 0 is one that cannot be read.
    said : str
        What the file has there, or where it should be.
    source : Source
        With the rate of the caller.

    Returns
    -------
    float
        Hz.

    Raises
    ------
    ECGFileError
        If there is neither, or none that an ECG has.
    """
    if stated is None or not 0 < stated < np.inf:
        stated = source.sampling_rate
        if stated is None:
            raise ECGFileError(f"its sampling rate cannot be read, {said!r:.60}; give sampling_rate= if you know it")
        source.notes.append(f"The sampling rate cannot be read, {said!r:.60}; {stated:g} Hz was given.")
    check_rate(stated)
    return stated


def check_rate(sampling_rate: float) -> None:
    """Raise an ECGFileError for a rate that no ECG has."""
    if not _LEAST_RATE <= sampling_rate <= _MOST_RATE:
        least, most = _LEAST_RATE, _MOST_RATE
        raise ECGFileError(f"its sampling rate is {sampling_rate:g} Hz; an ECG has one from {least:g} to {most:g} Hz")


def check_range(signal: NDArray[np.float64]) -> None:
    """Raise an ECGFileError if `signal` (12, n_samples) cannot be millivolts of a heart.

    The median over leads decides, of the leads that are not flat: one loose electrode is no wrong unit.
    """
    varied = signal[np.nanmax(signal, axis=1, initial=-np.inf) > np.nanmin(signal, axis=1, initial=np.inf)]
    if not len(varied):
        return
    low, high = np.nanpercentile(varied, (0.5, 99.5), axis=1)
    typical = float(np.median(high - low))
    if not _SMALLEST_RANGE <= typical <= _LARGEST_RANGE:
        said = f"its values span {typical:.3g} mV, and a heart gives about 1 mV"
        raise ECGFileError(f"{said}: the unit or the gain that it states is wrong, or it is no ECG")


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

    def suits(self, other: Group) -> bool:
        """Return whether it is known when one of two groups of one rate begins, seen from the other."""
        is_alike = self.n_samples == other.n_samples and (self.start or 0.0) == (other.start or 0.0)
        return self.rate == other.rate and (None not in (self.start, other.start) or is_alike)

    def describe(self, names: Iterable[str]) -> str:
        """Return leads of this group in words."""
        return f"{', '.join(names)} ({self.n_samples / self.rate:g} s at {self.rate:g} Hz)"


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
    fitting = [[each for each in groups if each is base or each.suits(base)] for base in groups]
    best = max(
        range(len(groups)),
        key=lambda i: (len({lead for each in fitting[i] for lead in each.leads}), groups[i].n_samples / groups[i].rate),
    )
    rate = groups[best].rate
    taken: dict[str, Group] = {}
    # Among those that are joined the longest has its leads first.
    for each in sorted(fitting[best], key=lambda each: -each.n_samples):
        taken = {**dict.fromkeys(each.leads, each), **taken}
    used = [each for each in fitting[best] if any(group is each for group in taken.values())]
    first = min(each.start or 0.0 for each in used)
    starts = {id(each): round(((each.start or 0.0) - first) * rate) for each in used}
    length = max(starts[id(each)] + each.n_samples for each in used)
    if length > 2 * sum(each.n_samples for each in used):
        where = "; ".join(f"from {each.start or 0.0:g} s on {each.describe(each.leads)}" for each in used)
        raise ECGFileError(f"its leads are recorded at times far apart: {where}")
    check_size(8.0 * len(LEADS) * length, f"its leads of {length / rate:g} s")
    joined = {lead: np.full(length, np.nan) for lead in taken}
    for lead, each in taken.items():
        joined[lead][starts[id(each)] : starts[id(each)] + each.n_samples] = each.leads[lead]
    if len(used) > 1:
        when = ", each at its own time" if len(set(starts.values())) > 1 else ""
        notes.append(f"Joined {len(used)} groups of leads{when}.")
    unknown = "Left out, as nothing says when it was recorded beside the others, or at another rate"
    for each in groups:
        for why, names in (
            (unknown, [lead for lead in each.leads if lead not in taken]),
            ("Left out what is there twice", [lead for lead in each.leads if taken.get(lead, each) is not each]),
        ):
            notes += [f"{why}: {each.describe(names)}."] if names else []
    return joined, rate


def cut_calibration(signal: NDArray[np.float64], sampling_rate: float) -> tuple[NDArray[np.float64], str]:
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
    note : str
        Empty where nothing was cut.
    """
    second = round(sampling_rate)
    leads = signal[_RECORDED]
    leads = leads[~np.isnan(leads).any(axis=1)]
    if len(leads) < 3 or leads.shape[1] < 2 * second:
        return signal, ""
    # Whoever converts may shift each lead.
    last = leads[:, -second:] - leads[:, -1:]
    differs = np.flatnonzero(np.ptp(last, axis=0) > _SAME)
    tail = last[:, int(differs[-1]) + 1 if differs.size else 0 :].mean(axis=0)
    height = tail[np.argmax(np.abs(tail))] if tail.size else 0.0
    if tail.size < _LEAST_TAIL * sampling_rate or abs(height) < _LEAST_PULSE:
        return signal, ""
    top, bottom = np.abs(tail - height) < 0.15 * abs(height), np.abs(tail) < 0.15 * abs(height)
    plateau = np.flatnonzero(top)
    is_whole = top[plateau[0] : plateau[-1] + 1].all() and bottom[0] and bottom[-1]
    before = leads[:, :-second] - np.median(leads[:, :-second], axis=1, keepdims=True)
    alike = (np.ptp(before, axis=0) <= _SAME) & (np.abs(before.mean(axis=0)) >= 0.5 * abs(height))
    if not is_whole or plateau.size < _LEAST_TOP * sampling_rate or (top | bottom).mean() < 0.9 or alike.any():
        return signal, ""
    return signal[:, :-second], "Cut off the last second, which ends in the calibration pulse."
