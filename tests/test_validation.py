"""Validation: figures as by hand, promises judged by a stated rule, and input that a page must not hide."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import binomtest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from omi_estimators import RiskTierClassifier, load, make_net_pipeline, save, validate_model
from omi_estimators.cli import main
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.evaluation import Section
from omi_estimators.metrics import share_by_patient
from omi_estimators.persistence import read_card
from omi_estimators.preprocessing import Judgement, Usable

QUICK = {"n_resamples": 100, "random_state": 0}
few = pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning")


class Known(ClassifierMixin, BaseEstimator):
    """A classifier whose probability is the first column; a record is not judged where the second is not 0."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return self.judge(X).prob

    def judge(self, X):
        X = np.asarray(X, dtype=float)
        prob = np.where(X[:, 1] == 0, X[:, 0], 0.5)
        reasons = np.where(X[:, 1] == 0, "", "every lead is flat").tolist()
        return Judgement(np.column_stack([1 - prob, prob]), Usable.from_reasons(reasons))


def draw(n_patients=400, seed=0, shift=-1.0, wrong_by=0.0, slope=1.0):
    """Return X, y, patients: true log-odds, and answers that are shifted and stretched from them."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_patients), 1 + rng.poisson(0.4, n_patients))
    log_odds = shift + 2 * rng.normal(size=n_patients)[groups] + 0.5 * rng.normal(size=len(groups))
    y = (rng.random(len(groups)) < expit(log_odds)).astype(int)
    return np.column_stack([expit(wrong_by + slope * log_odds), np.zeros(len(groups))]), y, groups


def read_rows(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


@pytest.fixture(scope="module")
def model():
    return Known().fit(None, [0, 1])


@pytest.fixture(scope="module")
def result(model):
    X, y, groups = draw()
    X[:7, 1] = 1
    rng = np.random.default_rng(0)
    return validate_model(
        model,
        X,
        y,
        groups,
        subgroups={"age": rng.integers(20, 90, len(y)), "device": np.where(np.arange(len(y)) < 16, "A & B", "C")},
        thresholds=(0.1, 0.3, 0.7),
        promises={"sensitivity": 0.9, "ppv": 0.75},
        target_names=("normal", "<OMI>"),
        trained_on={"records": 900, "saved": "2026-01-01"},
        unread={"reason": ["it is empty"] * 2, "label": [1, None], "name": ["a.xml", "b.xml"]},
        **QUICK,
    )


def test_figures_are_those_of_other_libraries(result):
    y, prob = result.y[7:], result.records["probability"].to_numpy()[7:]
    found = result.figures["estimate"]
    assert found["roc_auc"] == pytest.approx(roc_auc_score(y, prob))
    assert found["average_precision"] == pytest.approx(average_precision_score(y, prob))
    assert found["brier_score"] == pytest.approx(brier_score_loss(y, prob))
    assert found["observed_expected_ratio"] == pytest.approx(y.sum() / prob.sum())
    line = LogisticRegression(C=np.inf).fit(logit(prob)[:, np.newaxis], y)
    assert found["calibration_slope"] == pytest.approx(line.coef_[0, 0], abs=1e-3)
    assert y.sum() == pytest.approx(expit(logit(prob) + found["calibration_intercept"]).sum())
    assert (result.figures["low"] < found).all()
    assert (found < result.figures["high"]).all()
    for cut, row in result.net_benefits.iterrows():
        called, price = prob >= cut, cut / (1 - cut)
        expected = np.mean(called & (y == 1)) - price * np.mean(called & (y == 0))
        everybody = np.mean(y) - price * np.mean(y == 0)
        assert row["net_benefit"] == pytest.approx(expected)
        assert row["of_everybody"] == pytest.approx(everybody)
        assert row["over_everybody"] == pytest.approx(expected - everybody)
        assert row["over_everybody_low"] < row["over_everybody"] < row["over_everybody_high"]
    assert result.tiers["n_events"].sum() == y.sum()
    assert result.tiers.loc["rule-in", "n_records"] == (prob >= 0.7).sum()


def test_records_that_were_not_judged(result):
    assert result.counts["n_not_judged"] == 9
    table = result.not_judged
    assert table.loc["every lead is flat", ["n_records", "n_positive", "n_unknown"]].tolist() == [
        7,
        result.y[:7].sum(),
        0,
    ]
    assert table.loc["it is empty"].tolist() == [2, 1, 1]
    y, prob = result.y[7:], result.records["probability"].to_numpy()[7:]
    lost = [*result.y[:7], 1, 0]
    worst = result.scenarios["all judged wrongly, unknown ones negative"]
    best = result.scenarios["all judged rightly, unknown ones negative"]
    assert worst["roc_auc"] == pytest.approx(roc_auc_score([*y, *lost], [*prob, *(1 - np.array(lost))]))
    assert best["brier_score"] == pytest.approx(brier_score_loss([*y, *lost], [*prob, *lost]))
    found = result.scenarios["as found"]
    for figure in ("roc_auc", "average_precision", "sensitivity of rule-out", "PPV of rule-in", "brier_skill_score"):
        assert worst[figure] < found[figure] < best[figure]
    assert result.records["tier"].tolist()[:7] == ["not judged"] * 7


def test_bounds_by_patient():
    successes = np.arange(50) < 44
    one = share_by_patient(successes, confidence_level=0.95)
    for end, alternative in (("low", "greater"), ("high", "less")):
        exact = getattr(binomtest(44, 50, alternative=alternative).proportion_ci(0.95, "exact"), end)
        assert getattr(one, end) == pytest.approx(exact)
    # Records that agree say no more than one of them; a patient of many counts as one of few.
    twice = share_by_patient(np.repeat(successes, 3), np.repeat(np.arange(50), 3))
    assert (twice.estimate, twice.low, twice.high) == pytest.approx((one.estimate, one.low, one.high))
    uneven = share_by_patient([True] * 9 + [False], [0] * 9 + [1])
    assert uneven.estimate == 0.5
    assert (share_by_patient([True] * 5).high, share_by_patient([False] * 5).low) == (1, 0)
    nothing = share_by_patient([])
    assert np.isnan(nothing.estimate)
    assert (nothing.low, nothing.high) == (0, 1)


@pytest.mark.parametrize(("n_kept", "verdict"), [(0.99, "kept"), (0.91, "cannot be told with so few"), (0.8, "broken")])
def test_verdicts_go_by_the_bounds(model, n_kept, verdict):
    prob = np.r_[np.where(np.arange(200) < 200 * n_kept, 0.8, 0.05), np.full(300, 0.02), np.full(2, 0.9)]
    X, y = np.column_stack([prob, 0 * prob]), np.r_[np.ones(200), np.zeros(302)].astype(int)
    given = {"thresholds": (0.1, 0.5, 0.7), "promises": {"sensitivity": 0.9}}
    found = validate_model(model, X, y, **given, **QUICK).promises.loc["sensitivity of rule-out"]
    assert found["verdict"] == verdict
    assert found["found"] == pytest.approx(n_kept)
    assert found["n_patients"] == 200


def test_what_a_clinician_reads_first(model, result):
    good = validate_model(model, *draw(2000, seed=1), **QUICK)
    assert good.verdict.status == "good"
    assert good.verdict.headline.startswith("The model holds here")
    assert good.promises.empty
    too_high = validate_model(model, *draw(2000, seed=1, wrong_by=1.0), **QUICK).verdict
    assert too_high.status == "bad"
    assert any("too high" in text for text in too_high.findings)
    assert any("Recalibrate (the intercept)" in text for text in too_high.next_steps)
    extreme = validate_model(model, *draw(2000, seed=1, slope=2.0), **QUICK).verdict
    assert any("too extreme" in text for text in extreme.findings)
    assert any("Recalibrate (intercept and slope)" in text for text in extreme.next_steps)
    X, y, _ = draw(2000, seed=1)
    luck = validate_model(model, X, np.random.default_rng(0).permutation(y), **QUICK).verdict
    assert "Do not use the model here" in luck.headline
    harmful = validate_model(model, *draw(2000, seed=1, wrong_by=3.0), thresholds=(0.2, 0.5, 0.9), **QUICK).verdict
    assert any("treating nobody would be better" in text for text in harmful.findings)
    assert [text for text in str(result).splitlines() if text.startswith("AUROC")]


@few
def test_five_positives_tell_nothing(model):
    X, y, groups = draw(seed=3)
    kept = np.r_[np.flatnonzero(y == 1)[:5], np.flatnonzero(y == 0)]
    given = {"thresholds": (0.05, 0.3, 0.7), "promises": {"sensitivity": 0.9, "ppv": 0.85}}
    found = validate_model(model, X[kept], y[kept], groups[kept], **given, **QUICK)
    assert found.promises.loc["sensitivity of rule-out", "verdict"] == "cannot be told with so few"
    missed = validate_model(model, X[kept], y[kept], groups[kept], **(given | {"thresholds": (1.0, 1.0, 1.0)}), **QUICK)
    assert missed.promises.loc["sensitivity of rule-out", ["found", "verdict"]].tolist() == [
        0,
        "cannot be told with so few",
    ]
    assert missed.promises.loc["PPV of rule-in", "n_patients"] == 0
    assert found.method == "bca"
    assert validate_model(model, X[kept[4:]], y[kept[4:]], groups[kept[4:]], **QUICK).method == "percentile"
    assert found.verdict.status == "open"
    assert "there are only 5 patients (positive)" in found.verdict.headline


def test_a_cohort_of_which_half_cannot_be_read_says_so_first(model):
    X, y, groups = draw(1500, seed=1)
    X[::2, 1] = 1
    found = validate_model(model, X, y, groups, **QUICK)
    assert re.match(rf"Only {len(y) // 2} of {len(y)} records could be read", found.verdict.headline)
    assert found.verdict.status != "good"
    assert found.verdict.next_steps[0].startswith("Find out why")


def test_the_model_s_own_tiers(model):
    X, y, groups = draw(seed=5)
    scores = logit(X[:, :1])
    tiers = RiskTierClassifier(LogisticRegression(), ppv=0.75, random_state=0, n_resamples=20).fit(
        scores, y, groups=groups
    )
    X, y, groups = draw(seed=6)
    found = validate_model(tiers, logit(X[:, :1]), y, groups, **QUICK)
    assert found.promises["promised"].tolist() == [0.9, 0.75]
    assert found.records["tier"].tolist() == tiers.predict_tier(logit(X[:, :1])).tolist()
    assert found.tiers["share_at_fitting"].sum() == pytest.approx(1)
    assert found.cohorts.loc["records"].tolist() == [str(tiers.n_records_), str(len(y))]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": Known()}, NotFittedError, "Known is not fitted; fit it"),
        ({"model": Known}, TypeError, "fitted classifier with predict_proba"),
        ({"model": Known().fit(None, [0, 1, 2])}, TypeError, "two classes"),
        ({"y": np.zeros(50, dtype=int)}, ValueError, "two classes; got 1"),
        ({"y": np.arange(50) % 3}, ValueError, "y holds 2, but the model tells 0 from 1"),
        ({"groups": [None, *range(49)]}, ValueError, "missing patients, the first for record 0"),
        ({"groups": np.r_[np.nan, np.arange(49)]}, ValueError, "missing patients"),
        (
            {"training_groups": ["3", "x"]},
            ValueError,
            "1 patients of this cohort were trained on, the first of them '3'",
        ),
        ({"training_groups": [3], "groups": None}, ValueError, "give groups"),
        ({"thresholds": (0.5, 0.2, 0.9)}, ValueError, "three numbers that rise"),
        ({"promises": {"sensitivity": 0.9}}, ValueError, "give thresholds too"),
        ({"promises": {"npv": 0.9}, "thresholds": (0.1, 0.2, 0.3)}, ValueError, "'sensitivity' and 'ppv'"),
        ({"pos_label": "MI"}, ValueError, "pos_label must be the model's, 1"),
        ({"target_names": ["MI"]}, ValueError, "target_names must name"),
        ({"unread": {"why": ["x"]}}, ValueError, "column reason; it has why"),
        ({"unread": {"reason": ["x"], "label": [7]}}, ValueError, "unread has the label 7"),
        ({"subgroups": {"sex": [1]}}, ValueError, "one value for each of the 50"),
        ({"confidence_level": 95}, ValueError, "confidence_level"),
        ({"X": np.ones((50, 2))}, ValueError, "0 can be judged, .*the first other: every lead is flat"),
    ],
)
def test_bad_input(model, changes, error, message):
    given = {
        "model": model,
        "X": np.column_stack([np.linspace(0.1, 0.9, 50), np.zeros(50)]),
        "y": np.arange(50) % 2,
        "groups": np.arange(50),
    }
    with pytest.raises(error, match=message):
        validate_model(**(given | QUICK | changes))


def test_a_model_for_other_leads_or_another_rate(make_ecg):
    X, y = make_ecg(n_records=20, duration=3).astype(np.float32), np.arange(20) % 2
    net = make_net_pipeline(500, width=2, n_members=1, blocks=(1,), max_epochs=1, n_threads=1, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="8 leads"):
        validate_model(net, X[:, :8], y, **QUICK)
    with pytest.raises(ValueError, match="made for 500 Hz, but X has 250 Hz"):
        validate_model(net, X, y, sampling_rate=250, **QUICK)


class Profile:
    """Says of a cohort what it is told to."""

    def measure(self, X):
        return X

    def describe(self, X):
        return pd.DataFrame({"typicality": 0.5, "typical": np.arange(len(X)) > 0, "reasons": "hum of 60 Hz"})

    def find_drift(self, X, *, groups=None, age=None, sex=None, device=None):
        row = {
            "meaning": "more hum of 60 Hz",
            "training": 1.0,
            "here": float(np.mean(age)),
            "p_value": 0.01,
            "statistic": 0.9,
        }
        return pd.DataFrame([row | {"drifted": True}], index=["hum"])


def test_a_profile_is_shown(model, tmp_path):
    X, y, groups = draw(60)
    age = np.full(len(y), 70)
    found = validate_model(model, X, y, groups, subgroups={"age": age}, profile=Profile(), **QUICK)
    assert found.drift.loc["hum", "here"] == 70
    assert found.records["typicality_typical"].sum() == len(y) - 1
    page = found.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    sentence = (
        f"1 of {len(y)} records are unlike those that the model was trained on; the cohorts differ: more hum of 60"
    )
    assert sentence in page
    assert any(sentence in finding for finding in found.verdict.findings)


def test_report(result, tmp_path):
    page = result.write_report(tmp_path / "a", notes=["A & B"], sections=[Section("Added", ["Later"])])
    text = page.read_text(encoding="utf-8")
    names = {path.name for path in page.parent.iterdir()}
    pictures = {"reliability", "roc", "precision_recall", "probabilities", "decision_curve", "tiers"}
    tables = {f"{name}.csv" for name in ("table", "promises", "tiers", "subgroups", "gain", "records", "tripod_ai")}
    tables |= {"result.json", "index.html", "tripod_ai.md"}
    assert names == tables | {f"{name}.png" for name in pictures}
    # The verdict comes before everything but the title and the counts.
    assert text.index(result.verdict.headline) < text.index("<nav") < text.index("<table")
    for part in (
        "&lt;OMI&gt;",
        "A &amp; B",
        "device: A &amp; B",
        "not a medical device",
        "too few",
        "Added",
        "2026-01-01",
    ):
        assert part in text
    assert "<OMI>" not in text
    for figure in result.summary().iloc[:, 0]:
        assert figure in text
    for verdict in result.promises["verdict"]:
        assert f">{verdict}</td>" in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    anchors = re.findall(r'href="#(\w+)"', text)
    assert anchors == re.findall(r'<h2 id="(\w+)"', text)
    assert all("<OMI>" in result.plot(name).get_supxlabel() for name in pictures - {"decision_curve"})
    rows = read_rows(tmp_path / "a" / "records.csv")
    assert len(rows) == len(result.y) + 2
    assert (rows[-1]["record"], rows[-1]["reason"]) == ("b.xml", "it is empty")
    content = json.loads((tmp_path / "a" / "result.json").read_text(encoding="utf-8"))
    assert content["figures"]["roc_auc"]["estimate"] == pytest.approx(result.figures.loc["roc_auc", "estimate"])
    assert content["verdict"]["status"] == result.verdict.status
    assert "probability" not in json.dumps(content)
    with pytest.raises(ValueError, match="no picture 'pie'"):
        result.plot("pie")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """Return a folder of files, an empty one among them, a table of labels, and a model that was fitted on others."""
    folder = tmp_path_factory.mktemp("hospital")
    ecgs = make_omi_ecgs(n_patients=30, records_per_patient=1.4, prevalence=0.5, sampling_rate=250, random_state=0)
    net = make_net_pipeline(250, width=2, n_members=1, blocks=(1,), max_epochs=1, n_threads=1, random_state=0)
    # No cross-fitting: this is about files.
    facts = {"metrics": {"AUROC": 0.5}, "notes": "- Positive class: STEMI"}
    save(net.fit(ecgs.X, ecgs.y), folder / "net.omi", y=ecgs.y, groups=ecgs.groups, **facts)
    for i, record in enumerate(ecgs.X):
        np.save(folder / f"{i}.npy", record)
    (folder / "3.npy").write_bytes(b"")
    rows = [
        [f"{i}.npy", int(label), f"p{patient}", 40 + i, "" if i == 5 else "A"]
        for i, (label, patient) in enumerate(zip(ecgs.y, ecgs.groups, strict=True))
    ]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label", "patient", "age", "device"), *rows])
    return folder, len(rows)


def call(folder, out, *more):
    plain = ["--file-rate", "250", "--unit", "mV", "--resamples", "50"]
    files = ["--data", str(folder), "--labels", str(folder / "labels.csv"), "--out", str(out)]
    return main(["validate", str(folder / "net.omi"), *files, *plain, *more])


@few
def test_the_command_from_files_to_a_page(hospital, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("omi_estimators.persistence._save.version_differences", lambda saved: ["numpy 9 (here 8)"])
    folder, n_files = hospital
    assert call(folder, tmp_path / "out", "--subgroup", "age", "--subgroup", "device") == 1
    printed = capsys.readouterr().out
    assert "calibration slope" in printed
    assert str(tmp_path / "out" / "index.html") in printed
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    for part in (
        "Does net.omi hold here?",
        "was saved with numpy 9 (here 8)",
        "device: missing",
        "age: ",
        "3.npy: it is empty",
        "Not read or not judged: 1.",
        "ROC curve for STEMI against no STEMI",
    ):
        assert part in page
    content = json.loads((tmp_path / "out" / "result.json").read_text())
    assert content["n_records"] == n_files - 1
    assert content["cohorts"]["records"]["the model says"] == str(n_files)
    assert content["cohorts"]["AUROC"]["the model says"] == "0.5"
    rows = read_rows(tmp_path / "out" / "records.csv")
    assert {row["record"] for row in rows} == {f"{i}.npy" for i in range(n_files)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--subgroup", "ward"], "no column 'ward' for --subgroup"),
        (["--subgroup", "sex"], "no column 'sex' for --subgroup, and no file tells it"),
        (["--labels", "none.csv"], "none.csv"),
        (["--jobs", "0"], "--jobs"),
        (["--out", "taken/report"], "not a writable folder"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, hospital, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()
    assert call(hospital[0], tmp_path / "out", *arguments) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("omi-estimators: error: ")
    assert message in last
    assert not (tmp_path / "out").exists()


def test_no_positives_is_one_line(hospital, tmp_path, capsys):
    folder, _ = hospital
    table = pd.read_csv(folder / "labels.csv").assign(label=0)
    table.to_csv(tmp_path / "zero.csv", index=False)
    assert call(folder, tmp_path / "out", "--labels", str(tmp_path / "zero.csv")) == 2
    assert "no record with label 1" in capsys.readouterr().err


@few
def test_the_command_refuses_patients_who_were_trained_on(hospital, tmp_path, capsys):
    folder, _ = hospital
    model = load(folder / "net.omi")
    save(model, folder / "knows.omi", groups=["p0", "x"], remember_patients=True)
    arguments = ["--data", str(folder), "--labels", str(folder / "labels.csv"), "--out", str(tmp_path / "out")]
    assert main(["validate", str(folder / "knows.omi"), *arguments, "--file-rate", "250", "--unit", "mV"]) == 2
    assert "knows.omi was trained on 1 patients of this cohort, such as 'p0'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@few
def test_the_command_saves_a_recalibrated_model(hospital, tmp_path, capsys):
    folder, _ = hospital
    assert call(folder, tmp_path / "out", "--recalibrate", str(tmp_path / "new.omi")) == 1
    printed = capsys.readouterr()
    reason = load(tmp_path / "new.omi").history_[-1]["reason"]
    assert f"Recalibrated: {reason}." in printed.out
    card = read_card(tmp_path / "new.omi")
    assert reason in card
    assert "\n- Positive class: STEMI\n" in card
    assert call(folder, tmp_path / "out", "--recalibrate", str(folder / "net.omi")) == 2
    assert "--recalibrate must be a new file" in capsys.readouterr().err
