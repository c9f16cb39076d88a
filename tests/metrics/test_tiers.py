"""Records that cannot be judged have no risk tier, and count in none."""

from __future__ import annotations

import numpy as np
import pytest

from omi_estimators.displays import RiskTierDisplay
from omi_estimators.metrics import (
    NOT_JUDGED,
    TIERS,
    assign_tiers,
    count_tiers,
    find_tier_thresholds,
    tier_thresholds,
)
from omi_estimators.triage import tier_table

CUTS = (0.2, 0.4, 0.9)


def test_unusable_records_are_not_judged():
    tiers = assign_tiers([0.1, np.nan, 0.5, np.inf, 0.95, 0.95], *CUTS, usable=[True, False, True, False, False, True])
    assert tiers.tolist() == ["rule-out", NOT_JUDGED, "high", NOT_JUDGED, NOT_JUDGED, "rule-in"]
    nobody = assign_tiers(np.full(3, np.nan), *CUTS, usable=np.zeros(3, dtype=bool))
    assert nobody.tolist() == [NOT_JUDGED] * 3


def test_unusable_records_do_not_move_the_others():
    score = np.random.default_rng(0).random(50)
    alone = assign_tiers(score, *CUTS)
    assert assign_tiers(score, *CUTS, usable=np.ones(50, dtype=bool)).tolist() == alone.tolist()
    usable = np.arange(50) % 3 > 0
    mixed = assign_tiers(np.where(usable, score, np.nan), *CUTS, usable=usable)
    assert mixed[usable].tolist() == alone[usable].tolist()


@pytest.mark.parametrize(
    ("usable", "message"),
    [
        (None, "1 values that are NaN or infinite, the first for record 2"),
        ([True, False, True], "1 values that are NaN or infinite, the first for record 2"),
        ([True, False], r"mask of the 3 scores.*got bool of shape \(2,\)"),
        ([1, 0, 0], r"mask of the 3 scores.*got int64 of shape \(3,\)"),
    ],
)
def test_bad_masks_and_scores_are_told(usable, message):
    with pytest.raises(ValueError, match=message):
        assign_tiers([0.1, 0.5, np.nan], *CUTS, usable=usable)


@pytest.fixture
def judged():
    """Return labels, tiers with records that were not judged, and patients."""
    rng = np.random.default_rng(0)
    tiers = np.array([*TIERS, NOT_JUDGED])[rng.integers(5, size=200)]
    return (rng.random(200) < 0.4).astype(int), tiers, np.arange(200) // 2


def test_not_judged_is_a_row_of_its_own(judged):
    y, tiers, groups = judged
    usable = tiers != NOT_JUDGED
    found, alone = count_tiers(y, tiers, groups), count_tiers(y[usable], tiers[usable], groups[usable])
    assert list(alone) == list(TIERS)
    assert list(found) == [*TIERS, NOT_JUDGED]
    assert {tier: found[tier] for tier in TIERS} == alone
    assert found[NOT_JUDGED].n_records == (~usable).sum()
    assert found[NOT_JUDGED].n_events == y[~usable].sum()
    with pytest.raises(ValueError, match="rule-in, not judged; got 'maybe'"):
        count_tiers([0, 1], ["low", "maybe"])


def test_the_table_has_all_records(judged):
    y, tiers, groups = judged
    table = tier_table(y, tiers, groups=groups)
    assert table.index.tolist() == [*TIERS, NOT_JUDGED]
    assert table["n_records"].sum() == 200
    assert table["share_of_events"].sum() == pytest.approx(1)
    usable = tiers != NOT_JUDGED
    alone = tier_table(y[usable], tiers[usable], groups=groups[usable])
    rates = ["n_records", "n_events", "event_rate", "event_rate_low", "event_rate_high"]
    assert table.loc[list(TIERS), rates].equals(alone[rates])


def test_the_picture_has_a_row_for_them(judged):
    figure = pytest.importorskip("matplotlib.figure")
    y, tiers, groups = judged
    ax = figure.Figure().add_subplot()
    shown = RiskTierDisplay.from_predictions(y, tiers, groups=groups, ax=ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == [*TIERS, NOT_JUDGED]
    assert shown.tiers[NOT_JUDGED].n_records == (tiers == NOT_JUDGED).sum()


def test_thresholds_alone_are_those_with_intervals():
    rng = np.random.default_rng(0)
    y = (rng.random(200) < 0.4).astype(int)
    score = np.round(y + rng.normal(size=200), 1)
    found = tier_thresholds(y, score, n_resamples=5, random_state=0)
    alone = find_tier_thresholds(y, score)
    assert alone == (found.rule_out.estimate, found.max_f1.estimate, found.rule_in.estimate)
    # No warning: who asks for thresholds alone can see that one is infinite.
    assert find_tier_thresholds(y, -score, ppv=0.99)[2] == np.inf
    with pytest.raises(ValueError, match="ppv must be a share"):
        find_tier_thresholds(y, score, ppv=2)
