"""
Search over the network and its training
========================================

Architecture, optimisation and balancing are parameters like any other: `GridSearchCV` and
`RandomizedSearchCV` take the whole pipeline. Patients stay together in every split, the inner one for
early stopping included. The ECGs are simulated, so the scores say nothing about a hospital.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn import config_context
from sklearn.model_selection import RandomizedSearchCV, StratifiedGroupKFold

from omi_estimators import make_net_pipeline
from omi_estimators.datasets import make_omi_ecgs

ecgs = make_omi_ecgs(n_patients=120, prevalence=0.3, random_state=0)
print(f"{len(ecgs.y)} records of {len(set(ecgs.groups))} patients, {ecgs.y.sum()} with OMI")

# %%
# Median beats are measured once per record and kept: no candidate and no fold measures them again.
# A search compares one network with another; of the winner, train five (`n_members`, the default) at the end.
with tempfile.TemporaryDirectory() as cache, config_context(enable_metadata_routing=True):
    pipeline = make_net_pipeline(ecgs.sampling_rate, memory=cache, width=8, max_epochs=8, n_members=1, random_state=0)
    search = RandomizedSearchCV(
        pipeline,
        {
            "net__kernel_size": [3, 5, 7],
            "net__width": [4, 8],
            "net__lr": [3e-4, 1e-3, 3e-3],
            "net__weight_decay": [1e-3, 1e-2, 1e-1],
            "net__batch_size": [32, 64],
            "net__balance": ["undersample", "oversample", None],
            "net__early_stopping": [True, False],
        },
        n_iter=6,
        scoring="roc_auc",
        cv=StratifiedGroupKFold(3),
        random_state=0,
        error_score="raise",
    )
    search.fit(ecgs.X, ecgs.y, groups=ecgs.groups)

# %%
order = np.argsort(search.cv_results_["rank_test_score"])
for candidate in order:
    score = search.cv_results_["mean_test_score"][candidate]
    spread = search.cv_results_["std_test_score"][candidate]
    settings = {name.removeprefix("net__"): value for name, value in search.cv_results_["params"][candidate].items()}
    print(f"AUROC {score:.3f} ± {spread:.3f}  {settings}")

# %%
# With few patients the folds differ more than the candidates: a reason not to believe the first place too much.
figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
folds = np.array([search.cv_results_[f"split{fold}_test_score"] for fold in range(3)])[:, order]
ax.plot(folds.T, "o", color="#0072B2", alpha=0.6)
ax.plot(folds.mean(axis=0), "_", color="#000000", markersize=22)
ax.set(xlabel="Candidate, best first", ylabel="AUROC of each fold, and their mean", xticks=range(len(order)))
plt.show()
