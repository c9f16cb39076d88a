"""The estimators people use: plain scikit-learn pipelines from raw ECGs to probabilities."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline


def make_net_pipeline(
    sampling_rate: float = 500, *, memory: Any = None, n_jobs: int | None = None, **net_params: Any
) -> Pipeline:
    """Return a pipeline from raw ECGs to ECG-SMART-NET's probabilities.

    Its steps are `filter` (`ECGFilter`), `beat` (`MedianBeat`), `scale` (`LeadScaler`) and `net`
    (`ECGSmartNetClassifier`), each reachable by grid search as ``net__lr`` and the like.

    Parameters
    ----------
    sampling_rate : float, default=500
        Of the ECGs, in Hz.
    memory : str, path or joblib.Memory, optional
        Where to keep the beat of each record, so that no record is measured twice.
    n_jobs : int, optional
        Processes that measure beats.
    **net_params
        Parameters of `ECGSmartNetClassifier`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Takes `X` of shape (n_records, 12, n_samples) in millivolts. Patients go to
        ``fit(X, y, net__groups=groups)``, or to ``groups=`` with metadata routing.

    Examples
    --------
    >>> from omi_estimators import make_net_pipeline
    >>> list(make_net_pipeline(sampling_rate=500, max_epochs=50).named_steps)
    ['filter', 'beat', 'scale', 'net']
    """
    from omi_estimators.classifiers import ECGSmartNetClassifier
    from omi_estimators.preprocessing import ECGFilter, LeadScaler, MedianBeat

    return Pipeline(
        [
            ("filter", ECGFilter(sampling_rate=sampling_rate)),
            ("beat", MedianBeat(sampling_rate=sampling_rate, memory=memory, n_jobs=n_jobs)),
            ("scale", LeadScaler()),
            ("net", ECGSmartNetClassifier(**net_params)),
        ]
    )


def make_forest_pipeline(
    sampling_rate: float = 500, *, memory: Any = None, n_jobs: int | None = None, **forest_params: Any
) -> Pipeline:
    """Return a pipeline from raw ECGs to a random forest on NeuroKit2 features.

    Its steps are `features` (`NeuroKitFeatures`) and `forest` (scikit-learn's
    `RandomForestClassifier`, which takes a feature that is not measurable, NaN, as it is). The features are all
    but the group `quality`: how well a record was taken tells of the ambulance or the ward rather than of the heart,
    and a forest would learn it. ``set_params(features__include=None)`` adds it.

    Parameters
    ----------
    sampling_rate : float, default=500
        Of the ECGs, in Hz.
    memory : str, path or joblib.Memory, optional
        Where to keep the features of each record, so that no record is measured twice.
    n_jobs : int, optional
        Processes that measure features, and threads that grow trees.
    **forest_params
        Parameters of `RandomForestClassifier`, over the defaults of this function: 500 trees, the
        square root of the features at each split, at least two records in a leaf.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Takes `X` of shape (n_records, 12, n_samples) in millivolts.

    References
    ----------
    Al-Zaiti S. S. et al., Machine learning for ECG diagnosis and risk stratification of occlusion
    myocardial infarction, Nature Medicine 29:1804-1813, 2023, doi:10.1038/s41591-023-02396-3.

    Examples
    --------
    >>> from omi_estimators import make_forest_pipeline
    >>> list(make_forest_pipeline(n_estimators=100).named_steps)
    ['features', 'forest']
    """
    from sklearn.ensemble import RandomForestClassifier

    from omi_estimators.features import GROUPS, NeuroKitFeatures

    include = tuple(group for group in GROUPS if group != "quality")
    forest = {"n_estimators": 500, "max_features": "sqrt", "min_samples_leaf": 2, "n_jobs": n_jobs} | forest_params
    return Pipeline(
        [
            (
                "features",
                NeuroKitFeatures(sampling_rate=sampling_rate, include=include, memory=memory, n_jobs=n_jobs),
            ),
            ("forest", RandomForestClassifier(**forest)),
        ]
    )


def make_fusion(
    sampling_rate: float = 500,
    *,
    voting: bool = False,
    cv: Any = 5,
    memory: Any = None,
    n_jobs: int | None = None,
    net_params: dict[str, Any] | None = None,
    forest_params: dict[str, Any] | None = None,
    random_state: int | None = None,
) -> Any:
    """Return ECG-SMART-NET and the random forest fused into one classifier of raw ECGs.

    Stacked by logistic regression on their log-odds, cross-fitted by patient (`FusionClassifier`), or averaged
    (`sklearn.ensemble.VotingClassifier`). Stacking fits each model in `cv` inner folds and once more on all
    records, averaging once.

    Parameters
    ----------
    sampling_rate : float, default=500
        Of the ECGs, in Hz.
    voting : bool, default=False
        Whether to average the probabilities rather than stack them.
    cv : int, splitter or iterable of (train, test), default=5
        Inner folds of stacking, by patient if `fit` is given `groups`.
    memory : str, path or joblib.Memory, optional
        Where to keep the beat and the features of each record, so that no inner fold measures them again.
    n_jobs : int, optional
        Processes that measure beats and features, and threads that grow trees.
    net_params, forest_params : dict, optional
        Further arguments of `make_net_pipeline` and `make_forest_pipeline`.
    random_state : int, optional
        Seed of the net, the forest, and the inner folds.

    Returns
    -------
    FusionClassifier or VotingClassifier
        Its parts are `net` and `forest`, reachable as ``net__net__lr`` and the like. It takes `X` of shape
        (n_records, 12, n_samples) in millivolts. Patients go to ``fit(X, y, groups=groups)``; to the average only
        with metadata routing enabled.

    References
    ----------
    Riek N. T. et al., arXiv:2405.09567; Wolpert D. H., Stacked generalization, Neural Networks 5:241-259, 1992,
    doi:10.1016/S0893-6080(05)80023-1.

    Examples
    --------
    >>> from omi_estimators import make_fusion
    >>> [name for name, _ in make_fusion(net_params={"max_epochs": 20}).estimators]
    ['net', 'forest']
    """
    from sklearn.ensemble import VotingClassifier

    from omi_estimators.fusion import FusionClassifier

    shared = {"memory": memory, "n_jobs": n_jobs, "random_state": random_state}
    parts = [
        ("net", make_net_pipeline(sampling_rate, **(shared | (net_params or {})))),
        ("forest", make_forest_pipeline(sampling_rate, **(shared | (forest_params or {})))),
    ]
    if voting:
        return VotingClassifier(parts, voting="soft")
    return FusionClassifier(parts, cv=cv, random_state=random_state)
