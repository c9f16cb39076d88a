"""What may be in a model file, declared: types by their public names, functions, and the attributes of each type.

A name that is not found here is refused before anything is imported for it or made of it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from omi_estimators._compat import FITTED_PRIVATE, PRIVATE_TYPES, READ_NUMBERS, find_private_type, read_numbers
from omi_estimators.persistence._container import ModelFileError, require

# Every class of ours that a file may hold, by the shortest way to import it: a new one is a word here. A class names
# its fitted attributes that begin with an underscore in `_fitted_private`.
_OURS = {
    "omi_estimators": "ECGFilter ECGSmartNetClassifier FusionClassifier LeadScaler MedianBeat NeuroKitFeatures"
    " ResNet18Classifier RiskTierClassifier SignalQuality TemporalResNet18Classifier",
    "omi_estimators.evaluation": "RecalibratedClassifier",
    "omi_estimators.features": "RocketFeatures",
    "omi_estimators.metrics": "Interval TierThresholds",
    "omi_estimators.pipelines": "ECGPipeline",
    "omi_estimators.preprocessing": "BadLeadMasker",
    "omi_estimators.readers": "ECGReader",
    "omi_estimators.typicality": "ECGProfile",
}

# Where all public classes are estimators, folds or kernels. Longer names first: a class belongs to the first that fits.
_SCIKIT_LEARN = (
    "feature_extraction.image feature_extraction.text gaussian_process.kernels calibration cluster compose"
    " covariance cross_decomposition decomposition discriminant_analysis dummy ensemble feature_extraction"
    " feature_selection frozen gaussian_process impute isotonic kernel_approximation kernel_ridge linear_model"
    " manifold mixture model_selection multiclass multioutput naive_bayes neighbors neural_network pipeline"
    " preprocessing random_projection semi_supervised svm tree"
).split()

# Parameters that are functions or types, by the name under which anybody imports them.
_FUNCTIONS = {
    "builtins": "bool float int object str",
    "numpy": "abs arcsinh cbrt exp expm1 log log10 log1p log2 max mean median min sinh sqrt square sum bool_ float16"
    " float32 float64 int8 int16 int32 int64 object_ str_ uint8 uint16 uint32 uint64",
    "omi_estimators.candidates": "flatten",
    "omi_estimators.fusion": "log_odds",
    "sklearn.feature_selection": "chi2 f_classif f_regression mutual_info_classif mutual_info_regression r_regression",
}

_PRIVATE_TREE = "its tree is of scikit-learn's private objects; what it found can be had by KMeans"
_SEARCH = "its results are no part of a model; save its best_estimator_"
REFUSED = {
    "sklearn.cluster.BisectingKMeans": _PRIVATE_TREE,
    "sklearn.cluster.HDBSCAN": "it answers for no new record",
    "sklearn.neighbors.KernelDensity": "its records stand in a compiled tree alone",
    **{f"sklearn.model_selection.{n}SearchCV": _SEARCH for n in ("Grid", "Randomized", "HalvingGrid", "HalvingRandom")},
}
# Compiled code follows their numbers, and no check of ours tells that it stays within its memory.
UNCHECKED = frozenset(
    f"sklearn.{name}"
    for name in (
        "svm.NuSVC svm.NuSVR svm.OneClassSVM svm.SVC svm.SVR neighbors.KNeighborsClassifier"
        " neighbors.KNeighborsRegressor neighbors.KNeighborsTransformer neighbors.LocalOutlierFactor"
        " neighbors.NearestNeighbors neighbors.RadiusNeighborsClassifier neighbors.RadiusNeighborsRegressor"
        " neighbors.RadiusNeighborsTransformer"
    ).split()
)

_FITTED = re.compile(r"[A-Za-z]\w*_", re.ASCII)
# scikit-learn's callbacks, and its record of who asked for which metadata, which mentions the estimator it belongs to.
NOT_SAVED = ("_skl_callbacks", "_metadata_request")


def find_type(name: Any) -> Any:
    """Return the class that a public name stands for; raise a ModelFileError for a name that is not declared."""
    module, _, last = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    if last in _OURS.get(module, "").split():
        return getattr(importlib.import_module(module), last)
    if name in PRIVATE_TYPES:
        return find_private_type(name)
    if module.removeprefix("sklearn.") in _SCIKIT_LEARN and module[:8] == "sklearn." and name not in REFUSED:
        found: Any = getattr(importlib.import_module(module), last, None)
        if _is_part(found) and found.__name__ == last and found.__module__.startswith(module):
            return found
    raise ModelFileError(f"it holds types that load does not trust: {name!r}")


def _is_part(found: Any) -> bool:
    """Return whether something of scikit-learn's is a class of estimators, folds or kernels, and no base of such."""
    from sklearn.base import BaseEstimator
    from sklearn.gaussian_process.kernels import Kernel
    from sklearn.model_selection import BaseCrossValidator, BaseShuffleSplit

    kinds = BaseEstimator | BaseCrossValidator | BaseShuffleSplit | Kernel
    return isinstance(found, type) and issubclass(found, kinds) and not inspect.isabstract(found)


