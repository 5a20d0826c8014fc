"""A page of one's own is not at the disposal of the websites that are open in the same browser."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mmdemo.ui.origin import OwnPage, is_loopback


def status(method: str, *, any_name: bool = False, **headers: str) -> int:
    """What a request gets: 200 is what stands behind."""
    sent: list[Any] = []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/gradio_api/queue/join", "headers": raw}
    asyncio.run(OwnPage(behind, any_name=any_name)(scope, None, send))  # type: ignore[arg-type]
    return int(sent[0]["status"])


def test_names_of_this_machine() -> None:
    assert all(map(is_loopback, ("localhost", "LOCALHOST.", "127.0.0.1", "127.1.2.3", "[::1]", "::1", "a.localhost")))
    assert not any(map(is_loopback, ("", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "192.168.1.5")))


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_name_that_was_pointed_to_this_machine_gets_nothing(method: str) -> None:
    name = "evil.example:7860"
    assert status(method, host=name, origin=f"http://{name}", sec_fetch_site="same-origin") == 403
    assert status(method, any_name=True, host=name, origin=f"http://{name}") == 200  # the browser has no cookie there


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1:7860", "[::1]:7860"])
def test_another_website_sends_nothing(host: str) -> None:
    assert status("POST", host=host, origin="https://evil.example", sec_fetch_site="cross-site") == 403
    assert status("POST", host=host, origin="https://evil.example") == 403  # a browser that does not say
    assert status("POST", host=host, origin="https://localhost.evil.example") == 403
    assert status("POST", host=host, origin="null") == 403
    assert status("POST", host=host, sec_fetch_site="cross-site") == 403
    assert status("GET", host=host, origin="https://evil.example", sec_fetch_site="cross-site") == 200  # a link


def test_the_page_itself_and_programs_pass() -> None:
    assert status("POST", host="127.0.0.1:7860", origin="http://127.0.0.1:7860", sec_fetch_site="same-origin") == 200
    assert status("POST", host="localhost:7860", origin="http://localhost:5173", sec_fetch_site="same-site") == 200
    assert status("POST", host="127.0.0.1:7860") == 200
    assert status("POST") == 200
    # a proxy that puts its own name for the page's
    assert status("POST", host="localhost:7860", origin="https://me.example", sec_fetch_site="same-origin") == 200
    assert status("POST", any_name=True, host="me.example", origin="https://me.example") == 200
