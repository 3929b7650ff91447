"""A server on the loopback address with as much of the Hub's protocol as the tests need."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".csv")


def is_large(path: str) -> bool:
    """Return whether the Hub names a file by its SHA-256."""
    return path.endswith(LARGE) or "step_" in path


def digest(path: str, content: bytes) -> str:
    """Return the digest by which the Hub names a file's content."""
    if is_large(path):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """A repository.

    Attributes:
        commits: all files of each commit.
        refs: the commit of each branch and tag.
        token: that may read it; None is everybody.
        gated: whether access has to be asked for.
    """

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    gated: bool = False

    def commit(self, files: Mapping[str, bytes], ref: str = "main") -> str:
        """Replace all files; return the commit."""
        content = "".join(f"{path}{digest(path, data)}" for path, data in sorted(files.items()))
        name = hashlib.sha1(f"{len(self.commits)}{content}".encode()).hexdigest()
        self.commits[name] = dict(files)
        self.refs[ref] = name
        return name


@dataclass
class Faults:
    """What goes wrong.

    Attributes:
        drop: bytes of a file after which the connection is closed; None is never.
        drops: how many times.
        content: wrong contents by path.
        missing: paths that are listed but not served.
        status: of every answer; None is the right one.
        seconds: before every answer.
        trickle: part of a path whose answer is sent byte by byte; None is of none.
    """

    drop: int | None = None
    drops: int = 0
    content: dict[str, bytes] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    status: int | None = None
    seconds: float = 0.0
    trickle: str | None = None


