"""Training that outlives its process: everything an epoch leaves behind in one file, and the way back from it.

The file is 32 bytes of SHA-256 and, of all that follows, a safetensors body: tensors, and as one more of them
("state") JSON that says where each tensor belongs. Nothing in it is ever executed, as a pickle would be.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import warnings
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import safetensors.torch
import skorch
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from skorch.history import History
from torch import Tensor

import omi_estimators
from omi_estimators._files import replace_file
from omi_estimators.classifiers._data import Records, TensorRecords, digest_records
from omi_estimators.classifiers._training import Recipe, WeightedNet, uncompiled

# Raised with every change of what the file holds, so that no older file is read as a newer one.
_FORMAT = 1

_DIGEST_SIZE = sha256().digest_size

# These change no weight, or are in the key by what came of them: seed, threads, device, callbacks.
_NOT_IN_KEY = {
    "callbacks",
    "checkpoint_dir",
    "correct_prior",
    "device",
    "n_threads",
    "on_interrupt",
    "random_state",
    "verbose",
}

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
    checkpoint = Checkpoint(folder / f"{key}.checkpoint", train_set, rng)
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
    """

    def __init__(self, path: Path, train_set: TensorRecords, rng: np.random.Generator):
        self.path = path
        self.train_set = train_set
        self.rng = rng

    def find(self, net: NeuralNetClassifier) -> None:
        """Read the file, if there is one; give the net what other callbacks look at when training begins."""
        self.found_ = self._load()
        if self.found_ is not None:
            net.history_ = History()
            net.history_.extend(self.found_["history"])
            # The learning-rate scheduler goes on only with an optimizer that remembers its first rate.
            net.optimizer_.load_state_dict(self.found_["optimizer"])

    def on_train_begin(self, net: NeuralNetClassifier, **kwargs: Any) -> None:
        """Put back what was found; the callbacks before this one have just begun anew."""
        if self.found_ is not None:
            _restore(self.found_, net, self.train_set, self.rng)
            self.found_ = None

    def on_epoch_end(self, net: NeuralNetClassifier, **kwargs: Any) -> None:
        """Write; a training that cannot write goes on with a warning."""
        try:
            replace_file(self.path, _encode(_capture(net, self.train_set, self.rng) | {"key": self.path.stem}))
        except (OSError, TypeError) as error:
            # Without the epoch's number, so that Python shows it once and not once an epoch.
            warnings.warn(
                f"The checkpoint {self.path} cannot be written ({error}). Training goes on; if it is killed, it starts "
                "again from the last checkpoint that could be written, if any.",
                UserWarning,
                stacklevel=2,
            )

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

    def _load(self) -> dict[str, Any] | None:
        """Return the state in the file, or None if there is none or, with a warning, if it is not to be trusted."""
        try:
            state = _decode(self.path.read_bytes())
            if state["key"] != self.path.stem:
                raise ValueError("it belongs to another fit")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            warnings.warn(
                f"The checkpoint {self.path} is ignored ({error}); training starts from the beginning.",
                UserWarning,
                stacklevel=4,
            )
            return None
        return state


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
    params = {name: value for name, value in recipe.params.items() if name not in _NOT_IN_KEY}
    try:
        return joblib.hash(
            {
                "network": recipe.network,
                "params": params,
                # class_weight names classes, which the records hold as 0, 1, ….
                "classes": recipe.classes.tolist(),
                "callbacks": [_describe_callback(callback) for callback in recipe.params["callbacks"] or []],
                "records": (bytes(digest_records(records)), records.weight, records.groups),
                # Those of the last fit, where warm_start goes on from it.
                "weights": {name: value.cpu().numpy() for name, value in uncompiled(net.module_).state_dict().items()},
                "rng": rng.bit_generator.state,
                "device": torch.device(net.device).type,
                # Sums in float32 depend on it.
                "n_threads": torch.get_num_threads(),
                "format": _FORMAT,
                "versions": [module.__version__ for module in (omi_estimators, torch, skorch, np)],
            }
        )
    except Exception as error:
        # Whatever pickling raises; what to do is the same.
        raise ValueError(
            f"The parameters of {recipe.name} cannot be told from others on disk ({error}); use functions "
            "and classes that a module defines by name, or set checkpoint_dir=None."
        ) from error


def _describe_callback(callback: Any) -> tuple[Any, ...]:
    """Return what a callback was made with, without what training has done to it since."""
    name, part = callback if isinstance(callback, (tuple, list)) else (None, callback)
    if isinstance(part, type):
        return name, part
    return name, type(part), {key: value for key, value in vars(part).items() if not key.endswith("_")}


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
        "n_drawn": torch.from_numpy(train_set.n_drawn),
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
    train_set.n_drawn[:] = state["n_drawn"].numpy()
    rng.bit_generator.state = state["rng"]
    net.generator_.set_state(state["dropout_rng"])
    if not net.draws_globally_:
        return
    torch.set_rng_state(state["torch_rng"])
    if state["cuda_rng"] is not None:
        torch.cuda.set_rng_state(state["cuda_rng"], torch.device(net.device))


def _encode(state: dict[str, Any]) -> bytes:
    """Return a state as the content of a file."""
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_pack(state, tensors))
    tensors["state"] = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    body = safetensors.torch.save(tensors)
    return sha256(body).digest() + body


def _decode(content: bytes) -> dict[str, Any]:
    """Return the state in the content of a file.

    Raises
    ------
    ValueError
        If a single byte is not as it was written.
    """
    body = content[_DIGEST_SIZE:]
    if sha256(body).digest() != content[:_DIGEST_SIZE]:
        raise ValueError("it is damaged, or no checkpoint: its content does not match its digest")
    tensors = safetensors.torch.load(body)
    return _unpack(json.loads(bytes(tensors["state"].numpy())), tensors)


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a value as JSON can hold it, with its tensors put aside under a name."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous()
        # The layout in memory decides the order of sums, so it is kept too.
        return {"tensor": name, "stride": value.stride()}
    if isinstance(value, Mapping):
        return {"dict": [[key, _pack(part, tensors)] for key, part in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_pack(part, tensors) for part in value]}
    if isinstance(value, list):
        return [_pack(part, tensors) for part in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a {type(value).__name__}, which an optimizer or a callback left in its state, has no place in it")


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return what `_pack` was given."""
    if isinstance(value, list):
        return [_unpack(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        saved = tensors[value["tensor"]]
        return torch.empty_strided(saved.shape, value["stride"], dtype=saved.dtype).copy_(saved)
    if "tuple" in value:
        return tuple(_unpack(part, tensors) for part in value["tuple"])
    return {key: _unpack(part, tensors) for key, part in value["dict"]}
