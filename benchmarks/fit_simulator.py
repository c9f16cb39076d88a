"""What the simulator takes from measured ECGs: normal hearts of PTB-XL, and occlusions of STAFF III.

Every normal record's median beat is written as the sum of the simulator's Gaussians, by ridge regression. Over the
records, the weights and the logarithms of the intervals are regressed on age and sex, and what is left is reduced to
its principal components. The table goes to the file named by ``--out``; without it, only figures are printed.

The injury dipole and near field of each artery are those with which simulated occlusions change ST60, in the median
over patients, by `SEVERITY` times the median of STAFF III's; they are printed, for ``_heart.py``.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from benchmarks.simulator import N_OCCLUDED, simulate_occlusions
from omi_estimators.datasets import load_ptbxl
from omi_estimators.datasets._heart import (
    CENTERS,
    INDEPENDENT_LEADS,
    INJURY,
    NEAR_FIELD,
    QRS,
    ST_T,
    WIDTHS,
    P,
    draw_hearts,
)
from omi_estimators.features._delineate import DelineatedBeat
from omi_estimators.features._neurokit_features import delineate_average
from omi_estimators.leads import LEADS
from omi_estimators.preprocessing import average_beats, filter_ecg

SAMPLING_RATE = 500
N_COMPONENTS, N_DETAILS = 42, 50  # of the whole heart, and of QRS alone
RIDGE = 0.01  # against a Gaussian's energy, which is some 10 to 100 samples: too little to bend a wave
LOGARITHMS = ("log_qrs_size", "log_p_size", "log_qrs", "log_jtc", "log_pr", "log_p", "log_heart_rate")
# The share of the variance that the components see in each part of the heart, whatever its size in millivolts.
SHARES = {"QRS": (QRS, 1.0), "ST-T": (ST_T, 1.0), "P": (P, 0.6)}
SHARE_OF_LOGARITHMS = 0.6
N_PATTERNS = 4
SEVERITY = (
    1.2  # so that the largest |ST60| over leads is as large as there, where each patient has a direction of his own
)
N_ROUNDS = 4


def run(data: Namespace) -> None:
    """Fit, print what the fit leaves, and write the table if asked."""
    if data.staff is not None:
        fit_occlusions(pd.read_csv(data.staff))
    if data.ptbxl is None:
        print("for normal hearts, give the folder of PTB-XL with --ptbxl DIR")
        return
    ecgs = load_ptbxl(data.ptbxl, task="mi_vs_norm", sampling_rate=SAMPLING_RATE)
    states, known, misfit = fit_hearts(ecgs)
    print(f"{len(states)} normal hearts; unexplained, median RMS in microvolts: {misfit}")
    table = fit_population(states, known)
    if data.out is not None:
        write_table(Path(data.out), table)


def fit_occlusions(staff: pd.DataFrame) -> None:
    """Print the injury dipole and near field of each artery, in millivolts, found by simulating and correcting."""
    adults = np.linspace(30, 85, 200)
    field = np.mean([heart.field for heart in draw_hearts(adults, adults > 0, np.random.default_rng(0))], axis=0)
    occlusion, control = (
        staff[[f"{state}_{lead}" for lead in INDEPENDENT_LEADS]].to_numpy() for state in ("occlusion", "control")
    )
    change = (occlusion - control) / 1000
    wanted = {name: SEVERITY * np.nanmedian(change[staff.artery == name], axis=0) for name in INJURY}
    shift = {name: field @ INJURY[name] + NEAR_FIELD[name] for name in INJURY}
    independent = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]
    for _ in range(N_ROUNDS):
        territory, before, after = simulate_occlusions(N_OCCLUDED)
        for name in INJURY:
            simulated = np.median((after - before)[territory == name], axis=0)[independent] / 1000
            shift[name] += wanted[name] - simulated
            INJURY[name] = np.linalg.pinv(field) @ shift[name]
            NEAR_FIELD[name] = shift[name] - field @ INJURY[name]
    for name in INJURY:
        print(f"{name}: injury {np.round(INJURY[name], 3).tolist()}, near {np.round(NEAR_FIELD[name], 3).tolist()}")


def fit_hearts(ecgs: Bunch) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Return the state of each normal heart, its constant, sex and decade, and the misfit of each wave in words."""
    states, known, errors = [], [], []
    for record, age, sex in zip(*(ecgs[name][ecgs.y == 0] for name in ("X", "age", "sex")), strict=True):
        # 150 Hz keeps what the recorders kept; the simulator's own noise comes on top.
        filtered = filter_ecg(record.astype(np.float64), SAMPLING_RATE, lowpass=150, notch=(50,))
        beat = delineate_average(average_beats(filtered, SAMPLING_RATE, 0.45, 0.7), SAMPLING_RATE, filtered)
        if np.isnan(beat.points).any() or not np.isfinite(age + sex):
            continue
        weights, error = fit_gaussians(beat)
        sizes = [np.linalg.norm(weights[wave]) for wave in (QRS, P)]
        weights[: P.start] /= sizes[0]
        weights[P] /= sizes[1]
        points = beat.points
        seconds = np.array(
            (
                points.qrs_offset - points.qrs_onset,
                (points.t_latest - points.qrs_offset) / np.cbrt(beat.rr),
                points.qrs_onset - points.p_onset,
                points.p_offset - points.p_onset,
            )
        )
        logarithms = np.log([*sizes, *(seconds / SAMPLING_RATE), 60 / beat.rr])
        states.append(np.concatenate([weights.ravel(), logarithms]))
        known.append((1.0, 0.5 - sex, (age - 50) / 10))
        errors.append(error)
    misfit = ", ".join(f"{name} {value:.1f}" for name, value in zip(SHARES, np.median(errors, axis=0), strict=True))
    return np.array(states), np.array(known), misfit


