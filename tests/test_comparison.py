"""Comparisons: folds without leaks, figures that add up, errors before any fit, and a report."""

from __future__ import annotations

import errno
import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.special import ndtr, ndtri
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from omi_estimators import compare_estimators, make_net_pipeline
from omi_estimators.evaluation._compare import seed_estimator
from omi_estimators.fusion import FusionClassifier
from omi_estimators.metrics import (
    METRICS,
    bootstrap_difference,
    bootstrap_interval,
    threshold_at_sensitivity,
    tier_thresholds,
)
from omi_estimators.splits import make_splits

QUICK = {"n_resamples": 100, "random_state": 0, "verbose": 0}


class Spy(ClassifierMixin, BaseEstimator):
    """A classifier that asks for groups, knows the mean of X, and remembers what it was given."""

    __metadata_request__fit = {"groups": True}  # noqa: RUF012
    seen: list = []  # noqa: RUF012

    def __init__(self, fail_at=None, offset=0.0):
        self.fail_at = fail_at
        self.offset = offset

    def fit(self, X, y, groups=None):
        self.seen.append((X, y, groups))
        if len(self.seen) == self.fail_at:
            raise RuntimeError("the power went off")
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        prob = 1 / (1 + np.exp(-np.asarray(X, dtype=float).reshape(len(X), -1).mean(axis=1))) + self.offset
        return np.column_stack([1 - prob, prob])


class Secret:
    """A function that cannot be pickled."""

    def __call__(self, X):
        return X

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise TypeError("nobody may know")


@pytest.fixture(autouse=True)
def forget():
    Spy.seen.clear()


@pytest.fixture
def data():
    """Return X (120, 2, 5), y, groups: 60 patients with two records each, a third of them positive."""
    rng = np.random.default_rng(0)
    groups = np.arange(120) // 2
    y = (groups % 3 == 0).astype(int)
    return (rng.normal(size=(120, 2, 5)) + y[:, np.newaxis, np.newaxis] / 2).astype(np.float32), y, groups


@pytest.fixture
def flat(data):
    X, y, groups = data
    return X.reshape(120, -1), y, groups


@pytest.fixture
def result(flat):
    X, y, groups = flat
    estimators = {"regression": LogisticRegression(), "spy": Spy(), "prior": DummyClassifier()}
    return compare_estimators(
        estimators, X, y, groups=groups, target_names=("normal", "MI"), **(QUICK | {"n_resamples": 2000})
    )


def test_splits_keep_patients_together(data):
    X, y, groups = data
    splits = make_splits(X, y, groups=groups, cv=4, random_state=0)
    assert len(splits) == 4
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in splits])), np.arange(120))
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
        assert 0 < y[test].mean() < 1
    for again, split in zip(make_splits(X, y, groups=groups, cv=4, random_state=0), splits, strict=True):
        np.testing.assert_array_equal(again[1], split[1])


def test_without_groups_records_are_stratified(data):
    X, y, _ = data
    for _, test in make_splits(X, y, cv=5, random_state=0):
        assert y[test].sum() == 8


def test_table_is_what_the_metrics_say(result, flat):
    _, y, groups = flat
    prob = result.probabilities["regression"].to_numpy()
    row = result.table.loc["regression"]
    for metric in METRICS:
        alone = bootstrap_interval(y, prob, metric, groups=groups, folds=result.fold, n_resamples=2000, random_state=1)
        assert row[metric] == pytest.approx(alone.estimate, abs=1e-12)
        # Two bootstraps of one figure; slopes and intercepts are far wider than areas.
        close = {"abs": 0.06 if metric.startswith("calibration_") else 0.02, "rel": 0.05}
        assert (row[f"{metric}_low"], row[f"{metric}_high"]) == pytest.approx((alone.low, alone.high), **close)
        against = bootstrap_difference(
            y, result.probabilities["spy"], prob, metric, groups=groups, folds=result.fold, random_state=1
        )
        spy = result.table.loc["spy"]
        assert spy[f"{metric}_difference"] == pytest.approx(against.estimate, abs=1e-12)
        ends = spy[f"{metric}_difference_low"], spy[f"{metric}_difference_high"]
        assert ends == pytest.approx((against.low, against.high), **close)
    assert result.table.filter(like="difference").loc["regression"].isna().all()


