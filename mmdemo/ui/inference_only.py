"""The shared page: the written list of all that answers, and the gate that turns everything else away.

Gradio hides a private event from its documentation but still answers it, and it has routes of its own for things this
page does not use. So a shared page is built of the events below and nothing else, and a gate in front of gradio lets
only the listed addresses through; whatever a later gradio adds stays shut until it is written down here.
"""

from __future__ import annotations

import re

from mmdemo.core.types import TASKS
from mmdemo.ui.api import ENDPOINTS
from mmdemo.ui.web.asgi import Application, Receive, Scope, Send, refuse

PAGE_EVENTS = (
    "page_ask",
    "page_ask_enter",
    "page_ask_example",
    "page_ask_example_run",
    "page_ask_clear",
    "page_ask_where",
    "page_classify",
    "page_classify_example",
    "page_classify_example_run",
    "page_classify_set",
    "page_classify_classes",
    "page_classify_clear",
    "page_classify_where",
    "page_caption",
    "page_caption_example",
    "page_caption_example_run",
    "page_caption_clear",
    "page_caption_where",
    "page_sentiment",
    "page_sentiment_example",
    "page_sentiment_example_run",
    "page_sentiment_clear",
    "page_sentiment_where",
    *(f"page_{task}_{what}" for task in TASKS for what in ("card", "stop")),
)
"""Events of the page itself. They take what the four jobs take, return HTML, and name no file of the visitor's."""

_JOB = "|".join(ENDPOINTS)
_NAME = r"[A-Za-z0-9_-]+"

OPEN_ADDRESSES: tuple[tuple[str, str], ...] = (
    # the page and its parts
    ("GET HEAD", r"/"),
    ("GET", r"/config/?"),
    ("GET HEAD", r"/(assets|static)/.+"),
    ("GET", r"(/gradio_api)?/theme\.css"),
    ("GET", r"/(favicon\.ico|robots\.txt)"),
    ("GET", r"/gradio_api/startup-events"),
    ("GET", rf"/gradio_api/heartbeat/{_NAME}"),
    # signing in, with --auth
    ("POST", r"/login/?"),
    ("GET", r"/logout"),
    ("GET", r"/gradio_api/(user|login_check|token|app_id)/?"),
    # what is offered, in words and as a schema
    ("GET", r"/gradio_api/(info/?|openapi\.json)"),
    # files: sent in by the visitor, shown back to the visitor
    ("POST", r"/gradio_api/upload"),
    ("GET", r"/gradio_api/upload_progress"),
    ("GET HEAD", r"/gradio_api/file=(?!https?:).+"),
    # the page's events go through the queue
    ("POST", r"/gradio_api/queue/join"),
    ("GET", r"/gradio_api/queue/data"),
    ("POST", r"/gradio_api/(cancel|reset/?)"),
    # the four jobs for programs
    ("POST", rf"/gradio_api/call(/v2)?/({_JOB})/?"),
    ("GET", rf"/gradio_api/call(/v2)?/({_JOB})/{_NAME}"),
)
"""Methods and addresses (whole-path regular expressions) that a shared page answers."""

MCP_ADDRESSES: tuple[tuple[str, str], ...] = (("GET POST DELETE", r"/gradio_api/mcp(/.*)?"),)
"""Open besides with ``--mcp``."""


class Gate:
    """ASGI middleware: 404 for every address that is not on the list.

    Args:
        app: What stands behind the gate.
        addresses: Methods and whole-path regular expressions that may pass.
    """

    def __init__(self, app: Application, *, addresses: tuple[tuple[str, str], ...] = OPEN_ADDRESSES) -> None:
        self.app = app
        self._open = [(frozenset(methods.split()), re.compile(path)) for methods, path in addresses]

    def passes(self, method: str, path: str) -> bool:
        """Whether a request for this address may go on."""
        return any(method in methods and pattern.fullmatch(path) for methods, pattern in self._open)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif not self.passes(scope["method"], scope["path"]):
            await refuse(send, 404, "Not found")
        else:
            await self.app(scope, receive, send)
