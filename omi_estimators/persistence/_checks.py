"""Checks of a loaded model: numbers that compiled code follows, whole, before it sees them; then it answers once.

Trees are rebuilt column by column, in the order of the scikit-learn at hand, whatever order a file has them in. Parts
that do not fit each other fail when the model answers, about a made-up record, before anybody gets it.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import is_dataclass
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils import estimator_html_repr
from sklearn.utils.validation import check_is_fitted

from omi_estimators._compat import PRIVATE_TYPES, node_dtypes, safe_indexing
from omi_estimators.persistence._container import require
from omi_estimators.persistence._declared import UNCHECKED, is_network, iterate_parts, name_type

# Beyond what a machine has; the libraries that compute in threads end the process where they cannot have so many.
MOST_WORKERS = 256
_MOST_VALUES = 10**7
_LEAF = -1
# Arrays that compiled code reads row by row, each as long as a record.
_AS_LONG_AS_A_RECORD = ("cluster_centers_", "components_", "exp_dirichlet_component_", "_fit_X", "subcluster_centers_")

_ASKED = ("predict_proba", "decision_function", "predict", "predict_tier", "transform", "score_samples")
# ECGs take a while.
_ASKED_OF_ECGS = ("predict_proba", "predict_tier", "transform")
_INNER = ("estimators_", "estimator_", "calibrated_classifiers_", "regressor_", "estimator")
_BATCH = 32
_N_RECORDS = 5
_FILLS = (0.5, 0.0, 1.0)


def check_model(model: Any) -> None:
    """Check a loaded model as a whole, and ask it once about a made-up record.

    Parameters
    ----------
    model : estimator
        Fitted or not; what it holds has been checked piece by piece.

    Raises
    ------
    Exception
        A ModelFileError if what compiled code follows does not fit; an error of any kind if the model has no answer.
    """
    for part in iterate_parts(model):
        _check_followed(part)
    asked: set[int] = set()
    with warnings.catch_warnings(), np.errstate(all="ignore"), sklearn.config_context(enable_metadata_routing=False):
        warnings.simplefilter("ignore")
        for part in iterate_parts(model):
            # Results show themselves.
            str(part) if is_dataclass(part) else None
            inner = list(iterate_parts(part))
            is_trusted = any(name_type(type(each)) in UNCHECKED for each in inner)
            # A network has been held to its own parameters, and asking it takes long the first time.
            if id(part) in asked or is_network(part) or not _is_fitted(part) or is_trusted:
                continue
            if make_example(part, 0) is not None:
                _ask_with_any(part)
                asked |= {id(each) for each in inner}
            elif name_type(type(part)) not in PRIVATE_TYPES and any(hasattr(part, method) for method in _ASKED):
                # scikit-learn's always say what they take; around ours, which read ECGs, nobody can.
                ours = any(type(each).__module__.startswith("omi_estimators.") for each in inner)
                require(ours, f"its {type(part).__name__} does not say what records it takes")
        estimator_html_repr(model)


def make_tree(
    kind: Any, n_features: int, n_classes: NDArray[Any], n_outputs: int, nodes: dict[str, Any], values: NDArray[Any]
) -> Any:
    """Return a decision tree of scikit-learn's; raise a ModelFileError for numbers that lead out of it."""
    table = _make_table(nodes, node_dtypes()[0])
    inner = table["left_child"] != _LEAF
    depth = _measure_depth(table["left_child"], table["right_child"], inner)
    _check_features(table["feature"][inner], n_features)
    require((table["right_child"][~inner] == _LEAF).all(), "a decision tree has a leaf with a child")
    are_some = n_classes.shape == (n_outputs,) and n_classes.dtype.kind == "i" and n_outputs > 0
    require(are_some and (n_classes > 0).all(), "a decision tree has other outputs than classes")
    fits = values.shape == (len(table), n_outputs, n_classes.max()) and values.dtype == np.float64
    require(fits, "a decision tree's values do not fit its nodes")
    are_numbers = np.isfinite(values).all() and not np.isnan(table["threshold"][inner]).any()
    require(are_numbers, "a decision tree has a value or threshold that is no number")
    tree = kind(n_features, n_classes.astype(np.intp), n_outputs)
    state = {"max_depth": depth, "node_count": len(table), "nodes": table, "values": np.ascontiguousarray(values)}
    tree.__setstate__(state)
    return tree


