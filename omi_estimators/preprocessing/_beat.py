"""The median beat of a record."""

from __future__ import annotations

import os
from fractions import Fraction
from numbers import Integral, Real
from typing import Any

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import resample_poly

from omi_estimators._compat import Interval
from omi_estimators.leads import LEADS
from omi_estimators.preprocessing._average import AverageBeat, NoBeatError, average_beats, warn_of_shapes
from omi_estimators.preprocessing._rate import rate_evidence, warn_of_rate
from omi_estimators.preprocessing._records import (
    Measured,
    Usable,
    WaveformTransformer,
    as_3d,
    float_type,
    report_unusable,
)

_AVR = LEADS.index("aVR")


def median_beat(
    record: ArrayLike,
    sampling_rate: float,
    *,
    before: float = 0.3,
    after: float = 0.5,
    n_samples: int = 200,
    invert_avr: bool = False,
) -> NDArray[np.float64]:
    """Return one heartbeat that stands for a record.

    What filters left of pacing spikes is taken out (`remove_pacing_spikes`; best done before any filter). The R peaks
    are found on all leads together (`find_r_peaks`). Beats are moved by up to 50 ms to match a template in the 8-40 Hz
    band; ectopic and noisy beats are dropped, in bigeminy too; what is left is averaged by a median in each lead
    (`average_beats`). Zero is the level of the PQ segment. The R peak, where the root mean
    square over leads is largest, lies at ``before / (before + after)`` of the samples.

    Parameters
    ----------
    record : array-like of shape (n_leads, n_samples) or (n_samples,)
        One record, filtered, in millivolts. Of more than ten minutes, each five are averaged by themselves, and the
        beat is the median of these averages, without those of another shape.
    sampling_rate : float
        Samples per second, in Hz.
    before, after : float, default=0.3 and 0.5
        Length of the beat before and after the R peak, in seconds.
    n_samples : int, default=200
        Number of samples of the beat; 200 over 0.8 s are 250 Hz.
    invert_avr : bool, default=False
        Whether to turn aVR into -aVR, which joins it to the other limb leads: it looks from between I and
        II. Needs 12 leads.

    Returns
    -------
    ndarray of shape (n_leads, n_samples)
        The beat in millivolts, always finite. A flat lead, or one of which more than half is missing
        (NaN), is zero; shorter gaps are bridged.

    Raises
    ------
    NoBeatError
        If no beat can be found: all leads flat or missing, noise, ventricular fibrillation, too short.
    ValueError
        If a parameter is out of range, or `record` has another shape.

    References
    ----------
    .. [1] N. T. Riek et al., "ECG-SMART-NET: A Deep Learning Architecture for Precise ECG Diagnosis of
       Occlusion Myocardial Infarction", arXiv:2405.09567 (2025).

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import median_beat
    >>> t = np.arange(5000) / 500
    >>> qrs = np.exp(-(((t % 1 - 0.5) / 0.02) ** 2))
    >>> beat = median_beat(np.stack([qrs, -2 * qrs]), 500)
    >>> beat.shape, beat[:, 75].round(1).tolist()
    ((2, 200), [1.0, -2.0])
    """
    leads = np.atleast_2d(np.asarray(record))
    if leads.ndim != 2 or leads.shape[1] == 0:
        raise ValueError(
            f"record must have shape (n_leads, n_samples) or (n_samples,); got {leads.shape}. "
            "Give one record at a time."
        )
    _check_window(sampling_rate, before, after, n_samples)
    _check_avr(invert_avr, len(leads))
    average = average_beats(leads, sampling_rate, before, after)
    return _finish(average, n_samples, invert_avr)


def _check_window(sampling_rate: float, before: float, after: float, n_samples: int) -> None:
    """Raise a ValueError for a beat that cannot be cut."""
    for name, value in {"before": before, "after": after, "n_samples": n_samples}.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive; got {value!r}.")
    if round(before * sampling_rate) < 1 or round(after * sampling_rate) < 1:
        raise ValueError(
            f"before={before:g} s and after={after:g} s must each hold at least one sample at "
            f"sampling_rate={sampling_rate:g} Hz."
        )


def _check_avr(invert_avr: bool, n_leads: int) -> None:
    """Raise a ValueError if aVR is to be inverted but cannot be told from the other leads."""
    if invert_avr and n_leads != len(LEADS):
        raise ValueError(
            f"invert_avr=True needs the 12 leads {', '.join(LEADS)}; got {n_leads} lead(s). Set invert_avr=False."
        )


def _finish(average: AverageBeat, n_samples: int, invert_avr: bool) -> NDArray[np.float64]:
    """Return the waveform of an average beat with `n_samples` samples."""
    waveform = average.waveform
    ratio = Fraction(n_samples, waveform.shape[1])
    if ratio != 1:
        # Straight lines beyond both ends: a beat that does not return to its start must not ring there.
        waveform = resample_poly(waveform, ratio.numerator, ratio.denominator, axis=1, padtype="line")
    if invert_avr:
        waveform[_AVR] *= -1
    return waveform


