"""
Every step, seen
================

What each transformer does to a record: `ECGFilter`, `BadLeadMasker`, `MedianBeat`, `LeadScaler`, `NeuroKitFeatures`.
The ECG is simulated.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from omi_estimators import LEADS, ECGFilter, LeadScaler, MedianBeat, NeuroKitFeatures
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.inspection import BeatDisplay, ECGDisplay
from omi_estimators.preprocessing import BadLeadMasker

ecgs = make_omi_ecgs(n_patients=6, prevalence=0.5, noise=3.0, random_state=2)
X, rate = ecgs.X[:4], ecgs.sampling_rate
times = np.arange(X.shape[2]) / rate
lead = LEADS.index("II")

# %%
# The filter takes away wander, hum of the mains and noise of muscles.
filtered = ECGFilter(sampling_rate=rate).fit_transform(X)
figure, axes = plt.subplots(2, 1, figsize=(9, 4), layout="constrained", sharex=True)
for ax, signal, name in zip(axes, (X, filtered), ("as recorded", "filtered"), strict=True):
    ax.plot(times, signal[0, lead], color="#000000", linewidth=0.8)
    ax.set(ylabel="II (mV)", title=name)
axes[1].set(xlabel="Time (s)", xlim=(0, 10))

# %%
# A lead that cannot be trusted becomes missing, and all that follows treats it so.
spoilt = X.copy()
spoilt[0, LEADS.index("V3")] = 0.4
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    masked = BadLeadMasker(sampling_rate=rate).fit_transform(spoilt)
print(said[0].message)
ECGDisplay.from_record(masked[0], rate)

# %%
# The median beat: beats are aligned, ectopic and noisy ones left out, the rest averaged lead by lead.
median = MedianBeat(sampling_rate=rate)
beats = median.fit_transform(filtered)
print(beats.shape)
BeatDisplay.from_estimator(median, X[0])

# %%
# Scaling makes leads of small and large amplitudes alike to the network.
scaled = LeadScaler().fit_transform(beats)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for ax, signal, name in zip(axes, (beats, scaled), ("median beat (mV)", "scaled"), strict=True):
    ax.plot(np.arange(200) / 250 - 0.3, signal[0].T, linewidth=0.8)
    ax.set(xlabel="Time from R (s)", title=name)

# %%
# The features of a record: a named table, of which these are eight.
table = NeuroKitFeatures(sampling_rate=rate).set_output(transform="pandas").fit_transform(X)
print(table.shape)
shown = [
    "heart_rate",
    "pr_interval",
    "qrs_duration",
    "qtc_fridericia",
    "qrs_axis",
    "st60_V2",
    "st60_III",
    "t_amplitude_V2",
]
print(table[shown].round(2).T.to_string())
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.bar(LEADS, table.loc[0, [f"st60_{name}" for name in LEADS]], color="#0072B2")
ax.axhline(0, color="#000000", linewidth=0.8)
ax.set(ylabel="ST 60 ms after J (mV)")
plt.show()
