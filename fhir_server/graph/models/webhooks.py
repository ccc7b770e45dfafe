"""What the pharmacy's events say (docs/webhooks.md), and how they are answered. Members nobody knows are let in."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, StrictStr

from fhir_server.graph.models.common import Key, Shown, Text
from storage.orders.event import STATES, instant_of


def _instant(text: str) -> str:
    instant_of(text)
    return text


Instant = Annotated[StrictStr, AfterValidator(_instant), Field(json_schema_extra={"format": "date-time"})]
Amount = Annotated[StrictInt, Field(ge=0)] | Annotated[Decimal, Field(ge=0, strict=True)] | Text
Said = Annotated[Text, Field(min_length=1)]

ORDER: Final[dict[str, Any]] = {
    "orderId": "rimo_order_555",
    "treatmentId": "rimo_456",
    "medicationName": "Semaglutide",
    "dosage": "0.25mg",
    "quantity": 4,
    "refills": 3,
    "prescribedDate": "2026-03-20T10:00:00Z",
    "nextRefillDate": "2026-04-20T00:00:00Z",
    "pharmacyId": "pharm_rimo_1",
    "pharmacyName": "Rimo Pharmacy",
}
EXAMPLE: Final[dict[str, Any]] = {
    "type": "order.shipped",
    "timestamp": "2026-03-20T18:00:00Z",
    "data": {**ORDER, "trackingNumber": "1Z999AA10123456789"},
}
ANSWER: Final[dict[str, Any]] = {
    "eventId": "msg_2b7f1c",
    "status": "applied",
    "prescriptionId": "0f5c1f0e-9a0e-5c57-8d5b-6a3a1f4f2f11",
    "prescriptionStatus": "shipped",
}


class OrderData(BaseModel):
    """An order, as far as the pharmacy knows it at the time of the event."""

    model_config = ConfigDict(extra="allow", frozen=True, json_schema_extra={"examples": [EXAMPLE["data"]]})

    orderId: Key = Field(description="The order at the pharmacy: one prescription here")  # noqa: N815 the name on the wire
    treatmentId: Key = Field(description="`rimoTreatmentId` of the treatment that it belongs to")  # noqa: N815
    medicationName: Said  # noqa: N815
    dosage: Said
    quantity: Amount | None = None
    refills: Amount | None = None
    prescribedDate: Instant | None = None  # noqa: N815
    nextRefillDate: Instant | None = None  # noqa: N815
    pharmacyId: Key | None = None  # noqa: N815
    pharmacyName: Text | None = None  # noqa: N815
    trackingNumber: Text | None = None  # noqa: N815


class OrderEventSent(BaseModel):
    """One event of an order."""

    model_config = ConfigDict(extra="allow", frozen=True, title="OrderEvent", json_schema_extra={"examples": [EXAMPLE]})

    type: str = Field(json_schema_extra={"enum": list(STATES)}, description="What happened")
    timestamp: Instant = Field(description="When it happened, which decides the order of events")
    data: OrderData


class Received(Shown):
    """What became of an event; a repeated delivery is answered like the first one."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANSWER]})

    event_id: str
    status: Literal["applied", "waiting", "refused", "unknown"] = Field(
        description="waiting: for a treatment that is not approved here yet; refused: the prescription cannot go from "
        "its state to this one; unknown: kept, and nothing done"
    )
    prescription_id: str | None = None
    prescription_status: str | None = None
    reason: str | None = Field(None, description="Why the event changed nothing")
    allowed: list[str] | None = Field(None, description="States that the prescription could have gone to")
