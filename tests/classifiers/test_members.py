"""Several networks as one classifier: what each has seen, what calibrates them, and what happens when one fails."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from scipy.special import softmax
from skorch.callbacks import Callback

from omi_estimators import ECGSmartNetClassifier, load, save
from omi_estimators.classifiers import inference_network
from omi_estimators.inspection import saliency
from omi_estimators.metrics import calibration_slope_intercept

# Of patients, which has its own test.
pytestmark = pytest.mark.filterwarnings("ignore:The probabilities of ECGSmartNetClassifier are calibrated by")

TINY = {"width": 4, "blocks": (1, 1), "n_members": 3, "max_epochs": 4, "lr": 1e-2, "n_threads": 1, "random_state": 0}


class FailAt(Callback):
    """Raises an error in the given trainings, counted from 0 over all classifiers that it is given to."""

    def __init__(self, error, *at):
        self.error_, self.at_, self.n_begun_ = error, at, 0

    def on_train_begin(self, net, **kwargs):
        self.n_begun_ += 1

    def on_batch_end(self, net, training=False, **kwargs):
        if training and self.n_begun_ - 1 in self.at_ and len(net.history) == 2:
            raise self.error_


@pytest.fixture
def make_classifier():
    return lambda **params: ECGSmartNetClassifier(**(TINY | params))


@pytest.fixture(scope="module")
def recognisable():
    """Return records of patients, two each and nearly alike, whose labels nothing explains."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(60, 2, 20)), 2, axis=0) + rng.normal(scale=0.01, size=(120, 2, 20))
    return X.astype(np.float32), np.repeat(rng.permutation(np.arange(60) % 2), 2), np.repeat(np.arange(60), 2)


def test_the_answer_is_the_calibrated_mean_of_the_members(make_classifier, make_beats):
    X, y, groups = make_beats(prevalence=0.3)
    classifier = make_classifier().fit(X, y, groups=groups)
    assert len(classifier.nets_) == 3
    shift = np.log(classifier.class_prior_ / classifier.training_prior_)
    with torch.no_grad():
        mean = inference_network(classifier)(torch.from_numpy(X[:, np.newaxis])).double().numpy()
    log_odds = classifier.calibration_slope_ * (mean + shift) + classifier.calibration_intercept_
    np.testing.assert_allclose(classifier.predict_proba(X), softmax(log_odds, axis=1), atol=1e-5)
    with pytest.raises(AttributeError, match="3 members"):
        classifier.net_  # noqa: B018


def test_threads_order_and_names_change_nothing(make_classifier, make_beats):
    X, y, groups = make_beats(n_records=24)
    expected = make_classifier(n_threads=3).fit(X, y, groups=groups).predict_proba(X)
    order = np.random.default_rng(1).permutation(24)
    other = make_classifier().fit(X[order], y[order], groups=[f"patient {99 - groups[i]}" for i in order])
    np.testing.assert_array_equal(other.predict_proba(X), expected)


def test_members_are_calibrated_by_patients_that_they_have_not_seen(make_classifier, recognisable):
    X, y, groups = recognisable
    params = {"max_epochs": 40, "lead_dropout": 0.0, "amplitude_scale": 0.0, "width": 8}
    honest = make_classifier(**params).fit(X, y, groups=groups)
    fooled = make_classifier(**params).fit(X, y)
    assert honest.calibration_slope_ < 0.2 < fooled.calibration_slope_


def test_members_are_less_sure_than_one_and_rightly_so(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=300, prevalence=0.2)
    X = X + np.random.default_rng(2).normal(scale=1.0, size=X.shape).astype(np.float32)
    slopes = {}
    for n_members in (1, 3):
        classifier = make_classifier(n_members=n_members, max_epochs=40).fit(X[:150], y[:150])
        slopes[n_members] = calibration_slope_intercept(y[150:], classifier.predict_proba(X[150:])[:, 1]).slope
    assert slopes[1] < 0.7
    assert slopes[3] > 1.3 * slopes[1]


