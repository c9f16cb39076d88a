"""The forest on its features against the forest on those it began with, what each group is worth, and each delineator.

Same folds, by patient; three seeds of folds and forest. All seeds are compared at once, as in `recipe`: pairs of
records count within one fold of one seed, and a resampled patient brings its records of every seed.
"""

from __future__ import annotations

import time
from argparse import Namespace

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks._seeds import number_models
from omi_estimators import make_forest_pipeline
from omi_estimators.datasets import load_ptbxl
from omi_estimators.features import DELINEATORS, GROUPS, catalogue, feature_names
from omi_estimators.leads import LEADS, TERRITORIES
from omi_estimators.metrics import bootstrap_difference, bootstrap_interval

SEEDS = (0, 1, 2)
N_FOLDS = 5
METRICS = {"roc_auc": "AUROC", "average_precision": "AP"}
# The 226 features of the first forest.
FIRST = {
    *("heart_rate", "hrv_sdnn", "hrv_rmssd", "hrv_pnn50", "p_duration", "pr_interval", "qrs_duration", "qt_interval"),
    *("qtc_bazett", "qtc_fridericia", "jt_interval", "jtc_bazett", "tpeak_tend", "tpeak_tend_qt_ratio"),
    *("st60_max", "st60_min", "st60_abs_sum", "qrs_axis", "t_axis", "qrs_t_angle", "qrs_t_angle_spatial"),
    *(f"vcg_{part}_{what}" for part in ("qrs", "t") for what in ("azimuth", "elevation", "magnitude")),
    *(f"st_concavity_{territory}" for territory in TERRITORIES),
    *(f"{what}_{part}" for what in ("pca_ratio", "nondipolar", "rms") for part in ("beat", "qrs", "st", "stt", "t")),
}
FIRST_BY_LEAD = {
    *("p_amplitude", "q_amplitude", "r_amplitude", "s_amplitude", "qrs_amplitude", "qrs_area", "q_duration"),
    *("j_amplitude", "st60", "st80", "st_amplitude", "st_slope", "t_amplitude", "t_area", "t_qrs_ratio"),
}


def run(data: Namespace) -> None:
    """Print the forests' figures and their paired differences from the first one."""
    if data.ptbxl is None:
        print("PTB-XL is needed: give its folder with --ptbxl DIR")
        return
    ecgs = load_ptbxl(data.ptbxl, task="mi_vs_norm")
    pipeline = make_forest_pipeline(ecgs.sampling_rate, n_jobs=-1)
    usual = pipeline[0].include
    table = pipeline[0].set_params(include=None).fit_transform(ecgs.X)
    names = np.array(feature_names())
    first = np.isin(names, [*FIRST, *(f"{measure}_{lead}" for measure in FIRST_BY_LEAD for lead in LEADS)])
    normal = dict(zip(names, np.nanmedian(table[ecgs.y == 0], axis=0), strict=True))
    azimuth, elevation = (normal[f"vcg_t_{angle}"] for angle in ("azimuth", "elevation"))
    print(f"T points {azimuth:.0f} degrees forward and {elevation:.0f} downward in normals")
    print(f"PTB-XL, MI against normal: {len(ecgs.y)} records, {int(ecgs.y.sum())} events, {len(SEEDS)} seeds")
    y, groups = np.tile(ecgs.y, len(SEEDS)), np.tile(ecgs.groups, len(SEEDS))
    splits = {
        seed: list(StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed).split(table, ecgs.y, ecgs.groups))
        for seed in SEEDS
    }
    models = np.concatenate([number_models(splits[seed], len(ecgs.y), seed) for seed in SEEDS])
    groups_of = {"the forest's": usual}
    groups_of |= {f"without {group}": tuple(other for other in usual if other != group) for group in usual}
    groups_of |= {f"with {group}": (*usual, group) for group in GROUPS if group not in usual}
    chosen = {"the first": first}
    chosen |= {name: np.isin(names, feature_names(include=include)) for name, include in groups_of.items()}
    scores: dict[str, np.ndarray] = {}
    for name, columns in chosen.items():
        forests = ((clone(pipeline[-1]).set_params(random_state=seed), splits[seed]) for seed in SEEDS)
        scores[name] = np.concatenate([predict(forest, table[:, columns], ecgs.y, folds) for forest, folds in forests])
        given = {"groups": groups, "folds": models, "random_state": 0}
        reference = "the first" if name == "the forest's" else "the forest's"
        shown = []
        for metric, short in METRICS.items():
            shown.append(f"{short} {bootstrap_interval(y, scores[name], metric, **given)}")
            if name != "the first":
                shown.append(
                    f"minus {reference} {bootstrap_difference(y, scores[name], scores[reference], metric, **given)}"
                )
        print(f"  {name:18} {columns.sum():3d} features: {', '.join(shown)}", flush=True)
    _compare_delineators(ecgs, pipeline, table, splits, {"groups": groups, "folds": models, "random_state": 0})
    print(f"{len(catalogue())} measures in {len(GROUPS)} groups; docs/features.md lists them")


def _compare_delineators(ecgs, pipeline, table: np.ndarray, splits: dict, given: dict) -> None:
    """Print what the forest reaches on the same table by each delineator, what it costs, and how much is measured.

    A published forest on NeuroKit2's features alone has AUROC 0.936 for MI on all of PTB-XL, with complete features in
    45 % of the records.
    """
    names = feature_names()
    wanted = [names.index(name) for name in ("p_duration", "pr_interval", "qrs_duration", "qt_interval", "t_axis")]
    columns = np.isin(names, feature_names(include=pipeline[0].include))
    y = np.tile(ecgs.y, len(SEEDS))
    scores: dict[str, np.ndarray] = {}
    for delineator in DELINEATORS:
        features = clone(pipeline[0]).set_params(include=None, delineator=delineator, n_jobs=1)
        ratios = []
        for record in ecgs.X[:20]:
            seconds = []
            for one in (features, clone(features).set_params(delineator="median")):
                start = time.perf_counter()
                one.fit_transform(record[np.newaxis])
                seconds.append(time.perf_counter() - start)
            ratios.append(seconds[0] / seconds[1])
        measured = table if delineator == "median" else features.set_params(n_jobs=-1).fit_transform(ecgs.X)
        scores[delineator] = np.concatenate(
            [
                predict(clone(pipeline[-1]).set_params(random_state=seed), measured[:, columns], ecgs.y, splits[seed])
                for seed in SEEDS
            ]
        )
        less = ""
        if delineator != "median":
            difference = bootstrap_difference(y, scores[delineator], scores["median"], "roc_auc", **given)
            less = f", minus median {difference}"
        complete = np.isfinite(measured[:, wanted]).all(axis=1).mean()
        interval = bootstrap_interval(y, scores[delineator], "roc_auc", **given)
        print(
            f"  delineator {delineator:10} AUROC {interval}{less}; "
            f"P, PR, QRS, QT and T axis all measured in {complete:.0%} of records; "
            f"{np.median(ratios):.1f} times the time of median",
            flush=True,
        )


def predict(forest, table: np.ndarray, y: np.ndarray, splits: list) -> np.ndarray:
    """Return out-of-fold probabilities."""
    probabilities = np.empty(len(y))
    for train, test in splits:
        probabilities[test] = forest.fit(table[train], y[train]).predict_proba(table[test])[:, 1]
    return probabilities
