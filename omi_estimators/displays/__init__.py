"""Pictures of labels against predictions, in scikit-learn's manner: ``from_predictions``, then ``plot``."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_curves": ["DecisionCurveDisplay", "PrecisionRecallBandDisplay", "ReliabilityDisplay", "RocBandDisplay"],
        "_shares": ["ProbabilityDisplay", "RiskTierDisplay"],
        "style": ["COLOURS", "DASHES", "GRID", "finish_axes", "get_axes"],
    },
)
