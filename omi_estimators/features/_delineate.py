"""Delineation: the fiducial points of an average beat, and the beat on which everything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.signal import find_peaks, resample_poly

from omi_estimators.leads import LEADS

# Slower beats (Hz) are sampled more densely first: the shortest time below (s) is then three samples or more.
_LEAST_DENSITY = 400
# Smoothing (SD of a Gaussian, s) before slopes of the QRS complex are looked at, P, and the end of T.
_FINE, _COARSE, _BLUNT = 0.007, 0.010, 0.018
# What differs between the fine and the blunt is sharp: a deflection of the QRS complex has this share of the sharpest
# one's speed, before R and after it, and stands out of the usual speed by this factor. In one lead QRS may be small
# beside P and T, so the share must be larger by the last factor over the number of leads.
_EARLY_SHARE, _LATE_SHARE, _CONTRAST, _FEW_LEADS = 0.09, 0.06, 3.0, 2.0
# The next deflection follows within this time (s), even a late R'; and none lies further from R than that.
_GAP, _REACH = 0.09, 0.14
# A lead is at rest before its QRS complex while slower than this share of its largest speed, or than a slope that is
# hardly seen on paper, 1 mV/s or 20 degrees at 25 mm/s and 10 mm/mV; for this long (s).
_ONSET_SHARE, _SEEN_SLOPE, _QUIET_TIME = 0.02, 1.0, 0.012
# How far (s) before its first sharp deflection the complex may begin, and after it in leads that join later; and how
# far after the last it may end.
_ONSET_REACH, _ONSET_DELAY, _OFFSET_REACH = 0.1, 0.02, 0.1
# After the complex the lead vector is at rest below this share of its largest speed, or this factor of that in ST,
# which lies at these times (s) after the last sharp deflection.
_OFFSET_SHARE, _ST_FACTOR, _ST_TIMES = 0.11, 1.3, (0.06, 0.16)
# A tangent at the steepest point of a flank does not meet the level before or after the wave just where the
# eye sees it end; these factors on its length bring the ends of P to where cardiologists mark them.
_P_ONSET_STRETCH, _P_OFFSET_STRETCH = 1.2, 0.75
# The T wave has ended when the lead vector has lost all but this share of the speed at which T falls; and with the
# second share, also in the leads where it ends late (nine of ten of LUDB's marks lie before it).
_T_END_SHARE, _T_LATEST_SHARE = 0.3, 0.15
# Of several humps in the T window, the last with this share of the most likely one is the T wave.
_T_SHARE = 0.35
# The T wave peaks within this time after R (s): a constant and a share of RR, and never later than the limit.
# A wider window takes the next P wave, or the next beat of an irregular rhythm, for T.
_T_WITHIN, _T_WITHIN_RR, _T_LIMIT = 0.12, 0.42, 0.56
# T usually peaks this long after J at 60 beats/min, and P before QRS (s). A hump as far from there as the third time
# counts half.
_USUAL_T, _USUAL_P, _HALF_AS_LIKELY = 0.24, 0.11, 0.1
# P begins at most this long before QRS, not sooner than the second time after the last T has peaked, unless the last T
# would leave it less than the third (s).
_P_REACH, _P_AFTER_T, _P_ROOM = 0.43, 0.1, 0.16
# Humps of P are looked for against a running mean of this length (s), and have this prominence (mV, root mean square
# over leads). Its direction is that against the leads this long (s) before and after its peak.
_P_BASELINE, _LEAST_P, _P_HALF_WIDTH = 0.2, 0.012, 0.1
# What lasts less than this (s) is no P wave: a pulse that a recorder drew out.
_SHORTEST_P = 0.05
# A stimulated complex begins at least this long (s) after the spike; what moves before is left of the spike.
_LATENCY = 0.015


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


def delineate(
    beat: ArrayLike,
    sampling_rate: float,
    *,
    r_index: int,
    rr: float = 0.8,
    p_wave: bool = True,
    spike: float = -np.inf,
) -> Fiducials:
    """Find the fiducial points of a beat, common to all its leads.

    All leads are taken together: the QRS complex lies where the lead vector moves sharply, P and T are humps
    of its root mean square, and their flanks are followed along the direction that the vector has at their
    peak. So an inverted T wave, which is the sign looked for, is found like an upright one, and one J
    point serves every lead.

    Parameters
    ----------
    beat : array-like of shape (n_leads, n_samples)
        Median beat in millivolts without pacing spikes, PQ level at zero, from at least 0.35 s before the R peak
        (0.5 s, to see P waves of long PR intervals) to 0.6 s after it.
    sampling_rate : float
        Of the beat, in Hz.
    r_index : int
        Sample of the R peak.
    rr : float, default=0.8
        Typical RR interval in seconds, which bounds the search for P and T.
    p_wave : bool, default=True
        Whether there may be a P wave. In atrial fibrillation what looks like one is none.
    spike : float, optional
        Sample of the beat at which a pacemaker's last spike before R stood, which was taken out: the QRS complex begins
        10 ms after it or later.

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
    density = int(np.ceil(_LEAST_DENSITY / sampling_rate)) if leads.shape[1] > 1 else 1
    if density > 1:
        leads = resample_poly(leads, density, 1, axis=1, padtype="line")
    points = _find_points(leads, sampling_rate * density, r_index * density, rr, p_wave, spike * density)
    return points if density == 1 else Fiducials(*(point / density for point in points))


