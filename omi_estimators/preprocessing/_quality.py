"""How good a raw record is: what is wrong with each lead, and one number for the whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators.leads import LEADS
from omi_estimators.preprocessing._average import AverageBeat, NoBeatError, average_beats
from omi_estimators.preprocessing._filter import apply_response
from omi_estimators.preprocessing._gaps import cut_stretches, fill_gaps, recorded_span
from omi_estimators.preprocessing._limb_leads import limb_lead_reversal

FLAGS = ("missing", "flat", "saturated", "noise", "wander")
"""What can be wrong with a lead."""

# No heart gives such voltages (mV); clipping there keeps every square finite.
_LARGEST = 1e6
_MOST_MISSING = 0.5
# Less than this within a second (mV, peak to peak) is no ECG: a fifth of a small square of paper.
_FLAT = 0.02
# Clipping holds the extreme value for at least this long (s), in this many half seconds or for long at a stretch. The
# top of a slow wave, a ripple and the first samples of some recorders do so once, by their quantization.
_PLATEAU, _LEAST_PLATEAUS, _LONG_PLATEAU = 0.008, 3, 0.5
# A cut wave reaches and leaves its plateau by steps of several quanta, a small round one by one. The quantum (mV) of a
# recorder lies between these.
_STEEP, _LEAST_QUANTUM, _MOST_QUANTUM = 2, 1e-5, 0.025
# Above this frequency (Hz) there is little but noise between the beats.
_NOISE_BAND = 25.0
LEAST_QUALITY_RATE = 2 * _NOISE_BAND
"""Above this sampling rate (Hz) the quality of a record can be measured."""

# Where quality falls to a half. Noise of 0.025 mV swings by about 0.1 mV from peak to peak: the ST deviation that
# matters. Wander of 1 mV is ten millimetres of paper.
_HALF_NOISE, _HALF_WANDER = 0.025, 1.0
# From here on (mV) a lead is flagged. Averaging and filtering still save what lies between half and flag.
_MOST_NOISE, _MOST_WANDER = 0.05, 1.0
_BEFORE, _AFTER = 0.3, 0.5
# Beats need no more samples per second than this.
_BEAT_RATE = 125.0


@dataclass(frozen=True)
class RecordQuality:
    """What is wrong with a record, as `signal_quality` finds it.

    Attributes
    ----------
    quality : float
        Of the record, from 0 to 1: the mean of `lead_quality`, and 0 where no beat is found.
    n_beats : int
        Number of beats found.
    lead_quality : ndarray of shape (n_leads,)
        Of each lead, from 0 to 1.
    missing_share : ndarray of shape (n_leads,)
        Share of the samples that are missing (NaN), between the first and the last of the record.
    noise_level : ndarray of shape (n_leads,)
        Root mean square, in mV, of what lies above 25 Hz between the beats; NaN for a missing lead.
    wander_level : ndarray of shape (n_leads,)
        Range, in mV, of the medians of successive seconds: drift and steps; NaN for a missing lead.
    consistency : ndarray of shape (n_leads,)
        Share of the variance around the beats that the beats have in common, from 0 to 1; NaN for a missing lead,
        and where fewer than two beats are found.
    missing, flat, saturated, noise, wander : ndarray of bool, shape (n_leads,)
        Flags.
    limb_lead_reversal : str
        Limb electrodes that were swapped, as `limb_lead_reversal` says; "none" unless there are twelve leads.
    """

    quality: float
    n_beats: int
    lead_quality: NDArray[np.float64]
    missing_share: NDArray[np.float64]
    noise_level: NDArray[np.float64]
    wander_level: NDArray[np.float64]
    consistency: NDArray[np.float64]
    missing: NDArray[np.bool_]
    flat: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    noise: NDArray[np.bool_]
    wander: NDArray[np.bool_]
    limb_lead_reversal: str


def signal_quality(record: ArrayLike, sampling_rate: float) -> RecordQuality:
    r"""Measure the signal quality of a record.

    Parameters
    ----------
    record : array-like of shape (n_leads, n_samples) or (n_samples,)
        One raw record in millivolts; NaN where missing. Filtering hides clipping, noise and wander.
    sampling_rate : float
        Samples per second, in Hz, above 50.

    Returns
    -------
    RecordQuality
        Flags and measures per lead, and one quality for the record; never infinite.

    Raises
    ------
    ValueError
        If `record` has another shape or infinite values, or `sampling_rate` is not a finite number above 50 Hz.

    Notes
    -----
    The flags:

    - *missing*: more than half of the samples are NaN.
    - *flat*: in more than half of the seconds, the lead moves by less than 0.02 mV.
    - *saturated*: the largest or the smallest value of the lead is held for 8 ms or more in at least three half
      seconds, reached and left by two quanta or more, or for 0.5 s at a stretch; no range of an AD converter need be
      known.
    - *noise*: `noise_level` is above 0.05 mV, or the beats differ from their median by more than they have in common
      and by more than 0.05 mV (root mean square).
    - *wander*: `wander_level` is above 1 mV.

    The noise level is taken between the beats: of every half second, the quietest tenth counts, and of these the
    90 % quantile over the record, so that a burst of a second is seen. Its band ends at half the sampling rate, so
    levels compare only between records of one rate.

    The quality of a lead is 0 if it is missing, flat or saturated, and otherwise

    .. math:: (1 - m) \, c \, \frac{1}{1 + (n / 0.025)^2} \, \frac{1}{1 + (w / 1)^2}

    with the missing share m, the noise level n and the wander w in mV, and the consistency c = S / (S + N), S being
    the variance of the median beat and N the mean square of what the beats deviate from it, after wander is removed
    (0.5 Hz). c is what two beats may be expected to correlate by, as template matching measures [1]_; with fewer
    than two beats it is left out. Noise of 0.025 mV swings by about 0.1 mV, a small square of paper, and 1 mV are ten
    of these; both were chosen among such round numbers with PTB-XL's remarks on noise and drift in view. ``python -m
    benchmarks quality`` shows how well they agree, and that the annotators remark on far less noise than the flag
    *noise*, which is for leads that are better left out.

    References
    ----------
    .. [1] C. Orphanidou et al., "Signal-Quality Indices for the Electrocardiogram and Photoplethysmogram: Derivation
       and Applications to Wireless Monitoring", IEEE Journal of Biomedical and Health Informatics 19:832-838 (2015).
       doi:10.1109/JBHI.2014.2338351

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import signal_quality
    >>> t = np.arange(5000) / 500
    >>> qrs = np.exp(-(((t % 1 - 0.5) / 0.02) ** 2))
    >>> found = signal_quality(np.stack([qrs, np.minimum(qrs, 0.6), 0 * qrs]), 500)
    >>> found.saturated.tolist(), found.flat.tolist(), round(found.quality, 1)
    ([False, True, False], [False, False, True], 0.3)
    """
    record = _check_record(record, sampling_rate)
    record = record[:, recorded_span(record)]
    missing_share = np.isnan(record).mean(axis=1)
    filled = np.clip(fill_gaps(record)[0], -_LARGEST, _LARGEST)
    missing = missing_share > _MOST_MISSING
    flat = ~missing & _is_flat(filled, sampling_rate)
    saturated = ~missing & ~flat & np.array([_is_saturated(lead, sampling_rate) for lead in filled])
    noise_level = np.where(missing, np.nan, measure_noise(filled, sampling_rate))
    wander_level = np.where(missing, np.nan, _measure_wander(filled, sampling_rate))
    average, spread, consistency = _compare_beats(np.where(missing[:, np.newaxis], 0.0, filled), sampling_rate)
    consistency[missing] = np.nan
    usable = ~(missing | flat | saturated)
    lead_quality = np.where(usable, (1 - missing_share) * np.where(np.isnan(consistency), 1.0, consistency), 0.0)
    lead_quality /= 1 + (np.where(usable, noise_level, 0) / _HALF_NOISE) ** 2
    lead_quality /= 1 + (np.where(usable, wander_level, 0) / _HALF_WANDER) ** 2
    reversal = "none"
    if average is not None and len(record) == len(LEADS):
        reversal = limb_lead_reversal(average.waveform)
    return RecordQuality(
        quality=float(np.mean(lead_quality)) if average is not None else 0.0,
        n_beats=len(average.peaks) if average is not None else 0,
        lead_quality=lead_quality,
        missing_share=missing_share,
        noise_level=noise_level,
        wander_level=wander_level,
        consistency=consistency,
        missing=missing,
        flat=flat,
        saturated=saturated,
        # Comparisons with NaN are False: a missing lead is not noisy.
        noise=~flat & ((noise_level > _MOST_NOISE) | ((consistency < 0.5) & (spread > _MOST_NOISE))),
        wander=wander_level > _MOST_WANDER,
        limb_lead_reversal=reversal,
    )


def _check_record(record: ArrayLike, sampling_rate: float) -> NDArray[np.float64]:
    """Return a record as float64 of shape (n_leads, n_samples), or raise a ValueError."""
    record = np.atleast_2d(np.asarray(record, dtype=np.float64))
    if record.ndim != 2 or record.size == 0:
        raise ValueError(
            f"record must have shape (n_leads, n_samples) or (n_samples,); got {record.shape}. "
            "Give one record at a time."
        )
    if not LEAST_QUALITY_RATE < sampling_rate < np.inf:
        raise ValueError(
            f"sampling_rate must be a number above {LEAST_QUALITY_RATE:g} Hz, since noise is what lies above "
            f"{_NOISE_BAND:g} Hz; got {sampling_rate!r}."
        )
    if np.isinf(record).any():
        raise ValueError("record has infinite values; write NaN for missing samples.")
    return record


def _is_flat(filled: NDArray[np.float64], sampling_rate: float) -> NDArray[np.bool_]:
    """Return which leads hardly move in most of the seconds."""
    return np.mean(np.ptp(cut_stretches(filled, sampling_rate), axis=2) < _FLAT, axis=1) > 0.5


def _is_saturated(lead: NDArray[np.float64], sampling_rate: float) -> bool:
    """Return whether a lead rests on its largest or smallest value as a clipped one does."""
    shortest = max(2, round(_PLATEAU * sampling_rate))
    steps = np.abs(np.diff(lead))
    least_step = _STEEP * np.min(steps, initial=_MOST_QUANTUM, where=steps > _LEAST_QUANTUM)
    for extreme in (lead.max(), lead.min()):
        held = np.flatnonzero(lead == extreme)
        if held.size < shortest:
            continue
        edges = np.flatnonzero(np.concatenate([[True], np.diff(held) > 1, [True]]))
        starts, lengths = held[edges[:-1]], np.diff(edges)
        step_in, step_out = steps[np.maximum(starts - 1, 0)], steps[np.minimum(starts + lengths - 1, steps.size - 1)]
        cut = (lengths >= shortest) & (np.minimum(step_in, step_out) >= least_step)
        half_seconds = np.unique(starts[cut] // (0.5 * sampling_rate))
        if half_seconds.size >= _LEAST_PLATEAUS or lengths.max() >= _LONG_PLATEAU * sampling_rate:
            return True
    return False


def measure_noise(filled: NDArray[np.float64], sampling_rate: float) -> NDArray[np.float64]:
    """Return the noise level (n_leads,) in mV of a record without NaN; see `signal_quality`."""
    # Single precision is fast, and good for noise once the offset is gone.
    centred = (filled - filled[:, :1]).astype(np.float32)
    band = apply_response(centred, float(sampling_rate), _NOISE_BAND, None, ())
    power = np.mean(cut_stretches(band, 0.1 * sampling_rate) ** 2, axis=2)
    quietest = cut_stretches(power, 5).min(axis=2)
    return np.sqrt(np.quantile(quietest, 0.9, axis=1)).astype(np.float64)


def _measure_wander(filled: NDArray[np.float64], sampling_rate: float) -> NDArray[np.float64]:
    """Return the range (n_leads,) of the medians of successive seconds, in mV."""
    step = max(1, int(sampling_rate // 100))
    return np.ptp(np.median(cut_stretches(filled[:, ::step], sampling_rate / step), axis=2), axis=1)


def _compare_beats(
    filled: NDArray[np.float64], sampling_rate: float
) -> tuple[AverageBeat | None, NDArray[np.float64], NDArray[np.float64]]:
    """Return the average beat, how far beats deviate from it (mV) and their consistency, per lead.

    The average is None where there is no beat; the measures are NaN with fewer than two beats.
    """
    unknown = np.full(len(filled), np.nan)
    # The mean of neighbours thins out the samples and keeps the beat.
    step = max(1, int(sampling_rate // _BEAT_RATE))
    rate = sampling_rate / step
    try:
        thinned = cut_stretches(filled, step).mean(axis=2)
        thinned = apply_response(thinned, rate, 0.5, None, ()).astype(np.float64, copy=False)
        average = average_beats(thinned, rate, _BEFORE, _AFTER)
    except NoBeatError:
        return None, unknown, unknown.copy()
    peaks = average.peaks[average.used]
    n_beats = len(peaks)
    if n_beats < 2:
        return average, unknown, unknown.copy()
    # In a fast rhythm the neighbouring beats must stay outside.
    rr = float(np.median(np.diff(average.peaks)))
    before, after = round(min(_BEFORE * rate, 0.35 * rr)), round(min(_AFTER * rate, 0.65 * rr))
    samples = np.clip(peaks[:, np.newaxis] + np.arange(-before, after), 0, thinned.shape[1] - 1)
    beats = thinned[:, samples]
    beats = beats - beats.mean(axis=2, keepdims=True)
    median = np.median(beats, axis=1, keepdims=True)
    noise = np.mean((beats - median) ** 2, axis=(1, 2)) * n_beats / (n_beats - 1)
    # The median of noisy beats keeps some noise: pi / 2 times as much as the mean would, if it is normal.
    signal = np.maximum(np.mean(median[:, 0] ** 2, axis=1) - np.pi / 2 * noise / n_beats, 0)
    total = signal + noise
    return average, np.sqrt(noise), np.divide(signal, total, out=np.zeros_like(total), where=total > 0)
