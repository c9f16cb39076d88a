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
    <of every network classifier>

    Attributes
    ----------
    <of every network classifier>

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
