"""The queue in front of the models: fair between visitors, short jobs past long ones, and nothing kept for ever.

Gradio's own queue knows no visitors and no lengths, computes statistics over its last ten thousand events after every
one of them, and keeps an answer's record after it was read.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from fastapi import HTTPException
from gradio.queueing import Event, EventQueue, Queue

from mmdemo.core.turns import wanted_while
from mmdemo.ui.limits import Limits, Rate
from mmdemo.ui.strings import language_of, text
from mmdemo.ui.unread import KEPT_SECONDS, Readers
from mmdemo.ui.web.addresses import client_address

if TYPE_CHECKING:
    import fastapi
    import gradio as gr
    from gradio.block_function import BlockFunction
    from gradio.data_classes import PredictBodyInternal
    from gradio.server_messages import EventMessage

MODEL_LANE = "model"
"""``concurrency_id`` of every event that asks a model."""

SHORT = 12
"""Short jobs at once; what arrives together can meet in one batch."""

LONG = 4
"""Long jobs at once."""

AT_ONCE = 24
"""Jobs at once, those that turned out to be long included: fewer than gradio has threads (40)."""

LONG_SECONDS = 2.0
"""A job that has run for so long is none of the short ones any more."""

LONG_TEXT = 1_000
"""Characters of a text (labels) that make a job long."""

MANY_CAPTIONS = 5

KEPT_ANSWERS = 256
"""Answers to programs' calls that nobody has read yet."""

_CAPTIONS = ("caption", "page_caption", "page_caption_example_run")  # picture, how many captions, and others


def takes_long(name: str, data: Sequence[Any]) -> bool:
    """Whether an event is known to take long before it has begun.

    Args:
        name: Of the event: its API name.
        data: What the event was sent.
    """
    if name.endswith("_where"):
        return True
    for item in data:
        if isinstance(item, str) and len(item) > LONG_TEXT:
            return True
        if isinstance(item, list) and len(item) > 1:  # several pictures
            return True
    return name in _CAPTIONS and len(data) > 1 and isinstance(data[1], int | float) and data[1] > MANY_CAPTIONS


