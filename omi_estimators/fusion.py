"""Several models fused into one, cross-fitted by patient."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import sklearn
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from sklearn.base import ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Bunch, Tags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, check_is_fitted, column_or_1d

from omi_estimators._compat import BaseComposition
from omi_estimators._documentation import DocumentedMixin
from omi_estimators.splits import check_records, describe_records, make_splits, predict_out_of_fold, route_groups

__all__ = ["FusionClassifier"]

# A forest's probability may be 0 or 1, whose log-odds are infinite.
_CLIP = 1e-3


def _final_has_decision_function(fusion: FusionClassifier) -> bool:
    final = fusion.final_estimator
    return final is None or hasattr(final, "decision_function")


class FusionClassifier(DocumentedMixin, ClassifierMixin, BaseComposition):
    """Classifiers stacked by logistic regression on their log-odds, cross-fitted by patient.

    Each classifier is fitted in cross-validation in which no patient is on both sides, so that logistic
    regression learns from what the classifiers say of patients they have not seen; then each is fitted on all
    records. The weighted sum of log-odds that it learns also calibrates [1]_.

    With one classifier this is calibration: what `sklearn.calibration.CalibratedClassifierCV` does with
    ``method="sigmoid", ensemble=False``, but on log-odds, where it mends slope and prevalence exactly, and by
    patient for classifiers that know nothing of patients too. scikit-learn's `StackingClassifier` has no way
    for patients to its inner folds.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Names and classifiers with `predict_proba`; their parameters are reached as ``name__parameter``.
    final_estimator : estimator, optional
        What learns from the log-odds; logistic regression if None.
    cv : int, splitter or iterable of (train, test), default=5
        Inner folds. A number means shuffled, stratified folds, by patient if `groups` are given; where a
        class has fewer patients, as many folds as it has, with a warning.
    n_jobs : int, optional
        Classifiers, and folds of each, fitted at the same time.
    random_state : int, RandomState or None, default=None
        Seed of the folds.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    estimators_ : list of estimators
        The classifiers, fitted on all records.
    named_estimators_ : Bunch
        The same by name.
    final_estimator_ : estimator
        A pipeline from probabilities by way of log-odds to the fused probability.
    splits_ : list of (train, test)
        The inner folds.
    n_features_in_ : int
        As the first classifier has it.
    n_records_ : int
        Number of records it was fitted on.
    n_patients_ : int or None
        Number of patients among these, None without `groups`.
    class_prior_ : ndarray of shape (n_classes,)
        Share of each class in these records.

    Raises
    ------
    ValueError
        In `fit`: if `X`, `y` and `groups` do not fit together, there is one class only, or an inner fold has a
        patient on both sides.

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

    # Patients reach the inner folds by themselves wherever metadata routing is on.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True}

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        final_estimator: Any = None,
        *,
        cv: Any = 5,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike, *, groups: ArrayLike | None = None) -> FusionClassifier:
        """Fit every classifier in the inner folds and on all records, and the regression on their log-odds.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            What the classifiers take.
        y : array-like of shape (n_records,)
            Labels.
        groups : array-like of shape (n_records,), optional
            Patient of each record; also goes to each classifier that asks for it by metadata routing.

        Returns
        -------
        FusionClassifier
            Itself, fitted.
        """
        names, parts = _check_estimators(self.estimators)
        check_classification_targets(y)
        assert_all_finite(y, input_name="y")
        labels, _, patients = check_records(X, column_or_1d(y, warn=True), groups)
        self.splits_ = make_splits(
            X, labels, groups=patients, cv=self.cv, random_state=self.random_state, on_few="warn"
        )
        given = [predict_out_of_fold(part, X, labels, patients, self.splits_, n_jobs=self.n_jobs) for part in parts]
        final = LogisticRegression(max_iter=1000) if self.final_estimator is None else clone(self.final_estimator)
        self.final_estimator_ = make_pipeline(FunctionTransformer(log_odds), final).fit(_join(given), labels)
        with sklearn.config_context(enable_metadata_routing=True):
            self.estimators_ = [clone(part).fit(X, labels, **route_groups(part, patients)) for part in parts]
        self.named_estimators_ = Bunch(**dict(zip(names, self.estimators_, strict=True)))
        self.classes_ = self.final_estimator_.classes_
        self.n_records_, self.n_patients_, self.class_prior_ = describe_records(labels, patients)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the fused probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            What the classifiers take.

        Returns
        -------
        ndarray of shape (n_records, n_classes)
            Probabilities; rows sum to 1.
        """
        check_is_fitted(self)
        return self.final_estimator_.predict_proba(self._ask(X))

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
            Log-odds of the second of two classes, or a score for each of more classes.
        """
        check_is_fitted(self)
        return self.final_estimator_.decision_function(self._ask(X))

    def _ask(self, X: Any) -> NDArray[np.float64]:
        """Return what the classifiers say of each record, as the final estimator takes it."""
        return _join([part.predict_proba(X) for part in self.estimators_])

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            What the classifiers take.

        Returns
        -------
        ndarray of shape (n_records,)
            Class labels.
        """
        prob = self.predict_proba(X)
        return self.classes_[prob.argmax(axis=1)]

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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = [get_tags(part).input_tags for _, part in self.estimators]
        tags.input_tags.sparse = all(part.sparse for part in inner)
        tags.input_tags.allow_nan = all(part.allow_nan for part in inner)
        tags.input_tags.three_d_array = all(part.three_d_array for part in inner)
        return tags


def log_odds(prob: ArrayLike) -> NDArray[np.float64]:
    """Return log-odds of probabilities, those nearer to 0 or 1 than 1/1000 moved to it.

    Parameters
    ----------
    prob : array-like
        Probabilities.

    Returns
    -------
    ndarray of the same shape
        Log-odds.
    """
    return logit(np.clip(np.asarray(prob, dtype=np.float64), _CLIP, 1 - _CLIP))


def _join(probabilities: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the probabilities of all classifiers side by side; of two classes, that of the second says it all."""
    return np.hstack([prob[:, 1:] if prob.shape[1] == 2 else prob for prob in probabilities])


def _check_estimators(estimators: Any) -> tuple[list[str], list[Any]]:
    """Return names and classifiers; raise an error for what is no list of them."""
    pairs = isinstance(estimators, list) and all(isinstance(part, tuple) and len(part) == 2 for part in estimators)
    if not estimators or not pairs:
        raise ValueError(f"estimators must be a list of (name, classifier) pairs; got {estimators!r}.")
    names, parts = map(list, zip(*estimators, strict=True))
    if len(set(names)) < len(names):
        raise ValueError(f"Names of estimators must differ; got {names}.")
    for name, part in estimators:
        if not hasattr(part, "predict_proba"):
            raise TypeError(f"Estimator {name!r} has no predict_proba, which fusion needs; got {part!r}.")
    return names, parts
