"""The FHIR interface as an ASGI application: from bytes to request, from response to bytes (FHIR R4 http.html).

It is plain ASGI because every read passes here (design Decision 9). Errors become OperationOutcomes in one place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter, time
from typing import Any, Final

import msgspec

from fhir_server.errors import HeadersTooLarge, InteractionNotSupported, Throttled
from fhir_server.fhir.body import ClientGone, Receive
from fhir_server.fhir.dispatch import answer, failed, failed_on_record
from fhir_server.fhir.interactions.bundle import bundle
from fhir_server.fhir.interactions.capabilities import capabilities
from fhir_server.fhir.negotiation import (
    ACCEPT_PATCH,
    Pairs,
    check_version,
    first,
    pretty,
    require_json_acceptable,
    takes_gzip,
)
from fhir_server.fhir.packing import LEAST_PACKED, packed
from fhir_server.fhir.parse.search import parse_pairs
from fhir_server.fhir.request import FhirRequest, joined_headers, origin_of
from fhir_server.fhir.response import Response
from fhir_server.fhir.routing import Interaction, Route, methods_at, route
from fhir_server.fhir.service import Service
from fhir_server.limits.clients import ClientLimits, rate_limit_headers
from fhir_server.metrics import observe
from fhir_server.oauth.authenticate import Authenticator
from fhir_server.outcome import outcome_for
from storage.access import Access
from storage.search.agreement import with_agreed

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CONTENT_TYPE: Final = (b"content-type", b"application/fhir+json; charset=utf-8")
_COMMON: Final = (
    (b"cache-control", b"no-store"),
    (b"vary", b"Accept, Accept-Encoding, Authorization, Origin, Prefer"),
    (b"x-content-type-options", b"nosniff"),
)
NO_HEADERS: Final[dict[str, str]] = {}
_BODY_UNREAD: Final = frozenset({408, 413})
_REFUSED_METHODS: Final = frozenset({"TRACE", "CONNECT"})


class FhirApplication:
    """Everything under the FHIR base, from `start` on. One per worker."""

    def __init__(self, path: str) -> None:
        self._prefix = len(path)
        self._service: Service | None = None
        self._authenticator: Authenticator | None = None

    def start(self, service: Service, authenticator: Authenticator) -> None:
        """Take the parts of the worker that is open now."""
        self._service, self._authenticator = service, authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = perf_counter()
        call = _Call(scope, receive, self._prefix)
        try:
            response = await self._answer(call)
        except ClientGone:
            return
        observe(call.route, response.status, perf_counter() - started)
        await _send(send, call, response)

    async def refuse(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request with an error, without looking at it; nothing is accessed, so nothing is recorded."""
        call = _Call(scope, receive, self._prefix)
        status, headers, body = outcome_for(error, call.origin.request_id)
        observe(None, status, 0.0)
        await _send(send, call, Response(status, body, headers))

    async def _answer(self, call: _Call) -> Response:
        service, authenticator = self._service, self._authenticator
        if service is None or authenticator is None:
            raise RuntimeError("the FHIR interface is called before the application has started")
        try:
            if call.size > service.settings.max_header_bytes:
                raise HeadersTooLarge(service.settings.max_header_bytes)
            if call.method == "OPTIONS":
                return _methods(call)
            if call.path.removesuffix("/") == "metadata":
                return _metadata(call, service)
            call.access = await authenticator.access(call.raw_headers, call.raw_query)
            if service.client_limits is not None and service.client_limits.is_on:
                await _count(call, service.client_limits, call.access)
            call.access = await with_agreed(service.database, call.access)
            return await _interact(call, service, call.access)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 the one place where errors become answers
            return await failed_on_record(error, call.origin, service, call.access, call.route)


