"""Bodies and the quota on uploads."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from mmdemo.ui.web.bodies import UPLOAD, Bodies, Ledger, Quota


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def ledger(**limits: int) -> tuple[Ledger, Clock]:
    clock = Clock()
    return Ledger(Quota(seconds=100, **limits), clock), clock


def status(bodies: Any, path: str, *parts: int, announced: int | None = None, client: str = "192.0.2.1") -> int:
    """What a request gets whose body comes in parts of so many bytes."""
    sent: list[dict[str, Any]] = []
    messages = [{"type": "http.request", "body": b"x" * size, "more_body": True} for size in parts]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [] if announced is None else [(b"content-length", str(announced).encode())]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "client": (client, 1)}
    asyncio.run(bodies(scope, receive, send))
    return int(sent[0]["status"])


async def takes_all(scope: Any, receive: Any, send: Any) -> None:
    """gradio: reads the body, and answers 400 when that fails."""
    code, body = 200, json.dumps(["/one", "/two"]).encode()
    try:
        while (await receive())["more_body"]:
            pass
    except Exception:
        code = 400
    await send({"type": "http.response.start", "status": code, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_a_body_has_a_limit_announced_or_not() -> None:
    bodies = Bodies(takes_all, max_body=100)
    assert status(bodies, "/gradio_api/queue/join", 100, announced=100) == 200
    assert status(bodies, "/gradio_api/queue/join", announced=101) == 413
    assert status(bodies, "/gradio_api/queue/join", 60, 40) == 200
    assert status(bodies, "/gradio_api/queue/join", 60, 41) == 413
    assert status(bodies, "/login", 60, 41, announced=7) == 413  # what was announced is not what counts
    assert status(bodies, UPLOAD, 60, 41) == 200  # without a quota, uploads have gradio's limit


def test_bytes_are_counted_by_address_and_in_all_and_forgotten_in_time() -> None:
    kept, clock = ledger(bytes_each=100, bytes_all=150, files_each=50, files_all=50)
    bodies = Bodies(takes_all, ledger=kept)
    assert status(bodies, UPLOAD, 60) == 200
    assert status(bodies, UPLOAD, 30, 30) == 429
    clock.now = 50.0
    assert status(bodies, UPLOAD, 30, client="192.0.2.2") == 200
    assert status(bodies, UPLOAD, 30, client="192.0.2.3") == 429  # all together
    assert kept.wait("192.0.2.1") == 50
    clock.now = 101.0
    assert status(bodies, UPLOAD, 100) == 200


def test_files_are_counted_as_gradio_kept_them() -> None:
    kept, clock = ledger(files_each=4, files_all=5)
    bodies = Bodies(takes_all, ledger=kept)
    assert [status(bodies, UPLOAD, 1) for _ in range(3)] == [200, 200, 429]
    assert [status(bodies, UPLOAD, 1, client="192.0.2.2") for _ in range(2)] == [200, 429]
    clock.now = 200.0
    assert status(bodies, UPLOAD, 1) == 200


def test_one_that_can_never_fit_is_too_large() -> None:
    kept, _ = ledger(bytes_each=100)
    assert status(Bodies(takes_all, ledger=kept), UPLOAD, announced=101) == 413


def test_the_ledger_stays_small() -> None:
    kept, clock = ledger()
    for number in range(3000):
        clock.now += 1
        kept.room(f"{number}")
        kept.charge(f"{number}", size=1)
    assert len(kept._accounts) <= 1001
