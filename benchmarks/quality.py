"""Signal quality and swapped limb electrodes on real records.

PTB-XL and LUDB are taken as recorded with the right electrodes, which a few records may not be; swaps are made by
exchanging the electrodes' potentials. The coefficients of `limb_lead_reversal` come from PTB-XL. Its margins were
chosen on PTB-XL too, and the limits of *saturated* so that neither data set has false alarms, but with LUDB in view:
only new records would be a clean test. The remarks of PTB-XL on noise and drift are free text of its annotators; a
record counts as positive if there is any.
"""

from __future__ import annotations

import time
import warnings
from argparse import Namespace
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import wfdb
from sklearn.metrics import roc_auc_score

from omi_estimators.datasets import load_ptbxl
from omi_estimators.datasets._heart import DOWER
from omi_estimators.preprocessing import NoBeatError, filter_ecg, limb_lead_reversal, median_beat, signal_quality
from omi_estimators.preprocessing._limb_leads import CHEST_TO_LIMBS, swap_agreements
from omi_estimators.preprocessing._signal_quality import FLAGS

SAMPLING_RATE = 500
REMARKS = ("static_noise", "burst_noise", "baseline_drift", "electrodes_problems")
# I to aVF from the potentials of RA, LA and LL, and back from I and II.
LIMB_LEADS = np.array([[-1, 1, 0], [-1, 0, 1], [0, -1, 1], [1.5, 0, 0], [0, 1.5, 0], [0, 0, 1.5]])
POTENTIALS = np.array([[-1, -1], [2, -1], [-1, 2]]) / 3
ORDERS = {"none": [0, 1, 2], "LA/RA": [1, 0, 2], "RA/LL": [2, 1, 0], "LA/LL": [0, 2, 1]}
# How much of lead II a right arm electrode on the right leg leaves: the legs differ a little.
LEFT_OF_LEAD_II = 0.05


def run(data: Namespace) -> None:
    """Print what is found on PTB-XL and LUDB, as far as their folders are given."""
    sources = {}
    if data.ptbxl is not None:
        ptbxl = load_ptbxl(data.ptbxl, task="mi_vs_rest", sampling_rate=SAMPLING_RATE)
        sources["PTB-XL"] = (ptbxl.X.astype(np.float64), ptbxl.record_ids)
    if data.ludb is not None:
        sources["LUDB"] = read_ludb(Path(data.ludb, "data"))
    if not sources:
        print("real records are needed: give the folder of PTB-XL with --ptbxl DIR, of LUDB with --ludb DIR")
    for name, (X, ids) in sources.items():
        show_swaps(name, find_beats(X), ids)
        show_flags(name, X)
    if "PTB-XL" in sources:
        X, ids = sources["PTB-XL"]
        remarks = pd.read_csv(Path(data.ptbxl, "ptbxl_database.csv"), index_col=0).loc[ids, list(REMARKS)].notna()
        show_agreement(X, remarks)
        show_doses(X[:100])


