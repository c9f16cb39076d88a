"""The bootstrap by patient: intervals of any metric, and of paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from omi_estimators._validation import check_codes, check_labels, check_level, check_scores, make_rng, warn_few
from omi_estimators.metrics._results import Floats, Interval, Statistic
from omi_estimators.metrics._weighted import Metric, make_statistic, needs_probability

# Weights held at once: about 16 MB, so that cumulative sums stay near the processor.
_BATCH_SIZE = 2_000_000


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
        "calibration_intercept" or "expected_calibration_error"; these, and scikit-learn's functions for the first
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
    return _bootstrap(
        y_true, [y_score], ["y_score"], metric, groups, folds, n_resamples, confidence_level, method, random_state
    )


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
    scores, names = [y_score_a, y_score_b], ["y_score_a", "y_score_b"]
    return _bootstrap(y_true, scores, names, metric, groups, folds, n_resamples, confidence_level, method, random_state)


def _bootstrap(
    y_true: ArrayLike,
    scores: Sequence[ArrayLike],
    names: Sequence[str],
    metric: Metric,
    groups: ArrayLike | None,
    folds: ArrayLike | None,
    n_resamples: int,
    confidence_level: float,
    method: str,
    random_state: Any,
) -> Interval:
    """Return the interval of a metric of one set of scores, or of the difference between two."""
    check_level(confidence_level)
    if method not in ("percentile", "bca"):
        raise ValueError(f"method must be 'percentile' or 'bca'; got {method!r}.")
    positive = check_labels(y_true)
    probability = needs_probability(metric)
    checked = [
        check_scores(score, len(positive), probability=probability, name=name)
        for score, name in zip(scores, names, strict=True)
    ]
    units = check_codes(groups, len(positive), name="groups")
    models = check_codes(folds, len(positive), name="folds")
    warn_few(positive, units)
    statistics = [make_statistic(metric, positive, score, models) for score in checked]
    statistic = statistics[0] if len(statistics) == 1 else _subtract(*statistics)
    resampler = Resampler(positive, units, models)
    estimate = float(resampler.estimate([statistic])[0])
    values, n_redrawn = resampler.bootstrap([statistic], n_resamples, make_rng(random_state))
    left_out = resampler.jackknife([statistic])[:, 0] if method == "bca" else None
    low, high = find_interval(values[:, 0], estimate, confidence_level, left_out)
    return Interval(estimate, low, high, confidence_level, method, n_resamples, n_redrawn)


def _subtract(first: Statistic, second: Statistic) -> Statistic:
    def evaluate(weights: Floats) -> Floats:
        # Two infinite slopes have no difference: NaN, and so is their interval.
        with np.errstate(invalid="ignore"):
            return first(weights) - second(weights)

    return evaluate


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

    def __init__(self, positive: NDArray[np.bool_], units: NDArray[np.intp] | None, folds: NDArray[np.intp] | None):
        self._units = np.arange(len(positive)) if units is None else units
        self._n_units = int(self._units.max()) + 1
        codes = np.zeros(len(positive), dtype=np.intp) if folds is None else folds
        # Rows count the positives, and the negatives, of each fold.
        in_fold = codes == np.arange(codes.max() + 1)[:, np.newaxis]
        self._positives, self._negatives = (in_fold & positive).astype(np.float64), (in_fold & ~positive).astype(float)
        self._batch = max(1, _BATCH_SIZE // len(positive))

    def estimate(self, statistics: Sequence[Statistic]) -> Floats:
        """Return each statistic on the data as they are, shape (n_statistics,)."""
        weights = np.ones((len(self._units), 1))
        return np.array([statistic(weights)[0] for statistic in statistics])

    def bootstrap(
        self, statistics: Sequence[Statistic], n_resamples: int, rng: np.random.Generator
    ) -> tuple[Floats, int]:
        """Return statistics of resamples, shape (n_resamples, n_statistics), and how many were redrawn."""
        if n_resamples < 1:
            raise ValueError(f"n_resamples must be at least 1, and 1000 or more for an interval; got {n_resamples}.")
        batches, n_redrawn = [], 0
        for start in range(0, n_resamples, self._batch):
            weights, redrawn = self._draw(min(self._batch, n_resamples - start), rng)
            n_redrawn += redrawn
            batches.append(np.stack([statistic(weights) for statistic in statistics], axis=1))
        return np.concatenate(batches), n_redrawn

    def draw(self, n_resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
        """Yield weights of shape (n_records, n) for `n_resamples` resamples in all."""
        for start in range(0, n_resamples, self._batch):
            yield self._draw(min(self._batch, n_resamples - start), rng)[0]

    def jackknife(self, statistics: Sequence[Statistic]) -> Floats:
        """Return statistics with each patient left out, shape (n_patients, n_statistics)."""
        batches = []
        for start in range(0, self._n_units, self._batch):
            left_out = np.arange(start, min(start + self._batch, self._n_units))
            weights = (self._units[:, np.newaxis] != left_out).astype(np.float64)
            if not self._are_usable(weights).all():
                raise ValueError(
                    "method='bca' leaves out one patient at a time, and without one of them a class is gone; "
                    "use method='percentile'."
                )
            batches.append(np.stack([statistic(weights) for statistic in statistics], axis=1))
        return np.concatenate(batches)

    def _draw(self, n_resamples: int, rng: np.random.Generator) -> tuple[Floats, int]:
        """Return weights of shape (n_records, n_resamples), and how many resamples were drawn again."""
        weights = self._draw_any(n_resamples, rng)
        n_redrawn = 0
        while (bad := np.flatnonzero(~self._are_usable(weights))).size:
            n_redrawn += bad.size
            weights[:, bad] = self._draw_any(bad.size, rng)
        return weights, n_redrawn

    def _draw_any(self, n_resamples: int, rng: np.random.Generator) -> Floats:
        drawn = rng.integers(self._n_units, size=(self._n_units, n_resamples)) * n_resamples + np.arange(n_resamples)
        counts = np.bincount(drawn.ravel(), minlength=self._n_units * n_resamples)
        return counts.reshape(self._n_units, n_resamples).astype(np.float64)[self._units]

    def _are_usable(self, weights: Floats) -> NDArray[np.bool_]:
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
    pull = left_out.mean() - left_out
    spread = float((pull**2).sum())
    acceleration = float((pull**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    shifted = bias + ndtri(tails)
    corrected: Floats = ndtr(bias + shifted / (1 - acceleration * shifted))
    return corrected
