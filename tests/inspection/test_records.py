"""Pictures of records: true to scale, nothing over anything else, every lead where its name says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier

from omi_estimators import make_forest_pipeline, make_net_pipeline
from omi_estimators._paper import LAYOUTS, Strip, on_paper, place
from omi_estimators.features import delineate
from omi_estimators.inspection import BeatDisplay, ECGDisplay, FiducialDisplay
from omi_estimators.leads import LEADS
from omi_estimators.preprocessing import NoBeatError
from omi_estimators.readers import ECGRecord

matplotlib_figure = pytest.importorskip("matplotlib.figure")


@pytest.fixture
def ax():
    return matplotlib_figure.Figure().add_subplot()


def _long_lines(ax, n_points: int) -> list:
    return [line for line in ax.get_lines() if len(line.get_xdata()) == n_points]


def test_a_second_is_25_mm_and_a_millivolt_10_mm(ax):
    record = np.zeros((12, 5000))
    record[LEADS.index("II"), 2500:] = 2.0
    shown = ECGDisplay.from_record(record, 500, ax=ax)
    (rhythm,) = _long_lines(ax, 5000)
    x, y = rhythm.get_data()
    assert x[500] - x[0] == pytest.approx(25)
    assert np.ptp(y) == pytest.approx(20)
    assert shown.ax_.get_aspect() == 1


def test_speed_and_gain_are_drawn_and_written(ax):
    record = np.zeros((12, 5000))
    record[1, 2500:] = 2.0
    ECGDisplay.from_record(record, 500, paper_speed=50, gain=5, ax=ax)
    x, y = _long_lines(ax, 5000)[0].get_data()
    assert x[500] - x[0] == pytest.approx(50)
    assert np.ptp(y) == pytest.approx(10)
    assert any("50 mm/s    5 mm/mV    500 Hz" in text.get_text() for text in ax.texts)


def test_columns_follow_each_other_in_time(ax):
    record = np.arange(4000.0) / 4000 * np.ones((12, 1))
    ECGDisplay.from_record(record, 400, layout="3x4", ax=ax)
    pieces = _long_lines(ax, 1000)
    assert len(pieces) == 12
    heights = [np.ptp(line.get_ydata()) for line in pieces]
    assert heights == pytest.approx([2.5] * 12, rel=0.01)
    starts = sorted({round(line.get_xdata()[0], 3) for line in pieces})
    assert np.diff(starts) == pytest.approx([62.5] * 3)
    # Each piece is drawn about the median of the whole lead, so that later columns lie higher.
    first_row = sorted(pieces[:4], key=lambda line: line.get_xdata()[0])
    assert np.all(np.diff([line.get_ydata()[0] for line in first_row]) > 0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_names_its_leads(layout, ax, make_ecg):
    ECGDisplay.from_record(make_ecg(1)[0], 500, layout=layout, ax=ax)
    names = [text.get_text() for text in ax.texts]
    for row in LAYOUTS[layout]:
        for name in row:
            assert name in names


def test_minus_avr_is_avr_upside_down(ax, make_ecg):
    record = make_ecg(1)[0]
    ECGDisplay.from_record(record, 500, layout=[["aVR"], ["-aVR"]], ax=ax)
    upper, lower = (line.get_ydata() for line in _long_lines(ax, 5000))
    np.testing.assert_allclose(upper - np.median(upper), -(lower - np.median(lower)), atol=1e-9)


def test_missing_leads_are_said_and_gaps_stay_gaps(ax, make_ecg):
    record = make_ecg(1)[0]
    record[6] = np.nan
    record[7, 1000:1100] = np.nan
    ECGDisplay.from_record(record, 500, layout="12x1", ax=ax)
    assert "V1 (missing)" in [text.get_text() for text in ax.texts]
    v2 = _long_lines(ax, 5000)[7].get_ydata()
    assert np.isnan(v2).sum() == 100


def test_other_leads_have_rows_of_their_own(ax):
    shown = ECGDisplay.from_record(np.zeros((3, 900)), 300, leads=["X", "Y", "Z"], ax=ax)
    assert [text.get_text() for text in ax.texts][:3] == ["X", "Y", "Z"]
    assert ECGDisplay.from_record(np.zeros(900), 300, ax=ax).leads == ("lead 1",)
    assert shown.leads == ("X", "Y", "Z")


def test_a_record_brings_its_sampling_rate(ax):
    record = ECGRecord(np.zeros((12, 2500)), 250, "test")
    assert ECGDisplay.from_record(record, ax=ax).sampling_rate == 250
    with pytest.raises(ValueError, match="says 250 Hz, but sampling_rate=500"):
        ECGDisplay.from_record(record, 500, ax=ax)


def test_the_title_says_what_a_classifier_makes_of_it(ax, make_ecg):
    X = make_ecg(4)
    classifier = DummyClassifier(strategy="prior").fit(X.reshape(4, -1), ["MI", "none", "none", "none"])
    classifier.predict_proba = lambda X: np.tile([[0.25, 0.75]], (len(X), 1))
    ECGDisplay.from_estimator(classifier, X[0], 500, title="Patient 7", ax=ax)
    assert ax.get_title(loc="left") == "Patient 7   P(none) = 0.75"
    classifier.classes_ = np.array([0, 1])
    ECGDisplay.from_estimator(classifier, X[0], 500, ax=ax)
    assert ax.get_title(loc="left") == "P(positive) = 0.75"
    ECGDisplay.from_estimator(classifier, X[0], 500, target_names=["no OMI", "OMI"], ax=ax)
    assert ax.get_title(loc="left") == "P(OMI) = 0.75"
    with pytest.raises(ValueError, match="target_names must name"):
        ECGDisplay.from_estimator(classifier, X[0], 500, target_names=["OMI"], ax=ax)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"layout": "4x4"}, "layout must be one of"),
        ({"layout": [["V9"]]}, "the record lacks: .'V9'."),
        ({"start": 10}, "leave nothing of a record of 10 s"),
        ({"start": -1}, "leave nothing"),
        ({"duration": 0}, "leave nothing"),
        ({"leads": ["I"]}, "leads has 1 names, but the record has 12"),
    ],
)
def test_errors_say_what_came_and_what_was_expected(kwargs, message, ax):
    with pytest.raises(ValueError, match=message):
        ECGDisplay.from_record(np.zeros((12, 5000)), 500, ax=ax, **kwargs)


def test_arrays_that_are_no_record_are_refused():
    with pytest.raises(ValueError, match=r"give one, X\[0\]"):
        ECGDisplay(np.zeros((2, 12, 100)), 500)
    with pytest.raises(ValueError, match="needs its sampling_rate in Hz; got None"):
        ECGDisplay.from_record(np.zeros((12, 100)))
    with pytest.raises(ValueError, match="infinite"):
        ECGDisplay(np.full((1, 100), np.inf), 500)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(-9, 9), min_size=1, max_size=4), min_size=1, max_size=6), st.floats(1, 40))
def test_no_trace_reaches_into_another_row_or_off_the_paper(rows, gain):
    strips = [[Strip("x", on_paper([value, 0, -value / 2], gain), 20.0) for value in row] for row in rows]
    placed, size = place(strips, gap=3)
    floor = size[1]
    for row in placed:
        for strip in row:
            assert np.all(strip.y + strip.strip.traces <= strip.top)
            assert np.all(strip.y + strip.strip.traces >= strip.bottom)
            assert strip.top <= floor
            assert 0 <= strip.x <= strip.times[-1] <= size[0]
        floor = min(strip.bottom for strip in row)
    assert floor > 0


def test_beats_are_those_of_the_median_beat(ax, make_ecg):
    record = make_ecg(1)[0]
    # One beat of another kind: a wide complex.
    t = np.arange(5000) / 500
    record[:, :] += 3 * np.exp(-0.5 * ((t - 5.2) / 0.06) ** 2)
    shown = BeatDisplay.from_record(record, 500, ax=ax)
    assert 0 < shown.n_used_ < shown.n_beats_
    assert f"median of {shown.n_used_} of {shown.n_beats_} beats" in ax.get_title(loc="left")
    dashed = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
    assert len(dashed) == 12 * (shown.n_beats_ - shown.n_used_)


def test_the_window_of_a_pipeline_is_used(ax, make_ecg):
    pipeline = make_net_pipeline(sampling_rate=500).set_params(beat__before=0.2, beat__after=0.4)
    shown = BeatDisplay.from_estimator(pipeline, make_ecg(1)[0], ax=ax)
    assert (shown.before, shown.after, shown.sampling_rate) == (0.2, 0.4, 500)
    with pytest.raises(TypeError, match="No MedianBeat in DummyClassifier"):
        BeatDisplay.from_estimator(DummyClassifier(), make_ecg(1)[0], ax=ax)


def test_fiducials_are_those_of_the_features(ax, make_ecg):
    record = make_ecg(1)[0]
    shown = FiducialDisplay.from_estimator(make_forest_pipeline(sampling_rate=500), record, ax=ax)
    points = shown.points_
    assert isinstance(points, type(delineate(np.zeros((1, 10)) + np.arange(10), 500, r_index=5)))
    pr = 1000 * (points.qrs_onset - points.p_onset) / 500
    assert f"PR {pr:.0f} ms" in ax.get_title(loc="left")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["P", "QRS", "ST", "T"]


def test_a_record_without_a_beat_says_so(ax):
    for display in (BeatDisplay, FiducialDisplay):
        with pytest.raises(NoBeatError, match="flat or missing"):
            display.from_record(np.zeros((12, 5000)), 500, ax=ax)
