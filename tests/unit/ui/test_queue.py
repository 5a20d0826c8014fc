"""The queue in front of the models, over HTTP: nothing is kept of a call, limits by address, stopping."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
import httpx
import pytest
from starlette.middleware import Middleware

from mmdemo.core.turns import Stopped, pause
from mmdemo.ui.limits import Limits, Rate
from mmdemo.ui.queue import LONG, MODEL_LANE, FairQueue, takes_long
from mmdemo.ui.sessions import keep_small
from mmdemo.ui.web.events import Events

# gradio looks for a free port with a socket that it leaves to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")

LIMITS = Limits(running=2, open=4, per_minute=1_000, waiting=8)


class Served:
    """A page with one quick event and one that works until it is let go, or nobody waits for it."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.running = 0
        self.most = 0
        self.stopped = 0
        self._lock = threading.Lock()
        with gr.Blocks(analytics_enabled=False) as demo:
            box, button = gr.Textbox(), gr.Button()
            settings: dict[str, Any] = {"concurrency_id": MODEL_LANE, "concurrency_limit": 24}
            button.click(lambda said: said.upper(), box, box, api_name="quick", **settings)
            button.click(self.work, box, box, api_name="slow", **settings)
        demo.queue()
        self.queue = FairQueue(demo, LIMITS, demo._queue)
        demo._queue = self.queue
        _, self.url, _ = demo.launch(
            prevent_thread_lock=True,
            quiet=True,
            _frontend=False,
            ssr_mode=False,
            run_history=False,
            server_name="127.0.0.1",
            app_kwargs={"middleware": [Middleware(Events, queue=self.queue)]},
        )
        keep_small(demo, self.queue)
        self.demo = demo

    def work(self, said: str) -> str:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            while not self.let_go.wait(0.01):
                pause()
        except Stopped:
            self.stopped += 1
            raise
        finally:
            with self._lock:
                self.running -= 1
        return said


@pytest.fixture
def served() -> Iterator[Served]:
    page = Served()
    yield page
    page.let_go.set()
    page.demo.close(verbose=False)


def client(page: Served, source: str = "127.0.0.1") -> httpx.Client:
    transport = httpx.HTTPTransport(local_address=source)
    return httpx.Client(base_url=page.url, transport=transport, timeout=20, trust_env=False)


def call(http: httpx.Client, name: str, said: str = "word") -> httpx.Response:
    return http.post(f"/gradio_api/call/{name}", json={"data": [said]})


def read(http: httpx.Client, name: str, event: str) -> httpx.Response:
    return http.get(f"/gradio_api/call/{name}/{event}")


def until(truth: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not truth() and time.monotonic() < end:
        time.sleep(0.02)
    assert truth()


def test_nothing_is_kept_of_calls_that_were_answered(served: Served) -> None:
    with client(served) as http:
        for number in range(20):
            event = call(http, "quick", f"word {number}").json()["event_id"]
            assert f"WORD {number}" in read(http, "quick", event).text
        again = read(http, "quick", event)

    assert again.status_code == 404
    assert "read already" in again.json()["detail"]
    assert len(served.demo.app.state_holder.session_data) == 0
    until(lambda: not served.queue.event_ids_to_events)
    kept = (served.queue.pending_messages_per_session, served.queue.pending_event_ids_session)
    until(lambda: not any(kept))  # the reader has the answer a moment before its record goes
    assert len(served.queue.event_analytics) == 0


def test_an_address_has_two_at_work_and_four_under_way(served: Served) -> None:
    with client(served) as http, client(served, "127.0.0.2") as other:
        replies = [call(http, "slow") for _ in range(6)]
        until(lambda: served.running == 2)
        assert [reply.status_code for reply in replies] == [200] * 4 + [429] * 2
        refused = replies[-1]
        assert refused.json()["detail"].startswith("Busy: 4 requests from your address")
        assert int(refused.headers["retry-after"]) > 0
        event = call(other, "quick", "hello").json()["event_id"]
        assert "HELLO" in read(other, "quick", event).text

    assert served.most == 2


def test_everybody_together_is_told_busy_too(served: Served) -> None:
    statuses = []
    for number in range(2, 8):
        with client(served, f"127.0.0.{number}") as http:
            statuses += [call(http, "slow", "x" * 2_000).status_code for _ in range(4)]

    assert statuses[: LIMITS.waiting] == [200] * LIMITS.waiting
    assert statuses[-1] == 503


def test_long_jobs_leave_the_lane_of_short_ones_free(served: Served) -> None:
    for number in range(2, 6):  # as many as wait and run: more long jobs than run at once
        with client(served, f"127.0.0.{number}") as http:
            for _ in range(2):
                call(http, "slow", "x" * 2_000)
    until(lambda: served.running == LONG)
    with client(served, "127.0.0.9") as http:
        event = call(http, "quick", "hello").json()["event_id"]
        assert "HELLO" in read(http, "quick", event).text

    assert served.running == LONG


def test_a_cancelled_job_ends_and_one_that_waits_never_begins(served: Served) -> None:
    with client(served) as http:
        number = next(i for i, fn in served.demo.fns.items() if fn.api_name == "slow")
        events = []
        for session in ("one", "two", "three"):
            body = {"fn_index": number, "data": ["word"], "session_hash": session}
            events.append((session, http.post("/gradio_api/queue/join", json=body).json()["event_id"]))
        until(lambda: served.running == 2)
        for session, event in reversed(events):
            body = {"session_hash": session, "fn_index": number, "event_id": event}
            assert http.post("/gradio_api/cancel", json=body).status_code == 200
        until(lambda: served.running == 0)

    assert served.stopped == 2
    assert served.most == 2


def test_a_job_whose_reader_went_away_ends(served: Served) -> None:
    with client(served) as http:
        event = call(http, "slow").json()["event_id"]
        until(lambda: served.running == 1)
        with http.stream("GET", f"/gradio_api/call/slow/{event}"):
            pass

        until(lambda: served.running == 0)
    assert served.stopped == 1


def test_the_rate_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("mmdemo.ui.limits.time.monotonic", lambda: now[0])
    rate = Rate(60)
    assert [rate.take("a") for _ in range(60)] == [0] * 60
    assert rate.take("a") == pytest.approx(1.0)
    assert rate.take("b") == 0
    now[0] = 1.0
    assert rate.take("a") == 0


@pytest.mark.parametrize(
    ("name", "data", "long"),
    [
        ("classify", [{}, "cat, dog", None, None], False),
        ("classify", [{}, ", ".join(f"label {i}" for i in range(200)), None, None], True),
        ("page_classify", [None, [{}, {}], "cat", "", None, "cpu"], True),
        ("caption", [{}, 3, None], False),
        ("caption", [{}, 10, None], True),
        ("page_caption", [{}, 3, 40, None, "cpu"], False),
        ("page_ask_where", [{}, "cpu", None], True),
        ("sentiment", [{}, None], False),
    ],
)
def test_what_is_known_to_take_long(name: str, data: list[Any], long: bool) -> None:
    assert takes_long(name, data) is long