def _find_points(
    leads: NDArray[np.float64], sampling_rate: float, r_index: int, rr: float, p_wave: bool, spike: float
) -> Fiducials:
    """Return the fiducial points of a beat that is sampled densely enough."""
    fine, coarse, blunt = (
        gaussian_filter1d(leads, width * sampling_rate, axis=1, truncate=3) for width in (_FINE, _COARSE, _BLUNT)
    )
    slopes = np.gradient(fine, axis=1) if leads.shape[1] > 1 else np.zeros_like(leads)
    first, last = _find_complex(fine - blunt, sampling_rate, r_index)
    onset = max(_find_onset(slopes, sampling_rate, first, last), spike + _LATENCY * sampling_rate)
    qrs_onset = min(onset, float(r_index))
    qrs_offset = _find_offset(slopes, sampling_rate, first, last)
    t_peak = _find_t_peak(coarse, sampling_rate, r_index, qrs_offset, rr)
    p_points = (np.nan, np.nan, np.nan)
    if p_wave:
        p_points = _find_p(coarse, sampling_rate, qrs_onset, t_peak - rr * sampling_rate)
    next_wave = np.fmin(p_points[0], qrs_onset - 0.02 * sampling_rate) + rr * sampling_rate
    t_ends = _find_t_end(blunt, sampling_rate, t_peak, next_wave)
    return Fiducials(*p_points, qrs_onset, float(r_index), qrs_offset, t_peak, *t_ends)


def _find_complex(sharp: NDArray[np.float64], sampling_rate: float, r_index: int) -> tuple[int, int]:
    """Return where the first and the last sharp deflection of the QRS complex are fastest.

    From R, deflection by deflection, as long as the next is near and sharp enough: so a late R' after a rest belongs to
    the complex, and P and T, which are blunt, do not.
    """
    if sharp.shape[1] < 2:
        return r_index, r_index
    speed = np.linalg.norm(np.gradient(sharp, axis=1), axis=0)
    reach = round(_REACH * sampling_rate)
    start = max(0, r_index - reach)
    near = speed[start : r_index + reach + 1]
    sharpest = (1 + _FEW_LEADS / len(sharp)) * near.max()
    least = max(_LATE_SHARE * sharpest, _CONTRAST * float(np.median(speed)))
    places, shape = find_peaks(np.pad(near, 1), height=least)
    places += start - 1
    places = places[(places > r_index) | (shape["peak_heights"] >= _EARLY_SHARE * sharpest)]
    if not places.size:
        return r_index, r_index
    at = int(np.argmin(np.abs(places - r_index)))
    gaps = np.diff(places) / sampling_rate
    before, after = np.flatnonzero(gaps[:at] > _GAP), np.flatnonzero(gaps[at:] > _GAP)
    first = places[before[-1] + 1] if before.size else places[0]
    last = places[at + after[0]] if after.size else places[-1]
    return min(int(first), r_index), max(int(last), r_index)


