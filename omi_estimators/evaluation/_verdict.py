"""What a comparison comes to, in words: which model ranks best, how sure that is, what it takes, and where it cuts."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from omi_estimators._validation import count_noun
from omi_estimators.evaluation._page import Verdict
from omi_estimators.evaluation._tables import FEW, PPV, SENSITIVITY, Tested, classify, format_interval, make_columns
from omi_estimators.metrics import Interval, tier_thresholds

if TYPE_CHECKING:
    from omi_estimators.evaluation._result import ComparisonResult

# In so many studies of as large a difference its interval excludes 0.
_POWER = 0.8
# A study of more times the patients that are here is no advice.
_MOST_TIMES = 100
_ENOUGH = 100
_NEAR_CHANCE = 0.6

ON_VERDICT = (
    "The model with the highest AUROC ranks best; that it beats another is called certain if the interval of their "
    "difference, paired by the bootstrap, excludes 0. The interval of each difference stands for itself, and the best "
    "of several looks a little better than it is. Patients to be sure: n ((z + 0.84) s / d)², with d the difference, s "
    "its standard error with the n patients here (its interval's width over 2 z), and z the normal quantile of the "
    "interval: if the difference is as large as found, so many tell it in four of five studies."
)
ON_THRESHOLDS = (
    f"Rule-out keeps a sensitivity of {SENSITIVITY:.2f}, rule-in reaches a PPV of {PPV:.2f}, the greatest F1 lies "
    "between. The thresholds are those of all out-of-fold probabilities, with intervals of what other patients would "
    "have given; what they give is counted with thresholds of each fold that were chosen on the other folds, calling "
    "records positive from the threshold on. PPV and NPV hold for the share of positives among these records."
)


def find_verdict(result: ComparisonResult) -> Verdict:
    """Return which model ranks best and how sure that is, by the rules that `ON_VERDICT` states."""
    best, (negative, positive) = result.best, result.target_names
    row = result.table.loc[[best]].iloc[0]
    auroc = format_interval(row, "roc_auc")
    units, is_positive = result.units(), result.y[result.tested] == 1
    numbers = [len(np.unique(units[mask])) for mask in (is_positive, ~is_positive)]
    unit = "record" if result.groups is None else "patient"
    size = f"{count_noun(numbers[0], unit)} with {positive} and {numbers[1]} without"
    collect = f"Collect more: {size} are few; at least {_ENOUGH} of each are advised to judge a model."
    found = _find_differences(result)
    unsure = {name: difference for name, difference in found.items() if not difference.low > 0}
    findings = [
        f"{best}: AUROC {auroc}, average precision {format_interval(row, 'average_precision')}, Brier score "
        f"{format_interval(row, 'brier_score')}.",
        *_list_others("Its AUROC is surely higher than that of", {n: d for n, d in found.items() if n not in unsure}),
        *_list_others("Whether it is higher cannot be told for", unsure),
        *_describe_calibration(row),
    ]
    if min(numbers) < FEW:
        what = "which model is best" if found else f"how good {best} is"
        headline = f"It cannot be told {what}: there are only {size}."
        return Verdict("open", headline, findings, [collect])
    steps = []
    if row["roc_auc_low"] <= 0.5:
        headline = f"No model is known to tell {positive} from {negative} better than chance: the best, {best}, has an "
        steps.append("Check labels, units and leads; if they are right, more patients or another model are needed.")
        status = "bad" if row["roc_auc_high"] <= _NEAR_CHANCE else "open"
        return Verdict(status, f"{headline}AUROC of {auroc}.", findings, [*steps, collect])
    status, headline = "good", f"The model {best!r} ranks best, and more than chance speaks for it: AUROC {auroc}."
    if not found:
        headline = (
            f"The model {best!r} ranks {positive} above {negative}: AUROC {auroc}. There is none to compare it with."
        )
    if unsure:
        rival = str(result.table.loc[list(unsure), "roc_auc"].idxmax())
        status = "open"
        headline = (
            f"The model {best!r} ranks best; that it beats {rival!r} is not certain: difference in AUROC "
            f"{_format_difference(found[rival])}."
        )
        steps.append(_say_patients(found[rival], best, rival, len(np.unique(units)), unit))
    if row["calibration_slope_high"] < 1 or row["calibration_slope_low"] > 1:
        steps.append(f"Calibrate {best} before its probabilities are read as such.")
    steps.append(f"Fit {best} on all records, and validate it on other patients: these have chosen it.")
    if min(numbers) < _ENOUGH:
        steps.append(collect)
    return Verdict(status, headline, findings, steps)


def _find_differences(result: ComparisonResult) -> dict[str, Interval]:
    """Return how much higher the AUROC of the best is than that of each other, paired on the same resamples."""
    if len(result.table) == 1:
        return {}
    seen = Tested.of_records(
        result.probabilities, result.y == 1, result.groups, result.fold, result.tested, result.n_repeats
    )
    settings: dict[str, Any] = {"n_resamples": result.n_resamples, "confidence_level": result.confidence_level}
    figures = seen.intervals(
        reference=result.best, metrics=["roc_auc"], on_few="ignore", random_state=result.random_state or 0, **settings
    )
    others = {name: found["roc_auc_difference"] for name, found in figures.items() if name != result.best}
    return {name: Interval(-d.estimate, -d.high, -d.low, d.confidence_level) for name, d in others.items()}


def _format_difference(difference: Interval) -> str:
    return f"{difference.estimate:+z.3f} [{difference.low:+z.3f}, {difference.high:+z.3f}]"


def _list_others(words: str, differences: dict[str, Interval]) -> list[str]:
    if not differences:
        return []
    named = (f"{name} ({_format_difference(difference)})" for name, difference in differences.items())
    return [f"{words} {', '.join(named)}."]


def _say_patients(difference: Interval, best: str, rival: str, n_units: int, unit: str) -> str:
    """Return how many patients would tell a difference from 0, if it is as large as found."""
    z = float(ndtri((1 + difference.confidence_level) / 2))
    error = (difference.high - difference.low) / (2 * z)
    wanted = (z + float(ndtri(_POWER))) * error
    if wanted**2 >= _MOST_TIMES * difference.estimate**2:
        return (
            f"{best} and {rival} rank alike as far as can be told, and no study of a likely size would part them: "
            "choose by calibration, by what they look at, or by what is simpler."
        )
    needed = math.ceil(n_units * (wanted / difference.estimate) ** 2)
    return (
        f"With about {needed} {unit}s like these (here are {n_units}) it could be told whether {best} beats {rival}, "
        "if the difference is as large as found. Until then either may be chosen."
    )


def _describe_calibration(row: pd.Series) -> list[str]:
    """Return a sentence on whether probabilities mean what they say."""
    slope, intercept = format_interval(row, "calibration_slope"), format_interval(row, "calibration_intercept")
    figures = f"calibration slope {slope}, intercept {intercept}"
    if np.isnan(row["calibration_slope"]):
        return []
    words = []
    if row["calibration_slope_high"] < 1:
        words.append("too extreme")
    if row["calibration_slope_low"] > 1:
        words.append("not extreme enough")
    if not row["calibration_intercept_low"] <= 0 <= row["calibration_intercept_high"]:
        words.append("too low" if row["calibration_intercept"] > 0 else "too high")
    if not words:
        return [f"Its probabilities mean what they say, within chance: {figures}."]
    return [f"Its probabilities are {' and '.join(words)}: {figures}."]


def make_threshold_table(result: ComparisonResult) -> pd.DataFrame | None:
    """Return the thresholds of the best model and what they give as text; None if no other fold could choose them."""
    if result.tiers is None or result.decisions is None:
        return None
    best, tested, level = result.best, result.tested, result.confidence_level
    seen = Tested.of_records(result.probabilities, result.y == 1, result.groups, result.fold, tested, result.n_repeats)
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
    tiers = result.tiers[best].to_numpy()[tested]
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
            **{
                title: format_interval(figures, key)
                for title, key in (
                    ("sensitivity", "sensitivity"),
                    ("specificity", "specificity"),
                    ("PPV", "ppv"),
                    ("NPV", "npv"),
                )
            },
        }
    return pd.DataFrame(rows)


def _show_threshold(found: Interval) -> str:
    if math.isinf(found.estimate):
        return "not reached"
    high = "not reached" if math.isinf(found.high) else f"{found.high:.3f}"
    return f"{found.estimate:.3f} [{found.low:.3f}, {high}]"
