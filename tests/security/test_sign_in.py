"""Promise: with --auth there is nothing without signing in, guessing is slow, and the right one is never shut out."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from mmdemo.ui.api import ENDPOINTS
from mmdemo.ui.web.sign_in import LONGEST_USER_WAIT
from tests.app_process import AppProcess, running_app
from tests.security.wire import client

USER, PASSWORD = "ann", "a:b c"
PROXY = "127.0.0.40"

SHUT = (
    "/config", "/openapi.json", "/gradio_api/openapi.json", "/gradio_api/info", "/gradio_api/app_id",
    "/gradio_api/app_id/",
    "/gradio_api/heartbeat/x", "/gradio_api/queue/data?session_hash=x", "/gradio_api/queue/status", "/gradio_api/mcp/",
    "/gradio_api/file=/etc/passwd", "/gradio_api/call/ask/x", "/gradio_api/upload_progress?upload_id=x", "/monitoring",
    "/monitoring/summary", "/gradio_api/stream/a/b/1/playlist.m3u8", "/svelte/x",
    "/gradio_api/deep_link?session_hash=x",
)  # fmt: skip


@pytest.fixture(scope="module", params=[[], ["--public"]], ids=["own page", "shared page"])
def page(request: pytest.FixtureRequest) -> Iterator[AppProcess]:
    flags = ["--auth", f"{USER}:{PASSWORD}", "--proxy", PROXY, "--mcp", *request.param]
    with running_app(flags) as app:
        yield app


def sign_in(http: httpx.Client, password: str, user: str = USER) -> int:
    return http.post("/login", data={"username": user, "password": password}).status_code


def test_without_signing_in_there_is_only_the_page_that_asks(page: AppProcess) -> None:
    with client(page.url, "127.0.0.20") as http:
        statuses = {path: http.get(path).status_code for path in SHUT}
        assert {path: status for path, status in statuses.items() if status not in (401, 404)} == {}
        assert statuses["/gradio_api/app_id"] == statuses["/gradio_api/openapi.json"] == 401
        for path in ("call/ask", "queue/join", "upload", "cancel", "reset", "component_server", "run/ask", "mcp/"):
            assert http.post(f"/gradio_api/{path}", json={"data": []}).status_code in (401, 404)
        home = http.get("/")
        assert home.status_code == 200
        assert '"auth_required":true' in home.text
        assert [name for name in ENDPOINTS if f"/{name}" in home.text] == []
        assert "window.gradio_api_info = {}" in home.text
        assert http.get("/theme.css").status_code == 200


def test_with_signing_in_there_is_all_of_it(page: AppProcess) -> None:
    with client(page.url, "127.0.0.21") as http:
        assert sign_in(http, PASSWORD) == 200
        assert http.get("/config").json()["dependencies"]
        assert "/call/v2/ask" in http.get("/gradio_api/openapi.json").text
        assert "app_id" in http.get("/gradio_api/app_id").json()
        assert "/ask" in http.get("/").text


def test_programs_may_send_both_with_each_request(page: AppProcess) -> None:
    with client(page.url, "127.0.0.22") as http:
        assert http.get("/gradio_api/info", auth=(USER, PASSWORD)).status_code == 200
        assert http.get("/gradio_api/mcp/", auth=(USER, PASSWORD)).status_code != 401
        assert http.get("/gradio_api/info", auth=(USER, "wrong")).status_code == 401
        broken = {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()}
        assert http.get("/gradio_api/info", headers=broken).status_code == 401
        assert http.get("/gradio_api/info").status_code == 401


def test_wrong_passwords_wait_and_another_address_does_not(page: AppProcess) -> None:
    began = time.monotonic()
    with client(page.url, "127.0.0.23") as guesser:
        assert [sign_in(guesser, f"wrong {number}") for number in range(5)] == [400] * 5
        took = time.monotonic() - began
        assert took > 3  # 0 + 0 + 0.5 + 1 + 2 seconds, and a little for the user
        began = time.monotonic()
        with client(page.url, "127.0.0.24") as owner:
            assert sign_in(owner, PASSWORD) == 200
        assert time.monotonic() - began < LONGEST_USER_WAIT + 3
        began = time.monotonic()
        with client(page.url, "127.0.0.24") as owner:  # from where they have been before
            assert sign_in(owner, PASSWORD) == 200
        assert time.monotonic() - began < 2
        began = time.monotonic()
        assert sign_in(guesser, PASSWORD) == 200  # late, not never
        assert time.monotonic() - began > 1


def test_many_guesses_at_once_gain_nothing(page: AppProcess) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(9) as pool:

        def guess(number: int) -> int:
            with client(page.url, "127.0.0.25") as http:
                return sign_in(http, f"wrong {number}", user="bob")

        statuses = list(pool.map(guess, range(9)))
    tried = statuses.count(400)
    assert tried + statuses.count(429) == 9
    assert time.monotonic() - began > sum(0.5 * 2**beyond for beyond in range(tried - 3))


def test_the_named_proxy_tells_who_comes(page: AppProcess) -> None:
    seen = {"X-Forwarded-Host": "page.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
    with client(page.url, PROXY, headers=seen) as proxy, client(page.url, "127.0.0.26", headers=seen) as other:
        for http, root in ((proxy, "https://page.example"), (other, page.url)):
            told = http.get("/config", auth=(USER, PASSWORD)).json()
            assert told["root"] == root
