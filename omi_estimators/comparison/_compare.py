"""One call from estimators and records to a comparison."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from omi_estimators._validation import check_level, make_rng
from omi_estimators.comparison._decisions import cross_fit_tiers, make_decisions, make_tier_tables
from omi_estimators.comparison._fit import check_estimators, cross_fit, seed_estimator
from omi_estimators.comparison._report import ComparisonResult
from omi_estimators.comparison._subgroups import check_subgroups, make_subgroups
from omi_estimators.comparison._table import make_table
from omi_estimators.metrics import NOT_JUDGED, FewEventsWarning
from omi_estimators.splits import check_records, make_splits


def compare_estimators(
    estimators: Mapping[str, Any],
    X: Any,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    cv: Any = 5,
    reference: str | None = None,
    pos_label: Any = None,
    target_names: Sequence[str] | None = None,
    n_resamples: int = 2000,
    confidence_level: float = 0.95,
    random_state: Any = None,
    subgroups: Any = None,
    cache_dir: str | os.PathLike[str] | None = None,
    verbose: int = 1,
) -> ComparisonResult:
    """Compare classifiers by cross-validation that never splits a patient.

    Every estimator sees the same folds. From the out-of-fold probabilities come AUROC, average precision
    (AP), Brier score, calibration, each with its interval and its difference to a reference, by one bootstrap of
    patients; and risk tiers, with thresholds that other folds chose.

    Probabilities of different folds come from different models, whose scales may differ. AUROC therefore
    counts pairs of records within folds, and AP is the mean over positives of the precision within folds;
    pooling would mix models [1]_, and score a constant prediction below 0.5.

    Parameters
    ----------
    estimators : dict of str to estimator
        Classifiers with `predict_proba`; they are cloned, never changed.
    X : array-like of shape (n_records, ...)
        Whatever the estimators take, such as ECGs (n_records, 12, n_samples) in millivolts. It may be a
        memory map: a copy is made of the records of one fold at a time.
    y : array-like of shape (n_records,)
        Two classes.
    groups : array-like of shape (n_records,), optional
        Patient of each record. It goes to `fit` of every estimator that asks for it by scikit-learn's
        metadata routing. Without it each record counts as a patient of its own.
    cv : int, splitter or iterable of (train, test), default=5
        A number means so many shuffled, stratified folds, by patient if `groups` are given. Records that
        no fold tests count in no figure.
    reference : str, optional
        The estimator that the others are compared with; the first if None.
    pos_label : object, optional
        The positive class, which AP and the Brier score are about; the second in sorted order if None, with
        a warning where the classes are words.
    target_names : sequence of two str, optional
        Names of the negative and the positive class, for pictures and report.
    n_resamples : int, default=2000
        Resamples of the bootstrap.
    confidence_level : float, default=0.95
        Level of the intervals.
    random_state : int, RandomState, Generator or None, default=None
        Seed of folds, bootstrap, and of each `random_state` of the estimators that is None. With None
        nothing is seeded.
    subgroups : dict or DataFrame of columns, optional
        What to split the records by for a table of their own, such as ``{"sex": sex, "age": age}``; one value
        for each record, numbers of many values in four bands of equal size. Nothing is trained by subgroup.
    cache_dir : path-like, optional
        A folder in which each estimator's finished folds are kept: the same call after an interruption goes on
        where it stopped. It holds probabilities, no records. Folds are found again for equal data (and files behind
        paths), parameters and `random_state`, which must be given, for the same versions, and for the same code of
        each class and function inside, your own too.
    verbose : int, default=1
        Whether to show progress on stderr.

    Returns
    -------
    ComparisonResult
        With `table`, `decisions`, `subgroups`, `folds`, `probabilities`, pictures, `to_html`, `write_report`.

    Raises
    ------
    ValueError, TypeError
        Before anything is fitted: if estimators have no `predict_proba`, `X`, `y` and `groups` do not fit
        together, `y` has not two classes, a class has fewer patients than folds, or a fold has a patient
        on both sides.
    Exception
        Whatever an estimator raises, with a note that names the estimator and the fold. As with
        ``error_score="raise"`` in scikit-learn, a comparison with holes is no comparison.

    Warns
    -----
    FewEventsWarning
        If fewer than ten patients have one of the classes.
    UserWarning
        If the classes are words and only their order says which is the positive one.

    See Also
    --------
    omi_estimators.splits.make_splits : The folds alone.
    omi_estimators.metrics.bootstrap_difference : The same interval for two sets of scores.

    References
    ----------
    .. [1] Forman G., Scholz M., Apples-to-apples in cross-validation studies, ACM SIGKDD Explorations
       12:49-57, 2010. doi:10.1145/1882471.1882479

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.linear_model import LogisticRegression
    >>> from omi_estimators import compare_estimators
    >>> rng = np.random.default_rng(0)
    >>> patients = np.arange(100) // 2
    >>> y = patients % 2
    >>> X = rng.normal(size=(100, 3)) + y[:, np.newaxis]
    >>> result = compare_estimators(
    ...     {"regression": LogisticRegression(), "prior": DummyClassifier()},
    ...     X, y, groups=patients, random_state=0, verbose=0,
    ... )
    >>> result.table["roc_auc"].round(2).to_dict()
    {'regression': 0.84, 'prior': 0.5}
    """
    check_estimators(estimators)
    reference = next(iter(estimators)) if reference is None else reference
    labels, classes, patients = check_records(X, y, groups)
    if len(classes) != 2:
        found = ", ".join(repr(label) for label in classes.tolist()[:5])
        raise ValueError(f"y must hold two classes; got {len(classes)} ({found}).")
    classes = _order_classes(classes, pos_label)
    names = tuple(str(name) for name in (classes if target_names is None else target_names))
    _check_arguments(estimators, reference, names, n_resamples, confidence_level)
    if cache_dir is not None and random_state is None:
        raise ValueError("cache_dir needs a random_state: without one no fold can be found again.")
    columns_by_name = check_subgroups(subgroups, len(labels))
    rng = make_rng(random_state)
    splits = make_splits(X, labels, groups=patients, cv=cv, random_state=rng)
    root = None if random_state is None else int(rng.integers(2**31))
    seeded = {name: seed_estimator(estimator, root) for name, estimator in estimators.items()}

    columns, usable, rows = cross_fit(
        seeded, X, labels, classes[1], patients, splits, cache_dir=cache_dir, verbose=verbose
    )

    fold = np.full(len(labels), -1)
    for number, (_, test) in enumerate(splits):
        fold[test] = number
    probabilities = pd.DataFrame(columns, columns=list(estimators))
    folds = pd.DataFrame(rows)
    tested = (fold >= 0) & usable.mask
    if len(np.unique(labels[tested])) < 2:
        raise ValueError(
            "The records that every estimator could judge are of one class only, so there is nothing to compare; the "
            f"others: {usable}."
        )
    positive = labels == classes[1]
    units = None if patients is None else np.unique(patients[tested], return_inverse=True)[1]
    codes = np.unique(fold[tested], return_inverse=True)[1]
    seen = probabilities[tested].astype(np.float64), positive[tested], units
    given: dict[str, Any] = {"n_resamples": n_resamples, "confidence_level": confidence_level, "rng": rng}
    table, n_redrawn = make_table(*seen, codes, reference, **given)
    by_subgroup = make_subgroups(
        {name: values[tested] for name, values in columns_by_name.items()}, *seen, codes, **given
    )
    tiers = cross_fit_tiers(seen[0], seen[1], codes)
    decisions = tier_tables = None
    if tiers is not None:
        with warnings.catch_warnings():
            # Said once, by the table.
            warnings.simplefilter("ignore", FewEventsWarning)
            decisions = make_decisions(tiers, seen[1], units, **given)
        tier_tables = make_tier_tables(tiers, seen[1], units, confidence_level)
        tiers = tiers.reindex(probabilities.index).fillna("")
        tiers[~usable.mask] = NOT_JUDGED
    times = folds.groupby("estimator")[["fit_time", "predict_time"]].mean()
    return ComparisonResult(
        table=table.join(times),
        folds=folds,
        decisions=decisions,
        tier_tables=tier_tables,
        subgroups=by_subgroup,
        tiers=tiers,
        probabilities=probabilities,
        y=positive.astype(np.int64),
        groups=patients,
        fold=fold,
        reasons=usable.reasons,
        estimators={name: str(estimator) for name, estimator in seeded.items()},
        reference=reference,
        target_names=(names[0], names[1]),
        confidence_level=confidence_level,
        n_resamples=n_resamples,
        n_redrawn=n_redrawn,
    )


def _check_arguments(
    estimators: Mapping[str, Any], reference: str, names: tuple[str, ...], n_resamples: int, confidence_level: float
) -> None:
    """Raise a ValueError for what would fail after hours of fitting."""
    if reference not in estimators:
        raise ValueError(f"reference must be one of the estimators, {', '.join(estimators)}; got {reference!r}.")
    if len(names) != 2:
        raise ValueError(f"target_names must name the negative and the positive class; got {names!r}.")
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1; got {n_resamples!r}.")
    check_level(confidence_level)


def _order_classes(classes: NDArray, pos_label: Any) -> NDArray:
    """Return the negative and the positive class, in this order."""
    first, second = classes.tolist()
    if pos_label is not None and pos_label not in (first, second):
        raise ValueError(f"pos_label must be one of the classes, {first!r} or {second!r}; got {pos_label!r}.")
    if pos_label is None and classes.dtype.kind not in "biuf":
        warnings.warn(
            f"{second!r} counts as the positive class, because it sorts after {first!r}; "
            "name the positive class with pos_label.",
            UserWarning,
            stacklevel=3,
        )
    return classes[::-1] if pos_label == first else classes
