"""Records in a memory map are never copied whole."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from omi_estimators import ECGFilter, LeadScaler, MedianBeat, NeuroKitFeatures

N_RECORDS = 120


@pytest.fixture(params=["float32", "int16", "missing leads"])
def mapped(request, make_ecg, tmp_path):
    """Return a memory map of many copies of one record, and what it would take in memory."""
    record = make_ecg(n_records=1)
    if request.param == "missing leads":
        record[:, 3] = np.nan
    path = tmp_path / "records.npy"
    # Whole numbers of a size that hearts give.
    stored = np.round(record * 8).astype(np.int16) if request.param == "int16" else record.astype(np.float32)
    np.save(path, np.repeat(stored, N_RECORDS, axis=0))
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize("transformer", [MedianBeat(), NeuroKitFeatures(include="rhythm")], ids=["beats", "features"])
def test_a_memory_map_is_read_record_by_record(mapped, transformer):
    transformer.fit(mapped[:1]).transform(mapped[:1])
    tracemalloc.start()
    transformer.fit(mapped)
    transformer.transform(mapped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < mapped.nbytes / 2


@pytest.mark.parametrize("transformer", [ECGFilter(), LeadScaler()], ids=["filter", "scale"])
def test_waveforms_take_the_memory_of_their_result_and_little_more(mapped, transformer):
    transformer.fit(mapped)
    tracemalloc.start()
    result = transformer.transform(mapped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.dtype == np.float32
    assert peak < 1.25 * result.nbytes


def test_integers_give_what_floats_give(make_ecg):
    X = np.round(make_ecg(n_records=2) * 1000)
    for transformer in (ECGFilter(), LeadScaler()):
        expected = transformer.fit_transform(X)
        np.testing.assert_allclose(transformer.fit_transform(X.astype(np.int16)), expected, rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(transformer.fit_transform(X.astype(np.int64)), expected, rtol=1e-12, atol=1e-9)
