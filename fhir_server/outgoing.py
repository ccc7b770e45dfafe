"""Everything that the server fetches: to checked addresses only, small, quick and without redirects (SS-1, SS-2).

A name is resolved once, every address that it has is checked, and the connection goes to a checked address: a name that
answers differently the next time (DNS rebinding) gains nothing. TLS still asks for the name. What clients and people
write into resources is never fetched; only registered key sets and configured identity providers are.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

import httpcore
import httpx

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[Address]]]

CONNECT_SECONDS: Final = 3.0
TOTAL_SECONDS: Final = 5.0
LIMIT_BYTES: Final = 64 * 2**10
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
METADATA: Final = frozenset(map(IPv4Address, ("168.63.129.16", "169.254.169.254", "100.100.100.200")))
"""Where clouds tell a machine its secrets; the first is no private address."""
SHARED: Final = IPv4Network("100.64.0.0/10")
PROTOCOLS: Final = IPv4Network("192.0.0.0/24")
GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""What IPv6 has given out (RFC 4291 §2.4); the rest is local, translated or for later."""
LAST_PORT: Final = 65_535
TRANSLATED: Final = IPv6Network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 ones (RFC 6052)."""
RESOLVING: Final = ThreadPoolExecutor(4, thread_name_prefix="resolve")
HEADERS: Final = {"User-Agent": "fhir-server", "Accept": "application/json", "Accept-Encoding": "identity"}


class FetchFailed(Exception):
    """Nothing usable came back; the message is one of a few words and holds nothing that anybody sent."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A 200 answer."""

    headers: Mapping[str, str]
    body: bytes


async def resolve(host: str, port: int) -> Sequence[Address]:
    """Return every address of a host as the system knows them; raises FetchFailed.

    Names that nobody answers for hold up only each other: the threads are this module's own.
    """
    try:
        asked = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(RESOLVING, asked)
    except (OSError, UnicodeError):
        raise FetchFailed("unknown host") from None
    return [ip_address(str(sockaddr[0])) for *_, sockaddr in found]


