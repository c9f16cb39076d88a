"""``omi-estimators compare``: cross-validation of the candidates, and its report.

Compare ECG-SMART-NET, a random forest on measured features, and two floors by cross-validation in which no
patient is on both sides: on ECG files of your own (--data, --labels), on PTB-XL (--ptbxl), else on simulated ECGs.
Writes a page that begins with a verdict: which model, how sure, what it takes to be sure. Then where to cut, what the
best model looks at, and its surest mistakes on paper. Research use only; not a medical device.

some examples:
  omi-estimators compare                                   simulated ECGs, a few minutes
  omi-estimators compare --ptbxl path/to/ptb-xl --out report
  omi-estimators compare --data ecgs --labels labels.csv --subgroup age --subgroup sex --out report

the table of labels:
  a CSV file with the columns file (relative to --data), label (0 or 1) and patient, and columns for --subgroup.
  Patient, age and sex are taken from the files where the table lacks them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omi_estimators.candidates import CANDIDATES, installed_candidates
from omi_estimators.cli import _tools

# Heavy libraries are imported where they are used, so that --help and errors come at once.
if TYPE_CHECKING:
    from omi_estimators.evaluation import ComparisonResult, Section

# The others take a network each fold or several, which the quick first look does without.
_DEFAULT = ("net", "forest", "regression", "prior")

# The simulation is a demonstration: OMI is made frequent, and the net narrow, so that it ends in minutes.
_SIMULATED = {"n_patients": 200, "prevalence": 0.25, "width": 16, "n_members": 1}
_DEFAULTS_OF_FIT = {("sampling_rate", 500), ("duration", 10), ("folds", 5), ("seed", 0)}


def add_parser(commands: Any) -> None:
    """Add the command to a parser's commands."""
    words = "compare the net, the forest and two floors by patient-grouped cross-validation"
    add = _tools.add_command(commands, "compare", _compare, __doc__, lost="no report was written", help=words)
    add("--data", "--labels", "--subgroup", "--positive", "--file-rate", "--unit", "--duration")
    add("--ptbxl", metavar="DIR", type=Path, help="unpacked PTB-XL folder")
    add("--task", choices=("mi_vs_norm", "mi_vs_rest"), help="labels from PTB-XL (default: mi_vs_norm)")
    add("--n-patients", metavar="N", type=_tools.positive, help="patients to simulate (default: 200)")
    add("--sampling-rate", "--folds")
    words = "of the cross-validation, new folds and seeds (default: 1)"
    add("--repeats", metavar="N", type=_tools.positive, default=1, help=words)
    words = f"all that is installed, or any of {','.join(CANDIDATES)} (default: {','.join(_DEFAULT)})"
    add("--estimators", metavar="A,B,...", type=_names, default=_DEFAULT, help=words)
    add("--calibrate", action="store_true", help="compare a calibrated form of each model too, cross-fitted by patient")
    add("--epochs")
    add("--width", help="channels of the net's first stage (default: 64; simulated: 16)")
    add("--members", help="networks that are averaged (default: 5; simulated: 1)")
    add("--seed", "--jobs")
    words = "keep beats, features and finished folds here, to go on after a stop and to fit"
    add("--cache", help=f"{words} (default: none; with --data beside the report)")
    add("--out", metavar="DIR", type=Path, default=Path("omi-report"), help="report folder (default: omi-report)")


