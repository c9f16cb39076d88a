"""Reading as the first step of a pipeline."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from omi_estimators._documentation import DocumentedMixin
from omi_estimators.readers._load import load_ecgs


class ECGReader(DocumentedMixin, TransformerMixin, BaseEstimator):
    """Read ECG files into an array, so that a pipeline can start from paths.

    Parameters
    ----------
    sampling_rate : float, default=500
        Of the result, in Hz; what follows in the pipeline is to be told the same.
    duration : float, default=10
        Length of the result in seconds. Longer records are cut, shorter ones end in NaN.
    read_params : dict, optional
        Further arguments of `read_ecg`.
    on_error : {"warn", "raise"}, default="warn"
        A file that cannot be read is a row of NaN and part of one warning, or ends the reading with its error.
    n_jobs : int, optional
        Processes that read, in joblib's meaning.
    verbose : int, default=0
        1 shows a progress bar over the files.

    Attributes
    ----------
    n_features_in_ : int
        1: the path.

    See Also
    --------
    load_ecgs : The same as a function, with a table of what the files say of patient and device.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from omi_estimators import make_forest_pipeline
    >>> from omi_estimators.readers import ECGReader
    >>> reader = ECGReader(sampling_rate=500)
    >>> model = make_pipeline(reader, make_forest_pipeline(reader.sampling_rate))
    >>> model.fit(["a.xml", "b.xml"], [0, 1])  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        sampling_rate: float = 500,
        duration: float = 10,
        read_params: dict[str, Any] | None = None,
        on_error: str = "warn",
        n_jobs: int | None = None,
        verbose: int = 0,
    ):
        self.sampling_rate = sampling_rate
        self.duration = duration
        self.read_params = read_params
        self.on_error = on_error
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Check that `X` holds paths; nothing is read or learned.

        Parameters
        ----------
        X : array-like of shape (n_records,) or (n_records, 1)
            Paths.
        y : ignored
            For scikit-learn's sake.

        Returns
        -------
        ECGReader
            Itself.

        Raises
        ------
        ValueError
            If `X` is of another shape or does not hold paths.
        """
        _check_paths(X)
        if self.on_error not in ("warn", "raise"):
            raise ValueError(f"on_error must be 'warn' or 'raise'; got {self.on_error!r}.")
        self.n_features_in_ = 1
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Read the files.

        Parameters
        ----------
        X : array-like of shape (n_records,) or (n_records, 1)
            Paths.

        Returns
        -------
        ndarray of shape (n_records, 12, n_samples)
            Float32 millivolts, NaN for a file that cannot be read.

        Raises
        ------
        ValueError
            If `X` is of another shape or does not hold paths; as ECGFileError, with ``on_error="raise"``, if a file
            cannot be read.
        """
        return load_ecgs(
            _check_paths(X),
            self.sampling_rate,
            self.duration,
            read_params=self.read_params,
            n_jobs=self.n_jobs,
            on_error="raise" if self.on_error == "raise" else "keep",
            verbose=bool(self.verbose),
        )[0]

    def set_output(self, *, transform: str | None = None) -> Self:
        """Accept, and ignore, an output container: waveforms are arrays, whatever tables a pipeline makes.

        Parameters
        ----------
        transform : str, optional
            Ignored.

        Returns
        -------
        ECGReader
            Itself.
        """
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags


def _check_paths(X: ArrayLike) -> list[str]:
    """Return `X` as a list of paths, or raise a ValueError."""
    paths = np.asarray(X, dtype=object)
    if paths.ndim == 2 and paths.shape[1] == 1:
        paths = paths[:, 0]
    if paths.ndim != 1:
        raise ValueError(f"X must hold one path per record, shape (n_records,); got shape {paths.shape}.")
    wrong = [path for path in paths if not isinstance(path, str) and not hasattr(path, "__fspath__")]
    if wrong:
        raise ValueError(f"X must hold paths; got {wrong[0]!r}. Records that are read already need no ECGReader.")
    return [str(path) for path in paths]
