"""One malformed input at a time: what is tried on it, and what must come of it.

`test_malformed.py` tries some of each kind, `fuzz.py` a hundred thousand.
"""

from __future__ import annotations

import pickle
import signal
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from malformed_files import KINDS, read_spoilt, spoilt_files
from malformed_models import load_and_use, with_bases
from sklearn.ensemble import RandomForestClassifier
from strategies import malformed_records, not_records, training_sets

from omi_estimators import (
    ECGFilter,
    ECGSmartNetClassifier,
    LeadScaler,
    MedianBeat,
    NeuroKitFeatures,
    load,
    make_forest_pipeline,
    make_net_pipeline,
    save,
)
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.persistence import ModelFileError
from omi_estimators.persistence._container import pack, seal, unpack
from omi_estimators.preprocessing import BadLeadMasker, SignalQuality
from omi_estimators.readers import ECGFileError

LONGEST = 10.0
TINY = {
    "width": 1,
    "n_members": 1,
    "blocks": (1, 1),
    "max_epochs": 1,
    "batch_size": 8,
    "n_threads": 1,
    "random_state": 0,
}
_RATE = 100
_SHAPE = (12, 4 * _RATE)

TRANSFORMERS: dict[str, Callable[[float], Any]] = {
    "ECGFilter": lambda rate: ECGFilter(sampling_rate=rate),
    "ECGFilter with all options": lambda rate: ECGFilter(
        sampling_rate=rate, notch="auto", pacing="remove", output_rate=250.0
    ),
    "LeadScaler": lambda rate: LeadScaler(),
    "MedianBeat": lambda rate: MedianBeat(sampling_rate=rate),
    "SignalQuality": lambda rate: SignalQuality(sampling_rate=rate),
    "BadLeadMasker": lambda rate: BadLeadMasker(sampling_rate=rate),
    "NeuroKitFeatures": lambda rate: NeuroKitFeatures(sampling_rate=rate),
}


def _transform(name: str) -> Callable[[Any], None]:
    def transform(drawn: Any) -> None:
        X, sampling_rate = drawn
        before = X.copy()
        result = TRANSFORMERS[name](sampling_rate).fit_transform(X)
        assert not np.isinf(result).any(), "something infinite"
        assert len(result) == len(X)
        if name == "MedianBeat":
            assert np.isfinite(result).all(), "a beat with NaN"
        np.testing.assert_array_equal(X, before, "the input has changed")

    return transform


def _transform_fitted(name: str) -> Callable[[Any], None]:
    def transform(X: Any) -> None:
        result = fitted(name).transform(X)
        assert not np.isinf(result).any(), "something infinite"

    return transform


@cache
def fitted(name: str) -> Any:
    """Return an estimator that was fitted on good records: of two leads and 40 samples, or raw for the pipelines."""
    ecgs = make_omi_ecgs(n_patients=30, sampling_rate=_RATE, duration=_SHAPE[1] / _RATE, random_state=0)
    if name == "net":
        rng = np.random.default_rng(0)
        return ECGSmartNetClassifier(**TINY).fit(rng.normal(size=(40, 2, 40)), np.arange(40) % 2)
    if name == "net pipeline":
        return make_net_pipeline(_RATE, **TINY).fit(ecgs.X, ecgs.y)
    if name == "forest pipeline":
        return make_forest_pipeline(_RATE, n_estimators=10, random_state=0).fit(ecgs.X, ecgs.y)
    return TRANSFORMERS[name](_RATE).fit(ecgs.X[:2])


def _check_probabilities(prob: np.ndarray) -> None:
    assert np.isfinite(prob).all(), "a probability that is none"
    assert ((prob >= 0) & (prob <= 1)).all()
    np.testing.assert_allclose(prob.sum(axis=1), 1, rtol=1e-6)


def _predict(name: str) -> Callable[[Any], None]:
    def predict(X: Any) -> None:
        _check_probabilities(fitted(name).predict_proba(X))

    return predict


def _fit(drawn: dict[str, Any]) -> None:
    given = {name: value for name, value in drawn.items() if name != "params"}
    classifier = ECGSmartNetClassifier(**(TINY | drawn["params"])).fit(**given)
    _check_probabilities(classifier.predict_proba(given["X"]))


@st.composite
def _raw_records(draw: Any) -> Any:
    """Draw records of the shape of the pipelines, or something else."""
    if draw(st.integers(0, 9)) == 0:
        return draw(not_records(_SHAPE))
    return draw(malformed_records(shape=_SHAPE, rates=(_RATE,), n_records=draw(st.integers(1, 2))))[0]


