"""Promise: strangers cannot fill the disk, nor the memory with the body of a request."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmdemo.ui.web.bodies import MAX_BODY_BYTES, OWN_MAX_BODY_BYTES, Quota
from tests.app_process import AppProcess, running_app
from tests.security.wire import client, connect, first_line, head

KIND = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n'


@pytest.fixture(scope="module")
def temp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temp")


@pytest.fixture(scope="module")
def page(temp: Path) -> Iterator[AppProcess]:
    with running_app(["--public"], env={"TMPDIR": str(temp), "GRADIO_TEMP_DIR": ""}) as app:
        yield app


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def send_chunks(url: str, path: str, kind: str, chunk: bytes, at_most: int, source: str) -> tuple[str, int]:
    """Send a body of unknown length until it is refused; the status line and the bytes that went out."""
    with connect(url, source) as made:
        made.sendall(head("POST", path, content_type=kind, transfer_encoding="chunked") + b"\r\n")
        sent = 0
        made.setblocking(True)
        made.settimeout(0)
        while sent < at_most:
            try:
                made.settimeout(30)
                made.sendall(b"%x\r\n" % len(chunk) + chunk + b"\r\n")
                sent += len(chunk)
                made.settimeout(0)
                if made.recv(1, 2):  # look, do not take (MSG_PEEK)
                    break
            except BlockingIOError:
                continue
            except OSError:
                break
        made.settimeout(30)
        return first_line(made), sent


@pytest.mark.parametrize("profile", ["shared_page", "own_page"])
@pytest.mark.parametrize("path", ["/gradio_api/call/ask", "/gradio_api/queue/join"])
def test_bodies_of_unknown_length_are_cut_off(profile: str, path: str, request: pytest.FixtureRequest) -> None:
    app = request.getfixturevalue(profile)
    limit = MAX_BODY_BYTES if profile == "shared_page" else OWN_MAX_BODY_BYTES

    status, sent = send_chunks(app.url, path, "application/json", b" " * 500_000, 3 * limit, "127.0.0.1")

    assert status == "HTTP/1.1 413 Content Too Large" or status.startswith("HTTP/1.1 413")
    assert sent < 2 * limit


def test_a_body_of_unknown_length_below_the_limit_is_taken(page: AppProcess) -> None:
    def body() -> Iterator[bytes]:
        yield b'{"data": [null, "is it?", '
        yield b"null]}"

    with client(page.url) as http:
        told = http.post("/gradio_api/call/ask", content=body(), headers={"content-type": "application/json"})
    assert told.status_code == 200


def test_one_file_has_a_limit_also_when_its_length_is_not_announced(page: AppProcess, temp: Path) -> None:
    before = len(files_below(temp))

    def body() -> Iterator[bytes]:
        yield PART % b"big.png"
        for _ in range(60):
            yield b"\0" * 500_000
        yield b"\r\n--b--\r\n"

    with client(page.url, "127.0.0.6") as http:
        told = http.post("/gradio_api/upload", content=body(), headers={"content-type": KIND})
    assert told.status_code == 413
    assert len(files_below(temp)) == before  # nothing of it stays


def test_an_upload_that_is_given_up_leaves_nothing(page: AppProcess, temp: Path) -> None:
    before = len(files_below(temp))
    made = connect(page.url)
    made.sendall(head("POST", "/gradio_api/upload", content_type=KIND, content_length=9_000_000) + b"\r\n")
    made.sendall(PART % b"half.png" + b"\0" * 3_000_000)
    end = time.monotonic() + 10
    while len(files_below(temp)) == before and time.monotonic() < end:
        time.sleep(0.05)
    assert len(files_below(temp)) == before + 1
    made.close()

    while len(files_below(temp)) > before and time.monotonic() < end:
        time.sleep(0.05)
    assert len(files_below(temp)) == before
    assert "Traceback" not in page.log


def test_files_of_one_address_have_a_quota_and_others_still_get_in(page: AppProcess) -> None:
    quota = Quota(seconds=1)
    many = [("files", (f"{number}.txt", b"%d" % number)) for number in range(quota.files_each)]
    with client(page.url, "127.0.0.7") as http:
        assert len(http.post("/gradio_api/upload", files=many).json()) == quota.files_each
        told = http.post("/gradio_api/upload", files=many[:1])
        assert told.status_code == 429
        assert re.fullmatch(r"Too many uploads within 2 hours; try again later", told.json()["detail"])
        assert int(told.headers["retry-after"]) > 3600
    with client(page.url, "127.0.0.8") as other:
        assert other.post("/gradio_api/upload", files=many[:1]).status_code == 200


def test_bytes_of_one_address_have_a_quota_counted_as_they_come(page: AppProcess, temp: Path) -> None:
    quota = Quota(seconds=1)
    before = sum(path.stat().st_size for path in files_below(temp))

    def body() -> Iterator[bytes]:
        for number in range(quota.bytes_each // 19_000_000 + 2):  # each file is small enough, all together are not
            yield PART % b"%d.bin" % number
            for _ in range(19):
                yield bytes([number]) * 1_000_000
            yield b"\r\n"
        yield b"--b--\r\n"

    with client(page.url, "127.0.0.9") as http:
        told = http.post("/gradio_api/upload", content=body(), headers={"content-type": KIND})
        assert told.status_code == 429, told.text
        assert http.post("/gradio_api/upload", files={"files": ("a", b"a")}).status_code == 429
    assert sum(path.stat().st_size for path in files_below(temp)) == before


def test_the_own_page_takes_large_uploads(own_page: AppProcess) -> None:
    with client(own_page.url) as http:
        told = http.post("/gradio_api/upload", files={"files": ("data.zip", b"\0" * 40_000_000)})
    assert told.status_code == 200, json.dumps(told.text)
