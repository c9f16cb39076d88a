"""AUROC with its interval, by the method that the data allow."""

from __future__ import annotations

import warnings
from typing import Any

from numpy.typing import ArrayLike

from omi_estimators._validation import check_codes, check_labels, check_level, check_scores, warn_few
from omi_estimators.metrics._bootstrap import bootstrap_interval
from omi_estimators.metrics._delong import delong_interval, has_repeats
from omi_estimators.metrics._results import Interval


def roc_auc_interval(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    method: str = "auto",
    n_resamples: int = 2000,
    confidence_level: float = 0.95,
    random_state: Any = None,
) -> Interval:
    """Return the area under the ROC curve with its confidence interval.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_score : array-like of shape (n_records,)
        Scores; a higher one speaks for the positive class.
    groups : array-like of shape (n_records,), optional
        Patient of each record. Without it records are taken for independent.
    method : {"auto", "delong", "bootstrap"}, default="auto"
        "delong" is DeLong's variance [1]_, on the log-odds scale of the area, for independent records;
        "bootstrap" the percentile bootstrap by patient. "auto" takes the bootstrap if a patient has
        several records.
    n_resamples : int, default=2000
        Resamples of the bootstrap.
    confidence_level : float, default=0.95
        Level of the interval.
    random_state : int, RandomState, Generator or None, default=None
        Where the bootstrap's chance comes from.

    Returns
    -------
    Interval
        With `estimate`, `low`, `high`; its `method` says what was done.

    Raises
    ------
    ValueError
        If labels, scores and groups do not fit together, a class is missing, or DeLong's method is asked
        for patients with several records.

    Warns
    -----
    FewEventsWarning
        If fewer than ten patients have one of the classes.
    UserWarning
        If the classes are perfectly separated: then the interval has no width, which is not certainty.

    See Also
    --------
    bootstrap_interval : Other metrics, BCa, and folds of cross-validation.

    References
    ----------
    .. [1] DeLong E. R., DeLong D. M., Clarke-Pearson D. L., Comparing the areas under two or more
       correlated receiver operating characteristic curves, Biometrics 44:837-845, 1988. doi:10.2307/2531595

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.metrics import roc_auc_interval
    >>> y = np.arange(200) % 2
    >>> score = y + np.random.default_rng(0).normal(size=200)
    >>> print(roc_auc_interval(y, score))
    0.804 [0.737, 0.857]
    """
    if method not in ("auto", "delong", "bootstrap"):
        raise ValueError(f"method must be 'auto', 'delong' or 'bootstrap'; got {method!r}.")
    check_level(confidence_level)
    positive = check_labels(y_true)
    score = check_scores(y_score, len(positive), probability=False)
    repeats = has_repeats(check_codes(groups, len(positive), name="groups"))
    if method == "delong" and repeats:
        raise ValueError("DeLong's method takes records for independent, but some patients have several; use 'auto'.")
    if method == "bootstrap" or repeats:
        interval = bootstrap_interval(
            positive,
            score,
            "roc_auc",
            groups=groups,
            n_resamples=n_resamples,
            confidence_level=confidence_level,
            random_state=random_state,
        )
    else:
        warn_few(positive, None)
        interval = Interval(*delong_interval(positive, score, confidence_level), confidence_level, "delong")
    if interval.estimate in (0.0, 1.0):
        warnings.warn(
            f"The classes are perfectly separated (AUROC {interval.estimate:g}): the interval has no width, "
            "but that is no certainty. Collect more records.",
            UserWarning,
            stacklevel=2,
        )
    return interval
