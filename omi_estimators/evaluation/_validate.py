"""A fitted model on a new cohort: what it is worth there, and whether its promises are kept."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from omi_estimators._validation import check_groups, check_level, find_missing, make_rng, name_classes
from omi_estimators.evaluation._recalibrate import measure_gain
from omi_estimators.evaluation._tables import (
    FEW,
    SUBGROUP_METRICS,
    Tested,
    check_probabilities,
    check_subgroups,
    make_interval_table,
    make_subgroups,
)
from omi_estimators.evaluation._validated import BROKEN, KEPT, NOT_TOLD, ValidationResult
from omi_estimators.metrics import (
    METRICS,
    NOT_JUDGED,
    TIERS,
    TierThresholds,
    assign_tiers,
    bootstrap_intervals,
    decision_curve,
    net_benefit,
    share_by_patient,
)
from omi_estimators.preprocessing import UnusableRecordWarning, judge
from omi_estimators.splits import check_records
from omi_estimators.triage import tier_table

# Columns of the table of promises; the bounds are one-sided.
_PROMISE = ("promised", "found", "low", "high", "n_patients", "n_records", "verdict")
_CUTS = ("rule_out", "max_f1", "rule_in")
# Where a model has no tiers of its own, net benefit is told at these.
_USUAL_THRESHOLDS = (0.05, 0.1, 0.2)
# A slope under wrong guesses of 0 and 1 would tell nothing but how far these are moved from 0 and 1.
_WITHOUT_WORST_CASE = "calibration_slope"
# In cohorts of up to so many patients percentiles are corrected for bias and skewness, for which each patient is left
# out once; in larger ones there is too little of both to be worth the time.
_MOST_LEFT_OUT = 2000
_OF_PATIENTS = ("age", "sex", "device")
# Fewer patients leave too few to measure on when 50 of them recalibrate; and how often these are drawn.
_LEAST_FOR_GAIN, _GAIN_REPEATS = 100, 50


class _Judged(NamedTuple):
    """The records that could be judged, and what is asked of all of them."""

    positive: NDArray[np.bool_]
    prob: NDArray[np.float64]
    patients: NDArray | None
    cuts: tuple[float, float, float] | None
    confidence_level: float


def validate_model(
    model: Any,
    X: Any,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    subgroups: Any = None,
    thresholds: TierThresholds | Sequence[float] | None = None,
    promises: Mapping[str, float] | None = None,
    pos_label: Any = None,
    target_names: Sequence[str] | None = None,
    trained_on: Mapping[str, Any] | None = None,
    training_groups: ArrayLike | None = None,
    sampling_rate: float | None = None,
    record_names: Sequence[str] | None = None,
    unread: Any = None,
    profile: Any = None,
    of_patients: Mapping[str, ArrayLike] | None = None,
    n_resamples: int = 2000,
    confidence_level: float = 0.95,
    random_state: Any = None,
) -> ValidationResult:
    """Find what a fitted model is worth on a cohort of one's own, and whether it keeps its promises there.

    Nothing is fitted. The intervals of `figures` come from one bootstrap of patients, corrected for bias and skewness
    (BCa) in cohorts of up to 2000 patients; those of subgroups and net benefit are percentiles. The verdict on a
    promise, such as a sensitivity of 0.90 of not being ruled out, goes by one-sided bounds of the share in which each
    patient counts as one (`omi_estimators.metrics.share_by_patient`), each at `confidence_level`:

    - "kept", if the lower bound is at least what was promised;
    - "broken", if the upper bound is below it;
    - "cannot be told with so few" otherwise, and always below ten patients.

    So a promise that is just kept, or just broken, is called the contrary in at most 5 % of cohorts by default.

    Parameters
    ----------
    model : fitted classifier
        Of two classes, with `predict_proba`; this package's or scikit-learn's. A `RiskTierClassifier` brings its
        thresholds and promises.
    X : array-like of shape (n_records, ...)
        What the model takes, such as ECGs (n_records, 12, n_samples) in millivolts.
    y : array-like of shape (n_records,)
        Labels, as they were in `fit`; both classes.
    groups : array-like of shape (n_records,), optional
        Patient of each record. Without it each record counts as a patient of its own.
    subgroups : dict or DataFrame of columns, optional
        What to split the records by, such as ``{"age": age, "sex": sex, "device": device}``; numbers of many values in
        four bands. Below ten records of a class there is no figure.
    thresholds : TierThresholds or sequence of three float, optional
        Where a model has no tiers of its own: the thresholds of rule-out, of greatest F1 and of rule-in, rising.
    promises : mapping, optional
        What these were to keep: "sensitivity" of rule-out, "ppv" of rule-in, or both. The model's own if None.
    pos_label : object, optional
        The positive class; the model's own, or the second in sorted order, if None.
    target_names : sequence of two str, optional
        Names of the two classes; by default "negative" and "positive" for numbers, else the labels.
    trained_on : mapping of str to object, optional
        What is known of the training, as the model's card says it, such as "records", "patients", "prevalence",
        "saved", "AUROC"; shown beside this cohort. Counts that the model keeps are found by themselves.
    training_groups : array-like of shape (n_training_records,), optional
        Patients that the model was trained on. One of them among `groups` is an error.
    sampling_rate : float, optional
        Of `X`, in Hz. If given, a model that was made for another one is an error.
    record_names : sequence of str, optional
        Such as names of files, for the table of single records.
    unread : DataFrame or mapping of columns, optional
        Records that could not even be read: `reason`, and where known `label` and `name`.
    profile : ECGProfile, optional
        What kind of ECG the model was trained on (`omi_estimators.typicality.ECGProfile`).
    of_patients : mapping of str to array-like of shape (n_records,), optional
        "age", "sex" and "device" of each record, as the profile had them; those among `subgroups` if None.
    n_resamples : int, default=2000
        Resamples of the bootstrap.
    confidence_level : float, default=0.95
        Of the intervals, and of each one-sided bound.
    random_state : int, RandomState, Generator or None, default=None
        Where chance comes from.

    Returns
    -------
    ValidationResult
        With `verdict`, `figures`, `promises`, `tiers`, `net_benefits`, `subgroups`, `not_judged`, `scenarios`, `gain`,
        pictures, `checklist`, `to_html` and `write_report`.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If it is no classifier of two classes with probabilities.
    ValueError
        If the model is for other leads, samples, another rate or other labels; if `X`, `y`, `groups` and columns do not
        fit together, a patient is missing or was trained on, the records that can be judged are of one class, or an
        argument is out of its range.

    Warns
    -----
    FewEventsWarning
        If fewer than ten patients have one of the classes.

    See Also
    --------
    compare_estimators : Models that are still to be fitted.
    omi_estimators.metrics.patients_needed : How many patients it takes.

    References
    ----------
    Collins G. S., Ogundimu E. O., Altman D. G., Sample size considerations for the external validation of a
    multivariable prognostic model, Statistics in Medicine 35:214-226, 2016. doi:10.1002/sim.6787

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from omi_estimators import RiskTierClassifier, validate_model
    >>> def draw(rng, log_odds):
    ...     y = (rng.random(1000) < 1 / (1 + np.exp(-log_odds))).astype(int)
    ...     return rng.normal(size=(1000, 1)) + 2.5 * y[:, np.newaxis], y
    >>> X, y = draw(np.random.default_rng(0), -1)
    >>> model = RiskTierClassifier(LogisticRegression(), random_state=0).fit(X, y)
    >>> X, y = draw(np.random.default_rng(1), -2.5)
    >>> result = validate_model(model, X, y, n_resamples=200, random_state=0)
    >>> result.promises["verdict"].to_dict()
    {'sensitivity of rule-out': 'cannot be told with so few', 'PPV of rule-in': 'broken'}
    >>> print(result.verdict.headline)
    The model does not hold here as it is.
    """
    known = _check_model(model)
    labels, classes, patients = check_records(X, y, groups)
    positive_label = _find_positive(model, known, pos_label, labels, classes)
    negative_label = next(label for label in known.tolist() if label != positive_label)
    names = name_classes(np.array([negative_label, positive_label], dtype=known.dtype), target_names)
    check_level(confidence_level)
    _check_rate(model, sampling_rate)
    _check_overlap(patients, training_groups)
    cuts = _find_thresholds(model, thresholds)
    promised = _find_promises(model, promises, cuts, thresholds is None)
    columns = check_subgroups(subgroups, len(labels))
    lost = _check_unread(unread, known)
    positive = labels == positive_label

    prob, reasons = _judge(model, X, known.tolist().index(positive_label))
    judged = reasons == ""
    if len(np.unique(labels[judged])) < 2:
        reason = f"; the first other: {reasons[~judged][0]}" if not judged.all() else ""
        raise ValueError(
            f"Of {len(labels)} records {judged.sum()} can be judged, and these are not of both classes, so there is "
            f"nothing to validate on{reason}."
        )
    units = None if patients is None else patients[judged]
    seen = _Judged(positive[judged], prob[judged], units, cuts, confidence_level)
    rng = make_rng(random_state)
    bootstrap: dict[str, Any] = {"n_resamples": n_resamples, "confidence_level": confidence_level, "random_state": rng}
    codes = None if units is None else np.unique(units, return_inverse=True)[1]
    method = _choose_method(seen.positive, codes)
    given = {"groups": units, "method": method, **bootstrap}
    found = bootstrap_intervals(seen.positive, {"model": seen.prob}, METRICS, **given)["model"]
    tested = Tested(pd.DataFrame({"model": seen.prob}), seen.positive, codes, np.zeros(len(seen.prob), dtype=np.intp))
    by_level = make_subgroups({n: c[judged] for n, c in columns.items()}, tested, **bootstrap)
    tiers = np.full(len(labels), "" if cuts is None else NOT_JUDGED, dtype=object)
    if cuts is not None:
        tiers[judged] = assign_tiers(seen.prob, *cuts)
    names_of_records = range(len(labels)) if record_names is None else record_names
    records = pd.DataFrame(
        {"label": labels, "probability": np.where(judged, prob, np.nan), "tier": tiers, "reason": reasons},
        index=pd.Index(names_of_records, name="record"),
    )
    described, drift = None, None
    if profile is not None:
        measured, of_patients = profile.measure(X), columns if of_patients is None else of_patients
        kept = {name: of_patients[name] for name in _OF_PATIENTS if name in of_patients}
        described, drift = profile.describe(measured), profile.find_drift(measured, groups=patients, **kept)
        records = records.join(described.add_prefix("typicality_").set_axis(records.index))
    lost_labels = [np.nan if pd.isna(label) else float(label == positive_label) for label in lost["label"]]
    unjudged = pd.DataFrame(
        {
            "reason": [*reasons[~judged], *lost["reason"]],
            "positive": [*positive[~judged].astype(float), *lost_labels],
        }
    )
    return ValidationResult(
        figures=make_interval_table(found, "figure"),
        promises=_make_promises(promised, seen),
        tiers=None if cuts is None else _make_tiers(model if thresholds is None else None, seen, tiers[judged]),
        net_benefits=_make_net_benefits(seen, **bootstrap),
        subgroups=_leave_out_few(by_level),
        not_judged=_count_reasons(unjudged),
        scenarios=_make_scenarios(seen, unjudged["positive"].to_numpy(dtype=float)),
        gain=_find_gain(seen, rng),
        cohorts=_compare_cohorts(model, known.tolist().index(positive_label), trained_on, seen, found),
        typicality=described,
        drift=drift,
        records=records,
        unread=lost,
        y=positive.astype(np.int64),
        groups=patients,
        target_names=(names[0], names[1]),
        thresholds=cuts,
        model=str(model),
        confidence_level=confidence_level,
        n_resamples=n_resamples,
        method=method,
        n_redrawn=found["roc_auc"].n_redrawn,
    )


def _check_model(model: Any) -> NDArray[Any]:
    """Return the classes of a fitted classifier of two, or say why it cannot be validated."""
    name = type(model).__name__
    if isinstance(model, type) or not hasattr(model, "predict_proba"):
        raise TypeError(f"model must be a fitted classifier with predict_proba; got {model!r}.")
    check_is_fitted(model, msg="The %(name)s is not fitted; fit it on other patients, or load a fitted model.")
    classes = np.asarray(getattr(model, "classes_", ()))
    if classes.shape != (2,):
        raise TypeError(f"model must tell two classes from each other; {name} knows {classes.tolist()!r}.")
    return classes


def _find_positive(model: Any, known: NDArray, pos_label: Any, labels: NDArray, found: NDArray) -> Any:
    """Return the positive class, or raise a ValueError for labels that the model does not know."""
    unknown = [label for label in found.tolist() if label not in known.tolist()]
    if unknown:
        raise ValueError(
            f"y holds {unknown[0]!r}, but the model tells {known.tolist()[0]!r} from {known.tolist()[1]!r}; give "
            "labels as they were in its fit."
        )
    own = getattr(model, "pos_label_", None)
    if pos_label is None:
        return known.tolist()[1] if own is None else own
    if pos_label not in known.tolist() or (own is not None and pos_label != own):
        raise ValueError(
            f"pos_label must be the model's, {known.tolist()[1] if own is None else own!r}; got {pos_label!r}."
        )
    return pos_label


def _check_rate(model: Any, sampling_rate: float | None) -> None:
    params = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    rates = {value for name, value in params.items() if name.split("__")[-1] == "sampling_rate" and value is not None}
    if sampling_rate is not None and rates and sampling_rate not in rates:
        raise ValueError(
            f"The model was made for {', '.join(f'{rate:g}' for rate in sorted(rates))} Hz, but X has "
            f"{sampling_rate:g} Hz; resample X, such as with omi_estimators.readers.load_ecgs(..., sampling_rate)."
        )


def _check_overlap(patients: NDArray | None, training_groups: ArrayLike | None) -> None:
    """Raise a ValueError if a patient was trained on."""
    if training_groups is None:
        return
    if patients is None:
        raise ValueError("training_groups can be looked for among patients only: give groups.")
    known = check_groups(training_groups, len(np.asarray(training_groups)), name="training_groups")
    # Compared as text: the same patient may be a number in one table and a word in another.
    both = sorted({str(value) for value in patients.tolist()} & {str(value) for value in known.tolist()})
    if both:
        raise ValueError(
            f"{len(both)} patients of this cohort were trained on, the first of them {both[0]!r}: figures would be too "
            "good. Leave their records out."
        )


def _find_thresholds(model: Any, given: TierThresholds | Sequence[float] | None) -> tuple[float, float, float] | None:
    """Return the thresholds given, or those of the model; None if it has none."""
    cuts = getattr(model, "thresholds_", None) if given is None else given
    if isinstance(cuts, TierThresholds):
        return tuple(float(getattr(cuts, name).estimate) for name in _CUTS)  # type: ignore[return-value]
    if given is None:
        return None
    values = np.asarray(given, dtype=np.float64)
    if values.shape != (3,) or not values[0] <= values[1] <= values[2]:
        raise ValueError(f"thresholds must be three numbers that rise: rule-out, max-F1, rule-in; got {given!r}.")
    return float(values[0]), float(values[1]), float(values[2])


def _find_promises(
    model: Any, given: Mapping[str, float] | None, cuts: tuple[float, ...] | None, is_own: bool
) -> dict[str, float]:
    """Return the promised shares by name."""
    if given is None:
        # A recalibrated model's tiers are those of another.
        owner = getattr(model, "tiers_", None) or model
        return {name: float(getattr(owner, name)) for name in ("sensitivity", "ppv")} if cuts and is_own else {}
    if cuts is None:
        raise ValueError("promises are about tiers, and the model has none: give thresholds too.")
    bad = [name for name, value in given.items() if name not in ("sensitivity", "ppv") or not 0 < value <= 1]
    if bad:
        raise ValueError(f"promises must be shares 'sensitivity' and 'ppv' above 0 and at most 1; got {dict(given)!r}.")
    return {name: float(value) for name, value in given.items()}


def _check_unread(unread: Any, known: NDArray) -> pd.DataFrame:
    """Return the records that could not be read, with reason, label (None if unknown) and name."""
    table = pd.DataFrame({"reason": []} if unread is None else unread).reset_index(drop=True)
    if "reason" not in table:
        raise ValueError(f"unread must have a column reason; it has {', '.join(map(str, table.columns)) or 'none'}.")
    for name, value in (("label", None), ("name", "")):
        if name not in table:
            table[name] = value
    labels = table["label"].to_numpy(dtype=object)
    stray = [v for v in np.delete(labels, find_missing(labels)).tolist() if v not in known.tolist()]
    if stray:
        raise ValueError(f"unread has the label {stray[0]!r}; the model knows {known.tolist()!r}, or leave it empty.")
    return table[["name", "label", "reason"]]


def _judge(model: Any, X: Any, column: int) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """Return the probability of the positive class of each record, and why it means nothing, if so."""
    with warnings.catch_warnings():
        # The result tells.
        warnings.simplefilter("ignore", UnusableRecordWarning)
        prob, usable = judge(model, X)
    values = check_probabilities(prob[:, column], usable)
    return values, usable.reasons


def _choose_method(positive: NDArray[np.bool_], units: NDArray[np.intp] | None) -> str:
    """Return how intervals are found: BCa where each patient can be left out without losing a class."""
    codes = np.arange(len(positive)) if units is None else units
    fewest = min(len(np.unique(codes[positive])), len(np.unique(codes[~positive])))
    return "bca" if fewest > 1 and codes.max() < _MOST_LEFT_OUT else "percentile"


def _make_promises(promised: Mapping[str, float], seen: _Judged) -> pd.DataFrame:
    """Return a row for each promise, with what was found and the verdict."""
    rows = {}
    for name, share in promised.items():
        assert seen.cuts is not None
        called = seen.prob >= seen.cuts[0 if name == "sensitivity" else 2]
        of, right = (seen.positive, called) if name == "sensitivity" else (called, seen.positive)
        units = None if seen.patients is None else seen.patients[of]
        found = share_by_patient(right[of], units, confidence_level=seen.confidence_level)
        n_patients = int(of.sum()) if units is None else len(np.unique(units))
        verdict = KEPT if found.low >= share else BROKEN if found.high < share else NOT_TOLD
        verdict = NOT_TOLD if n_patients < FEW else verdict
        figures = share, found.estimate, found.low, found.high, n_patients, int(of.sum()), verdict
        rows["sensitivity of rule-out" if name == "sensitivity" else "PPV of rule-in"] = figures
    return pd.DataFrame.from_dict(rows, orient="index", columns=_PROMISE).rename_axis("promise")


def _make_tiers(model: Any, seen: _Judged, tiers: NDArray) -> pd.DataFrame:
    """Return what the tiers hold here, with the share of records that each held out of fold at fitting, if known."""
    level = seen.confidence_level
    table = tier_table(seen.positive, tiers.astype(str), groups=seen.patients, confidence_level=level)
    at_fitting = np.full(len(TIERS), np.nan)
    if hasattr(model, "out_of_fold_") and seen.cuts is not None:
        then = assign_tiers(model.out_of_fold_[model.usable_], *seen.cuts)
        at_fitting = np.array([np.mean(then == tier) for tier in TIERS])
    table.insert(2, "share_at_fitting", at_fitting)
    return table


def _make_net_benefits(seen: _Judged, **bootstrap: Any) -> pd.DataFrame:
    """Return the net benefit at thresholds, and its gain over treating nobody and everybody, with intervals."""
    at = np.unique([cut for cut in seen.cuts or () if 0 < cut < 1] or _USUAL_THRESHOLDS)
    columns: dict[str, Any] = {}
    for name, against in (("net_benefit", "nobody"), ("over_everybody", "everybody")):
        given = {"thresholds": at, "against": against, "groups": seen.patients, **bootstrap}
        curve = decision_curve(seen.positive, seen.prob, **given)
        columns |= {name: curve.y, f"{name}_low": curve.low, f"{name}_high": curve.high}
    columns["of_everybody"] = net_benefit(seen.positive, np.ones(len(seen.prob)), at)
    return pd.DataFrame(columns, index=pd.Index(at, name="threshold"))


def _find_gain(seen: _Judged, rng: Any) -> pd.DataFrame | None:
    """Return what so many patients of this cohort would buy by recalibration; None if it is too small to tell."""
    n_patients = len(seen.prob) if seen.patients is None else len(np.unique(seen.patients))
    if n_patients < _LEAST_FOR_GAIN:
        return None
    both = np.column_stack([1 - seen.prob, seen.prob])
    return measure_gain(seen.positive, both, seen.patients, ["auto"], None, _GAIN_REPEATS, rng)


def _leave_out_few(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of subgroups without figures that too few records of a class would give."""
    if len(table):
        few = np.minimum(table["n_events"], table["n_records"] - table["n_events"]) < FEW
        columns = [column for column in table if str(column).startswith(SUBGROUP_METRICS)]
        table.loc[few, columns] = np.nan
        table = table.drop(columns="estimator")
    return table


