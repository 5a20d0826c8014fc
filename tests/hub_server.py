"""A small hub on loopback: serves folders as repositories by the protocol that huggingface_hub 2 speaks.

    with HubServer() as hub:
        commit = hub.add("someone/model", folder)
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        hub.trouble("config.json", status=503, times=2)
        hub.trouble("store of model.safetensors", cut=1000)  # the next answer breaks off after 1000 bytes
        ...
        assert hub.asked[-1].range == "bytes=1000-"

Large files (safetensors, and whatever is longer than ``LARGE``) are kept as with Git LFS: named by their SHA-256 and
redirected to another address, "store of NAME" for troubles, as the real hub does. No Xet is offered.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pytest
from huggingface_hub import close_session, constants
from safetensors.numpy import save_file

from mmdemo.models.hub import client, transfer

LARGE = 100_000
CHUNK = 16_384
TREE_PAGE = 1000


@dataclass(frozen=True)
class Asked:
    """A request that came in."""

    method: str
    path: str
    range: str
    authorization: str
    agent: str


@dataclass
class Trouble:
    """What happens to requests whose path holds ``path``, ``times`` times (-1: always).

    Attributes:
        status: Instead of an answer; with ``headers`` and ``code`` (the hub's X-Error-Code).
        cut: The connection breaks off after so many bytes of the body.
        wrong: The right number of bytes, and other ones.
        longer: So many bytes more than there are.
        slow: Seconds before each chunk of the body.
        silent: Seconds before anything is said at all.
        deaf: Range is not understood: the whole file comes.
    """

    path: str
    times: int = 1
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    cut: int | None = None
    wrong: bool = False
    longer: int = 0
    slow: float = 0.0
    silent: float = 0.0
    deaf: bool = False


@dataclass
class Repository:
    """What one model has: a folder for each commit, and what branches and tags mean."""

    commits: dict[str, Path] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    gated: str | bool = False
    unsigned: bool = False


def is_large(path: Path) -> bool:
    return path.suffix == ".safetensors" or path.stat().st_size > LARGE


def git_sha1(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up in the middle is no error here; anything else is told as usual."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class HubServer:
    """Starts with the ``with`` block, on a free port."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.troubles: list[Trouble] = []
        self.asked: list[Asked] = []
        self.token = ""
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = _Quiet(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def store(self) -> str:
        """Where large files lie: another host by name, to which no token must be sent."""
        return self.address.replace("127.0.0.1", "localhost")

    def add(
        self,
        name: str,
        folder: Path,
        *,
        revision: str = "main",
        licence: str = "",
        gated: str | bool = False,
        unsigned: bool = False,
        commit: str = "",
    ) -> str:
        """Publish a folder as the newest commit of a branch.

        Args:
            gated: "auto" or "manual": files only for those who send ``self.token``.
            unsigned: Sizes and checksums are kept back, as by a hub that is none.
            commit: Default: made from the contents.

        Returns:
            The commit.
        """
        listing = "".join(f"{path.relative_to(folder)} {git_sha1(path)}\n" for path in files_in(folder))
        commit = commit or hashlib.sha1(f"{name} {listing}".encode()).hexdigest()
        repository = self.repositories.setdefault(name, Repository())
        repository.commits[commit] = folder
        repository.names[revision] = commit
        repository.gated, repository.unsigned = gated, unsigned
        if licence:
            repository.card = {"license": licence}
        return commit

    def trouble(self, path: str, **what: Any) -> Trouble:
        """Make one; the oldest that fits a request happens to it."""
        made = Trouble(path, **what)
        with self._lock:
            self.troubles.append(made)
        return made

    def take_trouble(self, path: str) -> Trouble | None:
        with self._lock:
            for one in self.troubles:
                if one.path in path and one.times:
                    one.times -= 1
                    return one
        return None

    def note(self, asked: Asked) -> None:
        with self._lock:
            self.asked.append(asked)

    def asked_for(self, part: str) -> list[Asked]:
        """Requests whose path holds this."""
        with self._lock:
            return [one for one in self.asked if part in one.path]


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@contextmanager
def reachable(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub that this process talks to and hardly waits for, with its cache below ``home``."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    # read when the library was imported; its own calls ask a third address where telemetry is on
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(client, "PAUSE", 0.01)
    monkeypatch.setattr(client, "STEP", 0.01)
    monkeypatch.setattr(transfer, "TOLD_EVERY", 0.0)
    monkeypatch.setenv("HF_HOME", str(home))
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server
        close_session()


def captioner(folder: Path, *, seed: int = 0, config: dict[str, Any] | None = None) -> Path:
    """A repository of half a megabyte that says that it holds a captioner, with what such repositories hold besides."""
    folder.mkdir(parents=True)
    told = config or {"architectures": ["BlipForConditionalGeneration"], "model_type": "blip"}
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "vocab.txt").write_text("a\nb\n")
    (folder / "README.md").write_text("# A model\n")
    weights = np.random.default_rng(seed).normal(size=(400, 300)).astype(np.float32)
    save_file({"weight": weights}, folder / "model.safetensors")  # 480 kB
    for name in ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "picture.png", ".gitattributes"):
        (folder / name).write_bytes(b"x" * 1000)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"x" * 1000)
    return folder


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        headers = self.headers
        self.hub.note(
            Asked(
                self.command,
                unquote(self.path),
                headers.get("Range", ""),
                headers.get("Authorization", ""),
                headers.get("User-Agent", ""),
            )
        )
        address = urlsplit(self.path)
        path = unquote(address.path)
        trouble = self.hub.take_trouble(path)
        if trouble is not None and trouble.silent:
            time.sleep(trouble.silent)
        if trouble is not None and trouble.status:
            self._refuse(trouble.status, trouble.code, trouble.headers)
            return
        if found := re.fullmatch(r"/store/([0-9a-f]{64})", path):
            self._store(found[1], trouble, body=body)
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._info(found[1], found[2] or "main", blobs="blobs" in parse_qs(address.query))
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
            self._tree(found[1], found[2])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+|refs/pr/\d+)/(.+)", path):
            self._file(found[1], found[2], found[3], trouble, body=body)
        else:
            self._refuse(404, "", {})

    # ---------------------------------------------------------------- what there is

    def _find(self, name: str, revision: str) -> tuple[Repository, str, Path] | None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            # as the real hub: strangers are not told whether a model is missing or private
            stranger = not self.hub.token or self.headers.get("Authorization") != f"Bearer {self.hub.token}"
            self._refuse(401 if stranger else 404, "RepoNotFound", {})
            return None
        commit = repository.names.get(revision, revision)
        if commit not in repository.commits:
            self._refuse(404, "RevisionNotFound", {})
            return None
        return repository, commit, repository.commits[commit]

    def _info(self, name: str, revision: str, *, blobs: bool) -> None:
        if (found := self._find(name, revision)) is None:
            return
        repository, commit, folder = found
        siblings = []
        for path in files_in(folder):
            row: dict[str, Any] = {"rfilename": path.relative_to(folder).as_posix()}
            if blobs and not repository.unsigned:
                row |= {"size": path.stat().st_size, "blobId": git_sha1(path)}
                if is_large(path):
                    row["lfs"] = {"sha256": sha256(path), "size": path.stat().st_size, "pointerSize": 134}
            siblings.append(row)
        told = {
            "id": name,
            "sha": commit,
            "private": False,
            "gated": repository.gated,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": siblings,
            "cardData": repository.card,
        }
        self._json(told)

    def _tree(self, name: str, revision: str) -> None:
        if (found := self._find(name, revision)) is None:
            return
        _, _, folder = found
        rows = []
        for path in files_in(folder):
            size = path.stat().st_size
            row: dict[str, Any] = {"type": "file", "path": path.relative_to(folder).as_posix(), "size": size}
            row["oid"] = git_sha1(path)
            if is_large(path):
                row["lfs"] = {"oid": sha256(path), "size": size, "pointerSize": 134}
            rows.append(row)
        self._json(rows)

    # ---------------------------------------------------------------- files

    def _file(self, name: str, revision: str, file: str, trouble: Trouble | None, *, body: bool) -> None:
        if (found := self._find(name, revision)) is None:
            return
        repository, commit, folder = found
        if repository.gated and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._refuse(403 if self.headers.get("Authorization") else 401, "GatedRepo", {})
            return
        path = folder / file
        if not path.is_file():
            self._refuse(404, "EntryNotFound", {})
            return
        large = is_large(path)
        etag = sha256(path) if large else git_sha1(path)
        told = {"X-Repo-Commit": commit, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if large:
            told |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(path.stat().st_size)}
            told["Location"] = f"{self.hub.store}/store/{etag}"
            self._send(302, b"", told, body=body)
        else:
            self._content(path.read_bytes(), told, trouble, body=body)

    def _store(self, digest: str, trouble: Trouble | None, *, body: bool) -> None:
        for repository in self.hub.repositories.values():
            for folder in repository.commits.values():
                for path in files_in(folder):
                    if is_large(path) and sha256(path) == digest:
                        name = path.relative_to(folder).as_posix()
                        trouble = trouble or self.hub.take_trouble(f"store of {name}")
                        if trouble is not None and trouble.status:
                            self._refuse(trouble.status, trouble.code, trouble.headers)
                            return
                        self._content(path.read_bytes(), {"Accept-Ranges": "bytes"}, trouble, body=body)
                        return
        self._refuse(404, "", {})

    def _content(self, content: bytes, headers: dict[str, str], trouble: Trouble | None, *, body: bool) -> None:
        trouble = trouble or Trouble("")
        if trouble.wrong:
            content = bytes(byte ^ 0xFF for byte in content)
        content += b"\0" * trouble.longer
        status, asked = 200, re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and not trouble.deaf:
            start = int(asked[1])
            if start >= len(content):
                self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"}, body=body)
                return
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            status, content = 206, content[start:]
        self._send(status, content, headers, body=body, trouble=trouble)

    # ---------------------------------------------------------------- answering

    def _json(self, what: Any) -> None:
        self._send(200, json.dumps(what).encode(), {"Content-Type": "application/json"}, body=True)

    def _refuse(self, status: int, code: str, headers: Mapping[str, str]) -> None:
        told = {"X-Error-Message": f"status {status}", **({"X-Error-Code": code} if code else {}), **headers}
        self._send(status, json.dumps({"error": f"status {status}"}).encode(), told, body=self.command == "GET")

    def _send(
        self, status: int, content: bytes, headers: Mapping[str, str], *, body: bool, trouble: Trouble | None = None
    ) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self._write(content, trouble or Trouble(""))
        except OSError:  # the other side has hung up
            self.close_connection = True

    def _write(self, content: bytes, trouble: Trouble) -> None:
        end = len(content) if trouble.cut is None else min(trouble.cut, len(content))
        for start in range(0, end, CHUNK):
            if trouble.slow:
                time.sleep(trouble.slow)
            self.wfile.write(content[start : min(start + CHUNK, end)])
        self.wfile.flush()
        if trouble.cut is not None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
