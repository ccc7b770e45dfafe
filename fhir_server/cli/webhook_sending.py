"""Signs and sends an event as a pharmacy does, to try webhooks with (docs/webhooks.md)."""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import msgspec

from fhir_server.cli.output import CommandFailed
from fhir_server.cli.webhooks import ADDRESS
from fhir_server.graph.models.webhooks import ORDER
from fhir_server.graph.webhooks.signature import secret_bytes, signature_of
from storage.orders.applying import RIMO
from storage.orders.event import STATES, instant_of

TIMEOUT: Final = 30.0
DATED: Final = frozenset({"prescribedDate", "nextRefillDate"})
"""Members of the documented order that would lie in the past."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An event of an order; `treatment` is the `rimoTreatmentId`, what is None is that of the documented event."""

    type: str
    order: str
    treatment: str
    medication: str | None = None
    dosage: str | None = None
    at: str | None = None
    """When it happened; None: now."""
    event_id: str | None = None
    """The `webhook-id`; None: a new one."""


def send_event(base_url: str, secret: str, sample: Sample) -> dict[str, Any]:
    """Send an event to a running server and return what became of it.

    Raises CommandFailed for an event or secret that is none, a server that does not answer and a refused delivery.
    """
    event_id = sample.event_id or f"msg_{secrets.token_hex(12)}"
    if not (event_id.isascii() and event_id.isprintable()):
        raise CommandFailed("--id takes visible ASCII characters.")
    body = msgspec.json.encode(_event(sample))
    sent_at = int(time.time())
    try:
        key = secret_bytes(secret)
    except ValueError as error:
        raise CommandFailed(f"This is no secret of webhooks: {error}.") from None
    signature = base64.b64encode(signature_of(key, event_id, sent_at, body)).decode()
    headers = {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": f"v1,{signature}",
    }
    address = f"{base_url}{ADDRESS}{RIMO}"
    try:
        answer = httpx.post(address, content=body, headers=headers, timeout=TIMEOUT)
        said: dict[str, Any] = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        raise CommandFailed(f"No server answers at {address}; is it running?") from None
    if answer.is_error:
        raise CommandFailed(f"The server refused with {answer.status_code}: {_reason(said)}.")
    return dict(said["data"])


def _event(sample: Sample) -> dict[str, Any]:
    if sample.type not in STATES:
        raise CommandFailed(f"Events of orders are: {', '.join(STATES)}.")
    try:
        at = sample.at if sample.at is None else instant_of(sample.at)
    except ValueError:
        raise CommandFailed("--at takes an instant with its zone, as 2026-03-20T18:00:00Z.") from None
    chosen = {
        "orderId": sample.order,
        "treatmentId": sample.treatment,
        "medicationName": sample.medication,
        "dosage": sample.dosage,
    }
    order = {name: value for name, value in ORDER.items() if name not in DATED}
    return {
        "type": sample.type,
        "timestamp": (at or datetime.now(UTC)).isoformat().replace("+00:00", "Z"),
        "data": order | {name: value for name, value in chosen.items() if value is not None},
    }


def _reason(said: dict[str, Any]) -> str:
    error = said.get("error", {})
    issues = error.get("details", {}).get("issues", [])
    places = [f"{'.'.join(map(str, each['path']))}: {each['message']}" for each in issues]
    return "; ".join([str(error.get("message", "no reason was given")).rstrip("."), *places])
