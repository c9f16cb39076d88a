"""The training procedure: its recipe, the skorch net with what watches it, and the way to a trained network."""

from __future__ import annotations

import math
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.utils import compute_class_weight
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from skorch.history import History
from skorch.utils import noop
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from omi_estimators._text import is_silent
from omi_estimators._validation import make_rng
from omi_estimators.classifiers._data import (
    Augmentation,
    Batches,
    Records,
    TensorRecords,
    class_mass,
    split_patients,
)
from omi_estimators.classifiers._machine import find_autocast_dtype, find_device, seeded_torch

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}

# See `_bears_channels_last`: as many numbers as fit into the widest register.
_FEWEST_CHANNELS = 16


@dataclass(frozen=True)
class Schedule:
    """The factor on the learning rate in each epoch; called with the epoch, counted from 0.

    Attributes
    ----------
    shape : {"constant", "cosine"}
        Whether the rate stays, or falls along half a cosine, almost to zero in the last epoch.
    max_epochs : int
        Where the cosine ends.
    warmup_epochs : int
        Epochs in which the rate rises linearly to its full height.
    first_factor : float
        Factor in epoch 0 only: a larger first step, as the paper's authors allow.
    """

    shape: str
    max_epochs: int
    warmup_epochs: int = 0
    first_factor: float = 1.0

    def __call__(self, epoch: int) -> float:
        """Return the factor of an epoch."""
        if epoch < self.warmup_epochs:
            factor = (epoch + 1) / (self.warmup_epochs + 1)
        elif self.shape == "cosine":
            progress = (epoch - self.warmup_epochs) / max(1, self.max_epochs - self.warmup_epochs)
            factor = (1 + math.cos(math.pi * min(1.0, progress))) / 2
        else:
            factor = 1.0
        return factor * (self.first_factor if epoch == 0 else 1.0)


@dataclass(frozen=True, eq=False)
class Recipe:
    """What decides how a network is trained, apart from records and seed: made once, when parameters are validated.

    Attributes
    ----------
    name : str
        Of the classifier's class.
    network : type
        The network's class; `network_params` are its arguments.
    classes : ndarray of shape (n_classes,)
        As in the labels.
    device : torch.device
        Where to train.
    params : dict
        Parameters of the classifier by name.
    """

    name: str
    network: type[nn.Module]
    network_params: dict[str, Any]
    classes: NDArray[Any]
    device: torch.device
    params: dict[str, Any]

    @classmethod
    def of(cls, classifier: Any, device: torch.device) -> Recipe:
        """Return the recipe of a classifier that knows its classes and leads."""
        sizes = network_params(classifier)
        params = classifier.get_params(deep=False)
        return cls(type(classifier).__name__, classifier._network, sizes, classifier.classes_, device, params)

    @property
    def is_foreign(self) -> bool:
        """Whether code of the user's takes part in training, which may draw from torch's global generator."""
        return bool(self.params["callbacks"] or self.params["net_params"])

    def seeded(self, rng: np.random.Generator) -> AbstractContextManager[None]:
        """Return a context for a whole training: torch's global generator seeded, where something may draw from it."""
        return seeded_torch(rng, self.device) if self.is_foreign else nullcontext()


class StoppedByCallback(KeyboardInterrupt):
    """Ends training from inside a callback of ours; skorch ends it cleanly on any KeyboardInterrupt."""


