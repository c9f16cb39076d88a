"""What a comparison comes to, in words: which model ranks best, how sure that is, what it takes, and where it cuts."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from omi_estimators.evaluation._page import Verdict
from omi_estimators.evaluation._report import ENOUGH, NEAR_CHANCE
from omi_estimators.evaluation._tables import FEW, PPV, SENSITIVITY, Tested, classify, format_interval, make_columns
from omi_estimators.metrics import Interval, tier_thresholds

if TYPE_CHECKING:
    from omi_estimators.evaluation._result import ComparisonResult

# In so many studies of as large a difference its interval excludes 0.
_POWER = 0.8
# A study of more times the patients that are here is no advice.
_MOST_TIMES = 100
_FIGURES = {
    "precision": "average_precision",
    "brier": "brier_score",
    "slope": "calibration_slope",
    "intercept": "calibration_intercept",
}
_WORTH = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV"}


def find_verdict(result: ComparisonResult) -> Verdict:
    """Return which model ranks best and how sure that is, by the rules that the page states."""
    best, row, units = result.best, result.table.loc[[result.best]].iloc[0], result.units()
    numbers = [len(np.unique(units[result.y[result.tested] == label])) for label in (1, 0)]
    found = _find_differences(result)
    known: dict[str, Any] = {"best": best, "auroc": format_interval(row, "roc_auc"), "sizes": numbers}

    def say(key: str, **more: Any) -> str:
        return result._say(f"verdict.{key}", **known, **more)

    unsure = {name: difference for name, difference in found.items() if not difference.low > 0}
    figures = {name: format_interval(row, key) for name, key in _FIGURES.items()}
    findings = [say("figures", **figures)]
    for key, some in (("higher", {n: d for n, d in found.items() if n not in unsure}), ("not_told", unsure)):
        if some:
            findings.append(say(key, others=", ".join(f"{n} ({_format_difference(d)})" for n, d in some.items())))
    if not np.isnan(row["calibration_slope"]):
        wrong = _describe_calibration(row)
        findings.append(say("miscalibrated" if wrong else "calibrated", how=" and ".join(wrong), **figures))
    if min(numbers) < FEW:
        return Verdict("open", say("too_few", several=bool(found)), findings, [say("collect")])
    if row["roc_auc_low"] <= 0.5:
        status = "bad" if row["roc_auc_high"] <= NEAR_CHANCE else "open"
        return Verdict(status, say("chance"), findings, [say("check_labels"), say("collect")])
    status, headline, steps = "good", say("certain" if found else "alone"), []
    if unsure:
        rival = str(result.table.loc[list(unsure), "roc_auc"].idxmax())
        status, difference = "open", found[rival]
        headline = say("uncertain", rival=rival, difference=_format_difference(difference))
        needed, n_units = _count_to_tell(difference, len(np.unique(units))), len(np.unique(units))
        steps.append(say("alike" if needed is None else "patients", rival=rival, needed=needed, n_units=n_units))
    if row["calibration_slope_high"] < 1 or row["calibration_slope_low"] > 1:
        steps.append(say("calibrate"))
    steps.append(say("validate"))
    if min(numbers) < ENOUGH:
        steps.append(say("collect"))
    return Verdict(status, headline, findings, steps)


def _tested_records(result: ComparisonResult) -> Tested:
    return Tested.of_records(
        result.probabilities, result.y == 1, result.groups, result.fold, result.tested, result.n_repeats
    )


def _find_differences(result: ComparisonResult) -> dict[str, Interval]:
    """Return how much higher the AUROC of the best is than that of each other, paired on the same resamples."""
    if len(result.table) == 1:
        return {}
    settings: dict[str, Any] = {"n_resamples": result.n_resamples, "confidence_level": result.confidence_level}
    figures = _tested_records(result).intervals(
        reference=result.best, metrics=["roc_auc"], on_few="ignore", random_state=result.random_state or 0, **settings
    )
    others = {name: found["roc_auc_difference"] for name, found in figures.items() if name != result.best}
    return {name: Interval(-d.estimate, -d.high, -d.low, d.confidence_level) for name, d in others.items()}


def _format_difference(difference: Interval) -> str:
    return f"{difference.estimate:+z.3f} [{difference.low:+z.3f}, {difference.high:+z.3f}]"


def _count_to_tell(difference: Interval, n_units: int) -> int | None:
    """Return how many patients would tell a difference from 0, if it is as large as found; None if too many."""
    z = float(ndtri((1 + difference.confidence_level) / 2))
    error = (difference.high - difference.low) / (2 * z)
    wanted = (z + float(ndtri(_POWER))) * error
    if wanted**2 >= _MOST_TIMES * difference.estimate**2:
        return None
    return math.ceil(n_units * (wanted / difference.estimate) ** 2)


def _describe_calibration(row: pd.Series) -> list[str]:
    """Return what is surely wrong with probabilities."""
    words = []
    if row["calibration_slope_high"] < 1:
        words.append("too extreme")
    if row["calibration_slope_low"] > 1:
        words.append("not extreme enough")
    if not row["calibration_intercept_low"] <= 0 <= row["calibration_intercept_high"]:
        words.append("too low" if row["calibration_intercept"] > 0 else "too high")
    return words


def make_threshold_table(result: ComparisonResult) -> pd.DataFrame | None:
    """Return the thresholds of the best model and what they give as text; None if no other fold could choose them."""
    if result.tiers is None or result.decisions is None:
        return None
    best, level, seen = result.best, result.confidence_level, _tested_records(result)
    with warnings.catch_warnings():
        # A threshold that is not reached stands in the table, and few events are told by the comparison.
        warnings.simplefilter("ignore", UserWarning)
        found = tier_thresholds(
            seen.positive,
            seen.probabilities[best].to_numpy(),
            sensitivity=SENSITIVITY,
            ppv=PPV,
            groups=seen.units,
            confidence_level=level,
            random_state=0,
        )
    tiers = result.tiers[best].to_numpy()[result.tested]
    rows = {}
    for name, threshold, above in (
        ("rule-out", found.rule_out, ("low", "high", "rule-in")),
        ("greatest F1", found.max_f1, ("high", "rule-in")),
        ("rule-in", found.rule_in, ("rule-in",)),
    ):
        called = np.isin(tiers, above)
        worth = classify(seen, called.astype(np.float64), n_resamples=100, confidence_level=level, random_state=0)
        figures = pd.Series(make_columns(worth))
        rows[name] = {
            f"threshold [{100 * level:g} % CI]": _show_threshold(threshold),
            "records from it on": f"{called.mean():.1%}",
            **{title: format_interval(figures, key) for key, title in _WORTH.items()},
        }
    return pd.DataFrame(rows)


def _show_threshold(found: Interval) -> str:
    if math.isinf(found.estimate):
        return "not reached"
    high = "not reached" if math.isinf(found.high) else f"{found.high:.3f}"
    return f"{found.estimate:.3f} [{found.low:.3f}, {high}]"
