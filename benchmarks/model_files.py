"""Which of scikit-learn's estimators a model file holds: each is fitted, saved, loaded, and must answer bit for bit.

``python -m benchmarks model_files`` prints the table of `docs/model_files.md`.
"""

from __future__ import annotations

import tempfile
import warnings
from argparse import Namespace
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances

from benchmarks._figures import Figure
from omi_estimators import load, save
from omi_estimators.persistence import iterate_parts
from omi_estimators.persistence._declared import REFUSED, UNCHECKED, name_type

_ANSWERS = ("predict_proba", "decision_function", "predict", "transform", "apply", "score_samples")
_WORDS = ["ab bc cd", "bb cc dd", "ee bb ab"] * 10
# They draw anew in each answer, or each time that they are asked.
AT_RANDOM = {"BernoulliRBM": "score_samples"}


def run(data: Namespace) -> list[Figure]:
    """Print the table, and return nothing to compare."""
    del data
    outcomes: dict[str, list[str]] = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, kind in sorted(all_scikit_learn().items()):
            outcomes[describe(name, kind)].append(name)
    print("| what comes of it | estimators | which |\n|---|--:|---|")
    for outcome, names in sorted(outcomes.items(), key=lambda item: -len(item[1])):
        print(f"| {outcome} | {len(names)} | {', '.join(f'`{name}`' for name in names)} |")
    print(f"\n{sum(map(len, outcomes.values()))} estimators")
    return []


def all_scikit_learn() -> dict[str, type]:
    """Return every public estimator of scikit-learn by its name."""
    from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401

    return dict(all_estimators())


def describe(name: str, kind: type) -> str:
    """Return what comes of saving and loading an estimator, in words."""
    public = name_type(kind) or ""
    if public in REFUSED:
        return f"refused: {REFUSED[public]}"
    model, X = fit_small(kind)
    different = [answer for answer in find_differences(model, X) if answer != AT_RANDOM.get(name)]
    if different:
        return f"DIFFERENT: {', '.join(different)}"
    inside = {name_type(type(part)) for part in iterate_parts(model)}
    return (
        "only with `trusted=`; the same answers, bit for bit" if inside & UNCHECKED else "the same answers, bit for bit"
    )


def find_differences(model: Any, X: Any) -> list[str]:
    """Return the methods whose answers a saved and loaded model gives otherwise."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder, "model.omi")
        save(model, path)
        loaded = load(path, trusted=UNCHECKED)
        asked = [name for name in _ANSWERS if hasattr(model, name)]
        return [name for name in asked if get_bits(getattr(model, name)(X)) != get_bits(getattr(loaded, name)(X))]


def get_bits(answer: Any) -> Any:
    """Return an answer of any kind as bytes, which compare equal only bit for bit."""
    if sparse.issparse(answer):
        answer = answer.toarray()
    if isinstance(answer, list | tuple):
        return [get_bits(part) for part in answer]
    array = np.asarray(answer)
    return array.dtype.str, array.shape, str(array.tolist()) if array.dtype == object else array.tobytes()


def fit_small(kind: type) -> tuple[Any, Any]:
    """Return an estimator, fitted on 30 records of 4 features, and what to ask it about."""
    rng = np.random.default_rng(0)
    X, y = rng.uniform(0.1, 3, size=(30, 4)), np.arange(30) % 3
    name = kind.__name__
    if name == "FrozenEstimator":
        return kind(LogisticRegression().fit(X, y)), X
    needed = {"SparseCoder": {"dictionary": X[:5]}, "PatchExtractor": {"patch_size": (3, 3)}}
    model = kind(**needed[name]) if name in needed else next(iter(_construct_instances(kind)))
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    if name == "DummyClassifier":
        model.set_params(strategy="prior")
    given = {
        "CountVectorizer": _WORDS,
        "DictVectorizer": [{"a": 1.0, "b": "x"}, {"a": 2.0}] * 15,
        "FeatureHasher": [{"a": 1.0, "b": 2.0}] * 30,
        "HashingVectorizer": _WORDS,
        "IsotonicRegression": X[:, 0],
        "KernelCenterer": X @ X.T,
        "LabelBinarizer": y,
        "LabelEncoder": y,
        "MultiLabelBinarizer": [[1, 2], [2]],
        "PatchExtractor": rng.uniform(size=(3, 8, 8)),
        "TfidfVectorizer": _WORDS,
    }.get(name, X)
    if name in ("LabelBinarizer", "LabelEncoder", "MultiLabelBinarizer"):
        return model.fit(given), given
    errors = []
    for target in (y, y % 2, np.stack([y % 2] * 2, axis=1), X[:, :2], X[:, 0]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                fitted = clone(model).fit(given, target)
            # Which of the targets it takes.
            except (IndexError, TypeError, ValueError) as error:
                errors.append(error)
                continue
        # A copy: what keeps its records tells the very same array from another like it.
        return fitted, given.copy()
    raise errors[0]
