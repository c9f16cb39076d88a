"""Draw the ways through the house in docs/architecture.md: ``python docs/_ways.py`` writes docs/images/way_*.svg."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

# Each stop: what passes, the place in the package that makes it, and what is asked or may happen there.
WAYS = {
    "record": (
        ("file", "any vendor's", ""),
        ("ECGRecord", "readers", "unreadable: ECGFileError,\nthe other files go on"),
        ("X, sampling_rate", "readers.load_ecgs", "a rate that no heart has:\na warning"),
        (
            "Measured:\nvalues and Usable",
            "preprocessing, features\n(measure)",
            "leads off, noise, no beat:\na reason in words",
        ),
        (
            "Judgement:\nprobability and Usable",
            "pipelines.ECGPipeline\n(judge)",
            "not usable:\nthe training prevalence",
        ),
        ("tier", "triage, metrics", "not usable:\n“not judged”"),
        ("line or page", "cli, comparison", "the reason beside it"),
    ),
    "patient": (
        ("groups", "labels, files", ""),
        ("checked groups", "_validation\n.check_groups", "missing in any type:\nValueError"),
        ("splits", "splits.make_splits", "a patient on both sides:\nValueError"),
        ("groups of the fold", "splits.route_groups", "to every fit that asks,\nby metadata routing"),
        ("inner folds", "classifiers, fusion,\ntriage", "early stopping, stacking,\nthresholds by patient"),
        ("resamples of\npatients", "metrics", "fewer than ten of a class:\na warning"),
        ("interval", "metrics.Interval", ""),
    ),
    "probability": (
        ("logits", "networks,\nbalanced batches", ""),
        ("log-odds at the\ntraining prevalence", "classifiers\n.shift_prior", "Bayes' rule"),
        ("out-of-fold\nprobabilities", "splits\n.predict_out_of_fold", "by patient, fold kept"),
        ("calibrated\nprobability", "fusion\n.FusionClassifier", "slope and intercept,\nranking unchanged"),
        ("thresholds with\nintervals", "metrics\n.tier_thresholds", "bootstrap of patients"),
        ("tier", "triage\n.RiskTierClassifier", "or “not judged”"),
        ("figures", "comparison, persistence\n(card)", "AUROC within folds"),
    ),
}
_WIDTH, _GAP, _HEIGHT = 2.55, 0.4, 1.25


def draw(stops: tuple[tuple[str, str, str], ...]) -> Figure:
    """Return a picture of one way: boxes from left to right, the place in the package above, what happens below."""
    length = len(stops) * (_WIDTH + _GAP) - _GAP
    figure = Figure(figsize=(length * 0.72, 2.3))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.1, length + 0.1), ylim=(-1.05, 2.35))
    axes.axis("off")
    for number, (what, where, note) in enumerate(stops):
        left = number * (_WIDTH + _GAP)
        box = FancyBboxPatch(
            (left, 0),
            _WIDTH,
            _HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.15",
            facecolor="#e8f1f8",
            edgecolor="#0072b2",
        )
        axes.add_patch(box)
        middle = left + _WIDTH / 2
        axes.text(middle, _HEIGHT / 2, what, ha="center", va="center", fontsize=9, fontweight="bold")
        axes.text(middle, _HEIGHT + 0.12, where, ha="center", va="bottom", fontsize=7.5, family="monospace")
        axes.text(middle, -0.15, note, ha="center", va="top", fontsize=7.5, color="#444444")
        if number:
            ends = (left - _GAP, _HEIGHT / 2), (left, _HEIGHT / 2)
            axes.add_patch(
                FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=11, color="#333333", shrinkA=0, shrinkB=0)
            )
    return figure


def main() -> None:
    """Write the pictures, the same bytes each time."""
    import matplotlib

    matplotlib.rcParams |= {"svg.hashsalt": "ways", "svg.fonttype": "none"}
    for name, stops in WAYS.items():
        path = Path(__file__).parent / "images" / f"way_{name}.svg"
        draw(stops).savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
