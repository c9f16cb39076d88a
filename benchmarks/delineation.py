"""Fiducial points against cardiologists' marks on LUDB, ours and other delineators', and of simulated sick hearts.

A mark counts where at least three leads have it; the reference is the median over leads of their marks, relative to the
R peak, and the median over the beats of a record. All delineators get the same record, freed of pacing spikes and
filtered, and the same R peaks. Ours is delineated on the median beat of all leads, NeuroKit2's methods on the root mean
square over leads, others (``--peers``) lead by lead; their points are the median over beats, and over leads. A wave is
found where a method's point, so placed in each beat, lies near the marked one; a P wave is invented where a record has
none marked. Intervals are from a bootstrap of patients, of which each has one record. Beside it: how far the marks of
one wave lie apart from lead to lead, and intervals against those that a GE MUSE machine wrote into its own files.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import warnings
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import neurokit2
import numpy as np

from benchmarks._ludb import SAMPLING_RATE, Marks, common_point, find_records, read_classes, read_marks, read_signal
from benchmarks._muse import read_muse
from benchmarks._sick_hearts import KINDS, make_hearts, truth_about_r
from omi_estimators.features import feature_names, measure_record
from omi_estimators.features._neurokit_features import delineate_average
from omi_estimators.preprocessing import AverageBeat, NoBeatError, average_beats, filter_ecg, remove_pacing_spikes

# Two standard deviations that cardiologists differ by (CSE; Martínez 2004), in ms; held against one of ours.
TOLERANCES = {"p_onset": 10.2, "p_offset": 12.7, "qrs_onset": 6.5, "qrs_offset": 11.6, "t_offset": 30.6}
NEUROKIT_NAMES = {
    "p_onset": "ECG_P_Onsets",
    "p_peak": "ECG_P_Peaks",
    "p_offset": "ECG_P_Offsets",
    "qrs_onset": "ECG_R_Onsets",
    "qrs_offset": "ECG_R_Offsets",
    "t_peak": "ECG_T_Peaks",
    "t_offset": "ECG_T_Offsets",
}
# A point that this many leads have, in one-lead delineators.
LEAST_LEADS = 3
# How far from the marked peak (ms) a wave may lie to be the same, and the point that places it.
SAME = {"qrs": (120, "r_peak"), "p": (80, "p_peak"), "t": (150, "t_peak")}
# Points belong to a beat within these times (s) of its R peak, before it and after it.
FARTHEST = {-1: 0.45, 1: 0.7}
MS = 1000 / SAMPLING_RATE
N_RESAMPLES, N_HEARTS = 1000, 40
# The simulator's names of the points.
SIMULATED = {"p_onset": "p_onset", "qrs_onset": "qrs_onset", "qrs_offset": "j_point", "t_offset": "t_offset"}


@dataclass
class Score:
    """What one delineator reaches in a record.

    Attributes
    ----------
    errors : dict of str to float
        In ms, of the marked points; NaN where not found.
    found : dict of str to ndarray
        Of each wave how many marked ones are found, and how many are marked.
    invented : bool or None
        Whether there is a P wave where none is marked; None where one is.
    """

    errors: dict[str, float] = field(default_factory=dict)
    found: dict[str, np.ndarray] = field(default_factory=dict)
    invented: bool | None = None


def run(data: Namespace) -> None:
    """Print errors, detection, the spread of the marks, and the comparison with a machine, where there is data."""
    if data.ludb is None:
        print("LUDB is needed: give its folder with --ludb DIR")
    else:
        run_ludb(data.ludb, data.peers)
    run_simulated()
    if data.vendor is not None:
        run_muse(Path(data.vendor, "muse"))


def run_ludb(folder: str, python: str | None) -> None:
    """Print the table of all delineators, that of ours by rhythm and conduction, and the spread of the marks."""
    methods = {"ours": ours} | {f"NeuroKit2 {name}": neurokit(name) for name in ("dwt", "cwt", "prominence")}
    methods |= peers(folder, python) if python else {}
    scores, classes, spread = score_ludb(folder, methods)
    print(f"{len(classes)} records of LUDB; ms: bias ± SD [95 % interval of the SD], missed; tolerance of the SD:")
    print("  " + ", ".join(f"{name} {tolerance}" for name, tolerance in TOLERANCES.items()))
    for method, of_method in scores.items():
        print(f"  {method}: {describe(of_method)}; {describe_found(of_method)}")
    if not python:
        print("  openecg, ecgdeli, wavedet: give the Python that has them with --peers, see benchmarks/_peers.py")
    print("ours by rhythm and conduction, as the headers say; a record can be in several rows")
    for name in sorted(set().union(*classes)):
        chosen = [score for score, of_record in zip(scores["ours"], classes, strict=True) if name in of_record]
        print(f"  {name} ({len(chosen)}): {describe(chosen)}; {describe_found(chosen)}")
    print("marks of one wave in different leads, SD about their median; 10th and 90th percentile")
    for name, away in spread.items():
        low, high = np.percentile(away, [10, 90])
        print(f"  {name:10} {np.std(away):.1f} ms; {low:+.0f} and {high:+.0f} ms")


def score_ludb(
    folder: str, methods: dict[str, Callable]
) -> tuple[dict[str, list[Score]], list[set[str]], dict[str, list[float]]]:
    """Return the scores of each method, one for each record; the records' classes; how far marks lie apart."""
    scores: dict[str, list[Score]] = {method: [] for method in methods}
    classes = []
    spread: dict[str, list[float]] = {name: [] for name in TOLERANCES}
    for stem in find_records(folder):
        filtered, average, spikes = prepare(read_signal(stem))
        marks = read_marks(stem, average.peaks[average.used])
        classes.append(read_classes(stem))
        references = {name: common_point(marks.points[name]) for name in TOLERANCES}
        for name, reference in references.items():
            if np.isfinite(reference):
                spread[name] += list(spread_over_leads(marks.points[name]))
        for method, find in methods.items():
            points = find(filtered, average, spikes)
            errors = {name: MS * (points[name] - at) for name, at in references.items() if np.isfinite(at)}
            invented = None if "p_onset" in errors else bool(np.isfinite(points["p_onset"]))
            scores[method].append(Score(errors, count_found(marks, average, points), invented))
    return scores, classes, spread


