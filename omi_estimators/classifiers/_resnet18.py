"""The image ResNet-18 as a scikit-learn classifier."""

from omi_estimators.classifiers._base import NetClassifier
from omi_estimators.networks import ResNet18


class ResNet18Classifier(NetClassifier):
    """The image ResNet-18 on the ECG as a one-channel picture of leads × time.

    A comparison model of the ECG-SMART-NET paper, trained by the same procedure: see
    `omi_estimators.networks.ResNet18` for the network. Its kernels are square, and no pretrained weights are loaded.

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
    He K. et al., Deep Residual Learning for Image Recognition, CVPR 2016, doi:10.1109/CVPR.2016.90.
    Riek N. T. et al., arXiv:2405.09567.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators import ResNet18Classifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 10)
    >>> X = rng.normal(size=(20, 12, 50)) + y[:, np.newaxis, np.newaxis]
    >>> net = ResNet18Classifier(width=4, blocks=(1, 1), n_members=1, max_epochs=3).fit(X, y)
    >>> net.predict_proba(X).shape
    (20, 2)
    """

    _network = ResNet18
