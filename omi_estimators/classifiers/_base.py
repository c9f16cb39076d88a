"""What the three classifiers share: parameters, fit, further training, honest probabilities."""

from __future__ import annotations

import os
import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from omi_estimators._compat import CallbackSupportMixin, Interval, StrOptions, fit_context, with_callbacks
from omi_estimators._documentation import DocumentedMixin
from omi_estimators._validation import check_codes, check_weights, make_rng
from omi_estimators.classifiers._data import Records, class_mass, merge_records
from omi_estimators.classifiers._machine import find_autocast_dtype, find_device, fixed_threads
from omi_estimators.classifiers._members import (
    finish_members,
    learn_calibration,
    mean_log_proba,
    train_members,
    unseen_log_proba,
)
from omi_estimators.classifiers._prediction import shift_prior
from omi_estimators.classifiers._training import (
    OPTIMIZERS,
    Recipe,
    WeightedNet,
    forget_training,
    make_net,
    split_records,
    start_at_shares,
    train,
)
from omi_estimators.leads import check_records_axis, convert_records

_SHARE = [Interval(Real, 0, 1, closed="left")]


def _at_least(low: int) -> list[Any]:
    """Return the constraint of a whole number."""
    return [Interval(Integral, low, None, closed="left")]


# Parameters and attributes of every network classifier, in the place of a line of their docstrings.
_PLACE = "    <of every network classifier>\n"
_PARAMETERS = """\
    width : int, default=64
        Channels of the first stage; each further stage doubles them. Narrower networks are faster and
        often no worse on a few hundred records.
    blocks : tuple of int, default=(2, 2, 2, 2)
        Residual blocks in each stage.
    kernel_size : int, default=3
        Odd length, in samples, of the convolutions in the blocks.
    stem_kernel_size : int, default=7
        Odd length, in samples, of the first convolution.
    dropout : float, default=0.0
        Share of features dropped before the linear layer in training.
    time_shift : float, default=0.025
        Augmentation: a training record is moved by up to this share of its length (20 ms of a median beat).
    amplitude_scale : float, default=0.2
        Augmentation: each lead is multiplied by a factor in ``1 ± amplitude_scale``.
    baseline_wander : float, default=0.05
        Augmentation: a straight line of up to this height, in the units of `X`, is added to each lead.
    lead_dropout : float, default=0.1
        Augmentation: probability that a lead is zero.
    n_members : int, default=5
        Networks that are trained. One learns from all records. Of several, each leaves out the patients of one part
        of the training data, a fold for each member; the answer is the mean of their log-odds, calibrated by a slope
        and an intercept that are learned from what each says of the records it has not seen. Averaging ranks better
        than one network, and the calibration mends overconfidence, which `correct_prior` does not. They are trained
        side by side, as many at once as `n_threads`, each by one thread.
    max_epochs : int, default=40
        Passes over the training records at most.
    lr : float, default=1e-3
        Learning rate. Lower it if training diverges.
    first_epoch_lr : float or None, default=None
        Another learning rate for the first epoch, as the authors of the paper allow.
    schedule : {"constant", "cosine"}, default="cosine"
        Whether the learning rate stays, or falls along half a cosine towards zero at `max_epochs`.
    warmup_epochs : int, default=0
        Epochs in which the learning rate rises linearly.
    batch_size : int, default=64
        Records in a batch before balancing. At a low prevalence raise it, so that batches hold both classes.
    optimizer : {"adamw", "adam", "sgd"} or callable, default="adamw"
        A name, or a torch optimizer class.
    weight_decay : float, default=1e-2
        Weight decay of the optimizer.
    max_grad_norm : float or None, default=None
        Gradients are clipped to this norm.
    balance : {"undersample", "oversample"} or None, default="undersample"
        How the classes of a batch are brought to the same number. Batches of one class are skipped.
    correct_prior : bool, default=True
        Whether probabilities answer for the class shares of the training data (True) or of the balanced
        batches (False), as in the paper. It acts in `predict_proba`, so it can be changed after `fit`. It
        mends the prevalence, not overconfidence: that is what several members are calibrated for.
    class_weight : dict, "balanced" or None, default=None
        Factors on the loss of each class. Unlike `balance`, their effect on probabilities is not corrected.
    early_stopping : bool, default=False
        Whether to put patients aside, stop when their loss has not fallen for `n_iter_no_change` epochs,
        and restore the weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of the patients of each class to put aside.
    n_iter_no_change : int, default=10
        Patience of early stopping, in epochs.
    warm_start : bool, default=False
        Whether a further `fit` goes on from the weights of the last: fine-tuning, on another hospital's
        records for instance, with as many members. The prevalence answered for, and the calibration, are then
        those of the new records.
    freeze : {"features"} or None, default=None
        Whether in further training, by `warm_start` or `partial_fit`, only the last linear layer learns. A
        first fit always trains everything.
    callbacks : list or None, default=None
        Further skorch callbacks, as instances or (name, instance) pairs. scikit-learn's own callbacks are
        set by `set_callbacks`; each epoch is a task of theirs.
    checkpoint_dir : path-like or None, default=None
        A folder in which `fit` keeps the state of its training after each epoch: the same call after a kill or a
        power cut goes on from there and ends as if nothing had happened. "Same" are data, parameters, versions,
        kind of device and number of threads; anything else begins anew, beside it. It needs a `random_state`, and
        changes nothing in what is learned. See Notes.
    on_interrupt : {"raise", "keep"}, default="raise"
        Whether Ctrl-C in `fit` raises, or keeps the best weights so far with a warning.
    device : str or torch.device, default="auto"
        Where to compute; "auto" takes a CUDA GPU if there is one.
    mixed_precision : bool or "auto", default="auto"
        Whether convolutions are computed in bfloat16. "auto" does so in training on a GPU that has it, and
        predicts in float32; True does so in training and prediction, on processors with bfloat16 arithmetic
        more than twice as fast, and moves probabilities in the second or third decimal. It can be changed
        after `fit`.
    compile : bool, default=False
        Whether `torch.compile` compiles the network for training. It needs a C++ compiler and a minute, and
        pays for itself in long training on a GPU.
    n_threads : int or None, default=None
        Threads on the CPU, one for each of as many members. None takes one for each core, at most four, and as
        many inside a worker of joblib, so that `n_jobs` does not change the result. Set 1 where `n_jobs` keeps all
        cores busy.
    net_params : dict or None, default=None
        Any other parameter of `skorch.NeuralNetClassifier`, such as ``{"optimizer__betas": (0.9, 0.95)}``.
        It wins over the parameters above.
    random_state : int, RandomState or None, default=None
        Seed of initial weights, split, batches and augmentation.
    verbose : int, default=0
        1 shows a progress bar with losses and the AUROC of the patients put aside; 2 adds skorch's line for
        each epoch.
"""
_ATTRIBUTES = """\
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_records_ : int
        Number of records given to `fit`, or to all calls of `partial_fit`.
    n_patients_ : int or None
        Number of patients among them; None without `groups`, and after `partial_fit`.
    class_prior_ : ndarray of shape (n_classes,)
        Weighted share of each class in the data given to `fit`, records that are zero throughout left out.
    training_prior_ : ndarray of shape (n_classes,)
        Weighted share of each class in the records drawn in training.
    nets_ : list of skorch.NeuralNetClassifier
        The fitted members, with `module_` and `history`. Their own `predict_proba` takes float32 arrays of shape
        (n_records, 1, n_leads, n_samples) and knows nothing of prevalence and calibration.
    net_ : skorch.NeuralNetClassifier
        The only one of `nets_`; an `AttributeError` if there are several.
    calibration_slope_ : float
        Factor on the log-odds of the mean of several members. Below 1 they are overconfident. 1 for one member, and
        after `partial_fit`.
    calibration_intercept_ : ndarray of shape (n_classes,)
        What is added to the logarithm of the probability of each class. 0 for one member, and after `partial_fit`.
    n_iter_ : int
        Epochs run; the most of any member.
    n_features_in_ : int
        Second dimension of the `X` given to `fit`: leads if it had three, samples if it had two.
    n_leads_in_, n_samples_in_ : int
        Leads and samples per record.
"""


