"""The hum of the mains."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft

from omi_estimators.preprocessing._gaps import fill_gaps

MAINS = (50.0, 60.0)
# Power within this distance (Hz) of a line belongs to it; from there to the second distance, to its surroundings.
_LINE, _AROUND = 0.6, 5.0
# A line stands out of its surroundings by this factor in power density.
_LEAST_CONTRAST = 20.0
# Shorter records (s) do not resolve a line.
_SHORTEST = 2.0


def find_mains(record: ArrayLike, sampling_rate: float) -> tuple[float, ...]:
    """Find the mains frequencies whose hum is in a record.

    Parameters
    ----------
    record : array-like of shape (n_leads, n_samples) or (n_samples,)
        One record, not yet filtered, in any unit. Missing samples (NaN) are bridged.
    sampling_rate : float
        In Hz.

    Returns
    -------
    tuple of float
        Of 50 and 60 Hz, those at which the power density, summed over leads, stands out of that within 5 Hz by a
        factor of 20. Empty for records shorter than two seconds, and for frequencies that the sampling rate does not
        reach.

    Raises
    ------
    ValueError
        If `record` has more than two dimensions, or `sampling_rate` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import find_mains
    >>> t = np.arange(5000) / 500
    >>> noise = np.random.default_rng(0).normal(scale=0.02, size=5000)
    >>> find_mains(noise + 0.05 * np.sin(2 * np.pi * 60 * t), 500), find_mains(noise, 500)
    ((60.0,), ())
    """
    leads = np.atleast_2d(np.asarray(record, dtype=np.float64))
    if leads.ndim != 2:
        raise ValueError(f"record must have shape (n_leads, n_samples) or (n_samples,); got {np.shape(record)}.")
    if not 0 < sampling_rate < np.inf:
        raise ValueError(f"sampling_rate must be a positive number of Hz; got {sampling_rate!r}.")
    n_samples = leads.shape[1]
    if n_samples < _SHORTEST * sampling_rate:
        return ()
    # A window without steps at its ends, or the low frequencies of the ECG would leak into all others.
    windowed = (fill_gaps(leads)[0] - np.nanmean(leads)) * np.hanning(n_samples)
    power = np.sum(np.abs(fft.rfft(windowed, axis=1)) ** 2, axis=0)
    frequencies = np.arange(len(power)) * (sampling_rate / n_samples)
    found = []
    for line in MAINS:
        away = np.abs(frequencies - line)
        surroundings = power[(away > _LINE) & (away <= _AROUND)]
        if line + _LINE < sampling_rate / 2 and power[away <= _LINE].max() > _LEAST_CONTRAST * np.median(surroundings):
            found.append(line)
    return tuple(found)
