"""Promise: a malformed request gets a refusal, and the log one line; no traceback, no status of 500."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import httpx
import pytest

from tests.app_process import AppProcess
from tests.security.wire import client, connect, first_line

CASES = 220
SEED = 21

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 3, 99999, 10**19, 10**400, 1.5, "", "ask", "x" * 2000, "\0", "\ud800", "../..", [], [[]],
    {}, {"a": 1},
    {"path": None}, {"path": 5}, {"path": "/etc/passwd"}, {"url": "data:,x"}, {"url": "file:///etc/passwd"},
    {"__type__": "update"}, {"path": "", "meta": {"_type": "gradio.FileData"}}, [None] * 50, {"": ""},
)  # fmt: skip

RAW: tuple[bytes, ...] = (
    b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe", b'{"data":', b'{"data":NaN}', b'{"data":[Infinity]}', b"[" * 50_000,
    b'{"data":[' + b"9" * 5000 + b"]}", b'{"data":[],"fn_index":' + b"9" * 5000 + b"}", b'{"data":[1e999]}', b'"data"',
)  # fmt: skip

POSTS = ("call/ask", "call/classify", "call/caption", "call/sentiment", "call/v2/ask", "call/v2/caption", "queue/join")
MORE_POSTS = ("cancel", "reset", "upload")
OWN_POSTS = ("run/ask", "api/ask", "component_server", "call/nothing", "call/v2/nothing", "stream/x", "run/page_opened")
GETS = (
    "/gradio_api/call/ask/%00", "/gradio_api/call/ask/nope", "/gradio_api/queue/data",
    "/gradio_api/queue/data?session_hash=",
    "/gradio_api/queue/data?session_hash=%00&session_hash=x", "/gradio_api/file=", "/gradio_api/file=/etc/passwd",
    "/gradio_api/file=%00", "/gradio_api/file=" + "a" * 5000, "/gradio_api/upload_progress",
    "/gradio_api/info?all_endpoints=%ff",
    "/config?page=%00", "/config?deep_link=..%2f..", "/?deep_link=%00", "/?page=nope", "/assets/..%2f..%2fx",
    "/static/%00",
    "/gradio_api/call/ask/" + "a" * 5000, "/theme.css?v=%ff",
)  # fmt: skip


def forms(rng: random.Random) -> tuple[dict[str, str], bytes]:
    """A body for an endpoint that takes JSON, mostly near what it takes."""
    if rng.random() < 0.2:
        return {"content-type": "application/json"}, rng.choice(RAW)
    body: dict[str, Any] = {"data": [rng.choice(ODD) for _ in range(rng.choice((0, 1, 2, 3, 4, 6)))]}
    for name in ("fn_index", "session_hash", "event_id", "trigger_id", "event_data", "batched", "simple_format"):
        if rng.random() < 0.35:
            body[name] = rng.choice(ODD)
    if rng.random() < 0.5:
        body["fn_index"] = rng.randrange(-2, 60)
        body["session_hash"] = f"fuzz{rng.randrange(5)}"
    if rng.random() < 0.15:
        body["data"] = rng.choice(ODD)
    if rng.random() < 0.15:
        body = {rng.choice(("image", "question", "labels", "", "data")): rng.choice(ODD)}
    kind = rng.choice(("application/json", "application/json", "application/json", "text/plain", "multipart/form-data"))
    return {"content-type": kind}, json.dumps(body).encode()


def read_some(http: httpx.Client, told: httpx.Response, path: str) -> None:
    """Fetch what a call was answered; whatever it says, it has to end."""
    if told.status_code == 200 and "call/" in path and "event_id" in told.text:
        name = path.replace("/v2", "")
        answer = http.get(f"{name}/{told.json()['event_id']}")
        assert answer.status_code == 200
        assert answer.text.startswith(("event: error", "event: complete", "event: heartbeat"))


@pytest.mark.parametrize("profile", ["shared_page", "own_page"])
def test_no_form_of_a_request_is_a_fault_of_the_server(profile: str, request: pytest.FixtureRequest) -> None:
    app: AppProcess = request.getfixturevalue(profile)
    rng = random.Random(SEED)
    posts = POSTS + MORE_POSTS + (OWN_POSTS if profile == "own_page" else ())
    faults = []
    with client(app.url) as http:
        for number in range(CASES):
            path = f"/gradio_api/{rng.choice(posts)}"
            headers, body = forms(rng)
            told = http.post(path, content=body, headers=headers)
            if told.status_code >= 500:
                faults.append((path, body[:200], told.status_code))
            if number % 6 == 0:
                read_some(http, told, path)
        for path in GETS:
            told = http.get(path)
            if told.status_code >= 500:
                faults.append((path, b"", told.status_code))
        assert http.get("/config").status_code == 200
    assert faults == []
    assert_tidy(app)


NAMED = (
    (b'{"data": [], "fn_index": 99999, "session_hash": "x"}', "queue/join"),
    (b'{"data": [], "fn_index": ' + b"9" * 400 + b', "session_hash": "x"}', "queue/join"),
    (b'{"data": [], "session_hash": "x"}', "queue/join"),
    (b'{"data": [], "fn_index": "one", "session_hash": "x"}', "queue/join"),
    (b'{"data": [], "fn_index": 0, "session_hash": 5}', "queue/join"),
    (b"{}", "queue/join"),
    (b"{}", "call/ask"),
    (b"{}", "call/v2/ask"),
    (b'{"": ""}', "call/v2/ask"),
    (b"not json", "call/ask"),
    (b'{"data": "x"}', "call/ask"),
)


@pytest.mark.parametrize("profile", ["shared_page", "own_page"])
@pytest.mark.parametrize(("body", "path"), NAMED)
def test_a_malformed_call_is_refused(profile: str, body: bytes, path: str, request: pytest.FixtureRequest) -> None:
    app: AppProcess = request.getfixturevalue(profile)
    with client(app.url) as http:
        told = http.post(f"/gradio_api/{path}", content=body, headers={"content-type": "application/json"})
    assert told.status_code in (400, 422)
    assert told.json()["detail"]
    assert_tidy(app)


def test_wrong_types_are_refused_in_one_sentence_and_one_line(shared_page: AppProcess) -> None:
    before = len(shared_page.lines)
    with client(shared_page.url) as http:
        event = http.post("/gradio_api/call/ask", json={"data": [5, {"a": 1}, []]}).json()["event_id"]
        told = http.get(f"/gradio_api/call/ask/{event}").text
    assert "This input cannot be used." in told or "This file cannot be used" in told
    assert len(shared_page.lines[before:]) <= 1
    assert not [line for line in shared_page.lines[before:] if "Traceback" in line]


def test_a_value_too_few_is_told_with_the_number(shared_page: AppProcess) -> None:
    with client(shared_page.url) as http:
        event = http.post("/gradio_api/call/ask", json={"data": [None, "is it a dog?"]}).json()["event_id"]
        told = http.get(f"/gradio_api/call/ask/{event}").text
    assert "ask takes 3 values and got 2: /gradio_api/info lists them." in told


def test_bytes_that_are_no_http_are_refused_in_one_line(shared_page: AppProcess) -> None:
    before = len(shared_page.lines)
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9,
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nA B: c\r\n\r\n",
    ):
        with connect(shared_page.url) as made:
            made.sendall(garbage)
            assert first_line(made).startswith("HTTP/1.1 400")
    assert len(shared_page.lines) - before <= 3
    assert_tidy(shared_page)


def assert_tidy(app: AppProcess) -> None:
    """No traceback, and nothing of a stranger's that breaks the log's lines."""
    assert "Traceback" not in app.log, app.log[-4000:]
    assert "Exception in ASGI" not in app.log
    odd = [line for line in app.lines if not re.match(r"\d{4}-|mmdemo answers|Profile for|WARNING: {2}", line)]
    assert odd == []
