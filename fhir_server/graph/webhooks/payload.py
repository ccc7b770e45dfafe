"""What a delivery says: an event of an order, an event of another type, or nothing that can be read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from fhir_server.errors import RequestError
from fhir_server.fhir.json_body import JsonLimits, parse_json
from fhir_server.graph.models.webhooks import OrderEventSent
from fhir_server.graph.webhooks.signature import TOLERANCE_SECONDS
from storage.orders.event import STATES, instant_of

LIMITS: Final = JsonLimits(depth=16, nodes=10_000)
LONGEST_TYPE: Final = 128


@dataclass(frozen=True, slots=True)
class Said:
    """What a delivery says; `issues` tell what is wrong with it, `order_id` is None unless it is about an order."""

    type: str
    occurred_at: datetime
    order_id: str | None = None
    issues: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether somebody here knows what events of its type say."""
        return self.type in STATES


def read_payload(body: bytes, sent_at: int) -> Said:
    """Return what a body says, that was sent at an instant (in seconds since 1970 UTC)."""
    sent = datetime.fromtimestamp(sent_at, UTC)
    try:
        value = parse_json(body, LIMITS)
    except RequestError as error:
        return Said("", sent, issues=(_issue((), str(error)),))
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or not 0 < len(kind) <= LONGEST_TYPE:
        return Said("", sent, issues=(_issue(("type",), "has to say what happened"),))
    if kind not in STATES:
        return Said(kind, _moment(value.get("timestamp"), sent))
    try:
        event = OrderEventSent.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return Said(
            kind, sent, issues=tuple(_issue(each["loc"], each["msg"].removeprefix("Value error, ")) for each in found)
        )
    occurred = instant_of(event.timestamp)
    if occurred > sent + timedelta(seconds=TOLERANCE_SECONDS):
        return Said(kind, sent, issues=(_issue(("timestamp",), "lies after the delivery"),))
    return Said(kind, occurred, event.data.orderId)


def _moment(written: object, otherwise: datetime) -> datetime:
    try:
        return instant_of(written) if isinstance(written, str) else otherwise
    except ValueError:
        return otherwise


def _issue(path: tuple[int | str, ...], message: str) -> dict[str, Any]:
    return {"path": list(path), "message": message}
