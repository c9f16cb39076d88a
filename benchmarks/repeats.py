"""How often intervals of repeated cross-validation hold the truth, and what the split alone moves on real ECGs.

Simulated patients have 1.4 records each on average; a logistic regression gets four features that tell and ten that do
not. Two regressions that differ only in the latter ten are equal in truth. A model's true AUROC is known from the
normal distributions of its scores; the true AUROC is the mean over the models of all cohorts. Shares are given for the
bootstrap of patients alone, with the variance of the mean over repeats added (what `compare_estimators` does), and for
the corrected resampled t test of folds (Nadeau and Bengio, doi:10.1023/A:1024068626366).

With --ptbxl the forest and a regression on the same features are compared on real ECGs, five times.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from argparse import Namespace

import numpy as np
import pandas as pd
from scipy.special import ndtr
from scipy.stats import rankdata
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from omi_estimators.evaluation._tables import Tested
from omi_estimators.metrics import bootstrap_intervals

N_DATA_SETS = 200
N_PATIENTS = (200, 600)
N_REPEATS = 5
N_FOLDS = 5
N_RESAMPLES = 400
PREVALENCE = 0.3
EFFECT = 0.6
PATIENT_SHARE = 0.8
N_TELLING, N_NOISE = 4, 10
METHODS = ("bootstrap", "bootstrap + repeats", "corrected t")


def run(data: Namespace) -> None:
    """Print coverage and errors of the first kind, and with PTB-XL the spread over splits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n_patients in N_PATIENTS:
            simulate(n_patients)
        if data.ptbxl:
            compare_real(data.ptbxl)


def simulate(n_patients: int) -> None:
    """Print the shares for cohorts of one size."""
    found = [one_cohort(np.random.default_rng([n_patients, seed]), n_patients) for seed in range(N_DATA_SETS)]
    true_area = float(np.mean([cohort["areas"] for cohort in found]))
    here = [float(np.mean(cohort["areas"])) for cohort in found]
    print(
        f"\n{N_DATA_SETS} cohorts of {n_patients} patients, {N_FOLDS} folds; true AUROC {true_area:.3f}, of the models "
        f"of a cohort {np.std(here):.3f} (standard deviation) around it; nominal 95 %"
    )
    for n_repeats in (1, N_REPEATS):
        table = pd.DataFrame([cohort[n_repeats] for cohort in found])
        print(
            f"repeats={n_repeats}: standard deviation over cohorts {table['area'].std():.4f}, of the difference "
            f"{table['difference'].std():.4f}; mean over repeats less truth {table['area'].mean() - true_area:+.4f}; "
            f"mean spread over repeats {table['spread'].mean():.4f}"
        )
        for method in METHODS:
            low, high = table[f"{method} low"], table[f"{method} high"]
            shares = {
                "covers the true AUROC": (low <= true_area) & (true_area <= high),
                "that of its models": (low <= here) & (here <= high),
                "equal models differ": table[f"{method} differs"],
            }
            text = ", ".join(
                f"{name} {share.mean():.1%} ± {math.sqrt(share.mean() * (1 - share.mean()) / len(share)):.1%}"
                for name, share in shares.items()
            )
            print(f"  {method:20} {text}, mean width {(high - low).mean():.3f}", flush=True)


