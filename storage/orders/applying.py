"""Events of orders made into rows: the prescription, the timeline, the treatment; all in one unit of work.

Every event of an order is folded anew when one arrives, and what the fold says otherwise than before is changed: so the
order of arrival does not matter, and what another writer changed meanwhile stays where no event speaks of it.

Events wait until the treatment that they name is approved here: anybody may ask for a treatment by any of the
pharmacy's numbers, and nobody's prescription is shown to somebody else for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from mappers.rows import PatientPrescription, Subscription
from storage.orders.event import OrderEvent, order_event
from storage.orders.fold import Order, Step, fold
from storage.repositories.entities import PatientEvent
from storage.repositories.events import EventRepository
from storage.repositories.prescription_states import may_follow
from storage.repositories.prescriptions import PrescriptionRepository
from storage.repositories.subscription_states import is_approved
from storage.repositories.subscriptions import SubscriptionRepository
from storage.repositories.webhook_events import EventStatus, WebhookEvent, WebhookEventRepository
from storage.tables.enums import PatientEventType, SubscriptionStatus
from storage.tables.enums import PrescriptionStatus as Status
from storage.transaction import UnitOfWork

RIMO: Final = "rimo"
TREATMENTS: Final = "subscriptions"
ANOTHER_TREATMENT: Final = "The order belongs to another treatment"


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of an event; `reason` and the states that were possible, of one that is refused."""

    status: EventStatus
    prescription: PatientPrescription | None = None
    reason: str | None = None
    allowed: tuple[str, ...] = ()


async def apply_event(unit: UnitOfWork, event: OrderEvent) -> Applied:
    """Make rows of an event that was stored as waiting, and of all of its order that waited; says what became of it.

    Repeatable. Raises ConcurrencyConflict when another worker has the order for too long.
    """
    events = WebhookEventRepository(unit, RIMO)
    treatment = await _treatment(unit, event.treatment_id)
    if treatment is None:
        await events.change(event.id, waits_for=event.treatment_id)
        return Applied(EventStatus.WAITING)
    return (await _apply_order(unit, treatment, event.order_id))[event.id]


async def settle(unit: UnitOfWork, touched: Iterable[tuple[str, str]]) -> None:
    """Apply what waited for treatments that changed, whoever changed them; rows that change for that are touched."""
    changed = sorted(key for table, key in touched if table == TREATMENTS)
    if not changed:
        return
    events, treatments = WebhookEventRepository(unit, RIMO), SubscriptionRepository(unit)
    for key in changed:
        row = await treatments.find(key)
        if row is None or row.rimo_treatment_id is None or not is_approved(row):
            continue
        await events.alone(row.rimo_treatment_id)
        for order_id in await events.orders_waiting(row.rimo_treatment_id):
            treatment = await _treatment(unit, row.rimo_treatment_id)
            if treatment is not None:
                await _apply_order(unit, treatment, order_id)


async def _treatment(unit: UnitOfWork, rimo_treatment_id: str) -> Subscription | None:
    """Return the approved treatment that Rimo calls so, locked; None while there is none, or no single one.

    First its row is locked, then all that hangs on it: whoever approves a treatment takes them in the same order.
    """
    treatments = SubscriptionRepository(unit)
    await treatments.locked_by_rimo_treatment(rimo_treatment_id)
    await WebhookEventRepository(unit, RIMO).alone(rimo_treatment_id)
    found = [row for row in await treatments.locked_by_rimo_treatment(rimo_treatment_id) if is_approved(row)]
    return found[0] if len(found) == 1 else None


async def _apply_order(unit: UnitOfWork, treatment: Subscription, order_id: str) -> Mapping[str, Applied]:
    """Fold the events of an order and change what follows from those that waited; returns what became of these."""
    events = WebhookEventRepository(unit, RIMO)
    stored = {each.event_id: each for each in await events.of_order(order_id) if each.status in _COUNTED}
    told = {
        key: event
        for key, event in ((key, order_event(each)) for key, each in stored.items())
        if event.treatment_id == treatment.rimo_treatment_id
    }
    arrived = [key for key in told if stored[key].status == EventStatus.WAITING]
    row = await PrescriptionRepository(unit).by_order(order_id, lock=True)
    after = fold(told.values())
    if after is None or not arrived:
        return {}
    if row is not None and row.treatment_id != treatment.id:
        for key in arrived:
            await events.change(key, status=EventStatus.REFUSED, waits_for=None)
        return dict.fromkeys(arrived, Applied(EventStatus.REFUSED, reason=ANOTHER_TREATMENT))
    before = fold(event for key, event in told.items() if key not in arrived)
    kept = await _keep_prescription(unit, treatment, row, before, after)
    await _keep_treatment(unit, treatment, kept)
    await _keep_timeline(unit, kept, stored, after.steps)
    return {key: _told_of(after.step(key), kept, after) for key in arrived}


