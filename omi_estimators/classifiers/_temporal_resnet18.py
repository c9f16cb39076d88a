"""The temporal ResNet-18 as a scikit-learn classifier."""

from omi_estimators.classifiers._base import NetClassifier
from omi_estimators.networks import TemporalResNet18


class TemporalResNet18Classifier(NetClassifier):
    """The temporal ResNet-18: ECG-SMART-NET without the convolution across leads.

    A comparison model of the ECG-SMART-NET paper, trained by the same procedure: see
    `omi_estimators.networks.TemporalResNet18` for the network.

    Parameters
    ----------
    width, blocks, kernel_size, stem_kernel_size, dropout
        As in `ECGSmartNetClassifier`.
    time_shift, amplitude_scale, baseline_wander, lead_dropout
        As in `ECGSmartNetClassifier`.
    n_members, max_epochs, lr, first_epoch_lr, schedule, warmup_epochs, batch_size, optimizer, weight_decay
        As in `ECGSmartNetClassifier`.
    max_grad_norm
        As in `ECGSmartNetClassifier`.
    balance, correct_prior, class_weight, early_stopping, validation_fraction, n_iter_no_change, warm_start, freeze
        As in `ECGSmartNetClassifier`.
    callbacks, checkpoint_dir, on_interrupt, device, mixed_precision, compile, n_threads, net_params
        As in `ECGSmartNetClassifier`.
    random_state, verbose
        As in `ECGSmartNetClassifier`.

    Attributes
    ----------
    classes_, n_records_, n_patients_, class_prior_, training_prior_, nets_, net_, n_iter_, n_features_in_
        As in `ECGSmartNetClassifier`.
    calibration_slope_, calibration_intercept_, n_leads_in_, n_samples_in_
        As in `ECGSmartNetClassifier`.

    See Also
    --------
    ECGSmartNetClassifier : The network of the paper.

    References
    ----------
    Riek N. T. et al., arXiv:2405.09567.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators import TemporalResNet18Classifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 10)
    >>> X = rng.normal(size=(20, 12, 50)) + y[:, np.newaxis, np.newaxis]
    >>> net = TemporalResNet18Classifier(width=4, blocks=(1, 1), n_members=1, max_epochs=3).fit(X, y)
    >>> net.predict_proba(X).shape
    (20, 2)
    """

    _network = TemporalResNet18
