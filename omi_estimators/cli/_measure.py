"""Beats and features of all records, once and with a progress bar, into the cache that pipelines then read."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omi_estimators.preprocessing import Usable

_CHUNK = 32  # records between two steps of the progress bar


def measure_records(X: Any, estimators: Collection[str], sampling_rate: float, *, n_jobs: int, cache: Path) -> Usable:
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
    Usable
        Which records have beats and features, and why the others have none.
    """
    from tqdm import tqdm

    from omi_estimators.pipelines import make_forest_pipeline, make_net_pipeline
    from omi_estimators.preprocessing import Usable, measure_steps

    # The steps that work on one record at a time; the regression's beats are those of the net.
    wanted = set(estimators)
    steps = {}
    if wanted & {"forest", "fusion"}:
        steps["features"] = make_forest_pipeline(sampling_rate, memory=str(cache), n_jobs=n_jobs)[:1]
    if wanted - {"forest", "prior"}:
        steps["beats"] = make_net_pipeline(sampling_rate, memory=str(cache), n_jobs=n_jobs)[:2]
    usable = Usable.from_reasons([""] * len(X))
    for what, measure in steps.items():
        fitted = measure.fit(X[:1]).steps
        reasons: list[str] = []
        with tqdm(total=len(X), desc=f"measuring {what}", unit="record", file=sys.stderr) as bar:
            for start in range(0, len(X), _CHUNK):
                found = measure_steps(fitted, X[start : start + _CHUNK]).usable
                reasons += found.reasons.tolist()
                bar.update(len(found.reasons))
        usable &= Usable.from_reasons(reasons)
    return usable
