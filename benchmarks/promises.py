"""How often thresholds keep their promises on all patients, and what a guarantee costs.

Thresholds are chosen on simulated cohorts, most of them of 350 patients with 1.4 records each on average; the records
of a patient share their label and most of the noise of their scores. The true sensitivity and PPV of a threshold are
known from the normal distributions that scores come from: those of one record of each patient. A promise is broken
where they fall short of what was asked.
"""

from __future__ import annotations

import math
import warnings
from argparse import Namespace
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from omi_estimators.metrics import tier_thresholds

N_COHORTS = 2000
SENSITIVITY, PPV = 0.9, 0.85
GUARANTEES = (None, 0.8, 0.9, 0.95)
PLATEAU_PPV = 0.845


@dataclass(frozen=True)
class Population:
    """Where cohorts come from.

    Attributes
    ----------
    name : str
        What is special about it.
    n_patients : int
        Patients of a cohort.
    effect : float
        How far the scores of positives lie above those of negatives, in standard deviations.
    more_records : float
        Mean number of records of a patient after the first.
    of_patient : float
        Share of the variance of scores that records of a patient have in common.
    prevalence : float
        Share of patients with events.
    more_where_low : bool
        Whether patients with low scores have more records than others.
    """

    name: str
    n_patients: int = 350
    effect: float = 2.5
    more_records: float = 0.4
    of_patient: float = 0.8
    prevalence: float = 0.2
    more_where_low: bool = False

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return labels, scores and patients of a cohort."""
        shared = rng.normal(size=self.n_patients)
        mean = self.more_records * (2 * (shared < 0) if self.more_where_low else np.ones(self.n_patients))
        groups = np.repeat(np.arange(self.n_patients), 1 + rng.poisson(mean))
        y = (rng.random(self.n_patients) < self.prevalence)[groups].astype(int)
        noise = math.sqrt(1 - self.of_patient) * rng.normal(size=len(groups))
        return y, self.effect * y + math.sqrt(self.of_patient) * shared[groups] + noise, groups

    def find_truth(self, cut: float) -> tuple[float, float, float]:
        """Return the true sensitivity, specificity and PPV of a threshold."""
        sensitivity, specificity = float(ndtr(self.effect - cut)), float(ndtr(cut))
        hits, false_alarms = self.prevalence * sensitivity, (1 - self.prevalence) * (1 - specificity)
        return sensitivity, specificity, hits / (hits + false_alarms) if hits > 0 else math.nan


POPULATIONS = (
    Population("AUROC 0.86", effect=1.5),
    Population("AUROC 0.96"),
    Population("AUROC 0.98, 120 patients", n_patients=120, effect=3),
    Population("AUROC 0.96, 1500 patients", n_patients=1500),
    Population("AUROC 0.96, 5 records each, less alike", more_records=4, of_patient=0.5),
    Population("AUROC 0.96, more records of low scores", more_records=1, more_where_low=True),
)


def run(data: Namespace) -> None:
    """Print how often promises are broken, and the specificity and sensitivity that are left."""
    print(f"{N_COHORTS} cohorts; asked for a sensitivity of {SENSITIVITY:g} and a PPV of {PPV:g}")
    error = math.sqrt(0.1 * 0.9 / N_COHORTS)
    print(f"standard error of a share of 10 %: {error:.1%}")
    for population in POPULATIONS:
        print(f"\n{population.name}: {population.n_patients} patients, {1 + population.more_records:g} records each")
        for guarantee in GUARANTEES:
            rng = np.random.default_rng(0)
            found = np.array([choose(*population.draw(rng), guarantee) for _ in range(N_COHORTS)])
            report(population, found, guarantee)
    print(f"\nPPV of {PLATEAU_PPV:g} wherever it is highest, so that whoever rules in breaks the promise: 350 patients")
    for guarantee in GUARANTEES:
        rng = np.random.default_rng(0)
        found = np.array([choose(*draw_plateau(rng), guarantee) for _ in range(N_COHORTS)])
        print(f"guarantee {guarantee or 'none':>4}: rule-in broken {np.isfinite(found[:, 1]).mean():.1%}", flush=True)


def choose(y: np.ndarray, score: np.ndarray, groups: np.ndarray, guarantee: float | None) -> tuple[float, float]:
    """Return rule-out and rule-in threshold of a cohort; NaN where it is too small to promise anything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = tier_thresholds(
                y,
                score,
                sensitivity=SENSITIVITY,
                ppv=PPV,
                guarantee=guarantee,
                groups=groups,
                n_resamples=1,
                random_state=0,
            )
        except ValueError:
            return math.nan, math.nan
    return found.rule_out.estimate, found.rule_in.estimate


def report(population: Population, found: np.ndarray, guarantee: float | None) -> None:
    """Print what became of the thresholds of all cohorts."""
    found = found[~np.isnan(found[:, 0])]
    out = np.array([population.find_truth(cut)[:2] for cut in found[:, 0]])
    ruled_in = found[np.isfinite(found[:, 1]), 1]
    into = np.array([population.find_truth(cut) for cut in ruled_in]).reshape(-1, 3)
    print(
        f"guarantee {guarantee or 'none':>4}: rule-out broken {(out[:, 0] < SENSITIVITY).mean():5.1%}, specificity "
        f"{out[:, 1].mean():.3f}, sensitivity {out[:, 0].mean():.3f}; rule-in broken "
        f"{(into[:, 2] < PPV).sum() / len(found):5.1%}, sensitivity {into[:, 0].sum() / len(found):.3f}, nobody "
        f"ruled in {1 - len(ruled_in) / len(found):.0%}; too small {1 - len(found) / N_COHORTS:.1%}",
        flush=True,
    )


def draw_plateau(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a cohort of one record each, of which the upper fifth of scores has a PPV just short of the promise."""
    score = rng.random(350)
    y = (score > 0.8) & (rng.random(350) < PLATEAU_PPV)
    return y.astype(int), score, np.arange(350)
