"""Text that comes from files, made fit to be shown: one place for terminals, tables and pictures.

Needs nothing but the standard library, so that every room may use it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from html import escape

_MOST_LETTERS = 1000
# What a spreadsheet takes for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def is_silent(verbose: object = True) -> bool:
    """Return whether to draw no bar of progress: none is wanted, or stderr is neither a terminal's nor a notebook's."""
    return not verbose or sys.stderr is None or not (sys.stderr.isatty() or "ipykernel" in sys.modules)


def is_plain_text(text: str) -> bool:
    """Return whether a text has no letter that steers a terminal or turns the direction of writing."""
    return all(letter.isprintable() or letter in "\n\t" for letter in text)


def clean_text(text: object, most: int = _MOST_LETTERS) -> str:
    r"""Return a text from a file as it may be printed: one line, nothing that a terminal obeys, no longer than `most`.

    Parameters
    ----------
    text : object
        Text, or what `str` makes one of.
    most : int, default=1000
        The number of letters after which it is cut.

    Returns
    -------
    str
        Letters that cannot be shown are written out, such as ``\x1b``; all kinds of space are one.

    Examples
    --------
    >>> from omi_estimators._text import clean_text
    >>> clean_text("name" + chr(27) + "[2J")
    'name\\x1b[2J'
    """
    found = str(text)
    plain = "".join(map(_escape_control, found[:most]))
    return plain if len(found) <= most else f"{plain}…"


def clean_cell(text: object) -> str:
    """Return a text as a cell of a table that a spreadsheet shows and does not compute.

    Examples
    --------
    >>> from omi_estimators._text import clean_cell
    >>> clean_cell("=1+1")
    "'=1+1"
    """
    plain = clean_text(text)
    return f"'{plain}" if plain.startswith(_FORMULA) and not _is_number(plain) else plain


def clean_label(text: object) -> str:
    r"""Return a text as a label of a picture, in which matplotlib finds no formula.

    Examples
    --------
    >>> from omi_estimators._text import clean_label
    >>> clean_label("$x$")
    '\\$x\\$'
    """
    return "\n".join(map(clean_text, str(text).split("\n"))).replace("$", r"\$")


def make_html_table(rows: Iterable[Iterable[object]], header: Iterable[object] = ()) -> str:
    """Return a table for notebooks, of text that comes from anywhere; it has the colours of the page that it is on.

    Examples
    --------
    >>> from omi_estimators._text import make_html_table
    >>> make_html_table([["age", "<7>"]])
    '<table><tbody><tr><th>age</th><td>&lt;7&gt;</td></tr></tbody></table>'
    """
    titles = "".join(f"<th>{to_html(title)}</th>" for title in header)
    lines = []
    for name, *cells in rows:
        lines.append(f"<tr><th>{to_html(name)}</th>{''.join(f'<td>{to_html(cell)}</td>' for cell in cells)}</tr>")
    top = f"<thead><tr>{titles}</tr></thead>" if titles else ""
    return f"<table>{top}<tbody>{''.join(lines)}</tbody></table>"


def to_html(text: object) -> str:
    """Return a text as it may stand in a page: cleaned, and no markup of its own."""
    return escape(clean_text(text))


def _escape_control(letter: str) -> str:
    return letter if letter.isprintable() else " " if letter.isspace() else ascii(letter)[1:-1]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
