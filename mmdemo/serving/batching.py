"""Requests that arrive together are answered together: one worker thread per served model."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

from mmdemo.core.turns import Turn

Q = TypeVar("Q")
A = TypeVar("A")

MAX_BATCH = 16
"""Requests answered at once."""

WAIT = 0.003
"""Seconds that the first request waits for company."""


class Batcher(Generic[Q, A]):
    """Collects requests for a moment and hands them to ``answer`` as one list, in a thread of its own.

    When a batch of several fails, its requests are answered one by one, so that only the caller whose request is at
    fault gets the exception.

    Args:
        answer: Takes a non-empty list of requests and returns as many answers in the same order.
        max_batch: Requests answered at once, 1 or more.
        wait: Seconds that the first request waits for company.
        name: Of the thread, for people who look at a stack dump.
        turn: What has to be held to answer; whoever comes while it is waited for is answered in the same batch.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Q]], Sequence[A]],
        *,
        max_batch: int = MAX_BATCH,
        wait: float = WAIT,
        name: str = "batcher",
        turn: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        if max_batch < 1 or wait < 0:
            raise ValueError(f"max_batch {max_batch} must be at least 1 and wait {wait} not negative")
        self._answer = answer
        self._max_batch = max_batch
        self._wait = wait
        self._turn = turn
        self._queue: queue.SimpleQueue[tuple[Q, Future[A]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, request: Q) -> Future[A]:
        """Queue a request.

        Raises:
            RuntimeError: The batcher is closed.
        """
        future: Future[A] = Future()
        with self._lock:  # nothing may be queued behind the closing mark
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._queue.put((request, future))
        return future

    def close(self) -> None:
        """Answer what is queued, then end the thread. May be called twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self) -> None:
        ending = False
        while not ending:
            batch: list[tuple[Q, Future[A]]] = []
            ending = self._collect(batch)
            if batch:
                with self._turn() as turn:
                    ending = ending or self._collect(batch, deadline=0.0)
                    if isinstance(turn, Turn):
                        turn.requests = len(batch)
                    self._run(batch)

    def _collect(self, batch: list[tuple[Q, Future[A]]], *, deadline: float | None = None) -> bool:
        """Add what is queued, or arrives before the deadline (one of its own where none is given), to the batch.

        Returns:
            Whether nothing will come any more.
        """
        while len(batch) < self._max_batch:
            try:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                item = self._queue.get(timeout=left) if left != 0.0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return True
            if not item[1].set_running_or_notify_cancel():
                continue  # the caller has gone away
            batch.append(item)
            if deadline is None:
                deadline = time.monotonic() + self._wait
        return False

    def _run(self, batch: list[tuple[Q, Future[A]]]) -> None:
        try:
            answers = self._answer([request for request, _ in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(batch)} requests got {len(answers)} answers")
        except BaseException as error:  # whatever it is belongs to the callers, and the thread has to live on
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for item in batch:
                self._run([item])
            return
        for (_, future), result in zip(batch, answers, strict=True):
            future.set_result(result)
