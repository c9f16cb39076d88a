"""Whether ECGs are of the kind that a model was trained on: record by record, and for a batch."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from functools import cache
from itertools import combinations
from numbers import Integral, Real
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from scipy.stats import chi2_contingency, kstwo
from sklearn.covariance import ledoit_wolf
from sklearn.model_selection import GroupKFold
from sklearn.utils.validation import check_is_fitted

from omi_estimators._compat import HasMethods, Interval
from omi_estimators._validation import check_groups, find_missing
from omi_estimators.leads import INDEPENDENT_LEADS, LEADS, LIMB_LEADS, LIMB_WEIGHTS
from omi_estimators.preprocessing import (
    Measured,
    NoBeatError,
    RecordTransformer,
    Usable,
    average_beats,
    check_usable,
    fill_gaps,
    filter_ecg,
    find_fault,
    rate_evidence,
    recorded_span,
    report_unusable,
)

__all__ = ["ECGProfile", "FewRecordsWarning", "check_profile"]

Floats = NDArray[np.float64]

# Below so many patients the lead-to-lead relations are hardly known.
_FEW = 100
# Beats need no more samples per second than this.
_BEAT_RATE = 250.0
# What half a second of an ECG usually spreads by (mV). A record a thousand times as large or small has another unit.
_USUAL_SPREAD = 0.15
_MOST_MISSING = 0.5
# Leads that contradict each other by less (mV) were rounded by different programs.
_ROUNDING = 0.005
# Where the average beat is looked at (s from R): QRS, and ST and T.
_QRS_TIMES, _T_TIMES = np.arange(-8, 9) / 100, np.arange(2, 9) / 20
_TIMES = np.concatenate([_QRS_TIMES, _T_TIMES])
# Hz, without the mains; and what the power in them is compared with.
_BANDS, _QRS_BAND = ((40, 48), (62, 95), (105, 145), (155, 245)), (5, 25)
_MAINS = (50, 60)
_PER_LEAD = ("amplitude", "polarity", "noise", "wander")
_INTERVALS = ("rr", "qrs", "t")
# The smallest spread a measure may have: of logarithms to base ten 2 %.
_LEAST_SCALE = 0.01
# Deviations further out than this many spreads do not move the covariance.
_MOST_DEVIATION = 6.0
# The part of the measures out of fold whose exceedances are taken as exponential, and how many quantiles are kept.
_TAIL, _N_QUANTILES = 0.1, 200
# How false alarms are shared between the components: those that tell subtle faults get more, as the others need less.
_SHARES = np.array([0.1, 0.15, 0.05, 0.4, 0.3])
_N_FOLDS = 5
# Fewer expected patients in a category than this are pooled, as the chi-squared test needs.
_LEAST_EXPECTED = 5
_MOST_REASONS = 3


class FewRecordsWarning(UserWarning):
    """A profile was made of so few patients that it finds less."""


def _lead_names(n_leads: int) -> list[str]:
    return list(LEADS) if n_leads == len(LEADS) else [f"lead{number}" for number in range(n_leads)]


def _beat_leads(n_leads: int) -> list[int]:
    """Return the leads from which the others do not follow."""
    return list(INDEPENDENT_LEADS) if n_leads == len(LEADS) else list(range(n_leads))


def _bands(sampling_rate: float) -> list[tuple[int, int]]:
    return [band for band in _BANDS if band[1] < sampling_rate / 2]


def _scalar_names(n_leads: int, sampling_rate: float) -> list[str]:
    """Return the names of the measures other than the beat."""
    return [
        *(f"{kind}_{lead}" for kind in _PER_LEAD for lead in _lead_names(n_leads)),
        *_INTERVALS,
        *(f"power_{low}_{high}Hz" for low, high in _bands(sampling_rate)),
        *(f"hum_{line}Hz" for line in _MAINS if line + 5 < sampling_rate / 2),
        *(["einthoven"] if n_leads == len(LEADS) else []),
        "missing_share",
    ]


def _measure(record: Floats, *, sampling_rate: float) -> tuple[Floats, str]:
    """Return the measures of a record, and why there are none ("" if there are). At module level, to be cached."""
    n_leads = len(record)
    nothing = np.full(len(_scalar_names(n_leads, sampling_rate)) + len(_beat_leads(n_leads)) * len(_TIMES), np.nan)
    raw = record[:, recorded_span(record)]
    missing = np.isnan(raw).mean(axis=1)
    filled = fill_gaps(raw)[0]
    step = max(1, int(sampling_rate // _BEAT_RATE))
    rate = sampling_rate / step
    thin = filled[:, : filled.shape[1] // step * step].reshape(n_leads, -1, step).mean(axis=2)
    clean = filter_ecg(thin, rate, highpass=0.5, lowpass=None)
    width = min(max(2, int(rate / 2)), clean.shape[1])
    pieces = clean[:, : clean.shape[1] // width * width].reshape(n_leads, -1, width)
    spread = float(np.median(np.median(pieces.std(axis=2), axis=1)))
    if not spread > 0:
        return nothing, find_fault(raw, sampling_rate) or "most leads are flat or missing"
    # Another unit is what is to be found, not a reason to find no beats.
    unit = 1000.0 ** np.round(np.log(spread / _USUAL_SPREAD) / np.log(1000))
    try:
        average = average_beats(clean / unit, rate, 0.3, 0.5)
    except NoBeatError as error:
        return nothing, str(error)
    beat, r_index = average.waveform, average.r_index
    reach = round(-_QRS_TIMES[0] * rate)
    qrs = beat[:, r_index - reach : r_index + reach]
    high, low = qrs.max(axis=1), qrs.min(axis=1)
    size = np.maximum(high - low, 1e-6)
    of_leads = np.stack(
        [
            np.log10(size * unit + 1e-3),
            (high + low) / size,
            np.log10(np.median(np.abs(filter_ecg(thin, rate, highpass=25, lowpass=None)), axis=1) + 1e-4),
            np.log10(np.ptp(thin - clean, axis=1) + 1e-3),
        ]
    )
    of_leads[:, missing > _MOST_MISSING] = np.nan
    values = of_leads.ravel().tolist()
    values += _measure_intervals(clean, rate, average, qrs) + _measure_spectrum(filled, sampling_rate)
    if n_leads == len(LEADS):
        limbs = thin[: len(LIMB_LEADS)] - thin[: len(LIMB_LEADS)].mean(axis=1, keepdims=True)
        residual, whole = limbs - LIMB_WEIGHTS @ limbs[:2], max(float(np.std(limbs)), 1e-9)
        broken = max(0.0, float(np.std(residual)) - _ROUNDING * unit) / whole
        values.append(np.log10(broken + 1e-2) if (missing[: len(LIMB_LEADS)] < _MOST_MISSING).all() else np.nan)
    values.append(missing.mean())
    at = (np.arange(beat.shape[1]) - r_index) / rate
    shape = np.stack([np.interp(_TIMES, at, beat[lead]) for lead in _beat_leads(n_leads)])
    shape = shape / max(float(np.linalg.norm(shape[:, : len(_QRS_TIMES)])), 1e-9)
    shape[missing[_beat_leads(n_leads)] > _MOST_MISSING] = np.nan
    return np.concatenate([values, shape.ravel()]), ""


def _measure_intervals(clean: Floats, rate: float, average: Any, qrs: Floats) -> list[float]:
    """Return the logarithms of RR, the width of QRS, and the time until most of T is over, in s; NaN for unknown."""
    rr = np.median(np.diff(average.peaks)) / rate if len(average.peaks) > 1 else np.nan
    width = np.sqrt(np.sum(qrs**2) / max(float(np.sum(np.diff(qrs, axis=1) ** 2)), 1e-12)) / rate
    return np.log([rr, width, rate_evidence(clean, rate, average)[2]]).tolist()


def _measure_spectrum(filled: Floats, sampling_rate: float) -> list[float]:
    """Return power in bands relative to QRS, and that at the mains relative to its surroundings, as logarithms."""
    windowed = (filled - filled.mean(axis=1, keepdims=True)) * np.hanning(filled.shape[1])
    power = np.abs(fft.rfft(windowed, axis=1)) ** 2
    frequency = np.arange(power.shape[1]) * (sampling_rate / filled.shape[1])

    def within(low: float, high: float) -> NDArray[np.bool_]:
        return (frequency >= low) & (frequency < high)

    there = power.any(axis=1)
    of_qrs = power[there][:, within(*_QRS_BAND)].mean(axis=1)
    found = [
        float(np.median(np.log10(power[there][:, within(*band)].mean(axis=1) / of_qrs + 1e-12)))
        for band in _bands(sampling_rate)
    ]
    total = power.sum(axis=0)
    for line in _MAINS:
        if line + 5 < sampling_rate / 2:
            away = np.abs(frequency - line)
            around = np.median(total[(away > 0.6) & (away <= 5)])
            found.append(float(np.log10((total[away <= 0.6].max(initial=0) + 1e-12) / (around + 1e-12))))
    return found


@cache
def _mistakes(n_leads: int) -> dict[str, Floats]:
    """Return what may have happened to the independent leads: its name, and the matrix that does and undoes it."""
    names = [_lead_names(n_leads)[lead] for lead in _beat_leads(n_leads)]
    same = np.eye(len(names))
    n_limb = 2 if n_leads == len(LEADS) else 0
    found = {}
    for one, other in combinations(range(n_limb, len(names)), 2):
        order = np.arange(len(names))
        order[[one, other]] = other, one
        found[f"{names[one]} and {names[other]} exchanged"] = same[order]
    for lead, name in enumerate(names):
        found[f"{name} inverted"] = same - 2 * np.outer(same[lead], same[lead])
    if n_limb:
        # I and II as they are when two of the three electrodes changed places.
        for electrodes, limbs in {
            "RA and LA": [[-1, 0], [-1, 1]],
            "RA and LL": [[1, -1], [0, -1]],
            "LA and LL": [[0, 1], [1, 0]],
        }.items():
            matrix = same.copy()
            matrix[:2, :2] = limbs
            found[f"{electrodes} exchanged"] = matrix
    return found


def _fill(values: Floats, mean: Floats, covariance: Floats) -> Floats:
    """Return deviations from the mean, those unknown as the known ones let expect: they then add no distance."""
    deviations = values - mean
    for index in np.flatnonzero(np.isnan(deviations).any(axis=1)):
        row = deviations[index]
        unknown = np.isnan(row)
        known = ~unknown
        row[unknown] = covariance[np.ix_(unknown, known)] @ np.linalg.solve(
            covariance[np.ix_(known, known)], row[known]
        )
    return deviations


def _shrunken(deviations: Floats) -> tuple[Floats, Floats]:
    """Return the mean and the covariance, shrunken by Ledoit and Wolf, positive definite even of constants."""
    covariance = ledoit_wolf(deviations)[0]
    return deviations.mean(axis=0), covariance + 1e-8 * np.eye(len(covariance))


def _fit_model(values: Floats, names: list[str]) -> dict[str, Floats]:
    """Return what is usual of the measures (n_records, n_measures), the first of which have these names."""
    scalars, beats = values[:, : len(names)], values[:, len(names) :]
    with warnings.catch_warnings():
        # Measures that no record has stay at zero.
        warnings.simplefilter("ignore", RuntimeWarning)
        center = np.nan_to_num(np.nanmedian(scalars, axis=0))
        ends = np.nan_to_num(np.nanquantile(scalars, [0.02, 0.1, 0.9, 0.98], axis=0))
    # The far quantiles keep measures with heavy tails from hiding all others.
    scale = np.maximum(np.maximum((ends[2] - ends[1]) / 2.56, (ends[3] - ends[0]) / 8), _LEAST_SCALE)
    clipped = np.clip(np.nan_to_num((scalars - center) / scale), -_MOST_DEVIATION, _MOST_DEVIATION)
    mean, covariance = _shrunken(clipped)
    usual_beat = np.nan_to_num(np.nanmean(beats[np.isfinite(beats).any(axis=1)], axis=0)) if len(beats) else beats
    beat_mean, beat_covariance = _shrunken(np.where(np.isnan(beats), usual_beat, beats))
    # The direction in which all moves together when the sampling rate is wrong: told too high, intervals shrink, and
    # each band shows what lies below it.
    paced = [index for index, name in enumerate(names) if name in _INTERVALS or name.startswith("power")]
    bands = [index for index in paced if names[index].startswith("power")]
    slopes = np.zeros(len(bands))
    if len(bands) > 1:
        middles = [np.log(np.prod([float(f) for f in re.findall(r"\d+", names[index])])) / 2 for index in bands]
        slopes = -np.gradient(center[bands], middles)
    direction = np.concatenate([-np.ones(len(paced) - len(bands)), slopes]) / scale[paced]
    pull = np.linalg.solve(covariance[np.ix_(paced, paced)], direction)
    tempo = np.zeros(len(names))
    # In units of the logarithm of the rate.
    tempo[paced] = pull / (direction @ pull)
    return {
        "center": center,
        "scale": scale,
        "mean": mean,
        "covariance": covariance,
        "beat_mean": beat_mean,
        "beat_covariance": beat_covariance,
        "tempo": tempo,
    }


def _deviate(model: Mapping[str, Floats], values: Floats, n_leads: int) -> dict[str, Floats]:
    """Return how records deviate from what is usual.

    Returns
    -------
    dict of str to ndarray
        `components` (n_records, 5) of which each may make a record atypical: the largest deviation of one measure, the
        distance of all, the distance of the beat, how much likelier it is after a mistake is undone, and the rate;
        and what they come from.
    """
    n_scalars = len(model["center"])
    scaled = (values[:, :n_scalars] - model["center"]) / model["scale"]
    z = _fill(scaled, model["mean"], model["covariance"])
    pulls = z @ np.linalg.inv(model["covariance"])
    beats = _fill(values[:, n_scalars:], model["beat_mean"], model["beat_covariance"])
    precision = np.linalg.inv(model["beat_covariance"])
    beat_pulls = beats @ precision
    distance = np.sum(beat_pulls * beats, axis=1)
    waves = (beats + model["beat_mean"]).reshape(len(values), len(_beat_leads(n_leads)), len(_TIMES))
    gains = []
    for matrix in _mistakes(n_leads).values():
        undone = matrix @ waves
        undone /= np.maximum(np.linalg.norm(undone[:, :, : len(_QRS_TIMES)], axis=(1, 2), keepdims=True), 1e-9)
        other = undone.reshape(beats.shape) - model["beat_mean"]
        gains.append(distance - np.sum((other @ precision) * other, axis=1))
    # Beats far from the mean gain more by any change; the first term is the usual distance.
    gains = np.transpose(gains) / (0.25 * len(precision) + distance)[:, np.newaxis]
    tempo = z @ model["tempo"]
    components = [
        np.log1p(np.nanmax(np.abs(scaled), axis=1)),
        np.log1p(np.sum(pulls * z, axis=1)),
        np.log1p(distance),
        gains.max(axis=1),
        np.abs(tempo),
    ]
    return {
        "components": np.transpose(components),
        "scaled": scaled,
        "pulls": pulls * z,
        "beat_pulls": beat_pulls * beats,
        "gains": gains,
        "tempo": tempo,
    }


def _fit_tails(components: Floats) -> Floats:
    """Return quantiles of each column up to its tail, and the mean exceedance of that, as (n_columns, n)."""
    levels = np.linspace(0, 1 - _TAIL, _N_QUANTILES)
    quantiles = np.quantile(components, levels, axis=0)
    excess = np.maximum(components - quantiles[-1], 0).mean(axis=0) / _TAIL
    return np.vstack([quantiles, np.maximum(excess, 1e-9)]).T


def _surprise(tails: Floats, components: Floats) -> Floats:
    """Return minus the logarithm of the share of records with as large components or larger, the tail exponential.

    The logarithms of the shares of alarms are added: Bonferroni's correction with weights.
    """
    expected = -np.log1p(-np.linspace(0, 1 - _TAIL, _N_QUANTILES))
    found = [
        np.interp(column, tail[:-1], expected) + np.maximum(column - tail[-2], 0) / tail[-1]
        for column, tail in zip(components.T, tails, strict=True)
    ]
    return np.transpose(found) + np.log(_SHARES)


def _quantiles(values: Floats, weights: Floats) -> Floats:
    """Return at most 200 sorted values that stand for the weighted ones; NaN are left out."""
    known = np.isfinite(values)
    order = np.argsort(values[known], kind="stable")
    sorted_values, share = values[known][order], np.cumsum(weights[known][order])
    if not len(order):
        return sorted_values
    n_kept = min(_N_QUANTILES, len(order))
    levels = (np.arange(n_kept) + 0.5) / n_kept * share[-1]
    return sorted_values[np.minimum(np.searchsorted(share, levels), len(order) - 1)]


def _holm(p_values: Floats) -> Floats:
    """Return p values adjusted by Holm for all of them; NaN stay."""
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else steps
    return adjusted


class ECGProfile(RecordTransformer):
    """What kind of ECG a model was trained on, and whether others are of that kind.

    It holds no record: quantiles of measures, two shrunken covariances, and shares of sex and device. Typical does not
    mean that a model is right, nor atypical that it is wrong; but what a model is worth was measured on the former.

    Parameters
    ----------
    sampling_rate : float
        Samples per second of the records, in Hz, above 50.
    false_alarm_rate : float, default=0.05
        The share of records of the same kind that `describe` calls atypical; and the probability that `find_drift`
        finds any drift where there is none.
    n_jobs : int or None, default=None
        Number of records measured in parallel, as in joblib. It never changes the result.
    memory : str, path, joblib.Memory or None, default=None
        Where to cache what is measured, record by record.

    Attributes
    ----------
    model_ : dict of str to ndarray of shape (n_measures,) or (n_measures, n_measures)
        Medians, spreads, means and covariances of the measures and of the beat.
    tails_ : ndarray of shape (5, 201)
        Quantiles and mean exceedance of the five components of how unusual a record is, out of fold.
    scores_ : ndarray of shape (n_scores,)
        How unusual training records are, out of fold, sorted: what new ones are compared with; at most 2,000.
    quantiles_ : dict of str to ndarray of shape (n_quantiles,)
        Of each measure, and of "age" if it was given, over patients, at most 200.
    shares_ : dict of str to dict of str to float
        Share of patients in each category of "sex" and "device", as far as given.
    n_known_ : dict of str to int
        Number of patients of whom each of these is known.
    n_records_, n_patients_ : int
        Number of records that could be judged, and of their patients.
    n_features_in_, n_samples_in_ : int
        As in `SignalQuality`.

    Raises
    ------
    ValueError
        In `fit`: if `X` is no array of ECGs, fewer than five patients have a record that can be judged, or `groups`,
        `age`, `sex` or `device` do not fit. Later: if records have other leads or another length.

    Warns
    -----
    FewRecordsWarning
        In `fit`, below 100 patients: alarms stay as rare as promised, but less is found; below 20, at the usual rate,
        nothing is.
    UnusableRecordWarning
        In `fit`, if records cannot be judged. They are left out.

    See Also
    --------
    SignalQuality : What is wrong with a record, whatever others are like.
    omi_estimators.preprocessing.usable_records : Which records can be judged at all.

    Notes
    -----
    **Measures** (`transform`), all of the raw record: of each lead the size of QRS, its polarity (from -1, a Q or S
    alone, to 1), noise above 25 Hz and wander, as logarithms to base ten; of the record natural logarithms of RR, the
    width of QRS and the time until T is over, in s; power in four bands beside that of QRS, and at the mains beside its
    surroundings; how far limb leads break Einthoven's law; the share of missing samples; and the average beat in the
    independent leads, its QRS scaled to one.

    **Typicality** is a conformal p value [1]_. How unusual a record is has five components: the largest deviation of
    one measure; Mahalanobis' distance of all, and of the beat, by covariances that are shrunken [2]_; how much nearer
    the beat is when a mistake is undone (two leads or two limb electrodes exchanged, a lead inverted); and the common
    factor in all intervals and the spectrum, as a wrong sampling rate makes. Each is turned into the logarithm of the
    share of training records that have as much, with a share of the alarms of its own (10, 15, 5, 40 and 30 %), and
    the most unusual counts. Training records are measured out of fold, by
    patient, against profiles of four fifths of them, so that a record of the same kind has a typicality below `p` with
    a probability of about `p`, whatever the distribution of measures. That is over training records and new ones
    alike: one given profile has a somewhat higher or lower rate.

    **Drift** is found by the largest difference between two distribution functions (Kolmogorov and Smirnov) for
    numbers, and a chi-squared test for categories, in which each patient weighs one; p values are adjusted by Holm.

    References
    ----------
    .. [1] V. Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence 74:9-28 (2015).
       doi:10.1007/s10472-013-9368-4
    .. [2] O. Ledoit, M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
       Multivariate Analysis 88:365-411 (2004). doi:10.1016/S0047-259X(03)00096-4

    Examples
    --------
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> from omi_estimators.typicality import ECGProfile
    >>> ecgs = make_omi_ecgs(n_patients=100, records_per_patient=1, random_state=0)
    >>> profile = ECGProfile(ecgs.sampling_rate).fit(ecgs.X, groups=ecgs.groups, age=ecgs.age)
    >>> new = make_omi_ecgs(n_patients=1, records_per_patient=1, random_state=1).X
    >>> profile.describe(1000 * new)["reasons"][0]
    'amplitudes about 1000 times the usual: microvolts read as millivolts?'
    """

    _parameter_constraints = {  # noqa: RUF012
        "sampling_rate": [Interval(Real, 50, None, closed="neither")],
        "false_alarm_rate": [Interval(Real, 0, 1, closed="neither")],
        "n_jobs": [Integral, None],
        "memory": [str, os.PathLike, HasMethods(["cache"]), None],
    }

    def __init__(
        self,
        sampling_rate: float,
        *,
        false_alarm_rate: float = 0.05,
        n_jobs: int | None = None,
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
    ):
        self.sampling_rate = sampling_rate
        self.false_alarm_rate = false_alarm_rate
        self.n_jobs = n_jobs
        self.memory = memory

    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        *,
        groups: ArrayLike | None = None,
        age: ArrayLike | None = None,
        sex: ArrayLike | None = None,
        device: ArrayLike | None = None,
    ) -> ECGProfile:
        """Describe the training records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Raw ECGs in millivolts; two dimensions mean one lead.
        y : object, optional
            Ignored.
        groups : array-like of shape (n_records,), optional
            Patient of each record. Without it each record counts as a patient of its own.
        age : array-like of shape (n_records,), optional
            In years; NaN where unknown.
        sex, device : array-like of shape (n_records,), optional
            Categories, compared by their text; None or NaN where unknown.

        Returns
        -------
        ECGProfile
            Itself, fitted.

        Raises
        ------
        ValueError
            If fewer than five patients have a record that can be judged, or what is given does not fit.
        """
        super().fit(X, y)
        values, usable = self.measure(X)
        columns = _check_columns(len(values), age, sex, device)
        patients = _check_patients(len(values), groups)
        check_usable(usable)
        report_unusable(usable, on_error="warn", consequence="left out of the profile")
        kept = usable.mask
        values, patients = values[kept], np.unique(patients[kept], return_inverse=True)[1]
        self.n_records_, self.n_patients_ = len(values), int(patients.max()) + 1
        if self.n_patients_ < _N_FOLDS:
            raise ValueError(
                f"ECGProfile needs records of at least {_N_FOLDS} patients; got {self.n_patients_} that can be judged. "
                f"Give more; below {_FEW} little is found."
            )
        if self.n_patients_ < _FEW:
            warnings.warn(
                f"A profile of {self.n_patients_} patients finds less than one of {_FEW} or more, swapped leads and "
                f"wrong rates above all; the least typicality it can give is {1 / (self.n_records_ + 1):.2g}.",
                FewRecordsWarning,
                stacklevel=2,
            )
        names = self._names()
        self.model_ = _fit_model(values, names)
        folds = list(GroupKFold(_N_FOLDS, shuffle=True, random_state=0).split(values, groups=patients))
        components = np.empty((len(values), 5))
        for train, test in folds:
            fitted = _fit_model(values[train], names)
            components[test] = _deviate(fitted, values[test], self._n_leads)["components"]
        self.tails_ = _fit_tails(components)
        # Tails of other records too: those of a record's own know how far out it is.
        scores = np.empty(len(values))
        for train, test in folds:
            scores[test] = _surprise(_fit_tails(components[train]), components[test]).max(axis=1)
        self.scores_ = np.sort(scores)
        if len(scores) > 10 * _N_QUANTILES:
            levels = (np.arange(10 * _N_QUANTILES) + 0.5) / (10 * _N_QUANTILES)
            self.scores_ = np.quantile(scores, levels, method="inverted_cdf")
        self._keep_distributions(values, patients, {name: column[kept] for name, column in columns.items()})
        return self

    def _keep_distributions(self, values: Floats, patients: NDArray[np.intp], columns: dict[str, NDArray]) -> None:
        """Set what later batches are compared with."""
        self.quantiles_, self.shares_, self.n_known_ = {}, {}, {}
        numbers = dict(zip(self._names(), values.T, strict=False))
        if "age" in columns:
            numbers["age"] = columns.pop("age")
        for name, column in numbers.items():
            known = np.isfinite(column)
            weights = _weigh(patients[known])
            self.quantiles_[name], self.n_known_[name] = _quantiles(column[known], weights), round(weights.sum())
        for name, column in columns.items():
            self.shares_[name], self.n_known_[name] = _count(column, patients)

    def _names(self) -> list[str]:
        return _scalar_names(self._n_leads, self.sampling_rate)

    def measure(self, X: ArrayLike) -> Measured:
        """Measure records, and say which of them could be.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Raw ECGs in millivolts.

        Returns
        -------
        Measured
            The measures, NaN in the row of a record in which no beat is found. `typicality`, `describe` and
            `find_drift` take it in the place of `X`, so that nothing is measured twice.
        """
        found = list(self._map(_measure, self._validate(X)))
        return Measured(np.array([values for values, _ in found]), Usable.from_reasons([reason for _, reason in found]))

    def transform(self, X: ArrayLike) -> Floats:
        """Return the measures of records; see Notes of the class.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Raw ECGs in millivolts.

        Returns
        -------
        ndarray of shape (n_records, n_measures)
            NaN for what cannot be measured.
        """
        return self.measure(X).values

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the measures.

        Parameters
        ----------
        input_features : object, optional
            Ignored.

        Returns
        -------
        ndarray of str, shape (n_measures,)
            Such as "amplitude_V2" and "beat_V2_-30ms".
        """
        check_is_fitted(self)
        leads = [_lead_names(self._n_leads)[lead] for lead in _beat_leads(self._n_leads)]
        beat = [f"beat_{lead}_{round(1000 * time)}ms" for lead in leads for time in _TIMES]
        return np.array([*self._names(), *beat], dtype=object)

    def _judge(self, X: ArrayLike | Measured) -> tuple[Measured, dict[str, Floats], Floats, Floats]:
        """Return measures, and of those that can be judged: deviations, surprises, typicality."""
        check_is_fitted(self, "scores_")
        measured = X if isinstance(X, Measured) else self.measure(X)
        found = _deviate(self.model_, measured.values[measured.usable.mask], self._n_leads)
        surprises = _surprise(self.tails_, found["components"])
        n_kept = len(self.scores_)
        as_unusual = n_kept - np.searchsorted(self.scores_, surprises.max(axis=1, initial=-np.inf), side="left")
        # With quantiles kept for records the same share of these.
        return measured, found, surprises, (1 + as_unusual / n_kept * self.n_records_) / (self.n_records_ + 1)

    def typicality(self, X: ArrayLike | Measured) -> Floats:
        """Return how typical records are of those in training.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples), or Measured
            Raw ECGs in millivolts, or what `measure` made of them.

        Returns
        -------
        ndarray of shape (n_records,)
            The share of training records that are at most as typical, above 0 and up to 1; NaN where no beat is found.
        """
        measured, *_, typicality = self._judge(X)
        whole = np.full(len(measured.values), np.nan)
        whole[measured.usable.mask] = typicality
        return whole

    def describe(self, X: ArrayLike | Measured) -> pd.DataFrame:
        """Say which records are atypical, and in what.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples), or Measured
            Raw ECGs in millivolts, or what `measure` made of them.

        Returns
        -------
        DataFrame
            One row for each record: `typicality`; `typical`, whether it is at least `false_alarm_rate`; and `reasons`,
            in words, of an atypical record, or why it cannot be judged. They are guesses at a cause.
        """
        measured, found, surprises, typicality = self._judge(X)
        rows = []
        judged = iter(range(len(typicality)))
        for is_usable, reason in zip(*measured.usable, strict=True):
            if not is_usable:
                rows.append((np.nan, False, f"not judged: {reason}"))
                continue
            at = next(judged)
            typical = bool(typicality[at] >= self.false_alarm_rate)
            rows.append((typicality[at], typical, "" if typical else self._explain(found, surprises[at], at)))
        return pd.DataFrame(rows, columns=["typicality", "typical", "reasons"])

    def _explain(self, found: dict[str, Floats], surprise: Floats, at: int) -> str:
        """Return what makes a record atypical, the most striking first."""
        names, scaled = self._names(), found["scaled"][at]
        amplitudes = [i for i, name in enumerate(names) if name.startswith("amplitude")]
        power = round(float(np.nanmedian((scaled * self.model_["scale"])[amplitudes])))
        if abs(power) > 1:
            unit = "microvolts" if power > 0 else "another unit"
            return f"amplitudes about {10.0**power:g} times the usual: {unit} read as millivolts?"
        limit = np.quantile(self.scores_, 1 - self.false_alarm_rate)
        reasons: list[str] = []
        for component in np.argsort(-surprise):
            if reasons and surprise[component] < limit:
                break
            if component == 0:
                far = np.argsort(-np.abs(np.nan_to_num(scaled)))[:3]
                striking = [i for i in far if abs(scaled[i]) > 0.7 * abs(scaled[far[0]])]
                reasons += [self._name_deviation(names[i], scaled[i] * self.model_["scale"][i]) for i in striking]
            elif component == 1:
                most = np.argsort(-found["pulls"][at])[:2]
                reasons.append(f"an unusual combination, of {' and '.join(_spell(names[i]) for i in most)} above all")
            elif component == 2:
                leads = found["beat_pulls"][at].reshape(-1, len(_TIMES)).sum(axis=1)
                lead = _lead_names(self._n_leads)[_beat_leads(self._n_leads)[int(np.argmax(leads))]]
                reasons.append(f"a beat of unusual shape, in {lead} above all")
            elif component == 3:
                reasons.append(f"{list(_mistakes(self._n_leads))[int(np.argmax(found['gains'][at]))]}?")
            else:
                reasons.append(self._explain_rate(found["tempo"][at]))
        return "; ".join(reasons[:_MOST_REASONS])

    def _explain_rate(self, tempo: float) -> str:
        words = "short" if tempo > 0 else "long"
        rate = self.sampling_rate * np.exp(-tempo)
        return f"all intervals {words}: recorded at about {rate:.0f} Hz rather than {self.sampling_rate:g}?"

    def _name_deviation(self, name: str, by: float) -> str:
        """Return in words that a measure lies so far above its median, and what it may mean."""
        kind, _, rest = name.partition("_")
        more = by > 0
        if kind in ("amplitude", "noise", "wander"):
            what = {"amplitude": "amplitude of", "noise": "noise above 25 Hz in", "wander": "wander of the baseline in"}
            return f"{what[kind]} {rest} {10**by:.2g} times the usual"
        if kind == "polarity":
            return f"QRS of {rest} more {'positive' if more else 'negative'} than usual: exchanged or inverted?"
        if kind == "power":
            low, high = re.findall(r"\d+", rest)
            if more:
                return f"{10 ** (by / 2):.2g} times the usual between {low} and {high} Hz: noise, or another filter?"
            return f"little above {low} Hz: a low-pass of the device, or recorded at fewer samples per second?"
        if kind == "hum":
            return f"{'much' if more else 'less'} hum at {rest.replace('Hz', ' Hz')}" + ("" if more else " than usual")
        if kind == "einthoven":
            if more:
                return "limb leads contradict Einthoven's law: one inverted, exchanged or from elsewhere?"
            return "limb leads follow Einthoven's law more exactly than usual"
        if kind == "missing":
            return "more samples are missing than usual" if more else "fewer samples are missing than usual"
        return f"{_spell(name)} {np.exp(by):.2g} times the usual"

    def find_drift(
        self,
        X: ArrayLike | Measured,
        *,
        groups: ArrayLike | None = None,
        age: ArrayLike | None = None,
        sex: ArrayLike | None = None,
        device: ArrayLike | None = None,
    ) -> pd.DataFrame:
        """Say in what a batch of records differs from those in training.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples), or Measured
            Raw ECGs in millivolts, or what `measure` made of them.
        groups : array-like of shape (n_records,), optional
            Patient of each record; a patient weighs one. Without it each record counts as a patient of its own.
        age, sex, device : array-like of shape (n_records,), optional
            As in `fit`. What was not given there is not compared.

        Returns
        -------
        DataFrame
            One row for each measure, "typicality", and "age", "sex" and "device" as far as given, indexed by name:
            `training` and `here`, the median, or the share of the category that changed most; `statistic`, of
            Kolmogorov and Smirnov, or chi-squared; `p_value`, adjusted for all rows; `drifted`, whether it is below
            `false_alarm_rate`; and `meaning`, in words, where it is.

        Raises
        ------
        ValueError
            If `groups`, `age`, `sex` or `device` do not fit the records.
        """
        measured, *_, typicality = self._judge(X)
        columns = _check_columns(len(measured.values), age, sex, device)
        patients = _check_patients(len(measured.values), groups)
        kept = measured.usable.mask
        numbers = dict(zip(self._names(), measured.values[kept].T, strict=False))
        if "age" in columns:
            # The age of a patient is known, whether the record can be judged or not.
            numbers["age"] = columns.pop("age")
        rows = {}
        for name, column in numbers.items():
            if name in self.quantiles_:
                who = patients if name == "age" else patients[kept]
                rows[name] = self._compare_numbers(name, column, who)
        rows["typicality"] = self._compare_typicality(typicality, patients[kept])
        for name, column in columns.items():
            if name in self.shares_:
                rows[name] = self._compare_categories(name, column, patients)
        table = pd.DataFrame.from_dict(
            rows, orient="index", columns=["training", "here", "statistic", "p_value", "meaning"]
        ).rename_axis("feature")
        table["p_value"] = _holm(table["p_value"].to_numpy(dtype=np.float64))
        table.insert(4, "drifted", table["p_value"] < self.false_alarm_rate)
        table.loc[~table["drifted"], "meaning"] = ""
        return table

    def _compare_numbers(self, name: str, column: Floats, patients: NDArray[np.intp]) -> tuple[Any, ...]:
        known = np.isfinite(column)
        column, weights = column[known], _weigh(patients[known])
        usual, n_before, n_here = self.quantiles_[name], self.n_known_[name], float(weights.sum())
        if not (len(usual) and len(column)):
            return np.nan, np.nan, np.nan, np.nan, ""
        order = np.argsort(column, kind="stable")
        places = np.unique(np.concatenate([usual, column]))
        before = np.searchsorted(usual, places, side="right") / len(usual)
        shares = np.concatenate([[0], np.cumsum(weights[order])]) / n_here
        here = shares[np.searchsorted(column[order], places, side="right")]
        # Where quantiles stand for more patients, they are right to half of their step.
        blur = 0.5 / len(usual) if n_before > len(usual) else 0.0
        statistic = max(0.0, float(np.abs(before - here).max()) - blur)
        p_value = float(kstwo.sf(statistic, max(1, round(n_before * n_here / (n_before + n_here)))))
        medians = float(np.median(usual)), float(_quantiles(column, weights)[(min(_N_QUANTILES, len(column)) - 1) // 2])
        if name == "age":
            words = "older" if medians[1] > medians[0] else "younger"
            meaning = f"patients {words}: {medians[1]:.0f} years in the median, {medians[0]:.0f} at training"
        else:
            meaning = self._name_deviation(name, medians[1] - medians[0])
        return *medians, statistic, p_value, meaning

    def _compare_typicality(self, typicality: Floats, patients: NDArray[np.intp]) -> tuple[Any, ...]:
        """Compare with the uniform distribution, on the one side where records are less typical than they should be."""
        if not len(typicality):
            return 0.5, np.nan, np.nan, np.nan, ""
        weights = _weigh(patients)
        order = np.argsort(typicality, kind="stable")
        shares = np.cumsum(weights[order]) / weights.sum()
        statistic = max(0.0, float(np.max(shares - typicality[order])))
        n_before, n_here = self.n_patients_, weights.sum()
        # Smirnov's bound.
        p_value = float(np.exp(-2 * statistic**2 * n_before * n_here / (n_before + n_here)))
        atypical = float(weights[typicality < self.false_alarm_rate].sum() / weights.sum())
        meaning = f"{atypical:.0%} of records are atypical, {self.false_alarm_rate:.0%} are expected: see `describe`"
        return 0.5, float(np.median(typicality)), statistic, p_value, meaning

    def _compare_categories(self, name: str, column: NDArray, patients: NDArray[np.intp]) -> tuple[Any, ...]:
        shares, n_here = _count(column, patients)
        if not (shares and self.shares_[name]):
            return np.nan, np.nan, np.nan, np.nan, ""
        n_before = self.n_known_[name]
        found = sorted({*shares, *self.shares_[name]})
        table = np.array([[before.get(key, 0.0) for key in found] for before in (self.shares_[name], shares)])
        counts = table * [[n_before], [n_here]]
        rare = counts.sum(axis=0) * min(n_before, n_here) / (n_before + n_here) < _LEAST_EXPECTED
        pooled = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
        pooled = pooled[:, pooled.sum(axis=0) > 0]
        statistic, p_value = (0.0, 1.0) if pooled.shape[1] < 2 else chi2_contingency(pooled, correction=False)[:2]
        most = int(np.argmax(np.abs(table[0] - table[1])))
        before, here = map(float, table[:, most])
        meaning = f"{name} {found[most]}: {here:.0%} of patients, {before:.0%} at training"
        return before, here, float(statistic), float(p_value), meaning


def check_profile(profile: Any) -> None:
    """Raise an error for what is no profile, or one whose parts do not fit each other.

    Parameters
    ----------
    profile : object
        An `ECGProfile`, fitted or not, perhaps from a file.

    Raises
    ------
    TypeError
        If it is none.
    ValueError
        If it is fitted, but its arrays have other shapes than `ECGProfile.fit` gives them, or are not finite.

    Examples
    --------
    >>> from omi_estimators.typicality import ECGProfile, check_profile
    >>> check_profile(ECGProfile(500))
    """
    if not isinstance(profile, ECGProfile):
        raise TypeError(f"an ECGProfile was expected; got a {type(profile).__name__}.")
    profile._validate_params()
    if not hasattr(profile, "scores_"):
        return
    names = _scalar_names(profile._n_leads, profile.sampling_rate)
    n_beat = len(_beat_leads(profile._n_leads)) * len(_TIMES)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("center", "scale", "mean", "tempo"), (len(names),))
    shapes |= {"covariance": (len(names),) * 2, "beat_mean": (n_beat,), "beat_covariance": (n_beat,) * 2}
    found = {name: np.shape(array) for name, array in profile.model_.items()}
    if found != shapes or profile.tails_.shape != (len(_SHARES), _N_QUANTILES + 1) or profile.scores_.ndim != 1:
        raise ValueError("the parts of the profile do not fit each other.")
    arrays = [*profile.model_.values(), profile.tails_, profile.scores_, *profile.quantiles_.values()]
    if not all(array.dtype.kind == "f" and np.isfinite(array).all() for array in arrays):
        raise ValueError("the profile has values that are not finite numbers.")


def _spell(name: str) -> str:
    """Return what a measure is called in sentences."""
    words = {"rr": "the time between beats", "qrs": "the width of QRS", "t": "the time until T is over"}
    return words.get(name, name.replace("_", " "))


def _check_patients(n_records: int, groups: ArrayLike | None) -> NDArray[np.intp]:
    """Return patients as codes."""
    array = np.arange(n_records) if groups is None else check_groups(groups, n_records)
    return np.unique(array, return_inverse=True)[1].astype(np.intp)


def _check_columns(
    n_records: int, age: ArrayLike | None, sex: ArrayLike | None, device: ArrayLike | None
) -> dict[str, NDArray[Any]]:
    """Return those that were given: age as numbers, the others as text, None where unknown."""
    found: dict[str, NDArray[Any]] = {}
    for name, values in {"age": age, "sex": sex, "device": device}.items():
        if values is None:
            continue
        array = np.array(values, dtype=object)
        if array.shape != (n_records,):
            raise ValueError(
                f"{name} must hold one value for each of the {n_records} records; got shape {array.shape}."
            )
        array[find_missing(array)] = None
        if name == "age":
            try:
                array = array.astype(np.float64)
            except (TypeError, ValueError) as error:
                raise ValueError(f"age must hold numbers of years, NaN where unknown; got {values!r}.") from error
            if np.isinf(array).any() or (array < 0).any():
                raise ValueError("age must hold years of at least 0, NaN where unknown; got negative or infinite ones.")
        else:
            array = np.array([None if value is None else str(value) for value in array], dtype=object)
        found[name] = array
    return found


def _weigh(patients: NDArray[np.intp]) -> Floats:
    """Return the weight of each record, so that each patient weighs one."""
    codes, counts = np.unique(patients, return_inverse=True, return_counts=True)[1:]
    return 1.0 / counts[codes]


def _count(column: NDArray[Any], patients: NDArray[np.intp]) -> tuple[dict[str, float], int]:
    """Return the share of patients in each category, and of how many it is known."""
    known = np.array([value is not None for value in column], dtype=bool)
    weights = _weigh(patients[known])
    counts = pd.Series(weights, dtype=np.float64).groupby(column[known].astype(str)).sum()
    total = float(weights.sum())
    return {str(name): float(count) / total for name, count in counts.items()}, round(total)
