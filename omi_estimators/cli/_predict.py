"""``omi-estimators predict``: from a saved model and ECG files to a line for each file."""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omi_estimators.cli._tools import (
    SOME_FAILED,
    add_file_options,
    check_jobs_and_seed,
    check_writable,
    expand_files,
    file_options,
    load_model,
    refuse,
    say,
)

_CHUNK = 32  # files read and judged at once
_COLUMNS = ("file", "probability", "tier", "quality", "typicality", "warnings", "error")

_DESCRIPTION = """\
Print, for each ECG file, the probability of the positive class, its risk tier, and what is wrong with the recording.
Where the model's file tells of the records it was fitted on, a record unlike them is told of, and so is a batch.
A file that cannot be read or measured is a line with the reason, and the exit status is then 1.
Research use only; not a medical device."""


def add_parser(commands: Any) -> None:
    """Add the command to a parser's commands."""
    predict = commands.add_parser(
        "predict",
        help="apply a saved model to ECG files",
        description=_DESCRIPTION,
        epilog="example:\n  omi-estimators predict forest.omi ecgs/*.xml --csv out.csv",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    predict.set_defaults(run=_predict, lost="what was printed is right, the rest is missing")
    add = predict.add_argument
    add("model", metavar="MODEL", type=Path, help="a file that omi-estimators fit or omi_estimators.save wrote")
    add("files", metavar="FILE", type=Path, nargs="+", help="ECG files of any kind, or folders of such")
    add("--csv", metavar="FILE", type=Path, help="write the lines to this table too")
    add_file_options(predict)
    add("--jobs", metavar="N", type=int, default=1, help="processes that read; -1 means all cores (default: 1)")


def _predict(args: argparse.Namespace) -> int:
    """Run ``omi-estimators predict``."""
    from tqdm import tqdm

    from omi_estimators.persistence import load_profile

    try:
        check_jobs_and_seed(args)
        if args.csv:
            check_writable(args.csv.absolute().parent, "table", "--csv")
        files = expand_files(args.files)
        model, sampling_rate, n_samples = load_model(args.model)
        batch = _Batch(load_profile(args.model))
        lines = []
        width = min(60, max(len(str(path)) for path in files))
        with tqdm(total=len(files), desc="predicting", unit="file", file=sys.stderr, disable=len(files) < 2) as bar:
            for start in range(0, len(files), _CHUNK):
                chunk = files[start : start + _CHUNK]
                for line in _judge(model, batch, chunk, sampling_rate, n_samples, args):
                    tqdm.write(_format(line, width), file=sys.stdout)
                    lines.append(line)
                bar.update(len(chunk))
        if args.csv:
            _write_csv(args.csv, lines)
        batch.say_drift()
    except (ImportError, OSError, TypeError, ValueError) as error:
        return refuse(error)
    n_failed = sum(bool(line["error"]) for line in lines)
    if n_failed:
        say(f"{n_failed} of {len(lines)} files have no probability.")
    return SOME_FAILED if n_failed else 0


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
        found = drift[drift["drifted"]].sort_values("p_value")["meaning"].tolist()
        if found:
            more = f", and {len(found) - 3} more" if len(found) > 3 else ""
            say(
                f"note: as a batch these {len(values)} records differ from the training records: "
                f"{'; '.join(found[:3])}{more} (false alarms: {self.profile.false_alarm_rate:.0%} of batches)."
            )


def _judge(
    model: Any, batch: _Batch, files: Sequence[Path], sampling_rate: float, n_samples: int, args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield the line of each file."""
    import numpy as np

    from omi_estimators.preprocessing import signal_quality
    from omi_estimators.readers import load_ecgs

    with warnings.catch_warnings():
        # Each file has its own line.
        warnings.simplefilter("ignore", UserWarning)
        X, table = load_ecgs(
            files,
            sampling_rate,
            n_samples / sampling_rate,
            read_params=file_options(args),
            n_jobs=args.jobs,
            on_error="keep",
        )
    read = np.flatnonzero(table["error"].to_numpy() == "")
    judged = iter(_judge_records(model, X[read], sampling_rate) if len(read) else ())
    described = batch.describe(X[read], table.iloc[read]) if len(read) else iter(())
    for position, (path, error) in enumerate(zip(files, table["error"], strict=True)):
        line = dict.fromkeys(_COLUMNS, "") | {"file": str(path), "error": error}
        if not error:
            quality = signal_quality(X[position], sampling_rate)
            typicality, note = next(described)
            words = "; ".join([*_warnings(quality, table.iloc[position]), *([note] if note else [])])
            line |= {
                "quality": f"{quality.quality:.2f}",
                "typicality": typicality,
                "warnings": words,
                **next(judged),
            }
        yield line


def _judge_records(model: Any, X: Any, sampling_rate: float) -> Iterator[dict[str, str]]:
    """Yield probability and tier of each record, or why it has none; the model is asked once for all."""
    import numpy as np

    from omi_estimators.metrics import assign_tiers
    from omi_estimators.preprocessing import UnusableRecordWarning, judge

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Each record has its reason in its own line.
        warnings.simplefilter("ignore", UnusableRecordWarning)
        prob, usable = judge(model, X)
    for text in dict.fromkeys(str(item.message) for item in caught):
        say(f"note: {text}")
    positive = getattr(model, "pos_label_", model.classes_[1])
    prob = prob[:, int(np.flatnonzero(model.classes_ == positive)[0])]
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
        yield row["limb_leads"]
    if row["missing_duration"] > 0:
        yield f"{row['missing_duration']:.1f} s short"


def _format(line: dict[str, Any], width: int) -> str:
    """Return the line as it is printed."""
    name = line["file"].ljust(width)
    if line["error"]:
        return f"{name}  not judged: {line['error']}"
    text = f"{name}  {line['probability']}  {line['tier']:8}"
    return f"{text}  {line['warnings']}".rstrip()


def _write_csv(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(lines)
