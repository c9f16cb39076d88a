"""A model answers once, about a made-up record, before anybody gets it: parts that do not fit each other fail here."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from omi_estimators.persistence._container import ModelFileError
from omi_estimators.persistence._declared import iterate_parts

_ASKED = ("predict_proba", "decision_function", "predict", "transform", "score_samples")
_INNER = ("estimators_", "estimator_", "calibrated_classifiers_", "regressor_", "best_estimator_")
_MOST_VALUES = 10**7


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
    if not _is_fitted(model):
        return
    example = make_example(model)
    if example is None:
        for part in list(iterate_parts(model))[1:]:
            if vars(part).keys() & {"estimators_", "calibrated_classifiers_"} or make_example(part) is not None:
                rehearse(part)
        return
    with warnings.catch_warnings(), np.errstate(all="ignore"), sklearn.config_context(enable_metadata_routing=False):
        warnings.simplefilter("ignore")
        for name in _ASKED:
            if hasattr(model, name):
                answer = getattr(model, name)(example)
                _check_answer(model, name, answer)
        if hasattr(model, "transform") and hasattr(model, "get_feature_names_out"):
            model.get_feature_names_out()


def _check_answer(model: Any, name: str, answer: Any) -> None:
    """Raise a ModelFileError for probabilities of other classes than the model's."""
    classes = getattr(model, "classes_", None)
    if name == "predict_proba" and isinstance(classes, np.ndarray) and answer.shape != (1, len(classes)):
        raise ModelFileError(f"its {type(model).__name__} has probabilities {answer.shape} for classes {classes!r}")


def _is_fitted(model: Any) -> bool:
    try:
        check_is_fitted(model)
    except (sklearn.exceptions.NotFittedError, TypeError):
        return False
    return True


def make_example(part: Any) -> Any:
    """Return one record such as a fitted part takes, or None if that cannot be told."""
    found, kind = vars(part), type(part).__name__
    if found.get("covariate_names_") or kind == "ECGReader":
        return None
    if isinstance(part, Pipeline):
        steps = [step for _, step in part.steps if step not in (None, "passthrough")]
        return make_example(steps[0]) if all(make_example(step) is not None for step in steps[:1]) else None
    if type(part).__module__.startswith("omi_estimators.") and "n_samples_in_" in found:
        return _make_ecg(part)
    if "categories_" in found:
        return np.array([[values[0] for values in part.categories_]], dtype=object)
    if "vocabulary_" in found or kind == "HashingVectorizer":
        return ["a word"] if kind != "DictVectorizer" else [{next(iter(part.vocabulary_)): 1}]
    if kind in ("LabelEncoder", "LabelBinarizer"):
        return part.classes_[:1]
    if kind == "MultiLabelBinarizer":
        return [part.classes_[:1]]
    if kind == "ColumnTransformer":
        return _make_columns(part)
    inner = next((found[name] for name in _INNER if name in found), None)
    inner = inner[0] if isinstance(inner, list) and inner else inner
    if inner is not None and kind not in ("OneVsOneClassifier", "OutputCodeClassifier") and hasattr(inner, "__dict__"):
        example = make_example(inner)
        if example is None or type(inner).__module__.startswith("omi_") or not isinstance(example, np.ndarray):
            return example
        if example.dtype == object or np.shape(example)[1:] == (getattr(part, "n_features_in_", None),):
            return example
    n_features = getattr(part, "n_features_in_", None)
    if not isinstance(n_features, int | np.integer) or not 0 < n_features < _MOST_VALUES:
        return None
    return np.full((1, n_features), 0.5) if not _takes_one_column(part) else np.full(1, 0.5)


def _takes_one_column(part: Any) -> bool:
    return type(part).__name__ == "IsotonicRegression"


def _make_columns(part: Any) -> Any:
    """Return a record for a ColumnTransformer: of each column what its own transformer takes."""
    columns: list[Any] = [0.5] * part.n_features_in_
    for name, transformer, _ in part.transformers_:
        places = part._transformer_to_input_indices[name]
        example = None if isinstance(transformer, str) else make_example(transformer)
        if example is not None and np.shape(example) == (1, len(places)):
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
    return np.resize(ecg.astype(np.float32), (1, n_leads, n_samples))
