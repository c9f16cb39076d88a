"""The page that reports are written on: sections of tables, pictures and words, through one template."""

from __future__ import annotations

import base64
import io
import json
import platform
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import sklearn

import omi_estimators
from omi_estimators._text import make_html_table, to_html
from omi_estimators._validation import count_noun, how_to_install
from omi_estimators.evaluation._tables import format_interval

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from matplotlib.figure import Figure

_DPI = 150
# Wider pictures (inches) are panels side by side; these stay legible in a narrow window, which scrolls.
_WIDE = 9.0


class Picture(NamedTuple):
    """A picture as PNG, its caption in words, and whether it is wide.

    Attributes
    ----------
    png : bytes
        The file.
    caption : str
        Below it, and in its place where pictures are read aloud.
    is_wide : bool
        Whether it is panels side by side, which scroll in a narrow window.
    """

    png: bytes
    caption: str
    is_wide: bool


@dataclass(frozen=True)
class Section:
    """A section of a page: what is there of a table, a picture, paragraphs, and texts to unfold by their headings.

    Attributes
    ----------
    title : str
        Its heading.
    text : sequence of str
        Paragraphs.
    table : DataFrame, optional
        A row for each label of its index.
    picture : Picture, optional
        As from `render`.
    details : dict of str to str
        Long texts by what is shown before they are unfolded.
    is_closed : bool
        Whether the table is to be unfolded too.
    links : dict of str to str
        Where rows of the table lead to, by their labels.
    more_pictures : sequence of Picture
        Further ones, below the first; paragraphs then come before them.
    """

    title: str
    text: Sequence[str] = ()
    table: pd.DataFrame | None = None
    picture: Picture | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    is_closed: bool = False
    links: Mapping[str, str] = field(default_factory=dict)
    more_pictures: Sequence[Picture] = ()

    @property
    def pictures(self) -> list[Picture]:
        """All pictures, from the top."""
        return [*([] if self.picture is None else [self.picture]), *self.more_pictures]


class Verdict(NamedTuple):
    """What a reader should know in a minute.

    Attributes
    ----------
    status : {"good", "open", "bad"}
        Whether it holds, cannot be told, or does not hold.
    headline : str
        The same in a sentence.
    findings, next_steps : sequence of str
        What was found, and what to do.
    """

    status: str
    headline: str
    findings: Sequence[str] = ()
    next_steps: Sequence[str] = ()


def write_page(path: Path, sections: Sequence[Section], **page: Any) -> Path:
    """Write a page with everything it shows inside.

    Parameters
    ----------
    path : Path
        The file, in a folder that is there.
    sections : sequence of Section
        From the top.
    **page
        `title`, `counts` and, if any, `notes` and `verdict`, as for `render_page`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OSError
        If it cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from omi_estimators.evaluation import Section, write_page
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_page(pathlib.Path(folder, "p.html"), [Section("A", ["b < c"])], title="T", counts="None.")
    ...     "b &lt; c" in page.read_text()
    True
    """
    path.write_text(render_page(sections, **page), encoding="utf-8")
    return path


def render_page(
    sections: Sequence[Section],
    *,
    title: str,
    counts: str,
    notes: Sequence[str] = (),
    verdict: Verdict | None = None,
    frame: str = "",
) -> str:
    """Return a page as HTML, with everything it shows inside.

    Parameters
    ----------
    sections : sequence of Section
        From the top.
    title : str
        Of the page.
    counts : str
        What it is about, in a sentence.
    notes : sequence of str, optional
        What a reader must know beforehand.
    verdict : Verdict, optional
        What a reader should know in a minute.
    frame : str, optional
        HTML that stands above all, as it is.

    Returns
    -------
    str
        The HTML.

    Examples
    --------
    >>> from omi_estimators.evaluation import Section, render_page
    >>> page = render_page([Section("A", ["b < c"])], title="T", counts="None.", frame="<hr>")
    >>> "b &lt; c" in page and "<hr>" in page
    True
    """
    versions = {"omi_estimators": omi_estimators.__version__, "scikit-learn": sklearn.__version__}
    made_with = ", ".join(f"{name} {text}" for name, text in (versions | {"Python": platform.python_version()}).items())
    made_with = f"{made_with}, on {datetime.now(UTC).date().isoformat()}"
    given = {"title": title, "counts": counts, "notes": notes, "verdict": verdict, "made_with": made_with}
    return _load_template().render(sections=sections, frame=frame, **given)


