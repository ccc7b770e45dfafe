"""The chain that every request to the patient graph API goes through (API document, 'Middleware Stack').

Tracing (an id for the request), rate limit, authentication, RBAC, ownership, then the handler, then the audit record,
without which no answer leaves. The limit of a user needs to know the user: before authentication it is the address that
is counted, after it the user (settled §5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

import structlog
from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from fhir_server.access import graph_extent
from fhir_server.errors import UnsupportedMediaType
from fhir_server.fhir.body import ClientGone, read_body, read_decoded
from fhir_server.fhir.json_body import JsonLimits, parse_json
from fhir_server.fhir.negotiation import require_json_body
from fhir_server.fhir.request import BIG, joined_headers, origin_of
from fhir_server.graph.call import Call
from fhir_server.graph.envelope import refused
from fhir_server.graph.errors import INTERNAL, Forbidden, Invalid, LimitReached, refusal
from fhir_server.graph.rules import Owner, Rule, rule_of
from fhir_server.graph.service import GraphService
from fhir_server.limits.addresses import network_of
from fhir_server.limits.limit import Limit
from fhir_server.limits.limiter import digest_of

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

WITH_BODY: Final = frozenset({"POST", "PATCH", "PUT"})
UNAVAILABLE: Final = 503
THROTTLED: Final = 429
"""Nothing was looked at, and a record of each refusal would cost what the limit is there to save."""
MOST_SIGNED_BYTES: Final = 262_144
"""Of a body that is read before anybody knows whose it is."""
CUSTOMER: Final = "customerId"

_log = structlog.get_logger("fhir_server.graph")


class GraphRequest(Request):
    """A request whose body is read within limits, once, and whose numbers keep their digits."""

    _parsed: Any = None
    _whole: bytes | None = None

    async def read(self, limit: int, limits: JsonLimits) -> None:
        """Read and parse the body; raises what is wrong with it."""
        headers = joined_headers(self.scope["headers"])
        require_json_body(headers.get("content-type", ""), headers.get("content-encoding", ""))
        self._whole = await read_decoded(self.receive, headers, limit)
        if len(self._whole) > BIG:
            self._parsed = await asyncio.to_thread(parse_json, self._whole, limits)
        else:
            self._parsed = parse_json(self._whole, limits)

    async def read_as_sent(self, limit: int) -> None:
        """Read a body that is signed as it is sent, without looking at it; raises what is wrong with its headers."""
        headers = joined_headers(self.scope["headers"])
        require_json_body(headers.get("content-type", ""), headers.get("content-encoding", ""))
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMediaType("A signed body is sent as it is, without Content-Encoding.")
        self._whole = await read_body(self.receive, headers.get("content-length"), limit)

    async def body(self) -> bytes:
        """Return the body that was read; nothing before that."""
        return self._whole or b""

    async def json(self) -> Any:
        """Return the parsed body."""
        return self._parsed


class GraphRoute(APIRoute):
    """An endpoint with its rule; what is not decorated with `guarded` is not served."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.rule: Rule = rule_of(endpoint)
        self._begins = path.partition("{")[0]
        super().__init__(path, endpoint, **options)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether the endpoint is asked for; most are not, which is seen from the beginning of the address."""
        return super().matches(scope) if scope["path"].startswith(self._begins) else (Match.NONE, {})

    def get_route_handler(self) -> Handler:
        """Return the chain around the handler."""
        handler = super().get_route_handler()
        names = frozenset(_parameters(self.dependant))

        async def handle(request: Request) -> Response:
            asked = GraphRequest(request.scope, request.receive)
            call = opened(asked, asked.app.state.service, self.rule, f"/graph{self.path_format}")
            asked.state.call = call
            return await answered(call, lambda: _guarded(asked, call, names, handler))

        return handle


def _parameters(dependant: Dependant) -> Iterator[str]:
    """Yield the names of the query parameters of an endpoint and of all that it depends on."""
    yield from (each.alias for each in dependant.query_params)
    for other in dependant.dependencies:
        yield from _parameters(other)


def opened(request: Request, service: GraphService, rule: Rule | None, path: str) -> Call:
    """Return the call of a request, which has its id from here on."""
    origin = origin_of(request.scope, joined_headers(request.scope["headers"]))
    return Call(origin, service, rule, path, service.settings.organization)


async def answered(call: Call, handle: Callable[[], Coroutine[Any, Any, Response]]) -> Response:
    """Return the answer of `handle`, which is on record when this returns; errors become envelopes here."""
    try:
        response = await handle()
    except ClientGone:
        return Response(status_code=400)  # nobody reads it
    except Exception as error:  # noqa: BLE001 the one place where errors become answers
        response = _failed(call, error)
    if not call.recorded and response.status_code < UNAVAILABLE and response.status_code != THROTTLED:
        try:
            await call.service.audit.record(call.record(response.status_code))
        except Exception as failure:  # noqa: BLE001 no answer leaves without its record
            response = _failed(call, failure)
    response.headers["X-Request-Id"] = call.origin.request_id
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Authorization, Origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if call.standing is not None:
        response.headers["X-RateLimit-Limit"] = str(call.standing.limit)
        response.headers["X-RateLimit-Remaining"] = str(call.standing.remaining)
        response.headers["X-RateLimit-Reset"] = str(call.standing.reset_at)
    return response


def _failed(call: Call, error: Exception) -> Response:
    told = refusal(error)
    if told.status >= INTERNAL:
        _log.error(
            "request_failed",
            error=type(error).__name__,
            status=told.status,
            request_id=call.origin.request_id,
            exc_info=error if told.status == INTERNAL else None,
        )
    return refused(told, call.origin.request_id)


async def _guarded(request: GraphRequest, call: Call, names: frozenset[str], handler: Handler) -> Response:
    rule = call.rule
    if rule is None:
        raise Forbidden
    if rule.signed:
        await limited(call, "webhook", call.origin.address, call.service.settings.graph_webhook_limit)
        _require_plain(request, names)
        await request.read_as_sent(MOST_SIGNED_BYTES)
        return await handler(request)
    await limited(call, "address", call.origin.address, call.service.settings.graph_address_limit)
    await authenticated(request, call)
    authorised(call, rule)
    await _owned(request, call, rule, names)
    return await handler(request)


async def limited(call: Call, what: str, who: str, limit: Limit | None) -> None:
    """Count a request of `who`; raises LimitReached."""
    if limit is None:
        return
    counted = who if what == "user" else network_of(who)
    standing = await call.service.limiter.hit(f"graph:{what}:{digest_of(counted)}", limit)
    call.standing = standing  # that of the address until it is known who asks
    if not standing.allowed:
        raise LimitReached(standing)


async def authenticated(request: Request, call: Call) -> None:
    """Learn who asks, and count the request of theirs; raises Unauthenticated and LimitReached."""
    headers, query = request.scope["headers"], request.scope["query_string"]
    caller = await call.service.authenticator.internal_caller(headers, query)
    call.known = caller
    call.organization_id = caller.organization_id
    await limited(call, "user", f"{caller.organization_id} {caller.subject}", call.service.settings.graph_user_limit)


def authorised(call: Call, rule: Rule) -> None:
    """Look the caller up in the matrix; raises Forbidden."""
    call.extent = graph_extent(call.caller, rule.resource, rule.action)
    if call.extent is None:
        raise Forbidden


async def _owned(request: GraphRequest, call: Call, rule: Rule, names: frozenset[str]) -> None:
    """Hold what a bound caller names against whom it is bound to; raises Forbidden.

    Bodies are read here, before the handler: so a foreign customer is refused whatever else the body says.
    """
    settings = call.service.settings
    if call.is_bound:
        call.own = await call.service.own_customer(call.caller)
    match rule.owner:
        case Owner.NOBODY if call.is_bound:
            raise Forbidden
        case Owner.QUERY:
            for named in request.query_params.getlist(CUSTOMER):
                call.require_own(named)
        case Owner.PATH:
            call.require_own(request.path_params["id"])
        case _:
            pass
    _require_plain(request, names)
    if request.method in WITH_BODY:
        await request.read(settings.max_body_bytes, JsonLimits(settings.max_json_depth, settings.max_json_nodes))
        body = await request.json()
        if rule.owner is Owner.BODY and isinstance(body, dict) and CUSTOMER in body:
            call.require_own(body[CUSTOMER])


def _require_plain(request: Request, names: frozenset[str]) -> None:
    """Raise Invalid for a parameter that is not known, or comes twice: none is ignored silently.

    So it does for U+0000, which no database takes (security IN-8).
    """
    pairs = request.query_params.multi_items()
    found = dict(pairs)
    for name in found:
        if name not in names:
            raise Invalid("Unrecognized parameter", ("query", name))
    if len(found) != len(pairs):
        raise Invalid("Give each parameter once", ("query",))
    for place, given in (("query", found), ("path", request.path_params)):
        for name, value in given.items():
            if "\0" in value:
                raise Invalid("may not hold U+0000", (place, name))
