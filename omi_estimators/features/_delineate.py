"""Delineation: the fiducial points of an average beat, and the beat on which everything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.signal import find_peaks

from omi_estimators.leads import LEADS

# A lead is at rest before its QRS complex while slower than this share of its largest speed, or than a slope that is
# hardly seen on paper, 1 mV/s or 20 degrees at 25 mm/s and 10 mm/mV; for this long (s).
_ONSET_SHARE, _SEEN_SLOPE, _QUIET_TIME = 0.02, 1.0, 0.012
# After the complex the lead vector is at rest below this share of its largest speed.
_OFFSET_SHARE = 0.07
# Smoothing (SD of a Gaussian, s) before onset and offset of the QRS complex are sought, P, and the end of T.
_ONSET_SCALE, _OFFSET_SCALE, _COARSE, _T_SCALE = 0.007, 0.005, 0.010, 0.018
# A tangent at the steepest point of a flank does not meet the level before or after the wave just where the
# eye sees it end; these factors on its length bring the ends of P to where cardiologists mark them.
_P_ONSET_REACH, _P_OFFSET_REACH = 1.2, 0.7
# The T wave has ended when the lead vector has lost all but this share of the speed at which T falls; and with the
# second share, also in the leads where it ends late (nine of ten of LUDB's marks lie before it).
_T_END_SHARE, _T_LATEST_SHARE = 0.3, 0.15
# Of several humps in the T window, the last with this share of the largest prominence is the T wave.
_T_SHARE = 0.35
# The T wave peaks within this time after R (s): a constant and a share of RR, and never later than the limit.
# A wider window takes the next P wave, or the next beat of an irregular rhythm, for T.
_T_WITHIN, _T_WITHIN_RR, _T_LIMIT = 0.12, 0.42, 0.56
# Less prominent humps (mV, root mean square over leads) than this are not P waves: those of atrial fibrillation,
# which the median over beats leaves of its waves, are smaller, the smallest marked P waves are larger.
_LEAST_P = 0.025


class Fiducials(NamedTuple):
    """Fiducial points of a beat, in samples of the beat; NaN where a wave was not found.

    The J point is `qrs_offset`. Points lie in the middle of where the leads, each for itself, would have them;
    `t_latest` is where T has ended in the leads that it ends late in, to which a global QT interval is measured.

    Attributes
    ----------
    p_onset, p_peak, p_offset : float
        Of the P wave.
    qrs_onset, r_peak, qrs_offset : float
        Of the QRS complex.
    t_peak, t_offset, t_latest : float
        Of the T wave.
    """

    p_onset: float = np.nan
    p_peak: float = np.nan
    p_offset: float = np.nan
    qrs_onset: float = np.nan
    r_peak: float = np.nan
    qrs_offset: float = np.nan
    t_peak: float = np.nan
    t_offset: float = np.nan
    t_latest: float = np.nan


def delineate(beat: ArrayLike, sampling_rate: float, *, r_index: int, rr: float = 0.8) -> Fiducials:
    """Find the fiducial points of a beat, common to all its leads.

    All leads are taken together: the QRS complex lies where the lead vector moves fast, P and T are humps
    of its root mean square, and their flanks are followed along the direction that the vector has at their
    peak. So an inverted T wave, which is the sign looked for, is found like an upright one, and one J
    point serves every lead.

    Parameters
    ----------
    beat : array-like of shape (n_leads, n_samples)
        Median beat in millivolts, PQ level at zero, from at least 0.35 s before the R peak to 0.6 s after it.
    sampling_rate : float
        Of the beat, in Hz.
    r_index : int
        Sample of the R peak.
    rr : float, default=0.8
        Typical RR interval in seconds, which bounds the search for P and T.

    Returns
    -------
    Fiducials
        Samples, not rounded. P and T are NaN where no hump stands out.

    Raises
    ------
    ValueError
        If `beat` is not two-dimensional, or `r_index` lies outside it.

    References
    ----------
    Martínez J. P. et al., A Wavelet-Based ECG Delineator, IEEE TBME 51:570-581, 2004,
    doi:10.1109/TBME.2003.821031, for the tolerances that such points are held to.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.features import delineate
    >>> t = np.arange(-0.45, 0.7, 0.002)
    >>> beat = np.exp(-((t / 0.02) ** 2))[np.newaxis] - 0.3 * np.exp(-(((t - 0.3) / 0.05) ** 2))
    >>> points = delineate(beat, 500, r_index=225)
    >>> round((points.t_peak - points.r_peak) / 500, 2)
    0.3
    """
    leads = np.asarray(beat, dtype=np.float64)
    if leads.ndim != 2 or not 0 <= r_index < leads.shape[-1]:
        raise ValueError(
            f"beat must have shape (n_leads, n_samples) with r_index inside; got {leads.shape}, {r_index}."
        )
    leads, spike_end = remove_pacing_spike(leads, sampling_rate, r_index)
    qrs_onset = _find_onset(leads, sampling_rate, r_index, spike_end)
    qrs_offset = _find_offset(leads, sampling_rate, r_index)
    smooth = gaussian_filter1d(leads, _COARSE * sampling_rate, axis=1)
    t_peak = _find_t_peak(smooth, sampling_rate, r_index, qrs_offset, rr)
    t_wave = (t_peak, *_find_t_end(leads, sampling_rate, t_peak, r_index, rr))
    p_wave = _find_p(smooth, sampling_rate, r_index, qrs_onset, t_wave[1] - rr * sampling_rate)
    return Fiducials(*p_wave, qrs_onset, float(r_index), qrs_offset, *t_wave)


def _find_onset(leads: NDArray[np.float64], sampling_rate: float, r_index: int, spike_end: int) -> float:
    """Return the onset of the QRS complex: the median over leads of the end of the rest before R in each.

    The median, because cardiologists' marks of one beat differ between leads, and the common point is to lie in
    the middle of them. One vector's onset would be that of whichever lead moves first, or is noisy.
    """
    present = np.ptp(leads, axis=1) > 0
    if r_index < 1 or not present.any():
        return float(r_index)
    smooth = gaussian_filter1d(leads[present], _ONSET_SCALE * sampling_rate, axis=1)
    speed = np.abs(np.gradient(smooth, axis=1)) * sampling_rate
    near, far = round(0.06 * sampling_rate), round(0.16 * sampling_rate)
    first = max(0, r_index - far)
    fastest = speed[:, max(0, r_index - near) : r_index + near + 1].max(axis=1)
    width = max(1, round(_QUIET_TIME * sampling_rate))
    onsets = []
    for before, threshold in zip(
        speed[:, first : r_index + 1], np.maximum(_SEEN_SLOPE, _ONSET_SHARE * fastest), strict=True
    ):
        resting = _runs(before < threshold, width)
        onsets.append(first + (resting[-1] + width - 1 if resting.size else int(np.argmin(before))))
    return max(float(np.median(onsets)), float(spike_end))


def _find_offset(leads: NDArray[np.float64], sampling_rate: float, r_index: int) -> float:
    """Return the offset of the QRS complex: the nearest rest of the lead vector after R."""
    if leads.shape[1] < 2:
        return float(r_index)
    smooth = gaussian_filter1d(leads, _OFFSET_SCALE * sampling_rate, axis=1)
    speed = np.linalg.norm(np.gradient(smooth, axis=1), axis=0)
    near, far = round(0.06 * sampling_rate), round(0.16 * sampling_rate)
    fastest = speed[max(0, r_index - near) : r_index + near + 1].max()
    width = max(1, round(_QUIET_TIME * sampling_rate))
    # ST itself moves; a complex has ended when the vector is hardly faster than it is later in ST.
    later = speed[r_index + round(0.1 * sampling_rate) : r_index + round(0.2 * sampling_rate)]
    st_speed = np.median(later) if later.size else 0.0
    after = speed[r_index : r_index + far + 1]
    resting = _runs(after < max(_OFFSET_SHARE * fastest, 1.3 * st_speed), width)
    skipped = min(round(0.04 * sampling_rate), len(after) - 1)
    return float(r_index + (resting[0] if resting.size else skipped + int(np.argmin(after[skipped:]))))


def _find_t_peak(
    smooth: NDArray[np.float64], sampling_rate: float, r_index: int, qrs_offset: float, rr: float
) -> float:
    """Return the peak of the T wave."""
    first = int(qrs_offset) + round(0.06 * sampling_rate)
    last = min(smooth.shape[1] - 1, r_index + round(min(_T_LIMIT, _T_WITHIN + _T_WITHIN_RR * rr) * sampling_rate))
    if last - first < round(0.1 * sampling_rate):
        return np.nan
    rms = np.sqrt(np.mean(smooth[:, first:last] ** 2, axis=0))
    humps, shape = find_peaks(rms, prominence=0)
    if not humps.size:
        return np.nan
    large = shape["prominences"] >= _T_SHARE * shape["prominences"].max()
    return float(first + humps[np.flatnonzero(large)[-1]])


def _find_t_end(
    leads: NDArray[np.float64], sampling_rate: float, t_peak: float, r_index: int, rr: float
) -> tuple[float, float]:
    """Return where T ends, and where it has ended in all leads: the lead vector comes to rest, before the next P."""
    if np.isnan(t_peak):
        return np.nan, np.nan
    peak = int(t_peak)
    next_p = r_index + round((rr - 0.16) * sampling_rate)
    end = min(leads.shape[1] - 1, peak + round(0.24 * sampling_rate))
    end = min(end, max(next_p, peak + round(0.08 * sampling_rate)))
    if end - peak < round(0.02 * sampling_rate):
        return np.nan, np.nan
    smooth = gaussian_filter1d(leads, _T_SCALE * sampling_rate, axis=1)
    speed = np.linalg.norm(np.gradient(smooth, axis=1), axis=0)
    falling = peak + int(np.argmax(speed[peak : min(end, peak + round(0.1 * sampling_rate))]))
    after = speed[falling:end]
    # What noise and the U wave move is no part of T.
    rest = np.quantile(after, 0.1)
    ends = (np.flatnonzero(after <= rest + share * (after[0] - rest))[0] for share in (_T_END_SHARE, _T_LATEST_SHARE))
    t_offset, t_latest = (float(falling + end) for end in ends)
    return t_offset, t_latest


def _find_p(
    smooth: NDArray[np.float64], sampling_rate: float, r_index: int, qrs_onset: float, last_t: float
) -> tuple[float, float, float]:
    """Return onset, peak and offset of the P wave: the most prominent hump between the last T and QRS."""
    first = r_index - round(0.34 * sampling_rate)
    if last_t > first:
        # At a fast rate the last T wave reaches into the search; at the fastest P rides on it.
        first = int(min(last_t, qrs_onset - 0.16 * sampling_rate))
    first = max(0, first)
    last = int(qrs_onset) - round(0.01 * sampling_rate)
    if last - first < round(0.06 * sampling_rate):
        return np.nan, np.nan, np.nan
    window = smooth[:, first:last]
    chord = window[:, :1] + (window[:, -1:] - window[:, :1]) * np.linspace(0, 1, last - first)
    humps, shape = find_peaks(np.sqrt(np.mean((window - chord) ** 2, axis=0)), prominence=0)
    if not humps.size or shape["prominences"].max() < _LEAST_P:
        return np.nan, np.nan, np.nan
    hump = int(humps[np.argmax(shape["prominences"])])
    peak = first + hump
    along = _project(smooth, window[:, hump] - chord[:, hump])
    slope = np.gradient(along)
    start = max(0, peak - round(0.1 * sampling_rate))
    rising = start + int(np.argmax(slope[start : peak + 1]))
    falling = peak + int(np.argmin(slope[peak:last]))
    before = along[max(0, rising - round(0.06 * sampling_rate)) : max(1, rising - round(0.03 * sampling_rate))]
    after = along[last - max(1, round(0.01 * sampling_rate)) : last]
    onset = _follow(along, slope, rising, float(np.median(before)), _P_ONSET_REACH, 0, peak)
    offset = _follow(along, slope, falling, float(np.median(after)), _P_OFFSET_REACH, peak, qrs_onset)
    return onset, float(peak), offset


def _follow(
    along: NDArray[np.float64],
    slope: NDArray[np.float64],
    steepest: int,
    level: float,
    reach: float,
    low: float,
    high: float,
) -> float:
    """Return where the tangent at the steepest point of a flank, made longer by `reach`, meets the level."""
    height, steepness = along[steepest] - level, slope[steepest]
    if height <= 0 or steepness == 0:
        return float(steepest)
    return float(np.clip(steepest - reach * height / steepness, low, high))


def _project(leads: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the leads along a direction of the lead vector."""
    return (direction / max(float(np.linalg.norm(direction)), 1e-12)) @ leads


