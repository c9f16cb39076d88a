"""``omi-estimators compare``: cross-validation of the candidates, and its report."""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omi_estimators.candidates import CANDIDATES, make_candidates
from omi_estimators.cli._tools import check_jobs_and_seed, check_writable, measure_records, positive, refuse, say

# Heavy libraries are imported where they are used, so that --help and errors come at once.
if TYPE_CHECKING:
    from omi_estimators.evaluation import ComparisonResult

# The others take a network each fold or several, which the quick first look does without.
_DEFAULT = ("net", "forest", "regression", "prior")

_DESCRIPTION = """\
Compare ECG-SMART-NET, a random forest on measured features, and two floors by cross-validation in which no
patient is on both sides. Without --ptbxl the ECGs are simulated. Writes a report with figures, intervals and pictures.
Research use only; not a medical device."""

_EPILOG = """\
examples:
  omi-estimators compare                                   simulated ECGs, a few minutes
  omi-estimators compare --ptbxl path/to/ptb-xl --out report"""

# The simulation is a demonstration: OMI is made frequent, and the net narrow, so that it ends in minutes.
_SIMULATED = {"n_patients": 200, "prevalence": 0.25, "width": 16}


def add_parser(commands: Any) -> None:
    """Add the command to a parser's commands."""
    compare = commands.add_parser(
        "compare",
        help="compare the net, the forest and two floors by patient-grouped cross-validation",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.set_defaults(run=_compare, lost="no report was written")
    add = compare.add_argument
    add("--ptbxl", metavar="DIR", type=Path, help="unpacked PTB-XL folder; without it ECGs are simulated")
    add("--task", choices=("mi_vs_norm", "mi_vs_rest"), help="labels from PTB-XL (default: mi_vs_norm)")
    add("--n-patients", metavar="N", type=positive, help="patients to simulate (default: 200)")
    add("--sampling-rate", metavar="HZ", type=positive, default=500, help="of the ECGs (default: 500)")
    add("--folds", metavar="N", type=positive, default=5, help="folds of cross-validation (default: 5)")
    add(
        "--repeats",
        metavar="N",
        type=positive,
        default=1,
        help="of the cross-validation, new folds and seeds (default: 1)",
    )
    add(
        "--estimators",
        metavar="A,B,...",
        type=_names,
        default=_DEFAULT,
        help=f"all, or any of {','.join(CANDIDATES)} (default: {','.join(_DEFAULT)})",
    )
    add("--calibrate", action="store_true", help="compare a calibrated form of each model too, cross-fitted by patient")
    add("--epochs", metavar="N", type=positive, help="most epochs of the net (default: that of the classifier)")
    add("--width", metavar="N", type=positive, help="channels of the net's first stage (default: 64; simulated: 16)")
    add("--seed", metavar="N", type=int, default=0, help="of everything that chance decides (default: 0)")
    add("--jobs", metavar="N", type=int, default=-1, help="processes; -1 means all cores (default: -1)")
    add("--cache", metavar="DIR", type=Path, help="keep beats, features and finished folds here, to go on after a stop")
    add("--out", metavar="DIR", type=Path, default=Path("omi-report"), help="report folder (default: omi-report)")


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
        make_splits(data.X, data.y, groups=data.groups, cv=args.folds, random_state=args.seed)
        # Made now, because a report that cannot be written is worth knowing before the work, not after it.
        args.out.mkdir(parents=True, exist_ok=True)
    except (ImportError, OSError, ValueError) as error:
        return refuse(error)
    for note in notes:
        say(note)
    say(
        f"{len(data.y)} records of {len(set(data.groups.tolist()))} patients, {int(data.y.sum())} with "
        f"{data.target_names[1]}; {args.folds} folds by patient"
        f"{f', {args.repeats} times' if args.repeats > 1 else ''}."
    )
    with tempfile.TemporaryDirectory(prefix="omi-estimators-") as temporary:
        cache = args.cache or Path(temporary)
        estimators = _make_estimators(args, cache / "records")
        usable = measure_records(data.X, args.estimators, args.sampling_rate, n_jobs=args.jobs, cache=cache / "records")
        if not usable.mask.all():
            n_bad = int((~usable.mask).sum())
            say(f"note: {n_bad} of {len(data.y)} records cannot be judged, and count in no figure: {usable}.")
        result = _run(estimators, data, args, cache / "folds")
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


def _check(args: argparse.Namespace) -> None:
    """Raise an error for arguments that cannot work together, or a report that could not be written."""
    if args.ptbxl and args.n_patients:
        raise ValueError("--n-patients is for simulated ECGs; leave it out, or leave out --ptbxl.")
    if args.task and not args.ptbxl:
        raise ValueError("--task chooses labels of PTB-XL; give --ptbxl DIR too.")
    check_jobs_and_seed(args)
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("The report needs matplotlib; install it with: pip install omi-estimators[plot]")
    check_writable(args.out, "report", "--out")


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


def _run(estimators: dict[str, Any], data: Any, args: argparse.Namespace, cache: Path) -> ComparisonResult:
    from omi_estimators.evaluation import compare_estimators
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
            cv=args.folds,
            repeats=args.repeats,
            target_names=data.target_names,
            random_state=args.seed,
            subgroups=_find_subgroups(data),
            cache_dir=cache,
        )


def _find_subgroups(data: Any) -> dict[str, Any]:
    """Return age and sex of each record, where the data have them."""
    found = {"age": data["age"]} if "age" in data else {}
    if "sex" in data:
        found["sex"] = [{0: "male", 1: "female"}.get(sex) for sex in data["sex"].tolist()]
    return found
