"""Numbers that compiled code follows without asking: checked whole before it sees them, and counted anew.

Trees are rebuilt column by column, in the order of the scikit-learn at hand, whatever order a file has them in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omi_estimators._compat import node_dtypes
from omi_estimators.persistence._container import ModelFileError

# Beyond what a machine has; the libraries that compute in threads end the process where they cannot have so many.
MOST_WORKERS = 256
_MOST_FEATURES = 10**7
_LEAF = -1
# Arrays that compiled code reads row by row, each as long as a record.
_AS_LONG_AS_A_RECORD = ("cluster_centers_", "components_", "exp_dirichlet_component_", "_fit_X", "subcluster_centers_")


def make_tree(
    kind: Any, n_features: int, n_classes: NDArray[Any], n_outputs: int, nodes: dict[str, Any], values: NDArray[Any]
) -> Any:
    """Return a decision tree of scikit-learn's; raise a ModelFileError for numbers that lead out of it."""
    table = _make_table(nodes, node_dtypes()[0])
    inner = table["left_child"] != _LEAF
    depth = _measure_depth(table["left_child"], table["right_child"], inner)
    _check_features(table["feature"][inner], n_features)
    if (table["right_child"][~inner] != _LEAF).any():
        raise ModelFileError("a decision tree has a leaf with a child")
    if n_classes.shape != (n_outputs,) or n_classes.dtype.kind != "i" or n_outputs < 1 or (n_classes < 1).any():
        raise ModelFileError("a decision tree has other outputs than classes")
    if values.shape != (len(table), n_outputs, n_classes.max()) or values.dtype != np.float64:
        raise ModelFileError("a decision tree's values do not fit its nodes")
    if not np.isfinite(values).all() or np.isnan(table["threshold"][inner]).any():
        raise ModelFileError("a decision tree has a value or threshold that is no number")
    tree = kind(n_features, n_classes.astype(np.intp), n_outputs)
    state = {"max_depth": depth, "node_count": len(table), "nodes": table, "values": np.ascontiguousarray(values)}
    tree.__setstate__(state)
    return tree


def make_tree_predictor(kind: Any, nodes: dict[str, Any], **bitsets: NDArray[Any]) -> Any:
    """Return a tree of histogram gradient boosting; its features are checked with the whole (`check_followed`)."""
    table = _make_table(nodes, node_dtypes()[1])
    inner = table["is_leaf"] == 0
    _measure_depth(table["left"].astype(np.int64), table["right"].astype(np.int64), inner)
    shapes = {array.shape for array in bitsets.values()}
    if any(array.dtype != np.uint32 for array in bitsets.values()) or len(shapes) != 1 or len(bitsets) != 2:
        raise ModelFileError("a boosted tree's sets of categories do not fit each other")
    (n_sets, n_words), by_set = shapes.pop(), inner & (table["is_categorical"] != 0)
    if n_words != 8 or (table["bitset_idx"][by_set] >= n_sets).any():
        raise ModelFileError("a boosted tree asks for a set of categories that it does not have")
    return kind(nodes=table, **{name: np.ascontiguousarray(array) for name, array in bitsets.items()})


