"""fetch_ptbxl, from a server of a miniature PTB-XL on this computer."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from omi_estimators.datasets import fetch_ptbxl

pooch = pytest.importorskip("pooch")

_FILES = {
    "ptbxl_database.csv": b"ecg_id\n1\n",
    "scp_statements.csv": b"NORM\n",
    "LICENSE.txt": b"CC BY 4.0\n",
    "records500/00000/00001_hr.hea": b"00001_hr 12 500 5000\n",
    "records500/00000/00001_hr.dat": b"\x01\x02" * 5000,
    "records100/00000/00001_lr.hea": b"00001_lr 12 100 1000\n",
    "example_physionet.py": b"print('not wanted')\n",
}


class _Server:
    """What is served, what was asked for, and what goes wrong on purpose."""

    def __init__(self) -> None:
        self.files = dict(_FILES)
        self.sums = "".join(f"{hashlib.sha256(data).hexdigest()} {name}\n" for name, data in _FILES.items())
        self.asked: Counter[str] = Counter()
        self.cut: set[str] = set()
        self.url = ""

    def answer(self, name: str) -> bytes | None:
        return self.sums.encode() if name == "SHA256SUMS.txt" else self.files.get(name)


@pytest.fixture
def server():
    state = _Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            state.asked[name] += 1
            content = state.answer(name)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if name in state.cut else content)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        state.url = f"http://127.0.0.1:{running.server_port}/"
        yield state
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("omi_estimators.datasets._ptbxl._RETRIES", 0)


def fetch(server, folder: Path, **keywords) -> Path:
    return fetch_ptbxl(folder, base_url=server.url, verbose=False, n_jobs=2, **keywords)


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_tables_and_records_of_one_rate(server, tmp_path):
    assert fetch(server, tmp_path / "new") == tmp_path / "new"
    wanted = {name for name in _FILES if not name.startswith(("records100", "example"))}
    assert _names(tmp_path / "new") == wanted | {"SHA256SUMS.txt"}
    assert all((tmp_path / "new" / name).read_bytes() == _FILES[name] for name in wanted)
    fetch(server, tmp_path / "new", sampling_rate=100)
    assert "records100/00000/00001_lr.hea" in _names(tmp_path / "new")
    assert "example_physionet.py" not in server.asked


def test_what_is_there_is_not_fetched_again_and_what_is_damaged_is(server, tmp_path):
    fetch(server, tmp_path)
    server.asked.clear()
    fetch(server, tmp_path)
    assert set(server.asked) == {"SHA256SUMS.txt"}
    broken, lost = "records500/00000/00001_hr.dat", "scp_statements.csv"
    (tmp_path / broken).write_bytes(b"half of")
    (tmp_path / lost).unlink()
    server.asked.clear()
    fetch(server, tmp_path)
    assert server.asked == {"SHA256SUMS.txt": 1, broken: 1, lost: 1}
    assert (tmp_path / broken).read_bytes() == _FILES[broken]


def test_threads_do_not_make_folders(server, tmp_path, monkeypatch):
    """Two that made the same one at once ended in an error."""
    makedirs, makers = os.makedirs, []
    monkeypatch.setattr(os, "makedirs", lambda *args, **keywords: (makers.append(args[0]), makedirs(*args, **keywords)))
    fetch(server, tmp_path)
    assert not [path for path in makers if "records500" in str(path)]


def test_a_file_with_another_content_is_refused(server, tmp_path):
    server.files["scp_statements.csv"] = b"something else"
    with pytest.raises(ValueError, match=r"scp_statements\.csv from .* does not have the SHA-256"):
        fetch(server, tmp_path)
    assert not (tmp_path / "scp_statements.csv").exists()
    server.files = dict(_FILES)
    fetch(server, tmp_path)
    assert (tmp_path / "scp_statements.csv").read_bytes() == _FILES["scp_statements.csv"]


def test_a_transfer_that_breaks_off_leaves_nothing_wrong(server, tmp_path):
    name = "records500/00000/00001_hr.dat"
    server.cut = {name}
    with pytest.raises((OSError, ValueError), match=name):
        fetch(server, tmp_path)
    assert not (tmp_path / name).exists()
    server.cut = set()
    fetch(server, tmp_path)
    assert (tmp_path / name).read_bytes() == _FILES[name]


def test_a_transfer_that_breaks_off_once_is_tried_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr("omi_estimators.datasets._ptbxl._RETRIES", 2)
    monkeypatch.setattr("time.sleep", lambda seconds: server.cut.clear())
    server.cut = {"scp_statements.csv"}
    fetch(server, tmp_path)
    assert (tmp_path / "scp_statements.csv").read_bytes() == _FILES["scp_statements.csv"]


def test_a_file_that_the_server_lacks(server, tmp_path):
    del server.files["LICENSE.txt"]
    with pytest.raises(OSError, match=r"LICENSE\.txt cannot be fetched .*404.*Call again"):
        fetch(server, tmp_path)


def test_no_server(tmp_path):
    with pytest.raises(OSError, match=r"SHA256SUMS\.txt cannot be fetched"):
        fetch_ptbxl(tmp_path, base_url="http://127.0.0.1:9/", verbose=False)


@pytest.mark.parametrize("name", ["../evil.csv", "/etc/evil", "records500/../../evil", "records500\\evil", "C:evil"])
def test_no_name_leads_out_of_the_folder(server, tmp_path, name):
    server.sums += f"{'0' * 64}  {name}\n"
    with pytest.raises(ValueError, match="outside its folder"):
        fetch(server, tmp_path / "in")
    assert _names(tmp_path) == {"in/SHA256SUMS.txt"}


@pytest.mark.parametrize(
    ("sums", "message"), [("<html>Not found</html>", "no SHA-256 sums"), (f"{'0' * 64} a.csv", "does not list")]
)
def test_another_list(server, tmp_path, sums, message):
    server.sums = sums
    with pytest.raises(ValueError, match=message):
        fetch(server, tmp_path)


def test_a_full_disk(server, tmp_path, monkeypatch):
    def full(self, *arguments, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pooch.Pooch, "fetch", full)
    with pytest.raises(OSError, match=r"cannot be fetched .* No space left on device. Call again to go on"):
        fetch(server, tmp_path)


def test_another_rate(tmp_path):
    with pytest.raises(ValueError, match="100 and 500 Hz"):
        fetch_ptbxl(tmp_path / "none", sampling_rate=250)
    assert not (tmp_path / "none").exists()
