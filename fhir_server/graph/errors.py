"""What goes wrong at the patient graph API, and how it is told: status, code and message of the error envelope.

Codes are those of the API document; CONFLICT, METHOD_NOT_ALLOWED, PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE,
REQUEST_TIMEOUT and SERVICE_UNAVAILABLE are ours for what it does not name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from fhir_server import errors
from fhir_server.graph.wire import member_name
from fhir_server.limits.limit import Standing
from fhir_server.outcome import rendering
from storage import errors as storage
from storage.repositories.errors import TransitionRefused, UnknownValue, ValueTaken

INTERNAL: Final = 500
_RETRY_SECONDS: Final = 2


class GraphError(Exception):
    """A request is refused; `status` and `code` are those of the answer."""

    status = 400
    code = "VALIDATION_ERROR"
    details: Mapping[str, Any] | None = None


@dataclass
class Invalid(GraphError):
    """What was sent does not fit; `path` names the member or parameter."""

    message: str
    path: Sequence[str | int] = ()

    def __str__(self) -> str:
        return self.message


class Forbidden(GraphError):
    """The caller may not do this; always the same answer, whether or not there is anything (settled §4.3)."""

    status = 403
    code = "FORBIDDEN"

    def __init__(self) -> None:
        super().__init__("Insufficient permissions to access this resource")


class NotFound(GraphError):
    """There is no such row; `what` is what the message calls it."""

    status = 404
    code = "NOT_FOUND"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} not found")


class Conflict(GraphError):
    """Another row, or the state of this one, is in the way; `details` say which, or what it is."""

    status = 409
    code = "CONFLICT"

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details = details


@dataclass
class LimitReached(GraphError):
    """The caller sent more requests than the limit lets through."""

    standing: Standing
    status: int = field(default=429, init=False)
    code: str = field(default="RATE_LIMIT_EXCEEDED", init=False)

    def __str__(self) -> str:
        return f"Too many requests. Try again in {self.standing.retry_after} seconds."


CODES: Final[Mapping[int, str]] = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    406: "VALIDATION_ERROR",
    408: "REQUEST_TIMEOUT",
    409: "CONFLICT",
    412: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE",
}
"""Code of an answer's status, for errors that the whole server shares (`outcome.py`)."""
INVALID_BODY: Final = "Invalid request body"
INVALID_PARAMETERS: Final = "Invalid query parameters"


@dataclass(frozen=True, slots=True)
class Refusal:
    """How an error is told."""

    status: int
    code: str
    message: str
    details: Mapping[str, Any] | None = None
    retry_after: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(error: Exception) -> Refusal:
    """Return how an error is told; of what nobody foresaw nothing but that it happened (security PH-2)."""
    return next(TOLD[base] for base in type(error).__mro__ if base in TOLD)(error)


def _shared(error: Exception) -> Refusal:
    status = rendering(error).status
    code = CODES.get(status, "VALIDATION_ERROR")
    if status >= INTERNAL:
        if status == 503:
            seconds = getattr(error, "retry_after", _RETRY_SECONDS)
            return Refusal(503, code, "The server cannot answer now. Try again soon.", retry_after=seconds)
        return Refusal(INTERNAL, CODES[INTERNAL], "An internal error occurred")
    return Refusal(status, code, str(error) or "The request cannot be taken.")


def _of_status(status: int, headers: Mapping[str, str]) -> Refusal:
    messages = {404: "Nothing is served at this address", 405: "The method is not supported here"}
    code = CODES.get(status, "VALIDATION_ERROR")
    return Refusal(status, code, messages.get(status, "The request cannot be taken."), headers=headers)


def _not_valid(error: RequestValidationError) -> Refusal:
    """Return what does not fit and where; never what was sent (security PH-1)."""
    found = error.errors()
    issues = [_without_place({"path": list(each["loc"]), "message": _message(each)}) for each in found]
    in_body = any(each["loc"] and each["loc"][0] == "body" for each in found)
    return Refusal(400, "VALIDATION_ERROR", INVALID_BODY if in_body else INVALID_PARAMETERS, {"issues": issues})


def _message(found: Mapping[str, Any]) -> str:
    """Return what is wrong in plain words; pydantic says of a check of ours that its error was a ValueError."""
    return "Unrecognized member" if found["type"] == "extra_forbidden" else found["msg"].removeprefix("Value error, ")


def _without_place(issue: dict[str, Any]) -> dict[str, Any]:
    """Return an issue whose path begins with the member, as in the API document."""
    path = issue["path"]
    return {**issue, "path": path[1:] if path and path[0] in {"body", "query", "path"} else path}


def _at(column: str, message: str) -> dict[str, Any]:
    return {"path": [member_name(column)], "message": message}


def _graph(error: GraphError) -> Refusal:
    return Refusal(error.status, error.code, str(error), error.details)


def _invalid(error: Invalid) -> Refusal:
    issue = _without_place({"path": list(error.path), "message": error.message})
    in_query = bool(error.path) and error.path[0] in {"query", "path"}
    message = INVALID_PARAMETERS if in_query else INVALID_BODY
    return Refusal(400, "VALIDATION_ERROR", message, {"issues": [issue]})


def _limited(error: LimitReached) -> Refusal:
    return Refusal(error.status, error.code, str(error), retry_after=error.standing.retry_after)


def _transition(error: TransitionRefused) -> Refusal:
    details = {"allowed": list(error.allowed)}
    return Refusal(409, "VALIDATION_ERROR", f"The status cannot go from {error.before} to {error.after}", details)


def _taken(error: ValueTaken) -> Refusal:
    return Refusal(409, "CONFLICT", "The value is in use", {"issues": [_at(error.column, "is in use")]})


def _unknown(error: UnknownValue) -> Refusal:
    issue = _at(error.column, f"has to be one of: {', '.join(error.allowed)}")
    return Refusal(400, "VALIDATION_ERROR", INVALID_BODY, {"issues": [issue]})


def _unresolved(_error: storage.UnresolvedReference) -> Refusal:
    return Refusal(404, "NOT_FOUND", "A row that this one refers to was not found")


def _unauthenticated(error: errors.Unauthenticated) -> Refusal:
    headers = {"WWW-Authenticate": error.challenge}
    return Refusal(401, "UNAUTHORIZED", "Invalid or expired JWT token", headers=headers)


def _not_json(_error: errors.UnsupportedMediaType) -> Refusal:
    return Refusal(
        415, CODES[415], "Send JSON with Content-Type: application/json, as it is, or as gzip unless it is signed"
    )


def _forbidden(_error: errors.NotAuthorised) -> Refusal:
    return _graph(Forbidden())


def _http(error: HTTPException) -> Refusal:
    return _of_status(error.status_code, error.headers or {})


TOLD: Final[Mapping[type[BaseException], Callable[[Any], Refusal]]] = {
    GraphError: _graph,
    Invalid: _invalid,
    LimitReached: _limited,
    RequestValidationError: _not_valid,
    TransitionRefused: _transition,
    ValueTaken: _taken,
    UnknownValue: _unknown,
    storage.UnresolvedReference: _unresolved,
    errors.Unauthenticated: _unauthenticated,
    errors.NotAuthorised: _forbidden,
    errors.UnsupportedMediaType: _not_json,
    HTTPException: _http,
    Exception: _shared,
}
"""How each kind of error is told; look-up goes up the bases of its class."""