def _names(text: str) -> tuple[str, ...]:
    if text == "all":
        return installed_candidates()
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

    _check(args)
    data, notes = (_load_files if args.data else _load_ptbxl if args.ptbxl else _simulate)(args)
    make_splits(data.X, data.y, groups=data.groups, cv=args.folds, random_state=args.seed)
    # Made now, because a report that cannot be written is worth knowing before the work, not after it.
    args.out.mkdir(parents=True, exist_ok=True)
    for note in notes:
        _tools.say(note)
    _tools.say(
        f"{len(data.y)} records of {len(set(data.groups.tolist()))} patients, {int(data.y.sum())} with "
        f"{data.target_names[1]}; {args.folds} folds by patient"
        f"{f', {args.repeats} times' if args.repeats > 1 else ''}."
    )
    with _tools.keeping_measured(args) as cache:
        measured = cache / "records"
        estimators = _make_estimators(args, measured)
        usable = _tools.measure_records(data.X, args.estimators, args.sampling_rate, n_jobs=args.jobs, cache=measured)
        if not usable.mask.all():
            n_bad = int((~usable.mask).sum())
            _tools.say(f"note: {n_bad} of {len(data.y)} records cannot be judged, and count in no figure: {usable}.")
            _tools.check_both_classes(data.y[usable.mask].tolist())
        result, sections = _run(estimators, data, args, cache / "folds")
    source = args.data.resolve().name if args.data else "PTB-XL" if args.ptbxl else "simulated ECGs"
    page = result.write_report(
        args.out,
        title=f"{data.target_names[1]} against {data.target_names[0]} on {source}",
        notes=notes,
        n_skipped=len(data.get("skipped", ())),
        sections=sections,
        commands=_name_commands(result, args),
    )
    print(f"\n{result.verdict.headline}")
    if args.data and result.best != "prior":
        print(f"Next: {_write_fit(args, result.best)}")
    print(f"Report: {page}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raise an error for arguments that cannot work together, or a report that could not be written."""
    if args.ptbxl and args.n_patients:
        raise ValueError("--n-patients is for simulated ECGs; leave it out, or leave out --ptbxl.")
    if args.task and not args.ptbxl:
        raise ValueError("--task chooses labels of PTB-XL; give --ptbxl DIR too.")
    if (args.data is None) != (args.labels is None):
        raise ValueError("--data and --labels belong together: a folder of ECG files, and the table of their labels.")
    if args.data and (args.ptbxl or args.n_patients):
        raise ValueError("--data is for files of your own; leave out --ptbxl and --n-patients.")
    if not args.data and (args.subgroup or args.positive or _tools.file_options(args)):
        raise ValueError(
            "--subgroup, --positive, --file-rate and --unit are for files of your own; give --data and --labels too."
        )
    _tools.check_jobs_and_seed(args)
    _tools.check_report(args.out)
    if args.data and args.cache is None:
        # Beside the report and not in it, since it holds what was measured of patients.
        args.cache = args.out.parent / f"{args.out.name or 'report'}-cache"
    if args.cache:
        _tools.check_writable(args.cache, "cache", "--cache")


def _load_files(args: argparse.Namespace) -> tuple[Any, list[str]]:
    """Return the files of one's own, and what the reader of a report must know about them."""
    from sklearn.utils import Bunch

    X, table, n_unread = _tools.read_cohort(args, args.subgroup)
    data = Bunch(
        X=X,
        y=table["label"].to_numpy(),
        groups=_tools.find_patients(table),
        target_names=_tools.name_both(args.positive) or ["negative", "positive"],
        subgroups={name: _tools.find_column(table, name, args.labels.name) for name in args.subgroup},
        # As editors show them; names of files may be those of patients.
        record_names=[f"row {row + 2} of {args.labels.name}" for row in table.index],
        skipped=range(n_unread),
    )
    return data, []


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
    has_networks = bool(set(args.estimators) & {"net", "temporal_resnet18", "resnet18", "fusion"})
    if has_networks and args.width is None:
        notes.append(f"To be quick, networks are narrower than published (width {_SIMULATED['width']}, not 64).")
    if has_networks and args.members is None:
        notes.append("To be quick, each network is trained once: --members 5, the default elsewhere, averages five.")
    return data, notes


def _make_estimators(args: argparse.Namespace, cache: Path) -> dict[str, Any]:
    """Return the estimators asked for, each from raw ECGs to probabilities."""
    params: dict[str, Any] = {}
    if not (args.ptbxl or args.data):
        # A narrow net gains little from a second thread, and waits for minutes where others use the cores.
        params = {"width": _SIMULATED["width"], "n_members": _SIMULATED["n_members"], "n_threads": 1}
    return _tools.make_models(args, args.estimators, cache, **params)


def _run(
    estimators: dict[str, Any], data: Any, args: argparse.Namespace, cache: Path
) -> tuple[ComparisonResult, list[Section]]:
    """Return the comparison, having printed it, and what the best model looks at, with its surest mistakes."""
    from omi_estimators.evaluation import compare_estimators, inspect_comparison
    from omi_estimators.preprocessing import BeatShapeWarning, UnusableRecordWarning

    with warnings.catch_warnings():
        # Told once, before the folds.
        warnings.simplefilter("ignore", UnusableRecordWarning)
        warnings.simplefilter("ignore", BeatShapeWarning)
        warnings.filterwarnings("ignore", message=".* records are zero throughout")
        result = compare_estimators(
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
        print(result)
        print(f"\n{result.calibration_summary().rename_axis(None).to_string()}")
        _tools.say(f"looking into {result.best}")
        names = {"sampling_rate": args.sampling_rate, "record_names": data.get("record_names")}
        return result, inspect_comparison(result, estimators, data.X, **names)


def _name_commands(result: ComparisonResult, args: argparse.Namespace) -> list[str]:
    """Return the command that made the page and, on files of one's own, the one to go on with."""
    made_by = f"Made by: {shlex.join(['omi-estimators', *args.given])}"
    if not args.data or result.best == "prior":
        return [made_by]
    return [made_by, f"To fit {result.best} on all records, measuring none again: {_write_fit(args, result.best)}"]


def _write_fit(args: argparse.Namespace, best: str) -> str:
    """Return the command that fits the best model on the same files, from the same cache."""
    name, *calibrated = best.split(", ")
    files = ("data", "labels", "positive", "file_rate", "unit")
    same = (*files, "sampling_rate", "duration", "folds", "epochs", "width", "seed")
    words = ["omi-estimators", "fit", "--model", name, *["--calibrate" for _ in calibrated]]
    for key in (*same, "cache"):
        value = getattr(args, key)
        if value is not None and (key, value) not in _DEFAULTS_OF_FIT:
            words += [f"--{key.replace('_', '-')}", str(value)]
    return shlex.join([*words, "--out", f"{name}.omi"])


def _find_subgroups(data: Any) -> dict[str, Any]:
    """Return age and sex of each record, where the data have them."""
    if "subgroups" in data:
        return dict(data["subgroups"])
    found = {"age": data["age"]} if "age" in data else {}
    if "sex" in data:
        found["sex"] = [{0: "male", 1: "female"}.get(sex) for sex in data["sex"].tolist()]
    return found
