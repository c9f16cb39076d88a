"""``omi-estimators fit``: from a folder of ECG files and a table of labels to a saved model with risk tiers."""

from __future__ import annotations

import argparse
import tempfile
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from omi_estimators.candidates import CALIBRATED, CANDIDATES
from omi_estimators.cli._tools import (
    add_file_options,
    add_positive_option,
    check_both_classes,
    check_jobs_and_seed,
    check_writable,
    find_patients,
    knows_patients,
    measure_records,
    positive,
    read_cohort,
    refuse,
    say,
    tell_positive,
)

_DESCRIPTION = """\
Fit a model on ECG files of any kind and their labels, and save it. Thresholds of its risk tiers come from probabilities
out of patient-grouped folds, and so do the figures that are printed and written on the model's card.
omi-estimators compare says which model to fit.
Research use only; not a medical device."""

_EPILOG = """\
the table of labels:
  a CSV file with the columns file (relative to --data), label (0 or 1) and, so that no patient is on both sides of a
  fold, patient. Without that column the patient ids in the files are taken.

example:
  omi-estimators fit --data ecgs --labels labels.csv --model forest --out forest.omi"""


# By the metric's name, what the card calls it.
_FIGURES = {
    "roc_auc": "AUROC",
    "average_precision": "average precision",
    "brier_score": "Brier score",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
}