def read_ludb(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the records of LUDB in mV (gains differ from lead to lead; the stored numbers are microvolts)."""
    stems = sorted((path.with_suffix("") for path in folder.glob("*.hea")), key=lambda stem: int(stem.name))
    X = np.stack([wfdb.rdrecord(str(stem), physical=False).d_signal.T / 1000 for stem in stems])
    return X, np.array([int(stem.name) for stem in stems])


def find_beats(X: np.ndarray) -> np.ndarray:
    """Return the median beats of records; zeros where there is none."""
    beats = np.zeros((len(X), 12, 200))
    for record, beat in zip(X, beats, strict=True):
        try:
            beat[:] = median_beat(filter_ecg(record, SAMPLING_RATE), SAMPLING_RATE)
        except NoBeatError:
            continue
    return beats


def swap(beat: np.ndarray, kind: str) -> np.ndarray:
    """Return a beat as it would be with electrodes swapped."""
    swapped = beat.copy()
    potentials = POTENTIALS @ beat[:2]
    if kind == "RA/RL":
        # The right arm's electrode takes almost the potential of the left leg, and so moves the zero of V1 to V6.
        shift = (1 - LEFT_OF_LEAD_II) * beat[1]
        potentials[0] += shift
        swapped[6:] -= shift / 3
    else:
        potentials = potentials[ORDERS[kind]]
    swapped[:6] = LIMB_LEADS @ (potentials - potentials.mean(axis=0))
    return swapped


def show_swaps(name: str, beats: np.ndarray, ids: np.ndarray) -> None:
    """Print what is said of unswapped and of swapped beats, and how other coefficients and margins would do."""
    said = np.array([limb_lead_reversal(beat) for beat in beats])
    alarms = ", ".join(
        f"record {i}: {answer}" for i, answer in zip(ids[said != "none"], said[said != "none"], strict=True)
    )
    print(f"{name}: swapped limb electrodes found in {np.sum(said != 'none')} of {len(said)} as recorded ({alarms})")
    for kind in ("LA/RA", "RA/LL", "LA/LL", "RA/RL"):
        answers = Counter(limb_lead_reversal(swap(beat, kind)) for beat in beats)
        rest = ", ".join(f"{count} {answer}" for answer, count in answers.most_common() if answer != kind)
        print(f"  {kind} made: {answers[kind] / len(beats):6.1%} found; else {rest}")
    fitted = fit_coefficients(beats)
    print(f"  coefficients by least squares on these beats: {np.round(fitted, 2).tolist()}")
    fields = {"ours": CHEST_TO_LIMBS, "Dower": from_dower(0.0), "Dower, ridge 0.5": from_dower(0.5)}
    for label, coefficients in fields.items():
        agreement = [swap_agreements(POTENTIALS @ beat[:2], coefficients @ beat[6:]) for beat in beats]
        table = pd.DataFrame(agreement)
        print(f"  {label}: median correlation of limb potentials with those predicted {table['none'].median():.2f}")
        for kind in ("LA/RA", "RA/LL", "LA/LL"):
            gain = table[kind] - table["none"]
            # Undoing the swap of a swapped record gains what the swap would cost the unswapped one.
            shown = (f"{m:g}: {np.mean(-gain > m):.1%} ({np.sum(gain > m)})" for m in (0.1, 0.2, 0.3, 0.5))
            print(f"    {kind} found (false alarms of {len(beats)}) by margin {'; '.join(shown)}")


def fit_coefficients(beats: np.ndarray) -> np.ndarray:
    """Return the coefficients (3, 6) from V1 to V6 to the potentials of RA, LA and LL, each beat of equal energy."""
    beats = beats[beats.any(axis=(1, 2))]
    beats = beats / np.linalg.norm(beats, axis=(1, 2), keepdims=True)
    chest = beats[:, 6:].transpose(1, 0, 2).reshape(6, -1)
    potentials = POTENTIALS @ beats[:, :2].transpose(1, 0, 2).reshape(2, -1)
    return np.linalg.lstsq(chest.T, potentials.T, rcond=None)[0].T


def from_dower(ridge: float) -> np.ndarray:
    """Return the same from Dower's lead field: the dipole from V1 to V6, by ridge regression, then I and II."""
    chest = DOWER[2:]
    dipole = np.linalg.solve(chest.T @ chest + ridge * np.eye(3), chest.T)
    return POTENTIALS @ DOWER[:2] @ dipole


def show_flags(name: str, X: np.ndarray) -> None:
    """Print the share of records and leads with each flag, the distribution of quality, and the time."""
    start = time.perf_counter()
    found = [signal_quality(record, SAMPLING_RATE) for record in X]
    duration = (time.perf_counter() - start) / len(X)
    for flag in FLAGS:
        flagged = np.array([getattr(quality, flag) for quality in found])
        print(f"{name}: {flag:9} {flagged.any(axis=1).mean():6.1%} of records, {flagged.mean():6.2%} of leads")
    clipped = np.mean([signal_quality(clip(record), SAMPLING_RATE).saturated.mean() for record in X])
    print(f"{name}: of leads clipped at 60 % of their largest deflection, {clipped:.1%} are flagged as saturated")
    swapped = sum(quality.limb_lead_reversal != "none" for quality in found)
    print(f"{name}: swapped limb electrodes by signal_quality, on its own beats: {swapped} of {len(found)}")
    quality = np.array([record.quality for record in found])
    shown = ", ".join(f"{value:.2f}" for value in np.quantile(quality, (0, 0.01, 0.05, 0.5, 0.95)))
    print(f"{name}: quality, least and 1, 5, 50, 95 %: {shown}; below 0.5: {np.mean(quality < 0.5):.1%}")
    print(f"{name}: {duration * 1000:.1f} ms a record of {X.shape[1]} x {X.shape[2]}")


def clip(record: np.ndarray) -> np.ndarray:
    """Return a record whose leads cannot rise beyond 60 % of their largest deflection from the median."""
    centre = np.median(record, axis=1, keepdims=True)
    limit = 0.6 * np.abs(record - centre).max(axis=1, keepdims=True)
    return np.clip(record, centre - limit, centre + limit)


def show_agreement(X: np.ndarray, remarks: pd.DataFrame) -> None:
    """Print the AUROC of each measure for PTB-XL's remarks, and what the flags find of them."""
    found = [signal_quality(record, SAMPLING_RATE) for record in X]
    measures = {
        "1 - quality": [1 - quality.quality for quality in found],
        "largest noise level": [quality.noise_level.max() for quality in found],
        "largest wander level": [quality.wander_level.max() for quality in found],
        "least consistency": [1 - np.min(quality.consistency) for quality in found],
    }
    flags = {flag: np.array([getattr(quality, flag).any() for quality in found]) for flag in ("noise", "wander")}
    truths = {remark: remarks[remark].to_numpy() for remark in REMARKS} | {"any": remarks.any(axis=1).to_numpy()}
    for remark, truth in truths.items():
        areas = ", ".join(f"{name} {roc_auc_score(truth, score):.2f}" for name, score in measures.items())
        shown = ", ".join(
            f"{flag} {flagged[truth].mean():.0%} of these and {flagged[~truth].mean():.0%} of the others"
            for flag, flagged in flags.items()
        )
        print(f"PTB-XL remark {remark} ({truth.sum()} of {len(truth)}): AUROC {areas}; flag {shown}")


def show_doses(X: np.ndarray) -> None:
    """Print the mean quality with noise of known signal-to-noise ratio added to every lead."""
    rng = np.random.default_rng(0)
    times = np.arange(X.shape[2]) / SAMPLING_RATE
    noises = {
        "white noise": rng.normal(size=X.shape),
        "noise of 5 to 50 Hz": filter_ecg(rng.normal(size=X.shape), SAMPLING_RATE, highpass=5, lowpass=50, notch=None),
        "drift of 0.2 Hz": np.broadcast_to(np.sin(2 * np.pi * 0.2 * times), X.shape),
    }
    power = np.var(filter_ecg(X, SAMPLING_RATE), axis=2, keepdims=True)
    for name, noise in noises.items():
        noise = noise / np.std(noise, axis=2, keepdims=True)
        shown = []
        for ratio in (np.inf, 30, 20, 10, 5, 0, -10):
            spoilt = X + noise * np.sqrt(power * 10 ** (-ratio / 10))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                quality = np.array([signal_quality(record, SAMPLING_RATE).quality for record in spoilt])
            shown.append(f"{ratio:g} dB {quality.mean():.2f}")
        print(f"{len(X)} records of PTB-XL, {name} added, mean quality at signal-to-noise ratio: {', '.join(shown)}")
