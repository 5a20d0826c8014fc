"""The program as a process of its own, and clients that send it requests: for the load test, the soak and tests."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from scripts.load_inputs import Request

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 240.0
ANSWER_SECONDS = 300.0
"""Longest wait for one answer; what takes longer counts as an error."""

BUSY = (429, 503)
"""HTTP statuses that say "busy": the client waits and asks again."""

TRIES = 60


class App:
    """``python app.py`` with the given flags on a free port of this machine."""

    def __init__(self, flags: Sequence[str]) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "app.py", "--device", "cpu", *flags],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        found: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, args=(found,), daemon=True).start()
        try:
            self.url = found.get(timeout=START_SECONDS)
        except queue.Empty:
            self.url = ""
        if not self.url:
            self.stop()
            raise SystemExit("The program did not start:\n" + "\n".join(self.lines[-20:]))

    def _read(self, found: queue.Queue[str]) -> None:
        for line in self._process.stdout or ():
            self.lines.append(line.rstrip("\n"))
            if match := re.search(r"mmdemo answers at (http://\S+)", line):
                found.put(match[1])
        found.put("")  # it has ended

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def resident(self) -> int:
        """Bytes of physical memory that it holds."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)


@contextlib.contextmanager
def running(flags: Sequence[str]) -> Iterator[App]:
    """The program, all four models loaded, until the block ends."""
    app = App(flags)
    try:
        yield app
    finally:
        app.stop()


@dataclass
class Tally:
    """What came of a number of requests: seconds by job, answers by the request's name, failures by kind."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    busy: Counter[str] = field(default_factory=Counter)
    wall: float = 0.0

    def all_seconds(self) -> list[float]:
        """Of every answer, in no order."""
        return [value for values in self.seconds.values() for value in values]


class Client:
    """One client with one connection pool; in turn it uploads a file, asks, and reads the answer.

    Args:
        url: The program's address.
        source: This machine's address that it comes from, as "127.0.0.7"; "" for the usual one.
        patient: Whether it asks again where it is told "busy".
    """

    def __init__(self, url: str, source: str = "", *, patient: bool = True) -> None:
        transport = httpx.AsyncHTTPTransport(local_address=source or None)
        self.http = httpx.AsyncClient(base_url=url, transport=transport, timeout=ANSWER_SECONDS, trust_env=False)
        self.patient = patient

    async def ask(self, request: Request, tally: Tally) -> None:
        """Send a request, check that the answer is its own, and note what came of it."""
        started = time.perf_counter()
        try:
            kind, answer = await self._answer(request, tally)
        except httpx.HTTPError as error:
            kind, answer = f"{type(error).__name__}: {error}"[:90], None
        if answer is None:
            tally.failures[kind] += 1
        elif (why := not_its_own(request, answer)) != "":
            tally.failures[f"foreign answer: {why}"] += 1
        else:
            tally.seconds.setdefault(request.job, []).append(time.perf_counter() - started)
            tally.answers[request.name] = answer

    async def _answer(self, request: Request, tally: Tally) -> tuple[str, dict[str, Any] | None]:
        reply = await self._patiently("/gradio_api/upload", tally, files={"files": (request.name, request.file)})
        if reply.status_code != 200:
            return said(reply), None
        reply = await self._patiently(f"/gradio_api/call/{request.job}", tally, json=request.body(reply.json()[0]))
        if reply.status_code != 200:
            return said(reply), None
        return await self.read(request.job, reply.json()["event_id"])

    async def _patiently(self, path: str, tally: Tally, **what: Any) -> httpx.Response:
        for _ in range(TRIES):
            reply = await self.http.post(path, **what)
            if reply.status_code not in BUSY:
                break
            tally.busy[said(reply)] += 1
            if not self.patient:
                break
            await asyncio.sleep(float(reply.headers.get("retry-after", "1")))
        return reply

    async def read(self, job: str, event: str) -> tuple[str, dict[str, Any] | None]:
        """The answer to a call: "" and the answer, or what was said in its place and None."""
        kind = ""
        async with self.http.stream("GET", f"/gradio_api/call/{job}/{event}") as reply:
            if reply.status_code != 200:
                return f"HTTP {reply.status_code}", None
            async for line in reply.aiter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: ") and kind == "complete":
                    return "", json.loads(line.removeprefix("data: "))[0]
                elif line.startswith("data: ") and kind == "error":
                    return f"error event: {line.removeprefix('data: ')}"[:160], None
        return "the stream ended without an answer", None

    async def close(self) -> None:
        """Drop the connections."""
        await self.http.aclose()


def said(reply: httpx.Response) -> str:
    """Status and sentence of a refusal."""
    try:
        detail = reply.json().get("detail", "")
    except (ValueError, AttributeError):
        detail = reply.text[:80]
    return f"HTTP {reply.status_code}: {detail}"[:160]


def not_its_own(request: Request, answer: dict[str, Any]) -> str:
    """Why an answer cannot belong to a request; "" where it can."""
    if answer.get("file") != request.name:
        return f"{request.name} was answered with {answer.get('file')}"
    if request.job == "ask" and answer.get("question") != request.question:
        return "another question"
    if request.job == "classify":
        got = {item["label"] for item in answer["labels"]}
        if got != {*request.labels, "none of these"}:
            return "other labels"
    if request.job == "caption" and len(answer["alternatives"]) != request.captions - 1:
        return "another number of captions"
    return ""


def differs(one: object, other: object, *, close: float = 2e-3) -> bool:
    """Whether two answers to the same request differ by more than arithmetic in another order explains."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = (one.keys() | other.keys()) - {"seconds"}
        return any(differs(one.get(key), other.get(key), close=close) for key in keys)
    if isinstance(one, list) and isinstance(other, list):
        if all(isinstance(item, dict) and item.keys() == {"label", "score"} for item in (*one, *other)):
            both = [{item["label"]: item["score"] for item in items} for items in (one, other)]
            edge = max((min(scores.values(), default=0.0) for scores in both), default=0.0) + close
            return any(
                abs(both[0].get(label, edge) - both[1].get(label, edge)) > close + (edge if label not in both[0] else 0)
                for label in both[0].keys() | both[1].keys()
            )
        return len(one) != len(other) or any(differs(a, b, close=close) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) > close
    return one != other


VISIT = 100
"""Requests after which a client goes on from another address, as the next visitor: a shared page keeps account of
what each address has uploaded, for hours, and one client sends as much as many people."""

_visitors = itertools.count()


def next_source() -> str:
    """An address of this machine that nobody has come from, where the system has them all (Linux does)."""
    number = next(_visitors) % 60_000
    return f"127.0.{number // 250}.{2 + number % 250}" if sys.platform.startswith("linux") else ""


async def send(url: str, todo: Sequence[Request], clients: int, *, patient: bool = True) -> Tally:
    """Have ``clients`` send the requests between them, each its next one as soon as it has its answer."""
    tally = Tally()
    waiting = iter(todo)

    async def work() -> None:
        while visit := list(itertools.islice(waiting, 1)):
            client = Client(url, next_source(), patient=patient)
            try:
                for request in itertools.chain(visit, itertools.islice(waiting, VISIT - 1)):
                    await client.ask(request, tally)
            finally:
                await client.close()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    tally.wall = time.perf_counter() - started
    return tally