def _count_reasons(unjudged: pd.DataFrame) -> pd.DataFrame:
    """Return how many records could not be read or judged for each reason, and how many of them are positive."""
    groups = unjudged.groupby("reason", sort=False)["positive"]
    n_unknown = groups.agg(lambda labels: labels.isna().sum())
    counts = {"n_records": groups.size(), "n_positive": groups.sum(), "n_unknown": n_unknown}
    return pd.DataFrame(counts).astype(int).sort_values("n_records", ascending=False)


def _make_scenarios(seen: _Judged, lost: NDArray[np.float64]) -> pd.DataFrame:
    """Return the figures as found, and as they would be had the model judged the rest as well as can be, or as badly.

    A record of unknown label is positive in one case and negative in the other.
    """
    positive, prob, cuts = seen.positive, seen.prob, seen.cuts
    cases = {"as found": (positive, prob)}
    unknown = np.isnan(lost)
    if len(lost):
        for right, how in ((True, "rightly"), (False, "wrongly")):
            for assumed in (1, 0) if unknown.any() else (0,):
                labels = np.where(unknown, assumed, lost)
                kind = f", unknown ones {'positive' if assumed else 'negative'}" if unknown.any() else ""
                guesses = labels if right else 1 - labels
                cases[f"all judged {how}{kind}"] = np.r_[positive, labels == 1], np.r_[prob, guesses]
    metrics = [metric for metric in METRICS if metric != _WITHOUT_WORST_CASE]
    columns = {}
    for case, (hits, values) in cases.items():
        given: dict[str, Any] = {"n_resamples": 1, "on_few": "ignore", "random_state": 0}
        found = bootstrap_intervals(hits, {"model": values}, metrics, **given)["model"]
        figures = {"prevalence": float(hits.mean())} | {name: figure.estimate for name, figure in found.items()}
        if cuts is not None:
            called = values >= cuts[2]
            figures["sensitivity of rule-out"] = float(np.mean(values[hits] >= cuts[0]))
            figures["PPV of rule-in"] = float(hits[called].mean()) if called.any() else math.nan
        columns[case] = figures
    return pd.DataFrame(columns).rename_axis("figure")


