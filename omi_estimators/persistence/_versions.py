"""The versions that a model was saved with, and what differs from those here."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib import metadata
from typing import Any

import omi_estimators
from omi_estimators.persistence._plain import is_network

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
