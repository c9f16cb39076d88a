"""The filter as a scikit-learn transformer."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators._compat import Interval, StrOptions
from omi_estimators.preprocessing._filter import MAINS, check_bands, filter_ecg, find_mains
from omi_estimators.preprocessing._pacing import remove_pacing_spikes
from omi_estimators.preprocessing._records import (
    Measured,
    Usable,
    WaveformTransformer,
    as_3d,
    find_fault,
    float_type,
)
from omi_estimators.preprocessing._resample import cut_windows, resample_ecg


class ECGFilter(WaveformTransformer):
    """Remove baseline wander, high-frequency noise and mains hum, without shifting any wave in time.

    First it takes the spikes of pacemakers out, which a filter would smear over the beat; on request it resamples last.

    Parameters
    ----------
    sampling_rate : float, default=500
        Samples per second of the records, in Hz.
    highpass : float or None, default=0.5
        Cut-off in Hz of the high-pass filter. Raise it for restless patients, at the price of a
        distorted ST segment; None to leave the baseline as it is.
    lowpass : float or None, default=100.0
        Cut-off in Hz of the low-pass filter; left out at or above the Nyquist frequency. The standard for
        adults is 150 Hz [1]_; lower it where muscle noise is strong.
    notch : tuple of float, "auto" or None, default=(50.0, 60.0)
        Mains frequencies in Hz; each at or above the Nyquist frequency is left out. With "auto" only those whose
        hum is found in a record (`find_mains`).
    pacing : {"remove", "keep"}, default="remove"
        Whether to replace the spikes of pacemakers by straight lines (`remove_pacing_spikes`) before filtering.
    output_rate : float or None, default=None
        Samples per second of the result, in Hz (`resample_ecg`); None leaves them as they are. What follows in a
        pipeline is then to be told this rate.

    Attributes
    ----------
    n_features_in_ : int
        Number of leads (of samples, for two-dimensional `X`) seen in ``fit``.
    n_samples_in_ : int
        Number of samples of a record seen in ``fit``.

    See Also
    --------
    filter_ecg : The same as a function, with all details.

    Notes
    -----
    Missing samples (NaN) stay missing, and disturb neither their neighbours nor other leads. Each lead
    of each record is filtered by itself, so nothing is learned in ``fit``. A record of more than ten minutes is
    filtered five minutes at a time, with 12 s more at both ends.

    References
    ----------
    .. [1] P. Kligfield et al., "Recommendations for the Standardization and Interpretation of the
       Electrocardiogram: Part I", Circulation 115:1306-1324 (2007). doi:10.1161/CIRCULATIONAHA.106.180200

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import ECGFilter
    >>> X = np.random.default_rng(0).normal(size=(2, 12, 5000)) + 1.5
    >>> bool(abs(ECGFilter(sampling_rate=500).fit_transform(X).mean()) < 0.05)
    True
    """

    _parameter_constraints = WaveformTransformer._parameter_constraints | {
        "highpass": [Interval(Real, 0, None, closed="neither"), None],
        "lowpass": [Interval(Real, 0, None, closed="neither"), None],
        "notch": [tuple, list, StrOptions({"auto"}), None],
        "pacing": [StrOptions({"remove", "keep"})],
        "output_rate": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        *,
        sampling_rate: float = 500,
        highpass: float | None = 0.5,
        lowpass: float | None = 100.0,
        notch: tuple[float, ...] | str | None = (50.0, 60.0),
        pacing: str = "remove",
        output_rate: float | None = None,
    ):
        self.sampling_rate = sampling_rate
        self.highpass = highpass
        self.lowpass = lowpass
        self.notch = notch
        self.pacing = pacing
        self.output_rate = output_rate

    def _check_params(self) -> None:
        check_bands(self.sampling_rate, self.highpass, self.lowpass, self._notch_of(None))

    def transform(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Filter the records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            ECGs in millivolts.

        Returns
        -------
        ndarray of the shape of `X`, but for `output_rate`
            Filtered ECGs; a new array.
        """
        X = self._validate(X)
        records = as_3d(X)
        # Record by record, so that memory beyond input and output does not grow with their number.
        first = self._filter(records[0])
        if len(records) == 1:
            only = first.astype(float_type(X), copy=False)
            return only[np.newaxis] if X.ndim == 3 else only
        filtered = np.empty((*records.shape[:2], first.shape[-1]), dtype=float_type(X))
        for index, record in enumerate(records):
            filtered[index] = self._filter(record) if index else first
        return filtered if X.ndim == 3 else filtered[:, 0]

    def measure(self, X: ArrayLike) -> Measured:
        """Return the filtered records, and which of the raw ones can be judged.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Raw ECGs in millivolts.

        Returns
        -------
        Measured
            Records as ``transform`` returns them; faults that filtering hides, such as electrodes that are off.
        """
        X = self._validate(X)
        faults = [self._find_fault(record) for record in as_3d(X)]
        return Measured(self.transform(X), Usable.from_reasons(faults))

    def _find_fault(self, record: NDArray[Any]) -> str:
        """Return why a record cannot be judged: what is wrong with its first window, if all have something."""
        rate = float(self.sampling_rate)
        reason = ""
        for _, core in cut_windows(record.shape[1], rate):
            fault = find_fault(np.asarray(record[:, core], dtype=np.float64), rate)
            if not fault:
                return ""
            reason = reason or fault
        return reason

    def _filter(self, record: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """Return one record without spikes, filtered, at the rate that is wanted; a long one window by window."""
        windows = cut_windows(record.shape[1], self.sampling_rate)
        if len(windows) == 1:
            filtered = self._filter_window(record)
        else:
            filtered = np.empty(record.shape, dtype=float_type(record))
            for wide, core in windows:
                filtered[:, core] = self._filter_window(record[:, wide])[:, core.start - wide.start :][
                    :, : core.stop - core.start
                ]
        return filtered if self.output_rate is None else resample_ecg(filtered, self.sampling_rate, self.output_rate)

    def _filter_window(self, record: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """Return a record, or a part of it, without spikes and filtered."""
        if self.pacing == "remove":
            record = remove_pacing_spikes(record, self.sampling_rate)[0]
        notch = self._notch_of(record)
        return filter_ecg(record, self.sampling_rate, highpass=self.highpass, lowpass=self.lowpass, notch=notch)

    def _notch_of(self, record: NDArray[Any] | None) -> tuple[float, ...] | None:
        """Return the mains frequencies to remove from a record; without one, all that are ever removed."""
        if self.notch == "auto":
            return MAINS if record is None else find_mains(record, self.sampling_rate)
        return None if self.notch is None else tuple(self.notch)  # type: ignore[arg-type]
