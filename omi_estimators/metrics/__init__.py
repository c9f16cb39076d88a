"""From labels and scores to numbers with intervals, by patient."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_bootstrap": ["bootstrap_difference", "bootstrap_interval", "bootstrap_intervals"],
        "_calibration": ["brier_skill_score", "calibration_slope_intercept", "expected_calibration_error"],
        "_curves": ["Curve", "decision_curve", "net_benefit", "precision_recall_band", "reliability_curve", "roc_band"],
        "_delong": ["delong_roc_test", "roc_auc_interval"],
        "_planning": ["patients_needed"],
        "_proportion": ["classification_intervals", "share_by_patient"],
        "_results": ["CalibrationLine", "ClassificationIntervals", "FewEventsWarning", "Interval", "RocTest"],
        "_tiers": [
            "NOT_JUDGED",
            "TIERS",
            "TierCount",
            "TierThresholds",
            "assign_tiers",
            "count_tiers",
            "find_tier_thresholds",
            "threshold_at_ppv",
            "threshold_at_sensitivity",
            "tier_thresholds",
        ],
        "_weighted": ["METRICS"],
    },
)
