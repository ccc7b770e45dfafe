"""OAuth endpoints that speak JSON: one wrapper that turns errors into RFC 6749 answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fhir_server.errors import MalformedAuthorization, NotAuthorised, Unauthenticated
from fhir_server.oauth.errors import InvalidRequest, InvalidToken, OAuthError
from fhir_server.oauth.keys import KeyUnreadable, NoSigningKey
from storage.errors import AuditUnavailable, ConcurrencyConflict, DatabaseUnavailable

Handler = Callable[[Request], Awaitable[Response]]

NO_STORE: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Pragma": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
RETRY_SECONDS: Final = 2
UNAVAILABLE: Final = (DatabaseUnavailable, AuditUnavailable, ConcurrencyConflict, NoSigningKey, KeyUnreadable)
"""What passes, or is the operator's to mend; readiness tells of it."""

log = structlog.get_logger("fhir_server.oauth")


def answer(document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer that nobody keeps (RFC 6749 §5.1)."""
    return JSONResponse(dict(document), status_code=status, headers={**NO_STORE, **(headers or {})})


def refusal(error: OAuthError) -> Response:
    """Return the answer to a refused request (RFC 6749 §5.2)."""
    return answer({"error": error.code, "error_description": error.description}, error.status, error.headers)


class OwnRoute(Route):
    """An address of ours: another method is 405, and nobody keeps that either (RFC 9110 §15.5.6)."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for the address."""
        methods = self.methods or set()
        if scope["method"] in methods:
            await super().handle(scope, receive, send)
            return
        headers = {**NO_STORE, "Allow": ", ".join(sorted(methods))}
        await PlainTextResponse("Method Not Allowed", 405, headers)(scope, receive, send)


def json_endpoint(path: str, handler: Handler, methods: Sequence[str] = ("POST",)) -> Route:
    """Return the route of an OAuth endpoint; what the handler raises becomes its answer, never a stack trace."""

    async def endpoint(request: Request) -> Response:
        request.scope["route"] = route  # FastAPI names its own alone
        try:
            return await handler(request)
        except OAuthError as error:
            return refusal(error)
        except Unauthenticated as error:
            refused = {"error": InvalidToken.code, "error_description": str(error)}
            return answer(refused, InvalidToken.status, {"WWW-Authenticate": error.challenge})
        except NotAuthorised:
            return refusal(InvalidToken("The access token is not valid."))
        except MalformedAuthorization as error:
            return refusal(InvalidRequest(str(error)))
        except UNAVAILABLE as error:
            log.warning("oauth_unavailable", reason=type(error).__name__)
            gone = {"error": "temporarily_unavailable", "error_description": "Try again in a moment."}
            return answer(gone, 503, {"Retry-After": str(RETRY_SECONDS)})

    route = OwnRoute(path, endpoint, methods=list(methods), name=handler.__name__)
    return route
