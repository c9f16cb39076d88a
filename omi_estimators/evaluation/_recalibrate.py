"""A fitted model on another hospital's records: its probabilities moved as far as these can tell, and no further."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, expit, logit
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import isotonic_regression
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from omi_estimators._compat import HasMethods, Interval, StrOptions, fit_context
from omi_estimators._validation import make_rng
from omi_estimators.fusion import find_floor, log_odds
from omi_estimators.metrics import TierThresholds, calibration_slope_intercept, tier_thresholds
from omi_estimators.preprocessing import Judgement, check_usable, judge, report_unusable
from omi_estimators.splits import check_records, order_columns
from omi_estimators.triage import RiskTierClassifier, TieredClassifier

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Codes = NDArray[np.intp]

# Patients with events, and patients without, that each method takes: ten for each number that it estimates, and for a
# curve as many as a calibration curve does.
LEAST_EVENTS = {"intercept": 10, "slope": 20, "isotonic": 200}

# Log-odds further out have no say in a fit, as in `omi_estimators.metrics.calibration_slope_intercept`.
_CLIP = 1e-6
# That far out, moved log-odds still have digits as probabilities.
_FAR = 1e-12

# What lies at a threshold belongs to the tier above, also where rounding moves it otherwise than the threshold.
_HAIR = 1e-9

_SAYS = {
    "none": "nothing is changed",
    "intercept": "the intercept is moved",
    "slope": "intercept and slope are moved",
    "isotonic": "log-odds are moved along a curve",
}

_SIZES = (50, 100, 200, 400, 800, 1600, 3200)


class Update(NamedTuple):
    """A strictly rising map of log-odds, and how it was found.

    Attributes
    ----------
    method : str
        "none", "intercept", "slope" or "isotonic".
    knots : ndarray of shape (2, n_knots)
        Log-odds, and what becomes of them; between two knots the map is a line.
    slope : float
        Its slope beyond the first and the last knot.
    found : dict of str to object
        What the records say of the probabilities as they were, for the history.
    """

    method: str
    knots: Floats
    slope: float
    found: dict[str, Any]


def recalibrate(
    model: Any,
    X: Any,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    method: str = "auto",
    tiers: str = "choose",
    min_events: int | None = None,
    significance: float = 0.05,
    date: Any = None,
    random_state: int | np.random.RandomState | None = None,
) -> RecalibratedClassifier:
    """Return a fitted classifier with its probabilities recalibrated on records of another place or time.

    The model itself stays as it is; `RecalibratedClassifier` says what is moved, when, and why. Judge the result on
    patients that were not given here.

    Parameters
    ----------
    model : estimator
        A fitted classifier of two classes with `predict_proba`, of this package or of scikit-learn. It must not have
        been fitted on these patients.
    X : array-like of shape (n_records, ...)
        What the model takes.
    y : array-like of shape (n_records,)
        Labels, of the classes of the model.
    groups : array-like of shape (n_records,), optional
        Patient of each record. Without it each record counts as a patient of its own.
    method, tiers, min_events, significance, date, random_state
        As in `RecalibratedClassifier`.

    Returns
    -------
    RecalibratedClassifier
        Fitted, with the model frozen in it. `omi_estimators.save` takes it.

    Raises
    ------
    ValueError
        If `X`, `y` and `groups` do not fit together or `y` has other classes than the model; if too few patients have
        events, or have none, for the method or for the promise of the tiers, and then how many it takes; if the
        log-odds of the model do not rise with the class; or, with ``method="slope"``, if they separate the classes.

    Warns
    -----
    UnusableRecordWarning
        If records cannot be judged; they are left out.

    See Also
    --------
    recalibration_gain : What so many patients buy, on others.

    Examples
    --------
    A model that is twice as sure as it should be, at a hospital with twice the prevalence.

    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from omi_estimators import recalibrate
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(800) % 4 == 0
    >>> X = rng.normal(size=(800, 1)) + 2 * y[:, np.newaxis]
    >>> model = LogisticRegression(C=np.inf).fit(X, y)
    >>> there = np.arange(600) % 2 == 0
    >>> X_there = rng.normal(size=(600, 1), scale=2) + 2 * there[:, np.newaxis]
    >>> recalibrated = recalibrate(model, X_there, there, date="2026-03-01")
    >>> recalibrated.method_
    'slope'
    >>> [round(recalibrated.history_[0][name], 2) for name in ("slope", "intercept")]
    [0.24, 1.13]
    """
    return RecalibratedClassifier(
        FrozenEstimator(model),
        method=method,
        tiers=tiers,
        min_events=min_events,
        significance=significance,
        date=date if date is None else str(date),
        random_state=random_state,
    ).fit(X, y, groups=groups)


class RecalibratedClassifier(TieredClassifier, BaseEstimator):
    r"""A classifier whose log-odds are moved to what its answers mean among other patients.

    `recalibrate` makes one of a fitted model. The log-odds :math:`z` of the second class become

    - ``"intercept"``: :math:`a + z`, for another prevalence, or other cases of the same kind;
    - ``"slope"``: :math:`a + b z`, for answers that are too sure (:math:`b < 1`) or too cautious as well;
    - ``"isotonic"``: a rising curve, straight between the centres of the blocks of isotonic regression [1]_, and
      parallel to :math:`z` beyond them. In a block without events, or of events alone,
      half a record of the other class is added.

    None of them changes the order of records, ties included: isotonic regression itself would make steps of them.
    A record's tier can therefore be told before and after.

    ``"auto"`` is closed testing [2]_ of no change, intercept, and slope, largest first: where intercept and slope
    together are no better than no change, nothing is changed; else, where the slope adds nothing to the intercept, the
    intercept is moved; else both. So a model that needs no change is changed with a probability of about
    `significance`, however many updates there are to choose from, and few patients move little: with them, updates of
    more parameters are worse than none [3]_. It never takes the curve, which needs many events and is to be asked for;
    `recalibration_gain` shows what it would buy.

    The tests are of likelihood ratios, each divided by how much more the records of patients vary than independent
    ones would (first-order correction of Rao and Scott [4]_, with the variance between patients). Without that, 1.4
    records per patient make of 5 % false alarms 14 %.

    Of a `RiskTierClassifier` (frozen, or recalibrated already) the thresholds are chosen anew, with the same
    sensitivity, PPV and guarantee. A strictly rising map moves them with the records, so that they make the tiers that
    thresholds on the frozen model's answers would make: those of a model that saw none of these patients. Their
    sensitivity, PPV and guarantee hold as they do for ``RiskTierClassifier(FrozenEstimator(model))``, and cross-fitting
    the map would add nothing but folds with different maps.

    Records that cannot be judged are left out. Where the model has an answer for them, as a rule the class shares of
    its training data, it becomes the class shares of these records, unless nothing is changed; NaN stays NaN.

    An estimator that is not frozen is fitted: in folds by patient, from which the map is learned, and on all records.

    Parameters
    ----------
    estimator : estimator
        A classifier of two classes with `predict_proba`; a fitted one as `sklearn.frozen.FrozenEstimator`.
    method : {"auto", "intercept", "slope", "isotonic"}, default="auto"
        What may be moved.
    tiers : {"choose", "move"}, default="choose"
        For a `RiskTierClassifier`: thresholds chosen anew, or every record in the tier in which it was, with thresholds
        that are moved as the probabilities are. Then the promises made at fitting are not renewed.
    min_events : int, optional
        The least number of patients with events, and of patients without. If None, 10 for the intercept and 20 for
        intercept and slope, which is ten for each number to estimate [5]_; 200 for the curve, as for the curve of a
        validation [6]_. "auto" takes 10, and does not try the slope below 20.
    significance : float, default=0.05
        Level of the tests of "auto".
    date : str, optional
        Date of the records for `history_`; today if None.
    cv : int, splitter or iterable of (train, test), default=5
        Folds for an estimator that is not frozen.
    n_jobs : int, optional
        Folds at the same time.
    random_state : int, RandomState or None, default=None
        Seed of folds, and of the bootstrap of patients for the intervals of thresholds.

    Attributes
    ----------
    method_ : str
        "none" (no change), "intercept", "slope" or "isotonic".
    knots_ : ndarray of shape (2, n_knots)
        Log-odds, and what becomes of them; between two knots the map is a line.
    slope_ : float
        Slope of the map beyond the first and the last knot.
    floor_ : float
        Probabilities below it, 0 among them, have log-odds bent upwards, so that these are finite.
    history_ : list of dict
        One for each recalibration, oldest first: `date`, `method`, numbers of records (`n_records`; `n_unusable` were
        left out), of patients and of patients with events (`n_patients`, `n_events`), `slope` and `intercept` of the
        model as it was here with their standard errors, the p-values `p_change` and `p_slope`, and in words what was
        chosen and why (`reason`). None stands for what there is not.
    thresholds_ : TierThresholds
        Thresholds of a `RiskTierClassifier` on the recalibrated probabilities.
    tiers_ : RiskTierClassifier or None
        The one inside, with the promises that were asked for.
    estimator_ : estimator
        The classifier.
    pos_label_ : object
        The positive class of the tiers; the second class without tiers.
    classes_ : ndarray of shape (2,)
        Class labels.
    class_prior_ : ndarray of shape (2,)
        Share of each class in these records.
    n_features_in_ : int
        As the classifier has it.
    n_records_ : int
        Number of records given.
    n_patients_ : int or None
        Number of patients among these, None without `groups`.

    Raises
    ------
    ValueError
        In `fit`: as in `recalibrate`.

    Warns
    -----
    UnusableRecordWarning
        If records cannot be judged.

    See Also
    --------
    omi_estimators.fusion.FusionClassifier : Calibration at fitting, on the training patients.

    References
    ----------
    .. [1] Oron A. P., Flournoy N., Centered isotonic regression: point and interval estimation for dose-response
       studies, Statistics in Biopharmaceutical Research 9:258-267, 2017. doi:10.1080/19466315.2017.1286256
    .. [2] Vergouwe Y. et al., A closed testing procedure to select an appropriate method for updating prediction
       models, Statistics in Medicine 36:4529-4539, 2017. doi:10.1002/sim.7179
    .. [3] Steyerberg E. W. et al., Validation and updating of predictive logistic regression models: a study on sample
       size and shrinkage, Statistics in Medicine 23:2567-2586, 2004. doi:10.1002/sim.1844
    .. [4] Rao J. N. K., Scott A. J., On chi-squared tests for multiway contingency tables with cell proportions
       estimated from survey data, Annals of Statistics 12:46-60, 1984. doi:10.1214/aos/1176346391
    .. [5] Peduzzi P. et al., A simulation study of the number of events per variable in logistic regression analysis,
       Journal of Clinical Epidemiology 49:1373-1379, 1996. doi:10.1016/S0895-4356(96)00236-3
    .. [6] Van Calster B. et al., A calibration hierarchy for risk models was defined: from utopia to empirical data,
       Journal of Clinical Epidemiology 74:167-176, 2016. doi:10.1016/j.jclinepi.2015.12.005

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.linear_model import LogisticRegression
    >>> from omi_estimators.evaluation import RecalibratedClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(800) % 3 == 0
    >>> X = rng.normal(size=(800, 1)) + 2 * y[:, np.newaxis]
    >>> model = LogisticRegression(C=np.inf).fit(X[:400], y[:400])
    >>> RecalibratedClassifier(FrozenEstimator(model)).fit(X[400:] / 2, y[400:]).method_
    'slope'
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "method": [StrOptions({"auto", *LEAST_EVENTS})],
        "tiers": [StrOptions({"choose", "move"})],
        "min_events": [Interval(Integral, 1, None, closed="left"), None],
        "significance": [Interval(Real, 0, 1, closed="neither")],
        "date": [str, None],
        "cv": ["cv_object"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        method: str = "auto",
        tiers: str = "choose",
        min_events: int | None = None,
        significance: float = 0.05,
        date: str | None = None,
        cv: Any = 5,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimator = estimator
        self.method = method
        self.tiers = tiers
        self.min_events = min_events
        self.significance = significance
        self.date = date
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: ArrayLike, *, groups: ArrayLike | None = None) -> RecalibratedClassifier:
        """Learn how to move log-odds, and choose thresholds anew.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            What the classifier takes.
        y : array-like of shape (n_records,)
            Two classes; those of the classifier, if it is frozen.
        groups : array-like of shape (n_records,), optional
            Patient of each record.

        Returns
        -------
        RecalibratedClassifier
            Itself, fitted.
        """
        rng = make_rng(self.random_state)
        done = self._cross_fit(X, y, None, groups, rng, "left out of the recalibration")
        [found], [self.estimator_], kept = done.found, done.fitted, done.kept
        positive = done.labels[kept] == self.classes_[1]
        patients = np.arange(len(kept)) if done.patients is None else done.patients
        prob, units = found.prob[kept], np.unique(patients[kept], return_inverse=True)[1]
        self.floor_ = find_floor(prob)
        update = find_update(
            positive, self._find_log_odds(prob), units, self.method, self.min_events, self.significance
        )
        self.method_, self.knots_, self.slope_ = update.method, update.knots, update.slope
        self.tiers_: Any = self._find_tiers()
        self.pos_label_ = self.classes_[1] if self.tiers_ is None else self.tiers_.pos_label_
        if self.tiers_ is not None:
            self.thresholds_ = self._find_thresholds(positive, self._move(prob), units, rng)
        # The slope and the intercept that a validation of the same records would tell.
        line = calibration_slope_intercept(positive, prob[:, 1])
        numbers = {"n_records": len(positive), "n_unusable": int((~kept).sum()), "n_patients": int(units.max()) + 1}
        entry = {"date": self.date or datetime.now(UTC).date().isoformat(), "method": self.method_, **numbers}
        figures = {"slope": line.slope, "intercept": line.intercept} | update.found
        # Not NaN, which equals nothing, so that no two histories were equal.
        entry |= {name: None if value != value else value for name, value in figures.items()}
        before = self.estimator_.estimator if isinstance(self.estimator_, FrozenEstimator) else self.estimator_
        self.history_: list[dict[str, Any]] = [
            *(before.history_ if isinstance(before, RecalibratedClassifier) else []),
            entry,
        ]
        return self._keep_input()

    def _find_tiers(self) -> RiskTierClassifier | None:
        found: Any = self
        while isinstance(found, FrozenEstimator | RecalibratedClassifier):
            found = vars(found).get("estimator_", found.estimator)
        return found if isinstance(found, RiskTierClassifier) else None

    def _check_classes(self, labels: NDArray, patients: NDArray | None) -> None:
        if type_of_target(labels, input_name="y") != "binary":
            raise ValueError(
                f"Only binary classification is supported: recalibration takes two classes; got {len(self.classes_)}. "
                "Name one against the rest: y == positive_label."
            )
        if isinstance(self.estimator, FrozenEstimator):
            check_is_fitted(self.estimator)
            _check_same_classes(self.classes_, self.estimator.classes_)
        units = np.arange(len(labels)) if patients is None else np.unique(patients, return_inverse=True)[1]
        # Before anything is measured; of the records that can be judged it is asked again.
        _check_events(labels == self.classes_[1], units, self.method, self.min_events)

    def _make_splits(self, X: Any, labels: NDArray, patients: NDArray | None, rng: Any) -> Any:
        if not isinstance(self.estimator, FrozenEstimator):
            return super()._make_splits(X, labels, patients, rng)
        # Nothing is fitted, and all records are judged at once: by a slice, which copies none.
        return [(slice(0), slice(None))]

    def _find_log_odds(self, prob: Floats) -> Floats:
        return log_odds(prob, [self.floor_])[:, 0]

    def _move(self, prob: Floats) -> Floats:
        """Return the recalibrated probabilities of records that can be judged."""
        if self.method_ == "none":
            return prob
        moved = move_log_odds(self._find_log_odds(prob), self.knots_, self.slope_)
        return np.column_stack([expit(-moved), expit(moved)])

    def _find_thresholds(self, positive: Mask, prob: Floats, units: Codes, rng: Any) -> TierThresholds:
        """Return thresholds chosen anew on recalibrated probabilities, or the old ones moved."""
        found, column = self.tiers_, self._positive_column()
        if self.tiers == "move":
            old = self.estimator_.thresholds_
            names = ("rule_out", "max_f1", "rule_in")
            return replace(old, **{name: self._move_interval(getattr(old, name), column) for name in names})
        try:
            return tier_thresholds(
                positive if column == 1 else ~positive,
                prob[:, column],
                sensitivity=found.sensitivity,
                ppv=found.ppv,
                guarantee=found.guarantee,
                groups=units,
                on_unreachable=found.on_unreachable,
                n_resamples=found.n_resamples,
                confidence_level=found.confidence_level,
                random_state=rng,
            )
        except ValueError as error:
            raise ValueError(f"{error} Or leave every record in its tier: tiers='move'.") from error

    def _move_interval(self, interval: Any, column: int) -> Any:
        """Return an interval of thresholds moved as probabilities are; an infinite threshold stays so."""

        def move(value: float) -> float:
            if not 0 <= value <= 1:
                return value
            moved = self._move(np.array([[1 - value, value][:: 1 if column else -1]]))[0, column]
            return value if self.method_ == "none" else float(expit(logit(moved) - _HAIR))

        return replace(interval, **{name: move(getattr(interval, name)) for name in ("estimate", "low", "high")})

    def judge(self, X: Any) -> Judgement:
        """Return the recalibrated probability of each class, and which records it means something for.

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
        prob = order_columns(prob, self.estimator_.classes_, self.classes_)
        if self.method_ != "none":
            # NaN stays NaN.
            answer = np.where(np.isnan(prob), prob, self.class_prior_)
            answer[usable.mask] = self._move(prob[usable.mask])
            prob = answer
        return Judgement(prob, usable)


def _check_same_classes(found: NDArray, known: NDArray) -> None:
    """Raise a ValueError if labels are not of the two classes that a model tells from each other."""
    if len(found) != 2 or found.tolist() != known.tolist():
        raise ValueError(
            f"y holds the classes {found.tolist()}, the model knows {known.tolist()}. Give labels as they were in its "
            "fit, of both classes."
        )


def move_log_odds(z: Floats, knots: Floats, slope: float) -> Floats:
    """Return log-odds moved along a line through each two knots, and beyond them with a slope."""
    beyond = np.minimum(z - knots[0, 0], 0) + np.maximum(z - knots[0, -1], 0)
    moved: Floats = np.interp(z, *knots) + slope * beyond
    return moved


def find_update(
    positive: Mask, z: Floats, units: Codes, method: str, min_events: int | None, significance: float
) -> Update:
    """Return how to move log-odds, by the method or by closed testing of methods.

    Parameters
    ----------
    positive : ndarray of shape (n_records,), bool
        Whether each record is of the second class.
    z : ndarray of shape (n_records,)
        Log-odds of the model.
    units : ndarray of shape (n_records,)
        Patients as codes from 0.
    method : {"auto", "intercept", "slope", "isotonic"}
        What may be moved.
    min_events : int or None
        The least number of patients with events, and without, if not that of the method.
    significance : float
        Level of the tests.

    Returns
    -------
    Update
        The map.

    Raises
    ------
    ValueError
        As in `recalibrate`.
    """
    n_events, fewest = _check_events(positive, units, method, min_events)
    lines = Lines(positive, z, units)
    if method != "intercept" and lines.slope <= 0:
        raise ValueError(
            f"The log-odds of the model do not rise with the class here (calibration slope {lines.slope:.3g}), and no "
            "recalibration mends that. Check that labels, units and leads are those that the model was fitted for."
        )
    p_slope, reason = math.nan, f"{_SAYS.get(method)}, as asked for"
    p_change = lines.p_of_intercept
    # "auto" tries the slope where there are enough, and a slope to be found.
    two = fewest >= (min_events or LEAST_EVENTS["slope"]) and np.isfinite(lines.slope)
    if two:
        p_change, p_slope = lines.p_of_both, lines.p_of_slope
    if method == "auto":
        method, reason = _test_closed(p_change, p_slope, significance, fewest, lines.slope)
    if method == "slope" and not np.isfinite(lines.slope):
        raise ValueError(
            "The log-odds of the model separate the classes here, or are all equal, so that no slope fits them best. "
            "Take method='intercept', or more patients."
        )
    found: dict[str, Any] = {
        "n_events": n_events,
        "slope_error": lines.slope_error,
        "intercept_error": lines.shift_error,
    }
    found |= {"p_change": p_change, "p_slope": p_slope, "reason": reason}
    if method == "isotonic":
        return Update(method, _find_curve(positive, z), 1.0, found)
    knot, slope = {"none": (0.0, 1.0), "intercept": (lines.shift, 1.0), "slope": (lines.intercept, lines.slope)}[method]
    return Update(method, np.array([[0.0], [knot]]), slope, found)


def _test_closed(p_change: float, p_slope: float, significance: float, fewest: int, slope: float) -> tuple[str, str]:
    """Return which of no change, intercept, and intercept and slope to take, and why."""
    both = not math.isnan(p_slope)
    told = f"{'intercept and slope' if both else 'an intercept'} against no change: p = {p_change:.2g}"
    if both and p_change <= significance:
        told += f"; slope beside the intercept: p = {p_slope:.2g}"
    elif not both:
        why = f"{fewest} patients of a class are too few for it" if np.isfinite(slope) else "there is none to fit"
        told += f" (the slope was not tried: {why})"
    chosen = "none" if p_change > significance else "slope" if both and p_slope <= significance else "intercept"
    return chosen, f"{told}; so {_SAYS[chosen]}"


def _check_events(positive: Mask, units: Codes, method: str, min_events: int | None) -> tuple[int, int]:
    """Return how many patients have events, and how many the rarer class; raise if they are too few for the method."""
    with_events, without = (len(np.unique(units[mask])) for mask in (positive, ~positive))
    least = min_events or LEAST_EVENTS["intercept" if method == "auto" else method]
    fewest = min(with_events, without)
    if fewest < least:
        more = math.ceil(least / fewest * len(np.unique(units))) if fewest else None
        at_this_rate = f"about {more} patients like these" if more else "more patients"
        raise ValueError(
            f"Too few patients: method={method!r} takes at least {least} with events and {least} without; there are "
            f"{with_events} and {without}. It takes {at_this_rate} (metrics.patients_needed plans for more than the "
            "least), or a method that takes fewer: 'intercept'."
        )
    return with_events, fewest


class Lines:
    """Lines of log-odds to the label fitted by logistic regression, and tests between them that count patients.

    Parameters
    ----------
    positive : ndarray of shape (n_records,), bool
        Whether each record is of the second class.
    z : ndarray of shape (n_records,)
        Log-odds of the model.
    units : ndarray of shape (n_records,)
        Patients as codes from 0.
    """

    def __init__(self, positive: Mask, z: Floats, units: Codes):
        self._positive, self._units = positive, units
        self._z = np.clip(z, logit(_CLIP), -logit(_CLIP))
        line = calibration_slope_intercept(positive, expit(self._z))
        self.slope, self.shift = line.slope, line.intercept
        information, between = self._find_information(self.shift, 1.0)
        self.shift_error = float(math.sqrt(between[0, 0]) / information[0, 0])
        gain = self._likelihood(self.shift, 1.0) - self._likelihood(0.0, 1.0)
        self.p_of_intercept = _find_p(1, gain, between[0, 0] / information[0, 0])
        self.slope_error = self.intercept = self.p_of_both = self.p_of_slope = math.nan
        if np.isfinite(self.slope):
            self._fit_both()

    def _fit_both(self) -> None:
        # The best intercept beside a slope is what is left after the slope.
        self.intercept = calibration_slope_intercept(self._positive, expit(self.slope * self._z), clip=_FAR).intercept
        information, between = self._find_information(self.intercept, self.slope)
        inverse = np.linalg.inv(information)
        variance = inverse @ between @ inverse
        self.slope_error = math.sqrt(variance[1, 1])
        best = self._likelihood(self.intercept, self.slope)
        self.p_of_both = _find_p(2, best - self._likelihood(0.0, 1.0), np.trace(inverse @ between) / 2)
        self.p_of_slope = _find_p(1, best - self._likelihood(self.shift, 1.0), variance[1, 1] / inverse[1, 1])

    def _likelihood(self, intercept: float, slope: float) -> float:
        linear = intercept + slope * self._z
        return float(linear[self._positive].sum() - np.logaddexp(0, linear).sum())

    def _find_information(self, intercept: float, slope: float) -> tuple[Floats, Floats]:
        """Return the information of independent records, and the variance between patients of their scores."""
        x = np.stack([np.ones_like(self._z), self._z])
        fitted = expit(intercept + slope * self._z)
        scores = np.stack([np.bincount(self._units, row) for row in x * (self._positive - fitted)])
        n_patients = scores.shape[1]
        return x * fitted * (1 - fitted) @ x.T, scores @ scores.T * n_patients / max(n_patients - 1, 1)


def _find_p(n_parameters: int, gain: float, excess: float) -> float:
    """Return the p-value of a gain in log-likelihood, given by how much scores vary more than independent ones."""
    return float(chdtrc(n_parameters, max(2 * gain / excess, 0.0)))


def _find_curve(positive: Mask, z: Floats) -> Floats:
    """Return the centres of the blocks of isotonic regression, and the log-odds of the events in each."""
    values, where = np.unique(z, return_inverse=True)
    counts, events = np.bincount(where), np.bincount(where, positive)
    block = np.unique(isotonic_regression(events / counts, sample_weight=counts), return_inverse=True)[1]
    n, hits, centre = (np.bincount(block, weights).astype(np.float64) for weights in (counts, events, counts * values))
    while len(n) > 1:
        shares = np.where(hits == 0, 0.5 / (n + 1), np.where(hits == n, (n + 0.5) / (n + 1), hits / n))
        falls = np.flatnonzero(np.diff(shares) <= 0)
        if not falls.size:
            return np.stack([centre / n, logit(shares)])
        # Half an event more than a small block had puts it beyond its neighbour: they are one.
        n, hits, centre = (_merge(values, falls[0]) for values in (n, hits, centre))
    raise ValueError("The curve is flat: events are as frequent at low log-odds of the model as at high ones.")


def _merge(values: Floats, first: int) -> Floats:
    """Return values with two neighbours added up."""
    return np.concatenate([values[:first], [values[first] + values[first + 1]], values[first + 2 :]])


def recalibration_gain(
    model: Any,
    X: Any,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    methods: Sequence[str] = ("auto", "intercept", "slope"),
    n_patients: Sequence[int] | None = None,
    n_repeats: int = 100,
    random_state: Any = None,
) -> pd.DataFrame:
    """Return what so many patients of a place buy: a model recalibrated on some of them, measured on the others.

    The model answers once. Then it is recalibrated on patients drawn by chance, and log loss, slope and intercept are
    measured on all others, again and again. Where a method refuses, for too few patients have events, the model stays
    as it is, and counts as that.

    Parameters
    ----------
    model : estimator
        A fitted classifier of two classes with `predict_proba`, not fitted on these patients.
    X : array-like of shape (n_records, ...)
        What the model takes.
    y : array-like of shape (n_records,)
        Labels.
    groups : array-like of shape (n_records,), optional
        Patient of each record. Without it each record counts as a patient of its own.
    methods : sequence of str, default=("auto", "intercept", "slope")
        As in `recalibrate`.
    n_patients : sequence of int, optional
        How many to recalibrate on. If None, 50, 100, 200 and so on, up to three quarters of all.
    n_repeats : int, default=100
        Draws for each number.
    random_state : int, RandomState, Generator or None, default=None
        Where chance comes from. All methods get the same draws.

    Returns
    -------
    DataFrame
        One row for each number of patients and method: `n_events`, the mean number of patients with events; `refused`,
        the share of draws in which the method refused; `changed`, the share in which the model was changed; and
        medians with quartiles (`_25`, `_75`) of `log_loss`, of `gain`, by how much log loss fell, and of
        `slope` and `intercept`. Its first row is the model as it is, on all records.

    Raises
    ------
    ValueError
        If `X`, `y` and `groups` do not fit together, a method is none, or `n_patients` leaves no quarter of the
        patients to measure on.

    See Also
    --------
    recalibrate : On all patients.

    References
    ----------
    Steyerberg E. W. et al., Validation and updating of predictive logistic regression models: a study on sample size
    and shrinkage, Statistics in Medicine 23:2567-2586, 2004. doi:10.1002/sim.1844

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from omi_estimators.evaluation import recalibration_gain
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(800) % 4 == 0
    >>> X = rng.normal(size=(800, 1)) + 2 * y[:, np.newaxis]
    >>> model = LogisticRegression(C=np.inf).fit(X, y)
    >>> there = np.arange(600) % 2 == 0
    >>> X_there = rng.normal(size=(600, 1), scale=2) + 2 * there[:, np.newaxis]
    >>> table = recalibration_gain(model, X_there, there, methods=["slope"], n_repeats=20, random_state=0)
    >>> table["slope"].round(2).tolist()
    [0.24, 0.87, 1.03, 1.01, 0.91]
    """
    labels, classes, patients = check_records(X, y, groups)
    _check_same_classes(classes, model.classes_)
    prob, usable = judge(model, X)
    check_usable(usable)
    report_unusable(usable, on_error="warn", consequence="left out")
    kept = usable.mask
    units = None if patients is None else patients[kept]
    return measure_gain(labels[kept] == classes[1], prob[kept], units, methods, n_patients, n_repeats, random_state)


def measure_gain(
    positive: Mask,
    prob: Floats,
    patients: NDArray | None,
    methods: Sequence[str],
    n_patients: Sequence[int] | None,
    n_repeats: int,
    random_state: Any,
) -> pd.DataFrame:
    """Return what `recalibration_gain` does, of probabilities (n_records, 2) that a model has given."""
    unknown = set(methods) - {"auto", *LEAST_EVENTS}
    if unknown:
        raise ValueError(f"methods must be among auto, {', '.join(LEAST_EVENTS)}; got {sorted(unknown)[0]!r}.")
    units = np.unique(np.arange(len(positive)) if patients is None else patients, return_inverse=True)[1]
    z, n_units = log_odds(prob, [find_floor(prob)])[:, 0], int(units.max()) + 1
    sizes = [n for n in _SIZES if 4 * n <= 3 * n_units] if n_patients is None else list(n_patients)
    if not sizes or min(sizes) < 1 or 4 * max(sizes) > 3 * n_units:
        raise ValueError(
            f"A quarter of the {n_units} patients at least must be left to measure on; got n_patients={n_patients!r}, "
            f"and {_SIZES[0]} is the least without it."
        )
    rng = make_rng(random_state)
    as_is = {"n_patients": 0, "method": "none", "n_events": 0.0, "refused": 0.0, "changed": 0.0}
    rows = [as_is | _summarise([{"gain": 0.0} | _measure(positive, z)])]
    for size in sizes:
        draws = [_draw(positive, units, size, rng) for _ in range(n_repeats)]
        events = np.mean([len(np.unique(units[positive & drawn])) for drawn in draws])
        for method in methods:
            found, done = [], []
            for drawn in draws:
                try:
                    update = find_update(positive[drawn], z[drawn], units[drawn], method, None, 0.05)
                    done.append(update.method)
                    moved = move_log_odds(z[~drawn], update.knots, update.slope)
                except ValueError:
                    done.append("refused")
                    moved = z[~drawn]
                figures = _measure(positive[~drawn], moved)
                before = _find_loss(positive[~drawn], z[~drawn])
                found.append({"gain": before - figures["log_loss"]} | figures)
            names = np.array(done)
            shares = {"refused": np.mean(names == "refused"), "changed": np.mean(~np.isin(names, ["refused", "none"]))}
            rows.append({"n_patients": size, "method": method, "n_events": events} | shares | _summarise(found))
    return pd.DataFrame(rows)


def _draw(positive: Mask, units: Codes, size: int, rng: np.random.Generator) -> Mask:
    """Return the records of so many patients drawn by chance, such that the others are of both classes."""
    while True:
        drawn = np.isin(units, rng.permutation(int(units.max()) + 1)[:size])
        if len(np.unique(positive[~drawn])) == 2:
            return drawn


def _find_loss(positive: Mask, z: Floats) -> float:
    return float(np.mean(np.logaddexp(0, z) - positive * z))


def _measure(positive: Mask, z: Floats) -> dict[str, float]:
    line = calibration_slope_intercept(positive, expit(z))
    return {"log_loss": _find_loss(positive, z), "slope": line.slope, "intercept": line.intercept}


def _summarise(found: list[dict[str, float]]) -> dict[str, float]:
    """Return median and quartiles of figures."""
    row: dict[str, float] = {}
    for name in found[0]:
        low, middle, high = np.quantile([figures[name] for figures in found], [0.25, 0.5, 0.75])
        row |= {name: float(middle), f"{name}_25": float(low), f"{name}_75": float(high)}
    return row
