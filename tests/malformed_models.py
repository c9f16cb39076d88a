"""Model files changed under right hashes: attributes, types, shapes and order; loaded, and then used."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import safetensors.numpy
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from benchmarks.model_files import all_scikit_learn, fit_small
from omi_estimators import ECGSmartNetClassifier, FusionClassifier, LeadScaler, RiskTierClassifier, load, save
from omi_estimators.persistence import ModelFileError
from omi_estimators.persistence._container import ARRAYS, MODEL, pack, unpack
from omi_estimators.persistence._declared import REFUSED, UNCHECKED, name_type

# Set by the campaign.
EVERYTHING = "OMI_ESTIMATORS_EVERYTHING"
ATTACK = "<script>alert(1)</script>"
ESCAPE = "\x1b[2J"
# What a crafted file may try to set.
NAMES = (
    *("__doc_link_template", "_doc_link_template", "_parameter_constraints", "__class__", "__dict__", "__init__"),
    *("_in_fit", "predict", "predict_proba", "transform", "fit", "feature_importances_", "_repr_html_", "get_params"),
    *("_estimator_type", "__sklearn_tags__", "_skl_callbacks", "_metadata_request", "memory", "classes_", "tree_"),
    *("n_features_in_", "_n_threads", "n_jobs", "coef_", "estimators_", "_loss", "_sklearn_output_config", "foo_"),
    *("n_outputs_", "n_classes_", "feature_names_in_", "steps", "_is_fitted", "_html_repr", "__reduce__", ATTACK),
)
VALUES = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 255, 256, 2**31, 2**62, 10**30, -(2**62), 0.5, -1.5, 1e308, "", "x"),
    *("auto", "cuda", "meta", "hpu", ATTACK, ESCAPE, "$x$", "../canary", "é" * 5000, [], [[]], {}, {"dict": []}),
    *({"tuple": []}, {"float": "nan"}, {"float": "inf"}, {"float": "x"}, {"function": "numpy.log"}, {"same": 0}),
    *({"function": "builtins.object"}, {"function": "os.system"}, {"dtype": "<f8"}, {"dtype": "|O"}, {"slice": [None]}),
    *({"slice": [0, 1, None]}, {"same": 10**6}, {"bunch": []}, {"columns": {}}, {"type": "os.system", "params": {}}),
    *({"type": "omi_estimators.LeadScaler", "params": {"by": "lead"}}, {"set": [1]}, {"array": "0"}, {"fortran": "0"}),
    {"items": ["a", 1], "shape": [2], "dtype": "|O"},
)
NUMBERS = (
    0,
    1,
    -1,
    -2,
    2,
    5,
    200,
    255,
    256,
    2**31 - 1,
    2**31,
    2**62,
    -(2**62),
    0.5,
    1e-300,
    1e300,
    np.nan,
    np.inf,
    -np.inf,
)
DTYPES = ("int8", "uint8", "int32", "int64", "uint32", "uint64", "float16", "float32", "float64", "bool")


class Base(NamedTuple):
    """A good file taken apart, and what to ask its model about."""

    versions: dict[str, str]
    card: bytes
    tree: str
    arrays: dict[str, np.ndarray]
    X: Any


def _fit_own() -> dict[str, tuple[Any, Any]]:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)), np.arange(40) % 2
    beats, patients = rng.normal(size=(40, 3, 20)).astype(np.float32), np.arange(40) // 2
    net = ECGSmartNetClassifier(
        width=1, n_members=1, blocks=(1, 1), max_epochs=1, batch_size=8, n_threads=1, random_state=0
    )
    table = pd.DataFrame({"age": X[:, 0], "sex": np.array(["m", "f"])[y], "site": np.array(["a", "b", "c"])[y + y]})
    encode = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    columns = make_column_transformer((StandardScaler(), ["age"]), (encode, ["sex", "site"]))
    categorical = np.stack([X[:, 0], y, np.arange(40) % 5], axis=1)
    boosting = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=2, categorical_features=[1, 2])
    forest = RandomForestClassifier(3, max_depth=3, random_state=0)
    logistic = LogisticRegression()
    fitted = {
        "forest": forest.fit(X, np.arange(40) % 3),
        "trees": ExtraTreesRegressor(3, random_state=0).fit(X, X[:, :2]),
        "isolation": IsolationForest(n_estimators=3, max_features=2, random_state=0).fit(X),
        "gradient boosting": GradientBoostingClassifier(n_estimators=3, random_state=0).fit(X, np.arange(40) % 3),
        "vote": VotingClassifier([("a", logistic), ("b", DecisionTreeClassifier(max_depth=2))], voting="soft").fit(
            X, y
        ),
        "stack": StackingClassifier([("a", logistic), ("b", clone(forest))], cv=2).fit(X, np.array(["n", "o"])[y]),
        "isotonic": CalibratedClassifierCV(clone(forest), method="isotonic", cv=2).fit(X, y),
        "pipeline": Pipeline([("scale", StandardScaler()), ("net", clone(logistic))]).fit(X, y),
        "tiers": RiskTierClassifier(logistic, cv=2, n_resamples=9, random_state=0).fit(X, y),
        "fusion": FusionClassifier([("a", logistic), ("b", clone(forest))], cv=2).fit(X, y),
    }
    with_X = {name: (model, X) for name, model in fitted.items()}
    return with_X | {
        "columns": (columns.fit(table), table),
        "categories": (boosting.fit(categorical, y), categorical),
        "net": (net.fit(beats, y, groups=patients), beats),
        "scaled net": (make_pipeline(LeadScaler(), clone(net)).fit(beats, y), beats),
    }


def with_bases(number: int) -> int:
    """Return the number of a spoilt file, with all good files made, which takes longer than to load one."""
    make_bases()
    return number


@cache
def make_bases() -> dict[str, Base]:
    """Return good files by name: of a model of each kind; where asked for, of every estimator of scikit-learn's too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = _fit_own()
        if os.environ.get(EVERYTHING):
            for name, kind in all_scikit_learn().items():
                if name_type(kind) not in REFUSED | dict.fromkeys(UNCHECKED) and name not in (
                    "Isomap",
                    "LocallyLinearEmbedding",
                ):
                    models |= {name: fit_small(kind)}
        return {name: _take_apart(*found) for name, found in models.items()}


