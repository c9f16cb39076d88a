"""ECG-SMART-NET as a scikit-learn classifier, and the published way to train it."""

from __future__ import annotations

from typing import Any

from omi_estimators.classifiers._base import NetClassifier
from omi_estimators.networks import ECGSmartNet


class ECGSmartNetClassifier(NetClassifier):
    r"""ECG-SMART-NET: convolutions along time in each lead, then one across all leads.

    The network (see `omi_estimators.networks.ECGSmartNet`) is trained on cross-entropy in mini-batches in
    which the larger class is undersampled to the size of the smaller, as published. The defaults add mild
    augmentation and a learning rate that falls along a cosine, over a fixed number of epochs on all
    records; they did better than the published early stopping wherever both were tried (``python -m
    benchmarks recipe``). ``ECGSmartNetClassifier(**PAPER_RECIPE)``, from `omi_estimators.classifiers`, is the
    published procedure: no augmentation, a constant rate, at most 200 epochs, and early stopping on the
    cross-entropy of patients put aside, both classes weighing alike, with the best weights restored.

    Balanced training makes a network answer for a prevalence of one half. With `correct_prior`, the
    log-odds :math:`\log p_k` of each class are moved by :math:`\log(\pi_k / \rho_k)`, where :math:`\pi_k`
    is its share of the training data and :math:`\rho_k` its share of the records drawn in training, so
    that probabilities answer for the training data's prevalence.

    It takes what `make_net_pipeline` puts before it: scaled median beats. Raw records of any length work too.

    Parameters
    ----------
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

    Attributes
    ----------
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

    See Also
    --------
    TemporalResNet18Classifier : The same without the convolution across leads.
    ResNet18Classifier : The image network on the same input.
    make_net_pipeline : Filter, median beat and scaling in front of it.

    Notes
    -----
    Give `groups` to `fit` if a patient may have several records: then no patient is on both sides of the
    inner split. With metadata routing enabled they arrive by themselves.

    Records that are equal in signal and label (and in patient, where early stopping splits by it) are merged and
    their weights added. Training depends neither on the order of the records nor on the names of the patients. The
    same data and `random_state` give the same network on the same machine, also where several are fitted at once
    in threads. Fits with `callbacks` or `net_params`, which may draw from torch's one global generator, wait for
    each other.

    A record that is zero throughout holds no signal. It is not learned from, and its probabilities are the class
    shares that all probabilities answer for.

    Where the rarest class has fewer patients than there are members, as many folds as patients are left out in turn; a
    member whose training diverges is left out with a warning, and an error is raised if most do. After Ctrl-C with
    `on_interrupt="keep"` those that had ended are kept. `partial_fit` trains every member on the same records, and
    nothing is left to calibrate by.

    Prediction keeps what it makes of the network (batch normalisation folded, weights laid out for the processor)
    until the weights change. It is no part of pickles and copies.

    A checkpoint (`checkpoint_dir`) holds weights and no records, for each member up to four times the size of the
    network: at the default width some 100 MB, and half a second an epoch to write. It is
    removed when `fit` ends well; the same call again then trains anew. After Ctrl-C, an error or a kill it stays,
    and may be deleted at any time. A damaged one is ignored with a warning. Several processes may share a folder.
    Learning-rate schedulers and early stopping of skorch in `callbacks` are brought back as well; other callbacks
    with a memory of their own begin anew, and scikit-learn's callbacks hear of the remaining epochs only.
    Functions in parameters are recognised by their names, not by their code. `partial_fit` keeps no checkpoint.

    References
    ----------
    Riek N. T. et al., ECG-SMART-NET: A Deep Learning Architecture for Precise ECG Diagnosis of
    Occlusion Myocardial Infarction, arXiv:2405.09567.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators import ECGSmartNetClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 10)
    >>> X = rng.normal(size=(20, 12, 50)) + y[:, np.newaxis, np.newaxis]
    >>> net = ECGSmartNetClassifier(width=4, blocks=(1, 1), n_members=1, max_epochs=3).fit(X, y)
    >>> net.predict_proba(X).shape
    (20, 2)
    """

    _network = ECGSmartNet


PAPER_RECIPE: dict[str, Any] = {
    "time_shift": 0.0,
    "amplitude_scale": 0.0,
    "baseline_wander": 0.0,
    "lead_dropout": 0.0,
    "n_members": 1,
    "max_epochs": 200,
    "lr": 1e-4,
    "schedule": "constant",
    "batch_size": 64,
    "optimizer": "adamw",
    "weight_decay": 1e-2,
    "balance": "undersample",
    "early_stopping": True,
    "validation_fraction": 0.1,
    "n_iter_no_change": 10,
}
"""The published procedure: ``ECGSmartNetClassifier(**PAPER_RECIPE)``.

Its authors searched learning rates of 1e-4 to 1e-6, batches of 32 to 256 records and weight decays of 1e-1
to 1e-3; these are the values tried first. What differs from the defaults is augmentation, the schedule, and
early stopping on a tenth of the patients; ``python -m benchmarks recipe`` compares both.
"""
