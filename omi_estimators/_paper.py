"""ECG paper, in millimetres on the grid that readers know: strips of leads in rows, and a record on it as SVG.

Needs nothing but NumPy, so that every room may use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omi_estimators.leads import LEADS

Array = NDArray[np.float64]

INK, FINE, COARSE = "#000000", "#f6dcd6", "#e8b0a5"
# Room for the name above a strip, and the largest reach of a trace (mm): a pen stops at the edge of its paper.
_NAME, _REACH = 5.0, 40.0
_MARGIN, _LEAST = 5.0, 6.0
# Room for the calibration pulse left of a row (mm).
PULSE = 9.0

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
        return self.x + np.arange(n_samples) * (self.strip.width / max(1, n_samples))


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


def cut_strips(names: Sequence[str], leads: Sequence[str], record: Array, width: float, gain: float) -> list[Strip]:
    """Return the strips of a row, one after the other in time, each about the median of its own lead.

    Parameters
    ----------
    names : sequence of str
        Of `leads`; with a hyphen before it, upside down.
    leads : sequence of str
        Names of the leads of the record.
    record : ndarray of shape (n_leads, n_samples)
        In millivolts.
    width : float
        Of the row, in mm.
    gain : float
        In mm/mV.

    Returns
    -------
    list of Strip
        In the same order.
    """
    bounds = np.linspace(0, record.shape[1], len(names) + 1).round().astype(int)
    strips = []
    for name, begin, end in zip(names, bounds[:-1], bounds[1:], strict=True):
        lead = record[list(leads).index(name.removeprefix("-"))]
        level = np.nanmedian(lead) if np.isfinite(lead).any() else 0.0
        sign = -1 if name.startswith("-") else 1
        strips.append(Strip(name, on_paper(sign * (lead[begin:end] - level), gain), width / len(names)))
    return strips


def name_strip(strip: Strip) -> str:
    """Return what is written above a strip: its name, and that it holds nothing if so."""
    return strip.name if np.isfinite(strip.traces).any() else f"{strip.name} (missing)"


def draw_pulse(strip: Placed, gain: float) -> tuple[Array, Array]:
    """Return the calibration pulse left of a row: 1 mV, 5 mm wide."""
    return strip.x - PULSE + np.array([0.0, 1, 1, 6, 6, 7]), strip.y + gain * np.array([0.0, 0, 1, 1, 0, 0])


def draw_svg(record: Array, sampling_rate: float) -> str:
    """Return the first ten seconds of a 12-lead record on paper, 25 mm/s and 10 mm/mV, as an SVG element.

    Parameters
    ----------
    record : ndarray of shape (12, n_samples)
        In millivolts; NaN is left out.
    sampling_rate : float
        In Hz.

    Returns
    -------
    str
        With colours of its own, black on white paper.
    """
    shown = record[:, : max(1, round(10 * sampling_rate))]
    rows = [cut_strips(row, LEADS, shown, shown.shape[1] / sampling_rate * 25.0, 10.0) for row in LAYOUTS["3x4+1"]]
    placed, (width, height) = place(rows, left=PULSE)
    parts = []
    for step, colour in ((1, FINE), (5, COARSE)):
        lines = [f"M{x} 0V{height:g}" for x in range(0, int(width) + 1, step)]
        lines += [f"M0 {y}H{width:g}" for y in range(0, int(height) + 1, step)]
        parts.append(f'<path d="{"".join(lines)}" stroke="{colour}" stroke-width="{0.08 * (1 + (step > 1)):g}"/>')
    lines, names = [], []
    for row in placed:
        lines.append(_to_path(*draw_pulse(row[0], 10.0), height))
        # The mark between two leads.
        lines += [f"M{strip.x:.2f} {height - strip.y - 3:.2f}v6" for strip in row[1:]]
        for strip in row:
            lines.append(_to_path(*_thin_out(strip), height))
            name = name_strip(strip.strip)
            names.append(f'<text x="{strip.x + 0.8:.1f}" y="{height - strip.top - 0.6:.1f}">{name}</text>')
    scale = f"25 mm/s, 10 mm/mV, {sampling_rate:g} Hz"
    names.append(f'<text x="5" y="{height - 1.2:.1f}">{scale}</text>')
    parts.append(f'<path d="{"".join(lines)}" stroke="{INK}" stroke-width="0.25" stroke-linejoin="round"/>')
    parts.append(f'<g fill="{INK}" font-family="sans-serif" font-size="3">{"".join(names)}</g>')
    size = f'viewBox="0 0 {width:g} {height:g}" width="{3.6 * width:g}"'
    style = "max-width: 100%; height: auto; background: #fff"
    return f'<svg {size} style="{style}" fill="none" role="img" aria-label="ECG, {scale}">{"".join(parts)}</svg>'


def _thin_out(strip: Placed) -> tuple[Array, Array]:
    """Return the lowest and the highest point of each quarter of a millimetre, in the order of time."""
    y = strip.y + strip.strip.traces[0]
    size = max(1, int(len(y) / max(1.0, 4 * strip.strip.width)))
    starts = np.arange(0, len(y), size)
    low, high = np.where(np.isnan(y), np.inf, y), np.where(np.isnan(y), -np.inf, y)
    at = {start + int(part[start : start + size].argmin()) for part in (low, -high) for start in starts}
    kept = np.array(sorted(at), dtype=int)
    return strip.times[kept], y[kept]


def _to_path(x: Array, y: Array, height: float) -> str:
    """Return a line as the path of an SVG, whose zero is the upper corner, broken at NaN."""
    known = np.isfinite(y)
    begins = known & ~np.concatenate([[False], known[:-1]])
    points = zip(x[known], height - y[known], begins[known], strict=True)
    return "".join(f"{'M' if begin else 'L'}{across:.2f} {down:.2f}" for across, down, begin in points)
