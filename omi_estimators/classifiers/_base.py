"""What the three classifiers share: validation, the training procedure, honest probabilities."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils import Tags, compute_class_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from omi_estimators.classifiers._augment import Augmentation
from omi_estimators.classifiers._checks import check_records, check_signals, find_device
from omi_estimators.classifiers._net import StopEarly, StopWhenDiverged, WeightedNet, iterate_valid
from omi_estimators.classifiers._prediction import predict_logits
from omi_estimators.classifiers._prior import shift_prior
from omi_estimators.classifiers._records import Batches, Records, TensorRecords, split_patients
from omi_estimators.classifiers._schedule import Schedule

# More threads than this hardly speed up a network of this size.
_MOST_THREADS = 4

_OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


class NetClassifier(ClassifierMixin, BaseEstimator):
    """Base of the network classifiers; a subclass names its network."""

    _network: ClassVar[type[nn.Module]]

    # Patients reach the inner split by themselves wherever metadata routing is on.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "width": [Interval(Integral, 1, None, closed="left")],
        "blocks": ["array-like"],
        "kernel_size": [Interval(Integral, 1, None, closed="left")],
        "stem_kernel_size": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "time_shift": [Interval(Integral, 0, None, closed="left")],
        "amplitude_scale": [Interval(Real, 0, 1, closed="left")],
        "baseline_wander": [Interval(Real, 0, None, closed="left")],
        "lead_dropout": [Interval(Real, 0, 1, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "first_epoch_lr": [Interval(Real, 0, None, closed="neither"), None],
        "schedule": [StrOptions({"constant", "cosine"})],
        "warmup_epochs": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "optimizer": [StrOptions(set(_OPTIMIZERS)), callable],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        "balance": [StrOptions({"undersample", "oversample"}), None],
        "correct_prior": ["boolean"],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "callbacks": [list, None],
        "device": [str, torch.device],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "net_params": [dict, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        width: int = 64,
        blocks: tuple[int, ...] = (2, 2, 2, 2),
        kernel_size: int = 3,
        stem_kernel_size: int = 7,
        dropout: float = 0.0,
        time_shift: int = 0,
        amplitude_scale: float = 0.0,
        baseline_wander: float = 0.0,
        lead_dropout: float = 0.0,
        max_epochs: int = 200,
        lr: float = 1e-4,
        first_epoch_lr: float | None = None,
        schedule: str = "constant",
        warmup_epochs: int = 0,
        batch_size: int = 64,
        optimizer: Any = "adamw",
        weight_decay: float = 1e-2,
        max_grad_norm: float | None = None,
        balance: str | None = "undersample",
        correct_prior: bool = True,
        class_weight: dict[Any, float] | str | None = None,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        callbacks: list[Any] | None = None,
        device: str | torch.device = "auto",
        n_threads: int | None = None,
        net_params: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self.width = width
        self.blocks = blocks
        self.kernel_size = kernel_size
        self.stem_kernel_size = stem_kernel_size
        self.dropout = dropout
        self.time_shift = time_shift
        self.amplitude_scale = amplitude_scale
        self.baseline_wander = baseline_wander
        self.lead_dropout = lead_dropout
        self.max_epochs = max_epochs
        self.lr = lr
        self.first_epoch_lr = first_epoch_lr
        self.schedule = schedule
        self.warmup_epochs = warmup_epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.balance = balance
        self.correct_prior = correct_prior
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.n_threads = n_threads
        self.net_params = net_params
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> NetClassifier:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Beats or records, scaled; two dimensions mean one lead. Finite.
        y : array-like of shape (n_records,)
            Classes: at least two.
        sample_weight : array-like of shape (n_records,), optional
            Factor of each record in the loss, and in the prevalence that probabilities answer for. An
            integer weight means that many copies.
        groups : array-like of shape (n_records,), optional
            Patient of each record. No patient is on both sides of the inner split for early stopping.
            Without it each record counts as a patient of its own.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            If the input is malformed, has one class, or too few patients for the inner split.
        FloatingPointError
            If the loss becomes infinite or NaN.
        """
        resumes = self.warm_start and hasattr(self, "net_")
        records = check_records(self, X, y, sample_weight, groups, reset=not resumes)
        device = find_device(self.device)
        rng = _make_rng(self.random_state)
        with _threads(self.n_threads), _seeded_torch(int(rng.integers(2**31)), device):
            self._train(records, device, rng, self.net_.module_.state_dict() if resumes else None)
        return self

    def _train(
        self, records: Records, device: torch.device, rng: np.random.Generator, state: dict[str, Any] | None
    ) -> None:
        """Split, build the net, train it, and keep the class shares that probabilities need."""
        mass = np.bincount(records.y, weights=records.weight, minlength=len(self.classes_)).astype(np.float64)
        factor = records.weight / records.weight.mean() * self._class_factors(mass)[records.y]
        train = np.arange(len(records.y))
        valid_set = None
        if self.early_stopping:
            train, valid = split_patients(records.y, records.groups, self.validation_fraction, rng)
            # Training sees balanced classes, so validation weighs them alike too.
            valid_factor = factor if self.balance is None else factor / mass[records.y]
            valid_set = TensorRecords(records.take(valid), valid_factor[valid] / valid_factor[valid].mean(), device)
        train_set = TensorRecords(records.take(train), factor[train], device)
        net = self._make_net(device, valid_set, rng)
        net.initialize()
        net.module_.to(memory_format=torch.channels_last)
        if state is not None:
            net.module_.load_state_dict(state)
        net.partial_fit(train_set)
        net.set_params(train_split=None)
        if net.interrupted_:
            raise KeyboardInterrupt("Training was interrupted.")
        self.net_ = net
        self.n_iter_ = len(net.history)
        self.class_prior_ = mass / mass.sum()
        drawn = np.bincount(
            records.y[train], weights=records.weight[train] * train_set.n_drawn, minlength=len(self.classes_)
        )
        self.training_prior_ = drawn / drawn.sum()

    def _class_factors(self, mass: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the factor that `class_weight` puts on each class."""
        if self.class_weight == "balanced":
            return mass.sum() / (len(mass) * mass)
        codes = np.arange(len(self.classes_))
        return compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[codes])

    def _make_net(self, device: torch.device, valid_set: TensorRecords | None, rng: np.random.Generator) -> WeightedNet:
        """Return the skorch net that the parameters describe, not yet initialised."""
        callbacks: list[Any] = [("diverged", StopWhenDiverged())]
        if valid_set is not None:
            callbacks.append(
                ("early_stopping", StopEarly(patience=self.n_iter_no_change, load_best=True, sink=_ignore))
            )
        schedule = Schedule(
            self.schedule, self.max_epochs, self.warmup_epochs, (self.first_epoch_lr or self.lr) / self.lr
        )
        callbacks.append(("schedule", LRScheduler(policy=LambdaLR, lr_lambda=schedule)))
        if self.max_grad_norm is not None:
            callbacks.append(("clip", GradientNormClipping(self.max_grad_norm)))
        optimizer = _OPTIMIZERS[self.optimizer] if isinstance(self.optimizer, str) else self.optimizer
        params: dict[str, Any] = {
            "module": self._network,
            "module__n_leads": self.n_leads_in_,
            "module__n_classes": len(self.classes_),
            "module__width": self.width,
            "module__blocks": tuple(self.blocks),
            "module__kernel_size": self.kernel_size,
            "module__stem_kernel_size": self.stem_kernel_size,
            "module__dropout": self.dropout,
            "criterion": nn.CrossEntropyLoss,
            "criterion__reduction": "none",
            "optimizer": optimizer,
            "optimizer__weight_decay": self.weight_decay,
            "lr": self.lr,
            "max_epochs": self.max_epochs,
            "batch_size": self.batch_size,
            "iterator_train": Batches,
            "iterator_train__balance": self.balance,
            "iterator_train__augmentation": Augmentation(
                self.time_shift, self.amplitude_scale, self.baseline_wander, self.lead_dropout
            ),
            "iterator_train__rng": rng,
            "iterator_valid": iterate_valid,
            "train_split": None if valid_set is None else predefined_split(valid_set),
            "classes": list(range(len(self.classes_))),
            "callbacks": [*callbacks, *(self.callbacks or [])],
            "device": device,
            "verbose": int(self.verbose),
        }
        return WeightedNet(**(params | (self.net_params or {})))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_records, n_classes)
            Probabilities, classes in the order of `classes_`; rows sum to 1. With `correct_prior`
            they answer for the class shares of the training data, otherwise for those of the
            balanced batches, as the published procedure does.

        Raises
        ------
        ValueError
            If leads or samples are not those of `fit`, or a value is not finite.
        sklearn.exceptions.NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        signals = check_signals(self, X, reset=False)
        with _threads(self.n_threads):
            logits = predict_logits(self.net_.module_, signals, torch.device(self.net_.device))
        to_prior = self.class_prior_ if self.correct_prior else self.training_prior_
        return shift_prior(logits, self.training_prior_, to_prior)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class of each record.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_records,)
            Classes. At a low prevalence few probabilities exceed one half; choose a threshold on
            `predict_proba` for a decision.
        """
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _ignore(*args: Any, **kwargs: Any) -> None:
    """Take the place of a printing function."""


def _make_rng(random_state: int | np.random.RandomState | None) -> np.random.Generator:
    """Return a generator that leaves NumPy's global one alone, even for None."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    return np.random.default_rng(random_state)


@contextmanager
def _threads(n_threads: int | None) -> Iterator[None]:
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
def _seeded_torch(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch inside the block, and give its global random state back after it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