@dataclass
class Hub:
    """The state of a server.

    Attributes:
        url: of the server.
        repositories: by name.
        writers: tokens that may make repositories and commit.
        faults: what goes wrong.
        requests: method, path and range of every request.
        uploaded: large files by their digests.
        lock: of everything above.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    writers: set[str] = field(default_factory=set)
    faults: Faults = field(default_factory=Faults)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def repository(self, name: str, files: Mapping[str, bytes], **about: Any) -> Repository:
        made = self.repositories[name] = Repository(**about)
        made.commit(files)
        return made

    def fetched(self, name: str = "") -> list[str]:
        """Return the paths of GET requests for files whose path contains `name`."""
        return [p for m, p, _ in self.requests if m == "GET" and "/resolve/" in p and name in p]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.body = self._read_body()
        with self.hub.lock:
            self.hub.requests.append((self.command, path, self.headers.get("Range", "")))
        time.sleep(self.hub.faults.seconds)
        if self.hub.faults.status is not None:
            self._error(self.hub.faults.status)
            return
        for pattern, method in ROUTES:
            match = pattern.fullmatch(f"{self.command} {path}")
            if match:
                method(self, *match.groups())
                return
        self._error(404)

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _send(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.hub.faults.trickle is None or self.hub.faults.trickle not in self.path:
            self.wfile.write(content)
            return
        with suppress(OSError):  # the client has gone
            for each in content:
                self.wfile.write(bytes([each]))
                time.sleep(0.05)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), Content_Type="application/json")

    def _error(self, status: int, code: str = "", message: str = "") -> None:
        self._send(status, b"", X_Error_Code=code, X_Error_Message=message)

    def _readable(self, name: str) -> Repository | None:
        """Return the repository, or None after answering that it cannot be read."""
        found = self.hub.repositories.get(name)
        if found is None or (found.token and found.token != self._token()):
            known = self._token() in self.hub.writers
            self._error(404 if known else 401, "RepoNotFound", "Repository not found")
            return None
        return found

    def _commit_of(self, repository: Repository, revision: str) -> str | None:
        commit = repository.refs.get(revision, revision)
        if commit in repository.commits:
            return commit
        self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return None

    def info(self, name: str, revision: str | None = None) -> None:
        repository = self._readable(name)
        if repository is None:
            return
        commit = self._commit_of(repository, revision or "main") if repository.commits else ""
        if commit is None:
            return
        siblings = []
        for path, content in repository.commits.get(commit, {}).items():
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            entry: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": blob}
            if is_large(path):
                sha256 = digest(path, content)
                entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
            siblings.append(entry)
        private = repository.token is not None
        about = {"id": name, "modelId": name, "private": private, "tags": [], "downloads": 0}
        self._json({**about, "sha": commit, "siblings": siblings})

    def resolve(self, name: str, revision: str, path: str) -> None:
        repository = self._readable(name)
        if repository is None:
            return
        if repository.gated:
            self._error(403, "GatedRepo", "Access to model is restricted")
            return
        commit = self._commit_of(repository, revision)
        if commit is None:
            return
        if path in self.hub.faults.missing or path not in repository.commits[commit]:
            self._error(404, "EntryNotFound", "Entry not found")
            return
        whole = repository.commits[commit][path]
        name_of_content = digest(path, whole)
        content = self.hub.faults.content.get(path, whole)
        headers = {
            "X_Repo_Commit": commit,
            "X_Linked_Etag": f'"{name_of_content}"',
            "X_Linked_Size": str(len(content)),
            "ETag": f'"{name_of_content}"',
            "Accept_Ranges": "bytes",
        }
        status, start = 200, 0
        if self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            status = 206
            headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        part = content[start:]
        with self.hub.lock:
            faults = self.hub.faults
            dropping = (
                faults.drop is not None
                and faults.drops > 0
                and self.command == "GET"
                and len(part) > faults.drop
            )
            faults.drops -= dropping
        if dropping:
            self._send(status, part[: faults.drop], **headers, Content_Length=str(len(part)))
            self.close_connection = True
            return
        self._send(status, part, **headers)

    def create(self) -> None:
        wanted = json.loads(self.body)
        if self._token() not in self.hub.writers:
            self._error(401, message="Invalid credentials in Authorization header")
            return
        name = f"{wanted['organization']}/{wanted['name']}"
        if name in self.hub.repositories:
            known = {
                "error": "You already created this model repo",
                "url": f"{self.hub.url}/{name}",
            }
            self._send(409, json.dumps(known).encode())
            return
        private = wanted.get("visibility") == "private" or wanted.get("private")
        made = self.hub.repositories[name] = Repository(token=self._token() if private else None)
        made.commit({".gitattributes": b""})
        self._json({"url": f"{self.hub.url}/{name}", "name": name})

    def validate(self) -> None:
        content = json.loads(self.body)["content"]
        if not content.startswith("---"):
            self._json({"errors": [], "warnings": [{"message": "empty or missing yaml metadata"}]})
        elif "license: nonsense" in content:
            error = {"errors": [{"message": '"license" must be one of the known'}], "warnings": []}
            self._send(400, json.dumps(error).encode(), Content_Type="application/json")
        else:
            self._json({"errors": [], "warnings": []})

    def preupload(self, name: str, revision: str) -> None:
        if self._readable(name) is None:
            return
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if is_large(file["path"]) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self._json({"files": files})

    def batch(self, name: str) -> None:
        objects = [
            {
                "oid": wanted["oid"],
                "size": wanted["size"],
                "actions": {
                    "upload": {"href": f"{self.hub.url}/upload/{wanted['oid']}"},
                    "verify": {"href": f"{self.hub.url}/verify"},
                },
            }
            for wanted in json.loads(self.body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> None:
        self.hub.uploaded[oid] = self.body
        self._send(200, b"")

    def verify(self) -> None:
        wanted = json.loads(self.body)
        content = self.hub.uploaded[wanted["oid"]]
        right = hashlib.sha256(content).hexdigest() == wanted["oid"]
        self._send(200 if right and len(content) == wanted["size"] else 422, b"{}")

    def commit(self, name: str, revision: str) -> None:
        repository = self._readable(name)
        if repository is None:
            return
        files = dict(repository.commits[repository.refs[revision]])
        for line in self.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploaded[value["oid"]]
            elif operation["key"] == "deletedFile":
                del files[value["path"]]
        commit = repository.commit(files, revision)
        self._json({"commitUrl": f"{self.hub.url}/{name}/commit/{commit}", "commitOid": commit})


_REPOSITORY = "([^/]+/[^/]+)"
ROUTES = [
    (re.compile(pattern), method)
    for pattern, method in (
        (f"GET /api/(?:models|datasets)/{_REPOSITORY}", Handler.info),
        (f"GET /api/(?:models|datasets)/{_REPOSITORY}/revision/(.+)", Handler.info),
        (
            f"(?:GET|HEAD) /(?:datasets/)?{_REPOSITORY}/resolve/([0-9a-f]{{40}}|[^/]+)/(.+)",
            Handler.resolve,
        ),
        ("POST /api/repos/create", Handler.create),
        ("POST /api/validate-yaml", Handler.validate),
        (f"POST /api/models/{_REPOSITORY}/preupload/(.+)", Handler.preupload),
        (f"POST /{_REPOSITORY}\\.git/info/lfs/objects/batch", Handler.batch),
        ("PUT /upload/(.+)", Handler.upload),
        ("POST /verify", Handler.verify),
        (f"POST /api/models/{_REPOSITORY}/commit/(.+)", Handler.commit),
    )
]


@contextmanager
def serve() -> Iterator[Hub]:
    """Run a Hub inside the context."""
    hub = Hub()
    handler = type("BoundHandler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that went away
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
