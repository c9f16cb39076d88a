"""Whether six limb leads are what they are called: the laws that bind them, and what the chest leads say of them."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from omi_estimators.leads import LEADS, LIMB_LEADS, LIMB_WEIGHTS
from omi_estimators.preprocessing import limb_lead_reversal

# Millivolts by which a lead may miss its law: the filters of recorders are not quite the same in each lead.
_MOST_MISS = 0.1
# From these millivolts and this share of a lead's size on, what would explain a miss is looked for.
_LEAST_MISS, _LEAST_SHARE = 0.02, 0.1
# What explains a contradiction leaves less than this share of it, and of the next best explanation.
_EXPLAINED, _CLEARLY = 0.1, 0.3
_BAND = (0.7, 40.0)  # Hz, in which hearts are compared
_MOST_SECONDS = 60


def find_limb_lead_fault(signal: NDArray[np.float64], sampling_rate: float) -> str:
    """Say what is odd about the limb leads of a record, in words; nothing is changed.

    Leads that contradict Einthoven's or Goldberger's law are compared with what one inverted lead, two exchanged ones
    or another order would give; of leads that agree the chest leads tell whether electrodes were swapped
    (`limb_lead_reversal`).

    Parameters
    ----------
    signal : ndarray of shape (12, n_samples)
        Millivolts, leads in the order of `LEADS`, NaN where missing; before missing ones are derived.
    sampling_rate : float
        Hz.

    Returns
    -------
    str
        A sentence, empty where nothing is odd or too few leads are there to tell.
    """
    signal = signal[:, : round(_MOST_SECONDS * sampling_rate)]
    present = np.flatnonzero(~np.isnan(signal).all(axis=1))
    limb = present[present < len(LIMB_LEADS)]
    there = ~np.isnan(signal[present]).any(axis=0)
    if limb.size < 2 or there.sum() < sampling_rate:
        return ""
    leads = _keep_band(signal[np.ix_(present, there)], sampling_rate)
    fault = _find_contradiction(leads[: limb.size], limb)
    if fault or present.size < len(LEADS):
        return fault
    swapped = limb_lead_reversal(leads)
    return "" if swapped == "none" else f"The electrodes {swapped} look swapped."


def _keep_band(leads: NDArray[np.float64], sampling_rate: float) -> NDArray[np.float64]:
    """Return leads at twice the highest frequency of the band, so without mains, wander and offsets.

    In these the filters of a recorder's leads differ most.
    """
    n_samples = leads.shape[1]
    n_kept = min(n_samples, int(2 * _BAND[1] * n_samples / sampling_rate))
    spectrum = np.fft.rfft(leads, axis=1)[:, : n_kept // 2 + 1]
    spectrum[:, : int(np.ceil(_BAND[0] * n_samples / sampling_rate))] = 0
    kept: NDArray[np.float64] = np.fft.irfft(spectrum, n_kept, axis=1) * (n_kept / n_samples)
    return kept - np.median(kept, axis=1, keepdims=True)


def _find_contradiction(leads: NDArray[np.float64], where: NDArray[np.intp]) -> str:
    """Return what is wrong with limb leads, the rows `where` of the six, that break the laws which bind them."""
    names = [LEADS[i] for i in where]
    laws = LIMB_WEIGHTS[where]
    if where.size < 3:
        return ""
    unlawful = np.eye(where.size) - laws @ np.linalg.pinv(laws)
    misses = np.percentile(np.abs(unlawful @ leads), 99, axis=1)
    sizes = np.percentile(np.abs(leads), 99, axis=1)
    if not ((misses > _LEAST_MISS) & (misses > _LEAST_SHARE * sizes)).any():
        return ""
    # What misses the laws, of any mixture of the leads, follows from their covariance.
    covariance = leads @ leads.T
    projector = unlawful.T @ unlawful
    stated = float(np.sum(projector * covariance))
    explanations = _list_explanations(names)
    left = _measure_misses(covariance, projector, np.array([*explanations.values()]))
    order, left_by_order = _find_order(covariance, projector, names)
    best = left.min()
    if best < _EXPLAINED * stated and not left_by_order < _EXPLAINED * best:
        said = " or ".join(words for words, misses in zip(explanations, left, strict=True) if misses <= best / _CLEARLY)
        return f"The limb leads contradict each other unless {said}. No lead was changed."
    if left_by_order < _EXPLAINED * stated:
        return f"The limb leads look as if they were in the order {order}. No lead was changed."
    if misses.max() <= _MOST_MISS:
        return ""
    by = f"by {misses.max():.2f} mV"
    for row, name in enumerate(names):
        rest = np.delete(np.arange(where.size), row)
        others = np.eye(rest.size) - laws[rest] @ np.linalg.pinv(laws[rest])
        if rest.size > 2 and float(np.trace(others @ covariance[np.ix_(rest, rest)] @ others)) < _EXPLAINED * stated:
            return f"Lead {name} does not follow from the other limb leads, {by}. It was not changed."
    why = "they are of different gain or time, or mislabelled"
    return f"The limb leads contradict each other, {by}: {why}. No lead was changed."


def _measure_misses(
    covariance: NDArray[np.float64], projector: NDArray[np.float64], mends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return by how much leads still miss the laws after each of several mends, of shape (n, n_leads, n_leads)."""
    misses: NDArray[np.float64] = (projector * (mends @ covariance @ mends.swapaxes(1, 2))).sum(axis=(1, 2))
    return misses


def _list_explanations(names: list[str]) -> dict[str, NDArray[np.float64]]:
    """Return in words each way in which one or two leads may be wrong, and the matrix that mends it."""
    same = np.eye(len(names))
    mends = {f"{name} is inverted": np.diag(1 - 2 * row) for name, row in zip(names, same, strict=True)}
    for first, second in combinations(range(len(names)), 2):
        order = [{first: second, second: first}.get(place, place) for place in range(len(names))]
        mends[f"{names[first]} and {names[second]} are exchanged"] = same[order]
    return mends


def _find_order(covariance: NDArray[np.float64], projector: NDArray[np.float64], names: list[str]) -> tuple[str, float]:
    """Return the order in which six leads obey the laws best, and what is left; infinity if several do.

    aVR may stand inverted, as in the order of Cabrera.
    """
    if len(names) < len(LIMB_LEADS):
        return "", np.inf
    # The lead called names[i] is found at place order[i].
    orders = list(permutations(range(len(names))))
    mends, inverted = np.eye(len(names))[np.array(orders)], np.diag([-1.0 if name == "aVR" else 1.0 for name in names])
    left = _measure_misses(covariance, projector, np.concatenate([mends, inverted @ mends]))
    best, second = np.argsort(left)[:2]
    called = [names[i] for i in np.argsort(orders[best % len(orders)])]
    said = ", ".join(f"-{name}" if name == "aVR" and best >= len(orders) else name for name in called)
    return said, float(left[best]) if left[best] < _CLEARLY * left[second] else np.inf
