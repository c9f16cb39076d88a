"""What watches the training of a network: stopping, divergence, the progress bar, scikit-learn's callbacks."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping
from tqdm.auto import tqdm

from omi_estimators.classifiers._net import StoppedByCallback


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
        self.bar_ = tqdm(total=self.max_epochs, initial=done, desc=self.name, unit="epoch", file=sys.stderr)

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

    def __init__(self, estimator: Any, context: Any, X: Any, y: Any):
        self.estimator = estimator
        self.context = context
        self.X = X
        self.y = y

    def on_epoch_begin(self, net: NeuralNetClassifier, **kwargs: Any) -> None:
        """Open the task of an epoch."""
        self.task_ = self.context.subcontext(task_name="epoch")
        self.task_.call_on_fit_task_begin(estimator=self.estimator, X=self.X, y=self.y)

    def on_epoch_end(self, net: NeuralNetClassifier, **kwargs: Any) -> None:
        """Close it, and stop if a callback asks for it."""
        stop = self.task_.call_on_fit_task_end(
            estimator=self.estimator,
            X=self.X,
            y=self.y,
            # Until training ends nobody knows the drawn class shares; balanced or not, the ranking is the same.
            reconstruction_attributes=lambda: {
                "net_": net,
                "class_prior_": np.full(len(net.classes), 1 / len(net.classes)),
                "training_prior_": np.full(len(net.classes), 1 / len(net.classes)),
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
