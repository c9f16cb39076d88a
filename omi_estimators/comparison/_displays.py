"""Pictures of a comparison. They use matplotlib without pyplot, so nobody's figures are touched."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_curve

from omi_estimators.metrics._bootstrap import Resampler
from omi_estimators.metrics._calibration import bin_probabilities
from omi_estimators.metrics._weighted import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from omi_estimators.comparison._result import ComparisonResult

# Okabe and Ito's colours, told apart by readers of any colour vision, dark ones first; dashes help in print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
_GREY = "#666666"
_N_BINS = 10
_N_RESAMPLES = 500
_PANELS_PER_ROW = 4
_LETTERS_PER_INCH = 15


def _new_figure(width: float, height: float) -> Figure:
    """Return an empty figure with a canvas of its own, or say how to get matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Pictures need matplotlib; install it with: pip install omi-estimators[plot]") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_roc(result: ComparisonResult) -> Figure:
    """Return the picture of ROC curves; see `ComparisonResult.plot_roc`."""
    figure = _new_figure(6.0, 6.4)
    axes = figure.add_subplot()
    level = f"{100 * result.confidence_level:g} % CI"
    for number, name in enumerate(result.table.index):
        row = result.table.loc[name]
        axes.plot(
            *average_roc(result, name),
            color=_COLOURS[number % len(_COLOURS)],
            linestyle=_DASHES[number % len(_DASHES)],
            linewidth=1.8,
            label=f"{name}: {row['roc_auc']:.3f} [{row['roc_auc_low']:.3f}, {row['roc_auc_high']:.3f}]",
        )
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, zorder=0)
    axes.set(
        xlabel="1 - specificity (false positive rate)",
        ylabel="Sensitivity (true positive rate)",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
        aspect="equal",
    )
    axes.grid(color="#dddddd", linewidth=0.6)
    # Below the diagonal there is room: no curve worth drawing runs there.
    axes.legend(loc="lower right", fontsize=8, title=f"Area under the curve [{level}]", title_fontsize=8)
    caption = (
        f"ROC curves for {result.target_names[1]} against {result.target_names[0]}, averaged over folds. "
        f"{_describe(result)} Thin grey line: chance."
    )
    _add_caption(figure, caption, 6.0)
    return figure


def average_roc(result: ComparisonResult, name: Any) -> tuple[Floats, Floats]:
    """Return false and true positive rates of the curve whose area is the estimator's `roc_auc`.

    Sensitivities of the folds at the same specificity are averaged, each fold weighing by its number of
    pairs of a positive and a negative.
    """
    prob = result.probabilities[name].to_numpy()
    curves, weights = [], []
    for fold in np.unique(result.fold[result.tested]):
        here = result.fold == fold
        curves.append(roc_curve(result.y[here], prob[here], drop_intermediate=False)[:2])
        weights.append(float(result.y[here].sum() * (1 - result.y[here]).sum()))
    grid = np.unique(np.concatenate([false_rate for false_rate, _ in curves]))
    steps = np.average(
        [_limits(false_rate, true_rate, grid) for false_rate, true_rate in curves], axis=0, weights=weights
    )
    # Both ends of each vertical step are kept, so that the area is exact.
    return np.repeat(grid, 2), steps.T.ravel()


def _limits(false_rate: Floats, true_rate: Floats, grid: Floats) -> Floats:
    """Return the lower and upper end of the curve at each point of `grid`, shape (2, n_points)."""
    first = np.searchsorted(false_rate, grid, side="left")
    last = np.searchsorted(false_rate, grid, side="right") - 1
    between = np.interp(grid, false_rate, true_rate)
    is_vertex = false_rate[first] == grid
    return np.stack([np.where(is_vertex, true_rate[first], between), np.where(is_vertex, true_rate[last], between)])


