"""``omi-estimators fit``: from a folder of ECG files and a table of labels to a saved model with risk tiers.

Fit a model on ECG files of any kind and their labels, and save it. Thresholds of its risk tiers come from probabilities
out of patient-grouped folds, and so do the figures that are printed and written on the model's card.
omi-estimators compare says which model to fit.
Research use only; not a medical device.

the table of labels:
  a CSV file with the columns file (relative to --data), label (0 or 1) and, so that no patient is on both sides of a
  fold, patient. Without that column the patient ids in the files are taken.

example:
  omi-estimators fit --data ecgs --labels labels.csv --model forest --out forest.omi
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

from omi_estimators.candidates import CALIBRATED, CANDIDATES
from omi_estimators.cli import _tools

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
    words = "fit a model on ECG files and their labels, and save it"
    add = _tools.add_command(commands, "fit", _fit, __doc__, lost="no model was written", help=words)
    add("--data", "--labels", required=True)
    models = [name for name in CANDIDATES if name != "prior"]
    add("--model", metavar="NAME", choices=models, default="forest", help=f"{', '.join(models)} (default: forest)")
    add("--out", metavar="FILE", type=Path, required=True, help="where to save the model")
    add("--calibrate", action="store_true", help="calibrate a network or the forest, cross-fitted by patient")
    add("--sampling-rate", "--duration", "--positive", "--file-rate", "--unit", "--folds")
    add("--epochs", "--width", "--members", "--seed")
    add("--cache", help="keep what is measured here, or take it from omi-estimators compare")
    words = "keep salted hashes of patients in the file, so that validate refuses patients who were trained on"
    add("--remember-patients", action="store_true", help=words)
    add("--jobs")


def _fit(args: argparse.Namespace) -> int:
    """Run ``omi-estimators fit``: everything that input can spoil first, then the long work."""
    from omi_estimators.preprocessing import BeatShapeWarning

    _check(args)
    X, table, _ = _tools.read_cohort(args)
    if args.remember_patients and not _tools.knows_patients(table):
        raise ValueError(
            "--remember-patients needs patients: neither the table nor every file names them. Add a column patient."
        )
    y, groups = table["label"].to_numpy(), _tools.find_patients(table)
    with _tools.say_warnings(), _tools.keeping_measured(args) as cache:
        # Where a comparison keeps its own.
        cache = cache / "records"
        usable = _tools.measure_records(X, [args.model], args.sampling_rate, n_jobs=args.jobs, cache=cache)
        known = {name: table[f"file_{name}"].to_numpy(dtype=float)[usable.mask] for name in ("age", "sex")}
        X, y, groups = _leave_out(X, y, groups, table["file"].to_numpy(), usable)
        n_patients = len(set(groups.tolist()))
        positives = f"{int(y.sum())} {args.positive or 'positive'}"
        _tools.say(f"{len(y)} records of {n_patients} patients, {positives}; {args.folds} folds by patient.")
        # Told by the measuring, of all records.
        warnings.simplefilter("ignore", BeatShapeWarning)
        model = _make_model(args, cache).fit(X, y, groups=groups)
        profile = _fit_profile(args, X, groups, known, str(cache))
        figures = _find_figures(model, y, groups, args.seed)
    return _save(args, model, y, groups, figures, profile)


def _check(args: argparse.Namespace) -> None:
    _tools.check_jobs_and_seed(args)
    _tools.check_new_file(args.out, "model", "--out")
    if args.cache:
        _tools.check_writable(args.cache, "cache", "--cache")
    if args.calibrate and args.model not in CALIBRATED:
        raise ValueError(f"--calibrate is for {', '.join(CALIBRATED)}; {args.model} is a regression in its last step.")


def _leave_out(X: Any, y: Any, groups: Any, files: Any, usable: Any) -> tuple[Any, Any, Any]:
    """Return the records that can be judged; name the others."""
    if not usable.mask.all():
        bad = ~usable.mask
        shown = ", ".join(f"{file} ({why})" for file, why in zip(files[bad][:10], usable.reasons[bad], strict=False))
        _tools.say(
            f"note: left out, as they cannot be judged: {bad.sum()} records: {shown}{' ...' * (bad.sum() > 10)}."
        )
        X, y, groups = X[usable.mask], y[usable.mask], groups[usable.mask]
    _tools.check_both_classes(y.tolist())
    return X, y, groups


def _make_model(args: argparse.Namespace, cache: Path) -> Any:
    """Return the classifier with risk tiers, not fitted."""
    from omi_estimators.triage import RiskTierClassifier

    made = _tools.make_models(args, (args.model,), cache)
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
        _tools.say(f"note: the model is saved without a profile of its records: {error}")
        return None


def _save(args: argparse.Namespace, model: Any, y: Any, groups: Any, figures: dict[str, Any], profile: Any) -> int:
    """Save the model with its card, and print what it is."""
    from omi_estimators.persistence import save

    with warnings.catch_warnings():
        # What a later fit would miss: seeds and the like, which the command gives anew.
        warnings.simplefilter("ignore", UserWarning)
        save(
            model,
            args.out,
            y=y,
            groups=groups,
            metrics=figures,
            evaluated_on=f"the training records, out of {args.folds} folds by patient",
            notes=f"{_tools.tell_positive(args.positive)}Fitted by omi-estimators fit --model {args.model} on files at "
            f"{args.sampling_rate} Hz.",
            profile=profile,
            remember_patients=args.remember_patients,
        )
    for name, text in figures.items():
        print(f"{name}: {text}")
    print(f"Model: {args.out}")
    return 0
