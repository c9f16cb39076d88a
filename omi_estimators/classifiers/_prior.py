"""Log-odds moved from one prevalence to another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax


def shift_prior(
    logits: NDArray[np.float64], from_prior: NDArray[np.float64], to_prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return log-probabilities at one prevalence from logits trained at another.

    By Bayes' rule each class's log-odds move by ``log(to_prior / from_prior)``, if the ECGs of each
    class look alike at both prevalences. Balancing the classes in training changes nothing else.

    Parameters
    ----------
    logits : ndarray of shape (n_records, n_classes)
        Scores whose softmax is a probability at `from_prior`.
    from_prior, to_prior : ndarray of shape (n_classes,)
        Class shares in training, and where the answer is to hold. They sum to 1. A class whose share
        is zero in either keeps its score.

    Returns
    -------
    ndarray of shape (n_records, n_classes)
        Logarithms of probabilities.

    References
    ----------
    Saerens M., Latinne P., Decaestecker C., Adjusting the Outputs of a Classifier to New a Priori
    Probabilities, Neural Computation 14:21-41, 2002, doi:10.1162/089976602753284446.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.classifiers._prior import shift_prior
    >>> np.exp(shift_prior(np.zeros((1, 2)), np.array([0.5, 0.5]), np.array([0.93, 0.07]))).round(2).tolist()
    [[0.93, 0.07]]
    """
    shift = np.zeros(len(to_prior))
    known = (from_prior > 0) & (to_prior > 0)
    shift[known] = np.log(to_prior[known]) - np.log(from_prior[known])
    shifted: NDArray[np.float64] = log_softmax(logits + shift, axis=1)
    return shifted
