"""A damaged cache never changes a result."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone

import omi_estimators
from omi_estimators import MedianBeat, NeuroKitFeatures, _store
from omi_estimators._store import CheckedMemory
from omi_estimators.preprocessing import SignalQuality

PACKAGE = Path(omi_estimators.__file__).parent


class Calls(list):
    """What was asked for: it is pickled without its state, so that is no part of what decides a result."""

    def __reduce_ex__(self, protocol):
        return Calls, ()


calls = Calls()


def scale(record, *, factor):
    calls.append(factor)
    return record * factor, "whole"


@pytest.fixture
def record():
    calls.clear()
    return np.arange(200.0)


def _spoil(folder, place):
    (file,) = folder.rglob("*.kept")
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
    with pytest.warns(UserWarning, match=r"cached result of scale .* is ignored .*damaged"):
        result, _ = scaled(record, factor=2.0)
    np.testing.assert_array_equal(result, 2 * record)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scaled(record, factor=2.0)
    assert calls == [2.0, 2.0]


def test_a_result_that_cannot_be_read_is_computed_again(tmp_path, record):
    scaled = CheckedMemory(tmp_path).cache(scale)
    scaled(record, factor=2.0)
    (file,) = tmp_path.rglob("*.kept")
    file.unlink()
    file.mkdir()
    with pytest.warns(UserWarning, match="scale") as caught:
        result, _ = scaled(record, factor=2.0)
    np.testing.assert_array_equal(result, 2 * record)
    told = [str(item.message) for item in caught]
    assert len(told) == 2
    assert "The cached result of scale" in told[0]
    assert "is ignored" in told[0]
    assert "The cache of scale cannot be written to" in told[1]


def test_a_cache_of_another_kind_is_refused():
    class Other:
        location = 3

    with pytest.raises(ValueError, match=r"memory must be a folder, or a joblib\.Memory that has one"):
        CheckedMemory(Other())
    assert CheckedMemory(joblib.Memory(None)).cache(len) is len


def test_joblib_forgets_what_it_is_told_to_forget(tmp_path, record):
    memory = joblib.Memory(tmp_path, verbose=0)
    CheckedMemory(memory).cache(scale)(record, factor=2.0)
    assert list(tmp_path.rglob("*.kept"))
    memory.clear(warn=False)
    assert not list(tmp_path.rglob("*.kept"))


def test_an_error_of_the_function_is_raised(tmp_path):
    with pytest.raises(ValueError, match="invalid literal"):
        CheckedMemory(tmp_path).cache(int)("text")


def test_another_version_computes_again(tmp_path, record, monkeypatch):
    CheckedMemory(tmp_path).cache(scale)(record, factor=2.0)
    monkeypatch.setattr("omi_estimators.__version__", "99")
    CheckedMemory(tmp_path).cache(scale)(record, factor=2.0)
    assert calls == [2.0, 2.0]


def test_another_neurokit2_computes_again(tmp_path, record, monkeypatch):
    CheckedMemory(tmp_path).cache(scale)(record, factor=2.0)
    monkeypatch.setitem(_store._LIBRARIES, "neurokit2", "99")
    CheckedMemory(tmp_path).cache(scale)(record, factor=2.0)
    assert calls == [2.0, 2.0]


@pytest.mark.parametrize("changed", ["leads.py", "preprocessing/_average.py", "features/_st.py", "features/_new.py"])
def test_each_source_file_behind_beats_and_features_is_in_the_digest(tmp_path, changed):
    package = tmp_path / "package"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = _store._digest_package(package)
    assert before == _store._SOURCE_DIGEST
    with (package / changed).open("a") as file:
        file.write("# changed\n")
    assert _store._digest_package(package) != before


def _measure_in_a_new_process(folder, cache, X):
    """Return the beats that the package in a folder gives, with a cache."""
    np.save(folder / "X.npy", X)
    code = (
        "import sys, numpy as np; from omi_estimators import MedianBeat; "
        "X = np.load('X.npy'); np.save('beats.npy', MedianBeat(memory=sys.argv[1]).fit(X).transform(X))"
    )
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run([sys.executable, "-c", code, str(cache)], cwd=folder, env=environment, check=True)
    return np.load(folder / "beats.npy")


def test_a_package_whose_inner_code_has_changed_never_reads_old_beats(make_ecg, tmp_path):
    X = make_ecg(n_records=2)
    code, cache = tmp_path / "code", tmp_path / "cache"
    shutil.copytree(PACKAGE, code / "omi_estimators", ignore=shutil.ignore_patterns("__pycache__"))
    plain = _measure_in_a_new_process(code, cache, X)
    np.testing.assert_array_equal(plain, MedianBeat().fit(X).transform(X))
    # Not the cached function itself, but one that it calls.
    with (code / "omi_estimators" / "preprocessing" / "_average.py").open("a") as file:
        file.write("\n_plain = _median_of_clean\n\n\ndef _median_of_clean(beats):\n")
        file.write("    waveform, used = _plain(beats)\n    return 2 * waveform, used\n")
    changed = _measure_in_a_new_process(code, cache, X)
    np.testing.assert_allclose(changed, 2 * plain, rtol=1e-6)


@pytest.mark.parametrize("transformer", [MedianBeat(), NeuroKitFeatures()], ids=["beat", "features"])
@pytest.mark.filterwarnings("ignore:The cached result of")
def test_no_damage_of_the_cache_changes_a_measurement(transformer, make_ecg, tmp_path):
    X = make_ecg(n_records=1)
    expected = clone(transformer).fit(X).transform(X)
    cached = clone(transformer).set_params(memory=str(tmp_path)).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            np.testing.assert_array_equal(cached.transform(X), expected)
    (file,) = tmp_path.rglob("*.kept")
    whole = file.read_bytes()
    assert len(list(tmp_path.rglob("*.kept"))) == 1
    for place in np.random.default_rng(0).integers(len(whole), size=40):
        _spoil(tmp_path, place)
        np.testing.assert_array_equal(cached.transform(X), expected)
        file.write_bytes(whole)


@pytest.mark.parametrize(
    "transformer", [MedianBeat(), NeuroKitFeatures(), SignalQuality()], ids=lambda t: type(t).__name__
)
@pytest.mark.parametrize("seconds", [0.0, 4e9], ids=["long ago", "in the future"])
def test_the_clock_changes_nothing(transformer, make_ecg, tmp_path, seconds):
    X = make_ecg(n_records=1)
    expected = clone(transformer).set_params(memory=tmp_path).fit(X).transform(X)
    for path in tmp_path.rglob("*"):
        os.utime(path, (seconds, seconds))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = clone(transformer).set_params(memory=tmp_path).fit(X).transform(X)
    np.testing.assert_array_equal(again, expected)
    assert len(list(tmp_path.rglob("*.kept"))) == 1


def test_a_folder_that_cannot_be_made_is_an_error_before_work(make_ecg, tmp_path, read_only):
    X = make_ecg(n_records=1)
    (tmp_path / "made" / "joblib").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "made" / "joblib"):
        with read_only(folder), pytest.raises(OSError, match=r"memory=.* cannot be written to \(.*; give a folder"):
            MedianBeat(memory=tmp_path / "made" if folder.name == "joblib" else folder).fit(X).transform(X)


def test_a_cache_that_becomes_read_only_costs_its_time_only(make_ecg, tmp_path, read_only):
    X = make_ecg(n_records=2)
    expected = MedianBeat().fit(X).transform(X)
    MedianBeat(memory=tmp_path).fit(X).transform(X[:1])
    (folder,) = {path.parent for path in tmp_path.rglob("*.kept")}
    with read_only(folder), pytest.warns(Warning, match="cache"):
        beats = MedianBeat(memory=tmp_path).fit(X).transform(X)
    np.testing.assert_array_equal(beats, expected)


@pytest.mark.parametrize("n_bytes", [0, 300], ids=["before a byte", "within a file"])
def test_a_full_disk_costs_time_only(make_ecg, tmp_path, n_bytes):
    X = make_ecg(n_records=1)
    expected = MedianBeat().fit(X).transform(X)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        with pytest.warns(Warning, match="cache"):
            beats = MedianBeat(memory=tmp_path).fit(X).transform(X)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    np.testing.assert_array_equal(beats, expected)


def test_workers_share_it(make_ecg, tmp_path):
    X = make_ecg(n_records=4)
    expected = MedianBeat().fit(X).transform(X)
    for _ in range(2):
        beats = MedianBeat(memory=tmp_path, n_jobs=2).fit(X).transform(X)
        np.testing.assert_array_equal(beats, expected)
    assert len(list(tmp_path.rglob("*.kept"))) == 4
