"""The quality of a record as named numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omi_estimators.leads import LEADS
from omi_estimators.preprocessing._quality import FLAGS, RecordQuality

_MEASURES = ("noise_level", "wander_level")


def quality_names(n_leads: int = 12) -> list[str]:
    """Return the names of `quality_features`, in order.

    Parameters
    ----------
    n_leads : int, default=12
        With twelve leads, names end in the names of `LEADS`, and there is a feature of swapped limb electrodes; with
        another number, names end in lead0, lead1, ….

    Returns
    -------
    list of str
        Names such as "quality" and "noise_level_V2".

    Examples
    --------
    >>> from omi_estimators.preprocessing import quality_names
    >>> quality_names(1)
    ['quality', 'quality_worst_lead', 'n_bad_leads', 'missing_share', 'noise_level_lead0']
    """
    whole = ["quality", "quality_worst_lead", "n_bad_leads", "missing_share"]
    return [*whole, *_reversal_names(n_leads), *(f"noise_level_{lead}" for lead in _lead_names(n_leads))]


def quality_features(quality: RecordQuality) -> dict[str, float]:
    """Return the quality of a record as a few features.

    Parameters
    ----------
    quality : RecordQuality
        From `signal_quality`.

    Returns
    -------
    dict of str to float
        By `quality_names`: the quality of the record and of its worst lead (0 to 1), the number of leads with a flag
        other than wander, which filtering removes, the share of missing samples, with twelve leads whether limb
        electrodes were swapped (0 or 1), and the noise level of each lead in mV, NaN where a lead is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.preprocessing import quality_features, signal_quality
    >>> quality_features(signal_quality(np.zeros(5000), 500))
    {'quality': 0.0, 'quality_worst_lead': 0.0, 'n_bad_leads': 1.0, 'missing_share': 0.0, 'noise_level_lead0': 0.0}
    """
    n_leads = len(quality.missing)
    bad = quality.missing | quality.flat | quality.saturated | quality.noise
    whole = [quality.quality, quality.lead_quality.min(), bad.sum(), quality.missing_share.mean()]
    values = [*whole, *_reversal_values(quality), *quality.noise_level]
    return {name: float(value) for name, value in zip(quality_names(n_leads), values, strict=True)}


def table_names(n_leads: int) -> list[str]:
    """Return the names of the columns of `table_row`."""
    columns = ["lead_quality", "missing_share", *_MEASURES, *FLAGS]
    per_lead = [f"{column}_{lead}" for column in columns for lead in _lead_names(n_leads)]
    return ["quality", "n_beats", *_reversal_names(n_leads), *per_lead]


def table_row(quality: RecordQuality) -> NDArray[np.float64]:
    """Return all that is known of a record's quality but the consistency, as one row."""
    columns = [getattr(quality, column) for column in ("lead_quality", "missing_share", *_MEASURES, *FLAGS)]
    whole = [quality.quality, quality.n_beats, *_reversal_values(quality)]
    return np.concatenate([whole, *columns]).astype(np.float64)


def _lead_names(n_leads: int) -> list[str]:
    """Return what the names of features end in."""
    return list(LEADS) if n_leads == len(LEADS) else [f"lead{number}" for number in range(n_leads)]


def _reversal_names(n_leads: int) -> list[str]:
    """Return the name of the feature of swapped limb electrodes, where there is one."""
    return ["reversed_limb_leads"] if n_leads == len(LEADS) else []


def _reversal_values(quality: RecordQuality) -> list[float]:
    """Return the value of the feature of swapped limb electrodes, where there is one."""
    return [float(quality.limb_lead_reversal != "none")] if len(quality.missing) == len(LEADS) else []
