"""Fiducial points against cardiologists' marks on LUDB: ours, and NeuroKit2's on the same filtered records.

A mark counts where at least three leads have it; the reference is the median over leads of their marks,
relative to the R peak, and the median over the beats of a record. Ours is delineated on the median beat of
all leads, NeuroKit2's methods on the root mean square over leads, and their points are the median over beats.
Beside it: which marked waves are found, how far the marks of one wave lie apart from lead to lead, and intervals
against those that a GE MUSE machine wrote into its own files.
"""

from __future__ import annotations

import warnings
from argparse import Namespace
from pathlib import Path

import neurokit2
import numpy as np

from benchmarks._ludb import SAMPLING_RATE, Marks, common_point, find_records, read_marks, read_signal
from benchmarks._muse import read_muse
from omi_estimators.features import feature_names, measure_record
from omi_estimators.features._neurokit_features import delineate_average
from omi_estimators.preprocessing import AverageBeat, average_beats, filter_ecg

# Two standard deviations that cardiologists differ by (CSE; Martínez 2004), in ms; held against one of ours.
TOLERANCES = {"p_onset": 10.2, "p_offset": 12.7, "qrs_onset": 6.5, "qrs_offset": 11.6, "t_offset": 30.6}
NEUROKIT_NAMES = {
    "p_onset": "ECG_P_Onsets",
    "p_offset": "ECG_P_Offsets",
    "qrs_onset": "ECG_R_Onsets",
    "qrs_offset": "ECG_R_Offsets",
    "t_offset": "ECG_T_Offsets",
}
# How far from the marked peak (ms) ours may lie to be the same wave.
SAME = {"qrs": 120, "p": 80, "t": 150}
MS = 1000 / SAMPLING_RATE


def run(data: Namespace) -> None:
    """Print errors, detection, the spread of the marks, and the comparison with a machine, where there is data."""
    if data.ludb is None:
        print("LUDB is needed: give its folder with --ludb DIR")
    else:
        run_ludb(data.ludb)
    if data.vendor is not None:
        run_muse(Path(data.vendor, "muse"))


def run_ludb(folder: str) -> None:
    """Print each method's error of every point: bias, SD, misses; and what is found of the marked waves."""
    stems = find_records(folder)
    errors: dict[str, dict[str, list[float]]] = {}
    spread: dict[str, list[float]] = {name: [] for name in TOLERANCES}
    found = {wave: np.zeros(2, dtype=int) for wave in SAME}
    false_p = np.zeros(2, dtype=int)
    for stem in stems:
        signal = read_signal(stem)
        average = average_beats(filter_ecg(signal, SAMPLING_RATE), SAMPLING_RATE, 0.45, 0.7)
        points = delineate_average(average, SAMPLING_RATE).points._asdict()
        marks = read_marks(stem, average.peaks[average.used])
        ours = {name: points[name] - average.r_index for name in TOLERANCES}
        for name in TOLERANCES:
            of_leads = marks.points[name]
            reference = common_point(of_leads)
            if np.isfinite(reference):
                spread[name] += list(spread_over_leads(of_leads))
            elif name == "p_onset":
                false_p += [np.isfinite(points[name]), 1]
        for method, measured in {"ours": ours, **neurokit(signal, average)}.items():
            of_method = errors.setdefault(method, {name: [] for name in TOLERANCES})
            for name in TOLERANCES:
                reference = common_point(marks.points[name])
                if np.isfinite(reference):
                    of_method[name].append((measured[name] - reference) * MS)
        for wave, counts in count_found(marks, average, points).items():
            found[wave] += counts
    print(f"{len(stems)} records of LUDB; bias ± SD in ms (missed of marked); the tolerance is for the SD")
    for name, tolerance in TOLERANCES.items():
        shown = "; ".join(f"{method} {describe(of_method[name])}" for method, of_method in errors.items())
        print(f"  {name:10} tolerance {tolerance:4.1f}; {shown}")
    print("ours without the weight of outliers: median [quartiles]; random halves of the records: range of the SD")
    for name in TOLERANCES:
        print(f"  {name:10} {describe_robustly(errors['ours'][name])}; {describe_halves(errors['ours'][name])}")
    print("marks of one wave in different leads, SD about their median; 10th and 90th percentile")
    for name in TOLERANCES:
        low, high = np.percentile(spread[name], [10, 90])
        print(f"  {name:10} {np.std(spread[name]):.1f} ms; {low:+.0f} and {high:+.0f} ms")
    print(f"records without a marked P wave in which ours finds one: {false_p[0]} of {false_p[1]}")
    print("waves marked in at least three leads that ours finds")
    for wave, (hits, marked) in found.items():
        print(f"  {wave:3} {hits} of {marked} ({hits / marked:.2%})")


