"""From labels and scores to numbers with intervals, by patient."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_bootstrap": ["bootstrap_difference", "bootstrap_interval"],
        "_calibration": ["brier_skill_score", "calibration_slope_intercept", "expected_calibration_error"],
        "_classification": ["classification_intervals"],
        "_curves": ["Curve", "decision_curve", "precision_recall_band", "reliability_curve", "roc_band"],
        "_decision": ["net_benefit", "threshold_at_ppv", "threshold_at_sensitivity"],
        "_delong": ["delong_roc_test"],
        "_results": ["CalibrationLine", "ClassificationIntervals", "FewEventsWarning", "Interval", "RocTest"],
        "_roc_auc": ["roc_auc_interval"],
        "_tiers": ["TierThresholds", "assign_tiers", "tier_thresholds"],
    },
)
