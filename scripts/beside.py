"""Short requests beside slow ones, on this machine only: ``python -m scripts.beside --profile public``.

Times short requests (the mix of the load test, one client) alone, and again while four visitors keep asking for
something slow: labels that nothing has seen before, as many as the profile takes; a clip of ten minutes; ten captions
each; "where it looked" on the page. Alone and beside are measured in turns, so that a change of the machine's own load
touches both alike.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np

from scripts.load import FLAGS, describe
from scripts.load_client import App, Client, Tally, next_source, running, send
from scripts.load_inputs import Request, clip, many_labels, requests

LABELS = {"own": 5_000, "public": 200}
SLOW = 4
"""Visitors who ask for something slow."""

_numbers = itertools.count(10_000_000)


class LongClip(Request):
    """A clip of ten minutes."""

    @property
    def file(self) -> bytes:  # type: ignore[override]
        """Made once; its first half second is another one each time, so that no answer is kept."""
        content = bytearray(_ten_minutes())
        content[44:64] = self.number.to_bytes(20, "little")
        return bytes(content)


def _ten_minutes() -> bytes:
    if "clip" not in _made:
        short = clip(1, 20.0)[44:]
        header = bytearray(clip(1, 599.0)[:44])
        _made["clip"] = bytes(header) + (short * 30)[: int(599.0 * 16_000) * 2]
    return _made["clip"]


_made: dict[str, bytes] = {}


async def where(client: Client, tally: Tally) -> None:
    """Ask on the page, and then where the model looked, as a browser does."""
    number = next(_numbers)
    request = Request("ask", number, question="Is there a cat?")
    config = (await client.http.get("/config")).json()
    events = {item["api_name"]: item["id"] for item in config["dependencies"]}
    reply = await client.http.post("/gradio_api/upload", files={"files": (request.name, request.file)})
    picture = {"path": reply.json()[0], "meta": {"_type": "gradio.FileData"}}
    session = f"beside{number}"
    for name, data in (
        ("page_ask", [picture, request.question, None, "cpu", None]),
        *([("page_ask_where", [picture, "cpu", None])] * 5),
    ):
        body = {"fn_index": events[name], "data": data, "session_hash": session}
        reply = await client.http.post("/gradio_api/queue/join", json=body)
        if reply.status_code != 200:
            tally.failures[f"page: {reply.text[:80]}"] += 1
            return
        await _completed(client, session, tally)


async def _completed(client: Client, session: str, tally: Tally) -> None:
    async with client.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                message: dict[str, Any] = json.loads(line.removeprefix("data: "))
                if message["msg"] == "process_completed":
                    tally.seconds.setdefault("page", []).append(0.0)
                    return


def slow_request(kind: str, profile: str) -> Callable[[Client, Tally], Any]:
    """What a slow visitor does again and again."""
    if kind == "heat maps":
        return where

    async def ask(client: Client, tally: Tally) -> None:
        number = next(_numbers)
        request = {
            "labels": lambda: many_labels(number, LABELS[profile]),
            "long clip": lambda: LongClip("sentiment", number),
            "ten captions": lambda: Request("caption", number, captions=10),
        }[kind]()
        await client.ask(request, tally)

    return ask


@contextlib.asynccontextmanager
async def visitors(url: str, kind: str, profile: str, tally: Tally) -> AsyncIterator[None]:
    """Four who keep asking for something slow until the block ends; then they go away in the middle of it."""
    one = slow_request(kind, profile)

    async def work(number: int) -> None:
        client = Client(url, next_source())
        try:
            while True:
                await one(client, tally)
        finally:
            await client.close()

    tasks = [asyncio.create_task(work(number)) for number in range(SLOW)]
    await asyncio.sleep(2.0)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(3.0)  # what they left behind ends at its next piece of work


async def beside(app: App, kind: str, profile: str, count: int, turns: int) -> tuple[list[float], list[float], Tally]:
    """Seconds of short requests alone, and beside slow ones; and what came of the slow ones."""
    alone: list[float] = []
    with_slow: list[float] = []
    slow = Tally()
    for turn in range(turns):
        some = [requests(count // turns, seed=1_000 * (turn + 1) + offset) for offset in (1, 2)]
        alone += (await send(app.url, some[0], 1)).all_seconds()
        async with visitors(app.url, kind, profile, slow):
            found = await send(app.url, some[1], 1)
        with_slow += found.all_seconds()
        slow.failures += found.failures
    return alone, with_slow, slow


KINDS = ("labels", "long clip", "ten captions", "heat maps")


def main() -> int:
    """Print one row for each kind of slow request; 1 where p95 grew more than fourfold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", choices=tuple(FLAGS), default="public")
    parser.add_argument("--requests", type=int, default=120, help="short ones, alone and beside each kind")
    parser.add_argument("--turns", type=int, default=3, help="how often alone and beside take turns")
    parser.add_argument("--kinds", default=",".join(KINDS))
    given = parser.parse_args()
    describe()
    failed = False
    with running(FLAGS[given.profile]) as app:
        asyncio.run(send(app.url, requests(20, seed=9_999), 2))
        for kind in given.kinds.split(","):
            alone, slow_too, slow = asyncio.run(beside(app, kind, given.profile, given.requests, given.turns))
            (a50, a95), (b50, b95) = np.percentile(alone, [50, 95]), np.percentile(slow_too, [50, 95])
            done = sum(len(values) for values in slow.seconds.values())
            print(
                f"{given.profile} beside {SLOW} × {kind}: p50 {a50:.2f} → {b50:.2f} s, p95 {a95:.2f} → {b95:.2f} s "
                f"({b95 / a95:.1f} times), n {len(alone)}, slow ones answered {done}, errors {dict(slow.failures)}",
                flush=True,
            )
            failed = failed or b95 > 4 * a95
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