def make_tree_predictor(kind: Any, nodes: dict[str, Any], **bitsets: NDArray[Any]) -> Any:
    """Return a tree of histogram gradient boosting; its features are checked with the whole."""
    table = _make_table(nodes, node_dtypes()[1])
    inner = table["is_leaf"] == 0
    _measure_depth(table["left"].astype(np.int64), table["right"].astype(np.int64), inner)
    by_set = inner & (table["is_categorical"] != 0)
    for array in bitsets.values():
        fits = array.dtype == np.uint32 and array.shape[1:] == (8,) and (table["bitset_idx"][by_set] < len(array)).all()
        require(fits, "a boosted tree asks for a set of categories that it does not have")
    return kind(nodes=table, **{name: np.ascontiguousarray(array) for name, array in bitsets.items()})


def _make_table(columns: dict[str, Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a node array as compiled code here reads it, of columns by name."""
    names, (shape, *others) = dtype.names or (), {column.shape for column in columns.values()}
    fit = set(columns) == set(names) and not others and len(shape) == 1 and shape[0] > 0
    require(fit, "a tree has other columns than those of its kind, or of other lengths")
    table = np.zeros(shape[0], dtype=dtype)
    for name in names:
        is_alike = columns[name].dtype.kind == table[name].dtype.kind
        require(is_alike, f"a tree's column {name} has another type: {columns[name].dtype}")
        table[name] = columns[name]
        is_same = np.array_equal(table[name], columns[name], equal_nan=table[name].dtype.kind == "f")
        require(is_same, f"a tree's column {name} has numbers that are too large")
    return table


def _measure_depth(left: NDArray[Any], right: NDArray[Any], inner: NDArray[np.bool_]) -> int:
    """Return the steps from the root to the furthest leaf; raise a ModelFileError if the ways make no tree."""
    children = np.stack([left[inner], right[inner]])
    # Children come after their parent, so that no way is a circle.
    inside = (children > np.flatnonzero(inner)).all() and (children < len(left)).all()
    require(inside, "a decision tree leads to a node that it does not have")
    once = (np.bincount(children.ravel(), minlength=len(left))[1:] == 1).all()
    require(once, "a decision tree leads to a node twice, or never")
    level, depth = np.zeros(1, dtype=np.intp), -1
    while len(level):
        level = level[inner[level]]
        level, depth = np.concatenate([left[level], right[level]]).astype(np.intp), depth + 1
    return depth


def _check_features(features: NDArray[Any], n_features: int) -> None:
    """Raise a ModelFileError if a node asks for a feature that is none."""
    inside = 0 < n_features <= _MOST_VALUES and (features >= 0).all() and (features < n_features).all()
    require(inside, f"a decision tree asks for a feature that is none of its {n_features}")


def _check_followed(part: Any) -> None:
    """Raise an error unless what compiled code follows in an estimator fits the estimator."""
    found, its, n_features = vars(part), f"its {type(part).__name__}", vars(part).get("n_features_in_")
    if "n_features_in_" in found:
        is_count = isinstance(n_features, int | np.integer) and 0 < n_features <= _MOST_VALUES
        require(is_count, f"{its} is for {n_features!r} features")
    if "classes_" in found:
        for classes in part.classes_ if isinstance(part.classes_, list) else [part.classes_]:
            # Some find the column of a class by its name, and write to it unchecked.
            each_once = classes.ndim == 1 and len(set(classes.tolist())) == len(classes)
            require(each_once, f"{its} has classes that are none, or twice the same")
        if isinstance(found.get("coef_"), np.ndarray) and isinstance(part.classes_, np.ndarray):
            n_classes = len(part.classes_)
            fits = n_classes > 1 and len(part.coef_) == (1 if n_classes == 2 else n_classes)
            require(fits, f"{its} has other classes than rows of coefficients")
    if "tree_" in found:
        _check_tree_of(part, part, n_features)
    if type(part).__name__ in _WITH_TREES:
        _WITH_TREES[type(part).__name__](part)
    elif hasattr(part, "decision_path"):
        for member in found.get("estimators_", ()):
            _check_tree_of(part, member, n_features)
    for categories in found.get("categories_", ()):
        # Numbers are looked up by bisection, whose answer is used as a place; only the last may be missing.
        is_last_missing = categories.dtype.kind == "f" and len(categories) > 0 and np.isnan(categories[-1])
        known = categories[:-1] if is_last_missing else categories
        rise = categories.dtype.kind not in "biuf" or (known[1:] > known[:-1]).all()
        require(categories.ndim == 1 and rise, f"the categories of {its} do not rise")
    if type(part).__name__ == "OneHotEncoder" and "categories_" in found:
        _check_columns(part)
    if "encodings_" in found:
        n_each = len(part.classes_) if part.target_type_ == "multiclass" else 1
        lengths = [len(categories) for categories in part.categories_ for _ in range(n_each)]
        require([len(each) for each in part.encodings_] == lengths, f"{its} has other encodings than categories")
    if "vocabulary_" in found:
        places = sorted(part.vocabulary_.values())
        require(places == list(range(len(places))), f"the words of {its} have other places than one column each")
    for name in _AS_LONG_AS_A_RECORD if n_features is not None else ():
        fits = found.get(name) is None or (found[name].ndim == 2 and found[name].shape[1] == n_features)
        require(fits, f"{name} of {its} does not fit {n_features} features")


def _check_tree_of(part: Any, member: Any, n_features: Any) -> None:
    """Raise a ModelFileError unless a member is a tree for the features, outputs and classes of the whole."""
    tree, n_classes = vars(member)["tree_"], getattr(part, "n_classes_", None)
    fits = tree.n_features == n_features and tree.n_outputs == getattr(part, "n_outputs_", 1)
    fits &= n_classes is None or tree.n_classes.tolist() == np.ravel(n_classes).tolist()
    require(fits, f"a decision tree is for another number of features or outputs than its {type(part).__name__}")


def _check_isolation(part: Any) -> None:
    """Raise an error unless each tree fits the features that are drawn for it."""
    if "estimators_" in vars(part):
        lengths = (part._average_path_length_per_tree, part._decision_path_lengths)
        for member, drawn, *paths in zip(part.estimators_, part.estimators_features_, *lengths, strict=True):
            tree = vars(member)["tree_"]
            _check_features(np.asarray(drawn), part.n_features_in_)
            fits = {tree.n_features, len(drawn)} == {part._max_features}
            require(fits, "an IsolationForest has a tree for other features than those drawn")
            fit = all(each.shape == (tree.node_count,) for each in paths)
            require(fit, "an IsolationForest has lengths of other paths than those of its trees")


def _check_boosting(part: Any) -> None:
    """Raise a ModelFileError unless all trees, and what they are added to, are of one shape."""
    if "estimators_" in vars(part):
        n_columns = part.n_trees_per_iteration_
        fits = part.estimators_.ndim == 2 and part.estimators_.shape[1] == n_columns
        require(fits, "gradient boosting has another number of trees per step than it claims")
        for member in part.estimators_.ravel():
            _check_tree_of(member, member, part.n_features_in_)
            require(vars(member)["tree_"].max_n_classes == 1, "gradient boosting has a tree of classes")
        start = part._raw_predict_init(np.full((1, part.n_features_in_), 0.5, dtype=np.float32))
        fits = start.shape == (1, n_columns)
        require(fits, "gradient boosting begins with another number of values than it has trees")


def _check_histogram_boosting(part: Any) -> None:
    """Raise a ModelFileError unless all trees ask for features and categories that there are."""
    if "_predictors" not in vars(part):
        return
    bins, n_features = part._bin_mapper, part.n_features_in_
    thresholds, by_set = bins.bin_thresholds_, bins.is_categorical_
    fit = len(thresholds) == n_features and by_set.shape == (n_features,) and by_set.dtype == np.uint8
    require(fit, "gradient boosting has bins of other features than its own")
    fit = part._preprocess_X(make_example(part, 0.5), reset=False).shape == (1, n_features)
    require(fit, "gradient boosting encodes its records as other features than its trees ask for")
    for values in (thresholds[place] for place in np.flatnonzero(by_set)):
        fit = ((values >= 0) & (values < 256) & (values == np.floor(values))).all()
        require(fit, "gradient boosting has a category that no set holds")
    for nodes in (predictor.nodes for step in part._predictors for predictor in step):
        inner = nodes[nodes["is_leaf"] == 0]
        _check_features(inner["feature_idx"], n_features)
        fit = by_set[inner["feature_idx"][inner["is_categorical"] != 0]].all()
        require(fit, "gradient boosting has a node that takes a number for a category")


_WITH_TREES = {
    "IsolationForest": _check_isolation,
    **dict.fromkeys(("GradientBoostingClassifier", "GradientBoostingRegressor"), _check_boosting),
    **dict.fromkeys(("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"), _check_histogram_boosting),
}


def _check_columns(part: Any) -> None:
    """Raise a ModelFileError unless each category of a OneHotEncoder has a column that there is."""
    counted = part._compute_n_features_outs()
    grouped = part._default_to_infrequent_mappings if part._infrequent_enabled else [None] * len(counted)
    dropped = [None] * len(counted) if part._drop_idx_after_grouping is None else part._drop_idx_after_grouping
    require(part._n_features_outs == counted, "a OneHotEncoder has other columns than categories")
    for categories, group, drop, n_columns in zip(part.categories_, grouped, dropped, counted, strict=True):
        columns = np.arange(len(categories)) if group is None else group
        n_columns += drop is not None
        fits = columns.shape == (len(categories),) and ((columns >= 0) & (columns < n_columns)).all()
        fits = fits and (drop is None or 0 <= drop < n_columns)
        require(fits, "a OneHotEncoder has a category without a column")


def _is_fitted(model: Any) -> bool:
    with suppress(NotFittedError, TypeError):
        check_is_fitted(model)
        return True
    return False


def _ask_with_any(part: Any) -> None:
    """Raise the error of the last of several records that a model has no answer for; one answer is enough."""
    for fill in _FILLS:
        try:
            return _ask_for_every_answer(part, make_example(part, fill))
        # Some know no category 0.5, others no 0.
        except ValueError:
            if fill == _FILLS[-1]:
                raise


def _ask_for_every_answer(model: Any, example: Any) -> None:
    """Raise an error of any kind if a model has no answer, or probabilities of other classes than its own."""
    asked: tuple[str, ...] = _ASKED_OF_ECGS
    if np.ndim(example) != 3:
        # Several records alike, as a wrong shape may pass for a single one.
        example, asked = safe_indexing(example, list(range(len(example))) * _N_RECORDS), _ASKED
    for name in (name for name in asked if hasattr(model, name)):
        answer, classes = getattr(model, name)(example), getattr(model, "classes_", None)
        if name == "predict_proba" and isinstance(classes, np.ndarray):
            fits = answer.shape == (len(example), len(classes))
            require(fits, f"its {type(model).__name__} has probabilities {answer.shape} for classes {classes!r}")
    if hasattr(model, "transform") and hasattr(model, "get_feature_names_out"):
        model.get_feature_names_out()


def make_example(part: Any, fill: float) -> Any:
    """Return a record such as a fitted part takes, None if that cannot be told; `fill` where any number will do."""
    found, kind = vars(part), type(part).__name__
    if isinstance(part, Pipeline):
        steps = [step for _, step in part.steps if step not in (None, "passthrough")]
        # What fills in missing words knows none of them, but what encodes them does.
        knowing = [step for step in steps if "categories_" in vars(step)]
        known = [step for step in knowing if step.n_features_in_ == getattr(steps[0], "n_features_in_", None)]
        return make_example((known or steps)[0], fill) if steps else None
    if "n_samples_in_" in found:
        return None if found.get("covariate_names_") else _make_ecg(part)
    if kind in _OF_THEIR_KIND:
        return _OF_THEIR_KIND[kind](part, fill)
    if "categories_" in found:
        # Each category once at least.
        n_records = max(map(len, part.categories_))
        return np.stack([np.resize(np.asarray(each, dtype=object), n_records) for each in part.categories_], axis=1)
    if found.get("_preprocessor") is not None:
        return make_example(part._preprocessor, fill)
    inner: Any = [found[name] for name in _INNER if name in found]
    while isinstance(inner, list | tuple | np.ndarray) and len(inner):
        inner = inner[0]
    example = make_example(inner, fill) if hasattr(inner, "__dict__") else None
    is_row = example is None or (isinstance(example, np.ndarray) and example.ndim == 2 and example.dtype != object)
    n_features = getattr(part, "n_features_in_", None)
    return example if not is_row or n_features is None else np.full((1, n_features), fill)


# What takes no row of numbers.
_OF_THEIR_KIND: dict[str, Any] = {
    "ColumnTransformer": lambda part, fill: _make_columns(part, fill),
    "CountVectorizer": lambda part, fill: [" ".join(part.vocabulary_)],
    "DummyClassifier": lambda part, fill: np.full((1, 1), fill),
    "DummyRegressor": lambda part, fill: np.full((1, 1), fill),
    "DictVectorizer": lambda part, fill: [dict.fromkeys(part.feature_names_, 1.0)],
    "FeatureHasher": lambda part, fill: [{"a": fill}] if part.input_type == "dict" else [[("a", fill)]],
    "ECGReader": lambda part, fill: None,
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
    is_possible = n_leads * n_samples <= _MOST_VALUES
    require(is_possible, f"its {type(part).__name__} is for records of {n_leads} leads and {n_samples} samples")
    rate = vars(part).get("sampling_rate")
    try:
        ecg = make_omi_ecgs(n_patients=1, sampling_rate=rate, duration=n_samples / rate, random_state=0).X
    except (TypeError, ValueError):
        ecg = np.random.default_rng(0).normal(size=(1, 1, n_samples))
    shape = (n_samples,) if n_leads == 1 and part.n_features_in_ == n_samples else (n_leads, n_samples)
    # A network answers for a whole batch at once; for less it first finds out whether less gives the same.
    return np.resize(ecg.astype(np.float32), (_BATCH if is_network(part) else 1, *shape))
