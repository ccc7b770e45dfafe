"""Events that came in by webhook, each as it was received (security WH-2)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final

from sqlalchemy import ColumnElement, insert, select, update

from storage.sql import Prepared
from storage.tables.webhooks import webhook_events
from storage.transaction import UnitOfWork

_LOCK: Final = Prepared("SELECT pg_advisory_xact_lock(%(key)s::int8)", {})


class EventStatus(StrEnum):
    """What became of an event."""

    APPLIED = "applied"
    WAITING = "waiting"
    """For a treatment that is not known, or not approved, yet."""
    REFUSED = "refused"
    """The state machine has no such move; another event that came later may make room for it."""
    UNKNOWN = "unknown"
    """Nobody knows its type."""
    INVALID = "invalid"
    """It was signed well, and does not say what events say."""


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One row of `webhook_events`."""

    organization_id: str
    provider: str
    event_id: str
    type: str
    occurred_at: datetime
    received_at: datetime
    body: bytes = field(repr=False)
    sha256: bytes = field(repr=False)
    subject_id: str | None = None
    waits_for: str | None = None
    status: str = EventStatus.UNKNOWN
    answer: Any = None


_COLUMNS: Final = tuple(webhook_events.c[each.name] for each in fields(WebhookEvent))


class WebhookEventRepository:
    """Rows of `webhook_events` of one provider, in the organization of a unit of work."""

    def __init__(self, unit: UnitOfWork, provider: str) -> None:
        self._unit = unit
        self._provider = provider

    async def alone(self, treatment_id: str) -> None:
        """Wait until nobody else is at work on what hangs on a treatment (as its provider calls it), to the end.

        On SQLite a unit of work is alone anyway. Raises ConcurrencyConflict when the wait takes too long.
        """
        if self._unit.driver.dialect == "postgresql":
            text = f"{self._unit.organization_id}\x00{self._provider}\x00{treatment_id}"
            key = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
            await self._unit.driver.fetch(_LOCK, {"key": key})

    async def find(self, event_id: str) -> WebhookEvent | None:
        """Return an event, None when it never came."""
        found = await self._events(webhook_events.c.event_id == event_id)
        return found[0] if found else None

    async def of_order(self, order_id: str) -> list[WebhookEvent]:
        """Return every event of an order."""
        return await self._events(webhook_events.c.subject_id == order_id)

    async def orders_waiting(self, treatment_id: str) -> list[str]:
        """Return the orders that wait for a treatment, which is named as its provider does."""
        order = webhook_events.c.subject_id
        waiting = (*self._own(), webhook_events.c.waits_for == treatment_id, order.is_not(None))
        found = await self._unit.connection.scalars(select(order).where(*waiting).distinct().order_by(order))
        return [str(each) for each in found]

    async def insert(self, event: WebhookEvent) -> None:
        """Add an event; raises ConcurrencyConflict when another worker adds the same one."""
        values = {each.name: getattr(event, each.name) for each in fields(WebhookEvent)}
        values["answer"] = {} if event.answer is None else event.answer
        await self._unit.connection.execute(insert(webhook_events).values(values))

    async def change(self, event_id: str, **values: Any) -> None:
        """Change what is known of an event; what it is never changes."""
        statement = update(webhook_events).where(*self._own(), webhook_events.c.event_id == event_id)
        await self._unit.connection.execute(statement.values(values))

    async def _events(self, *conditions: ColumnElement[bool]) -> list[WebhookEvent]:
        statement = select(*_COLUMNS).where(*self._own(), *conditions).order_by(webhook_events.c.event_id)
        return [WebhookEvent(**row._mapping) for row in await self._unit.connection.execute(statement)]  # noqa: SLF001 SQLAlchemy's public name

    def _own(self) -> tuple[ColumnElement[bool], ...]:
        rows = webhook_events.c
        return rows.organization_id == self._unit.organization_id, rows.provider == self._provider
