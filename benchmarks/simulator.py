"""How near the simulator comes to measured ECGs: occlusions to STAFF III, normal hearts to PTB-XL; and its speed.

Occlusions: the same patients simulated with and without them, ST60 read at the true J point as the median over beats.
Normal hearts: for every normal record of PTB-XL, one simulated sinus record without disease, of the same sex and the
nearest age, out of a few thousand; both measured by our own features. The table that the simulator draws from was
fitted to normal records of PTB-XL 1 to 500 (`fit_simulator`); on these, the comparison is a figure of fit.
"""

from __future__ import annotations

import time
from argparse import Namespace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from omi_estimators import make_forest_pipeline
from omi_estimators.datasets import load_ptbxl, make_omi_ecgs
from omi_estimators.features import GROUPS, NeuroKitFeatures, catalogue, feature_names
from omi_estimators.leads import LEADS
from omi_estimators.metrics import bootstrap_interval

N_OCCLUDED = 1500
POOL_SEEDS, POOL_SIZE = range(10), 600
N_SHOWN = 20
INTERVALS = ("heart_rate", "pr_interval", "qrs_duration", "qt_interval")
AXES = ("p_axis", "qrs_axis", "t_axis")


def run(data: Namespace) -> None:
    """Print what can be compared with the data that are given."""
    show_speed()
    if data.staff is None:
        print("for occlusions, give STAFF III's table with --staff CSV")
    else:
        show_occlusions(pd.read_csv(data.staff))
    if data.ptbxl is None:
        print("for normal hearts, give the folder of PTB-XL with --ptbxl DIR")
        return
    ecgs = load_ptbxl(data.ptbxl, task="mi_vs_norm", sampling_rate=500)
    normal = (ecgs.y == 0) & np.isfinite(ecgs.age + ecgs.sex)
    simulated, age_gap = draw_matched(ecgs.age[normal], ecgs.sex[normal])
    print(f"{normal.sum()} normal records of PTB-XL, as many simulated; ages differ by {age_gap:.1f} years in the mean")
    features = NeuroKitFeatures()
    real, unreal = (features.fit_transform(X) for X in (ecgs.X[normal], simulated))
    show_measurements(real, unreal)
    show_separation(real, unreal, ecgs.groups[normal])


def show_speed() -> None:
    """Print records per second on one core, and how far Einthoven's law is missed."""
    # Processor time, for a core that other work shares is not one core.
    start = time.process_time()
    with threadpool_limits(1):
        ecgs = make_omi_ecgs(300, random_state=0)
    duration = time.process_time() - start
    missed = np.abs(ecgs.X[:, 2] - (ecgs.X[:, 1] - ecgs.X[:, 0])).max()
    again = make_omi_ecgs(300, random_state=0)
    print(f"{len(ecgs.y) / duration:.0f} records/s of 10 s at 500 Hz on one core; III differs from II - I by at most")
    print(
        f"  {1000 * missed:.2g} microvolts (float32); the same seed gives the same: {np.array_equal(ecgs.X, again.X)}"
    )


def measure_st60(ecgs: Bunch) -> NDArray[np.float64]:
    """Return ST60 against the PQ level, median over beats, shape (n_records, 12), in microvolts."""
    onset, j_point = (ecgs.fiducial_names.index(name) for name in ("qrs_onset", "j_point"))
    step = ecgs.sampling_rate / 1000
    levels = np.full(ecgs.X.shape[:2], np.nan)
    for level, signal, beats in zip(levels, ecgs.X, ecgs.fiducials, strict=True):
        at = beats[:, j_point] + round(60 * step)
        base = np.maximum(beats[:, onset] - round(16 * step), 0)
        level[:] = 1000 * np.median(signal[:, at] - signal[:, base], axis=1)
    return levels


def simulate_occlusions(n_patients: int) -> tuple[NDArray[np.str_], NDArray[np.float64], NDArray[np.float64]]:
    """Return territories, and ST60 with the artery open and closed, of the same records."""
    settings = {"records_per_patient": 1, "prevalence": 1.0, "duration": 5, "random_state": 0}
    closed = make_omi_ecgs(n_patients, **settings)
    opened = make_omi_ecgs(n_patients, severity=0, **settings)
    return closed.territory, measure_st60(opened), measure_st60(closed)


def show_occlusions(staff: pd.DataFrame) -> None:
    """Print the median change of ST60 by territory, and how well the largest |ST60| tells occlusion from control."""
    control, occlusion = (
        staff[[f"{state}_{lead}" for lead in LEADS]].to_numpy(dtype=float) for state in ("control", "occlusion")
    )
    territory, before, after = simulate_occlusions(N_OCCLUDED)
    print("median change of ST60 in microvolts, size: root mean square over leads, slope: of simulated on measured")
    for name in ("LAD", "RCA", "LCX"):
        measured = np.nanmedian((occlusion - control)[staff.artery == name], axis=0)
        simulated = np.nanmedian((after - before)[territory == name], axis=0)
        print(f"  {name} ({np.sum(territory == name)}) STAFF III {np.round(measured).astype(int).tolist()}")
        print(f"  {'':9} simulated {np.round(simulated).astype(int).tolist()}")
        r = np.corrcoef(measured, simulated)[0, 1]
        size = np.linalg.norm(simulated) / np.linalg.norm(measured)
        slope = measured @ simulated / (measured @ measured)
        print(f"  {'':9} correlation {r:.3f}, size {size:.2f}, slope {slope:.2f}")
    for name, pair in (("STAFF III", (control, occlusion)), ("simulated", (before, after))):
        score = np.abs(np.concatenate(pair)).max(axis=1)
        y, groups = np.repeat((0, 1), len(pair[0])), np.tile(np.arange(len(pair[0])), 2)
        known = np.isfinite(score)
        interval = bootstrap_interval(y[known], score[known], "roc_auc", groups=groups[known], random_state=0)
        medians = ", ".join(f"{np.median(score[known & (y == state)]):.0f}" for state in (0, 1))
        print(f"  largest |ST60|, {name}: AUROC {interval}; medians {medians} microvolts")


