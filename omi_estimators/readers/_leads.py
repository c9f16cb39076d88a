"""From named signals to twelve leads in the order of `LEADS`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators.leads import LEADS, LIMB_LEADS, derive_limb_leads
from omi_estimators.readers._fields import is_stated, keep_measured
from omi_estimators.readers._limb_leads import find_limb_lead_fault
from omi_estimators.readers._pieces import cut_calibration
from omi_estimators.readers._record import ECGFileError, ECGRecord

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
    named: Iterable[tuple[object, NDArray[np.floating]]],
    sampling_rate: float,
    source_format: str,
    *,
    measured: Iterable[tuple[str | None, float | None]] = (),
    notes: list[str],
    patient_id: str | None = None,
    **about: Any,
) -> ECGRecord:
    """Return a record of twelve leads from named signals in millivolts, and check that an ECG can be of this kind.

    Parameters
    ----------
    named : iterable of (str, ndarray of shape (n_samples,))
        Each signal's name in the file, and its values in mV, NaN where the file has a gap.
    sampling_rate : float
        Hz.
    source_format : str
        What kind of file it is.
    measured : iterable of (str or None, float or None)
        Names of `MEASUREMENTS` and values, of which the first of each name that is there counts.
    notes : list of str
        What the reader noted, each at most once in the record.
    patient_id : str or None
        As the file has it; a placeholder is none.
    **about
        Further fields of the record.

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
    signal, others = arrange_leads(named, notes)
    check_rate(sampling_rate)
    n_samples = signal.shape[1]
    if n_samples < _LEAST_SECONDS * sampling_rate:
        raise ECGFileError(
            f"it has {n_samples} samples at {sampling_rate:g} Hz, which is less than {_LEAST_SECONDS:g} s; "
            "it looks cut short"
        )
    if np.isinf(signal).any():
        raise ECGFileError("it has infinite values")
    signal, pulse = cut_calibration(signal, sampling_rate)
    empty = np.array([np.isnan(lead).all() for lead in signal])
    if empty.all():
        raise ECGFileError("it has no valid sample in any of the twelve leads")
    check_range(signal)
    limb_leads = find_limb_lead_fault(signal, sampling_rate)
    derived: tuple[str, ...] = ()
    if empty[: len(LIMB_LEADS)].any():
        signal = derive_limb_leads(signal[np.newaxis])[0]
        derived = tuple(LEADS[i] for i in np.flatnonzero(empty & ~np.isnan(signal).all(axis=1)))
    if others:
        notes.append(f"Left out, being none of the twelve leads: {', '.join(others)}.")
    measurements, odd = keep_measured(measured)
    return ECGRecord(
        signal=signal,
        sampling_rate=sampling_rate,
        source_format=source_format,
        measurements=measurements,
        derived_leads=derived,
        missing_leads=tuple(LEADS[i] for i in np.flatnonzero(np.isnan(signal).all(axis=1))),
        limb_leads=limb_leads,
        patient_id=patient_id if is_stated(patient_id) else None,
        notes=tuple(dict.fromkeys(filter(None, [*pulse, limb_leads, *odd, *notes]))),
        **about,
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
        raise ECGFileError(
            f"its leads have different sampling rates ({', '.join(f'{rate:g}' for rate in different)} Hz)"
        )
    return different.pop() if different else 0.0


def choose_rate(stated: float | None, asked: float | None, said: object, notes: list[str]) -> float:
    """Return the sampling rate that a file states, or if it cannot be read that of the caller, with a note.

    Parameters
    ----------
    stated, asked : float or None
        Hz by the file and by the caller; none or no number above 0 is one that cannot be read.
    said : str
        What the file has there, or where it should be.
    notes : list of str
        Gets one more if the caller's counts.

    Returns
    -------
    float
        Hz, as an ECG has it.

    Raises
    ------
    ECGFileError
        If there is neither, or none that an ECG has.
    """
    if stated is None or not 0 < stated < np.inf:
        if asked is None:
            raise ECGFileError(f"its sampling rate cannot be read, {said!r:.60}; give sampling_rate= if you know it")
        notes.append(f"The sampling rate cannot be read, {said!r:.60}; {asked:g} Hz was given.")
        stated = asked
    check_rate(stated)
    return stated


def check_rate(sampling_rate: float) -> None:
    """Raise an ECGFileError for a rate that no ECG has."""
    if not _LEAST_RATE <= sampling_rate <= _MOST_RATE:
        raise ECGFileError(
            f"its sampling rate is {sampling_rate:g} Hz; an ECG has one from {_LEAST_RATE:g} to {_MOST_RATE:g} Hz"
        )


def check_range(signal: NDArray[np.float64]) -> None:
    """Raise an ECGFileError if `signal` (12, n_samples) cannot be millivolts of a heart.

    The median over leads decides, of the leads that are not flat: one loose electrode is no wrong unit.
    """
    # Sorted, what is missing stands last.
    ordered, last = np.sort(signal, axis=1), np.count_nonzero(~np.isnan(signal), axis=1) - 1
    rows = np.arange(len(signal))
    low, high = (ordered[rows, np.rint(share * last).astype(int)] for share in (0.005, 0.995))
    ranges = (high - low)[(last >= 0) & (ordered[rows, last] > ordered[:, 0])]
    if not ranges.size:
        return
    typical = float(np.median(ranges))
    if not _SMALLEST_RANGE <= typical <= _LARGEST_RANGE:
        raise ECGFileError(
            f"its values span {typical:.3g} mV, and a heart gives about 1 mV: the unit or the gain that it states is "
            "wrong, or it is no ECG"
        )
