"""The command line: ``omi-estimators compare`` and ``omi-estimators card``."""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omi_estimators.candidates import CANDIDATES, make_candidates

# Heavy libraries are imported where they are used, so that --help and errors come at once.
if TYPE_CHECKING:
    from omi_estimators.comparison import ComparisonResult

# The others take a network each fold or several, which the quick first look does without.
_DEFAULT = ("net", "forest", "regression", "prior")
_BAD_INPUT = 2
_INTERRUPTED = 130
_CHUNK = 32  # records between two steps of the progress bar

_DESCRIPTION = """\
Compare ECG-SMART-NET, a random forest on NeuroKit2 features, and two floors by cross-validation in which no
patient is on both sides. Without --ptbxl the ECGs are simulated. Writes a report with figures, intervals and pictures.
Research use only; not a medical device."""

_EPILOG = """\
examples:
  omi-estimators compare                                   simulated ECGs, a few minutes
  omi-estimators compare --ptbxl path/to/ptb-xl --out report"""

# The simulation is a demonstration: OMI is made frequent, and the net narrow, so that it ends in minutes.
_SIMULATED = {"n_patients": 200, "prevalence": 0.25, "width": 16}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if None.

    Returns
    -------
    int
        0 if all went well, 2 for bad input (with one line on stderr), 130 if interrupted by the user.

    Examples
    --------
    >>> from omi_estimators.cli import main
    >>> main(["compare", "--ptbxl", "there/is/no/such/folder"])
    2
    """
    args = _make_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print("\nomi-estimators: interrupted; no report was written.", file=sys.stderr)
        return _INTERRUPTED


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="omi-estimators", description="Estimators for OMI on the 12-lead ECG.")
    commands = parser.add_subparsers(required=True, metavar="command")
    compare = commands.add_parser(
        "compare",
        help="compare the net, the forest and two floors by patient-grouped cross-validation",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.set_defaults(run=_compare)
    add = compare.add_argument
    add("--ptbxl", metavar="DIR", type=Path, help="unpacked PTB-XL folder; without it ECGs are simulated")
    add("--task", choices=("mi_vs_norm", "mi_vs_rest"), help="labels from PTB-XL (default: mi_vs_norm)")
    add("--n-patients", metavar="N", type=_positive, help="patients to simulate (default: 200)")
    add("--sampling-rate", metavar="HZ", type=_positive, default=500, help="of the ECGs (default: 500)")
    add("--folds", metavar="N", type=_positive, default=5, help="folds of cross-validation (default: 5)")
    add(
        "--estimators",
        metavar="A,B,...",
        type=_names,
        default=_DEFAULT,
        help=f"all, or any of {','.join(CANDIDATES)} (default: {','.join(_DEFAULT)})",
    )
    add("--calibrate", action="store_true", help="compare a calibrated form of each model too, cross-fitted by patient")
    add("--epochs", metavar="N", type=_positive, help="most epochs of the net (default: that of the classifier)")
    add("--width", metavar="N", type=_positive, help="channels of the net's first stage (default: 64; simulated: 16)")
    add("--seed", metavar="N", type=int, default=0, help="of everything that chance decides (default: 0)")
    add("--jobs", metavar="N", type=int, default=-1, help="processes; -1 means all cores (default: -1)")
    add("--cache", metavar="DIR", type=Path, help="keep beats, features and finished folds here, to go on after a stop")
    add("--out", metavar="DIR", type=Path, default=Path("omi-report"), help="report folder (default: omi-report)")
    card = commands.add_parser("card", help="print the card of a saved model, without loading it")
    card.set_defaults(run=_card)
    card.add_argument("file", metavar="FILE", type=Path, help="a file that omi_estimators.save wrote")
    return parser


def _card(args: argparse.Namespace) -> int:
    """Run ``omi-estimators card``."""
    from omi_estimators.persistence import read_card

    try:
        text = read_card(args.file)
    except (OSError, ValueError) as error:
        return _refuse(error)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of classes may be words that the terminal has no letters for.
        sys.stdout.reconfigure(errors="replace")
    print(text, end="")
    return 0


def _refuse(error: Exception) -> int:
    """Say in one line why input is bad."""
    print(f"omi-estimators: error: {' '.join(str(error).split())}", file=sys.stderr)
    return _BAD_INPUT


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1; got {text!r}")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    if text == "all":
        return CANDIDATES
    names = tuple(dict.fromkeys(text.split(",")))
    unknown = [name for name in names if name not in CANDIDATES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown estimator {unknown[0]!r}; take all or any of {', '.join(CANDIDATES)}"
        )
    return names


def _compare(args: argparse.Namespace) -> int:
    """Run ``omi-estimators compare``: everything that input can spoil first, then the long work."""
    from omi_estimators.splits import make_splits

    try:
        _check(args)
        data, notes = _load_ptbxl(args) if args.ptbxl else _simulate(args)
        splits = make_splits(data.X, data.y, groups=data.groups, cv=args.folds, random_state=args.seed)
        # Made now, because a report that cannot be written is worth knowing before the work, not after it.
        args.out.mkdir(parents=True, exist_ok=True)
    except (ImportError, OSError, ValueError) as error:
        return _refuse(error)
    for note in notes:
        _say(note)
    _say(
        f"{len(data.y)} records of {len(set(data.groups.tolist()))} patients, {int(data.y.sum())} with "
        f"{data.target_names[1]}; {args.folds} folds by patient."
    )
    with tempfile.TemporaryDirectory(prefix="omi-estimators-") as temporary:
        cache = args.cache or Path(temporary)
        estimators = _make_estimators(args, cache / "records")
        n_unusable = _measure_records(data.X, args, cache / "records")
        if n_unusable:
            notes.append(f"{n_unusable} records have no measurable beat or features; they count all the same.")
            _say(notes[-1])
        result = _run(estimators, data, splits, args.seed, cache / "folds")
    print(result)
    print(f"\n{result.calibration_summary().rename_axis(None).to_string()}")
    source = "PTB-XL" if args.ptbxl else "simulated ECGs"
    page = result.write_report(
        args.out,
        title=f"{data.target_names[1]} against {data.target_names[0]} on {source}",
        notes=notes,
        n_skipped=len(data.get("skipped", ())),
    )
    print(f"\nReport: {page}")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _check(args: argparse.Namespace) -> None:
    """Raise an error for arguments that cannot work together, or a report that could not be written."""
    if args.ptbxl and args.n_patients:
        raise ValueError("--n-patients is for simulated ECGs; leave it out, or leave out --ptbxl.")
    if args.task and not args.ptbxl:
        raise ValueError("--task chooses labels of PTB-XL; give --ptbxl DIR too.")
    if args.jobs == 0:
        raise ValueError("--jobs must be a number of processes, or -1 for all cores; got 0.")
    if args.seed < 0:
        raise ValueError(f"--seed must be at least 0; got {args.seed}.")
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("The report needs matplotlib; install it with: pip install omi-estimators[plot]")
    folder = args.out.absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(f"The report cannot be written to {args.out}: {folder} is not a writable folder; choose --out.")


def _load_ptbxl(args: argparse.Namespace) -> tuple[Any, list[str]]:
    """Return PTB-XL, and what the reader of a report must know about it."""
    from omi_estimators.datasets import load_ptbxl

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = load_ptbxl(
            args.ptbxl, args.task or "mi_vs_norm", sampling_rate=args.sampling_rate, n_jobs=_count_cores(args.jobs)
        )
    labels = "Labels are myocardial infarction (MI), mostly old or undated: not occlusion MI (OMI)."
    return data, [labels, *(str(warning.message) for warning in caught if warning.category is UserWarning)]


def _count_cores(n_jobs: int) -> int:
    return n_jobs if n_jobs > 0 else max(1, (os.cpu_count() or 1) + 1 + n_jobs)


def _simulate(args: argparse.Namespace) -> tuple[Any, list[str]]:
    """Return simulated ECGs, and what the reader of a report must know about them."""
    from omi_estimators.datasets import make_omi_ecgs

    data = make_omi_ecgs(
        n_patients=args.n_patients or _SIMULATED["n_patients"],
        prevalence=_SIMULATED["prevalence"],
        sampling_rate=args.sampling_rate,
        random_state=args.seed,
    )
    notes = ["The ECGs are SIMULATED, and OMI is made frequent: no figure here says anything about patients."]
    if args.width is None and set(args.estimators) - {"forest", "regression", "prior"}:
        notes.append(f"The net is narrower than published (width {_SIMULATED['width']}, not 64), to be quick.")
    return data, notes


def _make_estimators(args: argparse.Namespace, cache: Path) -> dict[str, Any]:
    """Return the estimators asked for, each from raw ECGs to probabilities."""
    net_params = {"max_epochs": args.epochs, "width": args.width}
    if not args.ptbxl:
        # A narrow net gains little from a second thread, and waits for minutes where others use the cores.
        net_params |= {"width": args.width or _SIMULATED["width"], "n_threads": 1}
    return make_candidates(
        args.estimators,
        args.sampling_rate,
        memory=str(cache),
        n_jobs=args.jobs,
        net_params={key: value for key, value in net_params.items() if value is not None},
        calibrated=args.calibrate,
    )


def _measure_records(X: Any, args: argparse.Namespace, cache: Path) -> int:
    """Fill the cache of beats and features, showing progress; return how many records have none.

    Done here, once and in parallel, so that the folds' times are those of learning.
    """
    import numpy as np
    from tqdm import tqdm

    from omi_estimators.pipelines import make_forest_pipeline, make_net_pipeline
    from omi_estimators.preprocessing import UnusableRecordWarning

    # The steps that work on one record at a time; the regression's beats are those of the net.
    given = {"sampling_rate": args.sampling_rate, "memory": str(cache), "n_jobs": args.jobs}
    wanted = set(args.estimators)
    steps = {}
    if wanted & {"forest", "fusion"}:
        steps["features"] = make_forest_pipeline(**given)[:1]
    if wanted - {"forest", "prior"}:
        steps["beats"] = make_net_pipeline(**given)[:2]
    unusable = np.zeros(len(X), dtype=bool)
    for what, measure in steps.items():
        with tqdm(total=len(X), desc=f"measuring {what}", unit="record", file=sys.stderr) as bar:
            for start in range(0, len(X), _CHUNK):
                records = X[start : start + _CHUNK]
                with warnings.catch_warnings():
                    # Counted and reported once for all records instead.
                    warnings.simplefilter("ignore", UnusableRecordWarning)
                    values = np.asarray(measure.fit_transform(records)).reshape(len(records), -1)
                unusable[start : start + _CHUNK] |= (np.isnan(values) | (values == 0)).all(axis=1)
                bar.update(len(records))
    return int(unusable.sum())


def _run(estimators: dict[str, Any], data: Any, splits: Any, seed: int, cache: Path) -> ComparisonResult:
    from omi_estimators.comparison import compare_estimators
    from omi_estimators.preprocessing import UnusableRecordWarning

    with warnings.catch_warnings():
        # Told once, before the folds.
        warnings.simplefilter("ignore", UnusableRecordWarning)
        warnings.filterwarnings("ignore", message=".* records are zero throughout")
        return compare_estimators(
            estimators,
            data.X,
            data.y,
            groups=data.groups,
            cv=splits,
            target_names=data.target_names,
            random_state=seed,
            subgroups=_find_subgroups(data),
            cache_dir=cache,
        )


def _find_subgroups(data: Any) -> dict[str, Any]:
    """Return age and sex of each record, where the data have them."""
    found = {"age": data["age"]} if "age" in data else {}
    if "sex" in data:
        found["sex"] = [{0: "male", 1: "female"}.get(sex) for sex in data["sex"].tolist()]
    return found
