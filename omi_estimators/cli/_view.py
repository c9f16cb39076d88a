"""``omi-estimators view``: the pages of ``predict --report`` in the browser, from a server for this machine alone.

Show ECGs in the browser: the 12 leads on paper, marks and measurements beside the device's and, with a MODEL, its
probability, tier, what it looked at and how typical the ECG is. Files are named here, or dropped on the page. Without
a MODEL there is no probability. Only this machine, and only who has the address, can see it; nothing is sent anywhere,
and nothing stays on disk. Ctrl-C ends it.
Research use only; not a medical device.

example:
  omi-estimators view example:mi-forest ecgs/*.xml
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Sequence
from concurrent.futures import Future
from functools import lru_cache
from itertools import count
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from omi_estimators._text import clean_text
from omi_estimators.cli import _tools
from omi_estimators.cli._predict import judge_files, start_pages, start_run

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_BYTES = 64 * 2**20  # in one upload
_MOST_FILES = 200  # in one upload
_MOST_ECGS = 500  # in memory
_SECONDS_TO_END = 1  # that a page in the making has when the viewer ends
_TOO_LARGE = f"These files have more than {_MOST_BYTES >> 20} MiB together; open fewer at once, or shorter recordings."
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With "no-referrer" browsers would send no origin with the form.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def add_parser(commands: Any) -> None:
    """Add the command to a parser's commands."""
    lost = "the viewer has ended, and nothing of what it showed is kept"
    usage = "%(prog)s [-h] [--port N] [--positive NAME] [--file-rate HZ] [--unit {mV,uV,V}] [MODEL] [FILE ...]"
    words = "show ECGs and what a model says of them in the browser"
    add = _tools.add_command(commands, "view", _view, __doc__, lost=lost, help=words, usage=usage)
    words = (
        "a model, example:mi-forest or a name that ends in .omi, if it is the first; else ECG files or their folders"
    )
    add("files", metavar="[MODEL] [FILE ...]", type=_tools.model_file, nargs="*", help=words)
    add("--port", metavar="N", type=_port, default=0, help="of the address (default: a free one)")
    add("--positive", "--file-rate", "--unit")


def _port(text: str) -> int:
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1024 to 65535; got {text!r}")
    return int(text)


def _view(args: argparse.Namespace) -> int:
    """Run ``omi-estimators view``."""
    args.model, args.jobs = None, 1
    if args.files and args.files[0].suffix == ".omi":
        args.model, *args.files = args.files
    try:
        import python_multipart  # noqa: F401, starlette reads forms with it
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        from omi_estimators._validation import how_to_install

        raise ImportError(f"The viewer needs more packages; install them with: {how_to_install('view')}") from error
    with (
        _bind(args.port) as server,
        tempfile.TemporaryDirectory(prefix="omi-view-", ignore_cleanup_errors=True) as folder,
    ):
        for name in {"SIGTERM", "SIGHUP"} & set(signal.Signals.__members__):
            # So that the temporary folder goes then, too.
            signal.signal(signal.Signals[name], lambda *_: sys.exit(1))
        desk = Desk(args, Path(folder))
        if args.files:
            desk.open(_tools.expand_files(args.files))
        port, token = server.getsockname()[1], secrets.token_urlsafe(24)
        app = make_app(desk, token, [f"127.0.0.1:{port}", f"localhost:{port}"])
        calm: dict[str, Any] = {"log_level": "critical", "server_header": False}
        calm |= {"timeout_graceful_shutdown": _SECONDS_TO_END}
        config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", **calm)

        async def serve() -> None:
            print(f"Viewer: http://127.0.0.1:{port}/{token}/ (Ctrl-C ends it)", flush=True)
            await uvicorn.Server(config).serve(sockets=[server])

        asyncio.run(serve())
    return 0


