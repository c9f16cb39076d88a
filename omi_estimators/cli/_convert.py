"""``omi-estimators convert``: ECG files of any kind to records of one format.

Write each ECG file as a WFDB record, the format of PhysioNet: a header with what is known beside the signal, and a
file of samples. Counts of devices stay what they were. Characters that names of records cannot have become
underscores, and of files of one name the later ones get a number. A file that cannot be read or written is a line
with the reason, and the exit status is then 1.

example:
  omi-estimators convert ecgs/*.xml --to wfdb --out records
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

from omi_estimators._text import clean_text
from omi_estimators.cli import _tools


def add_parser(commands: Any) -> None:
    """Add the command to a parser's commands."""
    lost = "records that were named are whole, the rest is missing"
    words = "write ECG files of any kind in one format"
    add = _tools.add_command(commands, "convert", _convert, __doc__, lost=lost, help=words)
    add("files")
    add("--to", choices=("wfdb",), required=True, help="the format")
    add("--out", metavar="DIR", type=Path, required=True, help="the folder of the records, made if it is absent")
    add("--file-rate", "--unit")
    add("--include-patient-id", action="store_true", help="write the patient's identifier into a comment")
    add("--overwrite", action="store_true", help="replace records that are there")


def _convert(args: argparse.Namespace) -> int:
    """Run ``omi-estimators convert``."""
    from tqdm import tqdm

    _tools.check_writable(args.out, "records", "--out")
    files = _tools.expand_files(args.files)
    args.out.mkdir(parents=True, exist_ok=True)
    width = min(60, max(len(str(path)) for path in files))
    n_failed = 0
    progress = tqdm(files, desc="converting", unit="file", file=sys.stderr, disable=len(files) < 2 or None)
    for path, name in zip(progress, _tools.name_uniquely(files), strict=True):
        try:
            text = str(_convert_one(path, args.out / name, args))
        except (OSError, ValueError) as error:
            text = f"not converted: {_tools.name_flags(str(error))}"
            n_failed += 1
        tqdm.write(f"{clean_text(path).ljust(width)}  {clean_text(text)}", file=sys.stdout)
    if n_failed:
        _tools.say(f"{n_failed} of {len(files)} files were not converted.")
    return _tools.SOME_FAILED if n_failed else 0


def _convert_one(path: Path, out: Path, args: argparse.Namespace) -> Path:
    """Write the record of one file, and return its header."""
    from omi_estimators.readers import read_ecg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        record = read_ecg(path, **_tools.file_options(args))
        return record.to_wfdb(out, include_patient_id=args.include_patient_id, overwrite=args.overwrite)