class Outgoing:
    """Fetches documents within limits.

    `loopback` allows this machine, by http too; `private` allows private networks as well. Link-local addresses and
    those where clouds keep secrets are never allowed.
    """

    def __init__(
        self,
        *,
        loopback: bool = False,
        private: bool = False,
        resolver: Resolver = resolve,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.loopback = loopback or private
        self.private = private
        self.resolver = resolver
        self._given_context = context

    @cached_property
    def context(self) -> ssl.SSLContext:
        """The authorities that the system trusts."""
        return self._given_context or ssl.create_default_context()

    async def fetch(self, address: str, *, limit: int = LIMIT_BYTES, seconds: float = TOTAL_SECONDS) -> Fetched:
        """Return a document; raises FetchFailed for anything but a 200 answer of at most `limit` bytes in time."""
        response = await self._exchange("GET", address, limit=limit, seconds=seconds)
        if response.status_code != httpx.codes.OK:
            raise FetchFailed("redirected" if response.has_redirect_location else "not a 200 answer")
        return Fetched(response.headers, response.content)

    async def post_form(
        self, address: str, form: Mapping[str, str], credentials: tuple[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return status and body of the answer to a form; `credentials` go by HTTP Basic. Raises FetchFailed."""
        who = httpx.Auth() if credentials is None else httpx.BasicAuth(*credentials)
        response = await self._exchange("POST", address, data=form, auth=who)
        return response.status_code, response.content

    async def _exchange(
        self, method: str, address: str, *, limit: int = LIMIT_BYTES, seconds: float = TOTAL_SECONDS, **more: Any
    ) -> httpx.Response:
        """Ask once, with no proxy or netrc of the environment and without following redirects."""
        client = httpx.AsyncClient(
            transport=CheckedTransport(self, limit),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS),
            headers=HEADERS,
        )
        try:
            async with asyncio.timeout(seconds), client:
                return await client.request(method, address, **more)
        except TimeoutError:
            raise FetchFailed("too slow") from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
            raise FetchFailed("not reachable") from None

    def may_ask(self, address: str) -> bool:
        """Say whether an address may be asked as far as its text tells: a name is looked up when it is asked."""
        try:
            url = httpx.URL(address)
            self.check_scheme(url.scheme, url.host)
        except (httpx.InvalidURL, FetchFailed):
            return False
        try:
            return self._allows(ip_address(url.host), url.host)
        except ValueError:  # a name
            return bool(url.host) and (self.loopback or url.host not in LOOPBACK)

    def check_scheme(self, scheme: str, host: str) -> None:
        """Raise FetchFailed for anything but https, and http to this machine where that is allowed."""
        if scheme == "https" or (scheme == "http" and self.loopback and host in LOOPBACK):
            return
        raise FetchFailed("not https")

    async def checked(self, host: str, port: int) -> Sequence[Address]:
        """Return the addresses of a host, all of which may be connected to; raises FetchFailed when one may not."""
        found = list(dict.fromkeys(await self.resolver(host, port))) if 0 < port <= LAST_PORT else []
        if not found:
            raise FetchFailed("unknown host")
        if not all(self._allows(address, host) for address in found):
            raise FetchFailed("not a public address")
        return found

    def _allows(self, address: Address, host: str) -> bool:
        plain = _meant(address)
        if (
            plain in METADATA
            or _is_in(plain, PROTOCOLS)
            or plain.is_multicast
            or plain.is_unspecified
            or plain.is_link_local
        ):
            return False
        if host in LOOPBACK and not plain.is_loopback:
            return False  # http is allowed by that name
        if plain.is_loopback:
            return self.loopback
        if plain.is_global and not plain.is_reserved:
            return isinstance(plain, IPv4Address) or plain in GLOBAL_UNICAST
        return self.private and (plain.is_private or _is_in(plain, SHARED))


def _is_in(address: Address, network: IPv4Network) -> bool:
    return isinstance(address, IPv4Address) and address in network


def _meant(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, if it does: mapped, translated or 6to4."""
    if isinstance(address, IPv4Address):
        return address
    if address in TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


class CheckedTransport(httpx.AsyncBaseTransport):
    """Carries requests over connections to checked addresses; counts the bytes of a body as they arrive."""

    def __init__(self, rules: Outgoing, limit: int) -> None:
        self._rules = rules
        self._limit = limit
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raises FetchFailed."""
        self._rules.check_scheme(request.url.scheme, request.url.host)
        if self._pool is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=self._rules.context, network_backend=_CheckedNetwork(self._rules)
            )
        url = request.url
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            answer = await self._pool.handle_async_request(asked)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, ssl.SSLError):
            raise FetchFailed("not reachable") from None
        if answer.headers and any(name.lower() == b"content-encoding" for name, _ in answer.headers):
            await answer.aclose()
            raise FetchFailed("compressed, though that was not asked for")
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Counted(answer, self._limit),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self._pool.aclose()


class _Counted(httpx.AsyncByteStream):
    """A body that ends with FetchFailed once it is too long; its stated length is not believed."""

    def __init__(self, answer: httpcore.Response, limit: int) -> None:
        self._answer = answer
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        try:
            async for piece in self._answer.aiter_stream():
                taken += len(piece)
                if taken > self._limit:
                    raise FetchFailed("too large")
                yield piece
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
            raise FetchFailed("not reachable") from None

    async def aclose(self) -> None:
        await self._answer.aclose()


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the address that was checked, never to a name."""

    def __init__(self, rules: Outgoing) -> None:
        self._rules = rules
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 the interface has it
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first checked address that answers."""
        failure: Exception = FetchFailed("not reachable")
        for address in await self._rules.checked(host, port):
            try:
                return await self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002 there is no such address
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Raise FetchFailed: no address leads to a socket of this machine."""
        raise FetchFailed("not https")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._network.sleep(seconds)
