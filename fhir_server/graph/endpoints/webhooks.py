"""Where the pharmacy tells of its orders (docs/webhooks.md). Its events bear no token; they are signed."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from capability.roles import GraphAction
from fhir_server.graph.envelope import refused, success
from fhir_server.graph.errors import INVALID_BODY, Refusal
from fhir_server.graph.models.common import Success, answers
from fhir_server.graph.models.webhooks import OrderEventSent, Received
from fhir_server.graph.parameters import ACall
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Owner, guarded
from fhir_server.graph.webhooks.receiving import receive

router = APIRouter(prefix="/webhooks", tags=["Webhooks"], route_class=GraphRoute)


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {
        "name": name,
        "in": "header",
        "required": True,
        "description": description,
        "schema": schema,
        "example": example,
    }


DESCRIBED: Final[dict[str, Any]] = {
    "security": [],
    "parameters": [
        _header("webhook-id", "Id of the event, however often it is sent", "msg_2b7f1c"),
        _header("webhook-timestamp", "When it is sent, in seconds since 1970 UTC", "1774029600"),
        _header("webhook-signature", "`v1,` and the signature; several with spaces between", "v1,K5oZfzN95Z9UVu1E="),
    ],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": OrderEventSent.model_json_schema(ref_template="#/$defs/{model}")}},
    },
}


@router.post(
    "/rimo",
    responses={
        **answers(Success[Received], errors=(409, 413, 415)),
        202: {"model": Success[Received], "description": "Kept; nothing is done (yet)"},
    },
    openapi_extra=DESCRIBED,
)
@guarded("protocols", GraphAction.WRITE, Owner.NOBODY, signed=True)
async def receive_rimo(call: ACall, request: Request) -> Response:
    """Take an event of an order. A repeated delivery changes nothing and is answered like the first one."""
    answer = await receive(call, request.headers, await request.body())
    if answer.is_invalid:
        told = Refusal(400, "VALIDATION_ERROR", INVALID_BODY, answer.data)
        return refused(told, call.origin.request_id)
    return success(answer.data, answer.status)