def test_more_than_two_classes(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=60)
    y = y + (np.arange(60) % 3 == 0)
    classifier = make_classifier().fit(X, y)
    np.testing.assert_allclose(classifier.predict_proba(X).sum(axis=1), 1)
    assert classifier.calibration_intercept_.sum() == pytest.approx(0)


def test_class_weights_count_in_the_calibration_too(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=60)
    X = X + np.random.default_rng(0).normal(size=X.shape)
    plain = make_classifier().fit(X, y).predict_proba(X)[:, 1]
    weighted = make_classifier(class_weight={0: 1, 1: 20}).fit(X, y).predict_proba(X)[:, 1]
    assert weighted.mean() > plain.mean() + 0.2


def test_weights_are_copies(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=24)
    weight = np.arange(24) % 3
    weighted = make_classifier().fit(X, y, sample_weight=weight)
    copied = make_classifier().fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_array_equal(weighted.predict_proba(X), copied.predict_proba(X))


def test_fewer_patients_than_members(make_classifier, make_beats):
    X, y, groups = make_beats(n_records=24)
    groups = np.where(y == 1, groups % 2, groups + 2)
    with pytest.warns(UserWarning, match="n_members=3 asks for as many patients of each class; the rarest has 2"):
        classifier = make_classifier().fit(X, y, groups=groups)
    assert len(classifier.nets_) == 3
    with pytest.warns(UserWarning, match="not calibrated"):
        classifier = make_classifier().fit(X, y, groups=np.where(y == 1, 0, groups))
    assert (classifier.calibration_slope_, classifier.calibration_intercept_.tolist()) == (1.0, [0.0, 0.0])


def test_too_few_events_to_calibrate_by(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=40, prevalence=0.2)
    with pytest.warns(UserWarning, match="calibrated by 8 patients of class 1. It takes some 22"):
        make_classifier().fit(X, y)
    X, y, groups = make_beats(n_records=100, prevalence=0.4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_classifier().fit(X, y, groups=groups)


def test_a_member_that_diverges_is_left_out(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=24)
    with pytest.warns(UserWarning, match="1 of 3 members of ECGSmartNetClassifier diverged"):
        classifier = make_classifier(callbacks=[FailAt(FloatingPointError("loss"), 1)]).fit(X, y)
    assert len(classifier.nets_) == 2
    assert np.isfinite(classifier.predict_proba(X)).all()


def test_most_members_diverge(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=24)
    with pytest.raises(FloatingPointError, match=r"2 of 3 members diverged. The first: .*lower lr"):
        make_classifier(callbacks=[FailAt(FloatingPointError("lower lr"), 0, 2)]).fit(X, y)


def test_an_error_in_one_member_ends_them_all(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=24)
    failing = FailAt(RuntimeError("no memory"), 0)
    with pytest.raises(RuntimeError, match="no memory"):
        make_classifier(callbacks=[failing]).fit(X, y)
    assert failing.n_begun_ == 1


def test_ctrl_c_raises_and_says_what_was_finished(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=24)
    classifier = make_classifier(callbacks=[FailAt(KeyboardInterrupt(), 2)])
    with pytest.raises(KeyboardInterrupt, match="2 of 3 members were finished"):
        classifier.fit(X, y)
    assert not hasattr(classifier, "nets_")


def test_ctrl_c_keeps_members_that_were_finished(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=24)
    with pytest.warns(UserWarning, match="2 of 3 members were finished and are kept"):
        classifier = make_classifier(callbacks=[FailAt(KeyboardInterrupt(), 2)], on_interrupt="keep").fit(X, y)
    assert len(classifier.nets_) == 2
    whole = make_classifier(callbacks=[FailAt(None)]).fit(X, y)
    for kept, expected in zip(classifier.nets_, whole.nets_, strict=False):
        assert torch.equal(kept.module_.head.weight, expected.module_.head.weight)


def test_a_checkpoint_loses_no_finished_member(make_classifier, make_beats, tmp_path):
    X, y, _ = make_beats(n_records=24)
    expected = make_classifier(callbacks=[FailAt(None)]).fit(X, y).predict_proba(X)
    failing = FailAt(RuntimeError("power"), 2)
    with pytest.raises(RuntimeError, match="power"):
        make_classifier(callbacks=[failing], checkpoint_dir=tmp_path).fit(X, y)
    assert len(list(tmp_path.glob("*.checkpoint"))) == 3
    again = make_classifier(callbacks=[FailAt(None)], checkpoint_dir=tmp_path).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), expected)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_number_of_members_is_not_taken(make_classifier, make_beats, tmp_path):
    X, y, _ = make_beats(n_records=24)
    with pytest.raises(RuntimeError):
        make_classifier(callbacks=[FailAt(RuntimeError("power"), 2)], checkpoint_dir=tmp_path).fit(X, y)
    n_left = len(list(tmp_path.iterdir()))
    other = make_classifier(n_members=2, checkpoint_dir=tmp_path).fit(X, y)
    np.testing.assert_array_equal(other.predict_proba(X), make_classifier(n_members=2).fit(X, y).predict_proba(X))
    assert len(list(tmp_path.iterdir())) == n_left


