"""Training that goes on: fine-tuning, epoch by epoch, interrupted, watched."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback, EarlyStopping

from omi_estimators import ECGSmartNetClassifier
from omi_estimators.classifiers import PAPER_RECIPE
from omi_estimators.preprocessing import LeadScaler

# Most of these tests split by record, and the warning has its own test.
pytestmark = pytest.mark.filterwarnings("ignore:early_stopping=True without groups")

TINY = PAPER_RECIPE | {"width": 4, "blocks": (1, 1), "max_epochs": 4, "lr": 1e-2, "n_threads": 1, "random_state": 0}


@pytest.fixture
def make_classifier():
    return lambda **params: ECGSmartNetClassifier(**(TINY | params))


class InterruptInEpoch(Callback):
    """Behave as Ctrl-C does in the middle of an epoch, counted from 1."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history) == self.epoch:
            raise KeyboardInterrupt


def _weights(classifier):
    return {name: value.clone() for name, value in classifier.net_.module_.state_dict().items()}


def _changed(before, after):
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_warm_start_goes_on_from_the_weights(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=60)
    classifier = make_classifier(warm_start=True, early_stopping=False, lr=1e-3)
    first = classifier.fit(X, y).net_.history[0, "train_loss"]
    assert classifier.fit(X, y).net_.history[0, "train_loss"] < first


def test_fine_tuning_of_the_head_leaves_the_features_alone(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=60)
    classifier = make_classifier(warm_start=True, freeze="features").fit(X, y)
    before = _weights(classifier)
    elsewhere, elsewhere_y, _ = make_beats(n_records=60, prevalence=0.2, seed=1)
    classifier.fit(elsewhere * 1.1, elsewhere_y)
    assert _changed(before, _weights(classifier)) == {"head"}
    np.testing.assert_allclose(classifier.class_prior_, [0.8, 0.2])


def test_a_first_fit_trains_everything(make_classifier, make_beats):
    X, y, _ = make_beats()
    frozen = make_classifier(freeze="features").fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(frozen, make_classifier().fit(X, y).predict_proba(X))


def test_warm_start_on_other_classes_or_leads_is_an_error(make_classifier, make_beats):
    X, y, _ = make_beats()
    classifier = make_classifier(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"classes \[2\]"):
        classifier.fit(X, y + 1)
    with pytest.raises(ValueError, match=r"leads|features"):
        classifier.fit(X[:, :2], y)


def test_partial_fit_learns_epoch_by_epoch(make_classifier, make_beats):
    X, y, groups = make_beats(n_records=60)
    classifier = make_classifier()
    for _ in range(15):
        classifier.partial_fit(X, y, groups=groups)
    assert classifier.n_iter_ == 15
    assert classifier.score(X, y) > 0.9


def test_partial_fit_goes_on_after_fit_and_can_be_frozen(make_classifier, make_beats):
    X, y, _ = make_beats()
    classifier = make_classifier(schedule="cosine").fit(X, y)
    before = _weights(classifier)
    classifier.set_params(freeze="features").partial_fit(X, y)
    assert _changed(before, _weights(classifier)) == {"head"}
    classifier.set_params(freeze=None).partial_fit(X, y)
    assert "stem" in _changed(before, _weights(classifier))


def test_partial_fit_answers_for_all_records_it_has_seen(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=40, prevalence=0.5)
    classifier = make_classifier(balance=None).partial_fit(X, y, classes=[0, 1, 2])
    assert classifier.predict_proba(X).shape == (40, 3)
    classifier.partial_fit(X[y == 0], y[y == 0])
    assert np.isfinite(classifier.predict_proba(X)).all()
    np.testing.assert_allclose(classifier.class_prior_, [40 / 60, 20 / 60, 0])


def test_partial_fit_of_one_class_cannot_be_balanced(make_classifier, make_beats):
    X, y, _ = make_beats()
    with pytest.raises(ValueError, match="balance='undersample' skipped them all"):
        make_classifier().partial_fit(X[y == 0], y[y == 0], classes=[0, 1])


