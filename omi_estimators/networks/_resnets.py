"""ECG-SMART-NET and the two ResNet-18s that its paper compares it with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from omi_estimators.networks._blocks import BasicBlock, Dropout, KernelSize, conv_norm


class _ResNet(nn.Module):
    """The trunk that the networks share: stem, max-pool, residual stages, an optional spatial part, the head."""

    # Square kernels and strides mix leads like samples; otherwise both run along time only.
    _square: ClassVar[bool]
    # Whether one (n_leads × 1) convolution combines the leads before the average.
    _convolves_leads: ClassVar[bool]

    def __init__(
        self,
        n_leads: int = 12,
        n_classes: int = 2,
        *,
        width: int = 64,
        blocks: Sequence[int] = (2, 2, 2, 2),
        kernel_size: int = 3,
        stem_kernel_size: int = 7,
        dropout: float = 0.0,
    ):
        super().__init__()
        _check_sizes(n_leads, n_classes, width, blocks, kernel_size, stem_kernel_size)
        stride = self._along(2)
        self.stem = nn.Sequential(conv_norm(1, width, self._along(stem_kernel_size), stride), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(self._along(3), stride, padding=(int(self._square), 1))
        stages = []
        n_channels = width
        for stage, n_blocks in enumerate(blocks):
            n_outputs = width * 2**stage
            for block in range(n_blocks):
                halves = stage > 0 and block == 0
                stages.append(BasicBlock(n_channels, n_outputs, self._along(kernel_size), stride if halves else (1, 1)))
                n_channels = n_outputs
        self.stages = nn.Sequential(*stages)
        self.spatial: nn.Module = nn.Identity()
        if self._convolves_leads:
            self.spatial = nn.Sequential(
                nn.Conv2d(n_channels, n_channels, (n_leads, 1), bias=False),
                nn.BatchNorm2d(n_channels),
                nn.ReLU(inplace=True),
            )
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(n_channels, n_classes)
        _initialise(self)

    @classmethod
    def _along(cls, size: int) -> KernelSize:
        """Return a kernel or stride of `size` along time, and along leads too where the network is square."""
        return (size if cls._square else 1, size)

    def features(self, x: Tensor) -> Tensor:
        """Return what the head sees.

        Parameters
        ----------
        x : Tensor of shape (n_records, 1, n_leads, n_samples)
            ECGs, one channel.

        Returns
        -------
        Tensor of shape (n_records, width * 2 ** (len(blocks) - 1))
            Feature maps, averaged over leads and time.
        """
        maps = self.spatial(self.stages(self.pool(self.stem(x))))
        return maps.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits.

        Parameters
        ----------
        x : Tensor of shape (n_records, 1, n_leads, n_samples)
            ECGs, one channel.

        Returns
        -------
        Tensor of shape (n_records, n_classes)
            Logits: a softmax over the last axis gives probabilities.
        """
        return self.head(self.dropout(self.features(x)))


class ECGSmartNet(_ResNet):
    """ECG-SMART-NET: a ResNet-18 along time in each lead, then one convolution across all leads.

    The 1×k convolutions treat every lead alike and see time only; an (n_leads × 1) convolution then
    combines the leads at each time. With the default sizes, 12 leads and 2 classes it has 6,991,682
    parameters.

    Parameters
    ----------
    n_leads : int, default=12
        Leads per record. The forward pass takes no other number.
    n_classes : int, default=2
        Logits per record.
    width : int, default=64
        Channels of the stem and the first stage; each further stage doubles them.
    blocks : sequence of int, default=(2, 2, 2, 2)
        Residual blocks in each stage.
    kernel_size : int, default=3
        Odd length along time of the convolutions in the blocks.
    stem_kernel_size : int, default=7
        Odd length along time of the first convolution.
    dropout : float, default=0.0
        Share of the averaged features dropped before the linear layer in training.

    Raises
    ------
    ValueError
        For sizes that make no network, such as an even kernel.

    References
    ----------
    Riek N. T. et al., ECG-SMART-NET: A Deep Learning Architecture for Precise ECG Diagnosis of
    Occlusion Myocardial Infarction, arXiv:2405.09567.

    Examples
    --------
    >>> import torch
    >>> from omi_estimators.networks import ECGSmartNet
    >>> ECGSmartNet(width=4)(torch.zeros(5, 1, 12, 200)).shape
    torch.Size([5, 2])
    """

    _square = False
    _convolves_leads = True


class TemporalResNet18(_ResNet):
    """ECG-SMART-NET without the convolution across leads: features are averaged over leads and time.

    With the default sizes and 2 classes it has 3,844,930 parameters. It takes any number of leads.

    Parameters
    ----------
    n_leads : int, default=12
        Ignored: the network averages over the leads, however many. Here so that all networks are built alike.
    n_classes, width, blocks, kernel_size, stem_kernel_size, dropout
        As in `ECGSmartNet`.

    References
    ----------
    Riek N. T. et al., arXiv:2405.09567, where it is a comparison model.

    Examples
    --------
    >>> import torch
    >>> from omi_estimators.networks import TemporalResNet18
    >>> TemporalResNet18(width=4)(torch.zeros(5, 1, 12, 200)).shape
    torch.Size([5, 2])
    """

    _square = False
    _convolves_leads = False


class ResNet18(_ResNet):
    """The image ResNet-18 on the ECG as a one-channel picture of leads × time.

    Square kernels mix neighbouring leads as they mix neighbouring samples. With the default sizes and
    2 classes it has 11,171,266 parameters. It takes any number of leads. No pretrained weights are loaded.

    Parameters
    ----------
    n_leads : int, default=12
        Ignored: the network averages over the leads, however many. Here so that all networks are built alike.
    n_classes, width, blocks
        As in `ECGSmartNet`.
    kernel_size, stem_kernel_size : int, default=3 and 7
        Odd side of the square kernels.
    dropout : float, default=0.0
        As in `ECGSmartNet`.

    References
    ----------
    He K. et al., Deep Residual Learning for Image Recognition, CVPR 2016, doi:10.1109/CVPR.2016.90.

    Examples
    --------
    >>> import torch
    >>> from omi_estimators.networks import ResNet18
    >>> ResNet18(width=4)(torch.zeros(5, 1, 12, 200)).shape
    torch.Size([5, 2])
    """

    _square = True
    _convolves_leads = False


def _check_sizes(
    n_leads: int, n_classes: int, width: int, blocks: Sequence[int], kernel_size: int, stem_kernel_size: int
) -> None:
    """Raise a ValueError for sizes that make no network."""
    if n_leads < 1 or n_classes < 2 or width < 1 or not len(blocks) or min(blocks) < 1:
        raise ValueError(
            "A network needs n_leads >= 1, n_classes >= 2, width >= 1 and at least one block in each of at least "
            f"one stage; got n_leads={n_leads!r}, n_classes={n_classes!r}, width={width!r}, blocks={blocks!r}."
        )
    for name, size in (("kernel_size", kernel_size), ("stem_kernel_size", stem_kernel_size)):
        if size < 1 or size % 2 == 0:
            raise ValueError(f"{name} must be odd and positive, so that padding keeps the length; got {size!r}.")


def _initialise(network: nn.Module) -> None:
    """Draw the convolutions by He's rule for ReLU networks (doi:10.1109/ICCV.2015.123)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
