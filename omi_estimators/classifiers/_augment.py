"""Changes of an ECG that leave its diagnosis alone, drawn anew for every training batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Augmentation(NamedTuple):
    """How far training records are changed; zero leaves that part alone.

    Attributes
    ----------
    time_shift : float
        A record is moved earlier or later by up to this share of its length; its ends are repeated to fill up.
    amplitude_scale : float
        A lead is multiplied by a factor drawn from ``1 ± amplitude_scale``: electrodes and body
        shape change the size of a lead, not its message.
    baseline_wander : float
        Most height, in the units of the record, of a straight line with random ends added to a lead.
    lead_dropout : float
        Probability that a lead is zero, as if its electrode had come off. One lead always stays.
    """

    time_shift: float = 0.0
    amplitude_scale: float = 0.0
    baseline_wander: float = 0.0
    lead_dropout: float = 0.0

    def __call__(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        """Return changed copies of records of shape (n_records, 1, n_leads, n_samples)."""
        n_records, _, n_leads, n_samples = x.shape
        furthest = int(self.time_shift * n_samples)
        if furthest:
            shifts = rng.integers(-furthest, furthest, (n_records, 1, 1, 1), endpoint=True)
            index = np.clip(np.arange(n_samples) - shifts, 0, n_samples - 1)
            x = x.gather(3, torch.from_numpy(index).to(x.device).expand_as(x))
        if self.amplitude_scale:
            factor = 1 + rng.uniform(-self.amplitude_scale, self.amplitude_scale, (n_records, 1, n_leads, 1))
            x = x * _like(factor, x)
        if self.baseline_wander:
            first, last = rng.uniform(-self.baseline_wander, self.baseline_wander, (2, n_records, 1, n_leads, 1))
            # A flat lead has no baseline: it stays the zero that says so.
            line = _like(first + (last - first) * np.linspace(0, 1, n_samples), x)
            x = x + line * (x != 0).any(dim=3, keepdim=True)
        if self.lead_dropout and n_leads > 1:
            draws = rng.random((n_records, 1, n_leads, 1))
            stays = (draws >= self.lead_dropout) | (draws == draws.max(axis=2, keepdims=True))
            x = x * _like(stays, x)
        return x


def _like(array: np.ndarray, x: Tensor) -> Tensor:
    """Return an array as a tensor of the type and on the device of `x`."""
    return torch.from_numpy(np.asarray(array, dtype=np.float32)).to(x.device, x.dtype)
