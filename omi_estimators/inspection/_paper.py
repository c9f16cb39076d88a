"""ECG paper: strips of leads in rows, in millimetres, on the grid that readers know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators.displays import get_axes
from omi_estimators.leads import LEADS

Array = NDArray[np.float64]

INK, FINE, COARSE = "#000000", "#f6dcd6", "#e8b0a5"
# Room for the name above a strip, and the largest reach of a trace (mm): a pen stops at the edge of its paper.
_NAME, _REACH = 5.0, 40.0
_MARGIN, _LEAST = 5.0, 6.0

THREE_BY_FOUR = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
_SIX_BY_TWO = tuple((LEADS[i], LEADS[i + 6]) for i in range(6))
LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "3x4": THREE_BY_FOUR,
    "3x4+1": (*THREE_BY_FOUR, ("II",)),
    "3x4+3": (*THREE_BY_FOUR, ("V1",), ("II",), ("V5",)),
    "6x2": _SIX_BY_TWO,
    "6x2+1": (*_SIX_BY_TWO, ("II",)),
    "12x1": tuple((lead,) for lead in LEADS),
    "cabrera": (("aVL", "V1"), ("I", "V2"), ("-aVR", "V3"), ("II", "V4"), ("aVF", "V5"), ("III", "V6")),
}


class Strip(NamedTuple):
    """A piece of a lead on paper.

    Attributes
    ----------
    name : str
        Written above it.
    traces : ndarray of shape (n_traces, n_samples)
        In mm; NaN where nothing was recorded.
    width : float
        In mm.
    """

    name: str
    traces: Array
    width: float


class Placed(NamedTuple):
    """A strip and where it lies: its left end, zero line, top and bottom, in mm."""

    strip: Strip
    x: float
    y: float
    top: float
    bottom: float

    @property
    def times(self) -> Array:
        """Places of the samples, in mm."""
        n_samples = self.strip.traces.shape[1]
        return self.x + np.arange(n_samples) * (self.strip.width / n_samples)


def on_paper(signals: ArrayLike, gain: float) -> Array:
    """Return signals (mV) in mm, no further from zero than the paper reaches."""
    return np.clip(np.atleast_2d(np.asarray(signals, dtype=np.float64)) * gain, -_REACH, _REACH)


def place(rows: Sequence[Sequence[Strip]], *, left: float = 0.0, gap: float = 0.0) -> tuple[list[list[Placed]], Array]:
    """Put rows of strips under each other so that no trace reaches into another row.

    Parameters
    ----------
    rows : sequence of sequences of Strip
        From the top.
    left : float, default=0
        Room left of every row, in mm.
    gap : float, default=0
        Between the strips of a row, in mm.

    Returns
    -------
    placed : list of lists of Placed
        In the same order.
    size : ndarray of shape (2,)
        Width and height in mm, whole large squares; zero is the lower left corner.
    """
    reach = [_reach(row) for row in rows]
    heights = [_NAME + up + down for up, down in reach]
    total = 5 * np.ceil((sum(heights) + 2 * _MARGIN) / 5)
    top, placed = total - _MARGIN, []
    for row, (up, _), height in zip(rows, reach, heights, strict=True):
        x, laid = _MARGIN + left, []
        for strip in row:
            laid.append(Placed(strip, x, top - _NAME - up, top - _NAME, top - height))
            x += strip.width + gap
        placed.append(laid)
        top -= height
    width = max(row[-1].x + row[-1].strip.width for row in placed) + _MARGIN
    return placed, np.array([5 * np.ceil(width / 5), total])


def _reach(row: Sequence[Strip]) -> tuple[float, float]:
    """Return how far the traces of a row reach above and below zero, in mm."""
    values = np.concatenate([strip.traces.ravel() for strip in row])
    values = values[np.isfinite(values)]
    if not values.size:
        return _LEAST, _LEAST
    return max(_LEAST, float(values.max()) + 1), max(_LEAST, 1 - float(values.min()))


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
    """Write the name of a strip above it, and that it holds nothing if so."""
    empty = not np.isfinite(place.strip.traces).any()
    text = f"{place.strip.name} (missing)" if empty else place.strip.name
    ax.text(place.x + 0.8, place.top + 0.6, text, fontsize=9, fontweight="bold", color=INK, va="bottom", zorder=5)


def draw_calibration(ax: Any, x: float, y: float, gain: float) -> None:
    """Draw the pulse of 1 mV, 5 mm wide."""
    ax.plot([x, x + 1, x + 1, x + 6, x + 6, x + 7], np.array([0, 0, 1, 1, 0, 0]) * gain + y, color=INK, linewidth=0.9)


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


def beat_rows(leads: Sequence[str]) -> list[list[int]]:
    """Return the positions of leads in rows of four: as on paper for the twelve, else one after the other."""
    if tuple(leads) == LEADS:
        return [[LEADS.index(lead) for lead in row] for row in THREE_BY_FOUR]
    return [list(range(start, min(start + 4, len(leads)))) for start in range(0, len(leads), 4)]
