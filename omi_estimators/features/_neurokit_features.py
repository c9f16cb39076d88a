"""From records to the table of features: one record as a function, many as a scikit-learn transformer."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any, NamedTuple, Self

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from omi_estimators._compat import Interval, StrOptions, num_samples
from omi_estimators.features._atrial import LEAST_CONSISTENCY, atrial_evidence, fibrillation_probability
from omi_estimators.features._catalogue import CATALOGUE_VERSION, GROUPS, NEUROKIT_GROUPS, catalogue, feature_names
from omi_estimators.features._delineate import DelineatedBeat, delineate
from omi_estimators.features._measures import (
    measure_components,
    measure_intervals,
    measure_p,
    measure_qrs,
    measure_rhythm,
    measure_spectrum,
    measure_st,
    measure_t,
    measure_variability,
)
from omi_estimators.features._neurokit import (
    DELINEATORS,
    PEAK_DETECTORS,
    choose_signal,
    find_peaks,
    find_points,
    measure_hrv,
    measure_rate_and_quality,
)
from omi_estimators.features._scores import measure_scores
from omi_estimators.features._vectors import measure_axes, measure_vectorcardiogram
from omi_estimators.leads import LEADS
from omi_estimators.preprocessing import (
    LEAST_PACING_RATE,
    LEAST_QUALITY_RATE,
    AverageBeat,
    Measured,
    NoBeatError,
    RecordTransformer,
    Usable,
    average_beats,
    cut_windows,
    fill_gaps,
    filter_ecg,
    find_fault,
    quality_features,
    rate_evidence,
    recorded_span,
    remove_pacing_spikes,
    report_unusable,
    signal_quality,
    warn_of_rate,
    warn_of_shapes,
)

# The columns of an array without names.
AGE_AND_SEX = ("age", "sex")


def read_covariates(covariates: ArrayLike | Any, n_records: int) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return names and values of covariates.

    Parameters
    ----------
    covariates : DataFrame or array-like of shape (n_records, n_covariates)
        A table with named columns, or an array of two columns: age in years and sex as a number. NaN where
        missing.
    n_records : int
        How many rows it must have.

    Returns
    -------
    names : tuple of str
        Of the columns.
    values : ndarray of shape (n_records, n_covariates)
        As they came; nothing is filled in.

    Raises
    ------
    ValueError
        If there is another number of rows, a column that is not numeric or holds infinite values, or an array
        without names that has not two columns.
    """
    columns = getattr(covariates, "columns", None)
    try:
        values = np.asarray(covariates, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"covariates must be numbers, NaN where missing: {error}. Give a category such as sex as 0 and 1."
        ) from error
    if columns is None and (values.ndim != 2 or values.shape[1] != len(AGE_AND_SEX)):
        raise ValueError(
            f"covariates without column names must have shape (n_records, 2), age and sex; got {values.shape}. "
            "Give a DataFrame to name others."
        )
    names = AGE_AND_SEX if columns is None else tuple(str(column) for column in columns)
    if len(values) != n_records:
        raise ValueError(f"covariates has {len(values)} rows, but X has {n_records} records; give one row for each.")
    if np.isinf(values).any():
        raise ValueError(f"covariates has infinite values in row {int(np.argwhere(np.isinf(values))[0, 0])}.")
    return names, values


def match_covariates(covariates: ArrayLike | Any, names: tuple[str, ...], n_records: int) -> NDArray[np.float64]:
    """Return the covariates that were fitted, in their order.

    Parameters
    ----------
    covariates : DataFrame or array-like
        As `read_covariates` takes it.
    names : tuple of str
        Of the columns in ``fit``.
    n_records : int
        How many rows it must have.

    Returns
    -------
    ndarray of shape (n_records, n_names)
        Values, NaN where missing.

    Raises
    ------
    ValueError
        If one of them is not there, or as `read_covariates`.
    """
    found, values = read_covariates(covariates, n_records)
    absent = [name for name in names if name not in found]
    if absent:
        raise ValueError(
            f"covariates has {', '.join(found)}, but {absent[0]!r} was fitted too; give the same columns, NaN where "
            "one is not known."
        )
    return values[:, [found.index(name) for name in names]]


