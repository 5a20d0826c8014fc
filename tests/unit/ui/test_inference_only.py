"""The gate in front of a shared page."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mmdemo.ui.inference_only import MCP_ADDRESSES, OPEN_ADDRESSES, Gate


def status_of(method: str, path: str, *, kind: str = "http", **options: Any) -> int:
    """What a request gets; 200 from what stands behind the gate."""
    sent: list[dict[str, Any]] = []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    scope = {"type": kind, "method": method, "path": path, "headers": []}
    asyncio.run(Gate(behind, **options)(scope, receive, send))
    return int(sent[0].get("status") or sent[0]["code"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("HEAD", "/"),
        ("GET", "/assets/index-1.js"),
        ("GET", "/gradio_api/file=/tmp/gradio/ab/x.png"),
        ("POST", "/gradio_api/call/ask"),
        ("GET", "/gradio_api/call/v2/sentiment/0a1b-2c"),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/upload"),
    ],
)
def test_listed_addresses_pass(method: str, path: str) -> None:
    assert status_of(method, path) == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/call/ask"),
        ("POST", "/gradio_api/call/asks"),
        ("POST", "/gradio_api/call/ask/../train"),
        ("POST", "/gradio_api/call/train"),
        ("POST", "/gradio_api/run/ask"),
        ("GET", "/gradio_api/file=http://example.com/x"),
        ("GET", "/gradio_api/mcp/"),
        ("DELETE", "/"),
        ("GET", "/gradio_api/info/extra"),
    ],
)
def test_everything_else_is_turned_away(method: str, path: str) -> None:
    assert status_of(method, path) == 404


def test_mcp_is_open_only_when_asked_for() -> None:
    assert status_of("POST", "/gradio_api/mcp/", addresses=OPEN_ADDRESSES + MCP_ADDRESSES) == 200


def test_web_sockets_are_closed() -> None:
    assert status_of("GET", "/", kind="websocket") == 1008
