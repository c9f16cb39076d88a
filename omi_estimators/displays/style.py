"""What pictures share: colours, dashes, axes, the light grid, the sentence of numbers."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from omi_estimators._text import clean_label
from omi_estimators._validation import check_codes, check_labels, count_noun, how_to_install

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, told apart by readers of any colour vision, dark ones first."""

DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
"""Dashes of lines beside `COLOURS`, which help in print."""

GRID = "#dddddd"
"""The colour of grids."""

GREY = "#666666"

Names = tuple[str, str]
"""Names of the negative and the positive class."""


def get_axes(ax: Axes | None, size: tuple[float, float] | None = None) -> Axes:
    """Return the axes to draw on.

    Parameters
    ----------
    ax : matplotlib Axes or None
        Axes to take; those of a new figure if None.
    size : tuple of two float, optional
        Width and height of the new figure, in inches.

    Returns
    -------
    matplotlib Axes
        The axes.

    Raises
    ------
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators.displays import get_axes
    >>> ax = Figure().add_subplot()
    >>> get_axes(ax) is ax
    True
    """
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"Pictures need matplotlib; install it with: {how_to_install('plot')}") from error
    return plt.subplots(layout="constrained", figsize=size)[1]


@dataclass(eq=False, repr=False)
class Display:
    """What all displays have: a name, the numbers they rest on, and `from_estimator` beside `from_predictions`."""

    _: KW_ONLY
    name: str | None = None
    counts: str = ""
    ax_: Any = field(init=False)
    figure_: Any = field(init=False)
    line_: Any = field(init=False)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: ArrayLike, *, name: str | None = None, **kwargs: Any) -> Self:
        """Predict, compute and draw.

        Parameters
        ----------
        estimator : fitted classifier of two classes
            With `predict_proba`, or with `predict_tier` for risk tiers.
        X : array-like of shape (n_records, ...)
            What the classifier takes, of patients that it was not fitted on.
        y : array-like of shape (n_records,)
            Labels, as they were in `fit`.
        name : str, optional
            Of the model; the class of the classifier if None.
        **kwargs
            As in `from_predictions`.

        Returns
        -------
        display
            Drawn.

        Raises
        ------
        ValueError
            If the classifier knows other than two classes.
        """
        classes = np.asarray(estimator.classes_)
        if len(classes) != 2:
            raise ValueError(f"{cls.__name__} is of two classes, but the classifier knows {classes.tolist()}.")
        last = getattr(estimator, "steps", [("", estimator)])[-1][1]
        make: Any = cls.from_predictions  # type: ignore[attr-defined]
        return make(np.asarray(y) == classes[1], cls._ask(estimator, X), name=name or type(last).__name__, **kwargs)

    @staticmethod
    def _ask(estimator: Any, X: Any) -> Any:
        """Return what the display draws of a classifier: the probability of its second class."""
        return estimator.predict_proba(X)[:, 1]


@dataclass(eq=False, repr=False)
class NamesDisplay(Display):
    """A display that names the classes."""

    _: KW_ONLY
    target_names: Names = ("negative", "positive")


def count(y_true: ArrayLike, groups: ArrayLike | None, names: Names) -> str:
    """Return how many records, patients and events a picture rests on."""
    positive = check_labels(y_true)
    units = check_codes(groups, len(positive), name="groups")
    patients = "" if units is None else f" of {count_noun(int(units.max()) + 1, 'patient')}"
    return f"{count_noun(len(positive), 'record')}{patients}, {int(positive.sum())} {names[1]}"


def plot_curve(display: Any, ax: Axes | None, band: bool, style: dict[str, Any]) -> None:
    """Draw the curve of a display and, if asked for, its band in the same colour; keep axes, figure and line."""
    display.ax_, curve = get_axes(ax), display.curve
    display.figure_ = display.ax_.figure
    (display.line_,) = display.ax_.plot(curve.x, curve.y, **({"linewidth": 1.8} | style))
    x, low, high = (values[np.isfinite(curve.low) & band] for values in (curve.x, curve.low, curve.high))
    display.ax_.fill_between(x, low, high, color=display.line_.get_color(), alpha=0.15, linewidth=0, zorder=1)


def finish_axes(ax: Axes, title: str, **settings: Any) -> None:
    """Set labels and limits, a light grid, and the numbers as a small title.

    Parameters
    ----------
    ax : matplotlib Axes
        What was drawn on.
    title : str
        The numbers that the picture rests on.
    **settings
        Of matplotlib's `Axes.set`, such as `xlabel` and `ylim`.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators.displays import finish_axes
    >>> ax = Figure().add_subplot()
    >>> finish_axes(ax, "60 records", xlabel="Time (s)")
    >>> ax.get_title(), ax.get_xlabel()
    ('60 records', 'Time (s)')
    """
    ax.set(**{name: clean_label(value) if isinstance(value, str) else value for name, value in settings.items()})
    ax.set_title(clean_label(title), fontsize=9, color="#333333")
    ax.grid(color=GRID, linewidth=0.6)
    ax.set_axisbelow(True)
