"""Whose turn it is to compute.

A job works in pieces. Short jobs come first, in the order in which they came, and are not interrupted. A job that has
computed for :data:`QUANTUM` is a long one: between two pieces it lets others pass that have computed less. Every
:data:`EACH` th turn goes to whoever has waited longest, so a long job ends even where short ones never do.

As many jobs compute at once as there are cores, up to :data:`MOST`, and they share the cores between them: more, each
with a pool of threads as large as the machine, are slower together than one after the other.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mmdemo.core.errors import MmdemoError

QUANTUM = 0.5
"""Seconds of the processor, for each request in it, up to which a job is short; each doubling puts it further back."""

EACH = 4

MOST = 4
"""Jobs that compute at once; what is Python in them runs one at a time anyway."""

wanted: ContextVar[Callable[[], bool] | None] = ContextVar("wanted", default=None)
"""Says whether anybody still waits for the answer; None where nobody can go away."""


class Stopped(MmdemoError):
    """A job ended between two of its pieces because nobody waits for its answer any more."""

    def __init__(self) -> None:
        super().__init__("No answer was made", "nobody waits for it any more")


class Turns:
    """Lets some jobs at a time compute. Thread-safe.

    Args:
        cores: To be shared.
    """

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.use_threads: Callable[[int], None] = lambda threads: None
        """Tells the library that computes how many threads the calling one may use."""
        self._places = max(1, min(cores, MOST))
        self._given = 0
        self._lock = threading.Lock()
        self._running = 0
        self._waiting: list[Turn] = []  # in the order in which they began to wait

    def job(self) -> Turn:
        """The turns of a new job, to be entered with ``with``, once or several times in a row."""
        return Turn(self)

    @property
    def waiting(self) -> int:
        """How many jobs wait for their turn."""
        with self._lock:
            return len(self._waiting)

    def _begin(self, turn: Turn) -> None:
        with self._lock:
            if self._running < self._places:
                self._running += 1
                self._start(turn)
            else:
                self._queue(turn)
        self._go_on(turn)

    def _end(self, turn: Turn) -> None:
        with self._lock:
            turn.spent += time.thread_time() - turn.since
            if self._waiting:
                self._start(self._waiting.pop(self._first()))
            else:
                self._running -= 1

    def _pause(self, turn: Turn) -> None:
        with self._lock:
            now = time.thread_time()
            turn.spent, turn.since = turn.spent + now - turn.since, now
            if self._waiting and turn.level:
                place = self._first()
                if (self._waiting[place].level, self._waiting[place].spent) < (turn.level, turn.spent):
                    other = self._waiting.pop(place)
                    self._queue(turn)
                    self._start(other)
        self._go_on(turn)

    def _go_on(self, turn: Turn) -> None:
        """Wait until it is this thread's turn, and take its share of the cores."""
        turn.ready.wait()
        turn.since = time.thread_time()
        with self._lock:
            threads = max(1, self.cores // max(1, self._running))
        self.use_threads(threads)

    def _queue(self, turn: Turn) -> None:
        turn.ready.clear()
        self._waiting.append(turn)

    def _start(self, turn: Turn) -> None:
        self._given += 1
        turn.ready.set()

    def _first(self) -> int:
        """Where the one stands whose turn comes next."""
        if self._given % EACH == 0:
            return 0
        return min(range(len(self._waiting)), key=lambda place: self._waiting[place].level)


class Turn:
    """A job's right to compute, held inside ``with``.

    Attributes:
        spent: Seconds of the processor that the job has had, in the threads that entered it.
        since: What its thread's clock showed when it began to compute.
        requests: How many requests the job answers.
        ready: Set while it may compute.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.spent = 0.0
        self.since = 0.0
        self.requests = 1
        self.ready = threading.Event()

    def __enter__(self) -> Turn:
        if getattr(_here, "turn", None) is not None:
            raise RuntimeError("this thread has a turn already")
        self._turns._begin(self)
        _here.turn = self
        return self

    def __exit__(self, *_: object) -> None:
        _here.turn = None
        self._turns._end(self)

    @property
    def level(self) -> int:
        """0 for a short job; higher for what has computed longer."""
        return max(0, math.ceil(math.log2(max(self.spent, 1e-9) / self.requests / QUANTUM)))

    def pause(self) -> None:
        """Let others pass that come first."""
        self._turns._pause(self)


_here = threading.local()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


COMPUTE = Turns(_cores())
"""The turns of everything that computes in this process."""


def pause() -> None:
    """To be called between two pieces of work, of some hundredths of a second each; cheap where nobody waits.

    Raises:
        Stopped: Nobody waits for the answer any more.
    """
    asked = wanted.get()
    if asked is not None and not asked():
        raise Stopped
    turn: Turn | None = getattr(_here, "turn", None)
    if turn is not None:
        turn.pause()


@contextmanager
def wanted_while(still: Callable[[], bool]) -> Iterator[None]:
    """Inside the block, and in threads that inherit its context, work ends between two pieces once not ``still``."""
    token = wanted.set(still)
    try:
        yield
    finally:
        wanted.reset(token)
