"""Augmentation and learning-rate schedule."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omi_estimators.classifiers._data import Augmentation
from omi_estimators.classifiers._training import Schedule


@pytest.fixture
def x():
    return torch.randn(50, 1, 12, 80, generator=torch.Generator().manual_seed(0))


def _augment(x, **how):
    return Augmentation(**how)(x, np.random.default_rng(0))


def test_off_by_default(x):
    assert _augment(x) is x


def test_never_changes_its_input(x):
    before = x.clone()
    _augment(x, time_shift=0.04, amplitude_scale=0.2, baseline_wander=0.1, lead_dropout=0.5)
    assert torch.equal(x, before)


def test_time_shift_moves_a_record_and_repeats_its_ends(x):
    shifted = _augment(x, time_shift=0.04)
    offsets = set()
    for before, after in zip(x, shifted, strict=True):
        matches = [k for k in range(-3, 4) if torch.equal(after[..., 3:-3], before[..., 3 - k : 77 - k])]
        assert len(matches) == 1
        offsets |= set(matches)
    assert offsets == set(range(-3, 4))


def test_amplitude_scale_is_one_factor_per_lead(x):
    factors = _augment(x, amplitude_scale=0.2) / x
    assert (factors.amax(dim=3) - factors.amin(dim=3)).max() < 1e-4
    assert 0.8 <= factors.min() < 0.82
    assert 1.18 < factors.max() <= 1.2001


def test_baseline_wander_is_a_line_and_spares_flat_leads(x):
    x[:, :, 3] = 0
    line = _augment(x, baseline_wander=0.1) - x
    assert line.abs().max() <= 0.1001
    assert line.diff(n=2, dim=3).abs().max() < 1e-5
    assert not line[:, :, 3].any()


def test_lead_dropout_leaves_at_least_one_lead(x):
    kept = _augment(x, lead_dropout=0.9).abs().sum(dim=(1, 3)) > 0
    assert kept.any(dim=1).all()
    assert 0.05 < kept.float().mean() < 0.25


def test_cosine_falls_from_one_towards_zero():
    factors = [Schedule("cosine", 10)(epoch) for epoch in range(10)]
    assert factors[0] == 1
    assert all(np.diff(factors) < 0)
    assert 0 < factors[-1] < 0.05


def test_warm_up_and_first_epoch():
    assert [Schedule("constant", 10, 3)(epoch) for epoch in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert [Schedule("constant", 10, 0, 7.0)(epoch) for epoch in range(3)] == [7, 1, 1]
