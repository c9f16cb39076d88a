"""The networks as scikit-learn classifiers."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_ecg_smart_net": ["PAPER_RECIPE", "ECGSmartNetClassifier"],
        "_prediction": ["inference_network", "shift_prior"],
        "_resnet18": ["ResNet18Classifier"],
        "_temporal_resnet18": ["TemporalResNet18Classifier"],
        "_training": ["build_network", "restore_networks"],
    },
)
