"""Training recipes as parameters."""

from __future__ import annotations

from typing import Any

PAPER_RECIPE: dict[str, Any] = {
    "time_shift": 0.0,
    "amplitude_scale": 0.0,
    "baseline_wander": 0.0,
    "lead_dropout": 0.0,
    "max_epochs": 200,
    "lr": 1e-4,
    "schedule": "constant",
    "batch_size": 64,
    "optimizer": "adamw",
    "weight_decay": 1e-2,
    "balance": "undersample",
    "early_stopping": True,
    "validation_fraction": 0.1,
    "n_iter_no_change": 10,
}
"""The published procedure: ``ECGSmartNetClassifier(**PAPER_RECIPE)``.

Its authors searched learning rates of 1e-4 to 1e-6, batches of 32 to 256 records and weight decays of 1e-1
to 1e-3; these are the values tried first. What differs from the defaults is augmentation, the schedule, and
early stopping on a tenth of the patients; ``python -m benchmarks recipe`` compares both.
"""
