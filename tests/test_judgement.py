"""Records that cannot be judged, mixed with good ones, in every order, through every way to a probability."""

from __future__ import annotations

import itertools
import pickle
import warnings

import numpy as np
import pytest
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from omi_estimators import RiskTierClassifier, compare_estimators, make_forest_pipeline, make_fusion, make_net_pipeline
from omi_estimators.cli import main
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.persistence import load, save
from omi_estimators.preprocessing import BadLeadMasker, judge

NET = {"width": 4, "n_members": 1, "blocks": (1, 1), "max_epochs": 2, "n_threads": 1, "random_state": 0}
FOREST = {"n_estimators": 20, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::omi_estimators.preprocessing.UnusableRecordWarning")


@pytest.fixture(scope="module")
def ecgs():
    return make_omi_ecgs(n_patients=40, prevalence=0.4, duration=5, random_state=0)


@pytest.fixture(scope="module")
def bad(ecgs):
    """Return a flat record, noise, and what an amplifier gives without electrodes."""
    rng, shape = np.random.default_rng(0), ecgs.X.shape[1:]
    off = rng.normal(scale=16, size=shape).clip(-16, 16)
    return np.stack([np.zeros(shape), rng.normal(scale=0.05, size=shape), off]).astype(ecgs.X.dtype)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def models(ecgs, cache):
    """Return fitted models by name."""
    forest = make_forest_pipeline(ecgs.sampling_rate, memory=cache, **FOREST)
    net = make_net_pipeline(ecgs.sampling_rate, memory=cache, **NET)
    made = {
        "forest": forest,
        "net": net,
        "fusion": make_fusion(
            ecgs.sampling_rate, cv=2, memory=cache, net_params=NET, forest_params=FOREST, random_state=0
        ),
        "calibrated": CalibratedClassifierCV(forest, cv=2, ensemble=False),
        "voting": VotingClassifier([("net", net), ("forest", forest)], voting="soft"),
        "search": GridSearchCV(forest, {"forest__max_depth": [3]}, cv=2),
        "tiers": RiskTierClassifier(forest, cv=3, sensitivity=0.8, ppv=0.5, n_resamples=50, random_state=0),
        "plain": Pipeline(
            [("mask", BadLeadMasker(sampling_rate=ecgs.sampling_rate)), *sklearn.base.clone(forest).steps]
        ),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: sklearn.base.clone(model).fit(ecgs.X, ecgs.y) for name, model in made.items()}


NAMES = ("forest", "net", "fusion", "calibrated", "voting", "search", "tiers", "plain")


@pytest.mark.parametrize("name", NAMES)
def test_the_bad_are_known_and_the_good_do_not_move(models, ecgs, bad, name):
    model, good = models[name], ecgs.X[:3]
    alone = judge(model, good)
    assert alone.usable.mask.all()
    for order in itertools.islice(itertools.permutations(range(6)), 0, None, 97):
        order = np.array(order)
        prob, usable = judge(model, np.concatenate([good, bad])[order])
        np.testing.assert_array_equal(usable.mask, order < 3)
        assert (usable.reasons[order >= 3] != "").all()
        np.testing.assert_array_equal(prob[order < 3], alone.prob[order[order < 3]])


@pytest.mark.parametrize("name", ["forest", "net", "fusion", "tiers"])
def test_no_confident_probability(models, ecgs, bad, name):
    model = models[name]
    prior = getattr(model, "class_prior_", None)
    found = model.predict_proba(np.concatenate([ecgs.X[:1], bad]))
    np.testing.assert_array_equal(found[1:], np.tile(prior, (3, 1)))
    assert model.predict(bad).tolist() == [model.classes_[prior.argmax()]] * 3
    assert len(model.predict_proba(bad[:1])) == 1


def test_no_tier(models, ecgs, bad):
    tiers = models["tiers"].predict_tier(np.concatenate([bad, ecgs.X[:2]]))
    assert tiers[:3].tolist() == ["not judged"] * 3
    assert "not judged" not in tiers[3:]


def test_nan_where_asked_for(ecgs, bad, cache):
    for pipeline in (make_forest_pipeline(500, memory=cache, **FOREST), make_net_pipeline(500, memory=cache, **NET)):
        pipeline.set_params(unusable="nan").fit(ecgs.X, ecgs.y)
        found = pipeline.predict_proba(np.concatenate([bad, ecgs.X[:1]]))
        assert np.isnan(found[:3]).all()
        assert np.isfinite(found[3]).all()
        if hasattr(pipeline, "decision_function"):
            assert np.isnan(pipeline.decision_function(bad)).all()


@pytest.mark.parametrize("kind", ["forest", "net"])
def test_the_bad_are_not_learned_from(ecgs, bad, cache, kind):
    make = {"forest": make_forest_pipeline, "net": make_net_pipeline}[kind]
    pipeline = make(500, memory=cache, **(FOREST if kind == "forest" else NET))
    X, y = np.concatenate([bad, ecgs.X]), np.concatenate([[1, 1, 1], ecgs.y])
    with pytest.warns(UserWarning, match=r"left out of the fit: 0 \("):
        mixed = sklearn.base.clone(pipeline).fit(X, y)
    clean = sklearn.base.clone(pipeline).fit(ecgs.X, ecgs.y)
    assert mixed.n_unusable_ == 3
    np.testing.assert_array_equal(mixed.predict_proba(ecgs.X), clean.predict_proba(ecgs.X))
    np.testing.assert_array_equal(mixed.class_prior_, clean.class_prior_)
    np.testing.assert_array_equal(clean.class_prior_, np.bincount(ecgs.y) / len(ecgs.y))


def test_they_are_learned_from_where_asked_for(ecgs, bad, cache):
    X, y = np.concatenate([bad, ecgs.X]), np.concatenate([[1, 1, 1], ecgs.y])
    pipeline = make_forest_pipeline(500, memory=cache, **FOREST).set_params(train_on_unusable=True)
    assert pipeline.fit(X, y).n_unusable_ == 0
    np.testing.assert_array_equal(pipeline.class_prior_, np.bincount(y) / len(y))


def test_weights_and_patients_are_cut_too(ecgs, bad, cache):
    X, y = np.concatenate([ecgs.X, bad]), np.concatenate([ecgs.y, [0, 0, 0]])
    weight, groups = np.arange(1.0, len(y) + 1), np.concatenate([ecgs.groups, [900, 901, 902]])
    net = make_net_pipeline(500, memory=cache, **NET, early_stopping=True)
    found = sklearn.base.clone(net).fit(X, y, net__sample_weight=weight, net__groups=groups)
    expected = net.fit(ecgs.X, ecgs.y, net__sample_weight=weight[:-3], net__groups=ecgs.groups)
    np.testing.assert_array_equal(found.predict_proba(ecgs.X), expected.predict_proba(ecgs.X))
    np.testing.assert_allclose(found.class_prior_, expected["net"].class_prior_)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = sklearn.base.clone(net)
        routed["net"].set_fit_request(sample_weight=True)
        routed.fit(X, y, sample_weight=weight, groups=groups)
    np.testing.assert_array_equal(routed.predict_proba(ecgs.X), expected.predict_proba(ecgs.X))


def test_nothing_but_the_bad(bad, models):
    with pytest.raises(ValueError, match="None of the 3 records can be judged"):
        make_forest_pipeline(500, **FOREST).fit(bad, [0, 1, 0])
    assert not judge(models["forest"], bad).usable.mask.any()


@pytest.mark.parametrize("name", ["forest", "net", "tiers"])
def test_saved_and_pickled_models_answer_alike(models, ecgs, bad, tmp_path, name):
    X = np.concatenate([bad, ecgs.X[:2]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(models[name], tmp_path / "m.omi")
    for copy in (load(tmp_path / "m.omi"), pickle.loads(pickle.dumps(models[name]))):
        np.testing.assert_array_equal(copy.predict_proba(X), models[name].predict_proba(X))
        assert judge(copy, X).usable.mask.tolist() == [False] * 3 + [True] * 2


def test_a_comparison_leaves_them_out_and_the_rest_as_it_was(ecgs, bad, cache):
    forest = {"forest": make_forest_pipeline(500, memory=cache, **FOREST)}
    given = {"random_state": 0, "verbose": 0, "n_resamples": 20}
    n = len(ecgs.y)
    halves = np.arange(n) % 2
    splits = [(np.flatnonzero(halves != side), np.flatnonzero(halves == side)) for side in (0, 1)]
    clean = compare_estimators(forest, ecgs.X, ecgs.y, cv=splits, **given)
    # One of them in each side, one in both in turn.
    mixed = [(np.r_[splits[0][0], n], np.r_[n + 1, splits[0][1]]), (np.r_[n + 1, splits[1][0]], np.r_[splits[1][1], n])]
    X, y = np.concatenate([ecgs.X, bad[:2]]), np.concatenate([ecgs.y, [1, 0]])
    found = compare_estimators(forest, X, y, cv=mixed, **given)
    np.testing.assert_array_equal(found.probabilities[:n], clean.probabilities)
    assert found.table["roc_auc"].equals(clean.table["roc_auc"])
    assert found.tiers["forest"][n:].tolist() == ["not judged"] * 2
    assert found.counts["n_records"] == n
    assert (found.reasons[n:] != "").all()
    assert (found.reasons[:n] == "").all()


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_the_command_asks_once_and_says_why(models, ecgs, bad, tmp_path, capsys, order):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(models["tiers"], tmp_path / "m.omi")
        save(models["plain"], tmp_path / "plain.omi")
    records = [ecgs.X[0].copy(), bad[0], bad[2], ecgs.X[1].copy()]
    # A lead that is flat is no reason, whatever warns of it.
    records[0][8] = 0
    for number, record in enumerate(records):
        np.save(tmp_path / f"{number}.npy", record)
    files = [str(tmp_path / f"{number}.npy") for number in order]
    for name, model in (("m", models["tiers"]), ("plain", models["plain"])):
        assert main(["predict", str(tmp_path / f"{name}.omi"), *files, "--file-rate", "500", "--unit", "mV"]) == 1
        lines = capsys.readouterr().out.splitlines()
        for number, line in zip(order, lines, strict=True):
            if number in (1, 2):
                assert f"{number}.npy  not judged: " in line
            else:
                expected = model.predict_proba(records[number][np.newaxis])[0, 1]
                assert f"{number}.npy  P(positive) = {expected:.4f}" in line


@pytest.mark.parametrize("words", [("no", "OMI occlusion"), ("a longer word", "b")])
def test_labels_are_whole_words(ecgs, bad, cache, words):
    y = np.array(words)[ecgs.y]
    model = make_forest_pipeline(500, memory=cache, **FOREST).fit(ecgs.X, y)
    assert (
        model.predict(np.concatenate([ecgs.X, bad[:1]]))[:-1].tolist()
        == model["forest"].predict(model[:-1].transform(ecgs.X)).tolist()
    )
    assert model.predict(bad).tolist() == [words[0]] * 3


@pytest.mark.parametrize("ask", ["judge", "predict_proba", "predict", "score"])
def test_before_fit(ecgs, ask):
    given = (ecgs.X, ecgs.y) if ask == "score" else (ecgs.X,)
    with pytest.raises(NotFittedError):
        getattr(make_forest_pipeline(500), ask)(*given)
    if ask != "judge":
        with pytest.raises(NotFittedError):
            getattr(make_net_pipeline(500), ask)(*given)


def test_a_frozen_model_knows_too(models, bad):
    assert not judge(FrozenEstimator(models["forest"]), bad).usable.mask.any()


def test_other_classifiers_judge_everything():
    from sklearn.dummy import DummyClassifier

    judgement = judge(DummyClassifier().fit(np.zeros((4, 1)), [0, 0, 0, 1]), np.zeros((2, 1)))
    assert judgement.usable.mask.all()
    np.testing.assert_array_equal(judgement.prob, [[0.75, 0.25]] * 2)
