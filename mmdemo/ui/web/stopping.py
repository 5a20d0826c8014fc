"""The end of the process: asked for by Ctrl+C, SIGTERM or a closed terminal, and there within five seconds."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from mmdemo.ui.web.scratch import clear

LONGEST_SECONDS = 4.0
"""After so many seconds the process ends, whoever is still at work in it."""

ENDING_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))


class Stop:
    """Waits for the wish to end, and sees to it that the end comes. Use it in the main thread, as a context.

    Before :meth:`wait` is reached, these signals interrupt what is being prepared, like Ctrl+C; afterwards a second
    one changes nothing, so that what is being cleared up is cleared up. After :meth:`ends`, the process ends with the
    context, without going back to the caller; ``atexit`` functions still run.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._waiting = False
        self._ending = False
        self._scratch: Path | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Stop:
        for number in ENDING_SIGNALS:
            with contextlib.suppress(ValueError):  # only the main thread may set it; elsewhere the default stays
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]
        if kind is None and self._ending:
            # Python would take itself down in order, for many seconds with torch loaded, and torch aborts the process
            # when that happens around a computation that still runs in a thread
            self._leave()

    def clears(self, scratch: Path) -> None:
        """What has to be deleted even if the process has to be ended by force."""
        self._scratch = scratch

    def wait(self) -> None:
        """Return when the end is asked for."""
        self._waiting = True
        while not self._asked.wait(0.5):  # a wait without end would let no signal through on Windows
            pass

    def ends(self) -> None:
        """From here on the end comes within :data:`LONGEST_SECONDS`."""
        self._ending = True
        timer = threading.Timer(LONGEST_SECONDS, self._leave)
        timer.daemon = True
        timer.start()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._asked.set()
        if not self._waiting and not self._ending:
            raise KeyboardInterrupt

    def _leave(self) -> None:
        """A computation, or a download in a thread, cannot be stopped from outside; the process can."""
        if self._scratch is not None:
            clear(self._scratch)
        with contextlib.suppress(Exception):  # the tunnel's program among them
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(0)
