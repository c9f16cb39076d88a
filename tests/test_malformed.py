"""Malformed records through every transformer: no error but ValueError, nothing infinite, none that costs others."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import EFFORT, malformed_records

from omi_estimators import ECGFilter, LeadScaler, MedianBeat, NeuroKitFeatures
from omi_estimators.preprocessing import UnusableRecordWarning

TRANSFORMERS = {
    "filter": lambda rate: ECGFilter(sampling_rate=rate),
    "beat": lambda rate: MedianBeat(sampling_rate=rate),
    "scale": lambda rate: LeadScaler(),
    "features": lambda rate: NeuroKitFeatures(sampling_rate=rate),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
@settings(max_examples=60 * EFFORT, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=malformed_records())
def test_nothing_but_value_errors_and_nothing_infinite(name, drawn):
    X, sampling_rate = drawn
    before = X.copy()
    with warnings.catch_warnings():
        # Any other warning (overflow, invalid value) would be an error here, as everywhere in the tests.
        warnings.simplefilter("ignore", UnusableRecordWarning)
        try:
            result = TRANSFORMERS[name](sampling_rate).fit_transform(X)
        except ValueError:
            return
    assert not np.isinf(result).any()
    assert len(result) == len(X)
    if name == "beat":
        assert np.isfinite(result).all()
    np.testing.assert_array_equal(X, before)


@settings(max_examples=25 * EFFORT, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=malformed_records(n_records=3))
def test_a_record_is_measured_alike_alone_and_among_others(drawn):
    X, sampling_rate = drawn
    features = NeuroKitFeatures(sampling_rate=sampling_rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusableRecordWarning)
        try:
            together = features.fit_transform(X)
            alone = np.vstack([features.fit_transform(X[[record]]) for record in range(len(X))])
        except ValueError:
            # Nothing but NaN in the whole of X, or in one record by itself.
            return
    np.testing.assert_array_equal(together, alone)
