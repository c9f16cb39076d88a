"""The command line, ``omi-estimators``: a file for each of its verbs."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from typing import NoReturn

import omi_estimators
from omi_estimators._text import clean_text
from omi_estimators.cli import _compare, _convert, _fit, _predict, _validate, _view
from omi_estimators.cli._tools import BAD_INPUT, INTERRUPTED, add_command, explain, model_file, say


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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files and of classes may have letters that the terminal has not.
            stream.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if argv is None else argv)
    args = _make_parser().parse_args(given)
    args.given = given
    try:
        return int(args.run(args))
    except (ImportError, OSError, ValueError) as error:
        say(f"omi-estimators: error: {explain(error)}")
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"\nomi-estimators: interrupted; {args.lost}.", file=sys.stderr)
        return INTERRUPTED


class _Parser(argparse.ArgumentParser):
    """A parser whose errors repeat nothing that a terminal obeys."""

    def error(self, message: str) -> NoReturn:
        super().error(clean_text(message))


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="omi-estimators", description="Estimators for OMI on the 12-lead ECG.")
    parser.add_argument("--version", action="version", version=f"omi-estimators {omi_estimators.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in (_compare, _fit, _predict, _view, _validate, _convert):
        command.add_parser(commands)
    words = "print the card of a saved model, without loading it"
    add = add_command(commands, "card", _card, None, lost="nothing was printed", help=words)
    add("file", metavar="FILE", type=model_file, help="a file that omi_estimators.save wrote, or example:mi-forest")
    return parser


def _card(args: argparse.Namespace) -> int:
    """Run ``omi-estimators card``."""
    from omi_estimators.persistence import read_card

    print(read_card(args.file), end="")
    return 0