class WeightedNet(NeuralNetClassifier):
    """A skorch classifier whose loss weighs records, and that says whether Ctrl-C ended its training.

    Batches are ``({"x": signal, "weight": factor}, label)``; plain arrays of shape
    (n_records, 1, n_leads, n_samples) work for prediction as in skorch.

    Parameters
    ----------
    *args, **kwargs
        As for `skorch.NeuralNetClassifier`.
    autocast_dtype : torch.dtype or None, default=None
        Precision of the convolutions in training; None leaves them in float32.
    freeze : {"features"} or None, default=None
        Whether only the last linear layer learns.
    """

    interrupted_ = False
    # Whether anything but dropout may draw at random; dropout draws from `generator_`, which is there while training.
    draws_globally_ = False
    generator_: Any = None

    def __init__(self, *args: Any, autocast_dtype: torch.dtype | None = None, freeze: str | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.autocast_dtype = autocast_dtype
        self.freeze = freeze

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Return the logits of a batch, in float32."""
        signals = x["x"] if isinstance(x, dict) else x
        device_type = torch.device(self.device).type
        with torch.autocast(device_type, dtype=self.autocast_dtype, enabled=self.autocast_dtype is not None):
            return super().infer(signals, **fit_params).float()

    def get_loss(self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False) -> Tensor:
        """Return the mean over the batch of loss times weight."""
        losses = super().get_loss(y_pred, y_true, X=X, training=training)
        return (losses * X["weight"]).mean() if isinstance(X, dict) else losses.mean()

    def freeze_features(self, freeze: str | None) -> None:
        """Let only the last linear layer learn, or everything again."""
        self.freeze = freeze
        for name, parameter in self.module_.named_parameters():
            parameter.requires_grad_(freeze is None or name.split(".")[-2] == "head")

    def draw_from(self, generator: torch.Generator | None) -> None:
        """Let the dropout of our networks draw from a generator of its own, None being torch's global one."""
        self.generator_ = generator
        modules: list[Any] = [part for part in self.module_.modules() if isinstance(part, nn.Dropout)]
        for dropout in modules:
            if hasattr(dropout, "generator"):
                dropout.generator = generator

    def _set_training(self, training: bool = True) -> None:
        """Switch the mode; batch normalisation of frozen features keeps what it knows of its inputs."""
        super()._set_training(training)
        if training and self.freeze == "features":
            for module in self.module_.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def fit_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Train; remember an interruption, which skorch would swallow."""
        self.interrupted_ = False
        try:
            return super().fit_loop(*args, **kwargs)
        except StoppedByCallback:
            raise
        except KeyboardInterrupt:
            # skorch's early stopping ends training by this very exception, and its patience is then used up.
            stoppers = [callback for _, callback in self.callbacks_ if isinstance(callback, EarlyStopping)]
            self.interrupted_ = not any(stopper.misses_ >= stopper.patience for stopper in stoppers)
            raise


def iterate_valid(dataset: Any, batch_size: int, **kwargs: Any) -> Any:
    """Return batches of our own records unshuffled, and skorch's default loader for any other data set."""
    if isinstance(dataset, TensorRecords):
        return Batches(dataset, batch_size)
    return torch.utils.data.DataLoader(dataset, batch_size=batch_size, **kwargs)


class StopWhenDiverged(Callback):
    """Raise an error that names the remedy when the loss of an epoch is not finite."""

    def on_epoch_end(self, net: NeuralNetClassifier, **kwargs: Any) -> None:
        """Check the losses of the epoch."""
        epoch = net.history[-1]
        for name in ("train_loss", "valid_loss"):
            if not np.isfinite(epoch.get(name, 0.0)):
                raise FloatingPointError(
                    f"Training diverged: {name} is {epoch[name]} after epoch {epoch['epoch']}. "
                    f"Lower lr (now {net.lr:g}), or clip gradients with max_grad_norm=1."
                )


class StopEarly(EarlyStopping):
    """Early stopping that restores the best weights and then drops its own copy of them."""

    def on_train_end(self, net: NeuralNetClassifier, **kwargs: Any) -> None:
        """Restore the best weights."""
        super().on_train_end(net, **kwargs)
        self.best_model_weights_ = None


class ProgressBar(Callback):
    """A line on the terminal: epochs, losses, and the AUROC of the patients put aside."""

    def __init__(self, name: str, max_epochs: int):
        self.name = name
        self.max_epochs = max_epochs

    def on_train_begin(self, net: NeuralNetClassifier, **kwargs: Any) -> None:
        """Draw the empty bar."""
        # Epochs of a fit that was killed, and that a checkpoint brought back.
        done = len(net.history)
        given = {"desc": self.name, "unit": "epoch", "file": sys.stderr, "disable": is_silent()}
        self.bar_ = tqdm(total=self.max_epochs, initial=done, **given)

    def on_epoch_end(self, net: NeuralNetClassifier, **kwargs: Any) -> None:
        """Move on by one epoch."""
        epoch = net.history[-1]
        names = ("train_loss", "valid_loss", "valid_auc")
        self.bar_.set_postfix({name: f"{epoch[name]:.3f}" for name in names if name in epoch}, refresh=False)
        self.bar_.update()

    def on_train_end(self, net: NeuralNetClassifier, **kwargs: Any) -> None:
        """Leave the line as it is."""
        self.bar_.close()


class ScikitLearnTasks(Callback):
    """Tell scikit-learn's own callbacks, set with `set_callbacks`, of each epoch."""

    def __init__(self, context: Any, **given: Any):
        self.context = context
        self.given = given

    def on_epoch_begin(self, net: NeuralNetClassifier, **kwargs: Any) -> None:
        """Open the task of an epoch."""
        self.task_ = self.context.subcontext(task_name="epoch")
        self.task_.call_on_fit_task_begin(**self.given)

    def on_epoch_end(self, net: NeuralNetClassifier, **kwargs: Any) -> None:
        """Close it, and stop if a callback asks for it."""
        stop = self.task_.call_on_fit_task_end(
            **self.given,
            # Until training ends nobody knows the drawn class shares; balanced or not, the ranking is the same.
            reconstruction_attributes=lambda: {
                "nets_": [net],
                "class_prior_": np.full(len(net.classes), 1 / len(net.classes)),
                "training_prior_": np.full(len(net.classes), 1 / len(net.classes)),
                "calibration_slope_": 1.0,
                "calibration_intercept_": np.zeros(len(net.classes)),
            },
        )
        if stop:
            raise StoppedByCallback


def validation_auc(net: NeuralNetClassifier, dataset: Any, y: Any) -> float:
    """Return the AUROC of a net on its validation set, NaN if that has too few classes."""
    labels = np.asarray(y)
    probabilities = net.predict_proba(dataset)
    if len(np.unique(labels)) < probabilities.shape[1]:
        return float("nan")
    if probabilities.shape[1] == 2:
        return roc_auc_score(labels, probabilities[:, 1])
    return roc_auc_score(labels, probabilities / probabilities.sum(axis=1, keepdims=True), multi_class="ovr")


def loss_factors(recipe: Recipe, records: Records) -> NDArray[np.float64]:
    """Return the factor of each record in the loss: its weight, of mean 1, times its class's weight."""
    return records.weight / records.weight.mean() * _class_factors(recipe, records)[records.y]


def _class_factors(recipe: Recipe, records: Records) -> NDArray[np.float64]:
    """Return the factor on the loss of each class."""
    mass = class_mass(records, len(recipe.classes))
    if recipe.params["class_weight"] == "balanced":
        factors = mass.sum() / (len(mass) * np.maximum(mass, np.finfo(float).tiny))
    else:
        factors = compute_class_weight(recipe.params["class_weight"], classes=recipe.classes, y=recipe.classes)
    return np.asarray(factors, dtype=np.float64)


def start_at_shares(net: WeightedNet, recipe: Recipe, records: Records) -> None:
    """Let an untrained network answer with the share of each class in the loss, whatever it is shown.

    Its last layer would otherwise have to learn great class weights in steps of the learning rate.
    """
    shares = _class_factors(recipe, records)
    if recipe.params["balance"] is None:
        shares = shares * class_mass(records, len(recipe.classes))
    logs = np.log(np.maximum(shares / shares.sum(), np.finfo(np.float32).tiny))
    bias = getattr(getattr(net.module_, "head", None), "bias", None)
    if bias is not None and np.ptp(logs) > 0:
        with torch.no_grad():
            bias += torch.from_numpy(logs - logs.mean()).to(bias.device, bias.dtype)


def split_records(
    recipe: Recipe, records: Records, rng: np.random.Generator, *, validates: bool
) -> tuple[TensorRecords, NDArray[np.intp], TensorRecords | None]:
    """Return the training set with the indices of its records, and the validation set if there is to be one."""
    factor = loss_factors(recipe, records)
    train = np.arange(len(records.y))
    valid_set = None
    if validates:
        train, valid = split_patients(records.y, records.groups, recipe.params["validation_fraction"], rng)
        if recipe.params["balance"] is not None:
            # Training sees balanced classes, so validation weighs them alike too.
            valid_factor = (factor / class_mass(records, len(recipe.classes))[records.y])[valid]
        else:
            valid_factor = factor[valid]
        valid_set = TensorRecords(records.take(valid), valid_factor / valid_factor.mean(), recipe.device)
    return TensorRecords(records.take(train), factor[train], recipe.device), train, valid_set


def make_net(recipe: Recipe, valid_set: TensorRecords | None, rng: np.random.Generator) -> WeightedNet:
    """Return the skorch net that the parameters of an estimator describe, initialised."""
    of = recipe.params
    augmentation = Augmentation(*(of[name] for name in Augmentation._fields))
    params: dict[str, Any] = {
        "module": recipe.network,
        **{f"module__{name}": value for name, value in recipe.network_params.items()},
        "criterion": nn.CrossEntropyLoss,
        "criterion__reduction": "none",
        "optimizer": OPTIMIZERS.get(of["optimizer"], of["optimizer"]),
        "optimizer__weight_decay": of["weight_decay"],
        **{name: of[name] for name in ("lr", "max_epochs", "batch_size", "compile")},
        "iterator_train": Batches,
        "iterator_train__balance": of["balance"],
        "iterator_train__augmentation": augmentation,
        "iterator_train__rng": rng,
        "iterator_valid": iterate_valid,
        "train_split": None if valid_set is None else predefined_split(valid_set),
        "classes": list(range(len(recipe.classes))),
        "callbacks": _make_callbacks(recipe, valid_set is not None),
        "autocast_dtype": find_autocast_dtype(of["mixed_precision"], recipe.device),
        "device": recipe.device,
        "verbose": max(0, int(of["verbose"]) - 1),
    }
    with torch.device("meta"):
        bears_channels_last = _bears_channels_last(recipe.network(**recipe.network_params))
    if of["compile"] and not bears_channels_last:
        # The compiler would choose this layout by itself.
        params["compile__options"] = {"layout_optimization": False}
    with seeded_torch(rng, recipe.device):
        net = WeightedNet(**(params | (of["net_params"] or {}))).initialize()
    if bears_channels_last and _bears_channels_last(net.module_):
        net.module_.to(memory_format=torch.channels_last)
    return net


def _bears_channels_last(module: nn.Module) -> bool:
    """Return whether a network can be trained in the faster memory layout without harm.

    With fewer input channels than these, and more than one thread, the gradient of a strided 1×1 convolution
    writes past its memory in that layout (oneDNN in torch 2.13, on processors with AVX2 or AVX-512).
    """
    strided = (part for part in module.modules() if isinstance(part, nn.Conv2d) and set(part.stride) != {1})
    return all(set(part.kernel_size) != {1} or part.in_channels >= _FEWEST_CHANNELS for part in strided)


def _make_callbacks(recipe: Recipe, validates: bool) -> list[Any]:
    """Return skorch's callbacks: ours, then the user's."""
    of = recipe.params
    first_factor = (of["first_epoch_lr"] or of["lr"]) / of["lr"]
    schedule = Schedule(of["schedule"], of["max_epochs"], of["warmup_epochs"], first_factor)
    callbacks: list[Any] = [
        ("diverged", StopWhenDiverged()),
        ("schedule", LRScheduler(policy=LambdaLR, lr_lambda=schedule)),
    ]
    if of["max_grad_norm"] is not None:
        callbacks.append(("clip", GradientNormClipping(of["max_grad_norm"])))
    if of["verbose"]:
        if validates:
            callbacks.append(("valid_auc", EpochScoring(validation_auc, lower_is_better=False, name="valid_auc")))
        callbacks.append(("progress", ProgressBar(recipe.name, of["max_epochs"])))
    callbacks += of["callbacks"] or []
    if validates:
        # Last, because it ends an epoch by an exception that the callbacks after it would never hear of.
        stop = StopEarly(patience=of["n_iter_no_change"], load_best=True, sink=noop)
        callbacks.append(("early_stopping", stop))
    return callbacks


def train(recipe: Recipe, net: WeightedNet, train_set: TensorRecords, epochs: int, rng: np.random.Generator) -> None:
    """Train a net for a number of epochs; ``net.interrupted_`` says whether Ctrl-C ended it."""
    net.draws_globally_ = recipe.is_foreign
    net.draw_from(torch.Generator(recipe.device).manual_seed(int(rng.integers(2**31))))
    net.partial_fit(train_set, epochs=epochs)


def forget_training(net: WeightedNet) -> None:
    """Take from a net what belongs to one call of `fit` only: its split, its schedule, its progress bar."""
    net.set_params(train_split=None)
    net.draw_from(None)
    net.module_ = uncompiled(net.module_)
    of_training = {"scikit_learn", "early_stopping", "progress", "valid_auc", "schedule", "checkpoint", "stop_together"}
    net.callbacks_ = [(name, callback) for name, callback in net.callbacks_ if name not in of_training]


def network_params(classifier: Any) -> dict[str, Any]:
    """Return the arguments of the network that the parameters of a classifier, and what it was fitted on, describe."""
    sizes = ("width", "kernel_size", "stem_kernel_size", "dropout")
    return {
        "n_leads": classifier.n_leads_in_,
        "n_classes": len(classifier.classes_),
        "blocks": tuple(classifier.blocks),
        **{name: getattr(classifier, name) for name in sizes},
    }


def uncompiled(module: nn.Module) -> nn.Module:
    """Return the network inside what `torch.compile` made of it, or the network itself."""
    return getattr(module, "_orig_mod", module)


def build_network(classifier: Any) -> nn.Module:
    """Return the network that a classifier's parameters describe, not trained.

    Parameters
    ----------
    classifier : ECGSmartNetClassifier, TemporalResNet18Classifier or ResNet18Classifier
        Fitted, or with what `fit` finds in the data: `classes_` and `n_leads_in_`.

    Returns
    -------
    torch.nn.Module
        One of `omi_estimators.networks`, with random weights.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators import ECGSmartNetClassifier
    >>> from omi_estimators.classifiers import build_network
    >>> X = np.random.default_rng(0).normal(size=(20, 12, 50))
    >>> net = ECGSmartNetClassifier(width=4, blocks=(1, 1), n_members=1, max_epochs=1).fit(X, np.arange(20) % 2)
    >>> build_network(net).head
    Linear(in_features=8, out_features=2, bias=True)
    """
    network: nn.Module = classifier._network(**network_params(classifier))
    return network


def restore_networks(classifier: Any, members: list[tuple[dict[str, Tensor], list[dict[str, Any]]]]) -> None:
    """Give a classifier the networks that its parameters describe, with weights from elsewhere.

    Parameters
    ----------
    classifier : ECGSmartNetClassifier, TemporalResNet18Classifier or ResNet18Classifier
        With all that `fit` leaves except `nets_`, which it gets.
    members : list of (dict of str to Tensor, list of dict)
        Of each network what its `state_dict` was, and the epochs of its training as skorch keeps them.

    Warns
    -----
    UserWarning
        If the device that the classifier names is not here: it then computes on the CPU.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators import ECGSmartNetClassifier
    >>> from omi_estimators.classifiers import restore_networks
    >>> X = np.random.default_rng(0).normal(size=(20, 12, 50))
    >>> net = ECGSmartNetClassifier(width=4, blocks=(1, 1), n_members=1, max_epochs=1).fit(X, np.arange(20) % 2)
    >>> before = net.predict_proba(X)
    >>> restore_networks(net, [(member.module_.state_dict(), list(member.history)) for member in net.nets_])
    >>> bool((net.predict_proba(X) == before).all())
    True
    """
    try:
        device = find_device(classifier.device)
    except ValueError:
        warnings.warn(
            f"{type(classifier).__name__} was saved with device={classifier.device!r}, which is not here; it predicts "
            "on the CPU. Before training it further, set device='auto'.",
            UserWarning,
            stacklevel=5,
        )
        device = torch.device("cpu")
    nets = []
    for weights, history in members:
        net = make_net(Recipe.of(classifier, device), None, make_rng(classifier.random_state))
        net.module_.load_state_dict(weights)
        net.history_ = History(history)
        forget_training(net)
        nets.append(net)
    classifier.nets_ = nets
