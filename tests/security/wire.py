"""Requests as a stranger writes them: over a bare socket, slowly, half, or from another address of this machine."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import httpx


def connect(url: str, source: str = "127.0.0.1") -> socket.socket:
    """A connection to the server of an address, from one of this machine's own addresses."""
    place = urlsplit(url)
    made = socket.socket()
    made.settimeout(30)
    made.bind((source, 0))
    made.connect((place.hostname, place.port))
    return made


def client(url: str, source: str = "127.0.0.1", **more: object) -> httpx.Client:
    """A client that comes from one of this machine's own addresses."""
    way = httpx.HTTPTransport(local_address=source, trust_env=False)
    return httpx.Client(base_url=url, transport=way, timeout=60, **more)  # type: ignore[arg-type]


def head(method: str, path: str, **headers: object) -> bytes:
    """Request line and headers, without the empty line that ends them."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n"


def first_line(made: socket.socket) -> str:
    """The status line of an answer, "" when the connection was closed without one."""
    received = b""
    try:
        while b"\r\n" not in received and (part := made.recv(4096)):
            received += part
    except ConnectionError:
        return ""
    return received.partition(b"\r\n")[0].decode()


def drip(made: socket.socket, byte: bytes, *, every: float, at_most: float) -> float:
    """Send one byte after the other until the other side closes; how many seconds that took."""
    began = time.monotonic()
    made.settimeout(every)
    while time.monotonic() - began < at_most:
        try:
            made.sendall(byte)
            if not made.recv(4096):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


def drain(made: socket.socket, seconds: float) -> float:
    """Read until the other side closes; how many seconds that took."""
    began = time.monotonic()
    made.settimeout(seconds)
    try:
        while made.recv(65536):
            pass
    except OSError:
        pass
    return time.monotonic() - began
