"""
Your own data
=============

A folder of ECG files and a table of labels: read them, look at their quality, leave out what cannot be used, and
cross-validate by patient. The files here are written first, from simulated ECGs, and two are spoilt on purpose.
"""

import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from omi_estimators import LEADS, make_forest_pipeline
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.inspection import ECGDisplay
from omi_estimators.preprocessing import BadLeadMasker, SignalQuality, usable_records
from omi_estimators.readers import ECGReader, load_ecgs

folder = tempfile.TemporaryDirectory()
here = Path(folder.name)
ecgs = make_omi_ecgs(n_patients=60, prevalence=0.4, random_state=0)
ecgs.X[3, LEADS.index("V2")] = 0.0  # an electrode that fell off
ecgs.X[5] = np.random.default_rng(0).normal(scale=0.5, size=ecgs.X[5].shape)  # no ECG at all
for i, record in enumerate(ecgs.X):
    np.save(here / f"ecg{i:03}.npy", record)
(here / "ecg007.npy").write_bytes(b"half a file")
labels = pd.DataFrame({"file": sorted(path.name for path in here.iterdir()), "patient": ecgs.groups, "omi": ecgs.y})
print(labels.head(3))

# %%
# Plain numbers do not say their rate and unit; files of ECG machines do. What cannot be read is named, and left out.
# All records come out at one rate, which goes along with the table.
paths = [here / name for name in labels["file"]]
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    X, table = load_ecgs(paths, read_params={"sampling_rate": ecgs.sampling_rate, "unit": "mV"})
print(str(said[0].message).replace(folder.name, "ecgs"))
rate = table.attrs["sampling_rate"]
labels = labels[labels["file"].isin([Path(path).name for path in table["path"]])].reset_index(drop=True)

# %%
# How good they are.
quality = SignalQuality(sampling_rate=rate).set_output(transform="pandas").fit_transform(X)
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.hist(quality["quality"], bins=np.linspace(0, 1, 41), color="#0072B2")
ax.set(xlabel="Quality of the record, 0 to 1", ylabel="Records")
keep, reasons = usable_records(X, sampling_rate=rate, least_quality=0.5)
for file, reason in zip(labels["file"][~keep], reasons[~keep], strict=True):
    print(f"{file} is not used: {reason}")

# %%
# A record that can be used but for one lead: `BadLeadMasker` makes the flat V2 missing, and the forest takes that as
# it is.
flat = labels["file"].tolist().index("ecg003.npy")
ECGDisplay.from_record(X[flat], rate, title=f"ecg003.npy, quality {quality['quality'][flat]:.2f}")

# %%
# From here on it is scikit-learn. Patients stay together. With ``memory=`` each record is measured once, whatever folds
# it is in.
forest = make_forest_pipeline(rate, memory=here / "cache", n_estimators=200, random_state=0)
model = make_pipeline(BadLeadMasker(sampling_rate=rate), forest)
y, patients = labels["omi"].to_numpy()[keep], labels["patient"].to_numpy()[keep]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    scores = cross_val_score(model, X[keep], y, groups=patients, cv=StratifiedGroupKFold(3), scoring="roc_auc")
print("AUROC of three folds:", scores.round(2))

# %%
# A pipeline may also begin at the paths.
reader = ECGReader(sampling_rate=rate, read_params={"sampling_rate": ecgs.sampling_rate, "unit": "mV"})
from_files = make_pipeline(reader, make_forest_pipeline(reader.sampling_rate, n_estimators=100, random_state=0))
good = np.array([str(here / name) for name in labels["file"]])[keep]
print("P(OMI) of the first three files:", from_files.fit(good, y).predict_proba(good[:3])[:, 1].round(2))
from_files

# %%
plt.show()
folder.cleanup()