_COUNTED: Final = frozenset({EventStatus.APPLIED, EventStatus.WAITING, EventStatus.REFUSED})


def _told_of(step: Step, kept: PatientPrescription, after: Order) -> Applied:
    if step.allowed is not None:
        reason = f"An order that is {step.before} cannot become {step.event.state}"
        return Applied(EventStatus.REFUSED, kept, reason, tuple(step.allowed))
    if kept.status != after.status:
        return Applied(EventStatus.APPLIED, kept, f"The prescription was set to {kept.status} here and stays so")
    return Applied(EventStatus.APPLIED, kept)


async def _keep_prescription(
    unit: UnitOfWork,
    treatment: Subscription,
    row: PatientPrescription | None,
    before: Order | None,
    after: Order,
) -> PatientPrescription:
    """Return the prescription as the events have it now; a column that they do not speak of stays."""
    prescriptions = PrescriptionRepository(unit)
    if row is None:
        order_id = after.steps[0].event.order_id
        made: dict[str, Any] = {
            "id": str(uuid5(NAMESPACE_URL, f"{RIMO}/{unit.organization_id}/orders/{order_id}")),
            "organization_id": unit.organization_id,
            "customer_id": treatment.customer_id,
            "treatment_id": treatment.id,
            "rimo_order_id": order_id,
        }
        return await prescriptions.insert(PatientPrescription(**made, **after.columns))
    known: Mapping[str, Any] = before.columns if before is not None else {}
    changes = {name: value for name, value in after.columns.items() if known.get(name) != value}
    is_ours = before is not None and row.status == before.status
    if "status" in changes and not is_ours and not may_follow(Status(row.status), after.status):
        del changes["status"]
    return await prescriptions.update(row.id, changes)


async def _keep_treatment(unit: UnitOfWork, treatment: Subscription, kept: PatientPrescription) -> None:
    """Start an approved treatment when its first order is on the way; an earlier shipment that is told later counts.

    What has started stays so, even if it is told later that the order had been cancelled before: nothing leads back.
    """
    others = [each for each in treatment.patient_prescriptions if each.id != kept.id]
    before, now = _start(treatment.patient_prescriptions), _start((*others, kept))
    treatments = SubscriptionRepository(unit)
    if now is not None and treatment.status == SubscriptionStatus.APPROVED:
        await treatments.update(treatment.id, {"status": SubscriptionStatus.ACTIVE, "started_at": now})
    elif now not in {None, before} and before is not None and treatment.started_at == before:
        await treatments.update(treatment.id, {"started_at": now})


def _start(prescriptions: Sequence[PatientPrescription]) -> datetime | None:
    sent = (row.shipped_at or row.delivered_at for row in prescriptions)
    return min((moment for moment in sent if moment is not None), default=None)


async def _keep_timeline(
    unit: UnitOfWork, kept: PatientPrescription, stored: Mapping[str, WebhookEvent], steps: Sequence[Step]
) -> None:
    """Let the timeline tell of the events that count, each once, and of no other."""
    events, timeline = WebhookEventRepository(unit, RIMO), EventRepository(unit)
    for step in steps:
        event = step.event
        status = EventStatus.REFUSED if step.is_refused else EventStatus.APPLIED
        if stored[event.id].status == status:
            continue
        await events.change(event.id, status=status, waits_for=None)
        entry = _entry(kept, event)
        known = await timeline.find(entry.id)
        if step.is_refused and known is not None:
            await timeline.delete(entry.id)
        elif not step.is_refused and known is None:
            await timeline.insert(entry)


def _entry(kept: PatientPrescription, event: OrderEvent) -> PatientEvent:
    is_first = event.type == "order.created"
    name, dosage = event.values["medication_name"], event.values["dosage"]
    words = event.state.value if event.state is not None else "refill scheduled"
    return PatientEvent(
        id=str(uuid5(NAMESPACE_URL, f"{RIMO}/{kept.organization_id}/events/{event.id}")),
        organization_id=kept.organization_id,
        customer_id=kept.customer_id,
        type=PatientEventType.PRESCRIPTION_CREATED if is_first else PatientEventType.PRESCRIPTION_UPDATED,
        description=f"{name} {dosage}: {words}",
        data={
            "prescriptionId": kept.id,
            "treatmentId": kept.treatment_id,
            "orderId": event.order_id,
            "event": event.type,
        },
        created_by=RIMO,
        occurred_at=event.occurred_at,
    )
