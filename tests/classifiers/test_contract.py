"""One contract for all classifiers: what scikit-learn asks on 2-D data, asked again on 3-D ECGs."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

from omi_estimators import classifiers
from omi_estimators.classifiers import PAPER_RECIPE, ECGSmartNetClassifier, shift_prior

NAMES = ["ECGSmartNetClassifier", "ResNet18Classifier", "TemporalResNet18Classifier"]
TINY = {"width": 4, "blocks": (1, 1), "n_members": 1, "max_epochs": 30, "lr": 1e-2, "n_threads": 1, "random_state": 0}


@pytest.fixture(params=NAMES)
def make_classifier(request):
    return lambda **params: getattr(classifiers, request.param)(**(TINY | params))


def test_every_classifier_is_held_to_the_contract():
    assert sorted(name for name in classifiers.__all__ if name.endswith("Classifier")) == NAMES


def _failures(classifier):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(classifier, on_skip=None, on_fail=None)
    return {result["check_name"]: result["exception"] for result in results if result["status"] == "failed"}


def test_scikit_learns_checks(make_classifier):
    assert _failures(make_classifier()) == {}


def test_scikit_learns_checks_of_the_published_recipe(make_classifier):
    assert _failures(make_classifier(**(PAPER_RECIPE | {"lr": 1e-2, "max_epochs": 30}))) == {}


@pytest.mark.slow
def test_scikit_learns_checks_of_members(make_classifier):
    assert _failures(make_classifier(n_members=3)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("width", [8, 16])
def test_scikit_learns_checks_at_the_defaults(width, n_members):
    assert _failures(ECGSmartNetClassifier(width=width, n_members=n_members, random_state=0)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_scikit_learns_checks_on_more_seeds(make_classifier, seed):
    assert _failures(make_classifier(random_state=seed)) == {}


def test_fit_predict_on_three_dimensions(make_classifier, make_beats):
    X, y, groups = make_beats(n_records=100)
    classifier = make_classifier().fit(X, y, groups=groups)
    probabilities = classifier.predict_proba(X)
    assert probabilities.shape == (len(X), 2)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert classifier.score(X, y) > 0.9
    assert classifier.n_features_in_ == classifier.n_leads_in_ == 3
    assert classifier.n_samples_in_ == 40
    assert classifier.net_.predict_proba(X[:, np.newaxis]).shape == (len(X), 2)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["NORM", "MI"]),
        np.array([False, True]),
        np.array([-1, 1]),
        np.array([0.0, 1.0]),
        np.array(["a", "b"], object),
    ],
    ids=["strings", "bools", "signs", "floats", "objects"],
)
def test_any_labels(make_classifier, make_beats, labels):
    X, y, _ = make_beats()
    classifier = make_classifier(max_epochs=2).fit(X, labels[y])
    assert set(classifier.predict(X)) <= set(labels.tolist())
    assert classifier.classes_.tolist() == sorted(labels.tolist())


def test_more_than_two_classes(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=60)
    y = y + (X[:, 0, 20] > np.median(X[:, 0, 20]))
    probabilities = make_classifier(max_epochs=2).fit(X, y).predict_proba(X)
    assert probabilities.shape == (60, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)


def test_any_container_gives_the_same(make_classifier, make_beats, tmp_path):
    X, y, _ = make_beats(n_records=20)
    X = np.round(X * 100)
    expected = make_classifier(max_epochs=2).fit(X, y).predict_proba(X)
    np.save(tmp_path / "X.npy", X)
    read_only = X.copy()
    read_only.flags.writeable = False
    for same in (
        X.astype(np.float64),
        X.astype(np.int16),
        X.tolist(),
        np.load(tmp_path / "X.npy", mmap_mode="r"),
        read_only,
        np.asfortranarray(X),
    ):
        np.testing.assert_array_equal(make_classifier(max_epochs=2).fit(same, y.tolist()).predict_proba(same), expected)


def test_two_dimensions_mean_one_lead(make_classifier, make_beats):
    X, y, _ = make_beats(n_leads=1)
    three = make_classifier(max_epochs=2).fit(X, y).predict_proba(X)
    two = make_classifier(max_epochs=2).fit(X[:, 0], y).predict_proba(X[:, 0])
    np.testing.assert_array_equal(two, three)


def test_same_seed_same_probabilities(make_classifier, make_beats):
    X, y, groups = make_beats()
    first, second = (make_classifier(max_epochs=3).fit(X, y, groups=groups).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other = make_classifier(max_epochs=3, random_state=1).fit(X, y, groups=groups).predict_proba(X)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("random_state", [0, None])
def test_global_random_state_is_left_as_found(make_classifier, make_beats, random_state):
    X, y, _ = make_beats(n_records=12)
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    make_classifier(max_epochs=2, dropout=0.5, random_state=random_state).fit(X, y).predict_proba(X)
    assert torch.equal(torch_state, torch.random.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


def test_refit_on_another_size_erases_the_first(make_classifier, make_beats):
    X, y, _ = make_beats()
    other, other_y, _ = make_beats(n_records=30, n_leads=2, n_samples=25, seed=1)
    refitted = make_classifier(max_epochs=2).fit(X, y).fit(other, other_y)
    fresh = make_classifier(max_epochs=2).fit(other, other_y)
    np.testing.assert_array_equal(refitted.predict_proba(other), fresh.predict_proba(other))


def test_a_record_is_judged_alone(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=50)
    classifier = make_classifier(max_epochs=2).fit(X, y)
    together = classifier.predict_proba(X)
    alone = np.concatenate([classifier.predict_proba(record[np.newaxis]) for record in X])
    np.testing.assert_allclose(alone, together, atol=1e-7, rtol=0)


def test_clone_and_pickle(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=20)
    classifier = make_classifier(max_epochs=2).fit(X, y)
    copy = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(copy.predict_proba(X), classifier.predict_proba(X))
    fresh = clone(classifier)
    assert fresh.get_params() == classifier.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(X)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X, y: (np.where(np.arange(40) == 3, np.nan, X), y), "NaN"),
        (lambda X, y: (np.where(np.arange(40) == 3, np.inf, X), y), "infinity"),
        (lambda X, y: (X, np.zeros_like(y)), "two classes"),
        (lambda X, y: (X[:1], y[:1]), "minimum of 2"),
        (lambda X, y: (np.zeros_like(X), y), "zero throughout"),
        (lambda X, y: (X[..., np.newaxis], y), "must have shape"),
        (lambda X, y: (X, y[:-1]), "inconsistent numbers of samples"),
        (lambda X, y: (X, y + 0.5), "Unknown label type"),
        (lambda X, y: (np.full(X.shape, "x"), y), "could not convert|dtype"),
    ],
    ids=["nan", "inf", "one class", "one record", "zeros", "4-D", "lengths", "regression", "text"],
)
def test_bad_input_is_an_error_before_training(make_classifier, make_beats, spoil, message):
    X, y = spoil(*make_beats()[:2])
    with pytest.raises(ValueError, match=message):
        make_classifier(max_epochs=100_000).fit(X, y)


@pytest.mark.parametrize(
    "params",
    [
        {"lr": -1},
        {"device": "abacus"},
        {"batch_size": 1},
        {"balance": "sometimes"},
        {"max_epochs": 0},
        {"validation_fraction": 1.0},
        {"optimizer": "guess"},
        {"kernel_size": 4},
    ],
    ids=str,
)
def test_bad_parameters_are_errors(make_classifier, make_beats, params):
    X, y, _ = make_beats()
    with pytest.raises(ValueError, match=next(iter(params))):
        make_classifier(**params).fit(X, y)


def test_other_leads_or_samples_at_prediction_are_errors(make_classifier, make_beats):
    X, y, _ = make_beats(n_records=12)
    classifier = make_classifier(max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match=r"2 features, but|2 leads"):
        classifier.predict(X[:, :2])
    with pytest.raises(ValueError, match="3 leads of 39 samples, but"):
        classifier.predict(X[..., :39])
    with pytest.raises(ValueError, match=r"a single record as X\[np.newaxis\]"):
        classifier.predict(X[0])


def test_decision_function_is_the_log_odds(make_classifier, make_beats):
    X, y, _ = make_beats(prevalence=0.25)
    classifier = make_classifier(max_epochs=2).fit(X, y)
    for corrects in (True, False):
        prob = classifier.set_params(correct_prior=corrects).predict_proba(X)
        np.testing.assert_allclose(classifier.decision_function(X), np.log(prob[:, 1] / prob[:, 0]), atol=1e-9)
    three = make_classifier(max_epochs=2).fit(X, np.arange(len(X)) % 3)
    np.testing.assert_allclose(three.decision_function(X), np.log(three.predict_proba(X)))


@pytest.mark.filterwarnings("ignore:mixed_precision=True computes in bfloat16")
def test_reduced_precision_is_asked_for_and_near(make_classifier, make_beats):
    X, y, _ = make_beats()
    classifier = make_classifier(max_epochs=2, width=16).fit(X, y)
    exact = classifier.predict_proba(X)
    reduced = classifier.set_params(mixed_precision=True).predict_proba(X)
    assert 0 < np.abs(reduced - exact).max() < 0.02
    np.testing.assert_array_equal(classifier.set_params(mixed_precision=False).predict_proba(X), exact)


@pytest.mark.parametrize(("capability", "warned"), [("AVX2", True), ("AVX512", False)])
def test_bfloat16_on_a_processor_without_it_is_warned_of(make_classifier, make_beats, monkeypatch, capability, warned):
    X, y, _ = make_beats(n_records=20)
    classifier = make_classifier(max_epochs=1).fit(X, y).set_params(mixed_precision=True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier.predict_proba(X)
    assert sum("bfloat16" in str(warning.message) for warning in caught) == warned


def test_a_record_too_large_for_a_probability_is_named(make_beats):
    X, y, _ = make_beats()
    classifier = ECGSmartNetClassifier(
        width=2, n_members=1, blocks=(1,), max_epochs=1, n_threads=1, random_state=0
    ).fit(X, y)
    X[5] = np.copysign(3e38, X[5])
    with pytest.raises(ValueError, match=r"no finite output for 1 of 40 records \(first: record 5\).*LeadScaler"):
        classifier.predict_proba(X)


@pytest.mark.parametrize("groups", [5, "patients", [[0], [1]]], ids=str)
def test_patients_of_another_shape_are_an_error(make_beats, groups):
    X, y, _ = make_beats()
    with pytest.raises(ValueError, match="groups must hold one patient for each of the 40 records; got"):
        ECGSmartNetClassifier().fit(X, y, groups=groups)


def test_a_class_next_to_absent_in_training_has_a_probability_too():
    log_proba = shift_prior(np.zeros((1, 2)), np.array([1.0, 1e-310]), np.array([0.5, 0.5]))
    assert np.isfinite(log_proba).all()
    assert log_proba[0, 0] == pytest.approx(np.log(1e-310), rel=1e-6)
