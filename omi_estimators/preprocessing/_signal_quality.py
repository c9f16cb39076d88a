"""Signal quality: what is wrong with each lead of a raw record, as a table, and which records can be judged."""

from __future__ import annotations

import os
from dataclasses import dataclass
from numbers import Real
from typing import Any

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from omi_estimators._compat import Interval
from omi_estimators.leads import LEADS, check_ecg
from omi_estimators.preprocessing._average import AverageBeat, NoBeatError, average_beats
from omi_estimators.preprocessing._beat import median_beat
from omi_estimators.preprocessing._filter import apply_response, filter_ecg
from omi_estimators.preprocessing._limb_leads import limb_lead_reversal
from omi_estimators.preprocessing._records import RecordTransformer, Usable, find_fault, map_records
from omi_estimators.preprocessing._resample import cut_stretches, fill_gaps, recorded_span

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


_MEASURES = ("noise_level", "wander_level")


def quality_names(n_leads: int = 12) -> list[str]:
    """Return the names of `quality_features`, in order.

    Parameters
    ----------
    n_leads : int, default=12
        With twelve leads, names end in the names of `LEADS`, and there is a feature of swapped limb electrodes; with
        another number, names end in lead0, lead1, ….

    Returns
    -------
    list of str
        Names such as "quality" and "noise_level_V2".

    Examples
    --------
    >>> from omi_estimators.preprocessing import quality_names
    >>> quality_names(1)
    ['quality', 'quality_worst_lead', 'n_bad_leads', 'missing_share', 'noise_level_lead0']
    """
    whole = ["quality", "quality_worst_lead", "n_bad_leads", "missing_share"]
    return [*whole, *_reversal_names(n_leads), *(f"noise_level_{lead}" for lead in _lead_names(n_leads))]


def quality_features(quality: RecordQuality) -> dict[str, float]:
    """Return the quality of a record as a few features.

    Parameters
    ----------
    quality : RecordQuality
        From `signal_quality`.

    Returns
    -------
    dict of str to float
        By `quality_names`: the quality of the record and of its worst lead (0 to 1), the number of leads with a flag
        other than wander, which filtering removes, the share of missing samples, with twelve leads whether limb
        electrodes were swapped (0 or 1), and the noise level of each lead in mV, NaN where a lead is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import quality_features, signal_quality
    >>> quality_features(signal_quality(np.zeros(5000), 500))
    {'quality': 0.0, 'quality_worst_lead': 0.0, 'n_bad_leads': 1.0, 'missing_share': 0.0, 'noise_level_lead0': 0.0}
    """
    n_leads = len(quality.missing)
    bad = quality.missing | quality.flat | quality.saturated | quality.noise
    whole = [quality.quality, quality.lead_quality.min(), bad.sum(), quality.missing_share.mean()]
    values = [*whole, *_reversal_values(quality), *quality.noise_level]
    return {name: float(value) for name, value in zip(quality_names(n_leads), values, strict=True)}


def table_names(n_leads: int) -> list[str]:
    """Return the names of the columns of `table_row`."""
    columns = ["lead_quality", "missing_share", *_MEASURES, *FLAGS]
    per_lead = [f"{column}_{lead}" for column in columns for lead in _lead_names(n_leads)]
    return ["quality", "n_beats", *_reversal_names(n_leads), *per_lead]


def table_row(quality: RecordQuality) -> NDArray[np.float64]:
    """Return all that is known of a record's quality but the consistency, as one row."""
    columns = [getattr(quality, column) for column in ("lead_quality", "missing_share", *_MEASURES, *FLAGS)]
    whole = [quality.quality, quality.n_beats, *_reversal_values(quality)]
    return np.concatenate([whole, *columns]).astype(np.float64)


def _lead_names(n_leads: int) -> list[str]:
    """Return what the names of features end in."""
    return list(LEADS) if n_leads == len(LEADS) else [f"lead{number}" for number in range(n_leads)]


def _reversal_names(n_leads: int) -> list[str]:
    """Return the name of the feature of swapped limb electrodes, where there is one."""
    return ["reversed_limb_leads"] if n_leads == len(LEADS) else []


def _reversal_values(quality: RecordQuality) -> list[float]:
    """Return the value of the feature of swapped limb electrodes, where there is one."""
    return [float(quality.limb_lead_reversal != "none")] if len(quality.missing) == len(LEADS) else []


