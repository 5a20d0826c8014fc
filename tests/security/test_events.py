"""Promise: reading an answer ends, whether there is one, there was one, or there never was."""

from __future__ import annotations

import time

import pytest

from tests.app_process import AppProcess
from tests.security.wire import client, connect, head

SECONDS = 5.0


def wrong_call(http: object) -> str:
    told = http.post("/gradio_api/call/ask", json={"data": [None, "what?", None]})  # type: ignore[attr-defined]
    return str(told.json()["event_id"])


@pytest.mark.parametrize("profile", ["shared_page", "own_page"])
def test_an_answer_is_read_once_and_then_there_is_none(profile: str, request: pytest.FixtureRequest) -> None:
    app: AppProcess = request.getfixturevalue(profile)
    with client(app.url) as http:
        event = wrong_call(http)
        assert "event: error" in http.get(f"/gradio_api/call/ask/{event}").text
        for _ in range(2):
            began = time.monotonic()
            assert http.get(f"/gradio_api/call/ask/{event}").status_code == 404
            assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("profile", ["shared_page", "own_page"])
@pytest.mark.parametrize("path", ["call/ask/nope", "call/ask/0123456789abcdef0123456789abcdef", "call/v2/ask/x"])
def test_an_unknown_event_is_not_waited_for(profile: str, path: str, request: pytest.FixtureRequest) -> None:
    app: AppProcess = request.getfixturevalue(profile)
    with client(app.url) as http:
        began = time.monotonic()
        assert http.get(f"/gradio_api/{path}").status_code == 404
        assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("profile", ["shared_page", "own_page"])
@pytest.mark.parametrize("path", ["queue/data?session_hash=nope", "queue/data?session_hash="])
def test_a_page_without_events_is_told_that_its_stream_is_over(
    profile: str, path: str, request: pytest.FixtureRequest
) -> None:
    app: AppProcess = request.getfixturevalue(profile)
    with client(app.url) as http:
        began = time.monotonic()
        told = http.get(f"/gradio_api/{path}")
        assert (told.status_code, told.text) == (200, 'data: {"msg":"close_stream"}\n\n')
        assert time.monotonic() - began < SECONDS


def test_an_answer_whose_reader_went_away_is_not_waited_for(shared_page: AppProcess) -> None:
    with client(shared_page.url) as http:
        event = wrong_call(http)
        with connect(shared_page.url) as made:
            made.sendall(head("GET", f"/gradio_api/call/ask/{event}") + b"\r\n")
        began = time.monotonic()
        told = http.get(f"/gradio_api/call/ask/{event}")
        assert told.status_code in (200, 404, 409)
        assert time.monotonic() - began < 2 * SECONDS