def test_a_constant_prediction_is_chance(result):
    prior = result.table.loc["prior"]
    assert (prior["roc_auc"], prior["roc_auc_low"], prior["roc_auc_high"]) == (0.5, 0.5, 0.5)


def test_probabilities_are_out_of_fold(flat):
    X, y, groups = flat
    splits = make_splits(X, y, groups=groups, random_state=0)
    result = compare_estimators({"regression": LogisticRegression()}, X, y, groups=groups, **QUICK)
    for number, (train, test) in enumerate(splits):
        expected = LogisticRegression().fit(X[train], y[train]).predict_proba(X[test])[:, 1]
        np.testing.assert_allclose(result.probabilities["regression"][test], expected)
        row = result.folds.iloc[number]
        assert row["roc_auc"] == pytest.approx(roc_auc_score(y[test], expected))
        assert row["average_precision"] == pytest.approx(average_precision_score(y[test], expected))
        assert (row["n_train"], row["n_test"], row["n_events"]) == (len(train), len(test), y[test].sum())
    assert (result.folds[["fit_time", "predict_time"]] > 0).all(axis=None)


def test_groups_reach_those_that_ask(data):
    X, y, groups = data
    estimators = {
        "spy": Spy(),
        "in a pipeline": make_pipeline("passthrough", Spy()),
        "in a search": GridSearchCV(Spy(), {"offset": [0.0]}, cv=StratifiedGroupKFold(2), scoring="roc_auc"),
        "prior": DummyClassifier(),
    }
    splits = make_splits(X, y, groups=groups, cv=2, random_state=0)
    compare_estimators(estimators, X, y, groups=groups, cv=2, **QUICK)
    assert not sklearn.get_config()["enable_metadata_routing"]
    # In each fold: spy, pipeline, two inner folds and the refit of the search.
    assert len(Spy.seen) == 2 * (1 + 1 + 3)
    for (train, _), (X_seen, _, patients) in zip(splits, (Spy.seen[0], Spy.seen[5]), strict=True):
        np.testing.assert_array_equal(patients, groups[train])
        np.testing.assert_array_equal(X_seen, X[train])
    for _, _, patients in Spy.seen:
        counts = np.unique(patients, return_counts=True)[1]
        assert (counts == 2).all()  # no patient is torn apart by the inner folds either


def test_without_groups_nothing_is_routed(data):
    X, y, _ = data
    compare_estimators({"spy": Spy()}, X, y, **QUICK)
    assert all(patients is None for _, _, patients in Spy.seen)


def test_records_may_be_a_memory_map(data, tmp_path):
    X, y, groups = data
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    result = compare_estimators({"spy": Spy()}, mapped, y, groups=groups, **QUICK)
    expected = compare_estimators({"spy": Spy()}, X, y, groups=groups, **QUICK)
    pd.testing.assert_frame_equal(result.probabilities, expected.probabilities)
    assert max(len(X_seen) for X_seen, _, _ in Spy.seen) < 120


def test_same_random_state_same_result(flat):
    X, y, groups = flat
    estimators = {"forest": make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=5))}
    first, second, other = (
        compare_estimators(estimators, X, y, groups=groups, **(QUICK | {"random_state": seed})) for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first.probabilities, second.probabilities)
    figures = first.table.drop(columns=["fit_time", "predict_time"])
    pd.testing.assert_frame_equal(figures, second.table[figures.columns])
    assert not first.probabilities.equals(other.probabilities)
    assert "random_state=" in first.estimators["forest"]
    assert estimators["forest"][-1].random_state is None


@pytest.mark.filterwarnings("ignore:'other' counts as the positive class")
def test_labels_may_be_words(flat):
    X, y, groups = flat
    words = np.where(y == 1, "OMI", "other")  # "OMI" sorts first: the second class is the positive one
    result = compare_estimators({"regression": LogisticRegression()}, X, words, groups=groups, **QUICK)
    assert result.target_names == ("OMI", "other")
    np.testing.assert_array_equal(result.y, 1 - y)
    assert result.table.loc["regression", "roc_auc"] > 0.7


