"""Simulated ECGs of occlusion myocardial infarction and of what is mistaken for it: who is ill, and their records."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from omi_estimators._validation import make_rng
from omi_estimators.datasets._heart import (
    CONDITIONS,
    INDEPENDENT_LEADS,
    Array,
    Heart,
    draw_hearts,
    occlude,
    ventricular_beat,
)
from omi_estimators.datasets._recording import ATRIA, FIDUCIALS, INTERVALS, PACING, record_heart
from omi_estimators.leads import LEADS, derive_limb_leads

# Shares of the lasting conditions among patients, and of the acute ones among their records without OMI.
_CHRONIC = {"normal": 0.72, "LVH": 0.09, "LBBB": 0.03, "RBBB": 0.05, "early repolarisation": 0.03, "old MI": 0.08}
_ACUTE = {"": 0.90, "pericarditis": 0.02, "ischaemia": 0.08}
_CULPRIT = {"LAD": 0.42, "RCA": 0.38, "LCX": 0.20}
_INDEPENDENT = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]
# The least and the most of each parameter that is a number.
_RANGES = {
    "records_per_patient": (1, 1000),
    "prevalence": (0, 1),
    "sampling_rate": (100, 100_000),
    "duration": (1, 86_400),
    "severity": (0, 100),
    "noise": (0, 100),
}

_DESCR = """\
Simulated 12-lead ECGs, occlusion myocardial infarction (OMI) or not
====================================================================

