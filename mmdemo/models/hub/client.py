"""Talk with a hub: one request at a time, patient where that helps, and every trouble in one sentence.

The protocol is that of https://huggingface.co/docs/hub/api: ``/api/models/ID/revision/REVISION`` for what there is,
``/ID/resolve/COMMIT/FILE`` for the files. Requests go through huggingface_hub's own session, so that proxies,
certificates and the session that a program has set there hold; its own ``hf_hub_download`` is not used, because it
starts a broken file from its beginning (huggingface_hub 2.4, ``file_download._download_to_tmp_and_move``).

``HF_ENDPOINT``, ``HF_HUB_OFFLINE`` and ``HF_TOKEN`` are read at every request. The token goes to the hub alone, never
into a message, and is taken from nowhere else.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

from mmdemo import __version__
from mmdemo.core.errors import MmdemoError

HOME = "https://huggingface.co"
YES = {"1", "ON", "YES", "TRUE"}
"""What switches a switch of huggingface_hub on, as its ``constants`` read them."""

RETRIES = 4
"""Times that a request is made again where nothing has come since the last trouble."""

PAUSE = 1.0
"""Seconds before the first of them; doubled for each further one."""

LONGEST_WAIT = 120.0
"""Seconds that we wait at most where a hub asks for it; beyond that people are told."""

STEP = 0.1
"""Seconds between two looks whether somebody wants us to stop."""

KEPT = "What was fetched is kept: the next time goes on from there"

Cancelled = Callable[[], bool]


class DownloadStopped(MmdemoError):
    """Somebody wanted it; what was fetched stays."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Fetching {name} was stopped", "", "What was fetched is kept: the next time goes on from there"
        )


class RetryPolicy:
    """Counts the troubles on the way to one file, and waits between two attempts."""

    def __init__(self, name: str, cancelled: Cancelled) -> None:
        self.name, self.cancelled, self.troubles = name, cancelled, 0

    def moved(self) -> None:
        """Something came: the next trouble is a new one."""
        self.troubles = 0

    def again(self, trouble: MmdemoError, wait: float | None = None) -> None:
        """Wait for the next attempt.

        Args:
            wait: Seconds that the hub asked for; None for our own rule.

        Raises:
            MmdemoError: The trouble itself, where it is no use to go on.
        """
        self.troubles += 1
        if self.troubles > RETRIES or (wait or 0.0) > LONGEST_WAIT:
            raise trouble from None
        pause(PAUSE * 2 ** (self.troubles - 1) if wait is None else wait, self.name, self.cancelled)


def endpoint() -> str:
    """Address of the hub: ``HF_ENDPOINT``, default huggingface.co.

    Raises:
        MmdemoError: It is no address.
    """
    found = (os.environ.get("HF_ENDPOINT") or HOME).rstrip("/")
    try:
        parts = urlsplit(found)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise MmdemoError("Nothing can be fetched", "HF_ENDPOINT is not the address of a hub", "Set it to https://...")
    return found


def offline() -> bool:
    """Whether this machine is told to leave hubs alone."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in YES:
        return True
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)  # as it was when the library was first imported


def token() -> str:
    """The person's token, "" where there is none; only from the environment."""
    return os.environ.get("HF_TOKEN", "").strip()


