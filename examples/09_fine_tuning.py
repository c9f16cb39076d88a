"""
Fine-tuning on another hospital
===============================

A network learned at one hospital goes on learning at another, which has few records and noisier ones. Three ways: take
it as it is, train anew on the few, or go on from the weights. The ECGs are simulated: the figures say nothing about
patients.
"""

import matplotlib.pyplot as plt
import numpy as np

from omi_estimators import ECGSmartNetClassifier, make_net_pipeline
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.metrics import roc_auc_interval

first = make_omi_ecgs(n_patients=300, prevalence=0.4, random_state=0)
second = make_omi_ecgs(n_patients=40, prevalence=0.3, noise=3.0, random_state=1)
tested = make_omi_ecgs(n_patients=150, prevalence=0.3, noise=3.0, random_state=2)

# %%
# The steps before the network learn nothing, so that both hospitals share them. Single networks are compared; the
# default is the average of five.
to_beats = make_net_pipeline(first.sampling_rate)[:-1]
beats = {
    name: to_beats.fit_transform(ecgs.X) for name, ecgs in [("first", first), ("second", second), ("tested", tested)]
}
size = {"width": 8, "max_epochs": 25, "n_members": 1, "random_state": 0}

# %%
# ``warm_start=True`` goes on from the weights of the last fit, at a lower rate; ``freeze="features"`` lets the last
# layer learn only, and is the safer choice where there are very few records. Probabilities then answer for the
# prevalence of the second hospital.
models = {
    "as it is": ECGSmartNetClassifier(**size).fit(beats["first"], first.y),
    "anew": ECGSmartNetClassifier(**size).fit(beats["second"], second.y),
}
for name, freeze in (("fine-tuned", None), ("last layer only", "features")):
    net = ECGSmartNetClassifier(**size, warm_start=True).fit(beats["first"], first.y)
    net.set_params(lr=2e-4, max_epochs=10, freeze=freeze)
    models[name] = net.fit(beats["second"], second.y, groups=second.groups)

# %%
# On patients of the second hospital that none has seen.
found = {}
for name, net in models.items():
    told = net.predict_proba(beats["tested"])[:, 1]
    found[name] = roc_auc_interval(tested.y, told, groups=tested.groups, random_state=0)
    print(f"{name}: AUROC {found[name]}, mean probability {told.mean():.2f} where {tested.y.mean():.2f} have OMI")

# %%
figure, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
estimate = np.array([interval.estimate for interval in found.values()])
reach = np.abs(np.array([(interval.low, interval.high) for interval in found.values()]).T - estimate)
ax.errorbar(estimate, range(len(found)), xerr=reach, fmt="o", color="#0072B2", capsize=3)
ax.set(xlabel="AUROC at the second hospital, 95 % interval", yticks=range(len(found)), yticklabels=list(found))
ax.margins(y=0.2)
plt.show()
