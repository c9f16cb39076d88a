"""The fast part of the fault campaign; `python -m benchmarks faults` is the long one, made of the same faults."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress

import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.dummy import DummyClassifier

from benchmarks.faults._cache import measure
from benchmarks.faults._folds import N_FOLDS, judge_folds, write_folds
from benchmarks.faults._tools import CLOCKS, FORK, full_disk, judge, kill_after, set_clock
from omi_estimators import compare_estimators

# Python 3.12 and later warn of any fork beside threads; these children do plain arithmetic and are killed.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def test_folds_survive_a_kill_at_any_moment(tmp_path):
    for seconds in np.random.default_rng(0).uniform(0, 0.1, size=8):
        kill_after(seconds, write_folds, tmp_path)
        assert judge_folds(tmp_path) == {"right": N_FOLDS}


def test_two_processes_may_save_the_same_folds_while_a_third_reads(tmp_path):
    writers = [FORK.Process(target=write_folds, args=(tmp_path, 20)) for _ in range(2)]
    for writer in writers:
        writer.start()
    outcomes = Counter()
    while any(writer.is_alive() for writer in writers):
        outcomes += judge_folds(tmp_path)
    assert set(outcomes) == {"right"}
    assert len(list(tmp_path.iterdir())) == N_FOLDS


@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
def test_folds_of_any_age_are_found(tmp_path, clock):
    write_folds(tmp_path, 1)
    set_clock(tmp_path, clock)
    assert judge_folds(tmp_path) == {"right": N_FOLDS}


def test_finished_folds_outlive_a_folder_that_is_read_only_or_full(tmp_path, read_only):
    write_folds(tmp_path, 1)
    for context in (read_only(tmp_path), full_disk()):
        with context, pytest.warns(UserWarning, match="cannot be written"):
            write_folds(tmp_path, 1)
        assert judge_folds(tmp_path) == {"right": N_FOLDS}


class Life:
    """Counts fits; it is pickled without its state, so that is no part of what decides a result."""

    n_fits = 0
    dies_at = 0

    def __reduce_ex__(self, protocol):
        return Life, ()


LIFE = Life()


class Mortal(DummyClassifier):
    """Counts its fits, and takes its process with it at one of them."""

    def fit(self, X, y):
        LIFE.n_fits += 1
        if LIFE.n_fits == LIFE.dies_at:
            LIFE.dies_at = 0
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(X, y)


def test_a_comparison_that_was_killed_goes_on_with_its_finished_folds(tmp_path, monkeypatch):
    y = np.arange(60) % 2
    X = np.random.default_rng(0).normal(size=(60, 4))

    def compare(cache_dir):
        given = {"groups": np.arange(60) // 2, "n_resamples": 20, "random_state": 0, "verbose": 0}
        return compare_estimators({"mortal": Mortal()}, X, y, cache_dir=cache_dir, **given).probabilities

    monkeypatch.setattr(LIFE, "n_fits", 0)
    monkeypatch.setattr(LIFE, "dies_at", 0)
    expected = compare(None)
    n_folds = LIFE.n_fits
    for dies_at in (3, 2):
        LIFE.n_fits, LIFE.dies_at = 0, dies_at
        process = FORK.Process(target=compare, args=(tmp_path,))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    LIFE.n_fits, LIFE.dies_at = 0, 0
    pd.testing.assert_frame_equal(compare(tmp_path), expected)
    assert LIFE.n_fits == n_folds - 3


def test_the_cache_survives_a_kill_at_any_moment(tmp_path, make_ecg):
    X = make_ecg(n_records=6)
    expected = measure("beats", X, None)
    for seconds in np.random.default_rng(0).uniform(0, 0.15, size=6):
        kill_after(seconds, measure, "beats", X, tmp_path)
        assert judge(lambda: measure("beats", X[:1], tmp_path), expected[: expected.size // 6]) == "right"
    assert judge(lambda: measure("beats", X, tmp_path), expected) == "right"


def test_two_processes_may_fill_one_cache(tmp_path, make_ecg):
    X = make_ecg(n_records=6)
    expected = measure("beats", X, None)
    other = FORK.Process(target=measure, args=("beats", X, tmp_path))
    other.start()
    assert judge(lambda: measure("beats", X, tmp_path), expected) == "right"
    other.join()
    assert other.exitcode == 0


def _kill_a_busy_worker():
    """Kill a worker once it works: one that dies before is replaced without a word."""
    (first, *_) = (psutil.Process(child.pid) for child in multiprocessing.active_children() if "Loky" in repr(child))
    before = sum(first.cpu_times()[:2])
    while sum(first.cpu_times()[:2]) < before + 0.1:
        time.sleep(0.01)
    first.kill()


@pytest.mark.usefixtures("own_pool")
def test_a_worker_that_dies_is_an_error_and_the_next_call_is_right(make_ecg):
    X = np.repeat(make_ecg(n_records=1), 200, axis=0)
    expected = np.tile(measure("beats", X[:1], None), 200)
    measure("beats", X[:4], None, n_jobs=2)
    killer = threading.Thread(target=_kill_a_busy_worker)
    killer.start()
    assert judge(lambda: measure("beats", X, None, n_jobs=2), expected) == "TerminatedWorkerError"
    killer.join()
    assert judge(lambda: measure("beats", X, None, n_jobs=2), expected) == "right"


_REPLACED = """
import warnings

import numpy as np
from joblib.externals.loky import process_executor

from omi_estimators.preprocessing._records import map_records


def measure(record):
    # After its second record each worker now takes itself for one that has grown too large, and ends.
    process_executor._MEMORY_LEAK_CHECK_DELAY = 0.0
    process_executor._MAX_MEMORY_LEAK_SIZE = -(2**40)
    return record.sum()


warnings.simplefilter("error")
X = np.arange(24.0).reshape(24, 1)
assert list(map_records(measure, X, n_jobs=2)) == list(range(24))
print("right")
"""


_KILLED_WHILE_IT_ANSWERS = """
import os
import signal

import numpy as np
from joblib.externals.loky.backend import queues
from joblib.externals.loky.process_executor import BrokenProcessPool

from omi_estimators.preprocessing._records import map_records


def measure(record):
    def send(queue, result):
        # The first bytes of a message, as long as a block of beats.
        with queue._wlock:
            os.write(queue._writer.fileno(), (600_000).to_bytes(4, "big") + b"x" * 1000)
            os.kill(os.getpid(), signal.SIGKILL)

    if record[0, 0] == 5:
        queues.SimpleQueue.put = send
    return record.sum()


X = np.arange(24.0).reshape(24, 1)
try:
    list(map_records(measure, X, n_jobs=2))
except BrokenProcessPool as error:
    assert "try a smaller n_jobs" in error.__notes__[0]
    assert list(map_records(np.sum, X, n_jobs=2)) == list(range(24))
    print("right")
"""


def _run_alone(code):
    """Return what a script prints, and what it says on stderr; none of its workers outlives it."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True, **pipes) as process:
        try:
            return process.communicate(timeout=120)
        finally:
            # Workers of a call that waits for ever would hold the pipes open.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_a_worker_killed_while_it_answers_is_an_error_and_the_next_call_is_right():
    told, warned = _run_alone(_KILLED_WHILE_IT_ANSWERS)
    assert told == "right\n", warned


def test_workers_are_replaced_where_warnings_are_errors():
    told, warned = _run_alone(_REPLACED)
    assert told == "right\n", warned
    assert "A worker stopped" in warned
