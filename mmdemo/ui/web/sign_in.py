"""Signing in: wrong passwords wait, and without a signed-in visitor there is nothing but the page that asks for one.

gradio checks a sign-in for most of its addresses, not for all, and answers as many guesses as come.
"""

from __future__ import annotations

import asyncio
import base64
import contextvars
import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from mmdemo.ui.web.addresses import client_address
from mmdemo.ui.web.asgi import Application, Message, Receive, Scope, Send, header, refuse

FIRST_WAIT = 0.5
LONGEST_WAIT = 15.0
"""Seconds between two guesses of one address: they double with each wrong one, up to this."""

LONGEST_USER_WAIT = 3.0
"""Seconds before any guess at a user whom others have guessed at: bounded low, since the right one waits as well."""

FREE_GUESSES = 2
FORGOTTEN_SECONDS = 900.0
WAITING_EACH = 5
"""Guesses of one address that may wait at once; one more gets 429."""

_REMEMBERED = 10_000

_OPEN = re.compile(
    r"/|/login/?|/logout|/(assets|static)/.+|(/gradio_api)?/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json"
    r"|/gradio_api/(login_check|user|token|startup-events)/?"
)
_HOME = re.compile(rb"window\.gradio_api_info = .*?;</script>", re.DOTALL)

_address: contextvars.ContextVar[str] = contextvars.ContextVar("address of who signs in", default="")


@dataclass(slots=True)
class _Guesses:
    wrong: int = 0
    last: float = 0.0
    free_at: float = 0.0
    waiting: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Password:
    """Says whether a user and a password are right, the slower the more wrong ones came before.

    An address that has guessed wrong waits, twice as long each time; guesses from it wait for each other, so that
    many at once gain nothing. A user at whom many guess waits a little, but not from where they have signed in before.

    Args:
        user: The user.
        password: The password.
        clock: Seconds that never go back.
    """

    def __init__(self, user: str, password: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._digest = _digest(user, password)
        self._clock = clock
        self._addresses: OrderedDict[str, _Guesses] = OrderedDict()
        self._users: OrderedDict[str, _Guesses] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()

    async def check(self, user: str, password: str) -> bool:
        """Whether both are right; the address is that of the request that is being answered.

        Raises:
            HTTPException: 429, too many guesses of this address are waiting.
        """
        address = _address.get()
        mine = self._entry(self._addresses, address)
        if mine.waiting >= WAITING_EACH:
            raise HTTPException(429, "Too many attempts to sign in; try again later", {"Retry-After": "15"})
        mine.waiting += 1
        try:
            async with mine.turn:
                await self._wait(mine.free_at - self._clock())
                theirs = self._entry(self._users, _digest(user).hex())
                if address not in self._known:
                    await self._wait(min(self._pause(theirs.wrong), LONGEST_USER_WAIT))
                right = hmac.compare_digest(_digest(user, password), self._digest)
                self._note(right, address, mine, theirs)
                return right
        finally:
            mine.waiting -= 1

    def _note(self, right: bool, address: str, mine: _Guesses, theirs: _Guesses) -> None:
        now = self._clock()
        if right:
            mine.wrong = 0
            mine.free_at = 0.0
            self._known[address] = None
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            return
        for guesses in (mine, theirs):
            guesses.wrong += 1
            guesses.last = now
        mine.free_at = now + self._pause(mine.wrong)

    @staticmethod
    def _pause(wrong: int) -> float:
        beyond = wrong - FREE_GUESSES
        return 0.0 if beyond < 0 else min(FIRST_WAIT * 2.0 ** min(beyond, 20), LONGEST_WAIT)

    @staticmethod
    async def _wait(seconds: float) -> None:
        if seconds > 0:
            await asyncio.sleep(seconds)

    def _entry(self, entries: OrderedDict[str, _Guesses], name: str) -> _Guesses:
        """The guesses so far; none where the last is long ago."""
        found = entries.get(name)
        if found is None:
            found = entries[name] = _Guesses()
            while len(entries) > _REMEMBERED:
                entries.popitem(last=False)
        elif found.wrong and not found.waiting and self._clock() - found.last > FORGOTTEN_SECONDS:
            found.wrong = 0
        return found


def _digest(*words: str) -> bytes:
    """A digest of fixed length: comparing it tells nothing of what was compared, nor of its length."""
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).digest()


class SignIn:
    """ASGI middleware: 401 for everything but the page that asks for user and password.

    Programs may send user and password with each request instead (HTTP Basic), which counts as a guess like any other.

    Args:
        app: What stands behind it.
        password: Says whether user and password are right.
    """

    def __init__(self, app: Application, *, password: Password) -> None:
        self.app = app
        self.password = password
        self._for_programs = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        _address.set(client_address(scope))
        if not signed_in(scope) and (told := _basic(scope)):
            try:
                right = await self.password.check(*told)
            except HTTPException as error:
                await refuse(send, error.status_code, error.detail, retry_after=LONGEST_WAIT)
                return
            if right:
                scope = self._as_signed_in(scope, told[0])
        if signed_in(scope):
            await self.app(scope, receive, send)
        elif _OPEN.fullmatch(scope["path"]) is None:
            await refuse(send, 401, "Not authenticated")
        elif scope["path"] == "/":
            await self.app(scope, receive, _without_api(send))
        else:
            await self.app(scope, receive, send)

    def _as_signed_in(self, scope: Scope, user: str) -> Scope:
        """The request with the cookie that gradio looks for."""
        app = scope["app"]
        app.tokens[self._for_programs] = user
        cookie = f"access-token-unsecure-{app.cookie_id}={self._for_programs}".encode()
        others = [(name, value) for name, value in scope["headers"] if name not in (b"cookie", b"authorization")]
        return {**scope, "headers": [*others, (b"cookie", cookie)]}


def _basic(scope: Scope) -> tuple[str, str] | None:
    """User and password that a program sends along."""
    kind, _, value = header(scope, b"authorization").partition(b" ")
    if kind.lower() != b"basic":
        return None
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return None
    return user, password


def signed_in(scope: Scope) -> bool:
    """Whether the request has the cookie of somebody who has signed in."""
    app, cookies = scope["app"], HTTPConnection(scope).cookies
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return any(cookies.get(name) in app.tokens for name in names)


def _without_api(send: Send) -> Send:
    """The page that asks for a password, without the list of events that gradio writes into it."""
    begun: list[Message] = []
    body = b""

    async def cleaned(message: Message) -> None:
        nonlocal body
        if message["type"] == "http.response.start":
            begun.append(message)
            return
        body += message.get("body", b"")
        if message.get("more_body", False):
            return
        body = _HOME.sub(b"window.gradio_api_info = {};</script>", body)
        start = begun[0]
        others = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        await send({**start, "headers": [*others, (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})

    return cleaned
