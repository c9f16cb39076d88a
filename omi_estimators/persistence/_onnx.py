"""A fitted model, from the beat or the features on, as an ONNX file, which runs without Python."""

from __future__ import annotations

import importlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

import omi_estimators
from omi_estimators._validation import how_to_install
from omi_estimators.classifiers import inference_network, shift_prior
from omi_estimators.leads import LEADS
from omi_estimators.persistence._container import write_bytes
from omi_estimators.persistence._declared import is_network
from omi_estimators.persistence._nodes import FOLDERS
from omi_estimators.preprocessing import LeadScaler

# How far a probability of the file may be from the model's.
_TOLERANCE = 1e-5
_TABLE_TOLERANCE = 1e-6
_INT8_TOLERANCE = 0.05
_N_PROBES = 7
# Beats that quantization sees at once.
_BATCH = 32
_FACTS = {"omi_estimators": omi_estimators.__version__, "use": "research use, not a medical device"}


def export_onnx(model: Any, path: str | os.PathLike[str], *, int8_beats: ArrayLike | None = None) -> None:
    """Write a model, from median beat or features to probability, to an ONNX file.

    The file holds everything that comes after the features, or after the median beat: the network with its scaling, its
    batch normalisation folded in, and its correction to the training prevalence; the forest; calibration, fusion,
    and recalibration. Filter, median beat and features are not part of it: they come from this package, or
    from whatever makes such a beat or such features. Before it is kept, the file is run with ONNX Runtime and held
    against the model, at the thresholds of trees too.

    Its inputs are ``beat``, float32 of shape (n_records, n_leads, n_samples) in millivolts, if there are networks, and
    ``features``, float32 of shape (n_records, n_features), if there are other classifiers, for any number of
    records. Its output is ``probability`` of shape (n_records, n_classes), float32 of a network alone, otherwise
    float64. Its metadata name the classes, the leads, the features, the steps that come before, the thresholds of risk
    tiers, and the versions.

    NaN is a missing feature where the model takes it, and goes where scikit-learn sends it. Where the model takes none,
    and for an infinite feature, the probability is NaN. Thresholds of trees stay in float64, and float32 features
    are compared with them in float64, as scikit-learn does, so that every decision is the same. Features in
    float64 must be rounded to float32 first: trees and forests do that themselves; to logistic regression and
    `HistGradientBoostingClassifier` it makes a difference. Logistic regression that was fitted on float32 computes in
    float32 in scikit-learn, and in float64 here: a steep isotonic calibration of it may differ by more than 1e-6.

    A record that cannot be judged (`omi_estimators.preprocessing.usable_records`) has to be found before: the file
    sees no record, and answers for whatever it is given.

    Parameters
    ----------
    model : estimator
        Fitted. A network of this package, with a `LeadScaler` just before it or not; of scikit-learn decision and extra
        trees, forests of them, gradient boosting of both kinds without categories, `LogisticRegression`, and
        `CalibratedClassifierCV` by "sigmoid" or "isotonic" around them; `FusionClassifier` by logistic regression,
        `RiskTierClassifier` and `RecalibratedClassifier` around any of these. Of a pipeline its last step is
        written; parts with pipelines of their own must have the same steps before features, and before beats.
    path : path-like
        Where to. Afterwards there is either the whole file, or what was there before.
    int8_beats : array-like of shape (n_records, n_leads, n_samples), optional
        For a network alone: some hundred median beats like those to come, in millivolts. With these the
        convolutions are computed in 8-bit integers, whose ranges the beats decide: faster on most processors, a
        quarter of the size, and no longer the same probabilities. ``python -m benchmarks precision`` measures what that
        does to the AUROC.

    Raises
    ------
    TypeError
        If a part of `model` cannot be written, which is named, or `int8_beats` are given for another than a network.
    sklearn.exceptions.NotFittedError
        If `model` is not fitted.
    ImportError
        If ONNX is not installed (the extra `onnx`).
    ValueError
        If `int8_beats` have another shape than the beats of `fit`, or values that are not finite.
    RuntimeError
        If a probability by ONNX Runtime differs from the model's by more than 1e-6, with networks 1e-5, or those of
        `int8_beats` in 8 bits by more than 0.05 in the mean. Nothing is written then.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from omi_estimators.persistence import export_onnx, load
    >>> export_onnx(load("net.omi"), "net.onnx")  # doctest: +SKIP
    """
    last = model
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    if is_network(last):
        write_bytes(path, _make_network_file(model, int8_beats))
    elif int8_beats is not None:
        raise TypeError(f"int8_beats are for a network alone; got {type(last).__name__}. Leave them out.")
    else:
        write_bytes(path, _make_table_file(model))


