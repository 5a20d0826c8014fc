"""Requests in progress: how many one address has, how long a stream may last, and their end with the program.

Streams (answers on their way, signs of life of a tab) are held open by the other side, each costs a connection and a
task, and uvicorn would wait for them when the program ends.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from mmdemo.ui.web.addresses import client_address
from mmdemo.ui.web.asgi import Application, Message, Receive, Scope, Send, refuse

_STREAM = re.compile(
    r"/gradio_api/(queue/data|upload_progress|heartbeat/[^/]+|call/(v2/)?[^/]+/[^/]+|dev/reload|mcp(/.*)?)/?"
)
_LASTING = re.compile(r"/gradio_api/(heartbeat/[^/]+|mcp(/.*)?)/?")

ENDING_SECONDS = 0.5
"""How long requests that are no streams may go on when the program ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """What may go on at once, and for how long.

    Attributes:
        streams_each: Streams of one address; a tab has one sign of life, and one more while it waits for an answer.
        streams_all: Streams in all.
        requests_each: Requests of one address that are no streams.
        answer_seconds: How long an answer may be waited for; None without limit.
        tab_seconds: How long a sign of life lasts before the tab has to ask again; None without limit.
    """

    streams_each: int = 100
    streams_all: int = 400
    requests_each: int = 150
    answer_seconds: float | None = 1800.0
    tab_seconds: float | None = 7200.0


OWN_LIMITS = StreamLimits(answer_seconds=None, tab_seconds=None)
"""The page of one's own: an import or a download may take hours."""


@dataclass(slots=True)
class Ending:
    """Tells all requests in progress that the program ends. May be told from any thread."""

    _waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = field(default_factory=set)
    begun: bool = False

    def begin(self) -> None:
        """End streams now, and everything else soon."""
        self.begun = True
        for loop, event in tuple(self._waiting):
            loop.call_soon_threadsafe(event.set)

    def event(self) -> asyncio.Event:
        """The event of the running loop; one for all requests of it."""
        loop = asyncio.get_running_loop()
        for known, event in self._waiting:
            if known is loop:
                return event
        event = asyncio.Event()
        self._waiting.add((loop, event))
        if self.begun:
            event.set()
        return event


class Streams:
    """ASGI middleware: 429 for more at once than may be, an end in time for streams, and for all when the program ends.

    Args:
        app: What stands behind it.
        ending: When the program ends.
        limits: What may go on at once.
    """

    def __init__(self, app: Application, *, ending: Ending, limits: StreamLimits | None = None) -> None:
        self.app = app
        self.ending = ending
        self.limits = limits or StreamLimits()
        self._streams: Counter[str] = Counter()
        self._others: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        address, limits = client_address(scope), self.limits
        stream = scope["method"] == "GET" and _STREAM.fullmatch(scope["path"]) is not None
        counts, most = (self._streams, limits.streams_each) if stream else (self._others, limits.requests_each)
        if counts[address] >= most or (stream and counts.total() >= limits.streams_all):
            await refuse(send, 429, "Too many requests at once; close other tabs, or try again later", retry_after=10)
            return
        counts[address] += 1
        try:
            seconds = self._seconds(scope["path"]) if stream else None
            await _bounded(self.app, scope, receive, send, seconds=seconds, stream=stream, ending=self.ending)
        finally:
            counts[address] -= 1
            if not counts[address]:
                del counts[address]

    def _seconds(self, path: str) -> float | None:
        return self.limits.tab_seconds if _LASTING.fullmatch(path) else self.limits.answer_seconds


async def _bounded(
    app: Application,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    seconds: float | None,
    stream: bool,
    ending: Ending,
) -> None:
    """Run a request until it is done, its time is over, or the program ends; then finish its answer."""
    answer = Answer(send)
    request = asyncio.ensure_future(app(scope, receive, answer.send))
    ended = asyncio.ensure_future(ending.event().wait())
    try:
        await asyncio.wait({request, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not request.done() and not stream and ended.done():
            await asyncio.wait({request}, timeout=ENDING_SECONDS)
        if request.done():
            await request
            return
    finally:
        ended.cancel()
        if not request.done():
            await _cancelled(request)
    await answer.finish(503, "This program is about to end")


async def _cancelled(request: asyncio.Future[None]) -> None:
    """Cancel a request and let it clear up, for a moment; what it still raises is of no interest."""
    request.cancel()
    await asyncio.wait({request}, timeout=ENDING_SECONDS)
    if request.done() and not request.cancelled():
        request.exception()


class Answer:
    """An answer that can be finished by somebody else than who began it.

    Args:
        send: Where it goes.
        on_body: Called with each part of the body.
    """

    def __init__(self, send: Send, on_body: Callable[[bytes], None] | None = None) -> None:
        self._send = send
        self._on_body = on_body
        self.started = False
        self.finished = False

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on; nothing once it is finished."""
        if self.finished:
            return
        self.started = True
        if message["type"] == "http.response.body":
            self.finished = not message.get("more_body", False)
            if self._on_body is not None:
                self._on_body(message.get("body", b""))
        await self._send(message)

    async def finish(self, status: int, detail: str, last: bytes = b"") -> None:
        """End it here: with a refusal where nothing was said yet, otherwise after ``last``."""
        if self.finished:
            return
        if not self.started:
            self.started = self.finished = True
            await refuse(self._send, status, detail)
            return
        self.finished = True
        await self._send({"type": "http.response.body", "body": last, "more_body": False})
