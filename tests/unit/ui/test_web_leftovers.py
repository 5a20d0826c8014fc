"""What nobody fetches, and what was half received, is dropped; streams end in time."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmdemo.ui.unread import Readers, session_of, waits
from mmdemo.ui.web.faults import Faults, one_line
from mmdemo.ui.web.scratch import drop_leftovers, scratch_folder
from mmdemo.ui.web.streams import Ending, StreamLimits, Streams


def queue_with(session: str, event: str, *, running: bool, answered: bool) -> Any:
    messages: asyncio.Queue[str] = asyncio.Queue()
    if answered:
        messages.put_nowait("done")
    events = {event: SimpleNamespace(session_hash=session, alive=True)} if running else {}
    return SimpleNamespace(
        event_ids_to_events=events,
        pending_event_ids_session={session: {event}},
        pending_messages_per_session={session: messages},
    )


def test_an_event_is_known_while_it_runs_and_until_it_is_fetched() -> None:
    assert session_of(queue_with("s", "e", running=True, answered=False), "e") == "s"
    assert session_of(queue_with("s", "e", running=False, answered=True), "e") == "s"
    assert session_of(queue_with("s", "e", running=False, answered=False), "e") is None
    assert session_of(queue_with("s", "e", running=True, answered=False), "other") is None
    fetched = queue_with("s", "e", running=True, answered=False)
    fetched.pending_event_ids_session["s"].clear()
    assert session_of(fetched, "e") is None
    assert not waits(fetched, "s")
    given_up = queue_with("s", "e", running=True, answered=False)
    given_up.event_ids_to_events["e"].alive = False
    assert session_of(given_up, "e") is None


def test_an_answer_that_nobody_fetches_is_dropped_after_a_while() -> None:
    now = [0.0]
    readers = Readers(lambda: now[0])
    queue = queue_with("s", "e", running=False, answered=True)
    assert readers.drop_abandoned(queue, older_than=10) == 0
    now[0] = 11.0
    with readers.reading("s"):
        assert readers.drop_abandoned(queue, older_than=10) == 0
    assert readers.drop_abandoned(queue, older_than=10) == 0
    now[0] = 30.0
    assert readers.drop_abandoned(queue, older_than=10) == 1
    assert queue.pending_event_ids_session == queue.pending_messages_per_session == {}


def test_one_that_is_waiting_or_running_is_kept() -> None:
    now = [0.0]
    readers = Readers(lambda: now[0])
    queue = queue_with("s", "e", running=True, answered=False)
    readers.drop_abandoned(queue, older_than=0)
    now[0] = 99.0
    assert readers.drop_abandoned(queue, older_than=0) == 0


def test_parts_of_failed_uploads_go_and_finished_files_stay(tmp_path: Path) -> None:
    for name in ("tmpold", "tmpnew", "ab/x.png", "cd/"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.mkdir() if name.endswith("/") else path.write_text("x")
    old = time.time() - 1000
    for name in ("tmpold", "ab", "cd"):
        os.utime(tmp_path / name, (old, old))

    assert drop_leftovers(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ab", "tmpnew"]
    assert drop_leftovers(tmp_path / "nowhere") == 0


def test_the_scratch_folder_takes_all_that_is_temporary_and_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "mine"))
    before = tempfile.tempdir
    with scratch_folder() as folder:
        assert folder.parent == tmp_path / "mine"
        assert Path(os.environ["GRADIO_TEMP_DIR"]).parent == folder
        assert Path(tempfile.mkdtemp()).parent == folder
    assert not folder.exists()
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path / "mine")
    assert tempfile.tempdir == before


def ask(app: Any, path: str) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.sleep(60)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "client": ("192.0.2.1", 1)}
    asyncio.run(app(scope, receive, send))
    return sent


async def endless(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"alive", "more_body": True})
        await asyncio.sleep(0.01)


def test_a_stream_ends_in_time_and_in_order() -> None:
    sent = ask(Streams(endless, ending=Ending(), limits=StreamLimits(tab_seconds=0.1)), "/gradio_api/heartbeat/x")
    assert len(sent) > 3
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


def test_all_end_with_the_program() -> None:
    ending = Ending()
    ending.begin()
    began = time.monotonic()
    assert ask(Streams(endless, ending=ending), "/gradio_api/heartbeat/x")[-1]["type"] == "http.response.body"
    assert ask(Streams(endless, ending=ending), "/config")[-1]["type"] == "http.response.body"
    assert time.monotonic() - began < 5


def test_what_cannot_be_understood_is_a_bad_request_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async def behind(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("a\nb" + "x" * 999)

    sent = ask(Faults(behind), "/a\nb\x1b[31m")
    assert [message.get("status") for message in sent] == [400, None]
    (record,) = caplog.records
    assert len(record.getMessage()) < 500
    assert record.getMessage().isprintable()


def test_an_answer_that_had_begun_just_ends() -> None:
    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("late")

    sent = ask(Faults(behind), "/")
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


def test_an_error_in_one_line_says_where() -> None:
    with pytest.raises(KeyError) as caught:
        {}["x"]  # type: ignore[index]
    assert one_line(caught.value).startswith("KeyError: 'x' (ui/test_web_leftovers.py:")
