"""Many inputs through one engine: several at once, so that the engine can batch them, answered in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from mmdemo.cli.inputs import Input
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import Result

AT_ONCE = 16
"""Inputs decoded or answered at the same time; more would only hold pictures in memory."""

Outcome = tuple[str, Result | str]
"""File name, and its result or the sentence why there is none."""


def answer_all(inputs: Sequence[Input], answer: Callable[[Input], Result]) -> Iterator[Outcome]:
    """Answer every input, yielding in order as soon as the next is ready.

    One that fails becomes a sentence and the others go on. Leaving the iterator early drops what has not begun.
    """
    waiting: deque[tuple[Input, Future[Result | str]]] = deque()
    pool = ThreadPoolExecutor(max_workers=min(AT_ONCE, max(1, len(inputs))), thread_name_prefix="mmdemo-input")
    try:
        for item in inputs:
            waiting.append((item, pool.submit(_guarded, item, answer)))
            if len(waiting) >= AT_ONCE:
                first, future = waiting.popleft()
                yield first.name, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first.name, future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _guarded(item: Input, answer: Callable[[Input], Result]) -> Result | str:
    if item.problem:
        return item.problem
    try:
        return answer(item)
    except MmdemoError as error:
        return str(error)
    except Exception as error:  # one odd file must not cost the other thousand; what it was is said
        return f"{item.name} cannot be answered: {type(error).__name__}: {' '.join(str(error).split())}"
