"""Whether figures of `validate_model` are right, how often its intervals hold the truth, and what real ECGs give.

Simulated cohorts have 1.4 records for each patient on average, who share their label and most of the noise of their
log-odds. Log-odds are normal in each class, with means of plus and minus half the variance around that of the
prevalence: then they are right, and true values are known or integrated. A stand-in classifier answers with them,
shifted or stretched as a case says.

With --ptbxl and --ludb a forest with risk tiers is fitted on half of the patients of PTB-XL, infarction against normal,
and validated on the other half and on LUDB. An infarction of LUDB is a record whose diagnoses name STEMI or scar
formation; records of ischemia, or of "undefined ischemia/scar/supp. NSTEMI", without either are left out; the negatives
are all others, whatever else they have (hypertrophy, blocks, fibrillation).
"""

from __future__ import annotations

import math
import re
import warnings
from argparse import Namespace
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import wfdb
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from benchmarks._ludb import SAMPLING_RATE, find_records, read_signal
from omi_estimators import RiskTierClassifier, make_forest_pipeline, validate_model
from omi_estimators.datasets import load_ptbxl
from omi_estimators.metrics import bootstrap_intervals

N_COHORTS = 500
N_FOLDS_OF_HALF = 5
N_RESAMPLES = 500
PREVALENCE = 0.15
# Variance of log-odds within a class, and the share of it that the records of a patient have in common.
SPREAD, OF_PATIENT = 4.0, 0.8
RULE_OUT, MAX_F1, RULE_IN = 0.05, 0.2, 0.7
# As in the package: nearer to 0 and 1 there are no log-odds to fit a line to.
CLIP = 1e-6
TOLD = ("roc_auc", "calibration_slope", "calibration_intercept", "brier_score", "observed_expected_ratio")


@dataclass(frozen=True)
class Case:
    """How a cohort differs from the one that the stand-in's answers are right for.

    Attributes
    ----------
    name : str
        In words.
    odds : float
        Its prevalence is that of training times this.
    slope : float
        The calibration slope that is to be found.
    """

    name: str
    odds: float = 1.0
    slope: float = 1.0


CASES = (
    Case("as trained"),
    Case("prevalence x 3", odds=3),
    Case("prevalence / 3", odds=1 / 3),
    Case("slope 0.5", slope=0.5),
    Case("prevalence x 3 and slope 0.5", odds=3, slope=0.5),
)
# Numbers of patients, and cases, whose intervals are counted.
COVERED = ((350, CASES[0]), (350, CASES[3]), (1000, CASES[0]))


class Answers(ClassifierMixin, BaseEstimator):
    """A fitted classifier that answers with the log-odds it is given."""

    classes_ = np.array([0, 1])

    def fit(self, X: Any, y: Any) -> Answers:
        """Learn nothing."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the probabilities that the log-odds in the only column mean."""
        prob = np.clip(expit(X[:, 0]), CLIP, 1 - CLIP)
        return np.column_stack([1 - prob, prob])


