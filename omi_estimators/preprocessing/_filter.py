"""Filtering: the response, applied to all leads at once, and the mains."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, signal

from omi_estimators.preprocessing._resample import fill_gaps, recorded_span

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


_ORDER = 2
_NOTCH_QUALITY = 30.0
_PADDING_SECONDS = 2.0


def filter_ecg(
    signal: ArrayLike,
    sampling_rate: float,
    *,
    highpass: float | None = 0.5,
    lowpass: float | None = 100.0,
    notch: tuple[float, ...] | None = (50.0, 60.0),
) -> NDArray[np.floating[Any]]:
    """Filter ECGs without shifting any wave in time.

    Second-order Butterworth high-pass and low-pass and narrow notches (quality factor 30), each with
    its magnitude response squared, as if run forward and backward [1]_: zero phase, and half the amplitude
    at the cut-off frequencies. The response is applied in the frequency domain, to signals that are
    extended by up to two seconds, point-symmetrically, at both ends.

    Parameters
    ----------
    signal : array-like of shape (..., n_samples)
        One or more signals; each is filtered by itself.
    sampling_rate : float
        Samples per second, in Hz.
    highpass : float or None, default=0.5
        Cut-off in Hz below which baseline wander is removed. None leaves it.
    lowpass : float or None, default=100.0
        Cut-off in Hz above which muscle noise is removed. None, or a frequency at or above the Nyquist
        frequency (half of `sampling_rate`), means no low-pass filter: there is nothing to remove.
    notch : tuple of float or None, default=(50.0, 60.0)
        Mains frequencies in Hz. Those at or above the Nyquist frequency are left out.

    Returns
    -------
    ndarray of the shape of `signal`
        Filtered signals; float32 if `signal` was float32, float64 otherwise. Missing samples (NaN) are
        bridged by straight lines while filtering and are NaN again in the result, so they disturb
        neither their neighbours nor other signals.

    Raises
    ------
    ValueError
        If a frequency is not positive, `highpass` is not below both `lowpass` and the Nyquist frequency, or
        `signal` has no samples.

    References
    ----------
    .. [1] P. Kligfield et al., "Recommendations for the Standardization and Interpretation of the
       Electrocardiogram: Part I", Circulation 115:1306-1324 (2007). doi:10.1161/CIRCULATIONAHA.106.180200

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import filter_ecg
    >>> t = np.arange(5000) / 500
    >>> wave, mains = np.sin(2 * np.pi * 8 * t), 0.3 * np.sin(2 * np.pi * 50 * t)
    >>> filtered = filter_ecg(wave + mains, 500)
    >>> bool(np.abs(filtered - wave)[1000:-1000].max() < 0.01)
    True
    """
    values = np.asarray(signal)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(f"signal must have samples on its last axis; got shape {values.shape}.")
    check_bands(sampling_rate, highpass, lowpass, notch)
    span = recorded_span(values)
    filled, missing = fill_gaps(values[..., span])
    response = (float(sampling_rate), highpass, lowpass, tuple(notch or ()))
    filtered = apply_response(filled, *response).astype(values.dtype, copy=False)
    if missing is not None:
        filtered[missing] = np.nan
    if filtered.shape == values.shape:
        return filtered
    whole = np.full_like(values, np.nan)
    whole[..., span] = filtered
    return whole


def check_bands(
    sampling_rate: float, highpass: float | None, lowpass: float | None, notch: tuple[float, ...] | None
) -> None:
    """Raise a ValueError if no filter has these frequencies."""
    frequencies = {"sampling_rate": sampling_rate, "highpass": highpass, "lowpass": lowpass}
    frequencies |= {f"notch[{i}]": frequency for i, frequency in enumerate(notch or ())}
    for name, frequency in frequencies.items():
        if frequency is not None and not 0 < frequency < np.inf:
            raise ValueError(f"{name} must be a positive number of Hz; got {frequency!r}.")
    if highpass is None:
        return
    nyquist = sampling_rate / 2
    if highpass >= nyquist:
        raise ValueError(
            f"highpass={highpass:g} Hz must be below the Nyquist frequency, {nyquist:g} Hz at "
            f"sampling_rate={sampling_rate:g}; nothing would be left."
        )
    if lowpass is not None and highpass >= lowpass:
        raise ValueError(f"highpass={highpass:g} Hz must be below lowpass={lowpass:g} Hz; nothing would be left.")


def apply_response(
    values: NDArray[np.floating[Any]],
    sampling_rate: float,
    highpass: float | None,
    lowpass: float | None,
    notch: tuple[float, ...],
) -> NDArray[np.floating[Any]]:
    """Return `values` (..., n_samples), which must be finite, with the squared magnitude response applied."""
    n_samples = values.shape[-1]
    padding = min(n_samples - 1, round(_PADDING_SECONDS * sampling_rate))
    length = fft.next_fast_len(n_samples + 2 * padding, real=True)
    head = 2 * values[..., :1] - values[..., padding:0:-1]
    tail = 2 * values[..., -1:] - values[..., -2 : -2 - padding : -1]
    spectrum = fft.rfft(np.concatenate([head, values, tail], axis=-1), length, axis=-1)
    spectrum *= _squared_magnitude(length, sampling_rate, highpass, lowpass, notch)
    return fft.irfft(spectrum, length, axis=-1)[..., padding : padding + n_samples]


@lru_cache(maxsize=32)
def _squared_magnitude(
    length: int, sampling_rate: float, highpass: float | None, lowpass: float | None, notch: tuple[float, ...]
) -> NDArray[np.float64]:
    """Return the squared magnitude response at the frequencies of a real transform of `length`."""
    nyquist = sampling_rate / 2
    sections = []
    if highpass is not None:
        sections.append(signal.butter(_ORDER, highpass, "highpass", output="sos", fs=sampling_rate))
    if lowpass is not None and lowpass < nyquist:
        sections.append(signal.butter(_ORDER, lowpass, "lowpass", output="sos", fs=sampling_rate))
    for frequency in notch:
        if frequency < nyquist:
            sections.append(signal.tf2sos(*signal.iirnotch(frequency, _NOTCH_QUALITY, fs=sampling_rate)))
    if not sections:
        return np.ones(length // 2 + 1)
    frequencies = np.arange(length // 2 + 1) * (sampling_rate / length)
    response = signal.freqz_sos(np.vstack(sections), worN=frequencies, fs=sampling_rate)[1]
    return np.abs(response) ** 2
