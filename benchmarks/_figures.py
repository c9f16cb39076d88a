"""Figures that measurements give, for the table of all and the page written from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes
    ----------
    name : str
        What was measured.
    unit : str
        "times" for a ratio, else "ms", "s", "MiB", "GFLOP/s" and the like.
    value, low, high : float
        Median and range over repetitions.
    wanted : str
        What it should be, such as ">= 40"; empty where nothing was promised.
    """

    name: str
    unit: str
    value: float
    low: float
    high: float
    wanted: str = ""

    def __str__(self) -> str:
        spread = "" if self.low == self.high else f" [{self.low:.3g}, {self.high:.3g}]"
        wanted = f" (wanted {self.wanted})" if self.wanted else ""
        return f"{self.name}: {self.value:.3g}{spread} {self.unit}{wanted}"


def make_figure(name: str, unit: str, values: Sequence[float], wanted: str = "") -> Figure:
    """Return a figure from repetitions, and print it."""
    figure = Figure(name, unit, float(np.median(values)), float(np.min(values)), float(np.max(values)), wanted)
    print(f"  {figure}", flush=True)
    return figure
