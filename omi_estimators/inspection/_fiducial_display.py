"""The median beat and where its waves begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
from omi_estimators.inspection._waves import SEGMENTS, find_waves

_PAPER_SPEED, _GAIN, _GAP = 50.0, 10.0, 5.0
_SHADES = dict(zip(SEGMENTS, (COLOURS[2], COLOURS[5], COLOURS[4], COLOURS[3]), strict=True))


class FiducialDisplay:
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

    def __init__(
        self, record: ArrayLike, sampling_rate: float, *, leads: Sequence[str] | None = None, title: str = ""
    ) -> None:
        self.record, self.sampling_rate = as_record(record, sampling_rate)
        self.leads = name_leads(self.record, leads)
        self.title = title

    @classmethod
    def from_record(
        cls, record: Any, sampling_rate: float | None = None, *, ax: Any = None, **kwargs: Any
    ) -> FiducialDisplay:
        """Delineate a record and draw what was found.

        Parameters
        ----------
        record : ECGRecord or array-like of shape (n_leads, n_samples)
            Raw: what `read_ecg` returns, or millivolts.
        sampling_rate : float, optional
            In Hz; an `ECGRecord` brings its own.
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
        NoBeatError
            If no beat can be found; it is a ValueError.
        """
        return cls(*as_record(record, sampling_rate), **kwargs).plot(ax)

    @classmethod
    def from_estimator(cls, estimator: Any, record: Any, *, ax: Any = None, **kwargs: Any) -> FiducialDisplay:
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

    def plot(self, ax: Any = None) -> FiducialDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure of true size if None.

        Returns
        -------
        FiducialDisplay
            Itself.
        """
        waves = find_waves(self.record, self.sampling_rate)
        self.points_ = waves.points
        waveform, segments = waves.beat.waveform, waves.segments()
        scale = _PAPER_SPEED / self.sampling_rate
        traces = on_paper(waveform, _GAIN)
        indices = beat_rows(self.leads)
        rows = [[Strip(self.leads[i], traces[i : i + 1], waveform.shape[1] * scale) for i in row] for row in indices]
        placed, size = place(rows, gap=_GAP)
        self.ax_ = new_paper(size, ax)
        self.figure_ = self.ax_.figure
        for strip in (strip for row in placed for strip in row):
            for name, (begin, end) in segments.items():
                edges = [strip.x + begin * scale, strip.x + end * scale]
                label = name if strip is placed[0][0] else None
                style = {"color": _SHADES[name], "alpha": 0.3, "linewidth": 0, "label": label}
                self.ax_.fill_between(edges, strip.bottom + 0.5, strip.top, **style)
            self.ax_.plot(strip.times, strip.y + strip.strip.traces[0], color=INK, linewidth=1.2, zorder=4)
            write_name(self.ax_, strip)
        self.ax_.text(5, 1.2, f"{_PAPER_SPEED:g} mm/s    {_GAIN:g} mm/mV", fontsize=8, color=INK, va="bottom")
        if segments:
            where = {"loc": "lower right", "bbox_to_anchor": (1, 0), "borderaxespad": 0.1}
            self.ax_.legend(ncols=len(segments), fontsize=8, frameon=False, **where)
        self.ax_.set_title(f"{self.title}   {self._intervals()}".strip(), fontsize=10, loc="left")
        return self

    def _intervals(self) -> str:
        """Return the intervals in words."""
        points = self.points_
        spans = {
            "PR": points.qrs_onset - points.p_onset,
            "QRS": points.qrs_offset - points.qrs_onset,
            "QT": points.t_latest - points.qrs_onset,
        }
        said = {name: f"{1000 * span / self.sampling_rate:.0f} ms" for name, span in spans.items() if span == span}
        return ", ".join(f"{name} {said.get(name, 'not found')}" for name in spans)
