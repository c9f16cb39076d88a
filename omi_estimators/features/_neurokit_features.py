"""The table of features as a scikit-learn transformer."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Self

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from omi_estimators._compat import HasMethods, Interval, StrOptions, num_samples
from omi_estimators.features._catalogue import feature_names
from omi_estimators.features._covariates import match_covariates, read_covariates
from omi_estimators.features._measure import measure_or_reason
from omi_estimators.preprocessing import Measured, RecordTransformer, Usable, report_unusable, warn_if_implausible


class NeuroKitFeatures(RecordTransformer):
    """Measure ECGs: rhythm, intervals, axes, and the waves of every lead.

    Each record is filtered, reduced to its median beat and delineated once, on all leads together. Every lead
    is then measured from the one J point, with its sign: an inverted or hyperacute T wave, a depressed or
    raised ST are what the forest is to see, and delineation lead by lead misreads them. Heart-rate
    variability is NeuroKit2's [1]_; R peaks and waves are found by functions of this package, which find more of
    the points that cardiologists mark than NeuroKit2's delineators do, and each of them more closely
    (``python -m benchmarks delineation``).

    Parameters
    ----------
    sampling_rate : float, default=500
        Of the records, in Hz. A wrong value makes a `SamplingRateWarning` where no hearts have the intervals that
        follow from it.
    include : str, sequence of str or None, default=None
        Group or groups of features, of those below; all if None.
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
        Groups of features that `fit` chose; a later ``set_params(include=...)`` changes them in the next fit only.
    covariate_names_ : tuple of str
        Columns of the covariates seen in ``fit``; empty without any.

    See Also
    --------
    omi_estimators.features.measure_record : The same for one record, as a function.
    make_forest_pipeline : A random forest on these features.

    Notes
    -----
    NaN means "not measurable", never zero; scikit-learn's random forest takes it as it is. `catalogue` lists every
    measure with group, unit and meaning; so does ``docs/features.md``. The groups:

    ========== =====================================================================================
    rhythm     heart rate, its variability, differences from beat to beat
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
    ========== =====================================================================================

    All groups are measured, and cached, together; `include` only chooses among them, so that a grid search over
    groups measures no record twice.

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
    558
    >>> bool(features["qrs_duration"].between(50, 200).all())
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "include": [str, "array-like", None],
        "n_jobs": [Integral, None],
        "memory": [str, os.PathLike, HasMethods(["cache"]), None],
        "on_error": [StrOptions({"warn", "raise"})],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        sampling_rate: float = 500,
        include: str | Sequence[str] | None = None,
        n_jobs: int | None = None,
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
        on_error: str = "warn",
        verbose: int = 0,
    ):
        self.sampling_rate = sampling_rate
        self.include = include
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
        self.groups_ = self._groups()
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
        names = feature_names(self._n_leads)
        features, reasons = np.full((len(records), len(names)), np.nan), [""] * len(records)
        evidence = np.empty((len(records), 3))
        for index, (row, of_rate, reason) in enumerate(self._map(measure_or_reason, records)):
            features[index], evidence[index], reasons[index] = row, of_rate, reason
        sizes = features[:, [index for index, name in enumerate(names) if name.startswith("qrs_amplitude")]]
        largest = np.max(np.where(np.isfinite(sizes), sizes, -np.inf), axis=1)
        largest = np.where(np.isfinite(largest), largest, np.nan)
        warn_if_implausible(evidence, largest, sampling_rate=self.sampling_rate)
        chosen = set(feature_names(self._n_leads, self._fitted_groups()))
        values = np.hstack([features[:, [name in chosen for name in names]], beside])
        return Measured(values, Usable.from_reasons(reasons))

    def _fitted_groups(self) -> tuple[str, ...] | None:
        """Return the groups that `fit` saw; of a model that version 0.1.0 saved, those of its parameter."""
        return vars(self).get("groups_", self._groups())

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
        return np.array([*feature_names(self._n_leads, self._fitted_groups()), *self.covariate_names_], dtype=object)