{n_records} records of {n_patients} simulated patients, {n_positive} of them OMI; {duration:g} s at
{sampling_rate:g} Hz. A model of what ECGs look like, for teaching, tests and pretraining. It is not
evidence: no figure measured on it says anything about patients.
"""


@dataclass
class _Cohort:
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


def make_omi_ecgs(
    n_patients: int = 200,
    *,
    records_per_patient: float = 1.4,
    prevalence: float = 0.072,
    sampling_rate: float = 500,
    duration: float = 10.0,
    severity: float = 1.0,
    noise: float = 1.0,
    atria: str | None = None,
    pacing: str | None = None,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
) -> Bunch:
    """Simulate 12-lead ECGs with and without occlusion myocardial infarction (OMI).

    Each patient has a heart: a dipole in three dimensions that runs through P, QRS and T loops, drawn
    by age and sex from a population fitted to normal ECGs of PTB-XL [1]_, and a chest that bends
    Dower's lead field [2]_ a little. An occlusion adds an injury dipole of its artery, in direction and
    size close to the balloon occlusions of the STAFF III study [3]_: often subtle. Records without
    occlusion include what is mistaken for it.

    Parameters
    ----------
    n_patients : int, default=200
        The number of patients.
    records_per_patient : float, default=1.4
        The mean number of records per patient, at least 1: one, and a Poisson number more.
    prevalence : float, default=0.072
        The share of records with OMI, met as closely as whole records allow. Both classes have at
        least one record if it lies strictly between 0 and 1 and there are two records or more.
    sampling_rate : float, default=500
        Hz, at least 100.
    duration : float, default=10
        Seconds, at least 1.
    severity : float, default=1
        Scales the injury of every occlusion; 0 leaves OMI labels without any sign in the ECG. All
        else that chance decides stays the same, so two calls show what the occlusions change.
    noise : float, default=1
        Scales wander, muscle, mains and bad contacts; at 0 no cables are swapped either.
    atria : {"fibrillation", "flutter"} or None, default=None
        What the atria of every record do. None has a few patients fibrillate, the more the older they are.
    pacing : {"atrial", "ventricular", "dual"} or None, default=None
        Where a pacemaker paces in every record: in equal intervals, with spikes of 0.3 to 10 mV (in the lead in which
        they are highest, as recorded) and 0.5 to 2 ms before P or QRS. Pacing the ventricle makes QRS complexes as wide
        as in left bundle branch block; there alone, no P waves are seen.
    random_state : int, RandomState, Generator or None, default=None
        Where chance comes from; the same int gives the same data. None draws afresh, and leaves
        NumPy's global random state as it is.

    Returns
    -------
    Bunch
        With the attributes

        - `X` : ndarray of shape (n_records, 12, n_samples), float32 millivolts, leads in the order
          of `LEADS`. Einthoven's and Goldberger's laws hold, noise included.
        - `y` : int ndarray of shape (n_records,), 1 for OMI.
        - `groups` : int ndarray of shape (n_records,), the patient of each record.
        - `territory` : str ndarray of shape (n_records,), `"LAD"`, `"RCA"`, `"LCX"`, or `""` without
          OMI.
        - `condition` : str ndarray of shape (n_records,), what else shapes the ECG: `"normal"`,
          `"LVH"`, `"LBBB"`, `"RBBB"`, `"early repolarisation"`, `"old MI"`, and in records without
          OMI `"pericarditis"` and `"ischaemia"`, alone or joined by `" + "`.
        - `rhythm` : str ndarray of shape (n_records,), `"sinus"`, `"atrial ectopics"`,
          `"ventricular ectopics"` or `"atrial fibrillation"` (ectopic beats within it are not named), and on request
          `"atrial flutter"` or `"paced"`.
        - `age` : float ndarray of shape (n_records,), years.
        - `sex` : float ndarray of shape (n_records,), 0 male, 1 female, as in PTB-XL.
        - `fiducials` : list of n_records int ndarrays of shape (n_beats, 6), where the waves of each
          whole beat stand, in samples; columns `fiducial_names`, -1 for a wave that is not there.
        - `intervals` : dict of float ndarrays of shape (n_records,), the truth behind the record:
          `heart_rate` (beats/min), `pr`, `qrs`, `qt` (ms); `pr` is NaN in atrial fibrillation.
        - `spikes` : list of n_records int ndarrays of shape (n_spikes,), the samples of a pacemaker's spikes.
        - `fiducial_names`, `target_names`, `leads`, `sampling_rate`, `DESCR`.

    Raises
    ------
    ValueError
        If a parameter is out of the range named above.

    Notes
    -----
    The records of a patient with OMI that are labelled 0 were taken before the artery closed.

    References
    ----------
    .. [1] Wagner P. et al., "PTB-XL, a large publicly available electrocardiography dataset",
       Scientific Data 7:154 (2020). doi:10.1038/s41597-020-0495-6
    .. [2] Dower G. E., Machado H. B., Osborne J. A., "On deriving the electrocardiogram from
       vectorcardiographic leads", Clinical Cardiology 3:87-95 (1980). doi:10.1002/clc.1980.3.2.87
    .. [3] Martinez J. P. et al., "The STAFF III database: ECGs recorded during acutely induced
       myocardial ischemia", Computing in Cardiology 44 (2017). doi:10.22489/CinC.2017.266-133

    Examples
    --------
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> ecgs = make_omi_ecgs(n_patients=10, prevalence=0.3, duration=4, random_state=0)
    >>> ecgs.X.shape[1:], ecgs.X.dtype
    ((12, 2000), dtype('float32'))
    >>> bool(all(ecgs.y == (ecgs.territory != "")))
    True
    """
    _check_parameters(n_patients, records_per_patient, prevalence, sampling_rate, duration, severity, noise)
    for name, value, known in (("atria", atria, ATRIA), ("pacing", pacing, PACING)):
        if value is not None and value not in known:
            raise ValueError(f"{name} must be None or one of {', '.join(map(repr, known))}; got {value!r}.")
    rng = make_rng(random_state)
    cohort = _draw_cohort(int(n_patients), records_per_patient, prevalence, rng)
    n_samples = max(1, round(duration * sampling_rate))
    n_records = len(cohort.groups)
    X = np.empty((n_records, len(LEADS), n_samples), dtype=np.float32)
    # One seed per record: a record does not depend on how many numbers its neighbours drew.
    seeds = rng.integers(2**63, size=n_records)
    truths = []
    for record, chance in enumerate(map(np.random.default_rng, seeds)):
        heart, ectopic = _draw_hearts_of_record(cohort, record, severity, chance)
        age = cohort.age[cohort.groups[record]]
        leads, truth = record_heart(heart, ectopic, age, sampling_rate, n_samples, noise, chance, atria, pacing)
        X[record] = np.nan
        X[record, _INDEPENDENT] = leads
        X[record] = derive_limb_leads(X[record : record + 1])[0]
        truths.append(truth)
    intervals = np.array([truth.intervals for truth in truths], dtype=np.float64)
    return Bunch(
        X=X,
        y=cohort.y,
        groups=cohort.groups,
        territory=cohort.territory,
        condition=cohort.conditions(),
        rhythm=np.array([truth.rhythm for truth in truths]),
        age=cohort.age[cohort.groups],
        sex=np.where(cohort.male, 0.0, 1.0)[cohort.groups],
        fiducials=[truth.fiducials for truth in truths],
        spikes=[truth.spikes for truth in truths],
        fiducial_names=FIDUCIALS,
        intervals=dict(zip(INTERVALS, intervals.T, strict=True)),
        target_names=["no OMI", "OMI"],
        leads=LEADS,
        sampling_rate=sampling_rate,
        DESCR=_DESCR.format(
            n_records=n_records,
            n_patients=len(cohort.age),
            n_positive=int(cohort.y.sum()),
            duration=n_samples / sampling_rate,
            sampling_rate=sampling_rate,
        ),
    )


def _check_parameters(n_patients: Any, *values: float) -> None:
    """Raise a ValueError that names the first parameter out of its range; values are those of `_RANGES`, in order."""
    if not isinstance(n_patients, numbers.Integral) or n_patients < 1:
        raise ValueError(f"n_patients must be a whole number, at least 1; got {n_patients!r}.")
    for (name, (least, most)), value in zip(_RANGES.items(), values, strict=True):
        if not isinstance(value, numbers.Real) or not least <= value <= most:
            raise ValueError(f"{name} must be a number from {least} to {most}; got {value!r}.")


def _draw_cohort(n_patients: int, records_per_patient: float, prevalence: float, rng: np.random.Generator) -> _Cohort:
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
    return _Cohort(
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


def _draw_hearts_of_record(
    cohort: _Cohort, record: int, severity: float, rng: np.random.Generator
) -> tuple[Heart, Heart]:
    """Return the patient's heart as it is in a record, and the picture of its ventricular ectopic beats."""
    heart = cohort.hearts[cohort.groups[record]].copy()
    heart.heart_rate *= rng.lognormal(0.0, 0.07)  # from one recording to the next
    territory, acute = cohort.territory[record], cohort.acute[record]
    if acute:
        CONDITIONS[acute](heart, rng)
    ectopic = ventricular_beat(heart, rng)
    if territory:
        occlude(heart, territory, severity, rng)
    return heart, ectopic
