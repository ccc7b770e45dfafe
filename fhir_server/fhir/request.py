"""A request as the interactions see it: addressed, authenticated, its parts read when they are asked for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from random import getrandbits
from typing import Any, Final

from fhir_server.errors import MalformedBody
from fhir_server.fhir.body import Receive, read_decoded
from fhir_server.fhir.json_body import JsonLimits, parse_json
from fhir_server.fhir.negotiation import Pairs, Preferences, preferences, require_form_body, require_json_body
from fhir_server.fhir.parse.search import parse_pairs
from fhir_server.fhir.routing import Route
from storage.access import Access

BIG: Final = 256 * 1024
"""Bodies above it are parsed and validated off the event loop (security IN-2)."""
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._\-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from; the audit names it."""

    request_id: str
    method: str
    address: str
    user_agent: str


def joined_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name, repeated ones joined by commas (RFC 9110 §5.3)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def origin_of(scope: Mapping[str, Any], headers: Mapping[str, str]) -> Origin:
    """Return where a request of an ASGI scope came from; `headers` are those of `joined_headers`."""
    client = scope.get("client")
    return Origin(
        request_id=_request_id(headers.get("x-request-id")),
        method=scope["method"],
        address=client[0] if client else "",
        user_agent=headers.get("user-agent", ""),
    )


def _request_id(sent: str | None) -> str:
    """Return the id that the client gave the request, or a new one (H10)."""
    if sent is not None and _REQUEST_ID.match(sent):
        return sent
    return f"{getrandbits(64):016x}"


@dataclass(slots=True)
class Body:
    """The body of a request, read and parsed once."""

    data: bytes
    value: Any


@dataclass
class FhirRequest:
    """One request, or one entry of a batch or transaction.

    `headers` has lower-case names; headers that came several times are joined by commas. `given` is the resource of an
    entry, which was parsed with its bundle.
    """

    route: Route
    access: Access
    origin: Origin
    query: str
    headers: Mapping[str, str]
    receive: Receive
    limits: JsonLimits
    given: Any = None
    entry: int | None = None
    """The place in the bundle that brought it; None for a request of its own."""
    _body: Body | None = field(default=None, repr=False)
    _pairs: Pairs | None = field(default=None, repr=False)

    @property
    def pairs(self) -> Pairs:
        """The parameters of the query, and of the form once it is read; raises InvalidParameter when not UTF-8."""
        if self._pairs is None:
            self._pairs = parse_pairs(self.query) if self.query else ()
        return self._pairs

    @cached_property
    def preferences(self) -> Preferences:
        """What the `Prefer` headers ask for."""
        return preferences(self.headers.get("prefer", ""))

    async def json(self, limit: int, require: Callable[[str, str], None] = require_json_body) -> Body:
        """Return the body, parsed; `require` checks its kind and encoding.

        Raises UnsupportedMediaType, BodyTooLarge and what is wrong with the JSON.
        """
        if self._body is None:
            self._body = await self._read_json(limit, require)
        return self._body

    async def _read_json(self, limit: int, require: Callable[[str, str], None]) -> Body:
        if self.entry is not None:
            return Body(b"", self.given)
        require(self.headers.get("content-type", ""), self.headers.get("content-encoding", ""))
        data = await read_decoded(self.receive, self.headers, limit)
        if not data:
            raise MalformedBody("The body is empty: send a resource.")
        if len(data) > BIG:
            return Body(data, await asyncio.to_thread(parse_json, data, self.limits))
        return Body(data, parse_json(data, self.limits))

    async def read_form(self, limit: int) -> None:
        """Add the parameters of a search by POST to those of its query: both apply (S1).

        Raises UnsupportedMediaType, BodyTooLarge, MalformedBody and InvalidParameter.
        """
        if self.origin.method != "POST" or self.entry is not None:
            return
        kind, encoding = self.headers.get("content-type", ""), self.headers.get("content-encoding", "")
        if kind or encoding:
            require_form_body(kind, encoding)
        data = await read_decoded(self.receive, self.headers, limit)
        if data:
            require_form_body(kind, encoding)
        try:
            self._pairs = self.pairs + parse_pairs(data.decode("utf-8"))
        except UnicodeDecodeError:
            raise MalformedBody("The form must be UTF-8.") from None