class FairQueue(Queue):
    """Gradio's queue with limits by address, a lane for short jobs that long ones never hold, and an end of records.

    Args:
        blocks: The page.
        limits: How much one visitor gets.
        like: The queue that gradio made; its settings are kept.
    """

    def __init__(self, blocks: gr.Blocks, limits: Limits, like: Queue) -> None:
        super().__init__(
            live_updates=like.live_updates,
            concurrency_count=like.max_thread_count,
            update_intervals=like.update_intervals,
            max_size=None,  # see _admit
            blocks=blocks,
            default_concurrency_limit=like.default_concurrency_limit,
        )
        self.ANALYTICS_MAX_EVENTS = 0
        self._limits = limits
        self._rate = Rate(limits.per_minute)
        self._begun: WeakKeyDictionary[Event, float] = WeakKeyDictionary()
        self._long: WeakKeyDictionary[Event, bool] = WeakKeyDictionary()
        self._dropped: WeakSet[Event] = WeakSet()
        self.readers = Readers()
        self._finished: OrderedDict[str, float] = OrderedDict()  # calls whose answer was not read, and since when

    def compute_analytics_summary(self, records: Any) -> dict[str, Any]:
        """Nothing: there is no page that shows it."""
        return {"functions": {}}

    # ------------------------------------------------------------ coming in

    async def push(self, body: PredictBodyInternal, request: fastapi.Request, username: str | None) -> Any:
        """Queue an event, or refuse it with 429 or 503 and one sentence."""
        fn = self.blocks.fns.get(body.fn_index) if body.fn_index is not None else None
        if fn is not None and fn.concurrency_id == MODEL_LANE:
            self._admit(request)
        self._forget_old()
        return await super().push(body, request, username)

    def _admit(self, request: fastapi.Request) -> None:
        language = language_of(request.headers.get("accept-language"))
        address, limits = client_address(request.scope), self._limits
        mine = sum(client_address(event.request.scope) == address for event in self._asking())
        if mine >= limits.open:
            raise _busy(429, text("busy_open", language, n=mine), 2)
        if len(self) >= limits.waiting:
            raise _busy(503, text("busy_all", language, n=len(self)), 2)
        if seconds := math.ceil(self._rate.take(address)):
            raise _busy(429, text("busy_rate", language, n=int(limits.per_minute), seconds=seconds), seconds)

    def _asking(self) -> list[Event]:
        return [event for event in self.event_ids_to_events.values() if event.concurrency_id == MODEL_LANE]

    # ------------------------------------------------------------ whose turn it is

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """The next event to begin; gradio asks for it whenever a thread is free."""
        for lane, waiting in list(self.event_queue_per_concurrency_id.items()):
            if waiting.queue and (event := self._next(lane, waiting)):
                waiting.queue.remove(event)
                return [event], False, lane
        return None

    def _next(self, lane: str, waiting: EventQueue) -> Event | None:
        if lane != MODEL_LANE:
            free = waiting.concurrency_limit is None or waiting.current_concurrency < waiting.concurrency_limit
            return waiting.queue[0] if free else None
        running = [e for job in self.active_jobs if job for e in job if e.concurrency_id == MODEL_LANE]
        if len(running) >= AT_ONCE:
            return None
        each = Counter(client_address(event.request.scope) for event in running)
        long = sum(self._is_long(event) for event in running)
        aged = time.monotonic() - LONG_SECONDS
        short = sum(not self._is_long(event) and self._begun.get(event, math.inf) > aged for event in running)
        best: tuple[int, Event] | None = None
        for event in waiting.queue:
            mine = each[client_address(event.request.scope)]
            full = long >= LONG if self._is_long(event) else short >= SHORT
            if not full and mine < self._limits.running and (best is None or mine < best[0]):
                best = (mine, event)
        return best[1] if best else None

    def _is_long(self, event: Event) -> bool:
        known = self._long.get(event)
        if known is None:
            data = event.data.data if event.data is not None else []
            known = self._long[event] = takes_long(str(event.fn.api_name), data)
        return known

    async def process_events(self, events: list[Event], batch: bool, begin_time: float, fn: BlockFunction) -> None:
        """Run an event; work for it ends once it was cancelled, or its client has gone."""
        for event in events:
            self._begun[event] = time.monotonic()
        try:
            with wanted_while(lambda: any(event.alive and event not in self._dropped for event in events)):
                await super().process_events(events, batch, begin_time, fn)
        except asyncio.CancelledError:
            self._dropped.update(events)
            raise
        finally:
            for event in events:
                if event.session_hash == event._id:
                    self._finished[event._id] = time.monotonic()

    # ------------------------------------------------------------ what is kept

    def is_call(self, session: str) -> bool:
        """Whether this is a call under way that came without a session, and got its own id for one."""
        return session in self.event_ids_to_events

    def send_message(self, event: Event, event_message: EventMessage) -> None:
        """Put a message where its client reads; nothing where its client is gone."""
        if event.session_hash in self.pending_messages_per_session:
            super().send_message(event, event_message)

    def forget(self, event_id: str) -> None:
        """Keep nothing of a call whose answer was read."""
        self._finished.pop(event_id, None)
        self.pending_messages_per_session.pop(event_id, None)
        self.pending_event_ids_session.pop(event_id, None)

    def _forget_old(self) -> None:
        oldest = time.monotonic() - KEPT_SECONDS
        for event_id, since in list(self._finished.items()):
            if since > oldest and len(self._finished) <= KEPT_ANSWERS:
                break
            if event_id not in self.readers.counts:
                self.forget(event_id)
        for session in [s for s in self.pending_event_ids_session if s not in self.pending_messages_per_session]:
            del self.pending_event_ids_session[session]


def _busy(status: int, sentence: str, seconds: int) -> HTTPException:
    return HTTPException(status, sentence, headers={"Retry-After": str(seconds)})
