"""The estimators that the command line compares, by name: the models of the literature, their fusion, and floors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

CANDIDATES = (
    *("net", "temporal_resnet18", "resnet18", "forest", "extra_trees", "fusion"),
    *("minirocket", "regression", "prior"),
)
CALIBRATED = ("net", "temporal_resnet18", "resnet18", "forest", "extra_trees")

# Inner folds of fusion and calibration, each of which trains a network more.
_N_INNER = 3

# Of ten thousand standardised features: as strong as the ridge that leaving one out chooses on PTB-XL.
_RIDGE = 1e-3


def make_candidates(
    names: Sequence[str],
    sampling_rate: float,
    *,
    memory: Any = None,
    n_jobs: int | None = None,
    net_params: dict[str, Any] | None = None,
    calibrated: bool = False,
) -> dict[str, Any]:
    """Return estimators from raw ECGs to probabilities, in the order of `CANDIDATES`.

    Beats and features are cached record by record. Each depends on its own record alone, so a record in
    training and the same one in another fold's test share nothing but the work: nothing leaks.

    Parameters
    ----------
    names : sequence of str
        Of `CANDIDATES`.
    sampling_rate : float
        Of the ECGs, in Hz.
    memory : str, path or joblib.Memory, optional
        Where to keep beats and features.
    n_jobs : int, optional
        Threads that grow trees.
    net_params : dict, optional
        Parameters of the networks.
    calibrated : bool, default=False
        Whether to return a calibrated form of each learned model too, named like "net, calibrated": logistic
        regression on its log-odds, cross-fitted by patient. Fusion and MiniRocket are calibrated by their last step.

    Returns
    -------
    dict of str to estimator
        Unfitted.

    Raises
    ------
    ValueError
        If a name is unknown.
    ImportError
        If MiniRocket is asked for, and its libraries are missing.
    """
    from sklearn.dummy import DummyClassifier

    from omi_estimators._validation import how_to_install
    from omi_estimators.classifiers import ResNet18Classifier, TemporalResNet18Classifier
    from omi_estimators.fusion import FusionClassifier
    from omi_estimators.pipelines import make_forest_pipeline, make_fusion, make_net_pipeline

    unknown = [name for name in names if name not in CANDIDATES]
    if unknown:
        raise ValueError(f"Unknown estimator {unknown[0]!r}; take any of {', '.join(CANDIDATES)}.")
    if "minirocket" in names and "minirocket" not in installed_candidates():
        raise ImportError(f"minirocket needs sktime and sktime-cython; install them with: {how_to_install('rocket')}")
    params = net_params or {}
    makers: dict[str, Callable[[], Any]] = {
        "net": lambda: make_net_pipeline(sampling_rate, memory=memory, **params),
        "temporal_resnet18": lambda: makers["net"]().set_params(net=TemporalResNet18Classifier(**params)),
        "resnet18": lambda: makers["net"]().set_params(net=ResNet18Classifier(**params)),
        "forest": lambda: make_forest_pipeline(sampling_rate, memory=memory).set_params(forest__n_jobs=n_jobs),
        "extra_trees": lambda: make_forest_pipeline(sampling_rate, trees="extra_trees", memory=memory).set_params(
            forest__n_jobs=n_jobs
        ),
        "fusion": lambda: make_fusion(sampling_rate, cv=_N_INNER, memory=memory, net_params=params).set_params(
            forest__forest__n_jobs=n_jobs
        ),
        "minirocket": lambda: FusionClassifier([("ridge", _make_ridge(sampling_rate, memory))], cv=_N_INNER),
        "regression": lambda: _make_regression(sampling_rate, memory),
        "prior": lambda: DummyClassifier(strategy="prior"),
    }
    chosen = {name: makers[name]() for name in CANDIDATES if name in names}
    if calibrated:
        # Fused with nothing else, a model is calibrated.
        for name in [name for name in chosen if name in CALIBRATED]:
            chosen[f"{name}, calibrated"] = FusionClassifier([(name, makers[name]())], cv=_N_INNER)
    return chosen


def installed_candidates() -> tuple[str, ...]:
    """Return the names of `CANDIDATES` whose libraries are installed."""
    missing = () if all(find_spec(name) for name in ("sktime", "sktime_cython")) else ("minirocket",)
    return tuple(name for name in CANDIDATES if name not in missing)


def _make_ridge(sampling_rate: float, memory: Any) -> Any:
    """Return the floor of time series: logistic regression with a ridge penalty on MiniRocket's features of beats."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    from omi_estimators.features import RocketFeatures
    from omi_estimators.pipelines import ECGPipeline, make_net_pipeline

    return ECGPipeline(
        [
            *make_net_pipeline(sampling_rate, memory=memory).steps[:3],
            ("rocket", RocketFeatures()),
            ("standardise", StandardScaler()),
            ("regression", LogisticRegression(C=_RIDGE, max_iter=1000)),
        ]
    )


def _make_regression(sampling_rate: float, memory: Any) -> Any:
    """Return the floor that sees the ECG: logistic regression on principal components of median beats."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    from omi_estimators.preprocessing import ECGFilter, MedianBeat

    return Pipeline(
        [
            ("filter", ECGFilter(sampling_rate=sampling_rate)),
            ("beat", MedianBeat(sampling_rate=sampling_rate, memory=memory)),
            ("flatten", FunctionTransformer(flatten)),
            ("scale", StandardScaler()),
            # A share of variance rather than a number, so that any number of records will do.
            ("components", PCA(n_components=0.9)),
            ("regression", LogisticRegression(max_iter=5000)),
        ]
    )


def flatten(beats: Any) -> Any:
    """Return beats of shape (n_records, n_leads, n_samples) as rows of shape (n_records, n_leads * n_samples)."""
    return beats.reshape(len(beats), -1)