def test_the_positive_class_can_be_named(flat):
    X, y, groups = flat
    words, estimators = np.where(y == 1, "OMI", "other"), {"regression": LogisticRegression()}
    with pytest.warns(UserWarning, match="'other' counts as the positive class, because it sorts after 'OMI'"):
        compare_estimators(estimators, X, words, groups=groups, **QUICK)
    given = QUICK | {"cv": make_splits(X, y, groups=groups, random_state=0)}
    named = compare_estimators(estimators, X, words, groups=groups, pos_label="OMI", **given)
    assert named.target_names == ("other", "OMI")
    np.testing.assert_array_equal(named.y, y)
    numbers = compare_estimators(estimators, X, y, groups=groups, **given)
    # Float32 regressions, fitted with the classes exchanged.
    np.testing.assert_allclose(named.probabilities, numbers.probabilities, atol=1e-6)
    with pytest.raises(ValueError, match="pos_label must be one of the classes, 'OMI' or 'other'; got 'MI'"):
        compare_estimators(estimators, X, words, groups=groups, pos_label="MI", **QUICK)


@pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning")
def test_records_that_are_only_trained_on(flat):
    X, y, groups = flat
    fold = np.where(groups < 40, -1, groups % 2)
    result = compare_estimators(
        {"regression": LogisticRegression()}, X, y, groups=groups, cv=PredefinedSplit(fold), **QUICK
    )
    np.testing.assert_array_equal(result.probabilities["regression"].isna(), fold < 0)
    assert result.counts == {"n_records": 40, "n_patients": 20, "n_events": int(y[80:].sum()), "n_folds": 2}
    assert result.table.notna().any(axis=None)


def test_a_failure_names_estimator_and_fold(data):
    X, y, groups = data
    with pytest.raises(RuntimeError, match="power") as failure:
        compare_estimators({"prior": DummyClassifier(), "spy": Spy(fail_at=3)}, X, y, groups=groups, **QUICK)
    assert failure.value.__notes__ == ["compare_estimators: 'spy' failed in fold 3 of 5."]


def test_scores_that_are_no_probabilities(data):
    X, y, groups = data
    with pytest.raises(ValueError, match=r"must hold probabilities") as failure:
        compare_estimators({"spy": Spy(offset=1.0)}, X, y, groups=groups, **QUICK)
    assert "'spy' failed in fold 1" in failure.value.__notes__[0]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"estimators": {}}, ValueError, "dictionary from name to estimator"),
        ({"estimators": [Spy()]}, ValueError, "dictionary from name to estimator"),
        ({"estimators": {1: Spy()}}, ValueError, "must be text"),
        ({"estimators": {"spy": Spy}}, TypeError, "'spy' must be an instance"),
        ({"estimators": {"svm": LinearSVC()}}, TypeError, "'svm' has no predict_proba"),
        ({"reference": "forest"}, ValueError, "one of the estimators, spy; got 'forest'"),
        ({"X": np.zeros((119, 2, 5))}, ValueError, "one label for each of the 119 records"),
        ({"X": 3}, ValueError, "X must be an array"),
        ({"y": np.zeros(120)}, ValueError, "two classes; got 1"),
        ({"y": np.arange(120) % 3}, ValueError, "two classes; got 3"),
        ({"y": np.where(np.arange(120), 1.0, np.nan)}, ValueError, "missing labels"),
        ({"groups": np.arange(60)}, ValueError, "one patient for each of the 120 records"),
        ({"groups": [None, *range(119)]}, ValueError, "missing patients"),
        ({"groups": np.arange(120) % 4}, ValueError, "5 folds need 5 patients at least; got 4"),
        ({"y": (np.arange(120) < 8).astype(int)}, ValueError, "only 4 patients have class 1"),
        ({"cv": 1}, ValueError, "at least 2 folds"),
        ({"cv": "five"}, ValueError, "cv"),
        ({"cv": []}, ValueError, "no fold"),
        ({"cv": StratifiedKFold(5, shuffle=True, random_state=0)}, ValueError, "patients in training and test"),
        ({"cv": [([0, 1, 2, 6], [0, 1, 2, 6])]}, ValueError, "4 records in training and test"),
        ({"cv": KFold(40), "groups": None}, ValueError, "Fold 2 has no record of class 1 in test"),
        ({"cv": ShuffleSplit(5, random_state=0), "groups": None}, ValueError, "each record may be tested once"),
        ({"target_names": ["MI"]}, ValueError, "target_names"),
        ({"n_resamples": 0}, ValueError, "n_resamples"),
        ({"confidence_level": 95}, ValueError, "confidence_level"),
        ({"repeats": 0}, ValueError, "repeats must be a whole number of at least 1; got 0"),
        ({"repeats": 2.0}, ValueError, "repeats must be a whole number of at least 1; got 2.0"),
        ({"repeats": 2, "cv": KFold(2)}, ValueError, "cv must be a number of folds, such as 5; got KFold"),
    ],
)
def test_bad_input_is_told_before_anything_is_fitted(data, changes, error, message):
    X, y, groups = data
    arguments = {"estimators": {"spy": Spy()}, "X": X, "y": y, "groups": groups} | QUICK | changes
    with pytest.raises(error, match=message):
        compare_estimators(**arguments)
    assert not Spy.seen