def draw_reliability(result: ComparisonResult) -> Figure:
    """Return the picture of reliability curves; see `ComparisonResult.plot_reliability`."""
    names = list(result.table.index)
    n_columns = min(len(names), _PANELS_PER_ROW)
    n_rows = -(-len(names) // n_columns)
    width = max(3.6, 3.0 * n_columns)
    figure = _new_figure(width, 4.7 * n_rows + (0.7 if n_columns > 1 else 1.5))
    grid = figure.add_gridspec(2 * n_rows, n_columns, height_ratios=[3, 1.3] * n_rows)
    for number, name in enumerate(names):
        row, column = divmod(number, n_columns)
        curve = figure.add_subplot(grid[2 * row, column])
        histogram = figure.add_subplot(grid[2 * row + 1, column], sharex=curve)
        colour = _COLOURS[number % len(_COLOURS)]
        _draw_curve(curve, result, name, colour)
        _draw_histogram(histogram, result, name)
        curve.set_title(str(name), fontsize=10)
        if column == 0:
            curve.set_ylabel(f"Observed frequency of {result.target_names[1]}")
            histogram.set_ylabel("Share of class")
    level = f"{100 * result.confidence_level:g} %"
    caption = (
        f"Predicted against observed frequency of {result.target_names[1]}, in up to {_N_BINS} groups of equal "
        f"size; bars: {level} intervals by bootstrap of {_name_units(result)}; grey line: perfect calibration. Below: "
        f"how probabilities are distributed in each class. {_describe(result)}"
    )
    _add_caption(figure, caption, width)
    return figure


def _draw_curve(axes: Any, result: ComparisonResult, name: Any, colour: str) -> None:
    predicted, observed, low, high = reliability(result, name)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, zorder=0)
    axes.errorbar(
        predicted,
        observed,
        # Rounding may put an end of the interval past the figure itself.
        yerr=np.maximum([observed - low, high - observed], 0),
        color=colour,
        marker="o",
        markersize=4,
        linewidth=1.4,
        elinewidth=0.9,
        capsize=2,
    )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.tick_params(labelbottom=False)


def _draw_histogram(axes: Any, result: ComparisonResult, name: Any) -> None:
    prob = result.probabilities[name].to_numpy()[result.tested]
    y = result.y[result.tested]
    bins = np.linspace(0, 1, 21)
    for label, colour, fill in ((0, _GREY, True), (1, "#000000", False)):
        chosen = prob[y == label]
        axes.hist(
            chosen,
            bins=bins,
            weights=np.full(len(chosen), 1 / len(chosen)),
            color=colour,
            alpha=0.45 if fill else 1.0,
            histtype="stepfilled" if fill else "step",
            label=f"{result.target_names[label]} (n = {len(chosen)})",
        )
    axes.set_xlabel(f"Predicted probability of {result.target_names[1]}", fontsize=9)
    axes.margins(y=0.45)
    axes.legend(fontsize=7, frameon=False, loc="upper right")


def reliability(result: ComparisonResult, name: Any) -> tuple[Floats, Floats, Floats, Floats]:
    """Return mean predicted and observed frequency in each bin, and the ends of its interval."""
    prob = result.probabilities[name].to_numpy()[result.tested]
    positive = result.y[result.tested] == 1
    patients = None if result.groups is None else np.unique(result.groups[result.tested], return_inverse=True)[1]
    bins = bin_probabilities(prob, _N_BINS, "quantile")
    member = (bins == np.arange(bins.max() + 1)[:, np.newaxis]).astype(np.float64)
    sizes = member.sum(axis=1)
    batches = []
    for weights in Resampler(positive, patients, None).draw(_N_RESAMPLES, np.random.default_rng(0)):
        drawn = member @ weights
        # A bin that a resample misses says nothing: NaN, which the quantiles leave out.
        batches.append(
            np.divide((member * positive) @ weights, drawn, out=np.full_like(drawn, np.nan), where=drawn > 0)
        )
    tails = [(1 - result.confidence_level) / 2, (1 + result.confidence_level) / 2]
    low, high = np.nanquantile(np.concatenate(batches, axis=1), tails, axis=1)
    return member @ prob / sizes, member @ positive / sizes, low, high


def _name_units(result: ComparisonResult) -> str:
    return "records" if result.groups is None else "patients"


def _describe(result: ComparisonResult) -> str:
    """Return the sentence that says what a picture rests on."""
    counts = result.counts
    patients = f" of {counts['n_patients']} patients" if result.groups is not None else ""
    return (
        f"{counts['n_records']} records{patients}, {counts['n_events']} with {result.target_names[1]}; "
        f"out-of-fold probabilities of {counts['n_folds']}-fold cross-validation"
        f"{' by patient' if result.groups is not None else ''}."
    )


def _add_caption(figure: Figure, text: str, width: float) -> None:
    figure.supxlabel(
        textwrap.fill(text, int(_LETTERS_PER_INCH * width)), fontsize=8.5, x=0.02, ha="left", color="#333333"
    )
