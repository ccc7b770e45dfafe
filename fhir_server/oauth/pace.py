"""How often strangers may make the server write: requests that begin and clients that are refused (security RL-1).

Neither needs anybody to be signed in, and each leaves a row behind. Counted per network and minute in the memory of
each worker: what is refused here shall cost less than what it would have cost.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

from starlette.requests import Request

from fhir_server.oauth.errors import TooManyAttempts

WINDOW_SECONDS: Final = 60
MOST: Final = 600
"""Of each kind, from one network within a minute: ten in a second, more than the people of a hospital begin."""
MOST_KNOWN: Final = 10_000
AUTHORIZE: Final = "authorize"
REFUSED: Final = "refused"
PREFIX_BITS: Final = 64
"""What one customer is given of IPv6 at the least (RFC 6177): whoever has it has every address of it."""


def network_of(request: Request) -> str:
    """Return what attempts from the peer are counted under: its IPv4 address, or the network of its IPv6 one."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:  # a socket of this machine
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), PREFIX_BITS), strict=False))


class Pace:
    """What came within the present minute. One per worker; bounded: whoever came longest ago makes room."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._counts: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def require(self, request: Request, what: str, now: int) -> None:
        """Count one more from the peer's network, `now` in seconds; raises TooManyAttempts for one too many."""
        key = (what, network_of(request))
        begun, count = self._counts.get(key, (now, 0))
        if not begun <= now < begun + WINDOW_SECONDS:
            begun, count = now, 0
        if count >= self._most:
            raise TooManyAttempts(begun + WINDOW_SECONDS - now)
        self._counts[key] = begun, count + 1
        self._counts.move_to_end(key)
        if len(self._counts) > MOST_KNOWN:
            self._counts.popitem(last=False)
