"""Example models that come with the package."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from omi_estimators.persistence._save import ModelVersionWarning, load

_FOLDER = Path(__file__).with_name("examples")


def find_example(name: str) -> Path:
    """Return the file of an example model.

    Parameters
    ----------
    name : str
        Such as "mi-forest".

    Returns
    -------
    Path
        For `load`, `load_profile` and `read_card`.

    Raises
    ------
    ValueError
        If there is no example of this name.

    Examples
    --------
    >>> from omi_estimators.persistence import find_example, read_card
    >>> print("MI of any age" in read_card(find_example("mi-forest")))
    True
    """
    known = sorted(path.stem for path in _FOLDER.glob("*.omi"))
    if name not in known:
        raise ValueError(f"There is no example model {name!r}; there is {', '.join(known)}.")
    return _FOLDER / f"{name}.omi"


def load_example(name: str = "mi-forest") -> Any:
    """Load a model that comes with this package, to try things with. It is not for patients.

    "mi-forest" is `make_forest_pipeline` with risk tiers, fitted to tell myocardial infarction (MI) of any age from
    normal ECGs in 363 records of PTB-XL [1]_ (CC BY 4.0). MI there is mostly old: it is not occlusion MI (OMI), and no
    figure of it speaks for OMI. Its card has what is known of it, out-of-fold figures with intervals too.

    Parameters
    ----------
    name : str, default="mi-forest"
        Which one.

    Returns
    -------
    RiskTierClassifier
        Fitted on records of 12 leads, 10 s at 500 Hz.

    Raises
    ------
    ValueError
        If there is no example of this name.

    See Also
    --------
    find_example : Its file.

    References
    ----------
    .. [1] Wagner P. et al., "PTB-XL, a large publicly available electrocardiography dataset",
       Scientific Data 7:154 (2020). doi:10.1038/s41597-020-0495-6

    Examples
    --------
    >>> from omi_estimators import load_example
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> model = load_example("mi-forest")
    >>> model.predict_proba(make_omi_ecgs(n_patients=2, random_state=0).X).shape[1]
    2
    """
    with warnings.catch_warnings():
        # Nobody decides anything by it.
        warnings.simplefilter("ignore", ModelVersionWarning)
        return load(find_example(name))
