"""What recalibration makes of known shifts, what closed testing picks, and how often it changes what is right.

Patients have 1.4 records each on average, which share their label and most of the noise of their log-odds. What the
model says is known to be wrong by an intercept and a slope of log-odds, or by the prevalence of the place. A
recalibrated model is judged by slope and intercept in all patients to come, whose log-odds are known: 2,000 quantiles
stand for them.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri
from sklearn.base import BaseEstimator, ClassifierMixin

from omi_estimators import recalibrate
from omi_estimators.metrics import calibration_slope_intercept

N_COHORTS = 200
N_UNCHANGED = 500
N_QUANTILES = 2000
TRAINED_AT = 0.2
SIZES = (100, 200, 1500)
METHODS = ("auto", "intercept", "slope", "isotonic")
PICKS = ("none", "intercept", "slope", "refused")
QUARTILES = (0.25, 0.5, 0.75)


class LogOdds(ClassifierMixin, BaseEstimator):
    """A model whose log-odds are its only feature."""

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> LogOdds:
        """Know the two classes."""
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return both probabilities."""
        return np.column_stack([expit(-X[:, 0]), expit(X[:, 0])])


@dataclass(frozen=True)
class Place:
    """Where a model is used that was made at a prevalence of 20 %.

    Attributes
    ----------
    name : str
        What is other there.
    prevalence : float
        Share of patients with events.
    intercept, slope : float
        What would mend the log-odds of the model, beside the prevalence.
    more_records : float
        Mean number of records of a patient after the first.
    """

    name: str
    prevalence: float = TRAINED_AT
    intercept: float = 0.0
    slope: float = 1.0
    more_records: float = 0.4

    def draw(self, n_patients: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return records, labels and patients: log-odds are normal in each class, and right at the training place."""
        groups = np.repeat(np.arange(n_patients), 1 + rng.poisson(self.more_records, n_patients))
        y = (rng.random(n_patients) < self.prevalence)[groups].astype(int)
        noise = np.sqrt(0.8) * rng.normal(size=n_patients)[groups] + np.sqrt(0.2) * rng.normal(size=len(groups))
        return self.tell(y, noise), y, groups

    def tell(self, y: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return what the model says."""
        right = logit(TRAINED_AT) + np.where(y == 1, 2, -2) + 2 * noise
        return (right[:, np.newaxis] - self.intercept) / self.slope

    def draw_all(self) -> tuple[np.ndarray, np.ndarray]:
        """Return records and labels that stand for all patients: quantiles of each class."""
        sizes = [N_QUANTILES - round(self.prevalence * N_QUANTILES), round(self.prevalence * N_QUANTILES)]
        y = np.repeat([0, 1], sizes)
        return self.tell(y, np.concatenate([ndtri((np.arange(n) + 0.5) / n) for n in sizes])), y


PLACES = (
    Place("nothing"),
    Place("prevalence x 3", prevalence=0.6),
    Place("prevalence / 3", prevalence=0.2 / 3),
    Place("intercept 0.7", intercept=0.7),
    Place("slope 0.5", slope=0.5),
    Place("slope 0.5, prevalence x 3", prevalence=0.6, slope=0.5),
    Place("slope 0.5, prevalence / 3", prevalence=0.2 / 3, slope=0.5),
)
UNCHANGED = (
    Place("1.4 records"),
    Place("1 record", more_records=0),
    Place("5 records", more_records=4),
)


def run(data: Namespace) -> None:
    """Print slopes and intercepts after recalibration, and what was picked."""
    model = LogOdds().fit(np.zeros((0, 1)))
    print(f"{N_COHORTS} cohorts each; slope and intercept in all patients: median (quartiles)")
    for place in PLACES:
        X, y = place.draw_all()
        line = calibration_slope_intercept(y, expit(X[:, 0]))
        print(f"\n{place.name}: as it is slope {line.slope:.2f}, intercept {line.intercept:+.2f}")
        for size in SIZES:
            for method in METHODS:
                rng = np.random.default_rng(0)
                found = [judge(model, place.draw(size, rng), method, X, y) for _ in range(N_COHORTS)]
                report(f"{size:5d} patients, {method:9}", found, method)
    error = np.sqrt(0.05 * 0.95 / N_UNCHANGED)
    print(f"\nShare of {N_UNCHANGED} cohorts in which a model was changed though nothing is wrong, counting patients,")
    print(f"and counting each record as a patient; the standard error of 5 % is {error:.1%}")
    for place in UNCHANGED:
        for size in SIZES:
            rng = np.random.default_rng(2)
            found = np.array([count_changes(model, place.draw(size, rng)) for _ in range(N_UNCHANGED)])
            print(f"{place.name}, {size:5d} patients: {found[:, 0].mean():.1%}, {found[:, 1].mean():.1%}", flush=True)


def judge(
    model: LogOdds, cohort: tuple[np.ndarray, ...], method: str, X: np.ndarray, y: np.ndarray
) -> tuple[str, float, float]:
    """Return what was picked, and slope and intercept in all; of a refusal those of the model as it is."""
    try:
        recalibrated = recalibrate(model, *cohort, method=method)
    except ValueError:
        picked, prob = "refused", model.predict_proba(X)
    else:
        picked, prob = recalibrated.method_, recalibrated.predict_proba(X)
    line = calibration_slope_intercept(y, prob[:, 1])
    return picked, line.slope, line.intercept


def report(name: str, found: list[tuple[str, float, float]], method: str) -> None:
    """Print what became of all cohorts of one size."""
    picks, slopes, intercepts = (np.array(values) for values in zip(*found, strict=True))
    if (picks == "refused").all():
        print(f"{name}: refused")
        return
    slope, intercept = (np.quantile(values, QUARTILES) for values in (slopes, intercepts))
    shares = ", ".join(f"{pick} {(picks == pick).mean():.0%}" for pick in PICKS if (picks == pick).any())
    print(
        f"{name}: slope {slope[1]:.2f} ({slope[0]:.2f} to {slope[2]:.2f}), intercept {intercept[1]:+.2f} "
        f"({intercept[0]:+.2f} to {intercept[2]:+.2f}); {shares if method == 'auto' or 'refused' in shares else ''}",
        flush=True,
    )


def count_changes(model: LogOdds, cohort: tuple[np.ndarray, ...]) -> tuple[bool, bool]:
    """Return whether a cohort made closed testing change a model, with patients and without."""
    X, y, groups = cohort
    changed = []
    for patients in (groups, None):
        try:
            changed.append(recalibrate(model, X, y, patients).method_ != "none")
        except ValueError:
            changed.append(False)
    return changed[0], changed[1]
