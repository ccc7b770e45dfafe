"""A delivery on its way in: whose it is, what it says, and what becomes of it, in one transaction (security WH-2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from fhir_server.access import Caller
from fhir_server.graph.call import Call
from fhir_server.graph.errors import Conflict, GraphError
from fhir_server.graph.service import GraphService
from fhir_server.graph.webhooks.payload import Said, read_payload
from fhir_server.graph.webhooks.signature import Delivery, NotSigned, delivery_of, signer_of
from fhir_server.oauth.sealed import SealBroken, Sealer
from fhir_server.settings import Settings
from storage.orders.applying import RIMO, Applied, apply_event
from storage.orders.event import order_event
from storage.repositories.webhook_events import EventStatus, WebhookEvent, WebhookEventRepository
from storage.repositories.webhook_secrets import WebhookSecret, WebhookSecretRepository
from storage.transaction import UnitOfWork

ROLE: Final = "WEBHOOK"
"""What the audit calls who signs webhooks."""
LATER: Final = frozenset({EventStatus.WAITING, EventStatus.UNKNOWN})
"""What was kept, and not done (yet): 202."""
MEMBERS: Final = ("eventId", "status", "prescriptionId", "prescriptionStatus", "reason", "allowed", "issues")
"""Members of answers, in their order, which databases do not keep."""

_log = structlog.get_logger("fhir_server.graph")


class NotBelieved(GraphError):
    """A delivery is not signed, or not well, or not now."""

    status = 401
    code = "UNAUTHORIZED"

    def __init__(self) -> None:
        super().__init__("The webhook signature is missing, wrong or too old")


class EventRepeated(Conflict):
    """An id was used before for another event."""

    def __init__(self) -> None:
        super().__init__("Another event was delivered with this webhook-id")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a delivery is answered: `data` of a success, or `details` of what is wrong with it."""

    status: int
    data: Mapping[str, Any]

    @property
    def is_invalid(self) -> bool:
        """Whether the event does not say what events say; it is kept all the same."""
        return self.status == 400


def sealer_of(settings: Settings) -> Sealer:
    """Return what seals and opens the secrets of those who send webhooks."""
    return Sealer(settings.derive("webhook secrets"), "webhook_secrets", "secret")


async def receive(call: Call, headers: Mapping[str, str], body: bytes) -> Answer:
    """Return the answer to a delivery; raises NotBelieved and EventRepeated."""
    delivery = await _believed(call, headers, body)
    said = read_payload(body, delivery.sent_at)
    event = WebhookEvent(
        organization_id=call.organization_id,
        provider=RIMO,
        event_id=delivery.event_id,
        type=said.type,
        occurred_at=said.occurred_at,
        received_at=datetime.fromtimestamp(call.service.now(), UTC),
        body=body,
        sha256=hashlib.sha256(body).digest(),
        subject_id=said.order_id,
    )

    async def work(unit: UnitOfWork) -> Answer:
        return await _taken(call, unit, event, said)

    return await call.write(work, lambda answer: answer.status)


async def _believed(call: Call, headers: Mapping[str, str], body: bytes) -> Delivery:
    """Return what the headers say, and let the call be its sender's; raises NotBelieved."""
    service = call.service
    now = service.now()
    try:
        delivery = delivery_of(headers, now)
        secrets = {each.id: each for each in await _secrets(service, now)}
        signer = secrets[signer_of(_opened(service.settings, secrets.values()), delivery, body)]
    except NotSigned as refused:
        _log.warning("webhook_refused", reason=str(refused), provider=RIMO, request_id=call.origin.request_id)
        raise NotBelieved from None
    call.organization_id = signer.organization_id
    call.known = Caller(
        subject=RIMO,
        client_id=f"webhook:{RIMO}",
        organization_id=signer.organization_id,
        role=ROLE,
        scope="",
        token_id=signer.id,
        issued_at=delivery.sent_at,
        expires_at=delivery.sent_at,
    )
    return delivery


async def _secrets(service: GraphService, now: float) -> list[WebhookSecret]:
    async with service.database.platform_read() as connection:
        return await WebhookSecretRepository(connection).usable(RIMO, datetime.fromtimestamp(now, UTC))


def _opened(settings: Settings, secrets: Iterable[WebhookSecret]) -> Iterator[tuple[str, bytes]]:
    """Yield the secrets that can be opened, by their ids; one that cannot keeps nobody else's events out."""
    sealer = sealer_of(settings)
    for each in secrets:
        try:
            yield each.id, sealer.open(each.id, each.secret)
        except SealBroken as broken:
            _log.error("webhook_secret_unreadable", reason=str(broken), organization=each.organization_id)


async def _taken(call: Call, unit: UnitOfWork, event: WebhookEvent, said: Said) -> Answer:
    """Keep an event and do what it says; one that came before is answered as it was."""
    events = WebhookEventRepository(unit, RIMO)
    known = await events.find(event.event_id)
    if known is not None:
        if known.sha256 != event.sha256:
            raise EventRepeated
        data = {name: known.answer["data"][name] for name in MEMBERS if name in known.answer["data"]}
        first = Answer(known.answer["status"], data)
        return first if first.is_invalid else Answer(200, data)
    if said.order_id is None:
        status = EventStatus.INVALID if said.issues else EventStatus.UNKNOWN
        await events.insert(replace(event, status=status))
        answer = (
            Answer(400, {"issues": [dict(each) for each in said.issues]})
            if said.issues
            else Answer(202, {"eventId": event.event_id, "status": status.value})
        )
    else:
        waiting = replace(event, status=EventStatus.WAITING)
        await events.insert(waiting)
        applied = await apply_event(unit, order_event(waiting))
        _touch(call, applied)
        answer = Answer(202 if applied.status in LATER else 200, _shown(event.event_id, applied))
    await events.change(event.event_id, answer={"status": answer.status, "data": dict(answer.data)})
    return answer


def _touch(call: Call, applied: Applied) -> None:
    if applied.prescription is not None:
        call.touched((applied.prescription.customer_id,), (applied.prescription.id,))


def _shown(event_id: str, applied: Applied) -> dict[str, Any]:
    found: dict[str, Any] = {"eventId": event_id, "status": applied.status.value}
    if applied.prescription is not None:
        found |= {"prescriptionId": applied.prescription.id, "prescriptionStatus": applied.prescription.status}
    if applied.reason is not None:
        found["reason"] = applied.reason
    if applied.status is EventStatus.REFUSED and applied.prescription is not None:
        found["allowed"] = list(applied.allowed)
    return found