def _take_apart(model: Any, X: Any) -> Base:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.omi")
        save(model, path)
        manifest, members = unpack(path.read_bytes(), "model")
    arrays = safetensors.numpy.load(members[ARRAYS])
    return Base(manifest["versions"], members["card.md"], members[MODEL].decode(), arrays, X)


def put_together(base: Base, tree: Any, arrays: dict[str, np.ndarray]) -> bytes:
    """Return a model file with another content and the right hashes."""
    members = {"card.md": base.card, MODEL: json.dumps(tree).encode(), ARRAYS: safetensors.numpy.save(arrays)}
    return pack(members, {"versions": base.versions})


def spoil(number: int) -> tuple[str, bytes]:
    """Return the name of a model and a file of it with some things changed; the same number, the same file."""
    rng = random.Random(number)
    bases = make_bases()
    name = rng.choice(sorted(bases))
    tree, arrays = json.loads(bases[name].tree), {key: array.copy() for key, array in bases[name].arrays.items()}
    holder = [tree]
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        change = rng.choice([_change_value, _change_value, _change_names, _change_array, _change_array, _change_type])
        with contextlib.suppress(IndexError):
            change(rng, holder, arrays)
    return name, put_together(bases[name], holder[0], arrays)


def _places(holder: Any) -> list[tuple[Any, Any]]:
    """Return every place of a tree, as what holds it and its key."""
    places, stack = [], [holder]
    while stack:
        found = stack.pop()
        items = found.items() if isinstance(found, dict) else enumerate(found)
        for key, value in items:
            places.append((found, key))
            if isinstance(value, dict | list):
                stack.append(value)
    return places


def _change_value(rng: random.Random, holder: list[Any], arrays: Any) -> None:
    places = _places(holder)
    held, key = rng.choice(places)
    if rng.random() < 0.3:
        other, there = rng.choice(places)
        held[key] = copy.deepcopy(other[there])
    elif rng.random() < 0.2 and type(held[key]) is int:
        held[key] += rng.choice([-1, 1, 10, 2**40])
    else:
        held[key] = copy.deepcopy(rng.choice(VALUES))


def _change_names(rng: random.Random, holder: list[Any], arrays: Any) -> None:
    named = [
        held[key] for held, key in _places(holder) if key in ("params", "state", "columns") and isinstance(held, dict)
    ]
    attributes = rng.choice([found for found in named if isinstance(found, dict) and found])
    name, new = rng.choice(sorted(attributes)), rng.choice([*NAMES, *sorted(attributes)])
    kind = rng.random()
    if kind < 0.3:
        del attributes[name]
    elif kind < 0.5:
        attributes[new] = attributes.pop(name)
    elif kind < 0.7:
        attributes[new] = copy.deepcopy(rng.choice(VALUES))
    elif kind < 0.8:
        attributes[name], attributes[new] = attributes.get(new), attributes[name]
    else:
        items = list(attributes.items())
        rng.shuffle(items)
        values = [value for _, value in items]
        attributes.update(dict(zip(attributes, values, strict=True)))


