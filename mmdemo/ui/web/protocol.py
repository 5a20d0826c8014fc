"""HTTP connections that are bounded in number and in time, whatever the other side does or leaves undone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from mmdemo.ui.web.addresses import Trust, group_of

log = logging.getLogger("mmdemo.ui")

HEADER_SECONDS = 10.0
"""A request's line and headers have to be there within this, counted from the connection or the header's first byte."""

BODY_SECONDS = 10.0
BODY_BYTES = 10_000
"""Every ``BODY_SECONDS`` at least so many bytes of a body have to come, or its end."""

READ_SECONDS = 30.0
"""An answer that the other side does not take for so long is given up."""

LINGER_BYTES = 100_000_000
"""Bytes of a body that are still taken, and thrown away, after its request was refused."""

CONNECTIONS_PER_ADDRESS = 200
CONNECTIONS = 600
"""At once. A browser opens six to a place; a class behind one address opens six each."""

LOG_EVERY_SECONDS = 60.0


@dataclass(slots=True)
class Doorkeeper:
    """Counts the connections of one server, by address and in all.

    Attributes:
        trust: A trusted relay brings the connections of many; only the number in all bounds it.
        per_address: Connections of one address at once.
        in_all: Connections at once.
    """

    trust: Trust
    per_address: int = CONNECTIONS_PER_ADDRESS
    in_all: int = CONNECTIONS
    held: Counter[str] = field(default_factory=Counter)
    _said: float = -LOG_EVERY_SECONDS

    def admit(self, address: str) -> bool:
        """Count one more connection, unless there are too many."""
        of_one = self.held[address] >= self.per_address and not self.trust.relays(address)
        if of_one or self.held.total() >= self.in_all:
            self._say(f"connections of {address or 'a stranger'} are turned away: too many at once")
            return False
        self.held[address] += 1
        return True

    def leave(self, address: str) -> None:
        """One connection less."""
        self.held[address] -= 1
        if self.held[address] <= 0:
            del self.held[address]

    def _say(self, sentence: str) -> None:
        if time.monotonic() - self._said >= LOG_EVERY_SECONDS:  # a flood must not fill the log
            self._said = time.monotonic()
            log.warning(sentence)


class BoundedProtocol(H11Protocol):
    """uvicorn's connection with time limits for headers, bodies and answers, and a doorkeeper.

    uvicorn itself waits for ever for the rest of a header, for a body and for somebody who does not read.
    """

    doorkeeper: Doorkeeper
    """Set by :func:`bounded`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._address: str | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._waits_for = ""
        self._received = 0
        self._lingered = 0
        self._unread: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------ coming and going

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = group_of(self.client[0]) if self.client else ""
        if not self.doorkeeper.admit(address):
            transport.write(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\nconnection: close\r\n")
            transport.write(b"content-type: text/plain\r\ncontent-length: 20\r\n\r\nToo many connections")
            transport.close()
            return
        self._address = address
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._address is not None:
            self.doorkeeper.leave(self._address)
            self._address = None
        for timer in (self._deadline, self._unread):
            if timer is not None:
                timer.cancel()
        self._deadline = self._unread = None
        super().connection_lost(exc)

    # ------------------------------------------------------------ what comes in

    def data_received(self, data: bytes) -> None:
        if self._address is None or self.transport.is_closing():
            return
        self._received += len(data)
        if self.cycle is not None and self.cycle.response_complete and self.conn.their_state is h11.SEND_BODY:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self.transport.abort()
                return
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def _expected(self) -> str:
        """What the other side owes: "header", "body", or nothing."""
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            return "body"
        begun = bool(self.conn.trailing_data[0]) or self.cycle is None
        # between two requests there is uvicorn's own limit for connections that are kept alive
        return "header" if state is h11.IDLE and begun else ""

    def _watch(self) -> None:
        """Start the clock for what is owed, if it is not running for that already."""
        if self.transport.is_closing():
            return
        owed = self._expected()
        if owed == self._waits_for:
            return
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._waits_for = owed
        if owed == "header":
            self._deadline = self.loop.call_later(HEADER_SECONDS, self._give_up)
        elif owed == "body":
            self._lingered = 0
            self._deadline = self.loop.call_later(BODY_SECONDS, self._check_body, self._received)

    def _check_body(self, before: int) -> None:
        """End a body that comes too slowly; one that the program itself does not take is not slow."""
        self._deadline = None
        if self._expected() != "body":
            self._waits_for = ""
            self._watch()
        elif self._received - before >= BODY_BYTES or (self.flow.read_paused and not self.cycle.response_complete):
            self._deadline = self.loop.call_later(BODY_SECONDS, self._check_body, self._received)
        else:
            self._give_up()

    def _give_up(self) -> None:
        """Say 408 where that is still possible, and close."""
        self._deadline = None
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is None or not cycle.response_started or cycle.response_complete:
            begun = self._received > 0 and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE)
            if begun:  # a browser opens connections ahead of need; those just close
                self._say_too_slow()
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()

    def _say_too_slow(self) -> None:
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        said = b"The request did not come in time"
        try:
            out = self.conn.send(h11.Response(status_code=408, headers=headers, reason=b"Request Timeout"))
            for event in (h11.Data(data=said), h11.EndOfMessage()):
                out += self.conn.send(event) or b""
        except h11.LocalProtocolError:
            return
        self.transport.write(out or b"")

    # ------------------------------------------------------------ what goes out

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def bounded(doorkeeper: Doorkeeper) -> type[BoundedProtocol]:
    """The protocol of one server, whose connections this doorkeeper counts."""
    return type("BoundedProtocol", (BoundedProtocol,), {"doorkeeper": doorkeeper})
