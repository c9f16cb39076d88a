"""What a record holds and what a fitted model looks at: pictures, saliency, ablation, importance."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_ablation": ["Ablation", "ablation_importance"],
        "_ablation_display": ["AblationDisplay"],
        "_beat_display": ["BeatDisplay"],
        "_ecg_display": ["ECGDisplay"],
        "_feature_display": ["FeatureImportanceDisplay"],
        "_feature_importance": ["FeatureImportance", "feature_importance"],
        "_fiducial_display": ["FiducialDisplay"],
        "_saliency": ["Saliency", "randomisation_check", "saliency"],
        "_saliency_display": ["SaliencyDisplay"],
    },
)
