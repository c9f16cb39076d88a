"""The card: what a model is, learnt from, and is for, in words; under the headings of Mitchell et al."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from omi_estimators._validation import check_groups
from omi_estimators.persistence._container import decode_card, sha256
from omi_estimators.persistence._declared import iterate_parts

_UNKNOWN = "not recorded"


class Training(NamedTuple):
    """What is known of the data that a model was fitted on; None for what is not."""

    n_records: int | None = None
    n_patients: int | None = None
    shares: dict[str, float] | None = None


def find_training(model: Any, y: ArrayLike | None, groups: ArrayLike | None) -> Training:
    """Return what is known of a model's training data, from what was given, or else from what `fit` kept.

    Parameters
    ----------
    model : estimator
        Fitted or not.
    y : array-like of shape (n_records,) or None
        Labels that it was fitted on.
    groups : array-like of shape (n_records,) or None
        Patient of each record.

    Returns
    -------
    Training
        Counts and class shares.

    Raises
    ------
    ValueError
        If `y` and `groups` are not of one length, are empty, a patient is missing, or `y` has classes that the
        model does not know.
    """
    kept = _find_kept(model, getattr(model, "classes_", None))
    y_shape, groups_shape = (None if values is None else np.shape(values) for values in (y, groups))
    shape = y_shape or groups_shape
    if y is None and groups is None:
        return kept
    if not shape or len(shape) != 1 or 0 in shape or {y_shape, groups_shape} - {None} != {shape}:
        raise ValueError(
            "y and groups must be those of the records that the model was fitted on, one value for each; got shapes "
            f"{y_shape} and {groups_shape}."
        )
    kept = kept._replace(n_records=shape[0])
    if y is not None:
        classes, counts = np.unique(np.asarray(y), return_counts=True)
        unknown = np.setdiff1d(classes, getattr(model, "classes_", classes))
        if unknown.size:
            raise ValueError(f"y has classes {unknown.tolist()!r}, which the model was not fitted on; give its own y.")
        kept = kept._replace(shares=_name_shares(classes, counts / shape[0]))
    if groups is not None:
        kept = kept._replace(n_patients=len(set(check_groups(groups, shape[0]).tolist())))
    return kept


def _find_kept(model: Any, classes: Any) -> Training:
    """Return what a model, or the part of it that was fitted on all records, knows of its training.

    The classes are those of the whole: a vote hands its parts numbers for them.
    """
    found = vars(model)
    # A recalibrated model has counts of its own, which are not those of the training.
    if type(model).__name__ in ("RecalibratedClassifier", "FrozenEstimator"):
        return _find_kept(found.get("estimator_", found["estimator"]), classes)
    if "class_prior_" in found and "n_records_" in found:
        return Training(found["n_records_"], found["n_patients_"], _name_shares(classes, model.class_prior_))
    if type(model).__name__ in ("Pipeline", "ECGPipeline") and found["steps"]:
        last = found["steps"][-1][1]
        return _find_kept(last, classes) if hasattr(last, "__dict__") else Training()
    if type(model).__name__ == "VotingClassifier" and "estimators_" in found:
        return _find_kept(found["estimators_"][0], classes)
    # A random forest's own count.
    return Training(found.get("_n_samples"))


def _name_shares(classes: Any, shares: Any) -> dict[str, float]:
    """Return the share of each class by its name."""
    return dict(zip(map(str, classes.tolist()), shares.tolist(), strict=True))


def write_card(
    model: Any,
    training: Training,
    versions: Mapping[str, str],
    members: Mapping[str, bytes],
    n_weights: int,
    dropped: list[str],
    metrics: Mapping[str, Any] | None,
    evaluated_on: str | None,
    notes: str | None,
) -> bytes:
    """Return the card of a model, as Markdown.

    Parameters
    ----------
    model : estimator
        The plain copy that is saved.
    training : Training
        What it was fitted on.
    versions : mapping of str to str
        Of the packages it needs.
    members : mapping of str to bytes
        The other parts of the file.
    n_weights : int
        How many numbers its networks have.
    dropped : list of str
        What the file lacks.
    metrics : mapping of str to object or None
        Figures by name.
    evaluated_on, notes : str or None
        The caller's words.

    Returns
    -------
    bytes
        Text in UTF-8.

    Raises
    ------
    ValueError
        If a text has characters that cannot be shown, or the card becomes too long.
    """
    parts = list(iterate_parts(model))
    shares, metrics = training.shares, metrics or {}
    template = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    text = template.format(
        name=type(model).__name__,
        made_of=", ".join(dict.fromkeys(type(part).__name__ for part in parts)),
        date=datetime.now(UTC).date().isoformat(),
        versions=", ".join(f"{name} {version}" for name, version in versions.items()),
        n_weights=n_weights,
        parameters=repr(model),
        hashes="\n".join(f"- {name}: {sha256(data)}" for name, data in members.items()),
        input=_describe_input(parts),
        metrics=", ".join(map(str, metrics)) or "Not recorded.",
        evaluated_on=evaluated_on or "Not recorded.",
        n_records=_or_unknown(training.n_records),
        n_patients=_or_unknown(training.n_patients),
        classes=", ".join(shares) if shares else name_classes(model),
        prevalence=", ".join(f"{name}: {share:.4g}" for name, share in shares.items()) if shares else _UNKNOWN,
        recalibrations=_describe_recalibrations(parts),
        analyses="\n".join(f"- {name}: {value}" for name, value in metrics.items()) or "Not recorded.",
        dropped=f"- Not saved, and gone when the model is fitted again: {', '.join(dropped)}.\n" if dropped else "",
        notes=f"\n{notes.strip()}\n" if notes else "",
    )
    data = (text.rstrip() + "\n").encode()
    decode_card(data, type(model).__name__)
    return data


def _describe_recalibrations(parts: list[Any]) -> str:
    """Return what was recalibrated when and on whom, one line each; empty for a model that is as it was fitted."""
    histories = [vars(part)["history_"] for part in parts if type(part).__name__ == "RecalibratedClassifier"]
    if not any(histories):
        return ""
    lines = [
        f"- {step['date']}, {step['n_records']} records of {step['n_patients']} patients, {step['n_events']} with "
        f"events ({step['n_unusable']} more could not be judged): calibration slope "
        f"{_or_unknown(step['slope'], '.2f')}, intercept {step['intercept']:.2f}; {step['reason']}."
        for step in max(histories, key=len)
    ]
    title = "Recalibrated since then, oldest first; slope and intercept are those before:"
    return "\n".join(["", title, "", *lines, ""])


def _or_unknown(number: float | None, digits: str = "") -> str:
    return _UNKNOWN if number is None else format(number, digits)


def name_classes(model: Any) -> str:
    """Return the classes of a fitted classifier in words."""
    classes = getattr(model, "classes_", None)
    return _UNKNOWN if classes is None else ", ".join(map(str, classes))


def _describe_input(parts: list[Any]) -> str:
    """Return what the first part that knows says about its records."""
    rates = {vars(part)["sampling_rate"] for part in parts if "sampling_rate" in vars(part)}
    rate = f" Sampling rate: {', '.join(f'{rate:g}' for rate in sorted(rates))} Hz." if rates else ""
    for part in parts:
        found = vars(part)
        if "n_samples_in_" in found:
            n_leads = found.get("n_leads_in_", found.get("n_features_in_"))
            return f"Fitted on records of {n_leads} leads and {found['n_samples_in_']} samples.{rate}\n"
    return f"Shape of the records: {_UNKNOWN}.{rate}\n"
