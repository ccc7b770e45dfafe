"""One event of an order, as the pharmacy told it (docs/webhooks.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from storage.repositories.webhook_events import WebhookEvent
from storage.tables.enums import PrescriptionStatus as Status

STATES: Final[Mapping[str, Status | None]] = {
    "order.created": Status.PENDING,
    "order.processing": Status.PROCESSING,
    "order.failed": Status.FAILED,
    "order.transmitted": Status.TRANSMITTED,
    "order.shipped": Status.SHIPPED,
    "order.delivered": Status.DELIVERED,
    "order.cancelled": Status.CANCELLED,
    "order.refill_scheduled": None,
}
"""Types of events and the state that each brings an order to; of one instant, the earlier line came first."""
RANKS: Final = {name: rank for rank, name in enumerate(STATES)}

BOM: Final = b"\xef\xbb\xbf"
"""Some senders begin a body with it; it is signed with the rest."""
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_decode: Final = msgspec.json.Decoder(float_hook=Decimal).decode


def instant_of(text: str) -> datetime:
    """Return an instant of RFC 3339 in UTC, to microseconds; raises ValueError."""
    if _INSTANT.fullmatch(text) is None:
        raise ValueError("has to be an instant such as 2026-03-20T10:00:00Z")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("has to be an instant that there is") from None


def _as_written(value: Any) -> Any:
    return value


MEMBERS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "medicationName": ("medication_name", _as_written),
    "dosage": ("dosage", _as_written),
    "quantity": ("quantity", _as_written),
    "refills": ("refills", _as_written),
    "prescribedDate": ("prescribed_date", instant_of),
    "nextRefillDate": ("next_refill_date", instant_of),
    "pharmacyId": ("pharmacy_id", _as_written),
    "pharmacyName": ("pharmacy_name", _as_written),
    "trackingNumber": ("tracking_number", _as_written),
}
"""Members of an order, and the columns of a prescription that they fill."""


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """What one event says; `values` are columns of the prescription, those that it does not know left out."""

    id: str
    type: str
    occurred_at: datetime
    order_id: str
    treatment_id: str
    """As the pharmacy calls it."""
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> Status | None:
        """The state that the order is in from then on; None: as before."""
        return STATES[self.type]

    @property
    def place(self) -> tuple[datetime, int, str]:
        """Where it stands among the events of its order, however they arrived."""
        return self.occurred_at, RANKS[self.type], self.id


def order_event(event: WebhookEvent) -> OrderEvent:
    """Return what a stored event of an order says; its body was checked when it came in."""
    data = _decode(event.body.removeprefix(BOM))["data"]
    values = {column: read(data[member]) for member, (column, read) in MEMBERS.items() if data.get(member) is not None}
    return OrderEvent(event.event_id, event.type, event.occurred_at, data["orderId"], data["treatmentId"], values)
