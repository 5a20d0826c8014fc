"""What stands between the network and gradio, in order, and what is cleared up from time to time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from mmdemo.core.memory import trim
from mmdemo.ui.inference_only import MCP_ADDRESSES, OPEN_ADDRESSES, Gate
from mmdemo.ui.origin import OwnPage
from mmdemo.ui.page import DELETED_EVERY_SECONDS, UPLOADS_KEPT_HOURS
from mmdemo.ui.web.addresses import Forwarded, Trust
from mmdemo.ui.web.bodies import MAX_BODY_BYTES, OWN_MAX_BODY_BYTES, Bodies, Ledger, Quota
from mmdemo.ui.web.events import Events
from mmdemo.ui.web.faults import Faults, one_line
from mmdemo.ui.web.scratch import drop_leftovers
from mmdemo.ui.web.sign_in import Password, SignIn
from mmdemo.ui.web.streams import OWN_LIMITS, Ending, StreamLimits, Streams

if TYPE_CHECKING:
    from mmdemo.ui.queue import FairQueue

CLEAR_SECONDS = 60.0

log = logging.getLogger("mmdemo.ui")


class Guard:
    """The layers of one served page.

    Args:
        trust: Whose word about the visitor is taken.
        auth: User and password that everybody has to know; None where the page is open.
        queue: The page's queue.
    """

    def __init__(self, *, trust: Trust, auth: tuple[str, str] | None, queue: FairQueue) -> None:
        self.trust = trust
        self.queue = queue
        self.auth = auth
        self.ending = Ending()
        self.password = Password(*auth) if auth else None
        self.check: Any = self.password.check if self.password else None  # gradio awaits it, and says otherwise

    def for_strangers(self, *, mcp: bool) -> list[Middleware]:
        """Of a shared page, outermost first.

        Args:
            mcp: Whether the tools for assistants answer as well.
        """
        addresses = OPEN_ADDRESSES + (MCP_ADDRESSES if mcp else ())
        quota = Quota(seconds=UPLOADS_KEPT_HOURS * 3600 + DELETED_EVERY_SECONDS)
        return [
            *self._first(StreamLimits()),
            Middleware(Gate, addresses=addresses),
            Middleware(Bodies, max_body=MAX_BODY_BYTES, ledger=Ledger(quota)),
            Middleware(Events, queue=self.queue),
        ]

    def for_oneself(self, *, any_name: bool) -> list[Middleware]:
        """Of the page of one's own, outermost first.

        Args:
            any_name: Whether the page may be asked for by any name.
        """
        return [
            *self._first(OWN_LIMITS),
            Middleware(OwnPage, any_name=any_name),
            Middleware(Bodies, max_body=OWN_MAX_BODY_BYTES),
            Middleware(Events, queue=self.queue),
        ]

    def _first(self, limits: StreamLimits) -> list[Middleware]:
        return [
            Middleware(Forwarded, trust=self.trust),
            Middleware(Streams, ending=self.ending, limits=limits),
            Middleware(Faults),
            *([Middleware(SignIn, password=self.password)] if self.password else []),
        ]

    def clearing(self) -> Callable[[Any], AbstractAsyncContextManager[None]]:
        """A lifespan in which unread answers, parts of failed uploads and freed memory are let go of every minute."""

        async def clear(app: Any) -> None:
            while True:
                await asyncio.sleep(CLEAR_SECONDS)
                try:
                    self.queue.readers.drop_abandoned(self.queue)
                    await run_in_threadpool(drop_leftovers, Path(app.uploaded_file_dir))
                    await run_in_threadpool(trim)
                except Exception:
                    log.exception("what was left over could not be dropped")

        @contextlib.asynccontextmanager
        async def lifespan(app: Any) -> AsyncIterator[None]:
            task = asyncio.create_task(clear(app))
            try:
                yield
            finally:
                task.cancel()

        return lifespan

    def describe_once(self, local: str) -> None:
        """Ask for the description of the endpoints, which gradio keeps as the first visitor gets it.

        The examples in it name the address under which it was asked for: the visitor's word, if a visitor were first.

        Args:
            local: The page's address on this machine.
        """
        try:
            httpx.get(f"{local}/gradio_api/info", auth=self.auth, timeout=60, trust_env=False).raise_for_status()
        except httpx.HTTPError as error:
            log.warning("the description of the endpoints could not be made: %s", one_line(error))
