"""Saving a model."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from omi_estimators.persistence._card import find_training, write_card
from omi_estimators.persistence._container import CARD, MODEL, network_member, pack, write_bytes
from omi_estimators.persistence._plain import iterate_parts, plain_copy
from omi_estimators.persistence._skops import dump_plain
from omi_estimators.persistence._versions import versions_of


def save(
    model: Any,
    path: str | os.PathLike[str],
    *,
    y: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    metrics: Mapping[str, Any] | None = None,
    evaluated_on: str | None = None,
    notes: str | None = None,
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

    Raises
    ------
    TypeError
        If `model` is no estimator, or something in it is not what `load` trusts; the message names it.
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
