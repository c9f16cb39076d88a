"""The estimators people use: scikit-learn pipelines from raw ECGs to probabilities."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from omi_estimators._compat import StrOptions, check_method_params, fit_context, num_samples
from omi_estimators._documentation import DocumentedMixin
from omi_estimators.leads import convert_records
from omi_estimators.preprocessing import Judgement, Usable, check_usable, measure_steps, report_unusable

P = ParamSpec("P")
T = TypeVar("T")

__all__ = ["ECGPipeline", "make_forest_pipeline", "make_fusion", "make_net_pipeline"]


def _final_has(name: str) -> Callable[[Any], bool]:
    """Return the question whether the last step of a pipeline has a method."""
    return lambda pipeline: hasattr(pipeline.steps[-1][1], name)


class ECGPipeline(DocumentedMixin, Pipeline):
    """A scikit-learn pipeline that neither learns from records that cannot be judged nor answers for them.

    Everything is as in `sklearn.pipeline.Pipeline`, but the steps of this package are asked which records they can use
    (electrodes off, noise, no beat: `omi_estimators.preprocessing.usable_records`). The others are left out of the fit
    from that step on, and in place of what the classifier happens to say of zeros or NaN they get a documented answer.
    One warning names them.

    Parameters
    ----------
    steps : list of (str, estimator)
        Names and estimators, the last of them a classifier.
    unusable : {"prior", "nan"}, default="prior"
        The answer of `predict_proba` for a record that cannot be judged: the share of each class in the training data,
        or NaN.
    train_on_unusable : bool, default=False
        Whether to fit on such records too, as zeros or NaN.
    memory : None
        There for scikit-learn's sake: beats and features are cached record by record by ``memory`` of their own steps.
    verbose : bool, default=False
        Whether to print the time of each step after the measuring.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    class_prior_ : ndarray of shape (n_classes,)
        Share of each class in the records it was fitted on, by weight where the classifier was given weights.
    n_unusable_ : int
        Number of records that were left out.

    See Also
    --------
    omi_estimators.preprocessing.judge : Probabilities, and which records they mean something for.

    Examples
    --------
    >>> import warnings
    >>> from omi_estimators import make_forest_pipeline
    >>> from omi_estimators.datasets import make_omi_ecgs
    >>> ecgs = make_omi_ecgs(n_patients=20, prevalence=0.5, random_state=0)
    >>> forest = make_forest_pipeline(ecgs.sampling_rate, n_estimators=10, random_state=0).fit(ecgs.X, ecgs.y)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     flat = forest.predict_proba(0 * ecgs.X[:1])
    >>> bool((flat[0] == forest.class_prior_).all())
    True
    """

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012
        **Pipeline._parameter_constraints,
        "unusable": [StrOptions({"prior", "nan"})],
        "train_on_unusable": ["boolean"],
        "memory": [None],
    }

    def __init__(
        self,
        steps: list[tuple[str, Any]],
        *,
        unusable: str = "prior",
        train_on_unusable: bool = False,
        memory: None = None,
        verbose: bool = False,
    ):
        super().__init__(steps, memory=memory, verbose=verbose)
        self.unusable = unusable
        self.train_on_unusable = train_on_unusable

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: ArrayLike | None = None, **params: Any) -> ECGPipeline:
        """Fit the steps one after another, the later ones on usable records only.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples), or paths of shape (n_records,)
            What the first step takes.
        y : array-like of shape (n_records,)
            Labels.
        **params
            As in scikit-learn's pipeline: ``step__name=values``, or by metadata routing.

        Returns
        -------
        ECGPipeline
            Itself, fitted.

        Raises
        ------
        ValueError
            If no record can be judged, or a step refuses its input.
        """
        if y is None or hasattr(self.steps[-1][1], "transform"):
            return super().fit(X, y, **params)
        X = convert_records(X)
        check_consistent_length(X, y)
        self._validate_steps()
        routed = self._check_method_params(method="fit", props=params)
        labels, kept = np.asarray(y), np.arange(num_samples(X))
        reasons = np.full(len(kept), "", dtype=object)
        context = self._init_callback_context(max_subtasks=1)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        for name, step in self.steps[:-1]:
            given = check_method_params(labels, routed[name].fit_transform, indices=kept)
            if hasattr(step, "measure"):
                X, usable = step.fit(X, labels[kept], **given).measure(X, **given)
                consequence = "kept in the fit" if self.train_on_unusable else "left out of the fit"
                report_unusable(usable, on_error=getattr(step, "on_error", "warn"), consequence=consequence)
                if not self.train_on_unusable:
                    reasons[kept] = usable.reasons
                    X, kept = X[usable.mask], kept[usable.mask]
                    check_usable(Usable.from_reasons(reasons.tolist()))
            elif step not in (None, "passthrough"):
                X = step.fit_transform(X, labels[kept], **given)
        name, final = self.steps[-1]
        given = check_method_params(labels, routed[name].fit, indices=kept)
        subcontext = context.subcontext(task_name="fit-final-estimator")
        with subcontext.propagate_callback_context(final):
            subcontext.call_on_fit_task_begin(estimator=self, X=X, y=labels[kept])
            final.fit(X, labels[kept], **given)
            subcontext.call_on_fit_task_end(estimator=self, X=X, y=labels[kept])
        weight = given.get("sample_weight")
        shares = [np.average(labels[kept] == label, weights=weight) for label in final.classes_]
        self.class_prior_ = np.array(shares, dtype=np.float64)
        self.n_unusable_ = len(reasons) - len(kept)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def judge(self, X: Any, **params: Any) -> Judgement:
        """Return the probability of each class, and which records it means something for.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            As in `fit`.
        **params
            By metadata routing, as in ``predict_proba``.

        Returns
        -------
        Judgement
            Probabilities of shape (n_records, n_classes), and usable records with the reasons for the others.
        """
        return Judgement(*self._answer("predict_proba", X, params, self._prior()[np.newaxis]))

    def _prior(self) -> NDArray[np.float64]:
        """Return what is said of a record that cannot be judged."""
        check_is_fitted(self)
        return self.class_prior_ if self.unusable == "prior" else np.full(len(self.classes_), np.nan)

    def _answer(self, method: str, X: Any, params: dict[str, Any], unknown: Any) -> tuple[NDArray[Any], Usable]:
        """Return what a method of the classifier answers for usable records, and `unknown`, one row, for the others."""
        routed = process_routing(self, method, **params) if params else {}
        values, usable = measure_steps(self.steps[:-1], X, {name: found.transform for name, found in routed.items()})
        name, final = self.steps[-1]
        answer = np.repeat(unknown, len(usable.mask), axis=0)
        if usable.mask.any():
            given = routed[name][method] if routed else {}
            found = np.asarray(getattr(final, method)(values[usable.mask], **given))
            answer = answer.astype(np.result_type(answer, found)) if answer.dtype.kind == "f" else answer
            answer[usable.mask] = found
        return answer, usable

    @available_if(_final_has("predict_proba"))
    def predict_proba(self, X: Any, **params: Any) -> NDArray[np.float64]:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            As in `fit`.
        **params
            By metadata routing, such as ``covariates``.

        Returns
        -------
        ndarray of shape (n_records, n_classes)
            Probabilities; of a record that cannot be judged what `unusable` says, with a warning.
        """
        prob, usable = self.judge(X, **params)
        what = "the class shares of the training data" if self.unusable == "prior" else "NaN"
        report_unusable(usable, on_error="warn", consequence=f"given {what}")
        return prob

    @available_if(_final_has("predict_proba"))
    def predict_log_proba(self, X: Any, **params: Any) -> NDArray[np.float64]:
        """Return the logarithm of what `predict_proba` returns.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            As in `fit`.
        **params
            As in ``predict_proba``.

        Returns
        -------
        ndarray of shape (n_records, n_classes)
            Logarithms of probabilities.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X, **params))

    @available_if(_final_has("decision_function"))
    def decision_function(self, X: Any, **params: Any) -> NDArray[np.float64]:
        """Return the scores of the classifier.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            As in `fit`.
        **params
            As in ``predict_proba``.

        Returns
        -------
        ndarray of shape (n_records,) or (n_records, n_classes)
            As the classifier has it; of a record that cannot be judged the log-odds (of more than two classes, the
            logarithms) of what ``predict_proba`` says of it.
        """
        with np.errstate(divide="ignore"):
            logs = np.log(self._prior())[np.newaxis]
        return self._answer("decision_function", X, params, logs[:, 1] - logs[:, 0] if logs.size == 2 else logs)[0]

    @available_if(_final_has("predict"))
    def predict(self, X: Any, **params: Any) -> NDArray[Any]:
        """Return the class of each record.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            As in `fit`.
        **params
            As in ``predict_proba``.

        Returns
        -------
        ndarray of shape (n_records,)
            Class labels; of a record that cannot be judged the most frequent class of the training data.
        """
        check_is_fitted(self)
        answer, usable = self._answer("predict", X, params, self.classes_[[np.argmax(self.class_prior_)]])
        report_unusable(usable, on_error="warn", consequence="given the most frequent class")
        return answer

    @available_if(_final_has("score"))
    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, **params: Any) -> float:
        """Return the accuracy, records that cannot be judged included.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            As in `fit`.
        y : array-like of shape (n_records,)
            Labels.
        sample_weight : array-like of shape (n_records,), optional
            Weights.
        **params
            As in ``predict_proba``.

        Returns
        -------
        float
            Share of records whose class `predict` names.
        """
        return float(accuracy_score(y, self.predict(X, **params), sample_weight=sample_weight))


def _rate_was_optional(make: Callable[P, T]) -> Callable[P, T]:
    """Let calls from before version 0.2, where the rate was 500 Hz if left out, go on with a warning until 0.3."""

    @functools.wraps(make)
    def made(*args: P.args, **params: P.kwargs) -> T:
        if not args and "sampling_rate" not in params:
            warnings.warn(
                f"{make.__name__} needs the sampling_rate of the data, such as record.sampling_rate; 500 Hz is taken, "
                "and from version 0.3 on this is an error.",
                FutureWarning,
                stacklevel=2,
            )
            params["sampling_rate"] = 500
        return make(*args, **params)

    return made


@_rate_was_optional
def make_net_pipeline(
    sampling_rate: float, *, memory: Any = None, n_jobs: int | None = None, **net_params: Any
) -> ECGPipeline:
    """Return a pipeline from raw ECGs to ECG-SMART-NET's probabilities.

    Its steps are `filter` (`ECGFilter`), `beat` (`MedianBeat`), `scale` (`LeadScaler`) and `net`
    (`ECGSmartNetClassifier`), each reachable by grid search as ``net__lr`` and the like.

    Parameters
    ----------
    sampling_rate : float
        Of the ECGs, in Hz: as the data have it, such as ``record.sampling_rate``. There is no default to be wrong.
    memory : str, path or joblib.Memory, optional
        Where to keep the beat of each record, so that no record is measured twice.
    n_jobs : int, optional
        Processes that measure beats.
    **net_params
        Parameters of `ECGSmartNetClassifier`.

    Returns
    -------
    ECGPipeline
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

    return ECGPipeline(
        [
            ("filter", ECGFilter(sampling_rate=sampling_rate)),
            ("beat", MedianBeat(sampling_rate=sampling_rate, memory=memory, n_jobs=n_jobs)),
            ("scale", LeadScaler()),
            ("net", ECGSmartNetClassifier(**net_params)),
        ]
    )


