"""Signal quality as a scikit-learn transformer, and as a filter of data sets."""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import Any, Self

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from omi_estimators._compat import HasMethods, Interval
from omi_estimators._documentation import DocumentedMixin
from omi_estimators.leads import check_ecg
from omi_estimators.preprocessing._base import as_3d, map_records, validate_ecg
from omi_estimators.preprocessing._quality import signal_quality
from omi_estimators.preprocessing._quality_table import table_names, table_row


def usable_records(
    X: ArrayLike, sampling_rate: float, *, least_quality: float = 0.5, n_jobs: int | None = None
) -> NDArray[np.bool_]:
    """Say which records are good enough to be used.

    Parameters
    ----------
    X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
        Raw ECGs in millivolts.
    sampling_rate : float
        Samples per second, in Hz, above 50.
    least_quality : float, default=0.5
        The least `quality` (`signal_quality`) of a usable record, from 0 to 1.
    n_jobs : int or None, default=None
        Number of records measured in parallel, as in joblib.

    Returns
    -------
    ndarray of bool, shape (n_records,)
        Which records have at least `least_quality`. A record without a beat has a quality of 0. Swapped limb
        electrodes do not lower it.

    Raises
    ------
    ValueError
        If `X` is no array of ECGs, or a parameter is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import usable_records
    >>> t = np.arange(5000) / 500
    >>> qrs = np.exp(-(((t % 1 - 0.5) / 0.02) ** 2))
    >>> X = np.stack([qrs, 0 * qrs])
    >>> X[usable_records(X, 500)].shape
    (1, 5000)
    """
    if not 0 <= least_quality <= 1:
        raise ValueError(f"least_quality must be from 0 to 1; got {least_quality!r}.")
    records = check_ecg(X, allow_nan=True)
    found = map_records(signal_quality, records, n_jobs=n_jobs, sampling_rate=float(sampling_rate))
    return np.array([record.quality >= least_quality for record in found], dtype=bool)


class SignalQuality(DocumentedMixin, TransformerMixin, BaseEstimator):
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

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Check the parameters and `X`; nothing is learned but the shape of a record.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Raw ECGs in millivolts; two dimensions mean one lead.
        y : object, optional
            Ignored.

        Returns
        -------
        object
            The transformer itself.
        """
        self._validate_params()
        self._n_leads = as_3d(validate_ecg(self, X, reset=True)).shape[1]
        return self

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
        check_is_fitted(self)
        self._validate_params()
        X = validate_ecg(self, X, reset=False)
        found = map_records(
            signal_quality,
            X,
            n_jobs=self.n_jobs,
            memory=self.memory,
            progress=type(self).__name__ if self.verbose else "",
            sampling_rate=float(self.sampling_rate),
        )
        return np.array([table_row(record) for record in found])

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

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether ``fit`` has seen the shape of a record."""
        return hasattr(self, "_n_leads")

    def __sklearn_tags__(self) -> Tags:
        """Return the tags of a transformer of two- or three-dimensional arrays with NaN."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags
