"""Signal quality as a scikit-learn transformer, and as a filter of data sets."""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import Any

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from omi_estimators._compat import HasMethods, Interval
from omi_estimators.leads import check_ecg
from omi_estimators.preprocessing._average import NoBeatError
from omi_estimators.preprocessing._base import RecordTransformer, map_records
from omi_estimators.preprocessing._beat import median_beat
from omi_estimators.preprocessing._filter import filter_ecg
from omi_estimators.preprocessing._quality import signal_quality
from omi_estimators.preprocessing._quality_table import table_names, table_row
from omi_estimators.preprocessing._records import Usable, find_fault


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

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012
        "sampling_rate": [Interval(Real, 50, None, closed="neither")],
        "n_jobs": [Integral, None],
        "memory": [str, os.PathLike, HasMethods(["cache"]), None],
        "verbose": ["verbose"],
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
