"""Which address a limit counts: of IPv6 the network, since one subscriber has 2^64 addresses to ask from (RFC 6177)."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Final

NETWORK_BITS: Final = 64


def network_of(address: str) -> str:
    """Return an IPv4 address, or anything that is no address, as it is, and of an IPv6 address its first 64 bits."""
    if ":" not in address:
        return address
    try:
        whole = IPv6Address(address)
    except ValueError:
        return address
    if whole.ipv4_mapped is not None:
        return str(whole.ipv4_mapped)
    return str(IPv6Address(int(whole) >> NETWORK_BITS << NETWORK_BITS))
