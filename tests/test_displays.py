"""Displays: the arrays are the metrics', several models share axes, and every picture says what it shows."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from omi_estimators.displays import (
    DecisionCurveDisplay,
    PrecisionRecallBandDisplay,
    ProbabilityDisplay,
    ReliabilityDisplay,
    RiskTierDisplay,
    RocBandDisplay,
)
from omi_estimators.metrics import (
    bootstrap_interval,
    calibration_slope_intercept,
    decision_curve,
    reliability_curve,
    roc_band,
)

matplotlib_figure = pytest.importorskip("matplotlib.figure")


@pytest.fixture
def ax():
    return matplotlib_figure.Figure().add_subplot()


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    true = rng.normal(-1, 1.5, size=200)
    y = (rng.random(200) < expit(true)).astype(int)
    return y, expit(true + rng.normal(scale=0.5, size=200)), np.arange(200) // 2


CURVES = [RocBandDisplay, PrecisionRecallBandDisplay, ReliabilityDisplay, DecisionCurveDisplay]
QUICK = {"n_resamples": 50, "random_state": 0, "target_names": ("normal", "MI")}


@pytest.mark.parametrize("display", CURVES)
def test_labels_numbers_and_names(display, sample, ax):
    y, prob, groups = sample
    shown = display.from_predictions(y, prob, groups=groups, name="net", ax=ax, color="#123456", **QUICK)
    assert shown.ax_ is ax
    assert shown.figure_ is ax.figure
    assert shown.line_.get_color() == "#123456"
    assert ax.get_title() == f"200 records of 100 patients, {y.sum()} MI"
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    assert any("net" in text.get_text() for text in ax.get_legend().get_texts())


def test_arrays_are_those_of_the_metrics(sample, ax):
    y, prob, groups = sample
    given = {"groups": groups, "n_resamples": 50, "random_state": 0}
    roc = RocBandDisplay.from_predictions(y, prob, groups=groups, ax=ax, **QUICK)
    np.testing.assert_array_equal(roc.curve.high, roc_band(y, prob, **given).high)
    assert roc.roc_auc == bootstrap_interval(y, prob, "roc_auc", **given)
    recall = PrecisionRecallBandDisplay.from_predictions(y, prob, groups=groups, ax=ax, **QUICK)
    assert recall.average_precision == bootstrap_interval(y, prob, "average_precision", **given)
    assert recall.prevalence == y.mean()
    reliability = ReliabilityDisplay.from_predictions(y, prob, groups=groups, ax=ax, **QUICK)
    np.testing.assert_array_equal(reliability.curve.y, reliability_curve(y, prob, **given).y)
    assert {f"normal (n = {(y == 0).sum()})", f"MI (n = {y.sum()})"} <= {
        text.get_text() for text in ax.get_legend().get_texts()
    }
    line = calibration_slope_intercept(y, prob)
    assert (reliability.line.slope, reliability.line.intercept) == pytest.approx((line.slope, line.intercept))
    benefit = DecisionCurveDisplay.from_predictions(y, prob, groups=groups, ax=ax, **QUICK)
    np.testing.assert_array_equal(benefit.curve.low, decision_curve(y, prob, **given).low)


@pytest.mark.parametrize(
    ("display", "switch"),
    [
        (RocBandDisplay, "plot_chance"),
        (PrecisionRecallBandDisplay, "plot_chance"),
        (DecisionCurveDisplay, "plot_reference"),
        (ReliabilityDisplay, "plot_histogram"),
    ],
)
def test_several_models_on_one_axes(display, switch, sample, ax):
    y, prob, _ = sample
    first = display.from_predictions(y, prob, name="net", ax=ax, **QUICK)
    n_artists = len(ax.lines) + len(ax.patches)
    first.plot(ax, label="again", **{switch: False})
    # Only the curve itself, and for the reliability its diagonal, is drawn again.
    assert len(ax.lines) + len(ax.patches) - n_artists <= 2


def test_probabilities_by_class(sample, ax):
    y, prob, _ = sample
    shown = ProbabilityDisplay.from_predictions(y, prob, ax=ax, name="net", target_names=("normal", "MI"))
    np.testing.assert_array_equal(np.sort(np.r_[shown.negative, shown.positive]), np.sort(prob))
    assert len(shown.positive) == y.sum()
    assert ax.get_xlabel() == "Predicted probability of MI"
    assert ax.get_title() == "net"


def test_tiers(sample, ax):
    y, prob, groups = sample
    tiers = np.array(["rule-out", "low", "high", "rule-in"])[np.searchsorted([0.1, 0.3, 2.0], prob)]
    shown = RiskTierDisplay.from_predictions(y, tiers, groups=groups, ax=ax, target_names=("normal", "MI"))
    assert sum(found.n_events for found in shown.tiers.values()) == y.sum()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["rule-out", "low", "high", "rule-in"]
    texts = [text.get_text() for text in ax.texts]
    assert texts[3] == "no record"
    found = shown.tiers["low"]
    assert texts[1].startswith(f"{found.n_events} of {found.n_records}: {found.rate:.1%} [")
    assert found.low < found.rate < found.high
    with pytest.raises(ValueError, match="got 'maybe'"):
        RiskTierDisplay.from_predictions([0, 1], ["low", "maybe"], ax=ax)


def test_a_perfect_and_a_constant_model_are_drawn(ax):
    y = np.arange(60) % 3 == 0
    perfect = ReliabilityDisplay.from_predictions(y, 0.1 + 0.8 * y, ax=ax, **QUICK)
    assert perfect.line.slope == np.inf
    constant = ReliabilityDisplay.from_predictions(y, np.full(60, 0.3), ax=ax, **QUICK)
    assert np.isnan(constant.line.slope)
    assert constant.line_.get_marker() == "o"


def test_pyplot_is_used_only_without_axes(sample, ax):
    y, prob, _ = sample
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    ProbabilityDisplay.from_predictions(y, prob, ax=ax)
    assert plt.get_fignums() == before
    shown = ProbabilityDisplay.from_predictions(y, prob)
    assert len(plt.get_fignums()) == len(before) + 1
    plt.close(shown.figure_)


@pytest.mark.parametrize("display", [*CURVES, ProbabilityDisplay])
def test_bad_input_is_told(display, sample, ax):
    y, prob, _ = sample
    with pytest.raises(ValueError, match="one score for each of the 200 labels"):
        display.from_predictions(y, prob[1:], ax=ax)


def test_without_matplotlib(sample, monkeypatch):
    y, prob, _ = sample
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install .matplotlib>="):
        ProbabilityDisplay.from_predictions(y, prob)


@pytest.mark.parametrize("display", [*CURVES, ProbabilityDisplay])
def test_from_estimator_is_from_predictions(display, sample, ax):
    y, prob, _ = sample
    labels = np.array(["none", "omi"])[y]
    model = make_pipeline(FunctionTransformer(), LogisticRegression()).fit(np.log(prob / (1 - prob))[:, None], labels)
    X = np.linspace(-3, 3, 50)[:, None]
    tested = np.array(["none", "omi"])[(np.arange(50) % 3 == 0).astype(int)]
    kwargs = {} if display is ProbabilityDisplay else {"n_resamples": 20, "random_state": 0}
    ours = display.from_estimator(model, X, tested, ax=ax, **kwargs)
    assert ours.name == "LogisticRegression"
    told = model.predict_proba(X)[:, 1]
    other = display.from_predictions(tested == "omi", told, ax=matplotlib_figure.Figure().add_subplot(), **kwargs)
    for a, b in zip(ours.ax_.get_lines(), other.ax_.get_lines(), strict=True):
        np.testing.assert_array_equal(a.get_xydata(), b.get_xydata())


def test_tiers_from_an_estimator(ax):
    class Tiers:
        classes_ = np.array([0, 1])

        def predict_tier(self, X):
            return np.where(np.asarray(X)[:, 0] > 0, "rule-in", "rule-out")

    shown = RiskTierDisplay.from_estimator(Tiers(), [[1.0], [-1.0], [2.0]], [1, 0, 0], ax=ax)
    assert shown.tiers["rule-in"].n_records == 2
    assert shown.name == "Tiers"


def test_from_estimator_is_of_two_classes(ax):
    model = LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 2])
    with pytest.raises(ValueError, match=r"RocBandDisplay is of two classes, but the classifier knows \[0, 1, 2\]"):
        RocBandDisplay.from_estimator(model, [[0.0]], [0], ax=ax)
