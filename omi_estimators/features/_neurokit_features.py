"""The table of features as a scikit-learn transformer."""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import Any, Self

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from omi_estimators.features._measure import feature_names, measure_or_reason
from omi_estimators.preprocessing._base import as_3d, map_records, report_unusable, validate_ecg, warn_if_implausible


class NeuroKitFeatures(TransformerMixin, BaseEstimator):
    """Measure ECGs: rhythm, intervals, axes, and the waves of every lead.

    Each record is filtered, reduced to its median beat and delineated once, on all leads together. Every lead
    is then measured from the one J point, with its sign: an inverted or hyperacute T wave, a depressed or
    raised ST are what the forest is to see, and delineation lead by lead misreads them. Heart-rate
    variability is NeuroKit2's [1]_; R peaks and waves are found by functions of this package, which find more of
    the points that cardiologists mark than NeuroKit2's delineators do, and nearly all of them more closely
    (``python -m benchmarks delineation``).

    Parameters
    ----------
    sampling_rate : float, default=500
        Of the records, in Hz. A wrong value makes a warning where the heart rates that follow from it cannot
        be right.
    n_jobs : int or None, default=None
        Number of records measured in parallel, as in joblib. It never changes the result.
    memory : str, path, joblib.Memory or None, default=None
        Where to cache features, one row per record, so that cross-validation measures none twice.
    on_error : {"warn", "raise"}, default="warn"
        What to do about records in which no beat is found (flat, noise, ventricular fibrillation, too short):
        a row of NaN and one warning that names them, or a ValueError that names the first.

    Attributes
    ----------
    n_features_in_ : int
        Number of leads (of samples, for two-dimensional `X`) seen in ``fit``.
    n_samples_in_ : int
        Number of samples of a record seen in ``fit``.

    See Also
    --------
    omi_estimators.features.measure_record : The same for one record, as a function.
    make_forest_pipeline : A random forest on these features.

    Notes
    -----
    NaN means "not measurable", never zero; scikit-learn's random forest takes it as it is. With twelve
    leads there are 226 features:

    ======================================================== ======= ==========================================
    names                                                    unit    meaning
    ======================================================== ======= ==========================================
    heart_rate                                               1/min   from the mean RR interval
    hrv_sdnn, hrv_rmssd                                      ms      heart-rate variability
    hrv_pnn50                                                %       RR differences above 50 ms
    p_duration, pr_interval, qrs_duration, qt_interval,      ms      intervals between common fiducial points
    jt_interval, tpeak_tend
    qtc_bazett, qtc_fridericia, jtc_bazett                   ms      corrected for heart rate
    tpeak_tend_qt_ratio                                      1       share of QT
    st60_max, st60_min, st60_abs_sum                         mV      over all leads
    qrs_axis, t_axis, qrs_t_angle                            degrees frontal plane
    qrs_t_angle_spatial                                      degrees between mean vectors (Kors)
    vcg_{qrs,t}_azimuth, vcg_{qrs,t}_elevation               degrees mean vector; azimuth forward, elevation
                                                                     downward positive
    vcg_{qrs,t}_magnitude                                    mV      length of the mean vector
    st_concavity_{inferior,lateral,septal,anterior}          mV      sag below the line from J to T peak
    pca_ratio_{beat,qrs,st,stt,t}                            %       second over first eigenvalue
    nondipolar_{beat,qrs,st,stt,t}                           %       energy beyond three components
    rms_{beat,qrs,st,stt,t}                                  mV      root mean square over leads and time
    {p,q,r,s,t}_amplitude_LEAD, j_amplitude_LEAD             mV      signed, from the PQ level
    qrs_amplitude_LEAD                                       mV      peak to peak
    qrs_area_LEAD, t_area_LEAD                               mV·ms   signed
    q_duration_LEAD                                          ms      time below -0.02 mV before R
    st60_LEAD, st80_LEAD                                     mV      60 and 80 ms after J
    st_amplitude_LEAD                                        mV      median from J to J + 80 ms
    st_slope_LEAD                                            mV/s    from J to J + 80 ms
    t_qrs_ratio_LEAD                                         1       T over QRS amplitude
    ======================================================== ======= ==========================================

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
    226
    >>> bool(features["qrs_duration"].between(50, 200).all())
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": [Integral, None],
        "memory": [str, os.PathLike, HasMethods(["cache"]), None],
        "on_error": [StrOptions({"warn", "raise"})],
    }

    def __init__(
        self,
        *,
        sampling_rate: float = 500,
        n_jobs: int | None = None,
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
        on_error: str = "warn",
    ):
        self.sampling_rate = sampling_rate
        self.n_jobs = n_jobs
        self.memory = memory
        self.on_error = on_error

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
        self : object
            The transformer itself.
        """
        self._validate_params()
        records = as_3d(validate_ecg(self, X, reset=True))
        self._n_leads = records.shape[1]
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Measure the records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Raw ECGs in millivolts.

        Returns
        -------
        ndarray of shape (n_records, n_features)
            Features; NaN where not measurable, never infinite.

        Raises
        ------
        ValueError
            If `X` has another shape than in ``fit``, or ``on_error="raise"`` and a record has no beat.
        """
        check_is_fitted(self)
        self._validate_params()
        X = validate_ecg(self, X, reset=False)
        names = feature_names(self._n_leads)
        features, reasons = np.full((len(X), len(names)), np.nan), {}
        measured = map_records(
            measure_or_reason, X, n_jobs=self.n_jobs, memory=self.memory, sampling_rate=float(self.sampling_rate)
        )
        for index, (row, reason) in enumerate(measured):
            features[index] = row
            if reason:
                reasons[index] = reason
        report_unusable(reasons, len(features), on_error=self.on_error, consequence="given features that are all NaN")
        sizes = features[:, [index for index, name in enumerate(names) if name.startswith("qrs_amplitude")]]
        largest = np.max(np.where(np.isfinite(sizes), sizes, -np.inf), axis=1)
        warn_if_implausible(
            features[:, names.index("heart_rate")],
            np.where(np.isfinite(largest), largest, np.nan),
            sampling_rate=self.sampling_rate,
        )
        return features

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the features.

        Parameters
        ----------
        input_features : object, optional
            Ignored: the names do not depend on those of the input.

        Returns
        -------
        ndarray of str
            Names, in the order of the columns of ``transform``.
        """
        check_is_fitted(self)
        return np.array(feature_names(self._n_leads), dtype=object)

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
