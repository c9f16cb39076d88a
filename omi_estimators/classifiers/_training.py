"""The training procedure: from checked records to a trained net and the class shares it was trained on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import compute_class_weight
from skorch.callbacks import EpochScoring, GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from omi_estimators.classifiers._augment import Augmentation
from omi_estimators.classifiers._callbacks import ProgressBar, StopEarly, StopWhenDiverged, validation_auc
from omi_estimators.classifiers._net import WeightedNet, iterate_valid
from omi_estimators.classifiers._prediction import uncompiled
from omi_estimators.classifiers._records import Batches, Records, TensorRecords, split_patients
from omi_estimators.classifiers._schedule import Schedule

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}

# More threads than this hardly speed up a network of this size.
_MOST_THREADS = 4

# See `_bears_channels_last`: as many numbers as fit into the widest register.
_FEWEST_CHANNELS = 16


def class_mass(records: Records, n_classes: int) -> NDArray[np.float64]:
    """Return the sum of weights in each class."""
    return np.bincount(records.y, weights=records.weight, minlength=n_classes).astype(np.float64)


def loss_factors(estimator: Any, records: Records) -> NDArray[np.float64]:
    """Return the factor of each record in the loss: its weight, of mean 1, times its class's weight."""
    mass = class_mass(records, len(estimator.classes_))
    if estimator.class_weight == "balanced":
        by_class = mass.sum() / (len(mass) * np.maximum(mass, np.finfo(float).tiny))
    else:
        by_class = compute_class_weight(estimator.class_weight, classes=estimator.classes_, y=estimator.classes_)
    return records.weight / records.weight.mean() * by_class[records.y]


def split_records(
    estimator: Any, records: Records, device: torch.device, rng: np.random.Generator, *, validates: bool
) -> tuple[TensorRecords, NDArray[np.intp], TensorRecords | None]:
    """Return the training set with the indices of its records, and the validation set if there is to be one."""
    factor = loss_factors(estimator, records)
    train = np.arange(len(records.y))
    valid_set = None
    if validates:
        train, valid = split_patients(records.y, records.groups, estimator.validation_fraction, rng)
        if estimator.balance is not None:
            # Training sees balanced classes, so validation weighs them alike too.
            valid_factor = (factor / class_mass(records, len(estimator.classes_))[records.y])[valid]
        else:
            valid_factor = factor[valid]
        valid_set = TensorRecords(records.take(valid), valid_factor / valid_factor.mean(), device)
    return TensorRecords(records.take(train), factor[train], device), train, valid_set


def network_params(estimator: Any) -> dict[str, Any]:
    """Return the arguments of the network that the parameters of an estimator, and what it was fitted on, describe."""
    return {
        "n_leads": estimator.n_leads_in_,
        "n_classes": len(estimator.classes_),
        "width": estimator.width,
        "blocks": tuple(estimator.blocks),
        "kernel_size": estimator.kernel_size,
        "stem_kernel_size": estimator.stem_kernel_size,
        "dropout": estimator.dropout,
    }


def make_net(
    estimator: Any, device: torch.device, valid_set: TensorRecords | None, rng: np.random.Generator
) -> WeightedNet:
    """Return the skorch net that the parameters of an estimator describe, initialised."""
    params: dict[str, Any] = {
        "module": estimator._network,
        **{f"module__{name}": value for name, value in network_params(estimator).items()},
        "criterion": nn.CrossEntropyLoss,
        "criterion__reduction": "none",
        "optimizer": OPTIMIZERS.get(estimator.optimizer, estimator.optimizer),
        "optimizer__weight_decay": estimator.weight_decay,
        "lr": estimator.lr,
        "max_epochs": estimator.max_epochs,
        "batch_size": estimator.batch_size,
        "iterator_train": Batches,
        "iterator_train__balance": estimator.balance,
        "iterator_train__augmentation": Augmentation(
            estimator.time_shift, estimator.amplitude_scale, estimator.baseline_wander, estimator.lead_dropout
        ),
        "iterator_train__rng": rng,
        "iterator_valid": iterate_valid,
        "train_split": None if valid_set is None else predefined_split(valid_set),
        "classes": list(range(len(estimator.classes_))),
        "callbacks": _make_callbacks(estimator, valid_set is not None),
        "autocast_dtype": find_autocast_dtype(estimator.mixed_precision, device),
        "compile": estimator.compile,
        "device": device,
        "verbose": max(0, int(estimator.verbose) - 1),
    }
    net = WeightedNet(**(params | (estimator.net_params or {}))).initialize()
    if _bears_channels_last(net.module_):
        net.module_.to(memory_format=torch.channels_last)
    return net