def test_progress_goes_to_stderr(data, notebook):
    X, y, groups = data
    compare_estimators({"spy": Spy()}, X, y, groups=groups, **(QUICK | {"verbose": 1}))
    out, err = notebook.readouterr()
    assert out == ""
    assert "fold 5 of 5: spy" in err
    assert "AUROC spy 0." in err
    compare_estimators({"spy": Spy()}, X, y, groups=groups, **QUICK)
    assert notebook.readouterr() == ("", "")


def test_summary_reads_as_in_a_paper(result):
    summary = result.summary()
    assert re.fullmatch(r"0\.\d{3} \[0\.\d{3}, [01]\.\d{3}\]", summary.loc["spy", "AUROC [95 % CI]"])
    assert summary.loc["regression", "AUROC minus regression"] == "(reference)"
    assert re.match(r"-0\.\d{3} \[-0\.", summary.loc["prior", "AUROC minus regression"])
    printed = str(result).splitlines()
    assert [line.split()[0] for line in printed[1:4]] == list(result.table.index)
    assert printed[-1].startswith("AUROC minus regression: ")


def test_the_verdict_says_what_is_not_certain_and_what_it_takes(flat):
    _, y, groups = flat
    rng = np.random.default_rng(3)
    first, second = (np.clip(0.35 + 0.2 * y + rng.normal(scale=s, size=120), 0.01, 0.99) for s in (0.2, 0.17))
    result = compare_two(flat, y, first, second)
    verdict = result.verdict
    assert (result.best, verdict.status) == ("second", "open")
    given = {"groups": groups, "folds": result.fold, "random_state": 0}
    found = bootstrap_difference(y, second, first, "roc_auc", **given)
    assert found.low < 0 < found.estimate
    words = r"beats 'first' is not certain: difference in AUROC (\S+) \[(\S+), (\S+)\]\."
    shown = [float(end) for end in re.search(words, verdict.headline).groups()]
    assert shown == pytest.approx([found.estimate, found.low, found.high], abs=0.01)
    assert any(text.startswith("Whether it is higher cannot be told for first (+0.") for text in verdict.findings)
    # With as many patients as it says, and the difference as found, four studies of five exclude 0.
    needed = int(re.search(r"about (\d+) patients like these \(here are 60\)", " ".join(verdict.next_steps))[1])
    z = ndtri(0.975)
    error = (shown[2] - shown[1]) / (2 * z) * np.sqrt(60 / needed)
    assert ndtr(shown[0] / error - z) == pytest.approx(0.8, abs=0.02)


