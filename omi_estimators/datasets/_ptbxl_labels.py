"""What the statements of PTB-XL say of a record: the classes of each task."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
"""Diagnostic superclasses: normal, myocardial infarction, ST/T change, conduction disturbance, hypertrophy."""

TASKS = {
    "mi_vs_norm": ("normal", "MI"),
    "mi_vs_rest": ("no MI", "MI"),
    "acute_mi_vs_rest": ("no acute MI", "acute MI"),
    "superclasses": SUPERCLASSES,
}
"""The class names of each task, class 0 first; of "superclasses" the columns."""

_STADIUMS = ("infarction_stadium1", "infarction_stadium2")
# Stages of infarction as German textbooks count these: I with ST elevation, II while it falls, III scarred.
_ACUTE = {"Stadium I", "Stadium I-II"}
_KNOWN = _ACUTE | {"Stadium II", "Stadium II-III", "Stadium III"}


def parse_codes(record: Any, text: Any) -> dict[str, float]:
    """Return the SCP statements of one record as a dictionary from statement to likelihood."""
    try:
        return {str(code): float(likelihood) for code, likelihood in ast.literal_eval(text).items()}
    except (ValueError, SyntaxError, AttributeError, TypeError) as error:
        raise ValueError(
            f"ptbxl_database.csv has scp_codes {text!r} for record {record}; expected a dictionary such as "
            "{'NORM': 100.0}. Fetch the table again."
        ) from error


def label_records(
    table: pd.DataFrame, superclass: dict[str, str], task: str, min_likelihood: float
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Return the rows of `table` that belong to a task, and their labels.

    Parameters
    ----------
    table : DataFrame
        The database, `scp_codes` as dictionaries.
    superclass : dict of str to str
        The superclass of each diagnostic statement.
    task : str
        Of `TASKS`.
    min_likelihood : float
        In percent.

    Returns
    -------
    table : DataFrame
        The rows that belong to the task.
    y : int ndarray of shape (n_rows,), or (n_rows, 5) for "superclasses"
        1 for the positive class.
    """
    found = [_superclass_likelihood(codes, superclass) for codes in table["scp_codes"]]
    if task == "superclasses":
        likelihood = np.array([[row.get(name, -1.0) for name in SUPERCLASSES] for row in found]).reshape(-1, 5)
        stated, counts = likelihood >= 0, likelihood >= min_likelihood
        # A statement that falls short is neither there nor absent.
        kept = stated.any(axis=1) & (counts | ~stated).all(axis=1)
        return table.iloc[np.flatnonzero(kept)], counts[kept].astype(np.int64)
    is_mi = np.array([row.get("MI", -1.0) >= min_likelihood for row in found], dtype=bool)
    no_mi = np.array(["MI" not in row for row in found], dtype=bool)
    if task == "mi_vs_norm":
        normal = [set(row) == {"NORM"} and row["NORM"] >= min_likelihood for row in found]
        positive, negative = is_mi, np.array(normal, dtype=bool)
    elif task == "mi_vs_rest":
        positive, negative = is_mi, no_mi
    else:
        stages = [set(map(str, row)) for row in table[list(_STADIUMS)].itertuples(index=False)]
        acute = np.array([bool(stage & _ACUTE) for stage in stages], dtype=bool)
        later = np.array([bool(stage & _KNOWN) and not stage & _ACUTE for stage in stages], dtype=bool)
        positive, negative = is_mi & acute, no_mi | (is_mi & later)
    kept = positive | negative
    return table.iloc[np.flatnonzero(kept)], positive[kept].astype(np.int64)


def _superclass_likelihood(codes: dict[str, float], superclass: dict[str, str]) -> dict[str, float]:
    """Return the largest likelihood of each diagnostic superclass among the statements `codes`."""
    found: dict[str, float] = {}
    for code, likelihood in codes.items():
        if code in superclass:
            found[superclass[code]] = max(likelihood, found.get(superclass[code], 0.0))
    return found


def check_classes(y: NDArray[np.int64], task: str, when: str) -> None:
    """Raise a ValueError if a class of `task` has no record."""
    if y.ndim == 2:
        if not len(y):
            raise ValueError(f"Task {task!r}: {when} no record has a diagnostic statement. Lower min_likelihood.")
        return
    for label, name in enumerate(TASKS[task]):
        if not (y == label).any():
            raise ValueError(
                f"Task {task!r} needs records of both classes, but {when} none of the {len(y)} left is {name!r}. "
                "Lower min_likelihood, choose another task, or give more of PTB-XL."
            )
