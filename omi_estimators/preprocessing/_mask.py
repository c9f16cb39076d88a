"""Leads that cannot be trusted, made missing."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators._compat import Interval
from omi_estimators.leads import LEADS
from omi_estimators.preprocessing._records import (
    Measured,
    UnusableRecordWarning,
    Usable,
    WaveformTransformer,
    as_3d,
    find_fault,
    float_type,
)
from omi_estimators.preprocessing._signal_quality import FLAGS, signal_quality


class BadLeadMasker(WaveformTransformer):
    """Set leads that cannot be trusted to NaN, so that what follows treats them as missing.

    It belongs before the filter: filtering hides clipping and noise. Other leads stay as they are, bit for bit. One
    warning per call names the records and leads.

    Parameters
    ----------
    sampling_rate : float, default=500
        Samples per second of the records, in Hz, above 50.
    flags : sequence of {"missing", "flat", "saturated", "noise", "wander"}, default=("flat", "saturated", "noise")
        What makes a lead untrustworthy; `signal_quality` defines each flag.
    n_jobs : int or None, default=None
        Number of records measured in parallel, as in joblib. It never changes the result.
    memory : str, path, joblib.Memory or None, default=None
        Where to cache what is measured, record by record.
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
    signal_quality : The flags, and how they are found.
    SignalQuality : The same measures as a table.

    Notes
    -----
    A record may lose all its leads; `MedianBeat` then gives a beat of zeros and `NeuroKitFeatures` a row of NaN,
    with a warning of their own. Baseline wander is not masked by default, since filtering removes it.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import BadLeadMasker
    >>> t = np.arange(5000) / 500
    >>> qrs = np.exp(-(((t % 1 - 0.5) / 0.02) ** 2))
    >>> X = np.stack([[qrs, 0 * qrs]])
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     masked = BadLeadMasker().fit_transform(X)
    >>> np.isnan(masked).all(axis=2).tolist()
    [[False, True]]
    """

    _parameter_constraints = WaveformTransformer._parameter_constraints | {
        "sampling_rate": [Interval(Real, 50, None, closed="neither")],
        "flags": [tuple, list],
    }

    def __init__(
        self,
        *,
        sampling_rate: float = 500,
        flags: Sequence[str] = ("flat", "saturated", "noise"),
        n_jobs: int | None = None,
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
        verbose: int = 0,
    ):
        self.sampling_rate = sampling_rate
        self.flags = flags
        self.n_jobs = n_jobs
        self.memory = memory
        self.verbose = verbose

    def _check_params(self) -> None:
        unknown = [flag for flag in self.flags if flag not in FLAGS]
        if unknown:
            raise ValueError(f"flags must be among {', '.join(map(repr, FLAGS))}; got {unknown[0]!r}.")

    def transform(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Mask the leads.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Raw ECGs in millivolts.

        Returns
        -------
        ndarray of the shape of `X`
            A copy, NaN in the leads that have one of `flags`.
        """
        return self.measure(X).values

    def measure(self, X: ArrayLike) -> Measured:
        """Mask the leads, and return which of the raw records can be judged.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Raw ECGs in millivolts.

        Returns
        -------
        Measured
            Records as ``transform`` returns them; which have a lead left, and no fault that masking hides.
        """
        X = self._validate(X)
        self._check_params()
        masked = X.astype(float_type(X))
        bad = np.zeros(as_3d(X).shape[:2], dtype=bool)
        for index, quality in enumerate(self._map(signal_quality, X)):
            for flag in self.flags:
                bad[index] |= getattr(quality, flag)
        as_3d(masked)[bad] = np.nan
        _report_masked(bad, self.flags)
        faults = [find_fault(np.asarray(record, dtype=np.float64), float(self.sampling_rate)) for record in as_3d(X)]
        lost = f"every lead is {' or '.join(self.flags)}"
        return Measured(masked, Usable.from_reasons(np.where(bad.all(axis=1), lost, faults).tolist()))


def _report_masked(bad: NDArray[np.bool_], flags: Sequence[str], most: int = 5) -> None:
    """Warn once, naming at most `most` of the records that lost leads."""
    records = np.flatnonzero(bad.any(axis=1))
    if not records.size:
        return
    names = LEADS if bad.shape[1] == len(LEADS) else [f"lead{number}" for number in range(bad.shape[1])]
    shown = []
    for record in records[:most]:
        lost = [names[lead] for lead in np.flatnonzero(bad[record])]
        shown.append(f"{record} ({'every lead' if len(lost) == bad.shape[1] else ', '.join(lost)})")
    more = f" and {len(records) - most} more" if len(records) > most else ""
    doubt = " With so many, check sampling_rate and unit (millivolts)." if 2 * len(records) > len(bad) else ""
    warnings.warn(
        f"leads of {len(records)} of {len(bad)} records are {' or '.join(flags)} and were set to NaN: "
        f"{', '.join(shown)}{more}.{doubt}",
        UnusableRecordWarning,
        stacklevel=3,
    )
