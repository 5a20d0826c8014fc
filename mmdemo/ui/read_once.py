"""Answers to programs' calls: each is read once, and then nothing is kept of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mmdemo.ui.web.asgi import Application, Receive, Scope, Send, refuse

if TYPE_CHECKING:
    from mmdemo.ui.queue import FairQueue

_READING = re.compile(r"(?:/gradio_api)?/call(?:/v2)?/[^/]+/([^/]+)")


class ReadOnce:
    """ASGI middleware: the answer to a call is read once, and then nothing is kept of it; 404 for any other.

    Args:
        app: What stands behind it.
        queue: Where the answers are.
    """

    def __init__(self, app: Application, *, queue: FairQueue) -> None:
        self.app = app
        self.queue = queue

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _READING.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        if found is None:
            await self.app(scope, receive, send)
        elif not self.queue.knows(found[1]):
            await refuse(send, 404, "There is no such answer, or it was read already")
        else:
            self.queue.reading(found[1])
            try:
                await self.app(scope, receive, send)
            finally:
                self.queue.forget(found[1])
