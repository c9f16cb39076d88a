"""What disease does to a heart's dipole: occlusion, and the states that are mistaken for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from omi_estimators.datasets._heart import QRS, ST_T, Heart, P

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
