"""From labels and scores to numbers with intervals, by patient."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_bootstrap": ["bootstrap_difference", "bootstrap_interval"],
        "_calibration": ["calibration_slope_intercept", "expected_calibration_error"],
        "_checks": ["FewEventsWarning"],
        "_decision": ["net_benefit", "threshold_at_ppv", "threshold_at_sensitivity"],
        "_delong": ["delong_roc_test"],
        "_results": ["CalibrationLine", "Interval", "RocTest"],
        "_roc_auc": ["roc_auc_interval"],
    },
)
