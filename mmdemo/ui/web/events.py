"""Events of gradio's queue: one that is read, unknown or forgotten must not keep anybody waiting, nor stay for ever.

gradio waits without end for messages of an event that has been read already, and keeps those that nobody reads.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from mmdemo.ui.web.asgi import Application, Receive, Scope, Send, refuse
from mmdemo.ui.web.streams import Answer

_CALL = re.compile(r"/gradio_api/call/(?:v2/)?[^/]+/([^/]+)/?")
_DATA = "/gradio_api/queue/data"

LOOK_SECONDS = 1.0
KEPT_SECONDS = 600.0
"""An answer that nobody has fetched for so long is dropped."""


class Events:
    """ASGI middleware: 404 for events that are unknown or read already, 409 for those that somebody is reading.

    Args:
        app: gradio's app, or what stands before it.
    """

    def __init__(self, app: Application, *, readers: Readers | None = None) -> None:
        self.app = app
        self.readers = readers or Readers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        queue = scope["app"].get_blocks()._queue
        path = scope["path"]
        if call := _CALL.fullmatch(path):
            session = session_of(queue, call[1])
            known, last = (lambda: session_of(queue, call[1]) is not None), b"event: error\ndata: null\n\n"
        elif path.rstrip("/") == _DATA:
            named = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
            session = named if waits(queue, named) else None
            known, last = (lambda: waits(queue, named)), b""
        else:
            await self.app(scope, receive, send)
            return
        if session is None:
            await refuse(send, 404, "There is no such event, or its answer has been read already")
        elif call and self.readers.counts[session]:
            await refuse(send, 409, "The answer to this event is being read already")
        else:
            self.readers.counts[session] += 1
            try:
                await _while_known(self.app, scope, receive, send, known, last)
            finally:
                self.readers.leave(session)


class Readers:
    """Who reads what, and which answers nobody has fetched.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._left: dict[str, float] = {}

    def leave(self, session: str) -> None:
        """One reader less."""
        self.counts[session] -= 1
        if self.counts[session] <= 0:
            del self.counts[session]

    def drop_abandoned(self, queue: Any, *, older_than: float = KEPT_SECONDS) -> int:
        """Let go of sessions whose answers are all done and that nobody has read from for a time.

        Args:
            queue: gradio's queue; call this in its event loop.
            older_than: Seconds since it was first found so.

        Returns:
            How many sessions were dropped.
        """
        now = self._clock()
        held = {*queue.pending_event_ids_session, *queue.pending_messages_per_session}
        busy = {event.session_hash for event in queue.event_ids_to_events.values()} | {*self.counts}
        idle = held - busy
        self._left = {session: self._left.get(session, now) for session in idle}
        gone = [session for session, since in self._left.items() if now - since >= older_than]
        for session in gone:
            queue.pending_event_ids_session.pop(session, None)
            queue.pending_messages_per_session.pop(session, None)
            del self._left[session]
        return len(gone)


def session_of(queue: Any, event_id: str) -> str | None:
    """The session of an event that is waiting, being answered, or answered and not fetched; None otherwise.

    gradio forgets the event when it is answered, and its number when the answer is fetched, in either order.
    """
    event = queue.event_ids_to_events.get(event_id)
    pending = queue.pending_event_ids_session
    if event is not None:
        fetched = event_id not in pending.get(event.session_hash, ())
        return None if fetched or not event.alive else str(event.session_hash)
    session = next((name for name, ids in pending.items() if event_id in ids), None)
    return str(session) if session is not None and _unread(queue, session) else None


def waits(queue: Any, session: str) -> bool:
    """Whether there is anything that this session may still hear of."""
    events = (queue.event_ids_to_events.get(name) for name in queue.pending_event_ids_session.get(session, ()))
    return _unread(queue, session) or any(event is not None and event.alive for event in events)


def _unread(queue: Any, session: str) -> bool:
    messages = queue.pending_messages_per_session.get(session)
    return messages is not None and not messages.empty()


async def _while_known(
    app: Application, scope: Scope, receive: Receive, send: Send, known: Callable[[], bool], last: bytes
) -> None:
    """Run a stream, and end it when there is nothing left that it could say."""
    answer = Answer(send)
    request = asyncio.ensure_future(app(scope, receive, answer.send))
    missed = 0
    try:
        while missed < 2:  # twice: the last message may be on its way
            await asyncio.wait({request}, timeout=LOOK_SECONDS)
            if request.done():
                await request
                return
            missed = 0 if known() else missed + 1
    finally:
        if not request.done():
            request.cancel()
            await asyncio.wait({request}, timeout=LOOK_SECONDS)
            if request.done() and not request.cancelled():
                request.exception()
    await answer.finish(404, "There is no such event", last)
