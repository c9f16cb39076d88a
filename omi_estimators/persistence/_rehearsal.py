"""A model answers once, about a made-up record, before anybody gets it: parts that do not fit each other fail here."""

from __future__ import annotations

import warnings
from dataclasses import is_dataclass
from typing import Any

import numpy as np
import sklearn
from sklearn.pipeline import Pipeline
from sklearn.utils import estimator_html_repr
from sklearn.utils.validation import check_is_fitted

from omi_estimators._compat import PRIVATE_TYPES
from omi_estimators.persistence._container import ModelFileError
from omi_estimators.persistence._declared import UNCHECKED, is_network, iterate_parts, name_type

_ASKED = ("predict_proba", "decision_function", "predict", "predict_tier", "transform", "score_samples")
_OF_ECGS = ("predict_proba", "predict_tier", "transform")
_INNER = ("estimators_", "estimator_", "calibrated_classifiers_", "regressor_", "estimator")
_MOST_VALUES = 10**7
_BATCH = 32
_N_RECORDS = 5
_FILLS = (0.5, 0.0, 1.0)


def rehearse(model: Any) -> None:
    """Ask a model, or what it is made of where nobody can tell what it takes, about one made-up record.

    Parameters
    ----------
    model : object
        Fitted or not; what compiled code follows in it has been checked.

    Raises
    ------
    Exception
        Of any kind, if it has no answer.
    """
    asked: set[int] = set()
    with warnings.catch_warnings(), np.errstate(all="ignore"), sklearn.config_context(enable_metadata_routing=False):
        warnings.simplefilter("ignore")
        for part in iterate_parts(model):
            # Results show themselves.
            str(part) if is_dataclass(part) else None
            inner = list(iterate_parts(part))
            # A network has been held to its own parameters, and asking it takes long the first time.
            if id(part) in asked or is_network(part) or not _is_fitted(part) or _is_trusted(inner):
                continue
            if make_example(part, 0) is None:
                _check_untold(part, inner)
            else:
                _ask_with_any(part)
                asked |= {id(each) for each in inner}
        estimator_html_repr(model)


def _check_untold(part: Any, inner: list[Any]) -> None:
    """Raise a ModelFileError if nobody can tell what an estimator of scikit-learn takes that always says so."""
    ours = any(type(each).__module__.startswith("omi_estimators.") for each in inner)
    name = name_type(type(part))
    if not ours and name not in PRIVATE_TYPES and any(hasattr(part, method) for method in _ASKED):
        raise ModelFileError(f"its {type(part).__name__} does not say what records it takes")


def _is_trusted(parts: list[Any]) -> bool:
    """Return whether there is one among the parts that the caller takes as it is."""
    return any(name_type(type(part)) in UNCHECKED for part in parts)


def _ask_with_any(part: Any) -> None:
    """Raise the error of the last of several records that a model has no answer for; one answer is enough."""
    for fill in _FILLS:
        try:
            return _ask_for_every_answer(part, _repeat(make_example(part, fill)))
        # Some know no category 0.5, others no 0.
        except ValueError:
            if fill == _FILLS[-1]:
                raise


def _repeat(example: Any) -> Any:
    """Return several records like one, as a wrong shape may pass for a single one; of ECGs one, as they take long."""
    if np.ndim(example) == 3:
        return example
    if hasattr(example, "iloc"):
        return example.iloc[[0] * _N_RECORDS]
    return example * _N_RECORDS if isinstance(example, list) else np.repeat(example, _N_RECORDS, axis=0)


def _ask_for_every_answer(model: Any, example: Any) -> None:
    """Raise an error of any kind if a model has no answer, or probabilities of other classes than its own."""
    asked = [name for name in _ASKED if hasattr(model, name)]
    # ECGs take a while.
    for name in [name for name in asked if name in _OF_ECGS] if np.ndim(example) == 3 else asked:
        answer = getattr(model, name)(example)
        if name == "predict_proba":
            _check_answer(model, answer, len(example))
    if hasattr(model, "transform") and hasattr(model, "get_feature_names_out"):
        model.get_feature_names_out()


def _check_answer(model: Any, answer: Any, n_records: int) -> None:
    """Raise a ModelFileError for probabilities of other classes than the model's."""
    classes = getattr(model, "classes_", None)
    if isinstance(classes, np.ndarray) and answer.shape != (n_records, len(classes)):
        raise ModelFileError(f"its {type(model).__name__} has probabilities {answer.shape} for classes {classes!r}")


def _is_fitted(model: Any) -> bool:
    try:
        check_is_fitted(model)
    except (sklearn.exceptions.NotFittedError, TypeError):
        return False
    return True


