"""The beats of a record above each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from omi_estimators.displays import COLOURS
from omi_estimators.inspection._paper import (
    INK,
    Strip,
    as_record,
    beat_rows,
    name_leads,
    new_paper,
    on_paper,
    place,
    write_name,
)
from omi_estimators.preprocessing import average_beats, filter_ecg

_PAPER_SPEED, _GAIN, _GAP = 50.0, 10.0, 5.0
_USED, _REJECTED = "#7a7a7a", COLOURS[1]


class BeatDisplay:
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
        record: ArrayLike,
        sampling_rate: float,
        *,
        before: float = 0.3,
        after: float = 0.5,
        leads: Sequence[str] | None = None,
        title: str = "",
    ) -> None:
        self.record, self.sampling_rate = as_record(record, sampling_rate)
        self.before, self.after = before, after
        self.leads = name_leads(self.record, leads)
        self.title = title

    @classmethod
    def from_record(
        cls, record: Any, sampling_rate: float | None = None, *, ax: Any = None, **kwargs: Any
    ) -> BeatDisplay:
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
            `before`, `after`, `leads`, `title`.

        Returns
        -------
        BeatDisplay
            Drawn.

        Raises
        ------
        NoBeatError
            If no beat can be found; it is a ValueError.
        """
        return cls(*as_record(record, sampling_rate), **kwargs).plot(ax)

    @classmethod
    def from_estimator(cls, estimator: Any, record: Any, *, ax: Any = None, **kwargs: Any) -> BeatDisplay:
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
        steps = [step for _, step in getattr(estimator, "steps", [("", estimator)])]
        for step in steps:
            if all(hasattr(step, name) for name in ("sampling_rate", "before", "after")):
                window = {"before": step.before, "after": step.after}
                return cls.from_record(record, step.sampling_rate, ax=ax, **window, **kwargs)
        raise TypeError(f"No MedianBeat in {type(estimator).__name__}; use BeatDisplay.from_record.")

    def plot(self, ax: Any = None) -> BeatDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure of true size if None.

        Returns
        -------
        BeatDisplay
            Itself.
        """
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

        width = (self.before + self.after) * _PAPER_SPEED
        rows = [[Strip(self.leads[i], traces[i], width) for i in row] for row in beat_rows(self.leads)]
        placed, size = place(rows, gap=_GAP)
        self.ax_ = new_paper(size, ax)
        self.figure_ = self.ax_.figure
        for row, indices in zip(placed, beat_rows(self.leads), strict=True):
            for strip, i in zip(row, indices, strict=True):
                for trace, used in zip(strip.strip.traces, average.used, strict=True):
                    style = {"color": _USED, "alpha": 0.5} if used else {"color": _REJECTED, "linestyle": "--"}
                    self.ax_.plot(strip.times, strip.y + trace, linewidth=0.6, zorder=2 if used else 3, **style)
                median = on_paper(average.waveform[i], _GAIN)[0]
                self.ax_.plot(strip.times, strip.y + median, color=INK, linewidth=1.4, zorder=4)
                write_name(self.ax_, strip)
        self.ax_.text(5, 1.2, f"{_PAPER_SPEED:g} mm/s    {_GAIN:g} mm/mV", fontsize=8, color=INK, va="bottom")
        n_out = self.n_beats_ - self.n_used_
        said = f"median of {self.n_used_} of {self.n_beats_} beats" + (f", {n_out} not used (dashed)" if n_out else "")
        self.ax_.set_title(f"{self.title}   {said}".strip(), fontsize=10, loc="left")
        return self
