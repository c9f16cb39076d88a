"""One store: whatever is changed is computed again, whatever is not is found, and nothing on disk is ever executed."""

from __future__ import annotations

import copyreg
import functools
import importlib
import os
import pickle
import subprocess
import sys
import threading
import types
import warnings
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from omi_estimators import ECGSmartNetClassifier, MedianBeat, _store, compare_estimators
from omi_estimators._store import make_key, read_file, write_file
from omi_estimators.preprocessing import SignalQuality, signal_quality

FITS = []


class Spy(LogisticRegression):
    """A regression that is counted."""

    def fit(self, X, y, sample_weight=None):
        FITS.append(len(y))
        return super().fit(X, y, sample_weight)


class World:
    """The caller's code in files, data, and arguments of a comparison."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        self.folder = folder
        self.y = np.arange(60) // 2 % 2
        self.X = rng.normal(size=(60, 2)) + self.y[:, np.newaxis]
        self.groups = np.arange(60) // 2
        self.given = {"cv": 2, "random_state": 0, "n_resamples": 5, "verbose": 0}
        self.params = {}
        self.wrap = lambda steps: make_pipeline(*steps)
        self.code = {
            "constants": "FACTOR = 1.5\nTABLE = [1.0, 2.0]\n",
            "deep": "import constants\ndef sharpen(X): return X * constants.FACTOR\n",
            "helper": "import deep\nOFFSET = 0.5\ndef scale(X, by=2.0): return deep.sharpen(X) * by + OFFSET\n"
            "def unused(): return 1\n",
            "base": "from sklearn.base import BaseEstimator, TransformerMixin\n"
            "class Base(TransformerMixin, BaseEstimator):\n"
            "    def fit(self, X, y=None): return self\n"
            "    def finish(self, X): return X + 1\n",
            "caller": "import functools\nimport numpy as np\nfrom base import Base\nfrom helper import scale\n"
            "LIMIT = 5.0\n"
            "class Mine(Base):\n"
            "    gain = 1.0\n"
            "    def __init__(self, memory='a', verbose=0, n_jobs=1, checkpoint_dir='a', path=None, function=None):\n"
            "        self.memory, self.verbose, self.n_jobs = memory, verbose, n_jobs\n"
            "        self.checkpoint_dir, self.path, self.function = checkpoint_dir, path, function\n"
            "    def transform(self, X):\n"
            "        from constants import TABLE\n"
            "        X = np.clip(scale(np.asarray(X, dtype=float)) * self.gain * TABLE[1], -LIMIT, LIMIT)\n"
            "        if hasattr(self.function, 'cache_info'): return X * self.function(1.5)\n"
            "        return self.finish(X if self.function is None else self.function(X))\n"
            "def double(X, times=2): return times * X\n"
            "def make(factor): return lambda X: factor * X\n"
            "nameless = lambda X: X * 3\n"
            "cached = functools.lru_cache(double)\n",
        }

    def load(self):
        """Import the caller's code as a new process would."""
        for name, text in self.code.items():
            (self.folder / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("caller")

    def edit(self, name, old, new):
        assert old in self.code[name]
        self.code[name] = self.code[name].replace(old, new)

    def set_function(self, make):
        """Let the caller's class have a parameter that is made from the caller's module."""
        self.params["function"] = make

    def count_fits(self, cache):
        caller = self.load()
        function = self.params.get("function")
        params = self.params | {"function": None if function is None else function(caller)}
        mine = self.wrap([caller.Mine(**params), Spy()])
        FITS.clear()
        compare_estimators({"mine": mine}, self.X, self.y, groups=self.groups, cache_dir=cache, **self.given)
        return len(FITS)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    world = World(tmp_path)
    yield world
    for name in world.code:
        sys.modules.pop(name, None)


def _in_code(name, old, new):
    return lambda world, _: world.edit(name, old, new)


def _in_function(first, second):
    """Give a function as a parameter, then another one."""

    def change(world, _):
        world.set_function(second)

    change.before = lambda world: world.set_function(first)
    return change


def _flip_bit(world, _):
    world.X = world.X.copy()
    world.X.view(np.uint64)[3, 1] ^= 1


def _reorder(world, _):
    order = np.arange(60).reshape(-1, 2)[::-1].ravel()
    world.X, world.y, world.groups = world.X[order], world.y[order], world.groups[order]


def _flip_label(world, _):
    world.y = np.where(world.groups == 3, 1 - world.y, world.y)


def _write_file(world):
    world.params["path"] = str(world.folder / "weights.txt")
    (world.folder / "weights.txt").write_text("1.5")
    os.utime(world.folder / "weights.txt", ns=(10**18, 10**18))


def _change_file(world, _):
    (world.folder / "weights.txt").write_text("2.5")
    os.utime(world.folder / "weights.txt", ns=(10**18, 10**18))


_change_file.before = _write_file


def _as_path(world):
    _write_file(world)
    world.params["path"] = world.folder / "weights.txt"


def _change_path(world, _):
    _change_file(world, _)


_change_path.before = _as_path

CHANGES = {
    "a line of the caller's class": _in_code("caller", "self.finish(X if", "self.finish(2 * X if"),
    "a class attribute": _in_code("caller", "gain = 1.0", "gain = 2.0"),
    "a method of a base class": _in_code("base", "X + 1", "X + 2"),
    "a default argument": _in_code("helper", "by=2.0", "by=3.0"),
    "a constant of the caller's module": _in_code("caller", "LIMIT = 5.0", "LIMIT = 4.0"),
    "a constant of a module that the caller's imports": _in_code("helper", "OFFSET = 0.5", "OFFSET = 0.25"),
    "a function two modules away": _in_code("deep", "constants.FACTOR", "2 * constants.FACTOR"),
    "a constant three modules away": _in_code("constants", "FACTOR = 1.5", "FACTOR = 1.25"),
    "a list imported inside a method": _in_code("constants", "[1.0, 2.0]", "[1.0, 3.0]"),
    "a function that nothing calls by name": _in_code("helper", "return 1", "return 2"),
    "the caller's function": _in_function(lambda m: m.double, lambda m: m.nameless),
    "a lambda's constant": _in_code("caller", "X * 3", "X * 4"),
    "a default of a function given": _in_code("caller", "times=2", "times=3"),
    "a default behind lru_cache": _in_code("caller", "times=2", "times=4"),
    "a closure's value": _in_function(lambda m: m.make(2.0), lambda m: m.make(3.0)),
    "a partial's argument": _in_function(
        lambda m: functools.partial(m.double, times=2), lambda m: functools.partial(m.double, times=3)
    ),
    "a bound method's object": _in_function(lambda m: m.Mine("a").finish, lambda m: m.Mine("b").finish),
    "a function of NumPy's": _in_function(lambda m: np.tanh, lambda m: np.arctan),
    "a class attribute set while running": lambda world, patch: patch.setattr(
        world, "load", lambda load=world.load: _set(load(), "Mine.gain", 3.0)
    ),
    "a constant set while running": lambda world, patch: patch.setattr(
        world, "load", lambda load=world.load: _set(load(), "LIMIT", 3.0)
    ),
    "a list changed while running": lambda world, patch: patch.setattr(
        world, "load", lambda load=world.load: _extend(load(), sys.modules["constants"].TABLE)
    ),
    "a parameter of the caller's named memory": lambda world, _: world.params.update(memory="b"),
    "a parameter of the caller's named verbose": lambda world, _: world.params.update(verbose=1),
    "a parameter of the caller's named n_jobs": lambda world, _: world.params.update(n_jobs=2),
    "a parameter of the caller's named checkpoint_dir": lambda world, _: world.params.update(checkpoint_dir="b"),
    "a file behind a parameter, of the same size and time": _change_file,
    "a file behind a Path, of the same size and time": _change_path,
    "one bit of X": _flip_bit,
    "the type of X": lambda world, _: setattr(world, "X", world.X.astype(np.float32)),
    "a label": _flip_label,
    "a patient": lambda world, _: setattr(world, "groups", np.where(world.groups == 4, 100, world.groups)),
    "the order of records": _reorder,
    "the seed": lambda world, _: world.given.update(random_state=1),
    "the folds": lambda world, _: world.given.update(cv=3),
    "the positive label": lambda world, _: world.given.update(pos_label=0),
    "the version of the package": lambda _, patch: patch.setattr("omi_estimators.__version__", "99"),
    "the source of the package": lambda _, patch: patch.setattr(_store, "_SOURCE_DIGEST", "99"),
    "the version of scikit-learn": lambda _, patch: patch.setitem(_store._LIBRARIES, "sklearn", "99"),
    "the version of NumPy": lambda _, patch: patch.setitem(_store._LIBRARIES, "numpy", "99"),
    "the version of torch": lambda _, patch: patch.setitem(_store._LIBRARIES, "torch", "99"),
    "the version of NeuroKit2": lambda _, patch: patch.setitem(_store._LIBRARIES, "neurokit2", "99"),
    "the version of Python": lambda _, patch: patch.setattr("platform.python_version", lambda: "99"),
    "a parameter of a step": lambda world, _: setattr(world, "wrap", lambda s: make_pipeline(s[0], Spy(C=2.0))),
    "a further step": lambda world, _: setattr(world, "wrap", lambda s: make_pipeline(StandardScaler(), *s)),
}
CHANGES["a lambda's constant"].before = lambda world: world.set_function(lambda m: m.nameless)
CHANGES["a default of a function given"].before = lambda world: world.set_function(lambda m: m.double)
CHANGES["a default behind lru_cache"].before = lambda world: world.set_function(lambda m: m.cached)


def _set(module, name, value):
    owner, _, attribute = name.rpartition(".")
    setattr(getattr(module, owner) if owner else module, attribute, value)
    return module


def _extend(module, table):
    table[1] = 7.0
    return module


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_is_fitted_again(world, change, tmp_path, monkeypatch):
    if hasattr(change, "before"):
        change.before(world)
    assert world.count_fits(tmp_path / "cache") == 2
    if hasattr(change, "before"):
        assert world.count_fits(tmp_path / "cache") == 0
    change(world, monkeypatch)
    assert world.count_fits(tmp_path / "cache") == world.given["cv"]


NO_CHANGES = {
    "processes of ours": lambda world, _: setattr(world, "wrap", lambda s: make_pipeline(s[0], Spy()).set_params()),
    "how much is told, and the cache of a pipeline": lambda world, _: setattr(
        world, "wrap", lambda s: make_pipeline(*s, memory=str(world.folder / "pipeline"), verbose=True)
    ),
    "a copy of X": lambda world, _: setattr(world, "X", world.X.copy()),
    "X in a file": lambda world, _: setattr(world, "X", _map(world.folder / "X.npy", world.X)),
    "the number of resamples": lambda world, _: world.given.update(n_resamples=9),
    "a file that is no parameter": lambda world, _: (world.folder / "notes.txt").write_text("x"),
    "a module that nothing refers to": lambda world, _: world.code.update(other="X = 1"),
}


def _map(path, X):
    np.save(path, X)
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_what_changes_nothing_is_found_again(world, change, tmp_path, monkeypatch):
    assert world.count_fits(tmp_path / "cache") == 2
    change(world, monkeypatch)
    assert world.count_fits(tmp_path / "cache") == 0


def test_what_takes_longer_is_no_other_estimator():
    given = {"n_estimators": 3, "random_state": 0}
    assert make_key(RandomForestClassifier(**given)) == make_key(RandomForestClassifier(**given, n_jobs=2, verbose=1))
    beat = make_pipeline(MedianBeat(), ECGSmartNetClassifier(random_state=0))
    other = make_pipeline(MedianBeat(memory="a", n_jobs=2), ECGSmartNetClassifier(random_state=0, checkpoint_dir="b"))
    assert make_key(beat) == make_key(other) != make_key(make_pipeline(MedianBeat(before=0.2), beat[-1]))

    class Forest(RandomForestClassifier):
        def fit(self, X, y):
            return super().fit(X[:, : self.n_jobs], y)

    assert make_key(Forest(n_jobs=1)) != make_key(Forest(n_jobs=2))


def test_weights_belong_to_the_key():
    X, y = np.zeros((4, 1)), np.arange(4) % 2
    assert make_key(X, y, np.ones(4)) == make_key(X.copy(), y.copy(), np.ones(4))
    others = [(), (np.ones(4),), (np.ones(4, dtype=np.float32),), (np.arange(4.0),), (None,), (None, np.ones(4))]
    assert len({make_key(X, y, *weight) for weight in others}) == len(others)


def test_an_exception_is_the_same_before_and_after_it_was_raised(monkeypatch):
    # As tblib has it, which Dask brings along.
    monkeypatch.setitem(copyreg.dispatch_table, RuntimeError, lambda error: (RuntimeError, (str(error.__traceback__),)))
    error = RuntimeError("power")
    before = make_key(error)
    with pytest.raises(RuntimeError):
        raise error
    assert make_key(error) == before != make_key(RuntimeError("water"))


def test_a_fitted_estimator_inside_belongs_to_the_key():
    rng = np.random.default_rng(0)
    frozen = [FrozenEstimator(StandardScaler().fit(rng.normal(size=(9, 2)))) for _ in range(2)]
    assert len({make_key(each) for each in frozen}) == 2


PATHS = {
    "list": list,
    "array": np.array,
    "column": lambda paths: np.array(paths, dtype=object)[:, np.newaxis],
    "table": lambda paths: pd.DataFrame({"path": paths}),
    "series of text": lambda paths: pd.Series(paths, dtype="string"),
    "category": lambda paths: pd.Series(paths, dtype="category"),
}


@pytest.mark.parametrize("make", PATHS.values(), ids=PATHS)
def test_the_content_of_files_behind_paths_belongs_to_the_key(tmp_path, make):
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text("1,2")
    X = make([str(tmp_path / f"{number}.csv") for number in range(3)])
    before, when = make_key(X), (tmp_path / "1.csv").stat().st_mtime_ns
    assert make_key(X) == before
    (tmp_path / "1.csv").write_text("1,3")
    os.utime(tmp_path / "1.csv", ns=(when, when))
    assert make_key(X) != before


@pytest.mark.parametrize("name", ["100.hea", "100.dat", "100"])
def test_all_files_of_a_wfdb_record_belong_to_the_key(tmp_path, name):
    (tmp_path / "100.hea").write_text("100 1 500 2\nsignal.dat 16 200 16 0 0 0 0 I\n")
    (tmp_path / "100.dat").write_bytes(b"")
    (tmp_path / "signal.dat").write_bytes(b"ab")
    before = make_key([str(tmp_path / name)])
    (tmp_path / "signal.dat").write_bytes(b"ac")
    assert make_key([str(tmp_path / name)]) != before


def _run(code, name="__main__"):
    """Return the names of a module whose code has no file, as a notebook's."""
    module = types.ModuleType(name)
    exec(compile(code, "<cell>", "exec"), vars(module))
    return module


CELLS = [
    ("def f(X): return X + 1", "+ 1", "+ 2"),
    ("K = 1\ndef f(X): return X + K", "K = 1", "K = 2"),
    ("K = {'a': [1, 2]}\ndef f(X): return X + K['a'][0]", "[1, 2]", "[2, 2]"),
    ("import numpy as np\nK = np.zeros(3)\ndef f(X): return X + K", "zeros", "ones"),
    ("def g(X): return 1\ndef f(X): return X + g(X)", "return 1", "return 2"),
    ("class C:\n    k = 1\n    def g(self): return self.k\ndef f(X): return X + C().g()", "k = 1", "k = 2"),
    ("class C:\n    def g(self): return 1\ndef f(X): return X + C().g()", "return 1", "return 2"),
    ("class C:\n    @property\n    def g(self): return 1\ndef f(X): return C().g", "return 1", "return 2"),
    ("class C:\n    @staticmethod\n    def g(): return 1\ndef f(X): return C.g()", "return 1", "return 2"),
    ("f = (lambda k: lambda X: X + k)(1)", ")(1)", ")(2)"),
    ("def f(X): return [x + 1 for x in X]", "+ 1", "+ 2"),
    ("def f(X):\n    try: return X\n    except ValueError: return 1", "ValueError", "TypeError"),
]


@pytest.mark.parametrize(("code", "old", "new"), CELLS)
def test_code_without_a_file_is_known_by_all_it_refers_to(code, old, new):
    transformer = FunctionTransformer(_run(code).f)
    assert make_key(transformer) == make_key(FunctionTransformer(_run(code).f))
    assert make_key(transformer) != make_key(FunctionTransformer(_run(code.replace(old, new)).f))


COUNTERS = [
    "seen = []\ndef f(X):\n    seen.append(1)\n    return X",
    "n = 0\ndef f(X):\n    global n\n    n += 1\n    return X",
    "count = {'n': 0}\ndef f(X):\n    count['n'] += 1\n    return X",
    "class C:\n    n = 0\n    def g(self): type(self).n += 1\ndef f(X):\n    C().g()\n    return X",
    "class C:\n    seen = []\n    def g(self): self.seen.append(1)\ndef f(X):\n    C().g()\n    return X",
]


@pytest.mark.parametrize("code", COUNTERS)
def test_what_code_counts_may_be_a_cause_so_nothing_is_taken_from_before(code):
    function = _run(code).f
    before = make_key(function)
    function(1)
    assert make_key(function) != before


def test_code_changed_on_disk_but_not_in_memory_is_neither_the_old_nor_the_new(world):
    caller = world.load()
    old = make_key(caller.Mine())
    world.edit("caller", "LIMIT = 5.0", "LIMIT = 4.0")
    (world.folder / "caller.py").write_text(world.code["caller"])
    between = make_key(caller.Mine())
    assert len({old, between, make_key(world.load().Mine())}) == 3


class Secretive(TransformerMixin, BaseEstimator):
    """Cannot be pickled."""

    def __reduce__(self):
        raise TypeError("nobody may know")

    def __init__(self, lock=None):
        self.lock = lock


def test_what_cannot_be_told_apart_is_an_error_that_says_what_to_do():
    for value in (
        threading.Lock(),
        {"a": {"b": {"c": threading.Lock()}}},
        make_pipeline(FunctionTransformer(threading.Lock())),
        Secretive(threading.Lock()),
        _run("import _thread\nK = _thread.allocate_lock()\ndef f(X): return K").f,
    ):
        with pytest.raises(ValueError, match=r"It cannot be told apart .*; use what can be pickled, or go home\."):
            make_key(value, name="It", otherwise="go home")


def test_a_lock_of_a_module_is_known_by_its_source(world):
    world.code["caller"] += "import threading\nLOCK = threading.Lock()\ndef locked(X):\n    with LOCK: return X\n"
    first = make_key(world.load().locked)
    assert make_key(world.load().locked) == first


def test_a_version_of_any_package_that_code_uses_belongs_to_the_key(monkeypatch):
    function = _run("import yaml_or_such as y\ndef f(X): return y.load(X)".replace("yaml_or_such", "tqdm")).f
    before = make_key(function)
    monkeypatch.setattr(_store, "_find_version", lambda root: "99")
    assert make_key(function) != before


def test_a_key_is_the_same_in_another_process(world):
    caller = world.load()
    code = (
        "from omi_estimators._store import make_key; import caller, numpy as np; from sklearn.svm import SVC\n"
        "print(make_key(caller.Mine(function=caller.make({'a', 'b', 'c'})), SVC(), np.arange(3)))"
    )
    from sklearn.svm import SVC

    mine = make_key(caller.Mine(function=caller.make({"a", "b", "c"})), SVC(), np.arange(3))
    for seed in "12":
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=world.folder
        )
        assert done.stdout.strip() == mine


