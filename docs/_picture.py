"""Draw the picture of README and landing page: ``python docs/_picture.py`` writes docs/images/ecg.png."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from omi_estimators import make_net_pipeline
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.inspection import ECGDisplay, SaliencyDisplay

ecgs = make_omi_ecgs(n_patients=600, prevalence=0.5, random_state=0)
net = make_net_pipeline(ecgs.sampling_rate, width=16, max_epochs=20, n_members=1, random_state=0).fit(ecgs.X, ecgs.y)
others = make_omi_ecgs(n_patients=30, prevalence=0.5, random_state=1)
anterior = others.X[others.territory == "LAD"]
record = anterior[abs(net.predict_proba(anterior)[:, 1] - 0.95).argmin()]

figure, (top, bottom) = plt.subplots(2, 1, figsize=(10, 8.4), height_ratios=(4, 3.6), layout="constrained")
probability = net.predict_proba(record[None])[0, 1]
title = f"Simulated occlusion of the LAD: ECG-SMART-NET says P(OMI) = {probability:.2f}"
ECGDisplay.from_record(record, 500, title=title, layout="3x4", ax=top)
SaliencyDisplay.from_estimator(net, record[None], method="grad_cam", name="What it looks at", ax=bottom)
figure.savefig(Path(__file__).parent / "images" / "ecg.png", dpi=130)
