"""Whether a record can be judged, and why not: what every room asks, and nobody reads from zeros, NaN or warnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Usable(NamedTuple):
    """Which records can be judged, and why the others cannot.

    Attributes
    ----------
    mask : ndarray of bool, shape (n_records,)
        True for a record that can be judged.
    reasons : ndarray of str, shape (n_records,)
        Why not, in words; empty for a record that can be judged.
    """

    mask: NDArray[np.bool_]
    reasons: NDArray[np.object_]

    @classmethod
    def from_reasons(cls, reasons: Sequence[str]) -> Usable:
        """Return what `reasons`, one for each record and empty for usable ones, say.

        Parameters
        ----------
        reasons : sequence of str, shape (n_records,)
            Why each record cannot be judged.

        Returns
        -------
        Usable
            The same with its mask.
        """
        texts = np.array(reasons, dtype=object)
        return cls(texts == "", texts)

    def __and__(self, other: Usable) -> Usable:
        """Return what is usable in both, with the first of two reasons."""
        return Usable.from_reasons(np.where(self.mask, other.reasons, self.reasons).tolist())


class Judgement(NamedTuple):
    """What a fitted classifier says of records, and which of them it could judge.

    Attributes
    ----------
    prob : ndarray of shape (n_records, n_classes)
        Probabilities; of a record that cannot be judged the class shares of the training data, or NaN.
    usable : Usable
        Which records could be judged, and why the others could not.
    """

    prob: NDArray[np.float64]
    usable: Usable


def judge(estimator: Any, X: Any) -> Judgement:
    """Ask a fitted classifier for probabilities, and for which records they mean something.

    Parameters
    ----------
    estimator : estimator
        A fitted classifier with `predict_proba`. One that has a method `judge` of its own, as the pipelines, the
        fusion and the risk tiers of this package have, answers by it.
    X : array-like of shape (n_records, ...)
        What the classifier takes.

    Returns
    -------
    Judgement
        Probabilities, and which records could be judged.
    """
    if hasattr(estimator, "judge"):
        return estimator.judge(X)
    prob = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    return Judgement(prob, Usable.from_reasons([""] * len(prob)))