def _find_onset(slopes: NDArray[np.float64], sampling_rate: float, first: int, last: int) -> float:
    """Return the onset of the QRS complex: the median over leads of the end of the rest before it in each.

    The median, because cardiologists' marks of one beat differ between leads, and the common point is to lie in
    the middle of them. One vector's onset would be that of whichever lead moves first, or is noisy.
    """
    speed = np.abs(slopes) * sampling_rate
    speed = speed[speed.any(axis=1)]
    if first < 1 or not len(speed):
        return float(first)
    start = max(0, first - round(_ONSET_REACH * sampling_rate))
    fastest = speed[:, first : last + 1].max(axis=1)
    width = round(_QUIET_TIME * sampling_rate)
    before = speed[:, start : first + round(_ONSET_DELAY * sampling_rate) + 1]
    resting = _runs(before < np.maximum(_SEEN_SLOPE, _ONSET_SHARE * fastest)[:, np.newaxis], width)
    if resting.shape[1]:
        last_rest = resting.shape[1] - 1 - np.argmax(resting[:, ::-1], axis=1) + width - 1
        onsets = start + np.where(resting.any(axis=1), last_rest, np.argmin(before, axis=1))
    else:
        onsets = start + np.argmin(before, axis=1)
    return float(np.median(onsets))


def _find_offset(slopes: NDArray[np.float64], sampling_rate: float, first: int, last: int) -> float:
    """Return the offset of the QRS complex: the nearest rest of the lead vector after its last deflection."""
    speed = np.linalg.norm(slopes, axis=0)
    # ST itself moves; a complex has ended when the vector is hardly faster than it is later in ST.
    begin, end = (last + round(time * sampling_rate) for time in _ST_TIMES)
    st_speed = float(np.median(speed[begin:end])) if begin < len(speed) else 0.0
    after = speed[last : last + round(_OFFSET_REACH * sampling_rate) + 1]
    threshold = max(_OFFSET_SHARE * speed[first : last + 1].max(), _ST_FACTOR * st_speed)
    resting = _runs(after < threshold, round(_QUIET_TIME * sampling_rate))
    return float(last + int(np.argmax(resting) if resting.any() else np.argmin(after)))


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
    after_j = (first + humps - qrs_offset) / sampling_rate
    weight = shape["prominences"] * _likelihood(after_j, _USUAL_T * np.cbrt(rr))
    return float(first + humps[np.flatnonzero(weight >= _T_SHARE * weight.max())[-1]])


def _likelihood(times: NDArray[np.float64], usual: float) -> NDArray[np.float64]:
    """Return what humps at these times (s) count against one at the usual time."""
    return 1 / (1 + ((times - usual) / _HALF_AS_LIKELY) ** 2)


def _find_t_end(
    smooth: NDArray[np.float64], sampling_rate: float, t_peak: float, next_wave: float
) -> tuple[float, float]:
    """Return where T ends, and where it has ended in all leads: the lead vector comes to rest, before the next wave."""
    if np.isnan(t_peak):
        return np.nan, np.nan
    peak = int(t_peak)
    end = min(smooth.shape[1] - 1, peak + round(0.24 * sampling_rate))
    end = min(end, max(round(next_wave), peak + round(0.08 * sampling_rate)))
    if end - peak < round(0.02 * sampling_rate):
        return np.nan, np.nan
    speed = np.linalg.norm(np.gradient(smooth[:, peak : end + 1], axis=1), axis=0)[:-1]
    falling = peak + int(np.argmax(speed[: round(0.1 * sampling_rate)]))
    after = speed[falling - peak :]
    # What noise and the U wave move is no part of T.
    rest = np.quantile(after, 0.1)
    ends = (np.flatnonzero(after <= rest + share * (after[0] - rest))[0] for share in (_T_END_SHARE, _T_LATEST_SHARE))
    t_offset, t_latest = (float(falling + end) for end in ends)
    return t_offset, t_latest


