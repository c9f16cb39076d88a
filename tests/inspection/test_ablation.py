"""Ablation and permutation find what a classifier rests on, and nothing else."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from omi_estimators import RiskTierClassifier, make_forest_pipeline
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.features import NeuroKitFeatures
from omi_estimators.fusion import FusionClassifier
from omi_estimators.inspection import (
    AblationDisplay,
    FeatureImportanceDisplay,
    ablation_importance,
    feature_importance,
)
from omi_estimators.inspection._beats import find_waves
from omi_estimators.leads import LEADS, TERRITORIES
from omi_estimators.preprocessing import UnusableRecordWarning

matplotlib_figure = pytest.importorskip("matplotlib.figure")

LEAD = LEADS.index("V2")


class Reader(ClassifierMixin, BaseEstimator):
    """Reads one feature of one lead of raw records, and nothing else."""

    classes_ = np.array([0, 1])

    def __init__(self, feature: str = "st60_V2"):
        self.feature = feature

    def predict_proba(self, X):
        features = NeuroKitFeatures(include=("st", "t_wave", "amplitudes")).set_output(transform="pandas")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnusableRecordWarning)
            column = features.fit_transform(X)[self.feature].to_numpy()
        positive = expit(4 * np.nan_to_num(column))
        return np.column_stack([1 - positive, positive])


@pytest.fixture(scope="module")
def ecgs():
    return make_omi_ecgs(24, prevalence=0.5, random_state=0)


@pytest.mark.parametrize(
    ("feature", "lead", "segment"),
    # In V2 the P wave is hardly more than what another choice of points moves.
    [("st60", "V2", "ST"), ("r_amplitude", "V2", "QRS"), ("t_amplitude", "V2", "T"), ("p_amplitude", "II", "P")],
)
def test_it_finds_the_lead_and_segment_that_is_read(feature, lead, segment, ecgs):
    groups = {name: [name] for name in ("II", "V1", "V2", "V5")}
    found = ablation_importance(Reader(f"{feature}_{lead}"), ecgs.X[:7], sampling_rate=500, lead_groups=groups)
    # The median over records: in one of them another choice of beats moves everything a little.
    size = np.nanmedian(np.abs(found.changes), axis=0)
    row, column = np.unravel_index(size.argmax(), size.shape)
    assert (found.leads[row], found.segments[column]) == (lead, segment)
    others = np.delete(size, row, axis=0)
    # Points common to all leads move a little when one lead changes.
    assert others.max() < 0.35 * size.max()


def test_the_segment_becomes_the_typical_one(ecgs):
    class Keeper(Reader):
        def predict_proba(self, X):
            seen.append(np.array(X))
            return super().predict_proba(X[:, :, :])

    seen: list[np.ndarray] = []
    X = ecgs.X[:6].astype(np.float64)
    original = X.copy()
    ablation_importance(Keeper(), X, sampling_rate=500, lead_groups={"V2": ["V2"]}, segments=["ST"])
    np.testing.assert_array_equal(X, original)
    changed = seen[1]
    np.testing.assert_array_equal(np.delete(changed, LEAD, axis=1), np.delete(X, LEAD, axis=1))
    middles = []
    for record in changed:
        waves = find_waves(record, 500)
        begin, end = waves.segments()["ST"]
        middles.append(waves.beat.waveform[LEAD, (begin + end) // 2])
    spread = np.ptp([find_waves(record, 500).beat.waveform[LEAD, 260] for record in X])
    assert np.ptp(middles) < 0.35 * spread


def test_a_record_without_a_beat_is_nan_and_named(ecgs):
    X = ecgs.X[:3].copy()
    X[1] = 0
    with pytest.warns(UnusableRecordWarning, match=r"1 of 3 records .*no beat .*: 1 \(every lead is flat or missing\)"):
        found = ablation_importance(
            Reader(), X, sampling_rate=500, background=ecgs.X[3:9], lead_groups=TERRITORIES, segments=["ST"]
        )
    assert np.isnan(found.ablated[1]).all()
    assert np.isfinite(found.ablated[[0, 2]]).all()
    assert np.isfinite(found.mean_change()).all()
    assert found.leads == tuple(TERRITORIES)


def test_scores_drop_where_the_labels_lie(ecgs):
    X = ecgs.X
    reader = Reader()
    y = (reader.predict_proba(X)[:, 1] > np.median(reader.predict_proba(X)[:, 1])).astype(int)
    found = ablation_importance(reader, X, sampling_rate=500, lead_groups={"V2": ["V2"], "V6": ["V6"]}, segments=["ST"])
    drop = found.score_drop(y)
    assert drop[0, 0] > 0.2
    assert abs(drop[1, 0]) < 0.05
    assert found.mean_change(y == 1)[0, 0] > 0 > found.mean_change(y == 0)[0, 0]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"lead_groups": {"a": ["V9"]}}, r"lead_groups names \['V9'\]"),
        ({"lead_groups": {}}, "lead_groups names"),
        ({"segments": ["U"]}, r"segments must be some of P, QRS, ST, T; got \['U'\]"),
        ({"target": 3}, r"target must be one of the classes \[0, 1\]; got 3"),
        ({"background": np.zeros((2, 3, 5000))}, "background has 3 leads"),
        ({"background": np.zeros((2, 12, 5000))}, "No record of the background has a beat"),
    ],
)
def test_errors_of_ablation(kwargs, message, ecgs):
    with pytest.raises(ValueError, match=message):
        ablation_importance(Reader(), ecgs.X[:2], sampling_rate=500, **kwargs)


def test_the_picture_of_an_ablation(ecgs):
    ax = matplotlib_figure.Figure().add_subplot()
    kwargs = {"lead_groups": {"V2": ["V2"], "V6": ["V6"]}, "segments": ["ST", "T"]}
    shown = AblationDisplay.from_estimator(
        Reader(), ecgs.X[:4], sampling_rate=500, rows=[0, 1], name="reader", ax=ax, **kwargs
    )
    assert ax.get_title() == "reader, 2 records"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["V2", "V6"]
    written = [float(text.get_text()) for text in ax.texts]
    np.testing.assert_allclose(written, shown.ablation.mean_change([0, 1]).ravel(), atol=0.0051)


@pytest.fixture(scope="module")
def table_forest():
    """Return a forest whose label is the ST level in V2, and raw-like rows that are its features."""
    rng = np.random.default_rng(0)
    names = np.array(["st60_V2", "st80_V2", "t_amplitude_V6", "heart_rate", "qrs_axis"])
    table = rng.normal(size=(300, 5))
    table[:, 1] = table[:, 0] + 0.1 * rng.normal(size=300)
    y = (table[:, 0] > 0).astype(int)
    identity = FunctionTransformer(feature_names_out=lambda self, given: names)
    return make_pipeline(identity, RandomForestClassifier(50, random_state=0)).fit(table[:200], y[:200]), table, y


def test_kinds_are_permuted_as_a_whole(table_forest):
    forest, table, y = table_forest
    found = feature_importance(forest, table[200:], y[200:], n_repeats=5, random_state=0)
    assert found.names == ("st", "t_wave", "rhythm", "axes")
    assert found.sizes == (2, 1, 1, 1)
    means = found.drops.mean(axis=1)
    assert means[0] > 0.4
    assert np.abs(means[1:]).max() < 0.05
    single = {"one": ["st60_V2"], "other": ["st80_V2"]}
    alone = feature_importance(forest, table[200:], y[200:], by=single, random_state=0).drops.mean(axis=1)
    assert alone.max() < means[0] - 0.1
    by_lead = feature_importance(forest, table[200:], y[200:], by="lead", n_repeats=2, random_state=0)
    assert by_lead.names == ("V2", "V6", "no lead")
    assert "V2" in repr(by_lead)


def test_importance_repeats_and_scores_as_asked(table_forest):
    forest, table, y = table_forest
    kwargs = {"scoring": "neg_log_loss", "n_repeats": 2, "random_state": 3}
    first, second = (feature_importance(forest, table[200:], y[200:], **kwargs) for _ in range(2))
    np.testing.assert_array_equal(first.drops, second.drops)
    assert first.score < 0


@pytest.mark.filterwarnings("ignore:Log-odds out of fold separate the classes")
def test_importance_takes_what_fit_saves(table_forest):
    forest, table, y = table_forest
    kwargs = {"n_repeats": 2, "random_state": 0}
    expected = feature_importance(forest, table[200:], y[200:], **kwargs).drops
    calibrated = FusionClassifier([("forest", forest)], cv=2).fit(table[:200], y[:200])
    for model in (calibrated, RiskTierClassifier(calibrated, cv=2, random_state=0).fit(table[:200], y[:200])):
        found = feature_importance(model, table[200:], y[200:], **kwargs)
        np.testing.assert_array_equal(found.drops, expected)
    both = FusionClassifier([("a", forest), ("b", forest)], cv=2).fit(table[:200], y[:200])
    with pytest.raises(TypeError, match=r"got FusionClassifier\. ablation_importance takes any"):
        feature_importance(both, table[200:], y[200:])


def test_errors_of_importance(table_forest):
    forest, table, y = table_forest
    with pytest.raises(TypeError, match=r"needs a Pipeline .* got RandomForestClassifier"):
        feature_importance(forest[-1], table, y)
    with pytest.raises(ValueError, match='by must be "group", "lead"'):
        feature_importance(forest, table, y, by="wave")
    with pytest.raises(ValueError, match=r"these are not: \['st99'\]"):
        feature_importance(forest, table, y, by={"a": ["st99"]})


def test_the_picture_of_an_importance(ecgs):
    forest = make_forest_pipeline(ecgs.sampling_rate, n_estimators=10, random_state=0).fit(ecgs.X, ecgs.y)
    ax = matplotlib_figure.Figure().add_subplot()
    shown = FeatureImportanceDisplay.from_estimator(forest, ecgs.X, ecgs.y, n_repeats=2, random_state=0, ax=ax)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert len(labels) == len(shown.importance.names)
    best = shown.importance.names[shown.importance.drops.mean(axis=1).argmax()]
    assert labels[-1].startswith(best)
    assert ax.get_title() == f"score {shown.importance.score:.3f}"
