"""
Fusion of net and forest
========================

`make_fusion` stacks both on their log-odds, cross-fitted by patient, so that the weights are learned from what each
says of patients it has not seen. The ECGs are simulated: the figures say nothing about patients.
"""

import tempfile

import matplotlib.pyplot as plt
from sklearn.model_selection import StratifiedGroupKFold

from omi_estimators import make_fusion
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.displays import RocBandDisplay
from omi_estimators.metrics import roc_auc_interval

ecgs = make_omi_ecgs(n_patients=400, prevalence=0.4, random_state=0)
train, test = next(StratifiedGroupKFold(2).split(ecgs.X, ecgs.y, ecgs.groups))

# %%
# One narrow network, to be quick; five of full width are the default. Beats and features are kept by record, so that
# the inner folds measure nothing twice.
with tempfile.TemporaryDirectory() as cache:
    net_params = {"width": 8, "max_epochs": 25, "n_members": 1}
    fusion = make_fusion(ecgs.sampling_rate, cv=3, memory=cache, net_params=net_params, random_state=0)
    fusion.fit(ecgs.X[train], ecgs.y[train], groups=ecgs.groups[train])
    told = {"fusion": fusion.predict_proba(ecgs.X[test])[:, 1]}
    for name, part in zip(("net", "forest"), fusion.estimators_, strict=True):
        told[name] = part.predict_proba(ecgs.X[test])[:, 1]

# %%
# The fitted parts are at hand, and so is the last step.
print(
    "weights of the log-odds:",
    dict(zip(("net", "forest"), fusion.final_estimator_[-1].coef_[0].round(2).tolist(), strict=True)),
)
figure, ax = plt.subplots(figsize=(5.4, 5), layout="constrained")
y, groups = ecgs.y[test], ecgs.groups[test]
for name, probabilities in told.items():
    print(f"{name}: AUROC {roc_auc_interval(y, probabilities, groups=groups, random_state=0)}")
    RocBandDisplay.from_predictions(y, probabilities, groups=groups, name=name, target_names=("no OMI", "OMI"), ax=ax)
plt.show()
