"""The learning rate from epoch to epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The factor on the learning rate in each epoch; called with the epoch, counted from 0.

    Attributes
    ----------
    shape : {"constant", "cosine"}
        Whether the rate stays, or falls along half a cosine, almost to zero in the last epoch.
    max_epochs : int
        Where the cosine ends.
    warmup_epochs : int
        Epochs in which the rate rises linearly to its full height.
    first_factor : float
        Factor in epoch 0 only: a larger first step, as the paper's authors allow.
    """

    shape: str
    max_epochs: int
    warmup_epochs: int = 0
    first_factor: float = 1.0

    def __call__(self, epoch: int) -> float:
        """Return the factor of an epoch."""
        if epoch < self.warmup_epochs:
            factor = (epoch + 1) / (self.warmup_epochs + 1)
        elif self.shape == "cosine":
            progress = (epoch - self.warmup_epochs) / max(1, self.max_epochs - self.warmup_epochs)
            factor = (1 + math.cos(math.pi * min(1.0, progress))) / 2
        else:
            factor = 1.0
        return factor * (self.first_factor if epoch == 0 else 1.0)