def fit_gaussians(beat: DelineatedBeat) -> tuple[NDArray[np.float64], list[float]]:
    """Return the weights of the Gaussians in leads I, II, V1 to V6, and the RMS (µV) they leave in each wave."""
    leads = beat.leads[[LEADS.index(lead) for lead in INDEPENDENT_LEADS]]
    points = beat.points
    bounds = {
        "QRS": (points.qrs_onset, points.qrs_offset),
        "ST-T": (points.qrs_offset, points.t_latest),
        "P": (points.p_onset, points.p_offset),
    }
    centers, widths = CENTERS.copy(), WIDTHS.copy()
    for name, (start, end) in bounds.items():
        wave = SHARES[name][0]
        centers[wave] = start + centers[wave] * (end - start)
        widths[wave] *= end - start
    margin = 0.03 * SAMPLING_RATE
    times = np.arange(max(0, int(points.p_onset - margin)), min(leads.shape[1], int(points.t_latest + margin)))
    bells = np.exp(-0.5 * ((times[:, None] - centers) / widths) ** 2)
    # The level before P is not quite that after it; P must not be bent to join them.
    step = np.interp(times, (points.p_onset, points.p_peak), (1.0, 0.0))
    design = np.column_stack([bells, step])
    weights = np.linalg.solve(design.T @ design + RIDGE * np.eye(design.shape[1]), design.T @ leads[:, times].T)
    left, weights = leads[:, times].T - design @ weights, weights[:-1]
    within = [(times >= start) & (times <= end) for start, end in bounds.values()]
    return weights, [1000 * float(np.sqrt(np.mean(left[inside] ** 2))) for inside in within]


def fit_population(states: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mean, effects of sex and age, and scaled components of `states`, one row for each of its columns.

    Some components span the whole heart. What they leave of P and ST-T is mostly the noise of a median beat; what
    they leave of QRS are notches, as far as the leads show them together, in few patterns: those get components of
    their own.
    """
    effects = np.linalg.lstsq(known, states, rcond=None)[0]
    left = states - known @ effects
    scale = balance(left)
    of_heart, left_over = find_components(left * scale, N_COMPONENTS)
    details = np.zeros_like(left)
    columns = slice(len(INDEPENDENT_LEADS) * QRS.stop)
    of_leads = left_over[:, columns].reshape(-1, len(INDEPENDENT_LEADS))
    patterns = np.linalg.svd(of_leads, full_matrices=False)[2][:N_PATTERNS]
    details[:, columns] = (of_leads @ patterns.T @ patterns).reshape(len(left), -1)
    of_qrs, _ = find_components(details, N_DETAILS)
    components = np.concatenate([of_heart, of_qrs]) / scale
    explained = np.sum((components * scale) ** 2) / np.sum((left * scale).var(axis=0))
    print(f"explained of what age and sex leave: {explained:.1%}")
    return np.column_stack([*effects, *components])


def balance(left: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factors, one for each column, that make waves count by their shares and leads alike.

    By their size in millivolts, V2 would decide, and I and II be lost.
    """
    scale = np.empty(left.shape[1])
    n_leads = len(INDEPENDENT_LEADS)
    for wave, share in SHARES.values():
        columns = slice(n_leads * wave.start, n_leads * wave.stop)
        spread = left[:, columns].reshape(len(left), -1, n_leads).std(axis=0)
        scale[columns] = np.tile(np.sqrt(share / n_leads / np.sum(spread**2, axis=0)), len(spread))
    scale[-len(LOGARITHMS) :] = np.sqrt(SHARE_OF_LOGARITHMS / len(LOGARITHMS)) / left[:, -len(LOGARITHMS) :].std(axis=0)
    return scale


def find_components(left: NDArray[np.float64], n_components: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return principal components (n_components, n_columns), of one standard deviation, and what they leave."""
    projections, values, directions = np.linalg.svd(left, full_matrices=False)
    found = values[:n_components, None] * directions[:n_components]
    return found / np.sqrt(len(left)), left - projections[:, :n_components] @ found


def write_table(path: Path, table: NDArray[np.float64]) -> None:
    """Write the population as comma-separated text, in ten-thousandths: whole numbers make it a third smaller."""
    names = [f"{lead}_{gaussian}" for gaussian in range(len(CENTERS)) for lead in INDEPENDENT_LEADS]
    header = ["quantity", "mean", "male", "decade", *(f"pc{i + 1}" for i in range(N_COMPONENTS))]
    header += [f"detail{i + 1}" for i in range(N_DETAILS)]
    rows = [
        ",".join([name, *(str(round(10_000 * value)) for value in row)])
        for name, row in zip([*names, *LOGARITHMS], table, strict=True)
    ]
    path.write_text("\n".join([",".join(header), *rows]) + "\n", encoding="utf-8")
    print(f"written to {path}")
