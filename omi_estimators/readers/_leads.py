"""From named signals to twelve leads in the order of `LEADS`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from omi_estimators.leads import LEADS, LIMB_LEADS, derive_limb_leads
from omi_estimators.readers._errors import ECGFileError

_NAMES = {lead.upper(): lead for lead in LEADS}
# Arabic numbers and the D of Romance languages for limb leads, C for chest leads.
_NAMES |= {name: lead for number, lead in zip("123", LEADS, strict=False) for name in (f"L{number}", f"D{number}")}
_NAMES |= {f"D{lead}": lead for lead in ("I", "II", "III")} | {f"C{number}": f"V{number}" for number in range(1, 7)}
_NAMES |= {"1": "I", "2": "II", "3": "III", "VR": "aVR", "VL": "aVL", "VF": "aVF"}
_PREFIX = re.compile(r"^(MDC_?ECG_?LEAD_?|LEAD[ _]*|ECG[ _:]*|EKG[ _:]*|ABL\.?[ _]*)+", re.IGNORECASE)
_SUFFIX = re.compile(r"[ _\-]*(\(?(M|MICRO|U|\N{MICRO SIGN})V(OLTS?)?\)?|-?REF|LEAD)$", re.IGNORECASE)

# Values are trusted to be millivolts between these, looking at the range that 99 % of samples of a lead keep to.
_SMALLEST_RANGE, _LARGEST_RANGE = 0.01, 30.0
# Millivolts by which lead III may miss II - I: the filters of recorders are not quite the same in each lead.
_MOST_MISS = 0.1
_LEAST_RATE, _MOST_RATE = 50.0, 50_000.0
_LEAST_SECONDS = 0.5


@lru_cache(maxsize=1024)
def find_lead(name: object) -> tuple[str, float] | None:
    """Return which lead a signal is, and its sign, or None if it is none of the twelve.

    Parameters
    ----------
    name : str
        As a file has it: "AVR", "Lead II", "MDC_ECG_LEAD_V1", "ECG I", "-aVR".

    Returns
    -------
    (str, float) or None
        The name in `LEADS`, and -1 for an inverted lead such as "-aVR", else 1.
    """
    text = " ".join(str(name).strip().split())
    sign = 1.0
    if text.startswith("-"):
        sign, text = -1.0, text[1:].strip()
    text = _SUFFIX.sub("", _PREFIX.sub("", text)).strip().upper()
    lead = _NAMES.get(text)
    return None if lead is None else (lead, sign)


def make_signal(
    named: Iterable[tuple[object, NDArray[np.floating]]], sampling_rate: float
) -> tuple[NDArray[np.float64], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return twelve leads from named signals in millivolts, and check that an ECG can be of this kind.

    Parameters
    ----------
    named : iterable of (str, ndarray of shape (n_samples,))
        Each signal's name in the file, and its values in mV, NaN where the file has a gap.
    sampling_rate : float
        Hz.

    Returns
    -------
    signal : ndarray of shape (12, n_samples)
        Millivolts, NaN for missing leads.
    derived : tuple of str
        Limb leads that were computed from others.
    missing : tuple of str
        Leads that are NaN.
    notes : tuple of str
        Which signals were left out, being none of the twelve leads; whether the limb leads contradict each other.

    Raises
    ------
    ECGFileError
        If there is no lead, a lead twice, leads of different lengths, no sample, less than half a second, an
        infinite value, an impossible rate, or a range of values that no heart gives in millivolts.
    """
    leads, others = sort_by_lead(named)
    lengths = {len(values) for values in leads.values()}
    if len(lengths) != 1:
        counts = ", ".join(f"{lead} {len(values)}" for lead, values in leads.items())
        raise ECGFileError(f"its leads have different numbers of samples ({counts})")
    n_samples = lengths.pop()
    check_rate(sampling_rate)
    if n_samples < _LEAST_SECONDS * sampling_rate:
        raise ECGFileError(
            f"it has {n_samples} samples at {sampling_rate:g} Hz, which is less than {_LEAST_SECONDS:g} s; "
            "it looks cut short"
        )
    signal = np.full((len(LEADS), n_samples), np.nan)
    for lead, values in leads.items():
        signal[LEADS.index(lead)] = values
    if np.isinf(signal).any():
        raise ECGFileError("it has infinite values")
    empty = np.isnan(signal).all(axis=1)
    if empty.all():
        raise ECGFileError("it has no valid sample in any of the twelve leads")
    check_range(signal)
    derived: tuple[str, ...] = ()
    if empty[: len(LIMB_LEADS)].any():
        signal = derive_limb_leads(signal[np.newaxis])[0]
        derived = tuple(LEADS[i] for i in np.flatnonzero(empty & ~np.isnan(signal).all(axis=1)))
    missing = tuple(LEADS[i] for i in np.flatnonzero(np.isnan(signal).all(axis=1)))
    notes = [f"Left out, being none of the twelve leads: {', '.join(others)}."] if others else []
    miss = _einthoven_miss(signal)
    if miss > _MOST_MISS:
        notes.append(
            f"Lead III is not II - I, by {miss:.2f} mV: limb leads of different gain or time, or mislabelled. "
            "No lead was changed."
        )
    return signal, derived, missing, tuple(notes)


def _einthoven_miss(signal: NDArray[np.float64]) -> float:
    """Return by how many mV Einthoven's law is missed, in all but the worst hundredth of the samples."""
    difference = signal[2] - (signal[1] - signal[0])
    there = (
        np.abs(difference - np.nanmedian(difference))[~np.isnan(difference)] if not np.isnan(difference).all() else ()
    )
    return float(np.percentile(there, 99)) if len(there) else 0.0


def sort_by_lead(
    named: Iterable[tuple[object, NDArray[np.floating]]],
) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """Return the signals by lead, and the names of those that are none."""
    leads: dict[str, NDArray[np.float64]] = {}
    others = []
    for name, values in named:
        found = find_lead(name)
        if found is None:
            others.append(str(name)[:40])
        elif found[0] in leads:
            raise ECGFileError(f"it has lead {found[0]} twice; it is unclear which one is meant")
        else:
            leads[found[0]] = found[1] * np.asarray(values, dtype=np.float64)
    if not leads:
        raise ECGFileError(f"it has none of the twelve leads; its signals are {', '.join(others) or 'none'}")
    return leads, others


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
    with np.errstate(invalid="ignore"):
        present = signal[~np.isnan(signal).all(axis=1)]
        low, high = np.nanpercentile(present, [0.5, 99.5], axis=1)
    ranges = (high - low)[np.nanmax(present, axis=1) > np.nanmin(present, axis=1)]
    if not ranges.size:
        return
    typical = float(np.median(ranges))
    if not _SMALLEST_RANGE <= typical <= _LARGEST_RANGE:
        raise ECGFileError(
            f"its values span {typical:.3g} mV, and a heart gives about 1 mV: the unit or the gain that it states is "
            "wrong, or it is no ECG"
        )
