"""Records of one fold sorted by score, counted under many vectors of record weights at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from omi_estimators.metrics._results import Floats

Codes = NDArray[np.intp]


class Ranked:
    """The records of one fold, sorted once; tied scores count together."""

    def __init__(self, positive: NDArray[np.bool_], score: Floats, records: Codes):
        falling = np.argsort(-score, kind="stable")
        self._records = records[falling]
        self._hits = positive[falling].astype(np.float64)[:, np.newaxis]
        self._last = np.flatnonzero(np.r_[np.diff(score[falling]) != 0, True])
        self.n_events = int(positive.sum())
        self.n_pairs = self.n_events * (len(positive) - self.n_events)

    def _count(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return true and false positives at each distinct score, highest first."""
        ranked = weights[self._records]
        return (
            np.cumsum(ranked * self._hits, axis=0)[self._last],
            np.cumsum(ranked * (1 - self._hits), axis=0)[self._last],
        )

    def count_events(self, weights: Floats) -> Floats:
        """Return the weight of positives."""
        return (weights[self._records] * self._hits).sum(axis=0)

    def count_pairs(self, weights: Floats) -> Floats:
        """Return the weight of pairs of a positive and a negative."""
        events = self.count_events(weights)
        return events * (weights[self._records].sum(axis=0) - events)

    def roc(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return false and true positive rates, from the origin on."""
        start = np.zeros((1, weights.shape[1]))
        rates = []
        for count in self._count(weights)[::-1]:
            rates.append(np.concatenate([start, count / np.maximum(count[-1], 1e-300)]))
        return rates[0], rates[1]

    def precision_recall(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return recall and precision at each distinct score."""
        hits, false_alarms = self._count(weights)
        return hits / np.maximum(hits[-1], 1e-300), hits / np.maximum(hits + false_alarms, 1e-300)


def find_limits(false_rate: Floats, true_rate: Floats, grid: Floats) -> Floats:
    """Return the lower and upper end of a curve at each point of `grid`, shape (2, n_points)."""
    first = np.searchsorted(false_rate, grid, side="left")
    last = np.searchsorted(false_rate, grid, side="right") - 1
    between = np.interp(grid, false_rate, true_rate)
    is_vertex = false_rate[first] == grid
    return np.stack([np.where(is_vertex, true_rate[first], between), np.where(is_vertex, true_rate[last], between)])


def split_folds(models: Codes) -> Iterator[Codes]:
    """Yield the indices of the records of each fold."""
    for fold in range(models.max() + 1):
        yield np.flatnonzero(models == fold)
