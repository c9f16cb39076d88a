"""Limb electrodes that were swapped, found on the median beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators.leads import LEADS

REVERSALS = ("none", "LA/RA", "RA/LL", "LA/LL", "RA/RL")
"""What `limb_lead_reversal` may answer: the two electrodes that changed places."""

_N_LIMB = 6
# The limb leads from the potentials of RA, LA and LL; the mean of the three is the zero of the leads V.
_LEADS_OF_ELECTRODES = np.array(
    [[-1, 1, 0], [-1, 0, 1], [0, -1, 1], [1.5, 0, 0], [0, 1.5, 0], [0, 0, 1.5]], dtype=np.float64
)
# RA, LA and LL expected from V1 to V6: least squares over the median beats of 500 records of PTB-XL, each scaled to
# the same energy. `python -m benchmarks quality` fits them again, and shows that Dower's lead field does worse: V1 to
# V6 see too little of the vertical for an inversion, while a regression knows how hearts usually lie.
CHEST_TO_LIMBS = np.array(
    [
        [0.19, -0.06, -0.07, 0.01, 0.02, -0.37],
        [-0.37, 0.17, 0.03, -0.14, 0.06, 0.08],
        [0.18, -0.11, 0.04, 0.13, -0.08, 0.29],
    ]
)
# Where the potential that RA, LA and LL were connected to is found, under each swap; a swap is its own inverse.
_ORDERS = {"LA/RA": [1, 0, 2], "RA/LL": [2, 1, 0], "LA/LL": [0, 2, 1]}
# By how much a swap must raise the agreement (a correlation) before it is believed. The chest leads say little about
# what is left and what is below, which is why LA/LL needs more.
_MARGINS = {"LA/RA": 0.2, "RA/LL": 0.2, "LA/LL": 0.5}
# Both legs have almost the same potential: with RA on the right leg, lead II is this small beside I and III.
_FLAT_LEAD_II = 0.15
# Leads that break Einthoven's and Goldberger's laws by more than this share of their energy say nothing of electrodes.
_MOST_INCONSISTENT = 0.1
_LEAST_AMPLITUDE = 0.05


def limb_lead_reversal(beat: ArrayLike) -> str:
    """Say which limb electrodes were swapped, if any.

    The chest leads do not change when RA, LA and LL change places, and they predict the potentials of these three:
    linearly, with fixed coefficients that were fitted to PTB-XL. The swap under which the measured potentials
    correlate best with the predicted ones is reported, if it is better than no swap by a margin (0.2; for LA/LL 0.5).
    Reconstruction from redundant leads is the idea of Kors and van Herpen [1]_; coefficients and margins are ours. An
    electrode of the right arm on the right leg shows as a lead II that is almost flat.

    Parameters
    ----------
    beat : array-like of shape (12, n_samples)
        A median beat in millivolts, its zero the level of the PQ segment (`median_beat`); aVR not inverted.

    Returns
    -------
    {"none", "LA/RA", "RA/LL", "LA/LL", "RA/RL"}
        The electrodes that changed places. Also "none" where nothing can be said: a lead other than a limb lead that
        follows from the rest is missing (zero or NaN), limb leads contradict each other, or all are tiny.

    Raises
    ------
    ValueError
        If `beat` has another shape or infinite values.

    Notes
    -----
    LA/LL is hardly detectable: it only turns the frontal plane over an axis close to that of most hearts. At a
    margin with few false alarms, about nine in ten of these swaps are missed; "none" does not exclude one. LA/RL,
    swaps of legs and of chest electrodes, and swaps of more than two electrodes are not looked for. A heart that is
    paced from its apex can look like RA/LL; dextrocardia was not examined. ``python -m benchmarks quality`` measures
    sensitivity and false alarms.

    References
    ----------
    .. [1] J. A. Kors, G. van Herpen, "Accurate automatic detection of electrode interchange in the electrocardiogram",
       American Journal of Cardiology 88:396-399 (2001).

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> from omi_estimators.preprocessing import filter_ecg, limb_lead_reversal, median_beat
    >>> record = make_omi_ecgs(n_patients=1, random_state=0).X[0]
    >>> beat = median_beat(filter_ecg(record, 500), 500)
    >>> limb_lead_reversal(beat)
    'none'
    >>> beat[[0, 1, 2, 3, 4, 5]] = beat[[0, 2, 1, 4, 3, 5]] * np.array([[-1], [1], [1], [1], [1], [1]])
    >>> limb_lead_reversal(beat)
    'LA/RA'
    """
    beat = np.asarray(beat, dtype=np.float64)
    if beat.ndim != 2 or beat.shape[0] != len(LEADS) or beat.shape[1] == 0:
        raise ValueError(
            f"beat must have shape (12, n_samples), leads in the order {', '.join(LEADS)}; got {beat.shape}. "
            "Give the median beat of one record."
        )
    if np.isinf(beat).any():
        raise ValueError("beat has infinite values; remove or repair this record.")
    potentials = _electrode_potentials(beat[:_N_LIMB])
    chest = np.nan_to_num(beat[_N_LIMB:])
    if potentials is None or not np.ptp(chest, axis=1).all():
        return "none"
    lead_i, lead_ii, lead_iii = _LEADS_OF_ELECTRODES[:3] @ potentials
    if _size(lead_ii) < _FLAT_LEAD_II * min(_size(lead_i), _size(lead_iii)):
        return "RA/RL"
    agreement = swap_agreements(potentials, CHEST_TO_LIMBS @ chest)
    gains = {swap: agreement[swap] - agreement["none"] - margin for swap, margin in _MARGINS.items()}
    best = max(gains, key=lambda swap: gains[swap])
    return best if gains[best] > 0 else "none"


def swap_agreements(potentials: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    """Return how well potentials correlate with predicted ones, as they are and with each swap undone.

    Parameters
    ----------
    potentials, predicted : ndarray of shape (3, n_samples)
        Of RA, LA and LL, in millivolts; the three sum to zero.

    Returns
    -------
    dict of str to float
        Between -1 and 1 by "none", "LA/RA", "RA/LL" and "LA/LL"; 0 where either is all zero.
    """
    scale = float(np.linalg.norm(potentials) * np.linalg.norm(predicted)) or 1.0
    orders: dict[str, Any] = {"none": [0, 1, 2], **_ORDERS}
    return {swap: float(np.sum(potentials[order] * predicted)) / scale for swap, order in orders.items()}


def _electrode_potentials(limb_leads: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the potentials (3, n_samples) of RA, LA and LL in mV, or None if the limb leads do not give them."""
    present = np.isfinite(limb_leads).all(axis=1) & (np.ptp(limb_leads, axis=1) > 0)
    # A lead II of zero is a finding, not a missing lead, as long as I and III agree that it is zero.
    if present[[0, 2]].all() and not present[1] and np.isfinite(limb_leads[1]).all():
        present[1] = True
    if present.sum() < 2:
        return None
    # With the mean of the three for zero the least-norm solution is the one looked for.
    potentials = np.linalg.pinv(_LEADS_OF_ELECTRODES[present]) @ limb_leads[present]
    potentials -= potentials.mean(axis=0)
    residual = limb_leads[present] - _LEADS_OF_ELECTRODES[present] @ potentials
    if np.sum(residual**2) > _MOST_INCONSISTENT * np.sum(limb_leads[present] ** 2):
        return None
    return potentials if _size(potentials) >= _LEAST_AMPLITUDE else None


def _size(waveform: NDArray[np.float64]) -> float:
    """Return the largest peak-to-peak amplitude of a waveform, in mV."""
    return float(np.ptp(waveform, axis=-1).max())
