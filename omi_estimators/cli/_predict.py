"""``omi-estimators predict``: from a saved model and ECG files to a line for each file."""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omi_estimators._text import clean_cell, clean_text
from omi_estimators.cli._tools import check_jobs_and_seed, check_writable, expand_files, positive, refuse, say

_SOME_FAILED = 1
_CHUNK = 32  # files read and judged at once
_COLUMNS = ("file", "probability", "tier", "quality", "warnings", "error")

_DESCRIPTION = """\
Print, for each ECG file, the probability of the positive class, its risk tier, and what is wrong with the recording.
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
    add("--file-rate", metavar="HZ", type=positive, help="of files of plain numbers (CSV, NPY, MAT)")
    add("--unit", choices=("mV", "uV", "V"), help="of files of plain numbers")
    add("--jobs", metavar="N", type=int, default=1, help="processes that read; -1 means all cores (default: 1)")


def _predict(args: argparse.Namespace) -> int:
    """Run ``omi-estimators predict``."""
    from tqdm import tqdm

    try:
        check_jobs_and_seed(args)
        if args.csv:
            check_writable(args.csv.absolute().parent, "table", "--csv")
        files = expand_files(args.files)
        model, sampling_rate, n_samples = _load(args.model)
        lines = []
        width = min(60, max(len(str(path)) for path in files))
        with tqdm(total=len(files), desc="predicting", unit="file", file=sys.stderr, disable=len(files) < 2) as bar:
            for start in range(0, len(files), _CHUNK):
                chunk = files[start : start + _CHUNK]
                for line in _judge(model, chunk, sampling_rate, n_samples, args):
                    tqdm.write(_format(line, width), file=sys.stdout)
                    lines.append(line)
                bar.update(len(chunk))
        if args.csv:
            _write_csv(args.csv, lines)
    except (ImportError, OSError, TypeError, ValueError) as error:
        return refuse(error)
    n_failed = sum(bool(line["error"]) for line in lines)
    if n_failed:
        say(f"{n_failed} of {len(lines)} files have no probability.")
    return _SOME_FAILED if n_failed else 0


def _load(path: Path) -> tuple[Any, float, int]:
    """Return the model, and the rate (Hz) and number of samples of the records that it was fitted on."""
    from omi_estimators.persistence import iterate_parts, load

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = load(path)
    for item in caught:
        say(f"note: {item.message}")
    if not hasattr(model, "predict_proba") or len(getattr(model, "classes_", ())) != 2:
        raise TypeError(f"{path.name} holds a {type(model).__name__}, not a fitted classifier of two classes.")
    for part in iterate_parts(model):
        found = vars(part)
        if "sampling_rate" in found and "n_samples_in_" in found:
            return model, float(found["sampling_rate"]), int(found["n_samples_in_"])
    raise TypeError(f"{path.name} holds a {type(model).__name__} that does not start from raw ECGs; give a pipeline.")


def _judge(
    model: Any, files: Sequence[Path], sampling_rate: float, n_samples: int, args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield the line of each file."""
    import numpy as np

    from omi_estimators.preprocessing import signal_quality
    from omi_estimators.readers import load_ecgs

    params = {"sampling_rate": args.file_rate, "unit": args.unit}
    given = {name: value for name, value in params.items() if value is not None}
    with warnings.catch_warnings():
        # Each file has its own line.
        warnings.simplefilter("ignore", UserWarning)
        X, table = load_ecgs(
            files, sampling_rate, n_samples / sampling_rate, read_params=given, n_jobs=args.jobs, on_error="keep"
        )
    read = np.flatnonzero(table["error"].to_numpy() == "")
    judged = iter(_judge_records(model, X[read], sampling_rate) if len(read) else ())
    for position, (path, error) in enumerate(zip(files, table["error"], strict=True)):
        line = dict.fromkeys(_COLUMNS, "") | {"file": str(path), "error": error}
        if not error:
            quality = signal_quality(X[position], sampling_rate)
            words = "; ".join(_warnings(quality, table.iloc[position]))
            line |= {"quality": f"{quality.quality:.2f}", "warnings": words, **next(judged)}
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
    name = clean_text(line["file"]).ljust(width)
    if line["error"]:
        return f"{name}  not judged: {clean_text(line['error'])}"
    text = f"{name}  {line['probability']}  {line['tier']:8}"
    return f"{text}  {clean_text(line['warnings'])}".rstrip()


def _write_csv(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows({column: clean_cell(cell) for column, cell in line.items()} for line in lines)