async def _count(call: _Call, limits: ClientLimits, access: Access) -> None:
    """Count the request against the limit of its client (RL-1); raises Throttled."""
    counted = await limits.hit(access.client_id)
    if counted is not None:
        limit, standing = counted
        call.limit_headers = rate_limit_headers(limit, standing, time())
        if not standing.allowed:
            raise Throttled(standing.retry_after)


def _methods(call: _Call) -> Response:
    methods = methods_at(call.path)
    patches = {"Accept-Patch": ACCEPT_PATCH} if "PATCH" in methods else {}
    return Response(204, b"", {"Allow": ", ".join(methods), **patches})


def _metadata(call: _Call, service: Service) -> Response:
    try:
        call.route = route(call.method, call.path)
        pairs = call.negotiate()
        return capabilities(service.settings, pairs, call.headers.get("if-none-match", ""))
    except Exception as error:  # noqa: BLE001 nothing is accessed here, so there is nothing to put on record
        return failed(error, call.origin)


async def _interact(call: _Call, service: Service, access: Access) -> Response:
    if call.method in _REFUSED_METHODS:
        raise InteractionNotSupported(methods_at(call.path))
    call.route = route(call.method, call.path)
    call.negotiate()
    request = FhirRequest(
        route=call.route,
        access=access,
        origin=call.origin,
        query=call.query,
        headers=call.headers,
        receive=call.receive,
        limits=service.limits,
    )
    if call.route.interaction is Interaction.BUNDLE:
        return await bundle(request, service)
    return await answer(request, service)


class _Call:
    """One HTTP request as it came; what is learnt about it on the way is kept for the audit of failures."""

    __slots__ = (
        "access",
        "headers",
        "limit_headers",
        "method",
        "origin",
        "path",
        "pretty",
        "query",
        "raw_headers",
        "raw_query",
        "receive",
        "route",
        "size",
    )

    def __init__(self, scope: Scope, receive: Receive, prefix: int) -> None:
        self.receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"][prefix:].removeprefix("/")
        self.raw_headers = scope["headers"]
        self.raw_query: bytes = scope["query_string"]
        self.query = self.raw_query.decode("latin-1")
        self.headers = joined_headers(self.raw_headers)
        fields = sum(len(name) + len(value) for name, value in self.raw_headers)
        self.size = fields + len(self.raw_query) + len(self.path)
        self.origin = origin_of(scope, self.headers)
        self.pretty = False
        self.limit_headers = NO_HEADERS
        self.access: Access | None = None
        self.route: Route | None = None

    def negotiate(self) -> Pairs:
        """Check that the client takes what is served (H3, H6) and return the query, where it was looked at.

        Raises NotAcceptable and InvalidParameter.
        """
        is_general = "_" in self.query or "fhirVersion" in self.query or self.path.startswith("metadata")
        pairs: Pairs = parse_pairs(self.query) if is_general else ()
        self.pretty = pretty(pairs)
        check_version(first(pairs, "fhirVersion"))
        if self.route is None or not self.route.template.endswith("/_search"):
            require_json_acceptable(self.headers.get("accept", ""), first(pairs, "_format"))
        return pairs


async def _send(send: Send, call: _Call, response: Response) -> None:
    body = msgspec.json.format(response.body, indent=2) if call.pretty and response.body else response.body
    headers = [*_COMMON, (b"x-request-id", call.origin.request_id.encode())]
    if len(body) >= LEAST_PACKED and takes_gzip(call.headers.get("accept-encoding", "")):
        body = response.gzipped if response.gzipped and not call.pretty else await packed(body)
        headers.append((b"content-encoding", b"gzip"))
    if body:
        headers.append(CONTENT_TYPE)
    if response.status not in {204, 304}:
        headers.append((b"content-length", str(len(body)).encode()))
    for name, value in (response.headers | call.limit_headers if call.limit_headers else response.headers).items():
        if name != "Content-Type":
            headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))
    if response.status in _BODY_UNREAD:  # so the connection cannot be used again
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if call.method == "HEAD" else body})