def _runs(quiet: NDArray[np.bool_], width: int) -> NDArray[np.intp]:
    """Return where runs of at least `width` true values start, counting every possible start."""
    if len(quiet) < width:
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(np.convolve(quiet, np.ones(width), mode="valid") > width - 0.5)


@dataclass(frozen=True)
class DelineatedBeat:
    """The average beat of a record with its fiducial points.

    Attributes
    ----------
    leads : ndarray of shape (n_leads, n_samples)
        In millivolts, PQ level at zero; a missing or flat lead is zero throughout.
    present : ndarray of bool, shape (n_leads,)
        Which leads are neither missing nor flat.
    points : Fiducials
        Common to all leads, in samples.
    sampling_rate : float
        In Hz.
    rr : float
        Median RR interval in seconds; NaN for a single beat.
    """

    leads: NDArray[np.float64]
    present: NDArray[np.bool_]
    points: Fiducials
    sampling_rate: float
    rr: float

    @property
    def is_standard(self) -> bool:
        """Whether the leads are the twelve of `LEADS`."""
        return len(self.leads) == len(LEADS)

    @property
    def has_t(self) -> bool:
        """Whether peak and end of the T wave were found."""
        return bool(np.isfinite(self.points.t_peak) and np.isfinite(self.points.t_offset))

    def known(self) -> NDArray[np.float64]:
        """Return the leads with NaN where one is missing, for what needs several of them."""
        return np.where(self.present[:, np.newaxis], self.leads, np.nan)

    def ms(self, start: float, stop: float) -> float:
        """Return the time between two samples in ms."""
        return (stop - start) * 1000 / self.sampling_rate

    def after(self, point: float, ms: float) -> float:
        """Return the sample (a fraction) that lies `ms` after a point."""
        return point + ms * self.sampling_rate / 1000

    def holds(self, time: float) -> bool:
        """Return whether the beat reaches as far as `time`, a sample."""
        return 0 <= time < self.leads.shape[1]

    def at(self, time: float, half_width: float) -> NDArray[np.float64]:
        """Return each lead's mean over the samples within `half_width` ms of `time`, a sample."""
        reach = round(half_width * self.sampling_rate / 1000)
        centre = min(max(round(time), 0), self.leads.shape[1] - 1)
        return self.leads[:, max(0, centre - reach) : centre + reach + 1].mean(axis=1)

    def area(self, start: float, stop: float) -> NDArray[np.float64]:
        """Return each lead's signed area from one sample to another, in mV·ms; NaN where one was not found."""
        if not np.isfinite(start + stop):
            return np.full(len(self.leads), np.nan)
        return self.leads[:, max(0, int(start)) : int(stop) + 1].sum(axis=1) * 1000 / self.sampling_rate

    def parts(self) -> dict[str, tuple[int, int]]:
        """Return first and last-but-one sample of the parts of the beat; empty where a wave was not found.

        ``t`` begins half-way from the J point to the T peak, where ``st`` ends; ``j`` is 20 ms on either side of J.
        """
        n_samples = self.leads.shape[1]
        onset, j = int(self.points.qrs_onset), int(self.points.qrs_offset)
        near = round(0.02 * self.sampling_rate)
        peak, end = (int(self.points.t_peak), int(self.points.t_offset) + 1) if self.has_t else (j, j)
        middle = (j + peak) // 2
        return {
            "beat": (0, n_samples),
            "qrs": (onset, j + 1),
            "j": (max(0, j - near), min(n_samples, j + near + 1)),
            "st": (j, middle),
            "stt": (j, end),
            "t": (middle, end),
        }


