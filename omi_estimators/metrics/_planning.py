"""How many patients a study takes, before it begins."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, ndtri

from omi_estimators._validation import check_level
from omi_estimators.metrics._results import Floats
from omi_estimators.metrics._tiers import allowed_misses, check_guarantee, check_share, least_patients

_MOST = 10**8


def patients_needed(
    prevalence: float,
    *,
    sensitivity: float | None = None,
    ppv: float | None = None,
    ruled_in: float | None = None,
    margin: float = 0.05,
    guarantee: float | None = None,
    c_statistic: float | None = None,
    log_odds: ArrayLike | None = None,
    c_width: float = 0.1,
    slope_width: float = 0.2,
    ratio_width: float = 0.2,
    n_parameters: int | None = None,
    r_squared: float | None = None,
    shrinkage: float = 0.9,
    records_per_patient: float = 1.0,
    correlation: float = 0.5,
    confidence_level: float = 0.95,
) -> dict[str, int]:
    r"""Return how many patients it takes to validate a model, to promise tiers, or to develop a model.

    Each question is answered whose figures are given. A study takes the largest of the numbers. They are expected
    numbers: with the prevalence :math:`\pi` a cohort of :math:`n` patients has more or fewer than :math:`\pi n` events.

    **To validate.** A `sensitivity` within a margin :math:`d` takes :math:`z^2 se (1 - se) / (d^2 \pi)` patients [1]_,
    a `ppv` likewise, with the share ruled in for :math:`\pi`. With `c_statistic` or `log_odds`, intervals of the given
    widths of the C-statistic, the calibration slope, and the ratio of observed to expected events, as Riley and others
    work them out [2]_.

    **To promise.** With `guarantee`, how many it takes for `tier_thresholds` to promise the sensitivity or PPV at all
    (no patient may then be on the wrong side), and for a promise at which the share among the patients it is chosen
    on need not exceed the promised one by more than `margin`.

    **To develop.** With `n_parameters`: an expected shrinkage of `shrinkage`, an optimism in Nagelkerke's R² of at most
    0.05, and the overall risk within `margin` [3]_. Made for regression; a forest or a network takes more.

    Parameters
    ----------
    prevalence : float
        The expected share of patients with events, above 0 and below 1.
    sensitivity, ppv : float, optional
        The expected sensitivity and PPV; with `guarantee` those to be promised. Above 0 and below 1.
    ruled_in : float, optional
        The expected share of all patients that is ruled in, above 0 and at most 1. Needed with `ppv`.
    margin : float, default=0.05
        Half the width of the intervals of sensitivity, PPV and overall risk; what a promise may cost.
    guarantee : float, optional
        The probability with which promises are to be kept, from 0.5 to below 1.
    c_statistic : float, optional
        The expected AUROC, above 0.5 and below 1.
    log_odds : array-like of shape (n_patients,), optional
        What a model says of patients like those to come, as log-odds, taken to be right. If None, log-odds are normal
        within each class, as far apart as `c_statistic` says.
    c_width, slope_width, ratio_width : float
        Widths of the intervals of C-statistic, calibration slope, and observed over expected; by default 0.1, 0.2, 0.2.
    n_parameters : int, optional
        Candidate parameters of a model to be developed, not only those that it will keep.
    r_squared : float, optional
        Its expected R² of Cox and Snell; 15 % of the greatest possible one if None.
    shrinkage : float, default=0.9
        The least expected shrinkage factor, above 0 and below 1.
    records_per_patient : float, default=1
        Mean number of records per patient. To validate, `k` records each say as much as :math:`k / (1 + (k - 1) \rho)`
        patients. Promises and development count patients, and gain nothing.
    correlation : float, default=0.5
        Correlation :math:`\rho` of records of a patient in what is measured, from 0 to 1.
    confidence_level : float, default=0.95
        Level of the intervals.

    Returns
    -------
    dict of str to int
        Patients by question: "sensitivity", "ppv", "c_statistic", "calibration_slope", "observed_over_expected",
        "sensitivity_promised", "sensitivity_promised_within_margin", the same two of "ppv", "shrinkage", "optimism",
        "overall_risk".

    Raises
    ------
    ValueError
        If a figure is out of its range or lacks the one it is needed with, or nothing is asked.

    See Also
    --------
    tier_thresholds : The promises.

    References
    ----------
    .. [1] Buderer N. M. F., Statistical methodology: I. Incorporating the prevalence of disease into the sample size
       calculation for sensitivity and specificity, Academic Emergency Medicine 3:895-900, 1996.
       doi:10.1111/j.1553-2712.1996.tb03538.x
    .. [2] Riley R. D. et al., Minimum sample size for external validation of a clinical prediction model with a binary
       outcome, Statistics in Medicine 40:4230-4251, 2021. doi:10.1002/sim.9025
    .. [3] Riley R. D. et al., Calculating the sample size required for developing a clinical prediction model, BMJ
       368:m441, 2020. doi:10.1136/bmj.m441

    Examples
    --------
    >>> from omi_estimators.metrics import patients_needed
    >>> patients_needed(0.07, sensitivity=0.9, guarantee=0.9)
    {'sensitivity': 1976, 'sensitivity_promised': 315, 'sensitivity_promised_within_margin': 1072}
    >>> patients_needed(0.07, c_statistic=0.9)
    {'c_statistic': 602, 'calibration_slope': 3651, 'observed_over_expected': 5104}

    The example of the authors' software: 24 parameters, R² 0.288, prevalence 17.4 %.

    >>> patients_needed(0.174, n_parameters=24, r_squared=0.288)
    {'shrinkage': 623, 'optimism': 662, 'overall_risk': 221}
    """
    check_level(confidence_level)
    _check_between(prevalence=prevalence, margin=margin, shrinkage=shrinkage)
    if not (records_per_patient >= 1 and 0 <= correlation <= 1):
        raise ValueError(
            "records_per_patient must be at least 1 and correlation from 0 to 1; "
            f"got {records_per_patient!r} and {correlation!r}."
        )
    z = float(ndtri((1 + confidence_level) / 2))
    says = records_per_patient / (1 + (records_per_patient - 1) * correlation)
    needed: dict[str, float] = {}
    for name, share, of in (("sensitivity", sensitivity, prevalence), ("ppv", ppv, ruled_in)):
        if share is None:
            continue
        _check_between(**{name: share})
        if of is None:
            raise ValueError("ppv needs ruled_in, the share of all patients that is expected to be ruled in.")
        check_share("ruled_in" if name == "ppv" else "prevalence", of)
        needed[name] = _within(share, margin, z) / of / says
        if guarantee is not None:
            least = least_patients(name, share, guarantee)
            needed[f"{name}_promised"] = least / of
            needed[f"{name}_promised_within_margin"] = _cheap_promise(least, share, margin, guarantee) / of
    if guarantee is not None:
        check_guarantee(guarantee)
        if sensitivity is None and ppv is None:
            raise ValueError("guarantee needs what is to be promised: sensitivity, or ppv with ruled_in.")
    if c_statistic is not None or log_odds is not None:
        _check_between(c_width=c_width, slope_width=slope_width, ratio_width=ratio_width)
        if c_statistic is not None:
            _check_between(0.5, c_statistic=c_statistic)
            needed["c_statistic"] = _for_c_statistic(c_statistic, prevalence, c_width / 2 / z) / says
        spread = _spread_log_odds(c_statistic, log_odds, prevalence)
        needed["calibration_slope"] = _for_slope(*spread, slope_width / 2 / z) / says
        needed["observed_over_expected"] = (1 - prevalence) / prevalence * (2 * z / ratio_width) ** 2 / says
    if n_parameters is not None:
        needed |= _to_develop(prevalence, n_parameters, r_squared, shrinkage)
        needed["overall_risk"] = _within(prevalence, margin, z)
    if not needed:
        raise ValueError(
            "Nothing is asked: give sensitivity, ppv with ruled_in, c_statistic, log_odds or n_parameters."
        )
    return {name: math.ceil(round(number, 6)) for name, number in needed.items()}


def _check_between(low: float = 0.0, **values: float) -> None:
    """Raise a ValueError for a value that is not above `low` and below 1."""
    for name, value in values.items():
        if not low < value < 1:
            raise ValueError(f"{name} must be above {low:g} and below 1; got {value!r}.")


def _within(share: float, margin: float, z: float) -> float:
    """Return how many patients show a share within a margin."""
    return share * (1 - share) * (z / margin) ** 2


def _cheap_promise(least: int, share: float, margin: float, guarantee: float) -> int:
    """Return from how many patients on a share is promised that they exceed by no more than a margin."""
    spare = 1 - share - margin

    def is_enough(n: int) -> bool:
        return bool(allowed_misses(np.float64(n), share, guarantee) >= spare * n)

    numbers = range(least, _MOST)
    return numbers[bisect_left(numbers, True, key=is_enough)]


def _for_c_statistic(c: float, prevalence: float, error: float) -> float:
    """Return at how many patients Newcombe's standard error of a C-statistic is `error`."""
    # Their number n solves a n^2 = spread (1 - slope + slope n / 2).
    a, spread, slope = error**2 * prevalence * (1 - prevalence), c * (1 - c), (1 - c) / (2 - c) + c / (1 + c)
    half = spread * slope / 4
    return (half + math.sqrt(half**2 + a * spread * (1 - slope))) / a