def pause(seconds: float, name: str, cancelled: Cancelled) -> None:
    """Wait, and stop at once where somebody wants it."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        stop_if(cancelled, name)
        time.sleep(min(STEP, left))


def stop_if(cancelled: Cancelled, name: str) -> None:
    """Raises DownloadStopped where somebody wants it."""
    if cancelled():
        raise DownloadStopped(name)


def info(name: str, revision: str, *, cancelled: Cancelled) -> Any:
    """What a hub says of a model: huggingface_hub's ``ModelInfo`` with commit, files, sizes, checksums and card.

    Raises:
        MmdemoError: There is no such model or revision, or it cannot be asked for.
    """
    from huggingface_hub import ModelInfo

    told: Any = ModelInfo  # which has no types
    url = f"{endpoint()}/api/models/{name}/revision/{quote(revision, safe='')}?blobs=true"
    patience = RetryPolicy(name, cancelled)
    while True:
        try:
            with stream(url, name=name, revision=revision, patience=patience) as response:
                response.read()
                return told(**response.json())
        except transport() as error:
            raise unreachable(name, error) from None  # whoever has no network need not wait for it
        except (ValueError, TypeError, KeyError, AttributeError):
            raise MmdemoError(
                f"{name} cannot be fetched", f"{_host()} does not answer like a hub", "Check HF_ENDPOINT"
            ) from None


@contextmanager
def stream(url: str, *, name: str, revision: str, patience: RetryPolicy, start: int = 0) -> Iterator[Any]:
    """An open answer with status 200 or 206 (or 416, where ``start`` lies behind the end), its body not yet read.

    Args:
        start: Bytes that are there already.

    Raises:
        MmdemoError: Offline, refused, not there, or busy for longer than anyone likes to wait.
    """
    if offline():
        raise MmdemoError(
            f"{name} cannot be fetched", "this machine is set to offline (HF_HUB_OFFLINE)", "Unset it to fetch models"
        )
    from huggingface_hub import get_session
    from huggingface_hub.errors import OfflineModeIsEnabled

    headers = {"user-agent": f"mmdemo/{__version__}", "accept-encoding": "identity"}  # packed ranges fit nowhere
    if token():
        headers["authorization"] = f"Bearer {token()}"  # dropped by the session where it is sent to another host
    if start:
        headers["range"] = f"bytes={start}-"
    while True:
        stop_if(patience.cancelled, name)
        try:
            with get_session().stream(
                "GET", url, headers=headers, timeout=timeout(), follow_redirects=True
            ) as response:
                if response.status_code in {200, 206} or (response.status_code == 416 and start):
                    yield response
                    return
                trouble, wait, passing = _refused(response, name, revision)
        except OfflineModeIsEnabled:
            raise MmdemoError(
                f"{name} cannot be fetched", "this program was started offline", "Start it again"
            ) from None
        if not passing:
            raise trouble
        patience.again(trouble, wait)


def timeout() -> float:
    """Seconds to wait for an answer or the next bytes: ``HF_HUB_DOWNLOAD_TIMEOUT``, default 10."""
    try:
        return max(0.1, float(os.environ.get("HF_HUB_DOWNLOAD_TIMEOUT") or 10))
    except ValueError:
        return 10.0


def transport() -> type[Exception]:
    """What the session raises where a connection fails: the base of the library's own errors, httpx's ``HTTPError``.

    The package behind it is httpx in huggingface_hub 1 and httpx2 in 2, so it is not imported by name.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")


def unreachable(name: str, error: Exception) -> MmdemoError:
    """The sentence for a connection that failed."""
    kind, words = type(error).__name__, str(error)
    if "Timeout" in kind:
        return MmdemoError(f"{name} cannot be fetched", f"{_host()} does not answer", "Try again later")
    if "CERTIFICATE" in words.upper():
        return MmdemoError(f"{name} cannot be fetched", f"the certificate of {_host()} cannot be checked")
    if kind in {"RemoteProtocolError", "ReadError"}:
        return MmdemoError(
            f"{name} cannot be fetched",
            f"the connection to {_host()} broke off again and again",
            KEPT,
        )
    return MmdemoError(f"{name} cannot be fetched", f"there is no connection to {_host()}", "Check the network")


def _refused(response: Any, name: str, revision: str) -> tuple[MmdemoError, float | None, bool]:
    """The sentence for an answer that is none, the seconds to wait where it says so, and whether it may pass."""
    status, code = response.status_code, response.headers.get("X-Error-Code", "")
    what, host = f"{name} cannot be fetched", _host()
    if code == "GatedRepo" or (status == 403 and not response.history):
        advice = f"Accept them at {endpoint()}/{name}" + ("" if token() else ", and set HF_TOKEN to a token of yours")
        return MmdemoError(what, "its makers give it only to those who have accepted their terms", advice), None, False
    if status == 401 and token():
        advice = "Set another one, or none for a public model"
        return MmdemoError(what, f"{host} does not accept the token in HF_TOKEN", advice), None, False
    if code == "RevisionNotFound":
        return MmdemoError(what, f"it has no revision {revision}"), None, False
    if code == "EntryNotFound":
        return MmdemoError(what, f"{host} lists a file of it and does not have it"), None, False
    if status in {401, 404}:
        advice = "Check the name" + ("" if token() else "; a private one asks for a token in HF_TOKEN")
        return MmdemoError(what, f"{host} knows no model of this name", advice), None, False
    wait = _asked_to_wait(response.headers)
    if status == 429:
        when = f"in {_duration(wait)}" if wait else "later"
        return MmdemoError(what, f"{host} gets too many requests from here", f"Try again {when}"), wait, True
    passing = status in {403, 408} or status >= 500  # 403 behind a redirect: an address that has run out
    return MmdemoError(what, f"{host} is in trouble (HTTP {status})", "Try again later"), wait, passing


def _asked_to_wait(headers: Any) -> float | None:
    """Seconds in ``Retry-After`` (RFC 9110, 10.2.3: seconds or a date), else in ``RateLimit: ...;r=0;t=SECONDS``."""
    said = headers.get("Retry-After", "").strip()
    if said.isdigit():
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds()) if said else _limit(headers)
    except (ValueError, TypeError):
        return _limit(headers)


def _limit(headers: Any) -> float | None:
    found = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("RateLimit", ""))
    return float(found[1]) if found else None


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _host() -> str:
    """Name of the hub, without what an address may carry besides (a password, a port)."""
    return urlsplit(endpoint()).hostname or "the hub"