def compare_two(flat, y, first, second):
    """Return a comparison of two estimators that say given probabilities."""
    _, _, groups = flat
    X = np.column_stack([first, second])
    models = {"first": make_pipeline(FunctionTransformer(_take_first), Say()), "second": Say()}
    return compare_estimators(models, X, y, groups=groups, **(QUICK | {"n_resamples": 2000}))


def _take_first(X):
    return X[:, :1]


class Say(ClassifierMixin, BaseEstimator):
    """A classifier that says what stands in the last column."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.column_stack([1 - X[:, -1], X[:, -1]])


@pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning")
def test_verdicts_of_other_kinds(flat):
    _, y, _ = flat
    rng = np.random.default_rng(0)
    noise = rng.uniform(0.1, 0.9, size=120)
    good = np.clip(0.2 + 0.5 * y + rng.normal(scale=0.1, size=120), 0.01, 0.99)
    sure = compare_two(flat, y, noise, good).verdict
    assert (sure.status, sure.headline.split(",")[0]) == ("good", "The model 'second' ranks best")
    assert any(text.startswith("Its AUROC is surely higher than that of first (+0.") for text in sure.findings)
    alike = compare_two(flat, y, good, good).verdict
    assert alike.status == "open"
    assert any("no study of a likely size would part them" in step for step in alike.next_steps)
    chance = compare_two(flat, y, noise, rng.uniform(0.1, 0.9, size=120)).verdict
    assert "better than chance" in chance.headline
    few = (np.arange(120) < 12).astype(int)
    told = compare_two(flat, few, noise, good).verdict
    assert told.headline.endswith("which model is best: there are only 6 patients with positive and 54 without.")


def test_thresholds_in_numbers(result):
    table = result.threshold_summary()
    assert list(table) == ["rule-out", "greatest F1", "rule-in"]
    found = tier_thresholds(result.y, result.probabilities[result.best], groups=result.groups, random_state=0)
    for name, threshold in (("rule-out", found.rule_out), ("greatest F1", found.max_f1)):
        assert table.loc["threshold [95 % CI]", name].startswith(f"{threshold.estimate:.3f} [{threshold.low:.3f}, ")
    called = result.tiers[result.best] != "rule-out"
    assert table.loc["sensitivity", "rule-out"].startswith(f"{called[result.y == 1].mean():.3f} [")
    assert table.loc["NPV", "rule-out"].startswith(f"{1 - result.y[~called].mean():.3f} [")
    assert table.loc["sensitivity", "greatest F1"].startswith(f"{result.decisions.loc['spy', 'sensitivity']:.3f} [")
    assert table.loc["records from it on", "rule-out"] == f"{called.mean():.1%}"


def test_texts_of_estimators_hold_nothing_of_this_run(flat, tmp_path):
    X, y, groups = flat
    model = make_pipeline(FunctionTransformer(_take_first), LogisticRegression(), memory=str(tmp_path))
    text = compare_estimators({"model": model}, X, y, groups=groups, **QUICK).estimators["model"]
    assert "<function _take_first>" in text
    assert str(tmp_path) not in text
    assert model.memory == str(tmp_path)


def test_a_report_is_written_whole_or_not_at_all(result, tmp_path, monkeypatch):
    page = result.write_report(tmp_path, title="The first")
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*args, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(result), "to_json", fail)
    with pytest.raises(OSError, match="No space left"):
        result.write_report(tmp_path, title="The second")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert "The first" in page.read_text(encoding="utf-8")


def test_csv_and_json(result, tmp_path):
    result.to_csv(tmp_path / "table.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv", index_col="estimator"), result.table)
    result.to_json(tmp_path / "result.json")
    content = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert content["n_patients"] == 60
    assert content["table"]["spy"]["roc_auc"] == pytest.approx(result.table.loc["spy", "roc_auc"])
    assert content["table"]["regression"]["roc_auc_difference"] is None
    assert len(content["folds"]) == 15


def test_report(result, tmp_path):
    page = result.write_report(tmp_path / "a" / "b", title="MI <1 day>", notes=["A & B"], n_skipped=3)
    text = page.read_text(encoding="utf-8")
    assert {path.name for path in page.parent.iterdir()} == {
        "index.html",
        "roc.png",
        "precision_recall.png",
        "reliability.png",
        "probabilities.png",
        "decision_curve.png",
        "tiers.png",
        "table.csv",
        "folds.csv",
        "result.json",
        "tripod_ai.csv",
        "tripod_ai.md",
    }
    for part in (
        "MI &lt;1 day&gt;",
        "A &amp; B",
        "not a medical device",
        "120 records of 60 patients; 40 are MI, 80 normal.",
        "Damaged records skipped: 3.",
        result.summary().loc["spy", "Brier [95 % CI]"],
    ):
        assert part in text
    # Self-contained: pictures are inside, and nothing is fetched.
    assert text.count('src="data:image/png;base64,') == 6
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    result.write_report(tmp_path / "a" / "b")


def test_pictures_name_what_they_show(result):
    pictures = {
        name: getattr(result, f"plot_{name}")()
        for name in ("roc", "precision_recall", "reliability", "decision_curve", "probabilities", "tiers")
    }
    for name, figure in pictures.items():
        caption = " ".join(figure.get_supxlabel().split())
        assert "120 records of 60 patients, 40 with MI" in caption
        assert len(figure.axes) == (1 if name in ("roc", "precision_recall", "decision_curve") else 3)
        assert all(axes.get_xlabel() for axes in figure.axes)
        assert figure.axes[0].get_ylabel()
    for name, metric in (("roc", "roc_auc"), ("precision_recall", "average_precision")):
        legend = [text.get_text() for text in pictures[name].axes[0].get_legend().get_texts()]
        assert legend[0].startswith(f"regression: {result.table.loc['regression', metric]:.3f} [")
        assert [text.split(":")[0] for text in legend] == ["regression", "spy", "prior"]
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_tiers_come_from_other_folds(result):
    prob, fold = result.probabilities["regression"].to_numpy(), result.fold
    for number in range(5):
        here = fold == number
        cut = threshold_at_sensitivity(result.y[~here], prob[~here], 0.9)
        np.testing.assert_array_equal(result.tiers["regression"][here] == "rule-out", prob[here] < cut)
    called = result.tiers["regression"].isin(["high", "rule-in"])
    assert result.decisions.loc["regression", "sensitivity"] == pytest.approx(called[result.y == 1].mean())
    table = result.tier_tables.loc["regression"]
    assert table["n_records"].sum() == 120
    assert table["n_events"].sum() == 40


@pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning")
def test_one_fold_has_no_tiers(flat, tmp_path):
    X, y, groups = flat
    cv = PredefinedSplit(np.where(groups < 40, -1, 0))
    result = compare_estimators({"regression": LogisticRegression()}, X, y, groups=groups, cv=cv, **QUICK)
    assert result.tiers is None
    assert result.decision_summary() is None
    with pytest.raises(ValueError, match="two folds"):
        result.plot_tiers()
    page = result.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Risk tiers" not in page


def test_a_page_by_itself(result, tmp_path):
    page = result.to_html(tmp_path / "page.html", title="MI", notes=["Labels are MI"])
    text = page.read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert text.count('src="data:image/png;base64,') == 6
    assert result.calibration_summary().loc["spy", "slope [95 % CI]"] in text
    assert result.decision_summary().loc["spy", "PPV [95 % CI]"] in text
    # A constant prediction has no slope.
    assert result.calibration_summary().loc["prior", "slope [95 % CI]"] == "not defined"


@pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning")
def test_subgroups(flat, tmp_path):
    X, y, groups = flat
    rng = np.random.default_rng(0)
    sex = rng.choice(["female", "male"], size=60)[groups]
    age = np.where(groups == 7, np.nan, rng.integers(20, 90, size=60)[groups])
    result = compare_estimators(
        {"regression": LogisticRegression(), "prior": DummyClassifier()},
        X,
        y,
        groups=groups,
        subgroups={"sex": sex, "age": age},
        **QUICK,
    )
    table = result.subgroups
    assert list(dict.fromkeys(table["column"])) == ["sex", "age"]
    assert table["level"].unique().tolist()[:2] == ["female", "male"]
    bands = [level for level in table["level"].unique() if " to " in level]
    assert len(bands) == 4
    women = table[(table["level"] == "female") & (table["estimator"] == "regression")].iloc[0]
    here = sex == "female"
    expected = bootstrap_interval(
        y[here], result.probabilities["regression"][here], "roc_auc", groups=groups[here], folds=result.fold[here]
    )
    assert women["roc_auc"] == pytest.approx(expected.estimate)
    assert women["roc_auc_low"] == pytest.approx(expected.low, abs=0.06)
    assert (women["n_records"], women["n_events"]) == (here.sum(), y[here].sum())
    # Two records of one patient without an age, of one class: no figure.
    missing = table[table["level"] == "missing"].iloc[0]
    assert missing["n_records"] == 2
    assert np.isnan(missing["roc_auc"])
    page = result.write_report(tmp_path).read_text(encoding="utf-8")
    assert "age: missing" in page
    # Below ten events there is no interval.
    few = (table["n_events"] < 10) & table["roc_auc"].notna() & (table["estimator"] == "regression")
    assert 0 < few.sum() < 4
    for value, is_few in zip(table["roc_auc"], few, strict=True):
        assert not is_few or f"<td>{value:.3f} *</td>" in page
    assert "not defined" in page
    assert pd.read_csv(tmp_path / "subgroups.csv").shape == table.shape
    for bad, message in (([1], "must be a dictionary"), ({"sex": sex[1:]}, "one value for each of the 120 records")):
        with pytest.raises(ValueError, match=message):
            compare_estimators({"spy": Spy()}, X, y, groups=groups, subgroups=bad, **QUICK)


def test_an_interrupted_comparison_goes_on(data, tmp_path):
    X, y, groups = data
    given = {"groups": groups, "cache_dir": tmp_path} | QUICK
    with pytest.raises(RuntimeError, match="power"):
        compare_estimators({"spy": Spy(fail_at=4)}, X, y, **given)
    assert len(list(tmp_path.iterdir())) == 3
    expected = compare_estimators({"spy": Spy(fail_at=99)}, X, y, groups=groups, **QUICK)
    Spy.seen.clear()
    with pytest.raises(RuntimeError, match="power"):
        compare_estimators({"spy": Spy(fail_at=2)}, X, y, **given)  # other parameters: nothing is found
    Spy.seen.clear()
    result = compare_estimators({"prior": DummyClassifier(), "spy": Spy(fail_at=4)}, X, y, **given)
    assert len(Spy.seen) == 2
    pd.testing.assert_series_equal(result.probabilities["spy"], expected.probabilities["spy"])
    Spy.seen.clear()
    other = X + 1e-6
    compare_estimators({"spy": Spy(fail_at=9)}, other, y, **given)
    assert len(Spy.seen) == 5
    assert not list(tmp_path.glob("*.part"))


def test_a_damaged_fold_is_fitted_again(data, tmp_path):
    X, y, groups = data
    given = {"groups": groups, "cache_dir": tmp_path} | QUICK
    first = compare_estimators({"spy": Spy()}, X, y, **given)
    damaged = sorted(tmp_path.iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:100])
    Spy.seen.clear()
    with pytest.warns(UserWarning, match="is damaged"):
        again = compare_estimators({"spy": Spy()}, X, y, **given)
    assert len(Spy.seen) == 1
    pd.testing.assert_frame_equal(again.probabilities, first.probabilities)


def test_a_full_disk_does_not_end_a_comparison(data, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    X, y, groups = data
    expected = compare_estimators({"spy": Spy()}, X, y, groups=groups, **QUICK)
    monkeypatch.setattr("os.fsync", fail)
    with pytest.warns(UserWarning, match="cannot be written .*No space left.*would fit this fold again"):
        result = compare_estimators({"spy": Spy()}, X, y, groups=groups, cache_dir=tmp_path, **QUICK)
    pd.testing.assert_frame_equal(result.probabilities, expected.probabilities)
    assert not list(tmp_path.iterdir())


def test_a_cache_needs_a_seed_and_names(data, tmp_path):
    X, y, groups = data
    with pytest.raises(ValueError, match="cache_dir needs a random_state"):
        compare_estimators({"spy": Spy()}, X, y, groups=groups, cache_dir=tmp_path, **(QUICK | {"random_state": None}))
    estimators = {"spy": Spy(), "secret": make_pipeline(FunctionTransformer(Secret()), Spy())}
    with pytest.raises(ValueError, match=r"'secret' cannot be told apart from others on disk .*leave cache_dir out"):
        compare_estimators(estimators, X, y, groups=groups, cache_dir=tmp_path, **QUICK)
    assert not Spy.seen


def test_an_estimator_is_the_same_whatever_it_is_compared_with(flat):
    X, y, groups = flat
    forest = RandomForestClassifier(n_estimators=3)
    alone = compare_estimators({"forest": forest}, X, y, groups=groups, **QUICK)
    among = compare_estimators({"prior": DummyClassifier(), "forest": forest}, X, y, groups=groups, **QUICK)
    pd.testing.assert_series_equal(alone.probabilities["forest"], among.probabilities["forest"])


class FinalAnswers(ClassifierMixin, BaseEstimator):
    """Answers as the estimator inside."""

    def __init__(self, estimator, random_state=None):
        self.estimator = estimator
        self.random_state = random_state

    def fit(self, X, y):
        self.estimator_ = clone(self.estimator).fit(X, y)
        self.classes_ = self.estimator_.classes_
        return self

    def predict_proba(self, X):
        return self.estimator_.predict_proba(X)


def test_raw_and_calibrated_share_their_seeds(flat):
    X, y, groups = flat
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=5))
    estimators = {"forest": forest, "forest, calibrated": FusionClassifier([("forest", forest)])}
    seeded = {name: seed_estimator(estimator, 7) for name, estimator in estimators.items()}
    plain = seeded["forest"].fit(X, y)
    inner = seeded["forest, calibrated"].fit(X, y, groups=groups).estimators_[0]
    np.testing.assert_array_equal(plain.predict_proba(X), inner.predict_proba(X))
    result = compare_estimators({"raw": forest, "inside": FinalAnswers(forest)}, X, y, groups=groups, **QUICK)
    np.testing.assert_array_equal(result.probabilities["raw"], result.probabilities["inside"])


def test_seeds_differ_between_members_of_one_kind_and_between_kinds():
    forests = [("a", RandomForestClassifier()), ("b", RandomForestClassifier()), ("c", ExtraTreesClassifier())]
    voting = VotingClassifier([*forests, ("given", RandomForestClassifier(random_state=3))])
    params = seed_estimator(voting, 7).get_params()
    seeds = [params[f"{name}__random_state"] for name in ("a", "b", "c")]
    assert len(set(seeds)) == 3
    assert params["given__random_state"] == 3
    renamed = seed_estimator(VotingClassifier([(name.upper(), forest) for name, forest in forests]), 7).get_params()
    assert [renamed[f"{name}__random_state"] for name in ("A", "B", "C")] == seeds
    assert seed_estimator(voting, 8).get_params()["a__random_state"] != seeds[0]
    assert seed_estimator(voting, None).get_params()["a__random_state"] is None


def test_pictures_without_matplotlib(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install .matplotlib>="):
        result.plot_roc()


@pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning")
def test_the_net_gets_its_patients(make_ecg):
    X = make_ecg(n_records=20, duration=3).astype(np.float32)
    y, groups = np.arange(20) // 2 % 2, np.arange(20) // 2
    net = make_net_pipeline(500, width=2, n_members=1, blocks=(1,), max_epochs=1, n_threads=1)
    result = compare_estimators({"net": net, "prior": DummyClassifier()}, X, y, groups=groups, cv=2, **QUICK)
    assert result.probabilities.notna().all(axis=None)
