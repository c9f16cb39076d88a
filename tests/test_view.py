"""omi-estimators view: the report's pages from a server that nobody else reaches, and that keeps nothing."""

from __future__ import annotations

import asyncio
import io
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from omi_estimators import save
from omi_estimators.candidates import make_candidates
from omi_estimators.cli import _pages, _view, main
from omi_estimators.cli._view import Desk, make_app
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.readers import ECGRecord

pytest.importorskip("starlette")
pytest.importorskip("matplotlib")

_HOST = "127.0.0.1:8000"
_ORIGIN = {"Origin": f"http://{_HOST}"}
_TOKEN = "a-token"
_PLAIN = ["--file-rate", "250", "--unit", "mV"]


@pytest.fixture(scope="module")
def ecgs():
    return make_omi_ecgs(n_patients=16, prevalence=0.5, sampling_rate=250, random_state=0)


@pytest.fixture
def files(ecgs, tmp_path) -> list[Path]:
    for i in range(2):
        np.save(tmp_path / f"{i}.npy", ecgs.X[i])
    return [tmp_path / "0.npy", tmp_path / "1.npy"]


@pytest.fixture
def open_desk(tmp_path):
    """Return a function that makes a desk, and the client of its server."""
    from starlette.testclient import TestClient

    def open_desk(model: Path | None = None) -> tuple[Desk, TestClient]:
        folder = tmp_path / "uploads"
        folder.mkdir()
        args = Namespace(model=model, jobs=1, positive=None, file_rate=250, unit="mV")
        desk = Desk(args, folder)
        client = TestClient(make_app(desk, _TOKEN, [_HOST]), base_url=f"http://{_HOST}/{_TOKEN}/")
        return desk, client

    return open_desk


def upload(client, *parts: tuple[str, bytes], headers=_ORIGIN, **params):
    return client.post("open", files=[("files", part) for part in parts], headers=headers, **params)


def as_npy(record) -> bytes:
    content = io.BytesIO()
    np.save(content, record)
    return content.getvalue()


def test_a_page_is_that_of_the_report(ecgs, files, tmp_path, open_desk, monkeypatch):
    monkeypatch.setattr(_pages, "_N_BACKGROUND", 2)
    model = tmp_path / "regression.omi"
    # Which needs neither features nor torch.
    save(make_candidates(["regression"], 250)["regression"].fit(ecgs.X, ecgs.y), model)
    given = [str(model), str(files[0]), "--report", str(tmp_path / "pages")]
    assert main(["predict", *given, "--jobs", "1", *_PLAIN]) == 0
    desk, client = open_desk(model)
    desk.open(files[:1])

    def cut(page: str) -> str:
        return page.partition("<h1>")[2]

    report = (tmp_path / "pages" / "0.html").read_text(encoding="utf-8")
    assert cut(client.get("ecg/0").text) == cut(report)
    report = (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")
    assert cut(client.get("").text) == re.sub(r'href="(\d)\.html"', rf'href="/{_TOKEN}/ecg/\1"', cut(report))


def test_without_a_model_there_is_no_probability(files, open_desk):
    desk, client = open_desk()
    assert "No ECG is open yet. Without a model there is no probability" in client.get("").text
    desk.open(files)
    page = client.get("ecg/0").text
    assert page.count("<img") == 2
    assert "heart rate (1/min)" in page
    assert "Quality of the signal" in page
    for text in ("P(", "typical", "looked at"):
        assert text not in page + client.get("").text


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("", {"Host": "evil.example"}),
        ("", {"Host": "127.0.0.1:8001"}),
        ("/", {}),
        ("/another-token/", {}),
        ("/a-tokenx/", {}),
        ("/favicon.ico", {}),
        ("/%C3%A9/", {}),
    ],
)
def test_who_has_not_the_address_is_refused(open_desk, path, headers):
    _, client = open_desk()
    refused = client.get(f"http://{_HOST}{path}" if path else "", headers=headers)
    assert refused.status_code == 403
    assert _TOKEN not in refused.text
    assert client.get("").status_code == 200
    assert client.get("ecg/0").status_code == 404
    assert client.get("open").status_code == 405


@pytest.mark.parametrize("headers", [{}, {"Origin": "null"}, {"Origin": "http://evil.example"}])
def test_only_its_own_page_may_send_files(ecgs, open_desk, headers):
    desk, client = open_desk()
    assert upload(client, ("a.npy", as_npy(ecgs.X[0])), headers=headers).status_code == 403
    assert desk.ecgs == []


