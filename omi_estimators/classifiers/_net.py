"""The skorch net inside each classifier: a weighted loss, and the callbacks that training cannot do without."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping
from torch import Tensor

from omi_estimators.classifiers._records import Batches, TensorRecords


class WeightedNet(NeuralNetClassifier):
    """A skorch classifier whose loss weighs records, and that says whether Ctrl-C ended its training.

    Batches are ``({"x": signal, "weight": factor}, label)``; plain arrays of shape
    (n_records, 1, n_leads, n_samples) work for prediction as in skorch.
    """

    interrupted_ = False

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Return the logits of a batch."""
        return super().infer(x["x"] if isinstance(x, dict) else x, **fit_params)

    def get_loss(self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False) -> Tensor:
        """Return the mean over the batch of loss times weight."""
        losses = super().get_loss(y_pred, y_true, X=X, training=training)
        return (losses * X["weight"]).mean() if isinstance(X, dict) else losses.mean()

    def fit_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Train; remember an interruption, which skorch would swallow."""
        self.interrupted_ = False
        try:
            return super().fit_loop(*args, **kwargs)
        except KeyboardInterrupt:
            # skorch's early stopping ends training by this very exception, and its patience is then used up.
            stoppers = [callback for _, callback in self.callbacks_ if isinstance(callback, EarlyStopping)]
            self.interrupted_ = not any(stopper.misses_ >= stopper.patience for stopper in stoppers)
            raise


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


def iterate_valid(dataset: Any, batch_size: int, **kwargs: Any) -> Any:
    """Return batches of our own records unshuffled, and skorch's default loader for any other data set."""
    if isinstance(dataset, TensorRecords):
        return Batches(dataset, batch_size)
    return torch.utils.data.DataLoader(dataset, batch_size=batch_size, **kwargs)