def _bears_channels_last(module: nn.Module) -> bool:
    """Return whether a network can be trained in the faster memory layout without harm.

    With fewer input channels than these, and more than one thread, the gradient of a strided 1×1 convolution
    writes past its memory in that layout (oneDNN in torch 2.13, on processors with AVX-512).
    """
    strided = (part for part in module.modules() if isinstance(part, nn.Conv2d) and set(part.stride) != {1})
    return all(set(part.kernel_size) != {1} or part.in_channels >= _FEWEST_CHANNELS for part in strided)


def _make_callbacks(estimator: Any, validates: bool) -> list[Any]:
    """Return skorch's callbacks: ours, then the user's."""
    first_factor = (estimator.first_epoch_lr or estimator.lr) / estimator.lr
    schedule = Schedule(estimator.schedule, estimator.max_epochs, estimator.warmup_epochs, first_factor)
    callbacks: list[Any] = [
        ("diverged", StopWhenDiverged()),
        ("schedule", LRScheduler(policy=LambdaLR, lr_lambda=schedule)),
    ]
    if estimator.max_grad_norm is not None:
        callbacks.append(("clip", GradientNormClipping(estimator.max_grad_norm)))
    if estimator.verbose:
        if validates:
            callbacks.append(("valid_auc", EpochScoring(validation_auc, lower_is_better=False, name="valid_auc")))
        callbacks.append(("progress", ProgressBar(type(estimator).__name__, estimator.max_epochs)))
    callbacks += estimator.callbacks or []
    if validates:
        # Last, because it ends an epoch by an exception that the callbacks after it would never hear of.
        stop = StopEarly(patience=estimator.n_iter_no_change, load_best=True, sink=_ignore)
        callbacks.append(("early_stopping", stop))
    return callbacks


def train(estimator: Any, net: WeightedNet, train_set: TensorRecords, epochs: int, on_interrupt: str) -> None:
    """Train a net; raise what Ctrl-C raised, or keep what was learnt and say so."""
    net.partial_fit(train_set, epochs=epochs)
    if net.interrupted_:
        finished = sum("train_loss" in epoch for epoch in net.history)
        if on_interrupt == "raise" or not finished:
            raise KeyboardInterrupt(f"Training of {type(estimator).__name__} was interrupted.")
        del net.history[finished:]
        warnings.warn(
            f"Training of {type(estimator).__name__} was interrupted after {finished} of {estimator.max_epochs} "
            "epochs; the best weights so far are kept.",
            UserWarning,
            stacklevel=4,
        )


def forget_training(net: WeightedNet) -> None:
    """Take from a net what belongs to one call of `fit` only: its split, its schedule, its progress bar."""
    net.set_params(train_split=None)
    net.module_ = uncompiled(net.module_)
    of_training = {"scikit_learn", "early_stopping", "progress", "valid_auc", "schedule", "checkpoint"}
    net.callbacks_ = [(name, callback) for name, callback in net.callbacks_ if name not in of_training]


def find_autocast_dtype(mixed_precision: bool | str, device: torch.device) -> torch.dtype | None:
    """Return the reduced precision to compute in: "auto" takes bfloat16 on a GPU that has it."""
    if mixed_precision == "auto":
        mixed_precision = device.type == "cuda" and torch.cuda.is_bf16_supported()
    if not mixed_precision:
        return None
    if device.type == "cpu" and not has_bfloat16():
        warnings.warn(
            "mixed_precision=True computes in bfloat16, which this processor has no arithmetic for: it will take "
            'many times as long as float32. Set mixed_precision="auto".',
            UserWarning,
            stacklevel=4,
        )
    return torch.bfloat16


def has_bfloat16() -> bool:
    """Return whether bfloat16 is not hopelessly slow on this processor: x86 without AVX-512 has to emulate it."""
    return torch.backends.cpu.get_cpu_capability() != "AVX2"


def _ignore(*args: Any, **kwargs: Any) -> None:
    """Take the place of a printing function."""


@contextmanager
def fixed_threads(n_threads: int | None) -> Iterator[None]:
    """Compute with a number of threads that does not depend on where this runs.

    Sums in float32 depend on the number of threads, and joblib gives its workers fewer than it has
    itself: left to that, `n_jobs` would change the network that comes out.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads or min(_MOST_THREADS, os.cpu_count() or 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded_torch(rng: np.random.Generator, device: torch.device) -> Iterator[None]:
    """Seed torch inside the block, and give its global random state back after it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(rng.integers(2**31)))
        yield
