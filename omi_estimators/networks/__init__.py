"""The networks as plain torch modules, knowing nothing of scikit-learn."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_blocks": ["BasicBlock"],
        "_resnets": ["ECGSmartNet", "ResNet18", "TemporalResNet18"],
    },
)
