"""Loading a model."""

from __future__ import annotations

import os
import warnings
from typing import Any

from sklearn.base import BaseEstimator

from omi_estimators.persistence._container import CARD, MODEL, ModelFileError, decode_card, read_bytes, unpack
from omi_estimators.persistence._plain import FOLDERS, is_network, iterate_parts
from omi_estimators.persistence._skops import load_plain
from omi_estimators.persistence._trees import check_forests
from omi_estimators.persistence._versions import version_differences


class ModelVersionWarning(UserWarning):
    """A model was saved with other versions of the packages it needs than those here."""


def load(path: str | os.PathLike[str]) -> Any:
    """Load a model that `save` wrote.

    Nothing in a file is run: it is checked against a list of types, each by its name, before anything is made of it.
    A file from somebody else may still hold a model that answers wrongly.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    estimator
        The model, fitted as it was; its probabilities are the same bit for bit, on the same machine and versions. A
        network is on the device that its classifier names, or on the CPU if that is not here.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If the file is none that `save` wrote, is damaged, of a later format, or holds a type that is not trusted,
        which the message then names.

    Warns
    -----
    ModelVersionWarning
        If versions differ from those that the model was saved with.
    UserWarning
        If the device of a network is not here.

    See Also
    --------
    save : Writes the file.
    omi_estimators.persistence.read_card : What the model is, without loading it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from omi_estimators import LeadScaler, load, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "scaler.omi"
    ...     save(LeadScaler(by="record"), path)
    ...     load(path)
    LeadScaler(by='record')
    """
    name = str(path)
    manifest, members = unpack(read_bytes(path), name)
    decode_card(members.pop(CARD), name)
    differences = version_differences(manifest["versions"])
    if differences:
        warnings.warn(
            f"{name} was saved with {', '.join(differences)}; what it predicts may differ a little, or it may not "
            "load. Install these versions, or check predictions on records you know.",
            ModelVersionWarning,
            stacklevel=2,
        )
    model = load_plain(members.pop(MODEL), name)
    try:
        classifiers = _check_parts(model)
        wanted = [classifier.net_["weights"] for classifier in classifiers]
        if set(wanted) != set(members):
            raise ModelFileError(f"it has weights {sorted(members)}, and its networks ask for {sorted(wanted)}")
    # Attributes are whatever the file says, and their errors of many kinds; each means that the file is no model.
    except Exception as error:
        reason = str(error) if isinstance(error, ModelFileError) else f"{type(error).__name__}: {error}"
        raise ModelFileError(f"{name} cannot be loaded: {reason.rstrip('.')}.") from error
    if classifiers:
        from omi_estimators.persistence._networks import restore_network

        for classifier in classifiers:
            restore_network(classifier, members, name)
    return model


def _check_parts(model: Any) -> list[Any]:
    """Return the trained networks of a model; raise a ModelFileError for what `save` never writes."""
    if not isinstance(model, BaseEstimator):
        raise ModelFileError(f"it holds no estimator but a {type(model).__name__}")
    parts = list(iterate_parts(model))
    for part in parts:
        found, kind = vars(part), type(part)
        folders = [f"{name}={found[name]!r}" for name in FOLDERS if found.get(name) is not None]
        if folders:
            raise ModelFileError(f"its {kind.__name__} names a folder, {folders[0]}")
        hidden = [name for name in found if callable(getattr(kind, name, None))]
        if hidden:
            raise ModelFileError(f"its {kind.__name__} has an attribute in the place of its method {hidden[0]}")
    check_forests(parts)
    return [part for part in parts if is_network(part) and "net_" in vars(part)]
