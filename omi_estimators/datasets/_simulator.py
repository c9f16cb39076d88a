"""Simulated ECGs of occlusion myocardial infarction and of what is mistaken for it."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from omi_estimators.datasets._cohort import Cohort, draw_cohort
from omi_estimators.datasets._conditions import CONDITIONS, occlude, ventricular_beat
from omi_estimators.datasets._heart import INDEPENDENT_LEADS
from omi_estimators.datasets._noise import draw_noise, maybe_swap_arms, quantise
from omi_estimators.datasets._render import FIDUCIALS, INTERVALS, find_fiducials, render, true_intervals
from omi_estimators.datasets._rhythm import draw_rhythm
from omi_estimators.leads import LEADS, derive_limb_leads

_INDEPENDENT = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]

_DESCR = """\
Simulated 12-lead ECGs, occlusion myocardial infarction (OMI) or not
====================================================================

{n_records} records of {n_patients} simulated patients, {n_positive} of them OMI; {duration:g} s at
{sampling_rate:g} Hz. A model of what ECGs look like, for teaching, tests and pretraining. It is not
evidence: no figure measured on it says anything about patients.
"""


def make_omi_ecgs(
    n_patients: int = 200,
    *,
    records_per_patient: float = 1.4,
    prevalence: float = 0.072,
    sampling_rate: float = 500,
    duration: float = 10.0,
    severity: float = 1.0,
    noise: float = 1.0,
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
          `"ventricular ectopics"` or `"atrial fibrillation"` (ectopic beats within it are not named).
        - `age` : float ndarray of shape (n_records,), years.
        - `sex` : float ndarray of shape (n_records,), 0 male, 1 female, as in PTB-XL.
        - `fiducials` : list of n_records int ndarrays of shape (n_beats, 6), where the waves of each
          whole beat stand, in samples; columns `fiducial_names`, -1 for a wave that is not there.
        - `intervals` : dict of float ndarrays of shape (n_records,), the truth behind the record:
          `heart_rate` (beats/min), `pr`, `qrs`, `qt` (ms); `pr` is NaN in atrial fibrillation.
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
    rng = _as_generator(random_state)
    cohort = draw_cohort(int(n_patients), records_per_patient, prevalence, rng)
    n_samples = max(1, round(duration * sampling_rate))
    n_records = len(cohort.groups)
    X = np.empty((n_records, len(LEADS), n_samples), dtype=np.float32)
    # One seed per record: a record does not depend on how many numbers its neighbours drew.
    seeds = rng.integers(2**63, size=n_records)
    truths = [
        _simulate_record(X[record], cohort, record, sampling_rate, severity, noise, np.random.default_rng(seed))
        for record, seed in enumerate(seeds)
    ]
    return _make_bunch(X, cohort, truths, sampling_rate)


def _check_parameters(
    n_patients: Any,
    records_per_patient: float,
    prevalence: float,
    sampling_rate: float,
    duration: float,
    severity: float,
    noise: float,
) -> None:
    """Raise a ValueError that names the first parameter out of its range."""
    if not isinstance(n_patients, numbers.Integral) or n_patients < 1:
        raise ValueError(f"n_patients must be a whole number, at least 1; got {n_patients!r}.")
    ranges = {
        "records_per_patient": (records_per_patient, 1, 1000),
        "prevalence": (prevalence, 0, 1),
        "sampling_rate": (sampling_rate, 100, 100_000),
        "duration": (duration, 1, 86_400),
        "severity": (severity, 0, 100),
        "noise": (noise, 0, 100),
    }
    for name, (value, least, most) in ranges.items():
        if not isinstance(value, numbers.Real) or not least <= value <= most:
            raise ValueError(f"{name} must be a number from {least} to {most}; got {value!r}.")


def _as_generator(random_state: Any) -> np.random.Generator:
    """Return a Generator for any of scikit-learn's or NumPy's ways to name a random state."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31, size=4))
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "random_state must be a whole number of at least 0, a RandomState, a Generator or None; "
            f"got {random_state!r}."
        ) from error


def _simulate_record(
    row: NDArray[np.float32],
    cohort: Cohort,
    record: int,
    sampling_rate: float,
    severity: float,
    noise: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], tuple[float, ...], str]:
    """Fill `row` (12, n_samples); return the fiducials, heart rate, PR, QRS and QT, and the rhythm's name."""
    patient = cohort.groups[record]
    heart = cohort.hearts[patient].copy()
    heart.heart_rate *= rng.lognormal(0.0, 0.07)  # from one recording to the next
    territory, acute = cohort.territory[record], cohort.acute[record]
    if acute:
        CONDITIONS[acute](heart, rng)
    ectopic = ventricular_beat(heart, rng)
    if territory:
        occlude(heart, territory, severity, rng)
    rhythm = draw_rhythm(heart.heart_rate, cohort.age[patient], row.shape[1] / sampling_rate, rng)
    leads = render(heart, rhythm, ectopic, sampling_rate, row.shape[1], rng)
    if noise > 0:
        leads += np.float32(noise) * draw_noise(sampling_rate, row.shape[1], rng)
        leads = quantise(maybe_swap_arms(leads, rng))
    _fill_twelve(row, leads)
    fiducials = find_fiducials(heart, rhythm, ectopic, sampling_rate, row.shape[1])
    return fiducials, true_intervals(heart, rhythm), rhythm.name


def _fill_twelve(row: NDArray[np.float32], leads: NDArray[np.float32]) -> None:
    """Fill `row` (12, n_samples) from leads I, II, V1 to V6; limb leads follow from I and II."""
    row.fill(np.nan)
    row[_INDEPENDENT] = leads
    row[:] = derive_limb_leads(row[np.newaxis])[0]


def _make_bunch(
    X: NDArray[np.float32],
    cohort: Cohort,
    truths: list[tuple[NDArray[np.int64], tuple[float, ...], str]],
    sampling_rate: float,
) -> Bunch:
    """Return the data set as a Bunch."""
    intervals = np.array([truth[1] for truth in truths], dtype=np.float64)
    return Bunch(
        X=X,
        y=cohort.y,
        groups=cohort.groups,
        territory=cohort.territory,
        condition=cohort.conditions(),
        rhythm=np.array([truth[2] for truth in truths]),
        age=cohort.age[cohort.groups],
        sex=np.where(cohort.male, 0.0, 1.0)[cohort.groups],
        fiducials=[truth[0] for truth in truths],
        fiducial_names=FIDUCIALS,
        intervals=dict(zip(INTERVALS, intervals.T, strict=True)),
        target_names=["no OMI", "OMI"],
        leads=LEADS,
        sampling_rate=sampling_rate,
        DESCR=_DESCR.format(
            n_records=len(X),
            n_patients=len(cohort.age),
            n_positive=int(cohort.y.sum()),
            duration=X.shape[2] / sampling_rate,
            sampling_rate=sampling_rate,
        ),
    )
