"""What cannot be made sense of is the sender's mistake: a refusal with 400, and one line in the log."""

from __future__ import annotations

import logging
import re
import traceback

from starlette.requests import ClientDisconnect

from mmdemo.ui.web.asgi import Application, Message, Receive, Scope, Send, refuse

log = logging.getLogger("mmdemo.ui")

_MAX_LINE = 300
_DIRECT = re.compile(r"/gradio_api/(run|api)/[^/]+/?")
"""Calls past the queue: gradio answers an input that the event refuses with 500."""


def one_line(error: BaseException) -> str:
    """An error as one printable line: its type, what it says, and the place in the code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({'/'.join(frames[-1].filename.split('/')[-2:])}:{frames[-1].lineno})" if frames else ""
    said = " ".join(str(error).split())
    said = f"{said[:_MAX_LINE]} …" if len(said) > _MAX_LINE else said
    return "".join(c if c.isprintable() else "?" for c in f"{type(error).__name__}: {said}{place}")


def shown(path: str) -> str:
    """An address from outside as it may stand in the log."""
    return "".join(c if c.isprintable() else "?" for c in path[:_MAX_LINE])


class Faults:
    """ASGI middleware: exceptions from behind it become 400 and one line; an answer that has begun just ends.

    Args:
        app: What stands behind it.
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = finished = False

        async def note(message: Message) -> None:
            nonlocal started, finished
            started = True
            finished = message["type"] == "http.response.body" and not message.get("more_body", False)
            if message.get("status") == 500 and _DIRECT.fullmatch(scope["path"]):
                message = {**message, "status": 400}
            await send(message)

        try:
            await self.app(scope, receive, note)
        except ClientDisconnect:
            return
        except Exception as error:
            log.warning("%s %s could not be answered: %s", scope["method"], shown(scope["path"]), one_line(error))
            log.debug("where it failed", exc_info=error)
            if not started:
                await refuse(send, 400, "Bad request")
            elif not finished:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
