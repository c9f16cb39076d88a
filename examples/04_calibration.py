"""
Calibration
===========

A model that ranks well may still say 0.9 where 0.6 would be right. Two probabilities of the same patients, before and
after calibration by patient. The ECGs are simulated: the figures say nothing about patients.
"""

import tempfile

import matplotlib.pyplot as plt
from sklearn.model_selection import StratifiedGroupKFold

from omi_estimators import make_net_pipeline
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.displays import ProbabilityDisplay, ReliabilityDisplay
from omi_estimators.fusion import FusionClassifier
from omi_estimators.metrics import bootstrap_interval, calibration_slope_intercept

ecgs = make_omi_ecgs(n_patients=260, prevalence=0.25, random_state=0)
train, test = next(StratifiedGroupKFold(2).split(ecgs.X, ecgs.y, ecgs.groups))

# %%
# A network on a few hundred records is far too sure of itself. `FusionClassifier` of one model fits it in folds by
# patient, and learns from what it says of patients it has not seen how much to believe it.
with tempfile.TemporaryDirectory() as cache:
    net = make_net_pipeline(memory=cache, width=8, max_epochs=25, random_state=0)
    models = {"as it is": net, "calibrated": FusionClassifier([("net", net)], cv=3, random_state=0)}
    told = {}
    for name, model in models.items():
        patients = {"groups" if name == "calibrated" else "net__groups": ecgs.groups[train]}
        model.fit(ecgs.X[train], ecgs.y[train], **patients)
        told[name] = model.predict_proba(ecgs.X[test])[:, 1]

# %%
# A slope below 1 is overconfidence, an intercept away from 0 the wrong prevalence. The AUROC hardly moves.
y, groups = ecgs.y[test], ecgs.groups[test]
for name, probabilities in told.items():
    found = calibration_slope_intercept(y, probabilities, groups=groups, random_state=0)
    brier = bootstrap_interval(y, probabilities, "brier_score", groups=groups, random_state=0)
    auroc = bootstrap_interval(y, probabilities, "roc_auc", groups=groups, random_state=0)
    print(f"{name}: slope {found.slope}, intercept {found.intercept}, Brier score {brier}, AUROC {auroc}")

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
