"""Bodies of requests: counted as they come in, whatever was announced, and uploads kept within a quota.

An uploaded file lies on the disk until it is deleted after ``UPLOADS_KEPT_HOURS``. So what one address has sent in that
time bounds what it occupies, and what all have sent bounds the disk.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.formparsers import MultiPartException

from mmdemo.ui.web.addresses import client_address
from mmdemo.ui.web.asgi import Application, Message, Receive, Scope, Send, header, refuse

UPLOAD = "/gradio_api/upload"

MAX_BODY_BYTES = 30_000_000
"""Bytes of one request of a stranger that is not an upload: a picture of 20 MB as base64 inside JSON."""

OWN_MAX_BODY_BYTES = 100_000_000
"""The same on the page of one's own: a picture or clip of 50 MB."""

_ANSWER_BYTES = 1_000_000
_MANY = 1_000
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What may be uploaded in a time.

    Attributes:
        seconds: The time: as long as an uploaded file is kept, and until it is looked for and deleted.
        bytes_each: Bytes from one address.
        files_each: Files from one address.
        bytes_all: Bytes from all addresses.
        files_all: Files from all addresses.
    """

    seconds: float
    bytes_each: int = 400_000_000
    files_each: int = 300
    bytes_all: int = 4_000_000_000
    files_all: int = 6_000


@dataclass(slots=True)
class _Account:
    entries: deque[list[float]] = field(default_factory=deque)  # [when, bytes, files]
    bytes: int = 0
    files: int = 0


class Ledger:
    """Who has uploaded how much, within the quota's time.

    Args:
        quota: What is allowed.
        clock: Seconds that never go back.
    """

    def __init__(self, quota: Quota, clock: Callable[[], float] = time.monotonic) -> None:
        self.quota = quota
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._all = _Account()

    def room(self, address: str) -> int:
        """Bytes that this address may still send now; 0 as well when it has no more files."""
        self._forget(address)
        quota, own = self.quota, self._accounts.get(address) or _Account()
        if own.files >= quota.files_each or self._all.files >= quota.files_all:
            return 0
        return max(0, min(quota.bytes_each - own.bytes, quota.bytes_all - self._all.bytes))

    def wait(self, address: str) -> float:
        """Seconds until the first of what fills the quota is forgotten."""
        own = self._accounts.get(address)
        entries = own.entries if own is not None else self._all.entries
        return max(1.0, entries[0][0] + self.quota.seconds - self._clock()) if entries else 1.0

    def charge(self, address: str, *, size: int = 0, files: int = 0) -> None:
        """Write down what has come in."""
        now = self._clock()
        for account in (self._accounts.setdefault(address, _Account()), self._all):
            account.bytes += size
            account.files += files
            if account.entries and now - account.entries[-1][0] < 1:  # one entry a second is fine enough
                account.entries[-1][1] += size
                account.entries[-1][2] += files
            else:
                account.entries.append([now, size, files])

    def _forget(self, address: str) -> None:
        """Drop what is older than the quota's time: of all, and of this address or, where there are many, of each."""
        before = self._clock() - self.quota.seconds
        self._age(self._all, before)
        for name in [address] if len(self._accounts) < _MANY else list(self._accounts):
            if (account := self._accounts.get(name)) is not None:
                self._age(account, before)
                if not account.entries:
                    del self._accounts[name]

    @staticmethod
    def _age(account: _Account, before: float) -> None:
        while account.entries and account.entries[0][0] <= before:
            _, size, files = account.entries.popleft()
            account.bytes -= int(size)
            account.files -= int(files)


class Bodies:
    """ASGI middleware: 413 for a body above its limit, announced or not; 429 for an upload above the quota.

    Args:
        app: What stands behind it.
        max_body: Bytes of one request that is not an upload.
        ledger: Who has uploaded how much; None where uploads have gradio's limit alone.
    """

    def __init__(self, app: Application, *, max_body: int = MAX_BODY_BYTES, ledger: Ledger | None = None) -> None:
        self.app = app
        self.max_body = max_body
        self.ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _BODILESS:
            await self.app(scope, receive, send)
            return
        upload = scope["path"].rstrip("/") == UPLOAD
        if upload and self.ledger is None:
            await self.app(scope, receive, send)
            return
        ledger = self.ledger if upload else None
        address = client_address(scope)
        limit = ledger.room(address) if ledger is not None else self.max_body
        announced = header(scope, b"content-length")
        size = int(announced[:20]) if announced.isdigit() else 0
        if ledger is not None and size > ledger.quota.bytes_each:
            await refuse(send, 413, f"Too large: an upload may have {ledger.quota.bytes_each // 1_000_000} MB")
            return
        if limit <= 0 or size > limit:
            await self.turn_away(send, ledger, address)
            return
        await _Counted(self, ledger, address, limit, receive, send).run(scope)

    async def turn_away(self, send: Send, ledger: Ledger | None, address: str) -> None:
        """Say which limit it was."""
        if ledger is None:
            megabytes = self.max_body // 1_000_000
            await refuse(send, 413, f"Too large: a request may have {megabytes} MB")
            return
        hours = round(ledger.quota.seconds / 3600)
        said = f"Too many uploads within {hours} hours; try again later"
        await refuse(send, 429, said, retry_after=ledger.wait(address))


class _Counted:
    """One request whose body is counted while it comes in."""

    def __init__(
        self, bodies: Bodies, ledger: Ledger | None, address: str, limit: int, receive: Receive, send: Send
    ) -> None:
        self._bodies, self._ledger, self._address, self._limit = bodies, ledger, address, limit
        self._receive, self._send = receive, send
        self._total = 0
        self._cut = False
        self._started = False
        self._status = 0
        self._answer = b""

    async def run(self, scope: Scope) -> None:
        try:
            await self._bodies.app(scope, self.receive, self.send)
        except Exception:
            if not self._cut:
                raise
        if self._cut and not self._started:
            await self._bodies.turn_away(self._send, self._ledger, self._address)
        if self._ledger is not None:
            self._ledger.charge(self._address, files=self._files())

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            if self._ledger is not None and message["type"] == "http.disconnect" and not self._started:
                self._cut = True
                raise MultiPartException("The upload was given up")  # gradio deletes the part that came
            return message
        size = len(message.get("body", b""))
        self._total += size
        if self._ledger is not None:
            room = self._ledger.room(self._address)  # others from the same address may upload at the same time
            self._ledger.charge(self._address, size=size)
            self._cut = size > room
        else:
            self._cut = self._total > self._limit
        if self._cut:
            raise MultiPartException("More than may be sent")  # gradio deletes the part that came
        return message

    async def send(self, message: Message) -> None:
        if self._cut and not self._started:
            return  # the refusal is said instead
        self._started = True
        if message["type"] == "http.response.start":
            self._status = int(message["status"])
        elif self._ledger is not None and len(self._answer) < _ANSWER_BYTES:
            self._answer += message.get("body", b"")
        await self._send(message)

    def _files(self) -> int:
        """How many files an upload has left on the disk, by what gradio answered; at least the one."""
        try:
            kept = json.loads(self._answer) if self._status == 200 else None
        except ValueError:
            kept = None
        return max(1, len(kept)) if isinstance(kept, list) else 1