def draw(rng: np.random.Generator, n_patients: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return labels, patients, and the features of two models that share those that tell."""
    groups = np.repeat(np.arange(n_patients), 1 + rng.poisson(0.4, size=n_patients))
    y = (rng.random(n_patients) < PREVALENCE)[groups].astype(int)

    def features(number: int, effect: float) -> np.ndarray:
        of_patient = rng.normal(scale=math.sqrt(PATIENT_SHARE), size=(n_patients, number))[groups]
        of_record = rng.normal(scale=math.sqrt(1 - PATIENT_SHARE), size=(len(groups), number))
        return effect * y[:, np.newaxis] + of_patient + of_record

    telling = features(N_TELLING, EFFECT)
    return y, groups, [np.hstack([telling, features(N_NOISE, 0)]) for _ in range(2)]


def one_cohort(rng: np.random.Generator, n_patients: int) -> dict:
    """Return true areas of a cohort's models of one kind, and for each number of repeats what the methods say."""
    y, groups, both = draw(rng, n_patients)
    of_patient = y[np.unique(groups, return_index=True)[1]]
    scores = np.empty((N_REPEATS, len(y), 2))
    folds = np.empty((N_REPEATS, len(y)), dtype=int)
    areas, of_folds = [], np.empty((N_REPEATS, N_FOLDS, 2))
    for repeat in range(N_REPEATS):
        # Patients have one label each, so that stratified folds of patients are quickly found.
        splitter = StratifiedKFold(N_FOLDS, shuffle=True, random_state=int(rng.integers(2**31)))
        for fold, (_, patients) in enumerate(splitter.split(of_patient, of_patient)):
            test = np.isin(groups, patients)
            train = ~test
            folds[repeat, test] = repeat * N_FOLDS + fold
            for number, X in enumerate(both):
                model = LogisticRegression(C=10).fit(X[train], y[train])
                scores[repeat, test, number] = model.decision_function(X[test])
                of_folds[repeat, fold, number] = find_area(y[test], scores[repeat, test, number])
                if number == 0:
                    # Scores are normal in each class: sums of independent features with a variance of one.
                    apart = EFFECT * model.coef_[0, :N_TELLING].sum() / np.linalg.norm(model.coef_)
                    areas.append(float(ndtr(apart / math.sqrt(2))))
    found: dict = {"areas": areas}
    for n in (1, N_REPEATS):
        found[n] = judge(np.tile(y == 1, n), np.tile(groups, n), scores[:n], folds[:n].ravel(), of_folds[:n], n)
    return found


def judge(
    positive: np.ndarray, units: np.ndarray, scores: np.ndarray, folds: np.ndarray, of_folds: np.ndarray, n: int
) -> dict:
    """Return the intervals of each method, and whether it calls the two models different."""
    columns = pd.DataFrame(scores.reshape(-1, 2), columns=["a", "b"])
    settings = {"metrics": ["roc_auc"], "reference": "b", "n_resamples": N_RESAMPLES, "random_state": 0}
    given = {name: column.to_numpy() for name, column in columns.items()}
    plain = bootstrap_intervals(positive, given, groups=units, folds=folds, **settings)["a"]
    added = plain if n == 1 else Tested(columns, positive, units, folds, n).intervals(**settings)["a"]
    row: dict = {"area": added["roc_auc"].estimate, "difference": added["roc_auc_difference"].estimate}
    row["spread"] = added["roc_auc"].spread or 0.0
    for method, figures in zip(METHODS, (plain, added), strict=False):
        area, difference = figures["roc_auc"], figures["roc_auc_difference"]
        row |= {f"{method} low": area.low, f"{method} high": area.high}
        row[f"{method} differs"] = not difference.low <= 0 <= difference.high
    method, areas = METHODS[2], of_folds.reshape(-1, 2)
    mean, half = corrected_t(areas[:, 0])
    row |= {f"{method} low": mean - half, f"{method} high": mean + half}
    mean, half = corrected_t(areas[:, 0] - areas[:, 1])
    row[f"{method} differs"] = abs(mean) > half
    return row


def find_area(y: np.ndarray, score: np.ndarray) -> float:
    """Return the AUROC by ranks."""
    n_events = y.sum()
    rank_sum = rankdata(score)[y == 1].sum() - n_events * (n_events + 1) / 2
    return float(rank_sum / n_events / (len(y) - n_events))


def corrected_t(values: np.ndarray) -> tuple[float, float]:
    """Return the mean over folds of all repeats, and half its interval by the corrected resampled t test."""
    variance = (1 / len(values) + 1 / (N_FOLDS - 1)) * values.var(ddof=1)
    return float(values.mean()), float(student.ppf(0.975, len(values) - 1) * math.sqrt(variance))


def compare_real(folder: str) -> None:
    """Print what splits and seeds move on PTB-XL, beside the interval of patients."""
    from omi_estimators.candidates import make_candidates
    from omi_estimators.datasets import load_ptbxl
    from omi_estimators.evaluation import compare_estimators

    data = load_ptbxl(folder, "mi_vs_norm", sampling_rate=500)
    with tempfile.TemporaryDirectory() as cache:
        estimators = make_candidates(("forest", "regression"), 500, memory=cache, n_jobs=1)
        given = {"groups": data.groups, "target_names": data.target_names, "random_state": 0, "verbose": 0}
        results = [compare_estimators(estimators, data.X, data.y, repeats=n, **given) for n in (1, N_REPEATS)]
    counts = results[0].counts
    print(f"\nPTB-XL: {counts['n_records']} records of {counts['n_patients']} patients, {counts['n_events']} with MI")
    for n, result in zip((1, N_REPEATS), results, strict=True):
        print(f"repeats={n}\n{result}\n{result.calibration_summary().rename_axis(None).to_string()}")
    codes = results[1].folds
    weights = codes["n_events"] * (codes["n_test"] - codes["n_events"])
    pairs = pd.DataFrame({"w": weights, "a": weights * codes["roc_auc"], "r": codes["repeat"], "e": codes["estimator"]})
    sums = pairs.groupby(["e", "r"])[["a", "w"]].sum()
    for name, areas in (sums["a"] / sums["w"]).groupby("e", sort=False):
        print(f"{name}: AUROC of each repeat {', '.join(f'{area:.3f}' for area in areas)}")
