"""Fitted models of every kind, small, and made once."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from omi_estimators import (
    ECGFilter,
    ECGSmartNetClassifier,
    LeadScaler,
    MedianBeat,
    NeuroKitFeatures,
    ResNet18Classifier,
    RiskTierClassifier,
    TemporalResNet18Classifier,
    make_fusion,
    make_net_pipeline,
    recalibrate,
)
from omi_estimators.candidates import installed_candidates, make_candidates
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.fusion import FusionClassifier
from omi_estimators.preprocessing import BadLeadMasker, SignalQuality
from omi_estimators.readers import ECGReader

TINY = {
    "width": 8,
    "n_members": 1,
    "blocks": (1, 1),
    "max_epochs": 1,
    "batch_size": 8,
    "n_threads": 1,
    "random_state": 0,
}
RATE = 200


class Case(NamedTuple):
    """A fitted model, and records to ask it about."""

    model: Any
    X: np.ndarray

    def ask(self, model: Any) -> np.ndarray:
        return model.predict_proba(self.X) if hasattr(model, "predict_proba") else model.transform(self.X)


def _make_beats(n_records: int = 24, n_leads: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(n_records, n_leads, 40)).astype(np.float32)
    return X, np.arange(n_records) // 2 % 2, np.arange(n_records) // 2


def _fit_on_beats() -> dict[str, Case]:
    X, y, groups = _make_beats()
    smart = ECGSmartNetClassifier(**TINY)
    words = np.array(["normal", "OMI"])
    net = ECGSmartNetClassifier(**TINY | {"early_stopping": True, "validation_fraction": 0.4}).fit(X, y, groups=groups)
    calibrated = {
        method: CalibratedClassifierCV(FrozenEstimator(net), method=method, cv=2)
        for method in ("sigmoid", "isotonic", "temperature")
    }
    fitted = {
        "net of beats": net,
        "temporal of beats": TemporalResNet18Classifier(**TINY).fit(X, y),
        "frozen resnet18 of beats": ResNet18Classifier(**TINY, dropout=0.1, freeze="features").fit(X, y),
        "words": ECGSmartNetClassifier(**TINY, class_weight={"OMI": 2.0, "normal": 1.0}).fit(X, words[y]),
        "objects": ECGSmartNetClassifier(**TINY).fit(X, words.astype(object)[y]),
        "three classes": ECGSmartNetClassifier(**TINY, class_weight={0: 1, 1: 2, 2: 1}).fit(X, np.arange(len(X)) % 3),
        "partly fitted": ECGSmartNetClassifier(**TINY).partial_fit(X, y).partial_fit(X, y),
        "one for all folds": CalibratedClassifierCV(smart, cv=2, ensemble=False).fit(X, y),
        "one per fold": CalibratedClassifierCV(smart, cv=2, ensemble=True).fit(X, y),
        "vote": VotingClassifier([("a", smart), ("b", ResNet18Classifier(**TINY))], voting="soft").fit(X, words[y]),
        "fusion of one": FusionClassifier([("net", smart)], cv=2).fit(X, y, groups=groups),
        "tiers": RiskTierClassifier(smart, cv=2, n_resamples=20, random_state=0).fit(X, y, groups=groups),
        "tiers by words": RiskTierClassifier(smart, cv=2, n_resamples=20, pos_label="OMI").fit(X, words[y]),
        "tiers of a fusion": RiskTierClassifier(FusionClassifier([("n", smart)], cv=2), cv=2, n_resamples=9).fit(X, y),
        **{f"{method} calibration": model.fit(X, y) for method, model in calibrated.items()},
    }
    there = {"method": "intercept", "min_events": 1, "tiers": "move"}
    fitted["recalibrated tiers"] = recalibrate(fitted["tiers"], X, (np.arange(len(X)) % 3 == 0).astype(int), **there)
    cases = {name: Case(model, X) for name, model in fitted.items()}
    flat = X.reshape(len(X), -1)
    forest = RandomForestClassifier(5, max_leaf_nodes=6, class_weight="balanced", random_state=0)
    return cases | {
        "two dimensions": Case(ECGSmartNetClassifier(**TINY).fit(X[:, 0], y), X[:, 0]),
        "isotonic forest": Case(CalibratedClassifierCV(forest, method="isotonic", cv=2).fit(flat, y), flat),
        "scaler": Case(LeadScaler(by="record").fit(X), X),
    }


def _fit_on_ecgs(cache: str) -> dict[str, Case]:
    ecgs = make_omi_ecgs(n_patients=12, prevalence=0.5, sampling_rate=RATE, duration=6, random_state=0)
    X, y, groups = ecgs.X[:14], ecgs.y[:14], ecgs.groups[:14]
    shared = {"sampling_rate": RATE, "memory": cache}
    models = make_candidates(installed_candidates(), RATE, memory=cache, net_params=TINY, calibrated=True)
    models["vote of net and forest"] = make_fusion(voting=True, **shared, net_params=TINY, random_state=0)
    for model in models.values():
        grown = [name for name in model.get_params() if name.endswith("n_estimators")]
        model.set_params(**dict.fromkeys(grown, 5))
        model.set_params(**{"cv": 2} if "cv" in model.get_params() else {})
    masker = BadLeadMasker(sampling_rate=RATE, flags=["flat", "noise"], memory=cache)
    models["net on masked leads"] = make_pipeline(masker, *make_net_pipeline(RATE, **TINY))
    models["forest on quality"] = make_pipeline(SignalQuality(**shared), RandomForestClassifier(5, random_state=0))
    transformers = {
        "features": NeuroKitFeatures(**shared, include=("st", "scores")).set_output(transform="default"),
        "quality table": SignalQuality(**shared),
        "masker": BadLeadMasker(sampling_rate=RATE),
        "filter": ECGFilter(sampling_rate=RATE),
        "beat": MedianBeat(**shared),
    }
    for model in models.values():
        model.fit(X, y, **({"groups": groups} if isinstance(model, FusionClassifier) else {}))
    for model in transformers.values():
        model.fit(X)
    return {name: Case(model, X) for name, model in (models | transformers).items()}


def _fit_on_files(folder: Path) -> dict[str, Case]:
    ecgs = make_omi_ecgs(n_patients=6, prevalence=0.5, sampling_rate=RATE, duration=6, random_state=0)
    paths = np.array([str(folder / f"{i}.npy") for i in range(8)])
    for path, record in zip(paths, ecgs.X, strict=False):
        np.save(path, record)
    reader = ECGReader(sampling_rate=RATE, duration=6, read_params={"sampling_rate": RATE, "unit": "mV"})
    return {"files": Case(make_pipeline(reader, *make_net_pipeline(RATE, **TINY)).fit(paths, ecgs.y[:8]), paths)}


@pytest.fixture(scope="session")
def cases(tmp_path_factory) -> dict[str, Case]:
    """Return a fitted model of every kind, with records."""
    with warnings.catch_warnings():
        # Few records, few patients, one epoch.
        warnings.simplefilter("ignore")
        beats, ecgs = _fit_on_beats(), _fit_on_ecgs(str(tmp_path_factory.mktemp("cache")))
        files = _fit_on_files(tmp_path_factory.mktemp("files"))
    assert not set(beats) & set(ecgs)
    return beats | ecgs | files
