"""The beats of a record: their average, where P, QRS, ST and T lie in it, and pictures of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from omi_estimators._paper import INK, Placed, on_paper
from omi_estimators.displays import COLOURS
from omi_estimators.features import AFTER_R, BEFORE_R, Fiducials, delineate_average
from omi_estimators.inspection._paper import RecordDisplay, place_beats, write_name
from omi_estimators.preprocessing import AverageBeat, average_beats, fill_gaps, filter_ecg, remove_pacing_spikes

Array = NDArray[np.float64]

SEGMENTS = ("P", "QRS", "ST", "T")
"""The segments of a beat. ST, which has no end of its own, runs from J half-way to the T peak; T goes on from there."""

# Of the pictures: mm/s, mm/mV, mm between two leads.
_PAPER_SPEED, _GAIN, _GAP = 50.0, 10.0, 5.0
_USED, _REJECTED = "#7a7a7a", COLOURS[1]
_SHADES = dict(zip(SEGMENTS, (COLOURS[2], COLOURS[5], COLOURS[4], COLOURS[3]), strict=True))


class Waves(NamedTuple):
    """A record's average beat and its fiducial points.

    Attributes
    ----------
    filtered : ndarray of shape (n_leads, n_samples)
        The record, filtered, in mV.
    beat : AverageBeat
        Its average beat, and where the beats lie in the record.
    points : Fiducials
        Of the average beat, in its samples.
    """

    filtered: Array
    beat: AverageBeat
    points: Fiducials

    def segments(self) -> dict[str, tuple[int, int]]:
        """Return first sample and end of each segment of the beat; those that were not found are left out."""
        points, last = self.points, self.beat.waveform.shape[1]
        st_end = (points.qrs_offset + points.t_peak) / 2
        ends = {
            "P": (points.p_onset, points.p_offset),
            "QRS": (points.qrs_onset, points.qrs_offset),
            "ST": (points.qrs_offset, st_end),
            "T": (st_end, points.t_offset),
        }
        found = {name: (round(a), round(b)) for name, (a, b) in ends.items() if np.isfinite(a) and np.isfinite(b)}
        return {name: (max(0, a), min(last, b)) for name, (a, b) in found.items() if min(last, b) - max(0, a) > 1}


def find_waves(record: Any, sampling_rate: float) -> Waves:
    """Return the waves of one raw record, as the features have them.

    Raises
    ------
    NoBeatError
        If no beat can be found.
    """
    cleaned, spikes = remove_pacing_spikes(np.asarray(record, dtype=np.float64), sampling_rate)
    filtered = filter_ecg(cleaned, sampling_rate)
    beat = average_beats(filtered, sampling_rate, BEFORE_R, AFTER_R)
    points = delineate_average(beat, sampling_rate, fill_gaps(filtered)[0], spikes).points
    return Waves(filtered, beat, points)


class _BeatsDisplay(RecordDisplay):
    """A picture of a record's beats at 50 mm/s and 10 mm/mV."""

    @classmethod
    def from_record(cls, record: Any, sampling_rate: float | None = None, *, ax: Any = None, **kwargs: Any) -> Self:
        """Find the beats of a record and draw them.

        Parameters
        ----------
        record : ECGRecord or array-like of shape (n_leads, n_samples)
            Raw: what `read_ecg` returns, or millivolts.
        sampling_rate : float, optional
            In Hz; an `ECGRecord` brings its own.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        **kwargs
            `leads`, `title`, and what else the class takes.

        Returns
        -------
        display
            Drawn.

        Raises
        ------
        NoBeatError
            If no beat can be found; it is a ValueError.
        """
        return cls(record, sampling_rate, **kwargs).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure of true size if None.

        Returns
        -------
        display
            Itself.
        """
        said = self._draw(ax)
        self._write(f"{_PAPER_SPEED:g} mm/s    {_GAIN:g} mm/mV", said)
        return self

    def _draw(self, ax: Any) -> str:
        """Draw, and return what is said of it."""
        raise NotImplementedError

    def _place(self, traces: Array, width: float, ax: Any) -> list[tuple[int, Placed]]:
        """Lay out paper, and return where each lead's traces, of shape (n_leads, n_traces, n_samples) in mm, lie."""
        placed, size = place_beats(self.leads, traces, width, _GAP)
        self._spread(size, ax)
        return placed


