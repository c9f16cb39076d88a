"""Records of LUDB with the marks that cardiologists set in every lead, put in order beat by beat."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import wfdb

SAMPLING_RATE = 500
LEAD_FILES = ("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6")
WAVE_OF = {"N": "qrs", "p": "p", "t": "t"}
# Fewer leads than these may be wrong together.
LEAST_LEADS = 3
# Marks of one wave in different leads lie nearer to each other than this (samples), waves of one kind further apart.
SAME_WAVE = 60


class Marks(NamedTuple):
    """What is marked in one record.

    Attributes
    ----------
    points : dict of str to ndarray of shape (n_beats, 12)
        Such as "p_onset", in samples after the R peak of each beat that was given; NaN where not marked.
    waves : dict of str to ndarray
        Where at least three leads have a wave marked ("p", "qrs", "t"): the median of its peak, in samples.
    """

    points: dict[str, np.ndarray]
    waves: dict[str, np.ndarray]


def find_records(folder: str) -> list[str]:
    """Return the records below a folder of LUDB, without their endings."""
    return [str(path.with_suffix("")) for path in sorted(Path(folder, "data").glob("*.hea"))]


def read_signal(stem: str) -> np.ndarray:
    """Return a record in millivolts, shape (12, n_samples)."""
    # Gains in the header differ from lead to lead; the stored numbers are microvolts.
    return wfdb.rdrecord(stem, physical=False).d_signal.T / 1000


# Words of the diagnoses in the headers, and what they say of rhythm and conduction.
_CLASSES = {
    "fibrillation": ("atrial fibrillation",),
    "flutter": ("atrial flutter",),
    "paced": ("pacing", "pacemaker presence"),
    "AV block": ("av block", "av-block"),
    "right bundle": ("right bundle",),
    "left bundle": ("left bundle",),
    "fascicle or IVCD": ("hemiblock", "intravintricular"),
    "extrasystoles": ("extrasystol",),
    "slow": ("bradycardia",),
    "fast": ("tachycardia",),
}


def read_classes(stem: str) -> set[str]:
    """Return the classes of rhythm and conduction that a record's header names; "other" for none of them."""
    text = " ".join(wfdb.rdheader(stem).comments).lower()
    return {name for name, words in _CLASSES.items() if any(word in text for word in words)} or {"other"}


def read_marks(stem: str, peaks: np.ndarray) -> Marks:
    """Return the marks of a record, those of points relative to R peaks (in samples)."""
    points = {f"{wave}_{side}": np.full((len(peaks), 12), np.nan) for wave in WAVE_OF.values() for side in _SIDES}
    places: dict[str, list[int]] = {wave: [] for wave in WAVE_OF.values()}
    for lead, name in enumerate(LEAD_FILES):
        annotation = wfdb.rdann(stem, name)
        symbols, samples = annotation.symbol, annotation.sample
        complexes = samples[[symbol == "N" for symbol in symbols]]
        for index, symbol in enumerate(symbols):
            if symbol not in WAVE_OF:
                continue
            wave = WAVE_OF[symbol]
            places[wave].append(samples[index])
            beat = _find_beat(wave, samples[index], complexes, peaks)
            for side, (step, bracket) in _SIDES.items():
                neighbour = index + step
                if beat is not None and 0 <= neighbour < len(symbols) and symbols[neighbour] == bracket:
                    points[f"{wave}_{side}"][beat, lead] = samples[neighbour] - peaks[beat]
    return Marks(points, {wave: _cluster(np.sort(of_wave)) for wave, of_wave in places.items()})


_SIDES = {"onset": (-1, "("), "offset": (1, ")")}


def _find_beat(wave: str, sample: int, complexes: np.ndarray, peaks: np.ndarray) -> int | None:
    """Return which R peak a marked wave belongs to: P to the next complex, T to the last one before."""
    candidates = {"qrs": complexes, "p": complexes[complexes > sample], "t": complexes[complexes < sample]}[wave]
    if not len(candidates):
        return None
    complex_at = candidates[np.argmin(np.abs(candidates - sample))]
    beat = int(np.argmin(np.abs(peaks - complex_at)))
    return beat if abs(peaks[beat] - complex_at) < SAME_WAVE else None


def _cluster(places: np.ndarray) -> np.ndarray:
    """Return the medians of groups of marks that lie together, if in enough leads."""
    groups = np.split(places, np.flatnonzero(np.diff(places) > SAME_WAVE) + 1)
    return np.array([np.median(group) for group in groups if len(group) >= LEAST_LEADS])


def common_point(of_leads: np.ndarray) -> float:
    """Return a point of a record, relative to R: the median over leads, and then over beats; NaN if rarely marked.

    Parameters
    ----------
    of_leads : ndarray of shape (n_beats, 12)
        Of `Marks.points`.

    Returns
    -------
    float
        In samples.
    """
    marked = np.isfinite(of_leads).sum(axis=1) >= LEAST_LEADS
    if marked.sum() < max(1, len(of_leads) / 3):
        return np.nan
    return float(np.median(np.nanmedian(of_leads[marked], axis=1)))
