"""Swapped limb electrodes: found, missed, or beyond saying."""

from __future__ import annotations

import numpy as np
import pytest

from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.preprocessing import filter_ecg, limb_lead_reversal, median_beat, signal_quality

# What a swap of two electrodes makes of I to aVF, as (sign, lead whose place it takes).
SWAPS = {
    "LA/RA": ((-1, 0), (1, 2), (1, 1), (1, 4), (1, 3), (1, 5)),
    "RA/LL": ((-1, 2), (-1, 1), (-1, 0), (1, 5), (1, 4), (1, 3)),
    "LA/LL": ((1, 1), (1, 0), (-1, 2), (1, 3), (1, 5), (1, 4)),
}


def _make_heart(seed=0):
    """Return a record (12, 5000) whose limb and chest leads come from one heart."""
    return make_omi_ecgs(n_patients=1, random_state=seed).X[0].astype(np.float64)


def _swap(record, swap):
    swapped = record.copy()
    for lead, (sign, source) in enumerate(SWAPS[swap]):
        swapped[lead] = sign * record[source]
    return swapped


@pytest.mark.parametrize("swap", ["LA/RA", "RA/LL"])
@pytest.mark.parametrize("seed", range(5))
def test_swapped_arms_and_leg_are_found(swap, seed):
    record = _make_heart(seed)
    assert signal_quality(record, 500).limb_lead_reversal == "none"
    assert signal_quality(_swap(record, swap), 500).limb_lead_reversal == swap


@pytest.mark.parametrize("seed", range(5))
def test_left_arm_and_leg_swapped_are_found_or_missed_but_not_mistaken(seed):
    swapped = _swap(_make_heart(seed), "LA/LL")
    assert signal_quality(swapped, 500).limb_lead_reversal in ("none", "LA/LL")


def test_right_arm_on_the_right_leg_is_a_flat_lead_ii():
    record = _make_heart()
    lead_iii = record[2]
    record[6:] -= record[1] / 3
    record[0], record[1] = -lead_iii, 0.0
    record[3], record[4], record[5] = lead_iii / 2, -lead_iii, lead_iii / 2
    assert signal_quality(record, 500).limb_lead_reversal == "RA/RL"


def test_a_lead_ii_that_was_lost_is_not_a_swap():
    record = _make_heart()
    record[1] = 0.0
    assert signal_quality(record, 500).limb_lead_reversal == "none"


@pytest.mark.parametrize("lost", [[1, 3], [0, 2, 5], [8], [0, 1, 2, 3, 4], list(range(12))], ids=str)
def test_swaps_with_missing_leads(lost):
    beat = median_beat(filter_ecg(_swap(_make_heart(), "LA/RA"), 500), 500)
    beat[lost] = np.nan
    # Two limb leads give the rest; without a chest lead, or with one limb lead, nothing can be said.
    expected = "LA/RA" if max(lost) < 6 and len(lost) < 5 else "none"
    assert limb_lead_reversal(beat) == expected
    beat[lost] = 0
    assert limb_lead_reversal(beat) in ("none", expected)


def test_limb_leads_that_contradict_each_other_tell_nothing():
    beat = median_beat(filter_ecg(_make_heart(), 500), 500)
    beat[:6] = beat[[0, 4, 2, 5, 1, 3]]
    assert limb_lead_reversal(beat) == "none"
    with pytest.raises(ValueError, match=r"\(12, n_samples\)"):
        limb_lead_reversal(beat[:8])
    with pytest.raises(ValueError, match="infinite"):
        limb_lead_reversal(np.where(np.arange(beat.shape[1]) == 3, np.inf, beat))