def name_type(kind: type) -> str | None:
    """Return the public name of a class, None for one that no file may hold."""
    ours = [f"{module}.{kind.__name__}" for module, names in _OURS.items() if kind.__name__ in names.split()]
    private = [name for name, place in PRIVATE_TYPES.items() if place == f"{kind.__module__}:{kind.__name__}"]
    modules = [f"sklearn.{module}" for module in _SCIKIT_LEARN]
    public = [f"{module}.{kind.__name__}" for module in modules if kind.__module__.startswith(module)]
    for name in (*ours, *private, *public[:1]):
        with suppress(ModelFileError):
            if name in REFUSED or find_type(name) is kind:
                return name
    return None


def find_function(name: Any) -> Any:
    """Return the function or type that a name stands for; raise a ModelFileError for one that is not declared."""
    module, _, last = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    if name == READ_NUMBERS:
        return read_numbers
    is_known = last in _FUNCTIONS.get(module, "").split()
    require(is_known, f"it holds types that load does not trust: {name!r} as a function")
    return getattr(importlib.import_module(module), last)


def name_function(value: Any) -> str | None:
    """Return the name of a function or type that may be a parameter, None for any other."""
    if isinstance(value, functools.partial):
        same = (value.func, value.args, value.keywords) == (read_numbers.func, (), read_numbers.keywords)
        return READ_NUMBERS if same else None
    names = [f"{module}.{last}" for module, lasts in _FUNCTIONS.items() for last in lasts.split()]
    return next((name for name in names if find_function(name) is value), None) if callable(value) else None


def is_fitted_attribute(kind: type, name: str) -> bool:
    """Return whether `fit` may leave an attribute of this name, which hides nothing that the class has."""
    private = (*FITTED_PRIVATE.get(".".join(kind.__module__.split(".")[:2]), ()), *getattr(kind, "_fitted_private", ()))
    known = _FITTED.fullmatch(name) or name in private
    return bool(known) and inspect.getattr_static(kind, name, None) is None


@functools.cache
def parameter_names(kind: Any) -> list[str]:
    """Return the names of what a class is made of: the parameters of its constructor."""
    found = inspect.signature(kind).parameters.values()
    return [each.name for each in found if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]


def iterate_parts(model: Any) -> Iterator[Any]:
    """Yield each object of ours and scikit-learn's inside a model once, itself first; lists and the like are entered.

    Parameters
    ----------
    model : object
        An estimator, or a container of such.

    Yields
    ------
    object
        An estimator, or what one has learned that is a class of its own.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from omi_estimators import LeadScaler, MedianBeat
    >>> from omi_estimators.persistence import iterate_parts
    >>> [type(part).__name__ for part in iterate_parts(make_pipeline(MedianBeat(sampling_rate=500), LeadScaler()))]
    ['Pipeline', 'MedianBeat', 'LeadScaler']
    """
    stack, seen = [model], set()
    while stack:
        found = stack.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, dict):
            stack += reversed(list(found.values()))
        elif isinstance(found, list | tuple):
            stack += reversed(found)
        elif isinstance(found, np.ndarray) and found.dtype == object:
            stack += reversed(found.ravel().tolist())
        elif _is_ours_or_theirs(type(found)) and hasattr(found, "__dict__") and not inspect.isroutine(found):
            yield found
            stack += reversed([value for name, value in vars(found).items() if name not in NOT_SAVED])


def _is_ours_or_theirs(kind: type) -> bool:
    return kind.__module__.startswith(("omi_estimators.", "sklearn.")) and kind is not type


def is_network(part: Any) -> bool:
    """Return whether an object is one of our network classifiers, without loading torch to find out."""
    return any(kind.__name__ == "NetClassifier" for kind in type(part).__mro__)
