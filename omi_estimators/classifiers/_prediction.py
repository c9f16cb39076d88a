"""Fast prediction whose result for a record does not depend on the records around it."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from omi_estimators.classifiers._packed import pack_convolutions

# Every forward pass has this many records, the last filled up with zeros: float32 convolutions choose
# their blocking by batch size, and a probability must not depend on how many were asked for at once.
BATCH_SIZE = 32


def predict_logits(
    module: nn.Module, X: NDArray[np.float32], device: torch.device, autocast_dtype: torch.dtype | None = None
) -> NDArray[np.float64]:
    """Return the logits of each record.

    Parameters
    ----------
    module : nn.Module
        A trained network; it is left as it is.
    X : ndarray of shape (n_records, n_leads, n_samples)
        Records.
    device : torch.device
        Where to compute.
    autocast_dtype : torch.dtype, optional
        Reduced precision of the convolutions; float32 if None.

    Returns
    -------
    ndarray of shape (n_records, n_classes)
        Logits.
    """
    network = fold_batch_norm(module).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu" and autocast_dtype is None:
        pack_convolutions(network)
    batch = np.zeros((BATCH_SIZE, 1, *X.shape[1:]), dtype=np.float32)
    logits = []
    reduced = torch.autocast(device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None)
    with torch.inference_mode(), reduced:
        for start in range(0, len(X), BATCH_SIZE):
            records = X[start : start + BATCH_SIZE]
            batch[: len(records), 0] = records
            batch[len(records) :] = 0
            logits.append(network(torch.from_numpy(batch).to(device))[: len(records)].float().cpu())
    return torch.cat(logits).numpy().astype(np.float64)


def uncompiled(module: nn.Module) -> nn.Module:
    """Return the network inside what `torch.compile` made of it, or the network itself."""
    return getattr(module, "_orig_mod", module)


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode, with each batch normalisation folded into the convolution before it."""
    original = uncompiled(module)
    # Folding makes new weights anyway, so the copy shares the old ones until then.
    shared = {id(part.weight): part.weight for part in original.modules() if isinstance(part, nn.Conv2d)}
    network = copy.deepcopy(original, shared).eval()
    for parent in network.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        children = list(parent.named_children())
        for (_, conv), (name, norm) in itertools.pairwise(children):
            if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
                continue
            mean, variance = norm.running_mean, norm.running_var
            if mean is not None and variance is not None:
                conv.weight, conv.bias = fuse_conv_bn_weights(
                    conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
                )
                setattr(parent, name, nn.Identity())
    return network