# A pacemaker's pulse of at most 2 ms comes out of a 100 Hz low-pass as bursts of speed this short (half width, s).
_BURST = 0.006
# They are faster than this (mV/s, root mean square over leads), and than half of the fastest in the beat.
_LEAST_SPEED, _LEAST_SHARE = 30.0, 0.5
# They come at least this long before the R peak (s), where a beat of the heart's own has not yet such speed, and
# at most that long before it; two chambers, or the two edges of a pulse that the recorder drew out, follow each
# other within the first of these times as well.
_LEAST_LEAD, _MOST_LEAD = 0.04, 0.2
# The filter's ringing on either side of a spike (s).
_RINGING = 0.006
# Below this rate (Hz) a spike is as wide as the heart's own deflections.
_LEAST_RATE = 200


def can_tell_spikes(sampling_rate: float) -> bool:
    """Return whether a spike differs from the heart's own deflections at this sampling rate.

    Parameters
    ----------
    sampling_rate : float
        In Hz.

    Returns
    -------
    bool
        False below 200 Hz.
    """
    return sampling_rate >= _LEAST_RATE


def remove_pacing_spike(
    leads: NDArray[np.float64], sampling_rate: float, r_index: int
) -> tuple[NDArray[np.float64], int]:
    """Replace a ventricular pacing spike by straight lines.

    What is left of the speed of the leads after a median filter over time are bursts too short to be the
    heart's. Where such a burst comes well before the R peak and the QRS complex has none much faster, it is a
    spike. Spikes too small to be found so are too small to be taken for the QRS complex.

    Parameters
    ----------
    leads : ndarray of shape (n_leads, n_samples)
        Average beat in millivolts, low-pass filtered at about 100 Hz.
    sampling_rate : float
        In Hz.
    r_index : int
        Sample of the R peak.

    Returns
    -------
    leads : ndarray of shape (n_leads, n_samples)
        The beat without the spike; `leads` itself if there is none.
    end : int
        First sample after the spike, before which the QRS complex cannot begin; 0 if there is none.
    """
    first = max(0, r_index - round(_MOST_LEAD * sampling_rate))
    near = leads[:, first : r_index + round(_MOST_LEAD * sampling_rate)]
    if not can_tell_spikes(sampling_rate) or near.shape[1] < 2:
        return leads, 0
    velocity = np.diff(near, axis=1) * sampling_rate
    short = velocity - median_filter(velocity, size=(1, 2 * round(_BURST * sampling_rate) + 1))
    burst = np.sqrt(np.mean(short**2, axis=0))
    found = first + np.flatnonzero(burst > max(_LEAST_SPEED, _LEAST_SHARE * burst.max()))
    apart = round(_LEAST_LEAD * sampling_rate)
    if not found.size or found[0] > r_index - apart:
        return leads, 0
    ringing = round(_RINGING * sampling_rate)
    start = max(0, int(found[0]) - ringing)
    end = min(int(found[found <= found[0] + apart][-1]) + 1 + ringing, r_index)
    cleaned = leads.copy()
    cleaned[:, start : end + 1] = np.linspace(leads[:, start], leads[:, end], end - start + 1, axis=1)
    return cleaned, end
