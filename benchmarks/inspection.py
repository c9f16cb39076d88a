"""What net and forest look at: segments of leads by culprit artery, and saliency against networks that know nothing.

Simulated ECGs, of which the culprit is known. The territories are those of the textbooks: reciprocal leads count, as an
inferior occlusion is seen in aVL too. The net is narrow (16 channels, not 64).
"""

from __future__ import annotations

import tempfile
from argparse import Namespace

import numpy as np

from omi_estimators import make_forest_pipeline, make_net_pipeline
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.inspection import ablation_importance, randomisation_check
from omi_estimators.inspection._saliency import METHODS
from omi_estimators.metrics import roc_auc_interval

TERRITORY = {
    "LAD": ("V1", "V2", "V3", "V4"),
    "RCA": ("II", "III", "aVF", "I", "aVL"),
    "LCX": ("I", "aVL", "V5", "V6", "II", "III", "aVF", "V1", "V2", "V3"),
}
N_TRAINING, N_TESTED = 1500, 100


def run(data: Namespace) -> None:
    """Train both, print what each loses without a segment of a lead, and the check of saliency."""
    training = make_omi_ecgs(N_TRAINING, prevalence=0.5, random_state=0)
    tested = make_omi_ecgs(N_TESTED, prevalence=0.5, random_state=1)
    print(
        f"{len(training.y)} records to learn from, {len(tested.y)} of other patients to look at, {tested.y.sum()} OMI"
    )
    with tempfile.TemporaryDirectory() as cache:
        models = {
            "net": make_net_pipeline(
                training.sampling_rate, width=16, n_members=1, max_epochs=20, memory=cache, random_state=0
            ),
            "forest": make_forest_pipeline(training.sampling_rate, memory=cache, random_state=0),
        }
        for model in models.values():
            model.fit(training.X, training.y)
    background = tested.X[tested.y == 0]
    for name, model in models.items():
        model.set_params(**{key: None for key in model.get_params() if key.endswith("__memory")})
        print(f"{name}: AUROC {roc_auc_interval(tested.y, model.predict_proba(tested.X)[:, 1], groups=tested.groups)}")
        ablation = ablation_importance(model, tested.X, sampling_rate=tested.sampling_rate, background=background)
        for culprit, leads in TERRITORY.items():
            show(ablation, culprit, leads, tested.territory == culprit)
    for method in METHODS:
        alike = randomisation_check(models["net"], tested.X[:40], method=method, random_state=0)
        print(f"{method}: rank correlation with five networks of new weights {alike.mean(axis=1).round(2).tolist()}")


def show(ablation, culprit: str, leads: tuple[str, ...], rows: np.ndarray) -> None:
    """Print what the records of one culprit lose, by lead and by segment."""
    change = ablation.mean_change(rows)
    by_lead = change.sum(axis=1)
    order = np.argsort(-by_lead)
    first = ", ".join(f"{ablation.leads[i]} {by_lead[i]:+.2f}" for i in order[:5])
    inside = np.isin(ablation.leads, leads)
    by_segment = ", ".join(
        f"{segment} {fall:+.2f}" for segment, fall in zip(ablation.segments, change.sum(axis=0), strict=True)
    )
    print(
        f"  {culprit}, {rows.sum()} records: log-odds fall most without {first}; mean in its leads "
        f"{by_lead[inside].mean():+.2f}, elsewhere {by_lead[~inside].mean():+.2f}; {by_segment}",
        flush=True,
    )
