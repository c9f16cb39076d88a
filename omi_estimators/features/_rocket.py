"""MiniRocket: features of a waveform by many short convolutions, from an optional library."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators._compat import Interval
from omi_estimators._validation import make_rng, naming_package
from omi_estimators.preprocessing import RecordTransformer

_SHORTEST = 9  # samples, the length of a kernel


class RocketFeatures(RecordTransformer):
    """Describe waveforms by MiniRocket: how often each of thousands of short convolutions lies above its threshold.

    Kernels are fixed; which leads each combines is drawn, and thresholds are quantiles of what a few records of ``fit``
    give [1]_. A linear model on these features is the usual floor for classifiers of time series. The convolutions are
    those of sktime, compiled (extra `rocket`).

    Parameters
    ----------
    n_features : int, default=9996
        Number of features, at least 84; rounded down to a multiple of 84, the number of kernels.
    random_state : int, RandomState, Generator or None, default=None
        Where leads and the records behind the thresholds are drawn from.

    Attributes
    ----------
    thresholds_ : ndarray of shape (n_features,), float32
        Of each convolution; a dilation that has several has them one after another.
    seed_ : int
        From which the leads of each convolution follow.
    n_features_in_ : int
        Number of leads (of samples, for two-dimensional `X`) seen in ``fit``.
    n_samples_in_ : int
        Number of samples of a record seen in ``fit``.

    Raises
    ------
    ImportError
        In `fit` and `transform`, if the extra `rocket` is not installed; the message says how to install it.

    See Also
    --------
    NeuroKitFeatures : Features with names that a cardiologist knows.

    Notes
    -----
    A missing sample counts as zero, and a waveform of fewer than 9 samples is continued by zeros.

    References
    ----------
    .. [1] Dempster A., Schmidt D. F., Webb G. I., MiniRocket: a very fast (almost) deterministic transform for time
       series classification, KDD 2021. doi:10.1145/3447548.3467231

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.features import RocketFeatures
    >>> beats = np.random.default_rng(0).normal(size=(20, 12, 200))
    >>> RocketFeatures(168, random_state=0).fit_transform(beats).shape  # doctest: +SKIP
    (20, 168)
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012
        "n_features": [Interval(Integral, 84, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(self, n_features: int = 9996, *, random_state: Any = None):
        self.n_features = n_features
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Draw leads, and find thresholds.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Waveforms, usually median beats.
        y : object, optional
            Ignored.

        Returns
        -------
        RocketFeatures
            The transformer itself.
        """
        super().fit(X)
        self.seed_ = int(make_rng(self.random_state).integers(2**31))
        self.thresholds_ = self._make_rocket(_prepare(self._validate(X))).parameters[-1]
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the share of samples at which each convolution lies above its threshold.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Waveforms.

        Returns
        -------
        ndarray of shape (n_records, n_features)
            Between 0 and 1.

        Raises
        ------
        ValueError
            If `thresholds_` are not of this number of features, as in a spoilt file.
        """
        waves = _prepare(self._validate(X))
        # Of one record, since all but the thresholds is the same for any: compiled code follows no number of a file.
        rocket = self._make_rocket(waves[:1])
        *kernels, thresholds = rocket.parameters
        known = np.array(self.thresholds_, dtype=np.float32)
        if known.shape != thresholds.shape:
            raise ValueError(f"thresholds_ must be {thresholds.size} numbers; got an array of shape {known.shape}.")
        rocket.parameters = (*kernels, known)
        return rocket.transform(waves).to_numpy()

    def _make_rocket(self, waves: NDArray[np.float32]) -> Any:
        """Return sktime's transformer, fitted; it seeds NumPy's global generator, whose state is given back."""
        with naming_package("sktime-cython", "rocket", "MiniRocket"):
            import sktime_cython  # noqa: F401
            from sktime.transformations.rocket import MiniRocketMultivariateCython

        state = np.random.get_state()  # noqa: NPY002
        try:
            return MiniRocketMultivariateCython(int(self.n_features), random_state=self.seed_).fit(waves)
        finally:
            np.random.set_state(state)  # noqa: NPY002


def _prepare(X: NDArray[Any]) -> NDArray[np.float32]:
    """Return waveforms as sktime takes them: float32, of leads, long enough, without NaN."""
    waves = np.nan_to_num((X[:, np.newaxis] if X.ndim == 2 else X).astype(np.float32))
    return np.pad(waves, ((0, 0), (0, 0), (0, max(0, _SHORTEST - waves.shape[2]))))