def prepare(signal: np.ndarray) -> tuple[np.ndarray, AverageBeat, np.ndarray]:
    """Return a record filtered, its average beat, and where spikes of a pacemaker were."""
    cleaned, spikes = remove_pacing_spikes(signal, SAMPLING_RATE)
    filtered = filter_ecg(cleaned, SAMPLING_RATE)
    return filtered, average_beats(filtered, SAMPLING_RATE, 0.55, 0.7), spikes


def ours(filtered: np.ndarray, average: AverageBeat, spikes: np.ndarray) -> dict[str, float]:
    """Return our points relative to R, in samples; NaN where none is found."""
    points = delineate_average(average, SAMPLING_RATE, filtered, spikes).points._asdict()
    return {name: point - average.r_index for name, point in points.items()}


def neurokit(method: str) -> Callable[[np.ndarray, AverageBeat, np.ndarray], dict[str, float]]:
    """Return a function that returns the points of one of NeuroKit2's delineators likewise."""

    def find(filtered: np.ndarray, average: AverageBeat, _: np.ndarray) -> dict[str, float]:
        rms = np.sqrt(np.mean(filtered**2, axis=0))
        points = dict.fromkeys(NEUROKIT_NAMES, np.nan) | {"r_peak": 0.0}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = neurokit2.ecg_delineate(rms, average.peaks, SAMPLING_RATE, method=method)[1]
                for name, key in NEUROKIT_NAMES.items():
                    points[name] = usual_place(np.asarray(found.get(key, []), dtype=float), average.peaks, name)
        except (ValueError, IndexError, TypeError, ZeroDivisionError):
            # What NeuroKit2 raises where it finds nothing: a miss.
            return points
        return points

    return find


def peers(folder: str, python: str) -> dict[str, Callable[[np.ndarray, AverageBeat], dict[str, float]]]:
    """Return a function for each delineator of another environment, to be called for each record in its order."""
    records = {str(number): prepare(read_signal(stem))[0] for number, stem in enumerate(find_records(folder))}
    with tempfile.TemporaryDirectory() as place:
        np.savez(Path(place, "records.npz"), **records)
        script = Path(__file__).with_name("_peers.py")
        subprocess.run(
            [python, str(script), str(Path(place, "records.npz")), str(Path(place, "points.json"))], check=True
        )
        found = json.loads(Path(place, "points.json").read_text(encoding="utf-8"))
    return {f"{name}, its median over leads": _one_after_another(of_records) for name, of_records in found.items()}


def _one_after_another(of_records: dict[str, dict]) -> Callable[[np.ndarray, AverageBeat], dict[str, float]]:
    """Return a function that returns the points of one record after the other, relative to R."""
    remaining = iter(of_records.values())

    def find(_: np.ndarray, average: AverageBeat) -> dict[str, float]:
        points = dict.fromkeys(NEUROKIT_NAMES, np.nan) | {"r_peak": 0.0}
        for name, of_leads in next(remaining).items():
            places = np.array([usual_place(np.array(places, dtype=float), average.peaks, name) for places in of_leads])
            if np.isfinite(places).sum() >= LEAST_LEADS:
                points[name] = float(np.nanmedian(places))
        return points

    return find


