"""Where in the spectrum the energy of a record lies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

BANDS = {"low": (0.5, 10.0), "middle": (10.0, 50.0), "high": (50.0, 100.0)}
_SHORTEST = 2.0


def measure_spectrum(record: NDArray[np.floating[Any]], sampling_rate: float) -> dict[str, NDArray[np.float64]]:
    """Return the share of each lead's power in three bands, in percent of that from 0.5 to 100 Hz.

    Parameters
    ----------
    record : ndarray of shape (n_leads, n_samples)
        Filtered, in millivolts, without NaN.
    sampling_rate : float
        In Hz.

    Returns
    -------
    dict of str to ndarray of shape (n_leads,)
        Bands of 0.5 to 10, 10 to 50 and 50 to 100 Hz. Empty for records shorter than two seconds; the upper
        bands are left out, and out of the sum, where the sampling rate does not reach them.
    """
    n_samples = record.shape[1]
    if n_samples < _SHORTEST * sampling_rate:
        return {}
    length = fft.next_fast_len(n_samples, real=True)
    power = np.abs(fft.rfft(record, length, axis=1)) ** 2
    frequencies = np.arange(power.shape[1]) * (sampling_rate / length)
    sums = {
        name: power[:, (frequencies >= low) & (frequencies < high)].sum(axis=1)
        for name, (low, high) in BANDS.items()
        if high <= sampling_rate / 2
    }
    if not sums:
        return {}
    total = np.sum(list(sums.values()), axis=0)
    return {
        f"power_{name}": np.divide(100 * power, total, out=np.full(len(total), np.nan), where=total > 0)
        for name, power in sums.items()
    }
