"""The convolution and the residual block that all three networks are made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

KernelSize = tuple[int, int]


def conv_norm(n_inputs: int, n_outputs: int, kernel_size: KernelSize, stride: KernelSize = (1, 1)) -> nn.Sequential:
    """Return a convolution without bias that keeps the size at stride 1, followed by batch normalisation.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Channels in and out.
    kernel_size, stride : tuple of (int, int)
        Along leads and along time. Kernel sizes are odd, so that half of them is the padding.
    """
    padding = (kernel_size[0] // 2, kernel_size[1] // 2)
    return nn.Sequential(
        nn.Conv2d(n_inputs, n_outputs, kernel_size, stride, padding, bias=False),
        nn.BatchNorm2d(n_outputs),
    )


class BasicBlock(nn.Module):
    """Two convolutions with a shortcut around them: the ResNet-18 block, with a kernel of any shape.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Channels in and out.
    kernel_size : tuple of (int, int)
        Odd sizes along leads and along time: (1, 3) looks along time only, (3, 3) is the image block.
    stride : tuple of (int, int), default=(1, 1)
        Of the first convolution. The shortcut is the identity, or a 1×1 convolution with this
        stride and batch normalisation where the shape changes.

    References
    ----------
    He K. et al., Deep Residual Learning for Image Recognition, CVPR 2016, doi:10.1109/CVPR.2016.90.
    """

    def __init__(self, n_inputs: int, n_outputs: int, kernel_size: KernelSize, stride: KernelSize = (1, 1)):
        super().__init__()
        self.conv1 = conv_norm(n_inputs, n_outputs, kernel_size, stride)
        self.conv2 = conv_norm(n_outputs, n_outputs, kernel_size)
        changes_shape = n_inputs != n_outputs or stride != (1, 1)
        self.shortcut = conv_norm(n_inputs, n_outputs, (1, 1), stride) if changes_shape else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block.

        Parameters
        ----------
        x : Tensor of shape (n_records, n_inputs, n_leads, n_samples)
            Feature maps.

        Returns
        -------
        Tensor of shape (n_records, n_outputs, n_leads, n_samples)
            Feature maps; leads and samples are divided by the stride.
        """
        return self.relu(self.conv2(self.relu(self.conv1(x))) + self.shortcut(x))


class Dropout(nn.Dropout):
    """Dropout that draws from a generator of its own where it has one: torch's global one is shared by all threads."""

    generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop features, in training only.

        Parameters
        ----------
        x : Tensor
            Features.

        Returns
        -------
        Tensor
            The kept ones, as much larger as there are fewer of them.
        """
        if self.generator is None or not self.training:
            return super().forward(x)
        kept = torch.empty_like(x).bernoulli_(1 - self.p, generator=self.generator)
        return x * kept / (1 - self.p)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "generator"}
