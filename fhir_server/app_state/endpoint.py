"""States of apps as an ASGI application, behind a gate of its own (`smart.md` §17, ST6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from fhir_server.app_state.call import Call, call_of, record_of
from fhir_server.app_state.interactions import OF_STATE, OF_TYPE, Interaction
from fhir_server.errors import UnknownAddress
from fhir_server.fhir.body import ClientGone, Receive
from fhir_server.fhir.dispatch import failed
from fhir_server.fhir.response import Response
from fhir_server.oauth.service import OAuthService
from fhir_server.outcome import CONTENT_TYPE

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

COMMON: Final = {
    "Cache-Control": "no-store",
    "Vary": "Accept, Authorization, Origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
UNAVAILABLE: Final = 503
_BODY_UNREAD: Final = frozenset({408, 413})


class AppStateApplication:
    """Everything under the base of states, from `start` on. One per worker."""

    def __init__(self) -> None:
        self._service: OAuthService | None = None

    def start(self, service: OAuthService) -> None:
        """Take the parts of the worker that is open now."""
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if self._service is None:
            raise RuntimeError("states are asked for before the application has started")
        call = call_of(scope, receive)
        try:
            response = await _answer(call, self._service)
        except ClientGone:
            return
        await _send(send, call, response)

    async def refuse(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request with an error, without looking at it; nothing is accessed, so nothing is recorded."""
        call = call_of(scope, receive)
        await _send(send, call, failed(error, call.origin))


async def _answer(call: Call, service: OAuthService) -> Response:
    """Return the answer to a request; errors become OperationOutcomes here, and are on record."""
    try:
        if call.method == "OPTIONS":
            return _methods(call)
        call.caller = await service.authenticator.caller(call.raw_headers, call.raw_query)
        return await Interaction(call, call.caller, service).answer()
    except ClientGone:
        raise
    except Exception as error:  # noqa: BLE001 the one place where errors become answers
        response = failed(error, call.origin)
        if response.status >= UNAVAILABLE:
            return response  # nothing was done or shown, and what failed is most likely the place to record it
        try:
            await service.audit.record(record_of(call, response.status, service.settings.organization))
        except Exception as failure:  # noqa: BLE001 no answer leaves without its record
            return failed(failure, call.origin)
        return response


def _methods(call: Call) -> Response:
    if not call.is_type and call.state_id is None:
        return failed(UnknownAddress("Nothing is served at this address; states are at /app-state/Basic."), call.origin)
    return Response(204, b"", {"Allow": ", ".join(OF_TYPE if call.is_type else OF_STATE)})


async def _send(send: Send, call: Call, response: Response) -> None:
    headers = COMMON | {"X-Request-Id": call.origin.request_id} | response.headers
    if response.body:
        headers["Content-Type"] = CONTENT_TYPE
    if response.status != 204:
        headers["Content-Length"] = str(len(response.body))
    if response.status in _BODY_UNREAD:
        headers["Connection"] = "close"
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if call.method == "HEAD" else response.body})
