"""Who may use the page of one's own: this machine's browser and programs, not what a website does in that browser.

Such a page deletes runs, shows any folder that is typed and starts trainings, all without a password, because only this
machine reaches it. A website that is open in the same browser must not borrow that: neither by sending forms across
(gradio keeps it from reading the answers, not from sending) nor by letting its own name point to 127.0.0.1 after the
page was loaded (DNS rebinding), which makes it the same origin in the browser's eyes.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from mmdemo.ui.web.asgi import Application, Receive, Scope, Send, refuse

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def is_loopback(host: str) -> bool:
    """Whether a host, without port, is this machine under any of its own names."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # browsers never ask a name server for these
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class OwnPage:
    """ASGI middleware: 403 for requests under another machine's name, and for those that another website sends.

    Args:
        app: What stands behind it.
        any_name: Whether the page may be asked for by any name: where a password guards it, another name has no cookie.
    """

    def __init__(self, app: Application, *, any_name: bool = False) -> None:
        self.app = app
        self.any_name = any_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (why := self.objection(scope)):
            await refuse(send, 403, why)
        else:
            await self.app(scope, receive, send)

    def objection(self, scope: Scope) -> str:
        """Why a request is turned away; "" where it may pass."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if host and not self.any_name and not is_loopback(_name(host)):
            return "This page answers to localhost and 127.0.0.1 only; another name needs --auth USER:PASSWORD"
        if scope["method"] not in _SAFE and not _own(headers, host):
            return "Another website may not use this page"
        return ""


def _own(headers: dict[str, str], host: str) -> bool:
    """Whether a request that changes something comes from the page itself, from this machine, or from no browser."""
    site, origin = headers.get("sec-fetch-site", ""), headers.get("origin", "")
    if site in ("same-origin", "none"):
        return True
    if not origin:
        return site == ""
    place = urlsplit(origin).netloc if origin.isprintable() else ""
    return bool(place) and (place == host or is_loopback(_name(place)))


def _name(place: str) -> str:
    """A host without its port."""
    return place.partition("]")[0] if place.startswith("[") else place.partition(":")[0]
