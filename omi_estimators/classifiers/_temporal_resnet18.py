"""The temporal ResNet-18 as a scikit-learn classifier."""

from omi_estimators.classifiers._base import NetClassifier
from omi_estimators.networks import TemporalResNet18


class TemporalResNet18Classifier(NetClassifier):
    """The temporal ResNet-18: ECG-SMART-NET without the convolution across leads.

    A comparison model of the ECG-SMART-NET paper, trained by the same procedure: see
    `omi_estimators.networks.TemporalResNet18` for the network.

    Parameters
    ----------
    <of every network classifier>

    Attributes
    ----------
    <of every network classifier>

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
