"""In whatever order events arrive, rows come out the same: the prescription, the timeline, the treatment."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from mappers.rows import CustomerProfile, PatientPrescription, Subscription
from storage.engine import Database
from storage.orders.applying import RIMO, apply_event
from storage.orders.event import STATES, order_event
from storage.projection.flush import flush
from storage.repositories.events import EventRepository
from storage.repositories.prescriptions import PrescriptionRepository
from storage.repositories.profiles import ProfileRepository
from storage.repositories.subscriptions import SubscriptionRepository
from storage.repositories.table import Window
from storage.repositories.webhook_events import EventStatus, WebhookEvent, WebhookEventRepository
from storage.tables.webhooks import webhook_events
from storage.transaction import Change, UnitOfWork
from tests.conftest import ORGANIZATION

START = datetime(2026, 3, 20, tzinfo=UTC)
PHARMACY = Change("rimo", "webhook:rimo", "graph")


def told(order: str, treatment: str, number: int, draw: random.Random) -> WebhookEvent:
    """Return some event of an order."""
    kind = draw.choice(list(STATES))
    at = START + timedelta(hours=draw.randrange(5))
    data = {"orderId": order, "treatmentId": treatment, "medicationName": "Semaglutide", "dosage": "0.25mg"}
    data |= {name: draw.choice("ab") for name in ("trackingNumber", "pharmacyName") if draw.random() < 0.5}
    body = json.dumps({"type": kind, "timestamp": at.isoformat(), "data": data}).encode()
    return WebhookEvent(
        ORGANIZATION, RIMO, f"{order}-{number}", kind, at, START, body, hashlib.sha256(body).digest(), order,
        status=EventStatus.WAITING,
    )  # fmt: skip


async def outcome(database: Database, order: str, treatment: str, arriving: list[WebhookEvent]) -> dict[str, Any]:
    """Let events arrive one by one, and return what there is then."""
    row = Subscription(treatment, ORGANIZATION, "cust", "glp1", "GLP-1", status="approved", rimo_treatment_id=treatment)

    async def ask(unit: UnitOfWork) -> None:
        await SubscriptionRepository(unit).insert(row)

    await database.transact(ORGANIZATION, PHARMACY, ask)
    for event in arriving:

        async def take(unit: UnitOfWork, event: WebhookEvent = event) -> None:
            await WebhookEventRepository(unit, RIMO).insert(event)
            await apply_event(unit, order_event(event))

        await database.transact(ORGANIZATION, PHARMACY, take)
    async with database.glance(ORGANIZATION) as snapshot:
        made = await PrescriptionRepository(snapshot).by_order(order)
        after = await SubscriptionRepository(snapshot).find(treatment)
        entries = await EventRepository(snapshot).list(customer_id="cust", window=Window(1000, 0, 1000))
        columns = webhook_events.c
        kept = await snapshot.connection.execute(
            select(columns.event_id, columns.status)
            .where(columns.organization_id == ORGANIZATION, columns.subject_id == order)
            .order_by(columns.event_id)
        )
        states = [(row.event_id.removeprefix(order), row.status) for row in kept]
    assert made is not None
    assert after is not None
    is_settled = "order.cancelled" not in {each.type for each in arriving}  # else: started, or never shipped
    mine = [each for each in entries.rows if (each.data or {}).get("orderId") == order]
    same = PatientPrescription("", "", "cust", "", "", "", "")
    return {
        "prescription": replace(made, id=same.id, treatment_id="", rimo_order_id="", created_at=None, updated_at=None),
        "treatment": (after.status, after.started_at) if is_settled else None,
        "timeline": sorted((each.occurred_at, each.type, each.description) for each in mine),
        "events": states,
    }


@pytest.mark.parametrize("seed", range(12))
async def test_rows_come_out_the_same(seed: int, database: Database) -> None:
    database.flush = flush
    draw = random.Random(seed)
    profile = CustomerProfile("cust", ORGANIZATION, "user_cust", "cust@example.com")

    async def begin(unit: UnitOfWork) -> None:
        if await ProfileRepository(unit).find("cust") is None:
            await ProfileRepository(unit).insert(profile)

    await database.transact(ORGANIZATION, PHARMACY, begin)
    count = draw.randrange(2, 8)
    found = []
    for turn in range(3):
        order, treatment = f"order_{seed}_{turn}", f"treatment_{seed}_{turn}"
        same = random.Random(1000 + seed)
        arriving = [told(order, treatment, number, same) for number in range(count)]
        if turn:
            draw.shuffle(arriving)
        found.append(await outcome(database, order, treatment, arriving))
    assert found[1] == found[0]
    assert found[2] == found[0]
