"""Repeated cross-validation: new folds and seeds each time, and figures that know of patients and of luck."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from omi_estimators import compare_estimators
from omi_estimators.evaluation._tables import add_spread
from omi_estimators.metrics import METRICS, Interval, bootstrap_intervals

R, N = 3, 120
QUICK = {"n_resamples": 100, "random_state": 0, "verbose": 0}
ESTIMATORS = {
    "regression": LogisticRegression(),
    "forest": RandomForestClassifier(n_estimators=5),
    "prior": DummyClassifier(),
}
UNTIMED = {"fit_time", "predict_time"}


@pytest.fixture(scope="module")
def data():
    """Return X (120, 4), y, groups: 60 patients with two records each, a third of them positive."""
    rng = np.random.default_rng(0)
    groups = np.arange(N) // 2
    y = (groups % 3 == 0).astype(int)
    return rng.normal(size=(N, 4)) + y[:, np.newaxis] / 2, y, groups


def compare(data, **changes):
    X, y, groups = data
    return compare_estimators(**{"estimators": ESTIMATORS, "X": X, "y": y, "groups": groups} | QUICK | changes)


@pytest.fixture(scope="module")
def sex(data):
    return np.random.default_rng(0).choice(["female", "male"], size=60)[data[2]]


@pytest.fixture(scope="module")
def result(data, sex):
    return compare(data, repeats=R, subgroups={"sex": sex})


def untimed(table):
    return table.drop(columns=[name for name in table if name in UNTIMED])


def test_the_first_repeat_is_the_one_that_runs_alone(data, result):
    alone = compare(data)
    assert not alone.table.filter(like="_spread").size
    pd.testing.assert_frame_equal(result.probabilities.loc[0], alone.probabilities, check_names=False)
    np.testing.assert_array_equal(result.fold[:N], alone.fold)
    first = result.folds[result.folds["repeat"] == 0].drop(columns="repeat")
    pd.testing.assert_frame_equal(untimed(first), untimed(alone.folds))


def test_repeats_differ_in_folds_and_seeds_and_come_again(data, result):
    folds = result.fold.reshape(R, N) - 5 * np.arange(R)[:, np.newaxis]
    assert set(np.unique(folds)) == set(range(5))
    assert not np.array_equal(folds[0], folds[1])
    pd.testing.assert_frame_equal(compare(data, repeats=R).probabilities, result.probabilities)
    # More repeats leave the first ones as they were.
    longer = compare(data, repeats=R + 1).probabilities
    pd.testing.assert_frame_equal(longer.loc[: R - 1], result.probabilities)
    # The same forest on the same folds: only seeds can tell two repeats apart.
    assert "random_state=" in result.estimators["forest"]
    fixed = compare(data, estimators={"forest": RandomForestClassifier(5, random_state=1)}, repeats=2)
    seeded = compare(data, estimators={"forest": RandomForestClassifier(5)}, repeats=2)
    assert not np.array_equal(fixed.probabilities.loc[1], seeded.probabilities.loc[1])


def test_figures_and_spreads_are_those_of_the_repeats(data, result):
    _, y, groups = data
    each = [
        bootstrap_intervals(
            y,
            dict(result.probabilities.loc[repeat].items()),
            reference="regression",
            groups=groups,
            folds=result.fold.reshape(R, N)[repeat],
            n_resamples=1,
        )
        for repeat in range(R)
    ]
    for name in ("regression", "forest"):
        row = result.table.loc[name]
        for metric in METRICS:
            values = [one[name][metric].estimate for one in each]
            assert row[f"{metric}_spread"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
            assert row[metric] == pytest.approx(np.mean(values), abs=1e-12)
            # Where the bootstrap lies around is the figure of all repeats together.
            assert row[f"{metric}_low"] < row[metric] < row[f"{metric}_high"]
    differences = [one["forest"]["roc_auc_difference"].estimate for one in each]
    assert result.table.loc["forest", "roc_auc_difference_spread"] == pytest.approx(np.std(differences, ddof=1))
    assert result.table["brier_score"].to_numpy() == pytest.approx(
        [((result.probabilities[name] - np.tile(y, R)) ** 2).mean() for name in result.table.index], abs=1e-6
    )
    assert result.table.loc["prior", ["roc_auc", "roc_auc_low", "roc_auc_high", "roc_auc_spread"]].tolist() == [
        0.5,
        0.5,
        0.5,
        0.0,
    ]


def test_intervals_add_the_variance_of_the_mean():
    found = add_spread(Interval(0.8, 0.7, 0.85), [0.75, 0.8, 0.85, 0.8], "roc_auc")
    error = norm.ppf(0.975) * np.std([0.75, 0.8, 0.85, 0.8], ddof=1) / 2
    assert found.low == pytest.approx(0.8 - np.hypot(0.1, error))
    assert found.high == pytest.approx(0.8 + np.hypot(0.05, error))
    assert found.estimate == pytest.approx(0.8)
    assert add_spread(Interval(0.99, 0.97, 1.0), [0.9, 1.0], "roc_auc").high == 1
    assert add_spread(Interval(0.99, 0.97, 1.0), [0.9, 1.0], "calibration_slope").high > 1
    endless = add_spread(Interval(np.inf, 2.0, np.inf), [3.0, np.inf], "calibration_slope")
    assert (endless.low, endless.high) == (2.0, np.inf)
    assert np.isnan(endless.spread)


def test_without_patients_the_repeats_of_a_record_are_drawn_together(data):
    X, y, _ = data
    given = {"X": X, "y": y, "groups": None, "estimators": {"regression": LogisticRegression()}, "n_resamples": 500}
    once, many = compare(data, **given), compare(data, **given, repeats=4)
    widths = [
        float(r.table.loc["regression", "roc_auc_high"] - r.table.loc["regression", "roc_auc_low"])
        for r in (once, many)
    ]
    # Taken for four times as many records it would be half as wide.
    assert widths[1] > 0.8 * widths[0]
    assert many.counts == once.counts
    assert len(many.units()) == 4 * N


def test_decisions_tiers_and_subgroups(data, sex, result):
    _, y, _ = data
    called = result.tiers["forest"].isin(["high", "rule-in"]).to_numpy().reshape(R, N)
    sensitivity = called[:, y == 1].mean(axis=1)
    row = result.decisions.loc["forest"]
    assert row["sensitivity"] == pytest.approx(sensitivity.mean())
    assert row["sensitivity_spread"] == pytest.approx(sensitivity.std(ddof=1))
    assert row["sensitivity_low"] < sensitivity.mean() < row["sensitivity_high"]
    assert result.tier_tables.loc["forest", "n_records"].sum() == R * N
    women = result.subgroups.set_index(["level", "estimator"]).loc[("female", "forest")]
    assert women["n_records"] == (sex == "female").sum()
    assert women["n_events"] == y[sex == "female"].sum()
    assert women["roc_auc_spread"] > 0


def test_words_numbers_and_pictures_show_the_spread(result, tmp_path, monkeypatch):
    monkeypatch.setattr(type(result), "_render_pictures", lambda result: {})
    assert result.counts == {"n_records": N, "n_patients": 60, "n_events": 40, "n_folds": 5}
    row = result.table.loc["forest"]
    text = result.summary().loc["forest", "AUROC [95 % CI] ± SD"]
    assert text == (
        f"{row['roc_auc']:.3f} [{row['roc_auc_low']:.3f}, {row['roc_auc_high']:.3f}] ± {row['roc_auc_spread']:.3f}"
    )
    page = result.write_report(tmp_path).read_text(encoding="utf-8")
    for part in (
        text,
        "means over 3 repeats",
        "120 records of 60 patients; 40 are",
        "3 times with new",
        "repeat 3, fold 5",
    ):
        assert part in page
    content = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert content["n_repeats"] == R
    assert content["table"]["forest"]["roc_auc_spread"] == pytest.approx(row["roc_auc_spread"])
    assert "roc_auc_spread" in pd.read_csv(tmp_path / "table.csv")
    caption = " ".join(result.plot_roc().get_supxlabel().split())
    assert "120 records of 60 patients, 40 with positive" in caption
    assert "each record once in each of 3 repeats" in caption


def test_finished_folds_of_each_repeat_are_kept(data, tmp_path, monkeypatch, notebook):
    estimators = {"forest": ESTIMATORS["forest"]}
    first = compare(data, estimators=estimators, cache_dir=tmp_path, repeats=2, verbose=1)
    assert "fold 5 of 5 in repeat 2 of 2: forest" in notebook.readouterr().err
    assert len(list(tmp_path.iterdir())) == 10
    compare(data, estimators=estimators, cache_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 10
    monkeypatch.setattr(RandomForestClassifier, "fit", lambda *args: pytest.fail("fitted again"))
    again = compare(data, estimators=estimators, cache_dir=tmp_path, repeats=2)
    pd.testing.assert_frame_equal(again.probabilities, first.probabilities)
