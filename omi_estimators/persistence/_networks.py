"""Networks: weights and plain facts out of a classifier, and a skorch net rebuilt from these by our own code."""

from __future__ import annotations

from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from omi_estimators import classifiers
from omi_estimators.persistence._container import ModelFileError, network_member


def pack_network(classifier: Any, index: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the facts and the weights of a trained classifier's network.

    Parameters
    ----------
    classifier : NetClassifier
        Fitted.
    index : int
        Which network of the model it is.

    Returns
    -------
    facts : dict
        The member that holds the weights, and the history of training without its single batches.
    weights : dict of str to Tensor
        On the CPU.

    Raises
    ------
    TypeError
        If the network is another than the classifier's parameters describe.
    """
    state = classifier.net_.module_.state_dict()
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    if _describe(weights) != _describe(_blank_network(classifier).state_dict()):
        raise TypeError(
            f"{type(classifier).__name__} cannot be saved: its network is not the one that its parameters describe, so "
            f"load could not rebuild it (net_params={classifier.net_params!r}). Change the network by width, blocks, "
            "kernel_size, stem_kernel_size and dropout only."
        )
    history = [
        {key: _plain(value) for key, value in epoch.items() if _plain(value) is not None}
        for epoch in classifier.net_.history
    ]
    return {"weights": network_member(index), "history": history}, weights


def _plain(value: Any) -> bool | int | float | str | None:
    """Return a value of a history as Python's own type, None if it has none."""
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, bool | int | float | str) else None


def _blank_network(classifier: Any) -> torch.nn.Module:
    """Return the network that a classifier's parameters describe, of the right shapes, without memory for weights."""
    with torch.device("meta"):
        return classifiers.build_network(classifier)


def _describe(weights: Any) -> dict[str, tuple[Any, ...]]:
    """Return shape and type of each tensor by name."""
    return {name: (*tensor.shape, tensor.dtype) for name, tensor in weights.items()}


def dump_weights(weights: dict[str, Tensor]) -> bytes:
    """Return weights in the safetensors format."""
    return safetensors.torch.save(weights)


def restore_network(classifier: Any, members: dict[str, bytes], name: str) -> None:
    """Rebuild, in place, the network of a loaded classifier.

    Parameters
    ----------
    classifier : NetClassifier
        With `net_` as `pack_network` gave its facts.
    members : dict of str to bytes
        Weights by member name.
    name : str
        What to call the file in errors.

    Raises
    ------
    ModelFileError
        If facts, weights and parameters do not fit together.
    """
    try:
        facts = classifier.net_
        weights = safetensors.torch.load(members[facts["weights"]])
        _check_parameters(classifier, len(weights))
        if _describe(weights) != _describe(_blank_network(classifier).state_dict()):
            raise ValueError("the weights are not those of the network that the parameters describe")
        history = _check_history(facts["history"])
    # Facts and parameters are whatever the file says, and their errors of many kinds; each means that it is no model.
    except Exception as error:
        raise ModelFileError(
            f"{name} cannot be loaded: the network of its {type(classifier).__name__} cannot be rebuilt "
            f"({type(error).__name__}: {str(error).rstrip('.')})."
        ) from error
    classifiers.restore_network(classifier, weights, history)


def _check_parameters(classifier: Any, n_tensors: int) -> None:
    """Raise a ValueError for parameters that `save` does not write, or that describe more than the weights hold."""
    classifier._validate_params()
    for parameter in ("callbacks", "net_params"):
        if getattr(classifier, parameter) is not None:
            raise ValueError(f"{parameter} is not None")
    # Checked before the network is built, which takes as long as there are blocks.
    blocks = classifier.blocks
    if not all(type(count) is int and count > 0 for count in blocks) or sum(blocks) > n_tensors:
        raise ValueError(f"there are weights of fewer blocks than {blocks!r}")


def _check_history(history: Any) -> list[dict[str, Any]]:
    """Return the epochs of training as skorch keeps them; raise a ValueError for what is no list of facts."""
    plain = isinstance(history, list) and all(
        isinstance(epoch, dict) and all(_plain(value) is not None for value in epoch.values()) for epoch in history
    )
    if not plain:
        raise ValueError("the history of training is no list of epochs")
    return [{"batches": [], **epoch} for epoch in history]