def test_pages_load_nothing_from_elsewhere_and_are_not_kept(ecgs, open_desk):
    _, client = open_desk()
    page = upload(client, ("<script>x</script>.npy", as_npy(ecgs.X[0])))
    assert page.status_code == 200
    assert "<script>x" not in page.text
    assert re.findall(r"(?:src|href|action)=\"(?!data:|#|/a-token/)", page.text) == []
    assert page.headers["Cache-Control"] == "no-store"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert re.search(r'<script nonce="([\w-]+)">', page.text)[1] in policy


def test_files_that_belong_together_are_one_ecg(ecgs, tmp_path, open_desk):
    pytest.importorskip("wfdb")
    ECGRecord(ecgs.X[0].astype(float), 250, "made").to_wfdb(tmp_path / "r")
    both = [(f"r.{suffix}", (tmp_path / f"r.{suffix}").read_bytes()) for suffix in ("hea", "dat")]
    desk, client = open_desk()
    desk._run.args.file_rate = desk._run.args.unit = None
    page = upload(client, *both)
    assert page.url.path == f"/{_TOKEN}/ecg/0"
    page = upload(client, both[0])
    assert page.url.path == f"/{_TOKEN}/"
    assert "r.hea (2)" in page.text
    assert "its signal file r.dat is absent" in page.text
    assert "1 of 2 ECGs could be read" in page.text
    assert str(tmp_path) not in page.text


def test_uploads_leave_nothing_on_disk_and_reach_nothing_else(ecgs, tmp_path, open_desk):
    desk, client = open_desk()
    good = as_npy(ecgs.X[0])
    page = upload(client, ("../../../x.npy", good), ("C:\\somewhere\\y.npy", good), ("z.npy", b"\x93NUMPY spoilt"))
    assert page.status_code == 200
    assert [ecg.label for ecg in desk.ecgs] == ["x.npy", "y.npy", "z.npy"]
    assert [bool(ecg.line["error"]) for ecg in desk.ecgs] == [False, False, True]
    assert desk.compose(0) is desk.compose(0)
    assert [path.name for path in tmp_path.rglob("*")] == ["uploads"]


@pytest.mark.parametrize(
    ("names", "status", "reason"),
    [
        ([], 400, "No file was chosen"),
        (["a.npy", "b/a.npy"], 400, "Two of these files have one name"),
        (["a" * 300 + ".npy"], 400, "File name too long"),
        ([".."], 400, "Two of these files have one name"),
        (["a.npy", "b.npy", "c.npy", "d.npy"], 400, "Too many files"),
        (["a.npy", "b.npy", "c.npy"], 400, "holds 2 ECGs at most"),
    ],
)
def test_uploads_that_are_refused(monkeypatch, tmp_path, open_desk, names, status, reason):
    monkeypatch.setattr(_view, "_MOST_ECGS", 2)
    monkeypatch.setattr(_view, "_MOST_FILES", 3)
    desk, client = open_desk()
    parts = [(name, b"x") for name in names]
    refused = upload(client, *parts) if parts else client.post("open", data={}, headers=_ORIGIN)
    assert refused.status_code == status
    assert reason in refused.text
    assert str(tmp_path) not in refused.text
    assert desk.ecgs == []
    assert list((tmp_path / "uploads").iterdir()) == []


@pytest.mark.parametrize("is_told", [True, False])
def test_uploads_have_a_size(monkeypatch, open_desk, is_told):
    monkeypatch.setattr(_view, "_MOST_BYTES", 1000)
    desk, client = open_desk()
    content = b"x" * 2000 if is_told else iter([b"x" * 2000])
    refused = client.post(
        "open", content=content, headers=_ORIGIN | {"Content-Type": "multipart/form-data; boundary=a"}
    )
    assert refused.status_code == 413
    assert "open fewer at once" in refused.text
    assert desk.ecgs == []


def test_pages_are_given_while_another_is_made_and_one_is_made_at_a_time(ecgs, open_desk, monkeypatch):
    httpx2 = pytest.importorskip("httpx2")
    desk, client = open_desk()
    started, go_on, at_once = threading.Semaphore(0), threading.Event(), []
    real = _view.judge_files

    def judge_slowly(run, files):
        at_once.append(len(threading.enumerate()))
        started.release()
        assert go_on.wait(60)
        return real(run, files)

    monkeypatch.setattr(_view, "judge_files", judge_slowly)
    part = {"files": ("a.npy", as_npy(ecgs.X[0]))}

    async def use() -> None:
        transport = httpx2.ASGITransport(app=client.app)
        async with httpx2.AsyncClient(transport=transport, base_url=client.base_url) as browser:
            sent = [asyncio.create_task(browser.post("open", files=part, headers=_ORIGIN)) for _ in range(2)]
            await asyncio.to_thread(started.acquire)
            assert "No ECG is open yet" in (await browser.get("")).text
            assert len(at_once) == 1
            go_on.set()
            assert [(await task).status_code for task in sent] == [303, 303]

    asyncio.run(use())
    assert [ecg.label for ecg in desk.ecgs] == ["a.npy", "a.npy (2)"]