def draw_matched(age: NDArray[np.float64], sex: NDArray[np.float64]) -> tuple[NDArray[np.float32], float]:
    """Return one simulated normal record for each person, of the same sex and nearest age, and the mean gap of age."""
    chosen, gaps = np.full(len(age), -1), np.full(len(age), np.inf)
    pool_age, pool_sex = [], []
    for seed in POOL_SEEDS:
        drawn = draw_normal(seed)
        pool_age.append(drawn[1])
        pool_sex.append(drawn[2])
    ages, sexes = np.concatenate(pool_age), np.concatenate(pool_sex)
    free = np.ones(len(ages), dtype=bool)
    for person in range(len(age)):
        gap = np.where(free & (sexes == sex[person]), np.abs(ages - age[person]), np.inf)
        chosen[person] = gap.argmin()
        gaps[person] = gap.min()
        free[chosen[person]] = False
    # Drawn a second time, so that the pool's waveforms need not be kept.
    X = np.empty((len(age), len(LEADS), 5000), dtype=np.float32)
    first = 0
    for seed, of_seed in zip(POOL_SEEDS, pool_age, strict=True):
        mine = (chosen >= first) & (chosen < first + len(of_seed))
        X[mine] = draw_normal(seed)[0][chosen[mine] - first]
        first += len(of_seed)
    return X, float(gaps.mean())


def draw_normal(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Return waveforms, ages and sexes of simulated people without disease in sinus rhythm."""
    ecgs = make_omi_ecgs(POOL_SIZE, records_per_patient=1, prevalence=0, random_state=seed)
    normal = (ecgs.condition == "normal") & (ecgs.rhythm == "sinus")
    return ecgs.X[normal], ecgs.age[normal], ecgs.sex[normal]


def show_measurements(real: NDArray[np.float64], simulated: NDArray[np.float64]) -> None:
    """Print mean and SD of intervals and axes, and how far the simulated ones are off.

    Axes are in plain degrees, turned to within 180 of the real ones' circular mean. A mean is compared with the
    real mean, or with the real SD where that is larger.
    """
    names = feature_names()
    for name in (*INTERVALS, *AXES):
        pair = [table[:, names.index(name)] for table in (real, simulated)]
        if name in AXES:
            middle = np.degrees(np.angle(np.nanmean(np.exp(1j * np.radians(pair[0])))))
            pair = [middle + (values - middle + 180) % 360 - 180 for values in pair]
        (mean, sd), (new_mean, new_sd) = ((np.nanmean(values), np.nanstd(values)) for values in pair)
        off = (new_mean - mean) / max(abs(mean), sd)
        print(
            f"  {name:12} PTB-XL {mean:6.1f} ± {sd:5.1f}, simulated {new_mean:6.1f} ± {new_sd:5.1f}: "
            f"mean off by {off:+.0%}, SD by {new_sd / sd - 1:+.0%}"
        )


def show_separation(real: NDArray[np.float64], simulated: NDArray[np.float64], groups: NDArray[np.int64]) -> None:
    """Print how well a forest, cross-validated by patient, tells simulated from real, and by what."""
    X = np.concatenate([real, simulated])
    y = np.repeat((0, 1), len(real))
    patients = np.concatenate([groups, groups.max() + 1 + np.arange(len(simulated))])
    columns = np.array([measure.group for measure in catalogue() for _ in range(_n_columns(measure))])
    usual = columns != "quality"
    print("simulated against real, AUROC of a forest:")
    print(f"  all {len(columns)} features {predict(X, y, patients)}")
    print(f"  without those of the group quality {predict(X[:, usual], y, patients)}")
    by_group = (f"{group} {predict(X[:, columns == group], y, patients).estimate:.2f}" for group in GROUPS)
    print(f"  by one group alone: {', '.join(by_group)}")
    importances = make_forest_pipeline(500, random_state=0)[-1].fit(X, y).feature_importances_
    print("  most used (impurity); AUROC alone, mean ± SD of PTB-XL and simulated")
    for column in np.argsort(-importances)[:N_SHOWN]:
        values = X[:, column]
        known = np.isfinite(values)
        alone = roc_auc_score(y[known], values[known])
        shown = (f"{np.mean(values[known & (y == c)]):.4g} ± {np.std(values[known & (y == c)]):.4g}" for c in (0, 1))
        print(f"    {feature_names()[column]:22} {importances[column]:.3f}  {alone:.2f}  {', '.join(shown)}")


def predict(X: NDArray[np.float64], y: NDArray[np.int64], patients: NDArray[np.int64]):
    """Return the AUROC of the forest's out-of-fold probabilities, with its interval by patient."""
    forest = make_forest_pipeline(500, random_state=0)[-1]
    probabilities = np.empty(len(y))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(X, y, patients)
    for train, test in folds:
        probabilities[test] = clone(forest).fit(X[train], y[train]).predict_proba(X[test])[:, 1]
    return bootstrap_interval(y, probabilities, "roc_auc", groups=patients, random_state=0)


def _n_columns(measure) -> int:
    return len(LEADS) if measure.scope == "lead" else 1