def _bind(port: int) -> socket.socket:
    """Return a socket that nobody but this machine reaches."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise ValueError(
            f"Port {port} is in use, perhaps by another viewer; give another --port, or leave it out for a free one."
        ) from error


class _Opened(NamedTuple):
    """An ECG that is open: what it is called, its signal (mV), and its line as in ``predict``."""

    label: str
    record: NDArray[Any]
    line: dict[str, Any]


class Desk:
    """The ECGs that are open, in memory, and what their pages are made from.

    Parameters
    ----------
    args : Namespace
        Of the command.
    folder : Path
        Where uploads are while they are read, and no longer.

    Raises
    ------
    OSError, TypeError, ValueError
        If the model cannot be read.
    """

    def __init__(self, args: argparse.Namespace, folder: Path):
        self._run = start_run(args)
        self._maker = start_pages(self._run)
        self._folder = folder
        self.ecgs: list[_Opened] = []
        self.compose = lru_cache(maxsize=64)(self._compose)

    def open(self, files: Sequence[Path], hidden: str = "") -> range:
        """Read and judge files, keep what they hold, and return the numbers of these ECGs.

        `hidden` goes from every text. Raises a ValueError if there would be too many.
        """
        if len(files) + len(self.ecgs) > _MOST_ECGS:
            raise ValueError(
                f"The viewer holds {_MOST_ECGS} ECGs at most, and would have {len(files) + len(self.ecgs)}; start "
                "another, or write pages with omi-estimators predict --report."
            )
        taken, opened = {ecg.label for ecg in self.ecgs}, []
        for record, line in zip(*judge_files(self._run, files), strict=True):
            shown = {key: text.replace(hidden, "") if hidden else text for key, text in line.items()}
            name = clean_text(Path(shown["file"]).name)
            label = next(text for i in count(1) if (text := name if i == 1 else f"{name} ({i})") not in taken)
            taken.add(label)
            opened.append(_Opened(label, record, shown))
        # At once, as pages are made meanwhile.
        self.ecgs = self.ecgs + opened
        return range(len(self.ecgs) - len(opened), len(self.ecgs))

    def receive(self, uploads: Sequence[tuple[str, BinaryIO]]) -> range:
        """Open uploads, by their names, and return the numbers of their ECGs; on disk only while they are read."""
        from omi_estimators.readers import find_ecg_files

        with tempfile.TemporaryDirectory(dir=self._folder) as inside:
            hidden = f"{inside}{os.sep}"
            # Some browsers send the way to a file, too.
            names = [re.split(r"[/\\]", given)[-1].replace("\0", "_") for given, _ in uploads]
            try:
                for name, (_, content) in zip(names, uploads, strict=True):
                    with Path(inside, name).open("xb") as file:
                        shutil.copyfileobj(content, file)
                return self.open(find_ecg_files([Path(inside, name) for name in names]), hidden)
            except FileExistsError as error:
                raise ValueError("Two of these files have one name; open one after the other.") from error
            except OSError as error:
                raise OSError(_tools.explain(error).replace(hidden, "")) from error

    def link_pages(self, root: str) -> dict[str, str]:
        """Return where the page of each ECG is that has one, by its label."""
        import numpy as np

        return {ecg.label: f"{root}ecg/{i}" for i, ecg in enumerate(self.ecgs) if np.isfinite(ecg.record).any()}

    def compose_index(self, root: str) -> dict[str, Any]:
        """Return what the page of all is made from."""
        maker, ecgs = self._maker, self.ecgs
        if not ecgs:
            title, counts = "Viewer", "No ECG is open yet."
            if maker.model is None:
                counts += " Without a model there is no probability: omi-estimators view example:mi-forest has one."
            else:
                title += f": {maker.model_name}"
            return {"sections": [], "title": title, "counts": counts, "notes": maker.notes}
        labels, lines = [ecg.label for ecg in ecgs], [ecg.line for ecg in ecgs]
        return maker.compose_index(labels, lines, self.link_pages(root))

    def _compose(self, number: int) -> dict[str, Any]:
        """Return what the page of an ECG is made from."""
        _, record, line = self.ecgs[number]
        [look] = self._maker.look(record[None], [line])
        return self._maker.compose(record, line, look)


def make_app(desk: Desk, token: str, hosts: Sequence[str]) -> Any:
    """Return the server's application.

    Parameters
    ----------
    desk : Desk
        What it shows.
    token : str
        The first part of every address; without it, all is refused.
    hosts : sequence of str
        What this server may be called, with its port; a page elsewhere whose name leads here is refused.

    Returns
    -------
    callable
        For ASGI.
    """
    from jinja2 import Environment, StrictUndefined
    from starlette.applications import Starlette
    from starlette.datastructures import UploadFile
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
    from starlette.routing import Route

    from omi_estimators.evaluation import render_page

    root, nonce, turn = f"/{token}/", secrets.token_urlsafe(16), asyncio.Lock()
    text = Path(__file__).with_name("view.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(text)
    headers = _HEADERS | {"Content-Security-Policy": f"{_POLICY}; script-src 'nonce-{nonce}'"}

    async def in_turn(work: Any, *args: Any) -> Any:
        """Work in a thread, one piece after the other, while other pages are still given."""
        done: Future[Any] = Future()
        done.set_running_or_notify_cancel()

        def run() -> None:
            try:
                done.set_result(work(*args))
            except Exception as error:
                done.set_exception(error)

        async with turn:
            # That the viewer ends without waiting for it, it is no worker of a pool.
            Thread(target=run, daemon=True).start()
            return await asyncio.wrap_future(done)

    def answer(content: Any, links: Any = None, errors: Sequence[str] = (), status: int = 200) -> Response:
        words = {"root": root, "nonce": nonce, "most_bytes": _MOST_BYTES, "too_large": _TOO_LARGE}
        frame = template.render(links=links or {}, errors=[clean_text(text) for text in errors], **words)
        return HTMLResponse(render_page(**content, frame=frame), status, headers)

    async def show_index(request: Request) -> Response:
        return answer(desk.compose_index(root))

    async def show_error(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return answer(desk.compose_index(root), errors=[error.detail], status=error.status_code)
        traceback.print_exception(error)
        said = f"This went wrong, and is written where the viewer was started: {error!r}"
        return answer(desk.compose_index(root), errors=[said], status=500)

    async def show_ecg(request: Request) -> Response:
        number, links = request.path_params["number"], list(desk.link_pages(root).values())
        if f"{root}ecg/{number}" not in links:
            raise HTTPException(404, "There is no such ECG; choose one that is open.")
        i = links.index(f"{root}ecg/{number}")
        ways = {"All ECGs": root}
        ways |= {"Previous": links[i - 1]} if i else {}
        ways |= {"Next": links[i + 1]} if i + 1 < len(links) else {}
        return answer(await in_turn(desk.compose, number), ways)

    async def open_files(request: Request) -> Response:
        size = request.headers.get("content-length", "")
        if not size.isdecimal() or int(size) > _MOST_BYTES:
            # Read to its end, since browsers show no answer that comes before.
            async for _ in request.stream():
                pass
            raise HTTPException(413, _TOO_LARGE)
        async with request.form(max_files=_MOST_FILES, max_fields=0) as form:
            parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            uploads = [(part.filename, part.file) for part in parts if part.filename]
            if not uploads:
                raise HTTPException(400, "No file was chosen.")
            try:
                opened = await in_turn(desk.receive, uploads)
            except (OSError, ValueError) as error:
                raise HTTPException(400, _tools.explain(error)) from error
        page = f"{root}ecg/{opened[0]}"
        has_page = len(opened) == 1 and page in desk.link_pages(root).values()
        return RedirectResponse(page if has_page else root, 303, headers)

    app = Starlette(
        routes=[
            Route(root, show_index),
            Route(f"{root}ecg/{{number:int}}", show_ecg),
            Route(f"{root}open", open_files, methods=["POST"]),
        ],
        exception_handlers={HTTPException: show_error, Exception: show_error},
    )

    async def guard(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope)
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if not secrets.compare_digest(scope["path"][: len(root)].encode(), root.encode()):
            reason = "This needs the whole address that the viewer printed."
        elif host not in hosts:
            reason = "This is not the viewer's address."
        elif request.method not in ("GET", "HEAD") and origin != f"http://{host}":
            reason = "Files come from the viewer's own page only."
        else:
            await app(scope, receive, send)
            return
        await PlainTextResponse(reason, 403, headers)(scope, receive, send)

    return guard
