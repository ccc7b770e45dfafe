"""Bodies and answers as bytes: decimals keep their digits both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Final, TypeVar, cast

import msgspec

from fhir_server.graph_client.calls import Call
from fhir_server.graph_client.models import Page, Pagination
from fhir_server.graph_client.results import (
    Conflict,
    Error,
    Failed,
    Forbidden,
    Issue,
    NotFound,
    Ok,
    RateLimited,
    Refused,
    Result,
    ServerFailed,
    Unauthorized,
    ValidationFailed,
)

T = TypeVar("T")

RETRY_SECONDS: Final = 60
"""How long to wait after a 429 that does not say."""
_encoder: Final = msgspec.json.Encoder(decimal_format="number")
_any: Final = msgspec.json.Decoder(float_hook=Decimal)


class Told(msgspec.Struct, frozen=True, rename="camel"):
    """What an error answer says."""

    code: str
    message: str
    details: dict[str, Any] = {}
    retry_after: int | None = None
    request_id: str | None = None


class _Refusal(msgspec.Struct, frozen=True):
    error: Told


def encoded(body: Any) -> bytes:
    """Return a body as JSON."""
    return _encoder.encode(body)


@cache
def _decoder(holds: Any, is_list: bool) -> msgspec.json.Decoder[Any]:
    if is_list:
        fields: list[Any] = [("data", tuple[holds, ...]), ("pagination", Pagination)]
    else:
        fields = [("data", holds)]
    return msgspec.json.Decoder(msgspec.defstruct("Answer", fields, frozen=True), float_hook=Decimal)


def result(call: Call[T], status: int, headers: Mapping[str, str], content: bytes) -> Result[T]:
    """Return what an answer says."""
    if status >= 300:
        return Failed(_error(status, headers, content))
    try:
        answer = _decoder(call.holds, call.is_list).decode(content)
    except (msgspec.DecodeError, ValueError) as error:
        return Failed(ServerFailed(f"the answer is not as described: {error}", status, headers.get("x-request-id")))
    data = Page(answer.data, answer.pagination) if call.is_list else answer.data
    return Ok(cast("T", data), created=status == 201)


def _error(status: int, headers: Mapping[str, str], content: bytes) -> Error:
    try:
        told = msgspec.json.decode(content, type=_Refusal).error
    except (msgspec.DecodeError, ValueError):
        told = Told("", f"the server answered {status}")
    if status in _ERRORS:
        return _ERRORS[status](told)
    if 400 <= status < 500:
        return Refused(told.message, status, told.code)
    return ServerFailed(told.message, status, told.request_id or headers.get("x-request-id"))


def _issues(details: Mapping[str, Any]) -> tuple[Issue, ...]:
    return tuple(Issue(tuple(each.get("path", ())), each.get("message", "")) for each in details.get("issues", ()))


_ERRORS: Final[Mapping[int, Callable[[Told], Error]]] = {
    400: lambda told: ValidationFailed(told.message, _issues(told.details)),
    401: lambda told: Unauthorized(told.message),
    403: lambda told: Forbidden(told.message),
    404: lambda told: NotFound(told.message),
    409: lambda told: Conflict(told.message, tuple(told.details.get("allowed", ())), _issues(told.details)),
    429: lambda told: RateLimited(told.message, told.retry_after or RETRY_SECONDS),
}
"""What a status stands for; any other is Refused, or ServerFailed."""


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that `Retry-After` says to wait, in seconds or until a date (RFC 9110 §10.2.3); None: none."""
    text = headers.get("retry-after", "")
    if text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())
