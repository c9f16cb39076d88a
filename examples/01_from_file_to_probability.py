"""
From a file to a probability
============================

Train a model, keep it, read an ECG from a file, and look at what goes into the answer. The ECGs are simulated, so the
probability says nothing about anybody.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from omi_estimators import LEADS, load, make_forest_pipeline, read_ecg, save
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.inspection import BeatDisplay, ECGDisplay, FiducialDisplay

folder = tempfile.TemporaryDirectory()
here = Path(folder.name)

# %%
# A model. `X` is in millivolts, of shape (n_records, 12, n_samples), with the leads in the order of `LEADS`.
ecgs = make_omi_ecgs(n_patients=300, prevalence=0.3, random_state=0)
forest = make_forest_pipeline(ecgs.sampling_rate, random_state=0).fit(ecgs.X, ecgs.y)
save(forest, here / "forest.omi", y=ecgs.y, groups=ecgs.groups)

# %%
# A file, here of another simulated patient, with an occlusion of the LAD that is plain to see; many are not. Yours may
# be of Philips, GE MUSE, HL7, Mortara, DICOM, EDF, WFDB, CSV, NumPy or MATLAB: `read_ecg` finds out which.
others = make_omi_ecgs(n_patients=14, prevalence=0.6, random_state=1)
occluded = others.X[others.territory == "LAD"][1]
pd.DataFrame(occluded.T, columns=LEADS).to_csv(here / "ecg.csv", index=False)

# %%
# From the file to a probability.
model = load(here / "forest.omi")
record = read_ecg(here / "ecg.csv", sampling_rate=500, unit="mV")
print(record)
print("P(OMI) =", model.predict_proba(record.signal[None])[0, 1].round(2))

# %%
# The ECG as on paper, with the probability.
ECGDisplay.from_estimator(model, record, target_names=ecgs.target_names, title="Simulated patient")

# %%
# The beats that were found, and the median beat that stands for them.
BeatDisplay.from_record(record)

# %%
# What the features are measured between.
FiducialDisplay.from_estimator(model, record)
plt.show()
folder.cleanup()
