"""Several models fused into one, cross-fitted by patient."""

from __future__ import annotations

import operator
import warnings
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit, softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Bunch
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from omi_estimators._compat import BaseComposition
from omi_estimators.preprocessing import Judgement, Usable, judge
from omi_estimators.splits import CrossFittedClassifier, fit_routed, order_columns, route_fit

__all__ = ["FusionClassifier"]

# Penalties of the final regression, on standardised log-odds, as shares of the weight of the smallest class. The free
# one moves no slope in its eighth digit. Where classes are separated nothing but the penalty bounds the slope, and from
# the firm to the loose one it grows by a fifth or more; otherwise it stays.
_FIRM, _LOOSE, _FREE, _GROWTH = 1e-6, 1e-8, 1e-10, 1.15
# The slope, per standard deviation, of a model whose log-odds do not rise with its class: the order, and no more.
_NO_SLOPE = 1e-6


def _final_has_decision_function(fusion: FusionClassifier) -> bool:
    final = fusion.final_estimator
    return final is None or hasattr(final, "decision_function")


class FusionClassifier(CrossFittedClassifier, BaseComposition):
    """Classifiers stacked by logistic regression on their log-odds, cross-fitted by patient.

    Each classifier is fitted in cross-validation in which no patient is on both sides, so that logistic
    regression learns from what the classifiers say of patients they have not seen; then each is fitted on all
    records. The weighted sum of log-odds that it learns also calibrates [1]_.

    With one classifier this is calibration: what `sklearn.calibration.CalibratedClassifierCV` does with
    ``method="sigmoid", ensemble=False``, but on log-odds, where it mends slope and prevalence exactly, and by
    patient for classifiers that know nothing of patients too. The order in which one classifier of two classes ranks
    records stays as it is. scikit-learn's `StackingClassifier` has no way for patients to its inner folds.

    A record that one of the classifiers cannot judge is not judged: the regression does not learn from it, and
    `predict_proba` gives a documented answer.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Names and classifiers with `predict_proba`; their parameters are reached as ``name__parameter``.
    final_estimator : estimator, optional
        What learns from the log-odds. None is logistic regression without a penalty, and, where log-odds separate the
        classes, with a slight one and a warning.
    cv : int, splitter or iterable of (train, test), default=5
        Inner folds. A number means shuffled, stratified folds, by patient if `groups` are given; where a
        class has fewer patients, as many folds as it has, with a warning.
    n_jobs : int, optional
        Classifiers, and folds of each, fitted at the same time.
    random_state : int, RandomState or None, default=None
        Seed of the folds.
    unusable : {"prior", "nan"}, default="prior"
        The answer of `predict_proba` for a record that cannot be judged: `class_prior_`, or NaN.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    estimators_ : list of estimators
        The classifiers, fitted on all records.
    named_estimators_ : Bunch
        The same by name.
    final_estimator_ : estimator
        A pipeline from probabilities, all columns of the first classifier, then of the next, by way of log-odds to the
        fused probability.
    splits_ : list of (train, test)
        The inner folds.
    n_features_in_ : int
        As the first classifier has it.
    n_records_ : int
        Number of records it was fitted on.
    n_patients_ : int or None
        Number of patients among these, None without `groups`.
    class_prior_ : ndarray of shape (n_classes,)
        Share of each class in these records, by weight if weights were given.

    Raises
    ------
    ValueError
        In `fit`: if `X`, `y`, `sample_weight` and `groups` do not fit together, there is one class only, no record of
        a class can be judged, or an inner fold has a patient on both sides.

    Warns
    -----
    UserWarning
        In `fit`: if log-odds separate the classes, or those of the only classifier do not rise with the class.
    UnusableRecordWarning
        If records cannot be judged.

    See Also
    --------
    make_fusion : The net and the forest fused.

    References
    ----------
    .. [1] Wolpert D. H., Stacked generalization, Neural Networks 5:241-259, 1992.
       doi:10.1016/S0893-6080(05)80023-1

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.linear_model import LogisticRegression
    >>> from omi_estimators.fusion import FusionClassifier
    >>> rng = np.random.default_rng(0)
    >>> patients = np.arange(100) // 2
    >>> y = patients % 2
    >>> X = rng.normal(size=(100, 3)) + y[:, np.newaxis]
    >>> parts = [("line", LogisticRegression()), ("forest", RandomForestClassifier(20, random_state=0))]
    >>> fusion = FusionClassifier(parts, random_state=0).fit(X, y, groups=patients)
    >>> fusion.predict_proba(X).shape
    (100, 2)
    """

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        final_estimator: Any = None,
        *,
        cv: Any = 5,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        unusable: str = "prior",
    ):
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.unusable = unusable

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a saved object, of one older than `unusable` too."""
        super().__setstate__({"unusable": "prior"} | state)

    def fit(
        self, X: Any, y: ArrayLike, *, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> FusionClassifier:
        """Fit every classifier in the inner folds and on all records, and the regression on their log-odds.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            What the classifiers take.
        y : array-like of shape (n_records,)
            Labels.
        sample_weight : array-like of shape (n_records,), optional
            Weights in the regression and in `class_prior_`; they also go to each classifier that asks for them by
            metadata routing, or, without routing, that takes them.
        groups : array-like of shape (n_records,), optional
            Patient of each record; also goes to each classifier that asks for it by metadata routing.

        Returns
        -------
        FusionClassifier
            Itself, fitted.

        Raises
        ------
        ValueError
            As the class says, and for `estimators` or `unusable` that are none.
        """
        _check_estimators(self.estimators)
        if self.unusable not in ("prior", "nan"):
            raise ValueError(f"unusable must be 'prior' or 'nan'; got {self.unusable!r}.")
        done = self._cross_fit(X, y, sample_weight, groups, self.random_state, "left out of the final regression")
        prob = [found.prob[done.kept] for found in done.found]
        odds = FunctionTransformer(log_odds, kw_args={"floors": [find_floor(each) for each in prob]})
        known, labels = odds.fit_transform(np.hstack(prob)), done.labels[done.kept]
        weights = None if done.weights is None else done.weights[done.kept]
        if self.final_estimator is None:
            final = _fit_regression(known, labels, weights)
        else:
            final, params = route_fit(self.final_estimator, None, weights)
            final = fit_routed(final, known, labels, params)
        self.splits_, self.estimators_, self.final_estimator_ = done.splits, done.fitted, make_pipeline(odds, final)
        self.named_estimators_ = Bunch(**dict(zip(self._name_parts(), self.estimators_, strict=True)))
        return self

    def _name_parts(self) -> dict[str, Any]:
        return dict(self.estimators)

    def judge(self, X: Any) -> Judgement:
        """Return the fused probability of each class, and which records it means something for.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            What the classifiers take.

        Returns
        -------
        Judgement
            Probabilities, and the records that every classifier can judge.
        """
        check_is_fitted(self)
        return Judgement(*self._answer(X, "predict_proba", self.class_prior_))

    @available_if(_final_has_decision_function)
    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the final estimator's decision function; the fused log-odds, if it is logistic regression.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            What the classifiers take.

        Returns
        -------
        ndarray of shape (n_records,) or (n_records, n_classes)
            Log-odds of the second of two classes, or a score for each of more classes; of a record that cannot be
            judged those of `class_prior_`, or NaN.
        """
        check_is_fitted(self)
        prior = np.log(self.class_prior_)
        return self._answer(X, "decision_function", prior[1] - prior[0] if len(prior) == 2 else prior)[0]

    def _answer(self, X: Any, method: str, prior: Any) -> tuple[NDArray[np.float64], Usable]:
        """Return what the final estimator's method says of usable records, `unusable` of others; and which they are."""
        judged = [judge(part, X) for part in self.estimators_]
        usable = reduce(operator.and_, (found.usable for found in judged))
        answer = np.array([prior if self.unusable == "prior" else np.full_like(prior, np.nan)] * len(usable.mask))
        if usable.mask.any():
            parts = zip(judged, self.estimators_, strict=True)
            given = [order_columns(found.prob[usable.mask], part.classes_, self.classes_) for found, part in parts]
            # Fusions that were saved before log-odds had floors know only the second of two classes.
            old = len(self.classes_) == 2 and self.final_estimator_[0].kw_args is None
            answer[usable.mask] = self._fuse(np.hstack([prob[:, 1:] if old else prob for prob in given]), method)
        return answer, usable

    def _fuse(self, prob: NDArray[np.float64], method: str) -> NDArray[np.float64]:
        """Return what the final estimator's method says of the classifiers' probabilities."""
        final = self.final_estimator_[-1]
        if not isinstance(final, LogisticRegression):
            return getattr(self.final_estimator_, method)(prob)
        # Not by matrix multiplication, whose last digit depends on how many records there are.
        known = self.final_estimator_[:-1].transform(prob)
        scores = (known[:, np.newaxis] * final.coef_).sum(axis=-1) + final.intercept_
        two = scores.shape[1] == 1
        if method == "decision_function":
            return scores[:, 0] if two else scores
        return softmax(np.hstack([0 * scores, scores]) if two else scores, axis=1)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return parameters, those of the classifiers among them.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return those of the classifiers too.

        Returns
        -------
        dict
            Names and values.
        """
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> FusionClassifier:
        """Set parameters, such as ``net__lr``, or a whole classifier by its name.

        Parameters
        ----------
        **params
            Names and values.

        Returns
        -------
        FusionClassifier
            Itself.
        """
        self._set_params("estimators", **params)
        return self

    @property
    def n_features_in_(self) -> int:
        """As the first classifier has it.

        Raises
        ------
        AttributeError
            Before `fit`.
        """
        if not hasattr(self, "estimators_"):
            raise AttributeError(f"This {type(self).__name__} is not fitted, so it has no n_features_in_.")
        return self.estimators_[0].n_features_in_


def log_odds(prob: ArrayLike, floors: list[float] | None = None) -> NDArray[np.float64]:
    """Return what the final estimator learns from: log-odds of each class against the first.

    Both columns of two classes are taken, since 1 - p has no digits left where p is near 1. A probability below its
    floor, 0 among them, has a logarithm bent upwards smoothly, so that that of 0 is finite and below all others.

    Parameters
    ----------
    prob : array-like of shape (n_records, n_classifiers * n_classes)
        Probabilities of each class by the first classifier, then by the next.
    floors : list of float, optional
        Of each classifier. None is for fusions that were saved by a version that knew no floors: log-odds of each
        column by itself, of probabilities between 1/1000 and 999/1000.

    Returns
    -------
    ndarray of shape (n_records, n_classifiers * (n_classes - 1))
        Log-odds.
    """
    given = np.asarray(prob, dtype=np.float64)
    if floors is None:
        return logit(np.clip(given, 1e-3, 1 - 1e-3))
    with np.errstate(divide="ignore"):
        logs = np.log(given).reshape(len(given), len(floors), -1)
    low = np.log(floors)[:, np.newaxis]
    bent = np.maximum(logs, low) - (1 - 1 / (1 + np.maximum(low - logs, 0)))
    return (bent[..., 1:] - bent[..., :1]).reshape(len(given), -1)


def find_floor(prob: NDArray[np.float64]) -> float:
    """Return the least probability whose logarithm is taken as it is: any, unless 0 is said, as forests do."""
    return float(prob[prob > 0].min() if (prob == 0).any() else np.finfo(np.float64).smallest_subnormal)


def _fit_regression(known: NDArray[np.float64], labels: NDArray, weights: NDArray | None) -> LogisticRegression:
    """Return logistic regression on log-odds without a penalty that is felt, rising if there is one column."""
    mean = np.average(known, axis=0, weights=weights)
    spread = np.sqrt(np.average((known - mean) ** 2, axis=0, weights=weights))
    flat = spread < 1e-12 * (1 + np.abs(mean))
    spread[flat] = 1.0
    scaled = (known - mean) / spread * ~flat
    least = np.bincount(np.unique(labels, return_inverse=True)[1], weights=weights).min()

    def fit(penalty: float) -> LogisticRegression:
        model = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-10, max_iter=1000)
        return model.fit(scaled, labels, sample_weight=weights)

    with warnings.catch_warnings():
        # Of separated classes the solver may not find the end, and it is not wanted.
        warnings.simplefilter("ignore", ConvergenceWarning)
        firm, loose = (np.linalg.norm(fit(share * least).coef_) for share in (_FIRM, _LOOSE))
    separated = loose > _GROWTH * firm
    line = fit(1.0 if separated else _FREE * least)
    if separated:
        warnings.warn(
            "Log-odds out of fold separate the classes: no slope is steep enough, so the final regression has a slight "
            "penalty (C=1 on standardised log-odds). Probabilities are too timid; more records would tell the slope.",
            stacklevel=3,
        )
    if line.coef_.size == 1 and line.coef_[0, 0] <= 0:
        warnings.warn(
            "Log-odds out of fold do not rise with the class: the classifier tells nothing of records that it has not "
            "seen. Probabilities are the class shares, and differ only to keep its order.",
            stacklevel=3,
        )
        line.coef_[:] = _NO_SLOPE
        line.intercept_[:] = logit(np.average(labels == line.classes_[1], weights=weights))
    # From here on in log-odds as they are.
    line.coef_ = line.coef_ / spread
    line.intercept_ = line.intercept_ - line.coef_ @ mean
    return line


def _check_estimators(estimators: Any) -> None:
    """Raise an error for what is no list of names and classifiers."""
    pairs = isinstance(estimators, list) and all(isinstance(part, tuple) and len(part) == 2 for part in estimators)
    if not estimators or not pairs:
        raise ValueError(f"estimators must be a list of (name, classifier) pairs; got {estimators!r}.")
    names = [name for name, _ in estimators]
    if len(set(names)) < len(names):
        raise ValueError(f"Names of estimators must differ; got {names}.")
    for name, part in estimators:
        if not hasattr(part, "predict_proba"):
            raise TypeError(f"Estimator {name!r} has no predict_proba, which fusion needs; got {part!r}.")