def make_example(part: Any, fill: float) -> Any:
    """Return a record such as a fitted part takes, None if that cannot be told; `fill` where any number will do."""
    found, kind = vars(part), type(part).__name__
    if isinstance(part, Pipeline):
        steps = [step for _, step in part.steps if step not in (None, "passthrough")]
        # What fills in missing words knows none of them, but what encodes them does.
        knowing = [step for step in steps if "categories_" in vars(step)]
        known = [step for step in knowing if step.n_features_in_ == getattr(steps[0], "n_features_in_", None)]
        return make_example((known or steps)[0], fill) if steps else None
    if found.get("covariate_names_") or kind == "ECGReader":
        return None
    if found.get("_preprocessor") is not None:
        return make_example(part._preprocessor, fill)
    if "n_samples_in_" in found:
        return _make_ecg(part)
    if kind in _OF_THEIR_KIND:
        return _OF_THEIR_KIND[kind](part, fill)
    if "categories_" in found:
        # Each category once at least.
        n_records = max(map(len, part.categories_))
        return np.stack([np.resize(np.asarray(each, dtype=object), n_records) for each in part.categories_], axis=1)
    inner: Any = [found[name] for name in _INNER if name in found]
    while isinstance(inner, list | tuple | np.ndarray) and len(inner):
        inner = inner[0]
    example = make_example(inner, fill) if hasattr(inner, "__dict__") else None
    if (isinstance(example, np.ndarray) and example.ndim == 2 and example.dtype != object) or example is None:
        n_features = getattr(part, "n_features_in_", None)
        usual = isinstance(n_features, int | np.integer) and 0 < n_features < _MOST_VALUES
        return np.full((1, n_features), fill) if usual else example
    return example


# What takes no row of numbers.
_OF_THEIR_KIND: dict[str, Any] = {
    "ColumnTransformer": lambda part, fill: _make_columns(part, fill),
    "CountVectorizer": lambda part, fill: [" ".join(part.vocabulary_)],
    "DummyClassifier": lambda part, fill: np.full((1, 1), fill),
    "DummyRegressor": lambda part, fill: np.full((1, 1), fill),
    "DictVectorizer": lambda part, fill: [dict.fromkeys(part.feature_names_, 1.0)],
    "FeatureHasher": lambda part, fill: [{"a": fill}] if part.input_type == "dict" else [[("a", fill)]],
    "HashingVectorizer": lambda part, fill: ["a word"],
    "IsotonicRegression": lambda part, fill: np.full(1, fill),
    "LabelBinarizer": lambda part, fill: part.classes_,
    "LabelEncoder": lambda part, fill: part.classes_,
    "MultiLabelBinarizer": lambda part, fill: [part.classes_[:1]],
    "PatchExtractor": lambda part, fill: np.full((1, *(part.patch_size or (10, 10))), fill),
    "TfidfVectorizer": lambda part, fill: [" ".join(part.vocabulary_)],
}


def _make_columns(part: Any, fill: float) -> Any:
    """Return a record for a ColumnTransformer: of each column what its own transformer takes."""
    columns: list[Any] = [fill] * part.n_features_in_
    for name, transformer, _ in part.transformers_:
        places = part._transformer_to_input_indices[name]
        example = None if isinstance(transformer, str) else make_example(transformer, fill)
        if example is not None and np.shape(example)[1:] == (len(places),):
            for place, value in zip(places, np.asarray(example, dtype=object)[0], strict=True):
                columns[place] = value
    if "feature_names_in_" not in vars(part):
        return np.array([columns], dtype=object if not all(isinstance(c, float) for c in columns) else None)
    import pandas as pd

    return pd.DataFrame([columns], columns=part.feature_names_in_)


def _make_ecg(part: Any) -> Any:
    """Return an ECG, or noise where there is no ECG of such a rate and length."""
    from omi_estimators.datasets import make_omi_ecgs

    n_leads = vars(part).get("_n_leads", vars(part).get("n_leads_in_", 1))
    n_samples = part.n_samples_in_
    if not n_leads * n_samples <= _MOST_VALUES:
        raise ModelFileError(f"its {type(part).__name__} is for records of {n_leads} leads and {n_samples} samples")
    rate = vars(part).get("sampling_rate")
    try:
        ecg = make_omi_ecgs(n_patients=1, sampling_rate=rate, duration=n_samples / rate, random_state=0).X
    except (TypeError, ValueError):
        ecg = np.random.default_rng(0).normal(size=(1, 1, n_samples))
    shape = (n_samples,) if n_leads == 1 and part.n_features_in_ == n_samples else (n_leads, n_samples)
    # A network answers for a whole batch at once; for less it first finds out whether less gives the same.
    return np.resize(ecg.astype(np.float32), (_BATCH if is_network(part) else 1, *shape))
