"""Write the page of performance from measured figures: `python -m benchmarks.performance figures.json docs`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

# Families in the order of the page: what they are, and what holds the rest back.
FAMILIES = {
    "record_speed": (
        "From a record to beat and features",
        "All leads are filtered by one Fourier transform and delineated once, together. What is left is spread over "
        "some dozens of array operations of a few hundred microseconds each; no one of them stands out. The filter "
        "touches each sample many more times than once, so it is bound by arithmetic rather than by memory. Two "
        "processes gain less on an array in memory than on a memory map, as the array has to be handed over.",
    ),
    "net_speed": (
        "The network",
        "Against the same network in a plain PyTorch loop. Channels-last memory and folded batch normalisation are "
        "what ours gains; the convolutions themselves are oneDNN's on both sides. Both reach about what a large "
        "matrix product does in float32, so that little is left to gain but fewer digits: bfloat16, where the "
        "processor has it, or 8-bit integers (`python -m benchmarks precision`). A processor without AVX-512 gains "
        "more in prediction, and has no bfloat16.",
    ),
    "gpu_speed": (
        "The network on a GPU",
        "Data lie on the device from the beginning on both sides.",
    ),
    "precision": (
        "Fewer digits",
        "One network per patient fold, fitted in float32; its out-of-fold probabilities in each precision.",
    ),
    "grid_search": (
        "Grid search",
        "Features belong to a record, not to a fold or a candidate, and are kept by record. Without that, as with "
        "scikit-learn's own cache of whole transforms for the test folds, they are measured anew. What is left is "
        "growing trees and reading small files.",
    ),
    "bootstrap_speed": (
        "Intervals by bootstrap",
        "2,000 resamples of patients over 20,000 records as weights: scores are sorted once, and each resample costs "
        "a cumulative sum. Slope and intercept are regressions, found for all resamples at once by Newton's method.",
    ),
    "file_speed": (
        "Reading files",
        "Beside the bare library, which neither sorts leads, converts units, checks nor derives. MUSE files have none, "
        "and stand beside the parsing of their XML. Philips files are decompressed by their library, in Python.",
    ),
    "simulator_speed": (
        "Simulated ECGs",
        "Beats are sums of bells, drawn for all beats and leads of a record at once.",
    ),
    "scaling": (
        "Growth with the number of records",
        "An exponent of 1 is proportional: twice the records, twice the time. Processor time of one core.",
    ),
    "memory": (
        "Memory",
        "The most that a transformer allocates for 10,000 records in a memory map, beyond the map itself. ECGFilter "
        "gives back as much as it takes, and so needs the memory of its output.",
    ),
    "start_up": ("Start", "Heavy libraries load when they are first used."),
}
_INTRODUCTION = """\
# Performance

Written by `make performance` from what `python -m benchmarks` measured; do not edit by hand. Each figure is the median
over repetitions, with their range. Both sides of a ratio ran in turn in one process. Times are those of one machine
and of no use on another; ratios travel better.

"""


def main() -> None:
    """Write the page and its pictures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.performance", description=__doc__)
    parser.add_argument("figures", type=Path, help="what `python -m benchmarks --json FILE` wrote")
    parser.add_argument("folder", type=Path, help="where performance.md and images/ go")
    args = parser.parse_args()
    found = json.loads(args.figures.read_text())
    (args.folder / "images").mkdir(parents=True, exist_ok=True)
    (args.folder / "performance.md").write_text(_INTRODUCTION + describe(found["machine"]) + write(found, args.folder))


def describe(machine: dict[str, str]) -> str:
    """Return the lines that name the machine."""
    return "".join(f"- {name}: {value}\n" for name, value in machine.items())


def write(found: dict, folder: Path) -> str:
    """Return the sections of all families that were measured; draw their pictures."""
    parts = []
    for family, (title, text) in FAMILIES.items():
        figures = found["figures"].get(family)
        if not figures:
            continue
        parts.append(f"\n## {title}\n\n{text} `python -m benchmarks {family}`\n")
        if draw(figures, title, folder / "images" / f"performance_{family}.svg"):
            parts.append(f"\n![{title}: ratios](images/performance_{family}.svg)\n")
        parts.append("\n| what | median | range | unit | wanted |\n|---|--:|--:|---|---|\n")
        parts += [row(figure) for figure in figures]
    return "".join(parts)


def row(figure: dict) -> str:
    """Return the line of a table."""
    value, low, high = (number(figure[name]) for name in ("value", "low", "high"))
    spread = "" if low == high else f"{low} to {high}"
    return f"| {figure['name']} | {value} | {spread} | {figure['unit']} | {figure['wanted']} |\n"


def number(value: float) -> str:
    """Return a number with three digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def draw(figures: list[dict], title: str, path: Path) -> bool:
    """Draw the ratios of a family, median and range, and return whether there are any."""
    ratios = [figure for figure in figures if figure["unit"].startswith("times")]
    if not ratios:
        return False
    values = [figure["value"] for figure in ratios]
    ranges = [[f["value"] - f["low"] for f in ratios], [f["high"] - f["value"] for f in ratios]]
    # A date and random names in the file would change it at every run.
    with plt.rc_context({"svg.hashsalt": "omi_estimators", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(8, 0.8 + 0.36 * len(ratios)), layout="constrained")
        axes.barh([f["name"] for f in ratios], values, xerr=ranges, color="#0072b2", ecolor="#444444", capsize=2)
        axes.axvline(1, color="black", linewidth=0.8)
        if max(values) > 20:
            axes.set_xscale("log")
        axes.invert_yaxis()
        axes.set_xlabel("times" + (" (logarithmic)" if max(values) > 20 else ""))
        axes.set_title(title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
    return True


if __name__ == "__main__":
    main()