def test_interruption_raises_and_leaves_no_fit(make_classifier, make_beats):
    X, y, _ = make_beats()
    classifier = make_classifier(callbacks=[InterruptInEpoch(3)])
    with pytest.raises(KeyboardInterrupt, match="interrupted"):
        classifier.fit(X, y)
    assert not hasattr(classifier, "net_")


def test_interruption_can_keep_the_best_weights(make_classifier, make_beats):
    X, y, groups = make_beats()
    whole = make_classifier().fit(X, y, groups=groups)
    best = int(np.argmin(whole.net_.history[:3, "valid_loss"])) + 1
    classifier = make_classifier(callbacks=[InterruptInEpoch(4)], on_interrupt="keep")
    with pytest.warns(UserWarning, match="interrupted after 3 of 4 epochs"):
        classifier.fit(X, y, groups=groups)
    assert classifier.n_iter_ == 3
    expected = make_classifier(max_epochs=best).fit(X, y, groups=groups).predict_proba(X)
    np.testing.assert_array_equal(classifier.predict_proba(X), expected)


def test_nothing_can_be_kept_of_an_unfinished_first_epoch(make_classifier, make_beats):
    X, y, _ = make_beats()
    with pytest.raises(KeyboardInterrupt):
        make_classifier(callbacks=[InterruptInEpoch(1)], on_interrupt="keep").fit(X, y)


def test_early_stopping_of_the_user_is_no_interruption(make_classifier, make_beats):
    X, y, _ = make_beats()
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=10, sink=lambda *_: None)
    classifier = make_classifier(max_epochs=50, early_stopping=False, callbacks=[stop]).fit(X, y)
    assert classifier.n_iter_ < 50


def test_progress_bar_shows_losses_and_auroc(make_classifier, make_beats, notebook):
    X, y, _ = make_beats()
    make_classifier(verbose=1).fit(X, y)
    shown = notebook.readouterr().err
    assert "4/4" in shown
    for name in ("train_loss", "valid_loss", "valid_auc"):
        assert name in shown


def test_silent_by_default(make_classifier, make_beats, capsys):
    X, y, _ = make_beats()
    make_classifier().fit(X, y)
    shown = capsys.readouterr()
    assert shown.out == shown.err == ""


def test_scikit_learns_scoring_monitor_sees_every_epoch(make_classifier, make_beats):
    X, y, _ = make_beats()
    monitor = ScoringMonitor(scoring="roc_auc")
    classifier = make_classifier(early_stopping=False).set_callbacks(monitor).fit(X, y)
    log = monitor.get_logs(select="most_recent").data
    assert len(log) >= classifier.n_iter_ == 4


@pytest.mark.filterwarnings("ignore:The estimator LeadScaler does not support callbacks")
def test_scikit_learns_progress_bar_reaches_into_a_pipeline(make_classifier, make_beats, capfd):
    X, y, _ = make_beats()
    pipeline = make_pipeline(LeadScaler(), make_classifier())
    pipeline.set_callbacks(ProgressBar())
    assert pipeline.fit(X, y).predict(X).shape == (40,)


def test_a_fitted_classifier_holds_no_training_data(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=400, n_samples=200)
    classifier = make_classifier(verbose=0, max_epochs=1).fit(X, y)
    assert len(pickle.dumps(classifier)) < X.nbytes / 4


@pytest.mark.filterwarnings("ignore:mixed_precision=True computes in bfloat16")
def test_bfloat16_training_on_request(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=60)
    classifier = make_classifier(mixed_precision=True, max_epochs=15).fit(X, y)
    assert classifier.score(X, y) > 0.9
    assert classifier.net_.module_.head.weight.dtype == torch.float32


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch.compile's own, of many kinds
def test_compiled_training_gives_the_same(make_classifier, make_beats):
    X, y, _ = make_beats()
    eager = make_classifier(early_stopping=False, max_epochs=2).fit(X, y).predict_proba(X)
    compiled = make_classifier(early_stopping=False, max_epochs=2, compile=True).fit(X, y)
    np.testing.assert_allclose(compiled.predict_proba(X), eager, atol=1e-3)
    copy.deepcopy(compiled)
