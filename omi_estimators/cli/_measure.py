"""Beats and features of all records, once and with a progress bar, into the cache that pipelines then read."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHUNK = 32  # records between two steps of the progress bar


def measure_records(
    X: Any, estimators: Collection[str], sampling_rate: float, *, n_jobs: int, cache: Path
) -> NDArray[np.bool_]:
    """Fill the cache of beats and features, showing progress.

    Done once and in parallel, so that the folds' times are those of learning.

    Parameters
    ----------
    X : array of shape (n_records, 12, n_samples)
        ECGs in millivolts.
    estimators : collection of str
        Of `CANDIDATES`; they decide what is measured.
    sampling_rate : float
        Hz.
    n_jobs : int
        Processes.
    cache : Path
        Where to keep it.

    Returns
    -------
    ndarray of bool, shape (n_records,)
        Which records have no beat or no features.
    """
    import numpy as np
    from tqdm import tqdm

    from omi_estimators.pipelines import make_forest_pipeline, make_net_pipeline
    from omi_estimators.preprocessing import UnusableRecordWarning

    # The steps that work on one record at a time; the regression's beats are those of the net.
    wanted = set(estimators)
    steps = {}
    if wanted & {"forest", "fusion"}:
        steps["features"] = make_forest_pipeline(sampling_rate, memory=str(cache), n_jobs=n_jobs)[:1]
    if wanted - {"forest", "prior"}:
        steps["beats"] = make_net_pipeline(sampling_rate, memory=str(cache), n_jobs=n_jobs)[:2]
    unusable = np.zeros(len(X), dtype=bool)
    for what, measure in steps.items():
        with tqdm(total=len(X), desc=f"measuring {what}", unit="record", file=sys.stderr) as bar:
            for start in range(0, len(X), _CHUNK):
                records = X[start : start + _CHUNK]
                with warnings.catch_warnings():
                    # Counted and reported once for all records instead.
                    warnings.simplefilter("ignore", UnusableRecordWarning)
                    values = np.asarray(measure.fit_transform(records)).reshape(len(records), -1)
                unusable[start : start + _CHUNK] |= (np.isnan(values) | (values == 0)).all(axis=1)
                bar.update(len(records))
    return unusable
