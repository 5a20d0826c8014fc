"""Who asks, directly and through proxies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.ui.web.addresses import Forwarded, Trust, client_address, parse_proxies
from mmdemo.ui.web.protocol import Doorkeeper

TOLD = {
    "x-forwarded-for": "203.0.113.9, 198.51.100.7",
    "x-forwarded-host": "page.example",
    "x-forwarded-proto": "https",
    "x-gradio-server": "https://evil.example",
    "x-forwarded-port": "443",
    "forwarded": "for=1.2.3.4",
}


def through(trust: Trust, peer: str, **headers: str) -> dict[str, Any]:
    """What stands behind gets to see."""
    seen: list[dict[str, Any]] = []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    told = {**TOLD, **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode()) for name, value in {"host": "10.0.0.1:7860", **told}.items()]
    scope = {"type": "http", "scheme": "http", "client": (peer, 5), "headers": raw}
    asyncio.run(Forwarded(behind, trust=trust)(scope, None, None))  # type: ignore[arg-type]
    (found,) = seen
    return {**found, "headers": dict(found["headers"])}


def test_a_strangers_word_counts_for_nothing() -> None:
    for trust in (Trust(), Trust(proxies=parse_proxies(["10.0.0.0/8"])), Trust(tunnel=True)):
        seen = through(trust, "192.0.2.1")
        assert seen["headers"] == {b"host": b"10.0.0.1:7860"}
        assert (seen["scheme"], client_address(seen)) == ("http", "192.0.2.1")


def test_nor_does_this_machines_own_unless_it_was_named() -> None:
    assert client_address(through(Trust(), "127.0.0.1")) == "127.0.0.1"


def test_a_named_proxy_is_believed() -> None:
    trust = Trust(proxies=parse_proxies(["10.0.0.0/8", "198.51.100.7"]))

    seen = through(trust, "10.1.2.3")

    assert seen["headers"] == {b"host": b"page.example"}
    assert seen["scheme"] == "https"
    assert client_address(seen) == "203.0.113.9"  # the last that is none of ours


@pytest.mark.parametrize("chain", ["", "unknown", "10.0.0.1", "x, 10.0.0.1", "<script>"])
def test_a_chain_without_a_visitor_leaves_the_proxy(chain: str) -> None:
    trust = Trust(proxies=parse_proxies(["10.0.0.0/8"]))
    assert client_address(through(trust, "10.1.2.3", x_forwarded_for=chain)) == "10.1.2.3"


def test_the_tunnel_may_tell_visitor_scheme_and_the_one_name_it_was_given() -> None:
    trust = Trust(tunnel=True)
    seen = through(trust, "127.0.0.1")
    assert client_address(seen) == "198.51.100.7"
    assert (seen["scheme"], seen["headers"]) == ("https", {b"host": b"10.0.0.1:7860"})

    trust.tunnel_host = "page.example"
    assert through(trust, "127.0.0.1")["headers"] == {b"host": b"page.example"}


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 5), "2001:db8:1:2::/64"),
        (("::ffff:192.0.2.1", 5), "192.0.2.1"),
        (("fe80::1%eth0", 5), "fe80::/64"),
        (("::1", 5), "::1"),
        (None, ""),
    ],
)
def test_one_household_is_one_address(client: tuple[str, int] | None, address: str) -> None:
    assert client_address({"client": client}) == address


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(MmdemoError, match=r"--proxy proxy\.example cannot be used"):
        parse_proxies(["127.0.0.1", "proxy.example"])


def test_the_doorkeeper_counts_by_address_but_a_relay_brings_many() -> None:
    keeper = Doorkeeper(Trust(proxies=parse_proxies(["10.0.0.1"])), per_address=2, in_all=6)
    assert [keeper.admit("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [keeper.admit("10.0.0.1") for _ in range(5)] == [True, True, True, True, False]
    keeper.leave("192.0.2.1")
    assert [keeper.admit("192.0.2.1"), keeper.admit("192.0.2.2")] == [True, False]