def spread_over_leads(of_leads: np.ndarray) -> np.ndarray:
    """Return how far marks lie from the median over leads of their beat, in ms."""
    marked = of_leads[np.isfinite(of_leads).sum(axis=1) >= 3]
    away = (marked - np.nanmedian(marked, axis=1, keepdims=True)) * MS
    return away[np.isfinite(away)]


def count_found(marks: Marks, average: AverageBeat, points: dict[str, float]) -> dict[str, np.ndarray]:
    """Return of each wave how many of the marked ones ours finds, and how many are marked.

    The R peaks are those of the record; P and T lie where the median beat has them, before and after each.
    """
    counts = {}
    for wave, point in (("qrs", "r_peak"), ("p", "p_peak"), ("t", "t_peak")):
        places = average.peaks + points[point] - average.r_index
        marked = marks.waves[wave]
        away = np.abs(marked[:, np.newaxis] - places).min(axis=1, initial=np.inf) if len(marked) else np.empty(0)
        counts[wave] = np.array([np.count_nonzero(away * MS <= SAME[wave]), len(marked)])
    return counts


def neurokit(signal: np.ndarray, average: AverageBeat) -> dict[str, dict[str, float]]:
    """Return the points of NeuroKit2's delineators relative to R, in samples; NaN where none is found."""
    rms = np.sqrt(np.mean(filter_ecg(signal, SAMPLING_RATE) ** 2, axis=0))
    points = {}
    for method in ("prominence", "dwt"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = neurokit2.ecg_delineate(rms, average.peaks, SAMPLING_RATE, method=method)[1]
                points[f"NeuroKit2 {method}"] = {
                    name: float(np.nanmedian(np.asarray(found[key], dtype=float) - average.peaks))
                    for name, key in NEUROKIT_NAMES.items()
                }
        except (ValueError, IndexError, TypeError, ZeroDivisionError):
            # What NeuroKit2 raises where it finds nothing: a miss.
            points[f"NeuroKit2 {method}"] = dict.fromkeys(TOLERANCES, np.nan)
    return points


def describe(errors: list[float]) -> str:
    """Return bias, SD and misses as text."""
    found = np.array(errors)[np.isfinite(errors)]
    return f"{found.mean():+.1f} ± {found.std():.1f} ({len(errors) - len(found)} of {len(errors)})"


def describe_robustly(errors: list[float]) -> str:
    """Return median and quartiles as text."""
    low, middle, high = np.nanpercentile(errors, [25, 50, 75])
    return f"{middle:+.1f} [{low:+.1f}, {high:+.1f}]"


def describe_halves(errors: list[float]) -> str:
    """Return between which values the SD lies in nineteen of twenty random halves of the records."""
    found = np.array(errors)[np.isfinite(errors)]
    rng = np.random.default_rng(0)
    deviations = [rng.permutation(found)[: len(found) // 2].std() for _ in range(1000)]
    low, high = np.percentile(deviations, [2.5, 97.5])
    return f"{low:.1f} to {high:.1f}"


def run_muse(folder: Path) -> None:
    """Print our intervals beside those that the machine wrote into its files."""
    print("MUSE files, ours and the machine's: heart rate in 1/min, intervals in ms")
    columns = {"heart_rate": "heart_rate", "pr": "pr_interval", "qrs": "qrs_duration", "qt": "qt_interval"}
    for path in sorted(folder.glob("*.xml")):
        signal, sampling_rate, machine = read_muse(path)
        row = dict(zip(feature_names(len(signal)), measure_record(signal, sampling_rate), strict=True))
        shown = [f"{name} {row[column]:.0f} and {machine[name]:.0f}" for name, column in columns.items()]
        print(f"  {path.stem}: {', '.join(shown)}")
