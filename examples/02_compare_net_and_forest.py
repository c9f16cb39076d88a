"""
Compare net and forest
======================

All pipelines take the same raw ECGs, so one loop compares them. No patient stands on both sides of a split, and every
figure comes with an interval. The networks are narrow and the ECGs simulated, so the scores say nothing about a
hospital; ``omi-estimators compare --ptbxl DIR`` does the same on PTB-XL.
"""

import tempfile

import matplotlib.pyplot as plt
from sklearn.base import clone
from sklearn.dummy import DummyClassifier

from omi_estimators import (
    ResNet18Classifier,
    TemporalResNet18Classifier,
    compare_estimators,
    make_forest_pipeline,
    make_net_pipeline,
)
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.displays import PrecisionRecallBandDisplay, RocBandDisplay

ecgs = make_omi_ecgs(n_patients=300, prevalence=0.35, random_state=0)
print(f"{len(ecgs.y)} records of {len(set(ecgs.groups))} patients, {ecgs.y.sum()} with OMI")

# %%
# The networks of the paper differ in their last step only. Each is one network here rather than the average of five,
# which is the default, so that this ends in minutes. Beats and features are kept by record, so that no fold
# measures them again.
cache = tempfile.TemporaryDirectory()
size = {"width": 8, "max_epochs": 25, "n_members": 1, "random_state": 0}
net = make_net_pipeline(ecgs.sampling_rate, memory=cache.name, **size)
models = {
    "ECG-SMART-NET": net,
    "temporal ResNet-18": clone(net).set_params(net=TemporalResNet18Classifier(**size)),
    "ResNet-18": clone(net).set_params(net=ResNet18Classifier(**size)),
    "forest": make_forest_pipeline(ecgs.sampling_rate, memory=cache.name, random_state=0),
    "prevalence": DummyClassifier(),
}

# %%
result = compare_estimators(models, ecgs.X, ecgs.y, groups=ecgs.groups, cv=3, random_state=0, verbose=0)
cache.cleanup()
print(result)

# %%
# AUROC and average precision are averaged over folds; bands are 95 % intervals by bootstrap of patients.
figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
for name in ("ECG-SMART-NET", "temporal ResNet-18", "ResNet-18", "forest"):
    told = (result.y, result.probabilities[name])
    kwargs = {"groups": result.groups, "folds": result.fold, "name": name, "target_names": ("no OMI", "OMI")}
    RocBandDisplay.from_predictions(*told, ax=axes[0], **kwargs)
    PrecisionRecallBandDisplay.from_predictions(*told, ax=axes[1], **kwargs)
plt.show()
