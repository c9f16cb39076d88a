"""``omi-estimators predict``: from a saved model and ECG files to a line for each ECG.

Print, for each ECG, the probability of the positive class, its risk tier, the quality of the signal, and what is wrong
with the recording. Of several files that hold one record (a WFDB header, its signals and annotations) there is one
line. Where the model's file tells of the records it was fitted on, a record unlike them is told of, and so is a batch.
An ECG that cannot be read or measured is a line with the reason, and the exit status is then 1.
Research use only; not a medical device.

example:
  omi-estimators predict forest.omi ecgs/*.xml --csv out.csv --report pages
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from omi_estimators._text import clean_cell, clean_text
from omi_estimators.cli import _tools

if TYPE_CHECKING:
    from omi_estimators.cli._pages import PageMaker

_CHUNK = 32  # files read and judged at once
_DEVICE = ("heart_rate", "pr", "p_duration", "qrs", "qt", "qtc", "p_axis", "qrs_axis", "t_axis")
_COLUMNS = (
    *("file", "positive_class", "probability", "tier", "quality", "typicality", "warnings", "notes"),
    *("device_statements", *(f"device_{name}" for name in _DEVICE)),
    "error",
)


def add_parser(commands: Any) -> None:
    """Add the command to a parser's commands."""
    lost = "what was printed is right, the rest is missing"
    add = _tools.add_command(commands, "predict", _predict, __doc__, lost=lost, help="apply a saved model to ECG files")
    add("model", "files")
    add("--csv", metavar="FILE", type=Path, help="write the lines to this table too, with more columns")
    add("--report", metavar="DIR", type=Path, help="write a page for each ECG, and an index of them, into this folder")
    add("--positive", "--file-rate", "--unit", "--jobs")


class _Run(NamedTuple):
    """What is the same for all files of a run."""

    model: Any
    sampling_rate: float
    n_samples: int
    positive: str
    batch: _Batch
    args: argparse.Namespace


def _predict(args: argparse.Namespace) -> int:
    """Run ``omi-estimators predict``."""
    from tqdm import tqdm

    from omi_estimators.cli._pages import Pages

    files = _check(args)
    run = start_run(args)
    pages = Pages(args.report, files, start_pages(run)) if args.report else None
    lines: list[dict[str, Any]] = []
    width = min(60, max(len(clean_text(path)) for path in files))
    progress = {"desc": "predicting", "unit": "file", "file": sys.stderr, "disable": len(files) < 2 or None}
    with tqdm(total=len(files), **progress) as bar:
        for start in range(0, len(files), _CHUNK):
            chunk = files[start : start + _CHUNK]
            X, found = judge_files(run, chunk)
            for line in found:
                tqdm.write(_format(line, width), file=sys.stdout)
            lines += found
            if pages:
                pages.write(X, found)
            bar.update(len(chunk))
    if args.csv:
        _write_csv(args.csv, lines)
    if pages:
        _tools.say(f"Report: {pages.write_index()}")
    run.batch.say_drift()
    n_failed = sum(bool(line["error"]) for line in lines)
    if n_failed:
        _tools.say(f"{n_failed} of {len(lines)} files have no probability.")
    return _tools.SOME_FAILED if n_failed else 0


def _check(args: argparse.Namespace) -> list[Path]:
    """Return the files to read, or raise an error for arguments that cannot be."""
    _tools.check_jobs_and_seed(args)
    files = _tools.expand_files(args.files)
    if args.csv:
        _tools.check_new_file(args.csv, "table", "--csv")
        if args.csv.resolve() in {path.resolve() for path in (args.model, *files)}:
            raise ValueError(f"--csv would replace {args.csv}, which is to be read; give another name.")
    if args.report:
        _tools.check_writable(args.report, "report", "--report")
    return files


