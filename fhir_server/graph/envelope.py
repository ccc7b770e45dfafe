"""The answers of the patient graph API: success, a page, an error; JSON whose decimals keep their digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.responses import Response

from fhir_server.fhir.json_body import encode_json
from fhir_server.graph.errors import INTERNAL, Refusal
from fhir_server.graph.wire import shown
from storage.repositories.table import Page

MEDIA_TYPE: Final = "application/json"


def success(data: Any, status: int = 200) -> Response:
    """Return `{success, data}`."""
    return answer({"success": True, "data": data}, status)


def page(found: Page[Any], shown_as: Callable[[Any], Any] = shown) -> Response:
    """Return a page of rows, each as `shown_as` gives it: `{success, data, pagination}`."""
    return answer({"success": True, "data": [shown_as(row) for row in found.rows], "pagination": pagination(found)})


def pagination(found: Page[Any]) -> dict[str, Any]:
    """Return where a page lies in its list (internal_tables.md: always page, limit, offset, total, hasMore)."""
    return {
        "page": found.page,
        "limit": found.window.limit,
        "offset": found.window.offset,
        "total": found.total,
        "hasMore": found.has_more,
    }


def refused(refusal: Refusal, request_id: str) -> Response:
    """Return the error envelope; only a failure of the server names the request (API document, Error Handling)."""
    error: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    if refusal.details is not None:
        error["details"] = refusal.details
    if refusal.retry_after is not None:
        error["retryAfter"] = refusal.retry_after
    if refusal.status == INTERNAL:
        error["requestId"] = request_id
    response = answer({"success": False, "error": error}, refusal.status, refusal.headers)
    if refusal.retry_after is not None:
        response.headers["Retry-After"] = str(refusal.retry_after)
    return response


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer."""
    return Response(encode_json(body), status, headers=dict(headers or {}), media_type=MEDIA_TYPE)