def _compare_cohorts(
    model: Any, column: int, trained_on: Mapping[str, Any] | None, seen: _Judged, found: Mapping[str, Any]
) -> pd.DataFrame:
    """Return what the model says of itself beside the records judged here, as text."""
    then: dict[str, Any] = {}
    if getattr(model, "history_", None):
        # Its counts are those of the recalibration.
        last = model.history_[-1]
        n_records, n_patients = last["n_records"], last["n_patients"]
        then["recalibrated"] = f"{last['date']}, on {n_records} records of {n_patients} patients: {last['method']}"
    elif getattr(model, "n_records_", None) is not None:
        then = {"records": model.n_records_, "patients": getattr(model, "n_patients_", None)}
    if "recalibrated" not in then and getattr(model, "class_prior_", None) is not None:
        then["prevalence"] = f"{model.class_prior_[column]:.3f}"
    then |= dict(trained_on or {})
    n_patients = "not given" if seen.patients is None else len(np.unique(seen.patients))
    here = {"records": len(seen.prob), "patients": n_patients, "prevalence": f"{seen.positive.mean():.3f}"}
    here["AUROC"] = found["roc_auc"]
    rows = {
        name: ("not recorded" if then.get(name) is None else str(then[name]), str(here.get(name, "")))
        for name in dict.fromkeys([*here, *then])
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["the model says", "here"])
