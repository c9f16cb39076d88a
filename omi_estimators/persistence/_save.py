"""Saving a model, with the versions it needs, and loading it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

import omi_estimators
from omi_estimators.persistence import _container
from omi_estimators.persistence._card import find_training, name_classes, write_card
from omi_estimators.persistence._checks import check_model
from omi_estimators.persistence._container import ModelFileError, require
from omi_estimators.persistence._declared import UNCHECKED, is_network, iterate_parts
from omi_estimators.persistence._nodes import Reader, Writer

if TYPE_CHECKING:
    from omi_estimators.typicality import ECGProfile

_ALWAYS = ("omi_estimators", "python", "numpy", "scipy", "scikit-learn")
_FOR_NETWORKS = ("skorch", "torch")
_FOR_FEATURES = ("neurokit2",)


def versions_of(parts: Iterable[Any]) -> dict[str, str]:
    """Return the versions here of what a model is made of, by name; of Python the first two numbers."""
    parts = list(parts)
    with_features = any(type(part).__name__ == "NeuroKitFeatures" for part in parts)
    needed = (_FOR_NETWORKS if any(map(is_network, parts)) else ()) + (_FOR_FEATURES if with_features else ())
    return {name: _find_version(name) for name in _ALWAYS + needed}


def version_differences(saved: dict[str, str]) -> list[str]:
    """Return what was saved with another version than that here, such as "numpy 2.1.0 (here 2.4.6)"."""
    here = {name: _find_version(name) for name in saved}
    return [f"{name} {version} (here {here[name]})" for name, version in saved.items() if version != here[name]]


def _find_version(name: str) -> str:
    """Return the version here of what a model may be made of, "none" for anything else."""
    own = {"omi_estimators": omi_estimators.__version__, "python": ".".join(platform.python_version_tuple()[:2])}
    with suppress(metadata.PackageNotFoundError):
        if name in _ALWAYS + _FOR_NETWORKS + _FOR_FEATURES:
            # Without what follows a plus: torch for a GPU is the same version as torch without.
            return own.get(name) or metadata.version(name).split("+")[0]
    return "none"


class ModelVersionWarning(UserWarning):
    """A model was saved with other versions of the packages it needs than those here."""


def load(path: str | os.PathLike[str], *, trusted: Collection[str] = ()) -> Any:
    """Load a model that `save` wrote.

    Nothing in a file is run: what it may hold is declared, type by type, and everything else is refused. Parameters
    are checked by each class's own constraints, numbers that compiled code follows are checked whole, and the model
    answers once about a made-up record. A file from somebody else may still hold a model that answers wrongly.

    Parameters
    ----------
    path : path-like
        The file.
    trusted : collection of str, default=()
        Public names of estimators whose numbers compiled code follows and nobody can check whole: support vector
        machines of libsvm and neighbours in k-d trees, such as "sklearn.svm.SVC". A file with one of them opens only
        if it is named here; name it only if you know who made the file, since it may end the process or worse.

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
        If the file is none that `save` wrote, is damaged, of another format, or holds what is not declared, which the
        message then names.
    ValueError
        If `trusted` names what need not be, or cannot be, trusted.

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
    unknown = sorted(set(trusted) - UNCHECKED)
    if unknown or isinstance(trusted, str):
        raise ValueError(f"trusted may name {', '.join(sorted(UNCHECKED))}; got {trusted!r}.")
    name = str(path)
    manifest, members = _container.read_members(path)
    _container.decode_card(members.pop(_container.CARD), name)
    differences = version_differences(manifest["versions"])
    if differences:
        warnings.warn(
            f"{name} was saved with {', '.join(differences)}; what it predicts may differ a little, or it may not "
            "load. Install these versions, or check predictions on records you know.",
            ModelVersionWarning,
            stacklevel=2,
        )
    return _read_model(members[_container.MODEL], members[_container.ARRAYS], trusted, f"{name} cannot be loaded")


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
    members = _container.read_members(path)[1]
    if _container.PROFILE not in members:
        return None
    from omi_estimators.typicality import check_profile

    what = f"the profile in {path} cannot be loaded"
    tree, arrays = members[_container.PROFILE], members[_container.PROFILE_ARRAYS]
    profile: ECGProfile = _read_model(tree, arrays, (), what, check_profile)
    return profile


def _read_model(
    tree: bytes, data: bytes, trusted: Collection[str], what: str, check: Callable[[Any], object] = name_classes
) -> Any:
    """Return a model that has answered once; raise a ModelFileError that begins with `what` if there is none."""
    try:
        arrays = safetensors.numpy.load(data)
        reader = Reader(arrays, frozenset(trusted))
        model = reader.read(json.loads(tree))
        require(isinstance(model, BaseEstimator), f"it holds no estimator but a {type(model).__name__}")
        require(reader.used == set(arrays), "it holds arrays that nothing in it asks for")
        check_model(model)
        # What a card says of it.
        find_training(model, None, None)
        check(model)
    # A crafted file may contradict itself anywhere inside json, numpy, torch and scikit-learn, in as many kinds of
    # errors; each means that the file is no model.
    except Exception as error:
        raise ModelFileError(f"{what}: {_give_reason(error)}.") from error
    return model