def _make_table(columns: dict[str, Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a node array as compiled code here reads it, of columns by name."""
    names = dtype.names or ()
    shapes = {column.shape for column in columns.values()}
    if set(columns) != set(names) or len(shapes) != 1 or len(shape := shapes.pop()) != 1 or shape[0] < 1:
        raise ModelFileError("a tree has other columns than those of its kind, or of other lengths")
    table = np.zeros(shape[0], dtype=dtype)
    for name in names:
        if columns[name].dtype.kind != table[name].dtype.kind:
            raise ModelFileError(f"a tree's column {name} has another type: {columns[name].dtype}")
        table[name] = columns[name]
        if not np.array_equal(table[name], columns[name], equal_nan=table[name].dtype.kind == "f"):
            raise ModelFileError(f"a tree's column {name} has numbers that are too large")
    return table


def _measure_depth(left: NDArray[Any], right: NDArray[Any], inner: NDArray[np.bool_]) -> int:
    """Return the steps from the root to the furthest leaf; raise a ModelFileError if the ways make no tree."""
    children = np.stack([left[inner], right[inner]])
    # Children come after their parent, so that no way is a circle.
    if (children <= np.flatnonzero(inner)).any() or (children >= len(left)).any():
        raise ModelFileError("a decision tree leads to a node that it does not have")
    if (np.bincount(children.ravel(), minlength=len(left))[1:] != 1).any():
        raise ModelFileError("a decision tree leads to a node twice, or never")
    level, depth = np.zeros(1, dtype=np.intp), -1
    while len(level):
        level = level[inner[level]]
        level, depth = np.concatenate([left[level], right[level]]).astype(np.intp), depth + 1
    return depth


def _check_features(features: NDArray[Any], n_features: int) -> None:
    """Raise a ModelFileError if a node asks for a feature that is none."""
    if not 0 < n_features <= _MOST_FEATURES or (features < 0).any() or (features >= n_features).any():
        raise ModelFileError(f"a decision tree asks for a feature that is none of its {n_features}")


def check_followed(part: Any) -> None:
    """Check that what compiled code follows in an estimator fits the estimator.

    Parameters
    ----------
    part : object
        Of a loaded model; what it holds has been checked by itself.

    Raises
    ------
    ModelFileError
        If it does not fit.
    """
    from sklearn import ensemble
    from sklearn.preprocessing import OneHotEncoder, TargetEncoder

    found = vars(part)
    n_features = found.get("n_features_in_")
    if "n_features_in_" in found and not (
        isinstance(n_features, int | np.integer) and 0 < n_features <= _MOST_FEATURES
    ):
        raise ModelFileError(f"its {type(part).__name__} is for {n_features!r} features")
    if isinstance(found.get("coef_"), np.ndarray) and isinstance(found.get("classes_"), np.ndarray):
        n_classes = len(part.classes_)
        if n_classes < 2 or len(part.coef_) != (1 if n_classes == 2 else n_classes):
            raise ModelFileError(f"its {type(part).__name__} has other classes than rows of coefficients")
    if "classes_" in found:
        for classes in part.classes_ if isinstance(part.classes_, list) else [part.classes_]:
            # Some find the column of a class by its name, and write to it unchecked.
            if classes.ndim != 1 or len(set(classes.tolist())) != len(classes):
                raise ModelFileError(f"its {type(part).__name__} has classes that are none, or twice the same")
    forests = ensemble.RandomForestClassifier | ensemble.RandomForestRegressor | ensemble.ExtraTreesClassifier
    forests |= ensemble.ExtraTreesRegressor | ensemble.RandomTreesEmbedding
    if "tree_" in found:
        _check_tree_of(part, part, n_features)
    elif isinstance(part, forests) and "estimators_" in found:
        for member in part.estimators_:
            _check_tree_of(part, member, n_features)
    elif isinstance(part, ensemble.IsolationForest) and "estimators_" in found:
        _check_isolation(part)
    elif isinstance(part, ensemble.GradientBoostingClassifier | ensemble.GradientBoostingRegressor):
        _check_boosting(part)
    elif isinstance(part, ensemble.HistGradientBoostingClassifier | ensemble.HistGradientBoostingRegressor):
        _check_histogram_boosting(part)
    for categories in found.get("categories_", ()):
        # Numbers are looked up by bisection, whose answer is used as a place; only the last may be missing.
        last = categories.dtype.kind == "f" and len(categories) > 0 and np.isnan(categories[-1])
        known = categories[:-1] if last else categories
        rising = categories.dtype.kind not in "biuf" or (known[1:] > known[:-1]).all()
        if categories.ndim != 1 or not rising:
            raise ModelFileError(f"the categories of its {type(part).__name__} do not rise")
    if isinstance(part, OneHotEncoder) and "categories_" in found:
        _check_columns(part)
    elif isinstance(part, TargetEncoder) and "categories_" in found:
        n_each = len(part.classes_) if part.target_type_ == "multiclass" else 1
        lengths = [len(categories) for categories in part.categories_ for _ in range(n_each)]
        if [len(encoding) for encoding in part.encodings_] != lengths:
            raise ModelFileError("a TargetEncoder has other encodings than categories")
    if "vocabulary_" in found and sorted(part.vocabulary_.values()) != list(range(len(part.vocabulary_))):
        raise ModelFileError(f"the words of its {type(part).__name__} have other places than one column each")
    for name in _AS_LONG_AS_A_RECORD:
        array = found.get(name)
        if n_features is not None and array is not None and (array.ndim != 2 or array.shape[1] != n_features):
            raise ModelFileError(f"{name} of its {type(part).__name__} does not fit {n_features} features")


def _check_tree_of(part: Any, member: Any, n_features: Any) -> None:
    """Raise a ModelFileError unless a member is a tree for the features, outputs and classes of the whole."""
    tree = vars(member)["tree_"]
    classes, outputs = np.ravel(getattr(part, "n_classes_", 1)), getattr(part, "n_outputs_", 1)
    classifies = hasattr(part, "n_classes_")
    if (
        tree.n_features != n_features
        or tree.n_outputs != outputs
        or (classifies and tree.n_classes.tolist() != classes.tolist())
    ):
        raise ModelFileError(
            f"a decision tree is for another number of features or outputs than its {type(part).__name__}"
        )


def _check_isolation(part: Any) -> None:
    """Raise a ModelFileError unless each tree fits the features that are drawn for it."""
    drawn = part.estimators_features_
    if (
        not len(drawn)
        == len(part.estimators_)
        == len(part._average_path_length_per_tree)
        == len(part._decision_path_lengths)
    ):
        raise ModelFileError("an IsolationForest has other numbers of trees and of what belongs to them")
    per_tree = (part.estimators_, drawn, part._average_path_length_per_tree, part._decision_path_lengths)
    for member, features, *lengths in zip(*per_tree, strict=True):
        tree = vars(member)["tree_"]
        _check_features(np.asarray(features), part.n_features_in_)
        if {tree.n_features, len(features)} != {part._max_features}:
            raise ModelFileError("an IsolationForest has a tree for other features than those drawn")
        if any(array.shape != (tree.node_count,) for array in lengths):
            raise ModelFileError("an IsolationForest has lengths of other paths than those of its trees")


def _check_boosting(part: Any) -> None:
    """Raise a ModelFileError unless all trees, and what they are added to, are of one shape."""
    if "estimators_" not in vars(part):
        return
    trees = part.estimators_
    if trees.ndim != 2 or trees.shape[1] != part.n_trees_per_iteration_:
        raise ModelFileError("gradient boosting has another number of trees per step than it claims")
    for member in trees.ravel():
        _check_tree_of(member, member, part.n_features_in_)
        if vars(member)["tree_"].max_n_classes != 1:
            raise ModelFileError("gradient boosting has a tree of classes")
    start = part._raw_predict_init(np.full((1, part.n_features_in_), 0.5, dtype=np.float32))
    if start.shape != (1, trees.shape[1]):
        raise ModelFileError("gradient boosting begins with another number of values than it has trees")


def _check_histogram_boosting(part: Any) -> None:
    """Raise a ModelFileError unless all trees ask for features and categories that there are."""
    if "_predictors" not in vars(part):
        return
    bins, n_features = part._bin_mapper, part.n_features_in_
    thresholds, categorical = bins.bin_thresholds_, bins.is_categorical_
    if len(thresholds) != n_features or categorical.shape != (n_features,) or categorical.dtype != np.uint8:
        raise ModelFileError("gradient boosting has bins of other features than its own")
    from omi_estimators.persistence._rehearsal import make_example

    if part._preprocess_X(make_example(part, 0.5), reset=False).shape != (1, n_features):
        raise ModelFileError("gradient boosting encodes its records as other features than its trees ask for")
    for values in (values for values, by_set in zip(thresholds, categorical, strict=True) if by_set):
        if not ((values >= 0) & (values < 256) & (values == np.floor(values))).all():
            raise ModelFileError("gradient boosting has a category that no set holds")
    for nodes in (predictor.nodes for step in part._predictors for predictor in step):
        inner = nodes[nodes["is_leaf"] == 0]
        _check_features(inner["feature_idx"], n_features)
        if not categorical[inner["feature_idx"][inner["is_categorical"] != 0]].all():
            raise ModelFileError("gradient boosting has a node that takes a number for a category")


def _check_columns(part: Any) -> None:
    """Raise a ModelFileError unless each category of a OneHotEncoder has a column that there is."""
    counted = part._compute_n_features_outs()
    grouped = part._default_to_infrequent_mappings if part._infrequent_enabled else [None] * len(counted)
    dropped = [None] * len(counted) if part._drop_idx_after_grouping is None else part._drop_idx_after_grouping
    if part._n_features_outs != counted:
        raise ModelFileError("a OneHotEncoder has other columns than categories")
    for categories, group, drop, n_columns in zip(part.categories_, grouped, dropped, counted, strict=True):
        columns = np.arange(len(categories)) if group is None else group
        n_columns += drop is not None
        inside = columns.shape == (len(categories),) and ((columns >= 0) & (columns < n_columns)).all()
        if not inside or not (drop is None or 0 <= drop < n_columns):
            raise ModelFileError("a OneHotEncoder has a category without a column")
