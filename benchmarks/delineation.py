"""Fiducial points against cardiologists' marks on LUDB: ours, and NeuroKit2's on the same filtered records.

A mark counts where at least three leads have it; the reference is the median over leads of their marks,
relative to the R peak, and the median over the beats of a record. Ours is delineated on the median beat of
all leads, NeuroKit2's methods on the root mean square over leads, and their points are the median over beats.
"""

from __future__ import annotations

import warnings
from argparse import Namespace
from pathlib import Path

import neurokit2
import numpy as np
import wfdb

from omi_estimators.features import delineate
from omi_estimators.preprocessing import filter_ecg
from omi_estimators.preprocessing._average import average_beats

SAMPLING_RATE = 500
LEAD_FILES = ("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6")
LEAST_LEADS = 3
# Further from an R peak (samples) no marked QRS complex is the same beat.
SAME_BEAT = 60
# Two standard deviations that cardiologists differ by (CSE; Martínez 2004), in ms.
TOLERANCES = {"p_onset": 10.2, "p_offset": 12.7, "qrs_onset": 6.5, "qrs_offset": 11.6, "t_offset": 30.6}
NEUROKIT_NAMES = {
    "p_onset": "ECG_P_Onsets",
    "p_offset": "ECG_P_Offsets",
    "qrs_onset": "ECG_R_Onsets",
    "qrs_offset": "ECG_R_Offsets",
    "t_offset": "ECG_T_Offsets",
}
WAVE_OF = {"N": "qrs", "p": "p", "t": "t"}


def run(data: Namespace) -> None:
    """Print each method's error of every point: records measured, records missed, bias and SD in ms."""
    if data.ludb is None:
        print("LUDB is needed: give its folder with --ludb DIR")
        return
    paths = sorted(Path(data.ludb, "data").glob("*.hea"))
    errors: dict[str, dict[str, list[float]]] = {}
    for path in paths:
        stem = str(path.with_suffix(""))
        # Gains differ from lead to lead; the stored numbers are microvolts.
        signal = wfdb.rdrecord(stem, physical=False).d_signal.T / 1000
        average = average_beats(filter_ecg(signal, SAMPLING_RATE), SAMPLING_RATE, 0.45, 0.7)
        truth = read_marks(stem, average.peaks[average.used])
        for method, points in {"ours": ours(average), **neurokit(signal, average)}.items():
            of_method = errors.setdefault(method, {name: [] for name in TOLERANCES})
            for name, marked in truth.items():
                of_method[name].append((points[name] - marked) * 1000 / SAMPLING_RATE)
    print(f"{len(paths)} records of LUDB; bias ± SD in ms (missed); CSE tolerance is for one SD")
    for name, tolerance in TOLERANCES.items():
        shown = "; ".join(f"{method} {describe(of_method[name])}" for method, of_method in errors.items())
        print(f"  {name:10} tolerance {tolerance:4.1f}; {shown}")


def read_marks(stem: str, peaks: np.ndarray) -> dict[str, float]:
    """Return each point's place relative to R in samples, where at least a third of the beats have it marked."""
    marks: dict[str, list[list[float]]] = {name: [[] for _ in peaks] for name in TOLERANCES}
    for lead in LEAD_FILES:
        annotation = wfdb.rdann(stem, lead)
        symbols, samples = annotation.symbol, annotation.sample
        complexes = samples[[symbol == "N" for symbol in symbols]]
        for index, symbol in enumerate(symbols):
            wave = WAVE_OF.get(symbol)
            beat = None if wave is None else find_beat(wave, samples[index], complexes, peaks)
            if beat is None:
                continue
            for side, neighbour, bracket in (("onset", index - 1, "("), ("offset", index + 1, ")")):
                name = f"{wave}_{side}"
                if name in marks and 0 <= neighbour < len(symbols) and symbols[neighbour] == bracket:
                    marks[name][beat].append(samples[neighbour] - peaks[beat])
    truth = {}
    for name, of_beats in marks.items():
        places = [np.median(of_leads) for of_leads in of_beats if len(of_leads) >= LEAST_LEADS]
        if len(places) >= max(1, len(peaks) / 3):
            truth[name] = float(np.median(places))
    return truth


def find_beat(wave: str, sample: int, complexes: np.ndarray, peaks: np.ndarray) -> int | None:
    """Return which R peak a marked wave belongs to: P to the next complex, T to the last one before."""
    candidates = {"qrs": complexes, "p": complexes[complexes > sample], "t": complexes[complexes < sample]}[wave]
    if not len(candidates):
        return None
    complex_at = candidates[np.argmin(np.abs(candidates - sample))]
    beat = int(np.argmin(np.abs(peaks - complex_at)))
    return beat if abs(peaks[beat] - complex_at) < SAME_BEAT else None


def ours(average) -> dict[str, float]:
    """Return our points relative to R, in samples."""
    rr = float(np.quantile(np.diff(average.peaks), 0.2)) / SAMPLING_RATE
    points = delineate(average.waveform, SAMPLING_RATE, r_index=average.r_index, rr=rr)._asdict()
    return {name: points[name] - average.r_index for name in TOLERANCES}


def neurokit(signal: np.ndarray, average) -> dict[str, dict[str, float]]:
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
