"""The Selvester QRS score: points for the marks that an infarct leaves in the QRS complex."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from omi_estimators.leads import LEADS


class _Lead(NamedTuple):
    """Waves of one lead: heights in mV, all positive, and durations in ms."""

    q: float
    r: float
    s: float
    q_ms: float
    r_ms: float

    def r_over_q(self, most: float) -> bool:
        return self.q > 0 and self.r <= most * self.q

    def r_over_s(self, most: float) -> bool:
        return self.s > 0 and self.r <= most * self.s


_Rule = tuple[int, Callable[[_Lead], bool]]


def _q(*points_by_ms: tuple[int, float]) -> tuple[_Rule, ...]:
    """Return rules that give points for a Q wave of at least so many ms."""
    return tuple((points, lambda lead, ms=ms: lead.q_ms >= ms) for points, ms in points_by_ms)


# Lead by lead, groups of rules with their points: of each group, the first that is met counts.
_RULES: dict[str, tuple[tuple[_Rule, ...], ...]] = {
    "I": (_q((1, 30)), ((1, lambda x: x.r_over_q(1) or x.r <= 0.2),)),
    "II": (_q((2, 40), (1, 30)),),
    "aVL": (_q((1, 30)), ((1, lambda x: x.r_over_q(1)),)),
    "aVF": (_q((3, 50), (2, 40), (1, 30)), ((2, lambda x: x.r_over_q(1)), (1, lambda x: x.r_over_q(2)))),
    "V1": (
        ((1, lambda x: x.q > 0),),
        ((1, lambda x: x.r > 0 and not x.r_over_s(1 - 1e-9)),),
        ((2, lambda x: x.r_ms >= 50), (1, lambda x: x.r_ms >= 40)),
        ((1, lambda x: max(x.q, x.s) <= 0.3),),
    ),
    "V2": (
        ((1, lambda x: x.q > 0 or x.r_ms <= 10 or x.r <= 0.1),),
        ((1, lambda x: x.r > 0 and not x.r_over_s(1.5 - 1e-9)),),
        ((2, lambda x: x.r_ms >= 60), (1, lambda x: x.r_ms >= 50)),
        ((1, lambda x: max(x.q, x.s) <= 0.4),),
    ),
    "V3": (((1, lambda x: x.q > 0 or x.r_ms <= 20 or x.r <= 0.2),),),
    "V4": (
        _q((1, 20)),
        (
            (2, lambda x: x.r_over_q(0.5) or x.r_over_s(0.5)),
            (1, lambda x: x.r_over_q(1) or x.r_over_s(1) or x.r <= 0.7),
        ),
    ),
    "V5": (
        _q((1, 30)),
        ((2, lambda x: x.r_over_q(1) or x.r_over_s(1)), (1, lambda x: x.r_over_q(2) or x.r_over_s(2) or x.r <= 0.7)),
    ),
    "V6": (
        _q((1, 30)),
        ((2, lambda x: x.r_over_q(1) or x.r_over_s(1)), (1, lambda x: x.r_over_q(3) or x.r_over_s(3) or x.r <= 0.6)),
    ),
}
LEADS_SCORED = tuple(_RULES)
MOST_POINTS = sum(max(points for points, _ in group) for groups in _RULES.values() for group in groups)


def selvester_score(waves: Mapping[str, NDArray[np.float64]]) -> float:
    """Return the points of the 31-point Selvester QRS score; each stands for some 3 % of the left ventricle.

    Parameters
    ----------
    waves : mapping of str to ndarray of shape (12,)
        ``q_amplitude``, ``r_amplitude``, ``s_amplitude`` in mV and ``q_duration``, ``r_duration`` in ms.

    Returns
    -------
    float
        From 0 to 31. In bundle branch block, hypertrophy and pre-excitation it says nothing of infarction.

    References
    ----------
    Hindman N. B. et al., Evaluation of a QRS scoring system for estimating myocardial infarct size. V. Specificity
    and method of application of the complete system, American Journal of Cardiology 55:1485-1490, 1985,
    doi:10.1016/0002-9149(85)90958-0.
    """
    total = 0
    for name, groups in _RULES.items():
        index = LEADS.index(name)
        heights = (abs(float(waves[f"{wave}_amplitude"][index])) for wave in ("q", "r", "s"))
        lead = _Lead(*heights, *(float(waves[f"{wave}_duration"][index]) for wave in ("q", "r")))
        for group in groups:
            total += next((points for points, is_met in group if is_met(lead)), 0)
    return float(total)
