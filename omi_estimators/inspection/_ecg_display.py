"""An ECG as on paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from omi_estimators.inspection._paper import (
    INK,
    LAYOUTS,
    Placed,
    Strip,
    as_record,
    draw_calibration,
    name_leads,
    new_paper,
    on_paper,
    place,
    write_name,
)

# Room for the calibration pulse left of a row (mm).
_PULSE = 9.0


class ECGDisplay:
    """A record on ECG paper: 25 mm/s, 10 mm/mV, true to scale.

    Each lead is drawn about its own median. The columns of a layout follow each other in time, as recorders print them;
    a row of one lead runs through.

    Parameters
    ----------
    record : ndarray of shape (n_leads, n_samples)
        In millivolts; NaN is left out.
    sampling_rate : float
        In Hz.
    leads : sequence of str, optional
        Names of the leads; `LEADS` for twelve.
    title : str, default=""
        Above the paper.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn; its units are mm of paper.
    figure_ : matplotlib Figure
        Its figure.

    See Also
    --------
    BeatDisplay : The beats of a record above each other, and their median.
    FiducialDisplay : The median beat and where its waves begin and end.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> from omi_estimators.inspection import ECGDisplay
    >>> record = make_omi_ecgs(n_patients=4, random_state=0).X[0]
    >>> display = ECGDisplay.from_record(record, 500, layout="6x2", ax=Figure().add_subplot())
    >>> display.ax_.get_aspect()
    1.0
    """

    def __init__(
        self, record: ArrayLike, sampling_rate: float, *, leads: Sequence[str] | None = None, title: str = ""
    ) -> None:
        self.record, self.sampling_rate = as_record(record, sampling_rate)
        self.leads = name_leads(self.record, leads)
        self.title = title

    @classmethod
    def from_record(
        cls,
        record: Any,
        sampling_rate: float | None = None,
        *,
        leads: Sequence[str] | None = None,
        layout: str | Sequence[Sequence[str]] | None = None,
        start: float = 0.0,
        duration: float | None = None,
        paper_speed: float = 25.0,
        gain: float = 10.0,
        title: str = "",
        ax: Any = None,
    ) -> ECGDisplay:
        """Draw a record.

        Parameters
        ----------
        record : ECGRecord or array-like of shape (n_leads, n_samples)
            What `read_ecg` returns, or millivolts.
        sampling_rate : float, optional
            In Hz; an `ECGRecord` brings its own.
        leads : sequence of str, optional
            Names of the leads; `LEADS` for twelve.
        layout, start, duration, paper_speed, gain
            As in `plot`.
        title : str, default=""
            Above the paper.
        ax : matplotlib Axes, optional
            Where to draw; a new figure of true size if None.

        Returns
        -------
        ECGDisplay
            Drawn.

        Raises
        ------
        ValueError
            If the record is not one, its sampling rate is not known, or the layout names leads that it lacks.
        """
        signal, rate = as_record(record, sampling_rate)
        return cls(signal, rate, leads=leads, title=title).plot(
            ax, layout=layout, start=start, duration=duration, paper_speed=paper_speed, gain=gain
        )

    @classmethod
    def from_estimator(
        cls, estimator: Any, record: Any, sampling_rate: float | None = None, *, title: str = "", **kwargs: Any
    ) -> ECGDisplay:
        """Draw a record, and say in the title what a classifier makes of it.

        Parameters
        ----------
        estimator : fitted classifier
            Of records as they are, such as `make_net_pipeline` returns.
        record : ECGRecord or array-like of shape (n_leads, n_samples)
            What `read_ecg` returns, or millivolts.
        sampling_rate : float, optional
            In Hz; an `ECGRecord` brings its own.
        title : str, default=""
            Goes before the probability.
        **kwargs
            As in `from_record`.

        Returns
        -------
        ECGDisplay
            Drawn.
        """
        signal, rate = as_record(record, sampling_rate)
        probabilities = estimator.predict_proba(signal[np.newaxis])[0]
        classes = estimator.classes_
        shown = [1] if len(classes) == 2 else np.argsort(-probabilities)[:3]
        said = ", ".join(f"P({classes[k]}) = {probabilities[k]:.2f}" for k in shown)
        return cls.from_record(signal, rate, title=f"{title}   {said}".strip(), **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        layout: str | Sequence[Sequence[str]] | None = None,
        start: float = 0.0,
        duration: float | None = None,
        paper_speed: float = 25.0,
        gain: float = 10.0,
    ) -> ECGDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure of true size if None.
        layout : {"3x4", "3x4+1", "3x4+3", "6x2", "6x2+1", "12x1", "cabrera"} or sequence of rows, optional
            Rows and columns, and how many rhythm strips; or rows of lead names, in which "-aVR" is aVR upside down.
            None is "3x4+1" for the twelve leads, and one lead a row for others.
        start : float, default=0
            Second at which the paper begins.
        duration : float, optional
            Seconds on the paper: all that there are, at most 10, if None.
        paper_speed : float, default=25
            In mm/s.
        gain : float, default=10
            In mm/mV.

        Returns
        -------
        ECGDisplay
            Itself.

        Raises
        ------
        ValueError
            If the layout names leads that the record lacks, or `start` lies beyond the record.
        """
        first = round(start * self.sampling_rate)
        n_samples = min(
            round((10.0 if duration is None else duration) * self.sampling_rate), self.record.shape[1] - first
        )
        if first < 0 or n_samples < 1:
            length = self.record.shape[1] / self.sampling_rate
            raise ValueError(f"start={start:g} and duration={duration} leave nothing of a record of {length:g} s.")
        shown = self.record[:, first : first + n_samples]
        width = n_samples / self.sampling_rate * paper_speed
        rows = [self._cut(row, shown, width, gain) for row in self._rows(layout)]
        placed, size = place(rows, left=_PULSE)
        self.ax_ = new_paper(size, ax)
        self.figure_ = self.ax_.figure
        for row in placed:
            draw_calibration(self.ax_, row[0].x - _PULSE, row[0].y, gain)
            for strip in row:
                self._draw(strip, last=strip is row[-1])
        scale = f"{paper_speed:g} mm/s    {gain:g} mm/mV    {self.sampling_rate:g} Hz"
        self.ax_.text(5, 1.2, scale, fontsize=8, color=INK, va="bottom")
        self.ax_.set_title(self.title, fontsize=10, loc="left")
        return self

    def _rows(self, layout: str | Sequence[Sequence[str]] | None) -> Sequence[Sequence[str]]:
        """Return the rows of lead names of a layout."""
        if layout is None:
            layout = "3x4+1" if self.leads == name_leads(np.zeros((12, 1)), None) else [[lead] for lead in self.leads]
        if isinstance(layout, str):
            if layout not in LAYOUTS:
                raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, or rows of lead names; got {layout!r}.")
            layout = LAYOUTS[layout]
        absent = sorted({name for row in layout for name in row if name.removeprefix("-") not in self.leads})
        if absent or not len(layout) or not all(len(row) for row in layout):
            raise ValueError(
                f"The layout {[list(row) for row in layout]} names leads that the record lacks: {absent}; it has "
                f"{list(self.leads)}. Give rows of these names, such as [['{self.leads[0]}']]."
            )
        return layout

    def _cut(self, row: Sequence[str], shown: Any, width: float, gain: float) -> list[Strip]:
        """Return the strips of a row: one after the other in time."""
        bounds = np.linspace(0, shown.shape[1], len(row) + 1).round().astype(int)
        strips = []
        for name, begin, end in zip(row, bounds[:-1], bounds[1:], strict=True):
            lead = shown[self.leads.index(name.removeprefix("-"))]
            level = np.nanmedian(lead) if np.isfinite(lead).any() else 0.0
            sign = -1 if name.startswith("-") else 1
            strips.append(Strip(name, on_paper(sign * (lead[begin:end] - level), gain), width / len(row)))
        return strips

    def _draw(self, strip: Placed, last: bool) -> None:
        """Draw one strip, and the mark between it and the next."""
        self.ax_.plot(strip.times, strip.y + strip.strip.traces[0], color=INK, linewidth=0.8, zorder=3)
        write_name(self.ax_, strip)
        if not last:
            end = strip.x + strip.strip.width
            self.ax_.plot([end, end], [strip.y - 3, strip.y + 3], color=INK, linewidth=0.8, zorder=3)
