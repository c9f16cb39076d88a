"""``omi-estimators validate``: what a saved model is worth on files and labels of one's own.

Apply a saved model to ECG files with labels, and write a page that says whether it holds there: discrimination,
calibration, net benefit, and its tiers as promised beside as found, with intervals by patient. Nothing is fitted,
unless --recalibrate asks for a model that is recalibrated on these files; validate that one on others.
Files that cannot be read or judged are counted by reason, and the exit status is then 1.
Research use only; not a medical device.

the table of labels:
  a CSV file with the columns file (relative to --data), label (0 or 1) and patient, and columns for --subgroup.
  Patient, age and sex are taken from the files where the table lacks them.

example:
  omi-estimators validate forest.omi --data ecgs --labels labels.csv --subgroup age --subgroup sex --out report
"""

from __future__ import annotations

import argparse
import re
import warnings
from pathlib import Path
from typing import Any

from omi_estimators.cli import _tools

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
    words = "say whether a saved model holds on ECG files with labels of one's own"
    add = _tools.add_command(commands, "validate", _validate, __doc__, lost="no report was written", help=words)
    add("model")
    add("--data", "--labels", required=True)
    add("--out", metavar="DIR", type=Path, required=True, help="report folder")
    add("--subgroup")
    add("--recalibrate", metavar="FILE", type=Path, help="recalibrate on these files, and save the model here")
    add("--positive", "--file-rate", "--unit")
    add("--resamples", metavar="N", type=_tools.positive, default=2000, help="of the bootstrap (default: 2000)")
    add("--seed", help="of the bootstrap (default: 0)")
    add("--jobs")


def _validate(args: argparse.Namespace) -> int:
    """Run ``omi-estimators validate``: everything that input can spoil first, then the long work."""
    from omi_estimators.evaluation import validate_model
    from omi_estimators.persistence import find_known_patients, load_profile

    _tools.check_jobs_and_seed(args)
    _tools.check_report(args.out)
    if args.recalibrate is not None:
        _tools.check_new_file(args.recalibrate, "model", "--recalibrate")
        if args.recalibrate.absolute() == args.model.absolute():
            raise ValueError(f"--recalibrate must be a new file; got {args.recalibrate}.")
    labels = _tools.read_labels(args.labels, args.data, args.subgroup)
    notes: list[str] = []
    model, sampling_rate, n_samples = _tools.load_model(args.model, notes)
    args.positive, trained_on = _tools.name_positive(args, model), _read_facts(args.model)
    X, table = _tools.read_records(labels, sampling_rate, n_samples / sampling_rate, args)
    unread = table[table["error"] != ""].rename(columns={"file": "name", "error": "reason"})
    read = (table["error"] == "").to_numpy()
    seen = table[read]
    X, y, groups = X if read.all() else X[read], seen["label"].to_numpy(), _tools.find_patients(seen)
    known = find_known_patients(args.model, groups) if _tools.knows_patients(seen) else None
    if known:
        raise ValueError(
            f"{args.model.name} was trained on {len(known)} patients of this cohort, such as {known[0]!r}; leave "
            "their records out, as figures would be too good."
        )
    with _tools.say_warnings():
        result = validate_model(
            model,
            X,
            y,
            groups,
            subgroups={name: _tools.find_column(seen, name, args.labels.name) for name in args.subgroup},
            target_names=_tools.name_both(args.positive),
            trained_on=trained_on,
            profile=load_profile(args.model),
            of_patients={name: seen[f"file_{name}"].to_numpy(dtype=float) for name in ("age", "sex")},
            sampling_rate=sampling_rate,
            record_names=seen["file"].tolist(),
            unread=unread[["name", "label", "reason"]],
            n_resamples=args.resamples,
            random_state=args.seed,
        )
    page = result.write_report(args.out, title=f"Does {args.model.name} hold here?", notes=notes)
    print(result)
    print(f"\nReport: {page}")
    if args.recalibrate is not None:
        _recalibrate(args, model, X, y, groups)
    return _tools.SOME_FAILED if result.counts["n_not_judged"] else 0


def _recalibrate(args: argparse.Namespace, model: Any, X: Any, y: Any, groups: Any) -> None:
    """Save the model as recalibrated on these records, and say what was changed."""
    from omi_estimators.evaluation import recalibrate
    from omi_estimators.persistence import save

    with warnings.catch_warnings():
        # The validation has said which records cannot be judged.
        warnings.simplefilter("ignore")
        recalibrated = recalibrate(model, X, y, groups, random_state=args.seed)
    notes = f"{_tools.tell_positive(args.positive)}Recalibrated by omi-estimators validate on {args.labels.name}."
    save(recalibrated, args.recalibrate, notes=notes)
    print(f"Recalibrated: {recalibrated.history_[-1]['reason']}.\nModel: {args.recalibrate}")


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
