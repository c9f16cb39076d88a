"""Saving a model, with the versions it needs, and loading it."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

import omi_estimators
from omi_estimators.persistence._card import find_training, write_card
from omi_estimators.persistence._container import (
    CARD,
    MODEL,
    PROFILE,
    ModelFileError,
    decode_card,
    network_member,
    pack,
    read_bytes,
    unpack,
    write_bytes,
)
from omi_estimators.persistence._plain import FOLDERS, is_network, iterate_parts, plain_copy
from omi_estimators.persistence._skops import dump_plain, load_plain
from omi_estimators.persistence._trees import check_forests

if TYPE_CHECKING:
    from omi_estimators.typicality import ECGProfile

_ALWAYS = ("numpy", "scipy", "scikit-learn", "skops")
_FOR_NETWORKS = ("safetensors", "skorch", "torch")
_FOR_FEATURES = ("neurokit2",)


def versions_of(parts: Iterable[Any]) -> dict[str, str]:
    """Return the versions here of what a model is made of.

    Parameters
    ----------
    parts : iterable of objects
        Everything in the model.

    Returns
    -------
    dict of str to str
        Version by name; of Python the first two numbers.
    """
    parts = list(parts)
    names = ["omi_estimators", "python", *_ALWAYS]
    if any(map(is_network, parts)):
        names += _FOR_NETWORKS
    if any(type(part).__name__ == "NeuroKitFeatures" for part in parts):
        names += _FOR_FEATURES
    return {name: _find_version(name) for name in names}


def version_differences(saved: dict[str, str]) -> list[str]:
    """Return what was saved with another version than that here, or with one of what is not here.

    Parameters
    ----------
    saved : dict of str to str
        Version by name, as `versions_of` gave them.

    Returns
    -------
    list of str
        Such as "numpy 2.1.0 (here 2.4.6)".
    """
    here = {name: _find_version(name) for name in saved}
    return [f"{name} {version} (here {here[name]})" for name, version in saved.items() if version != here[name]]


def _find_version(name: str) -> str:
    """Return the version here of what a model may be made of, "none" for anything else."""
    if name == "omi_estimators":
        return omi_estimators.__version__
    if name == "python":
        return ".".join(platform.python_version_tuple()[:2])
    try:
        # Without what follows a plus: torch for a GPU is the same version as torch without.
        return metadata.version(name).split("+")[0] if name in (*_ALWAYS, *_FOR_NETWORKS, *_FOR_FEATURES) else "none"
    except metadata.PackageNotFoundError:
        return "none"


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
    members.pop(PROFILE, None)
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


def load_profile(path: str | os.PathLike[str]) -> ECGProfile | None:
    """Load what a model file says of the ECGs that its model was trained on.

    It is read as `load` reads models: nothing in a file is run. The model itself is not read.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    ECGProfile or None
        The profile, fitted as it was; None if the model was saved without one.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If the file is none that `save` wrote, is damaged, or holds something else in the place of a profile.

    See Also
    --------
    save : Writes the file, with ``profile=``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from omi_estimators import LeadScaler, save
    >>> from omi_estimators.persistence import load_profile
    >>> from omi_estimators.typicality import ECGProfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "scaler.omi"
    ...     save(LeadScaler(by="record"), path, profile=ECGProfile(500))
    ...     load_profile(path)
    ECGProfile(sampling_rate=500)
    """
    from omi_estimators.typicality import check_profile

    name = str(path)
    members = unpack(read_bytes(path), name)[1]
    if PROFILE not in members:
        return None
    profile = load_plain(members[PROFILE], name)
    try:
        _check_parts(profile)
        check_profile(profile)
    # As in `load`.
    except Exception as error:
        raise ModelFileError(f"the profile in {name} cannot be loaded: {str(error).rstrip('.')}.") from error
    found: ECGProfile = profile
    return found


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


def save(
    model: Any,
    path: str | os.PathLike[str],
    *,
    y: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    metrics: Mapping[str, Any] | None = None,
    evaluated_on: str | None = None,
    notes: str | None = None,
    profile: ECGProfile | None = None,
) -> None:
    """Save a model to a file that holds no code, and that says what it is.

    The file is a zip of the model (skops), weights of networks (safetensors), and a card in plain text. It is
    written aside and renamed, so that a crash leaves what was there before.

    Parameters
    ----------
    model : estimator
        An estimator of this package, or a pipeline, fusion, vote or calibration of scikit-learn's around such.
        What is fitted stays fitted.
    path : path-like
        Where to; a file that is there is replaced. Any suffix.
    y : array-like of shape (n_records,), optional
        Labels that the model was fitted on, for the card. Without them it has what `fit` kept: classifiers of this
        package keep counts and prevalence, a random forest the number of records.
    groups : array-like of shape (n_records,), optional
        Patients of these records, for the card.
    metrics : mapping of str to object, optional
        Figures for the card by name; numbers, intervals of `omi_estimators.metrics`, or words.
    evaluated_on : str, optional
        Which records the figures are from, for the card.
    notes : str, optional
        More words for the card.
    profile : ECGProfile, optional
        Of the records that the model was fitted on; `load_profile` reads it.

    Raises
    ------
    TypeError
        If `model` is no estimator, `profile` no `ECGProfile`, or something in them is not what `load` trusts; the
        message names it.
    ValueError
        If `y` and `groups` do not fit the model, or a text has control characters.
    OSError
        If the file cannot be written.

    Warns
    -----
    UserWarning
        If the model has what another fit would use and no file can hold: callbacks, `net_params`, an optimizer of
        the caller's, a `RandomState`, metadata requests. Predictions do not depend on them.

    See Also
    --------
    load : The way back.
    omi_estimators.persistence.read_card : The card alone.

    Notes
    -----
    Folders (`memory`, `checkpoint_dir`) are not saved either: they belong to a machine. A network that is
    trained further after `load` starts with a fresh optimizer.

    References
    ----------
    Mitchell M. et al., Model cards for model reporting, FAT* 2019, doi:10.1145/3287560.3287596.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from omi_estimators import ECGSmartNetClassifier, load, save
    >>> X = np.random.default_rng(0).normal(size=(8, 12, 100))
    >>> net = ECGSmartNetClassifier(width=2, max_epochs=1).fit(X, np.arange(8) % 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "net.omi"
    ...     save(net, path, metrics={"AUROC": 0.5}, evaluated_on="noise")
    ...     loaded = load(path)
    >>> bool((loaded.predict_proba(X) == net.predict_proba(X)).all())
    True
    """
    if not isinstance(model, BaseEstimator) or isinstance(model, type):
        raise TypeError(f"save needs an estimator, fitted or not; got {model!r}.")
    training = find_training(model, y, groups)
    plain, networks, dropped = plain_copy(model)
    members = {MODEL: dump_plain(plain)}
    if networks:
        from omi_estimators.persistence._networks import dump_weights

        members |= {network_member(index): dump_weights(weights) for index, weights in enumerate(networks)}
    if profile is not None:
        from omi_estimators.typicality import check_profile

        check_profile(profile)
        members[PROFILE] = dump_plain(plain_copy(profile)[0])
    versions = versions_of(iterate_parts(plain))
    card = write_card(
        plain,
        n_weights=sum(tensor.numel() for weights in networks for tensor in weights.values()),
        training=training,
        versions=versions,
        members=members,
        dropped=dropped,
        metrics=metrics,
        evaluated_on=evaluated_on,
        notes=notes,
    )
    write_bytes(path, pack({CARD: card} | members, {"versions": versions}))
    if dropped:
        warnings.warn(
            f"Saved without {', '.join(dropped)}: predictions are the same, but fitting the loaded model again is not.",
            UserWarning,
            stacklevel=2,
        )