def _give_reason(error: Exception) -> str:
    of_ours = isinstance(error, ModelFileError | TypeError)
    return (str(error) if of_ours else f"{type(error).__name__}: {error}").rstrip(".")


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
    remember_patients: bool = False,
) -> None:
    """Save a model to a file that holds no code, and that says what it is.

    The file is a zip of the model (JSON), its numbers (safetensors), and a card in plain text. It is loaded from memory
    first, then written aside and renamed, so that a crash leaves what was there before.

    Parameters
    ----------
    model : estimator
        An estimator of this package or of scikit-learn's, or any that is made of such: pipelines, fusions, votes,
        calibration. What is fitted stays fitted.
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
    remember_patients : bool, default=False
        Whether to keep salted hashes of `groups`, so that `find_known_patients` tells who was trained on. They hide no
        id from somebody who can guess it: a patient number of few digits is found by trying all.

    Raises
    ------
    TypeError
        If `model` is no estimator, `profile` no `ECGProfile`, or something in them is not what `load` trusts; the
        message names it, or says what went wrong when the file was loaded from memory.
    ValueError
        If `y` and `groups` do not fit the model, a text has control characters, or patients are to be remembered and
        `groups` is None.
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
    >>> net = ECGSmartNetClassifier(width=2, n_members=1, max_epochs=1).fit(X, np.arange(8) % 2)
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
    members, plain, left_out = _make_members(model, _container.MODEL, _container.ARRAYS)
    dropped = sorted(left_out)
    if profile is not None:
        from omi_estimators.typicality import check_profile

        check_profile(profile)
        members |= _make_members(profile, _container.PROFILE, _container.PROFILE_ARRAYS)[0]
    if remember_patients:
        if groups is None:
            raise ValueError("remember_patients needs groups, the patients of the records that it was fitted on.")
        members[_container.PATIENTS] = json.dumps(_hash_patients(groups, secrets.token_hex(16))).encode()
    versions = versions_of(iterate_parts(plain))
    n_weights = _count_weights(plain)
    card = write_card(plain, training, versions, members, n_weights, dropped, metrics, evaluated_on, notes)
    _container.write_bytes(path, _container.pack({_container.CARD: card} | members, {"versions": versions}))
    if dropped:
        warnings.warn(
            f"Saved without {', '.join(dropped)}: predictions are the same, but fitting the loaded model again is not.",
            UserWarning,
            stacklevel=2,
        )


# Each guess at an id is to cost something, and a cohort of thousands little.
_ROUNDS = 500


def _hash_patients(groups: ArrayLike, salt: str) -> dict[str, Any]:
    """Return a salt and with it the hash of each patient's id as text, sorted, so that no order tells anything."""
    ids = {str(patient) for patient in np.asarray(groups).tolist()}
    hashes = (hashlib.pbkdf2_hmac("sha256", each.encode(), bytes.fromhex(salt), _ROUNDS).hex() for each in ids)
    return {"salt": salt, "hashes": sorted(hashes)}


def find_known_patients(path: str | os.PathLike[str], groups: ArrayLike) -> list[Any] | None:
    """Return which patients a saved model was trained on, where its file remembers them.

    Parameters
    ----------
    path : path-like
        A file that `save` wrote.
    groups : array-like of shape (n_records,)
        Patients to look for; a number and the same number as text are one patient.

    Returns
    -------
    list or None
        Those of `groups` that the model was trained on; None if the file was saved without ``remember_patients=True``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is no model file, or a damaged one.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from omi_estimators import LeadScaler, save
    >>> from omi_estimators.persistence import find_known_patients
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "scaler.omi"
    ...     save(LeadScaler(by="record"), path, groups=["p1", "p2"], remember_patients=True)
    ...     find_known_patients(path, ["p2", "p3"])
    ['p2']
    """
    members = _container.read_members(path)[1]
    if _container.PATIENTS not in members:
        return None
    try:
        kept = json.loads(members[_container.PATIENTS])
        known = set(kept["hashes"])
        patients = list(dict.fromkeys(np.asarray(groups).tolist()))
        return [each for each in patients if _hash_patients([each], kept["salt"])["hashes"][0] in known]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"the patients in {path} cannot be read: {error}.") from error


def _make_members(estimator: BaseEstimator, tree_name: str, arrays_name: str) -> tuple[dict[str, bytes], Any, set[str]]:
    """Return the members that hold an estimator, what is loaded from them, and what they leave out."""
    writer = Writer()
    try:
        tree = json.dumps(writer.write(estimator, "model")).encode()
        arrays = safetensors.numpy.save(writer.arrays)
        with warnings.catch_warnings():
            # Of a device that is not here, which is for whoever loads it.
            warnings.simplefilter("ignore")
            plain = _read_model(tree, arrays, UNCHECKED, "its file cannot be loaded")
    # What cannot be loaded, for whatever reason, is not saved.
    except Exception as error:
        raise TypeError(f"{type(estimator).__name__} cannot be saved: {_give_reason(error)}.") from error
    return {tree_name: tree, arrays_name: arrays}, plain, writer.left_out


def _count_weights(model: Any) -> int:
    """Return the number of weights of the trained networks in a model."""
    parts = (part for part in iterate_parts(model) if is_network(part) and "nets_" in vars(part))
    trained = [net.module_ for part in parts for net in part.nets_]
    return sum(tensor.numel() for module in trained for tensor in module.state_dict().values())