def _spread_log_odds(c: float | None, log_odds: ArrayLike | None, prevalence: float) -> tuple[Floats, Floats]:
    """Return values of log-odds and the weight of each."""
    if log_odds is not None:
        values = np.asarray(log_odds, dtype=np.float64)
        if values.ndim != 1 or not np.isfinite(values).all() or np.ptp(values) == 0:
            raise ValueError(f"log_odds must hold finite numbers that differ, one a patient; got shape {values.shape}.")
        return values, np.full(len(values), 1 / len(values))
    # Two normal distributions of variance v are v apart where log-odds are right; the C-statistic tells v.
    variance = 2 * float(ndtri(c)) ** 2
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    of_others = logit(prevalence) - variance / 2 + math.sqrt(variance) * nodes
    weights = weights / weights.sum()
    return np.r_[of_others, of_others + variance], np.r_[(1 - prevalence) * weights, prevalence * weights]


def _for_slope(values: Floats, weights: Floats, error: float) -> float:
    """Return at how many patients the standard error of the calibration slope of a right model is `error`."""
    information = weights * expit(values) * expit(-values)
    total, first, second = (float(information @ values**power) for power in range(3))
    return total / (error**2 * (total * second - first**2))


def _to_develop(prevalence: float, n_parameters: int, r_squared: float | None, shrinkage: float) -> dict[str, float]:
    """Return how many patients a regression takes to shrink, and to be optimistic, by little."""
    if n_parameters < 1:
        raise ValueError(f"n_parameters must be at least 1; got {n_parameters!r}.")
    entropy = -prevalence * math.log(prevalence) - (1 - prevalence) * math.log(1 - prevalence)
    greatest = 1 - math.exp(-2 * entropy)
    r_squared = 0.15 * greatest if r_squared is None else r_squared
    if not 0 < r_squared < min(greatest, shrinkage):
        raise ValueError(
            f"r_squared, of Cox and Snell, must be above 0 and below {min(greatest, shrinkage):.3g} at this prevalence "
            f"and shrinkage; got {r_squared!r}."
        )
    factors = {"shrinkage": shrinkage, "optimism": r_squared / (r_squared + 0.05 * greatest)}
    return {name: n_parameters / ((s - 1) * math.log(1 - r_squared / s)) for name, s in factors.items()}
