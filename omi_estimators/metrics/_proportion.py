"""A share of records and its interval, where records of one patient are alike."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri


def proportion_interval(
    successes: NDArray[np.bool_], units: NDArray[np.intp] | None = None, confidence_level: float = 0.95
) -> tuple[float, float]:
    """Return the ends of Wilson's interval of a share, with the sample size that the patients leave.

    Records of a patient say less than as many records of different patients. The number of records is divided
    by the design effect, the variance of the share over patients against that of independent records [1]_, and
    Wilson's score interval [2]_ is taken at that size. Where all records agree there is no variance to see; the
    size is then the number of patients, the least it can be.

    Parameters
    ----------
    successes : ndarray of shape (n_records,), bool
        Whether each record counts.
    units : ndarray of shape (n_records,), optional
        Patients as codes; each record is its own if None.
    confidence_level : float, default=0.95
        Level of the interval.

    Returns
    -------
    low, high : float
        The ends; NaN without records.

    References
    ----------
    .. [1] Rao J. N. K., Scott A. J., A simple method for the analysis of clustered binary data, Biometrics
       48:577-585, 1992. doi:10.2307/2532311
    .. [2] Wilson E. B., Probable inference, the law of succession, and statistical inference, Journal of the
       American Statistical Association 22:209-212, 1927. doi:10.1080/01621459.1927.10502953

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.metrics._proportion import proportion_interval
    >>> share = np.arange(10) < 8
    >>> [round(end, 3) for end in proportion_interval(share)]
    [0.49, 0.943]
    >>> [round(end, 3) for end in proportion_interval(share, np.arange(10) // 2)]
    [0.337, 0.969]
    """
    n_records = len(successes)
    if n_records == 0:
        return math.nan, math.nan
    share = float(np.mean(successes))
    size = n_records if units is None else _effective_size(successes, units, share)
    z = float(ndtri((1 + confidence_level) / 2))
    centre = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * math.sqrt(share * (1 - share) / size + z**2 / (4 * size**2))
    # Where all agree, one end is 0 or 1 itself, and rounding must not say otherwise.
    return (0.0 if share == 0 else centre - half), (1.0 if share == 1 else centre + half)


def _effective_size(successes: NDArray[np.bool_], units: NDArray[np.intp], share: float) -> float:
    """Return how many independent records would have the variance that the share has over patients."""
    codes = np.unique(units, return_inverse=True)[1]
    n_units = int(codes.max()) + 1
    residuals = np.bincount(codes, weights=successes - share)
    variance = float((residuals**2).sum()) / len(successes) ** 2
    if variance == 0 or n_units == 1:
        return n_units
    # The sum over patients understates the variance by their number less one, as any sample variance does.
    variance *= n_units / (n_units - 1)
    return min(float(len(successes)), share * (1 - share) / variance)