def usual_place(places: np.ndarray, peaks: np.ndarray, name: str) -> float:
    """Return where points are in the usual beat, relative to the R peak: of each beat the nearest."""
    side = -1 if name.startswith("p_") or name == "qrs_onset" else 1
    distance = side * (places[np.isfinite(places)] - peaks[:, np.newaxis])
    nearest = np.where(distance >= 0, distance, np.inf).min(axis=1, initial=np.inf)
    nearest = nearest[nearest <= FARTHEST[side] * SAMPLING_RATE]
    return side * float(np.median(nearest)) if len(nearest) else np.nan


def spread_over_leads(of_leads: np.ndarray) -> np.ndarray:
    """Return how far marks lie from the median over leads of their beat, in ms."""
    marked = of_leads[np.isfinite(of_leads).sum(axis=1) >= 3]
    away = (marked - np.nanmedian(marked, axis=1, keepdims=True)) * MS
    return away[np.isfinite(away)]


def count_found(marks: Marks, average: AverageBeat, points: dict[str, float]) -> dict[str, np.ndarray]:
    """Return of each wave how many of the marked ones are found, and how many are marked.

    The R peaks are those of the record; P and T lie where the usual beat has them, before and after each.
    """
    counts = {}
    for wave, (near, point) in SAME.items():
        places = average.peaks + points[point]
        marked = marks.waves[wave]
        away = np.abs(marked[:, np.newaxis] - places).min(axis=1, initial=np.inf) if len(marked) else np.empty(0)
        counts[wave] = np.array([np.count_nonzero(away * MS <= near), len(marked)])
    return counts


def describe(scores: list[Score]) -> str:
    """Return bias, SD with its interval over resampled patients, and misses, of each point, as text."""
    rng = np.random.default_rng(0)
    shown = []
    for name in TOLERANCES:
        errors = np.array([score.errors[name] for score in scores if name in score.errors])
        found = errors[np.isfinite(errors)]
        missed = f", {len(errors) - len(found)} of {len(errors)} missed" if len(found) < len(errors) else ""
        if len(found) < 2:
            shown.append(f"{name} {len(found)} found{missed}")
            continue
        low, high = np.percentile(
            found[rng.integers(len(found), size=(N_RESAMPLES, len(found)))].std(axis=1), [2.5, 97.5]
        )
        shown.append(f"{name} {found.mean():+.1f} ± {found.std():.1f} [{low:.1f}, {high:.1f}]{missed}")
    return "; ".join(shown)


def describe_found(scores: list[Score]) -> str:
    """Return the shares of waves that are found, with their intervals over resampled patients, and of invented P."""
    rng = np.random.default_rng(0)
    shown = []
    for wave in SAME:
        counts = np.array([score.found[wave] for score in scores])
        hits, marked = counts[rng.integers(len(counts), size=(N_RESAMPLES, len(counts)))].sum(axis=1).T
        if counts[:, 1].any():
            low, high = np.percentile(100 * hits / np.maximum(marked, 1), [2.5, 97.5])
            share = 100 * counts[:, 0].sum() / counts[:, 1].sum()
            shown.append(f"{wave} {share:.2f} % [{low:.1f}, {high:.1f}]")
    invented = [score.invented for score in scores if score.invented is not None]
    return "found " + ", ".join(shown) + f"; P invented in {sum(invented)} of {len(invented)}"


def run_simulated() -> None:
    """Print the errors of ours on simulated hearts; their waves end where the simulator's Gaussians begin and end."""
    print(f"{N_HEARTS} simulated hearts of each kind, ours; as above")
    for number, kind in enumerate(KINDS):
        scores, unusable = [], 0
        for signal, fiducials in make_hearts(kind, N_HEARTS, seed=number):
            try:
                filtered, average, spikes = prepare(signal)
            except NoBeatError:
                unusable += 1
                continue
            truth, points = truth_about_r(fiducials, average.peaks), ours(filtered, average, spikes)
            errors = {
                name: MS * (points[name] - truth[known])
                for name, known in SIMULATED.items()
                if np.isfinite(truth[known])
            }
            scores.append(Score(errors, invented=None if "p_onset" in errors else bool(np.isfinite(points["p_onset"]))))
        invented = [score.invented for score in scores if score.invented is not None]
        without = f"; P invented in {sum(invented)} of {len(invented)}" if invented else ""
        print(f"  {kind}: {describe(scores)}{without}; no beat in {unusable}")


def run_muse(folder: Path) -> None:
    """Print our intervals beside those that the machine wrote into its files."""
    print("MUSE files, ours and the machine's: heart rate in 1/min, intervals in ms")
    columns = {"heart_rate": "heart_rate", "pr": "pr_interval", "qrs": "qrs_duration", "qt": "qt_interval"}
    for path in sorted(folder.glob("*.xml")):
        signal, sampling_rate, machine = read_muse(path)
        row = dict(zip(feature_names(len(signal)), measure_record(signal, sampling_rate), strict=True))
        shown = [f"{name} {row[column]:.0f} and {machine[name]:.0f}" for name, column in columns.items()]
        print(f"  {path.stem}: {', '.join(shown)}")
