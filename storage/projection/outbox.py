"""Draining of the outbox: rows that foreign writers changed are shown as FHIR too (settled §3.8)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.engine import Database
from storage.errors import ConcurrencyConflict, DatabaseUnavailable
from storage.projection.flush import project_touched
from storage.rows import all_keys
from storage.tables.fhir import outbox, resources
from storage.tables.platform import organizations
from storage.transaction import Change, UnitOfWork

BATCH: Final = 500
POLL_SECONDS: Final = 0.5
PROJECTOR: Final = Change(actor="projector", client_id="fhir-server", api="projector")
TRUNCATED: Final = "*"
EVERY_ORGANIZATION: Final = "*"
Report = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class _Entry:
    id: int
    table: str
    key: str


class Projector:
    """Drains the outbox, organization by organization; several may run at once on PostgreSQL."""

    def __init__(self, database: Database, report: Report | None = None) -> None:
        self.database = database
        self._report = report
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Drain until `stop`, polling; a conflict or a lost database only delays the next round."""
        while not self._stopping.is_set():
            drained = 0
            try:
                drained = await self.drain()
            except (ConcurrencyConflict, DatabaseUnavailable) as error:
                self._tell("outbox_waits", error=type(error).__name__)
            if not drained:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), POLL_SECONDS)

    def stop(self) -> None:
        """Let `run` end after the batch at hand."""
        self._stopping.set()

    async def drain(self) -> int:
        """Project everything in the outbox at this time; returns how many entries that were."""
        async with self.database.platform() as connection:
            await _spread(connection)
            named = select(outbox.c.organization_id).distinct()
            concerned = [row[0] for row in await connection.execute(named)]
        total = 0
        for organization in concerned:
            while drained := await self.database.transact(organization, PROJECTOR, self._drain_batch):
                total += drained
        return total

    async def _drain_batch(self, unit: UnitOfWork) -> int:
        taken = (
            select(outbox.c.id, outbox.c.table_name, outbox.c.key)
            .where(outbox.c.organization_id == unit.organization_id)
            .order_by(outbox.c.id)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        entries = [_Entry(*row) for row in await unit.connection.execute(taken)]
        if not entries:
            return 0
        touched = [(entry.table, entry.key) for entry in entries if entry.key != TRUNCATED]
        for table in {entry.table for entry in entries if entry.key == TRUNCATED}:
            touched.extend([(table, key) for key in await stored_keys(unit, table)])
        await project_touched(unit, touched)
        await unit.connection.execute(delete(outbox).where(outbox.c.id.in_([entry.id for entry in entries])))
        return len(entries)

    def _tell(self, event: str, **facts: Any) -> None:
        if self._report is not None:
            self._report(event, facts)


async def _spread(connection: AsyncConnection) -> None:
    """Turn entries that concern every organization (TRUNCATE) into one per organization."""
    everywhere = select(outbox.c.id, outbox.c.table_name, outbox.c.key, outbox.c.operation).where(
        outbox.c.organization_id == EVERY_ORGANIZATION
    )
    for entry, table, key, operation in (await connection.execute(everywhere)).all():
        own = select(organizations.c.id, literal(table), literal(key), literal(operation))
        columns = ["organization_id", "table_name", "key", "operation"]
        await connection.execute(insert(outbox).from_select(columns, own))
        await connection.execute(delete(outbox).where(outbox.c.id == entry))


async def stored_keys(unit: UnitOfWork, table: str) -> list[str]:
    """Return the keys of all rows of a table that the store shows or the table holds."""
    shown = (
        select(resources.c.home_key)
        .distinct()
        .where(resources.c.organization_id == unit.organization_id, resources.c.home_table == table)
    )
    keys = {row[0] for row in await unit.connection.execute(shown)}
    return sorted(keys | set(await all_keys(unit.connection, table, unit.organization_id)))
