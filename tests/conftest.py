"""For all tests: no network beyond this machine, no GPU unless asked for, one thread per library."""

from __future__ import annotations

import os

# before numpy or torch are imported anywhere
if not os.environ.get("MMDEMO_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

if "PYTEST_XDIST_WORKER" in os.environ:  # trainings wait for each other, but not for those of another worker
    import tempfile

    _cache = tempfile.TemporaryDirectory(prefix="mmdemo-tests-", ignore_cleanup_errors=True)
    os.environ["MMDEMO_CACHE"] = _cache.name

import ipaddress  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# a shell that starts the tests in the background makes them, and all that they start, deaf to Ctrl-C
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# nothing here is timed: a busy machine must not fail a test
settings.register_profile("mmdemo", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mmdemo")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last, those that share a browser behind those that end theirs: as long as a browser runs its
    driver keeps an event loop going."""
    items.sort(
        key=lambda item: 2 if "tests/browser/" in item.nodeid else item.get_closest_marker("browser") is not None
    )


class NetworkBlocked(OSError):
    """A test tried to reach another machine."""


_attempts: list[str] = []


def is_this_machine(host: object) -> bool:
    """Whether a host name or address means this machine."""
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    text = host.decode() if isinstance(host, bytes) else str(host)
    try:
        address = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse(host: object) -> None:
    _attempts.append(str(host))
    raise NetworkBlocked(f"tests must not reach the network: {host}")


@pytest.fixture(scope="session", autouse=True)
def _network_is_blocked() -> Iterator[None]:
    """Refuse sockets and name look-ups to anything but loopback, in this process and its threads."""
    connect, connect_ex, sendto = socket.socket.connect, socket.socket.connect_ex, socket.socket.sendto
    getaddrinfo = socket.getaddrinfo

    def check(kind: socket.socket, address: Any) -> None:
        if kind.family in (socket.AF_INET, socket.AF_INET6) and not is_this_machine(address[0]):
            _refuse(address[0])

    def guarded_connect(self: socket.socket, address: Any) -> None:
        check(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        check(self, address)
        return connect_ex(self, address)

    def guarded_sendto(self: socket.socket, data: Any, *rest: Any) -> int:
        check(self, rest[-1])
        return sendto(self, data, *rest)

    def guarded_getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
        if not is_this_machine(host):
            _refuse(host)
        return getaddrinfo(host, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket.socket, "sendto", guarded_sendto)
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield


@pytest.fixture(autouse=True)
def network_attempts(_network_is_blocked: None) -> Iterator[list[str]]:
    """Hosts that the test tried to reach. A test fails when there are any, even if the code swallowed the error.

    A test that provokes attempts on purpose clears the list.
    """
    _attempts.clear()
    yield _attempts
    assert not _attempts, f"tried to reach {', '.join(_attempts)}"