def usable_records(
    X: ArrayLike,
    sampling_rate: float,
    *,
    least_quality: float = 0.0,
    n_jobs: int | None = None,
    memory: str | os.PathLike[str] | joblib.Memory | None = None,
) -> Usable:
    """Say which records can be judged, and why the others cannot.

    A record cannot be judged if its leads are off (flat or missing, an amplifier that goes from one end of its range to
    the other, voltages that no heart gives, in more than half of the leads that were recorded), or if no beat is found
    in it: noise, ventricular fibrillation, too short. The pipelines of this package neither learn from such a record
    nor answer for it; other faults, of single leads, are for `signal_quality`.

    Parameters
    ----------
    X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
        Raw ECGs in millivolts; NaN where missing.
    sampling_rate : float
        Samples per second, in Hz.
    least_quality : float, default=0
        Ask for a `quality` (`signal_quality`) of at least this too, from 0 to 1; needs more than 50 Hz.
    n_jobs : int or None, default=None
        Number of records measured in parallel, as in joblib.
    memory : str, path, joblib.Memory or None, default=None
        Where to cache what is measured, record by record.

    Returns
    -------
    Usable
        With `mask`, True for records that can be judged, and `reasons`, in words, for the others. Swapped limb
        electrodes are no reason.

    Raises
    ------
    ValueError
        If `X` is no array of ECGs, or a parameter is out of range.

    See Also
    --------
    judge : Probabilities of a fitted classifier, and the records for which they mean something.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import usable_records
    >>> t = np.arange(5000) / 500
    >>> qrs = np.exp(-(((t % 1 - 0.5) / 0.02) ** 2))
    >>> X = np.stack([qrs, 0 * qrs])
    >>> usable = usable_records(X, 500)
    >>> X[usable.mask].shape, usable.reasons.tolist()
    ((1, 5000), ['', 'every lead is flat or missing'])
    """
    if not 0 <= least_quality <= 1:
        raise ValueError(f"least_quality must be from 0 to 1; got {least_quality!r}.")
    records = check_ecg(X, allow_nan=True)
    given: dict[str, Any] = {"n_jobs": n_jobs, "memory": memory, "sampling_rate": float(sampling_rate)}
    reasons = list(map_records(_why_unusable, records, **given))
    if least_quality > 0:
        for index, found in enumerate(map_records(signal_quality, records, **given)):
            if not reasons[index] and found.quality < least_quality:
                reasons[index] = f"its quality is {found.quality:.2f}, below {least_quality:g}"
    return Usable.from_reasons(reasons)


def _why_unusable(record: NDArray[np.float64], *, sampling_rate: float) -> str:
    """Return why a record cannot be judged; empty if it can. At module level, to be cached."""
    fault = find_fault(record, sampling_rate)
    try:
        if not fault:
            median_beat(filter_ecg(record, sampling_rate), sampling_rate)
    except NoBeatError as error:
        return str(error)
    return fault


class SignalQuality(RecordTransformer):
    """Measure the signal quality of raw ECGs: a table of features.

    Parameters
    ----------
    sampling_rate : float, default=500
        Samples per second of the records, in Hz, above 50.
    n_jobs : int or None, default=None
        Number of records measured in parallel, as in joblib. It never changes the result.
    memory : str, path, joblib.Memory or None, default=None
        Where to cache what is measured, record by record, so that cross-validation measures none twice.
    verbose : int, default=0
        1 shows a progress bar over the records.

    Attributes
    ----------
    n_features_in_ : int
        Number of leads (of samples, for two-dimensional `X`) seen in ``fit``.
    n_samples_in_ : int
        Number of samples of a record seen in ``fit``.

    See Also
    --------
    signal_quality : The same for one record, as a function, with all definitions.
    BadLeadMasker : Sets leads with flags to NaN.
    usable_records : Which records are good enough.

    Notes
    -----
    Give it raw records: filtering hides clipping, noise and wander. With twelve leads LEAD is a name of `LEADS`;
    otherwise lead0, lead1, …, and `reversed_limb_leads` is left out.

    ====================================== ======= ==========================================================
    names                                  unit    meaning
    ====================================== ======= ==========================================================
    quality                                1       of the record, 0 to 1; 0 without a beat
    n_beats                                1       number of beats found
    reversed_limb_leads                    0 or 1  whether limb electrodes were swapped (`limb_lead_reversal`)
    lead_quality_LEAD                      1       of the lead, 0 to 1
    missing_share_LEAD                     1       share of missing samples
    noise_level_LEAD                       mV      above 25 Hz between the beats; NaN for a missing lead
    wander_level_LEAD                      mV      drift and steps of the baseline; NaN for a missing lead
    {missing,flat,saturated,noise,wander}_ 0 or 1  flags
    LEAD
    ====================================== ======= ==========================================================

    Examples
    --------
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> from omi_estimators.preprocessing import SignalQuality
    >>> ecgs = make_omi_ecgs(n_patients=3, random_state=0)
    >>> table = SignalQuality().set_output(transform="pandas").fit_transform(ecgs.X)
    >>> bool(table["quality"].between(0, 1).all()), table["flat_V2"].tolist()
    (True, [0.0, 0.0, 0.0])
    """

    _parameter_constraints = RecordTransformer._parameter_constraints | {
        "sampling_rate": [Interval(Real, 50, None, closed="neither")]
    }

    def __init__(
        self,
        *,
        sampling_rate: float = 500,
        n_jobs: int | None = None,
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
        verbose: int = 0,
    ):
        self.sampling_rate = sampling_rate
        self.n_jobs = n_jobs
        self.memory = memory
        self.verbose = verbose

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Measure the records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Raw ECGs in millivolts.

        Returns
        -------
        ndarray of shape (n_records, n_columns)
            See Notes of the class; NaN only in levels of missing leads, never infinite.
        """
        return np.array([table_row(record) for record in self._map(signal_quality, self._validate(X))])

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : object, optional
            Ignored: the names do not depend on those of the input.

        Returns
        -------
        ndarray of str, shape (n_columns,)
            Names, in the order of the columns of ``transform``.
        """
        check_is_fitted(self)
        return np.array(table_names(self._n_leads), dtype=object)
