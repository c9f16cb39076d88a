"""The bootstrap by patient: intervals of any metric, and of paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from omi_estimators._validation import check_codes, check_labels, check_level, check_scores, make_rng, warn_few
from omi_estimators.metrics._results import Floats, Interval
from omi_estimators.metrics._weighted import METRICS, Codes, Mask, Metric, make_statistic, needs_probability

# Weights held at once: about 16 MB, so that cumulative sums stay near the processor.
_BATCH_SIZE = 2_000_000

Checked = tuple[Mask, Floats, Codes | None, Codes | None]
"""Labels, scores, patients and folds that fit together."""


def bootstrap_interval(
    y_true: ArrayLike,
    y_score: ArrayLike,
    metric: Metric,
    *,
    groups: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    n_resamples: int = 2000,
    confidence_level: float = 0.95,
    method: str = "percentile",
    random_state: Any = None,
) -> Interval:
    """Return a metric with its bootstrap interval, drawing whole patients.

    Records of one patient are alike; drawing records one by one would make intervals too narrow. Here
    patients are drawn with replacement, each with all records [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_score : array-like of shape (n_records,)
        Scores; a higher one speaks for the positive class. All but the first two metrics need probabilities.
    metric : str or callable
        "roc_auc", "average_precision", "brier_score", "brier_skill_score", "calibration_slope",
        "calibration_intercept", "observed_expected_ratio" (events over the sum of probabilities) or
        "expected_calibration_error" (whose resamples are moved to have their mean at the estimate, as
        resampling makes it larger); these, and scikit-learn's functions for the first
        three, are computed for many resamples at once. A callable takes ``(y_true, y_score)`` and returns a
        float; it is called for every resample.
    groups : array-like of shape (n_records,), optional
        Patient of each record. Without it each record counts as a patient of its own.
    folds : array-like of shape (n_records,), optional
        In cross-validation, the fold of each record. Scores of different models are then not compared:
        AUROC counts pairs within folds, AP is the mean over positives of the precision within folds. The
        other metrics are about single probabilities and pool them.
    n_resamples : int, default=2000
        The number of resamples.
    confidence_level : float, default=0.95
        Level of the interval.
    method : {"percentile", "bca"}, default="percentile"
        "bca" corrects for bias and skewness [1]_, with a jackknife that leaves out one patient at a time.
    random_state : int, RandomState, Generator or None, default=None
        Where chance comes from.

    Returns
    -------
    Interval
        With `estimate`, `low`, `high`, and `n_redrawn`, the number of resamples that held one class only
        and were drawn again.

    Raises
    ------
    ValueError
        If labels, scores, groups or folds do not fit together, one class is missing, a value is NaN, a
        metric is not finite, or an argument is none of those named.

    Warns
    -----
    FewEventsWarning
        If fewer than ten patients have one of the classes.

    See Also
    --------
    bootstrap_difference : The difference between two sets of scores on the same records.
    roc_auc_interval : AUROC, by DeLong's method where records are independent.

    References
    ----------
    .. [1] Efron B., Tibshirani R. J., An Introduction to the Bootstrap, Chapman & Hall, 1993.
       doi:10.1201/9780429246593

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.metrics import bootstrap_interval
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> score = y + rng.normal(size=200)
    >>> patient = np.arange(200) // 4
    >>> print(bootstrap_interval(y, score, "roc_auc", groups=patient, random_state=0))
    0.804 [0.738, 0.864]
    """
    given = groups, folds, n_resamples, confidence_level, method, random_state
    return run_bootstrap(y_true, {"y_score": y_score}, [metric], None, *given)["y_score", metric]


def bootstrap_difference(
    y_true: ArrayLike,
    y_score_a: ArrayLike,
    y_score_b: ArrayLike,
    metric: Metric,
    *,
    groups: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    n_resamples: int = 2000,
    confidence_level: float = 0.95,
    method: str = "percentile",
    random_state: Any = None,
) -> Interval:
    """Return the difference of a metric between two models on the same records, with its interval.

    Both models are computed on the same resamples of patients, so what makes both better or worse cancels.
    An interval that excludes 0 speaks for a difference, even where the models' own intervals overlap.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    y_score_a, y_score_b : array-like of shape (n_records,)
        Scores of the two models.
    metric, groups, folds, n_resamples, confidence_level, method, random_state
        As in `bootstrap_interval`.

    Returns
    -------
    Interval
        The metric of a minus that of b.

    Raises
    ------
    ValueError
        As in `bootstrap_interval`.

    Warns
    -----
    FewEventsWarning
        If fewer than ten patients have one of the classes.

    See Also
    --------
    delong_roc_test : AUROC of independent records, without a bootstrap.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.metrics import bootstrap_difference
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> good, poor = y + rng.normal(size=200), y + 3 * rng.normal(size=200)
    >>> print(bootstrap_difference(y, good, poor, "roc_auc", random_state=0))
    0.195 [0.089, 0.295]
    """
    scores = {"y_score_a": y_score_a, "y_score_b": y_score_b}
    given = groups, folds, n_resamples, confidence_level, method, random_state
    return run_bootstrap(y_true, scores, [metric], "y_score_b", *given)["y_score_a", metric, "difference"]


def bootstrap_intervals(
    y_true: ArrayLike,
    scores: Mapping[str, ArrayLike],
    metrics: Sequence[str] = METRICS,
    *,
    reference: str | None = None,
    groups: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    n_resamples: int = 2000,
    confidence_level: float = 0.95,
    method: str = "percentile",
    on_few: str = "warn",
    random_state: Any = None,
) -> dict[str, dict[str, Interval]]:
    """Return several metrics of several models on the same records, all on the same resamples of patients.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    scores : mapping of str to array-like of shape (n_records,)
        Scores of each model by its name.
    metrics : sequence of str, default=METRICS
        Metrics by name.
    reference : str, optional
        The model from which the others' differences are taken; no differences if None.
    groups, folds, n_resamples, confidence_level, method
        As in `bootstrap_interval`.
    on_few : {"warn", "ignore"}, default="warn"
        Whether to warn if fewer than ten patients have one of the classes.
    random_state : int, RandomState, Generator or None, default=None
        Where chance comes from.

    Returns
    -------
    dict of str to dict of str to Interval
        For each model the interval of each metric by its name and, where there is a reference, that of
        ``"{metric}_difference"`` to it. The reference itself has no differences.

    Raises
    ------
    ValueError
        As in `bootstrap_interval`, or if `reference` is none of the models.

    Warns
    -----
    FewEventsWarning
        If fewer than ten patients have one of the classes.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.metrics import bootstrap_intervals
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> scores = {"net": y + rng.normal(size=200), "forest": y + 3 * rng.normal(size=200)}
    >>> found = bootstrap_intervals(y, scores, ["roc_auc"], reference="forest", random_state=0)
    >>> print(found["net"]["roc_auc"], "differs by", found["net"]["roc_auc_difference"])
    0.804 [0.742, 0.857] differs by 0.195 [0.089, 0.295]
    """
    if reference is not None and reference not in scores:
        raise ValueError(f"reference must be one of {', '.join(scores)}; got {reference!r}.")
    given = groups, folds, n_resamples, confidence_level, method, random_state
    found = run_bootstrap(y_true, scores, metrics, reference, *given, on_few=on_few)
    figures: dict[str, dict[str, Interval]] = {name: {} for name in scores}
    for (name, *metric), interval in found.items():
        figures[name]["_".join(metric)] = interval
    return figures


def run_bootstrap(
    y_true: ArrayLike,
    scores: Mapping[str, ArrayLike],
    metrics: Sequence[Metric],
    reference: str | None,
    groups: ArrayLike | None,
    folds: ArrayLike | None,
    n_resamples: int,
    confidence_level: float,
    method: str,
    random_state: Any,
    *,
    on_few: str = "warn",
) -> dict[tuple[Any, ...], Interval]:
    """Return intervals by name and metric, and by name, metric and "difference" for those to the reference."""
    check_level(confidence_level)
    if method not in ("percentile", "bca"):
        raise ValueError(f"method must be 'percentile' or 'bca'; got {method!r}.")
    if on_few not in ("warn", "ignore"):
        raise ValueError(f"on_few must be 'warn' or 'ignore'; got {on_few!r}.")
    probability = any(needs_probability(metric) for metric in metrics)
    checked = {name: check_records(y_true, s, groups, folds, probability, name) for name, s in scores.items()}
    positive, _, units, models = next(iter(checked.values()))
    if on_few == "warn":
        warn_few(positive, units)
    keys = [(name, metric) for name in checked for metric in metrics]
    statistics = [make_statistic(metric, positive, checked[name][1], models) for name, metric in keys]
    resampler = Resampler(positive, units, models)
    # The data as they are, resamples, and for BCa each patient left out.
    parts = [[np.ones((len(positive), 1))], resampler.draw(n_resamples, make_rng(random_state))]
    parts += [resampler.leave_out()] if method == "bca" else []
    rows = [np.concatenate([np.stack([f(w) for f in statistics], axis=1) for w in part]) for part in parts]
    for column, (_, metric) in enumerate(keys):
        if metric == "expected_calibration_error":
            rows[1][:, column] = _centre(rows[1][:, column], rows[0][0, column])
    columns: dict[tuple[Any, ...], list[Floats]] = {}
    for column, key in enumerate(keys):
        columns[key] = [part[:, column] for part in rows]
        if reference is not None and key[0] != reference:
            other = keys.index((reference, key[1]))
            # Two infinite slopes have no difference: NaN, and so is their interval.
            with np.errstate(invalid="ignore"):
                columns[*key, "difference"] = [part[:, column] - part[:, other] for part in rows]
    found = {}
    for key, (estimate, drawn, *left_out) in columns.items():
        ends = find_interval(drawn, float(estimate[0]), confidence_level, *left_out)
        found[key] = Interval(float(estimate[0]), *ends, confidence_level, method, n_resamples, resampler.n_redrawn)
    return found


def _centre(drawn: Floats, estimate: float) -> Floats:
    """Return resampled calibration errors moved to have their mean at the estimate, none below 0.

    An error is a sum of absolute gaps, to which chance adds; a resample adds chance once more, so that the estimate
    may lie below all of them. That addition is their mean less the estimate (Efron and Tibshirani 1993, chapter 10).
    """
    moved: Floats = np.maximum(drawn - (drawn.mean() - estimate), 0.0)
    return moved


def check_records(
    y_true: ArrayLike,
    y_score: ArrayLike,
    groups: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    probability: bool = False,
    name: str = "y_score",
) -> Checked:
    """Return labels, scores, patients and folds as arrays, or say what is wrong with them."""
    positive = check_labels(y_true)
    score = check_scores(y_score, len(positive), probability=probability, name=name)
    units, models = (check_codes(v, len(positive), name=n) for v, n in ((groups, "groups"), (folds, "folds")))
    return positive, score, units, models


class Resampler:
    """Draws patients with replacement, as weights of their records.

    Parameters
    ----------
    positive : ndarray of shape (n_records,), bool
        Whether each record is positive.
    units : ndarray of shape (n_records,), optional
        Patients as codes from 0; each record is its own if None.
    folds : ndarray of shape (n_records,), optional
        Folds as codes from 0; all records are one fold if None.
    """

    def __init__(self, positive: Mask, units: Codes | None, folds: Codes | None):
        self._units = np.arange(len(positive)) if units is None else units
        self._n_units = int(self._units.max()) + 1
        codes = np.zeros(len(positive), dtype=np.intp) if folds is None else folds
        # Rows count the positives, and the negatives, of each fold.
        in_fold = codes == np.arange(codes.max() + 1)[:, np.newaxis]
        self._positives, self._negatives = (in_fold & positive).astype(np.float64), (in_fold & ~positive).astype(float)
        self._batch = max(1, _BATCH_SIZE // len(positive))
        if not self._are_usable(np.ones((len(positive), 1))).all():
            raise ValueError("No fold holds both classes, so nothing can be ranked within folds; give folds that do.")

    def draw(self, n_resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
        """Yield weights of shape (n_records, n) for `n_resamples` resamples in all, and count those drawn again."""
        if n_resamples < 1:
            raise ValueError(f"n_resamples must be at least 1, and 1000 or more for an interval; got {n_resamples!r}.")
        self.n_redrawn = 0
        for start in range(0, n_resamples, self._batch):
            weights = self._draw_any(min(self._batch, n_resamples - start), rng)
            while (bad := np.flatnonzero(~self._are_usable(weights))).size:
                self.n_redrawn += bad.size
                weights[:, bad] = self._draw_any(bad.size, rng)
            yield weights

    def leave_out(self) -> Iterator[Floats]:
        """Yield weights of shape (n_records, n) that leave out one patient after the other."""
        for start in range(0, self._n_units, self._batch):
            left_out = np.arange(start, min(start + self._batch, self._n_units))
            weights = (self._units[:, np.newaxis] != left_out).astype(np.float64)
            if not self._are_usable(weights).all():
                raise ValueError(
                    "method='bca' leaves out one patient at a time, and without one of them a class is gone; "
                    "use method='percentile'."
                )
            yield weights

    def _draw_any(self, n_resamples: int, rng: np.random.Generator) -> Floats:
        drawn = rng.integers(self._n_units, size=(self._n_units, n_resamples)) * n_resamples + np.arange(n_resamples)
        counts = np.bincount(drawn.ravel(), minlength=self._n_units * n_resamples)
        return counts.reshape(self._n_units, n_resamples).astype(np.float64)[self._units]

    def _are_usable(self, weights: Floats) -> Mask:
        """Return whether each resample has a positive and a negative in the same fold."""
        return ((self._positives @ weights) * (self._negatives @ weights)).any(axis=0)


def find_interval(
    values: Floats, estimate: float, confidence_level: float, left_out: Floats | None = None
) -> tuple[float, float]:
    """Return the ends of a bootstrap interval.

    Parameters
    ----------
    values : ndarray of shape (n_resamples,)
        The figure on each resample.
    estimate : float
        The figure on the data.
    confidence_level : float
        Level of the interval.
    left_out : ndarray of shape (n_patients,), optional
        The figure without each patient; if given, the interval is BCa, otherwise percentile.

    Returns
    -------
    low, high : float
        The ends; NaN if a figure is NaN, as the slope of a constant prediction.
    """
    if np.isnan(values).any() or np.isnan(estimate):
        return float("nan"), float("nan")
    tails = np.array([(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    if left_out is not None:
        tails = _correct_tails(tails, values, estimate, left_out)
    # Between a number and infinity there is nothing to interpolate.
    low, high = np.quantile(values, tails, method="linear" if np.isfinite(values).all() else "inverted_cdf")
    return float(low), float(high)


def _correct_tails(tails: Floats, values: Floats, estimate: float, left_out: Floats) -> Floats:
    """Return the percentiles that correct for bias and skewness (Efron 1987)."""
    # Tied resamples count half; the limits keep the bias finite where all resamples lie on one side.
    share = np.mean(values < estimate) + np.mean(values == estimate) / 2
    bias = ndtri(np.clip(share, 0.5 / len(values), 1 - 0.5 / len(values)))
    # A figure that is infinite, or not defined, without some patient pulls nowhere that could be told.
    pull = left_out.mean() - left_out if np.isfinite(left_out).all() else np.zeros(1)
    spread = float((pull**2).sum())
    acceleration = float((pull**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    shifted = bias + ndtri(tails)
    corrected: Floats = ndtr(bias + shifted / (1 - acceleration * shifted))
    return corrected
