"""What the commands share: how they speak, refuse, and read numbers."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

BAD_INPUT = 2
INTERRUPTED = 130


def say(text: str) -> None:
    """Print to stderr: what is not the result."""
    print(text, file=sys.stderr)


def refuse(error: Exception) -> int:
    """Say in one line why input is bad; return the exit status."""
    say(f"omi-estimators: error: {' '.join(str(error).split())}")
    return BAD_INPUT


def positive(text: str) -> int:
    """Return an argument as a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1; got {text!r}")
    return int(text)


def check_jobs_and_seed(args: argparse.Namespace) -> None:
    """Raise a ValueError for a number of processes or a seed that is none."""
    if args.jobs == 0:
        raise ValueError("--jobs must be a number of processes, or -1 for all cores; got 0.")
    if getattr(args, "seed", 0) < 0:
        raise ValueError(f"--seed must be at least 0; got {args.seed}.")


def check_writable(path: Path, what: str, option: str) -> None:
    """Raise an OSError if `path` cannot be made: the nearest folder that is there is none, or not to be written to."""
    folder = path.absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(f"The {what} cannot be written to {path}: {folder} is not a writable folder; choose {option}.")
