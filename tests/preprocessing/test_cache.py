"""A damaged cache never changes a result."""

from __future__ import annotations

import warnings

import joblib
import numpy as np
import pytest
from joblib.memory import _FUNCTION_HASHES
from sklearn.base import clone

from omi_estimators import MedianBeat, NeuroKitFeatures
from omi_estimators.preprocessing._cache import CheckedMemory

calls = []


def scale(record, *, factor):
    calls.append(factor)
    return record * factor, "whole"


@pytest.fixture
def record():
    calls.clear()
    return np.arange(200.0)


def _spoil(folder, place):
    (file,) = folder.rglob("output.pkl")
    content = bytearray(file.read_bytes())
    content[place] ^= 16
    file.write_bytes(content)


def test_a_result_is_computed_once(tmp_path, record):
    for memory in (tmp_path, str(tmp_path), joblib.Memory(str(tmp_path), verbose=0), CheckedMemory(tmp_path)):
        result, word = CheckedMemory(memory).cache(scale)(record, factor=2.0)
        np.testing.assert_array_equal(result, 2 * record)
        assert word == "whole"
    assert calls == [2.0]
    CheckedMemory(tmp_path).cache(scale)(record, factor=3.0)
    assert calls == [2.0, 3.0]


def test_a_damaged_number_is_noticed_and_mended(tmp_path, record):
    scaled = CheckedMemory(tmp_path).cache(scale)
    scaled(record, factor=2.0)
    _spoil(tmp_path, 1000)
    with pytest.warns(UserWarning, match="cached result of scale is damaged"):
        result, _ = scaled(record, factor=2.0)
    np.testing.assert_array_equal(result, 2 * record)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scaled(record, factor=2.0)
    assert calls == [2.0, 2.0]


def test_a_cache_that_cannot_be_read_is_not_used(tmp_path, record):
    scaled = CheckedMemory(tmp_path).cache(scale)
    # joblib looks at this file once in each process; this makes it a new one.
    _FUNCTION_HASHES.clear()
    scaled(record, factor=2.0)
    (file,) = tmp_path.rglob("func_code.py")
    file.write_bytes(b"\xff" + file.read_bytes())
    _FUNCTION_HASHES.clear()
    with pytest.warns(UserWarning, match="cache of scale is damaged and not used .*; delete its folder"):
        result, _ = scaled(record, factor=2.0)
    np.testing.assert_array_equal(result, 2 * record)


def test_an_error_of_the_function_is_raised(tmp_path):
    with pytest.raises(ValueError, match="invalid literal"):
        CheckedMemory(tmp_path).cache(int)("text")


def test_another_version_computes_again(tmp_path, record, monkeypatch):
    CheckedMemory(tmp_path).cache(scale)(record, factor=2.0)
    monkeypatch.setattr("omi_estimators.__version__", "99")
    CheckedMemory(tmp_path).cache(scale)(record, factor=2.0)
    assert calls == [2.0, 2.0]


@pytest.mark.parametrize("transformer", [MedianBeat(), NeuroKitFeatures()], ids=["beat", "features"])
@pytest.mark.filterwarnings("ignore:A cached result of")
def test_no_damage_of_the_cache_changes_a_measurement(transformer, make_ecg, tmp_path):
    X = make_ecg(n_records=1)
    expected = clone(transformer).fit(X).transform(X)
    cached = clone(transformer).set_params(memory=CheckedMemory(tmp_path)).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            np.testing.assert_array_equal(cached.transform(X), expected)
    (file,) = tmp_path.rglob("output.pkl")
    whole = file.read_bytes()
    assert len(list(tmp_path.rglob("output.pkl"))) == 1
    for place in np.random.default_rng(0).integers(len(whole), size=40):
        _spoil(tmp_path, place)
        np.testing.assert_array_equal(cached.transform(X), expected)
        file.write_bytes(whole)


def test_workers_share_it(make_ecg, tmp_path):
    X = make_ecg(n_records=4)
    expected = MedianBeat().fit(X).transform(X)
    for _ in range(2):
        beats = MedianBeat(memory=CheckedMemory(tmp_path), n_jobs=2).fit(X).transform(X)
        np.testing.assert_array_equal(beats, expected)
    assert len(list(tmp_path.rglob("output.pkl"))) == 4
