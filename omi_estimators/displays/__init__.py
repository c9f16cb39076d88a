"""Pictures of labels against predictions, in scikit-learn's manner: ``from_predictions``, then ``plot``."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_decision": ["DecisionCurveDisplay"],
        "_precision_recall": ["PrecisionRecallBandDisplay"],
        "_probability": ["ProbabilityDisplay"],
        "_reliability": ["ReliabilityDisplay"],
        "_roc": ["RocBandDisplay"],
        "_tiers": ["RiskTierDisplay"],
    },
)
