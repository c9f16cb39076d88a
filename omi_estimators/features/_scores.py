"""Scores of the literature, and criteria that guidelines name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from omi_estimators.features._delineate import DelineatedBeat
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


# ST elevation at J (mV) that counts, and the leads that lie next to each other.
_USUAL_ELEVATION, _ELEVATION_V2_V3 = 0.1, 0.2
_NEIGHBOURS = (
    *pairwise(("aVL", "I")),
    *pairwise(("II", "aVF", "III")),
    *pairwise(("V1", "V2", "V3", "V4", "V5", "V6")),
)
# In a smaller S wave (mV) the ratio of ST to it means nothing.
_LEAST_S = 0.1
_MM = 10.0


def measure_scores(measured: Mapping[str, Any], beat: DelineatedBeat) -> dict[str, float]:
    """Return scores and criteria.

    Parameters
    ----------
    measured : mapping of str to ndarray of shape (12,) or float
        What the waves, ST and the intervals gave.
    beat : DelineatedBeat
        With twelve leads.

    Returns
    -------
    dict of str to float
        Empty where a lead is missing: no score may count a lead that nobody saw as normal. Flags are 0 or 1.

    References
    ----------
    Aldrich H. R. et al., American Journal of Cardiology 61:749-753, 1988, doi:10.1016/0002-9149(88)91060-0.
    Driver B. E. et al., Journal of Electrocardiology 50:836-843, 2017, doi:10.1016/j.jelectrocard.2017.08.005.
    Smith S. W. et al., Annals of Emergency Medicine 60:766-776, 2012, doi:10.1016/j.annemergmed.2012.07.119.
    Surawicz B. et al., Circulation 119:e235-e240, 2009, doi:10.1161/CIRCULATIONAHA.108.191095.
    Thygesen K. et al., Fourth Universal Definition of Myocardial Infarction, Journal of the American College of
    Cardiology 72:2231-2264, 2018, doi:10.1016/j.jacc.2018.08.1038.
    """
    if not (beat.is_standard and beat.present.all()):
        return {}
    scores = {
        "selvester": selvester_score(measured),
        "sokolow_lyon": _sum(measured, ("s_amplitude", "V1"))
        + max(_at(measured, "r_amplitude", v) for v in ("V5", "V6")),
        "cornell_voltage": _sum(measured, ("r_amplitude", "aVL"), ("s_amplitude", "V3")),
    }
    scores |= _bundle_branch_blocks(measured)
    if "j_amplitude" in measured:
        scores |= _elevation_scores(measured)
    return scores


def _at(measured: Mapping[str, Any], name: str, lead: str) -> float:
    """Return one measure of one lead."""
    return float(measured[name][LEADS.index(lead)])


def _sum(measured: Mapping[str, Any], *places: tuple[str, str]) -> float:
    """Return the sum of heights, all taken as positive."""
    return sum(abs(_at(measured, name, lead)) for name, lead in places)


def _bundle_branch_blocks(measured: Mapping[str, Any]) -> dict[str, float]:
    """Return whether the QRS complex is that of a complete bundle branch block (AHA, ACCF and HRS)."""
    is_wide = measured["qrs_duration"] >= 120
    no_q = not any(_at(measured, "q_amplitude", lead) for lead in ("I", "V6"))
    is_left = (
        is_wide and no_q and _at(measured, "activation_time", "V6") > 60 and _at(measured, "r_qrs_ratio", "V1") < 0.25
    )
    late_in_v1 = any(
        _at(measured, "r_prime_amplitude", lead) > _at(measured, "r_amplitude", lead) for lead in ("V1", "V2")
    )
    upright_in_v1 = _at(measured, "r_qrs_ratio", "V1") > 0.5 and _at(measured, "activation_time", "V1") > 50
    late_s = any(_at(measured, "s_duration", lead) >= 40 for lead in ("I", "V6"))
    return {"lbbb": float(is_left), "rbbb": float(is_wide and (late_in_v1 or upright_in_v1) and late_s)}


def _elevation_scores(measured: Mapping[str, Any]) -> dict[str, float]:
    """Return what follows from the height of ST."""
    j = np.asarray(measured["j_amplitude"])
    limits = np.where(np.isin(LEADS, ("V2", "V3")), _ELEVATION_V2_V3, _USUAL_ELEVATION)
    high = dict(zip(LEADS, j >= limits, strict=True))
    not_avr = np.array([lead != "aVR" for lead in LEADS])
    inferior = [_at(measured, "j_amplitude", lead) * _MM for lead in ("II", "III", "aVF") if high[lead]]
    n_elevated = int(np.count_nonzero((j >= _USUAL_ELEVATION) & not_avr))
    s = -np.asarray(measured["s_amplitude"])
    discordant = j[6:10][s[6:10] >= _LEAST_S] / s[6:10][s[6:10] >= _LEAST_S]
    qrs_v2, r_v4, st_v3 = (
        _at(measured, name, lead) * _MM
        for name, lead in (("qrs_amplitude", "V2"), ("r_amplitude", "V4"), ("st60", "V3"))
    )
    return {
        "stemi_criteria": float(any(high[first] and high[second] for first, second in _NEIGHBOURS)),
        "aldrich_anterior": 3 * (1.5 * n_elevated - 0.4) if n_elevated else 0.0,
        "aldrich_inferior": 3 * (0.6 * sum(inferior) + 2.0) if inferior else 0.0,
        "st_s_ratio": float(discordant.max()) if discordant.size else np.nan,
        "four_variable": 0.052 * measured["qtc_bazett"] - 0.151 * qrs_v2 - 0.268 * r_v4 + 1.062 * st_v3,
    }
