"""Pacing spikes in an average beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

# A pacemaker's pulse of at most 2 ms comes out of a 100 Hz low-pass as bursts of speed this short (half width, s).
_BURST = 0.006
# They are faster than this (mV/s, root mean square over leads), and than half of the fastest in the beat.
_LEAST_SPEED, _LEAST_SHARE = 30.0, 0.5
# They come at least this long before the R peak (s), where a beat of the heart's own has not yet such speed, and
# at most that long before it; two chambers, or the two edges of a pulse that the recorder drew out, follow each
# other within the first of these times as well.
_LEAST_LEAD, _MOST_LEAD = 0.04, 0.2
# The filter's ringing on either side of a spike (s).
_RINGING = 0.006
# Below this rate (Hz) a spike is as wide as the heart's own deflections.
_LEAST_RATE = 200


def can_tell_spikes(sampling_rate: float) -> bool:
    """Return whether a spike differs from the heart's own deflections at this sampling rate.

    Parameters
    ----------
    sampling_rate : float
        In Hz.

    Returns
    -------
    bool
        False below 200 Hz.
    """
    return sampling_rate >= _LEAST_RATE


def remove_pacing_spike(
    leads: NDArray[np.float64], sampling_rate: float, r_index: int
) -> tuple[NDArray[np.float64], int]:
    """Replace a ventricular pacing spike by straight lines.

    What is left of the speed of the leads after a median filter over time are bursts too short to be the
    heart's. Where such a burst comes well before the R peak and the QRS complex has none much faster, it is a
    spike. Spikes too small to be found so are too small to be taken for the QRS complex.

    Parameters
    ----------
    leads : ndarray of shape (n_leads, n_samples)
        Average beat in millivolts, low-pass filtered at about 100 Hz.
    sampling_rate : float
        In Hz.
    r_index : int
        Sample of the R peak.

    Returns
    -------
    leads : ndarray of shape (n_leads, n_samples)
        The beat without the spike; `leads` itself if there is none.
    end : int
        First sample after the spike, before which the QRS complex cannot begin; 0 if there is none.
    """
    first = max(0, r_index - round(_MOST_LEAD * sampling_rate))
    near = leads[:, first : r_index + round(_MOST_LEAD * sampling_rate)]
    if not can_tell_spikes(sampling_rate) or near.shape[1] < 2:
        return leads, 0
    velocity = np.diff(near, axis=1) * sampling_rate
    short = velocity - median_filter(velocity, size=(1, 2 * round(_BURST * sampling_rate) + 1))
    burst = np.sqrt(np.mean(short**2, axis=0))
    found = first + np.flatnonzero(burst > max(_LEAST_SPEED, _LEAST_SHARE * burst.max()))
    apart = round(_LEAST_LEAD * sampling_rate)
    if not found.size or found[0] > r_index - apart:
        return leads, 0
    ringing = round(_RINGING * sampling_rate)
    start = max(0, int(found[0]) - ringing)
    end = min(int(found[found <= found[0] + apart][-1]) + 1 + ringing, r_index)
    cleaned = leads.copy()
    cleaned[:, start : end + 1] = np.linspace(leads[:, start], leads[:, end], end - start + 1, axis=1)
    return cleaned, end