class NetClassifier(DocumentedMixin, CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Base of the network classifiers; a subclass names its network."""

    _network: ClassVar[type[nn.Module]]

    # Patients reach the inner split by themselves wherever metadata routing is on.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True}

    nets_: list[WeightedNet]
    class_prior_: NDArray[np.float64]
    training_prior_: NDArray[np.float64]
    n_leads_in_: int
    n_samples_in_: int

    # Fitted, and saved with a model.
    _fitted_private = ("_drawn", "_mass")
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **dict.fromkeys(("width", "kernel_size", "stem_kernel_size"), _at_least(1)),
        **dict.fromkeys(("n_members", "max_epochs", "n_iter_no_change"), _at_least(1)),
        **dict.fromkeys(("dropout", "time_shift", "amplitude_scale", "lead_dropout"), _SHARE),
        **{key: [Interval(Real, 0, None, closed="left")] for key in ("baseline_wander", "weight_decay")},
        **{key: ["boolean"] for key in ("correct_prior", "early_stopping", "warm_start", "compile")},
        **{key: [Interval(Real, 0, None, closed="neither"), None] for key in ("first_epoch_lr", "max_grad_norm")},
        "blocks": ["array-like"],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions({"constant", "cosine"})],
        "warmup_epochs": _at_least(0),
        "batch_size": _at_least(2),
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "balance": [StrOptions({"undersample", "oversample"}), None],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "freeze": [StrOptions({"features"}), None],
        "callbacks": [list, None],
        "checkpoint_dir": [str, os.PathLike, None],
        "on_interrupt": [StrOptions({"raise", "keep"})],
        "device": [str, torch.device],
        "mixed_precision": [StrOptions({"auto"}), "boolean"],
        "n_threads": [*_at_least(1), None],
        "net_params": [dict, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Without docstrings (python -OO) there is nothing to put them into.
        cls.__doc__ = (cls.__doc__ or "").replace(_PLACE, _PARAMETERS, 1).replace(_PLACE, _ATTRIBUTES, 1)

    def __init__(
        self,
        *,
        width: int = 64,
        blocks: tuple[int, ...] = (2, 2, 2, 2),
        kernel_size: int = 3,
        stem_kernel_size: int = 7,
        dropout: float = 0.0,
        time_shift: float = 0.025,
        amplitude_scale: float = 0.2,
        baseline_wander: float = 0.05,
        lead_dropout: float = 0.1,
        n_members: int = 5,
        max_epochs: int = 40,
        lr: float = 1e-3,
        first_epoch_lr: float | None = None,
        schedule: str = "cosine",
        warmup_epochs: int = 0,
        batch_size: int = 64,
        optimizer: Any = "adamw",
        weight_decay: float = 1e-2,
        max_grad_norm: float | None = None,
        balance: str | None = "undersample",
        correct_prior: bool = True,
        class_weight: dict[Any, float] | str | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        freeze: str | None = None,
        callbacks: list[Any] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        on_interrupt: str = "raise",
        device: str | torch.device = "auto",
        mixed_precision: bool | str = "auto",
        compile: bool = False,
        n_threads: int | None = None,
        net_params: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self.width = width
        self.blocks = blocks
        self.kernel_size = kernel_size
        self.stem_kernel_size = stem_kernel_size
        self.dropout = dropout
        self.time_shift = time_shift
        self.amplitude_scale = amplitude_scale
        self.baseline_wander = baseline_wander
        self.lead_dropout = lead_dropout
        self.n_members = n_members
        self.max_epochs = max_epochs
        self.lr = lr
        self.first_epoch_lr = first_epoch_lr
        self.schedule = schedule
        self.warmup_epochs = warmup_epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.balance = balance
        self.correct_prior = correct_prior
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.freeze = freeze
        self.callbacks = callbacks
        self.checkpoint_dir = checkpoint_dir
        self.on_interrupt = on_interrupt
        self.device = device
        self.mixed_precision = mixed_precision
        self.compile = compile
        self.n_threads = n_threads
        self.net_params = net_params
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> NetClassifier:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Beats or records, scaled; two dimensions mean one lead. Finite.
        y : array-like of shape (n_records,)
            Classes: at least two.
        sample_weight : array-like of shape (n_records,), optional
            Factor of each record in the loss, and in the prevalence that probabilities answer for. An
            integer weight means that many copies.
        groups : array-like of shape (n_records,), optional
            Patient of each record. No patient is on both sides of an inner split, be it of members or for early
            stopping. Without it each record counts as a patient of its own, which early stopping warns of. Names and
            order of patients change nothing, and one member without early stopping does not heed them.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            If the input is malformed, has one class, or too few patients for the inner split; if patients are
            missing, or weights are negative or add up to zero or beyond float64; if every record is zero
            throughout; if `checkpoint_dir` is given without `random_state`; if `warm_start` finds another number of
            members.
        TypeError
            If labels are of a kind that scikit-learn does not take, such as bytes.
        FloatingPointError
            If the loss becomes infinite or NaN, of more than half of the members.
        OSError
            If `checkpoint_dir` cannot be written to.
        KeyboardInterrupt
            If Ctrl-C is pressed, unless `on_interrupt` is "keep".

        Warns
        -----
        UserWarning
            If early stopping has no patients to split by; of records that are zero throughout, which are left out;
            of fewer patients in a class than members, or too few to calibrate by; of members that diverged.
        """
        resumes = self.warm_start and hasattr(self, "nets_")
        if resumes and len(self.nets_) != self.n_members:
            raise ValueError(
                f"warm_start=True goes on with the {len(self.nets_)} member(s) of the last fit, but n_members="
                f"{self.n_members}. Set n_members={len(self.nets_)}, or warm_start=False to begin anew."
            )
        if self.early_stopping and groups is None:
            warnings.warn(
                "early_stopping=True without groups splits by record: records of one patient may be on both sides, and "
                "training then stops too late. Give the patients: fit(X, y, groups=patients), or net__groups=patients "
                "to a pipeline.",
                UserWarning,
                stacklevel=4,
            )
        by_patient = self.early_stopping or self.n_members > 1
        records = self._check_records(X, y, sample_weight, groups, reset=not resumes, by_patient=by_patient)
        recipe = Recipe.of(self, find_device(self.device))
        dtype = self._predicting_dtype(recipe.device)
        context = self._init_callback_context(max_subtasks=self.max_epochs if self.n_members == 1 else self.n_members)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        starts = [net.module_.state_dict() for net in self.nets_] if resumes else None
        members = train_members(recipe, records, starts, make_rng(self.random_state), context, estimator=self, X=X, y=y)
        self.nets_ = finish_members(members)
        self.n_records_ = len(records.source)
        self.n_patients_: int | None = None if groups is None else len(set(np.asarray(groups).tolist()))
        self._mass = class_mass(records, len(self.classes_))
        self._drawn = np.sum([member.drawn for member in members], axis=0)
        self._find_shares()
        with fixed_threads(self.n_threads):
            unseen = unseen_log_proba(members, records, len(self.classes_), dtype)
        at_prior = shift_prior(unseen, self.training_prior_, self.class_prior_)
        self.calibration_slope_, self.calibration_intercept_ = learn_calibration(recipe, records, at_prior)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> NetClassifier:
        """Train for one more epoch, on these records alone and with no validation.

        Parameters
        ----------
        X, y, sample_weight, groups
            As in `fit`.
        classes : array-like of shape (n_classes,), optional
            All classes there will be; needed in the first call if `y` does not hold them all.

        Returns
        -------
        self : object
            The classifier. The prevalence that it answers for is that of all records of all calls.

        Raises
        ------
        ValueError, FloatingPointError, KeyboardInterrupt
            As in `fit`.
        """
        first = not hasattr(self, "nets_")
        records = self._check_records(X, y, sample_weight, groups, reset=first, classes=classes)
        recipe = Recipe.of(self, find_device(self.device))
        with fixed_threads(self.n_threads):
            if first:
                self._mass, self._drawn = np.zeros((2, len(self.classes_)))
                rng = make_rng(self.random_state)
                seeds = rng.integers(2**63, size=self.n_members)
                rngs = [rng] if self.n_members == 1 else [np.random.default_rng(seed) for seed in seeds]
            else:
                rngs = [net.iterator_train__rng for net in self.nets_]
            nets = []
            for number, rng in enumerate(rngs):
                with recipe.seeded(rng):
                    net = make_net(recipe, None, rng) if first else self.nets_[number]
                    if first:
                        start_at_shares(net, recipe, records)
                    else:
                        net.freeze_features(self.freeze)
                        for group in net.optimizer_.param_groups:
                            group["lr"] = self.lr
                    train_set, _, _ = split_records(recipe, records, rng, validates=False)
                    train(recipe, net, train_set, 1, rng)
                if net.interrupted_:
                    raise KeyboardInterrupt(f"Training of {type(self).__name__} was interrupted.")
                forget_training(net)
                nets.append(net)
                drawn = records._replace(weight=records.weight * train_set.n_drawn)
                self._drawn = self._drawn + class_mass(drawn, len(self.classes_))
        self.nets_ = nets
        self.n_records_ = (0 if first else self.n_records_) + len(records.source)
        # Patients may come back in a later call, and nobody remembers who they were.
        self.n_patients_ = None
        self._mass = self._mass + class_mass(records, len(self.classes_))
        self._find_shares()
        self.calibration_slope_, self.calibration_intercept_ = 1.0, np.zeros(len(self.classes_))
        return self

    def _check_signals(self, X: ArrayLike, *, reset: bool, **kwargs: Any) -> Any:
        """Return records in float32 with three axes, and labels if any; learn their shape, or hold them to it.

        Keywords are for scikit-learn's `validate_data`, such as `y`.
        """
        X = convert_records(X)
        if not reset and self.n_leads_in_ > 1:
            check_records_axis(np.shape(X), self.n_leads_in_, self.n_samples_in_, type(self).__name__)
        # What is too large for float32 becomes infinite here, and so may the sum in which validate_data looks for that;
        # it says what is wrong, and NumPy need not warn of it too.
        with np.errstate(over="ignore", invalid="ignore"):
            checked = validate_data(self, X, dtype=np.float32, order="C", allow_nd=True, reset=reset, **kwargs)
        signals, *labels = checked if isinstance(checked, tuple) else (checked,)
        if signals.ndim > 3:
            raise ValueError(
                f"X must have shape (n_records, n_leads, n_samples) or (n_records, n_samples); got {signals.shape}."
            )
        if signals.ndim == 2:
            signals = signals[:, np.newaxis, :]
        if reset:
            self.n_leads_in_, self.n_samples_in_ = signals.shape[1:]
        elif signals.shape[1:] != (self.n_leads_in_, self.n_samples_in_):
            raise ValueError(
                f"X has {signals.shape[1]} leads of {signals.shape[2]} samples, but {type(self).__name__} was fitted "
                f"on {self.n_leads_in_} leads of {self.n_samples_in_} samples."
            )
        return (signals, *labels) if labels else signals

    def _check_records(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        groups: ArrayLike | None,
        *,
        reset: bool,
        classes: ArrayLike | None = None,
        by_patient: bool = False,
    ) -> Records:
        """Validate what `fit` was given, learn the classes if `reset`, and merge the records that hold a signal."""
        signals, labels = self._check_signals(X, y=y, reset=reset, ensure_min_samples=2)
        check_classification_targets(labels)
        weight = check_weights(sample_weight, len(labels))
        weight = np.ones(len(labels)) if weight is None else weight
        patients = check_codes(groups, len(labels), name="groups")
        by_patient = by_patient and patients is not None
        patients = np.zeros(len(labels), dtype=np.intp) if patients is None else patients
        rows = np.flatnonzero(~_find_blank(signals) & (weight > 0))
        labels = labels[rows]
        if reset:
            self.classes_ = np.unique(labels if classes is None else classes)
        self._check_classes(labels)
        codes = np.searchsorted(self.classes_, labels)
        by_patient = by_patient and patients is not None
        records = Records(
            signals, rows, codes, weight[rows], np.zeros_like(rows) if patients is None else patients[rows]
        )
        return merge_records(records, by_patient=by_patient)

    def _check_classes(self, labels: NDArray[Any]) -> None:
        """Raise a ValueError for a single class, or one that is new to a fitted network."""
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs records of at least two classes (with a signal, and a sample_weight "
                f"above 0); got one class, {self.classes_.tolist()!r}."
            )
        unknown = np.setdiff1d(labels, self.classes_)
        if unknown.size:
            raise ValueError(
                f"y has classes {unknown.tolist()!r}, but the network was first fitted on {self.classes_.tolist()!r}."
            )

    def _find_shares(self) -> None:
        """Say how long training took, and the shares of the classes in the data and in what was drawn of them."""
        self.n_iter_ = max(len(net.history) for net in self.nets_)
        self.class_prior_ = self._mass / self._mass.sum()
        self.training_prior_ = self._drawn / self._drawn.sum()

    @property
    def net_(self) -> WeightedNet:
        """The fitted net of a classifier with one member."""
        check_is_fitted(self)
        if len(self.nets_) > 1:
            raise AttributeError(f"{type(self).__name__} has {len(self.nets_)} members: take one of nets_.")
        return self.nets_[0]

    def _predicting_dtype(self, device: torch.device) -> torch.dtype | None:
        """Return the reduced precision to predict in, if any."""
        return None if self.mixed_precision == "auto" else find_autocast_dtype(self.mixed_precision, device)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_records, n_classes)
            Probabilities, classes in the order of `classes_`; rows sum to 1. With `correct_prior`
            they answer for the class shares of the training data (`class_prior_`), otherwise for those of the
            balanced batches (`training_prior_`), as the published procedure does. A record that is zero
            throughout, as `MedianBeat` makes it of an unusable one, gets these shares themselves.

        Raises
        ------
        ValueError
            If leads or samples are not those of `fit`, or a value is not finite, or so large that no probability is.
        sklearn.exceptions.NotFittedError
            Before `fit`.
        """
        return softmax(self._log_proba(X), axis=1)

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return log-odds of the second of two classes, or log-probabilities of more classes.

        Calibration on log-odds mends a wrong slope and a wrong prevalence exactly;
        `sklearn.calibration.CalibratedClassifierCV` therefore takes this before `predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_records,) or (n_records, n_classes)
            The logarithms of what `predict_proba` answers.

        Raises
        ------
        ValueError
            If leads or samples are not those of `fit`, or a value is not finite, or so large that no probability is.
        sklearn.exceptions.NotFittedError
            Before `fit`.
        """
        log_proba = self._log_proba(X)
        return log_proba[:, 1] - log_proba[:, 0] if log_proba.shape[1] == 2 else log_proba

    def _log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the logarithm of the probability of each class."""
        check_is_fitted(self)
        signals = self._check_signals(X, reset=False)
        dtype = self._predicting_dtype(torch.device(self.nets_[0].device))
        with fixed_threads(self.n_threads):
            log_proba = mean_log_proba(self.nets_, signals, dtype)
        bad = np.flatnonzero(~np.isfinite(log_proba).all(axis=1))
        if bad.size:
            raise ValueError(
                f"{type(self).__name__} has no finite output for {bad.size} of {len(log_proba)} records (first: record "
                f"{bad[0]}): their values are too large. Scale the records as those of fit, with LeadScaler for "
                "instance."
            )
        log_proba = shift_prior(log_proba, self.training_prior_, self.class_prior_)
        log_proba = log_softmax(self.calibration_slope_ * log_proba + self.calibration_intercept_, axis=1)
        if not self.correct_prior:
            log_proba = shift_prior(log_proba, self.class_prior_, self.training_prior_)
        # The network has not seen a record without a signal, and has nothing to say of it.
        to_prior = self.class_prior_ if self.correct_prior else self.training_prior_
        log_proba[~signals.any(axis=(1, 2))] = np.log(np.maximum(to_prior, np.finfo(float).tiny))
        return log_proba

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class of each record.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_records,)
            Classes. At a low prevalence few probabilities exceed one half; choose a threshold on
            `predict_proba` for a decision.
        """
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _find_blank(signals: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which records are zero throughout, and warn of them; raise a ValueError if all are."""
    blank = np.asarray(~signals.any(axis=(1, 2)))
    if blank.all():
        raise ValueError("Every record of X is zero throughout: there is no signal to learn from.")
    if blank.any():
        which = np.flatnonzero(blank)
        warnings.warn(
            f"{len(which)} of {len(signals)} records are zero throughout, hold no signal and are left out of training: "
            f"record {', '.join(map(str, which[:10]))}{', …' if len(which) > 10 else ''}.",
            UserWarning,
            stacklevel=6,
        )
    return blank