def test_a_changed_line_of_ones_own_transformer_is_noticed_by_the_next_process(tmp_path):
    code = (
        "from sklearn.base import BaseEstimator, TransformerMixin\nclass Mine(TransformerMixin, BaseEstimator):\n"
        "    def fit(self, X, y=None): return self\n    def transform(self, X): return {0} * X\n"
    )
    run = (
        "import numpy as np, warnings; warnings.simplefilter('ignore')\n"
        "from sklearn.linear_model import LogisticRegression; from sklearn.pipeline import make_pipeline\n"
        "from omi_estimators import compare_estimators; from mine import Mine\n"
        "rng = np.random.default_rng(0); y = np.arange(100) % 2; X = rng.normal(size=(100, 2)) + 2 * y[:, None]\n"
        "models = {'m': make_pipeline(Mine(), LogisticRegression())}\n"
        "result = compare_estimators(models, X, y, random_state=0, verbose=0, cache_dir='c', n_resamples=50)\n"
        "print(result.table['roc_auc']['m'])\n"
    )
    found = []
    for factor in (0, 1, 1):
        (tmp_path / "mine.py").write_text(code.format(factor))
        command = [sys.executable, "-B", "-c", run]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment)
        found.append(float(done.stdout))
    assert found == [0.5, pytest.approx(0.98, abs=0.005), found[1]]
    assert len(list((tmp_path / "c").iterdir())) == 10


