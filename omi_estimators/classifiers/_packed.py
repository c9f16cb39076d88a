"""Convolutions for prediction on a CPU whose weights lie as oneDNN wants them: brought there once, not in each call."""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn


def pack_convolutions(network: nn.Module) -> None:
    """Replace the convolutions inside a network, which is in evaluation mode and float32, where this torch can.

    The operations are those that torch's compiler makes of convolutions. They are not documented; without them the
    network is left as it is.
    """
    operations = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not hasattr(operations, "_convolution_pointwise"):
        return
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if _is_plain(child):
                setattr(parent, name, _PackedConv2d(child))


def _is_plain(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Return whether a module is a convolution and nothing more: no subclass, no hooks, zeros around it."""
    return (
        type(module) is nn.Conv2d
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and not module._forward_hooks
        and not module._forward_pre_hooks
    )


class _PackedConv2d(nn.Module):
    """A convolution whose weights are packed for the shape of the first batch."""

    def __init__(self, convolution: nn.Conv2d):
        super().__init__()
        self._convolution = convolution
        self._weight: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of `x`."""
        of = self._convolution
        padding, stride, dilation = list(of.padding), list(of.stride), list(of.dilation)
        if self._weight is None:
            self._weight = torch.ops.mkldnn._reorder_convolution_weight(
                of.weight.detach(), padding, stride, dilation, of.groups, list(x.shape)
            )
        return torch.ops.mkldnn._convolution_pointwise(
            x, self._weight, of.bias, padding, stride, dilation, of.groups, "none", [], ""
        )
