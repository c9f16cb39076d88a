"""
What the model sees
===================

Saliency of a network over the beat, what net and forest lose without a segment of a lead, and the kinds of features
that a forest rests on. In simulated ECGs the culprit artery is known, so the answers can be checked.
"""

import tempfile

import matplotlib.pyplot as plt

from omi_estimators import make_forest_pipeline, make_net_pipeline
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.inspection import (
    AblationDisplay,
    FeatureImportanceDisplay,
    SaliencyDisplay,
    ablation_importance,
    randomisation_check,
)

# %%
# One narrow network, to be quick; the default is the average of five.
ecgs = make_omi_ecgs(n_patients=200, prevalence=0.5, random_state=0)
others = make_omi_ecgs(n_patients=40, prevalence=0.5, random_state=1)
with tempfile.TemporaryDirectory() as cache:
    net = make_net_pipeline(ecgs.sampling_rate, memory=cache, width=8, max_epochs=20, n_members=1, random_state=0)
    forest = make_forest_pipeline(ecgs.sampling_rate, memory=cache, random_state=0)
    for model in (net, forest):
        model.fit(ecgs.X, ecgs.y)
for model, step in ((net, "beat"), (forest, "features")):
    model.set_params(**{f"{step}__memory": None})

# %%
# The gradient of the log-odds, averaged over records with an occluded LAD: orange where a higher signal speaks for OMI.
anterior = others.territory == "LAD"
SaliencyDisplay.from_estimator(net, others.X[anterior], name="LAD")

# %%
# Grad-CAM: coarse in time, but lead by lead.
SaliencyDisplay.from_estimator(net, others.X[anterior], method="grad_cam", name="LAD")

# %%
# A picture that networks with random weights draw as well shows the ECG, not what was learned. Integrated gradients are
# the gradient times the signal, and the signal is in them whatever the network.
for method in ("gradient", "grad_cam", "integrated_gradients"):
    alike = randomisation_check(net, others.X[:8], method=method, n_repeats=2, random_state=0)
    print(f"{method}: correlation with networks that know nothing {alike.mean():+.2f}")

# %%
# Ablation asks nothing of a model but its probabilities: each segment of each lead becomes that of records without OMI,
# and the fall of the log-odds is what it had to say. Net and forest stand on the same axes.
figure, axes = plt.subplots(1, 2, figsize=(9, 5), layout="constrained")
for ax, (name, model) in zip(axes, {"net": net, "forest": forest}.items(), strict=True):
    lost = ablation_importance(
        model, others.X[anterior], sampling_rate=others.sampling_rate, background=others.X[others.y == 0]
    )
    AblationDisplay(lost, name=f"{name}, LAD").plot(ax)

# %%
# The kinds of features, permuted as a whole on patients that the forest was not fitted on.
FeatureImportanceDisplay.from_estimator(forest, others.X, others.y, n_repeats=5, random_state=0, name="forest, AUROC")
plt.show()
