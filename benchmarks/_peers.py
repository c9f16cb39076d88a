"""Other delineators, in an environment of their own: `PYTHON benchmarks/_peers.py RECORDS.npz POINTS.json`.

They need Python 3.12 and other versions of libraries than this package:

    python3.12 -m venv peers && peers/bin/pip install ecgdeli wavedet openecg onnxruntime

OpenECG's network was trained on LUDB, among others; the two ports of MATLAB toolboxes were checked on it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

RATE = 500
# By the benchmark's names; of each lead, samples in the record.
Points = dict[str, list[list[float]]]


def ecgdeli(record: np.ndarray) -> Points:
    """Return the points of ECGdeli, lead by lead, on its own filtered signal."""
    import ecgdeli as library

    leads = library.annotate(library.filter_ecg(record.T, fs=RATE), fs=RATE).leads
    names = {"p_onset": "p_on", "p_peak": "p_peak", "p_offset": "p_off", "qrs_onset": "qrs_on", "qrs_offset": "qrs_off"}
    names |= {"t_peak": "t_peak", "t_offset": "t_off"}
    return {point: [_known(getattr(lead, name)) for lead in leads] for point, name in names.items()}


def wavedet(record: np.ndarray) -> Points:
    """Return the points of wavedet, lead by lead."""
    import wavedet as library

    leads = library.delineate(record.T, fs=RATE).per_lead
    names = {"p_onset": "p_on", "p_peak": "p", "p_offset": "p_off", "qrs_onset": "qrs_on", "qrs_offset": "qrs_off"}
    names |= {"t_peak": "t", "t_offset": "t_off"}
    return {point: [_known(getattr(lead, name)) for lead in leads] for point, name in names.items()}


def openecg(record: np.ndarray) -> Points:
    """Return the points of OpenECG's codec, lead by lead; the middle of P and T stands for their peaks."""
    codec = _load_codec()
    found: Points = {
        name: [] for name in ("p_onset", "p_peak", "p_offset", "qrs_onset", "qrs_offset", "t_peak", "t_offset")
    }
    for lead in record:
        frame = np.asarray(codec.encode(lead, fs=RATE).frame)
        for wave, labels in (("p", (1,)), ("qrs", (2, 4)), ("t", (3,))):
            edges = np.diff(np.concatenate([[0], np.isin(frame, labels).astype(int), [0]]))
            starts, ends = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0) - 1
            if wave != "t":
                found[f"{wave}_onset"].append(_known(starts))
            found[f"{wave}_offset"].append(_known(ends))
            if wave != "qrs":
                found[f"{wave}_peak"].append(_known((starts + ends) / 2))
    return found


@cache
def _load_codec() -> Any:
    import openecg as library

    return library.load_codec_onnx()


def _known(places: np.ndarray) -> list[float]:
    """Return places that are there; these libraries have negative numbers or NaN for those that are not."""
    places = np.asarray(places, dtype=float)
    return places[np.isfinite(places) & (places >= 0)].tolist()


def main() -> None:
    """Write the points of each record by each library; a record on which one fails has none."""
    records = np.load(sys.argv[1])
    peers: dict[str, Callable[[np.ndarray], Points]] = {"ecgdeli": ecgdeli, "wavedet": wavedet, "openecg": openecg}
    found: dict[str, dict[str, Points]] = {}
    for name, find in peers.items():
        found[name] = {}
        for key in records.files:
            try:
                found[name][key] = find(records[key])
            except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                print(f"{name}, record {key}: {type(error).__name__}: {error}", file=sys.stderr)
                found[name][key] = {}
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main()
