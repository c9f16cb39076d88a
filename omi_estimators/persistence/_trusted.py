"""What a model file may hold: the types by name, and how they are told from a skops file before skops reads it.

skops trusts every estimator of scikit-learn and every function of NumPy. A model of ours needs far fewer, and what
is not needed is not trusted.
"""

from __future__ import annotations

from typing import Any

_OURS = (
    "omi_estimators.classifiers._ecg_smart_net.ECGSmartNetClassifier",
    "omi_estimators.classifiers._resnet18.ResNet18Classifier",
    "omi_estimators.classifiers._temporal_resnet18.TemporalResNet18Classifier",
    "omi_estimators.evaluation._recalibrate.RecalibratedClassifier",
    "omi_estimators.features._neurokit_features.NeuroKitFeatures",
    "omi_estimators.fusion.FusionClassifier",
    "omi_estimators.metrics._results.Interval",
    "omi_estimators.metrics._tiers.TierThresholds",
    "omi_estimators.pipelines.ECGPipeline",
    "omi_estimators.preprocessing._beat.MedianBeat",
    "omi_estimators.preprocessing._ecg_filter.ECGFilter",
    "omi_estimators.preprocessing._mask.BadLeadMasker",
    "omi_estimators.preprocessing._scale.LeadScaler",
    "omi_estimators.preprocessing._signal_quality.SignalQuality",
    "omi_estimators.readers._ecg_reader.ECGReader",
    "omi_estimators.triage.RiskTierClassifier",
    "omi_estimators.typicality.ECGProfile",
)

# What our pipelines, fusion, calibration, and the estimators of the command line are made of.
_SCIKIT_LEARN = (
    "sklearn.calibration.CalibratedClassifierCV",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.decomposition._pca.PCA",
    "sklearn.dummy.DummyClassifier",
    "sklearn.ensemble._forest.RandomForestClassifier",
    "sklearn.ensemble._voting.VotingClassifier",
    "sklearn.frozen._frozen.FrozenEstimator",
    "sklearn.isotonic.IsotonicRegression",
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.model_selection._split.GroupKFold",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedGroupKFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.StandardScaler",
    "sklearn.preprocessing._function_transformer.FunctionTransformer",
    "sklearn.preprocessing._label.LabelEncoder",
    "sklearn.tree._classes.DecisionTreeClassifier",
)

_KEYS = (
    *("numpy.str_", "numpy.float32", "numpy.float64"),
    *("numpy.int8", "numpy.int16", "numpy.int32", "numpy.int64", "numpy.uint8"),
)
_NUMBERS = ("numpy.bool", "numpy.bool_", *_KEYS)

# By the kind of node that skops makes of them. A kind that is absent here is trusted for no type.
_TRUSTED: dict[str, frozenset[str]] = {
    "DictNode": frozenset({"builtins.dict", "sklearn.utils._bunch.Bunch"}),
    "FunctionNode": frozenset({"omi_estimators.candidates._flatten", "omi_estimators.fusion.log_odds"}),
    "JsonNode": frozenset({"builtins.str"}),
    "ListNode": frozenset({"builtins.list"}),
    "NdArrayNode": frozenset({"numpy.ndarray", *_NUMBERS}),
    "ObjectNode": frozenset({*_OURS, *_SCIKIT_LEARN}),
    "TreeNode": frozenset({"sklearn.tree._tree.Tree"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    # The types of the keys of dictionaries. Not bool: skops would read both keys back as True.
    "TypeNode": frozenset({"builtins.str", "builtins.int", "builtins.float", *_KEYS}),
}

TRUSTED_NAMES = sorted(frozenset().union(*_TRUSTED.values()))

# A second mention of an object that the file holds already.
REFERENCE = "CachedNode"

Node = dict[str, Any]


def type_name(node: Node) -> str:
    """Return the name of the type or function that a node stands for."""
    return f"{node['__module__']}.{node['__class__']}"


def is_trusted(node: Node) -> bool:
    """Return whether a node is of a kind and type that a model of ours may hold."""
    return node["__loader__"] == REFERENCE or type_name(node) in _TRUSTED.get(node["__loader__"], ())


def children(node: Node) -> list[tuple[str, Node]]:
    """Return the nodes directly under a trusted one with their names, in the order in which skops reads them."""
    loader = node["__loader__"]
    if loader == "DictNode":
        return [("keys", node["key_types"]), *node["content"].items()]
    if loader in ("ListNode", "TupleNode"):
        return [(str(index), child) for index, child in enumerate(node["content"])]
    if loader == "NdArrayNode" and node["type"] == "json":
        return [*((str(index), child) for index, child in enumerate(node["content"])), ("shape", node["shape"])]
    if loader == "ObjectNode":
        return [("", node["content"])] if node.get("content") is not None else []
    if loader == "TreeNode":
        return [("", node["content"]), ("constructor", node["__reduce__"]["args"])]
    return []