def add_parser(commands: Any) -> None:
    """Add the command to a parser's commands."""
    fit = commands.add_parser(
        "fit",
        help="fit a model on ECG files and their labels, and save it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fit.set_defaults(run=_fit, lost="no model was written")
    add = fit.add_argument
    add("--data", metavar="DIR", type=Path, required=True, help="folder of the ECG files")
    add("--labels", metavar="CSV", type=Path, required=True, help="table with the columns file, label, patient")
    models = [name for name in CANDIDATES if name != "prior"]
    add("--model", metavar="NAME", choices=models, default="forest", help=f"{', '.join(models)} (default: forest)")
    add("--out", metavar="FILE", type=Path, required=True, help="where to save the model")
    add("--calibrate", action="store_true", help="calibrate a network or the forest, cross-fitted by patient")
    add("--sampling-rate", metavar="HZ", type=positive, default=500, help="to work at (default: 500)")
    add("--duration", metavar="S", type=positive, default=10, help="of each record that is used (default: 10)")
    add_positive_option(fit, "none is kept with the model")
    add_file_options(fit)
    add("--folds", metavar="N", type=positive, default=5, help="folds for thresholds and figures (default: 5)")
    add("--epochs", metavar="N", type=positive, help="most epochs of the net (default: that of the classifier)")
    add("--width", metavar="N", type=positive, help="channels of the net's first stage (default: 64)")
    add("--members", metavar="N", type=positive, help="networks that are averaged (default: 5)")
    add("--seed", metavar="N", type=int, default=0, help="of everything that chance decides (default: 0)")
    add("--cache", metavar="DIR", type=Path, help="keep what is measured here, or take it from omi-estimators compare")
    words = "keep salted hashes of patients in the file, so that validate refuses patients who were trained on"
    add("--remember-patients", action="store_true", help=words)
    add("--jobs", metavar="N", type=int, default=-1, help="processes; -1 means all cores (default: -1)")


def _fit(args: argparse.Namespace) -> int:
    """Run ``omi-estimators fit``: everything that input can spoil first, then the long work."""
    from omi_estimators.preprocessing import BeatShapeWarning

    try:
        _check(args)
        X, table, _ = read_cohort(args)
        if args.remember_patients and not knows_patients(table):
            raise ValueError(
                "--remember-patients needs patients: neither the table nor every file names them. Add a column patient."
            )
        y, groups = table["label"].to_numpy(), find_patients(table)
        with warnings.catch_warnings(record=True) as caught, ExitStack() as stack:
            warnings.simplefilter("always", UserWarning)
            if args.cache is None:
                cache = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omi-")))
            else:
                args.lost += f"; what was measured is in {args.cache}, and the same command goes on from there"
                # Where a comparison keeps its own.
                cache = args.cache / "records"
            usable = measure_records(X, [args.model], args.sampling_rate, n_jobs=args.jobs, cache=cache)
            known = {name: table[f"file_{name}"].to_numpy(dtype=float)[usable.mask] for name in ("age", "sex")}
            X, y, groups = _leave_out(X, y, groups, table["file"].to_numpy(), usable)
            n_patients = len(set(groups.tolist()))
            positives = f"{int(y.sum())} {args.positive or 'positive'}"
            say(f"{len(y)} records of {n_patients} patients, {positives}; {args.folds} folds by patient.")
            # Told by the measuring, of all records.
            warnings.simplefilter("ignore", BeatShapeWarning)
            model = _make_model(args, str(cache)).fit(X, y, groups=groups)
            profile = _fit_profile(args, X, groups, known, str(cache))
            figures = _find_figures(model, y, groups, args.seed)
    except (ImportError, OSError, ValueError) as error:
        return refuse(error)
    for text in dict.fromkeys(str(item.message) for item in caught):
        say(f"note: {text}")
    return _save(args, model, y, groups, figures, profile)


def _check(args: argparse.Namespace) -> None:
    check_jobs_and_seed(args)
    check_writable(args.out.absolute().parent, "model", "--out")
    if args.out.is_dir():
        raise ValueError(f"--out must be a file; {args.out} is a folder.")
    if args.cache:
        check_writable(args.cache, "cache", "--cache")
    if args.calibrate and args.model not in CALIBRATED:
        raise ValueError(f"--calibrate is for {', '.join(CALIBRATED)}; {args.model} is a regression in its last step.")


def _leave_out(X: Any, y: Any, groups: Any, files: Any, usable: Any) -> tuple[Any, Any, Any]:
    """Return the records that can be judged; name the others."""
    if not usable.mask.all():
        bad = ~usable.mask
        shown = ", ".join(f"{file} ({why})" for file, why in zip(files[bad][:10], usable.reasons[bad], strict=False))
        say(f"note: left out, as they cannot be judged: {bad.sum()} records: {shown}{' ...' * (bad.sum() > 10)}.")
        X, y, groups = X[usable.mask], y[usable.mask], groups[usable.mask]
    check_both_classes(y.tolist())
    return X, y, groups


def _make_model(args: argparse.Namespace, cache: str) -> Any:
    """Return the classifier with risk tiers, not fitted."""
    from omi_estimators.candidates import make_candidates
    from omi_estimators.triage import RiskTierClassifier

    params = {"max_epochs": args.epochs, "width": args.width, "n_members": args.members}
    made = make_candidates(
        (args.model,),
        args.sampling_rate,
        memory=cache,
        n_jobs=args.jobs,
        net_params={name: value for name, value in params.items() if value is not None},
        calibrated=args.calibrate,
    )
    model = made[f"{args.model}, calibrated" if args.calibrate else args.model]
    seeds = [name for name in model.get_params() if name.split("__")[-1] == "random_state"]
    model.set_params(**dict.fromkeys(seeds, args.seed))
    return RiskTierClassifier(model, cv=args.folds, random_state=args.seed, verbose=1)


def _find_figures(model: Any, y: Any, groups: Any, seed: int) -> dict[str, Any]:
    """Return what the card says of the model out of fold, and its thresholds with what they keep."""
    from omi_estimators.metrics import bootstrap_intervals

    told = model.usable_
    known = {"groups": groups[told], "folds": model.fold_[told], "random_state": seed}
    found = bootstrap_intervals(y[told], {"model": model.out_of_fold_[told]}, list(_FIGURES), **known)["model"]
    figures: dict[str, Any] = {title: found[name] for name, title in _FIGURES.items()}
    cuts = model.thresholds_
    figures["rule-out"] = f"below {cuts.rule_out}, which keeps a sensitivity of {model.sensitivity:.2f} out of fold"
    figures["greatest F1"] = f"from {cuts.max_f1}"
    figures["rule-in"] = f"from {cuts.rule_in}, which reaches a PPV of {model.ppv:.2f} out of fold, at this prevalence"
    if cuts.rule_in.estimate == float("inf"):
        figures["rule-in"] = f"nobody: no threshold reaches a PPV of {model.ppv:.2f} out of fold"
    return figures


def _fit_profile(args: argparse.Namespace, X: Any, groups: Any, known: dict[str, Any], cache: str) -> Any:
    """Return what the records are like, to be kept with the model; None where too few or too coarse to say."""
    from omi_estimators.typicality import ECGProfile

    try:
        return ECGProfile(args.sampling_rate, n_jobs=args.jobs, memory=cache).fit(X, groups=groups, **known)
    except ValueError as error:
        say(f"note: the model is saved without a profile of its records: {error}")
        return None


def _save(args: argparse.Namespace, model: Any, y: Any, groups: Any, figures: dict[str, Any], profile: Any) -> int:
    """Save the model with its card, and print what it is."""
    from omi_estimators.persistence import save

    with warnings.catch_warnings():
        # What a later fit would miss: seeds and the like, which the command gives anew.
        warnings.simplefilter("ignore", UserWarning)
        try:
            save(
                model,
                args.out,
                y=y,
                groups=groups,
                metrics=figures,
                evaluated_on=f"the training records, out of {args.folds} folds by patient",
                notes=f"{tell_positive(args.positive)}Fitted by omi-estimators fit --model {args.model} on files at "
                f"{args.sampling_rate} Hz.",
                profile=profile,
                remember_patients=args.remember_patients,
            )
        except (OSError, TypeError, ValueError) as error:
            return refuse(error)
    for name, text in figures.items():
        print(f"{name}: {text}")
    print(f"Model: {args.out}")
    return 0
