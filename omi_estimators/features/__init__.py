"""From waveform to a named table of measurements."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_catalogue": ["GROUPS", "NEUROKIT_GROUPS", "Measure", "catalogue", "feature_names"],
        "_delineate": ["Fiducials", "delineate"],
        "_neurokit": ["DELINEATORS", "PEAK_DETECTORS"],
        "_neurokit_features": ["AFTER_R", "BEFORE_R", "delineate_average", "NeuroKitFeatures", "measure_record"],
        "_rocket": ["RocketFeatures"],
    },
)
