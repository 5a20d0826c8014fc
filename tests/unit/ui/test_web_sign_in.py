"""How long a guess waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from mmdemo.ui.web import sign_in
from mmdemo.ui.web.sign_in import LONGEST_USER_WAIT, LONGEST_WAIT, WAITING_EACH, Password


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were waited; the clock of the passwords below runs on by them."""
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        if seconds > 0:
            waited.append(seconds)

    monkeypatch.setattr(Password, "_wait", staticmethod(wait))
    return waited


def guess(password: Password, address: str, user: str, word: str) -> bool:
    async def ask() -> bool:
        sign_in._address.set(address)
        return await password.check(user, word)

    return asyncio.run(ask())


def test_only_both_right_are_right() -> None:
    password = Password("ann", "secret")
    assert guess(password, "a", "ann", "secret")
    for user, word in (("ann", "Secret"), ("Ann", "secret"), ("", ""), ("ann\0sec", "ret"), ("annsecret", "")):
        assert not guess(Password("ann", "secret"), "b", user, word)


def test_waits_double_and_are_bounded(waits: list[float]) -> None:
    password = Password("ann", "secret", clock=lambda: sum(waits))
    for number in range(12):
        guess(password, "a", f"user{number}", "wrong")
    assert waits == sorted(waits)
    assert waits[:3] == [0.5, 1, 2]
    assert waits[-1] == LONGEST_WAIT


def test_the_right_one_elsewhere_waits_little_and_where_known_not_at_all(waits: list[float]) -> None:
    password = Password("ann", "secret", clock=lambda: sum(waits))
    for number in range(40):
        guess(password, f"attacker {number}", "ann", "wrong")
    assert max(waits) <= LONGEST_USER_WAIT
    waits.clear()
    assert guess(password, "home", "ann", "secret")
    assert sum(waits) <= LONGEST_USER_WAIT
    waits.clear()
    assert guess(password, "home", "ann", "secret")
    assert waits == []


def test_wrong_guesses_are_forgotten(waits: list[float]) -> None:
    now = [0.0]
    password = Password("ann", "secret", clock=lambda: now[0])
    for _ in range(5):
        guess(password, "a", "ann", "wrong")
    now[0] = 2000.0
    waits.clear()
    guess(password, "a", "ann", "wrong")
    assert waits == []


def test_few_may_wait_at_once() -> None:
    password = Password("ann", "secret")

    async def many() -> list[Any]:
        sign_in._address.set("a")
        for _ in range(4):
            await password.check("bob", "wrong")
        tries: list[Coroutine[Any, Any, bool]] = [password.check("ann", "wrong") for _ in range(WAITING_EACH + 3)]
        tasks = [asyncio.ensure_future(one) for one in tries]
        await asyncio.sleep(0.1)
        refused = [task.exception() for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return refused

    refused = asyncio.run(many())
    assert len(refused) == 3
    assert all(isinstance(error, HTTPException) and error.status_code == 429 for error in refused)