def start_run(args: argparse.Namespace) -> _Run:
    """Return the model, ready to work in as many processes as was asked for, and what it was fitted on.

    Without a model, records are read as 10 s at 500 Hz.
    """
    from omi_estimators import persistence

    if args.model is None:
        return _Run(None, 500.0, 5000, "", _Batch(None), args)
    model, sampling_rate, n_samples = _tools.load_model(args.model)
    for part in persistence.iterate_parts(model):
        if "n_jobs" in vars(part):
            part.n_jobs = args.jobs
    batch = _Batch(persistence.load_profile(args.model))
    return _Run(model, sampling_rate, n_samples, _tools.name_positive(args, model), batch, args)


def start_pages(run: _Run) -> PageMaker:
    """Return what makes the pages of a run."""
    from omi_estimators.cli._pages import PageMaker

    if run.model is None:
        return PageMaker(None, None, run.sampling_rate, "", "", [])
    path, notes = run.args.model, [f"{note[:1].upper()}{note[1:]}" for note in _tools.model_notes(run.args.model)]
    target = _tools.find_positive(run.model)
    return PageMaker(run.model, target, run.sampling_rate, run.positive, clean_text(path.name), notes)


class _Batch:
    """The records of all files as the model's profile sees them; of a model without one, nothing."""

    def __init__(self, profile: Any):
        self.profile = profile
        self.parts: list[tuple[Any, Any]] = []

    def describe(self, X: Any, table: Any) -> Iterator[tuple[str, str]]:
        """Yield the typicality of each record, and a note where it is atypical."""
        if self.profile is None:
            yield from [("", "")] * len(X)
            return
        measured = self.profile.measure(X)
        self.parts.append((measured, table))
        for value, is_typical, reasons in self.profile.describe(measured).itertuples(index=False):
            if value != value:
                yield "", ""
            else:
                yield f"{value:.3f}", "" if is_typical else f"unlike the training records: {reasons}"

    def say_drift(self) -> None:
        """Say in one line whether the batch differs from the training records."""
        if not self.parts:
            return
        import numpy as np
        import pandas as pd

        from omi_estimators.preprocessing import Measured, Usable
        from omi_estimators.typicality import strongest_drift

        values = np.concatenate([measured.values for measured, _ in self.parts])
        reasons = [reason for measured, _ in self.parts for reason in measured.usable.reasons]
        table = pd.concat([table for _, table in self.parts])
        patients = table["patient_id"]
        drift = self.profile.find_drift(
            Measured(values, Usable.from_reasons(reasons)),
            groups=patients.to_numpy(dtype=object) if patients.notna().all() else None,
            age=table["age"].to_numpy(dtype=float),
            sex=table["sex"].to_numpy(dtype=float),
        )
        found = strongest_drift(drift)
        if found:
            more = f", and {len(found) - 3} more" if len(found) > 3 else ""
            _tools.say(
                f"note: as a batch these {len(values)} records differ from the training records: "
                f"{'; '.join(found[:3])}{more} (false alarms: {self.profile.false_alarm_rate:.0%} of batches)."
            )


