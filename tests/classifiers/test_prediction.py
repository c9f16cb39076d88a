"""Prediction: what is kept of a network, batches of any size, records without a signal; and fits at once in threads."""

from __future__ import annotations

import copy
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch

from omi_estimators import ECGSmartNetClassifier, ResNet18Classifier, TemporalResNet18Classifier
from omi_estimators.classifiers import _prediction
from omi_estimators.classifiers._machine import fixed_threads

TINY = {"width": 4, "blocks": (1, 1), "n_members": 1, "max_epochs": 2, "lr": 1e-2, "n_threads": 1, "random_state": 0}
CLASSES = [ECGSmartNetClassifier, ResNet18Classifier, TemporalResNet18Classifier]


@pytest.fixture
def builds(monkeypatch):
    """Return a list that grows with each network made ready for prediction."""
    made, init = [], _prediction._Predictor.__init__

    def watch(self, *args):
        made.append(self)
        init(self, *args)

    monkeypatch.setattr(_prediction._Predictor, "__init__", watch)
    return made


def test_a_network_is_made_ready_once(make_beats, builds):
    X, y, _ = make_beats()
    classifier = ECGSmartNetClassifier(**TINY).fit(X, y)
    before = set(vars(classifier)), len(pickle.dumps(classifier))
    for part in (X, X[:1], X[:3], X[5:6]):
        classifier.predict_proba(part)
    assert len(builds) == 1
    assert (set(vars(classifier)), len(pickle.dumps(classifier))) == before


def _further_training(classifier, X, y):
    classifier.partial_fit(X, y)


def _set(classifier, X, y):
    with torch.no_grad():
        classifier.net_.module_.head.bias[0] += 1


def _set_data(classifier, X, y):
    classifier.net_.module_.head.bias.data[0] += 1


def _load(classifier, X, y):
    state = classifier.net_.module_.state_dict()
    classifier.net_.module_.load_state_dict({name: value / 2 for name, value in state.items()})


def _replace(classifier, X, y):
    classifier.net_.module_.head = torch.nn.Linear(classifier.net_.module_.head.in_features, 2)


def _running_mean(classifier, X, y):
    classifier.net_.module_.stem[0][1].running_mean.data += 0.1


