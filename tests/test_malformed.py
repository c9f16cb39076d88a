"""Malformed input everywhere: only documented errors, nothing infinite, no wait, none that costs others."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from malformed import LONGEST, TARGETS, Target, try_input
from strategies import NOT_RECORDS, malformed_records

from omi_estimators import NeuroKitFeatures
from omi_estimators.preprocessing import BeatShapeWarning, UnusableRecordWarning

SETTINGS = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.mark.parametrize("name", TARGETS)
def test_malformed_input_gives_a_documented_error_or_a_good_result(name):
    @settings(max_examples=max(20, TARGETS[name].share // 3), **SETTINGS)
    @given(drawn=TARGETS[name].inputs)
    def tries(drawn):
        try_input(name, drawn)

    tries()


def test_an_input_that_hangs_or_breaks_is_noticed(monkeypatch):
    def break_down(drawn):
        raise KeyError(drawn)

    for act, kind in (
        (time.sleep, TimeoutError),
        (break_down, KeyError),
        (lambda drawn: np.log(-drawn), RuntimeWarning),
    ):
        monkeypatch.setitem(TARGETS, "one", Target(None, act, 1))
        monkeypatch.setattr("malformed.LONGEST", LONGEST / 100)
        with pytest.raises(kind):
            try_input("one", 30)


@pytest.mark.parametrize(
    "kind", ["infinite", "too large", "the largest", "objects without meaning", "four axes", "text"]
)
@pytest.mark.parametrize(
    "name", ["predict_proba of the net", *(name for name in TARGETS if name.startswith("transform"))]
)
def test_what_is_no_ecg_is_a_value_error(name, kind):
    shape = (40, 2, 40) if "net" in name else (2, 12, 400)
    rng = np.random.default_rng(0)
    assert try_input(name, NOT_RECORDS[kind](rng.normal(size=shape), rng)) == "ValueError"


@settings(max_examples=25, **SETTINGS)
@given(drawn=malformed_records(n_records=3))
def test_a_record_is_measured_alike_alone_and_among_others(drawn):
    X, sampling_rate = drawn
    features = NeuroKitFeatures(sampling_rate=sampling_rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusableRecordWarning)
        warnings.simplefilter("ignore", BeatShapeWarning)
        try:
            together = features.fit_transform(X)
            alone = np.vstack([features.fit_transform(X[[record]]) for record in range(len(X))])
        except ValueError:
            # Nothing but NaN in the whole of X, or in one record by itself.
            return
    np.testing.assert_array_equal(together, alone)
