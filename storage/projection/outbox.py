"""Draining of the outbox: rows that foreign writers changed are shown as FHIR too (settled §3.8)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import delete, insert, literal, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.engine import Database
from storage.errors import StorageError
from storage.projection.declared import SHOWN_ONLY
from storage.projection.flush import note_failures, project_touched
from storage.projection.project import Projected
from storage.projection.rerender import organizations_with_walks, walk_shown
from storage.projection.sources import keys_of
from storage.projection.telemetry import organizations_with_work, settle_due, take_due, walk
from storage.tables.fhir import outbox
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
    """A row to be projected; `id` is its entry's in the outbox, None of a row that was remembered and is due now."""

    id: int | None
    table: str
    key: str
    operation: str = ""


class Projector:
    """Drains the outbox, organization by organization; several may run at once on PostgreSQL."""

    def __init__(self, database: Database, report: Report | None = None) -> None:
        self.database = database
        self._report = report
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Drain until `stop`, polling; whatever goes wrong only delays the next round."""
        while not self._stopping.is_set():
            drained = 0
            try:
                drained = await self.drain()
            except Exception as error:  # noqa: BLE001 nobody else would drain
                self._tell("outbox_waits", error=type(error).__name__)
            if not drained:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), POLL_SECONDS)

    def stop(self) -> None:
        """Let `run` end after the batch at hand."""
        self._stopping.set()

    async def drain(self) -> int:
        """Project everything in the outbox at this time, and what is due; returns how many entries that were.

        Raises the last StorageError when all organizations have had their turn.
        """
        async with self.database.platform() as connection:
            await _spread(connection)
            named = union(*organizations_with_work(self.database.ids.milliseconds()), *organizations_with_walks())
            concerned: list[str] = [row[0] for row in await connection.execute(named)]
        total = 0
        failure: StorageError | None = None
        for organization in concerned:
            try:
                while not self._stopping.is_set() and (drained := await self._drain_some(organization)):
                    total += drained
            except StorageError as error:
                failure = error
        if failure is not None:
            raise failure
        return total

    async def _drain_some(self, organization_id: str) -> int:
        """Project a batch; where something unforeseen happens, entry by entry, and list the row at which it does.

        When nothing is left, a walk through rows goes on, if one is under way: it finds more.
        """
        try:
            drained = await self.database.transact(organization_id, PROJECTOR, partial(_drain_batch, limit=BATCH))
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 whatever it is, one row blocks nobody (settled §3.8)
            self._tell("outbox_entry_by_entry", error=type(error).__name__)
            drained = await self._drain_singly(organization_id)
        return drained or await self.database.transact(organization_id, PROJECTOR, _walk)

    async def _drain_singly(self, organization_id: str) -> int:
        drained = 0
        while drained < BATCH:
            taken: list[_Entry] = []
            try:
                one = partial(_drain_batch, limit=1, taken=taken)
                found = await self.database.transact(organization_id, PROJECTOR, one)
            except StorageError:
                raise
            except Exception as error:
                if not taken:
                    raise
                await self.database.transact(organization_id, PROJECTOR, partial(_give_up, taken=taken, error=error))
                found = 1
            if not found:
                break
            drained += found
        return drained

    def _tell(self, event: str, **facts: Any) -> None:
        if self._report is not None:
            self._report(event, facts)


async def _walk(unit: UnitOfWork) -> int:
    """Go on with a walk through rows that are to be shown anew; returns 0 when none is under way."""
    return await walk(unit) or await walk_shown(unit)


async def _take(unit: UnitOfWork, limit: int) -> list[_Entry]:
    """Return the oldest entries that no other projector has, and then rows that are due, locked."""
    taken = (
        select(outbox.c.id, outbox.c.table_name, outbox.c.key, outbox.c.operation)
        .where(outbox.c.organization_id == unit.organization_id)
        .order_by(outbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    entries = [_Entry(*row) for row in await unit.connection.execute(taken)]
    if len(entries) < limit:
        entries += [_Entry(None, table, key) for table, key in await take_due(unit, limit - len(entries))]
    return entries


async def _drain_batch(unit: UnitOfWork, limit: int, taken: list[_Entry] | None = None) -> int:
    """Project some entries and take them out; `taken` is told which ones, however it ends."""
    entries = await _take(unit, limit)
    if taken is not None:
        taken[:] = entries
    if entries:
        touched = [(entry.table, entry.key) for entry in entries if entry.key != TRUNCATED]
        for table in {entry.table for entry in entries if entry.key == TRUNCATED}:
            touched.extend([(table, key) for key in await keys_of(unit, table)])
        deferred = await project_touched(unit, touched, _new(unit, entries))
        await _take_out(unit, entries, deferred)
    return len(entries)


def _new(unit: UnitOfWork, entries: Sequence[_Entry]) -> list[tuple[str, str]]:
    """Return the rows that were inserted.

    SQLite says so of rows that INSERT OR REPLACE changed, too: of those that are no resources, nobody knows it better.
    """
    others = {(entry.table, entry.key) for entry in entries if entry.operation != "insert"}
    if unit.driver.dialect == "sqlite":
        others |= {(entry.table, entry.key) for entry in entries if entry.table in SHOWN_ONLY}
    return [key for entry in entries if (key := (entry.table, entry.key)) not in others]


async def _take_out(unit: UnitOfWork, entries: Sequence[_Entry], deferred: Mapping[tuple[str, str], int]) -> None:
    ids = [entry.id for entry in entries if entry.id is not None]
    if ids:
        await unit.connection.execute(delete(outbox).where(outbox.c.id.in_(ids)))
    await settle_due(unit, [(entry.table, entry.key) for entry in entries if entry.id is None], deferred)


async def _give_up(unit: UnitOfWork, taken: Sequence[_Entry], error: Exception) -> None:
    """List the rows of some entries among the failures, and take the entries out."""
    for entry in taken:
        failed = Projected(failures={entry.key: f"{type(error).__name__} while it was projected"})
        await note_failures(unit, entry.table, [entry.key], failed)
        await _take_out(unit, [entry], {})


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
