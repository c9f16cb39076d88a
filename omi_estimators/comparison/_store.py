"""Finished folds on disk, so that an interrupted comparison goes on where it stopped."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.base import clone

import omi_estimators
from omi_estimators._files import replace_file

# What these say changes how long a fit takes, not what comes of it.
_IRRELEVANT = ("checkpoint_dir", "memory", "n_jobs", "verbose")


class FoldResult(NamedTuple):
    """Out-of-fold probabilities of the positive class, and seconds of fitting and predicting."""

    prob: NDArray[np.float64]
    fit_time: float
    predict_time: float


class FoldStore:
    """Keeps the result of each estimator on each fold in a file of its own.

    A file is found again only for equal data, folds and parameters, and the same versions of this package and
    scikit-learn. It is written beside its place and then renamed, so that no crash leaves half a file and two
    processes may write at once.

    Parameters
    ----------
    folder : path-like
        Made if it does not exist.
    *data
        What all folds share: records, labels, patients.
    """

    def __init__(self, folder: str | os.PathLike[str], *data: Any):
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        versions = omi_estimators.__version__, sklearn.__version__
        self._shared = joblib.hash([*data, *versions])

    def find(self, name: str, estimator: Any, train: NDArray[np.intp], test: NDArray[np.intp]) -> Path:
        """Return the file of an estimator's result on a fold, there or not."""
        irrelevant = [key for key in estimator.get_params(deep=True) if key.split("__")[-1] in _IRRELEVANT]
        plain = clone(estimator).set_params(**dict.fromkeys(irrelevant))
        try:
            key = joblib.hash([self._shared, plain, train, test])
        except Exception as error:
            # Whatever pickling raises; the estimator is named, and what to do.
            raise ValueError(
                f"Estimator {name!r} cannot be told apart from others on disk ({error}); leave cache_dir out, or use "
                "functions that have a name."
            ) from error
        return self._folder / f"{key}.npz"

    def load(self, path: Path, n_records: int) -> FoldResult | None:
        """Return a result, or None if there is none or, with a warning, if its file is damaged."""
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                found = FoldResult(saved["prob"], float(saved["fit_time"]), float(saved["predict_time"]))
            if found.prob.shape != (n_records,) or not np.isfinite(found.prob).all():
                raise ValueError(f"probabilities of shape {found.prob.shape} instead of ({n_records},)")
        # numpy and zipfile raise many kinds for damaged bytes; each means the same, and the fold is fitted again.
        except Exception as error:
            warnings.warn(f"The saved fold {path} is damaged ({error}); it is fitted again.", UserWarning, stacklevel=2)
            return None
        return found

    def save(self, path: Path, result: FoldResult) -> None:
        """Write a result; if that fails, warn, as the result itself is as good as before."""
        try:
            content = io.BytesIO()
            np.savez(content, **result._asdict())
            replace_file(path, content.getvalue())
        except OSError as error:
            warnings.warn(
                f"The fold {path} cannot be saved ({error}). The comparison goes on; the same call would fit this "
                "fold again.",
                UserWarning,
                stacklevel=2,
            )
