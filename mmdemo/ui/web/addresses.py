"""Who asks: the address of the other machine, also behind a proxy that was named.

Whatever a request says of itself in ``X-Forwarded-*`` can be written by anybody. It is taken from a proxy that was
named on the command line (and from the tunnel of ``--share``, which ends on this machine) and from nobody else.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mmdemo.core.errors import MmdemoError
from mmdemo.ui.web.asgi import Application, Receive, Scope, Send, refuse

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_DROPPED = (b"x-forwarded-", b"x-gradio-server")
_DROPPED_WHOLE = frozenset({b"forwarded", b"x-real-ip"})


def parse_proxies(values: Sequence[str]) -> tuple[Network, ...]:
    """Addresses or networks (``10.0.0.0/8``) of proxies.

    Raises:
        MmdemoError: One is neither.
    """
    found: list[Network] = []
    for value in values:
        try:
            found.append(ipaddress.ip_network(value.strip()))
        except ValueError:
            raise MmdemoError(
                f"--proxy {value} cannot be used", "it is no IP address", "Write an address such as --proxy 127.0.0.1"
            ) from None
    return tuple(found)


def client_address(scope: Scope) -> str:
    """Whose limits a request counts for.

    Call it behind :class:`Forwarded`, which puts the visitor in the place of a named proxy.

    Args:
        scope: ASGI scope of the request.

    Returns:
        The IPv4 address, the first 64 bits of the IPv6 address (one household or server has all that begin with
        them), or "" where the server knows no address.
    """
    client = scope.get("client")
    return group_of(str(client[0])) if client else ""


def group_of(address: str) -> str:
    """The same for an address in words; what is no address stays as it is."""
    try:
        parsed = _parsed(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address) and not parsed.is_loopback:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _parsed(address: str) -> _Address:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed


@dataclass(slots=True)
class Trust:
    """Whose word about the visitor is taken.

    Attributes:
        proxies: Networks of the named proxies; they may tell address, name and scheme.
        tunnel: Whether a tunnel for a public link ends on this machine; it may tell address and scheme.
        tunnel_host: Name of the public link once it is known: the one other name that the tunnel may tell.
    """

    proxies: tuple[Network, ...] = ()
    tunnel: bool = False
    tunnel_host: str = field(default="")

    def relays(self, address: str) -> bool:
        """Whether requests from this address come for somebody else."""
        return self._within(address, self.proxies + (_LOOPBACK if self.tunnel else ()))

    def may_name(self, address: str, host: str) -> bool:
        """Whether this relay may say that the page was asked for by this name."""
        return self._within(address, self.proxies) or (bool(self.tunnel_host) and host == self.tunnel_host)

    @staticmethod
    def _within(address: str, networks: tuple[Network, ...]) -> bool:
        try:
            parsed = _parsed(address)
        except ValueError:
            return False
        return any(parsed in network for network in networks)


class Forwarded:
    """ASGI middleware: the request as the visitor sent it, and no ``X-Forwarded-*`` for anything behind.

    From a trusted relay, the scope's client, scheme and ``Host`` become those that the relay tells; from anybody else
    nothing of the kind is looked at. A ``Host`` that is no name gets 400.

    Args:
        app: What stands behind it.
        trust: Whose word is taken.
    """

    def __init__(self, app: Application, *, trust: Trust) -> None:
        self.app = app
        self.trust = trust

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope = self.seen_from_outside(scope)
            hosts = [value for name, value in scope["headers"] if name == b"host"]
            if len(hosts) > 1 or not all(_HOST.fullmatch(host.decode("latin-1")) for host in hosts):
                await refuse(send, 400, "This is not a valid name for a page")
                return
        await self.app(scope, receive, send)

    def seen_from_outside(self, scope: Scope) -> Scope:
        """A copy of the scope without headers about forwarding, after those of a trusted relay were applied."""
        told: dict[bytes, list[str]] = {}
        kept: list[tuple[bytes, bytes]] = []
        for name, value in scope["headers"]:
            if name.startswith(_DROPPED) or name in _DROPPED_WHOLE:
                told.setdefault(name, []).extend(part.strip() for part in value.decode("latin-1").split(","))
            else:
                kept.append((name, value))
        scope = {**scope, "headers": kept}
        relay = str((scope.get("client") or ("",))[0])
        if told and self.trust.relays(relay):
            self._apply(scope, told, relay)
        return scope

    def _apply(self, scope: Scope, told: dict[bytes, list[str]], relay: str) -> None:
        if visitor := self._visitor(told.get(b"x-forwarded-for", [])):
            scope["client"] = (visitor, 0)
        scheme = next(iter(told.get(b"x-forwarded-proto", [])), "")
        if scheme in ("http", "https"):
            scope["scheme"] = scheme
        host = next(iter(told.get(b"x-forwarded-host", [])), "")
        if host and self.trust.may_name(relay, host):
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope["headers"] = [(b"host", host.encode("latin-1")), *others]

    def _visitor(self, chain: list[str]) -> str:
        """The last address that no relay of ours has: each relay appends whom it heard it from."""
        for place in reversed(chain):
            bare = place.strip("[]") if place.count(":") != 1 else place.partition(":")[0]
            try:
                address = str(_parsed(bare))
            except ValueError:
                return ""
            if not self.trust.relays(address):
                return address
        return ""