def judge_files(run: _Run, files: Sequence[Path]) -> tuple[Any, list[dict[str, Any]]]:
    """Return the records of some files, and the line of each."""
    import numpy as np

    from omi_estimators._compat import delayed, run_parallel
    from omi_estimators.preprocessing import signal_quality
    from omi_estimators.readers import load_ecgs

    # Starting processes takes longer than reading a few files.
    n_jobs = run.args.jobs if len(files) > 8 else 1
    with warnings.catch_warnings():
        # Each file has its own line.
        warnings.simplefilter("ignore", UserWarning)
        X, table = load_ecgs(
            files,
            run.sampling_rate,
            run.n_samples / run.sampling_rate,
            read_params=_tools.file_options(run.args),
            n_jobs=n_jobs,
            on_error="keep",
        )
    read = np.flatnonzero(table["error"].to_numpy() == "")
    known = X if len(read) == len(X) else X[read]
    qualities = run_parallel((delayed(signal_quality)(record, run.sampling_rate) for record in known), n_jobs)
    judged = _judge_records(run, known) if len(read) and run.model is not None else repeat({}, len(read))
    described = run.batch.describe(known, table.iloc[read]) if len(read) else iter(())
    lines = []
    for path, (_, row) in zip(files, table.iterrows(), strict=True):
        line = dict.fromkeys(_COLUMNS, "")
        line |= {"file": str(path), "positive_class": run.positive, "error": _tools.name_flags(row["error"])}
        if not row["error"]:
            quality, (typicality, note) = next(qualities), next(described)
            line |= {
                "quality": f"{quality.quality:.2f}",
                "typicality": typicality,
                "warnings": "; ".join([*_warnings(quality, row), *([note] if note else [])]),
                # What is odd about the limb leads is a warning.
                "notes": row["notes"].replace(row["limb_leads"], "").strip() if row["limb_leads"] else row["notes"],
                "device_statements": row["statements"],
                **{f"device_{name}": _to_text(row[f"device_{name}"]) for name in _DEVICE},
                **next(judged),
            }
        lines.append(line)
    return X, lines


def _to_text(value: float) -> str:
    return "" if value != value else f"{value:g}"


def _judge_records(run: _Run, X: Any) -> Iterator[dict[str, str]]:
    """Yield probability and tier of each record, or why it has none; the model is asked once for all."""
    import numpy as np

    from omi_estimators.metrics import assign_tiers
    from omi_estimators.preprocessing import UnusableRecordWarning, judge

    model = run.model
    # Each record has its reason in its own line.
    with _tools.say_warnings(UnusableRecordWarning):
        prob, usable = judge(model, X)
    prob = prob[:, int(np.flatnonzero(model.classes_ == _tools.find_positive(model))[0])]
    tiers = [""] * len(X)
    if hasattr(model, "thresholds_"):
        cuts = (getattr(model.thresholds_, name).estimate for name in ("rule_out", "max_f1", "rule_in"))
        tiers = assign_tiers(prob, *cuts, usable=usable.mask).tolist()
    for number, tier, reason in zip(prob, tiers, usable.reasons, strict=True):
        yield {"tier": tier, "error": reason} if reason else {"tier": tier, "probability": f"{number:.4f}"}


def _warnings(quality: Any, row: Any) -> Iterator[str]:
    """Yield what is wrong with a recording, in words."""
    import numpy as np

    from omi_estimators.leads import LEADS

    for flag in ("missing", "flat", "saturated", "noise", "wander"):
        leads = [LEADS[i] for i in np.flatnonzero(getattr(quality, flag))]
        if leads:
            yield f"{flag}: {' '.join(leads)}"
    if row["limb_leads"]:
        yield row["limb_leads"].rstrip(".")
    if row["missing_duration"] > 0:
        yield f"{row['missing_duration']:.1f} s short"


def _format(line: dict[str, Any], width: int) -> str:
    """Return the line as it is printed."""
    name = clean_text(line["file"]).ljust(width)
    if line["error"]:
        return f"{name}  not judged: {clean_text(line['error'])}"
    said = [line["warnings"], line["notes"]]
    said += [f"device: {line['device_statements']}"] if line["device_statements"] else []
    text = f"{name}  P({line['positive_class']}) = {line['probability']}  {line['tier']:8}  quality {line['quality']}"
    return f"{text}  {clean_text('; '.join(filter(None, said)), 200)}".rstrip()


def _write_csv(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Write the table so that there is either all of it, or what was there before."""
    import pandas as pd

    from omi_estimators._store import replace_file

    table = pd.DataFrame(lines, columns=_COLUMNS).map(clean_cell)
    content = table.to_csv(index=False, lineterminator="\r\n").encode()
    if path.exists() and not path.is_file():
        # A pipe, or the terminal, is nothing to replace.
        path.write_bytes(content)
    else:
        replace_file(Path(os.path.realpath(path)), content)
