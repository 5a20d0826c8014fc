"""The real program as a process of its own, for tests that use it from outside."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STARTED = re.compile(r"mmdemo answers at (http://\S+)")
START_SECONDS = float(os.environ.get("MMDEMO_TEST_START_SECONDS", "240"))
"""Time to import torch and gradio, on a machine that may be busy with other things."""


def free_port() -> int:
    """A port of this machine that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class AppProcess:
    """``python app.py`` with the given flags; ``url`` is the address that it printed."""

    def __init__(self, flags: Sequence[str] = (), *, before: Sequence[str] = (), env: dict[str, str] | None = None):
        self.port = free_port()
        command = [*before, sys.executable, "app.py", "--port", str(self.port), "--device", "cpu", *flags]
        if before and before[0] == sys.executable:  # a wrapper that is a Python program itself
            command = [*before, "--port", str(self.port), "--device", "cpu", *flags]
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self._queue: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.url = self.wait_for(STARTED)[1]
        except BaseException:
            self.stop()
            raise

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._queue.put(line)
        self._queue.put(None)

    def wait_for(self, pattern: re.Pattern[str], seconds: float = START_SECONDS) -> re.Match[str]:
        """The first line from now on that matches.

        Raises:
            AssertionError: It ended, or the time is over.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                line = self._queue.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                break
            if match := pattern.search(line):
                return match
        raise AssertionError(f"{pattern.pattern!r} was not printed:\n" + "\n".join(self.lines))

    @property
    def log(self) -> str:
        """Everything printed so far."""
        return "\n".join(self.lines)

    def stop(self) -> int:
        """End it as a service manager would; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        if self.process.poll() is None:
            self.process.kill()
        code = self.process.wait(20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


@contextlib.contextmanager
def running_app(
    flags: Sequence[str] = (), *, before: Sequence[str] = (), env: dict[str, str] | None = None
) -> Iterator[AppProcess]:
    """A served page that ends with the block."""
    app = AppProcess(flags, before=before, env=env)
    try:
        yield app
    finally:
        app.stop()