def test_early_stopping_that_had_ended_is_not_gone_on_with(make_classifier, make_beats, tmp_path):
    X, y, groups = make_beats(n_records=40)
    params = {"early_stopping": True, "n_iter_no_change": 1, "max_epochs": 30, "lr": 0.1}
    expected = make_classifier(callbacks=[FailAt(None)], **params).fit(X, y, groups=groups)
    assert expected.n_iter_ < 30
    failing = FailAt(RuntimeError("power"), 2)
    with pytest.raises(RuntimeError, match="power"):
        make_classifier(callbacks=[failing], checkpoint_dir=tmp_path, **params).fit(X, y, groups=groups)
    again = make_classifier(callbacks=[FailAt(None)], checkpoint_dir=tmp_path, **params).fit(X, y, groups=groups)
    assert [len(net.history) for net in again.nets_] == [len(net.history) for net in expected.nets_]
    np.testing.assert_array_equal(again.predict_proba(X), expected.predict_proba(X))


def test_warm_start_goes_on_with_all_members(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=24)
    classifier = make_classifier(warm_start=True).fit(X, y)
    first = [net.history[-1, "train_loss"] for net in classifier.nets_]
    classifier.fit(X, y)
    assert np.mean([net.history[-1, "train_loss"] for net in classifier.nets_]) < np.mean(first)
    with pytest.raises(ValueError, match=r"3 member\(s\) of the last fit, but n_members=2"):
        classifier.set_params(n_members=2).fit(X, y)


def test_partial_fit_trains_every_member(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=24)
    classifier = make_classifier().partial_fit(X, y).partial_fit(X, y)
    assert [len(net.history) for net in classifier.nets_] == [2, 2, 2]
    assert classifier.calibration_slope_ == 1.0
    weights = [net.module_.head.weight for net in classifier.nets_]
    assert not torch.equal(weights[0], weights[1])


def test_saved_loaded_and_explained_like_one(make_classifier, make_beats, tmp_path):
    X, y, _ = make_beats(n_records=24)
    classifier = make_classifier().fit(X, y)
    save(classifier, tmp_path / "members.omi")
    loaded = load(tmp_path / "members.omi")
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))
    pytest.importorskip("captum")
    found = saliency(classifier, X[:2], method="gradient").values
    alone = []
    for net in classifier.nets_:
        one = make_classifier(n_members=1).fit(X, y)
        one.nets_ = [net]
        alone.append(saliency(one, X[:2], method="gradient").values)
    np.testing.assert_allclose(found, np.mean(alone, axis=0), atol=1e-6)