@_rate_was_optional
def make_forest_pipeline(
    sampling_rate: float,
    *,
    trees: str = "random_forest",
    memory: Any = None,
    n_jobs: int | None = None,
    **forest_params: Any,
) -> ECGPipeline:
    """Return a pipeline from raw ECGs to a random forest on measured features.

    Its steps are `features` (`NeuroKitFeatures`) and `forest` (scikit-learn's `RandomForestClassifier` or
    `ExtraTreesClassifier`, which take a feature that is not measurable, NaN, as it is). The features are all
    but the group `quality`: how well a record was taken tells of the ambulance or the ward rather than of the heart,
    and a forest would learn it. ``set_params(features__include=None)`` adds it.

    Parameters
    ----------
    sampling_rate : float
        Of the ECGs, in Hz: as the data have it, such as ``record.sampling_rate``. There is no default to be wrong.
    trees : {"random_forest", "extra_trees"}, default="random_forest"
        Whether each tree looks for the best threshold of a feature in a bootstrap sample, or draws thresholds and
        sees all records.
    memory : str, path or joblib.Memory, optional
        Where to keep the features of each record, so that no record is measured twice.
    n_jobs : int, optional
        Processes that measure features, and threads that grow trees.
    **forest_params
        Parameters of the forest, over the defaults of this function: 500 trees, the
        square root of the features at each split, at least two records in a leaf.

    Returns
    -------
    ECGPipeline
        Takes `X` of shape (n_records, 12, n_samples) in millivolts.

    Raises
    ------
    ValueError
        If `trees` is neither of the two.

    References
    ----------
    Al-Zaiti S. S. et al., Machine learning for ECG diagnosis and risk stratification of occlusion
    myocardial infarction, Nature Medicine 29:1804-1813, 2023, doi:10.1038/s41591-023-02396-3; Geurts P., Ernst D.,
    Wehenkel L., Extremely randomized trees, Machine Learning 63:3-42, 2006, doi:10.1007/s10994-006-6226-1.

    Examples
    --------
    >>> from omi_estimators import make_forest_pipeline
    >>> list(make_forest_pipeline(500, n_estimators=100).named_steps)
    ['features', 'forest']
    """
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    from omi_estimators.features import GROUPS, NeuroKitFeatures

    kinds = {"random_forest": RandomForestClassifier, "extra_trees": ExtraTreesClassifier}
    if trees not in kinds:
        raise ValueError(f"trees must be {' or '.join(map(repr, kinds))}; got {trees!r}.")
    include = tuple(group for group in GROUPS if group != "quality")
    forest = {"n_estimators": 500, "max_features": "sqrt", "min_samples_leaf": 2, "n_jobs": n_jobs} | forest_params
    return ECGPipeline(
        [
            (
                "features",
                NeuroKitFeatures(sampling_rate=sampling_rate, include=include, memory=memory, n_jobs=n_jobs),
            ),
            ("forest", kinds[trees](**forest)),
        ]
    )


@_rate_was_optional
def make_fusion(
    sampling_rate: float,
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
    sampling_rate : float
        Of the ECGs, in Hz: as the data have it, such as ``record.sampling_rate``. There is no default to be wrong.
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
    >>> [name for name, _ in make_fusion(500, net_params={"max_epochs": 20}).estimators]
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
