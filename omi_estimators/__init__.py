"""scikit-learn compatible estimators for occlusion myocardial infarction on the 12-lead ECG."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submodules=[
        "classifiers",
        "datasets",
        "displays",
        "evaluation",
        "features",
        "fusion",
        "inspection",
        "leads",
        "metrics",
        "networks",
        "persistence",
        "preprocessing",
        "readers",
        "splits",
        "triage",
        "typicality",
    ],
    submod_attrs={
        "classifiers": ["ECGSmartNetClassifier", "ResNet18Classifier", "TemporalResNet18Classifier"],
        "evaluation": ["compare_estimators", "recalibrate", "validate_model"],
        "features": ["NeuroKitFeatures"],
        "fusion": ["FusionClassifier"],
        "leads": ["LEADS", "check_ecg"],
        "persistence": ["load", "load_example", "save"],
        "pipelines": ["make_forest_pipeline", "make_fusion", "make_net_pipeline"],
        "preprocessing": ["ECGFilter", "LeadScaler", "MedianBeat", "SignalQuality"],
        "readers": ["load_ecgs", "read_ecg"],
        "triage": ["RiskTierClassifier"],
    },
)

__version__ = "0.1.0"