def _check_installed(*names: str) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(f"export_onnx needs {error.name}; install it with: {how_to_install('onnx')}") from error


def _describe(steps: Sequence[Any]) -> list[dict[str, Any]]:
    """Return steps by name with their parameters, but for folders of this machine."""
    given = ((type(step).__name__, step.get_params()) for step in steps)
    return [{name: {key: value for key, value in found.items() if key not in FOLDERS}} for name, found in given]


def _make_table_file(model: Any) -> bytes:
    """Return the file of a model that is no network."""
    from omi_estimators.persistence._onnx_tables import Cut, make_graph

    cut = Cut(model)
    _check_installed("onnx", "onnxruntime", *(["onnxscript"] if "beat" in cut.shapes else []))
    import onnx
    import onnxruntime

    exported, probes = make_graph(cut, _export_part)
    facts = _FACTS | {
        "model": type(model.steps[-1][1] if isinstance(model, Pipeline) else model).__name__,
        "classes": json.dumps(cut.model.classes_.tolist()),
        "features": json.dumps(cut.names),
        "steps_before": json.dumps({name: _describe(steps) for name, steps in cut.before.items()}, default=str),
    }
    if hasattr(cut.model, "thresholds_"):
        names = ("rule_out", "max_f1", "rule_in")
        facts["thresholds"] = json.dumps({name: getattr(cut.model.thresholds_, name).estimate for name in names})
        facts["positive_class"] = json.dumps(np.asarray(cut.model.pos_label_).tolist())
    onnx.helper.set_model_props(exported, facts)
    onnx.checker.check_model(exported, full_check=True)
    file = exported.SerializeToString()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = np.concatenate([_run(session, probes[:1]), _run(session, probes[1:])])
    tolerance = _TOLERANCE if "beat" in cut.shapes else _TABLE_TOLERANCE
    _check_difference(float(np.abs(found - cut.model.predict_proba(probes)).max()), tolerance)
    return file


def _run(session: Any, records: NDArray[Any]) -> Any:
    return session.run(None, {name: records[name] for name in records.dtype.names or ()})[0]


def _check_difference(difference: float, tolerance: float) -> None:
    if not difference <= tolerance:
        raise RuntimeError(
            f"ONNX Runtime's probabilities differ from the model's by up to {difference:.2g}, and {tolerance:g} is "
            "allowed; the file was not written. Another version of torch, onnxscript or onnxruntime may mend it."
        )


def _export_part(part: Any) -> Any:
    """Return the ONNX model of a network, with its scaler or alone."""
    _, scaler, classifier = _take_apart(part)
    return _export(_BeatToProbability(classifier, scaler).eval(), _make_probes(classifier))


def _make_network_file(model: Any, int8_beats: ArrayLike | None) -> bytes:
    """Return the file of a network alone."""
    steps, scaler, classifier = _take_apart(model)
    check_is_fitted(classifier)
    _check_installed("onnx", "onnxruntime", "onnxscript")
    import onnx

    probes = _make_probes(classifier)
    exported = _export(_BeatToProbability(classifier, scaler).eval(), probes)
    beats = None
    if int8_beats is not None:
        # For its checks; ONNX Runtime would take what is not finite.
        classifier.predict_proba(int8_beats)
        beats = np.asarray(int8_beats, np.float32).reshape(-1, classifier.n_leads_in_, classifier.n_samples_in_)
    facts = _FACTS | {
        "network": type(classifier).__name__,
        "classes": json.dumps(classifier.classes_.tolist()),
        "leads": json.dumps(list(LEADS) if classifier.n_leads_in_ == len(LEADS) else classifier.n_leads_in_),
        "steps_before": json.dumps(_describe(steps), default=str),
        "precision": "float32" if beats is None else "int8",
        "class_prior": json.dumps(classifier.class_prior_.tolist()),
    }
    onnx.helper.set_model_props(exported, facts)
    file: bytes = exported.SerializeToString()
    _check_difference(float(_differences(file, classifier, scaler, probes).max()), _TOLERANCE)
    if beats is not None:
        file = _quantize(exported, beats)
        difference = float(_differences(file, classifier, scaler, beats).mean())
        if not difference <= _INT8_TOLERANCE:
            raise RuntimeError(
                f"In 8 bits the probabilities of int8_beats differ from the model's by {difference:.2g} in the mean, "
                f"and {_INT8_TOLERANCE:g} is allowed; the file was not written. Give more varied beats, or none."
            )
    return file


