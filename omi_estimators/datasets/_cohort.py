"""Who the simulated patients are, and which of their records show an occlusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators.datasets._conditions import CONDITIONS
from omi_estimators.datasets._heart import Array, Heart, draw_hearts

# Shares of the lasting conditions among patients, and of the acute ones among their records without OMI.
_CHRONIC = {"normal": 0.72, "LVH": 0.09, "LBBB": 0.03, "RBBB": 0.05, "early repolarisation": 0.03, "old MI": 0.08}
_ACUTE = {"": 0.90, "pericarditis": 0.02, "ischaemia": 0.08}
_CULPRIT = {"LAD": 0.42, "RCA": 0.38, "LCX": 0.20}


@dataclass
class Cohort:
    """Patients and their records.

    Attributes
    ----------
    groups, y : int ndarray of shape (n_records,)
        The patient of each record, and 1 where it shows an occlusion.
    territory, acute : str ndarray of shape (n_records,)
        The occluded artery, and the acute condition of records without occlusion; "" for none.
    age : ndarray of shape (n_patients,)
        Years.
    male : bool ndarray of shape (n_patients,)
        Who is a man.
    chronic : str ndarray of shape (n_patients,)
        The lasting condition, "normal" for none.
    hearts : list of Heart of length n_patients
        As the lasting condition has shaped them.
    """

    groups: NDArray[np.int64]
    y: NDArray[np.int64]
    territory: NDArray[np.str_]
    acute: NDArray[np.str_]
    age: Array
    male: NDArray[np.bool_]
    chronic: NDArray[np.str_]
    hearts: list[Heart]

    def conditions(self) -> NDArray[np.str_]:
        """Return what shapes each record besides an occlusion, joined by " + "."""
        chronic = self.chronic[self.groups]
        both = [
            str(lasting) if not acute else str(acute) if lasting == "normal" else f"{lasting} + {acute}"
            for lasting, acute in zip(chronic, self.acute, strict=True)
        ]
        return np.array(both)


def draw_cohort(n_patients: int, records_per_patient: float, prevalence: float, rng: np.random.Generator) -> Cohort:
    """Draw patients, their hearts, their records, and which of these show an occlusion."""
    n_of_patient = 1 + rng.poisson(records_per_patient - 1.0, size=n_patients)
    groups = np.repeat(np.arange(n_patients), n_of_patient)
    y = _draw_labels(groups, prevalence, rng)
    culprit = _draw_names(_CULPRIT, n_patients, rng)
    acute = _draw_names(_ACUTE, len(groups), rng)
    age = rng.normal(58.0, 16.0, size=n_patients).clip(18.0, 95.0).round()
    male = rng.random(n_patients) < 0.55
    chronic = _draw_names(_CHRONIC, n_patients, rng)
    hearts = draw_hearts(age, male, rng)
    for heart, name in zip(hearts, chronic, strict=True):
        CONDITIONS[name](heart, rng)
    return Cohort(
        groups=groups,
        y=y,
        territory=np.where(y == 1, culprit[groups], ""),
        acute=np.where(y == 1, "", acute),
        age=age,
        male=male,
        chronic=chronic,
        hearts=hearts,
    )


def _draw_labels(groups: NDArray[np.int64], prevalence: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw which records show an occlusion: as many as `prevalence` asks for, in as few patients as is real.

    Patients have a turn in random order, and their records are dealt in order. Some later records are
    passed over, and taken only when every patient has had a turn, so that patients with OMI also have
    records without.
    """
    n_records, n_patients = len(groups), groups[-1] + 1
    n_positive = round(prevalence * n_records)
    if 0 < prevalence < 1 and n_records > 1:
        n_positive = min(max(n_positive, 1), n_records - 1)
    is_first = np.concatenate([[True], groups[1:] != groups[:-1]])
    passed_over = (rng.random(n_records) < 0.35) & ~is_first
    turn = rng.permutation(n_patients)[groups] + n_patients * passed_over
    y = np.zeros(n_records, dtype=np.int64)
    y[np.argsort(turn, kind="stable")[:n_positive]] = 1
    return y


def _draw_names(shares: dict[str, float], size: int, rng: np.random.Generator) -> NDArray[Any]:
    """Draw `size` names by their `shares`."""
    return rng.choice(list(shares), size=size, p=list(shares.values()))
