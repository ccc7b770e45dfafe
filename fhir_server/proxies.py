"""Who asks, behind reverse proxies that the operator named (security RL-1, IN-8).

Only the address of the peer is taken from them: our own address is configured, whatever they say of host and scheme.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

Address = IPv4Address | IPv6Address

HEADER: Final = b"x-forwarded-for"


class Proxies:
    """The networks whose word on where a request comes from is believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(each) for each in networks)

    def client(self, scope: MutableMapping[str, Any]) -> tuple[str, int] | None:
        """Return address and port of whoever asks, as ASGI's `client`.

        Each proxy adds the address of its peer at the end of X-Forwarded-For; so it is read from there, and no further
        than a proxy says it that is believed. What is before that anybody may have written.
        """
        peer: tuple[str, int] | None = scope.get("client")
        nearest = _address(peer[0]) if peer else None
        if peer is None or nearest is None or not self._believes(nearest):
            return peer
        values = [value.decode("latin-1") for name, value in scope["headers"] if name == HEADER]
        for text in reversed(",".join(values).split(",")):
            told = _address(text)
            if told is None:
                break
            nearest = told
            if not self._believes(nearest):
                break
        return str(nearest), 0

    def _believes(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _address(text: str) -> Address | None:
    """Return an address that may have a port; an IPv4 address that was mapped into IPv6 is that IPv4 address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
