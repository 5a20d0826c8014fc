"""Answers in gradio's queue that wait to be read: which there are, who reads them, and when they are given up."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

KEPT_SECONDS = 600.0
"""How long an answer waits that nobody fetches."""


class Readers:
    """Who reads what, and which answers nobody has fetched.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._left: dict[str, float] = {}

    @contextlib.contextmanager
    def reading(self, session: str) -> Iterator[None]:
        """Count one more reader of a session for as long as the block runs."""
        self.counts[session] += 1
        try:
            yield
        finally:
            self.counts[session] -= 1
            if self.counts[session] <= 0:
                del self.counts[session]

    def drop_abandoned(self, queue: Any, *, older_than: float = KEPT_SECONDS) -> int:
        """Let go of sessions whose answers are all done and that nobody has read from for a time.

        Args:
            queue: gradio's queue; call this in its event loop.
            older_than: Seconds since it was first found so.

        Returns:
            How many sessions were dropped.
        """
        now = self._clock()
        held = {*queue.pending_event_ids_session, *queue.pending_messages_per_session}
        busy = {event.session_hash for event in queue.event_ids_to_events.values()} | {*self.counts}
        idle = held - busy
        self._left = {session: self._left.get(session, now) for session in idle}
        gone = [session for session, since in self._left.items() if now - since >= older_than]
        for session in gone:
            queue.pending_event_ids_session.pop(session, None)
            queue.pending_messages_per_session.pop(session, None)
            del self._left[session]
        return len(gone)


def session_of(queue: Any, event_id: str) -> str | None:
    """The session of an event that is waiting, being answered, or answered and not fetched; None otherwise.

    gradio forgets the event when it is answered, and its number when the answer is fetched, in either order.
    """
    event = queue.event_ids_to_events.get(event_id)
    pending = queue.pending_event_ids_session
    if event is not None:
        fetched = event_id not in pending.get(event.session_hash, ())
        return None if fetched or not event.alive else str(event.session_hash)
    session = next((name for name, ids in pending.items() if event_id in ids), None)
    return str(session) if session is not None and _unread(queue, session) else None


def waits(queue: Any, session: str) -> bool:
    """Whether there is anything that this session may still hear of."""
    events = (queue.event_ids_to_events.get(name) for name in queue.pending_event_ids_session.get(session, ()))
    return _unread(queue, session) or any(event is not None and event.alive for event in events)


def _unread(queue: Any, session: str) -> bool:
    messages = queue.pending_messages_per_session.get(session)
    return messages is not None and not messages.empty()
