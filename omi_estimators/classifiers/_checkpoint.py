"""Training that outlives its process: everything an epoch leaves behind in one file, and the way back from it."""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from skorch.history import History

from omi_estimators._store import make_key, read_file, write_file
from omi_estimators.classifiers._data import Records, TensorRecords, digest_records
from omi_estimators.classifiers._training import Recipe, WeightedNet, uncompiled

# These change no weight, or are in the key by what came of them: seed, threads, device, callbacks.
_NOT_IN_KEY = frozenset(
    "callbacks checkpoint_dir correct_prior device n_threads on_interrupt random_state verbose".split()
)

# A file that a killed process left half-written; one that still writes is far younger.
_ABANDONED_AFTER = 3600.0

_STOPPING_STATE = ("misses_", "dynamic_threshold_", "best_epoch_", "best_model_weights_")


def open_checkpoint(
    recipe: Recipe, net: WeightedNet, records: Records, train_set: TensorRecords, rng: np.random.Generator
) -> Checkpoint | None:
    """Make a net ready to go on where a killed `fit` stopped, and to write what it learns after each epoch.

    Parameters
    ----------
    recipe : Recipe
        Its `checkpoint_dir` says where; None means no checkpoint.
    net : WeightedNet
        Initialised, with all other callbacks. Gets one more, and weights and history if a file is found.
    records : Records
        Everything that `fit` learns from.
    train_set : TensorRecords
        The part that it trains on.
    rng : numpy Generator
        Draws batches and augmentation.

    Returns
    -------
    Checkpoint or None
        The callback; `remove` its file when the fit has ended well.

    Raises
    ------
    ValueError
        If `random_state` is None, or a parameter cannot be told from others on disk.
    OSError
        If the folder cannot be made or written to.
    """
    if recipe.params["checkpoint_dir"] is None:
        return None
    if recipe.params["random_state"] is None:
        raise ValueError(
            "checkpoint_dir needs a random_state, got None: without a seed the same call is another training, "
            "and cannot go on from this one. Set random_state to a number, or checkpoint_dir to None."
        )
    folder = Path(recipe.params["checkpoint_dir"])
    _check_writable(folder)
    key = _fit_key(recipe, net, records, rng)
    checkpoint = Checkpoint(folder / f"{key}.checkpoint", train_set, rng, recipe.params["n_iter_no_change"])
    checkpoint.find(net)
    # Last, because what it keeps includes what the callbacks before it have just changed.
    net.callbacks_.append(("checkpoint", checkpoint.initialize()))
    return checkpoint


class Checkpoint(Callback):
    """Writes the state of training after each epoch, and puts a state that it found back in place.

    Parameters
    ----------
    path : Path
        The file; its name is the key of the fit.
    train_set : TensorRecords
        Counts how often each record was drawn.
    rng : numpy Generator
        Draws batches and augmentation.
    patience : int
        Of early stopping.
    """

    def __init__(self, path: Path, train_set: TensorRecords, rng: np.random.Generator, patience: int):
        self.patience = patience
        self.path = path
        self.train_set = train_set
        self.rng = rng

    def find(self, net: NeuralNetClassifier) -> None:
        """Read the file, if there is one; give the net what other callbacks look at when training begins."""
        self.found_ = read_file(self.path, "checkpoint", "training starts from the beginning")
        if self.found_ is not None:
            net.history_ = History()
            net.history_.extend(self.found_["history"])
            # The learning-rate scheduler goes on only with an optimizer that remembers its first rate.
            net.optimizer_.load_state_dict(self.found_["optimizer"])

    @property
    def has_ended(self) -> bool:
        """Whether early stopping had ended the training that was found; another member was still in training."""
        stopping = [found for found in (self.found_ or {"callbacks": {}})["callbacks"].values() if "misses_" in found]
        return any(found["misses_"] >= self.patience for found in stopping)

    def on_train_begin(self, net: NeuralNetClassifier, **kwargs: Any) -> None:
        """Put back what was found; the callbacks before this one have just begun anew."""
        if self.found_ is not None:
            _restore(self.found_, net, self.train_set, self.rng)
            self.found_ = None

    def on_epoch_end(self, net: NeuralNetClassifier, **kwargs: Any) -> None:
        """Write; a training that cannot write goes on with a warning."""
        otherwise = "Training goes on; if it is killed, it starts again from the last that could be written, if any."
        write_file(self.path, _capture(net, self.train_set, self.rng), "checkpoint", otherwise)

    def remove(self) -> None:
        """Remove the file, and what killed processes left half-written of it."""
        try:
            self.path.unlink(missing_ok=True)
            for part in self.path.parent.glob(f".{self.path.stem}.*.part"):
                if time.time() - part.stat().st_mtime > _ABANDONED_AFTER:
                    part.unlink(missing_ok=True)
        except OSError as error:
            warnings.warn(
                f"Training has ended, but its checkpoint {self.path} cannot be removed ({error}).",
                UserWarning,
                stacklevel=3,
            )