def _find_p(
    smooth: NDArray[np.float64], sampling_rate: float, qrs_onset: float, last_t: float
) -> tuple[float, float, float]:
    """Return onset, peak and offset of the P wave: the likeliest hump between the last T (NaN if unknown) and QRS."""
    nothing = (np.nan, np.nan, np.nan)
    # At a fast rate the last T wave reaches into the search; at the fastest P rides on it.
    after_t = min(last_t + _P_AFTER_T * sampling_rate, qrs_onset - _P_ROOM * sampling_rate)
    first = round(np.fmax(max(0.0, qrs_onset - _P_REACH * sampling_rate), after_t))
    last = int(qrs_onset) - round(0.01 * sampling_rate)
    if last - first < round(0.06 * sampling_rate):
        return nothing
    window = smooth[:, first:last]
    local = window - uniform_filter1d(window, round(_P_BASELINE * sampling_rate), axis=1, mode="nearest")
    humps, shape = find_peaks(np.sqrt(np.mean(local**2, axis=0)), prominence=_LEAST_P)
    if not humps.size:
        return nothing
    weight = shape["prominences"] * _likelihood((first + humps - last) / sampling_rate, -_USUAL_P)
    hump = int(humps[np.argmax(weight)])
    reach = round(_P_HALF_WIDTH * sampling_rate)
    ends = window[:, [max(0, hump - reach), min(last - first - 1, hump + reach)]]
    peak = first + hump
    along = _project(smooth, window[:, hump] - ends.mean(axis=1))
    slope = np.gradient(along)
    start = max(0, peak - round(0.1 * sampling_rate))
    rising = start + int(np.argmax(slope[start : peak + 1]))
    falling = peak + int(np.argmin(slope[peak:last]))
    before = along[max(0, rising - round(0.06 * sampling_rate)) : max(1, rising - round(0.03 * sampling_rate))]
    after = along[last - max(1, round(0.01 * sampling_rate)) : last]
    onset = _follow(along, slope, rising, float(np.median(before)), _P_ONSET_STRETCH, 0, peak)
    offset = _follow(along, slope, falling, float(np.median(after)), _P_OFFSET_STRETCH, peak, qrs_onset)
    return (onset, float(peak), offset) if offset - onset >= _SHORTEST_P * sampling_rate else nothing


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


def _runs(quiet: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Return where runs of at least `width` true values start along the last axis, which gets `width` - 1 shorter."""
    if quiet.shape[-1] < width:
        return quiet[..., :0]
    return np.asarray(np.lib.stride_tricks.sliding_window_view(quiet, width, axis=-1).all(axis=-1))


# What is measured of the whole beat begins this long (s) before R; the beat itself may reach further back, to P.
_BEAT_BEFORE = 0.45


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
    atrial_fibrillation : float
        Probability that the atria fibrillate or flutter; NaN for fewer than four beats.
    """

    leads: NDArray[np.float64]
    present: NDArray[np.bool_]
    points: Fiducials
    sampling_rate: float
    rr: float
    atrial_fibrillation: float = np.nan

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

        ``beat`` begins 0.45 s before R; ``t`` begins half-way from the J point to the T peak, where ``st`` ends; ``j``
        is 20 ms on either side of J.
        """
        n_samples = self.leads.shape[1]
        onset, j = int(self.points.qrs_onset), int(self.points.qrs_offset)
        near = round(0.02 * self.sampling_rate)
        peak, end = (int(self.points.t_peak), int(self.points.t_offset) + 1) if self.has_t else (j, j)
        middle = (j + peak) // 2
        return {
            "beat": (max(0, int(self.points.r_peak - _BEAT_BEFORE * self.sampling_rate)), n_samples),
            "qrs": (onset, j + 1),
            "j": (max(0, j - near), min(n_samples, j + near + 1)),
            "st": (j, middle),
            "stt": (j, end),
            "t": (middle, end),
        }
