"""The members of a classifier: networks trained on patient folds, side by side, and calibrated by records not seen."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from skorch.callbacks import Callback

from omi_estimators.classifiers._checkpoint import Checkpoint, open_checkpoint
from omi_estimators.classifiers._data import Records, class_mass, deal_patients
from omi_estimators.classifiers._machine import count_threads, fixed_threads
from omi_estimators.classifiers._prediction import predict_logits
from omi_estimators.classifiers._training import (
    Recipe,
    ScikitLearnTasks,
    WeightedNet,
    forget_training,
    loss_factors,
    make_net,
    split_records,
    start_at_shares,
    train,
)

# Records whose signals are copied at once.
_CHUNK = 1024

# No record.
_NONE = np.empty(0, dtype=np.intp)

# Patients of the rarest class to calibrate by. With an AUROC near 0.9 the intercept learned from them has a standard
# error of 0.3, and in twice as much odds are wrong by a factor of 1.8; it falls with the square root of their number.
_FEWEST_EVENTS = 22

# Members that rank unseen records no better than chance still rank: their probabilities are all near the prevalence.
_LEAST_SLOPE = 0.01


@dataclass(frozen=True, eq=False)
class Member:
    """A trained network.

    Attributes
    ----------
    net : WeightedNet
        Trained.
    drawn : ndarray of shape (n_classes,)
        Sum of weights of each class in the records drawn in training.
    unseen : ndarray of int
        Records that it was not trained on.
    checkpoint : Checkpoint or None
        To be removed when all members have ended well.
    """

    net: WeightedNet
    drawn: NDArray[np.float64]
    unseen: NDArray[np.intp]
    checkpoint: Checkpoint | None


class _StopTogether(Callback):
    """End training, as Ctrl-C does, once it was pressed or another member has failed."""

    def __init__(self, asked: threading.Event):
        self.asked = asked

    def on_batch_begin(self, net: WeightedNet, training: bool = False, **kwargs: Any) -> None:
        """Look whether to end."""
        if training and self.asked.is_set():
            raise KeyboardInterrupt


def train_members(
    recipe: Recipe,
    records: Records,
    starts: list[dict[str, Any]] | None,
    rng: np.random.Generator,
    context: Any,
    **given: Any,
) -> list[Member]:
    """Train the members of a classifier, and deal with what interrupted them.

    One member learns from all records. Of several, each leaves out the patients of one fold: as many folds as members
    if each class has so many patients. They are trained side by side, each by one thread, so that the number of
    threads does not change what comes out.

    Parameters
    ----------
    recipe : Recipe
        How each is trained.
    records : Records
        Of all patients.
    starts : list of dict or None
        Weights to begin with, of each member.
    rng : numpy Generator
        Draws folds and everything else.
    context : sklearn callback context
        Of the fit; it hears of each epoch.
    **given
        What scikit-learn's callbacks are told: `estimator`, `X` and `y`.

    Returns
    -------
    list of Member
        Those that did not diverge. After Ctrl-C, if it is to keep what was learnt, those that were finished.

    Raises
    ------
    FloatingPointError
        If more than half of them diverged.
    KeyboardInterrupt
        If Ctrl-C was pressed and nothing is to be kept, or there is nothing.
    """
    n_members, max_epochs = recipe.params["n_members"], recipe.params["max_epochs"]
    if n_members == 1:
        with fixed_threads(recipe.params["n_threads"]):
            tasks = ScikitLearnTasks(context, **given).initialize()
            member = _train_member(recipe, records, _NONE, starts[0] if starts else None, rng, tasks)
        return _settle_interruption(recipe, [member])
    fold_of_record = deal_patients(records.y, records.groups, n_members, rng)
    n_folds = int(fold_of_record.max()) + 1
    _warn_of_few_patients(recipe, n_folds)
    seeds = rng.integers(2**63, size=n_members)
    contexts = [context.subcontext(task_name="member", max_subtasks=max_epochs) for _ in range(n_members)]
    stop = threading.Event()

    def train_one(number: int) -> Member:
        """Train one member in a thread of its own."""
        named = replace(recipe, name=f"{recipe.name}, member {number + 1} of {n_members}")
        unseen = np.flatnonzero(fold_of_record == number % n_folds) if n_folds > 1 else _NONE
        try:
            if stop.is_set():
                raise KeyboardInterrupt
            contexts[number].call_on_fit_task_begin(**given)
            tasks = ScikitLearnTasks(contexts[number], **given).initialize()
            with fixed_threads(1):
                rng = np.random.default_rng(seeds[number])
                member = _train_member(named, records, unseen, starts[number] if starts else None, rng, tasks, stop)
            if member.net.interrupted_:
                stop.set()
            contexts[number].call_on_fit_task_end(**given)
            return member
        except FloatingPointError:
            raise
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(min(n_members, count_threads(recipe.params["n_threads"]))) as pool:
        futures = [pool.submit(train_one, number) for number in range(n_members)]
        try:
            wait(futures)
        except KeyboardInterrupt:
            stop.set()
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in errors:
        if not isinstance(error, FloatingPointError | KeyboardInterrupt):
            raise error
    members = [future.result() for future in futures if future.exception() is None]
    diverged = [error for error in errors if isinstance(error, FloatingPointError)]
    if len(diverged) > n_members / 2:
        raise FloatingPointError(f"{len(diverged)} of {n_members} members diverged. The first: {diverged[0]}")
    if diverged:
        warnings.warn(
            f"{len(diverged)} of {n_members} members of {recipe.name} diverged and are left out. Lower lr, or clip "
            "gradients with max_grad_norm=1.",
            UserWarning,
            stacklevel=5,
        )
    return _settle_interruption(recipe, members, was_interrupted=stop.is_set())


def _train_member(
    recipe: Recipe,
    records: Records,
    unseen: NDArray[np.intp],
    start: dict[str, Any] | None,
    rng: np.random.Generator,
    tasks: ScikitLearnTasks,
    stop: threading.Event | None = None,
) -> Member:
    """Train one network on all records but those that it must not see."""
    seen = records.take(np.delete(np.arange(len(records.y)), unseen))
    validates = recipe.params["early_stopping"]
    with recipe.seeded(rng):
        train_set, index, valid_set = split_records(recipe, seen, rng, validates=validates)
        net = make_net(recipe, valid_set, rng)
        if start is None:
            start_at_shares(net, recipe, seen)
        else:
            net.module_.load_state_dict(start)
            net.freeze_features(recipe.params["freeze"])
        net.callbacks_.insert(-1 if validates else len(net.callbacks_), ("scikit_learn", tasks))
        if stop is not None:
            net.callbacks_.insert(0, ("stop_together", _StopTogether(stop).initialize()))
        checkpoint = open_checkpoint(recipe, net, seen, train_set, rng)
        done = recipe.params["max_epochs"] if checkpoint is not None and checkpoint.has_ended else len(net.history)
        train(recipe, net, train_set, recipe.params["max_epochs"] - done, rng)
    trained = seen.take(index)
    drawn = class_mass(trained._replace(weight=trained.weight * train_set.n_drawn), len(recipe.classes))
    return Member(net, drawn, unseen, checkpoint)


def _warn_of_few_patients(recipe: Recipe, n_folds: int) -> None:
    """Say that members cannot leave out a patient of each class each."""
    n_members = recipe.params["n_members"]
    if n_folds == n_members:
        return
    consequence = (
        f"the {n_members} members leave out {n_folds} parts of the patients in turn."
        if n_folds > 1
        else f"the {n_members} members are all trained on everything, and their probabilities are not calibrated."
    )
    warnings.warn(
        f"n_members={n_members} asks for as many patients of each class; the rarest has {n_folds}, so {consequence}",
        UserWarning,
        stacklevel=6,
    )


def _settle_interruption(recipe: Recipe, members: list[Member], *, was_interrupted: bool = False) -> list[Member]:
    """Return what is kept after Ctrl-C, or raise it; all members if nobody pressed it."""
    finished = [member for member in members if not member.net.interrupted_]
    if len(finished) == len(members) and not was_interrupted:
        return members
    n_members, max_epochs = recipe.params["n_members"], recipe.params["max_epochs"]
    for member in members:
        if member.net.interrupted_:
            n_epochs = sum("train_loss" in epoch for epoch in member.net.history)
            del member.net.history[n_epochs:]
    # A member that was stopped in the middle has learnt less than the others: it stands in only if there is none.
    kept = finished or [member for member in members if len(member.net.history)][:1]
    if recipe.params["on_interrupt"] == "raise" or not kept:
        of_members = f" {len(finished)} of {n_members} members were finished." if n_members > 1 else ""
        raise KeyboardInterrupt(f"Training of {recipe.name} was interrupted.{of_members}")
    warnings.warn(
        f"Training of {recipe.name} was interrupted; {len(finished)} of {n_members} members were finished and are kept."
        if finished
        else f"Training of {recipe.name} was interrupted after {len(kept[0].net.history)} of {max_epochs} epochs; the "
        "best weights so far are kept.",
        UserWarning,
        stacklevel=6,
    )
    return kept


def finish_members(members: list[Member]) -> list[WeightedNet]:
    """Return the nets without what belonged to their training only; remove checkpoints of a fit that ended well."""
    ended_well = not any(member.net.interrupted_ for member in members)
    for member in members:
        forget_training(member.net)
        if ended_well and member.checkpoint is not None:
            member.checkpoint.remove()
    return [member.net for member in members]


def mean_log_proba(
    nets: list[WeightedNet], X: NDArray[np.float32], autocast_dtype: torch.dtype | None
) -> NDArray[np.float64]:
    """Return the mean over networks of the logarithm of what each says of records, NaN where one says nothing finite.

    Parameters
    ----------
    nets : list of WeightedNet
        Trained.
    X : ndarray of shape (n_records, n_leads, n_samples)
        Records.
    autocast_dtype : torch.dtype or None
        Reduced precision of the convolutions; float32 if None.

    Returns
    -------
    ndarray of shape (n_records, n_classes)
        Logarithms, at the class shares of training.
    """
    logits = np.stack([predict_logits(net.module_, X, torch.device(net.device), autocast_dtype) for net in nets])
    logits[~np.isfinite(logits)] = np.nan
    mean: NDArray[np.float64] = log_softmax(logits, axis=2).mean(axis=0)
    return mean


def unseen_log_proba(
    members: list[Member], records: Records, n_classes: int, autocast_dtype: torch.dtype | None
) -> NDArray[np.float64]:
    """Return, for each record, the mean over the members that have not seen it; NaN where all have.

    Parameters
    ----------
    members : list of Member
        Trained.
    records : Records
        That they were trained on.
    n_classes : int
        Number of classes.
    autocast_dtype : torch.dtype or None
        As in `mean_log_proba`.

    Returns
    -------
    ndarray of shape (n_records, n_classes)
        Logarithms, at the class shares of training.
    """
    total, count = np.zeros((len(records.y), n_classes)), np.zeros(len(records.y))
    for member in members:
        for start in range(0, len(member.unseen), _CHUNK):
            chunk = member.unseen[start : start + _CHUNK]
            total[chunk] += mean_log_proba([member.net], records.source[records.rows[chunk]], autocast_dtype)
        count[member.unseen] += 1
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: NDArray[np.float64] = total / count[:, np.newaxis]
    return mean


def learn_calibration(
    recipe: Recipe, records: Records, log_proba: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the slope and intercepts that make probabilities of unseen records honest.

    Logistic regression of the class on the logarithms of the probabilities, one slope for all classes. As in Platt's
    method the classes aimed at are a little below certainty, so that the slope stays finite where the classes do not
    overlap.

    Parameters
    ----------
    recipe : Recipe
        Its `class_weight` counts here as in the loss.
    records : Records
        Their classes and weights.
    log_proba : ndarray of shape (n_records, n_classes)
        Of networks that have not seen them, at the prevalence of the records; NaN where there is none.

    Returns
    -------
    slope : float
        1 if no record has probabilities.
    intercept : ndarray of shape (n_classes,)
        Their sum is 0.

    References
    ----------
    Platt J., Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers, MIT Press, 1999.
    """
    n_classes = log_proba.shape[1]
    known = np.isfinite(log_proba).all(axis=1)
    if not known.any():
        return 1.0, np.zeros(n_classes)
    log_proba, y = log_proba[known], records.y[known]
    weight = records.weight[known] / records.weight[known].mean()
    mass = np.bincount(y, weights=weight, minlength=n_classes)
    aim = np.repeat(1 / ((mass + 2) * (n_classes - 1))[np.newaxis], len(y), axis=0)
    aim[np.arange(len(y)), y] = ((mass + 1) / (mass + 2))[y]
    aim /= aim.sum(axis=1, keepdims=True)
    factor = loss_factors(recipe, records)[known, np.newaxis]

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the cross-entropy and its derivatives by slope and intercepts."""
        logits = parameters[0] * log_proba + parameters[1:]
        error = factor * (softmax(logits, axis=1) - aim)
        total = -(factor * aim * log_softmax(logits, axis=1)).sum()
        return float(total), np.r_[(error * log_proba).sum(), error.sum(axis=0)]

    start = np.r_[1.0, np.zeros(n_classes)]
    bounds = [(_LEAST_SLOPE, None)] + [(None, None)] * n_classes
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    _warn_of_few_events(recipe, y, records.groups[known])
    return float(found[0]), found[1:] - found[1:].mean()


def _warn_of_few_events(recipe: Recipe, y: NDArray[np.int64], groups: NDArray[np.int64]) -> None:
    """Say how many patients it takes where the rarest class has too few to calibrate by."""
    n_patients = [len(np.unique(groups[y == label])) for label in range(len(recipe.classes))]
    rarest = int(np.argmin(n_patients))
    if n_patients[rarest] < _FEWEST_EVENTS:
        warnings.warn(
            f"The probabilities of {recipe.name} are calibrated by {n_patients[rarest]} patients of class "
            f"{recipe.classes.tolist()[rarest]!r}. It takes some {_FEWEST_EVENTS} for odds within a factor of 2, and "
            f"{4 * _FEWEST_EVENTS} within one of 1.4: trust their order only, or add records.",
            UserWarning,
            stacklevel=6,
        )