def _check_writable(folder: Path) -> None:
    """Raise an OSError before training if nothing can be written to a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"checkpoint")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(
            f"checkpoint_dir={str(folder)!r} cannot be written to ({error}); give a folder with write permission and "
            "space, or None to train without checkpoints."
        ) from error


def _fit_key(recipe: Recipe, net: WeightedNet, records: Records, rng: np.random.Generator) -> str:
    """Return a hash of all that decides what a fit ends with."""
    decides = {
        "network": recipe.network,
        "params": {name: value for name, value in recipe.params.items() if name not in _NOT_IN_KEY},
        # class_weight names classes, which the records hold as 0, 1, ….
        "classes": recipe.classes.tolist(),
        "callbacks": [_describe_callback(callback) for callback in recipe.params["callbacks"] or []],
        "records": (bytes(digest_records(records)), records.weight, records.groups),
        # Those of the last fit, where warm_start goes on from it.
        "weights": uncompiled(net.module_).state_dict(),
        "rng": rng.bit_generator.state,
        "device": torch.device(net.device).type,
        # Sums in float32 depend on it.
        "n_threads": torch.get_num_threads(),
    }
    return make_key(decides, name=f"The parameters of {recipe.name}", otherwise="set checkpoint_dir=None")


def _describe_callback(callback: Any) -> tuple[Any, ...]:
    """Return what a callback was made with, without what training has done to it since."""
    name, part = callback if isinstance(callback, (tuple, list)) else (None, callback)
    if isinstance(part, type):
        return name, part
    # Under f_ skorch's have the files that they write.
    made = {key: value for key, value in vars(part).items() if not (key.endswith("_") or key.startswith("f_"))}
    return name, type(part), made


def _capture(net: WeightedNet, train_set: TensorRecords, rng: np.random.Generator) -> dict[str, Any]:
    """Return everything that the next epoch depends on."""
    device = torch.device(net.device)
    callbacks: dict[str, Any] = {}
    for name, callback in net.callbacks_:
        if isinstance(callback, EarlyStopping):
            callbacks[name] = {key: getattr(callback, key) for key in _STOPPING_STATE}
        elif isinstance(callback, LRScheduler):
            callbacks[name] = {"scheduler": callback.lr_scheduler_.state_dict(), "batch_idx_": callback.batch_idx_}
    return {
        "module": uncompiled(net.module_).state_dict(),
        "criterion": net.criterion_.state_dict(),
        "optimizer": net.optimizer_.state_dict(),
        "callbacks": callbacks,
        "history": list(net.history),
        "n_drawn": train_set.n_drawn,
        "rng": rng.bit_generator.state,
        "dropout_rng": net.generator_.get_state(),
        # torch's global generators, from which only code of the user's may draw.
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def _restore(state: dict[str, Any], net: WeightedNet, train_set: TensorRecords, rng: np.random.Generator) -> None:
    """Put back everything that `_capture` returned, but for the history."""
    uncompiled(net.module_).load_state_dict(state["module"])
    net.criterion_.load_state_dict(state["criterion"])
    net.optimizer_.load_state_dict(state["optimizer"])
    callbacks = dict(net.callbacks_)
    for name, of_callback in state["callbacks"].items():
        if "scheduler" in of_callback:
            callbacks[name].lr_scheduler_.load_state_dict(of_callback.pop("scheduler"))
        for key, value in of_callback.items():
            setattr(callbacks[name], key, value)
    train_set.n_drawn[:] = state["n_drawn"]
    rng.bit_generator.state = state["rng"]
    net.generator_.set_state(state["dropout_rng"])
    if not net.draws_globally_:
        return
    torch.set_rng_state(state["torch_rng"])
    if state["cuda_rng"] is not None:
        torch.cuda.set_rng_state(state["cuda_rng"], torch.device(net.device))
