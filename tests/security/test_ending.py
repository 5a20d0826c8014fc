"""Promise: the program ends within five seconds, whatever is going on, and leaves nothing in the temporary folder."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app_process import AppProcess
from tests.security.wire import client, connect, first_line, head

SECONDS = 5.0


@contextlib.contextmanager
def busy_app(temp: Path, flags: list[str], picture: Path) -> Iterator[AppProcess]:
    """An app with an answer, streams and an upload under way, and files of a visitor's on the disk."""
    app = AppProcess(flags, env={"TMPDIR": str(temp), "GRADIO_TEMP_DIR": ""})
    with contextlib.ExitStack() as stack:
        stack.callback(app.stop)
        http = stack.enter_context(client(app.url))
        with picture.open("rb") as content:
            stored = http.post("/gradio_api/upload", files={"files": (picture.name, content)}).json()[0]
        for path in ("/gradio_api/heartbeat/one", "/gradio_api/heartbeat/two"):
            made = stack.enter_context(connect(app.url))
            made.sendall(head("GET", path) + b"\r\n")
            assert first_line(made) == "HTTP/1.1 200 OK"
        image = {"path": stored, "meta": {"_type": "gradio.FileData"}}
        for number in range(3):  # answers that take longer than the program has
            labels = ", ".join(f"thing {number} {i}" for i in range(150))
            event = http.post("/gradio_api/call/classify", json={"data": [image, labels, None, None]}).json()[
                "event_id"
            ]
            made = stack.enter_context(connect(app.url))
            made.sendall(head("GET", f"/gradio_api/call/classify/{event}") + b"\r\n")
        half = stack.enter_context(connect(app.url))
        kind = "multipart/form-data; boundary=b"
        half.sendall(head("POST", "/gradio_api/upload", content_type=kind, content_length=9_000_000) + b"\r\n")
        half.sendall(b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + b"\0" * 2_000_000)
        waiting = threading.Thread(target=first_line, args=(half,), daemon=True)
        waiting.start()
        time.sleep(1)
        assert any(path.is_file() for path in temp.rglob("*"))
        yield app


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image
    from skimage import data

    path = tmp_path_factory.mktemp("pictures") / "someone.jpg"
    Image.fromarray(data.astronaut()).save(path, quality=90)
    return path


@pytest.mark.parametrize(
    ("flags", "number"), [(["--public"], signal.SIGTERM), ([], signal.SIGINT)], ids=["shared, SIGTERM", "own, Ctrl-C"]
)
def test_ends_in_time_and_leaves_nothing(flags: list[str], number: int, picture: Path, tmp_path: Path) -> None:
    with busy_app(tmp_path, flags, picture) as app:
        began = time.monotonic()
        app.process.send_signal(number)
        code = app.process.wait(30)
        took = time.monotonic() - began

    assert took < SECONDS
    assert code == 0
    left = [path for path in tmp_path.rglob("*") if "mmdemo" in path.parts[len(tmp_path.parts)] or path.is_file()]
    assert left == []
    assert "Traceback" not in app.log, app.log[-3000:]


def test_ends_while_it_is_still_starting(tmp_path: Path) -> None:
    import subprocess
    import sys

    from tests.app_process import ROOT, free_port

    command = [sys.executable, "app.py", "--port", str(free_port()), "--device", "cpu"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "GRADIO_TEMP_DIR": ""}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    end = time.monotonic() + 120
    while not list(tmp_path.glob("mmdemo-*")) and time.monotonic() < end:
        time.sleep(0.05)
    process.terminate()
    out, _ = process.communicate(timeout=30)

    assert process.returncode == 0, out.decode()[-2000:]
    assert b"Traceback" not in out
    assert list(tmp_path.glob("mmdemo-*")) == []
