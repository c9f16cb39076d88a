"""``omi-estimators validate``: what a saved model is worth on files and labels of one's own."""

from __future__ import annotations

import argparse
import importlib.util
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omi_estimators.cli._tools import (
    SOME_FAILED,
    add_file_options,
    add_jobs_option,
    add_positive_option,
    check_jobs_and_seed,
    check_writable,
    find_patients,
    knows_patients,
    load_model,
    model_file,
    name_both,
    name_positive,
    positive,
    read_labels,
    read_records,
    refuse,
    say,
    tell_positive,
)

if TYPE_CHECKING:
    import pandas as pd

_DESCRIPTION = """\
Apply a saved model to ECG files with labels, and write a page that says whether it holds there: discrimination,
calibration, net benefit, and its tiers as promised beside as found, with intervals by patient. Nothing is fitted,
unless --recalibrate asks for a model that is recalibrated on these files; validate that one on others.
Files that cannot be read or judged are counted by reason, and the exit status is then 1.
Research use only; not a medical device."""

_EPILOG = """\
the table of labels:
  a CSV file with the columns file (relative to --data), label (0 or 1) and patient, and columns for --subgroup.
  Patient, age and sex are taken from the files where the table lacks them.

example:
  omi-estimators validate forest.omi --data ecgs --labels labels.csv --subgroup age --subgroup sex --out report"""

# What the card says of a model, by the names that the page has for it.
_FACTS = {
    "Saved": "saved",
    "Records": "records",
    "Patients": "patients",
    "Classes": "classes",
    "Prevalence": "prevalence",
}


def add_parser(commands: Any) -> None:
    """Add the command to a parser's commands."""
    validate = commands.add_parser(
        "validate",
        help="say whether a saved model holds on ECG files with labels of one's own",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    validate.set_defaults(run=_validate, lost="no report was written")
    add = validate.add_argument
    words = "a file that omi-estimators fit or omi_estimators.save wrote, or example:mi-forest"
    add("model", metavar="MODEL", type=model_file, help=words)
    add("--data", metavar="DIR", type=Path, required=True, help="folder of the ECG files")
    add("--labels", metavar="CSV", type=Path, required=True, help="table with the columns file, label, patient")
    add("--out", metavar="DIR", type=Path, required=True, help="report folder")
    add("--subgroup", metavar="COLUMN", action="append", default=[], help="column to split by; may be given repeatedly")
    add("--recalibrate", metavar="FILE", type=Path, help="recalibrate on these files, and save the model here")
    add_positive_option(validate, "as the model or its card calls it")
    add_file_options(validate)
    add("--resamples", metavar="N", type=positive, default=2000, help="of the bootstrap (default: 2000)")
    add("--seed", metavar="N", type=int, default=0, help="of the bootstrap (default: 0)")
    add_jobs_option(validate)


def _validate(args: argparse.Namespace) -> int:
    """Run ``omi-estimators validate``: everything that input can spoil first, then the long work."""
    from omi_estimators._validation import how_to_install
    from omi_estimators.evaluation import validate_model
    from omi_estimators.persistence import find_known_patients, load_profile

    try:
        check_jobs_and_seed(args)
        if importlib.util.find_spec("matplotlib") is None:
            raise ImportError(f"The report needs matplotlib; install it with: {how_to_install('plot')}")
        check_writable(args.out, "report", "--out")
        if args.recalibrate is not None:
            check_writable(args.recalibrate.absolute().parent, "model", "--recalibrate")
            if args.recalibrate.is_dir() or args.recalibrate.absolute() == args.model.absolute():
                raise ValueError(f"--recalibrate must be a new file; got {args.recalibrate}.")
        labels = read_labels(args.labels, args.data, args.subgroup)
        notes: list[str] = []
        model, sampling_rate, n_samples = load_model(args.model, notes)
        args.positive, trained_on = name_positive(args, model), _read_facts(args.model)
        X, table = read_records(labels, sampling_rate, n_samples / sampling_rate, args)
        unread = table[table["error"] != ""].rename(columns={"file": "name", "error": "reason"})
        read = (table["error"] == "").to_numpy()
        seen = table[read]
        X, y, groups = X if read.all() else X[read], seen["label"].to_numpy(), find_patients(seen)
        known = find_known_patients(args.model, groups) if knows_patients(seen) else None
        if known:
            raise ValueError(
                f"{args.model.name} was trained on {len(known)} patients of this cohort, such as {known[0]!r}; leave "
                "their records out, as figures would be too good."
            )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = validate_model(
                model,
                X,
                y,
                groups,
                subgroups={name: find_column(seen, name, args.labels.name) for name in args.subgroup},
                target_names=name_both(args.positive),
                trained_on=trained_on,
                profile=load_profile(args.model),
                of_patients={name: seen[f"file_{name}"].to_numpy(dtype=float) for name in ("age", "sex")},
                sampling_rate=sampling_rate,
                record_names=seen["file"].tolist(),
                unread=unread[["name", "label", "reason"]],
                n_resamples=args.resamples,
                random_state=args.seed,
            )
        for text in dict.fromkeys(str(item.message) for item in caught):
            say(f"note: {text}")
        page = result.write_report(args.out, title=f"Does {args.model.name} hold here?", notes=notes)
        print(result)
        print(f"\nReport: {page}")
        if args.recalibrate is not None:
            _recalibrate(args, model, X, y, groups)
    except (ImportError, OSError, TypeError, ValueError) as error:
        return refuse(error)
    return SOME_FAILED if result.counts["n_not_judged"] else 0


def _recalibrate(args: argparse.Namespace, model: Any, X: Any, y: Any, groups: Any) -> None:
    """Save the model as recalibrated on these records, and say what was changed."""
    from omi_estimators.evaluation import recalibrate
    from omi_estimators.persistence import save

    with warnings.catch_warnings():
        # The validation has said which records cannot be judged.
        warnings.simplefilter("ignore")
        recalibrated = recalibrate(model, X, y, groups, random_state=args.seed)
    notes = f"{tell_positive(args.positive)}Recalibrated by omi-estimators validate on {args.labels.name}."
    save(recalibrated, args.recalibrate, notes=notes)
    print(f"Recalibrated: {recalibrated.history_[-1]['reason']}.\nModel: {args.recalibrate}")


def find_column(table: pd.DataFrame, name: str, file_name: str) -> Any:
    """Return a column to split by: from the table, or age and sex from the files."""
    if name in table:
        return table[name].to_numpy()
    if name not in ("age", "sex") or table[f"file_{name}"].isna().all():
        columns = [str(column) for column in table.columns if column != "path" and not str(column).startswith("file_")]
        raise ValueError(f"{file_name} has no column {name!r} for --subgroup, and no file tells it; it has {columns}.")
    values = table[f"file_{name}"].to_numpy()
    return values if name == "age" else [{0: "male", 1: "female"}.get(sex) for sex in values.tolist()]


def _read_facts(path: Path) -> dict[str, str]:
    """Return what the card of a model says of its training, and its figures."""
    from omi_estimators.persistence import read_card

    card = read_card(path)
    training, figures = (
        re.findall(r"^- ([^:\n]+): (.+)$", part, re.MULTILINE)
        for part in (card, card.partition("## Quantitative Analyses")[2].partition("\n## ")[0])
    )
    facts = {_FACTS[name]: text for name, text in training if name in _FACTS}
    evaluated_on = card.partition("## Evaluation Data")[2].partition("\n## ")[0].strip()
    return facts | dict(figures) | {"figures are of": evaluated_on}