BEFORE_R = 0.55
"""Seconds before R at which the average beat begins that is delineated, before the P wave."""
AFTER_R = 0.7
"""Seconds after R at which it ends, after the T wave."""


def measure_record(
    record: ArrayLike,
    sampling_rate: float,
    *,
    delineator: str = "median",
    peak_detector: str = "energy",
    lead: str | int = "II",
    include: tuple[str, ...] | None = None,
) -> NDArray[np.float64]:
    """Measure one record.

    Spikes of a pacemaker are taken out, the record is filtered (`filter_ecg`), its beats are found and averaged
    (`median_beat`), the average is delineated once for all leads (`delineate`), and every lead is measured from the
    common J point.
    Heart-rate variability is NeuroKit2's.

    Parameters
    ----------
    record : array-like of shape (n_leads, n_samples) or (n_samples,)
        One raw record in millivolts. One of more than ten minutes is measured five minutes at a time, and each feature
        is the median of those of the windows that have beats.
    sampling_rate : float
        In Hz.
    delineator, peak_detector, lead : str
        As in `NeuroKitFeatures`.
    include : tuple of str, optional
        Groups, of `GROUPS` and `NEUROKIT_GROUPS`; by default the former.

    Returns
    -------
    ndarray of shape (n_features,)
        In the order of `feature_names`, of the groups to include; NaN where something cannot be measured, never
        infinite. Flat or missing leads are NaN in their own features and left out of the common ones.

    Raises
    ------
    NoBeatError
        If no beat can be found; it is a ValueError.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.features import feature_names, measure_record
    >>> t = np.arange(5000) / 500
    >>> beat = np.exp(-(((t % 1 - 0.5) / 0.02) ** 2)) - 0.2 * np.exp(-(((t % 1 - 0.8) / 0.05) ** 2))
    >>> row = dict(zip(feature_names(1), measure_record(beat, 500)))
    >>> round(row["heart_rate"]), round(float(row["t_amplitude_lead0"]), 1)
    (60, -0.2)
    """
    leads = np.atleast_2d(np.asarray(record))
    ways = Ways(delineator, peak_detector, lead, include)
    row, _, reason, _ = measure_or_reason(leads, sampling_rate=sampling_rate, ways=ways)
    if reason:
        raise NoBeatError(reason)
    return row


class Ways(NamedTuple):
    """How a record is to be measured: the parameters of `NeuroKitFeatures` that say so."""

    delineator: str
    peak_detector: str
    lead: str | int
    include: tuple[str, ...] | None

    @property
    def looks_at_a_lead(self) -> bool:
        """Whether NeuroKit2 is to look at the signal that `lead` names."""
        return self.delineator != "median" or self.peak_detector != "energy" or "neurokit" in (self.include or ())


