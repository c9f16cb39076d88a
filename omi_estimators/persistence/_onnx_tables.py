"""Classifiers of features, and what is made of their probabilities, as ONNX graphs in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from omi_estimators.persistence._declared import is_network, name_type

_N_PROBES = 200
_FORESTS = ("sklearn.ensemble.RandomForestClassifier", "sklearn.ensemble.ExtraTreesClassifier")
_TREES = (*_FORESTS, "sklearn.tree.DecisionTreeClassifier", "sklearn.tree.ExtraTreeClassifier")
_BOOSTED = ("sklearn.ensemble.GradientBoostingClassifier", "sklearn.ensemble.HistGradientBoostingClassifier")
_LINEAR = "sklearn.linear_model.LogisticRegression"
_OF_FEATURES = (*_TREES, *_BOOSTED, _LINEAR)
_FROZEN, _CALIBRATED = "sklearn.frozen.FrozenEstimator", "sklearn.calibration.CalibratedClassifierCV"
_FUSION, _TIERS = "omi_estimators.FusionClassifier", "omi_estimators.RiskTierClassifier"
_RECALIBRATED = "omi_estimators.evaluation.RecalibratedClassifier"
_AROUND = (_FROZEN, _CALIBRATED, _FUSION, _TIERS, _RECALIBRATED)


def _refusal(part: Any, why: str = "") -> TypeError:
    names = ", ".join(name.rpartition(".")[2] for name in (*_OF_FEATURES, *_AROUND))
    return TypeError(
        f"export_onnx cannot write {type(part).__name__}{why and f' {why}'}. It writes the networks of this package, "
        f"{names}, and pipelines that end with one of them. save(model, path) keeps every model."
    )


class Reader(ClassifierMixin, BaseEstimator):
    """A classifier that reads one field, "features" or "beat", of a structured array."""

    def __init__(self, classifier: Any, field: str):
        self.classifier = classifier
        self.field = field

    @property
    def classes_(self) -> NDArray[Any]:
        """Class labels."""
        return self.classifier.classes_

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return the probability of each class."""
        return self.classifier.predict_proba(X[self.field])

    @available_if(lambda self: hasattr(self.classifier, "decision_function"))
    def decision_function(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return the classifier's decision function."""
        return self.classifier.decision_function(X[self.field])


class Cut:
    """A fitted model without the steps that come before features and beats.

    Attributes
    ----------
    model : estimator
        It answers for a structured array with a field for each of `shapes`.
    before : dict of str to list
        The steps left out, by the field that they make: "features", "beat".
    shapes : dict of str to tuple
        Shape of one record of each field.
    names : list of str or None
        Names of the features, if they are known.
    takes_nan : bool
        Whether a feature may be missing.
    """

    def __init__(self, model: Any) -> None:
        self.before: dict[str, Sequence[Any]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.names: list[str] | None = None
        self.takes_nan = True
        self._states: dict[str, str] = {}
        self.model = self._cut(model, [])

    def _cut(self, part: Any, before: list[Any]) -> Any:
        kind, cut = name_type(type(part)), copy.copy(part)
        if isinstance(part, Pipeline):
            *steps, last = [step for _, step in part.steps if step not in (None, "passthrough")] or [None]
            if not is_network(last):
                return self._cut(last, before + steps)
            scaler = [steps.pop()] if steps and type(steps[-1]).__name__ == "LeadScaler" else []
            cut, before, part = make_pipeline(*scaler, last), before + steps, last
        elif not is_network(part) and kind not in (*_OF_FEATURES, *_AROUND):
            raise _refusal(part)
        check_is_fitted(part)
        if is_network(part):
            return self._note(cut, "beat", (part.n_leads_in_, part.n_samples_in_), before)
        if kind in _OF_FEATURES:
            if getattr(part, "n_outputs_", 1) != 1:
                raise _refusal(part, f"of {part.n_outputs_} outputs")
            self.takes_nan &= get_tags(part).input_tags.allow_nan
            names = getattr(part, "feature_names_in_", None)
            if names is None and before and hasattr(before[-1], "get_feature_names_out"):
                names = before[-1].get_feature_names_out()
            self.names = self.names if names is None else [str(name) for name in names]
            return self._note(part, "features", (part.n_features_in_,), before)
        if kind == _FROZEN:
            return self._cut(part.estimator, before)
        if kind == _CALIBRATED:
            if part.method not in ("sigmoid", "isotonic"):
                raise _refusal(part, f"with method={part.method!r}")
            cut.calibrated_classifiers_ = [copy.copy(each) for each in part.calibrated_classifiers_]
            for each in cut.calibrated_classifiers_:
                each.estimator = self._cut(each.estimator, before)
                if isinstance(each.estimator, Reader) and each.estimator.field == "beat":
                    # Its decision function is calibrated, and its graph has probabilities only.
                    net = each.estimator.classifier
                    raise _refusal(net[-1] if isinstance(net, Pipeline) else net, "inside CalibratedClassifierCV")
        elif kind == _FUSION:
            final = part.final_estimator_
            if type(final[-1]) is not LogisticRegression or not final[0].kw_args:
                raise _refusal(part, f"with {type(final[-1]).__name__} as final estimator, or of an early version")
            cut.estimators_ = [self._cut(each, before) for each in part.estimators_]
        else:
            cut.estimator_ = self._cut(part.estimator_, before)
        return cut

    def _note(self, part: Any, field: str, shape: tuple[int, ...], before: list[Any]) -> Reader:
        state = joblib.hash([shape, [[type(step), {**vars(step), "memory": None, "n_jobs": None}] for step in before]])
        if self._states.setdefault(field, state) != state:
            raise TypeError(
                f"export_onnx cannot write parts that read different {field}: the steps before them differ in what "
                "they are or have learned. Fit these steps once, before all parts."
            )
        self.before[field], self.shapes[field] = before, shape
        return Reader(part, field)


class Nodes(NamedTuple):
    """A tree: arrays with an entry for each node, and values of shape (n_nodes, n_values). A leaf leads nowhere."""

    feature: NDArray[Any]
    threshold: NDArray[np.float64]
    left: NDArray[Any]
    right: NDArray[Any]
    missing_left: NDArray[Any]
    values: NDArray[np.float64]


def _read_tree(tree: Any) -> Nodes:
    children = tree.children_left, tree.children_right
    return Nodes(tree.feature, tree.threshold, *children, tree.missing_go_to_left, tree.value[:, 0])


def _read_histogram_tree(tree: Any) -> Nodes:
    names = ("feature_idx", "num_threshold", "left", "right", "missing_go_to_left")
    feature, threshold, left, right, missing_left = (tree.nodes[name] for name in names)
    return Nodes(feature, threshold, left, right, missing_left, tree.nodes["value"][:, np.newaxis])


class Graph:
    """An ONNX graph that grows by calls: ``graph("Add", name, array)`` returns the name of the sum.

    Parameters
    ----------
    export_network : callable
        Returns the ONNX model of a network, or of a scaler and a network, from "beat" to "probability".
    """

    def __init__(self, export_network: Callable[[Any], Any]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.thresholds: list[tuple[NDArray[Any], NDArray[np.float64]]] = []
        self.networks: list[Any] = []
        self._export_network = export_network

    def __call__(self, operator: str, *given: Any, **attributes: Any) -> str:
        from onnx import helper, numpy_helper

        names = []
        for value in given:
            if not isinstance(value, str):
                array = np.asarray(value)
                array = array.astype(np.float64) if array.dtype.kind == "f" else array
                self.constants.append(numpy_helper.from_array(array, f"constant_{len(self.constants)}"))
            names.append(value if isinstance(value, str) else self.constants[-1].name)
        name, domain = f"{operator}_{len(self.nodes)}", "ai.onnx.ml" if operator == "TreeEnsembleRegressor" else ""
        self.nodes.append(helper.make_node(operator, names, [name], name, domain=domain, **attributes))
        return name

    def cast(self, value: str, kind: type = np.float64) -> str:
        """Return a value in another type."""
        from onnx import helper

        return self("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind)))

    def add(self, model: Any) -> tuple[str, str | None]:
        """Add a model of `Cut`; return its probabilities, and its decision function (n_records, columns) if it has one.

        Columns are those of `classes_`.
        """
        part = model.classifier if isinstance(model, Reader) else model
        kind, n_classes = name_type(type(part)), len(model.classes_)
        if isinstance(part, Pipeline) or is_network(part):
            return self._add_network(part), None
        if kind in _TREES:
            trees = [_read_tree(each.tree_) for each in (part.estimators_ if kind in _FORESTS else [part])]
            return self("ReduceMean", self._add_trees(trees), [1], keepdims=0), None
        if kind in _BOOSTED:
            return self._add_boosted(part, n_classes)
        if kind == _LINEAR:
            return self._add_line(part, self.cast("features"), n_classes)
        if kind == _CALIBRATED:
            parts = [self._calibrate(each, n_classes) for each in part.calibrated_classifiers_]
            return self("Div", self("Sum", *parts), float(len(parts))), None
        if kind == _FUSION:
            final, floors = part.final_estimator_, part.final_estimator_[0].kw_args["floors"]
            pairs = zip(part.estimators_, floors, strict=True)
            odds = [self._find_log_odds(self._order(each, part), floor) for each, floor in pairs]
            return self._add_line(final[-1], self("Concat", *odds, axis=1), n_classes)
        prob = self._order(part.estimator_, part)
        if kind == _RECALIBRATED and part.method_ != "none":
            z, (x, y) = self._find_log_odds(prob, part.floor_), part.knots_
            beyond = self("Sub", z, self("Clip", z, x[0], x[-1]))
            moved = self("Add", self._interpolate(z, x, y), self("Mul", beyond, float(part.slope_)))
            prob = self._link(moved, n_classes)
        return prob, None

    def _add_network(self, part: Any) -> str:
        """Put the graph of a network in, with names of its own."""
        from onnx import compose

        prefix = f"network_{len(self.networks)}/"
        network = compose.add_prefix(self._export_network(part), prefix)
        self.networks.append(network)
        self.nodes += network.graph.node
        self.constants += network.graph.initializer
        for node in network.graph.node:
            for i, name in enumerate(node.input):
                node.input[i] = "beat" if name == f"{prefix}beat" else name
        return self.cast(network.graph.output[0].name)

    def _add_trees(self, trees: Sequence[Nodes]) -> str:
        """Return the values of the leaves in which records end, (n_records, n_trees, n_values)."""
        from onnx import numpy_helper

        counts = np.array([len(tree.feature) for tree in trees])
        numbers, of_tree = np.concatenate([np.arange(n) for n in counts]), np.repeat(np.arange(len(trees)), counts)
        whole = Nodes(*(np.concatenate(each) for each in zip(*trees, strict=True)))
        # Nothing leads back to the root, the node 0.
        leaf = whole.left <= 0
        self.thresholds.append((whole.feature[~leaf], whole.threshold[~leaf]))
        whole_numbers = {
            "nodes_treeids": of_tree,
            "nodes_nodeids": numbers,
            "nodes_featureids": np.where(leaf, 0, whole.feature),
            "nodes_truenodeids": np.where(leaf, 0, whole.left),
            "nodes_falsenodeids": np.where(leaf, 0, whole.right),
            "nodes_missing_value_tracks_true": whole.missing_left,
            "target_treeids": of_tree[leaf],
            "target_nodeids": numbers[leaf],
            "target_ids": of_tree[leaf],
        }
        # Each tree is a target of its own and says which leaf, in float32 as the operator's answers are, but exactly
        # so: the values of leaves, summed there, would be rounded. Its successor TreeEnsemble, which answers in
        # float64, decides wrongly in ONNX Runtime 1.21.
        found = self(
            "TreeEnsembleRegressor",
            self.cast("features"),
            nodes_values_as_tensor=numpy_helper.from_array(np.where(leaf, 0.0, whole.threshold)),
            nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
            target_weights_as_tensor=numpy_helper.from_array(numbers[leaf].astype(np.float64)),
            n_targets=len(trees),
            **{name: array.astype(np.int64).tolist() for name, array in whole_numbers.items()},
        )
        starts = np.cumsum(counts) - counts
        return self("Gather", whole.values, self("Add", self.cast(found, np.int64), starts))

    def _add_boosted(self, part: Any, n_classes: int) -> tuple[str, str]:
        columns = 1 if n_classes == 2 else n_classes
        if hasattr(part, "_predictors"):
            rounds, rate, start = [list(row) for row in part._predictors], 1.0, part._baseline_prediction.reshape(-1)
            trees = [_read_histogram_tree(tree) for row in rounds for tree in row]
            if part.is_categorical_ is not None:
                raise _refusal(part, "with categorical features")
        else:
            rate = float(part.learning_rate)
            if part.init not in (None, "zero"):
                raise _refusal(part, "with an init of its own")
            trees = [_read_tree(tree.tree_) for tree in part.estimators_.ravel()]
            zeros = np.zeros((1, part.n_features_in_), np.float32)
            grown = [sum(tree.predict(zeros)[0] for tree in column) for column in part.estimators_.T]
            start = part.decision_function(zeros).reshape(-1) - rate * np.array(grown)
        leaves = self("Reshape", self._add_trees(trees), [0, len(trees) // columns, columns])
        z = self("Add", self("Mul", self("ReduceSum", leaves, [1], keepdims=0), rate), start)
        return self._link(self("Mul", z, 2.0) if part.loss == "exponential" else z, n_classes), z

    def _add_line(self, part: Any, x: str, n_classes: int) -> tuple[str, str]:
        z = self("Add", self("MatMul", x, part.coef_.T), part.intercept_)
        return self._link(z, n_classes), z

    def _link(self, z: str, n_classes: int) -> str:
        """Return probabilities of log-odds, which are one column for two classes."""
        if n_classes > 2:
            return self("Softmax", z, axis=1)
        return self("Concat", self("Sigmoid", self("Neg", z)), self("Sigmoid", z), axis=1)

    def _order(self, part: Any, whole: Any) -> str:
        """Return the probabilities of a part, with its columns in the order of the whole."""
        found = part.classes_.tolist()
        return self("Gather", self.add(part)[0], [found.index(each) for each in whole.classes_.tolist()], axis=1)

    def _find_log_odds(self, prob: str, floor: float) -> str:
        """Return what `omi_estimators.fusion.log_odds` does."""
        low, logs = np.log(floor), self("Log", prob)
        depth = self("Max", self("Sub", low, logs), 0.0)
        bend = self("Sub", 1.0, self("Reciprocal", self("Add", depth, 1.0)))
        bent = self("Sub", self("Max", logs, low), bend)
        return self("Sub", self("Slice", bent, [1], [2**31 - 1], [1]), self("Slice", bent, [0], [1], [1]))

    def _interpolate(self, t: str, x: NDArray[Any], y: NDArray[Any]) -> str:
        """Return the lines through knots at t (n_records, 1); beyond the knots they go on level."""
        if len(x) == 1:
            return self("Add", self("Mul", t, 0.0), y)
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        after = self.cast(self("GreaterOrEqual", t, x[np.newaxis, 1:-1]), np.int64)
        segment = self("ReduceSum", after, [1], keepdims=1)
        left, low, slope = (self("Gather", each, segment) for each in (x[:-1], y[:-1], np.diff(y) / np.diff(x)))
        along = self("Sub", self("Clip", t, x[0], x[-1]), left)
        return self("Add", low, self("Mul", along, slope))

    def _calibrate(self, part: Any, n_classes: int) -> str:
        """Return the probabilities of one classifier with its calibrators, (n_records, n_classes)."""
        prob, response = self.add(part.estimator)
        if response is None:
            response = prob if len(part.estimator.classes_) > 2 else self("Gather", prob, [1], axis=1)
        # scikit-learn's order: of two classes only the second is calibrated.
        places = np.searchsorted(part.classes, part.estimator.classes_) + (n_classes == 2)
        columns: dict[int, str] = {}
        for i, calibrator in enumerate(part.calibrators):
            t = self("Gather", response, [i], axis=1)
            if hasattr(calibrator, "a_"):
                t = self("Sigmoid", self("Neg", self("Add", self("Mul", t, calibrator.a_), calibrator.b_)))
            else:
                t = self._interpolate(t, calibrator.X_thresholds_, calibrator.y_thresholds_)
            columns[int(places[i])] = t
        if n_classes == 2:
            return self("Concat", self("Sub", 1.0, columns[1]), columns[1], axis=1)
        nothing = self("Mul", columns[min(columns)], 0.0)
        prob = self("Concat", *(columns.get(i, nothing) for i in range(n_classes)), axis=1)
        total = self("ReduceSum", prob, [1], keepdims=1)
        is_none = self("Equal", total, 0.0)
        return self("Where", is_none, 1 / n_classes, self("Div", prob, self("Where", is_none, 1.0, total)))


def make_graph(cut: Cut, export_network: Callable[[Any], Any]) -> tuple[Any, NDArray[Any]]:
    """Return the ONNX model of a model that was cut, and records to ask both about, features at thresholds among them.

    Parameters
    ----------
    cut : Cut
        The model.
    export_network : callable
        As in `Graph`.

    Returns
    -------
    onnx.ModelProto
        From the fields of `cut` to "probability".
    ndarray of shape (n_probes,), structured
        Made-up records.
    """
    from onnx import TensorProto, helper

    graph = Graph(export_network)
    prob = graph.add(cut.model)[0]
    if "features" in cut.shapes:
        # What scikit-learn refuses is not answered: times zero it is NaN.
        x = graph.cast("features")
        known = graph("Where", graph("IsNaN", x), 0.0, x) if cut.takes_nan else x
        prob = graph("Add", prob, graph("ReduceSum", graph("Mul", known, 0.0), [1], keepdims=1))
    graph.nodes.append(helper.make_node("Identity", [prob], ["probability"]))
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n_records", *shape])
        for name, shape in cut.shapes.items()
    ]
    n_classes = len(cut.model.classes_)
    output = helper.make_tensor_value_info("probability", TensorProto.DOUBLE, ["n_records", n_classes])
    opset = max([18, *(each.version for model in graph.networks for each in model.opset_import if not each.domain)])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "model", inputs, [output], graph.constants),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=max([10, *(model.ir_version for model in graph.networks)]),
        functions=[function for model in graph.networks for function in model.functions],
    )
    return model, _make_probes(cut, graph.thresholds)


def _make_probes(cut: Cut, thresholds: list[tuple[NDArray[Any], NDArray[np.float64]]]) -> NDArray[Any]:
    rng = np.random.default_rng(0)
    probes = np.zeros(_N_PROBES, [(name, np.float32, shape) for name, shape in cut.shapes.items()])
    for name, shape in cut.shapes.items():
        walk = rng.normal(size=(_N_PROBES, *shape))
        probes[name] = walk if name == "features" else walk.cumsum(axis=-1) / 10
    if thresholds:
        feature, threshold = (np.concatenate(each) for each in zip(*thresholds, strict=True))
        for column in np.unique(feature):
            at = threshold[(feature == column) & (np.abs(threshold) < np.finfo(np.float32).max)]
            if at.size:
                drawn = rng.choice(at, _N_PROBES).astype(np.float32)
                toward = rng.choice(np.array([-np.inf, 0, np.inf], np.float32), _N_PROBES)
                probes["features"][:, column] = np.where(toward == 0, drawn, np.nextafter(drawn, toward))
    if "features" in cut.shapes and cut.takes_nan:
        probes["features"][rng.random(probes["features"].shape) < 0.1] = np.nan
    return probes
