"""Promise: whoever opens connections and leaves them half done is cut off, and others do not notice."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmdemo.ui.web.protocol import BODY_SECONDS, CONNECTIONS_PER_ADDRESS, HEADER_SECONDS
from mmdemo.ui.web.streams import StreamLimits
from tests.app_process import AppProcess
from tests.security.wire import client, connect, drain, drip, first_line, head

LATE = 8.0
"""Seconds more than the limit that a busy machine is given."""


def _nothing(url: str) -> float:
    with connect(url) as made:
        return drain(made, HEADER_SECONDS + LATE)


def _dripping_header(url: str) -> float:
    with connect(url) as made:
        made.sendall(head("GET", "/"))
        return drip(made, b"X", every=0.5, at_most=HEADER_SECONDS + LATE)


def _dripping_second_header(url: str) -> float:
    with connect(url) as made:
        made.sendall(head("HEAD", "/gradio_api/theme.css") + b"\r\n")
        assert first_line(made).startswith("HTTP/1.1 ")
        return drip(made, b"X", every=0.5, at_most=HEADER_SECONDS + LATE)


def _dripping_body(url: str) -> float:
    with connect(url) as made:
        made.sendall(head("POST", "/gradio_api/call/ask", content_type="application/json", content_length=90) + b"\r\n")
        return drip(made, b" ", every=0.5, at_most=BODY_SECONDS + LATE)


def _dripping_upload(url: str) -> float:
    kind = "multipart/form-data; boundary=b"
    with connect(url) as made:
        made.sendall(head("POST", "/gradio_api/upload", content_type=kind, transfer_encoding="chunked") + b"\r\n")
        return drip(made, b"1\r\nx\r\n", every=0.5, at_most=BODY_SECONDS + LATE)


def _dripping_after_a_refusal(url: str) -> float:
    with connect(url) as made:
        made.sendall(head("POST", "/nowhere", content_length=9_000_000) + b"\r\n")
        assert first_line(made).startswith("HTTP/1.1 404")
        return drip(made, b" ", every=0.5, at_most=BODY_SECONDS + LATE)


WAYS = (
    _nothing,
    _dripping_header,
    _dripping_second_header,
    _dripping_body,
    _dripping_upload,
    _dripping_after_a_refusal,
)


def test_slow_headers_and_bodies_end_in_ten_seconds(shared_page: AppProcess, own_page: AppProcess) -> None:
    jobs = [(way, page.url) for way in WAYS for page in (shared_page, own_page)]
    with ThreadPoolExecutor(len(jobs)) as pool:
        took = list(pool.map(lambda job: job[0](job[1]), jobs))

    late = [f"{way.__name__}: {seconds:.1f} s" for (way, _), seconds in zip(jobs, took, strict=True) if seconds > 15]
    assert late == []
    assert min(took) >= 5  # nobody is cut off who is merely slow


def test_a_body_that_comes_in_pieces_is_not_slow(shared_page: AppProcess) -> None:
    """4 kB a second for longer than the limit: a bad connection, not an attack."""
    body = b'{"data": [null, "' + b"x" * 60_000 + b'", null]}'
    with connect(shared_page.url) as made:
        kind = "application/json"
        made.sendall(head("POST", "/gradio_api/call/ask", content_type=kind, content_length=len(body)) + b"\r\n")
        for start in range(0, len(body), 5_000):
            made.sendall(body[start : start + 5_000])
            time.sleep(1)
        assert first_line(made).startswith("HTTP/1.1 200")


def test_connections_of_one_address_are_bounded_and_others_get_in(shared_page: AppProcess) -> None:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(shared_page.url, "127.0.0.2")) for _ in range(CONNECTIONS_PER_ADDRESS)]
        time.sleep(0.5)
        over = [stack.enter_context(connect(shared_page.url, "127.0.0.2")) for _ in range(5)]
        assert [first_line(made) for made in over] == ["HTTP/1.1 503 Service Unavailable"] * 5
        with client(shared_page.url) as other:
            assert other.get("/config").status_code == 200
        assert len(held) == CONNECTIONS_PER_ADDRESS
    time.sleep(0.5)
    with client(shared_page.url, "127.0.0.2") as again:
        assert again.get("/config").status_code == 200


def test_streams_of_one_address_are_bounded_and_others_get_theirs(shared_page: AppProcess) -> None:
    most = StreamLimits().streams_each
    with contextlib.ExitStack() as stack:

        def open_stream(number: int, source: str) -> str:
            made = stack.enter_context(connect(shared_page.url, source))
            made.sendall(head("GET", f"/gradio_api/heartbeat/s{number}") + b"\r\n")
            return first_line(made)

        opened = [open_stream(number, "127.0.0.3") for number in range(most + 3)]
        assert opened[:most] == ["HTTP/1.1 200 OK"] * most
        assert opened[most:] == ["HTTP/1.1 429 Too Many Requests"] * 3
        assert open_stream(0, "127.0.0.1") == "HTTP/1.1 200 OK"
        with client(shared_page.url, "127.0.0.3") as same:
            assert same.get("/config").status_code == 200


def test_a_tab_of_an_ordinary_browser_gets_all_it_asks_for(shared_page: AppProcess) -> None:
    """Several tabs at once: six connections each, many small files, one sign of life."""
    with client(shared_page.url) as http:
        page = http.get("/").text
    assets = sorted({part.split('"')[0] for part in page.split("./assets/")[1:]})[:20]
    assert assets
    statuses: list[int] = []

    def tab() -> None:
        with client(shared_page.url) as http, http.stream("GET", "/gradio_api/heartbeat/tab") as alive:
            statuses.append(alive.status_code)
            with ThreadPoolExecutor(6) as pool:
                statuses.extend(pool.map(lambda name: http.get(f"/assets/{name}").status_code, assets))

    tabs = [threading.Thread(target=tab) for _ in range(4)]
    for thread in tabs:
        thread.start()
    for thread in tabs:
        thread.join()
    assert statuses == [200] * (len(assets) + 1) * 4


@pytest.mark.parametrize("path", ["/config", "/"])
def test_what_a_request_says_of_itself_changes_no_address(shared_page: AppProcess, path: str) -> None:
    says = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "203.0.113.9",
        "X-Gradio-Server": "https://evil.example",
        "Forwarded": "host=evil.example;proto=https",
    }
    with client(shared_page.url, headers=says) as http:
        told = http.get(path).text
    assert "evil.example" not in told
    assert shared_page.url in told


def test_the_description_of_the_endpoints_is_not_made_under_a_strangers_name(shared_page: AppProcess) -> None:
    """gradio keeps it as the first visitor gets it."""
    with client(shared_page.url) as http:
        http.get("/gradio_api/info", headers={"Host": "evil.example"})
        assert "evil.example" not in http.get("/gradio_api/info").text


def test_a_name_that_is_none_is_refused(shared_page: AppProcess, own_page: AppProcess) -> None:
    for page in (shared_page, own_page):
        for name in ("a b", "<x>", "a/b", "a@b", "x" * 300):
            with client(page.url) as http:
                assert http.get("/config", headers={"Host": name}).status_code == 400
