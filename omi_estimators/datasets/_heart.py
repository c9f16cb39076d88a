"""A heart as a moving dipole, drawn from a population of normal hearts, and its path to the leads."""

from __future__ import annotations

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

# A dipole loop is a sum of Gaussians in time, each with its own vector. QRS and ST-T centres and
# widths are fractions of the QRS duration (from QRS onset) and of the JT interval (from the J point);
# those of the P wave are seconds around its peak.
N_QRS, N_ST_T, N_P = 7, 7, 3
QRS, ST_T, P = slice(0, 7), slice(7, 14), slice(14, 17)
_CENTERS = np.concatenate([np.linspace(0.04, 0.96, N_QRS), np.linspace(0.04, 0.97, N_ST_T), (-0.028, 0.0, 0.028)])
_WIDTHS = np.repeat((0.1, 0.095, 0.017), (N_QRS, N_ST_T, N_P))
P_HALF_WIDTH = 0.062  # seconds from P onset to P peak, and on to P offset: two widths past the outer centres

# Weights of the seven ST-T Gaussians that make a level of 1 from the J point, sloping away into the T wave,
# and a symmetric wave of height 1 at the T peak.
_ST_LEVEL = 0.65 * np.array((1.0, 1.0, 1.0, 1.0, 0.8, 0.4, 0.0))
_T_WAVE = np.array((0.0, 0.0, 0.1, 0.35, 0.7, 0.7, 0.15))

_MAX_SCORE = 2.5  # a population's tails, cut where a linear model would leave what hearts can do


@dataclass
class Heart:
    """The electrical picture of one heart.

    Attributes
    ----------
    vectors : ndarray of shape (17, 3)
        Dipole of each Gaussian in millivolts: 7 of the QRS complex, 7 of ST-T, 3 of the P wave.
    centers, widths : ndarray of shape (17,)
        Centres and standard deviations of the Gaussians, in the units of their wave.
    field : ndarray of shape (8, 3)
        Leads I, II, V1 to V6 per unit of dipole: Dower's matrix as this chest bends it.
    near : ndarray of shape (17, 8)
        What each Gaussian adds to the leads beside the dipole, in millivolts: the near field of a
        source that an electrode lies close to. None in a normal heart.
    qrs, jtc, pr, heart_rate : float
        QRS duration, JT interval at 60 beats/min, P peak to QRS onset (all s), and beats/min.
    """

    vectors: Array
    centers: Array
    widths: Array
    field: Array
    near: Array
    qrs: float
    jtc: float
    pr: float
    heart_rate: float

    @property
    def gain(self) -> float:
        """The size of the QRS complex in millivolts, the unit for what a disease adds."""
        return float(np.linalg.norm(self.vectors[QRS]))

    def copy(self) -> Heart:
        """Return a heart that can be changed without changing this one."""
        return Heart(
            self.vectors.copy(),
            self.centers.copy(),
            self.widths.copy(),
            self.field.copy(),
            self.near.copy(),
            self.qrs,
            self.jtc,
            self.pr,
            self.heart_rate,
        )

    def add_st_t(self, st: Array, t: Array) -> None:
        """Add an ST level of vector `st` and a T wave of vector `t`, both in millivolts."""
        self.vectors[ST_T] += np.outer(_ST_LEVEL, st) + np.outer(_T_WAVE, t)

    def add_near_st(self, leads: Array) -> None:
        """Add an ST level of `leads` (8,) millivolts beside the dipole."""
        self.near[ST_T] += np.outer(_ST_LEVEL, leads)


@cache
def _population() -> tuple[tuple[str, ...], Array]:
    """Return the quantities of the population of normal hearts, and one row of coefficients for each.

    The columns are the mean in women of 60, the effect of male sex, of ten years of age, the standard
    deviation that the components leave, and the components in units of one standard deviation.
    They were fitted to the median beats of normal ECGs of PTB-XL (Wagner et al. 2020,
    doi:10.1038/s41597-020-0495-6, CC BY 4.0).
    """
    path = resources.files("omi_estimators.datasets") / "data" / "normal_hearts.csv"
    lines = path.read_text(encoding="utf-8").split()
    rows = [line.split(",") for line in lines[1:]]
    return tuple(row[0] for row in rows), np.array([row[1:] for row in rows], dtype=np.float64)


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
    names, table = _population()
    mean, of_male, of_decade, rest, components = *table[:, :4].T, table[:, 4:]
    scores = rng.standard_normal((len(age), components.shape[1])).clip(-_MAX_SCORE, _MAX_SCORE)
    noise = rng.standard_normal((len(age), len(names))).clip(-_MAX_SCORE, _MAX_SCORE)
    state = mean + np.outer(male - 0.5, of_male) + np.outer((age - 60.0) / 10.0, of_decade)
    state += scores @ components.T + noise * rest
    n_shape = 3 * len(_CENTERS)
    gain, qrs, jtc, pr, heart_rate = np.exp(state[:, -5:]).T
    vectors = state[:, :n_shape].reshape(-1, n_shape // 3, 3) * gain[:, None, None]
    bend = state[:, n_shape:-5].reshape(-1, *DOWER.shape)
    # A chest may bend the field only such that the inverse Dower matrix still finds the dipole: the loops
    # were fitted under this condition, and without it a size would be counted twice.
    fields = DOWER + bend - DOWER @ (INVERSE_DOWER @ bend)
    return [
        Heart(*parts)
        for parts in zip(
            vectors,
            np.tile(_CENTERS, (len(age), 1)),
            np.tile(_WIDTHS, (len(age), 1)),
            fields,
            np.zeros((len(age), len(_CENTERS), len(DOWER))),
            qrs.tolist(),
            jtc.tolist(),
            pr.tolist(),
            heart_rate.tolist(),
            strict=True,
        )
    ]