@cache
def _model_files() -> list[bytes]:
    """Return the files of two saved models, a network and a forest."""
    X = np.random.default_rng(0).normal(size=(20, 12, 40))
    y = np.arange(20) % 2
    models = [ECGSmartNetClassifier(**TINY).fit(X, y), RandomForestClassifier(3, random_state=0).fit(X[:, 0], y)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.omi")
        files = []
        for model in models:
            save(model, path)
            files.append(path.read_bytes())
    return files


@st.composite
def _spoilt_models(draw: Any) -> bytes:
    """Draw a model file with bytes changed: as a disk does, or with all its hashes made to fit again."""
    file = draw(st.sampled_from(_model_files()))
    spots = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4)), min_size=1, max_size=4)

    def spoil(content: bytes) -> bytes:
        for where, new in draw(spots):
            place = int(where * len(content))
            content = content[:place] + new + content[place + len(new) + draw(st.sampled_from([0, 0, 0, 1])) :]
        return content

    kind = draw(st.sampled_from(["damaged", "sealed again", "a part replaced", "cut off", "something else"]))
    if kind == "something else":
        return draw(st.binary(max_size=200))
    if kind == "cut off":
        return file[: draw(st.integers(0, len(file) - 1))]
    if kind == "damaged":
        return spoil(file)
    if kind == "sealed again":
        body = file[: -len(seal(b""))]
        return seal(spoil(body))
    manifest, members = unpack(file, "model")
    part = draw(st.sampled_from(sorted(members)))
    return pack(members | {part: spoil(members[part])}, {"versions": manifest["versions"]})


def _load(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.omi")
        path.write_bytes(content)
        load(path)
        assert [file.name for file in Path(folder).iterdir()] == ["model.omi"], "something was written"


@dataclass(frozen=True)
class Target:
    """Something to try on drawn inputs; of a thousand inputs of a campaign it gets `share`."""

    inputs: st.SearchStrategy
    act: Callable[[Any], None]
    share: int
    # What the docstrings promise; NotFittedError and InvalidParameterError are ValueErrors.
    documented: tuple[type[Exception], ...] = (ValueError,)


_SHORT = malformed_records(max_seconds=5.0)
_FEW_LEADS = malformed_records(max_seconds=5.0, leads=(1, 2, 3, 8, 12))
TARGETS: dict[str, Target] = {
    "fit_transform of ECGFilter": Target(_SHORT, _transform("ECGFilter"), 120),
    "fit_transform of ECGFilter with all options": Target(_SHORT, _transform("ECGFilter with all options"), 80),
    "fit_transform of LeadScaler": Target(_SHORT, _transform("LeadScaler"), 100),
    "fit_transform of MedianBeat": Target(_SHORT, _transform("MedianBeat"), 160),
    "fit_transform of SignalQuality": Target(_SHORT, _transform("SignalQuality"), 70),
    "fit_transform of BadLeadMasker": Target(_SHORT, _transform("BadLeadMasker"), 30),
    "fit_transform of NeuroKitFeatures": Target(_FEW_LEADS, _transform("NeuroKitFeatures"), 80),
    **{f"transform of {name}": Target(not_records(_SHAPE), _transform_fitted(name), 20) for name in TRANSFORMERS},
    "fit of the net": Target(training_sets(), _fit, 70, (ValueError, TypeError, FloatingPointError)),
    "predict_proba of the net": Target(not_records(), _predict("net"), 80),
    "predict_proba of the net's pipeline": Target(_raw_records(), _predict("net pipeline"), 40),
    "predict_proba of the forest's pipeline": Target(_raw_records(), _predict("forest pipeline"), 30),
    "load": Target(_spoilt_models(), _load, 60, (ModelFileError,)),
    "model_files": Target(st.integers(0, 2**40).map(with_bases), load_and_use, 200, (ModelFileError,)),
    **{f"read_ecg, {kind}": Target(spoilt_files(kind), read_spoilt(kind), 20, (ECGFileError,)) for kind in KINDS},
}


@dataclass
class Tally:
    """How many inputs came to what."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)


def _stop(signum: int, frame: Any) -> None:
    raise TimeoutError(f"no answer within {LONGEST:g} s")


def try_input(name: str, drawn: Any, tally: Tally | None = None) -> str:
    """Return what an input came to, in words.

    Raises
    ------
    Exception
        Whatever must not be: an undocumented one, a result with something infinite, a warning of NumPy's.
    """
    target = TARGETS[name]
    start = time.perf_counter()
    previous = signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    outcome = "broken"
    try:
        with warnings.catch_warnings(record=True) as caught:
            # What NumPy warns of (overflow, invalid value) is an error, as everywhere in the tests.
            warnings.simplefilter("error")
            warnings.filterwarnings("always", category=UserWarning)
            target.act(drawn)
        outcome = "a result with a warning" if caught else "a result"
    except target.documented as error:
        # InvalidParameterError is both.
        outcome = next(kind.__name__ for kind in target.documented if isinstance(error, kind))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        if tally is not None:
            tally.outcomes[name, outcome] += 1
            tally.slowest[name] = max(tally.slowest.get(name, 0.0), time.perf_counter() - start)
            tally.seen.add(sha256(name.encode() + pickle.dumps(drawn)).digest()[:8])
    return outcome
