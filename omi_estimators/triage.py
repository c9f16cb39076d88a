"""From probabilities to risk tiers, with thresholds chosen on patients that the model was not fitted on."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from omi_estimators._compat import HasMethods, Interval, StrOptions, fit_context
from omi_estimators._validation import make_rng
from omi_estimators.metrics import TierThresholds, assign_tiers, count_tiers, tier_thresholds
from omi_estimators.preprocessing import Judgement, judge, report_unusable
from omi_estimators.splits import CrossFittedClassifier, Splits, order_columns

__all__ = ["RiskTierClassifier", "tier_table"]


class TieredClassifier(CrossFittedClassifier, MetaEstimatorMixin):
    """Base of classifiers of two classes around one, `estimator`, whose `thresholds_` make risk tiers.

    A subclass says by `_find_tiers` whose settings its tiers have, None if it has no tiers.
    """

    def _find_tiers(self) -> RiskTierClassifier | None:
        raise NotImplementedError

    def _name_parts(self) -> dict[str, Any]:
        return {"estimator": self.estimator}

    def _keep_input(self) -> Self:
        """Keep, in place, what the fitted classifier knows of its input."""
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        return self

    def _choose(self, prob: NDArray[np.float64]) -> NDArray[np.intp]:
        tiers, column = self._find_tiers(), self._positive_column()
        if tiers is None or tiers.predict_by == "probability":
            return super()._choose(prob)
        return np.where(prob[:, column] >= self.thresholds_.max_f1.estimate, column, 1 - column)

    @available_if(lambda self: self._find_tiers() is not None)
    def predict_tier(self, X: Any) -> NDArray[np.str_]:
        """Return the risk tier of each record.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            What the classifier takes.

        Returns
        -------
        ndarray of shape (n_records,) of str
            "rule-out", "low", "high" or "rule-in"; "not judged" for a record that cannot be judged, with a warning.
        """
        prob, usable = self.judge(X)
        report_unusable(usable, on_error="warn", consequence="given no tier")
        found = self.thresholds_
        ends = (found.rule_out.estimate, found.max_f1.estimate, found.rule_in.estimate)
        return assign_tiers(prob[:, self._positive_column()], *ends, usable=usable.mask)

    def _positive_column(self) -> int:
        return int(np.flatnonzero(self.classes_ == self.pos_label_)[0])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


class RiskTierClassifier(TieredClassifier, BaseEstimator):
    """A classifier whose thresholds make risk tiers, chosen on patients it was not fitted on.

    Like scikit-learn's `TunedThresholdClassifierCV`: the classifier is cross-validated by patient, thresholds
    come from the out-of-fold probabilities, and the classifier is then fitted on all records. The tiers are
    "rule-out", "low", "high" and "rule-in"; "low" and "high" part where F1 is greatest. Records that the classifier
    cannot judge have no say in the thresholds, and get no tier.

    Thresholds are themselves estimates. Their intervals say how far they would move with other patients, and
    the promises they keep on the training patients, such as a sensitivity of 0.90, are broken on all patients about
    every second time. With `guarantee` each is kept with that probability; see
    `omi_estimators.metrics.tier_thresholds` for what is promised, and how. It is taken for granted that patients to
    come are like these, and that the classifiers of the folds, which give the out-of-fold probabilities, and the one
    that is fitted on all records give patients they have not seen probabilities of the same distribution. The
    second need not be taken for granted where the classifier is fitted on other patients and frozen:
    ``RiskTierClassifier(FrozenEstimator(fitted), guarantee=0.9)``. Judge the fitted object on records of its own.

    Parameters
    ----------
    estimator : estimator
        A classifier with `predict_proba` for two classes.
    sensitivity : float, default=0.9
        The least share of positives above the rule-out threshold.
    ppv : float, default=0.85
        The least share of positives among those ruled in, at the prevalence of the training data.
    guarantee : float, optional
        The probability, over cohorts to be fitted on, with which the sensitivity is kept for patients to come, and
        that with which the PPV is: from 0.5 to below 1. If None, both are kept on the training patients only.
    pos_label : object, optional
        The positive class; the second in sorted order if None.
    predict_by : {"probability", "tier"}, default="probability"
        Whether `predict` gives the more probable class, as scikit-learn's contract has it, or the positive
        class for the tiers "high" and "rule-in", as a decision needs where positives are rare.
    cv : int, splitter or iterable of (train, test), default=5
        Folds. A number means shuffled, stratified folds, by patient if `groups` are given; where a class has
        fewer patients, as many folds as it has, with a warning.
    on_unreachable : {"warn", "raise"}, default="warn"
        Where no threshold reaches `ppv`, or none can be promised to: a warning, and nobody is ruled in; or an error.
    n_resamples : int, default=1000
        Resamples of the bootstrap of patients for the thresholds' intervals.
    confidence_level : float, default=0.95
        Level of these intervals.
    n_jobs : int, optional
        Folds fitted at the same time.
    random_state : int, RandomState or None, default=None
        Seed of folds and bootstrap.
    verbose : int, default=0
        1 shows the progress through the folds, in a terminal or a notebook.

    Attributes
    ----------
    thresholds_ : TierThresholds
        `rule_out`, `max_f1` and `rule_in`, each with its interval, and the `guarantee` that they were chosen with.
    estimator_ : estimator
        The classifier, fitted on all records.
    classes_ : ndarray of shape (2,)
        Class labels.
    pos_label_ : object
        The positive class.
    out_of_fold_ : ndarray of shape (n_records,)
        Probability of the positive class that the thresholds were chosen on: what the classifiers of the folds say,
        with log-odds moved by Bayes' rule from the prevalence of their training records to that of all, for which
        `estimator_` answers. With the same prevalence in every fold nothing moves; nor if the classifier is frozen.
    usable_ : ndarray of bool, shape (n_records,)
        Which of these mean something.
    fold_ : ndarray of int, shape (n_records,)
        The fold of each of these, within which to rank for an AUROC; -1 where no fold tests the record.
    n_features_in_ : int
        As the fitted classifier has it.
    n_records_ : int
        Number of records it was fitted on.
    n_patients_ : int or None
        Number of patients among these, None without `groups`.
    class_prior_ : ndarray of shape (2,)
        Share of each class in these records, by weight if weights were given.

    Raises
    ------
    ValueError
        In `fit`: if `X`, `y`, `sample_weight` and `groups` do not fit together, `y` has not two classes, no record of
        a class can be judged, a fold has a patient on both sides, or `ppv` is not reached with
        ``on_unreachable="raise"``. With `guarantee`: if weights differ, or too few patients have events.

    Warns
    -----
    UnusableRecordWarning
        If records cannot be judged.

    See Also
    --------
    omi_estimators.metrics.tier_thresholds : The thresholds alone, from labels and probabilities.
    tier_table : What each tier holds.

    References
    ----------
    Al-Zaiti S. S. et al., Machine learning for ECG diagnosis and risk stratification of occlusion myocardial
    infarction, Nature Medicine 29:1804-1813, 2023. doi:10.1038/s41591-023-02396-3

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from omi_estimators import RiskTierClassifier
    >>> rng = np.random.default_rng(0)
    >>> patients = np.arange(200) // 2
    >>> y = (patients % 4 == 0).astype(int)
    >>> X = rng.normal(size=(200, 2)) + 1.5 * y[:, np.newaxis]
    >>> tiers = RiskTierClassifier(LogisticRegression(), random_state=0).fit(X, y, groups=patients)
    >>> tiers.predict_tier([[-1.0, -1.0], [4.0, 4.0]]).tolist()
    ['rule-out', 'rule-in']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "sensitivity": [Interval(Real, 0, 1, closed="right")],
        "ppv": [Interval(Real, 0, 1, closed="right")],
        "guarantee": [Interval(Real, 0.5, 1, closed="left"), None],
        "pos_label": "no_validation",
        "predict_by": [StrOptions({"probability", "tier"})],
        "cv": ["cv_object"],
        "on_unreachable": [StrOptions({"warn", "raise"})],
        "n_resamples": [Interval(Integral, 1, None, closed="left")],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # What models of files have that were saved before there was this parameter.
    guarantee: float | None = None

    def __init__(
        self,
        estimator: Any,
        *,
        sensitivity: float = 0.9,
        ppv: float = 0.85,
        guarantee: float | None = None,
        pos_label: Any = None,
        predict_by: str = "probability",
        cv: Any = 5,
        on_unreachable: str = "warn",
        n_resamples: int = 1000,
        confidence_level: float = 0.95,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.sensitivity = sensitivity
        self.ppv = ppv
        self.guarantee = guarantee
        self.pos_label = pos_label
        self.predict_by = predict_by
        self.cv = cv
        self.on_unreachable = on_unreachable
        self.n_resamples = n_resamples
        self.confidence_level = confidence_level
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: Any, y: ArrayLike, *, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> RiskTierClassifier:
        """Choose the thresholds out of fold, and fit the classifier on all records.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            What the classifier takes.
        y : array-like of shape (n_records,)
            Two classes.
        sample_weight : array-like of shape (n_records,), optional
            Weights in the thresholds, where with `guarantee` all must be equal, and in `class_prior_`; they also go to
            the classifier if it asks for them by metadata routing, or, without routing, if it takes them.
        groups : array-like of shape (n_records,), optional
            Patient of each record; also goes to the classifier if it asks for it by metadata routing.

        Returns
        -------
        RiskTierClassifier
            Itself, fitted.
        """
        rng = make_rng(self.random_state)
        done = self._cross_fit(X, y, sample_weight, groups, rng, "left out of the choice of thresholds")
        [found], [self.estimator_], kept = done.found, done.fitted, done.kept
        self.usable_, self.fold_ = found.usable.mask, found.fold
        positive = done.labels == self.pos_label_
        self.out_of_fold_ = found.prob[:, self._positive_column()]
        final = self.estimator[-1] if isinstance(self.estimator, Pipeline) else self.estimator
        if not isinstance(final, FrozenEstimator):
            learned = (found.usable.mask | (found.fold < 0)) * done.params[0].get("sample_weight", 1.0)
            self.out_of_fold_ = _move_to_prevalence(self.out_of_fold_, positive, learned, done.splits)
        self.thresholds_: TierThresholds = tier_thresholds(
            positive[kept],
            self.out_of_fold_[kept],
            sensitivity=self.sensitivity,
            ppv=self.ppv,
            guarantee=self.guarantee,
            sample_weight=None if done.weights is None else done.weights[kept],
            groups=None if done.patients is None else done.patients[kept],
            on_unreachable=self.on_unreachable,
            n_resamples=self.n_resamples,
            confidence_level=self.confidence_level,
            random_state=rng,
        )
        return self._keep_input()

    def _find_tiers(self) -> RiskTierClassifier:
        return self

    def _check_classes(self, labels: NDArray, patients: NDArray | None) -> None:
        self.pos_label_ = _find_positive(labels, self.classes_, self.pos_label)

    def judge(self, X: Any) -> Judgement:
        """Return the classifier's probability of each class, and which records it means something for.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            What the classifier takes.

        Returns
        -------
        Judgement
            Probabilities, and the records that the classifier can judge.
        """
        check_is_fitted(self)
        prob, usable = judge(self.estimator_, X)
        return Judgement(order_columns(prob, self.estimator_.classes_, self.classes_), usable)


def _move_to_prevalence(
    prob: NDArray[np.float64], positive: NDArray[np.bool_], weights: NDArray[np.float64], splits: Splits
) -> NDArray[np.float64]:
    """Return probabilities with log-odds moved from the prevalence of each fold's training records to that of all.

    A fold that tests more positives than others leaves fewer to train on, so that the answers of its classifier are
    lower: the answers of a classifier that knows nothing but the prevalence would rank records the wrong way round.
    """

    def odds(rows: Any) -> float:
        return (weights[rows] @ positive[rows]) / (weights[rows] @ ~positive[rows])

    moves = np.zeros(len(prob))
    for train, test in splits:
        moves[test] = np.log(odds(slice(None)) / odds(train))
    # Rounded, since the last digits would rank equal answers of different folds.
    return expit(np.round(logit(prob) + moves, 10)) if moves.any() else prob


def _find_positive(labels: NDArray, classes: NDArray, pos_label: Any) -> Any:
    """Return the positive class of two; raise a ValueError for more classes, or a label that is none."""
    if type_of_target(labels, input_name="y") != "binary":
        raise ValueError(
            f"Only binary classification is supported: risk tiers need two classes; got {len(classes)}. "
            "Name one against the rest: y == positive_label."
        )
    if pos_label is None:
        return classes[1]
    if pos_label not in classes.tolist():
        raise ValueError(f"pos_label must be one of the classes, {classes.tolist()}; got {pos_label!r}.")
    return pos_label


def tier_table(
    y_true: ArrayLike, tiers: ArrayLike, *, groups: ArrayLike | None = None, confidence_level: float = 0.95
) -> pd.DataFrame:
    """Return what each risk tier holds: records, events, and the share of events with its interval.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        Labels: 0 and 1, -1 and 1, or booleans.
    tiers : array-like of shape (n_records,) of str
        As from `RiskTierClassifier.predict_tier`.
    groups : array-like of shape (n_records,), optional
        Patient of each record. Without it each record counts as a patient of its own.
    confidence_level : float, default=0.95
        Level of the intervals, Wilson's, widened where records of a patient are alike.

    Returns
    -------
    DataFrame
        One row for each tier, lowest risk first, and a last one for records that were not judged if there are any:
        `n_records`, `n_events`, `share_of_records`, `share_of_events`, and `event_rate` with `event_rate_low` and
        `event_rate_high` (NaN if empty).

    Raises
    ------
    ValueError
        If labels, tiers and groups do not fit together, or a tier is none.

    Examples
    --------
    >>> from omi_estimators.triage import tier_table
    >>> table = tier_table([0, 0, 1, 0, 1], ["rule-out", "rule-out", "low", "high", "rule-in"])
    >>> table["n_events"].to_dict()
    {'rule-out': 0, 'low': 1, 'high': 0, 'rule-in': 1}
    """
    counts = count_tiers(y_true, tiers, groups, confidence_level)
    n_records, n_events = (sum(getattr(found, key) for found in counts.values()) for key in ("n_records", "n_events"))
    rows = {
        tier: {
            "n_records": found.n_records,
            "n_events": found.n_events,
            "share_of_records": found.n_records / n_records,
            "share_of_events": found.n_events / n_events,
            "event_rate": found.rate,
            "event_rate_low": found.low,
            "event_rate_high": found.high,
        }
        for tier, found in counts.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("tier")
