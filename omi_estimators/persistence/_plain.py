"""A copy of a model with everything in it that a file cannot hold, or need not, replaced."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

# Folders of the machine at hand. joblib's holds pickles.
FOLDERS = ("memory", "checkpoint_dir")

_HOMES = ("omi_estimators.", "sklearn.")

# scikit-learn's callbacks, and its record of who asked for which metadata, which mentions the estimator it belongs to.
_REMOVED = ("_skl_callbacks", "_metadata_request")


def iterate_parts(model: Any) -> Iterator[Any]:
    """Yield each object of ours and scikit-learn's inside a model once, itself first; lists and the like are entered.

    Parameters
    ----------
    model : object
        An estimator, or a container of such.

    Yields
    ------
    object
        An estimator, or what one has learned that is a class of its own.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from omi_estimators import LeadScaler, MedianBeat
    >>> from omi_estimators.persistence import iterate_parts
    >>> [type(part).__name__ for part in iterate_parts(make_pipeline(MedianBeat(sampling_rate=500), LeadScaler()))]
    ['Pipeline', 'MedianBeat', 'LeadScaler']
    """
    stack, seen = [model], set()
    while stack:
        found = stack.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, dict):
            stack += reversed(list(found.values()))
        elif isinstance(found, list | tuple):
            stack += reversed(found)
        elif isinstance(found, np.ndarray) and found.dtype == object:
            stack += reversed(found.ravel().tolist())
        elif type(found).__module__.startswith(_HOMES) and hasattr(found, "__dict__") and not callable(found):
            yield found
            stack += reversed([value for name, value in vars(found).items() if name not in _REMOVED])


def is_network(part: Any) -> bool:
    """Return whether an object is one of our network classifiers, without loading torch to find out."""
    if "skorch" not in sys.modules:
        return False
    from omi_estimators.classifiers import ECGSmartNetClassifier, ResNet18Classifier, TemporalResNet18Classifier

    return isinstance(part, ECGSmartNetClassifier | ResNet18Classifier | TemporalResNet18Classifier)


def plain_copy(model: Any) -> tuple[Any, list[dict[str, Tensor]], list[str]]:
    """Copy a model without its networks, and without what concerns training only and is no number or word.

    Parameters
    ----------
    model : estimator
        Fitted or not; left as it is.

    Returns
    -------
    plain : estimator
        The copy. Each trained network is a dictionary that says which of `networks` it is.
    networks : list of dict of str to Tensor
        Weights by name.
    dropped : list of str
        What the copy lacks that another fit would use, such as "callbacks of ECGSmartNetClassifier".

    Raises
    ------
    TypeError
        If a network is another than its classifier's parameters describe.
    """
    networks: list[dict[str, Tensor]] = []
    # deepcopy takes these for the copies of what they stand for: networks are written elsewhere, and callbacks may
    # hold what nobody can copy.
    instead: dict[int, Any] = {}
    dropped = set()
    for part in iterate_parts(model):
        found = vars(part)
        dropped |= {f"{name} of {type(part).__name__}" for name in _replaced(part) if name not in FOLDERS}
        instead |= {id(found[name]): {} for name in ("callbacks", "net_params", *_REMOVED) if found.get(name)}
        if is_network(part) and "net_" in found and id(found["net_"]) not in instead:
            from omi_estimators.persistence._networks import pack_network

            instead[id(found["net_"])], weights = pack_network(part, len(networks))
            networks.append(weights)
    plain = copy.deepcopy(model, instead)
    for part in iterate_parts(plain):
        for name, value in _replaced(part).items():
            vars(part)[name] = value
        for name in _REMOVED:
            vars(part).pop(name, None)
        if is_network(part):
            part.device = str(part.device)
    return plain, networks, sorted(dropped)


def _replaced(part: Any) -> dict[str, Any]:
    """Return what stands for the attributes of an object that are not saved."""
    found = vars(part)
    new: dict[str, Any] = {name: None for name in FOLDERS if found.get(name) is not None}
    if isinstance(found.get("random_state"), np.random.RandomState):
        new["random_state"] = None
    new |= {name: None for name in _REMOVED if found.get(name)}
    if is_network(part):
        new |= {name: None for name in ("callbacks", "net_params") if found[name] is not None}
        if not isinstance(found["optimizer"], str):
            new["optimizer"] = "adamw"
    return new