class Point(NamedTuple):
    x: int


def _assert_equal(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert found.stride() == expected.stride()
        assert torch.equal(found, expected)
    elif isinstance(expected, np.ndarray | np.generic):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        assert found.tobytes() == expected.tobytes()
        assert found.flags.writeable == expected.flags.writeable
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            _assert_equal(found[key], value)
    elif isinstance(expected, list | tuple):
        for one, other in zip(found, expected, strict=True):
            _assert_equal(one, other)
    else:
        assert found == expected or found is expected


VALUES = {
    "tensors": {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(2, 3, 4, 5, dtype=torch.bfloat16)},
    "channels last": torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
    "one number, and none": (torch.tensor(3), torch.empty(0, 2), torch.tensor([True, False])),
    "arrays": [np.arange(6.0).reshape(2, 3), np.zeros((0, 3), np.int8), np.array(2.5), np.array([[True]])],
    "negative zero and not a number": (np.array([-0.0, np.nan, np.inf]), -0.0, float("inf")),
    "numbers of NumPy's": (np.float64(0.1), np.float32(0.1), np.int64(3), np.bool_(True)),
    "plain": ("x", [1, None, True, 10**30], {3: 0.1, "a": "Ä"}, (), {}),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_what_is_read_is_what_was_written(tmp_path, value):
    write_file(tmp_path / "it.kept", value, "value", "So be it.")
    _assert_equal(read_file(tmp_path / "it.kept", "value", "it is gone"), value)


def test_a_dataclass_of_ours_comes_back_as_one(make_ecg, tmp_path):
    quality = signal_quality(make_ecg(1)[0], 500)
    write_file(tmp_path / "it.kept", quality, "value", "So be it.")
    found = read_file(tmp_path / "it.kept", "value", "it is gone")
    assert type(found) is type(quality)
    for name, value in vars(quality).items():
        _assert_equal(getattr(found, name), value)


@pytest.mark.parametrize("value", [object(), {1, 2}, Point(1), np.array([None]), b"bytes"], ids=repr)
def test_what_has_no_place_in_a_file_is_a_warning(tmp_path, value):
    with pytest.warns(UserWarning, match=r"value cannot be written .*has no place in it\). So be it"):
        write_file(tmp_path / "it.kept", [value], "value", "So be it.")
    assert not list(tmp_path.iterdir())


def test_every_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / "it.kept"
    write_file(path, {"a": torch.arange(3.0), "b": np.arange(3), "c": ("x", None)}, "value", "So be it.")
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.warns(UserWarning, match="ignored .*damaged.*; it is gone"):
            assert read_file(path, "value", "it is gone") is None
    path.rename(tmp_path / "other.kept").write_bytes(content)
    with pytest.warns(UserWarning, match="belongs to another key"):
        assert read_file(tmp_path / "other.kept", "value", "it is gone") is None


def test_a_file_names_no_class_but_a_result_of_ours(tmp_path):
    path = tmp_path / "it.kept"
    named = {"class": ["omi_estimators._store", "Path"], "parts": ["x"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_store, "_pack", lambda value, arrays: value)
        write_file(path, named, "value", "So be it.")
    with pytest.warns(UserWarning, match="is no class of results"):
        assert read_file(path, "value", "it is gone") is None


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.filterwarnings("ignore:.* is ignored")
@pytest.mark.parametrize("sealed", [False, True], ids=["bare", "behind its digest"])
def test_a_planted_pickle_is_never_opened(make_ecg, make_beats, tmp_path, sealed):
    from hashlib import sha256

    content = pickle.dumps(Bomb(tmp_path / "exploded"))
    content = sha256(content).digest() + content if sealed else content
    X, y, groups = make_beats()
    ecgs = make_ecg(2)

    def work():
        MedianBeat(memory=tmp_path / "cache").fit_transform(ecgs)
        SignalQuality(memory=joblib.Memory(tmp_path / "cache", verbose=0)).fit_transform(ecgs)
        given = {"random_state": 0, "n_resamples": 5, "verbose": 0, "cv": 2, "cache_dir": tmp_path / "folds"}
        compare_estimators({"line": LogisticRegression()}, X.reshape(len(X), -1)[:, :9], y, groups=groups, **given)
        net = {"width": 2, "n_members": 1, "blocks": (1,), "max_epochs": 2, "random_state": 0, "n_threads": 1}
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
            patch.setattr("omi_estimators.classifiers._checkpoint.Checkpoint.remove", lambda self: None)
            ECGSmartNetClassifier(**net, checkpoint_dir=tmp_path / "run").fit(X, y)

    work()
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".gitignore"]
    assert {path.suffix for path in kept} == {".kept", ".fold", ".checkpoint"}
    for path in kept:
        path.write_bytes(content)
        # Where joblib would look for it.
        (path.with_suffix("")).mkdir()
        (path.with_suffix("") / "output.pkl").write_bytes(content)
    work()
    assert not (tmp_path / "exploded").exists()
    assert not any(path.read_bytes() == content for path in kept)
