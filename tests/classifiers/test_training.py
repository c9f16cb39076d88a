"""The training procedure: weights, patients, balance, prevalence, stopping."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import EpochScoring

from omi_estimators import ECGSmartNetClassifier
from omi_estimators.classifiers import PAPER_RECIPE
from omi_estimators.classifiers._data import (
    Batches,
    Records,
    TensorRecords,
    balance_batch,
    merge_records,
    split_patients,
)

# Most of these tests split by record, and the warning has its own test.
pytestmark = pytest.mark.filterwarnings("ignore:early_stopping=True without groups")

TINY = PAPER_RECIPE | {"width": 4, "blocks": (1, 1), "max_epochs": 3, "lr": 1e-2, "n_threads": 1, "random_state": 0}


@pytest.fixture
def make_classifier():
    return lambda **params: ECGSmartNetClassifier(**(TINY | params))


def test_weights_of_one_are_no_weights(make_classifier, make_beats):
    X, y, _ = make_beats()
    plain = make_classifier().fit(X, y).predict_proba(X)
    weighted = make_classifier().fit(X, y, sample_weight=np.ones(len(y))).predict_proba(X)
    np.testing.assert_array_equal(plain, weighted)


def test_integer_weights_are_copies(make_classifier, make_beats):
    X, y, groups = make_beats()
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    weighted = make_classifier().fit(X, y, sample_weight=weight, groups=groups)
    copied = make_classifier().fit(X.repeat(weight, axis=0), y.repeat(weight), groups=groups.repeat(weight))
    np.testing.assert_array_equal(weighted.predict_proba(X), copied.predict_proba(X))


def test_the_order_of_records_changes_nothing(make_classifier, make_beats):
    X, y, groups = make_beats()
    order = np.random.default_rng(0).permutation(len(y))
    straight = make_classifier().fit(X, y, groups=groups)
    shuffled = make_classifier().fit(X[order], y[order], groups=groups[order])
    np.testing.assert_array_equal(straight.predict_proba(X), shuffled.predict_proba(X))


def test_merged_records_keep_the_weight_of_each_class():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5, 1, 3)).astype(np.float32)[[0, 1, 1, 2, 1, 3, 4]]
    y, groups = np.array([0, 1, 1, 0, 0, 1, 1]), np.array([0, 1, 1, 2, 1, 3, 4])
    records = Records(X, np.arange(7), y, np.array([1, 2, 3, 1, 1, 2, 1.0]), groups)
    for by_patient in (True, False):
        merged = merge_records(records, by_patient=by_patient)
        assert len(merged.y) == 6
        np.testing.assert_array_equal(np.bincount(merged.y, weights=merged.weight), [3, 8])


@pytest.mark.parametrize("seed", range(20))
def test_names_of_patients_and_order_of_records_do_not_change_what_is_merged(seed):
    rng = np.random.default_rng(seed)
    # Few signals, so that patients share records, and some patients have just the same ones.
    X = rng.normal(size=(4, 1, 3)).astype(np.float32)[rng.integers(0, 4, 30)]
    y, groups, weight = rng.integers(0, 2, 30), rng.integers(0, 12, 30), rng.integers(1, 3, 30) * 0.1
    merged = merge_records(Records(X, np.arange(30), y, weight, groups), by_patient=True)
    order, names = rng.permutation(30), rng.permutation(12)
    other = merge_records(
        Records(X[order], np.arange(30), y[order], weight[order], names[groups][order]), by_patient=True
    )
    np.testing.assert_array_equal(X[merged.rows], X[order][other.rows])
    for name in ("y", "weight", "groups"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(other, name))
    pairs = {(X[row].tobytes(), label, patient) for row, label, patient in zip(range(30), y, groups, strict=True)}
    assert len(merged.y) == len(pairs)
    assert len(set(merged.groups.tolist())) == len(set(groups.tolist()))


RENAMED = {
    "padded": lambda groups: [f"p{group:03d}" for group in groups],
    "not padded": lambda groups: [f"p{group}" for group in groups],
    "backwards": lambda groups: 100 - groups,
}


@pytest.mark.parametrize("early_stopping", [True, False])
def test_the_spelling_of_patients_does_not_change_the_network(make_classifier, make_beats, early_stopping):
    X, y, groups = make_beats()
    fits = [
        make_classifier(early_stopping=early_stopping).fit(X, y, groups=named(groups)).predict_proba(X)
        for named in (np.asarray, *RENAMED.values())
    ]
    for other in fits[1:]:
        np.testing.assert_array_equal(fits[0], other)


def test_patients_that_nothing_uses_do_not_change_the_network(make_classifier, make_beats):
    X, y, groups = make_beats()
    # A copy in another patient's name is still a copy.
    X, y, groups = np.concatenate([X, X[:3]]), np.append(y, y[:3]), np.append(groups, groups[-3:])
    given, absent = (make_classifier(early_stopping=False).fit(X, y, groups=groups_) for groups_ in (groups, None))
    np.testing.assert_array_equal(given.predict_proba(X), absent.predict_proba(X))
    assert (given.n_patients_, absent.n_patients_) == (20, None)


@pytest.mark.filterwarnings("default:early_stopping=True without groups")
def test_early_stopping_that_splits_by_record_is_warned_of(make_classifier, make_beats):
    X, y, groups = make_beats()
    with pytest.warns(UserWarning, match=r"splits by record.*fit\(X, y, groups=patients\), or net__groups") as caught:
        make_classifier().fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_classifier().fit(X, y, groups=groups)
        make_classifier(early_stopping=False).fit(X, y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (1e308, "must add up to a positive number of at most 1e"),
        (0.0, "its sum is 0"),
        (np.nan, "finite numbers that are not negative; got nan for record 0"),
        (-1.0, "got -1.0 for record 0"),
    ],
)
def test_weights_that_are_none_are_errors(make_classifier, make_beats, weight, message):
    X, y, _ = make_beats()
    with pytest.raises(ValueError, match=message):
        make_classifier().fit(X, y, sample_weight=np.full(len(y), weight))


def test_large_weights_are_only_ratios(make_classifier, make_beats):
    X, y, groups = make_beats()
    large, plain = (
        make_classifier().fit(X, y, sample_weight=np.full(len(y), weight), groups=groups) for weight in (2.0**900, 1.0)
    )
    np.testing.assert_array_equal(large.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("seed", range(10))
def test_no_patient_is_on_both_sides(seed):
    rng = np.random.default_rng(seed)
    groups = np.unique(rng.integers(0, 40, 120), return_inverse=True)[1]
    y = (rng.random(120) < 0.2).astype(np.int64)
    train, valid = split_patients(y, groups, 0.2, rng)
    assert set(groups[train]).isdisjoint(groups[valid])
    assert sorted([*train, *valid]) == list(range(120))
    assert set(y[train]) == set(y[valid]) == {0, 1}


def test_a_patient_with_both_classes_counts_for_the_rarer():
    y = np.array([0] * 20 + [1, 0, 1, 0])
    groups = np.array([*range(20), 20, 20, 21, 21])
    _, valid = split_patients(y, groups, 0.1, np.random.default_rng(0))
    assert len({20, 21} & set(groups[valid])) == 1


def test_groups_reach_the_inner_split(make_classifier, make_beats):
    X, y, _ = make_beats()
    with pytest.raises(ValueError, match="two patients"):
        make_classifier().fit(X, y, groups=np.zeros(len(y)))
    make_classifier(early_stopping=False).fit(X, y, groups=np.zeros(len(y)))


def test_groups_of_another_length_are_an_error(make_classifier, make_beats):
    X, y, groups = make_beats()
    with pytest.raises(ValueError, match=r"one patient for each of the 40 records; got shape \(39,\)"):
        make_classifier().fit(X, y, groups=groups[:-1])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT], ids=str)
@pytest.mark.parametrize("early_stopping", [True, False])
def test_missing_patients_are_an_error(make_classifier, make_beats, missing, early_stopping):
    X, y, groups = make_beats()
    names = [f"p{group}" for group in groups]
    for kind in (object, "string"):
        series = pd.Series([*names[:7], missing, *names[8:]], dtype=kind)
        with pytest.raises(ValueError, match="groups has missing patients, the first for record 7"):
            make_classifier(early_stopping=early_stopping).fit(X, y, groups=series)


@pytest.mark.parametrize(("how", "size"), [("undersample", 2), ("oversample", 6)])
def test_balanced_batches_hold_classes_alike(how, size):
    y = np.array([0, 0, 1, 0, 0, 0, 1, 0])
    index = np.arange(10, 18)
    drawn = balance_batch(index, y, how)
    assert np.bincount(y[drawn - 10]).tolist() == [size, size]


def test_a_batch_of_one_class_is_skipped():
    assert len(balance_batch(np.arange(4), np.zeros(4, dtype=np.int64), "undersample")) == 0


def test_batches_cover_every_record_once_and_never_hold_one_alone(make_beats):
    X, y, groups = make_beats(n_records=33)
    dataset = TensorRecords(Records(X, np.arange(33), y, np.ones(33), groups), np.ones(33), torch.device("cpu"))
    batches = Batches(dataset, batch_size=16, rng=np.random.default_rng(0))
    sizes = [len(labels) for _, labels in batches]
    assert sizes == [11, 11, 11]
    assert dataset.n_drawn.tolist() == [1] * 33


def test_probabilities_answer_for_the_training_prevalence(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=200, prevalence=0.1)
    classifier = make_classifier(max_epochs=20).fit(X, y)
    np.testing.assert_allclose(classifier.class_prior_, [0.9, 0.1])
    np.testing.assert_allclose(classifier.training_prior_, [0.5, 0.5])
    honest = classifier.predict_proba(X)[:, 1]
    published = classifier.set_params(correct_prior=False).predict_proba(X)[:, 1]

    def log_odds(p):
        return np.log(p) - np.log1p(-p)

    np.testing.assert_allclose(log_odds(published) - log_odds(honest), np.log(9), rtol=1e-5)


def test_class_weight_is_not_corrected_away(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=100, prevalence=0.2)
    noise = np.random.default_rng(0).normal(size=X.shape)
    plain = make_classifier(max_epochs=20).fit(noise, y).predict_proba(noise)[:, 1]
    weighted = make_classifier(max_epochs=20, class_weight={1: 50.0}).fit(noise, y).predict_proba(noise)[:, 1]
    assert weighted.mean() > plain.mean() + 0.2


def test_early_stopping_restores_the_best_weights(make_classifier, make_beats):
    X, y, groups = make_beats(n_records=60)
    noise = np.random.default_rng(0).normal(size=X.shape)
    classifier = make_classifier(max_epochs=200, n_iter_no_change=3).fit(noise, y, groups=groups)
    losses = classifier.net_.history[:, "valid_loss"]
    assert classifier.n_iter_ == len(losses) == int(np.argmin(losses)) + 1 + 3
    trained_to_best = make_classifier(max_epochs=int(np.argmin(losses)) + 1).fit(noise, y, groups=groups)
    np.testing.assert_array_equal(classifier.predict_proba(noise), trained_to_best.predict_proba(noise))


def test_a_diverged_loss_says_what_to_lower(make_classifier, make_beats):
    X, y, _ = make_beats()
    classifier = make_classifier(lr=1e30, optimizer="sgd", max_epochs=50)
    with pytest.raises(FloatingPointError, match="Lower lr"):
        classifier.fit(X * 1e5, y)


def test_skorch_callbacks_and_net_params_reach_the_net(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=60)
    scoring = EpochScoring("roc_auc", lower_is_better=False, name="valid_auc")
    classifier = make_classifier(callbacks=[scoring], net_params={"optimizer__betas": (0.8, 0.9)}).fit(X, y)
    assert len(classifier.net_.history[:, "valid_auc"]) == 3
    assert classifier.net_.optimizer_.param_groups[0]["betas"] == (0.8, 0.9)


def test_a_batch_size_that_never_meets_two_classes_is_an_error():
    records = Records(np.zeros((2, 1, 4), np.float32), np.arange(2), np.array([0, 1]), np.ones(2), np.arange(2))
    dataset = TensorRecords(records, np.ones(2), torch.device("cpu"))
    batches = Batches(dataset, batch_size=1, balance="undersample", rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="batch_size"):
        list(batches)


def test_blank_records_are_named(make_classifier, make_beats):
    X, y, _ = make_beats()
    X[7] = 0
    with pytest.warns(UserWarning, match=r"1 of 40 records .* left out of training: record 7\.") as caught:
        make_classifier(early_stopping=False).fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]


def test_blank_records_are_not_learned_from(make_classifier, make_beats):
    X, y, groups = make_beats(prevalence=0.3)
    blank = np.insert(X, [0, 9, 40], 0, axis=0), np.insert(y, [0, 9, 40], [1, 0, 1]), np.insert(groups, [0, 9, 40], 99)
    plain = make_classifier().fit(X, y, groups=groups)
    with pytest.warns(UserWarning, match=r"3 of 43 records are zero.*record 0, 10, 42\."):
        among = make_classifier().fit(*blank[:2], groups=blank[2])
    np.testing.assert_array_equal(among.predict_proba(X), plain.predict_proba(X))
    np.testing.assert_array_equal(among.class_prior_, plain.class_prior_)


@pytest.mark.parametrize(("width", "channels_last"), [(4, False), (16, True)])
def test_networks_too_narrow_for_channels_last_are_spared_it(make_classifier, make_beats, width, channels_last):
    # The harm itself, a damaged memory, shows too rarely to be tested.
    X, y, _ = make_beats()
    classifier = make_classifier(width=width, max_epochs=1).fit(X, y)
    weight = classifier.net_.module_.stages[0].conv1[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last) is channels_last


def test_records_in_a_memory_map_stay_there(make_classifier, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "beats.npy"
    X = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(3000, 12, 100))
    X[:] = rng.normal(size=X.shape)
    y, size = np.arange(3000) % 2, X.nbytes
    expected = make_classifier(max_epochs=1, width=4, batch_size=200).fit(np.array(X), y).predict_proba(X[:5])
    del X
    mapped = np.load(path, mmap_mode="r")
    tracemalloc.start()
    try:
        fitted = make_classifier(max_epochs=1, width=4, batch_size=200).fit(mapped, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.3 * size
    np.testing.assert_array_equal(fitted.predict_proba(mapped[:5]), expected)