class BeatDisplay(_BeatsDisplay):
    """The beats of a record above each other, the median that stands for them, and the beats that were rejected.

    Drawn at 50 mm/s and 10 mm/mV.

    Parameters
    ----------
    record : ndarray of shape (n_leads, n_samples)
        Raw, in millivolts.
    sampling_rate : float
        In Hz.
    before, after : float, default=0.3 and 0.5
        Length of the beat before and after the R peak, in seconds.
    leads : sequence of str, optional
        Names of the leads; `LEADS` for twelve.
    title : str, default=""
        Goes before the number of beats.

    Attributes
    ----------
    n_beats_, n_used_ : int
        Beats found, and those that the median was taken of.
    ax_ : matplotlib Axes
        Where it was drawn; its units are mm of paper.
    figure_ : matplotlib Figure
        Its figure.

    See Also
    --------
    MedianBeat : The transformer whose work this shows.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> from omi_estimators.inspection import BeatDisplay
    >>> record = make_omi_ecgs(n_patients=4, random_state=0).X[0]
    >>> display = BeatDisplay.from_record(record, 500, ax=Figure().add_subplot())
    >>> display.n_used_ <= display.n_beats_
    True
    """

    def __init__(
        self,
        record: Any,
        sampling_rate: float | None,
        *,
        before: float = 0.3,
        after: float = 0.5,
        leads: Sequence[str] | None = None,
        title: str = "",
    ) -> None:
        super().__init__(record, sampling_rate, leads=leads, title=title)
        self.before, self.after = before, after

    @classmethod
    def from_estimator(cls, estimator: Any, record: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the beats that a `MedianBeat`, alone or in a pipeline, finds in a record.

        Parameters
        ----------
        estimator : MedianBeat or Pipeline
            Its sampling rate and window are used.
        record : ECGRecord or array-like of shape (n_leads, n_samples)
            Raw.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        **kwargs
            `leads`, `title`.

        Returns
        -------
        BeatDisplay
            Drawn.

        Raises
        ------
        TypeError
            If there is no `MedianBeat`.
        """
        for _, step in getattr(estimator, "steps", [("", estimator)]):
            if all(hasattr(step, name) for name in ("sampling_rate", "before", "after")):
                window = {"before": step.before, "after": step.after}
                return cls.from_record(record, step.sampling_rate, ax=ax, **window, **kwargs)
        raise TypeError(f"No MedianBeat in {type(estimator).__name__}; use BeatDisplay.from_record.")

    def _draw(self, ax: Any) -> str:
        """Draw every beat and their median."""
        rate = self.sampling_rate
        filtered = filter_ecg(self.record, rate)
        average = average_beats(filtered, rate, self.before, self.after)
        window = np.arange(-average.r_index, average.waveform.shape[1] - average.r_index)
        samples = average.peaks[:, np.newaxis] + window
        beats = filtered[:, np.clip(samples, 0, filtered.shape[1] - 1)]
        beats = np.where((samples >= 0) & (samples < filtered.shape[1]), beats, np.nan)
        level = np.nanmedian(beats - average.waveform[:, np.newaxis], axis=2, keepdims=True)
        traces = on_paper((beats - level).reshape(len(filtered), -1), _GAIN).reshape(beats.shape)
        self.n_beats_, self.n_used_ = len(average.used), int(average.used.sum())
        for i, strip in self._place(traces, (self.before + self.after) * _PAPER_SPEED, ax):
            for trace, used in zip(strip.strip.traces, average.used, strict=True):
                style = {"color": _USED, "alpha": 0.5} if used else {"color": _REJECTED, "linestyle": "--"}
                self.ax_.plot(strip.times, strip.y + trace, linewidth=0.6, zorder=2 if used else 3, **style)
            median = on_paper(average.waveform[i], _GAIN)[0]
            self.ax_.plot(strip.times, strip.y + median, color=INK, linewidth=1.4, zorder=4)
            write_name(self.ax_, strip)
        n_out = self.n_beats_ - self.n_used_
        return f"median of {self.n_used_} of {self.n_beats_} beats" + (f", {n_out} not used (dashed)" if n_out else "")


class FiducialDisplay(_BeatsDisplay):
    """The median beat of a record in every lead, with P, QRS, ST and T as they are measured, common to all leads.

    ST is drawn from J half-way to the T peak, where the features measure it. Drawn at 50 mm/s and 10 mm/mV.

    Parameters
    ----------
    record : ndarray of shape (n_leads, n_samples)
        Raw, in millivolts.
    sampling_rate : float
        In Hz.
    leads : sequence of str, optional
        Names of the leads; `LEADS` for twelve.
    title : str, default=""
        Goes before the intervals.

    Attributes
    ----------
    points_ : Fiducials
        In samples of the beat, which begins 0.45 s before R.
    ax_ : matplotlib Axes
        Where it was drawn; its units are mm of paper.
    figure_ : matplotlib Figure
        Its figure.

    See Also
    --------
    delineate : What finds the points.
    NeuroKitFeatures : The transformer that measures between them.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> from omi_estimators.inspection import FiducialDisplay
    >>> record = make_omi_ecgs(n_patients=4, random_state=0).X[0]
    >>> points = FiducialDisplay.from_record(record, 500, ax=Figure().add_subplot()).points_
    >>> bool(points.qrs_onset < points.r_peak < points.qrs_offset < points.t_peak)
    True
    """

    @classmethod
    def from_estimator(cls, estimator: Any, record: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw what a `NeuroKitFeatures`, alone or in a pipeline, finds in a record.

        Parameters
        ----------
        estimator : NeuroKitFeatures or Pipeline
            Its sampling rate is used.
        record : ECGRecord or array-like of shape (n_leads, n_samples)
            Raw.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        **kwargs
            `leads`, `title`.

        Returns
        -------
        FiducialDisplay
            Drawn.

        Raises
        ------
        TypeError
            If no step knows a sampling rate.
        """
        for _, step in getattr(estimator, "steps", [("", estimator)]):
            if hasattr(step, "sampling_rate"):
                return cls.from_record(record, step.sampling_rate, ax=ax, **kwargs)
        raise TypeError(f"{type(estimator).__name__} has no sampling_rate; use FiducialDisplay.from_record.")

    def _draw(self, ax: Any) -> str:
        """Draw the average beat and shade its waves."""
        waves = find_waves(self.record, self.sampling_rate)
        self.points_ = waves.points
        waveform, segments = waves.beat.waveform, waves.segments()
        scale = _PAPER_SPEED / self.sampling_rate
        traces = on_paper(waveform, _GAIN)[:, np.newaxis]
        for i, strip in self._place(traces, waveform.shape[1] * scale, ax):
            for name, (begin, end) in segments.items():
                edges = [strip.x + begin * scale, strip.x + end * scale]
                style = {"color": _SHADES[name], "alpha": 0.3, "linewidth": 0, "label": name if i == 0 else None}
                self.ax_.fill_between(edges, strip.bottom + 0.5, strip.top, **style)
            self.ax_.plot(strip.times, strip.y + strip.strip.traces[0], color=INK, linewidth=1.2, zorder=4)
            write_name(self.ax_, strip)
        if segments:
            where = {"loc": "lower right", "bbox_to_anchor": (1, 0), "borderaxespad": 0.1}
            self.ax_.legend(ncols=len(segments), fontsize=8, frameon=False, **where)
        points = self.points_
        spans = {
            "PR": points.qrs_onset - points.p_onset,
            "QRS": points.qrs_offset - points.qrs_onset,
            "QT": points.t_latest - points.qrs_onset,
        }
        said = {name: f"{1000 * span / self.sampling_rate:.0f} ms" for name, span in spans.items() if span == span}
        return ", ".join(f"{name} {said.get(name, 'not found')}" for name in spans)
