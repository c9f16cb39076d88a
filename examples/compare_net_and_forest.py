"""
Compare the net and the forest
==============================

Both pipelines take the same raw ECGs, so one loop compares them. No patient stands on both sides of a
split, and every figure comes with an interval. The ECGs are simulated, so the scores say nothing about a
hospital; `omi-estimators compare --ptbxl DIR` does the same on PTB-XL.
"""

import tempfile

from sklearn.dummy import DummyClassifier

from omi_estimators import compare_estimators, make_forest_pipeline, make_net_pipeline
from omi_estimators.datasets import make_omi_ecgs

ecgs = make_omi_ecgs(n_patients=120, prevalence=0.25, random_state=0)

with tempfile.TemporaryDirectory() as cache:
    result = compare_estimators(
        {
            "forest": make_forest_pipeline(sampling_rate=500, memory=cache, random_state=0),
            "net": make_net_pipeline(sampling_rate=500, memory=cache, width=16, max_epochs=20, random_state=0),
            "prevalence": DummyClassifier(),
        },
        ecgs.X,
        ecgs.y,
        groups=ecgs.groups,
        cv=3,
        random_state=0,
    )
print(result)