def _hook(classifier, X, y):
    classifier.net_.module_.head.register_forward_hook(lambda module, inputs, output: output + torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("change", [_further_training, _set, _set_data, _load, _replace, _running_mean, _hook])
def test_changed_weights_are_noticed(make_beats, change):
    X, y, _ = make_beats()
    classifier = ECGSmartNetClassifier(**TINY).fit(X, y)
    before = classifier.predict_proba(X)
    change(classifier, X, y)
    after = classifier.predict_proba(X)
    assert not np.array_equal(before, after)
    _prediction._KEPT.clear()
    np.testing.assert_array_equal(after, classifier.predict_proba(X))


def test_what_is_kept_goes_with_the_network(make_beats):
    X, y, _ = make_beats()
    classifier = ECGSmartNetClassifier(**TINY).fit(X, y)
    classifier.predict_proba(X)
    gc.collect()
    kept = len(_prediction._KEPT)
    del classifier
    gc.collect()
    assert len(_prediction._KEPT) == kept - 1


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("width", [4, 16])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_record_is_answered_alike_in_any_batch(cls, width, n_threads, make_beats):
    X, y, _ = make_beats(n_records=75, n_leads=12, n_samples=100)
    classifier = cls(**(TINY | {"width": width, "n_threads": n_threads, "blocks": (1, 1, 1)})).fit(X, y)
    together = classifier.predict_proba(X)
    for start, stop in [(0, 1), (74, 75), (3, 5), (7, 11), (20, 33), (5, 37), (2, 35), (0, 64)]:
        np.testing.assert_array_equal(classifier.predict_proba(X[start:stop]), together[start:stop])


def test_small_batches_are_used_only_where_they_give_the_same(make_beats, monkeypatch):
    X, y, _ = make_beats()
    classifier = ECGSmartNetClassifier(**TINY).fit(X, y)
    sizes, run = [], _prediction._Predictor._pass

    def differ(self, batch):
        sizes.append(len(batch))
        return run(self, batch) + len(batch) * 1e-6

    monkeypatch.setattr(_prediction._Predictor, "_pass", differ)
    alone, together = classifier.predict_proba(X[:1]), classifier.predict_proba(X)
    np.testing.assert_array_equal(alone, together[:1])
    # The two passes to find out, then whole batches; eight records are left over.
    assert sizes == [32, 1, 32, 32, 32, 8, 32]


@pytest.mark.parametrize("correct_prior", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_no_signal_is_answered_with_the_prevalence(make_beats, correct_prior, n_classes):
    X, y, _ = make_beats(prevalence=0.25)
    y = y if n_classes == 2 else np.arange(len(y)) % 3 + y
    classifier = ECGSmartNetClassifier(**TINY, correct_prior=correct_prior).fit(X, y)
    prior = classifier.class_prior_ if correct_prior else classifier.training_prior_
    for place in (0, 17, 40):
        among = np.insert(X, place, 0, axis=0)
        found = classifier.predict_proba(among)
        np.testing.assert_allclose(found[place], prior, rtol=1e-12)
        np.testing.assert_array_equal(np.delete(found, place, axis=0), classifier.predict_proba(X))
    expected = np.log(prior[1] / prior[0]) if n_classes == 2 else np.log(prior)
    np.testing.assert_allclose(classifier.decision_function(np.zeros_like(X[:2]))[1], expected, rtol=1e-9, atol=1e-12)


def test_predictions_at_once_are_those_one_by_one(make_beats):
    X, y, _ = make_beats()
    classifier = ECGSmartNetClassifier(**TINY).fit(X, y)
    expected = copy.deepcopy(classifier).predict_proba(X)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(classifier.predict_proba, [X] * 16):
            np.testing.assert_array_equal(found, expected)


class DropsSamples(torch.nn.Module):
    """A network of the user's."""

    def __init__(self, n_leads, n_classes, dropout, **sizes):
        super().__init__()
        self.dropout = torch.nn.Dropout(dropout)
        self.head = torch.nn.Linear(n_leads * 40, n_classes)

    def forward(self, x):
        """Return the logits."""
        return self.head(self.dropout(x).flatten(1))


def _fit(params, X, y):
    return ECGSmartNetClassifier(**(TINY | params)).fit(X, y).net_.module_.state_dict()


def test_fits_at_once_are_those_one_after_the_other(make_beats):
    X, y, _ = make_beats()
    many = [{"dropout": 0.4, "random_state": seed, "n_threads": 1 + seed % 2} for seed in range(4)]
    # Code of the user's, which may draw from torch's one generator.
    many += [{"dropout": 0.4, "net_params": {"module": DropsSamples}, "random_state": seed} for seed in range(2)]
    state, n_threads = torch.get_rng_state(), torch.get_num_threads()
    expected = [_fit(params, X, y) for params in many]
    with ThreadPoolExecutor(len(many)) as pool:
        in_pool = list(pool.map(lambda params: _fit(params, X, y), many))
        found_threads = set(pool.map(lambda _: torch.get_num_threads(), range(20)))
    by_joblib = joblib.Parallel(n_jobs=len(many), backend="threading")(
        joblib.delayed(_fit)(params, X, y) for params in many
    )
    for one, two, three in zip(expected, in_pool, by_joblib, strict=True):
        for name, value in one.items():
            assert torch.equal(value, two[name]), name
            assert torch.equal(value, three[name]), name
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == n_threads
    assert found_threads == {n_threads}


def test_threads_inside_threads_get_back_what_they_found():
    found = torch.get_num_threads()
    with fixed_threads(1):
        with fixed_threads(3):
            assert torch.get_num_threads() == 3
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(_threads_within, 2).result() == (2, found)
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == found


def _threads_within(n_threads):
    """Return the numbers of threads inside and after, in a thread that has never computed."""
    with fixed_threads(n_threads):
        inside = torch.get_num_threads()
    return inside, torch.get_num_threads()
