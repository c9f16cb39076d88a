"""
A model goes to another hospital
================================

A model was made in one hospital and is to be used in another, where patients are older, occlusions rarer and less
plain, and the ECG machine smooths everything above 40 Hz. Does it hold there? If not, what do its patients of one year
mend, and what do they not? The ECGs are simulated: the figures say nothing about patients.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import butter, sosfiltfilt

from omi_estimators import RiskTierClassifier, make_forest_pipeline, recalibrate, validate_model
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.displays import ReliabilityDisplay
from omi_estimators.evaluation import recalibration_gain

# %%
# The first hospital. The forest's tiers are to rule out with a sensitivity of 0.90, and to rule in with a predictive
# value of 0.80.
cache = tempfile.TemporaryDirectory()
home = make_omi_ecgs(n_patients=200, prevalence=0.4, random_state=0)
forest = make_forest_pipeline(home.sampling_rate, memory=cache.name, n_jobs=2, random_state=0)
model = RiskTierClassifier(forest, ppv=0.8, cv=3, random_state=0).fit(home.X, home.y, groups=home.groups)
print(model.thresholds_)


# %%
# The other hospital has patients of 60 years and more, and a third of the prevalence. What its occlusions do to the ECG
# is 0.8 of what it was, and its machine has a low-pass of 40 Hz. Every call is another year.
def another_year(n_patients, seed):
    """Return records, labels and patients of the other hospital."""
    ecgs = make_omi_ecgs(n_patients=n_patients, prevalence=0.15, severity=0.8, random_state=seed)
    old = ecgs.age >= 60
    low_pass = butter(2, 40, fs=ecgs.sampling_rate, output="sos")
    return sosfiltfilt(low_pass, ecgs.X[old], axis=-1).astype(np.float32), ecgs.y[old], ecgs.groups[old]


first_year, second_year = another_year(500, 1), another_year(500, 2)
for _, y, groups in (first_year, second_year):
    print(f"{len(np.unique(groups))} patients, {len(y)} records, {y.mean():.0%} of them OMI")

# %%
# First look, then act. The verdict is in one line, the promises are told beside what was found.
before = validate_model(model, *first_year, random_state=0)
print(before.verdict.headline)
print(before.figures.round(2).to_string())
print(before.promises.round(2).to_string())

# %%
# How many patients would mend how much? The model is recalibrated on so many, and judged on all others of that year.
# ``gain`` is by how much the log loss falls.
table = recalibration_gain(model, *first_year, n_patients=[50, 100, 170], n_repeats=30, random_state=0)
columns = ["n_patients", "method", "n_events", "refused", "changed", "gain", "slope", "intercept"]
print(table[columns].round(3).to_string())

# %%
# Closed testing decides between no change, another intercept, and another slope too. Thresholds are chosen anew, for
# the same promises. The history says what was done and why; a saved model tells it in its card.
recalibrated = recalibrate(model, *first_year, date="2026-12-31", random_state=0)
print(recalibrated.history_[-1]["reason"])
print(recalibrated.thresholds_)

# %%
# And again, on the year after: patients who had no part in any of this. Recalibration changes no order, so the AUROC is
# that of the model as it came. It mends what is said about the ECGs, and not what is seen in them.
after = validate_model(recalibrated, *second_year, random_state=0)
print(after.verdict.headline)
print(after.figures.round(2).to_string())
print(after.promises.round(2).to_string())

# %%
# On the diagonal, what is said is what happens.
figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained", sharey=True)
X, y, groups = second_year
for ax, (name, used) in zip(axes, {"as it came": model, "recalibrated": recalibrated}.items(), strict=True):
    names = ("no OMI", "OMI")
    prob = used.predict_proba(X)[:, 1]
    ReliabilityDisplay.from_predictions(y, prob, groups=groups, name=name, target_names=names, ax=ax)
cache.cleanup()
plt.show()
