"""Networks: weights and plain facts out of a classifier, and a skorch net rebuilt from these by our own code."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from omi_estimators import classifiers
from omi_estimators.persistence._container import ModelFileError

_DEVICES = ("cpu", "cuda", "mps", "xpu")
_MOST_SAMPLES = 10**6


def take_apart(classifier: Any) -> list[dict[str, Any]]:
    """Return the weights of a trained classifier's networks and the history of training without its single batches.

    Parameters
    ----------
    classifier : NetClassifier
        Fitted.

    Returns
    -------
    list of dict
        Plain values and arrays of each network.

    Raises
    ------
    TypeError
        If a network is another than the classifier's parameters describe.
    """
    expected, members = _describe_network(classifier), []
    for net in classifier.nets_:
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in net.module_.state_dict().items()}
        if _describe(weights) != expected:
            raise TypeError(
                f"{type(classifier).__name__} cannot be saved: its network is not the one that its parameters "
                f"describe, so load could not rebuild it (net_params={classifier.net_params!r}). Change the network by "
                "width, blocks, kernel_size, stem_kernel_size and dropout only."
            )
        epochs = [{key: _plain(value) for key, value in epoch.items()} for epoch in net.history]
        history = [{key: value for key, value in epoch.items() if value is not None} for epoch in epochs]
        members.append({"weights": weights, "history": history})
    return members


def _plain(value: Any) -> bool | int | float | str | None:
    """Return a value of a history as Python's own type, None if it has none."""
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, bool | int | float | str) else None


def _describe(weights: dict[str, Any]) -> dict[str, Any]:
    """Return shape and type of each array by name."""
    return {name: (array.shape, str(array.dtype)) for name, array in weights.items()}


def _describe_network(classifier: Any) -> dict[str, Any]:
    """Return shape and type of the weights that a classifier's parameters describe, without memory for them."""
    with torch.device("meta"):
        state = classifiers.build_network(classifier).state_dict()
    return {name: (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")) for name, tensor in state.items()}


def restore(classifier: Any, facts: Any) -> None:
    """Rebuild, in place, the networks of a loaded classifier.

    Parameters
    ----------
    classifier : NetClassifier
        With all other attributes, its parameters valid one by one.
    facts : list of dict
        As `take_apart` gave them; one dict in files from before there were several members.

    Raises
    ------
    ModelFileError
        If facts, weights and parameters do not fit together.
    """
    kind = type(classifier).__name__
    if isinstance(facts, dict):
        facts = [facts]
        classifier.calibration_slope_, classifier.calibration_intercept_ = 1.0, np.zeros(len(classifier.classes_))
    try:
        _check_parameters(classifier)
        if not 1 <= len(facts) <= classifier.n_members:
            raise ValueError(f"there are {len(facts)} networks for n_members={classifier.n_members}")
        members = [_check_member(classifier, member) for member in facts]
    # Facts are whatever the file says, and their errors of many kinds; each means that it is no model.
    except Exception as error:
        raise ModelFileError(
            f"the network of its {kind} cannot be rebuilt ({type(error).__name__}: {str(error).rstrip('.')})"
        ) from error
    classifiers.restore_networks(classifier, members)


def _check_member(classifier: Any, member: dict[str, Any]) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Return the weights and epochs of one network; raise some error if they are none."""
    weights, history = member["weights"], member["history"]
    # Checked before the network is built, which takes as long as there are blocks.
    blocks = classifier.blocks
    if not all(type(count) is int and count > 0 for count in blocks) or sum(blocks) > len(weights):
        raise ValueError(f"there are weights of fewer blocks than {blocks!r}")
    if _describe(weights) != _describe_network(classifier):
        raise ValueError("the weights are not those of the network that the parameters describe")
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise ValueError("a weight is not finite")
    if not all(_plain(value) is not None for epoch in history for value in epoch.values()):
        raise ValueError("the history of training is no list of epochs")
    tensors = {name: torch.from_numpy(array.copy()) for name, array in weights.items()}
    return tensors, [{"batches": [], **epoch} for epoch in history]


def _check_parameters(classifier: Any) -> None:
    """Raise a ValueError for parameters and shares that `save` does not write."""
    given = {name: getattr(classifier, name) for name in ("callbacks", "net_params")}
    if any(value is not None for value in given.values()) or not isinstance(classifier.optimizer, str):
        raise ValueError(f"callbacks, net_params or optimizer are of the caller's own: {given}")
    device = classifier.device
    if device != "auto" and torch.device(device).type not in _DEVICES:
        raise ValueError(f"device is {device!r}, none of auto, {', '.join(_DEVICES)}")
    n_classes = len(classifier.classes_)
    for name in ("class_prior_", "training_prior_", "_mass", "_drawn"):
        shares = getattr(classifier, name)
        total = 1 if name.endswith("prior_") else shares.sum()
        if shares.shape != (n_classes,) or not (shares >= 0).all() or not np.isclose(shares.sum(), total):
            raise ValueError(f"{name} is no share for each of {n_classes} classes")
    slope, intercept = classifier.calibration_slope_, classifier.calibration_intercept_
    if type(slope) is not float or not 0 <= slope < np.inf:
        raise ValueError(f"calibration_slope_ is {slope!r}")
    if intercept.shape != (n_classes,) or not np.isfinite(intercept).all():
        raise ValueError(f"calibration_intercept_ is no number for each of {n_classes} classes")
    sizes = [getattr(classifier, name) for name in ("n_leads_in_", "n_samples_in_", "n_records_", "n_iter_")]
    if not all(type(size) is int and size > 0 for size in sizes) or sizes[0] * sizes[1] > _MOST_SAMPLES:
        raise ValueError(f"leads, samples, records and epochs are {sizes}")