@cache
def _load_template() -> Template:
    environment = _make_environment(autoescape=True, trim_blocks=True)
    environment.filters["base64"] = lambda png: base64.b64encode(png).decode()
    environment.filters["show"] = _format_cell
    environment.filters["columns_of_words"] = _find_columns_of_words
    return environment.get_template("page.html")


def _make_environment(**settings: Any) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(loader=PackageLoader(__package__, ""), undefined=StrictUndefined, **settings)


@cache
def read_words(file_name: str) -> dict[str, Any]:
    """Return the words of a TOML file beside this module; most are templates for `fill_in`."""
    return tomllib.loads(Path(__file__).with_name(file_name).read_text(encoding="utf-8"))


@cache
def _compile_words(template: str) -> Template:
    environment = _make_environment(autoescape=False)
    environment.filters |= {"noun": count_noun, "repr": repr, "interval": format_interval}
    return environment.from_string(template)


def fill_in(template: str, **values: Any) -> str:
    """Return a template's plain text, filled in."""
    return _compile_words(template).render(values)


def _format_cell(value: Any) -> str:
    """Return a cell of a table as text."""
    if isinstance(value, (float, np.floating)):
        return "not defined" if np.isnan(value) else f"{float(value):z.3f}"
    return str(value)


def _find_columns_of_words(table: pd.DataFrame) -> set[int]:
    """Return the positions of columns that hold sentences, which are set like such."""
    return {i for row in table.itertuples(index=False) for i, value in enumerate(row) if len(_format_cell(value)) > 36}


def show_in_notebook(verdict: Verdict, table: pd.DataFrame) -> str:
    """Return a verdict and a table for people as HTML, in the colours of the page that it is on."""
    said = "".join(f"<li>{to_html(text)}</li>" for text in (*verdict.findings, *verdict.next_steps))
    shown = make_html_table(table.itertuples(name=None), ("", *table.columns))
    return f"<div><p><strong>{to_html(verdict.headline)}</strong></p><ul>{said}</ul>{shown}</div>"


@contextmanager
def replacing_files(folder: Path) -> Iterator[Path]:
    """Give a folder to write to, whose files replace those of `folder` only when all are written.

    Whatever stops the writing, such as a full disk, leaves an earlier report as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".report-", dir=folder))
    try:
        yield beside
        for file in sorted(beside.iterdir()):
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure with a canvas of its own; without pyplot, so that nobody's figures are touched.

    Parameters
    ----------
    width, height : float
        In inches.

    Returns
    -------
    matplotlib Figure
        With constrained layout.

    Raises
    ------
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> from omi_estimators.evaluation import new_figure
    >>> float(new_figure(4, 3).get_figwidth())
    4.0
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"Pictures need matplotlib; install it with: {how_to_install('plot')}") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def render(figure: Figure) -> Picture:
    """Return a figure as PNG, without the caption below it, which becomes text of the page and of the file.

    Parameters
    ----------
    figure : matplotlib Figure
        Its ``supxlabel`` is the caption.

    Returns
    -------
    Picture
        Of the figure.

    Examples
    --------
    >>> from omi_estimators.evaluation import new_figure, render
    >>> figure = new_figure(4, 3)
    >>> _ = figure.supxlabel("Nothing is drawn.")
    >>> render(figure).caption
    'Nothing is drawn.'
    """
    caption = " ".join(figure.get_supxlabel().split())
    figure.supxlabel("")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight", metadata={"Description": caption})
    return Picture(buffer.getvalue(), caption, figure.get_figwidth() > _WIDE)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write numbers, words and tables as JSON; tables by way of pandas, which writes NaN as null."""

    def to_plain(value: Any) -> Any:
        if isinstance(value, pd.DataFrame):
            orient: Any = "records" if isinstance(value.index, (pd.RangeIndex, pd.MultiIndex)) else "index"
            value = value.reset_index() if isinstance(value.index, pd.MultiIndex) else value
            return json.loads(value.to_json(orient=orient))
        return value

    plain = {name: to_plain(value) for name, value in content.items()}
    path.write_text(json.dumps(plain, indent=2, ensure_ascii=False), encoding="utf-8")
