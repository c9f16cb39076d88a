"""What the metrics return: plain frozen records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omi_estimators._validation import FewEventsWarning as FewEventsWarning

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""From weights of shape (n_records, n_resamples) to values of shape (n_resamples,)."""


@dataclass(frozen=True)
class Interval:
    """A figure and its confidence interval.

    Attributes
    ----------
    estimate : float
        The figure on the data as given.
    low, high : float
        Ends of the confidence interval.
    confidence_level : float
        Its level, such as 0.95.
    method : str
        How it was found: "percentile", "bca", "delong", "wilson", or "clopper-pearson" with one-sided bounds.
    n_resamples : int
        Bootstrap resamples; 0 without bootstrap.
    n_redrawn : int
        Resamples that were drawn again because they held one class only.
    spread : float or None
        Standard deviation of the figure over repeats of a cross-validation; None where there are no repeats.

    Examples
    --------
    >>> from omi_estimators.metrics import Interval
    >>> print(Interval(0.953, 0.921, 0.978))
    0.953 [0.921, 0.978]
    """

    estimate: float
    low: float
    high: float
    confidence_level: float = 0.95
    method: str = "percentile"
    n_resamples: int = 0
    n_redrawn: int = 0
    spread: float | None = None

    def __str__(self) -> str:
        return f"{self.estimate:z.3f} [{self.low:z.3f}, {self.high:z.3f}]"


@dataclass(frozen=True)
class RocTest:
    """Two areas under the ROC curve of the same records, compared.

    Attributes
    ----------
    auc_a, auc_b : float
        The areas.
    difference : float
        ``auc_a - auc_b``.
    low, high : float
        Ends of the confidence interval of the difference.
    z : float
        The difference over its standard error; 0 if both are 0.
    p_value : float
        Two-sided, for equal areas.
    confidence_level : float
        Level of the interval.
    """

    auc_a: float
    auc_b: float
    difference: float
    low: float
    high: float
    z: float
    p_value: float
    confidence_level: float = 0.95


@dataclass(frozen=True)
class CalibrationLine:
    """Slope and intercept of calibration.

    Attributes
    ----------
    slope : float
        1 is right; below 1, probabilities are too extreme. NaN if all probabilities are equal; infinite if they
        separate the classes.
    intercept : float
        Calibration in the large, on the log-odds scale: 0 is right; above 0, probabilities are too low.
    """

    slope: float
    intercept: float


@dataclass(frozen=True)
class ClassificationIntervals:
    """What a threshold makes of the records.

    Attributes
    ----------
    sensitivity, specificity, ppv, npv, f1 : Interval
        Each with its interval.
    threshold : float
        Records at or above it are called positive.
    prevalence : float
        The share of positives that PPV, NPV and F1 hold for.
    """

    sensitivity: Interval
    specificity: Interval
    ppv: Interval
    npv: Interval
    f1: Interval
    threshold: float
    prevalence: float

    def __str__(self) -> str:
        names = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV", "f1": "F1"}
        lines = [f"{title:11} {getattr(self, name)}" for name, title in names.items()]
        return "\n".join([f"threshold {self.threshold:.3g}, prevalence {self.prevalence:.1%}", *lines])