def _differences(file: bytes, classifier: Any, scaler: LeadScaler | None, beats: NDArray[np.float32]) -> Any:
    """Return how far the probabilities of a file are from the model's, whose absolute value counts."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    expected = classifier.predict_proba(beats if scaler is None else scaler.transform(beats))
    # One record and several: a number of records fixed by mistake would show.
    found = np.concatenate([session.run(None, {"beat": part})[0] for part in (beats[:1], beats[1:])])
    return np.abs(found - expected)


def _take_apart(model: Any) -> tuple[list[Any], LeadScaler | None, Any]:
    """Return the steps that the file does not hold, the scaler before the network if there is one, and the network."""
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    *before, classifier = [step for step in steps if step not in (None, "passthrough")]
    scaler = before.pop() if before and isinstance(before[-1], LeadScaler) else None
    return before, scaler, classifier


class _BeatToProbability(nn.Module):
    """What `predict_proba` does: scaling, networks, prevalence, calibration, and the prevalence alone for no signal."""

    def __init__(self, classifier: Any, scaler: LeadScaler | None):
        super().__init__()
        self.network = inference_network(classifier)
        self.axes = None if scaler is None else (-1,) if scaler.by == "lead" else (-2, -1)
        from_prior, at_prior = classifier.training_prior_, classifier.class_prior_
        to_prior = at_prior if classifier.correct_prior else from_prior
        # From equal log-odds, so that what comes out is the shift, up to a constant that softmax does not see.
        equal = np.zeros((1, len(to_prior)))
        self.slope = classifier.calibration_slope_
        shift = self.slope * shift_prior(equal, from_prior, at_prior) + classifier.calibration_intercept_
        shift = shift + shift_prior(equal, at_prior, to_prior)
        self.register_buffer("shift", torch.from_numpy(shift.astype(np.float32)))
        self.prior: Tensor
        self.register_buffer("prior", torch.from_numpy(to_prior.astype(np.float32)))

    def forward(self, beat: Tensor) -> Tensor:
        """Map beats (n, n_leads, n_samples) to probabilities (n, n_classes)."""
        is_blank = (beat == 0).flatten(1).all(dim=1, keepdim=True)
        if self.axes is not None:
            largest = beat.abs().amax(dim=self.axes, keepdim=True)
            beat = beat / torch.where(largest > 0, largest, torch.ones_like(largest))
        probability = torch.softmax(self.slope * self.network(beat.unsqueeze(1)) + self.shift, dim=1)
        return torch.where(is_blank, self.prior, probability)


def _make_probes(classifier: Any) -> np.ndarray:
    """Return made-up beats, one of them flat."""
    shape = _N_PROBES, classifier.n_leads_in_, classifier.n_samples_in_
    probes = np.random.default_rng(0).normal(size=shape).cumsum(axis=2) / 10
    probes[1] = 0
    return probes.astype(np.float32)


def _export(network: nn.Module, probes: np.ndarray) -> Any:
    """Return the ONNX model of a network."""
    with warnings.catch_warnings(), _quiet("torch.onnx", "torch.export"):
        # What the exporter says of its own inside; the result is checked.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (torch.from_numpy(probes),),
            input_names=["beat"],
            output_names=["probability"],
            dynamic_shapes={"beat": {0: torch.export.Dim("n_records")}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    exported = program.model_proto
    # The exporter notes from which line of which file each node came: paths of the machine that exported it.
    for part in (*exported.graph.node, *exported.graph.input, *exported.graph.output, *exported.graph.value_info):
        del part.metadata_props[:]
    return exported


def _quantize(model: Any, beats: NDArray[np.float32]) -> bytes:
    """Return a model in 8 bits: weights per channel, activations in the ranges that they take for `beats`."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    batches = ({"beat": beats[start : start + _BATCH]} for start in range(0, len(beats), _BATCH))
    # On the root logger it recommends a step of preparation that changes nothing for folded convolutions.
    with tempfile.TemporaryDirectory(prefix="omi-estimators-") as folder, _quiet("root"):
        path = Path(folder, "model.onnx")
        quantize_static(
            model,
            path,
            SimpleNamespace(get_next=lambda: next(batches, None)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            op_types_to_quantize=["Conv"],
        )
        return path.read_bytes()


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Keep loggers from saying anything below an error."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
