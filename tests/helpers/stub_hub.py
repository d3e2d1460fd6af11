"""A hub of a few repositories on 127.0.0.1, as far as the hub's library asks: listings with checksums, and files by commit."""

import contextlib
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class Repository:
    """files: path -> bytes. lfs: those whose SHA-256 the hub knows; of the others it knows git's digest."""

    files: dict
    lfs: set = field(default_factory=set)
    gated: bool = False

    @property
    def commit(self):
        return hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()

    def listing(self):
        for name, data in self.files.items():
            git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            entry = {"rfilename": name, "size": len(data), "blobId": git}
            if name in self.lfs:
                entry["lfs"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 130}
            yield entry


class Hub:
    """repositories: (kind, id) -> Repository, kind "models" or "datasets". contents: files that were asked for, in order.

    dies_in: a file in the middle of which the server hangs up, and answers nothing more. alters: files sent with one bit changed.
    """

    def __init__(self, repositories):
        self.repositories = repositories
        self.contents, self.tokens = [], set()
        self.dies_in, self.dead, self.alters = None, False, set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @contextlib.contextmanager
    def serving(self):
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def log_message(self, *_):
        pass

    def answer(self, body):
        if self.hub.dead:
            self.close_connection = True
            return
        self.hub.tokens.add(self.headers.get("Authorization"))
        path = unquote(urlsplit(self.path).path).strip("/")
        if path.startswith("api/"):
            _, kind, *rest = path.split("/", 3)
            name, action, revision = re.fullmatch(r"(.*?)(?:/(revision|tree)/(.*))?", "/".join(rest)).groups("")
            self.describe(self.hub.repositories.get((kind, name)), revision, action == "tree")
            return
        kind, path = ("datasets", path.removeprefix("datasets/")) if path.startswith("datasets/") else ("models", path)
        name, _, where = path.partition("/resolve/")
        commit, _, file = where.partition("/")
        self.give(self.hub.repositories.get((kind, name)), commit, file, body)

    def describe(self, repository, revision, as_tree):
        if repository is None:
            self.refuse(404, "RepoNotFound")
        elif revision not in ("", "main", repository.commit):
            self.refuse(404, "RevisionNotFound")
        elif as_tree:
            files = [
                {"type": "file", "path": entry["rfilename"], "size": entry["size"], "oid": entry["blobId"]}
                | ({"lfs": {**entry["lfs"], "oid": entry["lfs"]["sha256"]}} if "lfs" in entry else {})
                for entry in repository.listing()
            ]
            self.send(200, json.dumps(files).encode(), {"Content-Type": "application/json"})
        else:
            told = {"id": "x/y", "sha": repository.commit, "siblings": list(repository.listing())}
            told["gated"] = "auto" if repository.gated else False
            self.send(200, json.dumps(told).encode(), {"Content-Type": "application/json"})

    def give(self, repository, commit, file, body):
        if repository is None or commit != repository.commit or file not in repository.files:
            self.refuse(404, "EntryNotFound")
            return
        if repository.gated:
            self.refuse(403, "GatedRepo")
            return
        data = repository.files[file]
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        status, start = 200, 0
        if asked := self.headers.get("Range"):
            start, status = int(asked.removeprefix("bytes=").partition("-")[0]), 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if body:
            self.hub.contents.append(file)
        if file in self.hub.alters:
            data = bytes([data[0] ^ 1]) + data[1:]
        self.send(status, data[start:], headers, body, half=body and file == self.hub.dies_in)

    def refuse(self, status, code):
        self.send(status, b"", {"X-Error-Code": code, "X-Error-Message": "no"})

    def send(self, status, data, headers, body=True, half=False):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if half:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            until = time.monotonic() + 10
            while len(self.hub.contents) < 2 and time.monotonic() < until:  # other files, at the same time
                time.sleep(0.01)
            time.sleep(0.3)  # so that what was sent arrives before the connection ends
            self.hub.dead = True
            self.close_connection = True
        elif body:
            self.wfile.write(data)
