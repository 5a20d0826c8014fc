"""Promise: one visitor of a shared page does not stop the others, and is told plainly where the limit is."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator

import httpx
import pytest

from mmdemo.core.settings import ROOT
from mmdemo.media.limits import MAX_LABELS_PUBLIC
from mmdemo.ui.limits import PUBLIC
from scripts.load_client import Client, Tally, next_source, send
from scripts.load_inputs import many_labels, requests
from tests.app_process import AppProcess, running_app


@pytest.fixture(scope="module")
def app() -> Iterator[AppProcess]:
    assert (ROOT / "checkpoints").is_dir()
    with running_app(["--public"]) as process:
        warm = asyncio.run(send(process.url, requests(8, seed=9_999), 2))
        assert not warm.failures
        yield process


async def ask(url: str, source: str, labels: int, number: int) -> Tally:
    client, tally = Client(url, source), Tally()
    try:
        await client.ask(many_labels(number, labels), tally)
    finally:
        await client.close()
    return tally


def test_a_stranger_gets_200_labels_and_one_clear_sentence_beyond(app: AppProcess) -> None:
    tally = asyncio.run(ask(app.url, "", MAX_LABELS_PUBLIC + 1, 1))

    (said,) = tally.failures
    assert "There are too many labels: 201 were given and the limit is 200" in said


def test_a_stranger_has_some_requests_under_way_and_is_told_busy_beyond(app: AppProcess) -> None:
    async def flood() -> list[httpx.Response]:
        client = Client(app.url, next_source())
        try:
            name = many_labels(2, 3)
            reply = await client.http.post("/gradio_api/upload", files={"files": (name.name, name.file)})
            path = reply.json()[0]
            bodies = [many_labels(100 + number, 100).body(path) for number in range(int(PUBLIC.open) + 4)]
            replies = [await client.http.post("/gradio_api/call/classify", json=body) for body in bodies]
            for reply in replies:
                if reply.status_code == 200:  # whoever goes away lets the work end
                    event = reply.json()["event_id"]
                    number = {"session_hash": event, "fn_index": 0, "event_id": event}
                    await client.http.post("/gradio_api/cancel", json=number)
            return replies
        finally:
            await client.close()

    replies = asyncio.run(flood())
    refused = [reply for reply in replies if reply.status_code != 200]

    assert refused
    assert {reply.status_code for reply in refused} == {429}
    assert refused[0].json()["detail"].startswith("Busy: 8 requests from your address are under way already.")
    assert int(refused[0].headers["retry-after"]) > 0


def test_four_strangers_with_as_many_labels_as_they_get_do_not_stop_the_others(app: AppProcess) -> None:
    async def beside() -> tuple[list[float], list[float]]:
        alone = (await send(app.url, requests(12, seed=3), 1)).all_seconds()
        started = time.monotonic()
        slow = [
            asyncio.create_task(ask(app.url, next_source(), MAX_LABELS_PUBLIC, 1_000 + number)) for number in range(4)
        ]
        await asyncio.sleep(1.0)
        others = (await send(app.url, requests(12, seed=4), 1)).all_seconds()
        tallies = await asyncio.gather(*slow)
        assert all(not tally.failures for tally in tallies), [tally.failures for tally in tallies]
        assert time.monotonic() - started < 200  # the slow ones are answered, too
        return alone, others

    alone, others = asyncio.run(beside())

    assert len(others) == 12
    assert statistics.median(others) <= 4 * statistics.median(alone) + 0.2