def _measure_window(
    record: NDArray[np.float64], sampling_rate: float, ways: Ways
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Return features, evidence of the rate and a note on the beats of a record, or raise NoBeatError."""
    raw = record[:, recorded_span(record)]
    fault = find_fault(raw, sampling_rate)
    if fault:
        raise NoBeatError(fault)
    # Before everything else: a filter would make a wave of a spike.
    raw, spikes = remove_pacing_spikes(raw, sampling_rate)
    filtered = filter_ecg(raw, sampling_rate)
    signal = choose_signal(fill_gaps(raw)[0], ways.lead) if ways.looks_at_a_lead else np.empty(0)
    peaks = None if ways.peak_detector == "energy" else find_peaks(signal, sampling_rate, ways.peak_detector)
    average = average_beats(filtered, sampling_rate, BEFORE_R, AFTER_R, peaks=peaks)
    row = _measure_beats(raw, filtered, signal, average, sampling_rate, spikes, ways)
    return row, rate_evidence(filtered, sampling_rate, average), average.note


def _measure_beats(
    raw: NDArray[np.floating[Any]],
    filtered: NDArray[np.floating[Any]],
    signal: NDArray[np.float64],
    average: AverageBeat,
    sampling_rate: float,
    spikes: NDArray[np.intp],
    ways: Ways,
) -> NDArray[np.float64]:
    """Return the row of features of a record whose beats have been found."""
    filled = fill_gaps(filtered)[0]
    beat = delineate_average(average, sampling_rate, filled, spikes)
    if ways.delineator != "median":
        beat = replace(beat, points=find_points(signal, average, sampling_rate, ways.delineator))
    measured: dict[str, Any] = measure_rhythm(average, sampling_rate)
    measured["atrial_fibrillation"] = beat.atrial_fibrillation
    measured["paced"] = float(len(spikes) > 0) if sampling_rate >= LEAST_PACING_RATE else np.nan
    measured |= {"n_morphologies": average.n_shapes, "dominant_fraction": average.used.mean()}
    if np.isfinite(beat.points.qrs_onset):
        measured |= measure_variability(filled, average, beat)
        measured |= measure_intervals(beat) | measure_p(beat) | measure_qrs(beat) | measure_st(beat)
        measured |= measure_t(beat, measured["qrs_amplitude"])
        measured |= measure_components(beat)
        if beat.is_standard:
            measured |= measure_axes(beat) | measure_vectorcardiogram(beat) | measure_scores(measured, beat)
    measured |= measure_spectrum(filled, sampling_rate)
    measured |= _measure_by_neurokit(signal, average, sampling_rate, ways)
    return _to_row(measured | _measure_quality(raw, sampling_rate, ways.include), beat.present, ways.include)


def _measure_by_neurokit(
    signal: NDArray[np.float64], average: AverageBeat, sampling_rate: float, ways: Ways
) -> dict[str, float]:
    """Return NeuroKit2's own indices, where they are asked for."""
    asked = tuple(group for group in ways.include or () if group in NEUROKIT_GROUPS)
    if not asked:
        return {}
    wanted = feature_names(include=asked)
    measured = measure_hrv(average.peaks, sampling_rate, [name for name in wanted if name.startswith("HRV_")])
    if "neurokit" in asked:
        measured |= measure_rate_and_quality(signal, average.peaks, sampling_rate)
    return measured


def _measure_quality(
    raw: NDArray[np.floating[Any]], sampling_rate: float, include: tuple[str, ...] | None
) -> dict[str, Any]:
    """Return the signal quality of a raw record; nothing where nobody asks, or the rate is too low to tell noise."""
    if sampling_rate <= LEAST_QUALITY_RATE or "quality" not in (include or GROUPS):
        return {}
    quality = signal_quality(raw, sampling_rate)
    return {name: value for name, value in quality_features(quality).items() if not name.startswith("noise_level")} | {
        "noise_level": quality.noise_level
    }


# An interval shorter than this part of the usual one is no cycle of the heart.
_LEAST_OF_USUAL_RR = 0.5
# A spike that stimulates the ventricles stands at most this long (s) before R.
_LONGEST_DELAY = 0.15


def delineate_average(
    average: AverageBeat,
    sampling_rate: float,
    record: NDArray[np.floating[Any]],
    spikes: NDArray[np.intp] | None = None,
) -> DelineatedBeat:
    """Return the average beat of a record with its fiducial points, found in the leads that are there.

    Parameters
    ----------
    average : AverageBeat
        From at least 0.45 s before to 0.7 s after R.
    sampling_rate : float
        In Hz.
    record : ndarray of shape (n_leads, n_samples)
        Whose average it is, filtered and without NaN: its beats show whether they have the P wave of their average.
    spikes : ndarray of shape (n_spikes,), optional
        Where spikes of a pacemaker were taken out of it, in samples.

    Returns
    -------
    DelineatedBeat
        What all measurements are made on.

    Examples
    --------
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> from omi_estimators.features import AFTER_R, BEFORE_R, delineate_average
    >>> from omi_estimators.preprocessing import average_beats, filter_ecg
    >>> record = filter_ecg(make_omi_ecgs(n_patients=1, random_state=0).X[0].astype(float), 500)
    >>> beat = delineate_average(average_beats(record, 500, BEFORE_R, AFTER_R), 500, record)
    >>> bool(60 < beat.ms(beat.points.qrs_onset, beat.points.qrs_offset) < 200)
    True
    """
    rr = np.diff(average.peaks) / sampling_rate
    own = rr[average.used[:-1] & average.used[1:]]
    # A short RR bounds the search for P and T safely; an early beat, or what was taken for one, must not.
    likely = rr[rr > _LEAST_OF_USUAL_RR * np.median(own)] if own.size else rr
    typical_rr = float(np.quantile(likely, 0.2)) if likely.size else 0.8
    present = np.ptp(average.waveform, axis=1) > 0
    leads = average.waveform[present]
    spike = -np.inf if spikes is None else average.r_index - _usual_delay(spikes, average, sampling_rate)
    points = delineate(leads, sampling_rate, r_index=average.r_index, rr=typical_rr, spike=spike)
    own_record = np.asarray(record[present], dtype=np.float64)
    evidence = atrial_evidence(own_record, leads, points, average, sampling_rate)
    fibrillation = fibrillation_probability(evidence)
    if np.isfinite(points.p_peak) and (fibrillation > 0.5 or evidence[1] < LEAST_CONSISTENCY):
        points = delineate(leads, sampling_rate, r_index=average.r_index, rr=typical_rr, p_wave=False, spike=spike)
    usual_rr = float(np.median(rr)) if rr.size else np.nan
    return DelineatedBeat(average.waveform, present, points, sampling_rate, usual_rr, fibrillation)


def _usual_delay(spikes: NDArray[np.intp], average: AverageBeat, sampling_rate: float) -> float:
    """Return how many samples before R a ventricular spike stands in most of the beats; infinite where in few."""
    peaks = average.peaks[average.used]
    delays = (peaks - spikes[:, np.newaxis]).astype(np.float64)
    delays[(delays < 0) | (delays > _LONGEST_DELAY * sampling_rate)] = np.inf
    # Infinite where half of the beats, or more, have none.
    return float(np.median(delays.min(axis=0, initial=np.inf)))


def _to_row(
    measured: Mapping[str, Any], present: NDArray[np.bool_], include: tuple[str, ...] | None
) -> NDArray[np.float64]:
    """Return measurements as one row in the order of the catalogue, NaN for what there is not."""
    n_leads = len(present)
    columns = []
    for measure in catalogue(n_leads, include):
        value = measured.get(measure.name, np.nan)
        columns.append(np.where(present, value, np.nan) if measure.scope == "lead" else [value])
    row = np.concatenate(columns).astype(np.float64)
    row[~np.isfinite(row)] = np.nan
    return row


def measure_or_reason(
    record: NDArray[np.floating[Any]], *, sampling_rate: float, ways: Ways
) -> tuple[NDArray[np.float64], NDArray[np.float64], str, str]:
    """Return features, evidence of the rate, why there are no features, if so, and a note on the beats.

    Of a long record both are medians over its windows. At module level, to be cached.
    """
    windows = [core for _, core in cut_windows(record.shape[1], sampling_rate)]
    rows, evidence, notes, reason = [], [], [], ""
    for window in windows:
        try:
            row, of_rate, note = _measure_window(np.asarray(record[:, window], dtype=np.float64), sampling_rate, ways)
        except NoBeatError as error:
            reason = reason or str(error)
        else:
            rows.append(row)
            evidence.append(of_rate)
            notes.append(note)
    if not rows:
        return (
            np.full(len(feature_names(len(record), ways.include)), np.nan),
            rate_evidence(record, sampling_rate),
            reason,
            "",
        )
    if len(windows) == 1:
        return rows[0], evidence[0], "", notes[0]
    told = sum(map(bool, notes))
    note = f"{told} of {len(rows)} windows have beats of several shapes" if 2 * told > len(rows) else ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a column that is NaN in all windows
        return np.nanmedian(rows, axis=0), np.nanmedian(evidence, axis=0), "", note


class NeuroKitFeatures(RecordTransformer):
    """Measure ECGs: beats and waves by this package or by NeuroKit2, heart-rate variability by NeuroKit2.

    By default R peaks, the median beat, and the ends of its waves, found once for all leads together, are by functions
    of this package; three columns of heart-rate variability are NeuroKit2's [1]_. With another `delineator` or
    `peak_detector` these are NeuroKit2's; and so are the indices of the groups "hrv_time", "hrv_other" and "neurokit".
    Every lead is measured from the one J point, with its sign: an inverted or hyperacute T wave, a depressed or raised
    ST are what the forest is to see, and delineation lead by lead misreads them. Which delineator comes closer to
    cardiologists' marks is measured by ``python -m benchmarks delineation``, what forests make of each by
    ``python -m benchmarks features``.

    Parameters
    ----------
    sampling_rate : float, default=500
        Of the records, in Hz. A wrong value makes a `SamplingRateWarning` where no hearts have the intervals that
        follow from it.
    include : str, sequence of str or None, default=None
        Group or groups of features, of those below; if None, all but the last three.
    delineator : {"median", "dwt", "cwt", "prominence", "peak"}, default="median"
        What finds the waves: "median" is `delineate` on the median beat of all leads; the others are methods of
        ``neurokit2.ecg_delineate`` on the signal that `lead` names, of which the median over the beats is taken, and
        from which the same table is measured. A point that fewer than half of the beats have is not found; "peak" finds
        no ends of QRS, for which its Q and S peaks stand.
    peak_detector : str, default="energy"
        What finds the R peaks: "energy" is `find_r_peaks`, on all leads; the others are methods of
        ``neurokit2.ecg_peaks``, on the signal that `lead` names, such as "neurokit", "pantompkins1985", "hamilton2002".
    lead : str or int, default="II"
        What NeuroKit2 looks at: a name of `LEADS`, the position of a lead, or "pca" for the first principal component.
    n_jobs : int or None, default=None
        Number of records measured in parallel, as in joblib. It never changes the result.
    memory : str, path, joblib.Memory or None, default=None
        Where to cache features, one row per record, so that cross-validation measures none twice.
    on_error : {"warn", "raise"}, default="warn"
        What to do about records in which no beat is found (flat, noise, ventricular fibrillation, too short):
        a row of NaN and one warning that names them, or a ValueError that names the first.
    verbose : int, default=0
        1 shows a progress bar over the records.

    Attributes
    ----------
    n_features_in_ : int
        Number of leads (of samples, for two-dimensional `X`) seen in ``fit``.
    n_samples_in_ : int
        Number of samples of a record seen in ``fit``.
    groups_ : tuple of str or None
        Groups of features that ``fit`` chose; a later ``set_params(include=...)`` changes them in the next fit only.
    catalogue_version_ : int
        Of the catalogue in ``fit``: a model that was saved before measures were added goes on without them.
    covariate_names_ : tuple of str
        Columns of the covariates seen in ``fit``; empty without any.

    See Also
    --------
    omi_estimators.features.measure_record : The same for one record, as a function.
    make_forest_pipeline : A random forest on these features.

    Notes
    -----
    The spikes of a pacemaker are taken out first (`omi_estimators.preprocessing.remove_pacing_spikes`). A record of
    more than ten minutes is measured five minutes at a time, in memory that does not grow with it; each feature is the
    median of those of the windows that have beats. A `BeatShapeWarning` names records whose measured beat stands for
    some of their beats only, as in bigeminy.

    NaN means "not measurable", never zero; scikit-learn's random forest takes it as it is. `catalogue` lists every
    measure with group, unit and meaning; so does ``docs/features.md``. The groups:

    ========== =====================================================================================
    rhythm     heart rate, its variability, atrial fibrillation, differences from beat to beat
    intervals  P, PR, QRS, QT, JT, T peak to T end; ventricular activation time
    axes       of P, QRS, ST and T in the frontal and horizontal plane, QRS-T angles
    amplitudes P wave and QRS complex in each lead: heights, durations, areas
    q_wave     Q waves in each lead
    st         ST at and after J in each lead, by territory, and over all
    t_wave     T wave in each lead, its shape, its dispersion over leads
    vcg        vectorcardiogram (Kors): QRS and its ends, ST, T, ventricular gradient
    pca        principal components, energy beyond a dipole, root mean square over leads
    spectrum   power in three bands
    scores     Selvester, Aldrich, bundle branch block, STEMI criteria, four-variable formula, voltages
    quality    of the raw signal: noise, bad leads, swapped limb electrodes
    hrv_time   NeuroKit2's indices of heart-rate variability in the time domain
    hrv_other  those of the frequency domain and the nonlinear ones, which ten seconds hardly allow
    neurokit   NeuroKit2's rate and quality
    ========== =====================================================================================

    All groups but the last three are measured, and cached, together; `include` only chooses among them, so that a grid
    search over groups measures no record twice.

    Age and sex, or any other number known of a patient, come by ``covariates=`` in ``fit`` and ``transform``. In a
    pipeline they arrive by metadata routing (``sklearn.set_config(enable_metadata_routing=True)``).

    References
    ----------
    .. [1] D. Makowski et al., "NeuroKit2: A Python toolbox for neurophysiological signal processing", Behavior
       Research Methods 53:1689-1696 (2021). doi:10.3758/s13428-020-01516-y
    .. [2] S. S. Al-Zaiti et al., "Machine learning for ECG diagnosis and risk stratification of occlusion
       myocardial infarction", Nature Medicine 29:1804-1813 (2023). doi:10.1038/s41591-023-02396-3
    .. [3] Z. Bouzid et al., "In Search of an Optimal Subset of ECG Features to Augment the Diagnosis of Acute
       Coronary Syndrome at the Emergency Department", JAHA 10:e017871 (2021). doi:10.1161/JAHA.120.017871

    Examples
    --------
    >>> from omi_estimators import NeuroKitFeatures
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> ecgs = make_omi_ecgs(n_patients=3, random_state=0)
    >>> features = NeuroKitFeatures(sampling_rate=500).set_output(transform="pandas").fit_transform(ecgs.X)
    >>> features.shape[1]
    561
    >>> bool(features["qrs_duration"].between(50, 200).all())
    True
    """

    _parameter_constraints = RecordTransformer._parameter_constraints | {
        "include": [str, "array-like", None],
        "delineator": [StrOptions(set(DELINEATORS))],
        "peak_detector": [StrOptions(set(PEAK_DETECTORS))],
        "lead": [StrOptions({*LEADS, "pca"}), Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        sampling_rate: float = 500,
        include: str | Sequence[str] | None = None,
        delineator: str = "median",
        peak_detector: str = "energy",
        lead: str | int = "II",
        n_jobs: int | None = None,
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
        on_error: str = "warn",
        verbose: int = 0,
    ):
        self.sampling_rate = sampling_rate
        self.include = include
        self.delineator = delineator
        self.peak_detector = peak_detector
        self.lead = lead
        self.n_jobs = n_jobs
        self.memory = memory
        self.on_error = on_error
        self.verbose = verbose

    # With metadata routing on, covariates given to a pipeline arrive here without a request.
    __metadata_request__fit = {"covariates": True}  # noqa: RUF012
    __metadata_request__transform = {"covariates": True}  # noqa: RUF012

    def fit(self, X: ArrayLike, y: Any = None, *, covariates: Any = None) -> Self:
        """Check the parameters and `X`; nothing is learned but the shape of a record and the covariates' names.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Raw ECGs in millivolts; two dimensions mean one lead.
        y : object, optional
            Ignored.
        covariates : DataFrame or array-like of shape (n_records, n_covariates), optional
            Numbers known of each patient, NaN where missing; without column names, age and sex. Their columns
            follow the features.

        Returns
        -------
        object
            The transformer itself.

        Raises
        ------
        ValueError
            If a parameter is out of range, or `X` or `covariates` is not as described.
        """
        feature_names(include=self._groups())
        super().fit(X)
        ways = self._get_ways(self._groups())
        names = LEADS if self._n_leads == len(LEADS) else ()
        # NeuroKit2 has no choice in records of one lead.
        known = (*range(self._n_leads), *names, "pca") if self._n_leads > 1 else (ways.lead,)
        if ways.looks_at_a_lead and ways.lead not in known:
            raise ValueError(
                f"lead={ways.lead!r} is none of the {self._n_leads} leads of X; give a position below that, or 'pca'."
            )
        self.groups_ = self._groups()
        self.catalogue_version_ = CATALOGUE_VERSION
        self.covariate_names_ = () if covariates is None else read_covariates(covariates, num_samples(X))[0]
        return self

    def fit_transform(self, X: ArrayLike, y: Any = None, *, covariates: Any = None) -> NDArray[np.float64]:
        """Fit, and measure the same records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Raw ECGs in millivolts.
        y : object, optional
            Ignored.
        covariates : DataFrame or array-like of shape (n_records, n_covariates), optional
            As in ``fit``.

        Returns
        -------
        ndarray of shape (n_records, n_features)
            As ``transform`` returns it.
        """
        return self.fit(X, y, covariates=covariates).transform(X, covariates=covariates)

    def transform(self, X: ArrayLike, *, covariates: Any = None) -> NDArray[np.float64]:
        """Measure the records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Raw ECGs in millivolts.
        covariates : DataFrame or array-like of shape (n_records, n_covariates), optional
            With the columns seen in ``fit``. Without, these columns are NaN, with a warning.

        Returns
        -------
        ndarray of shape (n_records, n_features)
            Features; NaN where not measurable, never infinite.

        Raises
        ------
        ValueError
            If `X` has another shape, or `covariates` other columns, than in ``fit``, or ``on_error="raise"`` and a
            record has no beat.
        """
        features, usable = self.measure(X, covariates=covariates)
        report_unusable(usable, on_error=self.on_error, consequence="given features that are all NaN")
        return features

    def measure(self, X: ArrayLike, *, covariates: Any = None) -> Measured:
        """Measure the records, and return which of them could be measured.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Raw ECGs in millivolts.
        covariates : DataFrame or array-like of shape (n_records, n_covariates), optional
            As in ``transform``.

        Returns
        -------
        Measured
            Features as ``transform`` returns them, and which rows have any.
        """
        records = self._validate(X)
        beside = self._match_covariates(covariates, len(records))
        ways = self._get_ways(self._fitted_groups())
        names = feature_names(self._n_leads, ways.include)
        features = np.full((len(records), len(names)), np.nan)
        reasons, notes = [""] * len(records), [""] * len(records)
        evidence = np.empty((len(records), 3))
        for index, (row, of_rate, reason, note) in enumerate(self._map(measure_or_reason, records, ways=ways)):
            features[index], evidence[index], reasons[index], notes[index] = row, of_rate, reason, note
        warn_of_rate(evidence, self.sampling_rate)
        warn_of_shapes(notes)
        chosen = set(self._fitted_names())
        values = np.hstack([features[:, [name in chosen for name in names]], beside])
        return Measured(values, Usable.from_reasons(reasons))

    def _get_ways(self, groups: tuple[str, ...] | None) -> Ways:
        """Return how to measure: all usual groups, and those of NeuroKit2's own that are among `groups`.

        Without a cache, which keeps all for whoever asks next, the quality of the signal is measured only where it is
        asked for. A lead at which nobody looks is "II", so that the cache finds what it has. Version 0.1.0 saved
        none of the three.
        """
        usual: tuple[str, ...] = GROUPS
        if self.memory is None and groups is not None and "quality" not in groups:
            usual = tuple(group for group in GROUPS if group != "quality")
        own = tuple(group for group in groups or () if group in NEUROKIT_GROUPS)
        params = {"delineator": "median", "peak_detector": "energy", "lead": "II"} | vars(self)
        ways = Ways(
            params["delineator"],
            params["peak_detector"],
            params["lead"],
            (*usual, *own) if own or usual != GROUPS else None,
        )
        return ways if ways.looks_at_a_lead else ways._replace(lead="II")

    def _fitted_groups(self) -> tuple[str, ...] | None:
        """Return the groups that `fit` saw; of a model that version 0.1.0 saved, those of its parameter."""
        return vars(self).get("groups_", self._groups())

    def _fitted_names(self) -> list[str]:
        """Return the features that `fit` chose, of the catalogue as it was then; version 0.1.0 did not number it."""
        return feature_names(self._n_leads, self._fitted_groups(), vars(self).get("catalogue_version_", 1))

    def _groups(self) -> tuple[str, ...] | None:
        """Return the groups to include as a tuple, None for all."""
        if self.include is None:
            return None
        return (self.include,) if isinstance(self.include, str) else tuple(self.include)

    def _match_covariates(self, covariates: Any, n_records: int) -> NDArray[np.float64]:
        """Return the columns of the covariates, of which there may be none."""
        names = self.covariate_names_
        if covariates is None:
            if names:
                warnings.warn(
                    f"covariates ({', '.join(names)}) were given to fit, but not now; these columns are NaN. In a "
                    "pipeline covariates reach transform by metadata routing only.",
                    UserWarning,
                    stacklevel=3,
                )
            return np.full((n_records, len(names)), np.nan)
        if not names:
            raise ValueError("covariates were not given to fit; fit again with them, or leave them out.")
        return match_covariates(covariates, names, n_records)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the features.

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
        return np.array([*self._fitted_names(), *self.covariate_names_], dtype=object)