def draw(case: Case, n_patients: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the stand-in answers (log-odds), labels and patients."""
    groups = np.repeat(np.arange(n_patients), 1 + rng.poisson(0.4, size=n_patients))
    y = (rng.random(n_patients) < case.odds * PREVALENCE)[groups].astype(int)
    shared, own = rng.normal(size=n_patients)[groups], rng.normal(size=len(groups))
    noise = math.sqrt(SPREAD) * (math.sqrt(OF_PATIENT) * shared + math.sqrt(1 - OF_PATIENT) * own)
    return (logit(PREVALENCE) + SPREAD * (y - 0.5) + noise) / case.slope, y, groups


def find_truth(case: Case) -> dict[str, float]:
    """Return the true figures by integration over the normal distributions of both classes."""
    x = np.linspace(-30, 30, 200_001)
    prevalence = case.odds * PREVALENCE
    centre, deviation = logit(PREVALENCE), math.sqrt(SPREAD)
    weights = [
        share * norm.pdf(x, centre + sign * SPREAD / 2, deviation) * (x[1] - x[0])
        for share, sign in ((1 - prevalence, -1), (prevalence, 1))
    ]
    answer = x / case.slope
    expected = float(((weights[0] + weights[1]) * expit(answer)).sum())
    excess = lambda shift: float(((weights[0] + weights[1]) * expit(answer + shift)).sum()) - prevalence  # noqa: E731
    return {
        "roc_auc": float(norm.cdf(SPREAD / (deviation * math.sqrt(2)))),
        "calibration_slope": case.slope,
        "calibration_intercept": float(brentq(excess, -10, 10)),
        "brier_score": float((weights[0] * expit(answer) ** 2 + weights[1] * expit(-answer) ** 2).sum()),
        "observed_expected_ratio": prevalence / expected,
    }


def compute_by_hand(prob: np.ndarray, y: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """Return the figures of a cohort by other ways than the package's."""
    log_odds = logit(prob)
    line = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(log_odds[:, np.newaxis], y)
    return {
        "roc_auc": float(roc_auc_score(y, prob)),
        "calibration_slope": float(line.coef_[0, 0]),
        "calibration_intercept": float(brentq(lambda shift: expit(log_odds + shift).sum() - y.sum(), -10, 10)),
        "brier_score": float(np.mean((prob - y) ** 2)),
        "observed_expected_ratio": float(y.sum() / prob.sum()),
        "net_benefit": float(np.mean((prob >= RULE_OUT) * np.where(y == 1, 1, -RULE_OUT / (1 - RULE_OUT)))),
        "sensitivity": float(pd.Series(prob >= RULE_OUT)[y == 1].groupby(groups[y == 1]).mean().mean()),
    }


def run(data: Namespace) -> None:
    """Print figures beside those by hand and the true ones, coverage, and what real ECGs give."""
    compare_with_hand()
    measure_coverage()
    if data.ptbxl and data.ludb:
        validate_real(data.ptbxl, data.ludb)
    else:
        print("\nreal ECGs need --ptbxl and --ludb")


def compare_with_hand() -> None:
    """Print the figures of a large cohort of each case, the true ones, and the greatest difference to those by hand."""
    print("one cohort of 20,000 patients each; in brackets the true figure")
    for case in CASES:
        log_odds, y, groups = draw(case, 20_000, np.random.default_rng(0))
        X, cuts = log_odds[:, np.newaxis], (RULE_OUT, MAX_F1, RULE_IN)
        given = {"thresholds": cuts, "promises": {"sensitivity": 0.9}, "n_resamples": 2, "random_state": 0}
        result = validate_model(Answers(), X, y, groups, **given)
        found, truth = result.figures["estimate"], find_truth(case)
        words = ", ".join(f"{name} {found[name]:.3f} ({truth[name]:.3f})" for name in TOLD)
        net, kept = result.net_benefits.loc[RULE_OUT, "net_benefit"], result.promises["found"].iloc[0]
        same = {**found.to_dict(), "net_benefit": net, "sensitivity": kept}
        hand = compute_by_hand(Answers().predict_proba(X)[:, 1], y, groups)
        worst = max(abs(same[name] - value) for name, value in hand.items())
        print(f"{case.name:30} {words}; by hand: differs by {worst:.1g} at most", flush=True)


def measure_coverage() -> None:
    """Print how often intervals hold the truth."""
    error = math.sqrt(0.95 * 0.05 / N_COHORTS)
    print(f"\n{N_COHORTS} cohorts, {N_RESAMPLES} resamples; 95 % intervals hold the truth (standard error {error:.1%})")
    for size, case in COVERED:
        truth = find_truth(case)
        held: dict[str, list[bool]] = {name: [] for name in TOLD}
        for seed in range(N_COHORTS):
            log_odds, y, groups = draw(case, size, np.random.default_rng(seed))
            for name, interval in find_intervals(log_odds, y, groups, seed).items():
                held[name].append(interval.low <= truth[name] <= interval.high)
        words = ", ".join(f"{name} {np.mean(values):.1%}" for name, values in held.items())
        print(f"{size:5} patients, {case.name:12} {words}", flush=True)


def find_intervals(log_odds: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int) -> dict[str, Any]:
    """Return the intervals that `validate_model` has of cohorts of these sizes, without the rest of its work."""
    given: dict[str, Any] = {"groups": groups, "n_resamples": N_RESAMPLES, "method": "bca", "random_state": seed}
    return bootstrap_intervals(y, {"model": expit(log_odds)}, TOLD, **given)["model"]


def validate_real(ptbxl: str, ludb: str) -> None:
    """Print what a forest with tiers, fitted on half of PTB-XL's patients, is worth on the other half and on LUDB."""
    data = load_ptbxl(ptbxl, task="mi_vs_norm", sampling_rate=SAMPLING_RATE)
    # Halves of the patients, as they come by number of fold.
    first = data.fold <= N_FOLDS_OF_HALF
    forest = make_forest_pipeline(SAMPLING_RATE, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = RiskTierClassifier(forest, random_state=0).fit(data.X[first], data.y[first], groups=data.groups[first])
        print(f"\nfitted on {first.sum()} records of PTB-XL, {data.y[first].sum()} with MI: {model.thresholds_}")
        sex, known = np.where(data.sex == 1, "female", "male"), {"training_groups": data.groups[first]}
        X, y, kept = read_ludb(ludb)
        cohorts = {
            "the other half of PTB-XL": (data.X[~first], data.y[~first], data.groups[~first], sex[~first], known),
            f"LUDB, {kept} records left out": (X, y, None, None, {}),
        }
        for name, (X, y, groups, by_sex, more) in cohorts.items():
            subgroups = None if by_sex is None else {"sex": by_sex}
            names = ("normal or other", "MI")
            found = validate_model(model, X, y, groups, subgroups=subgroups, target_names=names, random_state=0, **more)
            print(f"\n{name}: {found.counts}\n{found}")
            for table in (found.promises, found.tiers, found.net_benefits, found.subgroups, found.not_judged):
                print(f"\n{table.round(3).to_string()}", flush=True)


def read_ludb(folder: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Return records of LUDB, whether they show an infarction, and how many with ischemia alone were left out."""
    records, labels, n_left_out = [], [], 0
    for stem in find_records(folder):
        text = " ".join(wfdb.rdheader(stem).comments).lower()
        infarction = bool(re.search(r"(?<!n)stemi:|scar formation:", text))
        if not infarction and "ischemia" in text:
            n_left_out += 1
            continue
        records.append(read_signal(stem))
        labels.append(int(infarction))
    return np.stack(records), np.array(labels), n_left_out
