"""Runs app.py with every socket to anything but this machine refused and reported; used by test_offline."""

from __future__ import annotations

import runpy
import socket
import sys
from pathlib import Path
from typing import Any

REPORT = "REFUSED "
LOCAL = ("127.", "::1", "0.0.0.0", "localhost", "::ffff:127.")

_connect, _connect_ex, _getaddrinfo, _sendto = (
    socket.socket.connect,
    socket.socket.connect_ex,
    socket.getaddrinfo,
    socket.socket.sendto,
)


def _check(host: object) -> None:
    if host is None or str(host) == "" or str(host).startswith(LOCAL):
        return
    print(f"{REPORT}{host}", file=sys.stderr, flush=True)
    raise OSError(f"no network: {host}")


def _connect_locally(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        _check(address[0])
    _connect(self, address)


def _connect_ex_locally(self: socket.socket, address: Any) -> int:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        _check(address[0])
    return _connect_ex(self, address)


def _send_locally(self: socket.socket, content: Any, *rest: Any) -> int:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        _check(rest[-1][0])
    return _sendto(self, content, *rest)


def _look_up_locally(host: Any, *rest: Any, **options: Any) -> Any:
    _check(host.decode() if isinstance(host, bytes) else host)
    return _getaddrinfo(host, *rest, **options)


if __name__ == "__main__":
    socket.socket.connect = _connect_locally  # type: ignore[method-assign,assignment]
    socket.socket.connect_ex = _connect_ex_locally  # type: ignore[method-assign,assignment]
    socket.socket.sendto = _send_locally  # type: ignore[method-assign,assignment]
    socket.getaddrinfo = _look_up_locally
    root = Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root))
    sys.argv[0] = str(root / "app.py")
    runpy.run_path(sys.argv[0], run_name="__main__")
