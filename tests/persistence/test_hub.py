"""Models to and from the Hugging Face Hub, spoken to as it is by its own library; here it is a small server."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import pickle
import re
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from omi_estimators import save
from omi_estimators.persistence import ModelFileError, from_hub, push_to_hub, read_card

pytest.importorskip("huggingface_hub")

_TOKEN = "hf_test"
_X = np.linspace(-1, 1, 20)[:, np.newaxis]
_Y = (_X[:, 0] > 0).astype(int)


class Hub(http.server.ThreadingHTTPServer):
    """What of the Hub a model needs: repositories of commits of files, some private, some gated."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.private: dict[str, bool] = {}
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.asked: list[str] = []
        self.broken = False

    def add(self, repo: str, files: dict[str, bytes]) -> str:
        """Commit files to a repository; return the commit's hash."""
        commits = self.commits.setdefault(repo, {})
        files = commits.get("main", {}) | files
        sha = hashlib.sha1(repr((len(commits), sorted(files.items()))).encode()).hexdigest()
        commits |= {sha: files, "main": files}
        return sha


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *args):
        pass

    def answer(self, status: int, content: object = b"", **headers: str):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str):
        self.answer(status, {"error": f"{code} \x1b[31m"}, X_Error_Code=code)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.server.asked.append(f"{self.command} {self.path}")
        if self.server.broken:
            return self.refuse(507, "Full")
        found = re.fullmatch(r"(?:/api/models)?/([^/]+/[^/]+)(?:/resolve/([^/]+)/(.+))?", self.path)
        repo, revision, name = found.groups()
        if repo == "some/gated":
            return self.refuse(403, "GatedRepo")
        hidden = self.server.private.get(repo) and self.headers["Authorization"] != f"Bearer {_TOKEN}"
        if repo not in self.server.commits or hidden:
            return self.refuse(404, "RepoNotFound")
        if name is None:
            return self.answer(200, {"id": repo, "private": self.server.private.get(repo, False)})
        files = self.server.commits[repo].get(revision)
        if files is None:
            return self.refuse(404, "RevisionNotFound")
        commits = self.server.commits[repo]
        sha = next(key for key in reversed(commits) if key != "main" and commits[key] is files)
        if name not in files:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=sha)
        etag = hashlib.sha1(files[name]).hexdigest()
        return self.answer(200, files[name], ETag=f'"{etag}"', X_Repo_Commit=sha)

    def do_POST(self):
        self.server.asked.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/api/validate-yaml":
            wrong = "license: no-such" in json.loads(body)["content"]
            errors = [{"message": '"license" must be one of those known'}] if wrong else []
            return self.answer(400 if wrong else 200, {"errors": errors, "warnings": []})
        if self.headers["Authorization"] != f"Bearer {_TOKEN}":
            return self.refuse(401, "Unauthorized")
        if self.path == "/api/repos/create":
            given = json.loads(body)
            repo = f"{given['organization']}/{given['name']}"
            if repo in self.server.commits:
                return self.answer(409, {"error": "exists", "url": f"{self.server.url}/{repo}"})
            private = given.get("private") or given.get("visibility") == "private"
            self.server.private[repo], self.server.commits[repo] = private, {}
            return self.answer(200, {"url": f"{self.server.url}/{repo}"})
        repo, what = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", self.path).groups()
        if what == "preupload":
            files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            return self.answer(200, {"files": [file | {"shouldIgnore": False} for file in files]})
        lines = [json.loads(line) for line in body.splitlines()]
        values = [line["value"] for line in lines if line["key"] == "file"]
        sha = self.server.add(repo, {value["path"]: base64.b64decode(value["content"]) for value in values})
        return self.answer(200, {"commitUrl": f"{self.server.url}/{repo}/commit/{sha}", "commitOid": sha})


