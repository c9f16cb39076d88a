"""
Calibration
===========

A model that ranks well may still say 0.9 where 0.6 would be right. Two probabilities of the same patients, before and
after calibration by patient. The ECGs are simulated: the figures say nothing about patients.
"""

import tempfile

import matplotlib.pyplot as plt
from sklearn.model_selection import StratifiedGroupKFold

from omi_estimators import make_forest_pipeline
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.displays import ProbabilityDisplay, ReliabilityDisplay
from omi_estimators.fusion import FusionClassifier
from omi_estimators.metrics import bootstrap_interval

ecgs = make_omi_ecgs(n_patients=500, prevalence=0.25, random_state=0)
train, test = next(StratifiedGroupKFold(2).split(ecgs.X, ecgs.y, ecgs.groups))

# %%
# A forest averages its trees, and the average shies away from 0 and 1. `FusionClassifier` of one model fits it in folds
# by patient, and learns from what it says of patients it has not seen how much to believe it. Networks are the other
# way round: on a few hundred records they are far too sure of themselves. It works for both, given patients enough.
with tempfile.TemporaryDirectory() as cache:
    forest = make_forest_pipeline(ecgs.sampling_rate, memory=cache, random_state=0)
    models = {"as it is": forest, "calibrated": FusionClassifier([("forest", forest)], cv=5, random_state=0)}
    told = {}
    for name, model in models.items():
        patients = {"groups": ecgs.groups[train]} if name == "calibrated" else {}
        told[name] = model.fit(ecgs.X[train], ecgs.y[train], **patients).predict_proba(ecgs.X[test])[:, 1]

# %%
# A slope above 1 is too little confidence, one below 1 too much; an intercept away from 0 the wrong prevalence. The
# AUROC hardly moves.
y, groups = ecgs.y[test], ecgs.groups[test]
metrics = ("calibration_slope", "calibration_intercept", "brier_score", "roc_auc")
for name, probabilities in told.items():
    for metric in metrics:
        print(f"{name}, {metric}: {bootstrap_interval(y, probabilities, metric, groups=groups, random_state=0)}")

# %%
# On the diagonal, what is said is what happens.
figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained", sharey=True)
for ax, (name, probabilities) in zip(axes, told.items(), strict=True):
    names = ("no OMI", "OMI")
    ReliabilityDisplay.from_predictions(y, probabilities, groups=groups, name=name, target_names=names, ax=ax)

# %%
figure, axes = plt.subplots(2, 1, figsize=(6, 6), layout="constrained", sharex=True)
for ax, (name, probabilities) in zip(axes, told.items(), strict=True):
    ProbabilityDisplay.from_predictions(y, probabilities, name=name, target_names=("no OMI", "OMI"), ax=ax)
plt.show()
