"""The skorch net inside each classifier: a weighted loss, mixed precision, frozen features."""

from __future__ import annotations

from typing import Any

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import EarlyStopping
from torch import Tensor, nn

from omi_estimators.classifiers._records import Batches, TensorRecords


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
