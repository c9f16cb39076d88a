"""Whether what hearts do fits the sampling rate that records are said to have."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import trim_mean

from omi_estimators.preprocessing._average import AverageBeat, NoBeatError, average_beats
from omi_estimators.preprocessing._resample import cut_windows

# Where a beat is looked at after its R peak, which part of that is ST and T, and which is rest; and half the window
# that holds the QRS complex. In parts of RR: what is measured must not assume the rate that is in question.
_GRID = np.arange(0.12, 0.74, 0.02)
_ST_T, _REST, _QRS_REACH = _GRID < 0.6, _GRID > 0.58, 0.12
# T is taken to last until this share of the energy of ST and T is over, past its peak; its power has a peak of at least
# so many times its mean, or there is no T wave but noise.
_T_SHARE, _LEAST_T_PEAK = 0.8, 3.0
# Medians (s) of RR, QRS (root mean square) and T in PTB-XL, LUDB and the simulator's hearts; and the weights of their
# logarithms in three measures of how much too long all is: by all three, by QRS alone, and by T for the heart rate. The
# first differs least from patient to patient (SD 0.12); flutter or bradycardia in every record moves it by up to 0.15.
_USUAL = np.array([0.88, 0.0124, 0.27])
_WEIGHTS = np.array([[-0.2, 0.2, 1.0], [0.0, 1.0, 0.0], [-0.25, 0.0, 1.25]]).T
# The least spread of the first that patients have. Records which are more alike are counted as fewer.
_SPREAD = 0.09
# What the first must exceed: a constant, and parts that fall with the root and the number of patients. The other two
# have to agree, by these shares of it and at least by so much: sick hearts have wide QRS or long QT, but rarely both.
_LIMIT, _LIMIT_ROOT, _LIMIT_ONE = 0.05, 0.36, 0.3
_AGREEMENT, _LEAST_AGREEMENT = np.array([0.35, 0.6]), 0.05
# From QRS and T as they are measured here to QRS and QT as cardiologists do.
_QRS_DURATION, _QT = 7.8, 1.47
_MOST_BEATS = 1000
# Rates that recorders have; those nearer than a tenth to each other cannot be told apart.
_RATES = np.array([100, 125, 200, 250, 300, 360, 400, 500, 600, 1000, 2000])
# Where no beats are found, they are looked for as if the rate were this many times as high, but not below 40 Hz.
_OTHER_RATES, _LEAST_RATE = (0.25, 4.0), 40


class SamplingRateWarning(UserWarning):
    """The records do not look as if they had the sampling rate that was given: the message names a likelier one."""


def rate_evidence(
    record: NDArray[np.floating[Any]], sampling_rate: float, average: AverageBeat | None = None
) -> NDArray[np.float64]:
    """Measure what of a record tells of its sampling rate, without assuming it.

    Parameters
    ----------
    record : ndarray of shape (n_leads, n_samples)
        One record, filtered or not; of a long one the first window (`cut_windows`) is enough.
    sampling_rate : float
        The rate that was given, in Hz.
    average : AverageBeat, optional
        Its beats at this rate. Without, for a record in which none were found, they are looked for at others.

    Returns
    -------
    ndarray of shape (3,)
        RR, width of QRS (root mean square), and time from R until most of T is over, in seconds at the given rate.
        NaN where there are fewer than two beats or there is no T wave.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import average_beats, rate_evidence
    >>> t = np.arange(5000) / 500 % 1
    >>> record = np.exp(-(((t - 0.3) / 0.02) ** 2))[np.newaxis] + 0.2 * np.exp(-(((t - 0.6) / 0.05) ** 2))
    >>> rate_evidence(record, 500, average_beats(record, 500, 0.3, 0.5)).round(2).tolist()
    [1.0, 0.02, 0.31]
    """
    nothing = np.full(3, np.nan)
    if average is None:
        record = np.asarray(record[:, cut_windows(record.shape[1], sampling_rate)[0][1]], dtype=np.float64)
    average = average or _find_beats_elsewhere(record, sampling_rate)
    if average is None or len(average.peaks) < 2:
        return nothing
    rr = float(np.median(np.diff(average.peaks)))
    reach = max(2, round(_QRS_REACH * rr))
    qrs = average.waveform[:, max(0, average.r_index - reach) : average.r_index + reach + 1]
    changes = np.sum(np.diff(qrs, axis=1) ** 2)
    samples = average.peaks[average.used, np.newaxis] + np.round(_GRID * rr).astype(np.intp)
    samples = samples[samples[:, -1] < record.shape[1]]
    # So many beats, evenly chosen from a long record, tell as much as all.
    samples = samples[:: 1 + len(samples) // _MOST_BEATS]
    if not (changes > 0 and len(samples)):
        return nothing
    beat = np.median(record[:, samples], axis=1)
    beat = beat[np.isfinite(beat).all(axis=1)]
    power = np.sum((beat - np.median(beat[:, _REST], axis=1, keepdims=True))[:, _ST_T] ** 2, axis=0)
    if not power.max() > _LEAST_T_PEAK * power.mean():
        return nothing
    t_time = rr * np.interp(_T_SHARE, np.cumsum(power) / power.sum(), _GRID[_ST_T])
    return np.array([rr, np.sqrt(np.sum(qrs**2) / changes), t_time]) / sampling_rate


def _find_beats_elsewhere(record: NDArray[np.floating[Any]], sampling_rate: float) -> AverageBeat | None:
    """Return the beats of a record at a rate several times lower or higher than the one that was given."""
    for factor in _OTHER_RATES:
        with contextlib.suppress(NoBeatError):
            if factor * sampling_rate >= _LEAST_RATE:
                return average_beats(record, factor * sampling_rate, 0.3, 0.5)
    return None


def likely_sampling_rate(evidence: ArrayLike, sampling_rate: float) -> float | None:
    """Return the rate that records are likely to have, if the given one makes hearts of them that there are not.

    All intervals of a record grow and shrink with its supposed rate. Those of hearts do not: a slow heart has not much
    longer QT intervals, and no wider QRS complexes.

    Parameters
    ----------
    evidence : array-like of shape (n_records, 3)
        Of `rate_evidence`, at the given rate.
    sampling_rate : float
        The rate that was given, in Hz.

    Returns
    -------
    float or None
        In Hz, to within a tenth or so: a usual rate of recorders where one is near. None if the records may well have
        the given rate, or do not tell: of one record, only several times the rate can be told from a sick heart.

    Examples
    --------
    >>> from omi_estimators.preprocessing import likely_sampling_rate
    >>> likely_sampling_rate([[0.43, 0.006, 0.14], [0.39, 0.006, 0.13], [0.48, 0.007, 0.14]], 500)
    250.0
    """
    logs = np.log(np.asarray(evidence, dtype=np.float64).reshape(-1, 3) / _USUAL)
    logs = logs[np.isfinite(logs).all(axis=1)]
    if not len(logs):
        return None
    scores = logs @ _WEIGHTS
    # The middle half: one record whose T wave was not found does not speak, and more is used than of a median.
    index, *parts = trim_mean(scores, 0.25)
    n_patients = 1 + (len(logs) - 1) * min(1.0, np.var(scores[:, 0]) / _SPREAD**2)
    limit = _LIMIT + _LIMIT_ROOT / np.sqrt(n_patients) + _LIMIT_ONE / n_patients
    agreed = np.sign(index) * np.array(parts) > np.maximum(_AGREEMENT * abs(index), _LEAST_AGREEMENT)
    if abs(index) <= limit or not agreed.all():
        return None
    rate = sampling_rate * np.exp(index)
    usual = _RATES[np.abs(np.log(_RATES / sampling_rate)) > 0.1]
    nearest = float(usual[np.argmin(np.abs(np.log(usual / rate)))])
    return nearest if abs(np.log(nearest / rate)) < 0.15 else float(np.round(rate, -1))


def warn_of_rate(evidence: NDArray[np.float64], sampling_rate: float) -> None:
    """Warn if the batch as a whole shows that its sampling rate must be wrong.

    Parameters
    ----------
    evidence : ndarray of shape (n_records, 3)
        Of `rate_evidence`; NaN where not measurable.
    sampling_rate : float
        The rate that was given, in Hz.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import warn_of_rate
    >>> warn_of_rate(np.full((2, 3), np.nan), 500)
    """
    rate = likely_sampling_rate(evidence, sampling_rate)
    if rate is not None:
        told = evidence[np.isfinite(evidence).all(axis=1)]
        rr, qrs, t_time = np.median(told, axis=0)
        warnings.warn(
            f"these records look as if they were sampled at about {rate:g} Hz rather than {sampling_rate:g}: at "
            f"{sampling_rate:g} Hz they have QRS complexes of {1000 * _QRS_DURATION * qrs:.0f} ms and QT intervals of "
            f"{1000 * _QT * t_time:.0f} ms at {60 / rr:.0f} beats/min, in the median of {len(told)}. Give the "
            f"sampling_rate of the data, such as record.sampling_rate, or sampling_rate={rate:g}.",
            SamplingRateWarning,
            stacklevel=3,
        )