def test_what_goes_wrong_is_told_on_both_sides(open_desk, files, monkeypatch, capsys):
    from starlette.testclient import TestClient

    desk, client = open_desk()
    desk.open(files)
    monkeypatch.setattr(desk._maker, "compose", lambda *args: 1 / 0)
    page = TestClient(client.app, base_url=str(client.base_url), raise_server_exceptions=False).get("ecg/0")
    assert page.status_code == 500
    assert "division by zero" in page.text
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert client.get("").status_code == 200


def test_bad_arguments(tmp_path, monkeypatch, capsys):
    (tmp_path / "spoilt.omi").write_text("spoilt")
    (tmp_path / "empty").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for given, reason in (
            (["--port", port], f"Port {port} is in use, perhaps by another viewer; give another --port"),
            (["no.omi"], "no.omi: there is no such file"),
            ([str(tmp_path / "spoilt.omi")], "is no model file"),
            ([str(tmp_path / "empty")], "There are no files"),
        ):
            assert main(["view", *given]) == 2
            [line] = capsys.readouterr().err.splitlines()
            assert reason in line
    for given in (["--port", "80"], ["example:none"]):
        with pytest.raises(SystemExit):
            main(["view", *given])
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert main(["view"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "install them with: pip install" in line


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that starts the command, and gives its process and address; what is left ends."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    started = []

    def start(*given: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-c", "import sys; from omi_estimators.cli import main; sys.exit(main())", "view"]
        # A process in the background may have been told to take no notice of Ctrl-C.
        kind = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
        process = subprocess.Popen(
            [*command, *given], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kind
        )
        started.append(process)
        return process, process.stdout.readline().split()[1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_it_ends_with_one_line_and_leaves_nothing(start, files, tmp_path, name):
    process, address = start(*map(str, files), *_PLAIN)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
    assert list(tmp_path.glob("omi-view-*"))
    process.send_signal(signal.Signals[name])
    _, said = process.communicate(timeout=60)
    if name == "SIGINT":
        assert process.returncode == 130
        assert (
            said.strip() == "omi-estimators: interrupted; the viewer has ended, and nothing of what it showed is kept."
        )
    assert not list(tmp_path.glob("omi-view-*"))


def _find_browser() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.slow
@pytest.mark.skipif(_find_browser() is None, reason="no Chromium on this machine; Debian's is in the package chromium")
@pytest.mark.parametrize("with_script", [True, False])
def test_in_a_browser(start, files, tmp_path, with_script):
    playwright = pytest.importorskip("playwright.sync_api")
    for name in ("a", "b"):
        shutil.copy(files[0], tmp_path / f"{name}.npy")
    (tmp_path / "huge.npy").write_bytes(b"x" * (_view._MOST_BYTES + 1))
    _, address = start("example:mi-forest", str(files[1]), *_PLAIN)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_find_browser())
        page = browser.new_page(viewport={"width": 420, "height": 900}, java_script_enabled=with_script)
        said: list[str] = []
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if "127.0.0.1" not in request.url else None)
        page.goto(address)

        def give(*names: str) -> None:
            page.set_input_files("input[type=file]", [tmp_path / name for name in names])
            if not with_script:
                page.click("button")

        give("a.npy")
        page.wait_for_url("**/ecg/1")
        assert page.locator("h1").inner_text() == "a.npy: mi-forest.omi"
        assert "P(MI) = " in page.locator(".verdict").inner_text()
        assert "It is not OMI" in page.locator(".note").inner_text()
        assert page.locator("img").count() == 3
        # Nothing is wider than a narrow window.
        assert page.locator("body").bounding_box()["width"] <= 420
        give("a.npy", "b.npy")
        page.wait_for_selector("text=mi-forest.omi on 4 ECGs")
        give("huge.npy")
        page.wait_for_selector("text=open fewer at once")
        page.goto(address)
        page.click("text=1.npy")
        page.click("text=Next")
        page.wait_for_url("**/ecg/1")
        if with_script:
            dropped = page.evaluate_handle(
                "() => { const data = new DataTransfer(); data.items.add(new File(['?'], 'drop.xml')); return data; }"
            )
            page.dispatch_event("h1", "drop", {"dataTransfer": dropped})
            page.wait_for_selector("text=drop.xml")
        assert [text for text in said if not text.startswith("data:")] == []
        browser.close()
