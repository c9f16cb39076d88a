"""
Search over delineators
=======================

`NeuroKitFeatures` measures the same table whoever finds the waves: this package on the median beat of all leads, or
one of NeuroKit2's methods on one lead. So a grid search compares them, and the forest behind them decides. The ECGs are
simulated; ``python -m benchmarks features`` does the same on PTB-XL.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn import config_context
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

from omi_estimators import make_forest_pipeline
from omi_estimators.datasets import make_omi_ecgs

ecgs = make_omi_ecgs(n_patients=60, prevalence=0.4, random_state=0)

# %%
# Each record is measured once by each delineator, and kept: no fold measures it again.
with tempfile.TemporaryDirectory() as cache, config_context(enable_metadata_routing=True):
    forest = make_forest_pipeline(ecgs.sampling_rate, memory=cache, n_estimators=200, n_jobs=-1, random_state=0)
    search = GridSearchCV(
        forest,
        {"features__delineator": ["median", "dwt", "cwt", "prominence", "peak"]},
        scoring="roc_auc",
        cv=StratifiedGroupKFold(3),
        error_score="raise",
    )
    search.fit(ecgs.X, ecgs.y, groups=ecgs.groups)

# %%
results = search.cv_results_
print(f"{'delineator':12} AUROC of each fold, and their mean")
for candidate in np.argsort(results["rank_test_score"]):
    folds = [results[f"split{fold}_test_score"][candidate] for fold in range(3)]
    name = results["params"][candidate]["features__delineator"]
    print(f"{name:12} {'  '.join(f'{score:.3f}' for score in folds)}   {np.mean(folds):.3f}")

# %%
# What they measure differs more than what the forest makes of it.
measured = {
    name: forest[0].set_params(delineator=name, memory=None).set_output(transform="pandas").fit_transform(ecgs.X[:60])
    for name in ("median", "dwt", "prominence")
}
figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for place, (name, table) in enumerate(measured.items()):
    known = table["qrs_duration"].dropna()
    ax.plot(np.full(len(known), place), known, "o", alpha=0.4, label=f"{name}: {len(known)} of {len(table)} records")
ax.set(xticks=range(len(measured)), xticklabels=measured, ylabel="QRS duration (ms)")
ax.legend()
plt.show()
