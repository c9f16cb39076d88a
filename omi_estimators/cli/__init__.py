"""The command line: ``omi-estimators compare``, ``fit``, ``predict``, ``validate``, ``convert`` and ``card``."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from omi_estimators.cli import _compare, _convert, _fit, _predict, _validate
from omi_estimators.cli._tools import INTERRUPTED, refuse


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if None.

    Returns
    -------
    int
        0 if all went well, 1 if some files of ``predict``, ``validate`` or ``convert`` could not be read, measured or
        written, 2 for bad input (with one line on stderr), 130 if interrupted by the user.

    Examples
    --------
    >>> from omi_estimators.cli import main
    >>> main(["compare", "--ptbxl", "there/is/no/such/folder"])
    2
    """
    given = list(sys.argv[1:] if argv is None else argv)
    args = _make_parser().parse_args(given)
    args.given = given
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print(f"\nomi-estimators: interrupted; {args.lost}.", file=sys.stderr)
        return INTERRUPTED


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="omi-estimators", description="Estimators for OMI on the 12-lead ECG.")
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in (_compare, _fit, _predict, _validate, _convert):
        command.add_parser(commands)
    card = commands.add_parser("card", help="print the card of a saved model, without loading it")
    card.set_defaults(run=_card, lost="nothing was printed")
    card.add_argument("file", metavar="FILE", type=Path, help="a file that omi_estimators.save wrote")
    return parser


def _card(args: argparse.Namespace) -> int:
    """Run ``omi-estimators card``."""
    from omi_estimators.persistence import read_card

    try:
        text = read_card(args.file)
    except (OSError, ValueError) as error:
        return refuse(error)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of classes may be words that the terminal has no letters for.
        sys.stdout.reconfigure(errors="replace")
    print(text, end="")
    return 0
