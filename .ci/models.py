"""Save models with one set of versions, and load them with another: `python .ci/models.py save|check DIR`."""

import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.calibration import CalibratedClassifierCV

from omi_estimators import RiskTierClassifier, load, make_forest_pipeline, make_fusion, make_net_pipeline, save
from omi_estimators.datasets import make_omi_ecgs

NET = {"width": 4, "n_members": 1, "blocks": (1, 1), "max_epochs": 1, "random_state": 0}
FOREST = {"n_estimators": 10, "random_state": 0}
MODELS = {
    "net": make_net_pipeline(500, **NET),
    "forest": make_forest_pipeline(500, **FOREST),
    "fusion": make_fusion(500, cv=2, net_params=NET, forest_params=FOREST, random_state=0),
    "calibrated": CalibratedClassifierCV(make_forest_pipeline(500, **FOREST), cv=2),
    "tiers": RiskTierClassifier(make_forest_pipeline(500, **FOREST)),
}


def save_models(folder: Path) -> None:
    """Save fitted models with what they answer."""
    folder.mkdir(parents=True, exist_ok=True)
    ecgs = make_omi_ecgs(n_patients=40, prevalence=0.4, random_state=0)
    np.save(folder / "X.npy", ecgs.X)
    for name, model in MODELS.items():
        save(model.fit(ecgs.X, ecgs.y), folder / f"{name}.omi")
        np.save(folder / f"{name}.npy", model.predict_proba(ecgs.X))


def check_models(folder: Path) -> None:
    """Say how far the loaded models are from what the saved ones answered; beyond 1e-6 is an error."""
    X = np.load(folder / "X.npy")
    for name in MODELS:
        difference = np.abs(load(folder / f"{name}.omi").predict_proba(X) - np.load(folder / f"{name}.npy")).max()
        print(f"{name}: probabilities differ by at most {difference:.2g}")
        if not difference < 1e-6:
            sys.exit(1)


warnings.simplefilter("ignore")
{"save": save_models, "check": check_models}[sys.argv[1]](Path(sys.argv[2]))
