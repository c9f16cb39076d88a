"""What a notebook shows: records on paper, results, thresholds."""

from __future__ import annotations

import re
from datetime import datetime
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

from omi_estimators import compare_estimators, validate_model
from omi_estimators.leads import LEADS
from omi_estimators.metrics import tier_thresholds
from omi_estimators.readers import ECGRecord

_HOSTILE = '<script>alert("x")</script>\x1b[2J\u202e\n&amp;'


def parse(shown: str) -> ElementTree.Element:
    """Return the elements of what is shown, having looked for what nothing may show."""
    assert not re.search(r"<script|javascript|url\(|href|src=|\son\w+=", shown)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    return ElementTree.fromstring(shown)


def read_table(shown: ElementTree.Element) -> list[list[str]]:
    return [["".join(cell.itertext()) for cell in row] for row in shown.iter("tr")]


def read_paths(shown: ElementTree.Element) -> list[list[tuple[float, float]]]:
    """Return the lines drawn in ink, point by point."""
    [ink] = [path for path in shown.iter("path") if path.get("stroke") == "#000000"]
    lines = [line for line in ink.get("d").split("M")[1:] if "v" not in line]
    return [[tuple(map(float, point.split())) for point in line.split("L")] for line in lines]


def test_a_record_is_on_paper(make_ecg):
    signal = make_ecg(1)[0]
    [svg] = parse(ECGRecord(signal, 500, "made")._repr_html_()).iter("svg")
    assert [text.text for text in svg.iter("text")][:-1] == [
        *("I", "aVR", "V1", "V4", "II", "aVL", "V2", "V5", "III", "aVF", "V3", "V6", "II")
    ]
    assert svg.find("path[@stroke='#000000']").get("d").count("v6") == 9
    lines = read_paths(svg)
    # Pulses and strips of four rows, the last of one strip.
    assert len(lines) == 4 + 13
    pulse = np.array(lines[0])
    assert np.ptp(pulse, axis=0) == pytest.approx([7, 10])
    rhythm, lead = np.array(lines[-1]), signal[LEADS.index("II")]
    length = signal.shape[1] / 500
    assert np.ptp(rhythm[:, 0]) == pytest.approx(25 * length, abs=0.3)
    assert np.ptp(rhythm[:, 1]) == pytest.approx(10 * np.ptp(lead), abs=0.02)
    # Its highest point is where the record's is.
    at = rhythm[rhythm[:, 1].argmin(), 0] - rhythm[0, 0]
    assert at == pytest.approx(25 * lead.argmax() / 500, abs=0.3)


def test_what_the_file_says_is_cleaned_and_whose_it_is_stays_away():
    signal = np.full((12, 5000), np.nan)
    signal[1, 1000:2000] = 0.1
    record = ECGRecord(
        signal,
        500,
        _HOSTILE,
        age=61.0,
        sex=_HOSTILE,
        patient_id="Jane Doe",
        recording_time=datetime(2026, 1, 2, 3, 4),
        measurements={"qrs": 98.0},
        statements=(_HOSTILE, "Sinus rhythm"),
        missing_leads=("V1",),
        notes=(_HOSTILE,),
    )
    shown = record._repr_html_()
    found = dict(read_table(parse(shown)))
    assert "Jane" not in shown
    assert found["age"] == "61"
    assert found["time"] == "2026-01-02 03:04:00"
    assert found["the device measured"] == "qrs 98"
    assert found["the device, or a reader, says"].endswith("; Sinus rhythm")
    assert found["notes"] == '<script>alert("x")</script>\\x1b[2J\\u202e &amp;'
    assert "derived leads" not in found
    assert "V1 (missing)" in shown


@pytest.mark.parametrize("n_samples", [0, 1, 3, 120_000])
def test_records_of_any_length(n_samples):
    shown = ECGRecord(np.zeros((12, n_samples)), 500, "made")._repr_html_()
    assert len(shown) < 100_000
    assert "<table>" in shown
    assert ("<svg" in shown) == (n_samples > 0)


@pytest.mark.filterwarnings("ignore::omi_estimators.metrics.FewEventsWarning")
def test_results_begin_with_their_verdict():
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 60)
    X = rng.normal(size=(120, 2)) + y[:, np.newaxis]
    estimators = {"regression <b>": LogisticRegression(), "prior": DummyClassifier()}
    compared = compare_estimators(estimators, X, y, verbose=0, n_resamples=20, random_state=0)
    model = LogisticRegression().fit(X[:60], y[:60])
    validated = validate_model(model, X[60:], y[60:], target_names=("no OMI", "OMI"), n_resamples=20, random_state=0)
    for result in (compared, validated):
        shown = parse(result._repr_html_())
        assert "".join(shown.find("p").itertext()) == result.verdict.headline
        told = ["".join(item.itertext()) for item in shown.iter("li")]
        assert told == [*result.verdict.findings, *result.verdict.next_steps]
        header, *rows = read_table(shown)
        table = result.summary()
        assert header == ["", *table.columns]
        assert rows == [[name, *cells] for name, *cells in table.itertuples()]


def test_thresholds_are_a_table():
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 100)
    found = tier_thresholds(y, 0.3 * y + 0.7 * rng.random(200), n_resamples=50, random_state=0)
    header, *rows = read_table(parse(found._repr_html_()))
    assert header == ["", "probability", "95% interval"]
    assert [row[0] for row in rows] == ["rule-out below", "high from", "rule-in from"]
    assert rows[0][1:] == [f"{found.rule_out.estimate:.3f}", f"{found.rule_out.low:.3f} to {found.rule_out.high:.3f}"]