def _change_array(rng: random.Random, holder: list[Any], arrays: dict[str, np.ndarray]) -> None:
    key = rng.choice(sorted(arrays))
    array, kind = arrays[key], rng.randrange(7)
    if kind == 0:
        with np.errstate(all="ignore"):
            array = array.astype(rng.choice(DTYPES))
    elif kind == 1:
        array = array.reshape(rng.choice([(-1,), (1, -1), (-1, 1), (1, *array.shape)]))
    elif kind == 2:
        array = np.ascontiguousarray(array.T)
    elif kind == 3 and array.ndim:
        array = np.resize(array, (max(0, len(array) + rng.choice([-1, 1, 5])), *array.shape[1:]))
    elif kind == 4:
        array = arrays[rng.choice(sorted(arrays))].copy()
    elif kind == 5 and array.ndim:
        array = array[np.random.default_rng(rng.randrange(100)).permutation(len(array))]
    elif array.size:
        flat = array.ravel().copy()
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(rng.choice([1, 1, 3])):
                flat[rng.randrange(len(flat))] = np.float64(rng.choice(NUMBERS)).astype(flat.dtype)
        array = flat.reshape(array.shape)
    arrays[key] = np.ascontiguousarray(array).reshape(array.shape)


def _change_type(rng: random.Random, holder: list[Any], arrays: Any) -> None:
    typed = [held[key] for held, key in _places(holder) if isinstance(held[key], dict) and "type" in held[key]]
    part = rng.choice(typed)
    names = [name_type(kind) or "os.system" for kind in all_scikit_learn().values()]
    part["type"] = rng.choice(
        [rng.choice(typed)["type"], rng.choice(names), "os.system", "numpy.ndarray", "sklearn.x.Y", 3]
    )


def load_and_use(drawn: int) -> None:
    """Load a spoilt file and use its model in every way; raise whatever must not be.

    Raises
    ------
    ModelFileError
        If `load` refuses it.
    """
    name, content = spoil(drawn)
    X = make_bases()[name].X
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        path = Path(folder, "model.omi")
        path.write_bytes(content)
        before = set(os.listdir())
        try:
            model = load(path)
        except ModelFileError as error:
            if not str(error).isprintable() or len(str(error)) > 5000:
                raise AssertionError("a message that steers the terminal, or is none") from error
            raise
        use(model, X, path)
        assert os.listdir(folder) == ["model.omi"], "something was written"
        assert set(os.listdir()) == before, "something was written here"


def use(model: Any, X: Any, path: Path) -> None:
    """Ask a model everything that people ask; raise an AssertionError, or whatever it raises."""
    shown = [repr(model), str(model), model._repr_html_() if hasattr(model, "_repr_html_") else ""]
    assert not any(ESCAPE in text or "\x1b" in text for text in shown), "an escape character"
    assert ATTACK not in shown[2], "a script in the HTML"
    model.get_params()
    clone(model)
    n_features = getattr(model, "n_features_in_", None)
    if isinstance(X, np.ndarray) and X.ndim == 2 and n_features is not None and n_features != X.shape[1]:
        X = np.resize(X, (len(X), n_features))
    asked = ("predict", "predict_proba", "decision_function", "transform", "decision_path", "apply", "score_samples")
    if any(name.endswith("_") for name in vars(model)):
        for method in asked:
            if hasattr(model, method):
                with _numbers_that_are_none():
                    answer = getattr(model, method)(X)
                    if method == "predict" and hasattr(model, "score"):
                        with contextlib.suppress(ValueError, TypeError):
                            model.score(X, answer)
    save(model, path)


@contextlib.contextmanager
def _numbers_that_are_none():
    """Let pass what scikit-learn says of numbers of the file that became NaN, infinite or no longer tell classes."""
    try:
        yield
    except sklearn.exceptions.NotFittedError:
        pass
    except (ValueError, np.linalg.LinAlgError) as error:
        words = (
            "NaN",
            "infinity",
            "inf",
            "too large",
            "Found unknown categories",
            "unseen labels",
            "not strictly positive",
        )
        if not any(word in str(error) for word in words):
            raise
