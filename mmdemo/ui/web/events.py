"""Events of gradio's queue: one that is read, unknown or forgotten must not keep anybody waiting, nor stay for ever.

gradio waits without end for messages of an event that has been read already, and keeps those that nobody reads.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from mmdemo.ui.unread import session_of, waits
from mmdemo.ui.web.asgi import Application, Receive, Scope, Send, refuse
from mmdemo.ui.web.streams import Answer

if TYPE_CHECKING:
    from mmdemo.ui.queue import FairQueue

_CALL = re.compile(r"/gradio_api/call/(?:v2/)?[^/]+/([^/]+)/?")
_DATA = "/gradio_api/queue/data"

_CLOSE = b'data: {"msg":"close_stream"}\n\n'
"""Tells a page that nothing more comes. A page whose stream fails otherwise takes it for open and never asks again."""

LOOK_SECONDS = 1.0


class Events:
    """ASGI middleware: an answer is read once, and nothing is kept of it; a page's stream ends with its last event.

    A program gets 404 for an event that is unknown or read already, 409 for one that is being read. A page gets the
    end of its stream.

    Args:
        app: gradio's app, or what stands before it.
        queue: Where the answers are.
    """

    def __init__(self, app: Application, *, queue: FairQueue) -> None:
        self.app = app
        self.queue = queue
        self.readers = queue.readers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        if call := _CALL.fullmatch(scope["path"]):
            await self._call(call[1], scope, receive, send)
        elif scope["path"].rstrip("/") == _DATA:
            await self._page(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _call(self, event: str, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer to one event, for a program."""
        session = session_of(self.queue, event)
        if session is None:
            await refuse(send, 404, "There is no such event, or its answer has been read already")
        elif self.readers.counts[session]:
            await refuse(send, 409, "The answer to this event is being read already")
        else:
            answer = Answer(send)
            with self.readers.reading(session):
                if not await self._while_known(answer, scope, receive, lambda: session_of(self.queue, event)):
                    await answer.finish(404, "There is no such event", b"event: error\ndata: null\n\n")
            if session == event:  # the call came without a session
                self.queue.forget(event)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The answers to all events of one page."""
        session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        answer = Answer(send)
        if waits(self.queue, session):
            with self.readers.reading(session):
                if await self._while_known(answer, scope, receive, lambda: waits(self.queue, session) or None):
                    return
        if not answer.started:
            headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
            await answer.send({"type": "http.response.start", "status": 200, "headers": headers})
        await answer.finish(200, "", _CLOSE)

    async def _while_known(
        self, answer: Answer, scope: Scope, receive: Receive, known: Callable[[], object | None]
    ) -> bool:
        """Run a stream until it is done, or has nothing left that it could tell; which of the two."""
        request = asyncio.ensure_future(self.app(scope, receive, answer.send))
        missed = 0
        try:
            while missed < 2:  # twice: the last message may be on its way
                await asyncio.wait({request}, timeout=LOOK_SECONDS)
                if request.done():
                    await request
                    return True
                missed = 0 if known() is not None else missed + 1
        finally:
            if not request.done():
                request.cancel()
                await asyncio.wait({request}, timeout=LOOK_SECONDS)
                if request.done() and not request.cancelled():
                    request.exception()
        return False
