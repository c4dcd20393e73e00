"""A Hub of our own: a cache with a repository in it, and a small server that answers as the Hub does."""

import base64
import hashlib
import json
import re
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from huggingface_hub.constants import HF_HUB_CACHE

TOKEN = "hf_stand_in"  # opens what belongs to `private`, and allows uploads


def put_in_hub_cache(folder: Path, name: str) -> str:
    """What a download leaves behind."""
    owner, repository = name.split("/")
    home = Path(HF_HUB_CACHE) / f"models--{owner}--{repository}"
    commit = "0123456789abcdef" * 2 + "01234567"
    shutil.copytree(folder, home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    return name


@dataclass
class Repository:
    """Commits, as `{path: content}` by hash, and the names of some of them."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], revision: str = "main") -> str:
        digest = hashlib.sha1()
        for path in sorted(files):
            digest.update(path.encode() + files[path])
        self.commits[digest.hexdigest()] = files
        self.refs[revision] = digest.hexdigest()
        return digest.hexdigest()

    def resolve(self, revision: str) -> str | None:
        return self.refs.get(revision, revision if revision in self.commits else None)


class StandIn(ThreadingHTTPServer):
    """
    The part of the Hub's interface that loading and pushing models uses. `requests` are those that were made, as
    `"METHOD /path"`.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []

    def put(self, name: str, folder: Path, revision: str = "main") -> str:
        """Makes a commit of a folder's files. Returns its hash."""
        files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return self.repositories.setdefault(name, Repository()).commit(files, revision)

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        repository = self.repositories[name]
        return repository.commits[repository.resolve(revision)]


@contextmanager
def stand_in():
    with StandIn() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(timeout=5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def log_message(self, *_):
        pass

    def do_any(self):
        path = unquote(urlsplit(self.path).path)
        if path == "/stand-in/requests":
            return self._answer(self.server.requests)
        self.server.requests.append(f"{self.command} {path}")
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        signed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if match := re.fullmatch(r"/(\w+/[\w.-]+)/resolve/([^/]+)/(.+)", path):
            return self._file(*match.groups(), signed)
        if match := re.fullmatch(r"/api/models/(\w+/[\w.-]+)(?:/(\w+)/([^/]+)(?:/(.+))?)?", path):
            return self._model(*match.groups(), data, signed)
        if path == "/api/whoami-v2" and signed:
            return self._answer({"type": "user", "name": "me", "orgs": [], "auth": {"accessToken": {"role": "write"}}})
        if path == "/api/repos/create" and signed:
            asked = json.loads(data)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            if name not in self.server.repositories:
                self.server.repositories.setdefault(name, Repository()).commit({".gitattributes": b""})
            return self._answer({"url": f"{self.server.url}/{name}", "name": name, "id": "0" * 24})
        if path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        return self._error(401 if not signed and "create" in path else 404, "EntryNotFound")

    do_GET = do_HEAD = do_POST = do_PUT = do_any

    def _repository(self, name: str, revision: str, signed: bool) -> tuple[Repository, str] | None:
        """The repository and the commit, or `None` once an error was answered."""
        repository = self.server.repositories.get(name)
        if repository is None or (name.startswith("private/") and not signed):
            return self._error(401, "RepoNotFound")
        commit = repository.resolve(revision)
        if commit is None:
            return self._error(404, "RevisionNotFound")
        return repository, commit

    def _file(self, name: str, revision: str, path: str, signed: bool) -> None:
        if (found := self._repository(name, revision, signed)) is None:
            return
        repository, commit = found
        if (content := repository.commits[commit].get(path)) is None:
            return self._error(404, "EntryNotFound", {"X-Repo-Commit": commit})
        self._send(200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": commit})

    def _model(self, name: str, what: str | None, revision: str | None, rest, data: bytes, signed: bool) -> None:
        if (found := self._repository(name, revision or "main", signed)) is None:
            return
        repository, commit = found
        files = repository.commits[commit]
        if what in (None, "revision"):
            about = {
                "id": name,
                "sha": commit,
                "private": False,
                "gated": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
            }
            self._answer({**about, "siblings": [{"rfilename": path} for path in files]})
        elif what == "tree":
            listed = [path for path in files if not rest or path.startswith(f"{rest}/")]
            if rest and not listed:
                return self._error(404, "EntryNotFound")
            self._answer(
                [{"type": "file", "oid": "0" * 40, "size": len(files[path]), "path": path} for path in listed]
            )
        elif not signed:
            self._error(401, "Unauthorized")
        elif what == "preupload":
            paths = [each["path"] for each in json.loads(data)["files"]]
            self._answer({"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]})
        elif what == "commit":
            lines = [json.loads(line) for line in data.splitlines()]
            added = [line["value"] for line in lines if line["key"] == "file"]
            files = {**files, **{each["path"]: base64.b64decode(each["content"]) for each in added}}
            commit = repository.commit(files, revision)
            self._answer({"commitOid": commit, "commitUrl": f"{self.server.url}/{name}/commit/{commit}"})
        else:
            self._error(404, "EntryNotFound")

    def _answer(self, value) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code, **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
