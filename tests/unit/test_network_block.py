"""The block that all other tests rely on really blocks, and lets loopback through."""

from __future__ import annotations

import socket
import threading
import urllib.request

import pytest


def test_other_machines_are_refused(network_attempts: list[str]) -> None:
    with socket.socket() as sock, pytest.raises(OSError, match="must not reach"):
        sock.connect(("192.0.2.1", 80))
    with pytest.raises(OSError, match="must not reach"):
        urllib.request.urlopen("http://example.invalid/")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(OSError, match="must not reach"):
        sock.sendto(b"x", ("192.0.2.1", 53))
    assert network_attempts == ["192.0.2.1", "example.invalid", "192.0.2.1"]
    network_attempts.clear()


def test_loopback_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        greeter = threading.Thread(target=lambda: server.accept()[0].close())
        greeter.start()
        with socket.create_connection(("localhost", port), timeout=5):
            pass
        greeter.join(5)
