"""Saliency finds what a network was taught to look at, leaves the network alone, and fails where it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from omi_estimators import ECGSmartNetClassifier, ResNet18Classifier, TemporalResNet18Classifier, make_net_pipeline
from omi_estimators.inspection import SaliencyDisplay, _saliency, randomisation_check, saliency
from omi_estimators.inspection._saliency import METHODS

pytest.importorskip("captum")
matplotlib_figure = pytest.importorskip("matplotlib.figure")

LEAD, WINDOW = 7, slice(60, 75)


@pytest.fixture(scope="module")
def planted():
    """Return a network that was taught one step in one lead, and records with it."""
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 100)
    X = rng.normal(scale=0.3, size=(200, 12, 100))
    X[y == 1, LEAD, WINDOW] += 1.0
    return ECGSmartNetClassifier(width=8, n_members=1, blocks=(1, 1), max_epochs=15, random_state=0).fit(X, y), X, y


@pytest.mark.parametrize("method", METHODS)
def test_it_finds_what_was_planted(method, planted):
    net, X, y = planted
    found = saliency(net, X[y == 1][:20], method=method)
    total = np.abs(found.values).mean(axis=0)
    assert total.sum(axis=1).argmax() == LEAD
    centre = np.average(np.arange(100), weights=total[LEAD] ** 2)
    assert WINDOW.start - 10 < centre < WINDOW.stop + 10
    assert found.values.shape == found.beats.shape == (20, 12, 100)


@pytest.mark.parametrize("n_steps", [4, 32])
def test_integrated_gradients_add_up(planted, monkeypatch, n_steps):
    monkeypatch.setattr(_saliency, "_N_STEPS", n_steps)
    net, X, _ = planted
    baseline = X[0]
    found = saliency(net, X[1:9], method="integrated_gradients", baseline=baseline)
    total = found.log_odds - saliency(net, X[:1]).log_odds
    gap = np.abs(found.values.sum(axis=(1, 2)) - total)
    # What the documentation promises.
    assert (gap <= np.maximum(0.05, 0.01 * np.abs(total)) + 1e-4).all()


def test_integrated_gradients_that_do_not_add_up_are_named(planted, monkeypatch):
    monkeypatch.setattr(_saliency, "_N_STEPS", 2)
    monkeypatch.setattr(_saliency, "_MOST_STEPS", 2)
    net, X, y = planted
    with pytest.warns(UserWarning, match=r"of \d+ of 5 records \(first: record \d\) do not add up .* after 2 steps"):
        saliency(net, X[y == 1][:5], method="integrated_gradients")


def test_a_gradient_is_a_gradient(planted):
    net, X, _ = planted
    found = saliency(net, X[:1], method="gradient").values[0]
    step = np.zeros_like(X[:1])
    direction = found / np.linalg.norm(found)
    step[0] = 1e-2 * direction
    slope = (saliency(net, X[:1] + step).log_odds - saliency(net, X[:1] - step).log_odds) / 2e-2
    assert slope[0] == pytest.approx(np.linalg.norm(found), rel=0.05)


def test_log_odds_are_the_classifiers_own(planted):
    net, X, _ = planted
    raw = ECGSmartNetClassifier(**net.get_params()).set_params(correct_prior=False)
    raw.__dict__.update({key: value for key, value in vars(net).items() if key.endswith("_")})
    np.testing.assert_allclose(saliency(net, X[:5]).log_odds, raw.decision_function(X[:5]), atol=1e-4)


def test_grad_cam_is_never_negative(planted):
    net, X, _ = planted
    assert saliency(net, X[:5], method="grad_cam").values.min() >= 0


@pytest.mark.parametrize("method", ["gradient", "grad_cam"])
def test_new_weights_make_another_picture(method, planted):
    net, X, y = planted
    alike = randomisation_check(net, X[y == 1][:20], method=method, random_state=0)
    assert alike.shape == (5, 20)
    assert abs(alike.mean()) < 0.2
    same = randomisation_check(net, X[y == 1][:20], method=method, random_state=0)
    np.testing.assert_array_equal(alike, same)


def test_the_check_sees_a_picture_of_the_signal(planted):
    # Integrated gradients are largely the signal, whatever the weights; the check has to say so.
    net, X, y = planted
    records = X[y == 1][:10].copy()
    records[:, :6] *= 0.01
    alike = randomisation_check(net, records, method="integrated_gradients", n_repeats=2, random_state=0)
    assert alike.mean() > 0.4


def test_network_and_random_state_are_left_as_found(planted):
    net, X, _ = planted
    module = net.net_.module_
    before = {name: value.clone() for name, value in module.state_dict().items()}
    training, state = module.training, torch.random.get_rng_state()
    for method in METHODS:
        saliency(net, X[:2], method=method)
    randomisation_check(net, X[:2], n_repeats=1)
    assert module.training == training
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize("classifier", [TemporalResNet18Classifier, ResNet18Classifier])
@pytest.mark.parametrize("method", METHODS)
def test_the_other_networks(classifier, method, planted):
    _, X, y = planted
    net = classifier(width=4, n_members=1, blocks=(1, 1), max_epochs=1, random_state=0).fit(X[:40], y[:40])
    assert np.isfinite(saliency(net, X[:3], method=method).values).all()


def test_more_than_two_classes(planted):
    _, X, _ = planted
    y = np.array(["LAD", "LCX", "RCA", "none"] * 50)
    net = ECGSmartNetClassifier(width=4, n_members=1, blocks=(1, 1), max_epochs=1, random_state=0).fit(X, y)
    found = saliency(net, X[:6])
    np.testing.assert_array_equal(found.target, net.set_params(correct_prior=False).predict(X[:6]))
    assert set(saliency(net, X[:3], target="RCA").target) == {"RCA"}
    with pytest.raises(ValueError, match=r"target must be one of the classes .*; got 'LM'"):
        saliency(net, X[:3], target="LM")


def test_one_lead(planted):
    _, X, y = planted
    net = ECGSmartNetClassifier(width=4, n_members=1, blocks=(1, 1), max_epochs=1, random_state=0).fit(X[:, LEAD], y)
    assert saliency(net, X[:3, LEAD]).values.shape == (3, 1, 100)


def test_a_pipeline_explains_its_beats(make_ecg):
    X = make_ecg(8)
    pipeline = make_net_pipeline(500, width=4, n_members=1, blocks=(1, 1), max_epochs=1, random_state=0).fit(
        X, np.tile([0, 1], 4)
    )
    found = saliency(pipeline, X[:2])
    assert found.values.shape == (2, 12, 200)
    assert found.sampling_rate == pytest.approx(250)
    np.testing.assert_allclose(found.beats, pipeline[:-1].transform(X[:2]), atol=1e-6)


def test_errors(planted):
    net, X, y = planted
    with pytest.raises(TypeError, match=r"got DummyClassifier\. ablation_importance takes any"):
        saliency(DummyClassifier().fit(X.reshape(200, -1), y), X)
    with pytest.raises(ValueError, match="method must be one of gradient"):
        saliency(net, X[:2], method="lime")
    with pytest.raises(ValueError, match=r"baseline must have the shape of a beat, \(12, 100\); got \(100,\)"):
        saliency(net, X[:2], method="integrated_gradients", baseline=np.zeros(100))
    with pytest.raises(ValueError, match="takes finite records of 12 leads and 100 samples; got"):
        saliency(net, X[:2, :, :50])
    with pytest.raises(ValueError, match="finite"):
        saliency(net, np.where(np.arange(100) == 3, np.nan, X[:2]))


def test_the_picture_says_what_it_shows(planted):
    net, X, y = planted
    ax = matplotlib_figure.Figure().add_subplot()
    SaliencyDisplay.from_estimator(net, X, rows=y == 1, name="net", ax=ax)
    assert ax.get_title(loc="left") == "net   for class 1   mean of 100 records"
    # What was planted is the strongest colour.
    strongest = [np.abs(image.get_array()).max() for image in ax.images]
    assert strongest.index(max(strongest)) == shown_order().index(LEAD)
    one = SaliencyDisplay.from_estimator(net, X[:1], ax=matplotlib_figure.Figure().add_subplot())
    assert "log-odds" in one.ax_.get_title(loc="left")


def shown_order() -> list[int]:
    """Return the leads in the order in which they are drawn."""
    return [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]


def test_steps_before_the_network_are_applied(planted):
    net, X, _ = planted
    pipeline = make_pipeline(FunctionTransformer(lambda X: 2 * X, validate=False), net)
    np.testing.assert_allclose(saliency(pipeline, X[:2]).beats, 2 * X[:2], rtol=1e-5, atol=1e-5)