def _measure_beat(
    record: NDArray[np.floating[Any]],
    *,
    sampling_rate: float,
    before: float,
    after: float,
    n_samples: int,
    invert_avr: bool,
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64], str, str]:
    """Return beat, evidence of the rate, why there is no beat, and a note on it. At module level, to be cached."""
    try:
        average = average_beats(record, sampling_rate, before, after)
    except NoBeatError as error:
        return None, rate_evidence(record, sampling_rate), str(error), ""
    return _finish(average, n_samples, invert_avr), rate_evidence(record, sampling_rate, average), "", average.note


class MedianBeat(WaveformTransformer):
    """Reduce every record to one heartbeat: the median of its aligned beats.

    Every record gets a beat. One in which none can be found (all leads flat or missing, noise, ventricular
    fibrillation, too short) gets a beat of zeros, and one warning per call names these records. A `BeatShapeWarning`
    names those whose beat stands for some of their beats only, as in bigeminy.

    Parameters
    ----------
    sampling_rate : float, default=500
        Samples per second of the records, in Hz. A wrong value makes a `SamplingRateWarning` where no hearts have
        the intervals that follow from it.
    before, after : float, default=0.3 and 0.5
        Length of the beat before and after the R peak, in seconds.
    n_samples : int, default=200
        Number of samples of the beat.
    invert_avr : bool, default=False
        Whether to turn aVR into -aVR. Networks trained on the beats of the ECG-SMART-NET authors
        expect True. Needs 12 leads.
    n_jobs : int or None, default=None
        Number of records computed in parallel, as in joblib. It never changes the result.
    memory : str, path, joblib.Memory or None, default=None
        Where to cache beats, one per record, so that cross-validation computes none twice.
    on_error : {"warn", "raise"}, default="warn"
        What to do about records without a beat: zeros and one warning, or a ValueError that names the
        first one.
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
    median_beat : The same for one record, as a function, with all details.

    Notes
    -----
    Give it filtered records (`ECGFilter`, which takes out pacing spikes; what other filters leave of them is taken out
    here). A record of more than ten minutes is measured five minutes at a time, in memory that does not grow with it.
    A lead that is flat or mostly missing gives a zero lead, since
    networks need finite input.

    References
    ----------
    .. [1] N. T. Riek et al., "ECG-SMART-NET: A Deep Learning Architecture for Precise ECG Diagnosis of
       Occlusion Myocardial Infarction", arXiv:2405.09567 (2025).

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import MedianBeat
    >>> t = np.arange(5000) / 500
    >>> qrs = np.exp(-(((t % 1 - 0.5) / 0.02) ** 2))
    >>> X = np.stack([[qrs, -qrs], [2 * qrs, 0 * qrs]])
    >>> MedianBeat(sampling_rate=500).fit_transform(X).shape
    (2, 2, 200)
    """

    _parameter_constraints = WaveformTransformer._parameter_constraints | {
        "before": [Interval(Real, 0, None, closed="neither")],
        "after": [Interval(Real, 0, None, closed="neither")],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "invert_avr": ["boolean"],
    }

    def __init__(
        self,
        *,
        sampling_rate: float = 500,
        before: float = 0.3,
        after: float = 0.5,
        n_samples: int = 200,
        invert_avr: bool = False,
        n_jobs: int | None = None,
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
        on_error: str = "warn",
        verbose: int = 0,
    ):
        self.sampling_rate = sampling_rate
        self.before = before
        self.after = after
        self.n_samples = n_samples
        self.invert_avr = invert_avr
        self.n_jobs = n_jobs
        self.memory = memory
        self.on_error = on_error
        self.verbose = verbose

    def _check_params(self) -> None:
        _check_window(self.sampling_rate, self.before, self.after, self.n_samples)

    def transform(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Return the median beats of the records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples_in) or (n_records, n_samples_in)
            Filtered ECGs in millivolts.

        Returns
        -------
        ndarray of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Median beats in millivolts, always finite.

        Raises
        ------
        ValueError
            If ``on_error="raise"`` and a record has no beat.
        """
        beats, usable = self.measure(X)
        report_unusable(usable, on_error=self.on_error, consequence="given a beat of zeros")
        return beats

    def measure(self, X: ArrayLike) -> Measured:
        """Return the median beats, and which records have one.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples_in) or (n_records, n_samples_in)
            Filtered ECGs in millivolts.

        Returns
        -------
        Measured
            Beats as ``transform`` returns them, and which of them are beats.
        """
        X = self._validate(X)
        self._check_params()
        records = as_3d(X)
        _check_avr(self.invert_avr, records.shape[1])
        beats = np.zeros((*records.shape[:2], self.n_samples), dtype=float_type(X))
        evidence, reasons, notes = np.empty((len(records), 3)), [""] * len(records), [""] * len(records)
        measured = self._map(
            _measure_beat,
            X,
            before=float(self.before),
            after=float(self.after),
            n_samples=int(self.n_samples),
            invert_avr=bool(self.invert_avr),
        )
        for index, (beat, of_rate, reason, note) in enumerate(measured):
            evidence[index], reasons[index], notes[index] = of_rate, reason, note
            if beat is not None:
                beats[index] = beat
        warn_of_rate(evidence, self.sampling_rate)
        warn_of_shapes(notes)
        return Measured(beats if X.ndim == 3 else beats[:, 0], Usable.from_reasons(reasons))
