"""Pictures of a record on ECG paper."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from omi_estimators._paper import (
    COARSE,
    FINE,
    INK,
    LAYOUTS,
    PULSE,
    THREE_BY_FOUR,
    Placed,
    Strip,
    cut_strips,
    draw_pulse,
    name_strip,
    place,
)
from omi_estimators._validation import name_classes
from omi_estimators.displays import get_axes
from omi_estimators.leads import LEADS

Array = NDArray[np.float64]


def new_paper(size: Array, ax: Any = None) -> Any:
    """Return axes in mm with the grid of ECG paper, of true size where they are new."""
    width, height = size
    ax = get_axes(ax, ((width + 4) / 25.4, (height + 10) / 25.4))
    for step, colour, line in ((1, FINE, 0.4), (5, COARSE, 0.6)):
        ax.vlines(np.arange(0, width + 0.5, step), 0, height, colors=colour, linewidth=line, zorder=0)
        ax.hlines(np.arange(0, height + 0.5, step), 0, width, colors=colour, linewidth=line, zorder=0)
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def write_name(ax: Any, place: Placed) -> None:
    """Write the name of a strip above it."""
    text = name_strip(place.strip)
    ax.text(place.x + 0.8, place.top + 0.6, text, fontsize=9, fontweight="bold", color=INK, va="bottom", zorder=5)


def as_record(record: Any, sampling_rate: float | None) -> tuple[Array, float]:
    """Return signal (n_leads, n_samples) and sampling rate of an array, or of an `ECGRecord`.

    Raises
    ------
    ValueError
        If the sampling rate is not given, or contradicts the record; if the signal is not one record.
    """
    signal = np.atleast_2d(np.asarray(getattr(record, "signal", record), dtype=np.float64))
    if signal.ndim != 2 or 0 in signal.shape:
        raise ValueError(
            f"record must have shape (n_leads, n_samples); got {signal.shape}. Of several records give one, X[0]."
        )
    if np.isinf(signal).any():
        raise ValueError("record has infinite values; repair them first.")
    own = getattr(record, "sampling_rate", None)
    if own is not None and sampling_rate is not None and own != sampling_rate:
        raise ValueError(f"The record says {own:g} Hz, but sampling_rate={sampling_rate:g} was given; leave it out.")
    rate = own if sampling_rate is None else sampling_rate
    if rate is None or not rate > 0:
        raise ValueError(f"An array needs its sampling_rate in Hz; got {sampling_rate!r}.")
    return signal, float(rate)


def name_leads(signal: Array, leads: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the leads: those given, those of the 12-lead ECG, or numbers.

    Raises
    ------
    ValueError
        If there are not as many names as leads.
    """
    if leads is None:
        leads = LEADS if len(signal) == len(LEADS) else [f"lead {i + 1}" for i in range(len(signal))]
    if len(leads) != len(signal):
        raise ValueError(f"leads has {len(leads)} names, but the record has {len(signal)} leads.")
    return tuple(leads)


def place_beats(
    leads: Sequence[str], traces: Array, width: float, gap: float
) -> tuple[list[tuple[int, Placed]], Array]:
    """Put a strip for each lead in rows of four: as on paper for the twelve, else one after the other.

    Parameters
    ----------
    leads : sequence of str
        Names of the leads.
    traces : ndarray of shape (n_leads, n_traces, n_samples)
        In mm.
    width, gap : float
        Of a strip and between two, in mm.

    Returns
    -------
    placed : list of (int, Placed)
        Position of a lead, and its strip.
    size : ndarray of shape (2,)
        As in `place`.
    """
    rows: list[Sequence[int]] = [range(start, min(start + 4, len(leads))) for start in range(0, len(leads), 4)]
    if tuple(leads) == LEADS:
        rows = [[LEADS.index(lead) for lead in row] for row in THREE_BY_FOUR]
    placed, size = place([[Strip(leads[i], traces[i], width) for i in row] for row in rows], gap=gap)
    return list(zip(chain(*rows), chain(*placed), strict=True)), size


class RecordDisplay:
    """A picture of one record on ECG paper."""

    def __init__(
        self, record: Any, sampling_rate: float | None, *, leads: Sequence[str] | None = None, title: str = ""
    ) -> None:
        self.record, self.sampling_rate = as_record(record, sampling_rate)
        self.leads = name_leads(self.record, leads)
        self.title = title

    def _spread(self, size: Array, ax: Any) -> None:
        """Lay out paper of this size (mm), on given axes or new ones."""
        self.ax_ = new_paper(size, ax)
        self.figure_ = self.ax_.figure

    def _write(self, scale: str, said: str = "") -> None:
        """Write the scale at the foot of the paper; above it the title, and what is said of the record."""
        self.ax_.text(5, 1.2, scale, fontsize=8, color=INK, va="bottom")
        self.ax_.set_title(f"{self.title}   {said}".strip(), fontsize=10, loc="left")


class ECGDisplay(RecordDisplay):
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
    ) -> Self:
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
        return cls(record, sampling_rate, leads=leads, title=title).plot(
            ax, layout=layout, start=start, duration=duration, paper_speed=paper_speed, gain=gain
        )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        record: Any,
        sampling_rate: float | None = None,
        *,
        target_names: Sequence[str] | None = None,
        title: str = "",
        **kwargs: Any,
    ) -> Self:
        """Draw a record, and say in the title what a classifier makes of it.

        Parameters
        ----------
        estimator : fitted classifier
            Of records as they are, such as `make_net_pipeline` returns.
        record : ECGRecord or array-like of shape (n_leads, n_samples)
            What `read_ecg` returns, or millivolts.
        sampling_rate : float, optional
            In Hz; an `ECGRecord` brings its own.
        target_names : sequence of two str, optional
            What the two classes of a classifier are called; the labels, if they are words, by default.
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
        if len(classes) == 2:
            classes = name_classes(np.asarray(classes), target_names)
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
    ) -> Self:
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
        rows = [cut_strips(row, self.leads, shown, width, gain) for row in self._rows(layout)]
        placed, size = place(rows, left=PULSE)
        self._spread(size, ax)
        for row in placed:
            self.ax_.plot(*draw_pulse(row[0], gain), color=INK, linewidth=0.9)
            for strip in row:
                self.ax_.plot(strip.times, strip.y + strip.strip.traces[0], color=INK, linewidth=0.8, zorder=3)
                write_name(self.ax_, strip)
            for strip in row[1:]:
                # The mark between two leads.
                self.ax_.plot([strip.x, strip.x], [strip.y - 3, strip.y + 3], color=INK, linewidth=0.8, zorder=3)
        self._write(f"{paper_speed:g} mm/s    {gain:g} mm/mV    {self.sampling_rate:g} Hz")
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
