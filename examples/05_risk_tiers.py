"""
Thresholds and risk tiers
=========================

Net and forest fused, thresholds chosen on patients that no model was fitted on, and what each tier holds among
patients put aside from the start. The ECGs are simulated: the figures say nothing about patients.
"""

import tempfile

import matplotlib.pyplot as plt
from sklearn.model_selection import StratifiedGroupKFold

from omi_estimators import RiskTierClassifier, make_fusion
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.displays import DecisionCurveDisplay, RiskTierDisplay
from omi_estimators.metrics import classification_intervals, roc_auc_interval
from omi_estimators.triage import tier_table

# %%
# A quarter of patients has an occlusion, and the net is narrow and but one, so that this ends in two minutes.
ecgs = make_omi_ecgs(n_patients=120, prevalence=0.25, random_state=0)
train, test = next(StratifiedGroupKFold(3).split(ecgs.X, ecgs.y, ecgs.groups))

# %%
# Beats and features are kept by record, so that the inner folds measure nothing twice.
with tempfile.TemporaryDirectory() as cache:
    net_params = {"width": 8, "max_epochs": 20, "n_members": 1}
    fusion = make_fusion(ecgs.sampling_rate, cv=3, memory=cache, net_params=net_params, random_state=0)
    model = RiskTierClassifier(fusion, cv=3, random_state=0)
    model.fit(ecgs.X[train], ecgs.y[train], groups=ecgs.groups[train])
    tiers, prob = model.predict_tier(ecgs.X[test]), model.predict_proba(ecgs.X[test])[:, 1]
print(model.thresholds_)

# %%
# What the tiers hold among patients who had no part in any of this.
print(tier_table(ecgs.y[test], tiers, groups=ecgs.groups[test]).round(2).to_string())

# %%
# AUROC, and sensitivity and predictive values at the threshold between low and high, and at a prevalence of 7 %.
print("AUROC", roc_auc_interval(ecgs.y[test], prob, groups=ecgs.groups[test], random_state=0))
cut = model.thresholds_.max_f1.estimate
print(classification_intervals(ecgs.y[test], prob, cut, groups=ecgs.groups[test], prevalence=0.07, random_state=0))

# %%
# The share of occlusions in each tier, and what acting on the probability is worth at each threshold.
names = ("no OMI", "OMI")
RiskTierDisplay.from_predictions(ecgs.y[test], tiers, groups=ecgs.groups[test], target_names=names)

# %%
DecisionCurveDisplay.from_predictions(ecgs.y[test], prob, groups=ecgs.groups[test], name="fusion", target_names=names)
plt.show()
