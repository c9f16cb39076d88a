"""Estimators compared by patient-grouped cross-validation: figures, pictures, a report."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_checklist": ["make_checklist"],
        "_compare": ["compare_estimators"],
        "_recalibrate": ["RecalibratedClassifier", "recalibrate", "recalibration_gain"],
        "_result": ["ComparisonResult"],
    },
)
