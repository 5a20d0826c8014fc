"""gradio's page on a server of ours: gradio starts uvicorn without limits and offers no way to give it any."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from gradio import http_server

from mmdemo.core.errors import MmdemoError
from mmdemo.ui.web.protocol import Doorkeeper, bounded

START_SECONDS = 60.0
CLOSE_SECONDS = 3.0
GRACE_SECONDS = 1
"""Seconds that running requests have after the program was asked to end; streams are ended at once."""

KEEP_ALIVE_SECONDS = 5

log = logging.getLogger("mmdemo.ui")


class BoundedServer(http_server.Server):
    """uvicorn in a thread.

    Args:
        config: uvicorn's settings.
        on_close: Called, from any thread, when the server begins to end.
    """

    def __init__(self, config: uvicorn.Config, on_close: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_close = on_close

    def run_in_thread(self) -> None:
        """Start, and return when connections are taken.

        Raises:
            MmdemoError: It ended before that, or did not come so far in a minute.
        """
        self.thread = threading.Thread(target=self.run, name="server", daemon=True)
        self.thread.start()
        end = time.monotonic() + START_SECONDS
        while not self.started:
            if not self.thread.is_alive() or time.monotonic() > end:
                place = f"{self.config.host}:{self.config.port}"
                raise MmdemoError(
                    f"The page cannot be served at {place}", "the address is in use", "Try another --port"
                )
            time.sleep(0.001)

    def close(self) -> None:
        """End within a few seconds."""
        self._on_close()
        self.should_exit = True
        self.thread.join(timeout=CLOSE_SECONDS)


@contextlib.contextmanager
def own_server(doorkeeper: Doorkeeper, on_close: Callable[[], None]) -> Iterator[None]:
    """While it lasts, ``gradio.Blocks.launch`` starts a :class:`BoundedServer`.

    Args:
        doorkeeper: Counts connections.
        on_close: Called when the server begins to end.

    Raises:
        MmdemoError: Another server was started: nothing is served without its limits.
    """
    before = http_server.start_server
    started: list[BoundedServer] = []

    def start_server(
        app: Any, server_name: str | None = None, server_port: int | None = None, **_: Any
    ) -> tuple[str, int, str, http_server.Server]:
        host, port = server_name or http_server.LOCALHOST_NAME, server_port or http_server.INITIAL_PORT_VALUE
        config = uvicorn.Config(
            app=app,
            host=host.strip("[]"),
            port=port,
            http=bounded(doorkeeper),
            ws="none",
            log_level="warning",
            access_log=False,
            proxy_headers=False,  # see addresses.Forwarded; uvicorn trusts whoever comes from this machine
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        server = BoundedServer(config, on_close)
        server.run_in_thread()
        started.append(server)
        shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)  # noqa: S104 (a comparison)
        return host, port, f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/", server

    setattr(http_server, "start_server", start_server)  # noqa: B010 (launch looks it up there, and has no parameter)
    try:
        yield
    finally:
        setattr(http_server, "start_server", before)  # noqa: B010
    if not started:
        raise MmdemoError("The page cannot be served with its limits", "this gradio starts its server another way")
