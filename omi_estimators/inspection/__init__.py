"""What a record holds and what a fitted model looks at: pictures, saliency, ablation, importance."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_ablation": ["Ablation", "AblationDisplay", "ablation_importance"],
        "_beats": ["BeatDisplay", "FiducialDisplay"],
        "_feature_importance": ["FeatureImportance", "FeatureImportanceDisplay", "feature_importance"],
        "_paper": ["ECGDisplay"],
        "_saliency": ["Saliency", "SaliencyDisplay", "randomisation_check", "saliency"],
    },
)
