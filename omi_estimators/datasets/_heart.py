"""A heart as a moving dipole, drawn from a population of normal hearts; its path to the leads; what disease does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

# Dower's lead field: I, II, V1..V6 from the Frank dipole (x to the left, y to the feet, z to the back).
# Dower G. E., Machado H. B., Osborne J. A., Clin. Cardiol. 3:87-95 (1980), doi:10.1002/clc.1980.3.2.87; its
# pseudo-inverse is the "inverse Dower" matrix of Edenbrandt L. and Pahlm O., J. Electrocardiol.
# 21:361-367 (1988), doi:10.1016/0022-0736(88)90113-6.
DOWER = np.array(
    [
        (0.632, -0.235, 0.059),
        (0.235, 1.066, -0.132),
        (-0.515, 0.157, -0.917),
        (0.044, 0.164, -1.387),
        (0.882, 0.098, -1.277),
        (1.213, 0.127, -0.601),
        (1.125, 0.127, -0.086),
        (0.831, 0.076, 0.230),
    ]
)
INVERSE_DOWER = np.linalg.pinv(DOWER)
INDEPENDENT_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")

# Every wave is a sum of Gaussians in time, each with its own dipole and its own near field. Centres and widths are
# fractions of the QRS duration (from QRS onset), of the JT interval (from the J point; T and what follows it), and of
# the P wave (from its onset). Twenty for QRS leave less than a hundredth of a millivolt of real median beats
# unexplained; seven would leave ten times as much, and no notch.
N_QRS, N_ST_T, N_P = 20, 12, 5
QRS, ST_T, P = slice(0, 20), slice(20, 32), slice(32, 37)
CENTERS = np.concatenate([np.linspace(0.0, 1.0, N_QRS), np.linspace(0.0, 1.1, N_ST_T), np.linspace(0.1, 0.9, N_P)])
WIDTHS = np.repeat((0.8 / 19, 0.1, 0.16), (N_QRS, N_ST_T, N_P))
# What equal weights of 1 add up to: the integral of a Gaussian over the distance to the next.
_QRS_SUM, _ST_T_SUM = np.sqrt(2.0 * np.pi) * 0.8, np.sqrt(2.0 * np.pi)

_KNOTS = np.linspace(0.0, 1.0, 7)
# A level of 1 from the J point, sloping away into the T wave, and a wave of height 1 at the T peak.
_ST_LEVEL = np.interp(CENTERS[ST_T], _KNOTS, (1.0, 1.0, 1.0, 1.0, 0.8, 0.4, 0.0)) / _ST_T_SUM
_T_WAVE = np.interp(CENTERS[ST_T], _KNOTS, (0.0, 0.0, 0.1, 0.5, 1.1, 1.0, 0.1)) / _ST_T_SUM

_MAX_SCORE = 2.5  # a population's tails, cut where a linear model would leave what hearts can do
_N_LOGARITHMS = 7
_NOTCHING = 0.5  # spread of how notched QRS complexes are, in units of its logarithm

# The injury dipole (mV; x left, y feet, z back) with which the simulated occlusions of each artery
# change ST60, in the median, 1.2 times as the balloon occlusions of the STAFF III study did: fitted to the
# published medians over the leads, through the mean chest, by ``python -m benchmarks fit_simulator``.
# Martinez J. P. et al., "The STAFF III database: ECGs recorded during acutely induced myocardial
# ischemia", Comput. Cardiol. 44 (2017), doi:10.22489/CinC.2017.266-133.
INJURY = {
    "LAD": np.array((0.067, -0.109, -0.193)),
    "RCA": np.array((-0.033, 0.061, 0.071)),
    "LCX": np.array((0.006, 0.034, 0.098)),
}
# What these medians leave in leads I, II, V1..V6 that one dipole does not explain (mV).
NEAR_FIELD = {
    "LAD": np.array((0.005, 0.015, -0.014, -0.016, 0.022, 0.002, -0.004, -0.035)),
    "RCA": np.array((-0.023, -0.002, -0.013, -0.008, 0.009, 0.012, -0.004, -0.006)),
    "LCX": np.array((-0.016, -0.013, -0.001, 0.016, -0.015, -0.006, 0.010, 0.026)),
}
# Severity of an occlusion, Gamma-distributed with a median of 1.1: a tenth stay under half of that, and a tenth
# pass twice of it.
_SEVERITY_SHAPE = 3.0
_SEVERITY_SCALE = 1.0 / 2.4
_SCATTER = 0.20  # off the territory's direction, per axis, relative to the injury


@dataclass
class Heart:
    """The electrical picture of one heart.

    Attributes
    ----------
    vectors : ndarray of shape (37, 3)
        Dipole of each Gaussian in millivolts: 20 of the QRS complex, 12 of ST-T, 5 of the P wave.
    centers, widths : ndarray of shape (37,)
        Centres and standard deviations of the Gaussians, in the units of their wave.
    field : ndarray of shape (8, 3)
        Leads I, II, V1 to V6 per unit of dipole: Dower's matrix as this chest bends it.
    near : ndarray of shape (37, 8)
        What each Gaussian adds to the leads beside the dipole, in millivolts: the near field of sources
        that an electrode lies close to.
    qrs, jtc, pr, p, heart_rate : float
        QRS duration, JT interval at 60 beats/min, P onset to QRS onset, P duration (all s), and beats/min.
    """

    vectors: Array
    centers: Array
    widths: Array
    field: Array
    near: Array
    qrs: float
    jtc: float
    pr: float
    p: float
    heart_rate: float

    @property
    def gain(self) -> float:
        """The largest dipole of the QRS complex in millivolts, the unit for what a disease adds."""
        bells = np.exp(-0.5 * ((CENTERS[QRS, None] - self.centers[QRS]) / self.widths[QRS]) ** 2)
        return float(np.linalg.norm(bells @ self.vectors[QRS], axis=1).max())

    @property
    def mean_qrs(self) -> Array:
        """The dipole in millivolts, shape (3,), averaged over the QRS complex."""
        return np.sqrt(2.0 * np.pi) * self.widths[QRS] @ self.vectors[QRS]

    def copy(self) -> Heart:
        """Return a heart that can be changed without changing this one."""
        return deepcopy(self)

    def add_qrs(self, course: Sequence[float], vector: Array) -> None:
        """Add to the QRS complex a `vector` in millivolts times its `course`: seven heights from onset to J."""
        self.vectors[QRS] += np.outer(np.interp(CENTERS[QRS], _KNOTS, course) / _QRS_SUM, vector)

    def stretch_qrs(self, factor: float) -> None:
        """Make the QRS complex longer by `factor`, its forces keeping their time after its onset."""
        self.qrs *= factor
        for weights in (*self.vectors[QRS].T, *self.near[QRS].T):
            # What a Gaussian adds up to does not change with its width: neighbours move apart as they widen.
            weights[:] = np.interp(CENTERS[QRS] * factor, CENTERS[QRS], weights, right=0.0)

    def scale(self, wave: slice, factor: float) -> None:
        """Scale a wave, its near field included."""
        self.vectors[wave] *= factor
        self.near[wave] *= factor

    def add_st_t(self, st: Array, t: Array) -> None:
        """Add an ST level of vector `st` and a T wave of vector `t`, both in millivolts."""
        self.vectors[ST_T] += np.outer(_ST_LEVEL, st) + np.outer(_T_WAVE, t)

    def add_near_st(self, leads: Array) -> None:
        """Add an ST level of `leads` (8,) millivolts beside the dipole."""
        self.near[ST_T] += np.outer(_ST_LEVEL, leads)


@cache
def _population() -> tuple[Array, Array, Array]:
    """Return the population of normal hearts: effects, components of the whole heart, and details of QRS.

    Of each, the rows are the weights of the Gaussians in the leads, Gaussian by Gaussian, as parts of the size of
    the QRS complex (those of the P wave: of the P wave), and the logarithms of both sizes and of QRS, JTc, PR, P
    and heart rate. The effects are the mean in people of 50, that of male sex and of ten years of age; components
    and details are in units of one standard deviation.
    The file holds them times 10,000.
    ``python -m benchmarks fit_simulator`` fitted them to normal ECGs of PTB-XL (Wagner et al. 2020,
    doi:10.1038/s41597-020-0495-6, CC BY 4.0).
    """
    path = resources.files("omi_estimators.datasets") / "data" / "normal_hearts.csv"
    header, *rows = (line.split(",")[1:] for line in path.read_text(encoding="utf-8").split())
    table = np.array(rows, dtype=np.float64) / 10_000
    first = header.index("detail1")
    return table[:, :3], table[:, 3:first], table[:, first:]


def draw_hearts(age: Array, male: NDArray[np.bool_], rng: np.random.Generator) -> list[Heart]:
    """Draw one normal heart for each person from the population.

    Parameters
    ----------
    age : ndarray of shape (n_patients,)
        Years.
    male : bool ndarray of shape (n_patients,)
        Who is a man.
    rng : Generator
        Where chance comes from.

    Returns
    -------
    list of Heart of length n_patients
    """
    effects, components, details = _population()
    known = np.stack([np.ones(len(age)), male - 0.5, (age - 50.0) / 10.0], axis=1)
    scores = rng.standard_normal((len(age), components.shape[1])).clip(-_MAX_SCORE, _MAX_SCORE)
    notches = rng.standard_normal((len(age), details.shape[1])).clip(-_MAX_SCORE, _MAX_SCORE)
    # Few hearts have much of the notching and many have little; its mean square stays 1.
    notches *= rng.lognormal(-(_NOTCHING**2), _NOTCHING, size=(len(age), 1))
    state = known @ effects.T + scores @ components.T + notches @ details.T
    weights = state[:, :-_N_LOGARITHMS].reshape(len(age), len(CENTERS), len(DOWER))
    qrs_size, p_size, *times = np.exp(state[:, -_N_LOGARITHMS:]).T
    weights[:, : P.start] *= qrs_size[:, None, None]
    weights[:, P] *= p_size[:, None, None]
    return [_make_heart(of_one, *row) for of_one, row in zip(weights, np.transpose(times).tolist(), strict=True)]


def _make_heart(weights: Array, qrs: float, jtc: float, pr: float, p: float, heart_rate: float) -> Heart:
    """Return the heart whose Gaussians have `weights` (37, 8) in the leads, in millivolts.

    The dipole is the one that the inverse Dower matrix finds. Of what it leaves, the part that goes with the
    dipole is the bent field of this chest, and the rest is near field.
    """
    vectors = weights @ INVERSE_DOWER.T
    left = weights - vectors @ DOWER.T
    bend = np.linalg.lstsq(vectors, left, rcond=None)[0]
    near = left - vectors @ bend
    return Heart(vectors, CENTERS.copy(), WIDTHS.copy(), DOWER + bend.T, near, qrs, jtc, pr, p, heart_rate)


def occlude(heart: Heart, territory: str, severity: float, rng: np.random.Generator) -> None:
    """Occlude the artery of `territory`: ST shift, hyperacute T, and later Q waves and T inversion.

    Parameters
    ----------
    heart : Heart
        Changed in place.
    territory : {"LAD", "RCA", "LCX"}
        The culprit artery.
    severity : float
        Scales the injury; 1 is as measured, 0 leaves the heart as it is.
    rng : Generator
        Where chance comes from; the same draws are made at every severity.
    """
    mean = INJURY[territory]
    size = severity * rng.gamma(_SEVERITY_SHAPE, _SEVERITY_SCALE)
    injury = size * (mean + _SCATTER * np.linalg.norm(mean) * rng.standard_normal(3))
    hours = rng.lognormal(np.log(2.0), 0.9)
    # The T wave towers over the first hour's ST, falls back, and at last turns over.
    hyperacute = rng.uniform(0.3, 1.6) * np.exp(-hours / 3.0) - 0.5 * np.clip((hours - 4.0) / 8.0, 0.0, 1.0)
    heart.add_st_t(injury, hyperacute * injury)
    heart.add_near_st(size * NEAR_FIELD[territory])
    # Dead muscle no longer answers the opposite wall: early forces turn away from the injury.
    necrosis = 1.5 * rng.uniform(0.3, 1.0) * np.clip((hours - 2.0) / 6.0, 0.0, 1.0)
    heart.add_qrs((0.2, 0.9, 1.35, 0.8, 0.15, 0.0, 0.0), -necrosis * injury)
    # Strong injury current also lifts the end of the QRS complex ("tombstone").
    heart.add_qrs((0.0, 0.0, 0.0, 0.05, 0.25, 0.55, 0.4), injury)


def _left_ventricular_hypertrophy(heart: Heart, rng: np.random.Generator) -> None:
    """Raise and turn the QRS complex to the left and back, with ST-T strain against it."""
    axis = heart.mean_qrs
    heart.scale(QRS, rng.uniform(1.3, 1.8))
    heart.add_qrs((0.0, 0.05, 0.35, 0.7, 0.6, 0.2, 0.0), rng.uniform(0.2, 0.8) * np.array((0.6, 0.0, 0.8)))
    heart.qrs *= rng.uniform(1.05, 1.2)
    strain = rng.uniform(0.0, 0.12)
    heart.add_st_t(-1.6 * strain * axis, -4.8 * strain * axis)


def _left_bundle_branch_block(heart: Heart, rng: np.random.Generator) -> None:
    """Slow the whole QRS complex, led from right to left, with ST and T against it."""
    gain = heart.gain * rng.uniform(0.6, 0.95)
    courses = np.array(
        [
            (0.05, 0.25, 0.6, 0.8, 0.8, 0.55, 0.1),
            (0.05, 0.15, 0.2, 0.15, 0.05, 0.0, 0.0),
            (0.0, 0.15, 0.5, 0.8, 0.8, 0.45, 0.1),
        ]
    )
    heart.scale(QRS, 0.25)
    for course, direction in zip(courses * rng.normal(1.0, 0.1, size=7), gain * np.eye(3), strict=True):
        heart.add_qrs(course, direction)
    heart.qrs = rng.uniform(0.13, 0.165)
    axis = heart.mean_qrs
    heart.scale(ST_T, 0.4)
    heart.add_st_t(-rng.uniform(0.12, 0.28) * axis, -rng.uniform(0.4, 0.8) * axis)


def _right_bundle_branch_block(heart: Heart, rng: np.random.Generator) -> None:
    """Append late forces to the right and front, with the T wave against them."""
    heart.stretch_qrs(rng.uniform(1.45, 1.75))  # the left ventricle keeps its own time
    late = rng.uniform(0.3, 0.6) * np.array((-0.7, rng.uniform(-0.2, 0.2), -0.7))
    heart.add_qrs((0.0, 0.0, 0.0, 0.1, 0.85, 1.15, 0.3), late)
    heart.add_st_t(-0.05 * late, -rng.uniform(0.2, 0.5) * late)


def _early_repolarisation(heart: Heart, rng: np.random.Generator) -> None:
    """Lift the J point in front and below, under a tall T wave."""
    lift = rng.uniform(0.03, 0.11) * np.array((0.5, 0.5 * rng.random(), -0.7))
    heart.add_st_t(lift, rng.uniform(0.5, 2.5) * lift)
    heart.add_qrs((0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 1.0), rng.uniform(0.0, 2.0) * lift)  # the notch on the down-slope of R


def _pericarditis(heart: Heart, rng: np.random.Generator) -> None:
    """Lift ST in nearly all leads, towards the apex, and depress PR."""
    lift = rng.uniform(0.06, 0.16) * np.array((0.6, 0.7, -0.4))
    heart.add_st_t(lift, rng.uniform(-0.3, 0.3) * lift)
    heart.vectors[P.stop - 1] -= 0.25 * lift
    heart.heart_rate *= rng.uniform(1.1, 1.35)


def _old_infarction(heart: Heart, rng: np.random.Generator) -> None:
    """Leave Q waves, a smaller R, a flat or inverted T, and at times a lasting ST shift."""
    territory = rng.choice(list(INJURY), p=(0.45, 0.4, 0.15))
    axis = INJURY[territory] / np.linalg.norm(INJURY[territory])
    heart.add_qrs((0.3, 1.05, 1.4, 0.95, 0.3, 0.0, 0.0), -rng.uniform(0.15, 0.55) * axis)
    aneurysm = rng.uniform(0.04, 0.12) if rng.random() < 0.2 else rng.uniform(0.0, 0.03)
    heart.scale(ST_T, rng.uniform(0.5, 0.9))
    heart.add_st_t(aneurysm * axis, -rng.uniform(0.0, 0.3) * axis)
    heart.qrs *= rng.uniform(1.0, 1.2)


def _ischaemia(heart: Heart, rng: np.random.Generator) -> None:
    """Depress ST over the apex, as flow-limiting but open arteries do, and flatten or invert T."""
    apex = np.array((0.75, 0.5, -0.25)) + 0.25 * rng.standard_normal(3)
    heart.scale(ST_T, rng.uniform(0.5, 1.0))
    heart.add_st_t(-rng.uniform(0.02, 0.1) * apex, -rng.uniform(0.0, 0.2) * apex)
    heart.heart_rate *= rng.uniform(1.0, 1.25)


def _nothing(heart: Heart, rng: np.random.Generator) -> None:
    """Leave the heart as it is."""


def pace_ventricle(heart: Heart, rng: np.random.Generator) -> None:
    """Pace the right ventricle: the left one follows late, as in left bundle branch block, and from the apex up."""
    _left_bundle_branch_block(heart, rng)
    heart.qrs = rng.uniform(0.14, 0.19)
    heart.add_qrs((0.1, 0.4, 0.7, 0.7, 0.4, 0.1, 0.0), heart.gain * np.array((0.0, -rng.uniform(0.2, 0.7), 0.0)))


def ventricular_beat(heart: Heart, rng: np.random.Generator) -> Heart:
    """Return the picture of a beat that starts in a ventricle: no P, a wide QRS, ST and T against it."""
    beat = heart.copy()
    course = rng.standard_normal(3) * (1.0, 1.0, 0.7)
    course *= 1.1 * heart.gain / np.linalg.norm(course)
    turn = 0.33 * heart.gain * rng.standard_normal(3)
    for wave in (P, QRS, ST_T):
        beat.scale(wave, 0.0)
    beat.add_qrs((0.2, 0.55, 0.95, 1.1, 0.95, 0.5, 0.2), course)
    beat.add_qrs((0.15, 0.7, 0.75, 0.0, -0.6, -0.55, -0.1), turn)
    beat.qrs = rng.uniform(0.13, 0.17)
    beat.add_st_t(-0.12 * course, -0.4 * course)
    return beat


CONDITIONS: dict[str, Callable[[Heart, np.random.Generator], None]] = {
    "normal": _nothing,
    "LVH": _left_ventricular_hypertrophy,
    "LBBB": _left_bundle_branch_block,
    "RBBB": _right_bundle_branch_block,
    "early repolarisation": _early_repolarisation,
    "old MI": _old_infarction,
    "pericarditis": _pericarditis,
    "ischaemia": _ischaemia,
}
"""Changes of a heart in place, by name; the last two are acute, the others last."""
