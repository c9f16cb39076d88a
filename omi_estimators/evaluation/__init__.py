"""Estimators compared by patient-grouped cross-validation, and a fitted one validated on a new cohort."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_checklist": ["make_checklist"],
        "_compare": ["compare_estimators"],
        "_inspected": ["inspect_comparison"],
        "_recalibrate": ["RecalibratedClassifier", "recalibrate", "recalibration_gain"],
        "_page": ["Picture", "Section", "Verdict", "new_figure", "render", "render_page", "write_page"],
        "_result": ["ComparisonResult"],
        "_validate": ["validate_model"],
        "_validated": ["ValidationResult"],
    },
)