@pytest.fixture
def load_hub_library(tmp_path, monkeypatch):
    """Return a function that sets where the Hub is, and has its library, which reads that on import, imported anew."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "1")

    def set_environment(**variables: str):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        for name in [name for name in sys.modules if name.split(".")[0] == "huggingface_hub"]:
            monkeypatch.delitem(sys.modules, name)

    return set_environment


@pytest.fixture
def hub(load_hub_library) -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        load_hub_library(HF_ENDPOINT=server.url, HF_TOKEN=_TOKEN)
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def model() -> LogisticRegression:
    return LogisticRegression().fit(_X, _Y)


def test_there_and_back(hub, model):
    sha = push_to_hub(
        model, "me/forest", license="cc-by-4.0", tags=["omi"], metrics={"AUROC": 0.9}, notes="- Positive class: OMI"
    )
    np.testing.assert_array_equal(from_hub("me/forest").predict_proba(_X), model.predict_proba(_X))
    assert hub.private["me/forest"]
    files = hub.commits["me/forest"][sha]
    assert set(files) == {"model.omi", "README.md"}
    header, card = files["README.md"].decode().removeprefix("---\n").split("\n---\n", 1)
    assert {"license: cc-by-4.0", "library_name: omi_estimators", "- ecg", "- omi"} <= set(header.splitlines())
    assert card.startswith("\nResearch use only; not a medical device.\n")
    for part in ('from_hub("me/forest")', "# LogisticRegression", "- AUROC: 0.9", "- Positive class: OMI"):
        assert part in card


def test_a_revision_stays_what_it_was(hub, model, tmp_path):
    first = push_to_hub(model, "me/pinned", license="mit")
    other = LogisticRegression(C=0.01).fit(_X, _Y)
    save(other, tmp_path / "other.omi", notes="The other one.")
    second = push_to_hub(tmp_path / "other.omi", "me/pinned", license="mit", message="again")
    assert first != second
    assert from_hub("me/pinned", revision=first).C == 1
    assert from_hub("me/pinned").C == from_hub("me/pinned", revision=second).C == 0.01
    assert b"The other one." in hub.commits["me/pinned"]["main"]["README.md"]
    # What is pinned is asked for once.
    hub.asked.clear()
    assert from_hub("me/pinned", revision=first).C == 1
    assert hub.asked == []


def test_private_stays_private(hub, model):
    hub.add("me/public", {"README.md": b"mine"})
    with pytest.raises(ValueError, match="me/public is there and public"):
        push_to_hub(model, "me/public", license="mit")
    assert set(hub.commits["me/public"]["main"]) == {"README.md"}
    push_to_hub(model, "me/public", license="mit", private=False)
    push_to_hub(model, "me/secret", license="mit")
    with pytest.raises(FileNotFoundError, match="no repository me/secret, or it is private and not yours"):
        from_hub("me/secret", token=False)
    assert from_hub("me/secret", token=_TOKEN).C == 1


def test_hashes_of_patients_go_nowhere(hub, model, tmp_path):
    save(model, tmp_path / "knows.omi", groups=["a"], remember_patients=True)
    with pytest.raises(ValueError, match="hashes of patients"):
        push_to_hub(tmp_path / "knows.omi", "me/knows", license="mit")
    assert hub.asked == []


def test_what_is_wrong_is_said(hub, model, tmp_path):
    hub.add("some/repo", {"README.md": b"", "model.omi": pickle.dumps(model), "short.omi": b"PK"})
    for asked, error, message in (
        ({"repo_id": "some/none"}, FileNotFoundError, "no repository some/none"),
        ({"repo_id": "some/gated"}, PermissionError, "some/gated is gated"),
        ({"repo_id": "some/repo", "revision": "v9"}, FileNotFoundError, "no revision 'v9'"),
        ({"repo_id": "some/repo", "filename": "x.omi"}, FileNotFoundError, "no file x.omi; push_to_hub calls it model"),
        ({"repo_id": "some/repo"}, ModelFileError, "looks like a pickle"),
        ({"repo_id": "some/repo", "filename": "short.omi"}, ModelFileError, "no model file of omi_estimators"),
        ({"repo_id": "a/b/c"}, ValueError, "'a/b/c'"),
    ):
        with pytest.raises(error, match=message):
            from_hub(**asked)
    for given, error, message in (
        ({"token": "hf_other"}, PermissionError, r"not allow this for me/new: Unauthorized \\x1b\[31m; log in"),
        ({"license": "no-such"}, ValueError, "license"),
        ({"model": object()}, TypeError, "save needs an estimator"),
        ({"model": tmp_path / "none.omi"}, FileNotFoundError, "no such model file"),
        ({"model": tmp_path / "none.omi", "notes": ""}, TypeError, "has its card; leave out notes"),
    ):
        with pytest.raises(error, match=message):
            push_to_hub(**({"model": model, "repo_id": "me/new", "license": "mit"} | given))
    hub.broken = True
    with pytest.raises(ConnectionError, match="refuses this for me/new: Full"):
        push_to_hub(model, "me/new", license="mit")


def test_without_a_network_the_cache_serves(hub, model, load_hub_library):
    sha = push_to_hub(model, "me/kept", license="mit")
    from_hub("me/kept")
    load_hub_library(HF_HUB_OFFLINE="1")
    hub.asked.clear()
    assert from_hub("me/kept").C == from_hub("me/kept", revision=sha).C == 1
    with pytest.raises(ConnectionError, match="cannot be reached for me/other"):
        from_hub("me/other")
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE"):
        push_to_hub(model, "me/kept", license="mit")
    assert hub.asked == []


def test_nobody_listens(load_hub_library, model, monkeypatch):
    # The library asks again for a while.
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with Hub() as server:
        url = server.url
    load_hub_library(HF_ENDPOINT=url, HF_TOKEN=_TOKEN)
    for call in (lambda: from_hub("me/kept"), lambda: push_to_hub(model, "me/kept", license="mit")):
        with pytest.raises(ConnectionError, match="cannot be reached for me/kept"):
            call()


def test_the_extra_is_named(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: from_hub("me/kept"), lambda: push_to_hub(model, "me/kept", license="mit")):
        with pytest.raises(ImportError, match=r"pip install .*hub"):
            call()


def test_the_file_on_the_hub_is_the_file_here(hub, model, tmp_path):
    save(model, tmp_path / "here.omi")
    push_to_hub(tmp_path / "here.omi", "me/same", license="mit")
    assert hub.commits["me/same"]["main"]["model.omi"] == (tmp_path / "here.omi").read_bytes()
    assert read_card(tmp_path / "here.omi") in hub.commits["me/same"]["main"]["README.md"].decode()
