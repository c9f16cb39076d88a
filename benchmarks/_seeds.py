"""What measurements over several seeds share: which model tested which record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def number_models(splits: Sequence, n_records: int, seed: int) -> np.ndarray:
    """Return a number for the model that tested each record, another one for every fold and seed."""
    numbers = np.empty(n_records, dtype=int)
    for fold, (_, test) in enumerate(splits):
        numbers[test] = seed * len(splits) + fold
    return numbers
