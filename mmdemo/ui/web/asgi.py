"""The shapes of ASGI, and an answer that is a status and a sentence."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


async def refuse(send: Send, status: int, detail: str, *, retry_after: float = 0) -> None:
    """Answer a request with a status and a sentence.

    Args:
        send: Where the answer goes.
        status: HTTP status.
        detail: The sentence.
        retry_after: Seconds after which another try makes sense; 0 to say nothing about it.
    """
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if retry_after:
        headers.append((b"retry-after", str(max(1, round(retry_after))).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def header(scope: Scope, name: bytes) -> bytes:
    """The first header of this name (in lower case), b"" where there is none."""
    found: bytes = next((value for key, value in scope["headers"] if key == name), b"")
    return found
